//! Records that can't be read, and what a user says about them (ENGINE 6.3).

use super::*;

/// The process dies, and the next one can't read these records.
fn garble<const N: usize>(s: &mut Script, key: [&str; N]) {
    s.stop();
    let put = StoreOp::Put { key: Key::new(key), value: "{".into() };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![put]));
    s.recover();
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
