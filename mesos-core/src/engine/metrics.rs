//! Numbers for whoever watches an engine.

use alloc::collections::BTreeMap;

use super::engine::Engine;
use super::event::{EndClass, Event};
use crate::scheduler;
use crate::v1::TaskState;

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
    /// Offers of which something was used.
    pub accepted: u64,
    /// Offers of which nothing was.
    pub declined: u64,
    /// Tasks launched, as far as we know.
    pub launched: u64,
    /// Tasks that have come to run.
    pub running: u64,
    /// Tasks that have ended, by how.
    pub ended: BTreeMap<EndClass, u64>,
    /// Statuses, by what they said; repetitions and answers to questions too.
    pub statuses: BTreeMap<TaskState, u64>,
    /// Those that had been dealt with already.
    pub repeated: u64,
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
    /// Roles suppressed.
    pub suppressed: u64,
    /// Questions for the state of a task.
    pub asked: u64,
    /// Questions for the states of all.
    pub asked_for_all: u64,
    /// Batches given to the store, again too.
    pub batches: u64,
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
    /// Roles for which the master is believed to offer nothing.
    pub suppressed: u32,
}

impl Counters {
    pub(super) fn heard(&mut self, event: &scheduler::Event) {
        use scheduler::Event as E;
        match event {
            E::Subscribed(_) => self.subscriptions += 1,
            E::Offers(offers) => self.offers += offers.len() as u64,
            E::Rescind(_) => self.rescinded += 1,
            E::Update(update) => *self.statuses.entry(update.state()).or_default() += 1,
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
        Gauges {
            calling: self.may_call(),
            ghosts: number(self.ghosts.iter().count()),
            kills_under_way: number(kills_under_way),
            kills_queued: number(kills_queued),
            unanswered: number(self.reconciler.open()),
            unacknowledged: number(self.acks.len()),
            suppressed: number(self.roles.values().filter(|role| role.suppressed).count()),
        }
    }
}
