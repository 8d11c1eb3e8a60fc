//! How attempts are killed: which go first, how many at a time, when a KILL is sent again.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use super::attempt::{AttemptId, KillReason, Since, State};
use super::engine::{After, Engine, Sent};
use super::event::Event;
use super::writer::Effect;
use crate::planted::planted;
use crate::scheduler::CallError;
use crate::{Instant, v1};

/// A KILL may be lost: it is repeated after the grace period and this, then ever more slowly.
const AFTER_GRACE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// A KILL that could not leave is tried again.
const NOT_SENT: Duration = Duration::from_secs(5);
/// So many that can't be reached are asked to end all the same.
const ALL_THE_SAME: usize = 100;
/// The grace period that Mesos gives where nobody says another.
const GRACE: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct Kills {
    queued: BTreeSet<(KillReason, u64, AttemptId)>,
    /// Where each one stands in the queue.
    places: BTreeMap<AttemptId, (KillReason, u64)>,
    under_way: BTreeSet<AttemptId>,
    /// Those that couldn't be reached when KILL was last sent, or can't be since. They may stay so for ever, and others don't
    /// wait for that.
    out_of_sight: BTreeSet<AttemptId>,
    next: u64,
}

impl Kills {
    pub(super) fn queue(&mut self, why: KillReason, id: AttemptId) {
        self.out_of_sight.remove(&id);
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

    /// Whether it has been its turn, in sight or not.
    fn is_under_way(&self, id: AttemptId) -> bool {
        self.under_way.contains(&id) || self.out_of_sight.contains(&id)
    }

    /// All whose turn it has been.
    pub(super) fn begun(&self) -> alloc::vec::Vec<AttemptId> {
        self.under_way.iter().chain(&self.out_of_sight).copied().collect()
    }

    /// How many are under way, in sight or not, and how many wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.under_way.len() + self.out_of_sight.len(), self.queued.len())
    }

    /// It can't be reached.
    fn lose(&mut self, id: AttemptId) {
        if self.under_way.remove(&id) {
            self.out_of_sight.insert(id);
        }
    }

