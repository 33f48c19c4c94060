//! The routes: what is in force, and putting others into force.

use common::http::{Answer, Head, Problem};
use serde_json::{Value, json};

use super::lifecycle::dry_run;
use super::media_type;
use crate::router::{Effect, Router, RouterError};
use crate::routes::Syntax;
use crate::supervisor::Supervisor;

/// Each with how many streams follow it.
pub(super) fn list(supervisor: &Supervisor, router: &Router) -> Answer {
    let streams = supervisor.streams();
    let count = |number: usize| {
        let followers = streams.iter();
        followers
            .filter(|stream| stream.route_number == Some(number))
            .count()
    };
    let table = supervisor.routes();
    let routes = table.iter().enumerate().map(|(number, (origin, route))| {
        let mut json = route.shown(router.servers());
        json["source"] = json!(origin);
        json["streams"] = count(number).into();
        json
    });
    let routes: Vec<Value> = routes.collect();
    Answer::json(200, &json!({ "routes": routes }))
}

pub(super) fn put(router: &Router, head: &Head, body: &[u8]) -> Result<Answer, Problem> {
    let dry_run = dry_run(head.query())?;
    let text = str::from_utf8(body).map_err(|_| Problem::new(400, "the routes are not UTF-8"))?;
    let syntax = if media_type(head).as_deref() == Some(b"application/json") {
        Syntax::Json
    } else {
        Syntax::Yaml
    };
    let effect = if dry_run {
        router.preview(text, syntax)
    } else {
        router.put(text, syntax)
    };
    let Effect { changes, shadowed } = effect.map_err(|error| problem(&error))?;
    let answer = json!({
        "persisted": !dry_run && router.keeps(),
        "start": changes.start,
        "change": changes.change,
        "stop": changes.stop,
        "shadowed": shadowed,
    });
    Ok(Answer::json(200, &answer))
}

fn problem(error: &RouterError) -> Problem {
    let detail = error.to_string();
    match error {
        RouterError::Routes(error) => {
            let problem = Problem::new(400, detail).field("routes");
            match error.place() {
                Some((line, column)) => problem.at(line, column),
                None => problem,
            }
        }
        RouterError::Store(_) => {
            log::error!("{detail}");
            Problem::new(503, format!("{detail}; nothing has changed"))
        }
        RouterError::Command(_) => Problem::new(503, detail),
    }
}
