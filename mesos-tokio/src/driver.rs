//! The pulled face: one event at a time, on the caller's own task.

use std::fmt;

use mesos_core::{Detector, Machine, Store};

use crate::Http;
use crate::core_loop::Core;
use crate::leaders::Leaders;
use crate::spawned::{Events, Handle, spawn};
use crate::store::Writer;

/// Runs one machine: makes its connections, feeds it what arrives and keeps its time.
///
/// Events are pulled with [`next_event`](Self::next_event), or, after [`spawn`](Self::spawn), come out of a stream
/// while a task of its own does the work. Several drivers can run side by side; nothing is shared but what [`Http`]
/// holds.
///
/// Dropping the driver closes all connections and sends nothing: a framework stays known to the master for its
/// failover time. To leave in another way, give the machine the command for it and read events to the end.
///
/// A driver works on a tokio runtime with I/O and time enabled.
pub struct Driver<M: Machine> {
    core: Core<M>,
}

impl<M: Machine> Driver<M> {
    /// A driver for this machine. Nothing happens before the first event is asked for, or the first command given.
    #[must_use]
    pub fn new(machine: M, http: Http) -> Self {
        Self { core: Core::new(machine, http) }
    }

    /// Keeps in this store what the machine wants kept. Without one, its batches are confirmed at once and nothing
    /// outlives the process.
    ///
    /// The store has a thread of its own, named `mesos-store`, which the first batch starts. It may block there, and
    /// it may use the runtime that the driver works on, timers and sockets included. Commands, events and timers go
    /// on meanwhile, and its answers reach the machine even if events wait unread.
    ///
    /// The end of the events is also the store's: before `None` comes, a batch under way is written and the store
    /// dropped, so that another instance can open it. Dropping the driver waits for nothing; a batch under way is
    /// still written, then the store is dropped, both on its own thread.
    ///
    /// A store that panics is dropped. Its batch, and each later one, counts as
    /// [`Refused`](mesos_core::StoreFailure::Refused): its fate is unknown and nobody is left to be asked again, so
    /// the machine ends in its own way, with its own last event, rather than wait for ever.
    #[must_use]
    pub fn store<S: Store + 'static>(mut self, store: S) -> Self {
        self.core.keep_in(Writer::new(store));
        self
    }

    /// Follows the leading master that this finds. It runs in a task of its own, which the first event asked for, or
    /// the first command, starts, and which ends with the driver.
    #[must_use]
    pub fn detector<D: Detector + 'static>(mut self, detector: D) -> Self {
        self.core.follow(Leaders::new(detector));
        self
    }

    /// The next event; `None` after the last one.
    ///
    /// Cancel-safe: an event is either returned or kept for the next call. The machine's time only moves within this
    /// method and [`with`](Self::with). While nobody calls them, at most 256 KiB of the subscription are read ahead
    /// and the rest is left to the network; bytes that waited are looked at before any timer, so a caller who took
    /// two minutes over an event doesn't find the master declared silent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one without time.
    pub async fn next_event(&mut self) -> Option<M::Event> {
        self.core.start();
        loop {
            self.core.catch_up_with_store();
            if let Some(event) = self.core.pump.next_event() {
                return Some(event);
            }
            if self.core.is_finished() {
                self.core.close().await;
                return None;
            }
            self.core.turn().await;
        }
    }

    /// Gives commands to the machine, at the present time. What they ask for starts at once.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn with<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        self.core.command(command)
    }

    /// The machine, to look at.
    #[must_use]
    pub const fn machine(&self) -> &M {
        self.core.pump.machine()
    }

    /// Moves the driver to a task of its own.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use = "dropping both ends the driver"]
    pub fn spawn(self) -> (Handle<M>, Events<M::Event>)
    where
        M: Send + 'static,
        M::Event: Send + 'static,
    {
        spawn(self.core)
    }
}

impl<M: Machine + fmt::Debug> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("machine", self.core.pump.machine()).finish_non_exhaustive()
    }
}
