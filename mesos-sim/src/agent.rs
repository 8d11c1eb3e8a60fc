//! A simulated agent: its tasks, and one stream of updates for each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use mesos_proto::v1;
use v1::TaskState;
use v1::framework_info::capability::Type as Capability;
use v1::task_status::{Reason, Source};

use crate::Options;
use crate::executor::{ExecutorKey, Executors, Why};
use crate::http::{ExchangeId, Response};
use crate::master::ToAgent;
use crate::resources::Pool;
use crate::rng::Rng;
use crate::trouble::Drain;

/// How long a task may take to end when its framework is removed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A framework's id and a task's id.
pub(crate) type TaskKey = (String, String);

/// What an agent wants done.
#[derive(Debug)]
pub(crate) enum ToCluster {
    /// Forward this status to the master, which also learns how far the task has come by now.
    Update {
        framework: String,
        status: Box<v1::TaskStatus>,
        latest: TaskState,
    },
    /// An executor has ended, with this wait status.
    Exited {
        framework: String,
        executor: v1::ExecutorId,
        status: Option<i32>,
    },
    /// Bytes from an executor to its scheduler.
    Message {
        executor: ExecutorKey,
        data: Bytes,
    },
    /// Start an executor's process, with this in its environment.
    StartExecutor {
        executor: ExecutorKey,
        info: Box<v1::ExecutorInfo>,
        environment: Vec<(String, String)>,
    },
    /// Destroy an executor's container.
    KillExecutor {
        executor: ExecutorKey,
    },
    /// Answers to executors, as in [`Output`](crate::Output).
    Respond(ExchangeId, Response),
    Stream(ExchangeId, Bytes),
    End(ExchangeId),
    Cut(ExchangeId),
    /// Start a task's process.
    Start {
        task: TaskKey,
        info: Box<v1::TaskInfo>,
    },
    /// End a task's process: politely, and after the grace by force.
    Stop {
        task: TaskKey,
        grace: Duration,
    },
}

/// A task on an agent.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) info: v1::TaskInfo,
    /// The executor of its task group; a task of its own has one by its own name.
    pub(crate) executor: Option<v1::ExecutorId>,
    /// That executor speaks the executor API, and ends when it likes.
    by_itself: bool,
    pub(crate) container: v1::ContainerStatus,
    pub(crate) resources: Pool,
    /// The executor's latest word.
    pub(crate) state: TaskState,
    /// Not yet acknowledged by the scheduler, oldest first; only the first one is sent.
    pending: VecDeque<v1::TaskStatus>,
    /// When the first one goes out again, and how long the wait after that is.
    retry: Option<(Duration, Duration)>,
    kill_sent: bool,
    /// What its health check said last.
    pub(crate) healthy: Option<bool>,
    /// When its process starts; `None` once it was told to.
    pub(crate) start_at: Option<Duration>,
}

impl Task {
    /// The state that the stream has come to, as the master has seen it.
    pub(crate) fn forwarded(&self) -> TaskState {
        self.pending.front().map_or(self.state, v1::TaskStatus::state)
    }

    /// Where it runs, as far as the master has seen that.
    pub(crate) fn container(&self) -> Option<v1::ContainerStatus> {
        (self.forwarded() != TaskState::TaskStaging).then(|| self.container.clone())
    }

    /// The uuid of the update that waits for its acknowledgement.
    pub(crate) fn unacknowledged(&self) -> Option<Bytes> {
        self.pending.front().and_then(|status| status.uuid.clone())
    }
}

/// An agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) info: v1::AgentInfo,
    pub(crate) total: Pool,
    /// Whether its process runs.
    pub(crate) up: bool,
    /// Its tasks are being ended, since an operator drains it.
    pub(crate) draining: Option<Drain>,
    /// Whether its messages pass.
    pub(crate) reachable: bool,
    pub(crate) tasks: BTreeMap<TaskKey, Task>,
    /// The frameworks that have launched tasks here.
    pub(crate) frameworks: BTreeMap<String, v1::FrameworkInfo>,
    /// What the master has sent into a partition: it waits in the socket.
    held: VecDeque<ToAgent>,
    retry: Duration,
    pub(crate) launch_delay: Duration,
    terse: bool,
    pub(crate) executors: Executors,
    pub(crate) out: VecDeque<ToCluster>,
}

