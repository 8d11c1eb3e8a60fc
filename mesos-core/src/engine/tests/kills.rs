//! Ending tasks.

use super::*;

// ENGINE 27, S179, W44: written first, asked again until it ends, and only then forgotten.
#[test]
fn kill_lost() {
    let mut s = Script::new([service("web", 3).kill_grace(secs(5)).scalable(true)]);
    let tasks = s.running(3);
    s.disk = Disk::Hangs;
    s.engine.scale("web", 2).unwrap();
    s.tick();
    assert!(s.kills().is_empty(), "ENGINE W4");
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.stored(["inst", "web", "2", "1"]).is_some_and(|record| record.contains("KILLING")));
    s.sleep(secs(15 + 30 + 60 + 20));
    let kills = s.timed(Type::Kill);
    let gaps: Vec<u64> = kills.windows(2).map(|w| w[1].0.saturating_duration_since(w[0].0).as_secs()).collect();
    assert_eq!(gaps.len(), 3, "{gaps:?}");
    for (gap, expected) in gaps.iter().zip([15, 30, 60]) {
        assert!((expected..=expected + expected / 10).contains(gap), "{gaps:?}");
    }
    for (_, call) in kills {
        let kill = call.kill.unwrap();
        assert_eq!((kill.task_id.value.as_str(), kill.agent_id.unwrap().value.as_str()), (tasks[2].as_str(), "a1"));
        assert_eq!(kill.kill_policy.unwrap().grace_period.unwrap().nanoseconds, 5_000_000_000);
    }
    s.update(&tasks[2], TaskKilled);
    s.sleep(secs(3600));
    assert!(s.kills().is_empty());
    assert_eq!((s.stored(["slot", "web", "2"]), s.stored(["inst", "web", "2", "1"])), (None, None));
    assert!(s.spec("web").satisfied);
}

// ENGINE 28
#[test]
fn kill_while_agent_away() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.clear();
    s.master_says(&tasks[1], TaskUnreachable, Reason::AgentRemoved);
    assert_eq!(s.state(&tasks[1]), None);
    assert!(s.stored(["ghost", &tasks[1]]).is_some_and(|record| record.contains("ABANDONED")));
    assert_eq!(s.stored(["slot", "web", "1"]), None, "done");
    s.sleep(secs(3600));
    assert!(s.kills().is_empty());
    s.master_says(&tasks[1], TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.kills(), [&*tasks[1]]);
    s.update(&tasks[1], TaskKilled);
    assert_eq!(s.stored(["ghost", &tasks[1]]), None);
}

// ENGINE 1.3 ABANDON: a strict slot waits even while it is being killed.
#[test]
fn a_strict_slot_is_not_abandoned() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.sleep(secs(1000));
    assert!(s.launch("a2", BIG).is_empty());
    s.clear();
    // It is in sight again: no waiting for the next turn.
    s.master_says(&task, TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.kills(), [&*task]);
    s.update(&task, TaskKilled);
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// ENGINE 30, S120, W22: armed, since the store knew this framework; whatever state shows that it lives.
#[test]
fn zombie_found() {
    for state in [TaskStaging, TaskStarting, TaskRunning] {
        let mut s = Script::new([service("web", 1)]);
        s.answer("zombie", state);
        let unknown = |e: &Event| matches!(e, Event::UnknownTask { killed: true, state: told, .. } if *told == state);
        assert_eq!(s.told(unknown), 1, "{state:?}");
        assert_eq!(s.kills(), ["zombie"], "{state:?}");
        s.sleep(secs(20));
        assert_eq!(s.kills(), ["zombie"], "again");
        s.update("zombie", TaskKilled);
        assert_eq!(s.acks(), ["zombie"]);
        s.sleep(secs(3600));
        assert!(s.kills().is_empty());
        assert!(!s.store.records().keys().any(|key| key.as_str().starts_with("ghost")), "nothing is kept of it");
    }
}

