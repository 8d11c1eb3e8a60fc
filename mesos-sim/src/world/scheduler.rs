//! The scheduler under test and what lies between it and the masters: its process, its connections, its store.

use std::time::Duration;

use bytes::Bytes;
use mesos_core::engine::{Config, Engine, OnRemoved, RecoverError, Removal};
use mesos_core::scheduler::{self, Framework};
use mesos_core::{Codec, Failure, FailureKind, Head, Input, Instant, Key, Lane, Machine, Output, Persist, Sent};
use mesos_core::{StoreFailure, Ticket, UnixTime};
use mesos_proto::v1::scheduler as proto;

use super::fault::Fault;
use super::ledger::parse;
use super::net::{Exchange, Piece, brief, brief_event, offers};
use super::places::{Moment, Places};
use super::setup::Start;
use super::users;
use super::{BEGINNING, Happening, Step, World, violation};
use crate::http::Codec as Wire;
use crate::rng::Rng;
use crate::{ExchangeId, Request, Response, codec};

/// How schedulers are made.
#[derive(Debug)]
pub(super) struct Make {
    masters: Vec<String>,
    pub(super) wire: Codec,
    on_removed: OnRemoved,
    /// Whether specs are given at each start; else only the store knows them.
    pub(super) given: bool,
    /// So many tasks are ended at a time,
    pub(super) kills: u32,
    /// and so many are launched on an agent.
    launching: u32,
}

impl Make {
    pub(super) fn draw(rng: &mut Rng, masters: &[String]) -> Self {
        // Chance of its own.
        let mut apart = Rng::new(rng.clone().next() ^ 0x6b);
        Self {
            kills: apart.pick(&[100, 100, 3]).unwrap_or(100),
            launching: apart.pick(&[32, 32, 2]).unwrap_or(32),
            masters: masters.to_vec(),
            wire: if rng.chance(0.2) { Codec::Json } else { Codec::Protobuf },
            on_removed: if rng.chance(0.5) { OnRemoved::FreshId } else { OnRemoved::Stop },
            given: rng.chance(0.7),
        }
    }

    /// Whether a framework that was removed is made anew.
    pub(super) fn is_remade(&self) -> bool {
        self.on_removed == OnRemoved::FreshId
    }

    const fn wire(&self) -> Wire {
        match self.wire {
            Codec::Json => Wire::Json,
            _ => Wire::Protobuf,
        }
    }
}

impl World {
    pub(super) fn wall(&self) -> UnixTime {
        self.wall_of(self.skew)
    }

    fn wall_of(&self, skew: i64) -> UnixTime {
        let beginning = Duration::from_secs(BEGINNING.saturating_add_signed(skew));
        UnixTime::from_epoch(beginning + self.now)
    }

    pub(super) const fn instant(&self) -> Instant {
        Instant::from_origin(self.now)
    }

    /// A new process takes over from the store.
    pub(super) fn start(&mut self) -> Step {
        if self.engine.is_some() {
            return Ok(());
        }
        self.process += 1;
        self.instances.fence.open(self.process);
        self.disk.fenced = false;
        if std::mem::take(&mut self.wipe) {
            (self.users.leaving, self.users.gently, self.users.uninstalled_at) = (false, false, None);
            self.disk.wipe();
        }
        let records = self.read();
        self.note(|| format!("== the scheduler starts with {} records ==", records.len()));
        let seed = self.rng.next();
        let made = match &self.setup {
            Some(setup) => (setup.make)(Start { masters: &self.config.masters, records, seed }),
            None => self.make(records, seed)?,
        };
        match made {
            Ok(engine) => self.engine = Some(engine),
            Err(error) if self.process == 1 => return violation("setup", format!("no engine: {error}")),
            Err(error) => return violation("L7", format!("no recovery: {error}")),
        }
        self.ledger.started(&self.disk);
        let given = self.config.given || self.disk.records.is_empty();
        self.past.started(self.process, given, &self.disk);
        self.places.started();
        self.places.timers.started(self.now, &self.disk);
        self.words.started(&self.disk);
        self.ledger.commanded(self.now);
        self.ledger.started_at = Some(self.now);
        self.ledger.terminal = false;
        self.ledger.heard_as = None;
        self.ledger.intended.clear();
        (self.writing, self.unsaved) = (false, false);
        self.feed(Input::Wall(self.wall()))?;
        self.feed(Input::Timeout)?;
        self.takes_over(given)?;
        if self.calm { self.rest() } else { Ok(()) }
    }

