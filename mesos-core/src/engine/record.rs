//! What is kept of specs, slots, attempts and ghosts: a message each, written as JSON.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use mesos_proto::store::{self, end, ghost, instance, slot};
use mesos_proto::{Described, json};

use super::attempt::{Attempt, AttemptId, KillReason, Since, SpecId, State};
use super::book::{Mark, Slot};
use super::engine::Engine;
use super::event::{EndClass, GhostReason};
use super::ghost::Ghost;
use super::launch::Revision;
use crate::planted::planted;
use crate::{Instant, Key, UnixTime};

/// The layout of records that this version writes. It reads this and older ones.
pub(super) const FORMAT: u32 = 1;

pub(super) fn slot_key(spec: &str, index: u32) -> Key {
    Key::new(["slot", spec, &index.to_string()])
}

pub(super) fn attempt_key(spec: &str, id: AttemptId) -> Key {
    Key::new(["inst", spec, &id.slot.index.to_string(), &id.generation.to_string()])
}

pub(super) fn spec_key(spec: &str) -> Key {
    Key::new(["spec", spec])
}

pub(super) fn revision_key(spec: &str, revision: Revision) -> Key {
    Key::new(["rev", spec, &revision.to_string()])
}

pub(super) fn engine_key() -> Key {
    Key::new(["engine"])
}

pub(super) fn framework_key() -> Key {
    Key::new(["framework"])
}

