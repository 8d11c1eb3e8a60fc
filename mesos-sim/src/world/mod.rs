//! The task engine of `mesos-core` in a simulated world: a cluster, a network, a store, users and operators, all in
//! virtual time and all chance from one seed, so that whatever goes wrong can be seen again.
//!
//! A run has two phases. In the first, things go wrong ([`Fault`]); after each step the invariants of safety are judged
//! from outside. Then all is mended, one more call is lost, and what the users wanted must come about.
//!
//! For engines of your own there are [`Setup`], [`Settings`], [`run`] and [`check`]. [`cells`] and [`run_executors`]
//! are for who works on this project: what the engine's tests have reached, and the same for its executors.
//!
//! Not simulated: records that can't be read, groups of tasks and own executors. In a third of the runs without a setup
//! there are two instances of the scheduler.

// Each judge has a file: `ledger` (calls, offers, acknowledgements, what really runs), `kills`, `inverse`, `past` (what
// was, and forbids something for ever), `places` and `succession` (who takes whose place, and who comes first), `ends`
// (what an end counts as, and what is told and kept of it), `strikes` (which agent is avoided), `told` (what was
// promised, and what is done at once), `contents` and `variety` (what is launched), `words` (what users say and are
// told), `rest` (what remains when nothing happens any more).
//
// Of two instances, `instances` says who leads, `session` what the servers of the store know of it, and `deposed`
// judges the one that was replaced and may not know.

pub mod cells;
mod contents;
mod deposed;
mod disk;
mod ends;
mod executors;
mod fault;
mod instances;
mod inverse;
mod kills;
mod ledger;
mod net;
mod news;
mod operators;
mod past;
mod places;
mod rest;
mod run;
mod scheduler;
mod session;
mod setup;
mod strikes;
mod succession;
mod table;
mod timers;
mod told;
mod users;
mod variety;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::engine::Engine;

use crate::rng::Rng;
use crate::{AgentOptions, Cluster, Exit, Options, agent};
pub use executors::{ExecutorReport, run_executors};
pub use fault::Fault;
pub use run::{Failed, Report, Violation, check, run};
pub use setup::{Living, Setup, Start, View};

use disk::Disk;
use fault::Plan;
use ledger::Ledger;
use net::{Exchange, Piece};
use past::Past;
use users::Users;

/// When a world begins, in seconds since 1970.
const BEGINNING: u64 = 1_700_000_000;
/// How long everything may take to be as wanted once all is well: the longest back-off, kills and questions repeated
/// at their longest intervals, and a lost REVIVE.
const SETTLED: Duration = Duration::from_secs(20 * 60);
/// And so long if meanwhile something is being done: where tasks have minutes to end, five of those, one after another,
/// besides one that hung in its start; elsewhere half as long again for that one (simulated: seed 3000008009).
const SETTLED_AT_MOST: Duration = Duration::from_secs(80 * 60);
/// And so long nothing happens then: two intervals of the implicit question but for the time to settle.
const QUIET: Duration = Duration::from_secs(110 * 60);
/// So long after a batch left without an answer no offer is kept for it any more.
const HUNG: Duration = Duration::from_secs(15);
/// More steps are an endless loop.
const STEPS: u64 = 3_000_000;

/// What to simulate.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// How long things go wrong; by default between 10 and 190 minutes, by the seed.
    pub faulty: Option<Duration>,
    /// Only these faults, see [`only`](Self::only()); empty: by the seed.
    pub only: BTreeSet<Fault>,
    /// Whether to write down what happens.
    pub trace: bool,
    /// What is simulated in place of random specs and users.
    pub setup: Option<Setup>,
    /// How many instances of the scheduler there are, one or two; by default as the seed says, and one with a setup.
    pub instances: Option<u32>,
    /// Whether random specs differ in what they need, where they may be and how they end; by default as the seed says.
    pub varied: Option<bool>,
}

