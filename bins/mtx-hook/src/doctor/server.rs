//! The running server, over its API.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use common::host::is_loopback;
use mediamtx::api::{Api, ApiError, Fields};
use ureq::http::Uri;

use super::configuration::{Configuration, Entry, Settings};
use super::finding::Diagnosis;
use super::process::Process;

/// MediaMTX starts its runOnInit hooks before it listens.
const START: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// What a running server is and holds.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) version: Option<String>,
    pub(super) configuration: Configuration,
    /// Every setting that it knows of a path.
    pub(super) known: Settings,
    /// Streams that are there now, and the entry of each.
    pub(super) streams: Vec<(String, String)>,
}

/// Looks at it, or says why it can't be looked at.
pub(super) fn look(
    file: Option<&Configuration>,
    process: &Process,
    deadline: Duration,
    diagnosis: &mut Diagnosis,
) -> Option<Server> {
    let given = process.variable("MEDIAMTX_API_URL");
    if given.is_none() && file.is_some_and(|file| !file.is_on("api")) {
        api_is_off(file, process, diagnosis);
        return None;
    }
    let url = match given {
        Some(url) => url.to_owned(),
        None => address(file),
    };
    let api = Api::new(&url, deadline).and_then(Api::with_token_of_environment);
    match api.and_then(|api| patiently(&api, process)) {
        Ok(server) => Some(server),
        Err(ApiError::Request { error, .. }) if refused(&error) => {
            let hint = match given {
                Some(_) => "; MEDIAMTX_API_URL says so",
                None => "; if it is elsewhere, set MEDIAMTX_API_URL",
            };
            diagnosis.unchecked(format!(
                "the running server: none is at {} ({error}){hint}",
                common::secret::redact_url(&url)
            ));
            None
        }
        Err(error) => {
            diagnosis.error("api", error.to_string());
            None
        }
    }
}

fn api_is_off(file: Option<&Configuration>, process: &Process, diagnosis: &mut Diagnosis) {
    const TEXT: &str =
        "it is off, and mtx-orchestrator and mtx-lifecycle do all over it: write api: yes";
    let needed = file.is_some_and(|file| super::hooks::starts(file, "mtx-lifecycle"))
        || super::orchestrator::is_there(process);
    if needed {
        diagnosis.error("api", TEXT);
    } else {
        diagnosis.warning("api", TEXT);
    }
    diagnosis.unchecked("the running server: its API is off");
}

fn refused(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// A hook may be earlier than the API.
fn patiently(api: &Api, process: &Process) -> Result<Server, ApiError> {
    let start = Instant::now();
    loop {
        match ask(api) {
            Err(ApiError::Request { error, .. })
                if refused(&error) && process.is_hook() && start.elapsed() < START =>
            {
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

fn ask(api: &Api) -> Result<Server, ApiError> {
    let known = api.path_defaults()?;
    let global = api.global_settings()?;
    let entries: Vec<Fields> = api.path_configs()?;
    let streams = api.paths()?;
    Ok(Server {
        url: api.url().to_owned(),
        // Servers before v1.15 do not tell.
        version: api.info().ok().map(|info| info.version.trim().to_owned()),
        configuration: Configuration {
            global,
            entries: entries
                .into_iter()
                .map(|settings| entry(settings, &known))
                .collect(),
            defaults: known.clone(),
            of_variables: Vec::new(),
            styles: Vec::new(),
        },
        known,
        streams: streams
            .into_iter()
            .filter(mediamtx::api::PathInfo::is_available)
            .map(|path| (path.name, path.conf_name))
            .collect(),
    })
}

/// The server lists what an entry has taken from `pathDefaults`, too.
fn entry(mut settings: Fields, defaults: &Settings) -> Entry {
    let name = settings.remove("name");
    settings.retain(|name, value| defaults.get(name) != Some(value));
    Entry {
        name: name
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default(),
        settings,
        is_null: false,
    }
}

/// Where a server with this configuration listens on this machine.
fn address(file: Option<&Configuration>) -> String {
    let empty = Configuration::default();
    let file = file.unwrap_or(&empty);
    let scheme = if file.is_on("apiEncryption") {
        "https"
    } else {
        "http"
    };
    let text = file.text("apiAddress");
    let address = match text.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let address = match address.parse::<SocketAddr>() {
        Ok(mut socket) if socket.ip().is_unspecified() => {
            socket.set_ip(match socket.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
            socket.to_string()
        }
        _ => address,
    };
    format!("{scheme}://{address}")
}

/// Whether a URL leads to this port of this machine; elsewhere a port may be forwarded to any.
pub(super) fn is_at_port_of_this_machine(url: &str, default: u16, port: Option<u16>) -> bool {
    port.is_some_and(|port| port_of_this_machine(url, default) == Some(port))
}

/// The port of a URL on this machine; elsewhere it may be forwarded to any.
pub(super) fn port_of_this_machine(url: &str, default: u16) -> Option<u16> {
    let uri: Uri = url.parse().ok()?;
    is_loopback(uri.host()?).then(|| uri.port_u16().unwrap_or(default))
}

impl Server {
    /// Whether its programs can be looked for on this machine.
    pub(super) fn is_here(&self) -> bool {
        let uri = self.url.parse::<Uri>().ok();
        uri.is_some_and(|uri| uri.host().is_some_and(is_loopback))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_host_whose_name_only_begins_like_this_machine_is_another() {
        for (url, expected) in [
            ("http://localhost:9997", true),
            ("http://127.0.0.1:9997", true),
            ("https://[::1]:9997/", true),
            ("http://localhost.example.com:9997", false),
            ("http://127.0.0.10.example.com", false),
            ("http://mediamtx:9997", false),
        ] {
            let server = Server {
                url: url.to_owned(),
                version: None,
                configuration: Configuration::default(),
                known: Settings::new(),
                streams: Vec::new(),
            };
            assert_eq!(server.is_here(), expected, "{url}");
        }
    }

    #[test]
    fn the_api_is_asked_where_the_file_says() {
        let url = |yaml: &str| address(Some(&super::super::file::parse(yaml.as_bytes()).unwrap()));
        for (yaml, expected) in [
            ("", "http://127.0.0.1:9997"),
            ("apiAddress: :9", "http://127.0.0.1:9"),
            ("apiAddress: 0.0.0.0:9", "http://127.0.0.1:9"),
            (
                "apiAddress: '[::]:9'\napiEncryption: yes",
                "https://[::1]:9",
            ),
            ("apiAddress: 10.0.0.1:9", "http://10.0.0.1:9"),
        ] {
            assert_eq!(url(yaml), expected, "{yaml}");
        }
        let settings = serde_json::json!({"name": "cam", "record": true, "source": "x"});
        let Value::Object(settings) = settings else {
            unreachable!()
        };
        let defaults: Settings = [("record".to_owned(), true.into())].into_iter().collect();
        let entry = entry(settings, &defaults);
        assert_eq!((entry.name.as_str(), entry.settings.len()), ("cam", 1));
    }
}
