//! An executor whose agent is killed and started again.

use std::time::Duration;

use conformance::v1::TaskState::*;
use conformance::v1::task_status::Source;
use conformance::{Cluster, Gate, Scheduler};

use super::{executor, task_of};

/// The distinct updates of a task, in the order in which they first came: what they said, and by whom.
pub(super) fn states(scheduler: &Scheduler, task: &str) -> Vec<(conformance::v1::TaskState, Source)> {
    let mut uuids = Vec::new();
    let mut states = Vec::new();
    for update in scheduler.seen.updates.iter().filter(|update| update.task_id() == task) {
        // The master's own words have none.
        let Some(uuid) = update.uuid().map(<[u8]>::to_vec) else { continue };
        if !uuids.contains(&uuid) {
            uuids.push(uuid);
            states.push((update.state(), update.source().unwrap_or(Source::Master)));
        }
    }
    states
}

/// S195: kill -9, and start again, while 20 tasks run. No task is lost, every state arrives, none twice.
pub(crate) async fn twenty_tasks_run_on(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let (meanwhile, after) = (Gate::new(), Gate::new());
    let ids: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let offer = scheduler.offer().await;
    let script = |n: usize| format!("{}; exit {}", if n % 2 == 0 { &meanwhile } else { &after }.passed(), n % 5 / 4);
    let tasks = ids.iter().enumerate().map(|(n, id)| task_of(&executor, &offer, id, &script(n)));
    scheduler.launch(&offer, tasks.collect::<Vec<_>>());
    for id in &ids {
        scheduler.state(id, TaskRunning).await;
    }
    for _ in 0..2 {
        cluster.kill_agent(0).await;
        // Half of them end while the agent is away, the others run on.
        meanwhile.open();
        scheduler.stay(Duration::from_millis(700)).await;
        cluster.restart_agent(0).await;
        scheduler.stay(Duration::from_millis(1500)).await;
    }
    for id in ids.iter().step_by(2) {
        let end = scheduler.until("an end", |seen| seen.state(id).filter(|state| *state != TaskRunning)).await;
        assert!(matches!(end, TaskFinished | TaskFailed), "{id}: {end:?}");
    }
    after.open();
    for (n, id) in ids.iter().enumerate() {
        let end = if n % 5 == 4 { TaskFailed } else { TaskFinished };
        scheduler.state(id, end).await;
        assert_eq!(states(&scheduler, id), [(TaskRunning, Source::Executor), (end, Source::Executor)], "{id}");
    }
    assert_eq!(scheduler.seen.losses(), [""; 0], "the executor has outlived it");
}

/// Tasks that come and go around a restart, with the executor's updates parked during the agent's recovery.
pub(crate) async fn launched_and_killed_around_a_restart(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task_of(&executor, &offer, "before", "exec sleep 1000")]);
    scheduler.state("before", TaskRunning).await;
    scheduler.settle().await;
    // What is left of the agent is offered again. That goes with the agent, and must not be taken for what comes after.
    scheduler.offer().await;
    cluster.kill_agent(0).await;
    scheduler.seen.offers.clear();
    cluster.restart_agent(0).await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, [task_of(&executor, &offer, "after", "exit 0")]);
    scheduler.state("after", TaskFinished).await;
    scheduler.call(|calls| calls.kill("before", None, None));
    scheduler.state("before", TaskKilled).await;
    for (id, end) in [("before", TaskKilled), ("after", TaskFinished)] {
        assert_eq!(states(&scheduler, id), [(TaskRunning, Source::Executor), (end, Source::Executor)], "{id}");
    }
}

/// S195: ends that fall into every phase of an agent's restart: gone, deaf, recovering (when it answers updates with 503
/// though it takes subscriptions), registering.
pub(crate) async fn tasks_end_all_through_a_restart(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor("e");
    let gates: Vec<Gate> = (0..16).map(|_| Gate::new()).collect();
    let offer = scheduler.offer().await;
    let task = |(n, gate): (usize, &Gate)| task_of(&executor, &offer, &format!("t{n}"), &gate.passed());
    scheduler.launch(&offer, gates.iter().enumerate().map(task).collect::<Vec<_>>());
    for n in 0..gates.len() {
        scheduler.state(&format!("t{n}"), TaskRunning).await;
    }
    cluster.kill_agent(0).await;
    let opened = async {
        for gate in &gates {
            gate.open();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::join!(cluster.restart_agent(0), opened);
    for n in 0..gates.len() {
        let id = format!("t{n}");
        scheduler.state(&id, TaskFinished).await;
        let both = [TaskRunning, TaskFinished].map(|state| (state, Source::Executor));
        assert_eq!(states(&scheduler, &id), both, "{id}");
    }
}
