//! Whether a recording's next file begins when it should.

use std::time::{Duration, Instant};

use common::timestamp::Timestamp;
use mediamtx::api::Recordings;

use super::metrics::{Metrics, Result as ResultLabel};
use crate::span::Span;

/// Looking means that the server reads a folder.
const INTERVAL: Duration = Duration::from_secs(10);
/// A file can only begin with a key frame, and shows once its first part is written.
const SLACK: Duration = Duration::from_secs(30);

/// The recorded files of one path.
#[derive(Debug, Default)]
pub(super) struct Files {
    looked: Option<Instant>,
    newest: Option<Timestamp>,
    changed: Option<Instant>,
}

impl Files {
    /// For how long they have not been looked at, if it is time to.
    pub(super) fn waiting(&self, now: Instant) -> Option<Duration> {
        match self.looked {
            None => Some(Duration::MAX),
            Some(looked) => Some(now.duration_since(looked)).filter(|it| *it >= INTERVAL),
        }
    }

    /// The server says a file's beginning in its own time zone, which is another one after a change of the clocks.
    pub(super) fn look(
        &mut self,
        recordings: &Recordings,
        length: Span,
        path: &str,
        now: Instant,
        metrics: &Metrics,
    ) {
        self.looked = Some(now);
        let starts = recordings.segments.iter();
        let starts = starts.filter_map(|segment| segment.start.parse::<Timestamp>().ok());
        let fresh = starts.clone().filter(|it| Some(*it) > self.newest).count();
        let newest = starts.max().max(self.newest);
        let Some(changed) = self.changed else {
            (self.newest, self.changed) = (newest, Some(now));
            return;
        };
        let count = |result, number| {
            let counter = metrics.segments.get_or_create(&ResultLabel { result });
            counter.inc_by(number);
        };
        if fresh > 0 {
            count("begun", fresh as u64);
            (self.newest, self.changed) = (newest, Some(now));
        } else if now >= changed + length.duration() + SLACK {
            count("overdue", 1);
            self.changed = Some(now);
            log::error!(path = path; "recorded, but no new file for longer than {length}: see MediaMTX's log and its disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mediamtx::api::Segment;

    /// What a look makes of files that begin at these times, so many seconds after the first look.
    fn counted(looks: &[(u64, &[&str])]) -> String {
        let metrics = Metrics::default();
        let begin = Instant::now();
        let mut files = Files::default();
        for (seconds, starts) in looks {
            let segments = starts.iter().map(|start| Segment {
                start: (*start).to_owned(),
            });
            let recordings = Recordings {
                segments: segments.collect(),
            };
            let now = begin + Duration::from_secs(*seconds);
            files.look(&recordings, Span::seconds(60), "cam", now, &metrics);
        }
        let text = metrics.text();
        let lines = text.lines().filter(|line| line.contains("segments_total{"));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_night_on_which_clocks_go_back_is_no_gap() {
        let before = "2026-10-25T02:59:30+02:00";
        let after = "2026-10-25T02:00:30+01:00";
        let counted = counted(&[(0, &[before]), (60, &[before, after])]);
        assert!(counted.contains("result=\"begun\"} 1"), "{counted}");
    }

    #[test]
    fn a_file_that_does_not_come_is_overdue() {
        let one = "2026-10-25T02:59:30Z";
        assert_eq!(counted(&[(0, &[one]), (89, &[one])]), "");
        let counted = counted(&[(0, &[one]), (91, &[one]), (100, &[one])]);
        assert!(counted.contains("result=\"overdue\"} 1"), "{counted}");
    }

    #[test]
    fn it_is_time_to_look_again_after_a_while() {
        let now = Instant::now();
        let mut files = Files::default();
        assert!(files.waiting(now).is_some());
        let none = Recordings {
            segments: Vec::new(),
        };
        files.look(&none, Span::seconds(60), "cam", now, &Metrics::default());
        assert_eq!(files.waiting(now + Duration::from_secs(9)), None);
        assert!(files.waiting(now + INTERVAL).is_some());
    }
}
