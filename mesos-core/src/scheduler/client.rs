//! The client itself: what it holds, the commands about the session, time.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::calls::{CallSink, Calls};
use super::config::Config;
use super::error::CallError;
use super::event::{DisconnectReason, Event};
use super::lanes::Lanes;
use super::outgoing::{CallId, CallKind, Effect, Outgoing};
use super::subscription::{Phase, Subscription};
use crate::log::{debug, info};
use crate::planted::planted;
use crate::rng::Rng;
use crate::{Authorization, Deadline, Endpoint, ExchangeId, Input, Instant, Machine, Output, SessionState, v1};

/// A framework's connection to the leading master: keeps one subscription alive, delivers its events, sends calls.
///
/// It is a [`Machine`]: feed it, poll it, or let a driver do both. The first input starts it. See the
/// [crate's manual](crate) for the rules and for the states that a session goes through.
#[derive(Debug)]
pub struct Client {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) outputs: VecDeque<Output<Event>>,
    pub(super) state: State,
    pub(super) lanes: Lanes,
    pub(super) ending: Ending,
    /// Which of the masters the next attempt asks,
    pub(super) master: usize,
    /// if none has been detected.
    pub(super) leader: Option<Endpoint>,
    /// Failed attempts since the last session that lasted.
    pub(super) failures: u32,
    pub(super) ever_subscribed: bool,
    next_exchange: u64,
    next_call: u64,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum State {
    /// No input so far.
    Idle,
    Waiting(Waiting),
    /// From the SUBSCRIBE request to the end of its answer.
    Session(Subscription),
    /// The terminal event is queued, or out.
    Ended,
}

#[derive(Debug)]
pub(super) struct Waiting {
    /// `None`: for new credentials, or for a leader.
    pub(super) until: Option<Instant>,
    /// For a leader to be detected.
    pub(super) leader: bool,
    /// Where a redirect leads.
    pub(super) redirect: Option<Redirect>,
}

#[derive(Clone, Debug)]
pub(super) struct Redirect {
    pub(super) endpoint: Endpoint,
    pub(super) path: String,
    /// How many redirects in a row led here.
    pub(super) hops: u8,
}

/// Whether the client is to come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// Remove the framework as soon as there is a subscription; further calls are refused.
    Teardown,
}

/// Where a client stands, for people and for health checks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// The state.
    pub state: SessionState,
    /// The framework's id, once known.
    pub framework_id: Option<v1::FrameworkId>,
    /// The master asked, or subscribed with.
    pub master: Option<Endpoint>,
    /// What the master calls the stream of the subscription, as soon as it has answered (`Mesos-Stream-Id`).
    pub stream_id: Option<String>,
    /// How long the subscription has stood.
    pub age: Option<Duration>,
    /// How long ago the last byte arrived on its stream.
    pub silent_for: Option<Duration>,
    /// How many calls wait or have no answer yet.
    pub pending_calls: usize,
}

impl Client {
    /// A client that starts with its first input. `seed` is its only source of chance (jitter, the name of an unnamed
    /// framework): the same seed and the same inputs give the same outputs. In production it comes from the operating
    /// system.
    #[must_use]
    pub fn new(mut config: Config, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        if config.unnamed {
            config.profile.info.name = random_name(&mut rng);
        }
        Self {
            config,
            rng,
            now: Instant::ORIGIN,
            outputs: VecDeque::new(),
            state: State::Idle,
            lanes: Lanes::default(),
            ending: Ending::No,
            master: 0,
            leader: None,
            failures: 0,
            ever_subscribed: false,
            next_exchange: 0,
            next_call: 0,
        }
    }

    /// With ids that the former client of the same driver has not used, the leader that was fed to it, and the framework as
    /// calls have changed it, but for its id.
    pub(crate) fn after(mut self, former: &Self) -> Self {
        self.config.profile.take_over(&former.config.profile.info);
        self.next_exchange = former.next_exchange;
        self.next_call = former.next_call;
        self.leader = former.leader.clone();
        self
    }

    /// The leader, for a client that hasn't begun.
    pub(crate) fn expect_leader(&mut self, leader: Option<Endpoint>) {
        self.leader = leader;
    }

