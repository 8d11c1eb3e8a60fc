//! The scheduler client under any inputs and commands in any order, checked step by step.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use prost::Message;

use super::Choices;
use super::messages;
use crate::scheduler::{CallError, CallId, Client, Config, Event, Framework, Session};
use crate::{
    Authorization, Backoff, ExchangeId, Failure, FailureKind, Head, Input, Instant, Lane, Machine, Output, Request,
    Sent, SessionState, Update, recordio, v1,
};
use v1::scheduler::{Call, call, event};

/// The limits of the client under test, small enough to be reached.
const QUEUED_CALLS: usize = 8;
const QUEUED_BYTES: usize = 4096;
const RECORD_LIMIT: usize = 2048;
/// The last moment there is.
const THE_END: Instant = Instant::from_origin(Duration::MAX);

/// Plays the history that these bytes describe and checks after each step what must always hold. Returns what the
/// client put out, as text: the same bytes give the same text.
///
/// # Panics
/// An invariant is broken.
pub fn scheduler_client(bytes: &[u8]) -> Vec<String> {
    let mut choices = Choices::new(bytes);
    let mut history = History::new(&mut choices);
    while !choices.is_empty() {
        history.step(&mut choices);
        history.check();
    }
    history.client.disconnect();
    history.drain();
    assert!(history.ended && history.open_calls.is_empty(), "every call has its end: {:?}", history.open_calls);
    history.transcript
}

struct History {
    client: Client,
    now: Instant,
    transcript: Vec<String>,
    /// Exchanges that neither side has ended.
    live: BTreeMap<ExchangeId, Lane>,
    /// Every exchange there ever was, so that late inputs can be fed.
    all: Vec<ExchangeId>,
    stream_ids: u32,
    /// Which stream id the head of each subscription brought.
    announced: BTreeMap<ExchangeId, String>,
    open_calls: BTreeSet<CallId>,
    update: Option<Update>,
    ended: bool,
}

