//! Runs a command on a cluster, once or many times, shows how it gets on, and ends as it ends.
//!
//! ```sh
//! cargo run -p examples --bin mesos-execute -- -n 5 'sleep $TASK_EXECUTE_SERIAL_NUMBER'
//! cargo install --path examples --bin mesos-execute
//! ```
//!
//! It is on the blocking driver: no async runtime, one thread that waits for events.

mod board;
mod screen;

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use examples::{Failed, MasterOptions, amount, seconds};
use mesos_blocking::mesos_core::engine::{Config, Engine, Event, RestartPolicy, TaskSpec};
use mesos_blocking::mesos_core::scheduler::Framework;
use mesos_blocking::mesos_core::v1::TaskState::{TaskDropped, TaskFailed, TaskGone, TaskGoneByOperator, TaskLost};
use mesos_blocking::mesos_core::{Resources, scheduler};
use mesos_blocking::{Driver, seed};
use mesos_sim::serve::Embedded;

use crate::board::Board;
use crate::screen::Screen;

/// Runs a command on Mesos, and waits for its end.
///
/// Exit code: 0, if all tasks have finished; 1, if one has failed, was killed or is lost. 2 to 7 are the cluster's:
/// wrong options, wrong credentials, another instance, framework removed, refused, no master.
///
/// The simulated cluster, which starts where no --master is given, runs commands as this user's processes. It ignores
/// --timeout, --docker, --uri and --user.
#[derive(Parser)]
#[command(name = "mesos-execute", version)]
struct Options {
    #[command(flatten)]
    master: MasterOptions,

    /// The framework's name
    #[arg(long, default_value = "mesos-execute")]
    name: String,

    /// How often to run it, side by side as far as there is room. TASK_EXECUTE_SERIAL_NUMBER, from 1, tells the tasks
    /// which they are
    #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// How often a failed task is tried again
    #[arg(long, default_value_t = 0)]
    retries: u32,

    /// Processors for each task
    #[arg(long, default_value_t = 0.1, value_parser = amount)]
    cpus: f64,

    /// Memory for each task, in MiB
    #[arg(long, default_value_t = 32.0, value_parser = amount)]
    mem: f64,

    /// Disk for each task, in MiB
    #[arg(long, default_value_t = 0.0, value_parser = amount)]
    disk: f64,

    /// An environment variable for the tasks; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,

    /// What to fetch into each task's sandbox first; may be repeated
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,

    /// The image of a Docker container to run in
    #[arg(long, value_name = "IMAGE")]
    docker: Option<String>,

    /// How long a task may take, in seconds, before it is killed and has failed
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// What to run: a single argument is a line for /bin/sh -c, several are a program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("NAME=VALUE is wanted".into()),
    }
}

/// How long to wait for the first subscription, and for the framework's removal at the end.
const PATIENCE: Duration = Duration::from_secs(60);
const LEAVE: Duration = Duration::from_secs(5);
/// How often the block is drawn on a terminal when nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// The tasks shown in it.
const ROOM: usize = 8;
const WIDTH: usize = 30;

impl Options {
    fn spec(&self) -> TaskSpec {
        let resources = Resources::new().cpus(self.cpus).mem(self.mem).disk(self.disk);
        // Who was killed by somebody else isn't started again; who was lost is, for that is no fault of the task's.
        let again = [TaskFailed, TaskLost, TaskDropped, TaskGone, TaskGoneByOperator];
        let mut spec = TaskSpec::new("execute")
            .job()
            .restart(RestartPolicy::states(again))
            .max_failures(Some(self.retries.saturating_add(1)))
            .resources(resources)
            .instances(self.count);
        spec = match self.command.as_slice() {
            [line] => spec.command(line),
            argv => spec.argv(argv.iter().map(String::as_str)),
        };
        for (name, value) in &self.env {
            spec = spec.env(name, value);
        }
        for uri in &self.uri {
            spec = spec.uri(uri.as_str());
        }
        if let Some(image) = &self.docker {
            spec = spec.docker(image.as_str());
        }
        match self.timeout {
            Some(time) => spec.max_completion_time(time),
            None => spec,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    options.master.log();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failed) => failed.report(),
    }
}

