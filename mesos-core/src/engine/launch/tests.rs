//! Tasks as they go to Mesos.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use prost::Message as _;
use v1::container_info::{DockerInfo, docker_info::Network};

use super::*;
use crate::engine::TaskSpec;
use crate::resources::Pool;
use crate::wire::{Parsed, scheduler_event};

const TARGET: Target<'_> = Target { agent_id: "a-1", hostname: "node1", agent_ip: Some("127.0.0.1") };

/// What an agent with 4 cpus, 4096 MiB of memory, 1000 of disk and the ports 31000 to 31009 offers.
fn pool() -> Pool {
    let text = r#"{"type":"OFFERS","offers":{"offers":[{
        "id":{"value":"o"},"framework_id":{"value":"f"},"agent_id":{"value":"a-1"},"hostname":"node1",
        "resources":[
            {"name":"cpus","type":"SCALAR","scalar":{"value":4},"allocation_info":{"role":"*"}},
            {"name":"mem","type":"SCALAR","scalar":{"value":4096},"allocation_info":{"role":"*"}},
            {"name":"disk","type":"SCALAR","scalar":{"value":1000},"allocation_info":{"role":"*"}},
            {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31009}]},
             "allocation_info":{"role":"*"}}]}]}}"#;
    let event: v1::scheduler::Event = mesos_proto::json::decode(text.as_bytes()).unwrap();
    let Ok(Parsed::Offers(offers, bad)) = scheduler_event(&event.encode_to_vec().into()) else { panic!("no offers") };
    assert!(bad.is_empty());
    let mut pool = Pool::new();
    for (index, offer) in offers.iter().enumerate() {
        pool.add(index, offer.resources());
    }
    pool
}

/// The task of an instance that gets what it needs from [`pool`].
fn task_of(spec: &TaskSpec, index: u32) -> v1::TaskInfo {
    let taken = pool().take(&spec.launch.need).unwrap();
    task_info(spec.name(), &spec.launch, index, "t-1", &TARGET, taken)
}

fn web() -> TaskSpec {
    TaskSpec::new("web").command("serve").resources(Resources::new().cpus(0.5).mem(64.0).ports(2))
}

fn variables(task: &v1::TaskInfo) -> Vec<(&str, &str)> {
    let variables = &task.command.as_ref().unwrap().environment.as_ref().unwrap().variables;
    variables.iter().map(|v| (v.name.as_str(), v.value.as_deref().unwrap())).collect()
}

// S74, S75, S77, S78, S82 to S85, S95, S97, W34: the worked example, as it goes over the wire.
#[test]
fn the_worked_example() {
    let spec = web()
        .resources(Resources::new().cpus(0.5).mem(64.0).disk(5.0).ports(2))
        .docker(DockerInfo::new("nginx").with_network(Network::Bridge))
        .port_mapping(80, "tcp")
        .port_mapping(443, "tcp")
        .env("A", "B")
        .http_check("/h")
        .label("team", "shop");
    let expected = r#"{
        "name":"web-1","task_id":{"value":"t-1"},"agent_id":{"value":"a-1"},
        "resources":[
            {"name":"cpus","type":"SCALAR","scalar":{"value":0.5},"allocation_info":{"role":"*"}},
            {"name":"mem","type":"SCALAR","scalar":{"value":64},"allocation_info":{"role":"*"}},
            {"name":"disk","type":"SCALAR","scalar":{"value":5},"allocation_info":{"role":"*"}},
            {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31001}]},
             "allocation_info":{"role":"*"}}],
        "command":{"environment":{"variables":[
            {"name":"A","value":"B"},
            {"name":"PORT0","value":"31000"},
            {"name":"PORT1","value":"31001"},
            {"name":"HOST","value":"127.0.0.1"},
            {"name":"TASK_WEB_SERIAL_NUMBER","value":"1"}]},"value":"serve","shell":true},
        "health_check":{"http":{"port":31000,"path":"/h","scheme":"http","statuses":[200]},"type":"HTTP"},
        "container":{"type":"DOCKER","docker":{"image":"nginx","network":"BRIDGE","port_mappings":[
            {"host_port":31000,"container_port":80,"protocol":"tcp"},
            {"host_port":31001,"container_port":443,"protocol":"tcp"}]}},
        "labels":{"labels":[{"key":"team","value":"shop"}]}}"#;
    let expected: String = expected.split_whitespace().collect();
    assert_eq!(mesos_proto::json::encode(&task_of(&spec, 0)).unwrap(), expected);
}

