//! What a playing RTSP session yields: access units in worker time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout, timeout_at};

use super::connection::{Arrived, Connection};
use super::datagrams::Datagrams;
use super::error::SourceError;
use super::losses::{Losses, Report};
use super::rtsp::tear_down;
use super::tracks::Chosen;
use crate::entry::Entry;
use crate::media::{AccessUnit, EntryPoint, Medium, Tracks};
use crate::rtp::packet::Packet;
use crate::rtp::payload::{Depacketizer, Description, Frame, Output};
use crate::rtp::reception::Reception;
use crate::rtp::rtcp;
use crate::time::{Arrival, Discontinuity, Reference, RtpTimeline, Timed};

/// A source that is silent for this long is as gone as one that closed its socket. Detection within
/// 5 s is promised.
const SILENCE: Duration = Duration::from_secs(4);

/// How long parameter sets, or the key frame that holds them, may stay away while media comes.
const DESCRIPTION: Duration = Duration::from_secs(10);

/// Packets in a row that are no RTP before the session is given up.
const MAX_BAD_PACKETS: u32 = 100;

/// How often the server gets a receiver report (RFC 3550, section 6.2).
const REPORTS: Duration = Duration::from_secs(5);

/// What a TEARDOWN may take when the worker ends.
pub(super) const TEARDOWN_TIMEOUT: Duration = Duration::from_millis(300);

const NANOSECONDS: u64 = 1_000_000_000;

/// One track's way from packets to frames.
pub(super) struct Receiver {
    medium: Medium,
    payload_type: u8,
    clock_rate: u32,
    url: String,
    /// Of RTP and RTCP.
    channels: (u8, u8),
    reception: Reception,
    depacketizer: Box<dyn Depacketizer>,
    output: Output,
    /// The RTP time at which playing started, if `RTP-Info` told it.
    pub(super) starts_at: Option<u32>,
    has_started: bool,
}

impl Receiver {
    pub(super) fn new(chosen: Chosen, url: String, channels: (u8, u8), reorders: bool) -> Self {
        Self {
            medium: chosen.medium,
            payload_type: chosen.media.payload_type,
            clock_rate: chosen.media.clock_rate,
            url,
            channels,
            reception: Reception::new(chosen.media.clock_rate, reorders),
            depacketizer: chosen.depacketizer,
            output: Output::default(),
            starts_at: None,
            has_started: false,
        }
    }

    /// Whether the server names this track so; some leave out all but the last segment.
    pub(super) fn has_url(&self, url: &str) -> bool {
        self.url == url || self.url.rsplit('/').next() == Some(url.trim_start_matches('/'))
    }

    /// Moves packets that are in order on to the depacketizer.
    fn depacketize(&mut self) {
        while let Some(received) = self.reception.pop() {
            self.depacketizer.push(received, &mut self.output);
        }
    }
}

/// A running RTSP session. Dropping it sends a TEARDOWN in the background.
pub(crate) struct Session {
    /// It is there until the session is dropped.
    connection: Option<Connection>,
    datagrams: Option<Datagrams>,
    /// What PLAY named.
    control: String,
    receivers: Vec<Receiver>,
    tracks: Option<Arc<Tracks>>,
    timeline: RtpTimeline<Payload>,
    entry: Entry,
    epoch: Instant,
    opened: Instant,
    last_media: Instant,
    next_report: Instant,
    next_sign_of_life: Instant,
    bad_packets: u32,
    /// Packets that came while it was found out whether any do.
    early: VecDeque<Arrived>,
    waiting: VecDeque<SourceItem>,
    left_out: Vec<String>,
    report: Report,
    closing: Rc<RefCell<JoinSet<()>>>,
}

/// A unit without its times.
#[derive(Debug)]
struct Payload {
    medium: Medium,
    entry: EntryPoint,
    data: Bytes,
    arrival: i64,
}

