//! Tasks that can't be seen, and come back.

use super::*;

fn lose(s: &mut Script, task: &str) {
    s.master_says(task, TaskUnreachable, Reason::AgentRemoved);
    s.tick();
}

/// A task is unreachable and replaced; its successor is being launched on another agent.
fn replaced(spec: TaskSpec) -> (Script, String, String) {
    let mut s = Script::new([spec]);
    let old = s.running(1).remove(0);
    lose(&mut s, &old);
    assert_eq!(s.state(&old), Some(State::Unreachable));
    let new = s.launch("a2", BIG).remove(0);
    s.clear();
    (s, old, new)
}

/// A task is unreachable, and its place waits for another one, or has one whose intent waits for the store.
fn lost(prepared: bool) -> (Script, String) {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    if prepared {
        s.disk = Disk::Hangs;
        s.offer("a2", BIG);
    }
    (s, task)
}

// ENGINE 21, S124: given up, it leaves for good, once and not as one that has ended.
#[test]
fn unreachable_replaced() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.update(&new, TaskRunning);
    assert_eq!(s.state(&old), Some(State::Unreachable));
    assert_eq!((s.spec("web").ready, s.spec("web").satisfied, s.spec("web").live), (1, true, 1));
    s.sleep(secs(599));
    assert_eq!(s.state(&old), Some(State::Unreachable));
    s.sleep(secs(2));
    assert_eq!(s.state(&old), None);
    assert!(s.stored(["ghost", &old]).is_some_and(|record| record.contains("EXPIRED")));
    assert_eq!(s.left(), [(old, Err(GhostReason::Expired))]);
    assert_eq!(s.tasks("web", 0).len(), 1);
    assert!(s.spec("web").satisfied);
}

// A rollout's successor is lost with the task that it was to take the place of: somebody else takes it (simulated: seed
// 100003458, nobody did until the one of before was given up).
#[test]
fn a_successor_is_lost_beside_what_is_lost() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.running(1).remove(0);
    s.engine.apply(service("web", 1).env("V", "2")).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    lose(&mut s, &old);
    lose(&mut s, &new);
    assert_eq!((s.state(&old), s.state(&new)), (Some(State::Unreachable), None));
    assert_eq!(s.spec("web").waiting, 1);
    let third = s.launch("a3", BIG).remove(0);
    s.update(&third, TaskRunning);
    assert!(s.spec("web").satisfied);
    assert_eq!(s.engine.find_task(&third).unwrap().revision, s.spec("web").revision);
}

// The last failure that there may be is told of a task out of sight, whose place waits for another one already: nobody
// takes it (simulated: seed 561).
#[test]
fn one_out_of_sight_was_the_last_that_may_fail() {
    let mut s = Script::new([service("web", 1).max_failures(Some(1))]);
    let old = s.running(1).remove(0);
    lose(&mut s, &old);
    assert_eq!(s.spec("web").waiting, 1);
    s.master_says(&old, TaskFailed, Reason::AgentReregistered);
    assert_eq!(s.told(|event| matches!(event, Event::InstanceHeld { why: Held::Exhausted, .. })), 1);
    assert_eq!((s.spec("web").held, s.spec("web").waiting), (1, 0));
    assert!(s.launch("a2", BIG).is_empty());
    s.crash();
    assert!(s.launch("a2", BIG).is_empty());
}

// A process that stood still has heard nothing meanwhile: first its session ends, and then no limit is over before there
// is news (simulated: a task was given up).
#[test]
fn limits_that_ran_out_while_the_process_stood_still() {
    let (mut s, old, _) = replaced(service("web", 1));
    s.now += secs(601);
    s.tick();
    assert_eq!(s.told(|event| matches!(event, Event::Disconnected { .. })), 1);
    assert_eq!(s.state(&old), Some(State::Unreachable));
    s.sleep(secs(5));
    s.answer(&old, TaskUnreachable);
    s.sleep(secs(1));
    assert_eq!(s.state(&old), None, "now it is");
}