    /// The calls of the scheduler API.
    pub fn calls(&mut self) -> Calls<'_> {
        Calls::new(self)
    }

    /// The framework as the next SUBSCRIBE will carry it, with its id once known.
    #[must_use]
    pub const fn framework(&self) -> &v1::FrameworkInfo {
        &self.config.profile.info
    }

    /// The roles that are suppressed, in order.
    pub fn suppressed_roles(&self) -> impl Iterator<Item = &str> {
        self.config.profile.suppressed.iter().map(String::as_str)
    }

    /// Where the client stands.
    #[must_use]
    pub fn session(&self) -> Session {
        let mut session = Session {
            state: SessionState::Waiting,
            framework_id: self.config.profile.info.id.clone(),
            master: None,
            stream_id: None,
            age: None,
            silent_for: None,
            pending_calls: self.lanes.pending(),
        };
        match &self.state {
            State::Idle => {}
            State::Waiting(waiting) => session.master = waiting.redirect.as_ref().map(|r| r.endpoint.clone()),
            State::Session(s) => {
                session.master = Some(s.endpoint.clone());
                session.silent_for = Some(self.now.saturating_duration_since(s.last_byte));
                session.stream_id = s.stream_id().map(Into::into);
                session.state = match s.phase {
                    Phase::Connecting | Phase::Refused { .. } => SessionState::Connecting,
                    Phase::Subscribing { .. } => SessionState::Subscribing,
                    Phase::Subscribed { since, .. } => {
                        session.age = Some(self.now.saturating_duration_since(since));
                        SessionState::Subscribed
                    }
                };
            }
            State::Ended => session.state = SessionState::Ended,
        }
        session
    }

    /// Uses these credentials from the next request on; a client that waits for them tries again at once. The
    /// principal of a framework that is registered stays as it is.
    pub fn set_authorization(&mut self, authorization: Authorization) {
        if let (None, Some(principal)) = (&self.config.profile.info.id, authorization.principal()) {
            self.config.profile.info.principal = Some(principal.to_string());
        }
        self.config.authorization = Some(authorization);
        if let State::Waiting(waiting @ Waiting { until: None, .. }) = &mut self.state {
            waiting.until = Some(self.now);
        }
    }

    /// Removes the framework with all its tasks, then ends with
    /// [`Stopped { removed: true }`](Event::Stopped). Calls given before are sent first, none is taken afterwards. If
    /// there is no subscription, or it breaks meanwhile, the client subscribes again first; should that be taking too
    /// long, [`disconnect`](Self::disconnect).
    pub fn teardown(&mut self) {
        if self.ending == Ending::No {
            info!(framework = ?self.config.profile.info.id, "tearing down");
            self.ending = Ending::Teardown;
            self.queue_teardown();
        }
    }

    /// Sends TEARDOWN if there is a subscription, and ends if there can be no framework.
    pub(super) fn queue_teardown(&mut self) {
        match &self.state {
            State::Session(s) if matches!(s.phase, Phase::Subscribed { .. }) => {
                self.enqueue_own(Outgoing::teardown());
            }
            State::Idle | State::Waiting(_) if self.config.profile.info.id.is_none() => self.stop(true),
            _ => {}
        }
    }

    /// Leaves without a word: the framework and its tasks stay for the failover timeout, for another client to take
    /// over. The client ends with [`Stopped`](Event::Stopped) at once.
    pub fn disconnect(&mut self) {
        if !matches!(self.state, State::Ended) {
            self.stop(false);
        }
    }

    /// Ends everything; the event is the last.
    pub(super) fn finish(&mut self, event: Event) {
        self.close_session();
        self.state = State::Ended;
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn stop(&mut self, removed: bool) {
        info!(removed, "stopped");
        self.finish(Event::Stopped { removed });
    }

    /// Ends the exchanges of a session, and tells the end of each of its calls.
    fn close_session(&mut self) {
        if let State::Session(s) = &mut self.state {
            if s.end.is_none() && !planted!(StreamLeft) {
                self.outputs.push_back(Output::Abort(s.exchange));
            }
        }
        for exchange in self.lanes.exchanges() {
            self.outputs.push_back(Output::Abort(exchange));
        }
        for (id, kind, outcome) in self.lanes.drain() {
            self.outputs.push_back(Output::Event(Event::CallDone { id, kind, outcome }));
        }
    }

    /// Ends a session, or an attempt at one, and plans the next.
    pub(super) fn session_over(&mut self, reason: DisconnectReason) {
        debug!(%reason, "session over");
        self.close_session();
        let lasted = match &self.state {
            State::Session(Subscription { phase: Phase::Subscribed { since, .. }, .. }) => {
                Some(self.now.saturating_duration_since(*since))
            }
            _ => None,
        };
        match lasted {
            // The master that was good is asked again first.
            Some(lasted) if lasted > self.config.backoff.longest() => self.failures = 0,
            Some(_) => {}
            None => self.master = (self.master + 1) % self.config.masters.len().max(1),
        }
        let until = match reason {
            DisconnectReason::Unauthorized => None,
            DisconnectReason::NewLeader(_) => Some(self.soon()),
            _ => {
                let wait = self.config.backoff.wait(self.failures, &mut self.rng);
                let wait = if planted!(NoBackoff) { Duration::ZERO } else { wait };
                self.failures = self.failures.saturating_add(1);
                Some(self.now + wait)
            }
        };
        self.state = State::Waiting(Waiting { until, leader: false, redirect: None });
        self.outputs.push_back(Output::Event(Event::Disconnected { reason, retry_at: until }));
        if self.ending == Ending::Teardown {
            self.queue_teardown();
        }
    }

    /// The bytes of all calls that wait.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn queued_bytes(&self) -> usize {
        self.lanes.bytes()
    }

    pub(super) fn new_exchange(&mut self) -> ExchangeId {
        self.next_exchange += 1;
        ExchangeId(self.next_exchange)
    }

    pub(super) fn new_call(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    /// The earliest moment at which something is due.
    fn deadline(&self) -> Option<Deadline> {
        let at = |at, what| Some(Deadline { at, what });
        match &self.state {
            State::Idle => at(Instant::ORIGIN, "start"),
            State::Ended => None,
            State::Waiting(Waiting { until, redirect, .. }) => {
                let what = if redirect.is_some() { "redirect" } else { "retry" };
                // Without a moment it waits for others only: a deadline still, since none would mean the end.
                at(until.unwrap_or(Instant::from_origin(Duration::MAX)), what)
            }
            State::Session(s) => {
                let silence =
                    s.silence(self.config.heartbeats_missed, self.config.call_timeout).and_then(|d| at(d, "silence"));
                let suspect = s.suspicion().and_then(|d| at(d, "suspect"));
                let call = self.lanes.oldest().and_then(|sent| at(sent + self.config.call_timeout, "call"));
                [silence, suspect, call].into_iter().flatten().min_by_key(|d| d.at)
            }
        }
    }

    /// Does what is due. Each round leaves one deadline less, and a new attempt ends it: nothing of that can be due in
    /// the moment of its beginning, unless time is at the end of its range and stands still.
    fn on_timeout(&mut self) {
        while let Some(Deadline { what, .. }) = self.deadline().filter(|d| d.at <= self.now) {
            debug!(what, "timer");
            match &mut self.state {
                State::Idle | State::Ended | State::Waiting(Waiting { until: None, .. }) => return,
                State::Waiting(waiting) => {
                    let redirect = waiting.redirect.take();
                    return self.subscribe(redirect);
                }
                State::Session(s) => match what {
                    "call" => self.on_call_timeout(),
                    "suspect" => self.session_over(DisconnectReason::Suspect),
                    _ => {
                        let after = self.now.saturating_duration_since(s.last_byte);
                        self.on_silence(after);
                    }
                },
            }
        }
    }
}

