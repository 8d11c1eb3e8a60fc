//! Updates from the command to the acknowledgement.

use super::*;

// S192: what an UPDATE must have is filled in.
#[test]
fn an_update_is_completed() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.now += millis(2500);
    s.feed(Input::Timeout);
    let stranger = v1::TaskStatus {
        agent_id: Some("wrong".into()),
        executor_id: Some("wrong".into()),
        source: None,
        uuid: Some(bytes::Bytes::from_static(&[0; 16])),
        ..v1::TaskStatus::new("t", TaskRunning).with_message("hello")
    };
    s.client.update(stranger).expect("an update");
    let (id, status) = s.update();
    assert_eq!(status.source(), v1::task_status::Source::Executor, "unset means master: a 400");
    assert_eq!(status.agent_id, None, "a wrong one is dropped with 202");
    assert_eq!(status.executor_id, Some("e".into()));
    assert_eq!(status.timestamp, Some(1_700_000_002.5));
    assert_eq!(status.message(), "hello");
    assert!(crate::checks::uuid(status.uuid.as_deref().expect("a uuid")));
    s.answer(id, 202, "");
    s.report("t", TaskRunning);
    let (_, second) = s.update();
    assert_ne!(second.uuid, status.uuid, "new for each update");
    // The caller's own time stays.
    let mut s = Script::running(checkpointing(), &["t"]);
    s.client.update(v1::TaskStatus { timestamp: Some(5.0), ..v1::TaskStatus::new("t", TaskRunning) }).expect("one");
    assert_eq!(s.update().1.timestamp, Some(5.0));
}

