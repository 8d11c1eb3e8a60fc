//! The engine against a scripted master, store and clock, without I/O. Whatever a scenario is about, the laws of
//! [`laws`] are checked on every call.
#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of ids is compared with a list of ids")]

mod adopt;
mod backoff;
mod chance;
mod demand;
mod ends;
mod fence;
mod forbid;
mod kills;
mod launch;
mod laws;
mod limits;
mod metrics;
mod offers;
mod options;
mod persist;
mod quarantine;
mod reconcile;
mod recover;
mod rollout;
mod scale;
mod seen;
mod uninstall;
mod unreachable;
mod world;

use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use core::time::Duration;
use prost::Message;

use super::*;
use crate::scheduler::{self, Framework};
use crate::{
    ExchangeId, Failure, FailureKind, Head, Input, Instant, Key, Lane, Machine, MemoryStore, Output, Persist, Request,
    Resources, Sent, StoreFailure, StoreOp, Ticket, UnixTime, recordio, v1,
};
use laws::Laws;
use v1::TaskState::*;
use v1::scheduler::call::{self, Type};
use v1::scheduler::{Call, event};
use v1::task_status::{Reason, Source};

/// No drain gives so many outputs, and no moment so many rounds.
const ENDLESS: usize = 20_000;
/// The machine's origin on the wall clock.
const ORIGIN: u64 = 1_700_000_000;
const BIG: &str = "cpus:100;mem:100000;ports:[31000-32000]";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A service that is ready as soon as it runs.
fn service(name: &str, instances: u32) -> TaskSpec {
    TaskSpec::new(name)
        .command("run")
        .resources(Resources::new().cpus(1.0).mem(32.0))
        .instances(instances)
        .min_ready(Duration::ZERO)
}

fn config() -> Config {
    client(Framework::new("test"))
}

fn client(framework: Framework) -> Config {
    Config::new(scheduler::Config::new(framework, ["10.0.0.1:5050"]).expect("a configuration"))
}

/// What the store does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Writes,
    /// Says nothing so far.
    Hangs,
    /// Unavailable.
    Fails,
}

/// One engine, and what it has put out and nobody has looked at.
struct Script {
    engine: Engine,
    config: Config,
    specs: Vec<TaskSpec>,
    incarnations: u64,
    now: Instant,
    /// What the wall clock shows at the machine's origin.
    wall: Duration,
    disk: Disk,
    store: MemoryStore,
    flying: Option<Persist>,
    /// Whether there is a master that answers SUBSCRIBE.
    master: bool,
    /// Whether calls get their 202.
    answering: bool,
    open: VecDeque<(ExchangeId, Call)>,
    subscription: Option<Request>,
    subscribes: Vec<call::Subscribe>,
    stream: Option<ExchangeId>,
    heartbeat: Instant,
    deadline: Option<crate::Deadline>,
    calls: VecDeque<(Instant, Call)>,
    events: VecDeque<Event>,
    /// Where tasks were launched.
    agents: BTreeMap<String, String>,
    frameworks: u32,
    numbers: u64,
    laws: Laws,
    /// How many outputs there were.
    outputs: usize,
    /// The process dies before it does anything about this output.
    crash_after: Option<usize>,
    crashed: bool,
    /// All outputs, if somebody wants to compare them.
    recording: Option<Vec<String>>,
}

/// An ACCEPT.
struct Accept {
    offers: Vec<String>,
    tasks: Vec<v1::TaskInfo>,
    refuse: f64,
}

impl Accept {
    fn ids(&self) -> Vec<String> {
        self.tasks.iter().map(|task| task.task_id.value.clone()).collect()
    }
}

impl Script {
    /// A subscribed engine with these specs and an empty store; nothing is left to look at.
    fn new(specs: impl IntoIterator<Item = TaskSpec>) -> Self {
        Self::with(config(), specs)
    }

    fn with(config: Config, specs: impl IntoIterator<Item = TaskSpec>) -> Self {
        let mut script = Self::unstarted(config, specs);
        script.start();
        assert!(script.stream.is_some(), "subscribed");
        script.clear();
        script
    }

