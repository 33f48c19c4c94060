//! What is remembered of failures over the ends of processes. MediaMTX starts a hook that has ended again after 5 s, each
//! time (`runOnAvailableRestart`, its `internal/externalcmd/cmd.go`), and a platform that refuses a key must not be asked
//! so often.

use std::cell::Cell;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs};

use nix::unistd::{Uid, geteuid};

use crate::digest::digest;

const PREFIX: &str = "mtx-worker-failures-";

/// The wait after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// What is older has nothing to do with what happens now.
const FORGOTTEN: Duration = Duration::from_secs(2 * LONGEST.as_secs());

/// What a process waits before it ends, where nothing can be remembered for the next one.
const WITHOUT_MEMORY: Duration = Duration::from_secs(30);

/// How often something has failed in a row, in a file that holds the number and was written at the last failure.
pub(crate) struct Failures {
    /// Places for the file; the first one that can be written to has it.
    files: Vec<PathBuf>,
    count: Cell<u32>,
}

impl Failures {
    /// The failures of whatever these parts name.
    pub(crate) fn remembered(parts: &[&str]) -> Self {
        Self::in_folders(folders(), parts)
    }

    /// Nothing is remembered, and nothing waits.
    pub(crate) fn forgotten() -> Self {
        Self {
            files: Vec::new(),
            count: Cell::new(0),
        }
    }

    fn in_folders(folders: Vec<PathBuf>, parts: &[&str]) -> Self {
        let name = format!("{PREFIX}{}", digest(parts));
        let files: Vec<PathBuf> = folders.into_iter().map(|f| f.join(&name)).collect();
        let count = Cell::new(files.iter().find_map(|file| read(file)).unwrap_or(0));
        Self { files, count }
    }

    /// How many there were in a row.
    pub(crate) fn count(&self) -> u32 {
        self.count.get()
    }

    /// How long to wait before the next try.
    pub(crate) fn remaining(&self) -> Duration {
        let age = self.files.iter().find_map(|file| age(file));
        age.map_or(Duration::ZERO, |age| {
            wait_after(self.count.get()).saturating_sub(age)
        })
    }

    /// Waits for that long; if it is no time, not even for a tick of the timer.
    pub(crate) async fn wait(&self) {
        let remaining = self.remaining();
        if !remaining.is_zero() {
            tokio::time::sleep(remaining).await;
        }
    }

    /// After a failure: waits as long as the ones before it ask for, and counts it. Unlike a wait before the next try, it
    /// does not hold up a new publisher, for whose hook MediaMTX ends this one.
    pub(crate) async fn hold_back(&self) {
        self.wait().await;
        tokio::time::sleep(self.add()).await;
    }

    /// One more. Returns how long to wait before the process ends, if the next one would not know of it.
    pub(crate) fn add(&self) -> Duration {
        self.count.set(self.count.get().saturating_add(1));
        let written = self.files.iter().any(|file| {
            sweep(file);
            write(file, self.count.get()).is_ok()
        });
        if written || self.files.is_empty() {
            Duration::ZERO
        } else {
            WITHOUT_MEMORY
        }
    }

    /// It has worked.
    pub(crate) fn clear(&self) {
        if self.count.replace(0) == 0 {
            return;
        }
        for file in &self.files {
            // Most of them were never there.
            let _ = fs::remove_file(file);
        }
    }
}

/// Docker, Podman and Kubernetes give every container a `/dev/shm` that can be written to, also those with a read-only
/// root without folders.
fn folders() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|folder| folder.is_absolute());
    let shared = [PathBuf::from("/dev/shm"), env::temp_dir()];
    runtime.into_iter().chain(shared).collect()
}

fn wait_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(LONGEST),
    }
}

fn read(file: &Path) -> Option<u32> {
    age(file)?;
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Others may write into the folder: what is no plain file, or another user's, is none of ours.
fn metadata_of(file: &Path, user: Uid) -> Option<fs::Metadata> {
    let metadata = fs::symlink_metadata(file).ok()?;
    (metadata.is_file() && metadata.uid() == user.as_raw()).then_some(metadata)
}

fn age(file: &Path) -> Option<Duration> {
    let modified = metadata_of(file, geteuid())?.modified().ok()?;
    let age = SystemTime::now().duration_since(modified);
    Some(age.unwrap_or_default()).filter(|age| *age < FORGOTTEN)
}

/// A new file and a rename follow no link that somebody else has laid there.
fn write(file: &Path, count: u32) -> io::Result<()> {
    let new = file.with_extension(std::process::id().to_string());
    let written = fs::File::create_new(&new)
        .and_then(|mut new| writeln!(new, "{count}"))
        .and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Removes what nobody will ask for any more, of paths and keys that are gone.
fn sweep(file: &Path) {
    let entries = file.parent().and_then(|folder| fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_ours = is_named && metadata_of(&entry.path(), geteuid()).is_some();
        if is_ours && age(&entry.path()).is_none() {
            // Another worker may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("mtx-worker-test-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn waits_double_from_ten_seconds_to_five_minutes() {
        let waits = (0..8)
            .chain([u32::MAX])
            .map(|count| wait_after(count).as_secs());
        let expected = [0, 10, 20, 40, 80, 160, 300, 300, 300];
        assert_eq!(waits.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_next_process_knows_until_it_has_worked() {
        let folder = folder("memory");
        let open = |what: &str| {
            let unwritable = PathBuf::from("/proc");
            Failures::in_folders(vec![unwritable, folder.clone()], &[what])
        };
        assert_eq!(open("a").remaining(), Duration::ZERO);
        assert_eq!(open("a").add(), Duration::ZERO);
        assert_eq!(open("a").add(), Duration::ZERO);
        let again = open("a");
        let remaining = again.remaining();
        assert_eq!(again.count(), 2);
        assert!(remaining > Duration::from_secs(15) && remaining <= Duration::from_secs(20));
        assert_eq!(open("b").count(), 0);
        again.clear();
        assert_eq!((open("a").count(), again.remaining()), (0, Duration::ZERO));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_removed() {
        let folder = folder("forgetting");
        let open = |what: &str| Failures::in_folders(vec![folder.clone()], &[what]);
        open("old").add();
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        let old = SystemTime::now() - FORGOTTEN;
        let opened = fs::File::options().write(true).open(file.path()).unwrap();
        opened.set_modified(old).unwrap();
        assert_eq!(
            (open("old").count(), open("old").remaining()),
            (0, Duration::ZERO)
        );
        open("new").add();
        assert!(!file.path().exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_users_file_is_not_believed() {
        let folder = folder("owner");
        let file = folder.join("file");
        fs::write(&file, "9").unwrap();
        let other = Uid::from_raw(geteuid().as_raw() + 1);
        assert!(metadata_of(&file, geteuid()).is_some());
        assert!(metadata_of(&file, other).is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_failure_in_a_row_is_held_back() {
        let folder = folder("holding");
        let start = tokio::time::Instant::now();
        let fail = async || {
            Failures::in_folders(vec![folder.clone()], &["x"])
                .hold_back()
                .await
        };
        fail().await;
        assert!(start.elapsed() < Duration::from_secs(1));
        fail().await;
        assert!(start.elapsed() > Duration::from_secs(9));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn without_a_place_to_remember_the_process_waits_itself() {
        let nowhere = Failures::in_folders(vec!["/proc".into()], &["a"]);
        assert_eq!(nowhere.add(), WITHOUT_MEMORY);
        let forgotten = Failures::forgotten();
        assert_eq!(
            (forgotten.add(), forgotten.remaining()),
            (Duration::ZERO, Duration::ZERO)
        );
    }
}
