//! The service that events go to: whether it is there, and whether it has a route for each path.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use mediamtx::https;
use mediamtx::pattern::Pattern;
use mediamtx::tls::ORCHESTRATOR_FINGERPRINT;
use regex_lite::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;

use super::configuration::{Configuration, Entry};
use super::finding::Diagnosis;
use super::hooks::{entries_that_tell, starts};
use super::process::Process;
use super::server::Server;
use crate::request::{bearer, receiver};

const DEFAULT: &str = "http://localhost:8080";
const PLACE: &str = "ORCHESTRATOR_URL";
const TOKEN: &str = "ORCHESTRATOR_TOKEN";
const DEADLINE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Routes {
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    path: Pattern,
}

#[derive(Deserialize)]
struct Streams {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    outputs: Vec<Output>,
}

/// Where a stream goes to; the path is one of this server's, if the output is on it.
#[derive(Deserialize)]
struct Output {
    path: Option<String>,
}

/// What goes where, as the orchestrator tells it.
struct Plan {
    routes: Vec<Pattern>,
    /// Paths of this server that its workers publish.
    outputs: Vec<String>,
}

impl Plan {
    /// Whether the orchestrator has to do with a path.
    fn knows(&self, path: &str) -> bool {
        self.routes.iter().any(|route| route.matches(path))
            || self.outputs.iter().any(|output| output == path)
    }
}

/// Whether an orchestrator is there.
pub(super) fn is_there(process: &Process) -> bool {
    get(process, "/v1/routes").is_ok_and(|answer| answer.status == 200)
}

pub(super) fn check(
    configuration: &Configuration,
    server: Option<&Server>,
    process: &Process,
    diagnosis: &mut Diagnosis,
) {
    if !starts(configuration, "mtx-hook") || entries_that_tell(configuration).is_empty() {
        return;
    }
    // As the hook itself judges them.
    let target = receiver(address(process), "/healthz");
    let token = process.variable(TOKEN).map(OsStr::new);
    if let Err(error) = target.and_then(|_| bearer(token)) {
        let text = format!("they are lost, since mtx-hook refuses to send them: {error:#}");
        return diagnosis.error("events", text);
    }
    let url = url(process);
    match get(process, "/healthz") {
        Err(error) => {
            diagnosis.error(
                PLACE,
                format!("events are lost, {url}/healthz does not answer ({error}): start mtx-orchestrator, or set {PLACE} in the server's environment"),
            );
            return;
        }
        Ok(answer) if (500..600).contains(&answer.status) => {
            let text = format!("{url}/healthz answers {}: see its log", answer.status);
            diagnosis.error(PLACE, text);
        }
        // A service of somebody's own need not have that page.
        Ok(_) => {}
    }
    match plan(process) {
        Ok(plan) => {
            for entry in entries_that_tell(configuration) {
                check_route(entry, &plan, server, diagnosis);
            }
        }
        Err(reason) => diagnosis.unchecked(format!("whether each path has a route: {reason}")),
    }
}

fn plan(process: &Process) -> Result<Plan, String> {
    let routes: Routes = ask(process, "/v1/routes")?;
    let streams: Streams = ask(process, "/v1/streams")?;
    let outputs = streams
        .streams
        .into_iter()
        .flat_map(|stream| stream.outputs);
    Ok(Plan {
        routes: routes.routes.into_iter().map(|route| route.path).collect(),
        outputs: outputs.filter_map(|output| output.path).collect(),
    })
}

fn ask<T: DeserializeOwned>(process: &Process, call: &str) -> Result<T, String> {
    let url = format!("{}{call}", url(process));
    let answer = get(process, call).map_err(|error| format!("{url}: {error}"))?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|error| format!("{url} answers something else: {error}")),
        401 | 403 => Err(format!(
            "{url} answers {}: set ORCHESTRATOR_TOKEN",
            answer.status
        )),
        status => Err(format!("{url} answers {status}")),
    }
}

fn check_route(entry: &Entry, plan: &Plan, server: Option<&Server>, diagnosis: &mut Diagnosis) {
    let routes = shown(&plan.routes);
    let missing = |diagnosis: &mut Diagnosis, path: &str| {
        diagnosis.error(
            path,
            format!("no route of mtx-orchestrator is for it ({routes}), so its stream goes nowhere: add one, for example --route '{path} => rtmp://…'"),
        );
    };
    let expression = match entry.name.strip_prefix('~') {
        Some(expression) => Regex::new(expression).ok(),
        None if matches!(entry.name.as_str(), "all" | "all_others") => Regex::new("").ok(),
        None if plan.knows(&entry.name) => return,
        None => return missing(diagnosis, &entry.name),
    };
    let streams = server
        .map(|server| server.streams.as_slice())
        .unwrap_or_default();
    let streams: Vec<&str> = streams
        .iter()
        .filter(|(_, conf_name)| *conf_name == entry.name)
        .map(|(name, _)| name.as_str())
        .collect();
    for stream in streams.iter().filter(|stream| !plan.knows(stream)) {
        missing(diagnosis, stream);
    }
    let fits = |expression: Regex| {
        let mut examples = plan.routes.iter().flat_map(examples);
        examples.any(|example| expression.is_match(&example))
    };
    if streams.is_empty() && !expression.is_some_and(fits) {
        diagnosis.unchecked(format!(
            "whether a route is for the paths of {}: none of them has a stream now (routes: {routes})",
            entry.name
        ));
    }
}

