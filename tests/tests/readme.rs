//! The README's commands work as they are printed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use suite_tests::binaries::suite_binary;
use suite_tests::clips::Clip;
use suite_tests::environment::Environment;
use suite_tests::mediamtx::{Config, MediaMtx, Ports};
use suite_tests::nginx::Nginx;
use suite_tests::orchestrator::Orchestrator;
use suite_tests::packets::{Kind, Reader};
use suite_tests::readme::{block, command, start, with_ports};
use suite_tests::stack::{IN, OUT, SOON};
use suite_tests::waiting::{wait_for, wait_until};
use suite_tests::{http, ports};

/// What `make dev` starts, on free ports.
struct Dev(Environment);

impl Dev {
    fn start() -> Self {
        let environment = Environment::choose();
        environment.make_well("dev");
        Self(environment)
    }

    fn command(&self, name: &str) -> String {
        let port = |service| self.0.port(service);
        let ports = [
            (1935, port("RTMP")),
            (8554, port("RTSP")),
            (9997, port("API")),
            (9998, port("METRICS")),
            (8080, port("ORCHESTRATOR")),
        ];
        with_ports(&command(name), &ports)
    }

    fn path(&self, name: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/v3/paths/list", self.0.port("API"));
        let list: Value = serde_json::from_str(&http::get(&url).ok()?).ok()?;
        list["items"]
            .as_array()?
            .iter()
            .find(|path| path["name"] == name)
            .cloned()
    }

    #[track_caller]
    fn wait_ready(&self, name: &str) -> Value {
        wait_for(name, 2 * SOON, || {
            self.path(name).filter(|path| path["ready"] == true)
        })
    }

    /// Bytes sent to readers so far.
    fn sent(&self, name: &str) -> u64 {
        self.path(name)
            .and_then(|path| path["outboundBytes"].as_u64())
            .unwrap_or_default()
    }

    fn readers(&self, name: &str) -> usize {
        self.path(name)
            .and_then(|path| Some(path["readers"].as_array()?.len()))
            .unwrap_or_default()
    }
}

