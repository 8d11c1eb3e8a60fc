//! A store that survives the scheduler: what is durable, and what of it means a task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use mesos_core::{Key, Persist, StoreOp};
use mesos_proto::{json, store};

/// The records, and what they say.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) records: BTreeMap<Key, Bytes>,
    /// By task id; with the spec, the index and the generation that the key names.
    pub(super) instances: BTreeMap<String, Kept>,
    pub(super) ghosts: BTreeSet<String>,
    pub(super) slots: BTreeMap<(String, u32), store::Slot>,
    pub(super) framework: Option<String>,
    /// That framework is spent.
    pub(super) removed: bool,
    /// Specs of which two tasks of a slot must never run together.
    pub(super) strict: BTreeSet<String>,
    pub(super) policies: BTreeMap<String, store::Policy>,
    /// Specs that are to go.
    leaving: BTreeSet<String>,
    keys: BTreeMap<Key, String>,
    /// Nothing is taken before this moment.
    pub(super) down_until: Duration,
    /// Nothing was taken from the first of these moments on, and what hangs since then does so until the second at most.
    pub(super) hangs_since: Duration,
    pub(super) hangs_until: Duration,
    /// Nothing of this incarnation is taken any more.
    pub(super) fenced: bool,
}

/// An attempt as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) slot: (String, u32),
    pub(super) generation: u64,
    pub(super) record: store::Instance,
}

/// Whether it is out of sight, and its place may have another one.
pub(super) fn is_inactive(record: &store::Instance) -> bool {
    use store::instance::State;
    matches!(record.state(), State::Unreachable | State::Doubtful) && record.inactive()
}

impl Disk {
    /// It takes nothing for so long, whatever was said before.
    pub(super) fn down(&mut self, now: Duration, time: Duration) {
        self.down_until = now + time;
        if self.hangs_until < now {
            self.hangs_since = now;
        }
        self.hangs_until = self.hangs_until.max(self.down_until);
    }

    /// A batch becomes durable. The error names a record that can't be read.
    pub(super) fn apply(&mut self, batch: &Persist) -> Result<(), String> {
        for op in batch.ops() {
            self.change(op)?;
        }
        Ok(())
    }

    fn change(&mut self, op: &StoreOp) -> Result<(), String> {
        let (key, value) = match op {
            StoreOp::Put { key, value } => {
                self.records.insert(key.clone(), value.clone());
                (key, Some(value))
            }
            StoreOp::Delete { key } => {
                self.records.remove(key);
                (key, None)
            }
        };
        let segments: Vec<String> = key.segments().collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let unreadable = |error: json::Error| format!("{key}: {error}");
        match segments.as_slice() {
            ["framework"] => {
                let record = value.map(|value| json::decode::<store::Framework>(value).map_err(unreadable));
                self.framework = record.transpose()?.map(|framework| framework.id);
            }
            ["engine"] => {
                let record = value.map(|value| json::decode::<store::Engine>(value).map_err(unreadable)).transpose()?;
                self.removed = record.is_some_and(|engine| engine.marker() == store::engine::Marker::Removed);
            }
            ["slot", spec, index] => {
                let slot = ((*spec).to_owned(), index.parse().unwrap_or(u32::MAX));
                match value {
                    Some(value) => {
                        self.slots.insert(slot, json::decode(value).map_err(unreadable)?);
                    }
                    None => drop(self.slots.remove(&slot)),
                }
            }
            ["spec", spec] => {
                let record = value.map(|value| json::decode::<store::Spec>(value).map_err(unreadable)).transpose()?;
                let strict =
                    record.as_ref().is_some_and(|spec| spec.policy.duplicates() == store::policy::Duplicates::Forbid);
                if strict {
                    self.strict.insert((*spec).to_owned());
                } else {
                    self.strict.remove(*spec);
                }
                if record.as_ref().is_some_and(|spec| spec.removed()) {
                    self.leaving.insert((*spec).to_owned());
                } else {
                    self.leaving.remove(*spec);
                }
                match record {
                    Some(record) => drop(self.policies.insert((*spec).to_owned(), record.policy)),
                    None => drop(self.policies.remove(*spec)),
                }
            }
            ["inst", spec, index, generation] => {
                if let Some(old) = self.keys.remove(key) {
                    self.instances.remove(&old);
                }
                if let Some(value) = value {
                    let record: store::Instance = json::decode(value).map_err(unreadable)?;
                    self.keys.insert(key.clone(), record.task_id.clone());
                    let slot = ((*spec).to_owned(), index.parse().unwrap_or(u32::MAX));
                    let generation = generation.parse().unwrap_or(0);
                    self.instances.insert(record.task_id.clone(), Kept { slot, generation, record });
                }
            }
            ["ghost", id] => {
                match value {
                    Some(_) => self.ghosts.insert((*id).to_owned()),
                    None => self.ghosts.remove(*id),
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// The task of an attempt's record.
    pub(super) fn task(&self, key: &Key) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// What is kept of a place: its record, or, if its attempt says it all, that.
    pub(super) fn slot(&self, place: &(String, u32)) -> Option<store::Slot> {
        self.slots.get(place).cloned().or_else(|| {
            let kept = self.instances.values().filter(|kept| kept.slot == *place);
            let generation = kept.map(|kept| kept.generation).max()?;
            // Wanted, and nothing against it.
            Some(store::Slot { generation, ..store::Slot::default() })
        })
    }

    /// Places of a spec that wait for their first attempt, of which nothing is kept, if so many are wanted in all.
    pub(super) fn fresh(&self, spec: &str, wanted: u32) -> BTreeSet<u32> {
        let records = self.slots.iter().filter(|((name, _), _)| name == spec);
        let mut there: BTreeMap<u32, bool> =
            records.map(|((_, index), slot)| (*index, slot.goal() == store::slot::Goal::Run)).collect();
        for kept in self.instances.values().filter(|kept| kept.slot.0 == spec) {
            there.entry(kept.slot.1).or_insert(true);
        }
        let missing = wanted.saturating_sub(there.values().filter(|wanted| **wanted).count() as u32);
        (0..).filter(|index| !there.contains_key(index)).take(missing as usize).collect()
    }

    /// How many places of a spec are wanted.
    pub(super) fn wanted(&self, spec: &str) -> u32 {
        let policy = self.policies.get(spec).filter(|_| !self.leaving.contains(spec));
        policy.map_or(0, |policy| policy.instances)
    }

    /// An operator starts over with nothing.
    pub(super) fn wipe(&mut self) {
        *self = Self::default();
    }

    /// Whether a recovery from here knows this task.
    pub(super) fn knows(&self, task: &str) -> bool {
        self.instances.contains_key(task) || self.ghosts.contains(task)
    }
}
