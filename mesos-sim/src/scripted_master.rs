//! The other side of a scheduler as a script: the test says what the master does, call by call.

use std::collections::VecDeque;
use std::time::Duration;

use mesos_core::{Deadline, Request, UnixTime};
use mesos_core::{ExchangeId, Failure, FailureKind, Head, Input, Instant, Lane, Machine, MemoryStore, Output, Sent};
use mesos_proto::v1;
use v1::scheduler::{Call, Event, call, event};

use crate::codec;
use crate::http::Codec;

/// How often a HEARTBEAT comes.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What the wall clock shows when a script begins, in seconds since 1970.
const BEGINNING: u64 = 1_700_000_000;
/// More outputs in one moment come from a machine that never rests.
const ENDLESS: usize = 100_000;

/// Drives any [`Machine`] that speaks the scheduler API (a `scheduler::Client`, an `Engine`, a scheduler of one's own
/// around one) against a master that does just what the test says, without network and in virtual time. What
/// [`Script`](crate::Script) is for tasks, this is for the master; [`Cluster`](crate::Cluster) is one that behaves.
///
/// Calls wait until they are [expected](Self::expect), in their order. Those on [`Lane::Acks`] are answered at once,
/// but ACKNOWLEDGE has to be expected in its turn all the same, before what was sent after it. Batches for the store
/// are durable at once. Time passes only in [`sleep`](Self::sleep), with a HEARTBEAT every 15 s.
///
/// ```
/// use std::time::Duration;
/// use mesos_core::scheduler::{Client, Config, Event, Framework};
/// use mesos_sim::ScriptedMaster;
/// use mesos_core::v1::scheduler::call::Type;
///
/// let config = Config::new(Framework::new("demo"), ["10.0.0.1:5050"])?;
/// let mut master = ScriptedMaster::new(Client::new(config, 42));
/// let subscribe = master.subscribed("f-1")?;
/// assert_eq!(subscribe.framework_info.name, "demo");
/// master.with(|client| client.calls().reconcile_all())?;
/// master.expect(Type::Reconcile)?;
/// // The connection dies; the client comes back by itself.
/// master.cut();
/// master.sleep(Duration::from_secs(20));
/// assert_eq!(master.subscribed("f-1")?.framework_info.id, Some("f-1".into()));
/// assert!(master.events().iter().any(|event| matches!(event, Event::Disconnected { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ScriptedMaster<M: Machine> {
    machine: M,
    now: Duration,
    deadline: Option<Deadline>,
    store: MemoryStore,
    /// SUBSCRIBE, and what can be said on its stream.
    stream: Option<Stream>,
    heartbeat: Duration,
    calls: VecDeque<Open>,
    sent: Vec<Call>,
    events: Vec<M::Event>,
    streams: u64,
    rested: bool,
    /// What histories are made up of.
    #[cfg(feature = "proptest")]
    pub(crate) known: crate::strategy::Known,
}

#[derive(Debug)]
struct Stream {
    id: ExchangeId,
    codec: Codec,
    /// Until it is answered.
    request: Option<Request>,
}

/// A call, and where its answer goes; `None`: it has one.
#[derive(Debug)]
struct Open {
    id: Option<ExchangeId>,
    call: Call,
}

/// The scheduler did not do what was expected of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unexpected {
    /// Another call is next.
    #[error("{} was expected, and {} is next: {call:?}", .wanted.as_str_name(), .call.r#type().as_str_name())]
    Call {
        /// What was expected.
        wanted: call::Type,
        /// What is next.
        call: Box<Call>,
    },
    /// There is no call.
    #[error("{} was expected, and no call is there", .0.as_str_name())]
    NoCall(call::Type),
    /// There is a call, and none was expected.
    #[error("no call was expected, and there is {}: {_0:?}", .0.r#type().as_str_name())]
    SomeCall(Box<Call>),
    /// A request that can't be read.
    #[error("a request can't be read: {0}")]
    Unreadable(String),
    /// Something was to be said on a stream that isn't open.
    #[error("there is no subscription")]
    NoStream,
}

impl<M: Machine> ScriptedMaster<M> {
    /// Starts this machine.
    #[must_use]
    pub fn new(machine: M) -> Self {
        let mut master = Self {
            machine,
            now: Duration::ZERO,
            deadline: None,
            store: MemoryStore::new(),
            stream: None,
            heartbeat: Duration::MAX,
            calls: VecDeque::new(),
            sent: Vec::new(),
            events: Vec::new(),
            streams: 0,
            rested: true,
            #[cfg(feature = "proptest")]
            known: crate::strategy::Known::default(),
        };
        master.feed(Input::Wall(UnixTime::from_epoch(Duration::from_secs(BEGINNING))));
        master.feed(Input::Timeout);
        master
    }

