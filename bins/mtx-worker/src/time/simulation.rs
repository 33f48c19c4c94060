//! The whole of time over simulated sources: what holds whatever a source and its network do.

use std::time::Duration;

use proptest::prelude::*;

use super::{Arrival, MILLISECOND, Reference, RtpTimeline, SECOND, Splice, Timed};
use crate::media::{Medium, TrackId};

/// The places of the tracks: a video, and two of audio, for example in two languages.
const VIDEO: usize = 0;
const AUDIO: usize = 1;
const SECOND_AUDIO: usize = 2;
const TRACKS: [TrackId; 3] = [
    TrackId::first(Medium::Video),
    TrackId::first(Medium::Audio),
    TrackId {
        medium: Medium::Audio,
        index: 1,
    },
];
const CLOCKS: [u32; 3] = [90_000, 48_000, 44_100];

/// What tracks may be apart, once settled.
const APART: i64 = 20 * MILLISECOND;

/// For how long after the start of both tracks, or after a break, they may be further apart. A lag of the video that
/// sender reports tell of takes two of them, and its twentyfold to be slewed in.
const SETTLING: i64 = 4 * SECOND;

const REPORTS_EVERY: i64 = 5 * SECOND;

/// Frames in decoding order, each by its place in presentation order within its group, which are repeated.
const PATTERNS: [(&[i64], i64); 3] = [(&[0], 0), (&[2, 0, 1], 1), (&[3, 1, 0, 2], 2)];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reports {
    None,
    /// By the clock of the source. It may know that video lags behind by so much.
    Right {
        video_lag: i64,
        in_rtp_info: bool,
    },
    /// By arrival at a server in between, as MediaMTX does.
    OfArrivals,
    /// By no clock at all.
    Wrong,
}

#[derive(Clone, Copy, Debug)]
struct Audio {
    frame: i64,
    /// Frames in a packet, which leaves when the next does not fit.
    in_packet: i64,
    late: i64,
}

#[derive(Clone, Debug)]
struct Source {
    pattern: usize,
    tells_depth: bool,
    frame: i64,
    audios: [Audio; 2],
    first_rtp: [u32; 3],
    ppm: [i64; 3],
    jitter: i64,
    lost_percent: u64,
    reports: Reports,
    /// Moments at which time stamps jump, and how far.
    jumps: Vec<(i64, i64)>,
    length: i64,
    seed: u64,
}

/// A unit in the truth of the source, in the order of sending.
#[derive(Clone, Copy, Debug)]
struct Unit {
    track: usize,
    sent: i64,
    /// By the clock of the source, whatever its time stamps say.
    shown: i64,
    rtp: u32,
    key: bool,
    in_packet: i64,
}

/// A pseudo-random number below `below` (splitmix64).
fn random(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % below.max(1)
}

impl Source {
    /// The RTP time of a moment, on the line that units sent at `sent` are on.
    fn rtp(&self, track: usize, moment: i64, sent: i64) -> u32 {
        let jumped: i64 = (self.jumps.iter().filter(|(at, _)| *at <= sent))
            .map(|(_, by)| by)
            .sum();
        let clock = CLOCKS[track];
        let drifted = i128::from(moment + jumped) * i128::from(1_000_000 + self.ppm[track]);
        let ticks = drifted * i128::from(clock) / (1_000_000 * i128::from(SECOND));
        self.first_rtp[track].wrapping_add(ticks as u32)
    }

    fn video(&self, number: i64) -> Unit {
        let (pattern, depth) = PATTERNS[self.pattern];
        let length = pattern.len() as i64;
        // A key frame, then group after group.
        let (group, place) = ((number - 1) / length, (number - 1) % length);
        let in_group = 1 + group * length + pattern[place as usize % pattern.len()];
        let shown = if number == 0 { 0 } else { in_group } * self.frame;
        let sent = (number - depth) * self.frame;
        let rtp = self.rtp(VIDEO, shown, sent);
        Unit {
            track: VIDEO,
            sent,
            shown,
            rtp,
            key: number == 0,
            in_packet: 0,
        }
    }

