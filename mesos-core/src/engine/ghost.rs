//! Tasks that are nobody's: given up by their slots, or never known. They are killed when they show life.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::{Attempt, KillReason, Since, SlotId, State};
use super::book::Mark;
use super::config::UnknownTasks;
use super::engine::{After, Engine, Timer};
use super::event::{Event, GhostReason};
use super::reconcile::Subject;
use super::table::Row;
use super::writer::Effect;
use super::{id, kills};
use crate::planted::planted;
use crate::{Instant, Update, v1};

/// A master forgets agents after this time, and so do we.
const FORGET: Duration = Duration::from_secs(14 * 86_400);
const MOST: usize = 10_000;
/// So long after an end its task may still be told to live.
const ECHO: Duration = Duration::from_secs(600);

/// A task that isn't counted.
#[derive(Clone, Debug)]
pub(super) struct Ghost {
    pub(super) agent_id: Arc<str>,
    /// What it was; `None` if it never was ours as far as we know, and then there is no record of it.
    pub(super) was: Option<Was>,
    pub(super) since: Since,
    /// It has shown life, and is being killed.
    pub(super) kills_sent: u32,
    pub(super) due: Option<Instant>,
    /// Counts them in the order in which they came.
    pub(super) number: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Was {
    pub(super) spec: Arc<str>,
    pub(super) why: GhostReason,
    pub(super) attempt: Box<Attempt>,
}

impl Ghost {
    /// What becomes of an attempt that is no longer counted.
    pub(super) fn of(attempt: Attempt, spec: &str, why: GhostReason, since: Since) -> Self {
        let agent_id = attempt.agent.id.clone();
        let was = Was { spec: spec.into(), why, attempt: attempt.into() };
        Self { was: Some(was), ..Self::stranger(agent_id, since) }
    }

    /// What it is found by if somebody asks for its slot.
    fn slot(&self, task_id: &Arc<str>) -> Option<(Arc<str>, u32, Arc<str>)> {
        self.was.as_ref().map(|was| (was.spec.clone(), was.attempt.id.slot.index, task_id.clone()))
    }

