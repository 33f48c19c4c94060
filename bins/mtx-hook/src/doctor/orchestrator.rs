//! The services that events go to: whether they are there, and whether mtx-orchestrator has a route for each path.

use std::ffi::{OsStr, OsString};

use mediamtx::pattern::Pattern;
use regex_lite::Regex;
use serde::Deserialize;

use super::configuration::{Configuration, Entry};
use super::finding::{Diagnosis, Severity};
use super::hooks::{EventHook, event_hooks};
use super::process::Process;
use super::server::{Server, is_at_port_of_this_machine};
use super::service::{AskError, ask, authorization, get, refusal_of_events, shown_url};
use crate::request::receiver;

const DEFAULT: &str = "http://localhost:8080";
const PLACE: &str = "ORCHESTRATOR_URL";

/// A service that takes events by POST alone answers a GET with it.
const NOT_IMPLEMENTED: u16 = 501;

#[derive(Deserialize)]
struct Routes {
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    path: Pattern,
    /// Paths of this server, or URLs.
    outputs: Vec<String>,
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
#[derive(Debug)]
struct Plan {
    routes: Vec<Pattern>,
    /// Where its routes lead: paths of this server, or URLs.
    targets: Vec<String>,
    /// Paths of this server that its workers publish.
    outputs: Vec<String>,
}

impl Plan {
    /// Whether the orchestrator has to do with a path.
    fn knows(&self, path: &str) -> bool {
        self.routes.iter().any(|route| route.matches(path))
            || self.outputs.iter().any(|output| output == path)
    }

    /// Whether its workers publish to this server.
    fn publishes_here(&self, configuration: &Configuration) -> Need {
        let is_here = |target: &String| {
            is_at_port_of_this_machine(target, 1935, configuration.port("rtmpAddress"))
        };
        if !self.outputs.is_empty() || self.targets.iter().any(|it| !it.contains("://")) {
            Need::Certain
        } else if self.targets.iter().any(is_here) {
            Need::Possible
        } else {
            Need::None
        }
    }
}

/// Whether workers of an orchestrator use a protocol of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    None,
    /// Nobody could be asked.
    Possible,
    Certain,
}

/// Where events go to.
#[derive(Debug)]
pub(super) struct Receiver<'a> {
    /// What names its address: `ORCHESTRATOR_URL`, or the hook.
    place: String,
    /// Without what a URL must not have.
    url: String,
    hooks: Vec<EventHook<'a>>,
    /// By hand, the server may have another address than this environment, but not than its hook's line.
    is_certain: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// mtx-hook sends nothing to such an address.
    Refused(String),
    /// By hand, the values of variables are not known.
    Variable,
    Silent(String),
    /// mtx-orchestrator, and the status of its `/healthz`.
    Orchestrator(Plan, u16),
    /// It does not tell the routes to this caller.
    Locked(String),
    /// It takes no events.
    Unauthorized(Severity, String),
    /// A service of somebody's own, the status of its `/healthz`, and why it is no orchestrator.
    Other(u16, String),
}

impl Receiver<'_> {
    fn need(&self, of_orchestrator: impl Fn(&Plan) -> Need) -> Need {
        match &self.state {
            State::Orchestrator(plan, _) => of_orchestrator(plan),
            State::Silent(_) | State::Variable => Need::Possible,
            State::Locked(_) | State::Unauthorized(..) => Need::Possible,
            State::Refused(_) | State::Other(..) => Need::None,
        }
    }
}

