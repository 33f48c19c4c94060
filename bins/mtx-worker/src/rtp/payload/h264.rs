//! H.264 in RTP (RFC 6184).

use super::nal::{Assembly, Grammar, NalCodec};
use crate::codec::h264::{self, ParameterSets};
use crate::codec::nal::starts_byte_stream;
use crate::media::{Description, VideoCodec, VideoTrack};

const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const FU_A: u8 = 28;

/// Reads single NAL units, STAPs and FU-As; the interleaved packets of packetization mode 2 count as damaged.
pub(crate) struct H264;

impl NalCodec for H264 {
    type Sets = ParameterSets;

    const GRAMMAR: Grammar = Grammar {
        is_slice: h264::is_slice,
        is_first_slice: h264::is_first_slice,
        is_parameter_set: h264::is_parameter_set,
        is_padding: h264::is_padding,
        entry_point: h264::entry_point,
    };

    fn read(payload: &[u8], assembly: &mut Assembly) {
        let Some((&indicator, rest)) = payload.split_first() else {
            return;
        };
        match indicator & 0x1f {
            1..STAP_A => assembly.nal(payload),
            // Some cameras send a byte stream as it is.
            0 if starts_byte_stream(payload) => assembly.nal(payload),
            STAP_A => assembly.aggregate(rest),
            // A decoding order number stands before the first unit.
            STAP_B => assembly.aggregate(rest.get(2..).unwrap_or_default()),
            FU_A => assembly.fragmentation_unit(rest, |header| [indicator & 0xe0 | header & 0x1f]),
            _ => assembly.damage(),
        }
    }

