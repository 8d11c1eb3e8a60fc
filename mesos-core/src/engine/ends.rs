//! The end of an attempt, and what comes after it: back-off, strikes, and when nothing more comes (ENGINE 1.3, 3).

use alloc::string::ToString;
use core::time::Duration;

use super::attempt::{Attempt, AttemptId, KillReason, Since, SlotId};
use super::book::{LastEnd, Mark};
use super::engine::Engine;
use super::event::{EndClass, Event, GhostReason, Held};
use super::ghost::Ghost;
use super::launch::Revision;
use super::reconcile::jitter;
use super::spec::{Policy, RestartPolicy};
use super::table::Row;
use crate::planted::planted;
use crate::v1;

/// After a refusal by Mesos; another agent may take the task.
const INVALID_DELAY: Duration = Duration::from_secs(16);
const INVALIDS: u32 = 3;
const LOSS_DELAY_AT_MOST: Duration = Duration::from_secs(30);
/// A fault so soon after the start is held against the agent.
const EARLY_FAULT: Duration = Duration::from_secs(60);
/// After so many strikes those that are over are forgotten.
const SWEEP: u64 = 1024;

impl Engine {
    /// An attempt has ended and may come back all the same.
    pub(super) fn end_with_ghost(&mut self, id: AttemptId, class: EndClass, why: GhostReason) {
        let name = self.book.specs.get(&id.slot.spec).map(|spec| spec.spec.name().to_string());
        let Some((name, attempt)) = name.zip(self.book.attempt(id)) else { return };
        let ghost = Ghost::of(attempt.clone(), &name, why, Since::now(self.now));
        let task_id = attempt.task_id.clone();
        self.end(id, class);
        self.haunt(task_id, ghost);
    }

    /// An attempt is over (ENGINE 1.3, macro END).
    pub(super) fn end(&mut self, id: AttemptId, class: EndClass) {
        let class = if planted!(FaultIsWanted) && class == EndClass::Fault { EndClass::Wanted } else { class };
        let now = self.now;
        let at = self.wall_now().unwrap_or_default();
        let snapshot = self.task(id);
        let Some(attempt) = self.forget(id) else { return };
        if let Some(since) = attempt.killing {
            self.histograms.until_killed.add(since.elapsed(now));
        }
        let ran_for = attempt.running.map(|since| since.elapsed(now));
        let stable = self.was_stable(&attempt, ran_for);
        if let Some(task) = snapshot {
            let class = if planted!(ClassMistold) { EndClass::Wanted } else { class };
            self.tell(Some(id.slot), Event::TaskEnded { task, class });
        }
        self.strike(id.slot, &attempt, class, ran_for, stable);
        let Some(spec) = self.book.specs.get(&id.slot.spec) else { return };
        let policy = spec.spec.policy.clone();
        let outdated = spec.revision != attempt.revision && !spec.stays_in(attempt.revision);
        let had_started = attempt.staged.is_some() || attempt.running.is_some();
        self.counters.launches_lost += u64::from(class == EndClass::Infra && !had_started);
        let Some(slot) = self.book.slot_mut(id.slot) else { return };
        slot.last_end = Some(LastEnd {
            class,
            state: attempt.last.state,
            reason: attempt.last.reason,
            message: attempt.last.message.as_deref().map(ToString::to_string),
            at,
            ran_for,
        });
        self.touch_slot(id.slot);
        let Some(slot) = self.book.slot_mut(id.slot) else { return };
        let other = slot.current.as_ref().map(|current| (current.id, current.state));
        let newer = other.is_some_and(|(other, _)| other.generation > id.generation);
        let done = class == EndClass::Ok && policy.job;
        if !slot.wanted || slot.mark != Mark::None || newer && !done {
            // Nobody needs another one, or it is there already.
            return;
        }
        if stable || class == EndClass::Ok || outdated {
            slot.failures = 0;
        }
        let asked = matches!(class, EndClass::Ok | EndClass::Fault | EndClass::External)
            || matches!(class, EndClass::Infra | EndClass::Drain) && (had_started || planted!(NeverRuns));
        if done || asked && !restarts(&policy, class, attempt.last.state) {
            slot.mark = Mark::Finished;
            slot.revision = Some(attempt.revision);
            slot.waiting = None;
            // Whatever its record said, this is how it goes on; and a job that is done needs nothing that is hidden.
            if done || !self.quarantined.hides_task(id.slot) {
                self.unblock(id.slot);
            }
            if let Some((other, state)) = other {
                // What took its place, or what it was the successor of, is needed no more.
                self.retire(other, state, if newer { KillReason::Duplicate } else { KillReason::Update });
            }
            return;
        }
        // What a former revision does is no failure of the one that comes next.
        if class == EndClass::Fault && !outdated {
            slot.failures = slot.failures.saturating_add(u32::from(!planted!(FailuresUncounted)));
            if policy.max_failures.is_some_and(|max| slot.failures >= max) {
                self.hold(id.slot, Mark::Exhausted, attempt.revision);
                return;
            }
        }
        if class == EndClass::Invalid && !outdated {
            slot.invalids = slot.invalids.saturating_add(1);
            if slot.invalids >= INVALIDS {
                self.hold(id.slot, Mark::Invalid, attempt.revision);
                return;
            }
        }
        let delay = self.delay_after(id.slot, &policy, class, stable);
        if let Some(delay) = delay.filter(|_| other.is_none() || self.may_have_successor(id.slot)) {
            self.go_on_in(id.slot, attempt.revision);
            // What the failure of the other one has set is not shortened by the end of this one.
            let set = self.book.slot(id.slot).and_then(|slot| {
                let waiting = slot.waiting.map(|waiting| waiting.eligible_at);
                waiting.max(slot.held_until)
            });
            self.wait_until(id.slot, set.unwrap_or(now).max(now + delay));
            if let Some(spec) = self.book.specs.get(&id.slot.spec) {
                let spec = spec.spec.name().to_string();
                self.tell(Some(id.slot), Event::InstanceWaiting { spec, index: id.slot.index, cause: class, delay });
            }
        }
    }

