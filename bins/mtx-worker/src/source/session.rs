//! What a playing RTSP session yields: access units in worker time.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{sleep_until, timeout, timeout_at};

use super::connection::{Arrived, Event};
use super::datagrams::Datagrams;
use super::error::SourceError;
use super::losses::{Losses, Report, Total};
use super::played::Played;
use super::tracks::{self, Chosen};
use crate::entry::Entry;
use crate::media::{AccessUnit, Description, EntryPoint, Medium, Track, TrackId, Tracks};
use crate::net;
use crate::rtp::packet::Packet;
use crate::rtp::payload::{Depacketizer, Frame, Output, Unpacked};
use crate::rtp::reception::Reception;
use crate::rtp::rtcp;
use crate::rtsp::conversation::{Answer, Conversation};
use crate::time::{Arrival, Discontinuity, Reference, RtpTimeline, Timed};

/// A source that is silent for this long is as gone as one that closed its socket. Detection within
/// 5 s is promised.
const SILENCE: Duration = Duration::from_secs(4);

/// How long video that can be decoded may stay away while other media comes.
const NO_VIDEO: Duration = Duration::from_secs(10);

/// Packets in a row that are no RTP before the session is given up.
const MAX_BAD_PACKETS: u32 = 100;

/// How often the server gets a receiver report (RFC 3550, section 6.2).
const REPORTS: Duration = Duration::from_secs(5);

/// How long a track may leave open what it is, other than the only video.
const SILENT_TRACK: Duration = Duration::from_secs(2);

const NANOSECONDS: u64 = 1_000_000_000;

/// One track's way from packets to frames.
pub(super) struct Receiver {
    track: TrackId,
    /// Its codec, as the server names it.
    name: String,
    payload_type: u8,
    clock_rate: u32,
    url: String,
    /// Of RTP and RTCP.
    channels: (u8, u8),
    reception: Reception,
    depacketizer: Box<dyn Depacketizer>,
    output: Output,
    /// What the track is, as soon as that is known.
    description: Option<Description>,
    /// Whether it was warned that others go on without it.
    is_missed: bool,
    /// The RTP time at which playing started, if `RTP-Info` told it.
    pub(super) starts_at: Option<u32>,
    has_started: bool,
    /// Whether packets came that belong to something else than was described.
    has_others: bool,
    /// Whether it yielded any frame.
    has_frames: bool,
    /// How far a decoder can follow it, if it is video.
    entry: Entry,
}

impl Receiver {
    pub(super) fn new(chosen: Chosen, url: String, channels: (u8, u8), reorders: bool) -> Self {
        Self {
            track: chosen.track,
            name: tracks::name(&chosen.media),
            payload_type: chosen.media.payload_type,
            clock_rate: chosen.media.clock_rate,
            url,
            channels,
            reception: Reception::new(chosen.media.clock_rate, reorders),
            description: chosen.depacketizer.describe(),
            is_missed: false,
            depacketizer: chosen.depacketizer,
            output: Output::default(),
            starts_at: None,
            has_started: false,
            has_others: false,
            has_frames: false,
            entry: Entry::default(),
        }
    }

    /// Whether the server names this track so; some leave out all but the last segment.
    pub(super) fn has_url(&self, url: &str) -> bool {
        self.url == url || self.url.rsplit('/').next() == Some(url.trim_start_matches('/'))
    }

    fn push(&mut self, packet: Packet, at: i64) {
        // Others are repairs, comfort noise, or dialled digits.
        if packet.payload_type == self.payload_type {
            self.reception.push(packet, at);
        } else if !std::mem::replace(&mut self.has_others, true) {
            log::warn!(track:% = self.track; "packets with payload type {} are left out, since the description says {}", packet.payload_type, self.payload_type);
        }
    }

    /// Moves packets that are in order, or were waited for too long, on to the depacketizer.
    fn depacketize(&mut self, now: i64) {
        self.reception.expire(now);
        while let Some(received) = self.reception.pop() {
            self.depacketizer.push(received, &mut self.output);
        }
    }
}

/// A running RTSP session.
pub(crate) struct Session {
    played: Played,
    datagrams: Option<Datagrams>,
    receivers: Vec<Receiver>,
    tracks: Option<Arc<Tracks>>,
    /// Frames that came before all tracks were described, with their receivers.
    undescribed: VecDeque<(usize, Frame)>,
    timeline: RtpTimeline<Payload>,
    epoch: Instant,
    opened: Instant,
    last_media: Instant,
    /// When the latest unit of any video came that goes on.
    last_video: Instant,
    next_report: Instant,
    next_sign_of_life: Instant,
    bad_packets: u32,
    /// Packets that came while it was found out whether any do.
    early: VecDeque<Arrived>,
    waiting: VecDeque<SourceItem>,
    left_out: Vec<String>,
    report: Report,
    losses: Rc<Total>,
}

