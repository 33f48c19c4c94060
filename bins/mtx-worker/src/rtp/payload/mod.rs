//! What codecs put into RTP packets, each with its way back.

mod aac;
mod audio_frames;
mod av1;
mod h264;
mod h265;
mod mpeg_audio;
mod nal;
mod vp9;

use std::collections::VecDeque;

use bytes::Bytes;

use super::reception::Received;
use crate::media::{Description, EntryPoint};

pub(crate) use aac::Aac;
pub(crate) use audio_frames::{G711, Opus};
pub(crate) use av1::Av1;
pub(crate) use h264::H264;
pub(crate) use h265::H265;
pub(crate) use mpeg_audio::MpegAudio;
pub(crate) use nal::NalUnits;
pub(crate) use vp9::Vp9;

/// Access units that grow beyond this are damaged; RTMP could not carry one of 16 MiB.
const MAX_UNIT: usize = 15 * 1024 * 1024;

/// An access unit as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// The RTP time.
    pub(crate) timestamp: u32,
    /// When its first and its last byte arrived, in worker time.
    pub(crate) began: i64,
    pub(crate) arrived: i64,
    pub(crate) entry: EntryPoint,
    pub(crate) data: Bytes,
    /// Ticks that the frame before it in the same packet lasts, if there is one.
    pub(crate) behind_another: Option<u32>,
}

/// What a depacketizer yields.
#[derive(Debug, PartialEq)]
pub(crate) enum Unpacked {
    /// What the track is from here on.
    Description(Description),
    Frame(Frame),
    /// The track can't be passed on, for this reason.
    Unsupported(&'static str),
}

/// What a depacketizer has ready, and how many access units it had to give up.
#[derive(Debug, Default)]
pub(crate) struct Output {
    ready: VecDeque<Unpacked>,
    damaged: u64,
}

impl Output {
    fn push(&mut self, frame: Frame) {
        self.ready.push_back(Unpacked::Frame(frame));
    }

    fn describe(&mut self, description: Option<Description>) {
        self.ready.extend(description.map(Unpacked::Description));
    }

    fn give_up(&mut self, reason: &'static str) {
        self.ready.push_back(Unpacked::Unsupported(reason));
    }

    /// One that is not complete, or can't be read.
    fn damaged(&mut self) {
        self.damaged += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<Unpacked> {
        self.ready.pop_front()
    }

    /// Access units of which something was missing.
    pub(crate) fn count_damaged(&self) -> u64 {
        self.damaged
    }
}

/// Puts access units together again.
pub(crate) trait Depacketizer {
    /// Takes the next packet.
    fn push(&mut self, received: Received, output: &mut Output);

    /// What the track is; `None` as long as parameters are missing. When it changes, the output says so.
    fn describe(&self) -> Option<Description>;
}

#[cfg(test)]
mod testing {
    use bytes::Bytes;

    use super::super::packet::Packet;
    use super::{Depacketizer, Frame, Output, Received, Unpacked};

    /// What a packetizer writes: payloads with their marker and time stamp.
    pub(super) type Payloads = Vec<(Vec<u8>, bool, u32)>;

    /// Packets of these payloads, of which those in `lost` do not arrive.
    pub(super) fn feed(
        depacketizer: &mut impl Depacketizer,
        payloads: &Payloads,
        lost: &[usize],
    ) -> (Vec<Frame>, u64) {
        let mut output = Output::default();
        let mut behind_gap = false;
        for (number, (payload, marker, timestamp)) in payloads.iter().enumerate() {
            if lost.contains(&number) {
                behind_gap = true;
                continue;
            }
            let packet = Packet {
                payload_type: 96,
                marker: *marker,
                sequence: number as u16,
                timestamp: *timestamp,
                ssrc: 1,
                payload: Bytes::copy_from_slice(payload),
            };
            let received = Received {
                packet,
                at: number as i64,
                behind_gap: std::mem::take(&mut behind_gap),
            };
            depacketizer.push(received, &mut output);
        }
        let unpacked = std::iter::from_fn(|| output.pop());
        let frames = unpacked.filter_map(|item| match item {
            Unpacked::Frame(frame) => Some(frame),
            Unpacked::Description(_) | Unpacked::Unsupported(_) => None,
        });
        (frames.collect(), output.count_damaged())
    }
}
