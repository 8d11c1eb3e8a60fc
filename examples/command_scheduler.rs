//! Shell commands, kept running: declare them, and the engine matches offers, launches, restarts and reconciles.
//!
//! `cargo run --example command_scheduler` runs it on a simulated cluster in this process, `-- --help` shows the rest.
#![allow(clippy::print_stdout, reason = "an example")]

use std::fmt::Display;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use clap::Parser;
use examples::{Cluster, ClusterOptions, Failed, How, Opened, StoreOptions, TaskOptions, seed};
use mesos_tokio::Driver;
use mesos_tokio::mesos_core::engine::{Config, Engine, Event, RestartPolicy, Task, TaskSpec};
use mesos_tokio::mesos_core::scheduler::FatalReason;
use mesos_tokio::mesos_core::v1::TaskState;
use mesos_tokio::mesos_core::{Key, Resources};
use mesos_zk::{Election, Records, TakeOverError, Zk, ZkError, ZkStore, read_original};

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

/// How a driver's time ended.
enum End {
    /// As asked, or by itself.
    Left,
    /// With the framework.
    Removed,
    /// Another instance leads, or will.
    Deposed(String),
}

async fn serve(options: &Options, cluster: &mut Cluster) -> Result<(), Failed> {
    let start = Instant::now();
    let say = |line: &dyn Display| println!("{:7.2} s  {line}", start.elapsed().as_secs_f64());
    say(&cluster.about());
    let never = std::future::pending;
    match options.store.open(cluster)? {
        Opened::Memory => drop(drive(driver(options, cluster, [])?, cluster, &say, never()).await?),
        Opened::File(store, records) => {
            drop(drive(driver(options, cluster, records)?.store(store), cluster, &say, never()).await?);
        }
        Opened::Shared(zk) => lead(options, cluster, &say, &zk).await?,
    }
    Ok(())
}

fn driver(
    options: &Options,
    cluster: &Cluster,
    records: impl IntoIterator<Item = (Key, Bytes)>,
) -> Result<Driver<Engine>, Failed> {
    let engine = Engine::new(Config::new(cluster.config.clone()), [options.spec()], records, seed())?;
    let driver = Driver::new(engine, cluster.http.clone());
    Ok(match cluster.detector() {
        Some(detector) => driver.detector(detector),
        None => driver,
    })
}