// S75
#[test]
fn no_disk_is_asked_for_where_none_is_needed() {
    let task = task_of(&web().resources(Resources::new().cpus(1.0).disk(0.0)), 0);
    assert!(task.resources.iter().map(|resource| &*resource.name).eq(["cpus"]));
}

// S30, S72, S73
#[test]
fn names() {
    let spec = |name: &str| web().launch.task_name(name, 9);
    assert_eq!(spec("web"), "web-10");
    assert_eq!(spec("a/b/c"), "a_b_c-10");
    assert_eq!(web().serial_numbers(false).launch.task_name("a/b", 9), "a_b");
    assert_eq!(web().launch.task_name("web", u32::MAX), "web-4294967296");
}

// S84, W34
#[test]
fn serial_variables() {
    for (spec, variable) in [
        ("web", "TASK_WEB_SERIAL_NUMBER"),
        ("my-app", "TASK_MY_APP_SERIAL_NUMBER"),
        ("a/b.c_1", "TASK_A_B_C_1_SERIAL_NUMBER"),
        ("grüße", "TASK_GR__E_SERIAL_NUMBER"),
    ] {
        assert_eq!(serial_variable(spec), variable);
    }
    let task = task_of(&web().serial_numbers(false), 0);
    assert_eq!(variables(&task), [("PORT0", "31000"), ("PORT1", "31001"), ("HOST", "127.0.0.1")]);
}

// S82, S83, W33: also without container; static ports first.
#[test]
fn ports_and_host_in_the_environment() {
    let spec = web().resources(Resources::new().cpus(1.0).ports(4).static_ports([31008, 31002]));
    let taken = pool().take(&spec.launch.need).unwrap();
    let target = Target { agent_ip: None, ..TARGET };
    let task = task_info("web", &spec.launch, 2, "t", &target, taken);
    let expected = [
        ("PORT0", "31002"),
        ("PORT1", "31008"),
        ("PORT2", "31000"),
        ("PORT3", "31001"),
        ("HOST", "node1"),
        ("TASK_WEB_SERIAL_NUMBER", "3"),
    ];
    assert_eq!(variables(&task), expected);
}

// S85
#[test]
fn variables_of_the_user_come_first_and_win() {
    let spec = web().env("PORT1", "8080").env("A", "1").env("HOST", "me").env("A", "2");
    let expected = [("PORT1", "8080"), ("A", "2"), ("HOST", "me"), ("PORT0", "31000"), ("TASK_WEB_SERIAL_NUMBER", "1")];
    assert_eq!(variables(&task_of(&spec, 0)), expected);
}

// S35, W26: of what an instance got, the next one has nothing.
#[test]
fn instances_are_independent() {
    let need = Resources::new().cpus(0.5).ports(3).static_ports([31005]);
    let spec = web().resources(need).env("A", "B");
    let smaller = Resources::new().cpus(0.5).ports(1);
    let mut pool = pool();
    let tasks = [(0, &spec.launch.need), (1, &smaller)]
        .map(|(index, need)| task_info("web", &spec.launch, index, "t", &TARGET, pool.take(need).unwrap()));
    assert_eq!(variables(&tasks[0])[1..4], [("PORT0", "31005"), ("PORT1", "31000"), ("PORT2", "31001")]);
    let second = [("A", "B"), ("PORT0", "31002"), ("HOST", "127.0.0.1"), ("TASK_WEB_SERIAL_NUMBER", "2")];
    assert_eq!(variables(&tasks[1]), second);
}

