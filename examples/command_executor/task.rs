//! One task's life, as a state machine without processes, clocks and connections.

use std::time::{Duration, Instant};

use mesos_tokio::mesos_core::v1::{self, task_status::Reason};
use v1::TaskState::{self, *};

use crate::exit::Exit;
use crate::health::Health;

/// How long a task may take to end where no kill policy says otherwise, as in Mesos.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// What is to be done. In this order, and before the task hears of anything else.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "they live for moments")]
pub(crate) enum Action {
    /// Send this.
    Update(v1::TaskStatus),
    /// Start the process, then say [`Task::started`] or [`Task::not_started`].
    Start,
    /// Start the checks.
    Watch,
    /// Stop the checks: their results are no longer wanted.
    Unwatch,
    /// Ask the task's processes to end.
    Term,
    /// End the task's processes.
    Kill,
}

/// Why a task is being killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// By the scheduler, or since the executor or the group ends.
    Asked,
    Unhealthy,
    /// It has run for longer than its `max_completion_time`.
    Expired,
}

#[derive(Debug)]
struct Killing {
    cause: Cause,
    since: Instant,
    /// When it is ended by force; `None` once that is done.
    force_at: Option<Instant>,
}

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    info: v1::TaskInfo,
    /// Whether the framework wants to hear of TASK_KILLING.
    killing_state: bool,
    container: v1::ContainerStatus,
    running: bool,
    end: Option<TaskState>,
    expires: Option<Instant>,
    killing: Option<Killing>,
    /// It was to be killed before it was started: within this time.
    doomed: Option<Duration>,
    health: Option<Health>,
    healthy: Option<bool>,
    check: Option<v1::CheckStatusInfo>,
}

impl Task {
    /// A task that was launched just now.
    pub(crate) fn launch(
        info: v1::TaskInfo,
        killing_state: bool,
        container: v1::ContainerStatus,
        actions: &mut Vec<Action>,
    ) -> Self {
        let check = info.check.as_deref().and_then(nothing_known);
        let task = Self {
            info,
            killing_state,
            container,
            running: false,
            end: None,
            expires: None,
            killing: None,
            doomed: None,
            health: None,
            healthy: None,
            check,
        };
        actions.extend([Action::Update(task.status(TaskStarting)), Action::Start]);
        task
    }

    pub(crate) const fn info(&self) -> &v1::TaskInfo {
        &self.info
    }

    /// The state it has ended in.
    pub(crate) const fn end(&self) -> Option<TaskState> {
        self.end
    }

    /// Its process runs.
    pub(crate) fn started(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.running = true;
        let limit = self.info.max_completion_time.as_ref().map(|limit| limit.nanoseconds);
        self.expires = limit.and_then(|limit| now.checked_add(Duration::from_nanos(limit.try_into().ok()?)));
        self.health = self.info.health_check.as_deref().map(|check| Health::new(check, now));
        actions.push(Action::Update(self.status(TaskRunning)));
        if self.health.is_some() || self.check.is_some() {
            actions.push(Action::Watch);
        }
        if let Some(grace) = self.doomed {
            self.kill(grace, now, actions);
        }
    }

    /// Its process could not be started.
    pub(crate) fn not_started(&mut self, why: String, actions: &mut Vec<Action>) {
        let mut status = self.status(TaskFailed);
        status.message = Some(why);
        status.reason = Some(Reason::CommandExecutorFailed.into());
        self.end = Some(TaskFailed);
        actions.push(Action::Update(status));
    }

    /// It is to end, within this time. While it is ending already the time alone changes; it counts from the first
    /// such wish.
    pub(crate) fn kill(&mut self, grace: Duration, now: Instant, actions: &mut Vec<Action>) {
        self.kill_since(Cause::Asked, grace, now, actions);
    }

    /// How long the task may take to end: by the event's policy, else by its own.
    pub(crate) fn grace(&self, policy: Option<&v1::KillPolicy>) -> Duration {
        let policies = [policy, self.info.kill_policy.as_ref()];
        let grace = policies.into_iter().flatten().find_map(|policy| policy.grace_period.as_ref());
        grace.map_or(GRACE, |grace| Duration::from_nanos(grace.nanoseconds.try_into().unwrap_or_default()))
    }

    fn kill_since(&mut self, cause: Cause, grace: Duration, now: Instant, actions: &mut Vec<Action>) {
        if self.end.is_some() {
            return;
        }
        if !self.running {
            self.doomed = Some(grace);
            return;
        }
        if let Some(killing) = &mut self.killing {
            if killing.force_at.is_some() {
                killing.force_at = Some(killing.since.checked_add(grace).unwrap_or(now));
            }
            return;
        }
        if self.killing_state && cause != Cause::Expired {
            actions.push(Action::Update(self.status(TaskKilling)));
        }
        let force_at = now.checked_add(grace).unwrap_or(now);
        self.killing = Some(Killing { cause, since: now, force_at: Some(force_at) });
        self.expires = None;
        actions.extend([Action::Unwatch, Action::Term]);
    }

