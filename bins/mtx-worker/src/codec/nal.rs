//! NAL units (ITU-T H.264 and H.265), as MP4, FLV and this worker hold them: each behind its length in four bytes.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use h264_reader::rbsp::decode_nal;

/// The NAL units of a length-prefixed access unit.
pub(crate) fn nal_units(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (nal, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bytes = rest;
        Some(nal)
    })
}

/// Whether there is a start code, which no NAL unit begins with.
pub(crate) fn starts_byte_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// The NAL units of a byte stream (annex B): what stands between start codes.
pub(crate) fn split_byte_stream(bytes: &[u8]) -> Vec<&[u8]> {
    const START_CODE: &[u8] = &[0, 0, 1];
    let mut units = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest
        .windows(START_CODE.len())
        .position(|window| window == START_CODE)
    {
        units.push(&rest[..at]);
        rest = &rest[at + START_CODE.len()..];
    }
    units.push(rest);
    // A start code may have a zero more, and a unit does not end with one.
    let trimmed = units.into_iter().map(|unit| {
        let zeros = unit.iter().rev().take_while(|&&byte| byte == 0).count();
        &unit[..unit.len() - zeros]
    });
    trimmed.filter(|unit| !unit.is_empty()).collect()
}

/// What a session description holds in base 64; some cameras leave out the padding. Empty if it is damaged.
pub(super) fn from_base64(text: &str) -> Vec<u8> {
    let either =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&STANDARD, either).decode(text.trim());
    decoded.unwrap_or_default()
}

/// The payload of a NAL unit whose header is `header` bytes long, without emulation prevention bytes.
pub(crate) fn rbsp(nal: &[u8], header: usize) -> Option<Cow<'_, [u8]>> {
    // decode_nal skips a header of one byte, and takes it for granted that there is something behind it.
    let nal = nal.get(header.checked_sub(1)?..)?;
    (nal.len() > 1).then(|| decode_nal(nal).ok()).flatten()
}

/// The parameter sets of a stream.
pub(crate) trait Sets: Default {
    /// Takes a parameter set over; whether it says something new.
    fn take(&mut self, nal: &[u8]) -> bool;

    /// Whether there is one of each kind.
    fn is_complete(&self) -> bool;

    /// Whether all SPSs of the other are here, as they are there.
    fn has_all_sps_of(&self, other: &Self) -> bool;

    /// Takes over what came with one access unit; whether it says something new. A set is in use until another one has
    /// its id (H.264, section 7.4.1.2.1); with another SPS, though, those before it are out of use.
    fn take_all(&mut self, nals: &[Vec<u8>]) -> bool {
        let mut fresh = Self::default();
        for nal in nals {
            fresh.take(nal);
        }
        if fresh.is_complete() && !self.has_all_sps_of(&fresh) {
            *self = fresh;
            return true;
        }
        nals.iter()
            .fold(false, |changed, nal| self.take(nal) | changed)
    }
}

/// The parameter sets of one kind, by their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SetsById(Vec<(u32, Bytes)>);

impl SetsById {
    /// Takes a set over, in place of the one with its id, which is at most `largest`; whether that changed anything.
    pub(super) fn take(&mut self, id: u32, largest: u32, nal: &[u8]) -> bool {
        if id > largest {
            return false;
        }
        match self.0.iter_mut().find(|(other, _)| *other == id) {
            Some((_, known)) if known == nal => false,
            Some((_, known)) => {
                *known = Bytes::copy_from_slice(nal);
                true
            }
            None => {
                self.0.push((id, Bytes::copy_from_slice(nal)));
                true
            }
        }
    }

    /// Whether it has all of `other`'s, as they are there.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        other.0.iter().all(|set| self.0.contains(set))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first one that came.
    pub(crate) fn first(&self) -> Option<&Bytes> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter().map(|(_, nal)| nal)
    }

    /// How many there are, and each behind its length in two bytes, as decoder configuration records hold them.
    pub(super) fn write(&self, most: usize, to: &mut Vec<u8>) {
        for nal in self.iter().take(most) {
            // A parameter set is some dozen bytes long.
            let nal = &nal[..nal.len().min(usize::from(u16::MAX))];
            to.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            to.extend_from_slice(nal);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_byte_stream_is_split_at_its_start_codes() {
        let units = split_byte_stream(&[0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 3, 0]);
        assert_eq!(units, [&[0x67, 1][..], &[0x68, 2], &[0x65, 3]]);
        assert_eq!(split_byte_stream(&[0, 0, 0, 1, 9, 9]), [[9, 9]]);
    }

    #[test]
    fn a_set_replaces_the_one_with_its_id() {
        let mut sets = SetsById::default();
        assert!(sets.take(0, 1, b"a") && sets.take(1, 1, b"b") && !sets.take(0, 1, b"a"));
        assert!(sets.take(0, 1, b"c") && !sets.take(2, 1, b"d"));
        assert_eq!(sets.iter().collect::<Vec<_>>(), ["c", "b"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(0u8..4, 0..100)) {
            let _ = (nal_units(&bytes).count(), split_byte_stream(&bytes), rbsp(&bytes, 1), rbsp(&bytes, 2));
        }
    }
}
