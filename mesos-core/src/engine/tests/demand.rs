//! SUPPRESS and REVIVE.

use super::*;

fn seconds(moments: &[(Instant, Call)]) -> Vec<u64> {
    moments.windows(2).map(|w| w[1].0.saturating_duration_since(w[0].0).as_secs()).collect()
}

/// An engine without any demand, suppressed.
fn suppressed(config: Config) -> Script {
    let mut s = Script::with(config, [service("web", 0).scalable(true)]);
    s.sleep(secs(20));
    assert_eq!(s.take(Type::Suppress).len(), 1);
    assert_eq!(s.told(|e| matches!(e, Event::Suppressed { .. })), 1);
    s.clear();
    s
}

// ENGINE 49, L5, I12
#[test]
fn revive_lost() {
    let mut s = suppressed(config());
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.sleep(secs(200));
    let gaps = seconds(&s.timed(Type::Revive));
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps[0] >= 30 && gaps[1] >= 60, "{gaps:?}");
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 49: however often demand changes.
#[test]
fn one_revive_in_five_seconds() {
    let mut s = suppressed(config());
    for round in 1..20 {
        s.engine.scale("web", round).unwrap();
        s.tick();
        s.sleep(millis(700));
        // It fits nowhere, so that a filter hides what comes later.
        s.offer("a1", "cpus:0.1;mem:1");
    }
    let gaps = seconds(&s.timed(Type::Revive));
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap >= 5), "{gaps:?}");
}

// ENGINE 50
#[test]
fn decline_undoes_revive() {
    let mut s = suppressed(config());
    s.answering = false;
    s.engine.scale("web", 1).unwrap();
    s.tick();
    s.sleep(secs(1));
    assert_eq!(s.take(Type::Revive).len(), 1);
    s.offer("a1", "cpus:0.1;mem:1");
    s.answering = true;
    s.settle();
    assert_eq!(s.declines()[0].1, 5.0);
    s.offer("a2", "cpus:0.1;mem:1");
    assert_eq!(s.declines()[0].1, 5.0, "it may have been on its way");
    s.sleep(secs(2));
    s.offer("a3", "cpus:0.1;mem:1");
    assert_eq!(s.declines()[0].1, 120.0);
}

// ENGINE 51
#[test]
fn suppressed_but_offered() {
    let mut s = suppressed(config());
    for _ in 0..10 {
        s.offer("a1", BIG);
        assert_eq!(s.declines()[0].1, 3600.0);
        s.sleep(secs(1));
    }
    s.sleep(secs(10));
    let suppresses = s.timed(Type::Suppress);
    assert!((1..=3).contains(&suppresses.len()), "{}", suppresses.len());
    assert!(seconds(&suppresses).iter().all(|gap| *gap >= 5));
    s.sleep(secs(3600));
    assert!(s.take(Type::Suppress).is_empty());
}

// ENGINE 52, S106
#[test]
fn two_roles() {
    let specs = [service("a", 1).role("a"), service("b", 1).role("b")];
    let mut s = Script::with(client(Framework::new("test").roles(["a", "b"])), specs);
    // Role a, as `make_offer` has it.
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    s.sleep(secs(6));
    let roles: Vec<_> = s.take(Type::Suppress).into_iter().flat_map(|call| call.suppress.unwrap().roles).collect();
    assert_eq!(roles, ["a"]);
    s.cut();
    s.clear();
    s.resubscribe();
    assert_eq!(s.subscribes.last().unwrap().suppressed_roles, ["a"]);
    s.answer(&task, TaskRunning);
    s.sleep(secs(5));
    let roles: Vec<_> = s.take(Type::Revive).into_iter().flat_map(|call| call.revive.unwrap().roles).collect();
    assert_eq!(roles, ["b"], "OBSERVED: filters outlive a session");
    assert!(s.take(Type::Suppress).is_empty());
}

// ENGINE 2.5: five seconds before a back-off ends, offers are wanted again.
#[test]
fn offers_are_asked_for_in_time() {
    let mut s = Script::new([service("web", 1).backoff(secs(60), secs(60))]);
    let task = s.running(1).remove(0);
    s.update(&task, TaskFailed);
    s.sleep(secs(40));
    assert_eq!(s.take(Type::Suppress).len(), 1);
    assert!(s.take(Type::Revive).is_empty());
    s.sleep(secs(23));
    assert_eq!(s.take(Type::Revive).len(), 1);
}

// ENGINE 2.5, I21: right after a REVIVE nothing is refused for more than five seconds, nor longer than the back-off.
#[test]
fn a_short_backoff_right_after_a_revive() {
    let mut s = Script::new([service("web", 1).backoff(secs(3), secs(3))]);
    let task = s.running(1).remove(0);
    s.sleep(secs(20));
    assert_eq!(s.take(Type::Suppress).len(), 1);
    s.update(&task, TaskFailed);
    s.sleep(millis(1100));
    assert_eq!(s.take(Type::Revive).len(), 1);
    s.offer("a1", BIG);
    let refuse = s.declines()[0].1;
    assert!((1.0..=2.0).contains(&refuse), "{refuse}");
}

