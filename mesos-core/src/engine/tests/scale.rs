//! More instances, and fewer.

use std::sync::Arc;

use super::super::attempt::{Attempt, AttemptId, Since, SlotId};
use super::super::book::Slot;
use super::super::ghost::Ghost;
use super::*;

// ENGINE 42
#[test]
fn scale_down_choice() {
    let spec = service("web", 8).unreachable(secs(3600), secs(3600)).scalable(true);
    let mut s = Script::new([spec]);
    let tasks = s.launch("a1", "cpus:7;mem:1000");
    assert_eq!(tasks.len(), 7);
    s.update(&tasks[1], TaskStarting);
    tasks.iter().enumerate().filter(|(index, _)| *index != 1).for_each(|(_, task)| s.update(task, TaskRunning));
    s.master_says(&tasks[0], TaskUnreachable, Reason::AgentRemoved);
    s.clear();
    s.engine.scale("web", 4).unwrap();
    s.tick();
    assert_eq!(s.kills(), [tasks[1].clone(), tasks[6].clone()]);
    assert!(s.stored(["ghost", &tasks[0]]).is_some(), "the unreachable one");
    assert_eq!(s.spec("web").waiting, 0, "and the one that waits");
    s.update(&tasks[1], TaskKilled);
    s.update(&tasks[6], TaskKilled);
    assert_eq!((s.spec("web").ready, s.spec("web").satisfied), (4, true));
}

// ENGINE 42: a slot whose successor is ready is a good one.
#[test]
fn a_replaced_instance_is_not_the_first_to_go() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks = s.running(2);
    s.master_says(&tasks[0], TaskUnreachable, Reason::AgentRemoved);
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    s.clear();
    s.engine.scale("web", 1).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*tasks[1]]);
}

// ENGINE 4.4
#[test]
fn who_goes_can_be_chosen() {
    for (selection, goes) in
        [(KillSelection::Oldest, 0), (KillSelection::Youngest, 1), (KillSelection::HighestIndex, 2)]
    {
        let mut s = Script::new([service("web", 3).scalable(true).kill_selection(selection)]);
        let tasks = s.launch("a1", BIG);
        for index in [0, 2, 1] {
            s.update(&tasks[index], TaskRunning);
            s.sleep(secs(10));
        }
        s.engine.scale("web", 2).unwrap();
        s.tick();
        assert_eq!(s.kills(), [tasks[goes].clone()], "{selection:?}");
    }
}

// The same after a restart, however long they have been running.
#[test]
fn ages_outlive_the_process() {
    for (selection, goes) in [(KillSelection::Oldest, 0), (KillSelection::Youngest, 1)] {
        let spec = service("web", 3).launch_timeout(Duration::ZERO);
        let mut s = Script::new([spec.scalable(true).kill_selection(selection)]);
        let tasks = s.launch("a1", BIG);
        for index in [0, 2, 1] {
            s.update(&tasks[index], TaskRunning);
            s.sleep(secs(3600));
        }
        s.sleep(secs(2 * 86_400));
        s.crash();
        tasks.iter().for_each(|task| s.answer(task, TaskRunning));
        let age = s.engine.find_task(&tasks[0]).unwrap().running_for.unwrap();
        assert_eq!(age.as_secs(), 2 * 86_400 + 3 * 3600);
        s.engine.scale("web", 2).unwrap();
        s.tick();
        assert_eq!(s.kills(), [tasks[goes].clone()], "{selection:?}");
    }
}

