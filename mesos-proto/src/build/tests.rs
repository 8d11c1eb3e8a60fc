use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use crate::descriptor::Described;
use crate::{check, json, v1};
use v1::container_info::DockerInfo;
use v1::container_info::docker_info::Network;
use v1::offer::Operation;
use v1::resource::ReservationInfo;
use v1::volume::Mode;

/// A message is what Mesos takes, and this is its JSON.
#[track_caller]
fn is<M: Described>(message: &M, expected: &str) {
    check(M::descriptor(), &message.encode_to_vec()).unwrap();
    assert_eq!(json::encode(message).unwrap(), expected);
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn ids_are_texts() {
    fn text(id: impl AsRef<str>) -> usize {
        id.as_ref().len()
    }
    let id = v1::TaskId::from("web.1");
    assert_eq!((text(&id), id.to_string(), format!("{id:>7}")), (5, "web.1".into(), "  web.1".into()));
    assert_eq!(v1::AgentId::from("a-S0".to_string()), v1::AgentId { value: "a-S0".into() });
    assert_eq!(v1::OfferId::from("o").as_ref(), "o");
}

// S203, S208: a task with everything that people give one, in the JSON of Mesos.
#[test]
fn a_docker_task() {
    let docker = DockerInfo::new("nginx:1.27")
        .with_network(Network::Bridge)
        .with_port_mapping(31000, 80, "tcp")
        .with_parameter("hostname", "web")
        .with_force_pull_image(true);
    let task = v1::TaskInfo::new("web", "web.1", "a-S0")
        .with_resources([v1::Resource::cpus(0.5), v1::Resource::ports([31000..=31000, 31005..=31007])])
        .with_command(v1::CommandInfo::arguments::<&str>([]).with_env([("A", "b"), ("PORT0", "31000"), ("A", "c")]))
        .with_container(v1::ContainerInfo::docker(docker).with_volume(v1::Volume::host("/var/log", "/logs", Mode::Ro)))
        .with_health_check(v1::HealthCheck::http(31000, "/health").with_grace_period(seconds(2.5)))
        .with_labels([("tier", "front")])
        .with_labels([("team", "shop")])
        .with_kill_policy(v1::KillPolicy::new(seconds(1.5)))
        .with_discovery(
            v1::DiscoveryInfo::new("web", v1::discovery_info::Visibility::Cluster)
                .with_port(v1::Port::new(31000, "http", "tcp")),
        )
        .with_max_completion_time(seconds(3600.0));
    is(
        &task,
        concat!(
            r#"{"name":"web","task_id":{"value":"web.1"},"agent_id":{"value":"a-S0"},"resources":["#,
            r#"{"name":"cpus","type":"SCALAR","scalar":{"value":0.5}},"#,
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31000},{"begin":31005,"end":31007}]}}],"#,
            r#""command":{"environment":{"variables":[{"name":"A","value":"c"},{"name":"PORT0","value":"31000"}]},"shell":false},"#,
            r#""health_check":{"http":{"port":31000,"path":"/health"},"grace_period_seconds":2.5,"type":"HTTP"},"#,
            r#""container":{"type":"DOCKER","volumes":[{"container_path":"/logs","host_path":"/var/log","mode":"RO"}],"#,
            r#""docker":{"image":"nginx:1.27","network":"BRIDGE","port_mappings":[{"host_port":31000,"container_port":80,"protocol":"tcp"}],"#,
            r#""parameters":[{"key":"hostname","value":"web"}],"force_pull_image":true}},"#,
            r#""labels":{"labels":[{"key":"tier","value":"front"},{"key":"team","value":"shop"}]},"#,
            r#""discovery":{"visibility":"CLUSTER","name":"web","ports":{"ports":[{"number":31000,"name":"http","protocol":"tcp"}]}},"#,
            r#""kill_policy":{"grace_period":{"nanoseconds":1500000000}},"max_completion_time":{"nanoseconds":3600000000000}}"#,
        ),
    );
}

