//! `--check`: what is wrong with options and environment, as lines on stdout.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use common::cli::WRONG_USAGE;
use common::secret;

use crate::Task;
use crate::config::NoKey;

const NO_KEY: u8 = 1;

/// Whether a command line that is wrong asks for it, too.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().skip(1).any(|word| word == "--check")
}

/// Says what would be done, or what is wrong.
pub(crate) fn report(task: Result<Task>, warnings: &[String]) -> ExitCode {
    let (last, code) = match task {
        Ok(task) => (format!("ok: {}", task.plan()), ExitCode::SUCCESS),
        Err(error) if error.downcast_ref::<NoKey>().is_some() => {
            (format!("error: {error:#}"), ExitCode::from(NO_KEY))
        }
        Err(error) => (format!("error: {error:#}"), ExitCode::from(WRONG_USAGE)),
    };
    let warnings = warnings.iter().map(|text| format!("warning: {text}"));
    let mut text = String::new();
    for line in warnings.chain([last]) {
        text += &secret::conceal(&line);
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
