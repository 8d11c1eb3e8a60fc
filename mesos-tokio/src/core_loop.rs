//! What both faces of the driver share: machine, connections, clock.

use mesos_core::{Effects, ExchangeId, Input, Instant, Machine, Persist, Pump, Report, Request, StoreFailure};
use mesos_driver::wall_clock;
use tokio::time::sleep_until;

use crate::Http;
use crate::leaders::Leaders;
use crate::net::{ANSWER_QUEUE, Net, STREAM_QUEUE};
use crate::store::{Answer, Writer};

/// Turns given to the connections' tasks before a timer is believed.
const CATCH_UP: usize = 8;

pub(crate) struct Core<M: Machine> {
    pub(crate) pump: Pump<M>,
    world: World,
    /// None: the machine finds the leading master by itself.
    leaders: Option<Leaders>,
    origin: tokio::time::Instant,
}

/// What the machine acts on.
struct World {
    net: Net,
    /// None: batches are confirmed at once.
    store: Option<Writer>,
}

impl Effects for World {
    fn request(&mut self, request: Request) {
        self.net.start(request);
    }

    fn abort(&mut self, id: ExchangeId) {
        self.net.abort(id);
    }

    fn persist(&mut self, batch: Persist) -> Option<Result<(), StoreFailure>> {
        match &mut self.store {
            Some(store) => store.write(batch).err().map(Err),
            None => Some(Ok(())),
        }
    }
}

impl<M: Machine> Core<M> {
    pub(crate) fn new(machine: M, http: Http) -> Self {
        let world = World { net: Net::new(http), store: None };
        Self { pump: Pump::new(machine), world, leaders: None, origin: tokio::time::Instant::now() }
    }

    pub(crate) fn keep_in(&mut self, store: Writer) {
        self.world.store = Some(store);
    }

    pub(crate) fn follow(&mut self, leaders: Leaders) {
        self.leaders = Some(leaders);
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    /// Nothing will ever come out again. Events may still be held.
    pub(crate) fn is_finished(&self) -> bool {
        self.pump.is_done() && self.world.net.is_idle()
    }

    /// Waits until the store has been let go. Cancel-safe.
    pub(crate) async fn close(&mut self) {
        if let Some(store) = &mut self.world.store {
            store.close().await;
        }
    }

    pub(crate) fn start(&mut self) {
        if !self.pump.is_started() {
            if let Some(leaders) = &mut self.leaders {
                leaders.start();
            }
            self.expire();
        }
    }

    /// Waits for a report or the deadline, and feeds it. Cancel-safe: what was received has been fed.
    pub(crate) async fn turn(&mut self) {
        // One beyond the end of tokio's time never comes.
        let deadline = self.pump.deadline().and_then(|d| self.origin.checked_add(d.at.since_origin()));
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (stream, answers) = (self.pump.wants_stream(), self.pump.wants_answers());
        let stored = async {
            match &mut self.world.store {
                Some(store) => store.next().await,
                None => std::future::pending().await,
            }
        };
        let leader = async {
            match &mut self.leaders {
                Some(leaders) => leaders.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // However many events are held: what the machine holds back until then is not theirs to hold up.
            answer = stored => self.feed_answer(answer),
            leader = leader => self.pump.feed(self.now(), Input::Leader(leader), &mut self.world),
            report = self.world.net.next(stream, answers) => self.feed(report),
            () = timer => {
                // The whole process may have been held up, and then bytes are waiting in the kernel that prove the
                // peer alive: the connections get a few turns to read them.
                for _ in 0..CATCH_UP {
                    tokio::task::yield_now().await;
                    self.feed_one();
                }
            }
        }
        // Reports may come without a pause; timers still count.
        if deadline.is_some_and(|at| at <= tokio::time::Instant::now()) {
            self.tick();
        }
    }

    /// Feeds what the store has answered, if anything.
    pub(crate) fn catch_up_with_store(&mut self) {
        if let Some(answer) = self.world.store.as_mut().and_then(Writer::try_next) {
            self.feed_answer(answer);
        }
    }

    /// Brings the machine up to the present: answers and bytes first, then the clock.
    fn tick(&mut self) {
        self.catch_up_with_store();
        // Not until nothing is left: a fast peer could keep that up for ever.
        for _ in 0..STREAM_QUEUE + ANSWER_QUEUE {
            if !self.feed_one() {
                break;
            }
        }
        if let Some(id) = self.world.net.unread_stream() {
            self.pump.feed(self.now(), Input::Paused { id }, &mut self.world);
        }
        self.expire();
    }

    /// Runs a command at the present time, and starts what it asks for.
    pub(crate) fn command<R>(&mut self, command: impl FnOnce(&mut M) -> R) -> R {
        self.start();
        self.tick();
        self.pump.command(self.now(), command, &mut self.world)
    }

    fn expire(&mut self) {
        self.pump.tick(self.now(), wall_clock(), &mut self.world);
    }

    /// Feeds a report that is waiting already and wanted, if there is one.
    fn feed_one(&mut self) -> bool {
        let report = self.world.net.try_next(self.pump.wants_stream(), self.pump.wants_answers());
        let found = report.is_some();
        if let Some(report) = report {
            self.feed(report);
        }
        found
    }

    fn feed(&mut self, report: Report) {
        self.pump.report(self.now(), report, &mut self.world);
    }

    fn feed_answer(&mut self, (ticket, result): Answer) {
        self.pump.stored(self.now(), ticket, result, &mut self.world);
    }
}
