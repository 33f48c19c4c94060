//! Which paths are passed on, and where to.

mod circle;
mod output;
mod parse;
mod route;

use std::fmt;

use mediamtx::path::PathName;
use mediamtx::pattern::Pattern;

use crate::declaration::Servers;

pub(crate) use output::{Filled, RouteOutput};
pub(crate) use parse::{RoutesError, Syntax};
pub(crate) use route::{CPU, FILES, MEMORY, RouteLimits, StreamRoute};

/// Where a stream goes when nobody says otherwise.
pub(crate) const DEFAULT: &str = "live/*/in => live/*/out";

/// Where a route was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Default,
    Flag,
    Api,
    File,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Flag => "--route",
            Self::Api => "PUT /v1/routes",
            Self::File => "--routes",
        })
    }
}

/// A route that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shadowed {
    pub(crate) path: Pattern,
    pub(crate) source: Origin,
    /// The earlier route that matches all of its paths.
    pub(crate) by: Pattern,
    pub(crate) by_source: Origin,
}

impl fmt::Display for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            source,
            by,
            by_source,
        } = self;
        write!(
            f,
            "no path ever comes to the route of {path} ({source}): {by} ({by_source}) stands before it and matches all of them"
        )
    }
}

/// Routes by where they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    pub(crate) flags: Vec<StreamRoute>,
    /// Those that were put over the API, once any were.
    pub(crate) api: Option<Vec<StreamRoute>>,
    /// Those of the file, if there is one.
    pub(crate) file: Option<Vec<StreamRoute>>,
}

/// All routes: the first one that matches a path is the one for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteTable(Vec<(Origin, StreamRoute)>);

impl RouteTable {
    /// The flags first, then what came over the API, then the file; the default if nobody said anything.
    ///
    /// # Errors
    /// When a stream would come back to a route that it has been through.
    pub(crate) fn new(layers: &Layers, servers: &Servers) -> Result<Self, RoutesError> {
        let of = |origin, routes: &[StreamRoute]| -> Vec<(Origin, StreamRoute)> {
            routes.iter().map(|route| (origin, route.clone())).collect()
        };
        let mut routes = of(Origin::Flag, &layers.flags);
        routes.extend(of(Origin::Api, layers.api.as_deref().unwrap_or_default()));
        routes.extend(of(Origin::File, layers.file.as_deref().unwrap_or_default()));
        if routes.is_empty() && layers.file.is_none() && layers.api.is_none() {
            routes = of(Origin::Default, &[StreamRoute::default()]);
        }
        let table = Self(routes);
        circle::check(&table, servers)?;
        Ok(table)
    }

    /// The route for a path, with its place in the table.
    pub(crate) fn find(&self, path: &PathName) -> Option<(usize, &StreamRoute)> {
        let mut routes = self.0.iter().map(|(_, route)| route).enumerate();
        routes.find(|(_, route)| route.path.matches(path.as_str()))
    }

    /// Whether any of them leads to another server than these, as far as its URL tells.
    pub(crate) fn leads_elsewhere(&self, servers: &Servers) -> bool {
        let mut outputs = self.0.iter().flat_map(|(_, route)| &route.outputs);
        outputs.any(|output| !output.is_on(servers))
    }

    /// Routes that no path ever comes to, and the one before each that takes all of its paths.
    pub(crate) fn shadowed(&self) -> Vec<Shadowed> {
        let routes = self.0.iter().enumerate();
        let shadowed = routes.filter_map(|(number, (source, route))| {
            let mut earlier = self.0[..number].iter();
            let (by_source, by) = earlier.find(|(_, by)| by.path.covers(&route.path))?;
            Some(Shadowed {
                path: route.path.clone(),
                source: *source,
                by: by.path.clone(),
                by_source: *by_source,
            })
        });
        shadowed.collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Origin, StreamRoute)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(texts: &[&str]) -> Vec<StreamRoute> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn table(layers: &Layers) -> RouteTable {
        let servers = Servers {
            rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
            rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
        };
        RouteTable::new(layers, &servers).unwrap()
    }

    #[test]
    fn flags_come_before_the_api_and_the_api_before_the_file() {
        let layers = Layers {
            flags: routes(&["a => flag/a"]),
            api: Some(routes(&["[ab] => api/{name}"])),
            file: Some(routes(&["* => file/{name}"])),
        };
        let table = table(&layers);
        for (path, output) in [("a", "flag/a"), ("b", "api/{name}"), ("c", "file/{name}")] {
            let (_, route) = table.find(&path.parse().unwrap()).unwrap();
            assert_eq!(route.outputs[0].to_string(), output);
        }
        assert!(table.find(&"x/y".parse().unwrap()).is_none());
    }

    #[test]
    fn routes_that_are_hidden_by_others_are_named() {
        let layers = Layers {
            flags: routes(&["cam* => flag/{name}"]),
            api: Some(routes(&["cam1 => api/a", "x => api/x"])),
            file: Some(routes(&["x => file/x", "* => file/{name}"])),
        };
        let shadowed = table(&layers).shadowed();
        let lines: Vec<String> = shadowed.iter().map(Shadowed::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for (line, parts) in lines.iter().zip([
            ["cam1 (PUT /v1/routes)", "cam* (--route)"],
            ["x (--routes)", "x (PUT /v1/routes)"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
    }

    #[test]
    fn what_is_shown_hides_stream_keys_and_no_path_of_the_server() {
        let servers = Servers {
            rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
            rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
        };
        for (output, shown) in [
            ("rtmp://localhost/copy/one", "rtmp://localhost/copy/one"),
            (
                "rtmp://localhost/copy/one?pass=x",
                "rtmp://localhost/copy/one?***",
            ),
            (
                "rtmp://localhost:1936/copy/one",
                "rtmp://localhost:1936/copy/***",
            ),
            ("copy/one", "copy/one"),
        ] {
            let route: StreamRoute = format!("cam => {output}").parse().unwrap();
            assert_eq!(route.shown(&servers)["outputs"][0], shown);
        }
    }

    #[test]
    fn the_default_is_there_only_without_any_other() {
        let default = table(&Layers::default());
        let (_, route) = default.find(&"live/cam/in".parse().unwrap()).unwrap();
        assert_eq!(route.to_string(), DEFAULT);
        let by_file = Layers {
            file: Some(Vec::new()),
            ..Layers::default()
        };
        let over_api = Layers {
            api: Some(Vec::new()),
            ..Layers::default()
        };
        for none in [by_file, over_api] {
            assert_eq!(table(&none).iter().count(), 0);
        }
    }
}
