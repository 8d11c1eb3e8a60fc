//! What time does: I8, I7 for what is ready, replaced or overdue too soon; L8, L4 for what waits longer than it has to.

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_core::{Key, Persist, StoreOp};
use mesos_proto::json;
use mesos_proto::store::{self, Instance, instance};
use mesos_proto::v1::TaskState;
use mesos_proto::v1::scheduler::{Call, Event};

use super::disk::{Disk, Kept};
use super::fault::Fault;
use super::places::Moment;
use super::{Step, World, violation};

/// A task without a health check is ready so long after it began to run, unless its spec says otherwise; in ms.
const READY: u64 = 10_000;
/// What is recorded, and what time it is, are told in whole milliseconds.
const ROUNDED: u64 = 10;
/// KILLs are so far apart at most, and a minute.
const REPEATED: Duration = Duration::from_secs(390);
/// What is due has happened so long afterwards.
const SOON: Duration = Duration::from_secs(10);

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Whether tasks were healthy when that was last said of them.
    healthy: BTreeMap<String, bool>,
    /// When the present process began.
    started_at: Duration,
    /// The KILLs of the present session,
    kills: BTreeMap<String, Kills>,
    /// and since when tasks are to end which are in sight.
    ending: BTreeMap<String, Duration>,
    session: Option<u64>,
    /// Since when calls have to wait, or something else is in the way,
    hindered_at: Option<Duration>,
    /// and when that was last over, if it took long.
    free_at: Duration,
    /// When it is worth while to look again.
    next: Duration,
    pub(super) judged: BTreeMap<&'static str, u64>,
}

/// The KILLs of a task.
#[derive(Clone, Copy, Debug)]
struct Kills {
    first: Duration,
    last: Duration,
    forced: bool,
}

impl Timers {
    /// A call leaves the scheduler in this session.
    pub(super) fn leaves(&mut self, now: Duration, session: Option<u64>, call: &Call) {
        if self.session != session {
            self.session = session;
            self.kills.clear();
            self.ending.clear();
        }
        let Some(kill) = &call.kill else { return };
        let grace = kill.kill_policy.and_then(|policy| policy.grace_period);
        let forced = grace.is_some_and(|grace| grace.nanoseconds == 0);
        let first = Kills { first: now, last: now, forced: false };
        let kills = self.kills.entry(kill.task_id.value.clone()).or_insert(first);
        (kills.last, kills.forced) = (now, kills.forced || forced);
    }

    /// A new process knows what is kept.
    pub(super) fn started(&mut self, now: Duration, disk: &Disk) {
        self.started_at = now;
        let said = disk.instances.iter().filter_map(|(id, kept)| Some((id.clone(), kept.record.healthy?)));
        self.healthy = said.collect();
    }

    /// Something has reached the scheduler.
    pub(super) fn heard(&mut self, event: &Event) {
        let status = event.update.as_ref().map(|update| &update.status);
        if let Some((status, healthy)) = status.and_then(|status| Some((status, status.healthy?))) {
            self.healthy.insert(status.task_id.value.clone(), healthy);
        }
    }

    /// A batch leaves the scheduler for its store.
    pub(super) fn written(&mut self, batch: &Persist, at: &Moment<'_>) -> Step {
        let declared = |spec: &str| batch.ops().iter().any(|op| *op.key() == Key::new(["spec", spec]));
        for op in batch.ops() {
            let StoreOp::Put { key, value } = op else { continue };
            let old = at.disk.task(key).and_then(|task| at.disk.instances.get(task));
            let Some(old) = old.filter(|old| at.fresh && at.steady && !declared(&old.slot.0)) else { continue };
            let Ok(record) = json::decode::<Instance>(value) else { continue };
            let Some(policy) = at.disk.policies.get(&old.slot.0) else { continue };
            self.ready(old, &record, policy, at)?;
            self.due(old, &record, policy, at)?;
        }
        Ok(())
    }

    /// I8: what counts as ready is healthy, and has run for long enough.
    fn ready(&mut self, old: &Kept, new: &Instance, policy: &store::Policy, at: &Moment<'_>) -> Step {
        if new.state() != instance::State::Running || !new.ready() || old.record.ready() {
            return Ok(());
        }
        let revision = at.disk.records.get(&Key::new(["rev", &old.slot.0, &new.revision]));
        let revision = revision.and_then(|value| json::decode::<store::Revision>(value).ok());
        let (Some(revision), Some(since)) = (revision, new.running_since) else { return Ok(()) };
        *self.judged.entry("I8").or_default() += 1;
        let checked = revision.task.health_check.is_some();
        let least = policy.min_ready.unwrap_or(if checked { 0 } else { READY });
        if since + least > at.wall + ROUNDED {
            return violation("I8", format!("{} is ready at {}, and has to run for {least} ms", new.task_id, at.wall));
        }
        match checked && self.healthy.get(&new.task_id) != Some(&true) {
            true => violation("I8", format!("{} is ready, and nobody has said that it is healthy", new.task_id)),
            false => Ok(()),
        }
    }

