//! The cluster behind real HTTP on loopback, with tasks as local processes. For Unix only.

mod embedded;
mod health;
mod listener;
mod process;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::rng::Rng;
use crate::{Cluster, ExchangeId, Exit, Options, Output, Request, Response, TaskName, Trouble};
pub use embedded::Embedded;
use listener::Piece;
use process::{Name, Processes};

/// So many pieces of a stream wait for a client that doesn't read; then its subscription ends.
const BACKLOG: usize = 65_536;

/// A running cluster. Dropping it ends it, the tasks' processes too.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use mesos_sim::{Options, serve::Served};
///
/// let cluster = Served::start(Options::default()).await?;
/// println!("a master listens on {}", cluster.masters()[0]);
/// cluster.control(|cluster| cluster.kill_agent(0)).await;
/// cluster.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Served {
    masters: Vec<SocketAddr>,
    agents: Vec<SocketAddr>,
    messages: mpsc::UnboundedSender<Message>,
    sandboxes: PathBuf,
    actor: JoinHandle<()>,
}

/// What the actor that owns the cluster is told.
enum Message {
    Request {
        server: Server,
        request: Request,
        reply: oneshot::Sender<Answer>,
    },
    Closed(ExchangeId),
    Ended(Name, Exit),
    /// A health check has come to a result.
    Health {
        name: TaskName,
        healthy: bool,
        /// It has failed too often.
        kill: bool,
    },
    /// A task that was asked to end has had its grace.
    Overdue(Name, rustix::process::Pid),
    Control(Box<dyn FnOnce(&mut Cluster) + Send>),
    /// An agent's port may be free now.
    OpenAgent(usize),
    Restart(usize, oneshot::Sender<io::Result<()>>),
    Stop,
}

/// Whose port it is.
#[derive(Clone, Copy, Debug)]
enum Server {
    Master(usize),
    Agent(usize),
}

/// The head of an answer, and its pieces if it streams.
struct Answer {
    exchange: ExchangeId,
    response: Response,
    pieces: Option<mpsc::Receiver<Piece>>,
}

impl Served {
    /// Starts a cluster on free loopback ports.
    ///
    /// # Errors
    ///
    /// If no port can be had, if the folder for the tasks' output can't be made, or if the options make no cluster.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (master_listeners, masters) = listen(options.masters).await?;
        let (agent_listeners, agents) = listen(options.agents.len()).await?;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = options.seed.unwrap_or_else(|| unix.as_nanos() as u64 ^ u64::from(std::process::id()) << 32);
        let rechunk = options.rechunk.then(|| Rng::new(seed));
        let authorities = masters.iter().map(ToString::to_string).collect();
        let cluster = Cluster::new(options, authorities, unix.as_secs_f64(), seed).map_err(io::Error::other)?;
        let (messages, inbox) = mpsc::unbounded_channel();
        let open = |server, listener| Some(listener::open(server, listener, messages.clone()));
        let doors = master_listeners.into_iter().enumerate();
        let doors = doors.map(|(master, listener)| open(Server::Master(master), listener)).collect();
        let agent_doors = agent_listeners.into_iter().enumerate();
        let agent_doors = agent_doors.map(|(agent, listener)| open(Server::Agent(agent), listener)).collect();
        let processes = Processes::new(messages.clone())?;
        let sandboxes = processes.sandboxes().to_owned();
        let actor = Actor {
            processes,
            cluster,
            start: Instant::now(),
            inbox,
            messages: messages.clone(),
            addresses: masters.clone(),
            doors,
            agents: agents.clone(),
            agent_doors,
            next_exchange: 0,
            waiting: Vec::new(),
            streams: Vec::new(),
            rechunk,
        };
        Ok(Self { masters, agents, messages, sandboxes, actor: tokio::spawn(actor.run()) })
    }

    /// Where the masters listen; a killed one, too, since it comes back to the same port.
    #[must_use]
    pub fn masters(&self) -> &[SocketAddr] {
        &self.masters
    }

    /// Where the agents listen, for executors; a killed one, too, since it comes back to the same port.
    #[must_use]
    pub fn agents(&self) -> &[SocketAddr] {
        &self.agents
    }

    /// The first master's address as a URL, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn master_url(&self) -> String {
        self.masters.first().map(|master| format!("http://{master}")).unwrap_or_default()
    }

    /// The folder where a task runs, or an executor of this id, with its output in the files `stdout` and `stderr`. It is removed with the
    /// cluster.
    #[must_use]
    pub fn sandbox(&self, framework: &str, task: &str) -> PathBuf {
        process::sandbox(&self.sandboxes, framework, task)
    }

    /// Acts on the cluster between two of its steps, such as `|cluster| cluster.kill_agent(0)`, and hands back what
    /// the closure returns; `None` if the cluster has ended.
    pub async fn control<R: Send + 'static>(&self, act: impl FnOnce(&mut Cluster) -> R + Send + 'static) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        let control = Box::new(move |cluster: &mut Cluster| {
            let _ = reply.send(act(cluster));
        });
        self.messages.send(Message::Control(control)).ok()?;
        answer.await.ok()
    }

    /// Starts a killed master again, on its old port.
    ///
    /// # Errors
    ///
    /// If the port is taken, or the cluster has ended.
    pub async fn restart_master(&self, master: usize) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the cluster has ended");
        self.messages.send(Message::Restart(master, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Ends the cluster, and waits until its tasks' processes are gone.
    pub async fn stop(mut self) {
        let _ = self.messages.send(Message::Stop);
        let _ = (&mut self.actor).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The actor kills the processes when it is dropped.
        self.actor.abort();
    }
}

/// Free loopback ports.
async fn listen(count: usize) -> io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind(("127.0.0.1", 0)).await?);
    }
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    Ok((listeners, addresses))
}