// ENGINE 30, S120: an empty store must not wipe a framework that runs; nor is anything killed if nobody wants that.
#[test]
fn an_empty_store_kills_nothing() {
    let named = scheduler::Config::new(Framework::new("test"), ["10.0.0.1:5050"]).unwrap().framework_id("f-7").unwrap();
    for config in [Config::new(named), config().unknown_tasks(UnknownTasks::Ignore)] {
        let mut s = Script::with(config, [service("web", 1)]);
        [TaskStaging, TaskStarting, TaskRunning].into_iter().for_each(|state| s.answer("zombie", state));
        s.update("zombie", TaskRunning);
        assert_eq!(s.told(|e| matches!(e, Event::UnknownTask { killed: false, .. })), 4);
        assert_eq!(s.acks(), ["zombie"]);
        s.sleep(secs(3600));
        assert!(s.kills().is_empty());
    }
}

// ENGINE 31, S121, I9
#[test]
fn kill_answer_loop() {
    for answer in [TaskUnknown, TaskLost, TaskGone, TaskUnreachable] {
        let mut s = Script::new([service("web", 1)]);
        let before = s.store.clone();
        s.answer("zombie", answer);
        assert!(s.kills().is_empty());
        s.answer("zombie", TaskRunning);
        assert_eq!(s.kills().len(), 1);
        s.answer("zombie", answer);
        assert_eq!(s.engine.gauges().ghosts, 0, "{answer:?}");
        s.sleep(secs(3600));
        assert!(s.kills().is_empty(), "{answer:?}");
        assert_eq!(s.store, before, "S121: nothing of it is on record: {answer:?}");
    }
}

// OBSERVED: KILLED, then a late KILLING of a task that has ended.
#[test]
fn a_late_killing_is_no_life() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.answer(&task, TaskKilled);
    s.clear();
    for state in [TaskKilling, TaskKilling, TaskRunning, TaskKilled] {
        s.update(&task, state);
    }
    assert!(s.kills().is_empty());
    assert_eq!(s.acks().len(), 4);
}

// ENGINE 63, I15
#[test]
fn rate_of_kills() {
    let mut s = Script::with(config().max_launching_per_agent(1000), [service("web", 1000)]);
    let offers = (0..10).map(|n| s.make_offer(&format!("a{n}"), "cpus:100;mem:100000")).collect();
    s.offers(offers);
    let tasks: Vec<String> = s.accepts().iter().flat_map(Accept::ids).collect();
    assert_eq!(tasks.len(), 1000);
    tasks.iter().for_each(|task| s.update(task, TaskRunning));
    s.clear();
    s.engine.remove("web").unwrap();
    s.tick();
    let mut killed = 0;
    for _ in 0..20 {
        let kills = s.kills();
        assert!(kills.len() <= 100);
        killed += kills.len();
        kills.iter().for_each(|task| s.update(task, TaskKilled));
        s.sleep(secs(1));
    }
    assert_eq!(killed, 1000);
    assert_eq!(s.told(|e| matches!(e, Event::SpecRemoved { .. })), 1);
    assert_eq!(s.engine.specs().count(), 0);
    assert!(!s.store.records().keys().any(|key| key.as_str().contains("web")));
}

// ENGINE 1.4 A17: a new session asks at once for the end of what was to end.
#[test]
fn kills_are_repeated_in_a_new_session() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.kill(&task).unwrap();
    s.tick();
    s.cut();
    s.clear();
    s.resubscribe();
    assert_eq!(s.kills(), [&*task]);
    // And so does a new process.
    s.crash();
    assert_eq!(s.kills(), [task]);
}

// ENGINE W4: nor does a second reason to kill it make the first KILL leave before it is written.
#[test]
fn a_second_reason_does_not_hurry_the_first_kill() {
    let mut s = Script::new([service("web", 1).scalable(true)]);
    let task = s.running(1).remove(0);
    s.disk = Disk::Hangs;
    s.engine.scale("web", 0).unwrap();
    s.tick();
    s.engine.kill(&task).unwrap();
    s.tick();
    assert!(s.kills().is_empty());
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.kills()[0], task);
}

// ENGINE 4.6: KILLING is a sign that KILL has arrived: the next one waits for the grace period from there.
#[test]
fn a_task_that_is_ending_is_given_its_time() {
    let mut s = Script::new([service("web", 1).kill_grace(secs(20))]);
    let task = s.running(1).remove(0);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    s.sleep(secs(29));
    assert_eq!(s.kills(), [&*task]);
    s.update(&task, TaskKilling);
    s.sleep(secs(29));
    assert!(s.kills().is_empty());
    s.sleep(secs(5));
    assert_eq!(s.kills(), [&*task], "and not for ever");
}

