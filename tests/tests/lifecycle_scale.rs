//! mtx-lifecycle takes over a server with two hundred paths.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::lifecycle::Lifecycle;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::processes::Spawned;
use suite_tests::waiting::wait_until;
use suite_tests::{http, ports, procfs};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the program promises to stay below.
const MOST_KIB: u64 = 10 * 1024;

/// Its parts: how many there are of what.
const COMMANDS: usize = 80;
const FETCHED: usize = 60;
const RECORDED: usize = 30;
const PLAIN: usize = 20;
const EXPRESSIONS: usize = 10;

/// Cameras by command and by URL, some that are recorded when they publish, some that nothing is said about, and some
/// entries for many paths.
fn server() -> MediaMtx {
    let nobody = ports::tcp();
    let kinds = [
        (COMMANDS, "door", "runOnDemand: sleep 100".to_owned()),
        (
            FETCHED,
            "hall",
            format!(
                "source: rtsp://me:hunter2@127.0.0.1:{nobody}/1\nsourceOnDemand: yes\nsourceOnDemandCloseAfter: 20s"
            ),
        ),
        (RECORDED, "push", "record: yes".to_owned()),
        (PLAIN, "plain", String::new()),
        (EXPRESSIONS, "~^area", "runOnDemand: sleep 100".to_owned()),
    ];
    let mut config = Config::default();
    for (count, name, settings) in kinds {
        for number in 0..count {
            let end = if name.starts_with('~') { "/.+$" } else { "" };
            config = config.path(&format!("{name}{number}{end}"), &settings);
        }
    }
    MediaMtx::start(config)
}

/// The settings of all entries.
fn entries(server: &MediaMtx) -> Vec<Value> {
    let all = server
        .get("/v3/config/paths/list?itemsPerPage=1000")
        .unwrap();
    all["items"].as_array().unwrap().clone()
}

/// Runs commands and notes what they take.
struct Bill {
    lifecycle: Lifecycle,
    text: String,
}

impl Bill {
    /// What a command says that has to succeed. Its peak is as of the last look before its end, of which there are
    /// thousands a second.
    #[track_caller]
    fn run(&mut self, arguments: &[&str]) -> String {
        let start = Instant::now();
        let mut process = Spawned::start("mtx-lifecycle", self.lifecycle.command(arguments));
        let mut most = 0;
        while process.try_wait().is_none() {
            most = most.max(procfs::peak_memory_kib(process.pid()).unwrap_or_default());
        }
        let took = start.elapsed();
        assert_eq!(
            process.wait_code(PATIENCE),
            0,
            "{arguments:?}: {}",
            process.output()
        );
        let words = arguments.iter().filter(|word| !word.contains('/'));
        self.note(&words.copied().collect::<Vec<_>>().join(" "), took, most);
        process.output()
    }

    #[track_caller]
    fn note(&mut self, what: &str, took: Duration, most: u64) {
        let _ = writeln!(self.text, "{what}: {took:.2?}, {most} KiB");
        assert!(most < MOST_KIB, "{}", self.text);
    }
}

#[test]
fn a_server_with_two_hundred_paths_is_taken_over_watched_and_given_back() {
    let server = server();
    let before = entries(&server);
    let mut bill = Bill {
        lifecycle: Lifecycle::of(&server).delivered(),
        text: String::new(),
    };

    let policy = bill.run(&["migrate", server.file().to_str().unwrap()]);
    assert_eq!(
        policy.matches("stays as it is").count(),
        EXPRESSIONS,
        "{policy}"
    );
    let file = bill.lifecycle.file("policy.yml", &policy);
    let file = file.to_str().unwrap();
    let tried = bill.run(&["apply", "--dry-run", file]);
    assert_eq!(
        tried.matches("runOnDemandCloseAfter=5m").count(),
        COMMANDS,
        "{tried}"
    );
    assert_eq!(entries(&server), before);

    bill.run(&["apply", file]);
    let after = entries(&server);
    let with = |name: &str, value: &str| after.iter().filter(|entry| entry[name] == value).count();
    assert_eq!(with("runOnDemandCloseAfter", "5m0s"), COMMANDS);
    assert_eq!(with("sourceOnDemandCloseAfter", "20s"), FETCHED);
    assert_eq!(after.len(), before.len());

    let status: Value = serde_json::from_str(&bill.run(&["status", "--json"])).unwrap();
    let named = COMMANDS + FETCHED + RECORDED + PLAIN;
    assert_eq!(status["paths"].as_array().unwrap().len(), named);
    // With a head, and a last line on the disk: MediaMTX's recordPath is in its own working directory.
    let table = bill.run(&["status"]);
    assert_eq!(table.lines().count(), named + 2, "{table}");
    assert_eq!(bill.run(&["reconcile"]), "", "nothing is left to do");

    watch(&mut bill, named);
    bill.run(&["rollback", "0"]);
    assert_eq!(entries(&server), before, "the server as it was");
    println!("{}", bill.text);
}

/// Looks at all of them every 2 s, and restores what somebody has changed.
fn watch(bill: &mut Bill, named: usize) {
    let address = format!("127.0.0.1:{}", ports::tcp());
    let start = Instant::now();
    let watch = bill.lifecycle.watch(&["--metrics", &address]);
    let metrics = || http::get(&format!("http://{address}/metrics")).unwrap_or_default();
    let counted = || {
        let states = ["idle", "waiting"].map(|state| {
            let series = format!("mtx_lifecycle_paths{{state=\"{state}\"}} ");
            let text = metrics();
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(&series)?.parse().ok());
            value.unwrap_or(0)
        });
        states.iter().sum::<usize>()
    };
    wait_until("a look at all paths", PATIENCE, || counted() == named);
    let took = start.elapsed();
    let before = procfs::cpu_time(watch.pid()).expect("it runs");
    std::thread::sleep(Duration::from_secs(8));
    let cpu = procfs::cpu_time(watch.pid()).expect("it runs") - before;
    let log = watch.output();
    assert!(
        !log.contains("\"ERR\"") && !log.contains("pending"),
        "{log}"
    );
    let _ = writeln!(
        bill.text,
        "watch: {:.1} % of a processor",
        cpu.as_secs_f64() / 8.0 * 100.0
    );
    bill.note(
        "watch, to its first look",
        took,
        procfs::peak_memory_kib(watch.pid()).expect("it runs"),
    );
}
