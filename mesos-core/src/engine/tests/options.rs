//! Options of the npm original, and what stands for each here.

use super::*;
use crate::{OfferRef, ResourceProblem};
use event::Type as T;
use scheduler::Event as E;

// S17: without tasks the engine is a pure client that wants nothing.
#[test]
fn no_tasks_at_all() {
    let mut s = Script::new([]);
    let (first, second) = (s.make_offer("a1", BIG), s.make_offer("a2", BIG));
    let ids = vec![first.id.value.clone(), second.id.value.clone()];
    s.offers(vec![first, second]);
    assert_eq!(s.declines(), [(ids, 3600.0)]);
    s.sleep(secs(10));
    assert_eq!(s.take(Type::Suppress).len(), 1);
}

// S20: static ports need no switch; a spec without any gets dynamic ones only.
#[test]
fn static_ports_are_asked_for_by_the_spec() {
    let ports = |resources: Resources| service("web", 1).resources(resources.cpus(1.0).mem(32.0));
    let mut s = Script::new([ports(Resources::new().ports(2).static_ports([31500]))]);
    s.offer("a1", BIG);
    let accept = s.accept();
    assert_eq!(s.engine.find_task(&accept.ids()[0]).unwrap().ports, [31500, 31000]);
    let mut s = Script::new([ports(Resources::new().ports(2))]);
    s.offer("a1", BIG);
    let accept = s.accept();
    assert_eq!(s.engine.find_task(&accept.ids()[0]).unwrap().ports, [31000, 31001]);
}

// S21: serial numbers are there unless they are switched off.
#[test]
fn serial_numbers() {
    for (spec, name) in [(service("web", 1), "web-1"), (service("web", 1).serial_numbers(false), "web")] {
        let mut s = Script::new([spec]);
        s.offer("a1", BIG);
        assert_eq!(s.accept().tasks[0].name, name);
    }
}

// S25, S28, S29: a value is made of values; zero is zero and never falls back to a default; and an engine is ready as
// soon as it is made, before any input.
#[test]
fn an_engine_is_made_of_values() {
    let zero = service("none", 0).launch_timeout(Duration::ZERO).unreachable(Duration::ZERO, Duration::ZERO);
    let framework = Framework::new("test").failover_timeout(Duration::ZERO);
    let mut s = Script::unstarted(client(framework), [zero]);
    assert!(s.subscribes.is_empty());
    s.start();
    assert_eq!(s.subscribes[0].framework_info.failover_timeout, Some(0.0));
    assert_eq!((s.spec("none").wanted, s.spec("none").satisfied), (0, true));
}

// S37, S41, W19, W27: nothing is started before every spec is sound, and all that is wrong is said at once.
#[test]
fn all_faults_of_all_specs() {
    let ports = Resources::new().cpus(1.0).ports(1).static_ports([80, 81]);
    let specs = [
        TaskSpec::new("one").resources(ports),
        service("fine", 1),
        service("two", 1).resources(Resources::new()).max_failures(Some(0)),
    ];
    let Err(RecoverError::Specs(errors)) = Engine::new(config(), specs, [], 1) else { panic!("faults") };
    let faults: Vec<_> = errors.iter().map(|error| (error.name(), error.problems())).collect();
    let too_many = ResourceProblem::TooManyStaticPorts { ports: 1, static_ports: 2 };
    assert_eq!(
        faults,
        [
            ("one", &[SpecProblem::NoCommand, too_many.into()][..]),
            ("two", &[SpecProblem::NoResources, SpecProblem::MaxFailures])
        ]
    );
    let text = RecoverError::Specs(errors.clone()).to_string();
    assert!(errors.iter().all(|error| text.contains(&error.to_string())), "{text}");
}

fn message() -> event::Message {
    let executor_id = v1::ExecutorId { value: "other".into() };
    event::Message { agent_id: "a1".into(), executor_id, data: Default::default() }
}

