//! Many tasks, many updates, and a reader that takes its time.

use std::time::Duration;

use conformance::mesos_core::scheduler::Framework;
use conformance::v1::TaskState::*;
use conformance::{Cluster, Scheduler, task};

fn names() -> Vec<String> {
    (0..60).map(|number| format!("t{number}")).collect()
}

/// Launches 60 tasks on as many offers as it takes.
async fn launch_all(scheduler: &mut Scheduler, command: &str) {
    let mut left = names();
    while !left.is_empty() {
        let offer = scheduler.offer().await;
        let fit = (conformance::offer_holds(&offer, "cpus") / 0.1 + 1e-6) as usize;
        let tasks: Vec<_> = left.drain(..fit.min(20).min(left.len())).map(|id| task(&offer, &id, command)).collect();
        scheduler.launch(&offer, tasks);
    }
}

/// S103, S130: 60 tasks at once, each with its three updates, each update once.
pub(crate) async fn sixty_tasks_at_once(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    launch_all(&mut scheduler, "exit 0").await;
    for name in names() {
        scheduler.state(&name, TaskFinished).await;
        let lines = scheduler.seen.task(&name);
        let agent = lines[0].rsplit(' ').next().unwrap();
        let expected = ["STARTING EXECUTOR u1", "RUNNING EXECUTOR u2", "FINISHED EXECUTOR u3"];
        assert_eq!(lines, expected.map(|line| format!("{line} on {agent}")), "{name}");
    }
    assert_eq!(scheduler.seen.updates.len(), 180);
}

/// S141, S151: whoever doesn't read for a while neither loses an event nor the subscription, and can make calls all the
/// while.
pub(crate) async fn slow_consumer(cluster: &Cluster) {
    const QUESTIONS: usize = 100;
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "sleep 1000").await;
    let config = cluster.config(Framework::new("conformance")).framework_id(scheduler.id()).unwrap();
    let mut slow = Scheduler::subscribed(cluster, config).await;
    for _ in 0..QUESTIONS {
        slow.call(|calls| calls.reconcile(std::iter::repeat_n(("t", None::<&str>), 20)));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    slow.until("all that was asked for", |seen| (seen.updates.len() >= QUESTIONS * 20).then_some(())).await;
    slow.settle().await;
    assert!(slow.seen.updates.iter().all(|update| update.state() == TaskRunning));
    assert_eq!((slow.seen.updates.len(), slow.seen.subscriptions.len()), (QUESTIONS * 20, 1));
}
