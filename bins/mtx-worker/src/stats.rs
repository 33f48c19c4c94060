//! What the worker counts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::media::AccessUnit;

/// Counters of one output, within one thread.
pub(crate) struct Stats {
    epoch: Instant,
    totals: Cell<Totals>,
    /// What of them was asked for already.
    seen: Cell<Totals>,
    /// Of the units since the last report.
    latency: Cell<Latency>,
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

    pub(crate) fn add(&mut self, unit: &AccessUnit) {
        self.frames += 1;
        self.video_frames += u64::from(unit.is_video());
        self.bytes += unit.data.len() as u64;
    }

    fn and(self, more: Self) -> Self {
        Self {
            frames: self.frames + more.frames,
            video_frames: self.video_frames + more.video_frames,
            bytes: self.bytes + more.bytes,
        }
    }

    /// Before `repeated` was counted.
    pub(crate) fn without(self, repeated: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(repeated.frames),
            video_frames: self.video_frames.saturating_sub(repeated.video_frames),
            bytes: self.bytes.saturating_sub(repeated.bytes),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Latency {
    units: u32,
    sum: Duration,
    most: Duration,
}

/// One report; everything counts from the start, but for the rate and the latencies, which count from the report before.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) totals: Totals,
    /// In bits per second.
    pub(crate) bitrate: u64,
    /// From the arrival of a unit to its hand-over to the output's socket, in milliseconds: of the slowest output.
    pub(crate) latency_ms: f64,
    pub(crate) latency_max_ms: f64,
}

impl Stats {
    /// Counts on from `totals`, so that the worker's count goes on when an output joins and another one leaves.
    pub(crate) fn new(epoch: Instant, totals: Totals) -> Self {
        Self {
            epoch,
            totals: Cell::new(totals),
            seen: Cell::new(totals),
            latency: Cell::default(),
        }
    }

    /// What has come since this was asked before.
    fn gain(&self) -> Totals {
        let now = self.totals.get();
        now.without(self.seen.replace(now))
    }

    /// It has missed what others got, and counts on from where they are.
    fn lead(&self, totals: Totals) {
        self.totals.set(totals);
        self.seen.set(totals);
    }

