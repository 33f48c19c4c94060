//! The store as one SQLite file, for one process at a time.

mod side_files;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::timestamp::Timestamp;
use mediamtx::path::{PathName, StreamId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::migrations::{self, CREATE_TABLE, TABLE};
use super::{Store, StoreError};
use crate::declaration::{self, Declaration, Invalid, Output, Outputs, Source};

/// For a predecessor that is just ending.
const PATIENCE: Duration = Duration::from_secs(3);

/// The Database File Format of SQLite, 1.3: how a database begins, and how it is to be read.
const MAGIC: &[u8] = b"SQLite format 3\0";
const READ_VERSION: usize = 19;
/// With a write-ahead log, as earlier versions of mtx-orchestrator kept it.
const VERSION_WITH_LOG: u8 = 2;

pub(crate) struct SqliteStore {
    connection: Connection,
    file: String,
}

impl SqliteStore {
    /// Opens the file, or creates it, and brings its tables up to date.
    pub(crate) fn open(file: &Path) -> Result<Self, StoreError> {
        let shown = file.display().to_string();
        let cant_open = |why: String| StoreError::Open {
            store: shown.clone(),
            why,
        };
        let is_new = create_private(file).map_err(|error| cant_open(error.to_string()))?;
        check_before_opening(file, &shown)?;
        // SQLite's locks on the file go with the first one who closes it: from here on it alone opens it.
        let start = start_of(file).map_err(|error| cant_open(error.to_string()))?;
        if start.is_empty() && !is_new {
            log::warn!("the store {shown} is an empty file: it begins anew, with no stream");
        }
        let kept_log = start.get(READ_VERSION) == Some(&VERSION_WITH_LOG);
        let mut store = Self::connect(file, &shown)?;
        store.lock().map_err(|error| store.at_start(&error))?;
        store.inspect(kept_log)?;
        restrict(file).map_err(|error| cant_open(error.to_string()))?;
        store.settle().map_err(|error| store.at_start(&error))?;
        store.migrate()?;
        Ok(store)
    }

    fn connect(file: &Path, shown: &str) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(file, flags)?;
            // A store that is refused keeps its log as it is.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| StoreError::Open {
            store: shown.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self {
            connection,
            file: shown.to_owned(),
        })
    }

    /// Takes the file's lock, which the system frees when the process ends, however it ends.
    fn lock(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(PATIENCE)?;
        self.connection
            .pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        // The mode keeps what the transaction took.
        self.connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")
    }

    /// Only looks: what is not a store of ours stays as it is.
    fn inspect(&self, kept_log: bool) -> Result<(), StoreError> {
        let ask = |sql: &str| -> rusqlite::Result<i64> {
            self.connection.query_row(sql, [], |row| row.get(0))
        };
        let check: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|error| self.at_start(&error))?;
        if check != "ok" {
            let why = check.lines().last().unwrap_or_default();
            return Err(self.damaged(why.to_owned()));
        }
        let tables =
            ask("SELECT count(*) FROM sqlite_master").map_err(|error| self.at_start(&error))?;
        if tables == 0 {
            // Whoever kept a log had tables.
            return if kept_log {
                Err(self.damaged("it has no tables".to_owned()))
            } else {
                Ok(())
            };
        }
        let version = ask(&format!("SELECT coalesce(max(version), 0) FROM {TABLE}"));
        let found = version.map_err(|error| self.damaged(error.to_string()))?;
        let known = migrations::newest();
        if found > known {
            return Err(StoreError::Newer {
                store: self.file.clone(),
                found,
                known,
            });
        }
        Ok(())
    }

    /// A commit is in the file, and on the disk, when it returns. A log beside it, as earlier versions kept one, is taken
    /// over.
    fn settle(&self) -> rusqlite::Result<()> {
        self.connection
            .pragma_update_and_check(None, "journal_mode", "TRUNCATE", |_| Ok(()))?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.connection.pragma_update(None, "foreign_keys", true)
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let version = format!("SELECT coalesce(max(version), 0) FROM {TABLE}");
        self.write(|transaction| transaction.execute(CREATE_TABLE, []).map(drop))?;
        let version = self.connection.query_row(&version, [], |row| row.get(0));
        let version: i64 = version.map_err(|error| self.failed(&error))?;
        for step in migrations::missing(version) {
            self.write(|transaction| {
                transaction.execute_batch(step.sql)?;
                let record =
                    format!("INSERT INTO {TABLE} (version, name, applied_at) VALUES (?1, ?2, ?3)");
                let now = Timestamp::now().to_string();
                transaction
                    .execute(&record, params![step.version, step.name, now])
                    .map(drop)
            })?;
        }
        Ok(())
    }

    /// All of it, or nothing.
    fn write(
        &mut self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let run = || {
            let transaction = self.connection.transaction()?;
            act(&transaction)?;
            transaction.commit()
        };
        run().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::Failed {
            store: self.file.clone(),
            why: error.to_string(),
        }
    }

    fn damaged(&self, why: String) -> StoreError {
        StoreError::Damaged {
            store: self.file.clone(),
            why,
        }
    }

    fn at_start(&self, error: &rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse {
                store: self.file.clone(),
            },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                self.damaged(error.to_string())
            }
            _ => StoreError::Open {
                store: self.file.clone(),
                why: error.to_string(),
            },
        }
    }

    /// The columns of a row, as they are.
    fn rows(&self, only: Option<&StreamId>) -> rusqlite::Result<Vec<Columns>> {
        let sql = "SELECT id, name, source, enabled, created_at, updated_at FROM streams \
                   WHERE ?1 IS NULL OR id = ?1 ORDER BY id";
        let mut streams = self.connection.prepare(sql)?;
        let rows = streams.query_map(params![only.map(StreamId::as_str)], Columns::read)?;
        let mut rows = rows.collect::<rusqlite::Result<Vec<Columns>>>()?;
        let sql = "SELECT url FROM stream_outputs WHERE stream_id = ?1 ORDER BY position";
        let mut outputs = self.connection.prepare(sql)?;
        for row in &mut rows {
            let urls = outputs.query_map(params![row.id], |row| row.get(0))?;
            row.outputs = urls.collect::<rusqlite::Result<_>>()?;
        }
        Ok(rows)
    }

    fn load(&self, only: Option<&StreamId>) -> Result<Vec<Declaration>, StoreError> {
        let rows = self.rows(only).map_err(|error| self.failed(&error))?;
        let understand = |row: Columns| {
            let id = row.id.clone();
            row.understand().map_err(|why| StoreError::Row {
                store: self.file.clone(),
                id,
                why,
            })
        };
        rows.into_iter().map(understand).collect()
    }
}

