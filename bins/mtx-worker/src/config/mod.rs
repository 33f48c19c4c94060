//! What the program means by what the user typed, and by what MediaMTX set.

mod keys;
mod outputs;

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::host::is_loopback;
use common::retry::RetrySchedule;
use common::secret;
use mediamtx::hook::HookEnvironment;
use mediamtx::path::PathName;

use self::keys::KeySource;
pub(crate) use self::keys::NoKey;
use self::outputs::Origin;
use crate::cli::Cli;
use crate::failures::Failures;
use crate::rtmp::url::RtmpUrl;
use crate::source::{RtspUrl, Transport};

/// What becomes of the stream.
#[derive(Debug)]
pub(crate) enum Destination {
    /// It is passed on to all of them; there may be none yet if there is a control channel.
    Outputs(Vec<RtmpUrl>),
    /// One picture of it is put into a file.
    Picture(PathBuf),
}

/// A worker's task, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) input: RtspUrl,
    pub(crate) transport: Transport,
    pub(crate) retry: RetrySchedule,
    pub(crate) stats_interval: Option<Duration>,
    /// The path whose hook the worker is: MediaMTX may start it again and again.
    pub(crate) hook_path: Option<PathName>,
    /// Whether the input is on the server that started the worker, or the worker was started by hand.
    pub(crate) reads_server: bool,
    /// What every line of the log says.
    pub(crate) context: Vec<(&'static str, String)>,
    /// The descriptor of the control channel.
    pub(crate) control_fd: Option<RawFd>,
    origin: Origin,
}

impl Config {
    /// Checks the command line against what MediaMTX tells a hook, and the other variables that `env` reads. What is
    /// wrong, but nothing to end for, is added to `warnings`.
    pub(crate) fn new(
        cli: Cli,
        hook: &HookEnvironment,
        env: impl Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Destination)> {
        let hook_path = match env("MTX_PATH") {
            Some(_) => Some(hook.path()?),
            None => None,
        };
        let input: RtspUrl = match (&cli.input, &hook_path) {
            (Some(input), _) => input.parse()?,
            (None, Some(path)) => hook_input(path, hook)?,
            (None, None) => bail!(
                "nothing to read: give --input, or run as a hook of MediaMTX, which sets MTX_PATH"
            ),
        };
        if input.is_tls && cli.transport == Transport::Udp {
            bail!(
                "--transport udp does not go with {input}: datagrams would not be encrypted; leave it out"
            );
        }
        let of_environment = (env("RTSP_USERNAME"), env("RTSP_PASSWORD"));
        let has_login = input.credentials().is_some();
        let input = input.or_credentials(of_environment.0.clone(), of_environment.1.clone());
        if let Some((_, password)) = input.credentials() {
            secret::register(password);
        }
        let reads_server = match (&hook_path, &cli.input) {
            (Some(path), Some(_)) => {
                // The port of rtsps:// is not told to hooks.
                let is_own_path = input.is_tls && input.path() == path.as_str();
                is_loopback(input.host()) && (input.port() == rtsp_port(hook)? || is_own_path)
            }
            _ => true,
        };
        let login = match &hook_path {
            None => None,
            Some(_) if reads_server => input.credentials().map(owned),
            // The input has its own.
            Some(_) if has_login => login_of(of_environment),
            Some(_) => None,
        };
        if let Some((_, password)) = &login {
            secret::register(password);
        }
        let origin = Origin {
            path: hook_path.clone().or_else(|| input.path().parse().ok()),
            groups: hook_path
                .as_ref()
                .map_or(Ok(Vec::new()), |_| hook.groups())?,
            hook_path: hook_path.clone(),
            reads_server,
            rtmp_port: cli.rtmp_port,
            login,
            input: input.clone(),
            may_look_up: true,
        };
        let key = env("RTMP_STREAM_KEY").filter(|key| !key.is_empty());
        let mut destination = destination(&cli, key, &origin, warnings)?;
        if let (Destination::Outputs(outputs), Some(lists)) =
            (&mut destination, env("MTX_WORKER_VIA"))
        {
            outputs::mark(outputs, &lists)?;
        }
        let stream = origin.path.as_ref().and_then(PathName::stream);
        let mut context = vec![("path", secret::redact_url(input.path()))];
        context.extend(stream.map(|path| ("streamId", path.id.to_string())));
        context.extend(env("MTX_SOURCE_ID").map(|id| ("sourceId", id)));
        let config = Self {
            input,
            transport: cli.transport,
            retry: cli.retry,
            stats_interval: cli.stats_interval,
            hook_path,
            reads_server,
            context,
            control_fd: cli.control_fd,
            origin: Origin {
                may_look_up: false,
                ..origin
            },
        };
        Ok((config, destination))
    }

