//! `cargo xtask test`: one table of steps, each with a time limit; a summary of all at the end.

mod checks;
mod real;
mod steps;

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process;
use steps::STEPS;

/// Each step has a limit of its own, which is less.
const APART: Duration = Duration::from_secs(40 * 60);
/// How a line of the summary begins that names what was left out.
const LEFT_OUT: &str = "LEFT OUT: ";

/// How a step ended.
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// This machine can't do it, and why.
    LeftOut(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(why) => Self::Failed(why),
        }
    }
}

/// One thing to check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Whether it needs a real Mesos.
    pub(crate) real: bool,
    /// Whether it waits most of its time, and may do so while the one before it runs.
    pub(crate) beside: bool,
    pub(crate) run: fn() -> Outcome,
}

/// `cargo xtask chaos`. True if nothing was lost or doubled.
pub(crate) fn chaos(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let (mut seed, mut minutes) = (None, 5.0);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a number\n{}", crate::USAGE));
        match word.as_str() {
            "--seed" => seed = Some(value()?.parse()?),
            "--minutes" => minutes = value()?.parse()?,
            _ => return Err(format!("unknown argument {word}\n{}", crate::USAGE).into()),
        }
    }
    if !(minutes > 0.0 && minutes < 10_000.0) {
        return Err("--minutes wants more than none, and less than a week".into());
    }
    match real::chaos(seed, minutes) {
        Outcome::Passed => Ok(true),
        Outcome::Failed(why) => {
            println!("FAILED: {why}");
            Ok(false)
        }
        Outcome::LeftOut(why) => Err(format!("{why}; `cargo xtask test --only real-setup` makes one").into()),
    }
}

/// Runs the steps that were asked for. True when none failed.
pub(crate) fn run(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let mut skip_real = false;
    let mut only: Vec<&str> = Vec::new();
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--skip-real" => skip_real = true,
            "--only" => only.push(words.next().ok_or("--only wants the name of a step")?),
            "--list" => {
                for step in STEPS {
                    println!("{:<12} {}", step.name, step.what);
                }
                return Ok(true);
            }
            _ => return Err(format!("unknown argument {word}\n{}", crate::USAGE).into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        return Err(format!("there is no step {unknown}; `cargo xtask test --list` names them").into());
    }

    // Before anything is built: that may replace it.
    let program = std::env::current_exe()?;
    let words = if skip_real { &["--skip-real"][..] } else { &[] };
    let began = Instant::now();
    let chosen: Vec<&'static Step> = STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect();
    let done: Vec<Done> = chosen
        .chunk_by(|_, next| next.beside)
        .filter_map(<[_]>::split_first)
        .flat_map(|(first, beside)| {
            let apart = |step: &Step| apart(&program, step.name, words);
            together(first, beside, skip_real, &apart)
        })
        .collect();
    Ok(summary(&done, began.elapsed().as_secs_f64()))
}

/// A step's name, how it ended, and how many seconds it took.
type Done = (&'static str, Outcome, f64);

/// Runs a step, and meanwhile others, each of which gives its outcome and all that it has printed.
fn together(
    first: &Step,
    others: &[&'static Step],
    skip_real: bool,
    apart: &(impl Fn(&Step) -> Result<(Outcome, String), String> + Sync),
) -> Vec<Done> {
    std::thread::scope(|scope| {
        let start = |step: &&'static Step| {
            let step = *step;
            println!("\n== {}: in a process of its own, beside {}", step.name, first.name);
            (step.name, scope.spawn(move || timed(|| apart(step))))
        };
        let others: Vec<_> = others.iter().map(start).collect();
        println!("\n== {}: {}", first.name, first.what);
        let (outcome, seconds) = timed(|| match first.real && skip_real {
            true => Outcome::LeftOut("--skip-real was given".to_owned()),
            false => (first.run)(),
        });
        match &outcome {
            Outcome::Passed => println!("== {}: ok", first.name),
            Outcome::Failed(why) => println!("== {}: FAILED: {why}", first.name),
            Outcome::LeftOut(why) => println!("== {}: left out: {why}", first.name),
        }
        let mut done = vec![(first.name, outcome, seconds)];
        for (name, thread) in others {
            let (result, seconds) = thread.join().unwrap_or_else(|_| (Err("its thread has panicked".into()), 0.0));
            let (outcome, text) = result.unwrap_or_else(|why| (Outcome::Failed(why), String::new()));
            println!("{text}");
            done.push((name, outcome, seconds));
        }
        done
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

/// Runs a step by this very program, for what it prints to stay together.
fn apart(program: &Path, name: &str, words: &[&str]) -> Result<(Outcome, String), String> {
    let path = crate::root().join("target").join(name).with_extension("out");
    let fail = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::create(&path).map_err(fail)?;
    let mut command = Command::new(program);
    command.args(["test", "--only", name]).args(words).stderr(file.try_clone().map_err(fail)?).stdout(file);
    let result = process::run(&mut command, APART);
    let text = String::from_utf8_lossy(&fs::read(&path).map_err(fail)?).into_owned();
    // As the summary has it.
    let left_out = format!("{LEFT_OUT}{name}: ");
    let why = text.lines().find_map(|line| line.strip_prefix(&left_out));
    Ok((why.map_or_else(|| result.into(), |why| Outcome::LeftOut(why.to_owned())), text))
}

fn summary(done: &[Done], total: f64) -> bool {
    println!("\n{:<12} {:<9} {:>7}", "step", "result", "seconds");
    for (name, outcome, seconds) in done {
        let word = match outcome {
            Outcome::Passed => "ok",
            Outcome::Failed(_) => "FAILED",
            Outcome::LeftOut(_) => "left out",
        };
        println!("{name:<12} {word:<9} {seconds:>7.1}");
    }
    let failed = done.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).count();
    let left_out = done.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::LeftOut(_))).count();
    println!("{:<12} {:<9} {total:>7.1}", "all", if failed == 0 { "ok" } else { "FAILED" });
    for (name, outcome, _) in done {
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => println!("FAILED: {name}: {why}"),
            Outcome::LeftOut(why) => println!("{LEFT_OUT}{name}: {why}"),
        }
    }
    println!("{} steps passed, {failed} failed, {left_out} left out", done.len() - failed - left_out);
    failed == 0
}
