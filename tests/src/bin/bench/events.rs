//! How many events a service takes, and how fast: mtx-orchestrator, and what people write in Python.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;
use suite_tests::processes::Spawned;
use suite_tests::raw_http::call;
use suite_tests::waiting::wait_until;

use crate::table::{Table, median, milliseconds, quantile, with_ratio};

const ROUNDS: usize = 5;
const ONE_BY_ONE: usize = 200;
const SENDERS: usize = 8;
const BY_EACH: usize = 250;

const EVENT: &str = r#"{"path":"live/nobody/in","query":"","sourceType":"rtmpConn","sourceId":"9c8a1d8e","timestamp":"2026-11-21T05:06:33.025Z"}"#;

const PYTHON: &str = r#"
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Events(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("event received", event["path"], flush=True)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

class Server(ThreadingHTTPServer):
    request_queue_size = 128

Server(("127.0.0.1", int(sys.argv[1])), Events).serve_forever()
"#;

#[derive(Default)]
struct Measured {
    answer: Vec<f64>,
    rate: Vec<f64>,
}

pub(crate) fn measure() -> Table {
    let note = format!(
        "Each event over a connection of its own, as hooks send them. «Answer»: {} events, one after the other. «Events a \
        second»: median of {ROUNDS} rounds of {} from {SENDERS} senders at once, who share the machine with the service. \
        In brackets, how many times what mtx-orchestrator has.",
        ROUNDS * ONE_BY_ONE,
        SENDERS * BY_EACH
    );
    let header = ["", "answer", "95th percentile", "events a second"];
    let mut table = Table::new("Events", &note, &header);

    let server = MediaMtx::start(Config::default());
    let ports = [ports::tcp(), ports::tcp()];
    let _orchestrator = Orchestrator::start_on(ports[0], &server, |_| {});
    let _python = python(ports[1]);
    let services = ["mtx-orchestrator", "Python (http.server)"];
    let mut measured = services.map(|_| Measured::default());
    for round in 1..=ROUNDS {
        for ((name, port), measured) in services.iter().zip(ports).zip(&mut measured) {
            eprintln!("{name}: events, round {round} of {ROUNDS}");
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            measured
                .answer
                .extend((0..ONE_BY_ONE).map(|_| send(address)));
            measured.rate.push(rate(address));
        }
    }
    for (name, one) in services.iter().zip(&measured) {
        let cell =
            |what: fn(&Measured) -> f64, unit| with_ratio(what(one), what(&measured[0]), unit);
        table.row(vec![
            (*name).to_owned(),
            cell(|one| median(&one.answer), "ms"),
            cell(|one| quantile(&one.answer, 0.95), "ms"),
            cell(|one| median(&one.rate), ""),
        ]);
    }
    table
}

fn python(port: u16) -> (Spawned, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let script = folder.path().join("events.py");
    fs::write(&script, PYTHON).expect("the temp folder is writable");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(port.to_string());
    let process = Spawned::start("Python", command);
    wait_until("Python to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
    (process, folder)
}

/// Milliseconds until an event was answered.
fn send(address: SocketAddr) -> f64 {
    let json = ("Content-Type", "application/json");
    let start = Instant::now();
    let answer = call(address, "POST", "/v1/mediamtx/events/ready", &[json], EVENT);
    assert_eq!(answer.status, 202);
    milliseconds(start.elapsed())
}

/// Events a second.
fn rate(address: SocketAddr) -> f64 {
    let start = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..BY_EACH {
                    send(address);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().expect("every event is answered");
    }
    (SENDERS * BY_EACH) as f64 / start.elapsed().as_secs_f64()
}
