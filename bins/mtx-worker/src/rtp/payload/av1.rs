//! AV1 in RTP (RTP Payload Format For AV1, version 1.0).

use bytes::BytesMut;

use super::{Depacketizer, Frame, MAX_UNIT, Output};
use crate::codec::av1::{self, SequenceHeader};
use crate::media::{Description, EntryPoint, VideoCodec, VideoTrack};
use crate::rtp::reception::Received;

/// Bits of the aggregation header: the first OBU goes on from the packet before, the last goes on in the next one.
const CONTINUES: u8 = 0x80;
const IS_CONTINUED: u8 = 0x40;
/// The packet starts a coded video sequence.
const STARTS_SEQUENCE: u8 = 0x08;

/// Puts temporal units together; a sequence header stays in them.
#[derive(Default)]
pub(crate) struct Av1 {
    sequence: Option<SequenceHeader>,
    /// Whether it came with the temporal unit that is growing, and says something new.
    changed: bool,
    has_sequence: bool,
    /// Whether packets are missing before the next temporal unit, so that it may have lost its beginning.
    behind_gap: bool,
    timestamp: Option<u32>,
    began: i64,
    arrived: i64,
    data: BytesMut,
    /// An OBU that is not complete.
    fragment: Option<BytesMut>,
    starts_sequence: bool,
    is_damaged: bool,
    has_joined: bool,
}

impl Av1 {
    /// Takes the OBU elements of a packet; `None` if they are damaged.
    fn read(&mut self, payload: &[u8]) -> Option<()> {
        let (&header, mut rest) = payload.split_first()?;
        let count = usize::from(header >> 4 & 3);
        self.starts_sequence |= header & STARTS_SEQUENCE != 0;
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            // The last element has no length where the header tells how many there are.
            let element = if number == count {
                std::mem::take(&mut rest)
            } else {
                let (length, size) = av1::leb128(rest)?;
                let (element, behind) = rest.get(size..)?.split_at_checked(length)?;
                rest = behind;
                element
            };
            let continues = number == 1 && header & CONTINUES != 0;
            let is_continued = rest.is_empty() && header & IS_CONTINUED != 0;
            self.element(element, continues, is_continued)?;
        }
        Some(())
    }

    fn element(&mut self, element: &[u8], continues: bool, is_continued: bool) -> Option<()> {
        let mut obu = match (self.fragment.take(), continues) {
            (Some(begun), true) => begun,
            (None, false) => BytesMut::new(),
            _ => return None,
        };
        obu.extend_from_slice(element);
        if self.data.len() + obu.len() > MAX_UNIT {
            return None;
        }
        if is_continued {
            self.fragment = Some(obu);
            return Some(());
        }
        if av1::is_sequence_header(&obu) {
            let sequence = SequenceHeader::parse(&obu);
            self.has_sequence |= sequence.is_some();
            if sequence.is_some() && sequence != self.sequence {
                self.sequence = sequence;
                self.changed = true;
            }
        }
        if !av1::is_padding(&obu) {
            av1::write(&obu, &mut self.data);
        }
        Some(())
    }

    fn end(&mut self, output: &mut Output) {
        let timestamp = self.timestamp.take();
        let data = self.data.split().freeze();
        let is_damaged = std::mem::take(&mut self.is_damaged) | self.fragment.take().is_some();
        let starts_sequence =
            std::mem::take(&mut self.starts_sequence) | std::mem::take(&mut self.has_sequence);
        if std::mem::take(&mut self.changed) {
            output.describe(self.describe());
        }
        let has_joined = std::mem::replace(&mut self.has_joined, true);
        match timestamp {
            Some(_) if is_damaged && !has_joined => {}
            Some(_) if is_damaged => output.damaged(),
            Some(timestamp) if !data.is_empty() => output.push(Frame {
                timestamp,
                began: self.began,
                arrived: self.arrived,
                entry: if starts_sequence {
                    EntryPoint::Closed
                } else {
                    EntryPoint::None
                },
                data,
                behind_another: None,
            }),
            _ => {}
        }
    }
}

