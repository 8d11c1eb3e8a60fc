//! What the executor does for its tasks, as a scheduler sees it.

use std::time::Duration;

use conformance::v1::TaskState::*;
use conformance::v1::offer::{Operation, operation};
use conformance::v1::task_status::Reason;
use conformance::v1::{
    CheckInfo, CommandInfo, ExecutorId, ExecutorInfo, FrameworkId, HealthCheck, Offer, Resource, TaskGroupInfo,
    TaskInfo, TaskStatus, executor_info,
};
use conformance::{Cluster, Gate, PidFile, Scheduler, kill_policy, kill_process, process_ends, task};

use crate::EXECUTOR;

const TASKS: usize = 20;

fn names(parity: usize) -> impl Iterator<Item = String> {
    (0..TASKS).filter(move |number| number % 2 == parity).map(|number| format!("t{number}"))
}

/// Kills the agent under these tasks; those with even numbers end while it is away, one well, one badly, and so on. No
/// task is lost, every state arrives, and none twice.
async fn agent_killed(cluster: &Cluster, by: &str, prepare: impl Fn(&Scheduler, &Offer, TaskInfo) -> TaskInfo) {
    let mut scheduler = Scheduler::start(cluster).await;
    let gate = Gate::new();
    let offer = scheduler.offer().await;
    let command = |number| match number % 4 {
        0 => format!("{}; exit 0", gate.passed()),
        2 => format!("{}; exit 3", gate.passed()),
        _ => "sleep 1000".to_owned(),
    };
    let tasks = (0..TASKS).map(|number| task(&offer, &format!("t{number}"), &command(number)));
    let tasks: Vec<_> = tasks.map(|task| prepare(&scheduler, &offer, task)).collect();
    scheduler.launch(&offer, tasks);
    for name in names(0).chain(names(1)) {
        scheduler.state(&name, TaskRunning).await;
    }
    scheduler.settle().await;
    cluster.kill_agent(0).await;
    gate.open();
    scheduler.stay(Duration::from_secs(1)).await;
    cluster.restart_agent(0).await;
    for (number, name) in names(0).enumerate() {
        scheduler.state(&name, if number % 2 == 0 { TaskFinished } else { TaskFailed }).await;
    }
    for name in names(1) {
        scheduler.call(|calls| calls.kill(name.as_str(), None, None));
    }
    for name in names(1) {
        scheduler.state(&name, TaskKilled).await;
    }
    for number in 0..TASKS {
        // An agent that is back repeats what hasn't been acknowledged: the same update, twice.
        let mut lines = scheduler.seen.task(&format!("t{number}"));
        lines.dedup();
        let end: &[&str] = match number % 4 {
            0 => &["FINISHED EXECUTOR u3"],
            2 => &["FAILED EXECUTOR u3"],
            _ => &["KILLING EXECUTOR u3", "KILLED EXECUTOR u4"],
        };
        let all = ["STARTING EXECUTOR u1", "RUNNING EXECUTOR u2"].iter().chain(end);
        let all: Vec<_> = all.map(|line| format!("{line} on a1{by}")).collect();
        assert_eq!(lines, all, "t{number}");
    }
}

/// S195: each task with its command executor.
pub(crate) async fn agent_killed_under_twenty_tasks(cluster: &Cluster) {
    agent_killed(cluster, "", |_, _, task| task).await;
}

/// An executor of the framework's own, which is the same program.
fn custom(scheduler: &Scheduler, offer: &Offer) -> ExecutorInfo {
    let mut resources = task(offer, "", "").resources;
    resources.push(Resource { name: "disk".into(), ..resources[1].clone() });
    ExecutorInfo {
        executor_id: ExecutorId { value: "ours".into() },
        r#type: Some(executor_info::Type::Custom.into()),
        framework_id: Some(FrameworkId { value: scheduler.id() }),
        command: Some(Box::new(CommandInfo::exec(EXECUTOR, [""; 0]))),
        resources,
        ..Default::default()
    }
}

