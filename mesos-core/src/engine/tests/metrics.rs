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

// S38, S39, S40: what an engine shows of itself is so at any moment: of each spec how much of it is wanted, launched, ready
// and waits, and its priority; the tasks, those that run, those that are being killed and those that are asked for; the
// framework's id, and how long ago the master was heard.
#[test]
fn what_is_shown_is_current() {
    let mut s = Script::new([service("web", 3).priority(2).scalable(true), service("db", 1)]);
    let specs = |s: &Script| {
        let numbers = |spec: &SpecStatus| [spec.wanted, spec.live, spec.ready, spec.waiting];
        let all = s.engine.specs().map(|spec| (spec.name.clone(), spec.priority, numbers(&spec)));
        all.collect::<Vec<_>>()
    };
    let rows = |web, db| [("web".to_string(), 2, web), ("db".to_string(), 0, db)];
    // Launched; of these running, being killed, asked for; and pending.
    let tasks = |s: &Script| {
        let count = |which: fn(&Task) -> bool| s.engine.tasks().filter(which).count();
        let pending = s.engine.instances("web").filter(|instance| instance.waits.is_some()).count();
        let (running, killed) = (count(|task| task.state == State::Running), count(|task| task.killing().is_some()));
        assert_eq!(s.engine.gauges().kills_under_way as usize, killed);
        [count(|_| true), running, killed, s.engine.gauges().unanswered as usize, pending]
    };
    assert_eq!(specs(&s), rows([3, 0, 0, 3], [1, 0, 0, 1]));
    assert_eq!(tasks(&s), [0, 0, 0, 0, 3]);
    let launched = s.launch("a1", BIG);
    assert_eq!(specs(&s), rows([3, 3, 0, 0], [1, 1, 0, 0]));
    assert_eq!(tasks(&s), [4, 0, 0, 0, 0]);
    launched.iter().for_each(|task| s.update(task, TaskRunning));
    assert_eq!(specs(&s), rows([3, 3, 3, 0], [1, 1, 1, 0]));
    assert_eq!(tasks(&s), [4, 4, 0, 0, 0]);
    let web: Vec<String> = (0..3).map(|index| s.tasks("web", index).remove(0).task_id).collect();
    s.update(&web[0], TaskFailed);
    assert_eq!(specs(&s), rows([3, 2, 2, 1], [1, 1, 1, 0]));
    assert_eq!(tasks(&s), [3, 3, 0, 0, 1]);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    // The one that waits goes, and one of the others.
    assert_eq!(s.spec("web").wanted, 1);
    assert_eq!(tasks(&s), [3, 2, 1, 0, 0]);
    s.update(&web[2], TaskKilled);
    assert_eq!(specs(&s), rows([1, 1, 1, 0], [1, 1, 1, 0]));
    assert_eq!(tasks(&s), [2, 2, 0, 0, 0]);
    // The session.
    let (beat, now) = (s.heartbeat, s.now);
    s.sleep(beat.saturating_duration_since(now) + secs(5));
    let session = s.engine.session();
    assert_eq!((session.state, session.silent_for), (crate::SessionState::Subscribed, Some(secs(5))));
    assert_eq!(session.framework_id, Some(v1::FrameworkId { value: "f-1".into() }));
    s.cut();
    let session = s.engine.session();
    assert_eq!((session.state, session.silent_for), (crate::SessionState::Waiting, None));
    assert!(session.framework_id.is_some());
    s.resubscribe();
    assert_eq!(tasks(&s), [2, 2, 0, 2, 0]);
    s.answer(&web[1], TaskRunning);
    assert_eq!(tasks(&s), [2, 2, 0, 1, 0]);
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
