//! RTP time stamps, 32 bits that wrap (RFC 3550, section 5.1), as one continuous line.

use std::time::Duration;

use super::{MILLISECOND, SECOND};

/// Time stamps that jump ahead of the quickest delivery by more than this were not counted up to.
const MAX_AHEAD: i64 = SECOND;

/// Units that lag further behind the quickest delivery belong to another line. It is wide, since a stalled
/// connection delivers late what it held back.
const MAX_BEHIND: i64 = 10 * SECOND;

/// Without reordering, smaller steps back than this are jitter of the sender's clock.
const JITTER: i64 = 100 * MILLISECOND;

/// How far B-frames lead back: so many frames in a row are the most that live encoders use.
const B_FRAMES: i64 = 9;
const MAX_REORDERING: i64 = SECOND;

/// The quickest delivery is forgotten by one part in so many of the time that passes, as clocks drift.
const FORGET: i64 = 1_000;

#[derive(Clone, Copy, Debug)]
struct Furthest {
    rtp: u32,
    /// Where `rtp` is on the line, in ticks.
    ticks: i64,
    /// Of the latest unit, which need not be the furthest.
    arrival: i64,
    /// Smallest delay of an arrival behind line time.
    quickest: i64,
}

/// Where a unit is on its track's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// In nanoseconds of the track's clock.
    pub(super) time: i64,
    /// By how many nanoseconds the line broke before the unit, if it did: it has a new origin then.
    pub(super) jump: Option<i64>,
}

/// One track's line.
#[derive(Debug)]
pub(super) struct Unwrap {
    /// In ticks a second.
    clock_rate: u32,
    max_back: i64,
    furthest: Option<Furthest>,
}

