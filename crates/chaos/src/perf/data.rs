//! What is written: bytes and ids from a seed, ready before the clock runs.

/// Random bytes that payloads are cut from: more than any cache line pattern repeats.
const POOL_BYTES: usize = 1 << 20;
/// 2025-06-15, in milliseconds since 1970. Ids take their time from a count that starts here.
const FIRST_MS: u64 = 1_750_000_000_000;

/// A source of bytes and ids. The same seed gives the same ones.
#[derive(Debug)]
pub(super) struct Data {
    rng: fastrand::Rng,
    pool: Vec<u8>,
    now_ms: u64,
}

impl Data {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pool = vec![0; POOL_BYTES];
        rng.fill(&mut pool);
        Self { rng, pool, now_ms: FIRST_MS }
    }

    /// Some place in the pool to cut `len` bytes from; several pieces may be cut from one place.
    pub(super) fn bytes(&mut self, len: usize) -> &[u8] {
        let start = self.rng.usize(..=self.pool.len().saturating_sub(len));
        self.pool.get(start..start + len).unwrap_or(&self.pool)
    }

    /// A millisecond passes.
    pub(super) fn tick(&mut self) {
        self.now_ms += 1;
    }

    /// An id whose first 48 bits are the time (a UUID of version 7, RFC 9562): later ids are larger.
    pub(super) fn ordered_id(&mut self) -> [u8; 16] {
        let low_bits = self.rng.u128(..) >> 48;
        let id = (u128::from(self.now_ms) << 80) | low_bits;
        let (version, variant) = (0xf << 76, 0b11 << 62);
        ((id & !version & !variant) | (0x7 << 76) | (0b10 << 62)).to_be_bytes()
    }

    /// An id that is random throughout (a UUID of version 4).
    pub(super) fn random_id(&mut self) -> [u8; 16] {
        let (version, variant) = (0xf << 76, 0b11 << 62);
        ((self.rng.u128(..) & !version & !variant) | (0x4 << 76) | (0b10 << 62)).to_be_bytes()
    }

    /// A name as callers make them: 36 characters.
    pub(super) fn name(&mut self) -> String {
        let hex = format!("{:032x}", u128::from_be_bytes(self.random_id()));
        let mut name = String::with_capacity(36);
        for (index, digit) in hex.chars().enumerate() {
            if matches!(index, 8 | 12 | 16 | 20) {
                name.push('-');
            }
            name.push(digit);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_ids_grow_with_the_time_and_name_their_version() {
        let mut data = Data::new(1);
        let mut last = data.ordered_id();
        for _ in 0..100 {
            data.tick();
            let next = data.ordered_id();
            assert!(next > last);
            assert_eq!((next[6] >> 4, next[8] >> 6), (7, 0b10));
            last = next;
        }
        let random = data.random_id();
        assert_eq!((random[6] >> 4, random[8] >> 6), (4, 0b10));
    }

    #[test]
    fn names_have_the_length_of_a_uuid() {
        let name = Data::new(2).name();
        assert_eq!((name.len(), name.matches('-').count()), (36, 4));
    }

    #[test]
    fn one_seed_gives_the_same_bytes() {
        let (mut one, mut other) = (Data::new(3), Data::new(3));
        assert_eq!(one.bytes(1024), other.bytes(1024));
        assert_ne!(one.bytes(1024), Data::new(4).bytes(1024));
    }
}
