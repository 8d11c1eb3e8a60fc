//! SHUTDOWN, lost agents, refusals, `stop`: each end, and how long it may take.

use super::*;

fn shutdown() -> v1::executor::Event {
    event(event::Type::Shutdown)
}

/// The event that announces the end, and the kills that follow.
fn shutting_down(s: &mut Script) -> (Cause, Duration, Vec<String>) {
    let Event::Shutdown { cause, deadline, grace } = s.event() else { panic!("a shutdown") };
    assert_eq!(deadline.saturating_duration_since(s.now), grace);
    let mut kills = Vec::new();
    while let Some(Event::Kill { .. }) = s.events.front() {
        let Event::Kill { task_id, .. } = s.event() else { unreachable!("a kill") };
        kills.push(task_id.value);
    }
    (cause, grace, kills)
}

// S197
#[test]
fn shutdown_kills_every_live_task_and_ends_with_the_last_acknowledgement() {
    let mut s = Script::running(checkpointing(), &["z", "done", "a"]);
    s.report("done", TaskFinished);
    s.take("done", TaskFinished);
    s.record(&shutdown());
    assert_eq!(shutting_down(&mut s), (Cause::Shutdown, millis(4500), ["z", "a"].map(String::from).to_vec()));
    s.report("z", TaskKilled);
    s.take("z", TaskKilled);
    s.quiet();
    s.report("a", TaskKilled);
    s.take("a", TaskKilled);
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Shutdown });
}

// S197: exit within the grace period, whatever the tasks do, and before the agent, whose clock started earlier, ends it.
#[test]
fn the_grace_period_ends_everything() {
    let mut s = Script::running(checkpointing(), &["t", "u"]);
    s.report("u", TaskRunning);
    s.record(&shutdown());
    shutting_down(&mut s);
    s.update();
    s.sleep(millis(4499));
    s.quiet();
    s.sleep(millis(1));
    assert!(matches!(s.event(), Event::UpdateLost { status, reason: LostReason::Unacknowledged }
        if status.task_id.value == "u"));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Shutdown });
}

// S188: the executor's own description beats the agent's default.
#[test]
fn the_grace_period_of_the_executor_info() {
    let mut s = Script::new(checkpointing());
    s.open_stream();
    let mut event = subscribed(true);
    if let Some(subscribed) = &mut event.subscribed {
        subscribed.executor_info.shutdown_grace_period = Some(secs(30).into());
    }
    s.record(&event);
    s.event();
    s.launch("t");
    s.record(&shutdown());
    assert_eq!(shutting_down(&mut s).1, secs(27));
}

// SHUTDOWN may be the first event, and then it is the last one.
#[test]
fn shutdown_as_the_first_event() {
    let mut s = Script::new(checkpointing());
    s.open_stream();
    s.record(&shutdown());
    assert_eq!(shutting_down(&mut s), (Cause::Shutdown, millis(4500), Vec::new()));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Shutdown });

    // Too late after an agent's restart: the tasks are lost, but they still run here.
    let mut s = Script::running(checkpointing(), &["t"]);
    s.cut();
    s.disconnected();
    s.sleep(secs(2));
    s.open_stream();
    s.record(&shutdown());
    s.feed(Input::End { id: s.stream });
    assert_eq!(shutting_down(&mut s).2, ["t"]);
    s.report("t", TaskKilled);
    let (id, _) = s.update();
    s.answer(id, 403, "Executor is not subscribed");
    assert!(matches!(s.event(), Event::UpdateLost { reason: LostReason::Rejected { status: 403, .. }, .. }));
    s.sleep(secs(5));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Shutdown });
}

// Torn down: updates are taken, but nobody acknowledges them any more.
#[test]
fn an_agent_that_takes_updates_but_acknowledges_none() {
    let mut s = Script::running(checkpointing().acknowledgement_timeout(secs(2)), &["t"]);
    s.record(&shutdown());
    shutting_down(&mut s);
    s.report("t", TaskKilled);
    let (id, _) = s.update();
    s.answer(id, 202, "");
    s.sleep(millis(1999));
    s.quiet();
    s.sleep(millis(1));
    assert!(matches!(s.event(), Event::UpdateLost { .. }));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Shutdown });
}

