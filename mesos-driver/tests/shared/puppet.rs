//! A machine that does as it is told and tells what it is fed, and servers that play a script.
//!
//! The tests in this folder hold for every driver: each driver's crate takes them in, with a `common` module of its own
//! that has this one, and its `Driver` with an async face.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use mesos_core::{
    Deadline, Endpoint, ExchangeId, Failure, Head, Header, Input, Instant, Key, Lane, Machine, Method, Output, Persist,
    Request, StoreFailure, StoreOp, Ticket, UnixTime,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{Driver, Http, next_within};

/// Far longer than anything here takes; only a hang gets there.
pub const HANG: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Head(u64, Head),
    Body(u64, Vec<u8>),
    End(u64),
    Failed(u64, Failure),
    Persisted(u64),
    PersistFailed(u64, StoreFailure),
    Leader(Option<Endpoint>),
    /// The silence timer ran out.
    Silent,
    Note(&'static str),
}

/// Requests what a test wants requested; reports each input as an event.
#[derive(Debug, Default)]
pub struct Puppet {
    outputs: VecDeque<Output<Seen>>,
    next: u64,
    now: Option<Instant>,
    ended: bool,
    silence: Option<Duration>,
    heard: Instant,
    wall: Option<UnixTime>,
    told: bool,
    /// Batches asked for so far.
    batches: u64,
    /// Up to this one, each answer makes the next batch.
    pub chain: u64,
    pub bodies: usize,
    pub bytes: usize,
    pub paused: usize,
}

impl Puppet {
    pub fn request(&mut self, lane: Lane, endpoint: &Endpoint, body: &[u8]) -> u64 {
        let request = Request::new(self.id(), lane, endpoint.clone(), Method::Post, "/api/v1/scheduler");
        self.send(request.with_header(Header::new("Host", endpoint.authority())).with_body(body.to_vec()))
    }

    pub fn id(&self) -> ExchangeId {
        ExchangeId::new(self.next)
    }

    /// Sends a request made by hand; its id must be that of [`Self::id`].
    pub fn send(&mut self, request: Request) -> u64 {
        self.outputs.push_back(Output::Request(request));
        self.next += 1;
        self.next - 1
    }

    pub fn abort(&mut self, id: u64) {
        self.outputs.push_back(Output::Abort(ExchangeId::new(id)));
    }

    pub fn note(&mut self, note: &'static str) {
        self.outputs.push_back(Output::Event(Seen::Note(note)));
    }

    /// Wants the next batch written; tickets count from 1.
    pub fn persist(&mut self) -> u64 {
        self.batches += 1;
        let (ticket, key) = (Ticket::new(self.batches), Key::new(["n"]));
        let put = StoreOp::Put { key, value: self.batches.to_string().into() };
        self.outputs.push_back(Output::Persist(Persist::new(ticket, vec![put])));
        self.batches
    }

    /// What the wall clock was said to show last.
    pub fn wall(&self) -> Option<UnixTime> {
        self.wall
    }

    /// Reports silence once nothing has been fed for so long.
    pub fn watch(&mut self, silence: Duration) {
        self.silence = Some(silence);
        self.heard = self.now.unwrap_or_default();
    }

    pub fn end(&mut self) {
        for id in 0..self.next {
            self.abort(id);
        }
        self.note("end");
        self.ended = true;
    }
}

impl Machine for Puppet {
    type Event = Seen;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        assert!(self.now <= Some(now), "time went back");
        self.now = Some(now);
        if self.ended {
            return;
        }
        let number = |id: ExchangeId| id.to_string()[1..].parse().expect("an id is # and a number");
        let seen = match input {
            Input::Head { id, head } => Seen::Head(number(id), head),
            Input::Body { id, data } => {
                self.bodies += 1;
                self.bytes += data.len();
                Seen::Body(number(id), data.to_vec())
            }
            Input::End { id } => Seen::End(number(id)),
            Input::Failed { id, failure } => Seen::Failed(number(id), failure),
            Input::Persisted { ticket } => {
                if ticket.number() < self.chain {
                    self.persist();
                }
                Seen::Persisted(ticket.number())
            }
            Input::PersistFailed { ticket, failure } => Seen::PersistFailed(ticket.number(), failure),
            Input::Leader(leader) => Seen::Leader(leader),
            Input::Paused { .. } => {
                self.paused += 1;
                return;
            }
            Input::Wall(time) => {
                self.wall = Some(time);
                self.told = true;
                return;
            }
            _ => {
                assert!(std::mem::take(&mut self.told), "the clock without the time of day");
                if self.silence.is_some_and(|limit| now.saturating_duration_since(self.heard) >= limit) {
                    self.silence = None;
                    self.outputs.push_back(Output::Event(Seen::Silent));
                }
                return;
            }
        };
        self.heard = now;
        self.outputs.push_back(Output::Event(seen));
    }

    fn poll_output(&mut self) -> Output<Seen> {
        self.outputs.pop_front().unwrap_or_else(|| {
            let alive = Instant::from_origin(Duration::from_secs(1_000_000));
            let at = self.silence.map_or(alive, |limit| self.heard + limit);
            Output::Timeout((!self.ended).then_some(Deadline { at, what: "test" }))
        })
    }
}

