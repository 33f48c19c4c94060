//! One connection: request after request.

use std::time::Instant;

use tiny_http::{HTTPVersion, Header, Method, Response};

use super::answer::{Answer, Upgrade, Upgraded};
use super::auth::check_host;
use super::connections::Place;
use super::head::Framing;
use super::wire::{Failure, Wire};
use super::{Problem, Service};
use crate::panics;

/// What becomes of a connection after an answer.
enum Next {
    Request,
    Close,
    Upgrade(Upgrade),
}

impl Next {
    fn request_if(kept_alive: bool) -> Self {
        if kept_alive {
            Self::Request
        } else {
            Self::Close
        }
    }
}

/// Serves requests until the client or the rules end it.
pub(super) fn serve<S: Service>(mut place: Place, service: &S, only_local_names: bool) {
    let stream = std::sync::Arc::clone(&place.stream);
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::new(&stream);
    loop {
        match exchange(&mut place, &mut wire, service, only_local_names) {
            Next::Request => place.renew(),
            Next::Close => break,
            Next::Upgrade(upgrade) => {
                let received = wire.received();
                let upgraded = Upgraded {
                    stream: &stream,
                    received,
                };
                if panics::catch(|| (upgrade.serve)(upgraded)).is_none() {
                    service.panicked();
                }
                break;
            }
        }
    }
    wire.close();
}

/// One request and its answer.
fn exchange<S: Service>(
    place: &mut Place,
    wire: &mut Wire<'_>,
    service: &S,
    only_local_names: bool,
) -> Next {
    let head = match wire.read_head() {
        Ok(head) => head,
        Err(failure) => return refuse(wire, service, failure, &Method::Get),
    };
    let start = Instant::now();
    let named = match only_local_names {
        true => check_host(&head),
        false => Ok(()),
    };
    // Whoever may not do it need not send the body.
    let route = match panics::catch(|| named.and_then(|()| service.admit(&head))) {
        None => return panicked(wire, service, head.method(), start),
        Some(Ok(route)) => route,
        Some(Err(problem)) => {
            let keep = head.keep_alive && head.framing == Framing::None;
            return respond(wire, service, problem.into(), head.method(), start, keep);
        }
    };
    match wire.read_body(&head) {
        Ok(_) if !place.begin() => {
            service.no_body(&route);
            Next::Close
        }
        Ok(body) => match panics::catch(|| service.answer(&head, route, &body)) {
            Some(answer) => respond(wire, service, answer, head.method(), start, head.keep_alive),
            None => panicked(wire, service, head.method(), start),
        },
        Err(failure) => {
            service.no_body(&route);
            refuse(wire, service, failure, head.method())
        }
    }
}

fn refuse<S: Service>(wire: &mut Wire<'_>, service: &S, failure: Failure, method: &Method) -> Next {
    if let Failure::Refused(problem) = failure {
        respond(wire, service, problem.into(), method, Instant::now(), false);
    }
    Next::Close
}

fn panicked<S: Service>(wire: &mut Wire<'_>, service: &S, method: &Method, start: Instant) -> Next {
    service.panicked();
    let detail = "this request has met a bug, which the log tells more about; whether it was done is unknown";
    let problem = Problem::new(500, detail);
    respond(wire, service, problem.into(), method, start, false)
}

fn respond<S: Service>(
    wire: &mut Wire<'_>,
    service: &S,
    mut answer: Answer,
    method: &Method,
    start: Instant,
    keep_alive: bool,
) -> Next {
    let status = answer.status;
    let upgrade = answer.upgrade.take();
    let manner = Manner {
        head_only: *method == Method::Head,
        protocol: upgrade.as_ref().map(|upgrade| upgrade.protocol),
        closes: upgrade.is_none() && !keep_alive,
    };
    let bytes = render(S::NAME, answer, &manner);
    let sent = bytes.and_then(|bytes| wire.write(&bytes)).is_ok();
    service.answered(status, start.elapsed());
    match upgrade {
        Some(upgrade) if sent => Next::Upgrade(upgrade),
        Some(_) => Next::Close,
        None => Next::request_if(sent && keep_alive),
    }
}

/// How an answer goes out.
struct Manner {
    /// Without its body.
    head_only: bool,
    /// What is spoken afterwards.
    protocol: Option<&'static str>,
    /// Whether it is the connection's last.
    closes: bool,
}

fn render(name: &str, answer: Answer, manner: &Manner) -> std::io::Result<Vec<u8>> {
    let mut headers = vec![
        ("Server", name.to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    if !answer.content_type.is_empty() {
        headers.push(("Content-Type", answer.content_type.to_owned()));
    }
    // tiny_http keeps these two to itself.
    let mut own = Vec::new();
    if let Some((name, protocol)) = answer.headers.iter().find(|(name, _)| *name == "Upgrade") {
        own.extend([("Connection", "upgrade"), (*name, protocol.as_str())]);
    }
    if manner.closes {
        own.push(("Connection", "close"));
    }
    let given = headers
        .iter()
        .chain(&answer.headers)
        .filter_map(|(name, value)| Header::from_bytes(*name, value.as_str()).ok());
    let response = Response::new(
        answer.status.into(),
        given.collect(),
        std::io::empty(),
        Some(answer.body.len()),
        None,
    );
    let mut head = Vec::with_capacity(512);
    // Always with its length, whatever a client would like better.
    let response = response.with_chunked_threshold(usize::MAX);
    response.raw_print(&mut head, HTTPVersion(1, 1), &[], true, manner.protocol)?;
    let mut bytes = amend(&head, answer.status, &own);
    if !manner.head_only {
        bytes.extend(answer.body);
    }
    Ok(bytes)
}

/// What tiny_http can't be made to say: further headers, and no length with status 204 (RFC 9110, section 8.6).
fn amend(head: &[u8], status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut amended = Vec::with_capacity(head.len() + 64);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if status == 204 && line.starts_with(b"Content-Length:") {
            continue;
        }
        if line == b"\r\n" {
            let lines = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            amended.extend(lines.flat_map(String::into_bytes));
        }
        amended.extend_from_slice(line);
    }
    amended
}
