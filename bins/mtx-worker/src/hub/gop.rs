//! What an output needs that joins in the middle of the stream, to start with a whole picture at once.

use std::sync::Arc;

use crate::media::{AccessUnit, EntryPoint, TrackId, Tracks};

/// A group of pictures that is longer, in bytes or in nanoseconds, is not kept: whoever joins waits for the next one.
const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_SPAN: i64 = 10_000_000_000;

/// The tracks, and all units since the last picture of the first video track at which a decoder can start.
#[derive(Default)]
pub(super) struct Gop {
    tracks: Option<Arc<Tracks>>,
    /// The first one of the video tracks that had such a picture.
    leader: Option<TrackId>,
    /// Empty, or the first one is that picture.
    units: Vec<AccessUnit>,
    bytes: usize,
}

impl Gop {
    /// What follows has these tracks.
    pub(super) fn set_tracks(&mut self, tracks: Arc<Tracks>) {
        self.clear();
        self.tracks = Some(tracks);
    }

    pub(super) fn add(&mut self, unit: &AccessUnit) {
        if self.starts_at(unit) {
            self.leader = Some(unit.track);
            self.drop_units();
        } else if self.units.is_empty() {
            return;
        }
        self.bytes += unit.data.len();
        self.units.push(unit.clone());
        let span = unit.arrival - self.units.first().map_or(0, |first| first.arrival);
        if self.bytes > MAX_BYTES || span > MAX_SPAN {
            self.drop_units();
        }
    }

    fn starts_at(&self, unit: &AccessUnit) -> bool {
        let is_leader = |leader: TrackId| unit.track.index <= leader.index;
        unit.is_video() && unit.entry != EntryPoint::None && self.leader.is_none_or(is_leader)
    }

    /// The source is away; what comes next is another stream.
    pub(super) fn clear(&mut self) {
        self.tracks = None;
        self.leader = None;
        self.drop_units();
    }

    pub(super) fn tracks(&self) -> Option<&Arc<Tracks>> {
        self.tracks.as_ref()
    }

    /// The units as if they arrived now, with the last one: so they are as young to a queue.
    pub(super) fn units(&self) -> impl Iterator<Item = AccessUnit> {
        let now = self.units.last().map_or(0, |last| last.arrival);
        self.units.iter().map(move |unit| AccessUnit {
            arrival: now,
            ..unit.clone()
        })
    }

    fn drop_units(&mut self) {
        self.units = Vec::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Medium;

    fn unit(medium: Medium, second: i64, entry: EntryPoint, size: usize) -> AccessUnit {
        let time = second * 1_000_000_000;
        AccessUnit {
            track: TrackId::first(medium),
            pts: time,
            dts: time,
            entry,
            data: vec![0; size].into(),
            arrival: time,
        }
    }

    fn seconds(gop: &Gop) -> Vec<i64> {
        gop.units().map(|unit| unit.dts / 1_000_000_000).collect()
    }

    #[test]
    fn it_begins_at_the_last_entry_point_and_has_the_sound_since() {
        let mut gop = Gop::default();
        gop.set_tracks(Arc::default());
        for (second, medium, entry) in [
            (0, Medium::Audio, EntryPoint::Closed),
            (1, Medium::Video, EntryPoint::None),
            (2, Medium::Video, EntryPoint::Closed),
            (3, Medium::Video, EntryPoint::None),
            (4, Medium::Video, EntryPoint::Open),
            (5, Medium::Audio, EntryPoint::Closed),
            (6, Medium::Video, EntryPoint::None),
        ] {
            gop.add(&unit(medium, second, entry, 1));
        }
        assert_eq!(seconds(&gop), [4, 5, 6]);
        assert!(gop.units().all(|unit| unit.arrival == 6_000_000_000));
        gop.set_tracks(Arc::default());
        assert_eq!(seconds(&gop), [0; 0]);
    }

    #[test]
    fn of_several_pictures_the_first_one_is_there_at_once() {
        let mut gop = Gop::default();
        for (second, index) in [(0, 1), (1, 0), (2, 1)] {
            let mut key = unit(Medium::Video, second, EntryPoint::Closed, 1);
            key.track.index = index;
            gop.add(&key);
        }
        assert_eq!(seconds(&gop), [1, 2]);
    }

    #[test]
    fn it_is_bounded_in_bytes_and_in_time() {
        for (last, size) in [(1, MAX_BYTES), (11, 1)] {
            let mut gop = Gop::default();
            gop.add(&unit(Medium::Video, 0, EntryPoint::Closed, 1));
            gop.add(&unit(Medium::Video, last, EntryPoint::None, size));
            assert_eq!(seconds(&gop), [0; 0]);
            gop.add(&unit(Medium::Video, last + 1, EntryPoint::None, 1));
            assert_eq!(seconds(&gop), [0; 0], "what follows can't be decoded");
            gop.add(&unit(Medium::Video, last + 2, EntryPoint::Closed, 1));
            assert_eq!(seconds(&gop), [last + 2]);
        }
    }
}
