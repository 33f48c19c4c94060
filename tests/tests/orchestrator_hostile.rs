//! Clients that mean no good leave mtx-orchestrator serving the others within its normal time and memory.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use suite_tests::binaries::suite_binary;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::processes::Spawned;
use suite_tests::raw_http::{Answer, Connection, answers, call};
use suite_tests::waiting::wait_until;
use suite_tests::{ports, procfs};

const EVENT: &str = r#"{"timestamp":"2026-11-21T04:18:22.123Z","path":"live/cam/out","query":"","sourceType":"rtmpConn","sourceId":"s1"}"#;
const READY: &str = "/v1/mediamtx/events/ready";
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Beyond what the debug build takes at rest.
const MEMORY_KIB: u64 = 64 * 1024;
/// Most of it is the load of the machine that runs the tests; the server takes a fraction of a millisecond.
const NORMAL: Duration = Duration::from_millis(50);

struct Target {
    orchestrator: Orchestrator,
    address: SocketAddr,
    _server: MediaMtx,
}

impl Target {
    fn start() -> Self {
        let server = MediaMtx::start(Config::default());
        let port = ports::tcp();
        let orchestrator = Orchestrator::start_on(port, &server, |command| {
            command.env_remove("ORCHESTRATOR_TOKEN");
        });
        Self {
            orchestrator,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _server: server,
        }
    }

    #[track_caller]
    fn event(&self) -> Answer {
        call(self.address, "POST", READY, &[JSON], EVENT)
    }

    fn memory_kib(&self) -> u64 {
        procfs::peak_memory_kib(self.orchestrator.process().pid()).expect("it runs")
    }

    /// Others are served, and quickly.
    #[track_caller]
    fn assert_well(&self) {
        let mut took: Vec<Duration> = (0..20)
            .map(|number| {
                let start = Instant::now();
                let status = match number % 2 {
                    0 => call(self.address, "GET", "/v1/streams", &[], "").status,
                    _ => self.event().status,
                };
                assert!(matches!(status, 200 | 202), "{status}");
                start.elapsed()
            })
            .collect();
        took.sort_unstable();
        assert!(took[10] < NORMAL, "{took:?}");
        assert!(self.memory_kib() < MEMORY_KIB, "{} KiB", self.memory_kib());
    }

    fn threads(&self) -> usize {
        let folder = format!("/proc/{}/task", self.orchestrator.process().pid());
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

/// Each answer's status, and that the connection was closed.
#[track_caller]
fn statuses(target: &Target, request: &[u8]) -> Vec<u16> {
    let found = answers(target.address, request);
    found.iter().map(|answer| answer.status).collect()
}

#[test]
fn clients_that_say_nothing_or_little_are_waited_for_5_seconds_and_keep_nobody_out() {
    let target = Target::start();
    let at_rest = target.threads();
    let mut connections: Vec<Connection> =
        (0..200).map(|_| Connection::open(target.address)).collect();
    let start = Instant::now();
    for (number, connection) in connections.iter_mut().enumerate() {
        match number % 3 {
            0 => connection.send(b"POST /v1/mediamtx/events/ready HTTP/1.1\r\nHost: localhost\r\nX: "),
            1 => connection.send(
                b"POST /v1/mediamtx/events/ready HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
            ),
            _ => connection.send(b"G"),
        }
    }
    target.assert_well();
    // Those who drip get no more time for it.
    while start.elapsed() < Duration::from_secs(4) {
        connections
            .iter_mut()
            .for_each(|connection| connection.send(b"x"));
        thread::sleep(Duration::from_millis(200));
    }
    for connection in &mut connections {
        let said = connection.read_to_end(Duration::from_secs(6));
        let said = String::from_utf8(said.expect("the connection is closed")).unwrap();
        // A reset, because more came than was waited for, takes the answer back.
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408 "),
            "{said}"
        );
    }
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "{:?}",
        start.elapsed()
    );
    drop(connections);
    wait_until("the end of their threads", Duration::from_secs(5), || {
        target.threads() <= at_rest + 1
    });
    target.assert_well();
}

#[test]
fn more_connections_than_there_are_places_keep_nobody_out() {
    let target = Target::start();
    let at_rest = target.threads();
    let connections: Vec<Connection> = (0..600).map(|_| Connection::open(target.address)).collect();
    target.assert_well();
    assert!(target.threads() < at_rest + 300, "{}", target.threads());
    drop(connections);
    target.assert_well();
}

#[test]
fn a_lack_of_file_descriptors_ends_idle_connections_and_not_the_service() {
    let target = Target::start();
    let pid = target.orchestrator.process().pid().to_string();
    let mut limit = Command::new("prlimit");
    let limited = limit.args(["--nofile=40:40", "--pid", &pid]).status();
    assert!(limited.is_ok_and(|status| status.success()));
    let connections: Vec<Connection> = (0..120).map(|_| Connection::open(target.address)).collect();
    target.assert_well();
    drop(connections);
    target.assert_well();
}

