//! After a crash.

use super::world::World;
use super::*;

fn instance_of(s: &Script, index: &str, generation: &str) -> Option<String> {
    s.stored(["inst", "web", index, generation])
}

// ENGINE 13, S103, W21: an intent without its ACCEPT, and one whose ACCEPT nobody knows of.
#[test]
fn crash_between_persist_and_accept() {
    for answer in [TaskGone, TaskRunning] {
        let mut s = Script::new([service("web", 1)]);
        s.disk = Disk::Hangs;
        s.offer("a1", BIG);
        let batch = s.flying.take().unwrap();
        s.store.apply_now(&batch);
        s.disk = Disk::Writes;
        s.crash();
        let task = s.engine.tasks().next().unwrap().task_id;
        assert_eq!(s.asked(), [&*task]);
        assert!(s.launch("a2", BIG).is_empty(), "neither launched again blindly");
        s.agents.insert(task.clone(), "a1".into());
        s.answer(&task, answer);
        assert_eq!(s.launch("a2", BIG).len(), usize::from(answer == TaskGone), "nor forgotten");
        assert_eq!(s.engine.tasks().count(), 1);
    }
}

// W22, S160: every state in which a task can be comes back, and none is launched twice.
#[test]
fn every_state_is_restored() {
    type Step = fn(&mut Script, &str);
    let cases: [(Step, State); 8] = [
        (|_, _| {}, State::Launching),
        (|s, task| s.update(task, TaskStaging), State::Staged),
        (|s, task| s.update(task, TaskStarting), State::Staged),
        (|s, task| s.update(task, TaskRunning), State::Running),
        (|s, task| s.answer(task, TaskUnknown), State::Doubtful),
        (|s, task| s.master_says(task, TaskUnreachable, Reason::AgentRemoved), State::Unreachable),
        (|s, task| drop((s.engine.kill(task), s.tick())), State::Killing(KillReason::User)),
        (|s, task| s.update(task, TaskKilling), State::Killing(KillReason::External)),
    ];
    for (step, state) in cases {
        let mut s = Script::new([service("web", 1).unreachable(secs(100), secs(600))]);
        let task = s.launch("a1", BIG).remove(0);
        step(&mut s, &task);
        let before = s.engine.find_task(&task).unwrap();
        s.crash();
        let after = s.engine.find_task(&task).unwrap();
        assert_eq!((before.state, after.state), (state, state));
        assert_eq!((after.agent_id, after.hostname, after.ports), (before.agent_id, before.hostname, before.ports));
        assert_eq!((after.resources, after.generation), (before.resources, before.generation));
        assert!(s.asked().contains(&task), "{state:?}");
        assert!(s.launch("a2", BIG).is_empty(), "{state:?}");
        s.update(&task, TaskFinished);
        s.sleep(secs(2));
        let next = s.launch("a2", BIG);
        assert_eq!(next.len(), 1, "{state:?}");
        assert_eq!(s.engine.find_task(&next[0]).unwrap().generation, 2);
    }
}

// S122, S127: a restored task isn't told as launched again; what was known of it still is.
#[test]
fn a_restored_task_is_not_new() {
    let mut s = Script::new([service("web", 1).http_check("/").resources(Resources::new().cpus(1.0).ports(1))]);
    let task = s.launch("a1", BIG).remove(0);
    s.status(&task, TaskRunning, |status| {
        status.healthy = Some(true);
        status.executor_id = Some("exec".into());
    });
    s.sleep(secs(100));
    s.clear();
    s.crash();
    s.answer(&task, TaskRunning);
    assert_eq!(s.told(|e| matches!(e, Event::TaskLaunched(_))), 0);
    let restored = s.engine.find_task(&task).unwrap();
    assert_eq!((restored.executor_id.as_deref(), restored.healthy, restored.ready), (Some("exec"), Some(true), true));
    assert_eq!(restored.running_for, Some(secs(100)));
    assert!(s.spec("web").satisfied);
}

// ENGINE 6.3: whoever was first stays first, whatever order the store has for its records.
#[test]
fn successors_stay_successors() {
    let mut s = Script::new([service("web", 1)]);
    for generation in 1..9 {
        let task = s.launch("a1", BIG).remove(0);
        assert_eq!(s.engine.find_task(&task).unwrap().generation, generation);
        s.master_says(&task, TaskGone, Reason::Reconciliation);
        s.sleep(secs(40));
    }
    let old = s.launch("a1", BIG).remove(0);
    s.update(&old, TaskRunning);
    s.master_says(&old, TaskUnreachable, Reason::AgentRemoved);
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    assert!(instance_of(&s, "0", "9").is_some() && instance_of(&s, "0", "10").is_some());
    s.crash();
    s.clear();
    s.update(&new, TaskRunning);
    s.master_says(&old, TaskUnreachable, Reason::Reconciliation);
    assert!(s.spec("web").satisfied);
    s.sleep(secs(700));
    assert_eq!(s.tasks("web", 0).iter().map(|task| &task.task_id).collect::<Vec<_>>(), [&new]);
    assert!(s.kills().is_empty());
}

