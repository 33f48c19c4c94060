//! The real MediaMTX on free loopback ports, with a configuration written by the test.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mediamtx::version::Version;
use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::Certificate;
use crate::processes::Spawned;
use crate::waiting::{poll, wait_for, wait_until};
use crate::{binaries, http, ports, procfs};

const START: Duration = Duration::from_secs(15);
const STOP: Duration = Duration::from_secs(15);

/// What a test wants of its server. The rest is MediaMTX's default, except that protocols nobody here uses are off.
#[derive(Default)]
pub struct Config {
    version: Option<Version>,
    globals: String,
    path_defaults: String,
    paths: String,
    environment: Vec<(String, String)>,
    certificate: Option<Certificate>,
    rtmp_port_for_hooks: bool,
    hls: bool,
    only_named_paths: bool,
}

impl Config {
    /// Wants a server of this version, not the pinned one.
    #[must_use]
    pub fn version(mut self, version: &Version) -> Self {
        self.version = Some(version.clone());
        self
    }

    /// Adds lines of YAML at the top level, for instance `rtspAuthMethods: [digest]`.
    #[must_use]
    pub fn global(mut self, yaml: &str) -> Self {
        self.globals += &format!("{yaml}\n");
        self
    }

    /// Adds lines of YAML under `pathDefaults`, for instance `overridePublisher: no`.
    #[must_use]
    pub fn path_default(mut self, yaml: &str) -> Self {
        self.path_defaults += &indent(yaml, "  ");
        self
    }

    /// Adds a path (or `~regular expression`) with its YAML settings.
    #[must_use]
    pub fn path(mut self, name: &str, yaml: &str) -> Self {
        let settings = if yaml.is_empty() {
            " {}\n".to_owned()
        } else {
            format!("\n{}", indent(yaml, "    "))
        };
        let _ = write!(self.paths, "  {name:?}:{settings}");
        self
    }

    /// Adds a user who may publish to and read from every path. Others may then do nothing but ask the API.
    #[must_use]
    pub fn only_user(self, user: &str, password: &str) -> Self {
        self.global(&format!(
            "authInternalUsers:\n\
             - user: {user}\n\
             \x20 pass: {password}\n\
             \x20 permissions: [{{action: publish}}, {{action: read}}]\n\
             - user: any\n\
             \x20 permissions: [{{action: api}}, {{action: metrics}}]"
        ))
    }

    /// Sets a variable of the server's environment, which its hooks inherit.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Tells hooks the RTMP port by `RTMP_PORT`, which MediaMTX itself does not.
    #[must_use]
    pub fn rtmp_port_for_hooks(mut self) -> Self {
        self.rtmp_port_for_hooks = true;
        self
    }

    /// Has hooks find mtx-worker, know the RTMP port, and remember failures in the server's own folder.
    #[must_use]
    pub fn worker_for_hooks(self) -> Self {
        let worker = binaries::suite_binary("mtx-worker");
        let folder = worker.parent().expect("it lies in a folder");
        self.rtmp_port_for_hooks()
            .env("PATH", folder.to_string_lossy())
    }

