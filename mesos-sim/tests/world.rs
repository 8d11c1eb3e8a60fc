//! The engine in a simulated world: seeds that once failed, and some more.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use mesos_sim::world::{Settings, run, run_executors};

fn passes_with(seed: u64, settings: &Settings) -> u64 {
    let report = run(seed, settings);
    if let Some(violation) = report.violation {
        panic!("seed {seed}, step {}: {violation}", report.steps);
    }
    report.digest
}

/// Each line is a seed, with `*2` if there were two instances and `v` if specs varied, and what it found.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes a minute unless optimized: cargo xtask test --only simulate runs them all"
)]
fn seeds_that_once_failed() {
    let seeds = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for seed in seeds.filter_map(|line| line.split_whitespace().next()) {
        let (seed, varied) = seed.strip_suffix('v').map_or((seed, false), |seed| (seed, true));
        let (seed, instances) = seed.split_once('*').unwrap_or((seed, "1"));
        let number = |text: &str| text.parse().expect("a line of seeds.txt begins with a seed");
        passes_with(number(seed), &Settings::default().instances(number(instances) as u32).varied(varied));
    }
}

#[test]
fn fresh_seeds() {
    // Short ones, since this is not an optimized build; `simulate` runs the long ones.
    let settings = Settings::default().faulty(std::time::Duration::from_secs(1200));
    (1_000_000..1_000_010).for_each(|seed| assert_ne!(passes_with(seed, &settings), 0));
}

// Two instances: leaders that were replaced went on, and were found out.
#[test]
fn two_instances() {
    let settings = Settings::default().instances(2).faulty(std::time::Duration::from_secs(1200));
    let mut judged = std::collections::BTreeMap::<&str, u64>::new();
    // A launch of one that was replaced is seldom: as many seeds as it takes.
    let wanted = ["I22", "I23", "I24", "L9"];
    for seed in 2_000_000..2_000_100 {
        let report = run(seed, &settings);
        assert_eq!(report.violation, None, "seed {seed}, step {}", report.steps);
        for (invariant, count) in report.judged {
            *judged.entry(invariant).or_default() += count;
        }
        if seed >= 2_000_004 && wanted.iter().all(|invariant| judged.contains_key(invariant)) {
            return;
        }
    }
    panic!("not everything that was wanted has been judged: {judged:?}");
}

// I20
#[test]
fn the_same_seed_gives_the_same_outputs() {
    for (seed, instances) in [(9, 1), (42, 1), (42, 2)] {
        let settings = Settings::default().instances(instances);
        assert_eq!(passes_with(seed, &settings), passes_with(seed, &settings), "seed {seed}");
    }
}

// S195, S196, S197: executors with agents that die, lost answers, late acknowledgements; and each way to end.
#[test]
fn executors() {
    let mut faults = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..8 {
        let report = run_executors(seed);
        if let Some(violation) = report.violation {
            let trace = &report.trace[report.trace.len().saturating_sub(40)..];
            panic!("seed {seed}, step {}: {violation}\n{}", report.steps, trace.join("\n"));
        }
        assert!(report.updates > 20, "seed {seed} has seen {} updates only", report.updates);
        for (fault, count) in report.faults {
            *faults.entry(fault).or_default() += count;
        }
    }
    assert_eq!(faults.len(), 7, "{faults:?}");
}
