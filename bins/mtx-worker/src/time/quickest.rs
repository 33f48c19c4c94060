//! The quickest delivery of late.

use super::SECOND;

/// A delay is remembered for one to two of these.
const WINDOW: i64 = 5 * SECOND;

/// The smallest delay of the last five to ten seconds: what is left of delays without the jitter of the
/// network, which only ever adds to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quickest {
    began: i64,
    current: i64,
    previous: i64,
}

impl Quickest {
    /// Starts with the first `delay`, which was seen `at` an arrival time.
    pub(super) fn new(delay: i64, at: i64) -> Self {
        Self {
            began: at,
            current: delay,
            previous: delay,
        }
    }

    pub(super) fn add(&mut self, delay: i64, at: i64) {
        if at - self.began >= WINDOW {
            *self = Self {
                began: at,
                current: delay,
                previous: self.current,
            };
        }
        self.current = self.current.min(delay);
    }

    pub(super) fn delay(&self) -> i64 {
        self.current.min(self.previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_left_out_at_once_and_a_longer_way_is_noticed_later() {
        let mut quickest = Quickest::new(30, 0);
        quickest.add(20, SECOND);
        quickest.add(50, 2 * SECOND);
        assert_eq!(quickest.delay(), 20);
        for second in 3..12 {
            quickest.add(50, second * SECOND);
        }
        assert_eq!(quickest.delay(), 50);
    }
}
