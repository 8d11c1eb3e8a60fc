//! `mesos-execute` as a process, on its embedded cluster.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Stdio};

/// Runs it; its exit code, and what it has written.
fn execute(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-execute"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), format!("{out}{err}"))
}

#[test]
fn all_finish() {
    let (code, said) = execute(&["-n", "3", "--env", "A=b c", "test \"$A\" = 'b c'"]);
    assert_eq!(code, Some(0), "{said}");
    for index in 0..3 {
        for state in ["RUNNING", "FINISHED"] {
            let told = said.matches(&format!("task {index}: {state} on ")).count();
            assert_eq!(told, 1, "task {index}: {state}: {said}");
        }
    }
    assert!(said.trim_end().ends_with("3 of 3 finished"), "{said}");
    assert!(!said.contains('\x1b'), "this is no terminal: {said}");
}

#[test]
fn one_fails() {
    let (code, said) = execute(&["-n", "2", "exit $((TASK_EXECUTE_SERIAL_NUMBER - 1))"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("task 1: FAILED on "), "{said}");
    assert!(said.trim_end().ends_with("1 of 2 finished, 1 failed"), "{said}");
}

#[test]
fn arguments_without_a_shell() {
    let (code, said) = execute(&["test", "$HOME", "=", "$HOME"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = execute(&["test", "$HOME", "=", "/"]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn another_attempt_does_better() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("test -e {0} || {{ : > {0}; exit 1; }}", folder.path().join("tried").display());
    let (code, said) = execute(&["--retries", "1", &line]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("task 0: next attempt in "), "{said}");
}

#[test]
fn wrong_options_are_told() {
    assert_eq!(execute(&[]).0, Some(2));
    let (code, said) = execute(&["--master", "not a host", "true"]);
    assert_eq!(code, Some(2), "{said}");
}
