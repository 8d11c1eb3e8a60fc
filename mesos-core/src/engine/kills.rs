//! Which kills go first, and how many are under way.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use super::attempt::{AttemptId, KillReason};
use crate::planted::planted;

/// A KILL may be lost: it is repeated after the grace period and this, then ever more slowly.
const AFTER_GRACE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Kills {
    queued: BTreeSet<(KillReason, u64, AttemptId)>,
    /// Where each one stands in the queue.
    places: BTreeMap<AttemptId, (KillReason, u64)>,
    under_way: BTreeSet<AttemptId>,
    next: u64,
}

impl Kills {
    pub(super) fn queue(&mut self, why: KillReason, id: AttemptId) {
        self.next += 1;
        if let Some((why, number)) = self.places.insert(id, (why, self.next)) {
            self.queued.remove(&(why, number, id));
        }
        self.queued.insert((why, self.next, id));
    }

    /// The next one that may go, if fewer than `max` are under way.
    pub(super) fn next(&mut self, max: u32) -> Option<AttemptId> {
        if self.under_way.len() >= max as usize {
            return None;
        }
        let (_, _, id) = self.queued.pop_first()?;
        self.places.remove(&id);
        self.under_way.insert(id);
        Some(id)
    }

    pub(super) fn is_under_way(&self, id: AttemptId) -> bool {
        self.under_way.contains(&id)
    }

    /// All that are under way.
    pub(super) fn under_way(&self) -> alloc::vec::Vec<AttemptId> {
        self.under_way.iter().copied().collect()
    }

    /// How many are under way, and how many wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.under_way.len(), self.queued.len())
    }

    /// It has ended, or is given up.
    pub(super) fn forget(&mut self, id: AttemptId) {
        if !planted!(KillsLeak) {
            self.under_way.remove(&id);
        }
        if let Some((why, number)) = self.places.remove(&id) {
            self.queued.remove(&(why, number, id));
        }
    }
}

/// How long to wait for the end before KILL is sent again, after so many.
pub(super) fn wait(grace: Duration, sent: u32) -> Duration {
    if planted!(KillFlood) {
        return Duration::from_secs(1);
    }
    let first = grace.saturating_add(AFTER_GRACE);
    first.saturating_mul(1 << sent.saturating_sub(1).min(10)).min(LONGEST.max(first))
}

#[cfg(test)]
mod tests {
    use super::super::attempt::{SlotId, SpecId};
    use super::*;

    // ENGINE scenario 63
    #[test]
    fn so_many_at_a_time_the_urgent_ones_first() {
        let id = |index| AttemptId { slot: SlotId { spec: SpecId(1), index }, generation: 1 };
        let mut kills = Kills::default();
        (0..5).for_each(|index| kills.queue(KillReason::Scale, id(index)));
        kills.queue(KillReason::Duplicate, id(9));
        assert_eq!(kills.next(2), Some(id(9)));
        assert_eq!(kills.next(2), Some(id(0)));
        assert_eq!(kills.next(2), None);
        kills.forget(id(9));
        kills.forget(id(1));
        assert_eq!(kills.next(2), Some(id(2)));
    }

    // ENGINE scenario 27
    #[test]
    fn waits_grow() {
        let waits: alloc::vec::Vec<u64> = (1..8).map(|sent| wait(Duration::from_secs(5), sent).as_secs()).collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 300, 300]);
    }
}
