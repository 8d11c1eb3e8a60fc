//! From records back to a running engine.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use mesos_proto::store::{self, engine::Marker, ghost, slot};
use mesos_proto::{Described, json};

use super::attempt::{Agent, Attempt, AttemptId, KillReason, Last, Since, SlotId, SpecId, State};
use super::book::{Former, LastEnd, Mark, Slot, Spec, Waiting};
use super::config::{Config, Removal};
use super::engine::Engine;
use super::event::{Event, GhostReason, Held};
use super::ghost::Ghost;
use super::launch::{Launch, Revision};
use super::record::{self, FORMAT};
use super::spec::{SpecError, SpecProblem, TaskSpec};
use crate::planted::planted;
use crate::{Instant, Key, ResourceProblem, UnixTime, v1};

/// A record that can't be read, or a spec's that is missing. It is neither used nor changed, and whatever it belongs to
/// stands still, until somebody decides: who gives a spec, or says that an instance is to be tried again or isn't wanted
/// any more. As long as it may hide a task that is wanted, none is [killed for being unknown](super::UnknownTasks): an
/// instance's task, or a spec with all of its own. Others, as of tasks that were given up, hide nothing: they do no harm,
/// and go with the framework at the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// Its name in the store.
    pub key: Key,
    /// What is wrong with it.
    pub why: String,
}

/// Why an engine can't be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Specs are at fault: all of them, with all that is wrong.
    #[error("{} of the specs can't be run: {}", .0.len(), List(.0))]
    Specs(Vec<SpecError>),
    /// A spec's name looks in task ids like that of another one in the store, which has to be removed first, by a start
    /// without this one.
    #[error("a spec of the store looks like {0:?} in task ids")]
    SameName(String),
    /// The [headroom](Config::headroom) can't be asked for: all that is wrong with it.
    #[error("headroom: {}", List(.0))]
    Headroom(Vec<ResourceProblem>),
    /// A newer version has written this store.
    #[error("record {key} has format {format}; this version reads up to {FORMAT}")]
    Newer {
        /// The record.
        key: Key,
        /// Its format.
        format: u32,
    },
    /// The record of the engine or of the framework can't be read: going on could run everything twice.
    #[error("{0}")]
    Unreadable(Quarantined),
    /// The store has tasks but no framework id: they belong to a framework that nobody can speak for.
    #[error("the store has tasks, but no framework id")]
    NoFramework,
    /// The configuration names another framework than the store.
    #[error("the store is that of framework {stored}, not of {given}")]
    OtherFramework {
        /// In the store.
        stored: String,
        /// In the configuration.
        given: String,
    },
}

struct List<'a, T>(&'a [T]);

impl<T: core::fmt::Display> core::fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// What the records say, checked one by one.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) incarnation: u64,
    pub(super) framework: Option<store::Framework>,
    pub(super) marker: Marker,
    specs: BTreeMap<String, StoredSpec>,
    /// By spec.
    instances: BTreeMap<String, Instances>,
    ghosts: Vec<store::Ghost>,
    quarantined: Vec<Quarantined>,
    /// Revisions that no spec names.
    unused: Vec<Key>,
    /// Records that can't be read, or are of specs that nobody knows: they go with the framework only.
    strays: Vec<Key>,
    given: Vec<TaskSpec>,
}

impl Recovered {
    /// The framework ids that are spent.
    pub(super) fn retired(&self) -> Vec<String> {
        let Some(framework) = &self.framework else { return Vec::new() };
        let last = (self.marker == Marker::Removed).then(|| framework.id.clone());
        framework.retired.iter().cloned().chain(last).collect()
    }

    fn of(&mut self, spec: &str) -> &mut Instances {
        self.instances.entry(spec.to_string()).or_default()
    }
}

/// What the records of a spec's instances say.
#[derive(Debug, Default)]
pub(super) struct Instances {
    slots: BTreeMap<u32, store::Slot>,
    attempts: Vec<(u32, u64, store::Instance)>,
    /// Slots that records which can't be read belong to.
    blocked: BTreeMap<u32, Vec<Key>>,
}

