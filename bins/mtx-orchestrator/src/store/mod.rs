//! Where declared streams are kept. Only sqlite.rs knows which database that is.

mod migrations;
mod sqlite;

use mediamtx::path::StreamId;

use crate::declaration::Declaration;

pub(crate) use sqlite::SqliteStore;

/// A place for declarations. What it has said to have done outlasts the process and the machine's power.
pub(crate) trait Store: Send {
    /// All of them, by id.
    fn list(&self) -> Result<Vec<Declaration>, StoreError>;

    fn get(&self, id: &StreamId) -> Result<Option<Declaration>, StoreError>;

    /// Adds one whose id is not taken.
    fn insert(&mut self, declaration: &Declaration) -> Result<(), StoreError>;

    /// Replaces the one with the same id; does nothing if there is none.
    fn update(&mut self, declaration: &Declaration) -> Result<(), StoreError>;

    fn delete(&mut self, id: &StreamId) -> Result<(), StoreError>;
}

/// Why the store can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("can't open the store {store}: {why}")]
    Open { store: String, why: String },
    #[error(
        "the store {store} is in use by another process: each mtx-orchestrator needs one of its own (--store)"
    )]
    InUse { store: String },
    #[error(
        "{store} is damaged, or was never a store of mtx-orchestrator ({why}); it is left as it is: put a backup \
         in its place, or name another file (--store)"
    )]
    Damaged { store: String, why: String },
    #[error(
        "the store {store} has version {found}, but this mtx-orchestrator knows only versions up to {known}: run \
         the newer mtx-orchestrator, or name another file (--store)"
    )]
    Newer {
        store: String,
        found: i64,
        known: i64,
    },
    #[error("what the store {store} has of stream {id:?} is not usable: {why}")]
    Row {
        store: String,
        id: String,
        why: String,
    },
    #[error("stream {0} is declared already")]
    Taken(StreamId),
    #[error("the store {store} failed: {why}")]
    Failed { store: String, why: String },
}
