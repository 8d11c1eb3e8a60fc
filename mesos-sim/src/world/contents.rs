//! I25: what is launched is what the store says of its revision, with what it needs, and told of its ports. Whether users
//! ever wanted that is judged by `variety`.

use std::collections::BTreeMap;

use mesos_core::Key;
use mesos_proto::store::Revision;
use mesos_proto::v1::TaskInfo;
use mesos_proto::{json, v1};

use super::disk::{Disk, Kept};

/// What offers say of every agent.
const HOST: &str = "127.0.0.1";

/// The value of a variable of a task's command.
pub(super) fn variable<'a>(task: &'a TaskInfo, name: &str) -> Option<&'a str> {
    let environment = task.command.as_ref()?.environment.as_ref()?;
    environment.variables.iter().find(|variable| variable.name == name)?.value.as_deref()
}

/// Ports, in ascending order.
pub(super) fn ports(resources: &[v1::Resource]) -> Vec<u64> {
    let ranges = resources.iter().filter(|resource| resource.name == "ports").filter_map(|ports| ports.ranges.as_ref());
    let mut ports: Vec<u64> = ranges.flat_map(|ranges| &ranges.range).flat_map(|r| r.begin..=r.end).collect();
    ports.sort_unstable();
    ports
}

/// What a task gets besides ports, in thousandths.
pub(super) fn scalars(resources: &[v1::Resource]) -> BTreeMap<&str, i64> {
    let mut sums = BTreeMap::new();
    for resource in resources {
        if let Some(scalar) = &resource.scalar {
            *sums.entry(resource.name.as_str()).or_default() += (scalar.value * 1000.0).round() as i64;
        }
    }
    sums
}

/// What is wrong about a task of this record.
pub(super) fn fault(task: &TaskInfo, kept: &Kept, disk: &Disk) -> Option<String> {
    let key = Key::new(["rev", &kept.slot.0, &kept.record.revision]);
    let revision = disk.records.get(&key).and_then(|value| json::decode::<Revision>(value).ok());
    let Some(revision) = revision else { return Some(format!("its revision {} isn't kept", kept.record.revision)) };
    let given = &revision.task;
    let same = |what: fn(&TaskInfo) -> Option<&str>| what(task) == what(given);
    if !same(|task| task.command.as_ref()?.value.as_deref()) || !same(|task| task.command.as_ref()?.user.as_deref()) {
        return Some(format!("it is to run {:?}, its revision {:?}", task.command, given.command));
    }
    let variables = given.command.iter().filter_map(|command| command.environment.as_ref()).flat_map(|e| &e.variables);
    if let Some(other) = variables.into_iter().find(|v| variable(task, &v.name) != v.value.as_deref()) {
        return Some(format!("its revision says {other:?}, and it {:?}", variable(task, &other.name)));
    }
    if task.health_check.is_some() != given.health_check.is_some()
        || task.container.is_some() != given.container.is_some()
    {
        return Some("it has another health check or container than its revision".into());
    }
    let needs: BTreeMap<&str, i64> =
        revision.need.scalars.iter().map(|scalar| (scalar.name.as_str(), scalar.thousandths)).collect();
    let (gets, ports) = (scalars(&task.resources), ports(&task.resources));
    if gets != needs || ports.len() != revision.need.ports as usize {
        return Some(format!("it needs {needs:?} and {} ports, and gets {gets:?} and {ports:?}", revision.need.ports));
    }
    let role = |resource: &&v1::Resource| {
        resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()) != Some(&*revision.role)
    };
    if let Some(other) = task.resources.iter().find(role) {
        return Some(format!("it is of role {}, and takes {other:?}", revision.role));
    }
    let mut kept_ports: Vec<u64> = kept.record.ports.iter().map(|port| u64::from(*port)).collect();
    let given = given.command.iter().filter_map(|command| command.environment.as_ref()).flat_map(|e| &e.variables);
    // What users say of a variable stands; and an executor of its own sees its resources.
    let told = |name: &str| {
        let ours = task.executor.is_none() && given.clone().all(|variable| variable.name != name);
        ours.then(|| variable(task, name))
    };
    for (n, port) in kept_ports.iter().enumerate() {
        if let Some(told) = told(&format!("PORT{n}")).filter(|told| *told != Some(&*port.to_string())) {
            return Some(format!("it gets the ports {kept_ports:?}, and is told {told:?} of number {n}"));
        }
    }
    kept_ports.sort_unstable();
    if kept_ports != ports {
        return Some(format!("it gets the ports {ports:?}, and {kept_ports:?} are kept"));
    }
    let (spec, number) = (kept.slot.0.replace('/', "_"), (kept.slot.1 + 1).to_string());
    if task.name != spec && task.name != format!("{spec}-{number}") {
        return Some(format!("it is called {}", task.name));
    }
    let serial = spec.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    for (name, right) in [(format!("TASK_{serial}_SERIAL_NUMBER"), &*number), ("HOST".into(), HOST)] {
        if let Some(told) = told(&name).flatten().filter(|told| *told != right) {
            return Some(format!("it is told that {name} is {told}"));
        }
    }
    None
}
