//! Records that can't be read, and what a user says about them (ENGINE 6.3).

use super::*;

/// The process dies, and the next one can't read these records.
fn garble<const N: usize>(s: &mut Script, key: [&str; N]) {
    s.stop();
    let put = StoreOp::Put { key: Key::new(key), value: "{".into() };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![put]));
    s.recover();
}

/// Three of which the middle one's record can't be read; their tasks.
fn blocked(spec: TaskSpec) -> (Script, Vec<String>) {
    let mut s = Script::new([spec.scalable(true)]);
    let tasks = s.running(3);
    garble(&mut s, ["inst", "web", "1", "1"]);
    s.answer(&tasks[0], TaskRunning);
    s.answer(&tasks[2], TaskRunning);
    s.clear();
    (s, tasks)
}

/// How many records the next process can't read.
fn unreadable(s: &mut Script) -> usize {
    s.clear();
    s.crash();
    s.told(|e| matches!(e, Event::RecordQuarantined(_)))
}

// A spec that is given is written anew where its own record can't be read.
#[test]
fn a_spec_is_written_anew() {
    for record in ["spec", "rev"] {
        let mut s = Script::new([service("web", 1)]);
        let task = s.running(1).remove(0);
        let key = s.store.records().keys().find(|key| key.as_str().starts_with(record)).unwrap().clone();
        let segments: Vec<String> = key.segments().collect();
        match segments.as_slice() {
            [kind, name] => garble(&mut s, [kind, name]),
            [kind, name, revision] => garble(&mut s, [kind, name, revision]),
            _ => unreachable!("{key}"),
        }
        s.answer(&task, TaskRunning);
        s.engine.pause("web").unwrap();
        s.tick();
        assert_eq!(unreadable(&mut s), 0, "{record}");
        assert!(s.spec("web").paused);
        s.answer("test.web-0.9.9-abcdefgh", TaskRunning);
        assert_eq!(s.kills(), ["test.web-0.9.9-abcdefgh"], "what is nobody's is known as that");
        assert_eq!(s.state(&task), Some(State::Running));
    }
}

// A blocked instance with a task that lives stays as it is, and no rollout waits for it.
#[test]
fn a_rollout_leaves_out_what_is_blocked() {
    let mut s = Script::new([service("web", 3)]);
    let mut tasks = s.running(3);
    s.update(&tasks[0], TaskFailed);
    s.sleep(secs(5));
    tasks[0] = s.launch("a1", BIG).remove(0);
    s.update(&tasks[0], TaskRunning);
    garble(&mut s, ["slot", "web", "0"]);
    tasks.iter().for_each(|task| s.answer(task, TaskRunning));
    let revision = s.engine.apply(service("web", 3).env("N", "1")).unwrap();
    s.tick();
    for _ in 0..6 {
        s.launch("a2", BIG).iter().for_each(|task| s.update(task, TaskRunning));
        for task in s.kills() {
            assert_ne!(task, tasks[0]);
            s.update(&task, TaskKilled);
        }
        s.sleep(secs(1));
    }
    let updated = |index| s.tasks("web", index).iter().map(|task| task.revision == revision).collect::<Vec<_>>();
    assert_eq!([updated(0), updated(1), updated(2)], [[false], [true], [true]]);
    assert_eq!(s.state(&tasks[0]), Some(State::Running));
}

// I5, I19: a job that is done is done, whatever can't be read of its instance: it is written, and nobody runs it again.
#[test]
fn a_blocked_job_finishes() {
    for crashes in [false, true] {
        let mut s = Script::new([service("job", 1).job()]);
        let task = s.running(1).remove(0);
        garble(&mut s, ["slot", "job", "0"]);
        s.answer(&task, TaskRunning);
        assert_eq!(s.spec("job").held, 1);
        s.update(&task, TaskFinished);
        assert_eq!(s.acks(), [&*task]);
        if crashes {
            assert_eq!(unreadable(&mut s), 0);
        }
        s.engine.retry("job").unwrap();
        s.tick();
        assert!(s.launch("a1", BIG).is_empty());
        assert_eq!((s.spec("job").finished, s.spec("job").satisfied), (1, true));
    }
}