    /// A unit was handed to the output.
    pub(crate) fn sent(&self, unit: &AccessUnit) {
        let mut totals = self.totals.get();
        totals.add(unit);
        self.totals.set(totals);
        let arrival = Duration::from_nanos(u64::try_from(unit.arrival).unwrap_or(0));
        let took = self.epoch.elapsed().saturating_sub(arrival);
        let latency = self.latency.get();
        self.latency.set(Latency {
            units: latency.units + 1,
            sum: latency.sum + took,
            most: latency.most.max(took),
        });
    }
}

/// Counters of the stream over all outputs, present and removed: they never go back.
pub(crate) struct StreamStats {
    furthest: Cell<Totals>,
    reported: Cell<(Instant, u64)>,
}

impl StreamStats {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            furthest: Cell::default(),
            reported: Cell::new((epoch, 0)),
        }
    }

    /// Of the output that got furthest, be it one of these or an earlier one. Where that one has stopped, the count goes on
    /// with another, though it may have missed much.
    pub(crate) fn totals<'a>(&self, outputs: impl Iterator<Item = &'a Stats>) -> Totals {
        let before = self.furthest.get();
        let mut furthest = before;
        let mut quickest: Option<(&Stats, Totals)> = None;
        for output in outputs {
            furthest = furthest.furthest(output.totals.get());
            let gain = output.gain();
            if gain.frames > quickest.map_or(0, |(_, most)| most.frames) {
                quickest = Some((output, gain));
            }
        }
        if furthest == before
            && let Some((output, gain)) = quickest
        {
            furthest = before.and(gain);
            output.lead(furthest);
        }
        self.furthest.set(furthest);
        furthest
    }

    /// The counters now; starts a new interval.
    pub(crate) fn report<'a>(
        &self,
        now: Instant,
        outputs: impl Iterator<Item = &'a Stats> + Clone,
    ) -> Report {
        let totals = self.totals(outputs.clone());
        let (before, bytes_before) = self.reported.replace((now, totals.bytes));
        let seconds = now
            .saturating_duration_since(before)
            .as_secs_f64()
            .max(0.001);
        let bits = (totals.bytes - bytes_before) * 8;
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let mut report = Report {
            totals,
            bitrate: (bits as f64 / seconds) as u64,
            ..Report::default()
        };
        for latency in outputs.map(|output| output.latency.take()) {
            let mean = milliseconds(latency.sum / latency.units.max(1));
            report.latency_ms = report.latency_ms.max(mean);
            report.latency_max_ms = report.latency_max_ms.max(milliseconds(latency.most));
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{EntryPoint, Medium, TrackId};

    fn picture(bytes: usize) -> AccessUnit {
        AccessUnit {
            track: TrackId::first(Medium::Video),
            pts: 0,
            dts: 0,
            entry: EntryPoint::Closed,
            data: vec![0; bytes].into(),
            arrival: 0,
        }
    }

    fn totals(pictures: u64) -> Totals {
        Totals {
            frames: pictures,
            video_frames: pictures,
            bytes: 1000 * pictures,
        }
    }

    #[test]
    fn a_report_counts_all_and_rates_the_interval() {
        let epoch = Instant::now();
        let stream = StreamStats::new(epoch);
        let output = Stats::new(epoch, Totals::default());
        output.sent(&picture(1000));
        let outputs = || [&output].into_iter();
        let first = stream.report(epoch + Duration::from_secs(2), outputs());
        assert_eq!((first.totals, first.bitrate), (totals(1), 4000));
        let second = stream.report(epoch + Duration::from_secs(4), outputs());
        assert_eq!(
            (second.totals, second.bitrate, second.latency_ms),
            (totals(1), 0, 0.0)
        );
    }

    #[test]
    fn an_output_that_joins_and_leaves_changes_neither_the_counters_nor_the_rate() {
        let epoch = Instant::now();
        let stream = StreamStats::new(epoch);
        let output = Stats::new(epoch, Totals::default());
        for _ in 0..10 {
            output.sent(&picture(1000));
        }
        stream.report(epoch + Duration::from_secs(1), [&output].into_iter());
        let start = stream.totals([&output].into_iter());
        let joined = Stats::new(epoch, start.without(totals(4)));
        for _ in 0..4 {
            joined.sent(&picture(1000));
        }
        for stats in [&output, &joined] {
            stats.sent(&picture(1000));
        }
        let both = [&output, &joined].into_iter();
        let report = stream.report(epoch + Duration::from_secs(2), both);
        assert_eq!((report.totals, report.bitrate), (totals(11), 8000));
        let none = stream.report(epoch + Duration::from_secs(3), [].into_iter());
        assert_eq!((none.totals, none.bitrate), (totals(11), 0));
    }

    #[test]
    fn the_count_goes_on_with_an_output_that_was_away_when_the_furthest_one_stops() {
        let epoch = Instant::now();
        let stream = StreamStats::new(epoch);
        let [ahead, behind] = [(); 2].map(|()| Stats::new(epoch, Totals::default()));
        for _ in 0..1000 {
            ahead.sent(&picture(1000));
        }
        let both = || [&ahead, &behind].into_iter();
        assert_eq!(stream.totals(both()), totals(1000));
        for number in 1..=3 {
            behind.sent(&picture(1000));
            assert_eq!(stream.totals(both()), totals(1000 + number));
        }
        // It counts no unit twice that both get.
        for stats in [&ahead, &behind] {
            stats.sent(&picture(1000));
        }
        assert_eq!(stream.totals(both()), totals(1004));
        behind.sent(&picture(1000));
        assert_eq!(stream.totals([&behind].into_iter()), totals(1005));
    }
}
