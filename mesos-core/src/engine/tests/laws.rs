//! What must hold for every call, whatever the scenario (ENGINE 11).

use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;

use super::*;

/// What the other side knows.
#[derive(Default)]
pub(super) struct Laws {
    /// Those of this session that have an answer.
    answered: BTreeMap<String, v1::Offer>,
    refused: BTreeMap<String, v1::Offer>,
    /// Offers of this session that have no answer.
    offers: BTreeMap<String, v1::Offer>,
    launched: BTreeSet<String>,
    /// Statuses with a uuid, as often as they were delivered without being acknowledged.
    unacknowledged: BTreeMap<(String, Vec<u8>), (v1::TaskStatus, u32)>,
    /// The last status of each task.
    last: BTreeMap<String, v1::TaskStatus>,
    /// Executors with resources of their own, by agent and id.
    executors: BTreeMap<(String, String), Described>,
    /// Something waited for the store or for an answer when there was rest last.
    waited: bool,
    ended: bool,
}

/// An executor, as the scheduler has to know it: by the tasks in its books, and by what the executor itself has told.
#[derive(Default)]
struct Described {
    resources: Vec<v1::Resource>,
    tasks: BTreeSet<String>,
    /// It has told the end of a task, or anything of a ghost, and nothing has been heard of its own since.
    told: bool,
    /// It has told something, and may be there.
    seen: bool,
    known: bool,
    /// It was known until not long ago, and an ACCEPT may have been decided on then that leaves now.
    late: bool,
}

impl Described {
    fn has_tasks(&self, engine: &Engine) -> bool {
        self.tasks.iter().any(|task| engine.find_task(task).is_some())
    }

    fn note(&mut self, waited: bool, engine: &Engine) {
        let known = self.told || self.has_tasks(engine);
        self.late = !known && waited && (self.late || self.known);
        self.known = known;
    }

    /// Only the books say now that it is there.
    fn lost(&mut self, engine: &Engine) {
        self.told = false;
        self.seen &= self.has_tasks(engine);
    }
}

impl Laws {
    pub(super) fn on_subscribed(&mut self) {
        self.offers.clear();
        self.answered.clear();
    }

    pub(super) fn on_lost(&mut self) {
        self.offers.clear();
        self.answered.clear();
    }

    /// A process has started. Of an executor without tasks it knows nothing.
    pub(super) fn on_start(&mut self, engine: &Engine) {
        self.ended = false;
        self.executors.values_mut().for_each(|executor| executor.lost(engine));
    }

    /// There is rest, until something happens; `waits` says whether something waits.
    pub(super) fn on_rest(&mut self, waits: bool, engine: &Engine) {
        self.executors.values_mut().for_each(|executor| executor.note(self.waited, engine));
        self.waited = waits;
    }

    pub(super) fn on_offer(&mut self, offer: &v1::Offer) {
        self.offers.insert(offer.id.value.clone(), offer.clone());
    }

    /// An offer is rescinded; with `backlog`, its answer may be on its way already.
    pub(super) fn on_rescind(&mut self, offer: &str, backlog: bool) {
        if !backlog {
            self.offers.remove(offer);
        }
    }

    /// An executor has ended, or an agent with all of its own.
    pub(super) fn on_failure(&mut self, agent: &str, executor: Option<&str>, engine: &Engine) {
        let ended = |(on, id): &(String, String)| on == agent && executor.is_none_or(|executor| executor == id);
        self.executors.iter_mut().filter(|(key, _)| ended(key)).for_each(|(_, executor)| executor.lost(engine));
    }

    /// What a status has told of its task's executor; `counted` and `ghost` say what the task was in the books before.
    pub(super) fn on_told(&mut self, status: &v1::TaskStatus, counted: bool, ghost: bool, engine: &Engine) {
        let task = &status.task_id.value;
        let ended = counted && engine.find_task(task).is_none();
        for executor in self.executors.values_mut().filter(|executor| executor.tasks.contains(task)) {
            if status.source() == Source::Executor {
                executor.seen = true;
                executor.told |= ended || ghost;
            } else if ended && (!executor.told || status.state() == TaskError && !executor.has_tasks(engine)) {
                // It was not there if its task was refused; unless it has others, and that was for another reason.
                executor.lost(engine);
            }
        }
    }

    pub(super) fn on_status(&mut self, status: &v1::TaskStatus) {
        self.last.insert(status.task_id.value.clone(), status.clone());
        if let Some(uuid) = status.uuid.as_ref().filter(|uuid| !uuid.is_empty()) {
            let key = (status.task_id.value.clone(), uuid.to_vec());
            self.unacknowledged.entry(key).or_insert_with(|| (status.clone(), 0)).1 += 1;
        }
    }

