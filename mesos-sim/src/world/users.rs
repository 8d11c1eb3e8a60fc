//! What users want: specs, and changes to them at random.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::engine::{Amount, CommandError, Duplicates, Engine, Field, KillSelection, OnReturn, State, TaskSpec};
use mesos_core::v1::{self, CommandInfo};
use mesos_proto::store;

use super::contents;
use super::fault::{Fault, Plan};
use super::ledger::{Ledger, Manners, parse};
use super::variety::{Bounds, Place, Variety};
use super::words::Said;
use crate::resources::Pool;
use crate::rng::Rng;

/// As this user some tasks run; sometimes the master lets nobody do so.
pub(super) const REFUSED: &str = "guest";

/// Of this spec two tasks of a place must never run together.
const STRICT: &str = "s2";

/// Tasks of this spec have so long to end.
pub(super) const SLOW: &str = "s3";
pub(super) const GRACE: Duration = Duration::from_secs(20);

/// A spec as the user sees it.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    name: String,
    instances: u32,
    /// Changes with each change of the launch part.
    version: u32,
    job: bool,
    strict: bool,
    /// Fails again and again.
    loops: Option<u64>,
    unique: bool,
    role: String,
    surge: u32,
    unavailable: u32,
    on_return: OnReturn,
    inactive_after: u64,
    priority: i32,
    /// Has a health check.
    checked: bool,
    /// Runs as a user of its own.
    guest: bool,
    variety: Variety,
}

impl Wish {
    fn draw(name: &str, rng: &mut Rng, plan: &mut Plan) -> Self {
        Self {
            name: name.to_owned(),
            instances: 1 + rng.below(4) as u32,
            version: 0,
            job: rng.chance(0.15),
            strict: false,
            loops: plan.strikes(rng, Fault::TaskLoops).then(|| rng.below(400)),
            unique: rng.chance(0.15),
            role: rng.pick(&["a", "b"]).unwrap_or_default().to_owned(),
            surge: rng.below(3) as u32,
            unavailable: rng.below(3) as u32,
            on_return: rng
                .pick(&[OnReturn::PreferReady, OnReturn::Oldest, OnReturn::Youngest, OnReturn::PreferNew])
                .unwrap_or(OnReturn::PreferReady),
            inactive_after: rng.pick(&[0, 0, 30, 400]).unwrap_or_default(),
            priority: rng.below(2) as i32,
            checked: rng.chance(0.3),
            guest: rng.chance(0.3),
            variety: Variety::of(name),
        }
    }

    fn vary(&mut self, rng: &mut Rng) {
        let former = std::mem::replace(&mut self.variety, Variety::draw(&self.name, rng));
        // In which zones tasks are is known of those only that were launched when it mattered.
        if [former.place, self.variety.place].iter().any(|place| matches!(place, Some(Place::PerZone(_))))
            && self.version > 0
        {
            self.variety.place = former.place;
        }
        // Chance of its own: what seeds were before stays.
        if Rng::new(rng.clone().next() ^ 0x71).chance(0.3) {
            self.strict = !self.strict;
        }
        // A health check needs a port, and what is unique is so already.
        self.variety.ports = self.variety.ports.max(self.checked.into());
        self.variety.place = self.variety.place.filter(|_| !self.unique);
    }

    pub(super) const fn is_job(&self) -> bool {
        self.job
    }

    fn line(&self) -> String {
        let line = match (self.loops, self.job) {
            (Some(seconds), _) => format!("sleep {seconds}; exit 1"),
            (None, true) => "sleep 200".to_owned(),
            (None, false) => "sleep infinity".to_owned(),
        };
        self.variety.line(&line)
    }

    /// All that goes into its tasks.
    fn launch(&self) -> (u32, String, String, Variety) {
        (self.version, self.role.clone(), self.line(), self.variety.clone())
    }

    fn surge(&self) -> Amount {
        match self.variety.bounds {
            Bounds::Counts => Amount::Count(self.surge),
            Bounds::Percents => Amount::Percent(self.surge * 25),
            Bounds::Default => Amount::Percent(25),
        }
    }

