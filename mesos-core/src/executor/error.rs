//! What a caller can do wrong.

use alloc::string::String;

use crate::v1::TaskState;

/// Why an update or a message wasn't taken. Nothing was sent, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The client has ended.
    #[error("the executor has ended")]
    Ended,
    /// No such task has been launched, or its last update is acknowledged already. Mesos would pass the update on, but
    /// never acknowledge it.
    #[error("no task {0:?} is known")]
    UnknownTask(String),
    /// The task has its last update already.
    #[error("task {0:?} has ended before")]
    TaskEnded(String),
    /// The state isn't an executor's to give: TASK_STAGING, which an agent answers with 400, and those that only a
    /// master can know of.
    #[error("an executor cannot report {}", .0.as_str_name())]
    State(TaskState),
    /// The framework doesn't have the capability TASK_KILLING_STATE, and so it mustn't see TASK_KILLING.
    #[error("the framework doesn't understand TASK_KILLING")]
    Killing,
    /// A check's result needs its type, and the message that belongs to it.
    #[error("the check status has no type, or not what belongs to it")]
    CheckStatus,
    /// As many messages are waiting to be sent, or updates to be acknowledged, as may wait. A task's last update is
    /// always taken.
    #[error("too many calls are waiting ({waiting})")]
    QueueFull {
        /// How many are waiting.
        waiting: usize,
    },
    /// The message is larger than all waiting messages together may be.
    #[error("the message has {size} bytes, at most {limit} may wait")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
}