    /// Opens an RTMPS port with this certificate besides the RTMP one.
    #[must_use]
    pub fn rtmps(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Takes no path that has no entry: without this, `all_others` takes them all.
    #[must_use]
    pub fn only_named_paths(mut self) -> Self {
        self.only_named_paths = true;
        self
    }

    /// Serves HLS, too, and the page that plays it.
    #[must_use]
    pub fn hls(mut self) -> Self {
        self.hls = true;
        self
    }

    fn render(&self, ports: &Ports, folder: &Path) -> String {
        let Ports {
            rtsp,
            rtp,
            rtmp,
            rtmps,
            hls,
            api,
            metrics,
        } = ports;
        let rtcp = rtp + 1;
        let mut yaml = format!(
            "webrtc: no\nsrt: no\n\
             rtspAddress: 127.0.0.1:{rtsp}\n\
             rtpAddress: 127.0.0.1:{rtp}\n\
             rtcpAddress: 127.0.0.1:{rtcp}\n\
             rtmpAddress: 127.0.0.1:{rtmp}\n\
             api: yes\napiAddress: 127.0.0.1:{api}\n\
             metrics: yes\nmetricsAddress: 127.0.0.1:{metrics}\n"
        );
        if self.hls {
            let _ = writeln!(yaml, "hlsAddress: 127.0.0.1:{hls}");
        } else {
            yaml += "hls: no\n";
        }
        // Older servers have no such protocol, and refuse settings that they do not know.
        if self
            .version
            .as_ref()
            .is_none_or(|version| *version >= Version::release(1, 19, 2))
        {
            yaml += "moq: no\n";
        }
        if !self.globals.contains("rtspTransports") {
            yaml += "rtspTransports: [udp, tcp]\n";
        }
        if let Some(certificate) = &self.certificate {
            let (cert, key) = certificate.write(folder);
            let _ = write!(
                yaml,
                "rtmpEncryption: optional\nrtmpsAddress: 127.0.0.1:{rtmps}\n\
                 rtmpServerCert: {}\nrtmpServerKey: {}\n",
                cert.display(),
                key.display()
            );
        }
        yaml += &self.globals;
        if !self.path_defaults.is_empty() {
            let _ = write!(yaml, "pathDefaults:\n{}", self.path_defaults);
        }
        let _ = write!(yaml, "paths:\n{}", self.paths);
        let has_all_others = self.paths.contains("\"all_others\"");
        if !self.only_named_paths && !has_all_others {
            yaml += "  all_others: {}\n";
        }
        yaml
    }
}

fn indent(yaml: &str, by: &str) -> String {
    yaml.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// Where the server listens, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are the protocols")]
pub struct Ports {
    pub rtsp: u16,
    /// Of RTP over UDP; RTCP is the next one.
    pub rtp: u16,
    pub rtmp: u16,
    pub rtmps: u16,
    pub hls: u16,
    pub api: u16,
    pub metrics: u16,
}

impl Ports {
    /// Free ones.
    pub fn choose() -> Self {
        Self {
            rtsp: ports::tcp(),
            rtp: ports::udp_pair(),
            rtmp: ports::tcp(),
            rtmps: ports::tcp(),
            hls: ports::tcp(),
            api: ports::tcp(),
            metrics: ports::tcp(),
        }
    }
}

/// A running MediaMTX.
pub struct MediaMtx {
    /// Where it listens.
    pub ports: Ports,
    folder: TempDir,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    process: Spawned,
}

impl MediaMtx {
    /// Starts a server and waits until its API answers.
    ///
    /// # Panics
    /// When there is no server or it does not come up.
    #[track_caller]
    pub fn start(config: Config) -> Self {
        Self::start_on(Ports::choose(), config)
    }

    /// Starts a server on chosen ports and waits until its API answers.
    ///
    /// # Panics
    /// When there is no server or it does not come up, for instance because a port is taken.
    #[track_caller]
    pub fn start_on(ports: Ports, mut config: Config) -> Self {
        if config.rtmp_port_for_hooks {
            config = config.env("RTMP_PORT", ports.rtmp.to_string());
        }
        let folder = tempfile::tempdir().expect("a temp folder");
        config = config.env("XDG_RUNTIME_DIR", folder.path().to_string_lossy());
        let yaml = config.render(&ports, folder.path());
        fs::write(folder.path().join("mediamtx.yml"), yaml).expect("the temp folder is writable");
        let binary = match &config.version {
            Some(version) => binaries::mediamtx_of_version(version),
            None => binaries::mediamtx(),
        };
        let process = launch(&binary, folder.path(), &config.environment);
        let mut server = Self {
            ports,
            folder,
            binary,
            environment: config.environment,
            process,
        };
        server.wait_until_up();
        server
    }

    /// Ends the server orderly, as `docker stop` does.
    pub fn stop(&mut self) {
        self.process.stop(STOP);
    }

    /// Kills the server, as a crash would; its hooks die too.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the stopped server again on the same ports with the same configuration.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = launch(&self.binary, self.folder.path(), &self.environment);
        self.wait_until_up();
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        let up = poll(START, || {
            let ended = self.process.try_wait().is_some();
            let answer = self.get("/v3/paths/list");
            // A server that asks who we are, or wants TLS, is up, too.
            let refusals = ["401", "400"];
            let up = answer.map_or_else(
                |error| refusals.iter().any(|it| error.contains(it)),
                |_| true,
            );
            (ended || up).then_some(!ended)
        });
        assert!(
            up.is_ok_and(|up| up),
            "MediaMTX does not come up; it wrote:\n{}",
            self.process.output()
        );
    }

    /// The file it is configured with.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("mediamtx.yml")
    }

    /// The server's process: its log, its signals.
    pub fn process(&self) -> &Spawned {
        &self.process
    }

    /// Command lines of the hooks that run now.
    pub fn hooks(&self) -> Vec<String> {
        let below = procfs::descendants(self.process.pid());
        below
            .into_iter()
            .filter_map(procfs::command_line)
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// `rtsp://` URL of a path.
    pub fn rtsp(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.ports.rtsp)
    }

    /// `rtmp://` URL of a path.
    pub fn rtmp(&self, path: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{path}", self.ports.rtmp)
    }

    /// `rtmps://` URL of a path.
    pub fn rtmps(&self, path: &str) -> String {
        format!("rtmps://localhost:{}/{path}", self.ports.rtmps)
    }

    /// URL of an API call, for instance `/v3/paths/list`.
    pub fn api(&self, call: &str) -> String {
        format!("http://127.0.0.1:{}{call}", self.ports.api)
    }

