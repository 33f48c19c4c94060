//! Declared streams, kept and run: each change goes into the store first and to the supervisor then.

use std::iter;
use std::sync::MutexGuard;

use common::timestamp::Timestamp;
use mediamtx::path::StreamId;

use crate::declaration::{Declaration, Invalid, Name, Outputs, Servers, Source};
use crate::store::{SharedStore, Store, StoreError};
use crate::stream_key::StreamKey;
use crate::supervisor::{Command, CommandError, StreamState, StreamStatus, Supervisor};

/// Whoever holds the lock changes both, so that they never disagree.
pub(crate) struct Registry {
    store: Option<SharedStore>,
    servers: Servers,
    supervisor: Supervisor,
}

/// A stream to be declared.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Chosen here if it is not given.
    pub(crate) id: Option<StreamId>,
    pub(crate) name: Option<Name>,
    pub(crate) source: Source,
    pub(crate) outputs: Option<Outputs>,
    pub(crate) enabled: bool,
}

/// What is to be otherwise.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<Option<Name>>,
    pub(crate) source: Option<Source>,
    pub(crate) outputs: Option<Option<Outputs>>,
    pub(crate) enabled: Option<bool>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error(
        "streams can't be declared: mtx-orchestrator has no store; start it with --store FILE (or ORCHESTRATOR_STORE)"
    )]
    NoStore,
    #[error("MediaMTX has a stream {0} at the moment: choose another id")]
    Published(StreamId),
    #[error(
        "stream {0} was not declared, MediaMTX has it: only declared streams can be changed or deleted"
    )]
    NotDeclared(StreamKey),
    #[error("stream {0} is stopped: start it")]
    Stopped(StreamKey),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Registry {
    pub(crate) fn new(
        store: Option<SharedStore>,
        servers: Servers,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            store,
            servers,
            supervisor,
        }
    }

    pub(crate) fn declare(&self, draft: Draft) -> Result<StreamStatus, RegistryError> {
        let mut store = self.store().ok_or(RegistryError::NoStore)?;
        let id = draft.id.unwrap_or_else(|| self.unused_id());
        let now = Timestamp::now();
        let declaration = Declaration {
            id,
            name: draft.name,
            source: draft.source,
            outputs: draft.outputs,
            enabled: draft.enabled,
            created_at: now,
            updated_at: now,
        };
        self.servers.check(&declaration)?;
        let known = self.supervisor.stream(&declaration.key());
        if known.is_some_and(|known| known.declared.is_none() && known.published) {
            return Err(RegistryError::Published(declaration.id));
        }
        store.insert(&declaration)?;
        self.apply(declaration)
    }

    pub(crate) fn change(
        &self,
        key: &StreamKey,
        change: Change,
    ) -> Result<StreamStatus, RegistryError> {
        let mut store = self.store().ok_or_else(|| self.not_declared(key))?;
        let before = self.declared(&**store, key)?;
        let mut after = before.clone();
        after.name = change.name.unwrap_or(after.name);
        after.source = change.source.unwrap_or(after.source);
        after.outputs = change.outputs.unwrap_or(after.outputs);
        after.enabled = change.enabled.unwrap_or(after.enabled);
        self.servers.check(&after)?;
        if after == before {
            let status = self.supervisor.stream(key);
            return Ok(status.ok_or(CommandError::ShuttingDown)?);
        }
        after.updated_at = Timestamp::now();
        store.update(&after)?;
        self.apply(after)
    }

    pub(crate) fn remove(&self, key: &StreamKey) -> Result<(), RegistryError> {
        let mut store = self.store().ok_or_else(|| self.not_declared(key))?;
        let id = key.short_id();
        let was_there = id.map(|id| store.delete(&id)).transpose()?;
        if was_there != Some(true) {
            return Err(self.not_declared(key));
        }
        Ok(self.supervisor.undeclare(key)?)
    }

    /// What an operator wants of a stream; whether it is to run is remembered. What is refused changes nothing.
    pub(crate) fn command(&self, key: &StreamKey, command: Command) -> Result<(), RegistryError> {
        let mut store = self.store();
        let known = self.supervisor.check_command(key, command)?;
        if command == Command::Restart && known.state == StreamState::Stopped {
            return Err(RegistryError::Stopped(key.clone()));
        }
        if let Some(store) = &mut store {
            let id = key.short_id();
            let declared = id.map(|id| store.get(&id)).transpose()?.flatten();
            match (declared, command) {
                (Some(declaration), _) => self.enable(&mut ***store, declaration, command)?,
                (None, Command::Start) => store.set_stopped(key.path(), false)?,
                (None, Command::Stop) => store.set_stopped(key.path(), true)?,
                (None, Command::Restart) => {}
            }
        }
        Ok(self.supervisor.command(key, command)?)
    }

    fn enable(
        &self,
        store: &mut dyn Store,
        mut declaration: Declaration,
        command: Command,
    ) -> Result<(), RegistryError> {
        let enabled = command != Command::Stop;
        if declaration.enabled != enabled {
            declaration.enabled = enabled;
            declaration.updated_at = Timestamp::now();
            store.update(&declaration)?;
            self.supervisor.declare(declaration)?;
        }
        Ok(())
    }

    fn apply(&self, declaration: Declaration) -> Result<StreamStatus, RegistryError> {
        let key = declaration.key();
        self.supervisor.declare(declaration)?;
        let status = self.supervisor.stream(&key);
        Ok(status.ok_or(CommandError::ShuttingDown)?)
    }

    fn unused_id(&self) -> StreamId {
        loop {
            let text: String = iter::repeat_with(|| fastrand::digit(36)).take(10).collect();
            if let Ok(id) = text.parse::<StreamId>()
                && self.supervisor.stream(&(&id).into()).is_none()
            {
                return id;
            }
        }
    }

    fn declared(&self, store: &dyn Store, key: &StreamKey) -> Result<Declaration, RegistryError> {
        let id = key.short_id();
        let found = id.map(|id| store.get(&id)).transpose()?.flatten();
        found.ok_or_else(|| self.not_declared(key))
    }

    fn not_declared(&self, key: &StreamKey) -> RegistryError {
        match self.supervisor.stream(key) {
            Some(_) => RegistryError::NotDeclared(key.clone()),
            None => CommandError::Unknown(key.clone()).into(),
        }
    }

    fn store(&self) -> Option<MutexGuard<'_, Box<dyn Store>>> {
        self.store.as_ref().map(SharedStore::lock)
    }
}