/// S195: all tasks under one executor.
pub(crate) async fn agent_killed_under_many_tasks_of_one(cluster: &Cluster) {
    agent_killed(cluster, " by Some(\"ours\")", |scheduler, offer, mut task| {
        let line = task.command.take().and_then(|command| command.value).unwrap();
        TaskInfo { data: Some(line.into()), ..task }.with_executor(custom(scheduler, offer))
    })
    .await;
}

/// A group of which one task ends well, and one badly: the others are killed.
async fn group_ends(mut scheduler: Scheduler, offer: Offer, executor: ExecutorInfo) {
    let gate = Gate::new();
    let fails = format!("{}; exit 3", gate.passed());
    let tasks = [("ends", "exit 0"), ("fails", fails.as_str()), ("goes along", "sleep 1000")];
    let tasks = tasks.map(|(id, command)| task(&offer, id, command)).into();
    let group = operation::LaunchGroup { executor, task_group: TaskGroupInfo { tasks } };
    let launch = Operation {
        r#type: Some(operation::Type::LaunchGroup.into()),
        launch_group: Some(Box::new(group)),
        ..Default::default()
    };
    scheduler.call(|calls| calls.accept([&offer.id.value], [launch], None));
    scheduler.state("ends", TaskFinished).await;
    scheduler.state("goes along", TaskRunning).await;
    gate.open();
    scheduler.state("fails", TaskFailed).await;
    scheduler.state("goes along", TaskKilled).await;
    scheduler.until("the end of the executor", |seen| seen.losses().first().map(drop)).await;
    assert_eq!(scheduler.seen.losses(), ["executor lost on a1 status 0"]);
    let states = |task: &str| scheduler.seen.task(task).into_iter().map(|line| line.split(' ').next().unwrap());
    assert!(states("goes along").eq(["STARTING", "RUNNING", "KILLING", "KILLED"]));
}

pub(crate) async fn a_group_ends_together(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    let executor = custom(&scheduler, &offer);
    group_ends(scheduler, offer, executor).await;
}

