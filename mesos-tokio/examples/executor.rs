//! A whole executor: each task's `data` is a command for the shell. An agent starts it, as the command of an
//! `ExecutorInfo`; it survives a restart of its agent without losing a task or an update.
use mesos_tokio::mesos_core::executor::{Client, Config, Env, Event};
use mesos_tokio::mesos_core::v1::{TaskInfo, TaskState::*, TaskStatus};
use mesos_tokio::{Driver, Handle, Http, seed};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{process::Command, sync::oneshot};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vars = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let client = Client::new(Config::from_env(Env::parse(vars)?), seed());
    let (executor, mut events) = Driver::new(client, Http::default()).spawn();
    let mut kills = std::collections::BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Launch(task) => {
                let (kill, killed) = oneshot::channel();
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
    let (script, mut shell) = (String::from_utf8_lossy(task.data()), Command::new("/bin/sh"));
    let Ok(mut child) = shell.args(["-c", &*script]).env_remove(Env::SECRETS[0]).process_group(0).spawn() else {
        return drop(say(status(TaskFailed)).await);
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let _ = say(status(TaskRunning)).await;
    let end = tokio::select! {
        exit = child.wait() => if exit.is_ok_and(|exit| exit.success()) { TaskFinished } else { TaskFailed },
        _ = killed => { let _ = group.map(|group| kill_process_group(group, Signal::KILL)); TaskKilled }
    };
    let _ = say(status(end)).await;
}
