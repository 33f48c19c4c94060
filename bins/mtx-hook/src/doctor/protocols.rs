//! RTSP and RTMP: whether workers get in, and at which ports.

use serde_json::Value;

use super::configuration::Configuration;
use super::finding::{Diagnosis, Severity};
use super::hooks::{WorkerHook, workers};
use super::orchestrator::{Need, Receiver, is_running, need_of_rtmp, need_of_rtsp};
use super::process::Process;
use super::server::port_of_this_machine;

/// What workers use of a server.
struct Protocol {
    setting: &'static str,
    encryption: &'static str,
    address: &'static str,
    /// The same over TLS.
    secure: Secure,
    /// Tells the orchestrator where the server is.
    variable: &'static str,
    scheme: &'static str,
    default_port: u16,
    task: &'static str,
    /// By which a worker is told where.
    option: &'static str,
}

struct Secure {
    scheme: &'static str,
    address: &'static str,
    path: &'static str,
}

const RTSP: Protocol = Protocol {
    setting: "rtsp",
    encryption: "rtspEncryption",
    address: "rtspAddress",
    secure: Secure {
        scheme: "rtsps",
        address: "rtspsAddress",
        path: "$MTX_PATH",
    },
    variable: "MEDIAMTX_RTSP_URL",
    scheme: "rtsp",
    default_port: 8554,
    task: "read",
    option: "--input",
};

const RTMP: Protocol = Protocol {
    setting: "rtmp",
    encryption: "rtmpEncryption",
    address: "rtmpAddress",
    secure: Secure {
        scheme: "rtmps",
        address: "rtmpsAddress",
        path: "…",
    },
    variable: "MEDIAMTX_RTMP_URL",
    scheme: "rtmp",
    default_port: 1935,
    task: "publish",
    option: "--output",
};

/// Names in `rtspTransports`, and after `--transport`.
const TCP: &str = "tcp";
const UDP: &str = "udp";

/// What uses the server: a protocol that nobody needs may be off.
struct Users {
    /// Hooks that start a worker which reads their path.
    workers: bool,
    /// Hooks that start a worker which publishes to the same server without being told where.
    publishing_workers: bool,
    /// Workers of an orchestrator, which read.
    orchestrator: Orchestrator,
}

#[derive(Clone, Copy)]
struct Orchestrator {
    need: Need,
    /// What it was given, it does not tell.
    is_running: bool,
}

impl Orchestrator {
    fn is_none(self) -> bool {
        self.need == Need::None
    }
}

