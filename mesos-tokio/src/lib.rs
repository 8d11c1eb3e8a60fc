//! Drives the state machines of [`mesos_core`] on tokio and hyper: [`Driver`] and [`Http`].

mod connect;
mod core_loop;
mod driver;
mod http;
mod net;
mod spawned;
mod store;
mod tls;

pub use driver::Driver;
pub use http::{Http, HttpBuilder, HttpError};
pub use mesos_core;
pub use spawned::{Closed, Events, Handle};
