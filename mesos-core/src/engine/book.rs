//! The book of specs, slots and attempts, with the sums and orders that keep each step independent of their number.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::{Agent, Attempt, AttemptId, SlotId, SpecId, State};
use super::event::EndClass;
use super::id;
use super::launch::{Launch, Revision};
use super::placement::Peers;
use super::spec::TaskSpec;
use super::unplaced::Obstacle;
use crate::planted::planted;
use crate::resources::Shortfall;
use crate::{Instant, Key, UnixTime, v1};

/// A declared task type and its slots.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) spec: TaskSpec,
    pub(super) revision: Revision,
    /// Newest first, without the present one.
    pub(super) history: Vec<Former>,
    pub(super) paused: bool,
    /// Goes with its last attempt.
    pub(super) removed: bool,
    pub(super) slots: BTreeMap<u32, Slot>,
    pub(super) sums: Sums,
    pub(super) peers: Peers,
    /// What the role knows as the earliest moment of what waits for it,
    pub(super) first_waiting: Option<Instant>,
    /// and other roles, for which a former revision goes on while the rollout is paused.
    pub(super) first_elsewhere: BTreeMap<Arc<str>, Instant>,
    /// What the last offer that was looked at for it lacked; gone once something is placed.
    pub(super) lacking: Option<Shortfall>,
    /// Which of satisfied and degraded was told last.
    pub(super) told: Option<Standing>,
    /// The rollout that is under way.
    pub(super) rollout: Option<Rollout>,
    /// What has stood in the way since something began to wait.
    pub(super) obstacles: BTreeMap<Obstacle, u64>,
    /// When it is next looked whether something has waited for long.
    pub(super) unplaced_at: Option<Instant>,
}

/// A rollout, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rollout {
    pub(super) revision: Revision,
    pub(super) updated: u32,
    pub(super) paused: bool,
    /// If nothing happens until then.
    pub(super) stalls_at: Option<Instant>,
}

/// A revision that was wanted before.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) revision: Revision,
    /// `None` if its record can't be read.
    pub(super) launch: Option<Arc<Launch>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Progressing,
    Satisfied,
    Degraded,
}

/// What is summed over the slots of a spec.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Slots that wait, by the moment they may go on.
    pub(super) waiting: BTreeSet<(Instant, u32)>,
    /// Attempts that count.
    pub(super) live: u32,
    pub(super) wanted: u32,
    /// Wanted slots with an instance that is ready.
    pub(super) ready: u32,
    /// Those of them in which it is of the wanted revision.
    pub(super) updated: u32,
    pub(super) finished: u32,
    pub(super) held: u32,
    /// Wanted slots in which there is still something of another revision.
    pub(super) stale: u32,
    /// Slots with two instances, as the surge counts them.
    pub(super) doubles: u32,
    /// Wanted slots whose current attempt is of another revision, those that aren't ready first, and not counting
    /// those that are being replaced.
    pub(super) outdated: BTreeSet<(bool, u32)>,
    /// Slots whose successor is ready while the predecessor still stands.
    pub(super) superseded: BTreeSet<u32>,
    /// Slots whose successor is of a revision that is no longer wanted, while the current attempt is right and ready, or
    /// before the successor is of any use.
    pub(super) strays: BTreeSet<u32>,
}

/// One of a spec's instances, over all its attempts.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) wanted: bool,
    pub(super) mark: Mark,
    /// The last one that was burnt.
    pub(super) generation: u64,
    pub(super) faults: u32,
    pub(super) invalids: u32,
    pub(super) losses: u32,
    /// What `max_failures` limits.
    pub(super) failures: u32,
    pub(super) last_end: Option<LastEnd>,
    pub(super) current: Option<Box<Attempt>>,
    pub(super) successor: Option<Box<Attempt>>,
    pub(super) waiting: Option<Waiting>,
    /// A back-off that isn't over, of a demand that is no more: the next one has to wait for it, too.
    pub(super) held_until: Option<Instant>,
    /// A record that can't be read blocks the slot until a user decides.
    pub(super) blocked: bool,
    /// That of a finished or held slot; of one that waits, that in which it goes on, if it isn't the wanted one.
    pub(super) revision: Option<Revision>,
    /// The batch that holds its last change.
    pub(super) written_in: u64,
    /// What the sums hold of it.
    pub(super) contribution: Contribution,
}

