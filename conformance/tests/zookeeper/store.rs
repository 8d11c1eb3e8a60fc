//! The store: what it promises, with servers that come and go.

use std::time::{Duration, Instant};

use conformance::ZooKeeper;
use mesos_zk::mesos_core::{Key, Persist, Store as _, StoreFailure, StoreOp, Ticket};
use mesos_zk::{Original, Records, Zk, ZkError, ZkStore, read_original, stored_framework_id};
use tokio::time::sleep;
use zookeeper_client::{Acls, CreateMode};

use crate::{LONG, TIMEOUT, settings, zk};

pub(crate) fn put(name: &str, value: impl Into<Vec<u8>>) -> StoreOp {
    StoreOp::Put { key: Key::parse(name).unwrap(), value: value.into().into() }
}

fn delete(name: &str) -> StoreOp {
    StoreOp::Delete { key: Key::parse(name).unwrap() }
}

pub(crate) fn batch(number: u64, ops: impl Into<Vec<StoreOp>>) -> Persist {
    Persist::new(Ticket::new(number), ops.into())
}

fn text(records: &Records) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    records.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

// S169, S170, S177, S178
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn what_is_written_is_there_the_next_time() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/a/b/c");
    let (mut store, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), []);
    store.apply(&batch(1, [put("x", "1"), put("inst/web/0/3", "2"), delete("nothing")])).await.unwrap();
    store.apply(&batch(2, [put("x", "3"), put("y", ""), delete("nothing")])).await.unwrap();
    store.apply(&batch(3, [delete("y"), put("a%2Fb/,", "4")])).await.unwrap();
    let expected = pairs(&[("a%2Fb/,", "4"), ("inst/web/0/3", "2"), ("x", "3")]);
    let (mut second, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), expected);
    // S184: the one before is out, and nothing of its batch is applied.
    for _ in 0..2 {
        let failure = store.apply(&batch(4, [put("x", "5"), put("z", "6")])).await.unwrap_err();
        assert!(matches!(failure, StoreFailure::Fenced(_)), "{failure}");
    }
    second.apply(&batch(1, [delete("inst/web/0/3")])).await.unwrap();
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), pairs(&[("a%2Fb/,", "4"), ("x", "3")]));
}

// S181, W46: nobody is there at the start; the error comes in time and says so, and later it works.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn down_at_the_start() {
    let mut servers = ZooKeeper::make(1);
    let zk = zk(&servers, "/framework");
    let begin = Instant::now();
    let error = ZkStore::open(&zk).await.unwrap_err();
    assert!(matches!(error, ZkError::Unavailable(_)), "{error}");
    assert!(begin.elapsed() < TIMEOUT * 2, "{:?}", begin.elapsed());
    servers.launch(0);
    servers.wait();
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
}

/// Sizes up to the limit work, at the longest path there may be; beyond, they are refused and named.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn sizes() {
    const LIMIT: usize = 900 * 1024;
    let servers = ZooKeeper::start(1);
    let settings = settings(&servers, &format!("/{}", "x".repeat(127))).session_timeout(LONG);
    let settings = settings.credentials("web", "secret").unwrap();
    let zk = Zk::new(settings).unwrap();
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", vec![b'x'; LIMIT - 1])])).await.unwrap();
    let many: Vec<_> = (0..512).map(|i| put(&format!("{i:0>100}"), vec![b'y'; LIMIT / 512 - 100])).collect();
    store.apply(&batch(2, many)).await.unwrap();
    for ops in
        [vec![put("a", vec![b'x'; LIMIT])], vec![put("b", vec![b'x'; LIMIT / 2]), put("c", vec![b'x'; LIMIT / 2])]]
    {
        let failure = store.apply(&batch(3, ops)).await.unwrap_err();
        assert!(matches!(failure, StoreFailure::Refused { .. }), "{failure}");
    }
    store.apply(&batch(3, [delete("a")])).await.unwrap();
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(records.len(), 512);
}

/// Nodes of somebody else: the error names the node, and no secret.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn permission_refused() {
    let servers = ZooKeeper::start(1);
    let as_user = |user: &str| Zk::new(settings(&servers, "/own").credentials(user, "SeCrEt").unwrap()).unwrap();
    let owner = as_user("web");
    let (mut store, _) = ZkStore::open(&owner).await.unwrap();
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
    for other in [as_user("other"), zk(&servers, "/own")] {
        let error = ZkStore::open(&other).await.unwrap_err();
        assert!(matches!(&error, ZkError::NoPermission { path } if path.starts_with("/own")), "{error}");
        let shown = format!("{error} {error:?} {other:?} {store:?}");
        assert!(!shown.contains("SeCrEt"), "{shown}");
    }
    let (_, records) = ZkStore::open(&owner).await.unwrap();
    assert_eq!(records.len(), 1);
}

