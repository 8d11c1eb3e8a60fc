//! Masters that come and go, played by an election's candidates' counterpart: nodes made by hand.

use std::time::Duration;

use conformance::ZooKeeper;
use mesos_zk::mesos_core::{Detector as _, Endpoint};
use mesos_zk::{MasterDetector, leading_master};
use tokio::time::{sleep, timeout};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::{TIMEOUT, zk};

async fn next(detector: &mut MasterDetector) -> Option<Endpoint> {
    timeout(TIMEOUT * 5, detector.next()).await.expect("news")
}

fn at(port: u16) -> Option<Endpoint> {
    Some(format!("10.0.0.1:{port}").parse().unwrap())
}

/// Registers as a master does.
async fn master(servers: &ZooKeeper, port: u16) -> Client {
    let cluster = servers.url("").replace("zk://", "");
    let client = Client::connector().with_session_timeout(TIMEOUT).connect(&cluster).await.unwrap();
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
    // A short outage is no news; a long one is, since the masters' sessions end as ours does.
    servers.kill(0);
    sleep(Duration::from_millis(300)).await;
    servers.launch(0);
    assert!(timeout(TIMEOUT * 2, detector.next()).await.is_err());
    servers.kill(0);
    assert_eq!(next(&mut detector).await, None);
    servers.launch(0);
    drop(third);
    let _fourth = master(&servers, 4).await;
    let mut news = Vec::new();
    while news.last() != Some(&at(4)) {
        news.push(next(&mut detector).await);
    }
    println!("{news:?}");
}
