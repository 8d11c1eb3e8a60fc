//! Offers: matched with what waits, and every one of them answered in the same step.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use prost::Message as _;

use super::attempt::{Agent, Attempt, AttemptId, SlotId, SpecId, State};
use super::book::Spec;
use super::config::{Order, PortOrder};
use super::declines::Declines;
use super::engine::{Engine, Sent};
use super::event::Event;
use super::executors::ExecutorIds;
use super::launch::{self, Target};
use super::spec::Field;
use super::unplaced::Obstacle;
use super::writer::Effect;
use super::{id, placement};
use crate::planted::planted;
use crate::resources::{Pool, Taken};
use crate::scheduler::Outcome;
use crate::{Instant, Offers, v1};

/// A filter, in seconds, where offers are wanted again soon.
pub(super) const SHORT: u64 = 5;
/// An instance that waits this long takes an agent that it would avoid.
const DESPERATE: Duration = Duration::from_secs(120);
/// So many agents are remembered for the order of their ports.
const AGENTS: usize = 100_000;
/// So many tasks in an ACCEPT,
const LAUNCHES: usize = 200;
/// or an eighth of what may wait for the master: whether there is still room for them is known only once they are durable.
const PORTION: usize = 8;

/// Names an ACCEPT that waits for its intents to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AcceptId(u64);

/// ACCEPTs that wait.
#[derive(Debug, Default)]
pub(super) struct Accepts {
    pending: BTreeMap<AcceptId, Accept>,
    by_attempt: BTreeMap<AttemptId, AcceptId>,
    by_agent: BTreeSet<(Arc<str>, AcceptId)>,
    next: u64,
}

#[derive(Debug)]
struct Accept {
    offers: Vec<String>,
    agent_id: Arc<str>,
    role: Arc<str>,
    tasks: Vec<(AttemptId, v1::TaskInfo)>,
    refuse: u64,
    /// When its offers were looked at.
    since: Instant,
}

impl Accept {
    fn attempts(&self) -> impl Iterator<Item = AttemptId> + '_ {
        self.tasks.iter().map(|(attempt, _)| *attempt)
    }
}

impl Accepts {
    fn insert(&mut self, accept: Accept) -> AcceptId {
        self.next += 1;
        let id = AcceptId(self.next);
        for (attempt, _) in &accept.tasks {
            self.by_attempt.insert(*attempt, id);
        }
        self.by_agent.insert((accept.agent_id.clone(), id));
        self.pending.insert(id, accept);
        id
    }

    fn take(&mut self, id: AcceptId) -> Option<Accept> {
        let accept = self.pending.remove(&id)?;
        for (attempt, _) in &accept.tasks {
            self.by_attempt.remove(attempt);
        }
        self.by_agent.remove(&(accept.agent_id.clone(), id));
        Some(accept)
    }

    fn ids(&self, wanted: impl Fn(&Accept) -> bool) -> Vec<AcceptId> {
        self.pending.iter().filter(|(_, accept)| wanted(accept)).map(|(id, _)| *id).collect()
    }

    /// Those on an agent, in their order, from this one on.
    fn on_agent(&self, agent_id: &str, from: AcceptId) -> Vec<AcceptId> {
        let there = self.by_agent.range((Arc::from(agent_id), from)..).take_while(|(agent, _)| **agent == *agent_id);
        there.map(|(_, id)| *id).collect()
    }
}

/// What the engine remembers of an agent.
#[derive(Debug, Default)]
pub(super) struct AgentState {
    /// Tasks of ours that are being launched or are starting.
    pub(super) launching: u32,
    pub(super) strikes: BTreeMap<SpecId, Strikes>,
}

/// How an agent has failed a spec.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    at: VecDeque<Instant>,
    avoided_until: Option<Instant>,
    times: u32,
}

const STRIKES: usize = 3;
const STRIKE_WINDOW: Duration = Duration::from_secs(600);
const AVOID: Duration = Duration::from_secs(300);
const AVOID_AT_MOST: Duration = Duration::from_secs(3600);

