//! This driver, for the tests of all drivers.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its part")]

use std::time::Duration;

use mesos_core::Machine;
pub use mesos_tokio::{Driver, Http, HttpBuilder, HttpError};

#[path = "../../../mesos-driver/tests/shared/puppet.rs"]
mod puppet;
#[path = "../../../mesos-driver/tests/shared/stores.rs"]
mod stores;

pub use puppet::*;
pub use stores::*;

/// The next event, if it comes in this time.
pub async fn next_within<M: Machine>(
    driver: &mut Driver<M>,
    limit: Duration,
) -> Result<Option<M::Event>, &'static str> {
    tokio::time::timeout(limit, driver.next_event()).await.map_err(|_| "nothing in time")
}
