//! What a change of the routes does.

use serde::Serialize;

use crate::stream_key::StreamKey;

/// The streams that other routes make a difference to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RouteChanges {
    /// They are there, and a route is for them from now on.
    pub(crate) start: Vec<StreamKey>,
    /// They go on in another way: with other outputs, limits or another recovery.
    pub(crate) change: Vec<StreamKey>,
    /// No route is for them any more, or they would feed themselves.
    pub(crate) stop: Vec<StreamKey>,
}
