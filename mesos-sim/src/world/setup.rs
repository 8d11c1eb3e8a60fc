//! A world for engines of a user's own: what is under test is made by the user, and judged by the user as well.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesos_core::Key;
use mesos_core::engine::{Engine, Event, RecoverError};
use mesos_proto::v1;

use super::{Step, World, violation};
use crate::agent::is_terminal;
use crate::script::Scripts;
use crate::{AgentOptions, Script};

type Make = dyn Fn(Start<'_>) -> Result<Engine, RecoverError> + Send + Sync;
type Action = dyn Fn(&mut Engine, u64) + Send + Sync;
type React = dyn Fn(&mut Engine, &Event) + Send + Sync;
type Invariant = dyn Fn(&View<'_>) -> Result<(), String> + Send + Sync;

/// What is simulated in place of random specs and users: engines, actions and invariants of one's own.
///
/// Every fault that isn't a user's doing still happens as the seed says, and two that are: tasks that were given up are
/// killed ([`Fault::KillGhost`](super::Fault::KillGhost)), and the scheduler is told to leave, and started again
/// ([`Fault::Leave`](super::Fault::Leave)). In the end each spec that the engine then has is resumed and retried, and
/// must be satisfied: there have to be agents enough for that, and tasks that run, which [`script`](Self::script) says
/// (by default a command such as `sleep infinity`). An instance of which there may not be
/// [two](mesos_core::engine::Duplicates::Forbid) is then declared dead if its machine is gone for good.
///
/// # What is judged
///
/// What specs say, and which commands are given, isn't known to the world here. So it judges what has to hold whatever
/// they are: that offers and statuses are answered once and as they should be, what is durable before what, that
/// nothing runs twice that must not, that an end is for ever, that what is launched is what its revision says; and in
/// the end, that every spec is satisfied, nothing else runs, and nothing waits for an acknowledgement.
///
/// Not judged are who takes whose place, and how many at a time (I7 and I8, but that what is ready or overdue has had
/// its time); back-off (nearly all of I11); grace periods and how KILLs are repeated (part of I9, and I15);
/// constraints, priorities, and that an agent is avoided soon enough (part of I10, and I16); that offers are wanted as
/// long as something waits (part of I12), and how long what is left of them is refused (part of I21); how many places
/// there are (part of I17); that commands take effect, what users have wanted, and what an end counts as (part of I25
/// and I26); and of an idle engine, how often it asks, what it remembers, and that a fresh one would know the same
/// (part of I18 and L6). What matters to you of these can be an [invariant](Self::invariant) of yours.
///
/// What each of them says is in [`INVARIANTS`](super::cells::INVARIANTS), and how often it had something to look at, if
/// not always all of it, in [`Report::judged`](super::Report::judged).
///
/// # Example
///
/// ```
/// use mesos_core::Resources;
/// use mesos_core::engine::{Config, Engine, TaskSpec};
/// use mesos_core::scheduler::{self, Framework};
/// use mesos_sim::world::{Settings, Setup, run};
///
/// let setup = Setup::new(|start| {
///     let client = scheduler::Config::new(Framework::new("shop"), start.masters).expect("masters");
///     let web = TaskSpec::new("web")
///         .command("sleep infinity")
///         .resources(Resources::new().cpus(0.5).mem(64.0))
///         .instances(3);
///     Engine::new(Config::new(client), [web], start.records, start.seed)
/// });
/// let settings = Settings::default().setup(setup).faulty(std::time::Duration::from_secs(300));
/// assert_eq!(run(7, &settings).violation, None);
/// ```
#[derive(Clone)]
pub struct Setup {
    pub(super) make: Arc<Make>,
    pub(super) actions: Vec<(Duration, Arc<Action>)>,
    react: Option<Arc<React>>,
    invariants: Vec<(&'static str, Arc<Invariant>)>,
    finals: Vec<(&'static str, Arc<Invariant>)>,
    pub(super) agents: Option<Vec<AgentOptions>>,
    pub(super) script: Scripts,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("agents", &self.agents).finish_non_exhaustive()
    }
}

/// What a process of the scheduler starts with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Start<'a> {
    /// Where the masters are.
    pub masters: &'a [String],
    /// What the store holds.
    pub records: Vec<(Key, Bytes)>,
    /// The engine's chance.
    pub seed: u64,
}

/// What there is to see after a step.
#[derive(Debug)]
pub struct View<'a> {
    world: &'a World,
}

/// A task that really runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Living<'a> {
    /// Where.
    pub hostname: &'a str,
    /// Its id.
    pub task_id: &'a str,
    /// What its agent says of it.
    pub state: v1::TaskState,
}

