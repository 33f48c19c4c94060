//! What `mtx-lifecycle watch` takes, by the number of paths.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use suite_tests::http;
use suite_tests::lifecycle::Lifecycle;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::procfs;
use suite_tests::web::Web;

use crate::table::Table;

const PATHS: [usize; 2] = [50, 1000];
const FIRST_LOOKS: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> Table {
    let note = format!(
        "On-demand paths that a policy names one by one, all as they are wanted: {} s of `mtx-lifecycle watch`, which looks \
        every 2 s. Processor: the share of one. Calls: what one look asks MediaMTX's API. Journal: its file, after the policy \
        was applied.",
        MEASURED.as_secs()
    );
    let header = [
        "paths",
        "processor",
        "calls a look",
        "journal",
        "peak memory",
    ];
    let mut table = Table::new("Watch", &note, &header);
    for paths in PATHS {
        eprintln!("watch: {paths} paths");
        table.row(row(paths));
    }
    table
}

fn row(paths: usize) -> Vec<String> {
    let all = 0..paths;
    let config = all.clone().fold(Config::default(), |config, number| {
        config.path(&format!("cam{number}"), "runOnDemand: sleep 100")
    });
    let server = MediaMtx::start(config);
    let counted = Counted::start(&server);
    let lifecycle = Lifecycle::of(&server).through(&counted.web.url());
    let rules = all.map(|number| format!("- {{path: cam{number}, useCase: viewing}}\n"));
    let policy = format!("paths:\n{}", rules.collect::<String>());
    let policy = lifecycle.file("policy.yml", &policy);
    lifecycle.ok(&["apply", policy.to_str().expect("UTF-8 paths")]);
    let watch = lifecycle.watch(&[]);
    thread::sleep(FIRST_LOOKS);
    let cpu = || procfs::cpu_time(watch.pid()).expect("it runs");
    let before = (cpu(), counted.now());
    thread::sleep(MEASURED);
    let share = (cpu() - before.0).as_secs_f64() / MEASURED.as_secs_f64();
    let (calls, looks) = counted.now();
    let calls = (calls - before.1.0) as f64 / (looks - before.1.1) as f64;
    let journal = fs::metadata(lifecycle.state_dir().join("journal"));
    let journal = journal.expect("there is a journal").len();
    let memory = procfs::peak_memory_kib(watch.pid()).expect("it runs");
    vec![
        paths.to_string(),
        format!("{:.1} %", share * 100.0),
        format!("{calls:.0}"),
        format!("{:.0} KiB", journal as f64 / 1024.0),
        format!("{:.1} MiB", memory as f64 / 1024.0),
    ]
}

/// The server's API, with each call counted.
struct Counted {
    web: Web,
    calls: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
}

impl Counted {
    fn start(server: &MediaMtx) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let looks = Arc::new(AtomicUsize::new(0));
        let base = server.api("");
        let (all, first) = (Arc::clone(&calls), Arc::clone(&looks));
        let web = Web::start(move |request| {
            all.fetch_add(1, Ordering::Relaxed);
            // Each look asks it once.
            let is_look = request.target.contains("/v3/config/pathdefaults/get");
            first.fetch_add(usize::from(is_look), Ordering::Relaxed);
            http::forward(&base, &request.target, &request.body)
        });
        Self { web, calls, looks }
    }

    fn now(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.calls), count(&self.looks))
    }
}
