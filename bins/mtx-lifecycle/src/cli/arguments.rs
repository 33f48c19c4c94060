//! What the user typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::ArgValueCandidates;
use common::cli::LogArguments;
use common::duration::parse_positive;

use super::complete;

const AFTER_HELP: &str = "\
Environment, besides what the options name:
  MEDIAMTX_API_TOKEN   bearer token for the API, instead of a user and password in its URL
  MTX_WORKER           the mtx-worker that takes snapshots; by default the one beside this program,
                       else the one in PATH

Use cases are recording (not closed until it is stopped), viewing (closed 5m after the last viewer),
snapshot (closed after 1m) and your own, from a policy file. What would drop a viewer, a publisher or a
recording waits until nobody is there any more; status shows it as pending.

Shell completion, of paths and use cases as well; for zsh, fish and elvish alike:
  source <(COMPLETE=bash mtx-lifecycle)

Exit codes:
  0  done
  1  failed; one line on stderr says what and why
  2  wrong usage, or a wrong policy file
  130, 143  ended by SIGINT or SIGTERM: a start is taken back, a picture lets its source go";

/// On-demand policies of MediaMTX's paths, changed without hurting anybody.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// MediaMTX's Control API: http(s)://[user:password@]host[:port]
    #[arg(
        long,
        env = "MEDIAMTX_API_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true
    )]
    #[arg(default_value = "http://127.0.0.1:9997")]
    pub(crate) api: String,

    /// Where MediaMTX reaches its own paths: rtsp://[user:password@]host[:port]; by default as it was
    /// given last, or 127.0.0.1 and the port it says
    #[arg(
        long,
        env = "MEDIAMTX_RTSP_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true
    )]
    pub(crate) rtsp: Option<String>,

    /// Where the journal is; by default $XDG_STATE_HOME/mtx-lifecycle or ~/.local/state/mtx-lifecycle
    #[arg(
        long,
        env = "MTX_LIFECYCLE_STATE",
        value_name = "FOLDER",
        global = true
    )]
    pub(crate) state_dir: Option<PathBuf>,

    /// How long to wait for a source, for the server to show a change, and for another mtx-lifecycle; by default
    /// 15s, and for a source as long as it may take to start
    #[arg(long, env = "MTX_TIMEOUT", value_name = "TIME", global = true)]
    #[arg(value_parser = parse_positive)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a use case on a path, and wait until its stream is there
    Start {
        /// recording, viewing, snapshot, or one of your own
        #[arg(add = ArgValueCandidates::new(complete::use_cases))]
        use_case: String,
        /// The path
        #[arg(add = ArgValueCandidates::new(complete::paths))]
        path: String,
        /// For how long; it ends by itself under watch, or by the next command after that. What was started for longer
        /// before is not shortened
        #[arg(long = "for", value_name = "TIME", value_parser = parse_positive, conflicts_with = "until")]
        duration: Option<Duration>,
        /// Until when: HH:MM by the clock of this machine, or a whole RFC 3339 time stamp
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Stop what was started on a path; what the policy records there by itself rests, too, until somebody starts
    /// that without --for or --until
    Stop {
        /// The path
        #[arg(add = ArgValueCandidates::new(complete::paths))]
        path: String,
        /// Why, for the journal and the log
        #[arg(long, value_name = "TEXT", default_value = "by hand", value_parser = one_line)]
        reason: String,
    },
    /// Show how each path stands
    Status {
        /// Only this one
        #[arg(add = ArgValueCandidates::new(complete::paths))]
        path: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Put a policy file into force
    Apply {
        /// The policy, as YAML
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Only show what would be written
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        force: Force,
    },
    /// Make the server be as it is wanted, as after a restart of it: for a shell, or as its runOnInit
    Reconcile,
    /// Keep it true, and keep an eye on the streams, until SIGINT or SIGTERM
    Watch {
        /// Where to answer GET /metrics, in Prometheus' text format
        #[arg(long, env = "MTX_LIFECYCLE_METRICS", value_name = "ADDRESS:PORT")]
        metrics: Option<SocketAddr>,
    },
    /// Take a picture of a stream
    Snapshot {
        /// The path
        #[arg(add = ArgValueCandidates::new(complete::paths))]
        path: String,
        /// Where to, with {path} and {name} for parts of the path; it appears when it is complete
        #[arg(short, long, value_name = "FILE.jpg")]
        output: PathBuf,
        /// Where this machine reads the server's streams: rtsp://[user:password@]host[:port]; by default the API's
        /// host, the server's port and the login of --rtsp
        #[arg(
            long,
            value_name = "URL",
            env = "MTX_LIFECYCLE_READ_URL",
            hide_env_values = true
        )]
        from: Option<String>,
    },
    /// Print the policy file that an existing mediamtx.yml comes to, and what would change
    Migrate {
        /// The mediamtx.yml
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Go back to what was wanted before the last change, or at a revision; 0 is the server as it was
    Rollback {
        /// Its number; without one, list them with status --json
        revision: Option<u64>,
        #[command(flatten)]
        force: Force,
    },
    /// Print what is wanted as the paths of a mediamtx.yml
    Export,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Force {
    /// Also write what drops viewers, publishers and recordings, and say how many
    #[arg(long = "force")]
    pub(crate) is_on: bool,
}

fn one_line(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || text.chars().any(char::is_control) {
        true => Err("a reason is one line of text".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from([
            "mtx-lifecycle",
            "start",
            "recording",
            "cam",
            "--timeout",
            "3s",
        ]);
        assert_eq!(cli.unwrap().common.timeout, Some(Duration::from_secs(3)));
    }
}
