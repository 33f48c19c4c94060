//! Posts one event of MediaMTX as JSON over HTTP, then exits.

mod cli;
mod request;
mod send;
mod signals;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use log::{Level, LevelFilter};
use mediamtx::logging::{self, Output};
use mediamtx::timestamp::Timestamp;
use ureq::http::StatusCode;

use cli::Cli;
use request::Request;

fn main() -> ExitCode {
    let (timestamp, start) = (Timestamp::now(), Instant::now());
    signals::hold_back();
    let cli = Cli::parse();
    let (what, format, deadline) = (cli.what(), cli.log_format, start + cli.timeout);
    // Health checks come every few seconds, and only their failures are news.
    let good = cli.event.map_or(Level::Debug, |_| Level::Info);
    let mut fields = cli.fields();
    let request = Request::new(cli, timestamp);
    fields.extend(request.iter().flat_map(Request::fields));
    logging::init(format, Output::Stderr, LevelFilter::Info, fields);
    match request {
        Ok(request) => report(&what, good, start, send::send_within(request, deadline)),
        Err(error) => {
            log::error!("{what} refused, nothing sent: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The one line: MediaMTX swallows exit codes, so what is not printed nobody learns.
fn report(what: &str, good: Level, start: Instant, answer: Result<StatusCode>) -> ExitCode {
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match answer {
        Ok(status) if status.is_success() => {
            log::log!(good, status = status.as_u16(), ms; "{what} delivered");
            return ExitCode::SUCCESS;
        }
        Ok(status) => log::error!(status = status.as_u16(), ms; "{what} failed: answered {status}"),
        Err(error) => log::error!(ms; "{what} failed: {error:#}"),
    }
    ExitCode::FAILURE
}