// ENGINE 22
#[test]
fn unreachable_returns_early() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.running(1).remove(0);
    lose(&mut s, &old);
    assert_eq!(s.spec("web").waiting, 1);
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.told(|e| matches!(e, Event::TaskReturned(_))), 1);
    assert_eq!((s.state(&old), s.spec("web").waiting), (Some(State::Running), 0));
    assert!(s.launch("a2", BIG).is_empty());
    assert!(s.kills().is_empty());
    assert!(s.spec("web").satisfied);
}

// ENGINE 3.6: one that comes back while somebody ends it has lost its place, whatever it still has to say of how it ran
// (simulated: seed 3698).
#[test]
fn what_returns_while_it_is_being_killed_loses() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.update(&new, TaskRunning);
    s.master_says(&old, TaskKilling, Reason::AgentReregistered);
    s.update(&old, TaskRunning);
    assert_eq!(s.state(&old), Some(State::Killing(KillReason::Duplicate)));
    assert_eq!(s.kills(), [&*old]);
    s.update(&old, TaskKilling);
    s.update(&old, TaskKilled);
    assert_eq!((s.state(&old), s.state(&new)), (None, Some(State::Running)));
    assert_eq!(s.spec("web").waiting, 0);
}

// I6: it comes back while somebody ends it, before another one has taken its place: that waits for its end, or for nothing,
// if it runs on after all (simulated: seed 1400004475).
#[test]
fn what_returns_while_it_is_being_killed_is_there() {
    for prepared in [false, true] {
        let (mut s, old) = lost(prepared);
        s.master_says(&old, TaskKilling, Reason::AgentReregistered);
        s.disk = Disk::Writes;
        s.settle();
        assert_eq!(s.state(&old), Some(State::Killing(KillReason::External)));
        assert_eq!(s.spec("web").waiting, 0);
        assert!(s.launch("a3", BIG).is_empty());
        s.update(&old, TaskRunning);
        assert_eq!(s.state(&old), Some(State::Running));
        assert!(s.launch("a3", BIG).is_empty());
        s.update(&old, TaskKilled);
        s.sleep(secs(2));
        assert_eq!(s.launch("a3", BIG).len(), 1);
    }
}

// ENGINE 3.6: a policy takes effect at once, also for what is out of sight already.
#[test]
fn duplicates_are_forbidden_while_a_place_waits() {
    for prepared in [false, true] {
        let (mut s, old) = lost(prepared);
        s.engine.apply(service("web", 1).duplicates(Duplicates::Forbid)).unwrap();
        s.disk = Disk::Writes;
        s.settle();
        assert!(s.accepts().is_empty());
        assert_eq!(s.spec("web").waiting, 0);
        s.sleep(secs(700));
        assert!(s.launch("a3", BIG).is_empty());
        assert_eq!(s.state(&old), Some(State::Unreachable));
    }
}

// ENGINE 1.3, ABANDON, found by the simulated world: the one that has taken its place is out of sight itself when it returns,
// and nobody waits for its end.
#[test]
fn it_returns_and_its_successor_is_lost() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.update(&new, TaskRunning);
    s.master_says(&new, TaskUnreachable, Reason::AgentRemoved);
    s.clear();
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert_eq!((s.state(&old), s.state(&new)), (Some(State::Running), None));
    assert!(s.stored(["ghost", &new]).is_some_and(|record| record.contains("ABANDONED")));
    assert!(s.kills().is_empty());
}

// ENGINE 23: a ready successor stays.
#[test]
fn unreachable_returns_late() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.update(&new, TaskRunning);
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.kills(), [&*old]);
    assert_eq!(s.state(&old), Some(State::Killing(KillReason::Duplicate)));
    s.update(&old, TaskKilled);
    assert_eq!(s.tasks("web", 0).iter().map(|task| &task.task_id).collect::<Vec<_>>(), [&new]);
    assert!(s.launch("a3", BIG).is_empty());
}

// ENGINE 23: one that isn't ready does not.
#[test]
fn unreachable_returns_before_its_successor_is_ready() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.update(&new, TaskStarting);
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.kills(), [&*new]);
    s.update(&new, TaskKilled);
    assert_eq!(s.tasks("web", 0).iter().map(|task| &task.task_id).collect::<Vec<_>>(), [&old]);
    assert!(s.launch("a3", BIG).is_empty());
    assert!(s.spec("web").satisfied);
}

