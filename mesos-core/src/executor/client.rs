//! The client itself: what it holds, the commands, time.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::book::{self, Book};
use super::config::Config;
use super::error::CallError;
use super::event::{Cause, Event, LostReason};
use super::lane::{CallLane, Item};
use super::session::{Phase, Subscription};
use crate::answer::Target;
use crate::log::{debug, info};
use crate::rng::Rng;
use crate::{Deadline, Endpoint, ExchangeId, Input, Instant, Lane, Machine, Output, SessionState, UnixTime, v1};
use v1::TaskState;
use v1::check_info::Type as Check;
use v1::executor::{Call, call};

/// How long an agent waits for a new executor, by default. Whoever isn't subscribed by then is killed.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// An executor's connection to its agent: keeps one subscription alive, delivers its events, and brings each update to
/// the agent.
///
/// It is a [`Machine`]: feed it, poll it, or let a driver do both. The first input starts it. See the
/// [module](super) for the states that it goes through.
#[derive(Debug)]
pub struct Client {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    /// What the wall clock showed, and when.
    wall: Option<(UnixTime, Instant)>,
    pub(super) outputs: VecDeque<Output<Event>>,
    pub(super) state: State,
    pub(super) book: Book,
    pub(super) lane: CallLane,
    /// When `stop` was called.
    stopping: Option<Instant>,
    pub(super) shutdown: Option<Shutdown>,
    /// Since when there is no subscription.
    pub(super) lost_since: Option<Instant>,
    pub(super) ever_subscribed: bool,
    /// Whether the framework understands TASK_KILLING.
    pub(super) killing: bool,
    pub(super) grace: Duration,
    next_exchange: u64,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum State {
    /// No input so far.
    Idle,
    Waiting {
        until: Instant,
    },
    /// From the SUBSCRIBE request to the end of its answer.
    Session(Subscription),
    /// Shutting down, without a subscription.
    Adrift,
    /// The terminal event is queued, or out.
    Ended,
}

#[derive(Debug)]
pub(super) struct Shutdown {
    cause: Cause,
    deadline: Instant,
}

/// Where a client stands, for people and for health checks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// The state; [`Waiting`](SessionState::Waiting) also while shutting down without a subscription.
    pub state: SessionState,
    /// The agent.
    pub agent: Endpoint,
    /// How long the subscription has stood.
    pub age: Option<Duration>,
    /// How many tasks haven't had their last update.
    pub tasks: usize,
    /// How many updates the agent hasn't acknowledged.
    pub unacknowledged: usize,
}

