//! A store on its own thread: what it must not hold up, in which order it answers, how it ends.

use std::time::{Duration, SystemTime};

use crate::common::{
    ACCEPTED, Driver, Each, Http, Log, Puppet, Seen, answer, gated, kept_in as driver, last, next, next_within,
    read_request, serve, unavailable, write,
};
use bytes::Bytes;
use mesos_core::{Input, Instant, Key, Lane, Machine, MemoryStore, Output, Persist, Store, StoreFailure, Ticket};
use mesos_file::FileStore;

// On the one thread of the runtime, which a blocking store would hold up with everything on it.
#[tokio::test]
async fn a_store_that_blocks_holds_nothing_up() {
    let server = serve(|_, mut stream| async move {
        while read_request(&mut stream).await.is_some() {
            write(&mut stream, ACCEPTED).await;
        }
    })
    .await;
    let (store, gate, log) = gated();
    let mut driver = driver(store);
    driver.with(Puppet::persist);
    log.wait(1).await;
    // Commands and events.
    driver.with(|m| m.note("while it blocks"));
    assert_eq!(next(&mut driver).await, Seen::Note("while it blocks"));
    // Exchanges.
    let call = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"call"));
    assert_eq!(answer(&mut driver, call).await, (Some(202), vec![], Ok(())));
    // Timers.
    driver.with(|m| m.watch(Duration::from_millis(20)));
    assert_eq!(next(&mut driver).await, Seen::Silent);
    assert_eq!(log.all(), ["begin 1"]);
    gate.send(Ok(())).unwrap();
    assert_eq!(next(&mut driver).await, Seen::Persisted(1));
}

#[tokio::test]
async fn each_batch_has_its_answer_and_they_come_in_order() {
    let refused = StoreFailure::Refused { key: Some(Key::new(["n"])), detail: "too large".into() };
    let script = [Ok(()), Err(unavailable()), Ok(()), Err(refused), Err(StoreFailure::Fenced("by b".into()))];
    let (store, gate, log) = gated();
    let mut driver = driver(store);
    for (ticket, answer) in (1..).zip(script) {
        driver.with(Puppet::persist);
        gate.send(answer.clone()).unwrap();
        let expected = match answer {
            Ok(()) => Seen::Persisted(ticket),
            Err(failure) => Seen::PersistFailed(ticket, failure),
        };
        assert_eq!(next(&mut driver).await, expected);
    }
    let expected: Vec<_> = (1..=5).flat_map(|n| [format!("begin {n}"), format!("end {n}")]).collect();
    assert_eq!(log.all(), expected);
}

// Against the contract, which knows one at a time; a driver must cope all the same.
#[tokio::test]
async fn several_batches_at_once_are_written_one_by_one() {
    let (store, gate, log) = gated();
    let mut driver = driver(store);
    driver.with(|m| {
        for _ in 0..3 {
            m.persist();
        }
    });
    for answer in [Ok(()), Err(unavailable()), Ok(())] {
        gate.send(answer).unwrap();
    }
    assert_eq!(next(&mut driver).await, Seen::Persisted(1));
    assert_eq!(next(&mut driver).await, Seen::PersistFailed(2, unavailable()));
    assert_eq!(next(&mut driver).await, Seen::Persisted(3));
    assert_eq!(log.all(), ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]);
}

#[tokio::test]
async fn pulled_events_let_answers_through() {
    let log = Log::new();
    let seen = log.clone();
    let store = Each(move |n| {
        seen.push(n);
        std::future::ready(Ok(()))
    });
    let mut driver = driver(store);
    driver.with(|m| {
        (0..10_000).for_each(|_| m.note("much"));
        m.chain = 3;
        m.persist();
    });
    let mut pulled = 0;
    while log.all().len() < 3 {
        assert_eq!(next(&mut driver).await, Seen::Note("much"));
        pulled += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(pulled < 10_000);
}

#[tokio::test]
async fn without_a_store_everything_is_durable_at_once() {
    let mut driver = crate::common::driver();
    driver.with(|m| {
        m.persist();
        m.note("after");
    });
    // Fed within the same drain, so the answer is there before anything was awaited.
    assert_eq!(next(&mut driver).await, Seen::Note("after"));
    assert_eq!(next(&mut driver).await, Seen::Persisted(1));
}

#[tokio::test]
async fn the_end_waits_for_the_batch_under_way_and_lets_the_store_go() {
    let (store, gate, log) = gated();
    let mut driver = driver(store);
    driver.with(|m| {
        m.persist();
        m.end();
    });
    assert_eq!(next(&mut driver).await, Seen::Note("end"));
    log.wait(1).await;
    for _ in 0..3 {
        let early = next_within(&mut driver, Duration::from_millis(10)).await;
        assert!(early.is_err(), "{early:?}");
    }
    gate.send(Ok(())).unwrap();
    assert_eq!(last(&mut driver).await, None);
    // Not soon: before the end is told, or the next instance finds the store in use.
    assert_eq!(log.all(), ["begin 1", "end 1", "dropped by mesos-store"]);
    assert_eq!(last(&mut driver).await, None);
    // Nothing waits for an answer for ever.
    driver.with(Puppet::persist);
}

/// Has nothing to wait for but the answer to its only batch, and ends with it.
#[derive(Default)]
struct Marks(Vec<Output<&'static str>>);

impl Machine for Marks {
    type Event = &'static str;

    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        match input {
            Input::Timeout => self.0.push(Output::Persist(Persist::new(Ticket::new(1), vec![]))),
            Input::Persisted { .. } => self.0.push(Output::Event("marked")),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Output<&'static str> {
        self.0.pop().unwrap_or(Output::Timeout(None))
    }
}

#[tokio::test]
async fn a_machine_that_waits_for_its_store_alone_has_not_ended() {
    let (store, gate, log) = gated();
    let mut driver = Driver::new(Marks::default(), Http::default()).store(store);
    let early = next_within(&mut driver, Duration::from_millis(20)).await;
    assert!(early.is_err(), "{early:?}");
    log.wait(1).await;
    // Waited for before it is answered.
    let answering = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        gate.send(Ok(()))
    });
    assert_eq!(last(&mut driver).await, Some("marked"));
    answering.join().unwrap().unwrap();
    assert_eq!(last(&mut driver).await, None);
}

