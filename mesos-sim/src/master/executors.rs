//! What the master knows of executors: how each was described that is there.

use mesos_proto::v1;

use super::{Effect, Master, ToAgent};
use crate::resources::Pool;

impl Master {
    /// What is wrong with an executor: one that is there can't be described in another way.
    pub(super) fn executor_fault(
        &self,
        framework: &str,
        agent: &str,
        role: &str,
        executor: &v1::ExecutorInfo,
    ) -> Option<String> {
        let key = (framework.to_owned(), executor.executor_id.value.clone());
        let there = self.agents.get(agent)?.executors.get(&key)?;
        let same = is_same(there, &whole(executor, framework, role));
        (!same).then(|| "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.".into())
    }

    /// Sends tasks to an executor of the scheduler's own. What that uses itself isn't charged.
    pub(super) fn launch_by_executor(
        &mut self,
        framework: &str,
        role: &str,
        executor: &v1::ExecutorInfo,
        tasks: Vec<v1::TaskInfo>,
        group: bool,
    ) {
        let Some(info) = self.frameworks.get(framework).map(|framework| framework.info.clone()) else { return };
        let Some(agent) = tasks.first().map(|task| task.agent_id.value.clone()) else { return };
        let executor = whole(executor, framework, role);
        if let Some(entry) = self.agents.get_mut(&agent) {
            let key = (framework.to_owned(), executor.executor_id.value.clone());
            entry.executors.entry(key).or_insert_with(|| executor.clone());
        }
        let (framework, executor) = (Box::new(info), Box::new(executor));
        self.out.push_back(Effect::ToAgent(agent, ToAgent::LaunchByExecutor { framework, executor, tasks, group }));
    }
}

/// A description with what the master adds to it.
fn whole(executor: &v1::ExecutorInfo, framework: &str, role: &str) -> v1::ExecutorInfo {
    let mut executor = executor.clone();
    executor.framework_id.get_or_insert_with(|| framework.into());
    for resource in executor.resources.iter_mut().filter(|resource| resource.allocation_info.is_none()) {
        resource.allocation_info = Some(v1::resource::AllocationInfo { role: Some(role.into()) });
    }
    executor
}

/// Whether two descriptions are of the same: how resources are divided and in which order they come doesn't count.
fn is_same(one: &v1::ExecutorInfo, other: &v1::ExecutorInfo) -> bool {
    let bare = |executor: &v1::ExecutorInfo| v1::ExecutorInfo { resources: Vec::new(), ..executor.clone() };
    Pool::of(&one.resources) == Pool::of(&other.resources) && bare(one) == bare(other)
}
