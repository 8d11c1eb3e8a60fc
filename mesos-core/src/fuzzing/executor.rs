//! The executor client under any inputs and commands in any order, checked step by step against a model of what the
//! agent knows.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use prost::Message;

use super::{Choices, messages};
use crate::executor::{CallError, Client, Config, Env, Event};
use crate::{
    Deadline, ExchangeId, Failure, FailureKind, Head, Input, Instant, Lane, Machine, Output, Request, Sent,
    SessionState, UnixTime, recordio, v1,
};
use v1::TaskState;
use v1::executor::{Call, call, event};

/// The limits of the client under test, small enough to be reached.
const QUEUED_CALLS: usize = 3;
const QUEUED_BYTES: usize = 512;
/// The last moment there is.
const THE_END: Instant = Instant::from_origin(Duration::MAX);
const STATES: [TaskState; 8] = [
    TaskState::TaskRunning,
    TaskState::TaskRunning,
    TaskState::TaskStarting,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskStaging,
    TaskState::TaskUnknown,
];

/// Plays the history that these bytes describe and checks after each step what must always hold: no update is lost,
/// those of a task go out in order, every SUBSCRIBE carries exactly what is unacknowledged, and the end comes in time.
/// Returns what the client put out, as text: the same bytes give the same text.
///
/// # Panics
/// An invariant is broken.
pub fn executor_client(bytes: &[u8]) -> Vec<String> {
    let mut choices = Choices::new(bytes);
    let mut history = History::new(&mut choices);
    while !choices.is_empty() {
        history.step(&mut choices);
        history.check();
    }
    history.leave();
    history.transcript
}

/// An update that was taken from us, and has no end so far.
#[derive(Debug)]
struct Open {
    task: String,
    state: TaskState,
    /// As the first call that carried it named it.
    uuid: Option<bytes::Bytes>,
}

struct History {
    client: Client,
    now: Instant,
    /// What it was before it was set back.
    latest: Instant,
    transcript: Vec<String>,
    live: BTreeMap<ExchangeId, Lane>,
    all: Vec<ExchangeId>,
    /// By number, which is in the update's text.
    open: BTreeMap<u32, Open>,
    updates: u32,
    /// Tasks without an acknowledged update, by the order of their launch.
    unacknowledged: Vec<String>,
    /// Tasks that have had no last update.
    running: BTreeSet<String>,
    ended: bool,
}

