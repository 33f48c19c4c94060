//! The first second of an RTMP stream.

use super::timestamps::{MEDIA_START, Timestamps};
use crate::media::{AccessUnit, TrackId};

/// How long, in nanoseconds, media is held for the first frame of a track that is known by it.
const LONGEST: i64 = 1_000_000_000;

/// How much later, in nanoseconds of decoding time, such a frame may be than the earliest unit that is held: the RTMP
/// stream has no more room before [`MEDIA_START`]. An output that joins gets seconds of media at once.
const MAX_SPAN: i64 = (MEDIA_START - 1) * 1_000_000;

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

impl Opened {
    /// Has MediaMTX see all first frames: it stops looking for tracks at the first message at [`MEDIA_START`].
    pub(super) fn start(&self, timestamps: &mut Timestamps) {
        if let Some(latest) = self.latest.filter(|_| self.firsts > 1) {
            timestamps.start(latest, MEDIA_START - 1);
        }
    }
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
        let earliest = self.held.iter().map(|held| held.dts).min();
        let is_too_late = earliest.is_some_and(|earliest| unit.dts - earliest > MAX_SPAN);
        for (track, first) in &mut self.late {
            if *track == unit.track && !is_too_late {
                first.get_or_insert(unit.dts);
            }
        }
        self.held.push(unit);
        let is_complete = self.late.iter().all(|(_, first)| first.is_some());
        (is_complete || is_too_late || waited >= LONGEST).then(|| self.release())
    }

    fn release(&mut self) -> Opened {
        let mut units = std::mem::take(&mut self.held);
        let mut missing = Vec::new();
        let mut firsts = 0;
        for (track, first) in &self.late {
            let first = first.and_then(|_| units.iter().position(|unit| unit.track == *track));
            match first {
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
    use proptest::prelude::*;

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

    proptest! {
        /// As an output gets it that joins: a key frame, and all that came since, of one arrival.
        #[test]
        fn the_first_picture_has_a_time_stamp_however_late_a_track_begins(
            times in prop::collection::vec((0..3usize, 0..10_000i64), 1..80),
        ) {
            let mut times = times;
            times.sort_by_key(|(_, at)| *at);
            let mut opening = Some(Opening::new([FIRST, SECOND]));
            let mut timestamps = Timestamps::default();
            let units = [(0, 0)].into_iter().chain(times);
            for (track, at) in units {
                let mut unit = unit([VIDEO, FIRST, SECOND][track], at);
                unit.arrival = 0;
                let Some(held) = &mut opening else {
                    prop_assert!(timestamps.stamp(&unit).is_some());
                    continue;
                };
                if let Some(opened) = held.push(unit) {
                    opening = None;
                    opened.start(&mut timestamps);
                    for unit in &opened.units {
                        prop_assert!(timestamps.stamp(unit).is_some(), "{unit:?}");
                    }
                }
            }
        }
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
