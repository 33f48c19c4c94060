//! Timelines one after the other: sessions of a source, and what comes after a break.

use super::MILLISECOND;
use crate::media::TrackId;

/// What units of one track are apart at least: every sink counts milliseconds or finer.
const LEAST_STEP: i64 = MILLISECOND;

#[derive(Clone, Copy, Debug)]
struct Track {
    id: TrackId,
    last_dts: Option<i64>,
    /// Whether a unit came since the last start.
    started: bool,
}

/// Joins timelines, so that each track's decoding times rise by a millisecond at least from unit to unit, for ever,
/// and no unit is presented before it is decoded.
///
/// Timelines count in worker time near the arrival of their units, so they mostly follow each other by themselves.
/// One that would begin before the end of the last is shifted as a whole, so that its tracks stay together.
#[derive(Debug, Default)]
pub(crate) struct Splice {
    tracks: Vec<Track>,
    shift: i64,
}

impl Splice {
    /// What follows belongs to another timeline than what came before.
    pub(crate) fn start(&mut self) {
        self.shift = 0;
        for track in &mut self.tracks {
            track.started = false;
        }
    }

    /// The presentation and decoding time of the next unit of a track, by those on its timeline; all in worker time.
    pub(crate) fn place(&mut self, id: TrackId, pts: i64, dts: i64) -> (i64, i64) {
        let known = self.tracks.iter().position(|track| track.id == id);
        let place = known.unwrap_or_else(|| {
            self.tracks.push(Track {
                id,
                last_dts: None,
                started: false,
            });
            self.tracks.len() - 1
        });
        let track = &mut self.tracks[place];
        let earliest = track.last_dts.map_or(i64::MIN, |last| last + LEAST_STEP);
        if !track.started {
            track.started = true;
            self.shift = self.shift.max(earliest.saturating_sub(dts));
        }
        let placed = (dts + self.shift).max(earliest);
        track.last_dts = Some(placed);
        ((pts + self.shift).max(placed), placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Medium;

    const VIDEO: TrackId = TrackId::first(Medium::Video);
    const AUDIO: TrackId = TrackId::first(Medium::Audio);

    #[test]
    fn a_timeline_that_begins_later_is_left_alone() {
        let mut splice = Splice::default();
        assert_eq!(splice.place(VIDEO, 900, 500), (900, 500));
        splice.start();
        let later = 500 + 7 * MILLISECOND;
        assert_eq!(splice.place(VIDEO, later, later), (later, later));
    }

    #[test]
    fn one_that_begins_too_early_is_shifted_with_all_its_tracks() {
        let ms = MILLISECOND;
        let mut splice = Splice::default();
        splice.place(VIDEO, 1_000 * ms, 1_000 * ms);
        splice.place(AUDIO, 990 * ms, 990 * ms);
        splice.start();
        assert_eq!(
            splice.place(VIDEO, 50 * ms, 10 * ms),
            (1_041 * ms, 1_001 * ms)
        );
        assert_eq!(
            splice.place(AUDIO, 15 * ms, 15 * ms),
            (1_006 * ms, 1_006 * ms)
        );
        splice.start();
        assert_eq!(splice.place(VIDEO, 2_000 * ms, 2_000 * ms).1, 2_000 * ms);
    }

    #[test]
    fn units_of_one_millisecond_get_one_each() {
        let mut splice = Splice::default();
        for unit in 0..3 {
            assert_eq!(splice.place(AUDIO, unit, unit).1, unit * MILLISECOND);
        }
    }
}
