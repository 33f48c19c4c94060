//! AAC in RTP (RFC 3640, modes AAC-hbr and AAC-lbr).

use bytes::{Bytes, BytesMut};
use h264_reader::rbsp::{BitRead, BitReader};

use super::{Depacketizer, Frame, MAX_UNIT, Output};
use crate::codec::aac::{self, Format};
use crate::media::{AudioCodec, AudioTrack, Description, EntryPoint};
use crate::rtp::reception::Received;
use crate::rtsp::sdp::Media;

/// Access units come several in a packet behind a list of their sizes, or one in several packets.
pub(crate) struct Aac {
    config: Bytes,
    format: Format,
    channels: u16,
    clock_rate: u32,
    /// Bits that a size and an index have in the list.
    size_bits: u32,
    index_bits: u32,
    /// A unit that is not complete: its size, what came of it, its time stamp and first arrival.
    fragment: Option<(usize, BytesMut, u32, i64)>,
}

impl Aac {
    /// A track by its description; `None` if that lacks the configuration, which RTP never brings later.
    pub(crate) fn new(media: &Media) -> Option<Self> {
        let number = |name, default| match media.parameter(name) {
            Some(value) => value.parse().ok().filter(|bits| *bits <= 16),
            None => Some(default),
        };
        let config = from_hex(media.parameter("config")?)?;
        Some(Self {
            format: aac::format(&config)?,
            config: config.into(),
            channels: media.channels,
            clock_rate: media.clock_rate,
            size_bits: number("sizelength", 13)?,
            index_bits: number("indexlength", 3)?,
            fragment: None,
        })
    }

    /// How long a frame sounds, in ticks of the RTP clock.
    fn frame_ticks(&self) -> u32 {
        let ticks = u64::from(self.format.frame_length) * u64::from(self.clock_rate)
            / u64::from(self.format.sample_rate);
        ticks as u32
    }

    /// The sizes of a packet's access units, and what stands behind them.
    fn sizes<'a>(&self, payload: &'a [u8]) -> Option<(Vec<usize>, &'a [u8])> {
        let (bits, rest) = payload.split_first_chunk()?;
        let bits = u32::from(u16::from_be_bytes(*bits));
        let (list, data) = rest.split_at_checked(bits.div_ceil(8) as usize)?;
        let width = self.size_bits + self.index_bits;
        let mut reader = BitReader::new(list);
        let mut sizes = Vec::new();
        for _ in 0..bits.checked_div(width)? {
            let size: u32 = reader.read(self.size_bits, "AU-size").ok()?;
            let index: u32 = reader.read(self.index_bits, "AU-Index").ok()?;
            // Units in another order than that of their times are for lossy networks, and never seen.
            if index != 0 {
                return None;
            }
            sizes.push(size as usize);
        }
        Some((sizes, data))
    }

    fn frame(&self, timestamp: u32, began: i64, at: i64, data: Bytes) -> Frame {
        Frame {
            timestamp,
            began,
            arrived: at,
            entry: EntryPoint::Closed,
            data,
            behind_another: None,
        }
    }

    fn add_fragment(&mut self, piece: &[u8], at: i64, marker: bool, output: &mut Output) {
        let Some((size, mut data, timestamp, began)) = self.fragment.take() else {
            return;
        };
        data.extend_from_slice(piece);
        if data.len() == size {
            output.push(self.frame(timestamp, began, at, data.freeze()));
        } else if data.len() > size || marker {
            output.damaged();
        } else {
            self.fragment = Some((size, data, timestamp, began));
        }
    }

    fn add_units(
        &mut self,
        sizes: &[usize],
        mut data: Bytes,
        timestamp: u32,
        at: i64,
        output: &mut Output,
    ) {
        let ticks = self.frame_ticks();
        for (number, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
            if size > data.len() {
                output.damaged();
                return;
            }
            let shift = ticks.wrapping_mul(number as u32);
            output.push(Frame {
                behind_another: (number > 0).then_some(ticks),
                ..self.frame(timestamp.wrapping_add(shift), at, at, data.split_to(size))
            });
        }
    }
}

