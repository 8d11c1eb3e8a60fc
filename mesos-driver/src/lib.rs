//! What drivers of [`mesos_core`] on std share, whatever they do I/O with: [`Http`], the settings that connections are
//! made with; [`StoreThread`], where a store works without holding up anybody; [`wall_clock`]; [`seed`].
//!
//! Who writes frameworks takes a driver, which re-exports what is needed of this. Who writes a driver begins with
//! [the manual of it](mesos_core#a-driver-of-ones-own).

mod http;
mod store;
#[cfg(feature = "tls")]
mod tls;

use std::hash::{BuildHasher as _, RandomState};
use std::time::SystemTime;

pub use http::{Http, HttpBuilder, HttpError};
pub use mesos_core;
pub use store::{Applied, StoreThread};

use mesos_core::UnixTime;

/// A seed for a machine, from the operating system: no two are the same.
#[must_use]
pub fn seed() -> u64 {
    // The keys of the standard library's hash maps are drawn from the system, and different each time.
    RandomState::new().hash_one(0)
}

/// What the system's clock shows. One from before 1970, which hasn't been set, counts as 1970.
#[must_use]
pub fn wall_clock() -> UnixTime {
    UnixTime::from_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