impl Instances {
    pub(super) fn task_ids(&self) -> impl Iterator<Item = &str> {
        self.attempts.iter().map(|(_, _, record)| record.task_id.as_str())
    }

    pub(super) fn unreadable(&self) -> impl Iterator<Item = &Key> {
        self.blocked.values().flatten()
    }

    /// Nothing is known of tasks any more, nor of those slots of which only tasks were left; their records.
    pub(super) fn forget_tasks(&mut self, name: &str, is_task: impl Fn(&Key) -> bool) -> Vec<Key> {
        let id = |index, generation| AttemptId { slot: SlotId { spec: SpecId(0), index }, generation };
        let attempts = self.attempts.drain(..).map(|(index, generation, _)| id(index, generation));
        let mut keys: Vec<Key> = attempts.map(|id| record::attempt_key(name, id)).collect();
        for unreadable in self.blocked.values_mut() {
            let (gone, left): (Vec<_>, Vec<_>) = core::mem::take(unreadable).into_iter().partition(&is_task);
            keys.extend(gone);
            *unreadable = left;
        }
        self.blocked.retain(|_, unreadable| !unreadable.is_empty());
        let leaves = |record: &store::Slot| record.goal != i32::from(slot::Goal::Run);
        keys.extend(
            self.slots.iter().filter(|(_, slot)| leaves(slot)).map(|(index, _)| record::slot_key(name, *index)),
        );
        self.slots.retain(|_, slot| !leaves(slot));
        keys
    }
}

#[derive(Debug)]
struct StoredSpec {
    spec: TaskSpec,
    history: Vec<Former>,
    paused: bool,
    removed: bool,
    /// It isn't the store that it comes from.
    unwritten: bool,
}

impl Engine {
    /// An engine for these specs, with what a store held (nothing, at the very first start). The program's specs win
    /// over stored ones of the same name. It starts with the first input.
    ///
    /// `seed` is its only source of chance. In production it comes from the operating system.
    ///
    /// # Errors
    /// Specs are at fault, or the records are not such that going on would be safe.
    pub fn new(
        mut config: Config,
        specs: impl IntoIterator<Item = TaskSpec>,
        records: impl IntoIterator<Item = (Key, Bytes)>,
        seed: u64,
    ) -> Result<Self, RecoverError> {
        let roles = config.client.framework().roles.clone();
        let mut given: Vec<TaskSpec> = specs.into_iter().collect();
        let mut errors = Vec::new();
        let mut names = BTreeMap::new();
        for spec in &mut given {
            spec.settle_role(roles.first().map_or("*", String::as_str));
            let mut problems = spec.problems(&roles);
            if names.insert(super::id::spec_part(spec.name()), spec.name().to_string()).is_some() {
                problems.push(SpecProblem::SameName);
            }
            errors.extend(SpecError::from_problems(spec.name(), problems));
        }
        if !errors.is_empty() {
            return Err(RecoverError::Specs(errors));
        }
        let problems = config.headroom.problems();
        if !problems.is_empty() {
            return Err(RecoverError::Headroom(problems));
        }
        let recovered = read(records, given)?;
        for stored in recovered.specs.keys() {
            if let Some(given) = names.get(&super::id::spec_part(stored)).filter(|given| *given != stored) {
                return Err(RecoverError::SameName(given.clone()));
            }
        }
        let given = config.client.framework().id.as_ref().map(|id| id.value.clone());
        match (&recovered.framework, given) {
            (Some(stored), Some(given)) if stored.id != given => {
                return Err(RecoverError::OtherFramework { stored: stored.id.clone(), given });
            }
            (Some(stored), None) if recovered.marker != Marker::Removed => {
                config.client = config.client.framework_id(&stored.id).map_err(|error| {
                    RecoverError::Unreadable(Quarantined { key: record::framework_key(), why: error.to_string() })
                })?;
            }
            (None, None) if recovered.instances.values().any(|instances| !instances.attempts.is_empty()) => {
                return Err(RecoverError::NoFramework);
            }
            _ => {}
        }
        Ok(Self::build(config, recovered, seed))
    }

