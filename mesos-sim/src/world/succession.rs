//! I7, I8: who may take whose place, and how many places are in change at a time; judged by what the scheduler was told
//! of each task, and by what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::{Key, Persist, StoreOp};
use mesos_proto::json;
use mesos_proto::store::{self, Instance, ghost, instance, slot};
use mesos_proto::v1::TaskState;
use mesos_proto::v1::scheduler::Event;

use super::disk::{Kept, is_inactive};
use super::ledger::parse;
use super::places::Moment;
use super::{Step, violation};
use crate::agent::is_terminal;

/// A second question about a task that nobody knows comes so long after the first.
const AGAIN: Duration = Duration::from_secs(9);

/// What the scheduler was told of a task.
#[derive(Debug, Default)]
struct Told {
    revision: String,
    ended: bool,
    /// It ran when last heard of, and nothing was wrong with it.
    fine: bool,
    /// It was being ended when last heard of.
    ending: bool,
    /// It was out of sight at some time.
    lost: bool,
    unknown_since: Option<Duration>,
    /// It was unknown twice in a row, and not at once.
    unknown_twice: bool,
    /// The scheduler ends it.
    killed: bool,
    /// When it was seen alive after it was out of sight, if that was its last news.
    returned_at: Option<Duration>,
    /// How many places might have two when it was decided on: its ACCEPT may leave long after.
    surge: usize,
}

impl Told {
    /// Whether another one may take the place of a task that hasn't ended, as far as anybody has heard.
    fn is_given_up(&self, task: &str, prompt: bool, at: &Moment<'_>) -> bool {
        let kept = at.disk.instances.get(task).map(|kept| &kept.record);
        match kept {
            // It may have come back since the other one was decided.
            Some(record) if !matches!(record.state(), instance::State::Unreachable | instance::State::Doubtful) => {
                self.lost && (!prompt || self.returned_at.is_some_and(|back| back + Duration::from_secs(1) >= at.now))
            }
            Some(record) => self.lost && record.inactive(),
            None => {
                let ghost = at.disk.records.get(&Key::new(["ghost", task]));
                match ghost.and_then(|value| json::decode::<store::Ghost>(value).ok()).map(|ghost| ghost.why()) {
                    Some(ghost::Why::Abandoned | ghost::Why::Expired) => self.lost,
                    // Once is enough for what is to end anyway, also if it is seen again (simulated: seed 1900006428).
                    _ => self.unknown_twice || self.killed && self.lost,
                }
            }
        }
    }
}

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Succession {
    told: BTreeMap<String, Told>,
    /// What users say to the engine is theirs, and isn't known here: nothing is judged.
    pub(super) own: bool,
    /// Of these there was news in this session, first at this time.
    known: BTreeMap<String, Duration>,
    pub(super) judged: BTreeMap<&'static str, u64>,
}

/// How many places of a spec may have two, if that is known.
fn surge(spec: &str, at: &Moment<'_>) -> usize {
    let Some(policy) = at.disk.policies.get(spec) else { return usize::MAX };
    if at.disk.spec(spec).is_some_and(|spec| spec.paused()) {
        return 0;
    }
    bounds(policy).0
}

/// How many places may have two during a rollout, and how many may be without one that is ready: never none of both.
fn bounds(policy: &store::Policy) -> (usize, usize) {
    let part = |amount: store::Amount, round: u64| {
        let hundredths = amount.percent.map(|percent| u64::from(percent) * u64::from(policy.instances));
        let count = amount.count.map(u64::from).or_else(|| Some((hundredths? + round) / 100));
        count.unwrap_or_default() as usize
    };
    let strict = policy.duplicates() == store::policy::Duplicates::Forbid;
    match (if strict { 0 } else { part(policy.max_surge, 99) }, part(policy.max_unavailable, 0)) {
        (0, 0) => (0, 1),
        bounds => bounds,
    }
}

