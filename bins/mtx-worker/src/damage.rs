//! Damages bytes on their way, for tests: the same ones for the same number.

/// Damaged places in a million bytes.
pub(crate) const RATES: [u64; 5] = [50, 200, 500, 2_000, 5_000];

/// How many damaged conversations a test has: `MTX_MUTATIONS`, or as many as usual.
pub(crate) fn count(usual: u64) -> u64 {
    let count = std::env::var("MTX_MUTATIONS");
    count.map_or(usual, |text| {
        text.parse().expect("MTX_MUTATIONS is a number")
    })
}

/// Numbers that look random (Steele, Lea, Flood: SplitMix).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Flips, cuts out, repeats and inserts bytes.
    pub(crate) fn mutate(&mut self, bytes: &[u8], rate: u64) -> Vec<u8> {
        let mut mutated = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let length = 1 + self.below(8);
            let piece = &bytes[at..bytes.len().min(at + length)];
            if self.next() % 1_000_000 >= rate {
                mutated.push(bytes[at]);
                at += 1;
                continue;
            }
            match self.below(4) {
                0 => mutated.push(bytes[at] ^ self.next() as u8),
                1 => {
                    at += length;
                    continue;
                }
                2 => mutated.extend([piece, piece].concat()),
                _ => mutated.extend((0..length).map(|_| self.next() as u8)),
            }
            at += 1;
        }
        mutated
    }
}
