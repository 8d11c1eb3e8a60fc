//! The engine itself: what it holds, how an input is worked off, and what comes out.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::{AttemptId, SlotId, SpecId};
use super::book::{Book, Spec, Standing};
use super::bounded::Bounded;
use super::closing::Closings;
use super::config::{Config, OnRemoved};
use super::declines::Declines;
use super::demand::Role;
use super::effects::Record;
use super::event::{Event, Receipt};
use super::executors::Executors;
use super::ghost::{Ended, Ghosts};
use super::kills::Kills;
use super::metrics::{Counters, Histograms};
use super::offers::{Accepts, AgentState};
use super::placement::OfferPolicy;
use super::reconcile::{AGAIN, Ask, Reconciler, Subject};
use super::recover::Recovered;
use super::writer::{Effect, Stall, Writer};
use crate::log::{debug, info};
use crate::planted::planted;
use crate::rng::Rng;
use crate::scheduler::{
    self, CallError, CallId, CallKind, CallSink, Calls, Client, FatalReason, Outcome, Outgoing, Session,
};
use crate::{Deadline, Input, Instant, Machine, Offers, Output, StoreFailure, UnixTime};
use mesos_proto::store::engine::Marker;

const AGAIN_SOON: Duration = Duration::from_millis(100);

/// Keeps declared tasks running: matches offers, launches, restarts, scales, reconciles, and writes down first whatever
/// must not be lost.
///
/// It is a [`Machine`] around a [`scheduler::Client`]; see the [module's manual](crate::engine).
#[derive(Debug)]
pub struct Engine {
    pub(super) config: Config,
    pub(super) client: Client,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    /// What the wall clock showed, and when.
    wall: Option<(Instant, UnixTime)>,
    pub(super) incarnation: u64,
    /// Whether the store held this framework when the engine started, or it was made since.
    pub(super) knew_framework: bool,
    pub(super) retired: Vec<String>,
    /// The framework's record says what is true.
    framework_written: bool,
    pub(super) first_seen: Option<UnixTime>,
    /// When the framework was last removed by others.
    pub(super) removed_at: Option<Instant>,
    /// A new client that may not begin before this batch is durable.
    pub(super) client_waits: Option<u64>,
    pub(super) marker: Marker,
    pub(super) book: Book,
    pub(super) roles: BTreeMap<Arc<str>, Role>,
    pub(super) agents: BTreeMap<Arc<str>, AgentState>,
    pub(super) closings: Closings,
    /// The highest port that was last given away on each agent, if they rotate.
    pub(super) last_ports: Bounded<Arc<str>, u16>,
    pub(super) executors: Executors,
    pub(super) ghosts: Ghosts,
    pub(super) ended_lately: Ended,
    /// What can't be read of the store.
    pub(super) quarantined: super::quarantine::Quarantine,
    pub(super) policy: Option<Box<dyn OfferPolicy>>,
    pub(super) accepts: Accepts,
    pub(super) in_hand: Vec<Offers>,
    /// Those in hand that are no longer good.
    pub(super) void: BTreeSet<String>,
    /// Agents that have failed since those in hand came.
    pub(super) failed: BTreeSet<String>,
    pub(super) declines: Declines,
    pub(super) kills: Kills,
    pub(super) reconciler: Reconciler,
    pub(super) writer: Writer,
    pub(super) timers: BTreeSet<(Instant, Timer)>,
    pub(super) sent: BTreeMap<CallId, Sent>,
    /// Counts subscriptions.
    pub(super) session: u64,
    pub(super) subscribed: bool,
    /// No call may leave before this batch is durable,
    pub(super) gate: u64,
    /// and none of the engine's own before this one: it says that nobody else has taken over.
    fence: u64,
    /// Inverse offers that wait for it.
    pub(super) inverse: Vec<crate::v1::InverseOffer>,
    pub(super) counters: Counters,
    pub(super) histograms: Histograms,
    /// When the batch that is under way was first given to the store.
    pub(super) persisting: Option<(crate::Ticket, Instant)>,
    pub(super) acks: VecDeque<Effect>,
    pub(super) acks_under_way: usize,
    pub(super) outputs: VecDeque<Output<Event>>,
    pub(super) effects: Vec<(After, Effect)>,
    pub(super) dirty_slots: BTreeSet<SlotId>,
    /// Records to be written again, or removed.
    pub(super) dirty_records: BTreeSet<Record>,
    client_deadline: Option<Deadline>,
    recovered: Option<Recovered>,
    pub(super) ended: bool,
}

