//! On-demand policies of MediaMTX's paths, changed without hurting anybody: the library behind `mtx-lifecycle`.

pub mod engine;
pub mod export;
pub mod fields;
pub mod journal;
pub mod keeper;
pub mod migrate;
pub mod plan;
pub mod policy;
pub mod server;
pub mod span;
pub mod status;
pub mod wanted;
pub mod watch;