    /// A task that never was ours as far as we know.
    fn stranger(agent_id: Arc<str>, since: Since) -> Self {
        Self { agent_id, was: None, since, kills_sent: 0, due: None, number: 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ghosts {
    by_id: BTreeMap<Arc<str>, Ghost>,
    /// In the order in which they came.
    by_age: BTreeSet<(u64, Arc<str>)>,
    /// Those that were ours, by spec and index.
    by_slot: BTreeSet<(Arc<str>, u32, Arc<str>)>,
    next: u64,
}

impl Ghosts {
    pub(super) fn get(&self, task_id: &str) -> Option<&Ghost> {
        self.by_id.get(task_id)
    }

    pub(super) fn get_mut(&mut self, task_id: &str) -> Option<&mut Ghost> {
        self.by_id.get_mut(task_id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Ghost)> {
        self.by_id.iter()
    }

    fn insert(&mut self, task_id: Arc<str>, mut ghost: Ghost) {
        self.remove(&task_id);
        self.next += 1;
        ghost.number = self.next;
        self.by_age.insert((self.next, task_id.clone()));
        self.by_slot.extend(ghost.slot(&task_id));
        self.by_id.insert(task_id, ghost);
    }

    fn remove(&mut self, task_id: &Arc<str>) -> Option<Ghost> {
        let ghost = self.by_id.remove(task_id)?;
        self.by_age.remove(&(ghost.number, task_id.clone()));
        if let Some(slot) = ghost.slot(task_id) {
            self.by_slot.remove(&slot);
        }
        Some(ghost)
    }

    /// What was given up of a spec, from this index on.
    fn given_up(&self, spec: &str, index: u32) -> impl Iterator<Item = &Was> {
        let from: (Arc<str>, u32, Arc<str>) = (spec.into(), index, "".into());
        let there = self.by_slot.range(from..).take_while(move |(name, ..)| **name == *spec);
        there.filter_map(|(.., task_id)| self.by_id.get(task_id)?.was.as_ref())
    }

    /// The oldest one, if there are too many.
    fn surplus(&self) -> Option<Arc<str>> {
        let (_, oldest) = self.by_age.first().filter(|_| self.by_age.len() > MOST)?;
        Some(oldest.clone())
    }
}

/// Tasks whose end was told a short while ago. The master tells of an end that came while nobody was subscribed, and
/// afterwards of the statuses before it that the agent repeats, since nobody has acknowledged them.
#[derive(Debug, Default)]
pub(super) struct Ended {
    at: BTreeMap<Arc<str>, Instant>,
    in_order: VecDeque<(Instant, Arc<str>)>,
}

impl Ended {
    pub(super) fn insert(&mut self, now: Instant, task_id: Arc<str>) {
        self.forget(now, MOST - 1);
        if self.at.insert(task_id.clone(), now).is_none() {
            self.in_order.push_back((now, task_id));
        }
    }

    /// Keeps those that may still explain something, and no more than so many.
    pub(super) fn forget(&mut self, now: Instant, most: usize) {
        while self.in_order.front().is_some_and(|(at, _)| *at + ECHO <= now || self.in_order.len() > most) {
            if let Some((_, oldest)) = self.in_order.pop_front() {
                self.at.remove(&oldest);
            }
        }
    }

    /// Whether what is told of it now was true before its end.
    fn explains(&self, now: Instant, task_id: &str) -> bool {
        self.at.get(task_id).is_some_and(|at| now < *at + ECHO)
    }
}

impl Engine {
    /// Somebody may come back.
    pub(super) fn haunt(&mut self, task_id: Arc<str>, ghost: Ghost) {
        if ghost.was.is_some() {
            self.touch_ghost(&task_id);
        }
        self.ghosts.insert(task_id.clone(), ghost);
        self.set_ghost_timer(&task_id);
        while let Some(oldest) = self.ghosts.surplus() {
            self.lay(&oldest);
        }
    }

    /// It will not come back any more.
    pub(super) fn lay(&mut self, task_id: &Arc<str>) {
        if let Some(ghost) = self.ghosts.remove(task_id) {
            if let Some(due) = ghost.due {
                self.timers.remove(&(due, Timer::Ghost(task_id.clone())));
            }
            self.reconciler.answered(&Subject::Ghost(task_id.clone()));
            if ghost.was.is_some() && !planted!(GhostStays) {
                self.touch_ghost(task_id);
            }
        }
    }

    pub(super) fn set_ghost_timer(&mut self, task_id: &Arc<str>) {
        let now = self.now;
        let grace = kills::grace(self.ghost_kill_policy(task_id).as_ref());
        let wait = |ghost: &Ghost| match ghost.kills_sent {
            0 => ghost.since.plus(FORGET).max(now),
            sent => now + kills::wait(grace, sent),
        };
        let Some(ghost) = self.ghosts.get_mut(task_id) else { return };
        let (old, new) = (ghost.due, wait(ghost));
        ghost.due = Some(new);
        if let Some(old) = old {
            self.timers.remove(&(old, Timer::Ghost(task_id.clone())));
        }
        self.timers.insert((new, Timer::Ghost(task_id.clone())));
    }

    pub(super) fn on_ghost_timer(&mut self, task_id: &Arc<str>) {
        let Some(ghost) = self.ghosts.get(task_id) else { return };
        if ghost.since.elapsed(self.now) >= FORGET {
            self.lay(task_id);
        } else {
            if ghost.kills_sent > 0 {
                self.kill_ghost(task_id);
            }
            self.set_ghost_timer(task_id);
        }
    }

    /// A8: a user wants the end of a task that isn't counted. Whether there is such a one.
    pub(super) fn kill_given_up(&mut self, task_id: &str) -> bool {
        let Some((task_id, _)) = self.ghosts.by_id.get_key_value(task_id) else { return false };
        let task_id = task_id.clone();
        // It is not to take its place again, should it be out of sight until then. Why it was given up stays true.
        if let Some(was) = self.ghosts.get_mut(&task_id).and_then(|ghost| ghost.was.as_mut()) {
            was.attempt.state = State::Killing(KillReason::User);
            self.touch_ghost(&task_id);
        }
        self.kill_ghost(&task_id);
        self.set_ghost_timer(&task_id);
        true
    }

    /// Sends KILL, once what is known of the task is durable.
    fn kill_ghost(&mut self, task_id: &Arc<str>) {
        if let Some(ghost) = self.ghosts.get_mut(task_id) {
            ghost.kills_sent = ghost.kills_sent.saturating_add(1);
            self.later(After::Everything, Effect::KillGhost(task_id.clone()));
        }
    }

    /// A new session: what was being killed is asked to end again, as nobody knows what has arrived.
    pub(super) fn kill_ghosts_again(&mut self) {
        let most = self.config.max_kills as usize;
        let killed = self.ghosts.by_id.iter_mut().filter(|(_, ghost)| ghost.kills_sent > 0).take(most);
        let ids: Vec<Arc<str>> = killed
            .map(|(task_id, ghost)| {
                ghost.kills_sent = 0;
                task_id.clone()
            })
            .collect();
        for task_id in ids {
            self.kill_ghost(&task_id);
            self.set_ghost_timer(&task_id);
        }
    }

    /// How a task is killed that was ours.
    fn ghost_kill_policy(&self, task_id: &str) -> Option<v1::KillPolicy> {
        let was = self.ghosts.get(task_id)?.was.as_ref()?;
        self.book.named(&was.spec)?.1.spec.launch.task.kill_policy
    }

    pub(super) fn send_ghost_kill(&mut self, task_id: &Arc<str>) {
        let may = self.may_call();
        let policy = self.ghost_kill_policy(task_id);
        let Some(ghost) = self.ghosts.get(task_id).filter(|_| may) else { return };
        let agent = Some(&*ghost.agent_id).filter(|id| !id.is_empty());
        // Lost calls are repeated by the timer.
        let before = ghost.kills_sent.saturating_sub(1);
        if self.client.calls().kill(&**task_id, agent, policy).is_ok() {
            self.counters.kill(before);
        }
    }

    /// A status of a ghost.
    pub(super) fn on_ghost(&mut self, task_id: &Arc<str>, update: &Update) {
        let was = self.ghosts.get(task_id).and_then(|ghost| ghost.was.as_ref());
        if let Some(was) = was.filter(|_| update.source() == Some(v1::task_status::Source::Executor)) {
            // It is likely to be there.
            self.executors.remember(&was.attempt);
        }
        match Row::of(update, false) {
            row if row.is_life() => {
                if self.readopt(task_id, update) {
                    return;
                }
                if self.ghosts.get(task_id).is_some_and(|ghost| ghost.kills_sent == 0) {
                    self.kill_ghost(task_id);
                    self.set_ghost_timer(task_id);
                }
            }
            // Nobody's, and no longer to be seen: should it show life again, it is found again.
            Row::Unreachable | Row::Unknown if self.ghosts.get(task_id).is_some_and(|ghost| ghost.was.is_none()) => {
                self.lay(task_id);
            }
            // It is gone, or isn't to be seen. Should it show life, it is killed again.
            Row::GoneByOperator | Row::DrainedForGood | Row::Unreachable | Row::Unknown => {
                if let Some(ghost) = self.ghosts.get_mut(task_id) {
                    ghost.kills_sent = 0;
                }
                self.set_ghost_timer(task_id);
            }
            // It says itself that it ends.
            Row::Killing => {}
            _ => {
                self.ended_lately.insert(self.now, task_id.clone());
                self.lay(task_id);
            }
        }
    }

    /// A ghost that shows life takes its place again, if nobody else has.
    fn readopt(&mut self, task_id: &Arc<str>, update: &Update) -> bool {
        let Some(Ghost { was: Some(was), kills_sent: 0, .. }) = self.ghosts.get(task_id) else { return false };
        if was.why == GhostReason::Abandoned || was.attempt.state == State::Killing(KillReason::User) {
            return false;
        }
        let Some(spec) = self.book.id(&was.spec) else { return false };
        let slot_id = SlotId { spec, index: was.attempt.id.slot.index };
        let revision = self.book.specs.get(&spec).map(|spec| spec.revision);
        let Some(slot) = self.book.slot(slot_id) else { return false };
        let alone = slot.current.is_none() && slot.successor.is_none();
        let prepared = slot.attempts().map(|a| (a.id, a.state)).find(|(_, state)| *state == State::Prepared);
        let free = planted!(AdoptedBeside) || alone || slot.successor.is_none() && prepared.is_some();
        let fits = slot.wanted && slot.mark == Mark::None && revision == Some(was.attempt.revision);
        if !free || !fits {
            return false;
        }
        let was = was.clone();
        // First, so that its place doesn't take it back for itself once that is free.
        self.lay(task_id);
        if let Some((prepared, _)) = prepared {
            self.cancel_of(prepared);
        }
        self.adopt(slot_id, &was.attempt, update);
        true
    }

    /// A task of this slot that was given up, and that may still run: nobody has said that it is dead.
    pub(super) fn given_up_of(&self, slot_id: SlotId) -> Option<&Was> {
        let spec = self.book.specs.get(&slot_id.spec)?;
        let given_up = self.ghosts.given_up(spec.spec.name(), slot_id.index);
        let mut given_up = given_up.take_while(|was| was.attempt.id.slot.index == slot_id.index);
        given_up.find(|was| !matches!(was.why, GhostReason::DeclaredDead | GhostReason::GoneByOperator))
    }

    /// An empty strict slot gets back the task that was given up while nobody wanted its place, or duplicates were allowed:
    /// that may still run, so it is to end before another one begins (I6). It may be in sight by now, so that its time to
    /// end runs: it is asked for. Whether there is one.
    pub(super) fn take_back(&mut self, slot_id: SlotId) -> bool {
        if !self.book.specs.get(&slot_id.spec).is_some_and(|spec| spec.spec.policy.is_strict()) {
            return false;
        }
        let was = self.given_up_of(slot_id);
        let Some(mut attempt) = was.map(|was| was.attempt.again(slot_id, self.now)) else { return false };
        let (id, task_id) = (attempt.id, attempt.task_id.clone());
        attempt.state = State::Unreachable;
        self.lay(&task_id);
        self.book.place(attempt);
        self.begin_kill(id, KillReason::Scale);
        self.kill_lost(id);
        self.ask(id, Duration::ZERO);
        true
    }

    /// A status of a task that isn't known (rule X).
    pub(super) fn on_unknown(&mut self, update: &Update, row: Row) {
        let task_id = update.task_id();
        #[cfg(planted)]
        if planted!(AnswerDoubles) && !row.is_life() {
            self.launch_again(task_id);
        }
        let reconciled = update.reason() == Some(v1::task_status::Reason::Reconciliation);
        // An agent that was away sends what it had to say from the start.
        let old = self.ended_lately.explains(self.now, task_id) || self.has_ended(task_id) && !reconciled;
        if (!row.is_life() && !planted!(KillsTheDead)) || old {
            return;
        }
        // The first start of a lost store would take the ids of another first start for its own.
        let made_now = self.incarnation > 1 && id::parse(task_id).is_some_and(|id| id.incarnation == self.incarnation);
        let known = self.knew_framework && !self.quarantined.hides_tasks();
        let armed = (known || made_now) && !planted!(StrangerLives);
        let killed = armed && self.config.unknown_tasks == UnknownTasks::Kill;
        let event = Event::UnknownTask {
            task_id: task_id.to_string(),
            agent_id: update.agent_id().map(ToString::to_string),
            state: update.state(),
            killed,
        };
        self.tell(None, event);
        if killed {
            let ghost = Ghost::stranger(update.agent_id().unwrap_or_default().into(), Since::now(self.now));
            let task_id: Arc<str> = task_id.into();
            self.haunt(task_id.clone(), ghost);
            self.kill_ghost(&task_id);
            self.set_ghost_timer(&task_id);
        }
    }

    /// A planted bug: what is heard twice is done twice.
    #[cfg(planted)]
    fn launch_again(&mut self, task_id: &str) {
        let Some(id) = id::parse(task_id) else { return };
        if let Some(spec) = self.book.id(id.spec) {
            self.wait(SlotId { spec, index: id.index });
        }
    }

    /// Whether this is one of our tasks of which we know that it has ended.
    fn has_ended(&self, task_id: &str) -> bool {
        let Some(id) = id::parse(task_id) else { return false };
        let slot = self.book.of_part(id.spec).and_then(|spec| spec.slots.get(&id.index));
        id.incarnation <= self.incarnation && slot.is_some_and(|slot| slot.generation >= id.generation)
    }
}

/// The key of a ghost's record.
pub(super) fn key(task_id: &str) -> crate::Key {
    crate::Key::new(["ghost", task_id])
}
