//! One SUBSCRIBE and its answer, from the request to the end of the stream.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::client::{Client, Ending, Redirect, State, Waiting};
use super::event::{DisconnectReason, Event, FatalReason, Subscribed};
use super::outgoing::{CallKind, Outgoing};
use crate::answer::{StreamEnd, TEXT_LIMIT, Target, is_media_type, is_transient, keep, readable};
use crate::location::{self, RedirectError};
use crate::log::{debug, info};
use crate::planted::planted;
use crate::recordio::Decoder;
use crate::wire::{self, BadOffer, Parsed};
use crate::{Endpoint, ExchangeId, Head, Input, Instant, Lane, Output, v1};
use v1::scheduler::event::Type;

/// Where the API is; a redirect may name another path.
const PATH: &str = "/api/v1/scheduler";
/// A longer stream id isn't one; Mesos promises 128 bytes.
const STREAM_ID_LIMIT: usize = 1024;
/// Many frameworks are sent to a new leader in the same moment.
const NEW_MASTER_DELAY: Duration = Duration::from_millis(500);
/// Between redirects in a row, so that two masters that name each other aren't flooded.
const HOP_DELAY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) exchange: ExchangeId,
    pub(super) endpoint: Endpoint,
    pub(super) path: String,
    hops: u8,
    /// Who was detected as the leader when it began.
    leader: Option<Endpoint>,
    /// Whether this master may see the credentials.
    pub(super) trusted: bool,
    pub(super) phase: Phase,
    /// When the stream last showed life; at first, when the request was made.
    pub(super) last_byte: Instant,
    /// The driver doesn't read: silence proves nothing.
    paused: bool,
    /// Since a call was refused; the next byte clears it.
    pub(super) suspect: Option<Instant>,
    decoder: Decoder,
    /// The stream has ended, but records before its end may still wait in the decoder.
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
    Subscribing {
        stream_id: String,
    },
    Subscribed {
        stream_id: String,
        since: Instant,
        interval: Option<Duration>,
    },
}

impl Subscription {
    /// What the master calls its stream.
    pub(super) fn stream_id(&self) -> Option<&str> {
        match &self.phase {
            Phase::Subscribing { stream_id } | Phase::Subscribed { stream_id, .. } => Some(stream_id),
            Phase::Connecting | Phase::Refused { .. } => None,
        }
    }

    /// When silence will have lasted too long.
    pub(super) fn silence(&self, missed: u32, before: Duration) -> Option<Instant> {
        if self.paused || self.end.is_some() || planted!(SilenceIgnored) {
            return None;
        }
        match &self.phase {
            Phase::Connecting | Phase::Refused { .. } | Phase::Subscribing { .. } => Some(self.last_byte + before),
            Phase::Subscribed { interval, .. } => interval.map(|i| self.last_byte + i.saturating_mul(missed)),
        }
    }

    /// When silence since a refused call will have lasted too long: an interval, and a third for its lateness.
    pub(super) fn suspicion(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Subscribed { interval: Some(interval), .. } if !self.paused && self.end.is_none() => {
                self.suspect.map(|since| since + interval.saturating_mul(4) / 3)
            }
            _ => None,
        }
    }
}

impl Client {
    /// Sends SUBSCRIBE to where a redirect led, to the leader, or to the next master.
    pub(super) fn subscribe(&mut self, redirect: Option<Redirect>) {
        let redirect = redirect.or_else(|| {
            let endpoint = self.leader.as_ref().or_else(|| self.config.masters.get(self.master))?.clone();
            Some(Redirect { endpoint, path: PATH.to_owned(), hops: 0 })
        });
        let Some(Redirect { endpoint, path, hops }) = redirect else {
            self.state = State::Waiting(Waiting { until: None, leader: true, redirect: None });
            return;
        };
        info!(master = %endpoint, framework = ?self.config.profile.info.id, "subscribing");
        let exchange = self.new_exchange();
        let known = self.leader.as_ref() == Some(&endpoint) || self.config.masters.contains(&endpoint);
        let trusted = self.config.trust_redirects || known;
        let body = self.config.profile.subscribe().encode_to_vec();
        self.request(exchange, Lane::Subscription, &endpoint, &path, trusted, None, body);
        self.state = State::Session(Subscription {
            exchange,
            endpoint,
            path,
            hops,
            leader: self.leader.clone(),
            trusted,
            phase: Phase::Connecting,
            last_byte: self.now,
            paused: false,
            suspect: None,
            decoder: Decoder::new(self.config.record_limit),
            end: None,
        });
    }