    fn audio(&self, track: usize, number: i64) -> Unit {
        let audio = self.audios[track - AUDIO];
        let shown = audio.late + number * audio.frame;
        let in_packet = number % audio.in_packet;
        let full = audio.in_packet - in_packet;
        let waits = if audio.in_packet == 1 { 0 } else { full };
        let sent = shown + waits * audio.frame;
        // A packet has one time stamp; the others follow from it.
        let first_sent = shown - in_packet * audio.frame;
        let rtp = self.rtp(track, shown, first_sent);
        Unit {
            track,
            sent,
            shown,
            rtp,
            key: true,
            in_packet,
        }
    }

    fn unit(&self, track: usize, number: i64) -> Unit {
        match track {
            VIDEO => self.video(number),
            _ => self.audio(track, number),
        }
    }

    fn video_lag(&self) -> i64 {
        match self.reports {
            Reports::Right { video_lag, .. } => video_lag,
            _ => 0,
        }
    }

    /// From when on the tracks have to be together, by the truth of the source; and again after each jump.
    fn settled_from(&self) -> i64 {
        let late = self.audios.map(|audio| audio.late);
        let start = late[0].max(late[1]) + SETTLING;
        match self.reports {
            // A break may cost a report.
            Reports::Right { video_lag, .. } => {
                let reports = 3 + self.jumps.len() as i64;
                start + reports * REPORTS_EVERY + 20 * video_lag.abs()
            }
            _ => start,
        }
    }

    /// What an audio track and the video may be apart, once settled. A lag that arrivals alone explain, at a server that puts RTP times to
    /// them, can't be told from such a server's error.
    fn apart(&self, track: usize) -> i64 {
        let lag = self.video_lag();
        let audio = self.audios[track - AUDIO];
        let composition = [0, 3, 5][self.pattern] * self.frame;
        let packet = if audio.in_packet == 1 {
            0
        } else {
            audio.in_packet
        };
        let explained = composition + packet * audio.frame;
        let slack = explained / 4 + APART;
        let is_hidden = explained > 0 && (-slack..=explained + slack).contains(&lag);
        if is_hidden { APART + lag.abs() } else { APART }
    }

    fn is_settled(&self, moment: i64) -> bool {
        let calm = |(at, _): &(i64, i64)| !(*at - SECOND..at + SETTLING).contains(&moment);
        moment > self.settled_from() && self.jumps.iter().all(calm)
    }
}

/// What came out of a simulation.
#[derive(Debug, Default)]
struct Outcome {
    discontinuities: usize,
    units: usize,
    sent: usize,
}

struct Simulation<'a> {
    source: &'a Source,
    timeline: RtpTimeline<(Unit, i64)>,
    splice: Splice,
    seed: u64,
    last_ms: [Option<i64>; 3],
    /// Stamp minus truth, of the latest unit.
    errors: [Option<i64>; 3],
    /// Smallest arrival minus RTP time at the server in between.
    relay: [i64; 3],
    next_report: i64,
    outcome: Outcome,
}

impl<'a> Simulation<'a> {
    fn run(source: &'a Source) -> Outcome {
        let mut timeline = RtpTimeline::new(TRACKS.into_iter().zip(CLOCKS));
        let depth = PATTERNS[source.pattern].1 as usize;
        let frame = Duration::from_nanos(source.frame as u64);
        timeline.describe_video(
            TRACKS[VIDEO],
            source.tells_depth.then_some(depth),
            Some(frame),
        );
        let mut simulation = Self {
            source,
            timeline,
            splice: Splice::default(),
            seed: source.seed,
            last_ms: [None; 3],
            errors: [None; 3],
            relay: [i64::MAX; 3],
            next_report: SECOND,
            outcome: Outcome::default(),
        };
        simulation.splice.start();
        simulation.play();
        simulation.outcome
    }

