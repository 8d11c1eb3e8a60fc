//! What is looked at from outside.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance::mesos_core::engine::{Config, Engine};
use conformance::mesos_core::scheduler::Framework;
use conformance::mesos_core::{Input, Instant, Machine, Output};
use conformance::{Cluster, Instances, Log, Orders, RollCall, difference};
use mesos_zk::{Settings, Zk};
use tokio::time::sleep;

use crate::faults::Death;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);
/// From the end of all faults until everything is as it should be.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Judge<'a> {
    cluster: &'a Cluster,
    roll: RollCall,
    log: Arc<Mutex<Log>>,
    zk: Zk,
    looks: Cell<u64>,
    longest: Cell<Duration>,
    most: Cell<usize>,
    processes: Cell<usize>,
    settled: Cell<Duration>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(cluster: &'a Cluster, roll: &RollCall, instances: &Instances) -> Self {
        let settings: Settings = instances.zookeeper().parse().expect("zk://...");
        Self {
            cluster,
            roll: roll.clone(),
            log: instances.log(),
            zk: Zk::new(settings).expect("a thread"),
            looks: Cell::default(),
            longest: Cell::default(),
            most: Cell::default(),
            processes: Cell::default(),
            settled: Cell::default(),
        }
    }

    /// Looks all the while: no instance of a spec has two processes, no job is done twice, no task has been found that
    /// wasn't on record before it was launched, and there is one framework.
    pub(crate) async fn watch(&self) {
        let mut last = tokio::time::Instant::now();
        loop {
            let present = self.roll.present();
            assert!(present.values().all(|pids| pids.len() == 1), "{present:?}");
            self.most.set(self.most.get().max(present.len()));
            self.processes.set(self.processes.get() + self.roll.sweep());
            if self.looks.get() % 40 == 0 {
                let work = self.roll.work();
                assert!(work.values().all(|times| *times == 1), "{work:?}");
            }
            {
                let log = self.log.lock().expect("no panic");
                assert!(log.wrong.is_empty(), "{:?}", log.wrong);
                assert!(log.frameworks.len() <= 1, "{:?}", log.frameworks);
            }
            self.looks.set(self.looks.get() + 1);
            sleep(LOOK).await;
            self.longest.set(self.longest.get().max(last.elapsed()));
            last = tokio::time::Instant::now();
        }
    }

    /// Once all is healed: one leads, all that was ordered is there, and store, agents and processes agree.
    pub(crate) async fn settle(&self, instances: &mut Instances) {
        let start = tokio::time::Instant::now();
        let on_time = |what: &str| assert!(start.elapsed() < LIMIT, "{LIMIT:?} after all was healed: {what}");
        while !self.cluster.real().is_whole().await {
            on_time("the cluster isn't whole");
            self.cluster.real().mend().await;
        }
        println!("the cluster is whole {:.1} s after all was healed", start.elapsed().as_secs_f64());
        let (mut good, mut agreed) = (0, false);
        while good < 5 {
            sleep(Duration::from_millis(300)).await;
            if let Some(ended) = instances.ended() {
                panic!("an instance has ended by itself: {ended}");
            }
            let satisfied = {
                let log = self.log.lock().expect("no panic");
                let leading: Vec<_> = log.terms.iter().filter(|term| term.over.is_none()).collect();
                leading.len() == 1 && leading[0].satisfied
            };
            if !satisfied {
                assert_eq!(good, 0, "it was satisfied");
                on_time(&format!(
                    "not one leader, or it isn't satisfied: {:?}",
                    self.stored().await.specs().filter(|spec| !spec.satisfied).collect::<Vec<_>>()
                ));
                continue;
            }
            if !std::mem::replace(&mut agreed, true) {
                println!("all orders are fulfilled {:.1} s after all was healed", start.elapsed().as_secs_f64());
            }
            let difference = difference(&self.stored().await, self.cluster, &self.roll).await;
            assert!(good == 0 || difference.is_none(), "they agreed, and now: {difference:?}");
            if let Some(difference) = &difference {
                on_time(difference);
            }
            good += usize::from(difference.is_none());
        }
        self.settled.set(start.elapsed());
        assert_eq!(Orders::work_missing_or_doubled(&self.stored().await, &self.roll), None);
        assert_eq!(instances.overlap(), None, "two led at once");
        self.accounted().await;
    }

    /// Every task that ever was at an agent runs, or its end is acknowledged; and every task that was told to have been
    /// launched was at one.
    async fn accounted(&self) {
        let running: Vec<String> = self.cluster.tasks().await.into_iter().map(|(_, task)| task).collect();
        let ledger = self.cluster.real().ledger().await;
        let log = self.log.lock().expect("no panic");
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &ledger {
            let [framework, task, states @ ..] = entry.as_slice() else { panic!("{entry:?}") };
            assert!(log.frameworks.contains(framework), "{entry:?}");
            let last = states.last().map_or("", String::as_str);
            let ended = ["FINISHED!", "FAILED!", "KILLED!", "LOST!", "GONE!", "DROPPED!", "ERROR!"].contains(&last);
            let runs = running.contains(task);
            assert!(ended != runs, "neither runs nor has its end been acknowledged, or both: {entry:?}");
            *ends.entry(if runs { "RUNNING" } else { last.trim_end_matches('!') }).or_default() += 1;
        }
        for task in &log.launched {
            assert!(ledger.iter().any(|entry| entry[1] == *task), "no agent has ever had {task}");
        }
        println!("{} tasks accounted for: {ends:?}", ledger.len());
    }

    /// An engine that would go on with what the store holds.
    async fn stored(&self) -> Engine {
        let records = mesos_zk::read(&self.zk).await.expect("the store can be read");
        let config = Config::new(self.cluster.config(Framework::new("conformance")));
        let mut engine = Engine::new(config, [], records, 0).expect("good records");
        engine.handle_input(Instant::ORIGIN, Input::Timeout);
        while !matches!(engine.poll_output(), Output::Timeout(_)) {}
        engine
    }

    pub(crate) fn figures(&self, instances: &Instances, deaths: &[Death]) {
        let processes = self.processes.get() + self.roll.present().len();
        println!("{processes} processes, {} at a time at most, {} jobs done", self.most.get(), self.roll.work().len());
        println!("{} looks, at most {:.0} ms apart", self.looks.get(), self.longest.get().as_secs_f64() * 1e3);
        let log = self.log.lock().expect("no panic");
        println!(
            "{} orders, {} statuses, {} terms, store stalled {} times, fenced {} times; settled after {:.1} s",
            log.orders,
            log.updates,
            log.terms.len(),
            log.stalled,
            log.fenced,
            self.settled.get().as_secs_f64()
        );
        // A leader that was stopped for a moment only stayed one.
        let mut times: BTreeMap<&str, Vec<[f64; 3]>> = BTreeMap::new();
        for (death, next) in deaths.iter().zip(deaths.iter().skip(1).map(|death| death.at).chain([f64::INFINITY])) {
            let Some(term) = log.term_after(death.at).filter(|term| term.elected < next) else { continue };
            let stopped_through = instances
                .stops
                .iter()
                .all(|stop| stop.1 > death.at + 0.1 || stop.2 >= term.elected || stop.1 < death.at - 0.1);
            if stopped_through {
                let since = |at: Option<f64>| at.map_or(f64::NAN, |at| at - death.at);
                times.entry(death.how).or_default().push([
                    term.elected - death.at,
                    since(term.subscribed),
                    since(term.acknowledged),
                ]);
            }
        }
        for (how, times) in &mut times {
            println!("{} take-overs after a leader's {how}: seconds until", times.len());
            for (number, what) in ["elected", "subscribed", "first acknowledgement"].into_iter().enumerate() {
                let mut sorted: Vec<f64> =
                    times.iter().map(|time| time[number]).filter(|time| !time.is_nan()).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                if let (Some(first), Some(last)) = (sorted.first(), sorted.last()) {
                    let middle = sorted[sorted.len() / 2];
                    println!(
                        "  {what:22} {first:6.2} at least {middle:6.2} median {last:6.2} at most ({} times)",
                        sorted.len()
                    );
                }
            }
        }
    }
}
