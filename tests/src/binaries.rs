//! Where the binaries under test and the real MediaMTX are.

use std::collections::HashMap;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use mediamtx::version::Version;

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the repository")
        .to_owned()
}

/// A binary of the suite: from `$MTX_BIN_DIR` if that is set, else freshly built with the profile and into the
/// target folder of the running test, so that no test ever judges a stale binary.
///
/// # Panics
/// When it does not exist or does not build.
#[track_caller]
pub fn suite_binary(name: &str) -> PathBuf {
    if let Some(folder) = env::var_os("MTX_BIN_DIR") {
        let path = repository().join(folder).join(name);
        assert!(path.is_file(), "no {} (MTX_BIN_DIR)", path.display());
        return path;
    }
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().expect("no build panicked");
    built
        .entry(name.to_owned())
        .or_insert_with(|| build(name))
        .clone()
}

fn build(name: &str) -> PathBuf {
    let folder = profile_folder();
    let mut cargo = cargo(name);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    run(cargo.arg("--target-dir").arg(target_folder()));
    folder.join(name)
}

/// Where the running test comes from: `debug` or `release` in cargo's target folder.
fn profile_folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let folder = test
        .ancestors()
        .find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
    folder
        .expect("tests run from cargo's target folder")
        .to_owned()
}

fn target_folder() -> PathBuf {
    profile_folder()
        .parent()
        .expect("the profile's folder has a parent")
        .to_owned()
}

fn cargo(name: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(repository())
        .args(["build", "--quiet", "--package", name, "--bin", name]);
    cargo
}

fn run(cargo: &mut Command) {
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "failed: {cargo:?}");
}

/// The real server: `$MEDIAMTX_BIN`, or what `scripts/mediamtx` prints.
///
/// # Panics
/// When neither yields an executable; the message holds what the script said.
pub fn mediamtx() -> PathBuf {
    match env::var_os("MEDIAMTX_BIN") {
        Some(path) => path.into(),
        None => mediamtx_from_script(None),
    }
}

/// A real server of this version, for instance `v1.14.0`.
///
/// # Panics
/// When `scripts/mediamtx` can't get it; the message holds what the script said.
pub fn mediamtx_of_version(version: &Version) -> PathBuf {
    mediamtx_from_script(Some(version))
}

fn mediamtx_from_script(version: Option<&Version>) -> PathBuf {
    static FOUND: LazyLock<Mutex<HashMap<Option<String>, PathBuf>>> = LazyLock::new(Mutex::default);
    let version = version.map(Version::to_string);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let get = |version: &Option<String>| {
        let mut script = Command::new(repository().join("scripts/mediamtx"));
        line_from(script.args(version))
    };
    let path = found.entry(version).or_insert_with_key(get);
    path.clone()
}

/// A server that is not MediaMTX, `go2rtc` or `lalserver`.
///
/// # Panics
/// When `scripts/other-servers` can't build it; the message holds what the script said.
#[track_caller]
pub fn other_server(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        line_from(&mut Command::new(
            repository().join("scripts/other-servers"),
        ))
    });
    FOLDER.join(name)
}

/// What one of the repository's scripts prints.
fn line_from(script: &mut Command) -> PathBuf {
    let output = script.output().expect("the script is executable");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script:?} failed: {said}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// A binary of the suite as it is delivered: what `make build` makes, statically linked.
///
/// # Panics
/// When it does not build.
#[track_caller]
pub fn delivered_binary(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> =
        LazyLock::new(|| line_from(&mut Command::new(repository().join("scripts/build"))));
    FOLDER.join(name)
}

/// Puts a program to a place of its own.
///
/// Another process copies it: a file that this one writes can't be run as long as a child that another test just forked
/// holds it open ("Text file busy").
///
/// # Panics
/// When it can't be copied.
#[track_caller]
pub fn place_program(from: &Path, to: &Path) {
    let status = Command::new("install")
        .args(["-D", "-m", "755"])
        .arg(from)
        .arg(to)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{} can't be placed",
        to.display()
    );
}

/// Likewise a script.
///
/// # Panics
/// When it can't be written.
#[track_caller]
pub fn place_script(text: &str, to: &Path) {
    let mut draft = tempfile::NamedTempFile::new().expect("a temp file");
    draft.write_all(text.as_bytes()).expect("it is writable");
    place_program(draft.path(), to);
}
