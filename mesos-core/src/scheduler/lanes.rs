//! Calls between command and answer: what waits, what is under way, and what answers mean.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::client::{Client, State};
use super::config::QueueLimits;
use super::error::CallError;
use super::event::{DisconnectReason, Event, Outcome};
use super::outgoing::{self, CallId, CallKind, Effect, Outgoing};
use super::subscription::{Phase, TEXT_LIMIT, keep, readable};
use crate::log::debug;
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
    /// `None` for the client's own calls.
    id: Option<CallId>,
    call: Outgoing,
}

#[derive(Debug)]
struct Flying {
    id: Option<CallId>,
    kind: CallKind,
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

    fn push(&mut self, id: Option<CallId>, call: Outgoing) {
        self.bytes += call.encoded.len();
        match call.kind.lane() {
            Lane::Acks => self.acks.push_back(Waiting { id, call }),
            Lane::Ordered | Lane::Subscription => self.ordered.push_back(Waiting { id, call }),
        }
    }

    /// The next call that may go.
    fn next(&mut self) -> Option<Waiting> {
        let flying = |lane| self.flying.values().filter(|f| f.kind.lane() == lane).count();
        let next = if flying(Lane::Ordered) == 0 { self.ordered.pop_front() } else { None };
        let next = match next {
            None if flying(Lane::Acks) < ACKS_AT_ONCE => self.acks.pop_front(),
            next => next,
        }?;
        self.bytes -= next.call.encoded.len();
        Some(next)
    }

    pub(super) fn is_flying(&self, kind: CallKind) -> bool {
        self.flying.values().any(|f| f.kind == kind)
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
        let flying = lanes.flying.into_values().filter(|f| !f.done).map(|f| (f.id, f.kind, Outcome::Unknown));
        let waiting = lanes.ordered.into_iter().chain(lanes.acks).map(|w| {
            let carried = matches!(w.call.effect, Effect::Suppress(_) | Effect::Revive(_));
            (w.id, w.call.kind, if carried { Outcome::Carried } else { Outcome::NotSent })
        });
        flying.chain(waiting).filter_map(|(id, kind, outcome)| id.map(|id| (id, kind, outcome))).collect()
    }
}

/// What the fate of a call means for its session.
enum Verdict {
    Suspect,
    Unauthorized(alloc::string::String),
    Over(DisconnectReason),
}

impl Client {
    pub(super) fn enqueue(&mut self, id: CallId, call: Outgoing) {
        debug!(%id, kind = %call.kind, "call");
        self.lanes.push(Some(id), call);
    }

    pub(super) fn enqueue_unreported(&mut self, call: Outgoing) {
        self.lanes.push(None, call);
    }

    /// Sends what may go now.
    pub(super) fn dispatch(&mut self) {
        loop {
            let State::Session(s) = &self.state else { return };
            let (Phase::Subscribed { stream_id, .. }, None) = (&s.phase, &s.end) else { return };
            let Some(framework_id) = &self.config.profile.info.id else { return };
            let Some(Waiting { id, call }) = self.lanes.next() else { return };
            let Outgoing { kind, encoded, effect } = call;
            let body = outgoing::complete(encoded, framework_id);
            let (endpoint, path, stream_id, trusted) =
                (s.endpoint.clone(), s.path.clone(), stream_id.clone(), s.trusted);
            let exchange = self.new_exchange();
            self.request(exchange, kind.lane(), &endpoint, &path, trusted, Some(&stream_id), body);
            let flying = Flying { id, kind, effect, sent: self.now, status: None, body: Vec::new(), done: false };
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
                if matches!(head.status(), 200 | 202) && flying.kind != CallKind::ReconcileOperations {
                    flying.done = true;
                    let (id, kind) = (flying.id, flying.kind);
                    let effect = core::mem::replace(&mut flying.effect, Effect::None);
                    self.on_accepted(id, kind, effect, Bytes::new());
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
            Input::Head { .. } | Input::Paused { .. } | Input::Timeout => {}
        }
    }

    /// A call's exchange has ended.
    fn conclude(&mut self, exchange: ExchangeId, failure: impl FnOnce() -> Failure) {
        let Some(flying) = self.lanes.flying.remove(&exchange) else { return };
        let Flying { id, kind, effect, status, body, done, .. } = flying;
        if done {
            return;
        }
        match status {
            Some(200 | 202) => self.on_accepted(id, kind, effect, body.into()),
            Some(status) => self.on_status(id, kind, status, &body),
            None => self.on_failure(id, kind, failure()),
        }
    }

    fn on_accepted(&mut self, id: Option<CallId>, kind: CallKind, effect: Effect, body: Bytes) {
        self.done(id, kind, Outcome::Accepted { body });
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
        if kind == CallKind::Teardown {
            self.stop(true);
        }
    }

    fn on_status(&mut self, id: Option<CallId>, kind: CallKind, status: u16, body: &[u8]) {
        let text = readable(body);
        let over = |id: Option<CallId>, text| {
            Verdict::Over(DisconnectReason::CallStatus { id: id.unwrap_or(CallId(0)), kind, status, text })
        };
        let (outcome, verdict) = match status {
            307 | 308 => (Outcome::NotSent, Verdict::Over(DisconnectReason::LeadershipLost)),
            404 | 503 => (Outcome::NotSent, over(id, text)),
            500..=599 if status != 501 => (Outcome::Unknown, over(id, text)),
            401 => (Outcome::Rejected { status, text: text.clone() }, Verdict::Unauthorized(text)),
            // Only a new subscription can tell whether the framework is still there.
            _ if kind == CallKind::Teardown => (Outcome::Rejected { status, text: text.clone() }, over(id, text)),
            _ => (Outcome::Rejected { status, text }, Verdict::Suspect),
        };
        self.done(id, kind, outcome);
        self.judge(verdict);
    }

    fn on_failure(&mut self, id: Option<CallId>, kind: CallKind, failure: Failure) {
        let sent = failure.sent;
        let lost = DisconnectReason::CallLost { id: id.unwrap_or(CallId(0)), kind, failure };
        let (outcome, verdict) = match (sent, kind.lane()) {
            (Sent::No, _) if kind == CallKind::Teardown => (Outcome::NotSent, Verdict::Over(lost)),
            (Sent::No, _) => (Outcome::NotSent, Verdict::Suspect),
            // The agent repeats the update.
            (Sent::Maybe, Lane::Acks) => (Outcome::Unknown, Verdict::Suspect),
            // It may still arrive, unless its stream id has become worthless.
            (Sent::Maybe, _) => (Outcome::Unknown, Verdict::Over(lost)),
        };
        self.done(id, kind, outcome);
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

    fn done(&mut self, id: Option<CallId>, kind: CallKind, outcome: Outcome) {
        debug!(?id, %kind, ?outcome, "call done");
        if let Some(id) = id {
            self.outputs.push_back(Output::Event(Event::CallDone { id, kind, outcome }));
        }
    }

    /// The oldest call has had no complete answer for too long.
    pub(super) fn on_call_timeout(&mut self) {
        let oldest = self.lanes.flying.iter().min_by_key(|(_, f)| f.sent).map(|(e, f)| (*e, f.id, f.kind, f.status));
        let Some((exchange, id, kind, status)) = oldest else { return };
        if status.is_some() {
            // The status says enough.
            self.outputs.push_back(Output::Abort(exchange));
            self.conclude(exchange, || Failure::new(FailureKind::Io, Sent::Maybe, "no answer"));
        } else {
            self.session_over(DisconnectReason::CallTimeout { id: id.unwrap_or(CallId(0)), kind });
        }
    }
}
