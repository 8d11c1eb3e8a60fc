//! The cluster's chance, from one seed.

/// A small generator (SplitMix64); not for secrets.
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

    /// A number from zero up to, not including, `limit`; zero for a limit of zero.
    #[cfg(feature = "world")]
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        ((self.next() as u128 * limit as u128) >> 64) as u64
    }

    /// Whether something happens that does so with this probability.
    #[cfg(feature = "world")]
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// One of these.
    #[cfg(feature = "world")]
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len() as u64) as usize).copied()
    }

    /// A time between these, small ones as likely as large ones.
    #[cfg(feature = "world")]
    pub(crate) fn time(&mut self, least: std::time::Duration, most: std::time::Duration) -> std::time::Duration {
        let (least, most) = (least.as_secs_f64().max(1e-6), most.as_secs_f64().max(1e-6));
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        // In whole microseconds, so that no rounding differs between machines.
        std::time::Duration::from_micros((least * (most / least).powf(share) * 1e6) as u64)
    }

    /// A random UUID, version 4.
    pub(crate) fn uuid(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for half in bytes.chunks_exact_mut(8) {
            half.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }

    /// A UUID as text.
    pub(crate) fn uuid_text(&mut self) -> String {
        let hex: String = self.uuid().iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}
