//! Random histories of what is wanted, seen and observed, with observations that are lost, doubled or late.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use super::super::super::failure::FailureKind;
use super::launching::{Order, Recorder};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// MediaMTX has the stream, or not.
    Sees(bool),
    Wants(Command),
    /// With one of two sets of outputs.
    Routes(bool),
    /// The next observation that is under way comes in.
    Delivers,
    /// It comes in now, and once more later.
    Doubles,
    /// It never comes in.
    Loses,
    /// The worker ends by itself.
    Crashes,
    /// From now on workers refuse what they are to apply, or apply it again.
    Refuses,
    Passes(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let wants = [Command::Start, Command::Stop, Command::Restart];
    prop_oneof![
        2 => any::<bool>().prop_map(Step::Sees),
        3 => proptest::sample::select(wants.to_vec()).prop_map(Step::Wants),
        4 => any::<bool>().prop_map(Step::Routes),
        8 => Just(Step::Delivers),
        2 => Just(Step::Doubles),
        2 => Just(Step::Loses),
        2 => Just(Step::Crashes),
        1 => Just(Step::Refuses),
        2 => (0_u64..100).prop_map(|seconds| Step::Passes(Duration::from_secs(seconds))),
    ]
}

/// The workers as they are, whatever the supervision knows of them.
#[derive(Default)]
struct World {
    /// By epoch: the generation that they have, if they run.
    alive: BTreeMap<u64, u64>,
    under_way: VecDeque<(u64, Observation)>,
    refuses: bool,
    latest: u64,
}

impl World {
    /// Does what was asked for.
    fn obey(&mut self, orders: Vec<Order>) -> Result<(), TestCaseError> {
        for order in orders {
            match order {
                Order::Start(epoch, _) => {
                    prop_assert!(epoch > self.latest, "an epoch was given twice");
                    self.latest = epoch;
                    prop_assert!(self.alive.is_empty(), "two workers at a time");
                    self.alive.insert(epoch, 1);
                    self.tell(epoch, Observation::Started { pid: 1 });
                }
                Order::Apply(epoch, generation, _) => {
                    let Some(current) = self.alive.get_mut(&epoch) else {
                        continue;
                    };
                    prop_assert!(generation > *current, "a generation went back");
                    *current = generation;
                    let refuses = self.refuses;
                    self.tell(
                        epoch,
                        if refuses {
                            let reason = "no".to_owned();
                            Observation::Refused { generation, reason }
                        } else {
                            Observation::Applied { generation }
                        },
                    );
                }
                Order::End(epoch, _) => self.end(epoch),
            }
        }
        Ok(())
    }

    fn end(&mut self, epoch: u64) {
        self.alive.remove(&epoch);
        self.tell(epoch, ended());
    }

    fn tell(&mut self, epoch: u64, observation: Observation) {
        self.under_way.push_back((epoch, observation));
    }
}

fn ended() -> Observation {
    Observation::Ended(FailureKind::Exited.because("exit code 1"))
}

/// The same once more: what matters here can be told twice.
fn copy(observation: &Observation) -> Observation {
    match observation {
        Observation::Started { pid } => Observation::Started { pid: *pid },
        Observation::Applied { generation } => Observation::Applied {
            generation: *generation,
        },
        Observation::Refused { generation, reason } => Observation::Refused {
            generation: *generation,
            reason: reason.clone(),
        },
        Observation::Ended(_) | Observation::Reported(_) => ended(),
    }
}

struct History {
    supervision: Supervision,
    recorder: Recorder,
    world: World,
    late: Vec<(u64, Observation)>,
    /// Whether an operator stopped it last.
    is_stopped: bool,
}

impl History {
    fn new() -> Self {
        let recorder = Recorder::default();
        let mut supervision = supervision("cam => rtmp://192.0.2.1/x/one");
        supervision.launcher = Box::new(recorder.clone());
        supervision.resolves("192.0.2.1", 1935, &["192.0.2.1"]);
        Self {
            supervision,
            recorder,
            world: World::default(),
            late: Vec::new(),
            is_stopped: false,
        }
    }

    fn sees(&mut self, is_there: bool) {
        let paths = [("cam", "rtspSession", "1")];
        self.supervision.sees(if is_there { &paths } else { &[] });
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Sees(is_there) => self.sees(is_there),
            Step::Wants(command) => {
                self.is_stopped = match command {
                    Command::Start => false,
                    Command::Stop => true,
                    Command::Restart => self.is_stopped,
                };
                self.supervision.command(&key("cam"), command);
            }
            Step::Routes(both) => self.route(both),
            Step::Delivers => {
                if let Some((epoch, observation)) = self.world.under_way.pop_front() {
                    self.observe(epoch, observation);
                } else if let Some((epoch, observation)) = self.late.pop() {
                    self.observe(epoch, observation);
                }
            }
            Step::Doubles => {
                if let Some((epoch, observation)) = self.world.under_way.pop_front() {
                    self.late.push((epoch, copy(&observation)));
                    self.observe(epoch, observation);
                }
            }
            Step::Loses => drop(self.world.under_way.pop_front()),
            Step::Crashes => {
                if let Some(epoch) = self.world.alive.keys().next() {
                    self.world.end(*epoch);
                }
            }
            Step::Refuses => self.world.refuses = !self.world.refuses,
            Step::Passes(time) => self.pass(time),
        }
    }

    fn route(&mut self, both: bool) {
        let one = "cam => rtmp://192.0.2.1/x/one";
        let routes = if both {
            format!("{one} rtmp://192.0.2.1/x/two")
        } else {
            one.to_owned()
        };
        let servers = self.supervision.config.worker.servers.clone();
        let layers = Layers {
            flags: vec![routes.parse().unwrap()],
            ..Layers::default()
        };
        let table = RouteTable::new(&layers, &servers).unwrap();
        self.supervision.set_routes(Arc::new(table));
    }

    fn observe(&mut self, epoch: u64, observation: Observation) {
        let stream = key("cam");
        let worker = WorkerKey { stream, epoch };
        self.supervision.take(Message::Observed {
            worker,
            observation,
        });
    }

    /// What each of the deadlines of that time brings, with a worker that reports nothing.
    fn pass(&mut self, time: Duration) {
        let now = (Instant::now() + time).max(self.supervision.looked);
        self.supervision.look_after_at(now, false);
    }

    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.supervision.look_after();
        self.world.obey(self.recorder.take())
    }

    /// From now on nothing is lost any more, and time goes on.
    fn end(&mut self) -> Result<(), TestCaseError> {
        self.sees(true);
        for minute in 1..20 {
            self.pass(minute * MINUTE);
            self.settle()?;
            while let Some((epoch, observation)) = self.world.under_way.pop_front() {
                self.observe(epoch, observation);
                self.settle()?;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(Config::with_cases(200))]
    #[test]
    fn there_is_at_most_one_worker_and_a_stop_wins_over_every_earlier_start(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut history = History::new();
        for step in steps {
            history.take(step);
            history.settle()?;
        }
        let before = history.world.latest;
        history.end()?;
        let has_one = history.world.latest > before || !history.world.alive.is_empty();
        prop_assert!(history.is_stopped || has_one, "a start was forgotten");
        let wanted = usize::from(!history.is_stopped);
        prop_assert!(history.world.alive.len() <= wanted, "a stop was forgotten");
        let stopped = history.supervision.stopped.contains(&key("cam"));
        prop_assert_eq!(stopped, history.is_stopped);
    }
}
