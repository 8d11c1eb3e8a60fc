//! What a user may say to the engine, and ask of it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use mesos_proto::store::engine::Marker;

use super::attempt::{Attempt, KillReason, SlotId, SpecId, State};
use super::book::{Former, LastEnd, Mark, Slot, Spec, Standing};
use super::engine::Engine;
use super::event::{Event, Held, Task};
use super::launch::Revision;
use super::record;
use super::spec::{KillSelection, SpecError, TaskSpec};
use crate::SessionState;
use crate::planted::planted;

/// So many former revisions of a spec are remembered.
const HISTORY: usize = 10;

/// What is wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no spec of this name.
    #[error("there is no spec {0:?}")]
    NoSpec(String),
    /// The spec has no such instance.
    #[error("spec {spec:?} has no instance {index}")]
    NoInstance {
        /// The spec.
        spec: String,
        /// The instance, from 0: one less than the number in its task's name.
        index: u32,
    },
    /// There is no task of this id.
    #[error("there is no task {0:?}")]
    NoTask(String),
    /// The spec is at fault.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The spec says that its number of instances is fixed.
    // S33
    #[error("spec {0:?} isn't scalable")]
    NotScalable(String),
    /// Another spec has a name that looks the same in task ids.
    #[error("{spec:?} looks like {other:?} in task ids")]
    LooksLike {
        /// The new one.
        spec: String,
        /// The one that is there.
        other: String,
    },
    /// The engine is being uninstalled, or has ended.
    #[error("the engine is coming to its end")]
    Ending,
}

/// One of a spec's instances, and how it fares.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// Which one, from 0: one less than the number in its task's name.
    pub index: u32,
    /// Whether it is wanted; if not, it goes with its last task.
    pub wanted: bool,
    /// Its task and, while one takes the place of another, both; the one that was there first comes first.
    pub tasks: Vec<Task>,
    /// If it is to get another task: how long it is held back. Zero if it only waits for an offer.
    pub waits: Option<Duration>,
    /// Whether it has finished for good.
    pub finished: bool,
    /// Why it is given up, if it is.
    pub held: Option<Held>,
    /// How often it has failed in a row, as the back-off counts.
    pub faults: u32,
    /// How its last task ended.
    pub last_end: Option<LastEnd>,
}

/// A spec and how it fares.
// S38
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpecStatus {
    /// Its name.
    pub name: String,
    /// What its instances are to have.
    pub revision: Revision,
    /// How many are wanted.
    pub wanted: u32,
    /// How many tasks there are, or are about to be: two for an instance while one takes the place of another; without
    /// those that can't be reached and may be replaced.
    pub live: u32,
    /// How many are ready.
    pub ready: u32,
    /// How many wait for an offer or for their back-off.
    pub waiting: u32,
    /// How many have finished for good.
    pub finished: u32,
    /// How many are given up.
    pub held: u32,
    /// How many still have a task of another revision.
    pub outdated: u32,
    /// Whether every wanted instance is ready or finished, and none has a task of another revision than the wanted one.
    pub satisfied: bool,
    /// Whether its rollout is paused.
    pub paused: bool,
    /// Whether it goes with its last task.
    pub removed: bool,
    /// Who goes first: lower numbers.
    pub priority: i32,
    /// What the last offer lacked that was looked at for an instance that waits, for people.
    pub lacking: Option<String>,
}

impl Engine {
    /// Declares a spec, or changes one of the same name. A change of policy takes effect at once; a change of what goes
    /// into a task replaces the instances one after another.
    ///
    /// # Errors
    /// Everything that is wrong with it, another spec's name that looks the same in task ids, or the engine is coming to its
    /// end; nothing has changed then.
    pub fn apply(&mut self, mut spec: TaskSpec) -> Result<Revision, CommandError> {
        self.start();
        if self.is_ending() {
            return Err(CommandError::Ending);
        }
        let other = self.book.of_part(&super::id::spec_part(spec.name())).map(|other| other.spec.name());
        if let Some(other) = other.filter(|other| *other != spec.name()) {
            return Err(CommandError::LooksLike { spec: spec.name().to_string(), other: other.to_string() });
        }
        let roles = self.client.framework().roles.clone();
        spec.settle_role(roles.first().map_or("*", String::as_str));
        spec.validate(&roles)?;
        self.keep_restarts(&mut spec);
        let revision = spec.revision();
        self.put(spec);
        Ok(revision)
    }

