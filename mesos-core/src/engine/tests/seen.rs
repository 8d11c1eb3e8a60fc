//! What an engine lets one see (ENGINE section 10).

use super::world::World;
use super::*;
use RolloutStage::{Done, Paused, Progress, Stalled, Started};

/// The rollouts that were told since nobody has looked, with how many instances are updated.
fn stages(s: &mut Script) -> Vec<(RolloutStage, u32)> {
    let events = core::mem::take(&mut s.events).into_iter();
    events
        .filter_map(|event| match event {
            Event::Rollout { spec, stage, updated, wanted: 2, .. } if spec == "web" => Some((stage, updated)),
            _ => None,
        })
        .collect()
}

fn settled() -> (Script, World) {
    let mut s = Script::new([service("web", 2)]);
    let mut world = World::new(["a1", "a2"]);
    world.play(&mut s, secs(5));
    assert_eq!(stages(&mut s), [], "a first launch isn't one");
    (s, world)
}

fn apply(s: &mut Script, variable: &str) {
    s.specs = vec![service("web", 2).env(variable, "1")];
    s.engine.apply(s.specs[0].clone()).unwrap();
    s.tick();
}

#[test]
fn a_rollout_from_start_to_end() {
    let (mut s, mut world) = settled();
    apply(&mut s, "NEW");
    world.play(&mut s, secs(60));
    assert_eq!(stages(&mut s), [(Started, 0), (Progress, 1), (Progress, 2), (Done, 2)]);
    // As often as there is one, also by command; and a crash in the middle begins with what is there.
    s.engine.restart("web").unwrap();
    s.tick();
    world.crash(&mut s);
    world.play(&mut s, secs(60));
    let stages = stages(&mut s);
    assert!(stages.starts_with(&[(Started, 0)]) && stages.ends_with(&[(Done, 2)]), "{stages:?}");
    world.play(&mut s, secs(3600));
    assert_eq!(self::stages(&mut s), []);
}

// ENGINE 4.3: no newly ready instance for 600 s, told once; the next revision takes over at once.
#[test]
fn a_rollout_that_leads_nowhere() {
    let (mut s, mut world) = settled();
    apply(&mut s, "BAD");
    world.play(&mut s, secs(590));
    assert_eq!(stages(&mut s), [(Started, 0)]);
    world.play(&mut s, secs(20));
    assert_eq!(stages(&mut s), [(Stalled, 0)]);
    s.engine.pause("web").unwrap();
    world.play(&mut s, secs(1000));
    assert_eq!(stages(&mut s), [(Paused, 0)]);
    apply(&mut s, "GOOD");
    s.engine.resume("web").unwrap();
    world.play(&mut s, secs(60));
    let stages = stages(&mut s);
    assert_eq!(stages[..2], [(Paused, 0), (Started, 0)]);
    assert_eq!(stages.last(), Some(&(Done, 2)));
    assert!(!stages.iter().any(|(stage, _)| *stage == Stalled));
}

#[test]
fn a_removed_spec_rolls_no_further() {
    let (mut s, mut world) = settled();
    apply(&mut s, "BAD");
    s.engine.remove("web").unwrap();
    world.play(&mut s, secs(2000));
    assert_eq!(stages(&mut s), [(Started, 0)]);
    assert_eq!(s.engine.specs().count(), 0);
}

/// The explanations that were told since nobody has looked.
fn explanations(s: &mut Script) -> Vec<Explanation> {
    let events = core::mem::take(&mut s.events).into_iter();
    events
        .filter_map(|event| match event {
            Event::Unplaced { explanation, .. } => Some(explanation),
            _ => None,
        })
        .collect()
}

