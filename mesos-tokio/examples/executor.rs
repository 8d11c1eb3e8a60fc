//! A whole executor: each task's `data` is a command for the shell. An agent starts it, as the command of an
//! `ExecutorInfo`; it survives a restart of its agent without losing a task or an update.
use mesos_tokio::mesos_core::executor::{Client, Config, Env, Event};
use mesos_tokio::mesos_core::v1::{TaskInfo, TaskState::*, TaskStatus};
use mesos_tokio::{Driver, Handle, Http};
use tokio::{process::Command, sync::oneshot};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vars = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let client = Client::new(Config::from_env(Env::parse(vars)?), std::process::id().into());
    let (executor, mut events) = Driver::new(client, Http::default()).spawn();
    let mut kills = std::collections::BTreeMap::new();
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
    let status = |state| TaskStatus::new(task.task_id.clone(), state);
    let say = |status| executor.command(move |client| client.update(status));
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(&*String::from_utf8_lossy(task.data())).env_remove(Env::SECRETS[0]).kill_on_drop(true);
    let _ = say(status(TaskRunning)).await;
    let end = tokio::select! {
        status = shell.status() => if status.is_ok_and(|s| s.success()) { TaskFinished } else { TaskFailed },
        _ = killed => TaskKilled,
    };
    let _ = say(status(end)).await;
}