// What has finished beside a task whose record can't be read: a user who takes the block away doesn't start it again.
#[test]
fn retry_leaves_what_has_finished() {
    let mut s = Script::new([service("job", 1).job()]);
    let task = s.running(1).remove(0);
    s.update(&task, TaskFinished);
    garble(&mut s, ["inst", "job", "0", "2"]);
    assert_eq!((s.spec("job").held, s.spec("job").finished), (1, 1));
    s.engine.retry("job").unwrap();
    s.tick();
    assert!(s.launch("a1", BIG).is_empty());
    assert_eq!(unreadable(&mut s), 0);
    assert!(s.spec("job").satisfied);
}

// L2, A10: an instance that isn't wanted any more goes with its record, and its task is nobody's.
#[test]
fn what_is_blocked_is_scaled_down() {
    let (mut s, tasks) = blocked(service("web", 3));
    s.answer(&tasks[1], TaskRunning);
    assert!(s.kills().is_empty());
    s.engine.scale("web", 2).unwrap();
    s.tick();
    assert_eq!(s.stored(["inst", "web", "1", "1"]), None);
    s.answer(&tasks[1], TaskRunning);
    assert_eq!(s.kills(), [&*tasks[1]]);
    s.engine.scale("web", 3).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    assert_eq!(s.engine.find_task(&new).unwrap().generation, 2, "a generation is used once");
    s.specs = vec![service("web", 3).scalable(true)];
    assert_eq!(unreadable(&mut s), 0);
    assert_eq!(s.spec("web").held, 0);
}

// I6: where two tasks of an instance must not live, its place stays taken until a user says that it is free.
#[test]
fn what_is_blocked_is_not_doubled() {
    let (mut s, tasks) = blocked(service("web", 3).duplicates(Duplicates::Forbid));
    for instances in [2, 3] {
        s.engine.scale("web", instances).unwrap();
        s.tick();
        assert!(s.launch("a2", BIG).is_empty());
    }
    assert_eq!(s.spec("web").held, 1);
    s.engine.scale("web", 2).unwrap();
    s.tick();
    assert_eq!((s.spec("web").held, s.spec("web").satisfied), (0, true));
    s.specs = vec![service("web", 2).duplicates(Duplicates::Forbid).scalable(true)];
    assert_eq!(unreadable(&mut s), 1);
    assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { .. })), 0, "nobody wants it");
    s.answer(&tasks[1], TaskRunning);
    assert!(s.kills().is_empty());
    s.engine.retry("web").unwrap();
    s.tick();
    s.answer(&tasks[1], TaskRunning);
    assert_eq!(s.kills(), [&*tasks[1]]);
    assert_eq!(unreadable(&mut s), 0);
}

// A record that is garbled while its task is being ended, as nobody wants that any more, waits for nobody.
#[test]
fn what_leaves_is_not_blocked() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*tasks[1]]);
    s.specs = vec![service("web", 1).scalable(true)];
    garble(&mut s, ["inst", "web", "1", "1"]);
    s.answer(&tasks[1], TaskRunning);
    assert_eq!(s.kills(), [&*tasks[1]]);
    assert_eq!((s.engine.instances("web").count(), unreadable(&mut s)), (1, 0));
}

// A10: with its spec goes all that can't be read of an instance.
#[test]
fn what_is_blocked_is_removed() {
    for duplicates in [Duplicates::Allow, Duplicates::Forbid] {
        let (mut s, tasks) = blocked(service("web", 3).duplicates(duplicates));
        s.engine.scale("web", 2).unwrap();
        s.engine.remove("web").unwrap();
        s.tick();
        s.answer(&tasks[1], TaskRunning);
        assert_eq!(s.kills().len(), 3);
        tasks.iter().for_each(|task| s.update(task, TaskKilled));
        assert_eq!(s.told(|e| matches!(e, Event::SpecRemoved { .. })), 1);
        s.specs.clear();
        assert_eq!(unreadable(&mut s), 0);
        assert!(!s.store.records().keys().any(|key| key.as_str().contains("web")));
    }
}

