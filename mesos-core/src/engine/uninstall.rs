//! The end of a framework: wanted by its user, or found to have come.

use alloc::vec::Vec;
use core::time::Duration;

use mesos_proto::store::engine::Marker;

use super::attempt::AttemptId;
use super::book::Book;
use super::engine::{After, Engine, Timer};
use super::event::{EndClass, Event};
use super::executors::Executors;
use super::ghost::Ghosts;
use super::writer::Effect;
use crate::planted::planted;
use crate::scheduler::{Client, FatalReason};

/// Tasks that take longer to end go with the framework.
const PATIENCE: Duration = Duration::from_secs(600);
/// A framework that is removed again so soon is not made anew: somebody means it.
const ONCE_PER: Duration = Duration::from_secs(3600);

impl Engine {
    /// The tasks are being ended; from now on their end is waited for.
    pub(super) fn resume_uninstall(&mut self) {
        if self.marker == Marker::TearingDown {
            self.begin_teardown();
        } else {
            self.timers.insert((self.now + PATIENCE, Timer::Uninstall));
        }
    }

    /// TEARDOWN, once all have ended.
    pub(super) fn uninstall_step(&mut self) {
        if self.marker == Marker::Uninstalling && self.book.specs.is_empty() {
            self.begin_teardown();
        }
    }

    /// Whatever has not ended by now goes with the framework.
    pub(super) fn uninstall_overdue(&mut self) {
        if self.marker == Marker::Uninstalling {
            self.begin_teardown();
        }
    }

    /// The mark first, so that a crash after TEARDOWN finishes the clean-up.
    pub(super) fn begin_teardown(&mut self) {
        self.marker = Marker::TearingDown;
        self.write_engine();
        self.later(After::Everything, Effect::Teardown);
    }

    /// The client has ended.
    pub(super) fn on_stopped(&mut self, removed: bool) {
        let event = Event::Stopped { removed };
        if removed {
            // The records go; and then it is over.
            self.on_disconnected();
            // What that has given up, too.
            self.write_dirty();
            let batch = self.erase();
            // That no spec is left is no reason to begin with it.
            self.marker = Marker::TearingDown;
            // Nothing is written any more, whatever a user still says.
            self.book = Book::default();
            self.ghosts = Ghosts::default();
            self.timers.clear();
            self.dirty_slots.clear();
            self.dirty_records.clear();
            self.when_durable(batch, Effect::Tell(event.into()));
            // Now: a client without a framework ends while it is asked to, and nothing follows that would write it.
            self.put_batch();
        } else {
            self.finish(event);
        }
    }

    /// The framework was removed by somebody else: its tasks are dead.
    pub(super) fn on_removed(&mut self) {
        if self.is_ending() {
            return self.on_stopped(true);
        }
        if self.removed_at.is_some_and(|at| self.now < at + ONCE_PER) {
            return self.finish(Event::Fatal(FatalReason::Removed));
        }
        let spent = self.client.framework().id.clone().map(|id| id.value).unwrap_or_default();
        self.removed_at = Some(self.now);
        self.on_disconnected();
        self.marker = Marker::Removed;
        self.retired.push(spent.clone());
        self.forget_framework();
        for role in self.roles.values_mut() {
            role.forget();
        }
        // First, so that no place takes one of them back.
        let ghosts: Vec<_> = self.ghosts.iter().map(|(id, _)| id.clone()).collect();
        ghosts.iter().for_each(|id| self.lay(id));
        let all: Vec<AttemptId> = self.book.attempts().map(|attempt| attempt.id).collect();
        for id in all {
            self.end(id, EndClass::Infra);
            self.reconsider(id.slot);
        }
        self.forget_hidden();
        // What has ended just now would be remembered otherwise.
        self.executors = Executors::default();
        // SUBSCRIBE without an id only once it is durable that the old one is spent; and what says so comes last, as all
        // of this may be more than one batch: a crash in between is told once more that the framework was removed.
        self.write_dirty();
        let batch = self.write_engine();
        let client = Client::new(self.config.client.clone().without_framework_id(), self.rng.next());
        self.client = client.after(&self.client);
        self.client_waits = (!planted!(RemovedEarly)).then_some(batch);
        self.tell_after_all(Event::FrameworkRemoved { framework_id: spent });
    }
}