// OBSERVED: an end that came while nobody was subscribed is told by the master; then the agent repeats what came before
// it, and asked again the master tells that. Nothing of it is a task that nobody knows; what lives on later is.
#[test]
fn echoes_of_a_task_that_has_ended() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.answer(&tasks[1], TaskGone);
    s.answer(&tasks[0], TaskFinished);
    s.clear();
    for task in &tasks {
        s.update(task, TaskStarting);
        s.answer(task, TaskStarting);
        s.answer(task, TaskRunning);
        s.update(task, TaskRunning);
    }
    assert_eq!(s.acks().len(), 4);
    assert_eq!(s.told(|e| matches!(e, Event::UnknownTask { .. })), 0);
    assert!(s.kills().is_empty());
    s.sleep(secs(601));
    s.answer(&tasks[1], TaskRunning);
    assert_eq!(s.kills(), [&*tasks[1]]);
}

// ENGINE 1.4 A8: a user who asks once more is heard once more.
#[test]
fn asked_again_it_is_killed_again() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    for _ in 0..2 {
        s.engine.restart_instance("web", 0).unwrap();
        s.tick();
        assert_eq!(s.kills(), [&*task]);
    }
}

// ENGINE 4.6, I15, S124: one that comes back after it was given up is killed as its spec says.
#[test]
fn a_ghost_has_its_time_to_end_too() {
    let mut s = Script::new([service("web", 2).scalable(true).kill_grace(secs(60))]);
    let tasks = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.master_says(&tasks[1], TaskUnreachable, Reason::AgentRemoved);
    assert_eq!(s.left(), [(tasks[1].clone(), Err(GhostReason::Abandoned))]);
    s.clear();
    s.master_says(&tasks[1], TaskRunning, Reason::AgentReregistered);
    s.sleep(secs(69));
    let kills = s.take(Type::Kill);
    let grace =
        kills.iter().map(|call| call.kill.clone().unwrap().kill_policy.unwrap().grace_period.unwrap().nanoseconds);
    assert!(grace.eq([60_000_000_000]), "{kills:?}");
    s.sleep(secs(2));
    assert_eq!(s.kills(), [&*tasks[1]]);
    s.update(&tasks[1], TaskKilled);
}

// ENGINE 4.6, I6: a place that takes back what was given up asks for it at once: it may be in sight and about to end, and has
// no more than its time then (simulated: seed 8800006506).
#[test]
fn what_is_taken_back_is_asked_for() {
    let spec = service("web", 2).scalable(true).duplicates(Duplicates::Forbid);
    let mut s = Script::new([spec.kill_grace(secs(20)).force_kill_after(secs(40))]);
    let task = s.running(2).remove(1);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.master_says(&task, TaskRunning, Reason::AgentReregistered);
    s.update(&task, TaskKilling);
    s.sleep(secs(10));
    s.clear();
    s.engine.scale("web", 2).unwrap();
    s.tick();
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::Scale)));
    assert_eq!(s.asked(), [&*task]);
    s.answer(&task, TaskKilling);
    s.take(Type::Kill);
    s.sleep(secs(41));
    assert_eq!(graces(s.take(Type::Kill)).last(), Some(&0));
}

/// The grace periods of these KILLs, in nanoseconds.
fn graces(calls: Vec<Call>) -> Vec<i64> {
    let policies = calls.into_iter().map(|call| call.kill.unwrap().kill_policy);
    policies.map(|policy| policy.and_then(|policy| policy.grace_period).map_or(-1, |grace| grace.nanoseconds)).collect()
}