    fn hold(&mut self, slot_id: SlotId, mark: Mark, revision: Revision) {
        let why = if mark == Mark::Invalid { Held::Invalid } else { Held::Exhausted };
        if let Some(slot) = self.book.slot_mut(slot_id) {
            slot.mark = mark;
            slot.revision = Some(revision);
            // Beside one out of sight another one may have been wanted.
            slot.waiting = None;
        }
        if let Some(spec) = self.book.specs.get(&slot_id.spec) {
            let spec = spec.spec.name().to_string();
            if !planted!(HeldUntold) {
                self.tell(Some(slot_id), Event::InstanceHeld { spec, index: slot_id.index, why });
            }
        }
    }

    /// Whether an attempt ran for so long that what went before is forgiven; with a health check, only if that passed.
    fn was_stable(&self, attempt: &Attempt, ran_for: Option<Duration>) -> bool {
        let Some(spec) = self.book.specs.get(&attempt.id.slot.spec) else { return false };
        let long = ran_for.is_some_and(|ran| ran >= spec.spec.policy.stable_after);
        long && (attempt.been_ready || spec.launch_of(attempt.revision).task.health_check.is_none())
    }

    /// Counts an end, and says how long the next attempt is held back (ENGINE 3.2).
    fn delay_after(&mut self, slot_id: SlotId, policy: &Policy, class: EndClass, stable: bool) -> Option<Duration> {
        let slot = self.book.slot_mut(slot_id)?;
        let delay = match class {
            EndClass::Ok if stable => {
                slot.faults = 0;
                Duration::ZERO
            }
            EndClass::Ok | EndClass::Fault | EndClass::External => {
                slot.faults = if stable && !planted!(NeverForgiven) { 1 } else { slot.faults.saturating_add(1) };
                let doubled = policy.backoff_first.saturating_mul(1 << (slot.faults - 1).min(30));
                return Some(jitter(doubled.min(policy.backoff_max), &mut self.rng));
            }
            EndClass::Invalid => INVALID_DELAY,
            EndClass::Infra => {
                slot.losses = slot.losses.saturating_add(1);
                match slot.losses {
                    0 | 1 => Duration::ZERO,
                    losses => Duration::from_secs(1 << (losses - 2).min(10)).min(LOSS_DELAY_AT_MOST),
                }
            }
            EndClass::Drain | EndClass::Wanted => Duration::ZERO,
        };
        Some(delay)
    }

    /// Agents that are no more never have a stable run that would clear them: now and then, those whose strikes are long
    /// over are forgotten.
    fn forget_strikes(&mut self) {
        if self.counters.strikes % SWEEP == 0 {
            let now = self.now;
            self.agents.retain(|_, agent| {
                agent.strikes.retain(|_, strikes| !strikes.are_over(now));
                agent.launching > 0 || !agent.strikes.is_empty()
            });
        }
    }

    /// Holds an end against the agent (ENGINE 3.5).
    fn strike(&mut self, slot_id: SlotId, attempt: &Attempt, class: EndClass, ran_for: Option<Duration>, stable: bool) {
        let spec = slot_id.spec;
        let agent_id = &attempt.agent.id;
        let early = ran_for.is_none_or(|ran| ran < EARLY_FAULT);
        let last = &attempt.last;
        let row = last.state.map(|state| Row::of_state(state, last.reason, last.healthy, attempt.staged.is_none()));
        let dropped = row == Some(Row::Dropped);
        let guilty = class == EndClass::Fault && early || class == EndClass::Infra && dropped;
        if !guilty || planted!(StrikesForgotten) {
            if stable {
                if let Some(agent) = self.agents.get_mut(agent_id) {
                    agent.strikes.remove(&spec);
                }
                self.tidy_agent(agent_id);
            }
            return;
        }
        self.counters.strikes += 1;
        self.forget_strikes();
        let agent = self.agents.entry(agent_id.clone()).or_default();
        if let Some(during) = agent.strikes.entry(spec).or_default().strike(self.now) {
            if let Some(spec) = self.book.specs.get(&spec) {
                let event =
                    Event::AgentAvoided { spec: spec.spec.name().to_string(), agent_id: agent_id.to_string(), during };
                self.tell(None, event);
            }
        }
    }
}

/// Whether the restart policy wants another attempt (ENGINE 3.1, S10, S11).
fn restarts(policy: &Policy, class: EndClass, state: Option<v1::TaskState>) -> bool {
    match &policy.restart {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => class != EndClass::Ok,
        RestartPolicy::Never => false,
        RestartPolicy::States(states) => state.is_some_and(|state| states.contains(&state)),
    }
}
