//! HTTP/1.1 for a public port: bounded in size, in time and in number, and strict where being lenient lets
//! requests be smuggled.
//!
//! tiny_http writes the answers. Its reading half is not used, because from outside its holes can't be closed:
//! it reads heads without end, believes any Transfer-Encoding to be chunked (CVE-2026-66752), allocates what a
//! Content-Length promises, waits for itself for ever after `HTTP/2.0`, panics when a client has gone before it
//! asks for its address, and stops accepting for good at the first error of accept.

mod auth;
mod connection;
mod connections;
mod head;
mod problem;
mod server;
mod wire;

pub(crate) use auth::{Token, check_origin};
pub(crate) use head::Head;
pub(crate) use problem::Problem;
pub(crate) use server::{bind, serve};

/// An answer before it is written.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn json(status: u16, body: &impl serde::Serialize) -> Self {
        // Only maps whose keys are no text fail, and there are none.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::new(status, "application/json", body)
    }
}
