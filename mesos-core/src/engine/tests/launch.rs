//! From an offer to a task.

use std::collections::BTreeSet;

use super::*;
use crate::Revocable;

/// A service that needs this.
fn needs(name: &str, resources: Resources) -> TaskSpec {
    service(name, 1).resources(resources)
}

fn variable<'a>(task: &'a v1::TaskInfo, name: &str) -> Option<&'a str> {
    let environment = task.command.as_ref()?.environment.as_ref()?;
    environment.variables.iter().find(|variable| variable.name == name)?.value.as_deref()
}

/// What a task takes, as it is written.
fn taken(task: &v1::TaskInfo) -> String {
    placement::text(&task.resources)
}

// ENGINE 1, S34, S65, S66, S68 to S71, S99, S101, S102, W18, W21
#[test]
fn three_of_three() {
    let mut s = Script::new([service("web", 3).resources(Resources::new().cpus(1.0).mem(32.0).ports(2))]);
    assert_eq!((s.spec("web").live, s.spec("web").waiting), (0, 3), "S34");
    s.disk = Disk::Hangs;
    s.offer("a1", "cpus:4;mem:4096;ports:[31000-32000]");
    assert!(s.accepts().is_empty(), "S102: the intents come first");
    s.confirm();
    s.settle();
    let accept = s.accept();
    assert_eq!(accept.offers, ["o1"]);
    assert_eq!(accept.refuse, 3600.0);
    let names: Vec<&str> = accept.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["web-1", "web-2", "web-3"]);
    assert!(s.declines().is_empty(), "S70");
    for (id, port) in accept.ids().into_iter().zip([31_000, 31_002, 31_004]) {
        assert_eq!(s.state(&id), Some(State::Launching));
        let task = s.engine.find_task(&id).unwrap();
        assert_eq!((task.agent_id.as_str(), task.hostname.as_str()), ("a1", "h-a1"), "S99");
        assert_eq!((task.ports, task.task_state), (vec![port, port + 1], None), "S99: nobody has said anything so far");
        s.update(&id, TaskStaging);
        assert_eq!(s.engine.find_task(&id).unwrap().task_state, Some(TaskStaging), "S99");
    }
    assert_eq!((s.spec("web").live, s.spec("web").waiting), (3, 0), "S101");
}

// ENGINE 3, S105, W23
#[test]
fn mixed_role_offer() {
    let big = needs("big", Resources::new().cpus(3.0).mem(10.0));
    let small = needs("small", Resources::new().cpus(1.0).mem(10.0)).priority(1);
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [small, big]);
    s.offer("a1", "cpus:2;cpus(web):2;mem:100");
    let accept = s.accept();
    let texts: Vec<String> = accept.tasks.iter().map(taken).collect();
    assert_eq!(texts, ["cpus(web):2;cpus:1;mem:10", "cpus:1;mem:10"]);
    let roles = accept.tasks.iter().flat_map(|task| &task.resources).map(|resource| resource.allocation_info.clone());
    assert!(roles.into_iter().all(|info| info.expect("allocation info").role() == "web"));
}

// ENGINE 4, S107, W31
#[test]
fn exact_tenths() {
    let mut s = Script::new([service("web", 4).resources(Resources::new().cpus(0.1).mem(10.0))]);
    s.offer("a1", "cpus:0.3;mem:100");
    assert_eq!(s.accept().tasks.len(), 3);
    assert!(s.spec("web").lacking.unwrap().contains("cpus"));
}

// ENGINE 5, S89 to S91, W24, W25, W28
#[test]
fn static_ports_numeric() {
    let bad = needs("bad", Resources::new().cpus(1.0).ports(2).static_ports([9001, 10_000]));
    let good = needs("good", Resources::new().cpus(1.0).ports(30)).priority(1);
    let mut s = Script::new([bad, good]);
    s.offer("a1", "cpus:1;mem:100;ports:[31000-31009,9000-9009,20000-20009]");
    let accept = s.accept();
    assert_eq!(accept.tasks.len(), 1);
    assert_eq!(accept.tasks[0].name, "good-1");
    let lacking = s.spec("bad").lacking.unwrap();
    assert!(lacking.contains("10000"), "{lacking}");
}

