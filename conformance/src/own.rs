//! The drivers of the examples, as they are.
#![allow(dead_code, unreachable_pub, missing_debug_implementations, clippy::must_use_candidate, reason = "programs")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

#[path = "../../examples/own_runtime_mio.rs"]
pub(crate) mod mio;
#[path = "../../examples/own_runtime_smol.rs"]
pub(crate) mod smol;
#[path = "../../examples/own_runtime_threads.rs"]
pub(crate) mod threads;

/// What a future comes to that waits for nothing, such as a store's on this machine's disk.
///
/// # Panics
///
/// If it waits.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the store waits"),
    }
}
