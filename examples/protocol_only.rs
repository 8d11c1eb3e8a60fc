//! A scheduler of one's own on the bare protocol client: it looks at offers, places tasks, acknowledges updates,
//! starts again what has ended, and reconciles after every subscription.
//!
//! `cargo run --example protocol_only` runs it on a simulated cluster in this process, `-- --help` shows the rest.
#![allow(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use examples::{Cluster, ClusterOptions, Failed, How, TaskOptions, seed, short};
use mesos_tokio::Driver;
use mesos_tokio::mesos_core::scheduler::{Client, Event, Outcome};
use mesos_tokio::mesos_core::{OfferRef, Offers, Update, v1};
use v1::TaskState::*;
use v1::offer::{Operation, operation};

/// Runs shell commands on Mesos, with nothing but the protocol client.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    tasks: TaskOptions,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => failed.report(),
    }
}

async fn run(options: &Options) -> Result<(), Failed> {
    let mut cluster = options.cluster.prepare().await?;
    let client = Client::new(cluster.config.clone(), seed());
    let driver = Driver::new(client, cluster.http.clone());
    let mut scheduler = Scheduler {
        driver: match cluster.detector() {
            Some(detector) => driver.detector(detector),
            None => driver,
        },
        options: &options.tasks,
        run: seed(),
        launched: 0,
        tasks: BTreeMap::new(),
    };
    let result = scheduler.serve(&mut cluster).await;
    cluster.stop().await;
    result
}

struct Scheduler<'a> {
    driver: Driver<Client>,
    options: &'a TaskOptions,
    /// Makes task ids differ from those of earlier runs: an id must never be used twice.
    run: u64,
    launched: u64,
    /// The tasks that haven't ended, as far as we know: where they are, and the state last heard.
    tasks: BTreeMap<String, (String, v1::TaskState)>,
}