    /// It has ended, or is given up.
    pub(super) fn forget(&mut self, id: AttemptId) {
        if !planted!(KillsLeak) {
            self.under_way.remove(&id);
            self.out_of_sight.remove(&id);
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

/// How long a task has to end by itself.
pub(super) fn grace(policy: Option<&v1::KillPolicy>) -> Duration {
    let grace = policy.and_then(|policy| policy.grace_period.as_ref());
    grace.map_or(GRACE, |grace| Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or(0)))
}

impl Engine {
    /// We end an attempt.
    pub(super) fn begin_kill(&mut self, id: AttemptId, why: KillReason) {
        let now = self.now;
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        match attempt.state {
            State::Prepared => {
                self.cancel_of(id);
                return;
            }
            State::Killing(KillReason::External) => {}
            State::Killing(_) => {
                // Being killed already; a user who asks for it wants it once more.
                if why == KillReason::User {
                    self.later(After::Slot(id.slot), Effect::Kill(id));
                }
                return;
            }
            _ => {}
        }
        attempt.killing.get_or_insert_with(|| Since::now(now));
        attempt.kills_sent = 0;
        attempt.unreachable_since_kill = attempt.is_out_of_sight();
        self.set_state(id, State::Killing(why));
        self.touch_attempt(id);
        if !(planted!(KillLost) && why == KillReason::Scale) {
            self.kills.queue(why, id);
        }
        self.tell_task(id, Event::TaskUpdated);
    }

    /// It is to end, and can't be reached.
    pub(super) fn kill_lost(&mut self, id: AttemptId) {
        if let Some(attempt) = self.book.attempt_mut(id) {
            attempt.unreachable_since_kill = true;
        }
        self.kills.lose(id);
    }

    /// It runs although it should end.
    pub(super) fn kill_again(&mut self, id: AttemptId) {
        if self.book.attempt(id).is_some_and(|attempt| attempt.unreachable_since_kill) {
            self.later(After::Slot(id.slot), Effect::Kill(id));
        }
    }

    /// Lets kills go as far as their number allows.
    pub(super) fn start_kills(&mut self) {
        while self.may_call() {
            let Some(id) = self.kills.next(self.config.max_kills) else { return };
            self.later(if planted!(KillEarly) { After::Nothing } else { After::Slot(id.slot) }, Effect::Kill(id));
        }
    }

    /// Sends KILL, and sets the time for the next one.
    pub(super) fn send_kill(&mut self, id: AttemptId) {
        let now = self.now;
        if !self.kills.is_under_way(id) {
            return;
        }
        let mut policy = self.kill_policy(id);
        let mut may = self.may_call();
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        let State::Killing(why) = attempt.state else { return };
        // One that goes to an agent out of sight is lost as well.
        let lost = attempt.is_out_of_sight();
        attempt.unreachable_since_kill = lost;
        if lost {
            self.kills.lose(id);
            // To many of them it is no use, and others wait behind it: when they are back, they are told.
            may &= self.kills.out_of_sight.len() <= ALL_THE_SAME;
        } else if self.kills.out_of_sight.contains(&id) {
            // In sight again, it waits for its turn like the others, and the repetition starts anew.
            attempt.kills_sent = 0;
            self.kills.queue(why, id);
            self.touch_dirty(id.slot);
            return;
        }
        let (task_id, agent_id) = (attempt.task_id.clone(), attempt.agent.clone());
        let forced = self.force_at(id).is_some_and(|at| at <= now);
        if forced {
            policy = Some(v1::KillPolicy::new(Duration::ZERO));
        }
        let grace = grace(policy.as_ref());
        // A call that is lost is repeated by the timer.
        let agent = Some(&*agent_id.id).filter(|id| !id.is_empty() && !planted!(KillAnywhere));
        let call = may.then(|| self.client.calls().kill(&*task_id, agent, policy));
        let full = matches!(call, Some(Err(CallError::QueueFull { .. })));
        let call = call.and_then(Result::ok);
        let sent = call.is_some();
        self.sent.extend(call.map(|call| (call, Sent::Kill(id))));
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        let before = attempt.kills_sent;
        // The first one of its kind is the one that counts.
        let first = forced && !core::mem::replace(&mut attempt.forced, forced);
        attempt.kills_sent = if first { 1 } else { before.saturating_add(1) };
        if lost {
            // Its time begins when it can hear.
            (attempt.first_kill, attempt.forced) = (None, false);
        }
        let wait = wait(grace, attempt.kills_sent);
        let next = now + wait + self.rng.below(wait / 10);
        let next = self.force_at(id).filter(|_| !forced).map_or(next, |at| next.min(at));
        self.set_timer_at(id, (!planted!(KillOnce)).then_some(next));
        if sent {
            self.counters.kill(before);
        } else if full {
            self.kill_not_sent(id);
        }
    }

    /// A KILL has surely not left: it doesn't count, and the time that the task would have had isn't waited for.
    pub(super) fn kill_not_sent(&mut self, id: AttemptId) {
        let soon = self.now + NOT_SENT;
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        attempt.kills_sent = attempt.kills_sent.saturating_sub(1);
        if matches!(attempt.state, State::Killing(_)) && attempt.due.is_some_and(|due| soon < due) {
            self.set_timer_at(id, Some(soon));
        }
    }

    /// The master has taken a KILL: the task has its time from here on, if it can hear. One that waits for others may never
    /// leave.
    pub(super) fn kill_taken(&mut self, id: AttemptId) {
        let now = self.now;
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        if attempt.unreachable_since_kill || !matches!(attempt.state, State::Killing(_)) {
            return;
        }
        attempt.first_kill.get_or_insert(now);
        self.force_in_time(id);
    }

    /// One without grace period isn't to wait for a timer that was set before its time was known; it may be over already.
    pub(super) fn force_in_time(&mut self, id: AttemptId) {
        let due = self.book.attempt(id).filter(|attempt| !attempt.forced).and_then(|attempt| attempt.due);
        if let Some(at) = self.force_at(id).filter(|at| due.is_some_and(|due| *at < due)) {
            self.set_timer_at(id, Some(at));
        }
    }

    /// It is ending, it says: the KILL has arrived, and is repeated only if that takes too long (ENGINE 4.6). If nobody knew
    /// whether it had, its time begins here.
    pub(super) fn kill_seen(&mut self, id: AttemptId) {
        if let Some(attempt) = self.book.attempt_mut(id) {
            attempt.first_kill.get_or_insert(self.now);
            attempt.unreachable_since_kill = false;
        }
        self.force_in_time(id);
        let after = self.now + wait(grace(self.kill_policy(id).as_ref()), 1);
        let after = self.force_at(id).map_or(after, |at| after.min(at));
        let due = self.book.attempt(id).and_then(|attempt| attempt.due);
        if due.is_some_and(|due| due < after) {
            self.set_timer_at(id, Some(after));
        }
    }

    /// When its time is up, even if it would get more of it.
    fn force_at(&self, id: AttemptId) -> Option<Instant> {
        let after = self.policy(id.slot)?.force_kill_after.filter(|_| !planted!(NeverForced))?;
        Some(self.book.attempt(id)?.first_kill? + after)
    }

    fn kill_policy(&self, id: AttemptId) -> Option<v1::KillPolicy> {
        self.book.specs.get(&id.slot.spec).and_then(|spec| spec.spec.launch.task.kill_policy)
    }
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
