//! Calls between command and answer: what waits, what is under way, and what answers mean.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::client::{Client, State};
use super::config::QueueLimits;
use super::error::CallError;
use super::event::{DisconnectReason, Event, Outcome};
use super::outgoing::{self, CallId, CallKind, Effect, Outgoing};
use super::subscription::Phase;
use crate::answer::{TEXT_LIMIT, keep, readable};
use crate::log::debug;
use crate::planted::planted;
use crate::{ExchangeId, Failure, FailureKind, Input, Instant, Lane, Output, Sent};

/// Acknowledgements under way at once.
const ACKS_AT_ONCE: usize = 4;
/// Masters of 1.6 and 1.7 answer RECONCILE_OPERATIONS with a message; no other answer has a body worth keeping.
const BODY_LIMIT: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    ordered: VecDeque<Waiting>,
    acks: VecDeque<Waiting>,
    /// The bytes of all that wait.
    bytes: usize,
    flying: BTreeMap<ExchangeId, Flying>,
}

#[derive(Debug)]
struct Waiting {
    name: Name,
    call: Outgoing,
}

/// Whose end is to be told.
#[derive(Clone, Copy, Debug)]
struct Name {
    id: CallId,
    kind: CallKind,
    /// Not for the client's own calls.
    reported: bool,
}

#[derive(Debug)]
struct Flying {
    name: Name,
    effect: Effect,
    sent: Instant,
    status: Option<u16>,
    body: Vec<u8>,
    /// The outcome is told already; only the end of the answer is missing.
    done: bool,
}

impl Lanes {
    /// How many calls wait or have no answer.
    pub(super) fn pending(&self) -> usize {
        self.ordered.len() + self.acks.len() + self.flying.values().filter(|f| !f.done).count()
    }

    pub(super) fn has_room(&self, call: &Outgoing, limits: &QueueLimits) -> Result<(), CallError> {
        let size = call.encoded.len();
        if size > limits.bytes {
            return Err(CallError::TooLarge { size, limit: limits.bytes });
        }
        let waiting = match call.kind.lane() {
            Lane::Acks => self.acks.len(),
            Lane::Ordered | Lane::Subscription => self.ordered.len(),
        };
        if waiting >= limits.calls || self.bytes + size > limits.bytes {
            return Err(CallError::QueueFull { waiting });
        }
        Ok(())
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, name: Name, call: Outgoing) {
        self.bytes += call.encoded.len();
        match call.kind.lane() {
            Lane::Acks => self.acks.push_back(Waiting { name, call }),
            Lane::Ordered | Lane::Subscription => self.ordered.push_back(Waiting { name, call }),
        }
    }

    /// The next call that may go.
    fn next(&mut self) -> Option<Waiting> {
        let flying = |lane| self.flying.values().filter(|f| f.name.kind.lane() == lane).count();
        let next = if flying(Lane::Ordered) == 0 { self.ordered.pop_front() } else { None };
        let next = match next {
            None if flying(Lane::Acks) < ACKS_AT_ONCE => self.acks.pop_front(),
            next => next,
        }?;
        self.bytes -= next.call.encoded.len();
        Some(next)
    }

    pub(super) fn is_flying(&self, kind: CallKind) -> bool {
        self.flying.values().any(|f| f.name.kind == kind)
    }

    /// When the oldest call without complete answer was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.flying.values().map(|f| f.sent).min()
    }

    /// All exchanges under way.
    pub(super) fn exchanges(&self) -> Vec<ExchangeId> {
        self.flying.keys().copied().collect()
    }

    /// Empties everything and tells the end of each call.
    pub(super) fn drain(&mut self) -> Vec<(CallId, CallKind, Outcome)> {
        let lanes = core::mem::take(self);
        let flying = lanes.flying.into_values().filter(|f| !f.done).map(|f| (f.name, Outcome::Unknown));
        let waiting = lanes.ordered.into_iter().chain(lanes.acks).map(|w| {
            let carried = matches!(w.call.effect, Effect::Suppress(_) | Effect::Revive(_));
            (w.name, if carried { Outcome::Carried } else { Outcome::NotSent })
        });
        flying
            .chain(waiting)
            .filter(|(name, _)| name.reported)
            .map(|(name, outcome)| (name.id, name.kind, outcome))
            .collect()
    }
}

