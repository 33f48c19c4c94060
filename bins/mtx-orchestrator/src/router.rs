//! The routes in force, and where they come from: flags, the API, a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::declaration::Servers;
use crate::routes::{Layers, RouteTable, RoutesError, Shadowed, StreamRoute, Syntax};
use crate::store::{SharedStore, StoreError};
use crate::supervisor::{CommandError, RouteChanges, Supervisor};

/// More than 200 routes take.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What the command line says of routes.
#[derive(Debug)]
pub(crate) struct RouteConfig {
    flags: Vec<StreamRoute>,
    pub(crate) file: Option<PathBuf>,
}

impl RouteConfig {
    /// Reads the flags, and the file as far as that can be without what was put over the API.
    pub(crate) fn new(flags: &[String], file: Option<PathBuf>, servers: &Servers) -> Result<Self> {
        let layers = Layers {
            flags: StreamRoute::read_flags(flags)?,
            ..Layers::default()
        };
        RouteTable::new(&layers, servers).context("--route")?;
        if let Some(file) = &file {
            read_alone(file).context("--routes")?;
        }
        let flags = layers.flags;
        Ok(Self { flags, file })
    }

    /// The routes to begin with: flags, what was put over the API before this process was started, and file. They are
    /// judged together, as they were when they were put.
    pub(crate) fn in_force(
        &self,
        store: Option<&SharedStore>,
        servers: &Servers,
    ) -> Result<(Layers, RouteTable)> {
        let mut layers = Layers {
            flags: self.flags.clone(),
            ..Layers::default()
        };
        let kept = store.map(|store| store.lock().routes()).transpose()?;
        if let Some(kept) = kept.flatten() {
            let kept = StreamRoute::read_kept(&kept).context(
                "the routes that PUT /v1/routes has left in the store can't be used; they are in the table routes",
            )?;
            warn_of_shared_outputs(&kept);
            layers.api = Some(kept);
        }
        if let Some(file) = &self.file {
            layers.file = Some(read_alone(file).context("--routes")?);
        }
        let table = RouteTable::new(&layers, servers);
        if table.is_err()
            && let Some(file) = &self.file
        {
            // It tells the place, if it is there that a circle closes.
            let content = content(file).context("--routes")?;
            read((file, &content), &layers, servers).context("--routes")?;
        }
        let table = table.context(
            "the routes of the command line don't go together with those that PUT /v1/routes has left in the store",
        )?;
        warn_of_shadowed(&table);
        Ok((layers, table))
    }
}

fn warn_of_shadowed(table: &RouteTable) {
    for shadowed in table.shadowed() {
        log::warn!("{shadowed}");
    }
}

fn warn_of_shared_outputs(kept: &[StreamRoute]) {
    for route in kept {
        if let Err(why) = route.check_one_stream_an_output() {
            log::warn!("a route that PUT /v1/routes has left in the store is kept, but {why}");
        }
    }
}

/// It is read again at SIGHUP, and never waited for.
fn content(file: &Path) -> Result<String> {
    let shown = file.display();
    let known = fs::metadata(file).with_context(|| format!("can't read {shown}"))?;
    if !known.is_file() {
        bail!("{shown} is no regular file: a pipe or a device can't be read again at SIGHUP");
    }
    if known.len() > LARGEST_FILE {
        bail!("{shown} is larger than {LARGEST_FILE} bytes");
    }
    fs::read_to_string(file).with_context(|| format!("can't read {shown}"))
}

fn read_alone(file: &Path) -> Result<Vec<StreamRoute>> {
    let routes = StreamRoute::read_alone(&content(file)?, Syntax::Yaml);
    routes.with_context(|| file.display().to_string())
}

fn read(
    (file, content): (&Path, &str),
    layers: &Layers,
    servers: &Servers,
) -> Result<Vec<StreamRoute>> {
    let before: Vec<StreamRoute> = layers
        .flags
        .iter()
        .chain(layers.api.iter().flatten())
        .cloned()
        .collect();
    let routes = StreamRoute::read_all(content, Syntax::Yaml, &before, servers);
    routes.with_context(|| file.display().to_string())
}

/// Changes the routes while streams run.
pub(crate) struct Router {
    layers: Mutex<Layers>,
    file: Option<PathBuf>,
    servers: Servers,
    store: Option<SharedStore>,
    supervisor: Supervisor,
}