/// Why a slot has no attempt and wants none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    #[default]
    None,
    Finished,
    Exhausted,
    Invalid,
}

/// A slot's demand for an attempt: in the current place, or, where that is taken, as a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) since: Instant,
    /// Not to be launched before.
    pub(super) eligible_at: Instant,
}

/// How the last task of an instance ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LastEnd {
    /// What it counts as.
    pub class: EndClass,
    /// Its last state.
    pub state: Option<v1::TaskState>,
    /// Why Mesos says so.
    pub reason: Option<v1::task_status::Reason>,
    /// A text for people.
    pub message: Option<String>,
    /// When; the epoch if there was no clock.
    pub at: UnixTime,
    /// How long it had been running; `None` if it never did.
    pub ran_for: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contribution {
    waiting: Option<Instant>,
    live: u32,
    wanted: bool,
    ready: bool,
    updated: bool,
    finished: bool,
    held: bool,
    double: bool,
    outdated: Option<bool>,
    superseded: bool,
    stray: bool,
    stale: bool,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            wanted: true,
            mark: Mark::None,
            generation: 0,
            faults: 0,
            invalids: 0,
            losses: 0,
            failures: 0,
            last_end: None,
            current: None,
            successor: None,
            waiting: None,
            held_until: None,
            blocked: false,
            revision: None,
            written_in: 0,
            contribution: Contribution::default(),
        }
    }
}

impl Slot {
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.current.iter().chain(&self.successor).map(|attempt| &**attempt)
    }

    pub(super) fn attempts_mut(&mut self) -> impl Iterator<Item = &mut Attempt> {
        self.current.iter_mut().chain(&mut self.successor).map(|attempt| &mut **attempt)
    }

    pub(super) fn attempt(&self, generation: u64) -> Option<&Attempt> {
        self.attempts().find(|attempt| attempt.id.generation == generation)
    }

    pub(super) fn attempt_mut(&mut self, generation: u64) -> Option<&mut Attempt> {
        self.attempts_mut().find(|attempt| attempt.id.generation == generation)
    }

    /// Whether it is given up.
    pub(super) const fn is_held(&self) -> bool {
        matches!(self.mark, Mark::Exhausted | Mark::Invalid)
    }

    /// Starts its counts anew; if it was finished or held, it is so no longer.
    pub(super) const fn forgive(&mut self) {
        if !matches!(self.mark, Mark::None) {
            self.mark = Mark::None;
            self.revision = None;
        }
        self.faults = 0;
        self.invalids = 0;
        self.failures = 0;
        self.held_until = None;
    }

    /// Takes an attempt out; a successor moves up into an empty place.
    pub(super) fn remove(&mut self, generation: u64) -> Option<Box<Attempt>> {
        let matches = |attempt: &Option<Box<Attempt>>| attempt.as_ref().is_some_and(|a| a.id.generation == generation);
        if matches(&self.successor) {
            return self.successor.take();
        }
        if matches(&self.current) {
            let gone = self.current.take();
            self.current = self.successor.take();
            return gone;
        }
        None
    }

    /// Whether there is anything that would be lost without a record of its own: not if it has the attempt of its last
    /// generation and nothing behind it, or waits for its very first.
    pub(super) fn has_past(&self, now: Instant) -> bool {
        let held_back = |waiting: Waiting| waiting.eligible_at > now || self.current.is_some();
        !self.wanted
            || self.mark != Mark::None
            || [self.faults, self.invalids, self.losses, self.failures] != [0; 4]
            || self.last_end.is_some()
            || self.revision.is_some()
            || self.waiting.is_some_and(held_back)
            || self.held_until.is_some_and(|until| until > now)
            || self.generation > 0 && self.attempt(self.generation).is_none()
    }

    /// Whether it is over and done with: nothing to wait for and nothing there, nor anything hidden.
    pub(super) fn is_spent(&self) -> bool {
        !self.wanted && !self.blocked && self.current.is_none() && self.successor.is_none()
    }

    /// Whether it waits for a place beside a task that is to stay until then, as the surge counts it.
    pub(super) fn is_second_waiting(&self) -> bool {
        let stays = self.current.as_ref().is_some_and(|current| !matches!(current.state, State::Killing(_)));
        self.waits_beside() && stays
    }

    /// Whether it waits for a place beside a task, that is to stay or not, as the surge counts it.
    fn waits_beside(&self) -> bool {
        self.contribution.double && self.successor.is_none() && self.waiting.is_some()
    }

    fn contribution(&self, revision: &Revision) -> Contribution {
        let replaced = |a: &Attempt| matches!(a.state, State::Killing(_));
        let double = |a: &Attempt| a.counts() && a.state != State::Killing(super::attempt::KillReason::Duplicate);
        let outdated = self.current.as_ref().filter(|a| {
            self.wanted
                // What was given up in the new revision isn't tried again by itself.
                && self.mark == Mark::None
                // What is blocked gets no other one that could take its place.
                && !self.blocked
                && a.revision != *revision
                && !replaced(a)
                && self.successor.is_none()
                && self.waiting.is_none()
                && a.counts()
        });
        let beside = u32::from(self.waiting.is_some() && !self.blocked);
        let ready = |a: &Attempt| a.ready && a.state == State::Running;
        Contribution {
            waiting: self.waiting.filter(|_| !self.blocked).map(|waiting| waiting.eligible_at),
            live: self.attempts().filter(|a| a.counts()).count() as u32,
            wanted: self.wanted,
            ready: self.wanted && self.attempts().any(ready),
            updated: self.wanted && self.attempts().any(|a| ready(a) && a.revision == *revision),
            finished: self.wanted && self.mark == Mark::Finished,
            held: self.wanted && (matches!(self.mark, Mark::Exhausted | Mark::Invalid) || self.blocked),
            double: self.attempts().filter(|a| double(a)).count() as u32 + beside > 1,
            outdated: outdated.map(|a| a.ready),
            stale: self.wanted && self.attempts().any(|a| a.counts() && a.revision != *revision),
            superseded: match (&self.current, &self.successor) {
                (Some(old), Some(new)) => new.ready && !replaced(old) && old.counts() && old.revision != *revision,
                _ => false,
            },
            stray: match (&self.current, &self.successor) {
                (Some(old), Some(new)) => {
                    // What is out of sight, or isn't ready, is no reason to end one that is.
                    let right = old.ready && old.state == State::Running && old.revision == *revision;
                    new.revision != *revision && !replaced(new) && (right || !new.ready)
                }
                _ => false,
            },
        }
    }
}