// The stream ends during the shutdown: what is left to say goes out all the same.
#[test]
fn a_stream_that_ends_during_the_shutdown() {
    let mut s = Script::running(checkpointing(), &["t", "u"]);
    s.record(&shutdown());
    shutting_down(&mut s);
    s.report("t", TaskKilled);
    s.report("u", TaskKilled);
    let (id, _) = s.update();
    s.feed(Input::End { id: s.stream });
    assert_eq!(s.disconnected(), (DisconnectReason::Closed, None));
    s.answer(id, 202, "");
    let (id, status) = s.update();
    assert_eq!(status.task_id.value, "u");
    s.answer(id, 202, "");
    for _ in 0..2 {
        assert!(matches!(s.event(), Event::UpdateLost { reason: LostReason::Unacknowledged, .. }));
    }
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Shutdown });
}

// S196: without checkpointing there is nothing to come back to.
#[test]
fn a_disconnection_without_checkpointing_is_the_end() {
    let mut s = Script::running(fleeting(), &["t"]);
    s.report("t", TaskRunning);
    s.take("t", TaskRunning);
    s.cut();
    assert_eq!(s.disconnected().1, None);
    assert_eq!(shutting_down(&mut s), (Cause::NoCheckpoint, millis(4500), ["t".to_string()].to_vec()));
    s.report("t", TaskKilled);
    // Nobody is there: two attempts, and that is all.
    for _ in 0..2 {
        let (id, _) = s.update();
        s.feed(Input::Failed { id, failure: failure(Sent::No) });
        s.sleep(millis(500));
    }
    assert!(matches!(s.event(), Event::UpdateLost { .. }));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::NoCheckpoint });
}

// S196: from the first disconnection on; an attempt that gets somewhere doesn't start it anew.
#[test]
fn the_recovery_timeout() {
    let mut s = Script::running(env(&[("MESOS_CHECKPOINT", "1"), ("MESOS_RECOVERY_TIMEOUT", "10secs")]), &["t"]);
    s.cut();
    let lost = s.now;
    let end = loop {
        s.sleep(millis(10));
        s.events.retain(|event| !matches!(event, Event::Disconnected { .. }));
        if !s.events.is_empty() {
            break s.now;
        }
        if let Some(request) = s.requests.pop_front() {
            s.head(request.id(), Head::new(200).header("content-type", PROTOBUF.as_bytes()));
            s.feed(Input::End { id: request.id() });
        }
    };
    assert_eq!(end.saturating_duration_since(lost), secs(10));
    assert_eq!(shutting_down(&mut s), (Cause::RecoveryTimeout, millis(4500), ["t".to_string()].to_vec()));
    s.sleep(secs(5));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::RecoveryTimeout });
}

#[test]
fn a_subscription_ends_the_recovery() {
    let mut s = Script::running(env(&[("MESOS_CHECKPOINT", "1"), ("MESOS_RECOVERY_TIMEOUT", "10secs")]), &["t"]);
    for _ in 0..3 {
        s.cut();
        s.disconnected();
        s.sleep(secs(2));
        s.accept_subscription();
        s.sleep(secs(9));
        s.quiet();
    }
}

// An agent that was never there: within the time after which it would have killed us.
#[test]
fn an_unreachable_agent() {
    for (config, limit) in [(fleeting(), secs(60)), (checkpointing(), secs(15 * 60))] {
        let mut s = Script::new(config);
        let start = s.now;
        while s.client.session().state != SessionState::Ended {
            s.sleep(millis(100));
            while let Some(request) = s.requests.pop_front() {
                s.feed(Input::Failed { id: request.id(), failure: failure(Sent::No) });
            }
        }
        assert_eq!(s.now.saturating_duration_since(start), limit);
        s.events.retain(|event| !matches!(event, Event::Disconnected { .. }));
        assert_eq!(shutting_down(&mut s).0, Cause::RecoveryTimeout);
        assert_eq!(s.ended(), Event::Stopped { cause: Cause::RecoveryTimeout });
    }
}

