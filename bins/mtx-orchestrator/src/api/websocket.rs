//! The WebSocket at /v1/events: its handshake (RFC 6455, 4.2).

use common::http::{Answer, Head, Problem};
use tungstenite::handshake::derive_accept_key;

use crate::feed::{self, Feed};

/// What the client has to be answered.
fn accept_key(head: &Head) -> Result<String, Problem> {
    if !head.asks_for("websocket") {
        let problem = Problem::new(
            426,
            "this is a WebSocket: a client asks for it with the headers Connection: Upgrade and \
             Upgrade: websocket",
        );
        return Err(problem.header("Upgrade", "websocket"));
    }
    if head.one("sec-websocket-version") != Some(b"13") {
        let problem = Problem::new(426, "the version of the WebSocket has to be 13")
            .field("Sec-WebSocket-Version")
            .header("Upgrade", "websocket");
        return Err(problem.header("Sec-WebSocket-Version", "13"));
    }
    let mut keys = head.all("sec-websocket-key");
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(derive_accept_key(key)),
        _ => Err(
            Problem::new(400, "there has to be one key: 16 bytes in Base64")
                .field("Sec-WebSocket-Key"),
        ),
    }
}

/// 16 bytes in Base64.
fn is_key(text: &[u8]) -> bool {
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len() == 24 && text.ends_with(b"==") && text[..22].iter().all(of_base64)
}

/// Subscribes the client, which is served on its connection's own thread.
pub(super) fn answer(feed: &Feed, head: &Head) -> Answer {
    let accept_key = match accept_key(head) {
        Ok(accept_key) => accept_key,
        Err(problem) => return problem.into(),
    };
    let subscription = match feed.subscribe() {
        Ok(subscription) => subscription,
        Err(refusal) => {
            let problem = Problem::new(503, refusal.to_string());
            return problem.header("Retry-After", "5").into();
        }
    };
    let mut answer = Answer::switch("websocket", |connection| {
        feed::serve(connection, subscription);
    });
    answer.headers.push(("Sec-WebSocket-Accept", accept_key));
    answer
}
