//! The first second of an RTMP stream.

use crate::media::{AccessUnit, TrackId};

/// How long, in nanoseconds, media is held for the first frame of a track that is known by it.
const LONGEST: i64 = 1_000_000_000;

/// A server learns of some tracks by their first frame, see
/// [`Carried::is_known_by_its_first_frame`](super::carried::Carried::is_known_by_its_first_frame), and stops looking for
/// tracks soon after the first message of media. So these frames go first; what came before them is held.
#[derive(Debug)]
pub(super) struct Opening {
    /// Tracks that are known by their first frame, with the decoding time of that.
    late: Vec<(TrackId, Option<i64>)>,
    held: Vec<AccessUnit>,
}

/// What an opening let go.
#[derive(Debug)]
pub(super) struct Opened {
    /// First the first unit of each track that is known by it.
    pub(super) units: Vec<AccessUnit>,
    /// How many of those there are, and the latest decoding time of them.
    pub(super) firsts: usize,
    pub(super) latest: Option<i64>,
    /// Tracks that brought nothing.
    pub(super) missing: Vec<TrackId>,
}

impl Opening {
    pub(super) fn new(late: impl IntoIterator<Item = TrackId>) -> Self {
        Self {
            late: late.into_iter().map(|track| (track, None)).collect(),
            held: Vec::new(),
        }
    }

    /// Holds a unit. Returns all that is held, once nothing more is waited for.
    pub(super) fn push(&mut self, unit: AccessUnit) -> Option<Opened> {
        let waited = self.held.first();
        let waited = waited.map_or(0, |first| unit.arrival - first.arrival);
        for (track, first) in &mut self.late {
            if *track == unit.track {
                first.get_or_insert(unit.dts);
            }
        }
        self.held.push(unit);
        let is_complete = self.late.iter().all(|(_, first)| first.is_some());
        (is_complete || waited >= LONGEST).then(|| self.release())
    }

    fn release(&mut self) -> Opened {
        let mut units = std::mem::take(&mut self.held);
        let mut missing = Vec::new();
        let mut firsts = 0;
        for (track, _) in &self.late {
            match units.iter().position(|unit| unit.track == *track) {
                Some(at) => {
                    units[firsts..=at].rotate_right(1);
                    firsts += 1;
                }
                None => missing.push(*track),
            }
        }
        Opened {
            latest: self.late.iter().filter_map(|(_, first)| *first).max(),
            units,
            firsts,
            missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{EntryPoint, Medium};
    use bytes::Bytes;

    const VIDEO: TrackId = TrackId::first(Medium::Video);
    const FIRST: TrackId = TrackId::first(Medium::Audio);
    const SECOND: TrackId = TrackId {
        medium: Medium::Audio,
        index: 1,
    };

    fn unit(track: TrackId, milliseconds: i64) -> AccessUnit {
        let time = milliseconds * 1_000_000;
        AccessUnit {
            track,
            pts: time,
            dts: time,
            entry: EntryPoint::Closed,
            data: Bytes::new(),
            arrival: time,
        }
    }

    fn order(opened: &Opened) -> Vec<(String, i64)> {
        let units = opened.units.iter();
        units
            .map(|unit| (unit.track.to_string(), unit.dts / 1_000_000))
            .collect()
    }

    #[test]
    fn the_first_frame_of_each_late_track_goes_first() {
        let mut opening = Opening::new([FIRST, SECOND]);
        for (track, at) in [(VIDEO, 0), (SECOND, 10), (SECOND, 20), (VIDEO, 40)] {
            assert!(opening.push(unit(track, at)).is_none());
        }
        let opened = opening.push(unit(FIRST, 50)).unwrap();
        let expected = [
            ("audio", 50),
            ("audio 2", 10),
            ("video", 0),
            ("audio 2", 20),
            ("video", 40),
        ];
        assert_eq!(
            order(&opened),
            expected.map(|(track, at)| (track.to_owned(), at))
        );
        assert_eq!((opened.firsts, opened.latest), (2, Some(50_000_000)));
        assert!(opened.missing.is_empty());
    }

    #[test]
    fn a_track_that_does_not_come_is_waited_for_a_second() {
        let mut opening = Opening::new([FIRST, SECOND]);
        assert!(opening.push(unit(VIDEO, 0)).is_none());
        assert!(opening.push(unit(FIRST, 999)).is_none());
        let opened = opening.push(unit(VIDEO, 1_000)).unwrap();
        assert_eq!((opened.firsts, opened.missing), (1, vec![SECOND]));
    }
}
