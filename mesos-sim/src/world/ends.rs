//! What an end counts as, and what comes of it: I11 for the counts, the marks and the delays, I26 for what is told of it,
//! I19 for what is over for good, I18 for what the store keeps longer than there is a reason to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::engine::{EndClass, Event as Told, KillReason, State};
use mesos_core::{Key, Persist, StoreOp};
use mesos_proto::json;
use mesos_proto::store::{self, Instance, Slot, end::Class, engine::Marker, ghost, instance, policy, slot};
use mesos_proto::v1::TaskState;
use mesos_proto::v1::scheduler::Event;
use mesos_proto::v1::task_status::Reason;

use super::disk::{Disk, Kept};
use super::ledger::is_infra;
use super::places::Moment;
use super::{Step, violation};
use crate::agent::is_terminal;

/// Of refusals in a row (ENGINE 1.3).
const INVALIDS: u32 = 3;

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// What health was told with the last status of a task.
    healthy: BTreeMap<String, Option<bool>>,
    /// Tasks whose end was heard of.
    over: BTreeSet<String>,
    /// Tasks that were heard to be starting or running.
    begun: BTreeSet<String>,
    /// What was told of the end of the last task of a place; what comes of it is told next.
    counted: BTreeMap<(String, u32), EndClass>,
    /// The faults of each place before it last lost a task.
    before: BTreeMap<(String, u32), u32>,
    /// Specs that the last batch wrote: what they were when something ended can't be said.
    declared: BTreeSet<String>,
    /// How often each invariant had something to judge.
    pub(super) judged: BTreeMap<&'static str, u64>,
}

/// A record that a batch writes.
fn put<M: mesos_proto::Described>(batch: &Persist, key: &Key) -> Option<M> {
    let value = batch.ops().iter().rev().find(|op| op.key() == key).and_then(|op| match op {
        StoreOp::Put { value, .. } => Some(value),
        StoreOp::Delete { .. } => None,
    });
    value.and_then(|value| json::decode(value).ok())
}

/// Whether what takes a task's place is of another revision.
fn is_outdated(spec: &str, ended: &Kept, at: &Moment<'_>) -> bool {
    let revision = &ended.record.revision;
    at.disk
        .spec(spec)
        .is_some_and(|record| record.revision != *revision && !(record.paused() && record.history.contains(revision)))
}

/// Whether the restart policy wants another attempt (ENGINE 3.1); `None` if that can't be said.
/// `begun`: something was heard of it that says so.
fn restarts(policy: &store::Policy, end: &store::End, ended: &Instance, begun: bool) -> Option<bool> {
    let started = ended.staged.is_some() || ended.running_since.is_some();
    let by_policy = match policy.restart() {
        policy::Restart::OnFailure => end.class() != Class::Ok,
        policy::Restart::Never => false,
        _ => true,
    };
    match end.class() {
        Class::Invalid | Class::Wanted => Some(true),
        // It may have started in the same moment.
        Class::Infra | Class::Drain if !started => (by_policy || !begun).then_some(true),
        _ => Some(by_policy),
    }
}

/// Where a double is forbidden it is no end that an agent is gone: what comes later is, whatever was said last.
fn is_no_end(state: TaskState, spec: &str, disk: &Disk) -> bool {
    state == TaskState::TaskGoneByOperator && disk.was_strict.contains(spec)
}

/// A place of a spec, and its key.
fn place(spec: &str, index: &str) -> ((String, u32), Key) {
    ((spec.to_owned(), index.parse().unwrap_or(u32::MAX)), Key::new(["slot", spec, index]))
}

impl Ends {
    fn judge(&mut self, invariant: &'static str) {
        *self.judged.entry(invariant).or_default() += 1;
    }

    /// Something has reached the scheduler.
    pub(super) fn heard(&mut self, event: &Event) {
        let Some(update) = &event.update else { return };
        let (id, status) = (&update.status.task_id.value, &update.status);
        // What was on its way when it ended changes nothing.
        if !self.over.contains(id) {
            self.healthy.insert(id.clone(), status.healthy);
        }
        match status.state() {
            state if is_terminal(state) => drop(self.over.insert(id.clone())),
            TaskState::TaskUnreachable | TaskState::TaskUnknown => {}
            _ => drop(self.begun.insert(id.clone())),
        }
    }

