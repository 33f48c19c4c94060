//! The frame rate of H.265, which stands at the very end of an SPS: all between has to be read (ITU-T H.265, section
//! 7.3.2.2.1, from `log2_min_luma_coding_block_size_minus3` on, and annex E.2.1).

use std::time::Duration;

use h264_reader::rbsp::{BitRead, BitReaderError};

/// Longer ones are no frame durations but an encoder's fancy.
const LONGEST_FRAME: Duration = Duration::from_secs(1);

/// The most short-term reference picture sets, and pictures in one (section 7.4.3.2.1).
const MOST_SETS: u32 = 64;
const MOST_PICTURES: u32 = 16;

/// The duration of a frame, by the VUI; `None` if it does not tell. `poc_bits` is the length of a picture order count's
/// lower part.
pub(super) fn frame_duration(r: &mut impl BitRead, poc_bits: u32) -> Option<Duration> {
    let timing = skip_to_timing(r, poc_bits).ok()??;
    let (ticks, scale) = timing;
    let duration = Duration::try_from_secs_f64(f64::from(ticks) / f64::from(scale)).ok()?;
    (!duration.is_zero() && duration <= LONGEST_FRAME).then_some(duration)
}

/// `vui_num_units_in_tick` and `vui_time_scale`.
fn skip_to_timing(
    r: &mut impl BitRead,
    poc_bits: u32,
) -> Result<Option<(u32, u32)>, BitReaderError> {
    for size in [
        "log2_min_luma_coding_block_size_minus3",
        "log2_diff_max_min_luma_coding_block_size",
        "log2_min_luma_transform_block_size_minus2",
        "log2_diff_max_min_luma_transform_block_size",
        "max_transform_hierarchy_depth_inter",
        "max_transform_hierarchy_depth_intra",
    ] {
        r.read_ue(size)?;
    }
    if r.read_bool("scaling_list_enabled_flag")?
        && r.read_bool("sps_scaling_list_data_present_flag")?
    {
        skip_scaling_lists(r)?;
    }
    r.skip(2, "amp_enabled_flag, sample_adaptive_offset_enabled_flag")?;
    if r.read_bool("pcm_enabled_flag")? {
        r.skip(8, "pcm_sample_bit_depth_luma_minus1, …chroma_minus1")?;
        r.read_ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        r.read_ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        r.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    if !skip_reference_sets(r)? {
        return Ok(None);
    }
    if r.read_bool("long_term_ref_pics_present_flag")? {
        for _ in 0..r.read_ue("num_long_term_ref_pics_sps")?.min(32) {
            r.skip(poc_bits, "lt_ref_pic_poc_lsb_sps")?;
            r.skip(1, "used_by_curr_pic_lt_sps_flag")?;
        }
    }
    r.skip(
        2,
        "sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag",
    )?;
    if !r.read_bool("vui_parameters_present_flag")? {
        return Ok(None);
    }
    read_vui(r)
}

/// Section 7.3.4.
fn skip_scaling_lists(r: &mut impl BitRead) -> Result<(), BitReaderError> {
    for size in 0..4_u32 {
        let lists = if size == 3 { 2 } else { 6 };
        for _ in 0..lists {
            if !r.read_bool("scaling_list_pred_mode_flag")? {
                r.read_ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                r.read_se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                r.read_se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// Distances to the pictures of a short-term reference picture set: earlier ones, and later ones.
#[derive(Default)]
struct ReferenceSet {
    earlier: Vec<i64>,
    later: Vec<i64>,
}

/// Sections 7.3.7 and 7.4.8; whether the sets can be.
fn skip_reference_sets(r: &mut impl BitRead) -> Result<bool, BitReaderError> {
    let count = r.read_ue("num_short_term_ref_pic_sets")?;
    if count > MOST_SETS {
        return Ok(false);
    }
    let mut last: Option<ReferenceSet> = None;
    for _ in 0..count {
        let set = match &last {
            Some(last) if r.read_bool("inter_ref_pic_set_prediction_flag")? => predict(r, last)?,
            _ => read_reference_set(r)?,
        };
        if set.earlier.len() + set.later.len() > MOST_PICTURES as usize {
            return Ok(false);
        }
        last = Some(set);
    }
    Ok(true)
}

fn read_reference_set(r: &mut impl BitRead) -> Result<ReferenceSet, BitReaderError> {
    let earlier = r.read_ue("num_negative_pics")?;
    let later = r.read_ue("num_positive_pics")?;
    let mut read = |count: u32, sign: i64| -> Result<Vec<i64>, BitReaderError> {
        let mut distance = 0;
        // One more than there can be is enough to be refused.
        (0..count.min(MOST_PICTURES + 1))
            .map(|_| {
                distance += sign * (i64::from(r.read_ue("delta_poc_minus1")?) + 1);
                r.skip(1, "used_by_curr_pic_flag")?;
                Ok(distance)
            })
            .collect()
    };
    Ok(ReferenceSet {
        earlier: read(earlier, -1)?,
        later: read(later, 1)?,
    })
}

/// A set by the one before it (formulas 7-61 and 7-62).
fn predict(r: &mut impl BitRead, before: &ReferenceSet) -> Result<ReferenceSet, BitReaderError> {
    let is_negative = r.read_bool("delta_rps_sign")?;
    let distance = i64::from(r.read_ue("abs_delta_rps_minus1")?) + 1;
    let shift = if is_negative { -distance } else { distance };
    let mut kept = Vec::new();
    // The last of them is the other set's own picture.
    for distance in before.earlier.iter().chain(&before.later).chain(&[0]) {
        let is_used = r.read_bool("used_by_curr_pic_flag")?;
        if is_used || r.read_bool("use_delta_flag")? {
            kept.push(distance + shift);
        }
    }
    // Nearest first, on either side; none is the picture itself.
    kept.sort_unstable_by_key(|distance| distance.abs());
    Ok(ReferenceSet {
        earlier: kept.iter().copied().filter(|&at| at < 0).collect(),
        later: kept.iter().copied().filter(|&at| at > 0).collect(),
    })
}

/// Annex E.2.1, up to the timing.
fn read_vui(r: &mut impl BitRead) -> Result<Option<(u32, u32)>, BitReaderError> {
    const EXTENDED_SAR: u8 = 255;
    if r.read_bool("aspect_ratio_info_present_flag")?
        && r.read::<u8>(8, "aspect_ratio_idc")? == EXTENDED_SAR
    {
        r.skip(32, "sar_width, sar_height")?;
    }
    if r.read_bool("overscan_info_present_flag")? {
        r.skip(1, "overscan_appropriate_flag")?;
    }
    if r.read_bool("video_signal_type_present_flag")? {
        r.skip(4, "video_format, video_full_range_flag")?;
        if r.read_bool("colour_description_present_flag")? {
            r.skip(
                24,
                "colour_primaries, transfer_characteristics, matrix_coeffs",
            )?;
        }
    }
    if r.read_bool("chroma_loc_info_present_flag")? {
        r.read_ue("chroma_sample_loc_type_top_field")?;
        r.read_ue("chroma_sample_loc_type_bottom_field")?;
    }
    r.skip(
        3,
        "neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag",
    )?;
    if r.read_bool("default_display_window_flag")? {
        for side in ["left", "right", "top", "bottom"] {
            r.read_ue(side)?;
        }
    }
    if !r.read_bool("vui_timing_info_present_flag")? {
        return Ok(None);
    }
    let ticks = r.read(32, "vui_num_units_in_tick")?;
    let scale = r.read(32, "vui_time_scale")?;
    Ok(Some((ticks, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::h265::ParameterSets;
    use crate::codec::nal::Sets as _;
    use h264_reader::rbsp::BitReader;

    fn microseconds(sps: &[u8]) -> Option<u128> {
        let mut sets = ParameterSets::default();
        sets.take(sps);
        let duration = sets.format().unwrap().frame_duration;
        duration.map(|duration| duration.as_micros())
    }

    /// Of test patterns encoded by x265.
    #[test]
    fn the_frame_rate_is_the_one_that_was_encoded() {
        const AT_50_WITH_SCALING_LISTS: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x65\x64\x92\x4e\x57\x80\xb4\x04\x00\x00\x03\x00\x04\x00\x00\x03\x00\xc8\x20";
        const AT_30: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x65\x66\x92\x4c\xaf\x01\x68\x08\x00\x00\x03\x00\x08\x00\x00\x03\x00\xf0\x40";
        const AT_59_94_WITH_ALL_OF_THE_VUI: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x66\x65\x92\x4c\xaf\x03\xb7\x01\x02\x02\xa4\x10\x00\x00\x3e\x90\x00\x0e\xa6\x00\x80";
        assert_eq!(microseconds(AT_50_WITH_SCALING_LISTS), Some(20_000));
        assert_eq!(microseconds(AT_30), Some(33_333));
        assert_eq!(microseconds(AT_59_94_WITH_ALL_OF_THE_VUI), Some(16_683));
    }

    /// What stands behind the reordering depth, written bit by bit. `1` is the Exp-Golomb number 0, `010` is 1.
    fn tail(reference_sets: &str) -> Vec<u8> {
        let sizes = "111111";
        let tools = "0 00 0";
        let vui = "0 00 1 0000 000 0 1";
        let timing = format!("{:032b}{:032b}", 1_001, 30_000);
        let bits = [sizes, tools, reference_sets, vui, &timing].concat();
        let bits: Vec<u8> = bits.bytes().filter(|&bit| bit != b' ').collect();
        let byte = |bits: &[u8]| {
            let padded = bits.iter().chain(std::iter::repeat(&b'0')).take(8);
            padded.fold(0, |byte, bit| byte << 1 | (bit - b'0'))
        };
        bits.chunks(8).map(byte).collect()
    }

    #[test]
    fn reference_picture_sets_before_it_are_read_whether_predicted_or_not() {
        let table = [
            ("none", "1"),
            (
                "two earlier pictures and one later",
                "010  011 010  1 1  1 1  1 0",
            ),
            // The second has the first one's picture and itself, shifted by one; the third drops one of these, and has
            // itself, so that the fourth has flags for three.
            (
                "predicted",
                "00101  010 1 1 1  1 1 1 1 1  1 1 1 1 00 1  1 0 1 1 1 1",
            ),
            // Shifted onto the picture itself, the only one is dropped.
            (
                "predicted, without itself",
                "00100  1 010 1 1  1 1 1 1 01  1 1 1 1 1",
            ),
        ];
        for (case, sets) in table {
            let tail = tail(sets);
            let duration = frame_duration(&mut BitReader::new(&tail[..]), 8);
            assert_eq!(duration.map(|it| it.as_micros()), Some(33_366), "{case}");
        }
    }

    #[test]
    fn sets_that_cannot_be_tell_no_frame_rate() {
        let tail = tail("0000000000000000 1 0000000000000000");
        assert_eq!(frame_duration(&mut BitReader::new(&tail[..]), 8), None);
    }
}
