//! Commands, and what their answers mean.

use super::*;
use crate::Authorization;
use prost::bytes::Bytes;
use v1::scheduler::call::Type;

fn agent_id() -> v1::AgentId {
    v1::AgentId { value: "s".to_string() }
}

fn operation_status() -> v1::OperationStatus {
    v1::OperationStatus {
        operation_id: Some(v1::OperationId { value: "op".to_string() }),
        uuid: Some(v1::Uuid { value: Bytes::copy_from_slice(&UUID) }),
        agent_id: Some(agent_id()),
        resource_provider_id: Some(v1::ResourceProviderId { value: "rp".to_string() }),
        ..Default::default()
    }
}

fn task(id: &str) -> v1::offer::Operation {
    let task = v1::TaskInfo { task_id: v1::TaskId { value: id.to_string() }, ..Default::default() };
    v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(v1::offer::operation::Launch { task_infos: [task].into() }),
        ..Default::default()
    }
}

fn an_update(s: &mut Script, uuid: Option<&[u8]>) -> crate::Update {
    s.record(&update(uuid));
    match s.event() {
        Event::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

/// Gives one call of each kind, and what must arrive.
fn every_call(s: &mut Script) -> Vec<(CallId, Call)> {
    let ids = |ids: &[&str]| ids.iter().map(|id| v1::OfferId { value: id.to_string() }).collect::<Vec<_>>();
    let filters = Some(v1::Filters { refuse_seconds: Some(60.0) });
    let policy = Some(v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds: 3 }) });
    let data = Bytes::from_static(b"\xff\xfe\0");
    let executor_id = v1::ExecutorId { value: "e".to_string() };
    let task_id = v1::TaskId { value: "t".to_string() };
    let status = operation_status();
    let request = v1::Request { agent_id: Some(agent_id()), resources: Vec::new() };
    let operation = call::reconcile_operations::Operation {
        operation_id: v1::OperationId { value: "op".to_string() },
        ..Default::default()
    };
    let info = v1::FrameworkInfo { name: "new".to_string(), ..s.client.framework().clone() };
    let update = an_update(s, Some(&UUID));
    let of = |kind: Type| Call {
        framework_id: Some(v1::FrameworkId { value: "f-1".to_string() }),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let mut c = s.client.calls();
    let taken = |id: Result<CallId, CallError>| id.expect("taken");
    std::vec![
        // S45
        (
            taken(c.accept(["o1", "o2"], [task("t")], filters)),
            Call {
                accept: Some(call::Accept { offer_ids: ids(&["o1", "o2"]), operations: [task("t")].into(), filters }),
                ..of(Type::Accept)
            }
        ),
        // S46
        (
            taken(c.decline(["o3"], filters)),
            Call { decline: Some(call::Decline { offer_ids: ids(&["o3"]), filters }), ..of(Type::Decline) }
        ),
        // S48
        (
            taken(c.revive(["a"])),
            Call { revive: Some(call::Revive { roles: ["a".to_string()].into() }), ..of(Type::Revive) }
        ),
        // S55
        (taken(c.suppress([""; 0])), Call { suppress: Some(call::Suppress::default()), ..of(Type::Suppress) }),
        // S49
        (
            taken(c.kill("t", Some("s"), policy)),
            Call {
                kill: Some(call::Kill { task_id: task_id.clone(), agent_id: Some(agent_id()), kill_policy: policy }),
                ..of(Type::Kill)
            }
        ),
        // S50
        (
            taken(c.shutdown("e", "s")),
            Call {
                shutdown: Some(call::Shutdown { executor_id: executor_id.clone(), agent_id: agent_id() }),
                ..of(Type::Shutdown)
            }
        ),
        // S52
        (
            taken(c.reconcile([("t", Some("s")), ("u", None)])),
            Call {
                reconcile: Some(call::Reconcile {
                    tasks: [
                        call::reconcile::Task { task_id: task_id.clone(), agent_id: Some(agent_id()) },
                        call::reconcile::Task { task_id: v1::TaskId { value: "u".to_string() }, agent_id: None },
                    ]
                    .into()
                }),
                ..of(Type::Reconcile)
            }
        ),
        (taken(c.reconcile_all()), Call { reconcile: Some(call::Reconcile::default()), ..of(Type::Reconcile) }),
        // S53
        (
            taken(c.message("e", "s", data.clone())),
            Call { message: Some(call::Message { agent_id: agent_id(), executor_id, data }), ..of(Type::Message) }
        ),
        // S54
        (
            taken(c.request([request.clone()])),
            Call { request: Some(call::Request { requests: [request].into() }), ..of(Type::Request) }
        ),
        // S56
        (
            taken(c.accept_inverse_offers(["i"], filters)),
            Call {
                accept_inverse_offers: Some(call::AcceptInverseOffers { inverse_offer_ids: ids(&["i"]), filters }),
                ..of(Type::AcceptInverseOffers)
            }
        ),
        // S57
        (
            taken(c.decline_inverse_offers(["i"], None)),
            Call {
                decline_inverse_offers: Some(call::DeclineInverseOffers {
                    inverse_offer_ids: ids(&["i"]),
                    filters: None
                }),
                ..of(Type::DeclineInverseOffers)
            }
        ),
        // S59
        (
            taken(c.reconcile_operations([operation.clone()])),
            Call {
                reconcile_operations: Some(call::ReconcileOperations { operations: [operation].into() }),
                ..of(Type::ReconcileOperations)
            }
        ),
        (
            taken(c.update_framework(info.clone(), ["b"], None)),
            Call {
                update_framework: Some(call::UpdateFramework {
                    framework_info: info,
                    suppressed_roles: ["b".to_string()].into(),
                    offer_constraints: None
                }),
                ..of(Type::UpdateFramework)
            }
        ),
        // S51, W1
        (
            taken(c.acknowledge(&update)),
            Call {
                acknowledge: Some(call::Acknowledge {
                    agent_id: agent_id(),
                    task_id,
                    uuid: Bytes::copy_from_slice(&UUID)
                }),
                ..of(Type::Acknowledge)
            }
        ),
        // S58
        (
            taken(c.acknowledge_operation_status(&status)),
            Call {
                acknowledge_operation_status: Some(call::AcknowledgeOperationStatus {
                    agent_id: status.agent_id.clone(),
                    resource_provider_id: status.resource_provider_id.clone(),
                    uuid: Bytes::copy_from_slice(&UUID),
                    operation_id: v1::OperationId { value: "op".to_string() }
                }),
                ..of(Type::AcknowledgeOperationStatus)
            }
        ),
    ]
}

