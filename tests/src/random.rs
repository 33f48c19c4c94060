//! Numbers that look random and are the same in each run.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    /// True so often, as share of all calls.
    pub fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Flips, cuts out, repeats and inserts bytes at so many places in a thousand.
    pub fn mutate(&mut self, bytes: &[u8], per_thousand: f64) -> Vec<u8> {
        let mut mutated = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            if !self.chance(per_thousand / 1000.0) {
                mutated.push(bytes[at]);
                at += 1;
                continue;
            }
            let length = 1 + self.below(8);
            let piece = &bytes[at..bytes.len().min(at + length)];
            match self.below(4) {
                0 => mutated.push(bytes[at] ^ self.next() as u8),
                1 => at += length - 1,
                2 => mutated.extend([piece, &piece[..1]].concat()),
                _ => mutated.extend((0..length).map(|_| self.next() as u8)),
            }
            at += 1;
        }
        mutated
    }
}
