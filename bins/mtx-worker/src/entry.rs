//! Where a decoder begins that comes in the middle of a stream.

use crate::media::{AccessUnit, EntryPoint, TrackId};

/// Follows a video track up to the point from which on everything can be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Entry {
    /// Nothing can be decoded yet.
    #[default]
    Waiting,
    /// Decoding started at a picture that is presented at this time. Leading pictures, which follow it and are shown
    /// before it, refer to what was missed.
    Leading(i64),
    /// Everything can be decoded.
    Open,
}

impl Entry {
    /// Whether a unit can be decoded, by its presentation time on a line that may have broken just before it.
    pub(crate) fn admits(&mut self, entry: EntryPoint, pts: i64, broke: bool) -> bool {
        *self = match *self {
            Self::Waiting if entry != EntryPoint::None => Self::Leading(pts),
            Self::Leading(start) if broke || pts > start || entry == EntryPoint::Closed => {
                Self::Open
            }
            same => same,
        };
        match *self {
            Self::Waiting => false,
            Self::Leading(start) => pts == start,
            Self::Open => true,
        }
    }
}

/// Follows all video tracks of a stream; audio can be decoded at every frame.
#[derive(Debug, Default)]
pub(crate) struct Entries(Vec<(TrackId, Entry)>);

impl Entries {
    /// Whether nothing of any video track can be decoded yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.iter().all(|(_, entry)| *entry == Entry::Waiting)
    }

    /// Whether the next unit can be decoded; its time is on a line that does not break.
    pub(crate) fn admits(&mut self, unit: &AccessUnit) -> bool {
        if !unit.is_video() {
            return true;
        }
        let known = self.0.iter().position(|(track, _)| *track == unit.track);
        let place = known.unwrap_or_else(|| {
            self.0.push((unit.track, Entry::default()));
            self.0.len() - 1
        });
        self.0[place].1.admits(unit.entry, unit.pts, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntryPoint::{Closed, None, Open, Refresh};

    #[test]
    fn decoding_begins_at_a_key_frame_without_its_leading_pictures() {
        for start in [Closed, Open, Refresh] {
            let mut entry = Entry::default();
            let units = [
                (None, 5),
                (start, 9),
                (None, 7),
                (None, 8),
                (None, 12),
                (None, 10),
                (start, 2),
            ];
            let admitted = units.map(|(point, pts)| entry.admits(point, pts, false));
            assert_eq!(admitted, [false, true, false, false, true, true, true]);
        }
    }

    #[test]
    fn after_a_break_earlier_times_are_no_leading_pictures() {
        let mut entry = Entry::default();
        assert!(entry.admits(Closed, 1_000, false));
        assert!(entry.admits(None, 3, true));
        assert!(entry.admits(None, 4, false));
    }
}
