//! What the engine is able to do with its store on servers of yours: launches in a second, each of them written before
//! its ACCEPT leaves, how many answers of the store lie between an offer and its ACCEPT, and how long a new engine takes
//! to have all of it back. The master is played here. It writes below the path that it is given, and removes that again.
//!
//! `cargo run --release -p mesos-zk --example launches -- zk://127.0.0.1:2181/launches [TASKS [DELAY]]`
//!
//! With a delay, in milliseconds, each byte to the first of the servers is held up for so long, as by a distance.
#![allow(clippy::print_stdout, reason = "a program")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant as Clock};

use mesos_zk::mesos_core::engine::{Config, Engine, TaskSpec};
use mesos_zk::mesos_core::scheduler::{self, Framework};
use mesos_zk::mesos_core::{
    ExchangeId, Head, Input, Instant, Lane, Machine as _, Output, Persist, Resources, Store as _, StoreFailure,
    StoreOp, Ticket, UnixTime, recordio, v1,
};
use mesos_zk::{Records, Settings, Zk, ZkStore};
use prost::Message as _;
use tokio::sync::mpsc;
use v1::scheduler::{Call, Event, event};

/// Tasks that an offer has room for, as an engine starts on one agent at a time by default.
const PER_OFFER: usize = 32;
/// So many launches may have gathered beside the batch under way when an offer comes: with its own they are one batch,
/// as each is one of the 512 changes of it.
const WINDOW: usize = 512 - PER_OFFER;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Answers = mpsc::Receiver<(Ticket, std::result::Result<(), StoreFailure>)>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let url = words.next().ok_or("where? zk://host:port/path")?;
    let tasks: usize = words.next().as_deref().unwrap_or("100000").parse()?;
    let settings: Settings = match words.next() {
        Some(delay) => at_a_distance(&url, Duration::from_millis(delay.parse()?))?.parse()?,
        None => url.parse()?,
    };
    let zk = Zk::new(settings)?;
    let (store, records) = ZkStore::open(&zk).await?;
    if !records.is_empty() {
        return Err("there are records at this path already".into());
    }
    let mut world = World::new(tasks, records, store)?;
    world.settle(0).await?;

    let start = Clock::now();
    let launches = world.run(tasks, |world| world.offer(tasks)).await?;
    assert_eq!(world.tasks.len(), tasks, "all are launched");
    println!("{launches}; from offer to ACCEPT {}", world.distance);
    world.statuses = (0..world.tasks.len()).collect();
    let statuses = world.run(tasks, World::status).await?;
    println!("{statuses}: TASK_RUNNING, written and acknowledged");
    println!("{:.0} tasks a second launched and known to run", tasks as f64 / start.elapsed().as_secs_f64());
    drop(world);

    let start = Clock::now();
    let (store, records) = ZkStore::open(&zk).await?;
    let (read, count) = (start.elapsed(), records.len());
    let mut world = World::new(tasks, records, store)?;
    world.settle(0).await?;
    println!("{count} records read in {read:.2?}; an engine with all of its tasks after {:.2?}", start.elapsed());
    assert_eq!(world.engine.tasks().count(), tasks, "all are known");
    drop(world);
    clear(&zk).await
}

/// The same path, at a server that is so far away.
fn at_a_distance(url: &str, delay: Duration) -> Result<String> {
    let (servers, path) =
        url.strip_prefix("zk://").and_then(|rest| rest.split_once('/')).ok_or("zk://host:port/path")?;
    let server = servers.split(',').next().unwrap_or(servers).to_owned();
    let relay = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("zk://{}/{path}", relay.local_addr()?);
    thread::spawn(move || {
        for client in relay.incoming() {
            let (client, server) = (client?, TcpStream::connect(&server)?);
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || io::copy(&mut from, &mut to));
            let (queue, held) = std::sync::mpsc::channel::<(Clock, Vec<u8>)>();
            let (mut from, mut to) = (client, server);
            thread::spawn(move || {
                for (due, bytes) in held {
                    thread::sleep(due.saturating_duration_since(Clock::now()));
                    to.write_all(&bytes)?;
                }
                to.shutdown(Shutdown::Both)
            });
            thread::spawn(move || {
                let mut piece = vec![0; 256 * 1024];
                loop {
                    match from.read(&mut piece) {
                        Ok(count) if count > 0 => {
                            if queue
                                .send((Clock::now() + delay, piece.get(..count).unwrap_or_default().to_vec()))
                                .is_err()
                            {
                                break;
                            }
                        }
                        _ => break,
                    }
                }
            });
        }
        io::Result::Ok(())
    });
    Ok(url)
}