pub fn driver() -> Driver<Puppet> {
    Driver::new(Puppet::default(), Http::default())
}

/// The next event, which must come.
pub async fn next(driver: &mut Driver<Puppet>) -> Seen {
    last(driver).await.expect("an event")
}

/// The next event, or the end.
pub async fn last<M: Machine>(driver: &mut Driver<M>) -> Option<M::Event> {
    next_within(driver, HANG).await.expect("hangs")
}

/// All that an exchange reports, its body in one piece; other exchanges' reports are dropped.
pub async fn answer(driver: &mut Driver<Puppet>, of: u64) -> (Option<u16>, Vec<u8>, Result<(), Failure>) {
    let (mut status, mut body) = (None, Vec::new());
    loop {
        match next(driver).await {
            Seen::Head(id, head) if id == of => status = Some(head.status()),
            Seen::Body(id, data) if id == of => body.extend(data),
            Seen::End(id) if id == of => return (status, body, Ok(())),
            Seen::Failed(id, failure) if id == of => return (status, body, Err(failure)),
            _ => {}
        }
    }
}

/// A request that is to fail, and how it did.
pub async fn failure(driver: &mut Driver<Puppet>, endpoint: &Endpoint) -> Failure {
    let id = driver.with(|m| m.request(Lane::Ordered, endpoint, b"call"));
    answer(driver, id).await.2.expect_err("it cannot succeed")
}

/// Waits for what isn't the driver's.
pub async fn guard<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("hangs")
}

pub fn tcp(port: u16) -> Endpoint {
    Endpoint::Tcp { tls: false, host: "127.0.0.1".into(), port }
}

/// Accepts until it is dropped; `script` gets the number of each connection, from 0, and the connection.
pub struct Server {
    pub endpoint: Endpoint,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Servers have threads of their own: a driver may block the test's.
static SERVERS: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    SERVERS.spawn(task)
}

pub async fn serve<F, R>(script: F) -> Server
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (bound, listener) = std::sync::mpsc::channel();
    let task = spawn(async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
        bound.send(listener.local_addr().expect("address").port()).expect("wanted");
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(script(number, stream));
        }
    });
    let endpoint = tcp(listener.recv().expect("a port"));
    Server { endpoint, task }
}

/// Reads one request: head and body. `None` if the connection ends first.
pub async fn read_request<S: AsyncReadExt + Unpin>(stream: &mut S) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let length = head
        .lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |n| n.parse().expect("length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

pub const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
pub const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: s1\r\n\r\n";

/// Writes, or finds the peer gone, which the script's reader will notice.
pub async fn write<S: AsyncWriteExt + Unpin>(stream: &mut S, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}

pub fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// What the server's side saw, in order.
#[derive(Clone, Debug)]
pub struct Log<T>(Arc<Mutex<Vec<T>>>, Arc<tokio::sync::Notify>);

impl<T: Clone> Log<T> {
    pub fn new() -> Self {
        Self(Arc::default(), Arc::default())
    }

    pub fn push(&self, item: T) {
        self.0.lock().expect("lock").push(item);
        self.1.notify_waiters();
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().expect("lock").clone()
    }

    /// Waits until there are so many.
    pub async fn wait(&self, count: usize) -> Vec<T> {
        guard(async {
            loop {
                let changed = self.1.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.all().len() >= count {
                    return self.all();
                }
                changed.await;
            }
        })
        .await
    }
}

/// Sends 64 MiB as fast as they are taken, and logs where it got stuck.
pub async fn flood(stuck: Log<usize>) -> Server {
    const TOTAL: usize = 64 << 20;
    serve(move |_, mut stream| {
        let stuck = stuck.clone();
        async move {
            read_request(&mut stream).await;
            write(&mut stream, STREAM).await;
            let piece = chunk(&[b'x'; 32 << 10]);
            let mut sent = 0;
            while sent < TOTAL {
                let mut at = 0;
                while at < piece.len() {
                    let writing = AsyncWriteExt::write(&mut stream, &piece[at..]);
                    match tokio::time::timeout(Duration::from_millis(500), writing).await {
                        Ok(Ok(n)) => at += n,
                        Ok(Err(_)) => return,
                        Err(_) => stuck.push(sent),
                    }
                }
                sent += 32 << 10;
            }
            write(&mut stream, b"0\r\n\r\n").await;
        }
    })
    .await
}
