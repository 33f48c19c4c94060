//! Comparing what went in with what came out, packet by packet.

use std::collections::HashMap;
use std::time::Duration;

use crate::packets::{Kind, Packet};

/// The times of so many packets after it joined a stream are ffprobe's guesses: an RTP packet can hold several
/// packets of sound but only one time, and there is no telling the first decode times of B-frames.
const GUESSED: usize = 12;

/// A packet that went in and the same one that came out.
#[derive(Clone, Debug)]
pub struct Pair {
    /// As read before.
    pub before: Packet,
    /// As read after.
    pub after: Packet,
}

impl Pair {
    /// By how many microseconds the presentation time differs, if both are known.
    pub fn shift(&self) -> Option<i64> {
        Some(self.after.pts? - self.before.pts?)
    }

    /// How much later it came out than went in.
    pub fn delay(&self) -> Duration {
        self.after.at.saturating_duration_since(self.before.at)
    }
}

/// The packets of one kind that were seen at both ends, in the order they came out.
pub fn pairs(kind: Kind, before: &[Packet], after: &[Packet]) -> Vec<Pair> {
    let known: HashMap<_, _> = before
        .iter()
        .filter(|packet| packet.kind == kind)
        .map(|packet| (&packet.hash, packet))
        .collect();
    let same = after.iter().filter(|packet| packet.kind == kind);
    same.filter_map(|after| {
        Some(Pair {
            before: (*known.get(&after.hash)?).clone(),
            after: after.clone(),
        })
    })
    .collect()
}

/// Asserts that from the first common packet to the last, what came out is what went in: nothing lost, added,
/// changed or moved. Returns the pairs.
///
/// # Panics
/// When something differs, or when there are fewer than `at_least` common packets.
#[track_caller]
pub fn assert_identical(
    kind: Kind,
    before: &[Packet],
    after: &[Packet],
    at_least: usize,
) -> Vec<Pair> {
    let pairs = pairs(kind, before, after);
    assert!(
        pairs.len() >= at_least,
        "only {} of {at_least} {kind:?} packets are the same",
        pairs.len()
    );
    let hashes = |packets: &[Packet]| -> Vec<String> {
        packets
            .iter()
            .filter(|packet| packet.kind == kind)
            .map(|packet| packet.hash.clone())
            .collect()
    };
    let (first, last) = (&pairs[0].before.hash, &pairs[pairs.len() - 1].before.hash);
    let stretch = |hashes: Vec<String>| -> Vec<String> {
        let begin = hashes
            .iter()
            .position(|hash| hash == first)
            .expect("it is there");
        let end = hashes
            .iter()
            .position(|hash| hash == last)
            .expect("it is there");
        hashes[begin..=end].to_vec()
    };
    assert_eq!(
        stretch(hashes(before)),
        stretch(hashes(after)),
        "{kind:?} packets differ"
    );
    pairs
}

/// Asserts that the time stamps of one kind were all shifted by the same amount, give or take `tolerance`
/// microseconds, and returns that amount (the median).
///
/// # Panics
/// When one of them strays.
#[track_caller]
pub fn assert_constant_shift(pairs: &[Pair], tolerance: i64) -> i64 {
    let pairs = &pairs[GUESSED.min(pairs.len())..];
    let mut shifts: Vec<i64> = pairs.iter().filter_map(Pair::shift).collect();
    assert!(
        shifts.len() * 10 > pairs.len() * 9,
        "only {} of {} packets have times",
        shifts.len(),
        pairs.len()
    );
    shifts.sort_unstable();
    let median = shifts[shifts.len() / 2];
    for pair in pairs {
        let stray = pair.shift().map_or(0, |shift| (shift - median).abs());
        assert!(
            stray <= tolerance,
            "a time stamp strays by {stray} µs: {pair:?}; all shifts: {shifts:?}"
        );
    }
    median
}

