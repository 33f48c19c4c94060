//! An HTTP/1.1 server for a public port: bounded in size, in time and in number, and strict where being lenient
//! lets requests be smuggled.
//!
//! tiny_http writes the answers. Its reading half is not used, because from outside its holes can't be closed:
//! it reads heads without end, believes any Transfer-Encoding to be chunked (CVE-2026-66752), allocates what a
//! Content-Length promises, waits for itself for ever after `HTTP/2.0`, panics when a client has gone before it
//! asks for its address, and stops accepting for good at the first error of accept.

mod answer;
mod auth;
mod connection;
mod connections;
mod head;
mod problem;
mod server;
mod session;
mod wire;

use std::time::Duration;

pub use tiny_http::Method;

pub use answer::{Answer, Upgraded};
pub use auth::{Challenge, Token, bearer_token, check_origin, unauthorized};
pub use head::Head;
pub use problem::Problem;
pub use server::{ServerError, bind, serve};
pub use session::Session;

/// What a server offers. Every connection's thread calls it.
pub trait Service: Send + Sync + 'static {
    /// A request that may be made, up to its body.
    type Route;

    /// What it calls itself in each answer.
    const NAME: &'static str;

    /// Whether clients have to show that they may ask. Where they need not, and only this machine can reach the server,
    /// it is known by names of this machine alone: a page from elsewhere can make its own name lead here (DNS
    /// rebinding), and would then be taken for one of ours.
    fn is_guarded(&self) -> bool {
        false
    }

    /// Decides from its head whether a request may be made: whoever may not make it need not send its body.
    ///
    /// # Errors
    /// What is answered instead.
    fn admit(&self, head: &Head) -> Result<Self::Route, Problem>;

    /// Answers a request that was admitted.
    fn answer(&self, head: &Head, route: Self::Route, body: &[u8]) -> Answer;

    /// The body of a request that was admitted never came, or not as it should.
    fn no_body(&self, _route: &Self::Route) {}

    /// Something panicked while a request was answered, or on a connection that speaks another protocol by now. The
    /// client was told with status 500, if it could be, and the connection is closed.
    fn panicked(&self) {}

    /// An answer of this status went out, this long after its request's head was read.
    fn answered(&self, _status: u16, _took: Duration) {}
}
