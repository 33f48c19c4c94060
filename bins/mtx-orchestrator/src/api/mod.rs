//! What the orchestrator offers over HTTP. openapi/ describes it.

mod access;
mod dashboard;
mod declared;
mod events;
mod lifecycle;
mod metrics;
mod openapi;
mod routes;
mod streams;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use common::http::{Answer, Challenge, Head, Method, Problem, Service, check_origin};
use mediamtx::event::EventName;
use serde_json::json;

use crate::feed::Feed;
use crate::history::History;
use crate::lifecycle::Lifecycle;
use crate::pictures::Pictures;
use crate::power::Power;
use crate::registry::Registry;
use crate::router::Router;
use crate::stream_key::Address;
use crate::supervisor::{Command, Supervisor};
use metrics::Metrics;

pub(crate) use access::Access;
use access::Holder;
pub(crate) use dashboard::Dashboard;
use dashboard::Script;

const JSON: &[&str] = &["application/json"];
/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything behind the routes.
pub(crate) struct Api {
    supervisor: Supervisor,
    registry: Registry,
    router: Arc<Router>,
    feed: Feed,
    lifecycle: Option<Lifecycle>,
    access: Option<Access>,
    dashboard: Dashboard,
    history: History,
    pictures: Pictures,
    metrics: Metrics,
}

/// A request that may be made, up to its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Page,
    Style,
    Script(Script),
    Feed,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Event(EventName),
    Streams,
    Declare,
    Stream(Address),
    Change(Address),
    Remove(Address),
    History(Address),
    Picture(Address),
    Command(Address, Command),
    Routes,
    PutRoutes,
    Lifecycle(lifecycle::Route),
    LifecycleMetrics,
}

impl Api {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of its own, and they are named here once"
    )]
    pub(crate) fn new(
        supervisor: Supervisor,
        registry: Registry,
        router: Arc<Router>,
        feed: Feed,
        lifecycle: Option<Lifecycle>,
        access: Option<Access>,
        dashboard: Dashboard,
        history: History,
        pictures: Pictures,
    ) -> Self {
        Self {
            supervisor,
            registry,
            router,
            feed,
            lifecycle,
            access,
            dashboard,
            history,
            pictures,
            metrics: Metrics::default(),
        }
    }

    fn page(&self, head: &Head) -> Answer {
        let holder = self.access.as_ref().and_then(|access| access.holder(head));
        let may = |power: &Power| holder.is_none_or(|holder| holder.has(*power));
        let powers: Vec<Power> = Power::ALL.into_iter().filter(may).collect();
        let mut answer = self.dashboard.page(head.one("host"), &powers);
        let cookie = holder.map(|holder| ("Set-Cookie", holder.cookie(head)));
        answer.headers.extend(cookie);
        answer
    }

    /// Whose request it is, as far as that has to be known.
    fn holder(
        &self,
        head: &Head,
        route: Result<&Route, &Problem>,
    ) -> Result<Option<&Holder>, Problem> {
        if matches!(route, Ok(Route::Health | Route::Ready)) {
            return Ok(None);
        }
        let Some(access) = &self.access else {
            return Ok(None);
        };
        let challenge = match route {
            Ok(Route::Page) => Challenge::Basic,
            _ => Challenge::Bearer,
        };
        let holder = access.holder(head);
        holder
            .map(Some)
            .ok_or_else(|| access.unknown(head, challenge))
    }
}

impl Service for Api {
    type Route = Route;

    const NAME: &'static str = env!("CARGO_PKG_NAME");

    fn is_guarded(&self) -> bool {
        self.access.is_some()
    }

    fn admit(&self, head: &Head) -> Result<Route, Problem> {
        let route = Route::find(&head.path());
        let holder = self.holder(head, route.as_ref())?;
        if is_unknown_event(head) {
            self.metrics.rejected(None);
        }
        let route = route?;
        let route = route.with(head.method())?;
        if let (Some(holder), Some(power)) = (holder, route.power()) {
            holder.check(power)?;
        }
        check_origin(head, self.access.is_some())?;
        route
            .check_content_type(head)
            .inspect_err(|_| self.no_body(&route))?;
        Ok(route)
    }