    /// Puts everything back in its place. The wall clock is known by now, if it ever will be.
    pub(super) fn restore(&mut self, recovered: Recovered) {
        let now = self.now;
        self.write_engine();
        let mut instances = recovered.instances;
        let slots = instances.iter().flat_map(|(name, of)| of.slots.keys().map(move |index| (name, *index)));
        self.book.recorded = slots.map(|(name, index)| record::slot_key(name, index)).collect();
        self.book.recorded.extend(recovered.strays);
        self.set_aside(recovered.quarantined.iter().map(|quarantined| quarantined.key.clone()));
        for (name, stored) in recovered.specs {
            let mut spec = Spec::new(stored.spec);
            spec.history = stored.history;
            spec.paused = stored.paused;
            spec.removed = stored.removed;
            let id = self.book.insert(spec);
            self.update_role(id);
            if stored.unwritten {
                self.write_spec(id, true);
            }
            self.restore_instances(id, &name, instances.remove(&name).unwrap_or_default());
        }
        self.quarantined.set_orphans(instances);
        for record in recovered.ghosts {
            self.restore_ghost(record);
        }
        let ids: Vec<SpecId> = self.book.specs.keys().copied().collect();
        for id in ids {
            // The policy may have become durable before what it means.
            self.forbid_duplicates(id);
        }
        for keys in recovered.unused.chunks(200) {
            self.writer.write(now, keys.iter().map(|key| (key.clone(), None)).collect());
        }
        for quarantined in recovered.quarantined {
            self.tell(None, Event::RecordQuarantined(quarantined));
        }
        let given: BTreeSet<String> = recovered.given.iter().map(|spec| spec.name().to_string()).collect();
        for mut spec in recovered.given {
            self.keep_restarts(&mut spec);
            self.put(spec);
        }
        let ids: Vec<(SpecId, String)> =
            self.book.specs.iter().map(|(id, spec)| (*id, spec.spec.name().to_string())).collect();
        let uninstalling = matches!(self.marker, Marker::Uninstalling | Marker::TearingDown);
        for (id, name) in ids {
            if uninstalling {
                self.remove_spec(id);
            } else if !given.contains(&name) {
                let removed = self.book.specs.get(&id).is_some_and(|spec| spec.removed);
                if removed || self.config.removal == Removal::Auto || planted!(SpecsDropped) {
                    self.remove_spec(id);
                } else {
                    self.fit(id);
                    self.tell(None, Event::SpecKept { spec: name });
                }
            }
        }
        if uninstalling {
            self.resume_uninstall();
        }
    }

    /// Puts what the store has of a spec's instances back in its place.
    pub(super) fn restore_instances(&mut self, id: SpecId, name: &str, instances: Instances) {
        let (now, wall) = (self.now, self.wall_now());
        for (index, record) in instances.slots {
            let slot = restore_slot(&record, now, wall, self.backoff_limit(id));
            if let Some(spec) = self.book.specs.get_mut(&id) {
                spec.slots.insert(index, slot);
            }
            self.touch_dirty(SlotId { spec: id, index });
        }
        let mut attempts = instances.attempts;
        // The one that was there first takes the first place.
        attempts.sort_by_key(|(_, generation, record)| (record.successor.unwrap_or(false), *generation));
        for (index, generation, record) in attempts {
            self.restore_attempt(name, AttemptId { slot: SlotId { spec: id, index }, generation }, &record);
        }
        for (index, keys) in instances.blocked {
            let slot_id = SlotId { spec: id, index };
            self.block(slot_id, keys);
            if self.book.slot(slot_id).is_some_and(|slot| slot.wanted) {
                self.tell(None, Event::InstanceHeld { spec: name.into(), index, why: Held::Quarantined });
            } else {
                // That was decided before.
                self.unwant(slot_id);
            }
        }
        self.restore_fresh(id);
    }

