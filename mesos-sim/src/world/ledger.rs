//! The invariants of safety, judged from outside: by what leaves the scheduler and what reaches it, by what is durable,
//! and by what really runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mesos_core::Persist;
use mesos_proto::store::instance;
use mesos_proto::v1;
use v1::TaskState;
use v1::scheduler::{Call, Event, call, event};
use v1::task_status::{Reason, Source};

use super::disk::{Disk, is_inactive};
use super::inverse::InverseOffers;
use super::kills::{KILL, Killed};
use super::past::deletes;
use super::{Step, contents, violation};
use crate::Cluster;
use crate::agent::is_terminal;
use crate::resources::Pool;

/// Every offer is answered within this time, unless calls can't leave.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Per task, between two questions.
pub(super) const ASK: Duration = Duration::from_secs(10);
/// Per role, between two REVIVEs.
const REVIVE: Duration = Duration::from_secs(5);

/// In a minute, with a back-off from one second to fifteen, and each of them sent on by a redirect.
const SUBSCRIBES: usize = 30;

/// What the judge knows of a task.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) slot: (String, u32),
    pub(super) framework: String,
    /// The state that was last heard of, and when.
    pub(super) heard: Option<(TaskState, Duration)>,
    /// When the present process was first told that it has ended, and nothing else since; or an earlier one was, and the
    /// store knows.
    pub(super) over_at: Option<Duration>,
    /// When it was last heard of alive.
    pub(super) alive_at: Option<Duration>,
    /// An end was heard of, true or not.
    pub(super) ended: bool,
    /// It may live beside another one of its slot: somebody says so, its ACCEPT came to nothing, its framework is no more.
    pub(super) released: bool,
    /// Nothing may live beside it: duplicates were forbidden when it was launched, and are since that time.
    pub(super) strict: Option<u64>,
}

impl Launched {
    pub(super) const fn new(slot: (String, u32), framework: String, strict: Option<u64>) -> Self {
        Self { slot, framework, heard: None, over_at: None, alive_at: None, ended: false, released: false, strict }
    }
}

/// How a task is to be killed.
#[derive(Debug, Default)]
pub(super) struct Manners {
    /// How long it may have been given to end, at some time.
    pub(super) graces: BTreeSet<Option<Duration>>,
    /// After how long it is to be killed by force at the earliest, if at all.
    pub(super) force: Option<Duration>,
}

/// What was said about one status.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    state: TaskState,
    agent: String,
    heard: u32,
    pub(super) acknowledged: u32,
    /// The subscription in which it told the end of a task in the books.
    pub(super) ended_in: Option<u64>,
}

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) tasks: BTreeMap<String, Launched>,
    pub(super) framework: String,
    /// The id that the scheduler's present process was told.
    pub(super) heard_as: Option<String>,
    /// The id of which the present process knows that it is durable.
    pub(super) sure: Option<String>,
    /// Specs and their delays are a user's.
    pub(super) own: bool,
    /// The subscription that is open, and its stream id.
    pub(super) session: Option<(u64, String)>,
    /// The stream ids of subscriptions.
    pub(super) streams: BTreeMap<u64, String>,
    /// A terminal event has been told.
    pub(super) terminal: bool,
    /// With when each came.
    offers: BTreeMap<String, (Duration, v1::Offer)>,
    /// Answered in this session.
    spent: BTreeSet<String>,
    /// Taken back in this session.
    rescinded: BTreeSet<String>,
    open: BTreeSet<(Duration, String)>,
    pub(super) deliveries: BTreeMap<(String, Vec<u8>), Delivery>,
    asked: BTreeMap<String, Duration>,
    pub(super) killed: BTreeMap<String, Killed>,
    /// Of the task that is being killed: how it is to be done.
    pub(super) manners: Manners,
    /// When the first KILL of each task left, or it said that it is being ended, by whomever.
    pub(super) killed_first: BTreeMap<String, Duration>,
    /// How often each task was asked for, and everything, since this was last looked at.
    questions: BTreeMap<String, u32>,
    implicit: u32,
    pub(super) inverse: InverseOffers,
    /// Tasks that a user has killed, which may get one KILL more.
    pub(super) user_kills: BTreeSet<String>,
    /// When a user last said something.
    commanded_at: Option<Duration>,
    /// When the present process began.
    pub(super) started_at: Option<Duration>,
    /// Frameworks that were, and are no more.
    pub(super) former: BTreeSet<String>,
    revived: BTreeMap<String, Duration>,
    /// Not to be launched before; see I11.
    pub(super) not_before: BTreeMap<(String, u32), Duration>,
    /// The latest generation of each slot that the scheduler has decided to launch.
    pub(super) intended: BTreeMap<(String, u32), u64>,
    /// When a call last had to wait for others: such come closer together than they were decided.
    pub(super) jammed_at: Option<Duration>,
    /// When a standstill last ended.
    pub(super) woke_at: Option<Duration>,
    /// When SUBSCRIBED last came,
    pub(super) subscribed_at: Duration,
    /// and when a call was lost although all was well.
    pub(super) lost_at: Duration,
    /// When offers last came.
    pub(super) offered_at: Duration,
    /// When a call last left that isn't part of an idle engine's life.
    pub(super) busy_at: Duration,
    pub(super) calls: BTreeMap<call::Type, u64>,
    /// How often each invariant had something to judge.
    pub(super) judged: BTreeMap<&'static str, u64>,
    /// When the present process has sent SUBSCRIBE, in the last minute.
    subscribes: VecDeque<Duration>,
}

