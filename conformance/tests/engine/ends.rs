//! The end of a framework.

use std::time::Duration;

use conformance::mesos_core::engine::{Config, Engine, Event, OnRemoved};
use conformance::mesos_core::scheduler::Framework;
use conformance::{Cluster, Keeper, LIMIT, Scheduler};

use crate::Folders;

/// Neither store nor master nor agents hold anything of the framework any more.
async fn nothing_is_left(cluster: &Cluster, folders: &Folders, id: &str) {
    assert_eq!(mesos_file::read(folders.store.path()).unwrap().len(), 0);
    let pids = folders.roll.present().into_values().flatten();
    for pid in pids {
        conformance::process_ends(pid).await;
    }
    // The agents look through the list of their processes now and then.
    let none = async {
        while !cluster.tasks().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT, none).await.expect("an end of all tasks");
    let config = cluster.config(Framework::new("conformance")).framework_id(id).unwrap();
    assert_eq!(Scheduler::new(cluster, config).end().await, "fatal: removed");
}

/// S163: tasks first, then the framework, then the records.
pub(crate) async fn uninstalled(cluster: &Cluster) {
    let folders = Folders::new();
    let specs = [folders.service("web", 3), folders.service("db", 1)];
    let mut keeper = Keeper::start(cluster, folders.store.path(), specs);
    keeper.satisfied().await;
    let id = keeper.id().await;
    keeper.command(Engine::uninstall);
    assert_eq!(keeper.end().await, Event::Stopped { removed: true });
    assert_eq!(keeper.count(|event| matches!(event, Event::TaskEnded { .. })), 4);
    nothing_is_left(cluster, &folders, &id).await;
}

/// S47, S163: the framework with its tasks, all at once.
pub(crate) async fn torn_down(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 3)]);
    keeper.satisfied().await;
    let id = keeper.id().await;
    keeper.command(Engine::teardown);
    assert_eq!(keeper.end().await, Event::Stopped { removed: true });
    nothing_is_left(cluster, &folders, &id).await;
}

/// An operator has removed it, and it is made anew, with all its tasks.
pub(crate) async fn removed_and_made_anew(cluster: &Cluster) {
    let folders = Folders::new();
    let config = Config::new(cluster.config(Framework::new("conformance"))).on_removed(OnRemoved::FreshId);
    let mut keeper = Keeper::with(cluster, config.clone(), folders.store.path(), [folders.service("web", 3)]);
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let old = keeper.id().await;
    let tasks: Vec<String> = keeper.tasks("web").into_iter().map(|task| task.task_id).collect();
    cluster.tear_down(&old).await;
    let removed = Event::FrameworkRemoved { framework_id: old.clone() };
    keeper.until("FrameworkRemoved", |keeper| (keeper.count(|event| *event == removed) > 0).then_some(())).await;
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let new = keeper.id().await;
    assert_ne!(new, old);
    assert!(keeper.tasks("web").iter().all(|task| !tasks.contains(&task.task_id)));
    // The new id is on record.
    keeper.leave().await;
    let mut keeper = Keeper::with(cluster, config, folders.store.path(), [folders.service("web", 3)]);
    keeper.satisfied().await;
    assert_eq!(keeper.id().await, new);
}
