//! Reading routes, with the place of what is wrong: a file, a body, or what a store kept.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use mediamtx::pattern::Pattern;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::route::{CPU, FILES, MEMORY};
use super::{Origin, RouteLimits, RouteOutput, RouteTable, StreamRoute, circle};
use crate::declaration::{Name, Servers};
use crate::supervisor::Recovery;

/// Patterns make more unnecessary.
const MOST_ROUTES: usize = 200;

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
        CONTEXT.set(Some(Context {
            before: before.to_vec(),
            servers: servers.clone(),
        }));
        let routes = Self::read_alone(text, syntax);
        CONTEXT.take();
        routes
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
    pub(crate) fn shown(&self) -> Value {
        self.json(self.outputs.iter().map(RouteOutput::to_string).collect())
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

/// What the YAML reader quotes may be an output with its stream key.
fn without_urls(message: &str, text: &str) -> String {
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
    shown.chars().take(500).collect()
}

/// What a route is checked against while it is read: only then is its place known.
struct Context {
    before: Vec<StreamRoute>,
    servers: Servers,
}

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(deserialize_with = "routes")]
    routes: Vec<StreamRoute>,
}

fn routes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StreamRoute>, D::Error> {
    struct Routes;

    impl<'de> Visitor<'de> for Routes {
        type Value = Vec<StreamRoute>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of routes")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut routes = Vec::new();
            while let Some(route) = items.next_element_seed(After(&routes))? {
                routes.push(route);
            }
            Ok(routes)
        }
    }

    deserializer.deserialize_any(Routes)
}

/// A route after these.
struct After<'a>(&'a [StreamRoute]);

impl<'de> DeserializeSeed<'de> for After<'_> {
    type Value = StreamRoute;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<StreamRoute, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for After<'_> {
    type Value = StreamRoute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a route with path and outputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StreamRoute, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        let route = written.route().map_err(A::Error::custom)?;
        let checked = check(&route, self.0);
        checked.map_err(A::Error::custom)?;
        Ok(route)
    }
}

fn check(route: &StreamRoute, earlier: &[StreamRoute]) -> Result<(), String> {
    if earlier.len() >= MOST_ROUTES {
        return Err(format!("there are more than {MOST_ROUTES} routes"));
    }
    route.check_after(earlier)?;
    CONTEXT.with_borrow(|context| {
        let Some(context) = context else {
            return Ok(());
        };
        let routes = context.before.iter().chain(earlier).chain([route]);
        let table = RouteTable(routes.map(|route| (Origin::File, route.clone())).collect());
        circle::check_last(&table, &context.servers).map_err(|error| error.to_string())
    })
}

/// A route as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: Pattern,
    #[serde(deserialize_with = "outputs")]
    outputs: Vec<RouteOutput>,
    #[serde(default, deserialize_with = "parsed")]
    name: Option<Name>,
    #[serde(default, deserialize_with = "parsed")]
    recovery: Option<Recovery>,
    #[serde(default)]
    limits: Limits,
}

impl Written {
    fn route(self) -> Result<StreamRoute, String> {
        let mut route = StreamRoute::new(self.path, self.outputs)?;
        route.name = self.name;
        route.recovery = self.recovery;
        route.limits = RouteLimits {
            memory: self.limits.memory,
            files: self.limits.files,
            cpu: self.limits.cpu,
        };
        Ok(route)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    #[serde(deserialize_with = "memory")]
    memory: Option<u64>,
    #[serde(deserialize_with = "files")]
    files: Option<u64>,
    #[serde(deserialize_with = "cpu")]
    cpu: Option<u64>,
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, MEMORY, "MiB")
}

fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, FILES, "files")
}

fn cpu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, CPU, "percent of one processor")
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<u64>,
    unit: &str,
) -> Result<Option<u64>, D::Error> {
    let value = Option::<u64>::deserialize(deserializer)?;
    if value.is_some_and(|value| !range.contains(&value)) {
        let (least, most) = (range.start(), range.end());
        return Err(D::Error::custom(format!("it is {least} to {most} {unit}")));
    }
    Ok(value)
}

fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    let value = Option::<Text<T>>::deserialize(deserializer)?;
    Ok(value.map(|Text(value)| value))
}

/// Read from a text where its place is still known.
struct Text<T>(T);

impl<'de, T: std::str::FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: std::str::FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Parse(PhantomData)).map(Text)
    }
}

/// One text, or a list of them.
fn outputs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RouteOutput>, D::Error> {
    struct Outputs;

    impl<'de> Visitor<'de> for Outputs {
        type Value = Vec<RouteOutput>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an output or a list of them")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(|output| vec![output]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut outputs = Vec::new();
            while let Some(output) = items.next_element()? {
                outputs.push(output);
            }
            Ok(outputs)
        }
    }

    deserializer.deserialize_any(Outputs)
}

