//! Bytes on their way to a server.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// A payload that is smaller is copied behind its header: one slice more costs the system more than that.
const SMALLEST_SHARED: usize = 1024;

/// Headers and payloads in their order. Large payloads are not copied: they stay slices of the media's own buffers.
#[derive(Default)]
pub(crate) struct Outgoing {
    slices: VecDeque<Bytes>,
    /// What comes behind the slices, and can still grow.
    tail: BytesMut,
    length: usize,
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends a copy.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Appends a payload, or a part of one.
    pub(crate) fn share(&mut self, payload: Bytes) {
        if payload.len() < SMALLEST_SHARED {
            return self.extend_from_slice(&payload);
        }
        self.seal();
        self.length += payload.len();
        self.slices.push_back(payload);
    }

    /// What comes first, as many slices as `room` takes. Returns their number.
    pub(crate) fn fill<'a>(&'a mut self, room: &mut [IoSlice<'a>]) -> usize {
        self.seal();
        let slices = self.slices.iter().zip(&mut *room);
        slices
            .map(|(slice, place)| *place = IoSlice::new(slice))
            .count()
    }

    /// So many bytes were sent.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(first) = self.slices.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.slices.pop_front();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.slices.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
impl Outgoing {
    /// All bytes, one behind the other.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let slices = self.slices.iter().map(|slice| &slice[..]);
        slices.chain([&self.tail[..]]).collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in_however_they_are_written(
            pieces in prop::collection::vec((any::<bool>(), 0..3 * SMALLEST_SHARED), 0..12),
            steps in prop::collection::vec(1..2 * SMALLEST_SHARED, 1..20),
            slices in 1..5usize,
        ) {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for (number, (is_shared, length)) in (0u8..).zip(pieces) {
                let piece = vec![number; length];
                expected.extend_from_slice(&piece);
                match is_shared {
                    true => outgoing.share(piece.into()),
                    false => outgoing.extend_from_slice(&piece),
                }
            }
            let mut written = Vec::new();
            for step in steps.iter().cycle() {
                prop_assert_eq!(outgoing.len(), expected.len() - written.len());
                if outgoing.is_empty() {
                    break;
                }
                let mut room = [IoSlice::new(&[]); 5];
                let count = outgoing.fill(&mut room[..slices]);
                let all: Vec<u8> = room[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = &all[..all.len().min(*step)];
                written.extend_from_slice(taken);
                let taken = taken.len();
                prop_assert!(taken > 0);
                outgoing.advance(taken);
            }
            prop_assert_eq!(written, expected);
        }
    }
}
