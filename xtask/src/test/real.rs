//! The steps that need a real Mesos, which `conformance/real-mesos` makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Outcome;
use super::steps::{BUILD, WHOLE, nextest};
use crate::process::{available, cargo, run};
use crate::root;

/// Ours, of the examples.
const EXECUTOR: &str = "mesos-executor";
const SCHEDULER: &str = "command_scheduler";

/// Where Debian's package puts it.
const ZOOKEEPER: &str = "/usr/share/java/zookeeper.jar";

fn tool(name: &str) -> Command {
    let mut command = Command::new(root().join("conformance/real-mesos").join(name));
    command.current_dir(root());
    command
}

/// Where `setup` puts things: as it decides itself.
fn home() -> Option<PathBuf> {
    let set = std::env::var_os("REAL_MESOS_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    set.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/real-mesos")))
}

/// Why this machine can't have a real Mesos, if it can't.
fn missing() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("the real Mesos is for x86-64 Linux only".to_owned());
    }
    if !available(Command::new("dpkg-query").arg("--version")) {
        return Some("the real Mesos is made from Debian's packages, and this is no Debian".to_owned());
    }
    if home().is_none() {
        return Some("neither REAL_MESOS_HOME nor HOME is set".to_owned());
    }
    None
}

/// Whether everything is there already, and so no rights are needed.
fn complete() -> bool {
    let Some(home) = home() else { return false };
    let programs = ["bin/mesos-master", "bin/mesos-agent", "bin-tls/mesos-master", "libexec/mesos-executor"];
    programs.iter().all(|program| home.join(program).exists())
        && Path::new(ZOOKEEPER).exists()
        && available(Command::new("openssl").arg("version"))
}

fn may_install() -> bool {
    available(Command::new("sh").args(["-c", "[ \"$(id -u)\" = 0 ]"]))
}

/// Makes the real Mesos, with ZooKeeper and TLS.
pub(super) fn setup() -> Outcome {
    if let Some(why) = missing() {
        return Outcome::LeftOut(why);
    }
    if !complete() && !may_install() {
        let first = run(tool("setup").args(["--zookeeper", "--tls"]), Duration::from_secs(600));
        return match first {
            Ok(()) => Outcome::Passed,
            Err(why) => Outcome::LeftOut(format!("packages are missing and only root can install them ({why})")),
        };
    }
    run(tool("setup").args(["--zookeeper", "--tls"]), Duration::from_secs(600)).into()
}

/// Runs a program that makes real clusters under `target/NAME`, as its variables tell it. Whatever it leaves running is
/// stopped.
fn with_clusters(name: &str, program: impl FnOnce() -> Command, limit: Duration) -> Outcome {
    if let Some(why) = missing() {
        return Outcome::LeftOut(why);
    }
    let Some(home) = home().filter(|_| complete()) else {
        return Outcome::LeftOut("there is no real Mesos: the step real-setup was left out or failed".to_owned());
    };
    if let Err(why) = run(cargo().arg("build").args(WHOLE).args(["--bins", "--example", SCHEDULER]), BUILD) {
        return Err(why).into();
    }
    let runs = root().join("target").join(name);
    stop_leftovers(&runs);
    let mut command = program();
    command.env("MESOS_CONFORMANCE_REAL", &home).env("MESOS_CONFORMANCE_RUN", &runs);
    // The agents' command executor is ours, and not the replacement in Python.
    command.env("REAL_MESOS_EXECUTOR", root().join("target/debug").join(EXECUTOR));
    let result = run(&mut command, limit);
    stop_leftovers(&runs);
    result.into()
}

/// Everything dies in turn, for so many minutes.
pub(super) fn chaos(seed: Option<u64>, minutes: f64) -> Outcome {
    let program = || {
        let mut command = Command::new(root().join("target/debug/chaos"));
        command.current_dir(root()).args(["--minutes", &minutes.to_string()]);
        if let Some(seed) = seed {
            command.args(["--seed", &seed.to_string()]);
        }
        command
    };
    // It has to come to rest in the end, and that has a limit of its own. An hour leaves some 10,000 sandboxes, which
    // take their time to be removed.
    with_clusters("real-chaos", program, Duration::from_secs_f64(minutes * 90.0) + Duration::from_secs(600))
}

/// The conformance suite on real clusters, a few at a time.
pub(super) fn conformance() -> Outcome {
    let program = || ignored(&["engine", "executor", "protocol", "mesos_executor"]);
    with_clusters("real-mesos", program, Duration::from_secs(25 * 60))
}

/// What plain `cargo test` leaves out of these files. They are marked ignored, so that whoever hasn't what they need sees
/// that they were left out.
fn ignored(files: &[&str]) -> Command {
    let mut command = cargo();
    command.args(if nextest() { &["nextest", "run"][..] } else { &["test"] }).args(WHOLE).arg("--no-fail-fast");
    command.args(files.iter().flat_map(|file| ["--test", file]));
    command.args(if nextest() { &["--run-ignored", "only"][..] } else { &["--", "--ignored"] });
    // Clusters share the machine: no more than a few at a time.
    command.args(["--test-threads", "5"]);
    command
}

/// Store, election and detection on real ZooKeeper servers, which the tests start, kill and stop. They need no Mesos.
pub(super) fn zookeeper() -> Outcome {
    if !Path::new(ZOOKEEPER).exists() || !available(Command::new("java").arg("-version")) {
        return Outcome::LeftOut("there is no ZooKeeper: the step real-setup was left out or failed".to_owned());
    }
    run(&mut ignored(&["zookeeper", "tls"]), Duration::from_secs(20 * 60)).into()
}

/// Stops the clusters recorded under this folder: only processes that `cluster` itself recorded are signalled.
fn stop_leftovers(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        if entry.path().join("nodes").is_dir() {
            println!("stopping what an earlier test left in {}", entry.path().display());
            let _ = run(tool("cluster").arg("stop").env("REAL_MESOS_RUN", entry.path()), Duration::from_secs(60));
        }
    }
}
