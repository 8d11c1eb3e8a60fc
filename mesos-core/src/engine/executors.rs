//! Executors that may outlive their tasks: to a master another description of one that is there is an error.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use super::attempt::{Attempt, AttemptId, State};
use super::bounded::Bounded;
use super::engine::Engine;
use super::launch::Launch;
use super::offers::Hand;
use crate::{Resources, v1};

/// So many agents are remembered, and so many executors of each.
const AGENTS: usize = 10_000;
const EXECUTORS: usize = 32;

/// Executors with resources of their own, by agent and id.
pub(super) type ExecutorIds = BTreeSet<(Arc<str>, Box<str>)>;

/// What each executor with resources of its own was described with that has told the end of a task, or of one that isn't
/// counted anything, unless its own end has been heard of since. That it is still there is likely, not sure: an agent
/// repeats what isn't acknowledged in its executor's name, also after the end of that. Then the next task may be refused
/// as its executor isn't in the offers; TASK_ERROR has it forgotten, and the one after it is described anew.
#[derive(Debug, Default)]
pub(super) struct Executors {
    by_agent: Bounded<Arc<str>, Described>,
}

type Described = Bounded<Box<str>, Box<[v1::Resource]>>;

impl Executors {
    /// What it was described with, if that comes to the same as what it is to have now.
    pub(super) fn get(&self, agent_id: &str, executor: &str, need: &Resources) -> Option<&[v1::Resource]> {
        let described = self.by_agent.get(agent_id)?.get(executor)?;
        // It may be in several parts, reserved ones and others.
        let sum = described.iter().fold(Resources::new(), |sum, part| {
            sum.plus(&Resources::new().scalar(&*part.name, part.scalar.map_or(0.0, |scalar| scalar.value)))
        });
        (sum == *need).then_some(&**described)
    }

    /// It has told something of this task.
    pub(super) fn remember(&mut self, attempt: &Attempt) {
        let Some(id) = attempt.executor_id.clone().filter(|_| !attempt.executor_resources.is_empty()) else { return };
        let mut there = self.by_agent.remove(&attempt.agent.id).unwrap_or_default();
        there.insert(EXECUTORS, id, attempt.executor_resources.clone());
        self.by_agent.insert(AGENTS, attempt.agent.id.clone(), there);
    }

    /// One has ended, or with none named all of an agent have.
    pub(super) fn forget(&mut self, agent_id: &str, executor: Option<&str>) {
        let left = self.by_agent.get_mut(agent_id).zip(executor).map(|(there, id)| {
            there.remove(id);
            !there.is_empty()
        });
        if left != Some(true) {
            self.by_agent.remove(agent_id);
        }
    }
}

/// The executor that a task is to have, as it is reckoned with.
pub(super) struct Company<'a> {
    /// What it was described with, if it may be there.
    pub(super) there: Option<&'a [v1::Resource]>,
    /// Whether there must be room for it. If it may be there, nobody gets its share all the same: Mesos takes it again if it
    /// isn't.
    pub(super) room: bool,
    /// Otherwise it must be there as it is remembered, or Mesos refuses the task.
    pub(super) surely: bool,
}

impl Company<'_> {
    /// What has to be taken of a hand for what a task and its executor need.
    pub(super) fn need(&self, task: &Resources, executor: &Resources) -> Resources {
        let task = task.beside(self.there.unwrap_or_default());
        if self.room { task.plus(executor) } else { task }
    }
}

impl Engine {
    /// The tasks of the executor that this one is to have, on the same agent; they say what that has got.
    fn of_executor<'a>(&'a self, launch: &Launch, hand: &Hand<'_>) -> impl Iterator<Item = &'a Attempt> {
        let id = launch.task.executor.as_ref().map(|executor| &*executor.executor_id.value);
        let same =
            move |attempt: &&Attempt| attempt.executor_id.as_deref() == id && !attempt.executor_resources.is_empty();
        self.book.on_agent(&hand.agent.id).filter(same)
    }

