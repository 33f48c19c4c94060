//! What the user typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use common::cli::LogArguments;
use mediamtx::event::EventName;

const AFTER_HELP: &str = "\
Events, and the setting of MediaMTX that each belongs to:
  ready             runOnAvailable (before v1.19.3: runOnReady)
  not-ready         runOnUnavailable (before v1.19.3: runOnNotReady)
  online            runOnOnline
  offline           runOnOffline
  demand            runOnDemand
  undemand          runOnUnDemand
  init              runOnInit
  read              runOnRead
  unread            runOnUnread
  connect           runOnConnect
  disconnect        runOnDisconnect
  segment-create    runOnRecordSegmentCreate
  segment-complete  runOnRecordSegmentComplete

Environment, besides what the options name:
  ORCHESTRATOR_TOKEN      sent as a bearer token; mtx-orchestrator's ORCHESTRATOR_EVENTS_TOKEN is enough
  ORCHESTRATOR_TOKEN_FILE
                          or the file that holds it
  SSL_CERT_FILE           certificates (PEM) to trust for https, instead of the built-in ones
  ORCHESTRATOR_FINGERPRINT
                          or the one to trust, by its SHA-256 fingerprint, as openssl prints it
  MTX_PATH, MTX_QUERY, …  set by MediaMTX

The event goes to <ORCHESTRATOR_URL>/v1/mediamtx/events/<EVENT> in one POST, never repeated.
One line on stderr, and so in MediaMTX's log, says what became of it. SIGINT and SIGTERM do
not interrupt it.

Exit codes:
  0  the receiver answered 2xx
  1  it did not; the line says why, with the HTTP status if there was one
  2  wrong usage, environment or path: nothing was sent

Examples, in mediamtx.yml:
  runOnAvailable: mtx-hook ready
  runOnUnavailable: mtx-hook not-ready --timeout 5s";

const DOCTOR_HELP: &str = "\
Looks at the file, at the running server over its API, and at the orchestrator. One line for each
thing on stdout: \"error\" for what does not work, \"warning\" for what works otherwise than one may
think, \"not checked\" for what could not be looked at. Started by MediaMTX (runOnInit: mtx-hook doctor),
it sees the server's own environment, PATH and file; by hand, those of the shell.

Environment:
  MEDIAMTX_API_URL     the server's API; by default where the file says, on this machine
  MEDIAMTX_API_TOKEN   bearer token for it, in place of user:password in the URL
  MEDIAMTX_FINGERPRINT SHA-256 fingerprint of its certificate, if that is self-signed
  MTX_…                settings in place of the file's, as MediaMTX reads them

Exit codes:
  0  all is well, or there are only warnings
  1  there is an error
  2  wrong usage, or the named file can't be read";

/// Posts one event of MediaMTX as JSON over HTTP, then exits.
///
/// Started by MediaMTX as a hook.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What has happened
    #[arg(required = true, hide_possible_values = true, value_parser = event_parser())]
    pub(crate) event: Option<EventName>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Who is told: http(s)://host[:port][/path]
    #[arg(
        long,
        env = "ORCHESTRATOR_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://localhost:8080"
    )]
    pub(crate) orchestrator_url: OsString,

    /// The deadline for everything, name lookup and answer included
    #[arg(long, env = "MTX_HOOK_TIMEOUT", value_name = "TIME", global = true)]
    #[arg(default_value = "2s", value_parser = common::duration::parse_positive)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A health check for images without a shell: 0 if a GET is answered 2xx, else 1
    Check {
        /// What to get: http(s)://host[:port][/path]
        url: OsString,
    },
    /// Says what is wrong with a server's configuration, and what to write instead
    #[command(after_help = DOCTOR_HELP)]
    Doctor {
        /// mediamtx.yml; by default the one that MediaMTX reads
        file: Option<PathBuf>,
    },
}

impl Cli {
    /// What the log calls it.
    pub(crate) fn what(&self) -> String {
        match self.event {
            Some(name) => format!("{name} event"),
            None => "check".to_owned(),
        }
    }

    /// What goes on the log line in any case.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let event = self.event.map(|name| ("event", name.to_string()));
        event.into_iter().collect()
    }
}

fn event_parser() -> impl clap::builder::TypedValueParser<Value = EventName> {
    use clap::builder::TypedValueParser;
    PossibleValuesParser::new(EventName::ALL.map(EventName::as_str)).try_map(|name| name.parse())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_each_event_and_its_setting() {
        let help = Cli::command().render_long_help().to_string();
        for name in EventName::ALL {
            let line = format!("  {name:<18}{}\n", name.setting());
            assert!(help.contains(&line), "{line}");
        }
    }

    #[test]
    fn check_needs_no_event_and_an_event_no_url() {
        let cli = Cli::try_parse_from(["mtx-hook", "check", "http://h/", "--timeout", "1s"]);
        let cli = cli.unwrap();
        assert!(cli.event.is_none() && matches!(cli.command, Some(Command::Check { .. })));
        assert_eq!(cli.timeout, Duration::from_secs(1));
        let cli = Cli::try_parse_from(["mtx-hook", "not-ready"]).unwrap();
        assert_eq!(cli.event, Some(EventName::NotReady));
        for wrong in [
            &["mtx-hook"][..],
            &["mtx-hook", "rady"],
            &["mtx-hook", "ready", "x"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
