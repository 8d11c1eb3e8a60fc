//! How long to wait between attempts: state, not sleep.

use core::time::Duration;

use crate::rng::Rng;

/// The steps of waiting between attempts to subscribe.
///
/// The first wait is `min`, each further one `factor` times the last, none above `max`. With jitter (the default) a
/// wait is drawn from the upper half of its step, so that many frameworks don't return in the same moment.
///
/// ```
/// use core::time::Duration;
/// use mesos_core::Backoff;
///
/// let backoff = Backoff::default().max(Duration::from_secs(10)).jitter(false);
/// assert_eq!(backoff.step(0), Duration::from_secs(1));
/// assert_eq!(backoff.step(1), Duration::from_millis(1500));
/// assert_eq!(backoff.step(100), Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    factor: f64,
    jitter: bool,
}

impl Default for Backoff {
    /// 1 s, times 1.5, up to 15 s, with jitter.
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(15), factor: 1.5, jitter: true }
    }
}

/// The shortest first wait: it keeps a loop of redirects below ten requests a second.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(3600);

impl Backoff {
    /// The first wait, 1 s by default; from 0.5 s to an hour, and clamped to that.
    #[must_use]
    pub fn min(mut self, min: Duration) -> Self {
        self.min = min.clamp(SHORTEST, LONGEST);
        self
    }

    /// The longest wait, 15 s by default; up to an hour. A value below the first wait counts as that.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max.clamp(SHORTEST, LONGEST);
        self
    }

    /// What each wait is multiplied with to get the next, 1.5 by default; from 1 to 10, and clamped to that.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = if factor.is_nan() { 1.5 } else { factor.clamp(1.0, 10.0) };
        self
    }

    /// Whether to draw each wait from the upper half of its step; on by default.
    #[must_use]
    pub const fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// The wait after `failures` earlier ones, without jitter. Rounded up to milliseconds.
    #[must_use]
    pub fn step(&self, failures: u32) -> Duration {
        let max = self.longest().as_secs_f64() * 1000.0;
        let mut millis = self.min.as_secs_f64() * 1000.0;
        for _ in 0..failures {
            if millis >= max {
                break;
            }
            millis = ceil(millis * self.factor);
        }
        // In range: both bounds are at most an hour.
        Duration::from_millis(millis.min(max) as u64)
    }

    /// The longest step. A session that outlives it starts the sequence anew.
    pub(crate) fn longest(&self) -> Duration {
        self.max.max(self.min)
    }

    /// The wait after `failures` earlier ones.
    pub(crate) fn wait(&self, failures: u32, rng: &mut Rng) -> Duration {
        let step = self.step(failures);
        if self.jitter { step / 2 + rng.below(step / 2) } else { step }
    }
}

/// Rounds a small positive number up; `f64::ceil` isn't there without std.
fn ceil(x: f64) -> f64 {
    let whole = x as u64 as f64;
    if whole < x { whole + 1.0 } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    // S14, S15, S16, S153
    #[test]
    fn the_default_sequence() {
        let millis: Vec<_> = (0..9).map(|n| Backoff::default().step(n).as_millis()).collect();
        assert_eq!(millis, [1000, 1500, 2250, 3375, 5063, 7595, 11393, 15000, 15000]);
        assert_eq!(Backoff::default().step(u32::MAX), Duration::from_secs(15));
    }

    // S153: on by default, within half a step.
    #[test]
    fn jitter_stays_in_the_upper_half() {
        let (backoff, mut rng) = (Backoff::default(), Rng::new(1));
        let waits: Vec<_> = (0..100).map(|_| backoff.wait(3, &mut rng)).collect();
        assert!(waits.iter().all(|w| *w >= backoff.step(3) / 2 && *w <= backoff.step(3)));
        assert!(waits.iter().any(|w| *w != waits[0]));
        assert_eq!(backoff.jitter(false).wait(3, &mut rng), Duration::from_millis(3375));
    }

    #[test]
    fn out_of_range_is_clamped() {
        let b = Backoff::default().min(Duration::ZERO).max(Duration::ZERO).factor(f64::NAN);
        assert_eq!((b.step(0), b.step(9)), (SHORTEST, SHORTEST));
        let b = Backoff::default().min(Duration::MAX).factor(f64::INFINITY);
        assert_eq!((b.step(0), b.step(9)), (LONGEST, LONGEST));
        assert_eq!(Backoff::default().factor(-1.0).step(5), Duration::from_secs(1));
    }
}
