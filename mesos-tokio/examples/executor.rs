//! A whole executor: each task's `data` is a command for the shell. An agent starts it, as the command of an
//! `ExecutorInfo`; it survives a restart of its agent without losing a task or an update.
use mesos_tokio::mesos_core::executor::{Client, Config, Env, Event};
use mesos_tokio::mesos_core::v1::{TaskInfo, TaskState, TaskStatus};
use mesos_tokio::{Driver, Handle, Http};
use std::{collections::BTreeMap, process::ExitStatus};
use tokio::{process::Command, sync::oneshot};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vars = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let client = Client::new(Config::from_env(Env::parse(vars)?), u64::from(std::process::id()));
    let (executor, mut events) = Driver::new(client, Http::default()).spawn();
    let mut kills = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Launch(task) => {
                let (kill, killed) = oneshot::channel::<()>();
                kills.insert(task.task_id.value.clone(), kill);
                tokio::spawn(run(*task, killed, executor.clone()));
            }
            Event::Kill { task_id, .. } => drop(kills.remove(&task_id.value)),
            _ => {}
        }
    }
    Ok(())
}

async fn run(task: TaskInfo, killed: oneshot::Receiver<()>, executor: Handle<Client>) {
    let report = |state| {
        let status = TaskStatus::new(task.task_id.clone(), state);
        executor.command(move |client| client.update(status))
    };
    let script = String::from_utf8_lossy(task.data()).into_owned();
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).env_remove(Env::SECRETS[0]).kill_on_drop(true);
    let (_, end) = tokio::join!(report(TaskState::TaskRunning), async {
        tokio::select! { status = command.status() => Some(status.is_ok_and(|s: ExitStatus| s.success())), _ = killed => None }
    });
    let _ = report(match end {
        Some(true) => TaskState::TaskFinished,
        Some(false) => TaskState::TaskFailed,
        None => TaskState::TaskKilled,
    })
    .await;
}
