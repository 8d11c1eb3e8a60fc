//! Pulled and spawned: what may be dropped when, what a full queue holds up, how a driver ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::pin::pin;
use std::task::Poll;

use common::{Log, Puppet, STREAM, Seen, chunk, driver, guard, next, read_request, serve, tcp, write};
use futures_core::Stream;
use mesos_core::Lane;
use mesos_tokio::{Closed, Driver, Http};

/// Streams this many numbered chunks to whoever comes, then waits for the peer to go, and logs that.
async fn numbers(count: u32, gone: &Log<()>) -> common::Server {
    let gone = gone.clone();
    serve(move |_, mut stream| {
        let gone = gone.clone();
        async move {
            read_request(&mut stream).await;
            write(&mut stream, STREAM).await;
            for n in 0..count {
                write(&mut stream, &chunk(&n.to_be_bytes())).await;
            }
            read_request(&mut stream).await;
            gone.push(());
        }
    })
    .await
}

fn numbers_in(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|n| u32::from_be_bytes(n.try_into().unwrap())).collect()
}

#[tokio::test]
async fn next_event_can_be_dropped_at_any_time() {
    let server = numbers(500, &Log::new()).await;
    let mut driver = driver();
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    let (mut bytes, mut dropped) = (Vec::new(), 0_u32);
    guard(async {
        while bytes.len() < 2000 {
            // Polled once, then dropped.
            let polled = {
                let mut event = pin!(driver.next_event());
                std::future::poll_fn(|cx| Poll::Ready(event.as_mut().poll(cx))).await
            };
            match polled {
                Poll::Ready(Some(Seen::Body(_, data))) => bytes.extend(data),
                Poll::Ready(Some(Seen::Head(..))) => {}
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => {
                    dropped += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
    assert!(dropped > 0);
    assert_eq!(numbers_in(&bytes), (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn dropping_the_driver_closes_its_connections() {
    let gone = Log::new();
    let server = numbers(1, &gone).await;
    let mut driver = driver();
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    next(&mut driver).await;
    assert!(gone.all().is_empty());
    drop(driver);
    gone.wait(1).await;
}

#[tokio::test]
async fn the_spawned_driver_lives_as_long_as_handles_or_stream() {
    let gone = Log::new();
    let server = numbers(3, &gone).await;
    let endpoint = server.endpoint.clone();
    let (handle, events) = driver().spawn();
    drop(events);
    // Events are discarded, commands go on.
    handle.command(move |m| m.request(Lane::Subscription, &endpoint, b"subscribe")).await.unwrap();
    let second = handle.clone();
    drop(handle);
    while guard(second.command(|m| m.bytes)).await.unwrap() < 12 {
        tokio::task::yield_now().await;
    }
    assert!(gone.all().is_empty());
    drop(second);
    gone.wait(1).await;
}

#[tokio::test]
async fn the_stream_alone_keeps_the_spawned_driver_going() {
    let gone = Log::new();
    let server = numbers(3, &gone).await;
    let endpoint = server.endpoint.clone();
    let (handle, mut events) = driver().spawn();
    handle.command(move |m| m.request(Lane::Subscription, &endpoint, b"subscribe")).await.unwrap();
    drop(handle);
    let mut bytes = Vec::new();
    while bytes.len() < 12 {
        // As a Stream, the way generic code reads it.
        let event = std::future::poll_fn(|cx| pin!(&mut events).poll_next(cx));
        if let Some(Seen::Body(_, data)) = guard(event).await {
            bytes.extend(data);
        }
    }
    assert!(gone.all().is_empty());
    drop(events);
    gone.wait(1).await;
}

// A reader that gives a command for each event, while far more events come than the queue holds.
#[tokio::test]
async fn a_reader_may_wait_for_commands_while_the_queue_is_full() {
    let server = numbers(0, &Log::new()).await;
    let endpoint = server.endpoint.clone();
    let (handle, mut events) = driver().spawn();
    handle
        .command(move |m| {
            m.request(Lane::Subscription, &endpoint, b"subscribe");
            (0..1000).for_each(|_| m.note("much"));
        })
        .await
        .unwrap();
    for _ in 0..1000 {
        assert_eq!(guard(events.next()).await, Some(Seen::Note("much")));
        guard(handle.command(|m| m.bytes)).await.unwrap();
    }
}

#[tokio::test]
async fn after_the_last_event_comes_none() {
    let gone = Log::new();
    let server = numbers(1, &gone).await;
    let mut driver = driver();
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    next(&mut driver).await;
    driver.with(Puppet::end);
    while next(&mut driver).await != Seen::Note("end") {}
    assert_eq!(guard(driver.next_event()).await, None);
    assert_eq!(guard(driver.next_event()).await, None);
    gone.wait(1).await;
}

#[tokio::test]
async fn a_spawned_driver_that_has_ended_says_so() {
    let (handle, mut events) = driver().spawn();
    handle.command(Puppet::end).await.unwrap();
    assert_eq!(guard(events.next()).await, Some(Seen::Note("end")));
    assert_eq!(guard(events.next()).await, None);
    assert_eq!(guard(handle.closed()).await, Closed::Finished);
    assert_eq!(guard(handle.command(|m| m.bytes)).await, Err(Closed::Finished));
}

#[tokio::test]
async fn a_panicking_command_ends_the_driver_and_is_told() {
    let gone = Log::new();
    let server = numbers(1, &gone).await;
    let endpoint = server.endpoint.clone();
    let (handle, mut events) = driver().spawn();
    handle.command(move |m| m.request(Lane::Subscription, &endpoint, b"subscribe")).await.unwrap();
    guard(events.next()).await.unwrap();
    let result: Result<(), _> = guard(handle.command(|_| panic!("expected in the test's output"))).await;
    assert_eq!(result, Err(Closed::Panicked));
    assert_eq!(guard(handle.closed()).await, Closed::Panicked);
    assert_eq!(guard(handle.command(|m| m.bytes)).await, Err(Closed::Panicked));
    gone.wait(1).await;
    while guard(events.next()).await.is_some() {}
}

#[test]
fn a_runtime_that_shuts_down_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (handle, events) = runtime.block_on(async { driver().spawn() });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(other.block_on(guard(handle.closed())), Closed::Dropped);
    drop(events);
}

#[tokio::test]
async fn several_drivers_share_the_settings_and_nothing_else() {
    let server = numbers(2, &Log::new()).await;
    let http = Http::default();
    let mut drivers = [Driver::new(Puppet::default(), http.clone()), Driver::new(Puppet::default(), http)];
    for driver in &mut drivers {
        driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    }
    for driver in &mut drivers {
        while driver.machine().bytes < 8 {
            next(driver).await;
        }
    }
}

#[test]
fn without_a_runtime_it_is_a_panic_and_not_a_hang() {
    // Documented; here so that the documentation stays true.
    let mut driver = driver();
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        driver.with(|m| m.request(Lane::Ordered, &tcp(1), b""));
    }));
    assert!(attempt.is_err());
}
