//! What the program means by what the user typed, and by what MediaMTX set.

mod keys;
mod outputs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mediamtx::hook::HookEnvironment;
use mediamtx::host::is_loopback;
use mediamtx::path::PathName;
use mediamtx::retry::RetrySchedule;
use mediamtx::secret;

use self::keys::KeySource;
pub(crate) use self::keys::NoKey;
use self::outputs::Origin;
use crate::cli::Cli;
use crate::failures::Failures;
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
    /// The path whose hook the worker is: MediaMTX may start it again and again.
    pub(crate) hook_path: Option<PathName>,
    /// Whether the input is on the server that started the worker, or the worker was started by hand.
    pub(crate) reads_server: bool,
    /// What every line of the log says.
    pub(crate) context: Vec<(&'static str, String)>,
}

impl Config {
    /// Checks the command line against what MediaMTX tells a hook, and the other variables that `env` reads. What is
    /// wrong, but nothing to end for, is added to `warnings`.
    pub(crate) fn new(
        cli: Cli,
        hook: &HookEnvironment,
        env: impl Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Destination)> {
        let hook_path = match env("MTX_PATH") {
            Some(_) => Some(hook.path()?),
            None => None,
        };
        let input: RtspUrl = match (&cli.input, &hook_path) {
            (Some(input), _) => input.parse()?,
            (None, Some(path)) => hook_input(path, hook)?,
            (None, None) => bail!(
                "nothing to read: give --input, or run as a hook of MediaMTX, which sets MTX_PATH"
            ),
        };
        if input.is_tls && cli.transport == Transport::Udp {
            bail!(
                "--transport udp does not go with {input}: datagrams would not be encrypted; leave it out"
            );
        }
        let of_environment = (env("RTSP_USERNAME"), env("RTSP_PASSWORD"));
        let has_login = input.credentials().is_some();
        let input = input.or_credentials(of_environment.0.clone(), of_environment.1.clone());
        if let Some((_, password)) = input.credentials() {
            secret::register(password);
        }
        let reads_server = match (&hook_path, &cli.input) {
            (Some(path), Some(_)) => {
                // The port of rtsps:// is not told to hooks.
                let is_own_path = input.is_tls && input.path() == path.as_str();
                is_loopback(input.host()) && (input.port() == rtsp_port(hook)? || is_own_path)
            }
            _ => true,
        };
        let login = match &hook_path {
            None => None,
            Some(_) if reads_server => input.credentials().map(owned),
            // The input has its own.
            Some(_) if has_login => login_of(of_environment),
            Some(_) => None,
        };
        if let Some((_, password)) = &login {
            secret::register(password);
        }
        let origin = Origin {
            path: hook_path.clone().or_else(|| input.path().parse().ok()),
            groups: hook_path
                .as_ref()
                .map_or(Ok(Vec::new()), |_| hook.groups())?,
            hook_path: hook_path.clone(),
            reads_server,
            rtmp_port: cli.rtmp_port,
            login,
            input: &input,
        };
        let key = env("RTMP_STREAM_KEY").filter(|key| !key.is_empty());
        let mut destination = destination(&cli, key, &origin, warnings)?;
        if let (Destination::Outputs(outputs), Some(lists)) =
            (&mut destination, env("MTX_WORKER_VIA"))
        {
            outputs::mark(outputs, &lists)?;
        }
        let stream = origin.path.as_ref().and_then(PathName::stream);
        let mut context = vec![("path", secret::redact_url(input.path()))];
        context.extend(stream.map(|path| ("streamId", path.id.to_string())));
        context.extend(env("MTX_SOURCE_ID").map(|id| ("sourceId", id)));
        let config = Self {
            input,
            transport: cli.transport,
            retry: cli.retry,
            stats_interval: cli.stats_interval,
            hook_path,
            reads_server,
            context,
        };
        Ok((config, destination))
    }

    /// What is remembered of an output for the next start by MediaMTX. Others who start workers know when to.
    pub(crate) fn failures(&self, output: &RtmpUrl) -> Failures {
        match &self.hook_path {
            Some(path) => Failures::remembered(&[path.as_str(), &output.place()]),
            None => Failures::forgotten(),
        }
    }

