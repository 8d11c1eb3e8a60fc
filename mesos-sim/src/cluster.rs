//! Masters and agents together, as one machine without I/O.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use mesos_proto::v1;

use crate::Options;
use crate::agent::{Agent, Exit, Moment, TaskKey, ToCluster};
use crate::executor::ExecutorKey;
use crate::http::{self, ExchangeId, Request, Response};
use crate::master::{Effect, Master, Registry, Settings};
use crate::resources::Pool;
use crate::rng::Rng;
use crate::trouble::{Drain, Trouble};

/// How often the registry forgets what is old: the master's flag registry_gc_interval.
const PRUNE: Duration = Duration::from_secs(15 * 60);

/// A simulated cluster. It neither opens sockets nor runs tasks nor looks at a clock: requests, ended processes and the
/// time are fed in, [`Output`]s come out. The feature `serve` puts it behind real HTTP. Masters and agents are counted
/// from 0; what is to happen to one that there isn't, or to a task that there isn't, doesn't, and nobody is told.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) options: Options,
    authorities: Vec<String>,
    alive: Vec<bool>,
    leader: Option<usize>,
    master: Option<Master>,
    /// Of the last master that has died.
    registry: Registry,
    pub(crate) agents: Vec<Agent>,
    /// All agents' ids begin with it.
    name: String,
    next_agent: usize,
    /// Which exchanges each master has open.
    open: BTreeSet<(usize, ExchangeId)>,
    later: Vec<(Duration, Later)>,
    rng: Rng,
    now: Duration,
    unix_start: f64,
    out: VecDeque<Output>,
}

/// What happens some time later.
#[derive(Clone, Debug, PartialEq)]
enum Later {
    Elect,
    Register(usize),
    /// The agent with this id, if it isn't there.
    Unreachable(String),
    /// The registry forgets what is old.
    Prune,
    /// A scripted task ends.
    Finish(TaskKey, Exit),
}

/// A task, named for whoever runs its process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct TaskName {
    /// The framework's id.
    pub framework: String,
    /// The task's id.
    pub task: String,
}

/// An executor, named for whoever runs its process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ExecutorName {
    /// The agent, counted from 0.
    pub agent: usize,
    /// The framework's id.
    pub framework: String,
    /// The executor's id.
    pub executor: String,
}

/// What a cluster wants done.
#[must_use]
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Answer a request.
    Respond(ExchangeId, Response),
    /// Send a piece of an answer that streams: one record.
    Stream(ExchangeId, Bytes),
    /// End a streaming answer in good order.
    End(ExchangeId),
    /// Break the exchange's connection off.
    Cut(ExchangeId),
    /// Start a task's process; then tell [`Cluster::started`].
    Start {
        /// Which task.
        name: TaskName,
        /// All about it.
        info: Box<v1::TaskInfo>,
    },
    /// End a task's process, politely, and by force after the grace; then tell [`Cluster::ended`].
    Stop {
        /// Which task.
        name: TaskName,
        /// How long it may take.
        grace: Duration,
    },
    /// Start an executor's process; when it has ended, tell [`Cluster::executor_ended`].
    StartExecutor {
        /// Which executor.
        name: ExecutorName,
        /// All about it; its command above all.
        info: Box<v1::ExecutorInfo>,
        /// What is to be in its environment, but for the agent's address and the sandbox, which only whoever starts it
        /// knows: `MESOS_AGENT_ENDPOINT`, `MESOS_SLAVE_PID`, `MESOS_DIRECTORY`, `MESOS_SANDBOX`.
        environment: Vec<(String, String)>,
    },
    /// Kill an executor's process, and all that it has started.
    KillExecutor {
        /// Which executor.
        name: ExecutorName,
    },
    /// This agent's process is dead: its port is to be closed.
    AgentDown {
        /// Which agent.
        agent: usize,
    },
    /// This agent's process has been started again, and listens on its port.
    AgentUp {
        /// Which agent.
        agent: usize,
    },
    /// This master's process is dead: its port is to be closed.
    MasterDown {
        /// Which master.
        master: usize,
        /// Why, if a call has made it abort.
        aborted: Option<&'static str>,
    },
}

