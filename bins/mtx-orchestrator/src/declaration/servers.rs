//! What a worker has to do, and what of it concerns MediaMTX.

use mediamtx::path::{Leg, StreamId, StreamPath};
use url::Url;

use super::urls::{self, endpoint};
use super::{Declaration, Invalid, Output};

/// MediaMTX's RTSP and RTMP servers, with the login for them: their paths are replaced by the streams'.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) rtsp: Url,
    pub(crate) rtmp: Url,
}

/// What one worker has to do.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) input: Url,
    pub(crate) outputs: Vec<Url>,
    /// Whether the login of the environment, which is for MediaMTX, is for the input.
    pub(crate) reads_mediamtx: bool,
    /// Whether it can do nothing while MediaMTX is away.
    pub(crate) needs_mediamtx: bool,
}

impl Task {
    /// The path of MediaMTX's that it reads, if it reads one.
    pub(crate) fn path(&self) -> Option<StreamPath> {
        let path = self.input.path().trim_start_matches('/');
        path.parse().ok().filter(|_| self.reads_mediamtx)
    }

    /// What a text of the worker's is to be scrubbed of.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let urls = self.outputs.iter().chain([&self.input]);
        urls.flat_map(urls::secrets).collect()
    }
}

impl Servers {
    /// From `live/<id>/in` to `live/<id>/out`.
    pub(crate) fn task_of(&self, id: &StreamId) -> Task {
        Task {
            input: at(&self.rtsp, id, Leg::In),
            outputs: vec![at(&self.rtmp, id, Leg::Out)],
            reads_mediamtx: true,
            needs_mediamtx: true,
        }
    }

    /// What was asked for. URLs of MediaMTX's own that have no login get the one that is known.
    pub(crate) fn task(&self, declaration: &Declaration) -> Task {
        let mut input = declaration.source.url().clone();
        let reads_mediamtx = endpoint(&input) == endpoint(&self.rtsp);
        if reads_mediamtx && input.username().is_empty() && input.password().is_none() {
            // Both can only fail for a URL without a host.
            let _ = input.set_username(self.rtsp.username());
            let _ = input.set_password(self.rtsp.password());
        }
        let outputs: Vec<Url> = match &declaration.outputs {
            Some(outputs) => outputs
                .as_slice()
                .iter()
                .map(|to| self.logged_in(to))
                .collect(),
            None => vec![at(&self.rtmp, &declaration.id, Leg::Out)],
        };
        Task {
            needs_mediamtx: reads_mediamtx || outputs.iter().any(|url| self.is_rtmp(url)),
            input,
            outputs,
            reads_mediamtx,
        }
    }

    /// Where the stream is published, without secrets.
    pub(crate) fn outputs_shown(&self, declaration: &Declaration) -> Vec<String> {
        match &declaration.outputs {
            Some(outputs) => outputs.as_slice().iter().map(Output::to_string).collect(),
            None => {
                let mut url = at(&self.rtmp, &declaration.id, Leg::Out);
                url.set_query(None);
                vec![url.into()]
            }
        }
    }

    /// What mtx-worker would refuse: to publish what it reads.
    pub(crate) fn check(&self, declaration: &Declaration) -> Result<(), Invalid> {
        let task = self.task(declaration);
        let place = |url: &Url| (urls::host(url), url.path().trim_matches('/').to_owned());
        if task
            .outputs
            .iter()
            .any(|to| place(to) == place(&task.input))
        {
            let why = "one of them is the source itself; publish to another path";
            return Err(Invalid::new("outputs", why));
        }
        Ok(())
    }

    fn logged_in(&self, output: &Output) -> Url {
        let mut url = output.url().clone();
        if self.is_rtmp(&url) && url.query().is_none() {
            url.set_query(self.rtmp.query());
        }
        url
    }

    fn is_rtmp(&self, url: &Url) -> bool {
        url.scheme() == self.rtmp.scheme() && endpoint(url) == endpoint(&self.rtmp)
    }
}

fn at(server: &Url, id: &StreamId, leg: Leg) -> Url {
    let mut url = server.clone();
    let path = StreamPath {
        id: id.clone(),
        leg,
    };
    url.set_path(&path.to_string());
    url
}

#[cfg(test)]
mod tests {
    use super::super::{Outputs, Source};
    use super::*;
    use mediamtx::secret;
    use mediamtx::timestamp::Timestamp;

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
            assert_eq!(task.outputs[0].as_str(), output, "{source}");
            assert_eq!(
                (task.reads_mediamtx, task.needs_mediamtx),
                (reads, needs),
                "{source}"
            );
        }
    }

    #[test]
    fn what_is_shown_has_no_login() {
        let shown = |outputs| servers().outputs_shown(&declared("rtsp://cam/1", outputs));
        assert_eq!(shown(&[]), ["rtmp://127.0.0.1:1935/live/cam/out"]);
        assert_eq!(
            shown(&["rtmp://h/a/k", "rtmp://h/b/k"]),
            ["rtmp://h/a/***", "rtmp://h/b/***"]
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
    fn a_stream_is_not_published_where_it_is_read() {
        let check = |source, outputs| servers().check(&declared(source, outputs));
        assert!(check("rtsp://127.0.0.1:8554/live/cam/in", &[]).is_ok());
        assert!(check("rtsp://cam/live/cam/out", &[]).is_ok());
        for (source, outputs) in [
            ("rtsp://localhost:8554/live/cam/out", &[][..]),
            ("rtsp://cam/a/b", &["rtmp://h/a/b", "rtmp://cam/a/b"]),
        ] {
            assert_eq!(check(source, outputs).unwrap_err().field, "outputs");
        }
    }
}