    /// Likewise of the input, and of all that concerns no output, for what is made of it.
    pub(crate) fn input_failures(&self, purpose: &str) -> Failures {
        match &self.hook_path {
            Some(path) => {
                Failures::remembered(&[path.as_str(), "input", &self.input.to_string(), purpose])
            }
            None => Failures::forgotten(),
        }
    }

    /// Where readers find an output, if it goes to the server that is also read from.
    pub(crate) fn published_at(&self, output: &RtmpUrl) -> Option<RtspUrl> {
        (output.on_server && self.reads_server).then(|| self.input.with_path(&output.path()))
    }
}

fn destination(
    cli: &Cli,
    key: Option<String>,
    origin: &Origin<'_>,
    warnings: &mut Vec<String>,
) -> Result<Destination> {
    let given: Vec<&str> = cli.output.iter().flat_map(|text| listed(text)).collect();
    let keys = match (&cli.key_file, key) {
        (Some(file), _) => KeySource::File(file.clone(), origin.path.clone()),
        (None, Some(key)) => KeySource::Environment(key),
        (None, None) => KeySource::Url,
    };
    match (given.as_slice(), &origin.path) {
        ([], Some(path)) if origin.is_hook() => {
            Ok(Destination::Outputs(vec![origin.default_output(path)?]))
        }
        ([], _) => bail!("nowhere to publish: give --output, such as rtmp://host/app/stream-key"),
        ([file], _) if is_picture(file) => {
            let file = match file.parse() {
                Ok(template) => origin.fill(&template).context("--output")?,
                // By hand, a file may well be called {x}.jpg.
                Err(_) if !origin.is_hook() => (*file).to_owned(),
                Err(error) => return Err(error).context("--output"),
            };
            Ok(Destination::Picture(file.into()))
        }
        (given, _) => {
            if let Some(file) = given.iter().find(|output| is_picture(output)) {
                bail!("the output {file:?} is a picture: take it with a worker of its own");
            }
            Ok(Destination::Outputs(
                origin.outputs(given, &keys, warnings)?,
            ))
        }
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

/// On the server that started the worker; which address of the loopback it listens at shows when it is called.
fn hook_input(path: &PathName, hook: &HookEnvironment) -> Result<RtspUrl> {
    format!("rtsp://localhost:{}/{path}", rtsp_port(hook)?).parse()
}

fn rtsp_port(hook: &HookEnvironment) -> Result<u16> {
    Ok(hook.rtsp_port()?.unwrap_or(8554))
}

fn owned((user, password): (&str, &str)) -> (String, String) {
    (user.to_owned(), password.to_owned())
}

fn login_of(variables: (Option<String>, Option<String>)) -> Option<(String, String)> {
    match variables {
        (None, None) => None,
        (user, password) => Some((user.unwrap_or_default(), password.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn task(args: &[&str], env: &[(&str, &str)]) -> Result<(Config, Destination)> {
        let cli = Cli::try_parse_from([&["mtx-worker"], args].concat()).unwrap();
        let variables = env.iter().map(|(name, value)| (name.into(), value.into()));
        let variable = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::new(cli, &variables.collect(), variable, &mut Vec::new())
    }

    fn config(args: &[&str], env: &[(&str, &str)]) -> (Config, RtmpUrl) {
        match task(args, env) {
            Ok((config, Destination::Outputs(outputs))) => (config, outputs[0].clone()),
            other => panic!("{other:?}"),
        }
    }

    /// What the hook of a path publishes to when it is given these outputs.
    fn of_hook(path: &str, outputs: &[&str]) -> Result<Vec<RtmpUrl>> {
        let args: Vec<&str> = outputs.iter().flat_map(|url| ["--output", url]).collect();
        let env = [("MTX_PATH", path), ("G1", "north"), ("G2", "7")];
        match task(&args, &env)?.1 {
            Destination::Outputs(outputs) => Ok(outputs),
            Destination::Picture(file) => panic!("{file:?}"),
        }
    }

    #[test]
    fn a_file_of_jpeg_is_for_a_picture() {
        for (output, picture) in [
            ("a.jpg", true),
            ("/tmp/x.y/B.JPEG", true),
            ("a.png", false),
            ("my picture.jpg", true),
            ("{x}.jpg", true),
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
    fn places_of_a_pictures_file_are_filled_in_from_the_path() {
        let file = |args: &[&str], env: &[(&str, &str)]| -> Result<String> {
            match task(args, env)?.1 {
                Destination::Picture(file) => Ok(file.display().to_string()),
                outputs @ Destination::Outputs(_) => panic!("{outputs:?}"),
            }
        };
        let hook = |name| file(&["--output", name], &[("MTX_PATH", "a/cam1"), ("G1", "x")]);
        let by_hand = |name| {
            let input = ["--input", "rtsp://u:p@h:8554/a/cam1?lang=es"];
            file(&[&input[..], &["--output", name]].concat(), &[])
        };
        assert_eq!(hook("/pics/{name}.jpg").unwrap(), "/pics/cam1.jpg");
        assert_eq!(by_hand("/pics/{name}.jpg").unwrap(), "/pics/cam1.jpg");
        assert_eq!(by_hand("{path}/{x}.jpg").unwrap(), "{path}/{x}.jpg");
        assert_eq!(by_hand("{path}.jpg").unwrap(), "a/cam1.jpg");
        assert_eq!(hook("{1}.jpg").unwrap(), "x.jpg");
        for error in [hook("{x}.jpg"), by_hand("{1}.jpg")] {
            let message = format!("{:#}", error.unwrap_err());
            assert!(
                message.contains("can't be filled in") || message.contains("can be filled in"),
                "{message}"
            );
        }
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
            "rtsp://localhost:18554/live/cam-1/in"
        );
        assert_eq!(output.to_string(), "rtmp://localhost:1935/live/cam-1/out");
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
            "rtsp://localhost:18554/live/cam-1/out"
        );
    }

    #[test]
    fn a_hook_publishes_whatever_ends_in_in_and_says_what_to_write_for_the_rest() {
        for (path, expected) in [
            ("cam/in", "rtmp://localhost:1935/cam/out"),
            (
                "building/floor.1/a:b~c/in",
                "rtmp://localhost:1935/building/floor.1/a:b~c/out",
            ),
        ] {
            let (_, output) = config(&[], &[("MTX_PATH", path)]);
            assert_eq!(output.to_string(), expected);
        }
        for (path, line) in [
            (
                "cam1",
                "runOnAvailable: mtx-worker --output rtmp://localhost:11935/{path}/out",
            ),
            ("live/a/out", "\"~^(.+)/in$\": {runOnAvailable: mtx-worker}"),
        ] {
            let env = [("MTX_PATH", path), ("RTMP_PORT", "11935")];
            let args = ["--rtmp-port", "11935"];
            let message = format!("{:#}", task(&args, &env).unwrap_err());
            assert!(
                message.contains(path) && message.contains(line),
                "{message}"
            );
        }
    }

    #[test]
    fn places_of_an_output_are_filled_in_from_the_path_and_its_groups() {
        for (path, output, expected) in [
            (
                "a/cam",
                "rtmp://localhost/{path}/out",
                "localhost:1935/a/cam/out",
            ),
            ("a/cam", "rtmp://other/{name}", "other:1935/cam"),
            (
                "x",
                "rtmp://other/{1}/{2}?u={name}",
                "other:1935/north/7?u=x",
            ),
        ] {
            assert_eq!(of_hook(path, &[output]).unwrap()[0].place(), expected);
        }
        let by_hand = [
            "--input",
            "rtsp://h/a/cam?x=1",
            "--output",
            "rtmp://o/{name}",
        ];
        assert_eq!(config(&by_hand, &[]).1.place(), "o:1935/cam");
        for (output, named) in [("rtmp://o/{3}", "{3}"), ("rtmp://o/{nam}", "{nam}")] {
            let message = format!("{:#}", of_hook("x", &[output]).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn what_is_on_the_server_is_shown_and_the_rest_is_not() {
        for (output, shown) in [
            (
                "rtmp://127.0.0.1/copy/{name}",
                "rtmp://127.0.0.1:1935/copy/cam",
            ),
            (
                "rtmps://[::1]:1936/copy/{name}",
                "rtmps://[::1]:1936/copy/cam",
            ),
            // A tunnel to a platform.
            (
                "rtmp://localhost:19350/rtmp/FB-k3y",
                "rtmp://localhost:19350/rtmp/***",
            ),
            ("rtmp://platform/app/k3y", "rtmp://platform:1935/app/***"),
            (
                "rtmp://platform/app/{name}-k3y",
                "rtmp://platform:1935/app/***",
            ),
            // A part of the path is no key.
            ("rtmp://platform/app/{name}", "rtmp://platform:1935/app/cam"),
            (
                "rtmp://localhost:2935/{path}",
                "rtmp://localhost:2935/a/cam",
            ),
        ] {
            assert_eq!(of_hook("a/cam", &[output]).unwrap()[0].to_string(), shown);
        }
        let keyed = ["--input", "rtsp://h/a/cam", "--output", "rtmp://p/{name}"];
        let key = [("RTMP_STREAM_KEY", "k3y")];
        assert_eq!(config(&keyed, &key).1.to_string(), "rtmp://p:1935/cam/***");
        let by_hand = ["--input", "rtsp://Mtx/a", "--output", "rtmp://mtx/b/c"];
        assert_eq!(config(&by_hand, &[]).1.to_string(), "rtmp://mtx:1935/b/c");
    }

    #[test]
    fn an_output_that_the_hook_would_be_run_for_again_is_refused() {
        for (path, output) in [
            ("x/out", "rtmp://localhost/{path}/out"),
            ("copy/a", "rtmp://127.0.0.1/copy/{name}"),
            ("live/north/out", "rtmp://[::1]/live/{1}/out"),
            ("b/a", "rtmp://localhost/{2}/{1}"),
            ("x/out", "rtmp://0.0.0.0:1935/{path}/out"),
        ] {
            let message = format!("{:#}", of_hook(path, &[output]).unwrap_err());
            assert!(
                message.contains(path) && !message.contains('\n'),
                "{message}"
            );
        }
        for (path, output) in [
            ("x", "rtmp://localhost/{path}/out"),
            ("a/b", "rtmp://localhost/copy/{name}"),
            ("copy/a", "rtmp://platform.invalid/copy/{name}"),
            ("x/out", "rtmp://localhost:19350/app/{1}"),
            // Shorter each time.
            ("cam_north", "rtmp://localhost/{1}"),
        ] {
            assert!(of_hook(path, &[output]).is_ok(), "{path} {output}");
        }
    }

    #[test]
    fn a_hook_logs_in_to_both_sides_of_its_server_only() {
        let env = [
            ("MTX_PATH", "live/a/in"),
            ("RTSP_USERNAME", "me"),
            ("RTSP_PASSWORD", "p&ss w"),
        ];
        let (_, output) = config(&[], &env);
        assert_eq!(output.stream_key, "out?user=me&pass=p%26ss+w");
        assert_eq!(output.to_string(), "rtmp://localhost:1935/live/a/out");
        let (_, output) = config(
            &["--output", "rtmp://localhost/{1}"],
            &[&env[..], &[("G1", "a")]].concat(),
        );
        assert_eq!(output.app, "a?user=me&pass=p%26ss+w");
        let (_, output) = config(&["--output", "rtmp://platform/app/key"], &env);
        assert_eq!(output.stream_key, "key");
    }

    #[test]
    fn another_server_on_another_port_of_this_machine_takes_the_same_path() {
        let input = ["--input", "rtsp://127.0.0.1:8554/cam", "--output"];
        let by_hand = |output| task(&[&input[..], &[output]].concat(), &[]);
        assert!(by_hand("rtmp://127.0.0.1:2935/cam").is_ok());
        assert!(by_hand("rtmp://localhost/cam").is_err());
        let hook = |output| task(&["--output", output], &[("MTX_PATH", "cam")]);
        assert!(hook("rtmp://localhost:2935/{path}").is_ok());
        assert!(hook("rtmp://localhost:2935/cam").is_ok());
        assert!(hook("rtmp://localhost/{path}").is_err());
        assert!(hook("rtmp://127.0.0.2/cam").is_err());
        // It may be the same server, and each next one would be longer.
        let grown = ["--output", "rtmp://localhost:2935/{path}/out"];
        let env = [("MTX_PATH", "cam/out")];
        assert!(task(&grown, &env).is_err());
        let known = [&grown[..], &["--rtmp-port", "1935"]].concat();
        assert!(task(&known, &env).is_ok());
    }

    #[test]
    fn a_hook_with_an_input_elsewhere_publishes_to_its_own_path_without_the_inputs_login() {
        let env = [("MTX_PATH", "yard/cam")];
        let input = ["--input", "rtsp://admin:s3cret@cam/s1", "--output"];
        let args = [&input[..], &["rtmp://localhost/{path}"]].concat();
        let (elsewhere, output) = config(&args, &env);
        assert_eq!((&*output.app, &*output.stream_key), ("yard", "cam"));
        assert!(elsewhere.published_at(&output).is_none());
        let login = [("RTSP_USERNAME", "me"), ("RTSP_PASSWORD", "pw")];
        let (_, output) = config(&args, &[&env[..], &login].concat());
        assert_eq!(output.stream_key, "cam?user=me&pass=pw");
        let bare = [
            "--input",
            "rtsp://cam/s1",
            "--output",
            "rtmp://localhost/{path}",
        ];
        let (_, output) = config(&bare, &[&env[..], &login].concat());
        assert_eq!(output.stream_key, "cam");
        let own = ["--input", "rtsp://localhost:8554/s1", "--output"];
        let (own, output) = config(&[&own[..], &["rtmp://localhost/{path}"]].concat(), &env);
        assert!(own.published_at(&output).is_some());
        // The camera's path is as good as any.
        let same = [
            "--input",
            "rtsp://cam/yard/cam",
            "--output",
            "rtmp://localhost/yard/cam",
        ];
        assert!(task(&same, &env).is_ok());
        let grown = [&input[..], &["rtmp://localhost/{path}/out"]].concat();
        assert!(task(&grown, &[("MTX_PATH", "cam/out")]).is_err());
    }

    #[test]
    fn a_hook_can_restream_to_a_platform_beside_its_own_server() {
        let env = [("MTX_PATH", "cam1"), ("RTMP_STREAM_KEY", "secret-key-1")];
        let platform = "rtmps://a.rtmp.youtube.com/live2";
        let args = [
            "--output",
            platform,
            "--output",
            "rtmp://localhost/{path}/out",
        ];
        let (config, destination) = task(&args, &env).unwrap();
        let Destination::Outputs(outputs) = destination else {
            panic!("{destination:?}");
        };
        assert_eq!(
            outputs[0].to_string(),
            "rtmps://a.rtmp.youtube.com:443/live2/***"
        );
        assert_eq!(outputs[0].stream_key, "secret-key-1");
        assert!(config.published_at(&outputs[0]).is_none());
        assert_eq!(outputs[1].to_string(), "rtmp://localhost:1935/cam1/out");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
        const INPUT: [&str; 2] = ["--input", "rtsp://h/live/a/in"];
        let twice = [&INPUT[..], &["--output", "rtmp://h/a/b rtmp://H/a/b?x=1"]].concat();
        let several = [&INPUT[..], &["--output", "rtmp://o/a rtmp://o/b"]].concat();
        let itself = [&INPUT[..], &["--output", "rtmp://h/live/a/in"]].concat();
        let no_file = [&several[..4], &["--key-file", "/nowhere/keys"]].concat();
        let cases: [Case<'_>; 9] = [
            (&twice, &[], "twice"),
            (
                &several,
                &[("RTMP_STREAM_KEY", "k")],
                "goes with one output",
            ),
            (&no_file, &[], "/nowhere/keys"),
            (&itself, &[], "the input itself"),
            (&[], &[], "give --input"),
            (&INPUT, &[], "give --output"),
            (&[], &[("MTX_PATH", "other/a/")], "other/a/"),
            (&[], &[("MTX_PATH", "")], "MTX_PATH is not set"),
            (
                &[],
                &[("MTX_PATH", "live/a/in"), ("RTSP_PORT", "x")],
                "RTSP_PORT",
            ),
        ];
        for (args, env, expected) in cases {
            let message = format!("{:#}", task(args, env).unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
    }
}