// ENGINE 2.5
#[test]
fn filters_by_situation() {
    let mut s = Script::new([service("web", 1).backoff(secs(20), secs(20))]);
    let closing = |s: &Script, from: i64, during: Option<i64>| v1::Unavailability {
        start: v1::TimeInfo { nanoseconds: (s.wall + s.now.since_origin()).as_nanos() as i64 + from * 1_000_000_000 },
        duration: during.map(|secs| v1::DurationInfo { nanoseconds: secs * 1_000_000_000 }),
    };
    // ENGINE 55: about to be taken away, and back from it.
    // Not for as long as that lasts while something waits: maintenance may be called off.
    for (from, during, refuse) in [(300, Some(3600), 120.0), (-600, Some(660), 60.0), (-60, None, 120.0)] {
        let unavailability = Some(closing(&s, from, during));
        let offer = v1::Offer { unavailability, ..s.make_offer("a1", BIG) };
        s.offers(vec![offer]);
        assert_eq!(s.declines()[0].1, refuse);
    }
    let unavailability = Some(closing(&s, -900, Some(600)));
    let offer = v1::Offer { unavailability, ..s.make_offer("a1", BIG) };
    s.offers(vec![offer]);
    let task = s.accept().ids().remove(0);
    s.update(&task, TaskRunning);
    s.update(&task, TaskFailed);
    s.offer("a1", BIG);
    let refuse = s.declines()[0].1;
    assert!((17.0..=22.0).contains(&refuse), "as long as it waits: {refuse}");
    // W51
    for (count, refuse) in [(0, 600.0), (1, 5.0)] {
        let config = config().refuse_idle(secs(600)).refuse_unfit(Duration::ZERO);
        let mut s = Script::with(config, [service("web", count)]);
        s.offer("a1", "cpus:0.001");
        assert_eq!(s.declines()[0].1, refuse);
    }
}

// ENGINE 2.5: a long filter hides what a looser constraint, or another policy of placement, would take.
#[test]
fn looser_constraints_ask_for_offers_again() {
    #[derive(Debug)]
    struct Any;
    impl OfferPolicy for Any {
        fn rate(&mut self, _: &Place<'_>) -> Option<i64> {
            Some(0)
        }
    }
    let changes: [fn(&mut Engine); 2] =
        [|engine| assert!(engine.apply(service("web", 2)).is_ok()), |engine| engine.set_offer_policy(Any)];
    for change in changes {
        let mut s = Script::new([service("web", 2).unique(Field::Hostname)]);
        s.running(1);
        s.sleep(secs(10));
        s.offer("a1", BIG);
        assert_eq!(s.declines()[0].1, 120.0);
        s.sleep(secs(10));
        s.clear();
        change(&mut s.engine);
        s.tick();
        s.sleep(secs(6));
        assert_eq!(s.take(Type::Revive).len(), 1);
    }
}

// ENGINE 2.5: a role that the framework gets later is asked for like the others.
#[test]
fn a_role_that_was_added() {
    let mut s = suppressed(config().on_removed(OnRemoved::FreshId));
    s.answering = false;
    let info = Framework::new("test").roles(["*", "new"]).info().clone();
    s.engine.calls().update_framework(info, ["new"], None).unwrap();
    s.tick();
    s.reply(200, "");
    s.answering = true;
    s.engine.apply(service("other", 1).role("new")).unwrap();
    s.tick();
    s.sleep(secs(6));
    let revives = s.take(Type::Revive);
    assert_eq!(revives.len(), 1);
    assert_eq!(revives[0].revive.as_ref().unwrap().roles, ["new"]);
    let mut offer = s.make_offer("a1", BIG);
    offer.allocation_info = Some(v1::resource::AllocationInfo { role: Some("new".into()) });
    offer.resources = parse(BIG, "new");
    s.offers(vec![offer]);
    assert_eq!(s.accept().tasks.len(), 1);
    // Also of a framework that is made anew.
    s.error("Framework has been removed");
    s.resubscribe();
    assert_eq!(s.subscribes.last().unwrap().framework_info.roles, ["*", "new"]);
    assert_eq!(s.subscribes.last().unwrap().framework_info.id, None);
}

