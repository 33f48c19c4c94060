//! Where a reader who comes in the middle of a stream begins.

/// Follows a video track up to the point from which on everything can be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Entry {
    /// Nothing can be decoded yet.
    #[default]
    Waiting,
    /// Decoding started at a key frame, presented at this time. Leading pictures, which follow it and are shown
    /// before it, refer to what was missed.
    Leading(i64),
    /// Everything can be decoded.
    Open,
}

impl Entry {
    /// Whether a unit can be decoded, by its presentation time on a line that may have broken just before it.
    pub(super) fn admits(&mut self, key: bool, pts: i64, broke: bool) -> bool {
        *self = match *self {
            Self::Waiting if key => Self::Leading(pts),
            Self::Leading(key_pts) if broke || pts > key_pts => Self::Open,
            same => same,
        };
        match *self {
            Self::Waiting => false,
            Self::Leading(key_pts) => pts == key_pts,
            Self::Open => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_begins_at_a_key_frame_without_its_leading_pictures() {
        let mut entry = Entry::default();
        let units = [
            (false, 5),
            (true, 9),
            (false, 7),
            (false, 8),
            (false, 12),
            (false, 10),
            (true, 2),
        ];
        let admitted = units.map(|(key, pts)| entry.admits(key, pts, false));
        assert_eq!(admitted, [false, true, false, false, true, true, true]);
    }

    #[test]
    fn after_a_break_earlier_times_are_no_leading_pictures() {
        let mut entry = Entry::default();
        assert!(entry.admits(true, 1_000, false));
        assert!(entry.admits(false, 3, true));
        assert!(entry.admits(false, 4, false));
    }
}
