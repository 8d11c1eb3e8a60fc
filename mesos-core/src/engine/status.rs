//! A status has come: what it says is worked off, made durable, and only then acknowledged.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::attempt::{Attempt, AttemptId, KillReason, Last, Since, SlotId, State};
use super::engine::{After, Engine};
use super::event::{EndClass, Event, GhostReason};
use super::id::cut;
use super::reconcile::{AGAIN, Subject};
use super::spec::OnReturn;
use super::table::{self, Cell, Row};
use super::writer::Effect;
use crate::planted::planted;
use crate::{Update, v1};

/// So many acknowledgements may wait for the store; agents repeat what isn't acknowledged.
const HELD: usize = 10_000;
/// What is kept of what a peer says is bounded: records have to fit a store.
const UUID: usize = 64;
const ID: usize = 255;
const MESSAGE: usize = 1024;

impl Engine {
    /// The steps of ENGINE 1.3, macro U.
    pub(super) fn on_update(&mut self, update: &Update) {
        let task_id = update.task_id();
        if self.quarantined.is_orphan(task_id) {
            // Who goes on with it has to hear this: its agent repeats what isn't acknowledged.
            return;
        }
        let after = if let Some(id) = self.book.find(task_id) {
            if planted!(DuplicateSilent) && self.has_dealt_with(id, update) {
                return;
            }
            self.on_attempt(id, update);
            After::Slot(id.slot)
        } else if self.ghosts.get(task_id).is_some() {
            let task_id: Arc<str> = task_id.into();
            if !planted!(AskedForEver) {
                self.reconciler.answered(&Subject::Ghost(task_id.clone()));
            }
            self.on_ghost(&task_id, update);
            After::Everything
        } else {
            self.on_unknown(update, Row::of(update, false));
            // It may be one whose end waits for the store.
            After::Everything
        };
        self.receive(update, after);
    }

    /// A status in a state of a later Mesos says nothing that is understood; but its agent waits.
    pub(super) fn on_malformed(&mut self, record: &[u8]) {
        let Ok(event) = v1::scheduler::Event::decode(record) else { return };
        let Some(status) = event.update.map(|update| update.status) else { return };
        let (Some(uuid), Some(agent)) = (status.uuid.filter(|uuid| !uuid.is_empty()), status.agent_id) else { return };
        if v1::TaskState::try_from(status.state).is_err() && self.writer.held_acknowledgements() < HELD {
            let task_id = status.task_id.value.into();
            self.counters.unreadable += 1;
            self.later(After::Nothing, Effect::Acknowledge { agent_id: agent.value, task_id, uuid });
        }
    }

    /// Every receipt is acknowledged, once what it changed is durable.
    fn receive(&mut self, update: &Update, after: After) {
        let (Some(uuid), Some(agent)) = (update.uuid(), update.agent_id()) else { return };
        if self.writer.held_acknowledgements() >= HELD {
            return;
        }
        let effect = Effect::Acknowledge {
            agent_id: agent.to_string(),
            task_id: update.task_id().into(),
            uuid: Bytes::copy_from_slice(uuid),
        };
        self.later(if planted!(AckEarly) { After::Nothing } else { after }, effect);
    }

    fn on_attempt(&mut self, id: AttemptId, update: &Update) {
        let lost = planted!(UpdateLost) && self.book.attempt(id).is_some_and(|a| a.answered_in != self.session);
        self.heard(id);
        let repeated = self.has_dealt_with(id, update);
        if repeated {
            self.counters.repeated += 1;
        }
        if lost || repeated {
            return;
        }
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        let row = Row::of(update, attempt.state == State::Launching);
        let state = attempt.state;
        // An agent that was away sends what it had to say from the start.
        let stale = row == Row::Starting && attempt.running.is_some();
        self.counters.stale += u64::from(stale);
        let changed = merge(attempt, update, stale);
        match table::cell(state, row) {
            cell @ (Cell::Merge | Cell::KillAgain | Cell::KillSeen) => {
                match cell {
                    Cell::KillAgain => self.kill_again(id),
                    Cell::KillSeen => self.kill_seen(id),
                    _ => {}
                }
                if changed {
                    self.touch_attempt(id);
                    self.tell_task(id, Event::TaskUpdated);
                }
            }
            Cell::Staged => {
                if state == State::Launching {
                    self.staged(id);
                } else if changed {
                    self.touch_attempt(id);
                }
                if state == State::Launching || changed {
                    self.tell_task(id, Event::TaskUpdated);
                }
            }
            Cell::Running => self.running(id, state, changed),
            Cell::KilledByOthers if self.is_replaced(id) => self.begin_kill(id, KillReason::Duplicate),
            Cell::KilledByOthers => {
                if matches!(state, State::Unreachable | State::Doubtful) {
                    // Its end opens its place.
                    self.close_absence(id);
                }
                if let Some(attempt) = self.book.attempt_mut(id) {
                    attempt.inactive = false;
                }
                self.set_state(id, State::Killing(KillReason::External));
                self.touch_attempt(id);
                self.tell_task(id, Event::TaskUpdated);
            }
            Cell::Unreachable => self.unreachable(id, update.unreachable_since()),
            Cell::Return(running) => self.returned(id, running || stale),
            Cell::Doubt => self.doubt(id),
            Cell::DoubtAgain => self.doubt_again(id),
            // Being killed already: the reason stands.
            Cell::Abandon => self.abandon(id, KillReason::User),
            Cell::End(class) => {
                let class = self.class_of(id, state, class);
                if row.is_end_for_good() {
                    self.ended_lately.insert(self.now, update.task_id().into());
                }
                if row == Row::Error {
                    self.refused(id);
                }
                self.end(id, class);
            }
            Cell::EndWithGhost(_, GhostReason::Unknown | GhostReason::GoneByOperator)
                if self.is_wanted(id) && self.is_strict(id) && row != Row::GoneByOperator =>
            {
                // No proof that it has ended: until there is, nobody takes its place.
                self.keep_asking(id);
            }
            Cell::EndWithGhost(class, why) => {
                let class = self.class_of(id, state, class);
                self.end_with_ghost(id, class, why);
            }
        }
        self.tell_health(id);
        self.reconsider(id.slot);
    }