pub(super) fn check(
    configuration: &Configuration,
    process: &Process,
    receivers: &[Receiver<'_>],
    diagnosis: &mut Diagnosis,
) {
    let workers = workers(configuration, process);
    let is_running = is_running(receivers);
    let orchestrator = |need| Orchestrator { need, is_running };
    let users = Users {
        workers: workers.iter().any(|worker| worker.inputs.is_empty()),
        publishing_workers: workers.iter().any(|worker| worker.outputs.is_empty()),
        orchestrator: orchestrator(need_of_rtsp(receivers)),
    };
    check_protocol(
        &RTSP,
        configuration,
        process,
        users.workers,
        users.orchestrator,
        diagnosis,
    );
    check_protocol(
        &RTMP,
        configuration,
        process,
        users.publishing_workers,
        orchestrator(need_of_rtmp(receivers, configuration)),
        diagnosis,
    );
    check_transports(
        configuration,
        process,
        &workers,
        users.orchestrator,
        diagnosis,
    );
    if users.publishing_workers && configuration.is_on("rtmp") {
        check_rtmp_port(configuration, process, diagnosis);
    }
    for worker in &workers {
        for output in &worker.outputs {
            check_output(configuration, &worker.hook.place(), output, diagnosis);
        }
    }
}

/// An output on this machine. Another server may be there, so nothing is certain.
fn check_output(
    configuration: &Configuration,
    place: &str,
    output: &str,
    diagnosis: &mut Diagnosis,
) {
    let Some(port) = configuration.port(RTMP.address) else {
        return;
    };
    let rest = output.strip_prefix("rtmp://").unwrap_or_default();
    // Behind the host may be a key.
    let server = format!("rtmp://{}", rest.split('/').next().unwrap_or_default());
    let used = port_of_this_machine(&server, RTMP.default_port);
    let Some(used) = used.filter(|used| [port, RTMP.default_port].contains(used)) else {
        return;
    };
    let instead = if !configuration.is_on(RTMP.setting) {
        "RTMP is off: write rtmp: yes".to_owned()
    } else if configuration.is_strict(RTMP.encryption) {
        let port = configuration.port("rtmpsAddress").unwrap_or_default();
        format!(
            "rtmpEncryption: strict shuts out rtmp://: write optional, or --output rtmps://localhost:{port}/…"
        )
    } else if used != port {
        format!("RTMP is at port {port}: write --output rtmp://localhost:{port}/…")
    } else {
        return;
    };
    diagnosis.warning(
        place,
        format!("it publishes to port {used} of this machine, and {instead}"),
    );
}

fn check_protocol(
    protocol: &Protocol,
    configuration: &Configuration,
    process: &Process,
    worker: bool,
    orchestrator: Orchestrator,
    diagnosis: &mut Diagnosis,
) {
    if !worker && orchestrator.is_none() {
        return;
    }
    let Protocol { setting, task, .. } = protocol;
    if !configuration.is_on(setting) {
        let text = format!("it is off, and workers {task} over it: write {setting}: yes");
        if worker || orchestrator.need == Need::Certain {
            diagnosis.error(*setting, text);
        } else {
            let text = format!("{text}, if mtx-orchestrator is to receive the events");
            diagnosis.warning(*setting, text);
        }
        return;
    }
    let url = process.variable(protocol.variable);
    if configuration.is_strict(protocol.encryption) {
        let is_unknown = !worker && url.is_none() && orchestrator.is_running;
        if is_unknown {
            let secure = &protocol.secure;
            let port = configuration.port(secure.address).unwrap_or_default();
            unknown_url(protocol.variable, secure.scheme, port, diagnosis);
        } else {
            check_strict(protocol, configuration, worker, url, diagnosis);
        }
    } else if !orchestrator.is_none() {
        check_port(
            protocol,
            configuration,
            process,
            orchestrator.is_running,
            diagnosis,
        );
    }
}

/// A running orchestrator was given it, or not.
fn unknown_url(variable: &str, scheme: &str, port: u16, diagnosis: &mut Diagnosis) {
    diagnosis.unchecked(format!(
        "whether mtx-orchestrator was given {variable}={scheme}://127.0.0.1:{port}: it does not tell"
    ));
}

fn check_strict(
    protocol: &Protocol,
    configuration: &Configuration,
    worker: bool,
    url: Option<&str>,
    diagnosis: &mut Diagnosis,
) {
    let secure = &protocol.secure;
    let is_matched = url.is_some_and(|url| url.starts_with(secure.scheme));
    if !worker && is_matched {
        return;
    }
    let port = configuration.port(secure.address).unwrap_or_default();
    let url = format!("{}://localhost:{port}", secure.scheme);
    let instead = if worker {
        format!(
            "give the mtx-worker hook {} {url}/{}",
            protocol.option, secure.path
        )
    } else {
        format!("give mtx-orchestrator {}={url}", protocol.variable)
    };
    diagnosis.add(
        if worker { Severity::Error } else { Severity::Warning },
        protocol.encryption.to_owned(),
        format!("strict shuts out who uses {}://: write optional, or {instead}, and MEDIAMTX_FINGERPRINT if the certificate is self-signed", protocol.scheme),
    );
}

/// By hand, what the server's own environment says is not known.
fn severity(is_certain: bool, process: &Process) -> Severity {
    if is_certain && process.is_hook() {
        Severity::Error
    } else {
        Severity::Warning
    }
}

fn check_port(
    protocol: &Protocol,
    configuration: &Configuration,
    process: &Process,
    is_running: bool,
    diagnosis: &mut Diagnosis,
) {
    let Some(port) = configuration.port(protocol.address) else {
        return;
    };
    let url = process.variable(protocol.variable);
    let used = match url {
        Some(url) => port_of_this_machine(url, protocol.default_port),
        None => Some(protocol.default_port),
    };
    if used.is_some_and(|used| used != port) {
        if url.is_none() && is_running {
            return unknown_url(protocol.variable, protocol.scheme, port, diagnosis);
        }
        let told = match url {
            Some(_) => format!("{} in {} names another", protocol.variable, process.owner()),
            None => format!("mtx-orchestrator uses {} by default", protocol.default_port),
        };
        diagnosis.warning(
            protocol.address,
            format!(
                "the port is {port}, and {told}: give mtx-orchestrator {}={}://127.0.0.1:{port}",
                protocol.variable, protocol.scheme
            ),
        );
    }
}

fn check_rtmp_port(configuration: &Configuration, process: &Process, diagnosis: &mut Diagnosis) {
    let given = process.variable("RTMP_PORT");
    let used = given.map_or(Some(1935), |port| port.parse().ok());
    let Some(port) = configuration.port("rtmpAddress") else {
        return;
    };
    let argument = workers(configuration, process)
        .iter()
        .all(|worker| !worker.outputs.is_empty() || worker.hook.line.contains("--rtmp-port"));
    if used != Some(port) && !argument && !configuration.is_strict("rtmpEncryption") {
        diagnosis.add(
            severity(true, process),
            "rtmpAddress".to_owned(),
            format!(
                "the port is {port}, and a mtx-worker hook publishes to {} (RTMP_PORT in {}): set RTMP_PORT={port} for the server",
                given.unwrap_or("1935"),
                process.owner()
            ),
        );
    }
}

/// Compares with how workers read, which is over TCP unless they are told otherwise.
fn check_transports(
    configuration: &Configuration,
    process: &Process,
    workers: &[WorkerHook<'_>],
    orchestrator: Orchestrator,
    diagnosis: &mut Diagnosis,
) {
    let listed: Vec<&str> = match configuration.global.get("rtspTransports") {
        Some(Value::Array(transports)) => transports.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split(',').map(str::trim).collect(),
        _ => return,
    };
    if !configuration.is_on(RTSP.setting) {
        return;
    }
    let of_workers = workers.iter().filter(|worker| worker.inputs.is_empty());
    let of_workers = of_workers.map(|worker| {
        // Nothing that the environment says changes it then.
        let severity = match worker.hook.line.contains("--transport") {
            true => Severity::Error,
            false => severity(true, process),
        };
        (worker.transport.as_deref().unwrap_or(TCP), severity)
    });
    let of_orchestrator = (!orchestrator.is_none()).then(|| {
        let told = process.variable("MTX_WORKER_TRANSPORT");
        (told.unwrap_or(TCP), Severity::Warning)
    });
    let missing = of_workers.chain(of_orchestrator);
    let mut missing: Vec<_> = missing
        .filter_map(|(used, severity)| Some((missing_transport(used, &listed)?, severity)))
        .collect();
    missing.sort_unstable();
    missing.dedup_by_key(|(transport, _)| *transport);
    for (transport, severity) in missing {
        let other = if transport == TCP { UDP } else { TCP };
        let shown = transport.to_uppercase();
        let text = format!(
            "workers read over {shown}, which is not listed: add {transport}, or give them --transport {other} (MTX_WORKER_TRANSPORT={other})"
        );
        diagnosis.add(severity, "rtspTransports".to_owned(), text);
    }
}

/// What has to be listed for a worker that reads in this way.
fn missing_transport(used: &str, listed: &[&str]) -> Option<&'static str> {
    let lacks = |transport: &&'static str| !listed.contains(transport);
    match used {
        TCP => Some(TCP).filter(lacks),
        UDP => Some(UDP).filter(lacks),
        "auto" => Some(TCP).filter(lacks).filter(|_| lacks(&UDP)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_on_this_machine_needs_rtmp_at_its_port() {
        let look = |global: &str, output: &str| {
            let hook = format!("mtx-worker --output {output}");
            let yaml = format!("{global}\npaths: {{cam: {{runOnAvailable: '{hook}'}}}}");
            let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
            let mut diagnosis = Diagnosis::default();
            check(&configuration, &Process::test(&[]), &[], &mut diagnosis);
            let found = diagnosis.found.iter().map(ToString::to_string);
            found.collect::<Vec<_>>().join(" ")
        };
        let own = "rtmp://localhost/{path}/s3cret";
        for (global, output, part) in [
            ("rtmp: no", own, "write rtmp: yes"),
            ("rtmpEncryption: strict", own, "rtmps://localhost:1936/"),
            ("rtmpAddress: :11935", own, "rtmp://localhost:11935/"),
            (
                "rtmp: no\nrtmpAddress: :9",
                "rtmp://127.0.0.1:9/a",
                "write rtmp: yes",
            ),
        ] {
            let found = look(global, output);
            assert!(found.contains(part) && !found.contains("s3cret"), "{found}");
        }
        for (global, output) in [
            ("", own),
            ("rtmpAddress: :9", "rtmp://[::1]:9/a"),
            ("rtmp: no", "rtmp://localhost:19350/app/key"),
            ("rtmp: no", "rtmp://platform/app/key"),
        ] {
            assert_eq!(look(global, output), "", "{global} {output}");
        }
    }

    #[test]
    fn a_worker_needs_the_transport_that_it_reads_over() {
        let look = |listed: &str, option: &str, variables: &[(&str, &str)]| {
            let yaml = format!(
                "rtspTransports: [{listed}]\npaths: {{cam/in: {{runOnAvailable: mtx-worker {option}}}}}"
            );
            let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
            let mut diagnosis = Diagnosis::default();
            let process = Process::test(variables);
            check(&configuration, &process, &[], &mut diagnosis);
            let found = diagnosis.found.iter().map(ToString::to_string);
            found.collect::<Vec<_>>().join(" ")
        };
        let udp = [("MTX_WORKER_TRANSPORT", "udp")];
        let hook = [udp[0], ("MTX_PATH", "cam/in")];
        for (listed, option, variables, start, part) in [
            ("udp", "", &[][..], "warning", "add tcp"),
            ("udp", "--transport tcp", &[], "error", "add tcp"),
            ("multicast", "--transport=auto", &[], "error", "add tcp"),
            ("tcp", "--transport udp", &[], "error", "add udp"),
            ("tcp", "--transport udp", &[], "error", "--transport tcp"),
            ("tcp", "", &udp, "warning", "add udp"),
            ("tcp", "", &hook, "error", "add udp"),
        ] {
            let found = look(listed, option, variables);
            let start = format!("{start}: rtspTransports: ");
            assert!(found.starts_with(&start) && found.contains(part), "{found}");
        }
        for (listed, option, variables) in [
            ("udp", "--transport udp", &[][..]),
            ("tcp", "", &[]),
            ("tcp", "--transport auto", &[]),
            ("udp", "--transport auto", &[]),
            ("udp", "", &udp),
            ("tcp", "--transport tcp", &udp),
            ("tcp", "--transport udp --input rtsp://cam/s1", &[]),
        ] {
            assert_eq!(look(listed, option, variables), "", "{listed} {option}");
        }
    }

    #[test]
    fn only_ports_of_this_machine_are_compared() {
        assert_eq!(port_of_this_machine("rtsp://u:p@localhost:9", 1), Some(9));
        assert_eq!(port_of_this_machine("rtsp://[::1]", 1), Some(1));
        assert_eq!(port_of_this_machine("rtsp://cam:9", 1), None);
        assert_eq!(port_of_this_machine("", 1), None);
    }
}
