//! Whatever can go wrong with streams, at random and all the time: those it does not happen to lose no frame, and
//! afterwards everything is as it should be.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite_tests::census::Census;
use suite_tests::frames::Counter;
use suite_tests::mediamtx::MediaMtx;
use suite_tests::orchestrator::{Orchestrator, is_worker};
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::raw_http::call;
use suite_tests::streams::{ingest, output, server_with_hooks};
use suite_tests::waiting::wait_until;
use suite_tests::{http, procfs};

const SOON: Duration = Duration::from_secs(30);
const CHAOS: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(200);
const BYSTANDERS: [&str; 2] = ["calm-1", "calm-2"];
const VICTIMS: [&str; 4] = ["a", "b", "c", "d"];

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    WorkerKilled,
    WorkerCrashed,
    WorkerHangs,
    StreamEnds,
    StreamComes,
    /// Hooks that are not true.
    Lies,
    Nonsense,
    Restart,
    Stop,
    Start,
    /// Between the orchestrator and MediaMTX's API.
    NetworkFreezes,
    NetworkCut,
    NetworkWell,
}

const FAULTS: [Fault; 13] = [
    Fault::WorkerKilled,
    Fault::WorkerCrashed,
    Fault::WorkerHangs,
    Fault::StreamEnds,
    Fault::StreamComes,
    Fault::Lies,
    Fault::Nonsense,
    Fault::Restart,
    Fault::Stop,
    Fault::Start,
    Fault::NetworkFreezes,
    Fault::NetworkCut,
    Fault::NetworkWell,
];

/// Numbers that look random, the same ones at every run (xorshift).
struct Dice(u64);

impl Dice {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from[self.0 as usize % from.len()]
    }
}

struct Chaos {
    orchestrator: Orchestrator,
    port: u16,
    proxy: FaultProxy,
    publishers: Vec<(&'static str, Spawned)>,
    counter: Counter,
    server: MediaMtx,
}

impl Chaos {
    #[track_caller]
    fn start() -> Self {
        let (server, port) = server_with_hooks();
        let proxy = FaultProxy::start(server.ports.api);
        let orchestrator = Orchestrator::start_on(port, &server, |command| {
            let api = format!("http://127.0.0.1:{}", proxy.port());
            command.args(["--mediamtx-api", &api, "--grace", "1s"]);
            // What is tested here is not how patient it is.
            command.args(["--recovery", "fixed:200ms", "--breaker", "1000/1m"]);
        });
        let mut chaos = Self {
            counter: Counter::learn(&server),
            orchestrator,
            port,
            proxy,
            publishers: vec![],
            server,
        };
        for stream in BYSTANDERS.into_iter().chain(VICTIMS) {
            chaos.publish(stream);
        }
        chaos
    }

    fn publish(&mut self, stream: &'static str) {
        if !self.publishers.iter().any(|(name, _)| *name == stream) {
            let url = self.server.rtsp(&ingest(stream));
            self.publishers
                .push((stream, self.counter.clip().publish(&url)));
        }
    }

    fn signal(&self, stream: &str, signal: Signal) {
        let status = self.orchestrator.stream(stream);
        let pid = status.and_then(|status| u32::try_from(status["pid"].as_u64()?).ok());
        // It may be another one by now, or none.
        if let Some(pid) = pid.filter(|pid| is_worker(*pid)) {
            let _ = kill(Pid::from_raw(i32::try_from(pid).expect("they fit")), signal);
        }
    }

    /// A request that may well be refused, but is answered.
    fn post(&self, path: &str, body: &str) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let json = ("Content-Type", "application/json");
        let answer = call(address, "POST", path, &[json], body);
        assert!((200..500).contains(&answer.status), "{path}: {answer:?}");
    }

    fn command(&self, stream: &str, command: &str) {
        self.post(&format!("/v1/streams/{stream}/{command}"), "{}");
    }

