//! Offers: who gets which, who doesn't want them, and when they end.

use std::time::Duration;

use mesos_proto::v1;
use v1::framework_info::capability::Type as Capability;
use v1::scheduler::{Event, event};

use super::{Filter, Master, Offer, Standing};
use crate::resources::Pool;

impl Master {
    /// What nobody uses and nobody has been offered.
    fn free(&self, agent: &str) -> Pool {
        let mut free = self.agents.get(agent).map(|entry| entry.total.clone()).unwrap_or_default();
        for task in self.tasks.values().filter(|task| task.agent == agent && !crate::agent::is_terminal(task.latest)) {
            free.subtract(&task.resources);
        }
        for offer in self.offers.values().filter(|offer| offer.agent == agent) {
            free.subtract(&offer.resources);
        }
        free
    }

    /// Offers all that is free, each agent to the role that has the least so far.
    pub(super) fn allocate(&mut self) {
        let now = self.now;
        for framework in self.frameworks.values_mut() {
            framework.filters.retain(|filter| filter.until > now);
        }
        let mut present = self.frameworks.values().filter(|framework| framework.stream.is_some());
        let wanted = present.any(|framework| framework.roles().iter().any(|role| !framework.suppressed.contains(role)));
        let agents: Vec<String> = self
            .agents
            .iter()
            .filter(|(id, entry)| wanted && entry.standing == Standing::Registered && !self.is_draining(id))
            .map(|(id, _)| id.clone())
            .collect();
        let mut made: Vec<(String, String, String)> = Vec::new();
        for agent in agents {
            loop {
                let free = self.free(&agent);
                let Some((framework, role, part)) = self.next_in_line(&agent, &free) else { break };
                let id = format!("{}-O{}", self.id, self.next_offer);
                self.next_offer += 1;
                made.push((framework.clone(), id.clone(), role.clone()));
                self.offers.insert(id, Offer { framework, role, agent: agent.clone(), resources: part });
            }
        }
        let mut frameworks: Vec<&String> = made.iter().map(|(framework, ..)| framework).collect();
        frameworks.sort();
        frameworks.dedup();
        for framework in frameworks {
            let ids = made.iter().filter(|(owner, ..)| owner == framework).map(|(_, id, _)| id);
            let offers = ids.filter_map(|id| self.message(id)).collect();
            let event = Event {
                r#type: Some(event::Type::Offers.into()),
                offers: Some(event::Offers { offers }),
                ..Default::default()
            };
            let framework = framework.clone();
            self.send(&framework, &event);
        }
        self.ask_inverse();
    }

