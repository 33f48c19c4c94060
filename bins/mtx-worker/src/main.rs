//! mtx-worker: passes one stream through, RTSP in, RTMP out, without transcoding; or takes a picture of it.

mod check;
mod cli;
mod codec;
mod config;
mod control;
#[cfg(test)]
mod damage;
mod digest;
mod entry;
mod failures;
mod hub;
mod lock;
mod media;
mod net;
mod picture;
mod reconnect;
mod rtmp;
mod rtp;
mod rtsp;
mod sink;
mod source;
mod state;
mod stats;
mod stop;
mod time;
mod tls;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use common::cli::WRONG_USAGE;
use common::logging::{self, Output};
use common::panics;
use common::quoted;
use mediamtx::hook::HookEnvironment;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::cli::Cli;
use crate::config::{Config, Destination};
use crate::failures::Failures;
use crate::worker::Worker;

fn main() -> ExitCode {
    panics::abort();
    let hook = HookEnvironment::of_this_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &hook),
    };
    let mut warnings = Vec::new();
    let (format, is_check) = (cli.log.log_format, cli.check);
    let task = Config::new(cli, &hook, |name| std::env::var(name).ok(), &mut warnings);
    if is_check {
        return check::report(task.and_then(Task::new), &warnings);
    }
    let level = log::LevelFilter::Info;
    let ended = match task {
        Err(error) => {
            let path = hook.path().map(|path| ("path", path.to_string()));
            logging::init(format, Output::Stderr, level, path.into_iter().collect());
            log_all(&warnings);
            Err(error)
        }
        Ok((config, destination)) => {
            logging::init_background(format, Output::Stderr, level, config.context.clone());
            log_all(&warnings);
            Task::new((config, destination)).map(run)
        }
    };
    let code = ended.unwrap_or_else(|error| {
        log::error!("{error:#}");
        refuse(&error.to_string(), &hook)
    });
    log::logger().flush();
    code
}

fn log_all(warnings: &[String]) {
    for warning in warnings {
        log::warn!("{warning}");
    }
}

/// What the worker is to do, with all of its configuration found right.
enum Task {
    Stream(Box<Worker>),
    Picture(Box<Config>, PathBuf),
}

impl Task {
    /// Fails if an output's TLS can't be set up, or a picture can't be written where it is to go.
    fn new((config, destination): (Config, Destination)) -> Result<Self> {
        Ok(match destination {
            Destination::Outputs(outputs) => Self::Stream(Box::new(Worker::new(config, outputs)?)),
            Destination::Picture(file) => {
                picture::check_place(&file).context("--output")?;
                Self::Picture(Box::new(config), file)
            }
        })
    }

    /// From where to where, without secrets.
    fn plan(&self) -> String {
        match self {
            Self::Stream(worker) => worker.plan(),
            Self::Picture(config, file) => {
                format!("a picture of {} goes to {}", config.input, file.display())
            }
        }
    }
}

/// Says what clap has to say, be it help or what is wrong.
fn usage(error: &clap::Error, hook: &HookEnvironment) -> ExitCode {
    if error.use_stderr() {
        quoted::print_refusal_without_values(&error.render().to_string());
    } else {
        // Nobody is left to tell if even that can't be written.
        let _ = error.print();
    }
    match (error.use_stderr(), check::is_asked_for()) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(WRONG_USAGE),
        (true, false) => refuse("usage", hook),
    }
}

/// What was wrong has been said. A hook that MediaMTX starts again and again says it more and more seldom.
fn refuse(reason: &str, hook: &HookEnvironment) -> ExitCode {
    let failures = match hook.path() {
        Ok(path) => Failures::remembered(&[path.as_str(), reason]),
        Err(_) => Failures::forgotten(),
    };
    let ended = block_on(async {
        let mut stop = stop::on_signal()?;
        Ok(match held_back(&failures, &mut stop).await {
            true => ExitCode::from(WRONG_USAGE),
            false => ExitCode::SUCCESS,
        })
    });
    ended.unwrap_or_else(|error| {
        log::error!("{error:#}");
        ExitCode::FAILURE
    })
}

/// Waits after a failure; false if the worker was told to end meanwhile.
async fn held_back(failures: &Failures, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        () = stop::requested(stop) => false,
        () = failures.hold_back() => true,
    }
}

/// One thread is enough for one stream, and keeps it small. A name lookup, which has another one, may hang: nobody waits
/// for its end.
fn block_on<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    let ended = runtime.block_on(task);
    runtime.shutdown_background();
    ended
}

fn run(task: Task) -> ExitCode {
    let ended = block_on(async {
        let stop = stop::on_signal()?;
        Ok(match task {
            Task::Stream(worker) => LocalSet::new().run_until(worker.run(stop)).await,
            Task::Picture(config, file) => take_picture(&config, &file, stop).await,
        })
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all was well.
async fn take_picture(config: &Config, file: &Path, mut stop: watch::Receiver<bool>) -> bool {
    let failures = config.input_failures(&file.to_string_lossy());
    let taken = tokio::select! {
        taken = picture::take(config, file) => taken,
        () = stop::requested(&mut stop) => {
            log::info!("ended without a picture: told to end");
            return true;
        }
    };
    match taken {
        Ok(()) => failures.clear(),
        Err(error) => {
            log::error!("{:#}", anyhow::Error::from(error));
            // What MediaMTX would start again at once waits.
            held_back(&failures, &mut stop).await;
            return false;
        }
    }
    true
}
