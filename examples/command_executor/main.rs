//! A command executor: what Mesos calls `mesos-executor`, in Rust.
#![allow(clippy::print_stdout, reason = "an example")]

mod book;
mod checks;
mod command;
mod exit;
mod health;
mod probe;
mod process;
mod runner;
mod task;

use std::fmt::Display;
use std::io::Write as _;

/// A line for people, in the executor's sandbox; where it cannot be written nobody reads it.
pub(crate) fn say(line: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn main() {}
