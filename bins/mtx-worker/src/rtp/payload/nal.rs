//! NAL units in RTP: what H.264 and H.265 have in common.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Depacketizer, Frame, MAX_UNIT, Output};
use crate::codec::nal::{Sets, split_byte_stream, starts_byte_stream};
use crate::media::{Description, EntryPoint};
use crate::rtp::reception::Received;

/// A codec whose access units consist of NAL units.
pub(crate) trait NalCodec {
    type Sets: Sets;

    const GRAMMAR: Grammar;

    /// Reads a packet's payload.
    fn read(payload: &[u8], assembly: &mut Assembly);

    /// What the parameter sets say, once they are complete.
    fn describe(sets: &Self::Sets) -> Option<Description>;
}

/// Its depacketizer.
pub(crate) struct NalUnits<C: NalCodec> {
    assembly: Assembly,
    sets: C::Sets,
}

impl<C: NalCodec> NalUnits<C> {
    /// A track whose session description holds these sets.
    pub(crate) fn new(sets: C::Sets) -> Self {
        Self {
            assembly: Assembly::new(C::GRAMMAR),
            sets,
        }
    }

    /// Passes an access unit on, behind what its parameter sets say.
    fn end(&mut self, ended: Option<Ended>, output: &mut Output) {
        let Ended {
            parameter_sets,
            frame,
        } = ended.unwrap_or_default();
        if !parameter_sets.is_empty() && self.sets.take_all(&parameter_sets) {
            output.describe(self.describe());
        }
        if let Some(frame) = frame {
            output.push(frame);
        }
    }
}

impl<C: NalCodec> Depacketizer for NalUnits<C> {
    fn push(&mut self, received: Received, output: &mut Output) {
        let Received {
            packet,
            at,
            behind_gap,
        } = received;
        let ended = self
            .assembly
            .begin_packet(packet.timestamp, at, behind_gap, output);
        self.end(ended, output);
        C::read(&packet.payload, &mut self.assembly);
        let ended = self.assembly.end_packet(packet.marker, output);
        self.end(ended, output);
    }

    fn describe(&self) -> Option<Description> {
        let sets = Some(&self.sets).filter(|sets| sets.is_complete());
        sets.and_then(C::describe)
    }
}

/// What the codecs tell of NAL units.
pub(crate) struct Grammar {
    pub(super) is_slice: fn(&[u8]) -> bool,
    pub(super) is_first_slice: fn(&[u8]) -> bool,
    pub(super) is_parameter_set: fn(&[u8]) -> bool,
    pub(super) is_padding: fn(&[u8]) -> bool,
    pub(super) entry_point: fn(&[u8]) -> EntryPoint,
}

const LENGTH: usize = 4;

/// Bits of the byte before a piece.
pub(super) const START: u8 = 0x80;
pub(super) const END: u8 = 0x40;

/// More parameter sets do not come with one access unit.
const MAX_SETS: usize = 64;

/// An access unit that ended.
#[derive(Default)]
struct Ended {
    parameter_sets: Vec<Vec<u8>>,
    /// There is none if it is damaged, or parameter sets are all.
    frame: Option<Frame>,
}

/// One access unit. Parameter sets are kept apart; what decoders do not need is left out.
pub(crate) struct Assembly {
    grammar: Grammar,
    data: BytesMut,
    /// Where the length of a NAL unit stands that is not complete.
    fragment: Option<usize>,
    timestamp: Option<u32>,
    began: i64,
    arrived: i64,
    has_slice: bool,
    is_damaged: bool,
    /// Whether packets are missing before the next slice, so that its access unit may have lost its beginning.
    behind_gap: bool,
    /// Whether that is so since the stream was joined here, which is no damage.
    is_joining: bool,
    parameter_sets: Vec<Vec<u8>>,
}

impl Assembly {
    fn new(grammar: Grammar) -> Self {
        Self {
            grammar,
            data: BytesMut::new(),
            fragment: None,
            timestamp: None,
            began: 0,
            arrived: 0,
            has_slice: false,
            is_damaged: false,
            behind_gap: true,
            is_joining: true,
            parameter_sets: Vec::new(),
        }
    }

    /// Begins with a packet; an access unit with another time stamp ends before it.
    ///
    /// Most senders mark the last packet of an access unit. Some never do, so another time stamp ends it as well; some
    /// mark each packet of parameter sets, so a mark counts only behind a slice.
    fn begin_packet(
        &mut self,
        timestamp: u32,
        at: i64,
        behind_gap: bool,
        output: &mut Output,
    ) -> Option<Ended> {
        if behind_gap {
            // It may have lost its end, and what follows its beginning.
            self.is_damaged |= self.timestamp.is_some();
            self.behind_gap = true;
        }
        let has_ended = self.timestamp.is_some_and(|before| before != timestamp);
        let ended = has_ended.then(|| self.end(output));
        if self.timestamp.is_none() {
            self.timestamp = Some(timestamp);
            self.began = at;
        }
        self.arrived = at;
        ended
    }

