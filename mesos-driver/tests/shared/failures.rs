//! Each way in which an exchange fails has its own kind, and says whether the request may have left. S150

use crate::common::{Driver, Http, Puppet, answer, driver, failure, next, read_request, serve, tcp, write};
use mesos_core::{Endpoint, FailureKind, Header, Lane, Method, Request, Sent};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

#[tokio::test]
async fn refused() {
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    let failure = failure(&mut driver(), &tcp(port)).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Connect, Sent::No));
    assert!(failure.detail.contains(&format!("127.0.0.1:{port}")), "{failure}");
}

#[tokio::test]
async fn unknown_name() {
    let endpoint = Endpoint::Tcp { tls: false, host: "no-such-master.invalid".into(), port: 5050 };
    let failure = failure(&mut driver(), &endpoint).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Resolve, Sent::No));
}

#[tokio::test]
async fn connection_that_nobody_accepts() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the queue of connections waiting for accept, which never comes.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the queue has no end");
    }
    let http = Http::builder().connect_timeout(Duration::from_millis(50)).build().unwrap();
    let failure = failure(&mut Driver::new(Puppet::default(), http), &tcp(address.port())).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Connect, Sent::No));
    assert!(failure.detail.contains("not within 50ms"), "{failure}");
}

#[tokio::test]
async fn garbage_in_place_of_http() {
    let server = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n").await;
    })
    .await;
    let failure = failure(&mut driver(), &server.endpoint).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Http, Sent::Maybe));
}

#[tokio::test]
async fn head_without_end() {
    let server = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, b"HTTP/1.1 202 Accepted\r\n").await;
        while write(&mut stream, &[b"X: ".as_slice(), &[b'x'; 9000], b"\r\n"].concat()).await {}
    })
    .await;
    let failure = failure(&mut driver(), &server.endpoint).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Http, Sent::Maybe));
}

#[tokio::test]
async fn closed_without_an_answer() {
    let server = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let failure = failure(&mut driver(), &server.endpoint).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Io, Sent::Maybe));
}

#[tokio::test]
async fn https_without_roots() {
    let endpoint = Endpoint::Tcp { tls: true, host: "127.0.0.1".into(), port: 1 };
    let failure = failure(&mut driver(), &endpoint).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Tls, Sent::No));
    assert!(failure.detail.contains("no root certificates"), "{failure}");
}

#[tokio::test]
async fn missing_unix_socket() {
    let failure = failure(&mut driver(), &Endpoint::Unix("/nonexistent/agent.sock".into())).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Connect, Sent::No));
}

#[tokio::test]
async fn headers_and_paths_that_http_has_no_room_for() {
    let mut driver = driver();
    for (path, value) in [("/ok", "a\r\nInjected: b"), ("/ok", "\0"), ("not a path", "fine")] {
        let id = driver.with(|m| {
            let request = Request::new(m.id(), Lane::Ordered, tcp(1), Method::Get, path);
            m.send(request.with_header(Header::sensitive("Authorization", value)))
        });
        let failure = answer(&mut driver, id).await.2.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (FailureKind::Http, Sent::No), "{path} {value:?}");
        assert!(!failure.detail.contains("Injected"), "a secret is shown: {failure}");
    }
}

#[tokio::test]
async fn failures_leave_the_driver_working() {
    let server = serve(|number, mut stream| async move {
        read_request(&mut stream).await;
        if number > 0 {
            write(&mut stream, crate::common::ACCEPTED).await;
        }
    })
    .await;
    let mut driver = driver();
    failure(&mut driver, &server.endpoint).await;
    let id = driver.with(|m| m.request(Lane::Ordered, &server.endpoint, b"again"));
    assert!(
        matches!(next(&mut driver).await, crate::common::Seen::Head(seen, head) if seen == id && head.status() == 202)
    );
}
