//! Whatever people, streams, faults and other programs do in whatever order: nobody is hurt, and everything can be
//! taken back. The commands, the journal and the ledger are the real ones; only the server is a model.

mod model;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use mediamtx::api::Api;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::model::{Fault, Killed, Model};
use crate::apply::Scope;
use crate::commands::{Error, Lifecycle, Options, Session};

const PATHS: [&str; 4] = ["cam", "push", "live/a", "new"];
const USE_CASES: [&str; 4] = ["recording", "viewing", "snapshot", "patrol"];
const POLICIES: [&str; 5] = [
    "useCases: {patrol: {closeAfter: 20m, record: yes}}",
    "useCases: {patrol: {closeAfter: 20m, record: yes}}\npaths: [{path: cam, useCase: viewing}]",
    "useCases: {patrol: {closeAfter: 7m, record: yes, recordDeleteAfter: 2d}}\n\
     paths: [{path: cam, useCase: recording}, {path: new, useCase: viewing, source: {command: x}}]",
    "useCases: {patrol: {closeAfter: 20m}}\npaths: [{path: 'live/*', overrides: {recordSegmentDuration: 30m}}]",
    "useCases: {patrol: {closeAfter: 3m}}\npaths: [{path: '**', useCase: recording}]",
];

#[derive(Debug, Clone)]
enum Action {
    Start(&'static str, &'static str),
    Stop(&'static str),
    Picture(&'static str),
    Apply(usize),
    Rollback(Option<u64>),
    Reconcile,
    /// Another journal records a path of its own, or no more.
    Other(bool),
    Come(&'static str),
    Leave(&'static str),
    Publish(&'static str),
    Unpublish(&'static str),
    /// On-demand sources that nobody wants are closed.
    Close,
    OthersPatch(&'static str, &'static str, &'static str),
    Fault(usize, Fault),
    /// MediaMTX deletes recorded files whose time is over.
    Expire,
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let path = || prop::sample::select(&PATHS[..]);
    let fault = prop::sample::select(&[
        Fault::Reject,
        Fault::Lose,
        Fault::Hide,
        Fault::Kill { after: false },
        Fault::Kill { after: true },
    ]);
    let others = prop::sample::select(&[
        ("runOnDemandCloseAfter", "33s"),
        ("runOnDemandCloseAfter", "44s"),
        ("recordSegmentDuration", "17m"),
        ("maxReaders", "5"),
    ]);
    let others_entry = prop::sample::select(&["cam", "push", "live/a", "new", "all_others"]);
    prop_oneof![
        6 => (prop::sample::select(&USE_CASES[..]), path()).prop_map(|(name, path)| Action::Start(name, path)),
        3 => path().prop_map(Action::Stop),
        2 => path().prop_map(Action::Picture),
        3 => (0..POLICIES.len()).prop_map(Action::Apply),
        2 => prop::option::of(0..6_u64).prop_map(Action::Rollback),
        4 => Just(Action::Reconcile),
        2 => any::<bool>().prop_map(Action::Other),
        4 => path().prop_map(Action::Come),
        4 => path().prop_map(Action::Leave),
        2 => path().prop_map(Action::Publish),
        2 => path().prop_map(Action::Unpublish),
        2 => Just(Action::Close),
        3 => (others_entry, others).prop_map(|(path, (name, value))| Action::OthersPatch(path, name, value)),
        5 => (0..4_usize, fault).prop_map(|(nth, fault)| Action::Fault(nth, fault)),
        2 => Just(Action::Expire),
        1 => Just(Action::Restart),
    ]
}

/// A program with a journal of its own.
struct Program {
    folder: TempDir,
    model: Model,
    lifecycle: Lifecycle,
}

impl Program {
    fn new(model: &Model) -> Self {
        // The journal waits for its disk at every line, so it lies in memory where there is such a folder.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        Self {
            lifecycle: start(model, &folder),
            folder,
            model: model.clone(),
        }
    }

    /// A command, which may be killed; then the program is started anew.
    fn run(&mut self, command: impl FnOnce(&Lifecycle) -> Result<(), Error>) -> Result<(), Error> {
        let id = crate::journal::Journal::peek(&self.lifecycle.options().folder)?.id;
        let id = match id.as_str() {
            "" => {
                // It gets its id with its first session.
                let _ = self.lifecycle.reconcile();
                crate::journal::Journal::peek(&self.lifecycle.options().folder)?.id
            }
            _ => id,
        };
        self.model.with(|state| state.actor = id);
        let done = catch_unwind(AssertUnwindSafe(|| command(&self.lifecycle)));
        match done {
            Ok(result) => result,
            Err(panic) if panic.is::<Killed>() => {
                self.lifecycle = start(&self.model, &self.folder);
                Ok(())
            }
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn start(model: &Model, folder: &TempDir) -> Lifecycle {
    let options = Options {
        api: Api::new("http://127.0.0.1:1", Duration::ZERO).unwrap(),
        rtsp: None,
        folder: folder.path().join("state"),
        timeout: Duration::ZERO,
    };
    let lifecycle = Lifecycle::on(Box::new(model.clone()), options).unwrap();
    // What the model does not show at once, it never does.
    lifecycle.interrupt().raise();
    lifecycle
}

struct World {
    model: Model,
    program: Program,
    other: Program,
}

impl World {
    fn new(version: &str, has_all_others: bool) -> Self {
        let on_demand = json!({"runOnDemand": "x", "runOnDemandCloseAfter": "10s"});
        let mut file = json!({
            "cam": on_demand, "hall": on_demand, "push": {"recordSegmentDuration": "9m"},
        });
        if has_all_others {
            file["all_others"] = json!({"runOnAvailable": "true"});
        }
        let model = Model::new(version, &file);
        Self {
            program: Program::new(&model),
            other: Program::new(&model),
            model,
        }
    }

    fn act(&mut self, action: &Action) {
        let program = &mut self.program;
        // Commands may fail; what counts is what they leave behind.
        let _ = match *action {
            Action::Start(name, path) => program.run(|it| it.start(name, path, None).map(|_| ())),
            Action::Stop(path) => {
                let mut is_ok = false;
                let stop = |it: &Lifecycle| it.stop(path, "enough").map(|it| is_ok = it.is_ok());
                let stopped = program.run(stop);
                let recorded = self.model.with(|state| state.is_recorded(path));
                assert!(!(is_ok && recorded), "{path} is stopped and recorded");
                stopped
            }
            Action::Picture(path) => {
                program.run(|it| it.hold_for_picture(path)?.release().map(|_| ()))
            }
            Action::Apply(number) => {
                let policy = POLICIES[number].parse().unwrap();
                program.run(|it| it.apply(policy, false).map(|_| ()))
            }
            Action::Rollback(number) => program.run(|it| it.rollback(number, false).map(|_| ())),
            Action::Reconcile => program.run(|it| it.reconcile().map(|_| ())),
            Action::Other(true) => self
                .other
                .run(|it| it.start("recording", "hall", None).map(|_| ())),
            Action::Other(false) => self.other.run(|it| it.stop("hall", "enough").map(|_| ())),
            _ => {
                self.model.with(|state| happen(state, action));
                Ok(())
            }
        };
    }

    /// Everybody leaves, nothing fails any more, and all is taken back.
    fn end(&mut self) {
        for _ in 0..4 {
            self.model.with(|state| {
                state.fault = None;
                state.everybody_leaves();
                state.expire();
            });
            for program in [&mut self.program, &mut self.other] {
                program
                    .run(|it| it.rollback(Some(0), false).map(|_| ()))
                    .unwrap();
            }
        }
    }
}

fn happen(state: &mut model::State, action: &Action) {
    match *action {
        Action::Come(path) if state.conf_name(path).is_some() => {
            *state.viewers.entry(path.to_owned()).or_default() += 1;
        }
        Action::Leave(path) if state.viewers.remove(path).is_some() => {
            state.lingering.insert(path.to_owned());
        }
        Action::Publish(path) if state.can_be_published(path) => {
            state.published.insert(path.to_owned());
        }
        Action::Unpublish(path) => {
            state.published.remove(path);
        }
        Action::Close => state.lingering.clear(),
        Action::OthersPatch(path, name, value) => {
            let value = value
                .parse::<u64>()
                .map_or_else(|_| Value::from(value), Value::from);
            state.others_patch(path, name, &value);
        }
        Action::Fault(nth, fault) => state.fault = Some((nth, fault)),
        Action::Expire => state.expire(),
        Action::Restart => state.restart(),
        _ => {}
    }
}

#[track_caller]
fn check(world: &World) {
    let hurt = world.model.with(|state| state.hurt.clone());
    assert!(hurt.is_empty(), "{hurt:?}");
}

fn play(version: &str, has_all_others: bool, actions: &[Action]) {
    let mut world = World::new(version, has_all_others);
    for action in actions {
        world.act(action);
        check(&world);
    }
    world.end();
    check(&world);
    let leftovers = world.model.with(|state| state.leftovers());
    assert!(leftovers.is_empty(), "{leftovers:#?}");
}

#[test]
fn what_waited_for_a_viewer_comes_back_as_it_was() {
    let actions = [
        Action::Apply(0),
        Action::Start("viewing", "cam"),
        Action::Come("cam"),
        Action::Start("patrol", "cam"),
        Action::Leave("cam"),
    ];
    play("v1.19.3", true, &actions);
}

#[test]
fn entry_under_a_template_with_a_hook_is_removed_again() {
    let actions = [
        Action::Publish("live/a"),
        Action::Start("recording", "live/a"),
        Action::Reconcile,
        Action::Stop("live/a"),
    ];
    play("v1.19.3", true, &actions);
}

#[test]
fn nobody_is_thrown_out_of_an_entry_whose_template_has_changed() {
    let actions = [
        Action::Publish("live/a"),
        Action::Come("live/a"),
        Action::Start("recording", "live/a"),
        Action::OthersPatch("all_others", "maxReaders", "5"),
        Action::Stop("live/a"),
    ];
    play("v1.19.3", true, &actions);
}

#[test]
fn entry_that_somebody_else_has_changed_is_not_recorded_after_a_stop() {
    let actions = [
        Action::Start("recording", "live/a"),
        Action::OthersPatch("live/a", "maxReaders", "5"),
        Action::Publish("live/a"),
        Action::Stop("live/a"),
    ];
    play("v1.19.3", true, &actions);
}

/// A recording of `push` for a time that is over by now.
fn recorded_for_a_time() -> World {
    let mut world = World::new("v1.19.3", true);
    world.act(&Action::Publish("push"));
    let now = || jiff::Timestamp::now();
    let moment = now() + Duration::from_millis(300);
    let until = moment.to_string().parse().unwrap();
    let start = |it: &Lifecycle| it.start("recording", "push", Some(until)).map(|_| ());
    world.program.run(start).unwrap();
    assert!(world.model.with(|state| state.is_recorded("push")));
    while now() < moment {
        std::thread::sleep(Duration::from_millis(10));
    }
    world
}

#[test]
fn what_is_over_ends_with_the_next_command_for_whatever_path() {
    for next in [
        Action::Start("recording", "cam"),
        Action::Start("typo", "cam"),
        Action::Stop("typo"),
        Action::Picture("push2"),
        Action::Rollback(Some(99)),
    ] {
        let mut world = recorded_for_a_time();
        world.act(&next);
        let is_recorded = world.model.with(|state| state.is_recorded("push"));
        assert!(!is_recorded, "{next:?}");
    }
}

#[test]
fn what_is_over_is_not_forgotten_by_a_command_that_writes_nothing_or_fails() {
    let policy = || POLICIES[1].parse().unwrap();
    let mut world = recorded_for_a_time();
    world
        .program
        .run(|it| it.preview(policy(), false).map(|_| ()))
        .unwrap();
    world.act(&Action::Fault(0, Fault::Lose));
    world.act(&Action::Apply(1));
    world.act(&Action::Fault(0, Fault::Kill { after: false }));
    world.act(&Action::Start("viewing", "cam"));
    assert!(world.model.with(|state| state.is_recorded("push")));
    world.act(&Action::Start("viewing", "cam"));
    assert!(!world.model.with(|state| state.is_recorded("push")));
}

#[test]
fn interrupted_start_is_taken_back_where_the_server_does_not_answer_either() {
    let mut world = World::new("v1.19.3", true);
    world.act(&Action::Reconcile);
    world.act(&Action::Fault(0, Fault::Lose));
    let lifecycle = &world.program.lifecycle;
    let started = lifecycle.start("recording", "cam", None);
    assert!(matches!(started, Err(Error::Interrupted)), "{started:?}");
    let state = crate::journal::Journal::peek(&lifecycle.options().folder).unwrap();
    assert!(state.wanted().uses.is_empty());
    assert_eq!(lifecycle.rollback(None, false).unwrap().0, 0);
}

#[test]
fn rejected_change_is_not_tried_again_until_the_entry_differs() {
    let world = World::new("v1.19.3", true);
    world.model.with(|state| state.forbids_recording = Some(0));
    let lifecycle = &world.program.lifecycle;
    lifecycle.start("recording", "push", None).unwrap_err();
    let mut session = Session::begin(lifecycle, Duration::ZERO).unwrap();
    let tries = || world.model.with(|state| state.forbids_recording.unwrap());
    let first = session.look_and_converge(&Scope::default()).unwrap();
    let before = tries();
    let scope = Scope {
        refused: &first.refused,
        ..Scope::default()
    };
    let again = session.look_and_converge(&scope).unwrap();
    assert_eq!((tries(), &again.paths), (before, &first.paths));
    world.model.with(|state| {
        state.others_patch("push", "recordSegmentDuration", &json!("17m"));
    });
    session.look_and_converge(&scope).unwrap();
    assert_eq!(tries(), before + 1);
}

#[test]
fn entry_that_a_restart_has_lost_is_added_and_removed_again() {
    let actions = [
        Action::Start("recording", "live/a"),
        Action::OthersPatch("live/a", "recordSegmentDuration", "17m"),
        Action::Apply(3),
        Action::Restart,
        Action::Apply(0),
    ];
    play("v1.19.3", true, &actions);
}

#[test]
fn recorded_files_are_kept_for_as_long_as_their_use_case_said() {
    let mut world = World::new("v1.19.3", true);
    for path in ["cam", "live/a", "new"] {
        world.act(&Action::Apply(2));
        world.act(&Action::Stop(path));
        world.act(&Action::Publish(path));
        world.act(&Action::Start("patrol", path));
        world.act(&Action::Stop(path));
        world.act(&Action::Rollback(Some(0)));
        world.act(&Action::Unpublish(path));
        world.act(&Action::Close);
        world.act(&Action::Rollback(Some(0)));
        check(&world);
        let kept = world.model.with(|state| state.entries[path].clone());
        assert_eq!(kept["recordDeleteAfter"], "2d", "{path}");
        assert_eq!(kept["record"], false, "{path}");
    }
    world.end();
    check(&world);
    let leftovers = world.model.with(|state| state.leftovers());
    assert!(leftovers.is_empty(), "{leftovers:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn nobody_is_hurt_and_everything_can_be_taken_back(
        version in prop::sample::select(&["v1.19.3", "v1.14.0", "v1.21.0"][..]),
        has_all_others in any::<bool>(),
        actions in prop::collection::vec(action(), 1..25),
    ) {
        play(version, has_all_others, &actions);
    }
}
