//! Masters found by a detector.

use super::*;
use crate::{Authorization, Endpoint};

fn leader(master: &str) -> Option<Endpoint> {
    Some(master.parse().expect("an endpoint"))
}

fn detected() -> Config {
    Config::detected(Framework::new("test")).expect("a framework").backoff(Backoff::default().jitter(false))
}

/// One that has heard of a leader and is subscribed with it.
fn subscribed_with(master: &str) -> Script {
    let mut s = Script::new(detected());
    s.feed(Input::Leader(leader(master)));
    let (request, _) = s.subscribe();
    assert_eq!(Some(request.endpoint()), leader(master).as_ref());
    s.requests.push_front(request);
    s.accept_subscription();
    s
}

#[test]
fn it_waits_for_a_leader() {
    let mut s = Script::new(detected());
    s.tick();
    s.sleep(secs(100));
    s.feed(Input::Leader(None));
    s.sleep(secs(100));
    s.quiet();
    assert_eq!(s.client.session().state, SessionState::Waiting);
    s.feed(Input::Leader(leader("m1")));
    s.sleep(millis(500));
    assert_eq!(s.subscribe().0.endpoint().authority(), "m1:5050");
}

#[test]
fn another_leader_ends_the_session_and_none_does_not() {
    let mut s = subscribed_with("m1");
    s.feed(Input::Leader(None));
    s.feed(Input::Leader(leader("m1")));
    s.quiet();
    s.feed(Input::Leader(leader("m2")));
    assert_eq!(Some(s.disconnected()), leader("m2").map(DisconnectReason::NewLeader));
    assert_eq!(s.aborts, [s.stream]);
    s.sleep(millis(500));
    assert_eq!(s.subscribe().0.endpoint().authority(), "m2:5050");
}

#[test]
fn a_new_leader_cuts_the_wait_short() {
    let mut s = subscribed_with("m1");
    for _ in 0..5 {
        s.fail(s.stream, Sent::Maybe);
        s.disconnected();
        s.sleep(secs(15));
        s.stream = s.subscribe().0.id();
    }
    s.fail(s.stream, Sent::No);
    s.disconnected();
    s.feed(Input::Leader(leader("m2")));
    s.sleep(millis(500));
    assert_eq!(s.subscribe().0.endpoint().authority(), "m2:5050");
}

/// The detector and the masters may know the leader by different names.
#[test]
fn a_session_that_a_redirect_led_to_stays() {
    let mut s = Script::new(detected());
    s.feed(Input::Leader(leader("m1")));
    let (request, _) = s.subscribe();
    s.head(request.id(), Head::new(307).header("Location", b"//m2"));
    s.sleep(millis(500));
    s.accept_subscription();
    s.feed(Input::Leader(None));
    s.feed(Input::Leader(leader("m1")));
    s.quiet();
    s.feed(Input::Leader(leader("m2")));
    s.quiet();
}

#[test]
fn credentials_go_to_a_detected_leader() {
    let mut s = Script::new(detected().authorization(Authorization::basic("p", "s")));
    s.feed(Input::Leader(leader("m1")));
    let (request, _) = s.subscribe();
    assert!(request.headers().iter().any(|header| header.name() == "Authorization"));
    s.head(request.id(), Head::new(307).header("Location", b"//m2"));
    s.sleep(millis(500));
    let (request, _) = s.subscribe();
    assert!(!request.headers().iter().any(|header| header.name() == "Authorization"));
}

#[test]
fn a_leader_is_no_credentials() {
    let mut s = Script::new(detected().renewable_authorization());
    s.feed(Input::Leader(leader("m1")));
    let (request, _) = s.subscribe();
    s.head(request.id(), Head::new(401));
    s.feed(Input::End { id: request.id() });
    assert_eq!(s.disconnected(), DisconnectReason::Unauthorized);
    s.feed(Input::Leader(leader("m2")));
    s.sleep(secs(100));
    s.quiet();
    s.client.set_authorization(Authorization::basic("p", "s"));
    s.tick();
    assert_eq!(s.subscribe().0.endpoint().authority(), "m2:5050");
}

#[test]
fn a_list_serves_until_there_is_a_leader() {
    let mut s = Script::new(two_masters());
    s.tick();
    assert_eq!(s.subscribe().0.endpoint().authority(), MASTER);
    s.feed(Input::Leader(leader("m3")));
    assert_eq!(Some(s.disconnected()), leader("m3").map(DisconnectReason::NewLeader));
    s.sleep(millis(500));
    assert_eq!(s.subscribe().0.endpoint().authority(), "m3:5050");
}
