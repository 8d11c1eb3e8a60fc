//! From one revision to the next: who may be ended, and who may get a successor first (ENGINE 4.1).

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::{AttemptId, KillReason, SlotId, SpecId, State};
use super::book::{Rollout, Slot, Standing};
use super::engine::{Engine, Timer};
use super::event::{Event, RolloutStage};
use crate::planted::planted;

/// Without one more ready instance for so long, a rollout has stalled.
const STALLED: Duration = Duration::from_secs(600);

impl Engine {
    /// Does what the rollout of a spec allows now.
    pub(super) fn roll(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get(&id) else { return };
        let surge = spec.surge();
        if spec.paused {
            // What took their place now would be of the old revision once more.
            self.withdraw(id, surge);
            self.watch_second(id, surge);
            return;
        }
        // What was to be the next revision, and is no longer, beside what is right again.
        while let Some(index) = self.book.specs.get(&id).and_then(|spec| spec.sums.strays.first().copied()) {
            let slot_id = SlotId { spec: id, index };
            let stray = self.book.slot(slot_id).and_then(|slot| slot.successor.as_ref()).map(|a| (a.id, a.state));
            let Some((stray, state)) = stray else { return };
            self.retire(stray, state, KillReason::Update);
            self.refresh_slot(slot_id);
            if self.book.specs.get(&id).is_some_and(|spec| spec.sums.strays.contains(&index)) {
                return;
            }
        }
        // A predecessor whose successor is ready has done its work.
        while let Some(index) = self.book.specs.get(&id).and_then(|spec| spec.sums.superseded.first().copied()) {
            let slot_id = SlotId { spec: id, index };
            let Some(old) = self.book.slot(slot_id).and_then(|slot| slot.current.as_ref()).map(|a| (a.id, a.state))
            else {
                return;
            };
            self.retire(old.0, old.1, KillReason::Update);
            self.refresh_slot(slot_id);
            if self.book.specs.get(&id).is_some_and(|spec| spec.sums.superseded.contains(&index)) {
                return;
            }
        }
        self.withdraw(id, surge);
        self.watch_second(id, surge);
        while let Some(slot_id) = self.next_step(id) {
            self.refresh_slot(slot_id);
        }
    }

    /// Successors that wait, and might begin now, are withdrawn as far as this surge doesn't allow them: there may never be
    /// room for them, and until they run nothing else would be done for their slots. A delay after a fault is not a want of
    /// room, and must not be forgotten: whether there is room is asked when it ends.
    fn withdraw(&mut self, id: SpecId, surge: u32) {
        let now = self.now;
        let Some(spec) = self.book.specs.get(&id) else { return };
        let many = spec.sums.doubles.saturating_sub(surge) as usize;
        if many == 0 {
            return;
        }
        let waiting = spec.sums.waiting.iter().rev().filter(|(at, _)| *at <= now);
        let second = waiting.filter(|(_, index)| spec.slots.get(index).is_some_and(Slot::is_second_waiting));
        let second: Vec<u32> = second.map(|(_, index)| *index).take(many).collect();
        for index in second {
            let slot_id = SlotId { spec: id, index };
            self.cancel_wait(slot_id);
            self.refresh_slot(slot_id);
        }
    }

    /// The first one that is held back, and may be withdrawn then, is looked at again.
    fn watch_second(&mut self, id: SpecId, surge: u32) {
        let Some(spec) = self.book.specs.get(&id).filter(|spec| spec.sums.doubles > surge) else { return };
        let held_back = spec.sums.waiting.iter().filter(|(at, _)| *at > self.now);
        let mut second = held_back.filter(|(_, index)| spec.slots.get(index).is_some_and(Slot::is_second_waiting));
        self.timers.extend(second.next().map(|(at, _)| (*at, Timer::Second(id))));
    }

    /// Takes one step of a rollout; `None` if none is allowed.
    fn next_step(&mut self, id: SpecId) -> Option<SlotId> {
        let spec = self.book.specs.get(&id)?;
        let &(ready, index) = spec.sums.outdated.first()?;
        let slot_id = SlotId { spec: id, index };
        let current = spec.slots.get(&index)?.current.as_ref().map(|a| (a.id, a.state))?;
        if !ready {
            self.retire(current.0, current.1, KillReason::Update);
            return Some(slot_id);
        }
        // What has finished isn't missing: it counts neither as ready nor as one that has to be.
        let wanted = spec.sums.wanted.saturating_sub(spec.sums.finished);
        let (surge, unavailable) = spec.spec.policy.budget();
        if spec.sums.doubles < surge {
            self.wait(slot_id);
            return Some(slot_id);
        }
        if spec.sums.ready.saturating_sub(1) >= wanted.saturating_sub(unavailable) {
            self.retire(current.0, current.1, KillReason::Update);
            return Some(slot_id);
        }
        None
    }

    /// Ends an attempt, or gives it up if it can't be reached.
    pub(super) fn retire(&mut self, id: AttemptId, state: State, why: KillReason) {
        match state {
            State::Unreachable | State::Doubtful if !planted!(PartitionHolds) => self.abandon(id, why),
            _ => self.begin_kill(id, why),
        }
    }

    /// Tells how far the rollout of a spec has come, if there is one.
    pub(super) fn tell_rollout(&mut self, id: SpecId) {
        use RolloutStage::{Done, Paused, Progress, Started};
        let now = self.now;
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        let (revision, updated, paused) = (spec.revision, spec.sums.updated, spec.paused);
        let over = spec.removed || spec.sums.stale == 0 && spec.standing() == Standing::Satisfied;
        let old = spec.rollout;
        let begins = if paused { Paused } else { Started };
        let stage = match old {
            None if over || spec.sums.stale == 0 => None,
            None => Some(begins),
            Some(_) if over => Some(Done).filter(|_| !spec.removed && !planted!(DoneUntold)),
            Some(old) if old.revision != revision || old.paused != paused => Some(begins),
            Some(old) if updated > old.updated => Some(Progress),
            Some(_) => None,
        };
        let stalls_at = match stage {
            Some(_) if paused => None,
            Some(_) => Some(now + STALLED),
            None => old.and_then(|old| old.stalls_at),
        };
        let goes_on = !over && (old.is_some() || stage.is_some());
        spec.rollout = goes_on.then_some(Rollout { revision, updated, paused, stalls_at });
        let (old, new) = (old.and_then(|old| old.stalls_at), spec.rollout.and_then(|new| new.stalls_at));
        if old != new {
            self.timers.extend(new.map(|at| (at, Timer::Rollout(id))));
            old.map(|at| self.timers.remove(&(at, Timer::Rollout(id))));
        }
        if let Some(stage) = stage {
            self.tell_stage(id, stage);
        }
    }

    /// Nothing has come of a rollout for long.
    pub(super) fn on_rollout_timer(&mut self, id: SpecId) {
        if let Some(rollout) = self.book.specs.get_mut(&id).and_then(|spec| spec.rollout.as_mut()) {
            rollout.stalls_at = None;
            self.tell_stage(id, RolloutStage::Stalled);
        }
    }

    fn tell_stage(&mut self, id: SpecId, stage: RolloutStage) {
        let Some(spec) = self.book.specs.get(&id) else { return };
        let (updated, wanted) = (spec.sums.updated, spec.sums.wanted);
        let (spec, revision) = (spec.spec.name().to_string(), spec.revision);
        self.tell_after_all(Event::Rollout { spec, revision, stage, updated, wanted });
    }
}
