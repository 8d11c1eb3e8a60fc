//! `mesos-zk` on real ZooKeeper servers, which tests kill and stop.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod detector;
mod election;
mod store;
mod wrong;

use std::time::Duration;

use conformance::ZooKeeper;
use mesos_zk::{Settings, Zk};

/// So that sessions end while one waits.
const TIMEOUT: Duration = Duration::from_secs(2);

fn settings(servers: &ZooKeeper, path: &str) -> Settings {
    servers.url(path).parse::<Settings>().unwrap().session_timeout(TIMEOUT)
}

/// For outages that a session outlives, on a machine where a JVM starts slowly: as long as the servers allow.
const LONG: Duration = Duration::from_secs(60);

fn zk(servers: &ZooKeeper, path: &str) -> Zk {
    Zk::new(settings(servers, path)).unwrap()
}
