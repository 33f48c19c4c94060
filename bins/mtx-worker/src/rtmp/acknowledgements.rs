//! What a server says of the bytes that it has got (Adobe RTMP 1.0, section 5.4.3).

/// After how many bytes the server is asked to say that it has them (section 5.4.4): every fraction of a second at usual
/// bit rates.
pub(super) const ACKNOWLEDGED_EVERY: u32 = 16 * 1024;

/// How often, and after how much, a server acknowledges: what it counts, and whether it heeds our wish, differs.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    count: u64,
    /// What the latest one said.
    sequence: Option<u32>,
    /// How much had been sent when it came.
    sent_before: u64,
    /// How much is sent from one to the next.
    usual_gap: u64,
}

impl Acknowledgements {
    /// Those that said something new: one that repeats itself has got nothing more.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// One came when so many bytes had been sent.
    pub(super) fn take(&mut self, sequence: u32, sent: u64) {
        if self.sequence.replace(sequence) == Some(sequence) {
            return;
        }
        let gap = sent - self.sent_before;
        // A running average: a key frame makes a single gap large.
        self.usual_gap = match self.count {
            0 => gap,
            _ => (3 * self.usual_gap + gap) / 4,
        };
        self.sent_before = sent;
        self.count += 1;
    }

    /// Whether much more has been sent since the last one than this server usually lets pass.
    pub(super) fn is_owed(&self, sent: u64) -> bool {
        /// The first ones show that it does so at all, and how often.
        const FEWEST: u64 = 3;
        let owed = sent - self.sent_before;
        self.count >= FEWEST && owed > 2 * self.usual_gap + 2 * u64::from(ACKNOWLEDGED_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_owed_after_more_than_usual_and_repeats_are_none() {
        let mut server = Acknowledgements::default();
        for number in 1..=4 {
            server.take(number * 50_000, u64::from(number) * 50_000);
        }
        assert_eq!(server.count(), 4);
        assert!(!server.is_owed(300_000));
        assert!(server.is_owed(400_000));
        server.take(200_000, 400_000);
        assert_eq!(server.count(), 4, "it said so before");
        assert!(server.is_owed(400_000));
        server.take(400_000, 400_000);
        assert!(!server.is_owed(450_000));
    }

    #[test]
    fn nothing_is_owed_by_a_server_that_never_acknowledges() {
        assert!(!Acknowledgements::default().is_owed(u64::MAX));
    }
}
