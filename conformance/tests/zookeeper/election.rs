//! The election: one leads at a time, and knows before others do when it doesn't any more.

use std::time::{Duration, Instant};

use conformance::ZooKeeper;
use mesos_zk::mesos_core::{Store as _, StoreFailure};
use mesos_zk::{Election, Lease, Zk, ZkStore};
use tokio::time::{sleep, timeout};

use crate::store::{batch, put};
use crate::{LONG, TIMEOUT, settings};

fn election(servers: &ZooKeeper, name: &str) -> (Zk, Election) {
    lasting(servers, name, TIMEOUT)
}

/// With sessions that last so long.
fn lasting(servers: &ZooKeeper, name: &str, session: Duration) -> (Zk, Election) {
    let zk = Zk::new(settings(servers, "/ha").session_timeout(session)).unwrap();
    let election = Election::new(&zk, name);
    (zk, election)
}

/// Before the next heartbeat of a long session, let alone its end, could tell.
const AT_ONCE: Duration = Duration::from_secs(LONG.as_secs() / 8);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(TIMEOUT * 10, future).await.expect("in time")
}

/// Leads, and has the store open.
async fn leading(election: &Election) -> (Lease, ZkStore) {
    let lease = soon(election.campaign()).await.unwrap();
    let (store, _) = soon(ZkStore::open(&lease)).await.unwrap();
    (lease, store)
}

// S184, W50
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn candidates_lead_in_their_order() {
    let servers = ZooKeeper::start(1);
    let ((_zk1, first), (_zk2, second), (_zk3, third)) =
        (lasting(&servers, "1", LONG), election(&servers, "2"), election(&servers, "3"));
    let (lease, mut store) = leading(&first).await;
    let second = tokio::spawn(second.campaign());
    sleep(Duration::from_millis(300)).await;
    let third = tokio::spawn(third.campaign());
    sleep(TIMEOUT * 2).await;
    assert!(lease.is_held() && !second.is_finished() && !third.is_finished());
    // The one in the middle goes, and the last doesn't take it for the first.
    second.abort();
    sleep(TIMEOUT / 2).await;
    assert!(!third.is_finished());
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
    let begin = Instant::now();
    lease.release().await;
    let lease = soon(third).await.unwrap().unwrap();
    println!("hand-over in {:?}", begin.elapsed());
    assert!(begin.elapsed() < AT_ONCE);
    let failure = store.apply(&batch(2, [put("a", "2")])).await.unwrap_err();
    assert!(matches!(failure, StoreFailure::Fenced(_)), "{failure}");
    let (_, records) = ZkStore::open(&lease).await.unwrap();
    assert_eq!(records.len(), 1);
}

/// Dropping all of it is as good as giving it up.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_dropped_lease_is_given_up() {
    let servers = ZooKeeper::start(1);
    let ((zk1, first), (_zk2, second)) = (lasting(&servers, "1", LONG), election(&servers, "2"));
    let (lease, store) = leading(&first).await;
    let second = tokio::spawn(second.campaign());
    sleep(TIMEOUT).await;
    let begin = Instant::now();
    drop((lease, store, zk1, first));
    soon(second).await.unwrap().unwrap();
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
}

// W49, S183: all servers go. Leadership ends before the session can, and comes back with them.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn leadership_ends_before_the_session() {
    const SESSION: Duration = Duration::from_secs(8);
    let mut servers = ZooKeeper::start(1);
    let (_zk, election) = lasting(&servers, "1", SESSION);
    let (lease, mut store) = leading(&election).await;
    store_until_durable(&mut store, 1).await;
    sleep(SESSION).await;
    assert!(lease.is_held());
    servers.kill(0);
    let begin = Instant::now();
    let why = soon(lease.lost()).await;
    println!("lost after {:?}: {why}", begin.elapsed());
    // The last heartbeat that was answered is up to a quarter of the session older than the servers' end.
    assert!(!lease.is_held() && begin.elapsed() < SESSION * 3 / 4, "{:?}", begin.elapsed());
    let failure = store.apply(&batch(2, [put("a", "2")])).await.unwrap_err();
    assert!(matches!(failure, StoreFailure::Fenced(_)), "{failure}");
    let again = tokio::spawn(election.campaign());
    sleep(SESSION).await;
    servers.launch(0);
    let lease = soon(again).await.unwrap().unwrap();
    let (_, records) = ZkStore::open(&lease).await.unwrap();
    assert_eq!(records.len(), 1);
}

#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn leadership_outlives_a_quick_restart() {
    let mut servers = ZooKeeper::start(1);
    let (_zk, election) = lasting(&servers, "1", LONG);
    let (lease, mut store) = leading(&election).await;
    servers.kill(0);
    servers.launch(0);
    store_until_durable(&mut store, 1).await;
    assert!(lease.is_held());
}

async fn store_until_durable(store: &mut ZkStore, number: u64) {
    let batch = batch(number, [put("a", number.to_string())]);
    for _ in 0..100 {
        match store.apply(&batch).await {
            Ok(()) => return,
            Err(StoreFailure::Unavailable(_)) => sleep(Duration::from_millis(20)).await,
            Err(failure) => panic!("{failure}"),
        }
    }
    panic!("not durable");
}

/// The server stands still, and then goes on with all that waits for it: nobody leads twice, nothing old is written.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_server_that_stands_still() {
    let servers = ZooKeeper::start(1);
    let ((_zk1, first), (_zk2, second)) = (election(&servers, "1"), election(&servers, "2"));
    let (lease, mut store) = leading(&first).await;
    let second = tokio::spawn(second.campaign());
    sleep(TIMEOUT / 2).await;
    servers.freeze(0, true);
    let late = tokio::spawn(async move {
        let result = store.apply(&batch(1, [put("late", "1")])).await;
        (store, result)
    });
    soon(lease.lost()).await;
    sleep(TIMEOUT * 2).await;
    servers.freeze(0, false);
    let lease = soon(second).await.unwrap().unwrap();
    let (mut next, records) = ZkStore::open(&lease).await.unwrap();
    let (mut store, _) = late.await.unwrap();
    next.apply(&batch(1, [put("late", "2")])).await.unwrap();
    let failure = store.apply(&batch(1, [put("late", "1")])).await.unwrap_err();
    assert!(matches!(failure, StoreFailure::Fenced(_)), "{failure} {}", records.len());
    let (_, records) = ZkStore::open(&lease).await.unwrap();
    assert_eq!(records.values().next().map(|value| &value[..]), Some(&b"2"[..]));
}

/// One of three servers is killed, the leading one too: leadership stays, and writes go on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn servers_of_three_are_killed() {
    let mut servers = ZooKeeper::start(3);
    let (zk, election) = lasting(&servers, "1", LONG);
    let (lease, mut store) = leading(&election).await;
    let mut number = 0;
    for index in [servers.leader(), 0] {
        let index = if servers.is_running(index) { index } else { 1 };
        servers.kill(index);
        let begin = Instant::now();
        number += 1;
        store_until_durable(&mut store, number).await;
        println!("written {:?} after server {index} was killed", begin.elapsed());
        servers.launch(index);
        tokio::task::block_in_place(|| servers.wait());
        number += 1;
        store_until_durable(&mut store, number).await;
    }
    assert!(lease.is_held());
    // All of them, and back.
    (0..3).for_each(|index| servers.kill(index));
    (0..3).for_each(|index| servers.launch(index));
    tokio::task::block_in_place(|| servers.wait());
    let election = Election::new(&zk, "1");
    drop((store, lease));
    let (_lease, mut store) = leading(&election).await;
    store_until_durable(&mut store, 1).await;
}
