//! mtx-hook doctor over what a real server would refuse, or pass over in silence.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mediamtx::version::Version;
use suite_tests::binaries::{self, place_program};
use suite_tests::clips::Clip;
use suite_tests::doctor::{doctor, doctor_in, examine, file, path_of_programs};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::processes::Spawned;
use suite_tests::versions::on_every_version;

const SOON: Duration = Duration::from_secs(20);

/// Checks that the real server ends because of this file.
#[track_caller]
fn is_refused(yaml: &str) {
    let file = file(yaml);
    let mut command = Command::new(binaries::mediamtx());
    command.arg(file.path());
    let mut server = Spawned::start("mediamtx", command);
    assert_eq!(server.wait_code(SOON), 1, "{}", server.output());
}

#[test]
fn a_file_that_the_server_refuses_is_an_error_with_what_to_write() {
    for (yaml, start, part) in [
        (
            "rtspAdress: :8554",
            "error: rtspAdress:",
            "write rtspAddress",
        ),
        ("x: &a {record: yes}", "error: x:", "no such setting"),
        (
            "runOnAvailable: x",
            "error: runOnAvailable:",
            "under pathDefaults or a path",
        ),
        (
            "pathDefaults: {recrod: yes}",
            "error: pathDefaults: recrod:",
            "write record",
        ),
        (
            "paths: {a: {runOnAvailible: x}}",
            "error: a: runOnAvailible:",
            "write runOnAvailable",
        ),
        (
            "paths: {a: {rtspAddress: x}}",
            "error: a: rtspAddress:",
            "at the top level",
        ),
        ("paths: {'a b': }", "error: paths: \"a b\":", "contains ' '"),
        ("paths: {'^a.*$': }", "error: paths:", "write ~ before it"),
        ("paths: {'~^a(': }", "error: ~^a(:", "no regular expression"),
        (
            "paths: {'~(?!a)': }",
            "error: ~(?!a):",
            "no regular expression",
        ),
        (
            "paths: {'~^a$': {runOnInit: x}}",
            "error: ~^a$: runOnInit:",
            "plain name",
        ),
        (
            "pathDefaults: {runOnInit: x}\npaths: {all: }",
            "error: all: runOnInit:",
            "from pathDefaults",
        ),
        ("paths: {all: , all_others: }", "error: paths:", "the same"),
        (
            "paths: {a: {source: 'rtsp://h/a', runOnDemand: x}}",
            "error: a: runOnDemand:",
            "sourceOnDemand",
        ),
    ] {
        is_refused(yaml);
        let visit = doctor(Some(file(yaml).path()), &[]);
        assert_eq!(visit.exit, 1, "{}", visit.text);
        visit.says(start, part);
    }
}

#[test]
fn a_variable_that_crashes_the_server_over_an_entry_without_settings_is_an_error() {
    const PANIC: i32 = 2;
    let null = file("paths: {x: }");
    on_every_version(|version| {
        for variable in [
            "MTX_PATHS_X_RECORD",
            "MTX_PATHS_X",
            "MTX_PATHS_X_COLOUR",
            "RTSP_PATHS_X_RECORD",
        ] {
            let mut command = Command::new(binaries::mediamtx_of_version(version));
            command.arg(null.path()).env(variable, "no");
            let mut server = Spawned::start("mediamtx", command);
            assert_eq!(server.wait_code(SOON), PANIC, "{variable}");
            assert!(server.output().contains("unaddressable value"));
        }
    });
    for variable in ["MTX_PATHS_X_RECORD", "MTX_PATHS_X", "RTSP_PATHS_X_RECORD"] {
        let visit = doctor(Some(null.path()), &[(variable, "no")]);
        assert_eq!(visit.exit, 1, "{}", visit.text);
        visit.says("error: paths: x:", variable);
        visit.says("error: paths: x:", "write x: {} in the file");
        for yaml in ["paths: {x: {}}", "paths: {xy: }", "paths: "] {
            let visit = doctor(Some(file(yaml).path()), &[(variable, "no")]);
            visit.is_silent_about("crashes");
        }
    }
}

