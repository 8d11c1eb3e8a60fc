//! What is done with offers.

use alloc::boxed::Box;
use core::time::Duration;

use crate::v1;
use v1::framework_info::{Capability, capability};
use v1::offer::operation::{Create, Destroy, Launch, LaunchGroup, Reserve, Type, Unreserve};

impl v1::offer::Operation {
    fn of(kind: Type) -> Self {
        Self { r#type: Some(kind.into()), ..Self::default() }
    }

    /// Launches tasks, each for itself.
    #[must_use]
    pub fn launch(tasks: impl IntoIterator<Item = v1::TaskInfo>) -> Self {
        let task_infos = tasks.into_iter().collect();
        Self { launch: Some(Launch { task_infos }), ..Self::of(Type::Launch) }
    }

    /// Launches tasks as a group, all or none, in one executor.
    #[must_use]
    pub fn launch_group(executor: v1::ExecutorInfo, tasks: impl IntoIterator<Item = v1::TaskInfo>) -> Self {
        let task_group = v1::TaskGroupInfo { tasks: tasks.into_iter().collect() };
        let group = Box::new(LaunchGroup { executor, task_group });
        Self { launch_group: Some(group), ..Self::of(Type::LaunchGroup) }
    }

    /// Reserves resources: the offered ones, each with one more reservation.
    #[must_use]
    pub fn reserve(resources: impl IntoIterator<Item = v1::Resource>) -> Self {
        // `source` must be empty here.
        let reserve = Reserve { resources: resources.into_iter().collect(), source: Default::default() };
        Self { reserve: Some(reserve), ..Self::of(Type::Reserve) }
    }

    /// Takes the last reservation off each of these resources.
    #[must_use]
    pub fn unreserve(resources: impl IntoIterator<Item = v1::Resource>) -> Self {
        let resources = resources.into_iter().collect();
        Self { unreserve: Some(Unreserve { resources }), ..Self::of(Type::Unreserve) }
    }

    /// Makes persistent volumes of reserved disk.
    #[must_use]
    pub fn create(volumes: impl IntoIterator<Item = v1::Resource>) -> Self {
        let volumes = volumes.into_iter().collect();
        Self { create: Some(Create { volumes }), ..Self::of(Type::Create) }
    }

    /// Destroys persistent volumes, and the data in them.
    #[must_use]
    pub fn destroy(volumes: impl IntoIterator<Item = v1::Resource>) -> Self {
        let volumes = volumes.into_iter().collect();
        Self { destroy: Some(Destroy { volumes }), ..Self::of(Type::Destroy) }
    }

    /// An id, for which Mesos tells what became of the operation. Not for the two that launch: they are refused with it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<v1::OperationId>) -> Self {
        self.id = Some(id.into());
        self
    }
}

impl v1::Filters {
    /// No offer of the same resources for so long. Zero is no filter; without filters it is 5 s.
    #[must_use]
    pub fn refuse_for(time: Duration) -> Self {
        Self { refuse_seconds: Some(time.as_secs_f64()) }
    }
}

impl v1::Unavailability {
    /// From a time after the Unix epoch on, for ever if there is no duration.
    #[must_use]
    pub fn new(start_since_epoch: Duration, duration: Option<Duration>) -> Self {
        Self { start: v1::TimeInfo::since_epoch(start_since_epoch), duration: duration.map(Into::into) }
    }
}

impl From<capability::Type> for Capability {
    fn from(kind: capability::Type) -> Self {
        Self { r#type: Some(kind.into()) }
    }
}
