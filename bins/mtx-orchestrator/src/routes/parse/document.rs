//! The document and its routes as serde reads them.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use mediamtx::pattern::Pattern;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::route::{CPU, FILES, MEMORY};
use super::super::{Origin, RouteLimits, RouteOutput, RouteTable, StreamRoute, circle};
use super::once::{self, Once};
use crate::declaration::{Name, Servers};
use crate::supervisor::Recovery;

/// Patterns make more unnecessary.
const MOST_ROUTES: usize = 200;

/// What a route is checked for while it is read: only then is its place known.
pub(super) enum Checks {
    /// Little: it was accepted before, by this version or an earlier one.
    Kept,
    /// What shows without the routes of other origins.
    Alone,
    /// Whether it would be fed by itself, too.
    Behind {
        before: Vec<StreamRoute>,
        servers: Servers,
    },
}

thread_local! {
    static CHECKS: RefCell<Checks> = const { RefCell::new(Checks::Alone) };
}

impl Checks {
    pub(super) fn during<T>(self, read: impl FnOnce() -> T) -> T {
        CHECKS.set(self);
        let result = read();
        CHECKS.set(Checks::Alone);
        result
    }
}

pub(super) struct Document {
    pub(super) routes: Vec<StreamRoute>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            #[serde(deserialize_with = "routes")]
            routes: Vec<StreamRoute>,
        }

        let Fields { routes } = once::keys(deserializer, "routes: [...]")?;
        Ok(Self { routes })
    }
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
        let written = Written::deserialize(Once::new(map))?;
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
    CHECKS.with_borrow(|checks| match checks {
        Checks::Kept => Ok(()),
        Checks::Alone => route.check_one_stream_an_output(),
        Checks::Behind { before, servers } => {
            route.check_one_stream_an_output()?;
            let routes = before.iter().chain(earlier).chain([route]);
            let table = RouteTable(routes.map(|route| (Origin::File, route.clone())).collect());
            circle::check_last(&table, servers).map_err(|error| error.to_string())
        }
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
    #[serde(default, deserialize_with = "limits")]
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

fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    once::keys(deserializer, "limits with memory, files and cpu")
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
