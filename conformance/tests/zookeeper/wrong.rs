//! Servers that aren't what one hopes for: each operation says so, and in time.

use std::future::Future;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use conformance::ZooKeeper;
use mesos_zk::mesos_core::Store as _;
use mesos_zk::{Election, Settings, Zk, ZkError, ZkStore, leading_master, read, read_original, stored_framework_id};
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::store::{batch, put};
use crate::{TIMEOUT, settings, zk};

/// On top of the timeout, on a machine that is busy elsewhere.
const MARGIN: Duration = Duration::from_secs(3);

async fn in_time<T>(work: impl Future<Output = Result<T, ZkError>>) -> Result<T, ZkError> {
    timeout(TIMEOUT + MARGIN, work).await.expect("an end in time")
}

/// Nothing can be done there now, and maybe later.
async fn unavailable(settings: Settings) {
    let zk = Zk::new(settings.session_timeout(TIMEOUT)).unwrap();
    let errors = [
        in_time(ZkStore::open(&zk)).await.map(drop).unwrap_err(),
        in_time(read(&zk)).await.map(drop).unwrap_err(),
        in_time(stored_framework_id(&zk)).await.map(drop).unwrap_err(),
        in_time(leading_master(&zk)).await.map(drop).unwrap_err(),
        in_time(read_original(&zk)).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ZkError::Unavailable(_)), "{error:?}");
    }
    // Which goes on hoping.
    assert!(timeout(TIMEOUT, Election::new(&zk, "1").campaign()).await.is_err());
}

/// A server on loopback that does this with each connection.
fn server(serve: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> Settings {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            serve(&mut stream);
            open.push(stream);
        }
    });
    format!("zk://{address}/web").parse().unwrap()
}

// S181
#[tokio::test]
async fn a_server_that_never_answers() {
    unavailable(server(|_| ())).await;
}

// S181: one of another protocol, one that says whatever, and one whose answers are said to be endless.
#[tokio::test]
async fn a_server_that_speaks_something_else() {
    let all = [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\x01\0",
        b"\0\0\0\x25\0\0\0\0\0\0\x07\xd0\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
    ];
    let all = all.map(|said| {
        let settings = server(move |stream| {
            let _ = stream.write_all(said);
        });
        tokio::spawn(unavailable(settings))
    });
    for one in all {
        one.await.unwrap();
    }
}

// S181
#[tokio::test]
async fn a_server_that_hangs_up_and_names_that_lead_nowhere() {
    unavailable(server(|stream| {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }))
    .await;
    unavailable("zk://127.0.0.1:1/web".parse().unwrap()).await;
    unavailable("zk://no-such-host.invalid/web".parse().unwrap()).await;
}

/// A member without a quorum that serves reads is of no use: what it says may be old, and it takes no writes.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_member_that_can_only_be_read() {
    let mut servers = ZooKeeper::make(3).read_only_without_quorum();
    (0..3).for_each(|index| servers.launch(index));
    servers.wait();
    let zk = zk(&servers, "/web");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
    servers.kill(0);
    servers.kill(1);
    servers.wait_for("Mode: read-only");
    unavailable(settings(&servers, "/web")).await;
    let begin = Instant::now();
    assert!(store.apply(&batch(2, [put("a", "2")])).await.is_err());
    assert!(begin.elapsed() < TIMEOUT + MARGIN, "{:?}", begin.elapsed());
    servers.launch(0);
    // A quorum again, and all is well.
    let begin = Instant::now();
    while store.apply(&batch(2, [put("a", "2")])).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// S181: a chroot that isn't there, and that may not be made; a node larger than a record of ours; and a folder where a
/// record should be.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_path_that_will_not_do() {
    let servers = ZooKeeper::start(1);
    let client = Client::connect(&servers.url("").replace("zk://", "")).await.unwrap();
    client.create("/locked", b"", &CreateMode::Persistent.with_acls(Acls::anyone_read())).await.unwrap();
    let locked = zk(&servers, "/locked/web");
    let error = in_time(ZkStore::open(&locked)).await.map(drop).unwrap_err();
    assert!(matches!(&error, ZkError::NoPermission { path } if path.starts_with("/locked")), "{error:?}");
    let error = in_time(Election::new(&locked, "1").campaign()).await.map(drop).unwrap_err();
    assert!(matches!(&error, ZkError::NoPermission { path } if path.starts_with("/locked")), "{error:?}");
    assert_eq!(leading_master(&locked).await, Ok(None));

    let (mut store, _) = ZkStore::open(&zk(&servers, "/web")).await.unwrap();
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
    drop(store);
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let large = vec![b'x'; 1_000_000];
    client.create("/web/records/large", &large, &options).await.unwrap();
    client.mkdir("/web/records/folder/inner", &options).await.unwrap();
    client.create("/web/records/no key", b"", &options).await.unwrap();
    let (_, records) = in_time(ZkStore::open(&zk(&servers, "/web"))).await.unwrap();
    let sizes: Vec<(String, usize)> = records.iter().map(|(key, value)| (key.to_string(), value.len())).collect();
    let expected = [("a", 1), ("folder", 0), ("large", large.len()), ("no%20key", 0)];
    assert_eq!(sizes, expected.map(|(key, size)| (key.to_owned(), size)));
}
