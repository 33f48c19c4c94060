//! `scripts/mediamtx`: how a machine comes by the pinned server, and by others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use suite_tests::binaries::{place_script, repository};
use suite_tests::environment::text;
use suite_tests::web::Web;
use tempfile::TempDir;

/// A machine with an empty cache, where building the server fails at once.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        machine.program("bin/go", "echo 'this Go is a stub' >&2; exit 1");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        place_script(&format!("#!/bin/sh\n{script}\n"), &path);
        path
    }

    /// An archive as releases have it, its server saying this version.
    fn archive(&self, version: &str) -> Vec<u8> {
        self.program("release/mediamtx", &format!("echo {version}"));
        let (archive, content) = (self.path("archive.tar.gz"), self.path("release"));
        let mut tar = Command::new("tar");
        tar.arg("-czf")
            .arg(&archive)
            .arg("-C")
            .arg(content)
            .arg("mediamtx");
        assert!(tar.status().unwrap().success());
        fs::read(archive).unwrap()
    }

    /// Writes the file of pinned checksums, as if they were those of `archive`.
    fn pin(&self, archive: &[u8]) {
        let file = self.path("pinned.tar.gz");
        fs::write(&file, archive).unwrap();
        let output = Command::new("sha256sum").arg(file).output().unwrap();
        let sum = text(&output);
        let sum = sum.split(' ').next().unwrap();
        fs::write(self.path("sums"), format!("{sum}  {}\n", archive_name())).unwrap();
    }

    fn command(&self, releases: &str) -> Command {
        let mut command = Command::new(repository().join("scripts/mediamtx"));
        let path = std::env::var("PATH").unwrap();
        command
            .env_remove("MEDIAMTX_BIN")
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("MEDIAMTX_RELEASES", releases)
            .env("MEDIAMTX_SHA256SUMS", self.path("sums"));
        command
    }

    fn cached(&self) -> PathBuf {
        self.path("cache/mtx-suite/mediamtx")
            .join(pinned())
            .join("mediamtx")
    }
}

fn pinned() -> String {
    let file = repository().join("mediamtx/server/VERSION");
    fs::read_to_string(file).unwrap().trim().to_owned()
}

fn archive_name() -> String {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("mediamtx_{}_linux_{machine}.tar.gz", pinned())
}

fn serve(archive: Vec<u8>) -> Web {
    let wanted = format!("GET /{}/{}", pinned(), archive_name());
    Web::start(move |request| {
        if request.target == wanted {
            (200, archive.clone())
        } else {
            (404, vec![])
        }
    })
}

#[track_caller]
fn assert_prints(output: &Output, path: &Path) {
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.trim(), path.to_string_lossy(), "{}", text(output));
    assert!(output.status.success());
}

#[test]
fn server_named_by_variable_is_taken_as_it_is() {
    let machine = Machine::new();
    let mine = machine.program("mine", "echo v0.0.1");
    let output = machine
        .command("http://localhost:1")
        .env("MEDIAMTX_BIN", &mine)
        .output()
        .unwrap();
    assert_prints(&output, &mine);
}

#[test]
fn server_on_path_is_taken_if_it_is_the_pinned_version() {
    let machine = Machine::new();
    let server = machine.program("bin/mediamtx", &format!("echo {}", pinned()));
    let output = machine.command("http://localhost:1").output().unwrap();
    assert_prints(&output, &server);
}

#[test]
fn release_with_the_pinned_checksum_is_installed_once() {
    let machine = Machine::new();
    let archive = machine.archive(&pinned());
    machine.pin(&archive);
    let web = serve(archive);
    // A server of another version on PATH is passed over, and so is a variable that names none.
    machine.program("bin/mediamtx", "echo v1.2.3");
    let output = machine
        .command(&web.url())
        .env("MEDIAMTX_BIN", "/no/such")
        .output()
        .unwrap();
    assert_prints(&output, &machine.cached());
    let said = text(&output);
    assert!(said.contains("/no/such is no executable file"), "{said}");
    assert!(
        said.contains(&format!("is v1.2.3, not {}", pinned())),
        "{said}"
    );

    let output = machine.command(&web.url()).output().unwrap();
    assert_prints(&output, &machine.cached());
    assert_eq!(web.requests().len(), 1, "the cache was not used");
}

