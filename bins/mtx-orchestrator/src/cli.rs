//! What the user typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::cli::LogArguments;
use common::duration::{parse, parse_positive};

use crate::routes::{CPU, FILES, MEMORY};
use crate::supervisor::{BreakerPolicy, Recovery};

pub(crate) const DEFAULT_RTSP: &str = "rtsp://127.0.0.1:8554";

const AFTER_HELP: &str = "\
Environment, besides what the options name:
  ORCHESTRATOR_TOKEN            bearer token whose holder may do everything; without any token,
                                only loopback is listened on unless --listen says otherwise
  ORCHESTRATOR_EVENTS_TOKEN     one whose holder may send events: for MediaMTX's hooks
  ORCHESTRATOR_READ_TOKEN       one to see streams, routes, policies and metrics
  ORCHESTRATOR_OPERATE_TOKEN    one to read, and to declare, start and stop streams and use cases
  ORCHESTRATOR_POLICY_TOKEN     one to read, and to put routes and policies into force, which can
                                have MediaMTX run commands
  ORCHESTRATOR_…TOKEN_FILE      for each of these, a file that holds it instead
  MEDIAMTX_API_TOKEN            bearer token for MediaMTX's API, instead of a login in its URL
  RTSP_USERNAME, RTSP_PASSWORD  the workers' login at MediaMTX, to read and to publish, where
                                --mediamtx-rtsp or --mediamtx-rtmp has none
  MEDIAMTX_FINGERPRINT          SHA-256 of MediaMTX's certificate, to trust for rtsps://, rtmps://
                                and https:// on the hosts of those options
  SSL_CERT_FILE                 certificates (PEM) to trust instead of the built-in ones
  MTX_WORKER_RETRY, MTX_WORKER_TRANSPORT, …
                                passed on to the workers: see mtx-worker --help

Which workers run follows from the routes and MediaMTX's path list, asked every 2 s and at each event; while it
can't be had, from the events. Declared streams run whatever it says. A worker that reports nothing
for 5 s, or passes no frame on for 15 s without trying again, is killed and replaced.

Exit codes:
  0  told to end (SIGINT, SIGTERM), all workers ended
  1  it could not start; the last line of the log says why
  2  wrong usage
  101  a bug, other than in the answer to a request: the last line of the log has its place";

