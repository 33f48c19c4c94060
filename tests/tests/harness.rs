//! The harness itself: what the other tests lean on.

use std::process::Command;
use std::time::Duration;

use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::processes::Spawned;
use suite_tests::{procfs, waiting};

#[test]
fn dropping_a_process_ends_everything_below_it() {
    let mut command = Command::new("sh");
    // setsid: as far away as a hook of MediaMTX, in a process group of its own.
    command.args(["-c", "setsid sleep 600 & echo $!; wait"]);
    let spawned = Spawned::start("shell", command);
    spawned.find_line(0, "a process id", Duration::from_secs(5), |line| {
        line.text.parse::<u32>().is_ok()
    });
    let below = waiting::wait_for("the sleep", Duration::from_secs(5), || {
        procfs::descendants(spawned.pid()).pop()
    });
    drop(spawned);
    waiting::wait_until("the end of the sleep", Duration::from_secs(5), || {
        procfs::command_line(below).is_none_or(|line| line.is_empty())
    });
}

#[test]
fn mediamtx_starts_and_starts_again_on_the_same_ports() {
    let mut server = MediaMtx::start(Config::default().path("live/test/in", "record: no"));
    assert!(server.path("live/test/in").is_none_or(|path| !path.ready()));
    server.stop();
    server.start_again();
    assert!(server.metrics("").contains("paths"));
}