// S43 to S60, S63, S64: every call as it stands on the wire, and its one outcome.
#[test]
fn every_kind_of_call() {
    let mut s = Script::subscribed(config().authorization(Authorization::basic("p", "s")));
    let mut expected = every_call(&mut s);
    assert_eq!(s.client.session().pending_calls, 16);
    for _ in 0..16 {
        let request = s.request();
        assert!(header(&request, "Authorization").is_some());
        assert_eq!(header(&request, "Content-Type"), Some(PROTOBUF));
        let call = decode(&request);
        let place = expected.iter().position(|(_, e)| *e == call).unwrap_or_else(|| panic!("unexpected {call:?}"));
        let (id, call) = expected.remove(place);
        let status = if call.r#type() == Type::UpdateFramework { 200 } else { 202 };
        s.answer(request.id(), status, "");
        match s.event() {
            Event::CallDone { id: told, kind, outcome } => {
                assert_eq!((told, outcome), (id, Outcome::Accepted { body: Bytes::new() }));
                assert_eq!(kind.as_str(), call.r#type().as_str_name());
            }
            other => panic!("{other:?}"),
        }
    }
    s.quiet();
    assert_eq!(s.client.session().pending_calls, 0);
}

// S61: what has an order keeps it, one at a time; acknowledgements go beside it, four at a time.
#[test]
fn lanes() {
    let mut s = Script::subscribed(config());
    let update = an_update(&mut s, Some(&UUID));
    for i in 0..3 {
        s.client.calls().kill(std::format!("t{i}"), None, None).expect("taken");
    }
    for _ in 0..6 {
        s.client.calls().acknowledge(&update).expect("taken");
    }
    s.drain();
    let lanes: Vec<_> = s.requests.iter().map(Request::lane).collect();
    assert_eq!(lanes, [Lane::Ordered, Lane::Acks, Lane::Acks, Lane::Acks, Lane::Acks]);
    let (first, call) = s.call();
    assert_eq!(call.kill.expect("KILL").task_id.value, "t0");
    let acks: Vec<_> = (0..4).map(|_| s.call().0).collect();
    s.quiet();
    s.answer(acks[2], 202, "");
    assert_eq!(s.request().lane(), Lane::Acks);
    // The head alone doesn't free the connection.
    s.head(first, Head::new(202));
    s.events.clear();
    s.quiet();
    s.feed(Input::End { id: first });
    assert_eq!(s.call().1.kill.expect("KILL").task_id.value, "t1");
    s.quiet();
}

// W3: a KILL that is given after an ACCEPT waits for the answer to that: it can't overtake the launch of its task.
#[test]
fn a_kill_goes_after_the_accept_before_it() {
    let mut s = Script::subscribed(config());
    let accept = s.client.calls().accept(["o1"], [task("t")], None).expect("taken");
    s.client.calls().kill("t", None, None).expect("taken");
    let (exchange, call) = s.call();
    assert_eq!(call.r#type(), Type::Accept);
    s.sleep(secs(10));
    s.quiet();
    s.answer(exchange, 202, "");
    assert!(matches!(s.outcome(accept), Outcome::Accepted { .. }));
    assert_eq!(s.call().1.kill.expect("KILL").task_id.value, "t");
}

// S44, S145
#[test]
fn what_a_status_means_for_a_call() {
    let text = || "why".to_string();
    let accepted = Outcome::Accepted { body: Bytes::new() };
    for (status, outcome, over) in [
        (200, accepted.clone(), false),
        (202, accepted, false),
        (307, Outcome::NotSent, true),
        (404, Outcome::NotSent, true),
        (503, Outcome::NotSent, true),
        (500, Outcome::Unknown, true),
        (502, Outcome::Unknown, true),
        (504, Outcome::Unknown, true),
        (400, Outcome::Rejected { status: 400, text: text() }, false),
        (403, Outcome::Rejected { status: 403, text: text() }, false),
        (405, Outcome::Rejected { status: 405, text: text() }, false),
        (409, Outcome::Rejected { status: 409, text: text() }, false),
        (413, Outcome::Rejected { status: 413, text: text() }, false),
        (415, Outcome::Rejected { status: 415, text: text() }, false),
        (429, Outcome::Rejected { status: 429, text: text() }, false),
        (501, Outcome::Rejected { status: 501, text: text() }, false),
        (204, Outcome::Rejected { status: 204, text: text() }, false),
    ] {
        for ack in [false, true] {
            let mut s = Script::subscribed(config());
            let update = an_update(&mut s, Some(&UUID));
            let id = match ack {
                true => s.client.calls().acknowledge(&update),
                false => s.client.calls().kill("t", None, None),
            };
            let (exchange, _) = s.call();
            s.answer(exchange, status, "why");
            assert_eq!(s.outcome(id.expect("taken")), outcome, "{status}");
            if over {
                s.disconnected();
                assert_eq!(s.aborts, [s.stream], "{status}");
            } else {
                s.quiet();
                s.client.calls().reconcile_all().expect("goes on");
            }
        }
    }
}

#[test]
fn unauthorized_calls() {
    let mut s = Script::subscribed(config());
    let id = s.client.calls().reconcile_all().expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 401, "no");
    assert!(matches!(s.outcome(id), Outcome::Rejected { status: 401, .. }));
    assert!(matches!(s.event(), Event::Fatal(FatalReason::Unauthorized { withheld: false, .. })));
    s.ended();

    let mut s = Script::subscribed(config().renewable_authorization());
    s.client.calls().reconcile_all().expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 401, "no");
    s.event();
    assert_eq!(s.event(), Event::Disconnected { reason: DisconnectReason::Unauthorized, retry_at: None });
    s.client.set_authorization(Authorization::basic("p", "new"));
    s.tick();
    let (request, _) = s.subscribe();
    assert!(header(&request, "Authorization").is_some());
}

