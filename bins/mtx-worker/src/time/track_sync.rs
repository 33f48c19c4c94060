//! The tracks of an RTSP session on one clock.
//!
//! RTP gives every track a clock of its own, with a random start and its own drift. What relates them:
//!
//! - **Arrivals.** Senders send in decoding order, as time goes. A track's [`Quickest`] delivery tells where its
//!   decoding times are on the worker's clock, and goes on telling it while clocks drift.
//! - **References.** `RTP-Info` (RFC 2326, section 12.33) and RTCP sender reports (RFC 3550, section 6.4.1) tie RTP
//!   time to the server's clock. They know what arrivals don't: that video was longer on its way to the sender than
//!   audio, for example in an encoder. That is the tracks' [`lag`](TrackSync::lag).
//!
//! Not every reference knows better. MediaMTX (unless `useAbsoluteTimestamp` is set) stamps packets with their own
//! arrival, and takes it for the presentation time of the first frame in them (`internal/ntpestimator`). Its reports
//! put video with B-frames early by the deepest reordering, and audio late that comes in packets of several frames:
//! by 310 ms together for what ffmpeg publishes over RTSP. What such a server would report follows from the arrivals
//! here, so its reports are recognized and left aside.

use super::quickest::Quickest;
use super::{MILLISECOND, SECOND};
use crate::media::Medium;

/// For how long both tracks are watched before the first unit is stamped: senders send in turns of a frame or more,
/// so the first arrivals alone are off by as much.
const SETTLING: i64 = 250 * MILLISECOND;

/// A second track that has not come by then is not waited for any longer.
const LONELY: i64 = SECOND;

/// References are compared with arrivals once both tracks have been watched for this long.
const MATURITY: i64 = SECOND;

/// A server that puts the tracks further apart than they arrive is not believed.
const IMPLAUSIBLE: i64 = 2 * SECOND;

/// Sender reports are believed once one was confirmed so often in a row, give or take a little: some servers' tell
/// anything.
const CONFIRMATIONS: u32 = 2;
const AGREEMENT: i64 = 10 * MILLISECOND;

/// A reference this close to the arrivals, or to what arrivals alone explain, tells nothing new.
const SAME: i64 = 15 * MILLISECOND;

/// Before maturity, the most that `RTP-Info` may differ from the arrivals to be taken at once.
const SAME_AT_FIRST: i64 = 40 * MILLISECOND;

/// Tracks this far apart from where they should be, or stamps this far from the arrivals, are moved in a hurry, up to
/// the point where they are as good as right.
const APART: i64 = 10 * MILLISECOND;
const ASTRAY: i64 = 100 * MILLISECOND;
const RIGHT: i64 = 2 * MILLISECOND;

/// How fast stamps are moved, as one part in so many of the time that passes. Slowly: 300 ppm, more than clocks
/// drift. In a hurry: 5 %, which neither picture nor sound shows.
const SLOWLY: i64 = 3_333;
const IN_A_HURRY: i64 = 20;

/// Stamps this far behind are moved at once: the track stood still, and a hole is there already.
const LOST: i64 = SECOND;

/// What a server relates a track's RTP time to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The start of playing, by the `RTP-Info` header.
    Play = 0,
    /// Wall clock, by RTCP sender reports; goes before the other.
    Wall = 1,
}

/// What a unit's arrival tells of its track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    /// In worker time.
    pub(super) arrival: i64,
    /// When it should have been sent, in line time: its decoding time, as a rule.
    pub(super) sent: i64,
    /// The RTP time of the packet, in line time, if the unit is the first in it.
    pub(super) stamped: Option<i64>,
    /// Whether `sent` can be relied on.
    pub(super) steady: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// Worker time minus line time, as units are stamped.
    offset: Option<i64>,
    /// Smallest arrival minus `sent`.
    quickest: Option<Quickest>,
    /// Smallest arrival minus `stamped`.
    quickest_stamp: Option<Quickest>,
    /// Since when units are observed that can be relied on.
    since: Option<i64>,
    /// Server time minus line time, by what told it.
    references: [Option<i64>; 2],
    latest_arrival: i64,
}

