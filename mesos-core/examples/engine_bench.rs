//! What an event costs the engine, by how many tasks it has; and what a task costs in memory.
//!
//! ```text
//! cargo run --release -p mesos-core --example engine_bench             # 1 000, 10 000 and 100 000 tasks
//! cargo run --release -p mesos-core --example engine_bench -- 5000     # so many
//! ```
//!
//! Master, store and clock are played here, in the same thread; their share is in the figures.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant as Clock};

use mesos_core::engine::{Config, Engine, TaskSpec};
use mesos_core::scheduler::{self, Framework};
use mesos_core::{ExchangeId, Head, Input, Instant, Lane, Machine as _, Output, Resources, UnixTime, recordio, v1};
use prost::Message as _;
use v1::scheduler::{Call, Event, event};

/// Tasks on each agent, and offers in each event.
const PER_AGENT: usize = 100;
const PER_EVENT: usize = 10;
/// Events of each kind that are timed.
const TIMED: usize = 2000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let sizes: Vec<usize> = match std::env::args().nth(1) {
        Some(size) => vec![size.parse()?],
        None => vec![1_000, 10_000, 100_000],
    };
    println!(
        "{:>8} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "tasks", "launch us", "status us", "offer us", "restart us", "bytes/task"
    );
    for size in sizes {
        let before = resident()?;
        let mut world = World::new(size)?;
        let launch = world.launch(size);
        let status = world.repeat_statuses();
        let bytes = resident()?.saturating_sub(before) / size.max(1);
        let offer = world.declined_offers();
        let restart = world.restarts();
        let micros = |(time, count): (Duration, usize)| time.as_secs_f64() * 1e6 / count as f64;
        println!(
            "{size:>8} {:>12.2} {:>12.2} {:>12.2} {:>12.2} {bytes:>12}",
            micros(launch),
            micros(status),
            micros(offer),
            micros(restart)
        );
    }
    Ok(())
}

/// One engine, and the other side of it.
struct World {
    engine: Engine,
    now: Instant,
    stream: Option<ExchangeId>,
    open: VecDeque<ExchangeId>,
    /// Tasks, with their agents.
    tasks: Vec<(String, String)>,
    number: u64,
}

impl World {
    fn new(size: usize) -> Result<Self> {
        let spec = TaskSpec::new("web")
            .command("run")
            .resources(Resources::new().cpus(0.1).mem(32.0).ports(1))
            .instances(u32::try_from(size)?)
            .min_ready(Duration::ZERO)
            .backoff(Duration::from_millis(1), Duration::from_millis(1));
        let client = scheduler::Config::new(Framework::new("bench"), ["10.0.0.1"])?;
        let config = Config::new(client).max_launching_per_agent(u32::MAX);
        let mut engine = Engine::new(config, [spec], [], 1)?;
        let now = Instant::from_origin(Duration::from_secs(1));
        engine.handle_input(now, Input::Wall(UnixTime::from_epoch(Duration::from_secs(1_700_000_000))));
        engine.handle_input(now, Input::Timeout);
        let mut world = Self { engine, now, stream: None, open: VecDeque::new(), tasks: Vec::new(), number: 0 };
        world.settle();
        Ok(world)
    }