async fn clear(zk: &Zk) -> Result<()> {
    let (mut store, records) = ZkStore::open(zk).await?;
    let ops: Vec<StoreOp> = records.into_keys().map(|key| StoreOp::Delete { key }).collect();
    for (number, ops) in (1..).zip(ops.chunks(512)) {
        store.apply(&Persist::new(Ticket::new(number), ops.to_vec())).await?;
    }
    Ok(())
}

/// An engine, its master, and the way to its store.
struct World {
    engine: Engine,
    now: Instant,
    batches: mpsc::Sender<Persist>,
    answers: Answers,
    flying: bool,
    /// What was asked for since the last batch left.
    gathered: usize,
    /// How often the store has answered.
    answered: u64,
    changes: usize,
    stream: Option<ExchangeId>,
    open: VecDeque<ExchangeId>,
    /// What the store had answered when an offer came.
    offers: BTreeMap<String, u64>,
    /// What lies between an offer and its ACCEPT, at most.
    distance: Distance,
    tasks: Vec<(String, String)>,
    /// Those whose status hasn't come so far, last first.
    statuses: Vec<usize>,
    offered: usize,
}

#[derive(Clone, Copy, Default)]
struct Distance {
    sum: u64,
    count: u64,
    most: u64,
}

impl std::fmt::Display for Distance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mean = self.sum as f64 / self.count.max(1) as f64;
        write!(f, "{mean:.1} answers of the store, at most {}", self.most)
    }
}

impl World {
    fn new(tasks: usize, records: Records, mut store: ZkStore) -> Result<Self> {
        let spec = TaskSpec::new("web")
            .command("exec ./serve --port $PORT0")
            .resources(Resources::new().cpus(0.1).mem(32.0).ports(1))
            .instances(u32::try_from(tasks)?)
            .min_ready(Duration::ZERO);
        let client = scheduler::Config::new(Framework::new("launches"), ["10.0.0.1"])?;
        let mut engine = Engine::new(Config::new(client), [spec], records, 1)?;
        let now = Instant::from_origin(Duration::from_secs(1));
        engine.handle_input(now, Input::Wall(UnixTime::from_epoch(Duration::from_secs(1_700_000_000))));
        engine.handle_input(now, Input::Timeout);
        let (batches, mut queue) = mpsc::channel::<Persist>(1);
        let (answer, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(batch) = queue.recv().await {
                let result = store.apply(&batch).await;
                if answer.send((batch.ticket(), result)).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            engine,
            now,
            batches,
            answers,
            flying: false,
            gathered: 0,
            answered: 0,
            changes: 0,
            stream: None,
            open: VecDeque::new(),
            offers: BTreeMap::new(),
            distance: Distance::default(),
            tasks: Vec::new(),
            statuses: Vec::new(),
            offered: 0,
        })
    }

    /// Feeds events as long as there are any; how fast they are dealt with.
    async fn run(&mut self, count: usize, mut next: impl FnMut(&mut Self) -> Option<Event>) -> Result<String> {
        let (start, answered, changes) = (Clock::now(), self.answered, self.changes);
        while let Some(event) = next(self) {
            self.send(&event);
            self.settle(WINDOW).await?;
        }
        self.settle(0).await?;
        let (time, batches) = (start.elapsed().as_secs_f64(), self.answered - answered);
        let changes = (self.changes - changes) as f64 / batches.max(1) as f64;
        let rate = count as f64 / time;
        Ok(format!("{count} in {time:.2} s: {rate:.0} a second, in {batches} batches of {changes:.0} changes"))
    }

