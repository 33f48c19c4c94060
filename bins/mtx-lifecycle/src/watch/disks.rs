//! Disks that recordings are about to fill.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::metrics::Metrics;
use crate::commands::Lifecycle;
use crate::commands::storage::Disk;
use crate::server::View;

const INTERVAL: Duration = Duration::from_secs(30);

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Disks {
    looked: Option<Instant>,
    /// The nearly full ones, by device.
    full: BTreeSet<u64>,
    /// Why some are not watched.
    unknown: BTreeSet<String>,
}

impl Disks {
    /// Looks now and then, and says once of each disk that it is nearly full, or not watched.
    pub(super) fn look(&mut self, lifecycle: &Lifecycle, view: &View, metrics: &Metrics) {
        if self.looked.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        let news = self.take_in(lifecycle.disks(view));
        metrics
            .full_disks
            .set(i64::try_from(self.full.len()).unwrap_or(i64::MAX));
        for disk in news.full {
            metrics.failed("disk");
            log::warn!("{disk}: nothing is recorded any more once it is full");
        }
        for why in news.unknown {
            log::warn!("{why}; nobody is warned before the disk is full");
        }
    }

    fn take_in(&mut self, disks: Vec<Result<Disk, String>>) -> News {
        let mut news = News::default();
        let mut full = BTreeMap::new();
        for disk in disks {
            match disk {
                Ok(disk) => {
                    let was_full = self.full.contains(&disk.device);
                    if disk.is_nearly_full() || (was_full && !disk.has_room_again()) {
                        full.entry(disk.device).or_insert(disk);
                    }
                }
                Err(why) => {
                    if self.unknown.insert(why.clone()) {
                        news.unknown.push(why);
                    }
                }
            }
        }
        let before = std::mem::replace(&mut self.full, full.keys().copied().collect());
        full.retain(|device, _| !before.contains(device));
        news.full.extend(full.into_values());
        news
    }
}

/// What was not said before.
#[derive(Debug, Default)]
struct News {
    full: Vec<Disk>,
    unknown: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(folder: &str, device: u64, percent: u64) -> Result<Disk, String> {
        Ok(Disk {
            folder: folder.into(),
            used: 0,
            free: percent << 30,
            total: 100 << 30,
            device,
        })
    }

    #[test]
    fn two_folders_on_one_disk_are_one_disk() {
        let mut disks = Disks::default();
        let look = || vec![disk("/a", 1, 5), disk("/b", 1, 5), disk("/c", 2, 5)];
        assert_eq!((disks.take_in(look()).full.len(), disks.full.len()), (2, 2));
        assert_eq!((disks.take_in(look()).full.len(), disks.full.len()), (0, 2));
    }

    #[test]
    fn a_disk_around_the_threshold_is_said_once_until_it_had_room() {
        let mut disks = Disks::default();
        let percents = [11, 9, 10, 9, 12, 9, 13, 9];
        let warnings =
            percents.map(|percent| disks.take_in(vec![disk("/a", 1, percent)]).full.len());
        assert_eq!(warnings, [0, 1, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_folder_that_is_not_watched_is_said_once() {
        let mut disks = Disks::default();
        let look = || vec![Err("why".to_owned()), Err("why".to_owned())];
        assert_eq!(disks.take_in(look()).unknown, ["why"]);
        assert!(disks.take_in(look()).unknown.is_empty());
    }
}