impl Spec {
    pub(super) fn new(spec: TaskSpec) -> Self {
        let (revision, peers) = (spec.revision(), Peers::new(&spec.policy.constraints));
        Self {
            spec,
            revision,
            history: Vec::new(),
            paused: false,
            removed: false,
            slots: BTreeMap::new(),
            sums: Sums::default(),
            peers,
            first_waiting: None,
            first_elsewhere: BTreeMap::new(),
            lacking: None,
            told: None,
            rollout: None,
            obstacles: BTreeMap::new(),
            unplaced_at: None,
        }
    }

    /// How many slots may have two instances. While its rollout is paused none gets a second one.
    pub(super) fn surge(&self) -> u32 {
        let (surge, _) = self.spec.policy.budget();
        if self.paused { 0 } else { surge }
    }

    /// Whether what waits in a slot would be one too many, as the surge may have become smaller meanwhile, or duplicates
    /// are forbidden by now. Beside a task that is being killed it has only to wait for the end of that.
    pub(super) fn is_crowded(&self, index: u32) -> bool {
        let Some(slot) = self.slots.get(&index) else { return false };
        let forbidden = slot.current.is_some() && self.spec.policy.is_strict() && !planted!(StrictReplaced);
        forbidden || self.sums.doubles > self.surge() && slot.waits_beside()
    }

    /// What went into the tasks of a former revision.
    pub(super) fn former(&self, revision: Revision) -> Option<&Arc<Launch>> {
        self.history.iter().find(|former| former.revision == revision)?.launch.as_ref()
    }

    /// What went into the tasks of a revision; where that isn't known any more, what goes into those to come.
    pub(super) fn launch_of(&self, revision: Revision) -> &Launch {
        let former = self.former(revision).filter(|_| revision != self.revision);
        former.map_or(&self.spec.launch, |former| former)
    }

    /// Whether what takes the place of an instance of this former revision is of that one, too.
    pub(super) fn stays_in(&self, revision: Revision) -> bool {
        self.paused && self.former(revision).is_some()
    }