impl History {
    fn new(choices: &mut Choices<'_>) -> Self {
        let options = choices.byte();
        let framework = Framework::new("fuzz").roles(["a", "b"]);
        let config = match options & 32 {
            0 => Config::new(framework, ["m1", "m2", "https://m3"]),
            _ => Config::detected(framework),
        };
        let Ok(config) = config else { unreachable!("a good configuration") };
        let mut config = config
            .queue_limits(QUEUED_CALLS, QUEUED_BYTES)
            .record_limit(RECORD_LIMIT)
            .backoff(Backoff::default().jitter(options & 1 != 0))
            .trust_redirects(options & 2 != 0)
            .max_redirects(if options & 16 != 0 { 1 } else { 5 });
        if options & 4 != 0 {
            config = config.renewable_authorization();
        }
        if options & 8 != 0 {
            config = config.authorization(Authorization::basic("p", "s"));
        }
        Self {
            client: Client::new(config, choices.byte().into()),
            now: Instant::ORIGIN,
            transcript: Vec::new(),
            live: BTreeMap::new(),
            all: Vec::new(),
            stream_ids: 0,
            announced: BTreeMap::new(),
            open_calls: BTreeSet::new(),
            update: None,
            ended: false,
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 16 {
            0 => {
                let millis = choices.pick(&[0, 1, 100, 500, 1000, 5000, 15_000, 75_000, 1_000_000]);
                self.now += Duration::from_millis(millis);
                self.feed(Input::Timeout);
            }
            1 | 2 => self.sleep(),
            3 | 4 => self.open_stream(choices),
            5 => {
                let id = self.exchange(choices);
                let head = self.head(choices);
                self.feed_head(id, head);
            }
            6 | 7 => {
                let event = event(choices);
                let id = self.exchange(choices);
                let mut data = Vec::new();
                recordio::encode(&event.encode_to_vec(), &mut data);
                let cut = usize::from(choices.byte()) % data.len().max(1);
                self.feed(Input::Body { id, data: &data[..cut] });
                if choices.byte() != 0 {
                    self.feed(Input::Body { id, data: &data[cut..] });
                }
            }
            8 => {
                let (id, data) = (self.exchange(choices), choices.slice());
                self.feed(Input::Body { id, data });
            }
            9 => {
                let id = self.exchange(choices);
                self.live.remove(&id);
                self.feed(Input::End { id });
            }
            10 => {
                let id = self.exchange(choices);
                self.live.remove(&id);
                let sent = choices.pick(&[Sent::No, Sent::Maybe]);
                self.feed(Input::Failed { id, failure: Failure::new(FailureKind::Io, sent, "fuzz") });
            }
            11 => {
                let id = self.exchange(choices);
                self.feed(Input::Paused { id });
            }
            12 => {
                let id = self.exchange(choices);
                let status = choices.pick(&[202, 200, 400, 403, 503, 502, 401, 307]);
                self.feed_head(id, Head::new(status).header("location", b"//m2"));
                self.live.remove(&id);
                self.feed(Input::End { id });
            }
            13 | 14 => self.command(choices),
            _ => match choices.byte() {
                0 => self.client.teardown(),
                1 => self.client.disconnect(),
                2 => self.client.set_authorization(Authorization::basic("q", "t")),
                3 => {
                    self.now = THE_END;
                    self.feed(Input::Timeout);
                }
                4..=11 => {
                    let leader = choices.pick(&["", "m1", "m2", "https://m4", "[::1]"]).parse().ok();
                    self.feed(Input::Leader(leader));
                }
                _ => self.now = Instant::ORIGIN,
            },
        }
    }

    /// A live exchange more often than one of the past, or of nobody.
    fn exchange(&self, choices: &mut Choices<'_>) -> ExchangeId {
        let choice = usize::from(choices.byte());
        let live = self.live.keys().nth((choice / 4) % self.live.len().max(1));
        match (choice % 4, live) {
            (1.., Some(id)) => *id,
            _ => self.all.get(choice / 4).copied().unwrap_or(ExchangeId(u64::MAX)),
        }
    }

    fn head(&mut self, choices: &mut Choices<'_>) -> Head {
        let status = choices.pick(&[200, 202, 301, 307, 308, 400, 401, 403, 404, 409, 429, 500, 501, 502, 503, 100, 0]);
        let media_type: &[u8] = choices.pick(&[&b"application/x-protobuf"[..], b"application/json", b"", b"\xff"]);
        let location: &[u8] = choices.pick(&[&b"//m2"[..], b"//stranger:1/x", b"m1", b"", b"https://[::1", b"/y"]);
        let head = Head::new(status).header("content-type", media_type).header("location", location);
        if choices.byte() % 4 == 0 { head } else { head.header("mesos-stream-id", self.stream_id().as_bytes()) }
    }

    fn stream_id(&mut self) -> String {
        self.stream_ids += 1;
        format!("stream-{}", self.stream_ids)
    }

    fn feed_head(&mut self, id: ExchangeId, head: Head) {
        if let Some(stream_id) = head.stream_id.clone() {
            self.announced.entry(id).or_insert(stream_id);
        }
        self.feed(Input::Head { id, head });
    }

    /// What a good master does, so that histories get far.
    fn open_stream(&mut self, choices: &mut Choices<'_>) {
        for _ in 0..8 {
            let found = self.live.iter().find(|(_, lane)| **lane == Lane::Subscription).map(|(id, _)| *id);
            if let Some(id) = found {
                let stream_id = self.stream_id();
                let head = Head::new(200).header("content-type", b"application/x-protobuf");
                self.feed_head(id, head.header("mesos-stream-id", stream_id.as_bytes()));
                let interval = choices.pick(&[Some(15.0), None, Some(0.001), Some(f64::NAN)]);
                let mut data = Vec::new();
                recordio::encode(&subscribed(interval).encode_to_vec(), &mut data);
                return self.feed(Input::Body { id, data: &data });
            }
            self.sleep();
        }
    }

    fn command(&mut self, choices: &mut Choices<'_>) {
        let role = choices.pick(&["a", "b", "zzz"]);
        let id = choices.pick(&["t", "", "a/b"]);
        let update = self.update.clone();
        let info = self.client.framework().clone();
        let mut calls = self.client.calls();
        let result = match choices.byte() % 12 {
            0 => calls.suppress([role]),
            1 => calls.revive([role]),
            2 => calls.decline([id, "o1"], None),
            3 => calls.accept([id], [], None),
            4 => calls.kill(id, None, None),
            5 => calls.reconcile_all(),
            6 => calls.message("e", "s", choices.slice().to_vec()),
            7 => calls.message("e", "s", alloc::vec![0; usize::from(choices.byte()) * 32]),
            8 => calls.update_framework(v1::FrameworkInfo { name: id.to_string(), ..info }, [role], None),
            9 => {
                let kind = i32::from(choices.byte() % 19);
                calls.call(Call { r#type: Some(kind), ..Default::default() })
            }
            _ => update.as_ref().map_or(Err(CallError::NoUuid), |update| calls.acknowledge(update)),
        };
        self.transcript.push(format!("{result:?}"));
        if let Ok(id) = result {
            assert!(self.open_calls.insert(id), "{id} was handed out before");
        }
    }

    /// To the next deadline, as a driver does, if it ever comes: one that waits for credentials doesn't.
    fn sleep(&mut self) {
        if let Some(deadline) = self.drain().filter(|deadline| deadline.at < THE_END) {
            let before = (self.client.session().state, deadline);
            self.now = self.now.max(deadline.at);
            self.client.handle_input(self.now, Input::Timeout);
            let after = self.drain().map(|deadline| (self.client.session().state, deadline));
            assert_ne!(after, Some(before), "what was due isn't done");
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.client.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) -> Option<crate::Deadline> {
        loop {
            let output = self.client.poll_output();
            assert!(!self.ended || matches!(output, Output::Timeout(None)), "after the end: {output:?}");
            self.transcript.push(format!("{output:?}"));
            match output {
                Output::Timeout(deadline) => return deadline,
                Output::Abort(id) => assert!(self.live.remove(&id).is_some() || self.all.contains(&id)),
                Output::Request(request) => self.on_request(&request),
                Output::Persist(batch) => unreachable!("the client keeps nothing: {batch:?}"),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn on_request(&mut self, request: &Request) {
        assert!(!self.all.contains(&request.id()), "an id used twice");
        let header = |name: &str| request.headers().iter().find(|h| h.name() == name).map(|h| h.value().to_string());
        let call = Call::decode(request.body().clone()).unwrap_or_default();
        let of_lane = self.live.values().filter(|lane| **lane == request.lane()).count();
        let limit = match request.lane() {
            Lane::Subscription => {
                assert_eq!(call.r#type, Some(call::Type::Subscribe.into()));
                assert_eq!(header("Mesos-Stream-Id"), None);
                let info = call.subscribe.map(|s| s.framework_info).unwrap_or_default();
                assert_eq!(info.id, call.framework_id, "equal at both levels");
                1
            }
            lane => {
                let known = call.r#type.and_then(|number| call::Type::try_from(number).ok());
                assert!(!matches!(known, None | Some(call::Type::Unknown | call::Type::Subscribe)), "{known:?}");
                let (stream, _) = self.live.iter().find(|(_, l)| **l == Lane::Subscription).expect_stream();
                assert_eq!(header("Mesos-Stream-Id").as_ref(), self.announced.get(stream), "of the current stream");
                assert_eq!(self.client.session().state, SessionState::Subscribed);
                if lane == Lane::Ordered { 1 } else { 4 }
            }
        };
        assert!(of_lane < limit, "too much on {:?}", request.lane());
        self.live.insert(request.id(), request.lane());
        self.all.push(request.id());
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::CallDone { id, .. } => assert!(self.open_calls.remove(&id), "a second end of {id}"),
            Event::Update(update) => self.update = Some(update),
            Event::Fatal(_) | Event::Stopped { .. } => {
                self.ended = true;
                assert!(self.live.is_empty(), "left open: {:?}", self.live);
            }
            _ => {}
        }
    }

    fn check(&mut self) {
        self.drain();
        let Session { pending_calls, state, .. } = self.client.session();
        assert!(pending_calls <= 2 * QUEUED_CALLS + 6, "{pending_calls} calls are kept");
        assert_eq!(state == SessionState::Ended, self.ended);
        assert!(self.client.queued_bytes() <= QUEUED_BYTES + 64);
    }
}

/// Says what is wrong when a call leaves without a stream.
trait ExpectStream<T> {
    fn expect_stream(self) -> T;
}

impl<T> ExpectStream<T> for Option<T> {
    fn expect_stream(self) -> T {
        match self {
            Some(stream) => stream,
            None => unreachable!("a call without a subscription"),
        }
    }
}

/// Mostly such as a master sends.
pub(super) fn event(choices: &mut Choices<'_>) -> v1::scheduler::Event {
    use event::Type;
    let of = |kind: Type| v1::scheduler::Event { r#type: Some(kind.into()), ..Default::default() };
    match choices.byte() % 8 {
        0 => of(Type::Heartbeat),
        1 => subscribed(Some(15.0)),
        2 => {
            let text = choices.pick(&["Framework failed over", "Framework has been removed", "no"]);
            v1::scheduler::Event { error: Some(event::Error { message: text.to_string() }), ..of(Type::Error) }
        }
        3 | 4 => {
            let uuid = [choices.byte() | 0x40; 16];
            let status = v1::TaskStatus {
                task_id: v1::TaskId { value: "t".to_string() },
                state: v1::TaskState::TaskRunning.into(),
                agent_id: Some(v1::AgentId { value: "s".to_string() }),
                uuid: Some(uuid.to_vec().into()),
                ..Default::default()
            };
            v1::scheduler::Event { update: Some(event::Update { status }), ..of(Type::Update) }
        }
        5 | 6 => {
            let ids = (0..choices.byte() % 4).map(|n| v1::Offer {
                id: v1::OfferId { value: format!("o{n}") },
                hostname: "h".to_string(),
                // Sometimes of a type that nobody knows.
                resources: [v1::Resource { name: "cpus".to_string(), r#type: i32::from(n) * 3, ..Default::default() }]
                    .into(),
                ..Default::default()
            });
            let offers = event::Offers { offers: ids.collect() };
            v1::scheduler::Event { offers: Some(offers), ..of(Type::Offers) }
        }
        // Anything that the schema can say, or a type that it doesn't have.
        _ => match choices.byte() {
            kind @ 0..=127 => v1::scheduler::Event { r#type: Some(kind.into()), ..Default::default() },
            _ => messages::any(choices),
        },
    }
}

fn subscribed(interval: Option<f64>) -> v1::scheduler::Event {
    let subscribed = event::Subscribed {
        framework_id: v1::FrameworkId { value: "f".to_string() },
        heartbeat_interval_seconds: interval,
        master_info: None,
    };
    v1::scheduler::Event {
        r#type: Some(event::Type::Subscribed.into()),
        subscribed: Some(subscribed),
        ..Default::default()
    }
}