impl Agent {
    pub(crate) fn new(info: v1::AgentInfo, total: Pool, options: &Options) -> Self {
        Self {
            id: info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
            info,
            total,
            up: true,
            draining: None,
            reachable: true,
            tasks: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            held: VecDeque::new(),
            retry: options.update_retry,
            launch_delay: options.launch_delay,
            terse: options.terse,
            executors: Executors::new(options.executors.clone()),
            out: VecDeque::new(),
        }
    }

    /// Whether the master and the agent hear each other.
    pub(crate) const fn connected(&self) -> bool {
        self.up && self.reachable
    }

    /// A message from the master.
    pub(crate) fn receive(&mut self, message: ToAgent, now: &mut Moment<'_>) {
        if !self.up {
            return;
        }
        if !self.reachable {
            self.held.push_back(message);
            return;
        }
        match message {
            ToAgent::Launch { framework, info, executor } => self.launch(*framework, *info, executor, now),
            ToAgent::Kill { task, policy } => self.kill(&task, policy.as_ref(), now),
            ToAgent::Acknowledge { task, uuid } => self.acknowledge(&task, &uuid, now.at),
            ToAgent::Resend(framework) => self.resend(Some(&framework), now.at),
            ToAgent::ShutDown(framework) => self.shut_down(&framework, now.at),
            ToAgent::Drain(drain) => self.drain(drain, now),
            ToAgent::Reactivate => self.draining = None,
            ToAgent::LaunchByExecutor { framework, executor, tasks, group } => {
                let ids = tasks.iter().map(|task| task.task_id.value.clone()).collect();
                for info in tasks {
                    self.enter((*framework).clone(), info, Some(executor.executor_id.clone()), None, now);
                }
                self.launch_by_executor(*framework, *executor, ids, group, now);
            }
            ToAgent::MessageToExecutor { executor, data } => self.message_to_executor(&executor, data),
            ToAgent::ShutExecutorDown(executor) => self.shut_executor_down(&executor, Why::Scheduler, now.at),
        }
    }

    /// The partition is over: what waited in the socket arrives.
    pub(crate) fn heal(&mut self, now: &mut Moment<'_>) {
        self.reachable = true;
        for message in std::mem::take(&mut self.held) {
            self.receive(message, now);
        }
    }

    /// The process dies. Tasks of frameworks with checkpoints live on, the others end with it.
    pub(crate) fn die(&mut self, now: Duration) {
        self.up = false;
        self.cut_executors();
        self.held.clear();
        let ends = |info: &v1::FrameworkInfo| !info.checkpoint();
        let ending: Vec<String> =
            self.frameworks.iter().filter(|(_, info)| ends(info)).map(|(id, _)| id.clone()).collect();
        for framework in ending {
            self.shut_down(&framework, now);
        }
    }

    fn launch(
        &mut self,
        framework: v1::FrameworkInfo,
        info: v1::TaskInfo,
        executor: Option<v1::ExecutorId>,
        now: &mut Moment<'_>,
    ) {
        match self.executors.command_executor(&info).filter(|_| executor.is_none()) {
            Some(command) => {
                let id = info.task_id.value.clone();
                self.enter(framework.clone(), info, Some(command.executor_id.clone()), None, now);
                self.launch_by_executor(framework, command, vec![id], false, now);
            }
            None => {
                let key =
                    (framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default(), info.task_id.value.clone());
                self.enter(framework, info, executor, Some(now.at + self.launch_delay), now);
                self.start_due(now.at);
                if self.draining.is_some() {
                    self.kill(&key, None, now);
                }
            }
        }
    }

    /// Takes a task in, and starts its process at this time, if that is the agent's own business.
    fn enter(
        &mut self,
        framework: v1::FrameworkInfo,
        info: v1::TaskInfo,
        executor: Option<v1::ExecutorId>,
        start_at: Option<Duration>,
        now: &mut Moment<'_>,
    ) {
        let id = framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        let key = (id.clone(), info.task_id.value.clone());
        self.frameworks.insert(id, framework);
        let resources = Pool::of(&info.resources).unwrap_or_default();
        // Tasks really run on this machine, in its network.
        let address = v1::network_info::IpAddress { ip_address: Some("127.0.0.1".into()), ..Default::default() };
        let network = v1::NetworkInfo { ip_addresses: vec![address], ..Default::default() };
        let container = v1::ContainerStatus {
            container_id: Some(v1::ContainerId { value: now.rng.uuid_text(), ..Default::default() }),
            network_infos: vec![network],
            ..Default::default()
        };
        let task = Task {
            info,
            executor,
            by_itself: start_at.is_none(),
            container,
            resources,
            state: TaskState::TaskStaging,
            pending: VecDeque::new(),
            retry: None,
            kill_sent: false,
            healthy: None,
            start_at,
        };
        self.tasks.insert(key, task);
    }