impl Strikes {
    /// One more; returns for how long the agent is to be avoided from now on.
    pub(super) fn strike(&mut self, now: Instant) -> Option<Duration> {
        self.at.retain(|at| *at + STRIKE_WINDOW > now);
        self.at.push_back(now);
        if self.at.len() < STRIKES {
            return None;
        }
        self.at.clear();
        let during = AVOID.saturating_mul(1 << self.times.min(10)).min(AVOID_AT_MOST);
        self.times = self.times.saturating_add(1);
        self.avoided_until = Some(now + during);
        Some(during)
    }

    /// Whether they have no effect any more, and not had any for long.
    pub(super) fn are_over(&self, now: Instant) -> bool {
        let recent = self.at.back().is_some_and(|at| *at + STRIKE_WINDOW > now);
        !recent && self.avoided_until.is_none_or(|until| until + AVOID_AT_MOST <= now)
    }
}

/// All that is in hand of one agent for one role.
pub(super) struct Hand<'a> {
    pub(super) agent: Arc<Agent>,
    role: &'a str,
    ids: Vec<&'a str>,
    pub(super) pool: Pool,
    /// The agent is about to go, for so many seconds.
    closing: Option<u64>,
    /// The agent has failed since it was offered.
    failed: bool,
    pub(super) placed: Vec<(AttemptId, v1::TaskInfo)>,
    /// How large these are.
    bytes: usize,
    /// Something that waits would fit, but may not go yet.
    gated: bool,
}

/// A spec in the course of matching.
struct Candidate<'a> {
    role: &'a str,
    /// Hands that may still have room for it.
    hands: Vec<usize>,
    /// The last slot that was looked at.
    after: Option<(Instant, u32)>,
    /// The slots still to be looked at, if their numbers decide.
    numbers: Option<BTreeSet<u32>>,
}

impl Engine {
    /// Answers the offers in hand, or leaves them to the user, as soon as that can be done.
    pub(super) fn use_offers(&mut self) {
        if self.in_hand.is_empty() || !self.may_submit() {
            return;
        }
        // They may be given back, which harms nobody, if nothing else can be done with them for a while.
        let hangs = self.writer.is_stalled(self.now) && !planted!(OffersHoarded);
        if self.config.own_offers {
            self.leave_offers();
        } else if self.may_call() || hangs {
            self.match_offers();
        }
    }

    /// Tells the user of the offers in hand that are still good.
    fn leave_offers(&mut self) {
        let void = core::mem::take(&mut self.void);
        self.failed.clear();
        for mut offers in core::mem::take(&mut self.in_hand) {
            offers.retain(|offer| !void.contains(offer.id()));
            if !offers.is_empty() {
                self.tell(None, Event::Offers(offers));
            }
        }
    }