    fn unavailable(&self) -> Amount {
        let count = if self.surge == 0 { self.unavailable.max(1) } else { self.unavailable };
        match self.variety.bounds {
            Bounds::Counts => Amount::Count(count),
            Bounds::Percents => Amount::Percent(count * 25),
            Bounds::Default => Amount::Percent(25),
        }
    }

    /// How many tasks it may have, during a rollout.
    fn at_most(&self) -> u32 {
        match self.surge() {
            Amount::Count(surge) => self.instances + surge,
            Amount::Percent(percent) => self.instances + (self.instances * percent).div_ceil(100),
            _ => self.instances,
        }
    }

    pub(super) fn spec(&self) -> TaskSpec {
        let mut command = CommandInfo::new(self.line());
        if self.guest {
            command = command.with_user(REFUSED);
        }
        let mut spec = TaskSpec::new(&self.name)
            .command_info(command)
            .env("VERSION", self.version.to_string())
            .instances(self.instances)
            .scalable(true)
            .role(&self.role)
            .priority(self.priority)
            .on_return(self.on_return)
            .unreachable(Duration::from_secs(self.inactive_after), Duration::from_secs(600));
        if self.variety.bounds != Bounds::Default {
            spec = spec.max_surge(self.surge()).max_unavailable(self.unavailable());
        }
        if self.job {
            spec = spec.job();
        }
        if self.strict {
            spec = spec.duplicates(Duplicates::Forbid);
        }
        if self.checked {
            spec = spec.http_check("/");
        }
        if self.unique {
            spec = spec.unique(Field::Hostname);
        }
        self.variety.dress(spec, self.job)
    }

    /// What is wrong with a task that is to be one of these; and how far it is like one.
    fn fault_of(&self, task: &v1::TaskInfo) -> Result<(), (u32, String)> {
        let command = task.command.as_deref();
        let line = command.and_then(|command| command.value.as_deref());
        let user = command.and_then(|command| command.user.as_deref());
        if line != Some(&self.line()) || user != self.guest.then_some(REFUSED) {
            return Err((0, format!("its command is {line:?} of {user:?}")));
        }
        let version = contents::variable(task, "VERSION");
        if version != Some(&self.version.to_string()) {
            return Err((1, format!("its version is {version:?}")));
        }
        if task.health_check.is_some() != self.checked {
            return Err((2, format!("its health check is {:?}", task.health_check)));
        }
        self.variety.fault_of(task, &self.role).map_err(|fault| (3, fault))
    }
}

/// What each instance of each spec needs, as Mesos counts, where specs are alike; of the ports, anyone will do.
pub(super) fn need() -> Pool {
    let scalar = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    Pool::of(&[scalar("cpus", 0.3), scalar("mem", 32.0)]).unwrap_or_default()
}

/// All users' wishes.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) wishes: BTreeMap<String, Wish>,
    /// Specs of which it was said at some time that two tasks of a slot must never run together.
    pub(super) strict: BTreeSet<String>,
    /// There are, or were, specs that don't fit everywhere.
    pub(super) constrained: bool,
    /// They have removed the framework, or are about to.
    pub(super) leaving: bool,
    /// Only after its tasks,
    pub(super) gently: bool,
    /// and since then.
    pub(super) uninstalled_at: Option<Duration>,
    /// Specs whose rollouts were halted at some time,
    paused: BTreeSet<String>,
    /// and are now.
    halted: BTreeSet<String>,
    /// Specs that the master had refused a task of, which was heard of at rest.
    pub(super) refused: BTreeSet<String>,
    next: u32,
    /// Chance of its own, where specs differ.
    variety: Option<Rng>,
    /// All that was ever said of a spec.
    said: BTreeMap<String, Vec<Wish>>,
}

impl Users {
    /// With chance of its own for what specs differ in, unless they are alike.
    pub(super) fn draw(rng: &mut Rng, plan: &mut Plan, variety: Option<Rng>) -> Self {
        let mut users = Self { constrained: variety.is_some(), variety, ..Self::default() };
        for _ in 0..1 + rng.below(3) {
            users.add(rng, plan);
        }
        users
    }

