//! mtx-orchestrator: takes MediaMTX's events and runs one supervised mtx-worker per stream.

mod api;
mod cli;
mod config;
mod declaration;
mod feed;
mod history;
mod lifecycle;
mod pictures;
mod power;
mod registry;
mod router;
mod routes;
mod store;
mod stream_key;
mod supervisor;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use common::cli::{WRONG_USAGE, usage};
use common::http;
use common::logging::{self, Output};
use common::panics;
use common::signals::{Request, StopSignals};
use log::LevelFilter;

use api::{Access, Api, Dashboard};
use cli::Cli;
use config::Config;
use feed::Feed;
use history::History;
use lifecycle::Lifecycle;
use pictures::Pictures;
use power::Grant;
use registry::Registry;
use router::Router;
use store::{SharedStore, SqliteStore};
use supervisor::Supervisor;

fn main() -> ExitCode {
    let stop = StopSignals::hold_back_with_hangup();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    logging::init_background(
        cli.log.log_format,
        Output::Stdout,
        LevelFilter::Info,
        Vec::new(),
    );
    panics::exit();
    let outcome = match Config::new(cli) {
        Err(error) => Err((error, ExitCode::from(WRONG_USAGE))),
        Ok(config) => run(config, &stop).map_err(|error| (error, ExitCode::FAILURE)),
    };
    let code = outcome.map_or_else(
        |(error, code)| {
            log::error!("{error:#}");
            code
        },
        |()| ExitCode::SUCCESS,
    );
    log::logger().flush();
    code
}

fn run(config: Config, stop: &StopSignals) -> Result<()> {
    let listener = http::bind(config.listen).context("--listen")?;
    let store = config.store.as_deref().map(SqliteStore::open).transpose()?;
    let store = store.map(SharedStore::new);
    let lifecycle = config.lifecycle.map(Lifecycle::start);
    let lifecycle = lifecycle.transpose().context("--lifecycle-state")?;
    let declared = store
        .as_ref()
        .map(|store| store.lock().list())
        .transpose()?;
    let stopped = store.as_ref().map(|store| store.lock().stopped());
    let stopped = stopped.transpose()?;
    let servers = config.supervisor.worker.servers.clone();
    let pictures = Pictures::new(config.supervisor.worker.program.clone(), servers.clone());
    let (layers, table) = config.routes.in_force(store.as_ref(), &servers)?;
    let dashboard = Dashboard {
        player: config.player,
        publish: servers.rtmp.clone(),
    };
    let supervisor = Supervisor::start(
        config.supervisor,
        Arc::new(table),
        declared.unwrap_or_default(),
        stopped.unwrap_or_default(),
    )?;
    let router = Arc::new(Router::new(
        layers,
        config.routes.file,
        servers.clone(),
        store.clone(),
        supervisor.clone(),
    ));
    let registry = Registry::new(store, servers, supervisor.clone());
    let address = listener.local_addr()?;
    let who = who_may_use_it(&config.grants, address.ip().is_loopback());
    log::info!(address = address.to_string().as_str(); "listening; {who}");
    let access = Access::new(config.grants, address.port())?;
    let feed = Feed::start(supervisor.clone())?;
    let history = History::start(supervisor.clone())?;
    let api = Api::new(
        supervisor.clone(),
        registry,
        Arc::clone(&router),
        feed.clone(),
        lifecycle,
        access,
        dashboard,
        history,
        pictures,
    );
    http::serve(listener, Arc::new(api))?;
    let reloader = router
        .reloader()
        .context("can't start the thread that reads --routes")?;
    while stop.wait() == Request::Reload {
        // It is full when the file is about to be read anyway.
        let _ = reloader.try_send(());
    }
    feed.shutdown();
    supervisor.shutdown();
    Ok(())
}

fn who_may_use_it(grants: &[Grant], is_local: bool) -> String {
    let open_to = match (grants, is_local) {
        ([], true) => "everybody on this machine may use it, and nobody else",
        ([], false) => "everybody who reaches this address may use it",
        (grants, _) => {
            let variables: Vec<_> = grants.iter().map(|grant| grant.variable).collect();
            return format!("who has {} may use it", variables.join(" or "));
        }
    };
    format!("ORCHESTRATOR_TOKEN is not set: {open_to}")
}
