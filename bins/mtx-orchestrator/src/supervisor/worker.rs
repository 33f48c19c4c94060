//! How workers are started.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{program, tls};
use mediamtx::via::Via;
use url::Url;

pub(crate) use super::platform::Limits;

use super::platform;
use crate::declaration::{Servers, Task};

/// Workers report every second.
const REPORT_INTERVAL: &str = "1s";

/// What a worker gets of our own environment: no more than it needs. Logins for MediaMTX are in its URLs.
const HANDED_ON: [&str; 7] = [
    tls::ROOTS_FILE,
    tls::MEDIAMTX_FINGERPRINT,
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "MTX_WORKER_RETRY",
    "MTX_WORKER_TRANSPORT",
    // By which `make down` knows what it started.
    "MTX_SUITE_STACK",
];

/// What all workers have in common.
#[derive(Clone)]
pub(crate) struct Template {
    pub(crate) program: PathBuf,
    pub(crate) servers: Servers,
}

impl Template {
    /// `via` is where the outputs will have been.
    pub(super) fn command(&self, task: &Task, limits: Limits, via: &[Via]) -> Command {
        let outputs: Vec<String> = task.outputs.iter().map(|to| literal(&to.url)).collect();
        let via: Vec<String> = via.iter().map(Via::to_string).collect();
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(program::handed_on(HANDED_ON))
            .env(
                tls::MEDIAMTX_FINGERPRINT_HOSTS,
                self.servers.hosts().join(" "),
            )
            // Other users of the host see command lines, not environments.
            .env("MTX_WORKER_INPUT", task.input.as_str())
            .env("MTX_WORKER_OUTPUT", outputs.join(" "))
            .env("MTX_WORKER_VIA", via.join(" "))
            .env("MTX_WORKER_STATS_INTERVAL", REPORT_INTERVAL)
            .env("MTX_LOG_FORMAT", "json")
            .env(
                "RTMP_PORT",
                self.servers.rtmp.port().unwrap_or(1935).to_string(),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        platform::confine(&mut command, limits);
        command
    }
}

/// A brace, which a query may have, would be the beginning of a place to fill in.
pub(super) fn literal(url: &Url) -> String {
    url.as_str().replace('{', "%7B").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_braces_of_a_query_are_no_places_for_the_worker() {
        let template = Template {
            program: "/nowhere".into(),
            servers: Servers {
                rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
                rtmp: "rtmp://127.0.0.1:1935?user=me&pass={name}".parse().unwrap(),
            },
        };
        let route = "cam => copy/{path} rtmp://h/app/key?x=%7b".parse().unwrap();
        let (task, _) = template.servers.routed(&"cam".parse().unwrap(), &route);
        let limits = Limits {
            memory: 0,
            open_files: 0,
            cpu: 0,
        };
        let command = template.command(&task, limits, &[]);
        let outputs = command
            .get_envs()
            .find(|(name, _)| *name == "MTX_WORKER_OUTPUT");
        let outputs = outputs.and_then(|(_, value)| value).unwrap();
        assert_eq!(
            outputs.to_str(),
            Some("rtmp://127.0.0.1:1935/copy/cam?user=me&pass=%7Bname%7D rtmp://h/app/key?x=%7b")
        );
    }
}
