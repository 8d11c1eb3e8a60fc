//! The executors among the examples: what people copy must hold what it promises.

use std::time::Duration;

use conformance::v1::TaskState::*;
use conformance::v1::task_status::Source;
use conformance::{Cluster, Gate, PidFile, Scheduler, process_ends};

use super::restarts::states;
use super::{executor_by, task_of};

pub(crate) async fn on_tokio(cluster: &Cluster) {
    outlives_its_agent(cluster, env!("CARGO_BIN_EXE_example-executor")).await;
}

pub(crate) async fn on_threads(cluster: &Cluster) {
    outlives_its_agent(cluster, env!("CARGO_BIN_EXE_example-blocking-executor")).await;
}

/// S190, S195, S233: tasks end before, while and after their agent is gone, by themselves or killed with all they have
/// started; each state arrives once.
async fn outlives_its_agent(cluster: &Cluster, program: &str) {
    let mut scheduler = Scheduler::start(cluster).await;
    let executor = executor_by("e", program);
    let (meanwhile, after, child) = (Gate::new(), Gate::new(), PidFile::new());
    let scripts = [
        ("good", "exit 0".to_owned(), TaskFinished),
        ("bad", "exit 7".to_owned(), TaskFailed),
        ("good-meanwhile", meanwhile.passed(), TaskFinished),
        ("bad-meanwhile", format!("{}; exit 7", meanwhile.passed()), TaskFailed),
        ("after", after.passed(), TaskFinished),
        ("killed", format!("sh -c '{}; exec sleep 1000' & wait", child.written()), TaskKilled),
    ];
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, scripts.each_ref().map(|(id, script, _)| task_of(&executor, &offer, id, script)));
    for (id, end) in [("good", TaskFinished), ("bad", TaskFailed)] {
        scheduler.state(id, end).await;
    }
    for (id, ..) in &scripts[2..] {
        scheduler.state(id, TaskRunning).await;
    }
    let child = child.read().await;
    scheduler.settle().await;
    cluster.kill_agent(0).await;
    meanwhile.open();
    scheduler.stay(Duration::from_millis(700)).await;
    cluster.restart_agent(0).await;
    for (id, end) in [("good-meanwhile", TaskFinished), ("bad-meanwhile", TaskFailed)] {
        scheduler.state(id, end).await;
    }
    after.open();
    scheduler.call(|calls| calls.kill("killed", None, None));
    for (id, _, end) in &scripts {
        scheduler.state(id, *end).await;
        assert_eq!(states(&scheduler, id), [(TaskRunning, Source::Executor), (*end, Source::Executor)], "{id}");
    }
    process_ends(child).await;
    assert_eq!(scheduler.seen.losses(), [""; 0], "the executor has outlived it");
}
