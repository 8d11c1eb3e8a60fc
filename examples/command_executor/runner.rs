//! Does what the book of tasks wants done: starts and signals processes, performs checks, and collects updates.

use std::collections::BTreeMap;
use std::time::Instant;

use mesos_tokio::mesos_core::v1;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::checks::{BadCheck, Plan, check_status};
use crate::command::Place;
use crate::exit::Exit;
use crate::probe::Outcome;
use crate::process::Process;
use crate::say;
use crate::task::Action;

/// Runs tasks.
#[derive(Debug)]
pub(crate) struct Runner {
    book: Book,
    /// The executor's id: a command task's executor has that of its task.
    executor_id: String,
    place: Place,
    running: BTreeMap<String, Running>,
    news: mpsc::Receiver<News>,
    telling: mpsc::Sender<News>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    place: Place,
    /// They end when this is dropped.
    checks: JoinSet<()>,
}

/// What a process or a check has to say of a task.
#[derive(Debug)]
enum News {
    Exited(String, Exit),
    Health(String, Outcome),
    Check(String, Outcome),
}

/// Why a task doesn't run.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error("Failed to create checker: {0}")]
    Check(BadCheck),
    #[error("Failed to create health checker: {0}")]
    HealthCheck(BadCheck),
    #[error("Failed to execute command: {0}")]
    Command(#[from] crate::command::BadCommand),
}

/// Each process has one thing to say, and each check one at a time: they can wait for each other.
const NEWS: usize = 64;

impl Runner {
    pub(crate) fn new(executor_id: impl Into<String>, place: Place) -> Self {
        let (telling, news) = mpsc::channel(NEWS);
        let book = Book::default();
        Self { book, executor_id: executor_id.into(), place, running: BTreeMap::new(), news, telling }
    }

    /// Tells the book something; what is to be done for it follows with [`Runner::updates`].
    pub(crate) const fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Does what is to be done, and hands back what is to be sent.
    pub(crate) fn updates(&mut self) -> Vec<v1::TaskStatus> {
        let mut updates = Vec::new();
        while let Some((id, action)) = self.book.next_action() {
            match action {
                Action::Update(status) => {
                    say(&format_args!("task {id}: {}{}", status.state().as_str_name(), message(&status)));
                    updates.push(status);
                }
                Action::Start => match self.start(&id) {
                    Ok(()) => self.book.started(&id, Instant::now()),
                    Err(why) => self.book.not_started(&id, why.to_string(), Instant::now()),
                },
                Action::Watch => self.watch(&id),
                Action::Unwatch => {
                    if let Some(running) = self.running.get_mut(&id) {
                        running.checks.abort_all();
                    }
                }
                Action::Term => self.signal(&id, Signal::TERM),
                Action::Kill => self.signal(&id, Signal::KILL),
            }
        }
        updates
    }

    fn start(&mut self, id: &str) -> Result<(), NotStarted> {
        let Some(task) = self.book.task(id) else { return Ok(()) };
        plans(task)?;
        let (place, mut command) = self.place.task(task, self.executor_id == id)?;
        let (telling, name) = (self.telling.clone(), id.to_owned());
        let ended = move |exit| {
            // Without anybody who listens the executor is ending.
            let _ = telling.blocking_send(News::Exited(name, exit));
        };
        let process = Process::start(&mut command, ended).map_err(crate::command::BadCommand::from)?;
        say(&format_args!("task {id}: process {process}"));
        self.running.insert(id.to_owned(), Running { process, place, checks: JoinSet::new() });
        Ok(())
    }

    fn watch(&mut self, id: &str) {
        let (Some(task), Some(running)) = (self.book.task(id), self.running.get_mut(id)) else { return };
        let Ok((health, check)) = plans(task) else { return };
        let plans = [(health, News::Health as fn(_, _) -> _), (check, News::Check)];
        for (plan, news) in plans.into_iter().filter_map(|(plan, news)| Some((plan?, news))) {
            let id = id.to_owned();
            let following =
                plan.follow(running.place.clone(), self.telling.clone(), move |outcome| news(id.clone(), outcome));
            running.checks.spawn(following);
        }
    }

