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
/// Each processor's seeds are this far from the next one's.
const APART: u64 = 1_000_000_000;

pub(crate) fn simulate(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let minutes: u64 = match args {
        [] => 2,
        [flag, minutes] if flag == "--minutes" => minutes.parse().map_err(|_| "--minutes wants a whole number")?,
        _ => return Err(crate::USAGE.into()),
    };
    run(cargo().args(["build", "--release", "-p", "mesos-sim", "--bin", "simulate"]), BUILD)?;
    let simulate = root().join("target/release/simulate");
    let mut fine = once_failed(&simulate)?;
    let first = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    println!("new seeds for {minutes} minutes, from {first}");
    let results: Vec<_> = std::thread::scope(|scope| {
        let new = |worker: u64| {
            let mut command = Command::new(&simulate);
            command.args(["--first-seed", &(first + worker * APART).to_string()]);
            command.args(["--seconds", &(minutes * 60).to_string()]);
            outcome(&mut command, Duration::from_secs(minutes * 60) + ONE)
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || new(worker))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
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
        let (status, text) = outcome(Command::new(simulate).args(["--seed", seed]), ONE)?;
        print!("{text}");
        fine &= status.success();
        count += 1;
    }
    println!("{count} seeds that once failed");
    Ok(fine)
}