// S86 to S89, S93
#[test]
fn static_and_dynamic_ports() {
    for (offered, fixed, count, expected) in [
        ("[8081-8090]", &[8081, 8082][..], 2, Some((8081, 8082))),
        ("[9000-9009,8081-8090]", &[8081, 9001], 2, Some((8081, 9001))),
        ("[8081-8090,9000-9050]", &[8082, 9001], 31, Some((8082, 9001))),
        ("[8081-8090]", &[8081, 8091], 2, None),
        ("[8081-8090]", &[8080, 8081], 2, None),
        ("[8081-8090,9000-9009]", &[8090, 8999], 2, None),
        ("[8081-8120]", &[], 50, None),
    ] {
        let need = Resources::new().cpus(1.0).ports(count).static_ports(fixed.iter().copied());
        let mut s = Script::new([needs("web", need)]);
        let offer = s.offer("a1", &format!("cpus:1;mem:100;ports:{offered}"));
        let Some((first, second)) = expected else {
            assert!(s.accepts().is_empty(), "{offered} {fixed:?}");
            assert_eq!(s.declines(), [(vec![offer], 120.0)]);
            continue;
        };
        let accept = s.accept();
        let port = |name: &str| variable(&accept.tasks[0], name).map(|value| value.parse::<u32>().expect("a port"));
        assert_eq!((port("PORT0"), port("PORT1")), (Some(first), Some(second)), "{offered} {fixed:?}");
        assert!(port(&format!("PORT{}", count - 1)).is_some() && port(&format!("PORT{count}")).is_none());
        assert_eq!(variable(&accept.tasks[0], "HOST"), Some("h-a1"));
    }
}

// S82: where an offer tells the agent's address, that is HOST.
#[test]
fn the_host_of_a_task() {
    let url = |ip: Option<&str>| {
        let address = v1::Address { ip: ip.map(Into::into), port: 5051, ..Default::default() };
        v1::Url { scheme: "http".into(), address, ..Default::default() }
    };
    for (url, host) in [(Some(url(Some("10.1.2.3"))), "10.1.2.3"), (Some(url(None)), "h-a1"), (None, "h-a1")] {
        let mut s = Script::new([service("web", 1)]);
        let offer = v1::Offer { url, ..s.make_offer("a1", BIG) };
        s.offers(vec![offer]);
        assert_eq!(variable(&s.accept().tasks[0], "HOST"), Some(host));
    }
}

// S92, W29
#[test]
fn a_static_port_is_given_once_per_agent() {
    let mut s = Script::new([service("web", 2).resources(Resources::new().cpus(1.0).ports(1).static_ports([8080]))]);
    let first = s.launch("a1", "cpus:8;mem:100;ports:[8080-8080]");
    assert_eq!(first.len(), 1);
    assert_eq!(s.spec("web").waiting, 1);
    assert_eq!(s.launch("a2", "cpus:8;mem:100;ports:[8080-8080]").len(), 1);
}

// S94
#[test]
fn foreign_resources_are_left_alone() {
    let mut s = Script::new([needs("web", Resources::new().cpus(1.0).ports(1))]);
    assert!(s.launch("a1", "cpus:1;mem:100;portsa:[1-100];gpus:1").is_empty());
    s.offer("a1", "cpus:1;mem:100;portsa:[1-100];gpus:1;ports:[31005-31005]");
    assert_eq!(taken(&s.accept().tasks[0]), "cpus:1;ports:[31005-31005]");
}

// ENGINE 6
#[test]
fn merged_offers() {
    let need = needs("web", Resources::new().cpus(2.0).mem(10.0));
    let mut s = Script::with(client(Framework::new("test").roles(["web", "db"])), [need]);
    let one = s.make_offer("a1", "cpus:1;mem:100");
    let two = s.make_offer("a1", "cpus:1;mem:100");
    let mut other = s.make_offer("a1", "cpus:8;mem:100");
    other.allocation_info = Some(v1::resource::AllocationInfo { role: Some("db".into()) });
    other.resources.iter_mut().for_each(|resource| resource.allocation_info = other.allocation_info.clone());
    let elsewhere = s.make_offer("a2", "cpus:1;mem:100");
    s.offers(vec![elsewhere, one, other, two]);
    let accept = s.accept();
    assert_eq!(accept.offers, ["o1", "o2"]);
    assert_eq!(accept.tasks.len(), 1);
    assert_eq!(s.laws.unanswered(), 0);
}

// S68, S69, W18: all that fit, in one ACCEPT, and each sees what the others have left.
#[test]
fn one_after_another_from_one_offer() {
    let need = Resources::new().cpus(1.0).mem(30.0).ports(2);
    let mut s = Script::new([service("web", 9).resources(need)]);
    s.offer("a1", "cpus:5;mem:100;ports:[31000-31002,31500-31504]");
    let accept = s.accept();
    let texts: Vec<String> = accept.tasks.iter().map(taken).collect();
    assert_eq!(
        texts,
        [
            "cpus:1;mem:30;ports:[31000-31001]",
            "cpus:1;mem:30;ports:[31002-31002,31500-31500]",
            "cpus:1;mem:30;ports:[31501-31502]"
        ]
    );
    assert!(s.spec("web").lacking.unwrap().contains("mem"));
}

// ENGINE 7, S67, W52
#[test]
fn backfill_and_rank() {
    let big = needs("big", Resources::new().cpus(1.0).mem(5000.0)).priority(1);
    let small = needs("small", Resources::new().cpus(1.0).mem(100.0)).priority(2);
    let mut s = Script::new([small, big]);
    s.offer("a1", "cpus:8;mem:4096");
    let accept = s.accept();
    assert_eq!(accept.tasks.len(), 1);
    assert_eq!(accept.tasks[0].name, "small-1");
    let lacking = s.spec("big").lacking.unwrap();
    assert!(lacking.contains("mem") && lacking.contains("5000") && lacking.contains("4096"), "{lacking}");
    assert_eq!(s.spec("small").lacking, None);
}

