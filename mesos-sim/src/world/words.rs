//! I26: what users say is done, and kept; what they are told is so, and durable before; nothing ends without a reason.

use std::collections::{BTreeMap, BTreeSet};

use mesos_core::engine::{CommandError, Engine, Event, Held, InstanceStatus, KillSelection, State, Task};
use mesos_core::scheduler::FatalReason;
use mesos_core::{Input, Key};
use mesos_proto::store::instance;
use mesos_proto::v1::scheduler::Event as Heard;
use mesos_proto::{json, store};

use super::contents;
use super::disk::Disk;
use super::fault::Fault;
use super::news::News;
use super::{Step, Violation, World, violation};

/// What was said and told, in the present process.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// What a user commands is the user's business, and isn't known here.
    pub(super) own: bool,
    /// Specs of which users have said something since the store was last idle, and what.
    said: BTreeSet<(String, Fault)>,
    /// A user has let the scheduler end.
    left: bool,
    /// The master has sent ERROR.
    pub(super) error: bool,
    fenced: bool,
    /// Tasks of which it was told that they run, and not that they have ended.
    alive: BTreeSet<String>,
    /// And that they are ready.
    ready: BTreeSet<String>,
    /// Specs that were last told to be as wanted.
    satisfied: BTreeSet<String>,
    /// Specs that were as wanted since the store was last idle and they weren't. That may have been several times while it
    /// hung, all of which are told together (simulated: seed 4000000885).
    seen: BTreeSet<String>,
    fault: Option<String>,
    pub(super) news: News,
    /// A user has had the framework removed.
    pub(super) uninstalls: bool,
    /// What was told to be gone, and is kept: unless something else is told of it in the same moment.
    gone: BTreeMap<String, String>,
}

/// How a spec was before a command.
#[derive(Debug)]
struct Before {
    spec: String,
    revision: Option<mesos_core::engine::Revision>,
    removed: bool,
    tasks: Vec<Task>,
    instances: Vec<InstanceStatus>,
}

impl Before {
    fn of(engine: &Engine, spec: &str) -> Self {
        Self {
            spec: spec.to_owned(),
            revision: engine.spec(spec).map(|spec| spec.revision),
            removed: engine.spec(spec).is_some_and(|spec| spec.removed),
            tasks: engine.tasks().collect(),
            instances: engine.instances(spec).collect(),
        }
    }

    /// Whether a command may be refused for this.
    fn allows(&self, error: &CommandError, said: &Said) -> bool {
        let (spec, index) = &said.concerned;
        match error {
            CommandError::NoSpec(_) => *spec != self.spec || self.revision.is_none() || self.removed,
            CommandError::NoInstance { .. } => {
                !self.instances.iter().any(|place| place.wanted && Some(place.index) == *index)
            }
            CommandError::NoTask(_) => !self.tasks.iter().any(|task| Some(&task.task_id) == said.task.as_ref()),
            CommandError::Ending => true,
            _ => false,
        }
    }

    /// The task of a place that has no other, is of the present revision, and ready.
    fn plain(&self, index: u32) -> Option<&Task> {
        let place = self.instances.iter().find(|instance| instance.index == index && instance.wanted)?;
        let [task] = place.tasks.as_slice() else { return None };
        (task.ready && task.state == State::Running && Some(task.revision) == self.revision).then_some(task)
    }

    /// Whether a place waits for a task.
    fn waits(&self, index: u32) -> bool {
        self.instances.iter().any(|instance| instance.index == index && instance.waits.is_some())
    }

    /// Whether something is ready in a place.
    fn is_ready(&self, index: u32) -> bool {
        let place = self.instances.iter().find(|instance| instance.index == index);
        place.is_some_and(|place| place.tasks.iter().any(|task| task.ready && task.state == State::Running))
    }
}

/// What a user has done.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) what: String,
    pub(super) row: Option<&'static str>,
    /// The spec, and the place if it was about one only.
    pub(super) concerned: (String, Option<u32>),
    /// The task that was to be killed.
    pub(super) task: Option<String>,
    /// It was the delays that were to be lifted.
    pub(super) lifted: bool,
    /// Why the engine hasn't agreed, if so.
    pub(super) refused: Option<CommandError>,
    /// A spec was given, and what goes into its tasks is what it was.
    pub(super) same: bool,
}

