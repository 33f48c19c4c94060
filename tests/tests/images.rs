//! The container images without an engine: what the Dockerfile puts into them, run in roots with nothing else, with the
//! environment that the compose file gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use suite_tests::binaries::{delivered_binary, mediamtx, repository};
use suite_tests::clips::Clip;
use suite_tests::environment::text;
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::stack::{IN, OUT};
use suite_tests::waiting::wait_until;
use suite_tests::{http, ports};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
const BINARIES: &str = "usr/local/bin";
const STORE: &str = "var/lib/mtx-orchestrator";

/// A root folder, with the environment of the service in it.
struct Root {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Root {
    fn new(binaries: &[&str]) -> Self {
        let root = Self {
            folder: tempfile::tempdir().unwrap(),
            environment: vec![("PATH".to_owned(), format!("/{BINARIES}"))],
        };
        for binary in binaries {
            root.copy(&delivered_binary(binary), &format!("{BINARIES}/{binary}"));
        }
        let names = "127.0.0.1 localhost mediamtx orchestrator\n";
        for folder in ["etc", "proc", "dev"] {
            fs::create_dir(root.path(folder)).unwrap();
        }
        fs::write(root.path("etc/hosts"), names).unwrap();
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn copy(&self, from: &Path, to: &str) {
        fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        fs::copy(from, self.path(to)).unwrap();
    }

    fn set(&mut self, name: &str, value: String) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value));
    }

    fn command(&self, program: &str) -> Command {
        // Engines give a container these two. Seen from outside, the folders stay empty.
        let enter = r#"
for folder in proc dev; do /bin/mount --rbind "/$folder" "$0/$folder" || exit; done
exec /usr/sbin/chroot "$0" "$@"
"#;
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--map-root-user", "--mount", "/bin/sh", "-c", enter]);
        command.arg(self.folder.path()).arg(program).env_clear();
        command.envs(self.environment.iter().cloned());
        command
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.folder.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.insert(path.strip_prefix(self.folder.path()).unwrap().to_owned());
            }
        }
        found
    }
}

/// A service of the compose file.
fn service(name: &str) -> serde_yaml::Value {
    let mut config = Command::new("docker-compose");
    config.current_dir(repository());
    let output = config
        .args(["-f", "compose/docker-compose.yml", "config"])
        .output()
        .unwrap();
    let all: serde_yaml::Value = serde_yaml::from_slice(&output.stdout).unwrap();
    all["services"][name].clone()
}

