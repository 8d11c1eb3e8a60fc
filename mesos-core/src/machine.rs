//! The contract between a state machine and its driver.

use crate::{Endpoint, ExchangeId, Failure, Head, Instant, Persist, Request, StoreFailure, Ticket, UnixTime};

/// A state machine without I/O: inputs are fed, outputs are polled. The rules of that are in the
/// [crate's manual](crate#the-run-loop).
pub trait Machine {
    /// What the machine tells its user.
    type Event;

    /// Takes one input at the time `now`.
    fn handle_input(&mut self, now: Instant, input: Input<'_>);

    /// The next thing to do. [`Output::Timeout`] ends the drain.
    fn poll_output(&mut self) -> Output<Self::Event>;
}

/// What a driver feeds into a [`Machine`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Time has passed. Feeding it too early or too often does no harm.
    Timeout,
    /// Status and headers of an answer have arrived.
    Head {
        /// Which exchange.
        id: ExchangeId,
        /// Status and headers.
        head: Head,
    },
    /// A piece of the answer's body, split anywhere; transfer coding already removed.
    Body {
        /// Which exchange.
        id: ExchangeId,
        /// The bytes. The machine copies what it keeps.
        data: &'a [u8],
    },
    /// The body's orderly end (the last chunk, as many bytes as announced, or the connection's if neither was); whatever
    /// the status.
    End {
        /// Which exchange.
        id: ExchangeId,
    },
    /// The exchange failed, before or within its answer.
    Failed {
        /// Which exchange.
        id: ExchangeId,
        /// Why.
        failure: Failure,
    },
    /// A batch is durable.
    Persisted {
        /// Which batch.
        ticket: Ticket,
    },
    /// A batch isn't durable.
    PersistFailed {
        /// Which batch.
        ticket: Ticket,
        /// Why.
        failure: StoreFailure,
    },
    /// Which master leads, as a [`Detector`](crate::Detector) has found it; `None` if none is known to. Another leader
    /// ends the session, none doesn't.
    Leader(Option<Endpoint>),
    /// What the wall clock shows now: at the start, and again now and then, since it may jump. Machines use it for
    /// times in records and messages, never to measure; but masters announce maintenance by the wall clock, so without
    /// it the engine launches onto agents that are about to be taken down.
    Wall(UnixTime),
    /// The driver has stopped reading this exchange of its own accord (its user is slow) and bytes of it wait, so silence
    /// proves nothing until the next `Body`, `End` or `Failed` of it.
    Paused {
        /// Which exchange.
        id: ExchangeId,
    },
}

/// What a [`Machine`] wants done.
///
/// Closed on purpose: a new kind of effect must break every driver at compile time.
#[must_use]
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "performed by drivers: a new effect must break them")]
pub enum Output<E> {
    /// Start an HTTP exchange.
    Request(Request),
    /// End an exchange: close its connection, unless its answer was complete. Later inputs for it are ignored.
    Abort(ExchangeId),
    /// Write a batch to the store, then say [`Input::Persisted`] or [`Input::PersistFailed`]. A machine asks for one
    /// at a time; the protocol client alone never does. Without a store, say `Persisted` at once.
    Persist(Persist),
    /// Tell the user.
    Event(E),
    /// Nothing more to do before the deadline, or, without one, before the next input.
    Timeout(Option<Deadline>),
}

/// When a machine wants [`Input::Timeout`], and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a pair with names")]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// The name of the timer, for logs.
    pub what: &'static str,
}
