//! Chores of the project: `cargo xtask gen`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod generate;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let result = match args.next().as_deref() {
        Some("gen") => generate::write_to(&generate::checked_in()),
        _ => Err("usage: cargo xtask gen".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