    fn answer(&self, head: &Head, route: Route, body: &[u8]) -> Answer {
        match route {
            Route::Page => self.page(head),
            Route::Style => dashboard::style(),
            Route::Script(script) => script.answer(),
            Route::Feed => websocket::answer(&self.feed, head),
            Route::Health => match self.supervisor.is_alive() {
                Ok(()) => Answer::json(200, &json!({ "status": "ok" })),
                Err(why) => Problem::new(503, why).into(),
            },
            Route::Ready => match self.supervisor.is_ready() {
                Ok(()) => Answer::json(200, &json!({ "status": "ready" })),
                Err(why) => Problem::new(503, why).into(),
            },
            Route::Metrics => {
                let mut text = self.metrics.text(&self.supervisor);
                text.extend(self.lifecycle.as_ref().map(Lifecycle::metrics));
                Answer::new(200, PROMETHEUS, text)
            }
            Route::OpenApi => Answer::new(200, "application/json", openapi::DOCUMENT.as_str()),
            Route::Event(name) => events::receive(&self.supervisor, &self.metrics, name, body),
            Route::Streams => streams::list(&self.supervisor),
            Route::Stream(address) => {
                streams::show(&self.supervisor, &self.supervisor.resolve(address))
            }
            Route::History(address) => streams::history(
                &self.supervisor,
                &self.history,
                &self.supervisor.resolve(address),
            ),
            Route::Picture(address) => streams::picture(
                &self.supervisor,
                &self.pictures,
                &self.supervisor.resolve(address),
            ),
            Route::Declare => declared::declare(&self.registry, body),
            Route::Change(address) => {
                declared::change(&self.registry, &self.supervisor.resolve(address), body)
            }
            Route::Remove(address) => {
                declared::remove(&self.registry, &self.supervisor.resolve(address))
            }
            Route::Command(address, command) => {
                streams::command(&self.registry, &self.supervisor.resolve(address), command)
            }
            Route::Routes => routes::list(&self.supervisor, &self.router),
            Route::PutRoutes => routes::put(&self.router, head, body).unwrap_or_else(Answer::from),
            Route::LifecycleMetrics => lifecycle::metrics(self.lifecycle.as_ref()),
            Route::Lifecycle(route) => {
                lifecycle::answer(self.lifecycle.as_ref(), route, head, body)
            }
        }
    }

    fn no_body(&self, route: &Route) {
        if let Route::Event(name) = route {
            self.metrics.rejected(Some(*name));
        }
    }

    fn panicked(&self) {
        self.metrics.panicked();
    }

    fn answered(&self, status: u16, took: Duration) {
        self.metrics.answered(status, took);
    }
}

fn is_unknown_event(head: &Head) -> bool {
    let path = head.path();
    let event = path.strip_prefix(&["v1", "mediamtx", "events"]);
    *head.method() == Method::Post
        && matches!(event, Some([name]) if name.parse::<EventName>().is_err())
}

