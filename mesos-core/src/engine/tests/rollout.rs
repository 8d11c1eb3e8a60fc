//! From one revision to the next.

use super::world::{World, has};
use super::*;

/// A service that takes a while to be ready.
fn slow(instances: u32) -> TaskSpec {
    service("web", instances).min_ready(secs(5)).scalable(true)
}

/// So many instances run and are ready.
fn settled(spec: TaskSpec) -> (Script, World) {
    let instances = spec.instance_count() as usize;
    let mut s = Script::new([spec]);
    let mut world = World::new(["a1", "a2", "a3"]);
    world.play(&mut s, secs(10));
    world.assert_settled(&s, "web", instances);
    (s, world)
}

/// The program changes its spec.
fn apply(s: &mut Script, spec: TaskSpec) -> Revision {
    s.specs = vec![spec.clone()];
    let revision = s.engine.apply(spec).unwrap();
    s.tick();
    revision
}

/// Those of the next revision fail; says how many there were.
fn fail_new(s: &mut Script, world: &mut World) -> usize {
    let new: Vec<String> = world.tasks.iter().filter(|(_, task)| has(task, "NEW")).map(|(id, _)| id.clone()).collect();
    for task in &new {
        world.tasks.remove(task);
        s.update(task, TaskFailed);
    }
    new.len()
}

// ENGINE 36, I8
#[test]
fn rolling_25() {
    let (mut s, mut world) = settled(slow(8));
    world.rule = Some(|s, world| {
        assert!(world.tasks.len() <= 10, "never more than 10 live");
        assert!(s.spec("web").ready >= 6, "never fewer than 6 ready");
    });
    let revision = apply(&mut s, slow(8).env("NEW", "1"));
    assert!(!s.spec("web").satisfied);
    world.play(&mut s, secs(120));
    world.assert_settled(&s, "web", 8);
    assert_eq!(world.with("NEW", true), 8);
    assert!(s.engine.tasks().all(|task| task.revision == revision));
    assert_eq!(s.spec("web").outdated, 0);
}

// ENGINE 4.1: what a former revision does is not held against the one that comes next (simulated: seed 1596).
#[test]
fn the_last_failure_of_a_former_revision_holds_nothing() {
    let spec = slow(2).max_surge(Amount::Count(0)).max_unavailable(Amount::Count(1)).max_failures(Some(1));
    let (mut s, mut world) = settled(spec.clone());
    apply(&mut s, spec.env("NEW", "1"));
    // The other one has its turn later, and fails before that.
    let old = s.tasks("web", 1).remove(0).task_id;
    world.tasks.remove(&old);
    s.update(&old, TaskFailed);
    assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { .. })), 0);
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 2);
    assert_eq!(world.with("NEW", true), 2);
}

// ENGINE 4.2: all old ones first, and by commands: restart.
#[test]
fn recreate_and_restart() {
    let spec = slow(4).max_surge(Amount::Count(0)).max_unavailable(Amount::Percent(100));
    let (mut s, mut world) = settled(spec);
    world.rule = Some(|_, world| assert!(world.tasks.len() <= 4));
    let before = world.tasks.clone();
    s.engine.restart("web").unwrap();
    s.tick();
    world.respond(&mut s);
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 4);
    assert!(world.tasks.keys().all(|task| !before.contains_key(task)));
}

// ENGINE 4.1: where there is no room for a second one, a smaller surge lets the rollout go on (simulated: seed 7000104).
#[test]
fn less_surge_while_successors_wait() {
    let (mut s, mut world) = settled(slow(2));
    let next = || slow(2).env("NEW", "1");
    apply(&mut s, next().max_surge(Amount::Count(2)));
    assert_eq!(s.spec("web").waiting, 2);
    world.rule = Some(|_, world| assert!(world.tasks.len() <= 2, "no second ones"));
    apply(&mut s, next().max_surge(Amount::Count(0)));
    world.respond(&mut s);
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 2);
    assert_eq!(world.with("NEW", true), 2);
}

