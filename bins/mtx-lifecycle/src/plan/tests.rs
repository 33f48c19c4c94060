use serde_json::json;

use super::*;

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

#[test]
fn nothing_is_written_where_nothing_differs() {
    let view = View::fake(&json!({"cam": on_demand("5m0s")}), &live());
    let plan = plan(&Wanted::fake("", &["viewing"]), &view, "cam", None).unwrap();
    assert_eq!(plan.steps, []);
}

#[test]
fn a_recording_begins_at_once_and_what_would_drop_its_viewer_waits() {
    let mut entry = on_demand("10s");
    entry["runOnDemandRestart"] = false.into();
    let view = View::fake(&json!({"cam": entry}), &live());
    let plan = plan(&Wanted::fake("", &["recording"]), &view, "cam", None).unwrap();
    let [cold, hot] = &plan.steps[..] else {
        panic!("{plan:?}");
    };
    assert!(plan.kept && !cold.hurts.is_idle() && hot.hurts.is_idle());
    assert_eq!(
        cold.change,
        Change::Patch(fields(json!({"runOnDemandRestart": true})))
    );
    assert_eq!(hot.change, Change::Patch(fields(json!({"record": true}))));
    assert_eq!(cold.hurts.viewers, 1);
    assert_eq!(
        hot.touched.before,
        fields(json!({"runOnDemandRestart": false, "record": false}))
    );
}

#[test]
fn the_settings_of_a_running_recording_wait_for_its_end() {
    let mut entry = on_demand("5m");
    entry["record"] = true.into();
    let view = View::fake(&json!({"cam": entry}), &live());
    let policy = "paths: [{path: cam, overrides: {recordSegmentDuration: 10m}}]";
    let during = plan(&Wanted::fake(policy, &["recording"]), &view, "cam", None).unwrap();
    assert_eq!(during.steps[0].impact, Impact::Recording);
    assert_eq!(
        during.steps[0].hurts.to_string(),
        "0 viewers, 0 publishers, 1 recording"
    );
    let touched = Touched {
        before: fields(json!({"record": false})),
        written: fields(json!({"record": true})),
        ..Touched::default()
    };
    let after = plan(&Wanted::fake(policy, &[]), &view, "cam", Some(&touched)).unwrap();
    assert_eq!(after.steps[0].impact, Impact::Nothing);
    assert_eq!(
        after.steps[0].change,
        Change::Patch(fields(
            json!({"record": false, "recordSegmentDuration": "10m"})
        ))
    );
}

#[test]
fn what_is_no_longer_wanted_becomes_what_it_was() {
    let mut entry = on_demand("10s");
    entry["record"] = true.into();
    let view = View::fake(&json!({"cam": entry}), &live());
    let touched = Touched {
        added: false,
        before: fields(json!({"record": false})),
        written: fields(json!({"record": true})),
        base: Fields::new(),
    };
    let plan = plan(&Wanted::fake("", &[]), &view, "cam", Some(&touched)).unwrap();
    let change = Change::Patch(fields(json!({"record": false})));
    assert_eq!(plan.steps[0].change, change);
    assert_eq!(plan.steps[0].touched.clone().after(&change), None);
}

#[test]
fn what_somebody_else_has_changed_is_what_it_becomes_again() {
    let view = View::fake(&json!({"cam": on_demand("30s")}), &json!([]));
    let touched = Touched {
        added: false,
        before: fields(json!({"runOnDemandCloseAfter": "10s"})),
        written: fields(json!({"runOnDemandCloseAfter": "5m"})),
        base: Fields::new(),
    };
    let again = plan(
        &Wanted::fake("", &["viewing"]),
        &view,
        "cam",
        Some(&touched),
    )
    .unwrap();
    let touched = again.steps[0].touched.clone();
    assert_eq!(touched.before["runOnDemandCloseAfter"], "30s");
    assert_eq!(
        plan(&Wanted::fake("", &[]), &view, "cam", Some(&touched))
            .unwrap()
            .steps,
        []
    );
}

#[test]
fn an_entry_for_many_paths_is_never_touched() {
    let live = json!([{"name": "cam", "confName": "all_others", "available": true}]);
    let model =
        json!({"source": "publisher", "record": false, "runOnReady": "x", "runOnDemand": ""});
    let view = View::fake(&json!({"all_others": model}), &live);
    let plan = plan(&Wanted::fake("", &["recording"]), &view, "cam", None).unwrap();
    let step = &plan.steps[0];
    assert_eq!(
        step.change,
        Change::Add(fields(json!({"record": true, "runOnReady": "x"})))
    );
    assert_eq!(
        (&step.entry[..], !step.hurts.is_idle(), plan.kept),
        ("cam", false, false)
    );
    assert_eq!(step.touched.before, fields(json!({"record": false})));
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
    let plan = plan(&wanted, &view, "cam1", None).unwrap();
    assert!(!plan.steps[0].hurts.is_idle());
    let Change::Add(added) = &plan.steps[0].change else {
        panic!("{plan:?}");
    };
    assert_eq!(added["runOnReady"], "x 1");
}

#[test]
fn an_entry_of_our_own_goes_when_nothing_is_wanted_of_it() {
    let live = json!([{"name": "cam", "confName": "cam", "available": true}]);
    let touched = Touched {
        added: true,
        before: fields(json!({"record": false})),
        written: fields(json!({"record": true})),
        base: Fields::new(),
    };
    let entry = json!({"source": "publisher", "record": true, "runOnDemand": ""});
    let model = json!({"source": "publisher", "record": false, "runOnDemand": ""});
    let view = View::fake(&json!({"cam": entry, "all_others": model}), &live);
    let plan = plan(&Wanted::fake("", &[]), &view, "cam", Some(&touched)).unwrap();
    assert_eq!(
        (&plan.steps[0].change, !plan.steps[0].hurts.is_idle()),
        (&Change::Remove, false)
    );
    let alone = View::fake(&json!({"cam": entry}), &live);
    let plan = super::plan(&Wanted::fake("", &[]), &alone, "cam", Some(&touched)).unwrap();
    assert!(
        !plan.steps[0].hurts.is_idle(),
        "without an entry the path ends"
    );
}

#[test]
fn a_path_that_nobody_knows_is_an_error_unless_the_policy_has_a_source_for_it() {
    let view = View::fake(&json!({}), &json!([]));
    let error = plan(&Wanted::fake("", &["recording"]), &view, "cam", None).unwrap_err();
    assert!(
        error.to_string().contains("no entry for path cam"),
        "{error}"
    );
    let policy = "paths: [{path: cam, source: {command: x}}]";
    let plan = plan(&Wanted::fake(policy, &["recording"]), &view, "cam", None).unwrap();
    assert!(plan.kept && plan.steps[0].hurts.is_idle());
}