/// Whether this is an end by the task's own fault, and not by its agent's (ENGINE 3.4).
pub(super) fn is_fault(status: &v1::TaskStatus) -> bool {
    status.state() == TaskState::TaskFailed && !is_infra(status.reason.map(|_| status.reason()))
}

/// Whether a failure for this reason is the agent's.
pub(super) fn is_infra(reason: Option<Reason>) -> bool {
    matches!(
        reason,
        Some(
            Reason::ExecutorRegistrationTimeout
                | Reason::ExecutorReregistrationTimeout
                | Reason::ContainerPreempted
                | Reason::ResourcesUnknown
                | Reason::GcError
                | Reason::InvalidOffers
        )
    )
}

/// A task id's spec, index, generation and incarnation.
pub(super) fn parse(id: &str) -> Option<(String, u32, u64, u64)> {
    let (head, random) = id.rsplit_once('-')?;
    let mut parts = head.rsplitn(4, '.');
    let incarnation = parts.next()?.parse().ok()?;
    let generation = parts.next()?.parse().ok()?;
    let (spec, index) = parts.next()?.rsplit_once('-')?;
    (random.len() == 8 && parts.next().is_some()).then_some(())?;
    Some((spec.to_owned(), index.parse().ok()?, generation, incarnation))
}

impl Ledger {
    pub(super) fn judge(&mut self, invariant: &'static str) {
        *self.judged.entry(invariant).or_default() += 1;
    }

    /// The scheduler has heard SUBSCRIBED on this stream.
    fn subscribed(&mut self, now: Duration, exchange: u64, framework: &str) {
        self.lost();
        self.subscribed_at = now;
        self.session = Some((exchange, self.streams.get(&exchange).cloned().unwrap_or_default()));
        if self.framework != framework {
            self.spent();
        }
        self.framework = framework.to_owned();
        self.heard_as = Some(framework.to_owned());
    }

    /// A task is launched of which the scheduler knows nothing. Returns its id.
    pub(super) fn stranger(&mut self, number: u64) -> String {
        let id = format!("stranger-{number}");
        let (slot, framework) = (("stranger".to_owned(), 0), self.framework.clone());
        let mut task = Launched::new(slot, framework, None);
        task.released = true;
        self.tasks.insert(id.clone(), task);
        id
    }