/// In the place of `mesos-default-executor`.
pub(crate) async fn a_group_of_the_default_executor(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    let executor =
        ExecutorInfo { r#type: Some(executor_info::Type::Default.into()), command: None, ..custom(&scheduler, &offer) };
    group_ends(scheduler, offer, executor).await;
}

fn statuses(scheduler: &Scheduler) -> Vec<TaskStatus> {
    scheduler.seen.updates.iter().map(|update| update.to_owned()).collect()
}

/// A task that isn't healthy any more is killed.
pub(crate) async fn unhealthy(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let gate = Gate::new();
    let offer = scheduler.offer().await;
    let healthy = CommandInfo::new(format!("! ({})", gate.passed().replace("sleep 0.05", "exit 1")));
    let check = HealthCheck::command(healthy)
        .with_delay(Duration::ZERO)
        .with_interval(Duration::from_millis(100))
        .with_consecutive_failures(2);
    scheduler.launch(&offer, [task(&offer, "t", "sleep 1000").with_health_check(check)]);
    scheduler.lines("t", 3).await;
    gate.open();
    scheduler.state("t", TaskKilled).await;
    let changed = Some(Reason::TaskHealthCheckStatusUpdated);
    let seen = statuses(&scheduler);
    let seen: Vec<_> = seen.iter().map(|s| (s.state(), s.healthy, s.reason.map(|_| s.reason()))).collect();
    let expected = [
        (TaskStarting, None, None),
        (TaskRunning, None, None),
        (TaskRunning, Some(true), changed),
        (TaskRunning, Some(false), changed),
        (TaskRunning, Some(false), changed),
        (TaskKilling, Some(false), None),
        (TaskKilled, Some(false), None),
    ];
    assert_eq!(seen, expected);
}

/// A check's results are told when they change, and don't matter to the task.
pub(crate) async fn checked(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a port").port();
    let offer = scheduler.offer().await;
    let check = CheckInfo::tcp(port).with_delay(Duration::ZERO).with_interval(Duration::from_millis(100));
    scheduler.launch(&offer, [task(&offer, "t", "sleep 1000").with_check(check)]);
    scheduler.lines("t", 3).await;
    drop(listener);
    scheduler.lines("t", 4).await;
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let seen = statuses(&scheduler);
    let seen: Vec<_> = seen.iter().map(|s| (s.state(), s.check_status.unwrap().tcp.unwrap().succeeded)).collect();
    assert_eq!(
        seen[..4],
        [(TaskStarting, None), (TaskRunning, None), (TaskRunning, Some(true)), (TaskRunning, Some(false))]
    );
}

/// `max_completion_time`
pub(crate) async fn takes_too_long(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    let task = task(&offer, "t", "sleep 1000").with_max_completion_time(Duration::from_millis(500));
    scheduler.launch(&offer, [task]);
    scheduler.state("t", TaskFailed).await;
    let end = statuses(&scheduler).pop().unwrap();
    assert_eq!(end.reason(), Reason::MaxCompletionTimeReached);
    assert!(end.message().starts_with("Command terminated with signal "), "{end:?}");
}

/// A task that doesn't hear TERM, and what it has started, are gone after the grace.
pub(crate) async fn killed_by_force(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let pid = PidFile::new();
    let child = format!("(trap '' TERM; exec sh -c '{}; while :; do sleep 0.1; done')&", pid.written());
    scheduler.run("t", &format!("trap '' TERM; {child} while :; do sleep 0.1; done")).await;
    let child = pid.read().await;
    let began = tokio::time::Instant::now();
    scheduler.call(|calls| calls.kill("t", None, Some(kill_policy(Duration::from_millis(700)))));
    scheduler.state("t", TaskKilled).await;
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    process_ends(child).await;
    let end = statuses(&scheduler).pop().unwrap();
    assert_eq!(end.message(), "Command terminated with signal Killed");
}

/// S197: SHUTDOWN ends the tasks within the grace, deaf ones too.
pub(crate) async fn torn_down(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let (deaf, polite) = (PidFile::new(), PidFile::new());
    scheduler.run("deaf", &format!("trap '' TERM; {}; while :; do sleep 0.1; done", deaf.written())).await;
    scheduler.run("polite", &format!("{}; exec sleep 1000", polite.written())).await;
    let pids = [deaf.read().await, polite.read().await];
    scheduler.with(|client| client.teardown());
    assert_eq!(scheduler.end().await, "removed");
    for pid in pids {
        process_ends(pid).await;
    }
}

/// A task's output is in files of its sandbox; what it has left behind ends with it.
pub(crate) async fn has_its_sandbox(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let pid = PidFile::new();
    let leaves = format!("sh -c '{}; : > ready; exec sleep 1000' &", pid.written());
    let leaves = format!("{leaves} until test -e ready; do sleep 0.02; done");
    scheduler.run("t", &format!("echo out; echo err >&2; {leaves}; grep -q out stdout && grep -q err stderr")).await;
    scheduler.state("t", TaskFinished).await;
    process_ends(pid.read().await).await;
}

/// S197: an executor that is killed takes its task with it, and what the task has started.
pub(crate) async fn killed_with_its_task(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let (task, parent) = (PidFile::new(), PidFile::new());
    let executor = parent.written().replace("$$", "$PPID");
    scheduler.run("t", &format!("({executor}); {}; sleep 1000; exit 0", task.written())).await;
    let (task, executor) = (task.read().await, parent.read().await);
    kill_process(executor);
    scheduler.state("t", TaskFailed).await;
    process_ends(task).await;
}

/// The token that the agent wants is the executor's, and not the task's.
pub(crate) async fn keeps_its_token(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "test -z \"$MESOS_EXECUTOR_AUTHENTICATION_TOKEN\"").await;
    scheduler.state("t", TaskFinished).await;
}
