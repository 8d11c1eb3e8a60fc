//! The protocol, scenario by scenario, each on both sides.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod acknowledgements;
mod answers;
mod failures;
mod load;
mod offers;
mod reconciliation;
mod sessions;
mod tasks;

use conformance::Options;

const CREDENTIALS: &[(&str, &str)] = &[("alice", "secret"), ("bob", "other")];

fn masters(masters: usize) -> Options {
    Options { masters, ..Options::default() }
}

/// Three agents, with room for 60 tasks on them together.
fn large() -> Options {
    Options { agents: 3, ..Options::default() }
}

/// An agent with a reservation and attributes.
fn reserved() -> Options {
    Options {
        resources: "cpus:2;mem:512;disk:100;ports:[31000-31009,31020-31029];cpus(web):1;mem(web):64",
        attributes: &[("rack", "a"), ("zone", "eu-1")],
        ..Options::default()
    }
}

conformance::scenarios! {
    both {
        sessions::subscribes_in_protobuf: Options::default();
        sessions::subscribes_in_json: Options::default();
        sessions::is_redirected_to_the_leader: crate::masters(3);
        sessions::wants_the_right_credentials: Options { credentials: crate::CREDENTIALS, ..Options::default() };
        sessions::fails_over: Options::default();
        sessions::is_torn_down: Options::default();
        sessions::is_removed_when_it_leaves: Options::default();
        sessions::leaves_and_returns: Options::default();
        tasks::runs_and_finishes: Options::default();
        tasks::runs_and_fails: Options::default();
        tasks::is_killed: Options::default();
        tasks::is_killed_by_force: Options::default();
        tasks::is_killed_before_it_runs: Options::default();
        acknowledgements::every_receipt_is_acknowledged: Options::default();
        acknowledgements::what_is_acknowledged_stays_so: Options::default();
        offers::declined_for_a_time: Options::default();
        offers::declined_for_long_and_revived: Options::default();
        offers::declined_but_then_there_is_more: Options::default();
        offers::suppressed_and_revived: Options::default();
        offers::shared_by_two_frameworks: Options::default();
        offers::misused: Options::default();
        reconciliation::implicit: Options::default();
        reconciliation::explicit: Options::default();
        reconciliation::unacknowledged: Options::default();
        reconciliation::health: Options::default();
        failures::master_killed_and_back: Options::default();
        failures::leader_killed: crate::masters(3);
        failures::agent_killed_and_back: Options::default();
        failures::agent_stopped_and_continued: Options::default();
        failures::launched_on_a_stopped_agent: Options::default();
        answers::malformed_requests: Options::default();
        answers::calls_out_of_place: Options::default();
        answers::refused_subscriptions: Options::default();
        tasks::is_killed_unawares: Options::default();
        tasks::is_not_killed_elsewhere: Options::default();
        tasks::has_its_environment: Options::default();
        tasks::runs_a_group: Options::default();
        offers::as_they_are: crate::reserved();
        offers::as_older_frameworks_see_them: crate::reserved();
        offers::filters_outlive_a_failover: Options::default();
        offers::follow_the_roles: Options::default();
        failures::ended_on_a_stopped_agent: Options::default();
        failures::killed_on_a_stopped_agent: Options::default();
        failures::agent_stopped_unaware: Options::default();
        failures::agent_killed_without_checkpoints: Options::default();
        failures::killed_while_the_agent_is_away: Options::default();
        load::sixty_tasks_at_once: crate::large();
        load::slow_consumer: Options::default();
    }
    once {}
    real {
        sessions::speaks_tls: Options { tls: true, ..Options::default() };
    }
}

mod blocking {
    mod real {
        conformance::scenarios!(@real Blocking { sessions::speaks_tls: Options { tls: true, ..Options::default() }; });
    }
}
