//! The life of an attempt and of its slot: states and their timers, and who takes whose place.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::time::Duration;

use super::attempt::{Attempt, AttemptId, KillReason, Since, SlotId, State};
use super::book::{Mark, Waiting};
use super::engine::{Engine, Timer};
use super::event::{Event, GhostReason, Task};
use super::ghost::Ghost;
use super::launch::Revision;
use super::reconcile::{AGAIN, Subject};
use super::spec::Policy;
use crate::planted::planted;
use crate::{Instant, v1};

/// An intent that the store doesn't take for this long gives its offers back.
const STALLED: Duration = Duration::from_secs(2);

impl Engine {
    pub(super) fn policy(&self, slot: SlotId) -> Option<&Policy> {
        self.book.specs.get(&slot.spec).map(|spec| &spec.spec.policy)
    }

    pub(super) fn is_strict(&self, id: AttemptId) -> bool {
        self.policy(id.slot).is_some_and(Policy::is_strict)
    }

    /// Moves an attempt to another state, with the timer of that.
    pub(super) fn set_state(&mut self, id: AttemptId, state: State) {
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        let old = core::mem::replace(&mut attempt.state, state);
        // What waited for news was about the former state.
        attempt.parked = false;
        if state != State::Running {
            attempt.ready = false;
        }
        if matches!(old, State::Killing(_)) && !matches!(state, State::Killing(_)) {
            self.kills.forget(id);
        }
        let agent = attempt.agent.id.clone();
        self.count_launching(&agent, launching(old), launching(state));
        self.touch_dirty(id.slot);
        self.set_timer(id);
    }

    fn count_launching(&mut self, agent: &Arc<str>, before: bool, after: bool) {
        if before == after {
            return;
        }
        let entry = self.agents.entry(agent.clone()).or_default();
        entry.launching = if after { entry.launching + 1 } else { entry.launching.saturating_sub(1) };
        self.tidy_agent(agent);
    }

    /// An agent of which nothing is remembered needs no entry.
    pub(super) fn tidy_agent(&mut self, agent: &str) {
        if self.agents.get(agent).is_some_and(|agent| agent.launching == 0 && agent.strikes.is_empty()) {
            self.agents.remove(agent);
        }
    }

    /// Sets the timer that the attempt's state asks for.
    pub(super) fn set_timer(&mut self, id: AttemptId) {
        let Some(spec) = self.book.specs.get(&id.slot.spec) else { return };
        let policy = &spec.spec.policy;
        let Some(attempt) = self.book.attempt(id) else { return };
        let some = |limit: Duration, since: Instant| (!limit.is_zero()).then_some(since);
        let due = match attempt.state {
            State::Prepared => Some(attempt.prepared.plus(STALLED)),
            State::Launching if planted!(LaunchUnlimited) => None,
            State::Launching => some(policy.launch_timeout, attempt.prepared.plus(policy.launch_timeout)),
            State::Staged if planted!(StartUnlimited) => None,
            State::Staged => {
                let since = attempt.staged.unwrap_or(attempt.prepared);
                some(policy.start_timeout, since.plus(policy.start_timeout))
            }
            State::Running => {
                let since = attempt.running.unwrap_or(attempt.prepared);
                (!attempt.ready).then(|| since.plus(spec.spec.ready_after(spec.launch_of(attempt.revision))))
            }
            State::Unreachable if policy.is_strict() && !planted!(StrictReplaced) => None,
            State::Unreachable => {
                let since = attempt.unreachable.unwrap_or(attempt.prepared);
                let after = match attempt.inactive || planted!(ReplacedLate) {
                    true => policy.expunge_after,
                    false if planted!(ReplacedEarly) => Duration::ZERO,
                    false => policy.inactive_after,
                };
                Some(since.plus(after))
            }
            State::Doubtful => attempt.doubted.map(|doubted| doubted + AGAIN),
            // The KILL itself sets the next one.
            State::Killing(_) => None,
        };
        self.set_timer_at(id, due);
    }

    pub(super) fn set_timer_at(&mut self, id: AttemptId, due: Option<Instant>) {
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        let old = core::mem::replace(&mut attempt.due, due);
        if let Some(old) = old {
            self.timers.remove(&(old, Timer::Attempt(id)));
        }
        if let Some(due) = due {
            self.timers.insert((due, Timer::Attempt(id)));
        }
    }