/// The record of an attempt that a batch writes.
fn written(op: &StoreOp) -> Option<(&Key, Instance)> {
    let StoreOp::Put { key, value } = op else { return None };
    let attempt = key.segments().next().as_deref() == Some("inst");
    attempt.then(|| json::decode(value).ok()).flatten().map(|record| (key, record))
}

impl Succession {
    fn judge(&mut self, invariant: &'static str) {
        *self.judged.entry(invariant).or_default() += 1;
    }

    /// Something has reached the scheduler.
    pub(super) fn heard(&mut self, now: Duration, event: &Event) {
        if event.subscribed.is_some() {
            self.known.clear();
        }
        let Some(update) = &event.update else { return };
        use TaskState as S;
        let (id, state) = (&update.status.task_id.value, update.status.state());
        self.known.entry(id.clone()).or_insert(now);
        let told = self.told.entry(id.clone()).or_default();
        told.ended |= is_terminal(state);
        told.ending = state == TaskState::TaskKilling;
        told.fine = state == TaskState::TaskRunning && update.status.healthy != Some(false);
        let alive = matches!(state, S::TaskStaging | S::TaskStarting | S::TaskRunning | S::TaskKilling);
        told.returned_at = (told.lost && alive).then_some(now);
        told.lost |= matches!(state, TaskState::TaskUnreachable | TaskState::TaskUnknown | TaskState::TaskLost);
        if state == TaskState::TaskUnknown {
            let since = *told.unknown_since.get_or_insert(now);
            told.unknown_twice |= since + AGAIN <= now;
        } else {
            told.unknown_since = None;
        }
    }

    /// A task is launched: in a place that is free, or beside one of a former revision.
    pub(super) fn launched(&mut self, id: &str, prompt: bool, at: &Moment<'_>) -> Step {
        let Some((spec, index, ..)) = parse(id).filter(|_| !self.own) else { return Ok(()) };
        let slot = (spec, index);
        let revision = at.disk.instances.get(id).map(|kept| kept.record.revision.clone()).unwrap_or_default();
        let before = at.tasks.iter().filter(|(other, task)| {
            task.slot == slot && *other != id && !task.released && Some(&task.framework) == at.disk.framework.as_ref()
        });
        let mut judged = false;
        for (other, _) in before {
            judged = true;
            let Some(told) = self.told.get(other) else {
                return violation("I7", format!("{id} takes the place of {other}, of which nothing was heard"));
            };
            // A rollout ends it: meanwhile its own revision may have become the next one again. Or it is back, and had lost
            // its place while it was out of sight, maybe to one that has ended since (simulated: seed 6000000164).
            let leaves = at.disk.instances.get(other).is_some_and(|kept| match kept.record.why() {
                instance::Why::Update => kept.record.state() == instance::State::Killing,
                instance::Why::Duplicate => kept.record.state() == instance::State::Killing && told.lost,
                _ => false,
            });
            if !told.ended && told.revision == revision && !leaves && !told.is_given_up(other, prompt, at) {
                return violation("I7", format!("{id} takes the place of {other}, which has not ended: {told:?}"));
            }
        }
        if judged {
            self.judge("I7");
        }
        self.told.entry(id.to_owned()).or_default().revision = revision;
        // Of what was launched in this session, silence says something.
        self.known.entry(id.to_owned()).or_insert(at.now);
        self.surge(&slot, id, at)
    }

    /// I8: no more places have two than the surge allows, when one more gets a second one.
    fn surge(&mut self, slot: &(String, u32), id: &str, at: &Moment<'_>) -> Step {
        let surge = self.told.get(id).map_or(0, |told| told.surge).max(surge(&slot.0, at));
        if surge == usize::MAX {
            return Ok(());
        }
        let counts = |record: &Instance| {
            let duplicate = record.state() == instance::State::Killing && record.why() == instance::Why::Duplicate;
            !(duplicate || is_inactive(record))
        };
        let mut places: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for kept in at.disk.instances.values().filter(|kept| kept.slot.0 == slot.0 && counts(&kept.record)) {
            places.entry(kept.slot.1).or_default().insert(&kept.record.revision);
        }
        if places.get(&slot.1).is_none_or(|revisions| revisions.len() < 2) {
            return Ok(());
        }
        self.judge("I8");
        let double = places.values().filter(|revisions| revisions.len() > 1).count();
        if double > surge {
            return violation("I8", format!("{id} is the second one in its place, as in {double} places of {surge}"));
        }
        Ok(())
    }