/// A unit without its times.
#[derive(Debug)]
struct Payload {
    track: TrackId,
    entry: EntryPoint,
    data: Bytes,
    arrival: i64,
}

impl Payload {
    fn timed(self, pts: i64, dts: i64) -> AccessUnit {
        AccessUnit {
            track: self.track,
            pts,
            dts,
            entry: self.entry,
            data: self.data,
            arrival: self.arrival,
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
        played: Played,
        datagrams: Option<Datagrams>,
        receivers: Vec<Receiver>,
        left_out: Vec<String>,
        epoch: Instant,
        losses: Rc<Total>,
    ) -> Self {
        losses.start_session();
        let clocks = receivers
            .iter()
            .map(|receiver| (receiver.track, receiver.clock_rate));
        let now = net::now();
        let mut session = Self {
            timeline: RtpTimeline::new(clocks),
            next_sign_of_life: now + played.conversation.keep_alive(),
            played,
            datagrams,
            receivers,
            tracks: None,
            undescribed: VecDeque::new(),
            epoch,
            opened: now,
            last_media: now,
            last_video: now,
            next_report: now + REPORTS,
            bad_packets: 0,
            early: VecDeque::new(),
            waiting: VecDeque::new(),
            left_out,
            report: Report::default(),
            losses,
        };
        session.describe_tracks();
        session
    }

    /// The streams that can't be passed on.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What got lost in this session so far.
    fn count_losses(&self) -> Losses {
        let each = self.receivers.iter().map(|receiver| Losses {
            packets: receiver.reception.lost(),
            units: receiver.output.count_damaged(),
        });
        each.fold(Losses::default(), Losses::plus)
    }

    /// The next item; fails when the source closes, breaks or falls silent.
    pub(crate) async fn next(&mut self) -> Result<SourceItem, SourceError> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(item);
            }
            let now = match self.arrived().await? {
                Some(arrived) => {
                    let at = arrived.at;
                    self.take(arrived)?;
                    at
                }
                None => net::now(),
            };
            self.unpack(now)?;
            let losses = self.count_losses();
            self.losses.update(losses);
            self.report.update(now, losses);
            if self.waiting.is_empty() {
                self.check_video(now)?;
            }
        }
    }

    /// Whether any packet comes within a time; it is kept.
    pub(super) async fn brings_packets(&mut self, within: Duration) -> bool {
        let packet = async {
            loop {
                match self.arrived().await {
                    Ok(Some(arrived)) => return Some(arrived),
                    Ok(None) => {}
                    Err(_) => return None,
                }
            }
        };
        let found = timeout(within, packet).await.ok().flatten();
        let brings = found.is_some();
        self.early.extend(found);
        brings
    }

    /// The next packet; `None` when it is time to look at what waits for another one. Meanwhile the server hears of the
    /// client.
    async fn arrived(&mut self) -> Result<Option<Arrived>, SourceError> {
        if let Some(early) = self.early.pop_front().or_else(|| self.played.early()) {
            return Ok(Some(early));
        }
        let silence = (self.last_media + SILENCE).into();
        let silent = |_| SourceError::Silent(SILENCE);
        loop {
            let duty = self.next_report.min(self.next_sign_of_life);
            let expiry = self
                .receivers
                .iter()
                .filter_map(|receiver| receiver.reception.expires_at())
                .min();
            let expiry = expiry.map(|at| self.epoch + Duration::from_nanos(at.max(0) as u64));
            let datagram = async {
                match &mut self.datagrams {
                    Some(datagrams) => datagrams.next().await,
                    None => std::future::pending().await,
                }
            };
            let expired = async {
                match expiry {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let next = async {
                tokio::select! {
                    event = self.played.event() => event.map(Some),
                    Some(datagram) = datagram => Ok(Some(Event::Packet(datagram))),
                    () = expired => Ok(None),
                    () = sleep_until(duty.into()) => Ok(None),
                }
            };
            match timeout_at(silence, next).await.map_err(silent)?? {
                Some(Event::Packet(arrived)) => return Ok(Some(arrived)),
                Some(event) => timeout_at(silence, self.answer(event))
                    .await
                    .map_err(silent)??,
                None => {
                    timeout_at(silence, self.do_duty())
                        .await
                        .map_err(silent)??;
                    return Ok(None);
                }
            }
        }
    }

    /// Takes what is said in the connection beside the media.
    async fn answer(&mut self, event: Event) -> Result<(), SourceError> {
        const SESSION_NOT_FOUND: u16 = 454;
        match event {
            Event::Packet(_) => Ok(()),
            Event::Request { method, headers } => {
                self.played
                    .send(&Conversation::reply(&method, &headers))
                    .await
            }
            Event::Response(response) => match self.played.conversation.answer(response)? {
                Answer::Again(request) => self.played.send(&request).await,
                Answer::Final(response) if response.status == SESSION_NOT_FOUND => {
                    Err(SourceError::Closed)
                }
                // A server that knows no such request takes it for a sign of life all the same.
                Answer::Final(_) | Answer::Stray => Ok(()),
            },
        }
    }

    /// Sends receiver reports and signs of life when their time has come.
    async fn do_duty(&mut self) -> Result<(), SourceError> {
        let now = net::now();
        if now >= self.next_report {
            self.next_report = now + REPORTS;
            for receiver in &mut self.receivers {
                let Some(statistics) = receiver.reception.statistics() else {
                    continue;
                };
                let report = rtcp::receiver_report(&statistics);
                let channel = receiver.channels.1;
                match &self.datagrams {
                    Some(datagrams) => datagrams.send(channel, &report).await,
                    None => self.played.send_packet(channel, &report).await?,
                }
            }
        }
        if now >= self.next_sign_of_life {
            self.next_sign_of_life = now + self.played.conversation.keep_alive();
            let control = self.played.control.clone();
            let request = self.played.conversation.sign_of_life(&control);
            self.played.send(&request).await?;
        }
        Ok(())
    }

    fn take(&mut self, arrived: Arrived) -> Result<(), SourceError> {
        let at = self.since_epoch(arrived.at);
        let of_channel = |receiver: &Receiver| {
            [receiver.channels.0, receiver.channels.1].contains(&arrived.channel)
        };
        let Some(index) = self.receivers.iter().position(of_channel) else {
            return Ok(());
        };
        let receiver = &mut self.receivers[index];
        if arrived.channel == receiver.channels.1 {
            self.take_reports(index, &arrived.data);
            return Ok(());
        }
        if let Some(packet) = Packet::parse(arrived.data) {
            self.bad_packets = 0;
            receiver.push(packet, at);
            return Ok(());
        }
        self.bad_packets += 1;
        if self.bad_packets > MAX_BAD_PACKETS {
            let what = "what the server sends is no RTP, or is damaged on the way";
            return Err(SourceError::Protocol(what.to_owned()));
        }
        Ok(())
    }

    /// Makes frames of the packets that came.
    fn unpack(&mut self, now: Instant) -> Result<(), SourceError> {
        let at = self.since_epoch(now);
        let mut index = 0;
        while let Some(receiver) = self.receivers.get_mut(index) {
            receiver.depacketize(at);
            match receiver.output.pop() {
                Some(Unpacked::Frame(frame)) => self.take_frame(index, frame, now),
                Some(Unpacked::Description(description)) => {
                    receiver.description = Some(description);
                    self.describe_tracks();
                }
                Some(Unpacked::Unsupported(what)) => self.leave_out(index, what)?,
                None => index += 1,
            }
        }
        Ok(())
    }

    /// Goes on without a track.
    fn leave_out(&mut self, index: usize, what: &str) -> Result<(), SourceError> {
        log::warn!(codec = what; "track left out: {what} (RTMP does not carry it)");
        self.receivers.remove(index);
        self.undescribed.retain(|(held, _)| *held != index);
        for (held, _) in &mut self.undescribed {
            *held -= usize::from(*held > index);
        }
        if self.receivers.is_empty() {
            return Err(SourceError::Unsupported(what.to_owned()));
        }
        self.describe_tracks();
        Ok(())
    }

    fn take_frame(&mut self, index: usize, frame: Frame, now: Instant) {
        self.last_media = now;
        self.receivers[index].has_frames = true;
        if self.tracks.is_none() {
            self.describe_tracks();
        }
        self.undescribed.push_back((index, frame));
        if self.tracks.is_some() {
            while let Some((index, frame)) = self.undescribed.pop_front() {
                if self.receivers[index].description.is_some() {
                    self.place(index, frame, now);
                }
            }
        } else if awaited_video(&self.receivers).is_some() {
            self.undescribed.clear();
        }
    }

    /// The first video, if there is any.
    fn video(&self) -> Option<&Receiver> {
        let mut receivers = self.receivers.iter();
        receivers.find(|receiver| receiver.track.medium == Medium::Video)
    }

    /// Fails if there is video, and none went on for long.
    fn check_video(&self, now: Instant) -> Result<(), SourceError> {
        let Some(video) = self.video() else {
            return Ok(());
        };
        if now.saturating_duration_since(self.last_video) < NO_VIDEO {
            return Ok(());
        }
        let reason = if !video.has_frames {
            "no complete picture of it arrives"
        } else if video.description.is_none() {
            "its parameter sets do not come, nor the key frame that brings them"
        } else if video.entry == Entry::Waiting {
            "no picture comes at which decoding can start (IDR, CRA or recovery point)"
        } else {
            "its packets stay away or arrive damaged"
        };
        Err(SourceError::NoVideo {
            time: NO_VIDEO,
            reason,
        })
    }

    /// Announces the tracks when they are known first, or changed. A track that does not tell what it is holds up
    /// nobody for long, unless there is no video yet.
    fn describe_tracks(&mut self) {
        let awaited = awaited_video(&self.receivers);
        let mut tracks = Tracks::default();
        for receiver in &self.receivers {
            let id = receiver.track;
            match receiver.description.clone() {
                Some(description) => tracks.0.push(Track { id, description }),
                None if Some(id) != awaited && net::now() - self.opened > SILENT_TRACK => {}
                None => return,
            }
        }
        if tracks == Tracks::default() || self.tracks.as_deref() == Some(&tracks) {
            return;
        }
        for (track, video) in tracks.videos() {
            let before = self.tracks.as_deref().and_then(|tracks| {
                let same = tracks.videos().find(|(other, _)| *other == track);
                same.map(|(_, video)| (video.reorder, video.frame_duration))
            });
            if before != Some((video.reorder, video.frame_duration)) {
                self.timeline
                    .describe_video(track, video.reorder, video.frame_duration);
            }
        }
        self.warn_of_silent_tracks();
        let tracks = Arc::new(tracks);
        self.tracks = Some(tracks.clone());
        self.waiting.push_back(SourceItem::Tracks(tracks));
    }

    /// Warns once of each track that the others do not wait for any longer.
    fn warn_of_silent_tracks(&mut self) {
        for receiver in &mut self.receivers {
            if receiver.description.is_none() && !receiver.is_missed {
                receiver.is_missed = true;
                let (codec, track) = (receiver.name.as_str(), receiver.track);
                log::warn!(codec = codec; "track left out for now: {codec}, {track} (nothing that tells what it is came in {} s; when it does, the stream is published anew)", SILENT_TRACK.as_secs());
            }
        }
    }

    /// Places a unit on the timeline; the first of its track with what `RTP-Info` told of it.
    fn place(&mut self, index: usize, frame: Frame, now: Instant) {
        let receiver = &mut self.receivers[index];
        let track = receiver.track;
        let nanoseconds =
            |ticks: u32| (u64::from(ticks) * NANOSECONDS / u64::from(receiver.clock_rate)) as i64;
        let placed = self.timeline.place(Arrival {
            track,
            rtp: frame.timestamp,
            at: frame.began,
            key: frame.entry.is_key(),
            behind_another: frame.behind_another.map(nanoseconds),
        });
        if !std::mem::replace(&mut receiver.has_started, true)
            && let Some(start) = receiver.starts_at
        {
            self.timeline.refer(track, Reference::Play, start, 0);
        }
        let Some(placed) = placed else { return };
        let is_audio = track.medium == Medium::Audio;
        if is_audio || receiver.entry.admits(frame.entry, placed.pts, placed.broke) {
            if !is_audio {
                self.last_video = now;
            }
            let payload = Payload {
                track,
                entry: frame.entry,
                // Audio is small, and would keep what was read with it.
                data: if is_audio {
                    Bytes::copy_from_slice(&frame.data)
                } else {
                    frame.data
                },
                arrival: frame.arrived,
            };
            self.timeline.push(placed, payload);
        }
        while let Some(timed) = self.timeline.pop() {
            self.waiting.push_back(match timed {
                Timed::Discontinuity(discontinuity) => SourceItem::Discontinuity(discontinuity),
                Timed::Unit { payload, pts, dts } => SourceItem::Unit(payload.timed(pts, dts)),
            });
        }
    }

    fn take_reports(&mut self, index: usize, bytes: &[u8]) {
        let track = self.receivers[index].track;
        if let Some(report) = rtcp::sender_report(bytes) {
            self.timeline
                .refer(track, Reference::Wall, report.rtp, report.wall());
        }
    }

    fn since_epoch(&self, instant: Instant) -> i64 {
        instant.saturating_duration_since(self.epoch).as_nanos() as i64
    }
}

/// The first video, if no video has told what it is yet: nothing starts without one.
fn awaited_video(receivers: &[Receiver]) -> Option<TrackId> {
    let mut videos = receivers
        .iter()
        .filter(|receiver| receiver.track.medium == Medium::Video);
    let first = videos.clone().next()?;
    let is_known = videos.any(|video| video.description.is_some());
    (!is_known).then_some(first.track)
}
