//! mtx-hook against what hooks are written in today: sh with curl, and Python.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use suite_tests::binaries::suite_binary;

use crate::table::{Table, median, milliseconds, with_ratio};

const ROUNDS: usize = 100;

const CURL: &str = r#"curl --silent --fail --max-time 2 --header 'Content-Type: application/json' --data "{\"path\":\"$MTX_PATH\",\"query\":\"$MTX_QUERY\",\"sourceType\":\"$MTX_SOURCE_TYPE\",\"sourceId\":\"$MTX_SOURCE_ID\"}" "$ORCHESTRATOR_URL/v1/mediamtx/events/ready""#;

const PYTHON: &str = r#"
import json, os, urllib.request
event = {name: os.environ[key] for name, key in (("path", "MTX_PATH"), ("query", "MTX_QUERY"),
         ("sourceType", "MTX_SOURCE_TYPE"), ("sourceId", "MTX_SOURCE_ID"))}
urllib.request.urlopen(urllib.request.Request(
    os.environ["ORCHESTRATOR_URL"] + "/v1/mediamtx/events/ready",
    json.dumps(event).encode(), {"Content-Type": "application/json"}), timeout=2)
"#;

/// What one event costs.
struct Cost {
    wall: f64,
    cpu: f64,
}

/// Runs all contenders in turn, again and again, and compares their medians.
pub(crate) fn measure() -> Table {
    eprintln!("hooks: {ROUNDS} events each");
    let folder = tempfile::tempdir().expect("a temp folder");
    let receiver = Receiver::start();
    let contenders = contenders(folder.path());
    let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| vec![]).collect();
    for _ in 0..ROUNDS {
        for ((_, arguments), costs) in contenders.iter().zip(&mut costs) {
            costs.push(run(arguments, &receiver.url));
        }
    }
    // All but the empty process deliver their event.
    assert_eq!(
        receiver.received.load(Ordering::SeqCst),
        ROUNDS * (contenders.len() - 1)
    );

    let note = "Median of an event, alternating. «Net» is without what it takes to start and end an empty \
        static process; in brackets, how many times what mtx-hook takes.";
    let header = [
        "hook",
        "wall time",
        "net wall time",
        "CPU time",
        "net CPU time",
    ];
    let mut table = Table::new("Hooks", note, &header);
    let of = |costs: &[Cost], what: fn(&Cost) -> f64| {
        median(&costs.iter().map(what).collect::<Vec<_>>())
    };
    let wall: Vec<f64> = costs
        .iter()
        .map(|costs| of(costs, |cost| cost.wall))
        .collect();
    let cpu: Vec<f64> = costs
        .iter()
        .map(|costs| of(costs, |cost| cost.cpu))
        .collect();
    for (index, (name, _)) in contenders.iter().enumerate() {
        let cell = |values: &[f64]| with_ratio(values[index], values[1], "ms");
        let net =
            |values: &[f64]| with_ratio(values[index] - values[0], values[1] - values[0], "ms");
        let cells = if index == 0 {
            [
                format!("{:.2} ms", wall[0]),
                "".into(),
                format!("{:.2} ms", cpu[0]),
                "".into(),
            ]
        } else {
            [cell(&wall), net(&wall), cell(&cpu), net(&cpu)]
        };
        table.row([name.to_string()].into_iter().chain(cells).collect());
    }
    table
}

/// First the empty process, second the suite's hook.
fn contenders(folder: &Path) -> Vec<(&'static str, Vec<String>)> {
    let script = folder.join("hook.py");
    fs::write(&script, PYTHON).expect("a writable temp folder");
    let text = |path: &Path| path.to_str().expect("UTF-8 paths").to_owned();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    vec![
        ("(an empty process)", vec![empty_process(folder)]),
        (
            "mtx-hook",
            vec![text(&suite_binary("mtx-hook")), "ready".to_owned()],
        ),
        ("sh with curl", words(&["sh", "-c", CURL])),
        (
            "Python (urllib)",
            words(&["/usr/bin/python3", &text(&script)]),
        ),
    ]
}

fn empty_process(folder: &Path) -> String {
    let (source, program) = (folder.join("empty.rs"), folder.join("empty"));
    fs::write(&source, "fn main() {}").expect("a writable temp folder");
    let mut rustc = Command::new("rustc");
    rustc
        .args(["-O", "-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(&source);
    assert!(rustc.status().expect("rustc runs").success());
    program.to_str().expect("UTF-8 paths").to_owned()
}

fn run(arguments: &[String], url: &str) -> Cost {
    let mut command = Command::new(&arguments[0]);
    command
        .args(&arguments[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .env("ORCHESTRATOR_URL", url);
    command
        .env("MTX_PATH", "live/test/in")
        .env("MTX_QUERY", "lang%3Des")
        .env("RTSP_PORT", "8554");
    command
        .env("MTX_SOURCE_TYPE", "rtmpConn")
        .env("MTX_SOURCE_ID", "9c8a1d8e-0a5c-4a0a-9d2a-2f3f1d1f9a11");
    let (cpu, start) = (children_cpu(), Instant::now());
    let status = command.status().expect("the contender is installed");
    let wall = start.elapsed();
    assert!(status.success(), "{arguments:?} failed");
    Cost {
        wall: milliseconds(wall),
        cpu: milliseconds(children_cpu() - cpu),
    }
}

/// CPU time of the children that have ended: one at a time here.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("always allowed");
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or_default())
}

/// An HTTP server that answers every event with 204.
struct Receiver {
    url: String,
    received: Arc<AtomicUsize>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let received = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(stream).is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { url, received }
    }
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|&count| count > 0)?;
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))?;
        if body.len() >= length.trim().parse().ok()? {
            break;
        }
    }
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .ok()
}