// ENGINE 23: an outdated one goes in any case.
#[test]
fn unreachable_returns_outdated() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.running(1).remove(0);
    lose(&mut s, &old);
    s.engine.apply(service("web", 1).env("A", "b")).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.clear();
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.kills(), [old]);
    s.update(&new, TaskRunning);
    assert_eq!(s.spec("web").ready, 1);
}

// ENGINE 3.6: the other policies.
#[test]
fn who_stays_can_be_chosen() {
    for (on_return, old_goes) in [(OnReturn::Oldest, false), (OnReturn::Youngest, true), (OnReturn::PreferNew, true)] {
        let (mut s, old, new) = replaced(service("web", 1).on_return(on_return));
        s.sleep(secs(10));
        s.update(&new, TaskRunning);
        s.master_says(&old, TaskRunning, Reason::AgentReregistered);
        assert_eq!(s.kills(), [if old_goes { old } else { new }], "{on_return:?}");
    }
}

// ENGINE 24, I5
#[test]
fn expunged_returns() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.update(&new, TaskRunning);
    s.sleep(secs(601));
    s.clear();
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    s.update(&old, TaskRunning);
    assert_eq!((s.kills(), s.acks()), (vec![old.clone()], vec![old.clone()]));
    s.sleep(secs(20));
    assert_eq!(s.kills(), [&*old], "the first one may have been lost");
    s.update(&old, TaskKilling);
    s.update(&old, TaskKilled);
    assert_eq!(s.acks().len(), 2);
    assert_eq!(s.stored(["ghost", &old]), None);
    s.sleep(secs(3600));
    assert!(s.kills().is_empty());
    assert!(s.spec("web").satisfied);
}

// ENGINE 1.5¹: a ghost whose place is free takes it again; what that changes is durable before it is acknowledged.
#[test]
fn a_ghost_finds_its_place_free() {
    for crash in [false, true] {
        let mut s = Script::new([service("web", 1).resources(Resources::new().cpus(1.0).ports(1))]);
        let task = s.running(1).remove(0);
        s.status(&task, TaskRunning, |status| status.executor_id = Some("exec".into()));
        let before = s.engine.find_task(&task).unwrap();
        lose(&mut s, &task);
        s.sleep(secs(601));
        assert_eq!((s.state(&task), s.spec("web").waiting), (None, 1));
        if crash {
            s.crash();
        }
        s.clear();
        s.disk = Disk::Hangs;
        s.update(&task, TaskRunning);
        assert_eq!(s.state(&task), Some(State::Running));
        assert!(s.acks().is_empty());
        s.disk = Disk::Writes;
        s.settle();
        assert_eq!(s.acks(), [&*task]);
        assert!(s.stored(["inst", "web", "0", "1"]).is_some() && s.stored(["ghost", &task]).is_none());
        assert!(s.launch("a2", BIG).is_empty());
        assert!(s.kills().is_empty());
        // It is as it was before.
        let after = s.engine.find_task(&task).unwrap();
        assert_eq!((after.hostname, after.ports), (before.hostname, before.ports));
        assert_eq!((after.resources, after.executor_id), (before.resources, before.executor_id));
        assert_eq!(s.told(|e| matches!(e, Event::TaskLaunched(_))), 0, "S122: once for each");
    }
}