// S31, S32: priority, then in turns, or by name and number as the original does; never in the order of declaration, whether
// that is one call or several.
#[test]
fn who_goes_first() {
    for at_first in [3, 1] {
        let names = |order| {
            let mut specs = vec![service("c", 2), service("b", 12), service("a", 2).priority(1)];
            let later = specs.split_off(at_first);
            let mut s = Script::with(config().order(order), specs);
            for spec in later {
                s.engine.apply(spec).unwrap();
            }
            s.offer("a1", "cpus:16;mem:4096");
            s.accept().tasks.into_iter().map(|task| task.name).collect::<Vec<_>>()
        };
        let fair = names(Order::Fair);
        assert_eq!(fair[..4], ["b-1", "c-1", "b-2", "b-3"]);
        assert_eq!(fair[14..], ["a-1", "a-2"]);
        let plain = names(Order::InSpecOrder);
        let b: Vec<String> = (1..=12).map(|number| format!("b-{number}")).collect();
        assert_eq!(plain[..12], b, "2 before 10");
        assert_eq!(plain[12..], ["c-1", "c-2", "a-1", "a-2"]);
    }
}

// S31: by number, whoever waits for longer.
#[test]
fn in_spec_order_the_number_decides() {
    for (order, first) in [(Order::InSpecOrder, "web-1"), (Order::Fair, "web-3")] {
        let mut s = Script::with(config().order(order), [service("web", 3)]);
        let tasks = s.running(3);
        for task in [&tasks[2], &tasks[0]] {
            s.engine.kill(task).unwrap();
            s.tick();
            s.update(task, TaskKilled);
            s.sleep(secs(1));
        }
        s.offer("a2", "cpus:1;mem:32");
        assert_eq!(s.accept().tasks[0].name, first);
    }
}

// ENGINE 44, S108
#[test]
fn unique_hosts() {
    let mut s = Script::new([service("web", 3).unique("@hostname")]);
    let (a, b) = (s.make_offer("a1", BIG), s.make_offer("a2", BIG));
    s.offers(vec![a, b]);
    assert_eq!(s.accepts().len(), 2);
    assert_eq!(s.spec("web").waiting, 1);
    // Once more, while the others count as peers that run.
    for task in s.engine.tasks().map(|task| task.task_id).collect::<Vec<_>>() {
        s.update(&task, TaskRunning);
    }
    assert!(s.launch("a2", BIG).is_empty());
    assert_eq!(s.launch("a3", BIG).len(), 1);
    assert_eq!(s.spec("web").waiting, 0);
}

// ENGINE 48
#[test]
fn same_step_peers() {
    let mut s = Script::new([service("web", 3).unique("@hostname")]);
    let offers: Vec<_> =
        ["a1", "a2", "a3"].map(|agent| v1::Offer { hostname: "same".into(), ..s.make_offer(agent, BIG) }).into();
    s.offers(offers);
    assert_eq!(s.accept().tasks.len(), 1);
    assert_eq!(s.laws.unanswered(), 0);
}

// S104, W19: an offer that nobody can use does not keep the others from being answered.
#[test]
fn one_strange_offer_does_not_spoil_the_others() {
    let mut s = Script::new([service("web", 1)]);
    let mut odd = s.make_offer("a1", "cpus:8;mem:100");
    odd.resources[0].r#type = 77;
    let mut foreign = s.make_offer("a2", BIG);
    foreign.allocation_info = Some(v1::resource::AllocationInfo { role: Some("nobody".into()) });
    let good = s.make_offer("a3", BIG);
    s.offers(vec![odd, foreign, good]);
    assert_eq!(s.accept().tasks[0].agent_id.value, "a3");
    assert_eq!(s.laws.unanswered(), 0);
}

// ENGINE 1.4 A7: a launch that nobody has heard of ends in a kill, not in a second task.
#[test]
fn a_launch_without_any_status() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.answer(&task, TaskStaging);
    s.clear();
    s.sleep(secs(601));
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::Overdue)));
    assert_eq!(s.kills(), [&*task]);
    assert!(s.launch("a1", BIG).is_empty(), "not before its end is reported");
    s.update(&task, TaskKilled);
    assert!(s.events.iter().any(|event| matches!(event, Event::TaskEnded { class: EndClass::Fault, .. })));
}