// A wrong token, an executor that the agent doesn't know, and other answers that no repetition changes.
#[test]
fn refused_for_good() {
    for status in [400, 401, 403, 405, 406, 415, 501] {
        let reason = match status {
            401 => FatalReason::Unauthorized { text: "no".into() },
            _ => FatalReason::Refused { status, text: "no".into() },
        };
        let mut s = Script::new(checkpointing());
        let (request, _) = s.subscribe();
        s.answer(request.id(), status, "no");
        assert_eq!(shutting_down(&mut s).0, Cause::Fatal(reason.clone()));
        assert_eq!(s.ended(), Event::Fatal(reason.clone()));

        // With tasks these are ended first.
        let mut s = Script::running(checkpointing(), &["t"]);
        s.cut();
        s.disconnected();
        s.sleep(secs(2));
        let (request, _) = s.subscribe();
        s.answer(request.id(), status, "no");
        assert_eq!(shutting_down(&mut s).2, ["t"]);
        s.sleep(secs(5));
        assert_eq!(s.ended(), Event::Fatal(reason));
    }
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskRunning);
    let (id, _) = s.update();
    s.answer(id, 401, "expired");
    assert!(matches!(shutting_down(&mut s).0, Cause::Fatal(FatalReason::Unauthorized { .. })));
}

// An executor whose work is done.
#[test]
fn stop_waits_for_acknowledgements() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskFinished);
    s.client.message("bye").expect("room");
    s.client.stop();
    let (id, status) = s.update();
    s.answer(id, 202, "");
    s.acknowledge(&status);
    s.event();
    let (id, _) = s.call();
    s.quiet();
    s.answer(id, 202, "");
    assert!(s.aborts.contains(&s.stream));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Asked });

    let mut s = Script::subscribed(checkpointing());
    s.client.stop();
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Asked });
}

// ... but not for ever: an agent that has forgotten the task never acknowledges.
#[test]
fn stop_does_not_wait_for_ever() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskFinished);
    let (id, _) = s.update();
    s.answer(id, 202, "");
    s.sleep(secs(60));
    s.client.stop();
    s.sleep(millis(4999));
    s.quiet();
    s.sleep(millis(1));
    assert!(matches!(s.event(), Event::UpdateLost { reason: LostReason::Unacknowledged, .. }));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Asked });

    // 503 without end.
    let mut s = Script::running(env(&[("MESOS_CHECKPOINT", "1"), ("MESOS_RECOVERY_TIMEOUT", "20secs")]), &["t"]);
    s.report("t", TaskFinished);
    s.client.stop();
    let start = s.now;
    while s.client.session().state != SessionState::Ended {
        s.sleep(millis(100));
        while let Some(request) = s.requests.pop_front() {
            s.answer(request.id(), 503, "");
        }
    }
    assert_eq!(s.now.saturating_duration_since(start), secs(20));
}

// ... and while the agent restarts, for as long as the agent may take.
#[test]
fn stop_waits_for_an_agent_that_restarts() {
    let mut s = Script::running(checkpointing(), &["t"]);
    s.report("t", TaskFinished);
    s.update();
    s.cut();
    s.disconnected();
    s.client.stop();
    for _ in 0..30 {
        s.sleep(secs(2));
        let (request, _) = s.subscribe();
        s.feed(Input::Failed { id: request.id(), failure: failure(Sent::No) });
        s.disconnected();
    }
    s.sleep(secs(2));
    let body = s.accept_subscription();
    s.acknowledge(&body.unacknowledged_updates[0].status);
    assert!(matches!(s.event(), Event::Acknowledged { .. }));
    assert_eq!(s.ended(), Event::Stopped { cause: Cause::Asked });
}
