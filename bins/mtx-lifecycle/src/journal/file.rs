//! The journal's file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::Record;
use super::state::State;

const NAME: &str = "journal";
/// Longer ones are written anew, with nothing but what they come to.
const LONGEST: u64 = 1024 * 1024;

/// Why the journal can't be had.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or its permissions.
    #[error("{file}: {error}")]
    Io {
        /// Which file or folder.
        file: String,
        /// What is the matter.
        error: io::Error,
    },
    /// Not what this program has written, in the midst of what it has.
    #[error(
        "{file}: line {line} is damaged: move the file away to begin anew, or put back a copy of it"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// Where.
        line: usize,
    },
}

/// The journal, open for writing. Whoever has it also holds the lock.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    state: State,
}

impl Journal {
    /// Reads the journal in a folder, which is made if need be.
    ///
    /// # Errors
    /// When the disk does not play along, or the journal is damaged other than by a crash.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(NAME);
        let (state, whole, length) = read(&path)?;
        let open = OpenOptions::new().create(true).append(true).open(&path);
        let file = open.map_err(|error| io_error(&path, error))?;
        only_for_its_owner(&file).map_err(|error| io_error(&path, error))?;
        if whole < length {
            log::warn!("the journal's last line was torn by a crash, and is left out");
            file.set_len(whole)
                .map_err(|error| io_error(&path, error))?;
        }
        let folder = folder.to_owned();
        let mut journal = Self {
            folder,
            file,
            state,
        };
        if whole > LONGEST {
            journal.compact()?;
        }
        Ok(journal)
    }

    /// What the journal comes to, for somebody who only looks.
    ///
    /// # Errors
    /// As with [`Journal::open`].
    pub fn peek(folder: &Path) -> Result<State, JournalError> {
        read(&folder.join(NAME)).map(|(state, ..)| state)
    }

    /// What it comes to.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Adds a record; it is on the disk when this returns.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        let path = self.folder.join(NAME);
        let line = line(&record);
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| self.file.sync_data());
        written.map_err(|error| io_error(&path, error))?;
        self.state.fold(record);
        Ok(())
    }

    /// Writes it anew; whenever a crash comes, either the old one or the new one is there.
    fn compact(&mut self) -> Result<(), JournalError> {
        let path = self.folder.join(NAME);
        let draft = path.with_extension("new");
        let write = || -> io::Result<File> {
            let mut file = File::create(&draft)?;
            only_for_its_owner(&file)?;
            for record in self.state.records() {
                file.write_all(line(&record).as_bytes())?;
            }
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            sync_folder(&self.folder)?;
            OpenOptions::new().append(true).open(&path)
        };
        self.file = write().map_err(|error| io_error(&path, error))?;
        Ok(())
    }
}

/// The state, where its last whole line ends, and where the file does.
fn read(path: &Path) -> Result<(State, u64, u64), JournalError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error(path, error)),
    };
    let mut state = State::default();
    let mut whole = 0;
    for (number, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match parse(text) {
            Some(record) => state.fold(record),
            None if whole + text.len() == bytes.len() => break,
            None => {
                return Err(JournalError::Damaged {
                    file: path.display().to_string(),
                    line: number + 1,
                });
            }
        }
        whole += text.len();
    }
    Ok((state, whole as u64, bytes.len() as u64))
}

fn line(record: &Record) -> String {
    // Records are made of maps with text for keys, which always have a JSON form.
    let json = serde_json::to_string(record).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn parse(line: &[u8]) -> Option<Record> {
    let text = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = text.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if sum != crc32fast::hash(json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

fn io_error(path: &Path, error: io::Error) -> JournalError {
    JournalError::Io {
        file: path.display().to_string(),
        error,
    }
}

/// What it holds can have passwords in it: URLs of sources.
#[cfg(unix)]
fn only_for_its_owner(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn only_for_its_owner(_file: &File) -> io::Result<()> {
    Ok(())
}

/// A renamed file is one only once its folder is on the disk, too.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mediamtx::timestamp::Timestamp;
    use proptest::prelude::*;

    fn revision(number: u64) -> Record {
        Record::Revision {
            at: Timestamp::now(),
            number,
            what: "start recording cam".to_owned(),
            policy: (number == 1).then(|| "paths: [{path: cam}]".parse().unwrap()),
            uses: [("cam".to_owned(), crate::wanted::Use::default())].into(),
        }
    }

    fn folder_with(records: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        for number in 1..=records {
            journal.append(revision(number)).unwrap();
        }
        folder
    }

    #[test]
    fn what_was_written_is_known_again() {
        let folder = folder_with(3);
        let state = Journal::peek(folder.path()).unwrap();
        assert_eq!(state.revision(), 3);
        assert_eq!(state.wanted().policy.paths.len(), 1);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_written_over() {
        let folder = folder_with(2);
        let path = folder.path().join(NAME);
        let bytes = fs::read(&path).unwrap();
        for cut in 1..60 {
            fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            let mut journal = Journal::open(folder.path()).unwrap();
            assert_eq!(journal.state().revision(), 1);
            journal.append(revision(7)).unwrap();
            assert_eq!(Journal::peek(folder.path()).unwrap().revision(), 7);
        }
    }

    #[test]
    fn damage_in_the_midst_is_named_with_its_line() {
        let folder = folder_with(3);
        let path = folder.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        let message = Journal::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("line 1 is damaged"), "{message}");
    }

    #[test]
    fn a_long_journal_is_written_anew_and_says_the_same() {
        let folder = folder_with(60);
        let mut journal = Journal::open(folder.path()).unwrap();
        let before = journal.state().clone();
        journal.compact().unwrap();
        journal.append(revision(61)).unwrap();
        let after = Journal::peek(folder.path()).unwrap();
        assert_eq!(after.revisions[..49], before.revisions[1..]);
        assert_eq!(after.revision(), 61);
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(NAME), bytes).unwrap();
            let _ = Journal::open(folder.path());
        }
    }
}
