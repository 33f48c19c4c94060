//! Short names for long ones, the same in every release: workers of two versions have to agree on them.

use std::hash::{Hash, Hasher};

/// FNV-1a of 64 bits.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Sixteen digits that stand for `parts`.
pub(crate) fn digest(parts: impl Hash) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    let mut hasher = Fnv(OFFSET);
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_what_it_is() {
        assert_eq!(digest(b'a'), "af63dc4c8601ec8c");
        assert_ne!(digest(("a", "bc")), digest(("ab", "c")));
    }
}