// What the status says that brings a ghost back is kept like that of any other: with its health check passed it is ready
// at once, though nothing more is said (simulated: never ready again).
#[test]
fn a_ghost_is_back_with_what_its_status_says() {
    let mut s = Script::new([service("web", 1).http_check("/").resources(Resources::new().cpus(1.0).ports(1))]);
    let task = s.running(1).remove(0);
    s.status(&task, TaskRunning, |status| status.healthy = Some(false));
    lose(&mut s, &task);
    s.sleep(secs(601));
    assert_eq!((s.state(&task), s.told(|event| matches!(event, Event::TaskUnhealthy(_)))), (None, 1));
    s.status(&task, TaskRunning, |status| {
        status.healthy = Some(true);
        status.reason = Some(Reason::TaskHealthCheckStatusUpdated.into());
        status.executor_id = Some("exec".into());
        status.container_status.get_or_insert_default().executor_pid = Some(77);
    });
    assert_eq!(s.told(|event| matches!(event, Event::TaskHealthy(_))), 1);
    s.sleep(secs(60));
    let now = s.engine.find_task(&task).unwrap();
    assert_eq!((now.healthy, now.ready, now.executor_id.as_deref()), (Some(true), true, Some("exec")));
    assert_eq!(now.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    assert_eq!(now.container.and_then(|container| container.executor_pid), Some(77));
}

// An agent that was away sends what it had to say from the start: a task that ran isn't taken to be starting, nor is one
// that starts held to the time that it was out of sight.
#[test]
fn old_statuses_of_one_that_is_back() {
    let mut s = Script::new([service("web", 2).unreachable(secs(3600), secs(7200))]);
    let tasks = s.launch("a1", BIG);
    tasks.iter().for_each(|task| s.update(task, TaskStarting));
    s.update(&tasks[0], TaskRunning);
    s.update(&tasks[0], TaskStarting);
    let state = |s: &Script, index: usize| s.engine.find_task(&tasks[index]).unwrap().task_state;
    assert_eq!((s.state(&tasks[0]), state(&s, 0)), (Some(State::Running), Some(TaskRunning)));
    tasks.iter().for_each(|task| lose(&mut s, task));
    s.sleep(secs(900));
    tasks.iter().for_each(|task| s.update(task, TaskStarting));
    s.tick();
    assert_eq!((s.state(&tasks[0]), state(&s, 0)), (Some(State::Running), Some(TaskRunning)));
    assert_eq!((s.state(&tasks[1]), state(&s, 1)), (Some(State::Staged), Some(TaskStarting)));
    assert!(s.kills().is_empty());
    s.sleep(secs(601));
    assert_eq!(s.kills(), [&*tasks[1]], "it had its time");
}

// ENGINE 3.4: an update of a strict instance that is away isn't taken for a user's doing.
#[test]
fn a_strict_slot_is_updated_while_it_is_away() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.engine.apply(service("web", 1).duplicates(Duplicates::Forbid).env("A", "b")).unwrap();
    s.tick();
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::Update)));
}

// ENGINE 25
#[test]
fn strict_slot() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.sleep(secs(86_400));
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!(s.state(&task), Some(State::Unreachable));
    s.answer(&task, TaskGone);
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// ENGINE 3.4: nor after any number of UNKNOWNs, until somebody says so; and it isn't asked for all the time.
#[test]
fn a_strict_slot_waits_for_an_operator() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    s.clear();
    for _ in 0..30 {
        if s.asked().contains(&task) || s.state(&task) == Some(State::Running) {
            s.answer(&task, TaskUnknown);
        }
        s.sleep(secs(60));
    }
    assert_eq!(s.state(&task), Some(State::Doubtful));
    assert!(s.told(|e| matches!(e, Event::TaskUpdated(_))) <= 5, "half an hour");
    assert!(s.launch("a2", BIG).is_empty());
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
    // The operator was wrong.
    s.clear();
    s.update(&task, TaskRunning);
    assert_eq!(s.kills(), [task]);
}

// The same of one that is to end, before a new process has heard that it can't be reached.
#[test]
fn an_operator_is_believed_after_a_crash() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.engine.kill(&task).unwrap();
    s.tick();
    s.crash();
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::User)));
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// Of one that is there it isn't true.
#[test]
fn an_operator_is_not_believed_about_what_is_there() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    s.engine.kill(&task).unwrap();
    s.tick();
    s.crash();
    s.answer(&task, TaskRunning);
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::User)));
    assert!(s.launch("a2", BIG).is_empty());
}

// GONE_BY_OPERATOR: nobody is left to be told; unless the operator was wrong. The same while its agent can't be reached
// (simulated: a KILL every five minutes, for ever).
#[test]
fn a_ghost_that_is_gone_is_not_killed_any_more() {
    for state in [TaskGoneByOperator, TaskUnreachable, TaskUnknown] {
        let (mut s, old, new) = replaced(service("web", 1));
        s.update(&new, TaskRunning);
        s.sleep(secs(601));
        s.clear();
        s.master_says(&old, TaskRunning, Reason::AgentReregistered);
        assert_eq!(s.kills(), [&*old]);
        s.answer(&old, state);
        s.sleep(secs(3600));
        assert!(s.kills().is_empty(), "{state:?}");
        s.update(&old, TaskRunning);
        assert_eq!(s.kills(), [old]);
    }
}

