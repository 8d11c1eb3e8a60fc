//! `cargo xtask simulate`: the simulated world, optimized: seeds that once failed, and ones that nobody has seen.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::process::{cargo, outcome, run};
use crate::root;

/// Time to build for release on two slow cores, and for a seed beyond the end.
const BUILD: Duration = Duration::from_secs(20 * 60);
const ONE: Duration = Duration::from_secs(120);
/// The second thread's seeds are this far from the first one's.
const APART: u64 = 1_000_000;
/// Unless somebody says otherwise.
const MINUTES: u64 = 2;

pub(crate) fn simulate(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let minutes: u64 = match args {
        [] => MINUTES,
        [flag, minutes] if flag == "--minutes" => minutes.parse().map_err(|_| "--minutes wants a whole number")?,
        _ => return Err(crate::USAGE.into()),
    };
    run(cargo().args(["build", "--release", "-p", "mesos-sim", "--bin", "simulate"]), BUILD)?;
    search(&root().join("target/release/simulate"), minutes)
}

/// The same as a step of `cargo xtask test`.
pub(crate) fn step() -> Result<bool, Box<dyn Error>> {
    // With the planted bugs in it, none of which is let loose: the next step needs that build anyway.
    search(&crate::planted::build()?, MINUTES)
}

/// Seeds that once failed, then new ones. Each that fails is named with the command that replays it.
fn search(simulate: &Path, minutes: u64) -> Result<bool, Box<dyn Error>> {
    let fine = once_failed(simulate)?;
    let first = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    println!("new seeds for {minutes} minutes, from {first} and {}", first + APART);
    Ok(everywhere(simulate, [first, first + APART], minutes)? && fine)
}

/// Runs seeds on two threads, from each of these on.
fn everywhere(simulate: &Path, first: [u64; 2], minutes: u64) -> Result<bool, Box<dyn Error>> {
    let results: Vec<_> = std::thread::scope(|scope| {
        let search = |first: u64| {
            let mut command = Command::new(simulate);
            let seconds = 60 * minutes;
            command.args(["--first-seed", &first.to_string(), "--seconds", &seconds.to_string()]);
            outcome(&mut command, Duration::from_secs(seconds) + ONE)
        };
        let threads: Vec<_> = first.into_iter().map(|first| scope.spawn(move || search(first))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut fine = true;
    for result in results {
        let (status, text) = result?;
        print!("{text}");
        fine &= status.success();
    }
    Ok(fine)
}

/// The seeds of mesos-sim/seeds.txt.
fn once_failed(simulate: &Path) -> Result<bool, Box<dyn Error>> {
    let text = fs::read_to_string(root().join("mesos-sim/seeds.txt"))?;
    let seeds = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next());
    let (mut fine, mut count) = (true, 0);
    for seed in seeds {
        let (seed, instances) = seed.split_once('*').unwrap_or((seed, "1"));
        let (status, text) = outcome(Command::new(simulate).args(["--seed", seed, "--instances", instances]), ONE)?;
        print!("{text}");
        fine &= status.success();
        count += 1;
    }
    println!("{count} seeds that once failed");
    Ok(fine)
}