impl Client {
    /// A client that starts with its first input. `seed` is its only source of chance (waits, the uuids of updates):
    /// the same seed and the same inputs give the same outputs. In production it comes from the operating system.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            now: Instant::ORIGIN,
            wall: None,
            outputs: VecDeque::new(),
            state: State::Idle,
            book: Book::default(),
            lane: CallLane::default(),
            stopping: None,
            shutdown: None,
            lost_since: None,
            ever_subscribed: false,
            killing: false,
            grace: config.grace,
            next_exchange: 0,
            config,
        }
    }

    /// Reports a task's state to the scheduler. The agent gets it as soon as it can, again after each reconnection
    /// until it is [`Acknowledged`](Event::Acknowledged), and all updates of one task in this order.
    ///
    /// Filled in here: `uuid`, `source`, `executor_id` and, if it isn't there, `timestamp` by the wall clock;
    /// `agent_id` is left to the agent. `task_id` and `state` are the caller's, and whatever else is to be said.
    ///
    /// # Errors
    /// The task isn't known or has had its last update; the state isn't an executor's to give, or the framework doesn't
    /// understand it; the check's status is malformed; too many updates wait; the client has ended.
    pub fn update(&mut self, mut status: v1::TaskStatus) -> Result<(), CallError> {
        if matches!(self.state, State::Ended) {
            return Err(CallError::Ended);
        }
        self.book.may_update(&status.task_id.value)?;
        let state = status.state();
        match state {
            TaskState::TaskStarting | TaskState::TaskRunning => {}
            TaskState::TaskKilling if self.killing => {}
            TaskState::TaskKilling => return Err(CallError::Killing),
            _ if book::is_last(state) => {}
            _ => return Err(CallError::State(state)),
        }
        if !status.check_status.as_ref().is_none_or(is_complete) {
            return Err(CallError::CheckStatus);
        }
        let waiting = self.book.count_updates();
        if waiting >= self.config.queue.calls && !book::is_last(state) {
            return Err(CallError::QueueFull { waiting });
        }
        let uuid = self.rng.uuid().to_be_bytes();
        status.uuid = Some(book::bytes(uuid));
        status.source = Some(v1::task_status::Source::Executor.into());
        status.executor_id = Some(self.config.executor_id.clone());
        status.agent_id = None;
        status.timestamp = status.timestamp.or_else(|| self.unix_time());
        debug!(task = %status.task_id.value, state = state.as_str_name(), "update");
        self.book.push(uuid, status);
        self.lane.push(Item::Update(uuid));
        Ok(())
    }

    /// Sends bytes to the scheduler: once, without a receipt. While there is no subscription they wait for one.
    ///
    /// # Errors
    /// Too many messages wait, or this one is too large; the client has ended.
    pub fn message(&mut self, data: impl Into<Bytes>) -> Result<(), CallError> {
        if matches!(self.state, State::Ended) {
            return Err(CallError::Ended);
        }
        let data = data.into();
        self.lane.has_room(data.len(), &self.config.queue)?;
        self.lane.push(Item::Message(data));
        Ok(())
    }

    /// Ends as soon as the agent has acknowledged all updates given so far and later ones, which is what an executor
    /// does whose work is done. An agent within reach has the
    /// [acknowledgement timeout](Config::acknowledgement_timeout) for that, one that is away the recovery timeout; what
    /// isn't acknowledged then is [`UpdateLost`](Event::UpdateLost). Tasks that haven't ended are the caller's to end.
    pub fn stop(&mut self) {
        if self.stopping.is_none() {
            info!("stopping");
            self.stopping = Some(self.now);
            self.lane.progress(self.now);
        }
    }

    /// Where the client stands.
    #[must_use]
    pub fn session(&self) -> Session {
        let mut session = Session {
            state: SessionState::Waiting,
            agent: self.config.agent.clone(),
            age: None,
            tasks: self.book.count_live(),
            unacknowledged: self.book.count_updates(),
        };
        match &self.state {
            State::Idle | State::Waiting { .. } | State::Adrift => {}
            State::Session(s) => {
                session.state = match s.phase {
                    Phase::Connecting | Phase::Refused { .. } => SessionState::Connecting,
                    Phase::Subscribing => SessionState::Subscribing,
                    Phase::Subscribed { since } => {
                        session.age = Some(self.now.saturating_duration_since(since));
                        SessionState::Subscribed
                    }
                };
            }
            State::Ended => session.state = SessionState::Ended,
        }
        session
    }

    /// Whether this update has no end so far.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn keeps(&self, uuid: &[u8]) -> bool {
        self.book.updates().any(|update| update.uuid == uuid)
    }

    /// The bytes of all messages that wait.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn queued_bytes(&self) -> usize {
        self.lane.bytes()
    }

    /// The wall clock now, in seconds since 1970.
    fn unix_time(&self) -> Option<f64> {
        let (wall, at) = self.wall?;
        Some((wall + self.now.saturating_duration_since(at)).since_epoch().as_secs_f64())
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// A call of this type, without its body.
    pub(super) fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: self.config.executor_id.clone(),
            framework_id: self.config.framework_id.clone(),
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    /// Asks for the request that carries a call.
    pub(super) fn request(&mut self, lane: Lane, call: &Call) -> ExchangeId {
        self.next_exchange += 1;
        let exchange = ExchangeId(self.next_exchange);
        let Config { agent, path, codec, authorization, .. } = &self.config;
        let body = codec.write_call::<Call>(call.encode_to_vec());
        let target = Target { endpoint: agent, path, codec: *codec, authorization: authorization.as_ref() };
        self.outputs.push_back(Output::Request(target.request(exchange, lane, None, body)));
        exchange
    }

    /// All tasks are to end, and then the client.
    pub(super) fn shut_down(&mut self, cause: Cause) {
        if self.shutdown.is_some() || matches!(self.state, State::Ended) {
            return;
        }
        info!(%cause, grace = ?self.grace, "shutting down");
        // A tenth of it is left for the way here and for the process's own end: the agent's clock started earlier.
        let grace = self.grace - self.grace / 10;
        let deadline = self.now + grace;
        self.tell(Event::Shutdown { cause: cause.clone(), deadline, grace });
        self.shutdown = Some(Shutdown { cause, deadline });
        self.lane.progress(self.now);
        for (task_id, policy) in self.book.live() {
            self.tell(Event::Kill { task_id, policy });
        }
    }

    /// Ends everything; the event is the last.
    fn finish(&mut self) {
        self.close_stream();
        self.close_call();
        for data in self.lane.give_up().collect::<Vec<_>>() {
            self.tell(Event::MessageLost { data, reason: LostReason::Unacknowledged });
        }
        for status in self.book.give_up().collect::<Vec<_>>() {
            self.tell(Event::UpdateLost { status, reason: LostReason::Unacknowledged });
        }
        self.state = State::Ended;
        let cause = self.shutdown.take().map_or(Cause::Asked, |shutdown| shutdown.cause);
        info!(%cause, "stopped");
        self.tell(match cause {
            Cause::Fatal(reason) => Event::Fatal(reason),
            cause => Event::Stopped { cause },
        });
    }

    /// Whether the client is to end, and waits for acknowledgements only.
    fn is_ending(&self) -> bool {
        self.stopping.is_some() || (self.shutdown.is_some() && self.book.count_live() == 0)
    }

    /// Whether nothing is left to bring to the agent, or to hear from it.
    fn is_settled(&self) -> bool {
        match &self.state {
            // Nobody is there to acknowledge anything.
            State::Adrift => self.lane.is_idle(),
            State::Session(s) if s.is_subscribed() => self.book.count_updates() == 0 && self.lane.is_idle(),
            State::Idle | State::Waiting { .. } | State::Session(_) => self.book.count_updates() == 0,
            State::Ended => false,
        }
    }

    /// The earliest moment at which something is due.
    fn deadline(&self) -> Option<Deadline> {
        let at = |at, what| Some(Deadline { at, what });
        let state = match &self.state {
            State::Idle => return at(Instant::ORIGIN, "start"),
            State::Ended => return None,
            State::Waiting { until } => at(*until, "retry"),
            State::Session(s) => s.patience().and_then(|d| at(d, "patience")),
            State::Adrift => None,
        };
        let subscribed = matches!(&self.state, State::Session(s) if s.is_subscribed());
        let call = self.lane.sent().and_then(|sent| at(sent + self.config.call_timeout, "call"));
        let parked = self.lane.parked().filter(|_| subscribed || matches!(self.state, State::Adrift));
        let parked = parked.and_then(|d| at(d, "parked"));
        let recovery = self.lost_since.filter(|_| self.shutdown.is_none());
        let recovery = recovery.and_then(|since| at(since + self.recovery_timeout(), "recovery"));
        let shutdown = self.shutdown.as_ref().and_then(|shutdown| at(shutdown.deadline, "end"));
        let patience = self.config.acknowledgement_timeout;
        let unanswered = self.is_ending() && subscribed && self.lane.is_idle();
        let unanswered = if unanswered { at(self.lane.last_progress() + patience, "end") } else { None };
        let stop = self.stopping.and_then(|since| at(since + patience.max(self.recovery_timeout()), "end"));
        // It doesn't end the waiting for an input if nothing else is due.
        let never = at(Instant::from_origin(Duration::MAX), "never");
        [state, call, parked, recovery, shutdown, unanswered, stop, never].into_iter().flatten().min_by_key(|d| d.at)
    }

    /// How long to wait for an agent that is away.
    fn recovery_timeout(&self) -> Duration {
        if self.config.checkpoint { self.config.recovery_timeout } else { REGISTRATION_TIMEOUT }
    }

    /// Does what is due. Each round leaves one deadline less, and a new attempt ends it.
    fn on_timeout(&mut self) {
        while let Some(Deadline { what, .. }) = self.deadline().filter(|d| d.at <= self.now) {
            debug!(what, "timer");
            match what {
                "retry" => return self.subscribe(),
                "patience" => self.on_patience(),
                "call" => self.on_call_timeout(),
                "recovery" => {
                    self.set_adrift();
                    self.shut_down(Cause::RecoveryTimeout);
                }
                "end" => return self.finish(),
                // The next drain sends it.
                _ => return,
            }
        }
    }
}

