//! The watchdog.

use super::*;

// S12, S146, W10
#[test]
fn silence_is_noticed_from_the_request_on() {
    let mut s = Script::new(config());
    s.tick();
    let (request, _) = s.subscribe();
    s.sleep(millis(74_999));
    s.quiet();
    s.sleep(millis(1));
    assert_eq!(s.disconnected(), DisconnectReason::Silent { after: secs(75) });
    assert_eq!(s.aborts, [request.id()]);
    // A head without an event is no life for ever either.
    s.sleep(secs(1));
    s.open_stream();
    s.sleep(secs(75));
    assert_eq!(s.disconnected(), DisconnectReason::Silent { after: secs(75) });
}

// S146, W10: heartbeats each 15 s never time out, their absence does after five.
#[test]
fn the_announced_interval_counts() {
    let mut s = Script::subscribed(config());
    for _ in 0..20 {
        s.sleep(secs(15));
        s.record(&heartbeat());
        assert_eq!(s.event(), Event::Heartbeat, "S138");
    }
    s.sleep(millis(74_999));
    s.quiet();
    s.sleep(millis(1));
    assert_eq!(s.disconnected(), DisconnectReason::Silent { after: secs(75) });
    s.sleep(secs(15));
    let _ = s.subscribe();
}

#[test]
fn any_bytes_are_life() {
    let mut s = Script::subscribed(config().heartbeats_missed(2));
    let bytes = framed(&heartbeat());
    for byte in bytes.chunks(1) {
        s.sleep(secs(29));
        s.feed(Input::Body { id: s.stream, data: byte });
    }
    assert_eq!(s.event(), Event::Heartbeat);
    s.sleep(secs(30));
    assert!(matches!(s.disconnected(), DisconnectReason::Silent { .. }));
}

#[test]
fn an_interval_that_makes_no_sense_arms_nothing() {
    for interval in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY), Some(1e300)] {
        let mut s = Script::new(config());
        s.tick();
        s.open_stream();
        s.record(&subscribed("f-1", interval));
        s.event();
        s.sleep(secs(1_000_000));
        s.quiet();
    }
}

#[test]
fn silence_proves_nothing_while_the_driver_does_not_read() {
    let mut s = Script::subscribed(config());
    s.feed(Input::Paused { id: s.stream });
    s.sleep(secs(1000));
    s.quiet();
    s.record(&heartbeat());
    s.event();
    s.sleep(secs(75));
    assert!(matches!(s.disconnected(), DisconnectReason::Silent { .. }), "armed again by the next byte");
}

#[test]
fn spurious_timeouts_and_clocks_that_go_back_change_nothing() {
    let mut s = Script::subscribed(config());
    for _ in 0..1000 {
        s.tick();
    }
    let now = s.now;
    s.now = Instant::ORIGIN;
    s.record(&heartbeat());
    s.event();
    s.now = now;
    s.sleep(millis(74_999));
    s.quiet();
}

#[test]
fn a_session_is_suspect_after_a_refused_call() {
    let mut s = Script::subscribed(config());
    s.sleep(secs(10));
    let id = s.client.calls().reconcile_all().expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 400, "Framework cannot be found");
    assert_eq!(s.outcome(id), Outcome::Rejected { status: 400, text: "Framework cannot be found".to_string() });
    s.sleep(secs(15));
    s.quiet();
    s.sleep(secs(5));
    assert_eq!(s.disconnected(), DisconnectReason::Suspect);
}

#[test]
fn a_sign_of_life_lifts_the_suspicion() {
    let mut s = Script::subscribed(config());
    s.client.calls().reconcile_all().expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 403, "");
    s.event();
    s.sleep(secs(15));
    s.record(&heartbeat());
    s.event();
    s.sleep(secs(70));
    s.quiet();
}
