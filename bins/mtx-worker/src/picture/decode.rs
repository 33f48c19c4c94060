//! H.264 to picture, by Cisco's OpenH264.

use h264_reader::avcc::AvcDecoderConfigurationRecord;
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;
use thiserror::Error;

use crate::source::{is_h264_full_range, nal_units};

/// What stands before each NAL unit in a byte stream (ITU-T H.264, annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Why an access unit can't be decoded.
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    #[error("the stream's parameter sets can't be read")]
    ParameterSets,
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

/// Decodes one access unit of length-prefixed NAL units, whose track has the AVCDecoderConfigurationRecord
/// `config`.
pub(crate) fn decode(config: &[u8], access_unit: &[u8]) -> Result<Picture, DecodeError> {
    let wrong = |_| DecodeError::ParameterSets;
    let record = AvcDecoderConfigurationRecord::try_from(config).map_err(wrong)?;
    let mut bytes = Vec::with_capacity(config.len() + access_unit.len() + 64);
    let mut full_range = false;
    for set in record.sequence_parameter_sets() {
        let set = set.map_err(|_| DecodeError::ParameterSets)?;
        full_range |= is_h264_full_range(set);
        append(&mut bytes, set);
    }
    for set in record.picture_parameter_sets() {
        append(&mut bytes, set.map_err(|_| DecodeError::ParameterSets)?);
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
    use proptest::prelude::*;

    /// A grey picture of 64 by 64, as x264 writes it.
    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x0a, 0xdb, 0x11, 0x1a, 0x01, 0x10];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn record() -> Vec<u8> {
        let mut record = vec![1, 0x42, 0xc0, 0x0a, 0xff, 0xe1, 0, SPS.len() as u8];
        record.extend_from_slice(SPS);
        record.extend_from_slice(&[1, 0, PPS.len() as u8]);
        record.extend_from_slice(PPS);
        record
    }

    #[test]
    fn without_parameter_sets_or_frame_there_is_no_picture() {
        assert!(matches!(decode(&[], &[]), Err(DecodeError::ParameterSets)));
        assert!(decode(&record(), &[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_panic(config in any::<Vec<u8>>(), frame in any::<Vec<u8>>()) {
            let _ = decode(&config, &frame);
            let unit = [&(frame.len() as u32 + 1).to_be_bytes()[..], &[0x65], &frame].concat();
            let _ = decode(&record(), &unit);
        }
    }
}
