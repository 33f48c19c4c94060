//! mtx-worker: passes one stream through, RTSP in, RTMP out, without transcoding; or takes a picture of it.

mod cli;
mod config;
mod failures;
mod lock;
mod media;
mod output;
mod picture;
mod reconnect;
mod rtmp;
mod sink;
mod source;
mod state;
mod stats;
mod time;
mod worker;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use mediamtx::hook::HookEnvironment;
use mediamtx::logging::{self, Output};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::Cli;
use crate::config::{Config, Destination};
use crate::failures::Failures;
use crate::worker::Worker;

const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let hook = HookEnvironment::of_this_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &hook),
    };
    let format = cli.log_format;
    match Config::new(cli, &hook, |name| std::env::var(name).ok()) {
        Err(error) => {
            let path = hook.path().map(|path| ("path", path.to_string()));
            let context = path.into_iter().collect();
            logging::init(format, Output::Stderr, log::LevelFilter::Info, context);
            log::error!("{error:#}");
            refuse(&error.to_string(), &hook)
        }
        Ok((config, destination)) => {
            let (level, context) = (log::LevelFilter::Info, config.context.clone());
            logging::init_background(format, Output::Stderr, level, context);
            let code = run(config, destination).unwrap_or_else(|error| {
                log::error!("{error:#}");
                ExitCode::FAILURE
            });
            log::logger().flush();
            code
        }
    }
}

/// Says what clap has to say, be it help or what is wrong.
fn usage(error: &clap::Error, hook: &HookEnvironment) -> ExitCode {
    // Nobody is left to tell if even that can't be written.
    let _ = error.print();
    match error.use_stderr() {
        true => refuse("usage", hook),
        false => ExitCode::SUCCESS,
    }
}

/// What was wrong has been said. A hook that MediaMTX starts again and again says it more and more seldom.
fn refuse(reason: &str, hook: &HookEnvironment) -> ExitCode {
    let failures = match hook.path() {
        Ok(path) => Failures::remembered((path.as_str(), reason)),
        Err(_) => Failures::forgotten(),
    };
    let ended = runtime().and_then(|runtime| {
        runtime.block_on(async {
            let mut stop = stop_signal()?;
            Ok(match held_back(&failures, &mut stop).await {
                true => ExitCode::from(WRONG_USAGE),
                false => ExitCode::SUCCESS,
            })
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
        () = output::told(stop) => false,
        () = failures.hold_back() => true,
    }
}

/// One thread is enough for one stream, and keeps it small.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")
}

fn run(config: Config, destination: Destination) -> Result<ExitCode> {
    runtime()?.block_on(async {
        let mut stop = stop_signal()?;
        let good = match destination {
            Destination::Outputs(outputs) => {
                let failures = config.input_failures("setup");
                match Worker::new(config, outputs) {
                    Ok(worker) => worker.run(stop).await,
                    Err(error) => fail(&error, &failures, &mut stop).await,
                }
            }
            Destination::Picture(file) => {
                let failures = config.input_failures(&file.to_string_lossy());
                match take_picture(&config, &file, stop.clone()).await {
                    Ok(()) => {
                        failures.clear();
                        true
                    }
                    Err(error) => fail(&error, &failures, &mut stop).await,
                }
            }
        };
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// Says it, and waits as after whatever MediaMTX would start again at once.
async fn fail(
    error: &anyhow::Error,
    failures: &Failures,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    log::error!("{error:#}");
    held_back(failures, stop).await;
    false
}

async fn take_picture(config: &Config, file: &Path, mut stop: watch::Receiver<bool>) -> Result<()> {
    tokio::select! {
        taken = picture::take(config, file) => Ok(taken?),
        () = output::told(&mut stop) => anyhow::bail!("no picture: told to end"),
    }
}

/// True after SIGINT, which MediaMTX sends at the end of a stream, or SIGTERM.
fn stop_signal() -> io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Nobody listens any more, if this fails.
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}
