//! What a status means in each state: the table of ENGINE 1.5, row by row.

use super::attempt::{KillReason, State};
use super::event::{EndClass, GhostReason};
use crate::planted::planted;
use crate::{Update, v1};
use v1::TaskState::*;
use v1::task_status::Reason;

/// A row of the table: a task state, split where the reason decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Row {
    /// TASK_STAGING, TASK_STARTING.
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    /// TASK_FAILED for a reason that isn't the task's fault.
    FailedInfra,
    /// Ended by the draining of its agent.
    Drained,
    KilledDuringLaunch,
    /// By its own health check.
    KilledUnhealthy,
    Killed,
    Error,
    Dropped,
    Gone,
    GoneByOperator,
    /// The same, as the end of draining.
    DrainedForGood,
    Unreachable,
    Unknown,
}

impl Row {
    #[cfg(test)]
    pub(super) const ALL: [Self; 17] = [
        Self::Starting,
        Self::Running,
        Self::Killing,
        Self::Finished,
        Self::Failed,
        Self::FailedInfra,
        Self::Drained,
        Self::KilledDuringLaunch,
        Self::KilledUnhealthy,
        Self::Killed,
        Self::Error,
        Self::Dropped,
        Self::Gone,
        Self::GoneByOperator,
        Self::DrainedForGood,
        Self::Unreachable,
        Self::Unknown,
    ];

    /// The row of a status, which can depend on the state where TASK_LOST is concerned.
    pub(super) fn of(update: &Update, launching: bool) -> Self {
        Self::of_state(update.state(), update.reason(), update.healthy(), launching)
    }

    pub(super) fn of_state(
        state: v1::TaskState,
        reason: Option<Reason>,
        healthy: Option<bool>,
        launching: bool,
    ) -> Self {
        let draining = reason == Some(Reason::AgentDraining);
        match state {
            TaskStaging | TaskStarting => Self::Starting,
            TaskRunning => Self::Running,
            TaskKilling => Self::Killing,
            TaskFinished => Self::Finished,
            TaskFailed => match reason {
                Some(
                    Reason::ExecutorRegistrationTimeout
                    | Reason::ExecutorReregistrationTimeout
                    | Reason::ContainerPreempted
                    | Reason::ResourcesUnknown
                    | Reason::GcError
                    | Reason::InvalidOffers,
                ) => Self::FailedInfra,
                _ => Self::Failed,
            },
            TaskKilled | TaskDropped | TaskGone if draining && !planted!(DrainIsExternal) => Self::Drained,
            TaskKilled if reason == Some(Reason::TaskKilledDuringLaunch) => Self::KilledDuringLaunch,
            TaskKilled if healthy == Some(false) => Self::KilledUnhealthy,
            TaskKilled => Self::Killed,
            TaskError => Self::Error,
            TaskDropped => Self::Dropped,
            TaskGone => Self::Gone,
            TaskGoneByOperator if draining => Self::DrainedForGood,
            TaskGoneByOperator => Self::GoneByOperator,
            TaskUnreachable => Self::Unreachable,
            TaskUnknown => Self::Unknown,
            TaskLost => match reason {
                Some(Reason::InvalidOffers | Reason::ResourcesUnknown | Reason::GcError | Reason::AgentRestarted) => {
                    Self::Dropped
                }
                Some(Reason::AgentDisconnected | Reason::AgentRemoved) if launching => Self::Dropped,
                Some(Reason::AgentDisconnected | Reason::AgentRemoved | Reason::Reconciliation) => Self::Unreachable,
                Some(Reason::TaskUnknown) => Self::Unknown,
                _ => Self::Gone,
            },
        }
    }

