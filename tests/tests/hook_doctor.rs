//! mtx-hook doctor over configurations that a real server runs with, and over files that none would.

use std::fs;
use std::path::Path;
use std::time::Duration;

use suite_tests::certificates::Certificate;
use suite_tests::doctor::{doctor, examine, file, path_of_programs};
use suite_tests::mediamtx::{Config, MediaMtx, Ports};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;
use suite_tests::receiver::{Answer, Receiver};

const SOON: Duration = Duration::from_secs(20);
const INGEST: &str = "~^live/([a-z]+)/in$";
const RESULT: &str = "~^live/([a-z]+)/out$";
const WORKER: &str = "runOnAvailable: mtx-worker\nrunOnAvailableRestart: yes";

#[test]
fn a_clean_configuration_is_one_line_and_exit_code_0() {
    let config = Config::default().path(INGEST, WORKER).path(
        RESULT,
        "overridePublisher: no\nrecord: yes\nrecordDeleteAfter: 7d",
    );
    let (server, visit) = examine(config, &[]);
    assert_eq!(
        (visit.exit, visit.text.lines().count()),
        (0, 1),
        "{}",
        visit.text
    );
    visit.says("ok: looked at ", &server.file().display().to_string());
    visit.says(
        "ok: looked at ",
        &format!(
            "the server at http://127.0.0.1:{} (v1.19.3)",
            server.ports.api
        ),
    );
}

#[test]
fn what_is_wrong_with_hooks_is_said_with_what_to_write() {
    let config = Config::default()
        .path("typo", "runOnAvailable: mtx-hok ready")
        .path(
            "gone",
            "runOnAvailable: /nowhere/mtx-worker --output rtmp://h/a/b",
        )
        .path("data", "runOnRead: /etc/passwd")
        .path("home", "runOnRead: ~/bin/notify")
        .path("shell", "runOnAvailable: mtx-hook ready | tee log")
        .path("quote", "runOnRead: mtx-hook read 'x")
        .path("variable", "runOnRead: KEY=hunter2 mtx-hook read")
        .path("event", "runOnUnavailable: mtx-hook ready")
        .path("usage", "runOnRead: mtx-hook reed")
        .path("cam1", "runOnAvailable: mtx-worker")
        .path("late", "runOnUnavailable: mtx-worker --output rtmp://h/a/b")
        .path(
            "old",
            "runOnReady: mtx-hook ready\nrunOnAvailable: mtx-hook ready",
        )
        .path("fine", "runOnRead: sh -c 'mtx-hook read | cat > /dev/null'");
    let (_server, visit) = examine(config, &[]);
    assert_eq!(visit.exit, 1, "{}", visit.text);
    for (start, part) in [
        (
            "warning: typo: runOnAvailable:",
            "mtx-hok is in no folder of PATH",
        ),
        ("note: PATH is that of this environment", "/usr/bin"),
        (
            "error: gone: runOnAvailable:",
            "there is no /nowhere/mtx-worker",
        ),
        ("error: data: runOnRead:", "chmod +x /etc/passwd"),
        ("error: home: runOnRead:", "write the whole path"),
        ("error: shell: runOnAvailable:", "sh -c"),
        ("error: quote: runOnRead:", "without its end"),
        ("error: variable: runOnRead:", "assignment of KEY"),
        (
            "warning: event: runOnUnavailable:",
            "write mtx-hook not-ready",
        ),
        ("error: usage: runOnRead:", "write mtx-hook read"),
        ("error: cam1: runOnAvailable:", "add --output rtmp://"),
        (
            "warning: cam1: runOnAvailable:",
            "add runOnAvailableRestart: yes",
        ),
        ("error: late: runOnUnavailable:", "in runOnAvailable"),
        (
            "warning: old: runOnReady:",
            "silently beats the runOnAvailable beside it: write runOnAvailable",
        ),
    ] {
        visit.says(start, part);
    }
    visit.is_silent_about(": fine: ");
    visit.is_silent_about("hunter2");
    visit.is_silent_about("running server: ");
}

