//! Posts one event of MediaMTX as JSON over HTTP, then exits.

mod cli;
mod deadline;
mod doctor;
mod request;
mod send;
mod signals;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Parser;
use common::cli::{WRONG_USAGE, usage};
use common::duration;
use common::logging::{self, Output};
use common::panics;
use common::timestamp::Timestamp;
use log::{Level, LevelFilter};
use ureq::http::StatusCode;

use cli::{Cli, Command};
use request::Request;

fn main() -> ExitCode {
    panics::abort();
    // Before anything else: the end of a stream may come at once.
    signals::hold_back();
    let (timestamp, start) = (Timestamp::now(), Instant::now());
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    if let Some(Command::Doctor { file }) = &mut cli.command {
        signals::let_through();
        return doctor::run(file.take(), cli.timeout);
    }
    let report = Report {
        what: cli.what(),
        // Health checks come every few seconds, and only their failures are news.
        good: cli.event.map_or(Level::Debug, |_| Level::Info),
        start,
    };
    let (format, timeout) = (cli.log.log_format, cli.timeout);
    let mut fields = cli.fields();
    let request = Request::new(cli, timestamp);
    fields.extend(request.iter().flat_map(Request::fields));
    logging::init(format, Output::Stderr, LevelFilter::Info, fields);
    match request {
        Ok(request) => run(request, timeout, report),
        Err(error) => {
            log::error!("{} refused, nothing sent: {error:#}", report.what);
            ExitCode::from(WRONG_USAGE)
        }
    }
}

fn run(request: Request, timeout: Duration, report: Report) -> ExitCode {
    let late = report.clone();
    let last_words = move || {
        late.failure(&anyhow!("no answer within {}", duration::format(timeout)));
    };
    if let Err(error) = deadline::watch(report.start, timeout, last_words) {
        return report.failure(&anyhow!("no thread to watch the deadline: {error}"));
    }
    let answer = send::send(request);
    deadline::claim();
    match answer {
        Ok(status) => report.answer(status),
        Err(error) => report.failure(&error),
    }
}

/// The one line: MediaMTX swallows exit codes, so what is not printed nobody learns.
#[derive(Clone)]
struct Report {
    what: String,
    good: Level,
    start: Instant,
}

impl Report {
    fn answer(&self, status: StatusCode) -> ExitCode {
        let (what, ms) = (&self.what, self.ms());
        if status.is_success() {
            log::log!(self.good, status = status.as_u16(), ms; "{what} delivered");
            return ExitCode::SUCCESS;
        }
        log::error!(status = status.as_u16(), ms; "{what} failed: answered {status}");
        ExitCode::FAILURE
    }

    fn failure(&self, error: &anyhow::Error) -> ExitCode {
        log::error!(ms = self.ms(); "{} failed: {error:#}", self.what);
        ExitCode::FAILURE
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
