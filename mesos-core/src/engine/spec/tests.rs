//! Every fault by itself and all at once; what is policy and what isn't; records.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::*;
use v1::TaskState;
use v1::container_info::docker_info::Network;

use super::*;
use crate::IdError;
use crate::scheduler::RoleFault;
use crate::{ResourceProblem, Revocable};

const ROLES: [&str; 2] = ["web", "batch"];

fn web() -> TaskSpec {
    TaskSpec::new("web").command("serve").resources(Resources::new().cpus(0.5).mem(64.0).ports(2))
}

fn bridged() -> DockerInfo {
    DockerInfo::new("nginx").with_network(Network::Bridge)
}

fn executor() -> v1::ExecutorInfo {
    v1::ExecutorInfo::custom("e", v1::CommandInfo::new("./executor"))
}

fn executed(executor: v1::ExecutorInfo) -> TaskSpec {
    TaskSpec::new("web").executor(executor).resources(Resources::new().cpus(1.0))
}

#[test]
fn nothing_is_wrong_with_these() {
    let secret = v1::environment::Variable {
        name: "TOKEN".into(),
        r#type: Some(v1::environment::variable::Type::Secret.into()),
        secret: Some(v1::Secret::default()),
        ..Default::default()
    };
    let environment = v1::Environment { variables: vec![secret] };
    for spec in [
        web(),
        web().job(),
        web().job().restart(RestartPolicy::states_of_original()),
        web().restart(RestartPolicy::states([])).max_failures(Some(1)),
        web().role("batch").instances(0),
        TaskSpec::new("a/b c").docker("nginx").resources(Resources::new().mem(1.0)),
        TaskSpec::new("w").docker("nginx").env("A", "B").resources(Resources::new().ports(1)),
        executed(executor()),
        executed(v1::ExecutorInfo { r#type: None, ..executor() }),
        web().docker(bridged()).port_mapping(80, "tcp").port_mapping(53, "UDP"),
        web()
            .container(v1::ContainerInfo::mesos("nginx").with_network(v1::NetworkInfo::new("cni")))
            .port_mapping(80, "tcp")
            .port_mapping(443, "tcp"),
        web().http_check("/").check(v1::CheckInfo::tcp(0)).kill_grace(Duration::from_secs(7 * 24 * 3600)),
        web().resources(Resources::new().cpus(1.0)).health_check(v1::HealthCheck::http(80, "/")),
        web().max_surge(Amount::Count(0)).max_unavailable(Amount::Percent(1)),
        web().unreachable(Duration::from_secs(1), Duration::from_secs(1)),
        web().unique("@hostname").max_per("rack", 1).is(Field::Zone, "z"),
        web().command_info(v1::CommandInfo { environment: Some(environment), ..v1::CommandInfo::new("serve") }),
        TaskSpec::new("x".repeat(128)).command("serve").resources(Resources::new().cpus(1.0)),
    ] {
        assert_eq!(spec.problems(&ROLES), [], "{spec:?}");
    }
}

// S37, S41, S79, S95, S98, W19, W27
#[test]
fn one_fault_at_a_time() {
    let variable = |name: &str, value: Option<&str>| v1::environment::Variable {
        name: name.into(),
        value: value.map(Into::into),
        ..Default::default()
    };
    let with_variables = |variables| {
        let environment = Some(v1::Environment { variables });
        web().command_info(v1::CommandInfo { environment, ..v1::CommandInfo::new("serve") })
    };
    let check = |check: v1::HealthCheck| web().health_check(check);
    let http = |edit: fn(&mut v1::health_check::HttpCheckInfo)| {
        let mut check = v1::HealthCheck::http(80, "/");
        edit(check.http.as_mut().unwrap());
        web().health_check(check)
    };
    let portless = || web().resources(Resources::new().cpus(1.0));
    let mapped = |mapping: fn(TaskSpec) -> TaskSpec| mapping(web().docker(bridged()).port_mapping(80, "tcp"));
    let user = v1::ContainerInfo::docker(DockerInfo::new("nginx").with_network(Network::User));
    let second = Duration::from_secs(1);
    let scalar = |amount| v1::Resource::scalar("cpus", amount);

    let cases = [
        (TaskSpec { name: "".into(), ..web() }, SpecProblem::NoName),
        (TaskSpec { name: "é".repeat(65), ..web() }, SpecProblem::NameTooLong(130)),
        (TaskSpec { name: "a\nb".into(), ..web() }, SpecProblem::NameCharacter),
        (TaskSpec::new("web").resources(Resources::new().cpus(1.0)), SpecProblem::NoCommand),
        (TaskSpec::new("web").env("A", "B").resources(Resources::new().cpus(1.0)), SpecProblem::NoCommand),
        (web().command(""), SpecProblem::NoCommand),
        (web().argv([""; 0]), SpecProblem::NoCommand),
        (
            TaskSpec::new("web")
                .container(v1::ContainerInfo::mesos(v1::container_info::MesosInfo::default()))
                .resources(Resources::new().cpus(1.0)),
            SpecProblem::NoCommand,
        ),
        (web().executor(executor()), SpecProblem::CommandAndExecutor),
        (executed(executor()).env("A", "B"), SpecProblem::CommandAndExecutor),
        (
            executed(v1::ExecutorInfo::custom("a/b", v1::CommandInfo::new("x"))),
            SpecProblem::ExecutorId(IdError::Character),
        ),
        (executed(v1::ExecutorInfo::default_executor("e")), SpecProblem::Executor),
        (executed(v1::ExecutorInfo { command: None, ..executor() }), SpecProblem::Executor),
        (executed(executor().with_resources([v1::Resource::default()])), SpecProblem::ExecutorResources),
        (executed(executor().with_resources([scalar(-1.0)])), SpecProblem::ExecutorResources),
        (executed(executor().with_resources([scalar(1.0), scalar(1.0)])), SpecProblem::ExecutorResources),
        (
            executed(
                executor().with_resources([v1::Resource { allocation_info: Some(Default::default()), ..scalar(1.0) }]),
            ),
            SpecProblem::ExecutorResources,
        ),
        (
            with_variables(vec![variable("A", Some("1")), variable("A", Some("2"))]),
            SpecProblem::DuplicateVariable("A".into()),
        ),
        (with_variables(vec![variable("A", None)]), SpecProblem::Variable("A".into())),
        (with_variables(vec![variable("", Some("1"))]), SpecProblem::Variable("".into())),
        (web().resources(Resources::new()), SpecProblem::NoResources),
        (web().resources(Resources::new().cpus(-1.0)), ResourceProblem::Negative("cpus".into()).into()),
        (web().resources(Resources::new().cpus(1.0).static_ports([80])), ResourceProblem::PortsMissing.into()),
        (
            web().resources(Resources::new().ports(1).static_ports([80, 81])),
            ResourceProblem::TooManyStaticPorts { ports: 1, static_ports: 2 }.into(),
        ),
        (web().role("a//b"), SpecProblem::Role { role: "a//b".into(), fault: RoleFault::EmptyComponent }),
        (web().role("other"), SpecProblem::NotARole("other".into())),
        (
            web().container(v1::ContainerInfo { docker: None, ..v1::ContainerInfo::docker("nginx") }),
            SpecProblem::NoDockerInfo,
        ),
        (web().container(user), SpecProblem::NoNetworkName),
        (mapped(|spec| spec), SpecProblem::PortMappingCount { mappings: 1, ports: 2 }),
        (
            mapped(|spec| spec.port_mapping(81, "tcp").port_mapping(82, "tcp")),
            SpecProblem::PortMappingCount { mappings: 3, ports: 2 },
        ),
        (mapped(|spec| spec.port_mapping(81, "tcp").docker("nginx")), SpecProblem::PortMappingNetwork),
        (
            mapped(|spec| spec.port_mapping(81, "tcp").container(v1::ContainerInfo::mesos("nginx"))),
            SpecProblem::PortMappingNetwork,
        ),
        (web().port_mapping(80, "tcp").port_mapping(81, "tcp"), SpecProblem::PortMappingNetwork),
        (mapped(|spec| spec.port_mapping(0, "tcp")), SpecProblem::ContainerPort),
        (mapped(|spec| spec.port_mapping(81, "icmp")), SpecProblem::Protocol("icmp".into())),
        (check(v1::HealthCheck::default()), SpecProblem::HealthCheck(CheckProblem::Kind)),
        (
            check(v1::HealthCheck { tcp: v1::HealthCheck::tcp(80).tcp, ..v1::HealthCheck::http(80, "/") }),
            SpecProblem::HealthCheck(CheckProblem::Kind),
        ),
        (
            check(v1::HealthCheck { r#type: v1::HealthCheck::tcp(80).r#type, ..v1::HealthCheck::http(80, "/") }),
            SpecProblem::HealthCheck(CheckProblem::Kind),
        ),
        (portless().http_check("/"), SpecProblem::HealthCheck(CheckProblem::NoPort)),
        (portless().health_check(v1::HealthCheck::tcp(0)), SpecProblem::HealthCheck(CheckProblem::NoPort)),
        (portless().check(v1::CheckInfo::http(0, "/")), SpecProblem::Check(CheckProblem::NoPort)),
        (http(|http| http.port = 65536), SpecProblem::HealthCheck(CheckProblem::Port)),
        (http(|http| http.path = Some("up".into())), SpecProblem::HealthCheck(CheckProblem::Path)),
        (http(|http| http.scheme = Some("ftp".into())), SpecProblem::HealthCheck(CheckProblem::Scheme)),
        (check(v1::HealthCheck::command(v1::CommandInfo::default())), SpecProblem::HealthCheck(CheckProblem::Command)),
        (
            check(v1::HealthCheck { delay_seconds: Some(-1.0), ..v1::HealthCheck::tcp(80) }),
            SpecProblem::HealthCheck(CheckProblem::Time),
        ),
        (web().check(v1::CheckInfo::http(80, "up")), SpecProblem::Check(CheckProblem::Path)),
        (web().kill_grace(Duration::from_secs(7 * 24 * 3600 + 1)), SpecProblem::KillGrace),
        (
            web().task_info(v1::TaskInfo {
                max_completion_time: Some(v1::DurationInfo { nanoseconds: -1 }),
                ..web().launch.task
            }),
            SpecProblem::MaxCompletionTime,
        ),
        (web().instances(1_000_001), SpecProblem::TooManyInstances(1_000_001)),
        (web().job().restart(RestartPolicy::Always), SpecProblem::JobRestart),
        (
            web().restart(RestartPolicy::states([TaskState::TaskFailed, TaskState::TaskRunning])),
            SpecProblem::RestartState(TaskState::TaskRunning),
        ),
        (web().max_failures(Some(0)), SpecProblem::MaxFailures),
        (web().backoff(Duration::ZERO, second), SpecProblem::Backoff),
        (web().backoff(second * 2, second), SpecProblem::Backoff),
        (web().unreachable(second * 2, second), SpecProblem::Unreachable),
        (web().max_surge(Amount::Count(0)).max_unavailable(Amount::Percent(0)), SpecProblem::NoLeeway),
        (web().unique("@rack"), SpecProblem::Field("@rack".into())),
        (web().is("", "x"), SpecProblem::Field("".into())),
        (web().max_per("rack", 0), SpecProblem::MaxPer("rack".into())),
        (
            web().task_info(v1::TaskInfo {
                limits: [("cpus".to_string(), v1::value::Scalar { value: f64::NAN })].into(),
                ..web().launch.task
            }),
            SpecProblem::Unwritable("".into()),
        ),
    ];
    for (spec, problem) in cases {
        let found = spec.problems(&ROLES);
        match (found.as_slice(), &problem) {
            ([SpecProblem::Unwritable(why)], SpecProblem::Unwritable(_)) => assert!(why.contains("NaN"), "{why}"),
            _ => assert_eq!(found, [problem], "{spec:?}"),
        }
    }
}

#[test]
fn what_no_store_takes_is_refused() {
    let spec = |bytes: usize| web().data(vec![0; bytes]);
    assert_eq!(spec(600 * 1024).problems(&ROLES), []);
    let problems = spec(700 * 1024).problems(&ROLES);
    assert!(matches!(problems[..], [SpecProblem::TooLarge { bytes }] if bytes > 900 * 1024), "{problems:?}");
    // What both of its records have counts, as they are written at once.
    let rack = "r".repeat(300 * 1024);
    assert_eq!(web().is("rack", &*rack).problems(&ROLES), []);
    let problems = spec(500 * 1024).is("rack", rack).problems(&ROLES);
    assert!(matches!(problems[..], [SpecProblem::TooLarge { .. }]), "{problems:?}");
}

// S37, S41: all of them, and the type's name.
#[test]
fn all_faults_at_once() {
    let spec = TaskSpec::new("web")
        .resources(Resources::new().cpus(f64::NAN).ports(1).static_ports([80, 81]))
        .role("-x")
        .http_check("up")
        .max_failures(Some(0))
        .max_per("@hostname", 0);
    let error = SpecError::from_problems(spec.name(), spec.problems(&ROLES)).unwrap();
    assert_eq!(
        error.to_string(),
        "web: no command and no executor; cpus isn't a finite number; 2 static ports, but 1 ports in all; role \"-x\" \
         has a component that begins with '-'; health check: its path doesn't start with '/'; the number of failures \
         must be at least 1; max_per @hostname must be at least 1"
    );
    assert_eq!((error.name(), error.problems().len()), ("web", 7));
    assert_eq!(SpecError::from_problems("web", vec![]), None);
}

// S10, S11
#[test]
fn restart_states() {
    let RestartPolicy::States(states) = RestartPolicy::states_of_original() else { panic!("states") };
    for number in 0.. {
        let Ok(state) = TaskState::try_from(number) else {
            assert_eq!(number, 14);
            break;
        };
        let restarted = ["TASK_FAILED", "TASK_LOST", "TASK_ERROR"].contains(&state.as_str_name());
        assert_eq!(states.contains(&state), restarted, "{state:?}");
    }
    let given = RestartPolicy::states([TaskState::TaskGone]);
    assert_eq!(web().restart(given.clone()).policy.restart, given);
}

// S30, S32, S33
#[test]
fn defaults() {
    let service = web();
    assert_eq!(
        (service.name(), service.instance_count(), service.is_job(), service.is_scalable()),
        ("web", 1, false, false)
    );
    assert_eq!((service.policy.priority, &service.policy.restart), (0, &RestartPolicy::Always));
    assert_eq!(service.policy.max_failures, None);
    assert!(service.scalable(true).is_scalable());
    let job = web().job();
    assert!(job.is_job());
    assert_eq!((job.policy.restart, job.policy.max_failures), (RestartPolicy::OnFailure, Some(6)));

    let mut given = web().role("batch");
    given.settle_role("web");
    assert_eq!(given.launch.role, "batch");
    let mut left_open = web();
    left_open.settle_role("web");
    assert_eq!(left_open, web().role("web"));
}

#[test]
fn how_long_until_it_is_ready() {
    let ready_after = |spec: TaskSpec| spec.ready_after(&spec.launch);
    assert_eq!(ready_after(web()), Duration::from_secs(10));
    assert_eq!(ready_after(web().http_check("/")), Duration::ZERO);
    assert_eq!(ready_after(web().min_ready(Duration::from_secs(3)).http_check("/")), Duration::from_secs(3));
    assert_eq!(ready_after(web().min_ready(Duration::from_nanos(1))), Duration::from_millis(1));
    assert_eq!(ready_after(web().min_ready(Duration::MAX)), Duration::from_millis(u64::MAX));
}

// Kubernetes's rounding: up for what is in excess, down for what is missing, never no leeway at all.
#[test]
fn rollout_budgets() {
    let budget = |instances, surge, unavailable| {
        web().instances(instances).max_surge(surge).max_unavailable(unavailable).policy.budget()
    };
    let quarter = Amount::Percent(25);
    for (instances, expected) in [(0, (0, 1)), (1, (1, 0)), (3, (1, 0)), (4, (1, 1)), (8, (2, 2)), (10, (3, 2))] {
        assert_eq!(budget(instances, quarter, quarter), expected, "{instances}");
    }
    assert_eq!(budget(4, Amount::Count(0), Amount::Percent(10)), (0, 1));
    assert_eq!(budget(4, Amount::Count(3), Amount::Percent(100)), (3, 4));
    assert_eq!(budget(1_000_000, Amount::Percent(u32::MAX), Amount::Count(u32::MAX)), (u32::MAX, u32::MAX));
    assert_eq!(web().instances(3).duplicates(Duplicates::Forbid).policy.budget(), (0, 1));
    assert_eq!(web().instances(8).duplicates(Duplicates::Forbid).policy.budget(), (0, 2));
}

#[test]
fn fields_are_written_as_they_are_read() {
    for name in ["@hostname", "@agent", "@region", "@zone", "rack", "@rack", ""] {
        assert_eq!(Field::from(name).to_string(), name);
    }
    assert!(matches!(Field::from("rack".to_string()), Field::Attribute(_)));
}

#[test]
fn records_of_later_versions_are_refused() {
    let policy = web().to_policy_record();
    let revision = web().to_revision_record(Default::default());
    let error = |edit: fn(&mut store::Policy, &mut store::Revision)| {
        let (mut policy, mut revision) = (policy.clone(), revision.clone());
        edit(&mut policy, &mut revision);
        TaskSpec::from_records("web", &policy, &revision).map_err(|error| error.0)
    };
    assert_eq!(error(|_, _| {}), Ok(web()));
    assert_eq!(error(|policy, _| policy.kind = 9), Err("policy.kind"));
    assert_eq!(error(|policy, _| policy.restart = 9), Err("policy.restart"));
    assert_eq!(
        error(|policy, _| (policy.restart, policy.restart_states) = (4, vec![3, 99])),
        Err("policy.restart_states")
    );
    assert_eq!(error(|policy, _| policy.duplicates = 9), Err("policy.duplicates"));
    assert_eq!(error(|policy, _| policy.on_return = 9), Err("policy.on_return"));
    assert_eq!(error(|policy, _| policy.kill_selection = 9), Err("policy.kill_selection"));
    assert_eq!(error(|policy, _| policy.max_surge.count = Some(1)), Err("policy.max_surge"));
    assert_eq!(error(|policy, _| policy.max_unavailable.percent = None), Err("policy.max_unavailable"));
    let constraint = |operator| store::Constraint { field: "a".into(), operator, value: None, count: None };
    let errors = [(9, "policy.constraints.operator"), (1, "policy.constraints.value"), (3, "policy.constraints.count")];
    for (operator, field) in errors {
        let policy = store::Policy { constraints: vec![constraint(operator)], ..policy.clone() };
        assert_eq!(TaskSpec::from_records("web", &policy, &revision).unwrap_err().0, field);
    }
    assert_eq!(error(|_, revision| revision.need.static_ports = vec![65536]), Err("need"));
    assert_eq!(error(|_, revision| revision.need.revocable = 9), Err("need"));
    assert_eq!(error(|_, revision| revision.need.scalars[0].thousandths = 0), Err("need"));
    assert_eq!(error(|_, revision| revision.need.scalars[0].name = "mem".into()), Err("need"));
}

/// How many kinds of changes there are below.
const POLICY_CHANGES: usize = 22;
const LAUNCH_CHANGES: usize = 21;

/// A change of policy, of this kind.
fn change_policy(spec: TaskSpec, kind: usize, n: u32) -> TaskSpec {
    let time = Duration::from_micros(u64::from(n) * 700);
    match kind {
        0 => spec.instances(n),
        1 => spec.priority(n as i32),
        2 => spec.scalable(n % 2 == 0),
        3 => spec.restart(RestartPolicy::Never),
        4 => spec.restart(RestartPolicy::states(
            (0..14).filter_map(|s| TaskState::try_from(s).ok().filter(|_| n >> s & 1 == 1)),
        )),
        5 => spec.max_failures((n % 3 > 0).then_some(n)),
        6 => spec.backoff(time, time * 2),
        7 => spec.stable_after(time),
        8 => spec.launch_timeout(time),
        9 => spec.start_timeout(time),
        10 => spec.unreachable(time, time * 3),
        11 => spec.duplicates(Duplicates::Forbid),
        12 => spec.on_return([OnReturn::Oldest, OnReturn::Youngest, OnReturn::PreferNew][n as usize % 3]),
        13 => spec.kill_selection([KillSelection::Oldest, KillSelection::Youngest][n as usize % 2]),
        14 => spec.rerun_on_change(n % 2 == 0),
        15 => spec.max_surge(Amount::Count(n)),
        16 => spec.max_unavailable(Amount::Percent(n)),
        17 => spec.min_ready(time),
        18 => spec.unique(format!("a{n}")),
        19 => spec.max_per(Field::Zone, n),
        20 => spec.is("rack", n.to_string()),
        21 => spec.force_kill_after(time),
        _ => spec.job(),
    }
}

/// A change of what goes into a task, of this kind.
fn change_launch(spec: TaskSpec, kind: usize, n: u32) -> TaskSpec {
    let port = n as u16 | 1;
    match kind {
        0 => spec.command(format!("serve {n}")),
        1 => spec.argv(["serve", &n.to_string()]),
        2 => spec.command_info(v1::CommandInfo::new("x").with_user(n.to_string())),
        3 => spec.executor(v1::ExecutorInfo::custom(n.to_string(), v1::CommandInfo::new("x"))),
        4 => spec.container(v1::ContainerInfo::mesos(n.to_string())),
        5 => spec.docker(DockerInfo::new(n.to_string()).with_network(Network::Bridge)),
        6 => spec.port_mapping(port, "tcp"),
        7 => spec.env("A", n.to_string()),
        8 => spec.uri(n.to_string()),
        9 => spec.label("a", n.to_string()),
        10 => spec.labels([("b", n.to_string())].into_iter().collect()),
        11 => spec.health_check(v1::HealthCheck::tcp(port)),
        12 => spec.http_check(format!("/{n}")),
        13 => spec.check(v1::CheckInfo::tcp(port)),
        14 => spec.kill_grace(Duration::from_secs(n.into())),
        15 => spec.discovery(v1::DiscoveryInfo { name: Some(n.to_string()), ..Default::default() }),
        16 => spec.max_completion_time(Duration::from_secs(n.into())),
        17 => spec.data(n.to_le_bytes().to_vec()),
        18 => {
            let need = Resources::new().cpus(f64::from(n) / 1000.0).scalar("bandwidth", 1.5).ports(n % 9 + 1);
            spec.resources(need.static_ports([port]).revocable(Revocable::Prefer))
        }
        19 => spec.role(format!("r{n}")),
        20 => spec.serial_numbers(false),
        _ => {
            let mut spec = spec;
            spec.launch.force += u64::from(n);
            spec
        }
    }
}

type Changes = Vec<(usize, u32)>;

fn policies(spec: TaskSpec, changes: &Changes) -> TaskSpec {
    changes.iter().fold(spec, |spec, &(kind, n)| change_policy(spec, kind, n))
}

fn launches(spec: TaskSpec, changes: &Changes) -> TaskSpec {
    changes.iter().fold(spec, |spec, &(kind, n)| change_launch(spec, kind, n))
}

fn changes(kinds: usize) -> impl Strategy<Value = Changes> {
    vec_of((0..=kinds, 0..100_000u32), 0..6)
}

/// Each kind changes something: without that, the laws below would say little.
#[test]
fn every_change_is_one() {
    for kind in 0..=POLICY_CHANGES {
        assert_ne!(change_policy(web(), kind, 77_780).policy, web().policy, "{kind}");
    }
    for kind in 0..=LAUNCH_CHANGES {
        assert_ne!(change_launch(web(), kind, 77_780).launch, web().launch, "{kind}");
    }
}

proptest! {
    #[test]
    fn policy_is_not_part_of_the_revision(a in changes(LAUNCH_CHANGES), b in changes(POLICY_CHANGES)) {
        let spec = launches(web(), &a);
        prop_assert_eq!(policies(spec.clone(), &b).revision(), spec.revision());
    }

    #[test]
    fn the_revision_changes_with_anything_else(a in changes(LAUNCH_CHANGES), b in changes(LAUNCH_CHANGES)) {
        let (old, new) = (launches(web(), &a), launches(web(), &b));
        prop_assert_eq!(old.revision() == new.revision(), old.launch == new.launch);
        let again = launches(old.clone(), &b);
        prop_assert_eq!(old.revision() == again.revision(), old.launch == again.launch);
    }

    #[test]
    fn records_are_read_back(a in changes(LAUNCH_CHANGES), b in changes(POLICY_CHANGES)) {
        let spec = policies(launches(web(), &a), &b);
        let stamp = store::Stamp { format: 1, incarnation: 7 };
        let policy = mesos_proto::json::encode(&spec.to_policy_record()).unwrap();
        let revision = mesos_proto::json::encode(&spec.to_revision_record(stamp)).unwrap();
        let policy = mesos_proto::json::decode(policy.as_bytes()).unwrap();
        let revision: store::Revision = mesos_proto::json::decode(revision.as_bytes()).unwrap();
        prop_assert_eq!(&revision.stamp, &stamp);
        prop_assert_eq!(&TaskSpec::from_records("web", &policy, &revision).unwrap(), &spec);
    }

    #[test]
    fn whatever_is_asked_its_faults_can_be_told(a in changes(LAUNCH_CHANGES), b in changes(POLICY_CHANGES)) {
        let spec = policies(launches(web(), &a), &b);
        let problems = spec.problems(&ROLES);
        let count = problems.len();
        if let Some(error) = SpecError::from_problems(spec.name(), problems) {
            prop_assert!(count > 0 && error.to_string().starts_with("web: "));
        }
    }
}
