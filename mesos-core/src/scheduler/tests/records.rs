//! What comes on the stream.

use super::*;
use crate::recordio::DecodeError;
use prost::bytes::Bytes;

fn raw(s: &mut Script, record: &[u8]) {
    let mut bytes = Vec::new();
    recordio::encode(record, &mut bytes);
    s.feed(Input::Body { id: s.stream, data: &bytes });
}

// S136, S137, W61
#[test]
fn every_kind_of_event() {
    use event::Type;
    let id = |id: &str| v1::OfferId { value: id.to_string() };
    let agent = v1::AgentId { value: "s".to_string() };
    let mut s = Script::subscribed(config());

    s.record(&offers(&["o1", "o2"]));
    let Event::Offers(got) = s.event() else { panic!("offers") };
    assert_eq!(got.ids().collect::<Vec<_>>(), ["o1", "o2"]);

    s.record(&update(Some(&UUID)));
    let Event::Update(got) = s.event() else { panic!("an update") };
    assert_eq!((got.task_id(), got.agent_id(), got.uuid()), ("t", Some("s"), Some(&UUID[..])));

    let rescind = Some(event::Rescind { offer_id: id("o1") });
    s.record(&v1::scheduler::Event { rescind, ..event(Type::Rescind) });
    assert_eq!(s.event(), Event::Rescind(id("o1")));

    let rescind_inverse_offer = Some(event::RescindInverseOffer { inverse_offer_id: id("i1") });
    s.record(&v1::scheduler::Event { rescind_inverse_offer, ..event(Type::RescindInverseOffer) });
    assert_eq!(s.event(), Event::RescindInverse(id("i1")));

    let inverse = v1::InverseOffer { id: id("i1"), agent_id: Some(agent.clone()), ..Default::default() };
    let inverse_offers = Some(event::InverseOffers { inverse_offers: [inverse.clone()].into() });
    s.record(&v1::scheduler::Event { inverse_offers, ..event(Type::InverseOffers) });
    assert_eq!(s.event(), Event::InverseOffers([inverse].into()));

    let failure = event::Failure { agent_id: Some(agent.clone()), executor_id: None, status: Some(9) };
    s.record(&v1::scheduler::Event { failure: Some(failure.clone()), ..event(Type::Failure) });
    assert_eq!(s.event(), Event::Failure(failure));

    let executor_id = v1::ExecutorId { value: "e".to_string() };
    let message = event::Message { agent_id: agent, executor_id, data: Bytes::from_static(b"\xff\0") };
    s.record(&v1::scheduler::Event { message: Some(message.clone()), ..event(Type::Message) });
    assert_eq!(s.event(), Event::Message(message));

    let status = v1::OperationStatus { state: v1::OperationState::OperationFinished.into(), ..Default::default() };
    let update_operation_status = Some(event::UpdateOperationStatus { status: status.clone() });
    s.record(&v1::scheduler::Event { update_operation_status, ..event(Type::UpdateOperationStatus) });
    assert_eq!(s.event(), Event::OperationUpdate(status));
    s.quiet();
}

// S155, S156, W5
#[test]
fn any_cut_of_the_stream_gives_the_same_events() {
    let mut stream = Vec::new();
    for e in [subscribed("f-1", Some(15.0)), heartbeat(), offers(&["o1"]), update(None), heartbeat()] {
        stream.extend(framed(&e));
    }
    for size in 1..=stream.len() {
        let mut s = Script::new(config());
        s.tick();
        s.open_stream();
        for chunk in stream.chunks(size) {
            s.feed(Input::Body { id: s.stream, data: chunk });
        }
        assert!(matches!(s.event(), Event::Subscribed(_)), "chunks of {size}");
        assert_eq!(s.event(), Event::Heartbeat);
        assert!(matches!(s.event(), Event::Offers(_)));
        assert!(matches!(s.event(), Event::Update(_)));
        assert_eq!(s.event(), Event::Heartbeat);
        s.quiet();
    }
}

// S157, W6
#[test]
fn text_may_be_cut_within_a_character() {
    let text = "ä€😀".repeat(3);
    let message =
        v1::scheduler::Event { error: Some(event::Error { message: text.clone() }), ..event(event::Type::Error) };
    let mut s = Script::subscribed(config());
    for byte in framed(&message).chunks(1) {
        s.feed(Input::Body { id: s.stream, data: byte });
    }
    assert_eq!(s.event(), Event::Fatal(FatalReason::Other(text)));
}

// S158, W7
#[test]
fn a_fault_in_the_framing_ends_the_session() {
    for (bytes, fault) in [
        (&b"x"[..], DecodeError::BadLength(b'x')),
        (b"\n", DecodeError::BadLength(b'\n')),
        (b"1000001\n", DecodeError::TooLarge { len: 1_000_001, limit: 1_000_000 }),
    ] {
        let mut s = Script::subscribed(config().record_limit(1_000_000));
        let mut stream = framed(&heartbeat());
        stream.extend(bytes);
        s.feed(Input::Body { id: s.stream, data: &stream });
        assert_eq!(s.event(), Event::Heartbeat, "what was whole before it still counts");
        assert_eq!(s.disconnected(), DisconnectReason::Framing(fault));
        assert_eq!(s.aborts, [s.stream]);
        s.sleep(secs(1));
        s.accept_subscription();
    }
}

