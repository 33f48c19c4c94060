//! What a sequence parameter set tells: the reorder depth, and the range of sample values.

use std::borrow::Cow;

use h264_reader::nal::sps::{PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, decode_nal};

/// profile_idc of Baseline, which has no B slices (ITU-T H.264, annex A.2.1).
const BASELINE: u8 = 66;

/// The reorder depth in frames, `max_num_reorder_frames`, of an H.264 SPS (ITU-T H.264, annex E.2.1); `None` if it
/// does not say.
pub(crate) fn h264_reorder(nal: &[u8]) -> Option<usize> {
    let sps = h264_sps(nal)?;
    if sps.pic_order_cnt == PicOrderCntType::TypeTwo || u8::from(sps.profile_idc) == BASELINE {
        return Some(0);
    }
    let restrictions = sps.vui_parameters?.bitstream_restrictions?;
    usize::try_from(restrictions.max_num_reorder_frames).ok()
}

/// Whether samples go from 0 to 255 by an H.264 SPS (annex E.2.1), which it rarely says.
pub(crate) fn is_h264_full_range(nal: &[u8]) -> bool {
    let vui = h264_sps(nal).and_then(|sps| sps.vui_parameters);
    let signal = vui.and_then(|vui| vui.video_signal_type);
    signal.is_some_and(|signal| signal.video_full_range_flag)
}

fn h264_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    let rbsp = rbsp(nal)?;
    SeqParameterSet::from_bits(BitReader::new(&rbsp[..])).ok()
}

/// The reorder depth in frames, the largest `sps_max_num_reorder_pics`, of an H.265 SPS (ITU-T H.265, section
/// 7.3.2.2.1); `None` if the SPS can't be read.
pub(crate) fn h265_reorder(nal: &[u8]) -> Option<usize> {
    // decode_nal skips the one byte of an H.264 header; the header here has two.
    let rbsp = rbsp(nal.get(1..)?)?;
    let depth = read_h265_reorder(&mut BitReader::new(&rbsp[..])).ok()?;
    usize::try_from(depth).ok()
}

/// The payload of a NAL unit, without emulation prevention bytes.
fn rbsp(nal: &[u8]) -> Option<Cow<'_, [u8]>> {
    // h264-reader takes it for granted that there is something behind the header.
    (nal.len() > 1).then(|| decode_nal(nal).ok()).flatten()
}

fn read_h265_reorder(r: &mut impl BitRead) -> Result<u32, BitReaderError> {
    r.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers: u8 = r.read(3, "sps_max_sub_layers_minus1")?;
    r.skip(1, "sps_temporal_id_nesting_flag")?;
    skip_profile_tier_level(r, sub_layers)?;
    r.read_ue("sps_seq_parameter_set_id")?;
    if r.read_ue("chroma_format_idc")? == 3 {
        r.skip(1, "separate_colour_plane_flag")?;
    }
    r.read_ue("pic_width_in_luma_samples")?;
    r.read_ue("pic_height_in_luma_samples")?;
    if r.read_bool("conformance_window_flag")? {
        for side in ["left", "right", "top", "bottom"] {
            r.read_ue(side)?;
        }
    }
    r.read_ue("bit_depth_luma_minus8")?;
    r.read_ue("bit_depth_chroma_minus8")?;
    r.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
    let each = r.read_bool("sps_sub_layer_ordering_info_present_flag")?;
    let mut deepest = 0;
    for _ in 0..if each { sub_layers + 1 } else { 1 } {
        r.read_ue("sps_max_dec_pic_buffering_minus1")?;
        deepest = deepest.max(r.read_ue("sps_max_num_reorder_pics")?);
        r.read_ue("sps_max_latency_increase_plus1")?;
    }
    Ok(deepest)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of 320x180 test patterns encoded by x264 and x265.
    const X264_B_FRAMES: &[u8] = b"\x67\x64\x00\x0c\xac\xd9\x41\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\x99\x60";
    const X264_BASELINE: &[u8] = b"\x67\x42\xc0\x0c\xd9\x01\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\xa4\x80";
    const X264_MAIN_WITHOUT: &[u8] = b"\x67\x4d\x40\x0c\xd9\x01\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\xa4\x80";
    const X265_B_FRAMES: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x65\x66\x92\x4c\xaf\x01\x68\x08\x00\x00\x03\x00\x08\x00\x00\x03\x00\xc8\x40";
    const X265_WITHOUT: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x64\xa9\x24\xca\xf0\x16\x80\x80\x00\x00\x03\x00\x80\x00\x00\x0c\x84";

    #[test]
    fn the_depth_is_the_one_that_ffprobe_reads() {
        assert_eq!(h264_reorder(X264_B_FRAMES), Some(2));
        assert_eq!(h264_reorder(X264_BASELINE), Some(0));
        assert_eq!(h264_reorder(X264_MAIN_WITHOUT), Some(0));
        assert_eq!(h265_reorder(X265_B_FRAMES), Some(2));
        assert_eq!(h265_reorder(X265_WITHOUT), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (h264_reorder(&bytes), h265_reorder(&bytes));
        }

        #[test]
        fn a_damaged_sps_is_read_or_ignored_without_panic(at in 0usize..24, value: u8) {
            let mut sps = X264_B_FRAMES.to_vec();
            sps[at] = value;
            let mut hevc = X265_B_FRAMES.to_vec();
            hevc[at] = value;
            let _ = (h264_reorder(&sps), h265_reorder(&hevc));
        }
    }
}
