//! The journal's file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::old::OldRecord;
use super::record::Record;
use super::state::State;

const NAME: &str = "journal";
/// Longer ones are written anew, with nothing but what they come to, once they are twice as long as that.
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

/// The journal, open for writing. Whoever writes also holds the lock.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    state: State,
    /// How much of the file the state comes from.
    length: u64,
}

impl Journal {
    /// Opens the journal in a folder, which is made if need be; [`Journal::refresh`] reads it.
    ///
    /// # Errors
    /// When the disk does not play along.
    pub fn unread(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(NAME);
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path);
        let file = open.map_err(|error| io_error(&path, error))?;
        only_for_its_owner(&file).map_err(|error| io_error(&path, error))?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            state: State::default(),
            length: 0,
        })
    }

    /// Opens the journal in a folder, which is made if need be, and reads it.
    ///
    /// # Errors
    /// When the disk does not play along, or the journal is damaged other than by a crash.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let mut journal = Self::unread(folder)?;
        journal.read_on()?;
        Ok(journal)
    }

    /// What the journal comes to, for somebody who only looks.
    ///
    /// # Errors
    /// As with [`Journal::open`].
    pub fn peek(folder: &Path) -> Result<State, JournalError> {
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_error(&path, error)),
        };
        let mut state = State::default();
        fold(&path, &bytes, &mut state)?;
        Ok(state)
    }

    /// What it comes to.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Reads what others have added since; all of it, if it was written anew. It is written anew if it has grown
    /// far beyond what it comes to.
    ///
    /// # Errors
    /// As with [`Journal::open`].
    pub fn refresh(&mut self) -> Result<(), JournalError> {
        if !self.is_the_file()? {
            *self = Self::unread(&self.folder)?;
        }
        self.read_on()?;
        if self.length > LONGEST.max(2 * self.state.length) {
            self.compact()?;
        }
        Ok(())
    }

    /// Whether the open file is still the one in the folder.
    fn is_the_file(&self) -> Result<bool, JournalError> {
        let path = self.folder.join(NAME);
        let Ok(there) = fs::metadata(&path) else {
            return Ok(false);
        };
        let open = self.file.metadata();
        let open = open.map_err(|error| io_error(&path, error))?;
        Ok(is_same_file(&open, &there) && there.len() >= self.length)
    }

    /// Takes in what is behind the known part; what a crash has torn is cut off.
    fn read_on(&mut self) -> Result<(), JournalError> {
        let path = self.folder.join(NAME);
        let failed = |error| io_error(&path, error);
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.length)).map_err(failed)?;
        file.read_to_end(&mut bytes).map_err(failed)?;
        let whole = match fold(&path, &bytes, &mut self.state) {
            Ok(whole) => whole,
            Err(error) => {
                (self.state, self.length) = (State::default(), 0);
                return Err(error);
            }
        };
        self.length += whole as u64;
        if whole < bytes.len() {
            log::warn!("the journal's last line was torn by a crash, and is left out");
            self.file.set_len(self.length).map_err(failed)?;
        }
        Ok(())
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
        if let Err(error) = written {
            // Half a line would be damage once another one follows it: a full disk has room again later.
            let _ = self.file.set_len(self.length);
            return Err(io_error(&path, error));
        }
        self.length += line.len() as u64;
        self.state.fold(record);
        Ok(())
    }

    /// Writes it anew; whenever a crash comes, either the old one or the new one is there.
    fn compact(&mut self) -> Result<(), JournalError> {
        let path = self.folder.join(NAME);
        let draft = path.with_extension("new");
        let mut lines: Vec<String> = self.state.records().iter().map(line).collect();
        let length: usize = lines.iter().map(String::len).sum();
        let head = Record::Journal {
            id: self.state.id.clone(),
            length: length as u64,
        };
        lines[0] = line(&head);
        let write = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            only_for_its_owner(&file)?;
            file.write_all(lines.concat().as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            sync_folder(&self.folder)
        };
        write().map_err(|error| io_error(&path, error))?;
        *self = Self::open(&self.folder)?;
        Ok(())
    }
}

