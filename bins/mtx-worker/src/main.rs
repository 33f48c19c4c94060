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
    let cli = Cli::parse();
    let format = cli.log_format;
    let hook = HookEnvironment::of_this_process();
    match Config::new(cli, &hook, |name| std::env::var(name).ok()) {
        Err(error) => {
            let path = hook.path().map(|path| ("path", path.to_string()));
            let context = path.into_iter().collect();
            logging::init(format, Output::Stderr, log::LevelFilter::Info, context);
            refuse(&error, &hook).unwrap_or_else(|error| {
                log::error!("{error:#}");
                ExitCode::FAILURE
            })
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

/// Says what is wrong. A hook that MediaMTX starts again and again says it more and more seldom.
fn refuse(error: &anyhow::Error, hook: &HookEnvironment) -> Result<ExitCode> {
    let failures = match hook.path() {
        Ok(path) => Failures::remembered((path.as_str(), error.to_string())),
        Err(_) => Failures::forgotten(),
    };
    runtime()?.block_on(async {
        let mut stop = stop_signal()?;
        let waits = async {
            log::error!("{error:#}");
            failures.wait().await;
            tokio::time::sleep(failures.add()).await;
        };
        Ok(tokio::select! {
            () = waits => ExitCode::from(WRONG_USAGE),
            () = output::told(&mut stop) => ExitCode::SUCCESS,
        })
    })
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
        let stop = stop_signal()?;
        let good = match destination {
            Destination::Outputs(outputs) => Worker::new(config, outputs)?.run(stop).await,
            Destination::Picture(file) => take_picture(&config, &file, stop).await?,
        };
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

async fn take_picture(
    config: &Config,
    file: &Path,
    mut stop: watch::Receiver<bool>,
) -> Result<bool> {
    tokio::select! {
        taken = picture::take(config, file) => taken?,
        () = output::told(&mut stop) => anyhow::bail!("no picture: told to end"),
    }
    Ok(true)
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
