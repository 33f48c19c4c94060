//! What the program means by what the user typed.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::{program, secret};
use mediamtx::api::Api;
use mediamtx::server_url;
use mtx_lifecycle::commands;
use url::Url;

use crate::cli::{Cli, DEFAULT_RTSP};
use crate::declaration::Servers;
use crate::power::{self, Grant};
use crate::router::RouteConfig;
use crate::supervisor::{Limits, Policy, SupervisorConfig, Template};

/// For one look at MediaMTX's path list, which it gives within milliseconds.
const API_DEADLINE: Duration = Duration::from_secs(1);

/// For one call about policies, which can concern hundreds of paths.
const LIFECYCLE_DEADLINE: Duration = Duration::from_secs(5);
/// For a source to come, for the server to show a change, and for another mtx-lifecycle to be done.
const LIFECYCLE_PATIENCE: Duration = Duration::from_secs(15);

/// Everything, checked.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) grants: Vec<Grant>,
    pub(crate) player: Url,
    pub(crate) store: Option<PathBuf>,
    pub(crate) lifecycle: Option<commands::Options>,
    pub(crate) routes: RouteConfig,
    pub(crate) supervisor: SupervisorConfig,
}

impl Config {
    pub(crate) fn new(cli: Cli) -> Result<Self> {
        let grants = power::grants()?;
        let listen = cli.listen.unwrap_or_else(|| match grants[..] {
            [] => SocketAddr::from(([127, 0, 0, 1], 8080)),
            _ => SocketAddr::from(([0, 0, 0, 0], 8080)),
        });
        let rtsp = server(&cli.mediamtx_rtsp, &["rtsp", "rtsps"]).context("--mediamtx-rtsp")?;
        let folder = cli.lifecycle_state.as_ref();
        let lifecycle = folder.map(|folder| lifecycle(&cli, folder, &rtsp));
        let lifecycle = lifecycle.transpose()?;
        let rtmp = server(&cli.mediamtx_rtmp, &["rtmp", "rtmps"]).context("--mediamtx-rtmp")?;
        let template = Template {
            program: worker(cli.worker)?,
            servers: with_login(Servers { rtsp, rtmp }),
        };
        let routes = RouteConfig::new(&cli.routes, cli.routes_file, &template.servers)?;
        if cli.store.is_none() {
            routes.in_force(None, &template.servers)?;
        }
        let policy = Policy {
            grace: cli.grace,
            recovery: cli.recovery,
            breaker: cli.breaker,
            breaker_pause: cli.breaker_pause,
            healthy_after: cli.healthy_after,
        };
        let supervisor = SupervisorConfig {
            api: api(&cli.mediamtx_api, API_DEADLINE)?,
            worker: template,
            policy,
            limits: Limits {
                memory: cli.worker_memory * 1024 * 1024,
                open_files: cli.worker_files,
                cpu: cli.worker_cpu,
            },
            start_limit: cli.start_limit,
            max_streams: cli.max_streams,
        };
        Ok(Self {
            listen,
            grants,
            player: player(&cli.player).context("--player")?,
            store: cli.store,
            lifecycle,
            routes,
            supervisor,
        })
    }
}

fn api(url: &str, deadline: Duration) -> Result<Api> {
    let api = Api::new(url, deadline).context("--mediamtx-api")?;
    api.with_token_of_environment()
        .context("MEDIAMTX_API_TOKEN")
}

fn lifecycle(cli: &Cli, folder: &Path, rtsp: &Url) -> Result<commands::Options> {
    if rtsp.query().is_some() {
        bail!(
            "--mediamtx-rtsp: with --lifecycle-state, a login stands before the host: rtsp://user:password@host"
        );
    }
    Ok(commands::Options {
        api: api(&cli.mediamtx_api, LIFECYCLE_DEADLINE)?,
        // MediaMTX knows its own address better than a default does.
        rtsp: (cli.mediamtx_rtsp != DEFAULT_RTSP).then(|| rtsp.clone()),
        folder: folder.to_owned(),
        timeout: LIFECYCLE_PATIENCE,
    })
}

/// Where the dashboard finds MediaMTX's player. It ends with a slash, so that a path can follow.
fn player(text: &str) -> Result<Url> {
    let url = format!("{}/", text.trim_end_matches('/')).parse::<Url>();
    let is_page = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let Some(url) = url.ok().filter(is_page) else {
        bail!(
            "{:?} is not http(s)://host[:port][/path]",
            secret::redact_url(text)
        );
    };
    if !url.username().is_empty() || url.password().is_some() {
        bail!(
            "{:?} has a login: everybody who opens the dashboard would see it",
            secret::redact_url(text)
        );
    }
    Ok(url)
}