    /// Whether there is, or is to be, an instance of this revision.
    pub(super) fn uses(&self, revision: Revision) -> bool {
        self.slots.values().any(|slot| {
            let waits = slot.waiting.is_some() && slot.revision == Some(revision);
            waits || slot.attempts().any(|attempt| attempt.revision == revision)
        })
    }

    /// What the next instance of a slot is made of, and whether that is what is wanted.
    pub(super) fn next(&self, index: u32) -> (Revision, &Launch, bool) {
        let own = self.slots.get(&index).filter(|_| self.paused).and_then(|slot| slot.revision);
        match own.and_then(|revision| Some((revision, self.former(revision)?))) {
            Some((revision, launch)) => (revision, launch, false),
            None => (self.revision, &self.spec.launch, true),
        }
    }

    /// Whether something may go on in another role.
    pub(super) fn has_other_roles(&self) -> bool {
        let other = |former: &Former| former.launch.as_ref().is_some_and(|launch| launch.role != self.spec.launch.role);
        self.paused && self.history.iter().any(other)
    }

    /// Brings the sums up to date after a change of a slot, or of the revision. Call it for each slot that changed.
    pub(super) fn refresh(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(&index) else { return };
        for attempt in slot.attempts_mut() {
            let counts = attempt.counts();
            if core::mem::replace(&mut attempt.counted, counts) != counts {
                self.peers.change(attempt, counts);
            }
        }
        let new = slot.contribution(&self.revision);
        let old = core::mem::replace(&mut slot.contribution, new);
        self.apply(index, old, new);
    }

    /// Counts for other constraints from now on.
    pub(super) fn recount(&mut self) {
        self.peers = Peers::new(&self.spec.policy.constraints);
        for attempt in self.slots.values().flat_map(Slot::attempts).filter(|attempt| attempt.counted) {
            self.peers.change(attempt, true);
        }
    }

    /// Takes a slot out.
    pub(super) fn remove_slot(&mut self, index: u32) -> Option<Slot> {
        let slot = self.slots.remove(&index)?;
        self.apply(index, slot.contribution, Contribution::default());
        Some(slot)
    }

    fn apply(&mut self, index: u32, old: Contribution, new: Contribution) {
        if old == new {
            return;
        }
        let sums = &mut self.sums;
        if let Some(at) = old.waiting {
            sums.waiting.remove(&(at, index));
        }
        if let Some(at) = new.waiting {
            sums.waiting.insert((at, index));
        }
        if let Some(ready) = old.outdated {
            sums.outdated.remove(&(ready, index));
        }
        if let Some(ready) = new.outdated {
            sums.outdated.insert((ready, index));
        }
        for (set, old, new) in
            [(&mut sums.superseded, old.superseded, new.superseded), (&mut sums.strays, old.stray, new.stray)]
        {
            match (old, new) {
                (true, false) => drop(set.remove(&index)),
                (false, true) => drop(set.insert(index)),
                _ => {}
            }
        }
        let change = |sum: &mut u32, old: u32, new: u32| *sum = (*sum + new).saturating_sub(old);
        change(&mut sums.live, old.live, new.live);
        for (sum, old, new) in [
            (&mut sums.wanted, old.wanted, new.wanted),
            (&mut sums.ready, old.ready, new.ready),
            (&mut sums.updated, old.updated, new.updated),
            (&mut sums.finished, old.finished, new.finished),
            (&mut sums.held, old.held, new.held),
            (&mut sums.doubles, old.double, new.double),
            (&mut sums.stale, old.stale, new.stale),
        ] {
            change(sum, old.into(), new.into());
        }
    }

    pub(super) fn standing(&self) -> Standing {
        if self.sums.held > 0 {
            Standing::Degraded
        } else if self.sums.ready + self.sums.finished >= self.sums.wanted
            && (self.sums.stale == 0 || planted!(SatisfiedEarly))
        {
            Standing::Satisfied
        } else {
            Standing::Progressing
        }
    }

    /// So many of the lowest indices that are free.
    pub(super) fn free_indices(&self, count: u32) -> Vec<u32> {
        (0..=u32::MAX).filter(|index| !self.slots.contains_key(index)).take(count as usize).collect()
    }
}

