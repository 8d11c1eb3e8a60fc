//! What the servers of ZooKeeper know of two instances, in virtual time: whose the store is, and how long a leader that
//! says nothing counts as one. The rules are those of `mesos-zk`.

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_core::Ticket;

use crate::rng::Rng;

/// The owner's node and the candidate's: each batch names both, the first with the version that it had when the store
/// was opened, so it is taken only while both are as they were.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// Who has opened the store last. No two openings have the same version, so a process stands for its epoch.
    owner: u64,
    /// From when on the leader's node of the election is gone.
    pub(super) gone: Option<Duration>,
    /// The last batch of each process that was taken.
    taken: BTreeMap<u64, Ticket>,
}

impl Fence {
    /// A process opens the store: the one before is fenced.
    pub(super) const fn open(&mut self, process: u64) {
        self.owner = process;
        self.gone = None;
    }

    /// Whether a batch of this process is taken at this moment.
    pub(super) fn takes(&self, now: Duration, process: u64) -> bool {
        self.owner == process && !self.is_vacant(now)
    }

    /// Whether nobody leads.
    pub(super) fn is_vacant(&self, now: Duration) -> bool {
        self.gone.is_some_and(|gone| gone <= now)
    }

    pub(super) fn took(&mut self, process: u64, ticket: Ticket) {
        self.taken.insert(process, ticket);
    }

    /// Whether this batch was taken: they come in order.
    pub(super) fn has_taken(&self, process: u64, ticket: Ticket) -> bool {
        self.taken.get(&process).is_some_and(|last| last.number() >= ticket.number())
    }
}

/// What follows from a leader's silence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// From when on the leader may no longer count on it: two thirds of the session after the last heartbeat.
    pub(super) lease: Duration,
    /// When the servers end its session, and its node goes.
    pub(super) gone: Duration,
}

impl Silence {
    /// Heartbeats come four times in a session; the last one was taken at some moment before `now`. The servers count
    /// from `counts` on, when they are back, and end sessions at some tick.
    pub(super) fn begin(session: Duration, now: Duration, counts: Duration, rng: &mut Rng) -> Self {
        let since = share(session / 4, rng);
        Self {
            lease: now + session * 2 / 3 - since,
            gone: now.max(counts) + session - since + share(session / 10, rng),
        }
    }
}

/// Any part of a time.
fn share(time: Duration, rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
}
