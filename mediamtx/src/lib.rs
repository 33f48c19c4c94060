//! What the suite knows of MediaMTX, and what its binaries share.

#[cfg(feature = "api")]
pub mod api;
pub mod duration;
pub mod event;
pub mod hook;
pub mod host;
#[cfg(feature = "http-server")]
pub mod http;
#[cfg(feature = "https")]
pub mod https;
pub mod logging;
pub mod path;
#[cfg(feature = "pattern")]
pub mod pattern;
pub mod program;
pub mod quoted;
pub mod retry;
pub mod secret;
#[cfg(feature = "server-url")]
pub mod server_url;
#[cfg(feature = "signals")]
pub mod signals;
pub mod template;
pub mod timestamp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "api")]
pub mod version;
pub mod via;

/// The first `max` characters, so that a message stays one readable line whatever it quotes.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
