//! One connection: request after request.

use std::io::Cursor;
use std::time::Instant;

use tiny_http::{HTTPVersion, Header, Method, Response};

use super::connections::Place;
use super::head::Framing;
use super::wire::{Failure, Wire};
use super::{Answer, Service};

/// Serves requests until the client or the rules end it.
pub(super) fn serve<S: Service>(mut place: Place, service: &S) {
    let stream = std::sync::Arc::clone(&place.stream);
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::new(&stream);
    while exchange(&mut wire, service) {
        place.renew();
    }
    wire.close();
}

/// One request and its answer; whether another may follow.
fn exchange<S: Service>(wire: &mut Wire<'_>, service: &S) -> bool {
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
            return respond(wire, service, problem.into(), head.method(), start) && keep;
        }
    };
    match wire.read_body(&head) {
        Ok(body) => {
            let answer = service.answer(route, &body);
            respond(wire, service, answer, head.method(), start) && head.keep_alive
        }
        Err(failure) => {
            service.no_body(&route);
            refuse(wire, service, failure, head.method())
        }
    }
}

fn refuse<S: Service>(wire: &mut Wire<'_>, service: &S, failure: Failure, method: &Method) -> bool {
    if let Failure::Refused(problem) = failure {
        respond(wire, service, problem.into(), method, Instant::now());
    }
    false
}

fn respond<S: Service>(
    wire: &mut Wire<'_>,
    service: &S,
    answer: Answer,
    method: &Method,
    start: Instant,
) -> bool {
    let status = answer.status;
    let bytes = render(S::NAME, answer, *method == Method::Head);
    let sent = bytes.and_then(|bytes| wire.write(&bytes)).is_ok();
    service.answered(status, start.elapsed());
    sent
}

fn render(name: &str, answer: Answer, head_only: bool) -> std::io::Result<Vec<u8>> {
    let mut headers = vec![
        ("Server", name.to_owned()),
        ("Content-Type", answer.content_type.to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    headers.extend(answer.headers);
    let headers = headers
        .into_iter()
        .filter_map(|(name, value)| Header::from_bytes(name, value).ok());
    let length = answer.body.len();
    let response = Response::new(
        answer.status.into(),
        headers.collect(),
        Cursor::new(answer.body),
        Some(length),
        None,
    );
    let mut bytes = Vec::with_capacity(length + 512);
    // Always with its length, whatever a client would like better.
    let response = response.with_chunked_threshold(usize::MAX);
    response.raw_print(&mut bytes, HTTPVersion(1, 1), &[], head_only, None)?;
    Ok(bytes)
}