    /// Answer of an API call, or what went wrong.
    pub fn get(&self, call: &str) -> Result<Value, String> {
        let text = http::get(&self.api(call))?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Makes an API call that changes something.
    pub fn post(&self, call: &str) -> Result<(), String> {
        http::post(&self.api(call))
    }

    /// Metrics in Prometheus' format; `query` starts with `?` or is empty.
    ///
    /// # Panics
    /// When the server does not answer.
    #[track_caller]
    pub fn metrics(&self, query: &str) -> String {
        http::get(&format!(
            "http://127.0.0.1:{}/metrics{query}",
            self.ports.metrics
        ))
        .expect("metrics answer")
    }

    /// All paths that the server knows; none if it does not answer.
    pub fn paths(&self) -> Vec<PathState> {
        let list = self.get("/v3/paths/list?itemsPerPage=1000");
        let items = list.ok().and_then(|list| list["items"].as_array().cloned());
        items
            .unwrap_or_default()
            .into_iter()
            .map(PathState)
            .collect()
    }

    /// State of a path, or `None` if the server does not know it.
    pub fn path(&self, name: &str) -> Option<PathState> {
        // Asked for a single path too early, the server writes an error into its log.
        self.paths().into_iter().find(|path| path.name() == name)
    }

    /// Whether a stream is available on a path.
    pub fn is_ready(&self, name: &str) -> bool {
        self.path(name).is_some_and(|path| path.ready())
    }

    /// Waits until a stream is available on a path and returns its state.
    ///
    /// # Panics
    /// When there is none within `timeout`; the message holds the server's log.
    #[track_caller]
    pub fn wait_ready(&self, name: &str, timeout: Duration) -> PathState {
        match poll(timeout, || self.path(name).filter(PathState::ready)) {
            Ok(state) => state,
            Err(waited) => {
                panic!(
                    "{name} is not ready after {waited:.1?}; MediaMTX wrote:\n{}",
                    self.process.output()
                )
            }
        }
    }

    /// Waits until the log says that a stream is available on a path, and returns when it first did.
    ///
    /// # Panics
    /// When it does not within `timeout`.
    #[track_caller]
    pub fn wait_available(&self, name: &str, timeout: Duration) -> Instant {
        let prefix = format!("[path {name}] stream is available");
        self.process.wait_for_line(&prefix, timeout).at
    }

    /// Waits until no stream is available on a path any more.
    ///
    /// # Panics
    /// When there still is one after `timeout`.
    #[track_caller]
    pub fn wait_gone(&self, name: &str, timeout: Duration) {
        wait_until(&format!("the end of {name}"), timeout, || {
            !self.is_ready(name)
        });
    }

    /// Waits until a path has at least `count` readers.
    ///
    /// # Panics
    /// When it has fewer after `timeout`.
    #[track_caller]
    pub fn wait_readers(&self, name: &str, count: usize, timeout: Duration) {
        wait_for(&format!("{count} readers of {name}"), timeout, || {
            self.path(name).filter(|path| path.readers() >= count)
        });
    }

    /// The items of a list of connections or sessions, for instance `rtmpconns` or `rtspsessions`.
    ///
    /// # Panics
    /// When the API does not answer.
    #[track_caller]
    pub fn connections(&self, kind: &str) -> Vec<Value> {
        let list = self
            .get(&format!("/v3/{kind}/list"))
            .expect("the API answers");
        list["items"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for MediaMtx {
    // Orderly, so that hooks in process groups of their own are told to end, too.
    fn drop(&mut self) {
        self.process.stop(Duration::from_secs(2));
    }
}

fn launch(binary: &Path, folder: &Path, environment: &[(String, String)]) -> Spawned {
    let mut command = Command::new(binary);
    command.arg("mediamtx.yml").current_dir(folder);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Spawned::start("mediamtx", command)
}

/// A path as the API describes it.
#[derive(Clone, Debug)]
pub struct PathState(pub Value);

impl PathState {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// Whether a stream is available.
    pub fn ready(&self) -> bool {
        self.0["ready"].as_bool().unwrap_or_default()
    }

    /// Codec names of its tracks, for instance `H264` and `MPEG-4 Audio`.
    pub fn tracks(&self) -> Vec<String> {
        let tracks = self.0["tracks"].as_array().cloned().unwrap_or_default();
        tracks
            .iter()
            .filter_map(|track| track.as_str().map(str::to_owned))
            .collect()
    }

    /// How many read it.
    pub fn readers(&self) -> usize {
        self.0["readers"].as_array().map_or(0, Vec::len)
    }

    /// Bytes received from its source.
    pub fn bytes_received(&self) -> u64 {
        self.0["bytesReceived"].as_u64().unwrap_or_default()
    }

    /// Kind (for instance `rtmpConn`) and id of its source.
    pub fn source(&self) -> (String, String) {
        let text = |key: &str| {
            self.0["source"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        (text("type"), text("id"))
    }
}
