//! How long the next attempt waits.

use super::*;

/// The task ends like this; for how long its instance is held back then.
fn ended(s: &mut Script, task: &str, state: v1::TaskState) -> Duration {
    s.events.clear();
    s.update(task, state);
    let delay = |event: &Event| match event {
        Event::InstanceWaiting { delay, .. } => Some(*delay),
        _ => None,
    };
    s.events.iter().find_map(delay).expect("it waits")
}

fn about(delay: Duration, seconds: u64) -> bool {
    let full = secs(seconds);
    delay >= full - full / 10 && delay <= full + full / 10
}

/// The next attempt starts after this delay and not before.
fn starts_after(s: &mut Script, delay: Duration) -> String {
    if !delay.is_zero() {
        s.sleep(delay - millis(1));
        assert!(s.launch("a1", BIG).is_empty(), "too early");
        s.sleep(millis(1));
    }
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    task
}

// ENGINE 15, S129, W37, I11; strikes are left out by letting agent after agent do.
#[test]
fn crash_loop_curve() {
    let mut s = Script::new([service("web", 1)]);
    let mut task = s.running(1).remove(0);
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
        s.sleep(secs(1));
        let delay = ended(&mut s, &task, TaskFailed);
        assert!(about(delay, expected), "{delay:?}, not {expected} s");
        // Whom it avoids is not what this is about: it takes him after two minutes of waiting.
        s.engine.agents.clear();
        task = starts_after(&mut s, delay);
    }
    s.sleep(secs(300));
    let delay = ended(&mut s, &task, TaskFailed);
    assert!(about(delay, 1), "{delay:?}");
    let task = starts_after(&mut s, delay);
    let delay = ended(&mut s, &task, TaskFailed);
    assert!(about(delay, 2), "{delay:?}");
    s.engine.reset_delay("web").unwrap();
    s.tick();
    starts_after(&mut s, Duration::ZERO);
}

// S129, W37: whoever starts anew keeps its priority, however long another one has been waiting.
#[test]
fn a_restart_keeps_its_priority() {
    let mut s = Script::new([service("a", 1).priority(1), service("b", 1)]);
    for agent in ["a1", "a2", "a3"] {
        s.offer(agent, "cpus:1;mem:32");
        let accept = s.accept();
        assert_eq!(accept.tasks[0].name, "b-1");
        assert_eq!(s.spec("a").waiting, 1);
        let delay = ended(&mut s, &accept.ids()[0], TaskFailed);
        s.sleep(delay);
    }
}

