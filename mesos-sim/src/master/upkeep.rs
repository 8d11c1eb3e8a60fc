//! What operators do to agents: draining, maintenance, and the inverse offers that announce it.

use std::time::Duration;

use mesos_proto::v1;
use v1::TaskState;
use v1::scheduler::{Event, event};
use v1::task_status::Reason;

use super::{Effect, Master, Standing, ToAgent};
use crate::trouble::Drain;

/// A question whether an agent may become unavailable.
#[derive(Debug)]
pub(super) struct Inverse {
    framework: String,
    agent: String,
}

/// The same question isn't put again before.
#[derive(Debug)]
pub(super) struct InverseFilter {
    framework: String,
    agent: String,
    until: Duration,
}

impl Master {
    /// The tasks of an agent are to end; it gets no others.
    pub(crate) fn drain(&mut self, agent: &str, drain: Drain) {
        if self.agents.get(agent).is_none_or(|entry| entry.standing == Standing::Gone) {
            return;
        }
        self.registry.draining.insert(agent.to_owned(), drain.clone());
        self.rescind(|offer| offer.agent == agent);
        self.out.push_back(Effect::ToAgent(agent.to_owned(), ToAgent::Drain(drain)));
        self.check_drained(agent);
    }

    /// An agent may be used again.
    pub(crate) fn reactivate(&mut self, agent: &str) {
        if self.registry.draining.remove(agent).is_some() {
            self.out.push_back(Effect::ToAgent(agent.to_owned(), ToAgent::Reactivate));
            self.next_allocation = self.next_allocation.min(self.now + Duration::from_millis(10));
        }
    }

    pub(super) fn is_draining(&self, agent: &str) -> bool {
        self.registry.draining.contains_key(agent)
    }

    /// Whether all tasks of an agent that is being drained have ended, and that is acknowledged.
    pub(crate) fn is_drained(&self, agent: &str) -> bool {
        let registered = self.agents.get(agent).is_some_and(|entry| entry.standing == Standing::Registered);
        self.is_draining(agent) && registered && !self.tasks.values().any(|task| task.agent == agent)
    }

    #[cfg(feature = "world")]
    pub(crate) fn is_used_by(&self, agent: &str, framework: &str) -> bool {
        self.tasks.iter().any(|(key, task)| task.agent == agent && key.0 == framework)
    }

    /// One that is drained for good is marked gone. Masters look after acknowledgements and registrations only: with the
    /// framework removed whose acknowledgement is wanting, a real one goes on draining.
    pub(super) fn check_drained(&mut self, agent: &str) {
        if self.registry.draining.get(agent).is_some_and(|drain| drain.mark_gone) && self.is_drained(agent) {
            self.mark_gone(agent);
            self.out.push_back(Effect::Gone(agent.to_owned()));
        }
    }

    /// An operator plans to take an agent's machine down, or no longer does.
    pub(crate) fn schedule(&mut self, agent: &str, unavailability: Option<v1::Unavailability>) {
        if unavailability.is_none() && !self.registry.maintenance.contains_key(agent) {
            return;
        }
        self.rescind(|offer| offer.agent == agent);
        self.rescind_inverse(|inverse| inverse.agent == agent);
        match unavailability {
            Some(unavailability) => drop(self.registry.maintenance.insert(agent.to_owned(), unavailability)),
            None => drop(self.registry.maintenance.remove(agent)),
        }
        self.inverse_filters.retain(|filter| filter.agent != agent);
        self.next_allocation = self.next_allocation.min(self.now + Duration::from_millis(10));
    }

    /// An operator takes an agent's machine down: the agent is told to end, and its tasks with it.
    pub(crate) fn machine_down(&mut self, agent: &str) {
        if !self.agents.contains_key(agent) {
            return;
        }
        let text = "Agent removed: Operator initiated 'Machine DOWN'";
        // Not a state of its own for frameworks that are aware of partitions, either.
        self.lose(agent, Standing::Disconnected, TaskState::TaskLost, Reason::AgentRemoved, text);
        self.rescind_inverse(|inverse| inverse.agent == agent);
        self.forget_agent(agent);
    }

    /// Asks the frameworks that have something on an agent whether it may become unavailable.
    pub(super) fn ask_inverse(&mut self) {
        let now = self.now;
        self.inverse_filters.retain(|filter| filter.until > now);
        let mut questions = Vec::new();
        for (agent, unavailability) in &self.registry.maintenance {
            if self.agents.get(agent).is_none_or(|entry| entry.standing != Standing::Registered) {
                continue;
            }
            let present = self.frameworks.iter().filter(|(_, framework)| framework.stream.is_some());
            for (framework, _) in present {
                let has = self.offers.values().any(|offer| offer.framework == *framework && offer.agent == *agent)
                    || self.tasks.iter().any(|(key, task)| key.0 == *framework && task.agent == *agent);
                let asked = self.inverse.values().any(|other| other.framework == *framework && other.agent == *agent)
                    || self.inverse_filters.iter().any(|f| f.framework == *framework && f.agent == *agent);
                if has && !asked {
                    questions.push((framework.clone(), agent.clone(), *unavailability));
                }
            }
        }
        for (framework, agent, unavailability) in questions {
            let id = format!("{}-O{}", self.id, self.next_offer);
            self.next_offer += 1;
            let offer = v1::InverseOffer {
                id: v1::OfferId { value: id.clone() },
                framework_id: v1::FrameworkId { value: framework.clone() },
                agent_id: Some(v1::AgentId { value: agent.clone() }),
                unavailability,
                ..Default::default()
            };
            let event = Event {
                r#type: Some(event::Type::InverseOffers.into()),
                inverse_offers: Some(event::InverseOffers { inverse_offers: vec![offer] }),
                ..Default::default()
            };
            self.inverse.insert(id, Inverse { framework: framework.clone(), agent });
            self.send(&framework, &event);
        }
    }

    /// A framework has answered: what it says makes no difference, but for how soon it is asked again.
    pub(super) fn answer_inverse(&mut self, framework: &str, ids: &[v1::OfferId], filters: Option<&v1::Filters>) {
        for id in ids {
            if self.inverse.get(&id.value).is_none_or(|inverse| inverse.framework != framework) {
                continue;
            }
            let Some(inverse) = self.inverse.remove(&id.value) else { continue };
            let until = self.now + super::offers::refusal(filters);
            self.inverse_filters.push(InverseFilter { framework: framework.to_owned(), agent: inverse.agent, until });
        }
    }

    /// Questions to a framework whose subscription is over; it is asked anew.
    pub(super) fn forget_inverse(&mut self, framework: &str) {
        self.inverse.retain(|_, inverse| inverse.framework != framework);
        self.inverse_filters.retain(|filter| filter.framework != framework);
    }

    fn rescind_inverse(&mut self, which: impl Fn(&Inverse) -> bool) {
        let ids: Vec<(String, String)> = self
            .inverse
            .iter()
            .filter(|(_, inverse)| which(inverse))
            .map(|(id, inverse)| (id.clone(), inverse.framework.clone()))
            .collect();
        for (id, framework) in ids {
            self.inverse.remove(&id);
            let event = Event {
                r#type: Some(event::Type::RescindInverseOffer.into()),
                rescind_inverse_offer: Some(event::RescindInverseOffer { inverse_offer_id: v1::OfferId { value: id } }),
                ..Default::default()
            };
            self.send(&framework, &event);
        }
    }
}
