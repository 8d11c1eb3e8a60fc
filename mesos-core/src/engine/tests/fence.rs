//! An engine that was replaced by another one, and doesn't know.

use super::*;

/// The process stood still and was replaced: its store takes nothing more of it. It subscribes once more.
fn replaced() -> Script {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.disk = Disk::Hangs;
    s.cut();
    s.resubscribe();
    s.clear();
    s
}

// What the new one runs is none of its business, though it has never heard of it: it asks the store before it does
// anything (simulated: tasks of the new leader were killed).
#[test]
fn one_that_was_replaced_kills_nobody() {
    let mut s = replaced();
    s.answer("new", TaskRunning);
    s.update("newer", TaskRunning);
    s.update("newer", TaskFinished);
    let offer = s.offer("a1", BIG);
    assert_eq!(s.calls, []);
    s.sleep(secs(100));
    assert_eq!(s.declines()[0].0, [offer], "others may have that");
    assert_eq!(s.calls, [], "nothing else leaves");
    let ticket = s.flying.take().expect("a question to the store").ticket();
    s.feed(Input::PersistFailed { ticket, failure: StoreFailure::Fenced("new".into()) });
    s.settle();
    assert!(s.calls.is_empty() && s.stream.is_none());
    assert!(matches!(s.events.back(), Some(Event::Fenced(_))));
}

// ENGINE 56: one that was not goes on with all that has come meanwhile, as soon as the store says so.
#[test]
fn one_that_was_not_goes_on() {
    let mut s = replaced();
    s.answer("stranger", TaskRunning);
    s.update("stranger", TaskRunning);
    let offer = s.offer("a1", BIG);
    s.inverse_offers(vec![inverse_offer("i1", "a9")]);
    assert_eq!(s.calls, []);
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.kills(), ["stranger"]);
    assert_eq!(s.acks(), ["stranger"]);
    assert_eq!(s.asked().len(), 1);
    assert_eq!(s.declines()[0].0, [offer]);
    assert_eq!(s.take(Type::AcceptInverseOffers).len(), 1);
}

// A KILL under way is repeated for a new session once that is known to be ours, not before and not twice.
#[test]
fn kills_wait_as_well() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.kill(&task).expect("a task");
    s.tick();
    assert_eq!(s.kills(), [&*task]);
    s.disk = Disk::Hangs;
    s.cut();
    s.resubscribe();
    assert!(s.kills().is_empty());
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.kills(), [&*task]);
}
