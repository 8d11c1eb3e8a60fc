//! Declared tasks, kept running.

#[allow(dead_code, reason = "for the engine")]
mod id;
#[allow(dead_code, reason = "for the engine")]
mod launch;
#[allow(dead_code, reason = "for the engine")]
mod spec;

pub use launch::Revision;
pub use spec::{
    Amount, CheckProblem, Duplicates, Field, KillSelection, OnReturn, RestartPolicy, SpecError, SpecProblem, TaskSpec,
};
