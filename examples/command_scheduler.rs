//! Shell commands, kept running: declare them, and the engine matches offers, launches, restarts and reconciles.
//!
//! `cargo run --example command_scheduler` runs it on a simulated cluster in this process, `-- --help` shows the rest.
#![allow(clippy::print_stdout, reason = "an example")]

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use examples::{Cluster, ClusterOptions, Failed, How, StoreOptions, TaskOptions, seed};
use mesos_tokio::Driver;
use mesos_tokio::mesos_core::Resources;
use mesos_tokio::mesos_core::engine::{Config, Engine, Event, RestartPolicy, Task, TaskSpec};
use mesos_tokio::mesos_core::v1::TaskState;

/// Runs shell commands on Mesos, and starts again what ends.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    tasks: TaskOptions,
    #[command(flatten)]
    store: StoreOptions,

    /// In which states a task is started again, such as FAILED or TASK_FAILED; several by commas or by repeating the
    /// option. Without it, in all
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    restart_states: Vec<TaskState>,
}

fn state(text: &str) -> Result<TaskState, String> {
    let name = text.to_ascii_uppercase();
    TaskState::from_str_name(&name)
        .or_else(|| TaskState::from_str_name(&format!("TASK_{name}")))
        .ok_or_else(|| "no state of a task".into())
}

/// By default the first instance fails again and again, and the others sleep.
const COMMAND: &str = r#"[ "$TASK_COMMAND_SERIAL_NUMBER" = 1 ] || exec sleep 1000; sleep 5; exit 1"#;

