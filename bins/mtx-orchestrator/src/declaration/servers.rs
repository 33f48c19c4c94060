//! What a worker has to do, and what of it concerns MediaMTX.

use std::fmt;

use mediamtx::path::{Leg, PathName, StreamId, StreamPath};
use url::Url;

use super::urls::{self, Endpoint, Place};
use super::{Declaration, Invalid, Output};
use crate::routes::{Filled, RouteOutput, StreamRoute};

/// MediaMTX's RTSP and RTMP servers, with the login for them: their paths are replaced by the streams'.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) rtsp: Url,
    pub(crate) rtmp: Url,
}

/// What one worker has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) input: Url,
    pub(crate) outputs: Vec<Target>,
    /// Whether the login of the environment, which is for MediaMTX, is for the input.
    pub(crate) reads_mediamtx: bool,
    /// Whether it can do nothing while MediaMTX is away.
    pub(crate) needs_mediamtx: bool,
}

/// Where a worker publishes.
#[derive(Clone)]
pub(crate) struct Target {
    /// With its login.
    pub(crate) url: Url,
    /// The same without secrets.
    pub(crate) shown: String,
    /// The path, where it is one of MediaMTX's.
    pub(crate) path: Option<PathName>,
    secrets: Vec<String>,
}

/// However it was written.
impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.path == other.path
    }
}

impl Eq for Target {}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Target {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::of_url(&self.url)
    }

    /// The path that a MediaMTX would give it, whatever server that is.
    pub(crate) fn any_path(&self) -> &str {
        self.url.path().trim_matches('/')
    }
}

impl Task {
    /// The path of MediaMTX's that it reads, if it reads one.
    pub(crate) fn path(&self) -> Option<PathName> {
        let path = self.input.path().trim_start_matches('/');
        path.parse().ok().filter(|_| self.reads_mediamtx)
    }

    /// The paths of MediaMTX's that it publishes to.
    pub(crate) fn result_paths(&self) -> impl Iterator<Item = &PathName> {
        self.outputs
            .iter()
            .filter_map(|target| target.path.as_ref())
    }

    /// The servers that it publishes to whose names are not MediaMTX's.
    pub(crate) fn elsewhere(&self) -> impl Iterator<Item = Endpoint> {
        let others = self.outputs.iter().filter(|target| target.path.is_none());
        others.map(Target::endpoint)
    }

    /// What a text of the worker's is to be scrubbed of.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let outputs = self
            .outputs
            .iter()
            .flat_map(|target| target.secrets.clone());
        urls::secrets(&self.input)
            .into_iter()
            .chain(outputs)
            .collect()
    }
}