    /// Slots that wait for their first instance have no record: as many as are missing, and their numbers are the lowest
    /// that are free. Those above all others are made when the spec is looked at.
    fn restore_fresh(&mut self, id: SpecId) {
        let burnt = self.book.burnt;
        let Some(spec) = self.book.specs.get_mut(&id).filter(|spec| !spec.removed) else { return };
        let there = spec.slots.values().filter(|slot| slot.wanted).count() as u32;
        let last = spec.slots.last_key_value().map_or(0, |(last, _)| *last);
        let free = (0..last).filter(|index| !spec.slots.contains_key(index));
        let free: Vec<u32> = free.take(spec.spec.instance_count().saturating_sub(there) as usize).collect();
        spec.slots.extend(free.into_iter().map(|index| (index, Slot { generation: burnt, ..Slot::default() })));
    }

    fn backoff_limit(&self, id: SpecId) -> Duration {
        let limit = self.book.specs.get(&id).map_or(Duration::ZERO, |spec| spec.spec.policy.backoff_max);
        // Give or take a tenth; and no delay of another kind is longer than half a minute.
        (limit + limit / 10).max(Duration::from_secs(30))
    }

    /// The attempt that a record is of.
    fn attempt_of(&mut self, id: AttemptId, record: &store::Instance) -> Attempt {
        let (now, wall) = (self.now, self.wall_now());
        let policy = self.book.specs.get(&id.slot.spec).map(|spec| spec.spec.policy.clone()).unwrap_or_default();
        let since = |millis: u64, limit: Duration| {
            let passed = wall.map(|wall| wall.saturating_duration_since(record::time(millis))).unwrap_or_default();
            Since::ago(now, passed.min(limit))
        };
        let agent = &record.agent;
        let agent = self.book.share(Agent {
            id: agent.id.as_str().into(),
            hostname: agent.hostname.clone().unwrap_or_default(),
            ip: agent.ip.clone(),
            region: agent.region.clone(),
            zone: agent.zone.clone(),
            attributes: agent.attributes.iter().map(|value| (value.name.clone(), value.text.clone())).collect(),
        });
        let revision = Revision::parse(&record.revision).unwrap_or_default();
        let mut attempt = Attempt::new(id, record.task_id.as_str().into(), revision, agent, now);
        let why = record.why.and_then(|why| why.try_into().ok());
        attempt.state = record.state.try_into().map_or(State::Launching, |state| record::state_of(state, why));
        attempt.executor_id = record.executor_id.as_deref().map(Into::into);
        attempt.executor_resources = record.executor_resources.clone().into();
        attempt.resources = record.resources.as_deref().unwrap_or_default().into();
        attempt.ports = record.ports.iter().filter_map(|port| u16::try_from(*port).ok()).collect();
        attempt.prepared = since(record.prepared, policy.launch_timeout);
        attempt.staged = record.staged.map(|at| since(at, policy.start_timeout));
        // Not a limit but an age, and who goes first may depend on it.
        attempt.running = record.running_since.map(|at| since(at, Duration::MAX));
        attempt.unreachable = record.unreachable_since.map(|at| since(at, policy.expunge_after));
        attempt.killing = record.kill_first_sent.map(|at| since(at, Duration::from_secs(86_400)));
        attempt.uuid = record.uuid.clone();
        attempt.inactive = record.inactive.unwrap_or(false);
        attempt.never_seen = record.never_seen.unwrap_or(false);
        if attempt.state == State::Running {
            attempt.running.get_or_insert(attempt.prepared);
            attempt.ready = record.ready.unwrap_or(false);
            // In another state it may have become so and not been told yet.
            attempt.ill = record.healthy == Some(false);
        }
        attempt.been_ready = record.been_ready.or(record.ready).unwrap_or(false);
        attempt.told = attempt.running.is_some();
        attempt.last = Last {
            state: match attempt.state {
                State::Running => Some(v1::TaskState::TaskRunning),
                State::Staged => Some(v1::TaskState::TaskStaging),
                State::Unreachable => Some(v1::TaskState::TaskUnreachable),
                _ => None,
            },
            healthy: record.healthy,
            ..Last::default()
        };
        attempt
    }