    fn play(&mut self) {
        let (mut numbers, mut arrival) = ([0; 3], 0);
        let lag = self.source.video_lag();
        loop {
            let next = [VIDEO, AUDIO, SECOND_AUDIO].map(|track| {
                let unit = self.source.unit(track, numbers[track]);
                let waits = if track == VIDEO { lag } else { -lag };
                (unit.sent + waits.max(0), unit)
            });
            let Some((at, unit)) = next.into_iter().min_by_key(|(at, _)| *at) else {
                return;
            };
            if at > self.source.length {
                return;
            }
            // One connection: nothing overtakes anything.
            if unit.in_packet == 0 {
                let jitter = random(&mut self.seed, self.source.jitter as u64 + 1) as i64;
                arrival = arrival.max(10 * SECOND + at + jitter);
            }
            self.arrive(unit, arrival);
            numbers[unit.track] += 1;
            if at > self.next_report {
                self.next_report += REPORTS_EVERY;
                for track in [VIDEO, AUDIO, SECOND_AUDIO] {
                    self.report(track, at);
                }
            }
        }
    }

    fn arrive(&mut self, unit: Unit, at: i64) {
        let is_first =
            unit.shown == 0 || (unit.track != VIDEO && self.errors[unit.track].is_none());
        if !is_first && random(&mut self.seed, 100) < self.source.lost_percent {
            return;
        }
        if unit.in_packet == 0 {
            let relay = &mut self.relay[unit.track];
            *relay = (*relay).min(at - unit.shown);
        }
        let behind = |audio: Audio| (unit.in_packet > 0).then_some(audio.frame);
        let behind_another = match unit.track {
            VIDEO => None,
            track => behind(self.source.audios[track - AUDIO]),
        };
        let placed = self.timeline.place(Arrival {
            track: TRACKS[unit.track],
            rtp: unit.rtp,
            at,
            key: unit.key,
            behind_another,
        });
        let placed = placed.unwrap();
        if is_first
            && matches!(
                self.source.reports,
                Reports::Right {
                    in_rtp_info: true,
                    ..
                }
            )
        {
            self.timeline
                .refer(TRACKS[unit.track], Reference::Play, unit.rtp, unit.shown);
        }
        self.timeline.push(placed, (unit, at));
        self.outcome.sent += 1;
        while let Some(timed) = self.timeline.pop() {
            match timed {
                Timed::Discontinuity(_) => {
                    self.outcome.discontinuities += 1;
                    self.splice.start();
                }
                Timed::Unit {
                    payload: (unit, at),
                    pts,
                    dts,
                } => {
                    let (pts, dts) = self.splice.place(TRACKS[unit.track], pts, dts);
                    self.check(unit, at, pts, dts);
                }
            }
        }
    }

    fn report(&mut self, track: usize, now: i64) {
        let right = now;
        let wall = match self.source.reports {
            Reports::None => return,
            Reports::Right { .. } => right,
            Reports::OfArrivals => right.saturating_add(self.relay[track]),
            Reports::Wrong => random(&mut self.seed, 4 * SECOND as u64) as i64,
        };
        let rtp = self.source.rtp(track, now, now);
        self.timeline
            .refer(TRACKS[track], Reference::Wall, rtp, wall);
    }

    fn check(&mut self, unit: Unit, arrival: i64, pts: i64, dts: i64) {
        let source = self.source;
        self.outcome.units += 1;
        let track = unit.track;
        let milliseconds = (dts + MILLISECOND / 2).div_euclid(MILLISECOND);
        let last = self.last_ms[track].replace(milliseconds);
        assert!(
            last.is_none_or(|last| milliseconds > last),
            "{unit:?}: {last:?} {milliseconds}"
        );
        assert!(pts >= dts, "{unit:?}: shown before it is decoded");
        let composition = 8 * source.frame + 100 * MILLISECOND;
        assert!(
            pts - dts <= composition,
            "{unit:?}: composition time {}",
            pts - dts
        );
        let packets = source.audios.map(|audio| audio.in_packet * audio.frame);
        let away = SECOND + source.video_lag().abs() + packets[0].max(packets[1]);
        assert!(
            (dts - arrival).abs() <= away,
            "{unit:?}: {} from its arrival",
            dts - arrival
        );
        self.errors[track] = Some(pts - unit.shown);
        let [video, first, second] = self.errors;
        if !source.is_settled(unit.sent) {
            return;
        }
        for (track, audio) in [(AUDIO, first), (SECOND_AUDIO, second)] {
            let (Some(video), Some(audio)) = (video, audio) else {
                continue;
            };
            assert!(
                (video - audio).abs() <= source.apart(track),
                "{unit:?}: {} ns apart from audio track {track}",
                video - audio
            );
        }
    }
}

