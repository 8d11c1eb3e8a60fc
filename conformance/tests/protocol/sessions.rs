//! Subscriptions: how they begin and end.

use std::time::Duration;

use conformance::mesos_core::scheduler::{Config, Framework};
use conformance::mesos_core::{Authorization, Codec};
use conformance::v1::TaskState::*;
use conformance::{Cluster, Scheduler};

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
