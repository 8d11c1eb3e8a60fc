//! Calls between command and answer: one at a time, in order.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::book::Uuid;
use super::client::{Client, State};
use super::config::QueueLimits;
use super::error::CallError;
use super::event::{DisconnectReason, Event, FatalReason, LostReason};
use crate::answer::{TEXT_LIMIT, keep, readable};
use crate::log::debug;
use crate::{ExchangeId, Failure, FailureKind, Input, Instant, Lane, Output, Sent, v1};
use v1::executor::call::{self, Type};

/// How long to wait after 503, which an agent says for as long as it waits for its other executors; up to twice that.
const PARKED: Duration = Duration::from_millis(250);
/// So many failures in a row end the subscription.
const STRIKES: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct CallLane {
    waiting: VecDeque<Item>,
    /// The bytes of the messages that wait.
    bytes: usize,
    flying: Option<Flying>,
    /// Nothing is sent before.
    parked: Option<Instant>,
    /// Failures since the last answer.
    strikes: u8,
    /// When the agent last showed that it takes updates.
    progress: Instant,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// It stands in the book.
    Update(Uuid),
    Message(Bytes),
    Heartbeat,
}

#[derive(Debug)]
struct Flying {
    item: Item,
    exchange: ExchangeId,
    sent: Instant,
    status: Option<u16>,
    text: Vec<u8>,
}

impl Flying {
    /// Taken; only the end of the answer is missing.
    const fn is_taken(&self) -> bool {
        matches!(self.status, Some(200 | 202))
    }
}

impl CallLane {
    /// Whether a message of this size may wait.
    pub(super) fn has_room(&self, size: usize, limits: &QueueLimits) -> Result<(), CallError> {
        if size > limits.bytes {
            return Err(CallError::TooLarge { size, limit: limits.bytes });
        }
        let waiting = self.waiting.iter().filter(|item| matches!(item, Item::Message(_))).count();
        // One under way may have to wait again.
        let flying = self.flying.as_ref().map_or(0, |flying| bytes_of(&flying.item));
        if waiting >= limits.calls || self.bytes + flying + size > limits.bytes {
            return Err(CallError::QueueFull { waiting });
        }
        Ok(())
    }

    pub(super) fn push(&mut self, item: Item) {
        self.bytes += bytes_of(&item);
        self.waiting.push_back(item);
    }