    /// Removes a spec: its tasks are killed, and then it is gone.
    ///
    /// # Errors
    /// There is none of this name, or the engine is coming to its end.
    pub fn remove(&mut self, spec: &str) -> Result<(), CommandError> {
        let id = self.spec_id(spec)?;
        self.remove_spec(id);
        Ok(())
    }

    /// Wants so many instances of a spec; zero is fine.
    ///
    /// # Errors
    /// There is none of this name, it isn't [scalable](TaskSpec::scalable), that would be more than a million, or the engine is
    /// coming to its end.
    pub fn scale(&mut self, spec: &str, instances: u32) -> Result<(), CommandError> {
        let id = self.spec_id(spec)?;
        let Some(entry) = self.book.specs.get_mut(&id) else { return Err(CommandError::NoSpec(spec.to_string())) };
        if !entry.spec.policy.scalable {
            return Err(CommandError::NotScalable(spec.to_string()));
        }
        let mut changed = entry.spec.clone();
        changed.policy.instances = instances;
        // Whether the framework still has its role is no matter of this.
        changed.validate(&[changed.role_name()])?;
        entry.spec = changed;
        self.write_spec(id, false);
        self.fit(id);
        Ok(())
    }

    /// Replaces all instances of a spec by new ones of the same kind, one after another. A spec that is
    /// [applied](Self::apply) afterwards, or given to another process, doesn't change that.
    ///
    /// # Errors
    /// There is none of this name, or the engine is coming to its end.
    pub fn restart(&mut self, spec: &str) -> Result<Revision, CommandError> {
        let id = self.spec_id(spec)?;
        let Some(entry) = self.book.specs.get(&id) else { return Err(CommandError::NoSpec(spec.to_string())) };
        let mut again = entry.spec.clone();
        again.launch.force = again.launch.force.wrapping_add(1);
        let revision = again.revision();
        self.put(again);
        Ok(revision)
    }

    /// Ends the task of one instance, which gets another one at once; also lifts a back-off, and sets one that was
    /// given up or has finished going again. `index` counts from 0: it is one less than the number in the task's name.
    ///
    /// # Errors
    /// There is no such spec or instance, or the engine is coming to its end.
    pub fn restart_instance(&mut self, spec: &str, index: u32) -> Result<(), CommandError> {
        let id = self.slot_id(spec, index)?;
        self.restart_slot(id);
        Ok(())
    }

    /// Kills a task. If its instance is wanted, another one takes its place. One that was [given up](Event::TaskRemoved)
    /// or isn't known, and is being watched for, gets a KILL as well, and doesn't get its place back.
    ///
    /// # Errors
    /// There is no task of this id.
    pub fn kill(&mut self, task_id: &str) -> Result<(), CommandError> {
        self.start();
        if self.kill_given_up(task_id) {
            return Ok(());
        }
        let id = self.book.find(task_id).ok_or_else(|| CommandError::NoTask(task_id.to_string()))?;
        if let Some(state) = self.book.attempt(id).map(|attempt| attempt.state) {
            self.retire(id, state, KillReason::User);
        }
        Ok(())
    }

    /// Halts the rollout of a spec: nothing is replaced by our own doing. What ends by itself is still replaced. It is kept
    /// over a restart, so that the next definition halts as well.
    ///
    /// # Errors
    /// There is none of this name, or the engine is coming to its end.
    pub fn pause(&mut self, spec: &str) -> Result<(), CommandError> {
        self.set_paused(spec, true)
    }

    /// Lets a rollout go on.
    ///
    /// # Errors
    /// There is none of this name, or the engine is coming to its end.
    pub fn resume(&mut self, spec: &str) -> Result<(), CommandError> {
        self.set_paused(spec, false)
    }

