//! A real browser without a screen: Chromium, driven over WebDriver.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ports;
use crate::processes::Spawned;
use crate::waiting::{poll, wait_for};

const START: Duration = Duration::from_secs(30);
/// WebDriver's name for a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser with one window. It ends with this value, and so does all that it has started.
pub struct Browser {
    session: String,
    agent: ureq::Agent,
    _driver: Spawned,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, with a profile of its own and a window as large as a desktop's.
    ///
    /// # Panics
    /// When Chromium or its driver is missing or does not come up.
    #[track_caller]
    pub fn start() -> Self {
        let port = ports::tcp();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        let driver = Spawned::start("chromedriver", command);
        let profile = tempfile::tempdir().expect("a temp folder");
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(START))
            .http_status_as_error(false)
            .build()
            .into();
        let mut browser = Self {
            session: format!("http://127.0.0.1:{port}"),
            agent,
            _driver: driver,
            _profile: profile,
        };
        wait_for("chromedriver", START, || {
            browser.call("GET", "/status", None).ok()
        });
        let session = browser.demand("/session", &browser.capabilities());
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session += &format!("/session/{id}");
        browser.resize(1280, 900);
        browser
    }

    /// Over a pipe to its driver, Chromium ends when the driver does, however that one ends.
    fn capabilities(&self) -> Value {
        let profile = format!("--user-data-dir={}", self._profile.path().display());
        json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", profile,
            ]},
        }}})
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let answer = match (method, body) {
            ("POST", body) => {
                let body = body.cloned().unwrap_or_else(|| json!({}));
                self.agent
                    .post(url)
                    .header("Content-Type", "application/json")
                    .send(body.to_string())
            }
            ("DELETE", _) => self.agent.delete(url).call(),
            _ => self.agent.get(url).call(),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string();
        let text = text.map_err(|error| error.to_string())?;
        let json: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let value = json["value"].clone();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    #[track_caller]
    fn demand(&self, path: &str, body: &Value) -> Value {
        match self.call("POST", path, Some(body)) {
            Ok(value) => value,
            Err(error) => panic!("WebDriver {path}: {error}"),
        }
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.demand("/goog/cdp/execute", &body)
    }

    /// Opens a page and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.demand("/url", &json!({ "url": url }));
    }

    /// What a script returns; it is a function's body.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.demand("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true; `what` describes it.
    ///
    /// # Panics
    /// When it is not within `timeout`; the message shows the page's text.
    #[track_caller]
    pub fn wait(&self, what: &str, timeout: Duration, expression: &str) {
        let script = format!("return Boolean({expression})");
        if poll(timeout, || (self.run(&script) == true).then_some(())).is_err() {
            let text = self.run("return document.body.innerText");
            panic!("no {what} in {timeout:?}; the page shows: {text}");
        }
    }

    /// The visible text of the first element that a selector finds; empty if there is none.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        let text = self.run(&script);
        text.as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn element(&self, selector: &str) -> Value {
        let by = json!({"using": "css selector", "value": selector});
        self.demand("/element", &by)
    }

    /// Clicks on an element as a mouse does.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        let id = element[ELEMENT].as_str().expect("an element has an id");
        self.demand(&format!("/element/{id}/click"), &json!({}));
    }

    /// Writes into a field, which may hold something already.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let id = element[ELEMENT].as_str().expect("an element has an id");
        self.demand(&format!("/element/{id}/clear"), &json!({}));
        self.demand(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses and lets go of a key, of which WebDriver has a list: a character, or for instance `\u{e004}`, Tab.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.demand("/actions", &json!({ "actions": [keyboard] }));
    }

    /// From now on scripts run inside this frame.
    #[track_caller]
    pub fn enter_frame(&self, selector: &str) {
        let element = self.element(selector);
        self.demand("/frame", &json!({ "id": element }));
    }

    /// From now on scripts run in the page itself again.
    #[track_caller]
    pub fn leave_frame(&self) {
        self.demand("/frame", &json!({ "id": null }));
    }

    /// Makes the page's area this large; below 600 pixels it is a phone's.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the page learns that its user prefers, for instance `prefers-color-scheme` `dark`.
    #[track_caller]
    pub fn prefer(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Seconds that the page's own thread has worked so far.
    #[track_caller]
    pub fn busy(&self) -> f64 {
        self.devtools("Performance.enable", json!({}));
        let metrics = self.devtools("Performance.getMetrics", json!({}));
        let metrics = metrics["metrics"].as_array().cloned().unwrap_or_default();
        let found = metrics
            .iter()
            .find(|metric| metric["name"] == "TaskDuration");
        let seconds = found.and_then(|metric| metric["value"].as_f64());
        seconds.expect("Chromium counts what a page does")
    }

    #[track_caller]
    fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.demand("/se/log", &json!({ "type": kind }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let text = |entry: &Value| {
            let message = entry["message"].as_str().unwrap_or_default();
            format!("{}: {message}", entry["level"].as_str().unwrap_or_default())
        };
        entries.iter().map(text).collect()
    }

    /// The warnings and errors of the console since the last call. A stream without a picture is none, though
    /// Chromium complains of each 404.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let mut log = self.log("browser");
        log.retain(|line| line.starts_with("SEVERE") || line.starts_with("WARNING"));
        log.retain(|line| !line.contains("/picture - "));
        log
    }

    /// The URLs of all that was asked for since the last call.
    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let url = |line: String| {
            let json: Value = serde_json::from_str(line.split_once(": ")?.1).ok()?;
            let event = &json["message"];
            let found = match event["method"].as_str()? {
                "Network.requestWillBeSent" => &event["params"]["request"]["url"],
                "Network.webSocketCreated" => &event["params"]["url"],
                _ => return None,
            };
            found.as_str().map(str::to_owned)
        };
        self.log("performance")
            .into_iter()
            .filter_map(url)
            .collect()
    }
}

impl Drop for Browser {
    // Orderly, so that it does not write into its profile's folder while that is deleted.
    fn drop(&mut self) {
        let _ = self.call("DELETE", "", None);
    }
}
