//! The machines' only source of chance: a small generator, seeded by the constructor's caller.

use core::time::Duration;

/// SplitMix64: 64 bits of state, passes the usual statistical tests, and is not meant for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A version 4 uuid.
    pub(crate) const fn uuid(&mut self) -> u128 {
        let bits = (self.next() as u128) << 64 | self.next() as u128;
        bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    }

    /// A duration from zero up to, not including, `limit`; zero for a limit of zero.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        // The high half of the product is uniform enough for jitter.
        let wide = u128::from(self.next()) * u128::from(nanos);
        Duration::from_nanos((wide >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_sequence_and_bounds_hold() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        for _ in 0..1000 {
            assert_eq!(a.next(), b.next());
            let d = a.below(Duration::from_millis(500));
            assert_eq!(d, b.below(Duration::from_millis(500)));
            assert!(d < Duration::from_millis(500));
        }
        assert_eq!(a.below(Duration::ZERO), Duration::ZERO);
        assert!(a.below(Duration::MAX) <= Duration::from_nanos(u64::MAX));
    }
}