/// Whose timer it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Attempt(AttemptId),
    Ghost(Arc<str>),
    /// Nothing has come of a rollout for long.
    Rollout(SpecId),
    /// A second one is held back no longer, and may be one too many.
    Second(SpecId),
    /// Something may have waited for long.
    Unplaced(SpecId),
    /// Tasks had long enough to end.
    Uninstall,
    /// DECLINEs that were refused are made again.
    Declines,
}

/// What has to be durable before an effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    Nothing,
    /// The last change of this slot.
    Slot(SlotId),
    /// All changes so far.
    Everything,
}

/// What a call was for.
#[derive(Debug)]
pub(super) enum Sent {
    /// With its offers.
    Accept(Vec<AttemptId>, Vec<String>),
    /// With its filter, in seconds.
    Decline(Vec<String>, u64),
    Inverse(Vec<crate::v1::InverseOffer>),
    Revive(Vec<Arc<str>>),
    /// RECONCILE for everything.
    Implicit,
    Acknowledge,
    Kill(AttemptId),
}

impl Engine {
    pub(super) fn build(config: Config, recovered: Recovered, seed: u64) -> Self {
        let client = Client::new(config.client.clone(), seed);
        let roles = client.framework().roles.iter().map(|role| (Arc::from(role.as_str()), Role::default())).collect();
        Self {
            client,
            rng: Rng::new(seed ^ recovered.incarnation.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            now: Instant::ORIGIN,
            wall: None,
            incarnation: recovered.incarnation,
            knew_framework: recovered.framework.is_some(),
            framework_written: recovered.framework.is_some() && recovered.marker != Marker::Removed,
            removed_at: None,
            client_waits: None,
            retired: recovered.retired(),
            first_seen: recovered
                .framework
                .as_ref()
                .and_then(|framework| framework.first_seen)
                .map(|millis| UnixTime::from_epoch(Duration::from_millis(millis))),
            marker: recovered.marker,
            book: Book::default(),
            roles,
            agents: BTreeMap::new(),
            closings: Closings::new(),
            last_ports: Bounded::default(),
            executors: Executors::default(),
            ghosts: Ghosts::default(),
            ended_lately: Ended::default(),
            quarantined: super::quarantine::Quarantine::default(),
            policy: None,
            accepts: Accepts::default(),
            in_hand: Vec::new(),
            void: BTreeSet::new(),
            failed: BTreeSet::new(),
            declines: Declines::default(),
            kills: Kills::default(),
            reconciler: Reconciler::new(config.reconcile_every, config.implicit_every),
            writer: Writer::new(),
            timers: BTreeSet::new(),
            sent: BTreeMap::new(),
            session: 0,
            subscribed: false,
            gate: 0,
            fence: 0,
            inverse: Vec::new(),
            counters: Counters::default(),
            histograms: Histograms::default(),
            persisting: None,
            acks: VecDeque::new(),
            acks_under_way: 0,
            outputs: VecDeque::new(),
            effects: Vec::new(),
            dirty_slots: BTreeSet::new(),
            dirty_records: BTreeSet::new(),
            client_deadline: None,
            recovered: Some(recovered),
            ended: false,
            config,
        }
    }

    /// The calls of the protocol, beside the engine's own: messages, for example. Offers are the engine's and answered
    /// before anybody else sees them, unless [`own_offers`](Config::own_offers) says otherwise; inverse offers in any
    /// case.
    pub fn calls(&mut self) -> Calls<'_> {
        Calls::new(self)
    }

    /// Where the subscription stands.
    #[must_use]
    pub fn session(&self) -> Session {
        self.client.session()
    }

