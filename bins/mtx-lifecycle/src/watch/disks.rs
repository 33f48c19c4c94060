//! Disks that recordings are about to fill.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::metrics::Metrics;
use crate::commands::Lifecycle;
use crate::server::View;

const INTERVAL: Duration = Duration::from_secs(30);

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Disks {
    looked: Option<Instant>,
    full: BTreeSet<PathBuf>,
}

impl Disks {
    /// Looks now and then, and says once of each disk that it is nearly full.
    pub(super) fn look(&mut self, lifecycle: &Lifecycle, view: &View, metrics: &Metrics) {
        if self.looked.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        let full = lifecycle.full_disks(view);
        metrics
            .full_disks
            .set(i64::try_from(full.len()).unwrap_or(i64::MAX));
        for disk in full
            .values()
            .filter(|disk| !self.full.contains(&disk.folder))
        {
            metrics.failed("disk");
            log::warn!("{disk}: nothing is recorded any more once it is full");
        }
        self.full = full.into_keys().collect();
    }
}
