//! The dashboard in a real browser, over a real MediaMTX with real streams.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use suite_tests::browser::Browser;
use suite_tests::clips::{Clip, Video};
use suite_tests::listener::Listener;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::processes::Spawned;
use suite_tests::raw_http::call;
use suite_tests::{http, ports};

const SOON: Duration = Duration::from_secs(20);
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// As it stands in an address.
const LOGIN: &str = "anybody:s3cret-token@";
const ROW: &str = "tbody[data-state]";

struct Service {
    browser: Browser,
    orchestrator: Orchestrator,
    server: MediaMtx,
    port: u16,
}

impl Service {
    fn start(change: impl FnOnce(&mut Command)) -> Self {
        let server = MediaMtx::start(Config::default().hls());
        let port = ports::tcp();
        Self {
            browser: Browser::start(),
            orchestrator: orchestrator(port, &server, change),
            server,
            port,
        }
    }

    /// With the page open.
    fn opened() -> Self {
        let service = Self::start(|_| {});
        service.open();
        service
    }

    #[track_caller]
    fn open(&self) {
        self.browser.open(&format!("{}/", self.orchestrator.url()));
        self.wait_connection("Live");
    }

    #[track_caller]
    fn publish(&self, stream: &str) -> Spawned {
        let url = self.server.rtsp(&format!("live/{stream}/in"));
        let publisher = Clip::h264_aac().publish(&url);
        self.orchestrator.wait_running(stream, SOON);
        publisher
    }

    #[track_caller]
    fn wait_connection(&self, text: &str) {
        let shown = format!("document.querySelector('#connection').innerText.includes('{text}')");
        self.browser.wait(text, SOON, &shown);
    }

    /// Waits until the only stream is shown in a state.
    #[track_caller]
    fn wait_state(&self, state: &str) {
        let shown = format!("document.querySelector('{ROW} .pill')?.innerText === '{state}'");
        self.browser.wait(state, SOON, &shown);
    }

    /// Presses Tab until the focus is on what is called so.
    #[track_caller]
    fn tab_to(&self, name: &str) {
        let called = "const one = document.activeElement; return one.ariaLabel ?? one.innerText";
        for _ in 0..20 {
            self.browser.press(TAB);
            if self.browser.run(called) == name {
                let outline = "return getComputedStyle(document.activeElement).outlineStyle";
                assert_eq!(self.browser.run(outline), "solid", "{name} shows its focus");
                return;
            }
        }
        panic!("Tab does not lead to {name}");
    }

    /// Nothing was out of order, and nothing was asked for elsewhere.
    #[track_caller]
    fn assert_clean(&self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let requests: Vec<String> = self
            .browser
            .requests()
            .iter()
            .map(|url| url.replace(LOGIN, ""))
            .collect();
        let own = [
            "http://127.0.0.1:",
            "ws://127.0.0.1:",
            "data:",
            "blob:",
            "chrome:",
        ];
        let foreign = |url: &&String| !own.iter().any(|own| url.starts_with(own));
        let foreign: Vec<&String> = requests.iter().filter(foreign).collect();
        assert!(!requests.is_empty() && foreign.is_empty(), "{foreign:#?}");
    }
}

fn orchestrator(port: u16, server: &MediaMtx, change: impl FnOnce(&mut Command)) -> Orchestrator {
    let player = format!("http://127.0.0.1:{}", server.ports.hls);
    Orchestrator::start_on(port, server, |command| {
        command
            .env_remove("ORCHESTRATOR_TOKEN")
            .args(["--player", &player]);
        change(command);
    })
}

