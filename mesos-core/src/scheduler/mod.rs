//! The scheduler API: one subscription, its events, and the calls.

mod calls;
mod client;
mod config;
mod error;
mod event;
mod lanes;
mod outgoing;
mod profile;
mod subscription;

pub(crate) use calls::CallSink;
pub use calls::Calls;
pub use client::{Client, Session};
pub use config::{Config, Framework};
pub use error::{CallError, ConfigError, ConfigProblem, RoleFault};
pub use event::{DisconnectReason, Event, FatalReason, Outcome, Subscribed};
pub(crate) use outgoing::Outgoing;
pub(crate) use outgoing::acknowledge;
pub use outgoing::{CallId, CallKind};

#[cfg(test)]
mod tests;