fn run(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .output()
        .expect("sh runs");
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn test_ffmpeg_test_command_generation() {
    let publish = command("publish-ffmpeg");
    for part in [
        "-c:v libx264",
        "-c:a aac",
        "-f flv rtmp://localhost:1935/live/test/in",
    ] {
        assert!(publish.contains(part), "{part} is missing in {publish}");
    }
    let moved = with_ports(&publish, &[(1935, 4711)]);
    assert!(
        moved.contains("rtmp://127.0.0.1:4711/live/test/in"),
        "{moved}"
    );
}

#[test]
fn test_publish_and_playback_test_stream() {
    let dev = Dev::start();
    let _publisher = start("publish-ffmpeg", &dev.command("publish-ffmpeg"));
    let input = dev.wait_ready(IN);
    assert_eq!(input["tracks"], serde_json::json!(["H264", "MPEG-4 Audio"]));
    dev.wait_ready(OUT);
    for player in ["read-ffmpeg", "read-gstreamer"] {
        let before = dev.readers(OUT);
        let mut playing = start(player, &dev.command(player));
        wait_until(&format!("{player} to read"), SOON, || {
            dev.readers(OUT) > before
        });
        // It has to go on playing, too: 3 s of 2 Mbit each.
        let sent = dev.sent(OUT);
        wait_until(&format!("{player} to go on reading"), 2 * SOON, || {
            dev.sent(OUT) > sent + 750_000 || playing.try_wait().is_some()
        });
        assert!(
            playing.try_wait().is_none(),
            "{player} ended: {}",
            playing.output()
        );
        assert!(
            dev.readers(OUT) > before,
            "{player} stopped reading: {}",
            playing.output()
        );
        drop(playing);
        wait_until(&format!("{player} to leave"), SOON, || {
            dev.readers(OUT) <= before
        });
    }
    let paths = run(&dev.command("api"));
    assert!(
        paths.contains("\"live/test/in\"") && paths.contains("\"live/test/out\""),
        "{paths}"
    );
    let streams = run(&dev.command("streams"));
    assert!(
        streams.contains("\"id\":\"test\"") && streams.contains("\"state\":\"running\""),
        "{streams}"
    );
    let metrics = run(&dev.command("metrics"));
    assert!(
        metrics.contains("name=\"live/test/in\"") && metrics.contains("state=\"ready\""),
        "{metrics}"
    );
}

#[test]
fn gstreamer_publishes_a_test_stream() {
    let dev = Dev::start();
    let _publisher = start("publish-gstreamer", &dev.command("publish-gstreamer"));
    let input = dev.wait_ready(IN);
    assert_eq!(input["tracks"], serde_json::json!(["H264", "MPEG-4 Audio"]));
    dev.wait_ready(OUT);
}

#[test]
fn gstreamer_passes_a_stream_by_the_worker() {
    let dev = Dev::start();
    let _publisher = start("publish-ffmpeg", &dev.command("publish-ffmpeg"));
    dev.wait_ready(OUT);
    run(&dev.command("stop"));
    wait_until("the end of the worker", SOON, || dev.path(OUT).is_none());
    let _bypass = start("bypass-gstreamer", &dev.command("bypass-gstreamer"));
    let output = dev.wait_ready(OUT);
    assert_eq!(
        output["tracks"],
        serde_json::json!(["H264", "MPEG-4 Audio"])
    );
    let url = format!("rtsp://127.0.0.1:{}/{OUT}", dev.0.port("RTSP"));
    let packets = Reader::start(&url).collect(Kind::Video, 60, 2 * SOON);
    assert!(packets.iter().any(|packet| packet.kind == Kind::Audio));
}

/// A server with the lines that the README tells to write, which finds the suite's programs in its `PATH`.
fn own_server(name: &str, orchestrator: u16) -> MediaMtx {
    let config = Config::default().env(
        "ORCHESTRATOR_URL",
        format!("http://127.0.0.1:{orchestrator}"),
    );
    MediaMtx::start(with_lines(config, &block("yaml", name)))
}

/// These lines, and hooks that find the suite's programs in their `PATH`.
fn with_lines(config: Config, lines: &str) -> Config {
    let binaries = ["mtx-hook", "mtx-worker"].map(suite_binary);
    let folders = binaries.iter().filter_map(|binary| binary.parent());
    let path = std::env::join_paths(folders).expect("no colon in the path");
    let mut config = config
        .rtmp_port_for_hooks()
        .env("PATH", path.to_string_lossy());
    let lines: serde_yaml::Value = serde_yaml::from_str(lines).expect("it is YAML");
    for (path, settings) in lines["paths"].as_mapping().expect("paths") {
        let settings = serde_yaml::to_string(settings).expect("it was read");
        config = config.path(path.as_str().expect("a name"), &settings);
    }
    config
}

#[test]
fn lines_for_an_own_mediamtx_yml_pass_streams_through_with_an_orchestrator() {
    let port = ports::tcp();
    let server = own_server("orchestrated", port);
    let orchestrator = Orchestrator::start_on(port, &server, |_| {});
    let _publisher = Clip::h264_aac().publish(&server.rtsp(IN));
    server.wait_ready(OUT, SOON);
    orchestrator.wait_stream("test", "event of the hook", SOON, |stream| {
        let events = stream["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["kind"] == "ready")
    });
    Reader::start(&server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

#[test]
fn lines_for_an_own_mediamtx_yml_pass_streams_through_without_an_orchestrator() {
    let server = own_server("direct", ports::tcp());
    let publisher = Clip::h264_aac().publish(&server.rtsp(IN));
    server.wait_ready(OUT, SOON);
    Reader::start(&server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
    assert!(
        server
            .hooks()
            .iter()
            .any(|hook| hook.contains("mtx-worker"))
    );
    drop(publisher);
    wait_until("the end of the worker", SOON, || server.hooks().is_empty());
}

#[test]
fn lines_for_an_own_mediamtx_yml_lead_to_other_paths_and_to_platforms() {
    let (nginx, folder, ports) = (
        Nginx::start(),
        tempfile::tempdir().unwrap(),
        Ports::choose(),
    );
    let keys = folder.path().join("stream-keys");
    fs::write(&keys, "event/main k3y-of-main\nevent/* k3y-of-others\n").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let lines = block("yaml", "direct-outputs")
        .replace("localhost:1935", &format!("localhost:{}", ports.rtmp))
        .replace(
            "rtmps://a.rtmps.youtube.com/live2",
            nginx.rtmp("").trim_end_matches('/'),
        )
        .replace("/etc/stream-keys", &keys.to_string_lossy());
    let config = Config::default().env("RTMP_STREAM_KEY", "k3y-of-the-studio");
    let server = MediaMtx::start_on(ports, with_lines(config, &lines));
    let paths = ["cams/north/gate", "studio", "event/main", "event/2"];
    let _publishers = paths.map(|path| Clip::h264_aac().publish(&server.rtsp(path)));
    server.wait_ready("live/north/gate", 2 * SOON);
    for key in ["k3y-of-the-studio", "k3y-of-main", "k3y-of-others"] {
        wait_until("the stream at the platform", 2 * SOON, || {
            nginx.has_publisher(key)
        });
    }
}
