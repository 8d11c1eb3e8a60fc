//! Executors: that nothing is lost between a task and its agent, and what else the command executor of `examples` does.

use std::time::Duration;

use conformance::v1::TaskState::*;
use conformance::v1::task_status::Reason;
use conformance::v1::{
    CheckInfo, CommandInfo, ExecutorId, ExecutorInfo, FrameworkId, HealthCheck, KillPolicy, TaskInfo, TaskStatus,
};
use conformance::{Cluster, Gate, Scheduler, task};

use crate::tasks::launch_group;

const TASKS: usize = 20;

fn names(parity: usize) -> impl Iterator<Item = String> {
    (0..TASKS).filter(move |number| number % 2 == parity).map(|number| format!("t{number}"))
}

/// Kills the agent under these tasks; those with even numbers end while it is away, one well, one badly, and so on. No
/// task is lost, every state arrives, and none twice.
async fn agent_killed(cluster: &Cluster, by: &str, prepare: impl Fn(&Scheduler, TaskInfo) -> TaskInfo) {
    let mut scheduler = Scheduler::start(cluster).await;
    let gate = Gate::new();
    let offer = scheduler.offer().await;
    let command = |number| match number % 4 {
        0 => format!("{}; exit 0", gate.passed()),
        2 => format!("{}; exit 3", gate.passed()),
        _ => "sleep 1000".to_owned(),
    };
    let tasks = (0..TASKS).map(|number| task(&offer, &format!("t{number}"), &command(number)));
    let tasks: Vec<_> = tasks.map(|task| prepare(&scheduler, task)).collect();
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
    agent_killed(cluster, "", |_, task| task).await;
}

/// S195: all tasks under one executor of the framework's own.
pub(crate) async fn many_tasks_under_one(cluster: &Cluster) {
    let program = std::env::var("REAL_MESOS_EXECUTOR").expect("REAL_MESOS_EXECUTOR is the program of `examples`");
    agent_killed(cluster, " by Some(\"ours\")", |scheduler, mut task| {
        let executor = ExecutorInfo {
            executor_id: ExecutorId { value: "ours".into() },
            framework_id: Some(FrameworkId { value: scheduler.id() }),
            command: Some(Box::new(CommandInfo::exec(program.as_str(), [""; 0]))),
            resources: task.resources.clone(),
            ..Default::default()
        };
        let line = task.command.take().and_then(|command| command.value).unwrap();
        TaskInfo { data: Some(line.into()), ..task }.with_executor(executor)
    })
    .await;
}

/// A group whose one task fails is killed.
pub(crate) async fn a_group_ends_together(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let gate = Gate::new();
    let offer = scheduler.offer().await;
    let fails = format!("{}; exit 3", gate.passed());
    let tasks = [("ends", "exit 0"), ("fails", fails.as_str()), ("goes along", "sleep 1000")];
    launch_group(&mut scheduler, &offer, tasks.map(|(id, command)| task(&offer, id, command)).into());
    scheduler.state("ends", TaskFinished).await;
    scheduler.state("goes along", TaskRunning).await;
    gate.open();
    scheduler.state("fails", TaskFailed).await;
    scheduler.state("goes along", TaskKilled).await;
    scheduler.until("the end of the executor", |seen| seen.losses().first().map(drop)).await;
    let states = |task: &str| scheduler.seen.task(task).into_iter().map(|line| line.split(' ').next().unwrap());
    assert!(states("goes along").eq(["STARTING", "RUNNING", "KILLING", "KILLED"]));
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
    let policy = KillPolicy { grace_period: Some(Duration::from_secs(1).into()) };
    scheduler.call(|calls| calls.kill("t", None, Some(policy)));
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
