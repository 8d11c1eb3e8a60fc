//! A driver of one's own: on smol, an async runtime that neither driver crate knows. Runs a few commands.
//!
//! ```text
//! own_runtime_smol [MASTER]         on this cluster, or on a simulated one in the process
//! ```
//!
//! Beside the sockets it is the one of `own_runtime_threads`: the core is the same, and so is what it wants.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant as Clock, SystemTime};

use mesos_core::{
    Effects, Endpoint, ExchangeId, Failure, FailureKind, Instant, Machine, Persist, Pump, Report, Request, Sent,
    StoreFailure, UnixTime, http1,
};
use smol::channel::{Receiver, Sender, bounded};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;
use smol::{Task, Timer, future};

/// Reports that wait; as nobody reads on while they do, a slow user slows the master down.
const QUEUE: usize = 16;

/// Runs a machine.
pub struct Driver<M: Machine> {
    pump: Pump<M>,
    world: World,
    inbox: Receiver<Report>,
    origin: Clock,
}

type Store = Box<dyn FnMut(&Persist) -> Result<(), StoreFailure> + Send>;

/// What the machine acts on.
struct World {
    reports: Sender<Report>,
    /// Dropping a task ends it, and closes its connection.
    open: BTreeMap<ExchangeId, Task<()>>,
    store: Store,
}

impl Effects for World {
    fn request(&mut self, request: Request) {
        let (id, reports) = (request.id(), self.reports.clone());
        let task = smol::spawn(async move {
            if let Err(failure) = exchange(&request, &reports).await {
                let _ = reports.send(Report::Failed(id, failure)).await;
            }
        });
        self.open.insert(id, task);
    }

    fn abort(&mut self, id: ExchangeId) {
        self.open.remove(&id);
    }

    fn persist(&mut self, batch: Persist) -> Option<Result<(), StoreFailure>> {
        Some((self.store)(&batch))
    }
}

/// One request and its answer, on a connection of their own.
async fn exchange(request: &Request, reports: &Sender<Report>) -> Result<(), Failure> {
    let failed = |kind, sent| move |error: io::Error| Failure::new(kind, sent, error.to_string());
    let Endpoint::Tcp { tls: false, host, port } = request.endpoint() else {
        return Err(Failure::new(FailureKind::Connect, Sent::No, "only plain TCP is known here"));
    };
    let socket = TcpStream::connect((host.as_str(), *port)).await;
    let mut socket = socket.map_err(failed(FailureKind::Connect, Sent::No))?;
    let lost = failed(FailureKind::Io, Sent::Maybe);
    socket.write_all(&http1::request(request)?).await.map_err(lost)?;
    let (mut answer, mut buffer) = (http1::Answer::new(request.id()), vec![0; 16 * 1024]);
    loop {
        let length = socket.read(&mut buffer).await.map_err(lost)?;
        for report in answer.read(buffer.get(..length).unwrap_or_default()) {
            let last = report.is_last();
            if reports.send(report).await.is_err() || last {
                return Ok(());
            }
        }
    }
}

impl<M: Machine> Driver<M> {
    /// A driver for this machine, whose batches are done at once.
    pub fn new(machine: M) -> Self {
        let (reports, inbox) = bounded(QUEUE);
        let world = World { reports, open: BTreeMap::new(), store: Box::new(|_| Ok(())) };
        Self { pump: Pump::new(machine), world, inbox, origin: Clock::now() }
    }

    /// Writes the machine's batches by this.
    pub fn store(mut self, store: impl FnMut(&Persist) -> Result<(), StoreFailure> + Send + 'static) -> Self {
        self.world.store = Box::new(store);
        self
    }

    /// The next event, `None` after the last one. Cancel-safe: what was received has been fed.
    pub async fn next_event(&mut self) -> Option<M::Event> {
        if !self.pump.is_started() {
            self.tick();
        }
        loop {
            if let Some(event) = self.pump.next_event() {
                return Some(event);
            }
            if self.pump.is_done() && self.world.open.is_empty() {
                return None;
            }
            let due = self.pump.deadline().and_then(|deadline| self.origin.checked_add(deadline.at.since_origin()));
            let timer = async {
                match due {
                    Some(due) => Timer::at(due).await,
                    None => future::pending().await,
                };
                None
            };
            if let Some(report) = future::or(async { self.inbox.recv().await.ok() }, timer).await {
                self.feed(report);
            }
            if due.is_some_and(|due| due <= Clock::now()) {
                self.tick();
            }
        }
    }

    /// Gives commands to the machine, at the present time.
    pub fn with<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        self.tick();
        self.pump.command(self.now(), command, &mut self.world)
    }

    /// The machine, to look at.
    pub const fn machine(&self) -> &M {
        self.pump.machine()
    }

    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    /// Bytes before clock: what has arrived, and then the time.
    fn tick(&mut self) {
        for _ in 0..QUEUE {
            let Ok(report) = self.inbox.try_recv() else { break };
            self.feed(report);
        }
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.pump.tick(self.now(), UnixTime::from_epoch(wall), &mut self.world);
    }

    fn feed(&mut self, report: Report) {
        if report.is_last() {
            self.world.open.remove(&report.id());
        }
        self.pump.report(self.now(), report, &mut self.world);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (engine, _cluster) = examples::hello(std::env::args().nth(1))?;
    smol::block_on(async {
        let mut driver = Driver::new(engine);
        while let Some(event) = driver.next_event().await {
            if examples::hello_is_over(&event)? {
                driver.with(mesos_core::engine::Engine::teardown);
            }
        }
        Ok(())
    })
}