#[test]
fn a_stream_appears_its_rates_move_and_its_preview_plays() {
    let service = Service::opened();
    let browser = &service.browser;
    browser.wait("hint", SOON, "!document.querySelector('#empty').hidden");
    let hint = browser.text("#publish-file");
    let publish = format!(
        "{}/live/my-stream/in",
        service.server.rtmp("").trim_end_matches('/')
    );
    assert!(hint.ends_with(&publish), "{hint}");

    let _publisher = service.publish("test");
    service.wait_state("running");
    assert_eq!(browser.text(".toggle").trim(), "test");
    assert!(browser.text("#summary").contains("1 of 1 running"));
    let rate = "document.querySelector('[data-field=bitrate]').innerText";
    browser.wait(
        "bit rate",
        SOON,
        &format!("/^[1-9][0-9]+ kbit/.test({rate})"),
    );
    let first = browser.run(&format!("return {rate}"));
    browser.wait("other bit rate", SOON, &format!("{rate} !== {first}"));
    let fps = "Number(document.querySelector('[data-field=fps]').innerText)";
    browser.wait(
        "25 frames a second",
        SOON,
        &format!("Math.abs({fps} - 25) < 3"),
    );
    assert_eq!(browser.text("[data-field=lastFrame]"), "now");
    let painted = "[...document.querySelector('.chart canvas').getContext('2d')\
                   .getImageData(0, 0, 260, 64).data].some(Boolean)";
    let shown = "!document.querySelector('.chart canvas').hidden";
    browser.wait("sparkline", SOON, &format!("{shown} && {painted}"));
    assert!(browser.text("#log-list").contains("the stream is there"));

    browser.click("[data-command=preview]");
    browser.enter_frame("iframe");
    let video = "document.querySelector('video')?.currentTime";
    browser.wait("moving picture", 2 * SOON, &format!("{video} > 0.5"));
    browser.leave_frame();
    let readers = "document.querySelector('[data-field=readers]').innerText === '1'";
    browser.wait("reader", SOON, readers);
    browser.click("[data-command=preview]");
    browser.wait(
        "end of the preview",
        SOON,
        "!document.querySelector('iframe')",
    );
    service.assert_clean();
}

#[test]
fn a_stream_is_stopped_with_the_mouse_and_started_with_the_keyboard() {
    let service = Service::opened();
    let _publisher = service.publish("test");
    service.wait_state("running");
    let browser = &service.browser;
    let disabled = |command: &str| {
        let button = format!("document.querySelector('[data-command={command}]')");
        browser.run(&format!("return {button}.ariaDisabled"))
    };
    assert_eq!(
        (disabled("start"), disabled("stop")),
        (json!("true"), json!("false"))
    );
    browser.click("[data-command=stop]");
    // It goes after 5 s, which the worker's end can take.
    browser.wait(
        "result",
        SOON,
        "document.querySelector('#notice').innerText.includes('test: stop')",
    );
    service.wait_state("stopped");
    let logged =
        "document.querySelector('#log-list').innerText.includes('asked for by an operator')";
    browser.wait("event", SOON, logged);
    assert_eq!(
        (disabled("start"), disabled("stop")),
        (json!("false"), json!("true"))
    );
    assert_eq!(disabled("preview"), "true");

    browser.run("document.activeElement.blur()");
    service.open();
    service.wait_state("stopped");
    service.tab_to("Skip to the streams");
    service.tab_to("test");
    browser.press(ENTER);
    let details = "document.querySelector('.details .events').innerText.includes('stop')";
    browser.wait("details", SOON, details);
    service.tab_to("Start test");
    browser.press(" ");
    service.wait_state("running");
    let focused = browser.run("return document.activeElement.ariaLabel");
    assert_eq!(focused, "Start test", "the focus stays where it was");
    service.tab_to("Restart test");
    browser.press(ENTER);
    browser.wait(
        "new worker",
        SOON,
        "document.querySelector('.details').innerText.includes('restart')",
    );
    service.wait_state("running");
    service.assert_clean();
}

#[test]
fn a_lost_connection_shows_and_comes_back() {
    let mut service = Service::opened();
    let _publisher = service.publish("test");
    service.wait_state("running");
    service.orchestrator.process_mut().kill();
    service.wait_connection("Connection lost");
    service.browser.click("[data-command=stop]");
    let problem = "document.querySelector('#problem').innerText.includes('does not answer')";
    service.browser.wait("problem", SOON, problem);
    service.orchestrator = orchestrator(service.port, &service.server, |_| {});
    service.wait_connection("Live");
    service.wait_state("running");
}

#[test]
fn a_page_too_many_says_so_and_is_live_once_there_is_room() {
    let service = Service::start(|_| {});
    let address = SocketAddr::from(([127, 0, 0, 1], service.port));
    let others: Vec<Listener> = (0..64).map(|_| Listener::connect(address)).collect();
    let url = format!("{}/", service.orchestrator.url());
    service.browser.open(&url);
    service.wait_connection("too many listen");
    drop(others);
    service.wait_connection("Live");
}

