//! Sans-IO state machines for Apache Mesos frameworks.
//!
//! Nothing in this crate opens a socket, reads a clock, starts a thread or draws a random number: bytes, time and
//! answers are fed in, requests and events come out. Whoever wants to schedule tasks takes a driver
//! (`mesos-tokio`, `mesos-blocking`) and never sees the loop below; whoever wants another runtime, a test without
//! network, or a simulation writes it.
//!
//! There are three layers to stop at: [`recordio::Decoder`] (bytes to records); [`scheduler::Client`] and
//! [`executor::Client`] (one subscription kept alive, its events, the calls; the life of an executor's is drawn in
//! [its module](executor#an-executors-life)); and [`engine::Engine`], which keeps declared tasks running.
//!
//! # The run loop
//!
//! A machine is anything that implements [`Machine`]: it takes [`Input`]s and gives [`Output`]s.
//!
//! 1. Feed an input, or give a command, then poll outputs until [`Output::Timeout`] ends the drain. Several inputs may
//!    come before one drain; outputs queue in order. Commands within a drain are fine.
//! 2. Perform each [`Output::Request`] on the connection that its [`Lane`] asks for, and feed what comes back as
//!    `Head`, any number of `Body`, then `End`, or at any point `Failed`, each with the request's [`ExchangeId`].
//!    Closing a connection is an orderly `End` only if HTTP says that the body is complete.
//! 3. [`Output::Abort`] ends an exchange; later inputs for it are ignored, so drivers may race.
//! 4. Commands take no time: feed [`Input::Timeout`] with the present `now` just before one, and it acts at that time.
//! 5. `now` never goes back; a smaller value counts as the largest so far. Its origin is the driver's choice. The first
//!    input starts a machine.
//! 6. Bytes before clock: feed whatever has arrived before a `Timeout` with a later `now`, otherwise the machine sees
//!    silence where there was none. A driver that stops reading because its user is slow says [`Input::Paused`].
//! 7. Nothing that the peer or the network does makes `handle_input` fail: it becomes an event. Only commands return a
//!    `Result`, and only for what their caller did wrong.
//! 8. [`Output::Persist`] is written as a whole and in order, and answered with its [`Ticket`]; there is never more than
//!    one without an answer. What must not happen before it is durable comes out after the answer.
//! 9. A terminal event ([`Fatal`](scheduler::Event::Fatal), [`Stopped`](scheduler::Event::Stopped)) is the last event.
//!    What was queued before it, aborts above all, still comes out; after it every output is `Timeout(None)`, whatever
//!    is fed.
//!
//! # A driver of one's own
//!
//! Whoever embeds a machine provides four things:
//!
//! - **Exchanges**: performs a [`Request`] over HTTP/1.1, and tells what comes back as [`Report`]s.
//!   - *Connect* to its endpoint: to each address of the name until one answers, looked up anew each time. This is the
//!     only time limit of the driver's (10 s in ours); all others are the machine's, which aborts. What the driver doesn't
//!     know, TLS or unix domain sockets perhaps, is a `Failed` with [`Sent::No`] too.
//!   - *Send* method, path and headers as they are, `Content-Length`, and the body. Nothing else is needed, and
//!     compression isn't asked for.
//!   - *Receive*: interim answers (1xx) are left out; [`Head`] takes every header and keeps what it needs; the body comes
//!     without its chunks. Any whole answer is a success here: a 503 ends with `End`.
//!   - *Never* follow a redirect, or send anything a second time, on a kept connection that turns out to be dead either.
//! - **A store**: applies a [`Persist`] and answers, at once or later. Without one, every batch is done.
//! - **A clock**: one that never goes back, as an [`Instant`] since any origin, and what the wall clock shows
//!   ([`Input::Wall`]), or the engine knows nothing of agents' maintenance.
//! - **A seed**: 64 random bits for the machine's constructor.
//!
//! Who has sockets but no HTTP library finds in [`http1`] a request as bytes, and reports from the bytes of its answer.
//! The latter three are there for programs with std: in `mesos-driver`, `StoreThread`, `wall_clock` and `seed`.
//!
//! And then it waits: for a report, the store, a command or the next deadline, whichever comes first. [`Pump`] is what
//! every driver does between two waits (the drain, events that nobody has taken so far, when to stop reading), for a
//! driver to write its [`Effects`] and the waiting only. Here all but the network is as it will be:
//!
//! ```
//! use core::time::Duration;
//! use mesos_core::scheduler::{Client, Config, Event, Framework};
//! use mesos_core::{Effects, ExchangeId, Head, Instant, Machine, Persist, Pump, Report, Request, StoreFailure, UnixTime};
//!
//! struct Driver<M: Machine> {
//!     pump: Pump<M>,
//!     world: World,
//! }
//!
//! impl<M: Machine> Driver<M> {
//!     fn next_event(&mut self) -> Option<M::Event> {
//!         // At first only what has arrived while nobody was here.
//!         let mut limit = Some(Duration::ZERO);
//!         loop {
//!             if let Some(event) = self.pump.next_event() {
//!                 return Some(event);
//!             }
//!             if self.pump.is_done() && self.world.is_idle() {
//!                 return None;
//!             }
//!             self.turn(limit);
//!             limit = self.pump.deadline().map(|deadline| deadline.at.saturating_duration_since(self.world.now()));
//!         }
//!     }
//!
//!     fn with<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
//!         self.turn(Some(Duration::ZERO));
//!         self.pump.command(self.world.now(), command, &mut self.world)
//!     }
//!
//!     /// Bytes before clock.
//!     fn turn(&mut self, limit: Option<Duration>) {
//!         for report in self.world.wait(limit) {
//!             self.pump.report(self.world.now(), report, &mut self.world);
//!         }
//!         self.pump.tick(self.world.now(), self.world.wall_clock(), &mut self.world);
//!     }
//! }
//!
//! /// Instead of connections there is a master that is going to be there soon, and time passes by itself.
//! #[derive(Default)]
//! struct World {
//!     reports: Vec<Report>,
//!     time: Duration,
//! }
//!
//! impl World {
//!     /// Waits until something has arrived, but no longer than this. What has failed at once, in `request`, has arrived.
//!     fn wait(&mut self, limit: Option<Duration>) -> Vec<Report> {
//!         if self.reports.is_empty() {
//!             self.time += limit.unwrap_or(Duration::MAX);
//!         }
//!         core::mem::take(&mut self.reports)
//!     }
//!     /// Whether no exchange is under way, and nothing waits here to be told.
//!     fn is_idle(&self) -> bool {
//!         self.reports.is_empty()
//!     }
//!     fn now(&self) -> Instant {
//!         Instant::from_origin(self.time)
//!     }
//!     fn wall_clock(&self) -> UnixTime {
//!         UnixTime::from_epoch(self.time)
//!     }
//! }
//!
//! impl Effects for World {
//!     fn request(&mut self, request: Request) {
//!         self.reports.extend([Report::Head(request.id(), Head::new(503)), Report::End(request.id())]);
//!     }
//!     fn abort(&mut self, id: ExchangeId) {
//!         self.reports.retain(|report| report.id() != id);
//!     }
//!     fn persist(&mut self, _: Persist) -> Option<Result<(), StoreFailure>> {
//!         Some(Ok(()))
//!     }
//! }
//!
//! let seed = 42;
//! let client = Client::new(Config::new(Framework::new("demo"), ["10.0.0.1:5050"])?, seed);
//! let mut driver = Driver { pump: Pump::new(client), world: World::default() };
//! for _ in 0..3 {
//!     assert!(matches!(driver.next_event(), Some(Event::Disconnected { .. })));
//! }
//! driver.with(Client::disconnect);
//! assert_eq!(driver.next_event(), Some(Event::Stopped { removed: false }));
//! assert_eq!(driver.next_event(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This one reads on at every command, so events pile up if commands are all it is asked for; how a driver leaves bytes
//! in the network instead is told at [`Pump::wants_stream`].
//!
//! The repository has three such drivers as examples, each with sockets of its own, in about 200 lines: on std's
//! threads (`own_runtime_threads`), on an event loop made of mio (`own_runtime_mio`), on smol (`own_runtime_smol`).
//! `mesos_sim::serve::Embedded` is a cluster to try another one on. What to look for:
//!
//! - A master that is killed while the stream stands is a broken body: `Failed`, never `End`. Started again, it is found
//!   by the machine itself.
//! - A reader who takes longer over an event than the master may be silent
//!   ([`heartbeats_missed(1)`](scheduler::Config::heartbeats_missed): 15 s), and then gives a command before asking for
//!   the next event, doesn't find the connection declared dead.
//! - A driver with nothing to do uses no processor time: if it does, the wait ends at once for a socket that it doesn't
//!   read.
//! - After the last event, `None`; and each connection is closed.
//!
//! # A scheduler session's life
//!
//! ```text
//!                         +--------- redirect: 0 to 500 ms ---------+
//!                         v                                         |
//!  first input ---> [ Waiting ] --- SUBSCRIBE sent ---> [ Connecting ] --- 400, 401, 403 ... --> Fatal
//!                         ^                               |   |
//!                         |<--- refused, 404, 5xx, -------+   | 200 with content type and stream id
//!                         |     silence, no stream id         v
//!                         |<--- end of the stream, ------ [ Subscribing ] -- ERROR --> Fatal
//!                         |     silence                       |
//!                         |                                   | SUBSCRIBED
//!                         |                                   v
//!                         +<--- end of the stream, ------ [ Subscribed ] --- ERROR --> Fatal
//!        Disconnected,          silence, fault in             |    |
//!        back-off 1 to 15 s     the framing, lost call        |    +--- disconnect() --> Stopped
//!                                                             +--- teardown(), 202 ----> Stopped { removed: true }
//! ```
//!
//! - One SUBSCRIBE is under way at any time, never two. Calls are taken in `Subscribed` only (SUPPRESS and REVIVE at any
//!   time: the next SUBSCRIBE [carries](scheduler::Outcome::Carried) them), and none crosses into the next session: what
//!   waited is [`NotSent`](scheduler::Outcome::NotSent), what was under way [`Unknown`](scheduler::Outcome::Unknown).
//! - Silence counts from the request on (75 s); after SUBSCRIBED by the interval that the master announces (five
//!   missed heartbeats, with Mesos again 75 s). Any byte is life.
//! - A call on [`Lane::Ordered`] whose fate is unknown ends the session: it could still arrive, and only a new stream id
//!   makes it worthless. So after each [`Subscribed`](scheduler::Event::Subscribed) the past is settled.
//! - The back-off starts anew only after a session that outlived its longest step.
//!
//! # A whole loop, without any I/O
//!
//! The other side here is a script; a driver has sockets in its place.
//!
//! ```
//! use mesos_core::scheduler::{Client, Config, Event, Framework};
//! use mesos_core::{Head, Input, Instant, Lane, Machine, Output, recordio, v1};
//! use prost::Message;
//! use v1::scheduler::{Event as Record, event};
//!
//! fn framed(record: Record) -> Vec<u8> {
//!     let mut out = Vec::new();
//!     recordio::encode(&record.encode_to_vec(), &mut out);
//!     out
//! }
//!
//! let config = Config::new(Framework::new("demo"), ["10.0.0.1:5050"])?;
//! let mut client = Client::new(config, 42);
//! let mut now = Instant::ORIGIN;
//! let mut seen = Vec::new();
//! client.handle_input(now, Input::Timeout);
//! loop {
//!     match client.poll_output() {
//!         Output::Request(request) if request.lane() == Lane::Subscription => {
//!             // The master says yes, opens a stream, and sends two events on it.
//!             let id = request.id();
//!             let head = Head::new(200).header("Content-Type", b"application/x-protobuf");
//!             client.handle_input(now, Input::Head { id, head: head.header("Mesos-Stream-Id", b"8b42") });
//!             let mut subscribed = Record { r#type: Some(event::Type::Subscribed.into()), ..Default::default() };
//!             subscribed.subscribed.get_or_insert_default().framework_id.value = "f-1".into();
//!             let heartbeat = Record { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() };
//!             let bytes = [framed(subscribed), framed(heartbeat)].concat();
//!             for data in bytes.chunks(7) {
//!                 client.handle_input(now, Input::Body { id, data });
//!             }
//!         }
//!         Output::Request(request) => {
//!             // Any other call is taken.
//!             let id = request.id();
//!             client.handle_input(now, Input::Head { id, head: Head::new(202) });
//!             client.handle_input(now, Input::End { id });
//!         }
//!         Output::Abort(_) | Output::Persist(_) => {}
//!         Output::Event(event) => {
//!             match event {
//!                 Event::Subscribed(_) => drop(client.calls().reconcile_all()?),
//!                 Event::CallDone { .. } => client.teardown(),
//!                 _ => {}
//!             }
//!             seen.push(event);
//!         }
//!         Output::Timeout(None) => break,
//!         Output::Timeout(Some(deadline)) => {
//!             now = deadline.at;
//!             client.handle_input(now, Input::Timeout);
//!         }
//!     }
//! }
//! assert_eq!(seen.len(), 5);
//! assert!(matches!(seen[1], Event::Subscribed(_)));
//! assert!(matches!(seen[4], Event::Stopped { removed: true }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod answer;
mod attribute;
mod authorization;
mod backoff;
mod checks;
mod codec;
mod detector;
mod endpoint;
pub mod engine;
mod exchange;
pub mod executor;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http1;
mod location;
mod log;
mod machine;
#[cfg(not(planted))]
mod planted;
#[cfg(planted)]
#[doc(hidden)]
pub mod planted;
mod pump;
pub mod recordio;
mod report;
mod resources;
mod rng;
pub mod scheduler;
mod session;
mod store;
mod time;
mod wire;

pub use authorization::{Authorization, AuthorizationError};
pub use backoff::Backoff;
pub use checks::IdError;
pub use codec::Codec;
pub use detector::Detector;
pub use endpoint::{Endpoint, EndpointError};
pub use exchange::{ExchangeId, Failure, FailureKind, Head, Header, Lane, Method, Request, Sent};
pub use location::RedirectError;
pub use machine::{Deadline, Input, Machine, Output};
pub use mesos_proto;
pub use mesos_proto::v1;
pub use pump::{Effects, Pump};
pub use report::Report;
pub use resources::{ResourceProblem, Resources, Revocable};
pub use session::SessionState;
pub use store::{Key, MemoryStore, Persist, Store, StoreFailure, StoreOp, Ticket};
pub use time::{Instant, UnixTime};
pub use wire::{OfferRef, Offers, Ranges, ResourceRef, ResourceValue, SetItems, Update};