#[tokio::test]
async fn an_end_without_any_batch_lets_the_store_go() {
    let (store, _gate, log) = gated();
    let mut driver = driver(store);
    driver.with(Puppet::end);
    assert_eq!(next(&mut driver).await, Seen::Note("end"));
    assert_eq!(last(&mut driver).await, None);
    assert_eq!(log.all().len(), 1);
}

#[tokio::test]
async fn dropping_the_driver_waits_for_nothing_and_loses_nothing() {
    let (store, gate, log) = gated();
    let mut driver = driver(store);
    driver.with(Puppet::persist);
    log.wait(1).await;
    drop(driver);
    assert_eq!(log.all(), ["begin 1"]);
    gate.send(Ok(())).unwrap();
    assert_eq!(log.wait(3).await, ["begin 1", "end 1", "dropped by mesos-store"]);
}

#[tokio::test]
async fn a_store_that_panics_is_refusal_for_good() {
    let store = Each(|n| async move { if n == 2 { panic!("expected in the test's output: {n}") } else { Ok(()) } });
    let mut driver = driver(store);
    driver.with(Puppet::persist);
    assert_eq!(next(&mut driver).await, Seen::Persisted(1));
    driver.with(Puppet::persist);
    match next(&mut driver).await {
        Seen::PersistFailed(2, StoreFailure::Refused { key: None, detail }) => {
            assert_eq!(detail, "it panicked: expected in the test's output: 2");
        }
        other => panic!("{other:?}"),
    }
    driver.with(Puppet::persist);
    let failure = next(&mut driver).await;
    assert!(matches!(failure, Seen::PersistFailed(3, StoreFailure::Refused { key: None, .. })), "{failure:?}");
    // The driver itself goes on.
    driver.with(|m| m.note("alive"));
    assert_eq!(next(&mut driver).await, Seen::Note("alive"));
    driver.with(Puppet::end);
    while last(&mut driver).await.is_some() {}
}

/// What a store does whose lock is poisoned: it panics at its batch, and again when it is dropped.
struct Poisoned;

impl Store for Poisoned {
    async fn apply(&mut self, _: &Persist) -> Result<(), StoreFailure> {
        panic!("expected in the test's output");
    }
}

impl Drop for Poisoned {
    fn drop(&mut self) {
        panic!("expected in the test's output, too");
    }
}

#[tokio::test]
async fn a_store_that_panics_once_more_when_it_is_dropped() {
    let mut driver = driver(Poisoned);
    driver.with(|m| {
        m.persist();
        m.persist();
    });
    for n in 1..=2 {
        let failure = next(&mut driver).await;
        assert!(matches!(failure, Seen::PersistFailed(t, StoreFailure::Refused { .. }) if t == n), "{failure:?}");
    }
    driver.with(Puppet::end);
    while last(&mut driver).await.is_some() {}
}

#[tokio::test]
async fn the_core_s_own_store() {
    let mut driver = driver(MemoryStore::new());
    driver.with(|m| {
        m.chain = 10;
        m.persist();
    });
    for n in 1..=10 {
        assert_eq!(next(&mut driver).await, Seen::Persisted(n));
    }
}

// After the end, nothing of the old instance is in the way of the next.
#[tokio::test]
async fn a_file_store_can_be_opened_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5_u64 {
        let (store, records) = FileStore::open(&folder).unwrap();
        let expected = (round > 0).then(|| Bytes::from_static(b"20"));
        assert_eq!(records.get(&Key::new(["n"])), expected.as_ref());
        let mut driver = driver(store);
        driver.with(|m| {
            m.chain = 20;
            m.persist();
        });
        while next(&mut driver).await != Seen::Persisted(19) {}
        // The last one is on its way, and nobody will hear of it any more.
        driver.with(Puppet::end);
        while last(&mut driver).await.is_some() {}
    }
}

#[tokio::test]
async fn the_time_of_day_comes_with_the_clock() {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut driver = driver(MemoryStore::new());
    let before = now();
    // The puppet itself checks that each timeout has one before it.
    let first = driver.with(|m| m.wall()).unwrap().since_epoch();
    driver.with(|m| m.watch(Duration::from_millis(20)));
    assert_eq!(next(&mut driver).await, Seen::Silent);
    let second = driver.machine().wall().unwrap().since_epoch();
    assert!(before <= first && first + Duration::from_millis(20) <= second && second <= now());
}