    fn inject(&mut self, fault: Fault, stream: &'static str) {
        match fault {
            Fault::WorkerKilled => self.signal(stream, Signal::SIGKILL),
            Fault::WorkerCrashed => self.signal(stream, Signal::SIGABRT),
            Fault::WorkerHangs => self.signal(stream, Signal::SIGSTOP),
            Fault::StreamEnds => self.publishers.retain(|(name, _)| *name != stream),
            Fault::StreamComes => self.publish(stream),
            Fault::Lies => {
                for event in ["ready", "not-ready", "ready", "not-ready"] {
                    let now = "2026-11-21T04:00:00.000Z";
                    self.orchestrator.send_event(event, stream, now);
                }
            }
            Fault::Nonsense => {
                for body in ["", "{", "[[[[", "{\"path\":\"../../in\"}"] {
                    self.post("/v1/mediamtx/events/ready", body);
                }
            }
            Fault::Restart => self.command(stream, "restart"),
            Fault::Stop => self.command(stream, "stop"),
            Fault::Start => self.command(stream, "start"),
            Fault::NetworkFreezes => self.proxy.set(Mode::Freeze),
            Fault::NetworkCut => self.proxy.cut(),
            Fault::NetworkWell => self.proxy.set(Mode::Pass),
        }
    }

    /// What ended is published again, what was stopped is started, the network is well.
    #[track_caller]
    fn settle(&mut self) {
        self.proxy.set(Mode::Pass);
        for stream in VICTIMS {
            self.publish(stream);
        }
        for stream in VICTIMS {
            self.server.wait_ready(&ingest(stream), SOON);
            wait_until("the stream to be known", SOON, || {
                self.orchestrator.stream(stream).is_some()
            });
            self.command(stream, "start");
        }
    }

    #[track_caller]
    fn reader(&self, stream: &str) -> Reader {
        let reader = Reader::start(&self.server.rtsp(&output(stream)));
        reader.collect(Kind::Video, 25, SOON);
        reader
    }

    #[track_caller]
    fn assert_gapless(&self, stream: &str, reader: &Reader) {
        let seen = reader.packets_of(Kind::Video).len();
        let packets = reader.collect(Kind::Video, seen + 50, SOON);
        self.counter.assert_gapless(stream, &packets);
    }
}

#[test]
fn through_forty_seconds_of_chaos_bystanders_lose_no_frame_and_afterwards_all_is_well() {
    let mut chaos = Chaos::start();
    for stream in BYSTANDERS.iter().chain(&VICTIMS) {
        chaos.orchestrator.wait_running(stream, SOON);
        chaos.server.wait_ready(&output(stream), SOON);
    }
    let bystanders = BYSTANDERS.map(|stream| chaos.reader(stream));
    let calm = BYSTANDERS.map(|stream| chaos.orchestrator.wait_running(stream, SOON));
    let census = Census::start(&chaos.orchestrator);

    let (start, mut dice) = (Instant::now(), Dice(0x5EED));
    let mut injected = vec![];
    while start.elapsed() < CHAOS {
        let (fault, stream) = (dice.pick(&FAULTS), dice.pick(&VICTIMS));
        injected.push((fault, stream));
        chaos.inject(fault, stream);
        thread::sleep(PAUSE);
    }
    println!("{} faults: {injected:?}", injected.len());

    chaos.settle();
    for stream in VICTIMS {
        chaos.orchestrator.wait_running(stream, SOON);
        chaos.server.wait_ready(&output(stream), SOON);
        let reader = chaos.reader(stream);
        chaos.assert_gapless(stream, &reader);
    }
    for (stream, reader) in BYSTANDERS.iter().zip(&bystanders) {
        chaos.assert_gapless(stream, reader);
    }
    let still = BYSTANDERS.map(|stream| chaos.orchestrator.wait_running(stream, SOON));
    assert_eq!(calm, still, "the same workers");
    assert_eq!(chaos.orchestrator.workers().len(), 6);
    assert!(census.most() <= 6, "never two for one stream");
    let below = procfs::descendants(chaos.orchestrator.process().pid());
    assert_eq!(below.len(), 6, "nothing is left over");
    assert!(http::get(&format!("{}/readyz", chaos.orchestrator.url())).is_ok());
    let log = chaos.orchestrator.process().output();
    assert!(!log.contains("panicked"), "{log}");
}
