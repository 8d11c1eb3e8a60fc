//! A store that survives the scheduler: what is durable, and what of it means a task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use mesos_core::{Key, Persist, StoreOp};
use mesos_proto::store::engine::Marker;
use mesos_proto::{json, store};

use super::{Step, World, violation};
use crate::agent;

/// The records, and what they say.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) records: BTreeMap<Key, Bytes>,
    /// By task id; with the spec, the index and the generation that the key names.
    pub(super) instances: BTreeMap<String, Kept>,
    pub(super) ghosts: BTreeSet<String>,
    pub(super) slots: BTreeMap<(String, u32), store::Slot>,
    pub(super) framework: Option<String>,
    /// What becomes of the framework.
    marker: Marker,
    /// Specs of which two tasks of a slot must never run together, each with a number for each time that this began.
    pub(super) strict: BTreeMap<String, u64>,
    /// Those of which that was said at some time.
    pub(super) was_strict: BTreeSet<String>,
    pub(super) policies: BTreeMap<String, store::Policy>,
    /// What instances of each spec are to have.
    revisions: BTreeMap<String, String>,
    /// Tasks that had been given up, and that a place has taken back to end them.
    pub(super) taken_back: BTreeSet<String>,
    /// How many changes there have been.
    changes: u64,
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
    /// Whether the next process would go on as a framework that isn't one of the `former` ones. If it only ends what it
    /// finds, it does no harm as one of those (simulated: seed 2600009251).
    pub(super) fn goes_on_but(&self, former: &BTreeSet<String>) -> bool {
        use Marker::{Removed, Running};
        let ends = self.marker != Running;
        let spent = |id: &String| self.marker == Removed || ends && former.contains(id);
        self.framework.as_ref().is_some_and(|id| !spent(id))
    }

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
        self.changes += 1;
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
                self.marker = record.map(|engine| engine.marker()).unwrap_or_default();
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
                    self.was_strict.insert((*spec).to_owned());
                    self.strict.entry((*spec).to_owned()).or_insert(self.changes);
                } else {
                    self.strict.remove(*spec);
                }
                if record.as_ref().is_some_and(|spec| spec.removed()) {
                    self.leaving.insert((*spec).to_owned());
                } else {
                    self.leaving.remove(*spec);
                }
                match record {
                    Some(record) => {
                        self.policies.insert((*spec).to_owned(), record.policy);
                        self.revisions.insert((*spec).to_owned(), record.revision);
                    }
                    None => {
                        self.policies.remove(*spec);
                        self.revisions.remove(*spec);
                    }
                }
            }
            ["inst", spec, index, generation] => {
                let old = self.keys.remove(key);
                if let Some(old) = &old {
                    self.instances.remove(old);
                }
                if let Some(value) = value {
                    let record: store::Instance = json::decode(value).map_err(unreadable)?;
                    if old.is_none() && record.state() == store::instance::State::Killing {
                        self.taken_back.insert(record.task_id.clone());
                    }
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

    /// The records of attempts.
    pub(super) fn attempts(&self) -> impl Iterator<Item = (&Key, &Kept)> {
        self.keys.iter().filter_map(|(key, task)| Some((key, self.instances.get(task)?)))
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

    /// The record of a spec.
    pub(super) fn spec(&self, name: &str) -> Option<store::Spec> {
        self.records.get(&Key::new(["spec", name])).and_then(|value| json::decode(value).ok())
    }

    /// Whether the framework may be removed from the master.
    pub(super) fn may_tear_down(&self) -> bool {
        self.marker == Marker::TearingDown
    }

    /// Whether the next process would end the framework.
    pub(super) const fn is_ending(&self) -> bool {
        !matches!(self.marker, Marker::Running | Marker::Removed)
    }

    /// The specs that aren't to go.
    pub(super) fn wanted_specs(&self) -> impl Iterator<Item = &String> {
        self.policies.keys().filter(|name| !self.leaving.contains(*name))
    }

    /// How many places of a spec are wanted.
    pub(super) fn wanted(&self, spec: &str) -> u32 {
        let policy = self.policies.get(spec).filter(|_| !self.leaving.contains(spec));
        policy.map_or(0, |policy| policy.instances)
    }

    /// Whether all instances of a spec are there that are wanted, and ready or finished, and none of another revision.
    pub(super) fn is_satisfied(&self, spec: &str) -> bool {
        let run = |slot: &store::Slot| slot.goal() == store::slot::Goal::Run;
        let records = self.slots.iter().filter(|((name, _), _)| name == spec);
        let mut places: BTreeMap<u32, Option<&store::Slot>> =
            records.map(|((_, index), slot)| (*index, Some(slot))).collect();
        let tasks: Vec<&Kept> = self.instances.values().filter(|kept| kept.slot.0 == spec).collect();
        for kept in &tasks {
            places.entry(kept.slot.1).or_insert(None);
        }
        places.retain(|_, slot| slot.is_none_or(run));
        let fine = |index: u32, slot: Option<&store::Slot>| {
            let mark = slot.map(store::Slot::mark).unwrap_or_default();
            let mut mine = tasks.iter().map(|kept| (kept.slot.1, &kept.record)).filter(|(place, _)| *place == index);
            let ready = |record: &store::Instance| record.state() == store::instance::State::Running && record.ready();
            let current = |record: &store::Instance| Some(&record.revision) == self.revisions.get(spec);
            match mark {
                store::slot::Mark::Exhausted | store::slot::Mark::Invalid => false,
                _ if !mine.clone().all(|(_, record)| is_inactive(record) || current(record)) => false,
                store::slot::Mark::Finished => true,
                store::slot::Mark::None => mine.any(|(_, record)| ready(record)),
            }
        };
        places.len() == self.wanted(spec) as usize && places.into_iter().all(|(index, slot)| fine(index, slot))
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

impl World {
    /// I18: what the engine knows is what the store holds, once nothing is being written.
    pub(super) fn same(&mut self) -> Step {
        let Some(engine) = self.engine.as_ref().filter(|_| !self.unsaved && !self.ledger.terminal) else {
            return Ok(());
        };
        *self.ledger.judged.entry("I18").or_default() += 1;
        use mesos_core::engine::State as A;
        use store::instance::State as B;
        let mut count = 0;
        for task in engine.tasks() {
            count += 1;
            let kept = self.disk.instances.get(&task.task_id).map(|kept| kept.record.state());
            let same = matches!(
                (task.state, kept),
                (A::Prepared | A::Launching, Some(B::Prepared | B::Launching))
                    | (A::Staged, Some(B::Staged))
                    | (A::Running, Some(B::Running))
                    | (A::Unreachable, Some(B::Unreachable))
                    | (A::Doubtful, Some(B::Doubtful))
                    | (A::Killing(_), Some(B::Killing))
            );
            let kept = self.disk.instances.get(&task.task_id).map(|kept| &kept.record);
            let shown = kept.is_some_and(|kept| {
                kept.ports.iter().copied().eq(task.ports.iter().map(|port| u32::from(*port)))
                    && kept.agent.id == task.agent_id
                    && kept.agent.hostname.as_deref().unwrap_or_default() == task.hostname
                    && kept.agent.ip == task.agent_ip
                    && kept.revision == task.revision.to_string()
                    && (kept.healthy == task.healthy || matches!(task.state, A::Killing(_)))
                    && kept.ready() == task.ready
                    && (task.state != A::Running || kept.running_since.is_some())
                    && (task.state != A::Staged || kept.staged.is_some())
                    && (task.state != A::Unreachable || kept.unreachable_since.is_some())
                    && (!kept.inactive() || !matches!(task.state, A::Staged | A::Running))
            });
            if same && !shown {
                return violation("I18", format!("{task:?} is {kept:?} in the store"));
            }
            if !same {
                return violation("I18", format!("{} is {:?}, and {kept:?} in the store", task.task_id, task.state));
            }
        }
        if count != self.disk.instances.len() {
            return violation("I18", format!("{count} tasks, and {} in the store", self.disk.instances.len()));
        }
        use mesos_proto::v1::TaskState as T;
        let heard =
            |id: &String| self.ledger.tasks.get(id).filter(|task| task.over_at.is_some()).and_then(|task| task.heard);
        let ended = |state| agent::is_terminal(state) && !matches!(state, T::TaskGoneByOperator | T::TaskLost);
        let ghost =
            self.disk.ghosts.iter().find(|id| heard(id).is_some_and(|(state, at)| ended(state) && at < self.now));
        if let Some(id) = ghost {
            return violation("I18", format!("{id} has ended, and is kept as one that may come back"));
        }
        // What is to end and can't be reached is in nobody's way.
        let waits = self.disk.instances.iter().find(|(id, kept)| {
            let lost = self.ledger.tasks.get(*id).and_then(|task| task.heard);
            kept.record.state() == B::Killing
                && kept.record.why() != store::instance::Why::External
                && !self.disk.strict.contains_key(&kept.slot.0)
                && self.ledger.session.is_some()
                && self.places.succession.is_heard(id)
                && lost.is_some_and(|(state, at)| state == T::TaskUnreachable && at < self.now)
        });
        if let Some((id, _)) = waits {
            return violation("L4", format!("{id} is to end, can't be reached, and is waited for"));
        }
        if self.words.uninstalls && self.disk.framework.is_some() && self.disk.marker == Marker::Running {
            return violation("I26", "the framework is to be removed, and that isn't kept");
        }
        self.as_kept()?;
        self.as_told()?;
        self.kept()
    }
}