    /// The timer of an attempt has run out.
    pub(super) fn on_attempt_timer(&mut self, id: AttemptId) {
        let (session, subscribed, now) = (self.session, self.subscribed, self.now);
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        attempt.due = None;
        let known = subscribed && attempt.answered_in == session;
        match attempt.state {
            State::Prepared => self.cancel_of(id),
            State::Running => self.check_ready(id),
            State::Doubtful => {
                self.ask(id, Duration::ZERO);
                self.set_timer_at(id, Some(now + AGAIN));
            }
            State::Killing(KillReason::External) => {}
            State::Killing(_) => self.send_kill(id),
            State::Launching | State::Staged | State::Unreachable if !known && !planted!(TimerUnparked) => {
                attempt.parked = true;
            }
            State::Launching => {
                attempt.never_seen = true;
                self.begin_kill(id, KillReason::Overdue);
            }
            State::Staged => self.begin_kill(id, KillReason::Overdue),
            State::Unreachable if attempt.inactive => self.expire(id),
            State::Unreachable => self.deactivate(id),
        }
        self.reconsider(id.slot);
    }

    /// Whether it has become ready, or no longer is.
    pub(super) fn check_ready(&mut self, id: AttemptId) {
        let now = self.now;
        let Some((spec, attempt)) = self.book.specs.get(&id.slot.spec).zip(self.book.attempt(id)) else { return };
        let launch = spec.launch_of(attempt.revision);
        let (min, checked) = (spec.spec.ready_after(launch), launch.task.health_check.is_some());
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        let healthy = attempt.last.healthy.unwrap_or(!checked) || planted!(HealthIgnored);
        let min = if planted!(ReadyEarly) { Duration::ZERO } else { min };
        let due = attempt.running.map(|since| since.plus(min));
        let ready = healthy && due.is_some_and(|due| due <= now) && attempt.state == State::Running;
        let before = core::mem::replace(&mut attempt.ready, ready);
        attempt.been_ready |= ready;
        if ready != before {
            self.touch_attempt(id);
            if ready {
                self.tell_task(id, Event::TaskReady);
            }
        }
        if !ready && healthy && self.book.attempt(id).is_some_and(|a| a.state == State::Running) {
            self.set_timer(id);
        }
    }

    /// A21: unreachable for long enough to be replaced.
    fn deactivate(&mut self, id: AttemptId) {
        let Some(slot) = self.book.slot(id.slot) else { return };
        let successor = slot.successor.as_ref().is_some_and(|attempt| attempt.id == id);
        if self.is_strict(id) && !planted!(StrictReplaced) {
            return;
        }
        if successor {
            self.abandon(id, KillReason::Duplicate);
            return;
        }
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        attempt.inactive = true;
        self.touch_attempt(id);
        self.set_timer(id);
        self.replace_lost(id.slot);
    }

    /// A slot whose attempt has been out of sight for too long wants another one beside it, unless it has one.
    pub(super) fn replace_lost(&mut self, slot_id: SlotId) {
        let Some(slot) = self.book.slot(slot_id) else { return };
        let lost = slot.current.as_ref().filter(|current| !current.counts() && slot.successor.is_none());
        let (Some(revision), waits) = (lost.map(|current| current.revision), slot.waiting.is_some()) else { return };
        if waits {
            // It was to be the next one of a rollout.
            self.go_on_in(slot_id, revision);
            self.touch_slot(slot_id);
        } else if self.may_have_successor(slot_id) {
            self.go_on_in(slot_id, revision);
            self.wait(slot_id);
        }
    }

    /// A22: unreachable for so long that it no longer counts.
    fn expire(&mut self, id: AttemptId) {
        self.give_up(id, GhostReason::Expired);
        self.fill(id.slot);
    }

    /// Something must end, for this reason, but cannot be reached.
    pub(super) fn abandon(&mut self, id: AttemptId, why: KillReason) {
        let strict = self.is_strict(id);
        let wanted = self.book.slot(id.slot).is_some_and(|slot| slot.wanted);
        let killing = self.book.attempt(id).is_some_and(|attempt| matches!(attempt.state, State::Killing(_)));
        if wanted && strict {
            if killing {
                self.kill_lost(id);
            } else {
                self.begin_kill(id, why);
            }
            return;
        }
        self.give_up(id, GhostReason::Abandoned);
        self.fill(id.slot);
        self.replace_lost(id.slot);
    }

