//! What the scheduler tells, and whether it does what it is told.

use std::time::Duration;

use mesos_core::engine::{Event, Held};
use mesos_core::scheduler::FatalReason;
use mesos_proto::v1::TaskState;
use mesos_proto::v1::scheduler::{Call, call};

use super::fault::Fault;
use super::ledger::Launched;
use super::words::Said;
use super::{Happening, Step, World, violation};

/// So long an uninstallation waits for tasks to end.
const PATIENCE: Duration = Duration::from_secs(599);

impl Launched {
    /// Whether the last that was told of it is that it can't be reached.
    pub(super) const fn is_out_of_sight(&self) -> bool {
        matches!(self.heard, Some((TaskState::TaskUnreachable, _)))
    }
}

impl World {
    /// An event is judged, and then told to a program of the user's, if there is one.
    pub(super) fn tell(&mut self, event: &Event) -> Step {
        let process = self.process;
        self.judge_told(event)?;
        // Its process may have ended with it.
        if self.process == process {
            self.react(event);
        }
        Ok(())
    }

    fn judge_told(&mut self, event: &Event) -> Step {
        self.note(|| format!("   {event:?}"));
        self.hash(format!("{event:?}").as_bytes());
        if self.instances.acting {
            self.tells_late(event);
            return Ok(());
        }
        self.past.told(event);
        let satisfied = match (event, &self.engine) {
            (Event::SpecSatisfied { spec }, Some(engine)) => engine.spec(spec).is_some_and(|spec| spec.satisfied),
            _ => false,
        };
        self.words.told(event, &self.disk, self.users.leaving, satisfied);
        if !self.words.own {
            self.places.ends.told(event, &self.disk, self.words.error)?;
        }
        let wait = Duration::from_secs(10);
        match event {
            Event::Fatal(reason) => {
                self.ledger.terminal = true;
                let goes_on = self.config.is_remade() && !self.users.leaving && !self.words.own;
                if matches!(reason, FatalReason::Removed) && goes_on && !self.past.gives_up(self.now) {
                    return violation("I13", "the framework was removed, and isn't made anew");
                }
                if matches!(reason, FatalReason::Removed) {
                    // Somebody clears up, and makes a new framework.
                    self.wipe = true;
                    self.ledger.tasks.values_mut().for_each(|task| task.released = true);
                    self.ledger.spent();
                }
            }
            Event::Fenced(_) | Event::StoreRefused(_) | Event::Stopped { removed: false } => {
                self.ledger.terminal = true
            }
            Event::Stopped { removed: true } if !self.disk.records.is_empty() => {
                let left: Vec<_> = self.disk.records.keys().map(ToString::to_string).collect();
                return violation("I18", format!("the framework is removed, and of it are left {left:?}"));
            }
            Event::Stopped { removed: true } => {
                self.ledger.terminal = true;
                self.wipe = true;
                self.ledger.tasks.values_mut().for_each(|task| task.released = true);
                self.ledger.spent();
            }
            Event::AgentAvoided { spec, agent_id, during } => {
                self.places.avoids(spec, agent_id, self.decided_at, *during)?
            }
            Event::TaskEnded { task, class } if !self.words.own => {
                let over_at = self.ledger.tasks.get(&task.task_id).and_then(|task| task.over_at);
                self.places.ended(task, *class, over_at)?;
            }
            Event::SpecRemoved { spec } => self.places.forgets(spec),
            Event::InstanceHeld { spec, why: Held::Invalid, .. } if self.calm => {
                self.users.refused.insert(spec.clone());
            }
            Event::FrameworkRemoved { .. } if !self.config.is_remade() && !self.words.own => {
                return violation("I13", "the framework was removed, and is made anew unasked");
            }
            Event::FrameworkRemoved { .. } => {
                self.ledger.spent();
                self.past.removed(self.now);
            }
            _ => {}
        }
        match self.ledger.terminal {
            true if self.instances.two => self.step_down(),
            // What follows must stay silent; then somebody starts it anew.
            true => self.after(wait, Happening::Crash),
            false => {}
        }
        Ok(())
    }

    /// A call that ends tasks leaves the scheduler: not too many at a time, and a framework goes after its tasks.
    pub(super) fn ends_all(&self, call: &Call) -> Step {
        let (ending, most) = (self.ledger.ending(&self.disk), self.config.kills as usize);
        if call.kill.is_some()
            && ending.len() > most
            && !self.unsaved
            && self.setup.is_none()
            && self.ledger.flows(self.now)
        {
            return violation("I15", format!("{ending:?} are being ended at a time, and {most} may be"));
        }
        let since = self.users.uninstalled_at.max(self.ledger.started_at);
        let gently = self.users.uninstalled_at.is_some() && since.is_some_and(|at| self.now < at + PATIENCE);
        if !gently || call.r#type() != call::Type::Teardown {
            return Ok(());
        }
        if let Some(task) = self.disk.instances.keys().next() {
            return violation("L4", format!("TEARDOWN of what is uninstalled, and {task} has not ended"));
        }
        // Its agent may be draining, and hears nothing of it any more.
        let session = self.ledger.session.as_ref().map(|(exchange, _)| *exchange).unwrap_or_default();
        let mut deliveries = self.ledger.deliveries.iter();
        match deliveries.find(|(_, delivery)| delivery.ended_in == Some(session) && delivery.acknowledged == 0) {
            Some(((task, _), _)) => violation("L3", format!("TEARDOWN, and the end of {task} is not acknowledged")),
            None => Ok(()),
        }
    }

    /// A call leaves the scheduler which says that it needs no offers.
    pub(super) fn needs_none(&mut self, call: &Call) -> Step {
        // What is being launched may be on its way to the store (simulated: seed 6000000124).
        let judged = !self.users.leaving && !self.words.own && !self.unsaved && self.ledger.flows(self.now);
        let Some(suppress) = call.suppress.as_ref().filter(|_| judged) else { return Ok(()) };
        let (moment, places) = self.moment(self.decided_at);
        if moment.prompt && moment.steady { places.suppresses(&suppress.roles, &moment) } else { Ok(()) }
    }

    /// What a user has said takes effect at once.
    pub(super) fn obeys(&mut self, fault: Fault, said: &Said) -> Step {
        if fault == Fault::Uninstall {
            let since = self.users.uninstalled_at.unwrap_or(self.now);
            self.users.uninstalled_at = self.users.gently.then_some(since);
        }
        let (spec, Some(index)) = &said.concerned else { return Ok(()) };
        let instances = self.engine.iter().flat_map(|engine| engine.instances(spec));
        let waits = instances.filter(|instance| instance.index == *index).find_map(|instance| instance.waits);
        match waits.filter(|waits| fault == Fault::Restart && said.refused.is_none() && !waits.is_zero()) {
            Some(waits) => violation("I11", format!("{spec}-{index} is restarted, and held back for {waits:?}")),
            None => Ok(()),
        }
    }
}
