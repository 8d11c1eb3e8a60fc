//! Tasks and executors as local processes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use mesos_proto::v1;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Message, health};
use crate::{ExecutorName, Exit, TaskName};

/// Kills the groups that it was told of and not told off again, once its input ends, and all that lives in the sandboxes
/// under the folder that is its argument: when the program dies, even by SIGKILL, no task stays behind.
const WATCHDOG: &str = r#"all=
while read -r op pid; do
  case $op in
    +) all="$all $pid" ;;
    -) new=; for p in $all; do [ "$p" = "$pid" ] || new="$new $p"; done; all=$new ;;
  esac
done
for p in $all; do kill -s KILL -- "-$p"; done
for p in $(cd /proc && grep -lsaF "MESOS_SANDBOX=$1/" [0-9]*/environ); do kill -s KILL "${p%/*}"; done
"#;

/// Whose process it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Task(TaskName),
    Executor(ExecutorName),
}

/// The processes of a cluster's tasks and executors, each the leader of a group of its own.
pub(super) struct Processes {
    messages: mpsc::UnboundedSender<Message>,
    running: BTreeMap<Name, Pid>,
    /// What performs the health checks of those that have one.
    watches: BTreeMap<Name, AbortOnDrop>,
    sandboxes: TempDir,
    watchdog: Child,
    orders: Option<ChildStdin>,
}

impl Processes {
    pub(super) fn new(messages: mpsc::UnboundedSender<Message>) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let sandboxes = tempfile::Builder::new().prefix("mesos-sim-").tempdir()?;
        let mut watchdog = std::process::Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(sandboxes.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = watchdog.stdin.take();
        Ok(Self { messages, running: BTreeMap::new(), watches: BTreeMap::new(), sandboxes, watchdog, orders })
    }

    fn order(&mut self, order: char, pid: Pid) {
        if let Some(orders) = &mut self.orders {
            if let Err(error) = writeln!(orders, "{order} {}", pid.as_raw_nonzero()) {
                tracing::warn!(%error, "the watchdog of the tasks' processes is gone");
            }
        }
    }

    /// Starts a task. Its output goes to the files `stdout` and `stderr` in its sandbox.
    pub(super) fn start(&mut self, name: &TaskName, info: &v1::TaskInfo) -> io::Result<()> {
        let command = info.command.as_deref().ok_or_else(|| io::Error::other("the task has no command"))?;
        let sandbox = sandbox(self.sandboxes(), &name.framework, &name.task);
        let environment = [("MESOS_TASK_ID".to_owned(), name.task.clone())];
        self.spawn(Name::Task(name.clone()), command, sandbox.clone(), environment)?;
        if let Some(check) = &info.health_check {
            let watch =
                health::watch(name.clone(), check.as_ref().clone(), command.clone(), sandbox, self.messages.clone());
            self.watches.insert(Name::Task(name.clone()), AbortOnDrop(tokio::spawn(watch)));
        }
        Ok(())
    }

    /// Starts an executor, in a sandbox as a task of its name would have it.
    pub(super) fn start_executor(
        &mut self,
        name: &ExecutorName,
        info: &v1::ExecutorInfo,
        environment: Vec<(String, String)>,
        agent: SocketAddr,
    ) -> io::Result<()> {
        let command = info.command.as_deref().ok_or_else(|| io::Error::other("the executor has no command"))?;
        let sandbox = sandbox(self.sandboxes(), &name.framework, &name.executor);
        let environment = environment.into_iter().chain([
            ("MESOS_AGENT_ENDPOINT".to_owned(), agent.to_string()),
            ("MESOS_SLAVE_PID".to_owned(), format!("slave(1)@{agent}")),
            ("MESOS_DIRECTORY".to_owned(), sandbox.display().to_string()),
        ]);
        self.spawn(Name::Executor(name.clone()), command, sandbox, environment)
    }

