//! AAC (ISO/IEC 14496-3).

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

/// By `samplingFrequencyIndex` (table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
const EXPLICIT_RATE: usize = 15;

/// Object types (table 1.17) that extend another one by spectral band replication.
const SBR: u8 = 5;
const PARAMETRIC_STEREO: u8 = 29;
/// Low delay ones have frames of half the length.
const LOW_DELAY: u8 = 23;
const ENHANCED_LOW_DELAY: u8 = 39;

/// What an AudioSpecificConfig tells (section 1.6.2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Format {
    /// Of the core coder: with spectral band replication half of what is heard.
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    /// Samples of the core coder in a frame.
    pub(crate) frame_length: u32,
}

/// Reads an AudioSpecificConfig; `None` if it is damaged.
pub(crate) fn format(config: &[u8]) -> Option<Format> {
    read(&mut BitReader::new(config)).ok().flatten()
}

fn read(r: &mut impl BitRead) -> Result<Option<Format>, BitReaderError> {
    let mut object_type = read_object_type(r)?;
    let Some(sample_rate) = read_rate(r)? else {
        return Ok(None);
    };
    let channels: u8 = r.read(4, "channelConfiguration")?;
    if matches!(object_type, SBR | PARAMETRIC_STEREO) {
        read_rate(r)?;
        object_type = read_object_type(r)?;
    }
    let is_short = r.read_bool("frameLengthFlag")?;
    let frame_length = match (object_type, is_short) {
        (LOW_DELAY | ENHANCED_LOW_DELAY, false) => 512,
        (LOW_DELAY | ENHANCED_LOW_DELAY, true) => 480,
        (_, false) => 1_024,
        (_, true) => 960,
    };
    Ok(Some(Format {
        sample_rate,
        channels: match channels {
            7 => 8,
            other => other.into(),
        },
        frame_length,
    }))
}

fn read_object_type(r: &mut impl BitRead) -> Result<u8, BitReaderError> {
    const ESCAPE: u8 = 31;
    let kind: u8 = r.read(5, "audioObjectType")?;
    if kind != ESCAPE {
        return Ok(kind);
    }
    let beyond: u8 = r.read(6, "audioObjectTypeExt")?;
    Ok(32 + beyond)
}

fn read_rate(r: &mut impl BitRead) -> Result<Option<u32>, BitReaderError> {
    let index: u8 = r.read(4, "samplingFrequencyIndex")?;
    if usize::from(index) == EXPLICIT_RATE {
        let rate: u32 = r.read(24, "samplingFrequency")?;
        return Ok((rate > 0).then_some(rate));
    }
    Ok(RATES.get(usize::from(index)).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(config: &[u8]) -> Option<(u32, u16, u32)> {
        let format = format(config)?;
        Some((format.sample_rate, format.channels, format.frame_length))
    }

    #[test]
    fn configurations_of_encoders_are_read() {
        assert_eq!(told(&[0x12, 0x10]), Some((44_100, 2, 1_024)), "LC");
        assert_eq!(told(&[0x11, 0x88]), Some((48_000, 1, 1_024)), "LC");
        assert_eq!(
            told(&[0x2b, 0x11, 0x88, 0x00]),
            Some((24_000, 2, 1_024)),
            "HE"
        );
        assert_eq!(told(&[0x14, 0x08]), Some((16_000, 1, 1_024)), "LC");
        assert_eq!(told(&[0x12]), None);
        assert_eq!(told(&[0x17, 0x10]), None, "a rate that is reserved");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = format(&bytes);
        }
    }
}
