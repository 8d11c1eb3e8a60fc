//! This driver, for the tests of all drivers.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its part")]

use std::time::Duration;

pub use mesos_blocking::{Http, HttpBuilder, HttpError};
use mesos_core::{Machine, Store};

#[path = "../../../mesos-driver/tests/shared/puppet.rs"]
mod puppet;
#[path = "../../../mesos-driver/tests/shared/stores.rs"]
mod stores;

pub use puppet::*;
pub use stores::*;

/// Blocks where others wait: servers have threads of their own.
pub type Driver<M> = mesos_blocking::Driver<M>;

/// The next event, if it comes in this time.
pub async fn next_within<M: Machine>(
    driver: &mut Driver<M>,
    limit: Duration,
) -> Result<Option<M::Event>, &'static str> {
    driver.next_event_timeout(limit).map_err(|_| "nothing in time")
}
