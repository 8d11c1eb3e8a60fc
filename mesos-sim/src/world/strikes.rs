//! I10: an agent on which a spec fails again and again is avoided by it (ENGINE 3.5); judged by what is told of the ends.

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_core::engine::{EndClass, Task};
use mesos_proto::v1::TaskState;

use super::{Step, violation};

/// So many ends in so short a time are too many.
const STRIKES: usize = 3;
const WITHIN: Duration = Duration::from_secs(600);
/// What fails later has only itself to blame.
const EARLY: Duration = Duration::from_secs(60);
/// A run this long clears the agent, but for some seconds.
const STABLE: Duration = Duration::from_secs(290);
/// So long it is avoided, twice as long each time, and so long at most.
const AVOIDED: Duration = Duration::from_secs(300);
const AT_MOST: Duration = Duration::from_secs(3600);

/// The judge. All by spec and agent, and of the present process: nothing of it is kept.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    /// When tasks ended that were held against the agent.
    at: BTreeMap<(String, String), Vec<Duration>>,
    /// When it was last avoided from, and how often it has been.
    avoided: BTreeMap<(String, String), (Duration, u32)>,
}

impl Strikes {
    /// A task has ended, of which was heard at `over_at`; with its framework, if nothing was (simulated: seed 7100005644).
    pub(super) fn ended(&mut self, task: &Task, class: EndClass, over_at: Option<Duration>) -> Step {
        let place = (task.spec.clone(), task.agent_id.clone());
        let early = task.running_for.is_none_or(|ran| ran < EARLY);
        let dropped = task.task_state == Some(TaskState::TaskDropped);
        if !(class == EndClass::Fault && early || class == EndClass::Infra && dropped) {
            if task.running_for.is_some_and(|ran| ran >= STABLE) {
                self.at.remove(&place);
            }
            return Ok(());
        }
        let Some(over_at) = over_at else { return Ok(()) };
        // That it is avoided is told at once, and the end that has led to it once that is durable.
        if self.avoided.get(&place).is_some_and(|(since, _)| over_at <= *since) {
            return Ok(());
        }
        let strikes = self.at.entry(place).or_default();
        strikes.push(over_at);
        strikes.retain(|at| *at + WITHIN > over_at);
        match strikes.len() < STRIKES {
            true => Ok(()),
            false => violation(
                "I10",
                format!("{} has failed on {} at {strikes:?}, and avoids it not", task.spec, task.agent_id),
            ),
        }
    }

    /// From now on the spec avoids the agent for so long.
    pub(super) fn avoids(&mut self, spec: &str, agent: &str, now: Duration, during: Duration) -> Step {
        let place = (spec.to_owned(), agent.to_owned());
        self.at.remove(&place);
        let (since, times) = self.avoided.entry(place).or_default();
        *since = now;
        let length = |times: u32| AVOIDED.saturating_mul(1 << times.min(10)).min(AT_MOST);
        let times = std::mem::replace(times, *times + 1);
        // A long run may have cleared it in between.
        match (0..=times).any(|times| during == length(times)) {
            true => Ok(()),
            false => {
                violation("I10", format!("{spec} avoids {agent} for {during:?}, and has done so {times} times before"))
            }
        }
    }

    /// A spec is no more.
    pub(super) fn forgets(&mut self, spec: &str) {
        self.at.retain(|(name, _), _| name != spec);
        self.avoided.retain(|(name, _), _| name != spec);
    }
}
