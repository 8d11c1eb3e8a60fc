//! Masters and agents that die, hang and come back, and tasks that nobody knows.

use std::time::Duration;

use conformance::mesos_core::engine::{Config, EndClass, Event, KillReason, State};
use conformance::mesos_core::scheduler::Framework;
use conformance::{Cluster, Keeper, Scheduler};

use crate::Folders;

fn ended(event: &Event) -> bool {
    matches!(event, Event::TaskEnded { .. })
}

/// An agent that dies and returns keeps its tasks, and nothing is launched in their place.
pub(crate) async fn agent_killed_and_back(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 3)]);
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let before = (keeper.tasks("web").into_iter().map(|task| task.task_id).collect::<Vec<_>>(), folders.roll.present());
    cluster.kill_agent(0).await;
    keeper.stay(Duration::from_millis(500)).await;
    cluster.restart_agent(0).await;
    cluster.leader().await;
    keeper.stay(Duration::from_secs(2)).await;
    keeper.agree(cluster, &folders.roll).await;
    let after = (keeper.tasks("web").into_iter().map(|task| task.task_id).collect::<Vec<_>>(), folders.roll.present());
    assert_eq!(before, after);
    assert_eq!(keeper.count(ended), 0);
}

/// What can't be reached is replaced, and when it comes back one of the two goes.
pub(crate) async fn agent_stopped_and_continued(cluster: &Cluster) {
    let folders = Folders::new();
    // So that it is known which agent the task is on.
    cluster.kill_agent(1).await;
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 1)]);
    keeper.satisfied().await;
    let lost = keeper.tasks("web").remove(0);
    cluster.restart_agent(1).await;
    cluster.leader().await;
    cluster.stop_agent(0).await;
    keeper
        .until("a replacement", |keeper| {
            let tasks = keeper.tasks("web");
            let unreachable = tasks.iter().any(|task| task.task_id == lost.task_id && task.state == State::Unreachable);
            (unreachable && tasks.iter().any(|task| task.ready)).then_some(())
        })
        .await;
    // It lives, and so does its replacement: which runs, by the executor's word, a moment before its command says so.
    let both = || folders.roll.present().values().any(|processes| processes.len() == 2);
    for _ in 0..100 {
        if !both() {
            keeper.stay(Duration::from_millis(50)).await;
        }
    }
    assert!(both(), "{:?}", folders.roll.present());
    cluster.continue_agent(0).await;
    let duplicate = |event: &Event| {
        matches!(event, Event::TaskEnded { task, class: EndClass::Wanted }
            if task.task_id == lost.task_id && task.killing() == Some(KillReason::Duplicate))
    };
    keeper.until("the end of one of them", |keeper| (keeper.count(duplicate) > 0).then_some(())).await;
    keeper.agree(cluster, &folders.roll).await;
    assert!(keeper.engine().spec("web").unwrap().satisfied);
    assert_eq!(keeper.count(ended), 1);
}

/// S151: a master that dies and returns finds everything as it was.
pub(crate) async fn master_killed_and_back(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 3)]);
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let before = (keeper.tasks("web").into_iter().map(|task| task.task_id).collect::<Vec<_>>(), folders.roll.present());
    let id = keeper.id().await;
    let reconciled = |event: &Event| matches!(event, Event::ReconcileDone { .. });
    let runs = keeper.count(reconciled);
    cluster.kill_master(0).await;
    let lost = |event: &Event| matches!(event, Event::Disconnected { .. });
    keeper.until("Disconnected", |keeper| (keeper.count(lost) > 0).then_some(())).await;
    cluster.restart_master(0).await;
    keeper.until("answers", |keeper| (keeper.count(reconciled) > runs).then_some(())).await;
    cluster.leader().await;
    keeper.agree(cluster, &folders.roll).await;
    let after = (keeper.tasks("web").into_iter().map(|task| task.task_id).collect::<Vec<_>>(), folders.roll.present());
    assert_eq!(before, after);
    assert_eq!(keeper.count(ended), 0);
    assert_eq!(keeper.id().await, id);
}

/// Somebody else launches a task in the framework's name.
async fn stranger(cluster: &Cluster, id: &str) {
    let config = cluster.config(Framework::new("conformance")).framework_id(id).unwrap();
    let mut scheduler = Scheduler::subscribed(cluster, config).await;
    // A master that hasn't noticed yet that the one before has left keeps its filters.
    scheduler.call(|calls| calls.revive::<&str>([]));
    scheduler.run("stranger", "exec sleep 1000").await;
}

fn unknown(killed: bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::UnknownTask { task_id, killed: told, .. } if task_id == "stranger" && *told == killed)
}

/// S22, S120: a task of the framework that isn't on record is killed.
pub(crate) async fn strangers_are_killed(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 1)]);
    keeper.satisfied().await;
    let id = keeper.id().await;
    keeper.leave().await;
    stranger(cluster, &id).await;
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 1)]);
    keeper.until("UnknownTask", |keeper| (keeper.count(unknown(true)) > 0).then_some(())).await;
    keeper.agree(cluster, &folders.roll).await;
    assert_eq!(keeper.count(ended), 0);
    assert_eq!(keeper.id().await, id);
}

/// But who has lost the store doesn't wipe out what runs.
pub(crate) async fn strangers_of_an_empty_store_are_let_be(cluster: &Cluster) {
    let folders = Folders::new();
    let id = Scheduler::start(cluster).await.id();
    stranger(cluster, &id).await;
    let client = cluster.config(Framework::new("conformance")).framework_id(&id).unwrap();
    let web = folders.service("web", 1);
    let mut keeper = Keeper::with(cluster, Config::new(client), folders.store.path(), [web]);
    keeper.until("UnknownTask", |keeper| (keeper.count(unknown(false)) > 0).then_some(())).await;
    keeper.satisfied().await;
    keeper.stay(Duration::from_secs(1)).await;
    let web = keeper.tasks("web").remove(0).task_id;
    assert_eq!(cluster.tasks().await, [(id.clone(), web), (id, "stranger".to_owned())]);
}
