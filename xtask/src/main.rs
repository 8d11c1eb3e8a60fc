//! Chores of the project: `cargo xtask test`, `gen`, `fuzz`, `simulate`, `planted`, `chaos`, `bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod bench;
mod fuzz;
#[cfg(feature = "gen")]
mod generate;
mod planted;
mod process;
#[cfg(all(test, feature = "gen"))]
mod schema;
mod simulate;
mod test;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage:
  cargo xtask test [--skip-real] [--only STEP]... [--list]
      everything that has to hold before a change goes in; --list names the steps
      --skip-real  without a real Mesos (nothing is installed then)
      --only STEP  this step only; may be given several times
  cargo xtask gen
      writes the Rust types and tables of mesos-proto from proto/
  cargo xtask fuzz [--minutes N]
      all fuzz targets, N minutes together (7 if not given); needs cargo-fuzz and a nightly toolchain
  cargo xtask simulate [--minutes N]
      the simulated world, optimized: the seeds of mesos-sim/seeds.txt and some that are always the same, then new ones for
      N minutes (2 if not given)
  cargo xtask planted [--only NAME] [--first-seed K]
      proof that the simulated world finds bugs: those that mesos-core/src/planted.rs names, one after the other, from seed
      1 or K on
  cargo xtask chaos [--seed N] [--minutes M]
      two instances of a scheduler at a real Mesos with ZooKeeper, all of which die in turn (5 minutes if not given)
  cargo xtask bench [FILE [records]]
      processor time from bytes to events against code written by hand, on events made up or in FILE";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((command, rest)) if command == "test" => test::run(rest),
        Some((command, [])) if command == "gen" => generate(),
        Some((command, rest)) if command == "fuzz" => fuzz::fuzz(rest),
        Some((command, rest)) if command == "simulate" => simulate::simulate(rest),
        Some((command, rest)) if command == "planted" => planted::planted(rest),
        Some((command, rest)) if command == "chaos" => test::chaos(rest),
        Some((command, rest)) if command == "bench" => bench::bench(rest),
        Some((help, [])) if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or_else(|| Path::new(".")).to_path_buf()
}

#[cfg(feature = "gen")]
fn generate() -> Result<bool, Box<dyn Error>> {
    generate::write_to(&generate::checked_in()).map(|()| true)
}

/// Builds this program again with what generating needs, and lets that one do it.
#[cfg(not(feature = "gen"))]
fn generate() -> Result<bool, Box<dyn Error>> {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--package", "xtask", "--features", "gen", "--", "gen"]);
    Ok(command.status()?.success())
}
