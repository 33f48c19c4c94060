//! The tracks of an RTSP session on one clock.
//!
//! RTP gives every track a clock of its own, with a random start and its own drift. What relates them:
//!
//! - **Arrivals.** Senders send in decoding order, as time goes. A track's [`Quickest`] delivery tells where its
//!   decoding times are on the worker's clock, and goes on telling it while clocks drift.
//! - **References.** `RTP-Info` (RFC 2326, section 12.33) and RTCP sender reports (RFC 3550, section 6.4.1) tie RTP
//!   time to the server's clock. They know what arrivals don't: that video was longer on its way to the sender than
//!   audio, for example in an encoder. That is the [`lag`](Relation::lag) between two tracks.
//!
//! The first video track, or without video the first track, is the *leader*: every other track is put in relation to it.
//!
//! Not every reference knows better. MediaMTX (unless `useAbsoluteTimestamp` is set) stamps packets with their own
//! arrival, and takes it for the presentation time of the first frame in them (`internal/ntpestimator`). Its reports
//! put video with B-frames early by the deepest reordering, and audio late that comes in packets of several frames:
//! by 310 ms together for what ffmpeg publishes over RTSP. What such a server would report follows from the arrivals
//! here, so its reports are recognized and left aside.

use super::quickest::Quickest;
use super::{MILLISECOND, SECOND};

/// For how long all tracks are watched before the first unit is stamped: senders send in turns of a frame or more,
/// so the first arrivals alone are off by as much.
const SETTLING: i64 = 250 * MILLISECOND;

/// A track that has not come by then is not waited for any longer.
const LONELY: i64 = SECOND;

/// References are compared with arrivals once a track and the leader have been watched for this long.
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
    latest_arrival: i64,
    relation: Relation,
}

/// How a track stands to the leader.
#[derive(Clone, Copy, Debug, Default)]
struct Relation {
    /// How much later the leader comes than this track of the same moment, by the server's references; 0 if there are
    /// none, or none that know more than the arrivals.
    lag: i64,
    /// The lag by the latest reference, and how often it was confirmed in a row.
    reported: Option<(i64, u32)>,
    /// By each kind of reference, server time minus line time: the leader's and the track's own. Both are used once.
    references: [(Option<i64>, Option<i64>); 2],
}

/// Maps the line times of a session's tracks onto worker time.
#[derive(Debug)]
pub(super) struct TrackSync {
    tracks: Vec<Track>,
    leader: usize,
    settled: bool,
    in_a_hurry: bool,
    first_arrival: Option<i64>,
}

impl TrackSync {
    /// The sync of a session with so many tracks, which are named by their places; `leader` is one of them.
    pub(super) fn new(tracks: usize, leader: usize) -> Self {
        Self {
            tracks: vec![Track::default(); tracks],
            leader,
            settled: false,
            in_a_hurry: false,
            first_arrival: None,
        }
    }

    /// Starts a track fresh after a break of its line. That video lags behind audio is a property of the source,
    /// and stays.
    pub(super) fn restart(&mut self, place: usize) {
        self.settled = true;
        self.tracks[place] = Track {
            relation: self.tracks[place].relation,
            ..Track::default()
        };
        for track in &mut self.tracks {
            track.relation.references = Default::default();
        }
    }

    /// The server told that line time `line` of a track is its own time `server`.
    pub(super) fn refer(&mut self, place: usize, reference: Reference, line: i64, server: i64) {
        let ahead = Some(server.saturating_sub(line));
        if place == self.leader {
            for track in &mut self.tracks {
                track.relation.references[reference as usize].0 = ahead;
            }
        } else {
            self.tracks[place].relation.references[reference as usize].1 = ahead;
        }
        self.weigh_references();
    }

    /// Takes note of a unit that arrived.
    pub(super) fn observe(&mut self, place: usize, seen: Observation) {
        let track = &mut self.tracks[place];
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
        self.settled |= self.is_alone() || self.has_waited() || (in_order && self.is_told());
        self.settled
    }

    /// Presentation and decoding time, in worker time, of a unit that was observed. `passed` is the time since the
    /// track's unit before.
    pub(super) fn stamp(&mut self, place: usize, pts: i64, dts: i64, passed: i64) -> (i64, i64) {
        let latest = self.latest();
        let target = self.tracks[place].target(latest).unwrap_or(0);
        let offset = *self.tracks[place].offset.get_or_insert(target);
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
        self.tracks[place].offset = Some(offset);
        (pts + offset, dts + offset)
    }

    fn is_alone(&self) -> bool {
        self.tracks.len() == 1
    }