    fn signal(&self, id: &str, signal: Signal) {
        if let Some(running) = self.running.get(id) {
            say(&format_args!("task {id}: signal {} for its processes", signal.as_raw()));
            running.process.signal(signal);
        }
    }

    /// Waits until there is something to take in, or something is due, and does so. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        let deadline = self.book.deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let news = tokio::select! {
            news = self.news.recv() => news,
            () = due => None,
        };
        let now = Instant::now();
        match news {
            Some(News::Exited(id, exit)) => {
                self.running.remove(&id);
                self.book.exited(&id, exit, now);
            }
            Some(News::Health(id, outcome)) => {
                if !outcome.is_healthy() {
                    say(&format_args!("task {id}: health check: {outcome:?}"));
                }
                self.book.health(&id, outcome.is_healthy(), now);
            }
            Some(News::Check(id, outcome)) => {
                if let Outcome::Failed(why) = &outcome {
                    say(&format_args!("task {id}: check: {why}"));
                }
                let check = self.book.task(&id).and_then(|task| task.check.as_deref());
                if let Some(status) = check.and_then(|check| check_status(check, &outcome)) {
                    self.book.check(&id, status, now);
                }
            }
            None => self.book.timeout(now),
        }
    }
}

/// Ends all processes at once.
impl Drop for Runner {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.process.signal(Signal::KILL);
        }
    }
}

/// Of a task's health check and of its check.
fn plans(task: &v1::TaskInfo) -> Result<(Option<Plan>, Option<Plan>), NotStarted> {
    let health = task.health_check.as_deref().map(Plan::of_health).transpose().map_err(NotStarted::HealthCheck)?;
    let check = task.check.as_deref().map(Plan::of_check).transpose().map_err(NotStarted::Check)?;
    Ok((health, check))
}

