//! One clock for the tracks of a source.
//!
//! RTP gives every track a clock of its own, with a random start. This maps them onto the worker's
//! clock, which never restarts, so that time goes on over a reconnection:
//!
//! - A track is anchored where its first unit arrives, by its *decoding* time, since servers send in
//!   decoding order. From then on its own clock counts.
//! - The relation of the tracks is what the server says (`RTP-Info` or RTCP sender reports), once it
//!   says something; until then, the quickest arrivals of the first second.
//! - A server that stamps units with the time they arrive at (MediaMTX does so unless
//!   `useAbsoluteTimestamp` is set) puts the presentation time where the decoding time belongs, so its
//!   video seems early by the deepest reordering. Such a server is told by its arrivals.

use crate::media::Medium;

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLISECOND;

/// What the tracks may be apart before a running output is corrected, and by how much a unit then moves:
/// a step would be a hole.
const TOLERANCE: i64 = 20 * MILLISECOND;
const SLEW: i64 = MILLISECOND;

/// A server that puts the tracks further apart than they arrive is not believed.
const IMPLAUSIBLE: i64 = 2 * SECOND;

/// For how long the tracks are watched, from the start of both, before units are stamped; and when
/// the relation is looked at again. Publishers send in turns of a frame or two, so the first arrivals
/// alone are off by as much.
const SETTLING: i64 = 250 * MILLISECOND;
const SECOND_LOOK: i64 = SECOND;

/// A second track that has not come by then is not waited for any longer.
const LONELY: i64 = SECOND;

/// A unit this far ahead of, or behind its arrival belongs to another time line: the source's publisher
/// was replaced. Behind is wider, since a stalled connection delivers late what it held back.
const MAX_AHEAD: i64 = 3 * SECOND;
const MAX_BEHIND: i64 = 10 * SECOND;

/// Backward steps below this are jitter of the sender's clock and are flattened.
const MAX_BACKWARD: i64 = SECOND / 2;

/// What a server relates a track's RTP time to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The start of playing, by the `RTP-Info` header (RFC 2326, section 12.33).
    Play = 0,
    /// Wall clock, by RTCP sender reports (RFC 3550, section 6.4.1); goes before the other.
    Wall = 1,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// Worker time minus RTP time, once a unit has come.
    offset: Option<i64>,
    /// Server time minus RTP time, by what told it.
    server: [Option<i64>; 2],
    /// Smallest delay of an arrival since the anchor, at most 0.
    quickest: i64,
    /// Largest distance of presentation and decoding.
    reorder: i64,
    last_dts: Option<i64>,
    /// A correction that units still have to take over.
    pending: i64,
}

impl Track {
    fn move_forward(&mut self, by: i64) {
        self.offset = self.offset.map(|offset| offset + by);
        self.quickest -= by;
    }
}

/// Maps RTP times, in nanoseconds, onto the worker's clock.
#[derive(Debug, Default)]
pub(crate) struct SourceClock {
    video: Track,
    audio: Track,
    /// Whether units are stamped, rather than held.
    settled: bool,
    looked_again: bool,
    first_since: Option<i64>,
    both_since: Option<i64>,
}

impl SourceClock {
    /// The clock of the next session with the source: anchors anew, but never goes back.
    pub(crate) fn restart(&mut self) {
        let kept = |track: &Track| Track {
            last_dts: track.last_dts,
            ..Track::default()
        };
        *self = Self {
            video: kept(&self.video),
            audio: kept(&self.audio),
            ..Self::default()
        };
    }

    /// The server told that RTP time `rtp` of a track is its own time `server`.
    pub(crate) fn server_time(
        &mut self,
        medium: Medium,
        reference: Reference,
        rtp: i64,
        server: i64,
    ) {
        self.track(medium).server[reference as usize] = Some(server - rtp);
        if self.looked_again {
            self.align();
        }
    }

    /// Takes note of a unit that arrived. Returns false if it belongs to another time line than those
    /// before it.
    pub(crate) fn observe(&mut self, medium: Medium, pts: i64, dts: i64, arrival: i64) -> bool {
        let continues = !self.jumps(medium, dts, arrival);
        if !continues {
            self.restart();
        }
        let track = self.track(medium);
        let offset = *track
            .offset
            .get_or_insert_with(|| anchor(dts, arrival, track.last_dts));
        track.quickest = track.quickest.min(arrival - (dts + offset));
        track.reorder = track.reorder.max(pts - dts);
        self.settle(arrival);
        continues
    }

