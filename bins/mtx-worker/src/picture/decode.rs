//! H.264 to picture, by Cisco's OpenH264.

use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;
use thiserror::Error;

use crate::codec::h264::ParameterSets;
use crate::codec::nal::nal_units;

/// What stands before each NAL unit in a byte stream (ITU-T H.264, annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Why an access unit can't be decoded.
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    #[error("the key frame can't be decoded (damaged, interlaced, or more than 8 bit 4:2:0): {0}")]
    Decoder(#[from] openh264::Error),
    #[error("the key frame alone is not enough to decode a picture")]
    Incomplete,
}

/// A plane of samples, row after row without padding.
pub(crate) struct Plane {
    pub(crate) samples: Vec<u8>,
    pub(crate) width: usize,
}

/// A picture whose chroma planes have half the width and height of the luma plane.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) luma: Plane,
    /// Cb and Cr.
    pub(crate) chroma: [Plane; 2],
    /// Whether samples go from 0 to 255, and not only from 16 to 235 or 240.
    pub(crate) full_range: bool,
}

/// Decodes one access unit of length-prefixed NAL units, whose track has these parameter sets.
pub(crate) fn decode(sets: &ParameterSets, access_unit: &[u8]) -> Result<Picture, DecodeError> {
    let full_range = sets.format().is_some_and(|format| format.is_full_range);
    let mut bytes = Vec::with_capacity(access_unit.len() + 256);
    for set in sets.iter() {
        append(&mut bytes, set);
    }
    for nal in nal_units(access_unit) {
        append(&mut bytes, nal);
    }
    let mut decoder = Decoder::new()?;
    if let Some(picture) = decoder.decode(&bytes)? {
        return Ok(copy(&picture, full_range));
    }
    // With B-frames it would wait for what might be shown earlier.
    let held_back = decoder.flush_remaining()?;
    let picture = held_back.first().ok_or(DecodeError::Incomplete)?;
    Ok(copy(picture, full_range))
}

fn append(bytes: &mut Vec<u8>, nal: &[u8]) {
    bytes.extend_from_slice(&START_CODE);
    bytes.extend_from_slice(nal);
}

fn copy(decoded: &DecodedYUV<'_>, full_range: bool) -> Picture {
    let (width, height) = decoded.dimensions();
    let strides = decoded.strides();
    let plane = |samples: &[u8], stride: usize, width: usize, height: usize| {
        let rows = samples.chunks(stride.max(1)).take(height);
        let samples = rows.flat_map(|row| row.iter().take(width)).copied();
        Plane {
            samples: samples.collect(),
            width,
        }
    };
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    Picture {
        width,
        height,
        luma: plane(decoded.y(), strides.0, width, height),
        chroma: [
            plane(decoded.u(), strides.1, half_width, half_height),
            plane(decoded.v(), strides.2, half_width, half_height),
        ],
        full_range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::nal::Sets as _;
    use proptest::prelude::*;

    /// A grey picture of 64 by 64, as x264 writes it.
    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x0a, 0xdb, 0x11, 0x1a, 0x01, 0x10];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn sets(nals: &[&[u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        for nal in nals {
            sets.take(nal);
        }
        sets
    }

    #[test]
    fn without_parameter_sets_or_frame_there_is_no_picture() {
        assert!(decode(&ParameterSets::default(), &[]).is_err());
        assert!(decode(&sets(&[SPS, PPS]), &[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_panic(set in any::<Vec<u8>>(), frame in any::<Vec<u8>>()) {
            let _ = decode(&sets(&[&[&[0x67], &set[..]].concat(), PPS]), &frame);
            let unit = [&(frame.len() as u32 + 1).to_be_bytes()[..], &[0x65], &frame].concat();
            let _ = decode(&sets(&[SPS, PPS]), &unit);
        }
    }
}