impl History {
    fn new(choices: &mut Choices<'_>) -> Self {
        let options = choices.byte();
        let vars = [
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("MESOS_DIRECTORY", "/"),
            ("MESOS_CHECKPOINT", if options & 1 == 0 { "1" } else { "0" }),
            ("MESOS_RECOVERY_TIMEOUT", "100secs"),
        ];
        let Ok(env) = Env::parse(vars) else { unreachable!("a good environment") };
        let config = Config::from_env(env).queue_limits(QUEUED_CALLS, QUEUED_BYTES).record_limit(2048);
        Self {
            client: Client::new(config, choices.byte().into()),
            now: Instant::ORIGIN,
            latest: Instant::ORIGIN,
            transcript: Vec::new(),
            live: BTreeMap::new(),
            all: Vec::new(),
            open: BTreeMap::new(),
            updates: 0,
            unacknowledged: Vec::new(),
            running: BTreeSet::new(),
            ended: false,
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 16 {
            0 => {
                let millis = choices.pick(&[0, 1, 100, 500, 2000, 5000, 15_000, 75_000, 1_000_000]);
                self.now += Duration::from_millis(millis);
                self.feed(Input::Timeout);
            }
            1 => drop(self.sleep()),
            2 | 3 => self.open_stream(choices),
            4 => {
                let id = self.exchange(choices);
                let status = choices.pick(&[200, 202, 400, 401, 403, 404, 500, 501, 503, 307, 100, 0]);
                let media_type: &[u8] = choices.pick(&[&b"application/x-protobuf"[..], b"text/html", b""]);
                self.feed(Input::Head { id, head: Head::new(status).header("content-type", media_type) });
            }
            5 | 6 => {
                let event = self.event(choices);
                self.record(&event, choices);
            }
            7 => {
                let (id, data) = (self.exchange(choices), choices.slice());
                self.feed(Input::Body { id, data });
            }
            8 => {
                let id = self.exchange(choices);
                self.live.remove(&id);
                if choices.byte() % 2 == 0 {
                    self.feed(Input::End { id });
                } else {
                    let sent = choices.pick(&[Sent::No, Sent::Maybe]);
                    self.feed(Input::Failed { id, failure: Failure::new(FailureKind::Io, sent, "fuzz") });
                }
            }
            9 | 10 => {
                let found = self.live.iter().find(|(_, lane)| **lane == Lane::Ordered).map(|(id, _)| *id);
                let Some(id) = found else { return };
                let status = choices.pick(&[202, 202, 202, 503, 400, 403, 500]);
                self.feed(Input::Head { id, head: Head::new(status) });
                self.live.remove(&id);
                self.feed(Input::End { id });
            }
            11..=13 => self.update(choices),
            14 => {
                let len = usize::from(choices.byte());
                let result = self.client.message(alloc::vec![7; len * 4]);
                assert!(len * 4 <= QUEUED_BYTES || result.is_err());
            }
            _ => match choices.byte() {
                0 => self.client.stop(),
                1 => (self.latest, self.now) = (self.latest.max(self.now), Instant::ORIGIN),
                2 => {
                    self.now = THE_END;
                    self.feed(Input::Timeout);
                }
                byte => self.feed(Input::Wall(UnixTime::from_epoch(Duration::from_secs(byte.into())))),
            },
        }
    }

    fn exchange(&self, choices: &mut Choices<'_>) -> ExchangeId {
        let choice = usize::from(choices.byte());
        let live = self.live.keys().nth((choice / 4) % self.live.len().max(1));
        match (choice % 4, live) {
            (1.., Some(id)) => *id,
            _ => self.all.get(choice / 4).copied().unwrap_or(ExchangeId(u64::MAX)),
        }
    }

    /// What a good agent does, so that histories get far.
    fn open_stream(&mut self, choices: &mut Choices<'_>) {
        for _ in 0..4 {
            let found = self.live.iter().find(|(_, lane)| **lane == Lane::Subscription).map(|(id, _)| *id);
            if let Some(id) = found {
                let head = Head::new(200).header("content-type", b"application/x-protobuf");
                self.feed(Input::Head { id, head });
                let event = subscribed(choices.byte());
                return self.record(&event, choices);
            }
            if self.sleep().is_none() {
                return;
            }
        }
    }

    /// A record on the subscription, or on any other exchange.
    fn record(&mut self, event: &v1::executor::Event, choices: &mut Choices<'_>) {
        let stream = self.live.iter().find(|(_, lane)| **lane == Lane::Subscription).map(|(id, _)| *id);
        let id = stream.unwrap_or(ExchangeId(u64::MAX));
        let mut data = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut data);
        let cut = usize::from(choices.byte()) % data.len().max(1);
        self.feed(Input::Body { id, data: &data[..cut] });
        self.feed(Input::Body { id, data: &data[cut..] });
    }

