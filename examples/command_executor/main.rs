//! A command executor: what Mesos calls `mesos-executor`, in Rust.
//!
//! An agent runs it for tasks that have a command and no executor, if it is found by that name in the agent's folder of
//! helpers (`--launcher_dir`; the agent's `--http_command_executor` has to be on), for task groups if it is there as
//! `mesos-default-executor`, and anywhere as the command of a CUSTOM executor:
//!
//! ```sh
//! cargo build --release -p examples --bin mesos-executor
//! ```
//!
//! A CUSTOM executor's task has its line for the shell in its `data`, since Mesos lets it have no command.
//!
//! What a task is to become is decided in `task.rs`, what tasks have to do with each other in `book.rs`; both know
//! neither processes nor clocks. `runner.rs` does what they want done.

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
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mesos_tokio::mesos_core::executor::{Client, Config, Env, Event, Subscribed};
use mesos_tokio::mesos_core::v1;
use mesos_tokio::{Driver, Http};
use tokio::signal::unix::{SignalKind, signal};

use crate::command::Place;
use crate::runner::Runner;

/// A line for people, in the executor's sandbox; where it cannot be written nobody reads it.
pub(crate) fn say(line: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Arguments such as an agent's --launcher_dir are for other executors.
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format_args!("mesos-executor: {why}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let variable = |wanted: &str| environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let env = Env::parse(environment.iter().map(|(name, value)| (name, value)))?;
    let container = v1::ContainerStatus {
        executor_pid: Some(std::process::id()),
        network_infos: variable("MESOS_CONTAINER_IP").filter(|ip| !ip.is_empty()).map(network).into_iter().collect(),
        ..Default::default()
    };
    let http = match variable("LIBPROCESS_SSL_CA_FILE") {
        Some(file) if !file.is_empty() => {
            let roots = std::fs::read(file).map_err(|error| format!("LIBPROCESS_SSL_CA_FILE {file}: {error}"))?;
            Http::builder().roots(roots).build()?
        }
        _ => Http::default(),
    };
    process::adopt_orphans();
    Executor {
        runner: Runner::new(&env.executor_id().value, Place::new(env.sandbox(), Env::SECRETS)),
        container,
        grace: env.shutdown_grace_period(),
        driver: Driver::new(Client::new(Config::from_env(env), examples::seed()), http),
    }
    .serve()
    .await
}

fn network(address: &str) -> v1::NetworkInfo {
    use v1::network_info::{IpAddress, Protocol};
    let protocol = if address.contains(':') { Protocol::IPv6 } else { Protocol::IPv4 };
    let address = IpAddress { protocol: Some(protocol.into()), ip_address: Some(address.to_owned()) };
    v1::NetworkInfo { ip_addresses: vec![address], ..Default::default() }
}

struct Executor {
    driver: Driver<Client>,
    runner: Runner,
    /// What is known of the container that this runs in.
    container: v1::ContainerStatus,
    grace: Duration,
}

impl Executor {
    async fn serve(mut self) -> Result<(), Box<dyn std::error::Error>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            for status in self.runner.updates() {
                // Of what can be wrong with an update only this can be true of these: too many are waiting already.
                if let Err(error) = self.driver.with(|client| client.update(status)) {
                    say(&format_args!("update: {error}"));
                }
            }
            if self.runner.book().is_done() {
                self.driver.with(Client::stop);
            }
            let event = tokio::select! {
                event = self.driver.next_event() => event,
                () = self.runner.wait() => continue,
                _ = terminate.recv() => {
                    self.shutdown(&"SIGTERM", self.grace);
                    continue;
                }
                _ = interrupt.recv() => {
                    self.shutdown(&"SIGINT", self.grace);
                    continue;
                }
            };
            match event {
                Some(Event::Fatal(reason)) => return Err(reason.into()),
                Some(Event::Stopped { cause }) => {
                    say(&format_args!("ended: {cause}"));
                    return Ok(());
                }
                Some(event) => self.event(event),
                None => return Ok(()),
            }
        }
    }

    fn shutdown(&mut self, why: &dyn Display, within: Duration) {
        say(&format_args!("shutting down within {} s: {why}", within.as_secs_f64()));
        self.runner.book().shutdown(within, Instant::now());
    }

    fn event(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Subscribed(subscribed) => self.subscribed(*subscribed),
            Event::Launch(task) => self.runner.book().launch(*task, now),
            Event::LaunchGroup(group) => self.runner.book().launch_group(group.tasks, now),
            Event::Kill { task_id, policy } => {
                say(&format_args!("task {}: KILL", task_id.value));
                self.runner.book().kill(&task_id.value, policy.as_ref(), now);
            }
            Event::Shutdown { cause, grace, .. } => self.shutdown(&cause, grace),
            Event::Acknowledged { .. } | Event::Message(_) | Event::Heartbeat => {}
            Event::UpdateLost { status, reason } => {
                say(&format_args!("task {}: {} is lost: {reason}", status.task_id.value, status.state().as_str_name()));
            }
            Event::Disconnected { reason, .. } => say(&format_args!("disconnected: {reason}")),
            other => say(&format_args!("{other:?}")),
        }
    }

    fn subscribed(&mut self, subscribed: Subscribed) {
        say(&format_args!("subscribed{}", if subscribed.first { "" } else { " again" }));
        let container = v1::ContainerStatus { container_id: subscribed.container_id, ..self.container.clone() };
        self.runner.book().subscribed(&subscribed.framework_info, container);
    }
}