    fn restore_attempt(&mut self, name: &str, id: AttemptId, record: &store::Instance) {
        let now = self.now;
        let attempt = self.attempt_of(id, record);
        let state = attempt.state;
        let forgotten = match state {
            State::Staged => planted!(StartingForgotten),
            State::Launching => planted!(LaunchAgain),
            _ => false,
        };
        if forgotten {
            return;
        }
        if matches!(state, State::Launching | State::Staged) {
            self.agents.entry(attempt.agent.id.clone()).or_default().launching += 1;
        }
        if let Some(spec) = self.book.specs.get_mut(&id.slot.spec) {
            let slot = spec.slots.entry(id.slot.index).or_default();
            slot.generation = slot.generation.max(id.generation);
        }
        let full = self.book.slot(id.slot).is_some_and(|slot| slot.successor.is_some());
        if full {
            // Never written by this engine; whatever it is, it is not forgotten.
            let task_id = attempt.task_id.clone();
            self.haunt(task_id, Ghost::of(attempt, name, GhostReason::Unknown, Since::now(now)));
            return;
        }
        // A crash in between may have left it twice, and its spec has come after its ghost.
        self.lay(&attempt.task_id);
        self.book.place(attempt);
        self.ask(id, Duration::ZERO);
        match state {
            State::Killing(KillReason::External) => {}
            State::Killing(_) if planted!(KillForgotten) => {}
            State::Killing(why) => self.kills.queue(why, id),
            State::Doubtful => {
                if let Some(attempt) = self.book.attempt_mut(id) {
                    attempt.doubted = Some(now);
                }
            }
            _ => {}
        }
        self.set_timer(id);
        self.touch_dirty(id.slot);
    }

    fn restore_ghost(&mut self, record: store::Ghost) {
        let wall = self.wall_now();
        let passed = wall.map(|wall| wall.saturating_duration_since(record::time(record.since))).unwrap_or_default();
        let why = match ghost::Why::try_from(record.why) {
            Ok(ghost::Why::Expired) => GhostReason::Expired,
            Ok(ghost::Why::DeclaredDead) => GhostReason::DeclaredDead,
            Ok(ghost::Why::GoneByOperator) => GhostReason::GoneByOperator,
            Ok(ghost::Why::Abandoned) => GhostReason::Abandoned,
            Ok(ghost::Why::Unknown) | Err(_) => GhostReason::Unknown,
        };
        // A ghost that a wrong clock makes old is one that nobody would look for: keep it for a day at least.
        let since = Since::ago(self.now, passed.min(Duration::from_secs(13 * 86_400)));
        let task_id: Arc<str> = record.task_id.as_str().into();
        let id = AttemptId {
            // If there is no such spec, nobody takes it back.
            slot: SlotId { spec: self.book.id(&record.spec).unwrap_or(SpecId(0)), index: record.index },
            generation: super::id::parse(&task_id).map_or(0, |id| id.generation),
        };
        let attempt = match &record.instance {
            Some(instance) => self.attempt_of(id, instance),
            None => {
                let agent = Agent { id: record.agent_id.as_str().into(), ..Agent::default() };
                let revision = Revision::parse(&record.revision).unwrap_or_default();
                Attempt::new(id, task_id.clone(), revision, Arc::new(agent), self.now)
            }
        };
        let ghost = Ghost::of(attempt, &record.spec, why, since);
        if self.book.find(&task_id).is_some() {
            // A crash in between has left it twice: it is an attempt.
            self.touch_ghost(&task_id);
        } else {
            self.haunt(task_id, ghost);
        }
    }
}

