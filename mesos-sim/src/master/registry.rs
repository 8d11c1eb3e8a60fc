//! What survives a master: the registry of agents, with what operators have said of them.

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_proto::v1;

use super::{Master, Standing};
use crate::trouble::Drain;

/// What the masters of a cluster remember, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(super) agents: BTreeMap<String, Listed>,
    /// Agents that are being drained, or have been.
    pub(crate) draining: BTreeMap<String, Drain>,
    /// When agents are to be unavailable.
    pub(super) maintenance: BTreeMap<String, v1::Unavailability>,
    /// A user whose tasks nobody may run; so say the access control lists.
    pub(crate) forbidden: Option<String>,
}

/// An agent in the registry.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) info: v1::AgentInfo,
    pub(super) total: crate::resources::Pool,
    /// When it was marked unreachable or gone.
    pub(super) lost: Option<(Lost, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Unreachable,
    Gone,
}

impl Master {
    /// The registry of the master before this one: agents that may come back.
    pub(crate) fn recover(&mut self, registry: Registry) {
        for (id, listed) in &registry.agents {
            let standing = match listed.lost {
                None => Standing::Recovered,
                Some((Lost::Unreachable, since)) => Standing::Unreachable { since },
                Some((Lost::Gone, _)) => Standing::Gone,
            };
            self.agents.insert(id.clone(), super::tasks::entry(&listed.info, &listed.total, standing));
        }
        self.registry = registry;
    }

    /// Agents that are still awaited.
    pub(crate) fn awaited(&self) -> Vec<String> {
        let awaited = self.agents.iter().filter(|(_, entry)| entry.standing == Standing::Recovered);
        awaited.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn list(&mut self, agent: &str, lost: Option<Lost>) {
        let Some(entry) = self.agents.get(agent) else { return };
        let (info, total, lost) = (entry.info.clone(), entry.total.clone(), lost.map(|lost| (lost, self.now)));
        self.registry.agents.insert(agent.to_owned(), Listed { info, total, lost });
    }

    /// Whether an agent was marked gone: it may not come back.
    pub(crate) fn is_gone(&self, agent: &str) -> bool {
        self.agents.get(agent).is_some_and(|entry| entry.standing == Standing::Gone)
    }

    /// Forgets agents that were lost so long ago. Nothing is said.
    pub(crate) fn prune(&mut self, age: Duration) {
        let now = self.now;
        let old = |listed: &Listed| listed.lost.is_some_and(|(_, at)| at + age <= now);
        let old: Vec<String> =
            self.registry.agents.iter().filter(|(_, listed)| old(listed)).map(|(id, _)| id.clone()).collect();
        for agent in old {
            self.forget_agent(&agent);
        }
    }

    /// An agent is as if it had never been.
    pub(super) fn forget_agent(&mut self, agent: &str) {
        self.registry.agents.remove(agent);
        self.registry.draining.remove(agent);
        self.registry.maintenance.remove(agent);
        self.agents.remove(agent);
        self.tasks.retain(|_, task| task.agent != agent);
    }
}
