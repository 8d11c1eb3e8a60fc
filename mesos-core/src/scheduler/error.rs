//! What a caller can do wrong.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{EndpointError, IdError};

/// Everything that is wrong with a [`Config`](super::Config), not only the first fault found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<ConfigProblem>,
}

impl ConfigError {
    /// `None` when there is nothing to complain of.
    pub(super) fn from_problems(problems: Vec<ConfigProblem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The faults, in the order of the options; at least one.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// The list of masters is empty.
    #[error("no master given")]
    NoMaster,
    /// An entry of the list of masters names no server.
    #[error("master {index}: {error}")]
    Master {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        error: EndpointError,
    },
    /// The framework's name is empty.
    #[error("the framework's name is empty")]
    Name,
    /// The user as whom tasks run is empty.
    #[error("the framework's user is empty")]
    User,
    /// The framework has no role: it would never be offered anything.
    #[error("the framework has no role")]
    NoRole,
    /// A role that Mesos refuses.
    #[error("role {role:?} {fault}")]
    Role {
        /// The role.
        role: String,
        /// What is wrong with it.
        fault: RoleFault,
    },
    /// The same role twice.
    #[error("role {0:?} is listed twice")]
    DuplicateRole(String),
    /// `FrameworkInfo.role` together with the capability MULTI_ROLE, or `roles` without it: the master refuses both.
    #[error("MULTI_ROLE goes with `roles` only, and `role` goes without it")]
    RoleField,
    /// A suppressed role that isn't among the framework's roles.
    #[error("suppressed role {0:?} isn't among the framework's roles")]
    SuppressedRole(String),
    /// The failover timeout isn't a number of seconds from 0 to about 9.2e9 (what fits 63 bits of nanoseconds).
    #[error("the failover timeout must be from 0 to 9.2e9 seconds")]
    FailoverTimeout,
    /// The framework id isn't one that Mesos takes.
    #[error("framework id {0}")]
    FrameworkId(#[source] IdError),
}

/// Why a role is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RoleFault {
    /// It is the empty text.
    #[error("is empty")]
    Empty,
    /// It starts or ends with a slash, or has two in a row.
    #[error("has an empty component (a leading, trailing or double slash)")]
    EmptyComponent,
    /// A component is `.`, `..` or `*`.
    #[error("has a component that is '.', '..' or '*'")]
    ReservedComponent,
    /// A component begins with a dash.
    #[error("has a component that begins with '-'")]
    LeadingDash,
    /// White space, a control character or a backspace.
    #[error("has white space or control characters")]
    Character,
}

/// Why a call wasn't taken. Nothing was sent, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no subscription now: wait for [`Event::Subscribed`](super::Event::Subscribed).
    #[error("not subscribed")]
    NotSubscribed,
    /// The framework is being torn down, or has ended.
    #[error("the framework is ending")]
    Ending,
    /// As many calls, or bytes of calls, are waiting as may wait. Try again after the next
    /// [`Event::CallDone`](super::Event::CallDone).
    #[error("too many calls are waiting ({waiting})")]
    QueueFull {
        /// How many calls are waiting.
        waiting: usize,
    },
    /// The call is larger than all waiting calls together may be.
    #[error("the call has {size} bytes, at most {limit} may wait")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// An id that Mesos refuses.
    #[error("{what} {error}")]
    Id {
        /// Which id, such as `task id`.
        what: &'static str,
        /// What is wrong with it.
        error: IdError,
    },
    /// The call must name at least one offer.
    #[error("no offer is named")]
    NoOffers,
    /// The role isn't one of the framework's: Mesos would drop the whole call without a word.
    #[error("{0:?} is not a role of this framework")]
    Role(String),
    /// The update carries no uuid: it must not be acknowledged (the master made it, or it answers RECONCILE).
    #[error("the update has no uuid, so it must not be acknowledged")]
    NoUuid,
    /// The uuid isn't 16 bytes with a version from 1 to 5.
    #[error("the uuid isn't 16 bytes with a version from 1 to 5")]
    Uuid,
    /// An update or an operation status that names no agent cannot be acknowledged.
    #[error("no agent is named")]
    NoAgent,
    /// An operation status that names no operation cannot be acknowledged.
    #[error("no operation is named")]
    NoOperation,
    /// UPDATE_FRAMEWORK cannot change this field.
    #[error("{0} cannot be changed")]
    Immutable(&'static str),
    /// The framework given to UPDATE_FRAMEWORK is at fault.
    #[error(transparent)]
    Framework(#[from] ConfigError),
    /// SUBSCRIBE is the client's own business.
    #[error("SUBSCRIBE is sent by the client itself")]
    Subscribe,
    /// The call's type is unset, UNKNOWN, or a number that this schema doesn't know. UNKNOWN makes a real master abort.
    #[error("the call has no known type")]
    UnknownType,
    /// The message that belongs to the call's type is missing.
    #[error("a {0} call needs the message that belongs to it")]
    NoBody(&'static str),
}
