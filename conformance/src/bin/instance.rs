//! One of several instances of a scheduler: candidate, leader, candidate again.
//!
//!     instance NAME ZK MASTERS ROLL SERVICES MOST LIFE SEED [fresh]
//!
//! ZK is `zk://...`, with records and election below; MASTERS are separated by commas, or `zk://...` too; ROLL is the folder where tasks sign
//! in. With a SEED (`-` is none) things come and go while it leads, until a line of input says `quiet`; the line
//! `uninstall` ends it with the whole framework. If that is removed by others, the instance makes a new one if it is to be
//! `fresh`, and otherwise ends. Each line of output is a time, a verb and what belongs to it. It ends at SIGTERM, in good
//! order, and when its input does, at once.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a program of the tests")]

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use conformance::mesos_core::engine::{Config, Engine, Event, OnRemoved};
use conformance::mesos_core::scheduler::{self, CallKind, FatalReason, Framework, Outcome};
use conformance::mesos_tokio::{Driver, Http};
use conformance::{Orders, RollCall, SESSION, Slow, now};
use mesos_zk::{Election, Lease, MasterDetector, Records, Settings, Zk, ZkError, ZkStore};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

fn say(what: impl Display) {
    println!("{:.6} {what}", now());
}

struct Instance {
    words: Vec<String>,
    seed: Option<u64>,
    /// Where the masters are found, if they aren't listed.
    detection: Option<Zk>,
    terms: u32,
    input: Lines<BufReader<Stdin>>,
    terminate: Signal,
}

/// What to do after a term.
enum Next {
    Campaign,
    Leave(i32),
}

impl Instance {
    /// Does this, but for a wish to leave.
    async fn unless_asked<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                _ = self.terminate.recv() => return None,
                line = self.input.next_line() => match line {
                    Ok(Some(_)) => self.seed = None,
                    _ => return None,
                },
            }
        }
    }

    fn engine(&self, orders: &Orders, records: Records) -> Engine {
        let first: Vec<_> = if records.is_empty() { orders.first().collect() } else { Vec::new() };
        let framework = Framework::new("conformance");
        let client = match &self.detection {
            Some(_) => scheduler::Config::detected(framework),
            None => scheduler::Config::new(framework, self.words[2].split(',')),
        };
        let client = client.expect("masters");
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
        let policy = if self.words.get(8).is_some() { OnRemoved::FreshId } else { OnRemoved::Stop };
        let config = Config::new(client).protocol_events(true).on_removed(policy);
        Engine::new(config, first, records, seed).expect("good records")
    }

    /// Leads until it can't any longer.
    async fn lead(&mut self, lease: Lease) -> Next {
        let (store, records) = match ZkStore::open(&lease).await {
            Ok(opened) => opened,
            Err(error) => {
                say(format_args!("over not opened: {error}"));
                sleep(Duration::from_millis(200)).await;
                return Next::Campaign;
            }
        };
        say(format_args!("opened {}", records.len()));
        self.terms += 1;
        let number = |at: usize| self.words[at].parse().expect("a number");
        let life = format!("{}-{}", self.words[6], self.terms);
        let mut orders =
            Orders::new(&RollCall::new(&self.words[3]), number(4), number(5), life, self.seed.unwrap_or(0));
        let driver = Driver::new(self.engine(&orders, records), Http::default());
        let driver = match &self.detection {
            Some(zk) => driver.detector(MasterDetector::new(zk)),
            None => driver,
        };
        let mut driver = match self.seed {
            Some(seed) => driver.store(Slow::new(store, seed)),
            None => driver.store(store),
        };
        let mut lost = pin!(lease.lost());
        let mut removed = false;
        let (mut next, mut satisfied, mut leaving, mut ended) = (Instant::now(), false, false, None);
        loop {
            tokio::select! {
                biased;
                why = &mut lost => {
                    say(format_args!("over lost: {why}"));
                    return if leaving { Next::Leave(0) } else { Next::Campaign };
                }
                _ = self.terminate.recv() => {
                    leaving = true;
                    driver.with(Engine::disconnect);
                }
                line = self.input.next_line() => match line {
                    Ok(Some(line)) if line == "uninstall" => {
                        leaving = true;
                        driver.with(Engine::uninstall);
                    }
                    Ok(Some(_)) => self.seed = None,
                    _ => return Next::Leave(0),
                },
                () = sleep_until(next), if self.seed.is_some() && !leaving => {
                    next = Instant::now() + orders.pause();
                    let order = driver.with(|engine| orders.give(engine));
                    say(format_args!("order {order:?}"));
                }
                event = driver.next_event() => match event {
                    Some(event) => {
                        removed |= matches!(event, Event::Stopped { removed: true });
                        ended = told(event).or(ended);
                    }
                    None => break,
                }
            }
            let all = Orders::fulfilled(driver.machine());
            if all != satisfied {
                say(format_args!("satisfied {all}"));
            }
            satisfied = all;
        }
        drop(driver);
        say("over");
        if removed {
            lease.end().await;
        } else {
            lease.release().await;
        }
        match ended {
            _ if leaving => Next::Leave(0),
            Some(next) => next,
            None => Next::Leave(1),
        }
    }
}

