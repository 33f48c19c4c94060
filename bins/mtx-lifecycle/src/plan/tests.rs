use mediamtx::version::ServerVersion;
use serde_json::json;

use super::*;
use crate::ledger::Field;
use crate::policy::{Hold, Wanted};

fn fields(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}

fn on_demand(close_after: &str) -> Value {
    json!({
        "source": "publisher", "runOnDemand": "x", "runOnDemandRestart": true, "record": false,
        "runOnDemandStartTimeout": "10s", "runOnDemandCloseAfter": close_after,
    })
}

fn live() -> Value {
    json!([{"name": "cam", "confName": "cam", "available": true, "readers": [{"type": "webRTCSession"}]}])
}

/// What is known: of each setting, what others want and what was written.
fn owned(created: bool, known: Value) -> Owned {
    let known = known.as_object().unwrap().iter();
    let field = |value: &Value| Field {
        original: value[0].clone(),
        ours: vec![value[1].clone()],
    };
    Owned {
        created,
        fields: known
            .map(|(name, value)| (name.clone(), field(value)))
            .collect(),
    }
}

fn state(owned: Option<(&str, Owned)>) -> State {
    let mut state = State::default();
    state.id = "me".to_owned();
    if let Some((entry, owned)) = owned {
        state.ledger.set(entry, Some(owned));
    }
    state
}

fn plan_of(
    wanted: &Current,
    view: &View,
    path: &str,
    known: Option<Owned>,
) -> Result<PathPlan, TemplateError> {
    let state = state(known.map(|owned| (path, owned)));
    Planner::new(&state, wanted, view, &BTreeSet::new()).path(path)
}

#[test]
fn nothing_is_written_where_nothing_differs() {
    let view = View::fake(&json!({"cam": on_demand("5m0s")}), &live());
    let plan = plan_of(&Wanted::fake("", &["viewing"]).now(), &view, "cam", None).unwrap();
    assert_eq!(plan.steps, []);
}

#[test]
fn a_recording_begins_at_once_and_what_would_drop_its_viewer_waits() {
    let mut entry = on_demand("10s");
    entry["runOnDemandRestart"] = false.into();
    let view = View::fake(&json!({"cam": entry}), &live());
    let plan = plan_of(&Wanted::fake("", &["recording"]).now(), &view, "cam", None).unwrap();
    let [cold, hot] = &plan.steps[..] else {
        panic!("{plan:?}");
    };
    assert!(plan.kept && !cold.hurts.is_idle() && hot.hurts.is_idle());
    let restart = json!({"runOnDemandRestart": true});
    assert_eq!(cold.change, Change::Patch(fields(restart)));
    assert_eq!(hot.change, Change::Patch(fields(json!({"record": true}))));
    assert_eq!(cold.hurts.viewers, 1);
    // Of what waits, nothing is noted.
    assert_eq!(hot.originals, fields(json!({"record": false})));
}

#[test]
fn the_settings_of_a_running_recording_wait_for_its_end() {
    let mut entry = on_demand("5m");
    entry["record"] = true.into();
    let view = View::fake(&json!({"cam": entry}), &live());
    let policy = "paths: [{path: cam, overrides: {recordSegmentDuration: 10m}}]";
    let wanted = Wanted::fake(policy, &["recording"]).now();
    let during = plan_of(&wanted, &view, "cam", None).unwrap();
    assert_eq!(during.steps[0].impact, Impact::Recording);
    let hurts = during.steps[0].hurts.to_string();
    assert_eq!(hurts, "1 recording");
    let known = owned(false, json!({"record": [false, true]}));
    let after = plan_of(&Wanted::fake(policy, &[]).now(), &view, "cam", Some(known)).unwrap();
    assert_eq!(after.steps[0].impact, Impact::Nothing);
    let change = json!({"record": false, "recordSegmentDuration": "10m"});
    assert_eq!(after.steps[0].change, Change::Patch(fields(change)));
}