// ENGINE 4.6: off unless asked for; then the next KILL gives no time at all, and is repeated like a first one.
#[test]
fn a_kill_is_forced() {
    const GRACE: i64 = 20_000_000_000;
    let spec = || service("web", 1).kill_grace(secs(20));
    for (spec, expected) in [(spec(), &[GRACE; 3][..]), (spec().force_kill_after(secs(40)), &[GRACE, GRACE, 0, 0, 0])] {
        let mut s = Script::new([spec]);
        let task = s.running(1).remove(0);
        s.engine.restart_instance("web", 0).unwrap();
        s.tick();
        // After 0, 30 and 90 s; or after 40, 50 and 70.
        s.sleep(secs(35));
        s.update(&task, TaskKilling);
        s.sleep(secs(65));
        assert_eq!(graces(s.take(Type::Kill)), expected);
        // Each task has its time.
        s.update(&task, TaskKilled);
        let task = s.running(1).remove(0);
        s.engine.kill(&task).unwrap();
        s.tick();
        assert_eq!(graces(s.take(Type::Kill)), [GRACE]);
    }
}

// ENGINE 4.6: a task hangs, and that is why it is given so much time and no more: a policy takes effect at once.
#[test]
fn a_kill_under_way_is_forced() {
    let spec = || service("web", 1).kill_grace(secs(300));
    let mut s = Script::new([spec()]);
    s.running(1);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    s.sleep(secs(60));
    s.clear();
    s.engine.apply(spec().force_kill_after(secs(10))).unwrap();
    s.sleep(secs(1));
    assert_eq!(graces(s.take(Type::Kill)), [0]);
}

// ENGINE 1.4 A8: a user may ask for the end of one that was given up, and of one that nobody knows.
#[test]
fn a_ghost_is_killed_by_a_user() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.master_says(&tasks[1], TaskUnreachable, Reason::AgentRemoved);
    s.answer("zombie", TaskRunning);
    s.clear();
    for task in [&*tasks[1], "zombie"] {
        s.engine.kill(task).unwrap();
        s.tick();
        assert_eq!(s.kills(), [task]);
    }
    s.sleep(secs(20));
    assert!(s.kills().contains(&tasks[1]), "again");
    s.update(&tasks[1], TaskKilled);
    s.update("zombie", TaskKilled);
    assert_eq!(s.engine.kill("zombie"), Err(CommandError::NoTask("zombie".into())));
}

// ENGINE 4.6: nor by one that waited behind other calls, and fell with the session (simulated: seed 10).
#[test]
fn a_kill_that_never_left_is_not_forced() {
    let mut s = Script::new([service("web", 2).kill_grace(secs(20)).force_kill_after(secs(1))]);
    let tasks = s.running(2);
    s.answering = false;
    s.engine.kill(&tasks[0]).unwrap();
    s.engine.kill(&tasks[1]).unwrap();
    s.tick();
    s.sleep(secs(2));
    assert_eq!(s.kills(), [&*tasks[0]], "the other one waits behind it");
    s.cut();
    s.answering = true;
    s.resubscribe();
    let policies = s.take(Type::Kill).into_iter().map(|call| call.kill.unwrap().kill_policy.unwrap());
    let graces: Vec<_> = policies.map(|policy| policy.grace_period.unwrap().nanoseconds).collect();
    assert_eq!(graces, [20_000_000_000; 2], "nobody knows whether the first one has arrived either");
    s.sleep(secs(2));
    assert_eq!(s.kills().len(), 2, "and then by force");
}

// ENGINE 4.6: the time runs from the first KILL that can have been heard.
#[test]
fn a_kill_that_nobody_heard_is_not_forced() {
    let spec = service("web", 1).duplicates(Duplicates::Forbid).kill_grace(secs(20)).force_kill_after(secs(40));
    let mut s = Script::new([spec]);
    let task = s.running(1).remove(0);
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    s.sleep(secs(200));
    s.take(Type::Kill);
    s.master_says(&task, TaskRunning, Reason::AgentReregistered);
    let policy = s.take(Type::Kill).remove(0).kill.unwrap().kill_policy.unwrap();
    assert_eq!(policy.grace_period.map(|grace| grace.nanoseconds), Some(20_000_000_000));
    s.sleep(secs(41));
    let policy = s.take(Type::Kill).pop().unwrap().kill.unwrap().kill_policy.unwrap();
    assert_eq!(policy.grace_period.map(|grace| grace.nanoseconds), Some(0));
}

// L4: what comes back in the midst of its start is told at once, too (simulated: seed 9510033736).
#[test]
fn one_that_comes_back_starting_is_killed_at_once() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskStarting);
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    s.sleep(secs(100));
    s.take(Type::Kill);
    s.master_says(&task, TaskStarting, Reason::AgentReregistered);
    assert_eq!(s.kills(), [task]);
}

