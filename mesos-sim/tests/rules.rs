//! The simulated cluster keeps to what a real one was seen to do. No sockets, no clock.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use mesos_proto::v1;
use mesos_sim::{AgentOptions, ExchangeId, Exit};
use prost::Message as _;
use v1::TaskState::*;
use v1::scheduler::{Call, Event, call, event};
use v1::task_status::Reason;

mod bench;

use bench::*;

#[test]
fn first_events_are_subscribed_heartbeat_offers() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_secs(1));
    let kinds: Vec<_> = bench.events[&framework.exchange].iter().map(Event::r#type).collect();
    assert_eq!(kinds, [event::Type::Subscribed, event::Type::Heartbeat, event::Type::Offers]);
    bench.wait(Duration::from_secs(30));
    assert_eq!(bench.events[&framework.exchange].len(), 5, "a heartbeat each 15 s");
}

#[test]
fn updates_wait_for_their_acknowledgement_and_come_again() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.launch(&framework, &[&offer], task("t", &offer));
    let first = bench.updates(&framework);
    assert_eq!(states(&first), [TaskStarting]);
    // 10, 20, 40 s, and always the same one.
    for wait in [10, 20, 40] {
        bench.wait(Duration::from_secs(wait) - Duration::from_millis(1));
        assert_eq!(bench.updates(&framework), []);
        bench.wait(Duration::from_millis(1));
        assert_eq!(bench.updates(&framework), first);
    }
    // Not the oldest pending one: nothing happens.
    let wrong = v1::TaskStatus { uuid: Some(vec![0x44; 16].into()), ..first[0].clone() };
    assert_eq!(bench.acknowledge(&framework, &wrong), 202);
    assert_eq!(bench.updates(&framework), []);
    assert_eq!(bench.acknowledge(&framework, &first[0]), 202);
    let second = bench.updates(&framework);
    assert_eq!(states(&second), [TaskRunning]);
    assert_eq!(bench.acknowledge(&framework, &second[0]), 202);
    assert_eq!(bench.acknowledge(&framework, &second[0]), 202, "a second time does no harm");
    let name = bench.started[0].clone();
    bench.cluster.ended(&name, &Exit::Status(3));
    bench.drain();
    let third = bench.updates(&framework);
    assert_eq!((states(&third), third[0].message()), (vec![TaskFailed], "Command exited with status 3"));
    bench.acknowledge(&framework, &third[0]);
    assert_eq!(states(&bench.reconcile(&framework, &[("t", Some(&offer.agent_id.value))])), [TaskGone]);
}

#[test]
fn malformed_uuids_are_400() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    for uuid in [vec![], vec![0; 16], vec![0x44; 15], vec![0x44; 17], b"0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f".to_vec()]
    {
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: "t".into() },
            agent_id: Some(v1::AgentId { value: "a".into() }),
            uuid: Some(uuid.into()),
            ..Default::default()
        };
        assert_eq!(bench.acknowledge(&framework, &status), 400);
    }
}

#[test]
fn declined_offers_come_back_when_their_filter_ends() {
    for (seconds, wait) in [(None, 5.0), (Some(3.0), 3.0), (Some(-1.0), 5.0), (Some(0.0), 0.0)] {
        let mut bench = Bench::new(options());
        let framework = bench.subscribed(info());
        bench.wait(Duration::from_millis(300));
        let offer = bench.offers(&framework).remove(0);
        assert_eq!(bench.call(&framework, decline(&offer, seconds)), 202);
        bench.wait(Duration::from_secs_f64(wait));
        bench.wait(Duration::from_millis(250));
        assert_eq!(bench.offers(&framework).len(), 1, "{seconds:?}");
    }
}

#[test]
fn filters_outlive_a_failover_but_not_a_cut_nor_revive() {
    let mut bench = Bench::new(options());
    let mut framework = bench.subscribed(info());
    let again = v1::FrameworkInfo { id: Some(framework.id.clone()), ..info() };
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.call(&framework, decline(&offer, Some(3600.0)));
    framework = bench.subscribed(again.clone());
    bench.wait(Duration::from_secs(8));
    assert_eq!(bench.offers(&framework).len(), 0, "the master never noticed a disconnection");
    bench.call(&framework, kind(call::Type::Revive));
    bench.wait(Duration::from_millis(50));
    let offer = bench.offers(&framework).remove(0);
    bench.call(&framework, decline(&offer, Some(3600.0)));
    bench.cluster.closed(ExchangeId(framework.exchange));
    framework = bench.subscribed(again);
    bench.wait(Duration::from_millis(300));
    assert_eq!(bench.offers(&framework).len(), 1, "the stream was closed");
}

