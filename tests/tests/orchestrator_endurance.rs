//! mtx-orchestrator over a while: what it takes stays the same, and nothing is left over.

use std::thread;
use std::time::{Duration, Instant};

use suite_tests::fan::Fan;
use suite_tests::orchestrator::Orchestrator;
use suite_tests::procfs;
use suite_tests::waiting::wait_until;

const SOON: Duration = Duration::from_secs(30);

/// What the orchestrator and its workers take at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Usage {
    workers: Vec<u32>,
    /// All processes below the orchestrator, zombies included.
    processes: usize,
    own: Process,
    /// One for each worker.
    each: Vec<Process>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    memory_kib: u64,
    files: usize,
    threads: usize,
}

impl Process {
    fn of(pid: u32) -> Self {
        Self {
            memory_kib: procfs::memory_kib(pid).expect("it runs"),
            files: procfs::open_files(pid),
            threads: procfs::threads(pid),
        }
    }
}

impl Usage {
    fn now(orchestrator: &Orchestrator) -> Self {
        let mut workers = orchestrator.workers();
        workers.sort_unstable();
        let pid = orchestrator.process().pid();
        Self {
            processes: procfs::descendants(pid).len(),
            own: Process::of(pid),
            each: workers.iter().map(|pid| Process::of(*pid)).collect(),
            workers,
        }
    }
}

/// CPU time of the orchestrator and of all its workers.
fn cpu_time(orchestrator: &Orchestrator) -> Duration {
    let workers = orchestrator.workers();
    let all = [orchestrator.process().pid()].into_iter().chain(workers);
    all.map(|pid| procfs::cpu_time(pid).expect("it runs")).sum()
}

#[track_caller]
fn wait_all_running(orchestrator: &Orchestrator, streams: &[String]) {
    for stream in streams {
        orchestrator.wait_running(stream, SOON);
    }
}

/// The least that a value was: what is taken for a moment, by a request for instance, does not count.
fn least<T: Ord>(samples: &[Usage], value: impl Fn(&Usage) -> T) -> T {
    samples.iter().map(value).min().expect("samples")
}

/// Asserts that the last 15 s are as the first ones were.
#[track_caller]
fn assert_flat(samples: &[Usage]) {
    /// Each worker passes on 72 packets a second: a leak of the least there is, 32 bytes, at each of them would come
    /// to 220 KiB.
    const WORKER_KIB: u64 = 200;
    /// The workers report once a second: a leak of 200 bytes at each of these 3,200 reports would come to 620 KiB.
    const OWN_KIB: u64 = 500;

    for sample in samples {
        assert_eq!(sample.workers, samples[0].workers, "no worker was replaced");
        assert_eq!(sample.processes, 32, "and there is nothing besides");
        for (one, before) in sample.each.iter().zip(&samples[0].each) {
            let flat = (one.files, one.threads) == (before.files, before.threads);
            assert!(flat, "{before:?} has become {one:?}");
        }
    }
    let (first, last) = (&samples[..3], &samples[samples.len() - 3..]);
    for index in 0..32 {
        let memory = |samples| least(samples, |sample| sample.each[index].memory_kib);
        let (before, after) = (memory(first), memory(last));
        assert!(
            after < before + WORKER_KIB,
            "{before} KiB, then {after} KiB"
        );
    }
    let own = |samples, value: fn(&Process) -> usize| least(samples, |sample| value(&sample.own));
    for value in [|own: &Process| own.files, |own: &Process| own.threads] {
        assert_eq!(own(first, value), own(last, value));
    }
    let memory = |samples| least(samples, |sample| sample.own.memory_kib);
    let (before, after) = (memory(first), memory(last));
    assert!(after < before + OWN_KIB, "{before} KiB, then {after} KiB");
}

#[test]
fn with_32_streams_for_two_minutes_everything_stays_flat_from_the_tenth_second_on() {
    let fan = Fan::start(32);
    let orchestrator = Orchestrator::start_on(fan.port, &fan.server, |_| {});
    wait_all_running(&orchestrator, &fan.streams);
    let (start, cpu) = (Instant::now(), cpu_time(&orchestrator));
    let samples: Vec<Usage> = (2..=24)
        .map(|tick| {
            let at = start + tick * Duration::from_secs(5);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            Usage::now(&orchestrator)
        })
        .collect();
    assert_flat(&samples);

    let spent = (cpu_time(&orchestrator) - cpu).as_secs_f64();
    let percent = 100.0 * spent / start.elapsed().as_secs_f64() / 32.0;
    assert!(percent < 5.0, "{percent:.1} % of a processor for a stream");
    let seconds = start.elapsed().as_secs();
    for stream in &fan.streams {
        let status = orchestrator.stream(stream).expect("it is known");
        let worker = &status["worker"];
        let trouble = (&status["restarts"], &worker["dropped"]);
        assert_eq!(trouble, (&0.into(), &0.into()));
        let frames = worker["videoFrames"].as_u64().unwrap_or_default();
        assert!(
            frames > 25 * (seconds - 2),
            "{frames} frames in {seconds} s"
        );
    }
}

#[test]
fn five_hundred_starts_and_stops_leave_nothing_over() {
    /// A leak of 1 KiB at each of the last 400 would come to more.
    const OWN_KIB: u64 = 400;

    let fan = Fan::start(10);
    let orchestrator = Orchestrator::start_on(fan.port, &fan.server, |command| {
        command.args(["--start-limit", "1000"]);
    });
    wait_all_running(&orchestrator, &fan.streams);
    let cycle = || {
        let old = orchestrator.workers();
        for stream in &fan.streams {
            orchestrator.command(stream, "stop");
        }
        wait_until("the end of all workers", SOON, || {
            orchestrator.workers().is_empty()
        });
        for stream in &fan.streams {
            orchestrator.command(stream, "start");
        }
        wait_all_running(&orchestrator, &fan.streams);
        assert!(!orchestrator.workers().iter().any(|pid| old.contains(pid)));
    };
    (0..10).for_each(|_| cycle());
    let before = Usage::now(&orchestrator);
    (10..50).for_each(|_| cycle());
    assert_eq!(orchestrator.starts().len(), 510);

    let mut after = Usage::now(&orchestrator);
    // A request may have taken a file or a thread for a moment.
    wait_until("files and threads to be as before", SOON, || {
        after = Usage::now(&orchestrator);
        after.own.files <= before.own.files && after.own.threads <= before.own.threads
    });
    assert_eq!(
        (after.workers.len(), after.processes),
        (10, 10),
        "no process is left over, and no zombie"
    );
    let (before, after) = (before.own.memory_kib, after.own.memory_kib);
    assert!(after < before + OWN_KIB, "{before} KiB, then {after} KiB");
}
