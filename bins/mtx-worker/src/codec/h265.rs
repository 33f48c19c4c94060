//! H.265 (ITU-T H.265).

use std::time::Duration;

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use super::h265_timing::frame_duration;
use super::nal::{Sets, SetsById, from_base64, nal_units, rbsp, split_byte_stream};
use crate::media::EntryPoint;

/// Types of NAL units (table 7-1).
const LAST_SLICE: u8 = 31;
const IDR_W_RADL: u8 = 19;
const IDR_N_LP: u8 = 20;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const DELIMITER: u8 = 35;
const FILLER: u8 = 38;

/// Pictures that decoding can start at.
const RANDOM_ACCESS: std::ops::RangeInclusive<u8> = 16..=23;

const HEADER: usize = 2;

/// Profile, tier and level: a general part of twelve bytes in SPS and record alike.
const PROFILE_TIER_LEVEL: usize = 12;

/// The type of a NAL unit.
pub(crate) fn kind(nal: &[u8]) -> Option<u8> {
    (nal.len() >= HEADER).then(|| nal[0] >> 1 & 0x3f)
}

/// Whether it is part of a picture.
pub(crate) fn is_slice(nal: &[u8]) -> bool {
    kind(nal).is_some_and(|kind| kind <= LAST_SLICE)
}

/// Whether it is a picture's first part, by `first_slice_segment_in_pic_flag`.
pub(crate) fn is_first_slice(nal: &[u8]) -> bool {
    is_slice(nal) && nal.get(HEADER).is_some_and(|byte| byte & 0x80 != 0)
}

pub(crate) fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(kind(nal), Some(VPS..=PPS))
}

/// What decoders do not need.
pub(crate) fn is_padding(nal: &[u8]) -> bool {
    matches!(kind(nal), Some(DELIMITER | FILLER) | None)
}

/// What decoding can do at an access unit of length-prefixed NAL units.
pub(crate) fn entry_point(access_unit: &[u8]) -> EntryPoint {
    for kind in nal_units(access_unit).filter_map(kind) {
        match kind {
            IDR_W_RADL | IDR_N_LP => return EntryPoint::Closed,
            kind if RANDOM_ACCESS.contains(&kind) => return EntryPoint::Open,
            _ => {}
        }
    }
    EntryPoint::None
}

/// The parameter sets of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParameterSets {
    pub(crate) vps: SetsById,
    pub(crate) sps: SetsById,
    pub(crate) pps: SetsById,
}

/// What an SPS tells (section 7.3.2.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Format {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// How many pictures may be decoded before one that is shown earlier.
    pub(crate) reorder: usize,
    pub(crate) frame_duration: Option<Duration>,
    sub_layers: u8,
    is_nested: bool,
    chroma_format: u8,
    depth_luma_minus8: u8,
    depth_chroma_minus8: u8,
}

impl Sets for ParameterSets {
    fn take(&mut self, nal: &[u8]) -> bool {
        match kind(nal) {
            Some(VPS) => {
                let id = nal.get(HEADER).map_or(0, |byte| u32::from(byte >> 4));
                self.vps.take(id, 15, nal)
            }
            Some(SPS) => self.sps.take(sps_id(nal).unwrap_or(0), 15, nal),
            Some(PPS) => {
                let id = BitReader::new(&nal[HEADER..]).read_ue("pps_pic_parameter_set_id");
                self.pps.take(id.unwrap_or(0), 63, nal)
            }
            _ => false,
        }
    }

    fn is_complete(&self) -> bool {
        !self.vps.is_empty() && !self.sps.is_empty() && !self.pps.is_empty()
    }

    fn has_all_sps_of(&self, other: &Self) -> bool {
        self.sps.has_all_of(&other.sps)
    }
}

