//! Audio that has a packet for each frame: G.711 (RFC 3551, section 4.5.14) and Opus (RFC 7587).

use super::{Depacketizer, Frame, Output};
use crate::codec::opus;
use crate::media::{AudioCodec, AudioTrack, Description, EntryPoint};
use crate::rtp::reception::Received;

fn push(received: Received, output: &mut Output) {
    let (packet, at) = (received.packet, received.at);
    if packet.payload.is_empty() {
        return;
    }
    output.push(Frame {
        timestamp: packet.timestamp,
        began: at,
        arrived: at,
        entry: EntryPoint::Closed,
        data: packet.payload,
        behind_another: None,
    });
}

/// G.711: a packet holds as many samples as its sender likes.
pub(crate) struct G711 {
    pub(crate) is_a_law: bool,
    pub(crate) clock_rate: u32,
    pub(crate) channels: u16,
}

impl Depacketizer for G711 {
    fn push(&mut self, received: Received, output: &mut Output) {
        push(received, output);
    }

    fn describe(&self) -> Option<Description> {
        Some(Description::Audio(AudioTrack {
            codec: if self.is_a_law {
                AudioCodec::G711ALaw
            } else {
                AudioCodec::G711MuLaw
            },
            sample_rate: self.clock_rate,
            channels: self.channels,
        }))
    }
}

/// Opus: a packet of RTP is one of Opus.
pub(crate) struct Opus {
    pub(crate) channels: u16,
}

impl Depacketizer for Opus {
    fn push(&mut self, received: Received, output: &mut Output) {
        push(received, output);
    }

    fn describe(&self) -> Option<Description> {
        Some(Description::Audio(AudioTrack {
            codec: AudioCodec::Opus,
            sample_rate: opus::RATE,
            channels: self.channels,
        }))
    }
}