// ENGINE 1.5²: overdue without ever having had a status is nobody's fault.
#[test]
fn a_launch_that_got_lost() {
    let mut s = Script::new([service("web", 1).launch_timeout(secs(60))]);
    let task = s.launch("a1", BIG).remove(0);
    s.sleep(secs(61));
    assert_eq!(s.kills(), [&*task]);
    s.answer(&task, TaskGone);
    assert!(s.events.iter().any(|event| matches!(event, Event::TaskEnded { class: EndClass::Infra, .. })));
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 2.2: so many tasks may be starting on an agent.
#[test]
fn an_agent_starts_so_many_at_a_time() {
    let mut s = Script::with(config().max_launching_per_agent(3), [service("web", 5)]);
    let tasks = s.launch("a1", BIG);
    assert_eq!(tasks.len(), 3);
    assert!(s.launch("a1", BIG).is_empty());
    assert!(s.declines().iter().all(|(_, seconds)| *seconds == 5.0));
    s.update(&tasks[0], TaskRunning);
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// ENGINE 46, S108: what an agent doesn't have refuses every constraint about it.
#[test]
fn missing_attributes() {
    let specs: [fn(TaskSpec) -> TaskSpec; 4] = [
        |spec| spec.is("rack", "1.50"),
        |spec| spec.unique("rack"),
        |spec| spec.max_per("rack", 2),
        |spec| spec.unique("@zone"),
    ];
    for (case, constrain) in specs.into_iter().enumerate() {
        let mut s = Script::new([constrain(service("web", 3))]);
        assert!(s.launch("a1", BIG).is_empty(), "{case}");
        let mut offer = s.make_offer("a2", BIG);
        let scalar = |value| v1::Attribute {
            name: "rack".into(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            ..Default::default()
        };
        offer.attributes = vec![scalar(1.5)];
        let name = |name: &str| v1::domain_info::fault_domain::ZoneInfo { name: name.into() };
        let region = v1::domain_info::fault_domain::RegionInfo { name: "r".into() };
        let fault_domain = Some(v1::domain_info::FaultDomain { region, zone: name("z") });
        offer.domain = Some(v1::DomainInfo { fault_domain });
        s.offers(vec![offer.clone()]);
        assert_eq!(s.accept().tasks.len(), [3, 1, 2, 1][case], "{case}");
        // Peers are known by what their agents had, also after a crash.
        s.crash();
        let tasks: Vec<String> = s.engine.tasks().map(|task| task.task_id).collect();
        tasks.iter().for_each(|task| s.answer(task, TaskRunning));
        s.clear();
        let again = v1::Offer { id: v1::OfferId { value: "again".into() }, ..offer };
        s.offers(vec![again]);
        assert!(s.accepts().is_empty(), "{case}");
    }
}

// ENGINE 2.1: what a launch leaves counts all that is offered of the agent; ports too.
#[test]
fn headroom() {
    let web = || service("web", 4).resources(Resources::new().cpus(1.0).mem(32.0).ports(1).static_ports([31001]));
    let left = Resources::new().cpus(0.5).disk(10.0).ports(1);
    let mut s = Script::with(config().headroom(left), [web(), service("other", 4)]);
    assert!(s.launch("a1", "cpus:8;mem:500;ports:[31000-31001]").is_empty(), "no disk");
    assert!(s.spec("web").lacking.is_some_and(|lacking| lacking.contains("disk")));
    assert_eq!(s.launch("a2", "cpus:3.499;mem:500;disk:10;ports:[31000-31001]").len(), 2);
    let accept = s.launch("a3", "cpus:3.5;mem:500;disk:10;ports:[31001-31001]");
    assert_eq!(accept.len(), 3);
    assert!(accept.iter().all(|task| task.contains("other")), "{accept:?}");
    let wrong = Engine::new(config().headroom(Resources::new().cpus(-1.0).mem(f64::NAN)), [], [], 1);
    assert!(matches!(wrong, Err(RecoverError::Headroom(problems)) if problems.len() == 2));
}

/// A spec whose tasks share an executor with resources of its own.
fn shared(instances: u32) -> TaskSpec {
    sharing("web", instances)
}

fn sharing(name: &str, instances: u32) -> TaskSpec {
    let executor = v1::ExecutorInfo::custom("e", v1::CommandInfo::new("x"));
    let own = [v1::Resource::scalar("cpus", 0.5), v1::Resource::scalar("mem", 100.0)];
    TaskSpec::new(name)
        .executor(executor.with_resources(own))
        .resources(Resources::new().cpus(1.0).ports(1))
        .instances(instances)
        .scalable(true)
}

/// What the tasks of an ACCEPT and their executors got, as Mesos writes it.
fn given(accept: &Accept) -> Vec<(String, String)> {
    let executor = |task: &v1::TaskInfo| placement::text(&task.executor.as_ref().unwrap().resources);
    accept.tasks.iter().map(|task| (placement::text(&task.resources), executor(task))).collect()
}

// ENGINE 2.1, I2: an executor's resources are taken once for each agent, and described to all its tasks in the same way.
#[test]
fn an_executor_has_resources_too() {
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [shared(4)]);
    s.offer("a1", "cpus:1.499;mem:200;ports:[1-9]");
    assert!(s.accepts().is_empty());
    s.offer("a1", "cpus(web):1;cpus:2.2;mem:100;ports:[1-9]");
    let first = s.accept();
    let executor = "cpus:0.5;mem:100".to_string();
    assert_eq!(
        given(&first),
        [("cpus(web):1;ports:[1-1]".to_string(), executor.clone()), ("cpus:1;ports:[2-2]".into(), executor.clone())]
    );
    // Nobody knows so far whether it is there: there must be room for it, but nothing more is taken.
    s.offer("a1", "cpus:1.4;mem:100;ports:[1-9]");
    assert!(s.accepts().is_empty());
    s.offer("a1", "cpus:1.5;mem:100;ports:[1-9]");
    let third = s.accept();
    assert_eq!(given(&third), [("cpus:1;ports:[1-1]".to_string(), executor.clone())]);
    for task in first.ids().iter().chain(&third.ids()) {
        s.update(task, TaskRunning);
    }
    s.offer("a1", "cpus:1;ports:[1-9]");
    assert_eq!(given(&s.accept()), [("cpus:1;ports:[1-1]".to_string(), executor.clone())]);
    // After a crash it is described as before.
    s.engine.scale("web", 5).unwrap();
    s.specs = vec![shared(5)];
    s.tick();
    s.crash();
    first.ids().iter().for_each(|task| s.answer(task, TaskRunning));
    s.offer("a1", "cpus(web):1;ports:[1-9]");
    let fifth = s.accept();
    assert_eq!(given(&fifth), [("cpus(web):1;ports:[1-1]".to_string(), executor.clone())]);
    let tasks: Vec<String> = s.engine.tasks().map(|task| task.task_id).collect();
    assert_eq!(tasks.len(), 5);
    // It may outlive its last task, until its end is heard of.
    let again = |s: &mut Script, tasks: &[String]| {
        tasks.iter().for_each(|task| s.update(task, TaskFinished));
        s.sleep(secs(400));
        s.clear();
        s.offer("a1", "cpus(web):9;mem(web):100;ports:[1-9]");
        let again = s.accept();
        let executors: BTreeSet<String> = given(&again).into_iter().map(|(_, executor)| executor).collect();
        assert_eq!((again.ids().len(), executors.len()), (5, 1), "{executors:?}");
        (again.ids(), executors.into_iter().next().unwrap())
    };
    let (tasks, described) = again(&mut s, &tasks);
    assert_eq!(described, executor);
    s.failure("a1", Some("e"));
    // Its end takes its tasks along, by the agent's word.
    for task in &tasks {
        s.status(task, TaskFailed, |status| status.source = Some(Source::Agent.into()));
    }
    let (tasks, described) = again(&mut s, &[]);
    assert_eq!(described, "cpus(web):0.5;mem(web):100");
    // The same of tasks that were launched before a crash.
    tasks.iter().for_each(|task| s.update(task, TaskRunning));
    s.crash();
    tasks.iter().for_each(|task| s.answer(task, TaskRunning));
    tasks.iter().for_each(|task| s.update(task, TaskFinished));
    s.sleep(secs(400));
    s.clear();
    s.offer("a1", "cpus:9;mem:100;ports:[1-9]");
    let last: BTreeSet<String> = given(&s.accept()).into_iter().map(|(_, executor)| executor).collect();
    assert_eq!(last.into_iter().collect::<Vec<_>>(), ["cpus(web):0.5;mem(web):100"]);
}

// An executor whose end nobody told is described as it was, and when Mesos refuses that, anew.
#[test]
fn an_executor_that_was_not_there_after_all() {
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [shared(1)]);
    let first = s.launch("a1", "cpus:1.5;mem:100;ports:[1-9]");
    s.update(&first[0], TaskFinished);
    s.sleep(secs(2));
    s.clear();
    for (update, expected) in [(TaskError, "cpus:0.5;mem:100"), (TaskRunning, "cpus(web):0.5;mem(web):100")] {
        s.offer("a1", "cpus(web):9;mem(web):100;ports:[1-9]");
        let accept = s.accept();
        assert_eq!(given(&accept)[0].1, expected);
        s.answer(&accept.ids()[0], update);
        s.sleep(secs(700));
        s.clear();
    }
}

// The executors of a framework that was removed have gone with it: those of the next one are described anew.
#[test]
fn a_new_framework_has_no_executors() {
    let config = client(Framework::new("test").roles(["web"])).on_removed(OnRemoved::FreshId);
    let mut s = Script::with(config, [shared(1)]);
    let first = s.launch("a1", "cpus:1.5;mem:100;ports:[1-9]");
    s.update(&first[0], TaskRunning);
    s.error("Framework has been removed");
    s.sleep(secs(30));
    s.clear();
    s.offer("a1", "cpus(web):9;mem(web):100;ports:[1-9]");
    assert_eq!(given(&s.accept())[0].1, "cpus(web):0.5;mem(web):100");
}

// A task that was given up comes back, and is killed: its executor is there, and is described to the next one as it was.
#[test]
fn the_executor_of_a_ghost_is_there() {
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [shared(1)]);
    let old = s.launch("a1", "cpus:1.5;mem:100;ports:[1-9]").remove(0);
    s.update(&old, TaskRunning);
    s.master_says(&old, TaskUnreachable, Reason::AgentRemoved);
    s.tick();
    let new = s.launch("a2", "cpus:1.5;mem:100;ports:[1-9]").remove(0);
    s.update(&new, TaskRunning);
    s.sleep(secs(601));
    assert!(s.stored(["ghost", &old]).is_some());
    s.master_says(&old, TaskRunning, Reason::AgentReregistered);
    s.update(&old, TaskKilled);
    assert!(s.stored(["ghost", &old]).is_none());
    s.engine.scale("web", 2).unwrap();
    s.tick();
    s.clear();
    s.offer("a1", "cpus(web):9;mem(web):100;ports:[1-9]");
    assert_eq!(given(&s.accept())[0].1, "cpus:0.5;mem:100");
}