// S80, S81, W32
#[test]
fn port_mappings_by_network() {
    let mapped = |container: v1::ContainerInfo| {
        let task = task_of(&web().container(container).port_mapping(80, "tcp").port_mapping(53, "udp"), 0);
        *task.container.unwrap()
    };
    let docker = |network| v1::ContainerInfo::docker(DockerInfo::new("nginx").with_network(network));
    let mapping = |host_port, container_port, protocol: &str| docker_info::PortMapping {
        host_port,
        container_port,
        protocol: Some(protocol.into()),
    };
    for network in [Network::Bridge, Network::User] {
        let container = mapped(docker(network).with_network(v1::NetworkInfo::new("weave")));
        let mappings = container.docker.unwrap().port_mappings;
        assert_eq!(mappings, [mapping(31000, 80, "tcp"), mapping(31001, 53, "udp")], "{network:?}");
        assert!(container.network_infos[0].port_mappings.is_empty());
    }
    for network in [Network::Host, Network::None] {
        assert_eq!(mapped(docker(network)), docker(network));
    }
    assert_eq!(mapped(v1::ContainerInfo::docker("nginx")), v1::ContainerInfo::docker("nginx"), "HOST is the default");

    let networks = |port_mappings: bool| {
        let first = v1::NetworkInfo::new("cni");
        let first = if port_mappings {
            first.with_port_mapping(31000, 80, "tcp").with_port_mapping(31001, 53, "udp")
        } else {
            first
        };
        v1::ContainerInfo::mesos("nginx").with_network(first).with_network(v1::NetworkInfo::new("other"))
    };
    assert_eq!(mapped(networks(false)), networks(true));
    let host = v1::ContainerInfo::mesos("nginx");
    assert_eq!(mapped(host.clone()), host, "the host's network");
}

// S79: without mappings of the spec, the container's own stay.
#[test]
fn mappings_within_a_container_stay() {
    let docker = DockerInfo::new("nginx").with_network(Network::Bridge).with_port_mapping(31000, 80, "tcp");
    let task = task_of(&web().docker(docker.clone()), 0);
    assert_eq!(task.container.unwrap().docker, Some(docker));
}

// S95, S96, W36
#[test]
fn health_checks() {
    let check = |check: v1::HealthCheck| *task_of(&web().health_check(check), 0).health_check.unwrap();
    let http = v1::HealthCheck::https(8443, "/up")
        .with_delay(Duration::from_secs(1))
        .with_interval(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(3))
        .with_grace_period(Duration::from_secs(4))
        .with_consecutive_failures(5);
    let mut expected = http.clone();
    expected.http.as_mut().unwrap().statuses = vec![200];
    assert_eq!(check(http.clone()), expected);
    let mut given = http;
    given.http.as_mut().unwrap().statuses = vec![201, 204];
    assert_eq!(check(given.clone()), given);

    let bare = v1::HealthCheck { http: Some(Default::default()), ..Default::default() };
    let mut filled = v1::HealthCheck::http(31000, "/");
    filled.http.as_mut().unwrap().scheme = Some("http".into());
    filled.http.as_mut().unwrap().statuses = vec![200];
    assert_eq!(check(bare), filled);

    assert_eq!(check(v1::HealthCheck::tcp(0)), v1::HealthCheck::tcp(31000));
    assert_eq!(check(v1::HealthCheck::tcp(9000)), v1::HealthCheck::tcp(9000));
    let command = v1::HealthCheck::command(v1::CommandInfo::new("test -e up"));
    assert_eq!(check(command.clone()), command);
    let untyped = v1::HealthCheck { r#type: None, ..command.clone() };
    assert_eq!(check(untyped), command);
}

#[test]
fn checks_that_are_only_reported() {
    let check = |check: v1::CheckInfo| *task_of(&web().check(check), 0).check.unwrap();
    assert_eq!(check(v1::CheckInfo::http(0, "/up")), v1::CheckInfo::http(31000, "/up"));
    assert_eq!(check(v1::CheckInfo::http(80, "/up")), v1::CheckInfo::http(80, "/up"));
    assert_eq!(check(v1::CheckInfo { r#type: None, ..v1::CheckInfo::tcp(0) }), v1::CheckInfo::tcp(31000));
}

// S98, W36: whatever a template has arrives, except for what is each instance's own.
#[test]
fn everything_given_arrives() {
    let text = r#"{
        "name":"other","task_id":{"value":"other"},"agent_id":{"value":"other"},
        "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":100}}],
        "executor":{"type":"CUSTOM","executor_id":{"value":"e"},
                    "command":{"value":"./executor","environment":{"variables":[{"name":"X","value":"y"}]}}},
        "data":"AAEC","container":{"type":"MESOS","hostname":"inside"},
        "health_check":{"type":"COMMAND","command":{"value":"true"},"grace_period_seconds":7},
        "labels":{"labels":[{"key":"k"}]},
        "discovery":{"visibility":"CLUSTER","name":"web","ports":{"ports":[{"number":80}]}},
        "kill_policy":{"grace_period":{"nanoseconds":5}},
        "check":{"type":"TCP","tcp":{"port":80},"interval_seconds":1},
        "max_completion_time":{"nanoseconds":9},
        "limits":{"mem":{"value":"Infinity"}}}"#;
    let template: v1::TaskInfo = mesos_proto::json::decode(text.as_bytes()).unwrap();
    let spec = web().task_info(template.clone());
    let task = task_of(&spec, 0);
    let own = v1::TaskInfo {
        name: "web-1".into(),
        task_id: "t-1".into(),
        agent_id: "a-1".into(),
        resources: pool().take(&spec.launch.need).unwrap().resources,
        ..template
    };
    // An executor gets no variables, so that agents can share it.
    assert_eq!(task, own);
}