impl ParameterSets {
    /// The sets of a session description, each in a parameter of its own (RFC 7798, section 7.1).
    pub(crate) fn from_description<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sets = Self::default();
        for encoded in texts.into_iter().flat_map(|text| text.split(',')) {
            for nal in split_byte_stream(&from_base64(encoded)) {
                sets.take(nal);
            }
        }
        sets
    }

    /// The first VPS, the first SPS and the first PPS alone.
    pub(crate) fn first_of_each(&self) -> Self {
        let first = [&self.vps, &self.sps, &self.pps].map(SetsById::first);
        let mut sets = Self::default();
        for nal in first.into_iter().flatten() {
            sets.take(nal);
        }
        sets
    }

    /// All of them, in the order in which a decoder needs them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &bytes::Bytes> {
        self.vps
            .iter()
            .chain(self.sps.iter())
            .chain(self.pps.iter())
    }

    /// What the first SPS tells; `None` if it can't be read.
    pub(crate) fn format(&self) -> Option<Format> {
        let rbsp = rbsp(self.sps.first()?, HEADER)?;
        read_sps(&mut BitReader::new(&rbsp[..]))
            .ok()
            .map(|(format, _)| format)
    }

    /// The HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 8.3.3.1).
    pub(crate) fn decoder_configuration(&self) -> Vec<u8> {
        let rbsp = self.sps.first().and_then(|sps| rbsp(sps, HEADER));
        let general = rbsp
            .as_ref()
            .and_then(|rbsp| rbsp.get(1..=PROFILE_TIER_LEVEL));
        let (Some(general), Some(format)) = (general, self.format()) else {
            return Vec::new();
        };
        let mut record = vec![1];
        record.extend_from_slice(general);
        // No least segmentation, parallelism not told.
        record.extend_from_slice(&[0xf0, 0, 0xfc]);
        record.push(0xfc | format.chroma_format);
        record.push(0xf8 | format.depth_luma_minus8);
        record.push(0xf8 | format.depth_chroma_minus8);
        // The frame rate is not told; lengths of NAL units have four bytes.
        record.extend_from_slice(&[0, 0]);
        record.push((format.sub_layers & 7) << 3 | u8::from(format.is_nested) << 2 | 3);
        record.push(3);
        for (kind, sets) in [(VPS, &self.vps), (SPS, &self.sps), (PPS, &self.pps)] {
            record.push(0x80 | kind);
            let count = sets.len().min(usize::from(u16::MAX));
            record.extend_from_slice(&(count as u16).to_be_bytes());
            sets.write(count, &mut record);
        }
        record
    }
}

fn sps_id(nal: &[u8]) -> Option<u32> {
    let rbsp = rbsp(nal, HEADER)?;
    read_sps(&mut BitReader::new(&rbsp[..]))
        .ok()
        .map(|(_, id)| id)
}

/// What an SPS tells, and its id.
fn read_sps(r: &mut impl BitRead) -> Result<(Format, u32), BitReaderError> {
    r.skip(4, "sps_video_parameter_set_id")?;
    let max_sub_layers_minus1: u8 = r.read(3, "sps_max_sub_layers_minus1")?;
    let is_nested = r.read_bool("sps_temporal_id_nesting_flag")?;
    skip_profile_tier_level(r, max_sub_layers_minus1)?;
    let id = r.read_ue("sps_seq_parameter_set_id")?;
    let chroma_format = r.read_ue("chroma_format_idc")?;
    if chroma_format == 3 {
        r.skip(1, "separate_colour_plane_flag")?;
    }
    let (mut width, mut height) = (
        r.read_ue("pic_width_in_luma_samples")?,
        r.read_ue("pic_height_in_luma_samples")?,
    );
    if r.read_bool("conformance_window_flag")? {
        // Offsets count chroma samples (table 6-1).
        let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma_format == 1 { 2 } else { 1 };
        for side in ["left", "right"] {
            width = width.saturating_sub(r.read_ue(side)?.saturating_mul(unit_x));
        }
        for side in ["top", "bottom"] {
            height = height.saturating_sub(r.read_ue(side)?.saturating_mul(unit_y));
        }
    }
    let depth_luma_minus8 = r.read_ue("bit_depth_luma_minus8")?;
    let depth_chroma_minus8 = r.read_ue("bit_depth_chroma_minus8")?;
    let poc_bits = r.read_ue("log2_max_pic_order_cnt_lsb_minus4")?.min(12) + 4;
    let each = r.read_bool("sps_sub_layer_ordering_info_present_flag")?;
    let mut deepest = 0;
    for _ in 0..if each { max_sub_layers_minus1 + 1 } else { 1 } {
        r.read_ue("sps_max_dec_pic_buffering_minus1")?;
        deepest = deepest.max(r.read_ue("sps_max_num_reorder_pics")?);
        r.read_ue("sps_max_latency_increase_plus1")?;
    }
    let format = Format {
        width,
        height,
        reorder: deepest as usize,
        frame_duration: frame_duration(r, poc_bits),
        sub_layers: max_sub_layers_minus1 + 1,
        is_nested,
        chroma_format: chroma_format as u8 & 3,
        depth_luma_minus8: depth_luma_minus8 as u8 & 7,
        depth_chroma_minus8: depth_chroma_minus8 as u8 & 7,
    };
    Ok((format, id))
}