// S62
#[test]
fn what_a_failure_means_for_a_call() {
    for (sent, ack, outcome, over) in [
        (Sent::No, false, Outcome::NotSent, false),
        (Sent::Maybe, false, Outcome::Unknown, true),
        (Sent::No, true, Outcome::NotSent, false),
        (Sent::Maybe, true, Outcome::Unknown, false),
    ] {
        let mut s = Script::subscribed(config());
        let update = an_update(&mut s, Some(&UUID));
        let id = match ack {
            true => s.client.calls().acknowledge(&update),
            false => s.client.calls().kill("t", None, None),
        };
        let id = id.expect("taken");
        let (exchange, _) = s.call();
        s.fail(exchange, sent);
        assert_eq!(s.outcome(id), outcome);
        if over {
            let kind = CallKind::Kill;
            assert_eq!(s.disconnected(), DisconnectReason::CallLost { id, kind, failure: failure(sent) });
            continue;
        }
        s.quiet();
        s.sleep(secs(20));
        assert_eq!(s.disconnected(), DisconnectReason::Suspect, "unless the stream shows life");
    }
}

#[test]
fn a_call_without_answer_ends_the_session() {
    let mut s = Script::subscribed(config().heartbeats_missed(1000));
    let first = s.client.calls().kill("t", None, None).expect("taken");
    let second = s.client.calls().kill("u", None, None).expect("taken");
    let (exchange, _) = s.call();
    s.sleep(millis(74_999));
    s.quiet();
    s.sleep(millis(1));
    assert_eq!(s.outcome(first), Outcome::Unknown);
    assert_eq!(s.outcome(second), Outcome::NotSent);
    assert_eq!(s.disconnected(), DisconnectReason::CallTimeout { id: first, kind: CallKind::Kill });
    assert_eq!(s.aborts, [s.stream, exchange]);
}

