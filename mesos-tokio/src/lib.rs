//! Drives the state machines of [`mesos_core`] on tokio and hyper.
//!
//! A [`Driver`] runs one machine: the [`Engine`](mesos_core::engine::Engine), which keeps declared tasks running, the
//! bare protocol [`Client`](mesos_core::scheduler::Client), an executor's [`Client`](mesos_core::executor::Client), or
//! one of your own. [`Http`] is how it reaches masters and agents, TLS included, and may be shared by many. Nothing is
//! printed; what happens is an event, or a `tracing` event.
//!
//! # Quick start
//!
//! ```
//! use std::time::Duration;
//!
//! use mesos_tokio::mesos_core::Resources;
//! use mesos_tokio::mesos_core::engine::{Config, Engine, Event, TaskSpec};
//! use mesos_tokio::mesos_core::scheduler::{self, Framework};
//! use mesos_tokio::{Driver, Http};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #   let cluster = mesos_sim::serve::Served::start(mesos_sim::Options::default()).await?;
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
//!     // In production the seed comes from the operating system.
//!     let engine = Engine::new(Config::new(client), [sleep], [], 42)?;
//!     let mut driver = Driver::new(engine, Http::default());
//!     while let Some(event) = driver.next_event().await {
//!         match event {
//!             Event::TaskUpdated(task) => println!("{task}"),
//!             // Both are up, or one is given up: that is all we wanted to see.
//!             Event::SpecSatisfied { .. } | Event::SpecDegraded { .. } => driver.with(Engine::teardown),
//!             Event::Fatal(reason) => return Err(reason.into()),
//!             _ => {}
//!         }
//!     }
//! #   cluster.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! With [`Driver::store`] the framework and its tasks outlive the process; with [`Driver::spawn`] the driver has a task
//! of its own, and commands come from anywhere through a [`Handle`].
//!
//! # An executor
//!
//! ```no_run
#![doc = include_str!("../examples/executor.rs")]
//! ```

mod connect;
mod core_loop;
mod driver;
mod leaders;
mod net;
mod spawned;
mod store;

pub use driver::Driver;
pub use mesos_core;
pub use mesos_driver::{Http, HttpBuilder, HttpError, seed};
pub use spawned::{Closed, Events, Handle};

/// The workspace's page, whose programs compile and, where they can, run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
