//! A driver of one's own: std threads and std sockets, and nothing else. Runs a few commands.
//!
//! ```text
//! own_runtime_threads [MASTER]         on this cluster, or on a simulated one in the process
//! ```
//!
//! The core decides what is asked and when; what a driver adds are four small things. *Exchanges*: each request gets a
//! thread with a connection of its own, which reports to one queue. A *store*: a closure. A *clock*: std's. A *seed*.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant as Clock, SystemTime};

use mesos_core::{
    Effects, Endpoint, ExchangeId, Failure, FailureKind, Instant, Machine, Persist, Pump, Report, Request, Sent,
    StoreFailure, UnixTime, http1,
};

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
    reports: SyncSender<Report>,
    open: BTreeMap<ExchangeId, Arc<Mutex<Line>>>,
    store: Store,
}

/// An exchange's connection, for its thread and for whoever aborts it.
#[derive(Default)]
struct Line {
    socket: Option<TcpStream>,
    aborted: bool,
}

impl Effects for World {
    fn request(&mut self, request: Request) {
        let (line, reports) = (Arc::<Mutex<Line>>::default(), self.reports.clone());
        self.open.insert(request.id(), line.clone());
        thread::spawn(move || {
            if let Err(failure) = exchange(&request, &line, &reports) {
                let _ = reports.send(Report::Failed(request.id(), failure));
            }
        });
    }

    fn abort(&mut self, id: ExchangeId) {
        let Some(line) = self.open.remove(&id) else { return };
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        line.aborted = true;
        if let Some(socket) = line.socket.take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn persist(&mut self, batch: Persist) -> Option<Result<(), StoreFailure>> {
        Some((self.store)(&batch))
    }
}

/// One request and its answer, on a connection of their own.
fn exchange(request: &Request, line: &Mutex<Line>, reports: &SyncSender<Report>) -> Result<(), Failure> {
    let failed = |kind, sent| move |error: io::Error| Failure::new(kind, sent, error.to_string());
    let Endpoint::Tcp { tls: false, host, port } = request.endpoint() else {
        return Err(Failure::new(FailureKind::Connect, Sent::No, "only plain TCP is known here"));
    };
    // Before anything has been sent, sent it is not.
    let mut socket = TcpStream::connect((host.as_str(), *port)).map_err(failed(FailureKind::Connect, Sent::No))?;
    {
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.aborted {
            return Ok(());
        }
        line.socket = Some(socket.try_clone().map_err(failed(FailureKind::Connect, Sent::No))?);
    }
    let lost = failed(FailureKind::Io, Sent::Maybe);
    socket.write_all(&http1::request(request)?).map_err(lost)?;
    let (mut answer, mut buffer) = (http1::Answer::new(request.id()), [0; 16 * 1024]);
    loop {
        let length = socket.read(&mut buffer).map_err(lost)?;
        for report in answer.read(buffer.get(..length).unwrap_or_default()) {
            let last = report.is_last();
            if reports.send(report).is_err() || last {
                return Ok(());
            }
        }
    }
}

impl<M: Machine> Driver<M> {
    /// A driver for this machine, whose batches are done at once.
    pub fn new(machine: M) -> Self {
        let (reports, inbox) = sync_channel(QUEUE);
        let world = World { reports, open: BTreeMap::new(), store: Box::new(|_| Ok(())) };
        Self { pump: Pump::new(machine), world, inbox, origin: Clock::now() }
    }

    /// Writes the machine's batches by this.
    pub fn store(mut self, store: impl FnMut(&Persist) -> Result<(), StoreFailure> + Send + 'static) -> Self {
        self.world.store = Box::new(store);
        self
    }

    /// The next event, `None` after the last one; `Pending` if there is none until then.
    pub fn next_event(&mut self, until: Option<Clock>) -> Poll<Option<M::Event>> {
        if !self.pump.is_started() {
            self.tick();
        }
        loop {
            if let Some(event) = self.pump.next_event() {
                return Poll::Ready(Some(event));
            }
            if self.pump.is_done() && self.world.open.is_empty() {
                return Poll::Ready(None);
            }
            let due = self.pump.deadline().and_then(|deadline| self.origin.checked_add(deadline.at.since_origin()));
            let first = [due, until].into_iter().flatten().min();
            let wait = first.map_or(Duration::MAX, |at| at.saturating_duration_since(Clock::now()));
            match self.inbox.recv_timeout(wait) {
                Ok(report) => self.feed(report),
                Err(_) if due.is_none_or(|due| due > Clock::now()) => return Poll::Pending,
                Err(_) => {}
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
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.pump.tick(self.now(), UnixTime::from_epoch(wall), &mut self.world);
    }

    fn feed(&mut self, report: Report) {
        if report.is_last() {
            self.world.open.remove(&report.id());
        }
        self.pump.report(self.now(), report, &mut self.world);
    }
}

impl<M: Machine> Drop for Driver<M> {
    fn drop(&mut self) {
        while let Some((id, _)) = self.world.open.first_key_value() {
            self.world.abort(*id);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (engine, _cluster) = examples::hello(std::env::args().nth(1))?;
    let mut driver = Driver::new(engine);
    while let Poll::Ready(Some(event)) = driver.next_event(None) {
        if examples::hello_is_over(&event)? {
            driver.with(mesos_core::engine::Engine::teardown);
        }
    }
    Ok(())
}
