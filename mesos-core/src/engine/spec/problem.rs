//! What can be wrong with a spec.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{Field, Operator, RestartPolicy, TaskSpec};
use crate::engine::id;
use crate::engine::launch::PortMapper;
use crate::scheduler::RoleFault;
use crate::{IdError, Persist, ResourceProblem, checks, v1};
use v1::container_info::{Type, docker_info::Network};
use v1::environment::{self, variable};
use v1::{TaskState, check_info, executor_info, health_check};

/// Everything that is wrong with a [`TaskSpec`], not only the first fault found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    name: String,
    problems: Vec<SpecProblem>,
}

impl SpecError {
    /// `None` when there is nothing to complain of.
    pub(in crate::engine) fn from_problems(name: &str, problems: Vec<SpecProblem>) -> Option<Self> {
        (!problems.is_empty()).then(|| Self { name: name.into(), problems })
    }

    /// The spec's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The faults; at least one.
    #[must_use]
    pub fn problems(&self) -> &[SpecProblem] {
        &self.problems
    }
}

/// `web: no command and no executor; static port 80 is listed twice`
impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl core::error::Error for SpecError {}

/// One fault of a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecProblem {
    /// The name is empty.
    #[error("the name is empty")]
    NoName,
    /// A name that makes task ids which Mesos refuses, or which say no longer whose they are.
    #[error("the name has {0} bytes, at most {max} are fine", max = id::SPEC_BYTES)]
    NameTooLong(usize),
    /// The name has a control character.
    #[error("the name has a control character")]
    NameCharacter,
    /// Another spec of the same program has this name, or one that looks the same in task ids.
    #[error("another spec is called that, or looks like it in task ids")]
    SameName,
    /// There is nothing to run: neither a command, nor an executor, nor an image that runs something by itself.
    #[error("no command and no executor")]
    NoCommand,
    /// Mesos takes one of them only. Variables and URIs belong to a command.
    #[error("a command (or variables or URIs for one) as well as an executor")]
    CommandAndExecutor,
    /// An executor id that Mesos refuses.
    #[error("executor id {0}")]
    ExecutorId(IdError),
    /// Mesos's executor for task groups, or an executor without a command to start it.
    #[error("the executor must be of type CUSTOM and have a command")]
    Executor,
    /// The executor's own resources aren't such that they can be taken from offers.
    #[error(
        "the executor's resources must be positive scalars, each once, of which nothing but name and amount is given"
    )]
    ExecutorResources,
    /// The same variable twice.
    #[error("variable {0:?} is set twice")]
    DuplicateVariable(String),
    /// A variable without name, or whose value doesn't suit its type.
    #[error("variable {0:?} must have a name, and a value or, if it is of type SECRET, a secret")]
    Variable(String),
    /// Something is asked for that can't be.
    #[error(transparent)]
    Resources(#[from] ResourceProblem),
    /// Mesos refuses tasks without resources.
    #[error("no resources are asked for")]
    NoResources,
    /// A role that Mesos refuses.
    #[error("role {role:?} {fault}")]
    Role {
        /// The role.
        role: String,
        /// What is wrong with it.
        fault: RoleFault,
    },
    /// A role that isn't one of the framework's: nothing would ever be offered to it.
    #[error("role {0:?} isn't among the framework's roles")]
    NotARole(String),
    /// A container of type DOCKER that doesn't say of which image.
    #[error("a container of type DOCKER needs DockerInfo")]
    NoDockerInfo,
    /// A Docker container on a USER network that isn't named.
    #[error("a USER network needs a name, in network_infos")]
    NoNetworkName,
    /// Not as many port mappings as ports.
    #[error("{mappings} port mappings for {ports} ports")]
    PortMappingCount {
        /// How many port mappings there are.
        mappings: usize,
        /// How many ports are asked for.
        ports: u32,
    },
    /// Port mappings without a container, or on the host's network.
    #[error("port mappings need a BRIDGE or USER network, or in a Mesos container a named one")]
    PortMappingNetwork,
    /// A mapping to port 0.
    #[error("port 0 of a container can't be mapped")]
    ContainerPort,
    /// A protocol for which there are no ports.
    #[error("ports of protocol {0:?} can't be mapped, only tcp, udp and sctp")]
    Protocol(String),
    /// The health check.
    #[error("health check: {0}")]
    HealthCheck(CheckProblem),
    /// The check that is only reported.
    #[error("check: {0}")]
    Check(CheckProblem),
    /// A time to end that is negative, or longer than a week.
    #[error("the grace period of a kill must be from 0 to 7 days")]
    KillGrace,
    /// A negative time to live.
    #[error("the maximal completion time is negative")]
    MaxCompletionTime,
    /// More instances than an engine takes.
    #[error("{0} instances, at most {MAX_INSTANCES} are fine")]
    TooManyInstances(u32),
    /// A job that is always started again would never be done.
    #[error("a job can't always be restarted")]
    JobRestart,
    /// A task never ends in this state.
    #[error("no task ends in state {}, so it can't be restarted then", .0.as_str_name())]
    RestartState(TaskState),
    /// To be given up before the first failure; [`RestartPolicy::Never`] gives up at it.
    #[error("the number of failures must be at least 1")]
    MaxFailures,
    /// The first wait after a failure is zero, or longer than the longest.
    #[error("the first back-off must be above zero, and not above the longest")]
    Backoff,
    /// An unreachable task would be given up before it may be replaced.
    #[error("an unreachable task can't be expunged before it is inactive")]
    Unreachable,
    /// A rollout with no instance in excess and none missing couldn't do anything.
    #[error("max_surge and max_unavailable are both zero")]
    NoLeeway,
    /// A constraint on an attribute without name, or on an `@name` that there isn't.
    #[error("there is no field {0:?} to constrain placement by")]
    Field(String),
    /// No instance at all could be placed.
    #[error("max_per {0} must be at least 1")]
    MaxPer(Field),
    /// It is more than stores take, ZooKeeper in particular.
    #[error("it has {bytes} bytes as JSON, at most {MAX_SPEC} are fine")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// What goes into a task can't be stored.
    #[error("what goes into a task can't be written as JSON: {0}")]
    Unwritable(String),
}