/// What other routes do.
pub(crate) struct Effect {
    pub(crate) changes: RouteChanges,
    pub(crate) shadowed: Vec<Shadowed>,
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
        layers: Layers,
        file: Option<PathBuf>,
        servers: Servers,
        store: Option<SharedStore>,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            layers: Mutex::new(layers),
            file,
            servers,
            store,
            supervisor,
        }
    }

    /// A thread that reads the file again whenever it is sent something. What comes while it reads counts once.
    pub(crate) fn reloader(self: Arc<Self>) -> io::Result<SyncSender<()>> {
        let (sender, requests) = mpsc::sync_channel(1);
        let run = move || requests.iter().for_each(|()| self.reload());
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(run)?;
        Ok(sender)
    }

    /// Reads the file again. One that is broken leaves all as it is.
    fn reload(&self) {
        let Some(file) = &self.file else {
            log::info!("SIGHUP: there is no --routes file to read again");
            return;
        };
        if let Err(error) = self.reload_file(file) {
            log::error!("the routes stay as they were: {error:#}");
        }
    }

    fn reload_file(&self, file: &Path) -> Result<()> {
        // A file on a server that is away can take minutes.
        let content = content(file)?;
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = layers.clone();
        after.file = Some(read((file, &content), &layers, &self.servers)?);
        let table =
            RouteTable::new(&after, &self.servers).with_context(|| file.display().to_string())?;
        warn_of_shadowed(&table);
        match self.set(&mut layers, after, table) {
            Err(error @ CommandError::NoAnswer) => log::warn!("{}: {error}", file.display()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        Ok(())
    }

    /// What the supervisor was sent, it takes, also where it answers too late.
    fn set(
        &self,
        layers: &mut Layers,
        after: Layers,
        table: RouteTable,
    ) -> Result<RouteChanges, CommandError> {
        let changes = self.supervisor.set_routes(Arc::new(table));
        if matches!(changes, Ok(_) | Err(CommandError::NoAnswer)) {
            *layers = after;
        }
        changes
    }

    /// What other routes over the API would do.
    pub(crate) fn preview(&self, text: &str, syntax: Syntax) -> Result<Effect, RouterError> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, table) = self.with_api(&layers, text, syntax)?;
        let shadowed = table.shadowed();
        let changes = self.supervisor.preview_routes(Arc::new(table))?;
        Ok(Effect { changes, shadowed })
    }

    /// Has other routes over the API in force, and keeps them where there is a store.
    pub(crate) fn put(&self, text: &str, syntax: Syntax) -> Result<Effect, RouterError> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let (after, table) = self.with_api(&layers, text, syntax)?;
        if let Some(store) = &self.store {
            let routes: Vec<_> = after
                .api
                .iter()
                .flatten()
                .map(StreamRoute::definition)
                .collect();
            let document = serde_json::json!({ "routes": routes }).to_string();
            store.lock().set_routes(&document)?;
        }
        let shadowed = table.shadowed();
        let changes = self.set(&mut layers, after, table)?;
        Ok(Effect { changes, shadowed })
    }

    /// The servers that paths are on.
    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Whether what is put outlasts this process.
    pub(crate) fn keeps(&self) -> bool {
        self.store.is_some()
    }

    fn with_api(
        &self,
        layers: &Layers,
        text: &str,
        syntax: Syntax,
    ) -> Result<(Layers, RouteTable), RoutesError> {
        let mut after = layers.clone();
        let routes = StreamRoute::read_all(text, syntax, &layers.flags, &self.servers)?;
        after.api = Some(routes);
        let table = RouteTable::new(&after, &self.servers)?;
        Ok((after, table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    fn servers() -> Servers {
        Servers {
            rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
            rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
        }
    }

    fn config(flags: &[&str], file: Option<&Path>) -> Result<RouteConfig> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        RouteConfig::new(&flags, file.map(Path::to_owned), &servers())
    }

    #[test]
    fn what_was_in_force_is_taken_at_the_next_start() {
        let name = format!("mtx-router-{}-{}", std::process::id(), fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let file = folder.join("routes.yml");
        fs::write(&file, "routes: [{path: '**', outputs: 'copy/{path}'}]").unwrap();
        let store = SharedStore::new(SqliteStore::open(&folder.join("store.db")).unwrap());
        let circle = config(&[], Some(&file)).and_then(|config| config.in_force(None, &servers()));
        let message = format!("{:#}", circle.unwrap_err());
        assert!(message.contains("--routes") && message.contains("fed by itself"));

        // Each would feed itself, were it not for what stands before it.
        let on = "copy/** => rtmp://backup/{path}";
        let put = |document| store.lock().set_routes(document).unwrap();
        put(r#"{"routes": [{"path": "**", "outputs": ["copy/{path}"]}]}"#);
        let behind_flags = config(&[on], None).unwrap();
        let (layers, table) = behind_flags.in_force(Some(&store), &servers()).unwrap();
        assert_eq!(
            (layers.api.map(|api| api.len()), table.iter().count()),
            (Some(1), 2)
        );
        put(r#"{"routes": [{"path": "copy/**", "outputs": ["rtmp://backup/{path}"]}]}"#);
        let behind_api = config(&[], Some(&file)).unwrap();
        let (_, table) = behind_api.in_force(Some(&store), &servers()).unwrap();
        assert_eq!(table.iter().count(), 2);
        put(r#"{"routes": [{"path": "**", "outputs": ["copy/{path}"]}]}"#);
        let error = config(&[], None)
            .unwrap()
            .in_force(Some(&store), &servers())
            .unwrap_err();
        assert!(format!("{error:#}").contains("left in the store"));

        // Earlier versions took it.
        put(r#"{"routes": [{"path": "cam*", "outputs": ["rtmp://backup/app/key"]}]}"#);
        let kept = config(&[], None)
            .unwrap()
            .in_force(Some(&store), &servers());
        assert_eq!(kept.unwrap().1.iter().count(), 1);

        fs::write(&file, "# nothing\n").unwrap();
        let message = format!("{:#}", config(&[], Some(&file)).unwrap_err());
        assert!(message.contains("routes: []"), "{message}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
