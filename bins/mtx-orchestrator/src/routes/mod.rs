//! Which paths are passed on, and where to.

mod circle;
mod output;
mod parse;
mod route;

use mediamtx::path::PathName;

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

/// Routes by where they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    pub(crate) flags: Vec<StreamRoute>,
    /// Those that were put over the API; none were before the first time.
    pub(crate) api: Vec<StreamRoute>,
    /// Those of the file, if there is one.
    pub(crate) file: Option<Vec<StreamRoute>>,
}

/// All routes: the first one that matches a path is the one for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteTable(Vec<(Origin, StreamRoute)>);

impl RouteTable {
    /// The flags first, then what came over the API, then the file; the default if there is nothing of these.
    ///
    /// # Errors
    /// When a stream would come back to a route that it has been through.
    pub(crate) fn new(layers: &Layers, servers: &Servers) -> Result<Self, RoutesError> {
        let of = |origin, routes: &[StreamRoute]| -> Vec<(Origin, StreamRoute)> {
            routes.iter().map(|route| (origin, route.clone())).collect()
        };
        let mut routes = of(Origin::Flag, &layers.flags);
        routes.extend(of(Origin::Api, &layers.api));
        routes.extend(of(Origin::File, layers.file.as_deref().unwrap_or_default()));
        if routes.is_empty() && layers.file.is_none() {
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
            api: routes(&["[ab] => api/{name}"]),
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
    fn the_default_is_there_only_without_any_other() {
        let default = table(&Layers::default());
        let (_, route) = default.find(&"live/cam/in".parse().unwrap()).unwrap();
        assert_eq!(route.to_string(), DEFAULT);
        let none = Layers {
            file: Some(Vec::new()),
            ..Layers::default()
        };
        assert_eq!(table(&none).iter().count(), 0);
    }
}