// ENGINE 1.3, ABANDON: nobody waits for the end of a task whose place nobody wants, strict or not.
#[test]
fn a_strict_slot_that_is_removed_waits_for_nobody() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    s.engine.remove("web").unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*task]);
    s.answer(&task, TaskUnknown);
    assert!(s.stored(["inst", "web", "0", "1"]).is_none() && s.stored(["ghost", &task]).is_some());
    assert_eq!(s.told(|e| matches!(e, Event::SpecRemoved { .. })), 1);
}

// I6: while nobody wanted its place, a task was given up that couldn't be reached. When somebody does again, it still is
// the only one (found by chaos: scaled down and up while an agent was away).
#[test]
fn a_strict_slot_that_is_wanted_again_waits_for_the_one_it_has_given_up() {
    let strict = |instances| service("web", instances).duplicates(Duplicates::Forbid).scalable(true);
    let lost = |s: &mut Script, task: &str| {
        lose(s, task);
        s.engine.scale("web", 0).unwrap();
    };
    let lost_while_it_is_killed = |s: &mut Script, task: &str| {
        s.engine.scale("web", 0).unwrap();
        s.tick();
        assert_eq!(s.kills(), [task]);
        lose(s, task);
    };
    let unknown_while_it_is_killed = |s: &mut Script, task: &str| {
        s.engine.scale("web", 0).unwrap();
        s.tick();
        s.answer(task, TaskUnknown);
    };
    let removed = |s: &mut Script, task: &str| {
        lose(s, task);
        s.engine.remove("web").unwrap();
        s.tick();
        assert!(s.engine.spec("web").is_none());
    };
    type Way = fn(&mut Script, &str);
    let ways: [Way; 4] = [lost, lost_while_it_is_killed, unknown_while_it_is_killed, removed];
    for crashes in [false, true] {
        for way in ways {
            let mut s = Script::new([strict(1)]);
            let task = s.running(1).remove(0);
            way(&mut s, &task);
            s.tick();
            assert!(s.stored(["ghost", &task]).is_some());
            if crashes {
                s.crash();
                s.resubscribe();
            }
            s.engine.apply(strict(1)).unwrap();
            s.engine.scale("web", 1).unwrap();
            s.tick();
            assert_eq!(s.kills().last(), Some(&task));
            // So a master answers a KILL of one that it can't reach.
            s.master_says(&task, TaskUnreachable, Reason::Reconciliation);
            assert!(s.launch("a2", BIG).is_empty(), "it may still run");
            assert_eq!((s.spec("web").wanted, s.spec("web").satisfied), (1, false));
            s.clear();
            s.master_says(&task, TaskRunning, Reason::AgentReregistered);
            assert_eq!(s.kills(), [&*task]);
            assert!(s.launch("a2", BIG).is_empty());
            s.update(&task, TaskKilled);
            assert_eq!(s.launch("a2", BIG).len(), 1);
            assert!(s.stored(["ghost", &task]).is_none());
        }
    }
}

// ENGINE 26
#[test]
fn unknown_twice() {
    for (answer, replaced) in [(TaskUnknown, true), (TaskRunning, false)] {
        let mut s = Script::new([service("web", 1)]);
        let task = s.running(1).remove(0);
        s.sleep(secs(60));
        s.clear();
        s.answer(&task, TaskUnknown);
        assert_eq!(s.state(&task), Some(State::Doubtful));
        assert!(s.launch("a2", BIG).is_empty());
        // One that comes too early answers nothing.
        s.sleep(secs(9));
        s.answer(&task, TaskUnknown);
        assert_eq!(s.state(&task), Some(State::Doubtful));
        assert!(s.asked().is_empty());
        s.sleep(secs(2));
        assert_eq!(s.asked(), [&*task]);
        s.answer(&task, answer);
        assert_eq!(s.launch("a2", BIG).len(), usize::from(replaced));
        assert_eq!(s.stored(["ghost", &task]).is_some(), replaced);
    }
}