    /// Starts the processes whose time has come.
    fn start_due(&mut self, now: Duration) {
        for (key, task) in &mut self.tasks {
            if task.start_at.is_some_and(|at| at <= now) {
                task.start_at = None;
                if !is_terminal(task.state) {
                    self.out.push_back(ToCluster::Start { task: key.clone(), info: Box::new(task.info.clone()) });
                }
            }
        }
    }

    /// KILL from the scheduler.
    pub(crate) fn kill(&mut self, key: &TaskKey, policy: Option<&v1::KillPolicy>, now: &mut Moment<'_>) {
        if self.tasks.get(key).is_none_or(|task| is_terminal(task.state)) {
            return;
        }
        if let Some(executor) = self.executor_of(key) {
            return self.kill_by_executor(&executor, key, policy, now);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.state == TaskState::TaskStaging {
            let starting = task.start_at.take().is_none();
            self.report(
                key,
                TaskState::TaskKilled,
                Source::Agent,
                Some(Reason::TaskKilledDuringLaunch),
                "Killed before delivery to the executor",
                now,
            );
            if starting {
                self.out.push_back(ToCluster::Stop { task: key.clone(), grace: Duration::ZERO });
            }
            return;
        }
        let grace = policy.or(task.info.kill_policy.as_ref()).and_then(|policy| policy.grace_period.as_ref());
        let grace = grace.map_or(Duration::from_secs(3), |grace| Duration::from_nanos(grace.nanoseconds.max(0) as u64));
        let first = !std::mem::replace(&mut task.kill_sent, true);
        let killing = self.frameworks.get(&key.0).is_some_and(|framework| {
            framework.capabilities.iter().any(|capability| capability.r#type() == Capability::TaskKillingState)
        });
        if first && killing && !self.terse {
            self.report(key, TaskState::TaskKilling, Source::Executor, None, "", now);
        }
        if first || policy.is_some() {
            self.out.push_back(ToCluster::Stop { task: key.clone(), grace });
        }
    }

    /// The task's process has started.
    pub(crate) fn started(&mut self, key: &TaskKey, now: &mut Moment<'_>) {
        if self.tasks.get(key).is_some_and(|task| task.state == TaskState::TaskStaging) {
            if !self.terse {
                self.report(key, TaskState::TaskStarting, Source::Executor, None, "", now);
            }
            self.report(key, TaskState::TaskRunning, Source::Executor, None, "", now);
        }
    }

    /// The task's process has ended.
    pub(crate) fn ended(&mut self, key: &TaskKey, end: &Exit, now: &mut Moment<'_>) {
        let Some(task) = self.tasks.get(key).filter(|task| !is_terminal(task.state)) else { return };
        let state = match (task.kill_sent, end) {
            (true, _) => TaskState::TaskKilled,
            (false, Exit::Status(0)) => TaskState::TaskFinished,
            (false, _) => TaskState::TaskFailed,
        };
        let message = match end {
            Exit::Status(status) => format!("Command exited with status {status}"),
            Exit::Signal(9) => "Command terminated with signal Killed".to_owned(),
            Exit::Signal(15) => "Command terminated with signal Terminated".to_owned(),
            Exit::Signal(signal) => format!("Command terminated with signal {signal}"),
            Exit::NotStarted(why) => format!("Failed to launch command: {why}"),
        };
        self.report(key, state, Source::Executor, None, &message, now);
    }

    /// Puts an update into the task's stream.
    pub(crate) fn report(
        &mut self,
        key: &TaskKey,
        state: TaskState,
        source: Source,
        reason: Option<Reason>,
        message: &str,
        now: &mut Moment<'_>,
    ) {
        let (state, reason) = self.drained(key, state, reason);
        let Some(task) = self.tasks.get(key) else { return };
        let itself = || v1::ExecutorId { value: key.1.clone() };
        let by_executor = source == Source::Executor;
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: key.1.clone() },
            state: state.into(),
            message: (!message.is_empty()).then(|| message.into()),
            source: Some(source.into()),
            reason: reason.map(Into::into),
            agent_id: Some(v1::AgentId { value: self.id.clone() }),
            executor_id: by_executor.then(|| task.executor.clone().unwrap_or_else(itself)),
            container_status: by_executor.then(|| task.container.clone()),
            timestamp: Some(now.unix),
            uuid: Some(Bytes::copy_from_slice(&now.rng.uuid())),
            healthy: task.healthy.filter(|_| by_executor),
            ..Default::default()
        };
        self.take_status(key, status, now.at);
    }