impl CallSink for Client {
    fn submit(&mut self, mut call: Outgoing) -> Result<CallId, CallError> {
        if self.ending != Ending::No || matches!(self.state, State::Ended) {
            return Err(CallError::Ending);
        }
        let (under_way, subscribed) = match &self.state {
            State::Session(s) => (true, matches!(s.phase, Phase::Subscribed { .. })),
            _ => (false, false),
        };
        let profile = matches!(call.effect, Effect::Suppress(_) | Effect::Revive(_));
        if !subscribed && !profile {
            return Err(CallError::NotSubscribed);
        }
        if call.kind == CallKind::Teardown {
            self.ending = Ending::Teardown;
        } else {
            if let Effect::Update(update) = &call.effect {
                let updated = self.config.profile.updated(update)?;
                call.encode_update(updated);
            }
            self.lanes.has_room(&call, &self.config.queue)?;
            match &call.effect {
                Effect::Suppress(roles) => self.config.profile.suppress(true, roles)?,
                Effect::Revive(roles) => self.config.profile.suppress(false, roles)?,
                Effect::None | Effect::Update(_) | Effect::Adopt(_) => {}
            }
        }
        let id = self.new_call();
        // A SUBSCRIBE under way says what the profile was before: the call has to follow it.
        if under_way {
            self.enqueue(id, call);
        } else {
            let outcome = super::Outcome::Carried;
            self.outputs.push_back(Output::Event(Event::CallDone { id, kind: call.kind, outcome }));
        }
        Ok(id)
    }
}

impl Machine for Client {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        if let Input::Leader(leader) = input {
            return self.on_leader(leader);
        }
        match self.state {
            State::Ended => return,
            State::Idle => self.subscribe(None),
            State::Waiting(_) | State::Session(_) => {}
        }
        let id = match input {
            Input::Timeout => {
                self.on_timeout();
                return;
            }
            Input::Head { id, .. }
            | Input::Body { id, .. }
            | Input::End { id }
            | Input::Failed { id, .. }
            | Input::Paused { id } => id,
            // The client itself keeps nothing and tells no time of day.
            Input::Persisted { .. } | Input::PersistFailed { .. } | Input::Wall(_) | Input::Leader(_) => return,
        };
        match &self.state {
            State::Session(s) if s.exchange == id => self.on_stream_input(input),
            State::Session(_) => self.on_call_input(id, input),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Output<Event> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if !self.on_next_record() {
                break;
            }
        }
        self.dispatch();
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }
}

/// `mesos-framework.` and a version 4 uuid in text form.
fn random_name(rng: &mut Rng) -> String {
    let digits: Vec<char> = alloc::format!("{:032x}", rng.uuid()).chars().collect();
    let mut name = String::from("mesos-framework");
    let mut rest = digits.as_slice();
    for (i, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        let (part, tail) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        name.push(if i == 0 { '.' } else { '-' });
        name.extend(part);
        rest = tail;
    }
    name
}
