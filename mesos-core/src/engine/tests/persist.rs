//! What has to be durable before what.

use super::*;

// ENGINE 12, S112, W2
#[test]
fn store_blocked_ack() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    s.disk = Disk::Hangs;
    for _ in 0..3 {
        s.status(&task, TaskRunning, |status| status.uuid = Some(vec![0x4b; 16].into()));
    }
    assert!(s.acks().is_empty());
    assert_eq!(s.events.len(), 0, "nor is it told");
    s.sleep(secs(100));
    assert!(s.acks().is_empty());
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.acks().len(), 3);
    assert_eq!(s.told(|e| matches!(e, Event::TaskLaunched(_))), 1);
    assert_eq!(s.told(|e| matches!(e, Event::TaskUpdated(_))), 1);
}

// ENGINE 6.1: told after 2 s and each minute; what runs is left alone, and nothing is launched.
#[test]
fn store_stalled() {
    for disk in [Disk::Hangs, Disk::Fails] {
        let mut s = Script::new([service("web", 2)]);
        let task = s.launch("a1", "cpus:1;mem:32").remove(0);
        s.disk = disk;
        s.offer("a2", "cpus:1;mem:32");
        s.update(&task, TaskRunning);
        s.clear();
        s.sleep(secs(1));
        assert_eq!(s.engine.tasks().count(), 2, "{disk:?}");
        // A3: the offer can't be kept for ever.
        s.sleep(secs(2));
        assert_eq!(s.declines().len(), 1);
        assert_eq!(s.spec("web").waiting, 1);
        s.sleep(secs(120));
        let stalled = |event: &Event| matches!(event, Event::StoreStalled { .. });
        assert_eq!(s.told(stalled), 3, "{disk:?}");
        s.offer("a2", BIG);
        assert_eq!(s.declines()[0].1, 5.0);
        assert!(s.accepts().is_empty() && s.acks().is_empty() && s.kills().is_empty());
        s.disk = Disk::Writes;
        s.sleep(secs(6));
        assert_eq!(s.told(|e| matches!(e, Event::StoreBack)), 1);
        assert_eq!(s.acks(), [task]);
        assert_eq!(s.launch("a2", BIG).len(), 1);
    }
}

// ENGINE W1, I1: no call before the framework's id is durable; offers wait for it, and may be rescinded meanwhile.
#[test]
fn the_framework_id_comes_first() {
    let mut s = Script::unstarted(config(), [service("web", 1)]);
    s.disk = Disk::Hangs;
    s.start();
    s.confirm();
    s.settle();
    s.offer("a1", BIG);
    s.offer("a2", BIG);
    s.answer("zombie", TaskRunning);
    s.update("zombie", TaskFinished);
    s.rescind("o1");
    s.sleep(secs(1));
    assert!(s.calls.is_empty());
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.accept().offers, ["o2"]);
    assert_eq!(s.laws.unanswered(), 0);
}

// ENGINE 64
#[test]
fn fenced() {
    for failure in [StoreFailure::Fenced("new".into()), StoreFailure::Refused { key: None, detail: "no".into() }] {
        let mut s = Script::new([service("web", 2)]);
        let task = s.launch("a1", "cpus:1;mem:32").remove(0);
        s.disk = Disk::Hangs;
        s.update(&task, TaskRunning);
        s.clear();
        let ticket = s.flying.take().unwrap().ticket();
        s.feed(Input::PersistFailed { ticket, failure: failure.clone() });
        s.settle();
        assert!(s.stream.is_none(), "aborted");
        assert!(s.calls.is_empty());
        let last = s.events.back().cloned();
        assert!(matches!(last, Some(Event::Fenced(f) | Event::StoreRefused(f)) if f == failure));
        s.disk = Disk::Writes;
        s.sleep(secs(1000));
        assert!(s.calls.is_empty() && s.subscription.is_none() && s.deadline.is_none());
    }
}

// ENGINE W6: an end and what follows from it are in one batch; a crash leaves both or none.
#[test]
fn one_batch_for_one_status() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.disk = Disk::Hangs;
    s.update(&task, TaskFailed);
    let keys: Vec<_> = s.flying.as_ref().unwrap().ops().iter().map(|op| op.key().as_str().to_string()).collect();
    assert_eq!(keys, ["inst/web/0/1", "slot/web/0"]);
}

// S111, W3: a task's acknowledgements go in the order of its statuses.
#[test]
fn acknowledgements_in_order() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    s.disk = Disk::Hangs;
    for (state, byte) in [(TaskStarting, 0x41), (TaskRunning, 0x42), (TaskFinished, 0x43)] {
        s.status(&task, state, |status| status.uuid = Some(vec![byte; 16].into()));
    }
    s.disk = Disk::Writes;
    s.settle();
    let uuids: Vec<u8> = s.take(Type::Acknowledge).iter().map(|c| c.acknowledge.as_ref().unwrap().uuid[0]).collect();
    assert_eq!(uuids, [0x41, 0x42, 0x43]);
}