fn restore_slot(record: &store::Slot, now: Instant, wall: Option<UnixTime>, limit: Duration) -> Slot {
    let moment = |millis: u64| {
        let left = wall.map(|wall| record::time(millis).saturating_duration_since(wall)).unwrap_or_default();
        if planted!(BackoffLost) { now } else { now + left.min(limit) }
    };
    Slot {
        wanted: record.goal == i32::from(slot::Goal::Run),
        mark: match slot::Mark::try_from(record.mark) {
            Ok(slot::Mark::Finished) => Mark::Finished,
            Ok(slot::Mark::Exhausted) => Mark::Exhausted,
            Ok(slot::Mark::Invalid) => Mark::Invalid,
            Ok(slot::Mark::None) | Err(_) => Mark::None,
        },
        generation: record.generation,
        faults: if planted!(FaultsForgotten) { 0 } else { record.faults },
        invalids: record.invalids,
        losses: record.losses,
        failures: record.failures,
        last_end: record.last_end.as_ref().and_then(|last| {
            Some(LastEnd {
                class: record::class_of(last.class.try_into().ok()?),
                state: last.state.and_then(|state| state.try_into().ok()),
                reason: last.reason.and_then(|reason| reason.try_into().ok()),
                message: last.message.clone(),
                at: record::time(last.at),
                ran_for: last.ran_for.map(Duration::from_millis),
            })
        }),
        waiting: record.eligible_at.map(|millis| Waiting { since: now, eligible_at: moment(millis) }),
        held_until: record.held_until.map(moment),
        revision: record.revision.as_deref().and_then(Revision::parse),
        ..Slot::default()
    }
}