    /// A batch leaves the scheduler for its store.
    pub(super) fn written(&mut self, batch: &Persist, at: &Moment<'_>) -> Step {
        for (_, record) in batch.ops().iter().filter_map(written) {
            if record.state() == instance::State::Killing && record.why() != instance::Why::External {
                self.told.entry(record.task_id).or_default().killed = true;
            } else if record.state() == instance::State::Prepared {
                let surge = parse(&record.task_id).map_or(0, |(spec, ..)| surge(&spec, at));
                let told = self.told.entry(record.task_id).or_default();
                // A batch that failed comes again.
                told.surge = told.surge.max(surge);
            }
        }
        if !at.fresh || self.own {
            return Ok(());
        }
        for (key, record) in batch.ops().iter().filter_map(written) {
            let Some(old) = at.disk.task(key).and_then(|task| at.disk.instances.get(task)) else { continue };
            self.overdue(&old.record, &record, at)?;
            self.loses(&old.slot, &old.record, &record, batch, at)?;
            let update = record.state() == instance::State::Killing && record.why() == instance::Why::Update;
            let out_of_sight = |told: &Told| told.lost && !told.ended && told.returned_at.is_none();
            // Duplicates may be forbidden just now.
            let settled = !batch.ops().iter().any(|op| *op.key() == Key::new(["spec", &*old.slot.0]));
            if update
                && settled
                && matches!(old.record.state(), instance::State::Unreachable | instance::State::Doubtful)
                && self.told.get(&record.task_id).is_some_and(out_of_sight)
                && at
                    .disk
                    .policies
                    .get(&old.slot.0)
                    .is_some_and(|policy| policy.duplicates() != store::policy::Duplicates::Forbid)
            {
                return violation("I8", format!("a rollout waits for {}, which is out of sight", record.task_id));
            }
            // One of which bad news has come isn't ready any more, whatever the record still says.
            let fine = self.told.get(&record.task_id).is_some_and(|told| told.fine);
            if update && old.record.state() != instance::State::Killing {
                self.goes_on(&old.slot, &record.task_id, batch, at)?;
            }
            if update && fine && old.record.state() == instance::State::Running && old.record.ready() {
                self.budget(&old.slot, &record.task_id, batch, at)?;
            }
        }
        for op in batch.ops() {
            let StoreOp::Put { key, value } = op else { continue };
            let Some(ghost) = (key.segments().next().as_deref() == Some("ghost"))
                .then(|| json::decode::<store::Ghost>(value).ok())
                .flatten()
            else {
                continue;
            };
            let declared = at.tasks.get(&ghost.task_id).is_none_or(|task| task.released);
            if ghost.why() == ghost::Why::Expired && !declared && at.disk.instances.contains_key(&ghost.task_id) {
                self.is_known(&ghost.task_id, "is given up", at)?;
                let since = ghost.instance.and_then(|was| was.unreachable_since).filter(|_| at.steady);
                let least = at.disk.policies.get(&ghost.spec).map(|policy| policy.expunge_after).unwrap_or_default();
                if since.is_some_and(|since| since + least > ghost.since + 10) {
                    return violation(
                        "I7",
                        format!("{} is given up {} ms after {since:?}", ghost.task_id, ghost.since),
                    );
                }
            }
        }
        Ok(())
    }

    /// A7, A21: time alone does nothing about a task of which there is no news.
    fn overdue(&mut self, old: &Instance, new: &Instance, at: &Moment<'_>) -> Step {
        let launching =
            matches!(old.state(), instance::State::Prepared | instance::State::Launching | instance::State::Staged);
        let overdue = new.state() == instance::State::Killing && new.why() == instance::Why::Overdue && launching;
        let inactive = new.inactive() && !old.inactive() && old.state() == instance::State::Unreachable;
        match overdue || inactive {
            true => self.is_known(&new.task_id, if overdue { "is overdue" } else { "is replaced" }, at),
            false => Ok(()),
        }
    }