    /// Uses these credentials from the next request on.
    pub fn set_authorization(&mut self, authorization: crate::Authorization) {
        self.config.client = self.config.client.clone().authorization(authorization.clone());
        self.client.set_authorization(authorization);
    }

    /// Places instances by a policy of one's own from now on.
    pub fn set_offer_policy(&mut self, policy: impl OfferPolicy + 'static) {
        self.policy = Some(Box::new(policy));
        // It may like what was declined before.
        self.roles.values_mut().for_each(Role::demand);
    }

    /// Acknowledges a status whose [`Event::Unacknowledged`] was told.
    pub fn acknowledge(&mut self, receipt: Receipt) {
        let Receipt { agent_id, task_id, uuid } = receipt;
        self.acks.push_back(Effect::Acknowledge { agent_id, task_id: task_id.into(), uuid });
    }

    /// What the wall clock shows now, if anybody said so.
    pub(super) fn wall_now(&self) -> Option<UnixTime> {
        self.wall.map(|(at, wall)| wall + self.now.saturating_duration_since(at))
    }

    /// Whether calls may leave: subscribed, and all durable that must be first.
    pub(super) fn may_call(&self) -> bool {
        self.subscribed && self.writer.is_durable(self.gate.max(self.fence)) && !self.ended
    }

    /// Whether a user's calls may leave: the framework's id comes first.
    pub(super) fn may_submit(&self) -> bool {
        self.subscribed && self.writer.is_durable(self.gate)
    }

    /// Demand has come up in a spec.
    pub(super) fn demand(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get(&id) else { return };
        for name in core::iter::once(spec.spec.role_name()).chain(spec.first_elsewhere.keys().map(|role| &**role)) {
            if let Some(role) = self.roles.get_mut(name) {
                role.demand();
            }
        }
    }

    /// A slot that is spent goes, and a removed spec with its last one.
    pub(super) fn remove_slot(&mut self, id: SlotId) {
        self.touch_slot(id);
        if let Some(slot) = self.book.specs.get_mut(&id.spec).and_then(|spec| spec.remove_slot(id.index)) {
            self.book.burnt = self.book.burnt.max(slot.generation);
        }
    }

    /// Brings a slot's part in the sums up to date. Its role is told later, once for all slots of a spec.
    pub(super) fn refresh_slot(&mut self, id: SlotId) {
        if let Some(spec) = self.book.specs.get_mut(&id.spec) {
            spec.refresh(id.index);
        }
    }