/// Asserts that the time stamps of one kind were moved by no more than a hurried worker moves them, 5 % of the time that
/// passes, and returns where they stand at the end, in microseconds (the median of the last quarter).
///
/// # Panics
/// When one of them jumps.
#[track_caller]
pub fn assert_gentle_shift(pairs: &[Pair]) -> i64 {
    // Readers spread the time of an RTP packet over the frames of sound in it.
    const GRAIN: i64 = 12_000;
    let pairs = &pairs[GUESSED.min(pairs.len())..];
    let shifts: Vec<(i64, i64)> = pairs
        .iter()
        .filter_map(|pair| Some((pair.after.pts?, pair.shift()?)))
        .collect();
    assert!(shifts.len() >= 4, "only {} have times", shifts.len());
    for (place, (time, shift)) in shifts.iter().enumerate() {
        for (later, moved) in &shifts[place..] {
            let most = (later - time).abs() / 20 + GRAIN;
            assert!(
                (moved - shift).abs() <= most,
                "time stamps jump from {time} to {later} µs; all shifts: {shifts:?}"
            );
        }
    }
    let last = shifts.len() - shifts.len() / 4;
    let mut last: Vec<i64> = shifts[last..].iter().map(|(_, shift)| *shift).collect();
    last.sort_unstable();
    last[last.len() / 2]
}

/// Asserts that decode times rise from packet to packet and none is later than its presentation time.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn assert_decodable_order(kind: Kind, packets: &[Packet]) {
    let mut last = i64::MIN;
    for packet in packets.iter().filter(|packet| packet.kind == kind) {
        let dts = packet.dts.expect("a decode time");
        assert!(
            dts > last,
            "decode time {dts} comes after {last}: {packet:?}"
        );
        assert!(
            packet.pts.is_none_or(|pts| pts >= dts),
            "shown before it is decoded: {packet:?}"
        );
        last = dts;
    }
}

/// The greatest distance in microseconds between neighbours in presentation time.
pub fn greatest_gap(kind: Kind, packets: &[Packet]) -> i64 {
    let times = presentation_times(kind, packets);
    times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default()
}

/// Asserts that no frame (of 25 a second) and no packet of sound is missing.
///
/// # Panics
/// When there is a hole; the message says where.
#[track_caller]
pub fn assert_no_gap(kind: Kind, packets: &[Packet]) {
    let times = presentation_times(kind, packets);
    for (index, pair) in times.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        assert!(
            gap < 60_000,
            "{kind:?}: {gap} µs between {} and {} (packet {index})",
            pair[0],
            pair[1]
        );
    }
}

fn presentation_times(kind: Kind, packets: &[Packet]) -> Vec<i64> {
    let same = packets.iter().filter(|packet| packet.kind == kind);
    let mut times: Vec<i64> = same.filter_map(|packet| packet.pts).collect();
    times.sort_unstable();
    times
}

/// The value below which a share (0 to 1) of the delays lies.
///
/// # Panics
/// When there are no pairs.
pub fn delay_quantile(pairs: &[Pair], share: f64) -> Duration {
    let mut delays: Vec<Duration> = pairs.iter().map(Pair::delay).collect();
    delays.sort_unstable();
    let index = ((delays.len() - 1) as f64 * share).round();
    delays[index as usize]
}

/// Asserts that of a clip that is published again and again no frame is missing from the first to the last that was
/// seen, and returns how many those are. Key frames count by number only: servers put parameter sets before them.
///
/// # Panics
/// When frames are missing, doubled or not the clip's; `every` is the distance of its key frames.
#[track_caller]
pub fn assert_uninterrupted(clip: &[Packet], seen: &[Packet], every: usize) -> usize {
    let plain = |packets: &[Packet]| -> Vec<Packet> {
        let video = packets.iter().filter(|packet| packet.kind == Kind::Video);
        video.filter(|packet| !packet.key).cloned().collect()
    };
    let (clip, frames) = (plain(clip), plain(seen));
    let places: HashMap<_, _> = clip
        .iter()
        .enumerate()
        .map(|(at, it)| (&it.hash, at))
        .collect();
    let place = |packet: &Packet| *places.get(&packet.hash).expect("it is one of the clip's");
    for pair in frames.windows(2) {
        let (one, next) = (place(&pair[0]), place(&pair[1]));
        assert_eq!(next, (one + 1) % clip.len(), "frames are missing: {pair:?}");
    }
    let video = seen
        .iter()
        .filter(|packet| packet.kind == Kind::Video)
        .count();
    let (keys, expected) = (video - frames.len(), frames.len() / (every - 1));
    assert!(
        keys.abs_diff(expected) <= 1,
        "{keys} key frames, not {expected}"
    );
    video
}