#[test]
fn a_variable_for_which_the_server_does_not_start_is_an_error() {
    for (yaml, variable, value, part) in [
        ("", "MTX_RTMP", "on", "yes, no, true or false"),
        ("", "MTX_WRITEQUEUESIZE", "many", "a whole number"),
        ("", "MTX_READTIMEOUT", "10", "such as 10s"),
        ("", "MTX_RTMPENCRYPTION", "on", "optional"),
        ("", "MTX_RTSPTRANSPORTS", "udp, tcp", "with commas"),
        ("", "MTX_PATHDEFAULTS_RECORD", "1", "yes, no, true"),
        ("", "MTX_PATHS_A_RPICAMERAWIDTH", "-5", "without a sign"),
        ("", "MTX_PATHS_A_RPICAMERACONTRAST", "high", "a number"),
        (
            "paths: {all_others: {}}",
            "MTX_PATHS_ALL_OTHERS_RECORD",
            "yes",
            "creates a path all, which is the same",
        ),
    ] {
        let file = file(yaml);
        let mut command = Command::new(binaries::mediamtx());
        command.arg(file.path()).env(variable, value);
        let mut server = Spawned::start("mediamtx", command);
        assert_eq!(server.wait_code(SOON), 1, "{variable}");
        let visit = doctor(Some(file.path()), &[(variable, value)]);
        assert_eq!(visit.exit, 1, "{}", visit.text);
        visit.says(&format!("error: {variable}:"), part);
    }
    let fine = Config::default()
        .env("MTX_RTMP", "True")
        .env("MTX_READTIMEOUT", "0d10s")
        .env("MTX_WRITEQUEUESIZE", "+512")
        .env("MTX_RTSPTRANSPORTS", "udp,tcp")
        .env("PATH", path_of_programs())
        .path("init", "runOnInit: mtx-hook doctor");
    let server = MediaMtx::start(fine);
    let log = server.process();
    log.wait_for_line("looked at", SOON);
    assert!(!log.output().contains("error: MTX_"), "{}", log.output());
}

#[test]
fn values_of_the_wrong_kind_are_said_where_a_server_can_be_asked() {
    let server = MediaMtx::start(Config::default());
    let api = server.api("");
    for (yaml, start, part) in [
        ("rtmp: perhaps", "error: rtmp:", "yes or no"),
        ("writeQueueSize: many", "error: writeQueueSize:", "a number"),
        ("rtspTransports: tcp", "error: rtspTransports:", "a list"),
        (
            "paths: {a: {recordDeleteAfter: 7}}",
            "error: a: recordDeleteAfter:",
            "quotes",
        ),
        (
            "paths: {a: {srtReadPassphrase: 1234567890}}",
            "error: a: srtReadPassphrase:",
            "quotes",
        ),
        ("rtspAddress: {}", "error: rtspAddress:", "a single text"),
        ("rtmpEncryption: true", "error: rtmpEncryption:", "a text"),
        ("paths: {a: {source: yes}}", "error: a: source:", "a text"),
        (
            "paths: {a: {runOnReady: off}}",
            "error: a: runOnReady:",
            "a text",
        ),
        (
            "paths: {a: {recordPath: [x]}}",
            "error: a: recordPath:",
            "a single text",
        ),
    ] {
        is_refused(yaml);
        let visit = doctor(Some(file(yaml).path()), &[("MEDIAMTX_API_URL", &api)]);
        assert_eq!(visit.exit, 1, "{}", visit.text);
        visit.says(start, part);
    }
    let fine = "rtspEncryption: 'no'\nreadTimeout: 10s\nauthInternalUsers: []\n\
        paths: {a: {record: yes, recordDeleteAfter: 7d, maxReaders: 5, runOnInit: }}";
    let visit = doctor(Some(file(fine).path()), &[("MEDIAMTX_API_URL", &api)]);
    assert_eq!(visit.exit, 0, "{}", visit.text);
}

/// Every setting that a version has, as the only ones in a file.
fn file_of_all_settings(server: &MediaMtx) -> tempfile::NamedTempFile {
    let get = |call| server.get(call).expect("the API answers");
    let mut all = get("/v3/config/global/get");
    all["pathDefaults"] = get("/v3/config/pathdefaults/get");
    file(&all.to_string())
}

#[test]
fn names_are_judged_by_what_the_version_of_the_server_knows() {
    on_every_version(|version| {
        let config = Config::default().version(version).path(
            "old",
            "runOnReady: mtx-hook ready\nrunOnNotReady: mtx-hook not-ready",
        );
        let (server, visit) = examine(config, &[]);
        let is_new = *version >= Version::release(1, 19, 3);
        if is_new {
            visit.says("warning: old: runOnReady:", "write runOnAvailable");
            visit.says("warning: old: runOnNotReady:", "write runOnUnavailable");
        } else {
            visit.is_silent_about("old: runOn");
        }
        let yaml = fs::read_to_string(server.file()).expect("it is there");
        let renamed = yaml
            .replace("runOnReady", "runOnAvailable")
            .replace("runOnNotReady", "runOnOffline");
        let visit = doctor(Some(file(&renamed).path()), &[]);
        if is_new {
            visit.is_silent_about("old: runOnAvailable: this");
            visit.is_silent_about("old: runOnOffline: this");
        } else {
            visit.says("error: old: runOnAvailable:", "write runOnReady");
            visit.says("error: old: runOnOffline:", "though other versions do");
        }

        // Nothing is taken for unknown that a server has, be it asked or not.
        let all = file_of_all_settings(&server);
        for api in [server.api(""), "http://127.0.0.1:1".to_owned()] {
            let visit = doctor(Some(all.path()), &[("MEDIAMTX_API_URL", &api)]);
            visit.is_silent_about("no such setting");
            visit.is_silent_about("for its value");
        }
    });
}

