//! One request and its answer, on whichever thread has it.

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mesos_core::{Endpoint, ExchangeId, Failure, FailureKind, Head, Lane, Method, Report, Request, Sent};
use tracing::debug;
use ureq::Agent;
use ureq::http;

use crate::connect::Socket;
use crate::mailbox::Mailbox;

/// The largest piece that a body arrives in.
pub(crate) const PIECE: usize = 64 * 1024;

/// What the driver and the thread of an exchange both have of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    id: ExchangeId,
    lane: Lane,
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    aborted: bool,
    /// The connection that carries it now.
    socket: Option<Arc<Socket>>,
    /// Whether a byte of the request can have left.
    sent: bool,
}

impl Exchange {
    pub(crate) fn new(request: &Request) -> Self {
        let endpoint = request.endpoint().clone();
        Self { id: request.id(), lane: request.lane(), endpoint, state: Mutex::default() }
    }

    pub(crate) const fn id(&self) -> ExchangeId {
        self.id
    }

    pub(crate) const fn lane(&self) -> Lane {
        self.lane
    }

    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.state().aborted
    }

    /// From now on its connection is closed if it is aborted.
    ///
    /// # Errors
    ///
    /// It has been aborted already.
    pub(crate) fn attach(&self, socket: &Arc<Socket>) -> io::Result<()> {
        let mut state = self.state();
        if state.aborted {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "aborted"));
        }
        state.socket = Some(socket.clone());
        Ok(())
    }

    /// Something of the request is about to leave by this connection.
    pub(crate) fn send(&self, socket: &Arc<Socket>) -> io::Result<()> {
        self.attach(socket)?;
        self.state().sent = true;
        Ok(())
    }

    fn sent(&self) -> Sent {
        if self.state().sent { Sent::Maybe } else { Sent::No }
    }

    /// Its connection is no more its own.
    fn detach(&self) {
        self.state().socket = None;
    }

    /// Closes its connection at once, wherever its thread stands.
    pub(crate) fn abort(&self) {
        let mut state = self.state();
        state.aborted = true;
        if let Some(socket) = state.socket.take() {
            socket.shut();
        }
    }
}

/// The exchange that a thread has in hand, for its connections to see.
#[derive(Debug, Default)]
pub(crate) struct Current(Mutex<Option<Arc<Exchange>>>);

impl Current {
    pub(crate) fn set(&self, exchange: Option<Arc<Exchange>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = exchange;
    }

    /// # Errors
    ///
    /// There is none, which can't be while anything is sent or connected.
    pub(crate) fn get(&self) -> io::Result<Arc<Exchange>> {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        current.ok_or_else(|| io::Error::other("no exchange"))
    }
}

/// Performs an exchange up to the end of its body; all but its last report are in the mailbox then.
///
/// # Errors
///
/// What the last report is to say.
pub(crate) fn perform(agent: &Agent, exchange: &Exchange, request: &Request, mailbox: &Mailbox) -> Result<(), Failure> {
    let failed = |error: &ureq::Error| failure(error, exchange.sent());
    let answer = send(agent, request).map_err(|error| match error {
        Refused::Request(why) => Failure::new(FailureKind::Http, Sent::No, why),
        Refused::Exchange(error) => failed(&error),
    })?;
    let (parts, body) = answer.into_parts();
    debug!(id = %exchange.id, status = parts.status.as_u16(), "answer");
    let mut head = Head::new(parts.status.as_u16());
    for (name, value) in &parts.headers {
        head = head.header(name.as_str(), value.as_bytes());
    }
    let gone = || Failure::new(FailureKind::Io, Sent::Maybe, "nobody wants the answer any more");
    let deliver = |report| if mailbox.report(exchange, report) { Ok(()) } else { Err(gone()) };
    deliver(Report::Head(exchange.id, head))?;
    let mut reader = body.into_reader();
    let mut buffer = vec![0; PIECE];
    loop {
        // After an error the reader says that all is well, and the body complete: nothing is read beyond it.
        let length = reader.read(&mut buffer).map_err(|error| failed(&ureq::Error::Io(error)))?;
        match buffer.get(..length) {
            Some([]) | None => break,
            Some(data) => deliver(Report::Body(exchange.id, Bytes::copy_from_slice(data)))?,
        }
    }
    exchange.detach();
    Ok(())
}

enum Refused {
    /// It can't be written as HTTP.
    Request(String),
    Exchange(ureq::Error),
}

fn send(agent: &Agent, request: &Request) -> Result<http::Response<ureq::Body>, Refused> {
    let refuse = |what: String| Refused::Request(what);
    let path = request.path();
    // How to connect is known from the endpoint; all that ureq takes from this is the path.
    let uri: http::Uri = match path.starts_with('/') {
        true => ["http://", &request.endpoint().authority(), path].concat().parse(),
        false => "".parse(),
    }
    .map_err(|e| refuse(format!("path {path:?}: {e}")))?;
    let mut made = http::Request::new(());
    *made.uri_mut() = uri;
    for header in request.headers() {
        let name = http::HeaderName::from_bytes(header.name().as_bytes())
            .map_err(|e| refuse(format!("header {:?}: {e}", header.name())))?;
        let mut value = http::HeaderValue::from_str(header.value())
            .map_err(|_| refuse(format!("header {}: not a legal value", header.name())))?;
        value.set_sensitive(header.is_sensitive());
        made.headers_mut().append(name, value);
    }
    let answer = match request.method() {
        Method::Get => agent.run(made),
        Method::Post => {
            *made.method_mut() = http::Method::POST;
            agent.run(made.map(|()| &request.body()[..]))
        }
    };
    answer.map_err(Refused::Exchange)
}

/// What ureq says about a request or an answer that broke off, and what our own connections said through it.
fn failure(error: &ureq::Error, sent: Sent) -> Failure {
    let inner = match error {
        ureq::Error::Other(inner) => Some(&**inner as &(dyn std::error::Error + 'static)),
        ureq::Error::Io(error) => error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
        _ => None,
    };
    if let Some(known) = inner.and_then(|inner| inner.downcast_ref::<Failure>()) {
        return known.clone();
    }
    if let Some(nested) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return failure(nested, sent);
    }
    #[cfg(feature = "tls")]
    if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Failure::new(FailureKind::Tls, sent, error.to_string());
    }
    let kind = match error {
        // The last one: the connection has ended in the middle of a chunk's size.
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => FailureKind::Io,
        _ => FailureKind::Http,
    };
    Failure::new(kind, sent, error.to_string())
}
