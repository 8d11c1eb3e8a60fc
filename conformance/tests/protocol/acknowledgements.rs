//! Acknowledgements, and what is sent again without them.

use conformance::mesos_core::Update;
use conformance::mesos_core::scheduler::Framework;
use conformance::v1::TaskState::*;
use conformance::{Cluster, Scheduler, task};

fn acknowledge(scheduler: &mut Scheduler, update: &Update) {
    let update = update.clone();
    scheduler.call(|calls| calls.acknowledge(&update));
}

/// A framework's successor: the same id, from another process as it were.
async fn successor(cluster: &Cluster, scheduler: &Scheduler) -> Scheduler {
    let config = cluster.config(Framework::new("conformance"));
    let mut successor = Scheduler::new(cluster, config.framework_id(scheduler.id()).unwrap());
    successor.acknowledges = scheduler.acknowledges;
    successor.until("SUBSCRIBED", |seen| seen.subscriptions.first().map(drop)).await;
    successor
}

/// S51: nothing follows an update that isn't acknowledged; each subscription brings it again at once; acknowledging
/// each receipt, repeats too, does no harm and lets the next one come.
pub(crate) async fn every_receipt_is_acknowledged(cluster: &Cluster) {
    let mut first = Scheduler::start(cluster).await;
    first.acknowledges = false;
    let offer = first.offer().await;
    first.launch(&offer, [task(&offer, "t", "exit 0")]);
    first.state("t", TaskStarting).await;

    let mut second = successor(cluster, &first).await;
    second.state("t", TaskStarting).await;
    assert_eq!(first.end().await, "fatal: failed over");
    let mut third = successor(cluster, &second).await;
    third.state("t", TaskStarting).await;
    let uuids = [&first, &second, &third].map(|scheduler| scheduler.seen.updates[0].uuid().unwrap().to_vec());
    assert!(uuids[0] == uuids[1] && uuids[1] == uuids[2], "the same update");

    // The receipt of before the failover serves as well; all three of them are acknowledged, one after the other.
    for update in [&first, &second, &third].map(|scheduler| scheduler.seen.updates[0].clone()) {
        acknowledge(&mut third, &update);
    }
    third.state("t", TaskRunning).await;
    third.acknowledges = true;
    let running = third.seen.updates[1].clone();
    acknowledge(&mut third, &running);
    third.state("t", TaskFinished).await;
    let lines = ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", "FINISHED EXECUTOR u3 on a1"];
    assert_eq!(third.seen.task("t"), lines);
}

/// What is acknowledged never comes again: not with a new subscription, nor when the agent repeats by itself, both of
/// which bring the update of another task that isn't.
pub(crate) async fn what_is_acknowledged_stays_so(cluster: &Cluster) {
    let mut first = Scheduler::start(cluster).await;
    first.acknowledges = false;
    let offer = first.offer().await;
    first.launch(&offer, [task(&offer, "open", "sleep 1000"), task(&offer, "done", "exit 0")]);
    first.state("open", TaskStarting).await;
    let mut settled = 0;
    while first.seen.state("done") != Some(TaskFinished) || settled < 3 {
        let update = first.until("an update", |seen| {
            seen.updates.iter().filter(|update| update.task_id() == "done").nth(settled).cloned()
        });
        let update = update.await;
        let kind = first.call(|calls| calls.acknowledge(&update));
        first.until("an answer", |seen| seen.answers.get(&kind).map(drop)).await;
        settled += 1;
    }
    // 10 s after the first time.
    assert_eq!(first.lines("open", 2).await, ["STARTING EXECUTOR u1 on a1"; 2]);
    assert_eq!(first.seen.task("done").len(), 3);

    let mut second = successor(cluster, &first).await;
    second.lines("open", 1).await;
    second.accepted(|calls| calls.reconcile_all()).await;
    second.until("the answer for the open one", |seen| (seen.task("open").len() > 1).then_some(())).await;
    let line = "STARTING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state";
    assert_eq!(second.seen.task("open"), ["STARTING EXECUTOR u1 on a1", line]);
    assert_eq!(second.seen.task("done"), [""; 0], "it is forgotten");
}