#[test]
fn what_is_off_or_shut_is_said() {
    let (_, visit) = examine(
        Config::default().path(INGEST, WORKER).global("rtsp: no"),
        &[],
    );
    visit.says("error: rtsp:", "write rtsp: yes");
    let (_, visit) = examine(
        Config::default().path(INGEST, WORKER).global("rtmp: no"),
        &[],
    );
    visit.says("error: rtmp:", "write rtmp: yes");
    // Nobody here publishes to the server itself.
    let elsewhere = "runOnAvailable: mtx-worker --output rtmp://h/a/b\nrunOnAvailableRestart: yes";
    let (_, visit) = examine(
        Config::default().path("cam", elsewhere).global("rtmp: no"),
        &[],
    );
    assert_eq!(visit.exit, 0, "{}", visit.text);
    let udp = Config::default()
        .path(INGEST, WORKER)
        .global("rtspTransports: [udp]");
    examine(udp, &[])
        .1
        .says("warning: rtspTransports:", "add tcp");
    let over_udp = WORKER.replace("mtx-worker", "mtx-worker --transport udp");
    let tcp = Config::default()
        .path(INGEST, &over_udp)
        .global("rtspTransports: [tcp]");
    let (_, visit) = examine(tcp, &[]);
    assert_eq!(visit.exit, 1, "{}", visit.text);
    visit.says("error: rtspTransports:", "add udp");
    let strict = Config::default()
        .path(INGEST, WORKER)
        .rtmps(Certificate::generate());
    let strict = file_of(strict).replace(
        "rtmpEncryption: optional",
        "rtmpEncryption: strict\nrtspEncryption: strict",
    );
    let visit = doctor(Some(file(&strict).path()), &[]);
    visit.says("error: rtmpEncryption:", "--output rtmps://localhost:");
    visit.says("error: rtspEncryption:", "--input rtsps://localhost:");
}

/// The file of a server that is gone.
fn file_of(config: Config) -> String {
    let server = MediaMtx::start(config);
    fs::read_to_string(server.file()).expect("it is there")
}

#[test]
fn ports_that_nobody_was_told_of_are_said() {
    let server = MediaMtx::start(Config::default().path(INGEST, WORKER));
    let visit = doctor(Some(&server.file()), &[]);
    let port = server.ports.rtmp;
    visit.says(
        "warning: rtmpAddress:",
        &format!("set RTMP_PORT={port} for the server"),
    );

    // As long as nobody answers, mtx-orchestrator may be about to be started.
    let url = format!("http://127.0.0.1:{}", ports::tcp());
    let orchestrated = Config::default().path(INGEST, "runOnAvailable: mtx-hook ready");
    let (server, visit) = examine(orchestrated, &[("ORCHESTRATOR_URL", &url)]);
    let rtsp = format!("MEDIAMTX_RTSP_URL=rtsp://127.0.0.1:{}", server.ports.rtsp);
    visit.says("warning: rtspAddress:", &rtsp);
    visit.says("warning: rtmpAddress:", "MEDIAMTX_RTMP_URL=");
    let (rtsp, rtmp) = (server.rtsp(""), server.rtmp(""));
    let told = [
        ("ORCHESTRATOR_URL", url),
        ("MEDIAMTX_RTSP_URL", rtsp),
        ("MEDIAMTX_RTMP_URL", rtmp),
    ];
    let told: Vec<_> = told
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    doctor(Some(&server.file()), &told).is_silent_about("Address:");
}

#[test]
fn defaults_of_results_and_recordings_are_said() {
    let config = Config::default()
        .path("cam/out", "")
        .path("tape", "record: yes")
        .path("kept", "record: yes\nrecordDeleteAfter: 1d");
    let (server, visit) = examine(config, &[]);
    assert_eq!(visit.exit, 0, "{}", visit.text);
    visit.says(
        "warning: cam/out: overridePublisher:",
        "write overridePublisher: no",
    );
    visit.says("warning: tape: recordDeleteAfter:", "after a day");
    visit.is_silent_about("kept");
    visit.says("0 errors, 2 warnings; looked at ", "");
    // Without the file, over the API alone.
    let visit = doctor(None, &[("MEDIAMTX_API_URL", &server.api(""))]);
    visit.says(
        "warning: cam/out: overridePublisher:",
        "write overridePublisher: no",
    );
}

#[test]
fn old_and_new_names_of_a_hook_and_its_restart_go_together() {
    for (hook, restart) in [
        ("runOnReady", "runOnAvailableRestart"),
        ("runOnAvailable", "runOnReadyRestart"),
    ] {
        let settings = |flag: &str| format!("{hook}: mtx-worker\n{restart}: {flag}");
        let (server, visit) = examine(Config::default().path("cam/in", &settings("yes")), &[]);
        visit.is_silent_about("started again");
        let taken = server.get("/v3/config/paths/get/cam/in");
        assert_eq!(taken.unwrap()["runOnAvailableRestart"], true);
        let (_, visit) = examine(Config::default().path("cam/in", &settings("no")), &[]);
        visit.says(&format!("warning: cam/in: {hook}:"), "not started again");
    }
}