impl Store for SqliteStore {
    fn list(&self) -> Result<Vec<Declaration>, StoreError> {
        self.load(None)
    }

    fn get(&self, id: &StreamId) -> Result<Option<Declaration>, StoreError> {
        Ok(self.load(Some(id))?.pop())
    }

    fn insert(&mut self, declaration: &Declaration) -> Result<(), StoreError> {
        let taken = "SELECT 1 FROM streams WHERE id = ?1";
        let taken = self
            .connection
            .query_row(taken, params![declaration.id.as_str()], |_| Ok(()))
            .optional()
            .map_err(|error| self.failed(&error))?;
        if taken.is_some() {
            return Err(StoreError::Taken(declaration.id.clone()));
        }
        self.write(|transaction| {
            let sql = "INSERT INTO streams (id, name, source, enabled, created_at, updated_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            transaction.execute(sql, columns(declaration))?;
            let path = declaration.key().path().as_str().to_owned();
            transaction.execute("DELETE FROM stopped_paths WHERE path = ?1", [path])?;
            insert_outputs(transaction, declaration)
        })
    }

    fn update(&mut self, declaration: &Declaration) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE streams SET name = ?2, source = ?3, enabled = ?4, created_at = ?5, \
                       updated_at = ?6 WHERE id = ?1";
            let changed = transaction.execute(sql, columns(declaration))?;
            if changed == 0 {
                return Ok(());
            }
            let sql = "DELETE FROM stream_outputs WHERE stream_id = ?1";
            transaction.execute(sql, params![declaration.id.as_str()])?;
            insert_outputs(transaction, declaration)
        })
    }

    fn delete(&mut self, id: &StreamId) -> Result<bool, StoreError> {
        let mut deleted = 0;
        self.write(|transaction| {
            let sql = "DELETE FROM streams WHERE id = ?1";
            deleted = transaction.execute(sql, params![id.as_str()])?;
            Ok(())
        })?;
        Ok(deleted > 0)
    }

    fn routes(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT document FROM routes WHERE id = 1";
        let document = self.connection.query_row(sql, [], |row| row.get(0));
        document.optional().map_err(|error| self.failed(&error))
    }

    fn stopped(&self) -> Result<Vec<PathName>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut select = self.connection.prepare("SELECT path FROM stopped_paths")?;
            select.query_map([], |row| row.get(0))?.collect()
        };
        let paths = read().map_err(|error| self.failed(&error))?;
        // Whatever else somebody wrote there is the name of no stream.
        Ok(paths.iter().filter_map(|path| path.parse().ok()).collect())
    }

    fn set_stopped(&mut self, path: &PathName, stopped: bool) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "DELETE FROM stopped_paths WHERE path = ?1";
            transaction.execute(sql, params![path.as_str()])?;
            if !stopped {
                return Ok(());
            }
            let sql = "INSERT INTO stopped_paths (path, stopped_at) VALUES (?1, ?2)";
            let now = Timestamp::now().to_string();
            transaction
                .execute(sql, params![path.as_str(), now])
                .map(drop)
        })
    }

    fn set_routes(&mut self, document: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM routes", [])?;
            let sql = "INSERT INTO routes (id, document) VALUES (1, ?1)";
            transaction.execute(sql, params![document]).map(drop)
        })
    }
}

