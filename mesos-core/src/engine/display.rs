//! What the engine tells, in words for people.

use core::fmt::{self, Display, Formatter};

use super::attempt::{KillReason, State};
use super::book::LastEnd;
use super::commands::SpecStatus;
use super::event::{EndClass, GhostReason, Held, RolloutStage};
use super::recover::Quarantined;
use crate::v1::TaskState;

/// A state as people write it: `RUNNING`.
pub(super) fn short(state: TaskState) -> &'static str {
    let name = state.as_str_name();
    name.strip_prefix("TASK_").unwrap_or(name)
}

impl Display for EndClass {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "finished",
            Self::Fault => "its own fault",
            Self::Invalid => "refused",
            Self::Infra => "not its fault",
            Self::Drain => "drained",
            Self::External => "killed by others",
            Self::Wanted => "killed by us",
        })
    }
}

impl Display for Held {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "failed too often",
            Self::Invalid => "refused too often",
            Self::Quarantined => "its record can't be read",
        })
    }
}

impl Display for GhostReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "out of reach",
            Self::Unknown => "unknown to the master",
            Self::GoneByOperator => "gone, as an operator says",
            Self::Abandoned => "out of reach when it was to end",
            Self::DeclaredDead => "dead, as an operator says",
        })
    }
}

impl Display for RolloutStage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Progress => "under way",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Done => "done",
        })
    }
}

impl Display for KillReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "another one has its place",
            Self::Overdue => "overdue",
            Self::User => "asked for",
            Self::Update => "replaced",
            Self::Scale => "not wanted",
            Self::External => "by others",
        })
    }
}

/// `running`; `being killed (replaced)`
impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared => "prepared",
            Self::Launching => "launching",
            Self::Staged => "staged",
            Self::Running => "running",
            Self::Unreachable => "unreachable",
            Self::Doubtful => "doubtful",
            Self::Killing(why) => return write!(f, "being killed ({why})"),
        })
    }
}

/// `its own fault, FAILED after 5.2 s: Command exited with status 1`
impl Display for LastEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.class)?;
        if let Some(state) = self.state {
            write!(f, ", {}", short(state))?;
        }
        if let Some(time) = self.ran_for {
            write!(f, " after {:.1} s", time.as_secs_f64())?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// `web: 3 of 3 live, 2 ready, 1 outdated, paused`: what there is none of isn't named.
impl Display for SpecStatus {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} of {} live, {} ready", self.name, self.live, self.wanted, self.ready)?;
        let counts = [
            (self.waiting, "waiting"),
            (self.finished, "finished"),
            (self.held, "given up"),
            (self.outdated, "outdated"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        f.write_str(if self.paused { ", paused" } else { "" })?;
        f.write_str(if self.removed { ", to be removed" } else { "" })
    }
}

/// `record slot/web/0 can't be read: no JSON`
impl Display for Quarantined {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "record {} can't be read: {}", self.key, self.why)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::time::Duration;

    use super::*;
    use crate::Key;
    use crate::engine::Revision;

    #[test]
    fn words_for_people() {
        assert_eq!(State::Killing(KillReason::Update).to_string(), "being killed (replaced)");
        let record = Quarantined { key: Key::new(["slot", "web", "0"]), why: "no JSON".into() };
        assert_eq!(record.to_string(), "record slot/web/0 can't be read: no JSON");
        let end = LastEnd {
            class: EndClass::Fault,
            state: Some(TaskState::TaskFailed),
            reason: None,
            message: Some("Command exited with status 1".into()),
            at: Default::default(),
            ran_for: Some(Duration::from_millis(5210)),
        };
        assert_eq!(end.to_string(), "its own fault, FAILED after 5.2 s: Command exited with status 1");
        let end = LastEnd { class: EndClass::Infra, state: None, message: None, ran_for: None, ..end };
        assert_eq!(end.to_string(), "not its fault");
        let spec = SpecStatus {
            name: "web".into(),
            revision: Revision::default(),
            wanted: 3,
            live: 3,
            ready: 2,
            waiting: 0,
            finished: 0,
            held: 0,
            outdated: 1,
            satisfied: false,
            paused: true,
            removed: false,
            priority: 0,
            lacking: None,
        };
        assert_eq!(spec.to_string(), "web: 3 of 3 live, 2 ready, 1 outdated, paused");
    }
}