/// Whether a task in this state was never told to run.
const fn is_early(state: instance::State) -> bool {
    matches!(state, instance::State::Prepared | instance::State::Launching | instance::State::Staged)
}

impl Words {
    /// A new process knows of nothing that was said and not kept.
    pub(super) fn started(&mut self, disk: &Disk) {
        let alive = disk.instances.iter().filter(|(_, kept)| !is_early(kept.record.state()));
        let alive = alive.map(|(id, _)| id.clone()).collect();
        let ready = disk.instances.iter().filter(|(_, kept)| kept.record.ready()).map(|(id, _)| id.clone()).collect();
        *self = Self { own: self.own, alive, ready, ..Self::default() };
        self.news.started(disk);
    }

    pub(super) const fn fenced(&mut self) {
        self.fenced = true;
    }

    /// Something has reached the scheduler.
    pub(super) fn heard(&mut self, event: &Heard) {
        self.error |= event.error.is_some();
    }

    /// The scheduler has told something. `leaving`: users want the framework removed; `satisfied`: the spec of which it is
    /// told is as wanted now.
    pub(super) fn told(&mut self, event: &Event, disk: &Disk, leaving: bool, satisfied: bool) {
        let kept = |task: &Task| disk.instances.get(&task.task_id).map(|kept| kept.record.state());
        let mut fault = None;
        self.news.told(event);
        match event {
            Event::TaskLaunched(task) | Event::TaskReturned(task) => {
                self.alive.insert(task.task_id.clone());
                self.gone.remove(&task.task_id);
                fault = kept(task).filter(|state| is_early(*state) && matches!(event, Event::TaskLaunched(_)));
            }
            Event::TaskEnded { task, .. } | Event::TaskRemoved { task, .. } => {
                self.alive.remove(&task.task_id);
                let what = kept(task).map(|state| format!("told is {event:?}, while the store says {state:?}"));
                self.gone.extend(what.map(|what| (task.task_id.clone(), what)));
            }
            Event::TaskReady(task) => drop(self.ready.insert(task.task_id.clone())),
            Event::TaskUnhealthy(task) => drop(self.ready.remove(&task.task_id)),
            Event::TaskUpdated(task) => drop(self.gone.remove(&task.task_id)),
            Event::SpecSatisfied { spec } => {
                self.satisfied.insert(spec.clone());
                if !self.seen.contains(spec) && !satisfied {
                    self.fault = Some(format!("told is {event:?}, and it never was"));
                }
            }
            Event::SpecDegraded { spec } | Event::SpecRemoved { spec } => drop(self.satisfied.remove(spec)),
            _ => {}
        }
        if let Some(state) = fault {
            self.fault = Some(format!("told is {event:?}, while the store says {state:?}"));
        }
        let reason = match event {
            Event::Fatal(FatalReason::FailedOver | FatalReason::Removed | FatalReason::Other(_)) => self.error,
            Event::Fatal(_) | Event::StoreRefused(_) => false,
            Event::Fenced(_) => self.fenced,
            Event::Stopped { removed: true } => self.own || leaving,
            Event::Stopped { removed: false } => self.own || self.left,
            _ => true,
        };
        if !reason {
            self.fault = Some(format!("{event:?} has no reason"));
        }
    }

    /// What the engine says of its specs now. What it then tells of them waits for the store, and may be over by then.
    pub(super) fn sees(&mut self, engine: &Engine) {
        self.seen.extend(engine.specs().filter(|spec| spec.satisfied).map(|spec| spec.name));
    }

    pub(super) fn check(&mut self, runs: bool) -> Result<(), Violation> {
        let gone = std::mem::take(&mut self.gone).pop_first().map(|(_, what)| what);
        // A process that dies in the midst of it tells nothing more.
        let fault = self.fault.take().or_else(|| gone.filter(|_| runs));
        fault.map_or(Ok(()), |what| violation("I26", what))
    }
}

