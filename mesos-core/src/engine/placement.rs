//! Where an instance may go: what an offer says of its agent, and the constraints of a spec.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::attempt::{Agent, Attempt};
use super::book::{Slot, Spec};
use super::id::cut;
use super::launch::Revision;
use super::spec::{Constraint, Field, Operator};
use crate::attribute::{attribute_text, decimal};
use crate::planted::planted;
use crate::resources::Pool;
use crate::{OfferRef, v1};

/// Chooses among the agents that an instance fits on, in place of the first one: a placement of one's own.
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
// S108
pub trait OfferPolicy: core::fmt::Debug + Send {
    /// How good this agent is for this instance: the highest rating wins, the earlier offer among equal ones, and
    /// `None` is not at all. [`i64::MAX`] ends the search.
    fn rate(&mut self, place: &Place<'_>) -> Option<i64>;
}

/// An instance that waits, and an agent that it fits on.
///
/// Only the engine makes one. To test a policy, let an engine with it run: in the simulated world of `mesos-sim`
/// (`world::Setup`), whose invariants say where tasks may be.
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

    /// Which instance of the spec, from 0: one less than the number in its task's name.
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
pub(super) fn keep(agent: &Agent, named: &BTreeSet<&Field>) -> Agent {
    let is_named = |name: &String| named.iter().any(|field| matches!(field, Field::Attribute(n) if n == name));
    let attributes = agent.attributes.iter().filter(|(name, _)| is_named(name)).cloned().collect();
    Agent { attributes, ..agent.clone() }
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

/// The field of the first constraint of a spec that doesn't let this instance onto this agent (S108).
pub(super) fn forbids<'a>(spec: &'a Spec, index: u32, revision: Revision, agent: &Agent) -> Option<&'a Field> {
    let allows = |constraint: &Constraint| {
        // A missing field refuses.
        let Some(value) = value(agent, &constraint.field) else { return false };
        // Without those of its own slot.
        let peers = || {
            let own = spec.slots.get(&index).into_iter().flat_map(Slot::attempts).filter(|a| {
                a.counted && a.revision == revision && self::value(&a.agent, &constraint.field) == Some(value)
            });
            spec.peers.count(&constraint.field, value, revision).saturating_sub(own.count() as u32)
        };
        match &constraint.operator {
            Operator::Is(wanted) => is(value, wanted),
            Operator::Unique => peers() == 0,
            Operator::MaxPer(count) => peers() < *count + u32::from(planted!(OneTooMany)),
        }
    };
    spec.spec.policy.constraints.iter().find(|constraint| !allows(constraint)).map(|constraint| &constraint.field)
}

/// Numbers are equal if their first three decimals are.
fn is(value: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite()).map(decimal);
    value == wanted || number(wanted).is_some_and(|wanted| number(value) == Some(wanted))
}

/// How many instances of a spec there are with each value of the fields that its constraints count. By revision, so that
/// the old ones don't stand in the way of the new.
#[derive(Debug, Default)]
pub(super) struct Peers(Vec<(Field, Counts)>);

/// By value of the field, and by revision.
type Counts = BTreeMap<Box<str>, BTreeMap<Revision, u32>>;

impl Peers {
    /// What these constraints count; nobody is there so far.
    pub(super) fn new(constraints: &[Constraint]) -> Self {
        let counting = constraints.iter().filter(|constraint| !matches!(constraint.operator, Operator::Is(_)));
        let fields: BTreeSet<&Field> = counting.map(|constraint| &constraint.field).collect();
        Self(fields.into_iter().map(|field| (field.clone(), BTreeMap::new())).collect())
    }

    /// An instance counts from now on, or no longer.
    pub(super) fn change(&mut self, attempt: &Attempt, counts: bool) {
        for (field, values) in &mut self.0 {
            let Some(value) = value(&attempt.agent, field) else { continue };
            if counts {
                *values.entry(value.into()).or_default().entry(attempt.revision).or_default() += 1;
                continue;
            }
            let Some(revisions) = values.get_mut(value) else { continue };
            if let Some(count) = revisions.get_mut(&attempt.revision) {
                *count = count.saturating_sub(1);
            }
            revisions.retain(|_, count| *count > 0);
            if revisions.is_empty() {
                values.remove(value);
            }
        }
    }

    fn count(&self, field: &Field, value: &str, revision: Revision) -> u32 {
        let values = self.0.iter().find(|(counted, _)| counted == field).map(|(_, values)| values);
        values.and_then(|values| values.get(value)?.get(&revision)).copied().unwrap_or_default()
    }
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
            let ranges: Vec<String> =
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
