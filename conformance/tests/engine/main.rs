//! The engine, scenario by scenario, each on both sides.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod crashes;
mod ends;
mod failures;
mod program;
mod services;
mod takeover;

use std::time::Duration;

use conformance::mesos_core::Resources;
use conformance::mesos_core::engine::TaskSpec;
use conformance::{Options, RollCall};
use tempfile::TempDir;

/// Folders for a store and for a roll call.
struct Folders {
    store: TempDir,
    roll: RollCall,
    _roll: TempDir,
}

impl Folders {
    fn new() -> Self {
        let (store, roll) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Self { store, roll: RollCall::new(roll.path()), _roll: roll }
    }

    /// A service that signs in and then sleeps.
    fn service(&self, name: &str, instances: u32) -> TaskSpec {
        spec(name, self.roll.signed(name, "exec sleep 1000")).instances(instances).scalable(true)
    }
}

/// A small task that is ready as soon as it runs.
fn spec(name: &str, command: impl Into<String>) -> TaskSpec {
    let needs = Resources::new().cpus(0.1).mem(32.0);
    TaskSpec::new(name).command(command).resources(needs).min_ready(Duration::ZERO)
}

fn agents(agents: usize) -> Options {
    Options { agents, ..Options::default() }
}

fn elected() -> Options {
    Options { zookeepers: 1, ..Options::default() }
}

conformance::scenarios! {
    both {
        services::three_instances_run: Options::default();
        services::what_fails_is_restarted_ever_more_slowly: Options::default();
        services::jobs_finish_once: Options::default();
        services::a_killed_task_is_replaced: Options::default();
        services::scaled_up_and_down_and_up: Options::default();
        services::a_changed_spec_rolls: Options::default();
        services::a_rollout_heeds_health: Options::default();
        services::idle_is_quiet: Options::default();
        services::sixty_tasks_at_once: crate::agents(3);
        failures::agent_killed_and_back: Options::default();
        failures::agent_stopped_and_continued: crate::agents(2);
        failures::master_killed_and_back: Options::default();
        failures::strangers_are_killed: Options::default();
        failures::strangers_of_an_empty_store_are_let_be: Options::default();
        ends::uninstalled: Options::default();
        ends::torn_down: Options::default();
        ends::removed_and_made_anew: Options::default();
    }
    once {
        services::an_executor_outlives_its_task: Options { resources: "cpus(web):0.1;cpus(*):2;mem:1024;disk:1000", ..Options::default() };
        crashes::scheduler_killed: crate::agents(2);
        crashes::master_killed_too: crate::agents(2);
        crashes::agent_killed_too: crate::agents(2);
    }
    real {
        takeover::leader_killed: crate::elected();
        takeover::leader_stopped_for_longer_than_its_session: crate::elected();
        takeover::handed_over_in_order: crate::elected();
        takeover::removed_frameworks_are_not_made_anew: crate::elected();
        takeover::removed_frameworks_are_made_anew_if_so_wanted: crate::elected();
        takeover::uninstalled_by_its_leader: crate::elected();
        program::restarted_with_its_records_in_zookeeper: Options { credentials: crate::program::CREDENTIALS, ..crate::elected() };
        program::goes_on_with_the_original_s_tasks: crate::elected();
    }
}

/// A fifth driver, the third that isn't a crate, has to show less.
mod smol {
    conformance::scenarios!(@simulated Smol {
        services::three_instances_run: Options::default();
        services::jobs_finish_once: Options::default();
        failures::master_killed_and_back: Options::default();
        ends::uninstalled: Options::default();
    });
}

/// What isn't a crate is shown to work on a real cluster as well.
mod own {
    mod threads {
        mod real {
            conformance::scenarios!(@real Threads {
                services::jobs_finish_once: Options::default();
                failures::master_killed_and_back: Options::default();
            });
        }
    }
    mod mio {
        mod real {
            conformance::scenarios!(@real Mio {
                services::jobs_finish_once: Options::default();
                failures::master_killed_and_back: Options::default();
            });
        }
    }
    mod smol {
        mod real {
            conformance::scenarios!(@real Smol {
                services::jobs_finish_once: Options::default();
                failures::master_killed_and_back: Options::default();
            });
        }
    }
}