/// Options that make no cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// An agent's resources can't be read.
    #[error("agent {agent}: resources {text:?} can't be read")]
    Resources {
        /// Which agent, counted from 0.
        agent: usize,
        /// The text.
        text: String,
    },
}

impl Cluster {
    /// A cluster at time zero. `authorities` are the masters' `host:port`, one for each; `unix_start` is the time in
    /// seconds since 1970; all chance comes from `seed`.
    ///
    /// # Errors
    /// If an agent's resources can't be read.
    pub fn new(options: Options, authorities: Vec<String>, unix_start: f64, seed: u64) -> Result<Self, OptionsError> {
        let mut rng = Rng::new(seed);
        let cluster = rng.uuid_text();
        let mut agents = Vec::new();
        for (index, agent) in options.agents.iter().enumerate() {
            let total = Pool::parse(&agent.resources)
                .ok_or_else(|| OptionsError::Resources { agent: index, text: agent.resources.clone() })?;
            let attributes = agent.attributes.iter().map(|(name, value)| v1::Attribute {
                name: name.clone(),
                r#type: v1::value::Type::Text.into(),
                text: Some(v1::value::Text { value: value.clone() }),
                ..Default::default()
            });
            let info = v1::AgentInfo {
                hostname: agent.hostname.clone(),
                port: Some(5051),
                attributes: attributes.collect(),
                id: Some(v1::AgentId { value: format!("{cluster}-S{index}") }),
                ..Default::default()
            };
            agents.push(Agent::new(info, total, &options));
        }
        let mut cluster = Self {
            alive: vec![true; authorities.len()],
            authorities,
            options,
            leader: None,
            master: None,
            registry: Registry::default(),
            next_agent: agents.len(),
            name: cluster,
            agents,
            open: BTreeSet::new(),
            later: Vec::new(),
            rng,
            now: Duration::ZERO,
            unix_start,
            out: VecDeque::new(),
        };
        cluster.elect();
        cluster.schedule(PRUNE, Later::Prune);
        for index in 0..cluster.agents.len() {
            cluster.register(index);
        }
        Ok(cluster)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`advance`](Self::advance) at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let agents = self.agents.iter().filter_map(Agent::next_deadline);
        let later = self.later.iter().map(|(at, _)| *at);
        agents.chain(later).chain(self.master.as_ref().and_then(Master::next_deadline)).min()
    }

    /// Time has passed since the start. Spurious calls do no harm; every other method acts at the time last told here.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let mut due: Vec<(Duration, Later)> = self.later.iter().filter(|(at, _)| *at <= self.now).cloned().collect();
        self.later.retain(|(at, _)| *at > self.now);
        due.sort_by_key(|(at, _)| *at);
        for (_, what) in due {
            match what {
                Later::Elect => self.elect(),
                Later::Register(agent) => self.register(agent),
                Later::Unreachable(agent) => self.lost(&agent),
                Later::Prune => {
                    let age = self.options.registry_age;
                    self.with_master(|master| master.prune(age));
                    self.schedule(PRUNE, Later::Prune);
                }
                Later::Finish(task, exit) => self.ended(&name(&task), &exit),
            }
        }
        let unix = self.unix();
        for agent in self.agents.iter_mut().filter(|agent| agent.up) {
            agent.tick(&mut Moment { at: self.now, unix, rng: &mut self.rng });
        }
        if let Some(master) = &mut self.master {
            master.at(self.now, unix);
            master.tick();
        }
        self.settle();
    }

    /// A request has arrived at a master. Exchange ids are the caller's choice, each used once.
    pub fn request(&mut self, master: usize, exchange: ExchangeId, request: &Request) {
        if !self.alive.get(master).copied().unwrap_or(false) {
            self.out.push_back(Output::Cut(exchange));
            return;
        }
        self.open.insert((master, exchange));
        let path = request.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let known = matches!(path, "/api/v1/scheduler" | "/master/api/v1/scheduler");
        let redirect = matches!(path, "/redirect" | "/master/redirect");
        let leads = self.leader == Some(master);
        let leader = self.leader.and_then(|leader| self.authorities.get(leader));
        let principal = match http::principal(&self.options.credentials, request) {
            Err(response) if known => return self.respond(exchange, response),
            principal => principal.unwrap_or_default(),
        };
        let response = match (leader, known, redirect) {
            (Some(leader), _, true) => Response { status: 307, headers: Vec::new(), body: Some(Bytes::new()) }
                .with("Location", format!("//{leader}")),
            (_, false, _) => Response::text(404, "404 Not Found."),
            (Some(leader), true, _) if !leads => {
                Response { status: 307, headers: Vec::new(), body: Some(Bytes::new()) }
                    .with("Location", format!("//{leader}/master/api/v1/scheduler"))
            }
            (None, true, _) => Response::text(503, "No leader elected"),
            _ => {
                let unix = self.unix();
                let Some(master) = &mut self.master else {
                    // It led, died, and was started again before anybody noticed.
                    return self.respond(exchange, Response::text(503, "Master has not finished recovery"));
                };
                master.at(self.now, unix);
                master.scheduler(exchange, request, principal, &mut self.rng);
                return self.settle();
            }
        };
        self.respond(exchange, response);
    }

    /// Answers a request that doesn't get as far as the leading master.
    fn respond(&mut self, exchange: ExchangeId, response: Response) {
        self.open.retain(|(_, open)| *open != exchange);
        self.out.push_back(Output::Respond(exchange, response));
    }

    /// A request has arrived at an agent, from an executor. Exchange ids are the caller's choice, each used once, and
    /// not for a master either.
    pub fn agent_request(&mut self, agent: usize, exchange: ExchangeId, request: &Request) {
        let (at, unix) = (self.now, self.unix());
        match self.agents.get_mut(agent) {
            Some(agent) => agent.executor_request(exchange, request, &mut Moment { at, unix, rng: &mut self.rng }),
            None => self.out.push_back(Output::Cut(exchange)),
        }
        self.settle();
    }

    /// An executor's process has ended.
    pub fn executor_ended(&mut self, name: &ExecutorName, exit: &Exit) {
        let (at, unix) = (self.now, self.unix());
        if let Some(agent) = self.agents.get_mut(name.agent) {
            let key = (name.framework.clone(), name.executor.clone());
            agent.executor_ended(&key, exit, &mut Moment { at, unix, rng: &mut self.rng });
        }
        self.settle();
    }

    /// From now on this agent takes so long to acknowledge an executor's update; with `None` it never does.
    pub fn acknowledge_after(&mut self, agent: usize, delay: Option<Duration>) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.acknowledge_after(delay);
        }
    }

    /// Breaks the streams of an agent's executors, as a router that restarts does.
    pub fn cut_executors(&mut self, agent: usize) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.cut_streams();
        }
        self.settle();
    }

    /// The client has closed the exchange's connection, or its stream.
    pub fn closed(&mut self, exchange: ExchangeId) {
        for agent in &mut self.agents {
            agent.executor_closed(exchange);
        }
        self.open.retain(|(_, open)| *open != exchange);
        if let Some(master) = &mut self.master {
            master.closed(exchange);
        }
        self.settle();
    }

    /// A task's process runs.
    pub fn started(&mut self, name: &TaskName) {
        self.with_task(name, |agent, key, moment| agent.started(key, moment));
    }

    /// A task's process has ended.
    pub fn ended(&mut self, name: &TaskName, exit: &Exit) {
        self.with_task(name, |agent, key, moment| agent.ended(key, exit, moment));
    }

    fn with_task(&mut self, name: &TaskName, act: impl FnOnce(&mut Agent, &TaskKey, &mut Moment<'_>)) {
        let key = (name.framework.clone(), name.task.clone());
        let (at, unix) = (self.now, self.unix());
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.tasks.contains_key(&key)) {
            act(agent, &key, &mut Moment { at, unix, rng: &mut self.rng });
        }
        self.settle();
    }

    /// Which master leads.
    #[must_use]
    pub const fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// The tasks that run on an agent.
    #[must_use]
    pub fn tasks(&self, agent: usize) -> Vec<TaskName> {
        let alive = |task: &crate::agent::Task| !crate::agent::is_terminal(task.state);
        let tasks = self.agents.get(agent).into_iter().flat_map(|agent| agent.tasks.iter());
        tasks.filter(|(_, task)| alive(task)).map(|(key, _)| name(key)).collect()
    }

    /// Kills a master: all its connections break. If it led, another takes over after a while, knowing nothing.
    pub fn kill_master(&mut self, index: usize) {
        self.master_dies(index, None);
    }

    fn master_dies(&mut self, index: usize, aborted: Option<&'static str>) {
        let Some(alive) = self.alive.get_mut(index).filter(|alive| **alive) else { return };
        *alive = false;
        let open: Vec<ExchangeId> = self.open.iter().filter(|open| open.0 == index).map(|open| open.1).collect();
        self.open.retain(|open| open.0 != index);
        self.out.push_back(Output::MasterDown { master: index, aborted });
        self.out.extend(open.into_iter().map(Output::Cut));
        if self.leader == Some(index) {
            self.registry = self.master.take().map(|master| master.registry).unwrap_or_default();
            self.schedule(self.options.election, Later::Elect);
        }
    }

    /// Starts a killed master again. Its port is to be open before.
    pub fn restart_master(&mut self, index: usize) {
        if let Some(alive) = self.alive.get_mut(index) {
            *alive = true;
        }
        if self.master.is_none() && !self.later.iter().any(|(_, what)| *what == Later::Elect) {
            self.elect();
        }
    }

    /// Whether an agent's process runs.
    #[cfg(feature = "serve")]
    pub(crate) fn is_agent_up(&self, index: usize) -> bool {
        self.agents.get(index).is_some_and(|agent| agent.up)
    }

    /// Kills an agent's process. Tasks live on if their framework's info says `checkpoint`, else they are lost.
    pub fn kill_agent(&mut self, index: usize) {
        let now = self.now;
        if self.agents.get(index).is_some_and(|agent| agent.up) {
            self.out.push_back(Output::AgentDown { agent: index });
        }
        self.silence(index, |agent| agent.die(now));
        if let (Some(master), Some(agent)) = (&mut self.master, self.agents.get(index)) {
            master.disconnected(&agent.id);
        }
        self.settle();
    }

    /// Starts a killed agent again; it registers after a while.
    pub fn restart_agent(&mut self, index: usize) {
        if self.agents.get(index).is_some_and(|agent| !agent.up) {
            self.out.push_back(Output::AgentUp { agent: index });
        }
        self.wake(index, |agent, now| {
            if !std::mem::replace(&mut agent.up, true) {
                agent.recover_executors(now.at);
            }
        });
    }

    /// Cuts an agent off without closing its connections: nobody notices before the ping timeout.
    pub fn partition_agent(&mut self, index: usize) {
        self.silence(index, |agent| agent.reachable = false);
    }

    /// Ends a partition.
    pub fn heal_agent(&mut self, index: usize) {
        self.wake(index, Agent::heal);
    }

    /// An operator marks an agent gone: it may never come back.
    pub fn mark_agent_gone(&mut self, index: usize) {
        if let Some(id) = self.agents.get(index).map(|agent| agent.id.clone()) {
            if self.with_master(|master| master.mark_gone(&id)) {
                self.gone(&id);
            }
        }
        self.settle();
    }

    fn gone(&mut self, id: &str) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == id) {
            agent.shut_down_all(self.now);
            agent.reachable = false;
        }
    }

    /// An operator drains an agent: its tasks are ended, within `grace` at the most if it is given, and it gets no
    /// others. With `mark_gone` it is marked gone once they have ended.
    pub fn drain_agent(&mut self, index: usize, grace: Option<Duration>, mark_gone: bool) {
        self.with_agent(index, |master, agent| master.drain(agent, Drain { grace, mark_gone }));
    }

    /// Whether an agent is being drained, or has been, and isn't used.
    #[must_use]
    pub fn is_draining(&self, index: usize) -> bool {
        let registry = self.master.as_ref().map_or(&self.registry, |master| &master.registry);
        self.agents.get(index).is_some_and(|agent| registry.draining.contains_key(&agent.id))
    }

    /// Whether a drained agent's tasks have all ended, and all acknowledgements have come.
    #[must_use]
    pub fn is_drained(&self, index: usize) -> bool {
        let both = self.master.as_ref().zip(self.agents.get(index));
        both.is_some_and(|(master, agent)| master.is_drained(&agent.id))
    }

    /// Whether the master knows tasks of a framework on an agent, ended ones that aren't acknowledged included.
    #[cfg(feature = "world")]
    pub(crate) fn is_used_by(&self, index: usize, framework: &str) -> bool {
        let both = self.master.as_ref().zip(self.agents.get(index));
        both.is_some_and(|(master, agent)| master.is_used_by(&agent.id, framework))
    }

    /// Whether an agent has been marked gone.
    #[must_use]
    pub fn is_gone(&self, index: usize) -> bool {
        let both = self.master.as_ref().zip(self.agents.get(index));
        both.is_some_and(|(master, agent)| master.is_gone(&agent.id))
    }

    /// A drained agent may be used again.
    pub fn reactivate_agent(&mut self, index: usize) {
        self.with_agent(index, Master::reactivate);
    }

    /// An operator announces that an agent's machine will be down, from `start` (since 1970) on and for so long: offers
    /// and inverse offers say so. `None` takes it back.
    pub fn schedule_maintenance(&mut self, index: usize, window: Option<(Duration, Option<Duration>)>) {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let window = window.map(|(start, duration)| v1::Unavailability {
            start: v1::TimeInfo { nanoseconds: nanos(start) },
            duration: duration.map(|time| v1::DurationInfo { nanoseconds: nanos(time) }),
        });
        self.with_agent(index, |master, agent| master.schedule(agent, window));
    }

    /// The operator takes an agent's machine down: the master removes the agent, and its tasks end. Frameworks hear
    /// TASK_LOST, and later TASK_UNKNOWN. It comes back by [`replace_agent`](Self::replace_agent).
    pub fn machine_down(&mut self, index: usize) {
        self.with_agent(index, Master::machine_down);
        if let Some(agent) = self.agents.get_mut(index) {
            agent.shut_down_all(self.now);
            agent.lose_executors();
            if std::mem::replace(&mut agent.up, false) {
                self.out.push_back(Output::AgentDown { agent: index });
            }
        }
        self.settle();
    }

    /// An agent's machine is lost with all that ran there, and another one takes its place, with an id of its own.
    pub fn replace_agent(&mut self, index: usize) {
        if self.agents.get(index).is_some_and(|agent| agent.up) {
            self.kill_agent(index);
        }
        let id = format!("{}-S{}", self.name, self.next_agent);
        self.next_agent += 1;
        if let Some(agent) = self.agents.get_mut(index) {
            agent.shut_down_all(self.now);
            agent.lose_executors();
            agent.info.id = Some(v1::AgentId { value: id });
            let (info, total) = (agent.info.clone(), agent.total.clone());
            let out = std::mem::take(&mut agent.out);
            *agent = Agent::new(info, total, &self.options);
            agent.out = out;
            self.out.push_back(Output::AgentUp { agent: index });
            self.schedule(self.options.reregistration, Later::Register(index));
        }
        self.settle();
    }

    /// The master's access control lists let nobody run tasks as this user: they get TASK_ERROR.
    pub fn forbid_user(&mut self, user: Option<&str>) {
        // Also while there is no master: the lists are those of the next one.
        let registry = self.master.as_mut().map_or(&mut self.registry, |master| &mut master.registry);
        registry.forbidden = user.map(str::to_owned);
    }

    /// Something happens to a task on its agent; nothing if it can't happen in the state that the task is in.
    pub fn trouble(&mut self, name: &TaskName, trouble: Trouble) {
        self.with_task(name, |agent, key, moment| agent.befalls(key, trouble, moment));
    }

    /// A task's health check has a result. It is told if it is another one than before.
    pub fn health(&mut self, name: &TaskName, healthy: bool) {
        self.with_task(name, |agent, key, moment| agent.health(key, healthy, moment));
    }

    fn with_agent(&mut self, index: usize, act: impl FnOnce(&mut Master, &str)) {
        if let Some(id) = self.agents.get(index).map(|agent| agent.id.clone()) {
            self.with_master(|master| act(master, &id));
        }
        self.settle();
    }

    /// Whether there is a master.
    fn with_master(&mut self, act: impl FnOnce(&mut Master)) -> bool {
        let unix = self.unix();
        let Some(master) = &mut self.master else { return false };
        master.at(self.now, unix);
        act(master);
        true
    }

    fn silence(&mut self, index: usize, act: impl FnOnce(&mut Agent)) {
        if let Some(agent) = self.agents.get_mut(index) {
            act(agent);
            let id = agent.id.clone();
            self.schedule(self.options.unreachable_after, Later::Unreachable(id));
        }
    }

    fn wake(&mut self, index: usize, act: impl FnOnce(&mut Agent, &mut Moment<'_>)) {
        let (at, unix) = (self.now, self.unix());
        if let Some(agent) = self.agents.get_mut(index) {
            act(agent, &mut Moment { at, unix, rng: &mut self.rng });
            // One that is dead and cut off needs both to end.
            if agent.connected() {
                let awaited = Later::Unreachable(agent.id.clone());
                self.later.retain(|(_, what)| *what != awaited);
            }
            self.schedule(self.options.reregistration, Later::Register(index));
        }
        self.settle();
    }

    /// Breaks the connections of all event streams and calls, as a router that restarts does. The master notices.
    pub fn cut_all(&mut self) {
        let open: Vec<ExchangeId> = self.open.iter().map(|open| open.1).collect();
        self.open.clear();
        for exchange in open {
            self.out.push_back(Output::Cut(exchange));
            if let Some(master) = &mut self.master {
                master.closed(exchange);
            }
        }
        self.settle();
    }

    /// Takes all offers back.
    pub fn rescind_all(&mut self) {
        if let Some(master) = &mut self.master {
            master.rescind_all();
        }
        self.settle();
    }

    /// Somebody runs a task in a framework's name, past its scheduler.
    pub(crate) fn run_stranger(&mut self, agent: usize, framework: &str, id: &str) {
        let Some(agent_id) = self.agents.get(agent).map(|agent| agent.id.clone()) else { return };
        if let Some(master) = &mut self.master {
            master.run_stranger(&agent_id, framework, id);
        }
        self.settle();
    }

    /// An operator removes a framework.
    pub fn teardown(&mut self, framework: &str) {
        if let Some(master) = &mut self.master {
            master.remove_framework(framework);
        }
        self.settle();
    }

    fn unix(&self) -> f64 {
        self.unix_start + self.now.as_secs_f64()
    }

    fn schedule(&mut self, after: Duration, what: Later) {
        self.later.retain(|(_, other)| *other != what);
        self.later.push((self.now + after, what));
    }

    fn elect(&mut self) {
        self.leader = self.alive.iter().position(|&alive| alive);
        let Some(authority) = self.leader.and_then(|leader| self.authorities.get(leader)).cloned() else {
            self.master = None;
            return;
        };
        let settings = Settings {
            allocation_interval: self.options.allocation_interval,
            heartbeat_interval: self.options.heartbeat_interval,
        };
        let unix = self.unix();
        let mut master = Master::new(authority, settings, &mut self.rng, self.now, unix);
        master.recover(std::mem::take(&mut self.registry));
        for agent in master.awaited() {
            // The master's flag agent_reregister_timeout.
            self.schedule(Duration::from_secs(600), Later::Unreachable(agent));
        }
        self.master = Some(master);
        for index in 0..self.agents.len() {
            self.schedule(self.options.reregistration, Later::Register(index));
        }
    }

    fn register(&mut self, index: usize) {
        // First it waits for its executors: nothing gets to those that aren't back.
        let recovering = self.agents.get(index).and_then(|agent| agent.executors.recovering());
        if let Some(left) = recovering.and_then(|until| until.checked_sub(self.now)).filter(|left| !left.is_zero()) {
            return self.schedule(left, Later::Register(index));
        }
        self.later.retain(|(_, what)| *what != Later::Register(index));
        let unix = self.unix();
        if let (Some(master), Some(agent)) = (&mut self.master, self.agents.get_mut(index)) {
            if agent.connected() {
                master.at(self.now, unix);
                master.register(agent);
                // Real agents do so twice within a millisecond.
                agent.resend(None, self.now);
                agent.resend(None, self.now);
            }
        }
        self.settle();
    }

    fn lost(&mut self, id: &str) {
        if !self.agents.iter().any(|agent| agent.id == id && agent.connected()) {
            self.with_master(|master| master.unreachable(id));
        }
        self.settle();
    }

    /// Carries messages between master and agents until all is quiet.
    fn settle(&mut self) {
        loop {
            let effect = self.master.as_mut().and_then(|master| master.out.pop_front());
            if let Some(effect) = effect {
                self.perform(effect);
                continue;
            }
            let (at, unix) = (self.now, self.unix());
            let words = self.agents.iter_mut().enumerate();
            let word = words.filter_map(|(index, agent)| Some((agent.out.pop_front()?, index, agent))).next();
            let Some((word, index, agent)) = word else { break };
            let executor = |(framework, executor): ExecutorKey| ExecutorName { agent: index, framework, executor };
            match (word, &self.options.scripts) {
                (ToCluster::Update { framework, status, latest }, _) => {
                    if let (true, Some(master)) = (agent.connected(), &mut self.master) {
                        master.at(at, unix);
                        master.forward(&agent.id, &framework, *status, latest);
                    }
                }
                (ToCluster::Exited { framework, executor, status }, _) => {
                    if let (true, Some(master)) = (agent.connected(), &mut self.master) {
                        master.exited(&agent.id, &framework, executor, status);
                    }
                }
                (ToCluster::Message { executor, data }, _) => {
                    if let (true, Some(master)) = (agent.connected(), &mut self.master) {
                        master.executor_message(&agent.id, &executor, data);
                    }
                }
                (ToCluster::StartExecutor { executor: key, info, environment }, _) => {
                    self.out.push_back(Output::StartExecutor { name: executor(key), info, environment });
                }
                (ToCluster::KillExecutor { executor: key }, _) => {
                    self.out.push_back(Output::KillExecutor { name: executor(key) });
                }
                (ToCluster::Respond(exchange, response), _) => self.out.push_back(Output::Respond(exchange, response)),
                (ToCluster::Stream(exchange, record), _) => self.out.push_back(Output::Stream(exchange, record)),
                (ToCluster::End(exchange), _) => self.out.push_back(Output::End(exchange)),
                (ToCluster::Cut(exchange), _) => self.out.push_back(Output::Cut(exchange)),
                (ToCluster::Start { task, info }, None) => {
                    self.out.push_back(Output::Start { name: name(&task), info })
                }
                (ToCluster::Stop { task, grace }, None) => {
                    self.out.push_back(Output::Stop { name: name(&task), grace })
                }
                (ToCluster::Start { task, info }, Some(scripts)) => {
                    let mut moment = Moment { at, unix, rng: &mut self.rng };
                    agent.started(&task, &mut moment);
                    if info.health_check.is_some() {
                        agent.health(&task, true, &mut moment);
                    }
                    let script = (scripts.0)(&info);
                    self.later.extend(script.runs.map(|time| (at + time, Later::Finish(task, script.exit))));
                }
                (ToCluster::Stop { task, grace }, Some(scripts)) => {
                    let grace = scripts.lives_on(agent.tasks.get(&task).map(|task| &task.info), grace);
                    if grace.is_zero() {
                        self.later.retain(|(_, what)| !matches!(what, Later::Finish(other, _) if *other == task));
                        agent.ended(&task, &Exit::Signal(15), &mut Moment { at, unix, rng: &mut self.rng });
                    } else {
                        self.later.push((at + grace, Later::Finish(task, Exit::Signal(9))));
                    }
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Respond(exchange, response) => {
                if response.body.is_some() {
                    self.open.retain(|(_, open)| *open != exchange);
                }
                self.out.push_back(Output::Respond(exchange, response));
            }
            Effect::Gone(agent) => self.gone(&agent),
            Effect::Stream(exchange, record) => self.out.push_back(Output::Stream(exchange, record)),
            Effect::End(exchange) => {
                self.open.retain(|(_, open)| *open != exchange);
                self.out.push_back(Output::End(exchange));
            }
            Effect::Died(why) => {
                if let Some(leader) = self.leader {
                    self.master_dies(leader, Some(why));
                }
            }
            Effect::ToAgent(id, message) => {
                let (at, unix) = (self.now, self.unix());
                if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == id) {
                    agent.receive(message, &mut Moment { at, unix, rng: &mut self.rng });
                }
            }
        }
    }
}

fn name(key: &TaskKey) -> TaskName {
    TaskName { framework: key.0.clone(), task: key.1.clone() }
}
