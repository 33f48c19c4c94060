//! Where the server puts the recorded files of a path, how long it keeps them, and whether its disk has room.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::host::is_loopback;
use mediamtx::api::Fields;
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use url::Url;

use super::record_path::{base, size};
use super::{Error, Lifecycle};
use crate::server::{View, is_on, text};
use crate::span::Span;

/// A disk with less than one part in so many free is nearly full.
const SCARCE: u64 = 10;
/// It is said anew only of one that had more free meanwhile, in percent.
const ENOUGH: u64 = 12;
/// Adding up the files of all paths can take seconds: that often it is done for somebody who asks again and again.
const FRESH: Duration = Duration::from_secs(30);

/// How long recorded files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// MediaMTX deletes them then; zero is never.
    pub delete_after: Span,
    /// A new file begins then.
    pub segment_duration: Span,
}

/// The recorded files of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// How long they are kept.
    #[serde(flatten)]
    pub retention: Retention,
    /// Where they are.
    #[serde(flatten)]
    pub place: Place,
}

/// Where recorded files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// On a disk of this machine.
    Disk(Disk),
    /// Why it can't be told.
    DiskUnknown(String),
}

/// A folder with recorded files, and the disk that it is on. All sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Where the files of all paths with this setting begin.
    pub folder: PathBuf,
    /// What the files of this path take.
    pub used: u64,
    /// What the disk has left for the server.
    pub free: u64,
    /// The disk.
    pub total: u64,
    /// Which one it is for the kernel (`st_dev`).
    #[serde(skip)]
    pub(crate) device: u64,
}

impl Disk {
    /// The disk of a folder, whatever is in it.
    fn at(folder: &Path) -> Result<Self, Errno> {
        let disk = statvfs(folder)?;
        let metadata = fs::metadata(folder);
        let metadata = metadata.map_err(|it| Errno::try_from(it).unwrap_or(Errno::UnknownErrno))?;
        Ok(Self {
            folder: folder.to_owned(),
            device: metadata.dev(),
            used: 0,
            free: wide(disk.blocks_available()) * wide(disk.fragment_size()),
            total: wide(disk.blocks()) * wide(disk.fragment_size()),
        })
    }

    /// Whether there is hardly room left.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.free < self.total / SCARCE
    }

    /// Whether one that was nearly full is so no longer.
    pub(crate) fn has_room_again(&self) -> bool {
        self.free > self.total / 100 * ENOUGH
    }
}

impl Storage {
    /// What somebody has to do something about.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match &self.place {
            Place::Disk(disk) if disk.is_nearly_full() => Some(format!("warning: {disk}")),
            _ => None,
        }
    }
}

impl Lifecycle {
    /// How long the recorded files of a path are kept, if it is recorded.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub fn retention(&self, path: &str) -> Result<Option<Retention>, Error> {
        if let Some(entry) = self.server().entry(path)? {
            return Ok(retention(&entry));
        }
        let view = self.server().look()?;
        Ok(view.governing(path).and_then(retention))
    }

    /// The recorded files of a path, if it is recorded.
    pub(crate) fn storage(&self, view: &View, path: &str) -> Option<Storage> {
        let entry = view.governing(path)?;
        let retention = retention(entry)?;
        let record_path = text(entry, "recordPath");
        let place = match self.disk(record_path) {
            Ok(disk) => Place::Disk(Disk {
                used: self.sizes.of(&disk.folder, record_path, path),
                ..disk
            }),
            Err(why) => Place::DiskUnknown(why),
        };
        Some(Storage { retention, place })
    }

    /// The disks that are recorded to at the moment, or why one can't be told.
    pub(crate) fn disks(&self, view: &View) -> Vec<Result<Disk, String>> {
        let recorded = view.live.keys();
        let recorded = recorded.filter(|path| view.busy(path, "").recordings > 0);
        let entries = recorded.filter_map(|path| view.governing(path));
        let places: BTreeSet<&str> = entries.map(|entry| text(entry, "recordPath")).collect();
        places.into_iter().map(|it| self.disk(it)).collect()
    }

    fn disk(&self, record_path: &str) -> Result<Disk, String> {
        if !is_here(self.options().api.url()) {
            return Err(ELSEWHERE.to_owned());
        }
        disk(record_path, self.server_folder.as_deref())
    }
}

const ELSEWHERE: &str = "MediaMTX runs on another machine, as far as the address of its API tells";

