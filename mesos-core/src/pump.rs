//! What all drivers do between two waits.

use alloc::collections::VecDeque;

use crate::{
    Deadline, ExchangeId, Input, Instant, Machine, Output, Persist, Report, Request, StoreFailure, Ticket, UnixTime,
};

/// Answers of calls are read as long as fewer events than this wait; the subscription only while none does.
const ANSWERS_LIMIT: usize = 1024;

/// What a driver does for a machine that a [`Pump`] runs.
pub trait Effects {
    /// Starts an exchange, on the connection that its [`Lane`](crate::Lane) asks for. If it fails at once, that too is
    /// a [`Report`], to be kept for the next [`Pump::report`].
    fn request(&mut self, request: Request);

    /// Ends an exchange, and closes its connection; one that has ended already is fine. There is nothing to report.
    fn abort(&mut self, id: ExchangeId);

    /// Hands a batch to the store. `None`: the answer follows, for [`Pump::stored`]. Without a store every batch is
    /// done at once, `Some(Ok(()))`.
    fn persist(&mut self, batch: Persist) -> Option<Result<(), StoreFailure>>;
}

/// A machine with what every driver keeps beside it: events that nobody has taken so far, and the next deadline.
///
/// A driver adds connections, a store and a clock, and waits. What it has to watch over here: it feeds what has arrived
/// before it [ticks](Self::tick), ticks before each [command](Self::command), and reads only what is
/// [wanted](Self::wants_stream). The manual says [why](crate#the-run-loop), and has
/// [a driver](crate#a-driver-of-ones-own) on it; the loop that a machine needs at the very least is shorter, and needs
/// none of this.
#[derive(Clone, Debug)]
pub struct Pump<M: Machine> {
    machine: M,
    events: VecDeque<M::Event>,
    deadline: Option<Deadline>,
    started: bool,
    /// Batches without an answer.
    open: usize,
}

impl<M: Machine> Pump<M> {
    /// Nothing happens before the first [`tick`](Self::tick), which starts the machine.
    #[must_use]
    pub const fn new(machine: M) -> Self {
        Self { machine, events: VecDeque::new(), deadline: None, started: false, open: 0 }
    }

    /// The machine, to look at.
    #[must_use]
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Whether the first tick has been.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.started
    }

    /// When to tick next; `None`: not before something has been fed.
    #[must_use]
    pub const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Whether the machine is done and owed nothing: once no exchange is under way either, nothing will ever come out
    /// again but the events that wait here.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.started && self.deadline.is_none() && self.open == 0
    }

    /// The next event that waits.
    pub fn next_event(&mut self) -> Option<M::Event> {
        self.events.pop_front()
    }

    /// Puts an event back that found no taker; it is the next one again.
    pub fn put_back(&mut self, event: M::Event) {
        self.events.push_front(event);
    }

    /// Whether events wait.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether the subscription may be read on: only while no event waits, so that whoever reads events slowly slows
    /// the master down.
    ///
    /// If it may not, and bytes of it wait all the same (a peek at the socket tells, or what was read but isn't fed so
    /// far), the machine has to hear [`Input::Paused`] before a tick, or it takes the silence for the master's. Only
    /// then: a pause without bytes behind it hides a master that is really gone.
    ///
    /// Events don't wait while a driver does, so all this matters in commands only, and to drivers that read beside
    /// their machine, on other threads or tasks.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether answers of calls may be read on: nearly always, since commands wait for them.
    #[must_use]
    pub fn wants_answers(&self) -> bool {
        self.events.len() < ANSWERS_LIMIT
    }

    /// Feeds an input, and has done what follows from it.
    pub fn feed(&mut self, now: Instant, input: Input<'_>, effects: &mut impl Effects) {
        self.machine.handle_input(now, input);
        self.drain(now, effects);
    }

    /// Feeds what an exchange has reported.
    pub fn report(&mut self, now: Instant, report: Report, effects: &mut impl Effects) {
        report.lend(|input| self.machine.handle_input(now, input));
        self.drain(now, effects);
    }

    /// Feeds what the store has answered.
    pub fn stored(
        &mut self,
        now: Instant,
        ticket: Ticket,
        result: Result<(), StoreFailure>,
        effects: &mut impl Effects,
    ) {
        self.open = self.open.saturating_sub(1);
        self.feed(now, stored(ticket, result), effects);
    }

    /// Lets time pass: the wall clock first, so that whatever is due is dated right.
    pub fn tick(&mut self, now: Instant, wall: UnixTime, effects: &mut impl Effects) {
        self.started = true;
        self.machine.handle_input(now, Input::Wall(wall));
        self.feed(now, Input::Timeout, effects);
    }

    /// Runs a command, and has done what it asks for. It acts at the time of the last tick.
    pub fn command<R>(&mut self, now: Instant, command: impl FnOnce(&mut M) -> R, effects: &mut impl Effects) -> R {
        let result = command(&mut self.machine);
        self.drain(now, effects);
        result
    }

    fn drain(&mut self, now: Instant, effects: &mut impl Effects) {
        self.deadline = loop {
            match self.machine.poll_output() {
                Output::Request(request) => effects.request(request),
                Output::Abort(id) => effects.abort(id),
                Output::Persist(batch) => {
                    let ticket = batch.ticket();
                    match effects.persist(batch) {
                        Some(result) => self.machine.handle_input(now, stored(ticket, result)),
                        None => self.open += 1,
                    }
                }
                Output::Event(event) => self.events.push_back(event),
                Output::Timeout(deadline) => break deadline,
            }
        };
    }
}

fn stored(ticket: Ticket, result: Result<(), StoreFailure>) -> Input<'static> {
    match result {
        Ok(()) => Input::Persisted { ticket },
        Err(failure) => Input::PersistFailed { ticket, failure },
    }
}
