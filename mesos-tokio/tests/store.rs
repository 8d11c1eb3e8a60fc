//! The store and the runtime, and the spawned face.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use common::{Each, HANG, Log, Puppet, Seen, gated, guard, kept_in as driver, next, unavailable};
use mesos_core::StoreFailure;
use mesos_tokio::Closed;

#[tokio::test]
async fn events_that_nobody_reads_hold_no_answer_up() {
    let log = Log::new();
    let seen = log.clone();
    let store = Each(move |n| {
        seen.push(n);
        std::future::ready(Ok(()))
    });
    let (handle, mut events) = driver(store).spawn();
    handle
        .command(|m| {
            (0..2000).for_each(|_| m.note("much"));
            m.chain = 100;
            m.persist();
        })
        .await
        .unwrap();
    // Each but the first is the answer to the one before, and nothing else happens meanwhile.
    assert_eq!(log.wait(100).await, (1..=100).collect::<Vec<_>>());
    for _ in 0..2000 {
        assert_eq!(guard(events.next()).await, Some(Seen::Note("much")));
    }
    for n in 1..=100 {
        assert_eq!(guard(events.next()).await, Some(Seen::Persisted(n)));
    }
}

async fn asleep(n: u64) -> Result<(), StoreFailure> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    // A task of the store's own, as a client of a server has them.
    let sum = tokio::spawn(async move { n + 1 }).await;
    if sum.ok() == Some(n + 1) { Ok(()) } else { Err(unavailable()) }
}

#[tokio::test]
async fn a_store_may_need_the_runtime() {
    let mut driver = driver(Each(asleep));
    driver.with(Puppet::persist);
    assert_eq!(next(&mut driver).await, Seen::Persisted(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_may_need_the_runtime_with_threads() {
    let (handle, mut events) = driver(Each(asleep)).spawn();
    handle.command(Puppet::persist).await.unwrap();
    assert_eq!(guard(events.next()).await, Some(Seen::Persisted(1)));
}

#[tokio::test]
async fn the_spawned_end_waits_too() {
    let (store, gate, log) = gated();
    let (handle, mut events) = driver(store).spawn();
    handle
        .command(|m| {
            m.persist();
            m.end();
        })
        .await
        .unwrap();
    assert_eq!(guard(events.next()).await, Some(Seen::Note("end")));
    log.wait(1).await;
    let early = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
    assert!(early.is_err(), "{early:?}");
    gate.send(Ok(())).unwrap();
    assert_eq!(guard(events.next()).await, None);
    assert_eq!(guard(handle.closed()).await, Closed::Finished);
    assert_eq!(log.all(), ["begin 1", "end 1", "dropped by mesos-store"]);
}

struct Tells(Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_runtime_that_shuts_down_takes_the_store_with_it() {
    let (dropped, told) = channel();
    let tells = Tells(dropped);
    let (began, begun) = channel();
    let store = Each(move |_| {
        let (_, began) = (&tells, began.clone());
        async move {
            began.send(()).unwrap();
            tokio::time::sleep(Duration::from_secs(1_000_000)).await;
            Ok(())
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let driver = runtime.block_on(async {
        let mut driver = driver(store);
        driver.with(Puppet::persist);
        driver
    });
    begun.recv_timeout(HANG).unwrap();
    drop(runtime);
    told.recv_timeout(HANG).unwrap();
    drop(driver);
}