    fn spawn(
        &mut self,
        name: Name,
        command: &v1::CommandInfo,
        sandbox: PathBuf,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> io::Result<()> {
        fs::create_dir_all(&sandbox)?;
        let mut child = prepared(command, &sandbox, environment)
            .stdout(File::create(sandbox.join("stdout"))?)
            .stderr(File::create(sandbox.join("stderr"))?)
            .spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        self.order('+', pid);
        self.running.insert(name.clone(), pid);
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let exit = match child.wait().await {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Status(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or_default()),
                },
                Err(error) => Exit::NotStarted(error.to_string()),
            };
            let _ = messages.send(Message::Ended(name, exit));
        });
        Ok(())
    }

    /// Where all sandboxes are.
    pub(super) fn sandboxes(&self) -> &Path {
        self.sandboxes.path()
    }

    /// Kills an executor, and what it has started.
    pub(super) fn kill_executor(&self, name: &ExecutorName) {
        if let Some(&pid) = self.running.get(&Name::Executor(name.clone())) {
            signal(pid, Signal::KILL);
            clear(&sandbox(self.sandboxes(), &name.framework, &name.executor));
        }
    }

    /// Ends a task: TERM to the whole group, KILL after the grace.
    pub(super) fn stop(&self, name: &TaskName, grace: Duration) {
        let name = Name::Task(name.clone());
        let Some(&pid) = self.running.get(&name) else { return };
        signal(pid, Signal::TERM);
        let messages = self.messages.clone();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            // By the actor, which knows whether the process still is the task's.
            let _ = messages.send(Message::Overdue(name, pid));
        });
    }

    /// The grace of a process is over.
    pub(super) fn overdue(&self, name: &Name, pid: Pid) {
        if self.running.get(name) == Some(&pid) {
            signal(pid, Signal::KILL);
        }
    }

    /// A process has ended; what it left behind in its group ends too, and the tasks of an executor.
    pub(super) fn forget(&mut self, name: &Name) {
        self.watches.remove(name);
        if let Some(pid) = self.running.remove(name) {
            signal(pid, Signal::KILL);
            self.order('-', pid);
        }
        if let Name::Executor(name) = name {
            clear(&sandbox(self.sandboxes(), &name.framework, &name.executor));
        }
    }

    /// Kills all, and waits for the watchdog's end.
    pub(super) async fn end_all(&mut self) {
        self.kill_all();
        self.orders = None;
        for _ in 0..200 {
            if !matches!(self.watchdog.try_wait(), Ok(None)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn kill_all(&mut self) {
        self.watches.clear();
        for (_, pid) in std::mem::take(&mut self.running) {
            signal(pid, Signal::KILL);
        }
        clear(self.sandboxes());
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.kill_all();
        self.orders = None;
        let _ = self.watchdog.wait();
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A command as a process of a group of its own, in a sandbox, with what is in the environment beside the command's own.
pub(super) fn prepared(
    command: &v1::CommandInfo,
    sandbox: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> tokio::process::Command {
    let value = command.value();
    let mut process = if command.shell() {
        let mut process = tokio::process::Command::new("/bin/sh");
        process.args(["-c", value]);
        process
    } else {
        let mut process = tokio::process::Command::new(value);
        // The first argument is the program's own name.
        process.args(command.arguments.iter().skip(1));
        process
    };
    process.env("MESOS_SANDBOX", sandbox).envs(environment);
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        let legal = !variable.name.is_empty() && !variable.name.contains(['=', '\0']);
        if let Some(value) = variable.value.as_ref().filter(|value| legal && !value.contains('\0')) {
            process.env(&variable.name, value);
        }
    }
    process.stdin(Stdio::null()).current_dir(sandbox).process_group(0);
    process
}

/// A task's sandbox.
pub(super) fn sandbox(root: &Path, framework: &str, task: &str) -> PathBuf {
    // Ids may hold anything but slashes; dots alone would lead elsewhere.
    let safe = |id: &str| format!("_{}", id.replace(['/', '\0'], "_"));
    root.join(safe(framework)).join(safe(task))
}

/// Kills what lives in a sandbox, or in one below: the processes whose environment says so. Those of an executor's tasks
/// are in groups of their own, and nobody's children once it is gone.
fn clear(folder: &Path) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let variables = environment.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(b"MESOS_SANDBOX="));
        if variables.map(OsStr::from_bytes).any(|sandbox| Path::new(sandbox).starts_with(folder)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A group that has ended already is no fault.
pub(super) fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process_group(pid, signal);
}