fn disk(record_path: &str, server_folder: Option<&Path>) -> Result<Disk, String> {
    let base = base(record_path);
    let folder = match (base.is_absolute(), server_folder) {
        (true, _) => base,
        (false, Some(folder)) => folder.join(base),
        (false, None) => {
            return Err(format!(
                "recordPath begins with {}, in MediaMTX's working directory, which is not known here: write it with \
                 the whole path",
                base.display()
            ));
        }
    };
    Disk::at(&folder).map_err(|error| format!("{}: {}", folder.display(), error.desc()))
}

/// What the files of paths took when they were last added up.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<HashMap<(String, String), (Instant, u64)>>);

impl Sizes {
    fn of(&self, folder: &Path, record_path: &str, path: &str) -> u64 {
        let key = (record_path.to_owned(), path.to_owned());
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: Instant| at.elapsed() < FRESH;
        if let Some((_, size)) = known().get(&key).filter(|(at, _)| is_fresh(*at)) {
            return *size;
        }
        let size = size(folder, record_path, path);
        let mut known = known();
        known.retain(|_, (at, _)| is_fresh(*at));
        known.insert(key, (Instant::now(), size));
        size
    }
}

fn retention(entry: &Fields) -> Option<Retention> {
    let span = |name| text(entry, name).parse().ok();
    let retention = Retention {
        delete_after: span("recordDeleteAfter")?,
        segment_duration: span("recordSegmentDuration")?,
    };
    is_on(entry, "record").then_some(retention)
}

/// Whether a server at this URL runs on this machine.
fn is_here(url: &str) -> bool {
    let url = url.parse::<Url>().ok();
    url.as_ref()
        .and_then(Url::host_str)
        .is_some_and(is_loopback)
}

/// macOS counts blocks in 32 bits.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// Bytes as people read them.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            delete_after,
            segment_duration,
        } = self;
        write!(f, "a new file every {segment_duration}; ")?;
        if delete_after.is_zero() {
            return write!(f, "MediaMTX never deletes them (recordDeleteAfter: 0s)");
        }
        write!(
            f,
            "MediaMTX deletes them after {delete_after} (recordDeleteAfter)"
        )
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            folder,
            free,
            total,
            ..
        } = self;
        let (folder, free, total) = (folder.display(), bytes(*free), bytes(*total));
        write!(f, "the disk of {folder} has {free} of {total} left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_folder_is_the_servers_and_not_the_one_of_that_name_here() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("recordings")).unwrap();
        let known = disk("./recordings/%path/%Y", Some(folder.path())).unwrap();
        assert_eq!(known.folder, folder.path().join("./recordings"));
        // The tests' own folder has one of this name.
        let why = disk("src/%path/%Y", None).unwrap_err();
        assert!(
            why.contains("begins with src") && why.contains("whole path"),
            "{why}"
        );
    }

    #[test]
    fn files_are_added_up_anew_only_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let record_path = format!("{}/%path_%Y", folder.path().display());
        let (sizes, write) = (Sizes::default(), |name: &str| {
            fs::write(folder.path().join(name), "12345").unwrap();
        });
        let size = |path| sizes.of(folder.path(), &record_path, path);
        write("a_2026.mp4");
        assert_eq!((size("a"), size("b")), (5, 0));
        write("a_2027.mp4");
        assert_eq!((size("a"), size("c")), (5, 0));
    }

    #[test]
    fn a_disk_that_is_not_here_is_said_to_be_unknown() {
        let why = disk("/nowhere/at/all/%path/%Y", None).unwrap_err();
        assert!(why.contains("/nowhere"), "{why}");
        for (url, expected) in [
            ("http://127.0.0.1:9997", true),
            ("http://localhost:9997", true),
            ("http://[::1]:9997", true),
            ("https://media.example:9997", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_here(url), expected, "{url}");
        }
    }

    #[test]
    fn a_disk_is_nearly_full_with_less_than_a_tenth_left() {
        let disk = |free| Disk {
            folder: "/rec".into(),
            used: 0,
            free,
            total: 100 << 30,
            device: 1,
        };
        assert!(disk(9 << 30).is_nearly_full() && !disk(10 << 30).is_nearly_full());
        let text = disk(9 << 30).to_string();
        assert_eq!(text, "the disk of /rec has 9.0 GiB of 100.0 GiB left");
        assert_eq!(bytes(0), "0.0 KiB");
        assert_eq!(bytes(1536 * 1024), "1.5 MiB");
        assert!(bytes(u64::MAX).ends_with("TiB"));
    }
}
