//! TLS, with a real server that wants certificates of its clients.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../conformance/src/zookeeper.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod zookeeper;

use std::time::{Duration, Instant};

use mesos_zk::mesos_core::{Key, Persist, Store as _, StoreOp, Ticket};
use mesos_zk::{Election, Settings, Zk, ZkError, ZkStore};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use zookeeper::ZooKeeper;

const TIMEOUT: Duration = Duration::from_secs(3);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn settings(url: &str) -> Settings {
    url.parse::<Settings>().unwrap().session_timeout(TIMEOUT)
}

// S165: store and election over TLS; and each way in which certificates don't fit ends in an error that says so, in time.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn certificates_of_both_sides() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let (certificate, key) = authority.issue("127.0.0.1");
    let mut servers = ZooKeeper::make(1).speaking_tls(&format!("{certificate}{key}"), &authority.pem());
    servers.launch(0);
    servers.wait();
    let url = servers.url("/framework");
    let (certificate, key) = authority.issue("framework");
    let identity = Some((&*certificate, &*key));

    let zk = Zk::new(settings(&url).tls(&authority.pem(), identity).unwrap()).unwrap();
    let lease = Election::new(&zk, "one").campaign().await.unwrap();
    let (mut store, records) = ZkStore::open(&lease).await.unwrap();
    assert!(records.is_empty());
    let op = StoreOp::Put { key: Key::new(["a"]), value: vec![b'x'; 100_000].into() };
    store.apply(&Persist::new(Ticket::new(1), vec![op])).await.unwrap();
    let (_, records) = ZkStore::open(&lease).await.unwrap();
    assert_eq!(records.len(), 1);
    lease.release().await;

    let (foreign, foreign_key) = other.issue("framework");
    let wrong = [
        ("the server's authority isn't trusted", settings(&url).tls(&other.pem(), identity)),
        ("no certificate", settings(&url).tls(&authority.pem(), None)),
        ("a certificate of another authority", settings(&url).tls(&authority.pem(), Some((&foreign, &foreign_key)))),
        ("another name", settings(&url.replace("127.0.0.1", "localhost")).tls(&authority.pem(), identity)),
    ];
    for (what, settings) in wrong {
        let (zk, begin) = (Zk::new(settings.unwrap()).unwrap(), Instant::now());
        let error = ZkStore::open(&zk).await.unwrap_err();
        assert!(matches!(&error, ZkError::Unavailable(text) if text.contains("certificates")), "{what}: {error}");
        assert!(begin.elapsed() < TIMEOUT * 2, "{what}: {:?}", begin.elapsed());
        let shown = format!("{error:?} {zk:?}");
        assert!(!shown.contains("PRIVATE") && shown.len() < 400, "{shown}");
    }
    let error = ZkStore::open(&Zk::new(settings(&url)).unwrap()).await.unwrap_err();
    assert!(matches!(error, ZkError::Unavailable(_)), "without TLS: {error}");
}
