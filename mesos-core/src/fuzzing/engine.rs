//! The engine under any inputs and commands in any order, and started from any records.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use mesos_proto::descriptor::Message as Descriptor;
use mesos_proto::{Described, json, store};
use prost::Message;

use super::{Choices, history, messages};
use crate::engine::{Config, Duplicates, Engine, Event, OnRemoved, RecoverError, TaskSpec};
use crate::scheduler::{self, Framework};
use crate::{
    ExchangeId, Failure, FailureKind, Head, Input, Instant, Key, Lane, Machine, MemoryStore, Output, Persist,
    Resources, Sent, StoreFailure, UnixTime, recordio, v1,
};
use v1::TaskState::*;
use v1::scheduler::{Call, event};

/// No moment brings so many outputs.
const ENDLESS: usize = 20_000;
const ORIGIN: Duration = Duration::from_secs(1_700_000_000);
const SPECS: [&str; 3] = ["web", "job", "strict"];

/// Plays the history that these bytes describe, with crashes and recoveries in it, and checks after each step what must
/// always hold.
///
/// # Panics
/// An invariant is broken.
pub fn engine(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut history = History::new(&mut choices);
    while !choices.is_empty() {
        history.step(&mut choices);
    }
    history.machine.disconnect();
    history.drain();
    assert!(history.ended, "disconnecting ends it");
}

/// Starts an engine from the records that these bytes describe, good and bad ones: it refuses them with an error, or
/// sets aside what can't be read, and what it makes of them can be read again.
///
/// # Panics
/// An invariant is broken.
pub fn store(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut records = Vec::new();
    while !choices.is_empty() {
        records.push(record(&mut choices));
    }
    let mut disk = MemoryStore::new();
    let ops = records.iter().map(|(key, value)| crate::StoreOp::Put { key: key.clone(), value: value.clone() });
    disk.apply_now(&Persist::new(crate::Ticket::new(1), ops.collect()));
    let Ok(machine) = recovered(&disk, SPECS.map(spec), 1) else { return };
    let mut history = History::of(machine, disk);
    history.start();
    history.confirm_all();
    if !history.ended {
        assert!(recovered(&history.disk, SPECS.map(spec), 2).is_ok(), "its own records can be read");
    }
}

/// A record under a key of some kind: any message of that kind, spoilt or not, or any bytes.
fn record(choices: &mut Choices<'_>) -> (Key, Bytes) {
    let (name, index) = (choices.pick(&["web", "job", "strict", "x", ""]), (choices.byte() % 4).to_string());
    let generation = choices.byte().to_string();
    let id = format!("test.{name}-{index}.{generation}.1-aaaaaaaa");
    let (key, kind): (Key, &Descriptor) = match choices.byte() % 8 {
        0 => (Key::new(["engine"]), store::Engine::descriptor()),
        1 => (Key::new(["framework"]), store::Framework::descriptor()),
        2 => (Key::new(["spec", name]), store::Spec::descriptor()),
        3 => (Key::new(["rev", name, &generation]), store::Revision::descriptor()),
        4 => (Key::new(["slot", name, &index]), store::Slot::descriptor()),
        5 => (Key::new(["inst", name, &index, &generation]), store::Instance::descriptor()),
        6 => (Key::new(["ghost", &id]), store::Ghost::descriptor()),
        _ => (Key::new([name, &index]), store::Slot::descriptor()),
    };
    let mut message = Vec::new();
    messages::random(kind, choices, 4, &mut message);
    let mut text = json::from_protobuf(kind, &message).unwrap_or_default().into_bytes();
    if let (0, Some(place)) = (choices.byte() % 4, text.len().checked_sub(1)) {
        let place = usize::from(choices.byte()).min(place);
        text[place] = choices.byte();
    }
    (key, text.into())
}

fn spec(name: &str) -> TaskSpec {
    let spec = TaskSpec::new(name).command("run").resources(Resources::new().cpus(1.0).mem(32.0)).scalable(true);
    match name {
        "job" => spec.job().instances(2),
        "strict" => spec.duplicates(Duplicates::Forbid).launch_timeout(Duration::from_secs(20)),
        _ => spec.instances(3).min_ready(Duration::ZERO),
    }
}

fn recovered(disk: &MemoryStore, specs: impl IntoIterator<Item = TaskSpec>, seed: u64) -> Result<Engine, RecoverError> {
    let Ok(client) = scheduler::Config::new(Framework::new("test").roles(["a"]), ["10.0.0.1:5050"]) else {
        unreachable!("a good configuration")
    };
    let records = disk.records().iter().map(|(key, value)| (key.clone(), value.clone()));
    Engine::new(Config::new(client).on_removed(OnRemoved::FreshId).max_kills(2), specs, records, seed)
}

struct History {
    machine: Engine,
    now: Instant,
    disk: MemoryStore,
    flying: Option<Persist>,
    /// SUBSCRIBE without answer.
    asked: Option<ExchangeId>,
    stream: Option<ExchangeId>,
    open: Vec<ExchangeId>,
    tasks: Vec<String>,
    deadline: Option<crate::Deadline>,
    offers: u32,
    statuses: u64,
    processes: u64,
    ended: bool,
}

