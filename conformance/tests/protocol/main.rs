//! The protocol, scenario by scenario, each on both sides.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod sessions;
mod tasks;

use conformance::Options;

const CREDENTIALS: &[(&str, &str)] = &[("alice", "secret"), ("bob", "other")];

fn masters(masters: usize) -> Options {
    Options { masters, ..Options::default() }
}

conformance::scenarios! {
    both {
        sessions::subscribes_in_protobuf: Options::default();
        sessions::subscribes_in_json: Options::default();
        sessions::is_redirected_to_the_leader: crate::masters(3);
        sessions::wants_the_right_credentials: Options { credentials: crate::CREDENTIALS, ..Options::default() };
        tasks::runs_and_finishes: Options::default();
        tasks::runs_and_fails: Options::default();
        tasks::is_killed: Options::default();
        tasks::is_killed_by_force: Options::default();
        tasks::is_killed_before_it_runs: Options::default();
    }
    real {
    }
}
