//! From an endpoint to an open connection: name, socket, TLS, each within what is left of the time; and the connection
//! as ureq uses it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mesos_core::{Endpoint, Failure, FailureKind, Sent};
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Agent, http};

use crate::Http;
use crate::exchange::{Current, PIECE};

/// An idle connection older than this is not used again: something on the way may have forgotten it in silence.
const IDLE: Duration = Duration::from_secs(30);

/// A client for one thread, which has one connection at a time and keeps it for the next exchange.
///
/// ureq speaks HTTP/1.1 and keeps the connection; how one is made is ours, as nothing else can tell whether a request
/// has left, ask for another name than the host's, or close a connection from another thread. It follows no redirect,
/// asks no proxy, and has no time limit: these are the machine's.
pub(crate) fn agent(http: &Http, current: &Arc<Current>) -> Agent {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        // One that fills the buffer would look as if the connection had ended.
        .max_response_header_size(PIECE - 1)
        .input_buffer_size(PIECE)
        .output_buffer_size(PIECE)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(IDLE)
        .build();
    Agent::with_parts(config, Connect { http: http.clone(), current: current.clone() }, NoResolver)
}

/// Connecting begins with the name; see [`Connect`].
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &http::Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Opens connections to the endpoint of the exchange in hand.
#[derive(Debug)]
struct Connect {
    http: Http,
    current: Arc<Current>,
}

impl Connector for Connect {
    type Out = Line;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Line>, ureq::Error> {
        let exchange = self.current.get()?;
        let opened = open(&self.http, exchange.endpoint(), lookup, |socket| exchange.attach(socket));
        // What fails here fails before a byte of the request has left.
        let (socket, stream) = opened.map_err(|failure| ureq::Error::Other(failure.into()))?;
        let buffers = LazyBuffers::new(PIECE, PIECE);
        Ok(Some(Line { socket, stream, buffers, current: self.current.clone() }))
    }
}

fn failure(kind: FailureKind, detail: impl fmt::Display) -> Failure {
    Failure::new(kind, Sent::No, detail.to_string())
}

fn late(kind: FailureKind, http: &Http) -> Failure {
    failure(kind, format_args!("not within {:?}", http.connect_timeout()))
}

type Opened = (Arc<Socket>, Stream);

/// Asks the system for a name's addresses.
fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Vec::from_iter)
}

/// Opens a connection; its host's name is looked up anew.
fn open(
    http: &Http,
    endpoint: &Endpoint,
    lookup: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    attach: impl Fn(&Arc<Socket>) -> io::Result<()>,
) -> Result<Opened, Failure> {
    let deadline = Instant::now() + http.connect_timeout();
    match endpoint {
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            let socket = UnixStream::connect(path).map_err(|e| failure(FailureKind::Connect, e))?;
            let socket = Arc::new(Socket::Unix(socket));
            attach(&socket).map_err(|e| failure(FailureKind::Connect, e))?;
            Ok((socket.clone(), Stream::Plain(socket)))
        }
        #[cfg(not(unix))]
        Endpoint::Unix(_) => Err(failure(FailureKind::Connect, "this system has no unix domain sockets")),
        Endpoint::Tcp { tls, host, port } => {
            #[cfg(not(feature = "tls"))]
            if *tls {
                return Err(failure(FailureKind::Tls, "built without TLS: the feature `tls` is off"));
            }
            // Looked at first: no use in connecting for it.
            #[cfg(feature = "tls")]
            let tls = if *tls { Some(http.tls(host)?) } else { None };
            let addresses = resolve(host, *port, lookup, deadline, http)?;
            let socket = Arc::new(Socket::Tcp(tcp(&addresses, deadline, http)?));
            attach(&socket).map_err(|e| failure(FailureKind::Connect, e))?;
            #[cfg(feature = "tls")]
            if let Some((config, name)) = tls {
                let stream = crate::tls::handshake(config, name, &socket, deadline, http)?;
                return Ok((socket, Stream::Tls(Box::new(stream))));
            }
            Ok((socket.clone(), Stream::Plain(socket)))
        }
    }
}

/// The system's resolver can't be told to stop: it gets a thread to finish on.
fn resolve(
    host: &str,
    port: u16,
    lookup: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    deadline: Instant,
    http: &Http,
) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, resolved) = mpsc::channel();
    let name = host.to_owned();
    let work = move || {
        // Nobody waits any more if it took too long.
        let _ = sender.send(lookup(&name, port));
    };
    thread::Builder::new()
        .name("mesos-resolve".into())
        .spawn(work)
        .map_err(|e| failure(FailureKind::Resolve, format_args!("no thread for it: {e}")))?;
    match resolved.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(addresses) => addresses.map_err(|e| failure(FailureKind::Resolve, e)),
        Err(_) => Err(late(FailureKind::Resolve, http)),
    }
}

