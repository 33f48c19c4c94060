//! Makes the server be as it is wanted.

mod act;
mod converge;
mod error;
mod execute;
mod folder;
mod preview;
mod report;
mod session;
mod wait;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use mediamtx::api::Api;
use url::Url;

use crate::keeper::{self, KeeperError};

pub use act::Started;
pub(crate) use converge::Scope;
pub use error::Error;
pub use folder::default_folder;
pub use report::{PathReport, Pending, Report};
pub(crate) use session::Session;

/// What it works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's API.
    pub api: Api,
    /// Where the server reaches its own paths over RTSP; by default as it is configured.
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
    rtsp: OnceLock<Url>,
}

impl Lifecycle {
    /// Works with a server and a folder, which is made if need be.
    ///
    /// # Errors
    /// When the folder can't be used, or others could read it.
    pub fn new(options: Options) -> Result<Self, Error> {
        folder::prepare(&options.folder)?;
        Ok(Self {
            options,
            rtsp: OnceLock::new(),
        })
    }

    /// What it works with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where a stream is read.
    ///
    /// # Errors
    /// When the server does not say where it speaks RTSP.
    pub fn stream_url(&self, path: &str) -> Result<String, Error> {
        let url = self.rtsp()?.as_str();
        Ok(format!("{}/{path}", url.trim_end_matches('/')))
    }

    /// Where the server reaches its own paths over RTSP.
    fn rtsp(&self) -> Result<&Url, KeeperError> {
        if let Some(url) = self.options.rtsp.as_ref().or(self.rtsp.get()) {
            return Ok(url);
        }
        let url = keeper::own_rtsp(&self.options.api)?;
        Ok(self.rtsp.get_or_init(|| url))
    }
}