    /// I7: what is replaced, or ended as overdue, has had its time.
    fn due(&mut self, old: &Kept, new: &Instance, policy: &store::Policy, at: &Moment<'_>) -> Step {
        use instance::State as S;
        let old = &old.record;
        let overdue = new.state() == S::Killing && new.why() == instance::Why::Overdue;
        let due = match old.state() {
            S::Unreachable if new.state() == S::Unreachable && new.inactive() && !old.inactive() => {
                old.unreachable_since.map(|since| since + policy.inactive_after)
            }
            S::Prepared | S::Launching if overdue => Some(old.prepared + policy.launch_timeout),
            S::Staged if overdue => old.staged.map(|since| since + policy.start_timeout),
            _ => None,
        };
        let Some(due) = due else { return Ok(()) };
        *self.judged.entry("I7").or_default() += 1;
        match due > at.wall + ROUNDED {
            true => violation("I7", format!("{} had time until {due}, and it is {}: {new:?}", new.task_id, at.wall)),
            false => Ok(()),
        }
    }
}

impl World {
    /// L8, L4: time that is over has its consequences. `able`: the scheduler runs, has a session, and all is written.
    pub(super) fn in_time(&mut self, able: bool) -> Step {
        let timers = &mut self.places.timers;
        if !able {
            timers.hindered_at.get_or_insert(self.now);
        } else if timers.hindered_at.take().is_some_and(|at| at + Duration::from_secs(2) < self.now) {
            // A KILL counts from its answer on.
            timers.free_at = self.now;
        }
        if !able || self.now < timers.next || self.now < timers.started_at + SOON {
            return Ok(());
        }
        timers.next = self.now + Duration::from_secs(1);
        self.told_to_end()?;
        let soon = u64::try_from(SOON.as_millis()).unwrap_or(u64::MAX);
        let (moment, places) = self.moment(self.now);
        if !moment.steady {
            return Ok(());
        }
        *places.timers.judged.entry("L8").or_default() += 1;
        for (id, kept) in &moment.disk.instances {
            let Some(policy) = moment.disk.policies.get(&kept.slot.0) else { continue };
            let known = places.succession.heard_at(id).is_some_and(|at| at + SOON < moment.now);
            let late = overdue_since(&kept.record, policy).filter(|due| known && due + soon < moment.wall);
            if let Some(due) = late {
                let (record, wall) = (&kept.record, moment.wall);
                return violation(
                    "L8",
                    format!("{id} had time until {due}, it is {wall}, and nothing follows: {record:?}"),
                );
            }
        }
        Ok(())
    }

    /// L4: what is to end is told so, again and again, and by force when its time is up.
    fn told_to_end(&mut self) -> Step {
        let session = self.ledger.session.as_ref().map(|(exchange, _)| *exchange);
        let timers = &mut self.places.timers;
        if self.config.kills < 100 || self.setup.is_some() || timers.session != session {
            return Ok(());
        }
        *timers.judged.entry("L4").or_default() += 1;
        let heard = |id: &String| {
            let task = self.ledger.tasks.get(id).filter(|task| !task.ended)?;
            task.heard.map(|(state, _)| state)
        };
        let alive = |id: &String| {
            use TaskState as T;
            matches!(heard(id), Some(T::TaskStaging | T::TaskStarting | T::TaskRunning | T::TaskKilling))
        };
        let former = std::mem::take(&mut timers.ending);
        for (id, kept) in &self.disk.instances {
            let ends = kept.record.state() == instance::State::Killing && kept.record.why() != instance::Why::External;
            if !ends || !alive(id) || !self.places.succession.is_heard(id) {
                continue;
            }
            let since = former.get(id).copied().unwrap_or(self.now);
            timers.ending.insert(id.clone(), since);
            let since = since.max(timers.free_at);
            let kills = timers.kills.get(id);
            let force = self.disk.policies.get(&kept.slot.0).and_then(|policy| policy.force_kill_after);
            let certain = !self.plan.counts.contains_key(&Fault::Answer);
            let force = force.filter(|_| certain).map(Duration::from_millis);
            // One that was refused isn't forced, and the next one comes when the task would have had its time (simulated:
            // seed 9500007597).
            let graces = self.users.manners(&kept.slot.0).graces;
            let grace = graces.into_iter().flatten().max().filter(|_| !certain).unwrap_or_default();
            let repeated = REPEATED.max((grace + SOON) * 11 / 10 + 6 * SOON);
            let due = match (kills, force) {
                (None, _) => since + 2 * SOON,
                (Some(kills), Some(force)) if !kills.forced => kills.first.max(since) + force.min(REPEATED) + 3 * SOON,
                (Some(kills), _) => kills.last.max(since) + repeated,
            };
            if due < self.now {
                return violation(
                    "L4",
                    format!("{id} is to end since {since:?}, and this is all that is done: {kills:?}"),
                );
            }
        }
        Ok(())
    }
}

/// When something has to be done about an attempt, if nothing is heard of it.
fn overdue_since(record: &Instance, policy: &store::Policy) -> Option<u64> {
    use instance::State as S;
    let limit = |since: Option<u64>, time: u64| since.filter(|_| time > 0).map(|since| since + time);
    let strict = policy.duplicates() == store::policy::Duplicates::Forbid;
    match record.state() {
        S::Unreachable if !record.inactive() && !strict => {
            record.unreachable_since.map(|at| at + policy.inactive_after)
        }
        S::Prepared | S::Launching => limit(Some(record.prepared), policy.launch_timeout),
        S::Staged => limit(record.staged, policy.start_timeout),
        _ => None,
    }
}