    /// An engine that has had no input.
    fn unstarted(config: Config, specs: impl IntoIterator<Item = TaskSpec>) -> Self {
        let specs: Vec<TaskSpec> = specs.into_iter().collect();
        Self {
            engine: Engine::new(config.clone(), specs.clone(), [], 1).expect("an engine"),
            config,
            specs,
            incarnations: 1,
            now: Instant::from_origin(secs(1000)),
            wall: secs(ORIGIN),
            disk: Disk::Writes,
            store: MemoryStore::new(),
            flying: None,
            master: true,
            answering: true,
            open: VecDeque::new(),
            subscription: None,
            subscribes: Vec::new(),
            stream: None,
            heartbeat: Instant::ORIGIN,
            deadline: None,
            calls: VecDeque::new(),
            events: VecDeque::new(),
            agents: BTreeMap::new(),
            frameworks: 0,
            numbers: 0,
            laws: Laws::default(),
            outputs: 0,
            crash_after: None,
            crashed: false,
            recording: None,
        }
    }

    fn start(&mut self) {
        let wall = UnixTime::from_epoch(self.wall + self.now.since_origin());
        self.feed(Input::Wall(wall));
        self.tick();
    }

    // The machine.

    fn feed(&mut self, input: Input<'_>) {
        self.engine.handle_input(self.now, input);
    }