    fn set_paused(&mut self, spec: &str, paused: bool) -> Result<(), CommandError> {
        let id = self.spec_id(spec)?;
        let entry = self.book.specs.get_mut(&id);
        if entry.is_none_or(|entry| core::mem::replace(&mut entry.paused, paused) == paused) {
            return Ok(());
        }
        if paused {
            // What they went on in at the last pause is of no interest any more.
            for index in self.indices(id, |slot| slot.mark == Mark::None && slot.revision.is_some()) {
                let slot_id = SlotId { spec: id, index };
                if let Some(slot) = self.book.slot_mut(slot_id) {
                    slot.revision = None;
                }
                self.touch_slot(slot_id);
            }
        } else {
            // In the wanted one nobody has tried them; and what waits may do so for another role now. About what is hidden
            // that says nothing.
            let wanted = self.book.specs.get(&id).map(|spec| spec.revision);
            self.set_all_going(id, |slot| slot.is_held() && !slot.blocked && slot.revision != wanted);
            self.demand(id);
        }
        self.touch_dirty(SlotId { spec: id, index: 0 });
        // What it means for the slots is to be durable first.
        self.write_dirty();
        if !planted!(PauseLost) {
            self.write_spec(id, false);
        }
        Ok(())
    }

    /// Tries the instances of a spec again that were given up, and starts their counts anew.
    ///
    /// # Errors
    /// There is none of this name, or the engine is coming to its end.
    pub fn retry(&mut self, spec: &str) -> Result<(), CommandError> {
        let id = self.spec_id(spec)?;
        self.set_all_going(id, |slot| slot.is_held() || slot.blocked);
        Ok(())
    }

    /// Sets slots going again that are given up.
    fn set_all_going(&mut self, id: SpecId, which: impl Fn(&Slot) -> bool) {
        for index in self.indices(id, which) {
            let slot_id = SlotId { spec: id, index };
            self.unblock(slot_id);
            // What was only blocked isn't run again if it has finished.
            if self.book.slot(slot_id).is_some_and(|slot| slot.mark != Mark::Finished) {
                self.set_going(slot_id);
            }
            self.reconsider(slot_id);
        }
    }

    /// Lets all instances of a spec go on at once that are held back after faults.
    ///
    /// # Errors
    /// There is none of this name, or the engine is coming to its end.
    pub fn reset_delay(&mut self, spec: &str) -> Result<(), CommandError> {
        let id = self.spec_id(spec)?;
        let now = self.now;
        for index in self.indices(id, |slot| slot.waiting.is_some() || slot.held_until.is_some() || slot.faults > 0) {
            let slot_id = SlotId { spec: id, index };
            if let Some(slot) = self.book.slot_mut(slot_id) {
                slot.faults = 0;
                slot.held_until = None;
                if let Some(waiting) = &mut slot.waiting {
                    waiting.eligible_at = waiting.eligible_at.min(now);
                }
            }
            self.touch_slot(slot_id);
        }
        self.demand(id);
        Ok(())
    }

    /// Takes an operator's word that the task of an instance is dead which nobody can reach. About one that is there
    /// nobody is believed: that changes nothing. It is told as [`TaskRemoved`](Event::TaskRemoved), with the reason
    /// [`DeclaredDead`](super::GhostReason::DeclaredDead). Where duplicates are forbidden there may be another one that
    /// was given up in the same place: that has to end next, or be declared dead in turn. `index` counts from 0: it is
    /// one less than the number in the task's name.
    ///
    /// # Errors
    /// There is no such spec or instance, or the engine is coming to its end.
    pub fn declare_dead(&mut self, spec: &str, index: u32) -> Result<(), CommandError> {
        let id = self.slot_id(spec, index)?;
        // No record says whether one that is to end can be reached: without news of this session nobody else knows.
        let unknown = |attempt: &Attempt| !self.subscribed || attempt.answered_in != self.session;
        let lost =
            |attempt: &&Attempt| attempt.is_lost() || matches!(attempt.state, State::Killing(_)) && unknown(attempt);
        let attempts = self.book.slot(id).into_iter().flat_map(Slot::attempts);
        let lost: Vec<_> =
            attempts.filter(|attempt| lost(attempt) || planted!(SeenDead)).map(|attempt| attempt.id).collect();
        for attempt in lost {
            self.give_up(attempt, super::event::GhostReason::DeclaredDead);
        }
        self.reconsider(id);
        Ok(())
    }

