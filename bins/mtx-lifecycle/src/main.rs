//! mtx-lifecycle: on-demand policies of MediaMTX's paths, changed without hurting anybody.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use common::cli::usage;
use common::logging::{self, Output};
use common::panics;
use common::secret;
use common::signals::StopSignals;
use log::LevelFilter;

use cli::arguments::{Cli, Command};
use cli::{complete, options, run};

fn main() -> ExitCode {
    panics::abort();
    complete::complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let (format, level) = (cli.common.log.log_format, LevelFilter::Info);
    let signals = StopSignals::hold_back();
    if matches!(cli.command, Command::Watch { .. }) {
        logging::init_background(format, Output::Stdout, level, Vec::new());
    } else {
        logging::init(format, Output::Stderr, level, Vec::new());
    }
    let is_bounded = cli.common.timeout.is_some();
    let done = options::options(&cli.common)
        .map_err(run::Failure::usage)
        .and_then(|options| run::run(cli.command, options, is_bounded, signals));
    log::logger().flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = format!("{:#}", failure.error);
            // One line; and nobody is left to be told when the other end of a pipe has gone.
            let text = text.replace('\n', " ");
            let _ = writeln!(io::stderr(), "mtx-lifecycle: {}", secret::scrub(&text));
            ExitCode::from(failure.exit_code)
        }
    }
}
