//! The binaries as they are handed out, in a root folder with nothing else: what MediaMTX's container image is.

use std::fs;
use std::process::{Command, Output};

use nix::unistd::geteuid;
use suite_tests::binaries::{delivered_binary, place_program};
use suite_tests::environment::text;
use suite_tests::web::Web;
use tempfile::TempDir;

const BINARIES: [&str; 4] = [
    "mtx-hook",
    "mtx-lifecycle",
    "mtx-worker",
    "mtx-orchestrator",
];

/// An empty root with one binary, and the file that name lookup reads.
struct Root {
    folder: TempDir,
    binary: &'static str,
}

impl Root {
    fn with(binary: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        place_program(&delivered_binary(binary), &folder.path().join(binary));
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        Self { folder, binary }
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        // Root may change the root folder; others may in a user namespace of their own.
        let mut command = if geteuid().is_root() {
            Command::new("chroot")
        } else {
            let mut unshare = Command::new("unshare");
            unshare.args(["--map-root-user", "chroot"]);
            unshare
        };
        command
            .arg(self.folder.path())
            .arg(format!("/{}", self.binary))
            .args(arguments);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(environment.iter().copied()).output().unwrap()
    }
}

#[test]
fn each_binary_runs_with_nothing_around_it() {
    for binary in BINARIES {
        let output = Root::with(binary).run(&["--version"], &[]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(
            text(&output).starts_with(&format!("{binary} ")),
            "{}",
            text(&output)
        );
    }
}

#[test]
fn hook_in_an_empty_root_reaches_a_receiver_by_name() {
    let receiver = Web::start(|_| (204, vec![]));
    let url = receiver.url();
    assert!(url.starts_with("http://localhost:"));
    let environment = [
        ("ORCHESTRATOR_URL", url.as_str()),
        ("MTX_PATH", "live/test/in"),
        ("MTX_QUERY", "lang%3Des"),
        ("MTX_SOURCE_TYPE", "rtmpConn"),
        ("MTX_SOURCE_ID", "5f2c"),
        ("RTSP_PORT", "8554"),
    ];
    let output = Root::with("mtx-hook").run(&["ready"], &environment);
    assert!(output.status.success(), "{}", text(&output));
    let requests = receiver.requests();
    assert_eq!(requests[0].target, "POST /v1/mediamtx/events/ready");
    assert!(
        requests[0].body.contains("\"path\":\"live/test/in\""),
        "{}",
        requests[0].body
    );
}

#[test]
fn health_check_of_the_container_tells_up_from_down() {
    let server = Web::start(|_| (200, vec![]));
    let root = Root::with("mtx-hook");
    let up = root.run(&["check", &format!("{}/v3/paths/list", server.url())], &[]);
    assert_eq!(up.status.code(), Some(0), "{}", text(&up));
    let down = root.run(&["check", "http://localhost:1/v3/paths/list"], &[]);
    assert_eq!(down.status.code(), Some(1), "{}", text(&down));
}

#[test]
fn worker_in_an_empty_root_says_what_is_wrong_instead_of_crashing() {
    let output = Root::with("mtx-worker").run(&[], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}