    /// An engine for what the users want.
    pub(super) fn make(
        &self,
        records: Vec<(Key, Bytes)>,
        seed: u64,
    ) -> Result<Result<Engine, RecoverError>, super::Violation> {
        let client = scheduler::Config::new(Framework::new("sim").roles(["a", "b"]), &self.config.masters);
        let client = client.map_err(|error| super::Violation { invariant: "setup", what: error.to_string() })?;
        let (given, removal) = match self.config.given || records.is_empty() {
            true => (self.users.specs(), Removal::Auto),
            false => (Vec::new(), Removal::Keep),
        };
        let config = Config::new(client.codec(self.config.wire)).on_removed(self.config.on_removed).removal(removal);
        let config = config.max_kills(self.config.kills).max_launching_per_agent(self.config.launching);
        Ok(Engine::new(config, given, records, seed))
    }

    /// The process dies, with all its connections; a batch under way is durable or not.
    pub(super) fn crash(&mut self) {
        if !self.dies() {
            return;
        }
        let long = self.plan.strikes(&mut self.rng, Fault::LongDead);
        let most = Duration::from_secs(if long { 3000 } else { 20 });
        let wait = self.rng.time(Duration::from_millis(10), most);
        let wait = if self.calm { Duration::from_secs(1) } else { wait };
        if self.instances.two {
            return self.was_killed(wait);
        }
        self.after(wait, Happening::Start);
    }