#[test]
fn an_orchestrator_that_is_not_there_is_said() {
    let url = format!("http://127.0.0.1:{}", ports::tcp());
    let config = || Config::default().path(INGEST, "runOnAvailable: mtx-hook ready");
    let (server, visit) = examine(config(), &[("ORCHESTRATOR_URL", &url)]);
    // By hand, the server's own ORCHESTRATOR_URL is not known.
    let silent = format!("{url}/healthz does not answer (Connection refused");
    visit.says("warning: ORCHESTRATOR_URL:", &silent);
    assert_eq!(visit.exit, 0, "{}", visit.text);
    let in_line = format!("runOnAvailable: mtx-hook ready --orchestrator-url {url}");
    let (_own, visit) = examine(Config::default().path("cam", &in_line), &[]);
    visit.says("error: cam: runOnAvailable:", &silent);
    let config = config()
        .env("ORCHESTRATOR_URL", &url)
        .env("PATH", path_of_programs())
        .path("init", "runOnInit: mtx-hook doctor");
    let started = MediaMtx::start(config);
    let line = format!("error: ORCHESTRATOR_URL: events are lost, {silent}");
    started.process().wait_for_line(&line, SOON);
    let sick = Receiver::start(Answer::Status(503));
    let visit = doctor(Some(&server.file()), &[("ORCHESTRATOR_URL", &sick.url())]);
    visit.says("warning: ORCHESTRATOR_URL:", "answers 503");
}

#[test]
fn an_orchestrator_that_wants_another_token_loses_events_and_one_that_runs_has_its_ports() {
    let hook = "runOnAvailable: mtx-hook ready";
    let config = || {
        let doctor = Config::default().path("init", "runOnInit: mtx-hook doctor");
        doctor.path("cam", hook).env("PATH", path_of_programs())
    };
    let server = MediaMtx::start(config());
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        command.args(["--route", "cam => {path}/out"]);
        command.env("ORCHESTRATOR_TOKEN", "s3cret-token");
        command.env("ORCHESTRATOR_EVENTS_TOKEN", "token-of-hooks");
    });
    let url = orchestrator.url();
    for (token, part) in [
        (None, "set ORCHESTRATOR_TOKEN"),
        (Some("wr0ng-token"), "is not its token"),
    ] {
        let mut variables = vec![("ORCHESTRATOR_URL", url.as_str())];
        variables.extend(token.map(|token| ("ORCHESTRATOR_TOKEN", token)));
        let by_hand = doctor(Some(&server.file()), &variables);
        assert_eq!(by_hand.exit, 0, "{}", by_hand.text);
        by_hand.says("warning: ORCHESTRATOR_URL: events are lost if ", part);
        by_hand.says("warning: ORCHESTRATOR_URL: ", "in this environment");
        by_hand.is_silent_about("wr0ng");
        let variables = variables.iter();
        let hooked = variables.fold(config(), |config, (name, value)| config.env(name, *value));
        let hooked = MediaMtx::start(hooked);
        let line = "error: ORCHESTRATOR_URL: events are lost, ";
        let line = hooked.process().wait_for_line(line, SOON).text;
        assert!(
            line.contains("answers 401") && line.contains(part),
            "{line}"
        );
        assert!(line.contains("the server's environment"), "{line}");
        hooked.process().wait_for_line("1 error, ", SOON);
    }
    let routes = "not checked: whether each path has a route: ";
    for (token, knows_routes) in [("s3cret-token", true), ("token-of-hooks", false)] {
        let known = [
            ("ORCHESTRATOR_URL", url.as_str()),
            ("ORCHESTRATOR_TOKEN", token),
        ];
        let visit = doctor(Some(&server.file()), &known);
        visit.is_silent_about("Address:");
        visit.is_silent_about("events are lost");
        for protocol in ["RTSP", "RTMP"] {
            let variable = format!("MEDIAMTX_{protocol}_URL=");
            visit.says(
                "not checked: whether mtx-orchestrator was given ",
                &variable,
            );
        }
        assert_eq!(!visit.text.contains(routes), knows_routes, "{}", visit.text);
    }
}

#[test]
fn an_api_that_is_off_is_said() {
    let direct = file(&format!(
        "paths:\n  '{INGEST}': {{runOnAvailable: mtx-worker, runOnAvailableRestart: yes}}"
    ));
    let visit = doctor(Some(direct.path()), &[]);
    assert_eq!(visit.exit, 0, "{}", visit.text);
    visit.says("warning: api:", "write api: yes");
    visit.says("not checked: the running server:", "off");
    let lifecycle = file("paths:\n  init: {runOnInit: /bin/mtx-lifecycle reconcile}");
    let visit = doctor(Some(lifecycle.path()), &[]);
    visit.says("error: api:", "write api: yes");
}