    /// The framework and role to be offered what is free on an agent: of those that want it, the one with the fewest
    /// tasks and offers.
    fn next_in_line(&self, agent: &str, free: &Pool) -> Option<(String, String, Pool)> {
        let mut line = Vec::new();
        for (id, framework) in self.frameworks.iter().filter(|(_, framework)| framework.stream.is_some()) {
            for role in framework.roles().into_iter().filter(|role| !framework.suppressed.contains(role)) {
                let part = free.for_role(&role);
                let refused =
                    |filter: &Filter| filter.agent == agent && filter.role == role && filter.refused.contains(&part);
                if !part.is_worth_offering() || framework.filters.iter().any(refused) {
                    continue;
                }
                let offers = self.offers.values().filter(|offer| offer.framework == *id && offer.role == role).count();
                let tasks = self.tasks.keys().filter(|key| key.0 == *id).count();
                line.push((offers + tasks, id.clone(), role, part));
            }
        }
        line.into_iter()
            .min_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)))
            .map(|(_, id, role, part)| (id, role, part))
    }

    /// An offer as its framework is to see it.
    fn message(&self, id: &str) -> Option<v1::Offer> {
        let offer = self.offers.get(id)?;
        let framework = self.frameworks.get(&offer.framework)?;
        let agent = self.agents.get(&offer.agent)?;
        let role = framework.has(Capability::MultiRole).then_some(offer.role.as_str());
        let refined = framework.has(Capability::ReservationRefinement);
        Some(v1::Offer {
            id: v1::OfferId { value: id.into() },
            framework_id: v1::FrameworkId { value: offer.framework.clone() },
            agent_id: v1::AgentId { value: offer.agent.clone() },
            hostname: agent.info.hostname.clone(),
            url: Some(v1::Url {
                scheme: "http".into(),
                address: v1::Address {
                    hostname: Some(agent.info.hostname.clone()),
                    ip: Some("127.0.0.1".into()),
                    port: agent.info.port(),
                },
                path: Some("/slave(1)".into()),
                ..Default::default()
            }),
            resources: offer.resources.to_messages(role, refined),
            attributes: agent.info.attributes.clone(),
            unavailability: self.registry.maintenance.get(&offer.agent).cloned(),
            allocation_info: role.map(|role| v1::resource::AllocationInfo { role: Some(role.into()) }),
            ..Default::default()
        })
    }

    /// Takes an offer out of a framework's hands.
    pub(super) fn take_offer(&mut self, framework: &str, id: &str) -> Option<(String, String, Pool)> {
        if self.offers.get(id)?.framework != framework {
            return None;
        }
        self.offers.remove(id).map(|offer| (offer.agent, offer.role, offer.resources))
    }

    /// Offers that a framework loses without being told: its subscription is over.
    pub(super) fn forget_offers(&mut self, framework: &str) {
        self.offers.retain(|_, offer| offer.framework != framework);
    }

    /// Takes offers back, and says so.
    pub(super) fn rescind(&mut self, which: impl Fn(&Offer) -> bool) {
        let ids: Vec<(String, String)> = self
            .offers
            .iter()
            .filter(|(_, offer)| which(offer))
            .map(|(id, offer)| (id.clone(), offer.framework.clone()))
            .collect();
        for (id, framework) in ids {
            self.offers.remove(&id);
            let event = Event {
                r#type: Some(event::Type::Rescind.into()),
                rescind: Some(event::Rescind { offer_id: v1::OfferId { value: id } }),
                ..Default::default()
            };
            self.send(&framework, &event);
        }
    }

    pub(crate) fn rescind_all(&mut self) {
        self.rescind(|_| true);
    }

    /// Remembers what was refused.
    pub(super) fn refuse(
        &mut self,
        framework: &str,
        agent: String,
        role: String,
        refused: Pool,
        filters: Option<&v1::Filters>,
    ) {
        let time = refusal(filters);
        if time.is_zero() || refused.is_empty() {
            return;
        }
        let until = self.now + time.max(self.settings.allocation_interval);
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.filters.push(Filter { agent, role, refused, until });
        }
    }

    /// REVIVE and SUPPRESS, of these roles or of all. One role that isn't subscribed voids the call.
    pub(super) fn set_suppressed(&mut self, id: &str, roles: Vec<String>, suppressed: bool) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let mine = framework.roles();
        let roles = if roles.is_empty() { mine.clone() } else { roles };
        if roles.iter().any(|role| !mine.contains(role)) {
            return;
        }
        for role in roles {
            if suppressed {
                framework.suppressed.insert(role);
            } else {
                framework.suppressed.remove(&role);
                framework.filters.retain(|filter| filter.role != role);
            }
        }
        if !suppressed {
            self.next_allocation = self.next_allocation.min(self.now + Duration::from_millis(10));
        }
    }
}

/// For how long something is refused.
pub(super) fn refusal(filters: Option<&v1::Filters>) -> Duration {
    let seconds = filters.map_or(5.0, v1::Filters::refuse_seconds);
    // Negative and absurd values count as the default, the rest is capped at a year.
    let seconds = if seconds.is_finite() && seconds >= 0.0 { seconds.min(31_536_000.0) } else { 5.0 };
    Duration::from_secs_f64(seconds)
}
