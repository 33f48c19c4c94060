//! mtx-hook doctor as a user runs it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::binaries::suite_binary;
use crate::mediamtx::{Config, MediaMtx};

/// What doctor printed, and its exit code.
pub struct Visit {
    /// The exit code.
    pub exit: i32,
    /// Its stdout and its stderr.
    pub text: String,
}

impl Visit {
    /// Checks that a line begins so and says that.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn says(&self, start: &str, part: &str) {
        let mut lines = self.text.lines();
        let found = lines.any(|line| line.starts_with(start) && line.contains(part));
        assert!(found, "no «{start} … {part}» in\n{}", self.text);
    }

    /// Checks that nothing says that.
    ///
    /// # Panics
    /// When something does.
    #[track_caller]
    pub fn is_silent_about(&self, part: &str) {
        assert!(!self.text.contains(part), "{part} in\n{}", self.text);
    }
}

/// By hand, in an empty folder, with the suite's programs in PATH and these variables.
///
/// # Panics
/// When it does not start.
pub fn doctor(file: Option<&Path>, variables: &[(&str, &str)]) -> Visit {
    let folder = tempfile::tempdir().expect("a temp folder");
    doctor_in(folder.path(), file, variables)
}

/// Likewise in a folder that may have a file in it.
///
/// # Panics
/// When it does not start.
pub fn doctor_in(folder: &Path, file: Option<&Path>, variables: &[(&str, &str)]) -> Visit {
    let hook = suite_binary("mtx-hook");
    let mut command = Command::new(&hook);
    command.arg("doctor").args(file).env_clear();
    command.env("PATH", path_of_programs());
    // Where nobody is, whatever else runs on this machine.
    command.env("ORCHESTRATOR_URL", "http://127.0.0.1:1");
    command.envs(variables.iter().copied());
    command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
    let output = command.current_dir(folder).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    Visit {
        exit: output.status.code().expect("it exits by itself"),
        text: String::from_utf8(text).expect("text"),
    }
}

/// A PATH in which the suite's programs are.
///
/// # Panics
/// When they are not built.
pub fn path_of_programs() -> String {
    suite_binary("mtx-worker");
    let hook = suite_binary("mtx-hook");
    let folder = hook.parent().expect("it lies in a folder");
    format!("{}:/usr/bin:/bin", folder.display())
}

/// Starts a server with this configuration and has its file and itself looked at.
///
/// # Panics
/// When the server does not start.
#[track_caller]
pub fn examine(config: Config, variables: &[(&str, &str)]) -> (MediaMtx, Visit) {
    let server = MediaMtx::start(config);
    let rtmp = server.ports.rtmp.to_string();
    let variables = [&[("RTMP_PORT", rtmp.as_str())], variables].concat();
    let visit = doctor(Some(&server.file()), &variables);
    (server, visit)
}

/// A file with this content.
///
/// # Panics
/// When there is no place for it.
pub fn file(yaml: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temp file");
    fs::write(file.path(), yaml).expect("it is writable");
    file
}
