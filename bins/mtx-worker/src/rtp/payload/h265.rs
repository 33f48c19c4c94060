//! H.265 in RTP (RFC 7798).

use super::nal::{Assembly, Grammar, NalCodec};
use crate::codec::h265::{self, ParameterSets};
use crate::media::{Description, VideoCodec, VideoTrack};

const AGGREGATION: u8 = 48;
const FRAGMENT: u8 = 49;

const HEADER: usize = 2;

/// Reads single NAL units, aggregation packets and fragments, without decoding order numbers.
pub(crate) struct H265;

impl NalCodec for H265 {
    type Sets = ParameterSets;

    const GRAMMAR: Grammar = Grammar {
        is_slice: h265::is_slice,
        is_first_slice: h265::is_first_slice,
        is_parameter_set: h265::is_parameter_set,
        is_padding: h265::is_padding,
        entry_point: h265::entry_point,
    };

    fn read(payload: &[u8], assembly: &mut Assembly) {
        match h265::kind(payload) {
            None => {}
            Some(AGGREGATION) => assembly.aggregate(&payload[HEADER..]),
            Some(FRAGMENT) => assembly.fragmentation_unit(&payload[HEADER..], |header| {
                let kind = header & 0x3f;
                [payload[0] & 0x81 | kind << 1, payload[1]]
            }),
            Some(0..AGGREGATION) => assembly.nal(payload),
            Some(_) => assembly.damage(),
        }
    }

    fn describe(sets: &ParameterSets) -> Option<Description> {
        let format = sets.format()?;
        Some(Description::Video(VideoTrack {
            codec: VideoCodec::H265(sets.clone()),
            width: format.width,
            height: format.height,
            reorder: Some(format.reorder),
            frame_duration: format.frame_duration,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Depacketizer;
    use super::super::nal::{END, NalUnits, START};
    use super::super::testing::{Payloads, feed};
    use super::*;
    use crate::codec::h265::tests::{A_PPS, A_VPS, X265_B_FRAMES};
    use crate::codec::nal::nal_units;
    use proptest::prelude::*;

    const IDR: u8 = 19;
    const TRAIL: u8 = 1;

    fn pack(units: &[Vec<Vec<u8>>], size: usize) -> Payloads {
        let mut payloads = Payloads::new();
        for (number, unit) in units.iter().enumerate() {
            let timestamp = number as u32 * 3_600;
            let sets: Vec<_> = unit
                .iter()
                .filter(|nal| h265::is_parameter_set(nal))
                .collect();
            if !sets.is_empty() {
                let lengths = sets
                    .iter()
                    .map(|nal| [&(nal.len() as u16).to_be_bytes()[..], nal].concat());
                payloads.push((
                    [vec![AGGREGATION << 1, 1], lengths.flatten().collect()].concat(),
                    false,
                    timestamp,
                ));
            }
            for nal in unit.iter().filter(|nal| !h265::is_parameter_set(nal)) {
                if nal.len() <= size {
                    payloads.push((nal.clone(), false, timestamp));
                    continue;
                }
                let pieces: Vec<_> = nal[HEADER..].chunks(size).collect();
                for (index, piece) in pieces.iter().enumerate() {
                    let start = if index == 0 { START } else { 0 };
                    let end = if index + 1 == pieces.len() { END } else { 0 };
                    let header = [FRAGMENT << 1, 1, start | end | nal[0] >> 1];
                    payloads.push(([&header[..], piece].concat(), false, timestamp));
                }
            }
            if let Some(last) = payloads.last_mut() {
                last.1 = true;
            }
        }
        payloads
    }

    fn access_units() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let unit = (any::<bool>(), prop::collection::vec(1usize..5_000, 1..4));
        let unit = unit.prop_map(|(key, slices)| {
            let kind = if key { IDR } else { TRAIL };
            let slices = slices.iter().enumerate().map(|(number, &length)| {
                let first = if number == 0 { 0x80 } else { 0 };
                [vec![kind << 1, 1, first], vec![7; length]].concat()
            });
            let sets = key.then(|| [A_VPS, X265_B_FRAMES, A_PPS].map(<[u8]>::to_vec));
            sets.into_iter().flatten().chain(slices).collect::<Vec<_>>()
        });
        prop::collection::vec(unit, 1..12)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(units in access_units(), size in 100usize..1_500) {
            let mut h265 = NalUnits::<H265>::new(ParameterSets::default());
            let (frames, damaged) = feed(&mut h265, &pack(&units, size), &[]);
            prop_assert_eq!((frames.len(), damaged), (units.len(), 0));
            for (frame, unit) in frames.iter().zip(&units) {
                let sent: Vec<_> = unit.iter().filter(|nal| h265::is_slice(nal)).collect();
                prop_assert_eq!(nal_units(&frame.data).collect::<Vec<_>>(), sent);
                prop_assert_eq!(frame.entry.is_key(), h265::is_parameter_set(&unit[0]));
            }
            let has_sets = units.iter().flatten().any(|nal| h265::is_parameter_set(nal));
            prop_assert_eq!(h265.describe().is_some(), has_sets);
        }

        #[test]
        fn what_is_not_whole_is_not_passed_on(units in access_units(), size in 100usize..1_500, lost in prop::collection::vec(0usize..200, 0..6)) {
            let (frames, damaged) = feed(&mut NalUnits::<H265>::new(ParameterSets::default()), &pack(&units, size), &lost);
            for frame in &frames {
                let slices = units[(frame.timestamp / 3_600) as usize].iter().filter(|nal| h265::is_slice(nal));
                prop_assert_eq!(nal_units(&frame.data).collect::<Vec<_>>(), slices.collect::<Vec<_>>());
            }
            prop_assert!(frames.len() as u64 + damaged <= units.len() as u64);
        }

        #[test]
        fn any_packets_are_taken(payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0u32..3), 0..40), lost in prop::collection::vec(0usize..40, 0..3)) {
            let mut h265 = NalUnits::<H265>::new(ParameterSets::default());
            feed(&mut h265, &payloads, &lost);
            h265.describe();
        }
    }
}
