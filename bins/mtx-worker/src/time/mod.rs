//! The one home of time: from the time stamps of RTP packets to times that rise for as long as the worker runs.
//!
//! ```text
//! RTP time ─> Unwrap ─> DecodeTimes ─┬─> TrackSync ─> RtpTimeline's units ─> Splice ─> sinks
//!             (each track)           │   (all tracks)   and Discontinuity
//! arrival ───────────────────────────┘
//! ```
//!
//! - [`Unwrap`] continues the 32 bits of RTP over their wrap, and notices breaks.
//! - [`DecodeTimes`] finds out when frames are decoded that RTP only says the presentation of.
//! - [`TrackSync`] puts a source's tracks, each of which has a clock of its own, onto the worker's clock.
//! - [`RtpTimeline`] composes these three for one RTSP session.
//! - [`Splice`] joins the timelines of sessions and whatever comes after a break.
//!
//! Nothing here reads a clock or a socket: the arrival of a unit is an input. All times are in
//! nanoseconds. *Line* time is a track's own, with any origin; *worker* time and arrivals count from the
//! start of the worker.

mod decode_times;
mod quickest;
#[cfg(test)]
mod simulation;
mod splice;
mod timeline;
mod track_sync;
mod unwrap;

pub(crate) use splice::Splice;
pub(crate) use timeline::{Arrival, RtpTimeline, Timed};
pub(crate) use track_sync::Reference;

use std::fmt;

use crate::media::TrackId;

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLISECOND;

/// The source's time stamps broke off and went on elsewhere; the units that follow start fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Discontinuity {
    /// The track that broke first.
    pub(crate) track: TrackId,
    /// How far its time stamps jumped beside the time that passed, in nanoseconds; negative is back.
    pub(crate) jump: i64,
}

impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.jump < 0 { "back" } else { "ahead" };
        let seconds = self.jump as f64 / SECOND as f64;
        write!(
            f,
            "the input's time stamps jumped {direction} by {:.1} s ({}); the output's go on",
            seconds.abs(),
            self.track
        )
    }
}