/// A record as it is kept.
pub(super) fn bytes<M: Described>(record: &M) -> Bytes {
    // All required fields are there, and no number is NaN.
    json::encode(record).unwrap_or_default().into()
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Engine {
    pub(super) fn stamp(&self) -> store::Stamp {
        store::Stamp { format: FORMAT, incarnation: self.incarnation }
    }

    fn millis(&self, since: Since) -> u64 {
        let wall = self.wall_now().unwrap_or_default().since_epoch();
        millis(wall.saturating_sub(since.elapsed(self.now)))
    }

    pub(super) fn write_engine(&mut self) -> u64 {
        let record = store::Engine { stamp: self.stamp(), marker: self.marker.into() };
        self.writer.write(self.now, alloc::vec![(engine_key(), Some(bytes(&record)))])
    }

    pub(super) fn write_framework(&mut self, id: &str) -> u64 {
        let first_seen = self.first_seen.map(|time| millis(time.since_epoch()));
        let record =
            store::Framework { stamp: self.stamp(), id: id.to_owned(), first_seen, retired: self.retired.clone() };
        let engine = store::Engine { stamp: self.stamp(), marker: self.marker.into() };
        let ops = alloc::vec![(engine_key(), Some(bytes(&engine))), (framework_key(), Some(bytes(&record)))];
        self.writer.write(self.now, ops)
    }

    /// Writes a spec; with its revision, if that isn't there yet. All at once with the removal of what can't be read of it:
    /// without any record of it, its tasks would be nobody's.
    pub(super) fn write_spec(&mut self, id: SpecId, revision: bool) {
        let stamp = self.stamp();
        let Some(spec) = self.book.specs.get(&id) else { return };
        let name = spec.spec.name();
        let record = store::Spec {
            stamp,
            revision: spec.revision.to_string(),
            policy: spec.spec.to_policy_record(),
            paused: spec.paused.then_some(true),
            removed: spec.removed.then_some(true),
            history: spec.history.iter().map(|former| former.revision.to_string()).collect(),
        };
        let mut ops = self.quarantined.release(name);
        ops.push((spec_key(name), Some(bytes(&record))));
        if revision {
            let record = spec.spec.to_revision_record(stamp);
            ops.push((revision_key(name, spec.revision), Some(bytes(&record))));
        }
        self.writer.write(self.now, ops);
    }

    /// The records of a spec that is no more.
    pub(super) fn drop_spec(&mut self, id: SpecId) {
        // Those of its slots go first: nobody could tell what they belong to.
        self.write_dirty();
        self.leave_roles(id);
        let Some(spec) = self.book.remove(id) else { return };
        for agent in self.agents.values_mut() {
            agent.strikes.remove(&id);
        }
        self.agents.retain(|_, agent| agent.launching > 0 || !agent.strikes.is_empty());
        let name = spec.spec.name();
        let mut ops = self.quarantined.release(name);
        ops.extend([(spec_key(name), None), (revision_key(name, spec.revision), None)]);
        ops.extend(
            spec.history
                .iter()
                .filter(|_| !planted!(RevisionKept))
                .map(|former| (revision_key(name, former.revision), None)),
        );
        self.writer.write(self.now, ops);
    }

    pub(super) fn slot_record(&self, slot: &Slot) -> Bytes {
        let wall = self.wall_now().unwrap_or_default();
        let moment = |at: Instant| millis((wall + at.saturating_duration_since(self.now)).since_epoch());
        bytes(&store::Slot {
            stamp: self.stamp(),
            goal: if slot.wanted { slot::Goal::Run } else { slot::Goal::Remove }.into(),
            mark: match slot.mark {
                Mark::None => slot::Mark::None,
                Mark::Finished => slot::Mark::Finished,
                Mark::Exhausted => slot::Mark::Exhausted,
                Mark::Invalid => slot::Mark::Invalid,
            }
            .into(),
            generation: slot.generation,
            faults: slot.faults,
            invalids: slot.invalids,
            losses: slot.losses,
            failures: slot.failures,
            eligible_at: slot.waiting.map(|waiting| moment(waiting.eligible_at)),
            held_until: slot.held_until.filter(|at| *at > self.now).map(moment),
            last_end: slot.last_end.as_ref().map(|last| store::End {
                class: class_record(last.class).into(),
                state: last.state.map(Into::into),
                reason: last.reason.map(Into::into),
                message: last.message.clone(),
                at: millis(last.at.since_epoch()),
                ran_for: last.ran_for.map(millis),
            }),
            revision: slot.revision.map(|revision| revision.to_string()),
        })
    }

    pub(super) fn attempt_record(&self, attempt: &Attempt) -> Bytes {
        bytes(&self.instance(attempt))
    }

    fn instance(&self, attempt: &Attempt) -> store::Instance {
        let (state, why) = state_record(attempt.state);
        let agent = &attempt.agent;
        let time = |since: Option<Since>| since.map(|since| self.millis(since));
        store::Instance {
            stamp: self.stamp(),
            task_id: attempt.task_id.to_string(),
            revision: attempt.revision.to_string(),
            state: state.into(),
            why: why.map(Into::into),
            agent: store::Agent {
                id: agent.id.to_string(),
                hostname: text(&agent.hostname),
                ip: agent.ip.clone(),
                region: agent.region.clone(),
                zone: agent.zone.clone(),
                attributes: agent
                    .attributes
                    .iter()
                    .map(|(name, text)| store::Value { name: name.clone(), text: text.clone() })
                    .collect(),
            },
            executor_id: attempt.executor_id.as_deref().map(ToOwned::to_owned),
            resources: text(&attempt.resources),
            ports: attempt.ports.iter().map(|port| u32::from(*port)).collect(),
            prepared: self.millis(attempt.prepared),
            staged: time(attempt.staged),
            running_since: time(attempt.running),
            unreachable_since: time(attempt.unreachable),
            kill_first_sent: time(attempt.killing),
            uuid: attempt.uuid.clone(),
            healthy: attempt.last.healthy,
            successor: self
                .book
                .slot(attempt.id.slot)
                .and_then(|slot| slot.successor.as_ref())
                .is_some_and(|successor| successor.id == attempt.id)
                .then_some(true),
            inactive: attempt.inactive.then_some(true),
            never_seen: attempt.never_seen.then_some(true),
            ready: attempt.ready.then_some(true),
            been_ready: attempt.been_ready.then_some(true),
            executor_resources: attempt.executor_resources.to_vec(),
        }
    }

    pub(super) fn ghost_record(&self, task_id: &Arc<str>, ghost: &Ghost) -> Option<Bytes> {
        let was = ghost.was.as_ref()?;
        Some(bytes(&store::Ghost {
            stamp: self.stamp(),
            task_id: task_id.to_string(),
            agent_id: ghost.agent_id.to_string(),
            spec: was.spec.to_string(),
            index: was.attempt.id.slot.index,
            revision: was.attempt.revision.to_string(),
            why: match was.why {
                GhostReason::Expired => ghost::Why::Expired,
                GhostReason::DeclaredDead => ghost::Why::DeclaredDead,
                GhostReason::Unknown => ghost::Why::Unknown,
                GhostReason::GoneByOperator => ghost::Why::GoneByOperator,
                GhostReason::Abandoned => ghost::Why::Abandoned,
            }
            .into(),
            since: self.millis(ghost.since),
            instance: Some(self.instance(&was.attempt)),
        }))
    }

    /// Removes everything, the framework's id last.
    pub(super) fn erase(&mut self) -> u64 {
        let mut keys: Vec<Key> = Vec::new();
        keys.extend(self.book.recorded.iter().cloned());
        for spec in self.book.specs.values() {
            let name = spec.spec.name();
            keys.extend(spec.slots.values().flat_map(Slot::attempts).map(|attempt| attempt_key(name, attempt.id)));
            keys.push(spec_key(name));
            keys.push(revision_key(name, spec.revision));
            keys.extend(spec.history.iter().map(|former| revision_key(name, former.revision)));
        }
        if !planted!(EraseLeaves) {
            keys.extend(self.ghosts.iter().map(|(task_id, _)| super::ghost::key(task_id)));
        }
        for some in keys.chunks(200) {
            self.writer.write(self.now, some.iter().map(|key| (key.clone(), None)).collect());
        }
        self.writer.write(self.now, alloc::vec![(engine_key(), None), (framework_key(), None)])
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) const fn time(millis: u64) -> UnixTime {
    UnixTime::from_epoch(Duration::from_millis(millis))
}

const fn class_record(class: EndClass) -> end::Class {
    match class {
        EndClass::Ok => end::Class::Ok,
        EndClass::Fault => end::Class::Fault,
        EndClass::Invalid => end::Class::Invalid,
        EndClass::Infra => end::Class::Infra,
        EndClass::Drain => end::Class::Drain,
        EndClass::External => end::Class::External,
        EndClass::Wanted => end::Class::Wanted,
    }
}

pub(super) const fn class_of(class: end::Class) -> EndClass {
    match class {
        end::Class::Ok => EndClass::Ok,
        end::Class::Fault => EndClass::Fault,
        end::Class::Invalid => EndClass::Invalid,
        end::Class::Infra => EndClass::Infra,
        end::Class::Drain => EndClass::Drain,
        end::Class::External => EndClass::External,
        end::Class::Wanted => EndClass::Wanted,
    }
}

const fn state_record(state: State) -> (instance::State, Option<instance::Why>) {
    use instance::Why as W;
    match state {
        State::Prepared | State::Launching => (instance::State::Prepared, None),
        State::Staged => (instance::State::Staged, None),
        State::Running => (instance::State::Running, None),
        State::Unreachable => (instance::State::Unreachable, None),
        State::Doubtful => (instance::State::Doubtful, None),
        State::Killing(why) => {
            let why = match why {
                KillReason::Duplicate => W::Duplicate,
                KillReason::Overdue => W::Overdue,
                KillReason::User => W::User,
                KillReason::Update => W::Update,
                KillReason::Scale => W::Scale,
                KillReason::External => W::External,
            };
            (instance::State::Killing, Some(why))
        }
    }
}

/// The state that a record says. One that was prepared may have been launched.
pub(super) const fn state_of(state: instance::State, why: Option<instance::Why>) -> State {
    use instance::Why as W;
    match state {
        instance::State::Prepared | instance::State::Launching => State::Launching,
        instance::State::Staged => State::Staged,
        instance::State::Running => State::Running,
        instance::State::Unreachable => State::Unreachable,
        instance::State::Doubtful => State::Doubtful,
        instance::State::Killing => State::Killing(match why {
            Some(W::Duplicate) => KillReason::Duplicate,
            Some(W::Overdue) => KillReason::Overdue,
            Some(W::Update) => KillReason::Update,
            Some(W::Scale) => KillReason::Scale,
            Some(W::External) => KillReason::External,
            // Some of these nobody gives as yet.
            Some(W::User | W::Unhealthy | W::Drain | W::Evict) | None => KillReason::User,
        }),
    }
}
