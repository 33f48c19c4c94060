//! The README's commands work as they are printed.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use suite_tests::environment::Environment;
use suite_tests::http;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::readme::{command, start, with_ports};
use suite_tests::stack::{IN, OUT, SOON};
use suite_tests::waiting::{wait_for, wait_until};

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
        // It has to go on playing, too.
        std::thread::sleep(Duration::from_secs(3));
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
    let server = MediaMtx::start(Config::default());
    let ports = [(1935, server.ports.rtmp), (8554, server.ports.rtsp)];
    let _publisher = start(
        "publish-ffmpeg",
        &with_ports(&command("publish-ffmpeg"), &ports),
    );
    server.wait_ready(IN, 2 * SOON);
    let _bypass = start(
        "bypass-gstreamer",
        &with_ports(&command("bypass-gstreamer"), &ports),
    );
    assert_eq!(
        server.wait_ready(OUT, 2 * SOON).tracks(),
        ["H264", "MPEG-4 Audio"]
    );
    let packets = Reader::start(&server.rtsp(OUT)).collect(Kind::Video, 60, 2 * SOON);
    assert!(packets.iter().any(|packet| packet.kind == Kind::Audio));
}