// ENGINE 61, W47
#[test]
fn quarantined_record() {
    let mut s = Script::new([service("web", 3)]);
    let tasks = s.running(3);
    s.stop();
    let garbled = StoreOp::Put { key: Key::new(["inst", "web", "1", "1"]), value: "{".into() };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![garbled]));
    s.recover();
    assert_eq!(s.told(|e| matches!(e, Event::RecordQuarantined(_))), 1);
    assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { index: 1, why: Held::Quarantined, .. })), 1);
    for task in [&tasks[0], &tasks[2]] {
        s.answer(task, TaskRunning);
    }
    // The task of the record that nobody can read is left alone.
    s.answer(&tasks[1], TaskRunning);
    assert!(s.kills().is_empty());
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!((s.spec("web").ready, s.spec("web").held), (2, 1));
    assert_eq!(instance_of(&s, "1", "1").unwrap(), "{", "left as it is");
    // Until somebody decides; and then it is gone for good.
    s.engine.retry("web").unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
    s.crash();
    assert_eq!(s.told(|e| matches!(e, Event::RecordQuarantined(_))), 1, "once only");
}

// ENGINE 6.3, 6.4: what a store must not be like.
#[test]
fn stores_that_are_refused() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    let open =
        |records: BTreeMap<Key, bytes::Bytes>, config| Engine::new(config, [service("web", 1)], records, 1).err();
    let records = s.store.records();
    assert_eq!(open(records.clone(), config()), None);
    let without = |key: &str| records.clone().into_iter().filter(|(k, _)| k.as_str() != key).collect();
    let with = |key: &str, value: &'static str| {
        let mut records = records.clone();
        records.insert(Key::new([key]), value.into());
        records
    };
    assert_eq!(open(without("framework"), config()), Some(RecoverError::NoFramework));
    assert!(matches!(open(with("framework", "?"), config()), Some(RecoverError::Unreadable(_))));
    assert!(matches!(open(with("engine", "?"), config()), Some(RecoverError::Unreadable(_))));
    let newer = r#"{"stamp":{"format":2,"incarnation":9},"marker":"RUNNING"}"#;
    assert!(matches!(open(with("engine", newer), config()), Some(RecoverError::Newer { format: 2, .. })));
    let other = scheduler::Config::new(Framework::new("test"), ["10.0.0.1:5050"]).unwrap().framework_id("f-9").unwrap();
    assert!(matches!(open(records.clone(), Config::new(other)), Some(RecoverError::OtherFramework { .. })));
}

// ENGINE 6.3, S160: what the program no longer gives is killed, if that is wanted.
#[test]
fn a_spec_that_is_not_given_any_more() {
    for removal in [Removal::Keep, Removal::Auto] {
        let mut s = Script::with(config().removal(removal), [service("web", 2)]);
        let tasks = s.running(2);
        s.specs.clear();
        s.crash();
        let kept = s.told(|e| matches!(e, Event::SpecKept { spec } if spec == "web"));
        assert_eq!((kept, s.kills().len()), if removal == Removal::Keep { (1, 0) } else { (0, 2) });
        tasks.iter().for_each(|task| s.update(task, TaskKilled));
        s.sleep(secs(5));
        assert_eq!(s.launch("a1", BIG).len(), if removal == Removal::Keep { 2 } else { 0 });
        let left = s.store.records().keys().any(|key| key.as_str().contains("web"));
        assert_eq!(left, removal == Removal::Keep);
    }
}

// ENGINE 6.3: a removal goes on.
#[test]
fn a_crash_while_a_spec_is_removed() {
    let mut s = Script::new([service("web", 2), service("db", 1)]);
    let tasks = s.running(3);
    s.engine.remove("web").unwrap();
    s.tick();
    let web: Vec<String> = tasks.into_iter().filter(|task| task.contains("web")).collect();
    s.specs.remove(0);
    s.crash();
    s.clear();
    web.iter().for_each(|task| s.update(task, TaskKilled));
    assert_eq!(s.told(|e| matches!(e, Event::SpecRemoved { .. })), 1);
    assert_eq!(s.engine.specs().count(), 1);
}

