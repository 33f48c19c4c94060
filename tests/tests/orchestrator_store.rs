//! The store of declared streams: what was answered stays, and what is no store stays as it is.

use std::fs;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use serde_json::json;
use suite_tests::binaries::suite_binary;
use suite_tests::clips::Clip;
use suite_tests::declared::Kept;
use suite_tests::orchestrator::Orchestrator;
use suite_tests::{http, ports};

const SOON: Duration = Duration::from_secs(20);

/// An orchestrator with this store, which is to end at once; if it does not, it is ended.
fn refused(kept: &Kept) -> Output {
    let mut command = Command::new("timeout");
    command.arg("20").arg(suite_binary("mtx-orchestrator"));
    command.args([
        "--listen",
        &format!("127.0.0.1:{}", ports::tcp()),
        "--store",
    ]);
    command
        .arg(kept.file())
        .env("MTX_WORKER", suite_binary("mtx-worker"));
    command.output().expect("it can be started")
}

/// The one line it wrote.
#[track_caller]
fn last_line(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Never answers; that nobody listens there is all the same here.
fn source() -> String {
    format!("rtsp://127.0.0.1:{}/x", ports::tcp())
}

#[test]
fn whatever_was_answered_survives_kill_9_right_after() {
    let kept = Kept::new();
    let mut orchestrator = kept.orchestrator();
    for round in 0..5 {
        let (id, gone) = (format!("s{round}"), format!("gone{round}"));
        kept.declare(&json!({ "id": gone, "source": source() }));
        kept.declare(&json!({ "id": id, "source": source(), "name": "before", "enabled": false }));
        orchestrator.process_mut().kill();
        orchestrator = kept.orchestrator();
        orchestrator.wait_state(&id, "stopped", SOON);
        kept.change(&id, &json!({ "name": "after" }));
        orchestrator.process_mut().kill();
        orchestrator = kept.orchestrator();
        let stream = orchestrator.wait_state(&id, "stopped", SOON);
        assert_eq!(stream["declared"]["name"], "after");
        kept.delete(&gone);
        orchestrator.process_mut().kill();
        orchestrator = kept.orchestrator();
        orchestrator.wait_state(&id, "stopped", SOON);
        assert_eq!(kept.look(&format!("/v1/streams/{gone}")).status, 404);
    }
    let list = kept.look("/v1/streams").json();
    assert_eq!(list["streams"].as_array().map(Vec::len), Some(5), "{list}");
}

#[test]
fn of_many_who_want_an_id_at_once_one_gets_it() {
    let kept = Kept::new();
    let _orchestrator = kept.orchestrator();
    let ask = |id: &str| {
        let body = json!({ "id": id, "source": source(), "enabled": false });
        kept.ask("POST", "", &body.to_string()).status
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let same = (0..8).map(|_| scope.spawn(|| ask("same")));
        let same: Vec<_> = same.collect();
        let others = (0..8).map(|number| scope.spawn(move || ask(&format!("other{number}"))));
        let others: Vec<_> = others.collect();
        let all = same.into_iter().chain(others);
        all.map(|one| one.join().expect("it is answered")).collect()
    });
    let (same, others) = statuses.split_at(8);
    assert_eq!(
        same.iter().filter(|status| **status == 201).count(),
        1,
        "{same:?}"
    );
    assert_eq!(
        same.iter().filter(|status| **status == 409).count(),
        7,
        "{same:?}"
    );
    assert!(others.iter().all(|status| *status == 201), "{others:?}");
    let list = kept.look("/v1/streams").json();
    assert_eq!(list["streams"].as_array().map(Vec::len), Some(9), "{list}");
}

#[test]
fn a_second_orchestrator_on_the_same_store_is_refused() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    kept.declare(&json!({ "id": "x", "source": source(), "enabled": false }));
    let line = last_line(&refused(&kept));
    assert!(
        line.contains("in use") && line.contains("--store"),
        "{line}"
    );
    // The first one does not notice.
    kept.change("x", &json!({ "name": "still" }));
    drop(orchestrator);
    let orchestrator = kept.orchestrator();
    let stream = orchestrator.wait_state("x", "stopped", SOON);
    assert_eq!(stream["declared"]["name"], "still");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let kept = Kept::new();
    let foreign = "something else entirely, with a s3cret\n".repeat(200);
    fs::write(kept.file(), &foreign).expect("a temp folder is writable");
    let line = last_line(&refused(&kept));
    assert!(
        line.contains("left as it is") && !line.contains("s3cret"),
        "{line}"
    );
    let after = fs::read_to_string(kept.file()).expect("it is still there");
    assert_eq!(after, foreign);
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    for number in 0..50 {
        let id = format!("s{number}");
        kept.declare(&json!({ "id": id, "source": source(), "enabled": false }));
    }
    drop(orchestrator);
    let mut bytes = fs::read(kept.file()).expect("it is there");
    bytes[4096..].fill(0x5A);
    fs::write(kept.file(), &bytes).expect("it may be written");
    let line = last_line(&refused(&kept));
    assert!(
        line.contains("damaged") && line.contains("backup"),
        "{line}"
    );
    assert!(fs::read(kept.file()).expect("it is still there") == bytes);
}