impl Route {
    fn find(path: &[&str]) -> Result<Self, Problem> {
        match path {
            [""] => Ok(Self::Page),
            ["dashboard.css"] => Ok(Self::Style),
            ["v1", "events"] => Ok(Self::Feed),
            ["healthz"] => Ok(Self::Health),
            ["readyz"] => Ok(Self::Ready),
            ["metrics"] => Ok(Self::Metrics),
            ["v1", "openapi.json"] => Ok(Self::OpenApi),
            ["v1", "mediamtx", "events", name] => name
                .parse()
                .map(Self::Event)
                .map_err(|error| Problem::new(404, format!("{error}")).field("event")),
            ["v1", "lifecycle", "metrics"] => Ok(Self::LifecycleMetrics),
            ["v1", "lifecycle", rest @ ..] => lifecycle::Route::find(rest).map(Self::Lifecycle),
            ["v1", "streams"] => Ok(Self::Streams),
            ["v1", "routes"] => Ok(Self::Routes),
            ["v1", "streams", id @ .., command] if !id.is_empty() => match *command {
                "start" => Self::command(id, Command::Start),
                "stop" => Self::command(id, Command::Stop),
                "restart" => Self::command(id, Command::Restart),
                "history" => Ok(Self::History(address(id)?)),
                "picture" => Ok(Self::Picture(address(id)?)),
                _ => address(&path[2..]).map(Self::Stream),
            },
            ["v1", "streams", id] => address(&[id]).map(Self::Stream),
            [name] => Script::find(name).map(Self::Script).ok_or_else(nothing),
            _ => Err(nothing()),
        }
    }

    fn command(id: &[&str], command: Command) -> Result<Self, Problem> {
        Ok(Self::Command(address(id)?, command))
    }

    /// The methods that are allowed where [`Route::find`] leads to.
    fn allow(&self) -> &'static str {
        match self {
            Self::Lifecycle(route) => route.allow(),
            Self::Event(_) | Self::Command(..) => "POST",
            Self::Streams => "GET, HEAD, POST",
            Self::Stream(_) => "GET, HEAD, PATCH, DELETE",
            Self::Routes => "GET, HEAD, PUT",
            _ => "GET, HEAD",
        }
    }

    /// What a method means here.
    fn with(self, method: &Method) -> Result<Self, Problem> {
        let allow = self.allow();
        if !allow.split(", ").any(|allowed| allowed == method.as_str()) {
            let problem = Problem::new(405, format!("{method} is not allowed here, only {allow}"));
            return Err(problem.header("Allow", allow));
        }
        Ok(match (self, method) {
            (Self::Streams, Method::Post) => Self::Declare,
            (Self::Stream(id), Method::Patch) => Self::Change(id),
            (Self::Stream(id), Method::Delete) => Self::Remove(id),
            (Self::Routes, Method::Put) => Self::PutRoutes,
            (Self::Lifecycle(route), method) => Self::Lifecycle(route.with(method)),
            (route, _) => route,
        })
    }

    /// What whoever asks for it has to be able to do; none where any token will do.
    fn power(&self) -> Option<Power> {
        match self {
            Self::Page
            | Self::Style
            | Self::Script(_)
            | Self::OpenApi
            | Self::Health
            | Self::Ready => None,
            Self::Event(_) => Some(Power::Events),
            Self::Feed
            | Self::Metrics
            | Self::LifecycleMetrics
            | Self::Streams
            | Self::Stream(_)
            | Self::History(_)
            | Self::Picture(_)
            | Self::Routes => Some(Power::Read),
            Self::Declare | Self::Change(_) | Self::Remove(_) | Self::Command(..) => {
                Some(Power::Operate)
            }
            Self::PutRoutes => Some(Power::Policy),
            Self::Lifecycle(route) => Some(route.power()),
        }
    }

    /// Pages of other sites can't post JSON without asking first, which nobody here answers. Commands have no
    /// body, so they need not say what it is.
    fn check_content_type(&self, head: &Head) -> Result<(), Problem> {
        let media_type = media_type(head);
        let (types, needed): (&[&str], bool) = match self {
            Self::Event(_) | Self::Declare | Self::Change(_) => (JSON, true),
            Self::Command(..) => (JSON, false),
            Self::PutRoutes => (&["application/yaml", "application/json"], true),
            Self::Lifecycle(route) => route.body(),
            _ => return Ok(()),
        };
        let accepted = match &media_type {
            Some(given) => types.iter().any(|known| known.as_bytes() == given),
            None => !needed,
        };
        if accepted {
            return Ok(());
        }
        let types = types.join(" or ");
        Err(Problem::new(415, format!("the body has to be {types}")).field("Content-Type"))
    }
}

