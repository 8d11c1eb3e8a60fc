//! A custom executor on the library's executor client, scenario by scenario, each on both sides.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod ends;
mod examples;
mod restarts;
mod tasks;

use conformance::task;
use conformance::v1::{CommandInfo, DurationInfo, ExecutorInfo, Offer, TaskInfo};

/// The executor, by this name.
fn executor(name: &str) -> ExecutorInfo {
    executor_by(name, env!("CARGO_BIN_EXE_executor"))
}

/// An executor by this name, with what it is started with.
fn executor_by(name: &str, program: &str) -> ExecutorInfo {
    let command = CommandInfo::exec(program, [""; 0]);
    let grace = Some(DurationInfo { nanoseconds: 2_000_000_000 });
    ExecutorInfo { shutdown_grace_period: grace, ..ExecutorInfo::custom(name, command) }
}

/// A task of this executor: it runs this script.
fn task_of(executor: &ExecutorInfo, offer: &Offer, id: &str, script: &str) -> TaskInfo {
    let mut task = task(offer, id, "");
    task.command = None;
    TaskInfo { data: Some(script.to_owned().into()), ..task.with_executor(executor.clone()) }
}

conformance::scenarios! {
    both {}
    once {
        tasks::run_and_finish: Options::default();
        tasks::are_killed: Options::default();
        tasks::run_as_a_group: Options::default();
        tasks::messages_go_both_ways: Options::default();
        ends::shut_down_by_the_scheduler: Options::default();
        ends::torn_down: Options::default();
        ends::shutdown_is_the_first_event: Options::default();
        ends::malformed_environment: Options::default();
        ends::without_checkpoints: Options::default();
        ends::wrong_token: Options { executor_tokens: true, ..Options::default() };
        ends::right_token: Options { executor_tokens: true, ..Options::default() };
        restarts::twenty_tasks_run_on: Options::default();
        restarts::launched_and_killed_around_a_restart: Options::default();
        examples::on_tokio: Options::default();
        examples::on_threads: Options::default();
        restarts::tasks_end_all_through_a_restart: Options::default();
    }
    real {}
}
