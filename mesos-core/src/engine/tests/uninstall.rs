//! The end of a framework.

use super::*;
use crate::scheduler::FatalReason;

const REMOVED: &str = "Framework has been removed";

fn ended(s: &mut Script) -> Option<Event> {
    let last = s.events.back().cloned();
    s.clear();
    s.sleep(secs(10_000));
    assert!(s.calls.is_empty() && s.events.is_empty() && s.subscription.is_none(), "{:?}", s.events);
    assert_eq!(s.deadline, None);
    last
}

/// The last task has ended, and TEARDOWN has no answer so far.
fn tearing_down(config: Config) -> Script {
    let mut s = Script::with(config, [service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.uninstall();
    s.tick();
    s.clear();
    s.answering = false;
    s.update(&task, TaskKilled);
    s.reply(202, "");
    assert_eq!(s.take(Type::Teardown).len(), 1);
    s
}

// ENGINE 34, W16: by default it stops, and what is in the store stays for whoever decides.
#[test]
fn framework_removed() {
    let mut s = Script::new([service("web", 2)]);
    s.running(2);
    let before = s.store.clone();
    s.error(REMOVED);
    assert_eq!(ended(&mut s), Some(Event::Fatal(FatalReason::Removed)));
    assert_eq!(s.store, before);
}

// ENGINE 34, ENGINE W10: or everything is launched once more under a new id, once an hour.
#[test]
fn framework_removed_and_made_anew() {
    let mut s = Script::with(config().on_removed(OnRemoved::FreshId), [service("web", 2).scalable(true)]);
    let old = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.disk = Disk::Hangs;
    s.master = false;
    s.error(REMOVED);
    s.sleep(secs(1));
    assert!(s.subscription.is_none(), "not before it is durable that the old id is spent");
    s.disk = Disk::Writes;
    s.master = true;
    s.settle();
    s.resubscribe();
    assert_eq!(s.told(|e| matches!(e, Event::FrameworkRemoved { framework_id } if framework_id == "f-1")), 1);
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
    let record = s.stored(["framework"]).unwrap();
    assert!(record.contains("\"f-2\"") && record.contains("\"f-1\""), "{record}");
    assert!(s.stored(["engine"]).unwrap().contains("RUNNING"));
    let new = s.launch("a1", BIG);
    assert_eq!(new.len(), 1);
    assert!(!old.contains(&new[0]));
    s.update(&new[0], TaskRunning);
    assert!(s.spec("web").satisfied);
    // The next start is that of the new one.
    s.specs = vec![service("web", 1)];
    s.crash();
    assert_eq!(s.subscribes.last().unwrap().framework_info.id.as_ref().unwrap().value, "f-2");
    s.clear();
    s.answer(&new[0], TaskRunning);
    assert!(s.launch("a1", BIG).is_empty());
}

// ENGINE 34: whatever state they were in: all that are wanted are launched under the new id, once, and nothing is left of
// the old ones.
#[test]
fn all_instances_are_made_anew() {
    let mut s = Script::with(config().on_removed(OnRemoved::FreshId), [service("web", 6)]);
    let old = s.launch("a1", BIG);
    s.update(&old[1], TaskStarting);
    old[2..].iter().for_each(|task| s.update(task, TaskRunning));
    s.master_says(&old[3], TaskUnreachable, Reason::AgentRemoved);
    s.answer(&old[4], TaskUnknown);
    s.engine.restart_instance("web", 5).unwrap();
    s.tick();
    let states: Vec<_> = old.iter().map(|task| s.state(task).unwrap()).collect();
    let killing = State::Killing(KillReason::User);
    let all = [State::Launching, State::Staged, State::Running, State::Unreachable, State::Doubtful, killing];
    assert_eq!(states, all);
    s.clear();
    s.error(REMOVED);
    s.resubscribe();
    assert_eq!(s.told(|e| matches!(e, Event::FrameworkRemoved { .. })), 1);
    assert_eq!(s.told(|e| matches!(e, Event::TaskEnded { class: EndClass::Infra, .. })), 6);
    assert_eq!((s.engine.tasks().count(), s.spec("web").waiting), (0, 6));
    let new = s.launch("a1", BIG);
    assert_eq!(new.len(), 6);
    assert!(new.iter().all(|task| !old.contains(task)));
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
    new.iter().for_each(|task| s.update(task, TaskRunning));
    s.sleep(secs(3600));
    assert!(s.launch("a1", BIG).is_empty() && s.kills().is_empty());
    assert!((0..6).all(|index| s.tasks("web", index).len() == 1));
    assert!(s.spec("web").satisfied);
    let left: Vec<&str> = s.store.records().keys().map(Key::as_str).collect();
    let task = |key: &&&str| key.starts_with("inst/") || key.starts_with("ghost/");
    let expected: Vec<String> = (0..6).map(|index| format!("inst/web/{index}/2")).collect();
    assert!(left.iter().filter(task).copied().eq(expected.iter().map(String::as_str)), "{left:?}");
}

// ENGINE 34: a crash right after the old id was spent; and somebody who removes it again means it.
#[test]
fn a_crash_between_two_frameworks() {
    let mut s = Script::with(config().on_removed(OnRemoved::FreshId), [service("web", 1)]);
    s.running(1);
    s.master = false;
    s.error(REMOVED);
    s.crash();
    s.resubscribe();
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
    let record = s.stored(["framework"]).unwrap();
    assert!(record.contains("\"f-2\"") && record.contains("\"f-1\""), "{record}");
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    s.crash();
    assert_eq!(s.subscribes.last().unwrap().framework_info.id.as_ref().unwrap().value, "f-2");
    s.error(REMOVED);
    s.resubscribe();
    s.error(REMOVED);
    assert_eq!(ended(&mut s), Some(Event::Fatal(FatalReason::Removed)));
}

// ENGINE 35
#[test]
fn failed_over() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.error("Framework failed over");
    assert_eq!(ended(&mut s), Some(Event::Fatal(FatalReason::FailedOver)));
}

// ENGINE 62, S163, W17
#[test]
fn uninstall() {
    let mut s = Script::new([service("web", 5)]);
    let tasks = s.running(5);
    s.engine.uninstall();
    s.tick();
    assert_eq!(s.kills().len(), 5);
    assert_eq!(s.engine.apply(service("late", 1)), Err(CommandError::Ending));
    s.update(&tasks[0], TaskKilled);
    s.crash();
    assert!(s.launch("a1", BIG).is_empty());
    let mut kills = s.kills();
    kills.sort();
    assert_eq!(kills, tasks[1..]);
    assert!(s.take(Type::Teardown).is_empty());
    s.clear();
    tasks[1..].iter().for_each(|task| s.update(task, TaskKilled));
    let calls: Vec<Type> = s.calls.iter().map(|(_, call)| call.r#type()).collect();
    assert_eq!(calls, [[Type::Acknowledge; 4].as_slice(), &[Type::Teardown]].concat());
    assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
    assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
    // The next start registers anew.
    s.recover();
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
}

// ENGINE 62, L3: an agent that drains waits for acknowledgements, also when the framework has gone that owes it one. They go
// another way than TEARDOWN, so that it has to wait for their answers; but not for those that nobody will get any more.
#[test]
fn the_last_acknowledgements_come_first() {
    for cut in [false, true] {
        let mut s = Script::with(config().max_launching_per_agent(100), [service("web", 100)]);
        let tasks = s.running(100);
        s.engine.uninstall();
        s.tick();
        s.clear();
        s.disk = Disk::Hangs;
        for task in &tasks {
            s.status(task, TaskKilled, |status| status.reason = Some(Reason::AgentDraining.into()));
        }
        s.answering = false;
        s.disk = Disk::Writes;
        s.settle();
        let mut acknowledged = s.acks();
        while !cut && acknowledged.len() < 100 {
            assert!(s.take(Type::Teardown).is_empty(), "{}", acknowledged.len());
            s.reply(202, "");
            acknowledged.extend(s.acks());
        }
        for _ in 1..s.open.len() {
            s.reply(202, "");
        }
        assert!(s.take(Type::Teardown).is_empty(), "the last one has no answer");
        s.answering = true;
        if cut {
            s.cut();
            s.sleep(secs(60));
        } else {
            assert_eq!(acknowledged, tasks);
            s.settle();
        }
        assert_eq!(s.take(Type::Teardown).len(), 1);
        assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
        assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
    }
}

// ENGINE 62, found by the simulated world: what an engine has to say before its first input is nothing, though it knows of
// no task by then.
#[test]
fn a_process_that_goes_on_with_it_ends_the_tasks_first() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.uninstall();
    s.tick();
    s.stop();
    s.clear();
    let records: Vec<_> = s.store.records().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    s.engine = Engine::new(s.config.clone(), s.specs.clone(), records, 9).unwrap();
    s.feed(Input::Wall(UnixTime::from_epoch(s.wall + s.now.since_origin())));
    assert!(matches!(s.engine.poll_output(), Output::Timeout(_)));
    s.laws.on_start(&s.engine);
    s.start();
    assert_eq!(s.kills(), [&*task]);
    assert!(s.take(Type::Teardown).is_empty());
    s.update(&task, TaskKilled);
    assert_eq!(s.take(Type::Teardown).len(), 1);
}

// ENGINE 62, found by the simulated world: somebody else removes the framework meanwhile. Nothing of it is left that would
// end the next process at once.
#[test]
fn removed_by_others_while_its_tasks_end() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.engine.uninstall();
    s.tick();
    s.error(REMOVED);
    assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
    assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
    s.recover();
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
}

