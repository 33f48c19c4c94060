//! Watching, until a signal comes.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, anyhow};
use common::signals::StopSignals;
use mtx_lifecycle::commands::Lifecycle;
use mtx_lifecycle::watch::Watch;

use super::run::Failure;

pub(super) fn watch(
    lifecycle: Lifecycle,
    metrics: Option<SocketAddr>,
    signals: &StopSignals,
) -> Result<(), Failure> {
    let watch = Watch::new(lifecycle)?;
    if let Some(address) = metrics {
        watch.serve_metrics(address).context("--metrics")?;
    }
    let (stop, stopped) = mpsc::channel();
    let runs = thread::Builder::new().name("watch".to_owned());
    let runs = runs
        .spawn(move || watch.run(&stopped))
        .context("no thread")?;
    signals.wait();
    drop(stop);
    runs.join()
        .map_err(|_| anyhow!("the watch has ended by a fault of its own"))?;
    Ok(())
}
