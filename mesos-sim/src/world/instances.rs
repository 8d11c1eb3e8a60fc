//! Two instances of one scheduler: one leads, the other one waits for its place. Leaders are killed, stand still, lose
//! sight of the store, hand over; and the one that was replaced may not know, and go on for a while.
//!
//! The leader is the world's engine. One that was replaced and hasn't ended yet is kept here, and has its turn in the
//! leader's place ([`World::as_deposed`]), with judges of its own (`deposed`).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use mesos_core::engine::{Engine, Event};
#[cfg(planted)]
use mesos_core::planted::{self, Bug};
use mesos_core::{Codec, Input, Key, Output, StoreFailure, Ticket};
use mesos_proto::v1::scheduler::Call;

use super::fault::Fault;
use super::session::{Fence, Silence};
use super::{Happening, Step, Violation, World, violation};
use crate::rng::Rng;

/// Without an end to it.
const NEVER: Duration = Duration::MAX;
/// One that has ended is listened to for so long.
const SILENT: Duration = Duration::from_secs(10);

/// A process that isn't in the leader's place.
#[derive(Debug)]
pub(super) struct Instance {
    engine: Option<Engine>,
    process: u64,
    deadline: Option<Duration>,
    wire: Codec,
    cut_until: Duration,
    /// It has told of its end,
    terminal: bool,
    /// and that was before it was replaced.
    stepped_down: bool,
    /// It stands still, and this waits for it.
    asleep: Option<Asleep>,
    /// When its next timeout comes.
    due: Option<Duration>,
}

#[derive(Debug, Default)]
struct Asleep {
    /// What it was about to do.
    output: Option<Output<Event>>,
    /// When that was decided: others act meanwhile.
    decided_at: Duration,
    /// What has come since.
    late: Vec<Happening>,
}

/// Something that happens to one of them, by its process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// The leader's node is gone, and a candidate is there.
    TakeOver(u64),
    /// It goes on as if nothing had happened.
    Wake(u64),
    /// It learns that its lease is over, or has ended: its connections close, and it becomes a candidate again.
    Drop(u64),
    /// A timeout of one that was replaced.
    Timeout(u64),
}

/// Both of them, as far as the leader isn't the world's engine.
#[derive(Debug)]
pub(super) struct Instances {
    /// Else there is one only, and nothing of this.
    pub(super) two: bool,
    session: Duration,
    pub(super) fence: Fence,
    /// The leader, while it stands still.
    asleep: Option<Instance>,
    /// When the leader's lease is over, if it isn't kept up.
    lease: Duration,
    deposed: Vec<Instance>,
    /// One that was replaced is in the leader's place for a moment.
    pub(super) acting: bool,
    /// It has told of its end.
    pub(super) terminal: bool,
    /// What was to be done before anything else.
    pub(super) output: Option<Output<Event>>,
    /// The leader can't reach the store until then.
    pub(super) cut_until: Duration,
    /// From when on the other one is a candidate, and the one that leads again, once it doesn't.
    other: Duration,
    former: Duration,
    /// Tasks whose intent was taken.
    pub(super) intents: BTreeSet<String>,
    /// Calls that a master has just taken, and whose.
    pub(super) taken: Vec<(u64, Call)>,
    /// What another instance knew of the store when the leader began to fail: a planted bug lets it go on with that.
    #[cfg(planted)]
    pub(super) seen: Option<std::collections::BTreeMap<Key, Bytes>>,
}

impl Instances {
    pub(super) fn new(two: bool, rng: &mut Rng) -> Self {
        Self {
            two,
            session: Duration::from_secs(rng.pick(&[4, 10, 10, 40]).unwrap_or(10)),
            fence: Fence::default(),
            asleep: None,
            lease: NEVER,
            deposed: Vec::new(),
            acting: false,
            terminal: false,
            output: None,
            cut_until: Duration::ZERO,
            other: Duration::ZERO,
            former: NEVER,
            intents: BTreeSet::new(),
            taken: Vec::new(),
            #[cfg(planted)]
            seen: None,
        }
    }

    /// Whether the leader stands still.
    pub(super) const fn is_asleep(&self) -> bool {
        self.asleep.is_some()
    }

    fn place(&self, process: u64) -> Option<usize> {
        self.deposed.iter().position(|instance| instance.process == process)
    }
}