// ENGINE 62, ENGINE W9: TEARDOWN was sent, and nobody knows what became of it.
#[test]
fn a_crash_after_teardown() {
    for on_removed in [OnRemoved::Stop, OnRemoved::FreshId] {
        let mut s = tearing_down(config().on_removed(on_removed));
        s.stop();
        s.clear();
        s.answering = true;
        // It never arrived.
        s.recover();
        assert_eq!(s.take(Type::Teardown).len(), 1);
        assert!(s.store.records().is_empty());
        assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));

        let mut s = Script::with(config().on_removed(on_removed), [service("web", 1)]);
        s.running(1);
        s.disk = Disk::Writes;
        s.answering = false;
        s.engine.teardown();
        s.tick();
        s.stop();
        // It has arrived.
        s.master = false;
        s.answering = true;
        s.recover();
        s.master = true;
        let request = s.subscription.take().unwrap();
        s.accept_as_removed(&request);
        assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
        assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
    }
}

// ENGINE 62: the framework's id goes last, and nothing is told before all is gone.
#[test]
fn records_go_after_the_answer() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.answering = false;
    s.engine.teardown();
    s.tick();
    assert_eq!(s.take(Type::Teardown).len(), 1, "whatever runs");
    assert!(s.stored(["inst", "web", "0", "1"]).is_some());
    s.disk = Disk::Hangs;
    s.answering = true;
    s.settle();
    assert_eq!(s.told(|e| matches!(e, Event::Stopped { .. })), 0);
    assert!(s.stored(["framework"]).is_some());
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.store.records().is_empty());
    assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
}