// What an ACCEPT would have launched is described to the next one out of its offers: they leave both, or none does.
#[test]
fn an_executor_that_is_not_launched_after_all() {
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [shared(2)]);
    s.disk = Disk::Hangs;
    let first = s.offer("a1", "cpus(web):1.5;mem(web):100;ports:[1-9]");
    s.offer("a1", "cpus:1.5;mem:100;ports:[1-9]");
    s.rescind(&first);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty(), "its resources are not in the offer");
    s.sleep(secs(10));
    s.offer("a1", "cpus:2.5;mem:100;ports:[1-9]");
    let accept = s.accept();
    assert_eq!(given(&accept)[0].1, "cpus:0.5;mem:100");
    assert_eq!(accept.tasks.len(), 2);
}

// The same if the first ACCEPT is more than the client takes.
#[test]
fn an_executor_that_is_too_large_to_be_launched() {
    let master = scheduler::Config::new(Framework::new("test").roles(["web"]), ["10.0.0.1:5050"]).unwrap();
    let large = shared(1).data("x".repeat(4000));
    let small = sharing("small", 1).priority(1);
    let mut s = Script::with(Config::new(master.queue_limits(100, 4000)), [large, small]);
    s.disk = Disk::Hangs;
    s.offer("a1", "cpus(web):1.5;mem(web):100;ports:[1-9]");
    s.offer("a1", "cpus:1.5;mem:100;ports:[1-9]");
    assert_eq!((s.spec("web").waiting, s.spec("small").waiting), (0, 0));
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty(), "its resources are not in the offer");
    s.engine.scale("web", 0).unwrap();
    s.sleep(secs(10));
    s.offer("a1", "cpus:1.5;mem:100;ports:[1-9]");
    assert_eq!(given(&s.accept())[0].1, "cpus:0.5;mem:100");
}