// ENGINE 3.2, 4.1: whose delay ends only after the surge has become smaller finds no room either (simulated: seed
// 71000121).
#[test]
fn less_surge_while_successors_are_held_back() {
    let (mut s, mut world) = settled(slow(2));
    let next = || slow(2).env("NEW", "1");
    apply(&mut s, next().max_surge(Amount::Count(2)));
    world.play(&mut s, secs(2));
    assert_eq!(fail_new(&mut s, &mut world), 2);
    apply(&mut s, next().max_surge(Amount::Count(0)));
    assert_eq!(s.spec("web").waiting, 2, "a delay isn't forgotten");
    world.rule = Some(|_, world| assert!(world.tasks.len() <= 2, "no second ones"));
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 2);
    assert_eq!(world.with("NEW", true), 2);
}

// The same, if an offer comes before the engine's timer does.
#[test]
fn an_offer_is_no_room() {
    let (mut s, mut world) = settled(slow(1));
    let next = || slow(1).env("NEW", "1");
    apply(&mut s, next());
    world.play(&mut s, secs(2));
    assert_eq!(fail_new(&mut s, &mut world), 1);
    apply(&mut s, next().max_surge(Amount::Count(0)));
    s.clear();
    s.now += secs(2);
    s.offer("a2", BIG);
    assert!(s.accepts().is_empty(), "the old one goes first");
    world.respond(&mut s);
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 1);
    assert_eq!(world.with("NEW", true), 1);
}

// ENGINE 4.1: one that is being killed counts until it has ended (simulated: seed 71005245).
#[test]
fn less_surge_beside_one_that_is_killed() {
    let (mut s, _) = settled(slow(1));
    let old = s.tasks("web", 0).pop().unwrap().task_id;
    let next = || slow(1).env("NEW", "1");
    apply(&mut s, next());
    assert_eq!(s.engine.explain("web").unwrap().to_string(), "1 wait for 0 s: nothing was offered");
    assert_eq!(s.spec("web").waiting, 1, "beside the old one");
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    apply(&mut s, next().max_surge(Amount::Count(0)));
    s.sleep(secs(2));
    assert_eq!(s.kills(), [old.clone()]);
    s.clear();
    s.offer("a2", BIG);
    assert!(s.accepts().is_empty(), "the old one has to have ended");
    let explanation = s.engine.explain("web").unwrap().to_string();
    assert_eq!(explanation, "1 wait for 2 s: 1 for the end of a task in the same place");
    s.update(&old, TaskKilled);
    s.offer("a2", BIG);
    assert!(has(&s.accept().tasks[0], "NEW"));
}

// ENGINE 4.1: what has finished is no instance that is missing (simulated: seed 71000739).
#[test]
fn the_finished_hold_nothing_back() {
    let spec = || slow(2).job().max_surge(Amount::Count(0)).max_unavailable(Amount::Count(1));
    let (mut s, mut world) = settled(spec());
    let first = world.tasks.keys().next().unwrap().clone();
    world.tasks.remove(&first);
    s.update(&first, TaskFinished);
    apply(&mut s, spec().env("NEW", "1"));
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 1);
    assert_eq!(world.with("NEW", true), 1);
}

// ENGINE 37
#[test]
fn rolling_single() {
    let (mut s, mut world) = settled(slow(1));
    world.rule = Some(|s, world| {
        assert!(world.tasks.len() <= 2);
        assert_eq!(s.spec("web").ready, 1, "the new one is ready first");
    });
    apply(&mut s, slow(1).env("NEW", "1"));
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 1);
    assert_eq!(world.with("NEW", true), 1);
}

// ENGINE 1.4, found by the simulated world: a revision that Mesos refuses again and again is given up, and not launched
// beside the old one as fast as offers come.
#[test]
fn a_successor_that_is_given_up_is_not_tried_again() {
    let mut s = Script::new([service("web", 1)]);
    let old = s.running(1).remove(0);
    s.sleep(secs(11));
    apply(&mut s, service("web", 1).env("BAD", "1"));
    for _ in 0..3 {
        let new = s.launch("a2", BIG).remove(0);
        s.master_says(&new, TaskError, Reason::TaskInvalid);
        s.sleep(secs(17));
    }
    assert_eq!(s.spec("web").held, 1);
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!((s.state(&old), s.spec("web").ready), (Some(State::Running), 1));
    // Another revision may do.
    apply(&mut s, service("web", 1).env("GOOD", "1"));
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// ENGINE 38: the old ones stay as far as they have to; going back restores what was.
#[test]
fn rolling_bad_revision() {
    let (mut s, mut world) = settled(slow(8));
    world.rule = Some(|s, world| {
        assert!(world.tasks.len() <= 10);
        assert!(s.spec("web").ready >= 6);
    });
    apply(&mut s, slow(8).env("BAD", "1"));
    world.play(&mut s, secs(1800));
    assert_eq!(world.with("BAD", false), 6);
    assert!(!s.spec("web").satisfied);
    let kept: Vec<String> = s.engine.tasks().filter(|task| task.ready).map(|task| task.task_id).collect();
    apply(&mut s, slow(8));
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 8);
    assert_eq!(world.with("BAD", true), 0);
    assert!(kept.iter().all(|task| world.tasks.contains_key(task)), "who was good is left alone");
}