#[test]
fn variables_create_paths_and_those_that_set_nothing_are_said() {
    let config = Config::default()
        .env("PATH", path_of_programs())
        .env("MTX_PATHS_LOBBY_RUNONREAD", "mtx-nothing")
        .env("MTX_PATHS_FRONT_DOOR_RECORD", "yes")
        .env("MTX_RTMPADRESS", ":1")
        .path("front_door", "")
        .path("init", "runOnInit: mtx-hook doctor");
    let server = MediaMtx::start(config);
    let log = server.process();
    log.wait_for_line("error: lobby: runOnRead: mtx-nothing is in no folder", SOON);
    log.wait_for_line("warning: MTX_PATHS_FRONT_DOOR_RECORD: it sets nothing of front_door, but creates a path front", SOON);
    log.wait_for_line("warning: MTX_RTMPADRESS: ", SOON);
    let paths = server
        .get("/v3/config/paths/list")
        .expect("the API answers")
        .to_string();
    for path in ["\"lobby\"", "\"front\""] {
        assert!(paths.contains(path), "no {path} in {paths}");
    }
}

#[test]
fn arguments_that_the_worker_refuses_are_said_before_a_stream_comes() {
    let keys = file("cam1 k3y\n");
    let keys = keys.path();
    let mode =
        |mode| fs::set_permissions(keys, fs::Permissions::from_mode(mode)).expect("it is ours");
    mode(0o644);
    let restart = "runOnAvailableRestart: yes";
    let hook = |arguments: &str| format!("runOnAvailable: mtx-worker {arguments}\n{restart}");
    let with_keys = hook(&format!(
        "--output rtmp://h/app --key-file {}",
        keys.display()
    ));
    let config = Config::default()
        .path("bogus/in", &hook("--bogus"))
        .path("brace", &hook("--output rtmp://h/{nam}"))
        .path("~^g/([a-z]+)$", &hook("--output rtmp://h/{2}"))
        .path("circle", &hook("--output rtmp://localhost/circle"))
        .path("~^copy/(.+)$", &hook("--output rtmp://localhost/copy/{1}"))
        .path(
            "nofile",
            &hook("--output rtmp://h/app --key-file /nowhere/keys"),
        )
        .path("cam1", &with_keys)
        .path("variable", &hook("--output rtmp://h/$SECRET"))
        .path("fine", &hook("--output rtmp://h/{path}"))
        .path("~^[^/]+/fine$", &hook("--output rtmp://h/{name}"));
    let (server, visit) = examine(config, &[]);
    assert_eq!(visit.exit, 1, "{}", visit.text);
    for (place, part) in [
        ("bogus/in", "unexpected argument '--bogus'"),
        ("brace", "{nam}"),
        ("~^g/([a-z]+)$", "{2} can't be filled in"),
        ("nofile", "/nowhere/keys"),
        ("cam1", "chmod 600"),
    ] {
        visit.says(
            &format!("error: {place}: runOnAvailable: mtx-worker refuses"),
            part,
        );
    }
    visit.says("not checked: variable: runOnAvailable:", "variables");
    visit.is_silent_about(" fine: ");
    visit.is_silent_about("/fine$: ");

    // Which server an output on this machine is, the RTMP port tells, also where the worker was not told of it.
    let rtmp = server.ports.rtmp.to_string();
    let yaml = fs::read_to_string(server.file()).expect("it is there");
    let yaml = file(&yaml.replace("rtmp://localhost/", &format!("rtmp://localhost:{rtmp}/")));
    mode(0o600);
    let visit = doctor(Some(yaml.path()), &[]);
    visit.says(
        "error: circle: runOnAvailable: mtx-worker refuses",
        "the input itself",
    );
    visit.says(
        "error: ~^copy/(.+)$: runOnAvailable: mtx-worker refuses",
        "for a path such as copy/a: ",
    );
    visit.is_silent_about(" cam1: ");
}