/// A life with a rollout, a kill and a change of scale, in which the process dies after so many outputs.
fn life(crash_after: Option<usize>, lossy: bool) -> (Script, World) {
    let spec = || service("web", 3).min_ready(secs(2));
    let mut s = Script::unstarted(config(), [spec()]);
    let mut world = World::new(["a1", "a2"]);
    world.lossy = lossy;
    s.crash_after = crash_after;
    s.start();
    let change = |s: &mut Script, spec: TaskSpec| {
        s.specs = vec![spec.clone()];
        s.engine.apply(spec).unwrap();
        s.tick();
    };
    world.play(&mut s, secs(5));
    change(&mut s, spec().env("NEW", "1"));
    world.play(&mut s, secs(20));
    if let Some(task) = world.tasks.keys().next().cloned() {
        world.tasks.remove(&task);
        s.update(&task, TaskFailed);
    }
    world.play(&mut s, secs(5));
    change(&mut s, spec().env("NEW", "1").instances(2));
    world.play(&mut s, secs(5));
    change(&mut s, spec().env("NEW", "1").instances(4));
    world.play(&mut s, secs(200));
    (s, world)
}

// ENGINE 14, L7, I4
#[test]
fn crash_every_step() {
    let (s, world) = life(None, false);
    world.assert_settled(&s, "web", 4);
    let outputs = s.outputs;
    assert!((100..2000).contains(&outputs), "{outputs}");
    for after in 1..outputs {
        // Each moment, and both ends of what was on its way at that moment, in turn.
        let (s, world) = life(Some(after), after % 2 == 0);
        assert_eq!(world.crashes, 1, "after {after} outputs");
        world.assert_settled(&s, "web", 4);
        assert_eq!(world.with("NEW", true), 4, "after {after} outputs");
    }
}

// ENGINE 3.4, 6.1, I6: tasks that are given up and taken back are in the books all the time, though all that changes
// doesn't fit one batch, so that a strict slot is never filled anew beside the one that it had.
#[test]
fn many_are_taken_back() {
    const MANY: u32 = 400;
    let spec = service("web", MANY).scalable(true).duplicates(Duplicates::Forbid);
    let mut s = Script::with(config().max_launching_per_agent(MANY), [spec]);
    let mut tasks = s.launch("a1", "cpus:200;mem:100000");
    tasks.extend(s.launch("a2", "cpus:200;mem:100000"));
    assert_eq!(tasks.len(), MANY as usize);
    tasks.iter().for_each(|task| s.update(task, TaskRunning));
    tasks.iter().for_each(|task| s.master_says(task, TaskUnreachable, Reason::AgentRemoved));
    s.disk = Disk::Hangs;
    for instances in [0, MANY] {
        s.engine.scale("web", instances).unwrap();
        s.tick();
        let mut batches = 0;
        while s.flying.is_some() && (instances == 0 || batches == 0) {
            s.confirm();
            batches += 1;
            let lost = tasks.iter().enumerate().find(|(index, task)| {
                s.stored(["ghost", task]).or_else(|| instance_of(&s, &index.to_string(), "1")).is_none()
            });
            assert_eq!(lost, None, "after {batches} batches, with {instances} instances");
            s.drain();
        }
        assert!(batches > 1 || s.flying.is_some());
    }
    s.disk = Disk::Writes;
    s.crash();
    assert!(s.launch("a3", BIG).is_empty());
}

// S161: a task without agent is asked for without one, and its record goes with the answer that nobody knows it.
#[test]
fn a_restored_task_without_agent() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    let record = instance_of(&s, "0", "1").unwrap();
    let value = record.replace("\"id\":\"a1\"", "\"id\":\"\"");
    assert_ne!(value, record);
    let put = StoreOp::Put { key: Key::new(["inst", "web", "0", "1"]), value: value.into() };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![put]));
    s.crash();
    let calls = s.take(Type::Reconcile);
    let asked = &calls[0].reconcile.as_ref().unwrap().tasks;
    assert_eq!((asked[0].task_id.value.as_str(), &asked[0].agent_id), (task.as_str(), &None));
    s.answer(&task, TaskGone);
    assert_eq!(instance_of(&s, "0", "1"), None);
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// W45: what is wrong with the records is told, and keeps nobody from being told that the framework is subscribed.
#[test]
fn subscribed_whatever_is_restored() {
    let mut s = Script::new([service("web", 2)]);
    s.running(2);
    let put = StoreOp::Put { key: Key::new(["inst", "web", "0", "1"]), value: "{".into() };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![put]));
    s.stop();
    s.disk = Disk::Hangs;
    s.recover();
    assert_eq!(s.told(|event| matches!(event, Event::Subscribed(_))), 1);
    assert_eq!(s.told(|event| matches!(event, Event::RecordQuarantined(_))), 1);
}

