//! From the first input to the first event, and back.

use super::*;
use crate::{Authorization, Endpoint};

// S1, S6, S7, S9, S13, S42, S43, S63
#[test]
fn the_first_request() {
    let framework = Framework::new("my  fw").failover_timeout(Duration::ZERO).hostname("h").webui_url("http://h:1");
    let mut s = Script::new(Config::new(framework, [MASTER]).expect("a configuration"));
    assert!(s.drain().is_some_and(|d| d.at <= s.now), "a driver that polls first is told to start at once");
    s.tick();
    let (request, subscribe) = s.subscribe();
    assert_eq!(request.endpoint().to_string(), "http://10.0.0.1:5050");
    assert_eq!((request.method().as_str(), request.path()), ("POST", "/api/v1/scheduler"));
    assert_eq!(header(&request, "Host"), Some(MASTER));
    assert_eq!(header(&request, "Content-Type"), Some(PROTOBUF));
    assert_eq!(header(&request, "Accept"), Some(PROTOBUF));
    assert_eq!(header(&request, "Mesos-Stream-Id"), None);
    assert_eq!(header(&request, "Authorization"), None);
    assert_eq!(header(&request, "Accept-Encoding"), None);
    let info = subscribe.framework_info;
    assert_eq!((info.name.as_str(), info.user.as_str(), info.id), ("my--fw", "root", None));
    assert_eq!((info.failover_timeout, info.checkpoint), (Some(0.0), Some(true)));
    assert_eq!(info.roles, ["*"]);
    assert_eq!((info.hostname.as_deref(), info.webui_url.as_deref()), (Some("h"), Some("http://h:1")));
    assert_eq!(info.capabilities.iter().map(|c| c.r#type()).map(i32::from).collect::<Vec<_>>(), [5, 2, 6, 7]);
    assert_eq!(decode(&request).framework_id, None);
    s.quiet();
}

// S8
#[test]
fn an_unnamed_framework_gets_its_name_from_the_seed() {
    let config = Config::new(Framework::unnamed(), [MASTER]).expect("a configuration");
    let name = |seed| Client::new(config.clone(), seed).framework().name.clone();
    let uuid = name(1);
    let uuid = uuid.strip_prefix("mesos-framework.").expect("the prefix");
    let parts: Vec<_> = uuid.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert!(uuid.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
    assert_eq!(uuid.as_bytes()[14], b'4', "version");
    assert!(b"89ab".contains(&uuid.as_bytes()[19]), "variant");
    assert_eq!(name(1), name(1));
    assert_ne!(name(1), name(2));
}

// S42, S134, S149
#[test]
fn ids_are_equal_at_both_levels_when_subscribing_again() {
    let mut s = Script::subscribed(config());
    s.feed(Input::End { id: s.stream });
    assert_eq!(s.disconnected(), DisconnectReason::Closed);
    s.wait(millis(999));
    s.quiet();
    s.wait(millis(1));
    let (request, subscribe) = s.subscribe();
    assert_eq!(header(&request, "Mesos-Stream-Id"), None);
    let id = Some(v1::FrameworkId { value: "f-1".to_string() });
    assert_eq!((decode(&request).framework_id, subscribe.framework_info.id), (id.clone(), id));
    s.head(request.id(), stream_head());
    s.event();
    s.record(&subscribed("f-1", Some(15.0)));
    assert!(matches!(s.event(), Event::Subscribed(Subscribed { first: false, .. })));
}

#[test]
fn what_subscribed_says() {
    let mut s = Script::new(config());
    s.tick();
    let told = s.accept_subscription();
    assert_eq!(told.framework_id.value, "f-1");
    assert_eq!(told.heartbeat_interval, Some(secs(15)));
    assert_eq!(told.master, MASTER.parse::<Endpoint>().expect("an endpoint"));
    assert!(told.first);
    s.wait(secs(3));
    let session = s.client.session();
    assert_eq!(session.state, SessionState::Subscribed);
    assert_eq!((session.age, session.silent_for), (Some(secs(3)), Some(secs(3))));
    assert_eq!(session.framework_id.map(|id| id.value).as_deref(), Some("f-1"));
    assert_eq!(session.stream_id.as_deref(), Some(STREAM_ID), "S40");
}

#[test]
fn another_framework_than_ours_is_not_adopted() {
    let mut s = Script::new(config().framework_id("f-0").expect("an id"));
    s.tick();
    s.open_stream();
    s.record(&subscribed("f-1", None));
    assert_eq!(s.disconnected(), DisconnectReason::OtherFramework("f-1".to_string()));
    s.sleep(secs(1));
    s.open_stream();
    s.record(&subscribed("f-0", None));
    assert!(matches!(s.event(), Event::Subscribed(_)));
    let mut s = Script::new(config());
    s.tick();
    s.open_stream();
    s.record(&subscribed("", None));
    assert_eq!(s.disconnected(), DisconnectReason::OtherFramework(String::new()));
    assert_eq!(s.client.framework().id, None);
}

// S144, S145: a 200 that isn't a stream of ours is retried.
#[test]
fn two_hundred_alone_is_no_success() {
    let json = "application/json; charset=utf-8";
    for (head, reason) in [
        (Head::new(200).header("Content-Type", PROTOBUF.as_bytes()), DisconnectReason::NoStreamId),
        (stream_head_with(PROTOBUF, ""), DisconnectReason::NoStreamId),
        (stream_head_with(PROTOBUF, "a\nb"), DisconnectReason::NoStreamId),
        (stream_head_with(json, STREAM_ID), DisconnectReason::ContentType(Some(json.to_string()))),
        (Head::new(200).header("Mesos-Stream-Id", b"x"), DisconnectReason::ContentType(None)),
    ] {
        let mut s = Script::new(config());
        s.tick();
        let (request, _) = s.subscribe();
        s.head(request.id(), head);
        assert_eq!(s.disconnected(), reason);
        assert_eq!(s.aborts, [request.id()]);
        s.sleep(secs(1));
        s.accept_subscription();
    }
}

fn stream_head_with(media_type: &str, stream_id: &str) -> Head {
    Head::new(200).header("Content-Type", media_type.as_bytes()).header("Mesos-Stream-Id", stream_id.as_bytes())
}

// S145, S150, W12
#[test]
fn statuses_of_subscribe() {
    for status in [404, 408, 425, 429, 500, 502, 503, 504, 599, 202, 204, 302] {
        let mut s = Script::new(two_masters());
        s.tick();
        let (request, _) = s.subscribe();
        s.answer(request.id(), status, "why");
        assert_eq!(s.disconnected(), DisconnectReason::Status { status, text: "why".to_string() });
        assert_eq!(s.aborts, [], "{status}: the answer was complete");
        s.sleep(secs(1));
        let (request, _) = s.subscribe();
        assert_eq!(request.endpoint().authority(), "10.0.0.2:5050", "{status}: the next master");
    }
    for status in [400, 402, 403, 405, 406, 409, 410, 411, 413, 415, 418, 499, 501] {
        let mut s = Script::new(two_masters());
        s.tick();
        let (request, _) = s.subscribe();
        s.answer(request.id(), status, "");
        assert_eq!(s.event(), Event::Fatal(FatalReason::Refused { status, text: String::new() }));
        s.ended();
    }
}

#[test]
fn the_text_of_a_refusal_is_bounded() {
    let mut s = Script::new(config());
    s.tick();
    let (request, _) = s.subscribe();
    s.head(request.id(), Head::new(503));
    for _ in 0..3 {
        s.feed(Input::Body { id: request.id(), data: &[b'x'; 2000] });
    }
    let DisconnectReason::Status { text, .. } = s.disconnected() else { panic!("a status") };
    assert_eq!(text.len(), 4096);
    assert_eq!(s.aborts, [request.id()], "nobody reads the rest");
}

#[test]
fn a_refusal_that_is_never_complete_still_counts() {
    let mut s = Script::new(config());
    s.tick();
    let (request, _) = s.subscribe();
    s.head(request.id(), Head::new(403));
    s.feed(Input::Body { id: request.id(), data: b"Framework" });
    s.fail(request.id(), Sent::Maybe);
    assert_eq!(s.event(), Event::Fatal(FatalReason::Refused { status: 403, text: "Framework".to_string() }));
}

#[test]
fn unauthorized_is_final_unless_credentials_can_be_renewed() {
    let mut s = Script::new(config().authorization(Authorization::basic("p", "old")));
    s.tick();
    let (request, subscribe) = s.subscribe();
    assert_eq!(header(&request, "Authorization"), Some("Basic cDpvbGQ="));
    assert_eq!(subscribe.framework_info.principal.as_deref(), Some("p"));
    assert!(!std::format!("{:?}{request:?}", s.client).contains("cDpvbGQ="), "secrets aren't shown");
    s.answer(request.id(), 401, "no");
    let master = request.endpoint().clone();
    assert_eq!(s.event(), Event::Fatal(FatalReason::Unauthorized { master, text: "no".to_string(), withheld: false }));
    s.ended();

    let mut s = Script::new(config().renewable_authorization());
    s.tick();
    let (request, _) = s.subscribe();
    s.answer(request.id(), 401, "no");
    assert_eq!(s.event(), Event::Disconnected { reason: DisconnectReason::Unauthorized, retry_at: None });
    s.sleep(secs(1000));
    s.quiet();
    s.client.set_authorization(Authorization::header("token=x").expect("a header"));
    s.tick();
    let (request, _) = s.subscribe();
    assert_eq!(header(&request, "Authorization"), Some("token=x"));
}

// S165: of a bearer token nothing is in what can be shown, before and after it is renewed or refused.
#[test]
fn a_bearer_token_is_not_shown() {
    let bearer = |token: &str| Authorization::header(std::format!("Bearer {token}")).expect("a header");
    let config = config().authorization(bearer("BeArErOnE")).renewable_authorization();
    let mut shown = std::format!("{config:?}");
    let mut s = Script::new(config);
    for (old, new) in [("BeArErOnE", "BeArErTwO"), ("BeArErTwO", "BeArErThReE")] {
        s.tick();
        let (request, subscribe) = s.subscribe();
        assert_eq!(header(&request, "Authorization"), Some(&*std::format!("Bearer {old}")));
        shown += &std::format!("{request:?}{subscribe:?}{:?}", s.client);
        s.answer(request.id(), 401, "no");
        shown += &std::format!("{:?}", s.event());
        s.client.set_authorization(bearer(new));
        shown += &std::format!("{:?}{:?}", s.client, bearer(new));
    }
    assert!(shown.contains("Unauthorized") && !shown.contains("BeArEr"), "{shown}");
}

// Whatever a driver takes for the time, an input is dealt with in a bounded number of steps.
#[test]
fn the_end_of_time() {
    let end = Instant::from_origin(Duration::MAX);
    let mut s = Script::new(config().renewable_authorization());
    s.tick();
    let (request, _) = s.subscribe();
    s.answer(request.id(), 401, "no");
    s.event();
    let waits = s.drain();
    s.now = end;
    s.tick();
    assert_eq!((s.requests.len(), s.drain()), (0, waits), "new credentials are all that it waits for");

    let mut s = Script::new(config());
    s.tick();
    let (request, _) = s.subscribe();
    s.now = end;
    s.tick();
    assert_eq!(s.aborts, [request.id()]);
    assert_ne!(s.subscribe().0.id(), request.id());
    assert!(matches!(s.disconnected(), DisconnectReason::Silent { .. }));
    s.quiet();
}

// S150, W12
#[test]
fn every_failure_of_the_network_is_retried() {
    for kind in [FailureKind::Resolve, FailureKind::Connect, FailureKind::Tls, FailureKind::Io, FailureKind::Http] {
        let mut s = Script::new(config());
        s.tick();
        let (request, _) = s.subscribe();
        let failure = Failure::new(kind, Sent::No, "x");
        s.feed(Input::Failed { id: request.id(), failure: failure.clone() });
        assert_eq!(s.disconnected(), DisconnectReason::Failed(failure));
        s.sleep(secs(1));
        s.accept_subscription();
    }
}

// S153, S154, W13, W14: first the wait, then the connection.
#[test]
fn back_off_grows_and_starts_anew_only_after_a_session_that_lasted() {
    let mut s = Script::new(config());
    s.tick();
    for millis_ in [1000, 1500, 2250, 3375, 5063, 7595, 11393, 15000, 15000] {
        let (request, _) = s.subscribe();
        s.fail(request.id(), Sent::No);
        let retry_at = Some(s.now + millis(millis_));
        assert!(matches!(s.event(), Event::Disconnected { retry_at: at, .. } if at == retry_at));
        s.sleep(millis(millis_));
    }
    let cut = |s: &mut Script, lasts| {
        s.accept_subscription();
        s.wait(lasts);
        s.fail(s.stream, Sent::Maybe);
        match s.event() {
            Event::Disconnected { retry_at: Some(at), .. } => at.saturating_duration_since(s.now),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(cut(&mut s, secs(15)), secs(15), "a short session proves nothing");
    s.sleep(secs(15));
    assert_eq!(cut(&mut s, secs(16)), secs(1));
    s.sleep(secs(1));
    assert_eq!(cut(&mut s, secs(1)), millis(1500));
}

// S148, W11
#[test]
fn all_masters_are_tried_in_turn_and_the_good_one_is_asked_again_first() {
    let mut s = Script::new(two_masters());
    s.tick();
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (request, _) = s.subscribe();
        asked.push(request.endpoint().authority());
        s.fail(request.id(), Sent::No);
        s.disconnected();
        s.sleep(secs(15));
    }
    assert_eq!(asked, ["10.0.0.1:5050", "10.0.0.2:5050", "10.0.0.1:5050"]);
    s.accept_subscription();
    s.feed(Input::End { id: s.stream });
    s.disconnected();
    s.sleep(secs(15));
    assert_eq!(s.subscribe().0.endpoint().authority(), "10.0.0.2:5050");
}

// S152
#[test]
fn an_old_exchange_cannot_touch_the_new_session() {
    let mut s = Script::new(config());
    s.tick();
    let old = s.subscribe().0.id();
    s.sleep(secs(75));
    assert!(matches!(s.disconnected(), DisconnectReason::Silent { .. }));
    assert_eq!(s.aborts, [old]);
    s.head(old, stream_head());
    s.feed(Input::Body { id: old, data: &framed(&subscribed("f-9", None)) });
    s.quiet();
    s.sleep(secs(1));
    s.accept_subscription();
    s.head(old, Head::new(503));
    s.feed(Input::End { id: old });
    s.fail(old, Sent::Maybe);
    s.feed(Input::Body { id: old, data: &framed(&error("Framework failed over")) });
    s.quiet();
    assert_eq!(s.client.session().state, SessionState::Subscribed);
}

#[test]
fn profile_is_sent_again_in_full() {
    let constraints = v1::scheduler::OfferConstraints::default();
    let config = config().suppressed_roles(["b"]).expect("a role").offer_constraints(constraints.clone());
    let mut s = Script::new(config);
    s.tick();
    s.accept_subscription();
    s.client.calls().suppress(["a"]).expect("taken");
    let (id, _) = s.call();
    s.answer(id, 202, "");
    s.event();
    s.feed(Input::End { id: s.stream });
    s.disconnected();
    s.sleep(secs(1));
    let (_, subscribe) = s.subscribe();
    assert_eq!(subscribe.suppressed_roles, ["a", "b"]);
    assert_eq!(subscribe.offer_constraints, Some(constraints));
}
