//! What the examples of own drivers run.

use std::error::Error;

use mesos_core::Resources;
use mesos_core::engine::{Config, Engine, Event, TaskSpec};
use mesos_core::scheduler::{self, Framework};
use mesos_sim::Options;
use mesos_sim::serve::Embedded;

/// An engine with a job of three tasks, for this master, or else for a simulated one.
///
/// # Errors
///
/// The master's address is none, or the simulated one can't be started.
pub fn hello(master: Option<String>) -> Result<(Engine, Option<Embedded>), Box<dyn Error>> {
    let embedded = if master.is_none() { Some(Embedded::start(Options::default())?) } else { None };
    let master = master.or_else(|| embedded.as_ref().map(|cluster| cluster.master_url()));
    let config = scheduler::Config::new(Framework::new("hello"), master)?;
    let job = TaskSpec::new("hello").job().instances(3).command("echo hello; sleep 1");
    let job = job.resources(Resources::new().cpus(0.1).mem(32.0));
    Ok((Engine::new(Config::new(config), [job], [], crate::seed())?, embedded))
}

/// Shows an event; `true` if it says that all is done.
///
/// # Errors
///
/// It says that it never will be.
#[allow(clippy::print_stdout, reason = "a program's output")]
pub fn hello_is_over(event: &Event) -> Result<bool, Box<dyn Error>> {
    match event {
        Event::TaskUpdated(task) | Event::TaskEnded { task, .. } => println!("{task}"),
        Event::SpecSatisfied { .. } => return Ok(true),
        Event::SpecDegraded { spec } => return Err(format!("{spec} is given up").into()),
        Event::Fatal(reason) => return Err(reason.clone().into()),
        Event::Stopped { .. } => println!("the framework is removed"),
        _ => {}
    }
    Ok(false)
}
