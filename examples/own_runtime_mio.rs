//! A driver of one's own: a hand-made event loop on mio, all on one thread. Runs a few commands.
//!
//! ```text
//! own_runtime_mio [MASTER]         on this cluster, or on a simulated one in the process
//! ```
//!
//! Beside the sockets it is the one of `own_runtime_threads`: the core is the same, and so is what it wants.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::ToSocketAddrs as _;
use std::task::Poll;
use std::time::{Duration, Instant as Clock, SystemTime};

use mesos_core::{
    Effects, Endpoint, ExchangeId, Failure, FailureKind, Instant, Machine, Persist, Pump, Report, Request, Sent,
    StoreFailure, UnixTime, http1,
};
use mio::net::TcpStream;
use mio::{Events, Interest, Registry, Token};

/// Pieces of a body that are read at once. Nobody reads on while their events wait, so a slow user slows the master down.
const PIECES: usize = 16;

/// Runs a machine.
pub struct Driver<M: Machine> {
    pump: Pump<M>,
    world: World,
    poll: mio::Poll,
    events: Events,
    origin: Clock,
}

type Store = Box<dyn FnMut(&Persist) -> Result<(), StoreFailure> + Send>;

/// What the machine acts on.
struct World {
    registry: Registry,
    open: BTreeMap<Token, Line>,
    next: usize,
    /// Connections that have more, which the system doesn't say twice.
    more: Vec<Token>,
    /// Exchanges that failed before they had a connection.
    failed: Vec<Report>,
    store: Store,
}

/// An exchange and its connection.
struct Line {
    id: ExchangeId,
    socket: TcpStream,
    request: Vec<u8>,
    sent: usize,
    answer: http1::Answer,
}

impl Effects for World {
    fn request(&mut self, request: Request) {
        if let Err(failure) = self.connect(&request) {
            self.failed.push(Report::Failed(request.id(), failure));
        }
    }

    fn abort(&mut self, id: ExchangeId) {
        // Dropping the socket closes it.
        self.open.retain(|_, line| line.id != id);
    }

    fn persist(&mut self, batch: Persist) -> Option<Result<(), StoreFailure>> {
        Some((self.store)(&batch))
    }
}

impl World {
    /// Begins to connect. Names are looked up on the spot, which may block; an event loop of substance asks elsewhere.
    fn connect(&mut self, request: &Request) -> Result<(), Failure> {
        let failed = |kind| move |error: io::Error| Failure::new(kind, Sent::No, error.to_string());
        let Endpoint::Tcp { tls: false, host, port } = request.endpoint() else {
            return Err(Failure::new(FailureKind::Connect, Sent::No, "only plain TCP is known here"));
        };
        let mut addresses = (host.as_str(), *port).to_socket_addrs().map_err(failed(FailureKind::Resolve))?;
        let address =
            addresses.next().ok_or_else(|| io::ErrorKind::NotFound.into()).map_err(failed(FailureKind::Resolve))?;
        let mut socket = TcpStream::connect(address).map_err(failed(FailureKind::Connect))?;
        let token = Token(self.next);
        self.next += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut socket, token, interest).map_err(failed(FailureKind::Connect))?;
        let (id, request) = (request.id(), http1::request(request)?);
        self.open.insert(token, Line { id, socket, request, sent: 0, answer: http1::Answer::new(id) });
        Ok(())
    }
}

impl Line {
    /// Writes and reads; `true` if there may be more to read.
    fn work(&mut self, reports: &mut Vec<Report>) -> bool {
        self.transfer(reports).unwrap_or_else(|error| {
            let (kind, sent) = match self.sent {
                0 => (FailureKind::Connect, Sent::No),
                _ => (FailureKind::Io, Sent::Maybe),
            };
            reports.push(Report::Failed(self.id, Failure::new(kind, sent, error.to_string())));
            false
        })
    }

    fn transfer(&mut self, reports: &mut Vec<Report>) -> io::Result<bool> {
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(length) => self.sent += length,
                // Not connected so far, or no room.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 16 * 1024];
        for _ in 0..PIECES {
            match self.socket.read(&mut buffer) {
                Ok(length) => reports.extend(self.answer.read(buffer.get(..length).unwrap_or_default())),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if reports.last().is_some_and(Report::is_last) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<M: Machine> Driver<M> {
    /// A driver for this machine, whose batches are done at once.
    ///
    /// # Errors
    ///
    /// The system has no event queue left.
    pub fn new(machine: M) -> io::Result<Self> {
        let (poll, events) = (mio::Poll::new()?, Events::with_capacity(64));
        let registry = poll.registry().try_clone()?;
        let world = World {
            registry,
            open: BTreeMap::new(),
            next: 0,
            more: Vec::new(),
            failed: Vec::new(),
            store: Box::new(|_| Ok(())),
        };
        Ok(Self { pump: Pump::new(machine), world, poll, events, origin: Clock::now() })
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
            let wait = first.map(|at| at.saturating_duration_since(Clock::now()));
            let arrived = self.transfer(wait);
            if due.is_some_and(|due| due <= Clock::now()) {
                self.tick();
            } else if !arrived && first.is_some_and(|at| at <= Clock::now()) {
                return Poll::Pending;
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

    /// Waits for sockets, no longer than this, and feeds what they have; `false` if that is nothing.
    fn transfer(&mut self, wait: Option<Duration>) -> bool {
        let World { open, more, failed, .. } = &mut self.world;
        let (mut reports, mut ready) = (std::mem::take(failed), std::mem::take(more));
        let wait = if reports.is_empty() && ready.is_empty() { wait } else { Some(Duration::ZERO) };
        // A signal is no news. Without a queue nothing would ever come again, and then the timers say so.
        if self.poll.poll(&mut self.events, wait).is_ok() {
            ready.extend(self.events.iter().map(mio::event::Event::token));
        }
        for token in ready {
            if open.get_mut(&token).is_some_and(|line| line.work(&mut reports)) {
                more.push(token);
            }
        }
        let any = !reports.is_empty();
        for report in reports {
            if report.is_last() {
                self.world.abort(report.id());
            }
            self.pump.report(self.now(), report, &mut self.world);
        }
        any
    }

    /// Bytes before clock: what has arrived, and then the time.
    fn tick(&mut self) {
        self.transfer(Some(Duration::ZERO));
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.pump.tick(self.now(), UnixTime::from_epoch(wall), &mut self.world);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (engine, _cluster) = examples::hello(std::env::args().nth(1))?;
    let mut driver = Driver::new(engine)?;
    while let Poll::Ready(Some(event)) = driver.next_event(None) {
        if examples::hello_is_over(&event)? {
            driver.with(mesos_core::engine::Engine::teardown);
        }
    }
    Ok(())
}