// ENGINE 4.6: no time at all is over as soon as the first KILL is taken; and so may any time be when that answer comes late.
#[test]
fn a_time_that_is_over_at_once() {
    const GRACE: i64 = 20_000_000_000;
    for (after, late) in [(secs(0), false), (secs(2), true)] {
        let mut s = Script::new([service("web", 1).kill_grace(secs(20)).force_kill_after(after)]);
        let task = s.running(1).remove(0);
        s.answering = !late;
        s.engine.restart_instance("web", 0).unwrap();
        s.tick();
        if late {
            s.update(&task, TaskKilling);
            s.sleep(secs(3));
            s.answering = true;
            s.settle();
        }
        s.sleep(secs(1));
        assert_eq!(graces(s.take(Type::Kill)), [GRACE, 0]);
        s.sleep(secs(7));
        assert!(s.kills().is_empty(), "as any KILL is repeated");
        s.sleep(secs(4));
        assert_eq!(graces(s.take(Type::Kill)), [0]);
    }
}

// ENGINE 4.6: whether it heard of it by a KILL of ours or another one, its time begins when it says that it is ending.
#[test]
fn one_that_comes_back_ending_is_forced_in_time() {
    let spec = service("web", 1).duplicates(Duplicates::Forbid).kill_grace(secs(20)).force_kill_after(secs(40));
    let mut s = Script::new([spec]);
    let task = s.running(1).remove(0);
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    // The next one is minutes away by now.
    s.sleep(secs(1000));
    s.clear();
    s.update(&task, TaskKilling);
    s.sleep(secs(39));
    assert!(s.kills().is_empty());
    s.sleep(secs(2));
    assert_eq!(graces(s.take(Type::Kill)), [0]);
}

// I15, L4: those that can't be reached may stay so for ever, and stand in nobody's way. In sight again, they are among
// those that are ended at a time.
#[test]
fn kills_out_of_sight_hold_up_no_others() {
    let specs = [service("db", 3).duplicates(Duplicates::Forbid), service("web", 1)];
    for before in [true, false] {
        let mut s = Script::with(config().max_kills(1), specs.clone());
        let tasks = s.running(4);
        let (web, db): (Vec<String>, Vec<String>) = tasks.into_iter().partition(|task| task.contains("web"));
        let lose =
            |s: &mut Script| db.iter().for_each(|task| s.master_says(task, TaskUnreachable, Reason::AgentRemoved));
        if before {
            lose(&mut s);
        }
        (0..3).for_each(|index| s.engine.restart_instance("db", index).unwrap());
        s.tick();
        assert_eq!(s.kills().len(), if before { 3 } else { 1 });
        if !before {
            lose(&mut s);
            assert_eq!(s.kills().len(), 2);
        }
        assert_eq!((s.engine.gauges().kills_under_way, s.engine.gauges().kills_queued), (3, 0));
        s.engine.restart_instance("web", 0).unwrap();
        s.tick();
        assert_eq!(s.kills(), [&*web[0]]);
        // They are asked to end all the same, now and then.
        s.sleep(secs(20));
        let mut kills = s.kills();
        kills.retain(|task| !web.contains(task));
        assert_eq!(kills.len(), 3);
        db[..2].iter().for_each(|task| s.master_says(task, TaskRunning, Reason::AgentReregistered));
        assert!(s.kills().is_empty(), "another one is being ended");
        s.update(&web[0], TaskKilled);
        assert_eq!(s.kills(), [&*db[0]]);
        s.sleep(secs(15));
        assert_eq!(s.kills(), [&*db[0]], "the repetition has started anew");
        // This one has heard of it already.
        s.update(&db[2], TaskKilling);
        s.update(&db[0], TaskKilled);
        assert_eq!(s.kills(), [&*db[1]]);
        s.update(&db[1], TaskKilled);
        s.update(&db[2], TaskKilled);
        assert_eq!((s.engine.gauges().kills_under_way, s.engine.gauges().kills_queued), (0, 0));
    }
}

