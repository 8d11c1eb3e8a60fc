//! One event at a time, on the caller's own thread.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use mesos_core::{Detector, Effects, ExchangeId, Input, Instant, Machine, Persist, Pump, Request, Store, StoreFailure};
use mesos_driver::{StoreThread, wall_clock};

use crate::Http;
use crate::block_on::block_on;
use crate::handle::{Closed, Command, Handle};
use crate::leaders::Leaders;
use crate::mailbox::{ANSWER_QUEUE, Mail, Mailbox, STREAM_QUEUE};
use crate::net::Net;

/// Commands that wait for the driver; beyond, [`Handle::command`] waits to hand its own in.
const COMMAND_QUEUE: usize = 64;
/// Who wakes so much too late has been held up, and so have the threads that read.
const HELD_UP: Duration = Duration::from_millis(100);
/// What they get to catch up, before a timer is believed.
const CATCH_UP: Duration = Duration::from_millis(50);

/// Runs one machine: makes its connections, feeds it what arrives and keeps its time.
///
/// The machine itself runs on the thread that calls [`next_event`](Self::next_event); only connections and the store
/// have threads of their own, which sleep while there is nothing to read or write. Several drivers can run side by
/// side; nothing is shared but what [`Http`] holds. Other threads give commands through a [`Handle`].
///
/// Dropping the driver closes all connections and sends nothing: a framework stays known to the master for its
/// failover time. Its threads end at once, but for one that is just connecting, which ends with that (within the connect
/// timeout), and a store's, which writes its batch to the end. To leave in another way, give the machine the command for
/// it and read events to the end.
pub struct Driver<M: Machine> {
    pump: Pump<M>,
    world: World,
    /// None: the driver has ended.
    commands: Option<Receiver<Command<M>>>,
    sender: SyncSender<Command<M>>,
    origin: Clock,
    ending: Ending,
    /// None: the machine finds the leading master by itself. Dropped last, when the mailbox is closed.
    leaders: Option<Leaders>,
}

/// No event has come in the time given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event has come in time")]
#[allow(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct TimedOut;

/// What the machine acts on.
struct World {
    net: Net,
    /// None: batches are confirmed at once.
    store: Option<StoreThread>,
    mailbox: Arc<Mailbox>,
}

impl Effects for World {
    fn request(&mut self, request: Request) {
        self.net.start(request);
    }

    fn abort(&mut self, id: ExchangeId) {
        self.net.abort(id);
    }

    fn persist(&mut self, batch: Persist) -> Option<Result<(), StoreFailure>> {
        let Some(store) = &mut self.store else { return Some(Ok(())) };
        let mailbox = &self.mailbox;
        let started = store.write(batch, || {
            let mailbox = mailbox.clone();
            (
                |applied: mesos_driver::Applied<'_>| block_on(applied),
                move |ticket, result| mailbox.stored((ticket, result)),
            )
        });
        started.err().map(Err)
    }
}

/// Tells those who wait why the driver has ended, even if it unwinds.
struct Ending(Arc<Mailbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close(if thread::panicking() { Closed::Panicked } else { Closed::Dropped });
    }
}