#[test]
fn commands() {
    is(&v1::CommandInfo::new("exit 1").with_user("www"), r#"{"value":"exit 1","user":"www","shell":true}"#);
    is(
        &v1::CommandInfo::exec("/bin/ls", ["-l"])
            .with_uri("http://h/a.tgz")
            .with_uri(v1::command_info::Uri { executable: Some(true), ..v1::command_info::Uri::from("http://h/run") }),
        r#"{"uris":[{"value":"http://h/a.tgz"},{"value":"http://h/run","executable":true}],"value":"/bin/ls","shell":false,"arguments":["/bin/ls","-l"]}"#,
    );
}

#[test]
fn mesos_containers() {
    let network = v1::NetworkInfo::new("overlay").with_port_mapping(31000, 80, "udp");
    is(
        &v1::ContainerInfo::mesos("alpine")
            .with_network(network)
            .with_volume(v1::Volume::docker("rexray", "data", "data", Mode::Rw))
            .with_volume(v1::Volume::parent_sandbox("shared", "here", Mode::Rw)),
        concat!(
            r#"{"type":"MESOS","volumes":["#,
            r#"{"container_path":"data","mode":"RW","source":{"type":"DOCKER_VOLUME","docker_volume":{"driver":"rexray","name":"data"}}},"#,
            r#"{"container_path":"here","mode":"RW","source":{"type":"SANDBOX_PATH","sandbox_path":{"type":"PARENT","path":"shared"}}}],"#,
            r#""mesos":{"image":{"type":"DOCKER","docker":{"name":"alpine"}}},"#,
            r#""network_infos":[{"name":"overlay","port_mappings":[{"host_port":31000,"container_port":80,"protocol":"udp"}]}]}"#,
        ),
    );
    let bare = v1::container_info::MesosInfo::default();
    is(&v1::ContainerInfo::mesos(bare), r#"{"type":"MESOS","mesos":{}}"#);
}

#[test]
fn checks() {
    is(
        &v1::HealthCheck::https(8443, "/").with_delay(seconds(0.0)).with_interval(seconds(0.25)),
        r#"{"http":{"port":8443,"path":"/","scheme":"https"},"delay_seconds":0,"interval_seconds":0.25,"type":"HTTP"}"#,
    );
    is(
        &v1::HealthCheck::tcp(1).with_consecutive_failures(1),
        r#"{"consecutive_failures":1,"type":"TCP","tcp":{"port":1}}"#,
    );
    is(
        &v1::HealthCheck::command(v1::CommandInfo::new("true")).with_timeout(seconds(3.0)),
        r#"{"timeout_seconds":3,"command":{"value":"true","shell":true},"type":"COMMAND"}"#,
    );
    is(&v1::CheckInfo::http(80, "/x"), r#"{"type":"HTTP","http":{"port":80,"path":"/x"}}"#);
    is(&v1::CheckInfo::tcp(80).with_delay(seconds(1.0)), r#"{"type":"TCP","delay_seconds":1,"tcp":{"port":80}}"#);
    is(
        &v1::CheckInfo::command(v1::CommandInfo::new("true")),
        r#"{"type":"COMMAND","command":{"command":{"value":"true","shell":true}}}"#,
    );
}

#[test]
fn resources() {
    is(
        &v1::Resource::set("racks", ["a", "b"]).with_allocation_role("web").with_role("web"),
        r#"{"name":"racks","type":"SET","set":{"item":["a","b"]},"role":"web","allocation_info":{"role":"web"}}"#,
    );
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let ports = v1::Resource::ports([2..=1, 1..=1]);
    assert_eq!(ports.ranges.unwrap().range, [v1::value::Range { begin: 1, end: 1 }]);
    let source = v1::resource::disk_info::Source::default();
    let mut disk = v1::Resource::disk(64.0)
        .with_reservation(ReservationInfo::fixed("web"))
        .with_reservation(ReservationInfo::dynamic("web/shop", Some("p")));
    disk.disk = Some(v1::resource::DiskInfo { source: Some(source), ..Default::default() }.into());
    let volume = disk.clone().with_persistent_volume("v1", "data", Some("p"));
    assert_eq!(volume.disk.as_ref().unwrap().source, disk.disk.unwrap().source, "a disk's source stays");
    is(
        &v1::Resource::disk(64.0)
            .with_reservation(ReservationInfo::fixed("web"))
            .with_reservation(ReservationInfo::dynamic("web/shop", Some("p")))
            .with_persistent_volume("v1", "data", Some("p")),
        concat!(
            r#"{"name":"disk","type":"SCALAR","scalar":{"value":64},"disk":{"persistence":{"id":"v1","principal":"p"},"#,
            r#""volume":{"container_path":"data","mode":"RW"}},"#,
            r#""reservations":[{"role":"web","type":"STATIC"},{"principal":"p","role":"web/shop","type":"DYNAMIC"}]}"#,
        ),
    );
}

#[test]
fn operations() {
    let task = || v1::TaskInfo::new("t", "t.1", "a").with_command(v1::CommandInfo::new("true"));
    let json =
        r#"{"name":"t","task_id":{"value":"t.1"},"agent_id":{"value":"a"},"command":{"value":"true","shell":true}}"#;
    is(&Operation::launch([task()]), &format!(r#"{{"type":"LAUNCH","launch":{{"task_infos":[{json}]}}}}"#));
    let executor = v1::ExecutorInfo::default_executor("e").with_resources([v1::Resource::mem(32.0)]);
    is(
        &Operation::launch_group(executor, [task()]),
        &format!(
            r#"{{"type":"LAUNCH_GROUP","launch_group":{{"executor":{{"executor_id":{{"value":"e"}},"resources":[{{"name":"mem","type":"SCALAR","scalar":{{"value":32}}}}],"type":"DEFAULT"}},"task_group":{{"tasks":[{json}]}}}}}}"#
        ),
    );
    let cpus = || [v1::Resource::cpus(1.0)];
    let json = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]"#;
    is(
        &Operation::reserve(cpus()).with_id("op"),
        &format!(r#"{{"type":"RESERVE","reserve":{{"resources":{json}}},"id":{{"value":"op"}}}}"#),
    );
    is(&Operation::unreserve(cpus()), &format!(r#"{{"type":"UNRESERVE","unreserve":{{"resources":{json}}}}}"#));
    is(&Operation::create(cpus()), &format!(r#"{{"type":"CREATE","create":{{"volumes":{json}}}}}"#));
    is(&Operation::destroy(cpus()), &format!(r#"{{"type":"DESTROY","destroy":{{"volumes":{json}}}}}"#));
}

#[test]
fn the_rest() {
    is(
        &v1::ExecutorInfo::custom("e", v1::CommandInfo::new("./run")).with_labels([("k", "v")]),
        r#"{"executor_id":{"value":"e"},"command":{"value":"./run","shell":true},"labels":{"labels":[{"key":"k","value":"v"}]},"type":"CUSTOM"}"#,
    );
    is(
        &v1::TaskStatus::new("t", v1::TaskState::TaskFailed).with_message("no"),
        r#"{"task_id":{"value":"t"},"state":"TASK_FAILED","message":"no","source":"SOURCE_EXECUTOR"}"#,
    );
    is(&v1::Filters::refuse_for(seconds(0.5)), r#"{"refuse_seconds":0.5}"#);
    is(
        &v1::Unavailability::new(seconds(1.0), Some(Duration::MAX)),
        r#"{"start":{"nanoseconds":1000000000},"duration":{"nanoseconds":9223372036854775807}}"#,
    );
    is(
        &v1::framework_info::Capability::from(v1::framework_info::capability::Type::GpuResources),
        r#"{"type":"GPU_RESOURCES"}"#,
    );
}
