//! `cargo xtask simulate`: the simulated worlds, optimized: seeds that once failed, others that are always the same, and ones
//! that nobody has seen.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, SystemTime};

use crate::process::{at_once, outcome};
use crate::root;

/// Time for a seed beyond the end.
const ONE: Duration = Duration::from_secs(120);
/// From here on come seeds that every change is tried with.
const KNOWN: u64 = 7_000_000;

pub(crate) fn simulate(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let minutes = match args {
        [] => 2,
        [flag, minutes] if flag == "--minutes" => {
            let minutes = minutes.parse().ok().filter(|minutes| (1..10_000).contains(minutes));
            minutes.ok_or("--minutes wants a whole number of minutes, less than a week of them")?
        }
        _ => return Err(crate::USAGE.into()),
    };
    seeds(minutes)
}

/// Seeds that once failed, some hundreds that are always the same, and new ones for so many minutes.
pub(crate) fn seeds(minutes: u64) -> Result<bool, Box<dyn Error>> {
    // With the planted bugs in it, none of which is let loose: they need that build anyway.
    let simulate = crate::planted::build()?;
    let fine = once_failed(&simulate)?;
    let fine = from(&simulate, KNOWN, &["--executors", "--seeds", "600"], 600)? && fine;
    let fine = from(&simulate, KNOWN, &["--seeds", "600"], 600)? && fine;
    let fine = from(&simulate, KNOWN, &["--seeds", "60", "--twice"], 120)? && fine;
    let first = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    println!("new seeds for {minutes} minutes, from {first}");
    // Executors' worlds are small: a tenth of the time shows as much.
    let (tenth, rest) = ((minutes * 6).to_string(), (minutes * 54).to_string());
    let fine = from(&simulate, first, &["--executors", "--seconds", &tenth], minutes * 6)? && fine;
    Ok(from(&simulate, first, &["--seconds", &rest], minutes * 54)? && fine)
}

/// Runs seeds from this one on, for so many seconds at most.
fn from(simulate: &Path, first: u64, until: &[&str], seconds: u64) -> Result<bool, Box<dyn Error>> {
    let mut command = Command::new(simulate);
    command.args(["--first-seed", &first.to_string()]).args(until);
    all_fine([outcome(&mut command, Duration::from_secs(seconds) + ONE)])
}

/// The seeds of mesos-sim/seeds.txt.
fn once_failed(simulate: &Path) -> Result<bool, Box<dyn Error>> {
    let text = fs::read_to_string(root().join("mesos-sim/seeds.txt"))?;
    let seeds = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next());
    let seeds: Vec<&str> = seeds.collect();
    let results = at_once(&seeds, |seed| outcome(Command::new(simulate).args(options(seed)), ONE));
    // What they say if nothing is wrong is of no interest.
    let fine = all_fine(results.into_iter().map(|result| {
        result.map(|(status, text)| if status.success() { (status, String::new()) } else { (status, text) })
    }))?;
    println!("{} seeds that once failed", seeds.len());
    Ok(fine)
}

/// What a line of that file asks for.
fn options(seed: &str) -> Vec<&str> {
    if let Some(seed) = seed.strip_suffix('e') {
        return vec!["--executors", "--seed", seed];
    }
    let (seed, specs) = seed.strip_suffix('v').map_or((seed, "alike"), |seed| (seed, "varied"));
    let (seed, instances) = seed.split_once('*').unwrap_or((seed, "1"));
    vec!["--seed", seed, "--instances", instances, "--specs", specs]
}

fn all_fine(results: impl IntoIterator<Item = Result<(ExitStatus, String), String>>) -> Result<bool, Box<dyn Error>> {
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
