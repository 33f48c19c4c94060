//! Decoding times for a source that only tells presentation times, as RTP does (RFC 6184, section 5.1).
//!
//! Access units come in decoding order. With frames that are shown earlier than some decoded before
//! them, the decoding time of the n-th unit is the n-th smallest presentation time, put back by the
//! reorder depth of the stream: then no unit is decoded after it is shown.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::SECOND;

/// H.264 and H.265 allow no deeper reordering (16 frames in the decoded picture buffer).
const MAX_DEPTH: usize = 16;

/// A common frame duration, for streams that do not tell theirs.
pub(super) const DEFAULT_STEP: Duration = Duration::from_millis(40);

/// A presentation time this far beyond all before it, in nanoseconds, follows a hole, unless the frames before came
/// as far apart.
const HOLE: i64 = SECOND;
const USUAL: i64 = 10;

/// Derives decoding times from the presentation times of one track, both in nanoseconds on its line.
#[derive(Debug)]
pub(super) struct DecodeTimes {
    depth: usize,
    /// The latest presentation times, where the depth is not told but learned from them.
    recent: Option<VecDeque<i64>>,
    step: i64,
    /// Presentation times that no unit has got as its decoding time yet.
    waiting: BinaryHeap<Reverse<i64>>,
    /// The latest presentation time of all, and how far it was from the one before.
    furthest: Option<(i64, i64)>,
    /// Units since the start, or since the depth grew.
    seen: usize,
    last: Option<i64>,
}

impl DecodeTimes {
    /// The decoding times of a stream that says these of itself, as far as it does: its reorder depth in frames, and
    /// the duration of one.
    pub(super) fn new(reorder: Option<usize>, step: Option<Duration>) -> Self {
        Self {
            depth: reorder.unwrap_or(0).min(MAX_DEPTH),
            recent: reorder.is_none().then(VecDeque::new),
            step: step.unwrap_or(DEFAULT_STEP).as_nanos() as i64,
            waiting: BinaryHeap::new(),
            furthest: None,
            seen: 0,
            last: None,
        }
    }

    /// Starts fresh after a break of the line; what was learned of the stream is kept.
    pub(super) fn restart(&mut self) {
        self.waiting.clear();
        self.furthest = None;
        self.seen = 0;
        self.last = None;
        self.recent.iter_mut().for_each(VecDeque::clear);
    }

    /// The decoding time of the next unit; `key` is one that decoding can start at.
    pub(super) fn next(&mut self, pts: i64, key: bool) -> i64 {
        if self.seen == 0 && self.last.is_none() && key {
            // Nothing in front of it is missing.
            self.seen = 2 * self.depth;
        }
        self.seen += 1;
        self.follow(pts);
        self.learn(pts);
        self.waiting.push(Reverse(pts));
        let smallest = self.waiting.peek().map_or(pts, |Reverse(time)| *time);
        let derived = if self.waiting.len() > self.depth {
            self.waiting.pop();
            smallest
        } else {
            smallest - self.step * (self.depth + 1 - self.waiting.len()) as i64
        };
        let dts = self.last.map_or(derived, |last| derived.max(last + 1));
        self.last = Some(dts);
        dts
    }

    /// Whether the times are right: what went before no longer matters to a reader that came in the middle of a group
    /// of pictures.
    pub(super) fn is_steady(&self) -> bool {
        self.seen > 2 * self.depth
    }

    /// Forgets what waits before a hole in the stream: those times would be as far from the next units as the hole is
    /// long.
    fn follow(&mut self, pts: i64) {
        let Some((furthest, usual)) = self.furthest else {
            self.furthest = Some((pts, i64::MAX / USUAL));
            return;
        };
        let advance = pts - furthest;
        if advance > HOLE && advance > USUAL * usual {
            self.waiting.clear();
            self.seen = 0;
        }
        if advance > 0 {
            self.furthest = Some((pts, advance));
        }
    }

