//! AV1 (AV1 Bitstream and Decoding Process Specification).

use bytes::{BufMut, BytesMut};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

/// Types of OBUs (section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

const HAS_SIZE: u8 = 0x02;
const HAS_EXTENSION: u8 = 0x04;

/// A number in groups of seven bits, the lowest first, and how many bytes it takes (section 4.10.5).
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, index + 1));
        }
    }
    None
}

pub(crate) fn write_leb128(mut value: usize, to: &mut BytesMut) {
    while value >= 0x80 {
        to.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

fn kind(obu: &[u8]) -> Option<u8> {
    obu.first().map(|header| header >> 3 & 0x0f)
}

/// The payload behind an OBU's header and size, where it has one.
fn payload(obu: &[u8]) -> Option<&[u8]> {
    let header = *obu.first()?;
    let rest = obu.get(if header & HAS_EXTENSION == 0 { 1 } else { 2 }..)?;
    if header & HAS_SIZE == 0 {
        return Some(rest);
    }
    let (size, length) = leb128(rest)?;
    rest.get(length..length.checked_add(size)?)
}

pub(crate) fn is_sequence_header(obu: &[u8]) -> bool {
    kind(obu) == Some(SEQUENCE_HEADER)
}

/// Whether the OBU has no place in a stored temporal unit (AV1 in ISOBMFF, section 2.4).
pub(crate) fn is_padding(obu: &[u8]) -> bool {
    matches!(
        kind(obu),
        Some(TEMPORAL_DELIMITER | TILE_LIST | PADDING) | None
    )
}

/// Appends an OBU with its size, the low overhead format (section 5.2).
pub(crate) fn write(obu: &[u8], to: &mut BytesMut) {
    let (Some(&header), Some(payload)) = (obu.first(), payload(obu)) else {
        return;
    };
    to.put_u8(header | HAS_SIZE);
    if header & HAS_EXTENSION != 0
        && let Some(&extension) = obu.get(1)
    {
        to.put_u8(extension);
    }
    write_leb128(payload.len(), to);
    to.put_slice(payload);
}

/// What a sequence header tells (section 5.5).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SequenceHeader {
    pub(crate) width: u32,
    pub(crate) height: u32,
    profile: u8,
    level: u8,
    tier: bool,
    color: Color,
    /// The OBU with its size.
    obu: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Color {
    high_bit_depth: bool,
    twelve_bit: bool,
    monochrome: bool,
    subsampling: (bool, bool),
    sample_position: u8,
}

impl SequenceHeader {
    /// Reads a sequence header OBU; `None` if it is none, or damaged.
    pub(crate) fn parse(obu: &[u8]) -> Option<Self> {
        if !is_sequence_header(obu) {
            return None;
        }
        let mut header = read(&mut BitReader::new(payload(obu)?)).ok()?;
        let mut sized = BytesMut::new();
        write(obu, &mut sized);
        header.obu = sized.to_vec();
        Some(header)
    }

    /// The AV1CodecConfigurationRecord (AV1 in ISOBMFF, section 2.3.3).
    pub(crate) fn decoder_configuration(&self) -> Vec<u8> {
        let color = self.color;
        let bits = [
            self.tier,
            color.high_bit_depth,
            color.twelve_bit,
            color.monochrome,
            color.subsampling.0,
            color.subsampling.1,
        ];
        let flags = bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit)) << 2;
        let mut record = vec![
            0x81,
            self.profile << 5 | self.level,
            flags | color.sample_position,
            0,
        ];
        record.extend_from_slice(&self.obu);
        record
    }
}

fn read(r: &mut impl BitRead) -> Result<SequenceHeader, BitReaderError> {
    let profile: u8 = r.read(3, "seq_profile")?;
    r.skip(1, "still_picture")?;
    let (level, tier) = if r.read_bool("reduced_still_picture_header")? {
        (r.read(5, "seq_level_idx")?, false)
    } else {
        read_operating_points(r)?
    };
    let width_bits: u32 = r.read(4, "frame_width_bits_minus_1")?;
    let height_bits: u32 = r.read(4, "frame_height_bits_minus_1")?;
    let width: u32 = read_bits(r, width_bits + 1)?;
    let height: u32 = read_bits(r, height_bits + 1)?;
    // What lies between the size and the colours is in the order of section 5.5.1.
    let color = read_tools(r).and_then(|()| read_color(r, profile));
    Ok(SequenceHeader {
        width: width + 1,
        height: height + 1,
        profile,
        level,
        tier,
        color: color.unwrap_or(Color {
            subsampling: (true, true),
            ..Color::default()
        }),
        obu: Vec::new(),
    })
}

fn read_bits(r: &mut impl BitRead, bits: u32) -> Result<u32, BitReaderError> {
    let mut value = 0;
    for _ in 0..bits {
        value = value << 1 | u32::from(r.read_bool("bit")?);
    }
    Ok(value)
}