    /// What is to be thought of the executor of a task that needs this much. One that is there for sure, or comes along in
    /// the same ACCEPT, needs no room; any other does, even if it had been launched before. What is only remembered isn't
    /// believed by one that has waited for long and finds no room beside it: the end of that executor may never have been
    /// heard of. If there is no room for another one either, it is: there never will be while the executor outlives its
    /// tasks; and if it doesn't, TASK_ERROR has it forgotten.
    pub(super) fn company(
        &self,
        need: &Resources,
        executor: &Resources,
        launch: &Launch,
        hand: &Hand<'_>,
        desperate: bool,
    ) -> Company<'_> {
        if let Some(there) = self.of_executor(launch, hand).max_by_key(|attempt| attempt.state == State::Running) {
            let sure = self.of_executor(launch, hand).any(|attempt| {
                matches!(attempt.state, State::Staged | State::Running)
                    || hand.placed.iter().any(|(placed, _)| *placed == attempt.id)
            });
            return Company { there: Some(&*there.executor_resources), room: !sure, surely: true };
        }
        let id = launch.task.executor.as_ref().map(|executor| &executor.executor_id.value);
        let there = id.and_then(|id| self.executors.get(&hand.agent.id, id, executor));
        let fits = |company: &Company<'_>| hand.pool.fits(&company.need(need, executor)).is_ok();
        let beside = Company { there, room: true, surely: true };
        if there.is_none() || !desperate || fits(&beside) {
            return beside;
        }
        let anew = Company { there: None, ..beside };
        let alone = Company { room: false, surely: false, ..beside };
        if !fits(&anew) && fits(&alone) { alone } else { anew }
    }

    /// The executors that are there only if these attempts are launched, as far as is known: no other task with the same
    /// description says that they are.
    pub(super) fn uncertain_executors(&self, attempts: impl Iterator<Item = AttemptId>) -> ExecutorIds {
        let mut found = ExecutorIds::new();
        let attempts = attempts.filter_map(|id| self.book.attempt(id));
        for attempt in attempts.filter(|attempt| !attempt.executor_resources.is_empty()) {
            let same = |other: &Attempt| {
                matches!(other.state, State::Staged | State::Running)
                    && other.executor_id == attempt.executor_id
                    && other.executor_resources == attempt.executor_resources
            };
            let agent_id = &attempt.agent.id;
            if let Some(id) = attempt.executor_id.clone().filter(|_| !self.book.on_agent(agent_id).any(same)) {
                found.insert((agent_id.clone(), id));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::super::attempt::{Agent, SlotId, SpecId};
    use super::*;
    use crate::Instant;

    #[test]
    fn what_was_heard_of_longest_ago_is_forgotten_first() {
        let mut executors = Executors::default();
        let mut remember = |agent: String, executor: String| {
            let slot = SlotId { spec: SpecId(1), index: 0 };
            let agent = Arc::new(Agent { id: agent.into(), ..Agent::default() });
            let id = AttemptId { slot, generation: 1 };
            let mut attempt = Attempt::new(id, "t".into(), Default::default(), agent, Instant::ORIGIN);
            attempt.executor_id = Some(executor.into());
            attempt.executor_resources = [v1::Resource::scalar("cpus", 0.5)].into();
            executors.remember(&attempt);
        };
        (0..AGENTS).for_each(|n| remember(format!("b{n}"), "e".into()));
        ["a", "c"].iter().for_each(|agent| remember((*agent).into(), "e".into()));
        (0..EXECUTORS).for_each(|n| remember("c".into(), format!("f{n}")));
        ["d", "g"].iter().for_each(|executor| remember("c".into(), (*executor).into()));
        let need = Resources::new().cpus(0.5);
        let known = |agent, executor| executors.get(agent, executor, &need).is_some();
        assert_eq!(["a", "b0", "b1", "b2"].map(|agent| known(agent, "e")), [true, false, false, true]);
        assert_eq!(["d", "e", "f0", "f1", "f2", "g"].map(|id| known("c", id)), [true, false, false, false, true, true]);
    }
}