    /// The role of what goes on in a slot: a former revision may have another one than the spec has now.
    pub(super) fn role_of<'a>(&self, spec: &'a Spec, index: u32) -> &'a str {
        let own = spec.spec.role_name();
        let role = if spec.has_other_roles() { spec.next(index).1.role.as_str() } else { own };
        if self.roles.contains_key(role) { role } else { own }
    }

    /// Works off what has changed, until nothing follows from it any more.
    pub(super) fn refresh(&mut self) {
        let mut specs = BTreeSet::new();
        while let Some(id) = self.dirty_slots.pop_first() {
            self.refresh_slot(id);
            specs.insert(id.spec);
            if self.dirty_slots.is_empty() {
                for spec in core::mem::take(&mut specs) {
                    self.update_role(spec);
                    self.roll(spec);
                    self.tell_rollout(spec);
                    self.tell_standing(spec);
                }
            }
        }
    }

    fn tell_standing(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        let name = || spec.spec.name().to_string();
        if spec.removed {
            if spec.slots.is_empty() {
                let event = Event::SpecRemoved { spec: name() };
                self.drop_spec(id);
                self.tell_after_all(event);
            }
            return;
        }
        let standing = spec.standing();
        if spec.told == Some(standing) {
            return;
        }
        let event = match standing {
            Standing::Satisfied => Some(Event::SpecSatisfied { spec: name() }),
            Standing::Degraded => Some(Event::SpecDegraded { spec: name() }),
            Standing::Progressing => None,
        };
        spec.told = Some(standing);
        if let Some(event) = event {
            self.tell_after_all(event);
        }
    }

    // Inputs.

    /// The first input: what was recovered takes its place.
    pub(super) fn start(&mut self) {
        if let Some(recovered) = self.recovered.take() {
            self.restore(recovered);
            self.flush();
        }
    }

    fn on_persisted(&mut self, ticket: crate::Ticket) {
        if let Some((_, began)) = self.persisting.take_if(|(under_way, _)| *under_way == ticket) {
            self.histograms.persisted.add(self.now.saturating_duration_since(began));
        }
        let (effects, stall) = self.writer.persisted(ticket);
        for effect in effects {
            self.perform(effect);
        }
        if stall.is_some() {
            self.tell(None, Event::StoreBack);
        }
    }

    fn on_persist_failed(&mut self, ticket: crate::Ticket, failure: StoreFailure) {
        debug!(%failure, "the store failed");
        match failure {
            StoreFailure::Unavailable(_) if planted!(FailureIsDone) => self.on_persisted(ticket),
            StoreFailure::Fenced(_) if planted!(FencedGoesOn) => self.writer.failed(self.now, ticket, failure),
            StoreFailure::Unavailable(_) => {
                self.counters.store_failures += 1;
                self.writer.failed(self.now, ticket, failure);
            }
            StoreFailure::Fenced(_) => self.finish(Event::Fenced(failure)),
            StoreFailure::Refused { .. } => self.finish(Event::StoreRefused(failure)),
        }
    }

    /// Ends everything at once; what was to be told before still is.
    pub(super) fn finish(&mut self, event: Event) {
        self.client.disconnect();
        self.drain_client(true);
        self.ended = true;
        self.outputs.retain(|output| matches!(output, Output::Event(_) | Output::Abort(_)));
        self.outputs.push_back(Output::Event(event));
    }

    fn feed(&mut self, input: Input<'_>) {
        if !self.client_stands_by() {
            self.client_waits = None;
            self.client.handle_input(self.now, input);
        } else if let Input::Leader(leader) = input {
            // Nobody tells it again.
            self.client.expect_leader(leader);
        }
    }

    /// Whether the client must not say anything until the store has answered.
    pub(super) fn client_stands_by(&self) -> bool {
        self.client_waits.is_some_and(|batch| !self.writer.is_durable(batch))
    }

    /// Takes what the client has to say. With `last`, its requests and events don't count any more.
    fn drain_client(&mut self, last: bool) {
        if self.client_stands_by() {
            self.client_deadline = None;
            return;
        }
        loop {
            match self.client.poll_output() {
                Output::Request(request) if !last => self.outputs.push_back(Output::Request(request)),
                Output::Abort(id) => self.outputs.push_back(Output::Abort(id)),
                Output::Event(event) if !last => self.on_client_event(event),
                Output::Request(_) | Output::Event(_) | Output::Persist(_) => {}
                Output::Timeout(deadline) => {
                    self.client_deadline = deadline;
                    return;
                }
            }
            if self.ended {
                return;
            }
        }
    }

    fn on_client_event(&mut self, event: scheduler::Event) {
        use scheduler::Event as E;
        if self.config.protocol_events {
            self.outputs.push_back(Output::Event(Event::Protocol(event.clone())));
        }
        self.counters.heard(&event);
        match event {
            E::Subscribed(subscribed) => self.on_subscribed(subscribed),
            E::Offers(offers) => {
                self.in_hand.push(offers);
                if self.may_call() && !self.config.own_offers {
                    self.match_offers();
                }
            }
            E::Rescind(offer) => self.rescinded(offer.value),
            E::RescindInverse(offer) => self.inverse_rescinded(&offer.value),
            E::Update(update) => self.on_update(&update),
            E::Failure(failure) => self.on_failure(&failure),
            E::CallDone { id, kind, outcome } => self.on_call_done(id, kind, &outcome),
            E::Disconnected { reason, retry_at } => {
                self.on_disconnected();
                self.tell(None, Event::Disconnected { reason, retry_at });
            }
            E::InverseOffers(inverse) => self.keep_inverse(inverse),
            // Like all that isn't acknowledged, it comes again.
            E::OperationUpdate(status) if self.may_call() => {
                let _ = self.client.calls().acknowledge_operation_status(&status);
            }
            E::Fatal(FatalReason::Removed)
                if self.config.on_removed == OnRemoved::FreshId || self.is_ending() || planted!(RemadeAnyway) =>
            {
                self.on_removed();
            }
            E::Fatal(reason) => {
                self.flush();
                self.finish(Event::Fatal(reason));
            }
            E::Stopped { removed } => self.on_stopped(removed),
            E::Malformed { record, .. } => self.on_malformed(&record),
            E::StreamOpened { .. } | E::Heartbeat | E::OperationUpdate(_) | E::Message(_) | E::Unknown { .. } => {}
        }
    }

    fn on_subscribed(&mut self, subscribed: scheduler::Subscribed) {
        let now = self.now;
        self.session += 1;
        self.subscribed = true;
        if !self.framework_written {
            self.framework_written = true;
            self.first_seen = self.first_seen.or_else(|| self.wall_now());
            // One that the operator named may have tasks that this store has never heard of.
            self.knew_framework |= self.config.client.framework().id.is_none();
            info!(framework = %subscribed.framework_id.value, "a new framework");
            // What was said of the former one holds no longer.
            if self.marker == Marker::Removed {
                self.marker = Marker::Running;
            }
            let batch = self.write_framework(&subscribed.framework_id.value);
            self.gate = if planted!(IdEarly) { 0 } else { batch };
        } else if !planted!(Unfenced) {
            // Another one may have taken over while this process stood still, and this subscription has taken it from
            // that one: its tasks look like nobody's. A batch that the store takes now says that whoever comes after us
            // has launched nothing yet; and once he subscribes, ours ends.
            self.fence = self.write_engine();
        }
        let fresh = subscribed.first && self.incarnation == 1;
        for role in self.roles.values_mut() {
            role.subscribed(now, fresh);
        }
        if fresh {
            // Some may be suppressed by the subscription itself, as the user has asked for.
            self.know_suppressed();
        }
        if !planted!(NotReconciled) {
            self.reconciler.begin(now);
        }
        self.tell(None, Event::Subscribed(subscribed));
        // What was to be killed is asked to end again: nobody knows what arrived.
        for id in self.kills.begun() {
            if let Some(attempt) = self.book.attempt_mut(id) {
                attempt.kills_sent = 0;
            }
            self.later(After::Everything, Effect::Kill(id));
        }
        self.kill_ghosts_again();
    }

    /// The framework's id is spent.
    pub(super) fn forget_framework(&mut self) {
        self.framework_written = false;
        self.first_seen = None;
    }

    pub(super) fn on_disconnected(&mut self) {
        if !self.subscribed {
            return;
        }
        self.subscribed = false;
        self.inverse.clear();
        if !planted!(OldSession) {
            self.cancel_all();
        }
        self.reconciler.end();
        self.acks.retain(|effect| matches!(effect, Effect::Teardown));
        self.acks_under_way = 0;
    }

    fn on_failure(&mut self, failure: &crate::v1::scheduler::event::Failure) {
        let Some(agent) = &failure.agent_id else { return };
        let wait = match &failure.executor_id {
            // It has no order against statuses: those that are on their way come first.
            Some(_) => Duration::from_secs(5),
            None => {
                self.cancel_on(&agent.value);
                Duration::ZERO
            }
        };
        let executor = failure.executor_id.as_ref().map(|id| id.value.as_str());
        self.executors.forget(&agent.value, executor);
        let there: Vec<AttemptId> = self
            .book
            .on_agent(&agent.value)
            .filter(|attempt| {
                executor.is_none() || attempt.executor_id.as_deref().or(Some(&*attempt.task_id)) == executor
            })
            .map(|attempt| attempt.id)
            .collect();
        for id in there {
            self.ask(id, wait);
        }
    }

    fn on_call_done(&mut self, call: CallId, kind: CallKind, outcome: &Outcome) {
        let taken = matches!(outcome, Outcome::Accepted { .. } | Outcome::Carried);
        match self.sent.remove(&call) {
            Some(Sent::Accept(attempts, offers)) => self.accepted(attempts, &offers, outcome),
            Some(Sent::Decline(ids, refuse)) => self.declined(ids, refuse, outcome),
            Some(Sent::Inverse(offers)) => self.inverse_answered(offers, outcome),
            Some(Sent::Revive(roles)) => {
                for role in roles {
                    if let Some(role) = self.roles.get_mut(&role) {
                        role.answered(self.now, call, taken);
                    }
                }
            }
            Some(Sent::Implicit) if !taken => self.reconciler.implicit_lost(self.now),
            Some(Sent::Kill(id)) if taken => self.kill_taken(id),
            Some(Sent::Kill(id)) if matches!(outcome, Outcome::NotSent) => self.kill_not_sent(id),
            Some(Sent::Acknowledge) => self.acks_under_way = self.acks_under_way.saturating_sub(1),
            None if kind == CallKind::UpdateFramework => self.know_roles(),
            Some(Sent::Implicit | Sent::Kill(_)) | None => {}
        }
    }

    // Time.

    fn on_timers(&mut self) {
        while let Some((at, _)) = self.timers.first() {
            if *at > self.now {
                break;
            }
            match self.timers.pop_first() {
                Some((_, Timer::Attempt(id))) => self.on_attempt_timer(id),
                Some((_, Timer::Ghost(task_id))) => self.on_ghost_timer(&task_id),
                Some((_, Timer::Rollout(id))) => self.on_rollout_timer(id),
                Some((_, Timer::Second(id))) => self.touch_dirty(SlotId { spec: id, index: 0 }),
                Some((_, Timer::Unplaced(id))) => self.on_unplaced_timer(id),
                Some((_, Timer::Uninstall)) => self.uninstall_overdue(),
                Some((_, Timer::Declines)) => self.on_declines_timer(),
                None => {}
            }
        }
        if let Some(Stall::Began(during, failure)) = self.writer.stall(self.now) {
            self.tell(None, Event::StoreStalled { during, failure });
        }
    }

    /// Asks for the state of an attempt, after a while at the earliest.
    pub(super) fn ask(&mut self, id: AttemptId, wait: Duration) {
        if !self.subscribed {
            return;
        }
        let Some(attempt) = self.book.attempt(id).filter(|attempt| attempt.state.may_run()) else { return };
        let at = attempt.asked.map_or(self.now, |asked| asked + AGAIN).max(self.now + wait);
        self.reconciler.ask(Subject::Attempt(id), at);
    }

    fn reconcile(&mut self) {
        while self.may_call() {
            match self.reconciler.poll(self.now, &mut self.rng) {
                None => return,
                Some(Ask::Run) => {
                    self.ended_lately.forget(self.now, usize::MAX);
                    let from = |asked: Option<Instant>| asked.map_or(self.now, |asked| asked + AGAIN);
                    let attempts = self.book.attempts().filter(|attempt| attempt.state.may_run());
                    let attempts = attempts.map(|attempt| (Subject::Attempt(attempt.id), from(attempt.asked)));
                    let ghosts = self.ghosts.iter().filter_map(|(id, ghost)| Some((id, ghost.was.as_ref()?)));
                    let ghosts = ghosts.map(|(id, was)| (Subject::Ghost(id.clone()), from(was.attempt.asked)));
                    let subjects: Vec<_> = attempts.chain(ghosts).collect();
                    let tasks = self.reconciler.start_run(self.now, subjects, &mut self.rng);
                    self.tell(None, Event::ReconcileStarted { tasks });
                }
                Some(Ask::Done(took)) => self.tell(None, Event::ReconcileDone { took }),
                Some(Ask::Implicit) => match self.client.calls().reconcile_all() {
                    Ok(call) => {
                        self.counters.asked_for_all += 1;
                        self.sent.insert(call, Sent::Implicit);
                    }
                    Err(_) => self.reconciler.implicit_lost(self.now),
                },
                Some(Ask::Explicit(subjects)) => self.ask_all(subjects),
            }
        }
    }

    fn ask_all(&mut self, subjects: Vec<Subject>) {
        let now = self.now;
        let mut tasks: Vec<(Arc<str>, Option<String>)> = Vec::with_capacity(subjects.len());
        let some = |agent: &str| (!agent.is_empty()).then(|| agent.to_string());
        for subject in subjects {
            match subject {
                Subject::Attempt(id) => {
                    if let Some(attempt) = self.book.attempt_mut(id) {
                        attempt.asked = Some(now);
                        tasks.push((attempt.task_id.clone(), some(&attempt.agent.id)));
                    }
                }
                Subject::Ghost(id) => {
                    if let Some(ghost) = self.ghosts.get_mut(&id) {
                        if let Some(was) = &mut ghost.was {
                            was.attempt.asked = Some(now);
                        }
                        tasks.push((id, some(&ghost.agent_id)));
                    }
                }
            }
        }
        // One that could not be sent counts as asked all the same: it is repeated, only later.
        let number = tasks.len();
        match self.client.calls().reconcile(tasks) {
            Ok(_) => self.counters.asked += number as u64,
            Err(_) => self.reconciler.not_sent(now),
        }
    }

    /// Closes the gap between what is wanted and what is known.
    fn settle(&mut self) {
        // Before the first input nothing of what was recovered is in its place: there only seems to be nothing.
        if self.ended || self.recovered.is_some() && !planted!(TornDownEarly) {
            return;
        }
        self.use_offers();
        if self.may_call() && !self.inverse.is_empty() {
            self.answer_inverse();
        }
        self.send_declines();
        self.refresh();
        self.start_kills();
        self.reconcile();
        self.change_demand();
        self.uninstall_step();
        self.flush();
        self.send_acks();
    }

    fn deadline(&self) -> Option<Deadline> {
        let own = |at: Option<Instant>, what| at.map(|at| Deadline { at, what });
        // What could not be done when it was due is tried again soon, but not at once.
        let soon = |at: Instant| if at <= self.now { self.now + AGAIN_SOON } else { at };
        let roles = self.roles.values().filter_map(|role| role.deadline(self.now)).min();
        let subscribed = self.may_call();
        [
            self.client_deadline,
            own(self.timers.first().map(|(at, _)| *at), "task"),
            own(self.writer.deadline().map(soon), "store"),
            own(self.reconciler.deadline().filter(|_| subscribed).map(soon), "reconcile"),
            own(roles.filter(|_| subscribed && !self.config.own_offers).map(soon), "demand"),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|deadline| deadline.at)
    }
}