fn message(status: &v1::TaskStatus) -> String {
    status.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use mesos_tokio::mesos_core::v1::{CheckInfo, CommandInfo, HealthCheck, TaskInfo};

    const LIMIT: Duration = Duration::from_secs(30);

    struct Bench {
        runner: Runner,
        seen: Vec<v1::TaskStatus>,
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let runner = Runner::new("executor", Place::new(folder.path(), [""; 0]));
            Self { runner, seen: Vec::new(), folder }
        }

        fn launch(&mut self, info: TaskInfo) {
            self.runner.book().launch(info, Instant::now());
        }

        /// Goes on until this is so.
        async fn until(&mut self, what: &str, found: impl Fn(&Self) -> bool) {
            let going = async {
                loop {
                    let updates = self.runner.updates();
                    self.seen.extend(updates);
                    if found(self) {
                        return;
                    }
                    self.runner.wait().await;
                }
            };
            tokio::time::timeout(LIMIT, going).await.unwrap_or_else(|_| panic!("{what} hasn't come"));
        }

        async fn done(&mut self) {
            self.until("the end", |bench| bench.runner.book.is_done()).await;
        }

        /// A task's states, messages and what its checks say.
        fn told(&self, id: &str) -> Vec<String> {
            let own = self.seen.iter().filter(|status| status.task_id.value == id);
            let words = |status: &v1::TaskStatus| {
                let mut words = status.state().as_str_name().trim_start_matches("TASK_").to_owned();
                if let Some(healthy) = status.healthy {
                    words += if healthy { " healthy" } else { " unhealthy" };
                }
                if let Some(code) = status.check_status.and_then(|check| check.command?.exit_code) {
                    words += &format!(" check {code}");
                }
                words + &message(status)
            };
            own.map(words).collect()
        }

        fn read(&self, file: &str) -> String {
            std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
        }
    }

    fn task(id: &str, line: &str) -> TaskInfo {
        TaskInfo::new(id, id, "a1").with_command(CommandInfo::new(line))
    }

    #[tokio::test]
    async fn tasks_run_and_end() {
        let mut bench = Bench::new();
        bench.launch(task("well", "echo done"));
        bench.launch(task("ill", "echo oh >&2; exit 3"));
        bench.launch(TaskInfo::new("none", "none", "a1"));
        bench.launch(TaskInfo::new("odd", "odd", "a1").with_command(CommandInfo::exec("/no/such", [""; 0])));
        bench.done().await;
        assert_eq!(bench.told("well"), ["STARTING", "RUNNING", "FINISHED (Command exited with status 0)"]);
        assert_eq!(bench.told("ill"), ["STARTING", "RUNNING", "FAILED (Command exited with status 3)"]);
        assert_eq!(bench.told("none")[1], "FAILED (Failed to execute command: the task has no command)");
        assert!(
            bench.told("odd")[1].starts_with("FAILED (Failed to execute command: No such file"),
            "{:?}",
            bench.seen
        );
        assert_eq!((bench.read("tasks/well/stdout"), bench.read("tasks/ill/stderr")), ("done\n".into(), "oh\n".into()));
    }

    #[tokio::test]
    async fn deaf_tasks_are_ended_by_force() {
        let mut bench = Bench::new();
        bench.launch(task("deaf", "trap '' TERM; echo > ready; while :; do sleep 0.05; done"));
        let ready = bench.folder.path().join("tasks/deaf/ready");
        bench.until("RUNNING", |bench| bench.seen.len() == 2).await;
        while !ready.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let policy = v1::KillPolicy { grace_period: Some(Duration::from_millis(300).into()) };
        let began = Instant::now();
        bench.runner.book().kill("deaf", Some(&policy), began);
        bench.done().await;
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert_eq!(bench.told("deaf")[2..], ["KILLED (Command terminated with signal Killed)"]);
    }

    #[tokio::test]
    async fn an_unhealthy_task_is_killed_and_its_group_with_it() {
        let mut check = HealthCheck::command(CommandInfo::new("test ! -e ill"));
        (check.delay_seconds, check.interval_seconds) = (Some(0.0), Some(0.05));
        let check = check.with_consecutive_failures(2);
        let mut bench = Bench::new();
        let ill = task("ill", "sleep 0.5; echo > ill; exec sleep 1000").with_health_check(check);
        bench.runner.book().launch_group(vec![ill, task("other", "exec sleep 1000")], Instant::now());
        bench.done().await;
        let told = [
            "STARTING",
            "RUNNING",
            "RUNNING healthy",
            "RUNNING unhealthy",
            "RUNNING unhealthy",
            "KILLED unhealthy (Command terminated with signal Terminated)",
        ];
        assert_eq!(bench.told("ill"), told);
        assert_eq!(bench.told("other")[2..], ["KILLED (Command terminated with signal Terminated)"]);
    }

    #[tokio::test]
    async fn checks_are_reported() {
        let mut check = CheckInfo::command(CommandInfo::new("exit $(cat code)"));
        (check.delay_seconds, check.interval_seconds) = (Some(0.0), Some(0.05));
        let mut bench = Bench::new();
        bench.launch(task("t", "exec sleep 1000").with_check(check));
        let code = bench.folder.path().join("tasks/t/code");
        std::fs::create_dir_all(code.parent().unwrap()).unwrap();
        std::fs::write(&code, "0").unwrap();
        bench.until("the first result", |bench| bench.seen.len() == 3).await;
        std::fs::write(&code, "4").unwrap();
        bench.until("a change", |bench| bench.told("t").last().unwrap().ends_with("check 4")).await;
        let told = bench.told("t");
        assert_eq!(told[..3], ["STARTING", "RUNNING", "RUNNING check 0"]);
        bench.runner.book().shutdown(Duration::from_secs(5), Instant::now());
        bench.done().await;
    }

    #[tokio::test]
    async fn a_check_that_makes_no_sense_fails_its_task() {
        let mut bench = Bench::new();
        bench.launch(task("t", "true").with_health_check(HealthCheck::default()));
        bench.launch(task("u", "true").with_check(CheckInfo::default()));
        bench.done().await;
        assert_eq!(bench.told("t")[1], "FAILED (Failed to create health checker: a check of unknown type)");
        assert_eq!(bench.told("u")[1], "FAILED (Failed to create checker: a check of unknown type)");
    }

    #[tokio::test]
    async fn it_may_not_take_too_long() {
        let mut bench = Bench::new();
        bench.launch(task("t", "exec sleep 1000").with_max_completion_time(Duration::from_millis(200)));
        bench.done().await;
        assert_eq!(bench.seen[2].reason(), v1::task_status::Reason::MaxCompletionTimeReached);
        assert_eq!(bench.seen[2].state(), v1::TaskState::TaskFailed);
    }
}
