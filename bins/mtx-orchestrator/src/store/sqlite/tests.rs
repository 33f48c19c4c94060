use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

/// A folder that goes with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let name = format!("mtx-store-{}-{}", std::process::id(), fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("streams.db")
    }

    pub(super) fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.file())
    }

    fn mode(&self) -> u32 {
        fs::metadata(self.file()).unwrap().permissions().mode() & 0o777
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn declared(id: &str, outputs: &[&str]) -> Declaration {
    let outputs = outputs.iter().map(|url| Output::parse(url).unwrap());
    let time = "2026-11-21T04:18:22.123Z".parse().unwrap();
    Declaration {
        id: id.parse().unwrap(),
        name: Some("Gate 3 'north'".parse().unwrap()),
        source: Source::parse("rtsp://u:p'w@h/1").unwrap(),
        outputs: Outputs::new(outputs.collect()).ok(),
        enabled: true,
        created_at: time,
        updated_at: time,
    }
}

#[test]
fn what_was_stored_is_there_after_the_next_start() {
    let folder = Folder::new();
    let (a, mut b) = (
        declared("a", &["rtmp://h/x/2", "rtmp://h/x/1"]),
        declared("b", &[]),
    );
    let mut store = folder.open().unwrap();
    store.insert(&b).unwrap();
    store.insert(&a).unwrap();
    b.name = None;
    b.enabled = false;
    b.outputs = a.outputs.clone();
    store.update(&b).unwrap();
    drop(store);
    let mut store = folder.open().unwrap();
    assert_eq!(store.list().unwrap(), [a.clone(), b.clone()]);
    assert_eq!(store.get(&b.id).unwrap(), Some(b));
    store.delete(&a.id).unwrap();
    assert_eq!(store.get(&a.id).unwrap(), None);
    // Neither are its outputs left over.
    store.insert(&declared("a", &[])).unwrap();
    assert_eq!(store.get(&a.id).unwrap().unwrap().outputs, None);
}

/// As the first release of the program has left it.
const FIRST_RELEASE: &str = "
    CREATE TABLE store_migrations (
        version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL
    );
    INSERT INTO store_migrations VALUES (1, 'streams', '2026-11-21T04:00:00.000Z');
    CREATE TABLE streams (
        id TEXT NOT NULL PRIMARY KEY, name TEXT, source TEXT NOT NULL, enabled BOOLEAN NOT NULL,
        created_at TEXT NOT NULL, updated_at TEXT NOT NULL
    );
    CREATE TABLE stream_outputs (
        stream_id TEXT NOT NULL REFERENCES streams (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        url TEXT NOT NULL, PRIMARY KEY (stream_id, position)
    );
    INSERT INTO streams VALUES ('a', 'Gate 3 ''north''', 'rtsp://u:p''w@h/1', 1,
        '2026-11-21T04:18:22.123Z', '2026-11-21T04:18:22.123Z');
    INSERT INTO stream_outputs VALUES ('a', 1, 'rtmp://h/x/2'), ('a', 2, 'rtmp://h/x/1');";

#[test]
fn the_store_of_the_first_release_goes_on() {
    let folder = Folder::new();
    let connection = Connection::open(folder.file()).unwrap();
    connection.execute_batch(FIRST_RELEASE).unwrap();
    drop(connection);
    let a = declared("a", &["rtmp://h/x/2", "rtmp://h/x/1"]);
    let mut store = folder.open().unwrap();
    assert_eq!(store.list().unwrap(), std::slice::from_ref(&a));
    assert_eq!(store.routes().unwrap(), None);
    for document in ["first", "second"] {
        store.set_routes(document).unwrap();
    }
    drop(store);
    let store = folder.open().unwrap();
    assert_eq!(store.routes().unwrap().as_deref(), Some("second"));
    assert_eq!(store.list().unwrap(), [a]);
}

#[test]
fn an_id_is_taken_once() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let a = declared("a", &[]);
    store.insert(&a).unwrap();
    assert_eq!(store.insert(&a), Err(StoreError::Taken(a.id.clone())));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_commit_is_on_the_disk_when_it_returns() {
    let folder = Folder::new();
    let store = folder.open().unwrap();
    let pragma = |name: &str| -> rusqlite::types::Value {
        let value = store
            .connection
            .pragma_query_value(None, name, |row| row.get(0));
        value.unwrap()
    };
    assert_eq!(pragma("journal_mode"), "truncate".to_owned().into());
    // FULL
    assert_eq!(pragma("synchronous"), 2.into());
}

#[test]
fn nobody_else_may_read_the_file() {
    let folder = Folder::new();
    drop(folder.open().unwrap());
    assert_eq!(folder.mode(), 0o600);
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut store = folder.open().unwrap();
    store.insert(&declared("a", &[])).unwrap();
    assert_eq!(folder.mode(), 0o600);
    for entry in fs::read_dir(&folder.0).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let other = Folder::new();
    let connection = Connection::open(other.file()).unwrap();
    connection.execute_batch("CREATE TABLE x (y)").unwrap();
    drop(connection);
    let text = Folder::new();
    fs::write(text.file(), "passwords: hunter2\n".repeat(500)).unwrap();
    let torn = Folder::new();
    let mut store = torn.open().unwrap();
    (0..200).for_each(|n| store.insert(&declared(&format!("s{n}"), &[])).unwrap());
    drop(store);
    let mut bytes = fs::read(torn.file()).unwrap();
    bytes[4096..].fill(0xA5);
    fs::write(torn.file(), bytes).unwrap();
    let byte = Folder::new();
    fs::write(byte.file(), "x").unwrap();
    let note = Folder::new();
    fs::write(note.file(), "to do: buy milk, and a bit more\n").unwrap();
    for folder in [other, text, torn, byte, note] {
        fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o640)).unwrap();
        let before = fs::read(folder.file()).unwrap();
        let error = folder.open().err().unwrap();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        assert!(fs::read(folder.file()).unwrap() == before, "{error}");
        assert_eq!(folder.mode(), 0o640);
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_left_alone() {
    let folder = Folder::new();
    let store = folder.open().unwrap();
    let sql = format!("INSERT INTO {TABLE} VALUES (99, 'later', '')");
    store.connection.execute(&sql, []).unwrap();
    drop(store);
    let before = fs::read(folder.file()).unwrap();
    let error = folder.open().err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(fs::read(folder.file()).unwrap() == before);
}

#[test]
fn a_row_that_somebody_else_wrote_is_checked() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.insert(&declared("a", &[])).unwrap();
    let sql = "UPDATE streams SET source = 'http://u:hunter2@h/'";
    store.connection.execute(sql, []).unwrap();
    let message = store.list().unwrap_err().to_string();
    assert!(
        message.contains("\"a\"") && message.contains("rtsp://"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn what_was_stopped_is_kept_until_it_is_started() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let paths = ["cam", "a/b"].map(|path| path.parse::<PathName>().unwrap());
    for path in [&paths[0], &paths[1], &paths[0]] {
        store.set_stopped(path, true).unwrap();
    }
    store.set_stopped(&paths[1], false).unwrap();
    drop(store);
    assert_eq!(folder.open().unwrap().stopped().unwrap(), paths[..1]);
}

#[test]
fn where_there_can_be_no_file_it_says_so() {
    let message = SqliteStore::open(Path::new("/nowhere/x.db"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("/nowhere/x.db") && message.contains("No such"),
        "{message}"
    );
}
