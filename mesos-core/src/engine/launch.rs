//! What goes into a task, and the task made of it.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use mesos_proto::store;
use prost::Message as _;

use crate::planted::planted;
use crate::resources::{Resources, Taken};
use crate::v1;
use v1::container_info::{Type, docker_info};
use v1::{check_info, environment, health_check, network_info};

/// The part of a spec whose change makes new tasks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    /// What doesn't depend on the instance: without name, ids and resources.
    pub(crate) task: v1::TaskInfo,
    pub(crate) need: Resources,
    /// Empty if none was given.
    pub(crate) role: String,
    /// The ports of a container that the task's ports lead to, in their order.
    pub(crate) port_mappings: Vec<store::PortMapping>,
    pub(crate) serial_numbers: bool,
    /// Counts redeployments of the same.
    pub(crate) force: u64,
}

impl Launch {
    /// Equal for equal parts, whichever program made it.
    pub(crate) fn revision(&self) -> Revision {
        // Maps are ordered, so there is one encoding only.
        Revision(fnv1a(&self.to_record(store::Stamp::default()).encode_to_vec()))
    }

    /// What its executor needs besides, if it has one with resources of its own. Plain scalars, as specs are checked.
    pub(crate) fn executor_need(&self) -> Option<Resources> {
        let resources = self.task.executor.as_ref().map(|executor| &executor.resources)?;
        let scalar = |need: Resources, resource: &v1::Resource| {
            need.scalar(&*resource.name, resource.scalar.map_or(0.0, |scalar| scalar.value))
        };
        Some(resources.iter().fold(Resources::new(), scalar)).filter(|need| !need.is_empty())
    }

    /// Whether there is something to run, or an image that says it by itself.
    pub(crate) fn has_command(&self) -> bool {
        let command = self.task.command.as_deref();
        let image = self.task.container.as_deref().is_some_and(has_image);
        command.and_then(|command| command.value.as_ref()).is_some_and(|line| !line.is_empty())
            || image && command.is_none_or(|command| command.shell != Some(true))
    }

    /// What Mesos calls the task of an instance; not unique, unlike its id.
    pub(crate) fn task_name(&self, spec: &str, index: u32) -> String {
        let name = spec.replace('/', "_");
        if self.serial_numbers { format!("{name}-{}", serial_number(index)) } else { name }
    }
}

/// Names what went into a task: tasks made of the same have the same revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = u64::from_str_radix(text, 16).ok()?;
        Some(Self(number)).filter(|revision| revision.to_string() == text)
    }
}

/// Text that names no [`Revision`]: it has 16 hexadecimal digits, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a revision has 16 hexadecimal digits, in lower case")]
#[non_exhaustive]
pub struct NoRevision;

/// Reads what `Display` wrote.
impl FromStr for Revision {
    type Err = NoRevision;

    fn from_str(text: &str) -> Result<Self, NoRevision> {
        Self::parse(text).ok_or(NoRevision)
    }
}

/// The 64-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// 16 hexadecimal digits.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The agent that a task is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) agent_id: &'a str,
    pub(crate) hostname: &'a str,
    /// From the URL of its offers.
    pub(crate) agent_ip: Option<&'a str>,
}

/// The task for an instance, on resources that were taken for it.
///
/// A command gets variables, after those that the user gave, which win over ours of the same name: `PORT0` and so on,
/// `HOST` and, with serial numbers, `TASK_<SPEC>_SERIAL_NUMBER`. An executor gets none: agents share it between tasks
/// only as long as it is described in the same way, and it sees the task's resources.
pub(crate) fn task_info(
    spec: &str,
    launch: &Launch,
    index: u32,
    task_id: &str,
    target: &Target<'_>,
    taken: Taken,
) -> v1::TaskInfo {
    let Taken { resources, ports, executor } = taken;
    let mut task = launch.task.clone();
    task.name = launch.task_name(spec, index);
    task.task_id = task_id.into();
    task.agent_id = target.agent_id.into();
    task.resources = resources;
    if let Some(info) = &mut task.executor {
        info.resources = executor;
    } else {
        let command = task.command.get_or_insert_default();
        if command.value.is_none() && command.shell.is_none() {
            // What the image runs by itself.
            command.shell = Some(false);
        }
        let serial = launch.serial_numbers.then(|| serial_variable(spec));
        add_variables(&mut command.environment.get_or_insert_default().variables, &ports, target, serial, index);
    }
    if let Some(container) = &mut task.container {
        map_ports(container, &launch.port_mappings, &ports);
    }
    let first = ports.first().copied().unwrap_or_default();
    if let Some(check) = &mut task.health_check {
        complete_health_check(check, first);
    }
    if let Some(check) = &mut task.check {
        complete_check(check, first);
    }
    task
}

