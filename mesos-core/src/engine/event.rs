//! What the engine tells.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::attempt::{KillReason, State};
use super::display::short;
use super::launch::Revision;
use super::recover::Quarantined;
use super::unplaced::Explanation;
use crate::scheduler::{DisconnectReason, FatalReason, Subscribed};
use crate::{Instant, StoreFailure, scheduler, v1};

/// What has happened. [`Fatal`](Self::Fatal), [`Fenced`](Self::Fenced), [`StoreRefused`](Self::StoreRefused) and
/// [`Stopped`](Self::Stopped) are terminal.
///
/// What concerns a task is told once it is durable, in order for each instance; after a crash it may be told again.
/// Nothing is lost if an event is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The framework is subscribed; again after each reconnection.
    Subscribed(Subscribed),
    /// The subscription, or an attempt at one, has ended. Tasks run on.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When the next attempt starts, in the driver's time, whose origin is the driver's own: to compare with others of
        /// the same run, not with a clock. `None` when it waits for new credentials.
        retry_at: Option<Instant>,
    },
    /// A spec is in force.
    SpecApplied {
        /// Its name.
        spec: String,
        /// What its instances are to have.
        revision: Revision,
    },
    /// Every wanted instance of a spec is ready, or finished, and none has a task of another revision than the wanted
    /// one.
    SpecSatisfied {
        /// Its name.
        spec: String,
    },
    /// The engine has given an instance of a spec up; it needs a new revision, or [`retry`](super::Engine::retry).
    SpecDegraded {
        /// Its name.
        spec: String,
    },
    /// The last task of a removed spec has ended.
    SpecRemoved {
        /// Its name.
        spec: String,
    },
    /// The instances of a spec are being replaced by those of a new revision.
    Rollout {
        /// The spec.
        spec: String,
        /// What its instances are to have.
        revision: Revision,
        /// How that goes.
        stage: RolloutStage,
        /// How many have a ready task of this revision.
        updated: u32,
        /// How many are wanted.
        wanted: u32,
    },
    /// An instance waits for its next attempt.
    InstanceWaiting {
        /// The spec.
        spec: String,
        /// The instance, from 0: one less than the number in its task's name.
        index: u32,
        /// How its last attempt ended.
        cause: EndClass,
        /// How long it is held back.
        delay: Duration,
    },
    /// An instance is given up.
    InstanceHeld {
        /// The spec.
        spec: String,
        /// The instance, from 0: one less than the number in its task's name.
        index: u32,
        /// Why.
        why: Held,
    },
    /// TASK_RUNNING has come of a task: once for each, after the [`TaskUpdated`](Self::TaskUpdated) that says so. Its
    /// ACCEPT has left long before, which isn't told.
    // S122
    TaskLaunched(Task),
    /// The state of a task, or what is known of it, has changed.
    // S123
    TaskUpdated(Task),
    /// A task has been running for long enough, and is healthy if that can be known.
    TaskReady(Task),
    /// The health check of a running task fails. Mesos's own executors kill it after a few failures in a row.
    TaskUnhealthy(Task),
    /// The health check of a running task passes again.
    TaskHealthy(Task),
    /// A task that could not be reached is back; or one that was told as [removed](Self::TaskRemoved) or
    /// [ended](Self::TaskEnded), and has its place again.
    TaskReturned(Task),
    /// A task has ended and has left the engine's hands.
    ///
    /// After a second TASK_UNKNOWN (the first, if it was being killed) and after TASK_GONE_BY_OPERATOR nobody has seen the
    /// end: its [`task_state`](Task::task_state) says so. It no longer counts, and should it come back it is treated as
    /// after [`TaskRemoved`](Self::TaskRemoved): killed, or told as [`TaskReturned`](Self::TaskReturned).
    // S124
    TaskEnded {
        /// The task as it was last.
        task: Task,
        /// How.
        class: EndClass,
    },
    /// A task that cannot be reached is given up: it no longer counts, and another one may take its place. Should it come
    /// back, it is killed, unless its place is still free and it is of the revision that is wanted there; after
    /// [`Abandoned`](GhostReason::Abandoned) always.
    TaskRemoved {
        /// The task as it was last.
        task: Task,
        /// Why.
        why: GhostReason,
    },
    /// A task of this framework that the engine does not know.
    UnknownTask {
        /// Its id.
        task_id: String,
        /// Where it is.
        agent_id: Option<String>,
        /// Its state.
        state: v1::TaskState,
        /// Whether it is being killed.
        killed: bool,
    },
    /// It has been decided what to do with the offers of one step. The intents of launches are written only after that:
    /// where the store hangs, or the session ends before, these come to nothing, and are counted here all the same.
    OffersAnswered {
        /// How many are used, wholly or in part.
        accepted: u32,
        /// How many are declined.
        declined: u32,
        /// Tasks to be launched on them.
        launched: u32,
    },
    /// Inverse offers were answered: maintenance is announced for agents, and Mesos has asked whether they may be taken
    /// away.
    InverseOffersAnswered {
        /// How many were accepted: nothing of ours is there.
        accepted: u32,
        /// How many were declined.
        declined: u32,
    },
    /// No more offers for these roles are wanted.
    Suppressed {
        /// The roles.
        roles: Vec<String>,
    },
    /// Offers for these roles are wanted again.
    Revived {
        /// The roles.
        roles: Vec<String>,
    },
    /// The master is being asked for the state of tasks.
    ReconcileStarted {
        /// How many are asked for.
        tasks: usize,
    },
    /// All questions are answered.
    ReconcileDone {
        /// How long it took.
        took: Duration,
    },
    /// Instances that may go wait for an offer that they fit: told after a minute, and each minute from then on, unless
    /// offers are [left to the user](super::Config::own_offers).
    Unplaced {
        /// The spec.
        spec: String,
        /// Why, as far as is known; see [`explain`](super::Engine::explain).
        explanation: Explanation,
    },
    /// Maintenance is announced for an agent (an *unavailability* of Mesos's), and begins within 6 min: it takes no
    /// launches until it is back.
    AgentClosing {
        /// The agent.
        agent_id: String,
        /// When it begins; zero if that has passed.
        starts_in: Duration,
        /// For how long; `None` is for ever.
        during: Option<Duration>,
    },
    /// An agent has failed a spec several times and is avoided by it for a while.
    AgentAvoided {
        /// The spec.
        spec: String,
        /// The agent.
        agent_id: String,
        /// For how long.
        during: Duration,
    },
    /// The store has not taken a batch. Nothing is launched and no status acknowledged meanwhile.
    StoreStalled {
        /// For how long, so far.
        during: Duration,
        /// What it said last.
        failure: Option<StoreFailure>,
    },
    /// The store works again.
    StoreBack,
    /// A record of the store can't be read, or a spec's is missing. It is left as it is, and what it belongs to is blocked,
    /// until somebody decides.
    RecordQuarantined(Quarantined),
    /// A stored spec isn't among those given by the program; it is kept running.
    SpecKept {
        /// Its name.
        spec: String,
    },
    /// Another instance owns the store. Nothing more is sent. Terminal.
    Fenced(StoreFailure),
    /// The store can't take a record. Terminal.
    StoreRefused(StoreFailure),
    /// The framework has been removed and another one is made, as the configuration wants it.
    FrameworkRemoved {
        /// The id that is spent.
        framework_id: String,
    },
    /// Offers to be answered through [`calls`](super::Engine::calls); only if [asked for](super::Config::own_offers).
    // S109, S110
    Offers(crate::Offers),
    /// One of the [`Offers`](Self::Offers) that were told is no longer good. Those of a session that is over aren't either,
    /// without a word.
    Rescinded {
        /// The offer.
        offer_id: String,
    },
    /// A status is dealt with, and to be acknowledged by [`acknowledge`](super::Engine::acknowledge); only if
    /// [asked for](super::Config::manual_acknowledgement). Each receipt of it, repeats too.
    // S111
    Unacknowledged(Receipt),
    /// An event of the protocol, as it came; only if [asked for](super::Config::protocol_events).
    Protocol(scheduler::Event),
    /// The framework cannot go on. Terminal.
    Fatal(FatalReason),
    /// The engine has ended as asked. Terminal.
    Stopped {
        /// Whether the framework has been removed from the master.
        removed: bool,
    },
}