/// Section 7.3.3, `profile_tier_level(1, sub_layers)`.
fn skip_profile_tier_level(r: &mut impl BitRead, sub_layers: u8) -> Result<(), BitReaderError> {
    const PROFILE: u32 = 88;
    const LEVEL: u32 = 8;
    r.skip(PROFILE + LEVEL, "general profile and level")?;
    if sub_layers == 0 {
        return Ok(());
    }
    let present: u16 = r.read_to("sub_layer_present_flags")?;
    for layer in 0..sub_layers {
        let flags = present >> (14 - 2 * u16::from(layer));
        if flags & 0b10 != 0 {
            r.skip(PROFILE, "sub_layer_profile")?;
        }
        if flags & 0b01 != 0 {
            r.skip(LEVEL, "sub_layer_level_idc")?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of 320x180 test patterns encoded by x265.
    pub(crate) const X265_B_FRAMES: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x65\x66\x92\x4c\xaf\x01\x68\x08\x00\x00\x03\x00\x08\x00\x00\x03\x00\xc8\x40";
    const X265_WITHOUT: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x64\xa9\x24\xca\xf0\x16\x80\x80\x00\x00\x03\x00\x80\x00\x00\x0c\x84";
    pub(crate) const A_VPS: &[u8] = &[0x40, 1, 0x0c, 1];
    pub(crate) const A_PPS: &[u8] = &[0x44, 1, 0xc1, 0x72];

    fn sets(nals: &[&[u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        for nal in nals {
            sets.take(nal);
        }
        sets
    }

    #[test]
    fn the_format_is_the_one_that_ffprobe_reads() {
        let format = sets(&[X265_B_FRAMES]).format().unwrap();
        assert_eq!((format.width, format.height, format.reorder), (320, 180, 2));
        assert_eq!((format.chroma_format, format.depth_luma_minus8), (1, 0));
        assert_eq!(format.frame_duration, Some(Duration::from_millis(40)));
        assert_eq!(sets(&[X265_WITHOUT]).format().unwrap().reorder, 0);
    }

    #[test]
    fn decoding_starts_at_idr_and_cra_pictures() {
        let entry = |kind: u8| entry_point(&[0, 0, 0, 2, 0x46, 1, 0, 0, 0, 3, kind << 1, 1, 0]);
        assert_eq!(entry(19), EntryPoint::Closed);
        assert_eq!(entry(21), EntryPoint::Open);
        assert_eq!(entry(1), EntryPoint::None);
    }

    #[test]
    fn the_record_tells_the_format_and_holds_the_sets() {
        let record = sets(&[A_VPS, X265_B_FRAMES, A_PPS]).decoder_configuration();
        assert_eq!(
            record[..13],
            [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x3c]
        );
        assert_eq!(
            record[13..23],
            [0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 3]
        );
        assert_eq!(record[23..32], [0x80 | VPS, 0, 1, 0, 4, 0x40, 1, 0x0c, 1]);
        assert!(record.ends_with(&[0x80 | PPS, 0, 1, 0, 4, 0x44, 1, 0xc1, 0x72]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0usize..24, value: u8) {
            let mut damaged = X265_B_FRAMES.to_vec();
            damaged[at] = value;
            for nal in [&bytes[..], &[&[0x42, 1], &bytes[..]].concat(), &damaged] {
                let sets = sets(&[nal, A_PPS, A_VPS]);
                let _ = (sets.format(), sets.decoder_configuration(), is_first_slice(nal));
            }
            let _ = entry_point(&bytes);
        }
    }
}