    /// Its process, and with it all others of the task, has ended.
    pub(crate) fn exited(&mut self, exit: Exit, actions: &mut Vec<Action>) {
        if self.end.is_some() {
            return;
        }
        let cause = self.killing.as_ref().map(|killing| killing.cause);
        let (state, reason) = match cause {
            Some(Cause::Expired) => (TaskFailed, Some(Reason::MaxCompletionTimeReached)),
            Some(Cause::Asked | Cause::Unhealthy) => (TaskKilled, None),
            None if exit.is_success() => (TaskFinished, None),
            None => (TaskFailed, None),
        };
        let mut status = self.status(state);
        status.message = Some(format!("Command {exit}"));
        status.reason = reason.map(Into::into);
        self.end = Some(state);
        actions.extend([Action::Unwatch, Action::Update(status)]);
    }

    /// A health check has a result.
    pub(crate) fn health(&mut self, success: bool, now: Instant, actions: &mut Vec<Action>) {
        if !self.watched() {
            return;
        }
        let Some(verdict) = self.health.as_mut().and_then(|health| health.result(success, now)) else { return };
        self.healthy = Some(verdict.healthy);
        let mut status = self.status(TaskRunning);
        status.reason = Some(Reason::TaskHealthCheckStatusUpdated.into());
        actions.push(Action::Update(status));
        if verdict.kill {
            self.kill_since(Cause::Unhealthy, self.grace(None), now, actions);
        }
    }

    /// A check has a result; only a change is told.
    pub(crate) fn check(&mut self, result: v1::CheckStatusInfo, actions: &mut Vec<Action>) {
        if !self.watched() || self.check.as_ref().is_none_or(|known| *known == result) {
            return;
        }
        self.check = Some(result);
        let mut status = self.status(TaskRunning);
        status.reason = Some(Reason::TaskCheckStatusUpdated.into());
        actions.push(Action::Update(status));
    }

    /// Whether results of checks are wanted.
    const fn watched(&self) -> bool {
        self.running && self.killing.is_none() && self.end.is_none()
    }

    /// When [`Task::timeout`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        self.killing.as_ref().map_or(self.expires, |killing| killing.force_at)
    }

    /// Time has passed.
    pub(crate) fn timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.expires.is_some_and(|at| at <= now) {
            self.kill_since(Cause::Expired, Duration::ZERO, now, actions);
        }
        let Some(killing) = self.killing.as_mut().filter(|_| self.end.is_none()) else { return };
        if killing.force_at.is_some_and(|at| at <= now) {
            killing.force_at = None;
            actions.push(Action::Kill);
        }
    }

    /// Every status says what is known of health, check and container.
    fn status(&self, state: TaskState) -> v1::TaskStatus {
        v1::TaskStatus {
            task_id: self.info.task_id.clone(),
            state: state.into(),
            healthy: self.healthy,
            check_status: self.check,
            container_status: Some(self.container.clone()),
            ..Default::default()
        }
    }
}

