//! Declared tasks, kept running: say which tasks you want, and the engine matches offers, launches, restarts, scales,
//! reconciles, and keeps what must not be lost in a store.
//!
//! ```
//! use mesos_core::Resources;
//! use mesos_core::engine::{Config, Engine, TaskSpec};
//! use mesos_core::scheduler::{self, Framework};
//!
//! let web = TaskSpec::new("web")
//!     .command("exec ./serve --port $PORT0")
//!     .resources(Resources::new().cpus(0.5).mem(64.0).ports(1))
//!     .instances(3);
//! let client = scheduler::Config::new(Framework::new("shop"), ["10.0.0.1:5050"])?;
//! let engine = Engine::new(Config::new(client), [web], [], 42)?;
//! assert_eq!(engine.specs().count(), 0); // It starts with its first input.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
#![doc = include_str!("guide.md")]
#![allow(clippy::module_inception, reason = "the engine is what the module is about")]

mod adopt;
mod attempt;
mod book;
mod bounded;
mod closing;
mod commands;
mod config;
mod declines;
mod demand;
mod display;
mod effects;
mod ends;
mod engine;
mod event;
mod executors;
mod ghost;
mod id;
mod kills;
mod launch;
mod life;
mod metrics;
mod offers;
mod placement;
mod quarantine;
mod reconcile;
mod record;
mod recover;
mod rollout;
mod spec;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod uninstall;
mod unplaced;
mod writer;

pub use adopt::{Adoptee, Adoption, NotAdopted, adopt};
pub use attempt::{KillReason, State};
pub use book::LastEnd;
pub use commands::{CommandError, InstanceStatus, SpecStatus};
pub use config::{Config, OnRemoved, Order, PortOrder, Removal, UnknownTasks};
pub use engine::Engine;
pub use event::{EndClass, Event, GhostReason, Held, Receipt, RolloutStage, Task};
pub use launch::{NoRevision, Revision};
pub use metrics::{Counters, Gauges, Histogram, Histograms};
pub use placement::{OfferPolicy, Place};
pub use recover::{Quarantined, RecoverError};
pub use spec::{
    Amount, CheckProblem, Duplicates, Field, KillSelection, OnReturn, RestartPolicy, SpecError, SpecProblem, TaskSpec,
};
pub use unplaced::{Explanation, Obstacle};
