//! One SUBSCRIBE and its answer, from the request to the end of the stream.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::client::{Client, State};
use super::event::{Cause, DisconnectReason, Event, FatalReason, Subscribed};
use crate::answer::{StreamEnd, TEXT_LIMIT, is_media_type, is_transient, keep, readable};
use crate::log::info;
use crate::recordio::Decoder;
use crate::wire;
use crate::{ExchangeId, Head, Input, Instant, Lane, Output, v1};
use v1::executor::call::Type as Call;
use v1::executor::event::Type;
use v1::framework_info::capability;

/// How long SUBSCRIBE may be without an event. An agent that starts answers within a second, and a lost attempt must
/// not use up the time for which it waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) exchange: ExchangeId,
    pub(super) phase: Phase,
    /// When SUBSCRIBE was sent.
    pub(super) sent: Instant,
    decoder: Decoder,
    pub(super) end: Option<StreamEnd>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// No answer so far.
    Connecting,
    /// An answer that isn't a stream; its text is still coming.
    Refused {
        status: u16,
        text: Vec<u8>,
    },
    /// A stream, but no event so far.
    Subscribing,
    Subscribed {
        since: Instant,
    },
}

impl Subscription {
    pub(super) const fn is_subscribed(&self) -> bool {
        matches!(self.phase, Phase::Subscribed { .. })
    }

    /// When SUBSCRIBE will have been without an event for too long.
    pub(super) fn patience(&self) -> Option<Instant> {
        (!self.is_subscribed() && self.end.is_none()).then(|| self.sent + PATIENCE)
    }

    fn end_reason(&self) -> DisconnectReason {
        match &self.end {
            Some(StreamEnd::Failed(failure)) => DisconnectReason::Failed(failure.clone()),
            _ => self.decoder.finish().err().map_or(DisconnectReason::Closed, DisconnectReason::Framing),
        }
    }
}

impl Client {
    /// Sends SUBSCRIBE, with all that is unacknowledged: what waits in the lane needn't be sent besides.
    pub(super) fn subscribe(&mut self) {
        info!(agent = %self.config.agent, executor = %self.config.executor_id.value, "subscribing");
        self.lane.forget_updates();
        let call = v1::executor::Call { subscribe: Some(self.book.subscribe()), ..self.call(Call::Subscribe) };
        let exchange = self.request(Lane::Subscription, &call);
        self.state = State::Session(Subscription {
            exchange,
            phase: Phase::Connecting,
            sent: self.now,
            decoder: Decoder::new(self.config.record_limit),
            end: None,
        });
    }

    /// An input for the exchange of the subscription.
    pub(super) fn on_stream_input(&mut self, input: Input<'_>) {
        let State::Session(s) = &mut self.state else { return };
        if s.end.is_some() {
            return;
        }
        match input {
            Input::Head { head, .. } if matches!(s.phase, Phase::Connecting) => self.on_head(&head),
            Input::Body { data, .. } => match &mut s.phase {
                Phase::Connecting => {}
                Phase::Refused { text, .. } => {
                    keep(text, data, TEXT_LIMIT);
                    if text.len() >= TEXT_LIMIT {
                        self.on_refusal();
                    }
                }
                Phase::Subscribing | Phase::Subscribed { .. } => s.decoder.push(data),
            },
            Input::End { .. } => self.on_stream_end(StreamEnd::Orderly),
            Input::Failed { failure, .. } => self.on_stream_end(StreamEnd::Failed(failure)),
            Input::Head { .. }
            | Input::Paused { .. }
            | Input::Timeout
            | Input::Persisted { .. }
            | Input::PersistFailed { .. }
            | Input::Wall(_)
            | Input::Leader(_) => {}
        }
    }

    fn on_head(&mut self, head: &Head) {
        let State::Session(s) = &mut self.state else { return };
        match head.status() {
            200 if is_media_type(head.content_type.as_deref(), self.config.codec.media_type()) => {
                s.phase = Phase::Subscribing;
            }
            200 => self.session_over(DisconnectReason::ContentType(head.content_type.clone())),
            status => s.phase = Phase::Refused { status, text: Vec::new() },
        }
    }

