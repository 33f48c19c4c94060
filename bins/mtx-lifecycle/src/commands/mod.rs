//! What people ask of it.

mod act;
mod ask;
mod export;
mod folder;
mod hold;
mod preview;
mod record_path;
mod rollback;
mod session;
pub mod status;
pub mod storage;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mediamtx::api::Api;
use url::Url;

pub use act::Started;
pub use folder::default_folder;
pub use hold::Holding;
pub(crate) use session::Session;

pub use crate::apply::{Error, Interrupt, PathReport, Pending, Report};
use crate::journal::Journal;
use crate::policy::Settings;
use crate::server::Server;

/// What it works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's API.
    pub api: Api,
    /// Where the server reaches its own paths over RTSP; by default as it was given last, or as it is configured.
    pub rtsp: Option<Url>,
    /// Where the journal is.
    pub folder: PathBuf,
    /// How long the server may take to show a change, and another process to be done.
    pub timeout: Duration,
}

/// The policies of one server.
#[derive(Debug)]
pub struct Lifecycle {
    options: Options,
    server: Box<dyn Server>,
    interrupt: Interrupt,
    /// The timeout is for sources, too, whatever the policy says of them.
    is_bounded: bool,
    /// As it was read last, so that the next one reads only what is new.
    journal: Mutex<Journal>,
    /// The server's working directory, where it is known.
    server_folder: Option<PathBuf>,
    sizes: storage::Sizes,
}

impl Lifecycle {
    /// Works with a server and a folder, which is made if need be.
    ///
    /// # Errors
    /// When the folder can't be used, or others could read it.
    pub fn new(options: Options) -> Result<Self, Error> {
        let server = Box::new(options.api.clone());
        Self::on(server, options)
    }

    /// The same with a server that is reached otherwise than over its API.
    ///
    /// # Errors
    /// When the folder can't be used, or others could read it.
    pub fn on(server: Box<dyn Server>, options: Options) -> Result<Self, Error> {
        folder::prepare(&options.folder)?;
        let journal = Mutex::new(Journal::unread(&options.folder)?);
        Ok(Self {
            options,
            server,
            interrupt: Interrupt::default(),
            is_bounded: false,
            journal,
            server_folder: folder::of_server(),
            sizes: storage::Sizes::default(),
        })
    }

    /// Waits no longer than the timeout for a source either, even where the policy gives it more time to start.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.is_bounded = true;
        self
    }

    /// What it works with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What ends its waiting, for a signal's sake.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// How long to wait for the source of a path with these settings.
    fn patience(&self, settings: &Settings) -> Duration {
        let timeout = self.options.timeout;
        match settings.start_timeout {
            Some(span) if !self.is_bounded => span.duration().max(timeout),
            _ => timeout,
        }
    }

    pub(crate) fn server(&self) -> &dyn Server {
        &*self.server
    }

    /// The journal as it is now. Whoever takes it holds the lock.
    fn journal(&self) -> Result<MutexGuard<'_, Journal>, Error> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.refresh()?;
        Ok(journal)
    }
}