impl Servers {
    /// From a path to where its route leads; or why that can't be.
    pub(crate) fn routed(&self, path: &PathName, route: &StreamRoute) -> (Task, Option<String>) {
        let groups = route.path.groups(path.as_str()).unwrap_or_default();
        let fill = |output: &RouteOutput| {
            let filled = output.fill(path, &groups);
            let target = filled.map(|filled| match filled {
                Filled::Path(path) => self.target_at(&path),
                Filled::Url(output) => self.target(&output),
            });
            target.map_err(|why| {
                format!(
                    "the output {output} can't be filled in for the path {path}: {why}; other paths of this route are \
                     not concerned"
                )
            })
        };
        let targets: Result<Vec<Target>, String> = route.outputs.iter().map(fill).collect();
        let mut input = self.rtsp.clone();
        input.set_path(path.as_str());
        let (outputs, wrong) = match targets {
            Ok(outputs) => (self.each_once(&input, outputs), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let task = Task {
            input,
            outputs,
            reads_mediamtx: true,
            needs_mediamtx: true,
        };
        (task, wrong)
    }

    /// What was asked for. URLs of MediaMTX's own that have no login get the one that is known.
    pub(crate) fn task(&self, declaration: &Declaration) -> Task {
        let mut input = declaration.source.url().clone();
        let reads_mediamtx = Endpoint::of_url(&input) == Endpoint::of_url(&self.rtsp);
        if reads_mediamtx && input.username().is_empty() && input.password().is_none() {
            // Both can only fail for a URL without a host.
            let _ = input.set_username(self.rtsp.username());
            let _ = input.set_password(self.rtsp.password());
        }
        // Earlier versions took one place twice.
        let outputs = self.each_once(&input, self.targets(declaration));
        Task {
            needs_mediamtx: reads_mediamtx || outputs.iter().any(|target| target.path.is_some()),
            input,
            outputs,
            reads_mediamtx,
        }
    }

    /// Refuses what can't run: to publish what it reads, to publish to one place twice, and places that nobody fills in.
    pub(crate) fn check(&self, declaration: &Declaration) -> Result<(), Invalid> {
        let input = declaration.source.url();
        let targets = self.targets(declaration);
        if targets.iter().any(|to| to.url.path().contains("%7B")) {
            let why =
                "{…} is filled in for routes only: write the output of a declared stream as it is";
            return Err(Invalid::new("outputs", why));
        }
        let path = |url: &Url| url.path().trim_matches('/').to_owned();
        let is_source = |to: &Url| path(to) == path(input) && self.is_beside(input, to);
        if targets.iter().any(|to| is_source(&to.url)) {
            let why = "one of them is the source itself; publish to another path";
            return Err(Invalid::new("outputs", why));
        }
        let (_, repeated) = self.by_place(input, targets);
        match repeated.first() {
            Some(target) => {
                let why = format!("{} is there twice", target.shown);
                Err(Invalid::new("outputs", why))
            }
            None => Ok(()),
        }
    }

    fn targets(&self, declaration: &Declaration) -> Vec<Target> {
        match &declaration.outputs {
            Some(outputs) => outputs
                .as_slice()
                .iter()
                .map(|to| self.target(to))
                .collect(),
            None => vec![self.target_at(&result_of(&declaration.id))],
        }
    }

    /// Whether mtx-worker takes an output for one of the server that it reads from (`located` in its
    /// `config/outputs.rs`). MediaMTX elsewhere has its usual port.
    fn is_beside(&self, input: &Url, output: &Url) -> bool {
        const USUAL: u16 = 1935;
        let (from, to) = (urls::host(input), Endpoint::of_url(output));
        let own = self.rtmp_endpoint();
        let is_port = to.port == own.port || (to.host != own.host && to.port == USUAL);
        let from_path = input.path().trim_matches('/').parse::<PathName>();
        let result = from_path.ok().and_then(|path| path.result());
        let is_result = result.is_some_and(|path| path.as_str() == output.path().trim_matches('/'));
        from == to.host && (output.scheme() == "rtmps" || is_port || is_result)
    }

    /// What mtx-worker can publish to once only.
    fn place(&self, input: &Url, target: &Target) -> Place {
        let place = Place::of_url(&target.url);
        if target.path.is_some() || self.is_beside(input, &target.url) {
            place.without_query()
        } else {
            place
        }
    }

    /// Outputs that come to the same place are one.
    fn each_once(&self, input: &Url, outputs: Vec<Target>) -> Vec<Target> {
        self.by_place(input, outputs).0
    }

    /// The first output for each place, and those that come to the same places again.
    fn by_place(&self, input: &Url, outputs: Vec<Target>) -> (Vec<Target>, Vec<Target>) {
        let mut seen = Vec::new();
        outputs.into_iter().partition(|target| {
            let place = self.place(input, target);
            let is_new = !seen.contains(&place);
            if is_new {
                seen.push(place);
            }
            is_new
        })
    }

    /// The hosts of MediaMTX.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts = [&self.rtsp, &self.rtmp]
            .map(|url| urls::host(url).trim_matches(['[', ']']).to_owned())
            .to_vec();
        hosts.dedup();
        hosts
    }

    /// The path of MediaMTX's that an output is, if it is one.
    pub(crate) fn path(&self, output: &Output) -> Option<PathName> {
        let path = output.url().path().trim_matches('/');
        path.parse().ok().filter(|_| self.is_rtmp(output.url()))
    }

    fn target(&self, output: &Output) -> Target {
        let mut url = output.url().clone();
        if self.is_rtmp(&url) && url.query().is_none() {
            url.set_query(self.rtmp.query());
        }
        let path = self.path(output);
        // A path of MediaMTX's is no stream key.
        let shown = match path {
            Some(_) => output.clone().without_key(),
            None => output.clone(),
        };
        Target {
            url,
            secrets: shown.secrets(),
            shown: shown.to_string(),
            path,
        }
    }

    fn target_at(&self, path: &PathName) -> Target {
        let mut url = self.rtmp.clone();
        url.set_path(path.as_str());
        let mut shown = url.clone();
        shown.set_query(None);
        Target {
            url,
            shown: shown.into(),
            path: Some(path.clone()),
            // The log knows the login for MediaMTX.
            secrets: Vec::new(),
        }
    }

    /// Where MediaMTX takes RTMP.
    pub(crate) fn rtmp_endpoint(&self) -> Endpoint {
        Endpoint::of_url(&self.rtmp)
    }

    fn is_rtmp(&self, url: &Url) -> bool {
        url.scheme() == self.rtmp.scheme() && Endpoint::of_url(url) == Endpoint::of_url(&self.rtmp)
    }
}

/// Where a declared stream comes out when nobody says otherwise.
fn result_of(id: &StreamId) -> PathName {
    let path = StreamPath {
        id: id.clone(),
        leg: Leg::Out,
    };
    path.into()
}

#[cfg(test)]
mod tests {
    use super::super::{Outputs, Source};
    use super::*;
    use common::secret;
    use common::timestamp::Timestamp;

