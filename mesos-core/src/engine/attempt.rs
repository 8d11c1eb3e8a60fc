//! An attempt: one task, from the intent to launch it to its end.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::launch::Revision;
use super::table::Row;
use crate::{Instant, v1};

/// Names a spec within an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpecId(pub(super) u32);

/// Names a slot within an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotId {
    pub(super) spec: SpecId,
    pub(super) index: u32,
}

/// Names an attempt within an engine, for ever: generations aren't used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttemptId {
    pub(super) slot: SlotId,
    pub(super) generation: u64,
}

/// The states of an attempt; an instance without one waits, is finished, or is held.
// ENGINE 1.2
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the state table is closed")]
pub enum State {
    /// Matched; its intent is being written, and its offers are taken. No task exists.
    Prepared,
    /// ACCEPT is on its way, or was; no status so far.
    Launching,
    /// TASK_STAGING or TASK_STARTING was seen.
    Staged,
    /// TASK_RUNNING was seen.
    Running,
    /// Its agent cannot be reached; the task may live.
    Unreachable,
    /// The master did not know it when asked; it is asked again.
    Doubtful,
    /// It is being ended, by us unless the reason is [`KillReason::External`].
    Killing(KillReason),
}

impl State {
    /// Whether a task with this id may be running.
    #[must_use]
    pub const fn may_run(self) -> bool {
        !matches!(self, Self::Prepared)
    }
}

/// Why an attempt is being ended. The order is that in which kills go first when there are too many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KillReason {
    /// Another attempt of its slot has won.
    Duplicate,
    /// It did not start in time.
    Overdue,
    /// A user asked for it.
    User,
    /// An instance of the new revision takes its place.
    Update,
    /// Its slot is no longer wanted.
    Scale,
    /// Somebody else ends it.
    External,
}

/// A moment that may lie before the origin of the machine's time: recovered from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    at: Instant,
    before: Duration,
}

impl Since {
    pub(super) const fn now(now: Instant) -> Self {
        Self { at: now, before: Duration::ZERO }
    }

    pub(super) const fn ago(now: Instant, before: Duration) -> Self {
        Self { at: now, before }
    }

    pub(super) fn elapsed(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at).saturating_add(self.before)
    }

    /// The moment at which `after` will have passed; not before `self.at`.
    pub(super) fn plus(self, after: Duration) -> Instant {
        self.at + after.saturating_sub(self.before)
    }
}

/// What is known of an agent that an attempt is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) id: Arc<str>,
    pub(super) hostname: String,
    /// The IP address that offers show.
    pub(super) ip: Option<String>,
    pub(super) region: Option<String>,
    pub(super) zone: Option<String>,
    /// Those that constraints name, or all while an offer is looked at.
    pub(super) attributes: Vec<(String, String)>,
}

/// One task, in the hands of its slot.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) task_id: Arc<str>,
    pub(super) revision: Revision,
    pub(super) state: State,
    pub(super) agent: Arc<Agent>,
    pub(super) executor_id: Option<Box<str>>,
    /// Those that its executor was launched with, if it has some of its own.
    pub(super) executor_resources: Box<[v1::Resource]>,
    /// As Mesos writes them, for people.
    pub(super) resources: Box<str>,
    pub(super) ports: Box<[u16]>,
    pub(super) prepared: Since,
    pub(super) staged: Option<Since>,
    pub(super) running: Option<Since>,
    pub(super) unreachable: Option<Since>,
    /// When it began to be killed.
    pub(super) killing: Option<Since>,
    pub(super) kills_sent: u32,
    /// When the master first took one that can be heard from this process, or the task said that it is ending: from here on
    /// it has its time.
    pub(super) first_kill: Option<Instant>,
    /// One without grace period was sent.
    pub(super) forced: bool,
    /// Unreachable when a KILL was last sent: it may not have arrived.
    pub(super) unreachable_since_kill: bool,
    /// Of the last status dealt with.
    pub(super) uuid: Option<Bytes>,
    /// A slot may open a successor beside it.
    pub(super) inactive: bool,
    /// The constraints of its spec count it.
    pub(super) counted: bool,
    /// Running for long enough, and healthy if that can be known.
    pub(super) ready: bool,
    /// It was so at some time.
    pub(super) been_ready: bool,
    /// TaskLaunched was told.
    pub(super) told: bool,
    /// TaskUnhealthy was told, and TaskHealthy not since.
    pub(super) ill: bool,
    /// Overdue before any status.
    pub(super) never_seen: bool,
    pub(super) last: Last,
    /// The session in which the last answer or news of it came.
    pub(super) answered_in: u64,
    /// When it was last asked for.
    pub(super) asked: Option<Instant>,
    /// When UNKNOWN was first heard.
    pub(super) doubted: Option<Instant>,
    /// Its timer ran out while nothing was known of it in this session: it acts as soon as there is news.
    pub(super) parked: bool,
    /// The timer of its state, as it stands in the engine's table.
    pub(super) due: Option<Instant>,
}