    fn add(&mut self, rng: &mut Rng, plan: &mut Plan) -> String {
        // Names come again.
        let name = format!("s{}", self.next % 5);
        self.next += 1;
        let mut wish = Wish::draw(&name, rng, plan);
        // Where specs are alike, this is settled with the name.
        wish.strict = name == STRICT;
        self.constrained |= wish.unique;
        if let Some(rng) = &mut self.variety {
            wish.vary(rng);
            // Tasks of its past may be in zones that nobody has counted.
            let past = self.said.contains_key(&name);
            wish.variety.place = wish.variety.place.filter(|place| !(past && matches!(place, Place::PerZone(_))));
        }
        self.wishes.insert(name.clone(), wish);
        self.says(&name);
        name
    }

    /// This is what is said of a spec.
    fn says(&mut self, name: &str) {
        if let Some(wish) = self.wishes.get(name) {
            if wish.strict {
                self.strict.insert(name.to_owned());
            }
            self.said.entry(name.to_owned()).or_default().push(wish.clone());
        }
    }

    /// What is wrong with a task that is launched: it is nothing that a user ever wanted.
    pub(super) fn never_wanted(&self, spec: &str, task: &v1::TaskInfo) -> Option<String> {
        let said = self.said.get(spec)?;
        let faults = said.iter().rev().map(|wish| wish.fault_of(task).err()).collect::<Option<Vec<_>>>()?;
        // That of the nearest one.
        faults.into_iter().max_by_key(|(like, _)| *like).map(|(_, fault)| fault)
    }

    /// What is wrong with a task that runs: it isn't what users want now.
    pub(super) fn not_wanted(&self, spec: &str, task: &v1::TaskInfo) -> Option<String> {
        self.wishes.get(spec)?.fault_of(task).err().map(|(_, fault)| fault)
    }

    /// How tasks of a spec are to be killed.
    pub(super) fn manners(&self, spec: &str) -> Manners {
        let said = self.said.get(spec).into_iter().flatten().map(|wish| &wish.variety);
        let graces: BTreeSet<Option<Duration>> = said.clone().map(|variety| variety.grace).collect();
        let at_once = graces.contains(&Some(Duration::ZERO)).then_some(Duration::ZERO);
        Manners { force: said.filter_map(|variety| variety.force).chain(at_once).min(), graces }
    }

    pub(super) fn specs(&self) -> Vec<TaskSpec> {
        self.wishes.values().map(Wish::spec).collect()
    }

    /// A spec to do something to.
    pub(super) fn choose(&mut self, rng: &mut Rng, plan: &mut Plan) -> String {
        let names: Vec<String> = self.wishes.keys().cloned().collect();
        match names.len() {
            0 => self.add(rng, plan),
            some => names.get(rng.below(some as u64) as usize).cloned().unwrap_or_default(),
        }
    }