impl World {
    /// A user says something.
    pub(super) fn command(&mut self, fault: Fault) -> Step {
        // It acts at the present time.
        self.feed(Input::Timeout)?;
        let places = self.places();
        let Some(engine) = self.engine.as_mut().filter(|_| !self.ledger.terminal) else { return Ok(()) };
        self.past.commanded();
        let wishes = self.users.wishes.len();
        let name = self.users.choose(&mut self.rng, &mut self.plan);
        if self.users.wishes.len() > wishes {
            // A new wish of an old name: nobody has said it yet (simulated: seed 1200003082).
            self.words.said.retain(|(spec, _)| *spec != name);
        }
        let before = Before::of(engine, &name);
        let said = self.users.act(fault, name, engine, &mut self.ledger, &mut self.rng, &mut self.plan);
        self.disk.was_strict.extend(self.users.strict.iter().cloned());
        let wrongly = said.refused.as_ref().filter(|error| !before.allows(error, &said));
        let ends = self.users.leaving || self.words.left || self.disk.is_ending();
        let wrongly = wrongly.filter(|error| **error != CommandError::Ending || !ends).cloned();
        self.words.sees(engine);
        self.words.left |= fault == Fault::Leave;
        self.words.uninstalls |= fault == Fault::Uninstall;
        if fault == Fault::Remove && said.refused.is_none() {
            self.words.news.removed(&said.concerned.0);
        }
        self.note(|| format!("!! {}", said.what));
        if let Some(row) = said.row {
            self.commanded(row, places, &said.concerned);
        }
        let process = self.process;
        if said.refused.is_none() && !self.users.leaving {
            self.words.said.insert((said.concerned.0.clone(), fault));
        }
        if let Some(error) = wrongly {
            return violation("I26", format!("{}, which is refused: {error:?}", said.what));
        }
        self.obeys(fault, &said)?;
        self.drain()?;
        if said.refused.is_none() && self.process == process && !self.users.leaving {
            return self.done(fault, &said, &before);
        }
        Ok(())
    }

    /// A user kills a task that was given up.
    pub(super) fn kill_ghost(&mut self) -> Step {
        self.feed(Input::Timeout)?;
        let ghosts: Vec<String> = self.disk.ghosts.iter().cloned().collect();
        let Some(engine) = self.engine.as_mut().filter(|_| !self.ledger.terminal) else { return Ok(()) };
        let Some(ghost) = ghosts.get(self.apart.below(ghosts.len() as u64) as usize) else { return Ok(()) };
        self.past.commanded();
        self.ledger.killed_by_user(ghost);
        let result = engine.kill(ghost);
        self.note(|| format!("!! kill {ghost}: {result:?}"));
        self.drain()
    }

