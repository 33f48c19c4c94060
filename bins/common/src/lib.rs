//! What the suite's programs share that has nothing to do with MediaMTX.

pub mod cli;
pub mod duration;
pub mod fields;
pub mod host;
#[cfg(feature = "http-server")]
pub mod http;
#[cfg(feature = "https")]
pub mod https;
pub mod logging;
pub mod panics;
pub mod program;
pub mod quoted;
pub mod retry;
pub mod secret;
#[cfg(feature = "signals")]
pub mod signals;
pub mod timestamp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod token;

/// The first `max` characters, so that a message stays one readable line whatever it quotes.
#[must_use]
pub fn excerpt(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
