//! Drives the state machines of [`mesos_core`] on threads and ureq: without an async runtime, for tools and services
//! that have none and want none.
//!
//! A [`Driver`] runs one machine: the [`Engine`](mesos_core::engine::Engine), which keeps declared tasks running, the
//! bare protocol [`Client`](mesos_core::scheduler::Client), an executor's [`Client`](mesos_core::executor::Client), or
//! one of your own. [`Http`] is how it reaches masters and agents, and may be shared by many; for `https` the feature
//! `tls` is needed. Nothing is printed; what happens is an event, or a `tracing` event.
//!
//! # Quick start
//!
//! ```
//! use std::time::Duration;
//!
//! use mesos_blocking::mesos_core::Resources;
//! use mesos_blocking::mesos_core::engine::{Config, Engine, Event, TaskSpec};
//! use mesos_blocking::mesos_core::scheduler::{self, Framework};
//! use mesos_blocking::{Driver, Http, seed};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #   let cluster = mesos_sim::serve::Embedded::start(mesos_sim::Options::default())?;
//! #   let masters = [cluster.master_url()];
//! #   /*
//!     let masters = ["10.0.0.1:5050", "10.0.0.2:5050"];
//! #   */
//!     let sleep = TaskSpec::new("sleep")
//!         .command("exec sleep 1000")
//!         .resources(Resources::new().cpus(0.1).mem(32.0))
//!         .instances(2)
//!         .min_ready(Duration::ZERO);
//!     let client = scheduler::Config::new(Framework::new("demo"), masters)?;
//!     let engine = Engine::new(Config::new(client), [sleep], [], seed())?;
//!     let mut driver = Driver::new(engine, Http::default());
//!     while let Some(event) = driver.next_event() {
//!         match event {
//!             Event::TaskUpdated(task) => println!("{task}"),
//!             // Both are up, or one is given up: that is all we wanted to see.
//!             Event::SpecSatisfied { .. } | Event::SpecDegraded { .. } => driver.with(Engine::teardown),
//!             Event::Fatal(reason) => return Err(reason.into()),
//!             _ => {}
//!         }
//!     }
//! #   cluster.stop();
//!     Ok(())
//! }
//! ```
//!
//! With [`Driver::store`] the framework and its tasks outlive the process; commands come from other threads through a
//! [`Handle`].
//!
//! # An executor
//!
//! ```no_run
#![doc = include_str!("../examples/blocking_executor.rs")]
//! ```

mod block_on;
mod connect;
mod driver;
mod exchange;
mod handle;
mod leaders;
mod mailbox;
mod net;
#[cfg(feature = "tls")]
mod tls;

pub use driver::{Driver, TimedOut};
pub use handle::{Closed, Handle};
pub use mesos_core;
pub use mesos_driver::{Http, HttpBuilder, HttpError, seed};
