//! What both faces of the driver share: machine, connections, clock, and events not handed over yet.

use std::collections::VecDeque;
use std::time::SystemTime;

use mesos_core::{Deadline, Input, Instant, Machine, Output, UnixTime};
use tokio::time::sleep_until;

use crate::Http;
use crate::net::{ANSWER_QUEUE, Net, STREAM_QUEUE, Wire};
use crate::store::{Answer, Writer};

/// Answers of calls are read as long as fewer events than this are held; the subscription only while none is.
const ANSWERS_LIMIT: usize = 1024;
/// Turns given to the connections' tasks before a timer is believed.
const CATCH_UP: usize = 8;

pub(crate) struct Core<M: Machine> {
    pub(crate) machine: M,
    net: Net,
    /// None: batches are confirmed at once.
    pub(crate) store: Option<Writer>,
    origin: tokio::time::Instant,
    started: bool,
    finished: bool,
    deadline: Option<Deadline>,
    pub(crate) held: VecDeque<M::Event>,
}

impl<M: Machine> Core<M> {
    pub(crate) fn new(machine: M, http: Http) -> Self {
        Self {
            machine,
            net: Net::new(http),
            store: None,
            origin: tokio::time::Instant::now(),
            started: false,
            finished: false,
            deadline: None,
            held: VecDeque::new(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    /// Nothing will ever come out again. Events may still be held.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Waits until the store has been let go. Cancel-safe.
    pub(crate) async fn close(&mut self) {
        if let Some(store) = &mut self.store {
            store.close().await;
        }
    }

    pub(crate) fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.expire();
        }
    }

    /// Waits for a report or the deadline, and feeds it. Cancel-safe: what was received has been fed.
    pub(crate) async fn turn(&mut self) {
        // One beyond the end of tokio's time never comes.
        let deadline = self.deadline.and_then(|d| self.origin.checked_add(d.at.since_origin()));
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (stream, answers) = self.wanted();
        let stored = async {
            match &mut self.store {
                Some(store) => store.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // However many events are held: what the machine holds back until then is not theirs to hold up.
            answer = stored => self.feed_answer(answer),
            wire = self.net.next(stream, answers) => self.feed(wire),
            () = timer => {
                // The whole process may have been held up, and then bytes are waiting in the kernel that prove the
                // peer alive: the connections get a few turns to read them.
                for _ in 0..CATCH_UP {
                    tokio::task::yield_now().await;
                    let (stream, answers) = self.wanted();
                    if let Some(wire) = self.net.try_next(stream, answers) {
                        self.feed(wire);
                    }
                }
            }
        }
        // Reports may come without a pause; timers still count.
        if deadline.is_some_and(|at| at <= tokio::time::Instant::now()) {
            self.tick();
        }
    }

    /// Feeds what the store has answered, if anything.
    pub(crate) fn catch_up_with_store(&mut self) {
        if let Some(answer) = self.store.as_mut().and_then(Writer::try_next) {
            self.feed_answer(answer);
        }
    }

    /// Brings the machine up to the present: answers and bytes first, then the clock.
    pub(crate) fn tick(&mut self) {
        self.catch_up_with_store();
        // Not until nothing is left: a fast peer could keep that up for ever.
        for _ in 0..STREAM_QUEUE + ANSWER_QUEUE {
            let (stream, answers) = self.wanted();
            match self.net.try_next(stream, answers) {
                Some(wire) => self.feed(wire),
                None => break,
            }
        }
        if let Some(id) = self.net.unread_stream() {
            self.machine.handle_input(self.now(), Input::Paused { id });
        }
        self.expire();
    }

    /// Runs a command at the present time, and starts what it asks for.
    pub(crate) fn command<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        self.start();
        self.tick();
        let result = command(&mut self.machine);
        self.drain();
        result
    }

    /// Which reports may be read now: the subscription's, and those of other exchanges.
    fn wanted(&self) -> (bool, bool) {
        (self.held.is_empty(), self.held.len() < ANSWERS_LIMIT)
    }

    fn expire(&mut self) {
        // A clock from before 1970 shows that it hasn't been set.
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.machine.handle_input(self.now(), Input::Wall(UnixTime::from_epoch(wall)));
        self.machine.handle_input(self.now(), Input::Timeout);
        self.drain();
    }

    fn feed(&mut self, wire: Wire) {
        let now = self.now();
        wire.lend(|input| self.machine.handle_input(now, input));
        self.drain();
    }

    fn feed_answer(&mut self, (ticket, result): Answer) {
        let input = match result {
            Ok(()) => Input::Persisted { ticket },
            Err(failure) => Input::PersistFailed { ticket, failure },
        };
        self.machine.handle_input(self.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        self.deadline = loop {
            match self.machine.poll_output() {
                Output::Request(request) => self.net.start(request),
                Output::Abort(id) => self.net.abort(id),
                Output::Persist(batch) => {
                    let ticket = batch.ticket();
                    let input = match self.store.as_mut().map(|store| store.write(batch)) {
                        Some(Ok(())) => continue,
                        Some(Err(failure)) => Input::PersistFailed { ticket, failure },
                        None => Input::Persisted { ticket },
                    };
                    self.machine.handle_input(self.now(), input);
                }
                Output::Event(event) => self.held.push_back(event),
                Output::Timeout(deadline) => break deadline,
            }
        };
        let stored = self.store.as_ref().is_none_or(Writer::is_idle);
        self.finished = self.deadline.is_none() && self.net.is_idle() && stored;
    }
}