#[test]
fn clients_that_leave_at_once_or_read_nothing_do_no_harm() {
    let target = Target::start();
    let event = format!(
        "POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    );
    for number in 0..300 {
        let mut connection = Connection::open(target.address);
        let part = &event.as_bytes()[..event.len() * (number % 4) / 3];
        connection.send(part);
        if number % 2 == 0 {
            // Closing then means a reset.
            let _ = SockRef::from(connection.stream()).set_linger(Some(Duration::ZERO));
        }
    }
    let mut deaf = Connection::open(target.address);
    let _ = deaf
        .stream()
        .set_write_timeout(Some(Duration::from_millis(500)));
    let many = "GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    deaf.send(many.as_bytes());
    target.assert_well();
}

#[test]
fn bodies_of_10_mb_are_refused_unread() {
    let target = Target::start();
    let big = "x".repeat(10_000_000);
    let answer = call(target.address, "POST", READY, &[JSON], &big);
    assert_eq!(answer.status, 413);
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("65536 bytes")
    );
    let head =
        format!("POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    for length in [
        "65537",
        "4294967297",
        "18446744073709551615",
        "99999999999999999999999",
    ] {
        let request = format!("{head}Content-Length: {length}\r\n\r\n");
        let mut connection = Connection::open(target.address);
        connection.send(request.as_bytes());
        let said = connection
            .read_to_end(Duration::from_secs(5))
            .expect("it is closed");
        assert!(said.starts_with(b"HTTP/1.1 413 "), "{length}");
    }
    let chunks = format!("2710\r\n{}\r\n", "x".repeat(10_000)).repeat(1000);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(statuses(&target, chunked.as_bytes()), [413]);
    for size in ["10001", "ffffffffffffffff"] {
        let one = format!("{head}Transfer-Encoding: chunked\r\n\r\n{size}\r\nxx");
        assert_eq!(statuses(&target, one.as_bytes()), [413], "{size}");
    }
    let invited = format!("{head}Expect: 100-continue\r\nContent-Length: 10000000\r\n\r\n");
    assert_eq!(statuses(&target, invited.as_bytes()), [413]);
    let exact = EVENT.to_owned() + &" ".repeat(65_536 - EVENT.len());
    assert_eq!(
        call(target.address, "POST", READY, &[JSON], &exact).status,
        202
    );
    target.assert_well();
}

#[test]
fn endless_heads_are_refused() {
    let target = Target::start();
    let long = "x".repeat(10_000_000);
    let many = "X: y\r\n".repeat(65);
    for (request, expected) in [
        (format!("GET /{long}"), 431),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}"),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            431,
        ),
        (long.clone(), 431),
    ] {
        assert_eq!(statuses(&target, request.as_bytes()), [expected]);
    }
    target.assert_well();
}

