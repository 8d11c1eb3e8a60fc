//! From an endpoint to an open connection, and from what goes wrong on the way to a [`Failure`].

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesos_core::{Endpoint, Failure, FailureKind, Sent};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::Http;

/// hyper's buffer for one connection: bounds an answer's head, and the largest piece a body arrives in.
const BUFFER: usize = 64 * 1024;

/// An open HTTP/1.1 connection. Dropping it closes the socket.
pub(crate) struct Connection {
    pub(crate) sender: http1::SendRequest<Full<Bytes>>,
    io: AbortOnDrop,
}

impl Connection {
    /// Whether a next request could be written to it.
    pub(crate) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.io.0.is_finished()
    }
}

/// A task that ends with its owner.
pub(crate) struct AbortOnDrop(pub(crate) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks the system for a name's addresses.
pub(crate) async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((host, port)).await?.collect())
}

/// Opens a connection; its host's name is looked up anew. What fails here fails before a byte of any request has left.
pub(crate) async fn connect<L>(http: &Http, endpoint: &Endpoint, lookup: L) -> Result<Connection, Failure>
where
    L: AsyncFnOnce(String, u16) -> io::Result<Vec<SocketAddr>>,
{
    let deadline = Instant::now() + http.connect_timeout();
    match endpoint {
        Endpoint::Unix(path) => {
            let stream = timeout_at(deadline, UnixStream::connect(path)).await;
            handshake(within(stream, http, FailureKind::Connect)?).await
        }
        Endpoint::Tcp { tls, host, port } => {
            // Looked at first: no use in connecting for it.
            let tls = if *tls { Some(http.tls(host)?) } else { None };
            let addresses = timeout_at(deadline, lookup(host.clone(), *port)).await;
            let addresses = within(addresses, http, FailureKind::Resolve)?;
            let stream = tcp(&addresses, deadline, http).await?;
            match tls {
                None => handshake(stream).await,
                Some((config, name)) => {
                    let stream = timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await;
                    handshake(within(stream, http, FailureKind::Tls)?).await
                }
            }
        }
    }
}

fn failure(kind: FailureKind, detail: impl fmt::Display) -> Failure {
    Failure::new(kind, Sent::No, detail.to_string())
}

fn within<T>(
    step: Result<io::Result<T>, tokio::time::error::Elapsed>,
    http: &Http,
    kind: FailureKind,
) -> Result<T, Failure> {
    match step {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failure(kind, error)),
        Err(_) => Err(failure(kind, format_args!("not within {:?}", http.connect_timeout()))),
    }
}

/// Tries each address in turn; each gets its share of the time that is left, so that a dead first one doesn't use
/// it all up.
async fn tcp(addresses: &[SocketAddr], deadline: Instant, http: &Http) -> Result<TcpStream, Failure> {
    let mut last = failure(FailureKind::Resolve, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = now + deadline.saturating_duration_since(now) / left;
        let attempt = timeout_at(share, TcpStream::connect(address)).await;
        match within(attempt, http, FailureKind::Connect) {
            Ok(stream) => {
                // Calls are small and each is waited for. If it cannot be set, they are only slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Failure { detail: format!("{address}: {}", error.detail), ..error },
        }
    }
    Err(last)
}

async fn handshake<S>(stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failure(FailureKind::Connect, e))?;
    let io = tokio::spawn(async move {
        // Its error also reaches the exchange under way, which reports it; on an idle connection it is no news.
        let _ = connection.await;
    });
    Ok(Connection { sender, io: AbortOnDrop(io) })
}

/// What hyper says about a request or an answer that broke off.
pub(crate) fn broken(error: &hyper::Error, sent: Sent) -> Failure {
    let cause = error.source().and_then(|e| e.downcast_ref::<io::Error>());
    let malformed =
        matches!(cause.map(io::Error::kind), Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
    // A TLS alert in the middle of a connection also comes as invalid data.
    let tls = cause.and_then(io::Error::get_ref).is_some_and(|e| e.is::<rustls::Error>());
    let kind = match () {
        () if tls => FailureKind::Tls,
        () if malformed || error.is_parse() => FailureKind::Http,
        () => FailureKind::Io,
    };
    let detail = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Failure::new(kind, sent, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use tokio::net::TcpListener;

    // S147: a name is looked up for each connection anew, and all that it stands for is tried.
    #[tokio::test]
    async fn each_connection_goes_where_the_name_leads_now() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (first, second, gone) = (listen().await, listen().await, listen().await);
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let (a, b, nobody) = (address(&first), address(&second), address(&gone));
        drop(gone);
        let answers = RefCell::new(VecDeque::from([vec![a], vec![nobody, b], vec![nobody], vec![]]));
        let http = Http::default();
        let endpoint = Endpoint::Tcp { tls: false, host: "leader.mesos".into(), port: 5050 };
        let connect = async || {
            let lookup = async |host, port| {
                assert_eq!((host, port), (String::from("leader.mesos"), 5050));
                answers.borrow_mut().pop_front().ok_or_else(|| io::Error::other("no such name"))
            };
            connect(&http, &endpoint, lookup).await.map(drop).map_err(|failure| (failure.kind, failure.sent))
        };
        assert_eq!(connect().await, Ok(()));
        first.accept().await.unwrap();
        assert_eq!(connect().await, Ok(()), "the master has moved, and its first address is dead");
        second.accept().await.unwrap();
        assert_eq!(connect().await, Err((FailureKind::Connect, Sent::No)));
        assert_eq!(connect().await, Err((FailureKind::Resolve, Sent::No)), "no address");
        assert_eq!(connect().await, Err((FailureKind::Resolve, Sent::No)), "no such name");
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        let addresses = lookup("localhost".into(), 80).await.unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(|a| a.ip().is_loopback() && a.port() == 80));
    }
}
