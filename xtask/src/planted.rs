//! `cargo xtask planted`: proof that the simulated world finds bugs. Each that mesos-core/src/planted.rs names is let
//! loose on its own, and the ordinary invariants have to find it within the number of seeds stated there.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{at_once, cargo, outcome, output, run};
use crate::root;

/// Time to build for release on two slow cores.
const BUILD: Duration = Duration::from_secs(20 * 60);
/// A bug that makes the engine busy for ever has not been found.
const LIMIT: Duration = Duration::from_secs(600);

struct Bug {
    name: String,
    seeds: u64,
    what: String,
}

/// What has found a bug.
struct Found {
    invariant: String,
    /// How many seeds it took.
    seeds: u64,
}

pub(crate) fn planted(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let (mut only, mut first) = (None, 1);
    for option in args.chunks(2) {
        match option {
            [flag, name] if flag == "--only" => only = Some(name.as_str()),
            [flag, seed] if flag == "--first-seed" => first = seed.parse().map_err(|_| crate::USAGE)?,
            _ => return Err(crate::USAGE.into()),
        }
    }
    let simulate = build()?;
    let mut bugs = list(&simulate)?;
    bugs.retain(|bug| only.is_none_or(|only| bug.name == only));
    if bugs.is_empty() {
        return Err(
            format!("no bug is called {}; mesos-core/src/planted.rs names them", only.unwrap_or_default()).into()
        );
    }
    let began = Instant::now();
    let most = bugs.iter().map(|bug| bug.seeds).max().unwrap_or(1);
    // The first place is for the engine as it is.
    let jobs: Vec<Option<&Bug>> = std::iter::once(None).chain(bugs.iter().map(Some)).collect();
    let results = at_once(&jobs, |job| search(&simulate, *job, first, job.map_or(most, |bug| bug.seeds)));
    let mut faults = Vec::new();
    println!("{:<24} {:<6} {:>6} {:>6}  what it does", "bug", "found", "after", "limit");
    for (job, result) in jobs.iter().zip(results) {
        match (job, result) {
            (_, Err(why)) => faults.push(why),
            (None, Ok(None)) => {}
            (None, Ok(Some(Found { invariant, seeds }))) => {
                faults.push(format!("{invariant} does not hold without any bug, in seed {}", first + seeds - 1));
            }
            (Some(Bug { name, seeds, what }), Ok(found)) => {
                let (by, after) = match &found {
                    Some(found) => (found.invariant.as_str(), found.seeds.to_string()),
                    None => ("NOT", String::new()),
                };
                println!("{name:<24} {by:<6} {after:>6} {seeds:>6}  {what}");
                if found.is_none() {
                    faults.push(format!("{name} was not found in {seeds} seeds"));
                }
            }
        }
    }
    println!("{} bugs, {most} seeds without any, {:.0} s", bugs.len(), began.elapsed().as_secs_f64());
    for fault in &faults {
        println!("FAILED: {fault}");
    }
    Ok(faults.is_empty())
}

/// Builds `simulate` with all bugs in it, apart from everything else.
pub(crate) fn build() -> Result<PathBuf, String> {
    let target = root().join("target/planted");
    let mut command = cargo();
    command.args(["build", "--release", "-p", "mesos-sim", "--bin", "simulate", "--target-dir"]).arg(&target);
    command.env("RUSTFLAGS", "--cfg planted").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    run(&mut command, BUILD)?;
    Ok(target.join("release/simulate"))
}

fn list(simulate: &Path) -> Result<Vec<Bug>, String> {
    let text = output(Command::new(simulate).arg("--list-planted"))?;
    let bug = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (name, seeds, what) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        Some(Bug { name: name.to_owned(), seeds, what: what.to_owned() })
    };
    Ok(text.lines().filter_map(bug).collect())
}

/// Runs seeds from this one on until an invariant doesn't hold.
fn search(simulate: &Path, bug: Option<&Bug>, first: u64, seeds: u64) -> Result<Option<Found>, String> {
    let mut command = Command::new(simulate);
    // One thread each: there are more bugs than processors.
    command.args(["--first-seed", &first.to_string(), "--seeds", &seeds.to_string(), "--threads", "1"]);
    if let Some(bug) = bug {
        command.args(["--plant", &bug.name]);
    }
    let (status, text) = outcome(&mut command, LIMIT)?;
    match (status.code(), text.lines().find_map(violation)) {
        (Some(0), None) => Ok(None),
        (Some(1), Some((seed, invariant))) => Ok(Some(Found { invariant, seeds: seed + 1 - first })),
        _ => Err(format!("{}: {status}\n{text}", bug.map_or("no bug", |bug| &bug.name))),
    }
}

/// The seed and the invariant of a line such as `seed 1, step 25 at 0.038 s: I5: TASK_STARTING of ...`.
fn violation(line: &str) -> Option<(u64, String)> {
    let (seed, rest) = line.strip_prefix("seed ")?.split_once(',')?;
    let invariant = rest.split(": ").nth(1)?;
    Some((seed.parse().ok()?, invariant.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::violation;

    #[test]
    fn a_line_of_simulate_says_what_was_found() {
        let line = "seed 17, step 25 at 0.038 s: I5: TASK_STARTING of x is acknowledged: early";
        assert_eq!(violation(line), Some((17, "I5".to_owned())));
        assert_eq!(violation("  replay: cargo run --release"), None);
    }
}