    /// Tells that the health of a running task isn't what it was. It may have changed while the task was something else.
    fn tell_health(&mut self, id: AttemptId) {
        let Some(attempt) = self.book.attempt_mut(id).filter(|attempt| attempt.state == State::Running) else { return };
        match (attempt.ill, attempt.last.healthy) {
            (false, Some(false)) if !planted!(IllUntold) => {
                attempt.ill = true;
                self.tell_task(id, Event::TaskUnhealthy);
            }
            (true, Some(true)) => {
                attempt.ill = false;
                self.tell_task(id, Event::TaskHealthy);
            }
            _ => {}
        }
    }

    /// If the executor was described as one that has gone, the next one is described anew. But while it has other tasks, it
    /// is there, and the reason is another one.
    fn refused(&mut self, id: AttemptId) {
        let Some(attempt) = self.book.attempt(id).filter(|attempt| attempt.executor_id.is_some()) else { return };
        let (agent_id, executor) = (attempt.agent.id.clone(), attempt.executor_id.clone());
        let mut others = self.book.on_agent(&agent_id).filter(|other| other.id != id);
        if !others.any(|other| other.executor_id == executor) {
            self.executors.forget(&agent_id, executor.as_deref());
        }
    }

    /// Whether this very status has come before.
    fn has_dealt_with(&self, id: AttemptId, update: &Update) -> bool {
        let last = self.book.attempt(id).and_then(|attempt| attempt.uuid.as_deref());
        last.is_some() && last == update.uuid()
    }

    fn is_wanted(&self, id: AttemptId) -> bool {
        self.book.slot(id.slot).is_some_and(|slot| slot.wanted)
    }

    /// A task that is to end may have, and nobody knows.
    fn keep_asking(&mut self, id: AttemptId) {
        self.kill_lost(id);
        self.ask(id, Duration::from_secs(30));
        self.tell_task(id, Event::TaskUpdated);
    }

    /// There is news of an attempt: questions about it are answered, and a timer that waited for news acts.
    fn heard(&mut self, id: AttemptId) {
        self.reconciler.answered(&Subject::Attempt(id));
        let (session, now) = (self.session, self.now);
        let Some(attempt) = self.book.attempt_mut(id) else { return };
        attempt.answered_in = session;
        if core::mem::take(&mut attempt.parked) {
            self.set_timer_at(id, Some(now));
        }
    }

    /// The class of an end depends, where we ended it ourselves, on what the task was for.
    fn class_of(&self, id: AttemptId, state: State, class: EndClass) -> EndClass {
        let State::Killing(why) = state else { return class };
        let never_seen = self.book.attempt(id).is_some_and(|attempt| attempt.never_seen);
        let job = self.book.specs.get(&id.slot.spec).is_some_and(|spec| spec.spec.is_job());
        match (class, why) {
            (class, KillReason::External) => class,
            (EndClass::Ok, _) if job => EndClass::Ok,
            (_, KillReason::Overdue) if never_seen => EndClass::Infra,
            (_, KillReason::Overdue) => EndClass::Fault,
            _ => EndClass::Wanted,
        }
    }

    pub(super) fn staged(&mut self, id: AttemptId) {
        let now = self.now;
        if let Some(attempt) = self.book.attempt_mut(id) {
            attempt.staged.get_or_insert_with(|| Since::now(now));
        }
        self.set_state(id, State::Staged);
        self.touch_attempt(id);
    }