    /// A batch leaves the scheduler: what it intends.
    pub(super) fn intends(&mut self, batch: &Persist) {
        for op in batch.ops() {
            let segments: Vec<String> = op.key().segments().collect();
            if let [kind, task] = segments.as_slice() {
                if kind == "ghost" {
                    // Given up, or taken back, it is killed anew (simulated: seeds 3100001694, 5100003997).
                    self.killed.remove(task);
                }
            }
            let [kind, spec, index, generation] = segments.as_slice() else { continue };
            if kind != "inst" {
                continue;
            }
            let slot = (spec.clone(), index.parse().unwrap_or(u32::MAX));
            let generation = generation.parse().unwrap_or(0);
            let latest = self.intended.entry(slot.clone()).or_default();
            if generation > *latest {
                *latest = generation;
                if batch.ops().iter().any(|op| deletes(op, &slot)) {
                    // Decided before the end of another one that becomes durable with it.
                    self.not_before.remove(&slot);
                }
            }
        }
    }

    /// The framework is no more.
    pub(super) fn spent(&mut self) {
        let framework = std::mem::take(&mut self.framework);
        if !framework.is_empty() {
            self.former.insert(framework);
        }
    }

    /// A new process takes over. Of an end that the one before has heard, and that isn't durable, it knows nothing: what
    /// is recorded as being killed it kills again, and that KILL may wait while it hears of the end itself.
    pub(super) fn started(&mut self, disk: &Disk) {
        self.lost();
        self.subscribes.clear();
        self.sure.clone_from(&disk.framework);
        for (_, task) in self.tasks.iter_mut().filter(|(id, _)| disk.knows(id)) {
            task.over_at = None;
        }
    }

    /// The scheduler knows that this subscription is over.
    pub(super) fn lost_stream(&mut self, exchange: u64) {
        self.streams.remove(&exchange);
        if self.session.as_ref().is_some_and(|(open, _)| *open == exchange) {
            self.lost();
        }
    }

    /// The scheduler knows that its session is over, or it is dead.
    pub(super) fn lost(&mut self) {
        self.session = None;
        self.offers.clear();
        self.spent.clear();
        self.rescinded.clear();
        self.open.clear();
        self.asked.clear();
        self.killed.clear();
        self.revived.clear();
        self.inverse = InverseOffers::default();
    }

