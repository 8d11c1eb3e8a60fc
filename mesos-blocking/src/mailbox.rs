//! Where threads leave what they have for the driver, and where the driver waits for it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mesos_core::{Endpoint, Lane, Report, StoreFailure, Ticket};

use crate::exchange::Exchange;
use crate::handle::Closed;

/// Pieces of the subscription's body that wait; one is at most as large as [`PIECE`](crate::exchange::PIECE).
pub(crate) const STREAM_QUEUE: usize = 4;
/// Reports of all other exchanges that wait.
pub(crate) const ANSWER_QUEUE: usize = 16;

pub(crate) type Answer = (Ticket, Result<(), StoreFailure>);

/// What has come first.
#[derive(Debug)]
pub(crate) enum Mail {
    /// An answer of the store.
    Stored(Answer),
    /// News of the detector.
    Leader(Option<Endpoint>),
    /// Somebody has put something elsewhere, and [rung](Mailbox::ring).
    Bell,
    Report(Report),
}

/// Queues with bounds, and one place to wait for all of them: the standard library's channels can't be waited for
/// together.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    /// Something has come; the driver waits for it.
    arrived: Condvar,
    /// There is room again, or no use in waiting for it; exchanges wait for it.
    room: Condvar,
    /// The driver has ended.
    over: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    stream: VecDeque<Report>,
    answers: VecDeque<Report>,
    stored: VecDeque<Answer>,
    /// The last news counts.
    leader: Option<Option<Endpoint>>,
    rung: bool,
    closed: Option<Closed>,
}

impl Queues {
    fn take(&mut self, stream: bool, answers: bool) -> Option<Mail> {
        // However many events are held: what the machine holds back until the store's answer isn't theirs to hold up.
        if let Some(answer) = self.stored.pop_front() {
            return Some(Mail::Stored(answer));
        }
        if let Some(leader) = self.leader.take() {
            return Some(Mail::Leader(leader));
        }
        if std::mem::take(&mut self.rung) {
            return Some(Mail::Bell);
        }
        let answer = if answers { self.answers.pop_front() } else { None };
        let report = match answer {
            None if stream => self.stream.pop_front(),
            other => other,
        };
        report.map(Mail::Report)
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a report, once there is room; `false` if nobody wants it any more.
    pub(crate) fn report(&self, exchange: &Exchange, report: Report) -> bool {
        let mut queues = self.lock();
        loop {
            if queues.closed.is_some() || exchange.is_aborted() {
                return false;
            }
            let (queue, limit) = match exchange.lane() {
                Lane::Subscription => (&mut queues.stream, STREAM_QUEUE),
                Lane::Ordered | Lane::Acks => (&mut queues.answers, ANSWER_QUEUE),
            };
            if queue.len() < limit {
                queue.push_back(report);
                self.arrived.notify_one();
                return true;
            }
            queues = self.room.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Leaves the driver's own report, which can't wait for room.
    pub(crate) fn own_report(&self, report: Report) {
        self.lock().answers.push_back(report);
    }

    /// Leaves an answer of the store.
    pub(crate) fn stored(&self, answer: Answer) {
        self.lock().stored.push_back(answer);
        self.arrived.notify_one();
    }

    /// Leaves news of the detector.
    pub(crate) fn leader(&self, leader: Option<Endpoint>) {
        self.lock().leader = Some(leader);
        self.arrived.notify_one();
    }

    /// Has the driver look elsewhere.
    pub(crate) fn ring(&self) {
        self.lock().rung = true;
        self.arrived.notify_one();
    }

    /// Throws away what an aborted exchange has left here.
    pub(crate) fn forget(&self, exchange: &Exchange) {
        let mut queues = self.lock();
        queues.stream.retain(|report| report.id() != exchange.id());
        queues.answers.retain(|report| report.id() != exchange.id());
        self.room.notify_all();
    }

    /// Whether bytes of the subscription wait.
    pub(crate) fn has_stream(&self) -> bool {
        !self.lock().stream.is_empty()
    }

    /// What is waiting already; reports only as far as they are wanted.
    pub(crate) fn try_next(&self, stream: bool, answers: bool) -> Option<Mail> {
        let mail = self.lock().take(stream, answers);
        self.room.notify_all();
        mail
    }

    /// What comes next, `None` if nothing has come by then.
    pub(crate) fn next(&self, stream: bool, answers: bool, until: Option<Instant>) -> Option<Mail> {
        let mut queues = self.lock();
        loop {
            let mail = queues.take(stream, answers);
            if mail.is_some() {
                self.room.notify_all();
                return mail;
            }
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            queues = match left {
                Some(left) => self.arrived.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The driver has ended: nobody need wait any more. The first reason stays.
    pub(crate) fn close(&self, why: Closed) {
        let mut queues = self.lock();
        queues.closed.get_or_insert(why);
        self.room.notify_all();
        self.over.notify_all();
    }

    /// Why the driver has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed
    }

    /// Waits until the driver has ended.
    pub(crate) fn wait_closed(&self) -> Closed {
        let mut queues = self.lock();
        loop {
            match queues.closed {
                Some(why) => return why,
                None => queues = self.over.wait(queues).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