    fn running(&mut self, id: AttemptId, before: State, changed: bool) {
        let now = self.now;
        if before == State::Running {
            if changed {
                self.check_ready(id);
                self.touch_attempt(id);
                self.tell_task(id, Event::TaskUpdated);
            }
            return;
        }
        self.started(id);
        let first = self.book.attempt_mut(id).is_some_and(|attempt| {
            attempt.running.get_or_insert_with(|| Since::now(now));
            !core::mem::replace(&mut attempt.told, true)
        });
        self.set_state(id, State::Running);
        self.touch_attempt(id);
        self.tell_task(id, Event::TaskUpdated);
        if first {
            if let Some(attempt) = self.book.attempt(id) {
                self.histograms.until_running.add(attempt.prepared.elapsed(now));
            }
            self.tell_task(id, Event::TaskLaunched);
        }
        self.check_ready(id);
    }

    /// It was launched for good: what was lost before does not count any more.
    fn started(&mut self, id: AttemptId) {
        if let Some(slot) = self.book.slot_mut(id.slot) {
            if slot.losses > 0 || slot.invalids > 0 {
                slot.losses = 0;
                slot.invalids = 0;
                self.touch_slot(id.slot);
            }
        }
    }

    fn unreachable(&mut self, id: AttemptId, since: Option<i64>) {
        let now = self.now;
        let wall = self.wall_now();
        let before = since.and_then(|nanos| u64::try_from(nanos).ok()).zip(wall).map(|(nanos, wall)| {
            // A clock that is wrong can only shorten or lengthen within the policy.
            wall.since_epoch().saturating_sub(Duration::from_nanos(nanos))
        });
        let limit = self.book.specs.get(&id.slot.spec).map(|spec| spec.spec.policy.expunge_after);
        let before = before.unwrap_or_default().min(limit.unwrap_or_default());
        if let Some(attempt) = self.book.attempt_mut(id) {
            attempt.unreachable = Some(Since::ago(now, before));
            attempt.ready = false;
        }
        self.set_state(id, State::Unreachable);
        self.touch_attempt(id);
        if !planted!(LossUntold) {
            self.tell_task(id, Event::TaskUpdated);
        }
        // Lost in a way that PARTITION_AWARE frameworks should not see: it may be dead, and then a question tells.
        if self.book.attempt(id).is_some_and(|a| a.last.state == Some(v1::TaskState::TaskLost)) {
            self.ask(id, Duration::ZERO);
        }
    }

    /// A task that was out of sight shows life.
    fn returned(&mut self, id: AttemptId, running: bool) {
        let Some(slot) = self.book.slot(id.slot) else { return };
        if !slot.wanted {
            self.back(id, running);
            self.begin_kill(id, KillReason::Scale);
            return;
        }
        // A predecessor that still stands is the rollout's business.
        let newer = |other: &&Attempt| other.id.generation > id.generation;
        let other = slot.attempts().find(newer).map(|other| (other.id, other.state));
        match other {
            None | Some((_, State::Prepared)) => {
                self.close_absence(id);
                self.back(id, running);
            }
            Some((other, state)) => {
                let loses = self.loses(id, other);
                self.back(id, running);
                if loses && !planted!(BothStay) {
                    self.begin_kill(id, KillReason::Duplicate);
                } else if !planted!(BothStay) {
                    // It may be out of sight itself by now.
                    self.retire(other, state, KillReason::Duplicate);
                }
            }
        }
        self.tell_task(id, Event::TaskReturned);
    }

    /// What was to take the place of a task out of sight isn't launched.
    pub(super) fn close_absence(&mut self, id: AttemptId) {
        let newer = |other: &&Attempt| other.id.generation > id.generation && other.state == State::Prepared;
        if let Some(other) = self.book.slot(id.slot).and_then(|slot| slot.attempts().find(newer)).map(|other| other.id)
        {
            self.cancel_of(other);
        }
        self.cancel_wait(id.slot);
    }

    /// Whether it was out of sight, and another one has taken its place.
    fn is_replaced(&self, id: AttemptId) -> bool {
        let Some((slot, attempt)) = self.book.slot(id.slot).zip(self.book.attempt(id)) else { return false };
        let newer = |other: &Attempt| other.id.generation > id.generation && other.state != State::Prepared;
        matches!(attempt.state, State::Unreachable | State::Doubtful) && slot.attempts().any(newer)
    }

