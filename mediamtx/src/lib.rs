//! What the suite knows of MediaMTX.

#[cfg(feature = "api")]
pub mod api;
pub mod event;
pub mod hook;
pub mod path;
#[cfg(feature = "pattern")]
pub mod pattern;
#[cfg(feature = "server-url")]
pub mod server_url;
pub mod template;
#[cfg(feature = "api")]
pub mod version;
pub mod via;
