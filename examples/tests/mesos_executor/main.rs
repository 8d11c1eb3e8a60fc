//! The command executor as a process: on agents of the simulated cluster and on real ones.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod scenarios;

use std::process::{Command, Output};

use conformance::Options;

const EXECUTOR: &str = env!("CARGO_BIN_EXE_mesos-executor");

/// An agent whose command executor is ours.
fn ours() -> Options {
    Options { executor: Some(EXECUTOR), ..Options::default() }
}

conformance::scenarios! {
    both {}
    once {
        scenarios::agent_killed_under_twenty_tasks: crate::ours();
        scenarios::agent_killed_under_many_tasks_of_one: crate::ours();
        scenarios::a_group_ends_together: crate::ours();
        scenarios::unhealthy: crate::ours();
        scenarios::checked: crate::ours();
        scenarios::takes_too_long: crate::ours();
        scenarios::killed_by_force: crate::ours();
        scenarios::torn_down: crate::ours();
        scenarios::killed_with_its_task: crate::ours();
        scenarios::has_its_sandbox: crate::ours();
        scenarios::keeps_its_token: Options { executor_tokens: true, ..crate::ours() };
    }
    real {
        scenarios::a_group_of_the_default_executor: crate::ours();
    }
}

fn run(environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(EXECUTOR);
    command.env_clear().envs(environment.iter().copied()).arg("--launcher_dir=/somewhere");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// S186, S187, S200: each bad variable is named, and nothing is written to stdout
#[test]
fn a_bad_environment_is_told() {
    let output = run(&[
        ("MESOS_FRAMEWORK_ID", "f"),
        ("MESOS_AGENT_ENDPOINT", "nowhere:near"),
        ("MESOS_CHECKPOINT", "perhaps"),
        ("MESOS_RECOVERY_TIMEOUT", "soon"),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    for bad in [
        "MESOS_EXECUTOR_ID",
        "MESOS_DIRECTORY",
        "MESOS_AGENT_ENDPOINT",
        "MESOS_CHECKPOINT",
        "MESOS_RECOVERY_TIMEOUT",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
    ] {
        assert!(said.contains(bad), "{bad} isn't named: {said}");
    }
    assert!(!said.contains("MESOS_FRAMEWORK_ID"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_authority_that_cannot_be_read_is_told() {
    let output = run(&[
        ("MESOS_FRAMEWORK_ID", "f"),
        ("MESOS_EXECUTOR_ID", "e"),
        ("MESOS_SANDBOX", "/tmp"),
        ("LIBPROCESS_SSL_CA_FILE", "/no/such/file"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("LIBPROCESS_SSL_CA_FILE /no/such/file"), "{}", said(&output));
}
