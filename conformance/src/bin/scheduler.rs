//! A scheduler to be killed: an engine with a file store, and orders to itself that a seed decides.
//!
//!     scheduler MASTERS STORE ROLL SEED    things come and go all the while
//!     scheduler MASTERS STORE ROLL         what the store holds is kept, no more
//!
//! MASTERS are separated by commas; ROLL is the folder where tasks sign in. Each event and each status is a line of its
//! output, and so is each order; `satisfied` is one more, whenever every spec has become so and every job is done. It
//! ends when its input does.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a program of the tests")]

use std::time::Duration;

use conformance::mesos_core::engine::{CommandError, Config, Duplicates, Engine, Event, Task, TaskSpec};
use conformance::mesos_core::scheduler::{self, Framework};
use conformance::mesos_core::{Persist, Resources, Store, StoreFailure};
use conformance::mesos_tokio::{Driver, Http};
use conformance::{Dice, RollCall};
use mesos_file::FileStore;
use tokio::io::AsyncReadExt as _;

/// A store that takes its time, before it writes and before it says so: there is much to be killed in between.
struct Slow {
    store: FileStore,
    dice: Dice,
}

impl Store for Slow {
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        tokio::time::sleep(self.dice.millis(60)).await;
        let result = self.store.apply(batch).await;
        tokio::time::sleep(self.dice.millis(30)).await;
        result
    }
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

/// A service that runs for ever.
fn web(roll: &RollCall) -> TaskSpec {
    spec("web", roll.signed("web", "exec sleep 1000"), 4).scalable(true)
}

/// A job that takes a moment, and sometimes fails at first. What it has done can be counted.
fn job(roll: &RollCall, name: &str, dice: &mut Dice) -> TaskSpec {
    let (moment, instances, fails) = (dice.below(4), 1 + dice.below(2) as u32, dice.below(3) == 0);
    let first = if fails { roll.once(name, "exit 1") } else { ":".to_owned() };
    let work = format!("{first}; sleep 0.{moment}; {}", roll.done(name));
    let job = spec(name, roll.signed(name, &work), instances).job();
    job.backoff(Duration::from_millis(100), Duration::from_secs(1))
}

/// Gives an order; what it refers to may be gone.
fn order(engine: &mut Engine, roll: &RollCall, dice: &mut Dice, name: &str) -> Result<String, CommandError> {
    let any = dice.below(1000) as usize;
    let pick = |mut tasks: Vec<Task>| (!tasks.is_empty()).then(|| tasks.swap_remove(any % tasks.len()));
    let web = pick(engine.tasks().filter(|task| task.spec == "web").collect());
    let done = engine.specs().find(|spec| spec.name != "web" && spec.finished == spec.wanted && !spec.removed);
    Ok(match (dice.below(8), web, done) {
        (0 | 1, ..) => {
            let instances = dice.below(7) as u32;
            engine.scale("web", instances)?;
            format!("scale {instances}")
        }
        (2, Some(task), _) => {
            engine.restart_instance("web", task.index)?;
            format!("restart web {}", task.index)
        }
        (3, Some(task), _) => {
            engine.kill(&task.task_id)?;
            format!("kill {}", task.task_id)
        }
        (4, ..) => {
            engine.restart("web")?;
            "restart web".to_owned()
        }
        (5, _, Some(done)) => {
            engine.remove(&done.name)?;
            format!("remove {}", done.name)
        }
        _ => {
            engine.apply(job(roll, name, dice))?;
            format!("apply {name}")
        }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (masters, store, folder) = match words.as_slice() {
        [masters, store, folder, ..] => (masters.split(','), store, folder),
        _ => panic!("scheduler MASTERS STORE ROLL [SEED]"),
    };
    let seed: Option<u64> = words.get(3).map(|seed| seed.parse().expect("a number"));
    let roll = RollCall::new(folder);
    let (store, records) = FileStore::open(store).expect("a store");
    let first = records.is_empty().then(|| web(&roll));
    let client = scheduler::Config::new(Framework::new("conformance"), masters).expect("masters");
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let engine = Engine::new(Config::new(client).protocol_events(true), first, records, now).expect("good records");
    let driver = Driver::new(engine, Http::default());
    let mut dice = Dice::new(seed.unwrap_or_default());
    let mut driver = match seed {
        Some(_) => driver.store(Slow { store, dice: dice.clone() }),
        None => driver.store(store),
    };

    let mut jobs = 0;
    let mut next = tokio::time::Instant::now();
    let mut satisfied = false;
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    loop {
        tokio::select! {
            _ = input.read(&mut byte) => return,
            () = tokio::time::sleep_until(next), if seed.is_some() => {
                next += Duration::from_millis(30) + dice.millis(300);
                let name = format!("job-{}-{jobs}", seed.unwrap_or_default());
                jobs += 1;
                let order = driver.with(|engine| order(engine, &roll, &mut dice, &name));
                println!("order {order:?}");
            }
            event = driver.next_event() => match event {
                Some(Event::Protocol(scheduler::Event::Update(update))) => {
                    println!("{:?} {:?} {} ({})", update.state(), update.reason(), update.task_id(), update.uuid().is_some());
                }
                Some(Event::Protocol(_)) => {}
                Some(event) => println!("{event:?}"),
                None => return,
            }
        }
        let all = driver.machine().specs().all(|spec| {
            // A job that runs satisfies its spec already.
            spec.satisfied && !spec.removed && (spec.name == "web" || spec.finished == spec.wanted)
        });
        if all && !satisfied {
            println!("satisfied");
        }
        satisfied = all;
    }
}