    /// I8: a rollout that is halted ends nothing.
    fn goes_on(&mut self, slot: &(String, u32), task: &str, batch: &Persist, at: &Moment<'_>) -> Step {
        let key = Key::new(["spec", &slot.0]);
        let told = batch.ops().iter().any(|op| *op.key() == key);
        let Some(record) = at.disk.spec(&slot.0).filter(|_| !told) else { return Ok(()) };
        // What has finished needs its double no more.
        let mine = Key::new(["slot", &slot.0, &slot.1.to_string()]);
        let finished = batch.ops().iter().any(|op| match op {
            StoreOp::Put { key, value } if *key == mine => {
                json::decode::<store::Slot>(value).is_ok_and(|slot| slot.mark() == slot::Mark::Finished)
            }
            _ => false,
        });
        match record.paused() && !finished {
            true => violation("I8", format!("{task} is ended for the next one, and the rollout is halted")),
            false => Ok(()),
        }
    }

    /// Of a task that returns and the one that has taken its place, the one ends that the policy says.
    fn loses(
        &mut self,
        slot: &(String, u32),
        old: &Instance,
        new: &Instance,
        batch: &Persist,
        at: &Moment<'_>,
    ) -> Step {
        use instance::{State as S, Why};
        let duplicate = new.state() == S::Killing && new.why() == Why::Duplicate && old.state() != S::Killing;
        let mut there: Vec<&Kept> = at.disk.instances.values().filter(|kept| kept.slot == *slot).collect();
        there.sort_by_key(|kept| kept.generation);
        let [first, second] = there.as_slice() else { return Ok(()) };
        // What returns while somebody ends it has lost, whatever the policy says.
        let ending = self.told.get(&first.record.task_id).is_some_and(|told| told.ending);
        let returns = matches!(first.record.state(), S::Unreachable | S::Doubtful)
            && !ending
            && batch.ops().iter().filter_map(written).any(|(_, record)| record.task_id == first.record.task_id);
        let key = Key::new(["spec", &slot.0]);
        let told = batch.ops().iter().any(|op| *op.key() == key);
        let spec = (duplicate && returns && !told).then(|| at.disk.spec(&slot.0));
        let Some(spec) = spec.flatten() else { return Ok(()) };
        // Whoever has run for longer began before.
        let since = |kept: &Kept| kept.record.running_since.unwrap_or(u64::MAX);
        let (a, b) = (since(first), since(second));
        if a.abs_diff(b) < 10 && a != b || !at.steady {
            return Ok(());
        }
        let outdated = first.record.revision != spec.revision;
        use store::policy::OnReturn as P;
        let loses = outdated
            || match spec.policy.on_return() {
                P::PreferReady => second.record.ready(),
                P::PreferNew => true,
                P::Oldest => b < a,
                P::Youngest => b > a,
            };
        self.judge("I7");
        let wanted = if loses { first } else { second };
        match wanted.record.task_id == new.task_id || second.record.state() == S::Killing {
            true => Ok(()),
            false => violation(
                "I7",
                format!("{} ends, and not {}: {first:?} {second:?}", new.task_id, wanted.record.task_id),
            ),
        }
    }

    pub(super) fn is_heard(&self, task: &str) -> bool {
        self.known.contains_key(task)
    }

    /// When there was first news of a task in this session.
    pub(super) fn heard_at(&self, task: &str) -> Option<Duration> {
        self.known.get(task).copied()
    }

    fn is_known(&mut self, task: &str, what: &str, at: &Moment<'_>) -> Step {
        self.judge("I7");
        // A framework that its users have removed has no session, and its process goes on until it knows (simulated: seed
        // 7100010177).
        let over = at.users.leaving && !at.subscribed;
        match over || at.subscribed && self.known.contains_key(task) {
            true => Ok(()),
            false => violation("I7", format!("{task} {what}, and nobody has said anything of it in this session")),
        }
    }

