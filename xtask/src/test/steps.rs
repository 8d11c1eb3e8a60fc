//! The table of steps.

use std::process::Command;
use std::time::Duration;

use super::{Outcome, Step, checks, real};
use crate::process::{available, cargo, run};

pub(super) const STEPS: &[Step] = &[
    plain("fmt", "formatted by rustfmt", fmt),
    plain("rules", "length of files, no `extern crate std`", checks::rules),
    plain("deps", "mesos-core depends on what its list says", checks::dependencies),
    plain("no-async", "mesos-blocking brings no async runtime", checks::no_async),
    plain("no-std", "mesos-proto and mesos-core need no std", no_std),
    plain("clippy", "no warnings", clippy),
    plain("features", "the feature sets that matter compile", features),
    plain("tests", "unit and integration tests, simulated conformance, generated code", tests),
    plain("doctests", "examples in the documentation", doctests),
    plain("docs", "documentation without warnings", docs),
    plain(
        "simulate",
        "seeds of the simulated worlds: those that once failed, known ones, new ones for two minutes",
        simulate,
    ),
    plain("planted", "the simulated world finds planted bugs", planted),
    plain("embedded", "command_scheduler and rolling_restart on their embedded clusters", embedded),
    plain("protocol", "protocol_only on its embedded cluster", protocol),
    plain("own-runtimes", "drivers on threads, mio and smol", own_runtimes),
    real("real-setup", "a real Mesos 1.11.0 is made", real::setup),
    real("real", "conformance on the real Mesos", real::conformance),
    beside("chaos", "two minutes in which all of a real cluster dies in turn", chaos),
    real("zookeeper", "mesos-zk on real ZooKeeper servers", real::zookeeper),
];

const fn plain(name: &'static str, what: &'static str, run: fn() -> Outcome) -> Step {
    Step { name, what, real: false, beside: false, run }
}

const fn real(name: &'static str, what: &'static str, run: fn() -> Outcome) -> Step {
    Step { real: true, ..plain(name, what, run) }
}

const fn beside(name: &'static str, what: &'static str, run: fn() -> Outcome) -> Step {
    Step { beside: true, ..real(name, what, run) }
}

/// Everything that is tested, with all that it can do: the same in each step, so that nothing is compiled twice. `gen` is
/// for the test that generated code is what `cargo xtask gen` writes.
pub(super) const WHOLE: [&str; 3] = ["--workspace", "--features", "xtask/gen,mesos-zk/tls"];

/// Time for a step that compiles the workspace, on two slow cores from nothing.
pub(super) const BUILD: Duration = Duration::from_secs(20 * 60);

fn fmt() -> Outcome {
    run(cargo().args(["fmt", "--all", "--check"]), Duration::from_secs(120)).into()
}

fn clippy() -> Outcome {
    run(cargo().arg("clippy").args(WHOLE).args(["--all-targets", "--", "-D", "warnings"]), BUILD).into()
}

/// Each set that users are likely to build and that others don't cover: a crate alone has only the features of its
/// dependencies that it asks for.
fn features() -> Outcome {
    let sets: &[&[&str]] = &[
        &["-p", "mesos-proto", "--no-default-features"],
        &["-p", "mesos-core", "--no-default-features"],
        &["-p", "mesos-core", "--all-features"],
        &["-p", "mesos-blocking"],
        &["-p", "mesos-tokio", "--no-default-features"],
        &["-p", "mesos-zk"],
        &["-p", "mesos-sim", "--no-default-features"],
        &["-p", "mesos-sim", "--all-features"],
        &["-p", "mesos-blocking", "--all-features"],
        &["-p", "mesos-proto", "--all-features"],
    ];
    let mut all = Ok(());
    for set in sets {
        all = all.and_then(|()| run(cargo().arg("check").args(*set), BUILD));
    }
    all.into()
}

/// Whether cargo-nextest is there; without it `cargo test` does the same, a little slower.
pub(super) fn nextest() -> bool {
    available(cargo().args(["nextest", "--version"]))
}

/// S242: all on loopback, and nothing beyond what cargo has fetched.
fn tests() -> Outcome {
    let mut command = cargo();
    if nextest() {
        command.args(["nextest", "run"]).args(WHOLE).arg("--no-fail-fast");
    } else {
        command.arg("test").args(WHOLE).args(["--all-targets", "--no-fail-fast"]);
    }
    run(&mut command, BUILD).into()
}

fn doctests() -> Outcome {
    run(cargo().arg("test").args(WHOLE).arg("--doc"), BUILD).into()
}

/// S241
fn docs() -> Outcome {
    run(cargo().arg("doc").args(WHOLE).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"), BUILD).into()
}

/// A program without std, allocator and panic handler its own: what links std can't be in its graph.
fn no_std() -> Outcome {
    let manifest = crate::root().join("xtask/no-std/Cargo.toml");
    run(cargo().args(["check", "--manifest-path"]).arg(manifest), BUILD).into()
}

fn simulate() -> Outcome {
    whether(crate::simulate::seeds(2))
}

fn planted() -> Outcome {
    whether(crate::planted::planted(&[]))
}

fn whether(result: Result<bool, Box<dyn std::error::Error>>) -> Outcome {
    match result {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::Failed("see above".to_owned()),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// With a new seed each time, which it prints.
fn chaos() -> Outcome {
    real::chaos(None, 2.0)
}

/// S228, S233
fn embedded() -> Outcome {
    // Three tasks, one of which fails and is started again.
    let kept = [(": RUNNING", 4), (": FAILED", 1), ("the framework is removed", 1)];
    match example("command_scheduler", &["--duration", "9"], &kept) {
        Outcome::Passed => example("rolling_restart", &[], &[("ready", 8), ("3 of 4 were ready at any time", 1)]),
        other => other,
    }
}

fn protocol() -> Outcome {
    example("protocol_only", &["--duration", "4"], &[(": RUNNING", 3), ("Teardown", 1)])
}

/// The drivers of one's own, each on its embedded cluster.
fn own_runtimes() -> Outcome {
    for name in ["own_runtime_threads", "own_runtime_mio", "own_runtime_smol"] {
        let outcome = example(name, &[], &[(": RUNNING", 3), ("the framework is removed", 1)]);
        if !matches!(outcome, Outcome::Passed) {
            return outcome;
        }
    }
    Outcome::Passed
}

/// Runs an example with these words; its output has to have each of these texts so often at least.
fn example(name: &str, words: &[&str], wanted: &[(&str, usize)]) -> Outcome {
    let file = crate::root().join("target").join(name).with_extension("out");
    let result = run(cargo().arg("build").args(WHOLE).args(["--example", name]), BUILD).and_then(|()| {
        let out = std::fs::File::create(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut command = Command::new(crate::root().join("target/debug/examples").join(name));
        command.args(words).stdout(out);
        let result = run(&mut command, Duration::from_secs(120));
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        print!("{text}");
        result?;
        match wanted.iter().find(|(what, times)| text.matches(what).count() < *times) {
            Some((what, times)) => Err(format!("{name} did not say {what:?} {times} times")),
            None => Ok(()),
        }
    });
    result.into()
}