impl World {
    /// What concerns a process that isn't in the leader's place goes to it; else it is given back.
    pub(super) fn divert(&mut self, what: Happening) -> Result<Option<Happening>, Violation> {
        if !self.instances.two || self.instances.acting {
            return Ok(Some(what));
        }
        let process = match &what {
            Happening::Deliver(number, _) => self.exchanges.get(number).map(|exchange| exchange.process),
            Happening::Told(process, ..) => Some(*process),
            _ => None,
        };
        let Some(process) = process else { return Ok(Some(what)) };
        let place = self.instances.place(process);
        let instance = match place {
            Some(place) => self.instances.deposed.get_mut(place),
            None => self.instances.asleep.as_mut().filter(|instance| instance.process == process),
        };
        if let Some(asleep) = instance.and_then(|instance| instance.asleep.as_mut()) {
            asleep.late.push(what);
            return Ok(None);
        }
        match place {
            Some(place) => self.as_deposed(place, |world| world.happens(what)).map(|()| None),
            None => Ok(Some(what)),
        }
    }

    /// Puts one that was replaced into the leader's place for a moment.
    fn as_deposed(&mut self, place: usize, act: impl FnOnce(&mut Self) -> Step) -> Step {
        let mut instance = self.instances.deposed.swap_remove(place);
        self.swap(&mut instance);
        self.instances.acting = true;
        let step = act(self);
        self.instances.acting = false;
        self.swap(&mut instance);
        let due = instance.deadline.filter(|_| instance.due != instance.deadline);
        instance.due = instance.deadline;
        let process = instance.process;
        self.instances.deposed.push(instance);
        if let Some(at) = due {
            self.at(at, Happening::Instance(Turn::Timeout(process)));
        }
        step
    }

    const fn swap(&mut self, instance: &mut Instance) {
        use std::mem::swap;
        swap(&mut self.engine, &mut instance.engine);
        swap(&mut self.process, &mut instance.process);
        swap(&mut self.deadline, &mut instance.deadline);
        swap(&mut self.config.wire, &mut instance.wire);
        swap(&mut self.instances.cut_until, &mut instance.cut_until);
        swap(&mut self.instances.terminal, &mut instance.terminal);
    }

    pub(super) fn turn(&mut self, turn: Turn) -> Step {
        match turn {
            Turn::TakeOver(process) => self.take_over(process),
            Turn::Wake(process) => self.wake(process),
            Turn::Drop(process) => {
                self.leave_office(process);
                Ok(())
            }
            Turn::Timeout(process) => {
                let Some(place) = self.instances.place(process) else { return Ok(()) };
                let now = self.now;
                let due = |instance: &&mut Instance| {
                    instance.asleep.is_none() && instance.deadline.is_some_and(|at| at <= now)
                };
                let Some(instance) = self.instances.deposed.get_mut(place).filter(due) else { return Ok(()) };
                instance.due = None;
                self.as_deposed(place, |world| world.feed(Input::Timeout))
            }
        }
    }

    // Who leads.

    /// Someone takes over as soon as the leader's node is gone.
    fn succession(&mut self) {
        let Some(gone) = self.instances.fence.gone else { return };
        #[cfg(planted)]
        if self.instances.seen.is_none() {
            self.instances.seen = Some(self.disk.records.clone());
        }
        let ready = self.instances.other.min(self.instances.former);
        if ready < NEVER {
            let at = gone.max(ready).max(self.disk.down_until);
            let wait = self.moments();
            self.at(at + wait, Happening::Instance(Turn::TakeOver(self.process)));
        }
    }

    /// A few round trips to the store.
    fn moments(&mut self) -> Duration {
        self.rng.time(Duration::from_micros(500), Duration::from_millis(30))
    }

    /// When the leader can reach the store.
    fn reaches_store(&self) -> Duration {
        self.now.max(self.instances.cut_until).max(self.disk.down_until)
    }

    /// The leader's node goes then at the latest, and its instance is a candidate again.
    fn vacate(&mut self, gone: Duration, former: Duration) {
        let before = self.instances.fence.gone.unwrap_or(NEVER);
        self.instances.fence.gone = Some(gone.min(before));
        self.instances.former = former;
        self.succession();
    }

    /// The leader has ended in good order, or was told to: it makes room at once.
    pub(super) fn step_down(&mut self) {
        if self.instances.former == NEVER {
            let gone = self.reaches_store() + self.moments();
            let most = Duration::from_secs(if self.calm { 1 } else { 20 });
            let wait = self.rng.time(Duration::from_millis(10), most);
            self.vacate(gone, gone + wait);
        }
    }

    /// The leader was killed, and is started again after a while: the servers learn it from its silence.
    pub(super) fn was_killed(&mut self, wait: Duration) {
        let silence = self.silence();
        self.vacate(silence.gone, self.now + wait);
    }

    fn silence(&mut self) -> Silence {
        Silence::begin(self.instances.session, self.now, self.disk.down_until, &mut self.rng)
    }

