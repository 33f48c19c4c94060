//! VP9 in RTP (RFC 9628).

use bytes::BytesMut;

use super::{Depacketizer, Frame, MAX_UNIT, Output};
use crate::codec::vp9::{self, Format};
use crate::media::{Description, EntryPoint, VideoCodec, VideoTrack};
use crate::rtp::reception::Received;

/// Bits of the payload descriptor (section 4.2).
const HAS_PICTURE_ID: u8 = 0x80;
const IS_INTER_PREDICTED: u8 = 0x40;
const HAS_LAYER: u8 = 0x20;
const IS_FLEXIBLE: u8 = 0x10;
const STARTS_FRAME: u8 = 0x08;
const HAS_STRUCTURE: u8 = 0x02;

/// Puts frames together.
#[derive(Default)]
pub(crate) struct Vp9 {
    format: Option<Format>,
    data: BytesMut,
    timestamp: Option<u32>,
    began: i64,
    is_damaged: bool,
    has_joined: bool,
}

impl Vp9 {
    fn end(&mut self, at: i64, output: &mut Output) {
        let data = self.data.split().freeze();
        let is_damaged = std::mem::take(&mut self.is_damaged);
        let has_joined = std::mem::replace(&mut self.has_joined, true);
        let Some(timestamp) = self.timestamp.take() else {
            return;
        };
        if is_damaged {
            if has_joined {
                output.damaged();
            }
            return;
        }
        let format = Format::of_key_frame(&data);
        if format.is_some() && format != self.format {
            self.format = format;
            output.describe(self.describe());
        }
        output.push(Frame {
            timestamp,
            began: self.began,
            arrived: at,
            entry: if vp9::is_key(&data) {
                EntryPoint::Closed
            } else {
                EntryPoint::None
            },
            data,
            behind_another: None,
        });
    }
}

impl Depacketizer for Vp9 {
    fn push(&mut self, received: Received, output: &mut Output) {
        let packet = &received.packet;
        if received.behind_gap && self.timestamp.is_some() {
            self.is_damaged = true;
        }
        if self
            .timestamp
            .is_some_and(|before| before != packet.timestamp)
        {
            self.end(received.at, output);
        }
        let begins = self.timestamp.is_none();
        if begins {
            self.timestamp = Some(packet.timestamp);
            self.began = received.at;
        }
        match read(&packet.payload) {
            Some((starts, data)) if self.data.len() + data.len() <= MAX_UNIT => {
                self.is_damaged |= begins && !starts;
                self.data.extend_from_slice(data);
            }
            _ => self.is_damaged = true,
        }
        if packet.marker {
            self.end(received.at, output);
        }
    }

    fn describe(&self) -> Option<Description> {
        let format = self.format?;
        Some(Description::Video(VideoTrack {
            codec: VideoCodec::Vp9(format),
            width: format.width,
            height: format.height,
            reorder: Some(0),
            frame_duration: None,
        }))
    }
}

/// Whether a packet starts a frame, and what is behind the payload descriptor.
fn read(payload: &[u8]) -> Option<(bool, &[u8])> {
    let mut rest = payload;
    let mut byte = || {
        let (first, behind) = rest.split_first()?;
        rest = behind;
        Some(*first)
    };
    let flags = byte()?;
    // A picture id of 15 bits says so in its first.
    if flags & HAS_PICTURE_ID != 0 && byte()? & 0x80 != 0 {
        byte()?;
    }
    if flags & HAS_LAYER != 0 {
        byte()?;
        if flags & IS_FLEXIBLE == 0 {
            byte()?;
        }
    }
    if flags & IS_FLEXIBLE != 0 && flags & IS_INTER_PREDICTED != 0 {
        // Up to three references, each of which tells whether another one follows.
        for _ in 0..3 {
            if byte()? & 1 == 0 {
                break;
            }
        }
    }
    if flags & HAS_STRUCTURE != 0 {
        skip_structure(&mut byte)?;
    }
    Some((flags & STARTS_FRAME != 0, rest))
}

/// The scalability structure (section 4.2.1).
fn skip_structure(byte: &mut impl FnMut() -> Option<u8>) -> Option<()> {
    let head = byte()?;
    let layers = (head >> 5) + 1;
    if head & 0x10 != 0 {
        for _ in 0..4 * u16::from(layers) {
            byte()?;
        }
    }
    if head & 0x08 != 0 {
        for _ in 0..byte()? {
            let references = byte()? >> 2 & 3;
            for _ in 0..references {
                byte()?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Payloads, feed};
    use super::*;
    use crate::codec::vp9::tests::A_KEY_FRAME;
    use proptest::prelude::*;

    const ENDS_FRAME: u8 = 0x04;

    fn pack(frames: &[Vec<u8>], size: usize) -> Payloads {
        let mut payloads = Payloads::new();
        for (number, frame) in frames.iter().enumerate() {
            let pieces: Vec<_> = frame.chunks(size).collect();
            for (index, piece) in pieces.iter().enumerate() {
                let is_last = index + 1 == pieces.len();
                let mut flags = HAS_PICTURE_ID;
                flags |= if index == 0 { STARTS_FRAME } else { 0 };
                flags |= if is_last { ENDS_FRAME } else { 0 };
                let descriptor = [flags, 0x80, number as u8];
                payloads.push((
                    [&descriptor[..], piece].concat(),
                    is_last,
                    number as u32 * 3_600,
                ));
            }
        }
        payloads
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let frame = (any::<bool>(), 1usize..5_000).prop_map(|(key, length)| {
            let start = if key { A_KEY_FRAME } else { &[0x86, 0] };
            [start, &vec![7; length]].concat()
        });
        prop::collection::vec(frame, 1..12)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(frames in frames(), size in 50usize..1_500) {
            let (came, damaged) = feed(&mut Vp9::default(), &pack(&frames, size), &[]);
            prop_assert_eq!(damaged, 0);
            let data: Vec<_> = came.iter().map(|frame| frame.data.to_vec()).collect();
            prop_assert_eq!(&data, &frames);
            for frame in came {
                prop_assert_eq!(frame.entry.is_key(), frame.data.starts_with(A_KEY_FRAME));
            }
        }

        #[test]
        fn what_is_not_whole_is_not_passed_on(frames in frames(), size in 50usize..1_500, lost in prop::collection::vec(0usize..60, 0..6)) {
            let (came, _) = feed(&mut Vp9::default(), &pack(&frames, size), &lost);
            for frame in came {
                prop_assert_eq!(&frame.data, &frames[(frame.timestamp / 3_600) as usize]);
            }
        }

        #[test]
        fn any_packets_are_taken(payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0u32..3), 0..40)) {
            let mut vp9 = Vp9::default();
            feed(&mut vp9, &payloads, &[]);
            vp9.describe();
        }
    }
}
