//! Decoding times for a source that only tells presentation times, as RTP does (RFC 6184, section 5.1).
//!
//! Access units come in decoding order. With frames that are shown earlier than some decoded before
//! them, the decoding time of the n-th unit is the n-th smallest presentation time, put back by the
//! reorder depth of the stream: then no unit is decoded after it is shown.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// H.264 and H.265 allow no deeper reordering (16 frames in the decoded picture buffer).
const MAX_DEPTH: usize = 16;

/// A common frame duration, for the first units of a stream that does not tell its own.
const DEFAULT_STEP: Duration = Duration::from_millis(40);

/// Derives decoding times, in the unit of the presentation times it is given.
#[derive(Debug)]
pub(crate) struct DecodeTimes {
    depth: usize,
    /// The latest presentation times, where the depth is not told but learned from them.
    recent: Option<VecDeque<i64>>,
    step: i64,
    /// Presentation times that no unit has got as its decoding time yet.
    waiting: BinaryHeap<Reverse<i64>>,
    first: Option<i64>,
    last: Option<i64>,
}

impl DecodeTimes {
    /// Times in nanoseconds; `reorder` and `step` are the reorder depth and the frame duration, as far
    /// as the stream tells them.
    pub(crate) fn new(reorder: Option<usize>, step: Option<Duration>) -> Self {
        Self {
            depth: reorder.unwrap_or(0).min(MAX_DEPTH),
            recent: reorder.is_none().then(VecDeque::new),
            step: step.unwrap_or(DEFAULT_STEP).as_nanos() as i64,
            waiting: BinaryHeap::new(),
            first: None,
            last: None,
        }
    }

    /// The decoding time of the next unit. `None` for a leading picture that is shown before the first
    /// key frame: nothing it refers to was received.
    pub(crate) fn next(&mut self, pts: i64) -> Option<i64> {
        let first = *self.first.get_or_insert(pts);
        if pts < first {
            return None;
        }
        self.learn(pts);
        self.waiting.push(Reverse(pts));
        let derived = if self.waiting.len() > self.depth {
            self.waiting.pop().map_or(pts, |Reverse(time)| time)
        } else {
            first - self.step * (self.depth - self.waiting.len() + 1) as i64
        };
        let dts = self.last.map_or(derived, |last| derived.max(last + 1));
        self.last = Some(dts);
        Some(dts)
    }

    /// The depth is at least the number of units that came before this one and are shown after it.
    fn learn(&mut self, pts: i64) {
        let Some(recent) = &mut self.recent else {
            return;
        };
        self.depth = self
            .depth
            .max(recent.iter().filter(|&&other| other > pts).count());
        recent.push_back(pts);
        if recent.len() > MAX_DEPTH {
            recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEP: Duration = Duration::from_nanos(10);

    fn derive(reorder: Option<usize>, pts: &[i64]) -> Vec<Option<i64>> {
        let mut times = DecodeTimes::new(reorder, Some(STEP));
        pts.iter().map(|&pts| times.next(pts)).collect()
    }

    fn some(times: &[i64]) -> Vec<Option<i64>> {
        times.iter().copied().map(Some).collect()
    }

    #[test]
    fn without_reordering_both_times_are_one() {
        assert_eq!(derive(Some(0), &[0, 10, 20]), some(&[0, 10, 20]));
        assert_eq!(derive(None, &[0, 10, 20]), some(&[0, 10, 20]));
    }

    #[test]
    fn two_b_frames_in_a_row() {
        // I P B B P B B
        assert_eq!(
            derive(Some(1), &[0, 30, 10, 20, 60, 40, 50]),
            some(&[-10, 0, 10, 20, 30, 40, 50])
        );
    }

    #[test]
    fn a_pyramid_of_b_frames() {
        // I P B(ref) B B
        assert_eq!(
            derive(Some(2), &[0, 40, 20, 10, 30, 80]),
            some(&[-20, -10, 0, 10, 20, 30])
        );
    }

    #[test]
    fn a_depth_that_is_not_told_is_learned() {
        let times = derive(None, &[0, 30, 10, 20, 60, 40, 50, 90, 70, 80]);
        assert_eq!(times[7..], some(&[60, 70, 80])[..], "{times:?}");
    }

    #[test]
    fn leading_pictures_of_the_first_key_frame_are_dropped() {
        assert_eq!(
            derive(Some(1), &[100, 80, 90, 130]),
            [Some(90), None, None, Some(100)]
        );
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
            let times: Vec<i64> = derive(Some(depth), &pts).into_iter().flatten().collect();
            prop_assert_eq!(times.len(), pts.len());
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times);
            prop_assert!(times.iter().zip(&pts).all(|(dts, pts)| dts <= pts), "{:?} {:?}", times, pts);
        }

        #[test]
        fn any_times_are_taken(reorder: Option<u8>, pts in prop::collection::vec(-1_000_000i64..1_000_000, 0..60)) {
            let times: Vec<i64> = derive(reorder.map(usize::from), &pts).into_iter().flatten().collect();
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