/// Tells it, and what to do when it is the last one.
fn told(event: Event) -> Option<Next> {
    match event {
        Event::Protocol(scheduler::Event::Update(update)) => {
            say(format_args!(
                "update {} {:?} {:?} {}",
                update.task_id(),
                update.state(),
                update.reason(),
                update.uuid().is_some()
            ));
        }
        Event::Protocol(scheduler::Event::CallDone { kind, outcome, .. }) => match (kind, outcome) {
            (CallKind::Acknowledge, Outcome::Accepted { .. }) => say("acknowledged"),
            (_, Outcome::Accepted { .. }) => {}
            (kind, outcome) => say(format_args!("call {kind:?} {outcome:?}")),
        },
        Event::Protocol(_) => {}
        Event::Subscribed(subscribed) => say(format_args!("subscribed {}", subscribed.framework_id.value)),
        Event::TaskLaunched(task) => say(format_args!("launched {}", task.task_id)),
        Event::UnknownTask { task_id, state, .. } => say(format_args!("unknown {task_id} {state:?}")),
        Event::StoreStalled { .. } => say(format_args!("stalled {event:?}")),
        Event::Fenced(failure) => {
            say(format_args!("fenced {failure}"));
            return Some(Next::Campaign);
        }
        Event::Fatal(FatalReason::FailedOver) => {
            say("event another instance has subscribed");
            return Some(Next::Campaign);
        }
        Event::Fatal(_) | Event::StoreRefused(_) | Event::RecordQuarantined(_) => {
            say(format_args!("wrong {event:?}"));
        }
        event => say(format_args!("event {event:?}")),
    }
    None
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    assert!(words.len() >= 8, "instance NAME ZK MASTERS ROLL SERVICES MOST LIFE SEED [fresh]");
    let zk = |text: &str| {
        let settings: Settings = text.parse().expect("zk://...");
        Zk::new(settings.session_timeout(SESSION)).expect("a thread")
    };
    let detection = words[2].starts_with("zk://").then(|| zk(&words[2]));
    let zk = zk(&words[1]);
    let election = Election::new(&zk, &words[0]);
    let seed = (words[7] != "-").then(|| words[7].parse().expect("a number"));
    let input = BufReader::new(tokio::io::stdin()).lines();
    let terminate = signal(SignalKind::terminate()).expect("signals");
    let mut instance = Instance { words, seed, detection, terms: 0, input, terminate };
    loop {
        say("candidate");
        let Some(lease) = instance.unless_asked(election.campaign()).await else { std::process::exit(0) };
        if lease.as_ref().is_err_and(|error| *error == ZkError::Ended) {
            say("ended");
            std::process::exit(0);
        }
        let lease = lease.expect("ZooKeeper lets us in");
        say("elected");
        match instance.lead(lease).await {
            Next::Campaign => {}
            // The runtime would wait for the next line of input.
            Next::Leave(code) => std::process::exit(code),
        }
    }
}
