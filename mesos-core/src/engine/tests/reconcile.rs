//! Questions and answers.

use super::*;

// ENGINE 32, S162, W43
#[test]
fn master_failover_silent_agents() {
    let mut s = Script::new([service("web", 3).scalable(true)]);
    let tasks = s.running(3);
    s.cut();
    s.resubscribe();
    let mut asked = Vec::new();
    let start = s.now;
    s.engine.scale("web", 4).unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1, "other slots launch");
    let fourth = s.tasks("web", 3).remove(0).task_id;
    s.update(&fourth, TaskRunning);
    while s.now < start + secs(540) {
        s.sleep(secs(1));
        for (at, call) in s.timed(Type::Reconcile) {
            let reconcile = call.reconcile.unwrap();
            let first = reconcile.tasks.iter().filter(|task| task.task_id.value == tasks[0]).count();
            assert!(first <= 1, "W43");
            if first == 1 {
                asked.push(at);
                assert!(reconcile.tasks.iter().all(|t| t.agent_id.as_ref().is_some_and(|id| id.value == "a1")));
            }
        }
        assert!(s.kills().is_empty() && s.launch("a3", BIG).is_empty());
    }
    let gaps: Vec<u64> = asked.windows(2).map(|w| w[1].saturating_duration_since(w[0]).as_secs()).collect();
    for (gap, expected) in gaps.iter().zip([10, 20, 40, 60, 60, 60, 60, 60]) {
        assert!((expected..=expected + expected / 10 + 1).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 8);
    tasks.iter().for_each(|task| s.answer(task, TaskRunning));
    assert_eq!(s.told(|e| matches!(e, Event::ReconcileDone { .. })), 1);
    s.clear();
    s.sleep(secs(200));
    assert!(s.asked().is_empty());
    assert!(s.spec("web").satisfied);
}

// S160, W43: each task once, then everything; and again now and then.
#[test]
fn explicit_then_implicit_then_periodic() {
    let mut s = Script::new([service("web", 3)]);
    let tasks = s.running(3);
    s.crash();
    let calls = s.take(Type::Reconcile);
    assert_eq!(calls.len(), 1, "nothing implicit before the answers");
    let asked = calls[0].reconcile.as_ref().unwrap().tasks.iter();
    let asked: Vec<_> = asked.map(|task| (&task.task_id.value, task.agent_id.clone())).collect();
    assert_eq!(asked, tasks.iter().map(|task| (task, Some("a1".into()))).collect::<Vec<_>>());
    tasks.iter().for_each(|task| s.answer(task, TaskRunning));
    s.sleep(secs(1));
    let calls = s.take(Type::Reconcile);
    assert_eq!(calls.len(), 1);
    assert!(calls[0].reconcile.as_ref().unwrap().tasks.is_empty());
    let mut last = s.now;
    for _ in 0..5 {
        let mut asked = s.asked();
        while asked.is_empty() {
            s.sleep(secs(1));
            asked = s.asked();
        }
        assert_eq!(asked, tasks);
        tasks.iter().for_each(|task| s.answer(task, TaskRunning));
        let gap = s.now.saturating_duration_since(last).as_secs();
        assert!((809..=991).contains(&gap), "every 15 min, give or take: {gap}");
        last = s.now;
    }
    assert_eq!(s.told(|e| matches!(e, Event::ReconcileStarted { tasks: 3 })), 6);
}

// ENGINE 5: without answers the implicit question comes after a minute.
#[test]
fn the_implicit_question_does_not_wait_for_ever() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.crash();
    s.clear();
    s.sleep(secs(61));
    let implicit = |call: &Call| call.reconcile.as_ref().unwrap().tasks.is_empty();
    assert_eq!(s.take(Type::Reconcile).iter().filter(|call| implicit(call)).count(), 1);
}

// A task that has ended explains for a while what is still told of it, and is forgotten then, though none ends after it
// (simulated: seed 1000003229).
#[test]
fn what_has_ended_is_forgotten_at_rest() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.running(1).remove(0);
    s.update(&old, TaskFailed);
    let knows = |s: &Script| format!("{:?}", s.engine).contains(&old);
    s.sleep(secs(590));
    assert!(knows(&s));
    s.sleep(secs(2000));
    assert!(!knows(&s));
}

// ENGINE 53, W53
#[test]
fn agent_failure_event() {
    let mut s = Script::new([service("web", 2)]);
    let tasks = s.running(2);
    s.sleep(secs(60));
    s.clear();
    s.failure("a2", None);
    assert!(s.asked().is_empty(), "nothing there");
    s.failure("a1", None);
    s.tick();
    assert_eq!(s.asked(), tasks);
    assert!(tasks.iter().all(|task| s.state(task) == Some(State::Running)));
    assert!(s.kills().is_empty());
    s.answer(&tasks[0], TaskRunning);
    s.answer(&tasks[1], TaskGone);
    assert_eq!(s.spec("web").waiting, 1);
    assert_eq!(s.launch("a1", BIG).len(), 1, "with a new offer it is fine again");
}