    /// What a user has said is done, as far as the engine can do it at once.
    fn done(&mut self, fault: Fault, said: &Said, before: &Before) -> Step {
        let Some(engine) = self.engine.as_ref().filter(|_| !self.ledger.terminal) else { return Ok(()) };
        *self.ledger.judged.entry("I26").or_default() += 1;
        let (name, index) = (&said.concerned.0, said.concerned.1);
        let spec = engine.spec(name);
        let wish = self.users.wish(name);
        let ends = |task: &Task| engine.find_task(&task.task_id).is_none_or(|task| task.killing().is_some());
        let done = match fault {
            Fault::Apply | Fault::Scale => spec.as_ref().zip(wish).is_some_and(|(spec, wish)| spec.wanted == wish.0),
            Fault::Restart if index.is_some() => {
                before.tasks.iter().filter(|task| task.spec == *name && Some(task.index) == index).all(ends)
            }
            Fault::Restart => spec.as_ref().map(|spec| spec.revision) != before.revision,
            Fault::Remove => spec.as_ref().is_none_or(|spec| spec.removed),
            // Nobody believes that of what can be seen.
            Fault::DeclareDead => {
                let seen = |task: &&Task| matches!(task.state, State::Launching | State::Staged | State::Running);
                let there = before.tasks.iter().filter(|task| task.spec == *name && Some(task.index) == index);
                there.filter(seen).all(|task| engine.find_task(&task.task_id).is_some())
            }
            Fault::Kill => before.tasks.iter().filter(|task| Some(&task.task_id) == said.task.as_ref()).all(ends),
            Fault::Pause => spec.as_ref().is_some_and(|spec| spec.paused == self.users.is_paused(name)),
            Fault::Retry if said.lifted => {
                let free = |place: InstanceStatus| place.faults == 0 && place.waits.is_none_or(|wait| wait.is_zero());
                engine.instances(name).all(|place| !place.wanted || free(place))
            }
            Fault::Retry => engine.instances(name).all(|place| place.held.is_none()),
            _ => true,
        };
        if !done {
            return violation("I26", format!("{} has no effect: {spec:?}, before it {before:?}", said.what));
        }
        if before.spec != *name {
            return Ok(());
        }
        let revision = spec.as_ref().map(|spec| spec.revision);
        // A process that only has what the store kept may not have what was said last.
        let agreed = self.config.given || self.process == 1;
        if said.same && agreed && before.revision.is_some() && !before.removed && revision != before.revision {
            return violation("I26", format!("{} changes nothing, and restarts all: {spec:?}", said.what));
        }
        // What has failed, or was refused, is tried again: at once, if that was all that held it back.
        let fresh = fault == Fault::Apply && before.revision.is_some() && revision != before.revision;
        let stuck = |place: &InstanceStatus| {
            matches!(place.held, Some(Held::Exhausted | Held::Invalid))
                || fresh
                    && place.waits.is_some_and(|wait| !wait.is_zero() || place.faults > 0 && before.waits(place.index))
        };
        let concerned = |place: &InstanceStatus| fresh || fault == Fault::Restart && index == Some(place.index);
        if let Some(place) = engine.instances(name).filter(|place| place.wanted && concerned(place)).find(stuck) {
            return violation("I26", format!("{} leaves {place:?} as it was", said.what));
        }
        let (kept, gone): (Vec<InstanceStatus>, Vec<InstanceStatus>) =
            engine.instances(name).partition(|place| place.wanted);
        let was = |place: &&InstanceStatus| before.instances.iter().any(|b| b.index == place.index && b.wanted);
        let good = gone.iter().filter(was).find(|place| before.is_ready(place.index));
        let bad = kept.iter().filter(was).find(|place| !before.is_ready(place.index));
        if let (Some(good), Some(bad)) = (good, bad) {
            let what = format!("{name} loses {}, which was ready, and keeps {}", good.index, bad.index);
            return violation("I26", format!("{what}: {before:?}"));
        }
        if agreed { self.chosen(name, before, &gone, &kept) } else { Ok(()) }
    }

    /// Of places that are alike those go that the spec says: those with the highest numbers, or the oldest or youngest task.
    fn chosen(&self, name: &str, before: &Before, gone: &[InstanceStatus], kept: &[InstanceStatus]) -> Step {
        let selection = self.users.selection(name);
        // What the clock has done to ages isn't known here.
        if self.plan.has(Fault::Maintenance)
            || selection != KillSelection::HighestIndex && self.plan.counts.contains_key(&Fault::ClockJump)
        {
            return Ok(());
        }
        let since = |index: u32| {
            let task = before.plain(index)?;
            Some((index, self.disk.instances.get(&task.task_id)?.record.running_since?))
        };
        let ages = |places: &[InstanceStatus]| -> Vec<(u32, u64)> {
            places.iter().filter_map(|place| since(place.index)).collect()
        };
        let wrong = |gone: (u32, u64), kept: (u32, u64)| match selection {
            KillSelection::Oldest => kept.1 + 10 < gone.1,
            KillSelection::Youngest => gone.1 + 10 < kept.1,
            _ => gone.0 < kept.0,
        };
        let kept = ages(kept);
        let mut pairs = ages(gone).into_iter().flat_map(|gone| kept.iter().map(move |kept| (gone, *kept)));
        match pairs.find(|(gone, kept)| wrong(*gone, *kept)) {
            Some((gone, kept)) => {
                violation("I26", format!("{name} loses {gone:?}, and keeps {kept:?}, for {selection:?}: {before:?}"))
            }
            None => Ok(()),
        }
    }

