//! What tasks need, what offers have, and the arithmetic between the two: whole thousandths and intervals, no floats.

mod pool;
mod record;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

#[cfg(test)]
pub(crate) use pool::Missing;
pub(crate) use pool::{Pool, Shortfall, Taken};

use crate::v1;

/// What one task needs.
///
/// Amounts are rounded to thousandths, half away from zero, as Mesos does; one above zero that would round to nothing
/// counts as a thousandth. Zero is the same as not asked for. What can't be asked for (a negative amount, say) is
/// kept, and reported when a spec is applied.
///
/// They are taken from what is unreserved, or statically reserved for the role. Dynamic reservations, volumes, disks of
/// their own and shared resources are left alone.
///
/// ```
/// use mesos_core::Resources;
///
/// let web = Resources::new().cpus(0.5).mem(64.0).ports(2);
/// assert_eq!(web.to_string(), "cpus:0.5; mem:64; ports:2");
/// assert_eq!(web, Resources::new().ports(2).mem(64.0004).cpus(0.5));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    scalars: BTreeMap<ResourceName, Amount>,
    ports: u32,
    static_ports: BTreeSet<u16>,
    duplicate_ports: BTreeSet<u16>,
    revocable: Revocable,
    /// Which of these names must be revocable, and which must not.
    kinds: BTreeMap<ResourceName, bool>,
}

/// Whether a task may run on what may be taken away from it at any time: what others hold but don't use just now.
/// Such resources are offered to frameworks with the capability REVOCABLE_RESOURCES.
///
/// Mesos refuses a task that mixes both kinds under one name, so all cpus of a task are of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Revocable {
    /// Never.
    #[default]
    No,
    /// For each name: revocable if there is enough of it, otherwise not.
    Prefer,
    /// As `Prefer`, but cpus, the resource that agents oversubscribe, must be revocable.
    Only,
}

impl Resources {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shares of a core.
    #[must_use]
    pub fn cpus(self, cpus: f64) -> Self {
        self.set(ResourceName::Cpus, cpus)
    }

    /// Memory, in MiB.
    #[must_use]
    pub fn mem(self, mib: f64) -> Self {
        self.set(ResourceName::Mem, mib)
    }

    /// Disk space for the sandbox, in MiB. Never from a volume, nor from a disk of its own.
    #[must_use]
    pub fn disk(self, mib: f64) -> Self {
        self.set(ResourceName::Disk, mib)
    }

    /// Whole GPUs. Agents with GPUs offer to frameworks with the capability GPU_RESOURCES only.
    #[must_use]
    pub fn gpus(self, gpus: f64) -> Self {
        self.set(ResourceName::Gpus, gpus)
    }

    /// An amount of a scalar resource, such as one of the agent operator's own.
    #[must_use]
    pub fn scalar(self, name: impl Into<String>, amount: f64) -> Self {
        self.set(name.into().into(), amount)
    }

    /// How many ports, [static ones](Self::static_ports) included.
    #[must_use]
    pub const fn ports(mut self, count: u32) -> Self {
        self.ports = count;
        self
    }

    /// The ports that must be exactly these; they are the task's first ones, in numeric order. They count among
    /// [`ports`](Self::ports), which must be given too.
    #[must_use]
    pub fn static_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.static_ports.clear();
        self.duplicate_ports.clear();
        for port in ports {
            if !self.static_ports.insert(port) {
                self.duplicate_ports.insert(port);
            }
        }
        self
    }

    /// Whether resources will do that may be taken away again; [`Revocable::No`] by default.
    #[must_use]
    pub const fn revocable(mut self, revocable: Revocable) -> Self {
        self.revocable = revocable;
        self
    }

    /// Both together, as far as they can be asked for; of the other one's ports the number.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (name, amount) in &other.scalars {
            let there = sum.scalars.entry(name.clone()).or_insert(Amount::Thousandths(0));
            *there = Amount::Thousandths(there.asked().saturating_add(amount.asked()));
        }
        sum.ports = self.port_count().saturating_add(other.port_count());
        sum
    }

    /// The same for a task of this executor: what both have under one name has to be of one kind for Mesos.
    pub(crate) fn beside(&self, executor: &[v1::Resource]) -> Self {
        let kind = |part: &v1::Resource| (ResourceName::from(part.name.clone()), part.revocable.is_some());
        Self { kinds: executor.iter().map(kind).collect(), ..self.clone() }
    }

    fn set(mut self, name: ResourceName, amount: f64) -> Self {
        match Amount::new(amount) {
            Some(amount) => self.scalars.insert(name, amount),
            None => self.scalars.remove(&name),
        };
        self
    }

    /// Everything that can't be asked for; in the order cpus, mem, disk, gpus, others by name, ports.
    pub(crate) fn problems(&self) -> Vec<ResourceProblem> {
        let mut problems = Vec::new();
        for (name, amount) in &self.scalars {
            match name.as_str() {
                "" => problems.push(ResourceProblem::NoName),
                "ports" => problems.push(ResourceProblem::ScalarPorts),
                _ => {}
            }
            match amount {
                Amount::Negative => problems.push(ResourceProblem::Negative(name.as_str().into())),
                Amount::NotFinite => problems.push(ResourceProblem::NotFinite(name.as_str().into())),
                Amount::TooLarge => problems.push(ResourceProblem::TooLarge(name.as_str().into())),
                Amount::Thousandths(gpus) if *name == ResourceName::Gpus && gpus % 1000 != 0 => {
                    problems.push(ResourceProblem::FractionalGpus);
                }
                Amount::Thousandths(_) => {}
            }
        }
        if !self.static_ports.is_empty() {
            match self.ports {
                0 => problems.push(ResourceProblem::PortsMissing),
                ports if (ports as usize) < self.static_ports.len() => {
                    problems.push(ResourceProblem::TooManyStaticPorts { ports, static_ports: self.static_ports.len() });
                }
                _ => {}
            }
        }
        if self.static_ports.contains(&0) {
            problems.push(ResourceProblem::PortZero);
        }
        problems.extend(self.duplicate_ports.iter().copied().map(ResourceProblem::DuplicatePort));
        problems
    }
}

