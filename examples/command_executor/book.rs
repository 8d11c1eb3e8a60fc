//! All tasks of the executor, those of groups with their common fate: as a state machine without processes, clocks and
//! connections.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mesos_tokio::mesos_core::v1;
use v1::TaskState::{TaskFailed, TaskKilled};

use crate::exit::Exit;
use crate::task::{Action, Task};

/// The tasks that haven't ended.
#[derive(Debug, Default)]
pub(crate) struct Book {
    tasks: BTreeMap<String, Entry>,
    actions: VecDeque<(String, Action)>,
    killing_state: bool,
    container: v1::ContainerStatus,
    groups: u64,
    launched: bool,
    /// No later than this is any task ended by force.
    leaving: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    task: Task,
    group: Option<u64>,
}

impl Book {
    /// What the subscription says; it may say it again.
    pub(crate) fn subscribed(&mut self, framework: &v1::FrameworkInfo, container: v1::ContainerStatus) {
        use v1::framework_info::capability::Type;
        self.killing_state = framework.capabilities.iter().any(|c| c.r#type() == Type::TaskKillingState);
        self.container = container;
    }

    /// LAUNCH. A task that is known already is not launched twice.
    pub(crate) fn launch(&mut self, info: v1::TaskInfo, now: Instant) {
        self.add(info, None, now);
    }

    /// LAUNCH_GROUP: if one fails or is killed, the others are killed.
    pub(crate) fn launch_group(&mut self, infos: Vec<v1::TaskInfo>, now: Instant) {
        self.groups += 1;
        for info in infos {
            self.add(info, Some(self.groups), now);
        }
    }

    fn add(&mut self, info: v1::TaskInfo, group: Option<u64>, now: Instant) {
        self.launched = true;
        let id = info.task_id.value.clone();
        if self.tasks.contains_key(&id) {
            return;
        }
        let mut actions = Vec::new();
        let task = Task::launch(info, self.killing_state, self.container.clone(), &mut actions);
        self.tasks.insert(id.clone(), Entry { task, group });
        self.settle(&id, actions, now);
        if self.leaving.is_some() {
            self.end(&id, None, now);
        }
    }

    /// What is to be done next; do it before anything else is told to the book.
    pub(crate) fn next_action(&mut self) -> Option<(String, Action)> {
        self.actions.pop_front()
    }

    /// What a task is to be.
    pub(crate) fn task(&self, id: &str) -> Option<&v1::TaskInfo> {
        self.tasks.get(id).map(|entry| entry.task.info())
    }

    /// Whether the executor has done all it is there for.
    pub(crate) fn is_done(&self) -> bool {
        self.tasks.is_empty() && self.actions.is_empty() && (self.launched || self.leaving.is_some())
    }

    fn with(&mut self, id: &str, now: Instant, act: impl FnOnce(&mut Task, &mut Vec<Action>)) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        let mut actions = Vec::new();
        act(&mut entry.task, &mut actions);
        self.settle(id, actions, now);
    }

    /// Queues a task's actions, and lets its group share its end.
    fn settle(&mut self, id: &str, actions: Vec<Action>, now: Instant) {
        self.actions.extend(actions.into_iter().map(|action| (id.to_owned(), action)));
        let Some(state) = self.tasks.get(id).and_then(|entry| entry.task.end()) else { return };
        let group = self.tasks.remove(id).and_then(|entry| entry.group);
        if group.is_none() || !matches!(state, TaskFailed | TaskKilled) {
            return;
        }
        let others = self.tasks.iter().filter(|(_, entry)| entry.group == group).map(|(id, _)| id.clone());
        for other in others.collect::<Vec<_>>() {
            self.end(&other, None, now);
        }
    }

    /// The process of a task runs.
    pub(crate) fn started(&mut self, id: &str, now: Instant) {
        self.with(id, now, |task, actions| task.started(now, actions));
    }

    /// The process of a task could not be started.
    pub(crate) fn not_started(&mut self, id: &str, why: String, now: Instant) {
        self.with(id, now, |task, actions| task.not_started(why, actions));
    }