/// A server of MediaMTX's, whose paths are the streams'.
fn server(text: &str, schemes: &[&str]) -> Result<Url> {
    let shown = || secret::redact_url(text);
    let form = schemes.join(" or ");
    let Ok(url) = server_url::parse(text) else {
        bail!("{:?} is not {form}://host[:port]", shown());
    };
    if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        bail!("{:?} is not {form}://host[:port]", shown());
    }
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        bail!("{:?} has a path: that is each stream's own", shown());
    }
    let secrets = url.query_pairs().map(|(_, value)| value.into_owned());
    secrets.for_each(|value| secret::register(&value));
    secret::register(url.password().unwrap_or_default());
    Ok(url)
}

/// With the login of the environment where a URL has none.
fn with_login(mut servers: Servers) -> Servers {
    let variable = |name| env::var(name).ok().filter(|text| !text.is_empty());
    let (user, password) = (variable("RTSP_USERNAME"), variable("RTSP_PASSWORD"));
    if user.is_none() && password.is_none() {
        return servers;
    }
    let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
    secret::register(&password);
    let Servers { rtsp, rtmp } = &mut servers;
    if rtsp.username().is_empty() && rtsp.password().is_none() {
        // Both can only fail for a URL without a host.
        let _ = (rtsp.set_username(&user), rtsp.set_password(Some(&password)));
        secret::register(rtsp.password().unwrap_or_default());
    }
    if rtmp.query().is_none() {
        rtmp.query_pairs_mut()
            .append_pair("user", &user)
            .append_pair("pass", &password);
    }
    servers
}

/// The worker's executable: as given, or beside this one, or in `PATH`.
fn worker(given: Option<PathBuf>) -> Result<PathBuf> {
    const NAME: &str = "mtx-worker";
    if let Some(file) = given {
        if !file.is_file() {
            bail!("--worker: no file {}", file.display());
        }
        return Ok(file);
    }
    program::find(NAME)
        .with_context(|| format!("no {NAME} beside this program or in PATH: name it with --worker"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(args: &[&str]) -> Result<Config> {
        let own = env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let args = [&["mtx-orchestrator", "--worker", own], args].concat();
        Config::new(Cli::try_parse_from(args).unwrap())
    }

    #[test]
    fn without_a_token_only_loopback_is_listened_on() {
        assert_eq!(config(&[]).unwrap().listen.to_string(), "127.0.0.1:8080");
        let given = config(&["--listen", "0.0.0.0:80"]).unwrap();
        assert_eq!(given.listen.to_string(), "0.0.0.0:80");
    }

    #[test]
    fn what_is_wrong_is_named_without_its_secrets() {
        for (args, named) in [
            (["--mediamtx-rtsp", "http://u:hunter2@h"], "--mediamtx-rtsp"),
            (["--mediamtx-rtsp", "rtsp://u:hunter2@"], "--mediamtx-rtsp"),
            (["--mediamtx-rtmp", "rtmp://h/live?pass=hunter2"], "path"),
            (["--mediamtx-rtmp", "h"], "--mediamtx-rtmp"),
            (["--mediamtx-api", "rtsp://u:hunter2@h"], "--mediamtx-api"),
            (["--player", "http://u:hunter2@h"], "login"),
            (["--player", "http://h/?pass=hunter2"], "--player"),
            (["--player", "rtsp://h"], "--player"),
            (["--route", "rtmp://h/app/hunter2"], "=>"),
            (["--route", "a => rtmp://h/hunter2/{"], "--route \"a\""),
            (["--route", "** => copy/{path}"], "fed by itself"),
            (["--routes", "/nowhere/routes.yml"], "/nowhere/routes.yml"),
        ] {
            let message = format!("{:#}", config(&args).err().unwrap());
            assert!(
                message.contains(named) && !message.contains("hunter2"),
                "{message}"
            );
        }
        let args = [
            "--lifecycle-state",
            "/x",
            "--mediamtx-rtsp",
            "rtsp://h/?pass=hunter2",
        ];
        let message = format!("{:#}", config(&args).err().unwrap());
        assert!(
            message.contains("before the host") && !message.contains("hunter2"),
            "{message}"
        );
        let cli = Cli::try_parse_from(["mtx-orchestrator", "--worker", "/nowhere"]).unwrap();
        let message = format!("{:#}", Config::new(cli).err().unwrap());
        assert!(message.contains("/nowhere"), "{message}");
    }
}
