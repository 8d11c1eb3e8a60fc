//! `cargo xtask simulate`: the simulated world, optimized: seeds that once failed, and ones that nobody has seen.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, SystemTime};

use crate::process::{at_once, cargo, cores, outcome, run};
use crate::root;

/// Time to build for release on two slow cores, and for a seed beyond the end.
const BUILD: Duration = Duration::from_secs(20 * 60);
const ONE: Duration = Duration::from_secs(120);
/// Each core's seeds are this far from those of the one before.
const APART: u64 = 1_000_000;
/// Seeds that every change is tried with, and how many from each of the two places on.
const KNOWN: [u64; 2] = [7_000_000, 7_001_500];
const EACH: &str = "300";

pub(crate) fn simulate(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let minutes: u64 = match args {
        [] => 2,
        [flag, minutes] if flag == "--minutes" => minutes.parse().map_err(|_| "--minutes wants a whole number")?,
        _ => return Err(crate::USAGE.into()),
    };
    run(cargo().args(["build", "--release", "-p", "mesos-sim", "--bin", "simulate"]), BUILD)?;
    let simulate = root().join("target/release/simulate");
    let fine = once_failed(&simulate)?;
    let first = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    println!("new seeds for {minutes} minutes, from {first}");
    let first: Vec<u64> = (0..cores() as u64).map(|core| first + core * APART).collect();
    let seconds = (minutes * 60).to_string();
    // Their worlds are small: a tenth of the time shows as much.
    let tenth = (minutes * 6).to_string();
    let fine = everywhere(&simulate, &first, &["--executors", "--seconds", &tenth], minutes * 6)? && fine;
    Ok(everywhere(&simulate, &first, &["--seconds", &seconds], minutes * 60)? && fine)
}

/// Seeds that once failed, and a few hundred that are always the same: a change that breaks nothing passes.
pub(crate) fn known() -> Result<bool, Box<dyn Error>> {
    // With the planted bugs in it, none of which is let loose: the next step needs that build anyway.
    let simulate = crate::planted::build()?;
    let fine = once_failed(&simulate)?;
    let fine = everywhere(&simulate, &KNOWN, &["--executors", "--seeds", EACH], 600)? && fine;
    Ok(everywhere(&simulate, &KNOWN, &["--seeds", EACH], 600)? && fine)
}

/// Runs seeds from each of these on, for so many seconds at most.
fn everywhere(simulate: &Path, first: &[u64], until: &[&str], seconds: u64) -> Result<bool, Box<dyn Error>> {
    all_fine(at_once(first, |first| {
        let mut command = Command::new(simulate);
        command.args(["--first-seed", &first.to_string()]).args(until);
        outcome(&mut command, Duration::from_secs(seconds) + ONE)
    }))
}

/// The seeds of mesos-sim/seeds.txt.
fn once_failed(simulate: &Path) -> Result<bool, Box<dyn Error>> {
    let text = fs::read_to_string(root().join("mesos-sim/seeds.txt"))?;
    let seeds = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next());
    let seeds: Vec<_> = seeds.map(|seed| seed.split_once('*').unwrap_or((seed, "1"))).collect();
    let fine = all_fine(at_once(&seeds, |(seed, instances)| {
        outcome(Command::new(simulate).args(["--seed", seed, "--instances", instances]), ONE)
    }))?;
    println!("{} seeds that once failed", seeds.len());
    Ok(fine)
}

fn all_fine(results: Vec<Result<(ExitStatus, String), String>>) -> Result<bool, Box<dyn Error>> {
    let (mut fine, mut error) = (true, None);
    for result in results {
        match result {
            Ok((status, text)) => {
                print!("{text}");
                fine &= status.success();
            }
            Err(why) => error = Some(why),
        }
    }
    error.map_or(Ok(fine), |why| Err(why.into()))
}