#[test]
fn an_image_may_say_what_runs() {
    let task = task_of(&web().docker("nginx"), 0);
    assert_eq!(task.command.unwrap().shell, Some(true), "a command is there");
    for container in [v1::ContainerInfo::docker("nginx"), v1::ContainerInfo::mesos("nginx")] {
        let spec = TaskSpec::new("web").container(container).resources(Resources::new().cpus(1.0));
        let command = *task_of(&spec, 0).command.unwrap();
        assert_eq!((command.shell, command.value), (Some(false), None));
        assert!(command.environment.is_some_and(|environment| !environment.variables.is_empty()));
    }
}

#[test]
fn a_program_and_its_arguments() {
    let spec = TaskSpec::new("web").argv(["ls", "-l"]).resources(Resources::new().cpus(1.0));
    let command = |spec: &TaskSpec| {
        let command = *task_of(spec, 0).command.unwrap();
        (command.shell, command.value, command.arguments)
    };
    let arguments: Vec<String> = ["ls", "-l"].map(Into::into).into();
    let executed = (Some(false), Some("ls".into()), arguments.clone());
    assert_eq!(command(&spec), executed);
    assert_eq!(command(&spec.clone().container(v1::ContainerInfo::mesos("alpine"))), executed);
    // Docker would run `ls ls -l`, whichever comes first.
    let by_docker = (Some(false), None, arguments);
    assert_eq!(command(&spec.clone().docker("alpine")), by_docker);
    assert_eq!(command(&spec.docker("alpine").argv(["ls", "-l"])), by_docker);
}

// A change of these would restart every task of every framework that takes the new version.
#[test]
fn revisions_stay_as_they_are() {
    assert_eq!(web().revision().to_string(), "dcbb3842f58ce9c1");
    assert_eq!(web().env("A", "B").docker("nginx").role("web").revision().to_string(), "509edb5716936260");
}

#[test]
fn the_published_hashes() {
    for (text, hash) in [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)] {
        assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
    }
}

#[test]
fn revisions_are_read_back() {
    for number in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
        assert_eq!(Revision(number).to_string().parse(), Ok(Revision(number)));
    }
    for text in ["", "0", "+123456789abcdef", "0123456789ABCDEF", "00123456789abcdef", "0123456789abcdeg"] {
        assert_eq!(text.parse::<Revision>(), Err(NoRevision), "{text}");
    }
}