// ENGINE 7, 44, L6: why something isn't placed, when it is asked and once a minute; gone with the demand.
#[test]
fn unplaced() {
    let mut s = Script::new([service("web", 3).unique("@hostname").backoff(secs(20), secs(20))]);
    let explanation = s.engine.explain("web").unwrap();
    assert_eq!((explanation.waiting, explanation.obstacles.len()), (3, 0));
    assert_eq!(explanation.to_string(), "3 wait for 0 s: nothing was offered");
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    s.offer("a1", BIG);
    s.offer("a2", "cpus:1;mem:31");
    let obstacles = s.engine.explain("web").unwrap().obstacles;
    assert_eq!(
        obstacles,
        BTreeMap::from([(Obstacle::Constraint(Field::Hostname), 2), (Obstacle::Resource("mem".into()), 1)])
    );
    s.sleep(secs(59));
    assert_eq!(explanations(&mut s), []);
    s.sleep(secs(2));
    let told = explanations(&mut s);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].waiting, told[0].during, &told[0].obstacles), (2, secs(60), &obstacles));
    assert_eq!(told[0].lacking.as_deref(), Some("mem: 32 asked, 31 available"));
    assert_eq!(told[0].to_string(), "2 wait for 60 s: constraint on @hostname (2 times), too little mem (once)");
    s.sleep(secs(60));
    assert_eq!(explanations(&mut s).len(), 1);
    assert_eq!((s.launch("a2", BIG).len(), s.launch("a3", BIG).len()), (1, 1));
    assert_eq!(s.engine.explain("web"), None);
    s.sleep(secs(200));
    assert_eq!(explanations(&mut s), []);
    // What is held back after an end isn't meant, nor what happens while nobody is subscribed.
    s.update(&task, TaskFailed);
    s.sleep(secs(10));
    assert_eq!(s.engine.explain("web"), None);
    s.master = false;
    s.cut();
    s.sleep(secs(120));
    assert_eq!(explanations(&mut s), []);
    assert!(s.engine.explain("web").is_some() && s.engine.explain("other").is_none());
    s.resubscribe();
    s.sleep(secs(61));
    assert_eq!(explanations(&mut s).len(), 1);
}

// ENGINE 2.6: each of the other reasons.
#[test]
fn obstacles() {
    #[derive(Debug)]
    struct Never;
    impl OfferPolicy for Never {
        fn rate(&mut self, _: &Place<'_>) -> Option<i64> {
            None
        }
    }
    let only = |s: &Script| {
        let obstacles: Vec<Obstacle> = s.engine.explain("web").unwrap().obstacles.into_keys().collect();
        assert_eq!(obstacles.len(), 1, "{obstacles:?}");
        obstacles[0].clone()
    };
    let mut s = Script::with(config().max_launching_per_agent(1), [service("web", 2)]);
    s.offer("a1", BIG);
    assert_eq!(only(&s), Obstacle::Gated);
    let mut s = Script::new([service("web", 1).resources(Resources::new().cpus(1.0).static_ports([80]).ports(1))]);
    s.offer("a1", BIG);
    assert_eq!(only(&s), Obstacle::Resource("ports".into()));
    let mut s = Script::new([service("web", 1)]);
    s.engine.set_offer_policy(Never);
    s.offer("a1", BIG);
    assert_eq!(only(&s), Obstacle::Policy);
    assert!(s.accepts().is_empty());
    // Its former task isn't answered for in this session.
    let surging = || service("web", 1).max_surge(Amount::Count(1));
    let mut s = Script::new([surging()]);
    s.running(1);
    s.cut();
    s.resubscribe();
    s.engine.apply(surging().env("NEXT", "1")).unwrap();
    s.tick();
    s.offer("a1", BIG);
    assert_eq!(only(&s), Obstacle::Gated);
    assert!(s.accepts().is_empty());
    // An agent that has failed isn't going away.
    let mut s = Script::new([service("web", 1)]);
    s.cut();
    s.disk = Disk::Hangs;
    s.resubscribe();
    s.offer("a1", BIG);
    s.failure("a1", None);
    assert_eq!(s.declines(), []);
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(only(&s), Obstacle::Gated);
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 5.0)]);
}

// ENGINE 7: what an inverse offer says holds until it is rescinded, whether or not there are offers.
#[test]
fn an_inverse_offer_is_rescinded() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let tasks: Vec<String> = ["a1", "a2"].into_iter().flat_map(|agent| s.launch(agent, "cpus:1;mem:32")).collect();
    tasks.iter().for_each(|task| s.update(task, TaskRunning));
    s.inverse_offers(vec![inverse_offer("i1", "a1"), inverse_offer("i2", "a2")]);
    s.rescind_inverse("i1");
    s.rescind_inverse("other");
    // Otherwise the highest number went.
    assert_eq!((s.engine.closing_for("a1"), s.engine.closing_for("a2").is_some()), (None, true));
    // One that nobody has answered so far is forgotten.
    s.cut();
    s.disk = Disk::Hangs;
    s.resubscribe();
    s.clear();
    s.inverse_offers(vec![inverse_offer("i3", "a1")]);
    s.rescind_inverse("i3");
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.take(Type::DeclineInverseOffers).is_empty());
    assert_eq!(s.engine.closing_for("a1"), None);
}