impl Options {
    fn spec(&self) -> TaskSpec {
        let TaskOptions { instances, command, cpus, mem, disk, ports } = &self.tasks;
        let spec = TaskSpec::new("command")
            .command(command.as_deref().unwrap_or(COMMAND))
            .resources(Resources::new().cpus(*cpus).mem(*mem).disk(*disk).ports(*ports))
            .instances(*instances);
        if self.restart_states.is_empty() {
            return spec;
        }
        spec.restart(RestartPolicy::states(self.restart_states.iter().copied()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => failed.report(),
    }
}

async fn run(options: &Options) -> Result<(), Failed> {
    let mut cluster = options.cluster.prepare().await?;
    let result = serve(options, &mut cluster).await;
    cluster.stop().await;
    result
}

async fn serve(options: &Options, cluster: &mut Cluster) -> Result<(), Failed> {
    let (store, records) = options.store.open()?;
    let engine = Engine::new(Config::new(cluster.config.clone()), [options.spec()], records, seed())?;
    let mut driver = Driver::new(engine, cluster.http.clone());
    if let Some(store) = store {
        driver = driver.store(store);
    }
    let start = Instant::now();
    let say = |line: &dyn Display| println!("{:7.2} s  {line}", start.elapsed().as_secs_f64());
    say(&cluster.about());
    let (mut leaving, mut subscribed, mut last) = (None, false, String::from("none"));
    loop {
        let event = tokio::select! {
            event = driver.next_event() => event,
            how = cluster.leave.time() => {
                leaving = leaving.or(Some(how));
                driver.machine().specs().for_each(|spec| {
                    say(&format_args!("{}: {} of {} live, {} ready", spec.name, spec.live, spec.wanted, spec.ready));
                });
                match how {
                    How::Teardown => {
                        say(&"tearing the framework down");
                        driver.with(Engine::teardown);
                    }
                    How::Disconnect => {
                        say(&"leaving; framework and tasks stay for the failover timeout");
                        driver.with(Engine::disconnect);
                    }
                }
                continue;
            }
        };
        let Some(event) = event else { return Ok(()) };
        if let Some(line) = describe(&event) {
            say(&line);
        }
        match event {
            Event::Subscribed(_) => {
                subscribed = true;
                driver.machine().tasks().for_each(|task| say(&format_args!("known: {task}")));
            }
            Event::Disconnected { reason, .. } => last = reason.to_string(),
            Event::Fatal(reason) => return Err(Failed::Fatal(reason)),
            Event::Fenced(failure) => return Err(Failed::Fenced(failure)),
            Event::StoreRefused(failure) => return Err(Failed::StoreRefused(failure)),
            Event::Stopped { .. } if !subscribed => return Err(Failed::NeverSubscribed(last)),
            Event::Stopped { removed: false } if leaving == Some(How::Teardown) => return Err(Failed::NotRemoved),
            _ => {}
        }
    }
}

/// An event for people; `None` for what the end says better.
fn describe(event: &Event) -> Option<String> {
    Some(match event {
        Event::Subscribed(new) => format!("subscribed at {} as {}", new.master, new.framework_id.value),
        Event::Disconnected { reason, retry_at: Some(_) } => format!("disconnected, trying again: {reason}"),
        Event::Disconnected { reason, retry_at: None } => format!("disconnected: {reason}"),
        Event::SpecApplied { spec, revision } => format!("{spec}: revision {revision} is in force"),
        Event::SpecSatisfied { spec } => format!("{spec}: all instances are ready or finished"),
        Event::SpecDegraded { spec } => format!("{spec}: an instance has been given up"),
        Event::SpecRemoved { spec } => format!("{spec}: removed"),
        Event::SpecKept { spec } => format!("{spec}: of an earlier run, kept running"),
        Event::InstanceWaiting { spec, index, cause, delay } => {
            format!("{spec}-{index}: next attempt in {:.1} s ({cause:?})", delay.as_secs_f64())
        }
        Event::InstanceHeld { spec, index, why } => format!("{spec}-{index}: given up ({why:?})"),
        Event::TaskLaunched(task) => format!("{} is up on {}{}", name(task), task.hostname, ports(task)),
        Event::TaskUpdated(task) => format!("{task}{}", message(task)),
        Event::TaskReady(task) => format!("{} is ready", name(task)),
        Event::TaskReturned(task) => format!("{} is back from an agent that was away", name(task)),
        Event::TaskEnded { task, class } => {
            let time = task.running_for.map(|time| format!(" after {:.1} s", time.as_secs_f64()));
            format!("{task}{}, ended{}: {class:?}", message(task), time.unwrap_or_default())
        }
        Event::UnknownTask { task_id, state, killed, .. } => {
            let fate = if *killed { "killed" } else { "left alone" };
            format!("{task_id}: {}, not ours to run, {fate}", examples::short(*state))
        }
        Event::OffersAnswered { accepted, declined, launched } => {
            format!("offers: {accepted} used for {launched} tasks, {declined} declined")
        }
        Event::Suppressed { roles } => format!("no more offers wanted for {}", roles.join(", ")),
        Event::Revived { roles } => format!("offers wanted for {}", roles.join(", ")),
        Event::ReconcileStarted { tasks } => format!("asking for the state of {tasks} tasks"),
        Event::ReconcileDone { took } => format!("all states known after {:.2} s", took.as_secs_f64()),
        Event::AgentAvoided { spec, agent_id, during } => {
            format!("{spec}: agent {agent_id} is avoided for {:.0} s", during.as_secs_f64())
        }
        Event::StoreStalled { since, failure } => {
            let said = failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
            format!("the store has not answered for {:.1} s{said}", since.as_secs_f64())
        }
        Event::StoreBack => "the store works again".into(),
        Event::RecordQuarantined(record) => format!("record {} can't be read: {}", record.key, record.why),
        Event::FrameworkRemoved { framework_id } => format!("framework {framework_id} was removed; making another"),
        Event::Stopped { removed: true } => "the framework is removed".into(),
        Event::Stopped { removed: false } => "left".into(),
        // The exit code and its message.
        Event::Fatal(_) | Event::Fenced(_) | Event::StoreRefused(_) => return None,
        other => format!("{other:?}"),
    })
}

fn message(task: &Task) -> String {
    task.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default()
}

fn name(task: &Task) -> String {
    format!("{}-{}", task.spec, task.index)
}

fn ports(task: &Task) -> String {
    match task.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") {
        ports if ports.is_empty() => ports,
        ports => format!(", ports {ports}"),
    }
}
