//! From the first input to SUBSCRIBED, again and again.

use super::*;

// S189, S194
#[test]
fn the_first_input_subscribes() {
    let mut s = Script::new(env(&[("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "t0ken")]));
    let (request, body) = s.subscribe();
    assert_eq!((request.path(), request.endpoint().to_string().as_str()), ("/api/v1/executor", "http://10.0.0.1:5051"));
    assert_eq!(header(&request, "Accept"), Some(PROTOBUF));
    assert_eq!(header(&request, "Host"), Some("10.0.0.1:5051"));
    assert_eq!(header(&request, "Authorization"), Some("Bearer t0ken"));
    assert_eq!(body, call::Subscribe::default(), "present although empty");
    s.head(request.id(), Head::new(200).header("content-type", PROTOBUF.as_bytes()));
    s.quiet();
    s.record(&subscribed(true));
    let Event::Subscribed(subscribed) = s.event() else { panic!("subscribed") };
    assert!(subscribed.first);
    assert_eq!(subscribed.executor_info.executor_id.value, "e");
    assert_eq!(s.client.session().state, SessionState::Subscribed);
    // S198: no silence is too long.
    s.sleep(secs(7 * 24 * 3600));
    s.quiet();
}

#[test]
fn over_a_unix_socket() {
    let mut s = Script::new(env(&[("MESOS_DOMAIN_SOCKET", "a.sock"), ("MESOS_SLAVE_PID", "slave(1)@10.0.0.1:5051")]));
    let (request, _) = s.subscribe();
    assert_eq!(request.endpoint(), &crate::Endpoint::Unix("a.sock".into()));
    assert_eq!(request.path(), "/slave(1)/api/v1/executor");
    assert_eq!(header(&request, "Host"), Some("localhost"));
}

// S195: tasks until their first acknowledged update, updates until theirs, all in order.
#[test]
fn subscribe_carries_what_is_unacknowledged() {
    let mut s = Script::running(checkpointing(), &["z", "a"]);
    s.record(&launch(&["g1", "g2"]));
    assert!(matches!(s.event(), Event::LaunchGroup(group) if group.tasks.len() == 2));
    s.report("a", TaskStarting);
    s.report("a", TaskRunning);
    s.report("z", TaskRunning);
    s.take("a", TaskStarting);
    s.update();
    s.cut();
    assert!(matches!(s.disconnected().0, DisconnectReason::Failed(_)));
    // Given while there is no subscription: carried by it.
    s.report("g2", TaskFailed);
    s.sleep(secs(2));
    let body = s.accept_subscription();
    assert_eq!(ids(&body.unacknowledged_tasks), ["z", "g1", "g2"]);
    let expected = [("a", TaskRunning), ("z", TaskRunning), ("g2", TaskFailed)].map(|(t, s)| (t.to_string(), s));
    assert_eq!(states(&body.unacknowledged_updates), expected);
    s.quiet();
    for update in &body.unacknowledged_updates {
        s.acknowledge(&update.status);
        assert!(matches!(s.event(), Event::Acknowledged { .. }));
    }
    s.cut();
    s.disconnected();
    s.sleep(secs(2));
    let body = s.accept_subscription();
    assert_eq!(ids(&body.unacknowledged_tasks), ["g1"]);
    assert_eq!(body.unacknowledged_updates, []);
}

// What is given while SUBSCRIBE is on its way isn't in it.
#[test]
fn an_update_that_came_too_late_for_subscribe() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.cut();
    s.disconnected();
    s.sleep(secs(2));
    let body = s.open_stream();
    s.report("t", TaskRunning);
    s.quiet();
    s.record(&subscribed(true));
    s.event();
    assert_eq!(body.unacknowledged_updates, []);
    s.take("t", TaskRunning);
}

// Each wait is drawn anew, and two of them fit into the time for which a restarted agent waits: an attempt that comes
// before the agent listens isn't the last one.
#[test]
fn attempts_never_back_off() {
    let mut s = Script::subscribed(checkpointing());
    s.cut();
    let mut waits = Vec::new();
    for n in 0..200 {
        let (_, retry_at) = s.disconnected();
        let wait = retry_at.expect("another attempt").saturating_duration_since(s.now);
        assert!(wait < secs(1), "{wait:?}");
        waits.push(wait);
        s.sleep(wait);
        let (request, _) = s.subscribe();
        match n % 4 {
            0 => s.feed(Input::Failed { id: request.id(), failure: failure(Sent::No) }),
            1 => s.answer(request.id(), 404, ""),
            2 => s.answer(request.id(), 503, "Agent has not finished recovery"),
            _ => s.answer(request.id(), 500, ""),
        }
    }
    assert!(waits.iter().any(|w| *w < millis(100)) && waits.iter().any(|w| *w > millis(900)));
}

#[test]
fn what_ends_an_attempt_or_a_subscription() {
    type Act = fn(&mut Script);
    let cases: [(Act, &str); 7] = [
        (|s| s.head(s.stream, Head::new(200).header("content-type", b"text/html")), "200 with content type"),
        (|s| s.sleep(secs(16)), "no answer within 15s"),
        (|s| s.answer(s.stream, 502, "proxy"), "the agent answered 502: proxy"),
        (
            |s| {
                stream(s);
                s.record(&launch(&["t"]));
            },
            "the first event was neither",
        ),
        (
            |s| {
                stream(s);
                s.feed(Input::End { id: s.stream });
            },
            "the agent closed the stream",
        ),
        (
            |s| {
                stream(s);
                s.feed(Input::Body { id: s.stream, data: b"x" });
            },
            "byte 0x78",
        ),
        (
            |s| {
                stream(s);
                s.record(&error("too bad"));
            },
            "the agent reports: too bad",
        ),
    ];
    fn stream(s: &mut Script) {
        s.head(s.stream, Head::new(200).header("content-type", PROTOBUF.as_bytes()));
    }
    for (act, expected) in cases {
        let mut s = Script::new(checkpointing());
        let _ = s.subscribe();
        act(&mut s);
        let (reason, retry_at) = s.disconnected();
        assert!(reason.to_string().starts_with(expected), "{reason}, not {expected}");
        assert!(retry_at.is_some());
        s.events.clear();
        s.requests.clear();
        s.sleep(secs(2));
    }
}

fn error(message: &str) -> v1::executor::Event {
    v1::executor::Event { error: Some(event::Error { message: message.into() }), ..event(event::Type::Error) }
}

// S190, S191, W58: everything that an agent says is an event, and each is seen without anybody having registered for it.
// (The original wants a handler by each event's name; here a program matches on one type.)
#[test]
fn all_events_are_delivered() {
    let mut s = Script::subscribed(checkpointing());
    s.launch("t");
    // Not a second time: it runs already.
    s.record(&launch(&["t"]));
    assert!(matches!(s.event(), Event::Malformed { .. }));
    s.record(&launch(&["new", "t"]));
    assert!(matches!(s.event(), Event::Malformed { .. }));
    assert_eq!(s.client.session().tasks, 1);
    s.record(&kill("t", None));
    assert_eq!(s.event(), Event::Kill { task_id: "t".into(), policy: None });
    s.record(&kill("t", Some(secs(1))));
    let policy = v1::KillPolicy { grace_period: Some(secs(1).into()) };
    assert_eq!(s.event(), Event::Kill { task_id: "t".into(), policy: Some(policy) });
    s.record(&kill("stranger", None));
    s.quiet();
    let message = event::Message { data: bytes::Bytes::from_static(&[0, 255]) };
    s.record(&v1::executor::Event { message: Some(message), ..event(event::Type::Message) });
    assert_eq!(s.event(), Event::Message(bytes::Bytes::from_static(&[0, 255])));
    s.record(&v1::executor::Event { r#type: Some(60), ..Default::default() });
    assert!(matches!(s.event(), Event::Unknown { .. }));
    s.record(&event(event::Type::Launch));
    assert!(matches!(s.event(), Event::Malformed { path, .. } if path == "launch: missing"));
    s.record(&subscribed(true));
    assert!(matches!(s.event(), Event::Malformed { .. }));
    s.record(&error("over"));
    assert_eq!(s.disconnected().0, DisconnectReason::Error("over".into()));
    s.quiet();
}

// A task's own policy is what a KILL without one means.
#[test]
fn a_kill_has_the_tasks_policy() {
    let mut s = Script::subscribed(checkpointing());
    let policy = v1::KillPolicy { grace_period: Some(secs(9).into()) };
    let task = task("t").with_kill_policy(policy);
    let launch = event::Launch { task };
    s.record(&v1::executor::Event { launch: Some(std::boxed::Box::new(launch)), ..event(event::Type::Launch) });
    s.event();
    s.record(&kill("t", None));
    assert_eq!(s.event(), Event::Kill { task_id: "t".into(), policy: Some(policy) });
    s.report("t", TaskKilled);
    s.record(&kill("t", None));
    s.take("t", TaskKilled);
    s.quiet();
}

// The newest codec is no matter of the machine's: JSON, and records split anywhere.
#[test]
fn json_and_any_split() {
    let mut s = Script::new(checkpointing().codec(crate::Codec::Json));
    let request = s.request();
    assert_eq!(header(&request, "Content-Type"), Some("application/json"));
    assert!(request.body().starts_with(b"{"), "{:?}", request.body());
    s.head(request.id(), Head::new(200).header("content-type", b"application/json"));
    let mut data = Vec::new();
    let text = mesos_proto::json::encode(&subscribed(true)).expect("json");
    recordio::encode(text.as_bytes(), &mut data);
    for piece in data.chunks(5) {
        s.feed(Input::Body { id: request.id(), data: piece });
    }
    assert!(matches!(s.event(), Event::Subscribed(_)), "S199");
}