/// Whether a check's status has what its type promises.
fn is_complete(status: &v1::CheckStatusInfo) -> bool {
    match status.r#type.and_then(|number| Check::try_from(number).ok()) {
        Some(Check::Command) => status.command.is_some(),
        Some(Check::Http) => status.http.is_some(),
        Some(Check::Tcp) => status.tcp.is_some(),
        Some(Check::Unknown) | None => false,
    }
}

impl Machine for Client {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        match self.state {
            State::Ended => return,
            State::Idle => {
                self.lost_since = Some(self.now);
                self.subscribe();
            }
            State::Waiting { .. } | State::Session(_) | State::Adrift => {}
        }
        let id = match input {
            Input::Timeout => return self.on_timeout(),
            Input::Wall(wall) => {
                self.wall = Some((wall, self.now));
                return;
            }
            Input::Head { id, .. }
            | Input::Body { id, .. }
            | Input::End { id }
            | Input::Failed { id, .. }
            | Input::Paused { id } => id,
            // The client itself keeps nothing, and an executor has its agent.
            Input::Persisted { .. } | Input::PersistFailed { .. } | Input::Leader(_) => return,
        };
        match &self.state {
            State::Session(s) if s.exchange == id => self.on_stream_input(input),
            _ if self.lane.is_flying(id) => self.on_call_input(input),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Output<Event> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if self.on_next_record() {
                continue;
            }
            self.dispatch();
            if !self.outputs.is_empty() {
                continue;
            }
            if !self.is_ending() || !self.is_settled() {
                return Output::Timeout(self.deadline());
            }
            self.finish();
        }
    }
}
