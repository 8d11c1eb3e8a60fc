//! What it uses up.

use alloc::string::String;
use core::ops::RangeInclusive;

use crate::v1;
use v1::resource::{AllocationInfo, DiskInfo, ReservationInfo, disk_info, reservation_info};
use v1::value::{self, Type};

impl v1::Resource {
    /// A number of something. Mesos counts in thousandths.
    #[must_use]
    pub fn scalar(name: impl Into<String>, value: f64) -> Self {
        let scalar = Some(value::Scalar { value });
        Self { name: name.into(), r#type: Type::Scalar.into(), scalar, ..Self::default() }
    }

    /// Ranges of numbers; empty ones are left out, since Mesos has none.
    #[must_use]
    pub fn ranges(name: impl Into<String>, ranges: impl IntoIterator<Item = RangeInclusive<u64>>) -> Self {
        let range = |range: RangeInclusive<u64>| value::Range { begin: *range.start(), end: *range.end() };
        let ranges = ranges.into_iter().filter(|range| !range.is_empty()).map(range).collect();
        let ranges = Some(value::Ranges { range: ranges });
        Self { name: name.into(), r#type: Type::Ranges.into(), ranges, ..Self::default() }
    }

    /// A set of texts.
    #[must_use]
    pub fn set<T: Into<String>>(name: impl Into<String>, items: impl IntoIterator<Item = T>) -> Self {
        let set = Some(value::Set { item: items.into_iter().map(Into::into).collect() });
        Self { name: name.into(), r#type: Type::Set.into(), set, ..Self::default() }
    }

    /// So many cpus.
    #[must_use]
    pub fn cpus(cpus: f64) -> Self {
        Self::scalar("cpus", cpus)
    }

    /// Memory, in MiB.
    #[must_use]
    pub fn mem(mebibytes: f64) -> Self {
        Self::scalar("mem", mebibytes)
    }

    /// Disk, in MiB.
    #[must_use]
    pub fn disk(mebibytes: f64) -> Self {
        Self::scalar("disk", mebibytes)
    }

    /// Ranges of ports.
    #[must_use]
    pub fn ports(ranges: impl IntoIterator<Item = RangeInclusive<u64>>) -> Self {
        Self::ranges("ports", ranges)
    }

    /// For this role of the framework. The master adds it where an operation leaves it out; frameworks without
    /// MULTI_ROLE don't use it.
    #[must_use]
    pub fn with_allocation_role(mut self, role: impl Into<String>) -> Self {
        self.allocation_info = Some(AllocationInfo { role: Some(role.into()) });
        self
    }

    /// Adds a reservation, which refines those before it. Needs the capability RESERVATION_REFINEMENT.
    #[must_use]
    pub fn with_reservation(mut self, reservation: ReservationInfo) -> Self {
        self.reservations.push(reservation);
        self
    }

    /// Reserved for this role by the agent's operator, as frameworks without RESERVATION_REFINEMENT put it.
    #[must_use]
    #[allow(deprecated, reason = "these frameworks are read and written so")]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// The persistent volume of this id on reserved disk, at a path of the task's sandbox. A framework with a principal
    /// has to name it.
    #[must_use]
    pub fn with_persistent_volume(
        mut self,
        id: impl Into<String>,
        container_path: impl Into<String>,
        principal: Option<&str>,
    ) -> Self {
        let volume = v1::Volume {
            container_path: container_path.into(),
            mode: v1::volume::Mode::Rw.into(),
            ..v1::Volume::default()
        };
        let persistence = disk_info::Persistence { id: id.into(), principal: principal.map(Into::into) };
        // A disk's source, if it has one, stays.
        let disk = self.disk.get_or_insert_default();
        **disk = DiskInfo { persistence: Some(persistence), volume: Some(volume), ..core::mem::take(&mut **disk) };
        self
    }
}

impl ReservationInfo {
    /// One that frameworks make with RESERVE. A framework with a principal has to name it.
    #[must_use]
    pub fn dynamic(role: impl Into<String>, principal: Option<&str>) -> Self {
        Self {
            r#type: Some(reservation_info::Type::Dynamic.into()),
            role: Some(role.into()),
            principal: principal.map(Into::into),
            labels: None,
        }
    }

    /// One that the agent was started with.
    #[must_use]
    pub fn fixed(role: impl Into<String>) -> Self {
        Self { r#type: Some(reservation_info::Type::Static.into()), role: Some(role.into()), ..Self::default() }
    }
}
