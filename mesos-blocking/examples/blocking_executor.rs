//! A whole executor without an async runtime: each task's `data` is a command for the shell. An agent starts it, as the
//! command of an `ExecutorInfo`; it survives a restart of its agent without losing a task or an update.
use mesos_blocking::mesos_core::executor::{Client, Config, Env, Event};
use mesos_blocking::mesos_core::v1::{TaskState::*, TaskStatus};
use mesos_blocking::{Driver, Http, seed};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{os::unix::process::CommandExt as _, process::Command, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vars = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let mut driver = Driver::new(Client::new(Config::from_env(Env::parse(vars)?), seed()), Http::default());
    let mut tasks = std::collections::BTreeMap::new();
    loop {
        // While there are children, they are looked after ten times a second.
        let limit = Duration::from_millis(if tasks.is_empty() { 60_000 } else { 100 });
        match driver.next_event_timeout(limit) {
            Ok(Some(Event::Launch(task))) => {
                let (script, mut shell) = (String::from_utf8_lossy(task.data()), Command::new("/bin/sh"));
                let status = match shell.args(["-c", &*script]).env_remove(Env::SECRETS[0]).process_group(0).spawn() {
                    Ok(child) => {
                        tasks.insert(task.task_id.value.clone(), (child, TaskFailed));
                        TaskStatus::new(task.task_id, TaskRunning)
                    }
                    Err(error) => TaskStatus::new(task.task_id, TaskFailed).with_message(error.to_string()),
                };
                let _ = driver.with(|client| client.update(status));
            }
            Ok(Some(Event::Kill { task_id, .. })) => {
                if let Some((child, end)) = tasks.get_mut(&task_id.value) {
                    *end = TaskKilled;
                    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
                }
            }
            Ok(None) => return Ok(()),
            _ => {}
        }
        tasks.retain(|id, (child, end)| {
            let Ok(Some(exit)) = child.try_wait() else { return true };
            let status = TaskStatus::new(id.as_str(), if exit.success() { TaskFinished } else { *end });
            let _ = driver.with(|client| client.update(status.with_message(exit.to_string())));
            false
        });
    }
}