/// One fault of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckProblem {
    /// Not exactly one kind of check, or another than its type says.
    #[error("it must be one of HTTP, TCP and COMMAND, and of that type")]
    Kind,
    /// Neither a port, nor a port of the task's to take for it.
    #[error("it has no port, and the task has none")]
    NoPort,
    /// A port that there isn't.
    #[error("its port is above 65535")]
    Port,
    /// A path that doesn't start with a slash.
    #[error("its path doesn't start with '/'")]
    Path,
    /// Something else than HTTP.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// There is nothing to run.
    #[error("its command is empty")]
    Command,
    /// A number of seconds that is negative, or above 9.2e9, or no number.
    #[error("its times must be numbers of seconds from 0 to 9.2e9")]
    Time,
}

/// So many slots are 100 MB or so.
const MAX_INSTANCES: u32 = 1_000_000;
/// What fits into a store at once: the records of a spec and of what goes into its tasks, and besides them their names,
/// stamps and the former revisions.
const MAX_SPEC: usize = Persist::MAX_BYTES - 64 * 1024;
const MAX_GRACE: i64 = 7 * 24 * 3600 * 1_000_000_000;
/// What fits 63 bits of nanoseconds.
const MAX_SECONDS: f64 = 9.2e9;

impl TaskSpec {
    /// Everything that is wrong with it, for a framework with these roles.
    pub(crate) fn problems(&self, framework_roles: &[impl AsRef<str>]) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        self.name_problems(&mut problems);
        self.command_problems(&mut problems);
        self.need_problems(framework_roles, &mut problems);
        self.container_problems(&mut problems);
        self.check_problems(&mut problems);
        self.policy_problems(&mut problems);
        match self.bytes() {
            Ok(bytes) if bytes > MAX_SPEC => problems.push(SpecProblem::TooLarge { bytes }),
            Ok(_) => {}
            Err(error) => problems.push(SpecProblem::Unwritable(error.to_string())),
        }
        problems
    }

    /// How large its records are.
    fn bytes(&self) -> Result<usize, mesos_proto::json::Error> {
        let revision = mesos_proto::json::encode(&self.to_revision_record(Default::default()))?;
        Ok(revision.len() + mesos_proto::json::encode(&self.to_policy_record())?.len())
    }

    fn name_problems(&self, problems: &mut Vec<SpecProblem>) {
        match self.name() {
            "" => problems.push(SpecProblem::NoName),
            name if name.len() > id::SPEC_BYTES => problems.push(SpecProblem::NameTooLong(name.len())),
            name if name.chars().any(char::is_control) => problems.push(SpecProblem::NameCharacter),
            _ => {}
        }
    }

    fn command_problems(&self, problems: &mut Vec<SpecProblem>) {
        let task = &self.launch.task;
        match (&task.command, &task.executor) {
            (Some(_), Some(_)) => problems.push(SpecProblem::CommandAndExecutor),
            (_, None) if !self.launch.has_command() => problems.push(SpecProblem::NoCommand),
            _ => {}
        }
        if let Some(executor) = &task.executor {
            if let Err(fault) = checks::id(&executor.executor_id.value) {
                problems.push(SpecProblem::ExecutorId(fault));
            }
            let custom = executor.r#type.is_none_or(|kind| kind == executor_info::Type::Custom as i32);
            if !custom || executor.command.is_none() {
                problems.push(SpecProblem::Executor);
            }
            let plain = |resource: &v1::Resource| {
                let amount = resource.scalar.map(|scalar| scalar.value);
                amount.is_some_and(|amount| *resource == v1::Resource::scalar(&*resource.name, amount) && amount > 0.0)
            };
            let names: BTreeSet<&str> = executor.resources.iter().map(|resource| &*resource.name).collect();
            let need = self.launch.executor_need().unwrap_or_default();
            let good = executor.resources.iter().all(plain) && names.len() == executor.resources.len();
            if !good || !need.problems().is_empty() {
                problems.push(SpecProblem::ExecutorResources);
            }
        }
        let executor = task.executor.as_ref().and_then(|executor| executor.command.as_deref());
        let commands = task.command.as_deref().into_iter().chain(executor);
        for environment in commands.filter_map(|command| command.environment.as_ref()) {
            variable_problems(&environment.variables, problems);
        }
    }

    fn need_problems(&self, framework_roles: &[impl AsRef<str>], problems: &mut Vec<SpecProblem>) {
        let need = &self.launch.need;
        problems.extend(need.problems().into_iter().map(SpecProblem::from));
        if need.is_empty() {
            problems.push(SpecProblem::NoResources);
        }
        let role = &self.launch.role;
        if !role.is_empty() {
            if let Err(fault) = checks::role(role) {
                problems.push(SpecProblem::Role { role: role.clone(), fault });
            } else if framework_roles.iter().all(|known| known.as_ref() != role) {
                problems.push(SpecProblem::NotARole(role.clone()));
            }
        }
    }

    fn container_problems(&self, problems: &mut Vec<SpecProblem>) {
        let container = self.launch.task.container.as_deref();
        if let Some(container) = container {
            let unnamed = container.network_infos.first().is_none_or(|network| network.name.is_none());
            match (container.r#type(), &container.docker) {
                (Type::Docker, None) => problems.push(SpecProblem::NoDockerInfo),
                (Type::Docker, Some(docker)) if docker.network() == Network::User && unnamed => {
                    problems.push(SpecProblem::NoNetworkName);
                }
                _ => {}
            }
        }
        let mappings = &self.launch.port_mappings;
        if mappings.is_empty() {
            return;
        }
        let ports = self.launch.need.port_count();
        if u32::try_from(mappings.len()) != Ok(ports) {
            problems.push(SpecProblem::PortMappingCount { mappings: mappings.len(), ports });
        }
        if container.and_then(PortMapper::of).is_none() {
            problems.push(SpecProblem::PortMappingNetwork);
        }
        for mapping in mappings {
            if mapping.container_port == 0 {
                problems.push(SpecProblem::ContainerPort);
            }
            let protocol = mapping.protocol.as_deref().unwrap_or("tcp");
            if !["tcp", "udp", "sctp"].iter().any(|known| protocol.eq_ignore_ascii_case(known)) {
                problems.push(SpecProblem::Protocol(protocol.into()));
            }
        }
    }

    fn check_problems(&self, problems: &mut Vec<SpecProblem>) {
        let task = &self.launch.task;
        let has_port = self.launch.need.port_count() > 0;
        if let Some(check) = &task.health_check {
            check_problems(&health_check_facts(check), has_port, SpecProblem::HealthCheck, problems);
        }
        if let Some(check) = &task.check {
            check_problems(&check_facts(check), has_port, SpecProblem::Check, problems);
        }
        let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
        if grace.is_some_and(|grace| !(0..=MAX_GRACE).contains(&grace.nanoseconds)) {
            problems.push(SpecProblem::KillGrace);
        }
        if task.max_completion_time.as_ref().is_some_and(|time| time.nanoseconds < 0) {
            problems.push(SpecProblem::MaxCompletionTime);
        }
    }

    fn policy_problems(&self, problems: &mut Vec<SpecProblem>) {
        let policy = &self.policy;
        if policy.instances > MAX_INSTANCES {
            problems.push(SpecProblem::TooManyInstances(policy.instances));
        }
        if policy.job && policy.restart == RestartPolicy::Always {
            problems.push(SpecProblem::JobRestart);
        }
        if let RestartPolicy::States(states) = &policy.restart {
            use TaskState::{TaskKilling, TaskRunning, TaskStaging, TaskStarting};
            let alive = [TaskStaging, TaskStarting, TaskRunning, TaskKilling];
            let alive = alive.into_iter().filter(|state| states.contains(state));
            problems.extend(alive.map(SpecProblem::RestartState));
        }
        if policy.max_failures == Some(0) {
            problems.push(SpecProblem::MaxFailures);
        }
        if policy.backoff_first.is_zero() || policy.backoff_first > policy.backoff_max {
            problems.push(SpecProblem::Backoff);
        }
        if policy.expunge_after < policy.inactive_after {
            problems.push(SpecProblem::Unreachable);
        }
        if policy.max_surge.is_zero() && policy.max_unavailable.is_zero() {
            problems.push(SpecProblem::NoLeeway);
        }
        for constraint in &policy.constraints {
            match &constraint.field {
                Field::Attribute(name) if name.is_empty() || name.starts_with('@') => {
                    problems.push(SpecProblem::Field(name.clone()));
                }
                _ => {}
            }
            if constraint.operator == Operator::MaxPer(0) {
                problems.push(SpecProblem::MaxPer(constraint.field.clone()));
            }
        }
    }
}