#[test]
fn an_answer_without_its_end_counts() {
    let mut s = Script::subscribed(config().heartbeats_missed(1000));
    let id = s.client.calls().kill("t", None, None).expect("taken");
    let (exchange, _) = s.call();
    s.head(exchange, Head::new(400));
    s.feed(Input::Body { id: exchange, data: &[b'x'; 5000] });
    s.sleep(secs(75));
    match s.outcome(id) {
        Outcome::Rejected { status: 400, text } => assert_eq!(text.len(), 4096),
        other => panic!("{other:?}"),
    }
    let id = s.client.calls().kill("t", None, None).expect("taken");
    let (exchange, _) = s.call();
    s.head(exchange, Head::new(202));
    assert_eq!(s.outcome(id), Outcome::Accepted { body: Bytes::new() });
    s.fail(exchange, Sent::Maybe);
    s.quiet();
}

// S62, W60: nothing of a session crosses into the next one.
#[test]
fn the_calls_of_a_session_end_with_it() {
    let mut s = Script::subscribed(config());
    let flying = s.client.calls().kill("t", None, None).expect("taken");
    let waiting = s.client.calls().kill("u", None, None).expect("taken");
    let suppress = s.client.calls().suppress(["a"]).expect("taken");
    let (old, _) = s.call();
    s.feed(Input::End { id: s.stream });
    assert_eq!(s.outcome(flying), Outcome::Unknown);
    assert_eq!(s.outcome(waiting), Outcome::NotSent);
    assert_eq!(s.outcome(suppress), Outcome::Carried);
    assert_eq!(s.disconnected(), DisconnectReason::Closed);
    assert_eq!(s.aborts, [old]);
    assert_eq!(s.client.calls().kill("u", None, None), Err(CallError::NotSubscribed));
    s.answer(old, 202, "");
    s.sleep(secs(1));
    let (request, subscribe) = s.subscribe();
    assert_eq!(subscribe.suppressed_roles, ["a"]);
    s.head(request.id(), stream_head());
    s.event();
    s.record(&subscribed("f-1", None));
    s.event();
    s.quiet();
}