/// Takes MediaMTX's events and runs one supervised mtx-worker for each stream that a route is for.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Where to listen; 127.0.0.1:8080 by default, 0.0.0.0:8080 with a token
    #[arg(long, env = "ORCHESTRATOR_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// MediaMTX's Control API: http(s)://[user:password@]host[:port]
    #[arg(
        long,
        env = "MEDIAMTX_API_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    #[arg(default_value = "http://127.0.0.1:9997")]
    pub(crate) mediamtx_api: String,

    /// Where workers read: rtsp(s)://[user:password@]host[:port]
    #[arg(
        long,
        env = "MEDIAMTX_RTSP_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    #[arg(default_value = DEFAULT_RTSP)]
    pub(crate) mediamtx_rtsp: String,

    /// Where workers publish: rtmp(s)://host[:port][?user=…&pass=…]
    #[arg(
        long,
        env = "MEDIAMTX_RTMP_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    #[arg(default_value = "rtmp://127.0.0.1:1935")]
    pub(crate) mediamtx_rtmp: String,

    /// MediaMTX's HLS player, which the dashboard shows: http(s)://host[:port][/path]. If that is this machine, it is
    /// looked for where the dashboard was loaded from
    #[arg(long, env = "MEDIAMTX_PLAYER_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:8888")]
    pub(crate) player: String,

    /// Where declared streams (POST /v1/streams), routes (PUT /v1/routes) and stops are kept; it is created if it is
    /// not there. Without it, none can be declared
    #[arg(long, env = "ORCHESTRATOR_STORE", value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,

    /// Where mtx-lifecycle's journal is: with it, the server's paths are watched as mtx-lifecycle watch does, and
    /// /v1/lifecycle answers
    #[arg(long, env = "ORCHESTRATOR_LIFECYCLE_STATE", value_name = "FOLDER")]
    pub(crate) lifecycle_state: Option<PathBuf>,

    /// Which paths are passed on, and where to: 'PATTERN => OUTPUT', where PATTERN may have *, **, ?, [a-z] and [!a-z],
    /// and OUTPUT is rtmp(s)://… or a path on the same server, with {path}, {name}, * or {1} (the first of the
    /// pattern's * and **); may be given several times, the first that matches counts
    /// [default: live/*/in => live/*/out]
    #[arg(long = "route", value_name = "ROUTE")]
    pub(crate) routes: Vec<String>,

    /// More of them, as YAML, behind those of --route; read again at SIGHUP
    #[arg(long = "routes", env = "ORCHESTRATOR_ROUTES", value_name = "FILE")]
    pub(crate) routes_file: Option<PathBuf>,

    /// The worker's executable; by default the mtx-worker beside this one, else the one in PATH
    #[arg(long, env = "MTX_WORKER", value_name = "FILE")]
    pub(crate) worker: Option<PathBuf>,

    /// How long a stream may be away until its worker is ended
    #[arg(long, env = "MTX_GRACE", value_name = "TIME", default_value = "30s", value_parser = parse)]
    pub(crate) grace: Duration,

    /// When a failed worker is started again: immediate, fixed:<wait> or exponential:<first>..<most>
    /// (at once, then after waits that double, with jitter)
    #[arg(long, env = "MTX_RECOVERY", value_name = "STRATEGY")]
    #[arg(default_value = "exponential:1s..30s")]
    pub(crate) recovery: Recovery,

    /// Failures within a time that make a stream's breaker open: no more starts for a while
    #[arg(
        long,
        env = "MTX_BREAKER",
        value_name = "FAILURES/TIME",
        default_value = "5/2m"
    )]
    pub(crate) breaker: BreakerPolicy,

    /// How long an open breaker waits until one start is tried
    #[arg(long, env = "MTX_BREAKER_PAUSE", value_name = "TIME")]
    #[arg(default_value = "30s", value_parser = parse_positive)]
    pub(crate) breaker_pause: Duration,

    /// How long media has to flow until earlier failures are forgiven
    #[arg(long, env = "MTX_HEALTHY_AFTER", value_name = "TIME")]
    #[arg(default_value = "10s", value_parser = parse_positive)]
    pub(crate) healthy_after: Duration,

    /// Workers at a time; further streams are blocked until one ends
    #[arg(
        long,
        env = "ORCHESTRATOR_MAX_STREAMS",
        value_name = "STREAMS",
        default_value_t = 500
    )]
    #[arg(value_parser = max_streams)]
    pub(crate) max_streams: usize,

    /// Worker starts a second, over all streams; those whose workers failed least go first
    #[arg(
        long,
        env = "MTX_START_LIMIT",
        value_name = "STARTS",
        default_value_t = 20
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) start_limit: u32,

    /// Private memory a worker may take, in MiB (Linux)
    #[arg(
        long,
        env = "MTX_WORKER_MEMORY",
        value_name = "MIB",
        default_value_t = 512
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(MEMORY))]
    pub(crate) worker_memory: u64,

    /// Files and sockets a worker may have open (Linux)
    #[arg(
        long,
        env = "MTX_WORKER_FILES",
        value_name = "FILES",
        default_value_t = 64
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(FILES))]
    pub(crate) worker_files: u64,

    /// Percent of one processor that a worker may take over 10 s (Linux)
    #[arg(
        long,
        env = "MTX_WORKER_CPU",
        value_name = "PERCENT",
        default_value_t = 90
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(CPU))]
    pub(crate) worker_cpu: u64,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

fn max_streams(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok();
    let number = number.filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| "it is a number from 1 to 100000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["mtx-orchestrator"]).is_ok());
    }
}