// An agent that is known already takes nobody's place.
#[test]
fn as_many_closing_agents_as_are_remembered() {
    let mut s = Script::new([]);
    let mut note = |n: u32| {
        s.engine.note_unavailability(&format!("a{n}"), None, Some((1, None)));
        s.engine.closings.len()
    };
    for n in 0..10_000 {
        note(n);
    }
    assert_eq!((note(5), note(9999), note(10_000)), (10_000, 10_000, 10_000));
    s.settle();
    assert_eq!(s.told(|event| matches!(event, Event::AgentClosing { .. })), 10_001);
}

// ENGINE section 7, 55, I10: told once for each time that it is to be away, by an offer or by an inverse one; and who is
// there goes first when there are to be fewer (4.4).
#[test]
fn agent_closing() {
    let mut s = Script::new([service("web", 2).scalable(true)]);
    let first = s.launch("a1", "cpus:1;mem:32").remove(0);
    let second = s.launch("a2", "cpus:1;mem:32").remove(0);
    s.update(&first, TaskRunning);
    s.update(&second, TaskRunning);
    let unavailability = |s: &Script, from: u64| {
        let start = secs(ORIGIN) + s.now.since_origin() + secs(from);
        v1::Unavailability {
            start: v1::TimeInfo { nanoseconds: start.as_nanos() as i64 },
            duration: Some(v1::DurationInfo { nanoseconds: 600_000_000_000 }),
        }
    };
    let far = unavailability(&s, 1000);
    let near = unavailability(&s, 300);
    let offer = |s: &mut Script, unavailability: v1::Unavailability| {
        let offer = v1::Offer { unavailability: Some(unavailability), ..s.make_offer("a1", BIG) };
        s.offers(vec![offer]);
        let told = core::mem::take(&mut s.events).into_iter().filter_map(|event| match event {
            Event::AgentClosing { agent_id, starts_in, during } => Some((agent_id, starts_in.as_secs(), during)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(offer(&mut s, far), []);
    assert_eq!(offer(&mut s, near), [("a1".to_string(), 300, Some(secs(600)))]);
    assert_eq!(offer(&mut s, near), []);
    // The highest number would go otherwise.
    s.engine.scale("web", 1).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*first]);
    s.update(&first, TaskKilled);
    // Called off: the next offer says nothing of it.
    s.offer("a1", BIG);
    s.engine.scale("web", 2).unwrap();
    s.tick();
    let first = s.launch("a1", BIG).remove(0);
    s.update(&first, TaskRunning);
    s.clear();
    let unavailability = unavailability(&s, 10);
    s.inverse_offers(vec![v1::InverseOffer { unavailability, ..inverse_offer("i1", "a2") }]);
    assert_eq!(s.told(|event| matches!(event, Event::AgentClosing { agent_id, .. } if agent_id == "a2")), 1);
    s.engine.scale("web", 1).unwrap();
    s.tick();
    assert_eq!(s.kills(), [second]);
}

// S39: each instance with its tasks, how it waits, and how its last task ended; also after a crash.
#[test]
fn instances_one_by_one() {
    let mut s = Script::new([service("web", 2), service("job", 1).job().max_failures(Some(1))]);
    s.offer("a1", BIG);
    let tasks = s.accept().ids();
    tasks.iter().for_each(|task| s.update(task, TaskRunning));
    let of = |name: &str| tasks.iter().find(|task| task.contains(name)).unwrap().clone();
    s.sleep(secs(7));
    s.status(&of("web-1"), TaskFailed, |status| status.message = Some("no".into()));
    s.update(&of("job-0"), TaskFailed);
    s.sleep(millis(500));
    for _ in 0..2 {
        let web: Vec<InstanceStatus> = s.engine.instances("web").collect();
        assert_eq!(web.len(), 2);
        assert_eq!((web[0].index, web[0].tasks.len(), web[0].waits, &web[0].last_end), (0, 1, None, &None));
        assert!(web[1].waits.is_some_and(|waits| !waits.is_zero() && waits <= millis(600)), "{:?}", web[1]);
        let end = web[1].last_end.clone().unwrap();
        assert_eq!((end.class, end.state, end.message.as_deref()), (EndClass::Fault, Some(TaskFailed), Some("no")));
        assert_eq!((end.ran_for, web[1].faults, web[1].wanted), (Some(secs(7)), 1, true));
        let job = s.engine.instances("job").next().unwrap();
        assert_eq!((job.held, job.finished, job.waits), (Some(Held::Exhausted), false, None));
        s.crash();
    }
    assert_eq!(s.engine.instances("nothing").count(), 0);
}
