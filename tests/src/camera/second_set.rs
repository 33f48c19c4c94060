//! Pictures that name a second PPS: the same as the first, with another number.

use crate::movie::Sample;

const SLICE: u8 = 1;
const IDR: u8 = 5;
const PPS: u8 = 8;

/// The same picture; with the second PPS behind the first one, if it has that, and naming it if `names_it`. Its entropy
/// coding is CAVLC (H.264, section 9.2), so that its bits may be moved.
pub(super) fn with_second_set(sample: &Sample, names_it: bool) -> Sample {
    let mut units = vec![];
    for nal in &sample.units {
        match nal[0] & 0x1f {
            PPS => units.extend([nal.clone(), renumber(nal, 0)]),
            // Behind `first_mb_in_slice` and `slice_type`.
            SLICE | IDR if names_it => units.push(renumber(nal, 2)),
            _ => units.push(nal.clone()),
        }
    }
    Sample {
        units,
        ..sample.clone()
    }
}

/// Makes a 1 of the `pic_parameter_set_id` 0 behind so many other Exp-Golomb numbers.
fn renumber(nal: &[u8], behind: usize) -> Vec<u8> {
    let mut bits = bits(&nal[1..]);
    let mut at = 0;
    for _ in 0..behind {
        let zeros = bits[at..].iter().take_while(|&&bit| !bit).count();
        at += 2 * zeros + 1;
    }
    assert!(bits[at], "the first PPS has the number 0");
    bits.splice(at..=at, [false, true, false]);
    // Behind the stop bit there are zeros only.
    let stop = bits.iter().rposition(|&bit| bit).expect("a stop bit");
    bits.truncate(stop + 1);
    [&nal[..1], &bytes(&bits)].concat()
}

/// Without emulation prevention (section 7.4.1).
fn bits(payload: &[u8]) -> Vec<bool> {
    let mut zeros = 0;
    let mut bits = vec![];
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bits.extend((0..8).rev().map(|bit| byte >> bit & 1 == 1));
    }
    bits
}

/// With emulation prevention.
fn bytes(bits: &[bool]) -> Vec<u8> {
    let mut zeros = 0;
    let mut bytes = vec![];
    for chunk in bits.chunks(8) {
        let padded = chunk.iter().chain(std::iter::repeat(&false)).take(8);
        let byte = padded.fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        if zeros >= 2 && byte <= 3 {
            bytes.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_changes() {
        // PPS 0 and 1 of SPS 0, as x264 writes them.
        let first = [0x68, 0b1110_1011, 0xe3, 0xcb, 0x22, 0xc0];
        let second = renumber(&first, 0);
        assert_eq!(second[..2], [0x68, 0b0101_1010]);
        assert_eq!(bits(&second[1..])[3..40], bits(&first[1..])[1..38]);
        assert_eq!(bytes(&bits(&[0, 0, 3, 1])), [0, 0, 3, 1]);
    }
}