    /// It no longer acts as the leader, and is a candidate again.
    fn leave_office(&mut self, process: u64) {
        if let Some(place) = self.instances.place(process) {
            self.note(|| format!("== process {process}, which was replaced, ends =="));
            let instance = self.instances.deposed.swap_remove(place);
            self.hang_up(process);
            if !instance.stepped_down {
                let wait = self.moments();
                self.instances.other = self.now + wait;
                self.succession();
            }
        } else if process == self.process && self.engine.is_some() && !self.ledger.terminal {
            self.note(|| "== the leader's lease is over ==".into());
            self.dies();
            let gone = self.reaches_store() + self.moments();
            let wait = self.moments();
            self.vacate(gone, gone + wait);
        }
    }

    fn take_over(&mut self, process: u64) -> Step {
        let ready = |at: Duration| at <= self.now;
        let (other, former) = (ready(self.instances.other), ready(self.instances.former));
        let vacant = self.instances.fence.is_vacant(self.now);
        if process != self.process || !vacant || !(other || former) {
            return Ok(());
        }
        if self.disk.down_until > self.now {
            self.succession();
            return Ok(());
        }
        if other {
            self.instances.other = self.instances.former;
        }
        self.instances.former = NEVER;
        self.note(|| format!("== {} instance takes over ==", if other { "the other" } else { "the same" }));
        self.replace();
        self.instances.cut_until = Duration::ZERO;
        self.start()
    }

    /// Whoever is in the leader's place goes on as one that was replaced.
    fn replace(&mut self) {
        let instance = match self.instances.asleep.take() {
            Some(instance) => instance,
            None if self.engine.is_some() => self.step_aside(None),
            None => return,
        };
        let (process, deadline) = (instance.process, instance.deadline);
        let (terminal, asleep) = (instance.terminal, instance.asleep.is_some());
        self.instances.deposed.push(instance);
        if terminal {
            self.after(SILENT, Happening::Instance(Turn::Drop(process)));
        } else if let Some(at) = deadline.filter(|_| !asleep) {
            self.at(at, Happening::Instance(Turn::Timeout(process)));
        }
    }

    fn step_aside(&mut self, asleep: Option<Asleep>) -> Instance {
        let deadline = self.deadline.take();
        Instance {
            engine: self.engine.take(),
            process: self.process,
            deadline,
            wire: self.config.wire,
            cut_until: self.instances.cut_until,
            terminal: self.ledger.terminal,
            stepped_down: self.ledger.terminal,
            asleep,
            due: None,
        }
    }

    // What goes wrong.

    /// Whether the leader can come to a standstill.
    pub(super) fn may_stand_still(&self) -> bool {
        self.instances.two && !self.instances.acting && self.engine.is_some() && !self.ledger.terminal
    }

    /// The leader stands still for a while, often for longer than its session.
    pub(super) fn stand_still(&mut self, output: Option<Output<Event>>) {
        let session = self.instances.session;
        let time = self.rng.time(session / 10, session * 8);
        self.note(|| format!("== the leader stands still for {time:?} =="));
        let silence = self.silence();
        let decided_at = self.decided_at;
        let instance = self.step_aside(Some(Asleep { output, decided_at, late: Vec::new() }));
        self.instances.asleep = Some(instance);
        self.instances.lease = silence.lease;
        self.vacate(silence.gone, NEVER);
        self.after(time, Happening::Instance(Turn::Wake(self.process)));
    }

    /// It goes on: with what it was about to do, with what has come since, and with what is due.
    fn wake(&mut self, process: u64) -> Step {
        let place = self.instances.place(process);
        let deposed = place.and_then(|place| self.instances.deposed.get_mut(place));
        if let Some(asleep) = deposed.and_then(|instance| instance.asleep.take()) {
            self.note(|| format!("== process {process} goes on, and was replaced =="));
            self.notices(process);
            return self.catch_up(asleep, process);
        }
        let Some(mut instance) = self.instances.asleep.take_if(|instance| instance.process == process) else {
            return Ok(());
        };
        self.note(|| "== the leader goes on ==".into());
        let asleep = instance.asleep.take().unwrap_or_default();
        self.engine = instance.engine;
        self.deadline = instance.deadline;
        self.ledger.woke(self.now);
        let keeps = self.now <= self.instances.lease || !self.notices(process);
        if keeps && self.instances.cut_until <= self.now {
            // Its heartbeats go on, and its session with them.
            self.instances.fence.gone = None;
            #[cfg(planted)]
            {
                self.instances.seen = None;
            }
        }
        self.catch_up(asleep, process)?;
        if self.calm { self.rest() } else { Ok(()) }
    }

    /// Whether it learns in time, and by itself, that its lease is over: one whose clock stood still doesn't.
    fn notices(&mut self, process: u64) -> bool {
        if self.plan.strikes(&mut self.rng, Fault::LeaseBlind) {
            return false;
        }
        let wait = self.rng.time(Duration::from_millis(1), self.instances.session / 4);
        self.after(wait, Happening::Instance(Turn::Drop(process)));
        true
    }