    /// Whether the tracks' relation is known well enough to stamp units. `alone` is a source of one
    /// track. `in_order` is one without reordering: presentation and decoding times are one there, so a
    /// server that tells the relation leaves nothing to find out.
    pub(crate) fn is_settled(&mut self, alone: bool, in_order: bool) -> bool {
        let told = in_order && self.both_since.is_some() && self.by_server().is_some();
        if !self.settled && (alone || told) {
            self.align();
            self.settled = true;
        }
        self.settled
    }

    /// Presentation and decoding time of a unit that was observed.
    pub(crate) fn stamp(&mut self, medium: Medium, pts: i64, dts: i64) -> (i64, i64) {
        let track = self.track(medium);
        let step = track.pending.min(SLEW);
        track.pending -= step;
        track.move_forward(step);
        let offset = track.offset.unwrap_or(0);
        let stamped = track
            .last_dts
            .map_or(dts + offset, |last| (dts + offset).max(last + 1));
        track.last_dts = Some(stamped);
        ((pts + offset).max(stamped), stamped)
    }

    fn track(&mut self, medium: Medium) -> &mut Track {
        match medium {
            Medium::Video => &mut self.video,
            Medium::Audio => &mut self.audio,
        }
    }

    fn jumps(&mut self, medium: Medium, dts: i64, arrival: i64) -> bool {
        let track = self.track(medium);
        let Some(offset) = track.offset else {
            return false;
        };
        let stamp = dts + offset;
        let runs_back = track
            .last_dts
            .is_some_and(|last| last - stamp > MAX_BACKWARD);
        runs_back || !(-MAX_AHEAD..=MAX_BEHIND).contains(&(arrival - stamp))
    }

    fn settle(&mut self, now: i64) {
        let first = *self.first_since.get_or_insert(now);
        if self.video.offset.is_none() || self.audio.offset.is_none() {
            self.settled |= now - first >= LONELY;
            return;
        }
        let both = now - *self.both_since.get_or_insert(now);
        if !self.settled && both >= SETTLING {
            self.align();
            self.settled = true;
        }
        if !self.looked_again && both >= SECOND_LOOK {
            self.looked_again = true;
            self.align();
        }
    }

    /// Moves one track forward, so that both stand to each other as they should: at once before the
    /// first unit is stamped, gently afterwards.
    fn align(&mut self) {
        let (Some(video), Some(audio)) = (self.video.offset, self.audio.offset) else {
            return;
        };
        let by_arrival = (video + self.video.quickest) - (audio + self.audio.quickest);
        let distance = |relation: i64| (relation - by_arrival).abs();
        let stamped_at_presentation = self
            .by_server()
            .filter(|&relation| distance(relation) < IMPLAUSIBLE);
        let stamped_at_arrival =
            stamped_at_presentation.map(|relation| relation + self.video.reorder);
        let told = [stamped_at_presentation, stamped_at_arrival]
            .into_iter()
            .flatten();
        let wanted = told
            .min_by_key(|&relation| distance(relation))
            .unwrap_or(by_arrival);
        let error = wanted - (video - audio);
        let late = if error > 0 {
            &mut self.video
        } else {
            &mut self.audio
        };
        if !self.settled {
            late.move_forward(error.abs());
        } else if error.abs() > TOLERANCE {
            late.pending = error.abs();
        }
    }

    /// How far the video's offset is from the audio's, if the server is right.
    fn by_server(&self) -> Option<i64> {
        [Reference::Wall, Reference::Play]
            .into_iter()
            .find_map(|reference| {
                Some(
                    self.video.server[reference as usize]? - self.audio.server[reference as usize]?,
                )
            })
    }
}