/// What the fate of a call means for its session.
enum Verdict {
    Suspect,
    Unauthorized(alloc::string::String),
    Over(DisconnectReason),
}

impl Client {
    /// A call whose id somebody has.
    pub(super) fn enqueue(&mut self, id: CallId, call: Outgoing) {
        debug!(%id, kind = %call.kind, "call");
        self.lanes.push(Name { id, kind: call.kind, reported: true }, call);
    }

    /// A call of the client's own.
    pub(super) fn enqueue_own(&mut self, call: Outgoing) {
        let id = self.new_call();
        debug!(%id, kind = %call.kind, "own call");
        self.lanes.push(Name { id, kind: call.kind, reported: false }, call);
    }

    /// Sends what may go now.
    pub(super) fn dispatch(&mut self) {
        loop {
            let State::Session(s) = &self.state else { return };
            let (Phase::Subscribed { stream_id, .. }, None) = (&s.phase, &s.end) else { return };
            let Some(framework_id) = &self.config.profile.info.id else { return };
            let Some(Waiting { name, call }) = self.lanes.next() else { return };
            let Outgoing { kind, encoded, effect } = call;
            let body = outgoing::complete(encoded, framework_id);
            let (endpoint, path, stream_id, trusted) =
                (s.endpoint.clone(), s.path.clone(), stream_id.clone(), s.trusted);
            let exchange = self.new_exchange();
            self.request(exchange, kind.lane(), &endpoint, &path, trusted, Some(&stream_id), body);
            let flying = Flying { name, effect, sent: self.now, status: None, body: Vec::new(), done: false };
            self.lanes.flying.insert(exchange, flying);
        }
    }

    /// An input for an exchange other than the subscription's.
    pub(super) fn on_call_input(&mut self, exchange: ExchangeId, input: Input<'_>) {
        let Some(flying) = self.lanes.flying.get_mut(&exchange) else { return };
        match input {
            Input::Head { head, .. } if flying.status.is_none() => {
                flying.status = Some(head.status());
                // The answer is complete with its head, but for the one kind whose body means something.
                if matches!(head.status(), 200 | 202) && flying.name.kind != CallKind::ReconcileOperations {
                    flying.done = true;
                    let name = flying.name;
                    let effect = core::mem::replace(&mut flying.effect, Effect::None);
                    self.on_accepted(name, effect, Bytes::new());
                }
            }
            Input::Body { data, .. } => {
                let limit = if matches!(flying.status, Some(200 | 202)) { BODY_LIMIT } else { TEXT_LIMIT };
                keep(&mut flying.body, data, limit);
            }
            Input::End { .. } => {
                let failure = || Failure::new(FailureKind::Http, Sent::Maybe, "an end without an answer");
                self.conclude(exchange, failure);
            }
            Input::Failed { failure, .. } => self.conclude(exchange, || failure),
            Input::Head { .. }
            | Input::Paused { .. }
            | Input::Timeout
            | Input::Persisted { .. }
            | Input::PersistFailed { .. }
            | Input::Wall(_)
            | Input::Leader(_) => {}
        }
    }

    /// A call's exchange has ended.
    fn conclude(&mut self, exchange: ExchangeId, failure: impl FnOnce() -> Failure) {
        let Some(flying) = self.lanes.flying.remove(&exchange) else { return };
        let Flying { name, effect, status, body, done, .. } = flying;
        if done {
            return;
        }
        match status {
            Some(200 | 202) => self.on_accepted(name, effect, body.into()),
            Some(status) => self.on_status(name, status, &body),
            None => self.on_failure(name, failure()),
        }
    }

