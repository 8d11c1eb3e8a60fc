//! A task's status, as a view.

use core::fmt;

use bytes::Bytes;
use prost::Message as _;

use super::{number, single, span, text};
use crate::v1;

/// The status of a task, from an UPDATE event. Cheap to clone; it keeps the record alive that it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Update(Bytes);

impl Update {
    /// A view of a checked `TaskStatus`.
    pub(super) const fn new(status: Bytes) -> Self {
        Self(status)
    }

    /// The task.
    #[must_use]
    pub fn task_id(&self) -> &str {
        text(span(&self.0, &[1, 1]))
    }

    /// The state. An update with a state that the schema doesn't know never becomes an `Update`.
    #[must_use]
    pub fn state(&self) -> v1::TaskState {
        // Checked: the field is there and its number known.
        number(&self.0, 2)
            .and_then(|number| v1::TaskState::try_from(number as i32).ok())
            .unwrap_or(v1::TaskState::TaskUnknown)
    }

    /// The agent, when one is named.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        span(&self.0, &[5, 1]).map(|id| text(Some(id)))
    }

    /// The executor, when one is named.
    #[must_use]
    pub fn executor_id(&self) -> Option<&str> {
        span(&self.0, &[7, 1]).map(|id| text(Some(id)))
    }

    /// What makes the update reliable: with a uuid it comes again until it is acknowledged; without one it comes once
    /// and must not be acknowledged. An empty uuid counts as none.
    #[must_use]
    pub fn uuid(&self) -> Option<&[u8]> {
        single(&self.0, 11).filter(|uuid| !uuid.is_empty())
    }

    /// Who says so.
    #[must_use]
    pub fn source(&self) -> Option<v1::task_status::Source> {
        number(&self.0, 9).and_then(|number| (number as i32).try_into().ok())
    }

    /// Why, as far as the schema knows the reason.
    #[must_use]
    pub fn reason(&self) -> Option<v1::task_status::Reason> {
        number(&self.0, 10).and_then(|number| (number as i32).try_into().ok())
    }

    /// Something for people to read; nothing should hang on it.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        single(&self.0, 4).map(|message| text(Some(message)))
    }

    /// The result of the task's health check, when it has one.
    #[must_use]
    pub fn healthy(&self) -> Option<bool> {
        number(&self.0, 8).map(|number| number != 0)
    }

    /// Seconds since 1970, by the clock of whoever made the update. Don't order by it.
    #[must_use]
    pub fn timestamp(&self) -> Option<f64> {
        number(&self.0, 6).map(f64::from_bits)
    }

    /// Since when the agent is unreachable, in nanoseconds since 1970.
    #[must_use]
    pub fn unreachable_since(&self) -> Option<i64> {
        single(&self.0, 14).and_then(|time| number(time, 1)).map(|nanoseconds| nanoseconds as i64)
    }

    /// Bytes from the executor.
    #[must_use]
    pub fn data(&self) -> Option<Bytes> {
        single(&self.0, 3).map(|data| self.0.slice_ref(data))
    }

    /// The message in full: labels, container status, check results.
    #[must_use]
    pub fn to_owned(&self) -> v1::TaskStatus {
        // Checked, so it decodes.
        v1::TaskStatus::decode(self.0.clone()).unwrap_or_default()
    }

    /// The serialized `TaskStatus`.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("task_id", &self.task_id())
            .field("state", &self.state())
            .field("agent_id", &self.agent_id())
            .field("reason", &self.reason())
            .field("acknowledgeable", &self.uuid().is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, scheduler_event};
    use super::*;
    use v1::scheduler::{Event, event};

    fn view(status: v1::TaskStatus) -> Update {
        let event = Event {
            r#type: Some(event::Type::Update.into()),
            update: Some(event::Update { status }),
            ..Default::default()
        };
        match scheduler_event(&event.encode_to_vec().into()) {
            Ok(Parsed::Update(update)) => update,
            other => panic!("an update, not {other:?}"),
        }
    }

    #[test]
    fn a_view_says_what_the_message_says() {
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: "t-1".into() },
            state: v1::TaskState::TaskRunning.into(),
            data: Some(Bytes::from_static(&[0, 255])),
            message: Some("läuft".into()),
            agent_id: Some(v1::AgentId { value: "a".into() }),
            timestamp: Some(1.5e9),
            executor_id: Some(v1::ExecutorId { value: "e".into() }),
            healthy: Some(false),
            source: Some(v1::task_status::Source::Executor.into()),
            reason: Some(v1::task_status::Reason::Reconciliation.into()),
            uuid: Some(Bytes::from_static(&[7; 16])),
            unreachable_time: Some(v1::TimeInfo { nanoseconds: 5 }),
            ..Default::default()
        };
        let update = view(status.clone());
        assert_eq!(update.to_owned(), status);
        assert_eq!((update.task_id(), update.agent_id(), update.executor_id()), ("t-1", Some("a"), Some("e")));
        assert_eq!((update.state(), update.uuid()), (v1::TaskState::TaskRunning, Some(&[7; 16][..])));
        assert_eq!(update.source(), Some(v1::task_status::Source::Executor));
        assert_eq!(update.reason(), Some(v1::task_status::Reason::Reconciliation));
        assert_eq!((update.message(), update.healthy(), update.timestamp()), (Some("läuft"), Some(false), Some(1.5e9)));
        assert_eq!((update.unreachable_since(), update.data()), (Some(5), status.data));
    }

    // TaskState 0 is TASK_STARTING, Source 0 SOURCE_MASTER: absent must not read as either.
    #[test]
    fn absent_is_not_zero() {
        let update = view(v1::TaskStatus {
            task_id: v1::TaskId { value: "t".into() },
            state: v1::TaskState::TaskStarting.into(),
            uuid: Some(Bytes::new()),
            reason: Some(9999),
            ..Default::default()
        });
        assert_eq!(update.state(), v1::TaskState::TaskStarting);
        assert_eq!((update.source(), update.reason(), update.uuid(), update.agent_id()), (None, None, None, None));
        assert_eq!((update.healthy(), update.timestamp(), update.message()), (None, None, None));
    }
}