fn nothing() -> Problem {
    Problem::new(
        404,
        "there is nothing here; GET /v1/openapi.json tells what is where",
    )
}

/// What the body is, without parameters.
fn media_type(head: &Head) -> Option<Vec<u8>> {
    let value = head.one("content-type")?;
    let value = value.split(|byte| *byte == b';').next()?;
    Some(value.trim_ascii().to_ascii_lowercase())
}

/// Slashes may stand as they are or as `%2F`. The latter tells a path that is called `…/stop` from a command.
fn address(segments: &[&str]) -> Result<Address, Problem> {
    let address = segments.join("/").parse();
    address.map_err(|error| Problem::new(400, format!("not a stream's id: {error}")).field("id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// A path for each route, as the document writes it.
    fn example(template: &str) -> Vec<String> {
        let path = template
            .replace("{event}", "not-ready")
            .replace("{path}", "cam-1")
            .replace("{id}", "cam-1");
        path.split('/').skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn each_path_of_the_document_has_a_route_with_its_method() {
        let document: Value = serde_json::from_str(&openapi::DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for (template, operations) in paths {
            let segments = example(template);
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            let route = Route::find(&segments).unwrap();
            let operations = operations.as_object().unwrap().keys();
            let mut known: Vec<&str> = operations
                .map(String::as_str)
                .filter(|key| *key != "parameters")
                .collect();
            let allow = route.allow().to_lowercase();
            let mut allowed: Vec<&str> = allow
                .split(", ")
                .filter(|method| *method != "head")
                .collect();
            known.sort_unstable();
            allowed.sort_unstable();
            assert_eq!(known, allowed, "{template}");
        }
    }

    #[test]
    fn the_document_names_every_event() {
        let document: Value = serde_json::from_str(&openapi::DOCUMENT).unwrap();
        let named = &document["components"]["schemas"]["EventName"]["enum"];
        let names = EventName::ALL.map(EventName::as_str);
        assert_eq!(*named, serde_json::json!(names));
    }

    #[test]
    fn slashes_of_a_stream_stand_as_they_are_or_escaped() {
        let stream = |text: &str| Route::Stream(text.parse().unwrap());
        let stop = |text: &str| Route::Command(text.parse().unwrap(), Command::Stop);
        for (segments, route) in [
            (&["cam"][..], stream("cam")),
            (&["/cam"], stream("/cam")),
            (&["", "cam"], stream("/cam")),
            (&["building", "floor1"], stream("building/floor1")),
            (&["building/floor1"], stream("building/floor1")),
            (&["building/floor1", "stop"], stop("building/floor1")),
            (&["building", "floor1", "stop"], stop("building/floor1")),
            (&["floor1/stop"], stream("floor1/stop")),
            (&["floor1/stop", "stop"], stop("floor1/stop")),
            (&["stop"], stream("stop")),
            (&["a.b:c~d-e_f", "stop"], stop("a.b:c~d-e_f")),
        ] {
            let path: Vec<&str> = [&["v1", "streams"], segments].concat();
            assert_eq!(Route::find(&path).unwrap(), route, "{segments:?}");
        }
    }

    #[test]
    fn what_is_no_route_says_so() {
        for (path, status) in [
            (&["healthz", ""][..], 404),
            (&["", ""], 404),
            (&["v1", "streams", ""], 400),
            (&["v1", "streams", ".."], 400),
            (&["v1", "streams", "a//"], 400),
            (&["v1", "streams", "a", ".."], 400),
            (&["v1", "streams", "", "stop"], 400),
            (&["v1", "routes", "x"], 404),
            (&["v1", "streams", "a b", "stop"], 400),
            (&["v1", "mediamtx", "events", "redy"], 404),
            (&["v1", "mediamtx", "events"], 404),
        ] {
            assert_eq!(Route::find(path).unwrap_err().status, status, "{path:?}");
        }
    }
}
