//! An engine that keeps what a scenario declares, and what it tells.

use std::path::Path;
use std::time::Duration;

use mesos_file::FileStore;
use mesos_tokio::mesos_core::engine::{Config, Engine, Event, State, Task, TaskSpec};
use mesos_tokio::mesos_core::scheduler::Framework;
use tokio::time::Instant;

use crate::driver::{Driver, Late};
use crate::{Cluster, LIMIT, RollCall};

/// An engine with its store in a folder.
#[derive(Debug)]
#[non_exhaustive]
pub struct Keeper {
    driver: Driver<Engine>,
    /// What it has told, and when.
    pub told: Vec<(Instant, Event)>,
}

impl Keeper {
    /// With the configuration that users start from.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[must_use]
    pub fn start(cluster: &Cluster, store: &Path, specs: impl IntoIterator<Item = TaskSpec>) -> Self {
        Self::with(cluster, Config::new(cluster.config(Framework::new("conformance"))), store, specs)
    }

    /// With any configuration.
    ///
    /// # Panics
    ///
    /// If the store or the specs are at fault.
    #[must_use]
    pub fn with(cluster: &Cluster, config: Config, store: &Path, specs: impl IntoIterator<Item = TaskSpec>) -> Self {
        let (store, records) = FileStore::open(store).expect("a store");
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
        let engine = Engine::new(config, specs, records, seed).expect("good specs and records");
        Self { driver: Driver::kept(cluster.by(), engine, cluster.http(), store), told: Vec::new() }
    }

    /// The engine, to look at.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        self.driver.machine()
    }

    /// Gives commands to the engine.
    pub fn command<R>(&mut self, command: impl FnOnce(&mut Engine) -> R) -> R {
        self.driver.with(command)
    }

    /// Takes the next event in; `false` after the last one.
    async fn step(&mut self, until: Instant) -> Result<bool, Late> {
        let Some(event) = self.driver.next_event(until).await? else { return Ok(false) };
        self.told.push((Instant::now(), event));
        Ok(true)
    }

    /// Waits until this is so; it may be so already.
    ///
    /// # Panics
    ///
    /// If it doesn't come within the [`LIMIT`], or the engine has ended.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&Self) -> Option<T>) -> T {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(found) = pick(self) {
                return found;
            }
            match self.step(limit).await {
                Ok(true) => {}
                Ok(false) => panic!("the engine has ended, without {what}"),
                Err(_) => panic!("{what} hasn't come within {LIMIT:?}"),
            }
        }
    }

    /// Takes events in for this long.
    pub async fn stay(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while matches!(self.step(end).await, Ok(true)) {}
    }

    /// Waits until every spec is satisfied.
    pub async fn satisfied(&mut self) {
        // Before its first input an engine has none.
        let all =
            |keeper: &Self| keeper.engine().specs().count() > 0 && keeper.engine().specs().all(|spec| spec.satisfied);
        self.until("satisfaction", |keeper| all(keeper).then_some(())).await;
    }

    /// The framework's id, once it is subscribed.
    pub async fn id(&mut self) -> String {
        let id = |event: &Event| match event {
            Event::Subscribed(subscribed) => Some(subscribed.framework_id.value.clone()),
            _ => None,
        };
        self.until("SUBSCRIBED", |keeper| keeper.told.iter().rev().find_map(|(_, event)| id(event))).await
    }

    /// Leaves the master with its tasks, and the store to the next one.
    ///
    /// # Panics
    ///
    /// If it ends in any other way.
    pub async fn leave(mut self) {
        self.command(Engine::disconnect);
        assert_eq!(self.end().await, Event::Stopped { removed: false });
    }

    /// Waits for the last event.
    ///
    /// # Panics
    ///
    /// If it doesn't come within the [`LIMIT`].
    pub async fn end(&mut self) -> Event {
        let limit = Instant::now() + LIMIT;
        while self.step(limit).await.expect("an end") {}
        self.told.last().expect("events").1.clone()
    }

    /// The tasks of a spec, by instance.
    #[must_use]
    pub fn tasks(&self, spec: &str) -> Vec<Task> {
        self.engine().tasks().filter(|task| task.spec == spec).collect()
    }

    /// How often something was told.
    #[must_use]
    pub fn count(&self, sort: impl Fn(&Event) -> bool) -> usize {
        self.told.iter().filter(|(_, event)| sort(event)).count()
    }

    /// Waits until engine, agents and processes agree about what runs, and sees that it stays so.
    ///
    /// # Panics
    ///
    /// If they don't within the [`LIMIT`], or not for long.
    pub async fn agree(&mut self, cluster: &Cluster, roll: &RollCall) {
        let limit = Instant::now() + LIMIT;
        let mut good = 0;
        while good < 3 {
            self.stay(Duration::from_millis(200)).await;
            let difference = difference(self.engine(), cluster, roll).await;
            assert!(good == 0 || difference.is_none(), "they agreed, and now: {difference:?}");
            assert!(Instant::now() < limit, "they don't agree: {difference:?}");
            good += usize::from(difference.is_none());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let start = self.told.first().map(|(at, _)| *at);
            println!("== told by an engine");
            for (at, event) in &self.told {
                println!("{:8.3} {event:?}", (*at - start.unwrap_or(*at)).as_secs_f64());
            }
            self.engine().specs().for_each(|spec| println!("{spec:?}"));
            self.engine().tasks().for_each(|task| println!("{:?} {task}", task.state));
        }
    }
}

/// How engine, agents and processes differ about what runs, if they do: what the engine has must all be running, and
/// nothing else.
pub async fn difference(engine: &Engine, cluster: &Cluster, roll: &RollCall) -> Option<String> {
    let mut kept: Vec<Task> = engine.tasks().collect();
    kept.sort_unstable_by(|a, b| a.task_id.cmp(&b.task_id));
    let agents = cluster.tasks().await;
    let mut instances: Vec<_> = kept.iter().map(|task| (task.spec.clone(), task.index + 1)).collect();
    instances.sort_unstable();
    let processes = roll.present();
    let same = kept.iter().all(|task| task.state == State::Running)
        && kept.iter().map(|task| &task.task_id).eq(agents.iter().map(|(_, task)| task))
        && processes.values().all(|pids| pids.len() == 1)
        && processes.keys().eq(&instances);
    let kept = || kept.iter().map(|task| format!("{} {:?}", task.task_id, task.state)).collect::<Vec<_>>();
    (!same).then(|| format!("engine {:?}, agents {agents:?}, processes {processes:?}", kept()))
}