#[test]
fn a_server_that_does_not_run_and_a_file_that_is_none_are_said() {
    let api = format!("api: yes\napiAddress: 127.0.0.1:{}", ports::tcp());
    let visit = doctor(Some(file(&api).path()), &[]);
    assert_eq!(visit.exit, 0, "{}", visit.text);
    visit.says("not checked: the running server:", "set MEDIAMTX_API_URL");
    let port = ports::tcp();
    let visit = doctor(
        Some(file("paths: {a: {").path()),
        &[("MEDIAMTX_API_URL", &format!("http://127.0.0.1:{port}"))],
    );
    assert_eq!(visit.exit, 1, "{}", visit.text);
    visit.says("error: ", "MediaMTX cannot read it: ");
    let visit = doctor(Some(Path::new("/nowhere/mediamtx.yml")), &[]);
    assert_eq!(visit.exit, 2, "{}", visit.text);
    visit.says("mtx-hook doctor: /nowhere/mediamtx.yml", "No such file");
}

#[test]
fn what_the_server_has_and_the_file_has_not_is_told_apart() {
    let server = MediaMtx::start(
        Config::default()
            .path(INGEST, WORKER)
            .path("cam", "runOnRead: mtx-nothing"),
    );
    let rtmp = server.ports.rtmp.to_string();
    let text = fs::read_to_string(server.file()).expect("it is there");
    let edited = file(&text.replace("mtx-nothing", "mtx-hook read"));
    let visit = doctor(Some(edited.path()), &[("RTMP_PORT", &rtmp)]);
    visit.says("warning: running server: cam: runOnRead:", "mtx-nothing");
}

#[test]
fn as_a_hook_it_sees_the_servers_environment_and_its_file() {
    let ports = Ports::choose();
    let config = Config::default()
        .env("PATH", path_of_programs())
        .env("MTX_PATHDEFAULTS_RECORD", "yes")
        .path(INGEST, WORKER)
        .path("init", "runOnInit: mtx-hook doctor");
    let server = MediaMtx::start_on(ports, config);
    let log = server.process();
    log.wait_for_line("warning: init: recordDeleteAfter: ", SOON);
    let port = format!("error: rtmpAddress: the port is {}", ports.rtmp);
    let line = log.wait_for_line(&port, SOON).text;
    assert!(
        line.contains("RTMP_PORT in the server's environment"),
        "{line}"
    );
    let last = log.wait_for_line("looked at ", SOON).text;
    for part in [
        "1 error, ",
        &server.file().display().to_string(),
        "MTX_PATHDEFAULTS_RECORD",
        "(v1.19.3)",
    ] {
        assert!(last.contains(part), "no {part} in {last}");
    }
}

#[test]
fn passwords_of_the_configuration_are_never_printed() {
    let yaml = "api: yes\napiAddress: 127.0.0.1:1\nauthInternalUsers:\n- {user: admin, pass: hunter2, permissions: []}\n\
        paths:\n  cam:\n    source: rtsp://admin:hunter2@camera/1\n    runOnRead: KEY=hunter2 x\n    \
        runOnUnread: /no/x --url rtsp://u:hunter2@h | b\n    runOnOnline: mtx-worker --output rtmp://h/a?pass=hunter2\n";
    let visit = doctor(
        Some(file(yaml).path()),
        &[("ORCHESTRATOR_URL", "http://u:hunter2@127.0.0.1:1")],
    );
    assert_eq!(visit.exit, 1, "{}", visit.text);
    visit.is_silent_about("hunter2");
}

#[test]
fn stream_keys_in_arguments_that_are_refused_are_never_printed() {
    for (place, line) in [
        (
            "worker",
            "mtx-worker rtmp://a.rtmp.youtube.com/live2/KEYKEY",
        ),
        ("worker", "mtx-worker --outputrtmp://h/live2/KEYKEY"),
        ("worker", "mtx-worker --output rtmp://h/live2 KEYKEY"),
        ("hook", "mtx-hook ready rtmp://h/live2/KEYKEY"),
        ("hook", "mtx-hook rtmp://h/live2/KEYKEY"),
    ] {
        let yaml = format!("paths: {{{place}/in: {{runOnAvailable: '{line}'}}}}");
        let visit = doctor(Some(file(&yaml).path()), &[]);
        visit.says(
            &format!("error: {place}/in: runOnAvailable:"),
            "refuses to start",
        );
        visit.is_silent_about("KEYKEY");
    }
}