// S170: what npm's mesos-framework has left, and that a store at the same path leaves it where it is.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn the_original_s_framework_is_found() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/dcos-service-web");
    assert_eq!(read_original(&zk).await.unwrap(), Original::default());
    let cluster = servers.url("").replace("zk://", "");
    let client = zookeeper_client::Client::connect(&cluster).await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir("/dcos-service-web/tasks", &options).await.unwrap();
    let task = "/dcos-service-web/tasks/web.0b3c4d5e-1f2a-4b6c-8d9e-0a1b2c3d4e5f.0";
    client.create("/dcos-service-web/framework-id", b"f-7", &options).await.unwrap();
    client
        .create(task, br#"{"name":"/web","runtimeInfo":{"agentId":"a-1","state":"TASK_RUNNING"}}"#, &options)
        .await
        .unwrap();
    let original = read_original(&zk).await.unwrap();
    assert_eq!(original.framework_id.as_deref(), Some("f-7"));
    assert_eq!(original.task_ids, ["web.0b3c4d5e-1f2a-4b6c-8d9e-0a1b2c3d4e5f.0"]);
    let (mut store, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), []);
    store.apply(&batch(1, [put("framework", r#"{"stamp":{"format":1,"incarnation":1},"id":"f-7"}"#)])).await.unwrap();
    assert_eq!(read_original(&zk).await.unwrap(), original);
}

// S167: as text, for people; and it goes with the record.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn the_framework_id_is_also_plain_text() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/framework");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    let record = |id: &str| format!(r#"{{"stamp":{{"format":1,"incarnation":1}},"id":"{id}"}}"#);
    for (number, id) in [(1, "f-1"), (2, "f-1"), (3, "f-2")] {
        store.apply(&batch(number, [put("framework", record(id))])).await.unwrap();
        assert_eq!(stored_framework_id(&zk).await.unwrap().as_deref(), Some(id));
    }
    store.apply(&batch(4, [delete("framework")])).await.unwrap();
    assert_eq!(stored_framework_id(&zk).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_session_that_is_gone_is_replaced_and_the_store_stays_ours() {
    let mut servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/framework");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    for number in 1..4 {
        servers.kill(0);
        let write = batch(number, [put(&number.to_string(), "x"), put("last", number.to_string())]);
        assert!(store.apply(&write).await.is_err());
        // Longer than the client hopes for: 7/5 of the timeout, from when it last heard of a server.
        sleep(TIMEOUT).await;
        servers.launch(0);
        persist(&mut store, &write).await;
    }
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), pairs(&[("1", "x"), ("2", "x"), ("3", "x"), ("last", "3")]));
}

// W46, W49, S181, S183: the server is killed and stays away for longer than the session lives.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn an_outage_in_the_middle() {
    let mut servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/framework");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", "1"), put("b", "1")])).await.unwrap();
    servers.kill(0);
    let second = batch(2, [put("a", "2"), put("c", "2"), delete("b")]);
    let begin = Instant::now();
    let failure = store.apply(&second).await.unwrap_err();
    assert!(matches!(failure, StoreFailure::Unavailable(_)), "{failure}");
    assert!(begin.elapsed() < TIMEOUT * 2, "{:?}", begin.elapsed());
    let write = async {
        let failures = persist(&mut store, &second).await;
        store.apply(&batch(3, [put("b", "3")])).await.unwrap();
        failures
    };
    let back = async {
        sleep(TIMEOUT * 3).await;
        servers.launch(0);
    };
    let (failures, ()) = tokio::join!(write, back);
    assert!(failures > 1, "{failures}");
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), pairs(&[("a", "2"), ("b", "3"), ("c", "2")]));
}

/// Gives a batch until it is durable, as the engine does; how often that was not so.
async fn persist(store: &mut ZkStore, batch: &Persist) -> usize {
    for failures in 0.. {
        match store.apply(batch).await {
            Ok(()) => return failures,
            Err(StoreFailure::Unavailable(_)) => sleep(Duration::from_millis(100)).await,
            Err(failure) => panic!("{failure}"),
        }
    }
    unreachable!()
}
