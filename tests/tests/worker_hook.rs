//! mtx-worker as MediaMTX's own hook, on other people's paths.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use suite_tests::clips::Clip;
use suite_tests::doctor::path_of_programs;
use suite_tests::mediamtx::{Config, MediaMtx, Ports};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::stack::SOON;
use suite_tests::waiting::wait_until;

const ANY: &str = "~^.+$";

/// A server whose `path` runs mtx-worker with these arguments, and again if it ends.
fn server(path: &str, arguments: &str) -> MediaMtx {
    MediaMtx::start(config(path, arguments))
}

fn config(path: &str, arguments: &str) -> Config {
    let hook = format!("runOnAvailable: mtx-worker {arguments}\nrunOnAvailableRestart: yes");
    Config::default().worker_for_hooks().path(path, &hook)
}

#[track_caller]
fn publish(server: &MediaMtx, path: &str) -> Spawned {
    let publisher = Clip::h264_aac().publish(&server.rtsp(path));
    server.wait_ready(path, 2 * SOON);
    publisher
}

fn ready(server: &MediaMtx) -> Vec<String> {
    let paths = server.paths().into_iter().filter(|path| path.ready());
    let mut names: Vec<String> = paths.map(|path| path.name().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn whatever_ends_in_in_comes_out_without_an_option() {
    let server = server("~^(.+)/in$", "");
    for stream in ["cam1", "building/floor-1.north/cam_2"] {
        let _publisher = publish(&server, &format!("{stream}/in"));
        server.wait_ready(&format!("{stream}/out"), SOON);
        let packets = Reader::start(&server.rtsp(&format!("{stream}/out")));
        packets.collect(Kind::Video, 25, SOON);
    }
}

#[test]
fn outputs_are_made_of_the_path_its_name_and_its_groups() {
    for (path, arguments, expected) in [
        (
            "~^cams/(.+)-(.+)$",
            "rtmp://localhost:$RTMP_PORT/{2}/{1}",
            "7/gate",
        ),
        (
            "cams/gate-7",
            "rtmp://127.0.0.1:$RTMP_PORT/{name}",
            "gate-7",
        ),
        (
            "cams/gate-7",
            "rtmp://localhost:$RTMP_PORT/{path}/copy",
            "cams/gate-7/copy",
        ),
    ] {
        let server = server(path, &format!("--output {arguments}"));
        let _publisher = publish(&server, "cams/gate-7");
        server.wait_ready(expected, SOON);
        let shown = format!("reader of another kind: {arguments}");
        assert_eq!(ready(&server).len(), 2, "{shown}");
    }
}

#[test]
fn a_path_without_an_output_is_refused_with_the_line_to_write() {
    let server = server("cam1", "");
    let _publisher = publish(&server, "cam1");
    let output = format!(
        "--output rtmp://localhost:{}/{{path}}/out",
        server.ports.rtmp
    );
    let line = server
        .process()
        .wait_for_line("cam1 does not end in /in", SOON);
    let line = line.text;
    assert!(
        line.contains(&format!("runOnAvailable: mtx-worker {output}")),
        "{line}"
    );
}

#[test]
fn all_others_make_one_copy_of_a_stream_and_none_of_the_copy() {
    for (path, output, copy) in [
        ("all_others", "{path}/out", "cams/a/out"),
        (ANY, "copy/{name}", "copy/a"),
    ] {
        let server = server(
            path,
            &format!("--output rtmp://127.0.0.1:$RTMP_PORT/{output}"),
        );
        let _publisher = publish(&server, "cams/a");
        server.wait_ready(copy, SOON);
        let refusal = format!("{copy} is itself an output of this hook");
        server.process().wait_for_line(&refusal, SOON);
        Reader::start(&server.rtsp(copy)).collect(Kind::Video, 50, SOON);
        assert_eq!(ready(&server), [copy.min("cams/a"), copy.max("cams/a")]);
    }
}

#[test]
fn the_own_path_at_a_port_that_no_variable_names_is_refused_and_the_camera_stays() {
    let ports = Ports::choose();
    let output = format!("rtmp://localhost:{}/{{path}}", ports.rtmp);
    let hook = format!("runOnAvailable: mtx-worker --output {output}\nrunOnAvailableRestart: yes");
    let config = Config::default().env("PATH", path_of_programs());
    let server = MediaMtx::start_on(ports, config.path(ANY, &hook));
    let mut camera = publish(&server, "cam1");
    let line = server.process().wait_for_line("set RTMP_PORT", SOON).text;
    assert!(line.contains("is the input itself"), "{line}");
    Reader::start(&server.rtsp("cam1")).collect(Kind::Video, 25, SOON);
    assert!(camera.try_wait().is_none(), "{}", camera.output());
    let log = server.process().output();
    assert!(!log.contains("closing existing publisher"), "{log}");
}

/// A file of keys that only its owner may read.
fn key_file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("keys");
    fs::write(&file, text).expect("a writable folder");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its owner");
    file
}

#[test]
fn several_paths_go_to_one_platform_each_with_its_own_key() {
    let (nginx, folder) = (Nginx::start(), tempfile::tempdir().unwrap());
    let keys = "cams/gate k3y-0f-the-gate\nstudio/* k3y-0f-studi0s\n";
    let file = key_file(&folder, keys);
    let platform = nginx.rtmp("");
    let platform = platform.trim_end_matches('/');
    let arguments = format!("--output {platform} --key-file {}", file.display());
    let server = server(ANY, &arguments);
    let _publishers = ["cams/gate", "studio/1", "other"].map(|path| publish(&server, path));
    for key in ["k3y-0f-the-gate", "k3y-0f-studi0s"] {
        wait_until("the stream at the platform", SOON, || {
            nginx.has_publisher(key)
        });
    }
    let line = server
        .process()
        .wait_for_line("stream key for the path other", SOON)
        .text;
    assert!(line.contains(&file.display().to_string()), "{line}");
    let log = server.process().output();
    assert!(!log.contains("k3y"), "{log}");
}

#[test]
fn keys_that_others_may_read_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(&folder, "** k3y\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let arguments = format!(
        "--output rtmp://platform.invalid/app --key-file {}",
        file.display()
    );
    let server = server(ANY, &arguments);
    let _publisher = publish(&server, "cam");
    let remedy = format!("chmod 600 {}", file.display());
    server.process().wait_for_line(&remedy, SOON);
}