/// One of several instances: each waits until it leads, then takes over what the one before has left.
async fn lead(options: &Options, cluster: &mut Cluster, say: &impl Fn(&dyn Display), zk: &Zk) -> Result<(), Failed> {
    let election = Election::new(zk, std::env::var("HOST").unwrap_or_default());
    loop {
        say(&"waiting to lead");
        let lease = tokio::select! {
            lease = election.campaign() => match lease {
                Err(ZkError::Ended) => {
                    say(&"the leader has torn the framework down");
                    return Ok(());
                }
                lease => lease?,
            },
            _ = cluster.leave.time() => return Ok(()),
        };
        say(&"leading");
        let (mut store, mut records) = match ZkStore::open(&lease).await {
            Ok(opened) => opened,
            Err(ZkError::Unavailable(why) | ZkError::Lost(why)) => {
                say(&format_args!("the store can't be opened: {why}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if options.store.takes_over {
            records = take_over(options, cluster, say, zk, (&mut store, records)).await?;
        }
        let driver = driver(options, cluster, records)?.store(store);
        match drive(driver, cluster, say, lease.lost()).await {
            Ok(End::Left) => {
                lease.release().await;
                return Ok(());
            }
            // Those that wait would make it anew.
            Ok(End::Removed) => {
                lease.end().await;
                return Ok(());
            }
            // The driver is gone by now, without another word to the master.
            Ok(End::Deposed(why)) => say(&format_args!("no longer leading: {why}")),
            // Another one has taken over what this one didn't know that it had lost.
            Err(error @ (Failed::Fenced(_) | Failed::Fatal(FatalReason::FailedOver))) => say(&error),
            Err(failed) => return Err(failed),
        }
    }
}

/// Goes on with what npm's `mesos-framework` has left, if that hasn't been done; what the store holds then.
async fn take_over(
    options: &Options,
    cluster: &Cluster,
    say: &impl Fn(&dyn Display),
    zk: &Zk,
    (store, records): (&mut ZkStore, Records),
) -> Result<Records, Failed> {
    let original = read_original(zk).await?;
    let config = Config::new(cluster.config.clone());
    let adoption = match original.take_over(store, &records, &config, &[options.spec()]).await {
        // By an earlier run.
        Err(TakeOverError::Done) => return Ok(records),
        adoption => adoption?,
    };
    for (id, why) in &original.unusable {
        say(&format_args!("{id}: its record is of no use: {why}"));
    }
    for (task, why) in &adoption.left {
        say(&format_args!("{}: not taken over: {why}", task.task_id));
    }
    let (id, tasks) = (original.framework_id.unwrap_or_default(), adoption.records.len().saturating_sub(1));
    say(&format_args!("framework {id} is taken over, with {tasks} tasks"));
    Ok(adoption.records)
}

/// Runs a driver to its end, or until leadership is lost.
async fn drive(
    mut driver: Driver<Engine>,
    cluster: &mut Cluster,
    say: &impl Fn(&dyn Display),
    lost: impl Future<Output = String>,
) -> Result<End, Failed> {
    let mut lost = pin!(lost);
    let (mut leaving, mut subscribed, mut last) = (None, false, String::from("none"));
    // How, once it has.
    let mut stopped = None;
    loop {
        let event = tokio::select! {
            biased;
            why = &mut lost => return match leaving {
                _ if matches!(stopped, Some(End::Removed)) => Ok(End::Removed),
                None => Ok(End::Deposed(why)),
                Some(how) => left(how),
            },
            how = cluster.leave.time() => {
                if let Some(end) = stopped {
                    // Only a store's batch is waited for, and that has had its time.
                    return Ok(end);
                }
                leaving = leaving.or(Some(how));
                driver.machine().specs().for_each(|spec| say(&spec));
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
            event = driver.next_event() => event,
        };
        let Some(event) = event else { return Ok(stopped.unwrap_or(End::Left)) };
        if let Some(line) = describe(&event) {
            say(&line);
        }
        match event {
            Event::Subscribed(_) => {
                subscribed = true;
                driver.machine().tasks().for_each(|task| say(&format_args!("known: {task}")));
            }
            Event::Disconnected { reason, .. } => last = reason.to_string(),
            Event::Fatal(FatalReason::FailedOver) | Event::Fenced(_) if leaving.is_some() => {
                return leaving.map_or(Ok(End::Left), left);
            }
            Event::Fatal(reason) => return Err(Failed::Fatal(reason)),
            Event::Fenced(failure) => return Err(Failed::Fenced(failure)),
            Event::StoreRefused(failure) => return Err(Failed::StoreRefused(failure)),
            // Without a subscription, too: nobody gets one to what an earlier run had removed already.
            Event::Stopped { removed: true } if subscribed || driver.machine().session().framework_id.is_some() => {
                stopped = Some(End::Removed);
            }
            Event::Stopped { .. } if !subscribed => return Err(Failed::NeverSubscribed(last)),
            Event::Stopped { .. } if leaving == Some(How::Teardown) => return Err(Failed::NotRemoved),
            Event::Stopped { .. } => stopped = Some(End::Left),
            _ => {}
        }
    }
}

/// The end of one that was leaving, and has been replaced meanwhile: what it wanted to remove is still there.
const fn left(how: How) -> Result<End, Failed> {
    match how {
        How::Disconnect => Ok(End::Left),
        How::Teardown => Err(Failed::NotRemoved),
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
            format!("{spec}-{index}: next attempt in {:.1} s ({cause})", delay.as_secs_f64())
        }
        Event::InstanceHeld { spec, index, why } => format!("{spec}-{index}: given up ({why})"),
        Event::TaskLaunched(task) => format!("{} is up on {}{}", name(task), task.hostname, ports(task)),
        Event::TaskUpdated(task) => format!("{task}{}", message(task)),
        Event::TaskReady(task) => format!("{} is ready", name(task)),
        Event::TaskReturned(task) => format!("{} is back from an agent that was away", name(task)),
        Event::TaskEnded { task, class } => {
            let time = task.running_for.map(|time| format!(" after {:.1} s", time.as_secs_f64()));
            format!("{task}{}, ended{}: {class}", message(task), time.unwrap_or_default())
        }
        Event::TaskRemoved { task, why } => format!("{task}, given up: {why}"),
        Event::Rollout { spec, stage, updated, wanted, .. } => {
            format!("{spec}: rollout {stage}, {updated} of {wanted} are up to date")
        }
        Event::Unplaced { spec, explanation } => format!("{spec}: {explanation}"),
        Event::AgentClosing { agent_id, starts_in, .. } => {
            format!("agent {agent_id} is taken away in {} s", starts_in.as_secs())
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
        Event::StoreStalled { during, failure } => {
            let said = failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
            format!("the store has not answered for {:.1} s{said}", during.as_secs_f64())
        }
        Event::StoreBack => "the store works again".into(),
        Event::RecordQuarantined(record) => record.to_string(),
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex as Shared};
    use std::time::Duration;

    use mesos_tokio::mesos_core::{MemoryStore, Persist, Store, StoreFailure};
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::sync::Mutex;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    /// One at a time: signals reach all that wait for one.
    static ALONE: Mutex<()> = Mutex::const_new(());

    async fn cluster(more: &[&str]) -> (Options, Cluster) {
        let options = Options::parse_from([&["command_scheduler", "--instances", "1"], more].concat());
        let cluster = options.cluster.prepare().await.unwrap();
        (options, cluster)
    }

    async fn run(driver: Driver<Engine>, cluster: &mut Cluster) -> Result<End, Failed> {
        let say = |line: &dyn Display| println!("{line}");
        timeout(LIMIT, drive(driver, cluster, &say, std::future::pending())).await.expect("an end")
    }

    /// Remembers what was there before each batch.
    #[derive(Clone, Default)]
    struct History(Arc<Shared<(MemoryStore, Vec<Records>)>>);

    impl Store for History {
        async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
            let (store, before) = &mut *self.0.lock().unwrap();
            before.push(store.records().clone());
            store.apply_now(batch);
            Ok(())
        }
    }

    // It lost the answer, or died before its records were gone: nobody subscribes to what is removed.
    #[tokio::test]
    async fn a_teardown_of_an_earlier_run_that_had_succeeded() {
        let _alone = ALONE.lock().await;
        let (options, mut cluster) = cluster(&["--duration", "2"]).await;
        let history = History::default();
        let first = driver(&options, &cluster, []).unwrap().store(history.clone());
        assert!(matches!(run(first, &mut cluster).await, Ok(End::Removed)));
        let left = history.0.lock().unwrap().1.last().cloned().unwrap();
        assert!(!left.is_empty());
        let second = driver(&options, &cluster, left).unwrap().store(MemoryStore::new());
        match run(second, &mut cluster).await {
            Ok(End::Removed) => {}
            Ok(End::Left) => panic!("those that wait to lead would make it anew"),
            Ok(End::Deposed(why)) => panic!("{why}"),
            Err(failed) => panic!("{failed}"),
        }
        cluster.stop().await;
    }

    // Of this one nobody can say that it was removed.
    #[tokio::test]
    async fn a_teardown_of_what_never_was() {
        let _alone = ALONE.lock().await;
        let (options, mut cluster) = cluster(&["--master", "127.0.0.1:1", "--duration", "0.2"]).await;
        let failed = run(driver(&options, &cluster, []).unwrap(), &mut cluster).await;
        match failed {
            Err(Failed::NeverSubscribed(_)) => {}
            Err(failed) => panic!("{failed}"),
            Ok(End::Left) => panic!("left"),
            Ok(_) => panic!("nothing was removed"),
        }
    }

    /// Answers when it is let go, and so many batches before that.
    struct Hung(u32, Receiver<()>);

    impl Store for Hung {
        async fn apply(&mut self, _: &Persist) -> Result<(), StoreFailure> {
            match self.0.checked_sub(1) {
                Some(left) => self.0 = left,
                None => drop(self.1.recv()),
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_that_hangs_keeps_nobody_from_leaving() {
        let _alone = ALONE.lock().await;
        let (options, mut cluster) = cluster(&["--duration", "0"]).await;
        let (held, release) = channel();
        let driver = driver(&options, &cluster, []).unwrap().store(Hung(1, release));
        let signals = async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                kill_process(getpid(), Signal::TERM).unwrap();
            }
            // Sooner than the time-out.
            tokio::time::sleep(Duration::from_secs(4)).await;
        };
        tokio::select! {
            ended = run(driver, &mut cluster) => assert!(matches!(ended, Ok(End::Left))),
            () = signals => panic!("the second signal didn't end it"),
        }
        drop(held);
        cluster.stop().await;
    }
}
