//! Commands about one stream.

use anyhow::{Context, anyhow};
use mtx_lifecycle::engine::{Lifecycle, Started};

use super::{Failure, noted, say, tell};
use crate::table;

pub(super) fn start(lifecycle: &Lifecycle, use_case: &str, path: &str) -> Result<(), Failure> {
    match lifecycle.start(use_case, path)? {
        Started::Running { after, report } => {
            say(&format!(
                "{path}: {use_case} runs, after {:.1} s",
                after.as_secs_f64()
            ));
            tell(&report)?;
        }
        Started::Armed(report) => {
            tell(&report)?;
            say(&format!(
                "{path}: {use_case} begins when somebody publishes there"
            ));
        }
    }
    Ok(())
}

pub(super) fn stop(lifecycle: &Lifecycle, path: &str, reason: &str) -> Result<(), Failure> {
    let report = noted(lifecycle, lifecycle.stop(path, reason))?;
    tell(&report)?;
    say(&format!("{path}: stopped: {reason}"));
    Ok(())
}

pub(super) fn status(lifecycle: &Lifecycle, path: Option<&str>, json: bool) -> Result<(), Failure> {
    let status = lifecycle.status(path)?;
    if json {
        let text = serde_json::to_string_pretty(&status).context("the status")?;
        say(&text);
    } else {
        say(&table::of(&status));
    }
    match status.api_error {
        Some(error) => Err(anyhow!("{error}; this is what the journal knows").into()),
        None => Ok(()),
    }
}
