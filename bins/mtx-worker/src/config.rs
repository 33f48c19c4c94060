//! What the program means by what the user typed, and by what MediaMTX set.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mediamtx::path::{Leg, StreamPath};
use mediamtx::retry::RetrySchedule;
use mediamtx::secret;
use url::Url;

use crate::cli::Cli;
use crate::rtmp::url::RtmpUrl;
use crate::source::{RtspUrl, Transport};

/// What becomes of the stream.
#[derive(Debug)]
pub(crate) enum Destination {
    /// It is passed on to all of them, of which there is at least one.
    Outputs(Vec<RtmpUrl>),
    /// One picture of it is put into a file.
    Picture(PathBuf),
}

/// A worker's task, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) input: RtspUrl,
    pub(crate) transport: Transport,
    pub(crate) retry: RetrySchedule,
    pub(crate) stats_interval: Option<Duration>,
    /// What every line of the log says.
    pub(crate) context: Vec<(&'static str, String)>,
}

impl Config {
    /// Checks the command line against the environment that `env` reads.
    pub(crate) fn new(
        cli: Cli,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Destination)> {
        let hook_path = env("MTX_PATH");
        let input = match (cli.input, &hook_path) {
            (Some(input), _) => input,
            (None, Some(path)) => hook_input(path, env("RTSP_PORT").as_deref())?,
            (None, None) => bail!(
                "nothing to read: give --input, or run as a hook of MediaMTX, which sets MTX_PATH"
            ),
        };
        let input: RtspUrl = input.parse()?;
        let input = input.or_credentials(env("RTSP_USERNAME"), env("RTSP_PASSWORD"));
        let stream_path = input.path().parse::<StreamPath>().ok();
        let key = env("RTMP_STREAM_KEY").filter(|key| !key.is_empty());
        let given: Vec<&str> = cli.output.iter().flat_map(|text| listed(text)).collect();
        let destination = match (given.as_slice(), &hook_path) {
            ([], None) => {
                bail!("nowhere to publish: give --output, such as rtmp://host/app/stream-key")
            }
            ([], Some(path)) => {
                Destination::Outputs(vec![hook_output(path, cli.rtmp_port, &input)?])
            }
            ([file], _) if is_picture(file) => Destination::Picture(file.into()),
            (given, _) => Destination::Outputs(outputs(given, key.as_deref())?),
        };
        if let Destination::Outputs(outputs) = &destination {
            check_outputs(outputs, &input)?;
        }
        [
            input.credentials().map(|(_, password)| password),
            key.as_deref(),
        ]
        .into_iter()
        .flatten()
        .for_each(secret::register);
        let mut context = vec![("path", secret::redact_url(input.path()))];
        context.extend(stream_path.map(|path| ("streamId", path.id.to_string())));
        context.extend(env("MTX_SOURCE_ID").map(|id| ("sourceId", id)));
        let config = Self {
            input,
            transport: cli.transport,
            retry: cli.retry,
            stats_interval: cli.stats_interval,
            context,
        };
        Ok((config, destination))
    }

    /// Where readers find an output, if it goes to the server that is also read from.
    pub(crate) fn published_at(&self, output: &RtmpUrl) -> Option<RtspUrl> {
        let path = output.path();
        let is_mediamtx =
            path.parse::<StreamPath>().is_ok() && self.input.path().parse::<StreamPath>().is_ok();
        (is_mediamtx && self.input.host() == output.host).then(|| self.input.with_path(&path))
    }
}

/// URLs can stand in a list; the name of a file may have spaces.
fn listed(text: &str) -> Vec<&str> {
    match text.contains("://") {
        true => text.split_whitespace().collect(),
        false => vec![text],
    }
}

fn is_picture(output: &str) -> bool {
    let extension = Path::new(output).extension();
    let jpeg = |extension: &OsStr| {
        ["jpg", "jpeg"]
            .iter()
            .any(|name| extension.eq_ignore_ascii_case(name))
    };
    !output.contains("://") && extension.is_some_and(jpeg)
}

fn outputs(given: &[&str], key: Option<&str>) -> Result<Vec<RtmpUrl>> {
    if given.len() > 1 {
        if key.is_some() {
            bail!(
                "RTMP_STREAM_KEY goes with one output; with several, write each one's key into its URL"
            );
        }
        if let Some(file) = given.iter().find(|output| is_picture(output)) {
            bail!("the output {file:?} is a picture: take it with a worker of its own");
        }
    }
    let parse = |output: &&str| RtmpUrl::parse(output, key);
    given.iter().map(parse).collect()
}

fn check_outputs(outputs: &[RtmpUrl], input: &RtspUrl) -> Result<()> {
    for (index, output) in outputs.iter().enumerate() {
        if input.host() == output.host && input.path() == output.path() {
            bail!(
                "the output {output} is the input itself; publish to another path, such as live/<streamId>/out"
            );
        }
        if outputs[..index].contains(output) {
            bail!("the output {output} is given twice");
        }
    }
    Ok(())
}

fn hook_path(path: &str) -> Result<StreamPath> {
    let path: StreamPath = path
        .parse()
        .context("MTX_PATH, set by MediaMTX, can't be passed through")?;
    if path.leg == Leg::Out {
        bail!(
            "MTX_PATH is {path}: the worker reads live/<streamId>/in and publishes /out; set its hook on /in only"
        );
    }
    Ok(path)
}