/// Owns the cluster and carries out what it wants.
struct Actor {
    cluster: Cluster,
    processes: Processes,
    start: Instant,
    inbox: mpsc::UnboundedReceiver<Message>,
    messages: mpsc::UnboundedSender<Message>,
    addresses: Vec<SocketAddr>,
    /// The listener of each master that lives; aborting it breaks all its connections.
    doors: Vec<Option<listener::Door>>,
    agents: Vec<SocketAddr>,
    agent_doors: Vec<Option<listener::Door>>,
    next_exchange: u64,
    waiting: Vec<(ExchangeId, oneshot::Sender<Answer>)>,
    streams: Vec<(ExchangeId, mpsc::Sender<Piece>)>,
    rechunk: Option<Rng>,
}

impl Actor {
    async fn run(mut self) {
        loop {
            self.cluster.advance(self.start.elapsed());
            self.perform();
            let deadline = self.cluster.next_deadline().unwrap_or(Duration::from_secs(3600));
            let message = tokio::select! {
                message = self.inbox.recv() => message,
                () = tokio::time::sleep_until(self.start + deadline) => continue,
            };
            self.cluster.advance(self.start.elapsed());
            match message {
                None | Some(Message::Stop) => break,
                Some(Message::Request { server, request, reply }) => {
                    let exchange = ExchangeId(self.next_exchange);
                    self.next_exchange += 1;
                    self.waiting.push((exchange, reply));
                    match server {
                        Server::Master(master) => self.cluster.request(master, exchange, &request),
                        Server::Agent(agent) => self.cluster.agent_request(agent, exchange, &request),
                    }
                }
                Some(Message::Closed(exchange)) => {
                    self.streams.retain(|stream| stream.0 != exchange);
                    self.cluster.closed(exchange);
                }
                Some(Message::Ended(name, exit)) => {
                    self.processes.forget(&name);
                    match name {
                        Name::Task(name) => self.cluster.ended(&name, &exit),
                        Name::Executor(name) => self.cluster.executor_ended(&name, &exit),
                    }
                }
                Some(Message::Health { name, kill: true, .. }) => self.cluster.trouble(&name, Trouble::Unhealthy),
                Some(Message::Health { name, healthy, .. }) => self.cluster.health(&name, healthy),
                Some(Message::Overdue(name, pid)) => self.processes.overdue(&name, pid),
                Some(Message::Control(act)) => act(&mut self.cluster),
                Some(Message::OpenAgent(agent)) => {
                    if self.agent_doors.get(agent).is_some_and(Option::is_none) && self.cluster.is_agent_up(agent) {
                        self.open_agent(agent);
                    }
                }
                Some(Message::Restart(master, reply)) => {
                    let result = self.restart(master).await;
                    let _ = reply.send(result);
                }
            }
        }
        self.processes.end_all().await;
    }