// ENGINE 6.4: what can't be read goes, too, and so does what it leaves without a spec: the next start
// would find tasks without a framework, and refuse to be one.
#[test]
fn what_belongs_to_nobody_goes_with_the_framework() {
    for key in [&["spec", "web"][..], &["inst", "web", "0", "1"], &["ghost", "web"]] {
        let mut s = Script::new([service("web", 2)]);
        s.running(2);
        s.engine.apply(service("web", 2).env("V", "2")).unwrap();
        s.tick();
        s.stop();
        let garbled = StoreOp::Put { key: Key::new(key), value: "{".into() };
        let foreign = StoreOp::Put { key: Key::new(["mine"]), value: "{".into() };
        s.store.apply_now(&Persist::new(Ticket::new(0), vec![garbled, foreign]));
        s.specs.clear();
        s.recover();
        s.engine.uninstall();
        s.tick();
        s.sleep(secs(601));
        assert_eq!(s.take(Type::Teardown).len(), 1);
        let left: Vec<&str> = s.store.records().keys().map(Key::as_str).collect();
        assert_eq!(left, ["mine"], "{key:?}");
        assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
        s.recover();
        assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
    }
}

// ENGINE 62, A8: what a user says of a task that was given up is written no more once all records go.
#[test]
fn a_command_while_the_records_go() {
    let mut s = Script::new([service("web", 2).unreachable(secs(10), secs(20))]);
    let tasks = s.running(2);
    s.master_says(&tasks[0], TaskUnreachable, Reason::AgentRemoved);
    s.sleep(secs(30));
    assert!(s.stored(["ghost", &tasks[0]]).is_some());
    s.answering = false;
    s.engine.teardown();
    s.tick();
    s.disk = Disk::Hangs;
    s.update(&tasks[1], TaskFailed);
    assert!(s.flying.is_some());
    s.reply(202, "");
    assert!(s.engine.kill(&tasks[0]).is_err(), "it has gone");
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
    assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
}