fn variable_problems(variables: &[environment::Variable], problems: &mut Vec<SpecProblem>) {
    let mut names = BTreeSet::new();
    for variable in variables {
        let fine = match variable.r#type() {
            variable::Type::Value => variable.value.is_some() && variable.secret.is_none(),
            variable::Type::Secret => variable.value.is_none() && variable.secret.is_some(),
            variable::Type::Unknown => false,
        };
        if variable.name.is_empty() || !fine {
            problems.push(SpecProblem::Variable(variable.name.clone()));
        }
        if !names.insert(&*variable.name) {
            problems.push(SpecProblem::DuplicateVariable(variable.name.clone()));
        }
    }
}

/// What both kinds of checks have.
struct CheckFacts<'a> {
    /// As far as it is said.
    kind: Option<Kind>,
    http: Option<Http<'a>>,
    tcp: Option<u32>,
    command: Option<&'a v1::CommandInfo>,
    seconds: [Option<f64>; 4],
}

struct Http<'a> {
    port: u32,
    path: Option<&'a str>,
    scheme: Option<&'a str>,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Http,
    Tcp,
    Command,
    Unknown,
}

fn health_check_facts(check: &v1::HealthCheck) -> CheckFacts<'_> {
    use health_check::Type;
    CheckFacts {
        kind: check.r#type.map(|_| match check.r#type() {
            Type::Http => Kind::Http,
            Type::Tcp => Kind::Tcp,
            Type::Command => Kind::Command,
            Type::Unknown => Kind::Unknown,
        }),
        http: check.http.as_ref().map(|http| Http {
            port: http.port,
            path: http.path.as_deref(),
            scheme: http.scheme.as_deref(),
        }),
        tcp: check.tcp.as_ref().map(|tcp| tcp.port),
        command: check.command.as_ref(),
        seconds: [check.delay_seconds, check.interval_seconds, check.timeout_seconds, check.grace_period_seconds],
    }
}

