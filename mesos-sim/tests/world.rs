//! The engine in a simulated world: seeds that once failed, and some that nobody has seen.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use mesos_sim::world::{Settings, run};

fn passes(seed: u64) -> u64 {
    passes_with(seed, &Settings::default())
}

fn passes_with(seed: u64, settings: &Settings) -> u64 {
    let report = run(seed, settings);
    if let Some(violation) = report.violation {
        panic!("seed {seed}, step {}: {violation}", report.steps);
    }
    report.digest
}

/// Each line is a seed, and what it found.
#[test]
fn seeds_that_once_failed() {
    let seeds = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for seed in seeds.filter_map(|line| line.split_whitespace().next()) {
        passes(seed.parse().expect("a line of seeds.txt begins with a seed"));
    }
}

#[test]
fn fresh_seeds() {
    // Short ones, since this is not an optimized build; `simulate` runs the long ones.
    let settings = Settings::default().faulty(std::time::Duration::from_secs(1200));
    (1_000_000..1_000_025).for_each(|seed| assert_ne!(passes_with(seed, &settings), 0));
}

// I20
#[test]
fn the_same_seed_gives_the_same_outputs() {
    for seed in [9, 42] {
        assert_eq!(passes(seed), passes(seed), "seed {seed}");
    }
}
