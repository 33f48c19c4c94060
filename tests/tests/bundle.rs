//! What is handed out besides binaries: the configuration of MediaMTX, and the compose file.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use suite_tests::binaries::{mediamtx, repository};
use suite_tests::environment::text;
use suite_tests::processes::Spawned;
use suite_tests::waiting::wait_for;
use suite_tests::{http, ports};

const SOON: Duration = Duration::from_secs(15);

/// The real server with the suite's configuration, moved to free ports by the variables that the file names.
struct Server {
    process: Spawned,
    api: u16,
    rtmp: u16,
}

impl Server {
    fn start() -> Self {
        let (api, rtmp) = (ports::tcp(), ports::tcp());
        let mut command = Command::new(mediamtx());
        command.arg(repository().join("mediamtx/mediamtx.yml"));
        // The API listens everywhere, as in a container, so that a test can come from an address that is not welcome.
        command.env("MTX_APIADDRESS", format!(":{api}"));
        command.env("MTX_RTMPADDRESS", format!("127.0.0.1:{rtmp}"));
        for name in ["RTSP", "HLS", "METRICS", "PLAYBACK"] {
            command.env(
                format!("MTX_{name}ADDRESS"),
                format!("127.0.0.1:{}", ports::tcp()),
            );
        }
        let process = Spawned::start("mediamtx", command);
        let server = Self { process, api, rtmp };
        wait_for("the API", SOON, || http::get(&server.url("/v3/info")).ok());
        server
    }

    fn url(&self, call: &str) -> String {
        format!("http://127.0.0.1:{}{call}", self.api)
    }

    fn get(&self, call: &str) -> Value {
        serde_json::from_str(&http::get(&self.url(call)).unwrap()).unwrap()
    }
}

#[test]
fn test_mediamtx_config_schema() {
    let server = Server::start();
    let global = server.get("/v3/config/global/get");
    for on in [
        "rtmp",
        "rtsp",
        "hls",
        "api",
        "metrics",
        "playback",
        "logStructured",
    ] {
        assert_eq!(global[on], true, "{on}");
    }
    for off in ["webrtc", "srt", "moq"] {
        assert_eq!(global[off], false, "{off}");
    }
    assert_eq!(global["logDestinations"], serde_json::json!(["stdout"]));
    assert_eq!(global["rtspTransports"], serde_json::json!(["tcp"]));
    assert_eq!(global["hlsVariant"], "fmp4");

    let defaults = server.get("/v3/config/pathdefaults/get");
    assert_eq!(defaults["source"], "publisher");
    assert_eq!(defaults["record"], false);

    let paths = server.get("/v3/config/paths/list");
    let paths = paths["items"].as_array().unwrap();
    let hook = |leg: &str| {
        let name = format!("~^live/[A-Za-z0-9_-]+/{leg}$");
        let path = paths.iter().find(|path| path["name"] == *name).unwrap();
        (
            ["runOnAvailable", "runOnUnavailable"].map(|hook| path[hook].as_str().unwrap()),
            path["overridePublisher"].as_bool().unwrap(),
        )
    };
    let json = ["ready", "not-ready"].map(|event| format!("mtx-hook {event} --log-format json"));
    assert_eq!(hook("in").0, json);
    assert_eq!(hook("out"), (["", ""], false));
    assert_eq!(paths.len(), 2, "no other path is open");

    for line in server.process.lines() {
        let line: Value = serde_json::from_str(&line.text).expect("logs are JSON lines");
        assert_eq!(
            line["level"], "INF",
            "the file loads without a warning: {line}"
        );
    }
}

#[test]
fn ports_of_the_configuration_are_the_documented_ones() {
    let file = std::fs::read_to_string(repository().join("mediamtx/mediamtx.yml")).unwrap();
    let file: serde_yaml::Value = serde_yaml::from_str(&file).unwrap();
    for (setting, port) in [
        ("rtmpAddress", ":1935"),
        ("rtspAddress", ":8554"),
        ("hlsAddress", ":8888"),
        ("apiAddress", ":9997"),
        ("metricsAddress", ":9998"),
        ("playbackAddress", ":9996"),
    ] {
        assert_eq!(file[setting].as_str(), Some(port), "{setting}");
    }
}

#[test]
fn path_outside_the_grammar_is_refused() {
    let server = Server::start();
    for path in [
        "live/test",
        "live/test/in/more",
        "other/test/in",
        "live/a.b/in",
    ] {
        let mut publisher = Command::new("ffmpeg");
        publisher.args([
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc",
            "-t",
            "5",
            "-c:v",
            "libx264",
        ]);
        publisher.args([
            "-f",
            "flv",
            &format!("rtmp://127.0.0.1:{}/{path}", server.rtmp),
        ]);
        let mut publisher = Spawned::start("ffmpeg", publisher);
        assert_ne!(publisher.wait_code(SOON), 0, "{path} was accepted");
        server
            .process
            .wait_for_line(&format!("path '{path}' is not configured"), SOON);
    }
}

#[test]
fn control_api_answers_this_machine_only() {
    let server = Server::start();
    let ask = |from: &str| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--interface",
            from,
        ]);
        text(&curl.arg(server.url("/v3/paths/list")).output().unwrap())
    };
    assert_eq!(ask("127.0.0.1"), "200");
    // Another loopback address stands in for another machine.
    assert_eq!(ask("127.0.0.2"), "401");
}