#[test]
fn suppress_and_revive() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.call(&framework, kind(call::Type::Suppress));
    bench.call(&framework, decline(&offer, Some(0.0)));
    bench.wait(Duration::from_secs(4));
    assert_eq!(bench.offers(&framework).len(), 0);
    let revive = call::Revive { roles: vec!["r".into(), "other".into()] };
    bench.call(&framework, Call { revive: Some(revive), ..kind(call::Type::Revive) });
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.offers(&framework).len(), 0, "one wrong role voids the call");
    bench.call(&framework, kind(call::Type::Revive));
    bench.wait(Duration::from_millis(50));
    assert_eq!(bench.offers(&framework).len(), 1);
}

#[test]
fn one_bad_offer_spoils_the_accept() {
    let mut bench = Bench::new(options().agents([AgentOptions::default(), AgentOptions::default()]));
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offers = bench.offers(&framework);
    assert_eq!(offers.len(), 2);
    bench.launch(&framework, &[&offers[0], &offers[1]], task("t", &offers[0]));
    let updates = bench.updates(&framework);
    assert_eq!(
        (states(&updates), updates[0].reason(), &updates[0].uuid),
        (vec![TaskDropped], Reason::InvalidOffers, &None)
    );
    bench.wait(Duration::from_millis(300));
    assert_eq!(bench.offers(&framework).len(), 2, "they come back, without the filter");
    bench.launch(&framework, &[&offers[0]], task("t", &offers[0]));
    assert_eq!(states(&bench.updates(&framework)), [TaskDropped], "used already");
}

#[test]
fn an_invalid_task_is_an_error_and_the_rest_runs() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    let offer = bench.run(&framework, "live");
    bench.call(&framework, kind(call::Type::Revive));
    bench.wait(Duration::from_millis(300));
    for spoil in [
        (|task: &mut v1::TaskInfo| task.task_id.value = "live".into()) as fn(&mut v1::TaskInfo),
        |task| task.task_id.value = "a/b".into(),
        |task| task.resources.clear(),
        |task| task.command = None,
        |task| task.agent_id.value = "other".into(),
        |task| task.resources[0].scalar = Some(v1::value::Scalar { value: 1000.0 }),
    ] {
        bench.call(&framework, kind(call::Type::Revive));
        bench.wait(Duration::from_millis(300));
        let offer = bench.offers(&framework).remove(0);
        let mut bad = task("new", &offer);
        spoil(&mut bad);
        assert_eq!(bench.launch(&framework, &[&offer], bad), 202);
        let updates = bench.updates(&framework);
        assert_eq!((states(&updates), updates[0].reason()), (vec![TaskError], Reason::TaskInvalid));
    }
    let live = bench.reconcile(&framework, &[("live", None)]);
    assert_eq!((states(&live), &live[0].agent_id), (vec![TaskRunning], &Some(offer.agent_id)));
}

#[test]
fn kill_of_a_known_and_of_an_unknown_task() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    let offer = bench.run(&framework, "t");
    let kill = |task: &str, agent: Option<&str>| Call {
        kill: Some(call::Kill {
            task_id: v1::TaskId { value: task.into() },
            agent_id: agent.map(|agent| v1::AgentId { value: agent.into() }),
            ..Default::default()
        }),
        ..kind(call::Type::Kill)
    };
    bench.call(&framework, kill("t", Some("wrong")));
    assert_eq!(bench.updates(&framework), [], "another agent: dropped");
    bench.call(&framework, kill("nobody", Some(&offer.agent_id.value)));
    bench.call(&framework, kill("nobody", None));
    let updates = bench.updates(&framework);
    assert_eq!(states(&updates), [TaskGone, TaskUnknown]);
    assert!(updates.iter().all(|update| update.reason() == Reason::Reconciliation && update.uuid.is_none()));
    bench.call(&framework, kill("t", None));
    let killing = bench.updates(&framework);
    assert_eq!(states(&killing), [TaskKilling]);
    bench.acknowledge(&framework, &killing[0]);
    assert_eq!(states(&bench.updates(&framework)), [TaskKilled]);
    assert_eq!(bench.stopped.len(), 1);
}

