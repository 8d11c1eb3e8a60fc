//! The contract between a state machine and its driver.

use crate::{ExchangeId, Failure, Head, Instant, Request};

/// A state machine without I/O: inputs are fed, outputs are polled.
///
/// The rules, for whoever drives one:
///
/// 1. Feed an input, or give a command, then call [`poll_output`](Self::poll_output) until it yields
///    [`Output::Timeout`]. Several inputs may come before one such drain, and commands may be given within it.
/// 2. Commands take no time. Feed [`Input::Timeout`] with the present time just before a command: it acts at that time.
/// 3. `now` never goes back; a smaller value counts as the largest so far. The origin is the driver's.
/// 4. Bytes before clock: what has arrived is fed before a `Timeout` with a later time, otherwise the machine sees
///    silence where there was none.
/// 5. Inputs for unknown or aborted exchanges are ignored.
/// 6. Nothing that a peer or the network does makes `handle_input` fail: it becomes an event. Commands return a
///    `Result`, and fail only for what their caller did wrong.
/// 7. A terminal event is the last one. What was queued before it, aborts above all, still comes out first; after it
///    every output is `Timeout(None)`, whatever is fed. A machine that lives always has an exchange under way or a
///    deadline: `Timeout(None)` without an open exchange means the end, and drivers stop there.
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
    /// The body's orderly end (the last chunk, or as many bytes as announced).
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
    /// The driver has stopped reading this exchange of its own accord (its user is slow), so silence proves nothing
    /// until the next `Body`, `End` or `Failed` of it.
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
