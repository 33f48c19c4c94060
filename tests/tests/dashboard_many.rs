//! The dashboard with many streams, some of them broken: their order, finding them, and what they cost the browser.

use std::time::Duration;

use serde_json::json;
use suite_tests::binaries::place_script;
use suite_tests::browser::Browser;
use suite_tests::http;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;
use suite_tests::waiting::poll;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const ARROW_UP: &str = "\u{e013}";
const ARROW_DOWN: &str = "\u{e015}";
const ESCAPE: &str = "\u{e00c}";
const END: &str = "\u{e010}";
/// The titles of the rows that are shown, as a list.
const TITLES: &str = "[...document.querySelectorAll('tbody[data-state]:not([hidden]) .title')]\
                      .map((one) => one.textContent)";
/// Reports like a worker, but costs next to nothing, so that hundreds run beside a browser; fails where it is told to.
const WORKER: &str = r#"#!/bin/bash
case $MTX_WORKER_INPUT in *broken*) echo '{"level":"ERR","message":"no","reason":"no route to host"}' >&2; exit 1 ;; esac
mkfifo "$0.$$"; exec 3<>"$0.$$"; rm "$0.$$"
for ((frames = 25; ; frames += 25)); do
    echo "{\"message\":\"stats\",\"state\":\"streaming\",\"frames\":$frames,\"video_frames\":$frames,\"bitrate\":$((900000 + RANDOM))}" >&2
    read -rt 1 -u 3
done
"#;

struct Page {
    browser: Browser,
    orchestrator: Orchestrator,
    _server: MediaMtx,
    _folder: TempDir,
}

impl Page {
    /// Opened, with the streams Camera 1, Camera 2, …, of which these are broken.
    #[track_caller]
    fn with(streams: usize, broken: &[usize]) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let worker = folder.path().join("mtx-worker");
        place_script(WORKER, &worker);
        let server = MediaMtx::start(Config::default());
        let store = folder.path().join("streams.db");
        let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
            command.env_remove("ORCHESTRATOR_TOKEN");
            command.args(["--start-limit", "200", "--recovery", "fixed:50ms"]);
            command.arg("--store").arg(&store);
            command.arg("--worker").arg(&worker);
        });
        let page = Self {
            browser: Browser::start(),
            orchestrator,
            _server: server,
            _folder: folder,
        };
        (1..=streams).for_each(|number| page.declare(number, broken.contains(&number)));
        page.browser.open(&format!("{}/", page.orchestrator.url()));
        let settled = format!(
            "{TITLES}.length === {streams} && document.querySelector('#summary').innerText.startsWith('{} of')",
            streams - broken.len()
        );
        page.browser.wait("streams", SOON, &settled);
        page
    }

    #[track_caller]
    fn declare(&self, number: usize, is_broken: bool) {
        let way = if is_broken { "broken" } else { "fine" };
        let body = json!({
            "id": format!("cam-{number}"), "name": format!("Camera {number}"),
            "source": format!("rtsp://192.0.2.1/{way}-{number}"),
            "outputs": [format!("rtmp://192.0.2.1/live/sink-{number}")],
        });
        let url = format!("{}/v1/streams", self.orchestrator.url());
        http::post_json(&url, &body.to_string()).expect("it is taken");
    }

    #[track_caller]
    fn wait_titles(&self, what: &str, titles: &[&str]) {
        let shown = format!("JSON.stringify({TITLES}) === JSON.stringify({titles:?})");
        self.browser.wait(what, SOON, &shown);
    }
}