impl History {
    fn new(choices: &mut Choices<'_>) -> Self {
        let disk = MemoryStore::new();
        let specs = SPECS.into_iter().take(usize::from(choices.byte() % 4)).map(spec);
        let Ok(machine) = recovered(&disk, specs, 1) else { unreachable!("nothing is wrong with nothing") };
        let mut history = Self::of(machine, disk);
        history.start();
        history
    }

    fn of(machine: Engine, disk: MemoryStore) -> Self {
        Self {
            machine,
            now: Instant::ORIGIN,
            disk,
            flying: None,
            asked: None,
            stream: None,
            open: Vec::new(),
            tasks: Vec::new(),
            deadline: None,
            offers: 0,
            statuses: 0,
            processes: 1,
            ended: false,
        }
    }

    fn start(&mut self) {
        self.feed(Input::Wall(UnixTime::from_epoch(ORIGIN + self.now.since_origin())));
        self.feed(Input::Timeout);
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 16 {
            0 | 1 => {
                let millis = choices.pick(&[0, 1, 100, 1000, 5000, 30_000, 120_000, 1_000_000]);
                self.now += Duration::from_millis(millis);
                self.feed(Input::Timeout);
            }
            2 => {
                let end = Instant::from_origin(Duration::MAX);
                if let Some(deadline) = self.deadline.filter(|deadline| deadline.at < end) {
                    self.now = self.now.max(deadline.at);
                    self.feed(Input::Timeout);
                }
            }
            3 | 4 => self.subscribe(),
            5 | 6 => self.offer(choices),
            7..=9 => self.status(choices),
            10 => {
                let event = history::event(choices);
                self.send(&event);
            }
            11 => {
                if let Some(id) = self.open.pop() {
                    let status = choices.pick(&[202, 202, 202, 400, 403, 503, 500, 307]);
                    self.feed(Input::Head { id, head: Head::new(status) });
                    self.feed(Input::End { id });
                }
            }
            12 => {
                let failure = Failure::new(FailureKind::Io, choices.pick(&[Sent::No, Sent::Maybe]), "fuzz");
                let id = choices.pick(&[self.stream, self.asked, self.open.first().copied()]);
                if let Some(id) = id {
                    self.forget(id);
                    self.feed(Input::Failed { id, failure });
                }
            }
            13 => match choices.byte() % 8 {
                0..=5 => self.confirm_all(),
                6 => self.fail(StoreFailure::Unavailable("fuzz".into())),
                _ if choices.byte() == 0 => self.fail(StoreFailure::Fenced("fuzz".into())),
                _ => self.start(),
            },
            14 => self.command(choices),
            _ => match choices.byte() % 8 {
                0 => self.crash(choices.byte() % 2 == 0),
                _ => self.confirm_all(),
            },
        }
    }

    fn confirm_all(&mut self) {
        for _ in 0..ENDLESS {
            let Some(batch) = self.flying.take() else { return };
            self.disk.apply_now(&batch);
            self.feed(Input::Persisted { ticket: batch.ticket() });
        }
        unreachable!("batches without end");
    }

    fn fail(&mut self, failure: StoreFailure) {
        if let Some(batch) = self.flying.take() {
            self.feed(Input::PersistFailed { ticket: batch.ticket(), failure });
        }
    }

    /// The process dies, and another one starts.
    fn crash(&mut self, written: bool) {
        if let Some(batch) = self.flying.take().filter(|_| written) {
            self.disk.apply_now(&batch);
        }
        self.processes += 1;
        match recovered(&self.disk, SPECS.map(spec), self.processes) {
            Ok(machine) => self.machine = machine,
            Err(error) => unreachable!("no recovery: {error}"),
        }
        (self.asked, self.stream, self.deadline, self.ended) = (None, None, None, false);
        self.open.clear();
        self.start();
    }

    fn subscribe(&mut self) {
        let Some(id) = self.asked.take() else { return };
        self.stream = Some(id);
        let head = Head::new(200).header("content-type", b"application/x-protobuf");
        self.feed(Input::Head { id, head: head.header("mesos-stream-id", b"8b42") });
        let subscribed = event::Subscribed {
            framework_id: v1::FrameworkId { value: "f".to_string() },
            heartbeat_interval_seconds: Some(15.0),
            master_info: None,
        };
        self.send(&v1::scheduler::Event { subscribed: Some(subscribed), ..of(event::Type::Subscribed) });
    }

