use super::*;
use serde_json::json;

#[test]
fn a_source_gets_no_less_time_to_start_than_the_server_gives_it_unless_the_policy_says_so() {
    let slow = json!({"runOnDemand": "camera", "runOnDemandStartTimeout": "30s"});
    for (policy, use_case, expected) in [
        ("{}", "viewing", "30s"),
        ("{}", "snapshot", "30s"),
        ("useCases: {viewing: {startTimeout: 12s}}", "viewing", "12s"),
        (
            "paths: [{path: cam, overrides: {startTimeout: 12s}}]",
            "viewing",
            "12s",
        ),
    ] {
        let (fields, _) = target(&Wanted::fake(policy, &[use_case]), slow.clone());
        assert_eq!(fields["runOnDemandStartTimeout"], expected, "{policy}");
    }
}

fn target(wanted: &Wanted, current: Value) -> (Value, bool) {
    let Target { fields, kept } = wanted.now().target("cam", current.as_object().unwrap());
    (Value::from(fields), kept)
}

#[test]
fn each_use_case_is_what_the_specification_says() {
    let current = || json!({"source": "publisher", "runOnDemand": "x"});
    let fetched = || json!({"source": "rtsp://h", "sourceOnDemand": true});
    for (use_case, current, fields, kept) in [
        (
            "recording",
            current(),
            json!({"record": true, "runOnDemandRestart": true, "runOnDemandStartTimeout": "10s"}),
            true,
        ),
        (
            "viewing",
            current(),
            json!({"runOnDemandCloseAfter": "5m", "runOnDemandRestart": true, "runOnDemandStartTimeout": "10s"}),
            false,
        ),
        (
            "snapshot",
            current(),
            json!({"runOnDemandCloseAfter": "1m", "runOnDemandRestart": false, "runOnDemandStartTimeout": "5s"}),
            false,
        ),
        (
            "viewing",
            fetched(),
            json!({"sourceOnDemandCloseAfter": "5m", "sourceOnDemandStartTimeout": "10s"}),
            false,
        ),
        (
            "recording",
            json!({"source": "publisher"}),
            json!({"record": true}),
            false,
        ),
    ] {
        let seen = target(&Wanted::fake("", &[use_case]), current);
        assert_eq!(seen, (fields, kept), "{use_case}");
    }
}

#[test]
fn a_start_for_a_time_shortens_nobodys() {
    let [noon, night]: [Timestamp; 2] =
        ["2100-01-01T12:00:00Z", "2100-01-01T23:00:00Z"].map(|text| text.parse().unwrap());
    for (first, second, expected) in [
        (None, Some(noon), None),
        (Some(noon), Some(night), Some(night)),
        (Some(night), Some(noon), Some(night)),
        (Some(noon), None, None),
    ] {
        let mut used = Use::default();
        used.start("recording", first);
        used.start("recording", second);
        assert_eq!(used.until.get("recording").copied(), expected);
    }
}

#[test]
fn a_start_that_is_taken_back_leaves_what_others_did_meanwhile() {
    let stopped = |reason: &str| Use {
        stopped: Some(reason.to_owned()),
        ..Use::default()
    };
    let started = |names: &[&str]| Wanted::fake("", names).uses["cam"].clone();
    let lunch = stopped("lunch");
    let written = started(&["recording"]);
    let back = |now: Use| now.without_start("recording", &lunch, &written);
    assert_eq!(back(written.clone()), lunch);
    assert_eq!(back(Use::default()), Use::default(), "it was stopped");
    assert_eq!(back(stopped("night")), stopped("night"));
    let viewing = started(&["viewing"]);
    let mut both = written.clone();
    both.started.extend(viewing.started.clone());
    assert_eq!(back(both), viewing);
    let mut longer = written.clone();
    let tomorrow = "2100-01-01T00:00:00Z".parse().unwrap();
    longer.until.insert("recording".to_owned(), tomorrow);
    assert_eq!(back(longer.clone()), longer);
}

#[test]
fn what_was_started_for_a_time_ends() {
    let mut wanted = Wanted::fake("", &["recording", "viewing"]);
    let now = Timestamp::now();
    let used = wanted.uses.get_mut("cam").unwrap();
    used.until.insert("recording".to_owned(), now);
    let earlier: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    assert!(wanted.at(earlier, Vec::new()).records("cam"));
    assert!(!wanted.at(now, Vec::new()).records("cam"));
    let over = wanted.end_what_is_over(now);
    assert_eq!(over, [("recording".to_owned(), "cam".to_owned())]);
    assert_eq!(wanted.now().use_cases("cam"), ["viewing".to_owned()].into());
}