// I20: neither slots with holes below nor what was given up make each new slot dearer. If all were looked at for each, this
// would take minutes.
#[test]
fn many_at_once() {
    const MANY: u32 = 40_000;
    let mut s = Script::new([service("web", 0).scalable(true).duplicates(Duplicates::Forbid)]);
    let spec = s.engine.book.id("web").unwrap();
    let last = SlotId { spec, index: MANY };
    s.engine.book.specs.get_mut(&spec).unwrap().slots.insert(MANY, Slot::default());
    s.engine.touch_dirty(last);
    // All but one of instances that aren't wanted.
    for index in (MANY..MANY + 9_999).chain([7]) {
        let id = AttemptId { slot: SlotId { index, ..last }, generation: 1 };
        let task_id: Arc<str> = format!("task-{index}").into();
        let attempt = Attempt::new(id, task_id.clone(), Revision::default(), Arc::default(), s.now);
        s.engine.haunt(task_id, Ghost::of(attempt, "web", GhostReason::Abandoned, Since::now(s.now)));
    }
    s.engine.scale("web", MANY + 1).unwrap();
    s.tick();
    assert!(s.engine.instances("web").map(|instance| instance.index).eq(0..=MANY));
    assert_eq!(s.tasks("web", 7)[0].task_id, "task-7");
}

// ENGINE 43, I17
#[test]
fn scale_up_down_up() {
    let mut s = Script::new([service("web", 5).scalable(true)]);
    let tasks = s.running(5);
    s.engine.scale("web", 2).unwrap();
    s.tick();
    let mut killed = s.kills();
    killed.sort();
    assert_eq!(killed, tasks[2..]);
    s.update(&tasks[4], TaskKilled);
    s.engine.scale("web", 5).unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1, "only the one that has ended");
    for task in &tasks[2..4] {
        s.update(task, TaskKilled);
    }
    assert_eq!(s.launch("a2", BIG).len(), 2);
    let mut indices: Vec<(u32, u64)> = s.engine.tasks().map(|task| (task.index, task.generation)).collect();
    indices.sort_unstable();
    assert_eq!(indices[..2], [(0, 1), (1, 1)]);
    assert_eq!(indices.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(indices[2..4], [(2, 2), (3, 2)]);
}

// ENGINE 4.4, A10: to nothing, by command and by spec; and what has not left is given back.
#[test]
fn to_zero_and_back() {
    let mut s = Script::new([service("web", 2)]);
    assert!(s.engine.scale("web", 0).is_err(), "S33: not scalable");
    s.disk = Disk::Hangs;
    s.offer("a1", BIG);
    s.engine.apply(service("web", 0)).unwrap();
    s.tick();
    assert_eq!(s.declines().len(), 1);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert!(s.spec("web").satisfied);
    assert!(!s.store.records().keys().any(|key| key.as_str().starts_with("slot")));
    s.engine.apply(service("web", 1)).unwrap();
    s.tick();
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 1.4 A10, A11: removed and declared again while its tasks end.
#[test]
fn removed_and_back_again() {
    let mut s = Script::new([service("web", 2)]);
    let tasks = s.running(2);
    s.engine.remove("web").unwrap();
    s.tick();
    assert_eq!(s.kills().len(), 2);
    assert!(s.engine.scale("web", 1).is_err());
    s.update(&tasks[0], TaskKilled);
    s.engine.apply(service("web", 2)).unwrap();
    s.tick();
    s.update(&tasks[1], TaskKilled);
    assert_eq!(s.told(|e| matches!(e, Event::SpecRemoved { .. })), 0);
    assert_eq!(s.launch("a1", BIG).len(), 2);
}

// A role that the framework has given up is no reason against fewer instances, nor for what is said of the spec.
#[test]
fn the_spec_of_a_role_that_was_given_up_is_scaled() {
    let other = service("other", 1).role("old").scalable(true);
    let mut s = Script::with(client(Framework::new("test").roles(["*", "old"])), [other]);
    s.engine.calls().update_framework(Framework::new("test").roles(["*"]).info().clone(), [""; 0], None).unwrap();
    s.tick();
    s.engine.scale("other", 0).unwrap();
    s.tick();
    assert_eq!((s.spec("other").wanted, s.spec("other").waiting), (0, 0));
    assert!(matches!(s.engine.scale("other", 1_000_001), Err(CommandError::Spec(_))));
}
