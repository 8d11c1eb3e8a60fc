//! A simulated Mesos cluster, to test frameworks with.
//!
//! [`Cluster`] is a master (or several) and agents as one state machine: without sockets, clock or threads, and with
//! all chance from a seed. It behaves as a real Mesos 1.11 was seen to behave, and shares neither framing nor timers
//! nor rules with the client library, so it can judge it.
#![allow(deprecated, reason = "old frameworks use the old fields, and are served too")]

mod agent;
mod cluster;
mod codec;
mod executor;
mod http;
mod master;
mod options;
mod resources;
mod rng;
mod script;
#[cfg(feature = "world")]
mod scripted_master;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "proptest")]
pub mod strategy;
mod trouble;
#[cfg(feature = "world")]
pub mod world;

pub use agent::Exit;
pub use cluster::{Cluster, ExecutorName, OptionsError, Output, TaskName};
pub use executor::ExecutorOptions;
pub use http::{ExchangeId, Request, Response};
pub use options::{AgentOptions, Options};
pub use script::Script;
#[cfg(feature = "world")]
pub use scripted_master::{ScriptedMaster, Unexpected};
pub use trouble::Trouble;

/// The programs of the README, compiled and run.
#[cfg(all(doctest, feature = "serve", feature = "world"))]
#[doc = include_str!("../README.md")]
struct Readme;
