//! What an engine counts is what was seen of it.

use super::*;

// ENGINE section 10
#[test]
fn a_short_life_in_numbers() {
    let mut s = Script::new([service("web", 2)]);
    let tasks = s.running(2);
    s.cut();
    s.resubscribe();
    s.clear();
    // Once more by its agent, which knows of no acknowledgement.
    (0..2).for_each(|_| s.status(&tasks[0], TaskRunning, |status| status.uuid = Some(vec![0x4b; 16].into())));
    s.update("stranger", TaskRunning);
    s.update(&tasks[1], TaskFailed);
    s.engine.kill(&tasks[0]).expect("a task");
    s.tick();
    s.sleep(secs(60));
    let (counters, gauges) = (s.engine.counters().clone(), s.engine.gauges());
    assert_eq!((counters.subscriptions, counters.launched, counters.running), (2, 2, 2));
    assert_eq!(counters.ended, BTreeMap::from([(EndClass::Fault, 1)]));
    assert_eq!((counters.statuses[&TaskRunning], counters.statuses[&TaskFailed]), (5, 1));
    assert_eq!((counters.repeated, counters.unknown), (1, 1));
    assert_eq!((counters.restarts, counters.strikes, counters.launches_lost, counters.stale), (1, 1, 0, 0));
    assert_eq!((gauges.held_back, gauges.held_statuses), (0, 0));
    assert!(gauges.longest_wait.is_some_and(|wait| (58..=59).contains(&wait.as_secs())));
    assert_eq!(counters.acknowledged, 2 + s.acks().len() as u64);
    let kills = s.kills();
    assert!(kills.len() > 2);
    assert_eq!((counters.kills, counters.kills_repeated), (kills.len() as u64, kills.len() as u64 - 2));
    assert_eq!((gauges.ghosts, gauges.kills_under_way, gauges.kills_queued), (1, 1, 0));
    assert!(gauges.calling && counters.batches > 0 && counters.asked > 0);
    s.cut();
    assert!(!s.engine.gauges().calling);
}

// ENGINE section 10
#[test]
fn how_long_things_take() {
    let mut s = Script::new([service("web", 2)]);
    s.sleep(secs(3));
    s.disk = Disk::Hangs;
    s.offer("a1", BIG);
    s.sleep(millis(300));
    s.disk = Disk::Writes;
    s.settle();
    let tasks = s.accept().ids();
    s.sleep(millis(700));
    s.update(&tasks[0], TaskRunning);
    s.answer(&tasks[1], TaskGone);
    s.engine.kill(&tasks[0]).unwrap();
    s.tick();
    s.sleep(secs(2));
    s.update(&tasks[0], TaskKilled);
    s.status("x", TaskRunning, |status| status.state = 99);
    let counters = s.engine.counters();
    assert_eq!((counters.launches_lost, counters.answers, counters.unreadable), (1, 1, 1));
    let times = s.engine.histograms();
    assert_eq!((times.until_placed.count(), times.until_placed.sum()), (2, secs(6)));
    assert_eq!((times.until_running.count(), times.until_running.sum()), (1, secs(1)));
    assert_eq!((times.until_killed.count(), times.until_killed.sum()), (1, secs(2)));
    assert_eq!(times.persisted.sum(), millis(300));
    assert_eq!(times.persisted.count(), s.engine.counters().batches);
    let filled: Vec<_> = times.until_placed.buckets().filter(|(_, count)| *count > 0).collect();
    assert_eq!(filled, [(Some(millis(4096)), 2)]);
    assert_eq!(times.until_placed.buckets().last(), Some((None, 0)));
}