// ENGINE 6.1: a launch, and what is told of its task, is a record each; that is enough to have it all back.
#[test]
fn a_task_is_one_record() {
    let keys = |s: &Script| -> Vec<String> {
        let all = s.store.records().keys().map(|key| key.as_str().to_string());
        all.filter(|key| key.starts_with("slot") || key.starts_with("inst")).collect()
    };
    let mut s = Script::new([service("web", 3)]);
    assert_eq!(keys(&s), [""; 0], "nothing to remember of what only waits");
    s.disk = Disk::Hangs;
    s.offer("a1", "cpus:1;mem:128");
    let ops: Vec<_> = s.flying.as_ref().unwrap().ops().iter().map(|op| op.key().as_str().to_string()).collect();
    assert_eq!(ops, ["inst/web/0/1"]);
    s.disk = Disk::Writes;
    s.settle();
    let task = s.accept().ids().remove(0);
    s.update(&task, TaskRunning);
    assert_eq!(keys(&s), ["inst/web/0/1"]);
    s.crash();
    s.answer(&task, TaskRunning);
    assert_eq!(s.launch("a2", BIG).len(), 2, "those that wait still do");
    // What it has said goes on in the slot's own record.
    s.update(&task, TaskFailed);
    assert_eq!(keys(&s), ["inst/web/1/1", "inst/web/2/1", "slot/web/0"]);
    s.crash();
    s.sleep(secs(30));
    let next = s.launch("a3", BIG).remove(0);
    assert_eq!(s.engine.find_task(&next).unwrap().generation, 2);
    assert_eq!(keys(&s), ["inst/web/0/2", "inst/web/1/1", "inst/web/2/1", "slot/web/0"], "how it ended");
}

// I3: the generation of a launch that never was is spent, also for the next process.
#[test]
fn an_undone_launch_has_used_its_generation() {
    let mut s = Script::new([service("web", 1)]);
    s.disk = Disk::Hangs;
    let offer = s.offer("a1", BIG);
    s.rescind(&offer);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert!(s.stored(["slot", "web", "0"]).is_some_and(|slot| slot.contains(r#""generation":1,"#)));
    s.crash();
    let task = s.launch("a1", BIG).remove(0);
    assert_eq!(s.engine.find_task(&task).unwrap().generation, 2);
    assert_eq!(s.stored(["slot", "web", "0"]), None, "and its record says the rest");
}

// An instance that waits for its first attempt has no record; it gets its number back all the same, and doesn't become one
// that is on its way out.
#[test]
fn what_waits_below_others_is_restored() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.stop();
    let gone = StoreOp::Delete { key: Key::new(["inst", "web", "0", "1"]) };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![gone]));
    s.recover();
    s.answer(&tasks[1], TaskRunning);
    s.engine.kill(&tasks[1]).unwrap();
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.specs = vec![service("web", 1).scalable(true)];
    s.crash();
    assert_eq!((s.tasks("web", 0).len(), s.state(&tasks[1])), (0, Some(State::Killing(KillReason::User))));
    s.update(&tasks[1], TaskKilled);
    s.clear();
    s.sleep(secs(30));
    assert_eq!(s.launch("a2", BIG).len(), 1);
    assert_eq!((s.tasks("web", 0).len(), s.tasks("web", 1).len()), (1, 0));
}

#[test]
fn records_begin_with_their_format() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.update(&task, TaskFailed);
    let ours = format!(r#"{{"stamp":{{"format":{},"#, record::FORMAT);
    assert!(!s.store.records().is_empty());
    assert!(s.store.records().values().all(|record| record.starts_with(ours.as_bytes())));
    assert_eq!(super::super::recover::OURS, ours.as_bytes());
}

// Task ids say neither of a spec that is given nor of one that the store keeps, if they look the same: as with `apply`, one of
// them has to go first.
#[test]
fn a_name_that_looks_like_a_stored_one() {
    for removal in [Removal::Keep, Removal::Auto] {
        let mut s = Script::with(config().removal(removal), [service("a_b", 1)]);
        let task = s.running(1).remove(0);
        s.stop();
        let records = || s.store.records().iter().map(|(key, value)| (key.clone(), value.clone()));
        let new = |specs: Vec<TaskSpec>| Engine::new(s.config.clone(), specs, records(), 2).map(|_| ());
        assert_eq!(new(vec![service("a.b", 1)]), Err(RecoverError::SameName("a.b".into())));
        assert_eq!(new(vec![service("other", 1), service("a_b", 1)]), Ok(()));
        s.specs = vec![];
        s.recover();
        s.answer(&task, TaskRunning);
        let like = |s: &mut Script| matches!(s.engine.apply(service("a.b", 1)), Err(CommandError::LooksLike { .. }));
        assert!(like(&mut s));
        if removal == Removal::Keep {
            s.engine.remove("a_b").unwrap();
            s.tick();
        }
        assert!(like(&mut s), "it is being ended");
        s.update(&task, TaskKilled);
        s.stop();
        s.specs = vec![service("a.b", 1)];
        s.recover();
        assert_eq!(s.spec("a.b").waiting, 1);
    }
}
