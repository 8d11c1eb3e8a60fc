//! Executors that may outlive their tasks: to a master another description of one that is there is an error.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::attempt::Attempt;
use crate::{Resources, v1};

/// So many agents are remembered, and so many executors of each.
const AGENTS: usize = 10_000;
const EXECUTORS: usize = 32;

/// What each executor with resources of its own was described with that has told the end of a task, or of one that isn't
/// counted anything, unless its own end has been heard of since. That it is still there is likely, not sure: an agent
/// repeats what isn't acknowledged in its executor's name, also after the end of that. Then the next task may be refused
/// as its executor isn't in the offers; TASK_ERROR has it forgotten, and the one after it is described anew.
#[derive(Debug, Default)]
pub(super) struct Executors {
    by_agent: BTreeMap<Arc<str>, Described>,
}

type Described = BTreeMap<Box<str>, Box<[v1::Resource]>>;

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
        if self.by_agent.len() >= AGENTS && !self.by_agent.contains_key(&attempt.agent.id) {
            self.by_agent.pop_first();
        }
        let there = self.by_agent.entry(attempt.agent.id.clone()).or_default();
        if there.len() >= EXECUTORS && !there.contains_key(&id) {
            there.pop_first();
        }
        there.insert(id, attempt.executor_resources.clone());
    }

    /// One has ended, or with none named all of an agent have.
    pub(super) fn forget(&mut self, agent_id: &str, executor: Option<&str>) {
        let left = self.by_agent.get_mut(agent_id).zip(executor).map(|(there, id)| {
            there.remove(id);
            there.len()
        });
        if left.is_none_or(|left| left == 0) {
            self.by_agent.remove(agent_id);
        }
    }
}
