//! mtx-lifecycle: what it shows and says to somebody who types.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_yaml::Value as Yaml;
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Lifecycle, entries, keeper, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::proxy::FaultProxy;
use suite_tests::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// A camera on demand that is recorded into the folder.
fn camera(folder: &Path) -> String {
    let hook = publishing_hook(&Clip::new(Video::H264, None));
    let folder = folder.display();
    format!("{hook}\nrecordPath: {folder}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms")
}

#[test]
fn status_shows_how_long_files_are_kept_and_what_the_disk_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    assert!(
        lifecycle.status("cam")["storage"].is_null(),
        "it is not recorded"
    );
    lifecycle.ok(&["start", "recording", "cam"]);
    let file = || {
        Some(
            segments(folder.path(), "cam")
                .first()?
                .metadata()
                .ok()?
                .len(),
        )
    };
    wait_until("something in the file", PATIENCE, || file() > Some(0));
    let status = lifecycle.status("cam");
    let storage = &status["storage"];
    assert_eq!(
        (&storage["deleteAfter"], &storage["segmentDuration"]),
        (&"1d".into(), &"1h".into()),
        "{status}"
    );
    let disk = &storage["disk"];
    assert_eq!(disk["folder"], folder.path().to_str().unwrap(), "{status}");
    let bytes = |name: &str| disk[name].as_u64().unwrap();
    assert!(0 < bytes("used") && bytes("used") <= file().unwrap());
    assert!(bytes("free") <= bytes("total") && bytes("total") > 0);
    let table = lifecycle.ok(&["status", "cam"]);
    assert!(table.contains("KEPT  FILES"), "{table}");
    assert!(table.contains(" 1d ") && table.contains("iB"), "{table}");
}

#[test]
fn status_warns_before_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "cam"]);
    // The command sees another, small disk where the server writes.
    let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" && head -c 1000000 /dev/zero > \"$1/full\" && shift && \"$@\"";
    let status =
        |arguments: &[&str]| unshared(script, folder.path(), &lifecycle.command(arguments));
    let table = status(&["status"]);
    let warning = format!("warning: the disk of {} has ", folder.path().display());
    assert!(table.contains(&warning), "{table}");
    assert!(table.contains(" of 1.0 MiB left"), "{table}");
}

#[test]
fn relative_folder_of_the_server_is_not_taken_for_the_one_here() {
    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir(here.path().join("recordings")).unwrap();
    let camera = camera(Path::new("./recordings")) + "\nrecord: yes";
    let server = MediaMtx::start(Config::default().path("cam", &camera));
    let lifecycle = Lifecycle::of(&server);
    let status = |variables: &[(&str, &str)]| {
        let mut command = lifecycle.command(&["status"]);
        command
            .current_dir(here.path())
            .envs(variables.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let why = "FILES and FREE are unknown: recordPath begins with ./recordings";
    let table = status(&[]);
    assert!(table.contains(why), "{table}");
    // As MediaMTX starts its hooks: in its own working directory.
    let table = status(&[("MTX_PATH", "cam")]);
    assert!(
        !table.contains("unknown") && table.contains("iB"),
        "{table}"
    );
}

#[test]
fn disk_of_a_server_elsewhere_is_said_to_be_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "cam"]);
    // A name that only the command's own /etc/hosts has.
    let hosts = lifecycle.file("hosts", "127.0.0.1 elsewhere.example\n");
    let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
    let status = |arguments: &[&str]| {
        let api = format!("http://elsewhere.example:{}", server.ports.api);
        let mut inner = lifecycle.command(arguments);
        inner.env("MEDIAMTX_API_URL", api);
        unshared(script, &hosts, &inner)
    };
    let status_of_cam: serde_json::Value =
        serde_json::from_str(&status(&["status", "cam", "--json"])).unwrap();
    let storage = &status_of_cam["paths"][0]["storage"];
    assert_eq!(storage["deleteAfter"], "1d", "{storage}");
    assert!(storage["disk"].is_null(), "{storage}");
    let table = status(&["status"]);
    let why = "FILES and FREE are unknown: MediaMTX runs on another machine";
    assert!(table.contains(why), "{table}");
}

/// What a command writes that sees other mounts than the rest of the machine: those of the script, whose `$1` is a file or
/// a folder.
fn unshared(script: &str, file: &Path, inner: &Command) -> String {
    let mut outer = Command::new("unshare");
    outer.args(["--map-root-user", "--mount", "sh", "-ec", script, "sh"]);
    outer.arg(file).arg(inner.get_program());
    outer.args(inner.get_args());
    let variables = inner.get_envs();
    outer.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    String::from_utf8(outer.output().unwrap().stdout).unwrap()
}

