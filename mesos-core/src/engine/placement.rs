//! Where an instance may go: what an offer says of its agent, and the constraints of a spec.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write as _;

use super::attempt::{Agent, Attempt};
use super::book::Spec;
use super::spec::{Field, Operator};
use super::status::cut;
use crate::attribute::{attribute_text, decimal};
use crate::resources::Pool;
use crate::{OfferRef, v1};

/// Chooses among the agents that an instance fits on, in place of the first one: a placement of one's own (S108).
///
/// It is asked with what is in hand in that step, for each instance that waits and each agent with room for it whose
/// constraints hold. It must answer the same for the same, or simulated runs can't be repeated.
///
/// ```
/// use mesos_core::engine::{OfferPolicy, Place};
///
/// /// Fills the fullest agent first.
/// #[derive(Debug)]
/// struct Pack;
///
/// impl OfferPolicy for Pack {
///     fn rate(&mut self, place: &Place<'_>) -> Option<i64> {
///         Some(-(place.free("cpus") * 1000.0) as i64)
///     }
/// }
/// ```
pub trait OfferPolicy: core::fmt::Debug + Send {
    /// How good this agent is for this instance: the highest rating wins, the earlier offer among equal ones, and
    /// `None` is not at all. [`i64::MAX`] ends the search.
    fn rate(&mut self, place: &Place<'_>) -> Option<i64>;
}

/// An instance that waits, and an agent that it fits on.
#[derive(Debug)]
pub struct Place<'a> {
    pub(super) spec: &'a str,
    pub(super) index: u32,
    pub(super) agent: &'a Agent,
    pub(super) pool: &'a Pool,
}

impl<'a> Place<'a> {
    /// The spec of the instance.
    #[must_use]
    pub const fn spec(&self) -> &'a str {
        self.spec
    }

    /// Which instance of the spec.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The agent's id.
    #[must_use]
    pub fn agent_id(&self) -> &'a str {
        &self.agent.id
    }

    /// The agent's host name.
    #[must_use]
    pub fn hostname(&self) -> &'a str {
        &self.agent.hostname
    }

    /// The value of a field of the agent, as constraints see it.
    #[must_use]
    pub fn value(&self, field: &Field) -> Option<&'a str> {
        value(self.agent, field)
    }

    /// How much of a scalar resource is still free in what is offered of the agent, what can be revoked not counted.
    #[must_use]
    pub fn free(&self, resource: &str) -> f64 {
        self.pool.amount(resource, false) as f64 / 1000.0
    }
}

/// What is kept of a text that a peer chose, in bytes.
const TEXT: usize = 1024;

/// The agent of an offer.
pub(super) fn agent(offer: OfferRef<'_>) -> Agent {
    let owned = offer.to_owned();
    let domain = owned.domain.and_then(|domain| domain.fault_domain);
    Agent {
        id: owned.agent_id.value.into(),
        hostname: cut(&owned.hostname, TEXT).into(),
        ip: owned.url.and_then(|url| url.address.ip).filter(|ip| ip.len() <= TEXT),
        region: domain.as_ref().map(|domain| cut(&domain.region.name, TEXT).into()),
        zone: domain.map(|domain| cut(&domain.zone.name, TEXT).into()),
        attributes: owned.attributes.iter().map(|a| (a.name.clone(), cut(&attribute_text(a), TEXT).into())).collect(),
    }
}

/// What is worth keeping of an agent for as long as a task is on it.
pub(super) fn keep(agent: &Arc<Agent>, named: &BTreeSet<&Field>) -> Arc<Agent> {
    if agent.attributes.is_empty() {
        return agent.clone();
    }
    let is_named = |name: &String| named.iter().any(|field| matches!(field, Field::Attribute(n) if n == name));
    let attributes = agent.attributes.iter().filter(|(name, _)| is_named(name)).cloned().collect();
    Arc::new(Agent { attributes, ..(**agent).clone() })
}

/// The value of a field, if the agent has it.
fn value<'a>(agent: &'a Agent, field: &Field) -> Option<&'a str> {
    match field {
        Field::Hostname => Some(&agent.hostname),
        Field::Agent => Some(&agent.id),
        Field::Region => agent.region.as_deref(),
        Field::Zone => agent.zone.as_deref(),
        Field::Attribute(name) => agent.attributes.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str()),
    }
}

/// Whether all constraints of a spec let this instance onto this agent (S108).
pub(super) fn allows(spec: &Spec, index: u32, agent: &Agent) -> bool {
    spec.spec.policy.constraints.iter().all(|constraint| {
        // A missing field refuses.
        let Some(value) = value(agent, &constraint.field) else { return false };
        let peers =
            || peers(spec, index).filter(|peer| self::value(&peer.agent, &constraint.field) == Some(value)).count();
        match &constraint.operator {
            Operator::Is(wanted) => is(value, wanted),
            Operator::Unique => peers() == 0,
            Operator::MaxPer(count) => peers() < *count as usize,
        }
    })
}

/// Numbers are equal if their first three decimals are.
fn is(value: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite()).map(decimal);
    value == wanted || number(wanted).is_some_and(|wanted| number(value) == Some(wanted))
}

/// The instances of a spec that count in its constraints, without the slot's own. Of the present revision only, so
/// that the old ones don't stand in the way of the new.
fn peers(spec: &Spec, index: u32) -> impl Iterator<Item = &Attempt> {
    let others = spec.slots.iter().filter(move |(other, _)| **other != index);
    others.flat_map(|(_, slot)| slot.attempts()).filter(|a| a.counts() && a.revision == spec.revision)
}

/// Resources as Mesos writes them, for people.
pub(super) fn text(resources: &[v1::Resource]) -> String {
    let mut out = String::new();
    for resource in resources {
        if !out.is_empty() {
            out.push(';');
        }
        out.push_str(&resource.name);
        if let Some(role) = resource.reservations.last().and_then(|reservation| reservation.role.as_ref()) {
            let _ = write!(out, "({role})");
        }
        out.push(':');
        if let Some(scalar) = &resource.scalar {
            let _ = write!(out, "{}", scalar.value);
        }
        if let Some(ranges) = &resource.ranges {
            let ranges: alloc::vec::Vec<String> =
                ranges.range.iter().map(|range| alloc::format!("{}-{}", range.begin, range.end)).collect();
            let _ = write!(out, "[{}]", ranges.join(","));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_an_agent() {
        let agent = Agent {
            id: "a1".into(),
            hostname: "h".into(),
            attributes: alloc::vec![("rack".into(), "r1".into())],
            ..Agent::default()
        };
        assert_eq!(value(&agent, &Field::Hostname), Some("h"));
        assert_eq!(value(&agent, &Field::from("rack")), Some("r1"));
        assert_eq!(value(&agent, &Field::from("zone")), None);
        assert_eq!(value(&agent, &Field::Zone), None);
    }
}