#[test]
fn deeply_nested_json_is_refused() {
    let target = Target::start();
    let arrays = "[".repeat(60_000);
    let objects = r#"{"a":"#.repeat(12_000);
    let inside = EVENT.replace(
        r#""s1""#,
        &format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)),
    );
    let groups = EVENT.replacen('{', &format!(r#"{{"groups":{},"#, "[".repeat(30_000)), 1);
    let unknown = EVENT.replacen(
        '{',
        &format!(r#"{{"x":{}{},"#, "[".repeat(9_000), "]".repeat(9_000)),
        1,
    );
    for body in [arrays, objects, inside, groups, unknown] {
        let answer = call(target.address, "POST", READY, &[JSON], &body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.len() < 1000, "{answer:?}");
    }
    target.assert_well();
}

#[test]
fn smuggled_requests_are_not_served() {
    let target = Target::start();
    let smuggled = format!(
        "POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    );
    let length = smuggled.len() + 5;
    for framing in [
        format!("Transfer-Encoding: xchunkedx\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: chunked\r\nContent-Length: 5".to_owned(),
        "Transfer-Encoding: xchunkedx".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding:\x0bchunked".to_owned(),
        "X: y\nTransfer-Encoding: chunked".to_owned(),
        format!("Content-Length: 5\r\nContent-Length: {length}"),
        "Content-Length: +5".to_owned(),
        "Content-Length: 5,5".to_owned(),
    ] {
        let head = format!(
            "POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        );
        let request = format!("{head}{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        assert_eq!(statuses(&target, request.as_bytes()), [400], "{framing}");
    }
    // What follows a chunked body, or one that was refused, is not even looked at.
    let head =
        format!("POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}");
    assert_eq!(statuses(&target, chunked.as_bytes()), [400]);
    let refused = format!("{head}Content-Length: 70000\r\n\r\n{smuggled}");
    assert_eq!(statuses(&target, refused.as_bytes()), [413]);
    let elsewhere = format!(
        "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc{smuggled}"
    );
    assert_eq!(statuses(&target, elsewhere.as_bytes()), [404]);
    let newer = format!("GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n{smuggled}");
    assert_eq!(statuses(&target, newer.as_bytes()), [505]);
    let metrics = call(target.address, "GET", "/metrics", &[], "").body;
    assert!(!metrics.contains("outcome=\"ignored\""), "{metrics}");
    target.assert_well();
}

#[test]
fn well_formed_requests_may_share_a_connection() {
    let target = Target::start();
    let chunk = |text: &str| format!("{:x};a=b\r\n{text}\r\n", text.len());
    let (first, second) = EVENT.split_at(40);
    let head =
        format!("POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let requests = [
        format!("{head}Content-Length: {}\r\n\r\n{EVENT}", EVENT.len()),
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!(
            "GET http://{}/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            target.address
        ),
        format!(
            "{head}Transfer-Encoding: Chunked\r\n\r\n{}{}0\r\n\r\n",
            chunk(first),
            chunk(second)
        ),
    ];
    assert_eq!(
        statuses(&target, requests.concat().as_bytes()),
        [202, 404, 200, 202]
    );
    assert_eq!(statuses(&target, b"GET /healthz HTTP/1.0\r\n\r\n"), [200]);
    let invited = format!(
        "{head}Connection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        EVENT.len()
    );
    let mut connection = Connection::open(target.address);
    connection.send(invited.as_bytes());
    (connection.stream().peek(&mut [0])).expect("an invitation");
    connection.send(EVENT.as_bytes());
    let said = connection
        .read_to_end(Duration::from_secs(5))
        .expect("it is closed");
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 "),
        "{said}"
    );
}

#[test]
fn the_last_answer_of_a_connection_says_that_it_is_the_last() {
    let target = Target::start();
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    let large = "Content-Length: 99999999\r\n";
    let post =
        format!("POST {READY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    for (last, status) in [
        (format!("{get}Connection: close\r\n\r\n"), 200),
        (format!("{post}{large}\r\n"), 413),
        ("GET /\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
        (
            format!("POST / HTTP/1.1\r\nHost: localhost\r\n{large}\r\n"),
            405,
        ),
    ] {
        let given = answers(target.address, format!("{get}\r\n{last}").as_bytes());
        let closes: Vec<_> = given
            .iter()
            .map(|answer| answer.header("connection"))
            .collect();
        assert_eq!(closes, [None, Some("close")], "{last}");
        assert_eq!(given[1].status, status, "{last}");
    }
}

#[test]
fn a_connection_that_is_kept_but_not_used_is_closed_after_30_seconds() {
    let target = Target::start();
    let mut connection = Connection::open(target.address);
    let start = Instant::now();
    connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let said = connection.read_to_end(Duration::from_secs(40));
    let said = String::from_utf8(said.expect("it is closed")).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    let took = start.elapsed().as_secs();
    assert!((29..36).contains(&took), "{took} s");
}

#[test]
fn senseless_requests_and_paths_are_refused() {
    let target = Target::start();
    for (path, status) in [
        ("/v1/streams/%00", 400),
        ("/v1/streams/a%00b", 400),
        ("/v1/streams/%0d%0aX:y", 400),
        ("/v1/streams/..", 400),
        ("/v1/streams/../metrics", 400),
        ("/v1/streams/%2e%2e%2fmetrics", 400),
        ("/../../etc/passwd", 404),
        ("/v1/streams/%c0%ae", 400),
        ("/v1/streams/%ff", 400),
        ("/v1/streams/%ed%a0%80", 400),
        ("/v1/streams/%", 400),
        ("/v1/streams/%zz", 400),
        ("/v1/streams/\u{fc}", 400),
        ("//v1/streams", 404),
        ("/v1//streams", 404),
        ("/v1/streams/a;b", 400),
        ("v1/streams", 400),
        ("*", 400),
        ("/V1/STREAMS", 404),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&target, request.as_bytes()), [status], "{path}");
    }
    let raw: [(&[u8], u16); 8] = [
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
        (b"\r\n\r\n\r\n\r\n", 400),
    ];
    for (request, status) in raw {
        assert_eq!(statuses(&target, request), [status], "{request:?}");
    }
    target.assert_well();
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let server = MediaMtx::start(Config::default());
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("log");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    // Open, so that it can be written to, and never read.
    let reader = OpenOptions::new().read(true).write(true).open(&pipe);
    let _reader = reader.expect("the pipe can be opened");
    let address = SocketAddr::from(([127, 0, 0, 1], ports::tcp()));
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" --listen \"$1\" >\"$2\""])
        .arg(suite_binary("mtx-orchestrator"))
        .arg(address.to_string())
        .arg(&pipe)
        .env("MEDIAMTX_API_URL", server.api(""))
        .env("MTX_WORKER", suite_binary("mtx-worker"))
        .env_remove("ORCHESTRATOR_TOKEN");
    let mut process = Spawned::start("mtx-orchestrator", command);
    wait_until("its port", Duration::from_secs(10), || {
        TcpStream::connect(address).is_ok()
    });
    // Some 200 bytes each, where a pipe holds 64 KiB.
    for _ in 0..1000 {
        let start = Instant::now();
        assert_eq!(call(address, "POST", READY, &[JSON], EVENT).status, 202);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
    let start = Instant::now();
    process.stop(Duration::from_secs(8));
    assert!(start.elapsed() < Duration::from_secs(5), "it can be ended");
}
