//! What a playing RTSP session yields: retina's frames, as access units in worker time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use retina::PacketContext;
use retina::client::Demuxed;
use retina::codec::{AudioFrame, CodecItem, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;
use tokio::time::{timeout, timeout_at};

use super::entry::Entry;
use super::error::SourceError;
use super::nal;
use super::tracks::Chosen;
use crate::media::{AccessUnit, Medium, Tracks};
use crate::time::{Arrival, Discontinuity, Placed, Reference, RtpTimeline, Timed};

/// A source that is silent for this long is as gone as one that closed its socket. Detection within
/// 5 s is promised.
const SILENCE: Duration = Duration::from_secs(4);

/// With automatic transport, how long UDP may take to bring something.
const UDP_TRIAL: Duration = Duration::from_secs(2);

/// How long parameter sets may stay away while video comes.
const DESCRIPTION: Duration = Duration::from_secs(10);

/// Packets in a row that can't be depacketized before the session is given up.
const MAX_BAD_PACKETS: u32 = 100;

const NANOSECONDS: i128 = 1_000_000_000;

/// A running RTSP session. Dropping it sends a TEARDOWN in the background.
pub(crate) struct Session {
    demuxed: Demuxed,
    chosen: Chosen,
    tracks: Option<Arc<Tracks>>,
    timeline: RtpTimeline<Payload>,
    entry: Entry,
    /// Tracks whose first unit has come.
    started: [bool; 2],
    /// The latest packet of audio.
    audio_packet: Option<PacketContext>,
    epoch: Instant,
    opened: Instant,
    last_media: Instant,
    waiting: VecDeque<SourceItem>,
    left_out: Vec<String>,
    /// Whether `RTP-Info` tells how the tracks stand to each other.
    related: bool,
}

/// A unit without its times.
#[derive(Debug)]
struct Payload {
    medium: Medium,
    key: bool,
    data: Bytes,
    arrival: i64,
}

impl Payload {
    fn timed(self, pts: i64, dts: i64) -> AccessUnit {
        let Self {
            medium,
            key,
            data,
            arrival,
        } = self;
        AccessUnit {
            medium,
            pts,
            dts,
            key,
            data,
            arrival,
        }
    }
}

/// What a session yields.
#[derive(Debug)]
pub(crate) enum SourceItem {
    /// The tracks of what follows: at the start, and whenever a parameter changed.
    Tracks(Arc<Tracks>),
    /// What follows does not continue the times of what came before.
    Discontinuity(Discontinuity),
    /// One unit of one of the tracks. Its times are near its arrival, but are not yet fit together with those of
    /// other sessions, and of what came before a discontinuity.
    Unit(AccessUnit),
}

impl Session {
    pub(super) fn new(
        demuxed: Demuxed,
        chosen: Chosen,
        left_out: Vec<String>,
        epoch: Instant,
        related: bool,
    ) -> Self {
        let clock = |stream: Option<usize>| Some(demuxed.streams().get(stream?)?.clock_rate_hz());
        let mut session = Self {
            timeline: RtpTimeline::new(clock(chosen.video), clock(chosen.audio)),
            demuxed,
            chosen,
            tracks: None,
            entry: Entry::default(),
            started: [false; 2],
            audio_packet: None,
            epoch,
            opened: Instant::now(),
            last_media: Instant::now(),
            waiting: VecDeque::new(),
            left_out,
            related,
        };
        session.describe_tracks();
        session
    }

    /// The streams that can't be passed on.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The next item; fails when the source closes, breaks or falls silent.
    pub(crate) async fn next(&mut self) -> Result<SourceItem, SourceError> {
        match self.waiting.pop_front() {
            Some(item) => Ok(item),
            None => self.next_media().await,
        }
    }

    /// Whether anything arrives over UDP; what does is kept.
    pub(super) async fn brings_something(&mut self) -> bool {
        let announced = std::mem::take(&mut self.waiting);
        let Ok(Ok(item)) = timeout(UDP_TRIAL, self.next_media()).await else {
            return false;
        };
        let later = std::mem::replace(&mut self.waiting, announced);
        self.waiting.push_back(item);
        self.waiting.extend(later);
        true
    }

    async fn next_media(&mut self) -> Result<SourceItem, SourceError> {
        let mut bad = 0;
        loop {
            match self.receive().await? {
                Err(error) if bad >= MAX_BAD_PACKETS || error.status_code().is_some() => {
                    return Err(SourceError::of(&error));
                }
                Err(error) => {
                    bad += 1;
                    if bad == 1 {
                        log::warn!(reason:% = SourceError::of(&error); "damaged packet left out");
                    }
                    continue;
                }
                Ok(CodecItem::VideoFrame(frame)) => self.video(frame),
                Ok(CodecItem::AudioFrame(frame)) => self.audio(&frame),
                Ok(CodecItem::Rtcp(packet)) => self.sender_report(&packet),
                Ok(_) => {}
            }
            bad = 0;
            if let Some(item) = self.waiting.pop_front() {
                return Ok(item);
            }
        }
    }

    /// What retina yields next, as long as the source is not silent. Reports alone are silence.
    async fn receive(&mut self) -> Result<Result<CodecItem, retina::Error>, SourceError> {
        let deadline = (self.last_media + SILENCE).into();
        let Ok(received) = timeout_at(deadline, self.demuxed.next()).await else {
            return Err(SourceError::Silent(SILENCE));
        };
        let received = received.ok_or(SourceError::Closed)?;
        if let Ok(CodecItem::VideoFrame(_) | CodecItem::AudioFrame(_)) = received {
            self.last_media = Instant::now();
            if self.tracks.is_none() && self.opened.elapsed() > DESCRIPTION {
                let what = "video without parameter sets (SPS, PPS)";
                return Err(SourceError::Unsupported(what.to_owned()));
            }
        }
        Ok(received)
    }

    /// Announces the tracks when they are known first, or changed.
    fn describe_tracks(&mut self) {
        let Some(tracks) = self.chosen.describe(self.demuxed.streams()) else {
            return;
        };
        if self.tracks.as_deref() == Some(&tracks) {
            return;
        }
        let times = |tracks: &Tracks| {
            tracks
                .video
                .as_ref()
                .map(|video| (video.reorder, video.frame_duration))
        };
        if self.tracks.as_deref().map(times) != Some(times(&tracks))
            && let Some((reorder, frame)) = times(&tracks)
        {
            self.timeline.describe_video(reorder, frame);
        }
        let tracks = Arc::new(tracks);
        self.tracks = Some(tracks.clone());
        self.waiting.push_back(SourceItem::Tracks(tracks));
    }

    fn video(&mut self, frame: VideoFrame) {
        if frame.has_new_parameters() || self.tracks.is_none() {
            self.describe_tracks();
        }
        let tracks = self.tracks.as_ref();
        let Some(codec) = tracks.and_then(|tracks| Some(tracks.video.as_ref()?.codec)) else {
            return;
        };
        let timestamp = frame.timestamp();
        let began = self.since_epoch(frame.start_ctx().received());
        let arrival = self.since_epoch(frame.end_ctx().received());
        let data = Bytes::from(frame.into_data());
        let key = nal::is_key(codec, &data);
        let placed = self.place(
            timestamp,
            Arrival {
                medium: Medium::Video,
                rtp: wrapped(timestamp),
                at: began,
                key,
                behind_another: None,
            },
        );
        let Some(placed) = placed else { return };
        if self.entry.admits(key, placed.pts, placed.broke) {
            let medium = Medium::Video;
            self.timeline.push(
                placed,
                Payload {
                    medium,
                    key,
                    data,
                    arrival,
                },
            );
        }
        self.collect();
    }

    fn audio(&mut self, frame: &AudioFrame) {
        if self.tracks.is_none() {
            return;
        }
        let timestamp = frame.timestamp();
        let arrival = self.since_epoch(frame.ctx().received());
        let is_behind = self.audio_packet.replace(*frame.ctx()) == Some(*frame.ctx());
        let duration = i128::from(frame.frame_length().get()) * NANOSECONDS
            / i128::from(timestamp.clock_rate().get());
        let placed = self.place(
            timestamp,
            Arrival {
                medium: Medium::Audio,
                rtp: wrapped(timestamp),
                at: arrival,
                key: true,
                behind_another: is_behind.then_some(duration as i64),
            },
        );
        let Some(placed) = placed else { return };
        let data = Bytes::copy_from_slice(frame.data());
        let (medium, key) = (Medium::Audio, true);
        self.timeline.push(
            placed,
            Payload {
                medium,
                key,
                data,
                arrival,
            },
        );
        self.collect();
    }

    /// Places a unit on the timeline; the first of its track with what `RTP-Info` told of it.
    fn place(&mut self, timestamp: retina::Timestamp, arrival: Arrival) -> Option<Placed> {
        let placed = self.timeline.place(arrival);
        let started = std::mem::replace(&mut self.started[arrival.medium as usize], true);
        if !started && self.related {
            let start = timestamp.start();
            self.timeline
                .refer(arrival.medium, Reference::Play, start, 0);
        }
        placed
    }

    /// Takes over what the timeline has ready.
    fn collect(&mut self) {
        while let Some(timed) = self.timeline.pop() {
            self.waiting.push_back(match timed {
                Timed::Discontinuity(discontinuity) => SourceItem::Discontinuity(discontinuity),
                Timed::Unit { payload, pts, dts } => SourceItem::Unit(payload.timed(pts, dts)),
            });
        }
    }

    fn sender_report(&mut self, packet: &ReceivedCompoundPacket) {
        let medium = if self.chosen.video == Some(packet.stream_id()) {
            Medium::Video
        } else {
            Medium::Audio
        };
        let report = packet
            .pkts()
            .find_map(|packet| packet.as_sender_report().ok().flatten());
        if let Some(report) = report {
            // 32.32 fixed-point seconds (RFC 3550, section 4).
            let wall = (i128::from(report.ntp_timestamp().0) * NANOSECONDS) >> 32;
            self.timeline
                .refer(medium, Reference::Wall, report.rtp_timestamp(), wall as i64);
        }
    }

    fn since_epoch(&self, instant: Instant) -> i64 {
        instant.saturating_duration_since(self.epoch).as_nanos() as i64
    }
}

/// The time stamp as it stood in the packet; what retina makes of its wraps takes jumps for some.
fn wrapped(timestamp: retina::Timestamp) -> u32 {
    timestamp.timestamp() as u32
}
