//! The timeline of one RTSP session.

use std::collections::VecDeque;
use std::time::Duration;

use super::decode_times::{DEFAULT_STEP, DecodeTimes};
use super::track_sync::{Observation, Reference, TrackSync};
use super::unwrap::Unwrap;
use super::{Discontinuity, SECOND};
use crate::media::{Medium, TrackId};

/// Tracks that break one after the other within this time break for one reason.
const ONE_BREAK: i64 = SECOND;

/// What RTP and the network tell of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) track: TrackId,
    /// The RTP time stamp, as far as it fits into the packet's 32 bits.
    pub(crate) rtp: u32,
    /// When its first byte arrived, in worker time.
    pub(crate) at: i64,
    /// Whether decoding can start with it.
    pub(crate) key: bool,
    /// The duration of an audio frame that is not the first in its packet, in nanoseconds. Such a packet is full
    /// when the frame behind its last one does not fit, so it leaves when that one is there.
    pub(crate) behind_another: Option<i64>,
}

/// Where a unit is on its track's line, in nanoseconds since any origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// The place of its line.
    line: usize,
    at: i64,
    pub(crate) pts: i64,
    dts: i64,
    /// Whether the line broke before the unit, and has a new origin.
    pub(crate) broke: bool,
}

/// What a timeline yields.
#[derive(Debug)]
pub(crate) enum Timed<P> {
    Discontinuity(Discontinuity),
    /// A unit's payload with its presentation and decoding time, in worker time.
    Unit {
        payload: P,
        pts: i64,
        dts: i64,
    },
}

#[derive(Debug)]
struct Line {
    track: TrackId,
    unwrap: Unwrap,
    /// Where presentation and decoding times differ.
    decode_times: Option<DecodeTimes>,
    /// Whether its units are shown in the order in which they are decoded.
    in_order: bool,
    /// When the unit before was stamped, by its arrival.
    stamped: Option<i64>,
}

/// Gives units of payload `P` their times. They are held until the tracks' relation is known: for a quarter of a
/// second after the start of all, not at all with one track alone or a server that tells the relation, for a second
/// if one of the tracks does not come. After a break nothing is held.
#[derive(Debug)]
pub(crate) struct RtpTimeline<P> {
    lines: Vec<Line>,
    sync: TrackSync,
    held: VecDeque<(Placed, P)>,
    ready: VecDeque<Timed<P>>,
    latest_break: Option<i64>,
}

impl<P> RtpTimeline<P> {
    /// The timeline of a session with these tracks; their RTP clocks in ticks a second.
    pub(crate) fn new(tracks: impl IntoIterator<Item = (TrackId, u32)>) -> Self {
        let line = |(track, clock_rate): (TrackId, u32)| Line {
            track,
            unwrap: Unwrap::new(clock_rate),
            decode_times: None,
            in_order: track.medium == Medium::Audio,
            stamped: None,
        };
        let lines: Vec<_> = tracks.into_iter().map(line).collect();
        let mut videos = lines.iter().map(|line| line.track.medium);
        let first_video = videos.position(|medium| medium == Medium::Video);
        Self {
            sync: TrackSync::new(lines.len(), first_video.unwrap_or(0)),
            lines,
            held: VecDeque::new(),
            ready: VecDeque::new(),
            latest_break: None,
        }
    }

    /// What a video track says of itself, as far as it does: its reorder depth in frames, and the duration of one.
    pub(crate) fn describe_video(
        &mut self,
        track: TrackId,
        reorder: Option<usize>,
        frame: Option<Duration>,
    ) {
        if let Some(place) = self.line(track) {
            let line = &mut self.lines[place];
            line.in_order = reorder == Some(0);
            line.unwrap
                .expect_reordering(reorder, frame.unwrap_or(DEFAULT_STEP));
            line.decode_times = Some(DecodeTimes::new(reorder, frame));
        }
    }

    /// The server told that RTP time `rtp` of a track is `server` nanoseconds of its own time. What it tells before
    /// the track's first unit is of no use.
    pub(crate) fn refer(&mut self, track: TrackId, reference: Reference, rtp: u32, server: i64) {
        if let Some(place) = self.line(track)
            && let Some(time) = self.lines[place].unwrap.place(rtp)
        {
            self.sync.refer(place, reference, time, server);
        }
    }

    /// Takes note of a unit that arrived, whether it goes on or not. `None` for a track that the session has not.
    pub(crate) fn place(&mut self, unit: Arrival) -> Option<Placed> {
        let place = self.line(unit.track)?;
        let position = self.lines[place].unwrap.next(unit.rtp, unit.at);
        if let Some(jump) = position.jump {
            self.restart(place, jump, unit.at);
        }
        let line = &mut self.lines[place];
        let pts = position.time;
        let times = line.decode_times.as_mut();
        let dts = times.map_or(pts, |times| times.next(pts, unit.key));
        let steady = line
            .decode_times
            .as_ref()
            .is_none_or(DecodeTimes::is_steady);
        let seen = Observation {
            arrival: unit.at,
            sent: dts + unit.behind_another.unwrap_or(0),
            stamped: unit.behind_another.is_none().then_some(pts),
            steady,
        };
        self.sync.observe(place, seen);
        let broke = position.jump.is_some();
        Some(Placed {
            line: place,
            at: unit.at,
            pts,
            dts,
            broke,
        })
    }

    /// Gives a unit its times, and those that were held before it.
    pub(crate) fn push(&mut self, placed: Placed, payload: P) {
        self.held.push_back((placed, payload));
        let in_order = self.lines.iter().all(|line| line.in_order);
        if self.sync.is_settled(in_order) {
            self.release();
        }
    }

    fn line(&self, track: TrackId) -> Option<usize> {
        self.lines.iter().position(|line| line.track == track)
    }

    /// What is ready next.
    pub(crate) fn pop(&mut self) -> Option<Timed<P>> {
        self.ready.pop_front()
    }

    /// Starts a track fresh after a break.
    fn restart(&mut self, place: usize, jump: i64, at: i64) {
        // What came before belongs to the line that ends here.
        self.release();
        self.sync.restart(place);
        let line = &mut self.lines[place];
        line.decode_times.iter_mut().for_each(DecodeTimes::restart);
        let is_known = self
            .latest_break
            .is_some_and(|latest| at - latest < ONE_BREAK);
        if !is_known {
            self.latest_break = Some(at);
            let track = line.track;
            self.ready
                .push_back(Timed::Discontinuity(Discontinuity { track, jump }));
        }
    }

    fn release(&mut self) {
        while let Some((placed, payload)) = self.held.pop_front() {
            let Placed {
                line, at, pts, dts, ..
            } = placed;
            let before = self.lines[line].stamped.replace(at);
            let passed = at - before.unwrap_or(at);
            let (pts, dts) = self.sync.stamp(line, pts, dts, passed);
            self.ready.push_back(Timed::Unit { payload, pts, dts });
        }
    }
}
