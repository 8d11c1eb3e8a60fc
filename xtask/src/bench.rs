//! `cargo xtask bench`: the benchmarks, each a program of its own.

use std::error::Error;
use std::time::Duration;

use crate::process::{cargo, run};

/// Time to build for release on two slow cores, and to run.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Builds and runs `stream_bench` with these arguments.
pub(crate) fn bench(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "-p", "mesos-tokio", "--example", "stream_bench", "--"]).args(args);
    Ok(run(&mut command, LIMIT).map(|()| true)?)
}
