//! The WebSocket /v1/events of mtx-orchestrator: what listeners are told, and what they can't do to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use suite_tests::listener::{Heard, Listener};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::raw_http::{Connection, call};
use suite_tests::stack::{SOON, Stack};
use suite_tests::waiting::wait_until;
use suite_tests::{http, ports, procfs};
use tungstenite::Message;

/// What is granted from a change to the message about it.
const AT_ONCE: Duration = Duration::from_secs(1);
const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
const UPGRADE: [(&str, &str); 3] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "WebSocket"),
    ("Sec-WebSocket-Version", "13"),
];

struct Service {
    orchestrator: Orchestrator,
    address: SocketAddr,
    stack: Stack,
}

impl Service {
    fn start(change: impl FnOnce(&mut Command)) -> Self {
        let stack = Stack::start();
        let port = ports::tcp();
        let orchestrator = Orchestrator::start_on(port, &stack.server, |command| {
            command.env_remove("ORCHESTRATOR_TOKEN");
            change(command);
        });
        Self {
            orchestrator,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            stack,
        }
    }

    /// With the stream running.
    fn running() -> Self {
        let service = Self::start(|_| {});
        service.orchestrator.wait_running("test", 2 * SOON);
        service
    }
}

fn is(message: &Value, kind: &str) -> bool {
    message["type"] == format!("stream:{kind}")
}

fn is_event(message: &Value, kind: &str) -> bool {
    is(message, "event") && message["id"] == "test" && message["event"]["kind"] == kind
}

#[test]
fn a_listener_is_told_how_each_stream_is_and_then_what_changes() {
    let service = Service::running();
    let mut listener = Listener::connect(service.address);
    let Heard::Json(first) = listener.hear(AT_ONCE) else {
        panic!("nothing at once");
    };
    assert!(is(&first, "status"), "{first}");
    assert_eq!(first["stream"]["id"], "test");
    assert_eq!(first["stream"]["state"], "running");
    assert!(first["stream"].get("events").is_none(), "{first}");
    assert!(first["at"].as_str().is_some_and(|at| at.ends_with('Z')));

    let frames = |report: &Value| report["worker"]["frames"].as_u64();
    let one = listener.wait("report", 2 * AT_ONCE, |message| is(message, "report"));
    let two = listener.wait("second report", 2 * AT_ONCE, |message| {
        is(message, "report")
    });
    assert!(frames(&two) > frames(&one), "{one} {two}");
    assert!(two["memoryBytes"].as_u64() > Some(100_000), "{two}");

    service.orchestrator.command("test", "stop");
    let stopped =
        |message: &Value| is(message, "status") && message["stream"]["state"] == "stopped";
    listener.wait("stopped stream", AT_ONCE, stopped);
    listener.wait("event", AT_ONCE, |message| is_event(message, "ended"));
    // Nothing changes, so nothing is told but heartbeats.
    let quiet = listener.hear(AT_ONCE);
    assert!(
        matches!(&quiet, Heard::Nothing)
            || matches!(&quiet, Heard::Json(message) if is(message, "heartbeat"))
    );
    service.orchestrator.command("test", "start");
    listener.wait("running stream", SOON, |message| {
        is(message, "status") && message["stream"]["state"] == "running"
    });
}

#[test]
fn counters_alone_make_no_status() {
    let service = Service::running();
    service
        .orchestrator
        .wait_stream("test", "reader and report", SOON, |stream| {
            stream["inputReaders"][0].is_object() && stream["worker"]["state"] == "streaming"
        });
    let mut listener = Listener::connect(service.address);
    let mut told = vec![];
    let start = Instant::now();
    while start.elapsed() < 3 * AT_ONCE {
        if let Heard::Json(message) = listener.hear(AT_ONCE) {
            told.push(message);
        }
    }
    let of_kind = |kind| told.iter().filter(|message| is(message, kind)).count();
    assert!(of_kind("report") >= 2, "{told:#?}");
    assert_eq!(of_kind("status"), 1, "{told:#?}");
}

