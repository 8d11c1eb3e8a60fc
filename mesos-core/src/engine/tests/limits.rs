//! What is kept of others is bounded, whatever they do.

use super::super::engine::Timer;
use super::*;

const MOST: usize = 10_000;
const DAY: Duration = Duration::from_secs(86_400);

/// A task that was given up, of a spec that goes on without it.
fn given_up() -> (Script, String) {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let ghost = s.running(2).remove(1);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.master_says(&ghost, TaskUnreachable, Reason::AgentRemoved);
    s.clear();
    (s, ghost)
}

/// How many ghosts are kept, with a timer each.
fn ghosts(s: &Script) -> usize {
    let timers = s.engine.timers.iter().filter(|(_, timer)| matches!(timer, Timer::Ghost(_))).count();
    assert_eq!(s.engine.gauges().ghosts as usize, timers);
    timers
}

// ENGINE 1.4 A24: a master has forgotten its agent by then. Until then it is one of ours, also for another process; later it
// is a task like any other that nobody knows.
#[test]
fn a_ghost_is_forgotten_after_two_weeks() {
    for crash in [false, true] {
        let (mut s, ghost) = given_up();
        // One that never was ours, and is being killed all the time; of that there is no record.
        s.answer("zombie", TaskRunning);
        assert_eq!(ghosts(&s), 2);
        s.cut();
        s.master = false;
        s.now += 13 * DAY;
        if crash {
            s.crash();
        }
        s.now += DAY - millis(1);
        s.tick();
        assert_eq!(ghosts(&s), if crash { 1 } else { 2 });
        assert!(s.stored(["ghost", &ghost]).is_some());
        s.sleep(millis(1));
        assert_eq!(s.stored(["ghost", &ghost]), None);
        // One that is being killed goes when the next KILL would be due.
        assert_eq!(ghosts(&s), if crash { 0 } else { 1 });
        s.sleep(secs(300));
        assert_eq!(ghosts(&s), 0);
        s.resubscribe();
        s.clear();
        s.answer(&ghost, TaskRunning);
        assert_eq!(s.told(|e| matches!(e, Event::UnknownTask { killed: true, .. })), 1);
    }
}

// ENGINE 1.4 A24: the oldest one goes first, with its record and its timer, whatever its id is.
#[test]
fn the_oldest_ghost_makes_room_for_the_newest() {
    let (mut s, ghost) = given_up();
    let id = |n: usize| format!("a{}", 99_999 - n);
    (1..MOST).for_each(|n| s.answer(&id(n), TaskRunning));
    assert_eq!(ghosts(&s), MOST);
    assert!(s.stored(["ghost", &ghost]).is_some());
    s.answer(&id(MOST), TaskRunning);
    assert_eq!(ghosts(&s), MOST);
    assert_eq!(s.stored(["ghost", &ghost]), None);
    // The next ones are strangers.
    s.answer(&id(MOST + 1), TaskRunning);
    s.clear();
    let unknown = |s: &Script| s.told(|e| matches!(e, Event::UnknownTask { .. }));
    s.answer(&id(2), TaskRunning);
    assert_eq!(unknown(&s), 0, "it is still there");
    s.answer(&id(1), TaskRunning);
    assert_eq!((unknown(&s), ghosts(&s)), (1, MOST));
}

// ENGINE 6.2: so many acknowledgements wait for a store that hangs. What comes after them is worked off all the same, and
// acknowledged when its agent repeats it.
#[test]
fn no_more_acknowledgements_wait_for_the_store() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    s.disk = Disk::Hangs;
    s.update(&task, TaskRunning);
    (1..MOST).for_each(|n| s.update(&format!("x{n}"), TaskFinished));
    assert_eq!(s.engine.gauges().held_statuses as usize, MOST);
    let fails = |s: &mut Script| s.status(&task, TaskFailed, |status| status.uuid = Some(vec![0x4b; 16].into()));
    (0..3).for_each(|_| fails(&mut s));
    assert_eq!(s.engine.gauges().held_statuses as usize, MOST);
    assert_eq!(s.state(&task), None);
    assert!(s.acks().is_empty());
    s.disk = Disk::Writes;
    s.settle();
    let acks = s.acks();
    assert_eq!((acks.len(), acks.iter().filter(|acked| **acked == task).count()), (MOST, 1));
    fails(&mut s);
    assert_eq!(s.acks(), [task]);
}

// What one ACCEPT takes may be more records than a batch: places with a past that lose what was about to be launched there, and
// are matched anew in the same step.
#[test]
fn intents_of_many_batches() {
    let mut s = Script::with(config().max_launching_per_agent(400), [service("web", 200)]);
    let large = "cpus:1000;mem:100000";
    let tasks = s.launch("a1", large);
    tasks.iter().for_each(|task| s.update(task, TaskFailed));
    s.sleep(secs(2));
    s.disk = Disk::Hangs;
    let first = s.offer("a2", large);
    assert!(s.accepts().is_empty());
    s.disk = Disk::Writes;
    s.laws.on_rescind(&first, false);
    let rescind = event::Rescind { offer_id: v1::OfferId { value: first } };
    let rescind = v1::scheduler::Event { rescind: Some(rescind), ..event_of(event::Type::Rescind) };
    let offers = vec![s.make_offer("a2", large)];
    offers.iter().for_each(|offer| s.laws.on_offer(offer));
    let offers = v1::scheduler::Event { offers: Some(event::Offers { offers }), ..event_of(event::Type::Offers) };
    // Both in one piece.
    let mut bytes = Vec::new();
    recordio::encode(&rescind.encode_to_vec(), &mut bytes);
    recordio::encode(&offers.encode_to_vec(), &mut bytes);
    let id = s.stream.expect("a stream");
    s.feed(Input::Body { id, data: &bytes });
    s.settle();
    assert_eq!(s.accept().tasks.len(), 200);
}
