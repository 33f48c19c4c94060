//! What the outputs of a worker mean: their places filled in, their stream keys, and whether they lead back to the
//! server that is read from.

use std::fmt;
use std::net::{IpAddr, UdpSocket};

use anyhow::{Context, Result, bail};
use common::host::is_loopback;
use mediamtx::path::PathName;
use mediamtx::template::Template;

use super::keys::KeySource;
use crate::rtmp::url::RtmpUrl;
use crate::source::RtspUrl;

/// The stream, and the server that it is read from.
pub(super) struct Origin {
    pub(super) input: RtspUrl,
    /// What `{path}` stands for, if MediaMTX would allow it.
    pub(super) path: Option<PathName>,
    /// What `{1}`, `{2}` … stand for.
    pub(super) groups: Vec<String>,
    /// The path whose hook the worker is.
    pub(super) hook_path: Option<PathName>,
    /// Whether the input is on the server that started the worker, or the worker was started by hand.
    pub(super) reads_server: bool,
    /// The RTMP port of that server, if it is known.
    pub(super) rtmp_port: Option<u16>,
    /// What outputs on the server that started the worker are published with, if they have no login.
    pub(super) login: Option<(String, String)>,
    /// Whether names may be looked up, which can take long: not while streams are passed on.
    pub(super) may_look_up: bool,
}

const RTMP_PORT: u16 = 1935;

impl fmt::Debug for Origin {
    /// Without the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Origin");
        shown.field("input", &self.input).finish_non_exhaustive()
    }
}

impl Origin {
    pub(super) fn is_hook(&self) -> bool {
        self.hook_path.is_some()
    }

    fn rtmp_port(&self) -> u16 {
        self.rtmp_port.unwrap_or(RTMP_PORT)
    }

    /// The text with this stream's path and groups in their places.
    pub(super) fn fill(&self, template: &Template) -> Result<String> {
        if template.is_constant() {
            return Ok(template.as_str().to_owned());
        }
        let path = self.path.as_ref().with_context(|| {
            format!(
                "the input {} has no path that could be filled in",
                self.input
            )
        })?;
        Ok(template.fill(path, &self.groups)?)
    }

