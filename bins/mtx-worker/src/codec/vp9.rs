//! VP9 (VP9 Bitstream and Decoding Process Specification).

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

/// What a key frame tells (sections 6.2 and 7.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) width: u32,
    pub(crate) height: u32,
    profile: u8,
    bit_depth: u8,
    /// As the VPCodecConfigurationRecord counts it: 1 is 4:2:0 with samples in line with the picture's.
    chroma: u8,
    is_full_range: bool,
}

impl Format {
    /// Reads the header of a frame; `None` if it is no key frame.
    pub(crate) fn of_key_frame(frame: &[u8]) -> Option<Self> {
        read(&mut BitReader::new(frame)).ok().flatten()
    }

    /// The VPCodecConfigurationRecord with its version (VP Codec ISO Media File Format Binding).
    pub(crate) fn decoder_configuration(&self) -> Vec<u8> {
        /// 1.0 to 6.2 in steps; a decoder finds out what it really needs.
        const LEVEL: u8 = 10;
        const UNSPECIFIED: u8 = 2;
        let format = self.bit_depth << 4 | self.chroma << 1 | u8::from(self.is_full_range);
        vec![
            1,
            0,
            0,
            0,
            self.profile,
            LEVEL,
            format,
            UNSPECIFIED,
            UNSPECIFIED,
            UNSPECIFIED,
            0,
            0,
        ]
    }
}

/// Whether decoding can start at a frame.
pub(crate) fn is_key(frame: &[u8]) -> bool {
    Format::of_key_frame(frame).is_some()
}

fn read(r: &mut impl BitRead) -> Result<Option<Format>, BitReaderError> {
    const FRAME_MARKER: u8 = 2;
    const SYNC_CODE: u32 = 0x49_83_42;
    const RGB: u8 = 7;
    if r.read::<u8>(2, "frame_marker")? != FRAME_MARKER {
        return Ok(None);
    }
    let (low, high) = (
        r.read_bool("profile_low_bit")?,
        r.read_bool("profile_high_bit")?,
    );
    let profile = u8::from(low) | u8::from(high) << 1;
    if profile == 3 {
        r.skip(1, "reserved_zero")?;
    }
    if r.read_bool("show_existing_frame")? || r.read_bool("frame_type")? {
        return Ok(None);
    }
    r.skip(2, "show_frame, error_resilient_mode")?;
    if r.read::<u32>(24, "frame_sync_code")? != SYNC_CODE {
        return Ok(None);
    }
    let bit_depth = match profile >= 2 {
        true if r.read_bool("ten_or_twelve_bit")? => 12,
        true => 10,
        false => 8,
    };
    let color_space: u8 = r.read(3, "color_space")?;
    let (mut is_full_range, mut chroma) = (true, 3);
    if color_space != RGB {
        is_full_range = r.read_bool("color_range")?;
        chroma = 1;
        if profile & 1 != 0 {
            let (x, y) = (r.read_bool("subsampling_x")?, r.read_bool("subsampling_y")?);
            r.skip(1, "reserved_zero")?;
            chroma = match (x, y) {
                (true, true) => 1,
                (true, false) => 2,
                _ => 3,
            };
        }
    } else if profile & 1 != 0 {
        r.skip(1, "reserved_zero")?;
    }
    let width: u32 = r.read(16, "frame_width_minus_1")?;
    let height: u32 = r.read(16, "frame_height_minus_1")?;
    Ok(Some(Format {
        width: width + 1,
        height: height + 1,
        profile,
        bit_depth,
        chroma,
        is_full_range,
    }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The start of a key frame of 320x180.
    pub(crate) const A_KEY_FRAME: &[u8] =
        &[0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x34, 0];

    #[test]
    fn a_key_frame_tells_its_size() {
        let format = Format::of_key_frame(A_KEY_FRAME).unwrap();
        assert_eq!(
            (format.width, format.height, format.bit_depth),
            (320, 180, 8)
        );
        assert_eq!(
            format.decoder_configuration(),
            [1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0]
        );
        assert!(!is_key(&[0x86, 0, 0x40]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = (is_key(&bytes), is_key(&[A_KEY_FRAME, &bytes].concat()));
        }
    }
}