impl Payload {
    fn timed(self, pts: i64, dts: i64) -> AccessUnit {
        AccessUnit {
            medium: self.medium,
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
        connection: Connection,
        datagrams: Option<Datagrams>,
        control: String,
        receivers: Vec<Receiver>,
        left_out: Vec<String>,
        epoch: Instant,
        closing: Rc<RefCell<JoinSet<()>>>,
    ) -> Self {
        let clock = |medium| {
            let receiver = receivers.iter().find(|receiver| receiver.medium == medium);
            receiver.map(|receiver| receiver.clock_rate)
        };
        let now = Instant::now();
        let mut session = Self {
            timeline: RtpTimeline::new(clock(Medium::Video), clock(Medium::Audio)),
            next_sign_of_life: now + connection.conversation.keep_alive(),
            connection: Some(connection),
            datagrams,
            control,
            receivers,
            tracks: None,
            entry: Entry::default(),
            epoch,
            opened: now,
            last_media: now,
            next_report: now + REPORTS,
            bad_packets: 0,
            early: VecDeque::new(),
            waiting: VecDeque::new(),
            left_out,
            report: Report::default(),
            closing,
        };
        session.describe_tracks();
        session
    }

    /// The streams that can't be passed on.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What got lost so far.
    pub(crate) fn losses(&self) -> Losses {
        let each = self.receivers.iter().map(|receiver| Losses {
            packets: receiver.reception.lost(),
            units: receiver.output.count_damaged(),
        });
        each.fold(Losses::default(), Losses::plus)
    }

    /// The next item; fails when the source closes, breaks or falls silent. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<SourceItem, SourceError> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(item);
            }
            let arrived = self.arrived().await?;
            self.take(arrived)?;
            self.report.update(self.last_media, self.losses());
        }
    }

    /// Whether any packet comes within a time; it is kept.
    pub(super) async fn brings_packets(&mut self, within: Duration) -> bool {
        match timeout(within, self.arrived()).await {
            Ok(Ok(arrived)) => {
                self.early.push_back(arrived);
                true
            }
            _ => false,
        }
    }

    /// The next packet. Meanwhile the server hears of the client.
    async fn arrived(&mut self) -> Result<Arrived, SourceError> {
        if let Some(early) = self.early.pop_front() {
            return Ok(early);
        }
        loop {
            let silence = (self.last_media + SILENCE).into();
            let duty = self.next_report.min(self.next_sign_of_life);
            let Some(connection) = &mut self.connection else {
                return Err(SourceError::Closed);
            };
            let datagram = async {
                match &mut self.datagrams {
                    Some(datagrams) => datagrams.next().await,
                    None => std::future::pending().await,
                }
            };
            let next = async {
                tokio::select! {
                    packet = connection.packet() => packet.map(Some),
                    datagram = datagram => datagram.map(Some).ok_or(SourceError::Closed),
                    () = sleep_until(duty.into()) => Ok(None),
                }
            };
            match timeout_at(silence, next).await {
                Err(_) => return Err(SourceError::Silent(SILENCE)),
                Ok(Ok(Some(arrived))) => return Ok(arrived),
                Ok(Ok(None)) => self.do_duty().await?,
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Sends receiver reports and signs of life when their time has come.
    async fn do_duty(&mut self) -> Result<(), SourceError> {
        let now = Instant::now();
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
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
                    None => connection.send_packet(channel, &report).await?,
                }
            }
        }
        if now >= self.next_sign_of_life {
            self.next_sign_of_life = now + connection.conversation.keep_alive();
            let request = connection.conversation.notify("OPTIONS", &self.control);
            connection.send(&request).await?;
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
        let Some(packet) = Packet::parse(arrived.data) else {
            self.bad_packets += 1;
            if self.bad_packets > MAX_BAD_PACKETS {
                let what = "what the server sends is no RTP, or is damaged on the way";
                return Err(SourceError::Protocol(what.to_owned()));
            }
            return Ok(());
        };
        self.bad_packets = 0;
        // Others are repairs, comfort noise, or dialled digits.
        if packet.payload_type == receiver.payload_type {
            receiver.reception.push(packet, at);
        }
        for receiver in &mut self.receivers {
            receiver.reception.expire(at);
            receiver.depacketize();
        }
        for index in 0..self.receivers.len() {
            self.take_frames(index, arrived.at)?;
        }
        Ok(())
    }

    fn take_frames(&mut self, index: usize, now: Instant) -> Result<(), SourceError> {
        while let Some(frame) = self.receivers[index].output.pop() {
            self.last_media = now;
            if self.receivers[index].depacketizer.take_change() || self.tracks.is_none() {
                self.describe_tracks();
            }
            if self.tracks.is_some() {
                self.place(index, frame);
            } else if self.opened.elapsed() > DESCRIPTION {
                let what =
                    "video without parameter sets, or without the key frame that brings them";
                return Err(SourceError::Unsupported(what.to_owned()));
            }
        }
        Ok(())
    }

    /// Announces the tracks when they are known first, or changed.
    fn describe_tracks(&mut self) {
        let mut tracks = Tracks::default();
        for receiver in &self.receivers {
            match receiver.depacketizer.describe() {
                Some(Description::Video(video)) => tracks.video = Some(video),
                Some(Description::Audio(audio)) => tracks.audio = Some(audio),
                None => return,
            }
        }
        if self.tracks.as_deref() == Some(&tracks) {
            return;
        }
        let times = |tracks: &Tracks| {
            let video = tracks.video.as_ref();
            video.map(|video| (video.reorder, video.frame_duration))
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

    /// Places a unit on the timeline; the first of its track with what `RTP-Info` told of it.
    fn place(&mut self, index: usize, frame: Frame) {
        let receiver = &mut self.receivers[index];
        let medium = receiver.medium;
        let nanoseconds =
            |ticks: u32| (u64::from(ticks) * NANOSECONDS / u64::from(receiver.clock_rate)) as i64;
        let placed = self.timeline.place(Arrival {
            medium,
            rtp: frame.timestamp,
            at: frame.began,
            key: frame.entry.is_key(),
            behind_another: frame.behind_another.map(nanoseconds),
        });
        if !std::mem::replace(&mut receiver.has_started, true)
            && let Some(start) = receiver.starts_at
        {
            self.timeline.refer(medium, Reference::Play, start, 0);
        }
        let Some(placed) = placed else { return };
        let goes_on =
            medium == Medium::Audio || self.entry.admits(frame.entry, placed.pts, placed.broke);
        if goes_on {
            let payload = Payload {
                medium,
                entry: frame.entry,
                data: frame.data,
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
        let medium = self.receivers[index].medium;
        if let Some(report) = rtcp::parse(bytes).sender {
            self.timeline
                .refer(medium, Reference::Wall, report.rtp, report.wall());
        }
    }

    fn since_epoch(&self, instant: Instant) -> i64 {
        instant.saturating_duration_since(self.epoch).as_nanos() as i64
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && connection.conversation.has_session()
        {
            let control = std::mem::take(&mut self.control);
            self.closing
                .borrow_mut()
                .spawn(tear_down(connection, control));
        }
    }
}
