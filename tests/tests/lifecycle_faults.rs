//! mtx-lifecycle: a server in trouble, a process that is killed, two of them at once.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite_tests::http;
use suite_tests::lifecycle::{Lifecycle, entries};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::waiting::wait_until;
use suite_tests::web::Web;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn server_that_is_down_slow_or_answers_nonsense_is_named_in_one_line() {
    let server = MediaMtx::start(Config::default());
    let proxy = FaultProxy::start(server.ports.api);
    let lifecycle =
        Lifecycle::of(&server).through(&format!("http://u:hunter2@127.0.0.1:{}", proxy.port()));
    let complaint = |lifecycle: &Lifecycle, part: &str| {
        let start = Instant::now();
        let said = lifecycle.fails(1, &["start", "recording", "cam", "--timeout", "2s"]);
        assert!(
            start.elapsed() < Duration::from_secs(8),
            "{:?}",
            start.elapsed()
        );
        assert!(said.contains(part), "{said} lacks {part}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    };
    proxy.set(Mode::Freeze);
    complaint(&lifecycle, "timeout");
    proxy.set(Mode::Pass);
    proxy.refuse(true);
    complaint(&lifecycle, "MediaMTX's API at http://127.0.0.1");
    for (status, body, part) in [
        (500, "boom", "answers 500: boom"),
        (200, "<html>", "answers something else"),
        (200, "{\"started\": 7}", "answers something else"),
        (401, "", "answers 401"),
    ] {
        let web = Web::start(move |_| (status, body.as_bytes().to_vec()));
        complaint(&Lifecycle::with_api(&web.url()), part);
    }
}

#[test]
fn change_that_the_server_rejects_does_not_make_it_reject_all_others() {
    let config = Config::default()
        .path("bad", "runOnDemand: sleep 9")
        .path("good", "runOnDemand: sleep 9");
    let server = MediaMtx::start(config);
    let before = server.get("/v3/config/paths/get/bad").unwrap();
    // What the server does by itself: after this, nothing can be changed any more.
    let patch = |path: &str, body: &str| {
        let call = format!("PATCH /v3/config/paths/patch/{path}");
        http::forward(&server.api(""), &call, body).0
    };
    assert_eq!(patch("bad", r#"{"recordPath": "nowhere"}"#), 400);
    assert_eq!(patch("good", r#"{"record": true}"#), 400);
    let path = serde_json::json!({ "recordPath": before["recordPath"] });
    assert_eq!(patch("bad", &path.to_string()), 200);

    let lifecycle = Lifecycle::of(&server);
    let policy = "paths:\n\
        - {path: bad, useCase: viewing, overrides: {recordPath: nowhere}}\n\
        - {path: good, useCase: viewing, overrides: {closeAfter: 7m}}\n";
    let policy = lifecycle.file("policy.yml", policy);
    let said = lifecycle.fails(1, &["apply", policy.to_str().unwrap()]);
    assert!(said.contains("bad: ") && !said.contains("good"), "{said}");
    let entry = |name: &str| server.get(&format!("/v3/config/paths/get/{name}")).unwrap();
    assert_eq!(entry("good")["runOnDemandCloseAfter"], "7m0s");
    assert_eq!(entry("bad")["runOnDemandCloseAfter"], "5m0s");
    assert_eq!(entry("bad")["recordPath"], before["recordPath"]);
    assert_eq!(patch("good", r#"{"record": true}"#), 200);
}

#[test]
fn bad_override_of_one_path_leaves_it_with_the_defaults_and_the_others_as_wanted() {
    let server = MediaMtx::start(Config::default());
    let lifecycle = Lifecycle::of(&server);
    let policy = "paths:\n\
        - {path: bad, useCase: viewing, source: {command: sleep 9}, overrides: {recordPath: nowhere}}\n\
        - {path: good, useCase: viewing, source: {command: sleep 9}}\n";
    let policy = lifecycle.file("policy.yml", policy);
    let said = lifecycle.fails(1, &["apply", policy.to_str().unwrap()]);
    assert!(
        said.contains("bad: ") && said.contains("'recordPath' must contain %path"),
        "{said}"
    );
    let entry = |name: &str| server.get(&format!("/v3/config/paths/get/{name}")).unwrap();
    assert_eq!(entry("good")["runOnDemandCloseAfter"], "5m0s");
    assert_eq!(entry("bad")["runOnDemandCloseAfter"], "5m0s");
    let status = lifecycle.status("bad");
    assert!(
        status["problem"].as_str().unwrap().contains("recordPath"),
        "{status}"
    );
    let said = lifecycle.fails(
        2,
        &[
            "apply",
            lifecycle
                .file("x.yml", "paths:\n- path: a\n  use: b\n")
                .to_str()
                .unwrap(),
        ],
    );
    assert!(
        said.contains("line 3 column 3") && said.contains("unknown field `use`"),
        "{said}"
    );
}

#[test]
fn logins_are_used_and_kept_out_of_sight() {
    let clip = suite_tests::clips::Clip::new(suite_tests::clips::Video::H264, None);
    let folder = tempfile::tempdir().unwrap();
    let users = "authInternalUsers:\n\
        - user: admin\n\
        \x20 pass: hunter2\n\
        \x20 permissions: [{action: api}, {action: read}]\n\
        - user: any\n\
        \x20 permissions: [{action: publish}, {action: metrics}]";
    let hook = suite_tests::lifecycle::publishing_hook(&clip);
    let record = format!(
        "recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
        folder.path().display()
    );
    let settings = format!("{hook}\n{record}\nrecordPartDuration: 200ms");
    let server = MediaMtx::start(Config::default().global(users).path("cam", &settings));
    let lifecycle = Lifecycle::of(&server);
    let said = lifecycle.fails(1, &["start", "recording", "cam"]);
    assert!(
        said.contains("nobody may use it from here without a login"),
        "{said}"
    );
    let api = format!("http://admin:hunter2@127.0.0.1:{}", server.ports.api);
    let lifecycle = lifecycle.through(&api);
    let rtsp = format!("rtsp://admin:hunter2@127.0.0.1:{}", server.ports.rtsp);
    let mut all = String::new();
    for command in [
        &["start", "recording", "cam", "--rtsp", &rtsp][..],
        &["status"],
        &["status", "--json", "--rtsp", &rtsp],
        &["stop", "cam", "--rtsp", &rtsp],
    ] {
        let done = lifecycle.run(command);
        assert_eq!(done.code, Some(0), "{done:?}");
        all += &format!("{done:?}");
    }
    assert!(!all.contains("hunter2"), "{all}");
    // MediaMTX takes its own logins as a bearer token, too.
    let mut command = lifecycle.command(&["status"]);
    command
        .env("MEDIAMTX_API_URL", server.api(""))
        .env("MEDIAMTX_API_TOKEN", "admin:hunter2");
    assert!(command.status().unwrap().success());
}

/// Passes calls on to the server, and kills the command at its n-th write, before the server gets it or after.
struct Killer {
    web: Web,
    victim: Arc<AtomicU32>,
    writes: Arc<AtomicUsize>,
}

impl Killer {
    fn at(server: &MediaMtx, nth: usize, before: bool) -> Self {
        let victim = Arc::new(AtomicU32::new(0));
        let writes = Arc::new(AtomicUsize::new(0));
        let base = server.api("");
        let (shared, counted) = (Arc::clone(&victim), Arc::clone(&writes));
        let one_at_a_time = Mutex::new(());
        let web = Web::start(move |request| {
            let _turn = one_at_a_time.lock();
            let is_write = !request.target.starts_with("GET ");
            let number = if is_write {
                counted.fetch_add(1, Ordering::SeqCst)
            } else {
                usize::MAX
            };
            let shoot = || {
                let pid = Pid::from_raw(shared.load(Ordering::SeqCst).cast_signed());
                kill(pid, Signal::SIGKILL).expect("it runs");
            };
            if number == nth && before {
                shoot();
                return (500, vec![]);
            }
            let answer = suite_tests::http::forward(&base, &request.target, &request.body);
            if number == nth {
                shoot();
            }
            answer
        });
        Self {
            web,
            victim,
            writes,
        }
    }

    /// Whether the command was killed.
    fn run(&self, lifecycle: &Lifecycle, arguments: &[&str]) -> bool {
        let mut command = lifecycle.command(arguments);
        command.env("MEDIAMTX_API_URL", self.web.url());
        command.stdout(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        self.victim.store(child.id(), Ordering::SeqCst);
        child.wait().unwrap().signal() == Some(9)
    }
}

#[test]
fn killed_at_any_of_its_writes_the_next_command_makes_it_whole() {
    let config =
        || Config::default().path("cam", "runOnDemand: sleep 100\nrunOnDemandStartTimeout: 3s");
    let policy = "paths:\n\
        - {path: cam, useCase: viewing}\n\
        - {path: hall, useCase: recording, source: {command: sleep 9}}\n";
    let server = MediaMtx::start(config());
    let untouched = entries(&server);
    let expected = {
        let lifecycle = Lifecycle::of(&server);
        let policy = lifecycle.file("policy.yml", policy);
        lifecycle.ok(&["apply", policy.to_str().unwrap()]);
        let expected = entries(&server);
        lifecycle.ok(&["rollback", "0"]);
        expected
    };
    assert_eq!(entries(&server), untouched);
    let mut killed = 0;
    for nth in 0..10 {
        for before in [true, false] {
            let lifecycle = Lifecycle::of(&server);
            let file = lifecycle.file("policy.yml", policy);
            let killer = Killer::at(&server, nth, before);
            killed += usize::from(killer.run(&lifecycle, &["apply", file.to_str().unwrap()]));
            lifecycle.ok(&["reconcile"]);
            assert_eq!(
                entries(&server),
                expected,
                "write {nth}, before it: {before}"
            );
            let killer = Killer::at(&server, nth, before);
            killed += usize::from(killer.run(&lifecycle, &["rollback", "0"]));
            lifecycle.ok(&["rollback", "0"]);
            assert_eq!(
                entries(&server),
                untouched,
                "write {nth} back, before it: {before}"
            );
            assert!(
                killer.writes.load(Ordering::SeqCst) <= 10,
                "all writes have had their turn"
            );
        }
    }
    assert!(killed >= 10, "killed {killed} times");
}

#[test]
fn killed_at_any_write_of_a_second_change_the_first_one_comes_back_as_well() {
    let first = "paths:\n\
        - {path: cam, useCase: viewing}\n\
        - {path: hall, useCase: recording, source: {command: sleep 9}}\n\
        - {path: gone, source: {command: sleep 9}}\n";
    let second = "paths:\n\
        - {path: cam, useCase: recording, overrides: {startTimeout: 9s, recordSegmentDuration: 9m}}\n\
        - {path: hall, useCase: viewing, source: {command: sleep 8}}\n\
        - {path: new, useCase: recording, source: {command: sleep 9}}\n";
    let config = Config::default().path("cam", "runOnDemand: sleep 100");
    let server = MediaMtx::start(config);
    let untouched = entries(&server);
    let apply = |lifecycle: &Lifecycle, policy: &str| {
        let file = lifecycle.file("policy.yml", policy);
        lifecycle.ok(&["apply", file.to_str().unwrap(), "--force"]);
        entries(&server)
    };
    let [after_first, after_second] = {
        let lifecycle = Lifecycle::of(&server);
        let after = [first, second].map(|policy| apply(&lifecycle, policy));
        lifecycle.ok(&["rollback", "0", "--force"]);
        after
    };
    assert_ne!(after_first, after_second);
    assert_eq!(entries(&server), untouched);
    let mut killed = 0;
    let mut most = 0;
    for nth in 0.. {
        for before in [true, false] {
            let at = format!("write {nth}, before it: {before}");
            let lifecycle = Lifecycle::of(&server);
            apply(&lifecycle, first);
            let file = lifecycle.file("policy.yml", second);
            let killer = Killer::at(&server, nth, before);
            let arguments = ["apply", file.to_str().unwrap(), "--force"];
            killed += usize::from(killer.run(&lifecycle, &arguments));
            most = most.max(killer.writes.load(Ordering::SeqCst));
            // Forwards and backwards: what was begun is in the journal, whichever way it goes on.
            if before {
                lifecycle.ok(&["reconcile"]);
                assert_eq!(entries(&server), after_second, "{at}");
            }
            let killer = Killer::at(&server, nth, before);
            killed += usize::from(killer.run(&lifecycle, &["rollback", "1", "--force"]));
            lifecycle.ok(&["rollback", "1", "--force"]);
            assert_eq!(entries(&server), after_first, "{at}");
            lifecycle.ok(&["rollback", "0", "--force"]);
            assert_eq!(entries(&server), untouched, "{at}");
        }
        if nth > most {
            break;
        }
    }
    assert!(killed >= 2 * most, "killed {killed} times at {most} writes");
}

#[test]
fn command_that_another_one_keeps_waiting_names_it_in_one_line() {
    let server = MediaMtx::start(Config::default().path("cam", ""));
    let proxy = FaultProxy::start(server.ports.api);
    let lifecycle = Lifecycle::with_api(&format!("http://127.0.0.1:{}", proxy.port()));
    proxy.set(Mode::Freeze);
    let mut stuck = lifecycle.command(&["start", "viewing", "cam", "--timeout", "60s"]);
    let mut stuck = stuck.stderr(std::process::Stdio::null()).spawn().unwrap();
    let lock = lifecycle.state_dir().join("lock");
    let pid = format!("pid {}", stuck.id());
    wait_until("its lock", PATIENCE, || {
        std::fs::read_to_string(&lock).is_ok_and(|it| it.contains(&pid))
    });
    let said = lifecycle.fails(1, &["stop", "cam", "--timeout", "1s"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&pid) && said.contains("is at work"), "{said}");
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    proxy.set(Mode::Pass);
    lifecycle.ok(&["start", "viewing", "cam"]);
}

#[test]
fn only_one_of_two_watches_and_both_of_two_commands_work() {
    let server = MediaMtx::start(Config::default());
    let lifecycle = Lifecycle::of(&server);
    let first = lifecycle.watch(&[]);
    first.wait_for_line("watching", PATIENCE);
    let said = lifecycle.fails(1, &["watch"]);
    assert!(said.contains(&format!("pid {}", first.pid())), "{said}");
    let started: Vec<_> = (0..6)
        .map(|number| {
            let mut command = lifecycle.command(&["start", "recording", &format!("cam{number}")]);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    for number in 0..6 {
        let status = lifecycle.status(&format!("cam{number}"));
        assert_eq!(status["useCases"][0], "recording", "{status}");
    }
}
