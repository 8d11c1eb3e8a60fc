//! The invariants of places: who may take whose, where a new one opens, who comes first; by what was heard and by what
//! the scheduler writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::engine::{EndClass, Task};
use mesos_core::{Key, Persist, StoreOp, UnixTime};
use mesos_proto::store::{Instance, instance};
use mesos_proto::v1::scheduler::Event;
use mesos_proto::v1::{OfferId, TaskState};
use mesos_proto::{json, store};

use super::disk::{Disk, Kept, is_inactive};
use super::ends::Ends;
use super::ledger::{Launched, parse};
use super::strikes::Strikes;
use super::succession::Succession;
use super::timers::Timers;
use super::users::Users;
use super::variety::{Place, zone};
use super::{Step, violation};

/// So long before an agent is taken away nothing is launched there any more (ENGINE 7), but for a second.
const LEAD: Duration = Duration::from_secs(359);
/// A run this long is stable, but for a second; in ms.
const STABLE: u64 = 299_000;
/// So long an agent is avoided by what waits, but for some seconds (ENGINE 3.5).
const PATIENCE: Duration = Duration::from_secs(115);

/// What the judge of places remembers.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Tasks whose end was heard of for good, and is durable.
    buried: BTreeSet<String>,
    /// When FAILURE of an agent came after its last offer.
    failed: BTreeMap<String, Duration>,
    /// Specs that have avoided an agent.
    pub(super) avoiding: BTreeSet<String>,
    /// Which agents they avoid now, by spec and agent: since when, and until when.
    avoided: BTreeMap<(String, String), (Duration, Duration)>,
    /// When a place last lost a task.
    vacated: BTreeMap<(String, u32), Duration>,
    pub(super) succession: Succession,
    strikes: Strikes,
    pub(super) timers: Timers,
    pub(super) ends: Ends,
    /// Offers that said when they came that their agent is about to be taken away; until when, since the epoch.
    closing: BTreeMap<String, Duration>,
    /// When the number of a spec's places changed, by the scheduler's clock, in ms.
    resized: BTreeMap<String, u64>,
    /// When a task of a place has ended, of late.
    freed: BTreeMap<(String, u32), u64>,
    /// How often each invariant had something to judge.
    pub(super) judged: BTreeMap<&'static str, u64>,
}

/// What is known besides of the moment at which a batch leaves.
pub(super) struct Moment<'a> {
    pub(super) now: Duration,
    /// What the scheduler's clock shows, in ms.
    pub(super) wall: u64,
    pub(super) disk: &'a Disk,
    pub(super) users: &'a Users,
    pub(super) tasks: &'a BTreeMap<String, Launched>,
    /// Whether the users know what the scheduler was told: else it has what the store kept.
    pub(super) agreed: bool,
    /// Whether nothing had to wait for the store.
    pub(super) prompt: bool,
    /// Whether what leaves has just been decided.
    pub(super) fresh: bool,
    pub(super) subscribed: bool,
    /// Whether the scheduler's clock has always been right.
    pub(super) steady: bool,
    /// So many tasks may be in their launch on an agent.
    pub(super) launching: u32,
}

impl Moment<'_> {
    /// Whether a place has waited for a second. What holds it back may have been set by a clock that has jumped since.
    fn waits(&self, slot: &store::Slot) -> bool {
        self.steady && slot.eligible_at.is_some_and(|since| since + 1000 < self.wall)
    }
}

/// How many places of a spec are wanted, once this batch is durable.
fn wanted(spec: &str, batch: &Persist, disk: &Disk) -> u32 {
    let key = Key::new(["spec", spec]);
    match batch.ops().iter().find(|op| *op.key() == key) {
        Some(StoreOp::Put { value, .. }) => {
            let record = json::decode::<store::Spec>(value).ok().filter(|spec| !spec.removed());
            record.map_or(0, |spec| spec.policy.instances)
        }
        Some(StoreOp::Delete { .. }) => 0,
        None => disk.wanted(spec),
    }
}