    /// Whether there was a process to die.
    pub(super) fn dies(&mut self) -> bool {
        self.befell("A18", |_| true);
        if self.engine.take().is_none() {
            return false;
        }
        self.note(|| "== the scheduler dies ==".into());
        self.deadline = None;
        self.ledger.lost();
        self.hang_up(self.process);
        let keys: Vec<_> =
            self.queue.iter().filter(|(_, what)| matches!(what, Happening::Durable(..))).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(Happening::Durable(process, batch)) = self.queue.remove(&key) {
                if self.rng.chance(0.5) {
                    self.at(self.now, Happening::Durable(process, batch));
                }
            }
        }
        true
    }

    /// All connections of a process close.
    pub(super) fn hang_up(&mut self, process: u64) {
        let mine = |exchange: &Exchange| exchange.process == process && exchange.client_open;
        let open: Vec<u64> = self.exchanges.iter().filter(|(_, e)| mine(e)).map(|(id, _)| *id).collect();
        for id in open {
            self.client_closes(id);
        }
    }

    /// Gives the engine an input, and does what it says.
    pub(super) fn feed(&mut self, input: Input<'_>) -> Step {
        let now = self.instant();
        if let Some(engine) = &mut self.engine {
            if matches!(input, Input::Wall(_)) && !self.instances.acting {
                // One that stood still hears of it late (simulated: seed 8600000890).
                if std::mem::replace(&mut self.told_skew, self.skew) != self.skew {
                    self.past.jumped();
                }
            }
            engine.handle_input(now, input);
            if !self.instances.acting {
                self.words.sees(engine);
            }
        }
        self.drain()
    }

    pub(super) fn drain(&mut self) -> Step {
        if self.instances.output.is_none() {
            self.decided_at = self.now;
        }
        loop {
            let Some(engine) = &mut self.engine else { return Ok(()) };
            let output = self.instances.output.take().unwrap_or_else(|| engine.poll_output());
            if !matches!(output, Output::Timeout(_)) && !self.instances.acting {
                if self.plan.strikes(&mut self.rng, Fault::CrashStep) {
                    self.crash();
                    return Ok(());
                }
                if self.may_stand_still() && self.plan.strikes(&mut self.rng, Fault::StandstillStep) {
                    self.stand_still(Some(output));
                    return Ok(());
                }
            }
            match output {
                Output::Request(request) => self.request(&request)?,
                Output::Abort(id) => {
                    if let Some(&exchange) = self.by_engine.get(&(self.process, id)) {
                        self.client_closes(exchange);
                    }
                }
                Output::Persist(batch) => self.persist(batch)?,
                Output::Event(event) => self.tell(&event)?,
                Output::Timeout(deadline) => {
                    self.deadline = deadline.map(|deadline| deadline.at.since_origin());
                    if self.deadline.is_some_and(|at| at <= self.now) {
                        // It is for the engine to make progress; should it not, the limit of steps ends this.
                        self.deadline = Some(self.now);
                    }
                    return Ok(());
                }
            }
        }
    }

    // The store.

    fn persist(&mut self, batch: Persist) -> Step {
        for op in batch.ops() {
            self.hash(op.key().as_str().as_bytes());
            if let mesos_core::StoreOp::Put { value, .. } = op {
                self.hash(value);
            }
        }
        self.note(|| {
            let change = |op: &mesos_core::StoreOp| match op {
                mesos_core::StoreOp::Put { key, .. } => format!("{key}"),
                mesos_core::StoreOp::Delete { key } => format!("-{key}"),
            };
            format!("   write {}", batch.ops().iter().map(change).collect::<Vec<_>>().join(" "))
        });
        if !self.instances.acting {
            self.judge_batch(&batch)?;
        }
        let (process, ticket) = (self.process, batch.ticket());
        let slow = self.plan.strikes(&mut self.rng, Fault::StoreSlow);
        if slow && self.plan.has(Fault::RescindRace) && self.rng.chance(0.3) {
            // What is being written is of offers that are taken back.
            self.plan.count(Fault::RescindRace);
            self.cluster.rescind_all();
            self.drain_cluster()?;
        } else if slow && self.plan.has(Fault::StreamCut) && self.rng.chance(0.3) {
            self.plan.count(Fault::StreamCut);
            self.cut_stream();
        }
        let most = Duration::from_millis(if slow { 8000 } else { 5 });
        let (takes, answer) =
            (self.rng.time(Duration::from_micros(100), most), Duration::from_micros(self.rng.below(500)));
        let down_until = self.disk.down_until.max(self.instances.cut_until);
        let unavailable = || Some(StoreFailure::Unavailable("simulated".into()));
        if self.disk.fenced {
            self.after(takes, Happening::Told(process, ticket, Some(StoreFailure::Fenced("simulated".into()))));
        } else if down_until > self.now {
            let hangs = self.rng.chance(0.3);
            let at = if hangs { down_until } else { self.now + takes };
            if self.rng.chance(0.2) {
                self.at(at, Happening::Durable(process, batch));
            }
            self.at(at + answer, Happening::Told(process, ticket, unavailable()));
        } else {
            let mute = self.plan.strikes(&mut self.rng, Fault::StoreMute);
            self.after(takes, Happening::Durable(process, batch));
            self.after(takes + answer, Happening::Told(process, ticket, if mute { unavailable() } else { None }));
        }
        Ok(())
    }

    /// A batch leaves the scheduler.
    fn judge_batch(&mut self, batch: &Persist) -> Step {
        if self.writing {
            return violation("I4", "two batches at a time");
        }
        if !self.unsaved && self.answered_at != Some(self.decided_at) {
            self.saved_at = self.decided_at;
        }
        (self.writing, self.unsaved) = (true, true);
        self.ledger.intends(batch);
        let (moment, places) = self.moment(self.decided_at);
        places.written(batch, &moment)
    }

    pub(super) fn durable(&mut self, process: u64, batch: &Persist) -> Step {
        if !self.takes(process) {
            return Ok(());
        }
        self.taken(process, batch)?;
        self.changed = true;
        self.changes(batch);
        let certain = self.past.is_certain(batch);
        let (moment, places) = self.moment(self.now);
        places.durable(batch, &moment)?;
        places.ends.durable(batch, certain, &moment)?;
        self.disk.apply(batch).or_else(|why| violation("I4", why))?;
        self.intended(batch);
        if self.disk.framework.is_none() {
            // Its records go once the master has removed it: then nothing of it lives.
            self.ledger.tasks.values_mut().for_each(|task| task.ended = true);
        }
        let wall = self.wall();
        self.past.durable(batch, &self.disk, wall)
    }

    pub(super) fn told(&mut self, process: u64, ticket: Ticket, failure: Option<StoreFailure>) -> Step {
        if process != self.process || self.engine.is_none() {
            return Ok(());
        }
        let failure = self.verdict(process, ticket, failure);
        self.changed = true;
        if !self.instances.acting {
            self.writing = false;
            self.unsaved = failure.is_some();
            if failure.is_none() {
                if self.ledger.sure != self.disk.framework {
                    self.sure_at = self.now;
                }
                self.ledger.sure.clone_from(&self.disk.framework);
            }
            self.answered_at = Some(self.now);
            if self.now > self.saved_at + Duration::from_millis(500) {
                // KILLs that waited for the store come all together.
                self.ledger.jammed_at = Some(self.now);
            }
        }
        match failure {
            None => self.feed(Input::Persisted { ticket }),
            Some(failure @ StoreFailure::Fenced(_)) if !self.instances.acting => {
                self.past.fenced();
                self.words.fenced();
                self.feed(Input::PersistFailed { ticket, failure })
            }
            Some(failure) => self.feed(Input::PersistFailed { ticket, failure }),
        }
    }

    // The network.

    fn request(&mut self, request: &mesos_core::Request) -> Step {
        let header = |name: &str| {
            let found = request.headers().iter().find(|header| header.name().eq_ignore_ascii_case(name));
            found.map(|header| header.value().to_owned())
        };
        let json = header("content-type").is_some_and(|media_type| media_type == "application/json");
        self.config.wire = if json { Codec::Json } else { Codec::Protobuf };
        let call: proto::Call = match codec::decode(self.config.wire(), request.body()) {
            Ok(call) => call,
            Err(why) => return violation("I2", why),
        };
        self.hash(request.body());
        self.note(|| format!("-> {}", brief(&call)));
        let stream = header("mesos-stream-id");
        match self.instances.acting {
            true => self.late_call(&call)?,
            false => self.judge_call(&call, stream.as_deref())?,
        }
        let authority = request.endpoint().authority();
        let master = self.config.masters.iter().position(|master| *master == authority).unwrap_or_default();
        let headers = request.headers().iter().map(|header| (header.name().to_owned(), header.value().to_owned()));
        let wire = Request {
            method: request.method().as_str().into(),
            path: request.path().into(),
            headers: headers.collect(),
            body: request.body().clone(),
        };
        self.next_exchange += 1;
        let number = self.next_exchange;
        let delayed = self.plan.strikes(&mut self.rng, Fault::Delay);
        let most = Duration::from_millis(if delayed { 30_000 } else { 20 });
        let latency = self.rng.time(Duration::from_micros(200), most);
        let half_open = self.plan.strikes(&mut self.rng, Fault::HalfOpen);
        let exchange = Exchange {
            process: self.process,
            id: request.id(),
            lane: request.lane(),
            master,
            request: Some(wire),
            client_open: true,
            server_open: false,
            mute: false,
            half_open,
            stream,
            offers: offers(&call),
            kill: call.kill.as_ref().map(|kill| kill.task_id.value.clone()),
            call: self.instances.two.then_some(call),
            answered: false,
            sent: self.now,
            last: self.now,
            latency: latency.min(Duration::from_millis(20)),
            records: Default::default(),
        };
        self.exchanges.insert(number, exchange);
        self.by_engine.insert((self.process, request.id()), number);
        let broken = |kind, sent| Piece::Broken(Failure::new(kind, sent, "simulated"));
        let one_more = self.one_more == Some(0);
        self.one_more = self.one_more.and_then(|calls| calls.checked_sub(1));
        if one_more {
            self.note(|| "   ... which is lost, though all is well".into());
            self.ledger.lost_at = self.now;
            self.lose(number);
            self.after(latency, Happening::Deliver(number, broken(FailureKind::Io, Sent::Maybe)));
        } else if self.plan.strikes(&mut self.rng, Fault::CutBefore) {
            self.lose(number);
            self.after(latency, Happening::Deliver(number, broken(FailureKind::Connect, Sent::No)));
        } else if self.plan.strikes(&mut self.rng, Fault::CutWithin) {
            self.lose(number);
            self.after(latency, Happening::Deliver(number, broken(FailureKind::Io, Sent::Maybe)));
        } else if self.plan.strikes(&mut self.rng, Fault::Linger) {
            self.mute(number);
            self.after(latency, Happening::Deliver(number, broken(FailureKind::Io, Sent::Maybe)));
            let late = self.rng.time(Duration::from_millis(10), Duration::from_secs(200));
            self.after(latency + late, Happening::Arrive(number));
        } else if self.plan.strikes(&mut self.rng, Fault::CutAfter) {
            self.mute(number);
            self.after(latency, Happening::Arrive(number));
            self.after(latency * 2, Happening::Deliver(number, broken(FailureKind::Io, Sent::Maybe)));
        } else {
            if self.plan.strikes(&mut self.rng, Fault::Silence) {
                self.mute(number);
            }
            self.after(latency, Happening::Arrive(number));
        }
        Ok(())
    }

    /// A call leaves the scheduler.
    fn judge_call(&mut self, call: &proto::Call, stream: Option<&str>) -> Step {
        self.sends(call);
        let prompt = self.ledger.flows(self.now);
        for task in call.accept.iter().flat_map(|accept| &accept.operations).filter_map(|o| o.launch.as_ref()) {
            for task in &task.task_infos {
                let (moment, places) = self.moment(self.decided_at);
                places.launched(&task.task_id.value, &task.agent_id.value, prompt, &moment)?;
                self.is_wanted(task)?;
            }
        }
        self.places.used(call.accept.iter().flat_map(|accept| &accept.offer_ids), self.wall_of(self.told_skew))?;
        let killed = call.kill.as_ref().and_then(|kill| parse(&kill.task_id.value));
        self.ledger.manners = killed.map(|(spec, ..)| self.users.manners(&spec)).unwrap_or_default();
        self.ledger.leaves(self.now, call, stream, &self.disk)?;
        let session = self.ledger.session.as_ref().map(|(exchange, _)| *exchange);
        self.places.timers.leaves(self.now, session, call);
        self.ends_all(call)?;
        self.needs_none(call)?;
        let judged = self.setup.is_none() && !self.users.constrained && !self.users.leaving;
        self.past.need = judged.then(users::need);
        self.past.leaves(call, stream)
    }

    /// What the judge of places has to know of this moment.
    pub(super) fn moment(&mut self, now: Duration) -> (Moment<'_>, &mut Places) {
        let wall = self.wall().since_epoch().saturating_sub(self.now.saturating_sub(now));
        let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let moment = Moment {
            now,
            wall,
            disk: &self.disk,
            users: &self.users,
            tasks: &self.ledger.tasks,
            agreed: self.config.given || self.process == 1,
            prompt: !self.unsaved || self.saved_at + Duration::from_millis(100) > now,
            fresh: self.saved_at == now,
            subscribed: self.ledger.session.is_some(),
            steady: !self.plan.counts.contains_key(&Fault::ClockJump),
            launching: if self.setup.is_some() { u32::MAX } else { self.config.launching },
        };
        (moment, &mut self.places)
    }

    /// An ACCEPT is answered, or lost.
    fn accepted(&mut self, number: u64, row: &'static str, surely: bool) {
        if let Some(tasks) = self.accepts.remove(&number) {
            self.befell_tasks(row, &tasks);
            // What surely never came to be is in nobody's way.
            for task in tasks.iter().filter(|_| surely) {
                if let Some(task) = self.ledger.tasks.get_mut(task) {
                    task.released = true;
                }
            }
        }
    }

    /// A request never gets to its master.
    fn lose(&mut self, number: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            exchange.request = None;
        }
    }

    fn mute(&mut self, number: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            exchange.mute = true;
        }
    }

    pub(super) fn arrive(&mut self, number: u64) -> Step {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return Ok(()) };
        let Some(request) = exchange.request.take() else { return Ok(()) };
        exchange.server_open = true;
        let (master, open, lane) = (exchange.master, exchange.client_open, exchange.lane);
        if lane == Lane::Ordered && self.plan.strikes(&mut self.rng, Fault::RescindRace) {
            self.cluster.rescind_all();
        }
        self.note(|| format!("<> request {number} gets to master {master}"));
        self.changed = true;
        if lane != Lane::Subscription && self.plan.strikes(&mut self.apart, Fault::Answer) {
            let status = self.apart.pick(&[400, 403, 404, 429, 500, 502, 503]).unwrap_or(503);
            self.respond(number, &Response::text(status, "simulated"));
        } else {
            self.cluster.request(master, ExchangeId(number), &request);
        }
        if !open {
            self.close_later(number);
        }
        self.drain_cluster()?;
        self.hang();
        self.judge_taken()
    }

    /// The scheduler's side of a connection is closed, or its process dead.
    pub(super) fn client_closes(&mut self, number: u64) {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        exchange.client_open = false;
        if exchange.process == self.process && exchange.answered && exchange.has_jammed(self.now) {
            // Its head has said enough, and nobody waits for the rest any longer: the session goes on.
            self.ledger.jammed_at = Some(self.now);
        }
        let (id, process, server_open, lane) = (exchange.id, exchange.process, exchange.server_open, exchange.lane);
        let gone = exchange.request.is_none();
        self.by_engine.remove(&(process, id));
        if lane == Lane::Subscription && process == self.process {
            self.ledger.lost_stream(number);
        }
        if server_open {
            self.close_later(number);
        } else {
            let stays = self.plan.strikes(&mut self.rng, Fault::Linger) || !self.rng.chance(0.5);
            // It has not left.
            if !stays || gone {
                self.exchanges.remove(&number);
            }
        }
    }

    /// The master is told that nobody listens any more, in time.
    fn close_later(&mut self, number: u64) {
        let half_open = self.exchanges.get(&number).is_some_and(|exchange| exchange.half_open);
        let wait = match half_open && !self.calm {
            true => self.rng.time(Duration::from_secs(10), Duration::from_secs(1000)),
            false => Duration::from_millis(self.rng.below(20)),
        };
        self.after(wait, Happening::Closed(number));
    }

    pub(super) fn server_closed(&mut self, number: u64) {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        if std::mem::replace(&mut exchange.server_open, false) {
            self.cluster.closed(ExchangeId(number));
        }
        if self.exchanges.get(&number).is_some_and(|exchange| !exchange.client_open) {
            self.exchanges.remove(&number);
        }
    }

    /// What the masters say goes on its way.
    pub(super) fn drain_cluster(&mut self) -> Step {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                crate::Output::Respond(id, response) => self.respond(id.0, &response),
                crate::Output::Stream(id, record) => self.stream(id.0, record),
                crate::Output::End(id) => {
                    self.send(id.0, Piece::End);
                    self.server_ends(id.0);
                }
                crate::Output::Cut(id) => {
                    let failure = Failure::new(FailureKind::Io, Sent::Maybe, "the master is gone");
                    self.send(id.0, Piece::Broken(failure));
                    self.server_ends(id.0);
                }
                crate::Output::MasterDown { master, aborted: Some(why) } => {
                    return violation("I13", format!("master {master} has aborted: {why}"));
                }
                // Tasks are scripted, and none has an executor of its own.
                crate::Output::MasterDown { .. }
                | crate::Output::AgentDown { .. }
                | crate::Output::AgentUp { .. }
                | crate::Output::Start { .. }
                | crate::Output::Stop { .. }
                | crate::Output::StartExecutor { .. }
                | crate::Output::KillExecutor { .. } => {}
            }
        }
        Ok(())
    }

    fn server_ends(&mut self, number: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            exchange.server_open = false;
        }
    }

    fn respond(&mut self, number: u64, response: &Response) {
        let mut head = Head::new(response.status);
        for (name, value) in &response.headers {
            head = head.header(name, value.as_bytes());
        }
        if let Some((_, stream)) = response.headers.iter().find(|(name, _)| *name == "Mesos-Stream-Id") {
            self.ledger.streams.insert(number, stream.clone());
        }
        if let Some(exchange) = self.exchanges.get_mut(&number).filter(|_| matches!(response.status, 200..300)) {
            self.instances.taken.extend(exchange.call.take().map(|call| (exchange.process, call)));
        }
        self.send(number, Piece::Head(head));
        if let Some(body) = &response.body {
            if !body.is_empty() {
                self.send(number, Piece::Body(body.clone()));
            }
            self.send(number, Piece::End);
            self.server_ends(number);
        }
    }

    fn stream(&mut self, number: u64, record: Bytes) {
        self.changed = true;
        let rechunk = self.plan.strikes(&mut self.rng, Fault::Rechunk);
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        exchange.records.push_back((record.len(), record.clone()));
        let mut rest = record;
        while !rest.is_empty() {
            let some = if rechunk { 1 + self.rng.below(rest.len() as u64) as usize } else { rest.len() };
            let piece = rest.split_to(some);
            self.send(number, Piece::Body(piece));
        }
    }

    /// A piece goes on its way to the scheduler, behind those that are on it already.
    fn send(&mut self, number: u64, piece: Piece) {
        let delayed = self.plan.strikes(&mut self.rng, Fault::Delay);
        let extra =
            if delayed { self.rng.time(Duration::from_millis(10), Duration::from_secs(40)) } else { Duration::ZERO };
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        if exchange.mute {
            return;
        }
        let at = (self.now + exchange.latency + extra).max(exchange.last);
        exchange.last = at;
        self.at(at, Happening::Deliver(number, piece));
    }

    pub(super) fn deliver(&mut self, number: u64, piece: Piece) -> Step {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return Ok(()) };
        if !exchange.client_open || exchange.process != self.process || self.engine.is_none() {
            return Ok(());
        }
        let (id, lane) = (exchange.id, exchange.lane);
        match piece {
            Piece::Head(head) => {
                exchange.answered = true;
                if !matches!(head.status(), 200..300) {
                    self.ledger.returned(self.now, &exchange.offers, true);
                }
                let status = head.status();
                let row = if status == 202 {
                    "A4"
                } else if status < 500 {
                    "A5"
                } else {
                    "A6"
                };
                self.accepted(number, row, status != 202);
                self.feed(Input::Head { id, head })
            }
            Piece::Body(data) => {
                let complete = exchange.arrived(data.len());
                for record in complete {
                    self.heard(number, &record)?;
                }
                self.feed(Input::Body { id, data: &data })
            }
            Piece::End => {
                self.client_over(number, lane);
                self.feed(Input::End { id })
            }
            Piece::Broken(failure) => {
                if failure.sent == Sent::No {
                    self.ledger.returned(self.now, &exchange.offers, false);
                    self.ledger.killed.retain(|task, _| exchange.kill.as_ref() != Some(task));
                }
                if lane == Lane::Ordered && failure.sent == Sent::Maybe && !exchange.answered {
                    self.past.doubt(exchange.stream.clone());
                }
                let unsent = failure.sent == Sent::No;
                self.accepted(number, if unsent { "A5" } else { "A6" }, unsent);
                self.client_over(number, lane);
                self.feed(Input::Failed { id, failure })
            }
        }
    }

    /// The scheduler learns that a connection is over.
    fn client_over(&mut self, number: u64, lane: Lane) {
        if lane == Lane::Subscription {
            if self.ledger.session.as_ref().is_some_and(|(open, _)| *open == number) {
                self.befell("A16", |_| true);
            }
            self.ledger.lost_stream(number);
        }
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        if exchange.has_jammed(self.now) {
            self.ledger.jammed_at = Some(self.now);
        }
        exchange.client_open = false;
        let key = (exchange.process, exchange.id);
        let (server_open, waits) = (exchange.server_open, exchange.request.is_some());
        self.by_engine.remove(&key);
        if server_open {
            self.close_later(number);
        } else if !waits {
            self.exchanges.remove(&number);
        }
    }

    fn heard(&mut self, number: u64, record: &Bytes) -> Step {
        let start = record.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let event: proto::Event = match codec::decode(self.config.wire(), &record.slice(start..)) {
            Ok(event) => event,
            Err(why) => return violation("setup", why),
        };
        let state = event.update.as_ref().and_then(|update| {
            let task = self.engine.as_ref()?.find_task(&update.status.task_id.value);
            let ghost = || self.disk.ghosts.contains(&update.status.task_id.value).then(|| "Ghost".to_owned());
            task.map(|task| format!("{:?}", task.state)).or_else(ghost)
        });
        self.note(|| format!("<- {}", brief_event(&event)));
        if self.instances.acting {
            self.ledger.hears_late(&event);
            return Ok(());
        }
        self.meets(&event);
        self.places.heard(self.now, self.wall_of(self.told_skew), &event);
        self.words.heard(&event);
        self.ledger.heard(self.now, number, &event, state, &self.disk);
        self.ledger.inverse_heard(self.now, &event, (!self.unsaved).then_some(&self.disk));
        if event.subscribed.is_some() {
            self.past.lost();
        }
        self.past.heard(self.now, &event);
        Ok(())
    }

    /// The stream of events breaks: for both sides, or only one of them notices.
    pub(super) fn cut_stream(&mut self) {
        let stream = self.exchanges.iter().find(|(_, exchange)| {
            exchange.lane == Lane::Subscription && exchange.server_open && exchange.process == self.process
        });
        let Some(number) = stream.map(|(number, _)| *number) else { return };
        let way = self.rng.below(3);
        self.note(|| format!("the stream of events breaks, way {way}"));
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            exchange.mute = true;
            exchange.half_open = way == 1;
        }
        if way < 2 {
            let failure = Failure::new(FailureKind::Io, Sent::Maybe, "simulated");
            self.after(Duration::from_millis(1), Happening::Deliver(number, Piece::Broken(failure)));
        } else if self.rng.chance(0.5) {
            self.after(Duration::from_millis(1), Happening::Closed(number));
        }
    }

    /// Connections that broke unnoticed are found now.
    pub(super) fn mend_network(&mut self) {
        let dead: Vec<u64> =
            self.exchanges.iter().filter(|(_, e)| !e.client_open && e.server_open).map(|(id, _)| *id).collect();
        for number in dead {
            self.after(Duration::from_millis(1), Happening::Closed(number));
        }
    }
}
