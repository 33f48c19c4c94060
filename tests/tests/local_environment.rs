//! `make dev`, `ps`, `logs`, `demo`, `down`: what a developer does first.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite_tests::binaries::{place_program, place_script, suite_binary};
use suite_tests::clips::Clip;
use suite_tests::environment::{Environment, SERVICES, text};
use suite_tests::http;
use suite_tests::waiting::wait_until;

const HEALTHY: Duration = Duration::from_secs(30);
const STOPPED: Duration = Duration::from_secs(10);

#[test]
fn test_local_environment_startup() {
    let environment = Environment::choose();
    let begin = Instant::now();
    environment.make_well("dev");
    assert!(begin.elapsed() < HEALTHY, "took {:?}", begin.elapsed());

    let listed = environment.make_well("ps");
    for service in ["mediamtx", "orchestrator"] {
        let line = listed.lines().find(|line| line.starts_with(service));
        assert!(
            line.is_some_and(|line| line.contains(" healthy ")),
            "{listed}"
        );
    }
    assert!(listed.contains("no streams"), "{listed}");

    let _publisher = Clip::h264_aac().publish(&format!(
        "rtmp://localhost:{}/live/test/in",
        environment.port("RTMP")
    ));
    let paths = format!("http://localhost:{}/v3/paths/list", environment.port("API"));
    wait_until("the stream in the list of paths", HEALTHY, || {
        http::get(&paths).is_ok_and(|list| list.contains("\"live/test/in\""))
    });
    let metrics = format!("http://localhost:{}/metrics", environment.port("METRICS"));
    assert!(http::get(&metrics).is_ok_and(|metrics| metrics.contains("live/test/in")));
    wait_until("the stream in make ps", HEALTHY, || {
        row(&environment, "test").starts_with(&["running".into()])
    });
    let logs = environment.make_well("logs");
    for (service, message) in [
        ("mediamtx", "is publishing to path 'live/test/in'"),
        ("mediamtx", r#""message":"ready event delivered""#),
        ("orchestrator", r#""message":"event received""#),
        ("orchestrator", r#""message":"worker: streaming""#),
    ] {
        let said = |line: &&str| line.starts_with(&format!("{service} ")) && line.contains(message);
        assert!(logs.lines().find(said).is_some(), "{message}: {logs}");
    }

    let begin = Instant::now();
    environment.make_well("down");
    assert!(begin.elapsed() < STOPPED, "took {:?}", begin.elapsed());
    assert_eq!(environment.processes(), Vec::<String>::new());
    for service in SERVICES {
        let port = environment.port(service);
        assert!(
            TcpListener::bind(("127.0.0.1", port)).is_ok(),
            "{service} is still there"
        );
    }
}

#[test]
fn second_make_dev_changes_nothing() {
    let environment = Environment::choose();
    environment.make_well("dev");
    let services = ["mediamtx", "orchestrator"];
    let ids = || services.map(|service| pid_file(&environment, service));
    let first = ids();
    let said = environment.make_well("dev");
    for service in services {
        let running = format!("{service} is running already");
        assert!(said.contains(&running), "{said}");
    }
    assert_eq!(first, ids());
}

#[test]
fn make_dev_starts_what_is_missing() {
    let environment = Environment::choose();
    environment.make_well("dev");
    let ids = |service| pid_file(&environment, service);
    let (server, killed) = (ids("mediamtx"), ids("orchestrator"));
    let pid = killed.split(' ').next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_until("the end of the orchestrator", HEALTHY, || {
        let listed = text(&environment.make("ps"));
        listed
            .lines()
            .any(|line| line.starts_with("orchestrator") && line.contains(" ended "))
    });
    environment.make_well("dev");
    assert_eq!(server, ids("mediamtx"));
    assert_ne!(killed, ids("orchestrator"));
}

#[test]
fn a_token_guards_the_stack_which_goes_on_working() {
    const TOKEN: &str = "hunter2-stack";
    let mut environment = Environment::choose();
    environment.set("ORCHESTRATOR_TOKEN", TOKEN);
    environment.make_well("dev");
    let url = format!(
        "http://localhost:{}/v1/streams",
        environment.port("ORCHESTRATOR")
    );
    assert!(http::get(&url).is_err(), "anybody may look");
    let _publisher = Clip::h264_aac().publish(&format!(
        "rtmp://localhost:{}/live/test/in",
        environment.port("RTMP")
    ));
    wait_until("the stream in make ps", HEALTHY, || {
        row(&environment, "test").starts_with(&["running".into()])
    });
    let logs = environment.make_well("logs");
    assert!(logs.contains("ready event delivered"), "{logs}");
    assert!(!logs.contains(TOKEN), "{logs}");
    let pid = fs::read_to_string(environment.folder().join("mediamtx.pid")).unwrap();
    let pid = pid.split_whitespace().next().unwrap();
    let variables = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let variables = String::from_utf8_lossy(&variables);
    assert!(
        variables.contains("\0ORCHESTRATOR_TOKEN=") && !variables.contains(TOKEN),
        "the hooks' token"
    );
}

#[test]
fn declared_streams_are_there_again_after_down_and_dev() {
    let environment = Environment::choose();
    environment.make_well("dev");
    let url = format!(
        "http://localhost:{}/v1/streams",
        environment.port("ORCHESTRATOR")
    );
    let source = format!("rtsp://localhost:{}/camera", environment.port("RTSP"));
    let stream = format!(r#"{{"id":"camera-1","name":"\"{{Hall\"","source":"{source}"}}"#);
    http::post_json(&url, &stream).unwrap();
    environment.make_well("down");
    environment.make_well("dev");
    wait_until("the stream in make ps", HEALTHY, || {
        !row(&environment, "camera-1").is_empty()
    });
}

fn pid_file(environment: &Environment, service: &str) -> String {
    fs::read_to_string(environment.folder().join(format!("{service}.pid"))).unwrap()
}

/// What `make ps` says of a stream, behind its name.
fn row(environment: &Environment, stream: &str) -> Vec<String> {
    let listed = text(&environment.make("ps"));
    let mut rows = listed.lines().map(str::split_whitespace);
    let row = rows.find_map(|mut row| (row.next() == Some(stream)).then(|| row.collect()));
    row.map(|row: Vec<&str>| row.into_iter().map(str::to_owned).collect())
        .unwrap_or_default()
}

#[test]
fn taken_port_is_named_with_the_way_out() {
    let environment = Environment::choose();
    let port = environment.port("RTMP");
    let _holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = environment.make("dev");
    let said = text(&output);
    assert!(!output.status.success());
    assert!(
        said.contains(&format!("port {port} (RTMP) is taken by ")),
        "{said}"
    );
    assert!(
        said.contains(&format!("(process {})", std::process::id())),
        "{said}"
    );
    assert!(said.contains("make dev RTMP_PORT="), "{said}");
    assert_eq!(environment.processes(), Vec::<String>::new());
}

#[test]
fn server_that_does_not_start_shows_its_reason() {
    let mut environment = Environment::choose();
    environment.set("MTX_READTIMEOUT", "nonsense");
    let output = environment.make("dev");
    let said = text(&output);
    assert!(!output.status.success());
    assert!(
        said.contains("MTX_READTIMEOUT") && said.contains("mediamtx ended"),
        "{said}"
    );
}

#[test]
fn demo_shows_the_stream_at_out_and_down_ends_all_of_it() {
    let environment = Environment::choose();
    let said = environment.make_well("demo");
    assert!(
        said.contains("codec_name=h264") && said.contains("width=1280"),
        "{said}"
    );
    assert!(said.contains("codec_name=aac"), "{said}");
    assert!(
        said.contains("ffplay -rtsp_transport tcp rtsp://localhost:"),
        "{said}"
    );
    let dashboard = format!("http://localhost:{}/\n", environment.port("ORCHESTRATOR"));
    assert!(said.contains(&dashboard), "{said}");
    let listed = environment.make_well("ps");
    assert!(listed.contains("publisher"), "{listed}");
    wait_until("all columns of the stream", HEALTHY, || {
        let row = row(&environment, "test");
        // State, frames a second, bit rate with its unit, restarts, readers.
        row.len() == 6
            && row[0] == "running"
            && row[1].parse::<f64>().is_ok_and(|fps| fps > 25.0)
            && row[2].parse::<f64>().is_ok_and(|megabits| megabits > 0.5)
            && row[4] == "0"
    });
    // Both services, the worker and the publisher.
    assert!(
        environment.processes().len() >= 4,
        "{:?}",
        environment.processes()
    );

    environment.make_well("down");
    assert_eq!(environment.processes(), Vec::<String>::new());
}

#[test]
fn process_that_got_a_recycled_id_is_left_alone() {
    let environment = Environment::choose();
    let mut stranger = Command::new("sleep")
        .arg("60")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // The id is right, the start time is not: the service died and its id went to another process.
    fs::write(
        environment.folder().join("mediamtx.pid"),
        format!("{} 1\n", stranger.id()),
    )
    .unwrap();
    environment.make_well("down");
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "a stranger was killed"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn hooks_and_workers_that_ignore_every_signal_do_not_survive_down() {
    let mut environment = Environment::choose();
    let deaf = tempfile::tempdir().unwrap();
    for name in ["mtx-hook", "mtx-worker"] {
        let program = deaf.path().join(name);
        let script = "#!/bin/sh\ntrap '' INT TERM\nwhile :; do sleep 1; done\n";
        place_script(script, &program);
    }
    let orchestrator = deaf.path().join("mtx-orchestrator");
    place_program(&suite_binary("mtx-orchestrator"), &orchestrator);
    environment.set("MTX_BIN_DIR", &deaf.path().to_string_lossy());
    environment.make_well("dev");
    let _publisher = Clip::h264_aac().publish(&format!(
        "rtsp://localhost:{}/live/deaf/in",
        environment.port("RTSP")
    ));
    for name in ["mtx-hook", "mtx-worker"] {
        wait_until(name, HEALTHY, || {
            let processes = environment.processes();
            processes.iter().any(|line| line.contains(name))
        });
    }
    let begin = Instant::now();
    environment.make_well("down");
    assert!(begin.elapsed() < STOPPED, "took {:?}", begin.elapsed());
    assert_eq!(environment.processes(), Vec::<String>::new());
}
