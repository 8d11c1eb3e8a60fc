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
    assert_eq!(counters.acknowledged, 2 + s.acks().len() as u64);
    let kills = s.kills();
    assert!(kills.len() > 2);
    assert_eq!((counters.kills, counters.kills_repeated), (kills.len() as u64, kills.len() as u64 - 2));
    assert_eq!((gauges.ghosts, gauges.kills_under_way, gauges.kills_queued), (1, 1, 0));
    assert!(gauges.calling && counters.batches > 0 && counters.asked > 0);
    s.cut();
    assert!(!s.engine.gauges().calling);
}