#[test]
fn on_a_server_on_which_it_is_not_hot_it_waits_for_everybody() {
    let policy = "paths: [{path: cam, overrides: {recordSegmentDuration: 10m}}]";
    let wanted = Wanted::fake(policy, &[]).now();
    let mut view = View::fake(&json!({"cam": on_demand("5m")}), &live());
    let impact = |view: &View| plan_of(&wanted, view, "cam", None).unwrap().steps[0].impact;
    assert_eq!(impact(&view), Impact::Nothing);
    for version in [
        ServerVersion::Known("v1.14.0".parse().unwrap()),
        ServerVersion::Unknown,
    ] {
        view.version = version;
        assert_eq!(impact(&view), Impact::Path, "{:?}", view.version);
    }
}

#[test]
fn what_is_no_longer_wanted_becomes_what_it_was() {
    let mut entry = on_demand("10s");
    entry["record"] = true.into();
    let view = View::fake(&json!({"cam": entry}), &live());
    let known = owned(false, json!({"record": [false, true]}));
    let plan = plan_of(&Wanted::fake("", &[]).now(), &view, "cam", Some(known)).unwrap();
    let change = Change::Patch(fields(json!({"record": false})));
    assert_eq!(plan.steps[0].change, change);
}

#[test]
fn what_somebody_else_has_changed_is_what_it_becomes_again() {
    let view = View::fake(&json!({"cam": on_demand("30s")}), &json!([]));
    let known = || {
        Some(owned(
            false,
            json!({"runOnDemandCloseAfter": ["10s", "5m"]}),
        ))
    };
    let again = plan_of(&Wanted::fake("", &["viewing"]).now(), &view, "cam", known()).unwrap();
    assert_eq!(again.steps[0].originals["runOnDemandCloseAfter"], "30s");
    let back = plan_of(&Wanted::fake("", &[]).now(), &view, "cam", known()).unwrap();
    assert_eq!(back.steps, []);
}

#[test]
fn an_entry_for_many_paths_is_never_touched() {
    let live = json!([{"name": "cam", "confName": "all_others", "available": true}]);
    let model =
        json!({"source": "publisher", "record": false, "runOnReady": "x", "runOnDemand": ""});
    let mut view = View::fake(&json!({"all_others": model}), &live);
    let wanted = Wanted::fake("", &["recording"]).now();
    let plan = plan_of(&wanted, &view, "cam", None).unwrap();
    let step = &plan.steps[0];
    let added = json!({"record": true, "runOnReady": "x"});
    assert_eq!(step.change, Change::Add(fields(added)));
    assert_eq!(
        (&step.entry[..], step.hurts.is_idle(), plan.kept),
        ("cam", true, false)
    );
    assert_eq!(step.originals["record"], false);
    // v1.12.3 destroys a path that gets an entry of its own, whatever that says.
    view.version = ServerVersion::Known("v1.12.3".parse().unwrap());
    let plan = plan_of(&wanted, &view, "cam", None).unwrap();
    assert!(!plan.steps[0].hurts.is_idle());
}

#[test]
fn an_entry_for_many_paths_that_an_old_journal_has_changed_is_put_back_when_all_have_gone() {
    let live = json!([{"name": "door", "confName": "all_others", "available": true}]);
    let model = json!({"source": "publisher", "record": true, "runOnDemandRestart": true});
    let view = View::fake(&json!({"all_others": model}), &live);
    let known = json!({"record": [false, true], "runOnDemandRestart": [false, true]});
    let state = state(Some(("all_others", owned(false, known))));
    let wanted = Wanted::default().now();
    let none = BTreeSet::new();
    let steps = Planner::new(&state, &wanted, &view, &none).templates();
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].hurts.publishers, 1, "{steps:?}");
}

#[test]
fn a_group_of_an_expression_would_be_lost_so_the_path_waits() {
    let live = json!([{"name": "cam1", "confName": "~^cam(.)$", "available": true}]);
    let view = View::fake(
        &json!({"~^cam(.)$": {"runOnReady": "x $G1", "record": false}}),
        &live,
    );
    let mut wanted = Wanted::fake("", &["recording"]);
    wanted.uses = [("cam1".to_owned(), wanted.uses["cam"].clone())].into();
    let plan = plan_of(&wanted.now(), &view, "cam1", None).unwrap();
    assert!(!plan.steps[0].hurts.is_idle());
    let Change::Add(added) = &plan.steps[0].change else {
        panic!("{plan:?}");
    };
    assert_eq!(added["runOnReady"], "x 1");
}