    /// What users have said is what the store holds, once nothing is being written.
    pub(super) fn kept(&mut self) -> Step {
        let said = std::mem::take(&mut self.words.said);
        for (name, what) in &said {
            if self.users.leaving || !matches!(what, Fault::Apply | Fault::Scale | Fault::Pause | Fault::Remove) {
                continue;
            }
            // Whether one that was removed in between is halted still, depends on whether it was gone.
            if *what == Fault::Pause && said.contains(&(name.clone(), Fault::Remove)) {
                continue;
            }
            let there = self.disk.spec(name).filter(|record| !record.removed());
            let Some((instances, priority, version, role)) = self.users.wish(name) else {
                match there {
                    Some(record) => return violation("I26", format!("{name} is removed, and {record:?} is kept")),
                    None => continue,
                }
            };
            let Some(record) = there else { return violation("I26", format!("{name} is wanted, and not kept")) };
            let known = self.engine.as_ref().and_then(|engine| engine.spec(name)).map(|spec| spec.revision.to_string());
            if known.is_some_and(|known| known != record.revision) {
                return violation("I26", format!("{record:?} is kept, and not what is known"));
            }
            let key = Key::new(["rev", name, &record.revision]);
            let revision = self.disk.records.get(&key).and_then(|value| json::decode::<store::Revision>(value).ok());
            let Some(revision) = revision else {
                return violation("I26", format!("no revision is kept of {record:?}"));
            };
            let current = contents::variable(&revision.task, "VERSION") == Some(&version.to_string());
            let same = match what {
                Fault::Pause => record.paused() == self.users.is_paused(name),
                Fault::Scale => record.policy.instances == instances,
                // Later words are another one's business.
                Fault::Remove => true,
                _ => {
                    let policy = (record.policy.instances, record.policy.priority);
                    let policy = policy == (instances, priority) && self.users.has_policy(name, &record.policy);
                    policy && current && revision.role == role
                }
            };
            if !same {
                let wish = (instances, priority, version, role, self.users.is_paused(name));
                return violation(
                    "I26",
                    format!("{name} is wanted as {wish:?}, and kept are {record:?}, {revision:?}"),
                );
            }
        }
        Ok(())
    }

    /// What the engine says of its specs is what the store says of them.
    pub(super) fn as_kept(&mut self) -> Step {
        let Some(engine) = &self.engine else { return Ok(()) };
        for spec in engine.specs().filter(|spec| !spec.removed) {
            *self.ledger.judged.entry("I26").or_default() += 1;
            if self.disk.is_satisfied(&spec.name) != spec.satisfied {
                let of = |name: &String| *name == spec.name;
                let places: Vec<_> = self.disk.slots.iter().filter(|((name, _), _)| of(name)).collect();
                let tasks: Vec<_> = self.disk.instances.values().filter(|kept| of(&kept.slot.0)).collect();
                return violation("I26", format!("{spec:?} is kept with {places:?} and {tasks:?}"));
            }
            if !spec.satisfied {
                // That it is again has to be told again.
                self.words.satisfied.remove(&spec.name);
                self.words.seen.remove(&spec.name);
            }
        }
        Ok(())
    }

    /// L7: a process that isn't given what is wanted has it from the store; what it is given is what users say.
    pub(super) fn takes_over(&mut self, given: bool) -> Step {
        let Some(engine) = self.engine.as_ref().filter(|_| !self.ledger.terminal && !self.words.own) else {
            return Ok(());
        };
        if given {
            self.words.said.extend(self.users.wishes.keys().map(|name| (name.clone(), Fault::Apply)));
            return Ok(());
        }
        let lost = |name: &&String| engine.spec(name).is_none_or(|spec| spec.removed);
        match self.disk.wanted_specs().find(lost).filter(|_| !self.disk.is_ending()) {
            Some(name) => violation("L7", format!("{name} is kept, and isn't known to the next process")),
            None => Ok(()),
        }
    }

    /// What was told adds up to what there is.
    pub(super) fn adds_up(&mut self) -> Step {
        let Some(engine) = &self.engine else { return Ok(()) };
        if let Some(spec) = engine.specs().find(|spec| spec.satisfied && !self.words.satisfied.contains(&spec.name)) {
            return violation("I26", format!("nobody was told that it is satisfied: {spec:?}"));
        }
        let running = |task: &Task| task.state == State::Running && !self.words.alive.contains(&task.task_id);
        if let Some(task) = engine.tasks().find(running) {
            return violation("I26", format!("nobody was told that {task} runs"));
        }
        let ready = |task: &Task| task.ready && task.state == State::Running;
        if let Some(task) = engine.tasks().find(|task| ready(task) && !self.words.ready.contains(&task.task_id)) {
            return violation("I26", format!("nobody was told that {task} is ready"));
        }
        match self.words.alive.iter().find(|id| engine.find_task(id).is_none()) {
            Some(id) => violation("I26", format!("nobody was told that {id} has ended")),
            None => Ok(()),
        }
    }
}
