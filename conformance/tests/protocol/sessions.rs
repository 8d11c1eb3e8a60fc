//! Subscriptions: how they begin and end.

use std::time::Duration;

use conformance::mesos_core::scheduler::{Client, Config, DisconnectReason, Event, Framework};
use conformance::mesos_core::{Authorization, Codec, FailureKind};
use conformance::mesos_tokio::{Driver, Http};
use conformance::v1::TaskState::*;
use conformance::{Cluster, PidFile, Scheduler, process_ends, task};

/// S42, S134, S135: the first events come in this order, with what the master promises about itself.
async fn subscribes(cluster: &Cluster, codec: Codec) {
    let config = cluster.config(Framework::new("conformance")).codec(codec);
    let mut scheduler = Scheduler::subscribed(cluster, config).await;
    scheduler.until("a heartbeat", |seen| (seen.heartbeats > 0).then_some(())).await;
    scheduler.run("t", "exit 0").await;
    scheduler.state("t", TaskFinished).await;
    assert_eq!(scheduler.seen.session(), ["stream", "subscribed", "heartbeat"]);
    let subscribed = &scheduler.seen.subscriptions[0];
    assert_eq!(subscribed.heartbeat_interval, Some(Duration::from_secs(15)));
    assert_eq!(format!("http://{}", cluster.masters()[0]), subscribed.master.to_string());
    let info = subscribed.master_info.as_ref().unwrap();
    assert_eq!(info.version(), "1.11.0");
    assert_eq!(info.hostname(), "127.0.0.1");
    assert!(cluster.masters()[0].ends_with(&format!(":{}", info.port)));
    assert!(subscribed.framework_id.value.starts_with(&info.id), "{subscribed:?}");
}

pub(crate) async fn subscribes_in_protobuf(cluster: &Cluster) {
    subscribes(cluster, Codec::Protobuf).await;
}

pub(crate) async fn subscribes_in_json(cluster: &Cluster) {
    subscribes(cluster, Codec::Json).await;
}

/// S142: a master that doesn't lead names the one that does.
pub(crate) async fn is_redirected_to_the_leader(cluster: &Cluster) {
    let leader = cluster.leader().await;
    let leads = format!("http://{}", cluster.masters()[leader]);
    for other in (0..cluster.masters().len()).filter(|&other| other != leader) {
        let config = Config::new(Framework::new("conformance"), [&cluster.masters()[other]]).unwrap();
        let mut scheduler = Scheduler::subscribed(cluster, config).await;
        assert_eq!(scheduler.seen.subscriptions[0].master.to_string(), leads);
        // Calls go there, too.
        scheduler.accepted(|calls| calls.reconcile_all()).await;
        scheduler.with(|client| client.teardown());
        assert_eq!(scheduler.end().await, "removed");
        assert_eq!(scheduler.seen.session().first(), Some(&"stream"));
    }
}

/// S165: who isn't known isn't let in, and isn't to try again.
pub(crate) async fn wants_the_right_credentials(cluster: &Cluster) {
    let config = || cluster.config(Framework::new("conformance"));
    for wrong in [None, Some(("alice", "wrong")), Some(("alice", "other")), Some(("nobody", "secret"))] {
        let config = match wrong {
            None => config(),
            Some((principal, secret)) => config().authorization(Authorization::basic(principal, secret)),
        };
        let mut scheduler = Scheduler::new(cluster, config);
        assert_eq!(scheduler.end().await, "fatal: unauthorized", "{wrong:?}");
        assert_eq!(scheduler.seen.session(), ["fatal: unauthorized"]);
    }
    let config = config().authorization(Authorization::basic("bob", "other"));
    let mut scheduler = Scheduler::subscribed(cluster, config).await;
    // Every call shows them again.
    scheduler.run("t", "exit 0").await;
    scheduler.state("t", TaskFinished).await;
}