/// Reads all records; one that can't be read is set aside.
fn read(records: impl IntoIterator<Item = (Key, Bytes)>, given: Vec<TaskSpec>) -> Result<Recovered, RecoverError> {
    let mut recovered = Recovered {
        incarnation: 1,
        framework: None,
        marker: Marker::Running,
        specs: BTreeMap::new(),
        instances: BTreeMap::new(),
        ghosts: Vec::new(),
        quarantined: Vec::new(),
        unused: Vec::new(),
        strays: Vec::new(),
        given,
    };
    let mut specs: BTreeMap<String, store::Spec> = BTreeMap::new();
    let mut revisions: BTreeMap<(String, String), store::Revision> = BTreeMap::new();
    for (key, value) in records {
        let segments: Vec<String> = key.segments().collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let result = match segments.as_slice() {
            ["engine"] => {
                let engine: store::Engine = essential(&key, &value)?;
                recovered.incarnation = engine.stamp.incarnation.saturating_add(u64::from(!planted!(IncarnationSame)));
                recovered.marker = Marker::try_from(engine.marker).unwrap_or(Marker::Running);
                Ok(())
            }
            ["framework"] => {
                recovered.framework = Some(essential(&key, &value)?);
                Ok(())
            }
            ["spec", name] => parse(&key, &value)?.map(|record| drop(specs.insert((*name).to_string(), record))),
            ["rev", name, revision] => parse(&key, &value)?
                .map(|record| drop(revisions.insert(((*name).to_string(), (*revision).to_string()), record))),
            ["slot", name, index] => match index.parse() {
                Ok(index) => parse(&key, &value)?.map(|record| drop(recovered.of(name).slots.insert(index, record))),
                Err(_) => Err("no index".to_string()),
            },
            ["inst", name, index, generation] => match (index.parse(), generation.parse()) {
                (Ok(index), Ok(generation)) => {
                    parse(&key, &value)?.map(|record| recovered.of(name).attempts.push((index, generation, record)))
                }
                _ => Err("no index or generation".to_string()),
            },
            ["ghost", _] => parse(&key, &value)?.map(|record| recovered.ghosts.push(record)),
            _ => Err("no record of the engine has such a name".to_string()),
        };
        if let Err(why) = result {
            if let ["slot", name, index] | ["inst", name, index, _] = segments.as_slice() {
                if let Ok(index) = index.parse() {
                    recovered.of(name).blocked.entry(index).or_default().push(key.clone());
                }
            }
            // What has no name of ours may be somebody else's.
            if let ["spec" | "rev" | "slot" | "inst" | "ghost", ..] = segments.as_slice() {
                recovered.strays.push(key.clone());
            }
            recovered.quarantined.push(Quarantined { key, why });
        }
    }
    for (name, record) in specs {
        let revision = revisions.get(&(name.clone(), record.revision.clone()));
        let spec = revision.ok_or_else(|| "its revision is missing".to_string()).and_then(|revision| {
            let spec = TaskSpec::from_records(name.as_str(), &record.policy, revision);
            let spec = spec.map_err(|error| error.to_string())?;
            spec.validate(&[spec.role_name()]).map_err(|error| error.to_string())?;
            Ok(spec)
        });
        match spec {
            Ok(spec) => {
                let former = |revision: &String| {
                    let launch = revisions.get(&(name.clone(), revision.clone()));
                    let launch = launch.and_then(|record| Launch::from_record(record).ok()).map(Arc::new);
                    Some(Former { revision: Revision::parse(revision)?, launch })
                };
                let history: Vec<Former> = record.history.iter().filter_map(former).collect();
                let named = |revision: &String| record.revision == *revision || record.history.contains(revision);
                let of_spec = revisions.keys().filter(|(spec, revision)| *spec == name && !named(revision));
                recovered.unused.extend(of_spec.map(|(spec, revision)| Key::new(["rev", spec, revision])));
                let stored = StoredSpec {
                    spec,
                    history,
                    paused: record.paused.unwrap_or(false),
                    removed: record.removed.unwrap_or(false),
                    unwritten: false,
                };
                recovered.specs.insert(name, stored);
            }
            Err(why) => {
                let key = record::spec_key(&name);
                recovered.strays.push(key.clone());
                recovered.quarantined.push(Quarantined { key, why });
            }
        }
    }
    let unknown = |name: &String| !recovered.specs.contains_key(name);
    let revisions = revisions.keys().filter(|(name, _)| unknown(name));
    recovered.strays.extend(revisions.map(|(name, revision)| Key::new(["rev", name, revision])));
    for (name, instances) in recovered.instances.iter().filter(|(name, _)| unknown(name)) {
        for (index, generation, _) in &instances.attempts {
            let slot = SlotId { spec: SpecId(0), index: *index };
            recovered.strays.push(record::attempt_key(name, AttemptId { slot, generation: *generation }));
        }
    }
    // Tasks of a spec whose own record can't be read, but which the program gives, go on with that.
    let orphans: Vec<String> = recovered.instances.keys().filter(|name| unknown(name)).cloned().collect();
    for name in orphans {
        let key = record::spec_key(&name);
        if let Some(spec) = recovered.given.iter().find(|spec| spec.name() == name) {
            let (spec, history) = (spec.clone(), Vec::new());
            let stored = StoredSpec { spec, history, paused: false, removed: false, unwritten: true };
            recovered.specs.insert(name, stored);
        } else if recovered.quarantined.iter().all(|quarantined| quarantined.key != key) {
            let why = "it is missing, but not what belongs to it".to_string();
            recovered.quarantined.push(Quarantined { key, why });
        }
    }
    Ok(recovered)
}

/// A record without which nothing can go on.
fn essential<M: Described>(key: &Key, value: &Bytes) -> Result<M, RecoverError> {
    parse(key, value)?.map_err(|why| RecoverError::Unreadable(Quarantined { key: key.clone(), why }))
}

/// How each record begins that this version writes.
pub(super) const OURS: &[u8] = br#"{"stamp":{"format":1,"#;

/// A record; the inner error says why it can't be read.
fn parse<M: Described>(key: &Key, value: &Bytes) -> Result<Result<M, String>, RecoverError> {
    // Whatever else a newer version has changed, the stamp is where it was. What begins as ours do needn't be read twice.
    if !value.starts_with(OURS) {
        if let Ok(stamped) = json::decode::<store::Stamped>(value) {
            check_format(key, &stamped.stamp)?;
        }
    }
    Ok(json::decode(value).map_err(|error| error.to_string()))
}

fn check_format(key: &Key, stamp: &store::Stamp) -> Result<(), RecoverError> {
    if stamp.format > FORMAT {
        return Err(RecoverError::Newer { key: key.clone(), format: stamp.format });
    }
    Ok(())
}