    fn on_stream_end(&mut self, end: StreamEnd) {
        let State::Session(s) = &mut self.state else { return };
        s.end = Some(end);
        match &s.phase {
            // Its outcome follows when the records before it have been dealt with.
            Phase::Subscribing | Phase::Subscribed { .. } => {}
            Phase::Refused { .. } => self.on_refusal(),
            Phase::Connecting => {
                let reason = s.end_reason();
                self.session_over(reason);
            }
        }
    }

    /// An answer other than a stream is complete, or as complete as it will be.
    fn on_refusal(&mut self) {
        let State::Session(Subscription { phase: Phase::Refused { status, text }, .. }) = &self.state else { return };
        let (status, text) = (*status, readable(text));
        match status {
            401 => self.refused(FatalReason::Unauthorized { text }),
            _ if is_transient(status) => self.session_over(DisconnectReason::Status { status, text }),
            _ => self.refused(FatalReason::Refused { status, text }),
        }
    }

    /// The agent has said no, for good.
    pub(super) fn refused(&mut self, reason: FatalReason) {
        self.set_adrift();
        self.shut_down(Cause::Fatal(reason));
    }

    /// SUBSCRIBE has been without an event for too long.
    pub(super) fn on_patience(&mut self) {
        match &self.state {
            // The status alone says enough.
            State::Session(Subscription { phase: Phase::Refused { .. }, .. }) => self.on_refusal(),
            _ => self.session_over(DisconnectReason::NoAnswer { after: PATIENCE }),
        }
    }

    /// Deals with the next record, or with the end of the stream; false if there is neither.
    pub(super) fn on_next_record(&mut self) -> bool {
        let State::Session(s) = &mut self.state else { return false };
        if !matches!(s.phase, Phase::Subscribing | Phase::Subscribed { .. }) {
            return false;
        }
        match s.decoder.next_record() {
            Ok(Some(record)) => self.on_record(record),
            Err(error) => self.session_over(error.into()),
            Ok(None) if s.end.is_none() => return false,
            Ok(None) => {
                let reason = s.end_reason();
                self.session_over(reason);
            }
        }
        true
    }

    fn on_record(&mut self, record: Bytes) {
        let State::Session(s) = &self.state else { return };
        let subscribed = s.is_subscribed();
        let read = self.config.codec.read_event::<v1::executor::Event>(&record);
        match read.and_then(|message| wire::executor_event(&message)) {
            Err(path) => self.tell(Event::Malformed { path, record }),
            Ok(None) => self.tell(Event::Unknown { record }),
            Ok(Some((event, Type::Error))) => {
                let text = event.error.map(|error| error.message).unwrap_or_default();
                return self.session_over(DisconnectReason::Error(text));
            }
            Ok(Some((_, Type::Shutdown))) => {
                // As the first event it is the last one, too.
                if !subscribed {
                    self.set_adrift();
                }
                return self.shut_down(Cause::Shutdown);
            }
            Ok(Some((event, Type::Subscribed))) if !subscribed => {
                return self.on_subscribed(event.subscribed.unwrap_or_default());
            }
            Ok(Some(_)) if !subscribed => {}
            Ok(Some((event, kind))) => self.on_event(event, kind, record),
        }
        if !subscribed {
            self.session_over(DisconnectReason::FirstEvent);
        }
    }

    fn on_subscribed(&mut self, event: Box<v1::executor::event::Subscribed>) {
        let State::Session(s) = &mut self.state else { return };
        s.phase = Phase::Subscribed { since: self.now };
        info!(agent = %self.config.agent, "subscribed");
        self.lost_since = None;
        self.lane.progress(self.now);
        let v1::executor::event::Subscribed { executor_info, framework_info, agent_info, container_id } = *event;
        let of = |capability: &v1::framework_info::Capability| capability.r#type();
        self.killing = framework_info.capabilities.iter().map(of).any(|c| c == capability::Type::TaskKillingState);
        if let Some(grace) = &executor_info.shutdown_grace_period {
            self.grace = Duration::from_nanos(grace.nanoseconds.max(0).unsigned_abs());
        }
        let first = !core::mem::replace(&mut self.ever_subscribed, true);
        let subscribed = Subscribed { executor_info, framework_info, agent_info, container_id, first };
        self.tell(Event::Subscribed(Box::new(subscribed)));
    }