    /// Does one thing to an engine that runs. Returns what it was.
    pub(super) fn act(
        &mut self,
        fault: Fault,
        name: String,
        engine: &mut Engine,
        ledger: &mut Ledger,
        rng: &mut Rng,
        plan: &mut Plan,
    ) -> Said {
        let names: Vec<String> = self.wishes.keys().cloned().collect();
        let (mut killed, mut lifted, mut same) = (None, false, false);
        let index = rng.below(4) as u32;
        let mut concerned = (name.clone(), None);
        let mut row = None;
        let result = match fault {
            Fault::Apply => {
                let added = (rng.chance(0.3) && names.len() < 5).then(|| self.add(rng, plan));
                let (new, name) = (added.is_some(), added.unwrap_or_else(|| name.clone()));
                let Some(wish) = self.wishes.get_mut(&name) else {
                    return Said { refused: Some(CommandError::NoSpec(name)), ..Said::default() };
                };
                concerned.0.clone_from(&name);
                let instances = wish.instances;
                let before = wish.launch();
                match rng.below(5) {
                    0 => wish.instances = rng.below(6) as u32,
                    1 => wish.surge = rng.below(3) as u32,
                    2 => wish.loops = plan.strikes(rng, Fault::TaskLoops).then(|| rng.below(400)),
                    3 => wish.role = rng.pick(&["a", "b"]).unwrap_or_default().to_owned(),
                    _ => {
                        wish.version += 1;
                        row = Some("A9");
                        if let Some(rng) = &mut self.variety {
                            if rng.chance(0.5) {
                                wish.vary(rng);
                            }
                        }
                    }
                }
                same = !new && wish.launch() == before;
                if wish.instances > instances || !names.contains(&name) {
                    row = Some("A11");
                }
                let spec = wish.spec();
                self.says(&name);
                engine.apply(spec).map(drop)
            }
            Fault::Scale => {
                let instances = rng.below(6) as u32;
                if let Some(wish) = self.wishes.get_mut(&name) {
                    row = (wish.instances < instances).then_some("A11");
                    wish.instances = instances;
                }
                engine.scale(&name, instances)
            }
            Fault::Restart if rng.chance(0.5) => engine.restart(&name).map(drop),
            Fault::Restart => {
                concerned.1 = Some(index);
                // What is being ended is killed once more.
                let ends = engine.tasks().filter(|task| matches!(task.state, State::Killing(_)));
                let ends = ends.filter(|task| task.spec == name && task.index == index);
                ends.for_each(|task| ledger.killed_by_user(&task.task_id));
                row = Some("A8");
                engine.restart_instance(&name, index)
            }
            Fault::Remove => {
                self.wishes.remove(&name);
                row = Some("A10");
                Self::removed(&name, ledger);
                engine.remove(&name)
            }
            Fault::Kill => {
                let tasks: Vec<String> = engine.tasks().map(|task| task.task_id).collect();
                let task = tasks.get(rng.below(tasks.len() as u64) as usize).cloned().unwrap_or_default();
                concerned.0 = parse(&task).map(|(spec, ..)| spec).unwrap_or_default();
                ledger.killed_by_user(&task);
                killed = Some(task.clone());
                engine.kill(&task)
            }
            Fault::Pause if rng.chance(0.5) => {
                self.paused.insert(name.clone());
                self.halted.insert(name.clone());
                engine.pause(&name)
            }
            Fault::Pause => {
                self.halted.remove(&name);
                engine.resume(&name)
            }
            Fault::Retry if rng.chance(0.5) => engine.retry(&name),
            Fault::Retry => {
                lifted = true;
                engine.reset_delay(&name)
            }
            Fault::DeclareDead => {
                concerned.1 = Some(index);
                for task in ledger.tasks.values_mut().filter(|task| task.slot == (name.clone(), index)) {
                    task.released = true;
                }
                engine.declare_dead(&name, index)
            }
            Fault::Leave => {
                engine.disconnect();
                Ok(())
            }
            Fault::Uninstall => {
                let gently = rng.chance(0.5);
                self.gently = gently && (self.gently || !self.leaving);
                self.leaving = true;
                if gently {
                    engine.uninstall();
                } else {
                    engine.teardown();
                }
                Ok(())
            }
            _ => Ok(()),
        };
        ledger.commanded_of(&concerned.0);
        let what = format!("{} {name}: {result:?}", fault.name());
        Said { what, row, concerned, task: killed, lifted, refused: result.err(), same }
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = (&str, u32)> {
        self.wishes.values().map(|wish| (wish.name.as_str(), wish.instances))
    }

    /// Where instances of a spec may be.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        let wish = self.wishes.get(name)?;
        if wish.unique { Some(Place::PerHost(1)) } else { wish.variety.place }
    }

    /// How many instances of a spec are wanted, of which priority, version and role; `None` if there is to be none.
    pub(super) fn wish(&self, name: &str) -> Option<(u32, i32, u32, &str)> {
        let wish = self.wishes.get(name)?;
        Some((wish.instances, wish.priority, wish.version, &wish.role))
    }

    /// Whether a policy is that of a spec, where it isn't among what else is compared.
    pub(super) fn has_policy(&self, name: &str, policy: &store::Policy) -> bool {
        let Some(wish) = self.wishes.get(name) else { return false };
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        let is = |kept: store::Amount, amount: Amount| match amount {
            Amount::Count(count) => kept.count == Some(count),
            Amount::Percent(percent) => kept.percent == Some(percent),
            _ => false,
        };
        let selection = match wish.variety.selection {
            KillSelection::Oldest => store::policy::KillSelection::OldestFirst,
            KillSelection::Youngest => store::policy::KillSelection::YoungestFirst,
            _ => store::policy::KillSelection::HighestIndex,
        };
        is(policy.max_surge, wish.surge())
            && is(policy.max_unavailable, wish.unavailable())
            && policy.kill_selection() == selection
            && policy.inactive_after == wish.inactive_after * 1000
            && policy.constraints.len() == usize::from(wish.unique) + usize::from(wish.variety.place.is_some())
            && (wish.job || policy.max_failures == wish.variety.max_failures)
            && policy.force_kill_after == ms(wish.variety.force)
            && policy.min_ready == ms(wish.variety.min_ready)
    }

