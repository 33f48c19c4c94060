//! What the worker counts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::media::AccessUnit;

/// Counters of one worker, within one thread.
pub(crate) struct Stats {
    epoch: Instant,
    frames: Cell<u64>,
    video_frames: Cell<u64>,
    bytes: Cell<u64>,
    /// Of the units since the last report.
    latency: Cell<Latency>,
    reported: Cell<(Instant, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Latency {
    units: u32,
    sum: Duration,
    most: Duration,
}

/// One report; everything counts from the start, but for the rates, which count from the report before.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) frames: u64,
    pub(crate) video_frames: u64,
    pub(crate) bytes: u64,
    /// In bits per second.
    pub(crate) bitrate: u64,
    /// From the arrival of a unit to its hand-over to the output's socket, in milliseconds.
    pub(crate) latency_ms: f64,
    pub(crate) latency_max_ms: f64,
}

impl Report {
    /// Of two outputs of one stream: what the one that got further says.
    pub(crate) fn furthest(self, other: Self) -> Self {
        Self {
            frames: self.frames.max(other.frames),
            video_frames: self.video_frames.max(other.video_frames),
            bytes: self.bytes.max(other.bytes),
            bitrate: self.bitrate.max(other.bitrate),
            latency_ms: self.latency_ms.max(other.latency_ms),
            latency_max_ms: self.latency_max_ms.max(other.latency_max_ms),
        }
    }
}

impl Stats {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            frames: Cell::default(),
            video_frames: Cell::default(),
            bytes: Cell::default(),
            latency: Cell::default(),
            reported: Cell::new((epoch, 0)),
        }
    }

    /// A unit was handed to the output.
    pub(crate) fn sent(&self, unit: &AccessUnit) {
        self.frames.set(self.frames.get() + 1);
        self.video_frames
            .set(self.video_frames.get() + u64::from(unit.is_video()));
        self.bytes.set(self.bytes.get() + unit.data.len() as u64);
        let arrival = Duration::from_nanos(u64::try_from(unit.arrival).unwrap_or(0));
        let took = self.epoch.elapsed().saturating_sub(arrival);
        let latency = self.latency.get();
        self.latency.set(Latency {
            units: latency.units + 1,
            sum: latency.sum + took,
            most: latency.most.max(took),
        });
    }

    /// Whether anything ever went through.
    pub(crate) fn has_streamed(&self) -> bool {
        self.frames.get() > 0
    }

    /// The counters now; starts a new interval.
    pub(crate) fn report(&self, now: Instant) -> Report {
        let (before, bytes_before) = self.reported.replace((now, self.bytes.get()));
        let seconds = now
            .saturating_duration_since(before)
            .as_secs_f64()
            .max(0.001);
        let bits = (self.bytes.get() - bytes_before) * 8;
        let latency = self.latency.take();
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        Report {
            frames: self.frames.get(),
            video_frames: self.video_frames.get(),
            bytes: self.bytes.get(),
            bitrate: (bits as f64 / seconds) as u64,
            latency_ms: milliseconds(latency.sum / latency.units.max(1)),
            latency_max_ms: milliseconds(latency.most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{EntryPoint, Medium, TrackId};

    #[test]
    fn a_report_counts_all_and_rates_the_interval() {
        let epoch = Instant::now();
        let stats = Stats::new(epoch);
        let unit = AccessUnit {
            track: TrackId::first(Medium::Video),
            pts: 0,
            dts: 0,
            entry: EntryPoint::Closed,
            data: vec![0; 1000].into(),
            arrival: 0,
        };
        stats.sent(&unit);
        let first = stats.report(epoch + Duration::from_secs(2));
        assert_eq!(
            (first.frames, first.video_frames, first.bytes, first.bitrate),
            (1, 1, 1000, 4000)
        );
        let second = stats.report(epoch + Duration::from_secs(4));
        assert_eq!(
            (second.frames, second.bitrate, second.latency_ms),
            (1, 0, 0.0)
        );
    }
}