// ENGINE 6.4: tasks that don't end go with the framework, after ten minutes.
#[test]
fn uninstall_does_not_wait_for_ever() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.engine.uninstall();
    s.tick();
    s.sleep(secs(599));
    assert!(s.take(Type::Teardown).is_empty());
    s.sleep(secs(2));
    assert_eq!(s.take(Type::Teardown).len(), 1);
    assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
}

// S163, ENGINE 62: where no master was ever reached, the client ends while it is asked to. The records go all the same, or each
// later run would end with them at once; and it is told.
#[test]
fn torn_down_before_there_was_a_framework() {
    let mut s = Script::unstarted(config(), [service("web", 1)]);
    s.master = false;
    s.start();
    let request = s.subscription.take().unwrap();
    s.feed(Input::Failed { id: request.id(), failure: failure(Sent::No) });
    s.settle();
    s.engine.teardown();
    s.tick();
    assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
    assert_eq!(ended(&mut s), Some(Event::Stopped { removed: true }));
}

// ENGINE 6.4: to leave is not to end.
#[test]
fn disconnect() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.disconnect();
    s.tick();
    assert!(s.stream.is_none());
    assert_eq!(ended(&mut s), Some(Event::Stopped { removed: false }));
    s.recover();
    assert_eq!(s.asked(), [task]);
}

// ENGINE 34, W10: that the old id is spent is written last, or a crash would leave tasks of the old framework to the new one.
#[test]
fn a_crash_between_the_ends_of_many() {
    let config = config().on_removed(OnRemoved::FreshId).max_launching_per_agent(1000);
    let mut s = Script::with(config, [service("web", 300)]);
    for (agent, count) in [("a1", 200), ("a2", 100)] {
        let tasks = s.launch(agent, "cpus:1000;mem:1000000");
        assert_eq!(tasks.len(), count);
        tasks.iter().for_each(|task| s.update(task, TaskRunning));
    }
    s.master = false;
    s.disk = Disk::Hangs;
    s.error(REMOVED);
    s.confirm();
    s.disk = Disk::Writes;
    s.crash();
    let request = s.subscription.take().unwrap();
    let subscribe = Call::decode(request.body().clone()).unwrap().subscribe.unwrap();
    assert_eq!(subscribe.framework_info.id.map(|id| id.value).as_deref(), Some("f-1"));
    s.master = true;
    s.accept_as_removed(&request);
    s.resubscribe();
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
    assert_eq!((s.engine.tasks().count(), s.spec("web").waiting), (0, 300));
}