/// Level and tier of the first operating point.
fn read_operating_points(r: &mut impl BitRead) -> Result<(u8, bool), BitReaderError> {
    let mut delay_bits = None;
    if r.read_bool("timing_info_present_flag")? {
        r.skip(64, "num_units_in_display_tick, time_scale")?;
        if r.read_bool("equal_picture_interval")? {
            r.read_ue("num_ticks_per_picture_minus_1")?;
        }
        if r.read_bool("decoder_model_info_present_flag")? {
            let bits: u32 = r.read(5, "buffer_delay_length_minus_1")?;
            r.skip(32 + 5 + 5, "the rest of decoder_model_info")?;
            delay_bits = Some(bits + 1);
        }
    }
    let has_display_delay = r.read_bool("initial_display_delay_present_flag")?;
    let points: u8 = r.read(5, "operating_points_cnt_minus_1")?;
    let mut first = None;
    for _ in 0..=points {
        r.skip(12, "operating_point_idc")?;
        let level: u8 = r.read(5, "seq_level_idx")?;
        // Level 4.0 is the first that has tiers.
        let tier = level > 7 && r.read_bool("seq_tier")?;
        if let Some(bits) = delay_bits
            && r.read_bool("decoder_model_present_for_this_op")?
        {
            r.skip(2 * bits + 1, "operating_parameters_info")?;
        }
        if has_display_delay && r.read_bool("initial_display_delay_present_for_this_op")? {
            r.skip(4, "initial_display_delay_minus_1")?;
        }
        first.get_or_insert((level, tier));
    }
    Ok(first.unwrap_or_default())
}

/// Skips what stands between the frame's size and its colours, for sequences that are no still pictures.
fn read_tools(r: &mut impl BitRead) -> Result<(), BitReaderError> {
    if r.read_bool("frame_id_numbers_present_flag")? {
        r.skip(4 + 3, "lengths of frame ids")?;
    }
    r.skip(3, "superblocks, filter_intra, intra_edge_filter")?;
    r.skip(4, "interintra, masked_compound, warped_motion, dual_filter")?;
    if r.read_bool("enable_order_hint")? {
        r.skip(2, "jnt_comp, ref_frame_mvs")?;
        skip_screen_content(r)?;
        r.skip(3, "order_hint_bits_minus_1")?;
    } else {
        skip_screen_content(r)?;
    }
    r.skip(3, "superres, cdef, restoration")
}

fn skip_screen_content(r: &mut impl BitRead) -> Result<(), BitReaderError> {
    let may_be_on = r.read_bool("seq_choose_screen_content_tools")?
        || r.read_bool("seq_force_screen_content_tools")?;
    if may_be_on && !r.read_bool("seq_choose_integer_mv")? {
        r.skip(1, "seq_force_integer_mv")?;
    }
    Ok(())
}

/// Section 5.5.2.
fn read_color(r: &mut impl BitRead, profile: u8) -> Result<Color, BitReaderError> {
    const PROFESSIONAL: u8 = 2;
    /// Colours that stand for RGB: primaries, transfer characteristics, matrix coefficients.
    const SRGB: [u8; 3] = [1, 13, 0];
    let high_bit_depth = r.read_bool("high_bitdepth")?;
    let twelve_bit = profile == PROFESSIONAL && high_bit_depth && r.read_bool("twelve_bit")?;
    let monochrome = profile != 1 && r.read_bool("mono_chrome")?;
    let mut description = [2, 2, 2];
    if r.read_bool("color_description_present_flag")? {
        for value in &mut description {
            *value = r.read(8, "color description")?;
        }
    }
    let mut color = Color {
        high_bit_depth,
        twelve_bit,
        monochrome,
        subsampling: (true, true),
        sample_position: 0,
    };
    if monochrome {
        return Ok(color);
    }
    if description == SRGB {
        color.subsampling = (false, false);
        return Ok(color);
    }
    r.skip(1, "color_range")?;
    color.subsampling = match (profile, twelve_bit) {
        (0, _) => (true, true),
        (1, _) => (false, false),
        (_, false) => (true, false),
        (_, true) => {
            let x = r.read_bool("subsampling_x")?;
            (x, x && r.read_bool("subsampling_y")?)
        }
    };
    if color.subsampling == (true, true) {
        color.sample_position = r.read(2, "chroma_sample_position")?;
    }
    Ok(color)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of a 320x180 test pattern encoded by libaom.
    pub(crate) const A_SEQUENCE_HEADER: &[u8] = &[
        0x0a, 0x0b, 0, 0, 0, 0x04, 0x3c, 0xfe, 0xcc, 0xa9, 0xf5, 0x50, 0x40,
    ];

    #[test]
    fn a_size_is_added_where_it_is_missing() {
        let mut out = BytesMut::new();
        write(&[0x30, 1, 2, 3], &mut out);
        assert_eq!(&out[..], [0x32, 3, 1, 2, 3]);
        let mut again = BytesMut::new();
        write(&out, &mut again);
        assert_eq!(again, out);
    }

    proptest! {
        #[test]
        fn numbers_come_back(value in 0usize..1 << 30) {
            let mut bytes = BytesMut::new();
            write_leb128(value, &mut bytes);
            prop_assert_eq!(leb128(&bytes), Some((value, bytes.len())));
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0..A_SEQUENCE_HEADER.len(), value: u8) {
            let mut damaged = A_SEQUENCE_HEADER.to_vec();
            damaged[at] = value;
            for obu in [&bytes[..], &[&[0x08], &bytes[..]].concat(), &damaged] {
                let _ = SequenceHeader::parse(obu).map(|header| header.decoder_configuration());
                write(obu, &mut BytesMut::new());
            }
        }
    }
}
