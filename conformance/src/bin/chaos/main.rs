//! Everything dies in turn, on a real Mesos with real ZooKeeper, while tasks come and go; judged from outside.
//!
//!     chaos [--seed N] [--minutes M]
//!
//! Three masters, three agents, three ZooKeeper servers, two instances of a scheduler. The seed decides what is killed or
//! stopped, when, and for how long, and what the instances order. In the end all is healed, and what the store says, what
//! the agents say and what runs must be the same. It wants `bin/instance` beside itself, and the variables of the real
//! side (see the README). `cargo xtask chaos` has all that.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a program of the tests")]

mod faults;
mod judge;

use std::time::Duration;

use conformance::{By, Cluster, Dice, Instances, Options, RollCall, Side, run};
use faults::Faults;
use judge::Judge;

/// Services, and instances of each at most. They are half of that on average, and jobs come on top.
const SERVICES: (u32, u32) = (7, 14);

fn main() {
    let (mut seed, mut minutes) = (None, 5.0);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next();
        let value = || value.as_deref().unwrap_or_default();
        match word.as_str() {
            "--seed" => seed = Some(value().parse().expect("--seed wants a number")),
            "--minutes" => minutes = value().parse().expect("--minutes wants a number"),
            _ => panic!("chaos [--seed N] [--minutes M]"),
        }
    }
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as u64));
    println!("seed {seed}, {minutes} minutes");
    let options = Options { masters: 3, agents: 3, zookeepers: 3, executor_patience: "5secs", ..Options::default() };
    let time = Duration::from_secs_f64(minutes * 60.0);
    run(Side::Real, By::Tokio, options, async |cluster| chaos(cluster, seed, time).await);
    println!("seed {seed}: nothing lost, nothing doubled");
}

async fn chaos(cluster: &Cluster, seed: u64, time: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let roll = RollCall::new(folder.path());
    let program = std::env::current_exe().expect("this program").with_file_name("instance");
    let mut instances = Instances::new(program, cluster, &roll, 2, SERVICES, Some(seed));
    (0..2).for_each(|who| instances.start(who));
    let judge = Judge::new(cluster, &roll, &instances);
    instances.until("a start", Duration::from_secs(60), |log| (log.launched.len() > 5).then_some(())).await;

    let mut faults = Faults::new(cluster, Dice::new(seed));
    tokio::select! {
        () = judge.watch() => {}
        () = async {
            faults.inflict(&mut instances, time).await;
            faults.heal(&mut instances).await;
            instances.quiet().await;
            judge.settle(&mut instances).await;
        } => {}
    }
    faults.figures();
    judge.figures(&instances, &faults.deaths);
}
