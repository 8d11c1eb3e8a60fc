//! Executors on the client of `mesos-core` in a simulated world: agents that die and come back, streams that break,
//! answers and requests that get lost, acknowledgements that are late or never come.
//!
//! The scheduler is a plain one without any faults of its own. Judged from outside: that no update is lost, none comes
//! twice or out of order, each task ends exactly once, and each executor ends in time.

mod scheduler;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mesos_core::executor::{Cause, Client, Config, Env, Event};
use mesos_core::{Failure, FailureKind, Head, Input, Instant, Lane, Machine as _, Output, Sent, UnixTime};
use mesos_proto::v1;
use v1::TaskState;
use v1::scheduler::{Call, call};

use super::Violation;
use super::run::caught;
use crate::rng::Rng;
use crate::{AgentOptions, Cluster, ExchangeId, ExecutorName, ExecutorOptions, Exit, Options, Request, Response};

const BEGINNING: f64 = 1.7e9;
const AGENTS: usize = 2;
/// The environment's, and short enough to be reached.
const RECOVERY: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);
/// How long all may take to arrive once all is well: an update's repetition after a lost acknowledgement takes longest.
const SETTLED: Duration = Duration::from_secs(300);
const STEPS: u64 = 300_000;

/// What a run of [`run_executors`] has brought.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExecutorReport {
    /// How many steps it took.
    pub steps: u64,
    /// How much time has passed in the world.
    pub time: Duration,
    /// How many updates executors have made.
    pub updates: u64,
    /// How often each fault has happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// What must not be.
    pub violation: Option<Violation>,
    /// What happened.
    pub trace: Vec<String>,
}

/// Runs one seed of a world of executors, on the client of `mesos-core`, and their agents: for who works on that
/// client, as none of one's own can be put there. What panics is a violation, too.
#[must_use]
pub fn run_executors(seed: u64) -> ExecutorReport {
    let mut world = match caught(|| World::new(seed)) {
        Ok(world) => world,
        Err(violation) => return ExecutorReport { violation: Some(violation), ..ExecutorReport::default() },
    };
    let violation = caught(|| world.run()).err();
    ExecutorReport { violation, time: world.now, ..world.report }
}

type Step = Result<(), Violation>;

fn violation(invariant: &'static str, what: String) -> Step {
    Err(Violation { invariant, what })
}

#[derive(Debug)]
enum Happening {
    /// A request reaches an agent, unless it gets lost on the way.
    Arrives(u64, Request),
    /// Something reaches an executor.
    Piece(u64, Piece),
    /// The agent notices that the executor has let go.
    Gone(u64),
    /// A task's process has something to say.
    Report(u64, String, TaskState),
    Fault,
    Restart(usize),
    Launch,
    Kill,
}

#[derive(Debug)]
enum Piece {
    Head(Head),
    Body(Bytes),
    End,
    Broken,
}

#[derive(Debug)]
struct Exchange {
    process: u64,
    id: mesos_core::ExchangeId,
    agent: usize,
    lane: Lane,
    open: bool,
    /// When the last piece arrives: none overtakes it.
    last: Duration,
}

#[derive(Debug)]
struct Process {
    name: ExecutorName,
    client: Client,
    /// Since when it hasn't been subscribed.
    alone: Option<Duration>,
    /// Whether it has had a task.
    used: bool,
    /// When it has to have ended.
    limit: Option<Duration>,
}

#[derive(Debug, Default)]
struct Task {
    /// The agent and the executor that it was launched for.
    place: (String, String),
    /// When it was launched, in the order of all that gets a number.
    number: u64,
    /// KILL was called for it.
    killed: bool,
    /// The executor has heard of it.
    launched: bool,
    /// What the executor has said.
    given: Vec<TaskState>,
    /// What the scheduler has seen by the executor, each uuid once.
    seen: Vec<TaskState>,
    uuids: Vec<Bytes>,
    /// The agent's own last word.
    by_agent: Option<TaskState>,
}