// S62: SUPPRESS and REVIVE need no subscription, unless one is just being made.
#[test]
fn suppress_and_revive_while_there_is_no_subscription() {
    let mut s = Script::new(config());
    let id = s.client.calls().suppress(["a", "b"]).expect("taken");
    assert_eq!(s.outcome(id), Outcome::Carried);
    assert_eq!(s.client.suppressed_roles().collect::<Vec<_>>(), ["a", "b"]);
    s.tick();
    let revive = s.client.calls().revive(["a"]).expect("taken");
    s.drain();
    assert_eq!(s.requests.len(), 1, "held until there is a subscription");
    let (request, subscribe) = s.subscribe();
    assert_eq!(subscribe.suppressed_roles, ["a", "b"]);
    s.head(request.id(), stream_head());
    s.event();
    s.record(&subscribed("f-1", None));
    s.event();
    let (exchange, call) = s.call();
    assert_eq!(call.revive.expect("REVIVE").roles, ["a"]);
    s.answer(exchange, 202, "");
    assert!(matches!(s.outcome(revive), Outcome::Accepted { .. }));
    assert_eq!(s.client.suppressed_roles().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn suppress_and_revive_check_their_roles() {
    let mut s = Script::subscribed(config());
    assert_eq!(s.client.calls().revive(["a", "zzz"]), Err(CallError::Role("zzz".to_string())));
    assert_eq!(s.client.calls().suppress(["zzz"]), Err(CallError::Role("zzz".to_string())));
    s.quiet();
    s.client.calls().suppress([""; 0]).expect("taken");
    assert_eq!(s.client.suppressed_roles().collect::<Vec<_>>(), ["a", "b"]);
    s.client.calls().revive([""; 0]).expect("taken");
    assert_eq!(s.client.suppressed_roles().count(), 0);
}

#[test]
fn update_framework_is_adopted_with_its_200_only() {
    let mut s = Script::subscribed(config().authorization(Authorization::basic("p", "s")));
    // As a user would write it: without id and principal.
    let new = Framework::new("renamed").roles(["b", "c"]).info().clone();
    let id = s.client.calls().update_framework(new, ["c"], None).expect("taken");
    let after = s.client.calls().suppress(["b"]).expect("taken");
    let (exchange, call) = s.call();
    let sent = call.update_framework.expect("UPDATE_FRAMEWORK").framework_info;
    assert_eq!(sent.id.as_ref().map(|id| id.value.as_str()), Some("f-1"));
    assert_eq!(sent.principal.as_deref(), Some("p"));
    s.quiet();
    assert_eq!(s.client.framework().name, "test");
    s.answer(exchange, 200, "");
    assert!(matches!(s.outcome(id), Outcome::Accepted { .. }));
    assert_eq!(s.client.framework().name, "renamed");
    assert_eq!(s.client.suppressed_roles().collect::<Vec<_>>(), ["b", "c"], "what was said later stands");
    let (exchange, _) = s.call();
    s.answer(exchange, 202, "");
    assert!(matches!(s.outcome(after), Outcome::Accepted { .. }));

    s.client.calls().update_framework(Framework::new("again").info().clone(), [""; 0], None).expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 400, "no");
    s.event();
    assert_eq!(s.client.framework().name, "renamed");
}

#[test]
fn update_framework_is_checked_first() {
    let mut s = Script::subscribed(config());
    let mut refused = |change: fn(&mut v1::FrameworkInfo), suppressed: &[&str]| {
        let mut info = s.client.framework().clone();
        change(&mut info);
        s.client.calls().update_framework(info, suppressed, None).expect_err("refused")
    };
    assert_eq!(refused(|i| i.user = "x".into(), &[]), CallError::Immutable("the user"));
    assert_eq!(refused(|i| i.checkpoint = None, &[]), CallError::Immutable("checkpoint"));
    assert_eq!(refused(|i| i.principal = Some("x".into()), &[]), CallError::Immutable("the principal"));
    let other = |i: &mut v1::FrameworkInfo| i.id = Some(v1::FrameworkId { value: "x".into() });
    assert_eq!(refused(other, &[]), CallError::Immutable("the framework's id"));
    assert!(matches!(refused(|i| i.roles = ["/".into()].into(), &[]), CallError::Framework(_)));
    assert!(matches!(refused(|_| (), &["zzz"]), CallError::Framework(_)));
    s.quiet();
}

#[test]
fn reconcile_operations_of_old_masters_has_a_body() {
    let mut s = Script::subscribed(config());
    let id = s.client.calls().reconcile_operations([]).expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 200, "body");
    assert_eq!(s.outcome(id), Outcome::Accepted { body: Bytes::from_static(b"body") });
}

