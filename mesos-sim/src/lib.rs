//! A simulated Mesos cluster, to test frameworks with.
// The programs of the README need both features; as doc tests they are left out without.
#![cfg_attr(
    any(all(doc, not(doctest)), all(feature = "serve", feature = "world")),
    doc = include_str!("../README.md")
)]
#![cfg_attr(not(feature = "world"), allow(dead_code, reason = "some of it is the world's"))]
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

#[cfg(feature = "world")]
pub use mesos_core;
pub use mesos_proto::v1;