// W47: tasks of a spec that can't be read, and is given only later, are gone on with.
#[test]
fn a_spec_that_comes_later() {
    let job = || service("job", 1).job();
    let mut s = Script::new([service("web", 3), job()]);
    let mut tasks = s.running(4);
    let job_at = tasks.iter().position(|task| task.contains("job")).unwrap();
    let done = tasks.remove(job_at);
    s.update(&done, TaskFinished);
    s.stop();
    s.specs.clear();
    let garbled = [["spec", "web"].as_slice(), &["spec", "job"], &["inst", "web", "1", "1"]]
        .map(|key| StoreOp::Put { key: Key::new(key.iter().copied()), value: "{".into() });
    s.store.apply_now(&Persist::new(Ticket::new(0), garbled.into()));
    s.recover();
    tasks.iter().for_each(|task| s.answer(task, TaskRunning));
    assert!(s.kills().is_empty());
    s.asked();
    s.engine.apply(service("web", 3)).unwrap();
    s.engine.apply(job()).unwrap();
    s.sleep(secs(1));
    assert_eq!(s.asked(), [&*tasks[0], &tasks[2]]);
    s.answer(&tasks[0], TaskRunning);
    s.answer(&tasks[2], TaskRunning);
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!((s.spec("web").ready, s.spec("web").held), (2, 1));
    assert!(s.spec("job").satisfied, "it has finished");
    s.engine.retry("web").unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    assert_eq!(s.engine.find_task(&new).unwrap().generation, 2);
    s.answer(&tasks[1], TaskRunning);
    assert_eq!(s.kills(), [&*tasks[1]], "nothing is hidden any more");
    s.specs = vec![service("web", 3), job()];
    assert_eq!(unreadable(&mut s), 0);
    assert_eq!((s.spec("web").wanted, s.engine.tasks().count()), (3, 3));
}

// W47: a task whose spec's record is missing, removed by hand maybe, is nobody's no more than one whose spec can't be read.
#[test]
fn a_spec_that_is_missing() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.stop();
    s.specs.clear();
    let missing = StoreOp::Delete { key: Key::new(["spec", "web"]) };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![missing]));
    s.recover();
    assert_eq!(s.told(|e| matches!(e, Event::RecordQuarantined(_))), 1);
    s.answer(&task, TaskRunning);
    assert!(s.kills().is_empty());
    s.engine.apply(service("web", 1)).unwrap();
    s.tick();
    s.answer(&task, TaskRunning);
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!(s.state(&task), Some(State::Running));
    s.answer("zombie", TaskRunning);
    assert_eq!(s.kills(), ["zombie"], "nothing is hidden any more");
    s.specs = vec![service("web", 1)];
    assert_eq!(unreadable(&mut s), 0);
}

// I5, I19: what becomes of a task whose spec can't be read is news for who goes on with it: until then its agent repeats it.
#[test]
fn a_job_whose_spec_comes_later() {
    let job = || service("job", 1).job();
    let mut s = Script::new([job()]);
    let task = s.running(1).remove(0);
    s.specs.clear();
    garble(&mut s, ["spec", "job"]);
    s.update(&task, TaskRunning);
    s.update(&task, TaskFinished);
    assert!(s.acks().is_empty() && s.kills().is_empty());
    assert_eq!(s.told(|e| matches!(e, Event::UnknownTask { .. })), 0);
    s.engine.apply(job()).unwrap();
    s.tick();
    s.update(&task, TaskFinished);
    assert_eq!(s.acks(), [&*task]);
    assert!(s.launch("a1", BIG).is_empty());
    assert_eq!(s.spec("job").finished, 1);
}