#[test]
fn a_watched_path_of_an_expression_is_recorded_at_once_and_held_when_it_can_be() {
    let live = json!([{"name": "grp/w", "confName": "~^grp/(.+)$", "available": true, "readers": [{"type": "rtspSession", "id": "1"}]}]);
    let mut model = on_demand("2s");
    model["runOnDemandRestart"] = false.into();
    let mut view = View::fake(&json!({"~^grp/(.+)$": model}), &live);
    let mut wanted = Wanted::fake("", &["recording"]);
    wanted.uses = [("grp/w".to_owned(), wanted.uses["cam"].clone())].into();
    let wanted = wanted.now();
    let plan = plan_of(&wanted, &view, "grp/w", None).unwrap();
    let Change::Add(added) = &plan.steps[0].change else {
        panic!("{plan:?}");
    };
    assert!(plan.kept && plan.steps[0].hurts.is_idle());
    assert_eq!(added["record"], true);
    assert_eq!(added["runOnDemandRestart"], false);
    // Where nothing is hot, a keeper would hold the very source whose end the entry waits for.
    view.version = ServerVersion::Known("v1.12.3".parse().unwrap());
    let plan = plan_of(&wanted, &view, "grp/w", None).unwrap();
    assert!(!plan.kept && !plan.steps[0].hurts.is_idle());
}

#[test]
fn an_entry_of_our_own_goes_when_nothing_is_wanted_of_it() {
    let live = json!([{"name": "cam", "confName": "cam", "available": true}]);
    let known = || Some(owned(true, json!({"record": [false, true]})));
    let entry = json!({"source": "publisher", "record": true, "runOnDemand": ""});
    let model = json!({"source": "publisher", "record": false, "runOnDemand": ""});
    let view = View::fake(&json!({"cam": entry, "all_others": model}), &live);
    let nothing = Wanted::fake("", &[]).now();
    let plan = plan_of(&nothing, &view, "cam", known()).unwrap();
    let step = &plan.steps[0];
    assert_eq!(
        (&step.change, step.hurts.is_idle()),
        (&Change::Remove, true)
    );
    let alone = View::fake(&json!({"cam": entry}), &live);
    let plan = plan_of(&nothing, &alone, "cam", known()).unwrap();
    let [back, removal] = &plan.steps[..] else {
        panic!("{plan:?}");
    };
    assert!(back.hurts.is_idle(), "its recording ends at once");
    assert!(!removal.hurts.is_idle(), "without an entry the path ends");
}