fn check_facts(check: &v1::CheckInfo) -> CheckFacts<'_> {
    use check_info::Type;
    CheckFacts {
        kind: check.r#type.map(|_| match check.r#type() {
            Type::Http => Kind::Http,
            Type::Tcp => Kind::Tcp,
            Type::Command => Kind::Command,
            Type::Unknown => Kind::Unknown,
        }),
        http: check.http.as_ref().map(|http| Http { port: http.port, path: http.path.as_deref(), scheme: None }),
        tcp: check.tcp.as_ref().map(|tcp| tcp.port),
        command: check.command.as_ref().map(|command| &command.command),
        seconds: [check.delay_seconds, check.interval_seconds, check.timeout_seconds, None],
    }
}

fn check_problems(
    check: &CheckFacts<'_>,
    has_port: bool,
    problem: fn(CheckProblem) -> SpecProblem,
    problems: &mut Vec<SpecProblem>,
) {
    let mut push = |fault| problems.push(problem(fault));
    let kind = match (&check.http, check.tcp, check.command) {
        (Some(_), None, None) => Some(Kind::Http),
        (None, Some(_), None) => Some(Kind::Tcp),
        (None, None, Some(_)) => Some(Kind::Command),
        _ => None,
    };
    if kind.is_none() || check.kind.is_some() && check.kind != kind {
        push(CheckProblem::Kind);
    }
    for port in check.http.as_ref().map(|http| http.port).into_iter().chain(check.tcp) {
        if port == 0 && !has_port {
            push(CheckProblem::NoPort);
        }
        if port > u32::from(u16::MAX) {
            push(CheckProblem::Port);
        }
    }
    if let Some(http) = &check.http {
        if http.path.is_some_and(|path| !path.starts_with('/')) {
            push(CheckProblem::Path);
        }
        if http.scheme.is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
            push(CheckProblem::Scheme);
        }
    }
    if check.command.is_some_and(|command| command.value.as_ref().is_none_or(String::is_empty)) {
        push(CheckProblem::Command);
    }
    if check.seconds.into_iter().flatten().any(|seconds| !(0.0..=MAX_SECONDS).contains(&seconds)) {
        push(CheckProblem::Time);
    }
}
