//! Which connection carries what, what is kept alive, and what is never sent twice.

use std::sync::Arc;

use crate::common::{ACCEPTED, Log, STREAM, Seen, answer, chunk, driver, next, read_request, serve, spawn, write};
use mesos_core::{Endpoint, FailureKind, Header, Lane, Method, Request, Sent};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

type Requests = Log<(usize, String)>;

/// Streams to SUBSCRIBE and accepts all else; logs the connection's number and the body of each request.
async fn master(log: &Requests) -> crate::common::Server {
    let log = log.clone();
    serve(move |number, mut stream| {
        let log = log.clone();
        async move {
            while let Some((_, body)) = read_request(&mut stream).await {
                let body = String::from_utf8(body).unwrap();
                let subscribe = body == "subscribe";
                log.push((number, body));
                let answer = if subscribe { [STREAM, &chunk(b"subscribed")].concat() } else { ACCEPTED.to_vec() };
                write(&mut stream, &answer).await;
            }
            log.push((number, "closed".into()));
        }
    })
    .await
}

#[tokio::test]
async fn the_subscription_has_its_own_connection_and_calls_share_theirs() {
    let log = Log::new();
    let server = master(&log).await;
    let mut driver = driver();
    driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    assert!(matches!(next(&mut driver).await, Seen::Head(..)));
    for call in ["one", "two", "three"] {
        let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, call.as_bytes()));
        assert_eq!(answer(&mut driver, id).await, (Some(202), vec![], Ok(())));
    }
    let id = driver.with(|m| m.request(Lane::Acks, &server.endpoint, b"ack"));
    assert_eq!(answer(&mut driver, id).await.0, Some(202));
    let seen: Vec<_> = log.all();
    let expected = [(0, "subscribe"), (1, "one"), (1, "two"), (1, "three"), (2, "ack")];
    assert_eq!(seen, expected.map(|(n, body)| (n, body.to_owned())));
}

#[tokio::test]
async fn another_master_gets_another_connection() {
    let (first, second) = (Log::new(), Log::new());
    let (a, b) = (master(&first).await, master(&second).await);
    let mut driver = driver();
    for server in [&a, &b, &a] {
        let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"call"));
        assert_eq!(answer(&mut driver, id).await.0, Some(202));
    }
    let calls = |log: &Requests| log.all().into_iter().filter(|(_, body)| body == "call").collect::<Vec<_>>();
    // The connection to the first was closed when the second was wanted.
    assert_eq!(calls(&first), [(0, "call".to_owned()), (1, "call".to_owned())]);
    assert_eq!(calls(&second), [(0, "call".to_owned())]);
    assert!(first.wait(3).await.contains(&(0, "closed".to_owned())));
}

#[tokio::test]
async fn acknowledgements_use_a_few_connections_at_a_time() {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Log::new());
    let (held, log) = (gate.clone(), waiting.clone());
    let server = serve(move |number, mut stream| {
        let (gate, log) = (held.clone(), log.clone());
        async move {
            while read_request(&mut stream).await.is_some() {
                log.push(number);
                gate.acquire().await.unwrap().forget();
                write(&mut stream, ACCEPTED).await;
            }
        }
    })
    .await;
    let mut driver = driver();
    driver.with(|m| {
        for _ in 0..20 {
            m.request(Lane::Acks, &server.endpoint, b"ack");
        }
    });
    waiting.wait(4).await;
    gate.add_permits(20);
    let mut accepted = 0;
    while accepted < 20 {
        match next(&mut driver).await {
            Seen::Head(_, head) if head.status() == 202 => accepted += 1,
            Seen::End(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(waiting.all().iter().all(|number| *number < 4), "{:?}", waiting.all());
}

// The request never left, so sending it on a fresh connection repeats nothing.
#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let (log, closed) = (Log::new(), Log::new());
    let (seen, gone) = (log.clone(), closed.clone());
    let server = serve(move |number, mut stream| {
        let (seen, gone) = (seen.clone(), gone.clone());
        async move {
            let (_, body) = read_request(&mut stream).await.unwrap();
            seen.push((number, String::from_utf8(body).unwrap()));
            write(&mut stream, ACCEPTED).await;
            drop(stream);
            gone.push(number);
        }
    })
    .await;
    let mut driver = driver();
    for call in ["one", "two", "three"] {
        let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, call.as_bytes()));
        assert_eq!(answer(&mut driver, id).await, (Some(202), vec![], Ok(())), "{call}");
        closed.wait(log.all().len()).await;
    }
    assert_eq!(log.all(), [(0, "one".to_owned()), (1, "two".to_owned()), (2, "three".to_owned())]);
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_repeated() {
    let log = Log::new();
    let seen = log.clone();
    let server = serve(move |number, mut stream| {
        let seen = seen.clone();
        async move {
            while let Some((_, body)) = read_request(&mut stream).await {
                let last = body == b"two";
                seen.push((number, String::from_utf8(body).unwrap()));
                if last {
                    return;
                }
                write(&mut stream, ACCEPTED).await;
            }
        }
    })
    .await;
    let mut driver = driver();
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"one"));
    assert_eq!(answer(&mut driver, id).await.0, Some(202));
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"two"));
    let failure = answer(&mut driver, id).await.2.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (FailureKind::Io, Sent::Maybe));
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"three"));
    assert_eq!(answer(&mut driver, id).await.0, Some(202));
    assert_eq!(log.all(), [(0, "one".to_owned()), (0, "two".to_owned()), (1, "three".to_owned())]);
}

