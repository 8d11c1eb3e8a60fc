//! A custom executor for scenarios, started by an agent: each task's `data` is a command for the shell, and messages
//! are sent back.
#![allow(clippy::print_stderr, reason = "its output is for people who look into its sandbox")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::ExitCode;

use conformance::mesos_core::executor::{CallError, Client, Config, Env, Event};
use conformance::mesos_tokio::{Driver, Handle, Http};
use conformance::v1::{TaskId, TaskInfo, TaskState, TaskStatus};
use tokio::process::Command;
use tokio::sync::oneshot;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let vars =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let env = match Env::parse(vars) {
        Ok(env) => env,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(error.exit_code());
        }
    };
    let client = Client::new(Config::from_env(env), RandomState::new().build_hasher().finish());
    let (executor, mut events) = Driver::new(client, Http::default()).spawn();
    let mut kills = BTreeMap::new();
    let mut start = |task: TaskInfo| {
        let (kill, killed) = oneshot::channel::<()>();
        let id = task.task_id.value.clone();
        tokio::spawn(run(task, killed, executor.clone()));
        (id, kill)
    };
    let mut end = ExitCode::from(70);
    while let Some(event) = events.next().await {
        eprintln!("{event:?}");
        match event {
            Event::Launch(task) => kills.extend([start(*task)]),
            Event::LaunchGroup(group) => kills.extend(group.tasks.into_iter().map(&mut start)),
            Event::Kill { task_id, .. } => drop(kills.remove(&task_id.value)),
            Event::Message(data) => match executor.command(|client| client.message(data)).await {
                Ok(Ok(())) => {}
                other => eprintln!("no message: {other:?}"),
            },
            Event::Stopped { .. } => end = ExitCode::SUCCESS,
            Event::Fatal(_) => end = ExitCode::FAILURE,
            _ => {}
        }
    }
    end
}

/// Runs a task until it ends, or is killed: when the sender of `killed` is dropped.
async fn run(task: TaskInfo, killed: oneshot::Receiver<()>, executor: Handle<Client>) {
    let script = String::from_utf8_lossy(task.data()).into_owned();
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).env_remove(Env::SECRETS[0]).kill_on_drop(true);
    report(&executor, &task.task_id, TaskState::TaskRunning).await;
    let state = tokio::select! {
        status = command.status() => match status {
            Ok(status) if status.success() => TaskState::TaskFinished,
            _ => TaskState::TaskFailed,
        },
        _ = killed => TaskState::TaskKilled,
    };
    report(&executor, &task.task_id, state).await;
}

async fn report(executor: &Handle<Client>, task: &TaskId, state: TaskState) {
    let status = TaskStatus::new(task.clone(), state);
    match executor.command(move |client| client.update(status)).await {
        Ok(Ok(()) | Err(CallError::Ended)) => {}
        other => eprintln!("{task} {}: {other:?}", state.as_str_name()),
    }
}