fn compose(variables: &[(&str, &str)]) -> serde_yaml::Value {
    let file = Path::new("compose/docker-compose.yml");
    let mut config = Command::new("docker-compose");
    config
        .current_dir(repository())
        .arg("-f")
        .arg(file)
        .arg("config");
    let output = config
        .envs(variables.iter().copied())
        .output()
        .expect("docker-compose is installed");
    assert!(output.status.success(), "{}", text(&output));
    serde_yaml::from_slice(&output.stdout).unwrap()
}

#[test]
fn test_docker_compose_config_valid() {
    let config = compose(&[]);
    let services = config["services"].as_mapping().unwrap();
    assert!(services.contains_key("mediamtx") && services.contains_key("orchestrator"));
    for (name, service) in services {
        let name = name.as_str().unwrap();
        assert!(
            service["healthcheck"]["test"].is_sequence(),
            "{name} has no health check"
        );
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(
            service["security_opt"][0], "no-new-privileges:true",
            "{name}"
        );
        let user = service["user"].as_str().unwrap();
        assert!(
            !user.starts_with('0') && !user.starts_with("root"),
            "{name} runs as {user}"
        );
        let dockerfile = service["build"]["dockerfile"].as_str().unwrap();
        let stages = std::fs::read_to_string(repository().join(dockerfile)).unwrap();
        let target = format!(" AS {}\n", service["build"]["target"].as_str().unwrap());
        assert!(stages.contains(&target), "{dockerfile} has no {target}");
    }
    assert_eq!(
        published(&config, "mediamtx"),
        [
            "127.0.0.1:1935:1935/tcp",
            "127.0.0.1:8554:8554/tcp",
            "127.0.0.1:8888:8888/tcp",
            "127.0.0.1:9997:9997/tcp",
            "127.0.0.1:9998:9998/tcp",
            "127.0.0.1:9996:9996/tcp"
        ]
    );
    assert_eq!(
        published(&config, "orchestrator"),
        ["127.0.0.1:8080:8080/tcp"]
    );
}

#[test]
fn services_of_the_bundle_know_each_other_and_hooks_get_the_token_for_events_alone() {
    let config = compose(&[
        ("ORCHESTRATOR_TOKEN", "t0ken"),
        ("ORCHESTRATOR_EVENTS_TOKEN", "3vents"),
        ("ORCHESTRATOR_READ_TOKEN", "r3ad"),
        ("ORCHESTRATOR_OPERATE_TOKEN", "0perate"),
        ("ORCHESTRATOR_POLICY_TOKEN", "p0licy"),
        ("HLS_PORT", "18888"),
        ("RTMP_PORT", "11935"),
    ]);
    let of = |service: &str, name: &str| {
        let value = &config["services"][service]["environment"][name];
        value.as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(
        of("mediamtx", "ORCHESTRATOR_URL"),
        "http://orchestrator:8080"
    );
    assert_eq!(of("mediamtx", "MTX_RTMPADDRESS"), ":11935");
    assert_eq!(of("mediamtx", "ORCHESTRATOR_TOKEN"), "3vents");
    let hooks = serde_yaml::to_string(&config["services"]["mediamtx"]).unwrap();
    for token in ["t0ken", "r3ad", "0perate", "p0licy"] {
        assert!(!hooks.contains(token), "{hooks}");
    }
    for (name, token) in [
        ("ORCHESTRATOR_TOKEN", "t0ken"),
        ("ORCHESTRATOR_EVENTS_TOKEN", "3vents"),
        ("ORCHESTRATOR_READ_TOKEN", "r3ad"),
        ("ORCHESTRATOR_OPERATE_TOKEN", "0perate"),
        ("ORCHESTRATOR_POLICY_TOKEN", "p0licy"),
    ] {
        assert_eq!(of("orchestrator", name), token);
    }
    for (name, url) in [
        ("MEDIAMTX_API_URL", "http://mediamtx:9997"),
        ("MEDIAMTX_RTSP_URL", "rtsp://mediamtx:8554"),
        ("MEDIAMTX_RTMP_URL", "rtmp://mediamtx:11935"),
        ("MEDIAMTX_PLAYER_URL", "http://127.0.0.1:18888"),
    ] {
        assert_eq!(of("orchestrator", name), url);
    }
}

#[test]
fn only_the_media_ports_of_the_bundle_can_be_opened_to_other_machines() {
    let config = compose(&[
        ("BIND_ADDRESS", "0.0.0.0"),
        ("RTMP_PORT", "11935"),
        ("API_PORT", "19997"),
        ("ORCHESTRATOR_PORT", "18080"),
    ]);
    assert_eq!(
        published(&config, "mediamtx"),
        [
            "0.0.0.0:11935:11935/tcp",
            "0.0.0.0:8554:8554/tcp",
            "0.0.0.0:8888:8888/tcp",
            "127.0.0.1:19997:9997/tcp",
            "127.0.0.1:9998:9998/tcp",
            "127.0.0.1:9996:9996/tcp"
        ]
    );
    assert_eq!(
        published(&config, "orchestrator"),
        ["127.0.0.1:18080:8080/tcp"]
    );
}

fn published<'a>(config: &'a serde_yaml::Value, service: &str) -> Vec<&'a str> {
    let ports = config["services"][service]["ports"].as_sequence().unwrap();
    ports.iter().map(|port| port.as_str().unwrap()).collect()
}
