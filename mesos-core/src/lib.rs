//! Sans-IO state machines for Apache Mesos frameworks.
//!
//! Nothing in this crate opens a socket, reads a clock, starts a thread or draws a random number: bytes, time and
//! answers are fed in, requests and events come out. See [`Machine`] for the contract between a machine and what
//! drives it.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod authorization;
mod backoff;
mod base64;
mod codec;
mod endpoint;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod location;
mod log;
mod machine;
pub mod recordio;
mod rng;
pub mod scheduler;
mod time;
mod wire;

pub use authorization::{Authorization, AuthorizationError};
pub use backoff::Backoff;
pub use codec::Codec;
pub use endpoint::{Endpoint, EndpointError};
pub use exchange::{ExchangeId, Failure, FailureKind, Head, Header, Lane, Method, Request, Sent};
pub use location::RedirectError;
pub use machine::{Deadline, Input, Machine, Output};
pub use mesos_proto;
pub use mesos_proto::v1;
pub use time::Instant;
pub use wire::{OfferRef, Offers, Ranges, ResourceRef, ResourceValue, SetItems, Update};