#[test]
fn a_worker_killed_with_kill_9_is_seen_within_a_second() {
    let service = Service::running();
    let mut listener = Listener::connect(service.address);
    let pid = service.orchestrator.wait_running("test", SOON);
    listener.wait("status", AT_ONCE, |message| is(message, "status"));
    let raw = i32::try_from(pid).expect("process ids fit");
    kill(Pid::from_raw(raw), Signal::SIGKILL).expect("it runs");
    let ended = listener.wait("end", AT_ONCE, |message| is_event(message, "ended"));
    let detail = ended["event"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("SIGKILL"), "{ended}");
    listener.wait("another worker", SOON, |message| {
        let stream = &message["stream"];
        is(message, "status") && stream["state"] == "running" && stream["pid"] != pid
    });
}

#[test]
fn a_stream_that_comes_and_goes_is_told() {
    let mut service = Service::start(|command| {
        command.args(["--grace", "0s"]);
    });
    let mut listener = Listener::connect(service.address);
    service.orchestrator.wait_running("test", 2 * SOON);
    service.stack.unpublish();
    let gone = listener.wait("farewell", SOON, |message| is(message, "gone"));
    assert_eq!(gone["id"], "test");
    service.stack.publish();
    listener.wait("stream", SOON, |message| is(message, "status"));
    listener.wait("event", AT_ONCE, |message| is_event(message, "found"));
}

#[test]
fn every_stream_has_a_heartbeat_every_10_s() {
    let service = Service::running();
    let mut listener = Listener::connect(service.address);
    let heartbeat = |message: &Value| is(message, "heartbeat");
    listener.wait("heartbeat", Duration::from_secs(11), heartbeat);
    let first = Instant::now();
    let message = listener.wait("heartbeat", Duration::from_secs(11), heartbeat);
    let between = first.elapsed().as_secs_f64();
    assert!((9.5..10.5).contains(&between), "{between} s");
    assert_eq!(message["id"], "test");
    assert_eq!(message["state"], "running");
    assert!(message["uptime"].as_u64() >= Some(9), "{message}");
    assert!(message["lastFrame"].is_string(), "{message}");
    assert!(message["fps"].as_f64() > Some(20.0), "{message}");
}