#[test]
fn the_page_fits_a_phone_and_follows_dark_and_light() {
    let service = Service::opened();
    let _publishers = [
        "test",
        "a-name-as-long-as-names-of-streams-get-in-warehouses",
    ]
    .map(|stream| service.publish(stream));
    let browser = &service.browser;
    let both = format!("document.querySelectorAll('{ROW}').length === 2");
    browser.wait("streams", SOON, &both);
    browser.click(".toggle");
    for (width, height) in [(360, 740), (768, 1024), (1280, 900)] {
        browser.resize(width, height);
        let fits = format!("document.documentElement.scrollWidth <= {width}");
        browser.wait(&format!("page of {width} pixels"), SOON, &fits);
    }
    let mut grounds = vec![];
    for scheme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", scheme);
        let colours = "const style = getComputedStyle(document.body); \
                       return [style.backgroundColor, style.color]";
        grounds.push(browser.run(colours));
    }
    assert_ne!(grounds[0][0], grounds[1][0]);
    assert_ne!(grounds[0][1], grounds[1][1]);
    browser.prefer("prefers-reduced-motion", "reduce");
    let transition = "return getComputedStyle(document.querySelector('#table')).transitionDuration";
    assert_eq!(browser.run(transition), "0s");
    service.assert_clean();
}

#[test]
fn with_a_token_the_page_needs_a_login_and_then_works() {
    let guard = |command: &mut Command| {
        command.env("ORCHESTRATOR_TOKEN", "s3cret-token");
    };
    let mut service = Service::start(guard);
    let browser = &service.browser;
    let url = service.orchestrator.url();
    let address = SocketAddr::from(([127, 0, 0, 1], service.port));
    for path in ["/", "/dashboard.js", "/dashboard.css"] {
        assert_eq!(call(address, "GET", path, &[], "").status, 401, "{path}");
    }
    let with_login = url.replace("://", &format!("://{LOGIN}"));
    browser.open(&format!("{with_login}/"));
    service.wait_connection("Live");
    let cookies = browser.run("return document.cookie");
    assert_eq!(cookies, "", "scripts don't see it");
    let _publisher = Clip::h264_aac().publish(&service.server.rtsp("live/test/in"));
    service.wait_state("running");
    browser.click("[data-command=stop]");
    service.wait_state("stopped");
    service.assert_clean();

    // The next process does not know the cookie of this one, but the browser still knows the login.
    service.orchestrator.process_mut().kill();
    service.wait_connection("Connection lost");
    service.orchestrator = orchestrator(service.port, &service.server, guard);
    service.wait_connection("Live");
    service.orchestrator.process_mut().kill();
    service.wait_connection("Connection lost");
    service.orchestrator = orchestrator(service.port, &service.server, |command| {
        command.env("ORCHESTRATOR_TOKEN", "an0ther-token");
    });
    service.wait_connection("Login needed");
}

#[test]
fn what_others_call_their_streams_is_shown_as_it_is() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let service = Service::start(|command| {
        command.arg("--store").arg(folder.path().join("streams"));
    });
    let name = "<img src=x onerror=document.title='owned'>";
    let declare = |id: &str, name: &str| {
        let source = format!("rtsp://127.0.0.1:1/{id}");
        let body = json!({"id": id, "name": name, "source": source, "enabled": false});
        let url = format!("{}/v1/streams", service.orchestrator.url());
        http::post_json(&url, &body.to_string()).expect("it is taken");
    };
    declare("named", name);
    service.open();
    service.wait_state("stopped");
    let browser = &service.browser;
    assert_eq!(browser.text(".title"), name);
    assert_eq!(browser.text(".declared"), "declared");
    assert_eq!(browser.run("return document.title"), "Streams");

    // They are declared and deleted in the page as well.
    browser.click("#declare summary");
    browser.fill("[name=source]", "rtsp://127.0.0.1:1/x");
    browser.fill("[name=id]", "named");
    browser.click("[type=submit]");
    let taken = "document.querySelector('#problem').innerText.includes('Not declared: ')";
    browser.wait("problem", SOON, taken);
    browser.fill("[name=id]", "2");
    browser.click("[type=submit]");
    let two = format!("document.querySelectorAll('{ROW}').length === 2");
    browser.wait("declared stream", SOON, &two);
    browser.run("window.confirm = () => true");
    browser.click(".toggle");
    browser.click("[data-command=delete]");
    let one = format!("document.querySelectorAll('{ROW}').length === 1");
    browser.wait("end of the stream", SOON, &one);
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|line| line.contains("409")),
        "{complaints:#?}"
    );

    // A hundred streams cost the browser little.
    (0..99).for_each(|number| declare(&format!("many-{number}"), "one of many"));
    let all = format!("document.querySelectorAll('{ROW}').length === 100");
    browser.wait("100 streams", SOON, &all);
    let before = browser.busy();
    std::thread::sleep(Duration::from_secs(4));
    let busy = browser.busy() - before;
    assert!(busy < 2.0, "{busy} s of 4 s");
    service.assert_clean();
}