    /// The tracks beside the leader, by their places.
    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let leader = self.leader;
        (0..self.tracks.len()).filter(move |place| *place != leader)
    }

    /// How much later than the leader the track comes that is the latest of the same moment.
    fn latest(&self) -> i64 {
        let lags = self.tracks.iter().map(|track| -track.relation.lag);
        lags.max().unwrap_or(0)
    }

    fn set_pace(&mut self) {
        let latest = self.latest();
        let errors = self.tracks.iter();
        let errors = errors.filter_map(|track| Some(track.target(latest)? - track.offset?));
        let (least, most) = errors.fold((i64::MAX, i64::MIN), |(least, most), error| {
            (least.min(error), most.max(error))
        });
        if most < least {
            return;
        }
        let apart = most.saturating_sub(least);
        let largest = most.saturating_abs().max(least.saturating_abs());
        // Nothing is out of step with a track that has no other.
        if apart > APART || (largest > ASTRAY && !self.is_alone()) {
            self.in_a_hurry = true;
        } else if largest < RIGHT {
            self.in_a_hurry = false;
        }
    }

    fn has_waited(&self) -> bool {
        let now = self.now();
        let all = self.tracks.iter().map(|track| track.since);
        let since_all = all.reduce(|one, other| Some(one?.max(other?))).flatten();
        since_all.is_some_and(|since| now - since >= SETTLING)
            || self
                .first_arrival
                .is_some_and(|first| now - first >= LONELY)
    }

    /// Whether `RTP-Info` tells the relations of all tracks; takes them then.
    fn is_told(&mut self) -> bool {
        let lag = |place: usize| {
            let told = self.tracks[place].relation.told(Reference::Play)?;
            let lag = self.by_arrival(place)?.saturating_sub(told);
            (lag.saturating_abs() <= SAME_AT_FIRST).then_some(lag)
        };
        let lags: Option<Vec<_>> = self.others().map(lag).collect();
        let Some(lags) = lags else {
            return false;
        };
        for (place, lag) in self.others().zip(lags) {
            self.tracks[place].relation.lag = lag;
        }
        true
    }

    fn weigh_references(&mut self) {
        for place in self.others() {
            self.weigh_references_of(place);
        }
    }

    /// Finds a track's lag anew once there is a reference for it and the leader. The next reports have to confirm a
    /// sender report.
    fn weigh_references_of(&mut self, place: usize) {
        let now = self.now();
        let both = self.tracks[self.leader].since.zip(self.tracks[place].since);
        if both.is_none_or(|(leader, track)| now - leader.max(track) < MATURITY) {
            return;
        }
        for reference in [Reference::Wall, Reference::Play] {
            let relation = self.tracks[place].relation;
            let Some((told, by_arrival)) = relation.told(reference).zip(self.by_arrival(place))
            else {
                continue;
            };
            let lag = by_arrival.saturating_sub(told);
            let is_explained = self.is_explained(place, lag);
            let relation = &mut self.tracks[place].relation;
            relation.references[reference as usize] = (None, None);
            let confirmed = match relation.reported {
                Some((reported, times))
                    if reported.saturating_sub(lag).saturating_abs() <= AGREEMENT =>
                {
                    times + 1
                }
                _ => 0,
            };
            relation.reported = Some((lag, confirmed));
            let is_believed = confirmed >= CONFIRMATIONS || reference == Reference::Play;
            if is_believed && lag.saturating_abs() < IMPLAUSIBLE {
                relation.lag = if is_explained { 0 } else { lag };
            }
        }
    }

    /// Whether arrivals alone make a server report this lag of the leader behind a track, be it one that puts decoding
    /// times to them or one that puts RTP times to them.
    fn is_explained(&self, place: usize, lag: i64) -> bool {
        let stamp = |track: &Track| Some(track.quickest_stamp?.delay() - track.quickest?.delay());
        let by_stamp = stamp(&self.tracks[self.leader]).zip(stamp(&self.tracks[place]));
        let by_stamp = by_stamp.map_or(0, |(leader, track)| track - leader);
        let slack = SAME + by_stamp.abs() / 4;
        (by_stamp.min(0) - slack..=by_stamp.max(0) + slack).contains(&lag)
    }

    /// How far the leader's offset is from a track's, by the arrivals.
    fn by_arrival(&self, place: usize) -> Option<i64> {
        let (leader, track) = (&self.tracks[self.leader], &self.tracks[place]);
        Some(leader.quickest?.delay() - track.quickest?.delay())
    }

    fn now(&self) -> i64 {
        let arrivals = self.tracks.iter().map(|track| track.latest_arrival);
        arrivals.max().unwrap_or(0)
    }
}

impl Track {
    /// Where the offset should be: what comes earlier waits for the `latest` track.
    fn target(&self, latest: i64) -> Option<i64> {
        Some(self.quickest?.delay() + self.relation.lag + latest)
    }
}

impl Relation {
    /// How far the leader's offset is from the track's, by what the server told.
    fn told(&self, reference: Reference) -> Option<i64> {
        let (leader, track) = self.references[reference as usize];
        Some(leader?.saturating_sub(track?))
    }
}
