//! The invariants of two instances: I22 (one writer in an epoch), I23 (no launch without an intent that was taken), I24
//! (one that was replaced does no harm, and ends).

use mesos_core::engine::Event;
use mesos_core::{Persist, StoreOp};
use mesos_proto::store::instance::State;
use mesos_proto::v1::TaskState;
use mesos_proto::v1::scheduler::{Call, call};

use super::instances::Turn;
use super::ledger::{Launched, parse};
use super::{Happening, Step, World, violation};
use crate::agent::is_terminal;

impl World {
    fn judged(&mut self, invariant: &'static str) {
        *self.ledger.judged.entry(invariant).or_default() += 1;
    }

    /// I22: the store takes a batch. Whoever opened it last is in the leader's place.
    pub(super) fn taken(&mut self, process: u64, batch: &Persist) -> Step {
        if !self.instances.two {
            return Ok(());
        }
        self.judged("I22");
        if process != self.process {
            return violation("I22", format!("the store takes a batch of {process}, and is that of {}", self.process));
        }
        self.instances.fence.took(process, batch.ticket());
        Ok(())
    }

    /// The intents of a batch are durable.
    pub(super) fn intended(&mut self, batch: &Persist) {
        if self.instances.two {
            let puts = batch.ops().iter().filter(|op| matches!(op, StoreOp::Put { .. }));
            let tasks = puts.filter_map(|op| self.disk.task(op.key())).map(str::to_owned);
            self.instances.intents.extend(tasks);
        }
    }

    /// A call leaves one that was replaced.
    pub(super) fn late_call(&mut self, call: &Call) -> Step {
        self.judged("I24");
        if self.instances.terminal {
            return violation("I24", format!("{:?} leaves one that was replaced, and has ended", call.r#type()));
        }
        for task in launches(call) {
            self.judged("I23");
            if !self.instances.intents.contains(task) {
                return violation("I23", format!("{task} is launched, and its intent was never durable"));
            }
            let Some((spec, index, ..)) = parse(task) else { continue };
            // Its own, which may have been removed since.
            let framework = call.framework_id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            let launched = Launched::new((spec, index), framework, None);
            self.ledger.tasks.entry(task.to_owned()).or_insert(launched);
        }
        Ok(())
    }

    /// One that was replaced tells something.
    pub(super) fn tells_late(&mut self, event: &Event) {
        let ends = matches!(event, Event::Fatal(_) | Event::Fenced(_) | Event::StoreRefused(_) | Event::Stopped { .. });
        if ends && !std::mem::replace(&mut self.instances.terminal, true) {
            self.judged("I24");
            let wait = std::time::Duration::from_secs(10);
            self.after(wait, Happening::Instance(Turn::Drop(self.process)));
        }
    }

    /// A master has taken calls: I23 and I24, if they are of one that was replaced.
    pub(super) fn judge_taken(&mut self) -> Step {
        for (process, call) in std::mem::take(&mut self.instances.taken) {
            if process == self.process {
                continue;
            }
            self.judged("I24");
            for task in launches(&call) {
                self.judged("I23");
                if !self.instances.intents.contains(task) {
                    return violation("I23", format!("{task} is launched late, and its intent was never durable"));
                }
            }
            if let Some(call::Kill { task_id, .. }) = &call.kill {
                let kept = self.disk.instances.get(&task_id.value).map(|kept| kept.record.state());
                if let Some(state) = kept.filter(|state| *state != State::Killing) {
                    let id = &task_id.value;
                    return violation("I24", format!("one that was replaced kills {id}, which is {state:?}"));
                }
            }
            if let Some(call::Acknowledge { task_id, uuid, .. }) = &call.acknowledge {
                let state = self.ledger.delivered(&task_id.value, uuid);
                let kept = self.disk.instances.contains_key(&task_id.value);
                // That one may be told early: an operator has marked the agent gone.
                let ended = state.is_some_and(|state| is_terminal(state) && state != TaskState::TaskGoneByOperator);
                if kept && ended {
                    let id = &task_id.value;
                    return violation("I24", format!("one that was replaced acknowledges {state:?} of {id}"));
                }
            }
        }
        Ok(())
    }
}

fn launches(call: &Call) -> impl Iterator<Item = &str> {
    let operations = call.accept.iter().flat_map(|accept| &accept.operations);
    let tasks = operations.filter_map(|operation| operation.launch.as_ref()).flat_map(|launch| &launch.task_infos);
    tasks.map(|task| task.task_id.value.as_str())
}