#[test]
fn failover_throws_the_old_stream_out_and_repeats_updates() {
    let mut bench = Bench::new(options());
    let old = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&old).remove(0);
    bench.launch(&old, &[&offer], task("t", &offer));
    let first = bench.updates(&old);
    let new = bench.subscribed(v1::FrameworkInfo { id: Some(old.id.clone()), ..info() });
    let last = bench.take(&old);
    assert_eq!(last[0].error.as_ref().unwrap().message, "Framework failed over");
    assert!(bench.ended.contains(&old.exchange));
    assert_eq!(bench.call(&old, kind(call::Type::Revive)), 400, "the old stream id");
    assert_eq!(bench.updates(&new), first, "again, with the same uuid");
    bench.launch(&new, &[&offer], task("u", &offer));
    assert_eq!(states(&bench.updates(&new)), [TaskDropped], "offers of before are void");
}

#[test]
fn removed_frameworks_stay_removed() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.run(&framework, "t");
    assert_eq!(bench.call(&framework, kind(call::Type::Teardown)), 202);
    assert!(bench.ended.contains(&framework.exchange));
    assert_eq!(bench.stopped.len(), 1, "its tasks end");
    assert_eq!(bench.call(&framework, kind(call::Type::Revive)), 400);
    let exchange = bench.subscribe(v1::FrameworkInfo { id: Some(framework.id), ..info() });
    assert_eq!(bench.responses[&exchange].status, 200);
    assert_eq!(bench.events[&exchange][0].error.as_ref().unwrap().message, "Framework has been removed");
}

#[test]
fn a_disconnected_framework_has_its_failover_timeout() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.cluster.closed(ExchangeId(framework.exchange));
    assert_eq!(bench.call(&framework, kind(call::Type::Revive)), 403);
    bench.wait(Duration::from_secs(59));
    assert_eq!(bench.call(&framework, kind(call::Type::Revive)), 403);
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.call(&framework, kind(call::Type::Revive)), 400);
}

#[test]
fn refused_subscriptions_are_200_with_an_error() {
    let mut bench = Bench::new(options());
    for spoil in [
        (|info: &mut v1::FrameworkInfo| info.roles.push("/bad".into())) as fn(&mut v1::FrameworkInfo),
        |info| info.roles.push("r".into()),
        |info| info.capabilities.clear(),
        |info| info.failover_timeout = Some(1e300),
    ] {
        let mut info = info();
        spoil(&mut info);
        let exchange = bench.subscribe(info);
        assert_eq!(bench.responses[&exchange].status, 200);
        assert!(bench.events[&exchange][0].error.is_some());
        assert!(bench.ended.contains(&exchange));
    }
}

#[test]
fn http_checks_in_their_order() {
    let mut bench = Bench::new(options().masters(3));
    let protobuf = ("Content-Type", "application/x-protobuf");
    let status = |bench: &mut Bench, headers: &[(&str, &str)], body: Vec<u8>| {
        let exchange = bench.post(0, headers, body);
        bench.responses[&exchange].status
    };
    assert_eq!(status(&mut bench, &[], vec![]), 400);
    assert_eq!(status(&mut bench, &[("Content-Type", "application/x-protobuf; charset=utf-8")], vec![]), 415);
    assert_eq!(status(&mut bench, &[protobuf], vec![0xff]), 400);
    assert_eq!(status(&mut bench, &[protobuf], kind(call::Type::Revive).encode_to_vec()), 400, "no framework id");
    let subscribe = Call {
        subscribe: Some(call::Subscribe { framework_info: info(), ..Default::default() }),
        ..kind(call::Type::Subscribe)
    };
    assert_eq!(status(&mut bench, &[protobuf, ("Accept", "text/html")], subscribe.encode_to_vec()), 406);
    assert_eq!(status(&mut bench, &[protobuf, ("Mesos-Stream-Id", "x")], subscribe.encode_to_vec()), 400);
    let exchange = bench.post(1, &[], vec![]);
    let response = &bench.responses[&exchange];
    assert_eq!(response.status, 307, "before all other checks");
    assert_eq!(response.headers[0], ("Location", "//127.0.0.1:5050/master/api/v1/scheduler".into()));
}