    /// Leaves: the framework and its tasks stay for the failover timeout, for the next start to take over. Ends at once
    /// with [`Event::Stopped`]: what has been said since the last answer of the store may be lost.
    pub fn disconnect(&mut self) {
        let is_over = self.client.session().state == SessionState::Ended;
        // Where the client's word counts only once the store has spoken, that isn't waited for: of a framework that is
        // removed the next start clears up what is left.
        match is_over || self.client_stands_by() {
            true if self.ended => {}
            true => self.finish(Event::Stopped { removed: false }),
            false => self.client.disconnect(),
        }
    }

    /// Ends all tasks, then removes the framework and all records. It can't be taken back: a crash in between goes on
    /// with it at the next start. Tasks that don't end within ten minutes go with the framework; so do acknowledgements that
    /// are left to the user and come only after the last task has ended.
    pub fn uninstall(&mut self) {
        self.start();
        if !self.is_ending() {
            self.marker = Marker::Uninstalling;
            if !planted!(UninstallForgotten) {
                self.write_engine();
            }
            let ids: Vec<SpecId> = self.book.specs.keys().copied().collect();
            ids.into_iter().for_each(|id| self.remove_spec(id));
            self.resume_uninstall();
        }
    }

    /// Removes the framework with all its tasks at once, and then all records.
    pub fn teardown(&mut self) {
        self.start();
        if self.marker != Marker::TearingDown {
            self.begin_teardown();
        }
    }