impl Unwrap {
    /// The line of a track without reordering, whose RTP clock has `clock_rate` ticks a second.
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            max_back: JITTER,
            furthest: None,
        }
    }

    /// Allows for units that are presented before others which came earlier, by the reorder depth and the
    /// frame duration as far as they are known.
    pub(super) fn expect_reordering(&mut self, depth: Option<usize>, frame: Duration) {
        let back = (B_FRAMES * frame.as_nanos() as i64).clamp(JITTER, MAX_REORDERING);
        self.max_back = if depth == Some(0) { JITTER } else { back };
    }

    /// The position of the next unit by its RTP time stamp and its arrival.
    pub(super) fn next(&mut self, rtp: u32, arrival: i64) -> Position {
        let Some(furthest) = self.furthest else {
            return self.start(rtp, arrival, None);
        };
        let ticks = i64::from(rtp.wrapping_sub(furthest.rtp) as i32);
        let passed = arrival - furthest.arrival;
        let jump = self.nanoseconds(ticks) - passed;
        let time = self.nanoseconds(furthest.ticks + ticks);
        let behind = arrival - time - furthest.quickest;
        let back = self.nanoseconds(-ticks) > self.max_back;
        if back || behind > MAX_BEHIND || (behind < -MAX_AHEAD && jump > MAX_AHEAD) {
            return self.start(rtp, arrival, Some(jump));
        }
        let is_furthest = ticks > 0;
        self.furthest = Some(Furthest {
            rtp: if is_furthest { rtp } else { furthest.rtp },
            ticks: furthest.ticks + ticks.max(0),
            arrival,
            quickest: (furthest.quickest + passed.max(0) / FORGET).min(arrival - time),
        });
        Position { time, jump: None }
    }

    /// Where an RTP time stamp near those of the latest units is on the line, in nanoseconds.
    pub(super) fn place(&self, rtp: u32) -> Option<i64> {
        let furthest = self.furthest?;
        let ticks = i64::from(rtp.wrapping_sub(furthest.rtp) as i32);
        Some(self.nanoseconds(furthest.ticks + ticks))
    }

    fn start(&mut self, rtp: u32, arrival: i64, jump: Option<i64>) -> Position {
        let ticks = i64::from(rtp);
        let time = self.nanoseconds(ticks);
        self.furthest = Some(Furthest {
            rtp,
            ticks,
            arrival,
            quickest: arrival - time,
        });
        Position { time, jump }
    }

    fn nanoseconds(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * i128::from(SECOND) / i128::from(self.clock_rate.max(1))) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: u32 = 90_000;
    const FRAME: u32 = 3_600;
    const STEP: i64 = 40 * MILLISECOND;

    fn jumps(unwrap: &mut Unwrap, units: impl IntoIterator<Item = (u32, i64)>) -> Vec<i64> {
        (units
            .into_iter()
            .filter_map(|(rtp, at)| unwrap.next(rtp, at).jump))
        .collect()
    }

    #[test]
    fn a_line_goes_on_over_the_wrap() {
        let mut unwrap = Unwrap::new(RATE);
        let mut last = unwrap.next(u32::MAX - 2 * FRAME, 0).time;
        for frame in 1..10 {
            let rtp = (u32::MAX - 2 * FRAME).wrapping_add(frame * FRAME);
            let position = unwrap.next(rtp, i64::from(frame) * STEP);
            assert_eq!((position.jump, position.time - last), (None, STEP));
            last = position.time;
        }
    }

    #[test]
    fn jumps_that_cannot_be_are_breaks_and_those_that_can_be_are_not() {
        let table = [
            ("back by 8 s", 20 * FRAME, STEP, Some(-8 * SECOND - STEP)),
            ("ahead by 8 s", 420 * FRAME, STEP, Some(8 * SECOND - STEP)),
            (
                "as many frames lost as time has passed",
                420 * FRAME,
                8 * SECOND,
                None,
            ),
            ("delivered late", 221 * FRAME, 4 * SECOND, None),
            (
                "stopped for longer than any stall",
                221 * FRAME,
                12 * SECOND,
                Some(STEP - 12 * SECOND),
            ),
            ("jitter", 219 * FRAME, STEP, None),
        ];
        for (case, rtp, passed, expected) in table {
            let mut unwrap = Unwrap::new(RATE);
            unwrap.next(220 * FRAME, 0);
            let jump = unwrap.next(rtp, passed).jump;
            assert_eq!(
                jump.map(|jump| jump / SECOND),
                expected.map(|jump| jump / SECOND),
                "{case}"
            );
        }
    }

    #[test]
    fn b_frames_are_no_breaks() {
        let mut unwrap = Unwrap::new(RATE);
        unwrap.expect_reordering(Some(2), Duration::from_millis(40));
        let shown = [100, 104, 102, 101, 103, 108, 106, 105, 107];
        let units = (0..)
            .zip(shown)
            .map(|(at, frame)| (frame * FRAME, at * STEP));
        assert_eq!(jumps(&mut unwrap, units), [0; 0]);
    }

    #[test]
    fn a_burst_after_a_stall_is_no_break_whatever_the_server_has_thrown_away() {
        let mut unwrap = Unwrap::new(RATE);
        let before = (0..100).map(|frame| (frame * FRAME, i64::from(frame) * STEP));
        let burst = (100..120)
            .chain(170..200)
            .map(|frame| (frame * FRAME, 200 * STEP));
        assert_eq!(jumps(&mut unwrap, before.chain(burst)), [0; 0]);
    }

    #[test]
    fn a_clock_that_drifts_for_days_does_not_break() {
        for ppm in [-200, 200] {
            let mut unwrap = Unwrap::new(RATE);
            let frames = 2 * 86_400_i64;
            let units = (0..frames).map(|second| {
                let ticks = second * i64::from(RATE) * (1_000_000 + ppm) / 1_000_000;
                (ticks as u32, second * SECOND)
            });
            assert_eq!(jumps(&mut unwrap, units), [0; 0], "{ppm} ppm");
        }
    }

    proptest! {
        #[test]
        fn any_time_stamps_are_taken(
            rate: u32,
            units in prop::collection::vec((any::<u32>(), 0i64..1_000_000_000_000_000), 0..50),
        ) {
            let mut unwrap = Unwrap::new(rate);
            for (rtp, arrival) in units {
                let position = unwrap.next(rtp, arrival);
                prop_assert_eq!(unwrap.place(rtp), Some(position.time));
            }
        }
    }
}