    /// An event has reached the scheduler in full. `state` is what it makes of the task beforehand.
    pub(super) fn heard(&mut self, now: Duration, exchange: u64, event: &Event, state: Option<String>, disk: &Disk) {
        if let Some(subscribed) = event.subscribed.as_ref() {
            self.subscribed(now, exchange, &subscribed.framework_id.value);
        }
        for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
            self.offered_at = now;
            self.open.insert((now, offer.id.value.clone()));
            self.offers.insert(offer.id.value.clone(), (now, offer.clone()));
        }
        if let Some(rescind) = &event.rescind {
            let id = &rescind.offer_id.value;
            self.rescinded.insert(id.clone());
            self.open.retain(|(_, open)| open != id);
        }
        let Some(event::Update { status }) = &event.update else { return };
        let state = state.unwrap_or_else(|| "unknown".into());
        let id = &status.task_id.value;
        if let Some(uuid) = &status.uuid {
            let delivery = self.deliveries.entry((id.clone(), uuid.to_vec())).or_default();
            delivery.state = status.state();
            delivery.agent = status.agent_id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            delivery.heard += 1;
            let counts = !matches!(&*state, "unknown" | "Ghost");
            delivery.ended_in = (counts && is_terminal(status.state())).then_some(exchange);
        }
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.is_out_of_sight() {
            // What it was told meanwhile has not arrived.
            self.killed.remove(id);
        }
        task.heard = Some((status.state(), now));
        task.over_at = is_terminal(status.state()).then(|| task.over_at.unwrap_or(now));
        // What a master says may be the first that is heard of one that was out of sight, or given up (simulated: seed
        // 8500002324).
        let ending = status.state() == TaskState::TaskKilling && status.source() == Source::Master;
        if ending || matches!(status.state(), TaskState::TaskStaging | TaskState::TaskStarting | TaskState::TaskRunning)
        {
            task.alive_at = Some(now);
        }
        if status.state() == TaskState::TaskKilling {
            self.killed_first.entry(id.clone()).or_insert(now);
        }
        let first = !task.ended;
        task.ended |= is_terminal(status.state());
        let unknown = status.state() == TaskState::TaskUnknown;
        task.ended |= unknown;
        let alone = disk.instances.values().filter(|kept| kept.slot == task.slot).count() == 1;
        let ours = state == "Running" || state == "Staged";
        let generation = parse(id).map_or(0, |(_, _, generation, _)| generation);
        let decided = self.intended.get(&task.slot).is_some_and(|latest| *latest > generation);
        if first && ours && alone && !self.own && !decided && is_fault(status) {
            self.not_before.insert(task.slot.clone(), now + Duration::from_millis(900));
        }
    }

    /// Something has reached one that was replaced.
    pub(super) fn hears_late(&mut self, event: &Event) {
        let Some(event::Update { status }) = &event.update else { return };
        if let Some(uuid) = &status.uuid {
            let delivery = self.deliveries.entry((status.task_id.value.clone(), uuid.to_vec())).or_default();
            delivery.state = status.state();
        }
    }

    /// What was said in a status.
    pub(super) fn delivered(&self, task: &str, uuid: &[u8]) -> Option<TaskState> {
        self.deliveries.get(&(task.to_owned(), uuid.to_vec())).map(|delivery| delivery.state)
    }

    /// The scheduler has stood still, and goes on now.
    pub(super) fn woke(&mut self, now: Duration) {
        self.jammed_at = Some(now);
        self.woke_at = Some(now);
        self.open = std::mem::take(&mut self.open).into_iter().map(|(_, id)| (now, id)).collect();
        self.inverse.woke(now);
    }

    /// A request leaves the scheduler.
    pub(super) fn leaves(&mut self, now: Duration, call: &Call, stream: Option<&str>, disk: &Disk) -> Step {
        *self.calls.entry(call.r#type()).or_default() += 1;
        self.judge("I13");
        if self.terminal {
            return violation("I13", format!("{:?} leaves after a terminal event", call.r#type()));
        }
        if call.r#type() == call::Type::Subscribe {
            self.subscribes.push_back(now);
            self.subscribes.retain(|at| *at + Duration::from_secs(60) > now);
            if self.subscribes.len() > SUBSCRIBES {
                return violation("I12", format!("{} times SUBSCRIBE in a minute", self.subscribes.len()));
            }
            self.judge("I4");
            return match &call.framework_id {
                // What this process has heard itself it may say again; nothing else is said before it is durable.
                Some(id) if disk.framework.as_ref() != Some(&id.value) && self.heard_as.as_ref() != Some(&id.value) => {
                    violation("I4", format!("SUBSCRIBE as {}, durable is {:?}", id.value, disk.framework))
                }
                None if disk.goes_on_but(&self.former) => {
                    violation("I4", format!("SUBSCRIBE without an id, durable is {:?}", disk.framework))
                }
                _ => Ok(()),
            };
        }
        let open = self.session.as_ref().map(|(_, stream)| stream.as_str());
        if open.is_none() || open != stream {
            return violation(
                "I13",
                format!("{:?} leaves on stream {stream:?}, subscribed: {:?}", call.r#type(), self.session),
            );
        }
        self.judge("I4");
        if disk.framework.as_ref() != Some(&self.framework) && call.r#type() != call::Type::Teardown {
            return violation("I4", format!("{:?} leaves before the framework's id is durable", call.r#type()));
        }
        if call.r#type() == call::Type::Teardown && !disk.may_tear_down() {
            return violation("I4", "TEARDOWN leaves before that it does is durable");
        }
        if !matches!(call.r#type(), call::Type::Reconcile | call::Type::Acknowledge) {
            self.busy_at = now;
        }
        match call.r#type() {
            call::Type::Accept => self.accept(now, &call.accept.clone().unwrap_or_default(), disk),
            call::Type::Decline => self.decline(&call.decline.clone().unwrap_or_default()),
            call::Type::Kill => self.kill(now, &call.kill.clone().unwrap_or_default(), disk),
            call::Type::Acknowledge => self.acknowledge(&call.acknowledge.clone().unwrap_or_default(), disk),
            call::Type::Reconcile => self.reconcile(now, &call.reconcile.clone().unwrap_or_default()),
            call::Type::Revive => self.revive(now, &call.revive.clone().unwrap_or_default()),
            call::Type::AcceptInverseOffers | call::Type::DeclineInverseOffers => self.inverse_answers(now, call, disk),
            _ => Ok(()),
        }
    }

    /// I1: an offer is used up.
    fn answer(&mut self, id: &str) -> Step {
        self.judge("I1");
        if !self.offers.contains_key(id) {
            return violation("I1", format!("offer {id} was never made in this session"));
        }
        self.open.retain(|(_, open)| open != id);
        if !self.spent.insert(id.to_owned()) {
            return violation("I1", format!("offer {id} is answered twice"));
        }
        Ok(())
    }

    /// A call with these offers was surely not taken: they can be answered again, and must be, unless the master has
    /// refused it, for which it must have a reason that holds for the next one as well.
    pub(super) fn returned(&mut self, now: Duration, offers: &[String], refused: bool) {
        for id in offers.iter().filter(|id| self.offers.contains_key(*id) && !self.rescinded.contains(*id)) {
            self.spent.remove(id);
            if !refused {
                self.open.insert((now, id.clone()));
            }
        }
        if !refused {
            self.inverse.unsent(now, offers);
        }
    }

    fn decline(&mut self, decline: &call::Decline) -> Step {
        self.judge("I21");
        let refuse = decline.filters.as_ref().and_then(|filters| filters.refuse_seconds).unwrap_or(0.0);
        if !(refuse > 0.0 && refuse <= 3600.0) {
            return violation("I21", format!("refuse_seconds {refuse}"));
        }
        decline.offer_ids.iter().try_for_each(|id| match self.rescinded.contains(&id.value) {
            // Taken back while the DECLINE waited: that is harmless, and common.
            true if self.offers.contains_key(&id.value) => Ok(()),
            _ => self.answer(&id.value).and_then(|()| self.undoes_nothing(&id.value, refuse)),
        })
    }

    /// I21: a long filter for an offer that came before its role was revived would undo that.
    fn undoes_nothing(&self, id: &str, refuse: f64) -> Step {
        let Some((came, offer)) = self.offers.get(id).filter(|_| refuse > REVIVE.as_secs_f64()) else { return Ok(()) };
        let role = offer.allocation_info.as_ref().and_then(|info| info.role.as_ref());
        match role.and_then(|role| self.revived.get(role)).filter(|at| came < at) {
            Some(at) => {
                violation("I21", format!("offer {id} of {came:?} is refused for {refuse} s, and asked for at {at:?}"))
            }
            None => Ok(()),
        }
    }

    fn accept(&mut self, now: Duration, accept: &call::Accept, disk: &Disk) -> Step {
        let mut left = Pool::default();
        let mut places = BTreeSet::new();
        for id in &accept.offer_ids {
            // One that is taken back while the ACCEPT waits for the lane can't be called back.
            if !self.rescinded.contains(&id.value) {
                self.answer(&id.value)?;
            }
            let Some((_, offer)) = self.offers.get(&id.value) else {
                return violation("I1", format!("offer {} was never made in this session", id.value));
            };
            let refuse = accept.filters.as_ref().and_then(|filters| filters.refuse_seconds).unwrap_or(5.0);
            self.undoes_nothing(&id.value, refuse)?;
            let role = offer.allocation_info.as_ref().and_then(|info| info.role.clone());
            places.insert((offer.agent_id.value.clone(), role));
            left.add(&Pool::of(&offer.resources).unwrap_or_default());
        }
        self.judge("I2");
        if places.len() != 1 {
            return violation("I2", format!("an ACCEPT over {places:?}"));
        }
        let tasks = accept.operations.iter().filter_map(|operation| operation.launch.as_ref());
        for task in tasks.flat_map(|launch| &launch.task_infos) {
            let id = &task.task_id.value;
            let need = Pool::of(&task.resources).unwrap_or_default();
            if !left.contains(&need) {
                return violation("I2", format!("{id} needs {need:?}, left are {left:?}"));
            }
            left.subtract(&need);
            self.launch(now, id, disk)?;
            self.judge("I25");
            if let Some(why) = disk.instances.get(id).and_then(|kept| contents::fault(task, kept, disk)) {
                return violation("I25", format!("{id} is launched, and {why}"));
            }
        }
        Ok(())
    }

    fn launch(&mut self, now: Duration, id: &str, disk: &Disk) -> Step {
        self.judge("I3");
        let Some((spec, index, generation, _)) = parse(id) else {
            return violation("I3", format!("task id {id} can't be read"));
        };
        let slot = (spec, index);
        let Some(kept) = disk.instances.get(id) else {
            return violation("I4", format!("ACCEPT with {id}, which isn't durable"));
        };
        if kept.slot != slot || kept.generation != generation {
            return violation("I3", format!("{id} is kept as {:?}, generation {}", kept.slot, kept.generation));
        }
        if let Some(at) = self.not_before.remove(&slot) {
            self.judge("I11");
            // What was decided before the fault is still to leave.
            if now < at && now + Duration::from_millis(850) > at {
                return violation("I11", format!("{id} is launched at {now:?}, its slot is held back until {at:?}"));
            }
        }
        let strict = disk.strict.get(&slot.0).copied();
        let launched = Launched::new(slot, self.framework.clone(), strict);
        if self.tasks.insert(id.to_owned(), launched).is_some() {
            return violation("I3", format!("task id {id} is used twice"));
        }
        Ok(())
    }

    /// Whether a task is one of the present framework, as far as anybody knows. The error says what it is.
    pub(super) fn of_this(&self, id: &str) -> Result<(), String> {
        let other = self.tasks.get(id).map(|task| &task.framework).filter(|framework| **framework != self.framework);
        other.map_or(Ok(()), |other| Err(format!("{id}, a task of {other}, and this is {}", self.framework)))
    }

    /// Tasks that are to end, have been told so, and may have heard it.
    pub(super) fn ending(&self, disk: &Disk) -> Vec<&String> {
        let ends = |id: &&String| {
            let killing = disk.instances.get(*id).is_some_and(|kept| kept.record.state() == instance::State::Killing);
            // What follows an end is old news, and the record may stay for a moment (simulated: seed 1400003462).
            killing && self.tasks.get(*id).is_some_and(|task| !task.ended && !task.is_out_of_sight())
        };
        self.killed.keys().filter(ends).collect()
    }

    /// Whether calls leave when they are decided.
    pub(super) fn flows(&self, now: Duration) -> bool {
        !self.jammed(now) && (!self.own || self.commanded_at.is_none_or(|at| at + 2 * KILL < now))
    }

    /// Whether a call has waited long for its answer, and others behind it.
    pub(super) fn jammed(&self, now: Duration) -> bool {
        self.jammed_at.is_some_and(|at| now <= at + 2 * KILL)
    }

    pub(super) fn is_killed(&self, task: &str) -> bool {
        self.killed.contains_key(task)
    }

    /// Whether a question about a task has had no answer so far.
    pub(super) fn is_unanswered(&self, task: &str) -> bool {
        let heard = self.tasks.get(task).and_then(|task| task.heard);
        self.asked.get(task).is_some_and(|asked| heard.is_none_or(|(_, at)| at < *asked))
    }

    /// Users' commands may repeat KILLs and lift delays.
    pub(super) fn commanded(&mut self, now: Duration) {
        self.commanded_at = Some(now);
        self.killed.clear();
        self.not_before.clear();
    }

    /// A user has a task killed: that KILL comes, and others may be on their way.
    pub(super) fn killed_by_user(&mut self, task: &str) {
        self.user_kills.insert(task.to_owned());
    }

    /// A command that concerns one spec.
    pub(super) fn commanded_of(&mut self, spec: &str) {
        let tasks = &self.tasks;
        self.killed.retain(|id, _| tasks.get(id).is_none_or(|task| task.slot.0 != spec));
        self.not_before.retain(|slot, _| slot.0 != spec);
    }

    fn acknowledge(&mut self, acknowledge: &call::Acknowledge, disk: &Disk) -> Step {
        self.judge("I5");
        let id = &acknowledge.task_id.value;
        let Some(delivery) = self.deliveries.get_mut(&(id.clone(), acknowledge.uuid.to_vec())) else {
            return violation("I5", format!("an acknowledgement for {id} that nobody asked for"));
        };
        delivery.acknowledged += 1;
        if delivery.acknowledged > delivery.heard {
            return violation(
                "I5",
                format!("{} for {id} is acknowledged more often than it came", delivery.state.as_str_name()),
            );
        }
        if delivery.agent != acknowledge.agent_id.value {
            return violation(
                "I5",
                format!("the acknowledgement for {id} goes to agent {}", acknowledge.agent_id.value),
            );
        }
        let kept = disk.instances.get(id).map(|kept| kept.record.state());
        let early = |state: instance::State| matches!(state, instance::State::Prepared | instance::State::Launching);
        // Draining for good says so before the end: where that matters, the task keeps its place.
        let told = |id: &String| parse(id).is_some_and(|(spec, ..)| disk.was_strict.contains(&spec));
        let early_word = delivery.state == TaskState::TaskGoneByOperator && told(id);
        if early_word {
            return Ok(());
        }
        let starts = delivery.state == TaskState::TaskRunning && kept == Some(instance::State::Staged);
        if is_terminal(delivery.state) && kept.is_some() || kept.is_some_and(early) || starts {
            let state = delivery.state.as_str_name();
            return violation("I5", format!("{state} of {id} is acknowledged, while the store says {kept:?}"));
        }
        Ok(())
    }

    fn reconcile(&mut self, now: Duration, reconcile: &call::Reconcile) -> Step {
        self.judge("I14");
        if reconcile.tasks.len() > 1000 {
            return violation("I14", format!("{} tasks in a RECONCILE", reconcile.tasks.len()));
        }
        self.implicit += u32::from(reconcile.tasks.is_empty());
        for task in &reconcile.tasks {
            let id = &task.task_id.value;
            self.of_this(id).or_else(|what| violation("I14", format!("asked for is {what}")))?;
            *self.questions.entry(id.clone()).or_default() += 1;
            let before = self.asked.insert(task.task_id.value.clone(), now);
            if before.is_some_and(|before| now < before + ASK.mul_f64(0.9)) && self.flows(now) {
                return violation(
                    "I14",
                    format!("{} is asked for again after {:?}", task.task_id.value, now - before.unwrap_or_default()),
                );
            }
            if task.agent_id.is_none() {
                return violation("I14", format!("{} is asked for without its agent", task.task_id.value));
            }
        }
        Ok(())
    }

    /// All is well from now on: questions are counted.
    pub(super) fn count_questions(&mut self) {
        (self.questions, self.implicit) = (BTreeMap::new(), 0);
    }

    /// L6: nobody asks more than from time to time, but that.
    pub(super) fn regular(&self, time: Duration, tasks: &BTreeSet<String>) -> Step {
        let minutes = (time.as_secs() / 60) as u32;
        // Every 15 min, and every 60; some more after a subscription.
        let most = minutes / 13 + 4;
        if let Some((id, times)) = self.questions.iter().find(|(_, times)| **times > most) {
            return violation("L6", format!("{id} is asked for {times} times in {minutes} min"));
        }
        let asked = |id: &&String| self.questions.get(*id).copied().unwrap_or_default();
        if let Some(id) = tasks.iter().find(|id| asked(id) + 1 < minutes / 17) {
            return violation("L6", format!("{id} is asked for {} times in {minutes} min", asked(&id)));
        }
        match self.implicit {
            0 => violation("L6", format!("nobody asks for everything in {minutes} min")),
            times if times > minutes / 50 + 4 => {
                violation("L6", format!("all is asked for {times} times in {minutes} min"))
            }
            _ => Ok(()),
        }
    }

    fn revive(&mut self, now: Duration, revive: &call::Revive) -> Step {
        for role in &revive.roles {
            self.judge("I12");
            let before = self.revived.insert(role.clone(), now);
            if before.is_some_and(|before| now < before + REVIVE.mul_f64(0.9)) && self.flows(now) {
                return violation("I12", format!("REVIVE of {role} after {:?}", now - before.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// What must hold at any time. `idle`: nothing hinders calls from leaving.
    pub(super) fn check(&mut self, now: Duration, idle: bool, disk: &Disk) -> Step {
        if idle && disk.framework.as_ref() == Some(&self.framework) {
            if let Some((at, id)) = self.open.first().filter(|(at, _)| *at + ANSWER < now) {
                return violation("I1", format!("offer {id} of {at:?} has no answer at {now:?}"));
            }
        }
        Ok(())
    }

    /// I4, I6: what really runs.
    pub(super) fn truth(&mut self, cluster: &Cluster, disk: &Disk) -> Step {
        let mut live: BTreeMap<&(String, u32), (&str, bool)> = BTreeMap::new();
        let mut forbidden = 0;
        let running = cluster.agents.iter().flat_map(|agent| agent.tasks.iter());
        for ((framework, id), _) in running.filter(|(_, task)| !is_terminal(task.state)) {
            let Some(task) = self.tasks.get(id) else {
                return violation("I3", format!("{id} runs, and nobody launched it"));
            };
            if *framework != self.framework && !self.framework.is_empty()
                || task.framework != *framework
                || task.released
            {
                continue;
            }
            if !task.ended && !disk.knows(id) {
                return violation("I4", format!("{id} runs, and the store doesn't know it"));
            }
            let Some(since) = disk.strict.get(&task.slot.0).filter(|_| !task.ended) else { continue };
            // What ran before goes on.
            let alone = task.strict == Some(*since);
            forbidden += 1;
            if let Some((other, _)) = live.insert(&task.slot, (id, alone)).filter(|(_, other)| alone || *other) {
                return violation("I6", format!("{id} and {other} run, although duplicates are forbidden"));
            }
        }
        if forbidden > 0 {
            self.judge("I6 truth");
        }
        Ok(())
    }

    /// I6, I7: what the store says of each slot.
    pub(super) fn slots(&mut self, disk: &Disk) -> Step {
        /// How many instances, and how many of each revision that are fine.
        type Count<'a> = (u32, BTreeMap<&'a str, u32>);
        let mut slots: BTreeMap<&(String, u32), Count<'_>> = BTreeMap::new();
        for kept in disk.instances.values() {
            let (all, fine) = slots.entry(&kept.slot).or_default();
            use instance::State as S;
            let state = kept.record.state();
            if is_inactive(&kept.record) {
                continue;
            }
            *all += 1;
            if matches!(state, S::Prepared | S::Launching | S::Staged | S::Running) {
                *fine.entry(&kept.record.revision).or_default() += 1;
            }
        }
        let bad = slots.iter().find(|(_, (all, fine))| *all > 2 || fine.values().any(|count| *count > 1));
        let bad = bad.map(|(slot, found)| format!("slot {slot:?} has {found:?}"));
        self.judge("I6");
        match bad {
            Some(what) => violation("I6", what),
            None => Ok(()),
        }
    }
}
