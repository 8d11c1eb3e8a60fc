//! `cargo xtask test`: one table of steps, each with a time limit; a summary of all at the end.

mod checks;
mod real;
mod steps;

use std::error::Error;
use std::time::Instant;

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
    pub(crate) run: fn() -> Outcome,
}

/// `cargo xtask chaos`. True if nothing was lost or doubled.
pub(crate) fn chaos(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let (mut seed, mut minutes) = (None, 5.0);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a number\n{}", crate::USAGE))?;
        match word.as_str() {
            "--seed" => seed = Some(value.parse()?),
            "--minutes" => minutes = value.parse()?,
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
                for step in steps::STEPS {
                    println!("{:<12} {}", step.name, step.what);
                }
                return Ok(true);
            }
            _ => return Err(format!("unknown argument {word}\n{}", crate::USAGE).into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !steps::STEPS.iter().any(|step| step.name == **name)) {
        return Err(format!("there is no step {unknown}; `cargo xtask test --list` names them").into());
    }

    let began = Instant::now();
    let mut done = Vec::new();
    for step in steps::STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.name)) {
        println!("\n== {}: {}", step.name, step.what);
        let start = Instant::now();
        let outcome =
            if step.real && skip_real { Outcome::LeftOut("--skip-real was given".to_owned()) } else { (step.run)() };
        match &outcome {
            Outcome::Passed => println!("== {}: ok", step.name),
            Outcome::Failed(why) => println!("== {}: FAILED: {why}", step.name),
            Outcome::LeftOut(why) => println!("== {}: left out: {why}", step.name),
        }
        done.push((step.name, outcome, start.elapsed().as_secs_f64()));
    }
    Ok(summary(&done, began.elapsed().as_secs_f64()))
}

fn summary(done: &[(&str, Outcome, f64)], total: f64) -> bool {
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
            Outcome::LeftOut(why) => println!("LEFT OUT: {name}: {why}"),
        }
    }
    println!("{} steps passed, {failed} failed, {left_out} left out", done.len() - failed - left_out);
    failed == 0
}