#[test]
fn the_length_of_files_is_left_to_the_server_and_the_policy() {
    let current = || json!({"runOnDemand": "x", "recordSegmentDuration": "1h0m0s"});
    let length = |policy: &str| {
        let (fields, _) = target(&Wanted::fake(policy, &["recording"]), current());
        fields["recordSegmentDuration"].clone()
    };
    assert_eq!(length(""), Value::Null);
    let policy = "useCases: {recording: {recordSegmentDuration: 30m}}";
    assert_eq!(length(policy), "30m");
}

#[test]
fn off_its_schedule_a_rule_records_nothing() {
    let now = Timestamp::now();
    let records = |schedule: &str| {
        let policy = format!(
            "timeZone: UTC\npaths: [{{path: cam, useCase: viewing, schedule: '{schedule}', \
             overrides: {{record: yes, closeAfter: never}}}}]"
        );
        let wanted = Wanted::fake(&policy, &[]);
        let current = wanted.at(now, Vec::new());
        let demanded = json!({"runOnDemand": "x"});
        let kept = current.target("cam", demanded.as_object().unwrap()).kept;
        (current.records("cam"), kept)
    };
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let on = days.map(|day| records(&format!("{day} 00:00-24:00")));
    assert_eq!(on.iter().filter(|it| **it == (true, true)).count(), 1);
    assert_eq!(on.iter().filter(|it| **it == (false, false)).count(), 6);
}

#[test]
fn a_use_case_that_the_policy_has_no_more_is_named() {
    let current = Wanted::fake("", &["patrol"]).now();
    let problem = current.unknown_use_case("cam").unwrap();
    assert!(problem.contains("patrol was started"), "{problem}");
    let current = Wanted::fake("", &["viewing"]).now();
    assert_eq!(current.unknown_use_case("cam"), None);
}

#[test]
fn a_picture_of_a_stopped_path_records_nothing() {
    let mut wanted = Wanted::fake("", &[]);
    wanted.uses.get_mut("cam").unwrap().stopped = Some("maintenance".to_owned());
    let hold = Hold {
        path: "cam".to_owned(),
        use_case: Some("snapshot".to_owned()),
    };
    let current = wanted.at(Timestamp::now(), vec![hold]);
    assert!(current.is_held("cam") && !current.records("cam"));
    assert_eq!(current.stopped("cam"), Some("maintenance"));
    assert!(current.lasting_use_cases("cam").is_empty());
}

#[test]
fn a_recording_that_begins_leaves_the_viewers_settings_alone() {
    let policy = "paths: [{path: cam, useCase: viewing}]";
    let current = || json!({"runOnDemand": "x"});
    let (mut before, _) = target(&Wanted::fake(policy, &[]), current());
    let (after, kept) = target(&Wanted::fake(policy, &["recording"]), current());
    before["record"] = true.into();
    assert_eq!((after, kept), (before, true));
}

#[test]
fn what_was_stopped_rests_while_something_else_is_started_there() {
    let policy = "paths: [{path: cam, useCase: recording, overrides: {recordDeleteAfter: 2d}}]";
    let fetched = || json!({"runOnDemand": "x"});
    let stopped = |started: &[&str]| {
        let mut wanted = Wanted::fake(policy, started);
        let used = wanted.uses.get_mut("cam").unwrap();
        used.stopped = Some("maintenance".to_owned());
        let (fields, kept) = target(&wanted, fetched());
        let record = fields.get("record").cloned();
        (record, kept, fields["runOnDemandCloseAfter"].clone())
    };
    assert_eq!(stopped(&["viewing"]), (None, false, json!("5m")));
    let (record, kept, _) = stopped(&["recording"]);
    assert_eq!((record, kept), (Some(json!(true)), true), "for its time");
    let policy: Policy = policy.parse().unwrap();
    assert!(policy.resumes_with("recording", "cam"));
    assert!(!policy.resumes_with("viewing", "cam"));
    let text = "useCases: {open: {closeAfter: never}}\npaths: [{path: cam, useCase: open}]";
    let policy: Policy = text.parse().unwrap();
    assert!(policy.resumes_with("open", "cam") && !policy.resumes_with("viewing", "cam"));
}

#[test]
fn what_was_stopped_does_not_record_whatever_the_policy_says() {
    let mut wanted = Wanted::fake("paths: [{path: cam, useCase: recording}]", &[]);
    assert!(target(&wanted, json!({"runOnDemand": "x"})).1);
    wanted.uses.get_mut("cam").unwrap().stopped = Some("maintenance".to_owned());
    let (fields, kept) = target(&wanted, json!({"runOnDemand": "x"}));
    assert_eq!((fields.get("record"), kept), (None, false));
}
