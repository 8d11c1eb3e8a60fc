//! Exchanges under way: which thread performs which.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use mesos_core::{Endpoint, ExchangeId, Failure, FailureKind, Lane, Report, Request, Sent};
use tracing::debug;
use ureq::Agent;

use crate::Http;
use crate::connect::agent;
use crate::exchange::{Current, Exchange, perform};
use crate::mailbox::Mailbox;

/// Acknowledgements under way at a time.
const ACKS: usize = 4;

/// All exchanges of one driver. Dropping it aborts them, and their threads end.
#[derive(Debug)]
pub(crate) struct Net {
    http: Http,
    mailbox: Arc<Mailbox>,
    ordered: Pool,
    acks: Pool,
    /// Exchanges under way.
    open: BTreeMap<ExchangeId, Arc<Exchange>>,
}

impl Net {
    pub(crate) fn new(http: Http, mailbox: Arc<Mailbox>) -> Self {
        let (ordered, acks) = (Pool::new("mesos-calls", 1), Pool::new("mesos-acks", ACKS));
        Self { http, mailbox, ordered, acks, open: BTreeMap::new() }
    }

    pub(crate) fn start(&mut self, request: Request) {
        let (id, lane) = (request.id(), request.lane());
        debug!(%id, ?lane, endpoint = %request.endpoint(), path = request.path(), bytes = request.body().len(), "request");
        let exchange = Arc::new(Exchange::new(&request));
        self.open.insert(id, exchange.clone());
        let job = Job { exchange, request };
        let worker = Worker::new(self.http.clone(), self.mailbox.clone());
        let started = match lane {
            // A thread of its own, which ends with it.
            Lane::Subscription => spawn("mesos-stream", move || {
                let mut worker = worker;
                worker.work(&job);
            }),
            Lane::Ordered => self.ordered.start(job, worker),
            Lane::Acks => self.acks.start(job, worker),
        };
        if let Err(error) = started {
            let failure = Failure::new(FailureKind::Connect, Sent::No, format!("no thread for it: {error}"));
            self.mailbox.own_report(Report::Failed(id, failure));
        }
    }

    pub(crate) fn abort(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.open.remove(&id) {
            exchange.abort();
            self.mailbox.forget(&exchange);
            debug!(%id, "aborted");
        }
    }

    /// Whether this report is still wanted; forgets exchanges that have said their last.
    pub(crate) fn expects(&mut self, report: &Report) -> bool {
        let id = report.id();
        if report.is_last() { self.open.remove(&id).is_some() } else { self.open.contains_key(&id) }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The subscription, if bytes of it are waiting here unread.
    pub(crate) fn unread_stream(&self) -> Option<ExchangeId> {
        let open = self.open.values().find(|exchange| exchange.lane() == Lane::Subscription);
        open.map(|exchange| exchange.id()).filter(|_| self.mailbox.has_stream())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for exchange in self.open.values() {
            exchange.abort();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop)
}

struct Job {
    exchange: Arc<Exchange>,
    request: Request,
}

/// Performs exchanges one after the other, on a connection kept between them.
struct Worker {
    http: Http,
    mailbox: Arc<Mailbox>,
    current: Arc<Current>,
    /// A client for this endpoint.
    agent: Option<(Endpoint, Agent)>,
}

impl Worker {
    fn new(http: Http, mailbox: Arc<Mailbox>) -> Self {
        Self { http, mailbox, current: Arc::default(), agent: None }
    }

    fn work(&mut self, Job { exchange, request }: &Job) {
        let id = exchange.id();
        // Connections to others are closed: the master has changed.
        let known = self.agent.take().filter(|(endpoint, _)| endpoint == exchange.endpoint());
        let (_, agent) =
            self.agent.insert(known.unwrap_or_else(|| (exchange.endpoint().clone(), agent(&self.http, &self.current))));
        self.current.set(Some(exchange.clone()));
        let result = catch_unwind(AssertUnwindSafe(|| perform(agent, exchange, request, &self.mailbox)));
        self.current.set(None);
        let result = result.unwrap_or_else(|_| {
            // Nothing that it may have left half-done is used again.
            self.agent = None;
            Err(Failure::new(FailureKind::Http, Sent::Maybe, "the HTTP client panicked"))
        });
        let last = match result {
            Ok(()) => Report::End(id),
            Err(failure) => {
                debug!(%id, kind = ?failure.kind, sent = ?failure.sent, detail = failure.detail, "exchange failed");
                Report::Failed(id, failure)
            }
        };
        // An aborted exchange has nobody to tell.
        let _ = self.mailbox.report(exchange, last);
    }
}

/// The threads of a lane, started as they are needed.
#[derive(Debug)]
struct Pool {
    name: &'static str,
    limit: usize,
    threads: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    ready: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting.len()).field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl Pool {
    fn new(name: &'static str, limit: usize) -> Self {
        Self { name, limit, threads: 0, shared: Arc::default() }
    }

    /// # Errors
    ///
    /// No thread could be had, and there is none.
    fn start(&mut self, job: Job, mut worker: Worker) -> std::io::Result<()> {
        let mut jobs = self.shared.lock();
        jobs.waiting.push_back(job);
        if jobs.waiting.len() <= jobs.idle || self.threads == self.limit {
            self.shared.ready.notify_one();
            return Ok(());
        }
        drop(jobs);
        let shared = self.shared.clone();
        let spawned = spawn(self.name, move || {
            while let Some(job) = shared.next() {
                worker.work(&job);
            }
        });
        match spawned {
            Ok(()) => self.threads += 1,
            Err(error) if self.threads == 0 => {
                self.shared.lock().waiting.clear();
                return Err(error);
            }
            // The others do it.
            Err(_) => {}
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.ready.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job that is still wanted; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return None;
            }
            match jobs.waiting.pop_front() {
                Some(job) if job.exchange.is_aborted() => {}
                Some(job) => return Some(job),
                None => {
                    jobs.idle += 1;
                    jobs = self.ready.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                    jobs.idle -= 1;
                }
            }
        }
    }
}
