//! What to do with tasks, as opposed to what they are: it may change without any of them being restarted.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::planted::planted;
use crate::v1;
use v1::TaskState;

/// The part of a spec whose change takes effect at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Runs until it finishes, once per instance.
    pub(crate) job: bool,
    pub(crate) instances: u32,
    /// Lower first.
    pub(crate) priority: i32,
    pub(crate) restart: RestartPolicy,
    pub(crate) max_failures: Option<u32>,
    /// All durations are whole milliseconds.
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) stable_after: Duration,
    /// Zero is never, as with the next.
    pub(crate) launch_timeout: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) inactive_after: Duration,
    pub(crate) expunge_after: Duration,
    pub(crate) duplicates: Duplicates,
    pub(crate) on_return: OnReturn,
    pub(crate) kill_selection: KillSelection,
    /// `None` is never.
    pub(crate) force_kill_after: Option<Duration>,
    pub(crate) rerun_on_change: bool,
    pub(crate) scalable: bool,
    pub(crate) max_surge: Amount,
    pub(crate) max_unavailable: Amount,
    /// `None`: as long as it takes without, or with, a health check.
    pub(crate) min_ready: Option<Duration>,
    pub(crate) constraints: Vec<Constraint>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            job: false,
            instances: 1,
            priority: 0,
            restart: RestartPolicy::Always,
            max_failures: None,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            stable_after: Duration::from_secs(300),
            launch_timeout: Duration::from_secs(300),
            start_timeout: Duration::from_secs(600),
            inactive_after: Duration::ZERO,
            expunge_after: Duration::from_secs(600),
            duplicates: Duplicates::default(),
            on_return: OnReturn::default(),
            kill_selection: KillSelection::default(),
            force_kill_after: None,
            rerun_on_change: false,
            scalable: false,
            max_surge: Amount::Percent(25),
            max_unavailable: Amount::Percent(25),
            min_ready: None,
            constraints: Vec::new(),
        }
    }
}

impl Policy {
    /// Whether two tasks of an instance must never run at once.
    pub(crate) fn is_strict(&self) -> bool {
        self.duplicates == Duplicates::Forbid
    }

    /// How many slots may hold two instances during a rollout, and how many may be without a ready one. Never both 0.
    pub(crate) fn budget(&self) -> (u32, u32) {
        let surge = match self.duplicates {
            Duplicates::Allow if planted!(RoundedDown) => self.max_surge.rounded_down(self.instances),
            Duplicates::Allow => self.max_surge.rounded_up(self.instances),
            Duplicates::Forbid => 0,
        };
        let surge = if planted!(SurgeIgnored) { self.instances } else { surge };
        let unavailable = if planted!(AllAtOnce) { Amount::Percent(100) } else { self.max_unavailable };
        match (surge, unavailable.rounded_down(self.instances)) {
            (0, 0) => (0, 1),
            budget => budget,
        }
    }
}

/// What to do when a task has ended that is still wanted.
///
/// Whatever the policy, a task is tried again if it never ran: because its agent dropped the launch, say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// Start another one; what services do by default. Not for jobs.
    Always,
    /// Start another one unless it finished; what jobs do by default.
    OnFailure,
    /// Leave it ended.
    Never,
    /// Start another one if it ended in one of these states.
    States(BTreeSet<TaskState>),
}

impl RestartPolicy {
    /// Those states.
    #[must_use]
    pub fn states(states: impl IntoIterator<Item = TaskState>) -> Self {
        Self::States(states.into_iter().collect())
    }

    /// TASK_FAILED, TASK_LOST and TASK_ERROR: the default of the npm module `mesos-framework`, whose `restartStates`
    /// this stands for. Without restart stay, among others, tasks that finished, were killed, or are gone.
    #[must_use]
    pub fn states_of_original() -> Self {
        Self::states([TaskState::TaskFailed, TaskState::TaskLost, TaskState::TaskError])
    }
}

/// Whether an instance may be replaced before it is known to have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Duplicates {
    /// Yes, once it is unreachable for long enough, as
    /// [`TaskSpec::unreachable`](super::TaskSpec::unreachable) says. Should it come back, one of the two is killed.
    #[default]
    Allow,
    /// No: an instance whose agent is away stays without replacement until Mesos or an operator says that it is gone,
    /// and during a rollout the old one ends before the new one starts. If this is said later, nothing more starts beside
    /// what was given up before: that has to end first, or to be declared dead.
    Forbid,
}

/// Which of two instances stays, if one comes back that was unreachable and has been replaced meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnReturn {
    /// The replacement if it is ready, otherwise the one that came back, unless that is of an outdated revision.
    #[default]
    PreferReady,
    /// The one that was running first.
    Oldest,
    /// The one that was running last.
    Youngest,
    /// The replacement.
    PreferNew,
}

/// Which instances go first when there are to be fewer, among those in equally good condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KillSelection {
    /// Those with the highest numbers, so that there are no gaps between those that stay, unless what was in worse
    /// condition has left one.
    #[default]
    HighestIndex,
    /// Those that were started last.
    Youngest,
    /// Those that were started first.
    Oldest,
}

/// A number of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Amount {
    /// So many.
    Count(u32),
    /// A part of those that are wanted, in percent.
    Percent(u32),
}

impl Amount {
    pub(crate) fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    pub(crate) fn rounded_up(self, of: u32) -> u32 {
        self.part(of, 99)
    }

    pub(crate) fn rounded_down(self, of: u32) -> u32 {
        self.part(of, 0)
    }

    fn part(self, of: u32, round: u64) -> u32 {
        match self {
            Self::Count(count) => count,
            // Both factors have 32 bits.
            Self::Percent(percent) => {
                let hundredths = u64::from(of) * u64::from(percent);
                u32::try_from(hundredths.saturating_add(round) / 100).unwrap_or(u32::MAX)
            }
        }
    }
}

/// Something that an agent has one value of: what placement constraints look at.
///
/// ```
/// use mesos_core::engine::Field;
///
/// assert_eq!(Field::from("@hostname"), Field::Hostname);
/// assert_eq!(Field::from("rack"), Field::Attribute("rack".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `@hostname`: the agent's host name.
    Hostname,
    /// `@agent`: the agent's id.
    Agent,
    /// `@region`: the region of the agent's fault domain.
    Region,
    /// `@zone`: the zone of the agent's fault domain.
    Zone,
    /// The first of the agent's attributes that has this name. An agent without it gets no task that looks at it.
    /// Of an agent that has tasks only those attributes are remembered that their specs named when they were launched: a
    /// constraint that names another one later counts no instances of before.
    Attribute(String),
}

impl From<&str> for Field {
    fn from(name: &str) -> Self {
        match name {
            "@hostname" => Self::Hostname,
            "@agent" => Self::Agent,
            "@region" => Self::Region,
            "@zone" => Self::Zone,
            _ => Self::Attribute(name.into()),
        }
    }
}

impl From<String> for Field {
    fn from(name: String) -> Self {
        Self::from(&*name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hostname => "@hostname",
            Self::Agent => "@agent",
            Self::Region => "@region",
            Self::Zone => "@zone",
            Self::Attribute(name) => name,
        })
    }
}

/// What an agent must be like for an instance to be placed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constraint {
    pub(crate) field: Field,
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// The field has this value.
    Is(String),
    /// No other instance has the field's value.
    Unique,
    /// Fewer than so many other instances have the field's value.
    MaxPer(u32),
}
