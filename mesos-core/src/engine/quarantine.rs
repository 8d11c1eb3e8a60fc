//! What can't be read of the store, until somebody decides about it (ENGINE 6.3).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::attempt::SlotId;
use super::engine::Engine;
use super::recover::Instances;
use crate::Key;

/// Records that can't be read, and what hangs on them.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// All of them.
    unreadable: BTreeSet<Key>,
    /// Those of each slot that is blocked by them.
    slots: BTreeMap<SlotId, Vec<Key>>,
    /// Instances whose spec can't be read, or is missing, and isn't given so far.
    orphans: BTreeMap<String, Instances>,
    /// The ids of their tasks.
    orphan_tasks: BTreeSet<String>,
}

impl Quarantine {
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.unreadable.contains(key)
    }

    /// Whether a slot may have a task whose record can't be read.
    pub(super) fn hides_task(&self, slot_id: SlotId) -> bool {
        self.slots.get(&slot_id).into_iter().flatten().any(|key| generation(key).is_some())
    }

    pub(super) fn set_orphans(&mut self, orphans: BTreeMap<String, Instances>) {
        self.orphan_tasks = orphans.values().flat_map(Instances::task_ids).map(ToString::to_string).collect();
        self.orphans = orphans;
    }

    /// The instances of a spec that is given now.
    pub(super) fn take_orphans(&mut self, spec: &str) -> Option<Instances> {
        let instances = self.orphans.remove(spec)?;
        for id in instances.task_ids() {
            self.orphan_tasks.remove(id);
        }
        Some(instances)
    }

    /// Whether this is a task of a spec that may be given later.
    pub(super) fn is_orphan(&self, task_id: &str) -> bool {
        self.orphan_tasks.contains(task_id)
    }

    /// Whether what looks like nobody's task may be one that is wanted. Each such task has a record of its own, of a name
    /// that says whose it is: no other record can hide it. What a ghost was, the slot has given up.
    pub(super) fn hides_tasks(&self) -> bool {
        let of_orphans = self.orphans.values().flat_map(Instances::unreadable);
        let mut keys = self.slots.values().flatten().chain(of_orphans);
        !self.orphan_tasks.is_empty() || keys.any(|key| generation(key).is_some())
    }

    /// What can't be read of a spec's own records is no longer kept: removals of it, to be written with what takes its place.
    pub(super) fn release(&mut self, spec: &str) -> Vec<(Key, Option<Bytes>)> {
        let of_spec = |key: &&Key| {
            let mut segments = key.segments();
            let kind = segments.next();
            matches!(kind.as_deref(), Some("spec" | "rev")) && segments.next().as_deref() == Some(spec)
        };
        let keys: Vec<Key> = self.unreadable.iter().filter(of_spec).cloned().collect();
        for key in &keys {
            self.unreadable.remove(key);
        }
        keys.into_iter().map(|key| (key, None)).collect()
    }
}

/// The generation that the record of an attempt belongs to, which its name says.
fn generation(key: &Key) -> Option<u64> {
    let mut segments = key.segments();
    segments.next().filter(|kind| kind == "inst").and_then(|_| segments.nth(2)?.parse().ok())
}

impl Engine {
    /// These can't be read.
    pub(super) fn set_aside(&mut self, unreadable: impl IntoIterator<Item = Key>) {
        self.quarantined.unreadable.extend(unreadable);
    }

    /// Somebody has decided about records that can't be read: they go.
    fn discard(&mut self, keys: Vec<Key>) {
        for some in keys.chunks(200) {
            for key in some {
                self.quarantined.unreadable.remove(key);
            }
            self.writer.write(self.now, some.iter().map(|key| (key.clone(), None)).collect());
        }
    }

    /// The framework was removed: whatever tasks are hidden, they are dead. What a slot itself was isn't known all the same.
    pub(super) fn forget_hidden(&mut self) {
        let is_task = |key: &Key| generation(key).is_some();
        let mut gone = Vec::new();
        for (name, instances) in &mut self.quarantined.orphans {
            gone.extend(instances.forget_tasks(name, is_task));
        }
        self.quarantined.orphan_tasks.clear();
        // No slot that is made anew has theirs.
        self.book.burnt = gone.iter().filter_map(generation).fold(self.book.burnt, u64::max);
        let mut free = Vec::new();
        for (slot_id, keys) in &mut self.quarantined.slots {
            let (tasks, left): (Vec<_>, Vec<_>) = core::mem::take(keys).into_iter().partition(is_task);
            gone.extend(tasks);
            *keys = left;
            if keys.is_empty() || self.book.slot(*slot_id).is_some_and(|slot| !slot.wanted) {
                free.push(*slot_id);
            }
        }
        self.discard(gone);
        for slot_id in free {
            self.unblock(slot_id);
            self.reconsider(slot_id);
        }
    }

    /// A spec is given that the store has, too: what can't be read of its former revisions goes.
    pub(super) fn drop_unreadable(&mut self, spec: &str) {
        let ops = self.quarantined.release(spec);
        self.writer.write(self.now, ops);
    }

    /// A slot stands still because of these.
    pub(super) fn block(&mut self, slot_id: SlotId, keys: Vec<Key>) {
        if let Some(spec) = self.book.specs.get_mut(&slot_id.spec) {
            let slot = spec.slots.entry(slot_id.index).or_default();
            slot.blocked = true;
            // They are burnt, whatever has become of their tasks.
            slot.generation = keys.iter().filter_map(generation).fold(slot.generation, u64::max);
        }
        self.quarantined.slots.insert(slot_id, keys);
        self.touch_dirty(slot_id);
    }

    /// A user has decided about a slot with records that can't be read.
    pub(super) fn unblock(&mut self, slot_id: SlotId) {
        let Some(keys) = self.quarantined.slots.remove(&slot_id) else { return };
        self.discard(keys);
        if let Some(slot) = self.book.slot_mut(slot_id) {
            slot.blocked = false;
        }
        self.touch_slot(slot_id);
        // What went out of sight meanwhile has got none beside it.
        self.replace_lost(slot_id);
        // What has waited meanwhile may do so for an offer that was declined.
        self.demand(slot_id.spec);
    }
}