// A9, found by the simulated world: failures of a former revision are forgiven for good, also where a task runs.
#[test]
fn failures_of_a_former_revision_do_not_come_back() {
    // With no second one beside it nothing else about the instance changes.
    let web = || service("web", 1).max_failures(Some(2)).max_surge(Amount::Count(0)).max_unavailable(Amount::Count(1));
    let mut s = Script::new([web()]);
    let task = s.running(1).remove(0);
    let delay = ended(&mut s, &task, TaskFailed);
    starts_after(&mut s, delay);
    let failures = |s: &Script| s.stored(["slot", "web", "0"]).unwrap_or_default().contains(r#""failures":1"#);
    assert!(failures(&s));
    s.engine.apply(web().env("VERSION", "2")).unwrap();
    s.tick();
    assert!(!failures(&s), "{:?}", s.stored(["slot", "web", "0"]));
}

// ENGINE 3.2: a service that finishes is started again, in a loop ever more slowly.
#[test]
fn finishing_too_early_counts_as_well() {
    let mut s = Script::new([service("web", 1).max_failures(Some(3))]);
    let mut task = s.running(1).remove(0);
    for expected in [1, 2, 4, 8] {
        let delay = ended(&mut s, &task, TaskFinished);
        assert!(about(delay, expected), "{delay:?}");
        task = starts_after(&mut s, delay);
    }
    s.sleep(secs(300));
    assert_eq!(ended(&mut s, &task, TaskFinished), Duration::ZERO);
}

// ENGINE 16, S129
#[test]
fn backoff_survives_crash() {
    let mut s = Script::new([service("web", 1)]);
    let mut task = s.running(1).remove(0);
    for _ in 0..5 {
        let delay = ended(&mut s, &task, TaskFailed);
        s.engine.agents.clear();
        task = starts_after(&mut s, delay);
    }
    let delay = ended(&mut s, &task, TaskFailed);
    assert!(about(delay, 32), "{delay:?}");
    s.sleep(secs(10));
    s.crash();
    // Records have whole milliseconds.
    s.sleep(delay - secs(10) - millis(1));
    assert!(s.launch("a1", BIG).is_empty(), "too early");
    s.sleep(millis(1));
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 65: a wall clock that jumps can't hold anybody back for longer than the policy.
#[test]
fn clock_jump() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    ended(&mut s, &task, TaskFailed);
    s.stop();
    s.wall -= secs(86_400);
    s.recover();
    s.sleep(secs(300));
    assert!(s.launch("a1", BIG).is_empty());
    s.sleep(secs(31));
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    ended(&mut s, &task, TaskFailed);
    s.stop();
    s.wall += secs(10 * 86_400);
    s.recover();
    s.sleep(millis(1));
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 17
#[test]
fn healthy_slots_not_punished() {
    let mut s = Script::new([service("web", 5)]);
    let tasks = s.running(5);
    for _ in 0..5 {
        let task = s.tasks("web", 0).remove(0).task_id;
        let delay = ended(&mut s, &task, TaskFailed);
        s.engine.agents.clear();
        starts_after(&mut s, delay);
    }
    assert_eq!(ended(&mut s, &tasks[3], TaskGone), Duration::ZERO);
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 18
#[test]
fn infra_is_not_fault() {
    let mut s = Script::new([service("web", 1)]);
    for expected in [0, 1, 2] {
        let task = s.launch("a1", BIG).remove(0);
        let delay = ended(&mut s, &task, TaskDropped);
        assert_eq!(delay, secs(expected));
        s.sleep(delay);
    }
    assert_eq!(s.told(|e| matches!(e, Event::AgentAvoided { during, .. } if *during == secs(300))), 1);
    s.clear();
    assert!(s.launch("a1", BIG).is_empty());
    assert_eq!(s.declines()[0].1, 5.0);
    let task = s.launch("a2", BIG).remove(0);
    s.update(&task, TaskRunning);
    let delay = ended(&mut s, &task, TaskFailed);
    assert!(about(delay, 1), "n was 0: {delay:?}");
}

// ENGINE 54, L8
#[test]
fn avoided_not_starved() {
    let mut s = Script::new([service("web", 1)]);
    for _ in 0..3 {
        let task = s.launch("a1", BIG).remove(0);
        s.update(&task, TaskDropped);
        s.sleep(secs(2));
    }
    s.sleep(secs(116));
    assert!(s.launch("a1", BIG).is_empty());
    s.sleep(secs(2));
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 3.5: a stable run clears what an agent has against it.
#[test]
fn a_stable_run_clears_strikes() {
    let mut s = Script::new([service("web", 1)]);
    for _ in 0..2 {
        let task = s.launch("a1", BIG).remove(0);
        s.update(&task, TaskDropped);
        s.sleep(secs(2));
    }
    let task = s.running(1).remove(0);
    s.sleep(secs(300));
    s.update(&task, TaskFailed);
    s.sleep(secs(2));
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskDropped);
    assert_eq!(s.told(|e| matches!(e, Event::AgentAvoided { .. })), 0);
}

// Agents come and go: what those that are no more have done isn't remembered for ever.
#[test]
fn strikes_of_agents_that_are_no_more() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    let spec = s.engine.book.id("web").unwrap();
    for number in 0..1000 {
        let agent = s.engine.agents.entry(format!("gone-{number}").into()).or_default();
        agent.strikes.entry(spec).or_default().strike(s.now);
    }
    s.engine.counters.strikes = 1022;
    s.update(&task, TaskFailed);
    assert_eq!(s.engine.agents.len(), 1001);
    s.sleep(secs(900));
    let task = s.running(1).remove(0);
    s.update(&task, TaskFailed);
    assert_eq!(s.engine.agents.len(), 1);
}

// ENGINE 3.2: where there is a health check, only a run that passed it is a stable one; also after a crash.
#[test]
fn a_run_that_was_never_healthy_proves_nothing() {
    for healthy in [true, false] {
        let mut s = Script::new([service("web", 1).http_check("/").resources(Resources::new().cpus(1.0).ports(1))]);
        let delay = |s: &mut Script, agent: &str, crash: bool| {
            let task = s.launch(agent, BIG).remove(0);
            s.status(&task, TaskRunning, |status| status.healthy = Some(healthy));
            s.sleep(secs(301));
            s.status(&task, TaskRunning, |status| status.healthy = Some(false));
            if crash {
                s.crash();
                s.answer(&task, TaskRunning);
            }
            s.clear();
            s.update(&task, TaskFailed);
            s.sleep(secs(30));
            let delay = |event: &Event| match event {
                Event::InstanceWaiting { delay, .. } => Some(*delay),
                _ => None,
            };
            s.events.iter().find_map(delay).expect("it waits")
        };
        let delays = [delay(&mut s, "a1", false), delay(&mut s, "a2", false), delay(&mut s, "a3", true)];
        let expected = if healthy { [1, 1, 1] } else { [1, 2, 4] };
        for (delay, expected) in delays.into_iter().zip(expected) {
            assert!(delay >= secs(expected) * 9 / 10 && delay <= secs(expected) * 11 / 10, "{healthy} {delays:?}");
        }
    }
}

// ENGINE 3.5, 1.5: TASK_LOST is held against the agent only where it stands for TASK_DROPPED.
#[test]
fn what_was_lost_may_be_the_agents_fault() {
    for (reason, avoided) in [(Reason::GcError, 1), (Reason::AgentRemovedByOperator, 0), (Reason::AgentRemoved, 1)] {
        let mut s = Script::new([service("web", 1)]);
        for _ in 0..3 {
            let task = s.launch("a1", BIG).remove(0);
            s.master_says(&task, TaskLost, reason);
            s.sleep(secs(3));
        }
        assert_eq!(s.told(|e| matches!(e, Event::AgentAvoided { .. })), avoided, "{reason:?}");
    }
}

// I11: what returns ends the demand for another one in its place, but not the back-off of that (simulated: seed
// 4100003179).
#[test]
fn a_return_does_not_shorten_the_back_off_of_what_took_its_place() {
    let of = |version: &str| service("web", 1).env("V", version).max_surge(Amount::Count(1));
    let mut s = Script::new([of("1")]);
    let old = s.running(1).remove(0);
    s.master_says(&old, TaskUnreachable, Reason::AgentDisconnected);
    s.engine.apply(of("2")).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    s.update(&new, TaskFailed);
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert!(s.launch("a3", BIG).is_empty());
    s.sleep(secs(2));
    assert_eq!(s.launch("a3", BIG).len(), 1);
}

/// Six one after the other say this of themselves, each on an agent of its own.
fn six_end(s: &mut Script, states: &[v1::TaskState]) {
    for agent in ["a2", "a3", "a4", "a5", "a6", "a7"] {
        s.sleep(secs(60));
        let new = s.launch(agent, BIG).remove(0);
        states.iter().for_each(|state| s.update(&new, *state));
    }
}

// I11: nor does its end, nor a crash: what it shortened is remembered, and known to the store.
#[test]
fn the_end_of_what_returned_does_not_shorten_it_either() {
    for crash in [false, true] {
        let mut s = Script::new([service("web", 1)]);
        let old = s.running(1).remove(0);
        s.master_says(&old, TaskUnreachable, Reason::AgentRemoved);
        six_end(&mut s, &[TaskFailed]);
        s.master_says(&old, TaskRunning, Reason::AgentReregistered);
        assert_eq!(s.spec("web").waiting, 0);
        if crash {
            s.crash();
            s.answer(&old, TaskRunning);
        }
        s.master_says(&old, TaskDropped, Reason::AgentRestarted);
        s.sleep(secs(25));
        assert!(s.launch("a3", BIG).is_empty(), "{crash}");
        s.sleep(secs(15));
        assert_eq!(s.launch("a3", BIG).len(), 1, "{crash}");
    }
}

// A9: a new revision starts anew, and that is known to the store as well.
#[test]
fn a_new_revision_is_not_held_back_after_a_crash() {
    let of = |version: &str| service("web", 1).env("V", version).max_surge(Amount::Count(1));
    let mut s = Script::new([of("1")]);
    let old = s.running(1).remove(0);
    s.master_says(&old, TaskUnreachable, Reason::AgentRemoved);
    six_end(&mut s, &[TaskRunning, TaskKilled]);
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert!(s.stored(["slot", "web", "0"]).is_some_and(|record| record.contains("held_until")));
    s.engine.apply(of("2")).unwrap();
    s.specs = vec![of("2")];
    s.tick();
    assert!(s.stored(["slot", "web", "0"]).is_none_or(|record| !record.contains("held_until")));
    s.crash();
    s.answer(&old, TaskRunning);
    s.sleep(secs(1));
    assert_eq!(s.launch("a8", BIG).len(), 1);
}