#[test]
fn calls_carry_both_ids_and_no_stream_id() {
    let mut s = Script::running(env(&[("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "t0ken")]), &["t"]);
    s.report("t", TaskRunning);
    let request = s.request();
    assert_eq!((request.path(), request.lane()), ("/api/v1/executor", Lane::Ordered));
    assert_eq!(header(&request, "Authorization"), Some("Bearer t0ken"), "S198");
    assert_eq!(header(&request, "Mesos-Stream-Id"), None);
    let call = decode(&request);
    assert_eq!((call.framework_id.value.as_str(), call.executor_id.value.as_str()), ("f", "e"));
}

#[test]
fn what_cannot_be_reported() {
    let mut s = Script::subscribed(checkpointing());
    let update = |s: &mut Script, task: &str, state| s.client.update(v1::TaskStatus::new(task, state));
    assert_eq!(update(&mut s, "t", TaskRunning), Err(CallError::UnknownTask("t".into())));
    s.launch("t");
    for state in [TaskStaging, TaskUnreachable, TaskUnknown, TaskGoneByOperator] {
        assert_eq!(update(&mut s, "t", state), Err(CallError::State(state)));
    }
    assert_eq!(update(&mut s, "t", TaskKilling), Ok(()));
    assert_eq!(update(&mut s, "t", TaskKilled), Ok(()));
    assert_eq!(update(&mut s, "t", TaskFinished), Err(CallError::TaskEnded("t".into())));

    let mut s = Script::new(checkpointing());
    s.open_stream();
    s.record(&subscribed(false));
    s.event();
    s.launch("t");
    assert_eq!(s.client.update(v1::TaskStatus::new("t", TaskKilling)), Err(CallError::Killing));
    let check = |kind: Option<v1::check_info::Type>, tcp: bool| v1::CheckStatusInfo {
        r#type: kind.map(Into::into),
        tcp: tcp.then_some(v1::check_status_info::Tcp { succeeded: Some(true) }),
        ..Default::default()
    };
    use v1::check_info::Type as Kind;
    for (kind, tcp, result) in [
        (None, true, Err(CallError::CheckStatus)),
        (Some(Kind::Unknown), true, Err(CallError::CheckStatus)),
        (Some(Kind::Http), true, Err(CallError::CheckStatus)),
        (Some(Kind::Tcp), false, Err(CallError::CheckStatus)),
        (Some(Kind::Tcp), true, Ok(())),
    ] {
        let status = v1::TaskStatus { check_status: Some(check(kind, tcp)), ..v1::TaskStatus::new("t", TaskRunning) };
        assert_eq!(s.client.update(status), result, "{kind:?} {tcp}");
    }
}

// One at a time, so that none overtakes another.
#[test]
fn updates_go_one_by_one_in_order() {
    let mut s = Script::running(checkpointing(), &["a", "b"]);
    for (task, state) in [("a", TaskStarting), ("b", TaskRunning), ("a", TaskRunning), ("a", TaskFinished)] {
        s.report(task, state);
    }
    s.client.message("hello").expect("a message");
    s.take("a", TaskStarting);
    s.take("b", TaskRunning);
    let (id, status) = s.update();
    assert_eq!((status.task_id.value.as_str(), status.state()), ("a", TaskRunning));
    s.quiet();
    // Acknowledged before it is answered.
    s.acknowledge(&status);
    assert!(matches!(s.event(), Event::Acknowledged { .. }));
    s.quiet();
    s.answer(id, 202, "");
    s.take("a", TaskFinished);
    let (_, call) = s.call();
    assert_eq!(call.message.expect("a message").data, "hello", "S193");
    assert_eq!(s.client.session().tasks, 1);
}

#[test]
fn only_its_own_acknowledgement_counts_and_only_once() {
    let mut s = Script::running(checkpointing(), &["t", "u"]);
    s.report("t", TaskRunning);
    let (id, status) = s.update();
    s.answer(id, 202, "");
    s.acknowledge(&v1::TaskStatus { uuid: Some(bytes::Bytes::from_static(&[7; 16])), ..status.clone() });
    s.acknowledge(&v1::TaskStatus { task_id: "u".into(), ..status.clone() });
    s.quiet();
    assert_eq!(s.client.session().unacknowledged, 1);
    s.acknowledge(&status);
    assert!(matches!(s.event(), Event::Acknowledged { state: TaskRunning, .. }));
    s.acknowledge(&status);
    s.quiet();
    assert_eq!(s.client.session().unacknowledged, 0);
}

// An agent that recovers says 503 until the last of its executors is back.
#[test]
fn an_update_is_parked_while_the_agent_recovers() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskRunning);
    s.report("t", TaskFinished);
    for _ in 0..10 {
        let (id, status) = s.update();
        assert_eq!(status.state(), TaskRunning, "nothing overtakes it");
        s.answer(id, 503, "Agent has not finished recovery");
        s.quiet();
        s.sleep(millis(200));
        s.quiet();
        s.sleep(millis(300));
    }
    s.take("t", TaskRunning);
    s.take("t", TaskFinished);
}

// S195: the connection is lost with the call; the same update, with the same uuid, goes again.
#[test]
fn a_lost_update_is_sent_again() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskRunning);
    let (id, first) = s.update();
    s.feed(Input::Failed { id, failure: failure(Sent::Maybe) });
    s.sleep(millis(500));
    let (id, second) = s.update();
    assert_eq!(first, second);
    // Twice in a row: the stream can't be trusted any more, even if it stands.
    s.feed(Input::Failed { id, failure: failure(Sent::No) });
    assert!(matches!(s.disconnected().0, DisconnectReason::CallsFail(_)));
    assert!(s.aborts.contains(&s.stream));
    s.sleep(secs(2));
    let (_, body) = s.subscribe();
    assert_eq!(body.unacknowledged_updates, [call::Update { status: first }]);
}

#[test]
fn a_call_without_an_answer_is_lost() {
    let mut s = Script::running(checkpointing().call_timeout(secs(3)), &["t"]);
    s.report("t", TaskRunning);
    let (id, first) = s.update();
    s.sleep(secs(4));
    assert!(s.aborts.contains(&id));
    assert_eq!(s.update().1, first);
    s.sleep(secs(3));
    assert!(matches!(s.disconnected().0, DisconnectReason::CallsFail(_)));
}

