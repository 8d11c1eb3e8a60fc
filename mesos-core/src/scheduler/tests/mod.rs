//! A scripted master: the client's other side, without I/O.

mod calls;
mod detected;
mod ends;
mod records;
mod redirects;
mod silence;
mod subscribing;

use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec;

use core::time::Duration;
use prost::Message;

use super::*;
use crate::{
    Backoff, ExchangeId, Failure, FailureKind, Head, IdError, Input, Instant, Lane, Machine, Output, Request, Sent,
    SessionState, recordio, v1,
};
use v1::scheduler::{Call, call, event};

const MASTER: &str = "10.0.0.1:5050";
const STREAM_ID: &str = "8b42ae1c";
const PROTOBUF: &str = "application/x-protobuf";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> Config {
    Config::new(Framework::new("test").roles(["a", "b"]), [MASTER])
        .expect("a configuration")
        .backoff(Backoff::default().jitter(false))
}

fn two_masters() -> Config {
    Config::new(Framework::new("test"), [MASTER, "10.0.0.2:5050"])
        .expect("a configuration")
        .backoff(Backoff::default().jitter(false))
}

/// One client, and what it has put out and nobody has looked at.
struct Script {
    client: Client,
    now: Instant,
    requests: VecDeque<Request>,
    aborts: Vec<ExchangeId>,
    events: VecDeque<Event>,
    /// The exchange of the last SUBSCRIBE.
    stream: ExchangeId,
}

impl Script {
    /// A client that has not been started.
    fn new(config: Config) -> Self {
        Self {
            client: Client::new(config, 42),
            now: Instant::from_origin(secs(1000)),
            requests: VecDeque::new(),
            aborts: Vec::new(),
            events: VecDeque::new(),
            stream: ExchangeId(0),
        }
    }

    /// A client that is subscribed, with heartbeats each 15 s; nothing is left to look at.
    fn subscribed(config: Config) -> Self {
        let mut script = Self::new(config);
        script.tick();
        script.accept_subscription();
        script
    }