/// A task as the engine knows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Task {
    /// Its id at Mesos.
    pub task_id: String,
    /// Its spec.
    pub spec: String,
    /// Which instance of the spec, from 0, as in the task's id. In its name at Mesos, and in `TASK_…_SERIAL_NUMBER`,
    /// the number is one more.
    pub index: u32,
    /// Which attempt at that instance.
    pub generation: u64,
    /// What it was launched from.
    pub revision: Revision,
    /// Where it stands with the engine.
    pub state: State,
    /// The state that Mesos last told; `None` before the first status.
    pub task_state: Option<v1::TaskState>,
    /// Why Mesos says so.
    pub reason: Option<v1::task_status::Reason>,
    /// Who said so.
    pub source: Option<v1::task_status::Source>,
    /// A text for people.
    pub message: Option<String>,
    /// Whether its health check passes, if it has one.
    pub healthy: Option<bool>,
    /// What its check said last, if it has one; not known again after a start before a status says so.
    pub check_status: Option<v1::CheckStatusInfo>,
    /// Whether it counts as ready.
    pub ready: bool,
    /// The agent.
    pub agent_id: String,
    /// The agent's host name.
    pub hostname: String,
    /// The agent's IP address, if offers show one.
    // S99
    pub agent_ip: Option<String>,
    /// The ports it was given, static ones first.
    pub ports: Vec<u16>,
    /// The resources it was given, as Mesos writes them.
    pub resources: String,
    /// Its executor.
    pub executor_id: Option<String>,
    /// Addresses and the like.
    // S128
    pub container: Option<v1::ContainerStatus>,
    /// How long it has been running.
    // S119
    pub running_for: Option<Duration>,
}

