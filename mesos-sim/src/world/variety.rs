//! How specs differ in some worlds: in what they need, where they may be, and how they end. And the judge of what is
//! launched, by what users have said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::engine::{Field, KillSelection, RestartPolicy, TaskSpec};
use mesos_core::{Resources, v1};

use super::ledger::parse;
use super::users::{GRACE, SLOW};
use super::{Step, World, contents, violation};
use crate::rng::Rng;
use crate::{AgentOptions, Script, agent};

/// Ignores SIGTERM.
const STUBBORN: &str = "trap '' TERM; ";

/// Where instances may be, if not anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this zone only.
    Zone(&'static str),
    /// So many on a host.
    PerHost(u32),
    /// So many in a zone.
    PerZone(u32),
}

/// How the bounds of a rollout are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// In tasks.
    Counts,
    /// In parts of four.
    Percents,
    /// Not at all.
    Default,
}

/// What a spec asks for besides what all do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variety {
    /// In thousandths.
    cpus: u32,
    mem: u32,
    pub(super) ports: u32,
    /// A port that it must have.
    fixed: Option<u16>,
    pub(super) grace: Option<Duration>,
    pub(super) force: Option<Duration>,
    stubborn: bool,
    pub(super) place: Option<Place>,
    restart: RestartPolicy,
    pub(super) max_failures: Option<u32>,
    pub(super) min_ready: Option<Duration>,
    pub(super) bounds: Bounds,
    /// Which instances go first, of those that are alike.
    pub(super) selection: KillSelection,
}

impl Variety {
    /// What specs have where they are alike, but for how long their tasks have to end.
    pub(super) fn of(name: &str) -> Self {
        Self {
            cpus: 300,
            mem: 32,
            ports: 1,
            fixed: None,
            grace: (name == SLOW).then_some(GRACE),
            force: None,
            stubborn: false,
            place: None,
            restart: RestartPolicy::Always,
            max_failures: None,
            min_ready: None,
            bounds: Bounds::Counts,
            selection: KillSelection::HighestIndex,
        }
    }

    /// `name` is `s0` to `s4`.
    pub(super) fn draw(name: &str, rng: &mut Rng) -> Self {
        let number: u16 = name.strip_prefix('s').and_then(|number| number.parse().ok()).unwrap_or_default();
        let seconds = Duration::from_secs;
        let (grace, force) = match rng.below(8) {
            0 => (Some(seconds(0)), None),
            1 => (Some(seconds(20)), None),
            2 => (Some(seconds(60)), None),
            3 => (Some(seconds(600)), Some(seconds(30))),
            4 => (None, Some(seconds(1))),
            _ => (None, None),
        };
        let fixed = rng.chance(0.15).then_some(33_000 + number);
        // Chance of its own: what seeds were before stays.
        let mut apart = Rng::new(rng.clone().next() ^ 0x70);
        Self {
            cpus: rng.pick(&[100, 250, 300, 333, 437]).unwrap_or_default(),
            mem: rng.pick(&[16, 32, 50]).unwrap_or_default(),
            ports: rng.pick(&[0, 1, 1, 2]).unwrap_or_default(),
            fixed,
            grace,
            force,
            stubborn: rng.chance(0.4),
            place: rng
                .pick(&[
                    None,
                    None,
                    None,
                    Some(Place::Zone("x")),
                    Some(Place::Zone("y")),
                    Some(Place::PerHost(2)),
                    Some(Place::PerZone(2)),
                ])
                .flatten()
                // A rollout needs its port on another agent.
                .filter(|_| fixed.is_none()),
            restart: match rng.below(8) {
                0 => RestartPolicy::OnFailure,
                1 => RestartPolicy::Never,
                _ => RestartPolicy::Always,
            },
            max_failures: rng.chance(0.15).then_some(3),
            min_ready: rng.pick(&[None, None, Some(seconds(0)), Some(seconds(30))]).flatten(),
            bounds: apart
                .pick(&[Bounds::Counts, Bounds::Counts, Bounds::Percents, Bounds::Default])
                .unwrap_or(Bounds::Counts),
            selection: apart
                .pick(&[
                    KillSelection::HighestIndex,
                    KillSelection::HighestIndex,
                    KillSelection::Oldest,
                    KillSelection::Youngest,
                ])
                .unwrap_or(KillSelection::HighestIndex),
        }
    }

    /// The command's line, which may be made deaf.
    pub(super) fn line(&self, line: &str) -> String {
        if self.stubborn { format!("{STUBBORN}{line}") } else { line.to_owned() }
    }

    pub(super) fn dress(&self, mut spec: TaskSpec, job: bool) -> TaskSpec {
        let need = Resources::new().cpus(f64::from(self.cpus) / 1000.0).mem(self.mem.into());
        spec = spec.resources(need.ports(self.ports + u32::from(self.fixed.is_some())).static_ports(self.fixed));
        if let Some(grace) = self.grace {
            spec = spec.kill_grace(grace);
        }
        if let Some(time) = self.force {
            spec = spec.force_kill_after(time);
        }
        spec = match self.place {
            Some(Place::Zone(zone)) => spec.is(Field::Attribute("zone".into()), zone),
            Some(Place::PerHost(count)) => spec.max_per(Field::Hostname, count),
            Some(Place::PerZone(count)) => spec.max_per(Field::Attribute("zone".into()), count),
            None => spec,
        };
        spec = spec.kill_selection(self.selection);
        if let Some(time) = self.min_ready {
            spec = spec.min_ready(time);
        }
        match job {
            true => spec,
            false => spec.restart(self.restart.clone()).max_failures(self.max_failures),
        }
    }

