//! Short names for long ones, the same in every release: workers of two versions have to agree on them.

/// Sixteen digits that stand for these texts: FNV-1a of 64 bits.
pub(crate) fn digest(parts: &[&str]) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = parts.iter().flat_map(|part| {
        let length = (part.len() as u64).to_be_bytes();
        length.into_iter().chain(part.bytes())
    });
    let number = bytes.fold(OFFSET, |number, byte| {
        (number ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_what_it_is() {
        assert_eq!(digest(&["live/cam/out"]), "6ad8459db6961b58");
        assert_ne!(digest(&["a", "bc"]), digest(&["ab", "c"]));
    }
}
