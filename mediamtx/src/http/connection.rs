//! One connection: request after request.

use std::io::Cursor;
use std::time::Instant;

use tiny_http::{HTTPVersion, Header, Method, Response};

use super::Service;
use super::answer::{Answer, Upgrade, Upgraded};
use super::connections::Place;
use super::head::Framing;
use super::wire::{Failure, Wire};

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
pub(super) fn serve<S: Service>(mut place: Place, service: &S) {
    let stream = std::sync::Arc::clone(&place.stream);
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::new(&stream);
    loop {
        match exchange(&mut wire, service) {
            Next::Request => place.renew(),
            Next::Close => break,
            Next::Upgrade(upgrade) => {
                place.keep();
                (upgrade.serve)(Upgraded {
                    stream: &stream,
                    received: wire.received(),
                });
                break;
            }
        }
    }
    wire.close();
}

/// One request and its answer.
fn exchange<S: Service>(wire: &mut Wire<'_>, service: &S) -> Next {
    let head = match wire.read_head() {
        Ok(head) => head,
        Err(failure) => return refuse(wire, service, failure, &Method::Get),
    };
    let start = Instant::now();
    // Whoever may not do it need not send the body.
    let route = match service.admit(&head) {
        Ok(route) => route,
        Err(problem) => {
            let keep = head.keep_alive && head.framing == Framing::None;
            return respond(wire, service, problem.into(), head.method(), start, keep);
        }
    };
    match wire.read_body(&head) {
        Ok(body) => {
            let answer = service.answer(&head, route, &body);
            respond(wire, service, answer, head.method(), start, head.keep_alive)
        }
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
    let protocol = upgrade.as_ref().map(|upgrade| upgrade.protocol);
    let bytes = render(S::NAME, answer, *method == Method::Head, protocol);
    let sent = bytes.and_then(|bytes| wire.write(&bytes)).is_ok();
    service.answered(status, start.elapsed());
    match upgrade {
        Some(upgrade) if sent => Next::Upgrade(upgrade),
        Some(_) => Next::Close,
        None => Next::request_if(sent && keep_alive),
    }
}

fn render(
    name: &str,
    answer: Answer,
    head_only: bool,
    protocol: Option<&str>,
) -> std::io::Result<Vec<u8>> {
    let mut headers = vec![
        ("Server", name.to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    if !answer.content_type.is_empty() {
        headers.push(("Content-Type", answer.content_type.to_owned()));
    }
    let offered = answer.headers.iter().find(|(name, _)| *name == "Upgrade");
    let offered = offered.map(|(_, protocol)| protocol.clone());
    headers.extend(answer.headers);
    let headers = headers
        .into_iter()
        .filter_map(|(name, value)| Header::from_bytes(name, value).ok());
    let (status, length) = (answer.status, answer.body.len());
    let response = Response::new(
        status.into(),
        headers.collect(),
        Cursor::new(answer.body),
        Some(length),
        None,
    );
    let mut bytes = Vec::with_capacity(length + 512);
    // Always with its length, whatever a client would like better.
    let response = response.with_chunked_threshold(usize::MAX);
    response.raw_print(&mut bytes, HTTPVersion(1, 1), &[], head_only, protocol)?;
    if let Some(offered) = offered {
        offer(&mut bytes, &offered);
    }
    if status == 204 {
        leave_length_out(&mut bytes);
    }
    Ok(bytes)
}

/// tiny_http always gives a length, and 204 must not have one (RFC 9110, section 8.6).
fn leave_length_out(bytes: &mut Vec<u8>) {
    const LENGTH: &[u8] = b"Content-Length: 0\r\n";
    let found = bytes.windows(LENGTH.len()).position(|some| some == LENGTH);
    if let Some(at) = found {
        bytes.drain(at..at + LENGTH.len());
    }
}

/// tiny_http takes the header Upgrade away from all but what it upgrades itself, and 426 has to have it.
fn offer(bytes: &mut Vec<u8>, protocol: &str) {
    let headers = format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n");
    let end = bytes.windows(2).position(|two| two == b"\r\n");
    let after = end.map_or(0, |end| end + 2);
    bytes.splice(after..after, headers.into_bytes());
}