/// Takes lines into the state, and says where the last whole one ends.
fn fold(path: &Path, bytes: &[u8], state: &mut State) -> Result<usize, JournalError> {
    let mut whole = 0;
    for (number, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match parse(text) {
            Some(Line::New(record)) => state.fold(record),
            Some(Line::Old(record)) => state.fold_old(record),
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
    Ok(whole)
}

fn line(record: &Record) -> String {
    // Records are made of maps with text for keys, which always have a JSON form.
    let json = serde_json::to_string(record).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

enum Line {
    New(Record),
    Old(OldRecord),
}

fn parse(line: &[u8]) -> Option<Line> {
    let text = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = text.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if sum != crc32fast::hash(json.as_bytes()) {
        return None;
    }
    let new = serde_json::from_str(json).map(Line::New);
    new.or_else(|_| serde_json::from_str(json).map(Line::Old))
        .ok()
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

#[cfg(unix)]
fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What can't be told apart is read anew.
#[cfg(not(unix))]
fn is_same_file(_one: &fs::Metadata, _other: &fs::Metadata) -> bool {
    false
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
    use common::timestamp::Timestamp;
    use proptest::prelude::*;

    fn revision(number: u64) -> Record {
        let stopped = crate::policy::Use {
            stopped: Some("enough".to_owned()),
            ..Default::default()
        };
        Record::Revision {
            at: Timestamp::now(),
            number,
            what: "start recording cam".to_owned(),
            policy: (number == 1).then(|| "paths: [{path: cam}]".parse().unwrap()),
            uses: [(format!("cam{number}"), stopped)].into(),
            undoes: None,
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
        assert!(journal.state().length > 0);
        let after = Journal::peek(folder.path()).unwrap();
        assert_eq!(after.revisions[..49], before.revisions[1..]);
        assert_eq!(after.revision(), 61);
    }

    #[test]
    fn what_has_ended_is_known_until_it_is_settled() {
        let folder = folder_with(1);
        let mut journal = Journal::open(folder.path()).unwrap();
        let (id, path) = ("hold-1".to_owned(), "cam".to_owned());
        let hold = crate::policy::Hold {
            path,
            use_case: None,
        };
        let held = Record::Held {
            id: id.clone(),
            hold,
        };
        journal.append(held).unwrap();
        journal.append(Record::Released { id }).unwrap();
        journal.compact().unwrap();
        assert_eq!(journal.state().ended, ["cam".to_owned()].into());
        let paths = std::collections::BTreeSet::new();
        journal.append(Record::Ended { paths }).unwrap();
        let after = Journal::peek(folder.path()).unwrap();
        assert!(after.ended.is_empty());
    }

    #[test]
    fn what_another_process_has_added_is_read_and_nothing_twice() {
        let folder = folder_with(2);
        let mut first = Journal::open(folder.path()).unwrap();
        let mut second = Journal::open(folder.path()).unwrap();
        second.append(revision(3)).unwrap();
        first.refresh().unwrap();
        assert_eq!(first.state().revisions.len(), 3);
        second.compact().unwrap();
        second.append(revision(4)).unwrap();
        first.refresh().unwrap();
        assert_eq!(first.state().revision(), 4);
        assert_eq!(first.state().revisions, second.state().revisions);
    }

    #[test]
    fn a_journal_that_is_long_by_right_is_not_written_anew_at_every_look() {
        let folder = folder_with(1);
        let mut journal = Journal::open(folder.path()).unwrap();
        let policy = format!(
            "paths: [{{path: cam, source: {{command: {}}}}}]",
            "x".repeat(40_000)
        );
        for number in 2..40 {
            journal
                .append(Record::Revision {
                    at: Timestamp::now(),
                    number,
                    what: "apply".to_owned(),
                    policy: Some(
                        policy
                            .replace("cam", &format!("cam{number}"))
                            .parse()
                            .unwrap(),
                    ),
                    uses: std::collections::BTreeMap::new(),
                    undoes: None,
                })
                .unwrap();
        }
        let inode = |folder: &Path| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(folder.join(NAME)).unwrap().ino()
        };
        journal.refresh().unwrap();
        assert!(journal.length > LONGEST);
        let written = inode(folder.path());
        journal.refresh().unwrap();
        assert_eq!(inode(folder.path()), written);
    }

    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder_with(1);
        let mode = |folder: &Path| {
            let metadata = fs::metadata(folder.join(NAME)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode(folder.path()), 0o600);
        fs::set_permissions(folder.path().join(NAME), fs::Permissions::from_mode(0o644)).unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o600);
        journal.compact().unwrap();
        assert_eq!(mode(folder.path()), 0o600);
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