// L2, rule X: a record that can't hide a task is no reason to leave tasks alive that are nobody's; and what can't be read of a
// former revision goes with the next that is said of its spec.
#[test]
fn what_hides_no_task() {
    let wanted = || service("web", 1).env("N", "1");
    for given in [true, false] {
        let mut s = Script::new([service("web", 1)]);
        let old = s.running(1).remove(0);
        let former = s.spec("web").revision.to_string();
        s.engine.apply(wanted()).unwrap();
        s.tick();
        let new = s.launch("a2", BIG).remove(0);
        s.update(&new, TaskRunning);
        s.update(&old, TaskKilled);
        s.specs = given.then(wanted).into_iter().collect();
        garble(&mut s, ["rev", "web", &former]);
        assert_eq!(s.told(|e| matches!(e, Event::RecordQuarantined(_))), 1);
        s.clear();
        s.answer(&new, TaskRunning);
        s.answer("zombie", TaskRunning);
        assert_eq!(s.kills(), ["zombie"]);
        if !given {
            s.engine.remove("web").unwrap();
            s.tick();
            s.update(&new, TaskKilled);
            assert!(!s.store.records().keys().any(|key| key.as_str().contains("web")));
        }
        assert_eq!(unreadable(&mut s), 0);
    }
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    garble(&mut s, ["ghost", "gone"]);
    garble(&mut s, ["slot", "web", "first"]);
    garble(&mut s, ["inst", "web", "0", "first"]);
    garble(&mut s, ["slot", "web", "0"]);
    s.clear();
    s.answer(&task, TaskRunning);
    s.answer("zombie", TaskRunning);
    assert_eq!(s.kills(), ["zombie"]);
    assert_eq!(s.stored(["ghost", "gone"]).as_deref(), Some("{"), "left as it is");
}

// I6: to let a rollout go on is no word about what is hidden.
#[test]
fn resume_leaves_what_is_blocked() {
    let of = |n: &str| service("web", 1).duplicates(Duplicates::Forbid).max_failures(Some(1)).env("N", n);
    let mut s = Script::new([of("1")]);
    let task = s.running(1).remove(0);
    s.engine.pause("web").unwrap();
    s.engine.apply(of("2")).unwrap();
    s.tick();
    s.update(&task, TaskFailed);
    assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { why: Held::Exhausted, .. })), 1);
    s.specs = vec![of("2")];
    garble(&mut s, ["inst", "web", "0", "2"]);
    s.engine.resume("web").unwrap();
    s.tick();
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!(s.stored(["inst", "web", "0", "2"]).as_deref(), Some("{"));
    s.engine.retry("web").unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// L1: what went out of sight while its instance was blocked is replaced as soon as that isn't any more.
#[test]
fn what_is_lost_while_it_is_blocked() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    garble(&mut s, ["slot", "web", "0"]);
    s.answer(&task, TaskRunning);
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.tick();
    assert!(s.launch("a2", BIG).is_empty());
    s.engine.retry("web").unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// A10: where two tasks of an instance may live from now on, a place that nobody wants isn't kept any longer.
#[test]
fn what_is_blocked_may_be_doubled_after_all() {
    for crashes in [false, true] {
        let (mut s, tasks) = blocked(service("web", 3).duplicates(Duplicates::Forbid));
        s.engine.scale("web", 2).unwrap();
        s.tick();
        assert!(s.stored(["inst", "web", "1", "1"]).is_some());
        let allows = service("web", 2).scalable(true);
        s.specs = vec![allows.clone()];
        if crashes {
            s.crash();
        } else {
            s.engine.apply(allows).unwrap();
            s.tick();
        }
        assert_eq!(s.stored(["inst", "web", "1", "1"]), None);
        s.answer(&tasks[1], TaskRunning);
        assert_eq!(s.kills(), [&*tasks[1]]);
        assert_eq!(s.engine.instances("web").count(), 2);
    }
}
