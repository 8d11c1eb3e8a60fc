//! The store: what it promises, with servers that come and go.

use std::time::{Duration, Instant};

use conformance::ZooKeeper;
use mesos_zk::mesos_core::{Key, Persist, Store as _, StoreFailure, StoreOp, Ticket};
use mesos_zk::{Records, ZkStore};
use tokio::time::sleep;

use crate::{TIMEOUT, zk};

fn put(name: &str, value: impl Into<Vec<u8>>) -> StoreOp {
    StoreOp::Put { key: Key::parse(name).unwrap(), value: value.into().into() }
}

fn delete(name: &str) -> StoreOp {
    StoreOp::Delete { key: Key::parse(name).unwrap() }
}

fn batch(number: u64, ops: impl Into<Vec<StoreOp>>) -> Persist {
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