impl Machine for Engine {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if self.ended {
            return;
        }
        self.now = self.now.max(now);
        if let Input::Wall(wall) = input {
            self.wall = Some((self.now, wall));
            return;
        }
        self.start();
        match input {
            Input::Persisted { ticket } => self.on_persisted(ticket),
            Input::PersistFailed { ticket, failure } => self.on_persist_failed(ticket, failure),
            Input::Timeout => {
                self.feed(Input::Timeout);
                // A session that has died of silence ends before anything is done in its name.
                self.drain_client(false);
                if !self.ended {
                    self.on_timers();
                }
            }
            input => self.feed(input),
        }
    }

    fn poll_output(&mut self) -> Output<Event> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if self.ended {
                return Output::Timeout(None);
            }
            self.drain_client(false);
            self.settle();
            // What the step asked of the client comes out in the next round.
            self.drain_client(false);
            if self.outputs.is_empty() && self.effects.is_empty() && self.dirty_slots.is_empty() {
                return Output::Timeout(self.deadline());
            }
        }
    }
}

impl CallSink for Engine {
    fn submit(&mut self, call: Outgoing) -> Result<CallId, CallError> {
        if self.subscribed && !self.may_submit() {
            // The framework's id comes first. Without a subscription the client says what may be asked for.
            return Err(CallError::NotSubscribed);
        }
        let kind = call.kind;
        let call = self.client.submit(call)?;
        if matches!(kind, CallKind::Suppress | CallKind::Revive) {
            self.know_suppressed();
        }
        Ok(call)
    }
}
