//! One RTP packet (RFC 3550, section 5.1).

use bytes::{Buf, Bytes};

const VERSION: u8 = 2;
const FIXED_HEADER: usize = 12;

/// A packet without its header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) payload_type: u8,
    /// Its meaning depends on the codec: most put it on the last packet of an access unit.
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    /// In ticks of the track's clock.
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Bytes,
}

impl Packet {
    /// Reads a packet; `None` if it is none.
    pub(crate) fn parse(mut bytes: Bytes) -> Option<Self> {
        let &[first, second, s1, s0, t3, t2, t1, t0, r3, r2, r1, r0] =
            bytes.first_chunk::<FIXED_HEADER>()?;
        if first >> 6 != VERSION {
            return None;
        }
        let contributors = usize::from(first & 0x0f) * 4;
        let mut header = FIXED_HEADER + contributors;
        if first & 0x10 != 0 {
            // The extension's length in words of four bytes stands behind its profile.
            let &[_, _, high, low] = bytes.get(header..)?.first_chunk()?;
            header += 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        }
        let padding = if first & 0x20 != 0 {
            usize::from(*bytes.last()?)
        } else {
            0
        };
        if header + padding > bytes.len() {
            return None;
        }
        bytes.truncate(bytes.len() - padding);
        bytes.advance(header);
        Some(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s1, s0]),
            timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
            ssrc: u32::from_be_bytes([r3, r2, r1, r0]),
            payload: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_extension_contributors_and_padding_are_taken_off() {
        let plain = [0x80, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1, b'x'];
        let packet = Packet::parse(Bytes::copy_from_slice(&plain)).unwrap();
        assert_eq!((packet.payload_type, packet.marker), (96, true));
        assert_eq!((packet.sequence, packet.timestamp, packet.ssrc), (7, 9, 1));
        assert_eq!(packet.payload, "x");
        let mut full = vec![0xb1, 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5];
        full.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4, b'y', 0, 2]);
        assert_eq!(Packet::parse(full.into()).unwrap().payload, "y");
    }

    #[test]
    fn other_bytes_are_no_packet() {
        for bytes in [
            &[0x80; 11][..],
            &[0x40; 12],
            &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200],
        ] {
            assert_eq!(Packet::parse(Bytes::copy_from_slice(bytes)), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(first: u8, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            Packet::parse([&[0x80 | first & 0x3f], &bytes[..]].concat().into());
        }
    }
}