// ENGINE 2.5: a role that the framework gives up keeps the others from nothing, nor the engine from its sleep; what waits
// for it goes on doing so, until the framework has it again.
#[test]
fn a_role_that_was_given_up() {
    let update = |s: &mut Script, roles: &[&str]| {
        let info = Framework::new("test").roles(roles.iter().copied()).info().clone();
        s.engine.calls().update_framework(info, [""; 0], None).unwrap();
        s.tick();
    };
    let roles = |s: &mut Script, kind: Type| -> Vec<Vec<String>> {
        let of = |call: Call| call.suppress.map_or_else(|| call.revive.unwrap().roles, |suppress| suppress.roles);
        s.take(kind).into_iter().map(of).collect()
    };
    for others in [0, 1] {
        let specs = [service("web", 0).scalable(true), service("other", others).role("old")];
        let mut s = Script::with(client(Framework::new("test").roles(["*", "old"])), specs);
        update(&mut s, &["*"]);
        s.sleep(secs(100));
        assert_eq!(roles(&mut s, Type::Suppress), [["*"]]);
        let idle = s.deadline.unwrap().at.saturating_duration_since(s.now);
        assert!(idle > secs(1), "{idle:?}");
        s.engine.scale("web", 1).unwrap();
        s.tick();
        s.sleep(secs(6));
        assert_eq!(roles(&mut s, Type::Revive), [["*"]]);
        update(&mut s, &["*", "old"]);
        s.sleep(secs(6));
        assert_eq!(roles(&mut s, Type::Revive), vec![["old"]; others as usize]);
        assert_eq!(roles(&mut s, Type::Suppress), vec![["old"]; 1 - others as usize]);
    }
}

// I12: what waits doesn't wait for a role to be silent for long, if the first subscription itself suppresses it.
#[test]
fn a_role_that_was_suppressed_from_the_start() {
    let client = scheduler::Config::new(Framework::new("test"), ["10.0.0.1:5050"]).unwrap();
    let mut s = Script::with(Config::new(client.suppressed_roles(["*"]).unwrap()), [service("web", 1)]);
    assert_eq!(s.subscribes.last().unwrap().suppressed_roles, ["*"]);
    s.sleep(secs(1));
    assert_eq!(s.take(Type::Revive).len(), 1);
}

// A master refuses a framework with a suppressed role that it hasn't got.
#[test]
fn a_role_that_was_given_up_is_not_suppressed_later() {
    let framework = Framework::new("test").roles(["*", "old"]);
    let client = scheduler::Config::new(framework, ["10.0.0.1:5050"]).unwrap().suppressed_roles(["old"]).unwrap();
    let mut s = Script::with(Config::new(client).on_removed(OnRemoved::FreshId), [service("web", 1)]);
    assert_eq!(s.subscribes.last().unwrap().suppressed_roles, ["old"]);
    s.engine.calls().update_framework(Framework::new("test").roles(["*"]).info().clone(), [""; 0], None).unwrap();
    s.tick();
    s.error("Framework has been removed");
    s.resubscribe();
    let last = s.subscribes.last().unwrap();
    assert_eq!((&last.framework_info.roles[..], last.suppressed_roles.len()), (&["*".to_string()][..], 0));
}

// ENGINE 2.5: that nothing was wanted before a disconnection says nothing of the time since.
#[test]
fn a_new_session_waits_before_it_suppresses() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.master = false;
    s.cut();
    s.sleep(secs(60));
    s.resubscribe();
    assert!(s.take(Type::Suppress).is_empty());
    s.sleep(secs(6));
    assert_eq!(s.take(Type::Suppress).len(), 1);
}

// ENGINE 2.5: what a user's own call has suppressed is revived if something waits for it, and what it has revived is
// suppressed again if nothing does.
#[test]
fn suppressed_and_revived_by_the_user() {
    let update = |s: &mut Script| {
        let info = Framework::new("test").info().clone();
        s.engine.calls().update_framework(info, ["*"], None).unwrap();
    };
    let suppress = |s: &mut Script| assert!(s.engine.calls().suppress(["*"]).is_ok());
    let suppress_all = |s: &mut Script| assert!(s.engine.calls().suppress([""; 0]).is_ok());
    let changes: [fn(&mut Script); 3] = [update, suppress, suppress_all];
    for change in changes {
        let mut s = Script::new([service("web", 1)]);
        s.sleep(secs(10));
        s.clear();
        change(&mut s);
        s.settle();
        s.take(Type::Suppress);
        s.sleep(secs(2));
        assert_eq!(s.take(Type::Revive).len(), 1);
        s.running(1);
        s.sleep(secs(10));
        assert_eq!(s.take(Type::Suppress).len(), 1);
        s.engine.calls().revive(["*"]).unwrap();
        s.settle();
        assert_eq!(s.take(Type::Revive).len(), 1);
        s.sleep(secs(10));
        assert_eq!(s.take(Type::Suppress).len(), 1, "nothing waits");
        change(&mut s);
        s.settle();
        s.clear();
        s.sleep(secs(100));
        assert!(s.calls.iter().all(|(_, call)| !matches!(call.r#type(), Type::Suppress | Type::Revive)));
    }
}