// S150
#[test]
fn a_stream_that_ends_within_a_record_is_truncated() {
    let mut s = Script::subscribed(config());
    s.feed(Input::Body { id: s.stream, data: b"20\nabc" });
    s.feed(Input::End { id: s.stream });
    assert_eq!(s.disconnected(), DisconnectReason::Framing(DecodeError::Truncated));
    assert_eq!(s.aborts, []);
}

// S159, W8: what can't be used is told apart, and what comes after it is not lost.
#[test]
fn what_is_no_event_is_told_and_the_stream_goes_on() {
    let mut s = Script::subscribed(config());
    for record in [&b""[..], b"\x08\x63"] {
        raw(&mut s, record);
        assert_eq!(s.event(), Event::Unknown { record: Bytes::copy_from_slice(record) });
    }
    for record in [&b"\xff\xff"[..], b"{}", b"\x08\x04", b"\x08\x04\x2a\x02\x0a\x00"] {
        raw(&mut s, record);
        match s.event() {
            Event::Malformed { record: told, path } => {
                assert_eq!(told, record);
                assert!(!path.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
    s.record(&subscribed("f-2", None));
    assert!(matches!(s.event(), Event::Unknown { .. }), "a second SUBSCRIBED");
    s.record(&heartbeat());
    assert_eq!(s.event(), Event::Heartbeat);
    s.quiet();
    assert_eq!(s.client.framework().id.as_ref().map(|id| id.value.as_str()), Some("f-1"));
}

#[test]
fn unknown_events_are_life() {
    let mut s = Script::subscribed(config());
    for _ in 0..10 {
        s.sleep(secs(60));
        raw(&mut s, b"\x08\x63");
        s.event();
    }
    s.quiet();
}

// A bad offer doesn't spoil the good ones, and is given back.
#[test]
fn each_offer_stands_alone() {
    let mut s = Script::subscribed(config());
    let mut event = offers(&["o1", "o2"]);
    let bad = &mut event.offers.as_mut().expect("offers").offers[0];
    // A resource without the type that every resource must have.
    let broken = v1::Resource { name: "cpus".to_string(), r#type: 99, ..Default::default() };
    bad.resources.push(broken);
    s.record(&event);
    assert!(matches!(s.event(), Event::Malformed { .. }));
    let Event::Offers(good) = s.event() else { panic!("offers") };
    assert_eq!(good.ids().collect::<Vec<_>>(), ["o2"]);
    let (exchange, call) = s.call();
    assert_eq!(call.decline.expect("DECLINE").offer_ids, [v1::OfferId { value: "o1".to_string() }]);
    s.answer(exchange, 202, "");
    s.quiet();
}

#[test]
fn the_first_event_decides() {
    for (first, told) in [(heartbeat(), 0), (offers(&["o"]), 0), (event(event::Type::Unknown), 1)] {
        let mut s = Script::new(two_masters());
        s.tick();
        s.open_stream();
        s.record(&first);
        for _ in 0..told {
            s.event();
        }
        assert_eq!(s.disconnected(), DisconnectReason::FirstEvent);
        s.sleep(secs(1));
        assert_eq!(s.subscribe().0.endpoint().authority(), "10.0.0.2:5050");
    }
}

// S139, S164
#[test]
fn errors_are_final() {
    for (text, reason) in [
        ("Framework failed over", FatalReason::FailedOver),
        ("Framework has been removed", FatalReason::Removed),
        ("Suppressed role 'x' ...", FatalReason::Other("Suppressed role 'x' ...".to_string())),
        ("", FatalReason::Other(String::new())),
    ] {
        for first in [true, false] {
            let mut s = if first { Script::new(config()) } else { Script::subscribed(config()) };
            if first {
                s.tick();
                s.open_stream();
            }
            s.record(&error(text));
            assert_eq!(s.event(), Event::Fatal(reason.clone()), "{text}");
            assert_eq!(s.aborts, [s.stream]);
            s.ended();
        }
    }
}

#[test]
fn records_before_the_end_count_even_when_fed_together() {
    let mut s = Script::subscribed(config());
    let mut bytes = framed(&heartbeat());
    bytes.extend(framed(&error("Framework failed over")));
    let id = s.stream;
    s.client.handle_input(s.now, Input::Body { id, data: &bytes });
    s.client.handle_input(s.now, Input::End { id });
    assert_eq!(s.event(), Event::Heartbeat);
    assert_eq!(s.event(), Event::Fatal(FatalReason::FailedOver));
    s.ended();
}