#[test]
fn credentials_are_checked_on_every_request() {
    let mut bench = Bench::new(options().credential("alice", "secret"));
    let exchange = bench.subscribe(info());
    assert_eq!(bench.responses[&exchange].status, 401);
    assert_eq!(bench.responses[&exchange].headers[1].0, "WWW-Authenticate");
}

#[test]
fn a_new_master_is_silent_until_agents_are_back() {
    let mut bench = Bench::new(options().masters(3).reregistration(Duration::from_secs(9)));
    bench.wait(Duration::from_secs(10));
    let framework = bench.subscribed(info());
    let offer = bench.run(&framework, "t");
    bench.cluster.kill_master(0);
    bench.drain();
    assert!(bench.cut.contains(&framework.exchange));
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.cluster.leader(), Some(1));
    let framework = bench.subscribed(v1::FrameworkInfo { id: Some(framework.id), ..info() });
    let agent = Some(offer.agent_id.value.as_str());
    assert_eq!(bench.reconcile(&framework, &[("t", agent), ("x", agent), ("x", None)]), []);
    assert_eq!(states(&bench.reconcile(&framework, &[("x", Some("nobody"))])), [TaskUnknown]);
    bench.wait(Duration::from_secs(10));
    let answers = bench.reconcile(&framework, &[("t", agent), ("x", agent), ("x", None)]);
    assert_eq!(states(&answers), [TaskRunning, TaskGone, TaskUnknown]);
    assert_eq!(states(&bench.reconcile(&framework, &[])), [TaskRunning]);
}

#[test]
fn a_partitioned_agent_is_unreachable_and_comes_back() {
    let mut bench = Bench::new(options().unreachable_after(Duration::from_secs(10)));
    let framework = bench.subscribed(info());
    let offer = bench.run(&framework, "t");
    let agent = Some(offer.agent_id.value.as_str());
    bench.cluster.partition_agent(0);
    bench.wait(Duration::from_secs(9));
    assert_eq!(states(&bench.reconcile(&framework, &[("t", agent)])), [TaskRunning]);
    bench.wait(Duration::from_secs(2));
    let events = bench.take(&framework);
    let update = &events.iter().find_map(|event| event.update.as_ref()).unwrap().status;
    assert_eq!((update.state(), update.reason(), &update.uuid), (TaskUnreachable, Reason::AgentRemoved, &None));
    assert!(update.unreachable_time.is_some());
    assert!(events.iter().any(|event| event.failure.is_some()));
    assert_eq!(bench.reconcile(&framework, &[]), [], "implicit: not the unreachable ones");
    bench.cluster.heal_agent(0);
    bench.wait(Duration::from_secs(2));
    let updates = bench.updates(&framework);
    assert_eq!((states(&updates), updates[0].reason()), (vec![TaskRunning], Reason::AgentReregistered));
}

