//! Who restreams from an RTSP to an RTMP URL, and with which options.

use std::process::Command;

use serde_json::json;
use suite_tests::binaries::{other_server, suite_binary};

/// A name, and how it is started with an input and an output.
pub(crate) type Contender = (&'static str, fn(&str, &str) -> Command);

/// The suite's own comes first: the others are compared with it.
pub(crate) const CONTENDERS: [Contender; 5] = [
    ("mtx-worker", worker),
    ("ffmpeg", ffmpeg),
    ("ffmpeg, tuned", tuned_ffmpeg),
    ("gst-launch", gstreamer),
    ("go2rtc", go2rtc),
];

fn worker(input: &str, output: &str) -> Command {
    let mut command = Command::new(suite_binary("mtx-worker"));
    command.args(["--input", input, "--output", output]);
    command
}

fn ffmpeg(input: &str, output: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-loglevel",
        "error",
        "-rtsp_transport",
        "tcp",
        "-i",
        input,
    ]);
    command.args(["-c", "copy", "-f", "flv", output]);
    command
}

/// With what people recommend against its delays: no buffering, and little looking ahead.
fn tuned_ffmpeg(input: &str, output: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-loglevel",
        "error",
        "-fflags",
        "nobuffer",
        "-flags",
        "low_delay",
    ]);
    command.args([
        "-probesize",
        "32768",
        "-analyzeduration",
        "200000",
        "-rtsp_transport",
        "tcp",
        "-i",
        input,
    ]);
    command.args(["-c", "copy", "-flush_packets", "1", "-f", "flv", output]);
    command
}

fn gstreamer(input: &str, output: &str) -> Command {
    let pipeline = format!(
        "flvmux name=mux streamable=true latency=0 ! rtmp2sink location={output} \
         rtspsrc location={input} protocols=tcp latency=0 name=src \
         src. ! rtph264depay ! h264parse ! queue ! mux. \
         src. ! rtpmp4gdepay ! aacparse ! queue ! mux."
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("--quiet").args(pipeline.split_whitespace());
    command
}

/// With one stream, and without its own servers.
fn go2rtc(input: &str, output: &str) -> Command {
    let off = json!({"listen": ""});
    let configuration = json!({
        "api": off, "rtsp": off, "rtmp": off, "streams": {"it": input}, "publish": {"it": output},
    });
    let mut command = Command::new(other_server("go2rtc"));
    command.arg("-config").arg(configuration.to_string());
    command
}