/// What the last status said besides the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Last {
    pub(super) state: Option<v1::TaskState>,
    pub(super) reason: Option<v1::task_status::Reason>,
    pub(super) source: Option<v1::task_status::Source>,
    pub(super) message: Option<Box<str>>,
    pub(super) healthy: Option<bool>,
    pub(super) check: Option<Box<v1::CheckStatusInfo>>,
    pub(super) container: Option<Box<v1::ContainerStatus>>,
}

impl Attempt {
    /// An attempt that has just been prepared, on this agent.
    pub(super) fn new(id: AttemptId, task_id: Arc<str>, revision: Revision, agent: Arc<Agent>, now: Instant) -> Self {
        Self {
            id,
            task_id,
            revision,
            state: State::Prepared,
            agent,
            executor_id: None,
            executor_resources: Box::default(),
            resources: Box::default(),
            ports: Box::default(),
            prepared: Since::now(now),
            staged: None,
            running: None,
            unreachable: None,
            killing: None,
            kills_sent: 0,
            first_kill: None,
            forced: false,
            unreachable_since_kill: false,
            uuid: None,
            inactive: false,
            counted: false,
            ready: false,
            been_ready: false,
            told: false,
            ill: false,
            never_seen: false,
            last: Last::default(),
            answered_in: 0,
            asked: None,
            doubted: None,
            parked: false,
            due: None,
        }
    }

    /// The same attempt, in its slot again after it was given up.
    pub(super) fn again(&self, slot: SlotId, now: Instant) -> Self {
        let id = AttemptId { slot, generation: self.id.generation };
        Self {
            executor_id: self.executor_id.clone(),
            executor_resources: self.executor_resources.clone(),
            resources: self.resources.clone(),
            ports: self.ports.clone(),
            prepared: self.prepared,
            running: self.running,
            told: self.told,
            ill: self.ill,
            been_ready: self.been_ready,
            last: self.last.clone(),
            asked: self.asked,
            ..Self::new(id, self.task_id.clone(), self.revision, self.agent.clone(), now)
        }
    }

    /// Whether it can't be reached, as far as is known.
    pub(super) const fn is_lost(&self) -> bool {
        match self.state {
            State::Unreachable | State::Doubtful => true,
            State::Killing(_) => self.unreachable_since_kill,
            _ => false,
        }
    }

    /// Whether the last that was heard of it is that it can't be reached, or that the master doesn't know it.
    pub(super) fn is_out_of_sight(&self) -> bool {
        let row = |state| Row::of_state(state, self.last.reason, self.last.healthy, false);
        self.last.state.map(row).is_some_and(|row| matches!(row, Row::Unreachable | Row::Unknown))
    }

    /// Whether it counts as one of the instances that are there: in constraints, and in the share of its spec.
    pub(super) const fn counts(&self) -> bool {
        !matches!(self.state, State::Unreachable | State::Doubtful) || !self.inactive
    }
}