    /// I8: an instance that is ready is ended only if enough others are.
    fn budget(&mut self, slot: &(String, u32), task: &str, batch: &Persist, at: &Moment<'_>) -> Step {
        // What is to be durable with it counts.
        let after = |key: &Key| batch.ops().iter().find(|op| op.key() == key);
        let value = |key: Key| match after(&key) {
            Some(StoreOp::Put { value, .. }) => Some(value),
            Some(StoreOp::Delete { .. }) => None,
            None => at.disk.records.get(&key),
        };
        let spec = value(Key::new(["spec", &slot.0])).and_then(|value| json::decode::<store::Spec>(value).ok());
        let Some((policy, removed)) = spec.map(|spec| (spec.policy, spec.removed.unwrap_or(false))) else {
            return Ok(());
        };
        let instances = if removed { 0 } else { policy.instances };
        let (_, unavailable) = bounds(&policy);
        let after = |kept: &Kept| {
            let generation = kept.generation.to_string();
            let record = value(Key::new(["inst", &kept.slot.0, &kept.slot.1.to_string(), &generation]));
            record.and_then(|value| json::decode::<Instance>(value).ok())
        };
        let mine = |kept: &&Kept| kept.slot.0 == slot.0;
        let kept = at.disk.instances.values().filter(mine).filter_map(|kept| Some((kept.slot.1, after(kept)?)));
        // One that was given up may have come back (simulated: seed 2500009252).
        let put = batch.ops().iter().filter_map(written).filter_map(|(_, record)| {
            let (spec, index, ..) = parse(&record.task_id)?;
            (spec == slot.0).then_some((index, record))
        });
        let kept: Vec<(u32, Instance)> = kept.chain(put).collect();
        let is_ready = |record: &Instance| record.state() == instance::State::Running && record.ready();
        let ready: BTreeSet<u32> =
            kept.iter().filter(|(_, record)| is_ready(record)).map(|(index, _)| *index).collect();
        let kept = kept.iter().map(|(index, _)| *index);
        let recorded = at.disk.slots.keys().filter(|(spec, _)| *spec == slot.0).map(|(_, index)| *index);
        // Which places come back, or come anew, with this batch, isn't known.
        let resized = at.disk.wanted(&slot.0) != instances;
        let fresh = if resized { Vec::new() } else { at.disk.fresh(&slot.0, instances).into_iter().collect() };
        let indices: BTreeSet<u32> = kept.chain(recorded).chain(fresh).collect();
        let slots = indices.into_iter().filter_map(|index| {
            let key = Key::new(["slot", &slot.0, &index.to_string()]);
            let removed = batch.ops().iter().any(|op| matches!(op, StoreOp::Delete { key: gone } if *gone == key));
            match value(key) {
                Some(value) => json::decode::<store::Slot>(value).ok().map(|slot| (index, slot)),
                None if removed => None,
                // Without a record there is nothing against it.
                None => Some((index, store::Slot::default())),
            }
        });
        // What has finished is done with: it is neither ready nor missing. What is held is missing.
        let due = |slot: &store::Slot| slot.goal() == slot::Goal::Run && slot.mark() != slot::Mark::Finished;
        let wanted: Vec<u32> = slots.filter(|(_, slot)| due(slot)).map(|(index, _)| index).collect();
        // It was ended for another one in its place that has ended in the same moment.
        let ended = |kept: &Kept| kept.slot == *slot && kept.record.task_id != task && after(kept).is_none();
        if at.disk.instances.values().any(ended) {
            return Ok(());
        }
        if ready.contains(&slot.1) {
            return Ok(());
        }
        self.judge("I8");
        let ready = wanted.iter().filter(|index| ready.contains(index)).count();
        let least = wanted.len().saturating_sub(unavailable);
        if ready < least {
            return violation(
                "I8",
                format!("{task} is ended, and then {ready} of {} are ready, of which {least} have to be", wanted.len()),
            );
        }
        Ok(())
    }
}