/// Tries each address in turn; each gets its share of the time that is left, so that a dead first one doesn't use
/// it all up.
fn tcp(addresses: &[SocketAddr], deadline: Instant, http: &Http) -> Result<TcpStream, Failure> {
    let mut last = failure(FailureKind::Resolve, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        if share.is_zero() {
            return Err(late(FailureKind::Connect, http));
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => {
                // Calls are small and each is waited for. If it cannot be set, they are only slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                let error = match error.kind() {
                    io::ErrorKind::TimedOut => late(FailureKind::Connect, http),
                    _ => failure(FailureKind::Connect, error),
                };
                last = Failure { detail: format!("{address}: {}", error.detail), ..error };
            }
        }
    }
    Err(last)
}

/// A connection's socket, which one thread uses and another may shut.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same for both kinds.
macro_rules! either {
    ($self:expr, $stream:ident => $what:expr) => {
        match $self {
            Socket::Tcp($stream) => $what,
            #[cfg(unix)]
            Socket::Unix($stream) => $what,
        }
    };
}

impl Socket {
    /// Closes it for whoever is reading or writing, and for the peer.
    pub(crate) fn shut(&self) {
        // It may be closed already.
        let _ = either!(self, stream => stream.shutdown(Shutdown::Both));
    }

    #[cfg(feature = "tls")]
    pub(crate) fn set_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit)))
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => { let mut stream = stream; stream.read(buffer) })
    }

    pub(crate) fn write(&self, data: &[u8]) -> io::Result<usize> {
        either!(self, stream => { let mut stream = stream; stream.write(data) })
    }

    /// Whether nothing has come on an idle connection: neither its end, nor bytes that nobody has asked for.
    fn is_quiet(&self) -> bool {
        let nonblocking = |on| either!(self, stream => stream.set_nonblocking(on));
        if nonblocking(true).is_err() {
            return false;
        }
        let quiet = matches!(self.read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        quiet && nonblocking(false).is_ok()
    }
}

/// What is spoken on a socket.
#[derive(Debug)]
enum Stream {
    Plain(Arc<Socket>),
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream>),
}

/// An open connection, as ureq uses it. Dropping it closes the socket.
#[derive(Debug)]
struct Line {
    socket: Arc<Socket>,
    stream: Stream,
    buffers: LazyBuffers,
    current: Arc<Current>,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.current.get()?.send(&self.socket)?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        match &mut self.stream {
            Stream::Plain(socket) => Plain(socket).write_all(output)?,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                stream.write_all(output)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let buffer = self.buffers.input_append_buf();
        let length = loop {
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(buffer),
                #[cfg(feature = "tls")]
                Stream::Tls(stream) => stream.read(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    fn is_open(&mut self) -> bool {
        self.socket.is_quiet()
    }
}

/// Writes all of it, however often it takes.
struct Plain<'a>(&'a Socket);

impl Write for Plain<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    // S147: a name is looked up for each connection anew, and all that it stands for is tried.
    #[test]
    fn each_connection_goes_where_the_name_leads_now() {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (first, second, gone) = (listen(), listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let (a, b, nobody) = (address(&first), address(&second), address(&gone));
        drop(gone);
        let http = Http::default();
        let endpoint = Endpoint::Tcp { tls: false, host: "leader.mesos".into(), port: 5050 };
        let open = |answer: io::Result<Vec<SocketAddr>>| {
            let lookup = |host: &str, port: u16| {
                assert_eq!((host, port), ("leader.mesos", 5050));
                answer
            };
            open(&http, &endpoint, lookup, |_| Ok(())).map(drop).map_err(|failure| (failure.kind, failure.sent))
        };
        assert_eq!(open(Ok(vec![a])), Ok(()));
        first.accept().unwrap();
        assert_eq!(open(Ok(vec![nobody, b])), Ok(()), "the master has moved, and its first address is dead");
        second.accept().unwrap();
        assert_eq!(open(Ok(vec![nobody])), Err((FailureKind::Connect, Sent::No)));
        assert_eq!(open(Ok(vec![])), Err((FailureKind::Resolve, Sent::No)), "no address");
        let unknown = Err(io::Error::other("no such name"));
        assert_eq!(open(unknown), Err((FailureKind::Resolve, Sent::No)), "no such name");
    }

    #[test]
    fn the_system_is_asked() {
        let addresses = lookup("localhost", 80).unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(|a| a.ip().is_loopback() && a.port() == 80));
    }
}