#[test]
fn entry_of_our_own_waits_where_the_template_is_another_one_than_it_was_copied_from() {
    let live = json!([{"name": "cam", "confName": "cam", "available": true}]);
    let entry = json!({"source": "publisher", "record": true, "runOnDemand": ""});
    let hurts = |template: &str, settings: Value, copied: Value| {
        let mut model = fields(json!({"source": "publisher", "record": false, "runOnDemand": ""}));
        model.extend(fields(settings));
        let mut view = View::fake(&json!({"cam": entry, template: model}), &live);
        view.defaults.extend(fields(json!({"maxReaders": 0})));
        let mut known = owned(true, json!({"record": [false, true]}));
        known.fields.extend(owned(true, copied).fields);
        let nothing = Wanted::fake("", &[]).now();
        let plan = plan_of(&nothing, &view, "cam", Some(known)).unwrap();
        let removal = plan.steps.last().unwrap();
        assert_eq!(removal.change, Change::Remove);
        !removal.hurts.is_idle()
    };
    let nothing = || json!({});
    let copied = || json!({"maxReaders": [50, 50]});
    let fifty = || json!({"maxReaders": 50});
    assert!(!hurts("all_others", nothing(), nothing()));
    assert!(!hurts("all_others", fifty(), copied()));
    assert!(hurts("all_others", fifty(), nothing()), "it was added");
    assert!(
        hurts("all_others", nothing(), copied()),
        "it was taken away"
    );
    assert!(!hurts("~^cam", json!({"maxReaders": 0}), nothing()));
    assert!(hurts(
        "~^cam",
        json!({"maxReaders": 0, "overridePublisher": false}),
        nothing()
    ));
    assert!(hurts(
        "all_others",
        fifty(),
        json!({"maxReaders": [50, 50], "fallback": ["/a", "/a"]})
    ));
    let mut unsure = owned(true, json!({"record": [false, true]}));
    unsure.fields.extend(owned(true, copied()).fields);
    if let Some(field) = unsure.fields.get_mut("maxReaders") {
        field.ours.push(json!(40));
    }
    let model =
        json!({"source": "publisher", "record": false, "runOnDemand": "", "maxReaders": 50});
    let view = View::fake(&json!({"cam": entry, "all_others": model}), &live);
    let nothing = Wanted::fake("", &[]).now();
    let plan = plan_of(&nothing, &view, "cam", Some(unsure)).unwrap();
    assert!(!plan.steps.last().unwrap().hurts.is_idle(), "either may be");
}

#[test]
fn an_entry_for_a_rule_with_a_pattern_goes_with_its_stream() {
    let policy = "paths: [{path: 'live/*/in', overrides: {recordSegmentDuration: 30m}}]";
    let wanted = Wanted {
        policy: std::sync::Arc::new(policy.parse().unwrap()),
        ..Wanted::default()
    };
    let wanted = wanted.now();
    let model = json!({"source": "publisher", "record": false, "recordSegmentDuration": "1h"});
    let own = json!({"source": "publisher", "record": false, "recordSegmentDuration": "30m"});
    let entries = json!({"all_others": model, "live/a/in": own});
    let live = |available: bool| json!([{"name": "live/a/in", "confName": "live/a/in", "available": available}]);
    let known = || Some(owned(true, json!({"recordSegmentDuration": ["1h", "30m"]})));
    let there = View::fake(&entries, &live(true));
    let plan = plan_of(&wanted, &there, "live/a/in", known()).unwrap();
    assert_eq!(plan.steps, []);
    let gone = View::fake(&entries, &live(false));
    let plan = plan_of(&wanted, &gone, "live/a/in", known()).unwrap();
    assert_eq!(plan.steps[0].change, Change::Remove);
    assert!(!plan.steps[0].ends_retention);
    // Somebody else's entry of that name stays.
    let plan = plan_of(&wanted, &gone, "live/a/in", None).unwrap();
    assert_eq!(plan.steps, []);
}

#[test]
fn a_path_that_nobody_knows_is_an_error_unless_the_policy_has_a_source_for_it() {
    let view = View::fake(&json!({}), &json!([]));
    let error = plan_of(&Wanted::fake("", &["recording"]).now(), &view, "cam", None).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("no entry for path cam"), "{message}");
    let policy = "paths: [{path: cam, source: {command: x}}]";
    let wanted = Wanted::fake(policy, &["recording"]).now();
    let plan = plan_of(&wanted, &view, "cam", None).unwrap();
    assert!(plan.kept && plan.steps[0].hurts.is_idle());
}

/// The steps about what holds `cam` open, which a use case wants or not.
fn keepers(started: &[&str], view: &View, rtsp: Option<&str>) -> Vec<Step> {
    let mut state = state(None);
    state.rtsp = rtsp.map(|url| url.parse().unwrap());
    let current = Wanted::fake("", started).now();
    let none = BTreeSet::new();
    let planner = Planner::new(&state, &current, view, &none);
    let plan = planner.path("cam").unwrap();
    planner.keepers("cam", &plan).unwrap()
}

