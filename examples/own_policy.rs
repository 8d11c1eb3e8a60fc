//! How to test a placement policy of one's own: an engine with it runs in the simulated world, where masters and agents
//! die, connections break and stores hang, and what the policy promises is checked after every step that changes anything.
//!
//! `cargo test -p examples --test own_policy` runs it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use mesos_core::Resources;
use mesos_core::engine::{Config, Duplicates, Engine, OfferPolicy, Place, RecoverError, TaskSpec};
use mesos_core::scheduler::{self, Framework};
use mesos_sim::AgentOptions;
use mesos_sim::world::{Failed, Fault, Settings, Setup, Start, View, check};

/// Databases never run on machines that may be taken away at any time; all else prefers these.
#[derive(Debug)]
struct Firm;

impl OfferPolicy for Firm {
    fn rate(&mut self, place: &Place<'_>) -> Option<i64> {
        let spot = place.hostname().starts_with("spot");
        match (place.spec(), spot) {
            ("db", true) => None,
            (_, spot) => Some(spot.into()),
        }
    }
}

/// What a program would do at its start.
fn engine(start: Start<'_>) -> Result<Engine, RecoverError> {
    let framework = Framework::new("shop").roles(["shop"]);
    let client = scheduler::Config::new(framework, start.masters).unwrap();
    let small = Resources::new().cpus(0.5).mem(64.0);
    let specs = [
        TaskSpec::new("db").command("sleep infinity").resources(small.clone()).instances(2),
        TaskSpec::new("ledger").command("sleep infinity").resources(small.clone()).duplicates(Duplicates::Forbid),
        TaskSpec::new("web").command("sleep infinity").resources(small).instances(4).scalable(true),
    ];
    let mut engine = Engine::new(Config::new(client), specs, start.records, start.seed)?;
    engine.set_offer_policy(Firm);
    Ok(engine)
}

/// What really runs, and where.
fn databases_are_firm(view: &View<'_>) -> Result<(), String> {
    match view.living().find(|task| task.task_id.contains(".db-") && task.hostname.starts_with("spot")) {
        Some(task) => Err(format!("{task:?}")),
        None => Ok(()),
    }
}

fn settings() -> Settings {
    let host = |name: &str| AgentOptions::default().hostname(name).resources("cpus:8;mem:2000;ports:[31000-31999]");
    let setup = Setup::new(engine)
        .agents(["firm-1", "firm-2", "spot-1", "spot-2"].map(host))
        .action(Duration::from_secs(300), |engine, chance| drop(engine.scale("web", (chance % 8) as u32)))
        .action(Duration::from_secs(900), |engine, _| drop(engine.restart("db")))
        .invariant("databases are firm", databases_are_firm);
    Settings::default().setup(setup).faulty(Duration::from_secs(1200))
}

#[test]
fn databases_stay_where_they_are_safe() -> Result<(), Failed> {
    check(0..20, &settings())
}

/// What must not run twice waits for a machine that is lost: until an operator says that it is.
#[test]
fn the_ledger_outlives_its_machine() -> Result<(), Failed> {
    check(0..10, &settings().only([Fault::AgentReplaced]))
}

/// A test that can't fail proves nothing: without the policy some database ends up where it must not be.
#[test]
fn without_the_policy_it_is_found() {
    let settings = settings().setup(
        Setup::new(|start| {
            let mut engine = engine(start)?;
            engine.set_offer_policy(Anywhere);
            Ok(engine)
        })
        .agents(["firm-1", "spot-1", "spot-2"].map(|name| AgentOptions::default().hostname(name)))
        .invariant("databases are firm", databases_are_firm),
    );
    let found = check(0..20, &settings).unwrap_err().report.violation;
    assert_eq!(found.map(|violation| violation.invariant), Some("databases are firm"));
}

#[derive(Debug)]
struct Anywhere;

impl OfferPolicy for Anywhere {
    fn rate(&mut self, _: &Place<'_>) -> Option<i64> {
        Some(0)
    }
}
