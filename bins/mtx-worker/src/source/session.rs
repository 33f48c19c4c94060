//! What a playing RTSP session yields: retina's frames, as access units on the worker's clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use retina::client::Demuxed;
use retina::codec::{AudioFrame, CodecItem, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;
use tokio::time::{timeout, timeout_at};

use super::clock::{Reference, SourceClock};
use super::dts::DecodeTimes;
use super::error::SourceError;
use super::nal;
use super::tracks::Chosen;
use crate::media::{AccessUnit, Item, Medium, Tracks};

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
    decode_times: Option<DecodeTimes>,
    started: [bool; 2],
    /// Where decoding can start. Leading pictures, which are shown before it, can't be decoded either.
    first_key: Option<i64>,
    epoch: Instant,
    opened: Instant,
    last_media: Instant,
    /// Units that are not stamped yet, because the clock has not settled.
    held: Vec<Unstamped>,
    waiting: VecDeque<Item>,
    left_out: Vec<String>,
    /// Whether the first time stamps tell how the tracks stand to each other.
    related: bool,
}

/// A unit in the source's own times.
struct Unstamped {
    unit: AccessUnit,
    rtp_pts: i64,
    rtp_dts: i64,
    decodable: bool,
}

impl Session {
    pub(super) fn new(
        demuxed: Demuxed,
        chosen: Chosen,
        left_out: Vec<String>,
        epoch: Instant,
        related: bool,
    ) -> Self {
        let mut session = Self {
            demuxed,
            chosen,
            tracks: None,
            decode_times: None,
            started: [false; 2],
            first_key: None,
            epoch,
            opened: Instant::now(),
            last_media: Instant::now(),
            held: Vec::new(),
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
    pub(crate) async fn next(&mut self, clock: &mut SourceClock) -> Result<Item, SourceError> {
        match self.waiting.pop_front() {
            Some(item) => Ok(item),
            None => self.next_media(clock).await,
        }
    }

    /// Whether anything arrives over UDP; what does is kept.
    pub(super) async fn brings_something(&mut self, clock: &mut SourceClock) -> bool {
        let announced = std::mem::take(&mut self.waiting);
        let Ok(Ok(item)) = timeout(UDP_TRIAL, self.next_media(clock)).await else {
            return false;
        };
        let later = std::mem::replace(&mut self.waiting, announced);
        self.waiting.push_back(item);
        self.waiting.extend(later);
        true
    }

    async fn next_media(&mut self, clock: &mut SourceClock) -> Result<Item, SourceError> {
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
                Ok(CodecItem::VideoFrame(frame)) => self.video(frame, clock),
                Ok(CodecItem::AudioFrame(frame)) => self.audio(&frame, clock),
                Ok(CodecItem::Rtcp(packet)) => self.sender_report(&packet, clock),
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
        if self.tracks.as_deref().map(times) != Some(times(&tracks)) {
            self.decode_times =
                times(&tracks).map(|(reorder, step)| DecodeTimes::new(reorder, step));
        }
        let tracks = Arc::new(tracks);
        self.tracks = Some(tracks.clone());
        self.waiting.push_back(Item::Tracks(tracks));
    }

    fn video(&mut self, frame: VideoFrame, clock: &mut SourceClock) {
        if frame.has_new_parameters() || self.tracks.is_none() {
            self.describe_tracks();
        }
        self.first(Medium::Video, frame.timestamp(), clock);
        let video = self
            .tracks
            .as_ref()
            .and_then(|tracks| tracks.video.as_ref());
        let (Some(video), Some(times)) = (video, &mut self.decode_times) else {
            return;
        };
        let rtp_pts = nanoseconds(frame.timestamp());
        let rtp_dts = times.next(rtp_pts);
        let steady = times.is_steady();
        let began = self.since_epoch(frame.start_ctx().received());
        let arrival = self.since_epoch(frame.end_ctx().received());
        let data = Bytes::from(frame.into_data());
        let key = nal::is_key(video.codec, &data);
        if key && self.first_key.is_none() {
            self.first_key = Some(rtp_pts);
        }
        let decodable = self.first_key.is_some_and(|first| rtp_pts >= first);
        // What can't be decoded still tells how the tracks stand to each other.
        if !decodable && !steady {
            return;
        }
        let unit = AccessUnit {
            medium: Medium::Video,
            pts: 0,
            dts: 0,
            key,
            data,
            arrival,
        };
        self.stamp(
            Unstamped {
                unit,
                rtp_pts,
                rtp_dts,
                decodable,
            },
            began,
            clock,
        );
    }

    fn audio(&mut self, frame: &AudioFrame, clock: &mut SourceClock) {
        self.first(Medium::Audio, frame.timestamp(), clock);
        if self.tracks.is_none() {
            return;
        }
        let rtp = nanoseconds(frame.timestamp());
        let arrival = self.since_epoch(frame.ctx().received());
        let data = Bytes::copy_from_slice(frame.data());
        let unit = AccessUnit {
            medium: Medium::Audio,
            pts: 0,
            dts: 0,
            key: true,
            data,
            arrival,
        };
        self.stamp(
            Unstamped {
                unit,
                rtp_pts: rtp,
                rtp_dts: rtp,
                decodable: true,
            },
            arrival,
            clock,
        );
    }

    /// Stamps a unit, and those that were held for the clock to settle.
    fn stamp(&mut self, next: Unstamped, began: i64, clock: &mut SourceClock) {
        if !clock.observe(next.unit.medium, next.rtp_pts, next.rtp_dts, began) {
            self.held.clear();
        }
        if next.decodable {
            self.held.push(next);
        }
        let alone = self.chosen.indices().count() == 1;
        let video = self
            .tracks
            .as_ref()
            .and_then(|tracks| tracks.video.as_ref());
        let in_order = video.is_some_and(|video| video.reorder == Some(0));
        if clock.is_settled(alone, in_order) {
            self.waiting.extend(self.held.drain(..).map(|held| {
                let mut unit = held.unit;
                (unit.pts, unit.dts) = clock.stamp(unit.medium, held.rtp_pts, held.rtp_dts);
                Item::Unit(unit)
            }));
        }
    }

    /// Takes the relation of the tracks from `RTP-Info`, which shows in every time stamp.
    fn first(&mut self, medium: Medium, timestamp: retina::Timestamp, clock: &mut SourceClock) {
        let started = &mut self.started[medium as usize];
        if !*started && self.related {
            let start = i128::from(timestamp.start());
            clock.server_time(medium, Reference::Play, scale(start, timestamp), 0);
        }
        *started = true;
    }

    fn sender_report(&self, packet: &ReceivedCompoundPacket, clock: &mut SourceClock) {
        let medium = if self.chosen.video == Some(packet.stream_id()) {
            Medium::Video
        } else {
            Medium::Audio
        };
        let report = packet
            .pkts()
            .find_map(|packet| packet.as_sender_report().ok().flatten());
        if let (Some(report), Some(rtp)) = (report, packet.rtp_timestamp()) {
            // 32.32 fixed-point seconds (RFC 3550, section 4).
            let wall = (i128::from(report.ntp_timestamp().0) * NANOSECONDS) >> 32;
            clock.server_time(medium, Reference::Wall, nanoseconds(rtp), wall as i64);
        }
    }

    fn since_epoch(&self, instant: Instant) -> i64 {
        instant.saturating_duration_since(self.epoch).as_nanos() as i64
    }
}

fn nanoseconds(timestamp: retina::Timestamp) -> i64 {
    scale(timestamp.timestamp().into(), timestamp)
}

fn scale(ticks: i128, timestamp: retina::Timestamp) -> i64 {
    (ticks * NANOSECONDS / i128::from(timestamp.clock_rate().get())) as i64
}