    /// Answers all offers in hand.
    pub(super) fn match_offers(&mut self) {
        let events = core::mem::take(&mut self.in_hand);
        let void = core::mem::take(&mut self.void);
        let failed = core::mem::take(&mut self.failed);
        if events.is_empty() {
            return;
        }
        self.refresh();
        let mut hands = self.hands(&events, &void);
        for hand in &mut hands {
            hand.failed = failed.contains(&*hand.agent.id);
        }
        if !self.is_ending() {
            self.place(&mut hands);
            let placed = hands.iter().flat_map(|hand| &hand.placed).map(|(attempt, _)| attempt.slot.spec);
            for spec in placed.collect::<BTreeSet<SpecId>>() {
                self.update_role(spec);
            }
        }
        let (mut accepted, mut declined, mut launched) = (0, 0, 0);
        let mut declines: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for hand in hands {
            let refuse = self.refuse(&hand);
            let used: BTreeSet<usize> = hand.pool.offers_used().collect();
            let (taken, left): (Vec<_>, Vec<_>) =
                hand.ids.iter().copied().enumerate().partition(|(index, _)| used.contains(index));
            let left = if planted!(OfferTwice) { [&*taken, &*left].concat() } else { left };
            let forgotten = planted!(OfferForgotten) && hand.gated;
            if !left.is_empty() && !forgotten {
                declined += left.len() as u32;
                declines.entry(refuse).or_default().extend(left.iter().map(|(_, id)| *id));
            }
            if let Some(role) = self.roles.get_mut(hand.role) {
                role.declined(self.now, Duration::from_secs(refuse));
            }
            if hand.placed.is_empty() {
                continue;
            }
            accepted += taken.len() as u32;
            launched += hand.placed.len() as u32;
            let attempts: Vec<AttemptId> = hand.placed.iter().map(|(attempt, _)| *attempt).collect();
            let accept = self.accepts.insert(Accept {
                offers: taken.iter().map(|(_, id)| (*id).to_owned()).collect(),
                agent_id: hand.agent.id.clone(),
                role: hand.role.into(),
                tasks: hand.placed,
                refuse,
                since: self.now,
            });
            let batch = self.write_intents(&attempts);
            self.when_durable(if planted!(LaunchEarly) { 0 } else { batch }, Effect::Accept(accept));
        }
        for (refuse, ids) in declines {
            self.decline(ids, refuse);
        }
        self.tell(None, Event::OffersAnswered { accepted, declined, launched });
    }