// S18, S19: what were handlers by name is one event type here, matched by the compiler: a name that isn't one doesn't
// compile. All that the protocol has to say comes along if asked for.
#[test]
fn every_event_of_the_protocol_can_be_seen() {
    type Case = (fn(&mut Script), fn(&[E]) -> bool);
    let cases: [Case; 14] = [
        (|s| drop(s.offer("a1", BIG)), |told| matches!(told, [E::Offers(_), E::CallDone { .. }])),
        (|s| s.rescind("o9"), |told| matches!(told, [E::Rescind(id)] if id.value == "o9")),
        (
            |s| s.inverse_offers(vec![inverse_offer("i1", "a1")]),
            |told| matches!(told, [E::InverseOffers(all), E::CallDone { .. }] if *all == [inverse_offer("i1", "a1")]),
        ),
        (|s| s.rescind_inverse("i1"), |told| matches!(told, [E::RescindInverse(id)] if id.value == "i1")),
        (
            |s| s.update("other", TaskFinished),
            |told| matches!(told, [E::Update(update), E::CallDone { .. }] if update.task_id() == "other"),
        ),
        (
            |s| s.failure("a1", Some("e")),
            |told| matches!(told, [E::Failure(f)] if f.executor_id.as_ref().is_some_and(|id| id.value == "e")),
        ),
        (
            |s| s.send(&v1::scheduler::Event { message: Some(message()), ..event_of(T::Message) }),
            |told| *told == [E::Message(message())],
        ),
        (
            |s| {
                let update_operation_status = Some(event::UpdateOperationStatus::default());
                s.send(&v1::scheduler::Event { update_operation_status, ..event_of(T::UpdateOperationStatus) });
            },
            |told| *told == [E::OperationUpdate(v1::OperationStatus::default())],
        ),
        (|s| s.send(&event_of(T::Heartbeat)), |told| *told == [E::Heartbeat]),
        (|s| s.send(&event_of(T::Unknown)), |told| matches!(told, [E::Unknown { .. }])),
        (
            |s| s.send(&event_of(T::Rescind)),
            |told| matches!(told, [E::Malformed { path, .. }] if path == "rescind: missing"),
        ),
        (Script::cut, |told| matches!(told, [E::Disconnected { .. }])),
        (Script::resubscribe, |told| matches!(told, [E::StreamOpened { .. }, E::Subscribed(_), E::CallDone { .. }])),
        (|s| s.error("no"), |told| matches!(told, [E::Fatal(_)])),
    ];
    let mut s = Script::with(config().protocol_events(true), []);
    for (step, expected) in cases {
        step(&mut s);
        let told = core::mem::take(&mut s.events).into_iter().filter_map(|event| match event {
            Event::Protocol(event) => Some(event),
            _ => None,
        });
        let told: Vec<E> = told.collect();
        assert!(expected(&told), "{told:?}");
    }
}

// S110: when offers are told as they came, the engine has dealt with them.
#[test]
fn offers_are_told_once_they_are_dealt_with() {
    let mut s = Script::with(config().protocol_events(true), [service("web", 1)]);
    let sent = ["a1", "a2"].map(|agent| v1::Offer { executor_ids: vec!["e".into()], ..s.make_offer(agent, BIG) });
    sent.iter().for_each(|offer| s.laws.on_offer(offer));
    let offers = Some(event::Offers { offers: sent.to_vec() });
    s.record(&v1::scheduler::Event { offers, ..event_of(T::Offers) });
    let Output::Event(Event::Protocol(E::Offers(told))) = s.engine.poll_output() else { panic!("not the offers") };
    assert!(told.iter().map(OfferRef::to_owned).eq(sent));
    let task = s.engine.tasks().next().expect("a task");
    assert_eq!((task.state, task.agent_id.as_str(), s.spec("web").waiting), (State::Prepared, "a1", 0));
    s.settle();
    assert_eq!((s.accept().offers, s.laws.unanswered()), (vec!["o1".to_string()], 0));
}