/// A platform that lets nobody in, and lists who tried.
fn refusing_platform() -> MediaMtx {
    MediaMtx::start(Config::default().only_user("somebody", "s3cret"))
}

fn attempts(platform: &MediaMtx) -> Vec<std::time::Instant> {
    let lines = platform.process().lines();
    let refused = lines
        .iter()
        .filter(|line| line.text.contains(" WAR ") && line.text.contains("authenticate"));
    refused.map(|line| line.at).collect()
}

#[test]
fn a_platform_that_refuses_the_key_is_asked_more_and_more_seldom() {
    let platform = refusing_platform();
    let output = platform.rtmp("app/k3y-that-is-wrong");
    let server = server("cam", &format!("--retry none --output {output}"));
    let publisher = publish(&server, "cam");
    wait_until("third try", 5 * SOON, || attempts(&platform).len() == 3);
    let tries = attempts(&platform);
    let waits: Vec<Duration> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([10, 20]) {
        let expected = Duration::from_secs(least)..Duration::from_secs(least + 9);
        assert!(expected.contains(wait), "{waits:?}");
    }
    // By now MediaMTX has started it for the fourth time.
    server.process().find_line(0, "wait of 40 s", SOON, |line| {
        line.text.contains("failures=3")
    });
    assert_eq!(server.hooks().len(), 1);
    drop(publisher);
    wait_until("the end of the waiting worker", SOON / 5, || {
        server.hooks().is_empty()
    });
    let log = server.process().output();
    assert!(!log.contains("k3y"), "{log}");
}

#[test]
fn direct_mode_heals_itself_and_forgets_the_failures() {
    let mut nginx = Nginx::start();
    nginx.stop();
    let arguments = format!("--retry none --output {}", nginx.rtmp("k3y"));
    let server = server("cam", &arguments);
    let _publisher = publish(&server, "cam");
    let remembered = || {
        let folder = server.file().parent().unwrap().to_owned();
        let files = fs::read_dir(folder).unwrap().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("failures")).count()
    };
    wait_until("a failure", SOON, || remembered() == 1);
    nginx.start_again();
    wait_until("the stream at the platform", 2 * SOON, || {
        nginx.has_publisher("k3y")
    });
    wait_until("the failure forgotten", 2 * SOON, || remembered() == 0);
}

#[test]
fn an_output_that_is_taken_is_left_alone_and_taken_over_when_it_is_free() {
    let server = server("cam/in", "");
    let other = publish(&server, "cam/out");
    let _publisher = publish(&server, "cam/in");
    server.process().wait_for_line("is taken", SOON);
    let (source, _) = server.path("cam/out").unwrap().source();
    assert_eq!(source, "rtspSession");
    drop(other);
    server.wait_gone("cam/out", SOON);
    let state = server.wait_ready("cam/out", 2 * SOON);
    assert_eq!(state.source().0, "rtmpConn");
}
