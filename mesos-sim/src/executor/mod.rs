//! Executors that speak the executor API, as their agent sees them: from the start of their processes to the end.

mod api;
mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use mesos_proto::v1;
use v1::TaskState;
use v1::executor::{Event, event};
use v1::task_status::{Reason, Source};

use crate::agent::{Agent, Exit, Moment, TaskKey, ToCluster, is_terminal};
use crate::codec;
use crate::http::{Codec, ExchangeId};

pub use options::ExecutorOptions;

/// A framework's id and an executor's id.
pub(crate) type ExecutorKey = (String, String);

/// How long the end of an executor's container takes.
const DESTRUCTION: Duration = Duration::from_millis(50);
/// An executor that wasn't back in time is left for so long, during which its SUBSCRIBE is answered with SHUTDOWN.
const LEFT_BEHIND: Duration = Duration::from_millis(1500);
/// While its process starts, an agent answers 404, then 503 to everything.
const NO_ROUTES: Duration = Duration::from_millis(20);
const RECOVERING_CONTAINERS: Duration = Duration::from_millis(40);

/// The executors of one agent.
#[derive(Debug)]
pub(crate) struct Executors {
    pub(crate) options: ExecutorOptions,
    known: BTreeMap<ExecutorKey, Executor>,
    /// When the agent's process was started again.
    restarted: Option<Duration>,
    /// Until then a restarted agent waits for its executors.
    recovering: Option<Duration>,
    /// How long acknowledgements take; `None`: for ever.
    acknowledged_after: Option<Duration>,
    /// When to send which.
    acknowledgements: Vec<(Duration, ExecutorKey, event::Acknowledged)>,
}

#[derive(Debug)]
struct Executor {
    info: v1::ExecutorInfo,
    framework: v1::FrameworkInfo,
    container: String,
    token: Option<String>,
    stream: Option<Stream>,
    /// SUBSCRIBE was taken by this process of the agent.
    subscribed: bool,
    /// When its process starts, with this in its environment; `None` once it was told to.
    start: Option<(Duration, Vec<(String, String)>)>,
    /// Whether it was told to. It never is if the agent dies before.
    started: bool,
    /// Tasks that weren't delivered, each launch by itself.
    queued: Vec<Launch>,
    /// It was told to end, or is to be told so.
    ending: bool,
    /// When its container is destroyed, and what that means for its tasks.
    doom: Option<(Duration, Reason)>,
    /// The updates that were taken, to know a repeated one by.
    taken: BTreeSet<Bytes>,
}

#[derive(Debug)]
struct Stream {
    exchange: ExchangeId,
    codec: Codec,
    next_heartbeat: Option<Duration>,
}

#[derive(Debug)]
struct Launch {
    tasks: Vec<String>,
    group: bool,
}

/// Why an executor is to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Why {
    /// Its framework is gone; nobody wants to hear of its tasks.
    Framework,
    /// The scheduler said so.
    Scheduler,
}

impl Executors {
    pub(crate) fn new(options: ExecutorOptions) -> Self {
        Self {
            options,
            known: BTreeMap::new(),
            restarted: None,
            recovering: None,
            acknowledged_after: Some(Duration::ZERO),
            acknowledgements: Vec::new(),
        }
    }

    /// Who runs a task with a command, if agents don't do so themselves.
    pub(crate) fn command_executor(&self, task: &v1::TaskInfo) -> Option<v1::ExecutorInfo> {
        let program = self.options.command.clone().filter(|_| task.command.is_some())?;
        let command = v1::CommandInfo {
            shell: Some(false),
            value: Some(program.clone()),
            arguments: vec![program],
            user: task.command.as_ref()?.user.clone(),
            ..Default::default()
        };
        Some(v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: task.task_id.value.clone() },
            command: Some(Box::new(command)),
            name: Some("Command Executor".into()),
            source: Some(task.task_id.value.clone()),
            ..Default::default()
        })
    }

    /// All that are there, as they were described.
    pub(crate) fn described(&self) -> impl Iterator<Item = (&ExecutorKey, &v1::ExecutorInfo)> {
        self.known.iter().map(|(key, executor)| (key, &executor.info))
    }

    /// Until when the agent waits for executors that it knows from before its restart.
    pub(crate) fn recovering(&self) -> Option<Duration> {
        self.recovering.filter(|_| !self.known.is_empty())
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let starts = self.known.values().filter_map(|executor| Some(executor.start.as_ref()?.0));
        let dooms = self.known.values().filter_map(|executor| Some(executor.doom.as_ref()?.0));
        let heartbeats = self.known.values().filter_map(|executor| executor.stream.as_ref()?.next_heartbeat);
        let acknowledgements = self.acknowledgements.iter().map(|acknowledgement| acknowledgement.0);
        starts.chain(dooms).chain(heartbeats).chain(acknowledgements).chain(self.recovering).min()
    }
}