#[test]
fn a_worker_of_a_release_without_checks_is_not_taken_for_a_refusal() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let hook = folder.path().join("mtx-hook");
    place_program(&binaries::suite_binary("mtx-hook"), &hook);
    // mtx-hook does not know --check either.
    place_program(&hook, &folder.path().join("mtx-worker"));
    let yaml = file(
        "paths: {a: {runOnAvailable: mtx-worker --output rtmp://h/a/b, runOnAvailableRestart: yes}}",
    );
    let mut command = Command::new(hook);
    command.arg("doctor").arg(yaml.path()).env_clear();
    command.env("PATH", folder.path());
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("refuses to start"), "{text}");
    let mut lines = text.lines();
    let said = lines.any(|line| {
        line.starts_with("not checked: the arguments of mtx-worker: ") && line.contains("release")
    });
    assert!(said, "{text}");
}

#[test]
fn keys_of_single_paths_are_looked_at_where_the_path_is_known() {
    let keys = file("event/main k3y\nevent/other\n");
    let line = format!(
        "mtx-worker --output rtmp://h/app --key-file {}",
        keys.path().display()
    );
    let yaml = |path: &str| {
        format!("paths: {{'{path}': {{runOnAvailable: '{line}', runOnAvailableRestart: yes}}}}")
    };
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o600)).expect("it is ours");
    let visit = |path: &str| doctor(Some(file(&yaml(path)).path()), &[]);
    visit("event/main").says(
        "warning: event/main: runOnAvailable:",
        "line 2 is passed over",
    );
    visit("event/other").says(
        "error: event/other: runOnAvailable: mtx-worker refuses",
        "line 2",
    );
    visit("event/third").says(
        "warning: event/third: runOnAvailable:",
        "no stream key for the path event/third",
    );
    visit("~^event/").is_silent_about("no stream key");
}

#[test]
fn a_path_without_a_route_is_found_on_a_running_orchestrator() {
    let hook = "runOnAvailable: mtx-hook ready\nrunOnUnavailable: mtx-hook not-ready";
    let config = Config::default()
        .path("studio", hook)
        .path("cam/a", hook)
        .path("~^house/", hook)
        .path("~^site/", hook);
    let server = MediaMtx::start(config);
    let routes = ["cam/* => rtmp://127.0.0.1:1/{path}", "site/c => site/copy"];
    let orchestrator = Orchestrator::start(&server, &["--route", routes[0], "--route", routes[1]]);
    let (url, api) = (orchestrator.url(), server.api(""));
    let visit = || {
        doctor(
            Some(&server.file()),
            &[("ORCHESTRATOR_URL", &url), ("MEDIAMTX_API_URL", &api)],
        )
    };
    let first = visit();
    assert_eq!(first.exit, 1, "{}", first.text);
    first.says(
        "error: studio: no route of mtx-orchestrator is for it (cam/*, site/c)",
        "--route 'studio => rtmp://…'",
    );
    first.is_silent_about("cam/a: no route");
    first.says(
        "not checked: whether a route is for the paths of ~^house/",
        "cam/*",
    );
    let _publishers = ["site/b", "site/c"].map(|path| Clip::h264_aac().publish(&server.rtmp(path)));
    server.wait_ready("site/b", SOON);
    server.wait_ready("site/copy", SOON);
    let second = visit();
    second.says(
        "error: site/b: no route of mtx-orchestrator",
        "--route 'site/b => rtmp://…'",
    );
    second.is_silent_about("site/c: no route");
    second.is_silent_about("site/copy");
}

#[test]
fn an_encrypted_file_is_named_and_not_taken_for_a_missing_one() {
    let word = "bm9uY2Vub25jZW5vbmNlbm9uY2U0Y2lwaGVydGV4dGNpcGhlcnRleHQrLw==";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mediamtx.yml");
    fs::write(&path, word).expect("it is writable");
    let key = [("MTX_CONFKEY", "s3cret-key")];
    let named = doctor(Some(&path), &key);
    assert_eq!(named.exit, 2, "{}", named.text);
    named.says(
        &format!("mtx-hook doctor: {}: ", path.display()),
        "MTX_CONFKEY",
    );
    let found = doctor_in(
        folder.path(),
        None,
        &[key[0], ("MEDIAMTX_API_URL", "http://127.0.0.1:1")],
    );
    assert_eq!(found.exit, 1, "{}", found.text);
    found.says("not checked: mediamtx.yml: ", "encrypted");
    found.says(
        "error: ",
        &format!(
            "{}: it can't be looked at",
            path.canonicalize().expect("it is there").display()
        ),
    );
    found.is_silent_about("there is none");
    found.is_silent_about("s3cret");
    // The running server needs no file.
    let server = MediaMtx::start(Config::default());
    let visit = doctor_in(
        folder.path(),
        None,
        &[key[0], ("MEDIAMTX_API_URL", &server.api(""))],
    );
    assert_eq!(visit.exit, 0, "{}", visit.text);
    // A copy that is not encrypted is as good as any.
    let visit = doctor(Some(Path::new(&server.file())), &key);
    visit.says("ok: looked at ", "mediamtx.yml");
}
