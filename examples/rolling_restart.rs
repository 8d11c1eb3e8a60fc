//! A service with a health check whose definition changes: the engine replaces its tasks one after the other.
//!
//! ```text
//! rolling_restart [MASTER]         on this cluster, or on a simulated one in the process
//! ```
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::{Duration, Instant};

use mesos_blocking::mesos_core::engine::{Amount, Config, Engine, Event, TaskSpec};
use mesos_blocking::mesos_core::scheduler::{self, Framework};
use mesos_blocking::mesos_core::v1::{CommandInfo, HealthCheck};
use mesos_blocking::mesos_core::{Resources, scheduler::FatalReason};
use mesos_blocking::{Driver, Http, seed};
use mesos_sim::{Options, serve::Embedded};

const INSTANCES: u32 = 4;

fn web(version: &str) -> TaskSpec {
    TaskSpec::new("web")
        .command("exec sleep 1000")
        .env("VERSION", version)
        .resources(Resources::new().cpus(0.1).mem(32.0))
        .instances(INSTANCES)
        // It must be there before the task counts as ready, and so before the next one goes.
        .health_check(
            HealthCheck::command(CommandInfo::new("test -n \"$VERSION\"")).with_delay(Duration::from_millis(100)),
        )
        .min_ready(Duration::from_millis(500))
        .max_surge(Amount::Count(0))
        .max_unavailable(Amount::Count(1))
}

fn main() -> Result<(), Box<dyn Error>> {
    let master = std::env::args().nth(1);
    let cluster = if master.is_none() { Some(Embedded::start(Options::default())?) } else { None };
    let master = master.or_else(|| cluster.as_ref().map(|cluster| cluster.master_url()));
    let config = scheduler::Config::new(Framework::new("rolling-restart"), master)?;
    let engine = Engine::new(Config::new(config), [web("1")], [], seed())?;
    let result = roll(Driver::new(engine, Http::default()));
    if let Some(cluster) = cluster {
        cluster.stop();
    }
    Ok(result?)
}

fn roll(mut driver: Driver<Engine>) -> Result<(), FatalReason> {
    let start = Instant::now();
    let mut fewest = None;
    while let Some(event) = driver.next_event() {
        // From when the first version is ready as a whole.
        if let Some(fewest) = &mut fewest {
            *fewest = driver.with(|engine| engine.spec("web").map_or(0, |spec| spec.ready)).min(*fewest);
        }
        let line = match event {
            Event::TaskReady(task) => format!("{task}, ready"),
            Event::TaskUnhealthy(task) => format!("{task}, unhealthy"),
            Event::TaskEnded { task, .. } => task.to_string(),
            Event::SpecSatisfied { .. } if fewest.is_none() => {
                fewest = Some(INSTANCES);
                match driver.with(|engine| engine.apply(web("2"))) {
                    Ok(revision) => format!("all are ready; now revision {revision}"),
                    Err(error) => format!("refused: {error}"),
                }
            }
            Event::SpecSatisfied { .. } => {
                driver.with(Engine::teardown);
                format!("all are replaced; {} of {INSTANCES} were ready at any time", fewest.unwrap_or_default())
            }
            Event::Fatal(reason) => return Err(reason),
            _ => continue,
        };
        println!("{:6.2} s  {line}", start.elapsed().as_secs_f64());
    }
    Ok(())
}