impl Task {
    /// Why it is being killed, if it is.
    #[must_use]
    pub const fn killing(&self) -> Option<KillReason> {
        match self.state {
            State::Killing(why) => Some(why),
            _ => None,
        }
    }
}

/// A status that waits for its acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) agent_id: String,
    pub(super) task_id: String,
    pub(super) uuid: bytes::Bytes,
}

impl Receipt {
    /// The task that it is about.
    #[must_use]
    pub fn task_id(&self) -> &str {
        &self.task_id
    }
}

/// `web-0 (shop.web-0.3.1-k2j4x9ab): RUNNING`
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} ({}): ", self.spec, self.index, self.task_id)?;
        match self.task_state {
            Some(state) => f.write_str(short(state)),
            None => write!(f, "{}", self.state),
        }
    }
}

/// How an attempt ended, and so what its instance does next.
// ENGINE 1.3
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndClass {
    /// TASK_FINISHED.
    Ok,
    /// The task's own fault: failed, unhealthy, in error once it ran, or too slow to start after its first status.
    Fault,
    /// Mesos refuses the task.
    Invalid,
    /// Not the task's fault: dropped, gone, never launched, overdue without any status.
    Infra,
    /// Its agent was drained.
    Drain,
    /// Somebody else killed it.
    External,
    /// We killed it.
    Wanted,
}

/// How a rollout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RolloutStage {
    /// There are instances of another revision; again after a pause, and after a crash.
    Started,
    /// One more is ready.
    Progress,
    /// It is [paused](super::Engine::pause).
    Paused,
    /// Nothing has become ready for 10 min. It goes on all the same.
    Stalled,
    /// No other revision is left, and everything is ready.
    Done,
}

/// Why a task is no longer counted although it may come back. [`Event::TaskRemoved`] tells of
/// [`Expired`](Self::Expired), [`Abandoned`](Self::Abandoned) and [`DeclaredDead`](Self::DeclaredDead); the others come with
/// an [`Event::TaskEnded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GhostReason {
    /// Unreachable for too long.
    Expired,
    /// The master does not know it. Told as ended.
    Unknown,
    /// An operator says that its agent is gone. Told as ended.
    GoneByOperator,
    /// It was to end, and could not be reached.
    Abandoned,
    /// An operator [says that it is dead](super::Engine::declare_dead).
    DeclaredDead,
}

/// Why an instance is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Held {
    /// It failed as often as its spec allows.
    Exhausted,
    /// Mesos refused it three times in a row.
    Invalid,
    /// A record of it can't be read.
    Quarantined,
}