    /// All tasks, by spec and instance.
    // S39, S40
    pub fn tasks(&self) -> impl Iterator<Item = Task> + '_ {
        self.book.attempts().filter_map(|attempt| self.task(attempt.id))
    }

    /// The task of this id.
    #[must_use]
    pub fn find_task(&self, task_id: &str) -> Option<Task> {
        self.book.find(task_id).and_then(|id| self.task(id))
    }

    /// All specs, in the order of their declaration.
    pub fn specs(&self) -> impl Iterator<Item = SpecStatus> + '_ {
        self.book.specs.values().map(status)
    }

    /// The spec of this name.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<SpecStatus> {
        self.book.named(name).map(|(_, spec)| status(spec))
    }

    /// The instances of a spec, by number.
    pub fn instances(&self, spec: &str) -> impl Iterator<Item = InstanceStatus> + '_ {
        let slots = self.book.named(spec).map(|(_, spec)| spec.slots.iter());
        slots.into_iter().flatten().map(|(index, slot)| InstanceStatus {
            index: *index,
            wanted: slot.wanted,
            tasks: slot.attempts().filter_map(|attempt| self.task(attempt.id)).collect(),
            waits: slot.waiting.map(|waiting| waiting.eligible_at.saturating_duration_since(self.now)),
            finished: slot.mark == Mark::Finished,
            held: match slot.mark {
                Mark::Exhausted => Some(Held::Exhausted),
                Mark::Invalid => Some(Held::Invalid),
                Mark::None | Mark::Finished => slot.blocked.then_some(Held::Quarantined),
            },
            faults: slot.faults,
            last_end: slot.last_end.clone(),
        })
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ended || !matches!(self.marker, Marker::Running | Marker::Removed)
    }

    fn spec_id(&mut self, name: &str) -> Result<SpecId, CommandError> {
        self.start();
        if self.is_ending() {
            return Err(CommandError::Ending);
        }
        let found = self.book.named(name).filter(|(_, spec)| !spec.removed);
        found.map(|(id, _)| id).ok_or_else(|| CommandError::NoSpec(name.to_string()))
    }

    fn slot_id(&mut self, spec: &str, index: u32) -> Result<SlotId, CommandError> {
        let id = SlotId { spec: self.spec_id(spec)?, index };
        let there = |slot: &&Slot| slot.wanted && (slot.current.is_some() || !planted!(WronglyRefused));
        let found = self.book.slot(id).filter(there);
        found.map(|_| id).ok_or_else(|| CommandError::NoInstance { spec: spec.to_string(), index })
    }

    /// Those of the slots that somebody wants, or has to decide about.
    fn indices(&self, id: SpecId, which: impl Fn(&Slot) -> bool) -> Vec<u32> {
        let slots = self.book.specs.get(&id).map(|spec| &spec.slots);
        let open = slots.into_iter().flatten().filter(|(_, slot)| slot.wanted || slot.blocked);
        open.filter(|(_, slot)| which(slot)).map(|(index, _)| *index).collect()
    }

    /// A spec that a user gives knows nothing of restarts by command, which it neither repeats nor takes back.
    pub(super) fn keep_restarts(&self, spec: &mut TaskSpec) {
        if let Some((_, there)) = self.book.named(spec.name()).filter(|_| !planted!(RestartsAll)) {
            spec.launch.force = there.spec.launch.force;
        }
    }

    /// Puts a spec in force that has been checked.
    pub(super) fn put(&mut self, spec: TaskSpec) {
        let name = spec.name().to_string();
        let revision = spec.revision();
        let id = match self.book.id(&name) {
            None => {
                let id = self.book.insert(Spec::new(spec));
                self.write_spec(id, true);
                if let Some(instances) = self.quarantined.take_orphans(&name) {
                    self.restore_instances(id, &name, instances);
                }
                id
            }
            Some(id) => {
                let Some(entry) = self.book.specs.get_mut(&id) else { return };
                let old = core::mem::replace(&mut entry.revision, revision);
                let same = entry.spec == spec && !entry.removed;
                if same {
                    self.drop_unreadable(&name);
                    self.fit(id);
                    return;
                }
                if entry.spec.role_name() != spec.role_name() {
                    self.leave_roles(id);
                }
                let Some(entry) = self.book.specs.get_mut(&id) else { return };
                let former = core::mem::replace(&mut entry.spec, spec).launch;
                entry.removed = false;
                entry.told = None;
                entry.recount();
                if old != revision {
                    self.revise(id, Former { revision: old, launch: Some(former.into()) });
                }
                self.write_spec(id, old != revision);
                // What was declined before may do for it now.
                self.demand(id);
                id
            }
        };
        self.fit(id);
        self.forbid_duplicates(id);
        self.allow_duplicates(id);
        // Limits may have changed.
        let attempts =
            self.book.specs.get(&id).into_iter().flat_map(|spec| spec.slots.values()).flat_map(Slot::attempts);
        let attempts: Vec<_> = attempts.map(|a| (a.id, matches!(a.state, State::Killing(_)))).collect();
        for (attempt, killing) in attempts {
            if killing {
                self.force_in_time(attempt);
            } else {
                self.set_timer(attempt);
            }
        }
        self.tell_after_all(Event::SpecApplied { spec: name, revision });
    }

    /// Where duplicates are forbidden now, nothing more is launched beside another one, nor beside what is out of sight or
    /// was given up.
    pub(super) fn forbid_duplicates(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get(&id).filter(|spec| spec.spec.policy.is_strict()) else { return };
        let beside = |attempt: &&Attempt| {
            let slot = spec.slots.get(&attempt.id.slot.index);
            slot.is_some_and(|slot| slot.successor.is_some()) || self.given_up_of(attempt.id.slot).is_some()
        };
        let prepared = spec.slots.values().flat_map(Slot::attempts).filter(|a| a.state == State::Prepared);
        let prepared: Vec<_> = prepared.filter(beside).map(|a| a.id).collect();
        let lost: Vec<_> =
            spec.slots.values().flat_map(Slot::attempts).filter(|attempt| attempt.inactive).map(|a| a.id).collect();
        prepared.into_iter().for_each(|attempt| self.cancel_of(attempt));
        for attempt in lost {
            self.close_absence(attempt);
            if let Some(attempt) = self.book.attempt_mut(attempt) {
                attempt.inactive = false;
            }
            self.touch_attempt(attempt);
            self.touch_dirty(attempt.slot);
        }
        for index in self.indices(id, |slot| slot.waiting.is_some()) {
            self.fill(SlotId { spec: id, index });
        }
    }

    /// Where duplicates are allowed now, nobody waits for what is to end and can't be reached, and a place that nobody wants
    /// isn't kept for what may be hidden there.
    fn allow_duplicates(&mut self, id: SpecId) {
        let allowed = |spec: &&Spec| !spec.spec.policy.is_strict() && !planted!(StillForbidden);
        if let Some(spec) = self.book.specs.get(&id).filter(allowed) {
            let ends = |state| matches!(state, State::Killing(why) if why != KillReason::External);
            let attempts = spec.slots.values().flat_map(Slot::attempts);
            let lost: Vec<_> = attempts.filter(|a| ends(a.state) && a.is_out_of_sight()).map(|a| a.id).collect();
            lost.into_iter().for_each(|attempt| self.abandon(attempt, KillReason::Update));
            for index in self.indices(id, |slot| slot.blocked && !slot.wanted) {
                let slot_id = SlotId { spec: id, index };
                self.unblock(slot_id);
                self.reconsider(slot_id);
            }
        }
    }

    /// A9: what a new revision means for each instance.
    fn revise(&mut self, id: SpecId, old: Former) {
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        spec.history.retain(|former| former.revision != spec.revision && former.revision != old.revision);
        spec.history.insert(0, old);
        let rerun = spec.spec.policy.rerun_on_change;
        let name = spec.spec.name().to_string();
        // Those in which there still is something stay longer.
        let older = spec.history.split_off(HISTORY.min(spec.history.len()));
        let (kept, gone): (Vec<_>, Vec<_>) = older.into_iter().partition(|former| spec.uses(former.revision));
        spec.history.extend(kept);
        let indices: Vec<u32> = spec.slots.keys().copied().collect();
        let ops = gone.into_iter().map(|former| (record::revision_key(&name, former.revision), None)).collect();
        self.writer.write(self.now, ops);
        let now = self.now;
        for index in indices {
            let slot_id = SlotId { spec: id, index };
            let Some(slot) = self.book.slot_mut(slot_id) else { continue };
            let again = match slot.mark {
                Mark::Finished => rerun,
                Mark::Exhausted | Mark::Invalid => !planted!(StillHeld),
                Mark::None => false,
            };
            let waits = slot.waiting.is_some();
            let failed = (slot.failures, slot.invalids) != (0, 0);
            (slot.failures, slot.invalids) = (0, 0);
            let held = slot.held_until.take().is_some();
            if again || waits {
                slot.forgive();
                slot.losses = 0;
                if let Some(waiting) = &mut slot.waiting {
                    waiting.eligible_at = waiting.eligible_at.min(now);
                }
            }
            if again || waits || held || failed {
                self.touch_slot(slot_id);
            }
            let prepared = self.book.slot(slot_id).into_iter().flat_map(Slot::attempts);
            let prepared: Vec<_> = prepared.filter(|a| a.state == State::Prepared).map(|a| a.id).collect();
            prepared.into_iter().for_each(|attempt| self.cancel_of(attempt));
            self.touch_dirty(slot_id);
            self.reconsider(slot_id);
        }
        self.demand(id);
    }

    /// A10 for all of a spec.
    pub(super) fn remove_spec(&mut self, id: SpecId) {
        if let Some(spec) = self.book.specs.get_mut(&id) {
            spec.removed = true;
        }
        self.write_spec(id, false);
        for index in self.indices(id, |_| true) {
            self.unwant(SlotId { spec: id, index });
        }
        // Without any slot there is nothing that would notice.
        if self.book.specs.get(&id).is_some_and(|spec| spec.slots.is_empty()) {
            self.touch_dirty(SlotId { spec: id, index: 0 });
        }
    }

    /// Makes as many slots as are wanted (ENGINE 4.4).
    pub(super) fn fit(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get(&id) else { return };
        let wanted = spec.spec.instance_count();
        let mut there = spec.slots.values().filter(|slot| slot.wanted).count() as u32;
        if there > wanted {
            for index in self.to_remove(id, (there - wanted) as usize) {
                self.unwant(SlotId { spec: id, index });
            }
        }
        // Those on their way out come back first: their numbers are the lowest ones free.
        let leaving: Vec<u32> = self
            .book
            .specs
            .get(&id)
            .map(|spec| spec.slots.iter().filter(|(_, slot)| !slot.wanted).map(|(index, _)| *index).collect())
            .unwrap_or_default();
        for index in leaving {
            if there >= wanted {
                break;
            }
            there += 1;
            let slot_id = SlotId { spec: id, index };
            if let Some(slot) = self.book.slot_mut(slot_id) {
                slot.wanted = true;
            }
            self.touch_slot(slot_id);
            self.reconsider(slot_id);
        }
        let free = |spec: &Spec| spec.free_indices(wanted.saturating_sub(there));
        for index in self.book.specs.get(&id).map(free).unwrap_or_default() {
            let slot = Slot { generation: self.book.burnt, ..Slot::default() };
            let Some(spec) = self.book.specs.get_mut(&id) else { return };
            spec.slots.insert(index, slot);
            self.fill(SlotId { spec: id, index });
        }
        // Slots that were recovered without anything.
        for index in
            self.indices(id, |slot| slot.current.is_none() && slot.waiting.is_none() && slot.mark == Mark::None)
        {
            self.reconsider(SlotId { spec: id, index });
        }
        self.touch_dirty(SlotId { spec: id, index: 0 });
    }

    /// Which slots go first.
    fn to_remove(&self, id: SpecId, count: usize) -> Vec<u32> {
        let Some(spec) = self.book.specs.get(&id) else { return Vec::new() };
        let selection = spec.spec.policy.kill_selection;
        let mut slots: Vec<_> = spec
            .slots
            .iter()
            .filter(|(_, slot)| slot.wanted)
            .map(|(index, slot)| {
                let condition = |attempt: &Attempt| match attempt.state {
                    State::Killing(_) | State::Prepared => 0,
                    State::Doubtful => 1,
                    State::Unreachable => 2,
                    State::Launching => 3,
                    State::Staged => 4,
                    State::Running if !attempt.ready => 5,
                    State::Running if attempt.revision != spec.revision => 6,
                    State::Running if self.closing_for(&attempt.agent.id).is_some() => 7,
                    State::Running => 8,
                };
                // A slot is in as good a condition as the better one of its attempts.
                let condition = slot.attempts().map(condition).max().unwrap_or_default();
                let age = slot.current.as_ref().and_then(|a| a.running).map(|since| since.elapsed(self.now));
                let age = age.unwrap_or_default();
                let order = match selection {
                    KillSelection::HighestIndex => (Reverse(Duration::ZERO), Duration::ZERO),
                    KillSelection::Oldest if !planted!(OldestStay) => (Reverse(age), Duration::ZERO),
                    KillSelection::Oldest | KillSelection::Youngest => (Reverse(Duration::ZERO), age),
                };
                (condition, order, Reverse(*index))
            })
            .collect();
        slots.sort_unstable();
        if planted!(BestGo) {
            slots.reverse();
        }
        if planted!(LowestGo) {
            slots.sort_by_key(|(condition, order, Reverse(index))| (*condition, *order, *index));
        }
        slots.into_iter().take(count).map(|(_, _, Reverse(index))| index).collect()
    }
}

fn status(spec: &Spec) -> SpecStatus {
    let sums = &spec.sums;
    SpecStatus {
        name: spec.spec.name().to_string(),
        revision: spec.revision,
        wanted: sums.wanted,
        live: sums.live,
        ready: sums.ready,
        waiting: sums.waiting.len() as u32,
        finished: sums.finished,
        held: sums.held,
        outdated: sums.stale,
        satisfied: spec.standing() == Standing::Satisfied,
        paused: spec.paused,
        removed: spec.removed,
        priority: spec.spec.policy.priority,
        lacking: spec.lacking.as_ref().filter(|_| !sums.waiting.is_empty()).map(ToString::to_string),
    }
}