impl Task {
    fn has_ended(&self) -> bool {
        self.by_agent.is_some() || self.seen.last().is_some_and(|state| crate::agent::is_terminal(*state))
    }
}

struct World {
    rng: Rng,
    now: Duration,
    cluster: Cluster,
    agenda: BTreeMap<(Duration, u64), Happening>,
    exchanges: BTreeMap<u64, Exchange>,
    processes: BTreeMap<u64, Process>,
    next: u64,
    /// The scheduler's stream, its id, the framework's.
    stream: u64,
    stream_id: String,
    framework: String,
    offers: Vec<v1::Offer>,
    tasks: BTreeMap<String, Task>,
    faulty: bool,
    /// From now on executors may end.
    ending: bool,
    report: ExecutorReport,
}

impl World {
    fn new(seed: u64) -> Result<Self, Violation> {
        let mut rng = Rng::new(seed);
        let executors =
            ExecutorOptions::default().recovery_timeout(RECOVERY).shutdown_grace_period(GRACE).tokens(rng.chance(0.5));
        let executors = if rng.chance(0.5) { executors.heartbeat(Duration::from_secs(20)) } else { executors };
        let options = Options::default()
            .agents(vec![AgentOptions::default(); AGENTS])
            .reregistration(Duration::from_millis(100))
            .executors(executors);
        let cluster = Cluster::new(options, vec!["m:5050".into()], BEGINNING, rng.next())
            .map_err(|error| Violation { invariant: "E0", what: error.to_string() })?;
        Ok(Self {
            rng,
            now: Duration::ZERO,
            cluster,
            agenda: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            processes: BTreeMap::new(),
            next: 0,
            stream: 0,
            stream_id: String::new(),
            framework: String::new(),
            offers: Vec::new(),
            tasks: BTreeMap::new(),
            faulty: true,
            ending: false,
            report: ExecutorReport::default(),
        })
    }

    fn run(&mut self) -> Step {
        self.subscribe()?;
        self.later(Duration::from_millis(10), Happening::Launch);
        self.later(Duration::from_secs(2), Happening::Kill);
        self.later(Duration::from_secs(1), Happening::Fault);
        let end = Duration::from_secs(60 + self.rng.below(240));
        self.until(end, |_| false)?;
        self.mend()?;
        self.until(self.now + SETTLED, Self::is_settled)?;
        self.all_arrived()?;
        self.last_act()
    }

    /// All is well again.
    fn mend(&mut self) -> Step {
        self.note("all is well");
        self.faulty = false;
        for agent in 0..AGENTS {
            self.cluster.acknowledge_after(agent, Some(Duration::ZERO));
            self.cluster.restart_agent(agent);
        }
        self.drain()
    }

    fn is_settled(&self) -> bool {
        self.tasks.values().all(|task| task.has_ended() && (task.given == task.seen || !task.launched))
    }

    fn all_arrived(&self) -> Step {
        for (id, task) in &self.tasks {
            if task.launched && task.given != task.seen {
                return violation("E1", format!("{id}: {:?} was said, {:?} has arrived", task.given, task.seen));
            }
            if !task.has_ended() {
                return violation("E3", format!("{id} hasn't ended: {task:?}"));
            }
        }
        for process in self.processes.values() {
            let session = process.client.session();
            // Updates it may keep: an agent that has forgotten a task never acknowledges them.
            if session.tasks > 0 {
                return violation("E3", format!("{:?} has tasks that have ended: {session:?}", process.name));
            }
        }
        Ok(())
    }