    /// Takes what the engine has to say.
    fn drain(&mut self) {
        for _ in 0..ENDLESS {
            if self.crashed {
                return;
            }
            let output = self.engine.poll_output();
            if !matches!(output, Output::Timeout(_)) {
                self.outputs += 1;
                self.crashed = self.crash_after == Some(self.outputs);
            }
            if self.crashed {
                return;
            }
            if let Some(recording) = &mut self.recording {
                recording.push(format!("{output:?}"));
            }
            match output {
                Output::Request(request) if request.lane() == Lane::Subscription => {
                    self.laws.alive();
                    self.subscription = Some(request);
                }
                Output::Request(request) => {
                    assert!(self.stream.is_some(), "a call without a subscription");
                    let call = Call::decode(request.body().clone()).expect("a call");
                    self.laws.on_call(&call, &self.store, &self.engine);
                    self.calls.push_back((self.now, call.clone()));
                    self.open.push_back((request.id(), call));
                }
                Output::Abort(id) => {
                    self.open.retain(|(open, _)| *open != id);
                    self.subscription.take_if(|request| request.id() == id);
                    self.stream.take_if(|stream| *stream == id);
                }
                Output::Persist(batch) => {
                    let bytes: usize = batch.ops().iter().map(StoreOp::size).sum();
                    assert!(
                        batch.ops().len() <= Persist::MAX_OPS && bytes <= Persist::MAX_BYTES,
                        "no store takes that"
                    );
                    self.laws.alive();
                    assert!(self.flying.is_none(), "one batch at a time");
                    self.flying = Some(batch);
                }
                Output::Event(event) => {
                    self.laws.on_event(&event);
                    self.events.push_back(event);
                }
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
        panic!("outputs without end: {:?}", self.events.back());
    }

    /// One thing that the other side does by itself.
    fn react(&mut self) -> bool {
        if self.crashed {
            return false;
        }
        if let (Some(batch), true) = (&self.flying, self.disk != Disk::Hangs) {
            let ticket = batch.ticket();
            if self.disk == Disk::Writes {
                self.confirm();
            } else {
                self.flying = None;
                self.feed(Input::PersistFailed { ticket, failure: StoreFailure::Unavailable("scripted".into()) });
            }
        } else if self.answering && !self.open.is_empty() {
            let (id, _) = self.open.pop_front().expect("a call");
            self.feed(Input::Head { id, head: Head::new(202) });
            self.feed(Input::End { id });
        } else if let Some(request) = self.subscription.take_if(|_| self.master) {
            self.accept_subscription(&request);
        } else {
            return false;
        }
        true
    }

    /// Until nobody has anything more to say.
    fn settle(&mut self) {
        for _ in 0..ENDLESS {
            self.drain();
            if !self.react() {
                let waits = !self.open.is_empty() || self.flying.is_some() || self.disk != Disk::Writes;
                return self.laws.on_rest(waits, &self.engine);
            }
        }
        panic!("no rest: {:?}", self.calls.back());
    }

    /// The batch that is under way is durable.
    fn confirm(&mut self) {
        let batch = self.flying.take().expect("a batch");
        self.store.apply_now(&batch);
        self.feed(Input::Persisted { ticket: batch.ticket() });
    }

    fn tick(&mut self) {
        self.feed(Input::Timeout);
        self.settle();
    }

    /// Sleeps as a driver does, through all deadlines up to `time` from now; heartbeats come meanwhile.
    fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        while !self.crashed {
            let beat = self.stream.map(|_| self.heartbeat);
            let next = [self.deadline.map(|deadline| deadline.at), beat].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            at_once = if at <= self.now { at_once + 1 } else { 0 };
            assert!(at_once < 1000, "time stands still: {:?}", self.deadline);
            self.now = self.now.max(at);
            if beat.is_some_and(|beat| beat <= self.now) {
                self.heartbeat = self.now + secs(15);
                self.record(&event_of(event::Type::Heartbeat));
            }
            self.tick();
        }
        self.now = end;
        self.tick();
    }

    // The master.

    fn accept_subscription(&mut self, request: &Request) {
        let call = Call::decode(request.body().clone()).expect("a call");
        assert_eq!(call.r#type(), Type::Subscribe);
        let subscribe = call.subscribe.expect("a body");
        let id = subscribe.framework_info.id.as_ref().map(|id| id.value.clone()).unwrap_or_else(|| {
            self.frameworks += 1;
            format!("f-{}", self.frameworks)
        });
        self.subscribes.push(subscribe);
        self.stream = Some(request.id());
        self.heartbeat = self.now + secs(15);
        self.laws.on_subscribed();
        let head = Head::new(200).header("content-type", b"application/x-protobuf");
        self.feed(Input::Head { id: request.id(), head: head.header("mesos-stream-id", b"8b42") });
        let subscribed = event::Subscribed {
            framework_id: v1::FrameworkId { value: id },
            heartbeat_interval_seconds: Some(15.0),
            master_info: None,
        };
        self.record(&v1::scheduler::Event { subscribed: Some(subscribed), ..event_of(event::Type::Subscribed) });
    }

    /// Answers a SUBSCRIBE for an id that is spent.
    fn accept_as_removed(&mut self, request: &Request) {
        self.stream = Some(request.id());
        let head = Head::new(200).header("content-type", b"application/x-protobuf");
        self.feed(Input::Head { id: request.id(), head: head.header("mesos-stream-id", b"8b42") });
        self.error("Framework has been removed");
    }

    /// Sends an event on the stream.
    fn record(&mut self, event: &v1::scheduler::Event) {
        let mut bytes = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut bytes);
        let id = self.stream.expect("a stream");
        self.feed(Input::Body { id, data: &bytes });
    }

    fn send(&mut self, event: &v1::scheduler::Event) {
        self.record(event);
        self.settle();
    }

    /// The stream ends; calls that have no answer get none.
    fn cut(&mut self) {
        let id = self.stream.take().expect("a stream");
        self.laws.on_lost();
        for (id, _) in core::mem::take(&mut self.open) {
            self.feed(Input::Failed { id, failure: failure(Sent::Maybe) });
        }
        self.feed(Input::End { id });
        self.settle();
    }

    /// Until the next subscription.
    fn resubscribe(&mut self) {
        self.master = true;
        for _ in 0..100 {
            if self.stream.is_some() {
                return;
            }
            self.sleep(millis(500));
        }
        panic!("no SUBSCRIBE");
    }

    /// The process dies at this moment; another one takes over, with what the store holds.
    fn crash(&mut self) {
        self.stop();
        self.recover();
    }

    /// The process dies.
    fn stop(&mut self) {
        self.flying = None;
        self.open.clear();
        self.subscription = None;
        self.stream = None;
        self.laws.on_lost();
    }

    /// A new process starts.
    fn recover(&mut self) {
        self.incarnations += 1;
        let records: Vec<_> = self.store.records().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        self.engine =
            Engine::new(self.config.clone(), self.specs.clone(), records, self.incarnations).expect("an engine");
        self.laws.on_start(&self.engine);
        self.start();
    }

    /// Answers the oldest call that waits for one.
    fn reply(&mut self, status: u16, body: &str) {
        let (id, call) = self.open.pop_front().expect("a call");
        if (400..500).contains(&status) {
            self.laws.on_refused(&call);
        }
        self.feed(Input::Head { id, head: Head::new(status) });
        if !body.is_empty() {
            self.feed(Input::Body { id, data: body.as_bytes() });
        }
        self.feed(Input::End { id });
        self.settle();
    }

    /// The oldest open call could not be sent.
    fn not_sent(&mut self) {
        let (id, call) = self.open.pop_front().expect("a call");
        self.laws.on_refused(&call);
        self.feed(Input::Failed { id, failure: failure(Sent::No) });
        self.settle();
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// An offer that hasn't been sent, of an agent on a host of its own.
    fn make_offer(&mut self, agent: &str, resources: &str) -> v1::Offer {
        let role = self.config.client.framework().roles[0].clone();
        v1::Offer {
            id: v1::OfferId { value: format!("o{}", self.number()) },
            framework_id: v1::FrameworkId { value: "f-1".into() },
            agent_id: agent.into(),
            hostname: format!("h-{agent}"),
            allocation_info: Some(v1::resource::AllocationInfo { role: Some(role.clone()) }),
            resources: parse(resources, &role),
            ..Default::default()
        }
    }

    /// One event with these offers.
    fn offers(&mut self, offers: Vec<v1::Offer>) {
        offers.iter().for_each(|offer| self.laws.on_offer(offer));
        let offers = event::Offers { offers };
        self.send(&v1::scheduler::Event { offers: Some(offers), ..event_of(event::Type::Offers) });
    }

    /// Offers what an agent has; returns the offer's id.
    fn offer(&mut self, agent: &str, resources: &str) -> String {
        let offer = self.make_offer(agent, resources);
        let id = offer.id.value.clone();
        self.offers(vec![offer]);
        id
    }

    fn rescind(&mut self, offer: &str) {
        self.laws.on_rescind(offer, !self.open.is_empty());
        let rescind = event::Rescind { offer_id: v1::OfferId { value: offer.into() } };
        self.send(&v1::scheduler::Event { rescind: Some(rescind), ..event_of(event::Type::Rescind) });
    }

    /// One event with these inverse offers.
    fn inverse_offers(&mut self, inverse_offers: Vec<v1::InverseOffer>) {
        let inverse_offers = Some(event::InverseOffers { inverse_offers });
        self.send(&v1::scheduler::Event { inverse_offers, ..event_of(event::Type::InverseOffers) });
    }

    fn rescind_inverse(&mut self, offer: &str) {
        let rescind = event::RescindInverseOffer { inverse_offer_id: v1::OfferId { value: offer.into() } };
        let kind = event_of(event::Type::RescindInverseOffer);
        self.send(&v1::scheduler::Event { rescind_inverse_offer: Some(rescind), ..kind });
    }

    fn failure(&mut self, agent: &str, executor: Option<&str>) {
        self.laws.on_failure(agent, executor, &self.engine);
        let failure = event::Failure {
            agent_id: Some(agent.into()),
            executor_id: executor.map(Into::into),
            ..Default::default()
        };
        self.send(&v1::scheduler::Event { failure: Some(failure), ..event_of(event::Type::Failure) });
    }

    fn error(&mut self, message: &str) {
        let error = event::Error { message: message.into() };
        self.send(&v1::scheduler::Event { error: Some(error), ..event_of(event::Type::Error) });
    }

    /// A status of this task, from its executor, with a uuid of its own; put right by `edit`.
    fn status(&mut self, task: &str, state: v1::TaskState, edit: impl FnOnce(&mut v1::TaskStatus)) {
        let agent = self.agents.get(task).cloned().unwrap_or_else(|| "a1".into());
        let mut uuid = vec![7; 8];
        uuid.extend(self.number().to_be_bytes());
        (uuid[6], uuid[8]) = (0x47, 0x87);
        let mut status = v1::TaskStatus {
            task_id: v1::TaskId { value: task.into() },
            state: state.into(),
            agent_id: Some(v1::AgentId { value: agent }),
            source: Some(Source::Executor.into()),
            uuid: Some(uuid.into()),
            ..Default::default()
        };
        edit(&mut status);
        self.deliver(status);
    }

    fn deliver(&mut self, status: v1::TaskStatus) {
        self.laws.on_status(&status);
        let task = &status.task_id.value;
        let counted = self.engine.find_task(task).is_some();
        let ghost = self.engine.ghosts.get(task).is_some_and(|ghost| ghost.was.is_some());
        let update = event::Update { status: status.clone() };
        self.send(&v1::scheduler::Event { update: Some(update), ..event_of(event::Type::Update) });
        self.laws.on_told(&status, counted, ghost, &self.engine);
    }

    fn update(&mut self, task: &str, state: v1::TaskState) {
        self.status(task, state, |_| {});
    }

    /// A status that the master makes, for this reason: without uuid.
    fn master_says(&mut self, task: &str, state: v1::TaskState, reason: Reason) {
        self.status(task, state, |status| {
            status.uuid = None;
            status.source = Some(Source::Master.into());
            status.reason = Some(reason.into());
        });
    }

    /// The answer to a question.
    fn answer(&mut self, task: &str, state: v1::TaskState) {
        self.master_says(task, state, Reason::Reconciliation);
    }

    /// Offers one agent's resources and returns the tasks that are launched on them, if any.
    fn launch(&mut self, agent: &str, resources: &str) -> Vec<String> {
        self.offer(agent, resources);
        self.accepts().iter().flat_map(Accept::ids).collect()
    }

    /// Launches so many tasks on agent `a1`, all of which run.
    fn running(&mut self, count: usize) -> Vec<String> {
        let tasks = self.launch("a1", BIG);
        assert_eq!(tasks.len(), count);
        tasks.iter().for_each(|task| self.update(task, TaskRunning));
        self.clear();
        tasks
    }

    // What came out.

    /// Forgets all that came out so far.
    fn clear(&mut self) {
        self.calls.clear();
        self.events.clear();
    }

    /// All calls of a kind that nobody has looked at, with their moments.
    fn timed(&mut self, kind: Type) -> Vec<(Instant, Call)> {
        let all = core::mem::take(&mut self.calls);
        let (taken, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, call)| call.r#type() == kind);
        self.calls = left.into();
        taken
    }

    fn take(&mut self, kind: Type) -> Vec<Call> {
        self.timed(kind).into_iter().map(|(_, call)| call).collect()
    }

    /// The ACCEPTs that nobody has looked at.
    fn accepts(&mut self) -> Vec<Accept> {
        let accepts: Vec<_> = self.take(Type::Accept).into_iter().map(|call| call.accept.expect("a body")).collect();
        let of = |accept: call::Accept| Accept {
            offers: accept.offer_ids.into_iter().map(|id| id.value).collect(),
            refuse: accept.filters.expect("a filter").refuse_seconds(),
            tasks: accept.operations.into_iter().flat_map(|o| o.launch.expect("LAUNCH").task_infos).collect(),
        };
        let accepts: Vec<Accept> = accepts.into_iter().map(of).collect();
        for task in accepts.iter().flat_map(|accept| &accept.tasks) {
            self.agents.insert(task.task_id.value.clone(), task.agent_id.value.clone());
        }
        accepts
    }

    /// The only ACCEPT that nobody has looked at.
    fn accept(&mut self) -> Accept {
        let mut accepts = self.accepts();
        assert_eq!(accepts.len(), 1, "one ACCEPT");
        accepts.remove(0)
    }

    /// The DECLINEs that nobody has looked at: offers and seconds.
    fn declines(&mut self) -> Vec<(Vec<String>, f64)> {
        let of = |call: Call| {
            let decline = call.decline.expect("a body");
            let seconds = decline.filters.unwrap_or_default().refuse_seconds();
            (decline.offer_ids.into_iter().map(|id| id.value).collect(), seconds)
        };
        self.take(Type::Decline).into_iter().map(of).collect()
    }

    /// The tasks of the KILLs that nobody has looked at.
    fn kills(&mut self) -> Vec<String> {
        self.take(Type::Kill).into_iter().map(|call| call.kill.expect("a body").task_id.value).collect()
    }

    /// The tasks of the explicit RECONCILEs that nobody has looked at.
    fn asked(&mut self) -> Vec<String> {
        let calls = self.take(Type::Reconcile).into_iter().map(|call| call.reconcile.expect("a body"));
        calls.flat_map(|reconcile| reconcile.tasks).map(|task| task.task_id.value).collect()
    }

    /// The tasks of the ACKNOWLEDGEs that nobody has looked at.
    fn acks(&mut self) -> Vec<String> {
        self.take(Type::Acknowledge).into_iter().map(|call| call.acknowledge.expect("a body").task_id.value).collect()
    }

    /// How many events of this sort nobody has looked at.
    fn told(&self, sort: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| sort(event)).count()
    }

    /// The tasks that have left since nobody has looked: ended like this, or given up for this reason.
    fn left(&self) -> Vec<(String, Result<EndClass, GhostReason>)> {
        let left = |event: &Event| match event {
            Event::TaskEnded { task, class } => Some((task.task_id.clone(), Ok(*class))),
            Event::TaskRemoved { task, why } => Some((task.task_id.clone(), Err(*why))),
            _ => None,
        };
        self.events.iter().filter_map(left).collect()
    }

    fn state(&self, task: &str) -> Option<State> {
        self.engine.find_task(task).map(|task| task.state)
    }

    /// The tasks of an instance, the oldest first.
    fn tasks(&self, spec: &str, index: u32) -> Vec<Task> {
        let mut tasks: Vec<Task> =
            self.engine.tasks().filter(|task| task.spec == spec && task.index == index).collect();
        tasks.sort_by_key(|task| task.generation);
        tasks
    }

    fn spec(&self, name: &str) -> SpecStatus {
        self.engine.spec(name).expect("a spec")
    }

    /// The text of a record, if it is there.
    fn stored<const N: usize>(&self, key: [&str; N]) -> Option<String> {
        self.store.records().get(&Key::new(key)).map(|value| String::from_utf8(value.to_vec()).expect("text"))
    }
}

fn failure(sent: Sent) -> Failure {
    let kind = if sent == Sent::No { FailureKind::Connect } else { FailureKind::Io };
    Failure::new(kind, sent, "scripted")
}

fn event_of(kind: event::Type) -> v1::scheduler::Event {
    v1::scheduler::Event { r#type: Some(kind.into()), ..Default::default() }
}

/// An agent is to be taken away, from long ago on and for ever.
fn inverse_offer(id: &str, agent: &str) -> v1::InverseOffer {
    v1::InverseOffer {
        id: v1::OfferId { value: id.into() },
        framework_id: v1::FrameworkId { value: "f-1".into() },
        agent_id: Some(agent.into()),
        unavailability: v1::Unavailability { start: v1::TimeInfo { nanoseconds: 1 }, duration: None },
        ..Default::default()
    }
}

/// Resources as people write them: `cpus(web):2;mem:100;ports:[1-2,5-5]`, a role in parentheses being a reservation's.
fn parse(text: &str, role: &str) -> Vec<v1::Resource> {
    let one = |part: &str| {
        let (name, value) = part.split_once(':').expect("name:value");
        let (name, reserved) = match name.split_once('(') {
            Some((name, reserved)) => (name, reserved.strip_suffix(')')),
            None => (name, None),
        };
        let range = |range: &str| {
            let (first, last) = range.split_once('-').expect("first-last");
            first.parse().expect("a number")..=last.parse().expect("a number")
        };
        let mut resource = match value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
            Some(ranges) => v1::Resource::ranges(name, ranges.split(',').map(range)),
            None => v1::Resource::scalar(name, value.parse().expect("a number")),
        };
        resource.allocation_info = Some(v1::resource::AllocationInfo { role: Some(role.into()) });
        resource.reservations = reserved
            .map(|role| v1::resource::ReservationInfo {
                r#type: Some(v1::resource::reservation_info::Type::Static.into()),
                role: Some(role.into()),
                ..Default::default()
            })
            .into_iter()
            .collect();
        resource
    };
    text.split(';').map(one).collect()
}
