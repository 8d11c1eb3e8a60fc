//! Bodies: every piece in order, orderly ends and breaks told apart, no more read than is wanted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use common::{Log, STREAM, Seen, answer, chunk, driver, guard, next, read_request, serve, write};
use mesos_core::{FailureKind, Head, Lane, Sent};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::Notify;

/// Answers each request with these bytes, written in pieces of this size, and closes.
async fn playing(answer: Vec<u8>, piece: usize) -> common::Server {
    serve(move |_, mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            for bytes in answer.chunks(piece) {
                if !write(&mut stream, bytes).await {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await
}

// S155, S156: transfer chunks mean nothing.
#[tokio::test]
async fn any_chunking_gives_the_same_bytes() {
    let payload: Vec<u8> = (0..4000_u32).flat_map(|n| n.to_be_bytes()).collect();
    for (chunk_size, write_size) in [(1, 7), (1, 100_000), (5, 1), (1000, 3), (16_000, 65_536)] {
        let chunks: Vec<u8> = payload.chunks(chunk_size).flat_map(chunk).collect();
        let server = playing([STREAM, &chunks, b"0\r\n\r\n"].concat(), write_size).await;
        let mut driver = driver();
        let id = driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
        let (status, body, end) = answer(&mut driver, id).await;
        assert_eq!((status, end), (Some(200), Ok(())), "chunks of {chunk_size} in writes of {write_size}");
        assert!(body == payload, "chunks of {chunk_size} in writes of {write_size}");
    }
}

#[tokio::test]
async fn ends_and_breaks() {
    let length = |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n").into_bytes();
    let io = Err((FailureKind::Io, Sent::Maybe));
    let http = Err((FailureKind::Http, Sent::Maybe));
    for (what, answered, body, expected) in [
        ("last chunk", [STREAM, b"2\r\nab\r\n0\r\n\r\n"].concat(), "ab", Ok(())),
        ("as long as announced", [&length(2), b"ab".as_slice()].concat(), "ab", Ok(())),
        ("as long as the connection", b"HTTP/1.1 500 Oops\r\n\r\nab".to_vec(), "ab", Ok(())),
        ("cut between chunks", [STREAM, b"2\r\nab\r\n"].concat(), "ab", io),
        ("cut within a chunk", [STREAM, b"4\r\nab"].concat(), "ab", io),
        ("cut within a chunk's size", [STREAM, b"2\r\nab\r\n1"].concat(), "ab", io),
        ("cut before the first chunk", STREAM.to_vec(), "", io),
        ("shorter than announced", [&length(3), b"ab".as_slice()].concat(), "ab", io),
        ("no chunk size", [STREAM, b"2\r\nab\r\nzz\r\n"].concat(), "ab", http),
        ("endless chunk size", [STREAM, b"2\r\nab\r\nfffffffffffffffffffff\r\n"].concat(), "ab", http),
    ] {
        let server = playing(answered, 1 << 20).await;
        let mut driver = driver();
        let id = driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
        let (_, seen, end) = answer(&mut driver, id).await;
        assert_eq!(seen, body.as_bytes(), "{what}");
        assert_eq!(end.map_err(|failure| (failure.kind, failure.sent)), expected, "{what}");
    }
}

#[tokio::test]
async fn heads_keep_what_machines_use() {
    let head =
        b"HTTP/1.1 307 Temporary Redirect\r\nlOcAtIoN: //10.0.0.2:5050\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n";
    let server = playing(head.to_vec(), 3).await;
    let mut driver = driver();
    let id = driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b""));
    assert_eq!(next(&mut driver).await, Seen::Head(id, Head::new(307).header("Location", b"//10.0.0.2:5050")));
    assert_eq!(next(&mut driver).await, Seen::End(id));
}

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

/// Sends 64 MiB as fast as they are taken, and logs where it got stuck.
async fn flood(stuck: Log<usize>) -> common::Server {
    const TOTAL: usize = 64 << 20;
    serve(move |_, mut stream| {
        let stuck = stuck.clone();
        async move {
            read_request(&mut stream).await;
            write(&mut stream, STREAM).await;
            let piece = chunk(&[b'x'; 32 << 10]);
            let mut sent = 0;
            while sent < TOTAL {
                let mut at = 0;
                while at < piece.len() {
                    let writing = tokio::io::AsyncWriteExt::write(&mut stream, &piece[at..]);
                    match tokio::time::timeout(Duration::from_millis(500), writing).await {
                        Ok(Ok(n)) => at += n,
                        Ok(Err(_)) => return,
                        Err(_) => stuck.push(sent),
                    }
                }
                sent += 32 << 10;
            }
            write(&mut stream, b"0\r\n\r\n").await;
        }
    })
    .await
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_while_nobody_pulls() {
    let stuck = Log::new();
    let server = flood(stuck.clone()).await;
    let mut driver = driver();
    let id = driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    stuck.wait(1).await;
    assert_eq!(driver.machine().bytes, 0);
    let (_, body, end) = answer(&mut driver, id).await;
    assert_eq!((body.len(), end), (64 << 20, Ok(())));
}
