//! H.264 (ITU-T H.264).

use std::time::Duration;

use h264_reader::bitstream_io::{Numeric, Primitive};
use h264_reader::nal::sps::{PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use super::nal::{Sets, SetsById, from_base64, nal_units, rbsp, split_byte_stream};
use crate::media::EntryPoint;

/// Types of NAL units (table 7-1).
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

const SEI_RECOVERY_POINT: usize = 6;

/// profile_idc of Baseline, which has no B slices (annex A.2.1).
const BASELINE: u8 = 66;

/// Longer ones are no frame durations but an encoder's fancy.
const LONGEST_FRAME: Duration = Duration::from_secs(1);

/// The type of a NAL unit.
pub(crate) fn kind(nal: &[u8]) -> Option<u8> {
    nal.first().map(|header| header & 0x1f)
}

/// Whether it is part of a picture.
pub(crate) fn is_slice(nal: &[u8]) -> bool {
    kind(nal).is_some_and(|kind| (SLICE..=IDR).contains(&kind))
}

/// Whether it is a picture's first part: `first_mb_in_slice`, an Exp-Golomb number, is 0.
pub(crate) fn is_first_slice(nal: &[u8]) -> bool {
    is_slice(nal) && nal.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

pub(crate) fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(kind(nal), Some(SPS | PPS))
}

/// What decoders do not need.
pub(crate) fn is_padding(nal: &[u8]) -> bool {
    matches!(kind(nal), Some(DELIMITER | FILLER) | None)
}

/// What decoding can do at an access unit of length-prefixed NAL units.
pub(crate) fn entry_point(access_unit: &[u8]) -> EntryPoint {
    let mut entry = EntryPoint::None;
    for nal in nal_units(access_unit) {
        match kind(nal) {
            Some(IDR) => return EntryPoint::Closed,
            Some(SEI) => match recovery_point(nal) {
                Some(0) => entry = EntryPoint::Open,
                Some(_) => entry = EntryPoint::Refresh,
                None => {}
            },
            _ => {}
        }
    }
    entry
}

/// After how many frames a decoder that starts here shows pictures as they should be, by the recovery point message
/// of an SEI (annex D.2.8).
fn recovery_point(nal: &[u8]) -> Option<u32> {
    let rbsp = rbsp(nal, 1)?;
    let mut bytes = &rbsp[..];
    while let (Some(kind), Some(size)) = (sei_number(&mut bytes), sei_number(&mut bytes)) {
        if kind == SEI_RECOVERY_POINT {
            let frames = BitReader::new(bytes).read_ue("recovery_frame_cnt");
            return frames.ok();
        }
        bytes = bytes.get(size..).unwrap_or_default();
    }
    None
}

/// A number in bytes that are added up while they are 255 (section 7.3.2.3.1).
fn sei_number(bytes: &mut &[u8]) -> Option<usize> {
    let full = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let last = *bytes.get(full)?;
    *bytes = &bytes[full + 1..];
    Some(255 * full + usize::from(last))
}

/// The parameter sets of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParameterSets {
    pub(crate) sps: SetsById,
    pub(crate) pps: SetsById,
}

/// What an SPS tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Format {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// How many frames may be decoded before one that is shown earlier; `None` if the stream does not say.
    pub(crate) reorder: Option<usize>,
    pub(crate) frame_duration: Option<Duration>,
    /// Whether samples go from 0 to 255 (annex E.2.1), which it rarely says.
    pub(crate) is_full_range: bool,
}

impl Sets for ParameterSets {
    fn take(&mut self, nal: &[u8]) -> bool {
        match kind(nal) {
            // Behind the header, the profile, its constraints and the level.
            Some(SPS) => self.sps.take(number(nal, 4), 31, nal),
            Some(PPS) => self.pps.take(number(nal, 1), 255, nal),
            _ => false,
        }
    }

    fn is_complete(&self) -> bool {
        !self.sps.is_empty() && !self.pps.is_empty()
    }

    fn has_all_sps_of(&self, other: &Self) -> bool {
        self.sps.has_all_of(&other.sps)
    }
}

impl ParameterSets {
    /// The sets in a session description's `sprop-parameter-sets` (RFC 6184, section 8.1).
    pub(crate) fn from_description(text: &str) -> Self {
        let mut sets = Self::default();
        for encoded in text.split(',') {
            for nal in split_byte_stream(&from_base64(encoded)) {
                sets.take(nal);
            }
        }
        sets
    }

    /// The first SPS and the first PPS alone.
    pub(crate) fn first_of_each(&self) -> Self {
        let mut sets = Self::default();
        for nal in self.sps.first().into_iter().chain(self.pps.first()) {
            sets.take(nal);
        }
        sets
    }