/// Maps the line times of a session's tracks onto worker time.
#[derive(Debug)]
pub(super) struct TrackSync {
    tracks: [Track; 2],
    alone: bool,
    settled: bool,
    in_a_hurry: bool,
    first_arrival: Option<i64>,
    /// How much later video comes than audio of the same moment, by the server's references; 0 if there are none, or
    /// none that know more than the arrivals.
    lag: i64,
    /// The lag by the latest reference, and how often it was confirmed in a row.
    reported: Option<(i64, u32)>,
}

impl TrackSync {
    /// The sync of a session with one track, which is `alone`, or both.
    pub(super) fn new(alone: bool) -> Self {
        Self {
            tracks: [Track::default(); 2],
            alone,
            settled: false,
            in_a_hurry: false,
            first_arrival: None,
            lag: 0,
            reported: None,
        }
    }

    /// Starts a track fresh after a break of its line. That video lags behind audio is a property of the source,
    /// and stays.
    pub(super) fn restart(&mut self, medium: Medium) {
        self.settled = true;
        self.tracks[medium as usize] = Track::default();
        for track in &mut self.tracks {
            track.references = [None; 2];
        }
    }

    /// The server told that line time `line` of a track is its own time `server`.
    pub(super) fn refer(&mut self, medium: Medium, reference: Reference, line: i64, server: i64) {
        self.tracks[medium as usize].references[reference as usize] =
            Some(server.saturating_sub(line));
        self.weigh_references();
    }

    /// Takes note of a unit that arrived.
    pub(super) fn observe(&mut self, medium: Medium, seen: Observation) {
        let track = &mut self.tracks[medium as usize];
        let (delay, at) = (seen.arrival - seen.sent, seen.arrival);
        track.latest_arrival = at;
        if seen.steady && track.since.is_none() {
            // What came before could not be relied on.
            track.since = Some(at);
            track.quickest = None;
        }
        match (&mut track.quickest, seen.steady) {
            (Some(quickest), true) => quickest.add(delay, at),
            (Some(_), false) => track.since = None,
            (quickest @ None, _) => *quickest = Some(Quickest::new(delay, at)),
        }
        if let Some(stamped) = seen.stamped {
            let delay = at - stamped;
            let quickest = track.quickest_stamp.get_or_insert(Quickest::new(delay, at));
            quickest.add(delay, at);
        }
        self.first_arrival.get_or_insert(at);
        self.weigh_references();
    }

    /// Whether the tracks' relation is known well enough to stamp units. `in_order` is a source without reordering:
    /// its presentation and decoding times are one, so a server that tells the relation leaves nothing to find out.
    pub(super) fn is_settled(&mut self, in_order: bool) -> bool {
        self.settled |= self.alone || self.has_waited() || (in_order && self.is_told());
        self.settled
    }

    /// Presentation and decoding time, in worker time, of a unit that was observed. `passed` is the time since the
    /// track's unit before.
    pub(super) fn stamp(&mut self, medium: Medium, pts: i64, dts: i64, passed: i64) -> (i64, i64) {
        let target = self.target(medium).unwrap_or(0);
        let offset = *self.tracks[medium as usize].offset.get_or_insert(target);
        self.set_pace();
        let pace = if self.in_a_hurry { IN_A_HURRY } else { SLOWLY };
        let most = passed.max(0) / pace;
        let error = target - offset;
        let step = if error > LOST {
            error
        } else {
            error.clamp(-most, most)
        };
        let offset = offset + step;
        self.tracks[medium as usize].offset = Some(offset);
        (pts + offset, dts + offset)
    }

    /// Where a track's offset should be.
    fn target(&self, medium: Medium) -> Option<i64> {
        // What comes earlier waits for the other.
        let wait = if medium == Medium::Video {
            -self.lag
        } else {
            self.lag
        };
        let quickest = self.tracks[medium as usize].quickest?;
        Some(quickest.delay() + wait.max(0))
    }

