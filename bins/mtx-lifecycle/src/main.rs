//! mtx-lifecycle: on-demand policies of MediaMTX's paths, changed without hurting anybody.

mod cli;
mod commands;
mod config;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;
use mediamtx::logging::{self, Output};
use mediamtx::secret;
use mediamtx::signals::StopSignals;

use cli::{Cli, Command};

const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (format, level) = (cli.common.log_format, LevelFilter::Info);
    // Whatever a command was doing, the journal knows it; only what watches has a reason to end in an orderly way.
    let signals = match cli.command {
        Command::Watch { .. } => {
            let signals = StopSignals::hold_back();
            logging::init_background(format, Output::Stdout, level, Vec::new());
            Some(signals)
        }
        _ => {
            logging::init(format, Output::Stderr, level, Vec::new());
            None
        }
    };
    let done = config::options(&cli.common)
        .map_err(commands::Failure::usage)
        .and_then(|options| commands::run(cli.command, options, signals));
    log::logger().flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = format!("{:#}", failure.error);
            // One line; and nobody is left to be told when the other end of a pipe has gone.
            let text = text.replace('\n', " ");
            let _ = writeln!(io::stderr(), "mtx-lifecycle: {}", secret::scrub(&text));
            ExitCode::from(if failure.is_usage { WRONG_USAGE } else { 1 })
        }
    }
}
