//! Whether a recording's next file begins when it should.

use std::time::{Duration, Instant};

use mediamtx::api::Api;

use super::metrics::{Metrics, Result as ResultLabel};
use crate::fields::text;
use crate::server::View;
use crate::span::Span;

/// Looking means that the server reads a folder.
const INTERVAL: Duration = Duration::from_secs(10);
/// A file can only begin with a key frame, and shows once its first part is written.
const SLACK: Duration = Duration::from_secs(30);

/// The recorded files of one path.
#[derive(Debug, Default)]
pub(super) struct Files {
    looked: Option<Instant>,
    newest: String,
    changed: Option<Instant>,
}

impl Files {
    pub(super) fn look(&mut self, api: &Api, view: &View, path: &str, metrics: &Metrics) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now < looked + INTERVAL) {
            return;
        }
        self.looked = Some(now);
        // A server that can't tell is dealt with elsewhere.
        let Ok(recordings) = api.recordings(path) else {
            return;
        };
        let starts = recordings
            .segments
            .iter()
            .map(|segment| segment.start.as_str());
        let fresh = starts
            .clone()
            .filter(|start| *start > self.newest.as_str())
            .count();
        let newest = starts.max().unwrap_or_default().to_owned();
        let Some(changed) = self.changed else {
            (self.newest, self.changed) = (newest, Some(now));
            return;
        };
        let count = |result, number| {
            let counter = metrics.segments.get_or_create(&ResultLabel { result });
            counter.inc_by(number);
        };
        let length = view
            .live(path)
            .and_then(|live| view.entries.get(&live.conf_name));
        let length = length.and_then(|fields| text(fields, "recordSegmentDuration").parse().ok());
        let length: Span = length.unwrap_or(Span::seconds(3600));
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