    /// KILL; of an unknown task nothing is said.
    pub(crate) fn kill(&mut self, id: &str, policy: Option<&v1::KillPolicy>, now: Instant) {
        self.end(id, policy, now);
    }

    fn end(&mut self, id: &str, policy: Option<&v1::KillPolicy>, now: Instant) {
        let left = self.leaving.map(|leaving| leaving.saturating_duration_since(now));
        self.with(id, now, |task, actions| {
            let grace = task.grace(policy);
            task.kill(left.map_or(grace, |left| left.min(grace)), now, actions);
        });
    }

    /// The processes of a task have ended.
    pub(crate) fn exited(&mut self, id: &str, exit: Exit, now: Instant) {
        self.with(id, now, |task, actions| task.exited(exit, actions));
    }

    /// A health check has a result.
    pub(crate) fn health(&mut self, id: &str, success: bool, now: Instant) {
        self.with(id, now, |task, actions| task.health(success, now, actions));
    }

    /// A check has a result.
    pub(crate) fn check(&mut self, id: &str, result: v1::CheckStatusInfo, now: Instant) {
        self.with(id, now, |task, actions| task.check(result, actions));
    }

    /// The executor ends within this time: all tasks are killed, early enough for their last words to be heard.
    pub(crate) fn shutdown(&mut self, within: Duration, now: Instant) {
        let last_words = Duration::from_secs(1).min(within / 2);
        let leaving = now.checked_add(within - last_words).unwrap_or(now);
        self.leaving = Some(self.leaving.map_or(leaving, |before| before.min(leaving)));
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.end(&id, None, now);
        }
    }

    /// When [`Book::timeout`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.tasks.values().filter_map(|entry| entry.task.deadline()).min()
    }

    /// Time has passed.
    pub(crate) fn timeout(&mut self, now: Instant) {
        let due = self.tasks.iter().filter(|(_, entry)| entry.task.deadline().is_some_and(|at| at <= now));
        for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.with(&id, now, |task, actions| task.timeout(now, actions));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesos_tokio::mesos_core::v1::{CommandInfo, TaskInfo, framework_info};

    const SECOND: Duration = Duration::from_secs(1);

    fn info(id: &str) -> TaskInfo {
        TaskInfo::new(id, id, "a1").with_command(CommandInfo::new("sleep 1000"))
    }

    /// A book with a clock, whose processes start, unless their name begins with a `-`.
    struct Bench {
        book: Book,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let mut book = Book::default();
            let killing =
                framework_info::Capability { r#type: Some(framework_info::capability::Type::TaskKillingState.into()) };
            let framework = v1::FrameworkInfo { capabilities: vec![killing], ..Default::default() };
            book.subscribed(&framework, v1::ContainerStatus::default());
            assert!(!book.is_done(), "it waits for its first task");
            Self { book, now: Instant::now() }
        }

        fn done(&mut self) -> Vec<String> {
            let mut words = Vec::new();
            while let Some((id, action)) = self.book.next_action() {
                match action {
                    Action::Update(status) => {
                        words.push(format!("{id} {}", status.state().as_str_name().trim_start_matches("TASK_")));
                    }
                    Action::Start if id.starts_with('-') => self.book.not_started(&id, "so it is".into(), self.now),
                    Action::Start => self.book.started(&id, self.now),
                    Action::Unwatch => {}
                    other => words.push(format!("{id} {}", format!("{other:?}").to_lowercase())),
                }
            }
            words
        }

        fn launched(&mut self, ids: &[&str]) -> Vec<String> {
            self.book.launch_group(ids.iter().map(|id| info(id)).collect(), self.now);
            self.done()
        }

        fn exited(&mut self, id: &str, status: i32) -> Vec<String> {
            self.book.exited(id, Exit::Status(status), self.now);
            self.done()
        }
    }

    #[test]
    fn tasks_on_their_own_leave_each_other_alone() {
        let mut bench = Bench::new();
        bench.book.launch(info("a"), bench.now);
        bench.book.launch(info("b"), bench.now);
        // An agent that came back might repeat it.
        bench.book.launch(info("a"), bench.now);
        assert_eq!(bench.done(), ["a STARTING", "b STARTING", "a RUNNING", "b RUNNING"]);
        assert_eq!(bench.exited("a", 1), ["a FAILED"]);
        assert_eq!(bench.book.tasks.len(), 1);
        assert!(!bench.book.is_done());
        assert_eq!(bench.exited("b", 0), ["b FINISHED"]);
        assert!(bench.book.is_done());
    }

    #[test]
    fn it_is_done_when_all_is_said() {
        let mut bench = Bench::new();
        bench.launched(&["a"]);
        bench.book.exited("a", Exit::Status(0), bench.now);
        assert!(!bench.book.is_done(), "the end isn't told yet");
        bench.done();
        assert!(bench.book.is_done());
    }

    #[test]
    fn a_group_shares_a_bad_end() {
        let mut bench = Bench::new();
        bench.launched(&["a", "b", "c", "d"]);
        bench.book.launch(info("other"), bench.now);
        bench.done();
        assert_eq!(bench.exited("a", 0), ["a FINISHED"]);
        assert_eq!(bench.exited("b", 1), ["b FAILED", "c KILLING", "c term", "d KILLING", "d term"]);
        // The end of those who are killed for it has no more to say.
        assert_eq!(bench.exited("c", 0), ["c KILLED"]);
        assert_eq!(bench.exited("d", 0), ["d KILLED"]);
        assert_eq!(bench.book.tasks.len(), 1, "the other group isn't concerned");
    }

    #[test]
    fn killing_one_of_a_group_kills_the_others() {
        let mut bench = Bench::new();
        bench.launched(&["a", "b"]);
        bench.book.kill("a", None, bench.now);
        assert_eq!(bench.done(), ["a KILLING", "a term"]);
        assert_eq!(bench.exited("a", 0), ["a KILLED", "b KILLING", "b term"]);
    }

    #[test]
    fn a_group_does_not_live_without_one_that_does_not_start() {
        let mut bench = Bench::new();
        let told = bench.launched(&["a", "-b", "c"]);
        assert_eq!(told[3..6], ["a RUNNING", "-b FAILED", "a KILLING"]);
        assert!(told.contains(&"c RUNNING".into()) && told.contains(&"c term".into()), "{told:?}");
    }

    #[test]
    fn unknown_tasks_are_no_matter() {
        let mut bench = Bench::new();
        bench.book.kill("nobody", None, bench.now);
        bench.book.exited("nobody", Exit::Status(0), bench.now);
        bench.book.health("nobody", true, bench.now);
        assert_eq!(bench.done(), [""; 0]);
        assert!(!bench.book.is_done());
    }

    // S197
    #[test]
    fn shutdown_leaves_time_for_last_words() {
        let mut bench = Bench::new();
        let patient = v1::KillPolicy { grace_period: Some((SECOND * 60).into()) };
        bench.book.launch(info("a").with_kill_policy(patient), bench.now);
        bench.book.launch(info("b"), bench.now);
        bench.done();
        bench.book.shutdown(SECOND * 5, bench.now);
        assert_eq!(bench.done(), ["a KILLING", "a term", "b KILLING", "b term"]);
        assert_eq!(bench.book.deadline(), Some(bench.now + SECOND * 3));
        bench.now += SECOND * 3;
        bench.book.timeout(bench.now);
        assert_eq!(bench.done(), ["b kill"]);
        assert_eq!(bench.book.deadline(), Some(bench.now + SECOND));
        bench.now += SECOND;
        bench.book.timeout(bench.now);
        assert_eq!(bench.done(), ["a kill"]);
        bench.exited("a", 0);
        bench.exited("b", 0);
        assert!(bench.book.is_done());
    }

    #[test]
    fn shutdown_may_come_first_and_ends_what_comes_later() {
        let mut bench = Bench::new();
        bench.book.shutdown(SECOND, bench.now);
        assert!(bench.book.is_done());
        assert_eq!(bench.launched(&["late"]), ["late STARTING", "late RUNNING", "late KILLING", "late term"]);
        assert_eq!(bench.book.deadline(), Some(bench.now + SECOND / 2));
    }
}
