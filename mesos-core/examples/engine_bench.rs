//! What an event costs the engine, by how many tasks and agents it has; and what a task costs in memory.
//!
//! ```text
//! cargo run --release -p mesos-core --example engine_bench             # 1 000 to 100 000 tasks, 10 to 10 000 agents
//! cargo run --release -p mesos-core --example engine_bench -- 5000 50  # so many tasks, on so many agents
//! ```
//!
//! Master, store and clock are played here, in the same thread; their share is in the figures. Time is the processor's
//! (on Linux: `schedstat`), so that a busy machine matters less. The last lines divide each figure by the first of its
//! column: what is flat stays near 1, but for memory that no cache holds.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use mesos_core::engine::{Config, Engine, Field, TaskSpec};
use mesos_core::scheduler::{self, Framework};
use mesos_core::{ExchangeId, Head, Input, Instant, Lane, Machine as _, Output, Resources, UnixTime, recordio, v1};
use prost::Message as _;
use v1::scheduler::{Call, Event, event};

/// Offers in each event.
const PER_EVENT: usize = 10;
/// Events of each kind that are timed.
const TIMED: usize = 2000;

/// Tasks and agents of each run.
const SIZES: [(usize, usize); 6] =
    [(1_000, 10), (10_000, 100), (100_000, 1_000), (10_000, 10), (10_000, 1_000), (10_000, 10_000)];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Microseconds, and bytes a task.
type Figures = [f64; 6];

fn main() -> Result<()> {
    let arguments =
        std::env::args().skip(1).map(|number| number.parse::<usize>()).collect::<std::result::Result<Vec<_>, _>>()?;
    let sizes = match arguments[..] {
        [] => SIZES.to_vec(),
        [tasks] => vec![(tasks, tasks.div_ceil(100))],
        [tasks, agents, ..] => vec![(tasks, agents)],
    };
    // What is there once for all, however many tasks there are.
    let mut warm = World::new(100, 1, false)?;
    warm.launch(100, 1)?;
    println!(
        "{:>8} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "tasks", "agents", "launch us", "status us", "offer us", "restart us", "unique us", "bytes/task"
    );
    let mut rows: Vec<(usize, usize, Figures)> = Vec::new();
    for (tasks, agents) in sizes {
        let figures = measure(tasks, agents)?;
        print_row(tasks, agents, figures);
        rows.push((tasks, agents, figures));
    }
    println!("as parts of the first:");
    let first = rows.first().map_or([1.0; 6], |(_, _, figures)| *figures);
    for (tasks, agents, figures) in rows {
        let mut parts = figures;
        parts.iter_mut().zip(first).for_each(|(part, first)| *part /= first);
        print_row(tasks, agents, parts);
    }
    Ok(())
}

fn print_row(tasks: usize, agents: usize, [launch, status, offer, restart, unique, bytes]: Figures) {
    // What a larger run before has left is used again, and then nothing can be said.
    let bytes = if bytes > 0.0 { format!("{bytes:.2}") } else { "-".to_owned() };
    println!(
        "{tasks:>8} {agents:>8} {launch:>10.2} {status:>10.2} {offer:>10.2} {restart:>10.2} {unique:>10.2} {bytes:>10}"
    );
}

fn measure(tasks: usize, agents: usize) -> Result<Figures> {
    let before = resident()?;
    let mut world = World::new(tasks, agents, false)?;
    let launch = world.launch(tasks, agents)?;
    let bytes = resident()?.saturating_sub(before) as f64 / tasks.max(1) as f64;
    let figures = [launch, world.repeat_statuses()?, world.declined_offers()?, world.restarts(agents)?];
    let [launch, status, offer, restart] = figures.map(|(time, count)| time.as_secs_f64() * 1e6 / count as f64);
    drop(world);
    // A constraint that counts the spec's other instances.
    let mut world = World::new(tasks, agents, true)?;
    world.launch(tasks, agents)?;
    let (time, count) = world.restarts(agents)?;
    Ok([launch, status, offer, restart, time.as_secs_f64() * 1e6 / count as f64, bytes])
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
    /// Tasks that an offer has room for.
    per_agent: usize,
}