impl Depacketizer for Av1 {
    fn push(&mut self, received: Received, output: &mut Output) {
        let packet = &received.packet;
        if received.behind_gap {
            self.is_damaged |= self.timestamp.is_some();
            self.behind_gap = true;
        }
        if self
            .timestamp
            .is_some_and(|before| before != packet.timestamp)
        {
            self.end(output);
        }
        if self.timestamp.is_none() {
            self.timestamp = Some(packet.timestamp);
            self.began = received.at;
            let starts = packet
                .payload
                .first()
                .is_some_and(|header| header & STARTS_SEQUENCE != 0);
            self.is_damaged |= std::mem::take(&mut self.behind_gap) && !starts;
        }
        self.arrived = received.at;
        if self.read(&packet.payload).is_none() {
            self.is_damaged = true;
            self.fragment = None;
        }
        if packet.marker {
            self.end(output);
        }
    }

    fn describe(&self) -> Option<Description> {
        let sequence = self.sequence.clone()?;
        Some(Description::Video(VideoTrack {
            width: sequence.width,
            height: sequence.height,
            codec: VideoCodec::Av1(sequence),
            // What is shown later is in the same temporal unit as what is shown now.
            reorder: Some(0),
            frame_duration: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Payloads, feed};
    use super::*;
    use crate::codec::av1::tests::A_SEQUENCE_HEADER;
    use proptest::prelude::*;

    const FRAME: u8 = 6 << 3;

    /// Temporal units of OBUs without sizes, cut into packets of `size` bytes.
    fn pack(units: &[Vec<Vec<u8>>], size: usize) -> Payloads {
        let mut payloads = Payloads::new();
        for (number, unit) in units.iter().enumerate() {
            let timestamp = number as u32 * 3_600;
            let mut starts = unit.len() > 1;
            for obu in unit {
                let pieces: Vec<_> = obu.chunks(size).collect();
                for (index, piece) in pieces.iter().enumerate() {
                    let mut header = 1 << 4;
                    header |= if index > 0 { CONTINUES } else { 0 };
                    header |= if index + 1 < pieces.len() {
                        IS_CONTINUED
                    } else {
                        0
                    };
                    header |= if std::mem::take(&mut starts) {
                        STARTS_SEQUENCE
                    } else {
                        0
                    };
                    payloads.push(([&[header], *piece].concat(), false, timestamp));
                }
            }
            if let Some(last) = payloads.last_mut() {
                last.1 = true;
            }
        }
        payloads
    }

    fn sequence_header() -> Vec<u8> {
        // Without its size, as RTP has it.
        [&[0x08], &A_SEQUENCE_HEADER[2..]].concat()
    }

    fn units() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let unit = (any::<bool>(), 1usize..5_000).prop_map(|(key, length)| {
            let frame = [vec![FRAME], vec![7; length]].concat();
            if key {
                vec![sequence_header(), frame]
            } else {
                vec![frame]
            }
        });
        prop::collection::vec(unit, 1..12)
    }

    fn stored(unit: &[Vec<u8>]) -> BytesMut {
        let mut data = BytesMut::new();
        for obu in unit {
            av1::write(obu, &mut data);
        }
        data
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(units in units(), size in 100usize..1_500) {
            let mut av1 = Av1::default();
            let (frames, damaged) = feed(&mut av1, &pack(&units, size), &[]);
            prop_assert_eq!((frames.len(), damaged), (units.len(), 0));
            for (frame, unit) in frames.iter().zip(&units) {
                prop_assert_eq!(&frame.data, &stored(unit));
                prop_assert_eq!(frame.entry.is_key(), unit.len() > 1);
            }
        }

        #[test]
        fn what_is_not_whole_is_not_passed_on(units in units(), size in 100usize..1_500, lost in prop::collection::vec(0usize..60, 0..6)) {
            let (frames, _) = feed(&mut Av1::default(), &pack(&units, size), &lost);
            for frame in frames {
                prop_assert_eq!(&frame.data, &stored(&units[(frame.timestamp / 3_600) as usize]));
            }
        }

        #[test]
        fn any_packets_are_taken(payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0u32..3), 0..40), lost in prop::collection::vec(0usize..40, 0..3)) {
            let mut av1 = Av1::default();
            feed(&mut av1, &payloads, &lost);
            av1.describe();
        }
    }

    #[test]
    fn several_obus_in_a_packet_have_their_lengths() {
        let sequence = sequence_header();
        let mut payload = vec![2 << 4 | STARTS_SEQUENCE, sequence.len() as u8];
        payload.extend_from_slice(&sequence);
        payload.extend_from_slice(&[FRAME, 1, 2]);
        let mut av1 = Av1::default();
        let (frames, _) = feed(&mut av1, &vec![(payload, true, 0)], &[]);
        assert_eq!(frames[0].data, stored(&[sequence, vec![FRAME, 1, 2]]));
        assert!(av1.describe().is_some());
    }
}
