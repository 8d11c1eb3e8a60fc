//! Masters that come and go: nodes as they make them.

use std::time::Duration;

use conformance::ZooKeeper;
use mesos_zk::mesos_core::{Detector as _, Endpoint};
use mesos_zk::{MasterDetector, Zk, leading_master};
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::{LONG, TIMEOUT, settings, zk};

async fn next(detector: &mut MasterDetector) -> Option<Endpoint> {
    timeout(TIMEOUT * 5, detector.next()).await.expect("news")
}

fn at(port: u16) -> Option<Endpoint> {
    Some(format!("10.0.0.1:{port}").parse().unwrap())
}

/// Registers as a master does.
async fn master(servers: &ZooKeeper, port: u16) -> Client {
    master_for(servers, port, TIMEOUT).await
}

async fn master_for(servers: &ZooKeeper, port: u16, session: Duration) -> Client {
    let cluster = servers.url("").replace("zk://", "");
    let client = Client::connector().with_session_timeout(session).connect(&cluster).await.unwrap();
    let folder = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir("/mesos", &folder).await.unwrap();
    let data = format!(
        r#"{{"id":"m","ip":1,"port":{port},"hostname":"m","pid":"master@10.0.0.1:{port}",
            "address":{{"hostname":"m","ip":"10.0.0.1","port":{port}}}}}"#
    );
    let node = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    client.create("/mesos/json.info_", data.as_bytes(), &node).await.unwrap();
    client
}

#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn the_leader_is_followed() {
    let mut servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/mesos");
    // The path isn't there so far.
    assert_eq!(leading_master(&zk).await, Ok(None));
    let mut detector = MasterDetector::new(&zk);
    let first = master(&servers, 1).await;
    assert_eq!(next(&mut detector).await, at(1));
    let second = master(&servers, 2).await;
    assert_eq!(leading_master(&zk).await, Ok(at(1)));
    drop(first);
    assert_eq!(next(&mut detector).await, at(2));
    drop(second);
    assert_eq!(next(&mut detector).await, None);
    let third = master(&servers, 3).await;
    assert_eq!(next(&mut detector).await, at(3));
    // A long outage is news, since the masters' sessions end as ours does.
    servers.kill(0);
    assert_eq!(next(&mut detector).await, None);
    servers.launch(0);
    servers.wait();
    drop(third);
    let _fourth = master(&servers, 4).await;
    let mut news = Vec::new();
    while news.last() != Some(&at(4)) {
        news.push(next(&mut detector).await);
    }
    println!("{news:?}");
}

#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_short_outage_is_no_news() {
    let mut servers = ZooKeeper::start(1);
    let zk = Zk::new(settings(&servers, "/mesos").session_timeout(LONG)).unwrap();
    let mut detector = MasterDetector::new(&zk);
    let _master = master_for(&servers, 3, LONG).await;
    assert_eq!(next(&mut detector).await, at(3));
    servers.kill(0);
    servers.launch(0);
    servers.wait();
    assert!(timeout(TIMEOUT * 2, detector.next()).await.is_err());
    assert_eq!(leading_master(&zk).await, Ok(at(3)));
}