#[test]
fn path_that_nobody_knows_is_said_to_be_unknown() {
    let config = Config::default()
        .only_named_paths()
        .path("cam", "runOnDemand: sleep 9");
    let server = MediaMtx::start(config);
    let lifecycle = Lifecycle::of(&server);
    let said = lifecycle.fails(1, &["stop", "cma"]);
    assert!(said.contains("there is no path cma"), "{said}");
    for arguments in [&["status", "cma"][..], &["status", "cma", "--json"]] {
        let said = lifecycle.fails(1, arguments);
        assert!(said.contains("there is no path cma"), "{said}");
    }
    let said = lifecycle.fails(1, &["snapshot", "cma", "-o", "cma.jpg"]);
    assert!(said.contains("no entry for path cma"), "{said}");
    let said = lifecycle.fails(1, &["rollback", "7"]);
    assert!(
        said.contains("the journal has 0 (the server as it was)"),
        "{said}"
    );
    for name in ["all_others", "~^cam", "lifecycle/x/cam"] {
        let said = lifecycle.fails(2, &["status", name]);
        assert!(said.contains("no path of its own"), "{said}");
    }
    let said = lifecycle.fails(2, &["stop", "cam", "--reason", "two\nlines"]);
    assert!(said.contains("one line"), "{said}");
    // What was started and stopped can be stopped once more.
    lifecycle.ok(&["stop", "cam"]);
    let revision = |lifecycle: &Lifecycle| lifecycle.ok(&["status", "--json"]);
    assert!(revision(&lifecycle).contains("\"revision\": 0"));
}

#[test]
fn path_that_an_entry_for_many_is_for_is_idle_and_its_note_says_so() {
    let server = MediaMtx::start(Config::default().path("~^any/.+$", ""));
    let lifecycle = Lifecycle::of(&server);
    let status = lifecycle.status("any/cam");
    let problem = status["problem"].as_str().unwrap();
    assert!(
        problem.contains("its entry ~^any/.+$ is for it"),
        "{status}"
    );
}

#[test]
fn source_that_was_demanded_and_does_not_come_is_shown_with_since_when() {
    let dead = "source: rtsp://127.0.0.1:1/dead";
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::new(Video::H264, None);
    let clip = clip.file();
    let file = folder.path().join(clip.file_name().unwrap());
    let late = publishing_hook(&Clip::new(Video::H264, None))
        .replace(clip.to_str().unwrap(), file.to_str().unwrap());
    let config = Config::default()
        .path("static", dead)
        .path("fetched", &format!("{dead}\nsourceOnDemand: yes"))
        .path("late", &late);
    let server = MediaMtx::start(config);
    let lifecycle = Lifecycle::of(&server);
    // Nobody demands it.
    assert!(lifecycle.status("fetched")["missing"].is_null());
    let always = lifecycle.status("static");
    assert_eq!(always["state"], "waiting", "{always}");
    let note = always["missing"]["note"].as_str().unwrap();
    assert!(note.contains("[path static]"), "{note}");
    let start = |use_case, path| ["start", use_case, path, "--timeout", "1s"];
    for (use_case, state, next) in [
        ("viewing", "idle", "tries it again when somebody watches"),
        ("recording", "waiting", "goes on trying"),
    ] {
        for path in ["fetched", "late"] {
            let said = lifecycle.fails(1, &start(use_case, path));
            assert!(said.contains(next), "{said}");
            let status = lifecycle.status(path);
            assert_eq!(status["state"], state, "{status}");
            assert!(status["missing"]["since"].is_string(), "{status}");
            let table = lifecycle.ok(&["status", path]);
            assert!(table.contains("missed since 20"), "{table}");
        }
    }
    lifecycle.ok(&["stop", "fetched"]);
    assert!(lifecycle.status("fetched")["missing"].is_null());
    std::fs::copy(clip, &file).unwrap();
    lifecycle.ok(&["start", "recording", "late"]);
    let status = lifecycle.status("late");
    assert_eq!(status["state"], "live", "{status}");
    assert!(status["missing"].is_null(), "{status}");
}