    /// How the executors end, in time each way.
    fn last_act(&mut self) -> Step {
        // Nobody starts agents again any more.
        self.agenda.retain(|_, what| !matches!(what, Happening::Restart(_)));
        // With something to lose.
        self.launch_all()?;
        self.until(self.now + Duration::from_secs(3), |_| false)?;
        self.ending = true;
        match self.rng.below(3) {
            0 => {
                self.note("the agents are gone for good");
                for agent in 0..AGENTS {
                    self.cluster.kill_agent(agent);
                }
            }
            1 => {
                self.note("shut down, by agents that acknowledge nothing");
                for agent in 0..AGENTS {
                    self.cluster.acknowledge_after(agent, None);
                }
                for name in self.processes.values().map(|process| process.name.clone()).collect::<Vec<_>>() {
                    let id = self.cluster.agents.get(name.agent).map(|agent| agent.id.clone()).unwrap_or_default();
                    let shutdown =
                        call::Shutdown { executor_id: name.executor.as_str().into(), agent_id: id.as_str().into() };
                    self.call(Call { shutdown: Some(shutdown), ..self.of(call::Type::Shutdown) })?;
                }
            }
            _ => {
                self.note("torn down");
                self.call(self.of(call::Type::Teardown))?;
            }
        }
        self.drain()?;
        self.until(self.now + RECOVERY + GRACE + Duration::from_secs(10), |world| world.processes.is_empty())?;
        match self.processes.values().next() {
            Some(process) => violation("E4", format!("{:?} doesn't end: {:?}", process.name, process.client.session())),
            None => Ok(()),
        }
    }

    fn note(&mut self, what: &str) {
        self.report.trace.push(format!("{:.3} {what}", self.now.as_secs_f64()));
    }

    fn later(&mut self, after: Duration, what: Happening) {
        self.at(self.now + after, what);
    }

    fn at(&mut self, at: Duration, what: Happening) {
        self.next += 1;
        self.agenda.insert((at, self.next), what);
    }

    fn latency(&mut self) -> Duration {
        self.rng.time(Duration::from_micros(100), Duration::from_millis(30))
    }

