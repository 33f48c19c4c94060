//! What SQLite left beside the store when a process was killed: a rollback journal, or the write-ahead log that earlier
//! versions of mtx-orchestrator kept. SQLite passes over whatever of them it can't read, and with it over what was
//! answered with success; so they are checked before it opens them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The Database File Format of SQLite, 4.1: the size of the log's header, and of the header of a frame.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The Database File Format of SQLite, 3: the beginning of a journal that is to be rolled back.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The file `FILE-wal` or `FILE-journal`.
pub(super) fn path(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn content(file: &Path, suffix: &str) -> io::Result<Vec<u8>> {
    match fs::read(path(file, suffix)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        content => content,
    }
}

/// Whether there is something to check.
pub(super) fn are_there(file: &Path) -> io::Result<bool> {
    let sides = ["-wal", "-journal"].map(|suffix| content(file, suffix));
    for side in sides {
        if !side?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether another process has it open: SQLite locks single bytes of it (`os.h`, `PENDING_BYTE`).
#[cfg(unix)]
pub(super) fn is_in_use(file: &Path) -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let file = fs::OpenOptions::new().read(true).write(true).open(file)?;
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

#[cfg(not(unix))]
pub(super) fn is_in_use(_file: &Path) -> io::Result<bool> {
    Ok(false)
}

/// A copy of the store with its journal, to see what becomes of it when the journal is rolled back.
pub(super) struct Copy(PathBuf);

impl Copy {
    pub(super) fn new(file: &Path) -> io::Result<Self> {
        let folder = path(file, &format!("-check-{}", std::process::id()));
        // In a container each process may have the same id, also one that was killed here.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut private = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
        private.create(&folder)?;
        let copy = Self(folder);
        fs::copy(file, copy.file())?;
        fs::copy(path(file, "-journal"), path(&copy.file(), "-journal"))?;
        Ok(copy)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("copy.db")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What can't be removed is in a folder that only its owner can enter.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Why the store can't be opened with what lies beside it, if it can't.
pub(super) fn check(file: &Path) -> io::Result<Option<String>> {
    let (store, log) = (fs::read(file)?, content(file, "-wal")?);
    let journal = content(file, "-journal")?;
    // A journal of no pages is that of the very first transaction.
    let had_pages = journal.starts_with(&JOURNAL_MAGIC) && number(&journal, 16) > 0;
    let is_cut_off = store.is_empty() && (had_pages || !log.is_empty());
    Ok(if is_cut_off {
        Some("the file is empty, but its journal is not".to_owned())
    } else {
        check_log(&log).map(|why| format!("the file beside it that ends in -wal {why}"))
    })
}

/// Whether there is a transaction to roll back.
pub(super) fn has_journal(file: &Path) -> io::Result<bool> {
    Ok(content(file, "-journal")?.starts_with(&JOURNAL_MAGIC))
}

/// The Database File Format of SQLite, 4: each frame carries the salts of the header and a checksum over all before it.
/// Frames with other salts are left over from before the log was begun anew.
fn check_log(log: &[u8]) -> Option<&'static str> {
    const DAMAGED: Option<&str> = Some("is damaged");
    if log.is_empty() {
        return None;
    }
    if log.len() < LOG_HEADER {
        return Some("is cut off");
    }
    let (header, frames) = log.split_at(LOG_HEADER);
    let is_big_endian = match number(header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return DAMAGED,
    };
    let mut sum = checksum([0; 2], &header[..24], is_big_endian);
    if sum != [number(header, 24), number(header, 28)] {
        return DAMAGED;
    }
    let salts = [number(header, 16), number(header, 20)];
    let frames = frames.chunks_exact(FRAME_HEADER + number(header, 8) as usize);
    if !frames.remainder().is_empty() {
        return Some("is cut off");
    }
    let mut is_current = true;
    for frame in frames {
        let of_frame = [number(frame, 8), number(frame, 12)];
        let same = (0..2).filter(|n| of_frame[*n] == salts[*n]).count();
        is_current &= same == 2;
        if !is_current {
            if same > 0 {
                return DAMAGED;
            }
            continue;
        }
        sum = checksum(sum, &frame[..8], is_big_endian);
        sum = checksum(sum, &frame[FRAME_HEADER..], is_big_endian);
        if sum != [number(frame, 16), number(frame, 20)] {
            return DAMAGED;
        }
    }
    None
}

/// The Database File Format of SQLite, 4.2.
fn checksum(start: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    let word = |bytes: &[u8]| match is_big_endian {
        true => number(bytes, 0),
        false => number(bytes, 0).swap_bytes(),
    };
    bytes.chunks_exact(8).fold(start, |[first, second], pair| {
        let first = first.wrapping_add(word(pair)).wrapping_add(second);
        [
            first,
            second.wrapping_add(word(&pair[4..])).wrapping_add(first),
        ]
    })
}

/// A big-endian number; the caller has checked that it is there.
fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(four.unwrap_or_default())
}
