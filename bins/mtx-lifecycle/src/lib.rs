//! On-demand policies of MediaMTX's paths, changed without hurting anybody: the library behind `mtx-lifecycle`.
//!
//! Each module uses only those before it: `span`, `server`, `policy`, `ledger`, `journal`, `plan`, `apply`,
//! `commands`, `watch`.

mod apply;
pub mod commands;
pub mod journal;
pub mod ledger;
pub mod plan;
pub mod policy;
#[cfg(test)]
mod properties;
pub mod server;
pub mod span;
pub mod watch;
