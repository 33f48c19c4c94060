//! Where decoding can start, by the NAL units of an access unit.
//!
//! retina tells IDR pictures only. Encoders with open groups of pictures start later ones with a CRA
//! picture (H.265) or with a recovery point message before an ordinary one (H.264, annex D.2.8).

use h264_reader::rbsp::decode_nal;

use crate::media::VideoCodec;

const H264_IDR: u8 = 5;
const H264_SEI: u8 = 6;
const SEI_RECOVERY_POINT: usize = 6;

/// The intra random access point pictures of ITU-T H.265, table 7-1.
const H265_IRAP: std::ops::RangeInclusive<u8> = 16..=23;

/// Whether a decoder can start at this access unit of length-prefixed NAL units.
pub(super) fn is_key(codec: VideoCodec, access_unit: &[u8]) -> bool {
    nal_units(access_unit).any(|nal| match (codec, nal.first()) {
        (VideoCodec::H264, Some(header)) => match header & 0x1f {
            H264_IDR => true,
            H264_SEI => has_recovery_point(nal),
            _ => false,
        },
        (VideoCodec::H265, Some(header)) => H265_IRAP.contains(&(header >> 1 & 0x3f)),
        (_, None) => false,
    })
}

/// The NAL units of a length-prefixed access unit.
pub(crate) fn nal_units(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (nal, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bytes = rest;
        Some(nal)
    })
}

fn has_recovery_point(nal: &[u8]) -> bool {
    // h264-reader takes it for granted that there is something behind the header.
    if nal.len() < 2 {
        return false;
    }
    let Ok(rbsp) = decode_nal(nal) else {
        return false;
    };
    let mut bytes = &rbsp[..];
    while let (Some(kind), Some(size)) = (sei_number(&mut bytes), sei_number(&mut bytes)) {
        if kind == SEI_RECOVERY_POINT {
            return true;
        }
        bytes = bytes.get(size..).unwrap_or_default();
    }
    false
}

/// A number in bytes that are added up while they are 255 (H.264, section 7.3.2.3.1).
fn sei_number(bytes: &mut &[u8]) -> Option<usize> {
    let full = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let last = *bytes.get(full)?;
    *bytes = &bytes[full + 1..];
    Some(full * 0xff + usize::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter()
            .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
            .collect()
    }

    #[test]
    fn h264_starts_at_idr_pictures_and_at_recovery_points() {
        let key = |nals: &[&[u8]]| is_key(VideoCodec::H264, &unit(nals));
        assert!(key(&[&[0x67, 1], &[0x65, 1]]));
        assert!(
            key(&[&[0x06, 5, 1, 0, 6, 1, 0x84, 0x80], &[0x41, 1]]),
            "after another message"
        );
        assert!(!key(&[&[0x06, 5, 1, 6, 0x80], &[0x41, 1]]));
        assert!(!key(&[&[0x41, 1]]));
    }

    #[test]
    fn h265_starts_at_idr_and_cra_pictures() {
        let key = |kind: u8| is_key(VideoCodec::H265, &unit(&[&[0x46, 1], &[kind << 1, 1, 0]]));
        assert!(key(19) && key(20) && key(21));
        assert!(!key(1) && !key(9));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200), sei in prop::collection::vec(any::<u8>(), 0..50)) {
            let _ = (is_key(VideoCodec::H264, &bytes), is_key(VideoCodec::H265, &bytes));
            let _ = is_key(VideoCodec::H264, &unit(&[&[&[0x06], &sei[..]].concat()]));
        }
    }
}
