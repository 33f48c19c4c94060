//! What the user typed.

use clap::Parser;
use common::cli::LogArguments;
use common::retry::RetrySchedule;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::Transport;

const AFTER_HELP: &str = "\
Started by MediaMTX as a hook, the worker reads MTX_PATH and RTSP_PORT from the hook's
environment. Without --output it publishes X/in to X/out of the same server; with it,
any path goes wherever it says:

  runOnAvailable: mtx-worker --output rtmp://host/live/{name}

{path} is the whole path, {name} its last segment, {1}, {2} … the groups of its regular
expression. If MediaMTX starts it again (runOnAvailableRestart: yes), it waits before it
tries outputs again that have failed: 10 s, 20 s, … up to 5 min, until media has flowed
for ten seconds.

Environment, besides what the options name:
  RTSP_USERNAME        login at the input, when its URL has none; as a hook, also at
  RTSP_PASSWORD        outputs on the server that started it, unless it is the login
                       of an input elsewhere. A JWT is the password
  RTMP_STREAM_KEY      put behind the path of --output; keeps it out of process lists
  MEDIAMTX_FINGERPRINT SHA-256 of the certificate of the server that is read from, to
                       trust for rtsps:// and for rtmps:// outputs on it, or on the
                       hosts in MEDIAMTX_FINGERPRINT_HOSTS (with spaces in between)
  SSL_CERT_FILE        certificates (PEM) to trust for rtsps:// and rtmps:// instead of
                       the built-in ones

Exit codes:
  0  the source ended, or the worker was told to end (SIGINT, SIGTERM)
  1  it never got to stream, or every output was lost; the last line says why
  2  wrong usage or environment

With --check:
  0  all is right
  1  all but for a stream key: --key-file has none for this path, or is another user's
  2  wrong usage or environment";

/// Passes one stream through: RTSP in, RTMP out, without transcoding.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Where to read: rtsp(s)://[user:password@]host[:port]/path
    #[arg(long, env = "MTX_WORKER_INPUT", hide_env_values = true)]
    pub(crate) input: Option<String>,

    /// Where to publish: rtmp(s)://host[:port]/app/stream-key, with {path}, {name}, {1} … for parts of the
    /// input's path; may be given several times, or as a list with spaces. Each gets all tracks that its server
    /// says it takes. With FILE.jpg in its place, one picture of the stream (H.264) is taken
    #[arg(long, env = "MTX_WORKER_OUTPUT", hide_env_values = true)]
    pub(crate) output: Vec<String>,

    /// Stream keys by path, as lines of a path (or a pattern such as cam/*), a space and a key, of which the first
    /// that fits is put behind the path of --output; only its owner may read the file
    #[arg(long, env = "MTX_WORKER_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// An inherited Unix socket on which outputs are added and removed while the stream runs, as lines of JSON such as
    /// {"generation":1,"outputs":[{"id":"a","url":"rtmp://…"}]}; then --output may be left out
    #[arg(long, value_name = "N")]
    pub(crate) control_fd: Option<RawFd>,

    /// The RTMP port of the server that is read from [default: 1935]; while it is not given, the path that is read is
    /// refused as an output at every port of the same host
    #[arg(long, env = "RTMP_PORT")]
    pub(crate) rtmp_port: Option<u16>,

    /// How RTP travels from the input
    #[arg(long, env = "MTX_WORKER_TRANSPORT", value_enum, default_value_t = Transport::Tcp)]
    pub(crate) transport: Transport,

    /// Says on stdout whether options and environment are right, and what would be done, and ends
    #[arg(long)]
    pub(crate) check: bool,

    /// Waits before the retries of a lost input or output; "none" for no retry
    #[arg(long, env = "MTX_WORKER_RETRY", default_value_t, value_name = "WAITS")]
    pub(crate) retry: RetrySchedule,

    /// Logs the counters this often, such as 10s
    #[arg(long, env = "MTX_WORKER_STATS_INTERVAL", value_parser = common::duration::parse_positive, value_name = "TIME")]
    pub(crate) stats_interval: Option<Duration>,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