impl Places {
    fn judge(&mut self, invariant: &'static str) {
        *self.judged.entry(invariant).or_default() += 1;
    }

    /// A new process takes over: what isn't kept is forgotten.
    pub(super) fn started(&mut self) {
        self.avoided.clear();
        self.vacated.clear();
        self.closing.clear();
        self.ends.started();
        self.strikes = Strikes::default();
    }

    /// The scheduler's clock jumps.
    pub(super) fn jumped(&mut self) {
        self.closing.clear();
    }

    /// The scheduler has told that a spec avoids an agent.
    pub(super) fn avoids(&mut self, spec: &str, agent: &str, now: Duration, during: Duration) -> Step {
        self.avoiding.insert(spec.to_owned());
        self.avoided.insert((spec.to_owned(), agent.to_owned()), (now, now + during));
        self.strikes.avoids(spec, agent, now, during)
    }

    /// The scheduler has told that a task has ended, of which it had heard at `over_at`.
    pub(super) fn ended(&mut self, task: &Task, class: EndClass, over_at: Option<Duration>) -> Step {
        self.judge("I10");
        self.strikes.ended(task, class, over_at)
    }

    /// A place loses a task. Beside it something may have waited for long; and where one has run for long its spec avoids
    /// nobody any more.
    fn vacates(&mut self, kept: &Kept, at: &Moment<'_>) {
        let slot = &kept.slot;
        if kept.record.running_since.is_some_and(|since| !at.steady || since + STABLE <= at.wall) {
            self.avoided.remove(&(slot.0.clone(), kept.record.agent.id.clone()));
        }
        let waited = at.disk.slots.get(slot).is_some_and(|slot| slot.eligible_at.is_some());
        if waited || !at.prompt {
            self.vacated.remove(slot);
        } else {
            self.vacated.insert(slot.clone(), at.now);
        }
    }

    /// A spec is no more, and whom it avoided with it.
    pub(super) fn forgets(&mut self, spec: &str) {
        self.avoided.retain(|(name, _), _| name != spec);
        self.strikes.forgets(spec);
    }