fn shown(routes: &[Pattern]) -> String {
    match routes {
        [] => "it has none".to_owned(),
        routes => routes
            .iter()
            .map(Pattern::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Paths that a pattern is for, to try a regular expression on.
fn examples(pattern: &Pattern) -> Vec<String> {
    ["a", "1", "cam1", "cam-1"]
        .iter()
        .map(|name| pattern.as_str().replace("**", name).replace('*', name))
        .filter(|path| pattern.matches(path))
        .collect()
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// Where events go, without what a URL must not have.
fn url(process: &Process) -> String {
    let url = process.variable(PLACE).unwrap_or(DEFAULT);
    mediamtx::secret::redact_url(url.trim_end_matches('/'))
}

fn address(process: &Process) -> OsString {
    process.variable(PLACE).unwrap_or(DEFAULT).into()
}

fn get(process: &Process, call: &str) -> Result<Answer, String> {
    let uri = receiver(address(process), call).map_err(|error| format!("{error:#}"))?;
    let token = process.variable(TOKEN).map(OsStr::new);
    let authorization = bearer(token).map_err(|error| format!("{error:#}"))?;
    let config = Agent::config_builder()
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(DEADLINE))
        .build();
    let agent =
        https::agent(config, &uri, ORCHESTRATOR_FINGERPRINT).map_err(|error| error.to_string())?;
    let mut request = agent.get(uri);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    let mut answer = request.call().map_err(|error| match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(entry: &str, streams: &[&str]) -> Diagnosis {
        let plan = Plan {
            routes: vec!["live/*/in".parse().unwrap(), "cam/**".parse().unwrap()],
            outputs: vec!["copy/a".to_owned()],
        };
        let entry = Entry {
            name: entry.to_owned(),
            is_null: false,
            settings: super::super::configuration::Settings::new(),
        };
        let server = Server {
            url: String::new(),
            version: None,
            configuration: Configuration::default(),
            known: super::super::configuration::Settings::new(),
            streams: streams
                .iter()
                .map(|stream| ((*stream).to_owned(), entry.name.clone()))
                .collect(),
        };
        let mut diagnosis = Diagnosis::default();
        check_route(&entry, &plan, Some(&server), &mut diagnosis);
        diagnosis
    }

    #[test]
    fn a_path_without_a_route_is_found_by_its_name_or_its_streams() {
        for (entry, streams, found, unchecked) in [
            ("cam/a/b", &[][..], 0, 0),
            ("building/floor1", &[], 1, 0),
            ("~^live/([a-z]+)/in$", &[], 0, 0),
            ("all_others", &[], 0, 0),
            ("~^site/.*$", &[], 0, 1),
            ("~^.*$", &["live/a/in", "copy/a", "site/a", "b"], 2, 0),
            ("~^(?=x)$", &[], 0, 1),
        ] {
            let diagnosis = diagnosis(entry, streams);
            let counts = (diagnosis.found.len(), diagnosis.unchecked.len());
            assert_eq!(counts, (found, unchecked), "{entry}");
        }
        let text = diagnosis("building/floor1", &[]).found[0].to_string();
        assert!(
            text.contains("--route 'building/floor1 => rtmp://…'"),
            "{text}"
        );
    }

    #[test]
    fn what_the_hook_would_refuse_is_an_error_before_anything_is_asked() {
        let yaml = "paths: {cam: {runOnAvailable: mtx-hook ready}}";
        let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        for (name, value, part) in [
            (PLACE, "http://u:s3cret@127.0.0.1:1", "has a user in it"),
            (PLACE, "http://127.0.0.1:1/?token=s3cret", "has a query"),
            (PLACE, "127.0.0.1:1", "is not http(s)://"),
            (TOKEN, "s3cret x", "is not a token"),
        ] {
            let mut diagnosis = Diagnosis::default();
            let process = Process::test(&[(name, value)]);
            check(&configuration, None, &process, &mut diagnosis);
            let text = diagnosis.found[0].to_string();
            assert!(text.contains(name) && text.contains(part), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn routes_are_read_as_the_orchestrator_lists_them() {
        let json = br#"{"routes": [{"path": "live/*/in", "name": "default", "outputs": []}]}"#;
        let routes: Routes = serde_json::from_slice(json).unwrap();
        assert!(routes.routes[0].path.matches("live/a/in"));
    }
}