    /// Lets time pass.
    fn until(&mut self, end: Duration, done: impl Fn(&Self) -> bool) -> Step {
        self.drain()?;
        while !done(self) {
            self.report.steps += 1;
            if self.report.steps > STEPS {
                return violation("E0", "an endless loop".to_owned());
            }
            let happening = self.agenda.keys().next().map(|key| key.0);
            let clients = self.processes.values_mut().filter_map(|process| deadline(&mut process.client));
            let next = clients.chain(happening).chain(self.cluster.next_deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if happening.is_some_and(|at| at <= self.now) {
                if let Some((_, what)) = self.agenda.pop_first() {
                    self.happen(what)?;
                }
            } else {
                self.cluster.advance(self.now);
                for number in self.processes.keys().copied().collect::<Vec<_>>() {
                    self.feed(number, Input::Timeout);
                }
            }
            self.drain()?;
        }
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Step {
        self.cluster.advance(self.now);
        match what {
            Happening::Arrives(number, request) => {
                let Some(exchange) = self.exchanges.get(&number) else { return Ok(()) };
                if self.faulty && exchange.lane == Lane::Ordered && self.rng.chance(0.05) {
                    self.fault("lost request");
                    self.piece(number, Piece::Broken);
                } else {
                    self.cluster.agent_request(exchange.agent, ExchangeId(number), &request);
                }
            }
            Happening::Piece(number, piece) => {
                let Some(exchange) = self.exchanges.get_mut(&number).filter(|exchange| exchange.open) else {
                    return Ok(());
                };
                let (process, id) = (exchange.process, exchange.id);
                exchange.open = !matches!(piece, Piece::End | Piece::Broken);
                let failure = || Failure::new(FailureKind::Io, Sent::Maybe, "broken");
                match piece {
                    Piece::Head(head) => self.feed(process, Input::Head { id, head }),
                    Piece::Body(data) => self.feed(process, Input::Body { id, data: &data }),
                    Piece::End => self.feed(process, Input::End { id }),
                    Piece::Broken => self.feed(process, Input::Failed { id, failure: failure() }),
                }
            }
            Happening::Gone(number) => self.cluster.closed(ExchangeId(number)),
            Happening::Report(process, task, state) => self.say(process, &task, state),
            Happening::Fault => self.on_fault(),
            Happening::Restart(agent) => self.cluster.restart_agent(agent),
            Happening::Launch => {
                if self.faulty {
                    self.launch_all()?;
                    let pause = self.rng.time(Duration::from_millis(100), Duration::from_secs(20));
                    self.later(pause, Happening::Launch);
                }
            }
            Happening::Kill => {
                // A KILL may get lost, so it is repeated.
                let share = if self.faulty { 0.2 } else { 1.0 };
                let running = self.tasks.iter().filter(|(_, task)| !task.has_ended()).map(|(id, _)| id.clone());
                for id in running.collect::<Vec<_>>() {
                    if !self.ending && self.rng.chance(share) {
                        self.kill(&id)?;
                    }
                }
                self.later(Duration::from_secs(5), Happening::Kill);
            }
        }
        Ok(())
    }

    fn fault(&mut self, name: &'static str) {
        *self.report.faults.entry(name).or_default() += 1;
        self.note(name);
    }

    fn on_fault(&mut self) {
        if !self.faulty {
            return;
        }
        let agent = self.rng.below(AGENTS as u64) as usize;
        match self.rng.below(5) {
            0 | 1 => {
                self.fault("agent killed");
                self.cluster.kill_agent(agent);
                // Also in the middle of the recovery from the kill before, which is two seconds long.
                let away = self.rng.time(Duration::from_millis(1), Duration::from_secs(15));
                self.later(away, Happening::Restart(agent));
            }
            2 => {
                self.fault("streams cut");
                self.cluster.cut_executors(agent);
            }
            3 => {
                self.fault("late acknowledgements");
                let delay = self.rng.time(Duration::from_millis(1), Duration::from_secs(10));
                self.cluster.acknowledge_after(agent, Some(delay));
            }
            _ => {
                self.fault("no acknowledgements");
                self.cluster.acknowledge_after(agent, None);
            }
        }
        let pause = self.rng.time(Duration::from_millis(50), Duration::from_secs(20));
        self.later(pause, Happening::Fault);
    }

    /// Does what the cluster and the executors want, until there is nothing more.
    fn drain(&mut self) -> Step {
        loop {
            if let Some(output) = self.cluster.poll_output() {
                self.on_cluster(output)?;
                continue;
            }
            let mut quiet = true;
            for number in self.processes.keys().copied().collect::<Vec<_>>() {
                while let Some(process) = self.processes.get_mut(&number) {
                    match process.client.poll_output() {
                        Output::Timeout(_) => break,
                        output => {
                            quiet = false;
                            self.on_client(number, output)?;
                        }
                    }
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }

    fn on_cluster(&mut self, output: crate::Output) -> Step {
        match output {
            crate::Output::Respond(ExchangeId(number), response) if self.exchanges.contains_key(&number) => {
                self.respond(number, &response);
            }
            crate::Output::Respond(_, response) => {
                let stream_id = response.headers.iter().find(|header| header.0 == "Mesos-Stream-Id");
                if let Some((_, id)) = stream_id {
                    self.stream_id = id.clone();
                }
                if response.status >= 400 {
                    return violation("E0", format!("the scheduler was answered {response:?}"));
                }
            }
            crate::Output::Stream(ExchangeId(number), record) if number == self.stream => {
                let start = record.iter().position(|byte| *byte == b'\n').map_or(0, |place| place + 1);
                self.on_event(record.slice(start..))?;
            }
            crate::Output::Stream(ExchangeId(number), record) => self.piece(number, Piece::Body(record)),
            crate::Output::End(ExchangeId(number)) => self.piece(number, Piece::End),
            crate::Output::Cut(ExchangeId(number)) => self.piece(number, Piece::Broken),
            crate::Output::StartExecutor { name, environment, .. } => self.start(name, environment)?,
            crate::Output::KillExecutor { name } => {
                let found = self.processes.iter().find(|(_, process)| process.name == name).map(|(number, _)| *number);
                if let Some(number) = found {
                    return violation("E4", format!("process {number} of {name:?} had to be killed by its agent"));
                }
            }
            crate::Output::AgentDown { .. }
            | crate::Output::AgentUp { .. }
            | crate::Output::Start { .. }
            | crate::Output::Stop { .. }
            | crate::Output::MasterDown { .. } => {}
        }
        Ok(())
    }

    fn respond(&mut self, number: u64, response: &Response) {
        let ordered = self.exchanges.get(&number).is_some_and(|exchange| exchange.lane == Lane::Ordered);
        if self.faulty && ordered && self.rng.chance(0.1) {
            self.fault("lost answer");
            return self.piece(number, Piece::Broken);
        }
        let head = response
            .headers
            .iter()
            .fold(Head::new(response.status), |head, (name, value)| head.header(name, value.as_bytes()));
        self.piece(number, Piece::Head(head));
        if let Some(body) = &response.body {
            self.piece(number, Piece::Body(body.clone()));
            self.piece(number, Piece::End);
        }
    }

    /// Something is on its way to an executor.
    fn piece(&mut self, number: u64, piece: Piece) {
        let latency = self.latency();
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            exchange.last = exchange.last.max(self.now + latency);
            let at = exchange.last;
            self.at(at, Happening::Piece(number, piece));
        }
    }

    fn start(&mut self, name: ExecutorName, mut environment: Vec<(String, String)>) -> Step {
        environment.push(("MESOS_DIRECTORY".to_owned(), "/".to_owned()));
        let env = match Env::parse(environment) {
            Ok(env) => env,
            Err(error) => return violation("E0", error.to_string()),
        };
        self.note(&format!("{} starts on {}", name.executor, name.agent));
        self.next += 1;
        let number = self.next;
        let client = Client::new(Config::from_env(env), self.rng.next());
        self.processes.insert(number, Process { name, client, alone: Some(self.now), used: false, limit: None });
        self.feed(number, Input::Timeout);
        Ok(())
    }

    fn feed(&mut self, number: u64, input: Input<'_>) {
        if let Some(process) = self.processes.get_mut(&number) {
            let now = Instant::from_origin(self.now);
            let wall = UnixTime::from_epoch(Duration::from_secs_f64(BEGINNING) + self.now);
            process.client.handle_input(now, Input::Wall(wall));
            process.client.handle_input(now, input);
        }
    }

    fn on_client(&mut self, number: u64, output: Output<Event>) -> Step {
        match output {
            Output::Request(request) => {
                let Some(process) = self.processes.get(&number) else { return Ok(()) };
                self.next += 1;
                let exchange = Exchange {
                    process: number,
                    id: request.id(),
                    agent: process.name.agent,
                    lane: request.lane(),
                    open: true,
                    last: self.now,
                };
                let headers = request.headers().iter().map(|h| (h.name().to_owned(), h.value().to_owned()));
                let carried = Request {
                    method: "POST".to_owned(),
                    path: request.path().to_owned(),
                    headers: headers.collect(),
                    body: request.body().clone(),
                };
                let key = self.next;
                self.exchanges.insert(key, exchange);
                let latency = self.latency();
                self.later(latency, Happening::Arrives(key, carried));
            }
            Output::Abort(id) => self.let_go(|exchange| exchange.process == number && exchange.id == id),
            Output::Event(event) => self.on_executor_event(number, event)?,
            Output::Persist(_) | Output::Timeout(_) => {}
        }
        Ok(())
    }

    /// The executor closes connections; the agent notices a little later.
    fn let_go(&mut self, whose: impl Fn(&Exchange) -> bool) {
        let gone = self.exchanges.iter_mut().filter(|(_, exchange)| exchange.open && whose(exchange));
        let gone: Vec<u64> = gone
            .map(|(key, exchange)| {
                exchange.open = false;
                *key
            })
            .collect();
        for key in gone {
            let latency = self.latency();
            self.later(latency, Happening::Gone(key));
        }
    }

    fn on_executor_event(&mut self, number: u64, event: Event) -> Step {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&number) else { return Ok(()) };
        match event {
            Event::Subscribed(_) => process.alone = None,
            Event::Disconnected { .. } => {
                process.alone.get_or_insert(now);
            }
            Event::Launch(task) => self.launched(number, &task),
            Event::LaunchGroup(group) => group.tasks.iter().for_each(|task| self.launched(number, task)),
            Event::Kill { task_id, .. } => {
                let takes = self.rng.time(Duration::from_millis(1), Duration::from_millis(300));
                self.later(takes, Happening::Report(number, task_id.value, TaskState::TaskKilled));
            }
            Event::Shutdown { cause, grace, .. } => {
                let name = process.name.clone();
                process.limit = Some(now + grace);
                let since = process.alone.map(|since| now.saturating_sub(since));
                let used = process.used;
                if !self.ending && (used || cause != Cause::Shutdown || !self.is_needless(number, &name)) {
                    return violation("E4", format!("{name:?} shuts down ({cause}), and had no reason"));
                }
                if since.is_some_and(|since| since > RECOVERY + Duration::from_secs(1)) {
                    return violation("E4", format!("{name:?} waited {since:?} for its agent"));
                }
            }
            Event::UpdateLost { status, reason } if !self.ending => {
                return violation(
                    "E1",
                    format!("{} of {} is lost: {reason}", status.state().as_str_name(), status.task_id),
                );
            }
            Event::Stopped { .. } | Event::Fatal(_) => {
                let (name, limit) = (process.name.clone(), process.limit);
                self.note(&format!("{} ends: {event:?}", name.executor));
                self.processes.remove(&number);
                self.let_go(|exchange| exchange.process == number);
                self.cluster.executor_ended(&name, &Exit::Status(0));
                if limit.is_none_or(|limit| now > limit) {
                    return violation("E4", format!("{name:?} ended at {now:?}, and had until {limit:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether all that this process was started for was killed before it was there: then its agent shuts it down. What
    /// was called only after its start may be on its way.
    fn is_needless(&self, number: u64, name: &ExecutorName) -> bool {
        let agent = self.cluster.agents.get(name.agent).map(|agent| agent.id.as_str());
        let whose = |(id, executor): &(String, String)| Some(id.as_str()) == agent && *executor == name.executor;
        let its = |task: &&Task| whose(&task.place) && task.number < number && !task.launched;
        let mut its = self.tasks.values().filter(its).peekable();
        its.peek().is_some() && its.all(|task| task.killed || task.has_ended())
    }

    fn launched(&mut self, number: u64, info: &v1::TaskInfo) {
        let Some(task) = self.tasks.get_mut(&info.task_id.value) else { return };
        task.launched = true;
        self.processes.entry(number).and_modify(|process| process.used = true);
        let mut at = Duration::ZERO;
        let lasts = self.rng.time(Duration::from_millis(5), Duration::from_secs(40));
        let end = if self.rng.chance(0.3) { TaskState::TaskFailed } else { TaskState::TaskFinished };
        for (state, after) in [
            (TaskState::TaskStarting, Duration::from_millis(1)),
            (TaskState::TaskRunning, Duration::from_millis(3)),
            (end, lasts),
        ] {
            at += after;
            self.later(at, Happening::Report(number, info.task_id.value.clone(), state));
        }
    }

    /// A task's state, unless the task has ended before.
    fn say(&mut self, number: u64, task: &str, state: TaskState) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.client.handle_input(Instant::from_origin(self.now), Input::Timeout);
        if process.client.update(v1::TaskStatus::new(task, state)).is_ok() {
            self.report.updates += 1;
            if let Some(task) = self.tasks.get_mut(task) {
                task.given.push(state);
            }
        }
    }
}

/// When this client wants the time.
fn deadline(client: &mut Client) -> Option<Duration> {
    match client.poll_output() {
        Output::Timeout(Some(deadline)) => Some(deadline.at.since_origin()),
        // It was drained before.
        _ => None,
    }
}