impl Scheduler<'_> {
    async fn serve(&mut self, cluster: &mut Cluster) -> Result<(), Failed> {
        let (mut leaving, mut subscribed, mut last) = (None, false, String::from("none"));
        let mut ask_again = tokio::time::interval(Duration::from_secs(30));
        loop {
            let event = tokio::select! {
                event = self.driver.next_event() => event,
                // A master says nothing about tasks of agents that haven't come back to it yet.
                _ = ask_again.tick() => {
                    self.reconcile();
                    continue;
                }
                how = cluster.leave.time() => {
                    leaving = leaving.or(Some(how));
                    println!("{how:?}");
                    self.driver.with(|client| match how {
                        How::Teardown => client.teardown(),
                        How::Disconnect => client.disconnect(),
                    });
                    continue;
                }
            };
            match event {
                Some(Event::Subscribed(new)) => {
                    println!("subscribed at {} as {}", new.master, new.framework_id.value);
                    subscribed = true;
                    self.catch_up();
                }
                Some(Event::Offers(offers)) => self.place(&offers),
                Some(Event::Update(update)) => self.update(&update),
                Some(Event::Disconnected { reason, .. }) => {
                    println!("disconnected: {reason}");
                    last = reason.to_string();
                }
                Some(Event::CallDone { outcome: Outcome::Accepted { .. } | Outcome::Carried, .. }) => {}
                Some(Event::CallDone { kind, outcome, .. }) => println!("{kind}: {outcome:?}"),
                Some(Event::Fatal(reason)) => return Err(Failed::Fatal(reason)),
                None | Some(Event::Stopped { .. }) if !subscribed => return Err(Failed::NeverSubscribed(last)),
                Some(Event::Stopped { removed: false }) if leaving == Some(How::Teardown) => {
                    return Err(Failed::NotRemoved);
                }
                None | Some(Event::Stopped { .. }) => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// Asks what became of our tasks while we were away, and for offers whatever was declined before.
    fn catch_up(&mut self) {
        self.reconcile();
        let _ = self.driver.with(|client| client.calls().revive::<&str>([]));
    }

    fn reconcile(&mut self) {
        let known: Vec<_> = self.tasks.iter().map(|(id, (agent, _))| (id.clone(), Some(agent.clone()))).collect();
        if !known.is_empty() {
            // Only a missing subscription can be wrong with it, and the next one comes here again.
            let _ = self.driver.with(|client| client.calls().reconcile(known));
        }
    }

    /// Uses each offer for as many tasks as fit, and declines what isn't used, for a minute.
    fn place(&mut self, offers: &Offers) {
        let mut unused = Vec::new();
        let keep = v1::Filters { refuse_seconds: Some(60.0) };
        for offer in offers.iter() {
            let operations = self.operations_for(offer);
            if operations.is_empty() {
                unused.push(offer.id());
            } else {
                // A call that can't be made any more leaves its tasks for the next reconciliation to find missing.
                let _ = self.driver.with(|client| client.calls().accept([offer.id()], operations, Some(keep)));
            }
        }
        if !unused.is_empty() {
            let _ = self.driver.with(|client| client.calls().decline(unused, Some(keep)));
        }
    }

    fn operations_for(&mut self, offer: OfferRef<'_>) -> Vec<Operation> {
        let mut left = ["cpus", "mem", "disk"].map(|name| {
            // A task may use only what is there for its offer's role, and nothing that can be taken back.
            let usable =
                offer.resources().filter(|r| r.name() == name && !r.is_revocable() && r.reserved_role().is_none());
            usable.filter_map(|r| r.scalar()).sum::<f64>()
        });
        let mut ports =
            offer.resources().filter(|r| r.name() == "ports").flat_map(|r| r.ranges()).flat_map(|(a, b)| a..=b);
        let wanted = [self.options.cpus, self.options.mem, self.options.disk];
        let mut tasks = Vec::new();
        while self.tasks.len() < self.options.instances as usize
            && wanted.iter().zip(&left).all(|(w, l)| *w <= *l + 1e-6)
        {
            let taken: Vec<u64> = ports.by_ref().take(self.options.ports as usize).collect();
            if taken.len() < self.options.ports as usize {
                break;
            }
            left.iter_mut().zip(wanted).for_each(|(left, wanted)| *left -= wanted);
            tasks.push(self.task(offer, &taken));
        }
        if tasks.is_empty() {
            return Vec::new();
        }
        let launch = operation::Launch { task_infos: tasks };
        let r#type = Some(operation::Type::Launch.into());
        vec![Operation { r#type, launch: Some(launch), ..Default::default() }]
    }

    fn task(&mut self, offer: OfferRef<'_>, ports: &[u64]) -> v1::TaskInfo {
        let TaskOptions { cpus, mem, disk, command, .. } = self.options;
        self.launched += 1;
        let id = format!("task-{}.{:016x}", self.launched, self.run);
        println!("{id}: launched on {}", offer.hostname());
        self.tasks.insert(id.clone(), (offer.agent_id().into(), TaskStaging));
        let default = if self.launched == 1 { "sleep 5; exit 1" } else { "sleep 1000" };
        let variables = ports.iter().enumerate().map(|(i, port)| v1::environment::Variable {
            name: format!("PORT{i}"),
            value: Some(port.to_string()),
            ..Default::default()
        });
        let command = v1::CommandInfo {
            value: Some(command.clone().unwrap_or_else(|| default.into())),
            environment: Some(v1::Environment { variables: variables.collect() }),
            ..Default::default()
        };
        let resources =
            [("cpus", *cpus), ("mem", *mem), ("disk", *disk)].into_iter().filter(|(_, amount)| *amount > 0.0);
        let mut resources: Vec<_> = resources.map(|(name, amount)| scalar(name, amount)).collect();
        if !ports.is_empty() {
            resources.push(ranges("ports", ports));
        }
        v1::TaskInfo {
            name: format!("task-{}", self.launched),
            task_id: v1::TaskId { value: id },
            agent_id: v1::AgentId { value: offer.agent_id().into() },
            command: Some(command.into()),
            resources,
            ..Default::default()
        }
    }

    /// Keeps the books, and only then acknowledges: the agent repeats what isn't acknowledged.
    fn update(&mut self, update: &Update) {
        let (id, state) = (update.task_id(), update.state());
        println!("{id}: {}{}", short(state), update.message().map(|m| format!(" ({m})")).unwrap_or_default());
        match state {
            TaskFinished | TaskFailed | TaskKilled | TaskError | TaskDropped | TaskLost | TaskGone
            | TaskGoneByOperator | TaskUnknown => {
                if self.tasks.remove(id).is_some() {
                    // There is a task to launch again: offers that were declined are wanted now.
                    let _ = self.driver.with(|client| client.calls().revive::<&str>([]));
                }
            }
            _ => {
                if let Some(agent) = update.agent_id() {
                    self.tasks.insert(id.into(), (agent.into(), state));
                }
            }
        }
        if update.uuid().is_some() {
            let _ = self.driver.with(|client| client.calls().acknowledge(update));
        }
    }
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    let scalar = Some(v1::value::Scalar { value });
    v1::Resource { name: name.into(), r#type: v1::value::Type::Scalar.into(), scalar, ..Default::default() }
}

fn ranges(name: &str, numbers: &[u64]) -> v1::Resource {
    let range = numbers.iter().map(|&n| v1::value::Range { begin: n, end: n }).collect();
    let ranges = Some(v1::value::Ranges { range });
    v1::Resource { name: name.into(), r#type: v1::value::Type::Ranges.into(), ranges, ..Default::default() }
}