impl<'a> View<'a> {
    /// How much time has passed.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.world.now
    }

    /// Whether nothing goes wrong any more.
    #[must_use]
    pub const fn is_calm(&self) -> bool {
        self.world.calm
    }

    /// The engine; `None` while its process is dead.
    #[must_use]
    pub const fn engine(&self) -> Option<&'a Engine> {
        self.world.engine.as_ref()
    }

    /// What really runs, whatever the engine believes: by agent.
    pub fn living(&self) -> impl Iterator<Item = Living<'a>> + use<'a> {
        self.world.cluster.agents.iter().flat_map(|agent| {
            let tasks = agent.tasks.iter().filter(|(_, task)| !is_terminal(task.state));
            tasks.map(|((_, id), task)| Living { hostname: &agent.info.hostname, task_id: id, state: task.state })
        })
    }
}

impl Setup {
    /// Engines made by this function: one at the start, and another one after each crash, with what the store then
    /// holds.
    ///
    /// Where there is one instance, its process is ended ten seconds after a terminal event as by a crash, and another
    /// one follows. If the framework had been removed ([`Fatal`](Event::Fatal) with
    /// [`Removed`](mesos_core::scheduler::FatalReason::Removed), or [`Stopped`](Event::Stopped) with `removed`),
    /// somebody has cleared the store by then, and the next one starts with nothing.
    #[must_use]
    pub fn new(make: impl Fn(Start<'_>) -> Result<Engine, RecoverError> + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            actions: Vec::new(),
            react: None,
            invariants: Vec::new(),
            finals: Vec::new(),
            agents: None,
            script: Scripts(Arc::new(Script::from_task)),
        }
    }

    /// Does something to the engine from time to time, as long as things go wrong; the number comes from the seed. May
    /// be called several times.
    ///
    /// Each wait is between a fiftieth of `mean` and twice of it, short ones as likely as long ones (log-uniform): on
    /// average 0.43 of `mean`, which is a second at least.
    #[must_use]
    pub fn action(mut self, mean: Duration, action: impl Fn(&mut Engine, u64) + Send + Sync + 'static) -> Self {
        self.actions.push((mean.max(Duration::from_secs(1)), Arc::new(action)));
        self
    }