/// Whether workers read from the server.
pub(super) fn need_of_rtsp(receivers: &[Receiver<'_>]) -> Need {
    let needs = receivers.iter().map(|it| it.need(|_| Need::Certain));
    needs.max().unwrap_or(Need::None)
}

/// Whether an orchestrator runs already, with what it was given.
pub(super) fn is_running(receivers: &[Receiver<'_>]) -> bool {
    let mut states = receivers.iter().map(|it| &it.state);
    states.any(|state| {
        matches!(
            state,
            State::Orchestrator(..) | State::Locked(_) | State::Unauthorized(..)
        )
    })
}

/// Whether workers publish to the server.
pub(super) fn need_of_rtmp(receivers: &[Receiver<'_>], configuration: &Configuration) -> Need {
    let needs = receivers
        .iter()
        .map(|it| it.need(|plan| plan.publishes_here(configuration)));
    needs.max().unwrap_or(Need::None)
}

/// Whether an orchestrator is there.
pub(super) fn is_there(process: &Process) -> bool {
    ask::<Routes>(&address(process), process, "/v1/routes").is_ok()
}

/// Asks each service that hooks send events to.
pub(super) fn receivers<'a>(
    configuration: &'a Configuration,
    process: &Process,
) -> Vec<Receiver<'a>> {
    let mut receivers: Vec<Receiver<'a>> = Vec::new();
    for hook in event_hooks(configuration) {
        let is_certain = process.is_hook() || hook.url.is_some();
        let (place, address) = match &hook.url {
            Some(url) => (hook.hook.place(), url.clone()),
            None => (PLACE.to_owned(), address(process)),
        };
        let url = shown_url(&address);
        match receivers.iter_mut().find(|it| it.url == url) {
            Some(known) => {
                known.is_certain |= is_certain;
                known.hooks.push(hook);
            }
            None => receivers.push(Receiver {
                place,
                url,
                hooks: vec![hook],
                is_certain,
                state: look(address, process),
            }),
        }
    }
    receivers
}

fn look(address: OsString, process: &Process) -> State {
    if address.to_string_lossy().contains('$') {
        return State::Variable;
    }
    // As the hook itself judges them.
    let target = receiver(address.clone(), "/healthz");
    if let Err(error) = target.and_then(|_| authorization(process)) {
        return State::Refused(format!("{error:#}"));
    }
    let health = match get(&address, process, "/healthz") {
        Ok(answer) => answer.status,
        Err(error) => return State::Silent(error),
    };
    match plan(&address, process) {
        Ok(plan) => State::Orchestrator(plan, health),
        Err(AskError::Locked(locked)) => match refusal_of_events(&address, process) {
            Some((severity, text)) => State::Unauthorized(severity, text),
            None => State::Locked(locked),
        },
        Err(AskError::Other(reason)) => State::Other(health, reason),
    }
}

pub(super) fn check(
    receivers: &[Receiver<'_>],
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    for receiver in receivers {
        check_receiver(receiver, server, diagnosis);
    }
}

fn check_receiver(receiver: &Receiver<'_>, server: Option<&Server>, diagnosis: &mut Diagnosis) {
    let Receiver {
        place, url, state, ..
    } = receiver;
    let severity = if receiver.is_certain {
        Severity::Error
    } else {
        Severity::Warning
    };
    let ill = |health: u16| format!("{url}/healthz answers {health}: see its log");
    let routes = |reason: &str| format!("whether each path has a route: {reason}");
    match state {
        State::Refused(error) => diagnosis.add(
            severity,
            "events".to_owned(),
            format!("they are lost, since mtx-hook refuses to send them: {error}"),
        ),
        State::Variable => diagnosis.unchecked(format!(
            "{place}: whether events arrive: their address has a variable in it"
        )),
        State::Silent(error) => {
            let way_out = if place == PLACE {
                format!("set {PLACE} in the server's environment")
            } else {
                "correct its --orchestrator-url".to_owned()
            };
            let lost = if receiver.is_certain {
                "events are lost"
            } else {
                "events are lost if the server sends them to the same address"
            };
            let text = format!(
                "{lost}, {url}/healthz does not answer ({error}): start mtx-orchestrator, or {way_out}"
            );
            diagnosis.add(severity, place.clone(), text);
        }
        State::Locked(reason) => diagnosis.unchecked(routes(reason)),
        State::Unauthorized(severity, text) => {
            diagnosis.add(*severity, place.clone(), text.clone());
            diagnosis.unchecked(routes(&format!("{url} answers 401")));
        }
        State::Other(health, reason) => {
            if (500..600).contains(health) && *health != NOT_IMPLEMENTED {
                diagnosis.warning(place, ill(*health));
            }
            diagnosis.unchecked(routes(reason));
        }
        State::Orchestrator(plan, health) => {
            if (500..600).contains(health) {
                diagnosis.add(severity, place.clone(), ill(*health));
            }
            for hook in &receiver.hooks {
                for entry in &hook.entries {
                    let is_inherited = entry.inherits(&hook.hook);
                    check_route(entry, is_inherited, plan, server, diagnosis);
                }
            }
        }
    }
}

fn plan(address: &OsStr, process: &Process) -> Result<Plan, AskError> {
    let Routes { routes } = ask(address, process, "/v1/routes")?;
    let Streams { streams } = ask(address, process, "/v1/streams")?;
    let outputs = streams.into_iter().flat_map(|stream| stream.outputs);
    let (routes, targets): (Vec<_>, Vec<_>) = routes
        .into_iter()
        .map(|route| (route.path, route.outputs))
        .unzip();
    Ok(Plan {
        routes,
        targets: targets.concat(),
        outputs: outputs.filter_map(|output| output.path).collect(),
    })
}

/// An entry with a plain name that only takes its hook over from `pathDefaults` need not have a stream ever.
fn check_route(
    entry: &Entry,
    is_inherited: bool,
    plan: &Plan,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    let routes = shown(&plan.routes);
    let missing = |diagnosis: &mut Diagnosis, severity, path: &str| {
        diagnosis.add(
            severity,
            path.to_owned(),
            format!("no route of mtx-orchestrator is for it ({routes}), so its stream goes nowhere: add one, for example --route '{path} => rtmp://…'"),
        );
    };
    let streams = server
        .map(|server| server.streams.as_slice())
        .unwrap_or_default();
    let streams: Vec<&str> = streams
        .iter()
        .filter(|(_, conf_name)| *conf_name == entry.name)
        .map(|(name, _)| name.as_str())
        .collect();
    let Some(expression) = entry.expression() else {
        let has_stream = !is_inherited || !streams.is_empty();
        if plan.knows(&entry.name) {
        } else if has_stream {
            missing(diagnosis, Severity::Error, &entry.name);
        } else if !entry.is_for_startup() {
            missing(diagnosis, Severity::Warning, &entry.name);
        }
        return;
    };
    for stream in streams.iter().filter(|stream| !plan.knows(stream)) {
        missing(diagnosis, Severity::Error, stream);
    }
    let fits = |expression: Regex| {
        let mut examples = plan.routes.iter().flat_map(examples);
        examples.any(|example| expression.is_match(&example))
    };
    if streams.is_empty() && !Regex::new(expression).is_ok_and(fits) {
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

/// Where events go unless the hook says otherwise. mtx-hook does not take an empty variable for a missing one.
fn address(process: &Process) -> OsString {
    process.raw_variable(PLACE).unwrap_or(DEFAULT).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(entry: &str, streams: &[&str], is_inherited: bool) -> Diagnosis {
        let plan = Plan {
            routes: vec!["live/*/in".parse().unwrap(), "cam/**".parse().unwrap()],
            targets: Vec::new(),
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
        check_route(&entry, is_inherited, &plan, Some(&server), &mut diagnosis);
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
            let diagnosis = diagnosis(entry, streams, false);
            let counts = (diagnosis.found.len(), diagnosis.unchecked.len());
            assert_eq!(counts, (found, unchecked), "{entry}");
        }
        let text = diagnosis("building/floor1", &[], false).found[0].to_string();
        assert!(
            text.contains("--route 'building/floor1 => rtmp://…'"),
            "{text}"
        );
    }

    #[test]
    fn a_path_that_only_inherits_its_hook_need_not_have_a_stream() {
        let idle = diagnosis("building/floor1", &[], true);
        assert_eq!(idle.found[0].severity, Severity::Warning);
        let live = diagnosis("building/floor1", &["building/floor1"], true);
        assert_eq!(live.found[0].severity, Severity::Error);
        let together = "pathDefaults: {runOnAvailable: mtx-hook ready}\n\
            paths: {init: {runOnInit: mtx-hook doctor}, cam/x: {}}";
        let text = look_at(
            together,
            &[],
            &[
                ("/healthz", ""),
                ("/v1/routes", ROUTES),
                ("/v1/streams", STREAMS),
            ],
        );
        assert_eq!(text, "");
    }

    const ROUTES: &str = r#"{"routes": [{"path": "cam/*", "outputs": ["rtmps://platform/x"]}]}"#;
    const STREAMS: &str = r#"{"streams": []}"#;

    /// What is said of a configuration whose events go to a service with these pages.
    fn look_at(yaml: &str, variables: &[(&str, &str)], pages: &'static [(&str, &str)]) -> String {
        let url = serve(pages);
        let configuration =
            super::super::file::parse(yaml.replace("URL", &url).as_bytes()).unwrap();
        let mut all = vec![(PLACE, url.as_str())];
        all.retain(|_| !yaml.contains("URL"));
        all.extend(variables);
        let process = Process::test(&all);
        let receivers = receivers(&configuration, &process);
        let mut diagnosis = Diagnosis::default();
        super::super::protocols::check(&configuration, &process, &receivers, &mut diagnosis);
        check(&receivers, None, &mut diagnosis);
        let found = diagnosis.found.iter().map(ToString::to_string);
        found.collect::<Vec<_>>().join("\n")
    }

    /// A service that has these pages, and answers 501 to anything else.
    fn serve(pages: &'static [(&str, &str)]) -> String {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let lines = BufReader::new(connection.try_clone().unwrap()).lines();
                let lines: Vec<String> = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let asked = lines.first().and_then(|line| line.split(' ').nth(1));
                let page = pages
                    .iter()
                    .find(|(page, _)| Some(*page) == asked || *page == "*");
                let (status, body) = page.map_or((501, ""), |(_, body)| (200, *body));
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = connection.write_all((head + body).as_bytes());
            }
        });
        url
    }

    #[test]
    fn only_an_orchestrator_needs_rtsp_and_only_outputs_here_need_rtmp() {
        const HOOK: &str = "paths: {cam/x: {runOnAvailable: mtx-hook ready}}";
        let off = format!("rtsp: no\nrtmp: no\n{HOOK}");
        assert_eq!(look_at(&off, &[], &[]), "");
        let found = look_at(
            &off,
            &[],
            &[
                ("/healthz", ""),
                ("/v1/routes", ROUTES),
                ("/v1/streams", STREAMS),
            ],
        );
        assert!(found.starts_with("error: rtsp: it is off"), "{found}");
        assert!(!found.contains("rtmp"), "{found}");
        const HERE: &str = r#"{"routes": [{"path": "cam/*", "outputs": ["out/{name}"]}]}"#;
        let found = look_at(
            &off,
            &[],
            &[
                ("/healthz", ""),
                ("/v1/routes", HERE),
                ("/v1/streams", STREAMS),
            ],
        );
        assert!(found.contains("error: rtmp: it is off"), "{found}");
        let found = look_at(&off, &[(PLACE, "http://127.0.0.1:1")], &[]);
        assert!(found.contains("warning: rtsp: it is off"), "{found}");
    }

    #[test]
    fn the_hooks_own_address_is_asked_and_an_empty_variable_is_no_address() {
        let yaml = "paths: {cam/x: {runOnAvailable: mtx-hook ready --orchestrator-url URL}}";
        assert_eq!(look_at(yaml, &[(PLACE, "http://127.0.0.1:1")], &[]), "");
        let yaml = "paths: {cam/x: {runOnAvailable: mtx-hook ready --orchestrator-url=http://127.0.0.1:1}}";
        let found = look_at(yaml, &[], &[]);
        assert!(
            found.contains("error: cam/x: runOnAvailable: events are lost"),
            "{found}"
        );
        let yaml = "paths: {cam/x: {runOnAvailable: mtx-hook ready}}";
        let nobody = (PLACE, "http://127.0.0.1:1");
        let by_hand = look_at(yaml, &[nobody], &[]);
        assert!(
            by_hand.starts_with("warning: ORCHESTRATOR_URL: events are lost if"),
            "{by_hand}"
        );
        let of_hook = look_at(yaml, &[nobody, ("MTX_PATH", "cam/x")], &[]);
        assert!(
            of_hook.contains("error: ORCHESTRATOR_URL: events are lost"),
            "{of_hook}"
        );
        let found = look_at(yaml, &[(PLACE, "")], &[]);
        assert!(found.contains("mtx-hook refuses to send them"), "{found}");
    }

    #[test]
    fn an_application_that_answers_everything_is_no_orchestrator() {
        for (pages, expected) in [
            (&[("*", "<html></html>")][..], false),
            (&[("*", "{}")], false),
            (&[("/v1/routes", ROUTES)], true),
        ] {
            let url = serve(pages);
            assert_eq!(is_there(&Process::test(&[(PLACE, &url)])), expected);
        }
    }

    #[test]
    fn what_the_hook_would_refuse_is_an_error_before_anything_is_asked() {
        let yaml = "paths: {cam: {runOnAvailable: mtx-hook ready}}";
        let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        for (name, value, part) in [
            (PLACE, "http://u:s3cret@127.0.0.1:1", "has a user in it"),
            (PLACE, "http://127.0.0.1:1/?token=s3cret", "has a query"),
            (PLACE, "127.0.0.1:1", "is not http(s)://"),
            ("ORCHESTRATOR_TOKEN", "s3cret x", "is not a token"),
        ] {
            let mut diagnosis = Diagnosis::default();
            let process = Process::test(&[(name, value)]);
            check(&receivers(&configuration, &process), None, &mut diagnosis);
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
