//! Duplicates that are forbidden from some moment on: nothing more begins beside what may still run (I6). And that are
//! allowed again.

use super::*;

fn forbidding() -> TaskSpec {
    service("web", 1).duplicates(Duplicates::Forbid)
}

/// The agent of a task is lost, and the task given up, as it was to end. Its place waits.
fn given_up() -> (Script, String) {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    give_up(&mut s, &task);
    (s, task)
}

fn give_up(s: &mut Script, task: &str) {
    s.master_says(task, TaskUnreachable, Reason::AgentRemoved);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    assert_eq!((s.state(task), s.spec("web").waiting), (None, 1));
}

fn forbid(s: &mut Script) {
    s.engine.apply(forbidding()).unwrap();
    s.tick();
}

/// Nothing is launched before this one has ended.
fn only_after(s: &mut Script, task: &str) {
    s.sleep(secs(700));
    assert!(s.launch("a8", BIG).is_empty());
    s.update(task, TaskKilled);
    s.sleep(secs(2));
}

// I6: also if it is the end of another one that opens the place.
#[test]
fn what_was_given_up_ends_before_a_third_one_begins() {
    let (mut s, old) = given_up();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    forbid(&mut s);
    s.update(&new, TaskFailed);
    assert_eq!(s.state(&old), Some(State::Killing(KillReason::Scale)));
    only_after(&mut s, &old);
    assert_eq!(s.launch("a8", BIG).len(), 1);
}

// I6: one after the other.
#[test]
fn two_were_given_up() {
    let (mut s, first) = given_up();
    let second = s.launch("a2", BIG).remove(0);
    s.update(&second, TaskRunning);
    give_up(&mut s, &second);
    forbid(&mut s);
    only_after(&mut s, &first);
    assert_eq!(s.state(&second), Some(State::Killing(KillReason::Scale)));
    only_after(&mut s, &second);
    assert_eq!(s.launch("a8", BIG).len(), 1);
}

// I6: an intent that waits for the store is taken back, as is the demand.
#[test]
fn an_intent_beside_what_was_given_up() {
    let (mut s, old) = given_up();
    s.disk = Disk::Hangs;
    s.offer("a2", BIG);
    s.engine.apply(forbidding()).unwrap();
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert_eq!(s.state(&old), Some(State::Killing(KillReason::Scale)));
    only_after(&mut s, &old);
    assert_eq!(s.launch("a8", BIG).len(), 1);
}

// I6, S124: time is no proof. An operator's word is taken, also over a crash.
#[test]
fn what_was_out_of_sight_for_too_long() {
    for declared in [false, true] {
        let mut s = Script::new([service("web", 1)]);
        let task = s.running(1).remove(0);
        s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
        s.tick();
        if declared {
            s.engine.declare_dead("web", 0).unwrap();
            s.tick();
            assert_eq!(s.left(), [(task.clone(), Err(GhostReason::DeclaredDead))]);
        } else {
            s.sleep(secs(601));
        }
        assert_eq!((s.state(&task), s.spec("web").waiting), (None, 1));
        s.specs = vec![forbidding()];
        s.crash();
        assert_eq!(s.launch("a8", BIG).len(), usize::from(declared));
        if !declared {
            only_after(&mut s, &task);
            assert_eq!(s.launch("a8", BIG).len(), 1);
        }
    }
}

// I18: one that comes back just then is in its place once, and nothing begins beside it.
#[test]
fn what_was_given_up_returns_before_an_intent_is_durable() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.answer(&task, TaskUnknown);
    s.sleep(secs(30));
    s.answer(&task, TaskUnknown);
    assert_eq!((s.state(&task), s.spec("web").waiting), (None, 1));
    s.disk = Disk::Hangs;
    s.offer("a2", BIG);
    s.engine.apply(forbidding()).unwrap();
    s.update(&task, TaskRunning);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert_eq!(s.tasks("web", 0).len(), 1);
    assert!(s.kills().iter().all(|killed| *killed == task));
    only_after(&mut s, &task);
    assert_eq!(s.launch("a8", BIG).len(), 1);
}

// I6: one that is being ended because there is a second one is no exception, once that second one has ended.
#[test]
fn beside_one_that_ends_as_a_duplicate() {
    let of = |version: &str| service("web", 1).env("V", version);
    let mut s = Script::new([of("1")]);
    let old = s.running(1).remove(0);
    s.master_says(&old, TaskUnreachable, Reason::AgentRemoved);
    s.engine.apply(of("2")).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    assert_eq!(s.state(&old), Some(State::Killing(KillReason::Duplicate)));
    s.engine.apply(of("2").duplicates(Duplicates::Forbid)).unwrap();
    s.tick();
    s.update(&new, TaskFailed);
    s.sleep(secs(10));
    assert!(s.launch("a3", BIG).is_empty());
    s.update(&old, TaskKilled);
    s.sleep(secs(2));
    assert_eq!(s.launch("a3", BIG).len(), 1);
}

// L4: what is to end and can't be reached isn't waited for any longer (simulated: seed 9400001061).
#[test]
fn allowed_again() {
    let mut s = Script::new([forbidding()]);
    let task = s.running(1).remove(0);
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::User)));
    assert!(s.launch("a2", BIG).is_empty());
    s.take(Type::Kill);
    s.engine.apply(service("web", 1)).unwrap();
    s.tick();
    assert_eq!(s.launch("a2", BIG).len(), 1);
    s.update(&task, TaskRunning);
    assert_eq!(s.kills(), [task]);
}
