//! A detector: what it finds is fed, and it ends with the driver.

use crate::common::{Log, Seen, driver, next};
use mesos_core::{Detector, Endpoint};
use tokio::sync::mpsc;

struct Told(mpsc::Receiver<Option<Endpoint>>, Log<&'static str>);

impl Detector for Told {
    async fn next(&mut self) -> Option<Endpoint> {
        match self.0.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.1.push("dropped");
    }
}

#[tokio::test]
async fn what_a_detector_finds_is_fed() {
    let (say, told) = mpsc::channel(1);
    let log = Log::new();
    let mut driver = driver().detector(Told(told, log.clone()));
    for master in [Some("10.0.0.1"), None, Some("[::1]:5051")] {
        let leader = master.map(|master| master.parse().unwrap());
        say.send(leader.clone()).await.unwrap();
        assert_eq!(next(&mut driver).await, Seen::Leader(leader));
    }
    assert_eq!(log.all(), [""; 0]);
    drop(driver);
    log.wait(1).await;
}

#[tokio::test]
async fn one_that_was_never_started_is_let_go() {
    let log = Log::new();
    drop(driver().detector(Told(mpsc::channel(1).1, log.clone())));
    log.wait(1).await;
}