    /// Checked, with keys and the login of the server where it belongs.
    pub(super) fn outputs(
        &self,
        given: &[&str],
        keys: &KeySource,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<RtmpUrl>> {
        let mut outputs: Vec<RtmpUrl> = Vec::new();
        let mut has_used_key = false;
        for text in given {
            let template: Template = text.parse().context("--output")?;
            let text = self.fill(&template).context("--output")?;
            let mut output = self.located(RtmpUrl::parse(&text, None)?);
            output.is_named_after_input = template.has_filled_last_segment();
            if !(self.is_hook() && output.on_server)
                && let Some(key) = keys.key(warnings)?
            {
                if std::mem::replace(&mut has_used_key, true) {
                    bail!(
                        "{} goes with one output; with several, write each one's key into its URL",
                        keys.name()
                    );
                }
                output = self.located(RtmpUrl::parse(&text, Some(&key))?);
                output.on_server = false;
            }
            self.check_circle(&output, &template)?;
            if outputs.iter().any(|other| other.place() == output.place()) {
                bail!("the output {output} is given twice");
            }
            let output = self.with_login(output);
            let shown = self.path.as_ref().map_or("", PathName::as_str);
            output.register_secrets(shown);
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// `X/out` on the same server for `X/in`.
    pub(super) fn default_output(&self, path: &PathName) -> Result<RtmpUrl> {
        let Some(result) = path.result() else {
            let server = format!("rtmp://localhost:{}", self.rtmp_port());
            match path.last_segment() {
                "out" => bail!(
                    "{path} is where a worker publishes: set the hook on what it reads only, in mediamtx.yml \
                     paths: {{\"~^(.+)/in$\": {{runOnAvailable: mtx-worker}}}}"
                ),
                _ => bail!(
                    "{path} does not end in /in, so say where to publish it, in mediamtx.yml: \
                     runOnAvailable: mtx-worker --output {server}/{{path}}/out"
                ),
            }
        };
        let url = format!("rtmp://localhost:{}/{result}", self.rtmp_port());
        Ok(self.with_login(self.located(RtmpUrl::parse(&url, None)?)))
    }

    fn located(&self, mut output: RtmpUrl) -> RtmpUrl {
        let result = self.path.as_ref().and_then(PathName::result);
        let is_result = result.is_some_and(|result| result.as_str() == output.path());
        // On another port of this host may be whatever, for instance a tunnel to a platform.
        output.on_server = self.is_same_host(&output)
            && (output.tls || output.port == self.rtmp_port() || is_result);
        output
    }

    fn is_same_host(&self, output: &RtmpUrl) -> bool {
        let input = self.input.host();
        let is_input = self.reads_server && input.eq_ignore_ascii_case(&output.host);
        let is_here = self.is_hook() || is_loopback(input);
        is_input || (is_here && is_loopback(&output.host))
    }

    fn is_same_server(&self, output: &RtmpUrl) -> bool {
        let is_port = output.port == self.rtmp_port();
        output.on_server || (is_port && self.is_on_this_machine(output))
    }

    /// On another port may be another MediaMTX, or the same one where its RTMP port is not known.
    fn may_be_same_server(&self, output: &RtmpUrl) -> bool {
        let is_port_unknown = self.rtmp_port.is_none();
        self.is_same_server(output)
            || (is_port_unknown && (self.is_same_host(output) || self.is_on_this_machine(output)))
    }

    /// Whether input and output are both on this machine.
    fn is_on_this_machine(&self, output: &RtmpUrl) -> bool {
        let is_here = self.is_hook() || is_loopback(self.input.host());
        is_here && self.is_this_machine(&output.host)
    }

    fn with_login(&self, output: RtmpUrl) -> RtmpUrl {
        match &self.login {
            Some((user, password)) if output.on_server => output.or_login(user, password),
            _ => output,
        }
    }

    /// Refuses an output that is the input, or that would be one of a next worker, and so on for ever. Where the port
    /// of RTMP is not known, better a stream less than a camera that is thrown out, or one more stream every second.
    fn check_circle(&self, output: &RtmpUrl, template: &Template) -> Result<()> {
        let to = output.path();
        let is_input = self.reads_server && self.input.path() == to;
        let path = self.hook_path.as_ref().map(PathName::as_str);
        let run_again = path.filter(|path| is_run_again(path, &to, is_input, template));
        if !(is_input || run_again.is_some()) || !self.may_be_same_server(output) {
            return Ok(());
        }
        let unless = if self.is_same_server(output) {
            String::new()
        } else {
            format!(
                "; if port {} is another server's, set RTMP_PORT to the RTMP port of the server that has the input",
                output.port
            )
        };
        if let Some(path) = run_again {
            bail!(
                "{path} is itself an output of this hook, which would go on for ever with {output}; \
                 to be rid of this line, give such outputs a path without the hook in mediamtx.yml{unless}"
            );
        }
        bail!(
            "the output {output} is the input itself; publish to another path, such as {{path}}/out{unless}"
        );
    }

    /// Only an address of this machine can be bound to.
    fn is_this_machine(&self, host: &str) -> bool {
        let is_known = self.may_look_up || host.parse::<IpAddr>().is_ok();
        is_known && UdpSocket::bind((host, 0)).is_ok()
    }
}

/// Whether the hook of `path` would be run for its output `to`, too, and this path is an output of the same hook.
fn is_run_again(path: &str, to: &str, is_input: bool, template: &Template) -> bool {
    let url_path = template.url_path();
    let is_always_input = is_input && url_path.as_str() == "{path}";
    // What gets shorter each time ends by itself.
    let is_endless = to.len() >= path.len() && (is_input || path != to);
    !template.is_constant() && !is_always_input && is_endless && url_path.can_give(path)
}

/// Takes over mtx-orchestrator's marks: a list for each output, with spaces between them.
pub(super) fn mark(outputs: &mut [RtmpUrl], lists: &str) -> Result<()> {
    for (output, list) in outputs.iter_mut().zip(lists.split_whitespace()) {
        output.via = list.parse().context("MTX_WORKER_VIA")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_has_its_own_marks() {
        let urls = ["rtmp://h/live/a", "rtmp://h/live/b", "rtmp://h/live/c"];
        let mut outputs = urls.map(|url| RtmpUrl::parse(url, None).unwrap());
        let lists = "00000000000000aa,00000000000000cc 00000000000000bb";
        mark(&mut outputs, lists).unwrap();
        let via = outputs.each_ref().map(|output| output.via.to_string());
        assert_eq!(via.join(" ").trim_end(), lists);
        let wrong = format!("{:#}", mark(&mut outputs, "aa").unwrap_err());
        assert!(wrong.starts_with("MTX_WORKER_VIA: marks are"), "{wrong}");
    }
}