    /// How many instances find a place at the same time, on so many agents that stay, of which two are in zones of their
    /// own.
    pub(super) fn most(&self, agents: u32) -> u32 {
        let most = match self.place {
            Some(Place::PerHost(count)) => count * agents,
            Some(Place::PerZone(count)) => count * 2,
            Some(Place::Zone(_)) | None => u32::MAX,
        };
        if self.fixed.is_some() { 1 } else { most }
    }

    /// Whether it fits wherever another one does.
    pub(super) fn fits_where(&self, other: &Self) -> bool {
        let less = self.cpus <= other.cpus && self.mem <= other.mem && self.ports <= other.ports;
        less && self.place.is_none() && self.fixed.is_none()
    }

    /// What is wrong with a task that is to have this, for this role.
    pub(super) fn fault_of(&self, task: &v1::TaskInfo, role: &str) -> Result<(), String> {
        let gets = contents::scalars(&task.resources);
        if gets != BTreeMap::from([("cpus", i64::from(self.cpus)), ("mem", i64::from(self.mem) * 1000)]) {
            return Err(format!("it gets {gets:?} in thousandths"));
        }
        let ports = contents::ports(&task.resources);
        if ports.len() as u64 != u64::from(self.ports) + u64::from(self.fixed.is_some()) {
            return Err(format!("it gets the ports {ports:?}"));
        }
        if self.fixed.is_some_and(|port| !ports.contains(&port.into())) {
            return Err(format!("its port isn't among {ports:?}"));
        }
        let check = task.health_check.as_ref().and_then(|check| check.http.as_ref());
        let first = contents::variable(task, "PORT0");
        if check.is_some_and(|http| first != Some(&*http.port.to_string())) {
            return Err(format!("its health check looks elsewhere than at {first:?}"));
        }
        let grace = task.kill_policy.and_then(|policy| policy.grace_period).map(|grace| grace.nanoseconds);
        if grace != self.grace.map(|grace| grace.as_nanos() as i64) {
            return Err(format!("its grace is {grace:?} ns"));
        }
        let allocated = task.resources.iter().map(|resource| resource.allocation_info.as_ref()?.role.as_deref());
        let allocated: BTreeSet<Option<&str>> = allocated.collect();
        if allocated.iter().any(|mine| *mine != Some(role)) {
            return Err(format!("what it gets is for {allocated:?}, and not for {role}"));
        }
        Ok(())
    }
}

/// Agents on which it matters where a task is, and whose it is.
pub(super) fn agents(count: u64, rng: &mut Rng) -> Vec<AgentOptions> {
    let agent = |n| {
        let role = rng.pick(&["a", "b"]).unwrap_or_default();
        let reserved = format!(";cpus({role}):1.25;mem({role}):100;ports({role}):[32000-32009]");
        let reserved = if rng.chance(0.4) { reserved } else { String::new() };
        let all = format!("cpus:20.5;mem:4000;disk:1000;ports:[31000-31999,33000-33009]{reserved}");
        let host = format!("h{n}");
        let agent = AgentOptions::default().resources(all);
        let agent = zone(&host).into_iter().fold(agent, |agent, zone| agent.attribute("zone", zone));
        agent.hostname(host)
    };
    (0..count).map(agent).collect()
}

/// Where a host is, if that is known of it.
pub(super) fn zone(host: &str) -> Option<&'static str> {
    match host {
        "h0" | "h2" | "h5" => Some("x"),
        "h1" | "h3" => Some("y"),
        _ => None,
    }
}

/// How tasks fare.
pub(super) fn script(task: &v1::TaskInfo) -> Script {
    let line = task.command.as_deref().map(v1::CommandInfo::value).unwrap_or_default();
    match line.strip_prefix(STUBBORN) {
        Some(line) => Script::from_command(line).stubborn(),
        None => Script::from_command(line),
    }
}

impl World {
    /// I25: a task that is launched is one that a user has wanted, in each thing that was said of it.
    pub(super) fn is_wanted(&mut self, task: &v1::TaskInfo) -> Step {
        let Some((spec, ..)) = parse(&task.task_id.value).filter(|_| self.setup.is_none()) else { return Ok(()) };
        *self.ledger.judged.entry("I25").or_default() += 1;
        match self.users.never_wanted(&spec, task) {
            Some(fault) => violation("I25", format!("{} is launched as nobody wanted it: {fault}", task.task_id.value)),
            None => Ok(()),
        }
    }

    /// L4: what runs is what users want now.
    pub(super) fn as_wanted(&self) -> Step {
        for agent in &self.cluster.agents {
            let mine = |(framework, _): &&agent::TaskKey| *framework == self.ledger.framework;
            for ((_, id), task) in agent.tasks.iter().filter(|(key, task)| mine(key) && !agent::is_terminal(task.state))
            {
                let spec = parse(id).filter(|_| self.disk.instances.contains_key(id)).map(|(spec, ..)| spec);
                if let Some(fault) = spec.and_then(|spec| self.users.not_wanted(&spec, &task.info)) {
                    return violation("L4", format!("{id} runs as nobody wants it any more: {fault}"));
                }
            }
        }
        Ok(())
    }
}