/// Whether all tasks have finished.
fn run(options: &Options) -> Result<bool, Failed> {
    let embedded = if options.master.masters().is_empty() {
        let cluster = mesos_sim::Options::default().allocation_interval(Duration::from_millis(200));
        Some(Embedded::start(cluster).map_err(|e| Failed::Usage(format!("embedded cluster: {e}")))?)
    } else {
        None
    };
    let masters: Vec<String> = match &embedded {
        Some(embedded) => embedded.masters().iter().map(ToString::to_string).collect(),
        None => options.master.masters().to_vec(),
    };
    // Without failover time the tasks go with this process, even if it is killed.
    let framework = Framework::new(&options.name).failover_timeout(Duration::ZERO);
    let config = options.master.config(framework, Some(&masters))?;
    let about = if embedded.is_some() { "a simulated cluster in this process" } else { "the cluster" };
    let result = execute(options, config, about);
    if let Some(embedded) = embedded {
        embedded.stop();
    }
    result
}

fn execute(options: &Options, config: scheduler::Config, about: &str) -> Result<bool, Failed> {
    let engine = Engine::new(Config::new(config), [options.spec()], [], seed())?;
    let mut driver = Driver::new(engine, options.master.http()?);
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let mut show =
        Show { screen: Screen::new(stdout.lock(), terminal), board: Board::new(options.count), start: Instant::now() };
    let mut last = String::from("none");
    let (mut subscribed, mut leave_by) = (false, None);
    show.line(&format!("{} on {about}", tasks(options.count)))?;
    loop {
        show.block()?;
        let event = match driver.next_event_timeout(TICK) {
            Ok(Some(event)) => event,
            Ok(None) => return show.end(),
            Err(_) if leave_by.is_some_and(|by| Instant::now() > by) => return show.end(),
            Err(_) if !subscribed && show.start.elapsed() > PATIENCE => return Err(Failed::NeverSubscribed(last)),
            Err(_) => continue,
        };
        if let Some(line) = show.board.event(&event) {
            show.line(&line)?;
        }
        match event {
            Event::Subscribed(new) => {
                subscribed = true;
                show.line(&format!("subscribed at {}", new.master))?;
            }
            Event::Disconnected { reason, .. } => {
                last = reason.to_string();
                if leave_by.is_none() {
                    show.line(&format!("disconnected: {reason}"))?;
                }
            }
            Event::Fatal(reason) => return Err(Failed::Fatal(reason)),
            _ => {}
        }
        if leave_by.is_none() && show.board.counts().is_over() {
            leave_by = Some(Instant::now() + LEAVE);
            driver.with(Engine::teardown);
        }
    }
}

fn tasks(count: u32) -> String {
    if count == 1 { "one task".into() } else { format!("{count} tasks") }
}

/// What is seen of it.
struct Show<W> {
    screen: Screen<W>,
    board: Board,
    start: Instant,
}

impl<W: Write> Show<W> {
    fn time(&self) -> String {
        format!("{:7.2} s", self.start.elapsed().as_secs_f64())
    }

    fn line(&mut self, line: &str) -> Result<(), Failed> {
        let line = format!("{}  {line}", self.time());
        self.screen.line(&line).map_err(unwritten)
    }

    fn block(&mut self) -> Result<(), Failed> {
        if !self.screen.is_terminal() {
            return Ok(());
        }
        let counts = self.board.counts();
        let mut lines = vec![format!("{}  {} {counts}", self.time(), counts.bar(WIDTH))];
        lines.extend(self.board.live(ROOM));
        self.screen.block(&lines).map_err(unwritten)
    }

    fn end(mut self) -> Result<bool, Failed> {
        let counts = self.board.counts();
        self.line(&counts.to_string())?;
        Ok(counts.finished == counts.all)
    }
}

fn unwritten(error: std::io::Error) -> Failed {
    Failed::Usage(format!("stdout: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn options_make_sense() {
        Options::command().debug_assert();
        let options = Options::parse_from(["mesos-execute", "-n", "3", "--env", "A=b=c", "ls", "-l", "--env"]);
        assert_eq!(options.command, ["ls", "-l", "--env"]);
        assert_eq!(options.env, [("A".into(), "b=c".into())]);
        assert_eq!(options.spec().instance_count(), 3);
        assert!(Options::try_parse_from(["mesos-execute"]).is_err(), "nothing to run");
        assert!(Options::try_parse_from(["mesos-execute", "--env", "=b", "ls"]).is_err());
        assert!(Options::try_parse_from(["mesos-execute", "-n", "0", "ls"]).is_err());
    }
}
