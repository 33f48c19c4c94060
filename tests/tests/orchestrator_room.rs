//! More streams than there is room for, and starts that are handed out fairly.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use suite_tests::clips::Clip;
use suite_tests::declared::Kept;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn streams_beyond_max_streams_say_so_and_start_when_there_is_room() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(&server, &["--max-streams", "1"]);
    let _first = Clip::h264_aac().publish(&server.rtsp("live/first/in"));
    orchestrator.wait_running("first", SOON);
    let _second = Clip::h264_aac().publish(&server.rtsp("live/second/in"));
    let blocked = orchestrator.wait_state("second", "blocked", SOON);
    let why = blocked["blocked"].as_str().unwrap_or_default();
    assert!(why.contains("--max-streams"), "{blocked}");
    assert_eq!(orchestrator.workers().len(), 1);
    orchestrator.command("first", "stop");
    orchestrator.wait_running("second", SOON);
    let second = orchestrator.stream("second").expect("it is known");
    assert!(second["blocked"].is_null(), "{second}");
    orchestrator.command("first", "start");
    orchestrator.wait_state("first", "blocked", SOON);
}

#[test]
fn cameras_that_are_dead_do_not_hold_up_one_that_is_not() {
    const DEAD: usize = 30;
    let kept = Kept::new();
    let orchestrator = kept.orchestrator_with(|command| {
        command
            .args(["--start-limit", "2", "--recovery", "immediate"])
            .args(["--breaker", "1000/1m"])
            .env("MTX_WORKER_RETRY", "none");
    });
    let nobody = format!("rtsp://127.0.0.1:{}/camera", ports::tcp());
    for number in 0..DEAD {
        kept.declare(&json!({ "id": format!("dead-{number}"), "source": nobody }));
    }
    let failing = |count: usize| {
        let streams = orchestrator.get("/v1/streams").unwrap_or_default();
        let streams = streams["streams"].as_array().cloned().unwrap_or_default();
        streams
            .iter()
            .filter(|it| !it["lastFailure"].is_null())
            .count()
            >= count
    };
    suite_tests::waiting::wait_until("failures of all dead cameras", 2 * SOON, || failing(DEAD));
    let _publisher = Clip::h264_aac().publish(&kept.server.rtsp("live/zoo/in"));
    kept.server.wait_ready("live/zoo/in", SOON);
    orchestrator.wait_running("zoo", Duration::from_secs(6));
}

#[test]
fn it_opens_as_many_files_as_it_may() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        #[expect(unsafe_code, reason = "only so the limit is that of the child alone")]
        // SAFETY: getrlimit and setrlimit are async-signal-safe and touch no memory of this process.
        unsafe {
            command.pre_exec(|| {
                let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
                Ok(setrlimit(Resource::RLIMIT_NOFILE, 100, hard)?)
            });
        }
    });
    let pid = orchestrator.process().pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<&str> = files.unwrap_or_default().split_whitespace().collect();
    assert_eq!(files.get(3), files.get(4), "{limits}");
    assert_ne!(files.get(3), Some(&"100"), "{limits}");
}
