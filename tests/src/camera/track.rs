//! One track's packets, and their way to the client.

use std::net::UdpSocket;

/// How a track's packets travel.
pub(super) enum Way {
    /// In the connection; RTP on this channel, RTCP on the next one.
    Interleaved(u8),
    /// From these ports, which are connected to the client's.
    Datagrams(UdpSocket, UdpSocket),
}

/// The RTP state of one track.
pub(super) struct Track {
    pub(super) payload_type: u8,
    pub(super) clock: f64,
    pub(super) first_rtp: u32,
    pub(super) sequence: u16,
}

impl Track {
    pub(super) fn rtp(&self, seconds: f64) -> u32 {
        self.first_rtp
            .wrapping_add((seconds * self.clock).round() as i64 as u32)
    }

    /// A packet (RFC 3550, section 5.1).
    pub(super) fn packet(
        &mut self,
        rtp: u32,
        payload: &[u8],
        marker: bool,
        padded: bool,
    ) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = if padded { 0x30 } else { 0 };
        let mut packet = vec![0x80 | flags, u8::from(marker) << 7 | self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(rtp.to_be_bytes());
        packet.extend(u32::from(self.payload_type).to_be_bytes());
        if padded {
            packet.extend([0xbe, 0xde, 0, 2, 0x10, 1, 0, 0, 0, 0, 0, 0]);
        }
        packet.extend(payload);
        if padded {
            packet.extend([0, 0, 0, 0, 0, 0, 0, 8]);
        }
        packet
    }

    /// A sender report (RFC 3550, section 6.4.1).
    pub(super) fn report(&self, rtp: u32, wall: f64) -> Vec<u8> {
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend(u32::from(self.payload_type).to_be_bytes());
        packet.extend(((wall * 2_f64.powi(32)) as u64).to_be_bytes());
        packet.extend(rtp.to_be_bytes());
        packet.extend([0; 8]);
        packet
    }
}

/// A packet in its frame (RFC 2326, section 10.12).
pub(super) fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("packets are short");
    [&[b'$', channel], &length.to_be_bytes()[..], packet].concat()
}