    /// What is remembered of an output for the next start by MediaMTX. Others who start workers know when to.
    pub(crate) fn failures(&self, output: &RtmpUrl) -> Failures {
        match &self.hook_path {
            Some(path) => Failures::remembered(&[path.as_str(), &output.place()]),
            None => Failures::forgotten(),
        }
    }

    /// Outputs that are wanted over the control channel, checked like those of `--output`.
    pub(crate) fn outputs<'a>(&self, urls: impl Iterator<Item = &'a str>) -> Result<Vec<RtmpUrl>> {
        let urls: Vec<&str> = urls.collect();
        // Their keys stand in the URLs, so nothing is read that could be wrong.
        let mut warnings = Vec::new();
        self.origin.outputs(&urls, &KeySource::Url, &mut warnings)
    }

    /// Likewise of the input, and of all that concerns no output, for what is made of it.
    pub(crate) fn input_failures(&self, purpose: &str) -> Failures {
        match &self.hook_path {
            Some(path) => {
                Failures::remembered(&[path.as_str(), "input", &self.input.to_string(), purpose])
            }
            None => Failures::forgotten(),
        }
    }

    /// Where readers find an output, if it goes to the server that is also read from.
    pub(crate) fn published_at(&self, output: &RtmpUrl) -> Option<RtspUrl> {
        (output.on_server && self.reads_server).then(|| self.input.with_path(&output.path()))
    }
}

fn destination(
    cli: &Cli,
    key: Option<String>,
    origin: &Origin,
    warnings: &mut Vec<String>,
) -> Result<Destination> {
    let given: Vec<&str> = cli.output.iter().flat_map(|text| listed(text)).collect();
    let keys = match (&cli.key_file, key) {
        (Some(file), _) => KeySource::File(file.clone(), origin.path.clone()),
        (None, Some(key)) => KeySource::Environment(key),
        (None, None) => KeySource::Url,
    };
    let is_steered = cli.control_fd.is_some();
    match (given.as_slice(), &origin.path) {
        ([], _) if is_steered => Ok(Destination::Outputs(Vec::new())),
        ([file], _) if is_steered && is_picture(file) => {
            bail!("--control-fd is for outputs, and {file:?} is a picture: leave it out")
        }
        ([], Some(path)) if origin.is_hook() => {
            Ok(Destination::Outputs(vec![origin.default_output(path)?]))
        }
        ([], _) => bail!("nowhere to publish: give --output, such as rtmp://host/app/stream-key"),
        ([file], _) if is_picture(file) => {
            let file = match file.parse() {
                Ok(template) => origin.fill(&template).context("--output")?,
                // By hand, a file may well be called {x}.jpg.
                Err(_) if !origin.is_hook() => (*file).to_owned(),
                Err(error) => return Err(error).context("--output"),
            };
            Ok(Destination::Picture(file.into()))
        }
        (given, _) => {
            if let Some(file) = given.iter().find(|output| is_picture(output)) {
                bail!("the output {file:?} is a picture: take it with a worker of its own");
            }
            Ok(Destination::Outputs(
                origin.outputs(given, &keys, warnings)?,
            ))
        }
    }
}

/// URLs can stand in a list; the name of a file may have spaces.
fn listed(text: &str) -> Vec<&str> {
    match text.contains("://") {
        true => text.split_whitespace().collect(),
        false => vec![text],
    }
}

fn is_picture(output: &str) -> bool {
    let extension = Path::new(output).extension();
    let jpeg = |extension: &OsStr| {
        ["jpg", "jpeg"]
            .iter()
            .any(|name| extension.eq_ignore_ascii_case(name))
    };
    !output.contains("://") && extension.is_some_and(jpeg)
}

/// On the server that started the worker; which address of the loopback it listens at shows when it is called.
fn hook_input(path: &PathName, hook: &HookEnvironment) -> Result<RtspUrl> {
    format!("rtsp://localhost:{}/{path}", rtsp_port(hook)?).parse()
}

fn rtsp_port(hook: &HookEnvironment) -> Result<u16> {
    Ok(hook.rtsp_port()?.unwrap_or(8554))
}

fn owned((user, password): (&str, &str)) -> (String, String) {
    (user.to_owned(), password.to_owned())
}

fn login_of(variables: (Option<String>, Option<String>)) -> Option<(String, String)> {
    match variables {
        (None, None) => None,
        (user, password) => Some((user.unwrap_or_default(), password.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests;
