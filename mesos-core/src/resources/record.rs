//! Needs as records of a store.

use alloc::vec::Vec;

use mesos_proto::store::{Need, Scalar, need};

use super::{Amount, MOST, Resources, Revocable};

impl Resources {
    /// What a task would be refused for: Mesos wants it to have something.
    pub(crate) fn is_empty(&self) -> bool {
        self.scalars.is_empty() && self.port_count() == 0
    }

    pub(crate) fn to_record(&self) -> Need {
        let revocable = match self.revocable {
            Revocable::No => need::Revocable::No,
            Revocable::Prefer => need::Revocable::Prefer,
            Revocable::Only => need::Revocable::Only,
        };
        let scalar = |(name, amount): (&super::ResourceName, &Amount)| Scalar {
            name: name.as_str().into(),
            thousandths: amount.asked(),
        };
        Need {
            scalars: self.scalars.iter().map(scalar).collect(),
            ports: self.ports,
            static_ports: self.static_ports.iter().copied().map(u32::from).collect(),
            revocable: revocable.into(),
        }
    }

    /// `None` if the record isn't one that [`to_record`](Self::to_record) made of a need without problems.
    pub(crate) fn from_record(record: &Need) -> Option<Self> {
        let mut need = Self::new().ports(record.ports);
        for Scalar { name, thousandths } in &record.scalars {
            let amount = (1..=MOST).contains(thousandths).then_some(Amount::Thousandths(*thousandths))?;
            if need.scalars.insert(name.clone().into(), amount).is_some() {
                return None;
            }
        }
        let ports: Result<Vec<u16>, _> = record.static_ports.iter().copied().map(u16::try_from).collect();
        let revocable = match need::Revocable::try_from(record.revocable).ok()? {
            need::Revocable::No => Revocable::No,
            need::Revocable::Prefer => Revocable::Prefer,
            need::Revocable::Only => Revocable::Only,
        };
        Some(need.static_ports(ports.ok()?).revocable(revocable))
    }
}