    /// I10: what is launched with these offers isn't launched where it had to go soon.
    pub(super) fn used<'a>(&mut self, offers: impl Iterator<Item = &'a OfferId>, wall: UnixTime) -> Step {
        for OfferId { value: id } in offers {
            if self.closing.get(id).is_some_and(|until| wall.since_epoch() < *until) {
                return violation("I10", format!("offer {id} is used, and its agent is about to be taken away"));
            }
        }
        Ok(())
    }

    /// Something has reached the scheduler.
    pub(super) fn heard(&mut self, now: Duration, wall: UnixTime, event: &Event) {
        self.succession.heard(now, event);
        self.ends.heard(event);
        self.timers.heard(event);
        if let Some(failure) = event.failure.as_ref().filter(|failure| failure.executor_id.is_none()) {
            self.failed.extend(failure.agent_id.as_ref().map(|id| (id.value.clone(), now)));
        }
        for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
            self.failed.remove(&offer.agent_id.value);
            let nanos = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
            let Some(unavailable) = &offer.unavailability else { continue };
            let start = nanos(unavailable.start.nanoseconds);
            let during = unavailable.duration.as_ref().map(|during| nanos(during.nanoseconds));
            let until = during.map_or(Duration::MAX, |during| start + during);
            // It is answered now, whatever the clock shows when the answer leaves (simulated: seed 3000006749).
            if start < wall.since_epoch() + LEAD && wall.since_epoch() < until {
                self.closing.insert(offer.id.value.clone(), until);
            }
        }
    }

    /// A batch leaves the scheduler for its store.
    pub(super) fn written(&mut self, batch: &Persist, at: &Moment<'_>) -> Step {
        self.succession.written(batch, at)?;
        self.timers.written(batch, at)?;
        let mut fresh = Vec::new();
        for op in batch.ops() {
            let StoreOp::Put { key, value } = op else {
                let kept = at.disk.task(op.key()).and_then(|task| at.disk.instances.get(task));
                if let Some(kept) = kept {
                    self.vacates(kept, at);
                    self.freed.insert(kept.slot.clone(), at.wall);
                }
                continue;
            };
            let segments: Vec<String> = key.segments().collect();
            match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["inst", spec, index, _] if at.disk.task(key).is_none() => {
                    self.opens(spec, index, batch, at)?;
                    if let Ok(record) = json::decode::<Instance>(value) {
                        fresh.push(record);
                    }
                }
                ["slot", spec, index] => self.opens(spec, index, batch, at)?,
                ["spec", spec] if wanted(spec, batch, at.disk) != at.disk.wanted(spec) => {
                    self.resized.insert((*spec).to_owned(), at.wall);
                }
                _ => {}
            }
        }
        for record in fresh.iter().filter(|record| at.fresh && record.state() == instance::State::Prepared) {
            self.unavoided(record, at)?;
            self.gated(record, batch, at)?;
        }
        if !at.agreed {
            return Ok(());
        }
        for record in fresh.iter().filter(|record| record.state() == instance::State::Prepared) {
            self.allowed(record, batch, at)?;
            if at.prompt {
                self.first(record, batch, at)?;
            }
        }
        Ok(())
    }

    /// I17: a new place has the lowest index that is free; those that wait for their first attempt count, though nothing
    /// is kept of them.
    fn opens(&mut self, spec: &str, index: &str, batch: &Persist, at: &Moment<'_>) -> Step {
        let index: u32 = index.parse().unwrap_or(u32::MAX);
        if at.disk.slot(&(spec.to_owned(), index)).is_some() {
            return Ok(());
        }
        self.judge("I17");
        let written = |lower: u32| {
            batch.ops().iter().any(|op| {
                let segments: Vec<String> = op.key().segments().take(3).collect();
                matches!(&*segments[0], "slot" | "inst") && segments[1..] == [spec.to_owned(), lower.to_string()]
            })
        };
        // One that has given up its task for lost may have to wait for that before there is anything to write.
        let haunted = |lower: u32| {
            let ghosts = at.disk.ghosts.iter().filter_map(|task| parse(task));
            ghosts.into_iter().any(|(name, index, ..)| name == spec && index == lower)
        };
        let fresh = at.disk.fresh(spec, wanted(spec, batch, at.disk));
        // This one may have been opened before that, and nothing is kept of it (simulated: seed 9510030277).
        let resized = self.resized.get(spec).copied().unwrap_or_default();
        let late = |lower: u32| self.freed.get(&(spec.to_owned(), lower)).is_some_and(|freed| *freed > resized);
        let free = |lower: &u32| {
            at.disk.slot(&(spec.to_owned(), *lower)).is_none()
                && !late(*lower)
                && !fresh.contains(lower)
                && !written(*lower)
                && !haunted(*lower)
        };
        match (0..index).find(free).filter(|_| at.prompt) {
            Some(lower) => violation("I17", format!("{spec} gets instance {index}, and {lower} is free")),
            None => Ok(()),
        }
    }

    /// I10: no more of a spec on a host or in a zone than there may be.
    fn allowed(&mut self, record: &Instance, batch: &Persist, at: &Moment<'_>) -> Step {
        let Some((name, index, ..)) = parse(&record.task_id) else { return Ok(()) };
        let Some(place) = at.users.place(&name).filter(|_| at.prompt) else { return Ok(()) };
        self.judge("I10");
        let here = record.agent.hostname();
        let most = match place {
            Place::Zone(wanted) if zone(here) == Some(wanted) => return Ok(()),
            Place::Zone(wanted) => {
                return violation("I10", format!("{} goes to {here}, not to {wanted}", record.task_id));
            }
            Place::PerZone(_) if zone(here).is_none() => {
                return violation("I10", format!("{} goes to {here}, which is in no zone", record.task_id));
            }
            Place::PerHost(most) | Place::PerZone(most) => most,
        };
        let near =
            |host: &str| if matches!(place, Place::PerHost(_)) { host == here } else { zone(host) == zone(here) };
        let touched = |kept: &str| batch.ops().iter().any(|op| at.disk.task(op.key()) == Some(kept));
        let others = at.disk.instances.iter().filter(|(id, kept)| {
            kept.slot.0 == name
                && kept.slot.1 != index
                && kept.record.revision == record.revision
                && near(kept.record.agent.hostname())
                && !is_inactive(&kept.record)
                && !touched(id)
        });
        let others: Vec<&String> = others.map(|(id, _)| id).collect();
        match others.len() < most as usize {
            true => Ok(()),
            false => violation("I10", format!("{} goes where {others:?} are, and must not", record.task_id)),
        }
    }

    /// I10: nothing goes to an agent that its spec avoids, but what has waited for long.
    fn unavoided(&mut self, record: &Instance, at: &Moment<'_>) -> Step {
        let Some((spec, index, ..)) = parse(&record.task_id) else { return Ok(()) };
        let Some(vacated) = self.vacated.get(&(spec.clone(), index)) else { return Ok(()) };
        let place = (spec, record.agent.id.clone());
        let Some((since, until)) = self.avoided.get(&place) else { return Ok(()) };
        if *since < at.now && at.now < *until && at.now < *vacated + PATIENCE {
            return violation(
                "I10",
                format!("{} goes to {}, which is avoided until {until:?}", record.task_id, place.1),
            );
        }
        Ok(())
    }

    /// I10: no more tasks are in their launch on an agent than there may be.
    fn gated(&mut self, record: &Instance, batch: &Persist, at: &Moment<'_>) -> Step {
        use instance::State as S;
        let agent = &record.agent.id;
        let launching = |record: &Instance| {
            record.agent.id == *agent && matches!(record.state(), S::Prepared | S::Launching | S::Staged)
        };
        let written = batch.ops().iter().filter_map(|op| match op {
            StoreOp::Put { key, value } if key.segments().next().as_deref() == Some("inst") => {
                json::decode::<Instance>(value).ok()
            }
            _ => None,
        });
        let touched = |key: &Key| batch.ops().iter().any(|op| op.key() == key);
        let kept = at.disk.attempts().filter(|(key, kept)| launching(&kept.record) && !touched(key));
        let count = written.filter(launching).count() + kept.count();
        self.judge("I10");
        match count > at.launching as usize {
            true => violation("I10", format!("{count} tasks are in their launch on {agent}, with {}", record.task_id)),
            false => Ok(()),
        }
    }

    /// I16: nobody is passed over who comes first and could have had the same.
    fn first(&mut self, record: &Instance, batch: &Persist, at: &Moment<'_>) -> Step {
        let Some((name, ..)) = parse(&record.task_id).filter(|_| at.fresh) else { return Ok(()) };
        let Some(others) = at.users.before(&name) else { return Ok(()) };
        self.judge("I16");
        let touched = |place: &(String, u32)| {
            batch.ops().iter().any(|op| {
                let segments: Vec<String> = op.key().segments().take(3).collect();
                matches!(&*segments[0], "slot" | "inst") && segments[1..] == [place.0.clone(), place.1.to_string()]
            })
        };
        // Beside what nobody has news of, another one has to wait; and agents that fail a spec are avoided by it.
        let free = |place: &(String, u32)| {
            let avoids =
                |((spec, _), (_, until)): (&(String, String), &(_, Duration))| *spec == place.0 && at.now < *until;
            !self.avoided.iter().any(avoids) && !at.disk.instances.values().any(|kept| kept.slot == *place)
        };
        let passed = at
            .disk
            .slots
            .iter()
            .find(|(place, slot)| others.contains(&&place.0) && at.waits(slot) && !touched(place) && free(place));
        let fresh = others.iter().flat_map(|name| self.fresh(name, at));
        let fresh = fresh.into_iter().find(|place| !touched(place) && free(place));
        match passed.map(|(place, _)| place.clone()).or(fresh) {
            Some(place) => violation("I16", format!("{} passes {place:?} over, which comes first", record.task_id)),
            None => Ok(()),
        }
    }

    /// Places that have waited for their first attempt for a second.
    fn fresh(&self, name: &str, at: &Moment<'_>) -> BTreeSet<(String, u32)> {
        let since = self.resized.get(name).copied().unwrap_or_default();
        let wanted = if at.steady && since + 1000 < at.wall { at.disk.wanted(name) } else { 0 };
        at.disk.fresh(name, wanted).into_iter().map(|index| (name.to_owned(), index)).collect()
    }

    /// I12: no offers of these roles are wanted any more, so nothing of them waits for one.
    pub(super) fn suppresses(&mut self, roles: &[String], at: &Moment<'_>) -> Step {
        self.judge("I12");
        for name in at.disk.policies.keys().filter(|name| !at.disk.strict.contains_key(*name)) {
            let Some(record) = at.disk.spec(name).filter(|spec| !spec.removed() && !spec.paused()) else { continue };
            let revision = at.disk.records.get(&Key::new(["rev", name, &record.revision]));
            let revision = revision.and_then(|value| json::decode::<store::Revision>(value).ok());
            let Some(revision) = revision.filter(|revision| roles.contains(&revision.role)) else { continue };
            let free = |place: &(String, u32)| !at.disk.instances.values().any(|kept| kept.slot == *place);
            let wanted = |slot: &store::Slot| {
                slot.goal() == store::slot::Goal::Run && slot.mark() == store::slot::Mark::None && at.waits(slot)
            };
            let mut slots = at.disk.slots.iter().filter(|((spec, _), slot)| spec == name && wanted(slot));
            let waits = slots.find(|(place, _)| free(place)).map(|(place, _)| place.clone());
            if let Some(place) = waits.or_else(|| self.fresh(name, at).into_iter().find(free)) {
                return violation("I12", format!("SUPPRESS of {}, and {place:?} waits for an offer", revision.role));
            }
        }
        Ok(())
    }

    /// I10: a task is launched.
    pub(super) fn launched(&mut self, id: &str, agent: &str, prompt: bool, at: &Moment<'_>) -> Step {
        self.judge("I10");
        if let Some(since) = self.failed.get(agent).filter(|since| prompt && **since + Duration::from_secs(1) < at.now)
        {
            return violation("I10", format!("{id} is launched on {agent}, which has failed at {since:?}"));
        }
        self.succession.launched(id, prompt, at)
    }

    /// I19: an end is for ever, once it is durable.
    pub(super) fn durable(&mut self, batch: &Persist, at: &Moment<'_>) -> Step {
        for op in batch.ops() {
            let key = op.key();
            if key.segments().next().as_deref() != Some("inst") {
                continue;
            }
            match op {
                StoreOp::Delete { .. } => {
                    let Some(id) = at.disk.task(key) else { continue };
                    let ended = |state: TaskState| {
                        crate::agent::is_terminal(state)
                            && !matches!(state, TaskState::TaskGoneByOperator | TaskState::TaskLost)
                    };
                    if at.tasks.get(id).is_some_and(|task| task.heard.is_some_and(|(state, _)| ended(state))) {
                        self.buried.insert(id.to_owned());
                    }
                }
                StoreOp::Put { value, .. } => {
                    let Ok(record) = json::decode::<Instance>(value) else { continue };
                    self.judge("I19");
                    if self.buried.contains(&record.task_id) {
                        return violation(
                            "I19",
                            format!("{} has ended, and is back as {:?}", record.task_id, record.state()),
                        );
                    }
                }
            }
        }
        Ok(())
    }
}