#[test]
fn a_killed_agent_rescinds_its_offers_and_keeps_its_tasks() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    let offer = bench.run(&framework, "t");
    bench.call(&framework, kind(call::Type::Revive));
    bench.wait(Duration::from_millis(300));
    bench.take(&framework);
    bench.cluster.kill_agent(0);
    bench.drain();
    let events = bench.take(&framework);
    assert_eq!((events.len(), events[0].r#type()), (1, event::Type::Rescind));
    assert_eq!(states(&bench.reconcile(&framework, &[("t", Some(&offer.agent_id.value))])), [TaskRunning]);
    bench.cluster.mark_agent_gone(0);
    bench.drain();
    assert!(bench.updates(&framework).iter().any(|update| update.state() == TaskGoneByOperator));
}

#[test]
fn a_call_of_type_unknown_kills_the_master() {
    let mut bench = Bench::new(options().masters(3));
    let framework = bench.subscribed(info());
    let call = Call { framework_id: Some(framework.id.clone()), r#type: Some(0), ..Default::default() };
    bench.post(0, &[("Content-Type", "application/x-protobuf")], call.encode_to_vec());
    assert!(bench.cut.contains(&framework.exchange));
    assert_eq!(bench.cluster.leader(), Some(0), "the others haven't noticed so far");
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.cluster.leader(), Some(1));
}

#[test]
fn a_kill_right_behind_the_accept_ends_the_task_before_it_starts() {
    let mut bench = Bench::new(options().launch_delay(Duration::from_millis(10)));
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.launch(&framework, &[&offer], task("t", &offer));
    assert_eq!(states(&bench.reconcile(&framework, &[("t", None)])), [TaskStaging]);
    bench.kill(&framework, "t");
    let updates = bench.updates(&framework);
    assert_eq!((states(&updates), updates[0].reason()), (vec![TaskKilled], Reason::TaskKilledDuringLaunch));
    assert!(updates[0].uuid.is_some());
    bench.wait(Duration::from_secs(1));
    assert_eq!((bench.started.len(), bench.stopped.len()), (0, 0), "its process never was");
}

#[test]
fn a_launch_waits_in_the_socket_of_a_stopped_agent_and_runs() {
    let mut bench = Bench::new(options().unreachable_after(Duration::from_secs(10)));
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.cluster.partition_agent(0);
    assert_eq!(bench.launch(&framework, &[&offer], task("t", &offer)), 202);
    bench.wait(Duration::from_secs(11));
    assert_eq!(states(&bench.updates(&framework)), [TaskUnreachable]);
    bench.kill(&framework, "t");
    assert_eq!(states(&bench.updates(&framework)), [TaskUnknown], "answered like a question without agent");
    bench.cluster.heal_agent(0);
    bench.wait(Duration::from_secs(2));
    let updates = bench.updates(&framework);
    assert_eq!(updates[0].reason(), Reason::AgentReregistered);
    assert!(updates[0].uuid.is_none());
    assert_eq!(states(&updates)[1..], [TaskStarting, TaskStarting], "twice, with the same uuid");
    assert_eq!(updates[1].uuid, updates[2].uuid);
    assert_eq!(bench.started.len(), 1);
}

#[test]
fn an_early_kill_is_carried_out_when_the_partition_ends() {
    let mut bench = Bench::new(options().unreachable_after(Duration::from_secs(10)));
    let framework = bench.subscribed(info());
    bench.run(&framework, "t");
    bench.cluster.partition_agent(0);
    bench.kill(&framework, "t");
    bench.wait(Duration::from_secs(11));
    assert_eq!(states(&bench.updates(&framework)), [TaskUnreachable]);
    bench.cluster.heal_agent(0);
    bench.wait(Duration::from_secs(2));
    let updates = bench.updates(&framework);
    assert_eq!(states(&updates), [TaskKilled, TaskKilling, TaskKilling], "the end first, then the stream of it");
    assert!(updates[0].uuid.is_none());
}

#[test]
fn a_killed_agent_loses_the_tasks_of_frameworks_without_checkpoints() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(v1::FrameworkInfo { checkpoint: None, ..info() });
    let offer = bench.run(&framework, "t");
    bench.cluster.kill_agent(0);
    bench.drain();
    let updates = bench.updates(&framework);
    assert_eq!((states(&updates), updates[0].reason()), (vec![TaskLost], Reason::AgentDisconnected));
    assert_eq!(bench.stopped.len(), 1);
    assert_eq!(states(&bench.reconcile(&framework, &[("t", Some(&offer.agent_id.value))])), [TaskGone]);
}

#[test]
fn a_new_master_knows_a_framework_from_its_agents_as_not_subscribed() {
    let mut bench = Bench::new(options().masters(3));
    let framework = bench.subscribed(info());
    bench.run(&framework, "t");
    bench.cluster.kill_master(0);
    bench.wait(Duration::from_millis(1500));
    assert_eq!(bench.call(&framework, kind(call::Type::Revive)), 400, "cannot be found");
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.call(&framework, kind(call::Type::Revive)), 403, "not subscribed");
    bench.wait(Duration::from_secs(120));
    let framework = bench.subscribed(v1::FrameworkInfo { id: Some(framework.id), ..info() });
    assert_eq!(states(&bench.reconcile(&framework, &[])), [TaskRunning], "no failover timeout has run");
}

#[test]
fn an_acknowledgement_with_another_uuid_does_not_forget_an_ended_task() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.run(&framework, "t");
    let name = bench.started[0].clone();
    bench.cluster.ended(&name, &Exit::Status(0));
    bench.drain();
    let end = bench.updates(&framework).remove(0);
    let wrong = v1::TaskStatus { uuid: Some(vec![0x44; 16].into()), ..end.clone() };
    assert_eq!(bench.acknowledge(&framework, &wrong), 202);
    assert_eq!(states(&bench.reconcile(&framework, &[("t", None)])), [TaskFinished]);
    bench.wait(Duration::from_millis(300));
    bench.call(&framework, kind(call::Type::Revive));
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.launch(&framework, &[&offer], task("t", &offer));
    assert_eq!(states(&bench.updates(&framework)), [TaskError], "its id is still taken");
    bench.acknowledge(&framework, &end);
    assert_eq!(bench.reconcile(&framework, &[]), []);
}