    /// The machine, to look at.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Gives the machine a command.
    pub fn with<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        self.feed(Input::Timeout);
        let result = command(&mut self.machine);
        self.drain();
        result
    }

    /// How much time has passed.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// What the machine has told since this was last asked.
    pub fn events(&mut self) -> Vec<M::Event> {
        std::mem::take(&mut self.events)
    }

    /// Every call that has left the machine since this was last asked, whether it has an answer or not.
    pub fn sent(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.sent)
    }

    /// What the machine has made durable.
    pub const fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// Whether the machine came to rest whenever it was fed: what isn't so is a fault of it.
    pub const fn is_at_rest(&self) -> bool {
        self.rested
    }

    /// Whether a subscription is open, or has been asked for.
    pub const fn has_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Expects SUBSCRIBE, and grants it under this framework id. Returns what was asked for.
    ///
    /// # Errors
    /// There is no SUBSCRIBE without answer, or it can't be read.
    pub fn subscribed(&mut self, framework_id: &str) -> Result<call::Subscribe, Unexpected> {
        let (subscribe, id, codec) = self.subscribe()?;
        self.streams += 1;
        #[cfg(feature = "proptest")]
        self.known.subscribed(&subscribe);
        self.heartbeat = self.now + HEARTBEAT;
        let media_type = if codec == Codec::Json { "application/json" } else { "application/x-protobuf" };
        let head = Head::new(200).header("content-type", media_type.as_bytes());
        let head = head.header("mesos-stream-id", format!("stream-{}", self.streams).as_bytes());
        self.feed(Input::Head { id, head });
        let subscribed = event::Subscribed {
            framework_id: framework_id.into(),
            heartbeat_interval_seconds: Some(HEARTBEAT.as_secs_f64()),
            master_info: None,
        };
        self.send(&Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..Default::default()
        })?;
        Ok(subscribe)
    }

    /// Expects SUBSCRIBE, and answers with this status and text.
    ///
    /// # Errors
    /// There is no SUBSCRIBE without answer, or it can't be read.
    pub fn refuse_subscription(&mut self, status: u16, text: &str) -> Result<call::Subscribe, Unexpected> {
        let (subscribe, id, _) = self.subscribe()?;
        self.stream = None;
        self.respond(id, status, text);
        Ok(subscribe)
    }

    fn subscribe(&mut self) -> Result<(call::Subscribe, ExchangeId, Codec), Unexpected> {
        let none = Unexpected::NoCall(call::Type::Subscribe);
        let Some(stream) = self.stream.as_mut() else { return Err(none) };
        let Some(request) = stream.request.take() else { return Err(none) };
        let call: Call = codec::decode(stream.codec, request.body()).map_err(Unexpected::Unreadable)?;
        Ok((call.subscribe.unwrap_or_default(), stream.id, stream.codec))
    }

    /// Sends an event.
    ///
    /// # Errors
    /// There is no subscription.
    pub fn send(&mut self, event: &Event) -> Result<(), Unexpected> {
        self.send_cut(event, &[])
    }

    /// Sends an event in pieces of these sizes, and the rest of it as the last one.
    ///
    /// # Errors
    /// There is no subscription.
    pub fn send_cut(&mut self, event: &Event, sizes: &[usize]) -> Result<(), Unexpected> {
        let stream = self.stream.as_ref().filter(|stream| stream.request.is_none()).ok_or(Unexpected::NoStream)?;
        let id = stream.id;
        let mut rest = codec::record(stream.codec, event);
        for size in sizes {
            let data = rest.split_to((*size).min(rest.len()));
            self.feed(Input::Body { id, data: &data });
        }
        self.feed(Input::Body { id, data: &rest });
        Ok(())
    }

    /// Expects a call of this type to be the next, takes it, and answers 202.
    ///
    /// # Errors
    /// Another call is next, or none.
    pub fn expect(&mut self, wanted: call::Type) -> Result<Call, Unexpected> {
        self.refuse(wanted, 202, "")
    }

    /// As [`expect`](Self::expect), and answers with this status and text.
    ///
    /// # Errors
    /// Another call is next, or none.
    pub fn refuse(&mut self, wanted: call::Type, status: u16, text: &str) -> Result<Call, Unexpected> {
        let Open { id, call } = self.next(wanted)?;
        if let Some(id) = id {
            self.respond(id, status, text);
        }
        Ok(call)
    }

    /// As [`expect`](Self::expect), but the connection breaks: nobody knows whether the call has arrived.
    ///
    /// # Errors
    /// Another call is next, or none.
    pub fn lose(&mut self, wanted: call::Type) -> Result<Call, Unexpected> {
        let Open { id, call } = self.next(wanted)?;
        if let Some(id) = id {
            self.feed(Input::Failed { id, failure: broken() });
        }
        Ok(call)
    }

    /// Expects that there is no call.
    ///
    /// # Errors
    /// There is one.
    pub fn expect_none(&self) -> Result<(), Unexpected> {
        match self.calls.front() {
            None => Ok(()),
            Some(open) => Err(Unexpected::SomeCall(Box::new(open.call.clone()))),
        }
    }

    /// The type of the next call.
    #[must_use]
    pub fn next_type(&self) -> Option<call::Type> {
        self.calls.front().map(|open| open.call.r#type())
    }

    fn next(&mut self, wanted: call::Type) -> Result<Open, Unexpected> {
        match self.calls.front() {
            None => Err(Unexpected::NoCall(wanted)),
            Some(open) if open.call.r#type() != wanted => {
                Err(Unexpected::Call { wanted, call: Box::new(open.call.clone()) })
            }
            Some(_) => self.calls.pop_front().ok_or(Unexpected::NoCall(wanted)),
        }
    }

    /// Takes all calls that wait, and answers 202 to each, and to those that follow from them.
    pub fn accept_all(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        while let Some(Open { id, call }) = self.calls.pop_front() {
            calls.push(call);
            if let Some(id) = id {
                self.respond(id, 202, "");
            }
        }
        calls
    }

    /// The stream of events breaks, or SUBSCRIBE is lost.
    pub fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.feed(Input::Failed { id: stream.id, failure: broken() });
        }
    }

    /// The master closes the stream of events in good order.
    pub fn close(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.feed(Input::End { id: stream.id });
        }
    }

    /// Time passes, with all deadlines of the machine and all heartbeats.
    pub fn sleep(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        for _ in 0..ENDLESS {
            let open = self.stream.as_ref().is_some_and(|stream| stream.request.is_none());
            let beat = Some(self.heartbeat).filter(|_| open);
            let deadline = self.deadline.map(|deadline| deadline.at.since_origin());
            let Some(next) = [beat, deadline].into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                self.feed(Input::Timeout);
                return;
            };
            self.now = self.now.max(next);
            if beat.is_some_and(|beat| beat <= self.now) {
                self.heartbeat = self.now.saturating_add(HEARTBEAT);
                let heartbeat = Event { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() };
                // The stream is open, as was just seen.
                let _ = self.send(&heartbeat);
            }
            self.feed(Input::Timeout);
        }
        self.rested = false;
    }

    fn respond(&mut self, id: ExchangeId, status: u16, text: &str) {
        self.feed(Input::Head { id, head: Head::new(status) });
        if !text.is_empty() {
            self.feed(Input::Body { id, data: text.as_bytes() });
        }
        self.feed(Input::End { id });
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.handle_input(Instant::from_origin(self.now), input);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..ENDLESS {
            match self.machine.poll_output() {
                Output::Request(request) => self.request(request),
                Output::Abort(id) => {
                    self.stream.take_if(|stream| stream.id == id);
                    self.calls.iter_mut().filter(|open| open.id == Some(id)).for_each(|open| open.id = None);
                }
                Output::Persist(batch) => {
                    self.store.apply_now(&batch);
                    let now = Instant::from_origin(self.now);
                    self.machine.handle_input(now, Input::Persisted { ticket: batch.ticket() });
                }
                Output::Event(event) => self.events.push(event),
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
        self.rested = false;
    }

    fn request(&mut self, request: Request) {
        let mut headers = request.headers().iter();
        let json = headers.any(|header| header.name() == "Content-Type" && header.value() == "application/json");
        let (id, codec) = (request.id(), if json { Codec::Json } else { Codec::Protobuf });
        match request.lane() {
            Lane::Subscription => self.stream = Some(Stream { id, codec, request: Some(request) }),
            lane => {
                // What can't be read is a call of no type, which nobody expects.
                let call: Call = codec::decode(codec, request.body()).unwrap_or_default();
                #[cfg(feature = "proptest")]
                self.known.sent(&call);
                self.sent.push(call.clone());
                let acknowledgement = lane == Lane::Acks;
                self.calls.push_back(Open { id: (!acknowledgement).then_some(id), call });
                if acknowledgement {
                    let now = Instant::from_origin(self.now);
                    self.machine.handle_input(now, Input::Head { id, head: Head::new(202) });
                    self.machine.handle_input(now, Input::End { id });
                }
            }
        }
    }
}

fn broken() -> Failure {
    Failure::new(FailureKind::Io, Sent::Maybe, "as the script says")
}