    /// Something that must hold after every step that changes anything; the error says what doesn't. May be called
    /// several times.
    #[must_use]
    pub fn invariant(
        mut self,
        name: &'static str,
        holds: impl Fn(&View<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.invariants.push((name, Arc::new(holds)));
        self
    }

    /// What the program does about each event, as soon as it is told: the last one given counts. What it remembers beside
    /// the engine would outlive its process, and make runs differ.
    ///
    /// Since what it says isn't known, little is judged of delays and repeated kills near an event.
    #[must_use]
    pub fn on_event(mut self, react: impl Fn(&mut Engine, &Event) + Send + Sync + 'static) -> Self {
        self.react = Some(Arc::new(react));
        self
    }

    /// Something that must have come about in the end, once all was well for long enough, and that stays so; the error says
    /// what hasn't. May be called several times.
    #[must_use]
    pub fn finally(
        mut self,
        name: &'static str,
        holds: impl Fn(&View<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.finals.push((name, Arc::new(holds)));
        self
    }

    /// These agents. Default: two to six large ones.
    #[must_use]
    pub fn agents(mut self, agents: impl IntoIterator<Item = AgentOptions>) -> Self {
        self.agents = Some(agents.into_iter().collect());
        self
    }

    /// How tasks fare. Default: [`Script::from_task`].
    #[must_use]
    pub fn script(mut self, script: impl Fn(&v1::TaskInfo) -> Script + Send + Sync + 'static) -> Self {
        self.script = Scripts(Arc::new(script));
        self
    }
}

impl World {
    /// The user's invariants.
    pub(super) fn judge_own(&mut self) -> Step {
        self.judge_those(|setup| &setup.invariants)
    }

    /// And what the user wants in the end.
    pub(super) fn judge_finally(&mut self) -> Step {
        self.judge_those(|setup| &setup.finals)
    }

    fn judge_those(&mut self, those: impl Fn(&Setup) -> &Vec<(&'static str, Arc<Invariant>)>) -> Step {
        let Some(those) = self.setup.as_ref().map(those) else { return Ok(()) };
        let view = View { world: self };
        let bad = those.iter().find_map(|(name, holds)| holds(&view).err().map(|what| (*name, what)));
        let names: Vec<_> = those.iter().map(|(name, _)| *name).collect();
        for name in names {
            *self.ledger.judged.entry(name).or_default() += 1;
        }
        match bad {
            Some((name, what)) => violation(name, what),
            None => Ok(()),
        }
    }

    /// The user's program is told, by the process that is under way.
    pub(super) fn react(&mut self, event: &Event) {
        let Some(react) = self.setup.as_ref().and_then(|setup| setup.react.clone()) else { return };
        if let Some(engine) = &mut self.engine {
            react(engine, event);
            self.ledger.commanded(self.now);
        }
    }

    /// A user does something.
    pub(super) fn act(&mut self, number: usize) -> Step {
        let Some((mean, action)) = self.setup.as_ref().and_then(|setup| setup.actions.get(number)).cloned() else {
            return Ok(());
        };
        if self.calm {
            return Ok(());
        }
        self.plan_action(number, mean);
        self.feed(mesos_core::Input::Timeout)?;
        let chance = self.rng.next();
        let Some(engine) = self.engine.as_mut().filter(|_| !self.ledger.terminal) else { return Ok(()) };
        self.ledger.commanded(self.now);
        action(engine, chance);
        self.note(|| format!("!! action {number}"));
        self.drain()
    }

    pub(super) fn plan_action(&mut self, number: usize, mean: Duration) {
        let wait = self.rng.time(mean / 50, mean * 2);
        self.after(wait, super::Happening::Act(number));
    }
}

#[cfg(test)]
mod tests {
    use mesos_core::Resources;
    use mesos_core::engine::{Config, Duplicates, TaskSpec};
    use mesos_core::scheduler::{self, Framework};

    use super::*;
    use crate::world::{Fault, Settings, run};

    fn setup(configure: impl Fn(Config) -> Config + Send + Sync + 'static) -> Setup {
        Setup::new(move |start| {
            let client = scheduler::Config::new(Framework::new("shop"), start.masters).unwrap();
            let small = Resources::new().cpus(0.5).mem(64.0);
            let web = TaskSpec::new("web").command("exec sleep infinity").resources(small.clone()).scalable(true);
            let ledger =
                TaskSpec::new("ledger").command("exec sleep infinity").resources(small).duplicates(Duplicates::Forbid);
            Engine::new(configure(Config::new(client)), [web, ledger.instances(2)], start.records, start.seed)
        })
    }

    fn settings(setup: Setup) -> Settings {
        Settings::default().setup(setup).faulty(Duration::from_secs(1200))
    }

    // Nobody but an operator knows that they are dead.
    #[test]
    fn what_must_not_run_twice_outlives_its_machine() {
        let settings = settings(setup(|config| config)).only([Fault::AgentReplaced]);
        for seed in 0..6 {
            assert_eq!(run(seed, &settings).violation, None, "seed {seed}");
        }
    }

    #[test]
    fn a_program_hears_what_it_is_told() {
        let more = |engine: &mut Engine, event: &Event| {
            if matches!(event, Event::SpecSatisfied { spec } if spec == "web") {
                let _ = engine.scale("web", 4);
            }
        };
        let four = |view: &View<'_>| match view.living().filter(|task| task.task_id.contains(".web-")).count() {
            4.. => Ok(()),
            few => Err(format!("{few} run")),
        };
        let heard = settings(setup(|config| config).on_event(more).finally("four", four));
        let unheard = settings(setup(|config| config).finally("four", four));
        for seed in 0..4 {
            let report = run(seed, &heard);
            assert_eq!(report.violation, None, "seed {seed}");
            assert_eq!(report.judged.get("four"), Some(&2));
            assert_eq!(report.digest, run(seed, &heard).digest, "seed {seed}");
        }
        assert_eq!(run(0, &unheard).violation.map(|violation| violation.invariant), Some("four"));
    }

    #[test]
    fn acknowledgements_are_the_programs() {
        let answers = |engine: &mut Engine, event: &Event| {
            if let Event::Unacknowledged(receipt) = event {
                engine.acknowledge(receipt.clone());
            }
        };
        let manual = || setup(|config| config.manual_acknowledgement(true));
        for seed in 0..4 {
            assert_eq!(run(seed, &settings(manual().on_event(answers))).violation, None, "seed {seed}");
        }
        assert!(run(0, &settings(manual())).violation.is_some());
    }
}