    /// An attempt becomes a ghost.
    pub(super) fn give_up(&mut self, id: AttemptId, why: GhostReason) {
        let Some(name) = self.book.specs.get(&id.slot.spec).map(|spec| spec.spec.name().to_string()) else { return };
        let snapshot = self.task(id);
        let Some(attempt) = self.forget(id) else { return };
        let task_id = attempt.task_id.clone();
        if let Some(task) = snapshot {
            self.tell(Some(id.slot), Event::TaskRemoved { task, why });
        }
        if self.book.slot(id.slot).is_some_and(|slot| slot.mark == Mark::None && slot.current.is_none()) {
            self.go_on_in(id.slot, attempt.revision);
        }
        let ghost = Ghost::of(attempt, &name, why, Since::now(self.now));
        if !planted!(GhostForgotten) {
            self.haunt(task_id, ghost);
        }
        self.reconsider(id.slot);
    }

    /// A slot without attempt wants one, if it is wanted and nothing holds it; or takes back what was given up there.
    pub(super) fn fill(&mut self, slot_id: SlotId) {
        let Some(slot) = self.book.slot(slot_id) else { return };
        let waits = slot.waiting.is_some();
        if !slot.wanted || slot.blocked || slot.current.is_some() || slot.mark != Mark::None {
            return;
        }
        if self.take_back(slot_id) {
            self.cancel_wait(slot_id);
        } else if !waits {
            self.wait(slot_id);
        }
    }

    /// What takes the place of an attempt of this revision is of the wanted one, unless the rollout is paused.
    pub(super) fn go_on_in(&mut self, slot_id: SlotId, revision: Revision) {
        let Some(spec) = self.book.specs.get_mut(&slot_id.spec) else { return };
        let stays = spec.stays_in(revision);
        if let Some(slot) = spec.slots.get_mut(&slot_id.index) {
            slot.revision = stays.then_some(revision);
        }
    }

    /// Opens demand in a slot; at once, unless an earlier one of it is still held back.
    pub(super) fn wait(&mut self, slot_id: SlotId) {
        let held = self.book.slot(slot_id).and_then(|slot| slot.held_until);
        self.wait_until(slot_id, held.map_or(self.now, |until| until.max(self.now)));
    }

    /// Opens demand in a slot, for a launch from this moment on.
    pub(super) fn wait_until(&mut self, slot_id: SlotId, eligible_at: Instant) {
        let since = self.now;
        if let Some(slot) = self.book.slot_mut(slot_id) {
            slot.held_until = None;
            slot.waiting = Some(Waiting { since, eligible_at });
            self.touch_slot(slot_id);
            self.demand(slot_id.spec);
        }
    }

    pub(super) fn cancel_wait(&mut self, slot_id: SlotId) {
        if let Some(slot) = self.book.slot_mut(slot_id) {
            if let Some(Waiting { eligible_at, .. }) = slot.waiting.take() {
                slot.held_until = Some(eligible_at);
                self.touch_slot(slot_id);
            }
        }
    }

    /// Takes an attempt out of the books, whatever became of it.
    pub(super) fn forget(&mut self, id: AttemptId) -> Option<Attempt> {
        self.set_timer_at(id, None);
        let attempt = self.book.take(id)?;
        if attempt.last.source == Some(v1::task_status::Source::Executor) {
            self.executors.remember(&attempt);
        }
        self.kills.forget(id);
        self.reconciler.answered(&Subject::Attempt(id));
        self.count_launching(&attempt.agent.id, launching(attempt.state) && !planted!(LaunchingLeaks), false);
        self.touch_attempt(id);
        Some(attempt)
    }

    /// A10: a slot is no longer wanted.
    pub(super) fn unwant(&mut self, slot_id: SlotId) {
        let Some(slot) = self.book.slot_mut(slot_id) else { return };
        slot.wanted = false;
        slot.waiting = None;
        slot.mark = Mark::None;
        self.touch_slot(slot_id);
        // Where nothing may run beside a task that is hidden, its place stays taken: the slot may be wanted again.
        let spec = self.book.specs.get(&slot_id.spec).filter(|spec| !spec.removed);
        let strict = spec.is_some_and(|spec| spec.spec.policy.is_strict());
        if !strict || !self.quarantined.hides_task(slot_id) {
            self.unblock(slot_id);
        }
        self.end_all(slot_id, KillReason::Scale);
        self.reconsider(slot_id);
    }

    /// Ends all attempts of a slot, as far as they can be reached.
    fn end_all(&mut self, slot_id: SlotId, why: KillReason) {
        let attempts: alloc::vec::Vec<_> =
            self.book.slot(slot_id).into_iter().flat_map(|slot| slot.attempts()).map(|a| (a.id, a.is_lost())).collect();
        for (id, lost) in attempts {
            if lost {
                self.give_up(id, GhostReason::Abandoned);
            } else {
                self.begin_kill(id, why);
            }
        }
    }