impl Settings {
    /// Things go wrong for so long.
    #[must_use]
    pub const fn faulty(mut self, time: Duration) -> Self {
        self.faulty = Some(time);
        self
    }

    /// Only these faults happen, each at a rate that the seed draws: a short run may be over before one comes, and of
    /// some only others are the occasion ([`LongDead`](Fault::LongDead) says how long a crashed scheduler stays dead).
    /// What has come is in [`Report::faults`]. With a [setup](Self::setup()) users' faults never come, whoever names
    /// them, but the two that [`Setup`] speaks of.
    #[must_use]
    pub fn only(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.only.extend(faults);
        self
    }

    /// So many instances of the scheduler, one or two.
    #[must_use]
    pub const fn instances(mut self, instances: u32) -> Self {
        self.instances = Some(instances);
        self
    }

    /// Random specs differ in what they need, where they may be and how they end, or are alike.
    #[must_use]
    pub const fn varied(mut self, varied: bool) -> Self {
        self.varied = Some(varied);
        self
    }

    /// Simulates this in place of random specs and users.
    #[must_use]
    pub fn setup(mut self, setup: Setup) -> Self {
        self.setup = Some(setup);
        self
    }

    /// Writes down what happens.
    #[must_use]
    pub const fn trace(mut self, trace: bool) -> Self {
        self.trace = trace;
        self
    }
}

/// What is to happen at some moment.
#[derive(Debug)]
enum Happening {
    /// A request gets to its master.
    Arrive(u64),
    /// Something gets to the scheduler.
    Deliver(u64, Piece),
    /// A master learns that the other side has closed.
    Closed(u64),
    /// A batch is durable.
    Durable(u64, mesos_core::Persist),
    /// The scheduler is told about its batch.
    Told(u64, mesos_core::Ticket, Option<mesos_core::StoreFailure>),
    /// Something about one of two instances.
    Instance(instances::Turn),
    /// The scheduler's process starts.
    Start,
    Fault(Fault),
    /// The scheduler's process ends after a terminal event.
    Crash,
    HealAgent(usize),
    RestartAgent(usize),
    /// A user's action.
    Act(usize),
    RestartMaster(usize),
    /// A drained agent is used again, once its tasks have ended.
    Reactivate(usize),
    MachineDown(usize),
    MachineUp(usize),
    /// Maintenance is called off.
    Withdraw(usize),
    /// The master takes all users' tasks again.
    Allow,
    /// A health check passes again.
    Healthy(crate::TaskName),
    /// The operators say of tasks that went with their agents that they are dead.
    Bury,
    /// From now on nothing goes wrong any more.
    Calm,
    /// Now everything must be as wanted.
    Settled,
    /// Now nothing may happen any more.
    Quiet,
}

#[derive(Debug)]
struct World {
    rng: Rng,
    setup: Option<Setup>,
    now: Duration,
    plan: Plan,
    queue: BTreeMap<(Duration, u64), Happening>,
    sequence: u64,
    steps: u64,
    cluster: Cluster,
    masters: usize,
    gone: BTreeSet<usize>,
    /// How many tasks an agent has room for, if it is small.
    room: Option<u32>,
    /// Their machines are down.
    down: BTreeSet<usize>,
    cells: cells::Cells,
    /// The tasks of each ACCEPT under way.
    accepts: BTreeMap<u64, Vec<String>>,
    places: places::Places,
    /// Once all is well, one call is lost all the same: this many later; none is left when it has been.
    one_more: Option<u64>,
    engine: Option<Engine>,
    process: u64,
    deadline: Option<Duration>,
    exchanges: BTreeMap<u64, Exchange>,
    /// By process and number.
    by_engine: BTreeMap<(u64, mesos_core::ExchangeId), u64>,
    next_exchange: u64,
    disk: Disk,
    /// The next process starts with nothing.
    wipe: bool,
    /// A batch without answer.
    writing: bool,
    /// Something isn't known to be durable.
    unsaved: bool,
    /// When the first batch left that isn't known to be durable.
    saved_at: Duration,
    /// When the framework's id was last known to be durable that wasn't before: what is offered waits for that.
    sure_at: Duration,
    /// When what is being put out was decided: before a standstill, perhaps.
    decided_at: Duration,
    /// When the store last answered: what is written in that moment has waited for it.
    answered_at: Option<Duration>,
    users: Users,
    ledger: Ledger,
    past: Past,
    words: words::Words,
    /// How engines are made.
    config: scheduler::Make,
    instances: instances::Instances,
    /// Chance for what came later than most: without it, all is as it was.
    apart: Rng,
    /// How far the wall clock of the scheduler is off, in seconds.
    skew: i64,
    /// That which the scheduler was last told.
    told_skew: i64,
    /// The next task that is launched hangs in its start.
    hangs: bool,
    /// The tasks that there were when all was as wanted.
    settled_tasks: BTreeSet<String>,
    /// All has to be as wanted by then.
    settles_by: Duration,
    calm: bool,
    over: bool,
    changed: bool,
    digest: u64,
    trace: Option<Vec<String>>,
}