    fn drain(&mut self) -> Option<crate::Deadline> {
        loop {
            match self.client.poll_output() {
                Output::Request(request) => self.requests.push_back(request),
                Output::Abort(id) => self.aborts.push(id),
                Output::Persist(batch) => unreachable!("the client keeps nothing: {batch:?}"),
                Output::Event(event) => self.events.push_back(event),
                Output::Timeout(deadline) => return deadline,
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.client.handle_input(self.now, input);
        self.drain();
    }

    fn tick(&mut self) {
        self.feed(Input::Timeout);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.tick();
    }

    /// Sleeps as a driver does, through all deadlines up to `time` from now.
    fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.drain().filter(|d| d.at <= end) {
            self.now = self.now.max(deadline.at);
            self.tick();
        }
        self.now = end;
        self.tick();
    }

    fn request(&mut self) -> Request {
        self.drain();
        self.requests.pop_front().expect("a request")
    }

    /// The next request, which is a SUBSCRIBE.
    fn subscribe(&mut self) -> (Request, call::Subscribe) {
        let request = self.request();
        assert_eq!(request.lane(), Lane::Subscription);
        self.stream = request.id();
        let call = decode(&request);
        assert_eq!(call.r#type(), call::Type::Subscribe);
        (request, call.subscribe.expect("a body"))
    }

    /// The next request, which is an ordinary call.
    fn call(&mut self) -> (ExchangeId, Call) {
        let request = self.request();
        assert_ne!(request.lane(), Lane::Subscription);
        assert_eq!(header(&request, "Mesos-Stream-Id"), Some(STREAM_ID), "S43");
        (request.id(), decode(&request))
    }

    fn event(&mut self) -> Event {
        self.drain();
        self.events.pop_front().expect("an event")
    }

    fn outcome(&mut self, of: CallId) -> Outcome {
        match self.event() {
            Event::CallDone { id, outcome, .. } if id == of => outcome,
            other => panic!("the end of {of}, not {other:?}"),
        }
    }

    fn disconnected(&mut self) -> DisconnectReason {
        match self.event() {
            Event::Disconnected { reason, .. } => reason,
            other => panic!("a disconnection, not {other:?}"),
        }
    }

    /// Nothing is left that nobody has looked at.
    fn quiet(&mut self) {
        self.drain();
        assert!(self.requests.is_empty(), "{:?}", self.requests);
        assert!(self.events.is_empty(), "{:?}", self.events);
    }

    fn head(&mut self, id: ExchangeId, head: Head) {
        self.feed(Input::Head { id, head });
    }

    /// A whole answer without headers that matter.
    fn answer(&mut self, id: ExchangeId, status: u16, body: &str) {
        self.head(id, Head::new(status));
        if !body.is_empty() {
            self.feed(Input::Body { id, data: body.as_bytes() });
        }
        self.feed(Input::End { id });
    }

    fn open_stream(&mut self) {
        let (request, _) = self.subscribe();
        self.head(request.id(), stream_head());
        assert!(matches!(self.event(), Event::StreamOpened { stream_id, .. } if stream_id == STREAM_ID), "S135");
    }

    fn record(&mut self, event: &v1::scheduler::Event) {
        let bytes = framed(event);
        self.feed(Input::Body { id: self.stream, data: &bytes });
    }

    /// Answers the SUBSCRIBE that waits.
    fn accept_subscription(&mut self) -> Subscribed {
        self.open_stream();
        self.record(&subscribed("f-1", Some(15.0)));
        match self.event() {
            Event::Subscribed(subscribed) => subscribed,
            other => panic!("subscribed, not {other:?}"),
        }
    }

    fn fail(&mut self, id: ExchangeId, sent: Sent) {
        self.feed(Input::Failed { id, failure: failure(sent) });
    }

    /// Nothing comes any more, whatever is fed.
    fn ended(&mut self) {
        self.quiet();
        for id in (0..20).map(ExchangeId) {
            self.now += secs(100);
            self.head(id, stream_head());
            self.feed(Input::Body { id, data: b"2\n\x08\x08" });
            self.feed(Input::End { id });
        }
        self.tick();
        self.quiet();
        assert_eq!(self.drain(), None);
        assert_eq!(self.client.calls().reconcile_all(), Err(CallError::Ending));
        assert_eq!(self.client.session().state, SessionState::Ended);
    }
}

fn decode(request: &Request) -> Call {
    Call::decode(request.body().clone()).expect("a call")
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().iter().find(|h| h.name() == name).map(crate::Header::value)
}

fn failure(sent: Sent) -> Failure {
    let kind = if sent == Sent::No { FailureKind::Connect } else { FailureKind::Io };
    Failure::new(kind, sent, "scripted")
}

fn stream_head() -> Head {
    Head::new(200).header("content-type", PROTOBUF.as_bytes()).header("MESOS-STREAM-ID", STREAM_ID.as_bytes())
}

fn framed(event: &v1::scheduler::Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    recordio::encode(&event.encode_to_vec(), &mut bytes);
    bytes
}

fn event(kind: event::Type) -> v1::scheduler::Event {
    v1::scheduler::Event { r#type: Some(kind.into()), ..Default::default() }
}

fn subscribed(id: &str, interval: Option<f64>) -> v1::scheduler::Event {
    let subscribed = event::Subscribed {
        framework_id: v1::FrameworkId { value: id.to_string() },
        heartbeat_interval_seconds: interval,
        master_info: None,
    };
    v1::scheduler::Event { subscribed: Some(subscribed), ..event(event::Type::Subscribed) }
}

fn heartbeat() -> v1::scheduler::Event {
    event(event::Type::Heartbeat)
}

fn error(message: &str) -> v1::scheduler::Event {
    let error = event::Error { message: message.to_string() };
    v1::scheduler::Event { error: Some(error), ..event(event::Type::Error) }
}

/// An update of task `t` on agent `s`.
fn update(uuid: Option<&[u8]>) -> v1::scheduler::Event {
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t".to_string() },
        state: v1::TaskState::TaskRunning.into(),
        agent_id: Some(v1::AgentId { value: "s".to_string() }),
        uuid: uuid.map(bytes::Bytes::copy_from_slice),
        ..Default::default()
    };
    v1::scheduler::Event { update: Some(event::Update { status }), ..event(event::Type::Update) }
}

fn offer(id: &str) -> v1::Offer {
    v1::Offer {
        id: v1::OfferId { value: id.to_string() },
        framework_id: v1::FrameworkId { value: "f-1".to_string() },
        agent_id: v1::AgentId { value: "s".to_string() },
        hostname: "host".to_string(),
        ..Default::default()
    }
}

fn offers(ids: &[&str]) -> v1::scheduler::Event {
    let offers = event::Offers { offers: ids.iter().map(|id| offer(id)).collect() };
    v1::scheduler::Event { offers: Some(offers), ..event(event::Type::Offers) }
}

/// Version 4.
const UUID: [u8; 16] = [7, 7, 7, 7, 7, 7, 0x47, 7, 0x87, 7, 7, 7, 7, 7, 7, 7];
