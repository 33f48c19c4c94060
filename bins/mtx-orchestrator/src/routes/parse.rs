//! Reading routes, with the place of what is wrong: a file, a body, or what a store kept.

mod document;
mod once;

use serde_json::{Value, json};

use super::{RouteOutput, StreamRoute};
use crate::declaration::Servers;
use document::{Checks, Document};

/// How routes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Yaml,
    /// It has ways to write a character that YAML lacks.
    Json,
}

/// Why routes are refused; never shows a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RoutesError {
    message: String,
    place: Option<(usize, usize)>,
}

impl RoutesError {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            place: None,
        }
    }

    /// Its line and column, which count from 1.
    pub(crate) fn place(&self) -> Option<(usize, usize)> {
        self.place
    }
}

impl StreamRoute {
    /// Reads `routes: […]` as the routes that follow those `before` them.
    ///
    /// # Errors
    /// What is wrong, and where: a value, a route that an earlier one of the text leaves nothing to, or one that would
    /// be fed by itself.
    pub(crate) fn read_all(
        text: &str,
        syntax: Syntax,
        before: &[Self],
        servers: &Servers,
    ) -> Result<Vec<Self>, RoutesError> {
        let checks = Checks::Behind {
            before: before.to_vec(),
            servers: servers.clone(),
        };
        checks.during(|| Self::read_alone(text, syntax))
    }

    /// Reads what a store has kept: what an earlier version took is taken, also where it would be refused today.
    ///
    /// # Errors
    /// When it is no document of routes.
    pub(crate) fn read_kept(text: &str) -> Result<Vec<Self>, RoutesError> {
        Checks::Kept.during(|| Self::read_alone(text, Syntax::Json))
    }

    /// The same before it is known what they follow: whether one would be fed by itself shows in the complete table.
    ///
    /// # Errors
    /// All others of [`Self::read_all`].
    pub(crate) fn read_alone(text: &str, syntax: Syntax) -> Result<Vec<Self>, RoutesError> {
        if is_blank(text) {
            let none = "there are no routes in it: write routes: [] if none are meant";
            return Err(RoutesError::new(none.to_owned()));
        }
        let document = match syntax {
            Syntax::Yaml => serde_yaml::from_str::<Document>(text).map_err(|error| {
                let place = error.location().map(|at| (at.line(), at.column()));
                (error.to_string(), place)
            }),
            Syntax::Json => serde_json::from_str::<Document>(text).map_err(|error| {
                let place = (error.line() > 0).then_some((error.line(), error.column()));
                (error.to_string(), place)
            }),
        };
        document
            .map(|document| document.routes)
            .map_err(|(message, place)| RoutesError {
                message: without_urls(&message, text),
                place,
            })
    }

    /// As it would be written, secrets and all.
    pub(crate) fn definition(&self) -> Value {
        let outputs = self.outputs.iter().map(RouteOutput::as_written);
        self.json(outputs.map(str::to_owned).collect())
    }

    /// The same without secrets.
    pub(crate) fn shown(&self, servers: &Servers) -> Value {
        let outputs = self.outputs.iter();
        self.json(outputs.map(|output| output.shown(servers)).collect())
    }

    fn json(&self, outputs: Vec<String>) -> Value {
        let mut json = json!({ "path": self.path, "outputs": outputs });
        if let Some(name) = &self.name {
            json["name"] = name.to_string().into();
        }
        if let Some(recovery) = self.recovery {
            json["recovery"] = recovery.to_string().into();
        }
        if !self.limits.is_empty() {
            let limits = [
                ("memory", self.limits.memory),
                ("files", self.limits.files),
                ("cpu", self.limits.cpu),
            ];
            for (name, limit) in limits {
                if let Some(limit) = limit {
                    json["limits"][name] = limit.into();
                }
            }
        }
        json
    }
}

/// Nothing but comments.
fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

/// How a URL begins in advice of ours, with the word before it, which tells it from a value that is quoted.
const FORMS: [&str; 3] = [
    "write rtmp(s)://host[:port]",
    "or rtmp(s)://host[:port]",
    "is rtmp(s)://…",
];

/// What the YAML reader quotes may be an output with its stream key. Advice stays readable.
fn without_urls(message: &str, text: &str) -> String {
    // Control characters, which no message of ours has.
    let marks = ["\u{1}", "\u{2}", "\u{3}"];
    let mut message = message.to_owned();
    for (form, mark) in FORMS.iter().zip(marks) {
        message = message.replace(form, mark);
    }
    let mut shown = without_any_url(&message, text);
    for (form, mark) in FORMS.iter().zip(marks) {
        shown = shown.replace(mark, form);
    }
    shown.chars().take(500).collect()
}

fn without_any_url(message: &str, text: &str) -> String {
    let separates = |c: char| c.is_whitespace() || "\"',[]{}".contains(c);
    let mut urls: Vec<&str> = text
        .split(separates)
        .filter(|word| word.contains("://"))
        .collect();
    urls.sort_by_key(|url| std::cmp::Reverse(url.len()));
    let mut message = message.to_owned();
    for url in urls {
        let scheme = url.split("://").next().unwrap_or_default();
        message = message.replace(url, &format!("{scheme}://***"));
    }
    // Those that the text has in another spelling, such as rtmp:\/\/.
    let mut parts = message.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "\"'`".contains(c));
        shown.push_str("://***");
        shown.push_str(&part[end.unwrap_or(part.len())..]);
    }
    shown
}

#[cfg(test)]
mod tests;