    /// Answers all that the engine asks.
    fn settle(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Request(request) if request.lane() == Lane::Subscription => {
                    let id = request.id();
                    self.stream = Some(id);
                    let head = Head::new(200).header("Content-Type", b"application/x-protobuf");
                    self.engine.handle_input(self.now, Input::Head { id, head: head.header("Mesos-Stream-Id", b"1") });
                    let mut subscribed = Event { r#type: Some(event::Type::Subscribed.into()), ..Default::default() };
                    subscribed.subscribed.get_or_insert_default().framework_id.value = "f".into();
                    self.send(&subscribed);
                }
                Output::Request(request) => {
                    self.open.push_back(request.id());
                    let call = Call::decode(request.body().clone()).unwrap_or_default();
                    let operations = call.accept.into_iter().flat_map(|accept| accept.operations);
                    for task in operations.filter_map(|o| o.launch).flat_map(|launch| launch.task_infos) {
                        self.tasks.push((task.task_id.value, task.agent_id.value));
                    }
                }
                Output::Persist(batch) => {
                    self.engine.handle_input(self.now, Input::Persisted { ticket: batch.ticket() });
                }
                Output::Abort(_) | Output::Event(_) => {}
                Output::Timeout(_) => match self.open.pop_front() {
                    Some(id) => {
                        self.engine.handle_input(self.now, Input::Head { id, head: Head::new(202) });
                        self.engine.handle_input(self.now, Input::End { id });
                    }
                    None => return,
                },
            }
        }
    }

    fn send(&mut self, event: &Event) {
        let Some(id) = self.stream else { return };
        let mut data = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut data);
        self.engine.handle_input(self.now, Input::Body { id, data: &data });
    }

    fn offers(&mut self, agents: std::ops::Range<usize>) -> Event {
        let offers = agents.map(|agent| {
            self.number += 1;
            let scalar = |name: &str, value| v1::Resource {
                scalar: Some(v1::value::Scalar { value }),
                ..resource(name, v1::value::Type::Scalar)
            };
            let range = vec![v1::value::Range { begin: 31_000, end: 31_999 }];
            let ports = v1::Resource {
                ranges: Some(v1::value::Ranges { range }),
                ..resource("ports", v1::value::Type::Ranges)
            };
            v1::Offer {
                id: v1::OfferId { value: format!("o{}", self.number) },
                framework_id: v1::FrameworkId { value: "f".into() },
                agent_id: v1::AgentId { value: format!("agent-{agent}") },
                hostname: format!("host-{agent}"),
                resources: vec![scalar("cpus", PER_AGENT as f64 / 10.0), scalar("mem", 64_000.0), ports],
                allocation_info: Some(v1::resource::AllocationInfo { role: Some("*".into()) }),
                ..Default::default()
            }
        });
        let offers = offers.collect();
        let offers = Some(event::Offers { offers });
        Event { r#type: Some(event::Type::Offers.into()), offers, ..Default::default() }
    }

    fn status(&mut self, task: usize, state: v1::TaskState) -> Event {
        self.number += 1;
        let (task_id, agent_id) = self.tasks.get(task).cloned().unwrap_or_default();
        let mut uuid = [0x44_u8; 16];
        uuid[8..].copy_from_slice(&self.number.to_be_bytes());
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: task_id },
            state: state.into(),
            agent_id: Some(v1::AgentId { value: agent_id }),
            uuid: Some(uuid.to_vec().into()),
            ..Default::default()
        };
        let update = Some(event::Update { status });
        Event { r#type: Some(event::Type::Update.into()), update, ..Default::default() }
    }

    /// Feeds these events one by one; how long it took.
    fn time(&mut self, events: Vec<Event>) -> (Duration, usize) {
        let (start, count) = (Clock::now(), events.len());
        for event in events {
            self.send(&event);
            self.settle();
        }
        (start.elapsed(), count)
    }

    /// Launches all tasks; the time for each, to RUNNING.
    fn launch(&mut self, size: usize) -> (Duration, usize) {
        let start = Clock::now();
        let agents = size.div_ceil(PER_AGENT);
        for first in (0..agents).step_by(PER_EVENT) {
            let event = self.offers(first..(first + PER_EVENT).min(agents));
            self.send(&event);
            self.settle();
        }
        for task in 0..self.tasks.len() {
            let event = self.status(task, v1::TaskState::TaskRunning);
            self.send(&event);
            self.settle();
        }
        assert_eq!(self.engine.spec("web").map(|spec| spec.ready), Some(size as u32), "all tasks run");
        (start.elapsed(), size)
    }

    fn repeat_statuses(&mut self) -> (Duration, usize) {
        let step = (self.tasks.len() / TIMED).max(1);
        let tasks: Vec<usize> = (0..self.tasks.len()).step_by(step).take(TIMED).collect();
        let events = tasks.into_iter().map(|task| self.status(task, v1::TaskState::TaskRunning)).collect();
        self.time(events)
    }

    fn declined_offers(&mut self) -> (Duration, usize) {
        let events = (0..TIMED / PER_EVENT).map(|_| self.offers(0..PER_EVENT)).collect();
        let (time, events) = self.time(events);
        (time, events * PER_EVENT)
    }

    /// Tasks fail, and others take their place.
    fn restarts(&mut self) -> (Duration, usize) {
        let step = (self.tasks.len() / TIMED).max(1);
        let tasks: Vec<usize> = (0..self.tasks.len()).step_by(step).take(TIMED / 10).collect();
        let start = Clock::now();
        for task in tasks.iter().copied() {
            let event = self.status(task, v1::TaskState::TaskFailed);
            self.send(&event);
            self.settle();
            self.now += Duration::from_millis(10);
            // Each on an agent of its own: none is avoided for what others saw there.
            let event = self.offers(10_000 + task..10_001 + task);
            self.send(&event);
            self.settle();
            let event = self.status(self.tasks.len() - 1, v1::TaskState::TaskRunning);
            self.send(&event);
            self.settle();
        }
        (start.elapsed(), tasks.len())
    }
}

fn resource(name: &str, r#type: v1::value::Type) -> v1::Resource {
    let allocation_info = Some(v1::resource::AllocationInfo { role: Some("*".into()) });
    v1::Resource { name: name.into(), r#type: r#type.into(), allocation_info, ..Default::default() }
}

/// The memory of this process, in bytes.
fn resident() -> Result<usize> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).ok_or("no figure")?.parse()?;
    Ok(pages * 4096)
}
