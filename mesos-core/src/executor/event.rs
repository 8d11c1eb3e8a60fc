//! What the client tells its user.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::recordio::DecodeError;
use crate::{Failure, Instant, v1};

/// What has happened, in order. [`Stopped`](Self::Stopped) and [`Fatal`](Self::Fatal) are terminal: nothing follows,
/// and the executor's process is to end what is left of its tasks, and then itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The executor is subscribed; again after each reconnection, which is no reason to begin anything anew.
    Subscribed(Box<Subscribed>),
    /// Start this task, and [`update`](super::Client::update) its state.
    Launch(Box<v1::TaskInfo>),
    /// Start these tasks, all of them or none.
    LaunchGroup(v1::TaskGroupInfo),
    /// End this task: because the scheduler or the agent wants it, which may come more than once, or because of
    /// [`Shutdown`](Self::Shutdown). Tasks that have ended, or were never launched, aren't named.
    Kill {
        /// The task.
        task_id: v1::TaskId,
        /// How to end it: what the call says, else what the task's `TaskInfo` says, if either does.
        policy: Option<v1::KillPolicy>,
    },
    /// The agent has an update safe, and will not forget it; this isn't the scheduler's acknowledgement, which an
    /// executor never sees.
    Acknowledged {
        /// The task.
        task_id: v1::TaskId,
        /// The state that the update brought.
        state: v1::TaskState,
    },
    /// Bytes from the scheduler.
    Message(Bytes),
    /// The agent lives. For curiosity only; the first comes after half an hour, and from agents before 1.8 none does.
    Heartbeat,
    /// All tasks are to end: a [`Kill`](Self::Kill) for each of them follows. Update each one's last state; when they
    /// are acknowledged the client ends, and with the deadline at the latest: nine tenths of the grace period, since
    /// after it the agent destroys the container.
    Shutdown {
        /// Why.
        cause: Cause,
        /// When the client ends whatever happens.
        deadline: Instant,
        /// How long that is from now.
        grace: Duration,
    },
    /// An update will never be acknowledged: the agent refused it, or the client ends without an answer. In the former
    /// case, and if it was to be the task's last, another one can be given.
    UpdateLost {
        /// The update as it was sent.
        status: Box<v1::TaskStatus>,
        /// Why.
        reason: LostReason,
    },
    /// A message may not have reached the agent, or was refused; it isn't sent again.
    MessageLost {
        /// The message.
        data: Bytes,
        /// Why.
        reason: LostReason,
    },
    /// The subscription, or an attempt at one, has ended. With checkpointing tasks run on, and the client tries again
    /// until the recovery timeout is over; without, [`Shutdown`](Self::Shutdown) follows.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When the next attempt starts, if there is one.
        retry_at: Option<Instant>,
    },
    /// A record is framed well but isn't a valid event, or not at this point. The subscription goes on.
    Malformed {
        /// The field at fault, such as `launch.task.task_id`, or what is wrong with the whole.
        path: String,
        /// The record as it came.
        record: Bytes,
    },
    /// An event of a type that this release doesn't know, or without type. The subscription goes on.
    Unknown {
        /// The record as it came.
        record: Bytes,
    },
    /// The agent refuses the executor, and trying again cannot help. Terminal.
    Fatal(FatalReason),
    /// The client has ended. Terminal.
    Stopped {
        /// Why; never [`Cause::Fatal`].
        cause: Cause,
    },
}

/// A subscription that stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Subscribed {
    /// The executor, as the scheduler described it.
    pub executor_info: v1::ExecutorInfo,
    /// The framework.
    pub framework_info: v1::FrameworkInfo,
    /// The agent.
    pub agent_info: v1::AgentInfo,
    /// The executor's container. Agents before 1.5 don't tell it.
    pub container_id: Option<v1::ContainerId>,
    /// Whether this is the first subscription of this client.
    pub first: bool,
}

/// Why an executor ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// [`stop`](super::Client::stop) asked for it.
    Asked,
    /// The agent said SHUTDOWN.
    Shutdown,
    /// The subscription is lost, and without checkpointing there is no way back.
    NoCheckpoint,
    /// The agent wasn't there for the recovery timeout; or, without checkpointing, for a minute from the start.
    RecoveryTimeout,
    /// The agent refuses the executor.
    Fatal(FatalReason),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("as asked"),
            Self::Shutdown => f.write_str("the agent shuts the executor down"),
            Self::NoCheckpoint => f.write_str("the agent is lost, and the framework doesn't checkpoint"),
            Self::RecoveryTimeout => f.write_str("the agent wasn't back within the recovery timeout"),
            Self::Fatal(reason) => reason.fmt(f),
        }
    }
}

/// Why an agent refuses an executor for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FatalReason {
    /// 401: the agent wants a token, or another one.
    #[error("the agent refused the token: {text}")]
    Unauthorized {
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
    /// SUBSCRIBE was answered with 400 (the agent doesn't know the executor or its framework), 403 (the token is
    /// somebody else's), 405, 406, 415 or another status that no repetition can change.
    #[error("SUBSCRIBE was refused with {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
}

/// Why an update or a message is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The agent refused it.
    #[error("refused with {status}: {text}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
    /// The client ends, and the agent hasn't acknowledged it. It may have arrived all the same.
    #[error("not acknowledged")]
    Unacknowledged,
    /// The call failed. It may have arrived all the same.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Why a subscription, or an attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Network: no connection, or a broken one.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Peer: the stream has come to an orderly end.
    #[error("the agent closed the stream")]
    Closed,
    /// Network: SUBSCRIBE had no answer, or no event after it, for this long.
    #[error("no answer within {after:?}")]
    NoAnswer {
        /// How long.
        after: Duration,
    },
    /// Peer: a status that makes another attempt sensible. While an agent starts it says 404, then 503.
    #[error("the agent answered {status}: {text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
    /// Peer: 200 with another content type than the one asked for.
    #[error("200 with content type {0:?}")]
    ContentType(Option<String>),
    /// Peer: the stream isn't RecordIO, or has a record beyond the limit.
    #[error(transparent)]
    Framing(#[from] DecodeError),
    /// Peer: the first event on the stream was neither SUBSCRIBED nor SHUTDOWN nor ERROR.
    #[error("the first event was neither SUBSCRIBED nor SHUTDOWN")]
    FirstEvent,
    /// Peer: an ERROR event.
    #[error("the agent reports: {0}")]
    Error(String),
    /// Network: two calls in a row have failed.
    #[error("calls fail: {0}")]
    CallsFail(Failure),
    /// Peer: a call was answered with a status that shows that the agent has forgotten the subscription: 403 or 404.
    #[error("a call was answered {status}: {text}")]
    CallStatus {
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
}