fn kept_view(source: &str, readers: usize) -> View {
    let keeper =
        json!({"source": source, "sourceOnDemand": false, "rtspTransport": "tcp", "record": false});
    let reader = json!({"type": "rtspSession"});
    let mut view = View::fake(
        &json!({"cam": on_demand("10s"), "lifecycle/me/cam": keeper, "lifecycle/you/cam": keeper}),
        &json!([
            {"name": "cam", "confName": "cam", "available": true, "readers": vec![reader; readers]},
            {"name": "lifecycle/me/cam", "confName": "lifecycle/me/cam", "available": true},
        ]),
    );
    view.defaults
        .insert("alwaysAvailable".to_owned(), false.into());
    view
}

#[test]
fn nobody_removes_the_keeper_of_another_journal() {
    let view = kept_view("rtsp://127.0.0.1:8554/cam", 2);
    let removed = keepers(&[], &view, None);
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert_eq!(removed[0].entry, "lifecycle/me/cam");
    assert_eq!(removed[0].change, Change::Remove);
}

#[test]
fn a_keeper_that_works_is_not_changed_under_a_recording() {
    let view = kept_view("rtsp://u:p@127.0.0.1:8554/cam", 1);
    let url = "rtsp://u:other@127.0.0.1:8554";
    let changed = keepers(&["recording"], &view, Some(url));
    assert_eq!(changed[0].impact, Impact::Hold);
    assert_eq!(changed[0].hurts.publishers, 1, "{changed:?}");
    // Somebody watches, so that nothing ends meanwhile.
    let changed = keepers(
        &["recording"],
        &kept_view("rtsp://u:p@127.0.0.1:8554/cam", 2),
        Some(url),
    );
    assert!(changed[0].hurts.is_idle(), "{changed:?}");
    let same = keepers(&["recording"], &view, Some("rtsp://u:p@127.0.0.1:8554"));
    assert!(
        same.iter().all(|step| !step
            .change
            .fields()
            .is_some_and(|it| it.contains_key("source"))),
        "{same:?}"
    );
}

#[test]
fn a_keeper_of_an_older_version_goes_once_the_path_is_held_by_the_new_one() {
    let entries =
        json!({"cam": on_demand("10s"), "lifecycle/keep/cam": {"source": "rtsp://h/cam"}});
    let path = |name: &str| json!({"name": name, "confName": name, "available": true});
    let mut state = state(None);
    let known = owned(true, json!({"source": [null, "rtsp://h/cam"]}));
    state.ledger.set("lifecycle/keep/cam", Some(known));
    let current = Wanted::fake("", &["recording"]).now();
    let none = BTreeSet::new();
    let steps = |live: Value, entries: &Value| {
        let view = View::fake(entries, &live);
        let planner = Planner::new(&state, &current, &view, &none);
        let plan = planner.path("cam").unwrap();
        planner.keepers("cam", &plan).unwrap()
    };
    let first = steps(json!([path("cam"), path("lifecycle/keep/cam")]), &entries);
    assert_eq!(first[0].entry, "lifecycle/me/cam");
    assert_eq!(first[1].change, Change::Remove);
    assert!(
        first[0].hurts.is_idle() && !first[1].hurts.is_idle(),
        "{first:?}"
    );
    let both = steps(
        json!([
            path("cam"),
            path("lifecycle/keep/cam"),
            path("lifecycle/me/cam")
        ]),
        &entries,
    );
    assert!(both.last().unwrap().hurts.is_idle(), "{both:?}");
}

#[test]
fn a_path_is_held_while_a_command_waits_for_it() {
    let state = state(None);
    let view = View::fake(&json!({"cam": on_demand("10s")}), &json!([]));
    let hold = Hold {
        path: "cam".to_owned(),
        use_case: None,
    };
    let none = BTreeSet::new();
    for (holds, count) in [(vec![hold], 1), (Vec::new(), 0)] {
        let current = Wanted::default().at(common::timestamp::Timestamp::now(), holds);
        let planner = Planner::new(&state, &current, &view, &none);
        let plan = planner.path("cam").unwrap();
        assert_eq!(planner.keepers("cam", &plan).unwrap().len(), count);
    }
}