#[test]
fn source_that_comes_for_one_of_two_starts_is_missed_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::new(Video::H264, None).file();
    let file = folder.path().join(clip.file_name().unwrap());
    let late = publishing_hook(&Clip::new(Video::H264, None))
        .replace(clip.to_str().unwrap(), file.to_str().unwrap());
    let server = MediaMtx::start(Config::default().path("late", &late));
    let lifecycle = Lifecycle::of(&server);
    let start = |timeout| ["start", "viewing", "late", "--timeout", timeout];
    let mut first = lifecycle.command(&start("60s")).spawn().unwrap();
    wait_until("the first start", PATIENCE, || {
        keeper(&server, "late").is_some()
    });
    lifecycle.fails(1, &start("1s"));
    assert!(lifecycle.status("late")["missing"].is_object());
    std::fs::copy(clip, &file).unwrap();
    assert!(first.wait().unwrap().success());
    let journal = std::fs::read_to_string(lifecycle.state_dir().join("journal")).unwrap();
    let last = |record: &str| journal.rfind(&format!("\"record\":\"{record}\""));
    assert!(last("recovered") > last("missing"), "{journal}");
}

#[test]
fn timeout_that_was_given_is_for_the_source_too() {
    let server = MediaMtx::start(Config::default().path("cam", "runOnDemand: sleep 100"));
    let lifecycle = Lifecycle::of(&server);
    let start = Instant::now();
    let said = lifecycle.fails(1, &["start", "viewing", "cam", "--timeout", "1s"]);
    assert!(said.contains("has not come within 1s"), "{said}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn fallback_for_a_start_that_the_server_never_heard_of_holds_the_path_open() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config::default().path("cam", &camera(folder.path()));
    let mut server = MediaMtx::start(config());
    let proxy = FaultProxy::start(server.ports.api);
    let lifecycle = Lifecycle::of(&server);
    let rtsp = format!("rtsp://127.0.0.1:{}", server.ports.rtsp);
    let away = lifecycle.through(&format!("http://127.0.0.1:{}", proxy.port()));
    proxy.refuse(true);
    let said = away.fails(1, &["start", "viewing", "cam", "--rtsp", &rtsp]);
    assert!(said.contains("fallback.yml"), "{said}");
    away.fails(1, &["start", "recording", "cam"]);
    let text = std::fs::read_to_string(away.state_dir().join("fallback.yml")).unwrap();
    let fallback: Yaml = serde_yaml::from_str(&text).unwrap();
    let cam = &fallback["paths"]["cam"];
    assert_eq!(cam["record"], true, "{text}");
    assert_eq!(cam["runOnDemandCloseAfter"], "5m", "{text}");
    assert_eq!(cam["runOnDemandRestart"], true, "{text}");

    // As its head says: an entry that is there already gets what is named.
    server.stop();
    let mut merged = config();
    for (name, settings) in fallback["paths"].as_mapping().unwrap() {
        let settings = serde_yaml::to_string(settings).unwrap();
        let name = name.as_str().unwrap();
        merged = match name {
            "cam" => {
                let hook = camera(folder.path()).replace("\nrunOnDemandRestart: yes", "");
                Config::default().path(name, &format!("{hook}\n{settings}"))
            }
            _ => merged.path(name, &settings),
        };
    }
    let server = MediaMtx::start_on(server.ports, merged);
    wait_until("a recorded file", PATIENCE, || {
        !segments(folder.path(), "cam").is_empty()
    });
    let held = keeper(&server, "cam");
    // With the API back, the same keeper is recognized, and goes with the rest.
    proxy.refuse(false);
    away.ok(&["reconcile"]);
    assert_eq!(keeper(&server, "cam"), held);
    away.ok(&["stop", "cam"]);
    let all = entries(&server).to_string();
    assert!(!all.contains("lifecycle/"), "{all}");
}

#[test]
fn path_that_another_journal_keeps_open_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let (first, second) = (Lifecycle::of(&server), Lifecycle::of(&server));
    first.ok(&["start", "recording", "cam"]);
    assert!(first.status("cam")["otherJournals"].is_null());
    let kept = keeper(&server, "cam").unwrap();
    let id = kept.split('/').nth(1).unwrap();
    let status = second.status("cam");
    assert_eq!(status["otherJournals"], serde_json::json!([id]), "{status}");
    let note = format!("also kept open by another journal ({id})");
    let table = second.ok(&["status"]);
    assert!(table.contains(&note), "{table}");
    for arguments in [&["start", "viewing", "cam"][..], &["stop", "cam"]] {
        let done = second.run(arguments);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stderr.contains(&note), "{}", done.stderr);
    }
    let done = first.run(&["stop", "cam"]);
    assert!(done.stderr.is_empty(), "{}", done.stderr);
}