    /// All of them, in the order in which a decoder needs them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &bytes::Bytes> {
        self.sps.iter().chain(self.pps.iter())
    }

    /// What the first SPS tells; `None` if it can't be read.
    pub(crate) fn format(&self) -> Option<Format> {
        let sps = self.sps()?;
        let (width, height) = sps.pixel_dimensions().ok()?;
        let vui = sps.vui_parameters.as_ref();
        let signal = vui.and_then(|vui| vui.video_signal_type.as_ref());
        Some(Format {
            width,
            height,
            reorder: reorder(&sps),
            frame_duration: frame_duration(&sps),
            is_full_range: signal.is_some_and(|signal| signal.video_full_range_flag),
        })
    }

    fn sps(&self) -> Option<SeqParameterSet> {
        let rbsp = rbsp(self.sps.first()?, 1)?;
        SeqParameterSet::from_bits(Lenient(BitReader::new(&rbsp[..]))).ok()
    }

    /// The AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
    pub(crate) fn decoder_configuration(&self) -> Vec<u8> {
        /// Profiles whose records tell the sample format.
        const HIGH: [u8; 4] = [100, 110, 122, 144];
        let Some(sps) = self.sps.first() else {
            return Vec::new();
        };
        let [profile, constraints, level] = *sps
            .get(1..)
            .and_then(<[u8]>::first_chunk)
            .unwrap_or(&[0; 3]);
        // Lengths of NAL units have four bytes.
        let mut record = vec![1, profile, constraints, level, 0xff];
        record.push(0xe0 | self.sps.len().min(0x1f) as u8);
        self.sps.write(0x1f, &mut record);
        record.push(self.pps.len().min(0xff) as u8);
        self.pps.write(0xff, &mut record);
        if HIGH.contains(&profile)
            && let Some(sps) = self.sps()
        {
            let chroma = &sps.chroma_info;
            record.push(0xfc | chroma_format(chroma.chroma_format));
            record.push(0xf8 | chroma.bit_depth_luma_minus8 & 7);
            record.push(0xf8 | chroma.bit_depth_chroma_minus8 & 7);
            record.push(0);
        }
        record
    }
}

/// Some cameras leave garbage behind the end of an SPS, which is of no use to anybody.
struct Lenient<'a>(BitReader<&'a [u8]>);

impl BitRead for Lenient<'_> {
    fn read_ue(&mut self, name: &'static str) -> Result<u32, BitReaderError> {
        self.0.read_ue(name)
    }

    fn read_se(&mut self, name: &'static str) -> Result<i32, BitReaderError> {
        self.0.read_se(name)
    }

    fn read_bool(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        self.0.read_bool(name)
    }

    fn read<U: Numeric>(&mut self, bits: u32, name: &'static str) -> Result<U, BitReaderError> {
        self.0.read(bits, name)
    }

    fn read_to<V: Primitive>(&mut self, name: &'static str) -> Result<V, BitReaderError> {
        self.0.read_to(name)
    }

    fn skip(&mut self, bits: u32, name: &'static str) -> Result<(), BitReaderError> {
        self.0.skip(bits, name)
    }

    fn has_more_rbsp_data(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        self.0.has_more_rbsp_data(name)
    }

    fn finish_rbsp(self) -> Result<(), BitReaderError> {
        Ok(())
    }

    fn finish_sei_payload(self) -> Result<(), BitReaderError> {
        Ok(())
    }
}

fn chroma_format(format: h264_reader::nal::sps::ChromaFormat) -> u8 {
    use h264_reader::nal::sps::ChromaFormat;
    match format {
        ChromaFormat::Monochrome => 0,
        ChromaFormat::YUV420 => 1,
        ChromaFormat::YUV422 => 2,
        ChromaFormat::YUV444 => 3,
        ChromaFormat::Invalid(other) => other as u8 & 3,
    }
}

/// The Exp-Golomb number behind so many bytes; 0 if there is none.
fn number(nal: &[u8], behind: usize) -> u32 {
    let bytes = nal.get(behind..).unwrap_or_default();
    BitReader::new(bytes).read_ue("id").unwrap_or(0)
}

/// `max_num_reorder_frames` (annex E.2.1).
fn reorder(sps: &SeqParameterSet) -> Option<usize> {
    if sps.pic_order_cnt == PicOrderCntType::TypeTwo || u8::from(sps.profile_idc) == BASELINE {
        return Some(0);
    }
    let restrictions = sps
        .vui_parameters
        .as_ref()?
        .bitstream_restrictions
        .as_ref()?;
    usize::try_from(restrictions.max_num_reorder_frames).ok()
}