impl<M: Machine> Driver<M> {
    /// A driver for this machine. Nothing happens before the first event is asked for, or the first command given.
    #[must_use]
    pub fn new(machine: M, http: Http) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let (sender, commands) = sync_channel(COMMAND_QUEUE);
        Self {
            pump: Pump::new(machine),
            world: World { net: Net::new(http, mailbox.clone()), store: None, mailbox: mailbox.clone() },
            commands: Some(commands),
            sender,
            origin: Clock::now(),
            ending: Ending(mailbox),
            leaders: None,
        }
    }

    /// Keeps in this store what the machine wants kept. Without one, its batches are confirmed at once and nothing
    /// outlives the process.
    ///
    /// The store has a thread of its own, named `mesos-store`, which the first batch starts. It may block there; a future
    /// that waits for something else is woken as any is, but there is no runtime. Its answers reach the machine even if
    /// events wait unread.
    ///
    /// The end of the events is also the store's: before `None` comes, a batch under way is written and the store
    /// dropped, so that another instance can open it. Dropping the driver waits for nothing; a batch under way is
    /// still written, then the store is dropped, both on its own thread.
    ///
    /// A store that panics is dropped. Its batch, and each later one, counts as
    /// [`Refused`](mesos_core::StoreFailure::Refused): its fate is unknown and nobody is left to be asked again, so
    /// the machine ends in its own way, with its own last event, rather than wait for ever.
    #[must_use]
    pub fn store<S: Store + 'static>(mut self, store: S) -> Self {
        self.world.store = Some(StoreThread::new(store));
        self
    }

    /// Follows the leading master that this finds. It has a thread of its own, named `mesos-detector`, which the first
    /// event asked for, or the first command, starts, and which ends with the driver. If the system has no thread to give,
    /// a warning says so and the driver tries again each second.
    #[must_use]
    pub fn detector<D: Detector + 'static>(mut self, detector: D) -> Self {
        self.leaders = Some(Leaders::new(detector, self.world.mailbox.clone()));
        self
    }

    /// Waits for the next event; `None` after the last one.
    ///
    /// The machine's time only moves within this method and [`with`](Self::with), and commands of [`Handle`]s run only
    /// here. While nobody calls them, at most 256 KiB of the subscription are read ahead and the rest is left to the
    /// network; bytes that waited are looked at before any timer, so a caller who took two minutes over an event doesn't
    /// find the master declared silent.
    ///
    /// # Panics
    ///
    /// If a [`Handle`]'s command does.
    pub fn next_event(&mut self) -> Option<M::Event> {
        // Without an end to the waiting there is no other outcome.
        self.wait(None).unwrap_or(None)
    }

    /// Waits for the next event, but not any longer than this; `Ok(None)` after the last one.
    ///
    /// For callers who have something else to look after. An event that comes later is not lost; the rest is as with
    /// [`next_event`](Self::next_event).
    ///
    /// # Errors
    ///
    /// [`TimedOut`], if none has come.
    ///
    /// # Panics
    ///
    /// If a [`Handle`]'s command does.
    pub fn next_event_timeout(&mut self, limit: Duration) -> Result<Option<M::Event>, TimedOut> {
        self.wait(Clock::now().checked_add(limit))
    }

    fn wait(&mut self, until: Option<Clock>) -> Result<Option<M::Event>, TimedOut> {
        self.start();
        loop {
            // Only what the store has to say: the machine may be waiting for it, however many events wait here. The bell
            // goes with it, so commands are looked for after this.
            if let Some(mail) = self.world.mailbox.try_next(false, false) {
                self.feed(mail);
            }
            self.run_commands();
            if let Some(event) = self.pump.next_event() {
                return Ok(Some(event));
            }
            if self.pump.is_done() && self.world.net.is_idle() {
                self.finish();
                return Ok(None);
            }
            if !self.turn(until) {
                return Err(TimedOut);
            }
        }
    }

    /// Gives commands to the machine, at the present time. What they ask for starts at once.
    pub fn with<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        self.start();
        self.tick();
        self.pump.command(self.now(), command, &mut self.world)
    }

    /// The machine, to look at.
    #[must_use]
    pub const fn machine(&self) -> &M {
        self.pump.machine()
    }

    /// For other threads to give commands.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        Handle::new(self.sender.clone(), self.ending.0.clone())
    }

    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn start(&mut self) {
        self.follow();
        if !self.pump.is_started() {
            self.expire();
        }
    }

    /// Starts the detector's thread, unless it has; when to try again, if there is none to be had.
    fn follow(&mut self) -> Option<Clock> {
        self.leaders.as_mut().and_then(Leaders::start)
    }

    /// Runs what other threads have asked for.
    fn run_commands(&mut self) {
        // Not until none is left: events are waiting as well.
        for _ in 0..COMMAND_QUEUE {
            let Some(Ok(command)) = self.commands.as_ref().map(Receiver::try_recv) else { return };
            self.with(command);
        }
        self.world.mailbox.ring();
    }

    /// Waits for something to happen, and feeds it; `false` if nothing has until then.
    fn turn(&mut self, until: Option<Clock>) -> bool {
        // One beyond the end of the system's time never comes.
        let deadline = self.pump.deadline().and_then(|d| self.origin.checked_add(d.at.since_origin()));
        let (stream, answers) = (self.pump.wants_stream(), self.pump.wants_answers());
        let first = [deadline, until, self.follow()].into_iter().flatten().min();
        match self.world.mailbox.next(stream, answers, first) {
            Some(mail) => self.feed(mail),
            None => {
                // The whole process may have stood still, and then bytes are waiting in the kernel that prove the peer
                // alive.
                if first.is_some_and(|at| at.elapsed() > HELD_UP) {
                    thread::sleep(CATCH_UP);
                }
                let now = Clock::now();
                if deadline.is_none_or(|at| at > now) {
                    return until.is_none_or(|at| at > now);
                }
            }
        }
        // Mail may come without a pause; timers still count.
        if deadline.is_some_and(|at| at <= Clock::now()) {
            self.tick();
        }
        true
    }

    /// Brings the machine up to the present: answers and bytes first, then the clock.
    fn tick(&mut self) {
        // Not until nothing is left: a fast peer could keep that up for ever.
        for _ in 0..STREAM_QUEUE + ANSWER_QUEUE {
            match self.world.mailbox.try_next(self.pump.wants_stream(), self.pump.wants_answers()) {
                Some(mail) => self.feed(mail),
                None => break,
            }
        }
        if let Some(id) = self.world.net.unread_stream() {
            self.pump.feed(self.now(), Input::Paused { id }, &mut self.world);
        }
        self.expire();
    }

    fn expire(&mut self) {
        self.pump.tick(self.now(), wall_clock(), &mut self.world);
    }

    fn feed(&mut self, mail: Mail) {
        let now = self.now();
        match mail {
            // Whoever asks for events looks for commands as well.
            Mail::Bell => {}
            Mail::Leader(leader) => self.pump.feed(now, Input::Leader(leader), &mut self.world),
            Mail::Stored((ticket, result)) => self.pump.stored(now, ticket, result, &mut self.world),
            Mail::Report(report) => {
                if self.world.net.expects(&report) {
                    self.pump.report(now, report, &mut self.world);
                }
            }
        }
    }

    /// Waits until the store has been let go, and tells those who wait for the end.
    fn finish(&mut self) {
        if let Some(thread) = self.world.store.as_mut().and_then(StoreThread::close) {
            // The store's panics are caught there; there is nothing to learn from how it ended.
            let _ = thread.join();
        }
        self.ending.0.close(Closed::Finished);
        // Those that came too late hear of it as their commands go.
        self.commands = None;
    }
}