/// The status of a check without a result: its kind, with nothing in it. None for a check that can't have any.
pub(crate) fn nothing_known(check: &v1::CheckInfo) -> Option<v1::CheckStatusInfo> {
    use v1::check_info::Type;
    let mut status = v1::CheckStatusInfo { r#type: check.r#type, ..Default::default() };
    match check.r#type() {
        Type::Command => status.command = Some(v1::check_status_info::Command::default()),
        Type::Http => status.http = Some(v1::check_status_info::Http::default()),
        Type::Tcp => status.tcp = Some(v1::check_status_info::Tcp::default()),
        Type::Unknown => return None,
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Exit = Exit::Signal { number: 9, core: false };

    fn container() -> v1::ContainerStatus {
        v1::ContainerStatus { executor_pid: Some(42), ..Default::default() }
    }

    fn info() -> v1::TaskInfo {
        v1::TaskInfo::new("t", "t", "a1").with_command(v1::CommandInfo::new("sleep 1000"))
    }

    /// A task with a clock, and what it wants done in short words.
    struct Bench {
        task: Task,
        now: Instant,
        actions: Vec<Action>,
    }

    impl Bench {
        fn new(info: v1::TaskInfo, killing_state: bool) -> Self {
            let mut actions = Vec::new();
            let task = Task::launch(info, killing_state, container(), &mut actions);
            let mut bench = Self { task, now: Instant::now(), actions };
            assert_eq!(bench.done(), ["STARTING", "start"]);
            bench
        }

        fn running(info: v1::TaskInfo) -> Self {
            let mut bench = Self::new(info, true);
            bench.task.started(bench.now, &mut bench.actions);
            assert_eq!(bench.done()[0], "RUNNING");
            bench
        }

        fn done(&mut self) -> Vec<String> {
            let words = |action| match action {
                Action::Update(status) => {
                    assert_eq!(status.container_status, Some(container()));
                    let state = status.state().as_str_name().trim_start_matches("TASK_");
                    let reason = status.reason.map(|_| format!(" {}", status.reason().as_str_name()));
                    let healthy = status.healthy.map(|healthy| format!(" healthy={healthy}"));
                    let message = status.message.map(|message| format!(": {message}"));
                    [Some(state.to_owned()), reason, healthy, message].into_iter().flatten().collect()
                }
                other => format!("{other:?}").to_lowercase(),
            };
            self.actions.drain(..).map(words).collect()
        }

        fn exited(&mut self, exit: Exit) -> Vec<String> {
            self.task.exited(exit, &mut self.actions);
            self.done()
        }

        fn kill(&mut self, policy: Option<Duration>) -> Vec<String> {
            let policy = policy.map(policy_of);
            self.task.kill(self.task.grace(policy.as_ref()), self.now, &mut self.actions);
            self.done()
        }

        fn health(&mut self, success: bool) -> Vec<String> {
            self.task.health(success, self.now, &mut self.actions);
            self.done()
        }

        /// Lets time pass, and nothing happen before the deadline.
        fn pass(&mut self, time: Duration) -> Vec<String> {
            let before = self.task.deadline();
            self.now += time;
            self.task.timeout(self.now, &mut self.actions);
            let done = self.done();
            assert!(done.is_empty() || before.is_some_and(|at| at <= self.now), "{done:?}");
            assert!(self.task.deadline().is_none_or(|at| at > self.now), "a deadline that does nothing");
            done
        }
    }

    fn policy_of(grace: Duration) -> v1::KillPolicy {
        v1::KillPolicy { grace_period: Some(grace.into()) }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn ends_as_its_process_does() {
        for (exit, told) in [
            (Exit::Status(0), "FINISHED: Command exited with status 0"),
            (Exit::Status(7), "FAILED: Command exited with status 7"),
            (KILLED, "FAILED: Command terminated with signal Killed"),
            (Exit::Unknown, "FAILED: Command terminated with unknown status"),
        ] {
            let mut bench = Bench::running(info());
            assert_eq!(bench.exited(exit), ["unwatch", told]);
            // Nothing moves it any more.
            assert_eq!(bench.exited(Exit::Status(0)), [""; 0]);
            assert_eq!(bench.kill(None), [""; 0]);
            assert_eq!(bench.task.deadline(), None);
        }
    }

    #[test]
    fn a_process_that_does_not_start_fails() {
        let mut bench = Bench::new(info(), true);
        bench.task.not_started("no such file".into(), &mut bench.actions);
        let told = "FAILED REASON_COMMAND_EXECUTOR_FAILED: no such file";
        assert_eq!(bench.done(), [told]);
        assert_eq!(bench.task.end(), Some(TaskFailed));
    }

    #[test]
    fn is_killed_by_force_after_the_grace() {
        let mut bench = Bench::running(info());
        assert_eq!(bench.kill(None), ["KILLING", "unwatch", "term"]);
        assert_eq!(bench.pass(GRACE - MOMENT), [""; 0]);
        assert_eq!(bench.pass(MOMENT), ["kill"]);
        assert_eq!(bench.pass(SECOND * 100), [""; 0]);
        assert_eq!(bench.exited(KILLED), ["unwatch", "KILLED: Command terminated with signal Killed"]);
    }

    #[test]
    fn a_killed_task_is_killed_even_if_it_exits_well() {
        let mut bench = Bench::running(info());
        bench.kill(None);
        assert_eq!(bench.exited(Exit::Status(0)), ["unwatch", "KILLED: Command exited with status 0"]);
    }

    #[test]
    fn killing_is_told_to_those_who_know_it() {
        let mut bench = Bench::new(info(), false);
        bench.task.started(bench.now, &mut bench.actions);
        bench.done();
        assert_eq!(bench.kill(None), ["unwatch", "term"]);
    }

    #[test]
    fn policies_in_their_order() {
        let seconds = |seconds| v1::KillPolicy { grace_period: Some(Duration::from_secs(seconds).into()) };
        let own = Bench::running(info().with_kill_policy(seconds(7)));
        assert_eq!(own.task.grace(Some(&seconds(1))), SECOND);
        assert_eq!(own.task.grace(Some(&v1::KillPolicy::default())), SECOND * 7);
        assert_eq!(own.task.grace(None), SECOND * 7);
        let negative = v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds: -1 }) };
        assert_eq!(own.task.grace(Some(&negative)), Duration::ZERO);
        assert_eq!(Bench::running(info()).task.grace(None), GRACE);
    }

    #[test]
    fn a_further_kill_changes_the_time_only() {
        let mut bench = Bench::running(info());
        bench.kill(Some(SECOND * 100));
        assert_eq!(bench.pass(SECOND), [""; 0]);
        // Two seconds from the first KILL on, of which one is over.
        assert_eq!(bench.kill(Some(SECOND * 2)), [""; 0]);
        assert_eq!(bench.pass(SECOND - MOMENT), [""; 0]);
        assert_eq!(bench.pass(MOMENT), ["kill"]);
        assert_eq!(bench.kill(Some(SECOND * 2)), [""; 0]);
        assert_eq!(bench.pass(SECOND * 100), [""; 0]);
    }

    #[test]
    fn a_kill_before_the_start_is_done_after_it() {
        let mut bench = Bench::new(info(), true);
        assert_eq!(bench.kill(Some(SECOND)), [""; 0]);
        bench.task.started(bench.now, &mut bench.actions);
        assert_eq!(bench.done(), ["RUNNING", "KILLING", "unwatch", "term"]);
        assert_eq!(bench.pass(SECOND), ["kill"]);
    }

    #[test]
    fn takes_no_longer_than_it_may() {
        let mut bench = Bench::running(info().with_max_completion_time(SECOND * 10));
        assert_eq!(bench.pass(SECOND * 10 - MOMENT), [""; 0]);
        assert_eq!(bench.pass(MOMENT), ["unwatch", "term", "kill"]);
        let told = "FAILED REASON_MAX_COMPLETION_TIME_REACHED: Command terminated with signal Killed";
        assert_eq!(bench.exited(KILLED), ["unwatch", told]);
    }

    #[test]
    fn who_is_killed_in_time_does_not_take_too_long() {
        let mut bench = Bench::running(info().with_max_completion_time(SECOND));
        bench.kill(Some(SECOND * 5));
        assert_eq!(bench.pass(SECOND * 2), [""; 0]);
        assert_eq!(bench.exited(Exit::Status(0))[1], "KILLED: Command exited with status 0");
    }

    fn watched() -> Bench {
        let check = v1::HealthCheck::tcp(1).with_consecutive_failures(2).with_grace_period(Duration::ZERO);
        let mut actions = Vec::new();
        let mut task = Task::launch(info().with_health_check(check), true, container(), &mut actions);
        actions.clear();
        let now = Instant::now();
        task.started(now, &mut actions);
        let mut bench = Bench { task, now, actions };
        assert_eq!(bench.done(), ["RUNNING", "watch"]);
        bench
    }

    #[test]
    fn unhealthy_tasks_are_killed() {
        const TOLD: &str = "RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=";
        let mut bench = watched();
        assert_eq!(bench.health(true), [format!("{TOLD}true")]);
        assert_eq!(bench.health(true), [""; 0]);
        assert_eq!(bench.health(false), [format!("{TOLD}false")]);
        let killed = [format!("{TOLD}false"), "KILLING healthy=false".into(), "unwatch".into(), "term".into()];
        assert_eq!(bench.health(false), killed);
        // A late result changes nothing.
        assert_eq!(bench.health(true), [""; 0]);
        let end = "KILLED healthy=false: Command terminated with signal Killed";
        assert_eq!(bench.exited(KILLED), ["unwatch", end]);
    }

    #[test]
    fn checks_tell_changes() {
        let check = v1::CheckInfo::command(v1::CommandInfo::new("true"));
        let nothing = nothing_known(&check).unwrap();
        let mut actions = Vec::new();
        let mut task = Task::launch(info().with_check(check), true, container(), &mut actions);
        task.started(Instant::now(), &mut actions);
        let exit = |code| v1::CheckStatusInfo {
            command: Some(v1::check_status_info::Command { exit_code: Some(code) }),
            ..nothing
        };
        for result in [exit(0), exit(0), exit(1), nothing, nothing] {
            task.check(result, &mut actions);
        }
        task.exited(Exit::Status(0), &mut actions);
        task.check(exit(5), &mut actions);
        let told = actions.into_iter().filter_map(|action| match action {
            Action::Update(status) => Some((status.state(), status.check_status.unwrap())),
            _ => None,
        });
        let expected = [
            (TaskStarting, nothing),
            (TaskRunning, nothing),
            (TaskRunning, exit(0)),
            (TaskRunning, exit(1)),
            (TaskRunning, nothing),
            (TaskFinished, nothing),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
