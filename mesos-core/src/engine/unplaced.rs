//! Why instances that wait are not placed (ENGINE 2.6).

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use super::attempt::SpecId;
use super::engine::{Engine, Timer};
use super::event::Event;
use super::spec::Field;
use crate::Instant;

/// What has waited for so long is told of, and again after as long.
const LONG: Duration = Duration::from_secs(60);

/// Why instances of a spec are not placed, although nothing holds them back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// How many instances of the spec wait, those that are held back included.
    pub waiting: u32,
    /// How many of them wait for the end of a task in their own place before anything else, as there is no room for a
    /// second one beside it ([`max_surge`](super::TaskSpec::max_surge)), or there must be none
    /// ([`duplicates`](super::TaskSpec::duplicates)).
    pub held_by_surge: u32,
    /// For how long the one that could go first has been able to.
    pub during: Duration,
    /// How often something stood in the way, since something began to wait: each time an agent was offered it is what
    /// came first. Nothing if none was offered.
    pub obstacles: BTreeMap<Obstacle, u64>,
    /// What the last agent lacked that had too little of something, for people.
    pub lacking: Option<String>,
}

/// What keeps an instance off an agent; in the order in which they are looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Obstacle {
    /// [Maintenance](Event::AgentClosing) of the agent is near, or under way.
    Closing,
    /// For the moment nothing is launched there: too many tasks start there, it has failed since it was offered, the
    /// store stalls, or not all questions of a new subscription are answered.
    Gated,
    /// The agent has [failed the spec](Event::AgentAvoided) too often.
    Avoided,
    /// A constraint on this field.
    Constraint(Field),
    /// Too little of this resource; the first of those that are lacking.
    Resource(String),
    /// The [policy of one's own](super::OfferPolicy) doesn't like it.
    Policy,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing => f.write_str("about to be taken away"),
            Self::Gated => f.write_str("nothing is launched there for the moment"),
            Self::Avoided => f.write_str("has failed too often"),
            Self::Constraint(field) => write!(f, "constraint on {field}"),
            Self::Resource(name) => write!(f, "too little {name}"),
            Self::Policy => f.write_str("refused by the policy"),
        }
    }
}

/// `2 wait for 60 s: 1 for the end of a task in the same place, too little mem (3 times), constraint on rack (once)`
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wait for {} s: ", self.waiting, self.during.as_secs())?;
        let mut separator = "";
        if self.held_by_surge > 0 {
            write!(f, "{} for the end of a task in the same place", self.held_by_surge)?;
            separator = ", ";
        }
        if self.obstacles.is_empty() && self.held_by_surge < self.waiting {
            write!(f, "{separator}nothing was offered")?;
        }
        for (obstacle, times) in &self.obstacles {
            match times {
                1 => write!(f, "{separator}{obstacle} (once)")?,
                times => write!(f, "{separator}{obstacle} ({times} times)")?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

impl Engine {
    /// Why instances of a spec are not placed; `None` if there is no such spec, or nothing of it waits but what is held
    /// back after an end.
    #[must_use]
    pub fn explain(&self, spec: &str) -> Option<Explanation> {
        let (_, spec) = self.book.named(spec)?;
        let (first, _) = spec.sums.waiting.first().filter(|(at, _)| *at <= self.now)?;
        let due = spec.sums.waiting.iter().take_while(|(at, _)| *at <= self.now);
        let crowded = due.filter(|(_, index)| spec.is_crowded(*index));
        Some(Explanation {
            waiting: u32::try_from(spec.sums.waiting.len()).unwrap_or(u32::MAX),
            held_by_surge: u32::try_from(crowded.count()).unwrap_or(u32::MAX),
            during: self.now.saturating_duration_since(*first),
            obstacles: spec.obstacles.clone(),
            lacking: spec.lacking.as_ref().map(ToString::to_string),
        })
    }

    /// Something has begun to wait, or the last one that did does no longer.
    pub(super) fn watch_waiting(&mut self, id: SpecId, first: Option<Instant>) {
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        match first {
            None => spec.obstacles.clear(),
            Some(first) if spec.unplaced_at.is_none() && !self.config.own_offers => {
                let at = self.now.max(first) + LONG;
                spec.unplaced_at = Some(at);
                self.timers.insert((at, Timer::Unplaced(id)));
            }
            Some(_) => {}
        }
    }

    /// It is time to look whether something has waited for long.
    pub(super) fn on_unplaced_timer(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        spec.unplaced_at = None;
        let Some(&(first, _)) = spec.sums.waiting.first() else { return };
        let (name, long) = (spec.spec.name().to_string(), first + LONG <= self.now);
        if let Some(explanation) = self.explain(&name).filter(|_| long && self.subscribed) {
            self.tell(None, Event::Unplaced { spec: name, explanation });
        }
        self.watch_waiting(id, Some(if long { self.now } else { first }));
    }
}