/// As Mesos writes it, without a value that can't be asked for.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, amount) in &self.scalars {
            write!(f, "{separator}{name}:")?;
            match amount {
                Amount::Thousandths(amount) => write!(f, "{}", Decimal(*amount))?,
                Amount::Negative | Amount::NotFinite | Amount::TooLarge => f.write_str("?")?,
            }
            separator = "; ";
        }
        if self.ports > 0 || !self.static_ports.is_empty() {
            write!(f, "{separator}ports:{}", self.ports)?;
            separator = "; ";
        }
        for (index, port) in self.static_ports.iter().enumerate() {
            write!(f, "{}{port}", if index == 0 { " with " } else { "," })?;
        }
        if separator.is_empty() { f.write_str("{}") } else { Ok(()) }
    }
}

/// One fault of what a task asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceProblem {
    /// A scalar without a name.
    #[error("a resource without name")]
    NoName,
    /// `ports` as a scalar: Mesos has them as ranges.
    #[error("ports are asked for by their number or statically, not as a scalar")]
    ScalarPorts,
    /// An amount below zero, of the resource of this name.
    #[error("{0} is negative")]
    Negative(String),
    /// An amount that is infinite or not a number, of the resource of this name.
    #[error("{0} isn't a finite number")]
    NotFinite(String),
    /// An amount above 1.1e12, of which Mesos couldn't tell thousandths, of the resource of this name.
    #[error("{0} is too large")]
    TooLarge(String),
    /// A part of a GPU: Mesos gives them away whole.
    #[error("gpus isn't a whole number")]
    FractionalGpus,
    /// Static ports without a number of ports.
    #[error("static ports are given, but not how many ports there are")]
    PortsMissing,
    /// More static ports than ports.
    #[error("{static_ports} static ports, but {ports} ports in all")]
    TooManyStaticPorts {
        /// How many ports are asked for.
        ports: u32,
        /// How many of them must be particular ones.
        static_ports: usize,
    },
    /// Port 0 as a static port: nobody can listen there.
    #[error("port 0 can't be a static port")]
    PortZero,
    /// A static port that is listed twice.
    #[error("static port {0} is listed twice")]
    DuplicatePort(u16),
}

/// The name of a scalar resource; the order is the one in which shortages are reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ResourceName {
    Cpus,
    Mem,
    Disk,
    Gpus,
    Other(String),
}

impl ResourceName {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Cpus => "cpus",
            Self::Mem => "mem",
            Self::Disk => "disk",
            Self::Gpus => "gpus",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for ResourceName {
    fn from(name: String) -> Self {
        match &*name {
            "cpus" => Self::Cpus,
            "mem" => Self::Mem,
            "disk" => Self::Disk,
            "gpus" => Self::Gpus,
            _ => Self::Other(name),
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Amount {
    /// From 1 to [`MOST`].
    Thousandths(i64),
    Negative,
    NotFinite,
    TooLarge,
}

impl Amount {
    /// `None` is zero.
    fn new(value: f64) -> Option<Self> {
        Some(match thousandths(value) {
            _ if value == 0.0 => return None,
            _ if value < 0.0 && value.is_finite() => Self::Negative,
            _ if !value.is_finite() => Self::NotFinite,
            None => Self::TooLarge,
            Some(amount) => Self::Thousandths(amount.max(1)),
        })
    }

    /// What must be there; more than there ever is, if it can't be asked for.
    const fn asked(self) -> i64 {
        match self {
            Self::Thousandths(amount) => amount,
            Self::Negative | Self::NotFinite | Self::TooLarge => i64::MAX,
        }
    }
}

/// The most thousandths that survive the way through a double and Mesos's rounding (2^51 is the first that may not).
const MOST: i64 = 1 << 50;

/// Rounds half away from zero, as Mesos does; `None` for what isn't finite or above [`MOST`].
fn thousandths(value: f64) -> Option<i64> {
    let value = value * 1000.0;
    if !value.is_finite() || value.abs() > MOST as f64 {
        return None;
    }
    // The difference is exact: the fraction of a double is a double.
    let whole = value as i64;
    let rest = value - whole as f64;
    Some(whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5))
}

/// The double that Mesos makes of thousandths, too.
fn double(thousandths: i64) -> f64 {
    (thousandths / 1000) as f64 + (thousandths % 1000) as f64 / 1000.0
}

/// Thousandths for people, without zeros at the end.
struct Decimal(i64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        match rest {
            0 => write!(f, "{whole}"),
            _ if rest % 100 == 0 => write!(f, "{whole}.{}", rest / 100),
            _ if rest % 10 == 0 => write!(f, "{whole}.{:02}", rest / 10),
            _ => write!(f, "{whole}.{rest:03}"),
        }
    }
}