    fn on_accepted(&mut self, name: Name, effect: Effect, body: Bytes) {
        self.done(name, Outcome::Accepted { body });
        if let Effect::Adopt(profile) = effect {
            self.config.profile = *profile;
            // What was said after it still stands; a role that has gone is no longer suppressed.
            for waiting in &self.lanes.ordered {
                let _ = match &waiting.call.effect {
                    Effect::Suppress(roles) => self.config.profile.suppress(true, roles),
                    Effect::Revive(roles) => self.config.profile.suppress(false, roles),
                    _ => Ok(()),
                };
            }
        }
        if name.kind == CallKind::Teardown {
            self.stop(true);
        }
    }

    fn on_status(&mut self, name: Name, status: u16, body: &[u8]) {
        let Name { id, kind, .. } = name;
        let text = readable(body);
        let over = |text| Verdict::Over(DisconnectReason::CallStatus { id, kind, status, text });
        let (outcome, verdict) = match status {
            307 | 308 => (Outcome::NotSent, Verdict::Over(DisconnectReason::LeadershipLost)),
            404 | 503 => (Outcome::NotSent, over(text)),
            500..=599 if status != 501 => (Outcome::Unknown, over(text)),
            401 => (Outcome::Rejected { status, text: text.clone() }, Verdict::Unauthorized(text)),
            // Only a new subscription can tell whether the framework is still there.
            _ if kind == CallKind::Teardown => (Outcome::Rejected { status, text: text.clone() }, over(text)),
            _ => (Outcome::Rejected { status, text }, Verdict::Suspect),
        };
        self.done(name, outcome);
        self.judge(verdict);
    }

    fn on_failure(&mut self, name: Name, failure: Failure) {
        let Name { id, kind, .. } = name;
        let sent = failure.sent;
        let lost = DisconnectReason::CallLost { id, kind, failure };
        let (outcome, verdict) = match (sent, kind.lane()) {
            (Sent::No, _) if kind == CallKind::Teardown => (Outcome::NotSent, Verdict::Over(lost)),
            (Sent::No, _) => (Outcome::NotSent, Verdict::Suspect),
            // The agent repeats the update.
            (Sent::Maybe, _) if planted!(SessionKept) => (Outcome::Unknown, Verdict::Suspect),
            (Sent::Maybe, Lane::Acks) => (Outcome::Unknown, Verdict::Suspect),
            // It may still arrive, unless its stream id has become worthless.
            (Sent::Maybe, _) => (Outcome::Unknown, Verdict::Over(lost)),
        };
        self.done(name, outcome);
        self.judge(verdict);
    }

    fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Suspect => {
                if let State::Session(s) = &mut self.state {
                    s.suspect.get_or_insert(self.now);
                }
            }
            Verdict::Unauthorized(text) => self.on_unauthorized(text),
            Verdict::Over(reason) => self.session_over(reason),
        }
    }

    fn done(&mut self, name: Name, outcome: Outcome) {
        let Name { id, kind, reported } = name;
        debug!(%id, %kind, ?outcome, "call done");
        if reported {
            self.outputs.push_back(Output::Event(Event::CallDone { id, kind, outcome }));
        }
    }

    /// The oldest call has had no complete answer for too long.
    pub(super) fn on_call_timeout(&mut self) {
        let oldest = self.lanes.flying.iter().min_by_key(|(_, f)| f.sent).map(|(e, f)| (*e, f.name, f.status));
        let Some((exchange, Name { id, kind, .. }, status)) = oldest else { return };
        if status.is_some() {
            // The status says enough.
            self.outputs.push_back(Output::Abort(exchange));
            self.conclude(exchange, || Failure::new(FailureKind::Io, Sent::Maybe, "no answer"));
        } else {
            self.session_over(DisconnectReason::CallTimeout { id, kind });
        }
    }
}