    /// A user sets a slot going again that was held or had finished: in its own revision, if its rollout is paused.
    pub(super) fn set_going(&mut self, slot_id: SlotId) {
        let Some(slot) = self.book.slot_mut(slot_id) else { return };
        let own = slot.revision;
        slot.forgive();
        if let Some(revision) = own {
            self.go_on_in(slot_id, revision);
        }
        self.touch_slot(slot_id);
    }

    /// A8: a user wants another attempt.
    pub(super) fn restart_slot(&mut self, slot_id: SlotId) {
        let now = self.now;
        self.unblock(slot_id);
        let Some(slot) = self.book.slot_mut(slot_id) else { return };
        let held = slot.mark != Mark::None;
        slot.held_until = None;
        if let Some(waiting) = &mut slot.waiting {
            waiting.eligible_at = now;
        }
        if held {
            self.set_going(slot_id);
        }
        self.touch_slot(slot_id);
        let attempts: alloc::vec::Vec<_> =
            self.book.slot(slot_id).into_iter().flat_map(|slot| slot.attempts()).map(|a| (a.id, a.state)).collect();
        for (id, state) in attempts {
            self.retire(id, state, KillReason::User);
        }
        self.fill(slot_id);
        self.demand(slot_id.spec);
        self.reconsider(slot_id);
    }

    /// Whether a slot whose attempt still stands may open another beside it.
    pub(super) fn may_have_successor(&self, slot_id: SlotId) -> bool {
        let Some(slot) = self.book.slot(slot_id) else { return false };
        let revision = self.book.specs.get(&slot_id.spec).map(|spec| &spec.revision);
        let leaves = |current: &Attempt| !current.counts() || Some(&current.revision) != revision;
        let free = slot.mark == Mark::None && !slot.blocked && slot.successor.is_none() && slot.waiting.is_none();
        slot.wanted && free && slot.current.as_deref().is_some_and(leaves)
    }

    /// Puts a slot right after a change: demand that has lost its reason goes, and a spent slot.
    pub(super) fn reconsider(&mut self, slot_id: SlotId) {
        self.touch_dirty(slot_id);
        let Some(spec) = self.book.specs.get(&slot_id.spec) else { return };
        let Some(slot) = spec.slots.get(&slot_id.index) else { return };
        if slot.is_spent() {
            self.remove_slot(slot_id);
            return;
        }
        // Where it is being ended, that opens the place.
        let settled = |current: &Attempt| current.counts() && current.revision == spec.revision;
        if slot.waiting.is_some() && (slot.current.as_deref().is_some_and(settled) || slot.successor.is_some()) {
            self.cancel_wait(slot_id);
        } else {
            self.fill(slot_id);
        }
    }

    /// A task as events and snapshots show it.
    pub(super) fn task(&self, id: AttemptId) -> Option<Task> {
        let spec = self.book.specs.get(&id.slot.spec)?;
        let attempt = self.book.attempt(id)?;
        Some(Task {
            task_id: attempt.task_id.to_string(),
            spec: spec.spec.name().to_string(),
            index: id.slot.index,
            generation: id.generation,
            revision: attempt.revision,
            state: attempt.state,
            task_state: attempt.last.state,
            reason: attempt.last.reason,
            source: attempt.last.source,
            message: attempt.last.message.as_deref().map(ToString::to_string),
            healthy: attempt.last.healthy,
            check_status: attempt.last.check.as_deref().copied(),
            ready: attempt.ready,
            agent_id: attempt.agent.id.to_string(),
            hostname: attempt.agent.hostname.clone(),
            agent_ip: attempt.agent.ip.clone(),
            ports: attempt.ports.to_vec(),
            resources: attempt.resources.to_string(),
            executor_id: attempt.executor_id.as_deref().map(ToString::to_string),
            container: attempt.last.container.as_deref().cloned(),
            running_for: attempt.running.map(|since| since.elapsed(self.now)),
        })
    }

    pub(super) fn tell_task(&mut self, id: AttemptId, event: impl FnOnce(Task) -> Event) {
        if let Some(task) = self.task(id) {
            self.tell(Some(id.slot), event(task));
        }
    }
}

/// Whether a task in this state is still being launched.
const fn launching(state: State) -> bool {
    matches!(state, State::Prepared | State::Launching | State::Staged)
}
