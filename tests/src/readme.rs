//! The commands of the README, as a reader copies them.

use std::fs;
use std::process::Command;

use crate::binaries::repository;
use crate::processes::Spawned;

/// The fenced block marked `sh test=<name>` in README.md.
///
/// # Panics
/// When there is none, or more than one.
#[track_caller]
pub fn command(name: &str) -> String {
    block("sh", name)
}

/// The fenced block of some language that is marked `test=<name>` in README.md.
///
/// # Panics
/// When there is none, or more than one.
#[track_caller]
pub fn block(language: &str, name: &str) -> String {
    let text = fs::read_to_string(repository().join("README.md")).expect("there is a README.md");
    let mark = format!("```{language} test={name}");
    let mut blocks = vec![];
    let mut lines = text.lines();
    while lines.any(|line| line == mark) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    assert_eq!(
        blocks.len(),
        1,
        "README.md has {} blocks marked «{mark}»",
        blocks.len()
    );
    blocks.remove(0)
}

/// The command with the README's usual ports replaced by the ones a test's servers listen on.
///
/// # Panics
/// When it names a port that is not replaced.
#[track_caller]
pub fn with_ports(command: &str, ports: &[(u16, u16)]) -> String {
    let mut moved = command.to_owned();
    for (usual, actual) in ports {
        moved = moved.replace(
            &format!("localhost:{usual}/"),
            &format!("127.0.0.1:{actual}/"),
        );
    }
    assert!(
        !moved.contains("localhost:"),
        "this names a port that the test does not know: {moved}"
    );
    moved
}

/// Starts a command in a shell, on a machine without screen and loudspeaker.
#[track_caller]
pub fn start(name: &str, command: &str) -> Spawned {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(repository());
    shell
        .env("SDL_VIDEODRIVER", "dummy")
        .env("SDL_AUDIODRIVER", "dummy");
    // playbin tries these two before it settles for the fake one. Without a screen the second one crashes.
    shell.env(
        "GST_PLUGIN_FEATURE_RANK",
        "fakevideosink:MAX,fakeaudiosink:MAX,kmssink:NONE,dfbvideosink:NONE",
    );
    Spawned::start(name, shell)
}
