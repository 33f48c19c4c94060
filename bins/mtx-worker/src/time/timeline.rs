//! The timeline of one RTSP session.

use std::collections::VecDeque;
use std::time::Duration;

use super::decode_times::{DEFAULT_STEP, DecodeTimes};
use super::track_sync::{Observation, Reference, TrackSync};
use super::unwrap::Unwrap;
use super::{Discontinuity, SECOND};
use crate::media::Medium;

/// Tracks that break one after the other within this time break for one reason.
const ONE_BREAK: i64 = SECOND;

/// What RTP and the network tell of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) medium: Medium,
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
    medium: Medium,
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
    unwrap: Unwrap,
    /// Where presentation and decoding times differ.
    decode_times: Option<DecodeTimes>,
    /// When the unit before was stamped, by its arrival.
    stamped: Option<i64>,
}

/// Gives units of payload `P` their times. They are held until the tracks' relation is known: for a quarter of a
/// second after the start of both, not at all with one track alone or a server that tells the relation, for a second
/// if the other track does not come. After a break nothing is held.
#[derive(Debug)]
pub(crate) struct RtpTimeline<P> {
    lines: [Option<Line>; 2],
    in_order: bool,
    sync: TrackSync,
    held: VecDeque<(Placed, P)>,
    ready: VecDeque<Timed<P>>,
    latest_break: Option<i64>,
}

impl<P> RtpTimeline<P> {
    /// The timeline of a session with these tracks; their RTP clocks in ticks a second.
    pub(crate) fn new(video_clock: Option<u32>, audio_clock: Option<u32>) -> Self {
        let line = |clock_rate| Line {
            unwrap: Unwrap::new(clock_rate),
            decode_times: None,
            stamped: None,
        };
        Self {
            lines: [video_clock, audio_clock].map(|clock| clock.map(line)),
            in_order: false,
            sync: TrackSync::new(video_clock.is_none() || audio_clock.is_none()),
            held: VecDeque::new(),
            ready: VecDeque::new(),
            latest_break: None,
        }
    }

    /// What the video says of itself, as far as it does: its reorder depth in frames, and the duration of one.
    pub(crate) fn describe_video(&mut self, reorder: Option<usize>, frame: Option<Duration>) {
        self.in_order = reorder == Some(0);
        if let Some(line) = &mut self.lines[Medium::Video as usize] {
            line.unwrap
                .expect_reordering(reorder, frame.unwrap_or(DEFAULT_STEP));
            line.decode_times = Some(DecodeTimes::new(reorder, frame));
        }
    }

    /// The server told that RTP time `rtp` of a track is `server` nanoseconds of its own time. What it tells before
    /// the track's first unit is of no use.
    pub(crate) fn refer(&mut self, medium: Medium, reference: Reference, rtp: u32, server: i64) {
        let line = &self.lines[medium as usize];
        if let Some(line) = line.as_ref().and_then(|line| line.unwrap.place(rtp)) {
            self.sync.refer(medium, reference, line, server);
        }
    }

    /// Takes note of a unit that arrived, whether it goes on or not. `None` for a track that the session has not.
    pub(crate) fn place(&mut self, unit: Arrival) -> Option<Placed> {
        let line = self.lines[unit.medium as usize].as_mut()?;
        let position = line.unwrap.next(unit.rtp, unit.at);
        if let Some(jump) = position.jump {
            self.restart(unit.medium, jump, unit.at);
        }
        let line = self.lines[unit.medium as usize].as_mut()?;
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
        self.sync.observe(unit.medium, seen);
        let broke = position.jump.is_some();
        Some(Placed {
            medium: unit.medium,
            at: unit.at,
            pts,
            dts,
            broke,
        })
    }

    /// Gives a unit its times, and those that were held before it.
    pub(crate) fn push(&mut self, placed: Placed, payload: P) {
        self.held.push_back((placed, payload));
        if self.sync.is_settled(self.in_order) {
            self.release();
        }
    }

    /// What is ready next.
    pub(crate) fn pop(&mut self) -> Option<Timed<P>> {
        self.ready.pop_front()
    }

    /// Starts a track fresh after a break.
    fn restart(&mut self, medium: Medium, jump: i64, at: i64) {
        // What came before belongs to the line that ends here.
        self.release();
        self.sync.restart(medium);
        if let Some(line) = &mut self.lines[medium as usize] {
            line.decode_times.iter_mut().for_each(DecodeTimes::restart);
        }
        let is_known = self
            .latest_break
            .is_some_and(|latest| at - latest < ONE_BREAK);
        if !is_known {
            self.latest_break = Some(at);
            self.ready
                .push_back(Timed::Discontinuity(Discontinuity { medium, jump }));
        }
    }

    fn release(&mut self) {
        while let Some((
            Placed {
                medium,
                at,
                pts,
                dts,
                ..
            },
            payload,
        )) = self.held.pop_front()
        {
            let line = self.lines[medium as usize].as_mut();
            let before = line.and_then(|line| line.stamped.replace(at));
            let passed = at - before.unwrap_or(at);
            let (pts, dts) = self.sync.stamp(medium, pts, dts, passed);
            self.ready.push_back(Timed::Unit { payload, pts, dts });
        }
    }
}
