//! What goes wrong with a task on its agent, and what the agent and its executor say then; draining.

use std::time::Duration;

use mesos_proto::v1;
use v1::TaskState;
use v1::framework_info::capability::Type as Capability;
use v1::task_status::{Reason, Source};

use crate::agent::{Agent, Moment, Task, TaskKey, ToCluster, is_terminal};

/// Something that an agent or an executor does to a task without being asked by its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// It uses more memory than it has: TASK_FAILED, REASON_CONTAINER_LIMITATION_MEMORY.
    MemoryLimit,
    /// It runs for longer than its `max_completion_time`: TASK_FAILED, REASON_MAX_COMPLETION_TIME_REACHED.
    CompletionTime,
    /// The agent needs what it uses: TASK_GONE, REASON_CONTAINER_PREEMPTED.
    Preempted,
    /// Its executor is told to end by somebody on the agent's host: TASK_KILLED, without any reason.
    ExecutorStopped,
    /// Its health check fails too often: TASK_RUNNING and TASK_KILLED with `healthy` = false.
    Unhealthy,
    /// Its sandbox can't be made, before it starts: TASK_DROPPED, REASON_GC_ERROR.
    NotPrepared,
    /// Its container can't be started: TASK_FAILED, REASON_CONTAINER_LAUNCH_FAILED.
    NotLaunched,
    /// Its executor doesn't register in time: TASK_FAILED, REASON_EXECUTOR_REGISTRATION_TIMEOUT.
    NotRegistered,
    /// Its start hangs: nothing is heard of it any more, until it is killed.
    NeverStarts,
}

/// How an agent is drained.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drain {
    /// The most that tasks may take to end.
    pub(crate) grace: Option<Duration>,
    /// The agent is gone for good once its tasks have ended.
    pub(crate) mark_gone: bool,
}

impl Agent {
    /// The agent's tasks are to end: its master says so, perhaps not for the first time.
    pub(crate) fn drain(&mut self, drain: Drain, now: &mut Moment<'_>) {
        let grace = drain.grace.map(|grace| v1::KillPolicy {
            grace_period: Some(v1::DurationInfo { nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX) }),
        });
        self.draining = Some(drain);
        for key in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.kill(&key, grace.as_ref(), now);
        }
    }

    /// What a report becomes on an agent that is being drained.
    pub(crate) fn drained(
        &self,
        key: &TaskKey,
        state: TaskState,
        reason: Option<Reason>,
    ) -> (TaskState, Option<Reason>) {
        let Some(drain) = &self.draining else { return (state, reason) };
        if !matches!(state, TaskState::TaskKilling | TaskState::TaskKilled) {
            return (state, reason);
        }
        let aware = self.frameworks.get(&key.0).is_some_and(|framework| {
            framework.capabilities.iter().any(|capability| capability.r#type() == Capability::PartitionAware)
        });
        let state = if drain.mark_gone && aware { TaskState::TaskGoneByOperator } else { state };
        (state, Some(Reason::AgentDraining))
    }

    /// The health check of a task, if it has one, has a result, which is told if it is another one than before.
    pub(crate) fn health(&mut self, key: &TaskKey, healthy: bool, now: &mut Moment<'_>) {
        let checked = |task: &&mut Task| task.state == TaskState::TaskRunning && task.info.health_check.is_some();
        let Some(task) = self.tasks.get_mut(key).filter(checked) else { return };
        if task.healthy.replace(healthy) != Some(healthy) {
            let reason = Some(Reason::TaskHealthCheckStatusUpdated);
            self.report(key, TaskState::TaskRunning, Source::Executor, reason, "", now);
        }
    }

    /// Something happens to a task. Nothing, if it is in a state in which that can't be.
    pub(crate) fn befalls(&mut self, key: &TaskKey, trouble: Trouble, now: &mut Moment<'_>) {
        let Some(task) = self.tasks.get(key).filter(|task| !is_terminal(task.state)) else { return };
        let staging = task.state == TaskState::TaskStaging;
        let early = matches!(
            trouble,
            Trouble::NotPrepared | Trouble::NotLaunched | Trouble::NotRegistered | Trouble::NeverStarts
        );
        if staging != early {
            return;
        }
        use TaskState::{TaskDropped, TaskFailed, TaskGone};
        let (state, source, reason, message) = match trouble {
            Trouble::MemoryLimit => {
                (TaskFailed, Source::Agent, Reason::ContainerLimitationMemory, "Memory limit exceeded")
            }
            Trouble::CompletionTime => (
                TaskFailed,
                Source::Executor,
                Reason::MaxCompletionTimeReached,
                "Task exceeded its max completion time",
            ),
            Trouble::Preempted => (TaskGone, Source::Agent, Reason::ContainerPreempted, "Container preempted"),
            Trouble::NotPrepared => (TaskDropped, Source::Agent, Reason::GcError, "Failed to unschedule directories"),
            Trouble::NotLaunched => {
                (TaskFailed, Source::Agent, Reason::ContainerLaunchFailed, "Failed to launch container")
            }
            Trouble::NotRegistered => {
                (TaskFailed, Source::Agent, Reason::ExecutorRegistrationTimeout, "Executor did not register in time")
            }
            Trouble::NeverStarts => {
                if let Some(task) = self.tasks.get_mut(key) {
                    task.start_at = None;
                }
                return;
            }
            Trouble::ExecutorStopped => return self.kill(key, None, now),
            Trouble::Unhealthy => {
                self.health(key, false, now);
                return self.kill(key, None, now);
            }
        };
        let started = self.tasks.get_mut(key).is_some_and(|task| task.start_at.take().is_none());
        self.report(key, state, source, Some(reason), message, now);
        if started {
            self.out.push_back(ToCluster::Stop { task: key.clone(), grace: Duration::ZERO });
        }
    }
}
