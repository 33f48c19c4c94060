//! Commands about the policy.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mtx_lifecycle::commands::{Error, Lifecycle};
use mtx_lifecycle::journal::Journal;
use mtx_lifecycle::policy::{Policy, migrate};

use super::arguments::Force;
use super::run::{Failure, noted, put, say, tell};

pub(super) fn apply(
    lifecycle: &Lifecycle,
    file: &Path,
    dry_run: bool,
    force: Force,
) -> Result<(), Failure> {
    let policy = read(file).map_err(Failure::usage)?;
    if dry_run {
        let preview = lifecycle.preview(policy, force.is_on)?;
        if preview.is_empty() {
            say("nothing would be written");
        }
        preview.iter().for_each(|line| say(line));
        return Ok(());
    }
    tell(
        lifecycle,
        &noted(lifecycle, lifecycle.apply(policy, force.is_on))?,
    )
}

fn read(file: &Path) -> Result<Policy> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name}"))?;
    text.parse().with_context(|| format!("{name}"))
}

pub(super) fn reconcile(lifecycle: &Lifecycle) -> Result<(), Failure> {
    tell(lifecycle, &lifecycle.reconcile()?)
}

pub(super) fn rollback(
    lifecycle: &Lifecycle,
    revision: Option<u64>,
    force: Force,
) -> Result<(), Failure> {
    let (number, report) = noted(lifecycle, lifecycle.rollback(revision, force.is_on))?;
    tell(lifecycle, &report)?;
    say(&format!("as it was wanted at revision {number}"));
    Ok(())
}

pub(super) fn export(lifecycle: &Lifecycle) -> Result<(), Failure> {
    let state = Journal::peek(&lifecycle.options().folder).map_err(Error::from)?;
    // With its passwords: it is for a configuration file.
    put(&lifecycle.export(&state));
    Ok(())
}

pub(super) fn migrate(file: &Path) -> Result<(), Failure> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name}"));
    let migration =
        text.and_then(|text| migrate::migrate(&text).with_context(|| format!("{name}")));
    let migration = migration.map_err(Failure::usage)?;
    for note in &migration.notes {
        say(&format!("# {note}"));
    }
    let yaml = serde_yaml::to_string(&migration.policy).context("the policy")?;
    put(&yaml);
    Ok(())
}