/// All specs, and the way from a task id to its attempt.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) specs: BTreeMap<SpecId, Spec>,
    names: BTreeMap<Arc<str>, SpecId>,
    /// By how task ids write the name.
    parts: BTreeMap<Box<str>, SpecId>,
    tasks: BTreeMap<Arc<str>, AttemptId>,
    /// No slot that is made anew uses a generation up to this one: an instance of its number may have.
    pub(super) burnt: u64,
    /// The records that slots have in the store, and all those of specs that nobody knows, or that can't be read.
    pub(super) recorded: BTreeSet<Key>,
    /// By agent.
    there: BTreeSet<(Arc<str>, AttemptId)>,
    next: u32,
}

impl Book {
    pub(super) fn id(&self, name: &str) -> Option<SpecId> {
        self.names.get(name).copied()
    }

    /// The spec whose name looks like this in task ids.
    pub(super) fn of_part(&self, part: &str) -> Option<&Spec> {
        self.specs.get(self.parts.get(part)?)
    }

    pub(super) fn named(&self, name: &str) -> Option<(SpecId, &Spec)> {
        let id = self.id(name)?;
        self.specs.get(&id).map(|spec| (id, spec))
    }

    pub(super) fn insert(&mut self, spec: Spec) -> SpecId {
        self.next += 1;
        let id = SpecId(self.next);
        self.names.insert(spec.spec.name().into(), id);
        self.parts.insert(id::spec_part(spec.spec.name()).into(), id);
        self.specs.insert(id, spec);
        id
    }

    pub(super) fn remove(&mut self, id: SpecId) -> Option<Spec> {
        let spec = self.specs.remove(&id)?;
        self.names.remove(spec.spec.name());
        self.parts.remove(&*id::spec_part(spec.spec.name()));
        Some(spec)
    }

    pub(super) fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.specs.get(&id.spec)?.slots.get(&id.index)
    }

    pub(super) fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.specs.get_mut(&id.spec)?.slots.get_mut(&id.index)
    }

    pub(super) fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.slot(id.slot)?.attempt(id.generation)
    }

    pub(super) fn attempt_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.slot_mut(id.slot)?.attempt_mut(id.generation)
    }

    /// Puts an attempt into its slot: as the current one if that place is free, else as the successor.
    pub(super) fn place(&mut self, attempt: Attempt) {
        self.tasks.insert(attempt.task_id.clone(), attempt.id);
        self.there.insert((attempt.agent.id.clone(), attempt.id));
        let Some(slot) = self.slot_mut(attempt.id.slot) else { return };
        // One that comes back may be of a time that its slot knows nothing of.
        slot.generation = slot.generation.max(attempt.id.generation);
        let place = if slot.current.is_none() { &mut slot.current } else { &mut slot.successor };
        *place = Some(attempt.into());
    }

    /// Takes an attempt out of its slot.
    pub(super) fn take(&mut self, id: AttemptId) -> Option<Attempt> {
        let spec = self.specs.get_mut(&id.slot.spec)?;
        let attempt = spec.slots.get_mut(&id.slot.index)?.remove(id.generation)?;
        if attempt.counted {
            spec.peers.change(&attempt, false);
        }
        self.tasks.remove(&attempt.task_id);
        self.there.remove(&(attempt.agent.id.clone(), attempt.id));
        Some(*attempt)
    }

    /// The same agent as another attempt's, if that is described in the same way.
    pub(super) fn share(&self, agent: Agent) -> Arc<Agent> {
        let there = self.on_agent(&agent.id).next().filter(|attempt| *attempt.agent == agent);
        there.map_or_else(|| Arc::new(agent), |attempt| attempt.agent.clone())
    }

    pub(super) fn find(&self, task_id: &str) -> Option<AttemptId> {
        self.tasks.get(task_id).copied()
    }

    /// All on one agent.
    pub(super) fn on_agent<'a>(&'a self, agent_id: &str) -> impl Iterator<Item = &'a Attempt> + use<'a> {
        let first = AttemptId { slot: SlotId { spec: SpecId(0), index: 0 }, generation: 0 };
        let agent: Arc<str> = agent_id.into();
        let there = self.there.range((agent.clone(), first)..).take_while(move |(id, _)| *id == agent);
        there.filter_map(|(_, id)| self.attempt(*id))
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.specs.values().flat_map(|spec| spec.slots.values()).flat_map(Slot::attempts)
    }
}