// A lost rack: its KILLs are of no use, and launches and questions wait behind them.
#[test]
fn many_out_of_sight_are_not_told() {
    let config = config().max_kills(1000).max_launching_per_agent(1000);
    let mut s = Script::with(config, [service("db", 150).duplicates(Duplicates::Forbid)]);
    let tasks = s.launch("a1", "cpus:200;mem:100000");
    assert_eq!(tasks.len(), 150);
    tasks.iter().for_each(|task| s.update(task, TaskRunning));
    tasks.iter().for_each(|task| s.master_says(task, TaskUnreachable, Reason::AgentRemoved));
    s.clear();
    (0..150).for_each(|index| s.engine.restart_instance("db", index).unwrap());
    s.tick();
    assert_eq!(s.kills().len(), 100);
    tasks.iter().for_each(|task| s.master_says(task, TaskRunning, Reason::AgentReregistered));
    let told: std::collections::BTreeSet<String> = s.kills().into_iter().collect();
    assert_eq!(told.len(), 150);
}

// A store that became strict before what that means was durable: nothing more begins beside what is out of sight, nor where
// something was given up.
#[test]
fn duplicates_are_forbidden_before_a_crash() {
    for given_up in [false, true] {
        let mut s = Script::new([service("web", 1)]);
        let task = s.running(1).remove(0);
        s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
        s.tick();
        if given_up {
            s.engine.restart_instance("web", 0).unwrap();
            s.tick();
        }
        assert_eq!(s.spec("web").waiting, 1);
        let before = s.store.records().clone();
        s.engine.apply(service("web", 1).duplicates(Duplicates::Forbid)).unwrap();
        s.tick();
        // All but the spec is as it was.
        let mut ops: Vec<StoreOp> = s.store.records().keys().map(|key| StoreOp::Delete { key: key.clone() }).collect();
        ops.extend(before.into_iter().map(|(key, value)| StoreOp::Put { key, value }));
        let spec = Key::new(["spec", "web"]);
        ops.retain(|op| *op.key() != spec);
        s.store.apply_now(&Persist::new(Ticket::new(0), ops));
        s.specs = vec![service("web", 1).duplicates(Duplicates::Forbid)];
        s.crash();
        assert!(s.launch("a2", BIG).is_empty(), "{given_up}");
        s.answer(&task, TaskUnreachable);
        assert!(s.launch("a2", BIG).is_empty(), "{given_up}");
    }
}

// ENGINE 4.6, W44: the repetition starts anew in a new session, for a task that isn't counted as well; and what nobody
// could send isn't counted.
#[test]
fn kills_of_ghosts_are_repeated_in_a_new_session() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.master_says(&tasks[1], TaskUnreachable, Reason::AgentRemoved);
    s.clear();
    s.master_says(&tasks[1], TaskRunning, Reason::AgentReregistered);
    s.answer("zombie", TaskRunning);
    assert_eq!(s.kills(), [&*tasks[1], "zombie"]);
    s.master = false;
    s.cut();
    s.sleep(secs(3600));
    s.resubscribe();
    let mut kills = s.kills();
    kills.sort();
    assert_eq!(kills, [&*tasks[1], "zombie"]);
    s.sleep(secs(20));
    assert_eq!(s.kills().len(), 2, "soon again");
    s.update(&tasks[1], TaskKilled);
    s.update("zombie", TaskKilled);
}

// ENGINE 4.6, found by the simulated world: a KILL that surely never left isn't repeated only when the task would have had its
// time to end, which may be long, and doesn't hide that it is to end by force.
#[test]
fn a_kill_that_was_not_sent_is_sent_soon() {
    let spec = service("web", 1).kill_grace(secs(600)).force_kill_after(secs(30));
    let mut s = Script::new([spec]);
    let task = s.running(1).remove(0);
    s.answering = false;
    s.engine.kill(&task).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*task]);
    s.not_sent();
    s.sleep(secs(4));
    assert!(s.kills().is_empty());
    s.answering = true;
    s.sleep(secs(2));
    assert_eq!(s.kills(), [&*task]);
    s.sleep(secs(31));
    let kills = s.take(Type::Kill);
    let grace = kills[0].kill.as_ref().unwrap().kill_policy.unwrap().grace_period.unwrap();
    assert_eq!((kills.len(), grace.nanoseconds), (1, 0));
}
