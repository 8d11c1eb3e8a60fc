//! Threads: commands from others, who waits for whom, what it costs to wait, and that all end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::await_holding_lock, reason = "a test")]
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{ACCEPTED, HANG, Log, Puppet, STREAM, Seen, answer, chunk, driver, flood, read_request, serve, write};
use mesos_blocking::{Closed, Driver, Http, TimedOut};
use mesos_core::{Lane, MemoryStore};

/// One test at a time: what they count is the whole process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    threads_become(&[]);
    alone
}

/// Streams a heartbeat to SUBSCRIBE and accepts all else.
async fn master() -> common::Server {
    serve(|_, mut stream| async move {
        while let Some((_, body)) = read_request(&mut stream).await {
            let stream_starts = [STREAM, &chunk(b"heartbeat")].concat();
            write(&mut stream, if body == b"subscribe" { &stream_starts } else { ACCEPTED }).await;
        }
    })
    .await
}

/// A driver with a thread of each kind that can be at rest.
async fn busy(server: &common::Server) -> Driver<Puppet> {
    let mut driver = driver().store(MemoryStore::new());
    driver.with(Puppet::persist);
    assert_eq!(driver.next_event(), Some(Seen::Persisted(1)));
    for lane in [Lane::Ordered, Lane::Acks] {
        let id = driver.with(|m| m.request(lane, &server.endpoint, b"call"));
        assert_eq!(answer(&mut driver, id).await.0, Some(202));
    }
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    while !matches!(driver.next_event(), Some(Seen::Body(..))) {}
    driver
}

/// The driver's threads of this process, by name.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let mut names: Vec<_> =
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("mesos-")).collect();
    names.sort();
    names
}

/// Waits for the threads that there should be; they start and end on their own time.
fn threads_become(expected: &[&str]) {
    let limit = Instant::now() + HANG;
    while threads() != expected {
        assert!(Instant::now() < limit, "{:?}", threads());
        thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn threads_start_as_needed_and_all_end() {
    let _alone = alone();
    let server = master().await;
    let driver = busy(&server).await;
    threads_become(&["mesos-acks", "mesos-calls", "mesos-store", "mesos-stream"]);
    drop(driver);
    threads_become(&[]);

    // Where nobody listens, nobody answers, and nobody reads.
    let stuck = Log::new();
    let flooding = flood(stuck.clone()).await;
    let silent = serve(|_, stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut driver = common::driver();
    driver.with(|m| {
        m.request(Lane::Subscription, &flooding.endpoint, b"subscribe");
        m.request(Lane::Ordered, &silent.endpoint, b"call");
        m.request(Lane::Acks, &silent.endpoint, &vec![b'x'; 64 << 20]);
    });
    stuck.wait(1).await;
    threads_become(&["mesos-acks", "mesos-calls", "mesos-stream"]);
    drop(driver);
    threads_become(&[]);

    // An exchange that is aborted lets its thread go on at once.
    let mut driver = common::driver();
    let id = driver.with(|m| m.request(Lane::Ordered, &silent.endpoint, b"call"));
    let stream = driver.with(|m| m.request(Lane::Subscription, &silent.endpoint, b"subscribe"));
    thread::sleep(Duration::from_millis(20));
    driver.with(|m| {
        m.abort(id);
        m.abort(stream);
    });
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"call"));
    assert_eq!(answer(&mut driver, id).await.0, Some(202));
    threads_become(&["mesos-calls"]);
}

/// The processor time that this process has used so far.
fn used() -> Duration {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

// Less than 0.1 % of a processor, measured over all threads of the driver: what they use in seconds is nothing at all,
// where a loop that looks around every 10 ms would use some milliseconds.
#[tokio::test]
async fn waiting_costs_nothing() {
    let _alone = alone();
    let server = master().await;
    let mut driver = busy(&server).await;
    let all = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        // Time on a processor in ns, time waiting for one, and how often it got one.
        let numbers = stats.map(|stat| stat.split_whitespace().map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>());
        numbers.fold((0, 0), |(time, turns), stat| (time + stat[0], turns + stat[2]))
    };
    assert!(used() > Duration::ZERO, "this system counts");
    let before = all();
    assert_eq!(driver.next_event_timeout(Duration::from_secs(3)), Err(TimedOut));
    let after = all();
    let (time, turns) = (Duration::from_nanos(after.0 - before.0), after.1 - before.1);
    assert!(time < Duration::from_millis(3), "{time:?} in 3 s, {turns} turns");
    // However loaded the machine is: a thread that is not woken has no turn. The server's and the test's own may.
    assert!(turns < 30, "{turns} turns in 3 s");
}

// While events wait unread and while there are none.
#[tokio::test]
async fn commands_from_other_threads_run_at_once_and_in_order() {
    let _alone = alone();
    let mut driver = driver();
    let handle = driver.handle();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        let counts: Vec<usize> = (0..100)
            .map(|n| {
                handle.command(move |m| {
                    m.bodies += 1;
                    m.chain = n;
                    m.bodies
                })
            })
            .map(Result::unwrap)
            .collect();
        assert_eq!(counts, (1..=100).collect::<Vec<_>>());
        handle.command(Puppet::end).unwrap();
        (start.elapsed(), handle)
    });
    assert_eq!(driver.next_event(), Some(Seen::Note("end")));
    assert_eq!(driver.next_event(), None);
    let (took, handle) = other.join().unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(handle.closed(), Closed::Finished);
    assert_eq!(handle.command(|m| m.bodies), Err(Closed::Finished));
}