    /// A batch is about to be durable. `certain`: no user's command is in it.
    pub(super) fn durable(&mut self, batch: &Persist, certain: bool, at: &Moment<'_>) -> Step {
        self.declared.clear();
        for op in batch.ops() {
            let segments: Vec<String> = op.key().segments().collect();
            match (segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), op) {
                (["engine"], StoreOp::Put { value, .. }) => self.goes_on(value, at.disk)?,
                (["spec", spec], StoreOp::Put { .. }) => drop(self.declared.insert((*spec).to_owned())),
                (["inst", spec, index, _], StoreOp::Put { value, .. }) => {
                    let (slot, key) = place(spec, index);
                    let Ok(record) = json::decode::<Instance>(value) else { continue };
                    match at.disk.task(op.key()).and_then(|task| at.disk.instances.get(task)) {
                        None if certain => self.begins(&slot, &record, batch, at)?,
                        Some(old) => self.starts(&old.record, &record, &key, batch, at)?,
                        None => {}
                    }
                }
                (["inst", spec, index, _], StoreOp::Delete { .. }) => {
                    let (slot, key) = place(spec, index);
                    let kept = at.disk.task(op.key()).and_then(|task| at.disk.instances.get(task));
                    // What is written again was durable the first time (simulated: seed 10200006763).
                    if kept.is_some() {
                        self.before.insert(slot.clone(), at.disk.slots.get(&slot).map_or(0, |slot| slot.faults));
                    }
                    let Some(old) = kept.filter(|_| certain) else { continue };
                    self.ended(&slot, &key, old, batch, at)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// I18: what was to be removed is not forgotten.
    fn goes_on(&mut self, value: &[u8], disk: &Disk) -> Step {
        let marker = |value: &[u8]| json::decode::<store::Engine>(value).map(|engine| engine.marker()).ok();
        let old = disk.records.get(&Key::new(["engine"])).and_then(|value| marker(value));
        if matches!(old, Some(Marker::Uninstalling | Marker::TearingDown)) {
            self.judge("I18");
            if marker(value) == Some(Marker::Running) {
                return violation("I18", format!("the framework is {old:?}, and that is forgotten"));
            }
        }
        Ok(())
    }

    /// I19: where all is finished or given up, nothing begins again by itself; and what was given up for good doesn't take
    /// its place again, but to be ended.
    fn begins(&mut self, slot: &(String, u32), record: &Instance, batch: &Persist, at: &Moment<'_>) -> Step {
        self.judge("I19");
        let id = &record.task_id;
        let mark = at.disk.slots.get(slot).filter(|slot| slot.goal() == slot::Goal::Run).map(Slot::mark);
        if let Some(mark) = mark.filter(|mark| *mark != slot::Mark::None) {
            return violation("I19", format!("{id} begins where all is {mark:?}"));
        }
        let ghost = Key::new(["ghost", id]);
        let gone = batch.ops().iter().any(|op| matches!(op, StoreOp::Delete { key } if *key == ghost));
        let was = at.disk.records.get(&ghost).filter(|_| gone);
        let why = was.and_then(|value| json::decode::<store::Ghost>(value).ok()).map(|ghost| ghost.why());
        match why {
            Some(ghost::Why::Abandoned) if record.state() != instance::State::Killing => {
                violation("I19", format!("{id} was given up because it was to end, and is {:?} again", record.state()))
            }
            _ => Ok(()),
        }
    }

    /// I11: once it runs, what was lost or refused before is forgiven.
    fn starts(&mut self, old: &Instance, new: &Instance, slot: &Key, batch: &Persist, at: &Moment<'_>) -> Step {
        use instance::State as S;
        let starts = new.state() == S::Running
            && matches!(old.state(), S::Prepared | S::Launching | S::Staged)
            && old.running_since.is_none();
        let whole = batch.ops().iter().any(|op| op.key() == slot);
        let kept = at.disk.records.get(slot).and_then(|value| json::decode::<Slot>(value).ok());
        let slot = if whole { put::<Slot>(batch, slot) } else { kept };
        let Some(slot) = slot.filter(|_| starts) else { return Ok(()) };
        self.judge("I11");
        // Another one beside it may have been lost at the same time.
        match slot.losses > 1 || slot.invalids > 1 {
            true => violation("I11", format!("{} runs, and what was before counts on: {slot:?}", new.task_id)),
            false => Ok(()),
        }
    }

    /// I11: the only attempt of a place has ended.
    fn ended(&mut self, slot: &(String, u32), key: &Key, ended: &Kept, batch: &Persist, at: &Moment<'_>) -> Step {
        let mine = |op: &&StoreOp| {
            let segments: Vec<String> = op.key().segments().take(3).collect();
            segments.len() == 3 && segments[0] == "inst" && segments[1] == slot.0 && segments[2] == slot.1.to_string()
        };
        let alone = batch.ops().iter().filter(mine).count() == 1
            && at.disk.instances.values().filter(|kept| kept.slot == *slot).count() == 1;
        let (Some(old), Some(new)) = (at.disk.slot(slot), put::<Slot>(batch, key)) else { return Ok(()) };
        let wanted = |slot: &Slot| slot.goal() == slot::Goal::Run;
        let same = |a: &store::End, b: &store::End| a.at == b.at && a.class == b.class;
        let told = new.last_end.as_ref().filter(|end| old.last_end.as_ref().is_none_or(|before| !same(before, end)));
        let Some(end) = told.filter(|_| alone && wanted(&old) && wanted(&new) && old.mark() == slot::Mark::None) else {
            return Ok(());
        };
        let Some(policy) = at.disk.policies.get(&slot.0) else { return Ok(()) };
        self.judge("I11");
        let job = policy.kind() == policy::Kind::Job;
        let what = |why: &str| {
            violation("I11", format!("{} has ended {why}: {end:?}, before {old:?}, now {new:?}", ended.record.task_id))
        };
        let outdated = is_outdated(&slot.0, ended, at);
        // What comes later may be that the framework has been removed (simulated: seed 7200024933).
        let no_end = end.state.is_some() && is_no_end(end.state(), &slot.0, at.disk);
        if at.prompt && !no_end && !self.may_count(ended, end, job, outdated) {
            return what("and counts as something else");
        }
        let begun = self.begun.contains(&ended.record.task_id);
        let restarts =
            if job && end.class() == Class::Ok { Some(false) } else { restarts(policy, end, &ended.record, begun) };
        let stable = self.stable(slot, &ended.record, end, policy, at);
        // What it was lost for before is forgiven once it has run.
        let base = |count: u32| if end.ran_for.is_some() && count > 0 { vec![0, count] } else { vec![count] };
        let (losses, invalids) = (base(old.losses), base(old.invalids));
        let more = |counts: &[u32], count: u32| counts.iter().any(|before| before + 1 == count);
        let failed = |stable: bool| match (outdated, stable) {
            // What a former revision does is no failure of the one that comes next.
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => old.failures + 1,
        };
        let max = policy.max_failures.filter(|_| !outdated);
        let exhausted = end.class() == Class::Fault && max.is_some_and(|max| new.failures >= max);
        let refused = end.class() == Class::Invalid && !outdated;
        let invalid = refused && invalids.iter().any(|count| count + 1 >= INVALIDS);
        let mark = match new.mark() {
            slot::Mark::Finished => restarts != Some(true),
            slot::Mark::Exhausted => exhausted,
            slot::Mark::Invalid => invalid,
            slot::Mark::None => {
                let must = refused && invalids.iter().all(|count| count + 1 >= INVALIDS);
                !(restarts == Some(false) || exhausted || must)
            }
        };
        if !mark {
            return what("with another mark than it deserves");
        }
        if new.mark() == slot::Mark::Finished || new.mark() == slot::Mark::Invalid {
            return Ok(());
        }
        let stable = stable.map_or_else(|| vec![true, false], |stable| vec![stable]);
        let counted = match end.class() {
            Class::Fault => stable.iter().any(|stable| {
                let faults = if *stable { 1 } else { old.faults + 1 };
                new.failures == failed(*stable) && (new.faults == faults || new.mark() == slot::Mark::Exhausted)
            }),
            Class::Ok => stable.iter().any(|stable| new.faults == if *stable { 0 } else { old.faults + 1 }),
            Class::External => stable.iter().any(|stable| new.faults == if *stable { 1 } else { old.faults + 1 }),
            Class::Infra => more(&losses, new.losses) && new.faults == old.faults,
            Class::Invalid if outdated => invalids.contains(&new.invalids) && new.faults == old.faults,
            Class::Invalid => more(&invalids, new.invalids) && new.faults == old.faults,
            Class::Drain | Class::Wanted => new.faults == old.faults && losses.contains(&new.losses),
        };
        match counted {
            true => self.revision(&slot.0, ended, &new, at),
            false => what("and isn't counted as it should be"),
        }
    }

    /// While a rollout is halted, what takes the place of a task is of its revision.
    fn revision(&mut self, spec: &str, ended: &Kept, new: &Slot, at: &Moment<'_>) -> Step {
        let Some(record) = at.disk.spec(spec) else { return Ok(()) };
        let before = &ended.record.revision;
        let former = record.paused() && record.history.contains(before);
        let wanted = former.then_some(before);
        if new.mark() != slot::Mark::None || new.eligible_at.is_none() || new.revision.as_ref() == wanted {
            return Ok(());
        }
        violation(
            "I8",
            format!("{} is replaced in {:?}, not in {wanted:?}: {record:?}", ended.record.task_id, new.revision),
        )
    }

    /// Whether it ran for so long that what went before is forgiven; `None` if that can't be said.
    fn stable(
        &self,
        slot: &(String, u32),
        ended: &Instance,
        end: &store::End,
        policy: &store::Policy,
        at: &Moment<'_>,
    ) -> Option<bool> {
        if end.ran_for.unwrap_or_default() < policy.stable_after {
            return Some(false);
        }
        let revision = at.disk.records.get(&Key::new(["rev", &slot.0, &ended.revision]));
        let revision: store::Revision = json::decode(revision?).ok()?;
        revision.task.health_check.is_none().then_some(true)
    }

    /// Whether an end may count as what it does (ENGINE 1.5).
    fn may_count(&self, ended: &Kept, end: &store::End, job: bool, outdated: bool) -> bool {
        let record = &ended.record;
        let Some(state) = end.state.map(|_| end.state()) else { return true };
        let unhealthy = self.healthy.get(&record.task_id) == Some(&Some(false));
        let early =
            matches!(record.state(), instance::State::Prepared | instance::State::Launching | instance::State::Staged);
        let Some(plain) = plain(state, end.reason.map(|_| end.reason()), unhealthy, early) else { return true };
        let why = (record.state() == instance::State::Killing).then(|| record.why());
        let class = end.class();
        match why {
            _ if job && plain == Class::Ok => class == Class::Ok,
            // A rollout may have begun to end it in the same moment; nobody else without a command.
            None | Some(instance::Why::External) => class == plain || outdated && class == Class::Wanted,
            Some(instance::Why::Overdue) if record.never_seen() => class == Class::Infra,
            Some(instance::Why::Overdue | instance::Why::Unhealthy) => class == Class::Fault,
            Some(_) => class == Class::Wanted,
        }
    }

    /// A new process tells anew.
    pub(super) fn started(&mut self) {
        self.counted.clear();
    }

    /// I26: what is told of an end is what it counts as, and what comes of it follows from that. `error`: the master has
    /// sent ERROR, and with the framework its tasks may have ended, whatever they were told to be.
    pub(super) fn told(&mut self, event: &Told, disk: &Disk, error: bool) -> Step {
        match event {
            Told::TaskEnded { task, class } => {
                self.counted.insert((task.spec.clone(), task.index), *class);
                let Some(state) = task.task_state.filter(|state| is_terminal(*state)) else { return Ok(()) };
                if state == TaskState::TaskLost
                    || is_no_end(state, &task.spec, disk)
                    || error && *class == EndClass::Infra
                {
                    return Ok(());
                }
                let unhealthy = self.healthy.get(&task.task_id) == Some(&Some(false));
                let early = matches!(task.state, State::Launching | State::Staged);
                let Some(plain) = plain(state, task.reason, unhealthy, early) else { return Ok(()) };
                // With its last task a spec is gone, and what it was (simulated: seed 4000000486); and it may have become
                // something else while the end was written (simulated: seed 7100025642).
                let policy = disk.policies.get(&task.spec).filter(|_| !self.declared.contains(&task.spec));
                let job = policy.map(|policy| policy.kind() == policy::Kind::Job);
                let done = plain == Class::Ok && *class == EndClass::Ok;
                self.judge("I26");
                let right = match task.killing() {
                    None | Some(KillReason::External) => kept(*class) == Some(plain),
                    Some(_) if job == Some(true) && plain == Class::Ok => done,
                    Some(_) if job.is_none() && done => true,
                    Some(KillReason::Overdue) => matches!(class, EndClass::Fault | EndClass::Infra),
                    Some(_) => *class == EndClass::Wanted,
                };
                match right {
                    true => Ok(()),
                    false => violation("I26", format!("told is {event:?}, which counts as {plain:?}")),
                }
            }
            Told::InstanceWaiting { spec, index, cause, delay } => {
                let place = (spec.clone(), *index);
                if let Some(class) = self.counted.remove(&place).filter(|class| class != cause) {
                    return violation(
                        "I26",
                        format!("told is {event:?}, and before it that {class:?} was how it ended"),
                    );
                }
                let faults = disk.slots.get(&place).map_or(0, |slot| slot.faults);
                let before = self.before.get(&place).copied().unwrap_or_default();
                self.judge("I11");
                match may_wait(*cause, *delay, faults, before) {
                    true => Ok(()),
                    false => violation("I11", format!("told is {event:?}, and there were {faults} faults")),
                }
            }
            _ => Ok(()),
        }
    }
}

/// What a state counts as where nobody had it ended (ENGINE 1.5); `None` if that can't be said. `unhealthy`: says the
/// status itself; `early`: it had not run.
fn plain(state: TaskState, reason: Option<Reason>, unhealthy: bool, early: bool) -> Option<Class> {
    use TaskState as T;
    Some(match state {
        T::TaskFinished => Class::Ok,
        T::TaskFailed if is_infra(reason) => Class::Infra,
        T::TaskFailed => Class::Fault,
        T::TaskKilled | T::TaskDropped | T::TaskGone | T::TaskGoneByOperator
            if reason == Some(Reason::AgentDraining) =>
        {
            Class::Drain
        }
        T::TaskKilled if reason == Some(Reason::TaskKilledDuringLaunch) => Class::Infra,
        T::TaskKilled if unhealthy => Class::Fault,
        T::TaskKilled => Class::External,
        T::TaskError if early => Class::Invalid,
        T::TaskError => Class::Fault,
        T::TaskDropped | T::TaskGone | T::TaskGoneByOperator => Class::Infra,
        // Also the last word about what goes with its framework.
        _ => return None,
    })
}

/// A class that is told, as it is kept.
const fn kept(class: EndClass) -> Option<Class> {
    Some(match class {
        EndClass::Ok => Class::Ok,
        EndClass::Fault => Class::Fault,
        EndClass::Invalid => Class::Invalid,
        EndClass::Infra => Class::Infra,
        EndClass::Drain => Class::Drain,
        EndClass::External => Class::External,
        EndClass::Wanted => Class::Wanted,
        _ => return None,
    })
}

/// Whether the next attempt may be held back for so long (ENGINE 1.3, 3.2), where so many faults are kept, and so many were
/// `before`.
fn may_wait(cause: EndClass, delay: Duration, faults: u32, before: u32) -> bool {
    // One more may have come before this was told, and after a long run it is the first again, also if that ends in the same
    // moment (simulated: seed 6000000504).
    let counts = [faults, faults.saturating_sub(1), before + 1, 1].into_iter().filter(|count| *count > 0);
    let backoff = |count: u32| 2_f64.powi(count.min(20) as i32 - 1).min(300.0);
    let near = |count: u32| (delay.as_secs_f64() / backoff(count) - 1.0).abs() <= 0.101;
    match cause {
        EndClass::Drain | EndClass::Wanted => delay.is_zero(),
        EndClass::Invalid => delay.as_secs_f64() == 16.0,
        EndClass::Infra => [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0].contains(&delay.as_secs_f64()),
        EndClass::Ok if delay.is_zero() => true,
        _ => faults == 0 || counts.into_iter().any(near),
    }
}

impl Disk {
    /// I18: records that belong to nothing.
    pub(super) fn left_over(&self) -> Option<&Key> {
        let named = |name: &str, revision: &str| {
            self.spec(name)
                .is_some_and(|spec| spec.revision == revision || spec.history.iter().any(|former| former == revision))
        };
        self.records.keys().find(|key| {
            let segments: Vec<String> = key.segments().collect();
            match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["rev", name, revision] => !named(name, revision),
                ["slot", name, _] | ["inst", name, ..] => !self.policies.contains_key(*name),
                _ => false,
            }
        })
    }
}
