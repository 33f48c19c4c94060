//! RTMP time stamps: milliseconds in 32 bits, which wrap after 49.7 days.

use crate::media::AccessUnit;

const MILLISECOND: i64 = 1_000_000;

/// Where media starts in an RTMP stream, in milliseconds; the headers before it are at 0.
///
/// MediaMTX declares a publisher ready when two seconds of RTMP time have passed since its first
/// message (`analyzePeriod` of its gortmplib), which costs every other publisher two real seconds. Time
/// stamps may start anywhere, so ours start there. It also leaves room below for a track that starts
/// a little before the other.
pub(super) const MEDIA_START: i64 = 2_000;

/// The time stamps of one RTMP stream.
#[derive(Debug, Default)]
pub(super) struct Timestamps {
    /// The first decoding time, in milliseconds on the worker's clock.
    base: Option<i64>,
    latest: u32,
}

impl Timestamps {
    /// The last one given out; 0 before any.
    pub(super) fn latest(&self) -> u32 {
        self.latest
    }

    /// Puts a decoding time, in nanoseconds, to `milliseconds`, if nothing was stamped yet.
    pub(super) fn start(&mut self, dts: i64, milliseconds: i64) {
        self.base.get_or_insert(round(dts) - milliseconds);
    }

    /// Decoding time stamp and composition time of a unit, in milliseconds. `None` for a unit that is
    /// too early for this stream.
    pub(super) fn stamp(&mut self, unit: &AccessUnit) -> Option<(u32, i32)> {
        let (dts, pts) = (round(unit.dts), round(unit.pts));
        let base = *self.base.get_or_insert(dts - MEDIA_START);
        if dts < base {
            return None;
        }
        // Truncation is the wrap that RTMP defines (Adobe RTMP 1.0, section 3).
        self.latest = (dts - base) as u32;
        Some((self.latest, (pts - dts) as i32))
    }
}

/// Decoding and presentation times are rounded alike, so that a distance of whole milliseconds stays what it is.
fn round(time: i64) -> i64 {
    (time + MILLISECOND / 2).div_euclid(MILLISECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{EntryPoint, Medium, TrackId};
    use bytes::Bytes;

    fn unit(pts_ms: i64, dts_ms: i64) -> AccessUnit {
        let (pts, dts) = (pts_ms * MILLISECOND, dts_ms * MILLISECOND);
        AccessUnit {
            track: TrackId::first(Medium::Video),
            pts,
            dts,
            entry: EntryPoint::Closed,
            data: Bytes::new(),
            arrival: 0,
        }
    }

    #[test]
    fn a_stream_starts_at_two_seconds_whenever_the_worker_did() {
        let mut timestamps = Timestamps::default();
        assert_eq!(timestamps.stamp(&unit(99_080, 99_000)), Some((2_000, 80)));
        assert_eq!(timestamps.stamp(&unit(99_040, 99_040)), Some((2_040, 0)));
    }

    #[test]
    fn a_track_that_starts_a_little_earlier_fits_and_one_of_long_ago_does_not() {
        let mut timestamps = Timestamps::default();
        timestamps.stamp(&unit(10_000, 10_000));
        assert_eq!(timestamps.stamp(&unit(9_500, 9_500)), Some((1_500, 0)));
        assert_eq!(timestamps.stamp(&unit(7_000, 7_000)), None);
    }

    #[test]
    fn a_stream_may_be_told_where_to_start() {
        let mut timestamps = Timestamps::default();
        timestamps.start(99_000 * MILLISECOND, 1_999);
        timestamps.start(0, 0);
        assert_eq!(timestamps.stamp(&unit(99_001, 99_001)), Some((2_000, 0)));
    }

    #[test]
    fn time_stamps_wrap_at_32_bits() {
        let mut timestamps = Timestamps::default();
        timestamps.stamp(&unit(0, 0));
        let wrap = 1 << 32;
        assert_eq!(
            timestamps.stamp(&unit(wrap - 2_001, wrap - 2_001)),
            Some((u32::MAX, 0))
        );
        assert_eq!(
            timestamps.stamp(&unit(wrap - 2_000, wrap - 2_000)),
            Some((0, 0))
        );
        assert_eq!(timestamps.stamp(&unit(wrap, wrap)), Some((2_000, 0)));
    }

    #[test]
    fn a_distance_of_whole_milliseconds_is_kept() {
        let mut timestamps = Timestamps::default();
        for offset in (0..3_000_000).step_by(12_345) {
            let (dts, pts) = (offset, offset + 160 * MILLISECOND);
            let unit = AccessUnit {
                dts,
                pts,
                ..unit(0, 0)
            };
            assert_eq!(timestamps.stamp(&unit).unwrap().1, 160);
        }
    }

    #[test]
    fn rounding_never_puts_the_presentation_before_the_decoding() {
        let mut timestamps = Timestamps::default();
        for nanoseconds in (0..3_000_000).step_by(33_333) {
            let unit = AccessUnit {
                pts: nanoseconds,
                dts: nanoseconds,
                ..unit(0, 0)
            };
            let (_, composition) = timestamps.stamp(&unit).unwrap();
            assert!(composition >= 0);
        }
    }
}
