//! MPEG-1 and MPEG-2 audio, of which layer 3 is MP3 (ISO/IEC 11172-3, section 2.4.1.3; ISO/IEC 13818-3).

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Header {
    /// In bytes, with the header.
    pub(crate) length: usize,
    pub(crate) sample_rate: u32,
    pub(crate) samples: u32,
    pub(crate) channels: u16,
    pub(crate) layer: u8,
}

/// Kilobits a second by their index, for MPEG-1 in layers 1, 2 and 3, and for MPEG-2 in layer 1 and the others.
const KILOBITS: [[u32; 14]; 5] = [
    [
        32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
    [
        32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// Reads the header of a frame; `None` if there is none.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let &[sync, second, third, fourth] = bytes.first_chunk()?;
    if sync != 0xff || second & 0xe0 != 0xe0 {
        return None;
    }
    // 3: MPEG-1, 2: MPEG-2, 0: its half rates.
    let version = second >> 3 & 3;
    let layer = 4 - (second >> 1 & 3);
    let kilobits = match (version, layer) {
        (1, _) | (_, 4) => return None,
        (3, layer) => KILOBITS[usize::from(layer) - 1],
        (_, 1) => KILOBITS[3],
        _ => KILOBITS[4],
    };
    let bit_rate = *kilobits.get(usize::from(third >> 4).checked_sub(1)?)? * 1_000;
    let halved = match version {
        3 => 1,
        2 => 2,
        _ => 4,
    };
    let sample_rate = RATES.get(usize::from(third >> 2 & 3))? / halved;
    let padding = u32::from(third >> 1 & 1);
    let samples = match (layer, version) {
        (1, _) => 384,
        (3, 0 | 2) => 576,
        _ => 1_152,
    };
    let length = match layer {
        1 => (12 * bit_rate / sample_rate + padding) * 4,
        _ => samples / 8 * bit_rate / sample_rate + padding,
    };
    let channels = if fourth >> 6 == 3 { 1 } else { 2 };
    Some(Header {
        length: length as usize,
        sample_rate,
        samples,
        channels,
        layer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_of_encoders_are_read() {
        let mp3 = header(&[0xff, 0xfb, 0x90, 0x00]).unwrap();
        assert_eq!(
            (mp3.length, mp3.sample_rate, mp3.samples),
            (417, 44_100, 1_152)
        );
        assert_eq!((mp3.channels, mp3.layer), (2, 3));
        let low = header(&[0xff, 0xf3, 0x44, 0xc4]).unwrap();
        assert_eq!(
            (low.length, low.sample_rate, low.samples, low.channels),
            (96, 24_000, 576, 1)
        );
        assert_eq!(header(&[0xff, 0xfb, 0x00, 0]), None, "a free bit rate");
        assert_eq!(header(&[0x00, 0xfb, 0x90, 0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: [u8; 4]) {
            if let Some(header) = header(&bytes) {
                prop_assert!(header.length >= 4, "{:?}", header);
            }
            let _ = header(&[0xff, 0xe0 | bytes[1], bytes[2], bytes[3]]);
        }
    }
}