// ENGINE 4.3: nothing goes by our own doing while it is paused; what ends is replaced.
#[test]
fn pause_and_resume() {
    let (mut s, mut world) = settled(slow(8));
    s.engine.pause("web").unwrap();
    apply(&mut s, slow(8).env("NEW", "1"));
    world.play(&mut s, secs(60));
    assert_eq!((world.with("NEW", true), world.with("NEW", false)), (0, 8));
    assert!(s.spec("web").paused);
    world.crash(&mut s);
    world.play(&mut s, secs(60));
    assert_eq!(world.with("NEW", false), 8, "also after a crash");
    s.engine.resume("web").unwrap();
    s.tick();
    world.play(&mut s, secs(120));
    world.assert_settled(&s, "web", 8);
    assert_eq!(world.with("NEW", true), 8);
}

// ENGINE 4.3: paused, successors that wait for room are not launched in the revision that is there already (simulated: seed
// 7000979).
#[test]
fn paused_while_successors_wait() {
    let (mut s, mut world) = settled(slow(2));
    apply(&mut s, slow(2).env("NEW", "1").max_surge(Amount::Count(2)));
    assert_eq!(s.spec("web").waiting, 2);
    s.engine.pause("web").unwrap();
    s.tick();
    assert_eq!(s.spec("web").waiting, 0);
    world.rule = Some(|_, world| assert!(world.tasks.len() <= 2, "no second ones"));
    world.respond(&mut s);
    world.play(&mut s, secs(60));
    assert_eq!((world.with("NEW", true), world.with("NEW", false)), (0, 2));
    world.rule = None;
    s.engine.resume("web").unwrap();
    s.tick();
    world.play(&mut s, secs(120));
    world.assert_settled(&s, "web", 2);
    assert_eq!(world.with("NEW", true), 2);
}

// ENGINE 39, L7
#[test]
fn rolling_superseded_and_crash() {
    for lossy in [false, true] {
        for at in [3, 7, 12] {
            let (mut s, mut world) = settled(slow(8));
            world.lossy = lossy;
            world.rule = Some(|_, world| assert!(world.tasks.len() <= 10));
            apply(&mut s, slow(8).env("TWO", "1"));
            world.play(&mut s, secs(at));
            apply(&mut s, slow(8).env("THREE", "1"));
            world.play(&mut s, secs(at));
            world.crash(&mut s);
            world.play(&mut s, secs(180));
            world.assert_settled(&s, "web", 8);
            assert_eq!(world.with("THREE", true), 8);
        }
    }
}

// ENGINE 41
#[test]
fn death_of_old_during_rollout() {
    let (mut s, mut world) = settled(slow(4));
    let of = |s: &Script, index| s.tasks("web", index).remove(0).task_id;
    let old: Vec<String> = (0..4).map(|index| of(&s, index)).collect();
    s.clear();
    let revision = apply(&mut s, slow(4).env("NEW", "1"));
    // S = 1 for the first, U = 1 for the second.
    assert_eq!(s.kills(), [&*old[1]]);
    world.tasks.remove(&old[3]);
    s.update(&old[3], TaskFailed);
    s.sleep(secs(2));
    assert!(s.kills().is_empty(), "no further kill");
    s.update(&old[1], TaskKilled);
    world.tasks.remove(&old[1]);
    let new = s.launch("a1", BIG);
    assert_eq!(new.len(), 3);
    for index in [1, 3] {
        assert_eq!(of(&s, index), *new.iter().find(|task| id::parse(task).unwrap().index == index).unwrap());
        assert_eq!(s.tasks("web", index)[0].revision, revision, "in the new revision");
    }
    assert!(s.kills().is_empty());
    let first = s.tasks("web", 0);
    assert_eq!((first.len(), &first[0].task_id), (2, &old[0]));
    // And on to the end.
    for task in &new {
        s.update(task, TaskRunning);
    }
    s.sleep(secs(6));
    let kills = s.kills();
    assert!(kills.contains(&old[0]) && kills.contains(&old[2]) || kills == [old[0].clone()], "{kills:?}");
}