type Step = Result<(), Violation>;

fn violation<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, what: what.into() })
}

impl World {
    fn new(seed: u64, settings: &Settings) -> Result<Self, Violation> {
        let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
        let mut plan = Plan::draw(&mut rng, &settings.only);
        if settings.setup.is_some() {
            plan.without_users();
        }
        // Chance of its own: with one instance, all is as it was when there was one only.
        let mut apart = Rng::new(seed.wrapping_mul(0x9e6c_63d0_676a_9a99) ^ 0x2);
        // Drawn in any case: a seed that says two is the same with `--instances 2`, as which `seeds.txt` keeps it.
        let says_two = apart.chance(0.35) && settings.setup.is_none();
        let two = match settings.instances {
            Some(instances) => instances > 1,
            None => says_two || settings.only.iter().any(|fault| fault.needs_two()),
        };
        if two {
            plan.draw_two(&mut apart, &settings.only);
        }
        let instances = instances::Instances::new(two, &mut apart);
        // The same for specs that differ.
        let mut variety = Rng::new(seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ 0x3);
        let says_varied = variety.chance(0.5);
        let varied = settings.varied.unwrap_or(says_varied) && settings.setup.is_none();
        let masters = 1 + rng.below(3) as usize;
        // In some worlds there is room for hardly more than what is wanted.
        let room = rng.chance(0.2).then_some(3).filter(|_| settings.setup.is_none() && !varied);
        let cpus = if room.is_some() { "0.9" } else { "8" };
        let count = 2 + rng.below(5);
        let agents = (0..count).map(|n| {
            let resources = format!("cpus:{cpus};mem:2000;disk:1000;ports:[31000-31999]");
            AgentOptions::default().hostname(format!("h{n}")).resources(resources)
        });
        let agents = match settings.setup.as_ref().and_then(|setup| setup.agents.clone()) {
            Some(agents) => agents,
            None if varied => variety::agents(count, &mut variety),
            None => agents.collect(),
        };
        let slow_start = plan.strikes(&mut rng, Fault::SlowStart);
        let forgets = plan.strikes(&mut rng, Fault::GoneLate);
        let options = Options::default()
            .registry_age(Duration::from_secs(if forgets { 300 } else { 14 * 24 * 3600 }))
            .agents(agents)
            .masters(masters)
            .allocation_interval(Duration::from_secs(rng.pick(&[1, 2, 5]).unwrap_or(1)))
            .launch_delay(if slow_start { Duration::from_secs(60) } else { Duration::from_millis(rng.below(500)) })
            .election(Duration::from_secs(rng.pick(&[1, 10]).unwrap_or(1)))
            .scripted(variety::script);
        let terse = plan.has(Fault::Terse);
        if terse {
            plan.count(Fault::Terse);
        }
        let options = options.terse(terse);
        let options = match &settings.setup {
            Some(setup) => Options { scripts: Some(setup.script.clone()), ..options },
            None => options,
        };
        let authorities: Vec<String> = (0..masters).map(|n| format!("m{n}:5050")).collect();
        let cluster = Cluster::new(options, authorities.clone(), BEGINNING as f64, rng.next());
        let cluster = cluster.map_err(|error| Violation { invariant: "setup", what: error.to_string() })?;
        let users = match settings.setup {
            Some(_) => Users::default(),
            None => Users::draw(&mut rng, &mut plan, varied.then_some(variety)),
        };
        let config = scheduler::Make::draw(&mut rng, &authorities);
        let faulty = Duration::from_secs(600 + rng.below(4) * rng.below(3600));
        let mut world = Self {
            rng,
            setup: settings.setup.clone(),
            now: Duration::ZERO,
            plan,
            queue: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            cluster,
            masters,
            gone: BTreeSet::new(),
            room,
            down: BTreeSet::new(),
            cells: cells::Cells::new(),
            accepts: BTreeMap::new(),
            places: places::Places::default(),
            one_more: None,
            engine: None,
            process: 0,
            deadline: None,
            exchanges: BTreeMap::new(),
            by_engine: BTreeMap::new(),
            next_exchange: 0,
            disk: Disk::default(),
            wipe: false,
            writing: false,
            unsaved: false,
            saved_at: Duration::ZERO,
            sure_at: Duration::ZERO,
            decided_at: Duration::ZERO,
            answered_at: None,
            users,
            ledger: Ledger::default(),
            past: Past::default(),
            words: words::Words::default(),
            config,
            instances,
            apart: Rng::new(seed.wrapping_mul(0x8bb8_4b93_962e_acc9) ^ 0x3),
            skew: 0,
            told_skew: 0,
            hangs: false,
            settled_tasks: BTreeSet::new(),
            settles_by: Duration::ZERO,
            calm: false,
            over: false,
            changed: false,
            digest: 0xcbf2_9ce4_8422_2325,
            trace: settings.trace.then(Vec::new),
        };
        world.ledger.own = settings.setup.is_some();
        world.past.own = settings.setup.is_some();
        world.words.own = settings.setup.is_some();
        world.places.succession.own = settings.setup.is_some();
        let faulty = settings.faulty.unwrap_or(faulty);
        world.at(Duration::ZERO, Happening::Start);
        for (number, (mean, _)) in settings.setup.iter().flat_map(|setup| &setup.actions).enumerate() {
            world.plan_action(number, *mean);
        }
        for fault in world.plan.timed() {
            world.again(fault);
        }
        world.at(faulty, Happening::Calm);
        world.at(faulty + SETTLED, Happening::Settled);
        world.settles_by = faulty + if varied { SETTLED_AT_MOST } else { SETTLED + SETTLED / 2 };
        Ok(world)
    }

