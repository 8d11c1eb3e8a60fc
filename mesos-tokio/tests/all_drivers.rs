//! What holds for every driver, for this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;
#[path = "../../mesos-driver/tests/shared/failures.rs"]
mod failures;
#[path = "../../mesos-driver/tests/shared/lanes.rs"]
mod lanes;
#[path = "../../mesos-driver/tests/shared/leaders.rs"]
mod leaders;
#[path = "../../mesos-driver/tests/shared/store.rs"]
mod store;
#[path = "../../mesos-driver/tests/shared/streams.rs"]
mod streams;
#[path = "../../mesos-driver/tests/shared/tls.rs"]
mod tls;