    /// Which of its instances go first, of those that are alike.
    pub(super) fn selection(&self, name: &str) -> KillSelection {
        self.wishes.get(name).map(|wish| wish.variety.selection).unwrap_or_default()
    }

    /// Whether a rollout of this spec was halted.
    pub(super) fn is_paused(&self, name: &str) -> bool {
        self.halted.contains(name)
    }

    /// The specs that come before this one wherever it can be; `None` if that can't be said.
    pub(super) fn before(&self, name: &str) -> Option<Vec<&String>> {
        // What a halted rollout left behind is of a former revision: of another role, maybe (simulated: seed 1200005424).
        let mine = self.wishes.get(name).filter(|_| !self.paused.contains(name))?;
        let first = |wish: &&Wish| {
            let free = !wish.unique && wish.variety.fits_where(&mine.variety);
            wish.priority < mine.priority && wish.role == mine.role && free && !self.paused.contains(&wish.name)
        };
        let first: Vec<&String> = self.wishes.values().filter(first).map(|wish| &wish.name).collect();
        (!first.is_empty()).then_some(first)
    }

    /// A spec is no longer wanted: what runs there may live beside what comes later in the same place.
    fn removed(name: &str, ledger: &mut Ledger) {
        for task in ledger.tasks.values_mut().filter(|task| task.slot.0 == name) {
            task.released = true;
        }
    }

    /// Wants no more than there is room for, with what a rollout needs besides.
    fn squeeze(&mut self, room: u32) {
        for wish in self.wishes.values_mut() {
            // Others may fill the last place where it could go.
            wish.unique = false;
        }
        while self.wishes.values().map(Wish::at_most).sum::<u32>() > room {
            let largest = self.wishes.values_mut().max_by_key(|wish| wish.at_most());
            let Some(wish) = largest else { return };
            match wish.surge {
                0 => wish.instances -= 1,
                _ => wish.surge -= 1,
            }
        }
    }

    /// The users come to rest: what they want from now on can be had.
    pub(super) fn settle(
        &mut self,
        engine: &mut Engine,
        ledger: &mut Ledger,
        agents: u32,
        room: Option<u32>,
        now: Duration,
    ) {
        ledger.commanded(now);
        if ledger.own {
            for spec in engine.specs().map(|spec| spec.name).collect::<Vec<_>>() {
                let _ = engine.resume(&spec);
                let _ = engine.retry(&spec);
            }
            return;
        }
        if let Some(room) = room {
            self.squeeze(room);
        }
        for wish in self.wishes.values_mut() {
            if wish.loops.take().is_some() {
                wish.version += 1;
            }
            // What has failed by now may be heard of only later.
            wish.variety.max_failures = None;
            let most = if wish.unique { agents } else { u32::MAX };
            wish.instances = wish.instances.min(most).min(wish.variety.most(agents));
        }
        for name in self.wishes.keys().cloned().collect::<Vec<_>>() {
            self.says(&name);
        }
        let known: Vec<String> = engine.specs().filter(|spec| !spec.removed).map(|spec| spec.name).collect();
        for name in known.iter().filter(|name| !self.wishes.contains_key(*name)) {
            let _ = engine.remove(name);
            Self::removed(name, ledger);
        }
        for (name, wish) in &self.wishes {
            let _ = engine.apply(wish.spec());
            let _ = engine.retry(name);
        }
    }

    /// What was halted goes on: nothing else is said then that would make the engine look at it.
    pub(super) fn resume(&mut self, engine: &mut Engine) {
        self.halted.clear();
        self.wishes.keys().for_each(|name| drop(engine.resume(name)));
    }
}
