//! Time: silence is the machine's affair, and no timer is believed before the bytes that have come. And a slow reader.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use common::{Log, STREAM, Seen, chunk, driver, flood, guard, next, read_request, serve, write};
use mesos_core::Lane;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::Notify;

// S146: nothing but the machine's own timer notices a half-open connection.
#[tokio::test]
async fn silence_is_left_to_the_machine() {
    let server = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, STREAM).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut driver = driver();
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    assert!(matches!(next(&mut driver).await, Seen::Head(..)));
    // From here on nothing moves but the clock.
    tokio::time::pause();
    driver.with(|m| m.watch(Duration::from_secs(75)));
    let start = tokio::time::Instant::now();
    assert_eq!(driver.next_event().await, Some(Seen::Silent));
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(75) && waited < Duration::from_secs(76), "{waited:?}");
}

// Bytes before clock: they lie in the kernel while the whole runtime stands still.
#[tokio::test]
async fn a_runtime_that_stood_still_doesnt_take_it_for_silence() {
    let (go, (written, wait)) = (Arc::new(Notify::new()), mpsc::channel());
    let (told, (port_tx, port)) = (go.clone(), mpsc::channel());
    let over = Arc::new(Notify::new());
    let until = over.clone();
    // On a thread of its own, as ours will be blocked.
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let server = serve(move |_, mut stream| {
                let (told, written) = (told.clone(), written.clone());
                async move {
                    read_request(&mut stream).await;
                    write(&mut stream, STREAM).await;
                    told.notified().await;
                    write(&mut stream, &chunk(b"alive")).await;
                    written.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
            })
            .await;
            port_tx.send(server.endpoint.clone()).unwrap();
            until.notified().await;
        });
    });
    let endpoint = port.recv().unwrap();
    let mut driver = driver();
    let id = driver.with(|m| m.request(Lane::Subscription, &endpoint, b"subscribe"));
    assert!(matches!(next(&mut driver).await, Seen::Head(..)));
    driver.with(|m| m.watch(Duration::from_millis(50)));
    go.notify_one();
    wait.recv().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(next(&mut driver).await, Seen::Body(id, b"alive".to_vec()));
    over.notify_one();
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stops_the_server_and_nothing_else() {
    let stuck = Log::new();
    let server = flood(stuck.clone()).await;
    let calls = serve(|_, mut stream| async move {
        while read_request(&mut stream).await.is_some() {
            write(&mut stream, common::ACCEPTED).await;
        }
    })
    .await;
    let (handle, mut events) = driver().spawn();
    let flooded = server.endpoint.clone();
    let id = handle.command(move |m| m.request(Lane::Subscription, &flooded, b"subscribe")).await.unwrap();
    stuck.wait(1).await;
    // Commands still run, calls still get their answers, and the machine knows why its stream is silent.
    let endpoint = calls.endpoint.clone();
    let call = handle.command(move |m| m.request(Lane::Ordered, &endpoint, b"call")).await.unwrap();
    let (bodies, bytes, paused) = handle.command(|m| (m.bodies, m.bytes, m.paused)).await.unwrap();
    // 64 events wait, one found no room any more; all else is in the network's buffers.
    assert!(bodies <= 65, "{bodies} pieces were read ahead");
    assert!(bytes <= 65 * (64 << 10), "{bytes} bytes were read ahead");
    assert!(paused > 0, "the machine wasn't told");
    // Afterwards not a byte is missing.
    let (mut total, mut called) = (0, false);
    loop {
        match guard(events.next()).await.unwrap() {
            Seen::Body(_, data) => total += data.len(),
            Seen::End(of) if of == id => break,
            Seen::End(of) if of == call => called = true,
            Seen::Failed(_, failure) => panic!("{failure}"),
            _ => {}
        }
    }
    assert_eq!(total, 64 << 20);
    assert!(called);
}