// ENGINE 6.2: a revision's record goes once neither the history nor an instance names it.
#[test]
fn revisions_are_forgotten() {
    let revisions = |s: &Script| s.store.records().keys().filter(|key| key.as_str().starts_with("rev/")).count();
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.pause("web").unwrap();
    for n in 1..=15 {
        s.engine.apply(service("web", 1).env("N", n.to_string())).unwrap();
        s.tick();
    }
    assert_eq!(revisions(&s), 1 + 10 + 1, "the last ten, and that of the task");
    s.specs = vec![service("web", 1).env("N", "15")];
    s.crash();
    assert_eq!((revisions(&s), s.state(&task)), (12, Some(State::Running)));
    s.answer(&task, TaskRunning);
    s.engine.resume("web").unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskRunning);
    s.update(&task, TaskKilled);
    s.engine.apply(service("web", 1).env("N", "16")).unwrap();
    s.tick();
    assert_eq!(revisions(&s), 1 + 10);
    // One that a crash has left.
    let record = s.store.records().iter().find(|(key, _)| key.as_str().starts_with("rev/")).unwrap().1.clone();
    let stray = StoreOp::Put { key: Key::new(["rev", "web", "0123456789abcdef"]), value: record };
    s.store.apply_now(&Persist::new(Ticket::new(0), vec![stray]));
    s.specs = vec![service("web", 1).env("N", "16")];
    s.crash();
    assert_eq!(revisions(&s), 1 + 10);
}

// ENGINE 6.1: a spec's record goes with its last instance's, not before: a crash leaves nothing that is nobody's.
#[test]
fn a_spec_goes_with_its_slots() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.remove("web").unwrap();
    s.tick();
    let revision = format!("rev/web/{}", s.spec("web").revision);
    s.disk = Disk::Hangs;
    s.update(&task, TaskKilled);
    let keys: Vec<_> = s.flying.as_ref().unwrap().ops().iter().map(|op| op.key().as_str().to_string()).collect();
    assert_eq!(keys, ["inst/web/0/1", &revision, "slot/web/0", "spec/web"]);
}

// I10: an agent that fails while its offer waits for the framework's id is not used; the offer is given back.
#[test]
fn an_agent_fails_before_anything_is_matched() {
    let mut s = Script::unstarted(config(), [service("web", 1)]);
    s.disk = Disk::Hangs;
    s.start();
    s.confirm();
    s.settle();
    s.offer("a1", BIG);
    s.failure("a1", None);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 5.0)]);
    assert_eq!(s.launch("a1", BIG).len(), 1, "a new offer shows that it is well");
}

// S180, W48: an id that can't be saved is tried again, everybody can see that, and nothing happens before.
#[test]
fn the_framework_id_is_saved_in_the_end() {
    let mut s = Script::unstarted(config(), [service("web", 1)]);
    s.disk = Disk::Fails;
    s.start();
    s.sleep(secs(10));
    s.offer("a1", BIG);
    assert_eq!(s.told(|event| matches!(event, Event::StoreStalled { failure: Some(_), .. })), 1);
    assert!(s.calls.is_empty() && s.stored(["framework"]).is_none());
    s.disk = Disk::Writes;
    s.sleep(secs(6));
    assert!(s.stored(["framework"]).is_some_and(|record| record.contains("f-1")));
    assert_eq!(s.accept().tasks.len(), 1);
}

// An offer that comes while the store is busy waits for two of its answers and no more: that to the batch under way, and
// that to its own, with whatever else has come meanwhile, up to 256 launches of two changes each. More take more batches.
#[test]
fn two_answers_of_the_store_between_offer_and_accept() {
    for busy in [false, true] {
        for offers in [1, 10, 12] {
            let mut s = Script::new([service("web", 1000)]);
            s.disk = Disk::Hangs;
            if busy {
                s.offer("a0", "cpus:1;mem:32");
                assert!(s.flying.is_some());
            }
            for agent in 0..offers {
                s.offer(&format!("b{agent}"), "cpus:20;mem:640");
            }
            let mut answers = 0;
            while s.flying.is_some() {
                s.confirm();
                s.settle();
                answers += 1;
            }
            let launched: usize = s.accepts().iter().map(|accept| accept.tasks.len()).sum();
            assert_eq!(launched, usize::from(busy) + 20 * offers);
            assert!(answers <= 2, "{answers} answers, {offers} offers");
        }
    }
}