// L1: what doesn't fit into one ACCEPT goes in several.
#[test]
fn many_that_are_too_large_for_one_call() {
    let client = scheduler::Config::new(Framework::new("test"), ["10.0.0.1:5050"]).unwrap();
    let config = Config::new(client.queue_limits(1024, 1024 * 1024));
    let mut s = Script::with(config, [shared(32).data("x".repeat(40 * 1024))]);
    for _ in 0..32 {
        s.sleep(secs(6));
        s.launch("a1", "cpus:64;mem:64000;ports:[1-99]").iter().for_each(|task| s.update(task, TaskRunning));
    }
    assert_eq!(s.spec("web").waiting, 0);
}

// The same if a master refuses the first ACCEPT.
#[test]
fn an_executor_that_a_master_refuses() {
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [shared(2)]);
    s.answering = false;
    assert_eq!(s.launch("a1", "cpus(web):1.5;mem(web):100;ports:[1-9]").len(), 1);
    s.disk = Disk::Hangs;
    s.offer("a1", "cpus:1.5;mem:100;ports:[1-9]");
    s.reply(400, "no");
    s.answering = true;
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty(), "its resources are not in the offer");
    s.sleep(secs(10));
    s.offer("a1", "cpus:2.5;mem:100;ports:[1-9]");
    assert_eq!(given(&s.accept())[0].1, "cpus:0.5;mem:100");
}

// But what another task says is there is there for them all.
#[test]
fn an_executor_that_is_there_keeps_its_tasks() {
    let mut s = Script::with(client(Framework::new("test").roles(["web"])), [shared(3)]);
    let first = s.launch("a1", "cpus(web):1.5;mem(web):100;ports:[1-9]").remove(0);
    s.update(&first, TaskRunning);
    s.disk = Disk::Hangs;
    let second = s.offer("a1", "cpus:1;ports:[1-9]");
    let third = s.offer("a1", "cpus:1;ports:[1-9]");
    s.rescind(&second);
    s.disk = Disk::Writes;
    s.settle();
    assert_eq!(s.accept().offers, [third]);
}

