//! `cargo xtask fuzz`: every fuzz target in turn.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{available, cargo, run};
use crate::root;

/// Time to build all targets, with their sanitizer, on two slow cores.
const BUILD: Duration = Duration::from_secs(30 * 60);

/// Runs each target for its share of the time. False if one found something.
pub(crate) fn fuzz(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let minutes: u64 = match args {
        [] => 7,
        [flag, minutes] if flag == "--minutes" => minutes.parse().map_err(|_| "--minutes wants a whole number")?,
        _ => return Err(crate::USAGE.into()),
    };
    let folder = root().join("fuzz");
    let missing = missing(&folder);
    if !missing.is_empty() {
        return Err(missing.join("; ").into());
    }
    let targets = targets(&folder.join("fuzz_targets"))?;
    run(nightly(&folder).args(["fuzz", "build"]), BUILD)?;
    let seconds = (minutes * 60 / targets.len().max(1) as u64).max(1);
    let mut found = Vec::new();
    for target in targets {
        // What is new goes to a folder of its own: the corpus is checked in, and stays small.
        let new = folder.join("target/corpus").join(&target);
        fs::create_dir_all(&new)?;
        let mut command = nightly(&folder);
        command.args(["fuzz", "run", &target]).arg(new).arg(folder.join("corpus").join(&target));
        command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=1024"]);
        if let Err(why) = run(&mut command, Duration::from_secs(seconds) + BUILD) {
            found.push(format!("{target}: {why}"));
        }
    }
    for what in &found {
        println!("FAILED: {what}; its input is in fuzz/artifacts: mend it, and keep the input in fuzz/corpus");
    }
    Ok(found.is_empty())
}

/// Cargo of the nightly toolchain, which this program's own may not be.
fn nightly(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").current_dir(folder).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

/// What fuzzing needs and this machine doesn't have.
fn missing(folder: &Path) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !available(nightly(folder).arg("--version")) {
        missing.push("there is no nightly toolchain (`rustup toolchain install nightly`)");
    }
    if !available(cargo().args(["fuzz", "--version"])) {
        missing.push("there is no cargo-fuzz (`cargo install cargo-fuzz`)");
    }
    missing
}

/// The names of the targets, in order.
fn targets(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    // `LAWS` in mesos-core lists the same names, and its tests replay these corpora.
    #[test]
    fn every_target_has_a_corpus() {
        let folder = root().join("fuzz");
        let mut corpora: Vec<String> = fs::read_dir(folder.join("corpus"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        corpora.sort();
        assert_eq!(targets(&folder.join("fuzz_targets")).unwrap(), corpora);
    }
}
