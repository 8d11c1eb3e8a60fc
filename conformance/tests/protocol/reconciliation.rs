//! RECONCILE, and what the master says when it is asked.

use std::time::Duration;

use conformance::mesos_core::scheduler::Framework;
use conformance::v1::TaskState::*;
use conformance::v1::{CommandInfo, HealthCheck};
use conformance::{Cluster, Scheduler, task};

const RUNNING: &str = "RUNNING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state";

/// S52: asked for nothing, the master tells of all that it knows.
pub(crate) async fn implicit(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    for id in ["a", "b"] {
        scheduler.run(id, "sleep 1000").await;
    }
    scheduler.run("ended", "exit 0").await;
    scheduler.state("ended", TaskFinished).await;
    // Acknowledged, and so forgotten, before the question.
    scheduler.settle().await;
    scheduler.accepted(|calls| calls.reconcile_all()).await;
    scheduler.lines("a", 3).await;
    scheduler.lines("b", 3).await;
    // A question at the end proves that nothing else came before.
    scheduler.ask("nobody", None);
    scheduler.state("nobody", TaskUnknown).await;
    for id in ["a", "b"] {
        assert_eq!(scheduler.seen.task(id), ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", RUNNING]);
    }
    assert_eq!(scheduler.seen.task("ended").len(), 3);
}

/// Of a task with statuses that nobody has acknowledged, the master tells the last one that it has forwarded, though by
/// then it knows of the end.
pub(crate) async fn unacknowledged(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.acknowledges = false;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task(&offer, "t", "exit 0")]);
    scheduler.lines("t", 1).await;
    scheduler.stay(Duration::from_secs(1)).await;
    let config = cluster.config(Framework::new("conformance")).framework_id(scheduler.id()).unwrap();
    drop(scheduler);
    let mut scheduler = Scheduler::new(cluster, config);
    scheduler.acknowledges = false;
    // The agent repeats the first one, and says how far the task has come.
    scheduler.lines("t", 1).await;
    scheduler.ask("t", Some(&offer.agent_id.value));
    scheduler.lines("t", 2).await;
    scheduler.accepted(|calls| calls.reconcile_all()).await;
    let starting = RUNNING.replace("RUNNING", "STARTING");
    assert_eq!(scheduler.lines("t", 3).await, ["STARTING EXECUTOR u1 on a1", &starting, &starting]);
}

/// The answer tells what the health check has found, also of a master that knows of it from the agent only.
pub(crate) async fn health(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    let mut checked = task(&offer, "t", "sleep 1000");
    let check = HealthCheck::command(CommandInfo::new("true")).with_delay(Duration::ZERO);
    checked.health_check = Some(Box::new(check.with_interval(Duration::from_millis(200))));
    scheduler.launch(&offer, [checked]);
    scheduler.lines("t", 3).await;
    scheduler.settle().await;
    scheduler.ask("t", None);
    scheduler.lines("t", 4).await;
    scheduler.accepted(|calls| calls.reconcile_all()).await;
    let lines = scheduler.lines("t", 5).await;
    let answer = RUNNING.replacen(": ", ", healthy: ", 1);
    assert_eq!(lines[1..3], ["RUNNING EXECUTOR u2 on a1", "RUNNING EXECUTOR u3 on a1, healthy"]);
    assert_eq!(lines[3..], [&*answer, &*answer]);
    cluster.kill_master(0).await;
    cluster.restart_master(0).await;
    scheduler.until("SUBSCRIBED", |seen| (seen.subscriptions.len() > 1).then_some(())).await;
    scheduler.ask_until("t", None, TaskRunning).await;
    assert_eq!(scheduler.lines("t", 6).await[5..], [&*answer]);
}

/// S52: each question has its answer, without uuid.
pub(crate) async fn explicit(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    let agent = offer.agent_id.value.as_str();
    let asked = [
        ("t", Some(agent)),
        ("t", None),
        // The master knows better.
        ("t", Some("elsewhere")),
        ("ghost", Some(agent)),
        ("lost", Some("elsewhere")),
        ("nobody", None),
    ];
    scheduler.accepted(|calls| calls.reconcile(asked)).await;
    scheduler.state("nobody", TaskUnknown).await;
    scheduler.state("lost", TaskUnknown).await;
    scheduler.state("ghost", TaskGone).await;
    scheduler.lines("t", 5).await;
    assert_eq!(scheduler.seen.task("t")[2..], [RUNNING; 3]);
    let text = "no uuid on a1: Reconciliation: Task is unknown to the agent";
    assert_eq!(scheduler.seen.task("ghost"), [format!("GONE MASTER RECONCILIATION {text}")]);
    let nowhere = "UNKNOWN MASTER RECONCILIATION no uuid nowhere: Reconciliation: Task is unknown";
    assert_eq!(scheduler.seen.task("nobody"), [nowhere]);
    let elsewhere = nowhere.replace("nowhere", "on elsewhere");
    assert_eq!(scheduler.seen.task("lost"), [elsewhere]);

    // KILL of what isn't there is answered like a question.
    scheduler.call(|calls| calls.kill("ghost", Some(agent), None));
    scheduler.call(|calls| calls.kill("nobody", None, None));
    assert_eq!(scheduler.lines("ghost", 2).await[1], format!("GONE MASTER RECONCILIATION {text}"));
    assert_eq!(scheduler.lines("nobody", 2).await[1], nowhere);
}