    fn describe(sets: &ParameterSets) -> Option<Description> {
        // One that can't be read may be understood by others.
        let format = sets.format().unwrap_or_default();
        Some(Description::Video(VideoTrack {
            codec: VideoCodec::H264(sets.clone()),
            width: format.width,
            height: format.height,
            reorder: format.reorder,
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
    use crate::codec::h264::tests::{A_PPS, X264_B_FRAMES};
    use crate::codec::nal::nal_units;
    use proptest::prelude::*;

    /// Packs access units as senders do: parameter sets together, large slices in pieces of `size` bytes.
    fn pack(units: &[Vec<Vec<u8>>], size: usize) -> Payloads {
        let mut payloads = Payloads::new();
        for (number, unit) in units.iter().enumerate() {
            let timestamp = number as u32 * 3_600;
            let sets: Vec<_> = unit
                .iter()
                .filter(|nal| h264::is_parameter_set(nal))
                .collect();
            if !sets.is_empty() {
                let lengths = sets
                    .iter()
                    .map(|nal| [&(nal.len() as u16).to_be_bytes()[..], nal].concat());
                payloads.push((
                    [vec![STAP_A], lengths.flatten().collect()].concat(),
                    false,
                    timestamp,
                ));
            }
            for nal in unit.iter().filter(|nal| !h264::is_parameter_set(nal)) {
                if nal.len() <= size {
                    payloads.push((nal.clone(), false, timestamp));
                    continue;
                }
                let pieces: Vec<_> = nal[1..].chunks(size).collect();
                for (index, piece) in pieces.iter().enumerate() {
                    let start = if index == 0 { START } else { 0 };
                    let end = if index + 1 == pieces.len() { END } else { 0 };
                    let header = [nal[0] & 0xe0 | FU_A, start | end | nal[0] & 0x1f];
                    payloads.push(([&header[..], piece].concat(), false, timestamp));
                }
            }
            if let Some(last) = payloads.last_mut() {
                last.1 = true;
            }
        }
        payloads
    }

    fn depacketizer() -> NalUnits<H264> {
        NalUnits::new(ParameterSets::default())
    }

    fn slice(kind: u8, length: usize) -> Vec<u8> {
        [vec![kind, 0x88], vec![7; length]].concat()
    }

    fn access_units() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let unit = (any::<bool>(), prop::collection::vec(1usize..5_000, 1..4));
        let unit = unit.prop_map(|(key, slices)| {
            let kind = if key { 0x65 } else { 0x41 };
            let slices = slices.iter().enumerate().map(|(number, &length)| {
                let mut nal = slice(kind, length);
                nal[1] = if number == 0 { 0x88 } else { 0x44 };
                nal
            });
            let sets = key.then(|| [X264_B_FRAMES.to_vec(), A_PPS.to_vec()]);
            sets.into_iter().flatten().chain(slices).collect::<Vec<_>>()
        });
        prop::collection::vec(unit, 1..12)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(units in access_units(), size in 100usize..1_500) {
            let mut h264 = depacketizer();
            let (frames, damaged) = feed(&mut h264, &pack(&units, size), &[]);
            prop_assert_eq!((frames.len(), damaged), (units.len(), 0));
            for (frame, unit) in frames.iter().zip(&units) {
                let sent: Vec<_> = unit.iter().filter(|nal| h264::is_slice(nal)).collect();
                prop_assert_eq!(nal_units(&frame.data).collect::<Vec<_>>(), sent);
                prop_assert_eq!(frame.entry.is_key(), h264::is_parameter_set(&unit[0]));
            }
            let has_sets = units.iter().flatten().any(|nal| h264::is_parameter_set(nal));
            prop_assert_eq!(h264.describe().is_some(), has_sets);
        }

        /// A picture of which a packet is missing is never passed on, and counted, as far as anybody can know of it.
        #[test]
        fn what_is_not_whole_is_not_passed_on(units in access_units(), size in 100usize..1_500, lost in prop::collection::vec(0usize..200, 0..6)) {
            let (frames, damaged) = feed(&mut depacketizer(), &pack(&units, size), &lost);
            for frame in &frames {
                let slices = units[(frame.timestamp / 3_600) as usize].iter().filter(|nal| h264::is_slice(nal));
                prop_assert_eq!(nal_units(&frame.data).collect::<Vec<_>>(), slices.collect::<Vec<_>>());
            }
            prop_assert!(frames.len() as u64 + damaged <= units.len() as u64);
        }

        #[test]
        fn any_packets_are_taken(payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0u32..3), 0..40), lost in prop::collection::vec(0usize..40, 0..3)) {
            let mut h264 = depacketizer();
            feed(&mut h264, &payloads, &lost);
            h264.describe();
        }
    }

    #[test]
    fn a_sender_without_markers_and_one_that_marks_parameter_sets_are_understood() {
        let payloads = vec![
            (X264_B_FRAMES.to_vec(), true, 0),
            (A_PPS.to_vec(), true, 0),
            (slice(0x65, 10), false, 0),
            (slice(0x41, 10), false, 3_600),
            (slice(0x41, 10), false, 7_200),
        ];
        let (frames, damaged) = feed(&mut depacketizer(), &payloads, &[]);
        assert_eq!((frames.len(), damaged), (2, 0));
        assert!(frames[0].entry.is_key() && !frames[1].entry.is_key());
    }

    #[test]
    fn a_byte_stream_in_one_packet_is_taken_apart() {
        let start_code = [0, 0, 0, 1];
        let parts = [
            X264_B_FRAMES,
            &start_code,
            A_PPS,
            &start_code,
            &slice(0x65, 10),
        ]
        .concat();
        let mut h264 = depacketizer();
        let (frames, _) = feed(&mut h264, &vec![(parts, true, 0)], &[]);
        assert_eq!(
            nal_units(&frames[0].data).collect::<Vec<_>>(),
            [slice(0x65, 10)]
        );
        assert!(h264.describe().is_some());
    }

    #[test]
    fn joining_in_the_middle_of_a_picture_is_no_damage() {
        let units = [vec![slice(0x41, 4_000)], vec![slice(0x41, 10)]];
        let payloads = pack(&units, 1_000)[2..].to_vec();
        let (frames, damaged) = feed(&mut depacketizer(), &payloads, &[]);
        assert_eq!((frames.len(), damaged), (1, 0));
    }
}