/// Free ports in place of those that the files name.
struct Moved(BTreeMap<&'static str, u16>);

impl Moved {
    fn choose() -> Self {
        let usual = ["1935", "8554", "8888", "9997", "9998", "9996", "8080"];
        Self(usual.map(|port| (port, ports::tcp())).into())
    }

    fn port(&self, usual: &str) -> u16 {
        self.0[usual]
    }

    fn apply(&self, text: &str) -> String {
        let moved = |text: String, (usual, port): (&&str, &u16)| {
            text.replace(&format!(":{usual}"), &format!(":{port}"))
        };
        self.0.iter().fold(text.to_owned(), moved)
    }

    fn root(&self, name: &str, binaries: &[&str]) -> Root {
        let mut root = Root::new(binaries);
        let service = service(name);
        for (variable, value) in service["environment"].as_mapping().unwrap() {
            let value = value.as_str().unwrap_or_default();
            root.set(variable.as_str().unwrap(), self.apply(value));
        }
        root
    }

    /// MediaMTX's image, with this configuration.
    fn mediamtx(&self, configuration: &str) -> Root {
        let root = self.root("mediamtx", &["mtx-hook", "mtx-worker"]);
        root.copy(&mediamtx(), "mediamtx");
        fs::write(root.path("mediamtx.yml"), self.apply(configuration)).unwrap();
        root
    }

    fn assert_healthy(&self, name: &str, root: &Root) {
        let test = &service(name)["healthcheck"]["test"];
        let words: Vec<&str> = test
            .as_sequence()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let [_, program, arguments @ ..] = words.as_slice() else {
            panic!("no health check: {words:?}")
        };
        wait_until(&format!("{name} to be healthy"), SOON, || {
            let mut check = root.command(&format!("/{BINARIES}/{program}"));
            let arguments = arguments.iter().map(|word| self.apply(word));
            let output = check.args(arguments).output().unwrap();
            output.status.success() || {
                eprintln!("{}", text(&output));
                false
            }
        });
    }

    /// Publishes to /in, reads at /out.
    fn assert_passed_through(&self) -> Spawned {
        let url = |scheme: &str, port: &str, path: &str| {
            format!("{scheme}://127.0.0.1:{}/{path}", self.port(port))
        };
        let publisher = Clip::h264_aac().publish(&url("rtmp", "1935", IN));
        let list = format!("http://127.0.0.1:{}/v3/paths/list", self.port("9997"));
        wait_until("the stream at /out", SOON, || {
            http::get(&list).is_ok_and(|list| list.contains(OUT))
        });
        Reader::start(&url("rtsp", "8554", OUT)).collect(Kind::Video, 25, SOON);
        publisher
    }
}

fn configuration() -> String {
    fs::read_to_string(repository().join("mediamtx/mediamtx.yml")).unwrap()
}

#[test]
fn both_images_work_together_with_nothing_around_them_and_write_to_their_volume_only() {
    let moved = Moved::choose();
    let server = moved.mediamtx(&configuration());
    let orchestrator = moved.root(
        "orchestrator",
        &["mtx-hook", "mtx-worker", "mtx-orchestrator"],
    );
    fs::create_dir_all(orchestrator.path(STORE)).unwrap();
    let before = (server.files(), orchestrator.files());

    let _server = Spawned::start("mediamtx", server.command("/mediamtx"));
    let program = format!("/{BINARIES}/mtx-orchestrator");
    let process = Spawned::start("mtx-orchestrator", orchestrator.command(&program));
    moved.assert_healthy("mediamtx", &server);
    moved.assert_healthy("orchestrator", &orchestrator);
    let _publisher = moved.assert_passed_through();
    process.find_line(0, "the hook's event", SOON, |line| {
        let line: Value = serde_json::from_str(&line.text).unwrap_or_default();
        line["message"] == "event received" && line["event"] == "ready"
    });

    assert_eq!(before.0, server.files(), "its root may be read-only");
    let written = orchestrator.files();
    let mut written = written.difference(&before.1).peekable();
    assert!(written.peek().is_some(), "no store");
    assert!(written.all(|file| file.starts_with(STORE)));
}

#[test]
fn mediamtx_in_its_image_starts_the_workers_itself_when_told_so() {
    let moved = Moved::choose();
    let (direct, mut uncommented) = ("    # runOnAvailable", 0);
    let lines = configuration();
    let lines = lines.lines().filter_map(|line| {
        let orchestrated = line.contains(": mtx-hook ");
        if line.starts_with(direct) {
            uncommented += 1;
        }
        (!orchestrated).then(|| line.replace(direct, &direct.replace("# ", "")))
    });
    let configuration: Vec<String> = lines.collect();
    assert_eq!(uncommented, 2, "the lines of the other mode");
    let mut server = moved.mediamtx(&configuration.join("\n"));
    server.set("RTMP_PORT", moved.port("1935").to_string());
    let process = Spawned::start("mediamtx", server.command("/mediamtx"));
    moved.assert_healthy("mediamtx", &server);
    let _publisher = moved.assert_passed_through();
    process.wait_for_line(r#""state":"streaming""#, SOON);
}

/// A container engine's name server, and something to find: in a network of their own, where every name is 127.0.0.1.
/// Exits with what a health check by name, in the root named on the command line, exits with.
const NAMES: &str = r#"
import http.server, socket, subprocess, sys, threading

def serve_names(server):
    while True:
        query, client = server.recvfrom(512)
        question = query[12:query.index(b"\0", 12) + 5]
        ipv4 = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if ipv4 else b""
        counts = b"\0\1" + (b"\0\1" if ipv4 else b"\0\0") + b"\0\0\0\0"
        server.sendto(query[:2] + b"\x81\x80" + counts + question + answer, client)

class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.11", 53))
threading.Thread(target=serve_names, args=(names,), daemon=True).start()
web = http.server.HTTPServer(("127.0.0.1", 8080), Web)
threading.Thread(target=web.serve_forever, daemon=True).start()
check = ["/usr/sbin/chroot", sys.argv[1], "/usr/local/bin/mtx-hook", "check", "http://orchestrator:8080/"]
sys.exit(subprocess.run(check).returncode)
"#;

#[test]
fn services_are_found_by_the_names_that_an_engine_gives_them() {
    let root = Root::new(&["mtx-hook"]);
    fs::write(root.path("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(root.path("etc/resolv.conf"), "nameserver 127.0.0.11\n").unwrap();
    let mut check = Command::new("unshare");
    check.args(["--map-root-user", "--net", "sh", "-c"]);
    check.arg("ip link set lo up && exec /usr/bin/python3 -c \"$NAMES\" \"$0\"");
    check.arg(root.folder.path()).env("NAMES", NAMES);
    let output = check.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