// S109, S110
#[test]
fn offers_can_be_left_to_the_user() {
    let mut s = Script::with(config().own_offers(true), [service("web", 1)]);
    let offer = s.make_offer("a1", BIG);
    let id = offer.id.value.clone();
    s.offers(vec![offer.clone()]);
    assert!(s.accepts().is_empty() && s.declines().is_empty());
    let theirs = |event: &Event| match event {
        Event::Offers(offers) => offers.iter().map(OfferRef::to_owned).eq([offer.clone()]),
        _ => false,
    };
    assert_eq!(s.told(theirs), 1);
    s.engine.calls().decline([&id], None).unwrap();
    s.settle();
    assert_eq!(s.take(Type::Decline).len(), 1);
}

// What waits, then, waits for nothing that the engine would do.
#[test]
fn offers_of_the_user_are_nothing_to_wake_for() {
    let mut s = Script::with(config().own_offers(true), [service("web", 1)]);
    s.sleep(secs(60));
    assert_ne!(s.deadline.unwrap().what, "demand");
}

// They come when they can be answered, unless they are no longer good by then.
#[test]
fn offers_of_the_user_can_be_answered() {
    let told = |s: &Script| s.told(|event| matches!(event, Event::Offers(_)));
    let mut s = Script::unstarted(config().own_offers(true), []);
    s.disk = Disk::Hangs;
    s.start();
    let (first, second) = (s.offer("a1", BIG), s.offer("a2", BIG));
    s.rescind(&first);
    assert_eq!(told(&s), 0);
    s.disk = Disk::Writes;
    s.settle();
    let position = |s: &Script, sort: fn(&Event) -> bool| s.events.iter().position(sort).expect("told");
    let subscribed: fn(&Event) -> bool = |event| matches!(event, Event::Subscribed(_));
    let offers: fn(&Event) -> bool = |event| matches!(event, Event::Offers(_));
    assert!(position(&s, subscribed) < position(&s, offers));
    let theirs = |event: &Event| matches!(event, Event::Offers(offers) if offers.ids().eq([second.as_str()]));
    assert_eq!((told(&s), s.told(theirs)), (1, 1));
    assert!(s.engine.calls().decline([&second], None).is_ok());
    s.settle();
    // Nor are those told of a session that is over; and in one piece with the next one they come after it.
    s.master = false;
    s.cut();
    s.clear();
    while s.subscription.is_none() {
        s.sleep(millis(500));
    }
    let request = s.subscription.take().expect("a request");
    s.accept_subscription(&request);
    let offer = s.make_offer("a1", BIG);
    s.laws.on_offer(&offer);
    let third = event::Offers { offers: vec![offer] };
    s.record(&v1::scheduler::Event { offers: Some(third), ..event_of(event::Type::Offers) });
    s.settle();
    assert!(position(&s, subscribed) < position(&s, offers));
}

// An offer that was told is told to be no longer good; but not one that nobody has heard of.
#[test]
fn offers_of_the_user_can_be_rescinded() {
    let mut s = Script::with(config().own_offers(true), []);
    let id = s.offer("a1", BIG);
    s.rescind(&id);
    assert_eq!(s.told(|event| matches!(event, Event::Rescinded { offer_id } if *offer_id == id)), 1);
    let mut s = Script::unstarted(config().own_offers(true), []);
    s.disk = Disk::Hangs;
    s.start();
    let id = s.offer("a1", BIG);
    s.rescind(&id);
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.told(|event| matches!(event, Event::Offers(_) | Event::Rescinded { .. })), 0);
}