#[test]
fn a_store_is_whole_in_its_one_file_and_refused_where_a_part_of_it_is_missing() {
    let kept = Kept::new();
    let mut orchestrator = kept.orchestrator();
    for number in 0..5 {
        let id = format!("s{number}");
        kept.declare(&json!({ "id": id, "source": source(), "enabled": false }));
    }
    orchestrator.process_mut().kill();
    let whole = fs::read(kept.file()).expect("it is there");
    fs::write(kept.file(), &whole[..whole.len() / 2]).expect("it may be written");
    let line = last_line(&refused(&kept));
    assert!(line.contains("damaged"), "{line}");
    fs::write(kept.file(), &whole).expect("it may be written");
    let _orchestrator = kept.orchestrator();
    let list = kept.look("/v1/streams").json();
    assert_eq!(list["streams"].as_array().map(Vec::len), Some(5), "{list}");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let kept = Kept::new();
    drop(kept.orchestrator());
    sql(
        &kept,
        "INSERT INTO store_migrations VALUES (99, 'later', '')",
    );
    let before = fs::read(kept.file()).expect("it is there");
    let line = last_line(&refused(&kept));
    assert!(
        line.contains("version 99") && line.contains("newer"),
        "{line}"
    );
    assert!(fs::read(kept.file()).expect("it is still there") == before);
    sql(&kept, "DELETE FROM store_migrations WHERE version = 99");
    kept.orchestrator();
}

/// Changes the store as somebody else would.
#[track_caller]
fn sql(kept: &Kept, statement: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit(); db.close()";
    let mut python = Command::new("/usr/bin/python3");
    let done = python
        .args(["-c", script])
        .arg(kept.file())
        .arg(statement)
        .status();
    assert!(
        done.expect("python3 can be started").success(),
        "{statement}"
    );
}

#[test]
fn without_a_store_nothing_can_be_declared_and_the_rest_works() {
    let kept = Kept::new();
    let orchestrator = Orchestrator::start(&kept.server, &[]);
    let url = format!("{}/v1/streams", orchestrator.url());
    let body = json!({ "id": "x", "source": source() }).to_string();
    let refused = http::post_json(&url, &body).expect_err("there is no store");
    assert!(refused.contains("503"), "{refused}");
    assert_eq!(
        orchestrator.get("/v1/streams"),
        Ok(json!({ "streams": [] }))
    );
    assert!(!kept.file().exists());
}

#[test]
fn a_start_that_is_refused_leaves_a_stream_stopped() {
    let kept = Kept::new();
    let server = &kept.server;
    // inet_aton(3) reads 127.1 as 127.0.0.1: the stream cam would be published where it is read.
    let back = server.rtmp("{name}").replace("127.0.0.1", "127.1");
    let mut orchestrator = kept.orchestrator_with(|command| {
        command.args(["--route", &format!("* => {back}")]);
    });
    let _publisher = Clip::h264_aac().publish(&server.rtsp("cam"));
    orchestrator.wait_state("%2Fcam", "blocked", SOON);
    orchestrator.command("%2Fcam", "stop");
    orchestrator.wait_state("%2Fcam", "stopped", SOON);
    kept.declare(&json!({
        "id": "one", "source": server.rtsp("b/b"), "outputs": [server.rtmp("a/a")],
    }));
    kept.declare(&json!({
        "id": "two", "source": server.rtsp("a/a"), "outputs": [server.rtmp("b/b")], "enabled": false,
    }));
    for id in ["%2Fcam", "two"] {
        for command in ["start", "restart"] {
            let refused = kept.ask("POST", &format!("/{id}/{command}"), "");
            assert!(
                refused.status == 409 && refused.body.contains("feed itself"),
                "{refused:?}"
            );
        }
    }
    let two = orchestrator.stream("two").expect("it is declared");
    assert_eq!(two["declared"]["enabled"], false);
    orchestrator.process_mut().kill();

    let orchestrator = kept.orchestrator_with(|command| {
        command.args(["--route", "* => copy/*"]);
    });
    orchestrator.wait_state("%2Fcam", "stopped", SOON);
    orchestrator.wait_state("two", "stopped", SOON);
    // What closed the circle is gone.
    kept.delete("one");
    for id in ["two", "%2Fcam"] {
        let taken = kept.ask("POST", &format!("/{id}/start"), "");
        assert_eq!(taken.status, 202, "{taken:?}");
        orchestrator.wait_stream(id, "start", SOON, |stream| {
            stream["state"] != "stopped" && stream["blocked"].is_null()
        });
    }
}
