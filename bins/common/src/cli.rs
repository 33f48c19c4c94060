//! Command lines.

use std::process::ExitCode;

use crate::logging::LogFormat;
use crate::quoted;

/// The exit code for a command line, an environment or a file that can't be used.
pub const WRONG_USAGE: u8 = 2;

/// How a program logs.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct LogArguments {
    /// How to log: text or json
    #[arg(long, env = "MTX_LOG_FORMAT", value_name = "FORMAT", global = true)]
    #[arg(default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Says what clap has to say, be it help or what is wrong, and how the program exits then.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        quoted::print_refusal(&error.render().to_string());
        return ExitCode::from(WRONG_USAGE);
    }
    // Nobody is left to tell if even that can't be written.
    let _ = error.print();
    ExitCode::SUCCESS
}