#[test]
fn another_version_is_had_by_its_name_whatever_the_variable_says() {
    let machine = Machine::new();
    let mine = machine.program("mine", "echo v0.0.1");
    let server = machine.program("bin/mediamtx", "echo v1.14.0");
    let output = machine
        .command("http://localhost:1")
        .arg("v1.14.0")
        .env("MEDIAMTX_BIN", &mine)
        .output()
        .unwrap();
    assert_prints(&output, &server);
    let cached = machine.program(
        "cache/mtx-suite/mediamtx/v1.20.1/mediamtx",
        "echo it is not asked",
    );
    let output = machine
        .command("http://localhost:1")
        .arg("v1.20.1")
        .output()
        .unwrap();
    assert_prints(&output, &cached);
}

#[test]
fn what_is_no_version_is_refused() {
    let machine = Machine::new();
    for arguments in [&["1.14"][..], &["latest"], &["v1.14.0", "v1.20.1"]] {
        let mut command = machine.command("http://localhost:1");
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains("usage: scripts/mediamtx [VERSION]"));
    }
}

/// A Go that has this module, and says what is in git is its checksum.
const GO_WITH_MODULE: &str = r#"case "$1 $2" in
"mod download") printf '{\n\t"Dir": "%s",\n\t"Sum": "h1:%s"\n}\n' "$MODULE" "$SUM" ;;
*) echo "built with: $*" >&2; exit 1 ;;
esac"#;

#[test]
fn module_that_is_not_the_pinned_one_is_not_built() {
    let machine = Machine::new();
    machine.program("bin/go", GO_WITH_MODULE);
    fs::write(machine.path("sums"), "").unwrap();
    for (version, message) in [
        (
            "v1.14.0",
            "the Go module has the checksum h1:changed, not the pinned h1:4Dh54",
        ),
        (
            "v1.2.3",
            "/mediamtx/server/VERSIONS, which would be: v1.2.3 h1:changed",
        ),
    ] {
        let output = machine
            .command("http://localhost:1")
            .arg(version)
            .env("SUM", "changed")
            .output()
            .unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(message), "{said}");
        assert!(!said.contains("built with"), "{said}");
    }
}

#[test]
fn corrupted_release_is_refused() {
    let machine = Machine::new();
    let mut archive = machine.archive(&pinned());
    machine.pin(&archive);
    let last = archive.len() - 1;
    archive[last] ^= 1;
    let output = machine.command(&serve(archive).url()).output().unwrap();
    let said = text(&output);
    assert!(!output.status.success());
    assert!(
        said.contains("has the checksum ") && said.contains(", not the pinned "),
        "{said}"
    );
    assert!(
        said.contains("this Go is a stub"),
        "did not go on to the build: {said}"
    );
    assert!(!machine.cached().exists());
}

#[test]
fn release_that_does_not_run_as_the_pinned_version_is_refused() {
    let machine = Machine::new();
    let archive = machine.archive("v1.2.3");
    machine.pin(&archive);
    let output = machine.command(&serve(archive).url()).output().unwrap();
    let said = text(&output);
    assert!(said.contains("does not run here as"), "{said}");
    assert!(!machine.cached().exists());
}

#[test]
fn when_nothing_helps_the_message_says_what_to_install() {
    let machine = Machine::new();
    fs::write(machine.path("sums"), "").unwrap();
    let output = machine.command("http://localhost:1").output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no pinned checksum for"), "{said}");
    assert!(
        said.contains("go mod download: this Go is a stub"),
        "{said}"
    );
    for way_out in ["MEDIAMTX_BIN", "curl", "Go 1.26", "npm"] {
        assert!(said.contains(way_out), "{way_out} is not in: {said}");
    }
    let left: Vec<_> = fs::read_dir(machine.cached().parent().unwrap())
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "more than the lock is left: {left:?}");
}

#[test]
fn two_at_once_download_once() {
    let machine = Machine::new();
    let archive = machine.archive(&pinned());
    machine.pin(&archive);
    let web = serve(archive);
    let start = || {
        machine
            .command(&web.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()];
    for one in both {
        assert_prints(&one.wait_with_output().unwrap(), &machine.cached());
    }
    assert_eq!(web.requests().len(), 1);
}

#[test]
fn every_place_that_names_the_version_names_the_pinned_one() {
    let version = pinned();
    let tag = version.trim_start_matches('v');
    for (file, needle) in [
        ("mediamtx/server/VERSIONS", format!("\n{version} h1:")),
        (
            "mediamtx/server/SHA256SUMS",
            format!("  {}", archive_name()),
        ),
        (
            "compose/Dockerfile",
            format!("FROM bluenviron/mediamtx:{tag} AS mediamtx\n"),
        ),
        (
            "compose/docker-compose.yml",
            format!("image: mtx-suite/mediamtx:{tag}\n"),
        ),
    ] {
        let content = fs::read_to_string(repository().join(file)).unwrap();
        assert!(content.contains(&needle), "{file} does not name {version}");
    }
}
