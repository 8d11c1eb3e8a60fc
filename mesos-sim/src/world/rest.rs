//! What an engine at rest is like: it stays subscribed, it keeps nothing of what is no more, and it holds hardly more
//! than one that has just started.

use std::collections::BTreeSet;
use std::time::Duration;

use mesos_core::engine::Engine;
use mesos_core::{Input, Machine as _, Output};

use super::{QUIET, Step, World, violation};

/// How much longer an engine's description may be than that of a fresh one, besides a fifth of that: what it knows of its
/// session and of agents.
const MORE: usize = 4_000;

impl World {
    /// Whether a task is being launched or ended.
    pub(super) fn is_under_way(&self) -> bool {
        use mesos_core::engine::State::{Killing, Launching, Staged};
        let mut tasks = self.engine.iter().flat_map(|engine| engine.tasks());
        tasks.any(|task| matches!(task.state, Launching | Staged | Killing(_)))
    }

    /// L6, L7.
    pub(super) fn rests(&mut self) -> Step {
        let settled = self.now.saturating_sub(QUIET);
        let (subscribed, lost) = (self.ledger.subscribed_at, self.ledger.lost_at + Duration::from_secs(120));
        if subscribed > settled && subscribed > lost {
            return violation("L6", format!("a subscription of {subscribed:?}, long after all was well"));
        }
        self.leftovers()?;
        self.lean()
    }

    /// L7: no record of what is no more.
    fn leftovers(&self) -> Step {
        let Some(engine) = &self.engine else { return Ok(()) };
        let mut known = BTreeSet::new();
        for spec in engine.specs() {
            known.insert((spec.name.clone(), spec.revision.to_string()));
            known.extend(
                self.disk
                    .spec(&spec.name)
                    .into_iter()
                    .flat_map(|record| record.history)
                    .map(|old| (spec.name.clone(), old)),
            );
        }
        for key in self.disk.records.keys() {
            let segments: Vec<String> = key.segments().collect();
            let known = match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["spec" | "slot" | "inst", spec, ..] => known.iter().any(|(name, _)| name == spec),
                ["rev", spec, revision] => known.contains(&((*spec).to_owned(), (*revision).to_owned())),
                _ => true,
            };
            if !known {
                return violation("L7", format!("{key} is kept, and of nothing that there is"));
            }
        }
        Ok(())
    }

    /// L6: what has gone is forgotten.
    fn lean(&mut self) -> Step {
        let records = self.disk.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let fresh = match &self.setup {
            Some(_) => return Ok(()),
            None => self.make(records, 1)?,
        };
        let (Some(engine), Ok(mut fresh)) = (&self.engine, fresh) else { return Ok(()) };
        fresh.handle_input(self.instant(), Input::Wall(self.wall()));
        fresh.handle_input(self.instant(), Input::Timeout);
        while !matches!(fresh.poll_output(), Output::Timeout(_)) {}
        // I18: what would be known after a crash is what is known now. What is told of a task at the next question only isn't
        // looked at, nor what becomes of those that wait.
        let known = |engine: &Engine| {
            let specs = engine.specs().map(|spec| {
                let places = engine.instances(&spec.name).map(|place| {
                    let end = place.last_end.map(|end| {
                        (
                            end.class,
                            end.state,
                            end.reason,
                            end.at.since_epoch().as_millis(),
                            end.ran_for.map(|ran| ran.as_millis()),
                        )
                    });
                    (place.index, place.wanted, place.finished, place.held, place.faults, end)
                });
                (spec.name.clone(), spec.revision, spec.wanted, spec.paused, spec.priority, places.collect::<Vec<_>>())
            });
            let mut specs: Vec<_> = specs.collect();
            specs.sort_by(|a, b| a.0.cmp(&b.0));
            specs
        };
        let (now, then) = (known(engine), known(&fresh));
        if !self.unsaved && now != then {
            return violation("I18", format!("known is {now:?}, and after a crash {then:?}"));
        }
        let (held, fresh) = (format!("{engine:?}").len(), format!("{fresh:?}").len());
        if held > fresh + fresh / 5 + MORE {
            return violation("L6", format!("an engine of {held} bytes, and a fresh one has {fresh}"));
        }
        Ok(())
    }
}
