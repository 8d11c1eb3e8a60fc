//! A scripted agent: the client's other side, without I/O.

mod ends;
mod subscribing;
mod updates;

use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec;

use core::time::Duration;
use prost::Message;

use super::*;
use crate::{
    ExchangeId, Failure, FailureKind, Head, Input, Instant, Lane, Machine, Output, Request, Sent, SessionState,
    UnixTime, recordio, v1,
};
use v1::TaskState::{self, *};
use v1::executor::{Call, call, event};

const PROTOBUF: &str = "application/x-protobuf";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn env(more: &[(&str, &str)]) -> Config {
    let vars = [
        ("MESOS_FRAMEWORK_ID", "f"),
        ("MESOS_EXECUTOR_ID", "e"),
        ("MESOS_DIRECTORY", "/sandbox"),
        ("MESOS_AGENT_ENDPOINT", "10.0.0.1:5051"),
        ("MESOS_RECOVERY_TIMEOUT", "15mins"),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
    ];
    Config::from_env(Env::parse(vars.iter().chain(more).copied()).expect("an environment"))
}

fn checkpointing() -> Config {
    env(&[("MESOS_CHECKPOINT", "1")])
}

fn fleeting() -> Config {
    env(&[("MESOS_CHECKPOINT", "0")])
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
    /// A client that has been started, and nothing more.
    fn new(config: Config) -> Self {
        let mut script = Self {
            client: Client::new(config, 42),
            now: Instant::from_origin(secs(1000)),
            requests: VecDeque::new(),
            aborts: Vec::new(),
            events: VecDeque::new(),
            stream: ExchangeId(0),
        };
        script.feed(Input::Wall(UnixTime::from_epoch(secs(1_700_000_000))));
        script
    }

    /// A client that is subscribed; nothing is left to look at.
    fn subscribed(config: Config) -> Self {
        let mut script = Self::new(config);
        script.accept_subscription();
        script
    }

    /// One that runs these tasks.
    fn running(config: Config, tasks: &[&str]) -> Self {
        let mut script = Self::subscribed(config);
        for task in tasks {
            script.launch(task);
        }
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

    /// Sleeps as a driver does, through all deadlines up to `time` from now.
    fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.drain().filter(|d| d.at <= end) {
            self.now = self.now.max(deadline.at);
            self.feed(Input::Timeout);
        }
        self.now = end;
        self.feed(Input::Timeout);
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
        assert_eq!(request.lane(), Lane::Ordered);
        (request.id(), decode(&request))
    }

    /// The next request, which is an UPDATE.
    fn update(&mut self) -> (ExchangeId, v1::TaskStatus) {
        let (id, call) = self.call();
        assert_eq!(call.r#type(), call::Type::Update);
        (id, call.update.expect("a body").status)
    }

    fn event(&mut self) -> Event {
        self.drain();
        self.events.pop_front().expect("an event")
    }

    fn disconnected(&mut self) -> (DisconnectReason, Option<Instant>) {
        match self.event() {
            Event::Disconnected { reason, retry_at } => (reason, retry_at),
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

    fn open_stream(&mut self) -> call::Subscribe {
        let (request, body) = self.subscribe();
        self.head(request.id(), Head::new(200).header("content-type", PROTOBUF.as_bytes()));
        body
    }

    fn record(&mut self, event: &v1::executor::Event) {
        let mut data = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut data);
        self.feed(Input::Body { id: self.stream, data: &data });
    }

    /// Answers the SUBSCRIBE that waits, and tells what it said.
    fn accept_subscription(&mut self) -> call::Subscribe {
        let body = self.open_stream();
        self.record(&subscribed(true));
        assert!(matches!(self.event(), Event::Subscribed(_)));
        body
    }

    fn launch(&mut self, task: &str) {
        self.record(&launch(&[task]));
        assert!(matches!(self.event(), Event::Launch(info) if info.task_id.value == task));
    }

    fn report(&mut self, task: &str, state: TaskState) {
        self.client.update(v1::TaskStatus::new(task, state)).expect("an update");
    }

    /// Takes the update that waits, and acknowledges it.
    fn take(&mut self, task: &str, state: TaskState) {
        let (id, status) = self.update();
        assert_eq!((status.task_id.value.as_str(), status.state()), (task, state));
        self.answer(id, 202, "");
        self.acknowledge(&status);
        assert_eq!(self.event(), Event::Acknowledged { task_id: task.into(), state });
    }

    fn acknowledge(&mut self, status: &v1::TaskStatus) {
        self.record(&acknowledged(status));
    }

    /// The stream breaks.
    fn cut(&mut self) {
        let id = self.stream;
        self.feed(Input::Failed { id, failure: failure(Sent::Maybe) });
    }

    /// The next event, which is the last one; nothing comes any more, whatever is fed.
    fn ended(&mut self) -> Event {
        let last = self.event();
        self.quiet();
        for id in (0..20).map(ExchangeId) {
            self.now += secs(100);
            self.head(id, Head::new(200).header("content-type", PROTOBUF.as_bytes()));
            self.feed(Input::Body { id, data: b"2\n\x08\x07" });
            self.feed(Input::End { id });
        }
        self.feed(Input::Timeout);
        self.quiet();
        assert_eq!(self.drain(), None);
        assert_eq!(self.client.update(v1::TaskStatus::new("t", TaskRunning)), Err(CallError::Ended));
        assert_eq!(self.client.message("x"), Err(CallError::Ended));
        assert_eq!(self.client.session().state, SessionState::Ended);
        last
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

fn event(kind: event::Type) -> v1::executor::Event {
    v1::executor::Event { r#type: Some(kind.into()), ..Default::default() }
}

fn subscribed(killing: bool) -> v1::executor::Event {
    let killing = killing.then_some(v1::framework_info::capability::Type::TaskKillingState);
    let capability =
        |kind: v1::framework_info::capability::Type| v1::framework_info::Capability { r#type: Some(kind.into()) };
    let subscribed = event::Subscribed {
        executor_info: v1::ExecutorInfo { executor_id: "e".into(), ..Default::default() },
        framework_info: v1::FrameworkInfo {
            id: Some("f".into()),
            capabilities: killing.into_iter().map(capability).collect(),
            ..Default::default()
        },
        agent_info: v1::AgentInfo::default(),
        container_id: None,
    };
    v1::executor::Event { subscribed: Some(std::boxed::Box::new(subscribed)), ..event(event::Type::Subscribed) }
}

fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo::new("name", id, "s")
}

/// LAUNCH of one task, LAUNCH_GROUP of several.
fn launch(ids: &[&str]) -> v1::executor::Event {
    match ids {
        [id] => {
            let launch = event::Launch { task: task(id) };
            v1::executor::Event { launch: Some(std::boxed::Box::new(launch)), ..event(event::Type::Launch) }
        }
        ids => {
            let tasks = ids.iter().map(|id| task(id)).collect();
            let launch = event::LaunchGroup { task_group: v1::TaskGroupInfo { tasks } };
            v1::executor::Event { launch_group: Some(std::boxed::Box::new(launch)), ..event(event::Type::LaunchGroup) }
        }
    }
}

fn kill(task: &str, grace: Option<Duration>) -> v1::executor::Event {
    let kill_policy = grace.map(|grace| v1::KillPolicy { grace_period: Some(grace.into()) });
    let kill = event::Kill { task_id: task.into(), kill_policy };
    v1::executor::Event { kill: Some(kill), ..event(event::Type::Kill) }
}

fn acknowledged(status: &v1::TaskStatus) -> v1::executor::Event {
    let acknowledged =
        event::Acknowledged { task_id: status.task_id.clone(), uuid: status.uuid.clone().unwrap_or_default() };
    v1::executor::Event { acknowledged: Some(acknowledged), ..event(event::Type::Acknowledged) }
}

fn states(updates: &[call::Update]) -> Vec<(String, TaskState)> {
    updates.iter().map(|update| (update.status.task_id.to_string(), update.status.state())).collect()
}

fn ids(tasks: &[v1::TaskInfo]) -> Vec<&str> {
    tasks.iter().map(|task| task.task_id.value.as_str()).collect()
}