    /// Puts a complete status into the task's stream.
    pub(crate) fn take_status(&mut self, key: &TaskKey, status: v1::TaskStatus, now: Duration) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.state = status.state();
        task.pending.push_back(status);
        if task.pending.len() == 1 {
            self.send(key, now, self.retry);
        }
    }

    /// Sends the head of a stream.
    fn send(&mut self, key: &TaskKey, now: Duration, wait: Duration) {
        let (limit, connected) = (self.retry * 60, self.connected());
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(status) = task.pending.front() else {
            task.retry = None;
            return;
        };
        task.retry = Some((now + wait, (wait * 2).min(limit)));
        if connected {
            self.out.push_back(ToCluster::Update {
                framework: key.0.clone(),
                status: Box::new(status.clone()),
                latest: task.state,
            });
        }
    }

    /// An acknowledgement from the scheduler.
    pub(crate) fn acknowledge(&mut self, key: &TaskKey, uuid: &[u8], now: Duration) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.pending.front().and_then(|status| status.uuid.as_deref()) != Some(uuid) {
            return;
        }
        task.pending.pop_front();
        if task.pending.is_empty() && is_terminal(task.state) {
            let executor = self.tasks.remove(key).filter(|task| !task.by_itself).and_then(|task| task.executor);
            let runs = |(other, task): (&TaskKey, &Task)| other.0 == key.0 && task.executor == executor;
            if let Some(executor) = executor.clone().filter(|_| !self.tasks.iter().any(runs)) {
                self.out.push_back(ToCluster::Exited { framework: key.0.clone(), executor, status: Some(0) });
            }
        } else {
            self.send(key, now, self.retry);
        }
    }

    /// All heads go out at once, and the waits start anew: after a registration, or when the framework is back.
    pub(crate) fn resend(&mut self, framework: Option<&str>, now: Duration) {
        let keys = self.tasks.keys().filter(|key| framework.is_none_or(|framework| framework == key.0));
        for key in keys.cloned().collect::<Vec<_>>() {
            self.send(&key, now, self.retry);
        }
    }

    /// Ends all tasks of a framework, without a word to anybody.
    pub(crate) fn shut_down(&mut self, framework: &str, now: Duration) {
        self.frameworks.remove(framework);
        self.shut_executors_down(framework, now);
        let keys: Vec<TaskKey> = self.tasks.keys().filter(|key| key.0 == framework).cloned().collect();
        for key in keys {
            let runs = |task: &Task| !task.by_itself && task.start_at.is_none() && !is_terminal(task.state);
            if self.tasks.remove(&key).is_some_and(|task| runs(&task)) {
                self.out.push_back(ToCluster::Stop { task: key, grace: SHUTDOWN_GRACE });
            }
        }
    }

    /// Ends all tasks: the agent has been marked gone.
    pub(crate) fn shut_down_all(&mut self, now: Duration) {
        for framework in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.shut_down(&framework, now);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let due = |task: &Task| task.retry.map(|retry| retry.0).into_iter().chain(task.start_at).min();
        let tasks = self.tasks.values().filter_map(due);
        self.up.then(|| tasks.chain(self.executors.next_deadline()).min())?
    }

    pub(crate) fn tick(&mut self, moment: &mut Moment<'_>) {
        let now = moment.at;
        self.start_due(now);
        self.tick_executors(moment);
        let due = |task: &Task| task.retry.filter(|retry| retry.0 <= now).map(|retry| retry.1);
        let due: Vec<_> =
            self.tasks.iter().filter_map(|(key, task)| due(task).map(|wait| (key.clone(), wait))).collect();
        for (key, wait) in due {
            self.send(&key, now, wait);
        }
    }
}

/// How a task's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started.
    NotStarted(String),
}

/// The time, and what comes with it.
pub(crate) struct Moment<'a> {
    pub(crate) at: Duration,
    /// Seconds since 1970.
    pub(crate) unix: f64,
    pub(crate) rng: &'a mut Rng,
}

pub(crate) const fn is_terminal(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
    )
}