    /// I13: nothing after the end.
    pub(super) fn alive(&self) {
        assert!(!self.ended, "after the end");
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        self.alive();
        if matches!(event, Event::FrameworkRemoved { .. }) {
            // All executors went with it.
            self.executors.clear();
        }
        self.ended =
            matches!(event, Event::Fatal(_) | Event::Fenced(_) | Event::StoreRefused(_) | Event::Stopped { .. });
    }

    /// The offers that have no answer.
    pub(super) fn offers(&self) -> impl Iterator<Item = String> + '_ {
        self.offers.keys().cloned()
    }

    /// How many offers have no answer.
    pub(super) fn unanswered(&self) -> usize {
        self.offers.len()
    }

    pub(super) fn on_call(&mut self, call: &Call, store: &MemoryStore, engine: &Engine) {
        self.alive();
        // A framework that goes before it was written down has had no tasks.
        let known = store.records().contains_key(&Key::new(["framework"])) || call.r#type() == Type::Teardown;
        assert!(known, "ENGINE W1: {call:?}");
        match call.r#type() {
            Type::Accept => self.on_accept(call.accept.as_ref().expect("a body"), store, engine),
            Type::Decline => {
                let decline = call.decline.as_ref().expect("a body");
                decline.offer_ids.iter().for_each(|id| drop(self.answer(&id.value)));
                check_filter(decline.filters);
            }
            Type::Acknowledge => self.on_acknowledge(call.acknowledge.as_ref().expect("a body"), store),
            Type::Kill => {
                // ENGINE W4: for a task in the books it is written that it is to end.
                let task = &call.kill.as_ref().expect("a body").task_id.value;
                let record = instance(task, store).filter(|_| engine.find_task(task).is_some());
                assert!(record.as_ref().is_none_or(|record| record.contains("KILLING")), "ENGINE W4: {record:?}");
            }
            Type::Reconcile => {
                assert!(call.reconcile.as_ref().expect("a body").tasks.len() <= 1000, "I14");
            }
            Type::Teardown => {
                let engine = &store.records()[&Key::new(["engine"])];
                assert!(String::from_utf8_lossy(engine).contains("TEARING_DOWN"), "ENGINE W9");
            }
            _ => {}
        }
    }

    /// I1: every offer is answered once, and only one of this session.
    fn answer(&mut self, offer: &str) -> v1::Offer {
        let answered = self.offers.remove(offer).or_else(|| self.refused.remove(offer));
        let answered = answered.unwrap_or_else(|| panic!("I1: {offer} was answered, or isn't good"));
        self.answered.insert(offer.to_string(), answered.clone());
        answered
    }

    /// An ACCEPT was refused with 4xx: its offers have no answer again. Those of a DECLINE may get another one, later.
    pub(super) fn on_refused(&mut self, call: &Call) {
        for id in call.accept.iter().flat_map(|accept| &accept.offer_ids) {
            if let Some(offer) = self.answered.remove(&id.value) {
                self.offers.insert(id.value.clone(), offer);
            }
        }
        for id in call.decline.iter().flat_map(|decline| &decline.offer_ids) {
            self.refused.extend(self.answered.remove(&id.value).map(|offer| (id.value.clone(), offer)));
        }
    }

    fn on_accept(&mut self, accept: &call::Accept, store: &MemoryStore, engine: &Engine) {
        check_filter(accept.filters);
        let offers: Vec<v1::Offer> = accept.offer_ids.iter().map(|id| self.answer(&id.value)).collect();
        // I2: of one agent and role.
        let of = |offer: &v1::Offer| {
            (offer.agent_id.value.clone(), offer.allocation_info.as_ref().map(|info| info.role().to_string()))
        };
        assert!(offers.iter().all(|offer| of(offer) == of(&offers[0])), "I2");
        let mut there: BTreeMap<(String, String), i64> = BTreeMap::new();
        let mut ports: BTreeSet<u64> = BTreeSet::new();
        for resource in offers.iter().flat_map(|offer| &offer.resources) {
            match &resource.ranges {
                Some(ranges) => ports.extend(ranges.range.iter().flat_map(|range| range.begin..=range.end)),
                None => *there.entry(bucket(resource)).or_default() += thousandths(resource),
            }
        }
        for operation in &accept.operations {
            for task in &operation.launch.as_ref().expect("LAUNCH").task_infos {
                let id = &task.task_id.value;
                assert_eq!(task.agent_id, offers[0].agent_id, "I2");
                assert!(self.launched.insert(id.clone()), "I3: {id} was used before");
                // ENGINE W3
                assert!(instance(id, store).is_some(), "ENGINE W3: {id} has no record");
                let executor = task.executor.as_ref().filter(|executor| !executor.resources.is_empty());
                let key = executor.map(|executor| (task.agent_id.value.clone(), executor.executor_id.value.clone()));
                let fresh = executor.zip(key).map_or(&[][..], |(executor, key)| {
                    let there = self.executors.entry(key).or_default();
                    there.note(self.waited, engine);
                    let same = there.resources == executor.resources;
                    // Whoever waits for long may not believe what is only remembered, if that is of another kind.
                    let kinds = |of: &[v1::Resource]| of.iter().map(|one| one.revocable.is_some()).collect::<Vec<_>>();
                    let other = kinds(&there.resources) != kinds(&executor.resources);
                    let known = there.known && (!other || there.has_tasks(engine));
                    assert!(same || !known, "I2: another description of the same executor, {:?}", there.resources);
                    if !known && !same {
                        *there = Described { resources: executor.resources.clone(), ..Described::default() };
                    }
                    // That need not be offered if it may be there: so may one whose ACCEPT was lost with a process.
                    let lost = |other: &Task| {
                        other.executor_id.as_ref() == Some(&executor.executor_id.value)
                            && other.agent_id == task.agent_id.value
                            && incarnation(&other.task_id) < incarnation(id)
                            && !self.launched.contains(&other.task_id)
                    };
                    let fresh = !known && !there.seen && !there.late && !engine.tasks().any(|other| lost(&other));
                    there.tasks.insert(id.clone());
                    if fresh { &executor.resources } else { &[] }
                });
                let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
                let described = executor.map_or(&[][..], |executor| &executor.resources);
                for resource in task.resources.iter().chain(described) {
                    let revocable = resource.revocable.is_some();
                    let kind = *kinds.entry(&resource.name).or_insert(revocable);
                    assert_eq!(kind, revocable, "I2: revocable and not: {resource:?}");
                }
                for resource in task.resources.iter().chain(fresh) {
                    match &resource.ranges {
                        Some(ranges) => {
                            for port in ranges.range.iter().flat_map(|range| range.begin..=range.end) {
                                assert!(ports.remove(&port), "I2: port {port}");
                            }
                        }
                        None => {
                            let left = there.entry(bucket(resource)).or_default();
                            *left -= thousandths(resource);
                            assert!(*left >= 0, "I2: {resource:?}");
                        }
                    }
                }
            }
        }
    }

    /// I5, W1, ENGINE W5: with the ids and bytes received, once per delivery, and not before what it says is durable.
    fn on_acknowledge(&mut self, acknowledge: &call::Acknowledge, store: &MemoryStore) {
        let task = &acknowledge.task_id.value;
        let Some((status, times)) = self.unacknowledged.get_mut(&(task.clone(), acknowledge.uuid.to_vec())) else {
            panic!("I5: never delivered: {acknowledge:?}")
        };
        assert!(*times > 0, "I5: acknowledged twice: {acknowledge:?}");
        *times -= 1;
        assert_eq!(status.agent_id.as_ref(), Some(&acknowledge.agent_id), "I5");
        if self.last.get(task) != Some(status) {
            // What came later may have changed it again.
            return;
        }
        let record = instance(task, store);
        let is = |names: &[&str]| record.as_ref().is_some_and(|r| names.iter().any(|name| r.contains(name)));
        match status.state() {
            TaskStaging | TaskStarting => assert!(!is(&["\"PREPARED\""]), "ENGINE W5: {record:?}"),
            TaskRunning => assert!(!is(&["\"PREPARED\"", "\"STAGED\""]), "ENGINE W5: {record:?}"),
            // Which of these TASK_LOST is depends on its reason.
            // TASK_GONE_BY_OPERATOR is no proof for an instance of which there must not be two.
            TaskUnknown | TaskUnreachable | TaskKilling | TaskLost | TaskGoneByOperator => {}
            _ => assert!(record.is_none(), "ENGINE W5: {record:?}"),
        }
    }
}

