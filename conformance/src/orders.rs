//! Orders that a scheduler of the tests gives to itself, as a seed decides.

use std::time::Duration;

use mesos_tokio::mesos_core::engine::{CommandError, Duplicates, Engine, SpecStatus, Task, TaskSpec};
use mesos_tokio::mesos_core::{Persist, Resources, Store, StoreFailure};

use crate::{Dice, RollCall};

/// Jobs that are done are taken away again once there are so many.
const JOBS_KEPT: usize = 30;

/// What comes and goes: services that are scaled, restarted and killed, and jobs that are done once.
#[derive(Clone, Debug)]
pub struct Orders {
    roll: RollCall,
    services: u32,
    most: u32,
    life: String,
    given: u32,
    dice: Dice,
}

/// There are never two of an instance, whatever happens: not during a rollout, and not while an agent is away.
fn spec(name: &str, command: String, instances: u32) -> TaskSpec {
    TaskSpec::new(name)
        .command(command)
        .resources(Resources::new().cpus(0.1).mem(32.0))
        .instances(instances)
        .min_ready(Duration::ZERO)
        .duplicates(Duplicates::Forbid)
}

/// Whether a spec is one of the services, which run for ever.
fn is_service(name: &str) -> bool {
    name.starts_with("web")
}

impl Orders {
    /// For so many services of so many instances each at most. Jobs are named after the life in which they are ordered,
    /// which no other has the name of.
    #[must_use]
    pub fn new(roll: &RollCall, services: u32, most: u32, life: impl Into<String>, seed: u64) -> Self {
        Self { roll: roll.clone(), services, most, life: life.into(), given: 0, dice: Dice::new(seed) }
    }

    /// The services, to begin with.
    pub fn first(&self) -> impl Iterator<Item = TaskSpec> + '_ {
        (0..self.services).map(|number| {
            let name = format!("web-{number}");
            let command = self.roll.signed(&name, "exec sleep 10000");
            spec(&name, command, self.most * 2 / 3).scalable(true)
        })
    }

    /// A job that takes a moment, and sometimes fails at first. What it has done can be counted.
    fn job(&mut self, name: &str) -> TaskSpec {
        let (roll, dice) = (&self.roll, &mut self.dice);
        let (moment, instances, fails) = (dice.below(4), 1 + dice.below(2) as u32, dice.below(3) == 0);
        let first = if fails { roll.once(name, "exit 1") } else { ":".to_owned() };
        let work = format!("{first}; sleep 0.{moment}; {}", roll.done(name));
        let job = spec(name, roll.signed(name, &work), instances).job();
        job.backoff(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// How long until the next one.
    pub fn pause(&mut self) -> Duration {
        Duration::from_millis(30) + self.dice.millis(300)
    }

    /// Gives one, and says which.
    ///
    /// # Errors
    ///
    /// What it refers to may be gone.
    pub fn give(&mut self, engine: &mut Engine) -> Result<String, CommandError> {
        self.given += 1;
        let any = self.dice.below(1000) as usize;
        let pick = |mut tasks: Vec<Task>| (!tasks.is_empty()).then(|| tasks.swap_remove(any % tasks.len()));
        let service = format!("web-{}", self.dice.below(u64::from(self.services)));
        let task = pick(engine.tasks().filter(|task| task.spec == service).collect());
        let done = |spec: &SpecStatus| !is_service(&spec.name) && spec.finished == spec.wanted && !spec.removed;
        let all_done = engine.specs().filter(done).count();
        let done = engine.specs().find(done);
        Ok(match (self.dice.below(8), task, done) {
            (5, _, Some(done)) => remove(engine, done)?,
            (6 | 7, _, Some(done)) if all_done >= JOBS_KEPT => remove(engine, done)?,
            (0 | 1, ..) => {
                let instances = self.dice.below(u64::from(self.most) + 1) as u32;
                engine.scale(&service, instances)?;
                format!("scale {service} {instances}")
            }
            (2, Some(task), _) => {
                engine.restart_instance(&service, task.index)?;
                format!("restart {service} {}", task.index)
            }
            (3, Some(task), _) => {
                engine.kill(&task.task_id)?;
                format!("kill {}", task.task_id)
            }
            (4, ..) => {
                engine.restart(&service)?;
                format!("restart {service}")
            }
            _ => {
                let name = format!("job-{}-{}", self.life, self.given);
                let job = self.job(&name);
                engine.apply(job)?;
                format!("apply {name}")
            }
        })
    }

    /// Whether all that was ordered is there, jobs done included.
    #[must_use]
    pub fn fulfilled(engine: &Engine) -> bool {
        // Before its first input an engine has no spec; and a job that runs satisfies its spec already.
        let good = |spec: SpecStatus| {
            spec.satisfied && !spec.removed && (is_service(&spec.name) || spec.finished == spec.wanted)
        };
        engine.specs().count() > 0 && engine.specs().all(good)
    }

    /// Whether every job on record has done its work, and no job of all times has done it twice; what is wrong, if not.
    #[must_use]
    pub fn work_missing_or_doubled(engine: &Engine, roll: &RollCall) -> Option<String> {
        let work = roll.work();
        let mut wrong: Vec<String> = work
            .iter()
            .filter(|(_, times)| **times != 1)
            .map(|(job, times)| format!("{job:?} done {times} times"))
            .collect();
        for spec in engine.specs().filter(|spec| !is_service(&spec.name)) {
            let done = work.keys().filter(|(name, _)| *name == spec.name).count() as u32;
            if spec.finished != spec.wanted || done != spec.wanted {
                wrong.push(format!("{done} have done their work of {spec:?}"));
            }
        }
        (!wrong.is_empty()).then(|| wrong.join(", "))
    }
}

fn remove(engine: &mut Engine, spec: SpecStatus) -> Result<String, CommandError> {
    engine.remove(&spec.name)?;
    Ok(format!("remove {}", spec.name))
}

/// A store that takes its time, before it writes and before it says so: there is much to be killed in between.
#[derive(Debug)]
pub struct Slow<S> {
    store: S,
    dice: Dice,
}

impl<S> Slow<S> {
    /// This store, slowed down.
    #[must_use]
    pub const fn new(store: S, seed: u64) -> Self {
        Self { store, dice: Dice::new(seed) }
    }
}

impl<S: Store> Store for Slow<S> {
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        tokio::time::sleep(self.dice.millis(60)).await;
        let result = self.store.apply(batch).await;
        tokio::time::sleep(self.dice.millis(30)).await;
        result
    }
}
