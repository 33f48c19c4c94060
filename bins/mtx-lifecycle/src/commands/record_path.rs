//! MediaMTX's `recordPath`: where the recorded files of a path are.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

/// The variables, and what MediaMTX writes for them (its `internal/recordstore/path.go`).
const VARIABLES: [(&str, &str); 9] = [
    ("%Y", "[0-9]{4}"),
    ("%m", "[0-9]{2}"),
    ("%d", "[0-9]{2}"),
    ("%H", "[0-9]{2}"),
    ("%M", "[0-9]{2}"),
    ("%S", "[0-9]{2}"),
    ("%f", "[0-9]{6}"),
    ("%z", "(Z|[+-][0-9]{4})"),
    ("%s", "[0-9]{10}"),
];

/// The folder that a `recordPath` begins with, before its first variable: `/rec` of `/rec/%path/%Y`.
pub(super) fn base(record_path: &str) -> PathBuf {
    let fixed = record_path.split('%').next().unwrap_or_default();
    let folder = fixed.rsplit_once('/').map_or(".", |(folder, _)| folder);
    PathBuf::from(if folder.is_empty() { "/" } else { folder })
}

/// What the files of a path take, in bytes. What can't be read counts for nothing.
pub(super) fn size(base: &Path, record_path: &str, path: &str) -> u64 {
    let fixed = record_path.split('%').next().unwrap_or_default();
    let behind = fixed.rfind('/').map_or(0, |slash| slash + 1);
    let named = record_path[behind..].replace("%path", path);
    let levels: Vec<Level> = named.split('/').map(Level::new).collect();
    match levels.split_last() {
        Some((file, folders)) => size_below(base, folders, &file.with_extension()),
        None => 0,
    }
}

/// What stands between two slashes.
#[derive(Debug)]
enum Level {
    Name(String),
    Pattern(String),
}

impl Level {
    fn new(segment: &str) -> Self {
        if !segment.contains('%') {
            return Self::Name(segment.to_owned());
        }
        let pattern = regex_lite::escape(segment);
        let fill = |text: String, (name, digits): (&str, &str)| text.replace(name, digits);
        Self::Pattern(VARIABLES.into_iter().fold(pattern, fill))
    }

    /// MediaMTX adds it. The format may have been another one before.
    fn with_extension(&self) -> Self {
        let name = match self {
            Self::Name(name) => regex_lite::escape(name),
            Self::Pattern(pattern) => pattern.clone(),
        };
        Self::Pattern(format!("{name}\\.(mp4|ts)"))
    }

    /// What is there of it in a folder.
    fn entries(&self, folder: &Path) -> Vec<PathBuf> {
        let pattern = match self {
            Self::Name(name) => return vec![folder.join(name)],
            Self::Pattern(pattern) => Regex::new(&format!("^{pattern}$")),
        };
        // One that is too long for the engine matches nothing.
        let Ok(pattern) = pattern else {
            return Vec::new();
        };
        let is_named = |entry: &DirEntry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| pattern.is_match(name))
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter(is_named).map(|it| it.path()).collect()
    }
}

fn size_below(folder: &Path, folders: &[Level], file: &Level) -> u64 {
    match folders.split_first() {
        Some((first, rest)) => {
            let below = first.entries(folder).into_iter();
            below.map(|folder| size_below(&folder, rest, file)).sum()
        }
        None => {
            let files = file.entries(folder).into_iter();
            let metadata = files.filter_map(|file| fs::symlink_metadata(file).ok());
            let files = metadata.filter(fs::Metadata::is_file);
            files.map(|file| file.len()).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_of_a_path_count_wherever_its_name_stands() {
        let folder = tempfile::tempdir().unwrap();
        for (file, length) in [
            ("live/a/2026.mp4", 10),
            ("live/a/b/2026.mp4", 100),
            ("live/2026/11.mp4", 1000),
            ("live/2026/11.ts", 2000),
            ("live/2026/notes.txt", 10_000),
            ("live/2026/11.mp4/11.mp4", 0),
            ("a_2026.mp4", 3),
            ("a_b_2026.mp4", 30),
            ("cam+1/2026-11-21_10-00-00-123456+0100.mp4", 7),
            ("1700000000 a.mp4", 5),
        ] {
            let file = folder.path().join(file);
            let _ = fs::create_dir_all(file.parent().unwrap());
            let _ = fs::write(file, vec![0; length]);
        }
        for (record_path, path, used) in [
            ("%path/%Y", "live/a", 10),
            ("%path/%Y", "live/a/b", 100),
            ("%path/%Y/%m", "live", 3000),
            ("%path_%Y", "a", 3),
            ("%path_%Y", "a_b", 30),
            ("%path/%Y-%m-%d_%H-%M-%S-%f%z", "cam+1", 7),
            ("%s %path", "a", 5),
            ("%path/%Y", "never", 0),
            ("live/%Y/%m", "any", 3000),
        ] {
            let whole = format!("{}/{record_path}", folder.path().display());
            let size = size(&base(&whole), &whole, path);
            assert_eq!(size, used, "{record_path} {path}");
        }
    }

    #[test]
    fn the_base_is_what_comes_before_the_first_variable() {
        for (record_path, expected) in [
            ("/rec/%path/%Y", "/rec"),
            ("./recordings/%path/%Y", "./recordings"),
            ("/%path", "/"),
            ("/rec/cam_%path", "/rec"),
            ("%path", "."),
        ] {
            assert_eq!(base(record_path), Path::new(expected), "{record_path}");
        }
    }
}