// S51, W1: no uuid, no acknowledgement; nothing is sent.
#[test]
fn updates_that_must_not_be_acknowledged() {
    let mut s = Script::subscribed(config());
    let mut version_7 = UUID;
    version_7[6] = 0x77;
    for (uuid, error) in [
        (None, CallError::NoUuid),
        (Some(&[][..]), CallError::NoUuid),
        (Some(&[0; 16][..]), CallError::Uuid),
        (Some(&UUID[..15]), CallError::Uuid),
        (Some(&version_7[..]), CallError::Uuid),
    ] {
        let update = an_update(&mut s, uuid);
        assert_eq!(s.client.calls().acknowledge(&update), Err(error));
    }
    let mut without_agent = update(Some(&UUID));
    without_agent.update.as_mut().expect("a body").status.agent_id = None;
    s.record(&without_agent);
    let Event::Update(update) = s.event() else { panic!("an update") };
    assert_eq!(s.client.calls().acknowledge(&update), Err(CallError::NoAgent));
    for (status, error) in [
        (v1::OperationStatus { uuid: None, ..operation_status() }, CallError::NoUuid),
        (v1::OperationStatus { agent_id: None, ..operation_status() }, CallError::NoAgent),
        (v1::OperationStatus { operation_id: None, ..operation_status() }, CallError::NoOperation),
        (v1::OperationStatus { uuid: Some(v1::Uuid::default()), ..operation_status() }, CallError::NoUuid),
    ] {
        assert_eq!(s.client.calls().acknowledge_operation_status(&status), Err(error));
    }
    s.quiet();
}

#[test]
fn ids_are_checked() {
    let mut s = Script::subscribed(config());
    let mut c = s.client.calls();
    let fault = |what, error| Err(CallError::Id { what, error });
    assert_eq!(c.accept([""; 0], [], None), Err(CallError::NoOffers));
    assert_eq!(c.decline([""; 0], None), Err(CallError::NoOffers));
    assert_eq!(c.accept_inverse_offers([""; 0], None), Err(CallError::NoOffers));
    assert_eq!(c.decline(["o", ""], None), fault("offer id", IdError::Empty));
    assert_eq!(c.accept(["o"], [task("a/b")], None), fault("task id", IdError::Character));
    assert_eq!(c.kill("..", None, None), fault("task id", IdError::Reserved));
    assert_eq!(c.kill("t", Some(""), None), fault("agent id", IdError::Empty));
    assert_eq!(c.shutdown("e".repeat(256), "s"), fault("executor id", IdError::TooLong));
    assert_eq!(c.message("e", "\n", ""), fault("agent id", IdError::Character));
    assert_eq!(c.reconcile([("", None::<&str>)]), fault("task id", IdError::Empty));
    s.quiet();
}