/// Another instance takes over: the first one is told, and is not to come back; offers start anew, updates and
/// questions go to the second one.
pub(crate) async fn fails_over(cluster: &Cluster) {
    let mut first = Scheduler::start(cluster).await;
    let offer = first.run("t", "sleep 1000").await;
    let held = first.offer().await;
    let config = cluster.config(Framework::new("conformance")).framework_id(first.id()).unwrap();
    let mut second = Scheduler::subscribed(cluster, config).await;
    assert_eq!(second.id(), first.id());
    assert_eq!(first.end().await, "fatal: failed over");
    assert_eq!(first.seen.session(), ["stream", "subscribed", "heartbeat", "fatal: failed over"]);
    assert_eq!(first.seen.offering().last(), Some(&"offers"), "nothing is rescinded");

    // An offer of the first one is worth nothing now.
    second.launch_on([held.id.value.clone()], [task(&held, "late", "exit 0")]);
    second.state("late", TaskDropped).await;
    second.call(|calls| calls.kill("t", Some(&offer.agent_id.value), None));
    second.state("t", TaskKilled).await;
    assert_eq!(second.seen.task("t"), ["KILLING EXECUTOR u1 on a1", "KILLED EXECUTOR u2 on a1"]);
    second.run("new", "exit 0").await;
    second.state("new", TaskFinished).await;
}

/// S47, S163: TEARDOWN removes the framework and its tasks, without a word about them; the id is spent.
pub(crate) async fn is_torn_down(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let pid = PidFile::new();
    scheduler.run("t", &format!("{}; exec sleep 1000", pid.written())).await;
    let process = pid.read().await;
    scheduler.with(|client| client.teardown());
    assert_eq!(scheduler.end().await, "removed");
    let seen = ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1"];
    assert_eq!(scheduler.seen.task("t"), seen);
    process_ends(process).await;

    let config = cluster.config(Framework::new("conformance")).framework_id(scheduler.id()).unwrap();
    let mut late = Scheduler::new(cluster, config);
    assert_eq!(late.end().await, "fatal: removed");
    assert_eq!(late.seen.session(), ["stream", "fatal: removed"]);
}

/// Without a failover timeout a framework ends with its subscription, and its tasks with it.
pub(crate) async fn is_removed_when_it_leaves(cluster: &Cluster) {
    let framework = || Framework::new("conformance").failover_timeout(Duration::ZERO);
    let mut scheduler = Scheduler::subscribed(cluster, cluster.config(framework())).await;
    let pid = PidFile::new();
    scheduler.run("t", &format!("{}; exec sleep 1000", pid.written())).await;
    let process = pid.read().await;
    scheduler.with(|client| client.disconnect());
    assert_eq!(scheduler.end().await, "left");
    process_ends(process).await;
    let config = cluster.config(framework()).framework_id(scheduler.id()).unwrap();
    assert_eq!(Scheduler::new(cluster, config).end().await, "fatal: removed");
}

/// S166: with one, the tasks wait for the framework's return.
pub(crate) async fn leaves_and_returns(cluster: &Cluster) {
    let mut first = Scheduler::start(cluster).await;
    first.run("t", "sleep 1000").await;
    first.with(|client| client.disconnect());
    assert_eq!(first.end().await, "left");
    let config = cluster.config(Framework::new("conformance")).framework_id(first.id()).unwrap();
    let mut second = Scheduler::subscribed(cluster, config).await;
    second.ask("t", None);
    second.state("t", TaskRunning).await;
    second.call(|calls| calls.kill("t", None, None));
    second.state("t", TaskKilled).await;
    assert_eq!(second.seen.session().first(), Some(&"stream"));
    let answer = "RUNNING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state";
    assert_eq!(second.seen.task("t"), [answer, "KILLING EXECUTOR u1 on a1", "KILLED EXECUTOR u2 on a1"]);
}

/// S165: the master's certificate is checked against the authority given.
pub(crate) async fn speaks_tls(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "exit 0").await;
    scheduler.state("t", TaskFinished).await;
    assert!(scheduler.seen.subscriptions[0].master.to_string().starts_with("https://"));
    scheduler.with(|client| client.teardown());
    assert_eq!(scheduler.end().await, "removed");

    // Without the authority nobody is trusted.
    let client = Client::new(cluster.config(Framework::new("conformance")), 1);
    let mut driver = Driver::new(client, Http::default());
    let event = driver.next_event().await.unwrap();
    let Event::Disconnected { reason: DisconnectReason::Failed(failure), .. } = event else { panic!("{event:?}") };
    assert_eq!(failure.kind, FailureKind::Tls);
}
