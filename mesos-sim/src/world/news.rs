//! I26: what was told last of each task, place, spec and rollout is how things stand, once nothing is being written; and
//! nothing is told twice.

use std::collections::{BTreeMap, BTreeSet};

use mesos_core::engine::{Engine, Event, Held, Revision, RolloutStage, State, Task};
use mesos_proto::store::{Instance, instance, slot};

use super::disk::Disk;
use super::{Step, World, violation};

/// What the present process has told last.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The states of tasks,
    tasks: BTreeMap<String, State>,
    /// and those that run and aren't healthy.
    unhealthy: BTreeSet<String>,
    /// Those that were given up or ended at some time. Of what comes back it was told before, or by another process, or not.
    gone: BTreeSet<String>,
    launched: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// Places that are given up.
    held: BTreeSet<(String, u32)>,
    /// Specs with such.
    degraded: BTreeSet<String>,
    rollouts: BTreeMap<String, (Revision, RolloutStage)>,
    fault: Option<String>,
}

/// Whether they are the same, whatever a task is being killed for.
fn is_same(a: State, b: State) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

/// What a record shows of a task that a process takes over.
const fn state(record: instance::State) -> State {
    match record {
        instance::State::Prepared => State::Prepared,
        instance::State::Launching => State::Launching,
        instance::State::Staged => State::Staged,
        instance::State::Running => State::Running,
        instance::State::Unreachable => State::Unreachable,
        instance::State::Doubtful => State::Doubtful,
        instance::State::Killing => State::Killing(mesos_core::engine::KillReason::User),
    }
}

impl News {
    /// A new process knows what the store kept.
    pub(super) fn started(&mut self, disk: &Disk) {
        let records = || disk.instances.iter().map(|(id, kept)| (id.clone(), &kept.record));
        let unhealthy = |record: &Instance| record.state() == instance::State::Running && record.healthy == Some(false);
        let unhealthy = records().filter(|(_, record)| unhealthy(record)).map(|(id, _)| id).collect();
        let held = |slot: &mesos_proto::store::Slot| matches!(slot.mark(), slot::Mark::Exhausted | slot::Mark::Invalid);
        *self = Self {
            tasks: records().map(|(id, record)| (id, state(record.state()))).collect(),
            unhealthy,
            gone: disk.ghosts.clone(),
            held: disk.slots.iter().filter(|(_, slot)| held(slot)).map(|(place, _)| place.clone()).collect(),
            ..Self::default()
        };
    }

    /// Users no longer want a spec: nothing more is told of its rollout.
    pub(super) fn removed(&mut self, spec: &str) {
        self.rollouts.remove(spec);
    }

    pub(super) fn told(&mut self, event: &Event) {
        match event {
            Event::TaskLaunched(task) => {
                self.alive(task);
                if !self.launched.insert(task.task_id.clone()) {
                    self.fault = Some(format!("told is twice that {task} runs"));
                }
            }
            Event::TaskReturned(task) | Event::TaskUpdated(task) | Event::TaskReady(task) => self.alive(task),
            Event::TaskUnhealthy(task) => {
                self.alive(task);
                self.gone.remove(&task.task_id);
                self.unhealthy.insert(task.task_id.clone());
            }
            Event::TaskHealthy(task) => {
                self.alive(task);
                self.gone.remove(&task.task_id);
                self.unhealthy.remove(&task.task_id);
            }
            Event::TaskEnded { task, .. } | Event::TaskRemoved { task, .. } => {
                self.tasks.remove(&task.task_id);
                self.unhealthy.remove(&task.task_id);
                self.gone.insert(task.task_id.clone());
                if !self.ended.insert(task.task_id.clone()) {
                    self.fault = Some(format!("told is twice that {task} is gone"));
                }
            }
            Event::InstanceHeld { spec, index, .. } => drop(self.held.insert((spec.clone(), *index))),
            Event::SpecDegraded { spec } => drop(self.degraded.insert(spec.clone())),
            Event::SpecSatisfied { spec } => drop(self.degraded.remove(spec)),
            Event::SpecRemoved { spec } => {
                self.removed(spec);
                self.degraded.remove(spec);
                self.held.retain(|(name, _)| name != spec);
            }
            Event::Rollout { spec, revision, stage, .. } => {
                let open = self.rollouts.get(spec).map(|(_, stage)| *stage);
                let stage = match stage {
                    // It is what it was before.
                    RolloutStage::Progress | RolloutStage::Stalled => open.unwrap_or(*stage),
                    stage => *stage,
                };
                self.rollouts.insert(spec.clone(), (*revision, stage));
            }
            _ => {}
        }
    }

    fn alive(&mut self, task: &Task) {
        self.tasks.insert(task.task_id.clone(), task.state);
        self.ended.remove(&task.task_id);
    }

    /// Whether that is how things stand; the first difference. What has passed in between has to be told again.
    fn differs(&mut self, engine: &Engine, own: bool) -> Option<String> {
        if let Some(fault) = self.fault.take() {
            return Some(fault);
        }
        for task in engine.tasks() {
            let told = self.tasks.get(&task.task_id);
            let silent = matches!(task.state, State::Prepared | State::Launching);
            if !silent && !told.is_some_and(|told| is_same(*told, task.state)) {
                return Some(format!("{task} is {:?}, and told was {told:?}", task.state));
            }
            let ill = task.healthy == Some(false);
            let certain = task.state == State::Running && !self.gone.contains(&task.task_id);
            if certain && ill != self.unhealthy.contains(&task.task_id) {
                return Some(format!("nobody was told that the health of {task} is {:?}", task.healthy));
            }
        }
        for spec in engine.specs().filter(|spec| !spec.removed) {
            let name = &spec.name;
            for place in engine.instances(name) {
                let at = (name.clone(), place.index);
                let held = place.wanted && matches!(place.held, Some(Held::Exhausted | Held::Invalid));
                if held && !self.held.contains(&at) {
                    return Some(format!("nobody was told that {place:?} of {name} is given up"));
                }
                if !held {
                    self.held.remove(&at);
                }
            }
            if spec.held > 0 && !self.degraded.contains(name) {
                return Some(format!("nobody was told that something is given up of {spec:?}"));
            }
            if spec.held == 0 {
                self.degraded.remove(name);
            }
            let open = self.rollouts.get(name).filter(|(_, stage)| *stage != RolloutStage::Done);
            let told = open.is_some_and(|(revision, stage)| {
                *revision == spec.revision && (*stage == RolloutStage::Paused) == spec.paused
            });
            // Of a spec that was removed in between, and given again, none was said to be over.
            let over = spec.outdated == 0 && spec.satisfied && !own;
            if spec.outdated > 0 && !told || over && open.is_some() {
                return Some(format!("told was {open:?} of the rollout of {spec:?}"));
            }
        }
        None
    }
}

impl World {
    /// What was told last is so.
    pub(super) fn as_told(&mut self) -> Step {
        let Some(engine) = &self.engine else { return Ok(()) };
        match self.words.news.differs(engine, self.words.own) {
            Some(what) => violation("I26", what),
            None => Ok(()),
        }
    }
}
