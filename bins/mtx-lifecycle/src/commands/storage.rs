//! Where the server puts the recorded files of a path, how long it keeps them, and whether its disk has room.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use mediamtx::api::Fields;
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use url::{Host, Url};

use super::{Error, Lifecycle};
use crate::server::{View, is_on, text};
use crate::span::Span;

/// A disk with less than one part in so many free is nearly full.
const SCARCE: u64 = 10;

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
}

impl Disk {
    /// The disk of a folder, whatever is in it.
    fn at(folder: &Path) -> Result<Self, Errno> {
        let disk = statvfs(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
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
        let view = self.server().look()?;
        Ok(view.governing(path).and_then(retention))
    }

    /// The recorded files of a path, if it is recorded.
    pub(crate) fn storage(&self, view: &View, path: &str) -> Option<Storage> {
        let entry = view.governing(path)?;
        let retention = retention(entry)?;
        let place = if is_here(self.options().api.url()) {
            Pattern::new(text(entry, "recordPath"), path).place()
        } else {
            let why = "MediaMTX runs on another machine, as far as the address of its API tells";
            Place::DiskUnknown(why.to_owned())
        };
        Some(Storage { retention, place })
    }

    /// The disks of this machine that are nearly full, and recorded to at the moment.
    pub(crate) fn full_disks(&self, view: &View) -> BTreeMap<PathBuf, Disk> {
        if !is_here(self.options().api.url()) {
            return BTreeMap::new();
        }
        let recorded = view.live.keys();
        let recorded = recorded.filter(|path| view.busy(path, "").recordings > 0);
        let entries = recorded.filter_map(|path| view.governing(path));
        let folders = entries.map(|entry| base(text(entry, "recordPath")));
        let folders: BTreeSet<_> = folders.collect();
        let disks = folders.into_iter().filter_map(|folder| {
            let disk = Disk::at(&folder).ok()?;
            disk.is_nearly_full().then_some((folder, disk))
        });
        disks.collect()
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
    match url.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// MediaMTX's `recordPath` for one path: `/rec/%path/%Y-%m-%d_%H-%M-%S-%f`.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    /// The part before the first variable: `/rec`.
    base: PathBuf,
    /// The folder of the path's files: `/rec/cam`.
    folder: PathBuf,
    /// What the names in the folder begin with.
    prefix: String,
    /// Folders between that one and the files.
    depth: usize,
}

impl Pattern {
    fn new(record_path: &str, path: &str) -> Self {
        let named = record_path.replace("%path", path);
        let (fixed, rest) = named.split_once('%').unwrap_or((&named, ""));
        let prefix = fixed.rsplit('/').next().unwrap_or_default();
        Self {
            base: base(record_path),
            folder: base(&named),
            prefix: prefix.to_owned(),
            depth: rest.matches('/').count(),
        }
    }

    fn place(self) -> Place {
        let base = self.base.display();
        match Disk::at(&self.base) {
            Ok(disk) => Place::Disk(Disk {
                used: size(&self.folder, &self.prefix, self.depth),
                ..disk
            }),
            Err(_) if self.base.is_relative() => Place::DiskUnknown(format!(
                "recordPath begins with {base}, in MediaMTX's working directory, which is not this one: write it \
                 with the whole path"
            )),
            Err(error) => Place::DiskUnknown(format!("{base}: {}", error.desc())),
        }
    }
}

/// The folder that a `recordPath` begins with, before its first variable.
fn base(record_path: &str) -> PathBuf {
    let fixed = record_path.split('%').next().unwrap_or_default();
    let folder = fixed.rsplit_once('/').map_or(".", |(folder, _)| folder);
    PathBuf::from(if folder.is_empty() { "/" } else { folder })
}

/// macOS counts blocks in 32 bits.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// What the files take whose names begin so, as far below the folder. What can't be read counts for nothing.
fn size(folder: &Path, prefix: &str, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|it| it.file_name().to_string_lossy().starts_with(prefix));
    let sizes = named.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        match (metadata.is_dir(), depth) {
            (true, 1..) => Some(size(&entry.path(), "", depth - 1)),
            (true, 0) => None,
            (false, _) => Some(metadata.len()),
        }
    });
    sizes.sum()
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
    fn the_files_of_a_path_are_found_wherever_its_name_stands() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for (file, length) in [
            ("live/a/2026.mp4", 10),
            ("live/a/b/2026.mp4", 100),
            ("live/2026/11.mp4", 1000),
            ("a_2026.mp4", 3),
        ] {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, vec![0; length]).unwrap();
        }
        for (record_path, path, used) in [
            ("%path/%Y-%m-%d", "live/a", 10),
            ("%path/%Y-%m-%d", "live/a/b", 100),
            ("%path/%Y/%m", "live", 1010),
            ("%path_%Y", "a", 3),
            ("%path/%Y", "never", 0),
        ] {
            let pattern = Pattern::new(&format!("{root}/{record_path}"), path);
            let Place::Disk(disk) = pattern.place() else {
                panic!("{record_path}");
            };
            assert_eq!((disk.used, disk.folder), (used, folder.path().into()));
            assert!(disk.free <= disk.total && disk.total > 0);
        }
    }

    #[test]
    fn a_disk_that_is_not_here_is_said_to_be_unknown() {
        let pattern = Pattern::new("./nowhere/%path/%Y", "cam");
        assert!(matches!(pattern.place(), Place::DiskUnknown(why) if why.contains("working")));
        let pattern = Pattern::new("/nowhere/at/all/%path/%Y", "cam");
        assert!(matches!(pattern.place(), Place::DiskUnknown(why) if why.contains("/nowhere")));
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
        };
        assert!(disk(9 << 30).is_nearly_full() && !disk(10 << 30).is_nearly_full());
        let text = disk(9 << 30).to_string();
        assert_eq!(text, "the disk of /rec has 9.0 GiB of 100.0 GiB left");
        assert_eq!(bytes(0), "0.0 KiB");
        assert_eq!(bytes(1536 * 1024), "1.5 MiB");
        assert!(bytes(u64::MAX).ends_with("TiB"));
    }
}