    /// Whether the one that returned has to go, and not the one that took its place.
    fn loses(&self, returned: AttemptId, other: AttemptId) -> bool {
        let spec = self.book.specs.get(&returned.slot.spec);
        let (Some(spec), Some(old), Some(new)) = (spec, self.book.attempt(returned), self.book.attempt(other)) else {
            return false;
        };
        if matches!(new.state, State::Killing(_)) {
            return false;
        }
        let ran = |attempt: &Attempt| attempt.running.map(|since| since.elapsed(self.now)).unwrap_or_default();
        let outdated = old.revision != spec.revision;
        outdated
            || match spec.spec.policy.on_return {
                OnReturn::PreferReady => new.ready,
                OnReturn::PreferNew => true,
                OnReturn::Oldest if planted!(ReturnMixedUp) => ran(new) < ran(old),
                OnReturn::Oldest => ran(new) > ran(old),
                OnReturn::Youngest => ran(new) < ran(old),
            }
    }

    /// It is in sight again, in this state.
    fn back(&mut self, id: AttemptId, running: bool) {
        let now = self.now;
        if let Some(attempt) = self.book.attempt_mut(id) {
            attempt.unreachable = None;
            attempt.inactive &= planted!(StaysInactive);
            attempt.doubted = None;
            if running {
                attempt.last.state = Some(v1::TaskState::TaskRunning);
            } else {
                // The time out of sight isn't held against it.
                attempt.staged = Some(Since::now(now));
            }
        }
        if running {
            self.running(id, State::Unreachable, true);
        } else {
            self.staged(id);
            self.tell_task(id, Event::TaskUpdated);
        }
    }

    fn doubt(&mut self, id: AttemptId) {
        let now = self.now;
        if let Some(attempt) = self.book.attempt_mut(id) {
            attempt.doubted = Some(now);
            attempt.ready = false;
        }
        self.set_state(id, State::Doubtful);
        self.touch_attempt(id);
        self.tell_task(id, Event::TaskUpdated);
    }

    fn doubt_again(&mut self, id: AttemptId) {
        let Some(attempt) = self.book.attempt(id) else { return };
        let answered = attempt.doubted.zip(attempt.asked).is_some_and(|(doubted, asked)| asked >= doubted + AGAIN);
        if !answered {
            self.set_timer(id);
        } else if self.is_strict(id) {
            // It stays as it is until somebody knows more; the regular questions go on.
            self.set_timer_at(id, None);
            self.tell_task(id, Event::TaskUpdated);
        } else {
            self.end_with_ghost(id, EndClass::Infra, GhostReason::Unknown);
        }
    }

    /// A ghost takes its place in a slot again.
    pub(super) fn adopt(&mut self, slot_id: SlotId, was: &Attempt, update: &Update) {
        let now = self.now;
        self.cancel_wait(slot_id);
        let mut attempt = was.again(slot_id, now);
        let id = attempt.id;
        attempt.state = State::Staged;
        attempt.staged = Some(Since::now(now));
        attempt.answered_in = self.session;
        let running = Row::of(update, false) == Row::Running;
        let stale = !running && attempt.running.is_some();
        let running = running || stale;
        self.counters.stale += u64::from(stale);
        merge(&mut attempt, update, stale);
        if stale {
            attempt.last.state = Some(v1::TaskState::TaskRunning);
        }
        self.agents.entry(attempt.agent.id.clone()).or_default().launching += 1;
        self.book.place(attempt);
        self.touch_attempt(id);
        if running {
            self.running(id, State::Staged, true);
        } else {
            self.set_timer(id);
        }
        self.tell_task(id, Event::TaskReturned);
        self.tell_health(id);
        self.reconsider(slot_id);
    }
}

/// Keeps what a status says besides the state (W41, S128); whether anything of it is news.
///
/// Of one that is older than what is known, only that.
fn merge(attempt: &mut Attempt, update: &Update, stale: bool) -> bool {
    if let Some(executor) = update.executor_id().filter(|id| (1..=ID).contains(&id.len())) {
        attempt.executor_id = Some(executor.into());
    }
    if let Some(uuid) = update.uuid().filter(|uuid| uuid.len() <= UUID) {
        attempt.uuid = Some(Bytes::copy_from_slice(uuid));
    }
    if stale {
        return false;
    }
    let status = update.to_owned();
    let healthy = update.healthy().or(attempt.last.healthy);
    let checked = status.check_status.is_some() && status.check_status.as_ref() != attempt.last.check.as_deref();
    let news = checked || Some(update.state()) != attempt.last.state || healthy != attempt.last.healthy;
    let container = status.container_status.map(Box::new);
    let last = Last {
        state: Some(update.state()),
        reason: update.reason(),
        source: update.source(),
        message: update.message().map(|text| cut(text, MESSAGE).into()),
        healthy,
        check: status.check_status.map(Box::new).or_else(|| attempt.last.check.take()),
        container: container.or_else(|| attempt.last.container.take()),
    };
    attempt.last = last;
    news
}