    async fn restart(&mut self, master: usize) -> io::Result<()> {
        let Some((address, door)) = self.addresses.get(master).zip(self.doors.get_mut(master)) else {
            return Err(io::Error::other("no such master"));
        };
        if door.is_none() {
            let listener = TcpListener::bind(address).await?;
            *door = Some(listener::open(Server::Master(master), listener, self.messages.clone()));
            self.cluster.restart_master(master);
        }
        Ok(())
    }

    /// Opens an agent's port again: as soon as the listener before it is gone, which takes the runtime a moment.
    fn open_agent(&mut self, agent: usize) {
        let Some((address, door)) = self.agents.get(agent).zip(self.agent_doors.get_mut(agent)) else { return };
        let listener = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        match listener {
            Ok(listener) => *door = Some(listener::open(Server::Agent(agent), listener, self.messages.clone())),
            Err(error) => {
                tracing::debug!(agent, %error, "the agent's port isn't free so far");
                let messages = self.messages.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let _ = messages.send(Message::OpenAgent(agent));
                });
            }
        }
    }

    fn perform(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Respond(exchange, response) => self.respond(exchange, response),
                Output::Stream(exchange, record) => self.stream(exchange, record),
                Output::End(exchange) => self.streams.retain(|stream| stream.0 != exchange),
                Output::Cut(exchange) => {
                    // Dropping the reply breaks the connection of an exchange without an answer so far.
                    self.waiting.retain(|waiting| waiting.0 != exchange);
                    self.piece(exchange, Piece::Cut);
                    self.streams.retain(|stream| stream.0 != exchange);
                }
                Output::Start { name, info } => match self.processes.start(&name, &info) {
                    Ok(()) => self.cluster.started(&name),
                    Err(error) => self.cluster.ended(&name, &Exit::NotStarted(error.to_string())),
                },
                Output::Stop { name, grace } => self.processes.stop(&name, grace),
                Output::StartExecutor { name, info, environment } => {
                    let Some(&agent) = self.agents.get(name.agent) else { continue };
                    if let Err(error) = self.processes.start_executor(&name, &info, environment, agent) {
                        self.cluster.executor_ended(&name, &Exit::NotStarted(error.to_string()));
                    }
                }
                Output::KillExecutor { name } => self.processes.kill_executor(&name),
                Output::AgentDown { agent } => {
                    if let Some(door) = self.agent_doors.get_mut(agent) {
                        *door = None;
                    }
                }
                Output::AgentUp { agent } => self.open_agent(agent),
                Output::MasterDown { master, aborted } => {
                    if let Some(why) = aborted {
                        tracing::error!(master, why, "a call has made the master abort, as it would a real one");
                    }
                    if let Some(door) = self.doors.get_mut(master) {
                        *door = None;
                    }
                }
            }
        }
    }

    fn respond(&mut self, exchange: ExchangeId, response: Response) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.0 == exchange) else { return };
        let (_, reply) = self.waiting.swap_remove(place);
        let pieces = response.body.is_none().then(|| {
            let (sender, pieces) = mpsc::channel(BACKLOG);
            self.streams.push((exchange, sender));
            pieces
        });
        if reply.send(Answer { exchange, response, pieces }).is_err() {
            self.streams.retain(|stream| stream.0 != exchange);
            self.cluster.closed(exchange);
        }
    }

    fn stream(&mut self, exchange: ExchangeId, mut record: Bytes) {
        while let Some(rng) = self.rechunk.as_mut().filter(|_| record.len() > 1) {
            let cut = 1 + (rng.next() % record.len().min(700) as u64) as usize;
            if cut >= record.len() {
                break;
            }
            let piece = record.split_to(cut);
            self.piece(exchange, Piece::Data(piece));
        }
        self.piece(exchange, Piece::Data(record));
    }

    fn piece(&mut self, exchange: ExchangeId, piece: Piece) {
        let Some((_, stream)) = self.streams.iter().find(|stream| stream.0 == exchange) else { return };
        // A receiver that is gone says so itself.
        if let Err(mpsc::error::TrySendError::Full(_)) = stream.try_send(piece) {
            tracing::warn!(exchange = exchange.0, "the client doesn't read its stream: subscription ended");
            self.streams.retain(|stream| stream.0 != exchange);
            self.cluster.closed(exchange);
        }
    }
}
