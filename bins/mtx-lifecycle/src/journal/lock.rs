//! One at a time.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The lock of who watches.
pub const WATCH_LOCK: &str = "watch.lock";
const INTERVAL: Duration = Duration::from_millis(20);

/// Held for as long as this exists, and not a moment longer than its process.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is open, that is what counts")] File);

/// Why it can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{holder} is at work with {folder}: wait until it is done, or end it")]
    Taken {
        /// Who.
        holder: String,
        /// What for.
        folder: String,
    },
    /// The disk or its permissions.
    #[error("{folder}: {error}")]
    Io {
        /// Where.
        folder: String,
        /// What is the matter.
        error: io::Error,
    },
}

impl Lock {
    /// Takes the lock called `name` in a folder, waiting until `patience` is over.
    ///
    /// # Errors
    /// When somebody else has it all the time.
    pub fn take(folder: &Path, name: &str, patience: Duration) -> Result<Self, LockError> {
        let shown = || folder.display().to_string();
        let io = |error| LockError::Io {
            folder: shown(),
            error,
        };
        let path = folder.join(name);
        let options = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let mut file = options.map_err(io)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    thread::sleep(INTERVAL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Taken {
                        holder: holder(path),
                        folder: shown(),
                    });
                }
            }
        }
        let note = format!("{} with pid {}\n", own_name(), std::process::id());
        // It is for others to read; on a full disk the lock is held all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(note.as_bytes()));
        Ok(Self(file))
    }
}

/// Others hold it, too, through the library.
fn own_name() -> String {
    let program = env::current_exe().ok();
    let name = program.as_deref().and_then(Path::file_name);
    name.map_or_else(
        || "mtx-lifecycle".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn holder(path: PathBuf) -> String {
    let note = fs::read_to_string(path).unwrap_or_default();
    match note.trim() {
        "" => "another mtx-lifecycle".to_owned(),
        note => note.chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_no_reason_to_refuse_it() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("lock")).unwrap();
        Lock::take(folder.path(), "lock", Duration::ZERO).unwrap();
    }

    #[test]
    fn the_second_one_is_told_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), "lock", Duration::ZERO).unwrap();
        let error = Lock::take(folder.path(), "lock", Duration::from_millis(50)).unwrap_err();
        let pid = format!("pid {}", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
        drop(first);
        Lock::take(folder.path(), "lock", Duration::ZERO).unwrap();
    }
}
