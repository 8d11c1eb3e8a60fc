//! The executor API: what an agent tells in the environment, one subscription, its events, and updates that arrive.
//!
//! An executor is a program that an agent starts, and that runs tasks in its own way. It reads its environment
//! ([`Env`]), keeps a subscription to its agent ([`Client`]), starts and kills what it is told to, and reports the states
//! of its tasks.
//!
//! # An executor's life
//!
//! ```text
//!                      +---- 0 to MESOS_SUBSCRIPTION_BACKOFF_MAX / 2 ----+
//!                      v                                                 |
//!  first input --> [ Waiting ] -- SUBSCRIBE, with what is unacknowledged |
//!                      ^               |                                 |
//!                      |               v                                 |
//!                      |         [ Connecting ] -- refused, 404, 503 ... +
//!                      |               |     |
//!                      |           200 |     +-------- 400, 401, 403 ... ----------+
//!                      |               v                                           |
//!                      |        [ Subscribing ] -- SHUTDOWN ---------------------->+
//!    with checkpoints: |               |                                           |
//!    Disconnected      |    SUBSCRIBED |    without checkpoints: Disconnected      |
//!                      |               v   +-------------------------------------->+ Shutdown, and Kill for each task
//!                      +<------- [ Subscribed ] -- SHUTDOWN ---------------------->+
//!                      |           |                                               v
//!                      |           |                                        [ shutting down ]
//!                      |           +-- stop(), then the last                       |
//!                      |               acknowledgement                             | the last acknowledgement, or the
//!                      v                         |                                 | end of the grace period
//!           MESOS_RECOVERY_TIMEOUT               v                                 v
//!           after the first Disconnected -->  (Shutdown)                   Stopped { cause }, Fatal
//! ```
//!
//! - **No update is lost.** Each is kept until the agent acknowledges it, and each task until its first acknowledged
//!   update; both go into every SUBSCRIBE. Updates are sent one at a time, in the order in which they were given, and
//!   again if they may not have arrived: an agent knows them by their uuids. One that the agent refuses for good is
//!   reported as [`UpdateLost`](Event::UpdateLost).
//! - **A lost agent** is asked again and again, without exponential back-off, since a restarted one waits for two
//!   seconds only (which is what `MESOS_SUBSCRIPTION_BACKOFF_MAX` says). The recovery timeout runs from the first
//!   disconnection to the next SUBSCRIBED. While an agent recovers it answers updates with 503: they wait.
//! - **Silence proves nothing**: an agent's heartbeats are half an hour apart, and before 1.8 there are none.
//! - **Every end is announced** but the one that [`stop`](Client::stop) asks for: by [`Shutdown`](Event::Shutdown), with
//!   the time that is left, and a [`Kill`](Event::Kill) for each task. The grace period is the one of the `ExecutorInfo`
//!   if it has one, else the environment's; after it the agent destroys the container.
//!
//! # An executor, without any I/O
//!
//! What an executor does with each event is all that a program has to add to a driver (`mesos-tokio` and
//! `mesos-blocking` show a whole one on their first page). Here is one whose tasks run no time at all.
//!
//! ```
//! use mesos_core::executor::{CallError, Client, Config, Env, Event};
//! use mesos_core::v1::{TaskState, TaskStatus};
//! use mesos_core::{Input, Instant, Machine, Output};
//!
//! fn on_event(client: &mut Client, event: Event) -> Result<(), CallError> {
//!     match event {
//!         Event::Launch(task) => {
//!             client.update(TaskStatus::new(task.task_id.clone(), TaskState::TaskRunning))?;
//!             client.update(TaskStatus::new(task.task_id, TaskState::TaskFinished).with_message("done"))
//!         }
//!         Event::Kill { task_id, .. } => client.update(TaskStatus::new(task_id, TaskState::TaskKilled)),
//!         Event::Message(data) => client.message(data),
//!         _ => Ok(()),
//!     }
//! }
//!
//! let vars = [("MESOS_FRAMEWORK_ID", "f"), ("MESOS_EXECUTOR_ID", "e"), ("MESOS_DIRECTORY", "/tmp")];
//! let mut client = Client::new(Config::from_env(Env::parse(vars)?), 42);
//! client.handle_input(Instant::ORIGIN, Input::Timeout);
//! let Output::Request(subscribe) = client.poll_output() else { panic!("SUBSCRIBE first") };
//! assert_eq!(subscribe.path(), "/api/v1/executor");
//! // A driver performs the request, feeds what comes back, and gives each `Output::Event` to `on_event`.
//! # let _ = on_event;
//! # Ok::<(), mesos_core::executor::EnvError>(())
//! ```

mod book;
mod client;
mod config;
mod env;
mod error;
mod event;
mod lane;
mod session;

pub use client::{Client, Session};
pub use config::Config;
pub use env::{Env, EnvError, EnvProblem};
pub use error::CallError;
pub use event::{Cause, DisconnectReason, Event, FatalReason, LostReason, Subscribed};

#[cfg(test)]
mod tests;