// From a signal handler's thread, say. What counts is that nothing is waited for: the stream is silent.
#[tokio::test]
async fn stopped_from_another_thread() {
    let _alone = alone();
    let server = master().await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        let mut driver = busy(&server).await;
        let handle = driver.handle();
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            let start = Instant::now();
            handle.command(Puppet::end).unwrap();
            start
        });
        while driver.next_event().is_some() {}
        let end = Instant::now();
        waits.push(end - stopper.join().unwrap());
    }
    // On a machine with others at work one may take longer, but not all of them.
    assert!(waits.iter().min().unwrap() < &Duration::from_millis(100), "{waits:?}");
}

#[test]
fn a_dropped_driver_tells_those_who_wait() {
    let _alone = alone();
    let (handed, given) = channel();
    let driver = driver();
    let handle = driver.handle();
    let waiting = thread::spawn(move || {
        handed.send(()).unwrap();
        handle.command(|m| m.bodies)
    });
    given.recv().unwrap();
    thread::sleep(Duration::from_millis(20));
    drop(driver);
    assert_eq!(waiting.join().unwrap(), Err(Closed::Dropped));
}

#[test]
fn a_panicking_command_is_its_caller_s_and_the_driver_s() {
    let _alone = alone();
    let mut driver = driver();
    let handle = driver.handle();
    let other = thread::spawn(move || (handle.command(|_| -> () { panic!("expected in the test's output") }), handle));
    let pulling = catch_unwind(AssertUnwindSafe(move || driver.next_event()));
    assert!(pulling.is_err());
    let (told, handle) = other.join().unwrap();
    assert_eq!(told, Err(Closed::Panicked));
    assert_eq!(handle.closed(), Closed::Panicked);
}

#[tokio::test]
async fn a_slow_reader_stops_the_server_and_nothing_else() {
    let _alone = alone();
    let stuck = Log::new();
    let (flooding, server) = (flood(stuck.clone()).await, master().await);
    let mut driver = driver();
    driver.with(|m| m.request(Lane::Subscription, &flooding.endpoint, b"subscribe"));
    assert!(matches!(driver.next_event(), Some(Seen::Head(..))));
    stuck.wait(1).await;
    // Events wait from here on, while the driver looks after the rest.
    driver.with(|m| (0..3).for_each(|_| m.note("much")));
    let call = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"call"));
    let limit = Instant::now() + HANG;
    let mut notes = 0;
    while notes < 3 {
        // A piece or two had been read before.
        notes += usize::from(driver.next_event() == Some(Seen::Note("much")));
    }
    let (bytes, paused) = (driver.machine().bytes, driver.machine().paused);
    assert!(bytes <= 6 * (64 << 10), "{bytes} bytes were read ahead");
    assert!(paused > 0, "the machine wasn't told");
    // Afterwards not a byte is missing, and the call has its answer.
    let mut called = false;
    while driver.machine().bytes < 64 << 20 || !called {
        assert!(Instant::now() < limit, "hangs");
        match driver.next_event() {
            Some(Seen::End(id)) if id == call => called = true,
            Some(Seen::Failed(_, failure)) => panic!("{failure}"),
            _ => {}
        }
    }
}

// Bytes before clock: a caller who takes long finds nobody declared silent.
#[tokio::test]
async fn a_caller_who_takes_long_doesnt_take_it_for_silence() {
    let _alone = alone();
    let server = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, STREAM).await;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !write(&mut stream, &chunk(b"alive")).await {
                return;
            }
        }
    })
    .await;
    let mut driver = Driver::new(Puppet::default(), Http::default());
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    assert!(matches!(driver.next_event(), Some(Seen::Head(..))));
    driver.with(|m| m.watch(Duration::from_millis(500)));
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(800));
        for _ in 0..20 {
            let event = driver.next_event();
            assert_ne!(event, Some(Seen::Silent));
        }
    }
}
