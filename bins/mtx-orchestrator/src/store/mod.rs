//! Where declared streams are kept, routes that came over the API, and which streams were stopped. Only sqlite.rs knows which database that is.

mod migrations;
mod sqlite;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mediamtx::path::{PathName, StreamId};

use crate::declaration::Declaration;

pub(crate) use sqlite::SqliteStore;

/// A place for declarations. What it has said to have done outlasts the process and the machine's power.
pub(crate) trait Store: Send {
    /// All of them, by id.
    fn list(&self) -> Result<Vec<Declaration>, StoreError>;

    fn get(&self, id: &StreamId) -> Result<Option<Declaration>, StoreError>;

    /// Adds one whose id is not taken. It says itself whether it is to run: its path is stopped no more.
    fn insert(&mut self, declaration: &Declaration) -> Result<(), StoreError>;

    /// Replaces the one with the same id; does nothing if there is none.
    fn update(&mut self, declaration: &Declaration) -> Result<(), StoreError>;

    /// Whether there was one.
    fn delete(&mut self, id: &StreamId) -> Result<bool, StoreError>;

    /// Paths whose streams an operator has stopped.
    fn stopped(&self) -> Result<Vec<PathName>, StoreError>;

    fn set_stopped(&mut self, path: &PathName, stopped: bool) -> Result<(), StoreError>;

    /// The document of routes that was kept last.
    fn routes(&self) -> Result<Option<String>, StoreError>;

    /// Keeps a document of routes in place of the one before.
    fn set_routes(&mut self, document: &str) -> Result<(), StoreError>;
}

/// One store for several parts of the program; cheap to clone.
#[derive(Clone)]
pub(crate) struct SharedStore(Arc<Mutex<Box<dyn Store>>>);

impl SharedStore {
    pub(crate) fn new(store: impl Store + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(store))))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Box<dyn Store>> {
        // What a transaction had not finished never happened.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
