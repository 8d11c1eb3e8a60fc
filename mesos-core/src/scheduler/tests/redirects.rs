//! 307.

use super::*;
use crate::{Authorization, RedirectError};

fn redirect(location: &str) -> Head {
    Head::new(307).header("Location", location.as_bytes())
}

// S142, W11
#[test]
fn the_leader_is_followed_and_calls_go_to_it() {
    let mut s = Script::new(config());
    s.tick();
    let (request, _) = s.subscribe();
    s.head(request.id(), redirect("//10.0.0.9:5051/master/api/v1/scheduler"));
    assert_eq!(s.aborts, [request.id()]);
    s.quiet();
    s.sleep(millis(500));
    let (request, _) = s.subscribe();
    assert_eq!(request.endpoint().to_string(), "http://10.0.0.9:5051");
    assert_eq!(request.path(), "/master/api/v1/scheduler");
    assert_eq!(header(&request, "Host"), Some("10.0.0.9:5051"));
    s.head(request.id(), stream_head());
    s.event();
    s.record(&subscribed("f-1", Some(15.0)));
    s.event();
    s.client.calls().reconcile_all().expect("taken");
    let call = s.request();
    assert_eq!(call.endpoint().to_string(), "http://10.0.0.9:5051");
    assert_eq!(call.path(), "/master/api/v1/scheduler");
}

#[test]
fn a_new_master_is_not_stormed() {
    let mut delays = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut s = Script::new(config());
        s.client = Client::new(config(), seed);
        s.tick();
        let (request, _) = s.subscribe();
        s.head(request.id(), redirect("//b"));
        let at = s.drain().expect("a deadline").at;
        let delay = at.saturating_duration_since(s.now);
        assert!(delay <= millis(500));
        delays.insert(delay);
    }
    assert!(delays.len() > 40, "drawn at random");
}

// S143, W15
#[test]
fn five_hops_then_back_off_and_the_next_master() {
    let mut s = Script::new(two_masters());
    s.tick();
    for hop in 0..6 {
        let (request, _) = s.subscribe();
        assert_eq!(request.endpoint().authority(), if hop % 2 == 0 { "10.0.0.1:5050" } else { "10.0.0.2:5050" });
        s.head(request.id(), redirect(if hop % 2 == 0 { "//10.0.0.2:5050" } else { "//10.0.0.1:5050" }));
        if hop < 5 {
            s.sleep(millis(500));
        }
    }
    assert_eq!(s.disconnected(), DisconnectReason::Redirect(RedirectError::TooMany(5)));
    s.sleep(secs(1));
    assert_eq!(s.subscribe().0.endpoint().authority(), "10.0.0.2:5050");
}

// S143: whatever the chances, in no second are there more than ten requests.
#[test]
fn masters_that_name_each_other_are_not_flooded() {
    for seed in 0..200 {
        let config = two_masters().backoff(Backoff::default().min(Duration::ZERO).factor(1.0));
        let mut s = Script::new(config.clone());
        s.client = Client::new(config, seed);
        s.tick();
        let mut times = Vec::new();
        for _ in 0..60 {
            while s.requests.is_empty() {
                s.now = s.drain().expect("a deadline").at.max(s.now);
                s.tick();
            }
            let (request, _) = s.subscribe();
            times.push(s.now);
            let other = if request.endpoint().authority() == MASTER { "//10.0.0.2:5050" } else { "//10.0.0.1:5050" };
            s.head(request.id(), redirect(other));
        }
        for window in times.windows(11) {
            assert!(window[10].saturating_duration_since(window[0]) > secs(1), "seed {seed}: {window:?}");
        }
    }
}

#[test]
fn redirects_that_lead_nowhere() {
    let malformed = |text: &str| RedirectError::Malformed(text.to_string());
    let downgrade = RedirectError::Downgrade("http://b/".to_string());
    for (head, error) in [
        (Head::new(307), RedirectError::Missing),
        (redirect("ftp://b/"), malformed("ftp://b/")),
        (redirect("//b:99999/"), malformed("//b:99999/")),
        (redirect("http://b/"), downgrade),
    ] {
        let config = Config::new(Framework::new("t"), ["https://a"]).expect("a configuration");
        let mut s = Script::new(config);
        s.tick();
        let (request, _) = s.subscribe();
        s.head(request.id(), head);
        assert_eq!(s.disconnected(), DisconnectReason::Redirect(error));
    }
}

#[test]
fn credentials_stay_with_configured_masters() {
    let ask = |config: Config, location: &str| {
        let mut s = Script::new(config.authorization(Authorization::basic("p", "s")));
        s.tick();
        let (request, _) = s.subscribe();
        assert!(header(&request, "Authorization").is_some());
        s.head(request.id(), redirect(location));
        s.sleep(millis(500));
        let (request, _) = s.subscribe();
        (s, request)
    };
    let (_, request) = ask(two_masters(), "//10.0.0.2:5050");
    assert!(header(&request, "Authorization").is_some(), "configured");
    let (_, request) = ask(two_masters().trust_redirects(true), "//10.0.0.3:5050");
    assert!(header(&request, "Authorization").is_some(), "trusted");
    for renewable in [false, true] {
        let config = if renewable { two_masters().renewable_authorization() } else { two_masters() };
        let (mut s, request) = ask(config, "//10.0.0.3:5050");
        assert_eq!(header(&request, "Authorization"), None, "a stranger");
        s.answer(request.id(), 401, "");
        let Event::Fatal(reason @ FatalReason::Unauthorized { withheld: true, .. }) = s.event() else {
            panic!("new credentials would not help")
        };
        assert!(reason.to_string().contains("trust_redirects"), "{reason}");
    }
    let (_, request) = ask(two_masters(), "//10.0.0.2:5051");
    assert_eq!(header(&request, "Authorization"), None, "another port is another server");
}

#[test]
fn a_redirected_call_ends_the_session() {
    let mut s = Script::subscribed(config());
    let first = s.client.calls().reconcile_all().expect("taken");
    let second = s.client.calls().kill("t", None, None).expect("taken");
    let (id, _) = s.call();
    s.head(id, redirect("//b"));
    s.feed(Input::End { id });
    assert_eq!(s.outcome(first), Outcome::NotSent);
    assert_eq!(s.outcome(second), Outcome::NotSent);
    assert_eq!(s.disconnected(), DisconnectReason::LeadershipLost);
    assert_eq!(s.aborts, [s.stream]);
    s.sleep(secs(1));
    assert_eq!(s.subscribe().0.endpoint().authority(), MASTER);
}
