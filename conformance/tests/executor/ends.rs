//! How an executor ends.

use conformance::mesos_core::scheduler::Framework;
use conformance::v1::TaskState::*;
use conformance::v1::{CommandInfo, ExecutorInfo};
use conformance::{Cluster, Gate, PidFile, Scheduler, process_ends};

use super::{executor, task_of};

/// S197: SHUTDOWN from the scheduler; each task's end is told before the executor's.
pub(crate) async fn shut_down_by_the_scheduler(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, ["a", "b"].map(|id| task_of(&executor, &offer, id, "exec sleep 1000")));
    for id in ["a", "b"] {
        scheduler.state(id, TaskRunning).await;
    }
    scheduler.call(|calls| calls.shutdown("e", &offer.agent_id.value));
    scheduler.until("the executor's end", |seen| seen.losses().first().map(drop)).await;
    for id in ["a", "b"] {
        scheduler.state(id, TaskKilled).await;
        let by = |text: &str| format!("{text} on a1 by Some(\"e\")");
        assert_eq!(scheduler.seen.task(id), [by("RUNNING EXECUTOR u1"), by("KILLED EXECUTOR u2")]);
    }
    assert_eq!(scheduler.seen.losses(), ["executor lost on a1 status 0"]);
}

/// S197: TEARDOWN ends the executor and what it has started.
pub(crate) async fn torn_down(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let (task, parent) = (PidFile::new(), PidFile::new());
    let offer = scheduler.offer().await;
    let script = format!("{}; ({}); exec sleep 1000", task.written(), parent.written().replace("$$", "$PPID"));
    scheduler.launch(&offer, [task_of(&executor, &offer, "t", &script)]);
    scheduler.state("t", TaskRunning).await;
    let (task, executor) = (task.read().await, parent.read().await);
    scheduler.with(|client| client.teardown());
    assert_eq!(scheduler.end().await, "removed");
    process_ends(task).await;
    process_ends(executor).await;
}

/// S197: all that the executor was started for is killed before it is there: SHUTDOWN is the first event.
pub(crate) async fn shutdown_is_the_first_event(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    // The kill comes once its process is there, and before it subscribes: a real agent may not have started it otherwise.
    let (started, gate) = (PidFile::new(), Gate::new());
    let script = format!("{}; {}; exec {}", started.written(), gate.passed(), env!("CARGO_BIN_EXE_executor"));
    let executor = ExecutorInfo { command: Some(Box::new(CommandInfo::new(script))), ..executor("e") };
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task_of(&executor, &offer, "t", "exec sleep 1000")]);
    started.read().await;
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let seen = ["KILLED AGENT TASK_KILLED_DURING_LAUNCH u1 on a1: Killed before delivery to the executor"];
    assert_eq!(scheduler.seen.task("t"), seen);
    gate.open();
    // It ends by itself, and well: it isn't killed.
    scheduler.until("the executor's end", |seen| seen.losses().first().map(drop)).await;
    assert_eq!(scheduler.seen.losses(), ["executor lost on a1 status 0"]);
}

/// S186, S187: an executor that can't read its environment says so by its exit status.
pub(crate) async fn malformed_environment(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    for (name, variable, value, status) in
        [("one", "MESOS_AGENT_ENDPOINT", "nowhere", 4), ("two", "MESOS_RECOVERY_TIMEOUT", "soon", 5)]
    {
        let mut executor = executor(name);
        if let Some(command) = executor.command.take() {
            executor.command = Some(Box::new(command.with_env([(variable, value)])));
        }
        let offer = scheduler.offer().await;
        scheduler.launch(&offer, [task_of(&executor, &offer, name, "exit 0")]);
        scheduler.state(name, TaskFailed).await;
        let lost = format!("executor lost on a1 status {}", status << 8);
        assert_eq!(scheduler.seen.losses().last(), Some(&lost.as_str()));
        assert!(scheduler.seen.task(name)[0].starts_with("FAILED AGENT EXECUTOR_TERMINATED u1 on a1"));
    }
}

/// S196: without checkpointing an executor doesn't outlive its agent.
pub(crate) async fn without_checkpoints(cluster: &Cluster) {
    let config = cluster.config(Framework::new("conformance").checkpoint(false));
    let mut scheduler = Scheduler::subscribed(cluster, config).await;
    let executor = executor("e");
    let (task, parent) = (PidFile::new(), PidFile::new());
    let offer = scheduler.offer().await;
    let script = format!("{}; ({}); exec sleep 1000", task.written(), parent.written().replace("$$", "$PPID"));
    scheduler.launch(&offer, [task_of(&executor, &offer, "t", &script)]);
    scheduler.state("t", TaskRunning).await;
    let (task, executor) = (task.read().await, parent.read().await);
    scheduler.settle().await;
    cluster.kill_agent(0).await;
    process_ends(task).await;
    process_ends(executor).await;
    scheduler.state("t", TaskLost).await;
}

/// S198: an agent that doesn't take the token ends the executor at once, and not after its recovery timeout.
pub(crate) async fn wrong_token(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let script = format!("MESOS_EXECUTOR_AUTHENTICATION_TOKEN=wrong exec {}", env!("CARGO_BIN_EXE_executor"));
    let executor = ExecutorInfo { command: Some(Box::new(CommandInfo::new(script))), ..executor("e") };
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task_of(&executor, &offer, "t", "exit 0")]);
    scheduler.state("t", TaskFailed).await;
    assert!(scheduler.seen.task("t")[0].starts_with("FAILED AGENT EXECUTOR_TERMINATED u1 on a1"));
    assert_eq!(scheduler.seen.losses(), ["executor lost on a1 status 256"]);
}

/// S198: with tokens that are taken, tasks run as ever, over a restart of the agent too.
pub(crate) async fn right_token(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let offer = scheduler.offer().await;
    let gate = Gate::new();
    scheduler.launch(&offer, [task_of(&executor, &offer, "t", &gate.passed())]);
    scheduler.state("t", TaskRunning).await;
    cluster.kill_agent(0).await;
    cluster.restart_agent(0).await;
    gate.open();
    scheduler.state("t", TaskFinished).await;
}
