//! Tasks: from launch to end, and what is said about them.

use std::time::Duration;

use conformance::v1::TaskState::*;
use conformance::v1::framework_info::capability::Type as Capability;
use conformance::v1::offer::{Operation, operation};
use conformance::v1::{Environment, ExecutorId, ExecutorInfo, FrameworkId, Resource, TaskGroupInfo};
use conformance::v1::{environment, executor_info};
use conformance::{Cluster, PidFile, Scheduler, kill_policy, process_ends, task, without};

/// S45, S51: a task's life, each update acknowledged before the next one comes.
pub(crate) async fn runs_and_finishes(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "exit 0").await;
    scheduler.state("t", TaskFinished).await;
    let seen = ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", "FINISHED EXECUTOR u3 on a1"];
    assert_eq!(scheduler.seen.task("t"), seen);
}

pub(crate) async fn runs_and_fails(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "exit 7").await;
    scheduler.state("t", TaskFailed).await;
    let seen = ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", "FAILED EXECUTOR u3 on a1"];
    assert_eq!(scheduler.seen.task("t"), seen);
    assert!(scheduler.seen.updates.last().unwrap().message().unwrap().contains("exited with status 7"));
}

/// S49: KILL, with the states that TASK_KILLING_STATE asks for; twice makes no difference.
pub(crate) async fn is_killed(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    scheduler.call(|calls| calls.kill("t", Some(&offer.agent_id.value), None));
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let seen = [
        "STARTING EXECUTOR u1 on a1",
        "RUNNING EXECUTOR u2 on a1",
        "KILLING EXECUTOR u3 on a1",
        "KILLED EXECUTOR u4 on a1",
    ];
    assert_eq!(scheduler.seen.task("t"), seen);
}

/// A task that doesn't hear TERM is ended by force after the grace.
pub(crate) async fn is_killed_by_force(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let pid = PidFile::new();
    scheduler.run("t", &format!("trap '' TERM; {}; while :; do sleep 0.1; done", pid.written())).await;
    let process = pid.read().await;
    let began = tokio::time::Instant::now();
    scheduler.call(|calls| calls.kill("t", None, Some(kill_policy(Duration::from_millis(700)))));
    scheduler.state("t", TaskKilled).await;
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    process_ends(process).await;
}

/// KILL right behind ACCEPT ends a task that no executor has heard of.
pub(crate) async fn is_killed_before_it_runs(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task(&offer, "t", "sleep 1000")]);
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let seen = ["KILLED AGENT TASK_KILLED_DURING_LAUNCH u1 on a1: Killed before delivery to the executor"];
    assert_eq!(scheduler.seen.task("t"), seen);
}

/// Without TASK_KILLING_STATE there is only the end.
pub(crate) async fn is_killed_unawares(cluster: &Cluster) {
    let config = cluster.config(without(Capability::TaskKillingState));
    let mut scheduler = Scheduler::subscribed(cluster, config).await;
    scheduler.run("t", "sleep 1000").await;
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let seen = ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", "KILLED EXECUTOR u3 on a1"];
    assert_eq!(scheduler.seen.task("t"), seen);
}

/// KILL with the wrong agent does nothing, and says nothing.
pub(crate) async fn is_not_killed_elsewhere(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "sleep 1000").await;
    scheduler.accepted(|calls| calls.kill("t", Some("elsewhere"), None)).await;
    // Had it been killed, the agent would have said so before this is through.
    scheduler.run("other", "exit 0").await;
    scheduler.state("other", TaskFinished).await;
    scheduler.ask("t", None);
    assert_eq!(
        scheduler.lines("t", 3).await[2],
        "RUNNING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state"
    );
}

/// A task group: one executor for all, by the name that we give it; its end is told, too.
pub(crate) async fn runs_a_group(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    let mut resources = task(&offer, "", "").resources;
    resources.push(Resource { name: "disk".into(), ..resources[1].clone() });
    let executor = ExecutorInfo {
        executor_id: ExecutorId { value: "pod".into() },
        r#type: Some(executor_info::Type::Default.into()),
        framework_id: Some(FrameworkId { value: scheduler.id() }),
        resources,
        ..Default::default()
    };
    let tasks = vec![task(&offer, "a", "exit 0"), task(&offer, "b", "exit 0")];
    let group = operation::LaunchGroup { executor, task_group: TaskGroupInfo { tasks } };
    let launch = Operation {
        r#type: Some(operation::Type::LaunchGroup.into()),
        launch_group: Some(Box::new(group)),
        ..Default::default()
    };
    scheduler.call(|calls| calls.accept([&offer.id.value], [launch], None));
    for id in ["a", "b"] {
        scheduler.state(id, TaskFinished).await;
        let states = ["STARTING EXECUTOR u1", "RUNNING EXECUTOR u2", "FINISHED EXECUTOR u3"];
        assert_eq!(scheduler.seen.task(id), states.map(|state| format!("{state} on a1 by Some(\"pod\")")));
    }
    scheduler.until("the end of the executor", |seen| seen.losses().first().map(drop)).await;
    assert_eq!(scheduler.seen.losses(), ["executor lost on a1 status 0"]);
}

/// A command without shell, with arguments and environment; and where a task finds itself.
pub(crate) async fn has_its_environment(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    let check = r#"test "$GREETING" = "h i" && test "$MESOS_SANDBOX" = "$(pwd)""#;
    let mut shell = task(&offer, "shell", check);
    let variable = environment::Variable { name: "GREETING".into(), value: Some("h i".into()), ..Default::default() };
    shell.command.as_mut().unwrap().environment = Some(Environment { variables: vec![variable] });
    let mut plain = task(&offer, "plain", "/bin/sh");
    let command = plain.command.as_mut().unwrap();
    command.shell = Some(false);
    command.arguments = ["sh", "-c", r#"test "$0 $1" = "a b c""#, "a", "b c"].map(Into::into).into();
    let mut missing = task(&offer, "missing", "/no/such/program");
    missing.command.as_mut().unwrap().shell = Some(false);
    scheduler.launch(&offer, [shell, plain, missing, task(&offer, "unknown", "no-such-command-here")]);
    scheduler.state("shell", TaskFinished).await;
    scheduler.state("plain", TaskFinished).await;
    scheduler.state("missing", TaskFailed).await;
    scheduler.state("unknown", TaskFailed).await;
    assert!(scheduler.seen.updates.iter().any(|update| update.message().is_some_and(|m| m.contains("status 127"))));
}