    fn catch_up(&mut self, asleep: Asleep, process: u64) -> Step {
        let late_first = self.rng.chance(0.5);
        let wall = self.wall();
        let first = move |world: &mut Self| {
            world.instances.output = asleep.output;
            world.decided_at = asleep.decided_at;
            world.drain()?;
            if late_first { Ok(()) } else { world.feed(Input::Timeout) }
        };
        let then = move |world: &mut Self| {
            world.feed(Input::Wall(wall))?;
            world.feed(Input::Timeout)
        };
        self.at_its_place(process, first)?;
        for what in asleep.late {
            self.happens(what)?;
        }
        self.at_its_place(process, then)
    }

    fn at_its_place(&mut self, process: u64, act: impl FnOnce(&mut Self) -> Step) -> Step {
        match self.instances.place(process) {
            Some(place) => self.as_deposed(place, act),
            None if process == self.process => act(self),
            None => Ok(()),
        }
    }

    /// An instance is cut off from the store for a while.
    pub(super) fn cut_store(&mut self) {
        let session = self.instances.session;
        let time = self.rng.time(Duration::from_millis(100), session * 8);
        if self.rng.chance(0.3) {
            self.note(|| format!("the instance that waits is cut off from the store for {time:?}"));
            if self.instances.other < NEVER {
                self.instances.other = self.instances.other.max(self.now + time);
                self.succession();
            }
        } else {
            self.note(|| format!("the leader is cut off from the store for {time:?}"));
            self.instances.cut_until = self.now + time;
            self.store_away(time, true);
        }
    }

    /// The leader doesn't see the store for a while; the servers see the others, or nobody.
    pub(super) fn store_away(&mut self, time: Duration, served: bool) {
        if !self.instances.two || !served && self.instances.other == NEVER {
            return;
        }
        let silence = self.silence();
        if !served {
            self.instances.other = self.instances.other.max(self.now + time);
        }
        if self.engine.is_none() || self.instances.fence.gone.is_some() || self.now + time <= silence.lease {
            return;
        }
        if !self.plan.strikes(&mut self.rng, Fault::LeaseBlind) {
            let wait = self.moments();
            self.at(silence.lease + wait, Happening::Instance(Turn::Drop(self.process)));
        }
        if served && self.now + time > silence.gone {
            self.vacate(silence.gone, NEVER);
        }
    }

    // The store, and how all of this ends.

    /// Whether the store takes a batch of this process now.
    pub(super) fn takes(&self, process: u64) -> bool {
        #[cfg(planted)]
        if self.instances.two && planted::is_chosen(Bug::FenceOpen) {
            return true;
        }
        if self.instances.two { self.instances.fence.takes(self.now, process) } else { process == self.process }
    }

    /// What a process finds in the store.
    pub(super) fn read(&mut self) -> Vec<(Key, Bytes)> {
        #[cfg(planted)]
        if let Some(seen) = self.instances.seen.take().filter(|_| planted::is_chosen(Bug::SeenEarly)) {
            return seen.into_iter().collect();
        }
        self.disk.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// What a writer is told: what wasn't taken was fenced.
    pub(super) fn verdict(&self, process: u64, ticket: Ticket, failure: Option<StoreFailure>) -> Option<StoreFailure> {
        let lost = self.instances.two && failure.is_none() && !self.instances.fence.has_taken(process, ticket);
        if lost { Some(StoreFailure::Fenced("simulated".into())) } else { failure }
    }

    /// All is well from now on; the instances are not necessarily.
    pub(super) fn mend_instances(&mut self) -> Step {
        self.instances.cut_until = Duration::ZERO;
        let soon = self.now + Duration::from_secs(1);
        for at in [&mut self.instances.other, &mut self.instances.former] {
            if *at < NEVER {
                *at = soon.min(*at);
            }
        }
        let sleepers: Vec<u64> =
            self.instances.asleep.iter().chain(&self.instances.deposed).map(|instance| instance.process).collect();
        for process in sleepers {
            self.at(soon, Happening::Instance(Turn::Wake(process)));
        }
        self.succession();
        if self.engine.is_some() { self.rest() } else { Ok(()) }
    }

    /// L9: of two instances one leads, and no other one believes that it does.
    pub(super) fn one_leads(&mut self) -> Step {
        if !self.instances.two {
            return Ok(());
        }
        if let Some(instance) = self.instances.deposed.first() {
            return violation("L9", format!("process {} has been replaced, and hasn't ended", instance.process));
        }
        if self.instances.fence.is_vacant(self.now) {
            return violation("L9", "nobody leads");
        }
        *self.ledger.judged.entry("L9").or_default() += 1;
        Ok(())
    }
}