// ENGINE 4: policy changes restart nothing.
#[test]
fn a_change_of_policy_restarts_nothing() {
    let (mut s, mut world) = settled(slow(4));
    let before: Vec<String> = world.tasks.keys().cloned().collect();
    apply(&mut s, slow(5).priority(7).backoff(secs(2), secs(9)).kill_selection(KillSelection::Oldest));
    world.play(&mut s, secs(30));
    world.assert_settled(&s, "web", 5);
    assert!(before.iter().all(|task| world.tasks.contains_key(task)));
}

// ENGINE 3.4: a strict slot is never two tasks, not even in a rollout.
#[test]
fn rolling_strict() {
    let (mut s, mut world) = settled(slow(3).duplicates(Duplicates::Forbid));
    world.rule = Some(|s, world| {
        assert!(world.tasks.len() <= 3);
        let mut names: Vec<&str> = world.tasks.values().map(|task| task.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), world.tasks.len(), "I6");
        assert!(s.spec("web").ready >= 2);
    });
    apply(&mut s, slow(3).duplicates(Duplicates::Forbid).env("NEW", "1"));
    world.play(&mut s, secs(120));
    world.assert_settled(&s, "web", 3);
    assert!(world.tasks.values().all(|task| has(task, "NEW")));
}

// ENGINE 4.1, 4.3: what ends while the rollout is paused goes on in its own revision, also after a crash, and also if it
// needs other resources; resumed, the rollout goes on.
#[test]
fn paused_in_its_own_revision() {
    let old = || service("web", 3).env("OLD", "1");
    let new = || service("web", 3).env("NEW", "1").resources(Resources::new().cpus(50.0).mem(32.0));
    let mut s = Script::new([old()]);
    let tasks = s.running(3);
    let old = s.spec("web").revision;
    s.engine.pause("web").unwrap();
    s.engine.apply(new()).unwrap();
    s.specs = vec![new()];
    s.tick();
    s.update(&tasks[0], TaskFailed);
    s.crash();
    for task in &tasks[1..] {
        s.answer(task, TaskRunning);
    }
    s.master_says(&tasks[1], TaskUnreachable, Reason::AgentRemoved);
    s.sleep(secs(2));
    s.clear();
    s.offer("a2", "cpus:2;mem:64");
    let again = s.accept().tasks;
    let revision = |s: &Script, task: &str| s.engine.find_task(task).unwrap().revision;
    assert_eq!(again.len(), 2);
    for task in &again {
        assert!(has(task, "OLD"));
        assert_eq!(revision(&s, &task.task_id.value), old);
        s.update(&task.task_id.value, TaskRunning);
    }
    assert!(s.kills().is_empty());
    // An offer that is taken back changes nothing about that.
    let first = again.iter().find(|task| id::parse(&task.task_id.value).unwrap().index == 0).unwrap();
    s.update(&first.task_id.value, TaskDropped);
    s.disk = Disk::Hangs;
    let offer = s.offer("a2", "cpus:2;mem:64");
    s.rescind(&offer);
    s.disk = Disk::Writes;
    s.settle();
    s.offer("a2", "cpus:2;mem:64");
    assert!(has(&s.accept().tasks[0], "OLD"));
    let third = s.tasks("web", 0).pop().unwrap().task_id;
    s.update(&third, TaskFailed);
    s.sleep(secs(2));
    s.engine.resume("web").unwrap();
    s.tick();
    s.offer("a3", BIG);
    assert!(s.accept().tasks.iter().all(|task| has(task, "NEW")));
}

// ENGINE 4.5: a restart by command is one restart: neither a change of policy nor another process repeats it or takes it
// back.
#[test]
fn a_restart_is_not_repeated() {
    let (mut s, mut world) = settled(slow(3));
    let before = world.tasks.clone();
    s.engine.restart("web").unwrap();
    s.tick();
    world.play(&mut s, secs(3));
    world.crash(&mut s);
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 3);
    assert!(world.tasks.keys().all(|task| !before.contains_key(task)), "it goes on after a crash");
    let after = world.tasks.clone();
    world.crash(&mut s);
    apply(&mut s, slow(4));
    world.play(&mut s, secs(60));
    world.assert_settled(&s, "web", 4);
    assert!(after.keys().all(|task| world.tasks.contains_key(task)));
}

