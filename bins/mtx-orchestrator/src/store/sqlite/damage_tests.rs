//! Whatever happens to the files: what was stored is there, or the store is refused and left as it is.

use std::path::PathBuf;

use proptest::prelude::*;

use super::tests::{Folder, declared};
use super::*;

const STREAMS: usize = 5;

fn fill(store: &mut SqliteStore) {
    for number in 0..STREAMS {
        let outputs = ["rtmp://h/x/2", "rtmp://h/x/1"];
        store
            .insert(&declared(&format!("s{number}"), &outputs))
            .unwrap();
    }
    store.set_routes(r#"{"routes": []}"#).unwrap();
    store.set_stopped(&"cam".parse().unwrap(), true).unwrap();
}

/// All files of a folder with their content.
fn files(folder: &Folder) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// What a program that starts finds: the numbers of streams, outputs, route documents and stopped paths.
fn found(folder: &Folder) -> Result<[usize; 4], StoreError> {
    let store = folder.open()?;
    let streams = store.list()?;
    let outputs = streams.iter().flat_map(|stream| &stream.outputs);
    let outputs = outputs.map(|outputs| outputs.as_slice().len()).sum();
    let routes = store.routes()?.iter().count();
    Ok([streams.len(), outputs, routes, store.stopped()?.len()])
}

const ALL: [usize; 4] = [STREAMS, 2 * STREAMS, 1, 1];

#[track_caller]
fn assert_refused_or_whole(folder: &Folder, what: &str) {
    let before = files(folder);
    match found(folder) {
        Ok(found) => assert_eq!(found, ALL, "{what}"),
        Err(_) => assert!(files(folder) == before, "{what}: it is changed"),
    }
}

#[track_caller]
fn assert_refused(folder: &Folder, what: &str) {
    let before = files(folder);
    let found = found(folder);
    assert!(
        matches!(found, Err(StoreError::Damaged { .. })),
        "{what}: {found:?}"
    );
    assert!(files(folder) == before, "{what}: it is changed");
}

/// A store as earlier versions left it: all of it in the log beside it.
fn with_log() -> Folder {
    let (folder, left) = (Folder::new(), Folder::new());
    let store = folder.open().unwrap();
    drop(store);
    fs::remove_file(folder.file()).unwrap();
    let mut store = SqliteStore {
        connection: Connection::open(folder.file()).unwrap(),
        file: String::new(),
    };
    store.lock().unwrap();
    store
        .connection
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    store.migrate().unwrap();
    fill(&mut store);
    for (path, bytes) in files(&folder) {
        fs::write(left.0.join(path.file_name().unwrap()), bytes).unwrap();
    }
    left
}

fn log_of(folder: &Folder) -> PathBuf {
    side_files::path(&folder.file(), "-wal")
}

fn flip(file: &Path, bit: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
}

fn bits(file: &Path) -> usize {
    8 * fs::metadata(file).unwrap().len() as usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_loses_a_stream(at in any::<prop::sample::Index>(), header in 0..800_usize) {
        let folder = Folder::new();
        fill(&mut folder.open().unwrap());
        let whole = fs::read(folder.file()).unwrap();
        for bit in [at.index(bits(&folder.file())), header] {
            fs::write(folder.file(), &whole).unwrap();
            flip(&folder.file(), bit);
            assert_refused_or_whole(&folder, &format!("bit {bit}"));
        }
    }

    #[test]
    fn no_cut_loses_a_stream(at in any::<prop::sample::Index>()) {
        let folder = Folder::new();
        fill(&mut folder.open().unwrap());
        let bytes = fs::read(folder.file()).unwrap();
        let length = 1 + at.index(bytes.len() - 1);
        fs::write(folder.file(), &bytes[..length]).unwrap();
        assert_refused(&folder, &format!("{length} bytes"));
    }

    #[test]
    fn no_flipped_bit_of_an_earlier_versions_log_loses_a_stream(at in any::<prop::sample::Index>()) {
        let folder = with_log();
        let bit = at.index(bits(&log_of(&folder)));
        flip(&log_of(&folder), bit);
        assert_refused_or_whole(&folder, &format!("bit {bit}"));
    }
}

#[test]
fn a_log_that_an_earlier_version_left_is_taken_over() {
    let folder = with_log();
    assert!(bits(&folder.file()) < bits(&log_of(&folder)));
    for _ in 0..2 {
        assert_eq!(found(&folder), Ok(ALL));
        assert!(!log_of(&folder).exists());
    }
}

#[test]
fn a_store_without_its_log_or_with_a_part_of_it_is_refused() {
    for length in [0, 31, 32 + 100] {
        let folder = with_log();
        let log = fs::read(log_of(&folder)).unwrap();
        fs::write(log_of(&folder), &log[..length]).unwrap();
        assert_refused(&folder, &format!("{length} bytes of log"));
    }
    let folder = with_log();
    fs::write(folder.file(), "").unwrap();
    assert_refused(&folder, "the log alone");
}

/// A store whose last transaction was cut short by a crash, with its journal.
fn with_journal() -> Folder {
    let (folder, left) = (Folder::new(), Folder::new());
    let mut store = folder.open().unwrap();
    fill(&mut store);
    // With a cache this small, pages of the transaction are in the file before its end.
    store
        .connection
        .pragma_update(None, "cache_size", 1)
        .unwrap();
    let transaction = store.connection.transaction().unwrap();
    for number in 0..200 {
        let sql = "INSERT INTO stopped_paths (path, stopped_at) VALUES (?1, ?1)";
        let path = format!("{number:0>200}");
        transaction.execute(sql, [path]).unwrap();
    }
    for (path, bytes) in files(&folder) {
        fs::write(left.0.join(path.file_name().unwrap()), bytes).unwrap();
    }
    transaction.rollback().unwrap();
    left
}

#[test]
fn a_transaction_that_a_crash_cut_short_never_was() {
    let folder = with_journal();
    assert!(side_files::has_journal(&folder.file()).unwrap());
    let left_over = side_files::path(&folder.file(), &format!("-check-{}", std::process::id()));
    fs::create_dir(&left_over).unwrap();
    assert_eq!(found(&folder), Ok(ALL));
    assert!(!left_over.exists());
}

#[test]
fn a_journal_that_would_spoil_the_store_is_refused() {
    let folder = with_journal();
    fs::write(folder.file(), "").unwrap();
    assert_refused(&folder, "an empty file");

    let other = Folder::new();
    let mut store = other.open().unwrap();
    for number in 0..400 {
        store.insert(&declared(&format!("s{number}"), &[])).unwrap();
    }
    drop(store);
    let larger = fs::read(other.file()).unwrap();
    fs::write(folder.file(), larger).unwrap();
    assert_refused(&folder, "another store");
}
