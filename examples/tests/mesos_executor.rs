//! The command executor as a process.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn run(environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-executor"));
    command.env_clear().envs(environment.iter().copied()).arg("--launcher_dir=/somewhere");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// S186, S187: each bad variable is named
#[test]
fn a_bad_environment_is_told() {
    let output = run(&[
        ("MESOS_FRAMEWORK_ID", "f"),
        ("MESOS_AGENT_ENDPOINT", "nowhere"),
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