    fn push_front(&mut self, item: Item) {
        self.bytes += bytes_of(&item);
        self.waiting.push_front(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.waiting.pop_front()?;
        self.bytes -= bytes_of(&item);
        Some(item)
    }

    /// One is enough.
    pub(super) fn heartbeat(&mut self) {
        if !self.waiting.contains(&Item::Heartbeat) {
            self.push(Item::Heartbeat);
        }
    }

    /// SUBSCRIBE carries them.
    pub(super) fn forget_updates(&mut self) {
        self.waiting.retain(|item| !matches!(item, Item::Update(_)));
        self.parked = None;
        self.strikes = 0;
    }

    /// These updates before all else, but for one under way.
    pub(super) fn requeue(&mut self, updates: &[Uuid]) {
        self.waiting.retain(|item| !matches!(item, Item::Update(_)));
        for item in updates.iter().rev().copied().map(Item::Update) {
            if self.flying.as_ref().is_none_or(|flying| flying.item != item) {
                self.push_front(item);
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flying.as_ref().is_none_or(Flying::is_taken)
    }

    pub(super) fn progress(&mut self, now: Instant) {
        self.progress = now;
    }

    pub(super) const fn last_progress(&self) -> Instant {
        self.progress
    }

    pub(super) fn is_flying(&self, exchange: ExchangeId) -> bool {
        self.flying.as_ref().is_some_and(|flying| flying.exchange == exchange)
    }

    /// When the call under way was sent.
    pub(super) fn sent(&self) -> Option<Instant> {
        self.flying.as_ref().map(|flying| flying.sent)
    }

    /// When the next call may go, if it has to wait for that alone.
    pub(super) fn parked(&self) -> Option<Instant> {
        self.parked.filter(|_| !self.waiting.is_empty() && self.flying.is_none())
    }

    /// The messages that wait.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Bytes> {
        self.bytes = 0;
        core::mem::take(&mut self.waiting).into_iter().filter_map(|item| match item {
            Item::Message(data) => Some(data),
            Item::Update(_) | Item::Heartbeat => None,
        })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(item: &Item) -> usize {
    match item {
        Item::Message(data) => data.len(),
        Item::Update(_) | Item::Heartbeat => 0,
    }
}

impl Client {
    /// Sends what may go now.
    pub(super) fn dispatch(&mut self) {
        let open = match &self.state {
            State::Session(s) => s.is_subscribed() && s.end.is_none(),
            State::Adrift => true,
            State::Idle | State::Waiting { .. } | State::Ended => false,
        };
        if !open || self.lane.parked.is_some_and(|until| until > self.now) {
            return;
        }
        self.lane.parked = None;
        while self.lane.flying.is_none() {
            let Some(item) = self.lane.pop() else { return };
            let call = match &item {
                Item::Update(uuid) => {
                    // It may have been acknowledged meanwhile.
                    let Some(update) = self.book.update(uuid) else { continue };
                    let status = (*update.status).clone();
                    v1::executor::Call { update: Some(call::Update { status }), ..self.call(Type::Update) }
                }
                Item::Message(data) => {
                    let message = call::Message { data: data.clone() };
                    v1::executor::Call { message: Some(message), ..self.call(Type::Message) }
                }
                Item::Heartbeat => self.call(Type::Heartbeat),
            };
            let exchange = self.request(Lane::Ordered, &call);
            let sent = self.now;
            self.lane.flying = Some(Flying { item, exchange, sent, status: None, text: Vec::new() });
        }
    }

    /// An input for the call under way.
    pub(super) fn on_call_input(&mut self, input: Input<'_>) {
        let Some(flying) = &mut self.lane.flying else { return };
        match input {
            Input::Head { head, .. } if flying.status.is_none() => {
                flying.status = Some(head.status());
                if flying.is_taken() {
                    self.lane.strikes = 0;
                    self.lane.progress = self.now;
                }
            }
            Input::Body { data, .. } => keep(&mut flying.text, data, TEXT_LIMIT),
            Input::End { .. } => {
                self.conclude(Failure::new(FailureKind::Http, Sent::Maybe, "an end without an answer"));
            }
            Input::Failed { failure, .. } => self.conclude(failure),
            Input::Head { .. }
            | Input::Paused { .. }
            | Input::Timeout
            | Input::Persisted { .. }
            | Input::PersistFailed { .. }
            | Input::Wall(_)
            | Input::Leader(_) => {}
        }
    }

    /// The call has had no complete answer for too long.
    pub(super) fn on_call_timeout(&mut self) {
        if let Some(flying) = &self.lane.flying {
            self.outputs.push_back(Output::Abort(flying.exchange));
        }
        self.conclude(Failure::new(FailureKind::Io, Sent::Maybe, "no answer"));
    }

    /// The call's exchange has ended, with the failure if it has no status.
    fn conclude(&mut self, failure: Failure) {
        let Some(Flying { item, status, text, .. }) = self.lane.flying.take() else { return };
        match status {
            Some(200 | 202) => {}
            Some(status) => self.on_status(item, status, readable(&text)),
            None => self.on_failure(item, failure),
        }
    }

    fn on_status(&mut self, item: Item, status: u16, text: String) {
        debug!(?item, status, %text, "call refused");
        let adrift = matches!(self.state, State::Adrift);
        match status {
            // The whole of the agent's recovery lasts two seconds and more.
            503 => {
                self.lane.strikes = 0;
                self.park(item);
            }
            401 => {
                self.lose(item, LostReason::Rejected { status, text: text.clone() }, false);
                self.refused(FatalReason::Unauthorized { text });
            }
            403 | 404 if !adrift => {
                self.lose(item, LostReason::Rejected { status, text: text.clone() }, false);
                self.session_over(DisconnectReason::CallStatus { status, text });
            }
            404 | 408 | 425 | 429 | 500 | 502..=599 => {
                self.on_failure(item, Failure::new(FailureKind::Http, Sent::Maybe, format!("{status}: {text}")));
            }
            _ => {
                self.lane.strikes = 0;
                self.lose(item, LostReason::Rejected { status, text }, true);
            }
        }
    }

    fn on_failure(&mut self, item: Item, failure: Failure) {
        debug!(?item, %failure, "call failed");
        self.lane.strikes += 1;
        let out = self.lane.strikes >= STRIKES;
        // An update sent twice is known by its uuid; a message would arrive twice.
        let again = !out && (failure.sent == Sent::No || !matches!(item, Item::Message(_)));
        if again {
            self.park(item);
        } else {
            self.lose(item, LostReason::Failed(failure.clone()), false);
        }
        if out {
            self.lane.strikes = 0;
            if !matches!(self.state, State::Adrift) {
                self.session_over(DisconnectReason::CallsFail(failure));
            }
        }
    }

    /// Sends it again, after a while.
    fn park(&mut self, item: Item) {
        self.lane.push_front(item);
        self.lane.parked = Some(self.now + PARKED + self.rng.below(PARKED));
    }

    /// Won't be sent again by the lane. An update stays in the book for the next SUBSCRIBE unless it is refused.
    fn lose(&mut self, item: Item, reason: LostReason, refused: bool) {
        match item {
            Item::Update(uuid) if refused => {
                if let Some(status) = self.book.reject(&uuid) {
                    self.tell(Event::UpdateLost { status, reason });
                }
            }
            Item::Message(data) => self.tell(Event::MessageLost { data, reason }),
            Item::Update(_) | Item::Heartbeat => {}
        }
    }

    /// Gives the call under way up.
    pub(super) fn close_call(&mut self) {
        let Some(flying) = self.lane.flying.take() else { return };
        self.outputs.push_back(Output::Abort(flying.exchange));
        if !flying.is_taken() {
            let failure = Failure::new(FailureKind::Io, Sent::Maybe, "the subscription has ended");
            self.lose(flying.item, LostReason::Failed(failure), false);
        }
    }
}
