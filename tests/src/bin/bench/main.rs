//! `make bench`: the suite side by side with what people use today. Prints Markdown.

mod contenders;
mod events;
mod hooks;
mod latency;
mod lifecycle;
mod orchestration;
mod table;
mod watch;
mod workers;

use std::env;
use std::fs;
use std::process::Command;

type Measure = fn() -> table::Table;

const TABLES: [(&str, Measure); 6] = [
    ("hooks", hooks::measure),
    ("workers", workers::measure),
    ("orchestration", orchestration::measure),
    ("events", events::measure),
    ("lifecycle", lifecycle::measure),
    ("watch", watch::measure),
];

/// All tables, or those that are named.
fn main() {
    let named: Vec<_> = env::args().skip(1).collect();
    if let Some(name) = named
        .iter()
        .find(|name| TABLES.iter().all(|it| it.0 != *name))
    {
        let known: Vec<_> = TABLES.iter().map(|it| it.0).collect();
        panic!("no table {name}: there are {}", known.join(", "));
    }
    println!("{}\n", headline());
    for (name, measure) in TABLES {
        if named.is_empty() || named.iter().any(|it| it == name) {
            println!("{}", measure().render());
        }
    }
}

/// When, where and with what this was measured.
fn headline() -> String {
    let date = line_of("date", &["-u", "+%Y-%m-%d"]);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field("/proc/cpuinfo", "model name");
    let memory = field("/proc/meminfo", "MemTotal");
    let memory = memory
        .split(' ')
        .next()
        .and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or_default();
    let gib = memory / 1024.0 / 1024.0;
    let ffmpeg = line_of("ffmpeg", &["-version"]);
    let ffmpeg = ffmpeg
        .split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    let gstreamer = line_of("gst-launch-1.0", &["--version"]);
    let curl = line_of("curl", &["--version"]);
    let curl = curl
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    let python = line_of("/usr/bin/python3", &["--version"]);
    format!(
        "Measured on {date}: {cpus} CPUs ({model}), {gib:.0} GiB; {ffmpeg}, {}, {curl}, {python}.",
        gstreamer.replace("gst-launch-1.0 version", "GStreamer")
    )
}

fn line_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} is needed for the comparison: {error}"));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default()
        .trim_start_matches([' ', '\t', ':'])
        .to_owned()
}