#[test]
fn what_is_no_handshake_is_refused_with_what_is_missing() {
    let service = Service::start(|_| {});
    let get = |headers: &[(&str, &str)]| call(service.address, "GET", "/v1/events", headers, "");
    let plain = get(&[]);
    assert_eq!(plain.status, 426, "{plain:?}");
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(plain.header("connection"), Some("upgrade"));
    assert_eq!(
        plain.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(plain.json()["status"], 426);

    // `call` asks for the connection's end, which excludes another protocol on it, so these are raw.
    let raw = |version: &str, lines: &[(&str, &str)]| {
        let mut request = format!(
            "GET /v1/events HTTP/{version}\r\nHost: {}\r\n",
            service.address
        );
        for (name, value) in lines {
            request += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(service.address).expect("it listens");
        stream
            .write_all(format!("{request}\r\n").as_bytes())
            .expect("it reads");
        let mut answer = [0; 512];
        let count = stream.read(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    let [connection, upgrade, version] = UPGRADE;
    let good = raw("1.1", &[connection, upgrade, version, KEY]);
    assert!(good.starts_with("HTTP/1.1 101 "), "{good}");
    // The example of RFC 6455, 1.3.
    assert!(
        good.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{good}"
    );
    assert!(!good.to_lowercase().contains("content-length"), "{good}");
    for (status, http, lines) in [
        (426, "1.0", &[connection, upgrade, version, KEY][..]),
        (426, "1.1", &[upgrade, version, KEY]),
        (426, "1.1", &[connection, version, KEY]),
        (426, "1.1", &[connection, ("Upgrade", "h2c"), version, KEY]),
        (426, "1.1", &[connection, upgrade, KEY]),
        (
            426,
            "1.1",
            &[connection, upgrade, ("Sec-WebSocket-Version", "8"), KEY],
        ),
        (400, "1.1", &[connection, upgrade, version]),
        (400, "1.1", &[connection, upgrade, version, KEY, KEY]),
        (
            400,
            "1.1",
            &[
                connection,
                upgrade,
                version,
                ("Sec-WebSocket-Key", "c2hvcnQ="),
            ],
        ),
        (
            400,
            "1.1",
            &[
                connection,
                upgrade,
                version,
                ("Sec-WebSocket-Key", "not base64, but 24 long!"),
            ],
        ),
        (
            403,
            "1.1",
            &[
                connection,
                upgrade,
                version,
                KEY,
                ("Origin", "https://evil.example"),
            ],
        ),
        (
            403,
            "1.1",
            &[connection, upgrade, version, KEY, ("Origin", "null")],
        ),
    ] {
        let answer = raw(http, lines);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{lines:?}: {answer}"
        );
    }
    let post = call(service.address, "POST", "/v1/events", &UPGRADE, "");
    assert_eq!(post.status, 405);
    let own = format!("http://{}", service.address);
    assert!(Listener::try_connect(service.address, &[("Origin", &own)]).is_ok());
    // A name that its owner has made to lead here.
    let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(
        Listener::try_connect(service.address, &rebound).err(),
        Some(421)
    );
}

#[test]
fn with_a_token_a_listener_needs_it_or_a_login_or_the_page_s_cookie() {
    let service = Service::start(|command| {
        command.env("ORCHESTRATOR_TOKEN", "s3cret-token");
    });
    let connect = |headers: &[(&str, &str)]| Listener::try_connect(service.address, headers).err();
    assert_eq!(connect(&[]), Some(401));
    assert_eq!(connect(&[("Authorization", "Bearer wrong")]), Some(401));
    assert_eq!(connect(&[("Authorization", "Bearer s3cret-token")]), None);
    // me:s3cret-token
    let basic = ("Authorization", "Basic bWU6czNjcmV0LXRva2Vu");
    assert_eq!(connect(&[basic]), None);

    let refused = call(service.address, "GET", "/", &[], "");
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(
        refused.status == 401 && challenge.starts_with("Basic "),
        "{refused:?}"
    );
    let refused = call(service.address, "GET", "/v1/streams", &[], "");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let page = call(service.address, "GET", "/", &[basic], "");
    let cookie = page.header("set-cookie").expect("a cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().expect("a pair");
    assert_eq!(connect(&[("Cookie", pair)]), None);
    assert_eq!(connect(&[("Cookie", &pair.replace('=', "=0"))]), Some(401));
    let cross_site = [("Cookie", pair), ("Origin", "https://evil.example")];
    assert_eq!(connect(&cross_site), Some(403));
    let stop = call(
        service.address,
        "POST",
        "/v1/streams/none/stop",
        &cross_site,
        "",
    );
    assert_eq!(stop.status, 403);
    for method in ["PATCH", "DELETE"] {
        let answer = call(service.address, method, "/v1/streams/none", &cross_site, "");
        assert_eq!(answer.status, 403, "{method}");
    }
    let stop = call(
        service.address,
        "POST",
        "/v1/streams/none/stop",
        &[("Cookie", pair)],
        "",
    );
    assert_eq!(stop.status, 404);
}

#[test]
fn one_that_does_not_read_is_cut_off_while_others_are_told_at_once() {
    let service = Service::running();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(32 * 1024).expect("a small one");
    socket.connect(&service.address.into()).expect("it listens");
    let mut slow = Listener::over(socket.into(), service.address, &[])
        .unwrap_or_else(|status| panic!("{status}"));
    let mut quick = Listener::connect(service.address);
    let url = format!("{}/v1/streams/test/start", service.orchestrator.url());
    // Each connection has a thread.
    let threads = || procfs::threads(service.orchestrator.process().pid());
    let before = (0..20).map(|_| {
        thread::sleep(Duration::from_millis(20));
        threads()
    });
    let before = before.min().expect("there were some looks");
    // Each command is an event, of which listeners are told. First they fill what the system holds for the slow one.
    let start = Instant::now();
    while threads() >= before {
        assert!(start.elapsed() < Duration::from_secs(60), "never cut off");
        for _ in 0..40 {
            http::post_json(&url, "{}").expect("it answers whatever a listener does");
        }
        let asked = Instant::now();
        quick.wait("event", AT_ONCE, |message| is_event(message, "start"));
        assert!(asked.elapsed() < AT_ONCE);
        while matches!(quick.hear(Duration::from_millis(1)), Heard::Json(_)) {}
    }
    // It reads again at last, what its system had taken, and then the end.
    let code = slow.wait_end(SOON);
    assert!(matches!(code, None | Some(1013)), "{code:?}");
}

#[test]
fn the_65th_listener_is_refused_and_64_keep_nobody_else_out() {
    let service = Service::running();
    let mut listeners: Vec<Listener> = (0..64)
        .map(|_| Listener::connect(service.address))
        .collect();
    assert_eq!(Listener::try_connect(service.address, &[]).err(), Some(503));
    // Far more than there is room for: those without a request have to go, listeners stay.
    let idle: Vec<Connection> = (0..300)
        .map(|_| Connection::open(service.address))
        .collect();
    assert_eq!(
        call(service.address, "GET", "/healthz", &[], "").status,
        200
    );
    for listener in &mut listeners {
        listener.wait("report", 3 * AT_ONCE, |message| is(message, "report"));
    }
    drop(idle);
    listeners.pop();
    wait_until("a free place", SOON, || {
        Listener::try_connect(service.address, &[]).is_ok()
    });
}

#[test]
fn what_listeners_say_is_bounded_and_pings_are_answered() {
    let service = Service::start(|_| {});
    let mut polite = Listener::connect(service.address);
    polite.say(Message::Ping("x".into()));
    polite.say(Message::Text("hello".into()));
    let start = Instant::now();
    let answered = loop {
        match polite.hear(AT_ONCE) {
            Heard::Pong => break true,
            Heard::Json(_) if start.elapsed() < AT_ONCE => {}
            _ => break false,
        }
    };
    assert!(answered);
    let mut chatty = Listener::connect(service.address);
    (0..60).for_each(|_| chatty.say(Message::Text("hello".into())));
    assert_eq!(chatty.wait_end(SOON), Some(1008));
    let mut pinging = Listener::connect(service.address);
    (0..60).for_each(|_| pinging.say(Message::Ping("x".into())));
    assert_eq!(pinging.wait_end(SOON), Some(1008));
    let mut long = Listener::connect(service.address);
    long.say(Message::Text("x".repeat(2000).into()));
    assert_eq!(long.wait_end(SOON), Some(1009));
    let long_ping = [&b"\x89\xfe\x01\x00\x00\x00\x00\x00"[..], &[0; 256]].concat();
    for garbage in [
        &b"\x81\x05hello"[..],       // Not masked.
        b"\xf1\x80\x00\x00\x00\x00", // Reserved bits.
        b"\x83\x80\x00\x00\x00\x00", // An opcode that is none.
        &long_ping,
    ] {
        let mut listener = Listener::connect(service.address);
        listener.write(garbage);
        assert_eq!(listener.wait_end(SOON), Some(1002), "{garbage:?}");
    }
    let mut invalid = Listener::connect(service.address);
    invalid.write(b"\x81\x81\x00\x00\x00\x00\xff");
    assert_eq!(invalid.wait_end(SOON), Some(1007));
    assert!(matches!(
        polite.hear(Duration::from_millis(100)),
        Heard::Nothing | Heard::Json(_)
    ));
}

#[test]
fn one_that_has_died_is_found_out_within_a_minute() {
    let service = Service::start(|_| {});
    let listener = Listener::connect(service.address);
    let mut connection = listener.stream().try_clone().expect("a socket");
    let start = Instant::now();
    // It takes everything and says nothing, as the system of a frozen browser does.
    let mut some = [0; 4096];
    let mut pings = 0;
    connection
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("not zero");
    while let Ok(count @ 1..) = connection.read(&mut some) {
        pings += some[..count]
            .windows(2)
            .filter(|two| *two == b"\x89\x00")
            .count();
    }
    let waited = start.elapsed().as_secs();
    assert!((20..60).contains(&waited), "{waited} s");
    assert!(pings >= 1);
}

#[test]
fn the_orchestrator_bids_listeners_farewell() {
    let mut service = Service::running();
    let mut listeners: Vec<Listener> = (0..3).map(|_| Listener::connect(service.address)).collect();
    let end = thread::spawn(move || {
        listeners
            .iter_mut()
            .map(|listener| listener.wait_end(SOON))
            .collect::<Vec<_>>()
    });
    service.orchestrator.process().signal(Signal::SIGTERM);
    let code = service.orchestrator.process_mut().wait_code(SOON);
    assert_eq!(code, 0);
    assert_eq!(end.join().expect("no panic"), [Some(1001); 3]);
}
