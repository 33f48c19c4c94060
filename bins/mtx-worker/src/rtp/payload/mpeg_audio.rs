//! MPEG audio in RTP (RFC 2250, section 3.5).

use bytes::{Buf, Bytes, BytesMut};

use super::{Depacketizer, Frame, Output};
use crate::codec::mpeg_audio::{self, Header};
use crate::media::{AudioCodec, AudioTrack, Description, EntryPoint};
use crate::rtp::reception::Received;

/// Reserved bits, and where in its frame a fragment stands.
const PAYLOAD_HEADER: usize = 4;

const CLOCK_RATE: u32 = 90_000;

/// Whole frames in a packet, or one frame in several.
#[derive(Default)]
pub(crate) struct MpegAudio {
    /// The first frame's header, which tells what the track is.
    first: Option<Header>,
    /// The part of a frame that came, its time stamp and first arrival.
    fragment: Option<(BytesMut, u32, i64)>,
}

impl MpegAudio {
    /// Cuts whole frames off.
    fn add_frames(&mut self, mut data: Bytes, timestamp: u32, at: i64, output: &mut Output) {
        let mut ticks = 0;
        while let Some(header) = mpeg_audio::header(&data) {
            self.note(header, output);
            if header.length > data.len() {
                self.fragment = Some((BytesMut::from(data), timestamp.wrapping_add(ticks), at));
                return;
            }
            let lasts = header.samples * CLOCK_RATE / header.sample_rate;
            output.push(Frame {
                timestamp: timestamp.wrapping_add(ticks),
                began: at,
                arrived: at,
                entry: EntryPoint::Closed,
                data: data.split_to(header.length),
                behind_another: (ticks > 0).then_some(lasts),
            });
            ticks += lasts;
        }
        if !data.is_empty() {
            output.damaged();
        }
    }

    fn note(&mut self, header: Header, output: &mut Output) {
        if self.first.is_some() {
            return;
        }
        self.first = Some(header);
        match self.describe() {
            None => output.give_up("MPEG-1/2 Audio of layer 1 or 2"),
            description => output.describe(description),
        }
    }
}

impl Depacketizer for MpegAudio {
    fn push(&mut self, received: Received, output: &mut Output) {
        let (mut packet, at) = (received.packet, received.at);
        let Some(&[_, _, high, low]) = packet.payload.first_chunk::<PAYLOAD_HEADER>() else {
            output.damaged();
            return;
        };
        let offset = usize::from(u16::from_be_bytes([high, low]));
        packet.payload.advance(PAYLOAD_HEADER);
        if received.behind_gap && self.fragment.take().is_some() {
            output.damaged();
        }
        match self.fragment.take() {
            Some((mut data, timestamp, began)) if offset > 0 => {
                data.extend_from_slice(&packet.payload);
                match mpeg_audio::header(&data) {
                    Some(header) if header.length > data.len() => {
                        self.fragment = Some((data, timestamp, began));
                    }
                    _ => self.add_frames(data.freeze(), timestamp, at, output),
                }
            }
            Some(_) => {
                output.damaged();
                self.add_frames(packet.payload, packet.timestamp, at, output);
            }
            None if offset > 0 => output.damaged(),
            None => self.add_frames(packet.payload, packet.timestamp, at, output),
        }
    }

    /// RTMP has a place for layer 3 only.
    fn describe(&self) -> Option<Description> {
        let header = self.first.filter(|header| header.layer == 3)?;
        Some(Description::Audio(AudioTrack {
            codec: AudioCodec::Mp3,
            sample_rate: header.sample_rate,
            channels: header.channels,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Payloads, feed};
    use super::*;
    use proptest::prelude::*;

    const HEADER: [u8; 4] = [0xff, 0xfb, 0x90, 0x00];
    const LENGTH: usize = 417;
    const TICKS: u32 = 1_152 * CLOCK_RATE / 44_100;

    fn frames(count: usize) -> Vec<Vec<u8>> {
        let frame = |number| [&HEADER[..], &vec![number as u8; LENGTH - 4]].concat();
        (0..count).map(frame).collect()
    }

    fn pack(frames: &[Vec<u8>], together: usize, size: usize) -> Payloads {
        let mut payloads = Payloads::new();
        for (number, group) in frames.chunks(together).enumerate() {
            let timestamp = (number * together) as u32 * TICKS;
            let data = group.concat();
            let size = if together == 1 { size } else { data.len() };
            for (index, piece) in data.chunks(size).enumerate() {
                let offset = ((index * size) as u16).to_be_bytes();
                payloads.push((
                    [&[0, 0], &offset[..], piece].concat(),
                    index == 0,
                    timestamp,
                ));
            }
        }
        payloads
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(count in 1usize..20, together in 1usize..4, size in 50usize..600) {
            let mut mp3 = MpegAudio::default();
            let (came, damaged) = feed(&mut mp3, &pack(&frames(count), together, size), &[]);
            prop_assert_eq!(damaged, 0);
            let data: Vec<_> = came.iter().map(|frame| frame.data.to_vec()).collect();
            prop_assert_eq!(data, frames(count));
            let times: Vec<_> = came.iter().map(|frame| frame.timestamp).collect();
            prop_assert_eq!(times, (0..count as u32).map(|number| number * TICKS).collect::<Vec<_>>());
            prop_assert!(mp3.describe().is_some());
        }

        #[test]
        fn what_is_not_whole_is_not_passed_on(count in 1usize..20, size in 50usize..600, lost in prop::collection::vec(0usize..40, 0..5)) {
            let sent = frames(count);
            let (came, _) = feed(&mut MpegAudio::default(), &pack(&sent, 1, size), &lost);
            for frame in came {
                prop_assert_eq!(&frame.data, &sent[(frame.timestamp / TICKS) as usize]);
            }
        }

        #[test]
        fn any_packets_are_taken(payloads in prop::collection::vec((prop::collection::vec(prop_oneof![Just(0xff), Just(0xfb), any::<u8>()], 0..40), any::<bool>(), 0u32..3), 0..40)) {
            let mut mp3 = MpegAudio::default();
            feed(&mut mp3, &payloads, &[]);
            mp3.describe();
        }
    }
}