    fn servers() -> Servers {
        Servers {
            rtsp: "rtsp://me:own-pass@127.0.0.1:8554".parse().unwrap(),
            rtmp: "rtmp://127.0.0.1:1935?user=me&pass=own-pass"
                .parse()
                .unwrap(),
        }
    }

    fn declared(source: &str, outputs: &[&str]) -> Declaration {
        let outputs = outputs.iter().map(|text| Output::parse(text).unwrap());
        Declaration {
            id: "cam".parse().unwrap(),
            name: None,
            source: Source::parse(source).unwrap(),
            outputs: Outputs::new(outputs.collect()).ok(),
            enabled: true,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        }
    }

    #[test]
    fn only_mediamtx_gets_the_login_for_mediamtx() {
        let own_in = "rtsp://me:own-pass@localhost:8554/x";
        let own_out = "rtmp://127.0.0.1:1935/live/cam/out?user=me&pass=own-pass";
        for (source, outputs, input, output, reads, needs) in [
            (
                "rtsp://cam/1",
                &[][..],
                "rtsp://cam/1",
                own_out,
                false,
                true,
            ),
            (
                "rtsp://cam/1",
                &["rtmp://h/a/k"],
                "rtsp://cam/1",
                "rtmp://h/a/k",
                false,
                false,
            ),
            (
                "rtsp://localhost:8554/x",
                &["rtmp://h/a/k"],
                own_in,
                "rtmp://h/a/k",
                true,
                true,
            ),
            (
                "rtsp://a:b@[::1]:8554/x",
                &[],
                "rtsp://a:b@[::1]:8554/x",
                own_out,
                true,
                true,
            ),
            // The same host with another port is another server.
            (
                "rtsp://127.0.0.1:554/x",
                &["rtmp://127.0.0.1:1936/a/k"],
                "rtsp://127.0.0.1:554/x",
                "rtmp://127.0.0.1:1936/a/k",
                false,
                false,
            ),
            (
                "rtsp://cam/1",
                &["rtmp://127.0.0.1/live/cam/out"],
                "rtsp://cam/1",
                "rtmp://127.0.0.1/live/cam/out?user=me&pass=own-pass",
                false,
                true,
            ),
        ] {
            let task = servers().task(&declared(source, outputs));
            assert_eq!(task.input.as_str(), input);
            assert_eq!(task.outputs[0].url.as_str(), output, "{source}");
            assert_eq!(
                (task.reads_mediamtx, task.needs_mediamtx),
                (reads, needs),
                "{source}"
            );
        }
    }

    #[test]
    fn what_is_shown_has_no_login() {
        let shown = |outputs| -> Vec<String> {
            let task = servers().task(&declared("rtsp://cam/1", outputs));
            task.outputs.into_iter().map(|to| to.shown).collect()
        };
        assert_eq!(shown(&[]), ["rtmp://127.0.0.1:1935/live/cam/out"]);
        assert_eq!(
            shown(&["rtmp://h/a/k", "rtmp://h/b/k"]),
            ["rtmp://h/a/***", "rtmp://h/b/***"]
        );
        assert_eq!(
            shown(&["rtmp://localhost/building/floor1?user=me&pass=own-pass"]),
            ["rtmp://localhost/building/floor1?***"]
        );
    }

    #[test]
    fn what_a_worker_says_is_told_without_its_secrets() {
        let outputs = [
            "rtmp://h/app/stream-key-1",
            "rtmp://h/app/x?sig=signature-1",
        ];
        let task = servers().task(&declared(
            "rtsp://u:p%40ssword@cam/1?type=stream&token=token-1",
            &outputs,
        ));
        let said = "stream-key-1 p@ssword p%40ssword signature-1 token-1: the stream remains";
        assert_eq!(
            secret::scrub_of(said, &task.secrets()),
            "*** *** *** *** ***: the stream remains"
        );
    }