// A delay after a fault outlives the pause of a rollout (simulated: seed 100005731, the next task began at once).
#[test]
fn a_pause_does_not_shorten_delays() {
    let mut s = Script::new([service("web", 1).backoff(secs(10), secs(20))]);
    let old = s.running(1).remove(0);
    s.engine.apply(service("web", 1).env("V", "2").backoff(secs(10), secs(20))).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.engine.pause("web").unwrap();
    s.update(&new, TaskRunning);
    s.update(&new, TaskFailed);
    // Beside the one of before nothing begins while the rollout is paused.
    s.sleep(secs(5));
    assert!(s.launch("a2", BIG).is_empty());
    s.update(&old, TaskGone);
    assert!(s.launch("a3", BIG).is_empty());
    s.sleep(secs(7));
    assert_eq!(s.launch("a3", BIG).len(), 1);
}

// ENGINE 4.3: paused, also what takes the place of a task that is given up, or that a user sets going again, is of its own
// revision, and of no other one that came up before.
#[test]
fn paused_and_given_up() {
    let of = |n: &str| service("web", 1).env(n, "1").duplicates(Duplicates::Forbid).max_failures(Some(1));
    let mut s = Script::new([of("A")]);
    let a = s.running(1).remove(0);
    let first = s.spec("web").revision;
    s.engine.pause("web").unwrap();
    let second = apply(&mut s, of("B"));
    s.master_says(&a, TaskUnreachable, Reason::AgentRemoved);
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    let revision = |s: &Script, task: &str| s.engine.find_task(task).unwrap().revision;
    let again = s.launch("a2", BIG).remove(0);
    assert_eq!(revision(&s, &again), first);
    // Held, and retried.
    s.update(&again, TaskRunning);
    s.update(&again, TaskFailed);
    assert_eq!(s.spec("web").held, 1);
    s.engine.retry("web").unwrap();
    s.tick();
    let again = s.launch("a3", BIG).remove(0);
    assert_eq!(revision(&s, &again), first);
    s.update(&again, TaskRunning);
    // At the next pause it is of the second one, and stays that.
    s.engine.resume("web").unwrap();
    s.tick();
    s.update(&again, TaskKilled);
    let other = s.launch("a4", BIG).remove(0);
    assert_eq!(revision(&s, &other), second);
    s.update(&other, TaskRunning);
    s.engine.pause("web").unwrap();
    apply(&mut s, of("C"));
    s.crash();
    s.answer(&other, TaskUnreachable);
    s.engine.declare_dead("web", 0).unwrap();
    s.tick();
    let last = s.launch("a5", BIG).remove(0);
    assert_eq!(revision(&s, &last), second);
}

// ENGINE 1.4 A9: what was held in its own revision while the rollout was paused is tried in the wanted one when it goes on.
#[test]
fn held_in_a_former_revision_when_the_rollout_goes_on() {
    let of = |n: &str| service("web", 2).env("V", n).max_failures(Some(1)).max_surge(Amount::Count(0));
    let mut s = Script::new([of("A")]);
    let tasks = s.running(2);
    s.engine.pause("web").unwrap();
    let wanted = apply(&mut s, of("B"));
    tasks.iter().for_each(|task| s.update(task, TaskFailed));
    assert_eq!(s.spec("web").held, 2);
    s.engine.resume("web").unwrap();
    s.tick();
    assert_eq!((s.spec("web").held, s.spec("web").waiting), (0, 2));
    for task in s.launch("a2", BIG) {
        assert_eq!(s.engine.find_task(&task).unwrap().revision, wanted);
        s.update(&task, TaskRunning);
        s.update(&task, TaskFailed);
    }
    // Here it was tried.
    s.engine.pause("web").unwrap();
    s.engine.resume("web").unwrap();
    s.tick();
    assert_eq!(s.spec("web").held, 2);
}

