//! What goes back to a client.

use std::fmt;
use std::net::TcpStream;

/// An answer before it is written.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's status code.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Those of HTTP itself are added when it is written.
    pub headers: Vec<(&'static str, String)>,
    /// As it goes out, except to a HEAD.
    pub body: Vec<u8>,
    pub(super) upgrade: Option<Upgrade>,
}

/// What comes after HTTP on a connection.
pub(super) struct Upgrade {
    pub(super) protocol: &'static str,
    pub(super) serve: Box<dyn FnOnce(Upgraded<'_>) + Send>,
}

/// A connection on which another protocol is spoken from now on. It is closed in an orderly way afterwards.
#[derive(Debug)]
pub struct Upgraded<'a> {
    /// Its socket; whoever gets it sets time-outs of their own.
    pub stream: &'a TcpStream,
    /// What the client had sent before it was told that it may.
    pub received: Vec<u8>,
}

impl Answer {
    /// One without further headers.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
            upgrade: None,
        }
    }

    /// One whose body is JSON.
    pub fn json(status: u16, body: &impl serde::Serialize) -> Self {
        // Only maps whose keys are no text fail, and there are none.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::new(status, "application/json", body)
    }

    /// Switches to another protocol, which `serve` speaks on the connection's own thread for as long as it likes.
    pub fn switch(
        protocol: &'static str,
        serve: impl FnOnce(Upgraded<'_>) + Send + 'static,
    ) -> Self {
        let upgrade = Upgrade {
            protocol,
            serve: Box::new(serve),
        };
        Self {
            upgrade: Some(upgrade),
            ..Self::new(101, "", "")
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgrade").field(&self.protocol).finish()
    }
}
