//! A scheduler to be killed: an engine with a file store, and orders to itself that a seed decides.
//!
//!     scheduler MASTERS STORE ROLL SEED    things come and go all the while
//!     scheduler MASTERS STORE ROLL         what the store holds is kept, no more
//!
//! MASTERS are separated by commas; ROLL is the folder where tasks sign in. Each event and each status is a line of its
//! output, and so is each order; `satisfied` is one more, whenever every spec has become so and every job is done. It
//! ends when its input does.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a program of the tests")]

use conformance::mesos_core::engine::{Config, Engine, Event};
use conformance::mesos_core::scheduler::{self, Framework};
use conformance::mesos_tokio::{Driver, Http};
use conformance::{Orders, RollCall, Slow};
use mesos_file::FileStore;
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (masters, store, folder) = match words.as_slice() {
        [masters, store, folder, ..] => (masters.split(','), store, folder),
        _ => panic!("scheduler MASTERS STORE ROLL [SEED]"),
    };
    let seed: Option<u64> = words.get(3).map(|seed| seed.parse().expect("a number"));
    let number = seed.unwrap_or_default();
    let mut orders = Orders::new(&RollCall::new(folder), 1, 6, number.to_string(), number);
    let (store, records) = FileStore::open(store).expect("a store");
    let first: Vec<_> = if records.is_empty() { orders.first().collect() } else { Vec::new() };
    let client = scheduler::Config::new(Framework::new("conformance"), masters).expect("masters");
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let engine = Engine::new(Config::new(client).protocol_events(true), first, records, now).expect("good records");
    let driver = Driver::new(engine, Http::default());
    let mut driver = match seed {
        Some(seed) => driver.store(Slow::new(store, seed)),
        None => driver.store(store),
    };

    let mut next = tokio::time::Instant::now();
    let mut satisfied = false;
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    loop {
        tokio::select! {
            _ = input.read(&mut byte) => return,
            () = tokio::time::sleep_until(next), if seed.is_some() => {
                next += orders.pause();
                let order = driver.with(|engine| orders.give(engine));
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
        let all = Orders::fulfilled(driver.machine());
        if all && !satisfied {
            println!("satisfied");
        }
        satisfied = all;
    }
}