/// The id, the name, the source, whether it is enabled, and its two times: a row without its outputs.
fn columns(declaration: &Declaration) -> impl rusqlite::Params {
    (
        declaration.id.as_str(),
        declaration.name.as_ref().map(|name| name.as_str()),
        declaration.source.url().as_str(),
        declaration.enabled,
        declaration.created_at.to_string(),
        declaration.updated_at.to_string(),
    )
}

fn insert_outputs(
    transaction: &Transaction<'_>,
    declaration: &Declaration,
) -> rusqlite::Result<()> {
    let outputs = declaration.outputs.iter().flat_map(Outputs::as_slice);
    let sql = "INSERT INTO stream_outputs (stream_id, position, url) VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare(sql)?;
    for (position, output) in (1_i64..).zip(outputs) {
        insert.execute(params![
            declaration.id.as_str(),
            position,
            output.url().as_str()
        ])?;
    }
    Ok(())
}

/// A stream before it is understood.
struct Columns {
    id: String,
    name: Option<String>,
    source: String,
    enabled: bool,
    created_at: String,
    updated_at: String,
    outputs: Vec<String>,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            source: row.get("source")?,
            enabled: row.get("enabled")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
            outputs: Vec::new(),
        })
    }

    /// Somebody else may have written it.
    fn understand(self) -> Result<Declaration, String> {
        let text = |error: Invalid| error.to_string();
        let time = |text: &str| -> Result<Timestamp, String> {
            text.parse().map_err(|_| format!("{text:?} is no time"))
        };
        let outputs = self.outputs.iter().map(|url| Output::parse(url));
        let outputs: Vec<Output> = outputs.collect::<Result<_, _>>().map_err(text)?;
        let outputs = (!outputs.is_empty()).then(|| Outputs::new(outputs));
        let name = self.name.map(|name| name.parse());
        Ok(Declaration {
            id: declaration::parse_id(&self.id).map_err(text)?,
            name: name.transpose().map_err(text)?,
            source: Source::parse(&self.source).map_err(text)?,
            outputs: outputs.transpose().map_err(text)?,
            enabled: self.enabled,
            created_at: time(&self.created_at)?,
            updated_at: time(&self.updated_at)?,
        })
    }
}

/// The sources' URLs hold passwords: nobody but the owner may read the file. SQLite gives its journal the same
/// mode. Returns whether there was none.
fn create_private(file: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses what SQLite would pass over, or repair, without a word. It changes nothing.
fn check_before_opening(file: &Path, shown: &str) -> Result<(), StoreError> {
    let store = || shown.to_owned();
    let cant_open = |error: io::Error| StoreError::Open {
        store: store(),
        why: error.to_string(),
    };
    let damaged = |why: &str| StoreError::Damaged {
        store: store(),
        why: why.to_owned(),
    };
    let start = start_of(file).map_err(cant_open)?;
    // SQLite takes a file that is shorter than its header for an empty one, and writes over it.
    if !start.is_empty() && !start.starts_with(MAGIC) {
        return Err(damaged("file is not a database"));
    }
    if !side_files::are_there(file).map_err(cant_open)? {
        return Ok(());
    }
    // What a process is just writing looks damaged.
    let begun = Instant::now();
    while side_files::is_in_use(file).map_err(cant_open)? {
        if begun.elapsed() >= PATIENCE {
            return Err(StoreError::InUse { store: store() });
        }
        thread::sleep(Duration::from_millis(20));
    }
    if let Some(why) = side_files::check(file).map_err(cant_open)? {
        return Err(damaged(&why));
    }
    if side_files::has_journal(file).map_err(cant_open)? {
        let copy = side_files::Copy::new(file).map_err(cant_open)?;
        SqliteStore::connect(&copy.file(), shown)?.inspect(false)?;
    }
    Ok(())
}

fn start_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let length = READ_VERSION as u64 + 1;
    fs::File::open(file)?.take(length).read_to_end(&mut start)?;
    Ok(start)
}

/// A file that came from elsewhere may have another mode.
#[cfg(unix)]
fn restrict(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    for file in [file, &side_files::path(file, "-journal")] {
        match fs::metadata(file) {
            Ok(known) if known.permissions().mode() & 0o077 == 0 => {}
            Ok(_) => fs::set_permissions(file, fs::Permissions::from_mode(0o600))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn restrict(_file: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
