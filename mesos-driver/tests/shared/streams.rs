//! Bodies: every piece in order, orderly ends and breaks told apart, no more read than is wanted.

use crate::common::{Log, STREAM, Seen, answer, chunk, driver, flood, next, read_request, serve, write};
use mesos_core::{FailureKind, Head, Lane, Sent};

/// Answers each request with these bytes, written in pieces of this size, and closes.
async fn playing(answer: Vec<u8>, piece: usize) -> crate::common::Server {
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
        // What has been read together with a fault in the chunks may go with it; nothing else may.
        assert!(seen == body.as_bytes() || expected == http && seen.is_empty(), "{what}: {seen:?}");
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