impl<'de> Deserialize<'de> for RouteOutput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = RouteOutput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an output")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RouteOutput, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn servers() -> Servers {
        Servers {
            rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
            rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
        }
    }

    fn read(text: &str) -> Result<Vec<StreamRoute>, RoutesError> {
        StreamRoute::read_all(text, Syntax::Yaml, &[], &servers())
    }

    fn read_json(text: &str) -> Result<Vec<StreamRoute>, RoutesError> {
        StreamRoute::read_all(text, Syntax::Json, &[], &servers())
    }

    #[test]
    fn a_route_has_all_its_fields() {
        let text = "routes:\n\
                    - path: cam/*\n  name: Cameras\n  outputs: [copy/*, 'rtmps://h/app/key']\n  recovery: fixed:2s\n  \
                      limits: {memory: 64, cpu: 50}\n\
                    - {path: '**/in', outputs: '**/out'}\n";
        let routes = read(text).unwrap();
        assert_eq!(routes.len(), 2);
        assert_eq!(routes[0].label(), "Cameras");
        assert_eq!(routes[0].limits.memory, Some(64));
        assert_eq!(routes[1].outputs.len(), 1);
        let written =
            json!({ "routes": routes.iter().map(StreamRoute::definition).collect::<Vec<_>>() });
        assert_eq!(read(&written.to_string()).unwrap(), routes);
        assert!(!routes[0].shown().to_string().contains("key"));
        for none in ["routes:\n", "routes: []"] {
            assert_eq!(read(none).unwrap(), [], "{none}");
        }
    }

    #[test]
    fn a_text_without_routes_is_not_taken_for_none() {
        for blank in ["", " \n", "# nothing\n", "---\n# nothing\n"] {
            for error in [read(blank).unwrap_err(), read_json(blank).unwrap_err()] {
                assert!(error.to_string().contains("routes: []"), "{error}");
            }
        }
        assert!(read("{}").is_err() && read_json("{}").is_err());
    }

    #[test]
    fn json_has_its_own_ways_to_write_a_character() {
        let text = "{\"routes\": [{\"path\": \"cam\", \"outputs\": \"copy\\/cam\", \"name\": \"\\ud83c\\udfa5\"}]}";
        assert_eq!(read_json(text).unwrap()[0].label(), "\u{1f3a5}");
        let error =
            read_json("{\"routes\":\n[{\"path\": \"cam\", \"output\": \"x\"}]}").unwrap_err();
        assert_eq!(error.place().map(|(line, _)| line), Some(2));
        let key = "{\"routes\": \"rtmp:\\/\\/h\\/app\\/s3cret\"}";
        for error in [read(key).unwrap_err(), read_json(key).unwrap_err()] {
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        for (text, parts) in [
            (
                "routes:\n- path: cam\n  output: x\n",
                ["unknown field `output`", "line 3 column 3"],
            ),
            (
                "routes:\n- path: cam\n",
                ["missing field `outputs`", "line 2"],
            ),
            ("\nrouts: []\n", ["unknown field `routs`", "line 2"]),
            ("routes: 3\n", ["a list of routes", "line 1"]),
            (
                "routes:\n- path: cam\n  outputs: []\n",
                ["1 to 8", "line 2 column 3"],
            ),
            (
                "routes:\n- path: cam\n  outputs: {a: b}\n",
                ["an output or a list", "line 3"],
            ),
            (
                "routes:\n- path: cam\n  outputs: copy/{1}\n",
                ["needs 1 wildcards", "line 2 column 3"],
            ),
            (
                "routes:\n- path: cam\n  outputs: [x, 'a b']\n",
                ["' '", "line 3 column 16"],
            ),
            (
                "routes:\n- path: ~^cam\n  outputs: x\n",
                ["regular expression", "line 2"],
            ),
            (
                "routes:\n- path: cam\n  outputs: x\n  recovery: later\n",
                ["exponential", "line 4"],
            ),
            (
                "routes:\n- path: cam\n  outputs: x\n  limits: {memory: 1}\n",
                ["8 to", "line 4"],
            ),
            (
                "routes:\n- path: '**'\n  outputs: rtmp://h/{path}\n- path: cam\n  outputs: x\n",
                ["no path ever", "line 4 column 3"],
            ),
            (
                "routes:\n- path: a\n  outputs: b\n- path: b\n  outputs: a\n",
                ["fed by itself", "line 4 column 3"],
            ),
        ] {
            let error = read(text).unwrap_err();
            for part in parts {
                assert!(error.to_string().contains(part), "{error} lacks {part}");
            }
            assert!(
                error.place().is_some() && !error.to_string().contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn stream_keys_are_in_no_message() {
        for text in [
            "routes:\n- path: rtmp://h/app/s3cret?\n  outputs: '{1}'\n",
            "routes:\n- path: x\n  outputs: rtmp://h/app/s3cret/{x}\n",
            "routes:\n- path: x\n  outputs: {a: 'rtmp://h/app/s3cret'}\n",
            "routes:\n- path: x\n  limits: rtmp://h/app/s3cret\n",
            "routes:\n- path: x\n  outputs: [rtmp://h/app/s3cret, rtmp://h/app/s3cret]\n",
            "routes: rtmp://h/app/s3cret\n",
            "rtmp://h/app/s3cret: x\n",
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_comes_before_counts() {
        let before = ["b => a".parse().unwrap()];
        let routes = StreamRoute::read_all(
            "routes: [{path: a, outputs: b}]",
            Syntax::Yaml,
            &before,
            &servers(),
        );
        assert!(routes.unwrap_err().to_string().contains("fed by itself"));
    }

    #[test]
    fn what_refers_to_itself_again_and_again_is_refused_at_once() {
        let mut text = "routes:\n- &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}", level - 1);
            let items = [below.as_str(); 10].join(",");
            text += &format!("- &a{level} [{items}]\n");
        }
        assert!(read(&text).is_err());
        assert!(read(&"[".repeat(60_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), path in "[!-~]{0,9}", output in "[!-~]{0,9}") {
            let _ = (read(&text), read_json(&text));
            let _ = read(&format!("routes: [{{path: {path:?}, outputs: {output:?}}}]"));
            let _ = read(&format!("routes:\n- path: {path}\n  outputs: {output}\n"));
        }
    }
}