    /// When to ask a master that has only just begun to lead.
    pub(super) fn soon(&mut self) -> Instant {
        self.now + self.rng.below(NEW_MASTER_DELAY)
    }

    /// Another master leads, or none is known to.
    pub(super) fn on_leader(&mut self, leader: Option<Endpoint>) {
        let former = core::mem::replace(&mut self.leader, leader);
        let (Some(leader), true) = (&self.leader, self.leader != former) else { return };
        info!(%leader, "a leader is detected");
        match &self.state {
            State::Ended => {}
            State::Idle => self.subscribe(None),
            // A leader that comes again, or that a redirect has led to before.
            State::Session(s) if s.endpoint == *leader || s.leader.as_ref() == Some(leader) => {}
            State::Session(_) => {
                let reason = DisconnectReason::NewLeader(leader.clone());
                self.session_over(reason);
            }
            // It isn't the master that credentials are waited for.
            State::Waiting(Waiting { until: None, leader: false, .. }) => {}
            State::Waiting(_) => {
                let until = Some(self.soon());
                self.state = State::Waiting(Waiting { until, leader: false, redirect: None });
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    pub(super) fn request(
        &mut self,
        id: ExchangeId,
        lane: Lane,
        endpoint: &Endpoint,
        path: &str,
        trusted: bool,
        stream_id: Option<&str>,
        call: Vec<u8>,
    ) {
        let authorization = self.config.authorization.as_ref().filter(|_| trusted);
        let body = self.config.codec.write_call::<v1::scheduler::Call>(call);
        let target = Target { endpoint, path, codec: self.config.codec, authorization };
        self.outputs.push_back(Output::Request(target.request(id, lane, stream_id, body)));
    }

    /// An input for the exchange of the subscription.
    pub(super) fn on_stream_input(&mut self, input: Input<'_>) {
        let State::Session(s) = &mut self.state else { return };
        if s.end.is_some() {
            return;
        }
        match input {
            Input::Head { head, .. } => {
                s.last_byte = self.now;
                if matches!(s.phase, Phase::Connecting) {
                    self.on_head(&head);
                }
            }
            Input::Body { data, .. } => {
                s.last_byte = self.now;
                s.paused = false;
                s.suspect = None;
                match &mut s.phase {
                    Phase::Connecting => {}
                    Phase::Refused { text, .. } => {
                        keep(text, data, TEXT_LIMIT);
                        if text.len() >= TEXT_LIMIT {
                            self.on_refusal();
                        }
                    }
                    Phase::Subscribing { .. } | Phase::Subscribed { .. } => s.decoder.push(data),
                }
            }
            Input::End { .. } => self.on_stream_end(StreamEnd::Orderly),
            Input::Failed { failure, .. } => self.on_stream_end(StreamEnd::Failed(failure)),
            Input::Paused { .. } => s.paused = true,
            Input::Timeout
            | Input::Persisted { .. }
            | Input::PersistFailed { .. }
            | Input::Wall(_)
            | Input::Leader(_) => {}
        }
    }

    fn on_head(&mut self, head: &Head) {
        let State::Session(s) = &mut self.state else { return };
        match head.status() {
            200 => {
                if !is_media_type(head.content_type.as_deref(), self.config.codec.media_type()) {
                    return self.session_over(DisconnectReason::ContentType(head.content_type.clone()));
                }
                let legal = |id: &&str| {
                    !id.is_empty() && id.len() <= STREAM_ID_LIMIT && id.bytes().all(|b| matches!(b, b' '..=b'~'))
                };
                let Some(stream_id) = head.stream_id.as_deref().filter(legal) else {
                    return self.session_over(DisconnectReason::NoStreamId);
                };
                let stream_id = stream_id.to_owned();
                s.phase = Phase::Subscribing { stream_id: stream_id.clone() };
                let master = s.endpoint.clone();
                self.outputs.push_back(Output::Event(Event::StreamOpened { master, stream_id }));
            }
            307 | 308 => self.on_redirect(head),
            status => s.phase = Phase::Refused { status, text: Vec::new() },
        }
    }

    fn on_redirect(&mut self, head: &Head) {
        let State::Session(s) = &self.state else { return };
        let hops = s.hops.saturating_add(1);
        let target = location::resolve(head.location.as_deref(), &s.endpoint, &s.path).and_then(|target| {
            if hops > self.config.max_redirects {
                return Err(RedirectError::TooMany(self.config.max_redirects));
            }
            Ok(target)
        });
        match target {
            Ok((endpoint, path)) => {
                debug!(from = %s.endpoint, to = %endpoint, "redirected");
                self.outputs.push_back(Output::Abort(s.exchange));
                let fixed = if hops > 1 { HOP_DELAY } else { Duration::ZERO };
                let until = self.now + fixed + self.rng.below(NEW_MASTER_DELAY.saturating_sub(fixed));
                let redirect = Redirect { endpoint, path, hops };
                self.state = State::Waiting(Waiting { until: Some(until), leader: false, redirect: Some(redirect) });
                if self.ending == Ending::Teardown {
                    self.queue_teardown();
                }
            }
            Err(error) => self.session_over(error.into()),
        }
    }

    fn on_stream_end(&mut self, end: StreamEnd) {
        let State::Session(s) = &mut self.state else { return };
        s.paused = false;
        s.end = Some(end);
        match &s.phase {
            // Its outcome follows when the records before it have been dealt with.
            Phase::Subscribing { .. } | Phase::Subscribed { .. } => {}
            Phase::Refused { .. } => self.on_refusal(),
            Phase::Connecting => {
                let reason = end_reason(s);
                self.session_over(reason);
            }
        }
    }

    /// An answer other than a stream is complete, or as complete as it will be.
    fn on_refusal(&mut self) {
        let State::Session(Subscription { phase: Phase::Refused { status, text }, .. }) = &self.state else { return };
        let (status, text) = (*status, readable(text));
        match status {
            401 => self.on_unauthorized(text),
            _ if is_transient(status) && !planted!(BusyIsFatal) => {
                self.session_over(DisconnectReason::Status { status, text })
            }
            _ => self.finish(Event::Fatal(FatalReason::Refused { status, text })),
        }
    }

    /// 401, for SUBSCRIBE or for a call.
    pub(super) fn on_unauthorized(&mut self, text: String) {
        let State::Session(s) = &self.state else { return };
        let withheld = !s.trusted && self.config.authorization.is_some();
        if self.config.renewable && !withheld {
            return self.session_over(DisconnectReason::Unauthorized);
        }
        let master = s.endpoint.clone();
        self.finish(Event::Fatal(FatalReason::Unauthorized { master, text, withheld }));
    }

    pub(super) fn on_silence(&mut self, after: Duration) {
        match &self.state {
            // The status alone says enough.
            State::Session(Subscription { phase: Phase::Refused { .. }, .. }) => self.on_refusal(),
            _ => self.session_over(DisconnectReason::Silent { after }),
        }
    }

    /// Deals with the next record, or with the end of the stream; false if there is neither.
    pub(super) fn on_next_record(&mut self) -> bool {
        let State::Session(s) = &mut self.state else { return false };
        if !matches!(s.phase, Phase::Subscribing { .. } | Phase::Subscribed { .. }) {
            return false;
        }
        match s.decoder.next_record() {
            Ok(Some(record)) => self.on_record(record),
            Err(error) => self.session_over(error.into()),
            Ok(None) if s.end.is_none() => return false,
            // The stream of a framework that is torn down ends before or after the answer to TEARDOWN.
            Ok(None) if self.lanes.is_flying(CallKind::Teardown) => return false,
            Ok(None) => {
                let reason = end_reason(s);
                self.session_over(reason);
            }
        }
        true
    }

    fn on_record(&mut self, record: Bytes) {
        let State::Session(s) = &self.state else { return };
        let subscribed = matches!(s.phase, Phase::Subscribed { .. });
        let parsed = self
            .config
            .codec
            .read_event::<v1::scheduler::Event>(&record)
            .and_then(|message| wire::scheduler_event(&message));
        let event = match parsed {
            Err(path) => Event::Malformed { path, record },
            Ok(Parsed::Unknown) => Event::Unknown { record },
            Ok(Parsed::Other(event, Type::Error)) => {
                return self.on_error(event.error.map(|e| e.message).unwrap_or_default());
            }
            Ok(Parsed::Other(event, Type::Subscribed)) if !subscribed => {
                return self.on_subscribed(event.subscribed.unwrap_or_default());
            }
            Ok(_) if !subscribed => return self.session_over(DisconnectReason::FirstEvent),
            Ok(Parsed::Offers(offers, bad)) => {
                if !bad.is_empty() {
                    self.on_bad_offers(bad, &record);
                    if offers.is_empty() {
                        return;
                    }
                }
                Event::Offers(offers)
            }
            Ok(Parsed::Update(update)) => Event::Update(update),
            Ok(Parsed::Other(event, kind)) => plain(event, kind).unwrap_or(Event::Unknown { record }),
        };
        self.outputs.push_back(Output::Event(event));
        if !subscribed {
            self.session_over(DisconnectReason::FirstEvent);
        }
    }

    /// They are reported, and given back, since nobody else can answer them.
    fn on_bad_offers(&mut self, bad: Vec<BadOffer>, record: &Bytes) {
        let mut ids = Vec::new();
        for BadOffer { path, id } in bad {
            ids.extend(id);
            self.outputs.push_back(Output::Event(Event::Malformed { path, record: record.clone() }));
        }
        if let Ok(decline) = Outgoing::decline(CallKind::Decline, ids, None) {
            if self.ending == Ending::No && self.lanes.has_room(&decline, &self.config.queue).is_ok() {
                self.enqueue_own(decline);
            }
        }
    }

    fn on_subscribed(&mut self, event: v1::scheduler::event::Subscribed) {
        let State::Session(s) = &mut self.state else { return };
        let Phase::Subscribing { stream_id } = &mut s.phase else { return };
        let id = event.framework_id;
        let ours = self.config.profile.info.id.get_or_insert_with(|| id.clone());
        if id.value.is_empty() || *ours != id {
            if ours.value.is_empty() {
                self.config.profile.info.id = None;
            }
            return self.session_over(DisconnectReason::OtherFramework(id.value));
        }
        let interval = event.heartbeat_interval_seconds.and_then(heartbeat_interval);
        s.phase = Phase::Subscribed { stream_id: core::mem::take(stream_id), since: self.now, interval };
        s.last_byte = self.now;
        if let Some(index) = self.config.masters.iter().position(|master| *master == s.endpoint) {
            self.master = index;
        }
        info!(framework = %id.value, master = %s.endpoint, "subscribed");
        let first = !core::mem::replace(&mut self.ever_subscribed, true);
        let master = s.endpoint.clone();
        self.outputs.push_back(Output::Event(Event::Subscribed(Subscribed {
            framework_id: id,
            master,
            master_info: event.master_info,
            heartbeat_interval: interval,
            first,
        })));
        if self.ending == Ending::Teardown {
            self.queue_teardown();
        }
    }

    /// ERROR is always final: subscribing again would fight another instance, or be refused again.
    fn on_error(&mut self, text: String) {
        match (FatalReason::from_error(text), self.ending) {
            (FatalReason::Removed, Ending::Teardown) => self.stop(true),
            (FatalReason::FailedOver, _) if planted!(FightsOn) => self.session_over(DisconnectReason::Closed),
            (reason, _) => self.finish(Event::Fatal(reason)),
        }
    }
}

fn end_reason(s: &Subscription) -> DisconnectReason {
    match &s.end {
        Some(StreamEnd::Failed(failure)) => DisconnectReason::Failed(failure.clone()),
        _ => s.decoder.finish().err().map_or(DisconnectReason::Closed, DisconnectReason::Framing),
    }
}

/// A number of seconds that makes sense as an interval.
fn heartbeat_interval(seconds: f64) -> Option<Duration> {
    let interval = Duration::try_from_secs_f64(seconds).ok().filter(|interval| !interval.is_zero())?;
    Some(interval.clamp(Duration::from_millis(10), Duration::from_secs(86_400)))
}

/// The events that are plain messages.
fn plain(event: v1::scheduler::Event, kind: Type) -> Option<Event> {
    match kind {
        Type::Heartbeat => Some(Event::Heartbeat),
        Type::Rescind => event.rescind.map(|e| Event::Rescind(e.offer_id)),
        Type::RescindInverseOffer => event.rescind_inverse_offer.map(|e| Event::RescindInverse(e.inverse_offer_id)),
        Type::InverseOffers => event.inverse_offers.map(|e| Event::InverseOffers(e.inverse_offers)),
        Type::Message => event.message.map(Event::Message),
        Type::Failure => event.failure.map(Event::Failure),
        Type::UpdateOperationStatus => event.update_operation_status.map(|e| Event::OperationUpdate(e.status)),
        // A second SUBSCRIBED on one stream; the others are dealt with before.
        Type::Subscribed | Type::Unknown | Type::Offers | Type::Update | Type::Error => None,
    }
}