impl Depacketizer for Aac {
    fn push(&mut self, received: Received, output: &mut Output) {
        let (packet, at) = (received.packet, received.at);
        let continues =
            |&(_, _, timestamp, _): &(usize, BytesMut, u32, i64)| timestamp == packet.timestamp;
        let is_lost = received.behind_gap || !self.fragment.as_ref().is_none_or(continues);
        if is_lost && self.fragment.take().is_some() {
            output.damaged();
        }
        let Some((sizes, data)) = self.sizes(&packet.payload) else {
            output.damaged();
            return;
        };
        if self.fragment.is_some() {
            self.add_fragment(data, at, packet.marker, output);
            return;
        }
        match sizes[..] {
            [size] if size > data.len() && size <= MAX_UNIT && !packet.marker => {
                self.fragment = Some((size, BytesMut::from(data), packet.timestamp, at));
            }
            _ => {
                let data = packet.payload.slice_ref(data);
                self.add_units(&sizes, data, packet.timestamp, at, output);
            }
        }
    }

    fn describe(&self) -> Option<Description> {
        let channels = match self.format.channels {
            // The configuration describes them in a way of its own.
            0 => self.channels,
            count => count,
        };
        Some(Description::Audio(AudioTrack {
            codec: AudioCodec::Aac {
                config: self.config.clone(),
            },
            sample_rate: self.clock_rate,
            channels,
        }))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().trim_matches('"').as_bytes();
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Payloads, feed};
    use super::*;
    use crate::rtsp::sdp;
    use proptest::prelude::*;

    const HEADER_BITS: u16 = 16;

    fn depacketizer() -> Aac {
        let text = b"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\n\
            a=fmtp:97 mode=AAC-hbr; config=1190; SizeLength=13; IndexLength=3; IndexDeltaLength=3\r\n";
        Aac::new(&sdp::Description::parse(text).media[0]).unwrap()
    }

    /// Frames of these sizes, so many in a packet; one that is too large for a packet in pieces.
    fn pack(frames: &[Vec<u8>], together: usize, size: usize) -> Payloads {
        let mut payloads = Payloads::new();
        let header = |frames: &[Vec<u8>]| {
            let bits = HEADER_BITS * frames.len() as u16;
            let sizes = frames
                .iter()
                .flat_map(|frame| ((frame.len() as u16) << 3).to_be_bytes());
            bits.to_be_bytes()
                .into_iter()
                .chain(sizes)
                .collect::<Vec<_>>()
        };
        for (number, group) in frames.chunks(together).enumerate() {
            let timestamp = (number * together) as u32 * 1_024;
            let data = group.concat();
            let pieces: Vec<_> = if together == 1 {
                data.chunks(size).collect()
            } else {
                vec![&data[..]]
            };
            for (index, piece) in pieces.iter().enumerate() {
                let is_last = index + 1 == pieces.len();
                payloads.push(([&header(group)[..], piece].concat(), is_last, timestamp));
            }
        }
        payloads
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3_000), 1..20), together in 1usize..5) {
            let (came, damaged) = feed(&mut depacketizer(), &pack(&frames, together, 1_000), &[]);
            prop_assert_eq!(damaged, 0);
            let data: Vec<_> = came.iter().map(|frame| frame.data.to_vec()).collect();
            prop_assert_eq!(&data, &frames);
            for (number, frame) in came.iter().enumerate() {
                prop_assert_eq!(frame.timestamp, number as u32 * 1_024);
                prop_assert_eq!(frame.behind_another.is_some(), number % together > 0);
            }
        }

        #[test]
        fn what_is_not_whole_is_not_passed_on(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3_000), 1..20), together in 1usize..3, lost in prop::collection::vec(0usize..30, 0..5)) {
            let (came, _) = feed(&mut depacketizer(), &pack(&frames, together, 1_000), &lost);
            for frame in came {
                prop_assert_eq!(&frame.data, &frames[(frame.timestamp / 1_024) as usize]);
            }
        }

        #[test]
        fn any_packets_are_taken(payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0u32..3), 0..40)) {
            feed(&mut depacketizer(), &payloads, &[]);
        }
    }

    #[test]
    fn a_description_without_the_configuration_is_not_enough() {
        let without = b"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\n";
        assert!(Aac::new(&sdp::Description::parse(without).media[0]).is_none());
    }

    #[test]
    fn with_band_replication_a_frame_lasts_twice_as_long() {
        let text = b"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\na=fmtp:97 config=2b118800\r\n";
        let aac = Aac::new(&sdp::Description::parse(text).media[0]).unwrap();
        assert_eq!(aac.frame_ticks(), 2_048);
    }
}
