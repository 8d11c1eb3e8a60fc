//! A scheduler that is killed, again and again, while things come and go.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance::mesos_core::engine::{Config, Engine, SpecStatus};
use conformance::mesos_core::scheduler::Framework;
use conformance::mesos_core::{Input, Instant, Machine, Output};
use conformance::{Cluster, Dice, LIMIT, Orders, Side, difference};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Folders;

/// The last lines of all of a test's programs, and how many there have been.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<VecDeque<String>>>, watch::Sender<u64>);

impl Lines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap();
        if lines.len() == 4000 {
            lines.pop_front();
        }
        lines.push_back(line);
        drop(lines);
        self.1.send_modify(|count| *count += 1);
    }

    /// A task that was told to be unknown, though no end of it had been heard. Otherwise it may be an echo: the master
    /// tells of an end that it has heard of while nobody was subscribed, but once the agent has repeated the statuses
    /// that wait for an acknowledgement, asked again it tells the first of these.
    fn unknown(&self) -> Option<String> {
        const ENDS: [&str; 5] = ["TaskFinished ", "TaskFailed ", "TaskKilled ", "TaskGone ", "TaskDropped "];
        let lines = self.0.lock().unwrap();
        let ended =
            |id: &str| lines.iter().any(|line| line.contains(id) && ENDS.iter().any(|end| line.starts_with(end)));
        let mut unknown = lines.iter().filter(|line| line.starts_with("UnknownTask"));
        unknown.find(|line| line.split('"').nth(1).is_none_or(|id| !ended(id))).cloned()
    }

    /// Waits until so many lines of this sort have come since the last start.
    async fn said(&self, times: usize, sort: impl Fn(&str) -> bool) {
        let _ = self.1.subscribe().wait_for(|_| self.count(&sort) >= times).await;
    }

    /// Whether something of this sort has come since the last start.
    fn has(&self, sort: impl Fn(&str) -> bool) -> bool {
        self.count(sort) > 0
    }

    /// How many of this sort have come since the last start.
    fn count(&self, sort: impl Fn(&str) -> bool) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().rev().take_while(|line| !line.starts_with("== ")).filter(|line| sort(line)).count()
    }
}

/// A test's programs, one after another.
struct Programs<'a> {
    cluster: &'a Cluster,
    folders: Folders,
    seed: u64,
    lines: Lines,
}

impl<'a> Programs<'a> {
    fn new(cluster: &'a Cluster, seed: u64) -> Self {
        println!("seed {seed}");
        Self { cluster, folders: Folders::new(), seed, lines: Lines::default() }
    }

