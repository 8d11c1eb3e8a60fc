//! What has changed is written, and what depends on it happens afterwards.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::attempt::{Attempt, AttemptId, SlotId, State};
use super::engine::{After, Engine, Sent};
use super::event::{Event, Receipt};
use super::record;
use super::writer::Effect;
use crate::planted::planted;
use crate::scheduler::{self, CallSink as _};
use crate::{Key, Output};

/// Acknowledgements handed to the client at once; the rest waits here.
const ACKS_AT_ONCE: usize = 64;

/// A record of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Record {
    Slot(SlotId, Key),
    Attempt(AttemptId, Key),
    Ghost(Arc<str>),
}

impl Engine {
    /// The sums of this slot's spec have to be looked at again.
    pub(super) fn touch_dirty(&mut self, id: SlotId) {
        self.dirty_slots.insert(id);
    }

    pub(super) fn touch_slot(&mut self, id: SlotId) {
        self.dirty_slots.insert(id);
        let Some(spec) = self.book.specs.get(&id.spec) else { return };
        let key = record::slot_key(spec.spec.name(), id.index);
        // What can't be read is left as it is.
        if !self.quarantined.contains(&key) {
            self.dirty_records.insert(Record::Slot(id, key));
        }
    }

    pub(super) fn touch_attempt(&mut self, id: AttemptId) {
        self.dirty_slots.insert(id.slot);
        if let Some(spec) = self.book.specs.get(&id.slot.spec) {
            self.dirty_records.insert(Record::Attempt(id, record::attempt_key(spec.spec.name(), id)));
        }
        if self.book.attempt(id).is_none() {
            // What its record has said of the slot, that of the slot has to say from now on.
            self.touch_slot(id.slot);
        }
    }

    pub(super) fn touch_ghost(&mut self, task_id: &Arc<str>) {
        self.dirty_records.insert(Record::Ghost(task_id.clone()));
    }

    /// Tells an event, once everything so far is durable.
    pub(super) fn tell_after_all(&mut self, event: Event) {
        self.effects.push((After::Everything, Effect::Tell(event.into())));
    }

    /// Tells an event, once the slot that it is about is durable.
    pub(super) fn tell(&mut self, slot: Option<SlotId>, event: Event) {
        self.counters.told(&event);
        let slot = slot.filter(|_| !planted!(ToldEarly));
        self.effects.push((slot.map_or(After::Nothing, After::Slot), Effect::Tell(event.into())));
    }

    /// Does something once these changes are durable.
    pub(super) fn later(&mut self, after: After, effect: Effect) {
        self.effects.push((after, effect));
    }

    /// Does something once this batch is durable.
    pub(super) fn when_durable(&mut self, batch: u64, effect: Effect) {
        if self.writer.is_durable(batch) {
            self.perform(effect);
        } else {
            self.writer.hold(batch, effect);
        }
    }

