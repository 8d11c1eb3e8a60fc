//! What the conformance suite found out about the real cluster, as rules of the simulated one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use mesos_proto::v1;
use mesos_sim::Exit;
use v1::TaskState::*;
use v1::scheduler::{Call, call};
use v1::task_status::Reason;

mod bench;

use bench::*;

#[test]
fn an_unreachable_task_is_unknown_to_who_does_not_name_its_agent() {
    let mut bench = Bench::new(options().unreachable_after(Duration::from_secs(10)));
    let framework = bench.subscribed(info());
    let offer = bench.run(&framework, "t");
    bench.cluster.partition_agent(0);
    bench.wait(Duration::from_secs(11));
    let agent = Some(offer.agent_id.value.as_str());
    let answers = bench.reconcile(&framework, &[("t", agent), ("t", None), ("ghost", agent)]);
    assert_eq!(states(&answers), [TaskUnreachable, TaskUnknown, TaskUnreachable]);
    assert_eq!(answers[1].agent_id, None);
    assert_eq!(answers[1].unreachable_time, None);
    // KILL is answered like a question.
    bench.kill(&framework, "t");
    assert_eq!(states(&bench.updates(&framework)), [TaskUnknown]);
}

fn addresses(status: &v1::TaskStatus) -> Vec<&str> {
    let container = status.container_status.as_ref();
    let networks = container.into_iter().flat_map(|container| &container.network_infos);
    networks.flat_map(|network| &network.ip_addresses).map(v1::network_info::IpAddress::ip_address).collect()
}

#[test]
fn updates_and_answers_say_where_the_task_runs() {
    let mut bench = Bench::new(options().unreachable_after(Duration::from_secs(10)));
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    bench.launch(&framework, &[&offer], task("t", &offer));
    let starting = bench.updates(&framework).remove(0);
    assert_eq!(addresses(&starting), ["127.0.0.1"]);
    bench.acknowledge(&framework, &starting);
    let running = bench.updates(&framework).remove(0);
    assert_eq!(running.container_status, starting.container_status, "one container for all its life");
    bench.acknowledge(&framework, &running);
    let answer = bench.reconcile(&framework, &[("t", None)]).remove(0);
    assert_eq!(answer.container_status, running.container_status);
    assert_eq!(bench.reconcile(&framework, &[("other", None)])[0].container_status, None);
    bench.cluster.partition_agent(0);
    bench.wait(Duration::from_secs(11));
    bench.take(&framework);
    bench.cluster.heal_agent(0);
    bench.wait(Duration::from_secs(2));
    let back = bench.updates(&framework).remove(0);
    assert_eq!((back.reason(), &back.container_status), (Reason::AgentReregistered, &running.container_status));
}

#[test]
fn a_group_has_one_executor_whose_end_is_told() {
    let mut bench = Bench::new(options());
    let framework = bench.subscribed(info());
    bench.wait(Duration::from_millis(300));
    let offer = bench.offers(&framework).remove(0);
    let mut resources = task("", &offer).resources;
    resources.push(v1::Resource { name: "disk".into(), ..resources[1].clone() });
    let pod = v1::ExecutorId { value: "pod".into() };
    let executor = v1::ExecutorInfo {
        executor_id: pod.clone(),
        framework_id: Some(framework.id.clone()),
        resources,
        ..Default::default()
    };
    let task_group = v1::TaskGroupInfo { tasks: vec![task("a", &offer), task("b", &offer)] };
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::LaunchGroup.into()),
        launch_group: Some(Box::new(v1::offer::operation::LaunchGroup { executor, task_group })),
        ..Default::default()
    };
    let accept =
        Some(call::Accept { offer_ids: vec![offer.id.clone()], operations: vec![operation], ..Default::default() });
    assert_eq!(bench.call(&framework, Call { accept, ..kind(call::Type::Accept) }), 202);
    for name in bench.started.clone() {
        bench.cluster.ended(&name, &Exit::Status(0));
    }
    bench.drain();
    let mut finished = 0;
    while finished < 2 {
        let events = bench.take(&framework);
        assert!(events.iter().all(|event| event.failure.is_none()), "not while an update waits");
        let updates: Vec<_> = events.into_iter().filter_map(|event| event.update).collect();
        assert!(!updates.is_empty());
        for update in updates {
            assert_eq!(update.status.executor_id, Some(pod.clone()));
            finished += usize::from(update.status.state() == TaskFinished);
            bench.acknowledge(&framework, &update.status);
        }
    }
    let failures: Vec<_> = bench.take(&framework).into_iter().filter_map(|event| event.failure).collect();
    assert_eq!(failures.len(), 1);
    assert_eq!((&failures[0].executor_id, failures[0].status), (&Some(pod), Some(0)));
    assert_eq!(failures[0].agent_id, Some(offer.agent_id));
}

#[test]
fn refusals_are_worded_as_the_real_ones() {
    let mut bench = Bench::new(options());
    let json = [("Content-Type", "application/json")];
    let body = br#"{"type":"KILL","framework_id":{"value":"f"},"kill":{}}"#.to_vec();
    let exchange = bench.post(0, &json, body);
    let response = &bench.responses[&exchange];
    let text = "Failed to convert JSON into Call protobuf: Missing required fields: kill.task_id";
    assert_eq!((response.status, response.body.as_deref()), (400, Some(text.as_bytes())));
    let request = mesos_sim::Request { method: "GET".into(), path: "/api/v1/scheduler".into(), ..Default::default() };
    bench.next += 1;
    bench.cluster.request(0, mesos_sim::ExchangeId(bench.next), &request);
    bench.drain();
    let response = &bench.responses[&bench.next];
    let text = "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.";
    assert_eq!((response.status, response.body.as_deref()), (405, Some(text.as_bytes())));
}
