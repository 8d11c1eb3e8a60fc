//! What the results of a health check mean, without performing any.

use std::time::{Duration, Instant};

use mesos_tokio::mesos_core::v1;

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) healthy: bool,
    /// Too many failures in a row: the task has to go.
    pub(crate) kill: bool,
}

/// Counts failures.
#[derive(Debug)]
pub(crate) struct Health {
    grace_until: Option<Instant>,
    limit: u32,
    failures: u32,
    /// Whether it has ever been healthy.
    proven: bool,
}

impl Health {
    /// The grace period counts from now, the task's start.
    pub(crate) fn new(check: &v1::HealthCheck, now: Instant) -> Self {
        let grace = seconds(check.grace_period_seconds()).unwrap_or_default();
        Self { grace_until: now.checked_add(grace), limit: check.consecutive_failures(), failures: 0, proven: false }
    }

    /// A result. The first success is told, each failure, and the first success after failures. Failures within the
    /// grace period don't count, unless there was a success before.
    pub(crate) fn result(&mut self, success: bool, now: Instant) -> Option<Verdict> {
        if success {
            let news = !self.proven || self.failures > 0;
            self.proven = true;
            self.failures = 0;
            return news.then_some(Verdict { healthy: true, kill: false });
        }
        if !self.proven && self.grace_until.is_none_or(|until| now < until) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        Some(Verdict { healthy: false, kill: self.failures >= self.limit })
    }
}

/// A time in seconds; nothing if it makes no sense.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(grace: f64, limit: u32) -> (Health, Instant) {
        let check = v1::HealthCheck {
            grace_period_seconds: Some(grace),
            consecutive_failures: Some(limit),
            ..Default::default()
        };
        let now = Instant::now();
        (Health::new(&check, now), now)
    }

    const WELL: Option<Verdict> = Some(Verdict { healthy: true, kill: false });
    const ILL: Option<Verdict> = Some(Verdict { healthy: false, kill: false });
    const DEADLY: Option<Verdict> = Some(Verdict { healthy: false, kill: true });

    #[test]
    fn failures_in_a_row_kill() {
        let (mut health, now) = health(0.0, 3);
        let results = [true, true, false, false, true, false, false, false];
        let told = results.map(|success| health.result(success, now));
        assert_eq!(told, [WELL, None, ILL, ILL, WELL, ILL, ILL, DEADLY]);
    }

    #[test]
    fn failures_within_the_grace_are_ignored() {
        let (mut health, now) = health(10.0, 1);
        assert_eq!(health.result(false, now), None);
        assert_eq!(health.result(false, now + Duration::from_millis(9_999)), None);
        assert_eq!(health.result(false, now + Duration::from_secs(10)), DEADLY);
    }

    #[test]
    fn grace_ends_with_the_first_success() {
        let (mut health, now) = health(10.0, 2);
        let told = [true, false, false].map(|success| health.result(success, now));
        assert_eq!(told, [WELL, ILL, DEADLY]);
    }

    #[test]
    fn odd_times_do_no_harm() {
        for grace in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let (mut health, now) = health(grace, 1);
            assert_eq!(health.result(false, now), DEADLY, "{grace}");
        }
        let (mut health, now) = health(1e18, 1);
        assert_eq!(health.result(false, now + Duration::from_secs(1_000_000)), None);
    }
}
