//! `make dev`, `ps`, `logs`, `demo`, `down`: what a developer does first.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use suite_tests::clips::Clip;
use suite_tests::environment::{Environment, text};
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
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with("mediamtx") && line.contains(" healthy ")),
        "{listed}"
    );

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
    let logs = environment.make_well("logs");
    assert!(
        logs.contains("is publishing to path 'live/test/in'"),
        "{logs}"
    );

    let begin = Instant::now();
    environment.make_well("down");
    assert!(begin.elapsed() < STOPPED, "took {:?}", begin.elapsed());
    assert_eq!(environment.processes(), Vec::<String>::new());
    for service in ["RTMP", "RTSP", "API", "METRICS", "PLAYBACK"] {
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
    let first = fs::read_to_string(environment.folder().join("mediamtx.pid")).unwrap();
    let said = environment.make_well("dev");
    assert!(said.contains("mediamtx is running already"), "{said}");
    let second = fs::read_to_string(environment.folder().join("mediamtx.pid")).unwrap();
    assert_eq!(first, second);
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
    let listed = environment.make_well("ps");
    assert!(listed.contains("publisher"), "{listed}");
    assert!(
        environment.processes().len() >= 3,
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
fn hook_that_ignores_every_signal_does_not_survive_down() {
    let mut environment = Environment::choose();
    let deaf = tempfile::tempdir().unwrap();
    let hook = deaf.path().join("mtx-worker");
    fs::write(
        &hook,
        "#!/bin/sh\ntrap '' INT TERM\nwhile :; do sleep 1; done\n",
    )
    .unwrap();
    Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    environment.set("MTX_BIN_DIR", &deaf.path().to_string_lossy());
    environment.make_well("dev");
    let _publisher = Clip::h264_aac().publish(&format!(
        "rtsp://localhost:{}/live/deaf/in",
        environment.port("RTSP")
    ));
    wait_until("the hook", HEALTHY, || {
        environment
            .processes()
            .iter()
            .any(|line| line.contains("mtx-worker"))
    });
    let begin = Instant::now();
    environment.make_well("down");
    assert!(begin.elapsed() < STOPPED, "took {:?}", begin.elapsed());
    assert_eq!(environment.processes(), Vec::<String>::new());
}