fn reports() -> impl Strategy<Value = Reports> {
    let lag = (-100..400i64).prop_map(|lag| lag * MILLISECOND);
    prop_oneof![
        Just(Reports::None),
        Just(Reports::OfArrivals),
        Just(Reports::Wrong),
        (lag, any::<bool>()).prop_map(|(video_lag, in_rtp_info)| Reports::Right {
            video_lag,
            in_rtp_info
        }),
    ]
}

fn jumps() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let size = (1_300..4_000_000i64, any::<bool>());
    let jump = size.prop_map(|(by, back)| if back { -by } else { by } * MILLISECOND);
    let jumps = prop::collection::vec((6_000..20_000i64, jump), 0..4);
    jumps.prop_map(|jumps| {
        let spaced = jumps.into_iter().scan(0, |at, (after, by)| {
            *at += after * MILLISECOND;
            Some((*at, by))
        });
        spaced.collect()
    })
}

fn sources() -> impl Strategy<Value = Source> {
    let shape = (
        0..PATTERNS.len(),
        any::<bool>(),
        prop_oneof![Just(15), Just(25), Just(50)],
    );
    let audio = || (prop_oneof![Just(1), Just(5)], 0..2_000i64);
    let drift = || -200..=200i64;
    let clocks = (any::<[u32; 3]>(), [drift(), drift(), drift()]);
    let network = (0..30i64, 0..3u64, any::<u64>());
    let of_track = |place: usize, (in_packet, late): (i64, i64)| Audio {
        frame: 1_024 * SECOND / i64::from(CLOCKS[place]),
        in_packet,
        late: late * MILLISECOND,
    };
    let audios = (audio(), audio());
    (shape, audios, clocks, network, reports(), jumps()).prop_map(
        move |(shape, audios, clocks, network, reports, jumps)| Source {
            pattern: shape.0,
            tells_depth: shape.1,
            frame: SECOND / shape.2,
            audios: [of_track(AUDIO, audios.0), of_track(SECOND_AUDIO, audios.1)],
            first_rtp: clocks.0,
            ppm: clocks.1,
            jitter: network.0 * MILLISECOND,
            lost_percent: network.1,
            reports,
            jumps,
            length: 60 * SECOND,
            seed: network.2,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_a_source_does_its_tracks_stay_together_and_time_rises(source in sources()) {
        let outcome = Simulation::run(&source);
        prop_assert_eq!(outcome.units, outcome.sent, "units are lost");
        prop_assert_eq!(outcome.discontinuities, source.jumps.len());
    }
}

/// Few units a second, so that two days pass in seconds.
#[test]
fn clocks_may_drift_apart_for_two_days() {
    let audio = |frame| Audio {
        frame,
        in_packet: 1,
        late: 0,
    };
    for ppm in [[200, -200, 200], [-200, 200, -100]] {
        let source = Source {
            pattern: 1,
            tells_depth: true,
            frame: SECOND / 4,
            audios: [audio(SECOND / 5), audio(SECOND / 4)],
            first_rtp: [u32::MAX - 10_000_000, 77, 1 << 31],
            ppm,
            jitter: 5 * MILLISECOND,
            lost_percent: 1,
            reports: Reports::None,
            jumps: vec![],
            length: 48 * 3_600 * SECOND,
            seed: 1,
        };
        let outcome = Simulation::run(&source);
        assert_eq!((outcome.units, outcome.discontinuities), (outcome.sent, 0));
    }
}