// OBSERVED: TASK_LOST comes to those who are PARTITION_AWARE too, for tasks that may be dead: it is asked for.
#[test]
fn lost_although_partition_aware() {
    let mut s = Script::new([service("web", 1).unreachable(secs(60), secs(600))]);
    let task = s.running(1).remove(0);
    s.sleep(secs(60));
    s.clear();
    s.master_says(&task, TaskLost, Reason::AgentDisconnected);
    s.sleep(secs(1));
    assert_eq!(s.state(&task), Some(State::Unreachable));
    assert_eq!(s.asked(), [&*task]);
    s.answer(&task, TaskGone);
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// OBSERVED: a launch waits in the socket of an agent that is stopped, and runs when it is back.
#[test]
fn unreachable_while_launching() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.launch("a1", BIG).remove(0);
    lose(&mut s, &old);
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    s.clear();
    s.master_says(&old, TaskStaging, Reason::AgentReregistered);
    s.update(&old, TaskRunning);
    assert_eq!(s.kills(), [&*old]);
    s.update(&old, TaskKilled);
    assert_eq!(s.spec("web").ready, 1);
}

// ENGINE 1.4 A21, A22 are parked: after a new master only an answer lets them act.
#[test]
fn what_is_due_waits_for_news_of_this_session() {
    let mut s = Script::new([service("web", 1).unreachable(secs(30), secs(600))]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.cut();
    s.resubscribe();
    s.sleep(secs(300));
    assert!(s.launch("a2", BIG).is_empty());
    s.answer(&task, TaskUnreachable);
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// I8: a rollout is taken back while one of the revision that is right again can't be seen, and its successor is all there
// is (simulated: the successor was ended as soon as nobody knew the other).
#[test]
fn a_doubtful_task_is_no_reason_to_end_a_ready_one() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.running(1).remove(0);
    lose(&mut s, &old);
    s.engine.apply(service("web", 1).env("A", "b")).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    s.engine.apply(service("web", 1)).unwrap();
    s.tick();
    s.clear();
    s.answer(&old, TaskUnknown);
    assert_eq!((s.state(&old), s.state(&new)), (Some(State::Doubtful), Some(State::Running)));
    assert!(s.kills().is_empty());
    s.sleep(secs(30));
    s.answer(&old, TaskRunning);
    assert_eq!(s.kills(), [&*old], "the ready one stays (ENGINE 3.6), until its turn comes");
}

// I8: whose place has another one already doesn't count again because nobody knows it any more (simulated: with a surge
// of 0 that place had two).
#[test]
fn doubt_does_not_take_back_that_a_place_may_have_another_one() {
    let (mut s, old, new) = replaced(service("web", 1).max_surge(Amount::Count(0)));
    s.update(&new, TaskRunning);
    assert_eq!(s.spec("web").live, 1);
    s.answer(&old, TaskUnknown);
    assert_eq!((s.state(&old), s.spec("web").live), (Some(State::Doubtful), 1));
    s.answer(&old, TaskUnreachable);
    assert_eq!((s.state(&old), s.spec("web").live), (Some(State::Unreachable), 1));
}

// What fails beside one that nobody saw for long, and that nobody knows now, is replaced all the same.
#[test]
fn doubt_does_not_keep_a_place_empty() {
    let (mut s, old, new) = replaced(service("web", 1));
    s.answer(&old, TaskUnknown);
    s.update(&new, TaskFailed);
    s.answer(&old, TaskUnreachable);
    s.sleep(secs(3));
    assert_eq!(s.launch("a3", BIG).len(), 1);
}

// One that shows life is seen again, though others are about to end it: lost once more, it is replaced once more.
#[test]
fn a_task_that_others_nearly_killed_is_lost_once_more() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.update(&task, TaskKilling);
    s.update(&task, TaskRunning);
    assert_eq!((s.state(&task), s.spec("web").waiting), (Some(State::Running), 0));
    lose(&mut s, &task);
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// A user's word goes for a task out of sight as well: it doesn't take its place again.
#[test]
fn a_ghost_that_a_user_kills_does_not_find_its_place() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.sleep(secs(601));
    assert_eq!((s.state(&task), s.spec("web").waiting), (None, 1));
    s.engine.kill(&task).unwrap();
    s.tick();
    s.answer(&task, TaskUnreachable);
    s.crash();
    s.clear();
    s.update(&task, TaskRunning);
    assert_eq!((s.state(&task), s.kills()), (None, vec![task]));
}

