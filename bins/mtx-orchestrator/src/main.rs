//! mtx-orchestrator: takes MediaMTX's events and runs one supervised mtx-worker per stream.

mod api;
mod cli;
mod config;
mod feed;
mod signals;
mod supervisor;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use log::LevelFilter;
use mediamtx::http;
use mediamtx::logging::{self, Output};

use api::{Access, Api};
use cli::Cli;
use config::Config;
use feed::Feed;
use signals::StopSignals;
use supervisor::Supervisor;

const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let stop = StopSignals::hold_back();
    let cli = Cli::parse();
    logging::init(
        cli.log_format,
        Output::Stdout,
        LevelFilter::Info,
        Vec::new(),
    );
    match Config::new(cli) {
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(WRONG_USAGE)
        }
        Ok(config) => match run(config, &stop) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error!("{error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run(config: Config, stop: &StopSignals) -> Result<()> {
    let listener = http::bind(config.listen).context("--listen")?;
    let supervisor = Supervisor::start(config.supervisor)?;
    let address = listener.local_addr()?;
    let access = access(config.token.is_some(), address.ip().is_loopback());
    log::info!(address = address.to_string().as_str(); "listening; {access}");
    let access = config
        .token
        .map(|token| Access::new(&token, address.port()));
    let feed = Feed::start(supervisor.clone())?;
    let api = Api::new(
        supervisor.clone(),
        feed.clone(),
        access.transpose()?,
        config.player,
    );
    http::serve(listener, Arc::new(api))?;
    stop.wait();
    feed.shutdown();
    supervisor.shutdown();
    Ok(())
}

fn access(guarded: bool, loopback: bool) -> &'static str {
    match (guarded, loopback) {
        (true, _) => "who has ORCHESTRATOR_TOKEN may use it",
        (false, true) => {
            "ORCHESTRATOR_TOKEN is not set: everybody on this machine may use it, and nobody else"
        }
        (false, false) => {
            "ORCHESTRATOR_TOKEN is not set: everybody who reaches this address may use it"
        }
    }
}