    /// Ends the access unit if a packet with the marker bit does.
    fn end_packet(&mut self, marker: bool, output: &mut Output) -> Option<Ended> {
        (marker && self.has_slice).then(|| self.end(output))
    }

    /// Adds a whole NAL unit.
    pub(super) fn nal(&mut self, nal: &[u8]) {
        self.start_fragment(&[]);
        self.fragment(nal);
        self.end_fragment();
    }

    /// Adds the NAL units of an aggregation packet, each behind its length in two bytes (RFC 6184, section 5.7.1; RFC 7798,
    /// section 4.4.2).
    pub(super) fn aggregate(&mut self, mut rest: &[u8]) {
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((nal, behind)) = behind.split_at_checked(length) else {
                self.damage();
                return;
            };
            self.nal(nal);
            rest = behind;
        }
    }

    /// Adds a piece of a NAL unit, behind a byte that says whether it is the first or the last one (RFC 6184, section 5.8;
    /// RFC 7798, section 4.4.3). The unit's own header is made of that byte.
    pub(super) fn fragmentation_unit<const HEADER: usize>(
        &mut self,
        rest: &[u8],
        header: impl FnOnce(u8) -> [u8; HEADER],
    ) {
        let Some((&fu_header, piece)) = rest.split_first() else {
            self.damage();
            return;
        };
        if fu_header & START != 0 {
            self.start_fragment(&header(fu_header));
        }
        self.fragment(piece);
        if fu_header & END != 0 {
            self.end_fragment();
        }
    }

    /// Starts a NAL unit that comes in pieces.
    fn start_fragment(&mut self, header: &[u8]) {
        // The one before it has lost its end.
        self.drop_fragment();
        self.fragment = Some(self.data.len());
        self.data.put_slice(&[0; LENGTH]);
        self.data.put_slice(header);
    }

    /// Adds a piece.
    fn fragment(&mut self, piece: &[u8]) {
        if self.fragment.is_none() {
            self.is_damaged = true;
        } else if self.data.len() + piece.len() > MAX_UNIT {
            self.drop_fragment();
        } else {
            self.data.put_slice(piece);
        }
    }

    /// Ends it.
    fn end_fragment(&mut self) {
        let Some(start) = self.fragment.take() else {
            return;
        };
        let nal = &self.data[start + LENGTH..];
        let grammar = &self.grammar;
        if (grammar.is_slice)(nal) && !starts_byte_stream(nal) {
            let is_whole = self.has_slice || !self.behind_gap || (grammar.is_first_slice)(nal);
            self.is_damaged |= !is_whole;
            self.has_slice = true;
            self.behind_gap = false;
            let length = (nal.len() as u32).to_be_bytes();
            self.data[start..start + LENGTH].copy_from_slice(&length);
            return;
        }
        let nal = nal.to_vec();
        self.data.truncate(start);
        // Within a NAL unit there is no start code, but some cameras pack a byte stream.
        for nal in split_byte_stream(&nal) {
            if (self.grammar.is_slice)(nal) {
                self.nal(nal);
            } else {
                self.add_other(nal);
            }
        }
    }

    /// A packet that can't be read.
    pub(super) fn damage(&mut self) {
        self.is_damaged = true;
    }

    fn add_other(&mut self, nal: &[u8]) {
        if (self.grammar.is_padding)(nal) {
            return;
        }
        if (self.grammar.is_parameter_set)(nal) {
            match self.parameter_sets.len() < MAX_SETS {
                true => self.parameter_sets.push(nal.to_vec()),
                false => self.is_damaged = true,
            }
        } else if self.data.len() + nal.len() > MAX_UNIT {
            self.is_damaged = true;
        } else {
            self.data.put_u32(nal.len() as u32);
            self.data.put_slice(nal);
        }
    }

    fn drop_fragment(&mut self) {
        if let Some(start) = self.fragment.take() {
            self.data.truncate(start);
            self.is_damaged = true;
        }
    }

    fn end(&mut self, output: &mut Output) -> Ended {
        self.drop_fragment();
        let timestamp = self.timestamp.take();
        let data: Bytes = self.data.split().freeze();
        let is_damaged = std::mem::take(&mut self.is_damaged);
        let is_joining = std::mem::take(&mut self.is_joining);
        let has_slice = std::mem::take(&mut self.has_slice);
        if is_damaged && !is_joining {
            output.damaged();
        }
        // Parameter sets and messages alone belong to the picture behind them.
        let timestamp = timestamp.filter(|_| has_slice && !is_damaged);
        Ended {
            parameter_sets: std::mem::take(&mut self.parameter_sets),
            frame: timestamp.map(|timestamp| Frame {
                timestamp,
                began: self.began,
                arrived: self.arrived,
                entry: (self.grammar.entry_point)(&data),
                data,
                behind_another: None,
            }),
        }
    }
}