// S111: every receipt is the user's to acknowledge, once it has been dealt with.
#[test]
fn acknowledgements_can_be_left_to_the_user() {
    let mut s = Script::with(config().manual_acknowledgement(true), [service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    assert!(s.acks().is_empty());
    let receipt = s.events.iter().find_map(|event| match event {
        Event::Unacknowledged(receipt) => Some(receipt.clone()),
        _ => None,
    });
    s.engine.acknowledge(receipt.expect("a receipt"));
    s.settle();
    assert_eq!(s.acks().len(), 1);
}

// S108: a placement of one's own.
#[test]
fn a_policy_chooses_among_agents() {
    #[derive(Debug)]
    struct Emptiest;
    impl OfferPolicy for Emptiest {
        fn rate(&mut self, place: &Place<'_>) -> Option<i64> {
            assert_eq!(
                (place.spec(), place.index(), place.value(&Field::Hostname)),
                ("web", 0, Some(place.hostname()))
            );
            (place.agent_id() != "a3").then(|| (place.free("cpus") * 1000.0) as i64)
        }
    }
    let mut s = Script::new([service("web", 1)]);
    s.engine.set_offer_policy(Emptiest);
    let offers = [("a1", "cpus:2;mem:64"), ("a2", "cpus:4;mem:64"), ("a3", "cpus:9;mem:64")];
    let offers = offers.map(|(agent, resources)| s.make_offer(agent, resources)).to_vec();
    s.offers(offers);
    assert_eq!(s.accept().offers, ["o2"]);
}

// S131, W53: what concerns nothing of ours does no harm, and asks for nothing.
#[test]
fn events_about_others() {
    let mut s = Script::with(config().protocol_events(true), [service("web", 1)]);
    let task = s.running(1).remove(0);
    s.rescind("other");
    s.rescind_inverse("other");
    s.failure("a9", None);
    s.failure("a9", Some("other"));
    s.send(&v1::scheduler::Event { message: Some(message()), ..event_of(T::Message) });
    s.send(&event_of(T::Heartbeat));
    let subscribed = event::Subscribed { framework_id: "f-1".into(), ..Default::default() };
    s.send(&v1::scheduler::Event { subscribed: Some(subscribed), ..event_of(T::Subscribed) });
    assert!(s.calls.is_empty());
    assert_eq!(s.told(|event| matches!(event, Event::Protocol(_))), 7);
    assert_eq!((s.state(&task), s.spec("web").satisfied), (Some(State::Running), true));
    // A new subscription is followed by the question about what is there, and by no other call.
    s.cut();
    s.clear();
    s.resubscribe();
    assert_eq!(s.asked(), [task]);
    assert!(s.calls.is_empty(), "{:?}", s.calls);
    // S139: an ERROR is told; nobody is left without his process, and nothing is sent any more.
    s.error("something else");
    assert!(matches!(s.events.back(), Some(Event::Fatal(_))));
    s.sleep(secs(3600));
    assert!(s.calls.is_empty() && s.subscription.is_none() && s.stream.is_none() && s.deadline.is_none());
}

// S132: operations are the user's; what the engine sees of them is acknowledged, once for each receipt.
#[test]
fn operation_statuses_are_acknowledged() {
    let mut s = Script::with(config().protocol_events(true), []);
    let status = v1::OperationStatus {
        operation_id: Some(v1::OperationId { value: "op".into() }),
        state: v1::OperationState::OperationFinished.into(),
        uuid: Some(v1::Uuid { value: vec![0x4b; 16].into() }),
        agent_id: Some("a1".into()),
        ..Default::default()
    };
    for (receipts, status) in [(1, status.clone()), (0, v1::OperationStatus { uuid: None, ..status })] {
        let update_operation_status = Some(event::UpdateOperationStatus { status: status.clone() });
        s.send(&v1::scheduler::Event { update_operation_status, ..event_of(event::Type::UpdateOperationStatus) });
        let told =
            |event: &Event| matches!(event, Event::Protocol(scheduler::Event::OperationUpdate(s)) if *s == status);
        assert_eq!(s.told(told), 1);
        let calls = s.take(Type::AcknowledgeOperationStatus);
        assert_eq!(calls.len(), receipts);
        for call in calls {
            let call = call.acknowledge_operation_status.unwrap();
            assert_eq!((call.operation_id.value.as_str(), &call.uuid[..]), ("op", &[0x4b; 16][..]));
        }
    }
}

// S133, W9: events of a later Mesos are told as they are, and the stream goes on.
#[test]
fn unknown_events_are_passed_on() {
    let mut s = Script::with(config().protocol_events(true), [service("web", 1)]);
    s.send(&v1::scheduler::Event { r#type: Some(99), ..Default::default() });
    let unknown =
        |event: &Event| matches!(event, Event::Protocol(scheduler::Event::Unknown { record }) if !record.is_empty());
    assert_eq!(s.told(unknown), 1);
    assert_eq!(s.launch("a1", BIG).len(), 1);
}
