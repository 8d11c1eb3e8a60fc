//! Teardown and leaving.

use super::*;

const REMOVED: Event = Event::Stopped { removed: true };
const LEFT: Event = Event::Stopped { removed: false };

fn teardown(s: &mut Script) -> ExchangeId {
    s.client.teardown();
    let (id, call) = s.call();
    assert_eq!(call.r#type(), call::Type::Teardown);
    id
}

// S47, S163
#[test]
fn answer_first_then_the_end_of_the_stream() {
    let mut s = Script::subscribed(config());
    let id = teardown(&mut s);
    assert_eq!(s.client.calls().reconcile_all(), Err(CallError::Ending));
    s.answer(id, 202, "");
    assert_eq!(s.event(), REMOVED);
    assert!(s.aborts.contains(&s.stream));
    s.ended();
}

// S163
#[test]
fn the_end_of_the_stream_first() {
    for sent in [None, Some(Sent::Maybe)] {
        let mut s = Script::subscribed(config());
        let id = teardown(&mut s);
        match sent {
            None => s.feed(Input::End { id: s.stream }),
            Some(sent) => s.fail(s.stream, sent),
        }
        s.quiet();
        s.answer(id, 202, "");
        assert_eq!(s.event(), REMOVED);
        s.ended();
    }
}

// S163: the 202 is lost; the master's "removed" is as good.
#[test]
fn a_lost_answer_is_settled_by_subscribing_again() {
    let mut s = Script::subscribed(config());
    let id = teardown(&mut s);
    s.feed(Input::End { id: s.stream });
    s.fail(id, Sent::Maybe);
    s.disconnected();
    s.sleep(secs(1));
    s.open_stream();
    s.record(&error("Framework has been removed"));
    assert_eq!(s.event(), REMOVED);
    s.ended();
}

#[test]
fn a_teardown_that_did_not_arrive_is_sent_again() {
    for (status, sent) in [(Some(400), None), (Some(503), None), (None, Some(Sent::No)), (None, Some(Sent::Maybe))] {
        let mut s = Script::subscribed(config());
        let id = teardown(&mut s);
        match (status, sent) {
            (Some(status), _) => s.answer(id, status, ""),
            (_, Some(sent)) => s.fail(id, sent),
            _ => {}
        }
        s.disconnected();
        s.sleep(secs(1));
        s.accept_subscription();
        let (id, call) = s.call();
        assert_eq!(call.r#type(), call::Type::Teardown);
        s.answer(id, 202, "");
        assert_eq!(s.event(), REMOVED);
    }
}

#[test]
fn without_an_answer_the_session_ends_after_the_timeout() {
    let mut s = Script::subscribed(config());
    teardown(&mut s);
    s.feed(Input::End { id: s.stream });
    s.sleep(secs(75));
    assert!(matches!(s.disconnected(), DisconnectReason::CallTimeout { kind: CallKind::Teardown, .. }));
}

#[test]
fn calls_given_before_go_first() {
    let mut s = Script::subscribed(config());
    s.client.calls().kill("t", None, None).expect("taken");
    s.client.teardown();
    s.client.teardown();
    let (kill, call) = s.call();
    assert_eq!(call.r#type(), call::Type::Kill);
    s.quiet();
    s.answer(kill, 202, "");
    s.event();
    assert_eq!(s.call().1.r#type(), call::Type::Teardown);
    s.quiet();
}

#[test]
fn as_a_raw_call_too() {
    let mut s = Script::subscribed(config());
    let call = Call { r#type: Some(call::Type::Teardown.into()), ..Default::default() };
    let id = s.client.calls().call(call).expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 202, "");
    assert!(matches!(s.outcome(id), Outcome::Accepted { .. }));
    assert_eq!(s.event(), REMOVED);
    s.ended();
}

// S163: a framework that is away is torn down when it is back.
#[test]
fn teardown_without_a_subscription() {
    let mut s = Script::subscribed(config());
    s.feed(Input::End { id: s.stream });
    s.disconnected();
    s.client.teardown();
    s.sleep(secs(1));
    s.accept_subscription();
    assert_eq!(s.call().1.r#type(), call::Type::Teardown);

    // Nothing to tear down.
    let mut s = Script::new(config());
    s.client.teardown();
    assert_eq!(s.event(), REMOVED);
    s.ended();

    // A SUBSCRIBE under way may make a framework: only when it has ended is it known that there is none.
    let mut s = Script::new(config());
    s.tick();
    let (request, _) = s.subscribe();
    s.client.teardown();
    s.quiet();
    s.fail(request.id(), Sent::No);
    s.disconnected();
    assert_eq!(s.event(), REMOVED);
    s.ended();
}

#[test]
fn another_instance_wins_over_a_teardown() {
    let mut s = Script::subscribed(config());
    teardown(&mut s);
    s.record(&error("Framework failed over"));
    assert_eq!(s.event(), Event::Fatal(FatalReason::FailedOver));
    s.ended();
}

// S166
#[test]
fn leaving_keeps_the_framework() {
    let mut s = Script::subscribed(config());
    let flying = s.client.calls().kill("t", None, None).expect("taken");
    let (exchange, _) = s.call();
    s.client.disconnect();
    assert_eq!(s.outcome(flying), Outcome::Unknown);
    assert_eq!(s.event(), LEFT);
    assert_eq!(s.aborts, [s.stream, exchange]);
    s.client.disconnect();
    s.client.teardown();
    s.ended();
    for started in [false, true] {
        let mut s = Script::new(config());
        if started {
            s.tick();
            let _ = s.subscribe();
        }
        s.client.disconnect();
        assert_eq!(s.event(), LEFT);
        s.ended();
    }
}