impl World {
    fn new(size: usize, agents: usize, spread: bool) -> Result<Self> {
        let per_agent = size.div_ceil(agents);
        let mut spec = TaskSpec::new("web")
            .command("run")
            .resources(Resources::new().cpus(0.1).mem(32.0).ports(1))
            .instances(u32::try_from(size)?)
            .min_ready(Duration::ZERO)
            .backoff(Duration::from_millis(1), Duration::from_millis(1));
        if spread {
            spec = spec.max_per(Field::Hostname, u32::try_from(per_agent)?);
        }
        let client = scheduler::Config::new(Framework::new("bench"), ["10.0.0.1"])?;
        let config = Config::new(client).max_launching_per_agent(u32::MAX);
        let mut engine = Engine::new(config, [spec], [], 1)?;
        let now = Instant::from_origin(Duration::from_secs(1));
        engine.handle_input(now, Input::Wall(UnixTime::from_epoch(Duration::from_secs(1_700_000_000))));
        engine.handle_input(now, Input::Timeout);
        let mut world =
            Self { engine, now, stream: None, open: VecDeque::new(), tasks: Vec::new(), number: 0, per_agent };
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
            let range = vec![v1::value::Range { begin: 31_000, end: 41_999 }];
            let ports = v1::Resource {
                ranges: Some(v1::value::Ranges { range }),
                ..resource("ports", v1::value::Type::Ranges)
            };
            v1::Offer {
                id: v1::OfferId { value: format!("o{}", self.number) },
                framework_id: v1::FrameworkId { value: "f".into() },
                agent_id: v1::AgentId { value: format!("agent-{agent}") },
                hostname: format!("host-{agent}"),
                resources: vec![
                    scalar("cpus", self.per_agent as f64 / 10.0),
                    scalar("mem", self.per_agent as f64 * 32.0),
                    ports,
                ],
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
    fn time(&mut self, events: Vec<Event>) -> Result<(Duration, usize)> {
        let (start, count) = (processor()?, events.len());
        for event in events {
            self.send(&event);
            self.settle();
        }
        Ok((processor()?.saturating_sub(start), count))
    }

    /// Launches all tasks; the time for each, to RUNNING.
    fn launch(&mut self, size: usize, agents: usize) -> Result<(Duration, usize)> {
        let start = processor()?;
        // An ACCEPT takes some hundred tasks: few agents have to be offered again.
        for _ in 0..size {
            for first in (0..agents).step_by(PER_EVENT) {
                let event = self.offers(first..(first + PER_EVENT).min(agents));
                self.send(&event);
                self.settle();
            }
            if self.tasks.len() >= size {
                break;
            }
        }
        for task in 0..self.tasks.len() {
            let event = self.status(task, v1::TaskState::TaskRunning);
            self.send(&event);
            self.settle();
        }
        assert_eq!(self.engine.spec("web").map(|spec| spec.ready), Some(size as u32), "all tasks run");
        Ok((processor()?.saturating_sub(start), size))
    }

    /// Some of the tasks, from all over.
    fn some(&self, count: usize) -> Vec<usize> {
        (0..self.tasks.len()).step_by((self.tasks.len() / count).max(1)).take(count).collect()
    }

    fn repeat_statuses(&mut self) -> Result<(Duration, usize)> {
        let tasks = self.some(TIMED);
        let events = tasks.into_iter().map(|task| self.status(task, v1::TaskState::TaskRunning)).collect();
        self.time(events)
    }

    fn declined_offers(&mut self) -> Result<(Duration, usize)> {
        let events = (0..TIMED).map(|_| self.offers(0..PER_EVENT)).collect();
        let (time, events) = self.time(events)?;
        Ok((time, events * PER_EVENT))
    }

    /// Tasks fail, and others take their place.
    fn restarts(&mut self, agents: usize) -> Result<(Duration, usize)> {
        let tasks = self.some(TIMED / 2);
        let start = processor()?;
        for &task in &tasks {
            let event = self.status(task, v1::TaskState::TaskFailed);
            self.send(&event);
            self.settle();
            self.now += Duration::from_millis(10);
            // Each on an agent of its own: none is avoided for what others saw there.
            let event = self.offers(agents + task..agents + task + 1);
            self.send(&event);
            self.settle();
            let event = self.status(self.tasks.len() - 1, v1::TaskState::TaskRunning);
            self.send(&event);
            self.settle();
        }
        assert_eq!(self.engine.spec("web").map(|spec| spec.waiting), Some(0), "all run again");
        Ok((processor()?.saturating_sub(start), tasks.len()))
    }
}

/// How long this thread has had a processor.
fn processor() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().ok_or("no figure")?.parse()?))
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