// Each ACCEPT that is given up looks at those of its own agent only: at all of them, this would take minutes.
#[test]
fn many_executors_that_are_not_launched_after_all() {
    const MANY: u32 = 4_000;
    let mut s = Script::new([shared(MANY)]);
    for stalls in [false, true] {
        s.disk = Disk::Hangs;
        let offers = (0..MANY).map(|n| s.make_offer(&format!("a{n}"), "cpus:1.5;mem:100;ports:[1-9]")).collect();
        s.offers(offers);
        assert_eq!(s.spec("web").waiting, 0);
        if stalls {
            s.sleep(secs(3));
        } else {
            s.cut();
        }
        assert_eq!(s.spec("web").waiting, MANY);
        s.disk = Disk::Writes;
        s.settle();
        s.resubscribe();
        assert!(s.accepts().is_empty());
    }
}

/// How the cpus of each task and its executor are: revocable or not.
fn cpus_are_revocable(accept: &Accept) -> Vec<(bool, bool)> {
    let is = |resources: &[v1::Resource]| {
        let mut cpus = resources.iter().filter(|resource| resource.name == "cpus").map(|cpus| cpus.revocable.is_some());
        let first = cpus.next().expect("cpus");
        assert!(cpus.all(|other| other == first));
        first
    };
    accept.tasks.iter().map(|task| (is(&task.resources), is(&task.executor.as_ref().unwrap().resources))).collect()
}

/// Offers an agent with revocable cpus, with or without others.
fn offer_revocable(s: &mut Script, agent: &str, revocable: f64, others: &str) {
    let mut offer = s.make_offer(agent, others);
    let mut cpus = v1::Resource::scalar("cpus", revocable);
    cpus.allocation_info = offer.allocation_info.clone();
    cpus.revocable = Some(v1::resource::RevocableInfo {});
    offer.resources.push(cpus);
    s.offers(vec![offer]);
}

// ENGINE 2.1: Mesos refuses a task that has cpus of another kind than its executor.
#[test]
fn a_task_has_cpus_of_the_kind_that_its_executor_has() {
    let need = Resources::new().cpus(1.0).ports(1);
    let spec = sharing("web", 3).resources(need.clone().revocable(Revocable::Prefer));
    let mut s = Script::new([spec]);
    offer_revocable(&mut s, "a1", 1.5, "cpus:9;mem:100;ports:[1-9]");
    let first = s.accept();
    assert_eq!(cpus_are_revocable(&first), [(true, true)], "nor those that come with the same ACCEPT");
    // The same whether it is there for sure or not.
    for running in [false, true] {
        if running {
            s.update(&first.ids()[0], TaskRunning);
        }
        s.offer("a1", "cpus:9;mem:100;ports:[1-9]");
        assert!(s.accepts().is_empty());
        assert!(s.spec("web").lacking.unwrap().contains("cpus"));
    }
    offer_revocable(&mut s, "a1", 1.0, "cpus:9;ports:[1-9]");
    assert_eq!(cpus_are_revocable(&s.accept()), [(true, true)]);
    s.offer("a2", "cpus:9;mem:100;ports:[1-9]");
    assert_eq!(cpus_are_revocable(&s.accept()), [(false, false)], "elsewhere there is none");

    // Those that want no others don't get what they don't want.
    let strict = sharing("strict", 1).resources(need.clone()).priority(-1);
    let only = sharing("only", 1).resources(need.revocable(Revocable::Only));
    let mut s = Script::new([strict, only]);
    offer_revocable(&mut s, "a1", 9.0, "cpus:9;mem:100;ports:[1-9]");
    assert_eq!(cpus_are_revocable(&s.accept()), [(false, false)]);
    assert_eq!((s.spec("strict").waiting, s.spec("only").waiting), (0, 1));
    offer_revocable(&mut s, "a2", 9.0, "cpus:9;mem:100;ports:[1-9]");
    assert_eq!(cpus_are_revocable(&s.accept()), [(true, true)]);
}

// ENGINE 2.1, L8: an executor that has told nothing for long may have gone without a word; what it had is no reason to wait for
// ever.
#[test]
fn what_is_remembered_of_an_executor_starves_nobody() {
    let need = Resources::new().cpus(1.0).ports(1).revocable(Revocable::Prefer);
    let mut s = Script::new([sharing("web", 1).resources(need)]);
    let firm = "cpus:9;mem:100;ports:[1-9]";
    offer_revocable(&mut s, "a1", 1.5, firm);
    let first = s.accept().ids().remove(0);
    s.update(&first, TaskRunning);
    s.update(&first, TaskFailed);
    s.sleep(secs(5));
    assert!(s.launch("a1", firm).is_empty(), "it is likely to be there");
    s.sleep(secs(120));
    s.offer("a1", firm);
    assert_eq!(cpus_are_revocable(&s.accept()), [(false, false)]);
}