impl<M: Machine + fmt::Debug> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("machine", self.pump.machine()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use mesos_core::{Deadline, Endpoint, Output};

    use super::*;
    use crate::leaders::{Work, spawn};

    /// Tells who leads.
    #[derive(Default)]
    struct Told(Option<Endpoint>);

    impl Machine for Told {
        type Event = Endpoint;

        fn handle_input(&mut self, _: Instant, input: Input<'_>) {
            if let Input::Leader(leader) = input {
                self.0 = leader;
            }
        }

        fn poll_output(&mut self) -> Output<Endpoint> {
            let never = Deadline { at: Instant::from_origin(Duration::MAX), what: "never" };
            self.0.take().map_or(Output::Timeout(Some(never)), Output::Event)
        }
    }

    /// Finds a leader, and no other.
    struct Found(Option<Endpoint>);

    impl Detector for Found {
        async fn next(&mut self) -> Option<Endpoint> {
            match self.0.take() {
                None => std::future::pending().await,
                found => found,
            }
        }
    }

    // The machine has no timer that would wake the driver for this.
    #[test]
    fn a_detector_without_a_thread_gets_one_when_there_is_one() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn reluctant(work: Work) -> io::Result<thread::Thread> {
            match ASKED.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => spawn(work),
            }
        }
        let master: Endpoint = "10.0.0.1".parse().unwrap();
        let mut driver = Driver::new(Told::default(), Http::default()).detector(Found(Some(master.clone())));
        driver.leaders.as_mut().unwrap().spawn = reluctant;
        // Not asked again for each event, and time limits hold.
        for _ in 0..3 {
            assert_eq!(driver.next_event_timeout(Duration::ZERO), Err(TimedOut));
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        assert_eq!(driver.next_event_timeout(Duration::from_secs(60)), Ok(Some(master)));
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    }
}