// ENGINE 1.4 A15: an executor's status is on its way: it is asked for after a while, unless it has come.
#[test]
fn executor_failure_event() {
    let mut s = Script::new([service("web", 2)]);
    let tasks = s.running(2);
    s.sleep(secs(60));
    s.clear();
    // Without an executor of its own a task's executor has the task's id.
    let executor = tasks[0].clone();
    s.failure("a1", Some(&executor));
    s.sleep(secs(4));
    assert!(s.asked().is_empty());
    s.sleep(secs(2));
    assert_eq!(s.asked(), [&*tasks[0]]);
    let executor = tasks[1].clone();
    s.failure("a1", Some(&executor));
    s.update(&tasks[1], TaskFailed);
    s.sleep(secs(6));
    assert!(!s.asked().contains(&tasks[1]));
}

// ENGINE 1.4 A3, I10: the agent fails before the ACCEPT has left.
#[test]
fn an_agent_fails_before_the_accept() {
    let mut s = Script::new([service("web", 1)]);
    s.disk = Disk::Hangs;
    s.offer("a1", BIG);
    s.failure("a1", None);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert_eq!(s.spec("web").waiting, 1);
}

// S121: what isn't there is not asked for twice, and changes nothing, nor is it written down.
#[test]
fn answers_about_strangers() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    let before = s.store.clone();
    for state in [TaskGone, TaskUnknown, TaskLost, TaskUnreachable, TaskGoneByOperator, TaskFinished] {
        s.answer("stranger", state);
    }
    s.sleep(secs(600));
    assert!(s.kills().is_empty() && !s.asked().contains(&"stranger".to_string()));
    assert_eq!(s.told(|e| matches!(e, Event::UnknownTask { .. })), 0);
    assert_eq!(s.store, before);
}

// S121: the record of a task that has no place any more goes with the answer that it has ended, and with no other one.
#[test]
fn the_record_goes_with_the_answer() {
    let ends = [TaskFinished, TaskFailed, TaskKilled, TaskError, TaskDropped, TaskGone].map(|state| (state, false));
    let others = [TaskUnknown, TaskUnreachable, TaskLost, TaskGoneByOperator].map(|state| (state, true));
    for (state, stays) in ends.into_iter().chain(others) {
        let mut s = Script::new([service("web", 2).scalable(true)]);
        let task = s.running(2).remove(1);
        s.engine.scale("web", 1).unwrap();
        s.tick();
        s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
        assert!(s.stored(["ghost", &task]).is_some());
        s.clear();
        s.answer(&task, state);
        assert_eq!(s.stored(["ghost", &task]).is_some(), stays, "{state:?}");
        assert!(s.kills().is_empty(), "{state:?}");
    }
}

// ENGINE 5: how often everything is asked for can be chosen, within reason.
#[test]
fn the_implicit_question_is_asked_as_often_as_wanted() {
    let every = |secs| config().implicit_every(Duration::from_secs(secs));
    for (config, seconds) in [(config(), 3600), (every(600), 600), (every(0), 60)] {
        let mut s = Script::with(config, [service("web", 1)]);
        let mut asked = Vec::new();
        while asked.len() < 4 {
            s.sleep(secs(1));
            let implicit = |call: &Call| call.reconcile.as_ref().unwrap().tasks.is_empty();
            asked.extend(s.timed(Type::Reconcile).into_iter().filter(|(_, call)| implicit(call)).map(|(at, _)| at));
        }
        for pair in asked.windows(2) {
            let gap = pair[1].saturating_duration_since(pair[0]).as_secs();
            assert!((seconds * 9 / 10..=seconds * 11 / 10 + 1).contains(&gap), "every {seconds} s: {gap}");
        }
    }
}

// L5: an implicit question that is refused is asked again soon, not in an hour.
#[test]
fn an_implicit_question_is_not_lost() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.crash();
    s.answering = false;
    s.answer(&task, TaskRunning);
    s.sleep(secs(1));
    let implicit = |s: &mut Script| {
        let calls = s.take(Type::Reconcile);
        calls.iter().filter(|call| call.reconcile.as_ref().unwrap().tasks.is_empty()).count()
    };
    assert_eq!(implicit(&mut s), 1);
    s.reply(400, "no");
    s.answering = true;
    s.sleep(secs(9));
    assert_eq!(implicit(&mut s), 0);
    s.sleep(secs(2));
    assert_eq!(implicit(&mut s), 1);
    s.sleep(secs(1200));
    assert_eq!(implicit(&mut s), 0);
}

// ENGINE section 5: with the global gate nothing is launched before all is answered, or a minute has passed.
#[test]
fn global_gate() {
    for (gate, answered) in [(false, false), (true, false), (true, true)] {
        let mut s = Script::with(config().global_gate(gate), [service("web", 1), service("other", 2)]);
        let tasks = s.running(3);
        s.update(tasks.iter().find(|task| task.contains("web")).unwrap(), TaskKilled);
        s.cut();
        s.resubscribe();
        if answered {
            tasks.iter().filter(|task| task.contains("other")).for_each(|task| s.answer(task, TaskRunning));
        }
        s.sleep(secs(10));
        s.clear();
        let launched = s.launch("a2", BIG).len();
        assert_eq!(launched, usize::from(!gate || answered));
        if launched == 0 {
            assert_eq!(s.declines()[0].1, 5.0);
            s.sleep(secs(50));
            assert_eq!(s.launch("a2", BIG).len(), 1);
        }
    }
}