// A call of type UNKNOWN makes a real master abort.
#[test]
fn raw_calls() {
    let mut s = Script::subscribed(config());
    let of = |kind: i32| Call { r#type: Some(kind), ..Default::default() };
    for kind in [Type::Unknown.into(), 99, -1] {
        assert_eq!(s.client.calls().call(of(kind)), Err(CallError::UnknownType));
    }
    assert_eq!(s.client.calls().call(Call::default()), Err(CallError::UnknownType));
    assert_eq!(s.client.calls().call(of(Type::Subscribe.into())), Err(CallError::Subscribe));
    for kind in Type::Accept.into()..=i32::from(Type::UpdateFramework) {
        let result = s.client.calls().call(of(kind));
        match Type::try_from(kind).expect("a kind") {
            Type::Revive | Type::Suppress => assert!(result.is_ok()),
            kind => assert_eq!(result, Err(CallError::NoBody(kind.as_str_name()))),
        }
    }
    // A foreign framework id is replaced.
    s.requests.clear();
    let foreign = Some(v1::FrameworkId { value: "other".to_string() });
    let revive = Call { framework_id: foreign, revive: Some(call::Revive::default()), ..of(Type::Revive.into()) };
    let (exchange, _) = s.call();
    s.answer(exchange, 202, "");
    s.client.calls().call(revive).expect("taken");
    let (exchange, _) = s.call();
    s.answer(exchange, 202, "");
    let (_, call) = s.call();
    assert_eq!(call.framework_id.map(|id| id.value).as_deref(), Some("f-1"));
}

#[test]
fn what_waits_is_bounded() {
    let mut s = Script::subscribed(config().queue_limits(2, 1000));
    let kill = |s: &mut Script| s.client.calls().kill("t", None, None);
    assert!(kill(&mut s).is_ok() && kill(&mut s).is_ok());
    assert_eq!(kill(&mut s), Err(CallError::QueueFull { waiting: 2 }));
    s.drain();
    assert!(kill(&mut s).is_ok(), "one is on its way");
    assert_eq!(kill(&mut s), Err(CallError::QueueFull { waiting: 2 }));
    let update = an_update(&mut s, Some(&UUID));
    s.client.calls().acknowledge(&update).expect("another lane");
    let size = match s.client.calls().message("e", "s", std::vec![0; 2000]) {
        Err(CallError::TooLarge { size, limit: 1000 }) => size,
        other => panic!("{other:?}"),
    };
    assert!(size > 2000);
    let mut s = Script::subscribed(config().queue_limits(100, 1000));
    s.client.calls().message("e", "s", std::vec![0; 700]).expect("fits");
    let full = s.client.calls().message("e", "s", std::vec![0; 700]);
    assert_eq!(full, Err(CallError::QueueFull { waiting: 1 }));
}

// What the engine sees of a call that passes it.
#[test]
fn offers_of_a_call_can_be_told() {
    let filters = Some(v1::Filters { refuse_seconds: Some(1.0) });
    let decline = Outgoing::decline(CallKind::Decline, ["o1", "o2"], filters).expect("good");
    assert_eq!(decline.kind, CallKind::Decline);
    assert_eq!(decline.offer_ids().collect::<Vec<_>>(), ["o1", "o2"]);
    let offer_ids = [v1::OfferId { value: "o3".to_string() }].into();
    let accept = call::Accept { offer_ids, operations: [task("t")].into(), filters };
    let accept = Call { r#type: Some(Type::Accept.into()), accept: Some(accept), ..Default::default() };
    assert_eq!(Outgoing::new(accept).expect("good").offer_ids().collect::<Vec<_>>(), ["o3"]);
    let inverse = Outgoing::decline(CallKind::AcceptInverseOffers, ["i"], None).expect("good");
    assert_eq!(inverse.offer_ids().count(), 0);
}