    /// Whether the task certainly lives: what makes an unknown task a nuisance.
    pub(super) const fn is_life(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Whether the task has ended, and nobody can be wrong about that.
    pub(super) const fn is_end_for_good(self) -> bool {
        self.is_end() && !matches!(self, Self::GoneByOperator | Self::DrainedForGood)
    }

    /// Whether the task has ended.
    const fn is_end(self) -> bool {
        !matches!(self, Self::Starting | Self::Running | Self::Killing | Self::Unreachable | Self::Unknown)
    }
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// What the status says besides its state is kept; nothing else.
    Merge,
    /// TASK_STARTING or TASK_STAGING.
    Staged,
    Running,
    /// It runs while it should end: the KILL may have been lost.
    KillAgain,
    /// It is ending: the KILL has arrived.
    KillSeen,
    /// Somebody else ends it.
    KilledByOthers,
    /// Lost from sight.
    Unreachable,
    /// Back, in this state (`true`: running).
    Return(bool),
    /// The master doesn't know it: ask again.
    Doubt,
    /// The master still doesn't know it, if that answers the second question.
    DoubtAgain,
    /// It cannot be ended, since it cannot be reached: given up.
    Abandon,
    End(EndClass),
    /// Ended, as far as can be known; it may come back all the same.
    EndWithGhost(EndClass, GhostReason),
}

/// The table.
pub(super) fn cell(state: State, row: Row) -> Cell {
    use Cell::*;
    use EndClass as C;
    let early = matches!(state, State::Launching | State::Staged);
    match state {
        // No task exists: whoever sends this has not got it from us.
        State::Prepared => Merge,
        // Reads the column of a running task.
        State::Killing(KillReason::External) => match row {
            Row::Killing | Row::Starting => Merge,
            row => cell(State::Running, row),
        },
        State::Killing(why) => match row {
            Row::Killing => KillSeen,
            Row::Starting | Row::Running => KillAgain,
            Row::Unreachable => Abandon,
            Row::Unknown => EndWithGhost(wanted(why), GhostReason::Unknown),
            Row::GoneByOperator | Row::DrainedForGood => EndWithGhost(wanted(why), GhostReason::GoneByOperator),
            // For a job that is success all the same: the engine looks.
            Row::Finished => End(C::Ok),
            _ => End(wanted(why)),
        },
        State::Launching | State::Staged | State::Running | State::Unreachable | State::Doubtful => match row {
            Row::Starting => match state {
                State::Launching | State::Staged => Staged,
                State::Running => Merge,
                _ => Return(false),
            },
            Row::Running => match state {
                State::Unreachable | State::Doubtful => Return(true),
                _ => Running,
            },
            Row::Killing => KilledByOthers,
            Row::Finished => End(C::Ok),
            Row::Failed | Row::KilledUnhealthy => End(C::Fault),
            Row::Drained => End(C::Drain),
            Row::Gone if planted!(GoneIsLife) => Merge,
            Row::FailedInfra | Row::KilledDuringLaunch | Row::Dropped | Row::Gone => End(C::Infra),
            Row::Killed => End(C::External),
            Row::Error => End(if early { C::Invalid } else { C::Fault }),
            Row::GoneByOperator => EndWithGhost(C::Infra, GhostReason::GoneByOperator),
            Row::DrainedForGood => EndWithGhost(C::Drain, GhostReason::GoneByOperator),
            Row::Unreachable => match state {
                State::Unreachable => Merge,
                _ if planted!(UnreachableIsDeath) => End(C::Infra),
                _ => Unreachable,
            },
            Row::Unknown => match state {
                State::Doubtful => DoubtAgain,
                _ if planted!(UnknownIsDeath) => EndWithGhost(C::Infra, GhostReason::Unknown),
                _ => Doubt,
            },
        },
    }
}

/// The class of an end that came while we were ending the task ourselves.
const fn wanted(why: KillReason) -> EndClass {
    match why {
        KillReason::Overdue => EndClass::Fault,
        _ => EndClass::Wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 9] = [
        State::Prepared,
        State::Launching,
        State::Staged,
        State::Running,
        State::Unreachable,
        State::Doubtful,
        State::Killing(KillReason::User),
        State::Killing(KillReason::Overdue),
        State::Killing(KillReason::External),
    ];

    // S126, W38: in every state in which a task can be, every terminal state ends it.
    #[test]
    fn every_terminal_state_ends_every_state() {
        for state in STATES.into_iter().filter(|state| state.may_run()) {
            for row in Row::ALL.into_iter().filter(|row| row.is_end()) {
                let cell = cell(state, row);
                assert!(matches!(cell, Cell::End(_) | Cell::EndWithGhost(..)), "{state:?} {row:?}: {cell:?}");
            }
        }
    }

    // W40, I19: and nothing else does, but for a second UNKNOWN while it is being killed.
    #[test]
    fn nothing_else_ends_a_task() {
        for state in STATES {
            for row in Row::ALL.into_iter().filter(|row| !row.is_end()) {
                let ends = matches!(cell(state, row), Cell::End(_) | Cell::EndWithGhost(..));
                assert_eq!(
                    ends,
                    row == Row::Unknown && matches!(state, State::Killing(why) if why != KillReason::External)
                );
            }
        }
    }

    #[test]
    fn a_kill_of_ours_is_no_fault_unless_the_task_is_to_blame() {
        assert_eq!(cell(State::Killing(KillReason::User), Row::Failed), Cell::End(EndClass::Wanted));
        assert_eq!(cell(State::Killing(KillReason::Overdue), Row::Killed), Cell::End(EndClass::Fault));
        assert_eq!(cell(State::Killing(KillReason::External), Row::Killed), Cell::End(EndClass::External));
    }
}