// ENGINE 4.2: whether there is a health check is up to the revision. That the next one has one takes nothing from those of
// before (simulated: seed 1300005627, they were ready no more, and no run of theirs was ever stable).
#[test]
fn the_next_revision_has_a_health_check() {
    let mut s = Script::new([service("web", 2)]);
    let old = s.running(2);
    s.engine.pause("web").unwrap();
    apply(&mut s, service("web", 2).resources(Resources::new().cpus(0.1).mem(16.0).ports(1)).http_check("/"));
    s.sleep(secs(11));
    assert_eq!(s.spec("web").ready, 2);
    s.sleep(secs(300));
    s.update(&old[0], TaskFailed);
    s.update(&old[1], TaskFailed);
    assert!(s.engine.instances("web").all(|place| place.faults == 1));
    for task in s.launch("a2", BIG) {
        s.update(&task, TaskRunning);
    }
    s.sleep(secs(301));
    for task in s.tasks("web", 0).into_iter().chain(s.tasks("web", 1)) {
        s.update(&task.task_id, TaskFailed);
    }
    assert!(s.engine.instances("web").all(|place| place.faults == 1), "a stable run forgives");
}

// ENGINE 3.2: what Mesos refuses of one revision says nothing of the next.
#[test]
fn refusals_of_a_former_revision() {
    let of = |n: &str| service("web", 1).env("V", n);
    let mut s = Script::new([of("A")]);
    let old = s.running(1).remove(0);
    apply(&mut s, of("B"));
    for _ in 0..2 {
        let task = s.launch("a2", BIG).remove(0);
        s.master_says(&task, TaskError, Reason::TaskInvalid);
        s.sleep(secs(20));
    }
    let third = s.launch("a2", BIG).remove(0);
    apply(&mut s, of("C"));
    s.master_says(&third, TaskError, Reason::TaskInvalid);
    s.sleep(secs(20));
    for refused in 1..=3 {
        assert_eq!(s.spec("web").held, 0, "{refused}");
        let task = s.launch("a2", BIG).remove(0);
        s.master_says(&task, TaskError, Reason::TaskInvalid);
        s.sleep(secs(20));
    }
    assert_eq!((s.spec("web").held, s.state(&old)), (1, Some(State::Running)));
}

// ENGINE 4.3: the role is a part of the revision. What goes on in a former one while the rollout is paused waits for offers
// of its own role (simulated: seed 151 took those of the next one).
#[test]
fn paused_in_its_own_role() {
    let offered = |s: &mut Script, role: &str| {
        let mut offer = s.make_offer("a1", BIG);
        offer.allocation_info = Some(v1::resource::AllocationInfo { role: Some(role.into()) });
        offer.resources.iter_mut().for_each(|resource| resource.allocation_info = offer.allocation_info.clone());
        s.offers(vec![offer]);
    };
    let roles = |s: &Script, task: &v1::TaskInfo| {
        let revision = s.engine.find_task(&task.task_id.value).unwrap().revision;
        let role = |resource: &v1::Resource| resource.allocation_info.clone().unwrap_or_default().role().to_string();
        (revision, task.resources.iter().map(role).collect::<Vec<_>>())
    };
    let of = |role: &str| service("web", 2).role(role).max_surge(Amount::Count(0));
    let mut s = Script::with(client(Framework::new("test").roles(["a", "b"])), [of("a")]);
    let tasks = s.running(2);
    let old = s.spec("web").revision;
    s.engine.pause("web").unwrap();
    let new = apply(&mut s, of("b"));
    s.sleep(secs(10));
    s.clear();
    s.update(&tasks[0], TaskFailed);
    s.sleep(secs(5));
    let revived: Vec<_> = s.take(Type::Revive).into_iter().flat_map(|call| call.revive.unwrap().roles).collect();
    assert_eq!(revived, ["a"]);
    offered(&mut s, "b");
    assert!(s.accepts().is_empty());
    offered(&mut s, "a");
    let task = s.accept().tasks.remove(0);
    assert_eq!(roles(&s, &task), (old, vec!["a".to_string(); 2]));
    s.update(&task.task_id.value, TaskRunning);
    // What waits when the rollout goes on waits for the other role.
    s.update(&tasks[1], TaskFailed);
    s.sleep(secs(10));
    s.clear();
    s.engine.resume("web").unwrap();
    s.sleep(secs(6));
    let revived: Vec<_> = s.take(Type::Revive).into_iter().flat_map(|call| call.revive.unwrap().roles).collect();
    assert_eq!(revived, ["b"]);
    offered(&mut s, "a");
    assert!(s.accepts().is_empty());
    offered(&mut s, "b");
    let task = s.accept().tasks.remove(0);
    assert_eq!(roles(&s, &task), (new, vec!["b".to_string(); 2]));
}
