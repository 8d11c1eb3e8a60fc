//! The engine in a simulated world: seeds that once failed, and some that nobody has seen.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use mesos_sim::world::{Settings, run};

fn passes(seed: u64) -> u64 {
    let report = run(seed, &Settings::default());
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
    (1_000_000..1_000_100).for_each(|seed| drop(passes(seed)));
}

// I20
#[test]
fn the_same_seed_gives_the_same_outputs() {
    for seed in 1..10 {
        assert_eq!(passes(seed), passes(seed), "seed {seed}");
    }
}