#[test]
fn what_is_wrong_comes_first_and_camera_2_before_camera_10() {
    let page = Page::with(11, &[7, 10]);
    let order = [7, 10, 1, 2, 3, 4, 5, 6, 8, 9, 11].map(|number| format!("Camera {number}"));
    page.wait_titles("order", &order.each_ref().map(String::as_str));
    page.browser
        .wait("title", SOON, "document.title === '(2) Streams'");
    let why = "document.querySelector('.trouble').innerText.includes('no route to host')";
    page.browser.wait("reason", SOON, why);

    page.orchestrator.command("cam-10", "stop");
    let order = [7, 1, 2, 3, 4, 5, 6, 8, 9, 11, 10].map(|number| format!("Camera {number}"));
    page.wait_titles(
        "what was stopped at the end",
        &order.each_ref().map(String::as_str),
    );
    let complaints = page.browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn streams_are_found_by_words_by_state_and_with_the_keyboard() {
    let page = Page::with(12, &[5]);
    let browser = &page.browser;
    browser.press("/");
    browser.fill("#search", "camera cam-1");
    page.wait_titles(
        "words",
        &["Camera 1", "Camera 10", "Camera 11", "Camera 12"],
    );
    assert_eq!(browser.text("#found"), "4 of 12 shown");
    browser.fill("#search", "FINE-11");
    page.wait_titles("source", &["Camera 11"]);
    browser.fill("#search", "route to host");
    page.wait_titles("failure", &["Camera 5"]);
    browser.fill("#search", "nobody");
    let nothing = "!document.querySelector('#nothing').hidden";
    browser.wait("word that there is none", SOON, nothing);
    browser.press(ESCAPE);
    browser.wait("all again", SOON, &format!("{TITLES}.length === 12"));

    browser.click("[value=trouble]");
    page.wait_titles("trouble", &["Camera 5"]);
    let address = browser.run("return location.href");
    browser.open(address.as_str().expect("an address"));
    page.wait_titles("the same after a reload", &["Camera 5"]);
    browser.click("[value=running]");
    browser.wait("running ones", SOON, &format!("{TITLES}.length === 11"));

    browser.press("/");
    let focused = |title: &str| {
        let shown = format!("document.activeElement.innerText.trim() === '{title}'");
        browser.wait(title, SOON, &shown);
    };
    for (key, title) in [
        (ARROW_DOWN, "Camera 1"),
        (ARROW_DOWN, "Camera 2"),
        (ARROW_UP, "Camera 1"),
        (END, "Camera 12"),
    ] {
        browser.press(key);
        focused(title);
    }
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn five_hundred_streams_leave_the_browser_idle() {
    let page = Page::with(500, &[3]);
    let browser = &page.browser;
    let reported = "[...document.querySelectorAll('[data-field=bitrate]')]\
                    .filter((one) => one.innerText.includes('kbit')).length > 5";
    browser.wait("rates", SOON, reported);
    let before = browser.busy();
    std::thread::sleep(Duration::from_secs(5));
    let busy = (browser.busy() - before) / 5.0;
    println!("the page's thread is {:.1} % busy", busy * 100.0);
    assert!(busy < 0.2, "{busy}");
}

#[test]
fn the_last_hour_of_a_stream_shows_its_states_restarts_and_bit_rate() {
    let page = Page::with(2, &[2]);
    // There is none as long as the stream was not looked at.
    let last = |id: &str| {
        let url = format!("/v1/streams/{id}/history");
        let history = page.orchestrator.get(&url).expect("a history");
        let steps = history["steps"].as_array().expect("steps");
        steps.last().cloned().unwrap_or_default()
    };
    let running = poll(SOON, || {
        let step = last("cam-1");
        (step["state"] == "running" && step["bitrate"].as_u64() > Some(800_000)).then_some(step)
    });
    assert_eq!(running.expect("a rate")["restarts"], 0);
    let broken = || (last("cam-2")["state"] == "broken").then_some(());
    poll(SOON, broken).expect("it is broken");
    let missing = page.orchestrator.get("/v1/streams/cam-3/history");
    assert!(missing.is_err_and(|error| error.contains("404")));

    let browser = &page.browser;
    browser.click(".toggle");
    let told =
        "/broken [0-9]+s, .*[1-9] restarts/.test(document.querySelector('.hour-text').innerText)";
    browser.wait("states and restarts", SOON, told);
    let painted = "(() => { const canvas = document.querySelector('.hour'); \
                   return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data].some(Boolean) })()";
    browser.wait("graph", SOON, painted);
}