#[tokio::test]
async fn abort_closes_its_connection_only() {
    let log = Log::new();
    let server = master(&log).await;
    let mut driver = driver();
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"one"));
    assert_eq!(answer(&mut driver, id).await.0, Some(202));
    let stream = driver.with(|m| m.request(Lane::Subscription, &server.endpoint, b"subscribe"));
    loop {
        if let Seen::Body(..) = next(&mut driver).await {
            break;
        }
    }
    driver.with(|m| m.abort(stream));
    assert_eq!(log.wait(3).await[2], (1, "closed".to_owned()));
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"two"));
    assert!(matches!(next(&mut driver).await, Seen::Head(of, _) if of == id), "the aborted one still speaks");
    assert_eq!(log.all()[3], (0, "two".to_owned()));
}

#[tokio::test]
async fn a_server_that_says_close_is_believed() {
    let log = Log::new();
    let seen = log.clone();
    let server = serve(move |number, mut stream| {
        let seen = seen.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                seen.push(number);
                write(&mut stream, b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let mut driver = driver();
    for _ in 0..2 {
        let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"call"));
        assert_eq!(answer(&mut driver, id).await.0, Some(202));
    }
    assert_eq!(log.all(), [0, 1]);
}

#[tokio::test]
async fn requests_as_they_stand_on_the_wire() {
    let log = Log::new();
    let seen = log.clone();
    let server = serve(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                seen.push(request);
                write(&mut stream, ACCEPTED).await;
            }
        }
    })
    .await;
    let mut driver = driver();
    for (method, body) in [(Method::Post, "call"), (Method::Post, ""), (Method::Get, "")] {
        let id = driver.with(|m| {
            let request = Request::new(m.id(), Lane::Ordered, server.endpoint.clone(), method, "/slave(1)/api?a=b");
            let host = Header::new("Host", "master:5050");
            m.send(
                request.with_header(host).with_header(Header::sensitive("Authorization", "Basic eA==")).with_body(body),
            )
        });
        assert_eq!(answer(&mut driver, id).await.0, Some(202));
    }
    // The order of headers means nothing, nor does the case of their names; nothing else is sent.
    let lines = |head: &str| {
        let mut lines: Vec<String> = head.lines().map(|line| line.to_ascii_lowercase()).collect();
        lines.sort();
        lines
    };
    let head = |line: &str, length: &str| {
        format!("{line} /slave(1)/api?a=b HTTP/1.1\r\nHost: master:5050\r\nAuthorization: Basic eA==\r\n{length}\r\n")
    };
    let expected = [
        (head("POST", "Content-Length: 4\r\n"), b"call".to_vec()),
        (head("POST", "Content-Length: 0\r\n"), vec![]),
        (head("GET", ""), vec![]),
    ];
    assert_eq!(log.all().len(), expected.len());
    for ((head, body), (expected, expected_body)) in log.all().iter().zip(&expected) {
        assert_eq!((lines(head), body), (lines(expected), expected_body));
        assert!(head.starts_with(expected.lines().next().unwrap()) && head.contains("Basic eA=="));
    }
}

#[tokio::test]
async fn unix_sockets() {
    let folder = std::env::temp_dir().join(format!("mesos-driver-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = spawn(async move {
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let (head, _) = read_request(&mut stream).await.unwrap();
            assert!(head.to_ascii_lowercase().contains("host: localhost\r\n"), "{head}");
            write(&mut stream, ACCEPTED).await;
        }
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
    let endpoint = Endpoint::Unix(path.to_str().unwrap().into());
    let mut driver = driver();
    for _ in 0..2 {
        let id = driver.with(|m| m.request(Lane::Ordered, &endpoint, b"call"));
        assert_eq!(answer(&mut driver, id).await, (Some(202), vec![], Ok(())));
    }
    drop(driver);
    crate::common::guard(server).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