fn serial_number(index: u32) -> u64 {
    u64::from(index) + u64::from(!planted!(FromZero))
}

/// `my-app` gives `TASK_MY_APP_SERIAL_NUMBER`.
fn serial_variable(spec: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("TASK_{}_SERIAL_NUMBER", spec.chars().map(letter).collect::<String>())
}

fn add_variables(
    variables: &mut Vec<environment::Variable>,
    ports: &[u16],
    target: &Target<'_>,
    serial: Option<String>,
    index: u32,
) {
    let given = variables.len();
    let ports = ports.iter().enumerate().map(|(index, port)| (format!("PORT{index}"), port.to_string()));
    let host = ("HOST".to_string(), target.agent_ip.unwrap_or(target.hostname).to_string());
    let serial = serial.map(|name| (name, serial_number(index).to_string()));
    for (name, value) in ports.chain([host]).chain(serial) {
        if variables.iter().take(given).all(|variable| variable.name != name) {
            variables.push(environment::Variable { name, value: Some(value), ..Default::default() });
        }
    }
}

fn has_image(container: &v1::ContainerInfo) -> bool {
    container.docker.is_some() || container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some())
}

/// Who leads ports of the host to a container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortMapper {
    Docker,
    /// A plugin of the container's first network.
    Network,
}

impl PortMapper {
    /// `None` on the host's own network, where there is nothing to map.
    pub(crate) fn of(container: &v1::ContainerInfo) -> Option<Self> {
        use docker_info::Network;
        match (container.r#type(), &container.docker) {
            (Type::Docker, Some(docker)) => {
                matches!(docker.network(), Network::Bridge | Network::User).then_some(Self::Docker)
            }
            (Type::Docker, None) => None,
            (Type::Mesos, _) => container.network_infos.first()?.name.is_some().then_some(Self::Network),
        }
    }
}

fn map_ports(container: &mut v1::ContainerInfo, mappings: &[store::PortMapping], ports: &[u16]) {
    if mappings.is_empty() {
        return;
    }
    let pairs = ports.iter().copied().map(u32::from).zip(mappings);
    match PortMapper::of(container) {
        None => {}
        Some(PortMapper::Docker) => {
            let mapping = |(host_port, to): (u32, &store::PortMapping)| docker_info::PortMapping {
                host_port,
                container_port: to.container_port,
                protocol: to.protocol.clone(),
            };
            container.docker.get_or_insert_default().port_mappings = pairs.map(mapping).collect();
        }
        Some(PortMapper::Network) => {
            let mapping = |(host_port, to): (u32, &store::PortMapping)| network_info::PortMapping {
                host_port,
                container_port: to.container_port,
                protocol: to.protocol.clone(),
            };
            if let Some(network) = container.network_infos.first_mut() {
                network.port_mappings = pairs.map(mapping).collect();
            }
        }
    }
}

/// What isn't given: the kind, and of an HTTP check scheme, path, statuses (which Mesos itself doesn't look at), port.
fn complete_health_check(check: &mut v1::HealthCheck, first_port: u16) {
    use health_check::Type;
    let kind = match (&check.http, &check.tcp) {
        (Some(_), _) => Type::Http,
        (None, Some(_)) => Type::Tcp,
        (None, None) => Type::Command,
    };
    check.r#type.get_or_insert_with(|| kind.into());
    if let Some(http) = &mut check.http {
        complete_port(&mut http.port, first_port);
        http.path.get_or_insert_with(|| "/".into());
        http.scheme.get_or_insert_with(|| "http".into());
        if http.statuses.is_empty() {
            http.statuses.push(200);
        }
    }
    if let Some(tcp) = &mut check.tcp {
        complete_port(&mut tcp.port, first_port);
    }
}

fn complete_check(check: &mut v1::CheckInfo, first_port: u16) {
    use check_info::Type;
    let kind = match (&check.http, &check.tcp) {
        (Some(_), _) => Type::Http,
        (None, Some(_)) => Type::Tcp,
        (None, None) => Type::Command,
    };
    check.r#type.get_or_insert_with(|| kind.into());
    if let Some(http) = &mut check.http {
        complete_port(&mut http.port, first_port);
    }
    if let Some(tcp) = &mut check.tcp {
        complete_port(&mut tcp.port, first_port);
    }
}

fn complete_port(port: &mut u32, first: u16) {
    if *port == 0 {
        *port = first.into();
    }
}