/// Two ticks, one for each field (annex E.2.1).
fn frame_duration(sps: &SeqParameterSet) -> Option<Duration> {
    let timing = sps.vui_parameters.as_ref()?.timing_info.as_ref()?;
    let seconds = 2.0 * f64::from(timing.num_units_in_tick) / f64::from(timing.time_scale);
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero() && duration <= LONGEST_FRAME).then_some(duration)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of 320x180 test patterns encoded by x264.
    pub(crate) const X264_B_FRAMES: &[u8] = b"\x67\x64\x00\x0c\xac\xd9\x41\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\x99\x60";
    const X264_BASELINE: &[u8] = b"\x67\x42\xc0\x0c\xd9\x01\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\xa4\x80";
    const X264_MAIN_WITHOUT: &[u8] = b"\x67\x4d\x40\x0c\xd9\x01\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\xa4\x80";
    pub(crate) const A_PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    fn sets(nals: &[&[u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        for nal in nals {
            sets.take(nal);
        }
        sets
    }

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        let prefixed = |nal: &&[u8]| [&(nal.len() as u32).to_be_bytes()[..], nal].concat();
        nals.iter().flat_map(prefixed).collect()
    }

    #[test]
    fn the_format_is_the_one_that_ffprobe_reads() {
        let format = |sps| sets(&[sps]).format().unwrap();
        let high = format(X264_B_FRAMES);
        assert_eq!((high.width, high.height, high.reorder), (320, 180, Some(2)));
        assert_eq!(high.frame_duration, Some(Duration::from_millis(40)));
        assert_eq!(format(X264_BASELINE).reorder, Some(0));
        assert_eq!(format(X264_MAIN_WITHOUT).reorder, Some(0));
    }

    #[test]
    fn decoding_starts_at_idr_pictures_and_at_recovery_points() {
        let entry = |nals: &[&[u8]]| entry_point(&unit(nals));
        assert_eq!(entry(&[&[0x67, 1], &[0x65, 1]]), EntryPoint::Closed);
        let after_another = [0x06, 5, 1, 0, 6, 1, 0x84, 0x80];
        assert_eq!(entry(&[&after_another, &[0x41, 1]]), EntryPoint::Open);
        let after_twelve_frames = [0x06, 6, 1, 0b0001_1010, 0x80];
        assert_eq!(
            entry(&[&after_twelve_frames, &[0x41, 1]]),
            EntryPoint::Refresh
        );
        assert_eq!(
            entry(&[&[0x06, 5, 1, 6, 0x80], &[0x41, 1]]),
            EntryPoint::None
        );
        assert_eq!(entry(&[&[0x41, 1]]), EntryPoint::None);
    }

    #[test]
    fn the_record_holds_every_parameter_set() {
        let mut sets = sets(&[X264_B_FRAMES, A_PPS]);
        let second = [0x68, 0x4b, 0xe3];
        assert!(sets.take(&second) && !sets.take(&second));
        let record = sets.decoder_configuration();
        assert_eq!(record[..6], [1, 0x64, 0, 0x0c, 0xff, 0xe1]);
        let pps = 6 + 2 + X264_B_FRAMES.len();
        assert_eq!(record[pps], 2);
        assert_eq!(record[record.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
    }

    #[test]
    fn whole_sets_replace_those_before_and_parts_are_added() {
        let mut known = sets(&[X264_B_FRAMES, A_PPS]);
        assert!(!known.take_all(&[A_PPS.to_vec()]));
        assert!(known.take_all(&[vec![0x68, 0x4b]]));
        assert_eq!(known.pps.len(), 2);
        assert!(!known.take_all(&[X264_B_FRAMES.to_vec(), A_PPS.to_vec()]));
        assert_eq!(known.pps.len(), 2, "the other one stays in use");
        assert!(known.take_all(&[X264_BASELINE.to_vec(), A_PPS.to_vec()]));
        assert_eq!(known, sets(&[X264_BASELINE, A_PPS]));
    }

    /// Of a Reolink camera.
    #[test]
    fn garbage_behind_an_sps_does_no_harm() {
        let sps =
            b"\x67\x64\x00\x33\xac\x15\x14\xa0\xa0\x3d\xa1\x00\x00\x04\xf6\x00\x00\x63\x38\x04\x04";
        let format = sets(&[sps]).format().unwrap();
        assert_eq!((format.width, format.height), (640, 480));
    }

    #[test]
    fn sets_are_read_from_a_session_description() {
        let sps = "Z0LADNkBQZ+fARAAAAMAEAAAAwMg8UKkgA";
        let sets = ParameterSets::from_description(&format!("{sps}, aM4="));
        assert!(sets.is_complete());
        assert_eq!(sets.format().unwrap().width, 320);
        assert!(!ParameterSets::from_description("no base64,,").is_complete());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0usize..24, value: u8) {
            let mut damaged = X264_B_FRAMES.to_vec();
            damaged[at] = value;
            for nal in [&bytes[..], &[&[0x67], &bytes[..]].concat(), &damaged] {
                let sets = sets(&[nal, A_PPS]);
                let _ = (sets.format(), sets.decoder_configuration(), is_first_slice(nal));
            }
            let _ = (entry_point(&bytes), entry_point(&unit(&[&[&[0x06], &bytes[..]].concat()])));
        }
    }
}