    /// Answers all that the engine asks, until less than this has gathered, or with 0, nothing is written any more.
    async fn settle(&mut self, most: usize) -> Result<()> {
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
                    self.called(Call::decode(request.body().clone())?);
                }
                Output::Persist(batch) => {
                    self.changes += batch.ops().len();
                    (self.flying, self.gathered) = (true, 0);
                    self.batches.send(batch).await?;
                    tokio::task::yield_now().await;
                }
                Output::Abort(_) | Output::Event(_) => {}
                Output::Timeout(_) => {
                    if let Some(id) = self.open.pop_front() {
                        self.engine.handle_input(self.now, Input::Head { id, head: Head::new(202) });
                        self.engine.handle_input(self.now, Input::End { id });
                    } else if self.flying && (most == 0 || self.gathered >= most) {
                        let (ticket, result) = self.answers.recv().await.ok_or("the store has ended")?;
                        result?;
                        self.flying = false;
                        self.answered += 1;
                        self.engine.handle_input(self.now, Input::Persisted { ticket });
                    } else {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn called(&mut self, call: Call) {
        let Some(accept) = call.accept else { return };
        for offer in &accept.offer_ids {
            let distance = self.answered - self.offers.remove(&offer.value).unwrap_or(self.answered);
            self.distance.most = self.distance.most.max(distance);
            self.distance.sum += distance;
            self.distance.count += 1;
        }
        let launches = accept.operations.into_iter().filter_map(|operation| operation.launch);
        for task in launches.flat_map(|launch| launch.task_infos) {
            self.tasks.push((task.task_id.value, task.agent_id.value));
        }
    }

    fn send(&mut self, event: &Event) {
        let Some(id) = self.stream else { return };
        let mut data = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut data);
        self.engine.handle_input(self.now, Input::Body { id, data: &data });
    }

    /// Another agent's resources.
    fn offer(&mut self, tasks: usize) -> Option<Event> {
        if self.offered >= tasks {
            return None;
        }
        let number = self.offered / PER_OFFER;
        let wanted = PER_OFFER.min(tasks - self.offered);
        self.offered += wanted;
        self.gathered += wanted;
        let id = format!("o{number}");
        self.offers.insert(id.clone(), self.answered);
        let scalar = |name: &str, value| v1::Resource {
            scalar: Some(v1::value::Scalar { value }),
            ..resource(name, v1::value::Type::Scalar)
        };
        let range = vec![v1::value::Range { begin: 31_000, end: 41_999 }];
        let ports =
            v1::Resource { ranges: Some(v1::value::Ranges { range }), ..resource("ports", v1::value::Type::Ranges) };
        let offer = v1::Offer {
            id: v1::OfferId { value: id },
            framework_id: v1::FrameworkId { value: "f".into() },
            agent_id: v1::AgentId { value: format!("6b5c8d4e-0d3a-4f65-9b55-3c2a1d0e9f88-S{number}") },
            hostname: format!("agent-{number}.example"),
            resources: vec![scalar("cpus", PER_OFFER as f64 / 10.0), scalar("mem", PER_OFFER as f64 * 32.0), ports],
            allocation_info: Some(v1::resource::AllocationInfo { role: Some("*".into()) }),
            ..Default::default()
        };
        let offers = Some(event::Offers { offers: vec![offer] });
        Some(Event { r#type: Some(event::Type::Offers.into()), offers, ..Default::default() })
    }

    /// Another task runs.
    fn status(&mut self) -> Option<Event> {
        let (task_id, agent_id) = self.tasks.get(self.statuses.pop()?).cloned()?;
        let mut uuid = [0x44_u8; 16];
        uuid[8..].copy_from_slice(&(self.statuses.len() as u64).to_be_bytes());
        self.gathered += 1;
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: task_id },
            state: v1::TaskState::TaskRunning.into(),
            agent_id: Some(v1::AgentId { value: agent_id }),
            uuid: Some(uuid.to_vec().into()),
            ..Default::default()
        };
        let update = Some(event::Update { status });
        Some(Event { r#type: Some(event::Type::Update.into()), update, ..Default::default() })
    }
}

fn resource(name: &str, r#type: v1::value::Type) -> v1::Resource {
    let allocation_info = Some(v1::resource::AllocationInfo { role: Some("*".into()) });
    v1::Resource { name: name.into(), r#type: r#type.into(), allocation_info, ..Default::default() }
}
