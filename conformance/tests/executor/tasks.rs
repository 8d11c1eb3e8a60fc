//! What a scheduler sees of tasks that a custom executor runs.

use conformance::v1::TaskState::*;
use conformance::v1::offer::{Operation, operation};
use conformance::v1::{FrameworkId, TaskGroupInfo};
use conformance::{Cluster, Scheduler};

use super::{executor, task_of};

/// S189, S192: one executor for several tasks; each state arrives, once, in order.
pub(crate) async fn run_and_finish(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let offer = scheduler.offer().await;
    let good = task_of(&executor, &offer, "good", "exit 0");
    let bad = task_of(&executor, &offer, "bad", "exit 7");
    scheduler.launch(&offer, [good, bad]);
    scheduler.state("good", TaskFinished).await;
    scheduler.state("bad", TaskFailed).await;
    let by = |text: &str| format!("{text} on a1 by Some(\"e\")");
    assert_eq!(scheduler.seen.task("good"), [by("RUNNING EXECUTOR u1"), by("FINISHED EXECUTOR u2")]);
    assert_eq!(scheduler.seen.task("bad"), [by("RUNNING EXECUTOR u1"), by("FAILED EXECUTOR u2")]);
    // The same executor takes more.
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task_of(&executor, &offer, "more", "exit 0")]);
    scheduler.state("more", TaskFinished).await;
    assert_eq!(scheduler.seen.losses(), [""; 0]);
}

/// S190: KILL, and again.
pub(crate) async fn are_killed(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, ["a", "b"].map(|id| task_of(&executor, &offer, id, "exec sleep 1000")));
    scheduler.state("a", TaskRunning).await;
    scheduler.state("b", TaskRunning).await;
    for _ in 0..2 {
        scheduler.call(|calls| calls.kill("a", None, None));
    }
    scheduler.state("a", TaskKilled).await;
    scheduler.settle().await;
    let by = |text: &str| format!("{text} on a1 by Some(\"e\")");
    let mut seen = scheduler.seen.task("a");
    // The second KILL may come to a master that has done with the task.
    seen.retain(|status| !status.starts_with("UNKNOWN MASTER RECONCILIATION"));
    assert_eq!(seen, [by("RUNNING EXECUTOR u1"), by("KILLED EXECUTOR u2")]);
    assert_eq!(scheduler.seen.task("b"), [by("RUNNING EXECUTOR u1")]);
}

/// S198: LAUNCH_GROUP, all of it.
pub(crate) async fn run_as_a_group(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let mut executor = executor("pod");
    let offer = scheduler.offer().await;
    executor.framework_id = Some(FrameworkId { value: scheduler.id() });
    let mut disk = task_of(&executor, &offer, "", "").resources[1].clone();
    executor.resources = task_of(&executor, &offer, "", "").resources;
    disk.name = "disk".into();
    executor.resources.push(disk);
    let of_group = |id: &str| {
        let mut task = task_of(&executor, &offer, id, "exit 0");
        task.executor = None;
        task
    };
    let tasks = vec![of_group("a"), of_group("b")];
    let group = operation::LaunchGroup { executor: executor.clone(), task_group: TaskGroupInfo { tasks } };
    let launch = Operation {
        r#type: Some(operation::Type::LaunchGroup.into()),
        launch_group: Some(Box::new(group)),
        ..Default::default()
    };
    scheduler.call(|calls| calls.accept([&offer.id.value], [launch], None));
    for id in ["a", "b"] {
        scheduler.state(id, TaskFinished).await;
        let states = ["RUNNING EXECUTOR u1", "FINISHED EXECUTOR u2"];
        assert_eq!(scheduler.seen.task(id), states.map(|state| format!("{state} on a1 by Some(\"pod\")")));
    }
}

/// S193
pub(crate) async fn messages_go_both_ways(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task_of(&executor, &offer, "t", "exec sleep 1000")]);
    scheduler.state("t", TaskRunning).await;
    for word in ["one", "two"] {
        scheduler.call(|calls| calls.message("e", &offer.agent_id.value, word));
        scheduler.until("an echo", |seen| seen.messages.iter().any(|text| text == word).then_some(())).await;
    }
    assert_eq!(scheduler.seen.messages, ["one", "two"]);
}
