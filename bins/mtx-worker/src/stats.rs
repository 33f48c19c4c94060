//! What the worker counts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::media::AccessUnit;

/// Counters of one output, within one thread.
pub(crate) struct Stats {
    epoch: Instant,
    totals: Cell<Totals>,
    /// Of the units since the last report.
    latency: Cell<Latency>,
    reported: Cell<(Instant, u64)>,
}

/// What went through since the worker's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) frames: u64,
    pub(crate) video_frames: u64,
    pub(crate) bytes: u64,
}

impl Totals {
    /// Of two outputs of one stream: of the one that got further.
    pub(crate) fn furthest(self, other: Self) -> Self {
        Self {
            frames: self.frames.max(other.frames),
            video_frames: self.video_frames.max(other.video_frames),
            bytes: self.bytes.max(other.bytes),
        }
    }
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
    pub(crate) totals: Totals,
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
            totals: self.totals.furthest(other.totals),
            bitrate: self.bitrate.max(other.bitrate),
            latency_ms: self.latency_ms.max(other.latency_ms),
            latency_max_ms: self.latency_max_ms.max(other.latency_max_ms),
        }
    }
}

impl Stats {
    /// Counts on from `totals`, so that the worker's count goes on when an output joins and another one leaves.
    pub(crate) fn new(epoch: Instant, totals: Totals) -> Self {
        Self {
            epoch,
            totals: Cell::new(totals),
            latency: Cell::default(),
            reported: Cell::new((epoch, totals.bytes)),
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals.get()
    }

    /// A unit was handed to the output.
    pub(crate) fn sent(&self, unit: &AccessUnit) {
        let totals = self.totals.get();
        self.totals.set(Totals {
            frames: totals.frames + 1,
            video_frames: totals.video_frames + u64::from(unit.is_video()),
            bytes: totals.bytes + unit.data.len() as u64,
        });
        let arrival = Duration::from_nanos(u64::try_from(unit.arrival).unwrap_or(0));
        let took = self.epoch.elapsed().saturating_sub(arrival);
        let latency = self.latency.get();
        self.latency.set(Latency {
            units: latency.units + 1,
            sum: latency.sum + took,
            most: latency.most.max(took),
        });
    }

    /// The counters now; starts a new interval.
    pub(crate) fn report(&self, now: Instant) -> Report {
        let totals = self.totals.get();
        let (before, bytes_before) = self.reported.replace((now, totals.bytes));
        let seconds = now
            .saturating_duration_since(before)
            .as_secs_f64()
            .max(0.001);
        let bits = (totals.bytes - bytes_before) * 8;
        let latency = self.latency.take();
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        Report {
            totals,
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
        let stats = Stats::new(epoch, Totals::default());
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
            (first.totals, first.bitrate),
            (
                Totals {
                    frames: 1,
                    video_frames: 1,
                    bytes: 1000
                },
                4000
            )
        );
        let second = stats.report(epoch + Duration::from_secs(4));
        assert_eq!(
            (second.totals.frames, second.bitrate, second.latency_ms),
            (1, 0, 0.0)
        );
    }
}
