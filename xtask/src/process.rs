//! Running other programs, each with an end.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::root;

/// Time for what does no work worth speaking of.
const SHORT: Duration = Duration::from_secs(60);

/// The cargo that runs this program, at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Programs are run from there.
    command.current_dir(root()).env("CARGO_TARGET_DIR", root().join("target"));
    // What `cargo run` says of this package is a reason to build others anew, as they have it of their own.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name == "CARGO_MANIFEST_DIR" || name.starts_with("CARGO_PKG_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a program can be started at all.
pub(crate) fn available(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Runs a program with its output passed through, and kills it with all it started when it takes longer than `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    let shown = show(command);
    println!("+ {shown}");
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|e| format!("{shown}: {e}"))?;
    match wait(&mut child, &shown, limit)? {
        status if status.success() => Ok(()),
        status => Err(format!("{shown}: {status}")),
    }
}

/// How a program ends, and what it writes to its standard output; killed like those of [`run`].
pub(crate) fn outcome(command: &mut Command, limit: Duration) -> Result<(ExitStatus, String), String> {
    let shown = show(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| format!("{shown}: {e}"))?;
    let pipe = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut text)).map(|_| text)
    });
    let status = wait(&mut child, &shown, limit)?;
    let text = reader.join().map_err(|_| format!("{shown}: its output can't be read"))?;
    let text = text.map_err(|e| format!("{shown}: {e}"))?;
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// How many programs can run at once, each with a core of its own.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does all of this work, as much of it at once as there are cores; the results are in the jobs' order.
pub(crate) fn at_once<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(place) else { return };
                    let result = work(job);
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(place, result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn wait(child: &mut Child, shown: &str, limit: Duration) -> Result<ExitStatus, String> {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
            Ok(None) => {
                kill_tree(child);
                return Err(format!("{shown}: stopped after {} s", limit.as_secs()));
            }
            Err(error) => return Err(format!("{shown}: {error}")),
        }
    }
}

/// What a program that does not take long writes to its standard output; its errors are passed through.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let (status, text) = outcome(command, SHORT)?;
    if status.success() { Ok(text) } else { Err(format!("{}: {status}", show(command))) }
}

fn show(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Kills a child and everything below it: signals go by the `kill` program, since this workspace has no unsafe code.
fn kill_tree(child: &mut Child) {
    for pid in descendants(child.id()) {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// All processes below this one, the lowest first, as far as the platform has `/proc`.
fn descendants(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|word| word.parse::<u32>().ok()) {
            children.entry(parent).or_default().push(id);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![pid]);
    while let Some(parent) = next.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        found.extend(&below);
        next.extend(below);
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_that_hangs_is_killed_with_what_it_started() {
        let file = std::env::temp_dir().join(format!("xtask-kill-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("sleep 600 & echo $! > '{}'; wait", file.display()));
        let error = run(&mut command, Duration::from_secs(1)).unwrap_err();
        assert!(error.contains("stopped after"), "{error}");

        let below: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        let gone = || match std::fs::read_to_string(format!("/proc/{below}/stat")) {
            Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
            Err(_) => true,
        };
        while !gone() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(&file).unwrap();
        assert!(gone(), "{below} lives on");
    }

    #[test]
    fn a_failing_program_is_an_error() {
        assert!(run(&mut Command::new("false"), Duration::from_secs(60)).is_err());
        assert!(run(&mut Command::new("true"), Duration::from_secs(60)).is_ok());
        assert!(run(&mut Command::new("no-such-program-here"), Duration::from_secs(60)).is_err());
    }
}
