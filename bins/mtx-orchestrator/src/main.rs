//! mtx-orchestrator: takes MediaMTX's events and runs one supervised mtx-worker per stream.

mod api;
mod cli;
mod config;
mod http;
mod signals;
mod supervisor;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use log::LevelFilter;
use mediamtx::logging::{self, Output};

use cli::Cli;
use config::Config;
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
    let listener = http::bind(config.listen)?;
    let supervisor = Supervisor::start(config.supervisor)?;
    http::serve(listener, config.token.as_deref(), supervisor.clone())?;
    stop.wait();
    supervisor.shutdown();
    Ok(())
}