    /// The events of a subscription that stands.
    fn on_event(&mut self, event: v1::executor::Event, kind: Type, record: Bytes) {
        let malformed = |path: &str| Event::Malformed { path: path.into(), record: record.clone() };
        match kind {
            Type::Launch => {
                let task = event.launch.unwrap_or_default().task;
                let new = self.book.launch(core::slice::from_ref(&task));
                self.tell(if new { Event::Launch(Box::new(task)) } else { malformed(LAUNCHED) });
            }
            Type::LaunchGroup => {
                let group = event.launch_group.unwrap_or_default().task_group;
                let new = self.book.launch(&group.tasks);
                self.tell(if new { Event::LaunchGroup(group) } else { malformed(LAUNCHED) });
            }
            Type::Kill => {
                let kill = event.kill.unwrap_or_default();
                if let Some(policy) = self.book.policy(&kill.task_id.value) {
                    self.tell(Event::Kill { task_id: kill.task_id, policy: kill.kill_policy.or(policy) });
                }
            }
            Type::Acknowledged => {
                let acknowledged = event.acknowledged.unwrap_or_default();
                if let Some(state) = self.book.acknowledge(&acknowledged.task_id.value, &acknowledged.uuid) {
                    self.lane.progress(self.now);
                    self.tell(Event::Acknowledged { task_id: acknowledged.task_id, state });
                }
            }
            Type::Message => self.tell(Event::Message(event.message.unwrap_or_default().data)),
            Type::Heartbeat => {
                // An agent that sends heartbeats takes them, too: one for each.
                self.lane.heartbeat();
                self.tell(Event::Heartbeat);
            }
            // A second SUBSCRIBED on one stream; the others are dealt with before.
            Type::Subscribed | Type::Unknown | Type::Error | Type::Shutdown => {
                self.tell(Event::Malformed { path: String::from("subscribed: once more"), record });
            }
        }
    }

    /// Ends the subscription, or the attempt at one, and plans what comes next.
    pub(super) fn session_over(&mut self, reason: DisconnectReason) {
        info!(%reason, "session over");
        let lost_for_good = !self.config.checkpoint && self.ever_subscribed;
        let ending = self.shutdown.is_some();
        let retry_at = if ending || lost_for_good {
            self.set_adrift();
            None
        } else {
            self.close_stream();
            self.close_call();
            self.lost_since.get_or_insert(self.now);
            // Never exponential, and half of what is allowed: that is as long as a restarted agent waits, and an attempt
            // that comes a moment too early must leave time for another one.
            let until = self.now + self.rng.below(self.config.backoff_max / 2);
            self.state = State::Waiting { until };
            Some(until)
        };
        self.tell(Event::Disconnected { reason, retry_at });
        if lost_for_good && !ending {
            self.shut_down(Cause::NoCheckpoint);
        }
    }

    /// Ends the subscription's exchange.
    pub(super) fn close_stream(&mut self) {
        if let State::Session(s) = &self.state {
            if s.end.is_none() {
                self.outputs.push_back(Output::Abort(s.exchange));
            }
        }
    }

    /// There is no way back to a subscription; what is left to say is said without one, which the agent takes as long
    /// as it remembers the last one.
    pub(super) fn set_adrift(&mut self) {
        if !matches!(self.state, State::Adrift | State::Ended) {
            self.close_stream();
            self.state = State::Adrift;
            let unacknowledged: Vec<_> = self.book.updates().map(|update| update.uuid).collect();
            self.lane.requeue(&unacknowledged);
        }
    }
}

const LAUNCHED: &str = "task_id: launched before";