    /// Writes the intents of one ACCEPT, after everything else that has changed: a task takes the place of another only when
    /// it is on record what became of that one. Returns the batch that the last of them is in.
    pub(super) fn write_intents(&mut self, attempts: &[AttemptId]) -> u64 {
        let slots: BTreeSet<SlotId> = attempts.iter().map(|attempt| attempt.slot).collect();
        let (mine, others): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.dirty_records).into_iter().partition(|record| match record {
                Record::Slot(id, _) => slots.contains(id),
                Record::Attempt(id, _) => slots.contains(&id.slot),
                Record::Ghost(_) => false,
            });
        let groups = self.groups(others).into_iter().chain(self.groups(mine));
        groups.fold(self.writer.last(), |_, group| self.write(group))
    }

    /// Writes these records as they are now, in one batch.
    fn write(&mut self, records: Vec<Record>) -> u64 {
        let mut ops = Vec::with_capacity(records.len());
        let mut slots = Vec::new();
        for record in records {
            match record {
                Record::Slot(id, key) => {
                    let slot = self.book.slot(id).filter(|slot| slot.has_past(self.now));
                    let value = slot.map(|slot| self.slot_record(slot));
                    let was = self.book.recorded.remove(&key);
                    if value.is_some() {
                        self.book.recorded.insert(key.clone());
                    }
                    if was || value.is_some() {
                        slots.push(id);
                        ops.push((key, value));
                    }
                }
                Record::Attempt(id, key) => {
                    let kept =
                        |attempt: &&Attempt| !planted!(RecordGone) || !matches!(attempt.state, State::Killing(_));
                    let value = self.book.attempt(id).filter(kept).map(|attempt| self.attempt_record(attempt));
                    slots.push(id.slot);
                    ops.push((key, value));
                }
                Record::Ghost(task_id) => {
                    let ghost = self.ghosts.get(&task_id).filter(|ghost| ghost.was.is_some());
                    let value = ghost.and_then(|ghost| self.ghost_record(&task_id, ghost));
                    ops.push((super::ghost::key(&task_id), value));
                }
            }
        }
        let batch = self.writer.write(self.now, ops);
        for id in slots {
            if let Some(slot) = self.book.slot_mut(id) {
                slot.written_in = batch;
            }
        }
        batch
    }

    /// Writes what has changed. A ghost and the attempt that it was belong together, and so do a slot and its attempts:
    /// all of a step goes into one batch if it fits, else slot by slot.
    pub(super) fn write_dirty(&mut self) {
        if !self.dirty_records.is_empty() {
            let records = core::mem::take(&mut self.dirty_records).into_iter().collect();
            for group in self.groups(records) {
                self.write(group);
            }
        }
    }

    /// Records that belong together stay together: those of a slot, and with them all ghosts of the step.
    fn groups(&self, records: Vec<Record>) -> Vec<Vec<Record>> {
        /// As many as surely fit one batch, each with a long message.
        const TOGETHER: usize = 64;
        if records.len() <= TOGETHER {
            return alloc::vec![records];
        }
        let (mut written, mut removed) = (Vec::new(), Vec::new());
        let mut by_slot: BTreeMap<SlotId, Vec<Record>> = BTreeMap::new();
        for record in records {
            match &record {
                Record::Slot(id, _) => by_slot.entry(*id).or_default().push(record),
                Record::Attempt(id, _) => by_slot.entry(id.slot).or_default().push(record),
                Record::Ghost(task_id) if self.ghosts.get(task_id).is_some() => written.push(record),
                Record::Ghost(_) => removed.push(record),
            }
        }
        // A ghost comes before the attempt that it was, and goes after the one that it has become: a crash between leaves a
        // task twice in the books, never not at all.
        let chunks = |ghosts: &[Record]| ghosts.chunks(TOGETHER).map(<[Record]>::to_vec).collect::<Vec<_>>();
        chunks(&written).into_iter().chain(by_slot.into_values()).chain(chunks(&removed)).collect()
    }

    /// Writes what has changed, and lets go of what need not wait for it.
    pub(super) fn flush(&mut self) {
        self.write_dirty();
        let last = self.writer.last();
        for (after, effect) in core::mem::take(&mut self.effects) {
            let batch = match after {
                After::Nothing => 0,
                After::Slot(id) => self.book.slot(id).map_or(last, |slot| slot.written_in),
                After::Everything => last,
            };
            self.when_durable(batch, effect);
        }
        self.put_batch();
    }

    /// Gives the next batch to the store, if none is under way.
    pub(super) fn put_batch(&mut self) {
        if let Some(batch) = self.writer.poll(self.now) {
            self.counters.batches += 1;
            if self.persisting.is_none_or(|(ticket, _)| ticket != batch.ticket()) {
                self.persisting = Some((batch.ticket(), self.now));
            }
            self.outputs.push_back(Output::Persist(batch));
        }
    }

    /// Something is durable, or need not be.
    pub(super) fn perform(&mut self, effect: Effect) {
        if self.ended {
            return;
        }
        match effect {
            Effect::Acknowledge { agent_id, task_id, uuid } if self.config.manual_acknowledgement => {
                let receipt = Receipt { agent_id, task_id: task_id.to_string(), uuid };
                self.outputs.push_back(Output::Event(Event::Unacknowledged(receipt)));
            }
            Effect::Acknowledge { .. } | Effect::Teardown => self.acks.push_back(effect),
            Effect::Accept(id) => self.accept(id),
            Effect::Kill(id) => self.send_kill(id),
            Effect::KillGhost(task_id) => self.send_ghost_kill(&task_id),
            Effect::Tell(event) => {
                self.ended |= matches!(*event, Event::Stopped { .. });
                self.outputs.push_back(Output::Event(*event));
            }
        }
    }

    /// Hands acknowledgements to the client, some at a time. TEARDOWN takes another way than they do, and afterwards no
    /// agent learns of them: it goes once all before it have their answers.
    pub(super) fn send_acks(&mut self) {
        while self.acks.front().is_some_and(|effect| match effect {
            Effect::Teardown => self.acks_under_way == 0,
            _ => self.may_call() && self.acks_under_way < ACKS_AT_ONCE,
        }) {
            let Some(Effect::Acknowledge { agent_id, task_id, uuid }) = self.acks.pop_front() else {
                self.client.teardown();
                continue;
            };
            // One that can't be sent comes again by itself: the agent repeats the update.
            let call = scheduler::acknowledge(&task_id, Some(&agent_id), Some(&uuid));
            if let Ok(call) = call.and_then(|call| self.client.submit(call)) {
                self.acks_under_way += 1;
                self.counters.acknowledged += 1;
                self.sent.insert(call, Sent::Acknowledge);
            }
        }
    }
}
