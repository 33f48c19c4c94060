//! The routes in force, and where they come from: flags, the API, a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::declaration::Servers;
use crate::routes::{Layers, RouteTable, RoutesError, StreamRoute};
use crate::store::{SharedStore, StoreError};
use crate::supervisor::{CommandError, RouteChanges, Supervisor};

/// More than 200 routes take.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What the command line says of routes, read and checked.
#[derive(Debug)]
pub(crate) struct RouteConfig {
    pub(crate) layers: Layers,
    pub(crate) file: Option<PathBuf>,
}

impl RouteConfig {
    /// Reads flags and file.
    pub(crate) fn new(flags: &[String], file: Option<PathBuf>, servers: &Servers) -> Result<Self> {
        let flags = StreamRoute::read_flags(flags)?;
        let mut layers = Layers {
            flags,
            ..Layers::default()
        };
        RouteTable::new(&layers, servers).context("--route")?;
        if let Some(file) = &file {
            layers.file = Some(read(file, &layers, servers).context("--routes")?);
            RouteTable::new(&layers, servers).context("--routes")?;
        }
        Ok(Self { layers, file })
    }

    /// Adds what was put over the API before this process was started.
    pub(crate) fn with_store(mut self, store: &SharedStore, servers: &Servers) -> Result<Self> {
        let kept = store.lock().routes()?;
        let unusable = "the routes that PUT /v1/routes has left in the store can't be used; they are in the table \
                        routes";
        self.layers.api =
            StreamRoute::read_all(&kept.unwrap_or_default(), &[], servers).context(unusable)?;
        RouteTable::new(&self.layers, servers).context(
            "the routes of the command line don't go together with those that PUT /v1/routes has left in the store",
        )?;
        Ok(self)
    }

    pub(crate) fn table(&self, servers: &Servers) -> Result<Arc<RouteTable>> {
        Ok(Arc::new(RouteTable::new(&self.layers, servers)?))
    }
}

fn read(file: &Path, layers: &Layers, servers: &Servers) -> Result<Vec<StreamRoute>> {
    let shown = file.display();
    let length = fs::metadata(file).with_context(|| format!("can't read {shown}"))?;
    if length.len() > LARGEST_FILE {
        bail!("{shown} is larger than {LARGEST_FILE} bytes");
    }
    let text = fs::read_to_string(file).with_context(|| format!("can't read {shown}"))?;
    let before: Vec<StreamRoute> = layers.flags.iter().chain(&layers.api).cloned().collect();
    StreamRoute::read_all(&text, &before, servers).with_context(|| shown.to_string())
}

/// Changes the routes while streams run.
pub(crate) struct Router {
    layers: Mutex<Layers>,
    file: Option<PathBuf>,
    servers: Servers,
    store: Option<SharedStore>,
    supervisor: Supervisor,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RouterError {
    #[error(transparent)]
    Routes(#[from] RoutesError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Router {
    pub(crate) fn new(
        config: RouteConfig,
        servers: Servers,
        store: Option<SharedStore>,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            layers: Mutex::new(config.layers),
            file: config.file,
            servers,
            store,
            supervisor,
        }
    }

    /// Reads the file again. One that is broken leaves all as it is.
    pub(crate) fn reload(&self) {
        let Some(file) = &self.file else {
            log::info!("SIGHUP: there is no --routes file to read again");
            return;
        };
        if let Err(error) = self.reload_file(file) {
            log::error!("the routes stay as they were: {error:#}");
        }
    }

    fn reload_file(&self, file: &Path) -> Result<()> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = layers.clone();
        after.file = Some(read(file, &layers, &self.servers)?);
        let table =
            RouteTable::new(&after, &self.servers).with_context(|| file.display().to_string())?;
        self.supervisor.set_routes(Arc::new(table))?;
        *layers = after;
        Ok(())
    }

    /// What other routes over the API would do.
    pub(crate) fn preview(&self, text: &str) -> Result<RouteChanges, RouterError> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, table) = self.with_api(&layers, text)?;
        Ok(self.supervisor.preview_routes(Arc::new(table))?)
    }

    /// Has other routes over the API in force, and keeps them where there is a store.
    pub(crate) fn put(&self, text: &str) -> Result<RouteChanges, RouterError> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let (after, table) = self.with_api(&layers, text)?;
        if let Some(store) = &self.store {
            let routes: Vec<_> = after.api.iter().map(StreamRoute::definition).collect();
            let document = serde_json::json!({ "routes": routes }).to_string();
            store.lock().set_routes(&document)?;
        }
        let changes = self.supervisor.set_routes(Arc::new(table))?;
        *layers = after;
        Ok(changes)
    }

    /// Whether what is put outlasts this process.
    pub(crate) fn keeps(&self) -> bool {
        self.store.is_some()
    }

    fn with_api(&self, layers: &Layers, text: &str) -> Result<(Layers, RouteTable), RoutesError> {
        let mut after = layers.clone();
        after.api = StreamRoute::read_all(text, &layers.flags, &self.servers)?;
        let table = RouteTable::new(&after, &self.servers)?;
        Ok((after, table))
    }
}