    /// Something is to happen at this moment.
    fn at(&mut self, at: Duration, what: Happening) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), what);
    }

    fn after(&mut self, wait: Duration, what: Happening) {
        self.at(self.now + wait, what);
    }

    fn again(&mut self, fault: Fault) {
        if let Some(wait) = self.plan.next(&mut self.rng, fault) {
            self.after(wait, Happening::Fault(fault));
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} {}", now.as_secs_f64(), what()));
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn run(&mut self) -> Step {
        while !self.over {
            self.steps += 1;
            if self.steps > STEPS {
                return violation("I20", format!("still busy after {STEPS} steps, at {:?}", self.now));
            }
            self.step()?;
            self.judge()?;
        }
        Ok(())
    }

    /// The next thing that happens, in the order of time.
    fn step(&mut self) -> Step {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let cluster = self.cluster.next_deadline();
        let times = [queued, cluster, self.deadline];
        let Some(next) = times.into_iter().flatten().min() else { return violation("I20", "nothing ever happens") };
        self.now = self.now.max(next);
        if queued.is_some_and(|at| at <= self.now) {
            if let Some((_, what)) = self.queue.pop_first() {
                self.cluster.advance(self.now);
                self.happens(what)?;
            }
            return self.drain_cluster();
        }
        if cluster.is_some_and(|at| at <= self.now) {
            self.cluster.advance(self.now);
            return self.drain_cluster();
        }
        self.feed(mesos_core::Input::Timeout)
    }

    fn happens(&mut self, what: Happening) -> Step {
        let Some(what) = self.divert(what)? else { return Ok(()) };
        match what {
            Happening::Arrive(exchange) => self.arrive(exchange),
            Happening::Deliver(exchange, piece) => self.deliver(exchange, piece),
            Happening::Closed(exchange) => {
                self.server_closed(exchange);
                Ok(())
            }
            Happening::Durable(process, batch) => self.durable(process, &batch),
            Happening::Told(process, ticket, failure) => self.told(process, ticket, failure),
            Happening::Instance(turn) => self.turn(turn),
            Happening::Start => self.start(),
            Happening::Fault(fault) => {
                self.again(fault);
                if self.calm { Ok(()) } else { self.fault(fault) }
            }
            Happening::Crash => {
                if self.ledger.terminal {
                    self.crash();
                }
                Ok(())
            }
            Happening::Act(number) => self.act(number),
            Happening::HealAgent(index) => {
                self.note(|| format!("agent {index} is healed"));
                if self.is_used(index) {
                    self.cluster.heal_agent(index);
                }
                Ok(())
            }
            Happening::RestartAgent(index) => {
                self.note(|| format!("agent {index} is started"));
                if self.is_used(index) {
                    self.cluster.restart_agent(index);
                }
                Ok(())
            }
            Happening::RestartMaster(index) => {
                self.note(|| format!("master {index} is started"));
                self.cluster.restart_master(index);
                Ok(())
            }
            Happening::Reactivate(index) => {
                self.reactivate(index);
                Ok(())
            }
            Happening::MachineDown(index) => {
                self.machine_down(index);
                Ok(())
            }
            Happening::MachineUp(index) => {
                self.machine_up(index);
                Ok(())
            }
            Happening::Withdraw(index) => {
                self.cluster.schedule_maintenance(index, None);
                Ok(())
            }
            Happening::Allow => {
                self.cluster.forbid_user(None);
                Ok(())
            }
            Happening::Healthy(task) => {
                self.cluster.health(&task, true);
                Ok(())
            }
            Happening::Bury => self.bury(),
            Happening::Calm => self.mend(),
            Happening::Settled if self.is_under_way() && self.now < self.settles_by => {
                self.after(Duration::from_secs(600), Happening::Settled);
                Ok(())
            }
            Happening::Settled => {
                self.after(QUIET, Happening::Quiet);
                self.ledger.count_questions();
                self.settled_tasks =
                    self.engine.iter().flat_map(|engine| engine.tasks()).map(|task| task.task_id).collect();
                self.settled()
            }
            Happening::Quiet => {
                self.over = true;
                self.settled()?;
                self.quiet()
            }
        }
    }

    /// The invariants, after each step.
    fn judge(&mut self) -> Step {
        let hindered = self.instances.is_asleep()
            || self.exchanges.values().any(|exchange| {
                exchange.process == self.process && exchange.client_open && exchange.lane == mesos_core::Lane::Ordered
            });
        if !hindered {
            self.past.free();
        }
        self.without_session()?;
        self.words.check(self.engine.is_some())?;
        self.one_at_a_time()?;
        // A store that hangs is no reason to keep offers.
        let since = self.saved_at.max(self.sure_at);
        let hung = self.unsaved && since + HUNG < self.now && self.ledger.sure == self.disk.framework;
        let able = !hindered && self.engine.is_some() && self.ledger.session.is_some();
        self.in_time(able && !self.unsaved)?;
        let idle = able && (!self.unsaved || hung);
        self.ledger.check(self.now, idle, &self.disk)?;
        self.ledger.inverse_check(self.now, self.answered_at.filter(|_| able && !self.unsaved))?;
        if std::mem::take(&mut self.changed) {
            self.ledger.slots(&self.disk)?;
            self.ledger.truth(&self.cluster, &self.disk)?;
            self.same()?;
            return self.judge_own();
        }
        Ok(())
    }

    /// A3, A16: what was matched in a session falls with it, since its offers do.
    fn without_session(&mut self) -> Step {
        let over = self.ledger.session.is_none() && !self.ledger.terminal && !self.instances.acting;
        let Some(engine) = self.engine.as_ref().filter(|_| over) else { return Ok(()) };
        match engine.tasks().find(|task| task.state == mesos_core::engine::State::Prepared) {
            Some(task) => violation("I1", format!("{task} is to be launched with offers of a session that is over")),
            None => Ok(()),
        }
    }

    /// I13: one subscription at a time, one call of those whose order matters, and few acknowledgements.
    fn one_at_a_time(&mut self) -> Step {
        let open = |lane, most| {
            let mine = |e: &&Exchange| e.process == self.process && e.client_open && e.lane == lane;
            let many = self.exchanges.values().filter(mine).count();
            if many > most {
                violation("I13", format!("{many} exchanges at a time in the lane {lane:?}"))
            } else {
                Ok(())
            }
        };
        use mesos_core::Lane::{Acks, Ordered, Subscription};
        open(Subscription, 1)?;
        open(Ordered, 1)?;
        open(Acks, 4)
    }

    /// L1: what is wanted is there.
    fn settled(&mut self) -> Step {
        self.one_leads()?;
        let Some(engine) = &self.engine else { return violation("L1", "no engine") };
        let waiting: Vec<_> = engine.specs().filter(|spec| !spec.satisfied).collect();
        if let Some(spec) = waiting.first() {
            let tasks: Vec<_> = engine.tasks().filter(|task| task.spec == spec.name).collect();
            let tasks: Vec<String> =
                tasks.iter().map(|task| format!("{task} {:?} ready {}", task.state, task.ready)).collect();
            return violation("L1", format!("{spec:?} has {tasks:?}"));
        }
        let (there, wanted) =
            (engine.specs().map(|spec| spec.name).collect(), self.users.wishes.keys().cloned().collect());
        if there != wanted && self.setup.is_none() {
            let (there, wanted): (BTreeSet<String>, BTreeSet<String>) = (there, wanted);
            let specs: Vec<_> = engine.specs().collect();
            return violation("L1", format!("there are {there:?}, wanted are {wanted:?}: {specs:?}"));
        }
        if self.setup.is_none() {
            self.indices()?;
        }
        let outdated = engine.specs().find(|spec| spec.outdated > 0);
        if let Some(spec) = outdated {
            return violation("L4", format!("a rollout has not ended: {spec:?}"));
        }
        self.as_wanted()?;
        use mesos_core::engine::{KillReason, State};
        let ends = |task: &mesos_core::engine::Task| {
            matches!(task.state, State::Killing(why) if why != KillReason::External)
                && !self.disk.strict.contains_key(&task.spec)
        };
        if let Some(task) = engine.tasks().find(ends) {
            return violation("L4", format!("{task} is still being killed"));
        }
        // A framework whose id nobody wrote down acknowledges nothing any more, and a drain waits for that, too.
        let lost =
            |agent: &usize| self.cluster.is_draining(*agent) && self.cluster.is_used_by(*agent, &self.ledger.framework);
        let lost = (0..self.cluster.agents.len()).find(lost);
        if let Some(agent) = lost {
            return violation("L3", format!("agent {agent} is still being drained"));
        }
        // A call that was lost when all was well, several processes, and avoided agents have done no harm.
        let also =
            [("L5", self.one_more.is_none()), ("L7", self.process > 1), ("L8", !self.places.avoiding.is_empty())];
        let also = also.into_iter().filter(|(_, was)| *was).map(|(invariant, _)| invariant);
        for invariant in ["L1", "L4"].into_iter().chain(also) {
            *self.ledger.judged.entry(invariant).or_default() += 1;
        }
        self.judge_finally()
    }

    /// I17: each spec has as many places as are wanted.
    fn indices(&self) -> Step {
        for (spec, instances) in self.users.instances() {
            let slots = self.disk.slots.iter().filter(|((name, _), _)| name == spec);
            let removed = |index| {
                let slot = self.disk.slots.get(&(spec.to_owned(), index));
                slot.is_some_and(|slot| slot.goal() == mesos_proto::store::slot::Goal::Remove)
            };
            // One that has taken its task back has nothing more to remember.
            let tasks = self.disk.instances.values().map(|kept| &kept.slot).filter(|slot| slot.0 == spec);
            let there: BTreeSet<u32> = slots.map(|(slot, _)| slot).chain(tasks).map(|slot| slot.1).collect();
            let there: BTreeSet<u32> = there.into_iter().filter(|index| !removed(*index)).collect();
            if there.len() != instances as usize {
                return violation("I17", format!("{spec} has the places {there:?}, and {instances} are wanted"));
            }
        }
        Ok(())
    }

    /// L2, L3, L6: nothing runs that nobody wants, everything is acknowledged, and nothing is said any more.
    fn quiet(&mut self) -> Step {
        let Some(engine) = &self.engine else { return violation("L1", "no engine") };
        let wanted: BTreeSet<String> = engine.tasks().map(|task| task.task_id).collect();
        let (mut running, mut heard) = (BTreeSet::new(), BTreeSet::new());
        for (index, agent) in self.cluster.agents.iter().enumerate() {
            // Those that are gone for good aren't heard any more, unless a registry that has forgotten it takes them back.
            let gone = self.gone.contains(&index);
            for ((framework, id), task) in &agent.tasks {
                // Of a former framework that the master has forgotten nobody can speak.
                if *framework != self.ledger.framework {
                    continue;
                }
                if !gone && task.unacknowledged().is_some() {
                    return violation("L3", format!("an update of {id} is not acknowledged"));
                }
                if !agent::is_terminal(task.state) {
                    running.insert(id.clone());
                    heard.extend((!gone).then(|| id.clone()));
                }
            }
        }
        if let Some(id) = heard.difference(&wanted).next() {
            return violation("L2", format!("{id} runs, and nobody wants it"));
        }
        if let Some(id) = wanted.difference(&running).next() {
            return violation("L2", format!("{id} is believed to run, and doesn't"));
        }
        if let Some(key) = self.disk.left_over().filter(|_| !self.unsaved) {
            return violation("I18", format!("{key} is in the store, and belongs to nothing"));
        }
        let asked: BTreeSet<String> = self.settled_tasks.intersection(&wanted).cloned().collect();
        if self.setup.is_none() {
            self.ledger.regular(QUIET, &asked)?;
        }
        let late = self.now.saturating_sub(Duration::from_secs(600));
        let latest = self.ledger.offered_at.max(self.ledger.busy_at);
        if latest > late && self.setup.is_none() && self.users.wishes.values().all(|wish| !wish.is_job()) {
            return violation("L6", format!("there are offers or calls as late as {latest:?}"));
        }
        self.adds_up()?;
        self.rests()?;
        for invariant in ["L2", "L3", "L6"] {
            *self.ledger.judged.entry(invariant).or_default() += 1;
        }
        Ok(())
    }

    fn a_task(&mut self) -> Option<crate::TaskName> {
        let tasks: Vec<_> = (0..self.cluster.agents.len()).flat_map(|agent| self.cluster.tasks(agent)).collect();
        tasks.get(self.rng.below(tasks.len() as u64) as usize).cloned()
    }

    fn end_a_task(&mut self) {
        let status = i32::from(self.rng.chance(0.8));
        if let Some(task) = self.a_task() {
            self.note(|| format!("{} exits with {status}", task.task));
            self.cluster.ended(&task, &Exit::Status(status));
        }
    }
}