fn hook_input(path: &str, port: Option<&str>) -> Result<String> {
    let path = hook_path(path)?;
    let port = port.unwrap_or("8554");
    let port: u16 = port
        .parse()
        .with_context(|| format!("RTSP_PORT is {port:?}, which is no port"))?;
    Ok(format!("rtsp://127.0.0.1:{port}/{path}"))
}

/// The same server as the input's, with the same login, which MediaMTX takes from the query of RTMP.
fn hook_output(path: &str, port: u16, input: &RtspUrl) -> Result<RtmpUrl> {
    let path = hook_path(path)?.with_leg(Leg::Out);
    let mut url = Url::parse(&format!("rtmp://127.0.0.1:{port}/{path}"))?;
    if let Some((user, password)) = input.credentials() {
        url.query_pairs_mut()
            .append_pair("user", user)
            .append_pair("pass", password);
    }
    RtmpUrl::parse(url.as_str(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn task(args: &[&str], env: &[(&str, &str)]) -> Result<(Config, Destination)> {
        let cli = Cli::try_parse_from([&["mtx-worker"], args].concat()).unwrap();
        Config::new(cli, |name| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn config(args: &[&str], env: &[(&str, &str)]) -> (Config, RtmpUrl) {
        match task(args, env) {
            Ok((config, Destination::Outputs(outputs))) => (config, outputs[0].clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_of_jpeg_is_for_a_picture() {
        for (output, picture) in [
            ("a.jpg", true),
            ("/tmp/x.y/B.JPEG", true),
            ("a.png", false),
            ("my picture.jpg", true),
            ("jpg", false),
        ] {
            let task = task(&["--input", "rtsp://h/a", "--output", output], &[]);
            let is_picture = matches!(task, Ok((_, Destination::Picture(_))));
            assert_eq!(is_picture, picture, "{output}");
        }
        let both = [
            "--input",
            "rtsp://h/a",
            "--output",
            "a.jpg",
            "--output",
            "rtmp://h/a/b",
        ];
        let message = task(&both, &[]).unwrap_err().to_string();
        assert!(message.contains("a.jpg"), "{message}");
    }

    #[test]
    fn a_hook_needs_no_option() {
        let (config, output) = config(
            &[],
            &[
                ("MTX_PATH", "live/cam-1/in"),
                ("RTSP_PORT", "18554"),
                ("MTX_SOURCE_ID", "abc"),
            ],
        );
        assert_eq!(
            config.input.to_string(),
            "rtsp://127.0.0.1:18554/live/cam-1/in"
        );
        assert_eq!(output.to_string(), "rtmp://127.0.0.1:1935/live/cam-1/out");
        let expected = [
            ("path", "live/cam-1/in"),
            ("streamId", "cam-1"),
            ("sourceId", "abc"),
        ];
        assert_eq!(
            config.context,
            expected.map(|(key, value)| (key, value.to_owned()))
        );
        assert_eq!(
            config.published_at(&output).unwrap().to_string(),
            "rtsp://127.0.0.1:18554/live/cam-1/out"
        );
    }

    #[test]
    fn a_hook_logs_in_to_both_sides_of_its_server() {
        let env = [
            ("MTX_PATH", "live/a/in"),
            ("RTSP_USERNAME", "me"),
            ("RTSP_PASSWORD", "p&ss w"),
        ];
        let (_, output) = config(&[], &env);
        assert_eq!(output.stream_key, "out?user=me&pass=p%26ss+w");
        assert_eq!(output.to_string(), "rtmp://127.0.0.1:1935/live/a/out");
    }

    #[test]
    fn a_hook_can_restream_to_a_platform() {
        let env = [
            ("MTX_PATH", "live/a/in"),
            ("RTMP_STREAM_KEY", "secret-key-1"),
        ];
        let (config, output) = config(&["--output", "rtmps://a.rtmp.youtube.com/live2"], &env);
        assert_eq!(
            output.to_string(),
            "rtmps://a.rtmp.youtube.com:443/live2/***"
        );
        assert_eq!(output.stream_key, "secret-key-1");
        assert!(config.published_at(&output).is_none());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
        let twice: &[&str] = &[
            "--input",
            "rtsp://h/a",
            "--output",
            "rtmp://h/a/b rtmp://h/a/b",
        ];
        let several: &[&str] = &[
            "--input",
            "rtsp://h/a",
            "--output",
            "rtmp://h/a",
            "--output",
            "rtmp://h/b",
        ];
        let cases: [Case<'_>; 8] = [
            (twice, &[], "twice"),
            (several, &[("RTMP_STREAM_KEY", "k")], "goes with one output"),
            (&[], &[], "give --input"),
            (&["--input", "rtsp://h/a"], &[], "give --output"),
            (&[], &[("MTX_PATH", "other/a")], "other/a"),
            (&[], &[("MTX_PATH", "live/a/out")], "/in only"),
            (
                &[],
                &[("MTX_PATH", "live/a/in"), ("RTSP_PORT", "x")],
                "RTSP_PORT",
            ),
            (
                &[
                    "--input",
                    "rtsp://h/live/a/in",
                    "--output",
                    "rtmp://h/live/a/in",
                ],
                &[],
                "the input itself",
            ),
        ];
        for (args, env, expected) in cases {
            let message = format!("{:#}", task(args, env).unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
    }
}
