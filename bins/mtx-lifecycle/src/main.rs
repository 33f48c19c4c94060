//! mtx-lifecycle: on-demand policies of MediaMTX's paths, changed without hurting anybody.

mod cli;
mod commands;
mod config;
mod table;

use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;
use mediamtx::logging::{self, Output};
use mediamtx::secret;

use cli::{Cli, Command};

const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = match cli.command {
        Command::Watch { .. } => Output::Stdout,
        _ => Output::Stderr,
    };
    logging::init(cli.common.log_format, output, LevelFilter::Info, Vec::new());
    let done = config::options(&cli.common)
        .map_err(commands::Failure::usage)
        .and_then(|options| commands::run(cli.command, options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = format!("{:#}", failure.error);
            eprintln!("mtx-lifecycle: {}", secret::scrub(&text));
            ExitCode::from(if failure.is_usage { WRONG_USAGE } else { 1 })
        }
    }
}