// ENGINE 2.1, L8: what an executor that outlives its tasks leaves of its agent is enough for the next one, as Mesos has it; but
// where there is room for both, that comes first.
#[test]
fn an_executor_that_outlives_its_tasks_blocks_nobody() {
    let need = Resources::new().cpus(3.5).ports(1);
    let mut s = Script::new([sharing("web", 1).resources(need)]);
    let end = |s: &mut Script, resources: &str| {
        let task = s.launch("a1", resources).remove(0);
        s.update(&task, TaskRunning);
        s.update(&task, TaskFailed);
        s.sleep(secs(5));
        assert!(s.launch("a1", "cpus:3.5;mem:1;ports:[1-9]").is_empty(), "it may have gone");
        s.sleep(secs(120));
    };
    end(&mut s, "cpus:4;mem:101;ports:[1-9]");
    let (small, large) =
        (s.make_offer("a1", "cpus:3.5;mem:1;ports:[1-9]"), s.make_offer("a2", "cpus:4;mem:101;ports:[1-9]"));
    let wanted = large.id.value.clone();
    s.offers(vec![small, large]);
    let accept = s.accept();
    assert_eq!(accept.offers, [wanted]);
    s.update(&accept.ids()[0], TaskFailed);
    s.failure("a1", Some("e"));
    s.sleep(secs(300));
    end(&mut s, "cpus:4;mem:101;ports:[1-9]");
    s.offer("a1", "cpus:3.5;mem:1;ports:[1-9]");
    let accept = s.accept();
    assert_eq!(given(&accept), [("cpus:3.5;ports:[1-1]".to_string(), "cpus:0.5;mem:100".to_string())]);
    // If it has gone, Mesos says so, and room for it is waited for again.
    s.status(&accept.ids()[0], TaskError, |status| status.source = Some(Source::Master.into()));
    s.sleep(secs(300));
    assert!(s.launch("a1", "cpus:3.5;mem:1;ports:[1-9]").is_empty());
    assert_eq!(s.launch("a1", "cpus:4;mem:101;ports:[1-9]").len(), 1);
}

// ENGINE 2.1: room for an executor that may have been lost is given to nobody else in the same ACCEPT.
#[test]
fn an_uncertain_executor_keeps_its_room() {
    let other = service("web2", 1).resources(Resources::new().cpus(0.5).mem(1.0)).priority(1);
    let mut s = Script::new([shared(1), other]);
    let first = s.launch("a1", "cpus:1.5;mem:100;ports:[1-9]");
    assert_eq!((first.len(), s.spec("web").waiting), (1, 0));
    s.engine.scale("web", 2).unwrap();
    s.tick();
    s.offer("a1", "cpus:1.5;mem:101;ports:[1-9]");
    assert_eq!(given(&s.accept()), [("cpus:1;ports:[1-1]".to_string(), "cpus:0.5;mem:100".to_string())]);
    assert_eq!(s.spec("web2").waiting, 1);
    // For two of its tasks there is one of it.
    s.engine.scale("web", 4).unwrap();
    s.tick();
    s.offer("a1", "cpus:2.5;mem:100;ports:[1-9]");
    assert_eq!(s.accept().tasks.len(), 2);
}

// ENGINE 2.1: the next ports, and after the last one the first; static ones don't count.
#[test]
fn ports_in_turns() {
    let need = Resources::new().cpus(1.0).ports(3).static_ports([31005]);
    for (order, expected) in [(PortOrder::Lowest, [[0, 1]; 4]), (PortOrder::Rotating, [[0, 1], [2, 3], [0, 4], [1, 2]])]
    {
        let spec = service("web", 1).resources(need.clone()).backoff(secs(1), secs(1));
        let mut s = Script::with(config().port_order(order), [spec]);
        for [first, second] in expected {
            let task = s.launch("a1", "cpus:1;ports:[31000-31002,31003-31005]").remove(0);
            assert_eq!(s.engine.find_task(&task).unwrap().ports, [31005, 31000 + first, 31000 + second], "{order:?}");
            s.update(&task, TaskRunning);
            s.sleep(secs(100));
            s.update(&task, TaskFailed);
            s.sleep(secs(2));
        }
    }
    // There is none after the last one of all.
    let spec = service("web", 2).resources(Resources::new().cpus(1.0).ports(1));
    let mut s = Script::with(config().port_order(PortOrder::Rotating), [spec]);
    for (offered, port) in [("[65535-65535]", 65535), ("[1-9,65535-65535]", 1)] {
        let task = s.launch("a1", &format!("cpus:1;ports:{offered}")).remove(0);
        assert_eq!(s.engine.find_task(&task).unwrap().ports, [port]);
    }
}

// Found by the simulated world: a task that comes back into sight in the midst of its start counts as before.
#[test]
fn what_comes_back_while_it_starts_counts() {
    let mut s = Script::with(config().max_launching_per_agent(2), [service("web", 1).scalable(true)]);
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskStarting);
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    s.master_says(&task, TaskStarting, Reason::AgentReregistered);
    s.engine.scale("web", 4).unwrap();
    s.tick();
    assert_eq!(s.launch("a1", BIG).len(), 1, "and one was there");
}