    fn set_pace(&mut self) {
        let error = |medium: Medium| {
            let offset = self.tracks[medium as usize].offset;
            Some(self.target(medium)? - offset?)
        };
        let errors = [error(Medium::Video), error(Medium::Audio)];
        let largest = errors
            .iter()
            .flatten()
            .map(|error| error.abs())
            .max()
            .unwrap_or(0);
        let apart = match errors {
            [Some(video), Some(audio)] => (video - audio).abs(),
            _ => 0,
        };
        // Nothing is out of step with a track that has no other.
        if apart > APART || (largest > ASTRAY && !self.alone) {
            self.in_a_hurry = true;
        } else if largest < RIGHT {
            self.in_a_hurry = false;
        }
    }

    fn has_waited(&self) -> bool {
        let now = self.now();
        let both = self
            .since_both()
            .is_some_and(|since| now - since >= SETTLING);
        both || self
            .first_arrival
            .is_some_and(|first| now - first >= LONELY)
    }

    /// Whether `RTP-Info` tells the relation; takes it then.
    fn is_told(&mut self) -> bool {
        let lag = self
            .reference(Reference::Play)
            .and_then(|told| Some(self.by_arrival()?.saturating_sub(told)));
        let told = lag.filter(|lag| lag.saturating_abs() <= SAME_AT_FIRST);
        self.lag = told.unwrap_or(self.lag);
        told.is_some()
    }

    /// Finds the lag anew once there is a reference for both tracks. The next reports have to confirm a sender
    /// report.
    fn weigh_references(&mut self) {
        let now = self.now();
        if self.since_both().is_none_or(|since| now - since < MATURITY) {
            return;
        }
        for reference in [Reference::Wall, Reference::Play] {
            let Some((told, by_arrival)) = self.reference(reference).zip(self.by_arrival()) else {
                continue;
            };
            for track in &mut self.tracks {
                track.references[reference as usize] = None;
            }
            let lag = by_arrival.saturating_sub(told);
            let confirmed = match self.reported {
                Some((reported, times))
                    if reported.saturating_sub(lag).saturating_abs() <= AGREEMENT =>
                {
                    times + 1
                }
                _ => 0,
            };
            self.reported = Some((lag, confirmed));
            let is_believed = confirmed >= CONFIRMATIONS || reference == Reference::Play;
            if is_believed && lag.saturating_abs() < IMPLAUSIBLE {
                self.lag = if self.is_explained(lag) { 0 } else { lag };
            }
        }
    }

    /// Whether arrivals alone make a server report this lag, be it one that puts decoding times to them or one that
    /// puts RTP times to them.
    fn is_explained(&self, lag: i64) -> bool {
        let stamp = |medium: Medium| {
            let track = self.tracks[medium as usize];
            Some(track.quickest_stamp?.delay() - track.quickest?.delay())
        };
        let by_stamp = stamp(Medium::Video).zip(stamp(Medium::Audio));
        let by_stamp = by_stamp.map_or(0, |(video, audio)| audio - video);
        let slack = SAME + by_stamp.abs() / 4;
        (by_stamp.min(0) - slack..=by_stamp.max(0) + slack).contains(&lag)
    }

    /// How far the video's offset is from the audio's, by what the server told.
    fn reference(&self, reference: Reference) -> Option<i64> {
        let [video, audio] = self
            .tracks
            .map(|track| track.references[reference as usize]);
        Some(video?.saturating_sub(audio?))
    }

    /// Likewise, by the arrivals.
    fn by_arrival(&self) -> Option<i64> {
        let [video, audio] = self.tracks.map(|track| track.quickest);
        Some(video?.delay() - audio?.delay())
    }

    fn since_both(&self) -> Option<i64> {
        let [video, audio] = self.tracks.map(|track| track.since);
        Some(video?.max(audio?))
    }

    fn now(&self) -> i64 {
        let [video, audio] = self.tracks.map(|track| track.latest_arrival);
        video.max(audio)
    }
}