fn event_of(kind: event::Type) -> Event {
    Event { r#type: Some(kind.into()), ..Default::default() }
}

impl Agent {
    /// Whether this task is an executor's that speaks the API.
    pub(crate) fn executor_of(&self, key: &TaskKey) -> Option<ExecutorKey> {
        let id = self.tasks.get(key)?.executor.as_ref()?.value.clone();
        let executor = (key.0.clone(), id);
        self.executors.known.contains_key(&executor).then_some(executor)
    }

    /// Hands tasks to an executor, whose process is started if there is none. The tasks are there already.
    pub(crate) fn launch_by_executor(
        &mut self,
        framework: v1::FrameworkInfo,
        info: v1::ExecutorInfo,
        tasks: Vec<String>,
        group: bool,
        now: &mut Moment<'_>,
    ) {
        let id = framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        let key = (id, info.executor_id.value.clone());
        if let Some(executor) = self.executors.known.get_mut(&key) {
            executor.queued.push(Launch { tasks, group });
            self.deliver(&key);
            return;
        }
        let options = &self.executors.options;
        let token = options.tokens.then(|| now.rng.uuid_text());
        let environment = environment(options, &framework, &info, &self.id, token.as_deref());
        let executor = Executor {
            info,
            framework,
            container: now.rng.uuid_text(),
            token,
            stream: None,
            subscribed: false,
            start: Some((now.at + self.launch_delay, environment)),
            started: false,
            queued: vec![Launch { tasks, group }],
            ending: false,
            doom: Some((now.at + options.registration, Reason::ExecutorRegistrationTimeout)),
            taken: BTreeSet::new(),
        };
        if self.executors.known.is_empty() {
            // Whoever it waited for has ended; this one isn't meant.
            self.executors.recovering = None;
        }
        self.executors.known.insert(key, executor);
        self.start_executors(now.at);
    }

    /// Starts the processes whose time has come.
    fn start_executors(&mut self, now: Duration) {
        for (key, executor) in &mut self.executors.known {
            if let Some((_, environment)) = executor.start.take_if(|(at, _)| *at <= now) {
                executor.started = true;
                let (executor, info) = (key.clone(), Box::new(executor.info.clone()));
                self.out.push_back(ToCluster::StartExecutor { executor, info, environment });
            }
        }
    }

    /// Sends an event, if the executor is there to hear it.
    fn tell(&mut self, key: &ExecutorKey, event: &Event) {
        if let Some(stream) = self.executors.known.get(key).and_then(|executor| executor.stream.as_ref()) {
            self.out.push_back(ToCluster::Stream(stream.exchange, codec::record(stream.codec, event)));
        }
    }

    /// Sends what waits for the executor.
    fn deliver(&mut self, key: &ExecutorKey) {
        let Some(executor) = self.executors.known.get_mut(key).filter(|executor| executor.stream.is_some()) else {
            return;
        };
        for Launch { tasks, group } in std::mem::take(&mut executor.queued) {
            let info = |task: String| self.tasks.get(&(key.0.clone(), task)).map(|task| task.info.clone());
            let mut tasks: Vec<v1::TaskInfo> = tasks.into_iter().filter_map(info).collect();
            let event = if group {
                let launch = event::LaunchGroup { task_group: v1::TaskGroupInfo { tasks } };
                Event { launch_group: Some(Box::new(launch)), ..event_of(event::Type::LaunchGroup) }
            } else {
                let Some(task) = tasks.pop() else { continue };
                Event { launch: Some(Box::new(event::Launch { task })), ..event_of(event::Type::Launch) }
            };
            self.tell(key, &event);
        }
    }

    /// KILL for a task of an executor.
    pub(crate) fn kill_by_executor(
        &mut self,
        executor: &ExecutorKey,
        task: &TaskKey,
        policy: Option<&v1::KillPolicy>,
        now: &mut Moment<'_>,
    ) {
        let Some(known) = self.executors.known.get_mut(executor) else { return };
        // Not delivered: the whole group goes.
        if let Some(place) = known.queued.iter().position(|launch| launch.tasks.contains(&task.1)) {
            let launch = known.queued.remove(place);
            let reason = Some(Reason::TaskKilledDuringLaunch);
            for task in launch.tasks {
                let key = (task_framework(executor), task);
                let text = "Killed before delivery to the executor";
                self.report(&key, TaskState::TaskKilled, Source::Agent, reason, text, now);
            }
            return;
        }
        let kill = event::Kill { task_id: v1::TaskId { value: task.1.clone() }, kill_policy: policy.copied() };
        self.tell(executor, &Event { kill: Some(kill), ..event_of(event::Type::Kill) });
    }

    /// MESSAGE from the scheduler.
    pub(crate) fn message_to_executor(&mut self, key: &ExecutorKey, data: Bytes) {
        let message = event::Message { data };
        self.tell(key, &Event { message: Some(message), ..event_of(event::Type::Message) });
    }

    /// Tells an executor to end, and sees to it.
    pub(crate) fn shut_executor_down(&mut self, key: &ExecutorKey, why: Why, now: Duration) {
        let grace = self.executors.options.grace;
        let Some(executor) = self.executors.known.get_mut(key) else { return };
        if std::mem::replace(&mut executor.ending, true) && why == Why::Scheduler {
            return;
        }
        let own = executor.info.shutdown_grace_period.as_ref();
        let grace = own.map_or(grace, |own| Duration::from_nanos(own.nanoseconds.max(0).unsigned_abs()));
        executor.doom = Some((now + grace + DESTRUCTION, Reason::ExecutorTerminated));
        self.tell(key, &event_of(event::Type::Shutdown));
    }

    /// Ends all executors of a framework.
    pub(crate) fn shut_executors_down(&mut self, framework: &str, now: Duration) {
        let keys: Vec<ExecutorKey> = self.executors.known.keys().filter(|key| key.0 == framework).cloned().collect();
        for key in keys {
            self.shut_executor_down(&key, Why::Framework, now);
        }
    }

    /// The agent's process has died: all streams break. Executors live on; those without checkpoints have nothing to
    /// come back to.
    pub(crate) fn cut_executors(&mut self) {
        self.executors.acknowledgements.clear();
        for executor in self.executors.known.values_mut() {
            executor.subscribed = false;
            executor.start = None;
            executor.queued.clear();
            if let Some(stream) = executor.stream.take() {
                self.out.push_back(ToCluster::Cut(stream.exchange));
            }
        }
    }

    /// The agent's machine is gone, and all that ran there.
    pub(crate) fn lose_executors(&mut self) {
        self.cut_executors();
        for (key, _) in std::mem::take(&mut self.executors.known) {
            self.out.push_back(ToCluster::KillExecutor { executor: key });
        }
    }

    /// The agent's process has been started again.
    pub(crate) fn recover_executors(&mut self, now: Duration) {
        let lost: Vec<ExecutorKey> = self
            .executors
            .known
            .iter()
            .filter(|(_, e)| !e.framework.checkpoint())
            .map(|(key, _)| key.clone())
            .collect();
        for key in lost {
            self.executors.known.remove(&key);
            self.out.push_back(ToCluster::KillExecutor { executor: key });
        }
        for executor in self.executors.known.values_mut().filter(|executor| !executor.ending) {
            executor.doom = None;
        }
        self.executors.restarted = Some(now);
        self.executors.recovering = Some(now + self.executors.options.reregistration);
    }

    /// The process of an executor has ended.
    pub(crate) fn executor_ended(&mut self, key: &ExecutorKey, exit: &Exit, now: &mut Moment<'_>) {
        let Some(executor) = self.executors.known.remove(key) else { return };
        if let Some(stream) = executor.stream {
            self.out.push_back(ToCluster::End(stream.exchange));
        }
        let status = match exit {
            Exit::Status(status) => Some((status & 0xff) << 8),
            Exit::Signal(signal) => Some(*signal),
            Exit::NotStarted(_) => None,
        };
        let id = v1::ExecutorId { value: key.1.clone() };
        self.out.push_back(ToCluster::Exited { framework: key.0.clone(), executor: id.clone(), status });
        let reason = match (&executor.doom, exit) {
            (_, Exit::NotStarted(_)) => Reason::ContainerLaunchFailed,
            // It was destroyed; otherwise it has ended by itself.
            (Some((Duration::MAX, reason)), _) => *reason,
            _ => Reason::ExecutorTerminated,
        };
        let state = match reason {
            Reason::ExecutorReregistrationTimeout => TaskState::TaskGone,
            _ => TaskState::TaskFailed,
        };
        let text = match exit {
            Exit::NotStarted(why) => format!("Failed to launch container: {why}"),
            _ => "Executor terminated".to_owned(),
        };
        let ours = |task: &crate::agent::Task| task.executor.as_ref() == Some(&id) && !is_terminal(task.state);
        let tasks = self.tasks.iter().filter(|(task, info)| task.0 == key.0 && ours(info));
        for task in tasks.map(|(task, _)| task.clone()).collect::<Vec<_>>() {
            self.report(&task, state, Source::Agent, Some(reason), &text, now);
        }
    }

    /// Does what is due.
    pub(crate) fn tick_executors(&mut self, moment: &mut Moment<'_>) {
        let now = moment.at;
        self.start_executors(now);
        if self.executors.recovering.is_some_and(|until| until <= now) {
            self.executors.recovering = None;
            for executor in self.executors.known.values_mut().filter(|executor| !executor.subscribed) {
                executor.ending = true;
                executor.doom.get_or_insert((now + LEFT_BEHIND, Reason::ExecutorReregistrationTimeout));
            }
        }
        let (due, later) = std::mem::take(&mut self.executors.acknowledgements).into_iter().partition(|a| a.0 <= now);
        self.executors.acknowledgements = later;
        for (_, key, acknowledged) in Vec::from_iter::<Vec<_>>(due) {
            self.tell(&key, &Event { acknowledged: Some(acknowledged), ..event_of(event::Type::Acknowledged) });
        }
        let (mut beats, mut never) = (Vec::new(), Vec::new());
        for (key, executor) in &mut self.executors.known {
            if let Some((_, reason)) = executor.doom.filter(|doom| doom.0 <= now) {
                executor.doom = Some((Duration::MAX, reason));
                executor.ending = true;
                if executor.started {
                    // Its end will be told by whoever runs it.
                    self.out.push_back(ToCluster::KillExecutor { executor: key.clone() });
                } else {
                    never.push(key.clone());
                }
            }
            let Some(stream) = &mut executor.stream else { continue };
            if stream.next_heartbeat.is_some_and(|at| at <= now) {
                stream.next_heartbeat = self.executors.options.heartbeat.map(|interval| now + interval);
                beats.push(key.clone());
            }
        }
        for key in beats {
            self.tell(&key, &event_of(event::Type::Heartbeat));
        }
        for key in never {
            self.executor_ended(&key, &Exit::Signal(9), moment);
        }
    }

    /// The executor has closed the connection of its stream.
    pub(crate) fn executor_closed(&mut self, exchange: ExchangeId) {
        for executor in self.executors.known.values_mut() {
            executor.stream.take_if(|stream| stream.exchange == exchange);
        }
    }

    /// Breaks the streams of all executors, as a router that restarts does.
    pub(crate) fn cut_streams(&mut self) {
        for executor in self.executors.known.values_mut() {
            if let Some(stream) = executor.stream.take() {
                self.out.push_back(ToCluster::Cut(stream.exchange));
            }
        }
    }

    /// From now on acknowledgements of updates take so long, or never come.
    pub(crate) fn acknowledge_after(&mut self, delay: Option<Duration>) {
        self.executors.acknowledged_after = delay;
    }
}

fn task_framework(executor: &ExecutorKey) -> String {
    executor.0.clone()
}

/// What an executor finds in its environment, but for what only whoever starts it knows.
fn environment(
    options: &ExecutorOptions,
    framework: &v1::FrameworkInfo,
    info: &v1::ExecutorInfo,
    agent: &str,
    token: Option<&str>,
) -> Vec<(String, String)> {
    let seconds = |time: Duration| format!("{}secs", time.as_secs_f64());
    let own = info.shutdown_grace_period.as_ref();
    let grace = own.map_or(options.grace, |own| Duration::from_nanos(own.nanoseconds.max(0).unsigned_abs()));
    let id = framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
    let mut vars = vec![
        ("MESOS_FRAMEWORK_ID", id),
        ("MESOS_EXECUTOR_ID", info.executor_id.value.clone()),
        ("MESOS_SLAVE_ID", agent.to_owned()),
        ("MESOS_CHECKPOINT", if framework.checkpoint() { "1" } else { "0" }.to_owned()),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", seconds(grace)),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "1".to_owned()),
    ];
    if framework.checkpoint() {
        vars.push(("MESOS_RECOVERY_TIMEOUT", seconds(options.recovery)));
        vars.push(("MESOS_SUBSCRIPTION_BACKOFF_MAX", seconds(options.reregistration)));
    }
    if let Some(token) = token {
        vars.push(("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", token.to_owned()));
    }
    vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