    #[test]
    fn a_path_goes_where_its_route_leads() {
        let route = |text: &str| text.parse::<StreamRoute>().unwrap();
        for (text, path, url, shown, on_server) in [
            (
                "live/*/in => live/*/out",
                "live/cam/in",
                "rtmp://127.0.0.1:1935/live/cam/out?user=me&pass=own-pass",
                "rtmp://127.0.0.1:1935/live/cam/out",
                Some("live/cam/out"),
            ),
            (
                "** => rtmp://localhost/copy/{path}",
                "a/b",
                "rtmp://localhost/copy/a/b?user=me&pass=own-pass",
                "rtmp://localhost/copy/a/b",
                Some("copy/a/b"),
            ),
            (
                "cam* => rtmp://h/{name}",
                "cam1",
                "rtmp://h/cam1",
                "rtmp://h/cam1",
                None,
            ),
            (
                "cam1 => rtmp://h/app/s3cret",
                "cam1",
                "rtmp://h/app/s3cret",
                "rtmp://h/app/***",
                None,
            ),
            (
                "cam* => rtmp://h/app/s3cret-{name}",
                "cam1",
                "rtmp://h/app/s3cret-cam1",
                "rtmp://h/app/***",
                None,
            ),
            (
                "cam* => rtmp://h/app/{name}",
                "cam1",
                "rtmp://h/app/cam1",
                "rtmp://h/app/cam1",
                None,
            ),
        ] {
            let (task, wrong) = servers().routed(&path.parse().unwrap(), &route(text));
            let target = &task.outputs[0];
            assert_eq!((target.url.as_str(), target.shown.as_str()), (url, shown));
            assert_eq!(target.path.as_ref().map(PathName::as_str), on_server);
            assert_eq!(wrong, None);
            assert_eq!(task.path().unwrap().as_str(), path);
        }
        let (task, wrong) = servers().routed(&"in".parse().unwrap(), &route("**/in => **/out"));
        assert!(task.outputs.is_empty() && wrong.unwrap().contains("slash"));
        let twice = route("cam* => a/{name} rtmp://127.0.0.1:1935/a/{name} rtmp://h/app/{name}");
        let (task, _) = servers().routed(&"cam1".parse().unwrap(), &twice);
        assert_eq!(task.outputs.len(), 2, "one place is published to once");
    }

    #[test]
    fn a_stream_is_not_published_where_it_is_read() {
        let check = |source, outputs| servers().check(&declared(source, outputs));
        assert!(check("rtsp://127.0.0.1:8554/live/cam/in", &[]).is_ok());
        assert!(check("rtsp://cam/live/cam/out", &[]).is_ok());
        for (source, outputs) in [
            ("rtsp://localhost:8554/live/cam/out", &[][..]),
            ("rtsp://cam/a/b", &["rtmp://h/a/b", "rtmp://cam/a/b"]),
            ("rtsp://127.0.0.1:8554/a/b", &["rtmp://localhost/a/b"]),
            ("rtsp://127.0.0.1:8554/a/b", &["rtmps://127.0.0.1/a/b"]),
            ("rtsp://cam/a/b", &["rtmp://h/a/{name}"]),
        ] {
            assert_eq!(check(source, outputs).unwrap_err().field, "outputs");
        }
        // Another server on another port.
        for (source, outputs) in [
            (
                "rtsp://127.0.0.1:8554/a/b",
                &["rtmp://127.0.0.1:9935/a/b"][..],
            ),
            ("rtsp://cam/a/b", &["rtmp://cam:9935/a/b"]),
        ] {
            assert_eq!(check(source, outputs), Ok(()), "{outputs:?}");
        }
    }

    #[test]
    fn one_place_is_not_published_to_twice() {
        for (outputs, is_taken) in [
            (["rtmp://h/a/s3cret", "rtmp://H:1935/a/s3cret/"], false),
            (["rtmp://localhost/a/1", "rtmp://127.0.0.1/a/1"], false),
            (["rtmp://h/a/1", "rtmp://h/a/1?user=u&pass=s3cret"], false),
            (["rtmp://h:443/a/1", "rtmps://h/a/1"], false),
            (["rtmp://cam/a/1?x=1", "rtmp://cam/a/1?x=2"], false),
            (["rtmp://127.0.0.1/a/1", "rtmp://127.0.0.1/a/1?x=2"], false),
            (["rtmp://h/a/x?key=1", "rtmp://h/a/x?key=2"], true),
            (["rtmp://h/a/1", "rtmp://h/a/2"], true),
        ] {
            let declared = declared("rtsp://cam/x", &outputs);
            assert_eq!(
                servers().task(&declared).outputs.len(),
                if is_taken { 2 } else { 1 },
                "{outputs:?}"
            );
            let message = servers().check(&declared).map_err(|why| why.to_string());
            assert_eq!(message.is_ok(), is_taken, "{outputs:?}");
            if let Err(message) = message {
                assert!(
                    message.contains("twice") && !message.contains("s3cret"),
                    "{message}"
                );
            }
        }
    }
}