    /// The depth is at least the number of units that came before this one and are shown after it.
    fn learn(&mut self, pts: i64) {
        let Some(recent) = &mut self.recent else {
            return;
        };
        let depth = recent.iter().filter(|&&other| other > pts).count();
        if depth > self.depth {
            self.depth = depth;
            self.seen = 0;
        }
        recent.push_back(pts);
        if recent.len() > MAX_DEPTH {
            recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MILLISECOND;
    use super::*;
    use proptest::prelude::*;

    const STEP: Duration = Duration::from_nanos(10);

    fn derive(reorder: Option<usize>, pts: &[i64]) -> Vec<i64> {
        let mut times = DecodeTimes::new(reorder, Some(STEP));
        pts.iter().map(|&pts| times.next(pts, false)).collect()
    }

    #[test]
    fn without_reordering_both_times_are_one() {
        assert_eq!(derive(Some(0), &[0, 10, 20]), [0, 10, 20]);
        assert_eq!(derive(None, &[0, 10, 20]), [0, 10, 20]);
    }

    #[test]
    fn two_b_frames_in_a_row() {
        // I P B B P B B
        assert_eq!(
            derive(Some(1), &[0, 30, 10, 20, 60, 40, 50]),
            [-10, 0, 10, 20, 30, 40, 50]
        );
    }

    #[test]
    fn a_pyramid_of_b_frames() {
        // I P B(ref) B B
        assert_eq!(
            derive(Some(2), &[0, 40, 20, 10, 30, 80]),
            [-20, -10, 0, 10, 20, 30]
        );
    }

    #[test]
    fn a_depth_that_is_not_told_is_learned() {
        let times = derive(None, &[0, 30, 10, 20, 60, 40, 50, 90, 70, 80]);
        assert_eq!(times[7..], [60, 70, 80], "{times:?}");
    }

    #[test]
    fn a_reader_that_comes_in_the_middle_ends_up_with_the_same_times() {
        let pts = [0, 30, 10, 20, 60, 40, 50, 90, 70, 80, 120, 100, 110];
        let whole = derive(Some(1), &pts);
        for from in 1..6 {
            assert_eq!(
                derive(Some(1), &pts[from..])[4..],
                whole[from + 4..],
                "from {from}"
            );
        }
    }

    #[test]
    fn a_hole_is_no_composition_time() {
        let mut times = DecodeTimes::new(Some(2), Some(Duration::from_millis(40)));
        let frame = |number: i64| number * 40 * MILLISECOND;
        let shown = [0, 4, 2, 1, 3, 8, 6, 5, 7, 104, 102, 101, 103, 108];
        for pts in shown.map(frame) {
            let dts = times.next(pts, pts == 0);
            assert!(pts - dts <= frame(5), "{pts} {dts}");
        }
    }

    #[test]
    fn few_frames_a_second_are_no_holes() {
        let mut times = DecodeTimes::new(Some(1), None);
        for (number, pts) in [0, 6, 2, 4, 12, 8, 10].into_iter().enumerate() {
            let dts = times.next(pts * SECOND, number == 0);
            assert!(dts <= pts * SECOND);
        }
    }

    proptest! {
        #[test]
        fn decoding_times_rise_and_never_pass_the_presentation(
            depth in 0usize..5,
            groups in prop::collection::vec(1usize..6, 1..30),
        ) {
            // Each group is a forward reference, followed by the frames shown before it.
            let mut pts = vec![0];
            let mut shown = 0;
            for size in groups {
                let size = if depth == 0 { 1 } else { size as i64 };
                pts.push((shown + size) * 10);
                pts.extend((1..size).map(|frame| (shown + frame) * 10));
                shown += size;
            }
            let times = derive(Some(depth), &pts);
            prop_assert_eq!(times.len(), pts.len());
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times);
            prop_assert!(times.iter().zip(&pts).all(|(dts, pts)| dts <= pts), "{:?} {:?}", times, pts);
        }

        #[test]
        fn any_times_are_taken(reorder: Option<u8>, pts in prop::collection::vec(-1_000_000i64..1_000_000, 0..60)) {
            let times = derive(reorder.map(usize::from), &pts);
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
