//! What the examples share: options, the embedded cluster, when to leave and with which exit code.

mod cluster;
mod hello;
mod leave;
mod outcome;
mod store;

use mesos_core::v1::TaskState;

pub use cluster::{Cluster, ClusterOptions, MasterOptions, TaskOptions, amount, seconds};
pub use hello::{hello, hello_is_over};
pub use leave::{How, Leave};
pub use outcome::Failed;
pub use store::{Opened, StoreOptions};

/// A seed from the operating system, by way of the standard library's hash maps.
#[must_use]
pub fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}

/// `TASK_RUNNING` and the like.
#[must_use]
pub fn short(state: TaskState) -> &'static str {
    let name = state.as_str_name();
    name.strip_prefix("TASK_").unwrap_or(name)
}