#[test]
fn the_page_is_guarded_against_other_sites() {
    let service = Service::start(|_| {});
    let address = SocketAddr::from(([127, 0, 0, 1], service.port));
    let page = call(address, "GET", "/", &[], "");
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    service.open();
    let injected = "const script = document.createElement('script'); \
                    script.textContent = 'document.title = \"owned\"'; \
                    document.head.append(script); return document.title";
    assert_eq!(service.browser.run(injected), "Streams");
}

#[test]
fn streams_with_paths_of_any_shape_are_shown_watched_and_stopped() {
    let service = Service::start(|command| {
        command.args(["--route", "building/** => building-copy/**"]);
        command.args(["--route", "cam* => copy/{name}"]);
    });
    service.open();
    service
        .browser
        .wait("hint", SOON, "!document.querySelector('#empty').hidden");
    let hint = service.browser.text("#publish-file");
    assert!(hint.ends_with("/building/my-stream"), "{hint}");
    let publish = |path: &str| Clip::h264_aac().publish(&service.server.rtsp(path));
    let _publishers = ["building/floor-1/gate.a", "cam1"].map(publish);
    for url in ["building%2Ffloor-1%2Fgate.a", "%2Fcam1"] {
        service.orchestrator.wait_running(url, SOON);
    }
    let titles =
        "[...document.querySelectorAll('.title')].map((one) => one.innerText).sort().join()";
    let shown = format!("{titles} === 'building/floor-1/gate.a,cam1'");
    service.browser.wait("both", SOON, &shown);
    let running =
        "[...document.querySelectorAll('.pill')].every((one) => one.innerText === 'running')";
    service.browser.wait("both running", SOON, running);
    let button = |command: &str| {
        format!("[data-command=\"{command}\"][aria-label$=\" building/floor-1/gate.a\"]")
    };
    service.browser.click(&button("preview"));
    service.browser.enter_frame("iframe");
    let playing = "document.querySelector('video')?.currentTime > 0.2";
    service.browser.wait("picture", 2 * SOON, playing);
    service.browser.leave_frame();
    let source = service
        .browser
        .run("return document.querySelector('iframe').src");
    let source = source.as_str().unwrap_or_default();
    assert!(
        source.ends_with("/building-copy/floor-1/gate.a/"),
        "{source}"
    );
    let facts = "document.querySelector('.details')?.innerText ?? ''";
    for fact in ["building/**", "/building-copy/"] {
        let shown = format!("({facts}).includes('{fact}')");
        service.browser.wait(fact, SOON, &shown);
    }
    // The player would complain of a stream that ends.
    service.browser.click(&button("preview"));
    service.browser.wait(
        "end of the preview",
        SOON,
        "!document.querySelector('iframe')",
    );
    service.browser.click(&button("stop"));
    service
        .orchestrator
        .wait_state("building%2Ffloor-1%2Fgate.a", "stopped", SOON);
    service.assert_clean();
}

#[test]
fn streams_in_view_have_a_picture_or_say_why_there_is_none() {
    let service = Service::start(|_| {});
    let _publisher = service.publish("test");
    let hevc = Clip::new(Video::H265, None);
    let _hevc = hevc.publish(&service.server.rtsp("live/hevc/in"));
    service.orchestrator.wait_running("hevc", SOON);
    std::thread::sleep(Duration::from_secs(2));
    let readers = |name| service.server.path(name).map(|path| path.readers());
    assert_eq!(
        readers("live/test/in"),
        Some(1),
        "nobody looks: only the worker reads"
    );

    service.open();
    let browser = &service.browser;
    let shown = "(() => { const canvas = document.querySelector('[aria-label=\"Picture of test\"]'); \
                 if (!canvas || canvas.hidden) return false; \
                 const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); \
                 return new Set(data).size > 20 })()";
    browser.wait("picture", 2 * SOON, shown);
    let why =
        "[...document.querySelectorAll('.picture')].some((one) => one.innerText.includes('H.265'))";
    browser.wait("reason", 2 * SOON, why);

    service.orchestrator.command("test", "stop");
    let stopped = "[...document.querySelectorAll('.picture')].some((one) => one.innerText.includes('stopped'))";
    browser.wait("end of the picture", SOON, stopped);
    let address = SocketAddr::from(([127, 0, 0, 1], service.port));
    for (path, detail) in [
        ("test", "no picture: the stream is stopped"),
        ("nobody", "no stream nobody"),
    ] {
        let answer = call(
            address,
            "GET",
            &format!("/v1/streams/{path}/picture"),
            &[],
            "",
        );
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(answer.body.contains(detail), "{answer:?}");
    }
    service.assert_clean();
}