    /// Starts one.
    fn start(&self, seed: Option<u64>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        command.arg(self.cluster.masters().join(",")).arg(self.folders.store.path()).arg(self.folders.roll.folder());
        command.args(seed.map(|seed| seed.to_string()));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the program");
        self.lines.push(format!("== {seed:?}"));
        let (lines, output) = (self.lines.clone(), child.stdout.take().expect("its output"));
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                lines.push(line);
            }
        });
        child
    }

    /// No instance has two processes, and no task has been found that wasn't on record before it was launched.
    fn look(&self) {
        let present = self.folders.roll.present();
        assert!(present.values().all(|pids| pids.len() == 1), "{present:?}");
        if let Some(unknown) = self.lines.unknown() {
            panic!("{unknown}");
        }
    }

    /// Looks again and again for this long.
    async fn watch(&self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            sleep(Duration::from_millis(20).min(end - tokio::time::Instant::now())).await;
            self.look();
        }
    }

    /// One life: it is killed at some moment, often before it is subscribed, or just after something that it says, when
    /// it is about to write or to send what belongs to that.
    async fn life(&self, dice: &mut Dice, number: u64) {
        const AT_MOST: Duration = Duration::from_secs(4);
        let launches = |line: &str| line.starts_with("OffersAnswered") && !line.contains("launched: 0");
        let (soon, times) = (dice.millis(90), 1 + dice.below(3) as usize);
        let kind = dice.below(8);
        let moment = async {
            match kind {
                0 => sleep(soon).await,
                1 => sleep(soon * 15).await,
                2 => sleep(soon * 40).await,
                3 | 4 => self.lines.said(times, launches).await,
                5 => self.lines.said(times, |line| line.starts_with("order")).await,
                6 => self.lines.said(times, |line| line.starts_with("TaskUpdated")).await,
                _ => self.lines.said(times, |line| line.starts_with("TaskEnded")).await,
            }
            sleep(soon).await;
        };
        let mut child = self.start(Some(self.seed + number));
        tokio::select! {
            () = self.watch(AT_MOST) => {}
            () = moment => {}
        }
        assert!(child.try_wait().unwrap().is_none(), "it has ended by itself");
        child.kill().await.unwrap();
        self.look();
    }

    /// A last one, that isn't killed: when all is satisfied, exactly that runs which is on record.
    async fn settle(&self) {
        let _child = self.start(None);
        let limit = tokio::time::Instant::now() + LIMIT;
        while !self.lines.has(|line| line == "satisfied") {
            assert!(tokio::time::Instant::now() < limit, "it isn't satisfied: {:?}", specs(&self.stored()));
            self.watch(Duration::from_millis(100)).await;
        }
        let mut good = 0;
        while good < 5 {
            self.watch(Duration::from_millis(300)).await;
            let difference = difference(&self.stored(), self.cluster, &self.folders.roll).await;
            assert!(good == 0 || difference.is_none(), "they agreed, and now: {difference:?}");
            assert!(tokio::time::Instant::now() < limit, "they don't agree: {difference:?}");
            good += usize::from(difference.is_none());
        }
        let wrong = Orders::work_missing_or_doubled(&self.stored(), &self.folders.roll);
        assert_eq!(wrong, None);
        println!("{} jobs done, {:?}", self.folders.roll.work().len(), specs(&self.stored()));
        assert!(!self.folders.roll.work().is_empty());
    }

    /// An engine that would go on with what the store holds.
    fn stored(&self) -> Engine {
        let records = mesos_file::read(self.folders.store.path()).unwrap();
        let config = Config::new(self.cluster.config(Framework::new("conformance")));
        let mut engine = Engine::new(config, [], records, 0).unwrap();
        engine.handle_input(Instant::ORIGIN, Input::Timeout);
        while !matches!(engine.poll_output(), Output::Timeout(_)) {}
        engine
    }
}

fn specs(engine: &Engine) -> Vec<SpecStatus> {
    engine.specs().collect()
}

impl Drop for Programs<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines.0.lock().unwrap();
            println!("== seed {}", self.seed);
            lines.iter().for_each(|line| println!("{line}"));
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("CONFORMANCE_SEED").ok();
    given.map_or_else(
        || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as u64),
        |seed| seed.parse().expect("CONFORMANCE_SEED is a number"),
    )
}

/// S185: killed at any moment, it goes on as if nothing had been: nothing is lost, nothing runs twice, nothing is left.
pub(crate) async fn scheduler_killed(cluster: &Cluster) {
    let lives = if cluster.side() == Side::Real { 100 } else { 30 };
    let programs = Programs::new(cluster, seed());
    let mut dice = Dice::new(programs.seed);
    for number in 0..lives {
        programs.life(&mut dice, number).await;
    }
    programs.settle().await;
}

/// The same, while the master is killed and started again.
pub(crate) async fn master_killed_too(cluster: &Cluster) {
    let programs = Programs::new(cluster, seed());
    let mut dice = Dice::new(programs.seed);
    for number in 0..8 {
        programs.life(&mut dice, number).await;
        match number {
            2 => cluster.kill_master(0).await,
            4 => cluster.restart_master(0).await,
            _ => {}
        }
    }
    cluster.leader().await;
    programs.settle().await;
}

/// The same, while an agent is killed and started again. There is another one: a spec that three faults have driven away
/// from the first would else wait there for two minutes.
pub(crate) async fn agent_killed_too(cluster: &Cluster) {
    let programs = Programs::new(cluster, seed());
    let mut dice = Dice::new(programs.seed);
    for number in 0..8 {
        programs.life(&mut dice, number).await;
        match number {
            2 | 5 => cluster.kill_agent(0).await,
            3 | 6 => cluster.restart_agent(0).await,
            _ => {}
        }
    }
    cluster.leader().await;
    programs.settle().await;
}