// What can never be taken isn't sent for ever, nor does it spoil each SUBSCRIBE.
#[test]
fn a_refused_update_is_reported_and_its_task_lives() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskFailed);
    let (id, _) = s.update();
    s.answer(id, 400, "no");
    let Event::UpdateLost { status, reason } = s.event() else { panic!("a loss") };
    assert_eq!(status.state(), TaskFailed);
    assert_eq!(reason, LostReason::Rejected { status: 400, text: "no".into() });
    s.report("t", TaskFinished);
    s.take("t", TaskFinished);
}

// 403: the agent has forgotten the subscription, which looks as if it stood.
#[test]
fn an_agent_that_has_forgotten_us_is_asked_again() {
    for status in [403, 404] {
        let mut s = Script::running(checkpointing(), &["t"]);
        s.report("t", TaskRunning);
        let (id, _) = s.update();
        s.answer(id, status, "Executor is not subscribed");
        assert!(matches!(s.disconnected().0, DisconnectReason::CallStatus { .. }));
        s.sleep(secs(2));
        let body = s.accept_subscription();
        assert_eq!(states(&body.unacknowledged_updates), [("t".into(), TaskRunning)]);
        s.quiet();
    }
}

// The agent never acknowledges: memory stays bounded, and the end of a task is always taken.
#[test]
fn too_many_unacknowledged() {
    let mut s = Script::running(checkpointing().queue_limits(3, 100), &["t"]);
    for _ in 0..3 {
        s.report("t", TaskRunning);
    }
    let more = s.client.update(v1::TaskStatus::new("t", TaskRunning));
    assert_eq!(more, Err(CallError::QueueFull { waiting: 3 }));
    s.report("t", TaskFinished);
    let mut s = Script::new(checkpointing().queue_limits(2, 100));
    assert_eq!(s.client.message([0; 101].to_vec()), Err(CallError::TooLarge { size: 101, limit: 100 }));
    s.client.message([0; 60].to_vec()).expect("room");
    assert_eq!(s.client.message([0; 60].to_vec()), Err(CallError::QueueFull { waiting: 1 }));
    s.client.message("x").expect("room");
    assert_eq!(s.client.message("x"), Err(CallError::QueueFull { waiting: 2 }));
}

// S193: best effort, but never twice.
#[test]
fn messages_wait_for_a_subscription_and_are_sent_once() {
    let mut s = Script::new(checkpointing());
    s.client.message("early").expect("room");
    s.accept_subscription();
    let (id, call) = s.call();
    assert_eq!((call.r#type(), call.message.expect("one").data.as_ref()), (call::Type::Message, &b"early"[..]));
    s.feed(Input::Failed { id, failure: failure(Sent::Maybe) });
    assert!(matches!(s.event(), Event::MessageLost { data, reason: LostReason::Failed(_) } if data == "early"));
    s.quiet();
    // One that has not left is sent again.
    s.client.message("second").expect("room");
    let (id, _) = s.call();
    s.answer(id, 202, "");
    s.client.message("third").expect("room");
    let (id, _) = s.call();
    s.feed(Input::Failed { id, failure: failure(Sent::No) });
    s.sleep(millis(500));
    let (id, call) = s.call();
    assert_eq!(call.message.expect("one").data, "third");
    s.answer(id, 400, "no");
    assert!(matches!(s.event(), Event::MessageLost { reason: LostReason::Rejected { status: 400, .. }, .. }));
    s.quiet();
}

// S198: only an agent that sends heartbeats understands them.
#[test]
fn heartbeats_are_answered() {
    let mut s = Script::subscribed(checkpointing());
    s.sleep(secs(24 * 3600));
    s.quiet();
    s.record(&event(event::Type::Heartbeat));
    assert_eq!(s.event(), Event::Heartbeat);
    let (id, call) = s.call();
    assert_eq!(call.r#type(), call::Type::Heartbeat);
    s.answer(id, 400, "Expecting 'type' to be present");
    s.quiet();
    assert_eq!(s.client.session().state, SessionState::Subscribed);
}