    /// Gathers the offers by agent and role, in order of arrival.
    fn hands<'a>(&mut self, events: &'a [Offers], void: &BTreeSet<String>) -> Vec<Hand<'a>> {
        let now = self.now;
        for offer in events.iter().flat_map(Offers::iter) {
            if let Some(role) = self.roles.get_mut(offer.role().unwrap_or("*")) {
                role.offered(now);
            }
        }
        let mut hands: Vec<Hand<'a>> = Vec::new();
        let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for offer in events.iter().flat_map(Offers::iter).filter(|offer| !void.contains(offer.id())) {
            self.note_unavailability(offer.agent_id(), None, offer.unavailability());
            let role = offer.role().unwrap_or("*");
            // Nothing is looked at that nobody waits for.
            let wanted =
                self.roles.get(role).is_some_and(|role| role.waiting.first().is_some_and(|(at, _)| *at <= now));
            let place = *places.entry((offer.agent_id(), role)).or_insert_with(|| {
                let agent = if wanted {
                    placement::agent(offer)
                } else {
                    Agent { id: offer.agent_id().into(), ..Agent::default() }
                };
                let mut pool = Pool::new();
                if let Some(port) = self.last_ports.get(&agent.id) {
                    pool.start_ports_at(port.wrapping_add(1));
                }
                hands.push(Hand {
                    agent: Arc::new(agent),
                    role,
                    ids: Vec::new(),
                    pool,
                    closing: None,
                    failed: false,
                    placed: Vec::new(),
                    bytes: 0,
                    gated: false,
                });
                hands.len() - 1
            });
            if let Some(hand) = hands.get_mut(place) {
                if wanted {
                    hand.pool.add(hand.ids.len(), offer.resources());
                }
                hand.ids.push(offer.id());
                hand.closing = hand.closing.max(self.closing_for(offer.agent_id()));
            }
        }
        hands
    }

    /// Places what waits: by priority, then in turns.
    fn place(&mut self, hands: &mut [Hand<'_>]) {
        let now = self.now;
        let mut candidates: BTreeMap<(SpecId, &str), Candidate<'_>> = BTreeMap::new();
        let mut queue = BTreeSet::new();
        let roles: BTreeSet<&str> = hands.iter().map(|hand| hand.role).collect();
        for role in roles {
            let waiting = self.roles.get(role).into_iter().flat_map(|role| &role.waiting);
            let eligible: Vec<SpecId> = waiting.take_while(|(at, _)| *at <= now).map(|(_, spec)| *spec).collect();
            for spec in eligible {
                let hands = hands.iter().enumerate().filter(|(_, hand)| hand.role == role).map(|(index, _)| index);
                let numbers = (self.config.order == Order::InSpecOrder).then(|| self.eligible(spec));
                candidates.insert((spec, role), Candidate { role, hands: hands.collect(), after: None, numbers });
                queue.extend(self.rank(spec).map(|rank| (rank, role)));
            }
        }
        while let Some(((_, _, _, spec), role)) = queue.pop_first() {
            let Some(candidate) = candidates.get_mut(&(spec, role)) else { continue };
            if self.place_one(spec, candidate, hands) {
                queue.extend(self.rank(spec).map(|rank| (rank, role)));
            }
        }
    }

    /// The place of a spec in the order of placement.
    fn rank(&self, id: SpecId) -> Option<(i32, u64, Arc<str>, SpecId)> {
        let spec = self.book.specs.get(&id)?;
        let share = match self.config.order {
            Order::Fair => u64::from(spec.sums.live) * 1_000_000 / u64::from(spec.sums.wanted.max(1)),
            Order::InSpecOrder => 0,
        };
        Some((spec.spec.policy.priority, share, spec.spec.name().into(), id))
    }

    /// The slots of a spec that may go now.
    fn eligible(&self, id: SpecId) -> BTreeSet<u32> {
        let waiting = self.book.specs.get(&id).into_iter().flat_map(|spec| &spec.sums.waiting);
        waiting.take_while(|(at, _)| *at <= self.now).map(|(_, index)| *index).collect()
    }

    /// Whether no question is open about what a slot had before.
    fn is_known(&self, spec: &Spec, index: u32) -> bool {
        let answered = |attempt: &Attempt| attempt.answered_in == self.session;
        spec.slots.get(&index).is_some_and(|slot| slot.attempts().all(answered))
    }

    /// The next slot that is eligible and known, and has room.
    fn next_slot(&self, spec: &Spec, candidate: &mut Candidate<'_>) -> Option<u32> {
        let role = candidate.role;
        let known =
            |index: &u32| self.role_of(spec, *index) == role && self.is_known(spec, *index) && !spec.is_crowded(*index);
        if let Some(numbers) = &mut candidate.numbers {
            return core::iter::from_fn(|| numbers.pop_first()).find(known);
        }
        let from = candidate.after.map_or(core::ops::Bound::Unbounded, core::ops::Bound::Excluded);
        let slots = spec.sums.waiting.range((from, core::ops::Bound::Unbounded));
        let next = slots.take_while(|(at, _)| *at <= self.now).find(|(_, index)| known(index))?;
        candidate.after = Some(*next);
        Some(next.1)
    }

    /// Places the next instance of a spec; `false` if none can be.
    fn place_one(&mut self, id: SpecId, candidate: &mut Candidate<'_>, hands: &mut [Hand<'_>]) -> bool {
        let now = self.now;
        let Some(spec) = self.book.specs.get(&id) else { return false };
        let Some(index) = self.next_slot(spec, candidate) else {
            // The others were looked at, and fit nowhere.
            let due = spec.sums.waiting.iter().take_while(|(at, _)| *at <= now).map(|(_, index)| *index);
            let due = due.filter(|index| self.role_of(spec, *index) == candidate.role);
            let (mut gated, mut unknown) = (false, false);
            for index in due {
                let known = self.is_known(spec, index);
                unknown |= !known;
                gated |= !known || spec.is_crowded(index);
            }
            for &place in &candidate.hands {
                if let Some(hand) = hands.get_mut(place) {
                    hand.gated |= gated;
                }
            }
            if let (true, Some(spec)) = (unknown, self.book.specs.get_mut(&id)) {
                *spec.obstacles.entry(Obstacle::Gated).or_default() += candidate.hands.len() as u64;
            }
            return false;
        };
        let desperate = spec
            .slots
            .get(&index)
            .and_then(|slot| slot.waiting)
            .is_some_and(|waiting| now.saturating_duration_since(waiting.since) >= DESPERATE);
        let gated = self.writer.is_stalled(now) || self.config.global_gate && !self.reconciler.is_settled(now);
        let (revision, launch, wanted) = spec.next(index);
        let need = &launch.need;
        let with_headroom = (!self.config.headroom.is_empty()).then(|| need.plus(&self.config.headroom));
        let asked = with_headroom.as_ref().unwrap_or(need);
        let executor = launch.executor_need();
        let (mut best, mut hopeless, mut lacking, mut obstacles) = (None, Vec::new(), None, Vec::new());
        for &place in &candidate.hands {
            let Some(hand) = hands.get_mut(place) else { continue };
            let agent = self.agents.get(&hand.agent.id);
            let avoided = agent.and_then(|agent| agent.strikes.get(&id)).and_then(|strikes| strikes.avoided_until);
            let launching = agent.map_or(0, |agent| agent.launching);
            let mut surely = true;
            if hand.placed.len() >= LAUNCHES || hand.bytes >= self.config.client.queue_bytes() / PORTION {
                obstacles.push(Obstacle::Gated);
                hand.gated = true;
                hopeless.push(place);
            } else if hand.closing.is_some() && !planted!(ClosingUsed) {
                obstacles.push(Obstacle::Closing);
                hopeless.push(place);
            } else if hand.failed {
                obstacles.push(Obstacle::Gated);
                hopeless.push(place);
            } else if gated || launching >= self.config.max_launching_per_agent && !planted!(Crowded) {
                obstacles.push(Obstacle::Gated);
                hand.gated = true;
            } else if !desperate && avoided.is_some_and(|until| now < until && !planted!(AvoidedUsed)) {
                obstacles.push(Obstacle::Avoided);
                hand.gated = true;
            } else if let Some(field) = placement::forbids(spec, index, revision, &hand.agent) {
                obstacles.push(Obstacle::Constraint(field.clone()));
                hopeless.push(place);
            } else if let Err(shortfall) = match &executor {
                None => hand.pool.fits(asked),
                Some(executor) => {
                    let company = self.company(asked, executor, launch, hand, desperate);
                    surely = company.surely;
                    hand.pool.fits(&company.need(asked, executor))
                }
            } {
                obstacles.push(Obstacle::Resource(shortfall.first().into()));
                lacking = Some(shortfall);
                hopeless.push(place);
            } else {
                let candidate =
                    placement::Place { spec: spec.spec.name(), index, agent: &hand.agent, pool: &hand.pool };
                let Some(rating) = self.policy.as_mut().map_or(Some(i64::MAX), |policy| policy.rate(&candidate)) else {
                    obstacles.push(Obstacle::Policy);
                    continue;
                };
                if best.is_none_or(|(best, _)| (surely, rating) > best) {
                    best = Some(((surely, rating), place));
                    if surely && rating == i64::MAX {
                        break;
                    }
                }
            }
        }
        let chosen = best.and_then(|(_, place)| {
            let hand = hands.get_mut(place)?;
            let Some(executor) = executor else { return Some((place, hand.pool.take(need).ok()?, None)) };
            let company = self.company(asked, &executor, launch, hand, desperate);
            let mut taken = hand.pool.take(&company.need(need, &executor)).ok()?;
            if company.room {
                taken.share(&executor);
            }
            if let Some(there) = company.there {
                taken.executor = there.to_vec();
            }
            let anew = launch.task.executor.as_ref().filter(|_| desperate && company.there.is_none());
            Some((place, taken, anew.map(|executor| executor.executor_id.value.clone())))
        });
        // Both are in order. What one of a former revision doesn't fit may do for the others.
        let mut hopeless = hopeless.into_iter().filter(|_| wanted).peekable();
        candidate.hands.retain(|hand| hopeless.next_if_eq(hand).is_none());
        if let Some(spec) = self.book.specs.get_mut(&id) {
            if chosen.is_none() {
                for obstacle in obstacles {
                    *spec.obstacles.entry(obstacle).or_default() += 1;
                }
            }
            spec.lacking = if chosen.is_some() { None } else { lacking.or_else(|| spec.lacking.take()) };
        }
        let Some((place, taken, anew)) = chosen else { return !wanted };
        if let Some(hand) = hands.get_mut(place) {
            if let Some(executor) = anew {
                self.executors.forget(&hand.agent.id, Some(&executor));
            }
            if let Some(placed) = self.prepare(SlotId { spec: id, index }, hand, taken) {
                hand.bytes += placed.1.encoded_len();
                hand.placed.push(placed);
            }
        }
        true
    }

    /// The next task on this agent gets other ports, if they rotate.
    fn remember_ports(&mut self, agent_id: &Arc<str>, given: &[u16]) {
        if self.config.port_order == PortOrder::Lowest {
            return;
        }
        let before = self.last_ports.get(agent_id).copied();
        // Those below the last one were given when all above it were.
        let below = given.iter().filter(|port| Some(**port) <= before).max();
        if let Some(last) = below.or_else(|| given.iter().max()) {
            self.last_ports.insert(AGENTS, agent_id.clone(), *last);
        }
    }

    /// A slot has found its place: an attempt is made, and its task described.
    fn prepare(&mut self, slot_id: SlotId, hand: &Hand<'_>, taken: Taken) -> Option<(AttemptId, v1::TaskInfo)> {
        let now = self.now;
        let spec = self.book.specs.get_mut(&slot_id.spec)?;
        let slot = spec.slots.get_mut(&slot_id.index)?;
        if let Some(waiting) = slot.waiting.take() {
            self.histograms.until_placed.add(now.saturating_duration_since(waiting.eligible_at));
        }
        slot.generation = slot.generation.saturating_add(1);
        let generation = slot.generation;
        let attempt_id = AttemptId { slot: slot_id, generation };
        let spec = self.book.specs.get(&slot_id.spec)?;
        let (revision, launch, _) = spec.next(slot_id.index);
        let name = &self.client.framework().name;
        let task_id = id::task_id(name, spec.spec.name(), slot_id.index, generation, self.incarnation, &mut self.rng);
        let target =
            Target { agent_id: &hand.agent.id, hostname: &hand.agent.hostname, agent_ip: hand.agent.ip.as_deref() };
        let resources = placement::text(&taken.resources);
        let particular = launch.need.static_port_count();
        let (ports, executor) = (taken.ports.as_slice().into(), taken.executor.as_slice().into());
        let content = if planted!(OtherContents) { &spec.spec.launch } else { launch };
        let task = launch::task_info(spec.spec.name(), content, slot_id.index, &task_id, &target, taken);
        let named: BTreeSet<&Field> = spec.spec.policy.constraints.iter().map(|c| &c.field).collect();
        let agent = self.book.share(placement::keep(&hand.agent, &named));
        let mut attempt = Attempt::new(attempt_id, task_id.into(), revision, agent, now);
        attempt.resources = resources.into();
        attempt.ports = ports;
        attempt.executor_id = task.executor.as_ref().map(|executor| executor.executor_id.value.as_str().into());
        attempt.executor_resources = executor;
        attempt.answered_in = self.session;
        self.remember_ports(&hand.agent.id, attempt.ports.get(particular..).unwrap_or_default());
        self.agents.entry(hand.agent.id.clone()).or_default().launching += 1;
        self.book.place(attempt);
        self.touch_attempt(attempt_id);
        self.touch_slot(slot_id);
        self.refresh_slot(slot_id);
        self.set_timer(attempt_id);
        Some((attempt_id, task))
    }

    /// For how long what is left of a hand is refused.
    fn refuse(&self, hand: &Hand<'_>) -> u64 {
        let now = self.now;
        let (idle, unfit) = (self.config.refuse_idle.as_secs(), self.config.refuse_unfit.as_secs());
        let Some(role) = self.roles.get(hand.role) else { return idle };
        let refuse = match (hand.closing.or_else(|| hand.failed.then_some(SHORT)), role.waiting.first()) {
            (Some(closing), None) => closing,
            // Maintenance can be called off without a word.
            (Some(closing), Some(_)) => closing.min(unfit),
            (None, None) => idle,
            (None, Some((at, _))) if *at > now => at.saturating_duration_since(now).as_secs().clamp(1, 30),
            (None, Some(_)) if hand.gated => SHORT,
            (None, Some(_)) => unfit,
        };
        if role.has_stragglers(now) { refuse.min(SHORT) } else { refuse }
    }

    /// The intents of an ACCEPT are durable.
    pub(super) fn accept(&mut self, id: AcceptId) {
        let Some(accept) = self.accepts.take(id) else { return };
        let Accept { offers, tasks, role, mut refuse, since, .. } = accept;
        if let Some(role) = self.roles.get_mut(&role) {
            // Offers are wanted again meanwhile: a long filter would hide them.
            if role.has_stragglers(self.now) || role.was_revived_since(since) {
                refuse = refuse.min(SHORT);
            }
            role.declined(self.now, Duration::from_secs(refuse));
        }
        let (attempts, task_infos): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
        let launch = v1::offer::operation::Launch { task_infos };
        let kind = Some(v1::offer::operation::Type::Launch.into());
        let operation = v1::offer::Operation { r#type: kind, launch: Some(launch), ..Default::default() };
        let filters = v1::Filters { refuse_seconds: Some(refuse as f64) };
        match self.client.calls().accept(&offers, [operation], Some(filters)) {
            Ok(call) => {
                for &attempt in &attempts {
                    self.set_state(attempt, State::Launching);
                }
                self.sent.insert(call, Sent::Accept(attempts, offers));
            }
            Err(_) => {
                let executors = self.uncertain_executors(attempts.iter().copied());
                attempts.into_iter().for_each(|attempt| self.undo(attempt));
                self.decline(&offers, SHORT);
                self.cancel_followers(Some(id), executors);
            }
        }
    }

    /// What became of an ACCEPT.
    pub(super) fn accepted(&mut self, mut attempts: Vec<AttemptId>, offers: &[String], outcome: &Outcome) {
        match outcome {
            Outcome::Rejected { .. } | Outcome::NotSent => {
                attempts.retain(|id| self.book.attempt(*id).is_some_and(|a| a.state == State::Launching));
                let executors = self.uncertain_executors(attempts.iter().copied());
                attempts.into_iter().for_each(|attempt| self.undo(attempt));
                // They are still ours, unless the session is over.
                if self.subscribed {
                    self.decline(offers, SHORT);
                }
                // Those that have left too can't be called back; Mesos refuses their tasks, and these wait again.
                self.cancel_followers(None, executors);
            }
            // Taken, or unknown: then the session ends, and the next one asks.
            _ => {}
        }
    }

    /// An ACCEPT that hasn't left is given up: its attempts wait again, its offers are returned unless they are void.
    fn cancel(&mut self, id: AcceptId, void: Option<&str>) {
        let Some(accept) = self.accepts.take(id) else { return };
        let executors = self.uncertain_executors(accept.attempts());
        self.cancelled(&accept, void);
        self.cancel_followers(Some(id), executors);
    }

    fn cancelled(&mut self, accept: &Accept, void: Option<&str>) {
        accept.attempts().for_each(|attempt| self.undo(attempt));
        let left: Vec<&String> = accept.offers.iter().filter(|offer| Some(offer.as_str()) != void).collect();
        if !left.is_empty() && self.subscribed {
            self.decline(left, SHORT);
        }
        if let Some(role) = self.roles.get_mut(&accept.role) {
            role.demand();
        }
    }

    /// ACCEPTs that wait, after this one if it is named, and to which these executors of one agent may have been described as
    /// out of offers that are not used after all, are given up too.
    fn cancel_followers(&mut self, after: Option<AcceptId>, mut executors: ExecutorIds) {
        let Some((agent_id, _)) = executors.first().cloned() else { return };
        let from = after.map_or(AcceptId(0), |AcceptId(id)| AcceptId(id + 1));
        // In their order: what one of them describes only later ones have taken from it.
        for id in self.accepts.on_agent(&agent_id, from) {
            let Some(accept) = self.accepts.pending.get(&id) else { continue };
            let mut own = self.uncertain_executors(accept.attempts());
            if own.is_disjoint(&executors) {
                continue;
            }
            executors.append(&mut own);
            if let Some(accept) = self.accepts.take(id) {
                self.cancelled(&accept, None);
            }
        }
    }

    /// The ACCEPT of this attempt is given up, if it hasn't left.
    pub(super) fn cancel_of(&mut self, attempt: AttemptId) {
        match self.accepts.by_attempt.get(&attempt) {
            Some(&accept) => self.cancel(accept, None),
            None => self.undo(attempt),
        }
    }

    /// An offer is no longer good.
    pub(super) fn rescinded(&mut self, offer: String) {
        if planted!(RescindIgnored) {
            return;
        }
        for accept in self.accepts.ids(|accept| accept.offers.contains(&offer)) {
            self.cancel(accept, Some(&offer));
        }
        if self.in_hand.iter().flat_map(Offers::iter).any(|in_hand| in_hand.id() == offer) {
            self.void.insert(offer);
        } else if self.config.own_offers {
            self.tell(None, Event::Rescinded { offer_id: offer });
        }
    }

    /// An agent is no longer good.
    pub(super) fn cancel_on(&mut self, agent_id: &str) {
        for accept in self.accepts.on_agent(agent_id, AcceptId(0)) {
            self.cancel(accept, None);
        }
        if self.in_hand.iter().flat_map(Offers::iter).any(|in_hand| in_hand.agent_id() == agent_id) {
            self.failed.insert(agent_id.to_owned());
        }
    }

    /// All offers are void.
    pub(super) fn cancel_all(&mut self) {
        self.in_hand.clear();
        self.void.clear();
        self.failed.clear();
        self.declines = Declines::default();
        for id in self.accepts.ids(|_| true) {
            // Whatever would follow goes as well.
            if let Some(accept) = self.accepts.take(id) {
                self.cancelled(&accept, None);
            }
        }
    }

    /// An attempt that never was: its slot waits again at once, without any penalty; the generation stays burnt.
    pub(super) fn undo(&mut self, id: AttemptId) {
        if self.forget(id).is_none() {
            return;
        }
        if let Some(slot) = self.book.slot_mut(id.slot).filter(|_| planted!(GenerationAgain)) {
            slot.generation = slot.generation.saturating_sub(1);
        }
        if self.may_have_successor(id.slot) {
            self.wait(id.slot);
        }
        self.reconsider(id.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // ENGINE 3.5
    #[test]
    fn three_strikes_within_ten_minutes() {
        let at = |secs| Instant::from_origin(Duration::from_secs(secs));
        let mut strikes = Strikes::default();
        assert_eq!(strikes.strike(at(0)), None);
        assert_eq!(strikes.strike(at(500)), None);
        assert_eq!(strikes.strike(at(601)), None);
        assert_eq!(strikes.strike(at(602)), Some(AVOID));
        assert_eq!(
            [strikes.strike(at(700)), strikes.strike(at(700)), strikes.strike(at(700))],
            [None, None, Some(AVOID * 2)]
        );
        let over = [1300, 1301 + 3599, 1300 + 3600].map(|secs| strikes.are_over(at(secs)));
        assert_eq!(over, [false, true, true]);
    }
}
