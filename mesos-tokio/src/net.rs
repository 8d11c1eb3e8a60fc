//! Exchanges under way: one task each, connections per lane, what they report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use mesos_core::{Endpoint, ExchangeId, Failure, FailureKind, Head, Lane, Method, Report, Request, Sent};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::Http;
use crate::connect::{AbortOnDrop, Connection, broken, connect, lookup};

/// Acknowledgements under way at a time.
const ACKS: usize = 4;
/// Pieces of the subscription's body that wait; one is at most as large as a connection's buffer.
pub(crate) const STREAM_QUEUE: usize = 4;
/// Reports of all other exchanges that wait.
pub(crate) const ANSWER_QUEUE: usize = 16;
/// An idle connection older than this is not used again: something on the way may have forgotten it in silence.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may take to become ready again after an answer's end.
const SETTLE: Duration = Duration::from_millis(100);

type Sender = mpsc::Sender<Report>;

/// Connections of one lane that wait for the next request, and how many may be in use.
struct Pool {
    permits: Semaphore,
    idle: Mutex<Vec<(Endpoint, Instant, Connection)>>,
}

impl Pool {
    fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self { permits: Semaphore::new(connections), idle: Mutex::default() })
    }

    /// An open connection to this endpoint. Those to others are closed: the master has changed.
    fn take(&self, endpoint: &Endpoint) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(to, since, connection)| to == endpoint && since.elapsed() < IDLE && connection.is_open());
        idle.pop().map(|(_, _, connection)| connection)
    }

    fn put(&self, endpoint: Endpoint, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((endpoint, Instant::now(), connection));
    }
}

/// All connections of one driver. Dropping it closes them.
pub(crate) struct Net {
    http: Http,
    ordered: Arc<Pool>,
    acks: Arc<Pool>,
    /// Exchanges under way; the subscription is marked.
    open: BTreeMap<ExchangeId, (Lane, AbortOnDrop)>,
    stream: (Sender, mpsc::Receiver<Report>),
    answers: (Sender, mpsc::Receiver<Report>),
}

impl Net {
    pub(crate) fn new(http: Http) -> Self {
        Self {
            http,
            ordered: Pool::new(1),
            acks: Pool::new(ACKS),
            open: BTreeMap::new(),
            stream: mpsc::channel(STREAM_QUEUE),
            answers: mpsc::channel(ANSWER_QUEUE),
        }
    }

    pub(crate) fn start(&mut self, request: Request) {
        let (id, lane) = (request.id(), request.lane());
        debug!(%id, ?lane, endpoint = %request.endpoint(), path = request.path(), bytes = request.body().len(), "request");
        let (pool, report) = match lane {
            Lane::Subscription => (None, &self.stream.0),
            Lane::Ordered => (Some(self.ordered.clone()), &self.answers.0),
            Lane::Acks => (Some(self.acks.clone()), &self.answers.0),
        };
        let (http, report) = (self.http.clone(), report.clone());
        let task = tokio::spawn(async move {
            let last = match run(&http, pool.as_deref(), request, &report).await {
                Ok(()) => Report::End(id),
                Err(failure) => {
                    debug!(%id, kind = ?failure.kind, sent = ?failure.sent, detail = failure.detail, "exchange failed");
                    Report::Failed(id, failure)
                }
            };
            // The driver is gone if this fails, and so is everybody who could want to know.
            let _ = report.send(last).await;
        });
        self.open.insert(id, (lane, AbortOnDrop(task)));
    }