// I3: one that comes back to a place that is new burns the numbers up to its own.
#[test]
fn a_ghost_in_a_new_place_keeps_its_number_for_itself() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let first = s.running(2).remove(1);
    s.update(&first, TaskFailed);
    s.sleep(secs(2));
    let task = s.running(1).remove(0);
    lose(&mut s, &task);
    s.sleep(secs(601));
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.crash();
    s.engine.scale("web", 2).unwrap();
    s.tick();
    s.update(&task, TaskRunning);
    assert_eq!(s.state(&task), Some(State::Running));
    s.engine.restart_instance("web", 1).unwrap();
    s.tick();
    s.update(&task, TaskKilled);
    let new = s.running(1).remove(0);
    assert_eq!(
        (s.engine.find_task(&task).map(|t| t.generation), s.engine.find_task(&new).unwrap().generation),
        (None, 3)
    );
}

// I14: what was asked of a ghost was asked of the task that has its place again (found by chaos: asked for twice within
// seconds, since its agent was lost right after its return).
#[test]
fn a_ghost_that_is_back_was_asked_for_already() {
    let returned = |s: &mut Script, task: &str| s.answer(task, TaskRunning);
    let taken_back = |s: &mut Script, _: &str| {
        s.engine.scale("web", 1).unwrap();
        s.tick();
    };
    type Way = fn(&mut Script, &str);
    let ways: [(Duplicates, Way); 2] = [(Duplicates::Allow, returned), (Duplicates::Forbid, taken_back)];
    for (duplicates, back) in ways {
        let mut s = Script::new([service("web", 1).duplicates(duplicates).scalable(true)]);
        let task = s.running(1).remove(0);
        lose(&mut s, &task);
        if duplicates == Duplicates::Forbid {
            s.engine.scale("web", 0).unwrap();
        }
        s.sleep(secs(601));
        assert!(s.stored(["ghost", &task]).is_some());
        s.crash();
        assert_eq!(s.asked(), [&*task]);
        back(&mut s, &task);
        assert!(s.state(&task).is_some(), "{duplicates:?}");
        s.sleep(secs(3));
        s.failure("a1", None);
        s.sleep(secs(6));
        assert!(s.asked().is_empty(), "{duplicates:?}: 9 s after the first question");
        s.sleep(secs(2));
        assert_eq!(s.asked(), [&*task]);
    }
}

// A user's kill takes nothing back of what an operator has said: a task that was declared dead takes no place again, neither
// to be ended nor to go on, also after a crash.
#[test]
fn what_was_declared_dead_stays_dead_when_it_is_killed() {
    let strict = || Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let mut s = strict();
    let first = s.running(1).remove(0);
    lose(&mut s, &first);
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    let second = s.launch("a2", BIG).remove(0);
    s.update(&second, TaskRunning);
    s.engine.kill(&first).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*first]);
    lose(&mut s, &second);
    assert!(s.launch("a3", BIG).is_empty());
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    assert_eq!(s.launch("a3", BIG).len(), 1);

    for crash in [false, true] {
        let mut s = strict();
        let task = s.running(1).remove(0);
        lose(&mut s, &task);
        s.engine.declare_dead("web", 0).unwrap();
        s.engine.kill(&task).unwrap();
        s.tick();
        s.answer(&task, TaskUnreachable);
        if crash {
            s.crash();
        }
        s.clear();
        s.answer(&task, TaskRunning);
        assert_eq!((s.kills(), s.spec("web").waiting), (vec![task.clone()], 1), "{crash}");
        s.update(&task, TaskKilled);
        assert_eq!(s.launch("a2", BIG).len(), 1);
    }
}
