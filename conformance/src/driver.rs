//! The drivers that the scenarios run on.

use std::task::Poll;

use mesos_core::{Machine, Store};
use mesos_tokio::Http;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::own;

/// Which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "those that there are")]
pub enum By {
    /// `mesos-tokio`.
    Tokio,
    /// `mesos-blocking`.
    Blocking,
    /// The example on std threads.
    Threads,
    /// The example on mio.
    Mio,
    /// The example on smol.
    Smol,
}

/// Runs a machine, by whichever driver. Those that block run in place: the cluster has threads of its own.
pub(crate) enum Driver<M: Machine> {
    Tokio(mesos_tokio::Driver<M>),
    Blocking(mesos_blocking::Driver<M>),
    Threads(own::threads::Driver<M>),
    Mio(own::mio::Driver<M>),
    Smol(own::smol::Driver<M>),
}

impl<M: Machine> std::fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

/// Nothing has come in time.
#[derive(Debug)]
pub(crate) struct Late;

impl<M: Machine> Driver<M> {
    pub(crate) fn new(by: By, machine: M, http: Http) -> Self {
        match by {
            By::Tokio => Self::Tokio(mesos_tokio::Driver::new(machine, http)),
            By::Blocking => Self::Blocking(mesos_blocking::Driver::new(machine, http)),
            By::Threads => Self::Threads(own::threads::Driver::new(machine)),
            By::Mio => Self::Mio(own::mio::Driver::new(machine).expect("an event queue")),
            By::Smol => Self::Smol(own::smol::Driver::new(machine)),
        }
    }

    /// With a store, which the examples' drivers have on the spot.
    pub(crate) fn kept<S: Store + 'static>(by: By, machine: M, http: Http, mut store: S) -> Self {
        match Self::new(by, machine, http) {
            Self::Tokio(driver) => Self::Tokio(driver.store(store)),
            Self::Blocking(driver) => Self::Blocking(driver.store(store)),
            Self::Threads(driver) => Self::Threads(driver.store(move |batch| own::ready(store.apply(batch)))),
            Self::Mio(driver) => Self::Mio(driver.store(move |batch| own::ready(store.apply(batch)))),
            Self::Smol(driver) => Self::Smol(driver.store(move |batch| own::ready(store.apply(batch)))),
        }
    }

    /// The next event, `None` after the last one.
    pub(crate) async fn next_event(&mut self, until: Instant) -> Result<Option<M::Event>, Late> {
        let limit = until.into_std();
        let found = match self {
            Self::Tokio(driver) => {
                return tokio::time::timeout_at(until, driver.next_event()).await.map_err(|_| Late);
            }
            Self::Smol(driver) => return tokio::time::timeout_at(until, driver.next_event()).await.map_err(|_| Late),
            Self::Blocking(driver) => {
                let left = until.saturating_duration_since(Instant::now());
                return block_in_place(|| driver.next_event_timeout(left)).map_err(|_| Late);
            }
            Self::Threads(driver) => block_in_place(|| driver.next_event(Some(limit))),
            Self::Mio(driver) => block_in_place(|| driver.next_event(Some(limit))),
        };
        match found {
            Poll::Ready(event) => Ok(event),
            Poll::Pending => Err(Late),
        }
    }

    /// Gives commands to the machine.
    pub(crate) fn with<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        match self {
            Self::Tokio(driver) => driver.with(command),
            Self::Blocking(driver) => driver.with(command),
            Self::Threads(driver) => driver.with(command),
            Self::Mio(driver) => driver.with(command),
            Self::Smol(driver) => driver.with(command),
        }
    }

    /// The machine, to look at.
    pub(crate) const fn machine(&self) -> &M {
        match self {
            Self::Tokio(driver) => driver.machine(),
            Self::Blocking(driver) => driver.machine(),
            Self::Threads(driver) => driver.machine(),
            Self::Mio(driver) => driver.machine(),
            Self::Smol(driver) => driver.machine(),
        }
    }
}
