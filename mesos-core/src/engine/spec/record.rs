//! Specs as records of a store.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use mesos_proto::store::{self, constraint, policy};

use super::{
    Amount, Constraint, Duplicates, Field, KillSelection, Launch, OnReturn, Operator, Policy, RestartPolicy, TaskSpec,
};
use crate::Resources;
use crate::engine::record::millis;

/// The field of a record whose value no program of this version wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no value that is known")]
pub(crate) struct RecordError(pub(crate) &'static str);

impl TaskSpec {
    /// The spec that these records are of.
    pub(crate) fn from_records(
        name: impl Into<String>,
        policy: &store::Policy,
        revision: &store::Revision,
    ) -> Result<Self, RecordError> {
        let (policy, launch) = (Policy::from_record(policy)?, Launch::from_record(revision)?);
        Ok(Self { name: name.into(), policy, launch })
    }

    pub(crate) fn to_policy_record(&self) -> store::Policy {
        self.policy.to_record()
    }

    pub(crate) fn to_revision_record(&self, stamp: store::Stamp) -> store::Revision {
        self.launch.to_record(stamp)
    }
}

impl Launch {
    pub(crate) fn to_record(&self, stamp: store::Stamp) -> store::Revision {
        store::Revision {
            stamp,
            task: self.task.clone(),
            need: self.need.to_record(),
            role: self.role.clone(),
            port_mappings: self.port_mappings.clone(),
            serial_numbers: self.serial_numbers,
            force: self.force,
        }
    }

    pub(crate) fn from_record(record: &store::Revision) -> Result<Self, RecordError> {
        Ok(Self {
            task: record.task.clone(),
            need: Resources::from_record(&record.need).ok_or(RecordError("need"))?,
            role: record.role.clone(),
            port_mappings: record.port_mappings.clone(),
            serial_numbers: record.serial_numbers,
            force: record.force,
        })
    }
}

impl Policy {
    fn to_record(&self) -> store::Policy {
        let (restart, states) = match &self.restart {
            RestartPolicy::Always => (policy::Restart::Always, Vec::new()),
            RestartPolicy::OnFailure => (policy::Restart::OnFailure, Vec::new()),
            RestartPolicy::Never => (policy::Restart::Never, Vec::new()),
            RestartPolicy::States(states) => (policy::Restart::States, states.iter().copied().map(i32::from).collect()),
        };
        let duplicates = match self.duplicates {
            Duplicates::Allow => policy::Duplicates::Allow,
            Duplicates::Forbid => policy::Duplicates::Forbid,
        };
        let on_return = match self.on_return {
            OnReturn::PreferReady => policy::OnReturn::PreferReady,
            OnReturn::Oldest => policy::OnReturn::Oldest,
            OnReturn::Youngest => policy::OnReturn::Youngest,
            OnReturn::PreferNew => policy::OnReturn::PreferNew,
        };
        let kill_selection = match self.kill_selection {
            KillSelection::HighestIndex => policy::KillSelection::HighestIndex,
            KillSelection::Youngest => policy::KillSelection::YoungestFirst,
            KillSelection::Oldest => policy::KillSelection::OldestFirst,
        };
        store::Policy {
            kind: if self.job { policy::Kind::Job } else { policy::Kind::Service }.into(),
            instances: self.instances,
            priority: self.priority,
            restart: restart.into(),
            restart_states: states,
            max_failures: self.max_failures,
            backoff_first: millis(self.backoff_first),
            backoff_max: millis(self.backoff_max),
            stable_after: millis(self.stable_after),
            launch_timeout: millis(self.launch_timeout),
            start_timeout: millis(self.start_timeout),
            inactive_after: millis(self.inactive_after),
            expunge_after: millis(self.expunge_after),
            duplicates: duplicates.into(),
            on_return: on_return.into(),
            kill_selection: kill_selection.into(),
            rerun_on_change: self.rerun_on_change,
            scalable: self.scalable,
            max_surge: self.max_surge.to_record(),
            max_unavailable: self.max_unavailable.to_record(),
            min_ready: self.min_ready.map(millis),
            constraints: self.constraints.iter().map(Constraint::to_record).collect(),
            force_kill_after: self.force_kill_after.map(millis),
        }
    }

    fn from_record(record: &store::Policy) -> Result<Self, RecordError> {
        let kind = known(record.kind, "policy.kind")?;
        let restart = match known(record.restart, "policy.restart")? {
            policy::Restart::Always => RestartPolicy::Always,
            policy::Restart::OnFailure => RestartPolicy::OnFailure,
            policy::Restart::Never => RestartPolicy::Never,
            policy::Restart::States => {
                let states = record.restart_states.iter();
                let states: Result<_, _> = states.map(|&state| known(state, "policy.restart_states")).collect();
                RestartPolicy::States(states?)
            }
        };
        let duplicates = match known(record.duplicates, "policy.duplicates")? {
            policy::Duplicates::Allow => Duplicates::Allow,
            policy::Duplicates::Forbid => Duplicates::Forbid,
        };
        let on_return = match known(record.on_return, "policy.on_return")? {
            policy::OnReturn::PreferReady => OnReturn::PreferReady,
            policy::OnReturn::Oldest => OnReturn::Oldest,
            policy::OnReturn::Youngest => OnReturn::Youngest,
            policy::OnReturn::PreferNew => OnReturn::PreferNew,
        };
        let kill_selection = match known(record.kill_selection, "policy.kill_selection")? {
            policy::KillSelection::HighestIndex => KillSelection::HighestIndex,
            policy::KillSelection::YoungestFirst => KillSelection::Youngest,
            policy::KillSelection::OldestFirst => KillSelection::Oldest,
        };
        let constraints = record.constraints.iter().map(Constraint::from_record).collect::<Result<_, _>>()?;
        Ok(Self {
            job: match kind {
                policy::Kind::Job => true,
                policy::Kind::Service => false,
            },
            instances: record.instances,
            priority: record.priority,
            restart,
            max_failures: record.max_failures,
            backoff_first: Duration::from_millis(record.backoff_first),
            backoff_max: Duration::from_millis(record.backoff_max),
            stable_after: Duration::from_millis(record.stable_after),
            launch_timeout: Duration::from_millis(record.launch_timeout),
            start_timeout: Duration::from_millis(record.start_timeout),
            inactive_after: Duration::from_millis(record.inactive_after),
            expunge_after: Duration::from_millis(record.expunge_after),
            duplicates,
            on_return,
            kill_selection,
            force_kill_after: record.force_kill_after.map(Duration::from_millis),
            rerun_on_change: record.rerun_on_change,
            scalable: record.scalable,
            max_surge: Amount::from_record(&record.max_surge).ok_or(RecordError("policy.max_surge"))?,
            max_unavailable: Amount::from_record(&record.max_unavailable)
                .ok_or(RecordError("policy.max_unavailable"))?,
            min_ready: record.min_ready.map(Duration::from_millis),
            constraints,
        })
    }
}

impl Amount {
    fn to_record(self) -> store::Amount {
        match self {
            Self::Count(count) => store::Amount { count: Some(count), percent: None },
            Self::Percent(percent) => store::Amount { count: None, percent: Some(percent) },
        }
    }

    fn from_record(record: &store::Amount) -> Option<Self> {
        match (record.count, record.percent) {
            (Some(count), None) => Some(Self::Count(count)),
            (None, Some(percent)) => Some(Self::Percent(percent)),
            _ => None,
        }
    }
}

impl Constraint {
    fn to_record(&self) -> store::Constraint {
        let (operator, value, count) = match &self.operator {
            Operator::Is(value) => (constraint::Operator::Is, Some(value.clone()), None),
            Operator::Unique => (constraint::Operator::Unique, None, None),
            Operator::MaxPer(count) => (constraint::Operator::MaxPer, None, Some(*count)),
        };
        store::Constraint { field: self.field.to_string(), operator: operator.into(), value, count }
    }

    fn from_record(record: &store::Constraint) -> Result<Self, RecordError> {
        let operator = match known(record.operator, "policy.constraints.operator")? {
            constraint::Operator::Is => {
                Operator::Is(record.value.clone().ok_or(RecordError("policy.constraints.value"))?)
            }
            constraint::Operator::Unique => Operator::Unique,
            constraint::Operator::MaxPer => {
                Operator::MaxPer(record.count.ok_or(RecordError("policy.constraints.count"))?)
            }
        };
        Ok(Self { field: Field::from(&*record.field), operator })
    }
}

fn known<E: TryFrom<i32>>(number: i32, field: &'static str) -> Result<E, RecordError> {
    E::try_from(number).map_err(|_| RecordError(field))
}