#[test]
fn what_an_ended_task_frees_is_offered_in_spite_of_a_filter() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.run(&framework, "t");
    let name = bench.started[0].clone();
    bench.wait(Duration::from_secs(8));
    assert_eq!(bench.offers(&framework), [], "the rest is declined for an hour");
    bench.cluster.ended(&name, &Exit::Status(0));
    bench.drain();
    bench.wait(Duration::from_millis(250));
    assert_eq!(bench.offers(&framework).len(), 1, "more than what was refused");
}

#[test]
fn scripted_tasks_need_no_processes() {
    let mut bench = Bench::new(options().scripted(mesos_sim::Script::from_task));
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    let mut short = task("t", &offer);
    short.command = Some(Box::new(v1::CommandInfo { value: Some("sleep 2; exit 7".into()), ..Default::default() }));
    bench.launch(&framework, &[&offer], short);
    for (state, wait) in [(TaskStarting, 0), (TaskRunning, 3), (TaskFailed, 0)] {
        let updates = bench.updates(&framework);
        assert_eq!(states(&updates), [state]);
        bench.wait(Duration::from_secs(wait));
        bench.acknowledge(&framework, &updates[0]);
    }
    assert!(bench.started.is_empty());
}

#[test]
fn a_task_group_is_launched_as_a_whole_or_not_at_all() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    let group = |offer: &v1::Offer, second: v1::TaskInfo, disk: bool| {
        let mut resources = task("x", offer).resources;
        if disk {
            resources.push(v1::Resource { name: "disk".into(), ..resources[1].clone() });
        }
        let executor = v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: "e".into() },
            framework_id: Some(offer.framework_id.clone()),
            resources,
            ..Default::default()
        };
        let launch = v1::offer::operation::LaunchGroup {
            executor,
            task_group: v1::TaskGroupInfo { tasks: vec![task("one", offer), second] },
        };
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::LaunchGroup.into()),
            launch_group: Some(Box::new(launch)),
            ..Default::default()
        };
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![operation],
            filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
        };
        Call { accept: Some(accept), ..kind(call::Type::Accept) }
    };
    for (second, disk) in [("a/b", true), ("one", true), ("two", false)] {
        bench.wait(Duration::from_millis(300));
        let offer = bench.offers(&framework).remove(0);
        assert_eq!(bench.call(&framework, group(&offer, task(second, &offer), disk)), 202);
        let updates = bench.updates(&framework);
        assert_eq!(states(&updates), [TaskError, TaskError], "{second}");
        assert!(updates.iter().all(|update| update.reason() == Reason::TaskGroupInvalid));
    }
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.call(&framework, group(&offer, task("two", &offer), true));
    assert_eq!(states(&bench.updates(&framework)), [TaskStarting, TaskStarting]);
}

// An executor that is there can't be described in another way; once it has ended, it can.
#[test]
fn an_executor_has_one_description() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    let launch = |bench: &mut Bench, id: &str, value: &str| {
        bench.call(&framework, kind(call::Type::Revive));
        bench.wait(Duration::from_millis(300));
        let offer = bench.offers(&framework).remove(0);
        let plain = task(id, &offer);
        let executor = v1::ExecutorInfo::custom("e", v1::CommandInfo::new(value));
        let executor = executor.with_resources(plain.resources.clone());
        let task = v1::TaskInfo { command: None, executor: Some(Box::new(executor)), ..plain };
        assert_eq!(bench.launch(&framework, &[&offer], task), 202);
        bench.updates(&framework)
    };
    assert_eq!(launch(&mut bench, "one", "x"), []);
    let refused = launch(&mut bench, "two", "y");
    assert_eq!((states(&refused), refused[0].reason()), (vec![TaskError], Reason::TaskInvalid));
    assert!(refused[0].message().contains("not compatible with existing ExecutorInfo"), "{refused:?}");
    assert_eq!(launch(&mut bench, "three", "x"), [], "the same one gets another task");
    let executor = bench.executors.remove(0);
    bench.cluster.executor_ended(&executor, &Exit::Status(0));
    assert!(!launch(&mut bench, "four", "y").iter().any(|status| status.state() == TaskError));
}