/// I21; what the client returns by itself, unreadable as it is, has Mesos's default of 5 s.
fn check_filter(filters: Option<v1::Filters>) {
    let seconds = filters.unwrap_or_default().refuse_seconds();
    assert!(seconds > 0.0 && seconds <= 3600.0, "I21: {seconds}");
}

/// Equal for resources that may stand for each other.
fn bucket(resource: &v1::Resource) -> (String, String) {
    let role = resource.allocation_info.as_ref().map(|info| info.role().to_string());
    (resource.name.clone(), format!("{:?} {role:?} {:?}", resource.reservations, resource.revocable))
}

fn thousandths(resource: &v1::Resource) -> i64 {
    resource.scalar.as_ref().map_or(0, |scalar| (scalar.value * 1000.0).round() as i64)
}

fn incarnation(task: &str) -> Option<u64> {
    id::parse(task).map(|id| id.incarnation)
}

/// The record of the attempt with this task id.
fn instance(task: &str, store: &MemoryStore) -> Option<String> {
    let id = id::parse(task)?;
    let key = Key::new(["inst", id.spec, &id.index.to_string(), &id.generation.to_string()]);
    let text = String::from_utf8(store.records().get(&key)?.to_vec()).expect("text");
    text.contains(task).then_some(text)
}