/// Where a track starts: at its arrival, but behind what the session before has sent.
fn anchor(dts: i64, arrival: i64, last: Option<i64>) -> i64 {
    last.map_or(arrival, |last| arrival.max(last + MILLISECOND)) - dts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn play(
        clock: &mut SourceClock,
        medium: Medium,
        pts: i64,
        dts: i64,
        arrival: i64,
    ) -> (i64, i64) {
        clock.observe(medium, pts, dts, arrival);
        clock.stamp(medium, pts, dts)
    }

    const FRAME: i64 = 40 * MILLISECOND;
    const AUDIO_FRAME: i64 = 20 * MILLISECOND;

    /// Plays a source with two B-frames in a row for two seconds; returns how far video is stamped
    /// from where audio of the same moment is, at the end.
    fn misalignment(video_late: i64, server: Option<(i64, i64)>) -> i64 {
        let mut clock = SourceClock::default();
        let (video_rtp, audio_rtp) = (7_000 * SECOND, 3 * SECOND);
        if let Some((video, audio)) = server {
            clock.server_time(Medium::Video, Reference::Play, video_rtp, video);
            clock.server_time(Medium::Audio, Reference::Play, audio_rtp, audio);
        }
        let (mut video, mut audio) = (0, 0);
        for tick in 0..200 {
            let moment = tick * 10 * MILLISECOND;
            if moment % FRAME == 0 {
                let pts = moment
                    + if (moment / FRAME) % 3 == 1 {
                        3 * FRAME
                    } else {
                        0
                    };
                let start_up = if moment == 0 { video_late } else { 0 };
                let (stamped, _) = play(
                    &mut clock,
                    Medium::Video,
                    video_rtp + pts,
                    video_rtp + moment,
                    moment + start_up,
                );
                video = stamped - pts;
            }
            if moment % AUDIO_FRAME == 0 {
                audio = play(
                    &mut clock,
                    Medium::Audio,
                    audio_rtp + moment,
                    audio_rtp + moment,
                    moment,
                )
                .0 - moment;
            }
        }
        video - audio
    }

    #[test]
    fn tracks_that_start_together_stay_together() {
        assert_eq!(misalignment(0, None), 0);
    }

    #[test]
    fn a_first_frame_that_came_late_is_made_good_by_quicker_ones() {
        assert!(misalignment(60 * MILLISECOND, None).abs() <= TOLERANCE);
    }

    #[test]
    fn a_server_that_stamps_at_arrival_does_not_make_video_early() {
        // MediaMTX: the most reordered frame sets the relation, so its presentation time is its arrival.
        assert!(misalignment(0, Some((-3 * FRAME, 0))).abs() <= TOLERANCE);
    }

    #[test]
    fn a_server_with_a_real_clock_is_believed() {
        let late = 300 * MILLISECOND;
        assert!((misalignment(0, Some((late, 0))) - late).abs() <= TOLERANCE);
    }

    #[test]
    fn a_sender_report_after_the_start_corrects() {
        let mut clock = SourceClock::default();
        for moment in (0..150).map(|tick| tick * AUDIO_FRAME) {
            play(&mut clock, Medium::Video, moment, moment, moment);
            play(&mut clock, Medium::Audio, moment, moment, moment);
        }
        let now = 150 * AUDIO_FRAME;
        clock.server_time(Medium::Video, Reference::Wall, now, now + 200 * MILLISECOND);
        clock.server_time(Medium::Audio, Reference::Wall, now, now);
        let mut apart = 0;
        for moment in (150..400).map(|tick| tick * AUDIO_FRAME) {
            let before = apart;
            let video = play(&mut clock, Medium::Video, moment, moment, moment).0;
            apart = video - play(&mut clock, Medium::Audio, moment, moment, moment).0;
            assert!(apart - before <= SLEW, "no step");
        }
        assert_eq!(apart, 200 * MILLISECOND);
    }

    #[test]
    fn time_goes_on_over_a_new_session_and_over_a_replaced_publisher() {
        let mut clock = SourceClock::default();
        play(&mut clock, Medium::Video, 0, 0, 5 * SECOND);
        clock.restart();
        assert_eq!(
            play(&mut clock, Medium::Video, 0, 0, 9 * SECOND).1,
            9 * SECOND
        );
        let jumped = play(
            &mut clock,
            Medium::Video,
            500 * SECOND,
            500 * SECOND,
            10 * SECOND,
        );
        assert_eq!(jumped.1, 10 * SECOND);
        let back = play(
            &mut clock,
            Medium::Video,
            2 * SECOND,
            2 * SECOND,
            11 * SECOND,
        );
        assert_eq!(back.1, 11 * SECOND);
    }

    proptest! {
        #[test]
        fn decoding_times_rise_whatever_comes(
            units in prop::collection::vec((any::<bool>(), -20i64..20, 0i64..3, 0i64..6_000), 1..200),
        ) {
            let mut clock = SourceClock::default();
            let (mut arrival, mut last) = (0, [i64::MIN; 2]);
            for (video, jump, reorder, wait) in units {
                arrival += wait * MILLISECOND;
                let medium = if video { Medium::Video } else { Medium::Audio };
                let dts = arrival + jump * SECOND;
                let (pts, stamped) = play(&mut clock, medium, dts + reorder * FRAME, dts, arrival);
                prop_assert!(stamped > last[usize::from(video)]);
                prop_assert!(pts >= stamped);
                last[usize::from(video)] = stamped;
            }
        }
    }
}