    pub(crate) fn abort(&mut self, id: ExchangeId) {
        if self.open.remove(&id).is_some() {
            debug!(%id, "aborted");
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The subscription, if bytes of it are waiting here unread.
    pub(crate) fn unread_stream(&self) -> Option<ExchangeId> {
        let open = self.open.iter().find(|(_, (lane, _))| *lane == Lane::Subscription);
        open.map(|(id, _)| *id).filter(|_| !self.stream.1.is_empty())
    }

    /// The next report; of the subscription only if `stream` says so. Cancel-safe.
    pub(crate) async fn next(&mut self, stream: bool, answers: bool) -> Report {
        loop {
            let report = tokio::select! {
                biased;
                Some(report) = self.answers.1.recv(), if answers => report,
                Some(report) = self.stream.1.recv(), if stream => report,
                // Neither is wanted: whoever asks waits for something else as well.
                else => std::future::pending().await,
            };
            if let Some(report) = self.current(report) {
                return report;
            }
        }
    }

    /// A report that is waiting already.
    pub(crate) fn try_next(&mut self, stream: bool, answers: bool) -> Option<Report> {
        loop {
            let answer = if answers { self.answers.1.try_recv().ok() } else { None };
            let report = match answer {
                None if stream => self.stream.1.try_recv().ok(),
                other => other,
            };
            match self.current(report?) {
                None => {}
                found => return found,
            }
        }
    }

    /// Drops what aborted exchanges still said, and forgets those that say their last.
    fn current(&mut self, report: Report) -> Option<Report> {
        let id = report.id();
        let known = if report.is_last() { self.open.remove(&id).is_some() } else { self.open.contains_key(&id) };
        known.then_some(report)
    }
}

/// One request and its answer, up to the end of its body.
async fn run(http: &Http, pool: Option<&Pool>, request: Request, report: &Sender) -> Result<(), Failure> {
    let (id, endpoint) = (request.id(), request.endpoint().clone());
    let request = translate(request)?;
    let Some(pool) = pool else {
        let mut connection = connect(http, &endpoint, lookup).await?;
        let body = send(&mut connection, request).await.map_err(|refused| refused.failure)?;
        return read(id, body, report).await;
    };
    // The pool outlives its tasks and never closes the semaphore.
    let _permit = pool.permits.acquire().await;
    let (mut connection, answer) = match pool.take(&endpoint) {
        None => fresh(http, &endpoint, request).await?,
        Some(mut connection) => match send(&mut connection, request).await {
            Ok(answer) => (connection, answer),
            // The server had closed it meanwhile; nothing was written, so this is no repetition.
            Err(Refused { unsent: Some(request), .. }) => fresh(http, &endpoint, *request).await?,
            Err(refused) => return Err(refused.failure),
        },
    };
    read(id, answer, report).await?;
    // Ready at once, unless the server answered without having read all of the request: then it's no use any more.
    if let Ok(Ok(())) = timeout(SETTLE, connection.sender.ready()).await {
        pool.put(endpoint, connection);
    }
    Ok(())
}

type HyperRequest = hyper::Request<Full<Bytes>>;
type HyperResponse = hyper::Response<Incoming>;

struct Refused {
    failure: Failure,
    unsent: Option<Box<HyperRequest>>,
}

async fn fresh(http: &Http, to: &Endpoint, request: HyperRequest) -> Result<(Connection, HyperResponse), Failure> {
    let mut connection = connect(http, to, lookup).await?;
    let answer = send(&mut connection, request).await.map_err(|refused| refused.failure)?;
    Ok((connection, answer))
}

async fn send(connection: &mut Connection, request: HyperRequest) -> Result<HyperResponse, Refused> {
    connection.sender.try_send_request(request).await.map_err(|mut error| {
        let unsent = error.take_message().map(Box::new);
        let sent = if unsent.is_some() { Sent::No } else { Sent::Maybe };
        Refused { failure: broken(error.error(), sent), unsent }
    })
}

async fn read(id: ExchangeId, answer: HyperResponse, report: &Sender) -> Result<(), Failure> {
    let (parts, mut body) = answer.into_parts();
    debug!(%id, status = parts.status.as_u16(), "answer");
    let mut head = Head::new(parts.status.as_u16());
    for (name, value) in &parts.headers {
        head = head.header(name.as_str(), value.as_bytes());
    }
    let gone = || Failure::new(FailureKind::Io, Sent::Maybe, "the driver has ended");
    report.send(Report::Head(id, head)).await.map_err(|_| gone())?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| broken(&e, Sent::Maybe))?;
        // Trailers are nobody's business.
        if let Ok(data) = frame.into_data() {
            if !data.is_empty() {
                report.send(Report::Body(id, data)).await.map_err(|_| gone())?;
            }
        }
    }
    Ok(())
}

fn translate(request: Request) -> Result<HyperRequest, Failure> {
    let refuse = |what: String| Failure::new(FailureKind::Http, Sent::No, what);
    let mut made = hyper::Request::new(Full::new(request.body().clone()));
    *made.method_mut() = match request.method() {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
    };
    *made.uri_mut() = request.path().parse().map_err(|e| refuse(format!("path {:?}: {e}", request.path())))?;
    let headers = made.headers_mut();
    for header in request.headers() {
        let name = HeaderName::from_bytes(header.name().as_bytes())
            .map_err(|e| refuse(format!("header {:?}: {e}", header.name())))?;
        let mut value = HeaderValue::from_str(header.value())
            .map_err(|_| refuse(format!("header {}: not a legal value", header.name())))?;
        value.set_sensitive(header.is_sensitive());
        headers.append(name, value);
    }
    if request.method() == Method::Post {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(request.body().len()));
    }
    Ok(made)
}