    fn offer(&mut self, choices: &mut Choices<'_>) {
        self.offers += 1;
        let allocation = v1::resource::AllocationInfo { role: Some("a".to_string()) };
        let scalar = |name: &str, value| v1::Resource {
            name: name.to_string(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            allocation_info: Some(allocation.clone()),
            ..Default::default()
        };
        let offer = v1::Offer {
            id: v1::OfferId { value: format!("o{}", self.offers) },
            framework_id: v1::FrameworkId { value: "f".to_string() },
            agent_id: choices.pick(&["a1", "a2"]).into(),
            hostname: "h".to_string(),
            resources: [scalar("cpus", f64::from(choices.byte() % 4)), scalar("mem", 100.0)].into(),
            allocation_info: Some(allocation.clone()),
            ..Default::default()
        };
        let offers = event::Offers { offers: [offer].into() };
        self.send(&v1::scheduler::Event { offers: Some(offers), ..of(event::Type::Offers) });
    }

    fn status(&mut self, choices: &mut Choices<'_>) {
        let back = usize::from(choices.byte()) % self.tasks.len().clamp(1, 8);
        let task = self.tasks.iter().rev().nth(back).cloned().unwrap_or_else(|| "stranger".to_string());
        let state = choices.pick(&[
            TaskRunning,
            TaskRunning,
            TaskStarting,
            TaskStaging,
            TaskKilling,
            TaskFinished,
            TaskFailed,
            TaskKilled,
            TaskError,
            TaskLost,
            TaskDropped,
            TaskGone,
            TaskGoneByOperator,
            TaskUnreachable,
            TaskUnknown,
        ]);
        self.statuses += u64::from(choices.byte() % 4 != 0);
        let mut uuid = [0x47_u8; 16];
        uuid[8..].copy_from_slice(&(self.statuses | 1 << 63).to_be_bytes());
        let status = v1::TaskStatus {
            task_id: task.as_str().into(),
            state: state.into(),
            agent_id: Some(choices.pick(&["a1", "a2"]).into()),
            uuid: (choices.byte() % 4 != 0).then(|| uuid.to_vec().into()),
            ..Default::default()
        };
        self.send(&v1::scheduler::Event { update: Some(event::Update { status }), ..of(event::Type::Update) });
    }

    fn command(&mut self, choices: &mut Choices<'_>) {
        let (name, number) = (choices.pick(&SPECS), u32::from(choices.byte() % 5));
        let task = self.tasks.last().cloned().unwrap_or_default();
        let result = match choices.byte() % 12 {
            0 => self.machine.scale(name, number),
            1 => self.machine.apply(spec(name).env("V", number.to_string())).map(drop),
            2 => self.machine.remove(name),
            3 => self.machine.restart(name).map(drop),
            4 => self.machine.restart_instance(name, number),
            5 => self.machine.kill(&task),
            6 => self.machine.pause(name),
            7 => self.machine.resume(name),
            8 => self.machine.retry(name),
            9 => self.machine.reset_delay(name),
            10 => self.machine.declare_dead(name, number),
            _ => {
                if choices.byte() == 0 {
                    self.machine.uninstall();
                }
                Ok(())
            }
        };
        // A command that makes no sense says so.
        drop(result);
        self.feed(Input::Timeout);
    }

    fn send(&mut self, event: &v1::scheduler::Event) {
        let Some(id) = self.stream else { return };
        let mut data = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut data);
        self.feed(Input::Body { id, data: &data });
    }

    fn forget(&mut self, id: ExchangeId) {
        self.asked.take_if(|asked| *asked == id);
        self.stream.take_if(|stream| *stream == id);
        self.open.retain(|open| *open != id);
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..ENDLESS {
            let output = self.machine.poll_output();
            assert!(!self.ended || matches!(output, Output::Timeout(None)), "after the end: {output:?}");
            match output {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                Output::Abort(id) => self.forget(id),
                Output::Persist(batch) => {
                    assert!(self.flying.is_none(), "one batch at a time");
                    self.flying = Some(batch);
                }
                Output::Event(event) => {
                    self.ended = matches!(
                        event,
                        Event::Fatal(_) | Event::Stopped { .. } | Event::Fenced(_) | Event::StoreRefused(_)
                    );
                }
                Output::Request(request) if request.lane() == Lane::Subscription => self.asked = Some(request.id()),
                Output::Request(request) => {
                    assert!(self.stream.is_some(), "a call without a subscription");
                    let call = Call::decode(request.body().clone()).unwrap_or_default();
                    let operations = call.accept.iter().flat_map(|accept| &accept.operations);
                    let launches = operations.filter_map(|operation| operation.launch.as_ref());
                    for task in launches.flat_map(|launch| &launch.task_infos) {
                        self.launched(&task.task_id.value);
                    }
                    self.open.push(request.id());
                }
            }
        }
        unreachable!("outputs without end");
    }

    /// I3, I4: the intent is durable, and its id was never used.
    fn launched(&mut self, id: &str) {
        assert!(!self.tasks.iter().any(|task| task == id), "{id} is used twice");
        let kept = |value: &Bytes| json::decode::<store::Instance>(value).is_ok_and(|instance| instance.task_id == id);
        let mut instances = self.disk.records().iter().filter(|(key, _)| key.as_str().starts_with("inst/"));
        assert!(instances.any(|(_, value)| kept(value)), "{id} is launched, and isn't durable");
        self.tasks.push(id.to_string());
    }
}

fn of(kind: event::Type) -> v1::scheduler::Event {
    v1::scheduler::Event { r#type: Some(kind.into()), ..Default::default() }
}