    fn event(&self, choices: &mut Choices<'_>) -> v1::executor::Event {
        use event::Type;
        let of = |kind: Type| v1::executor::Event { r#type: Some(kind.into()), ..Default::default() };
        let id = format!("t{}", choices.byte() % 4);
        match choices.byte() % 16 {
            0..=2 => {
                let launch = Box::new(event::Launch { task: v1::TaskInfo::new("n", id, "s") });
                v1::executor::Event { launch: Some(launch), ..of(Type::Launch) }
            }
            3 => {
                let tasks = [id, "g".to_string()].map(|id| v1::TaskInfo::new("n", id, "s")).into();
                let launch_group = Box::new(event::LaunchGroup { task_group: v1::TaskGroupInfo { tasks } });
                v1::executor::Event { launch_group: Some(launch_group), ..of(Type::LaunchGroup) }
            }
            4 => {
                let kill = event::Kill { task_id: id.into(), kill_policy: None };
                v1::executor::Event { kill: Some(kill), ..of(Type::Kill) }
            }
            5..=10 => {
                let sent: Vec<&Open> = self.open.values().filter(|open| open.uuid.is_some()).collect();
                let open = sent.get(usize::from(choices.byte()) % sent.len().max(1));
                let (task, uuid) = open.map_or((id, bytes::Bytes::from_static(&[7; 16])), |open| {
                    (open.task.clone(), open.uuid.clone().unwrap_or_default())
                });
                let acknowledged = event::Acknowledged { task_id: task.into(), uuid };
                v1::executor::Event { acknowledged: Some(acknowledged), ..of(Type::Acknowledged) }
            }
            11 => of(Type::Heartbeat),
            12 => v1::executor::Event {
                message: Some(event::Message { data: bytes::Bytes::from_static(b"x") }),
                ..of(Type::Message)
            },
            13 => match choices.byte() % 4 {
                0 => of(Type::Shutdown),
                1 => {
                    let error = event::Error { message: "no".to_string() };
                    v1::executor::Event { error: Some(error), ..of(Type::Error) }
                }
                _ => of(Type::Heartbeat),
            },
            // Anything that the schema can say, or a type that it doesn't have.
            _ => match choices.byte() {
                kind @ 0..=127 => v1::executor::Event { r#type: Some(kind.into()), ..Default::default() },
                _ => messages::any(choices),
            },
        }
    }

    fn update(&mut self, choices: &mut Choices<'_>) {
        let id = choices.pick(&["t0", "t1", "t2", "t3", "g"]);
        let state = choices.pick(&STATES);
        let status = v1::TaskStatus::new(id, state).with_message(self.updates.to_string());
        let result = self.client.update(status);
        self.transcript.push(format!("{result:?}"));
        match result {
            Ok(()) => {
                assert!(self.running.contains(id), "an update of {id}, which doesn't run");
                if is_last(state) {
                    self.running.remove(id);
                }
                let open = Open { task: id.to_string(), state, uuid: None };
                self.open.insert(self.updates, open);
                self.updates += 1;
            }
            Err(CallError::UnknownTask(_) | CallError::TaskEnded(_)) => assert!(!self.running.contains(id)),
            Err(_) => {}
        }
    }

    /// To the next deadline, as a driver does, if it ever comes.
    fn sleep(&mut self) -> Option<Deadline> {
        let deadline = self.drain().filter(|deadline| deadline.at < THE_END)?;
        let before = (self.client.session().state, deadline);
        self.now = self.now.max(deadline.at);
        self.client.handle_input(self.now, Input::Timeout);
        let after = self.drain().map(|deadline| (self.client.session().state, deadline));
        assert_ne!(after, Some(before), "what was due isn't done");
        Some(deadline)
    }

    fn feed(&mut self, input: Input<'_>) {
        self.client.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) -> Option<Deadline> {
        loop {
            let output = self.client.poll_output();
            assert!(!self.ended || matches!(output, Output::Timeout(None)), "after the end: {output:?}");
            self.transcript.push(format!("{output:?}"));
            match output {
                Output::Timeout(deadline) => {
                    assert_eq!(deadline.is_none(), self.ended, "no deadline means the end");
                    return deadline;
                }
                Output::Abort(id) => assert!(self.live.remove(&id).is_some() || self.all.contains(&id)),
                Output::Request(request) => self.on_request(&request),
                Output::Persist(batch) => unreachable!("the client keeps nothing: {batch:?}"),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn on_request(&mut self, request: &Request) {
        assert!(!self.all.contains(&request.id()), "an id used twice");
        assert!(!self.live.values().any(|lane| *lane == request.lane()), "two on {:?}", request.lane());
        let call = Call::decode(request.body().clone()).unwrap_or_default();
        match call.r#type() {
            call::Type::Subscribe => {
                assert_eq!(request.lane(), Lane::Subscription);
                let body = call.subscribe.unwrap_or_default();
                let tasks: Vec<String> = body.unacknowledged_tasks.into_iter().map(|t| t.task_id.value).collect();
                assert_eq!(tasks, self.unacknowledged, "the tasks of SUBSCRIBE");
                let updates: Vec<u32> = body.unacknowledged_updates.iter().map(|u| self.sent(&u.status)).collect();
                assert_eq!(updates, self.open.keys().copied().collect::<Vec<_>>(), "the updates of SUBSCRIBE");
            }
            call::Type::Update => {
                assert_eq!(request.lane(), Lane::Ordered);
                let status = call.update.unwrap_or_default().status;
                let number = self.sent(&status);
                let earlier = self.open.range(..number).map(|(_, open)| open);
                let unsent = earlier.filter(|open| open.task == status.task_id.value && open.uuid.is_none());
                assert_eq!(unsent.count(), 0, "update {number} overtakes another one");
            }
            kind => assert!(matches!(kind, call::Type::Message | call::Type::Heartbeat)),
        }
        self.live.insert(request.id(), request.lane());
        self.all.push(request.id());
    }

    /// An update leaves: it is one of those without an end, and always has the same uuid.
    fn sent(&mut self, status: &v1::TaskStatus) -> u32 {
        let number = status.message().parse().unwrap_or(u32::MAX);
        let open = self.open.get_mut(&number);
        assert!(open.is_some(), "update {number} has had its end");
        if let Some(open) = open {
            let uuid = status.uuid.clone();
            assert!(uuid.as_deref().is_some_and(crate::checks::uuid));
            assert!(open.uuid.is_none() || open.uuid == uuid, "another uuid for update {number}");
            assert_eq!((open.task.as_str(), open.state), (status.task_id.value.as_str(), status.state()));
            open.uuid = uuid;
        }
        number
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Launch(task) => self.launched([task.task_id.value]),
            Event::LaunchGroup(group) => self.launched(group.tasks.into_iter().map(|task| task.task_id.value)),
            Event::Kill { task_id, .. } => assert!(self.running.contains(&task_id.value), "a kill of {task_id}"),
            Event::Acknowledged { task_id, state } => {
                // The oldest one that says so has been sent first; the client has the uuids to be exact.
                let mut same = self.open.iter().filter(|(_, o)| o.task == task_id.value && o.state == state);
                let exact = self.client.session().unacknowledged + 1 == self.open.len();
                let number = same.find(|(number, _)| !self.is_kept(**number)).map(|(number, _)| *number);
                assert!(exact && number.is_some(), "a second acknowledgement for {task_id}");
                self.open.remove(&number.unwrap_or_default());
                self.unacknowledged.retain(|task| *task != task_id.value);
            }
            Event::UpdateLost { status, reason } => {
                let number = status.message().parse().unwrap_or(u32::MAX);
                assert!(self.open.remove(&number).is_some(), "a second end of update {number}");
                if matches!(reason, crate::executor::LostReason::Rejected { .. }) && is_last(status.state()) {
                    self.running.insert(status.task_id.value);
                }
            }
            Event::Fatal(_) | Event::Stopped { .. } => {
                self.ended = true;
                assert!(self.live.is_empty(), "left open: {:?}", self.live);
                assert!(self.open.is_empty(), "updates without an end: {:?}", self.open);
            }
            _ => {}
        }
    }

    fn launched(&mut self, tasks: impl IntoIterator<Item = String>) {
        for task in tasks {
            assert!(self.running.insert(task.clone()), "{task} runs already");
            self.unacknowledged.push(task);
        }
    }

    /// Whether the client still has this update.
    fn is_kept(&self, number: u32) -> bool {
        let uuid = self.open.get(&number).and_then(|open| open.uuid.as_deref());
        uuid.is_none_or(|uuid| self.client.keeps(uuid))
    }

    fn check(&mut self) {
        self.drain();
        let session = self.client.session();
        assert_eq!(session.state == SessionState::Ended, self.ended);
        if !self.ended {
            assert_eq!(session.unacknowledged, self.open.len());
            assert_eq!(session.tasks, self.running.len());
        }
        // The last update of a task is always taken.
        assert!(self.open.len() <= QUEUED_CALLS + 64);
        assert!(self.client.queued_bytes() <= QUEUED_BYTES);
    }

    /// Stops, at an agent that is no longer there: within the recovery timeout and the grace period.
    fn leave(&mut self) {
        self.client.stop();
        // The client's time doesn't go back.
        let start = self.now.max(self.latest);
        while !self.ended {
            for (id, _) in core::mem::take(&mut self.live) {
                self.feed(Input::Failed { id, failure: Failure::new(FailureKind::Connect, Sent::No, "gone") });
            }
            if self.sleep().is_none() && !self.ended {
                // Time is at its end, and stands still.
                assert!(self.now >= start && start + Duration::from_secs(3600) >= THE_END);
                return;
            }
        }
        let took = self.now.saturating_duration_since(start);
        assert!(took <= Duration::from_secs(110), "it took {took:?} to end");
    }
}

const fn is_last(state: TaskState) -> bool {
    matches!(state, TaskState::TaskFinished | TaskState::TaskKilled)
}

fn subscribed(choice: u8) -> v1::executor::Event {
    let killing =
        v1::framework_info::Capability { r#type: Some(v1::framework_info::capability::Type::TaskKillingState.into()) };
    let framework_info = v1::FrameworkInfo {
        capabilities: (choice & 1 == 0).then_some(killing).into_iter().collect(),
        ..Default::default()
    };
    let subscribed = event::Subscribed { framework_info, ..Default::default() };
    v1::executor::Event {
        r#type: Some(event::Type::Subscribed.into()),
        subscribed: Some(Box::new(subscribed)),
        ..Default::default()
    }
}
