//! Numbers for whoever watches an engine.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::engine::Engine;
use super::event::{EndClass, Event};
use crate::scheduler;
use crate::v1::TaskState;
use crate::v1::task_status::Reason;

/// What an engine has done and seen since it was made: each only grows, and starts from zero with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Subscriptions.
    pub subscriptions: u64,
    /// Offers that came.
    pub offers: u64,
    /// Offers that the master took back.
    pub rescinded: u64,
    /// Offers of which something is used; this and the next two count what was decided, before it is durable and has
    /// left, as [`Event::OffersAnswered`] does.
    pub accepted: u64,
    /// Offers of which nothing is.
    pub declined: u64,
    /// Tasks to be launched.
    pub launched: u64,
    /// Tasks that have come to run.
    pub running: u64,
    /// Tasks that have ended, by how.
    pub ended: BTreeMap<EndClass, u64>,
    /// Those of them of which no status ever came but the last one.
    pub launches_lost: u64,
    /// Ends after which an instance was to get another task.
    pub restarts: u64,
    /// Ends that were held against an agent.
    pub strikes: u64,
    /// Statuses, by what they said; repetitions and answers to questions too.
    pub statuses: BTreeMap<TaskState, u64>,
    /// Those that had been dealt with already.
    pub repeated: u64,
    /// Those that told of a start when the task was known to run.
    pub stale: u64,
    /// Those in a state of a later Mesos.
    pub unreadable: u64,
    /// Those that answered a question.
    pub answers: u64,
    /// Those of tasks that are not the engine's, which it told as [`Event::UnknownTask`].
    pub unknown: u64,
    /// ACKNOWLEDGE calls.
    pub acknowledged: u64,
    /// KILL calls, repetitions too.
    pub kills: u64,
    /// KILL calls for a task that had got one before.
    pub kills_repeated: u64,
    /// Roles revived.
    pub revived: u64,
    /// Those of them that were revived without having got an offer since the last time.
    pub revived_again: u64,
    /// Roles suppressed.
    pub suppressed: u64,
    /// Questions for the state of a task.
    pub asked: u64,
    /// Questions for the states of all.
    pub asked_for_all: u64,
    /// Batches given to the store, again too.
    pub batches: u64,
    /// How often the store failed to take one.
    pub store_failures: u64,
    /// How often the store was told to have [stalled](Event::StoreStalled).
    pub stalled: u64,
}

/// How an engine stands. Of each spec, [`Engine::specs`] says more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauges {
    /// Whether calls may leave: subscribed, and the store has what must be there first.
    pub calling: bool,
    /// Tasks that no longer count and may come back.
    pub ghosts: u32,
    /// Tasks that were sent KILL and haven't ended.
    pub kills_under_way: u32,
    /// Tasks to be killed that wait for their turn.
    pub kills_queued: u32,
    /// Tasks whose state was asked for, without an answer so far.
    pub unanswered: u32,
    /// Statuses whose acknowledgement waits for its turn; not those that wait for the store.
    pub unacknowledged: u32,
    /// Statuses whose acknowledgement waits for the store.
    pub held_statuses: u32,
    /// Instances that are held back after an end.
    pub held_back: u32,
    /// How long the instance that could go first has been able to, if one can.
    pub longest_wait: Option<Duration>,
    /// Roles for which the master is believed to offer nothing.
    pub suppressed: u32,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histograms {
    /// From when an instance could go to when it was placed on an agent; the store's time comes on top.
    pub until_placed: Histogram,
    /// From then to TASK_RUNNING.
    pub until_running: Histogram,
    /// From a batch for the store to its answer that it is durable.
    pub persisted: Histogram,
    /// From the decision to kill a task to its end.
    pub until_killed: Histogram,
}

const BUCKETS: usize = 24;

/// Durations, counted by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Histogram {
    pub(super) fn add(&mut self, duration: Duration) {
        self.sum = self.sum.saturating_add(duration);
        let index = (0..BUCKETS).find(|index| bound(*index).is_none_or(|bound| duration <= bound));
        if let Some(count) = index.and_then(|index| self.counts.get_mut(index)) {
            *count += 1;
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// How many took up to so long and longer than the bound before: 1 ms, 2 ms, 4 ms, … 70 min, and in the end, as
    /// `None`, all the others.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        self.counts.iter().enumerate().map(|(index, count)| (bound(index), *count))
    }
}

fn bound(index: usize) -> Option<Duration> {
    (index + 1 < BUCKETS).then(|| Duration::from_millis(1 << index))
}

impl Counters {
    pub(super) fn heard(&mut self, event: &scheduler::Event) {
        use scheduler::Event as E;
        match event {
            E::Subscribed(_) => self.subscriptions += 1,
            E::Offers(offers) => self.offers += offers.len() as u64,
            E::Rescind(_) => self.rescinded += 1,
            E::Update(update) => {
                *self.statuses.entry(update.state()).or_default() += 1;
                self.answers += u64::from(update.reason() == Some(Reason::Reconciliation));
            }
            _ => {}
        }
    }

    pub(super) fn told(&mut self, event: &Event) {
        match event {
            Event::TaskLaunched(_) => self.running += 1,
            Event::TaskEnded { class, .. } => *self.ended.entry(*class).or_default() += 1,
            Event::OffersAnswered { accepted, declined, launched } => {
                self.accepted += u64::from(*accepted);
                self.declined += u64::from(*declined);
                self.launched += u64::from(*launched);
            }
            Event::InstanceWaiting { .. } => self.restarts += 1,
            Event::UnknownTask { .. } => self.unknown += 1,
            Event::Revived { roles } => self.revived += roles.len() as u64,
            Event::Suppressed { roles } => self.suppressed += roles.len() as u64,
            Event::StoreStalled { .. } => self.stalled += 1,
            _ => {}
        }
    }

    pub(super) fn kill(&mut self, before: u32) {
        self.kills += 1;
        self.kills_repeated += u64::from(before > 0);
    }
}

impl Engine {
    /// What it has done and seen so far. To be read from time to time: all of it costs nothing but a copy.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How it stands now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (kills_under_way, kills_queued) = self.kills.counts();
        let now = self.now;
        let waiting = self.book.specs.values().map(|spec| &spec.sums.waiting);
        let first = waiting.clone().filter_map(|waiting| waiting.first()).map(|(at, _)| *at).min();
        let held_back = waiting.map(|waiting| waiting.iter().rev().take_while(|(at, _)| *at > now).count());
        Gauges {
            calling: self.may_call(),
            ghosts: number(self.ghosts.iter().count()),
            kills_under_way: number(kills_under_way),
            kills_queued: number(kills_queued),
            unanswered: number(self.reconciler.open()),
            unacknowledged: number(self.acks.len()),
            held_statuses: number(self.writer.held_acknowledgements()),
            held_back: number(held_back.sum()),
            longest_wait: first.filter(|at| *at <= now).map(|at| now.saturating_duration_since(at)),
            suppressed: number(self.roles.values().filter(|role| role.suppressed).count()),
        }
    }

    /// How long things have taken so far.
    #[must_use]
    pub const fn histograms(&self) -> &Histograms {
        &self.histograms
    }
}
