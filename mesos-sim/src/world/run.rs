//! Runs seeds.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{Fault, Settings, World, cells};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
#[non_exhaustive]
pub struct Violation {
    /// Its name; `setup` if no engine could be made in the first place, `panic` if something has panicked.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// What a run has brought.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many steps it took.
    pub steps: u64,
    /// How much time has passed in the world.
    pub time: Duration,
    /// Calls by kind.
    pub calls: BTreeMap<&'static str, u64>,
    /// How often each fault has happened.
    pub faults: BTreeMap<Fault, u64>,
    /// How often each invariant had something to judge.
    pub judged: BTreeMap<&'static str, u64>,
    /// How often each cell of the engine's tables was reached; for who works on the engine.
    pub cells: cells::Cells,
    /// A digest of everything that the scheduler has put out.
    pub digest: u64,
    /// What happened, if it was to be written down.
    pub trace: Vec<String>,
    /// What must not be.
    pub violation: Option<Violation>,
}

/// Runs one seed. What panics is a violation, too.
#[must_use]
pub fn run(seed: u64, settings: &Settings) -> Report {
    let mut world = match caught(|| World::new(seed, settings)) {
        Ok(world) => world,
        Err(violation) => return Report { violation: Some(violation), ..Report::default() },
    };
    let violation = caught(|| world.run()).err();
    let mut ledger = world.ledger;
    let judges = [
        world.past.judged,
        world.places.judged,
        world.places.succession.judged,
        world.places.ends.judged,
        world.places.timers.judged,
        // The limit of steps.
        BTreeMap::from([("I20", 1)]),
    ];
    for (invariant, count) in judges.into_iter().flatten() {
        *ledger.judged.entry(invariant).or_default() += count;
    }
    Report {
        steps: world.steps,
        time: world.now,
        calls: ledger.calls.into_iter().map(|(kind, count)| (kind.as_str_name(), count)).collect(),
        faults: world.plan.counts,
        judged: ledger.judged,
        cells: world.cells,
        digest: world.digest,
        trace: world.trace.unwrap_or_default(),
        violation,
    }
}

/// Runs this, and makes a violation of a panic.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(Violation { invariant: "panic", what: text.unwrap_or("without a text").to_owned() })
    })
}

/// The first seed that shows what must not be. It says how to see that again.
#[derive(Clone, thiserror::Error)]
#[error(
    "seed {seed}, step {} at {:.3} s: {}; with `Settings::trace` its report says what led to that",
    .report.steps,
    .report.time.as_secs_f64(),
    .report.violation.as_ref().map(ToString::to_string).unwrap_or_default()
)]
#[non_exhaustive]
pub struct Failed {
    /// Which it is.
    pub seed: u64,
    /// All of it.
    pub report: Box<Report>,
}

// As tests print it.
impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Runs these seeds, one after the other.
///
/// # Errors
/// One of them shows what must not be: the first one that does. No other is run then.
pub fn check(seeds: impl IntoIterator<Item = u64>, settings: &Settings) -> Result<(), Failed> {
    seeds.into_iter().try_for_each(|seed| {
        let report = run(seed, settings);
        if report.violation.is_none() { Ok(()) } else { Err(Failed { seed, report: report.into() }) }
    })
}