// ENGINE 34, 6.3: with the framework those tasks have died, too, that are hidden by what can't be read.
#[test]
fn what_is_hidden_is_made_anew() {
    for given in [true, false] {
        let spec = || service("web", 3).duplicates(Duplicates::Forbid);
        let mut s = Script::with(config().on_removed(OnRemoved::FreshId), [spec()]);
        let mut old = s.running(3);
        s.update(&old[2], TaskFailed);
        s.sleep(secs(5));
        old.extend(s.running(1));
        s.stop();
        let mut garbled = vec![Key::new(["inst", "web", "1", "1"])];
        if !given {
            s.specs.clear();
            garbled.push(Key::new(["spec", "web"]));
        }
        let garbled = garbled.into_iter().map(|key| StoreOp::Put { key, value: "{".into() }).collect();
        s.store.apply_now(&Persist::new(Ticket::new(0), garbled));
        s.recover();
        s.error(REMOVED);
        s.resubscribe();
        assert!(!s.store.records().keys().any(|key| key.as_str().starts_with("inst/")));
        s.answer("zombie", TaskRunning);
        assert_eq!(s.kills(), ["zombie"]);
        if !given {
            s.engine.apply(spec()).unwrap();
            s.tick();
        }
        let new = s.launch("a1", BIG);
        assert_eq!(new.len(), 3);
        assert!(new.iter().all(|task| !old.contains(task)));
        assert!(new.iter().all(|task| s.engine.find_task(task).unwrap().generation > 1), "each is used once");
    }
}

// A8, ENGINE 62: whatever the store does, one can leave at once: also where only its answer is waited for.
#[test]
fn leaving_waits_for_no_store() {
    let leaves = |s: &mut Script| {
        s.engine.disconnect();
        s.engine.disconnect();
        s.tick();
        assert_eq!(s.told(|e| matches!(e, Event::Stopped { .. })), 1);
        assert_eq!(ended(s), Some(Event::Stopped { removed: false }));
    };
    // The records go.
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.answering = false;
    s.engine.teardown();
    s.tick();
    s.disk = Disk::Hangs;
    s.answering = true;
    s.settle();
    leaves(&mut s);
    s.stop();
    s.disk = Disk::Writes;
    s.master = false;
    s.recover();
    s.master = true;
    let request = s.subscription.take().unwrap();
    s.accept_as_removed(&request);
    assert!(s.store.records().is_empty(), "{:?}", s.store.records().keys());
    // It isn't durable yet that the old framework is spent.
    let mut s = Script::with(config().on_removed(OnRemoved::FreshId), [service("web", 1)]);
    s.running(1);
    s.disk = Disk::Hangs;
    s.error(REMOVED);
    leaves(&mut s);
}

// ENGINE W10: detectors tell a leader once, also while the client of a new framework isn't allowed to speak.
#[test]
fn a_leader_that_is_found_between_two_frameworks() {
    let mut s = Script::with(config().on_removed(OnRemoved::FreshId), [service("web", 1)]);
    s.running(1);
    s.disk = Disk::Hangs;
    s.master = false;
    s.error(REMOVED);
    let leader: crate::Endpoint = "10.0.0.9:5050".parse().unwrap();
    s.feed(Input::Leader(Some(leader.clone())));
    s.sleep(secs(1));
    assert!(s.subscription.is_none(), "not before it is durable that the old id is spent");
    s.disk = Disk::Writes;
    s.master = true;
    s.settle();
    s.resubscribe();
    assert_eq!(s.engine.session().master, Some(leader));
}

// ENGINE 62: what is being removed isn't removed once more when its tasks would have had to end.
#[test]
fn torn_down_once() {
    let mut s = tearing_down(config());
    s.master = false;
    s.cut();
    let written = s.stored(["engine"]);
    s.sleep(secs(700));
    assert_eq!(s.stored(["engine"]), written);
}
