//! What the master does on each call of a subscribed framework.

use std::collections::BTreeSet;

use mesos_proto::v1;
use v1::executor_info::Type as ExecutorType;
use v1::offer::operation::Type as OperationType;
use v1::scheduler::{Call, Event, call, event};
use v1::task_status::Reason;
use v1::{OperationState, TaskState};

use super::{Effect, Master, Standing, Task, ToAgent};
use crate::agent::{TaskKey, is_terminal};
use crate::http::Response;
use crate::resources::Pool;

impl Master {
    /// A call that passed all checks.
    pub(super) fn perform(&mut self, id: &str, call: Call) -> Response {
        match call.r#type() {
            call::Type::Teardown => self.remove_framework(id),
            call::Type::Accept => self.accept(id, call.accept.unwrap_or_default()),
            call::Type::Decline => self.decline(id, &call.decline.unwrap_or_default()),
            call::Type::Revive => self.set_suppressed(id, call.revive.unwrap_or_default().roles, false),
            call::Type::Suppress => self.set_suppressed(id, call.suppress.unwrap_or_default().roles, true),
            call::Type::Kill => self.kill(id, call.kill.unwrap_or_default()),
            call::Type::Acknowledge => self.acknowledge(id, call.acknowledge.unwrap_or_default()),
            call::Type::Reconcile => self.reconcile(id, call.reconcile.unwrap_or_default()),
            call::Type::ReconcileOperations => {
                self.reconcile_operations(id, call.reconcile_operations.unwrap_or_default());
            }
            call::Type::UpdateFramework => {
                return self.update_framework(id, call.update_framework.unwrap_or_default());
            }
            call::Type::AcceptInverseOffers => {
                let accept = call.accept_inverse_offers.unwrap_or_default();
                self.answer_inverse(id, &accept.inverse_offer_ids, accept.filters.as_ref());
            }
            call::Type::DeclineInverseOffers => {
                let decline = call.decline_inverse_offers.unwrap_or_default();
                self.answer_inverse(id, &decline.inverse_offer_ids, decline.filters.as_ref());
            }
            call::Type::Shutdown => {
                let shutdown = call.shutdown.unwrap_or_default();
                let executor = (id.to_owned(), shutdown.executor_id.value);
                self.out.push_back(Effect::ToAgent(shutdown.agent_id.value, ToAgent::ShutExecutorDown(executor)));
            }
            call::Type::Message => {
                let message = call.message.unwrap_or_default();
                let executor = (id.to_owned(), message.executor_id.value);
                let to_agent = ToAgent::MessageToExecutor { executor, data: message.data };
                self.out.push_back(Effect::ToAgent(message.agent_id.value, to_agent));
            }
            // Taken, and nothing comes of them here: no operations.
            call::Type::Request
            | call::Type::AcknowledgeOperationStatus
            | call::Type::Unknown
            | call::Type::Subscribe => {}
        }
        Response::accepted()
    }

    fn decline(&mut self, framework: &str, decline: &call::Decline) {
        for id in &decline.offer_ids {
            if let Some((agent, role, resources)) = self.take_offer(framework, &id.value) {
                self.refuse(framework, agent, role, resources, decline.filters.as_ref());
            }
        }
    }

    fn accept(&mut self, framework: &str, accept: call::Accept) {
        let ids: Vec<&str> = accept.offer_ids.iter().map(|id| id.value.as_str()).collect();
        let fault = self.offers_fault(framework, &ids);
        let mut taken = Vec::new();
        for id in &ids {
            taken.extend(self.take_offer(framework, id));
        }
        if let Some(fault) = fault {
            // The good ones go back, without any filter.
            return self.refuse_operations(framework, &accept.operations, &fault);
        }
        let Some((agent, role, _)) = taken.first().cloned() else { return };
        let mut left = Pool::default();
        for (_, _, resources) in &taken {
            left.add(resources);
        }
        for operation in &accept.operations {
            let tasks = match operation.r#type() {
                OperationType::Launch => operation.launch.as_ref().map(|launch| (&launch.task_infos, false)),
                OperationType::LaunchGroup => {
                    operation.launch_group.as_ref().map(|launch| (&launch.task_group.tasks, true))
                }
                OperationType::Unknown => None,
                _ => {
                    self.operation_status(framework, operation, "Operations on resources are not modelled");
                    None
                }
            };
            let Some((tasks, group)) = tasks else { continue };
            let identified = operation.id.is_some();
            let whole = match &operation.launch_group {
                Some(launch) if group => self.group_fault(framework, launch, &agent, &role, &left),
                _ => None,
            };
            let mut together = Vec::new();
            for task in tasks {
                let fault = match identified {
                    true => Some("The `id` field cannot be set on LAUNCH operations".into()),
                    false if group => whole.clone(),
                    false => self.task_fault(framework, task, &agent, &role, &left, false),
                };
                match fault {
                    Some(fault) => {
                        let reason = match (group, self.forbidden(task).is_some()) {
                            (true, true) => Reason::TaskGroupUnauthorized,
                            (false, true) => Reason::TaskUnauthorized,
                            (true, false) => Reason::TaskGroupInvalid,
                            (false, false) => Reason::TaskInvalid,
                        };
                        let status = self.status(&task.task_id.value, TaskState::TaskError, Some(reason), &fault);
                        self.send_status(framework, v1::TaskStatus { agent_id: Some(task.agent_id.clone()), ..status });
                    }
                    None => {
                        let of_group = operation.launch_group.as_ref().filter(|_| group).map(|launch| &launch.executor);
                        let custom = of_group.filter(|executor| executor.r#type() == ExecutorType::Custom);
                        let info = self.launch(framework, task.clone(), &role, &mut left);
                        match (custom, task.executor.as_deref()) {
                            (Some(_), _) => together.push(info),
                            (None, Some(own)) => self.launch_by_executor(framework, &role, own, vec![info], false),
                            (None, None) => {
                                let executor = of_group.map(|executor| executor.executor_id.clone());
                                self.launch_by_agent(framework, info, executor);
                            }
                        }
                    }
                }
            }
            if let Some(launch) = operation.launch_group.as_ref().filter(|_| !together.is_empty()) {
                self.launch_by_executor(framework, &role, &launch.executor, together, true);
            }
        }
        if !left.is_empty() {
            self.refuse(framework, agent, role, left, accept.filters.as_ref());
        }
    }

    /// What spoils an ACCEPT as a whole.
    fn offers_fault(&self, framework: &str, ids: &[&str]) -> Option<String> {
        if ids.is_empty() {
            return Some("No offers specified".into());
        }
        for (index, id) in ids.iter().enumerate() {
            if ids.iter().take(index).any(|other| other == id) {
                return Some(format!("Duplicate offer {id} in offer list"));
            }
            if self.offers.get(*id).is_none_or(|offer| offer.framework != framework) {
                return Some(format!("Offer {id} is no longer valid"));
            }
        }
        let first = self.offers.get(*ids.first()?)?;
        let mut offers = ids.iter().filter_map(|id| self.offers.get(*id).map(|offer| (*id, offer)));
        offers.find_map(|(id, offer)| {
            let rule = "Aggregated offers must";
            if offer.agent != first.agent {
                let (agent, other) = (&offer.agent, &first.agent);
                Some(format!("{rule} belong to one single agent. Offer {id} uses agent {agent} and agent {other}"))
            } else if offer.role != first.role {
                let (role, other) = (&offer.role, &first.role);
                Some(format!("{rule} be allocated to the same role. Offer {id} uses role {role} but another {other}"))
            } else {
                None
            }
        })
    }

    /// Nothing of an ACCEPT with bad offers happens.
    fn refuse_operations(&mut self, framework: &str, operations: &[v1::offer::Operation], fault: &str) {
        for operation in operations {
            let launch = operation.launch.as_ref().map(|launch| &launch.task_infos);
            let group = operation.launch_group.as_ref().map(|launch| &launch.task_group.tasks);
            for task in launch.into_iter().chain(group).flatten() {
                let text = format!("Task launched with invalid offers: {fault}");
                let reason = Some(Reason::InvalidOffers);
                let status = self.status(&task.task_id.value, TaskState::TaskDropped, reason, &text);
                self.send_status(framework, v1::TaskStatus { agent_id: Some(task.agent_id.clone()), ..status });
            }
            if launch.is_none() && group.is_none() {
                self.operation_status(
                    framework,
                    operation,
                    &format!("Operation attempted with invalid offers: {fault}"),
                );
            }
        }
    }

    /// OPERATION_ERROR, if the operation has an id.
    fn operation_status(&mut self, framework: &str, operation: &v1::offer::Operation, text: &str) {
        let Some(id) = &operation.id else { return };
        let status = v1::OperationStatus {
            operation_id: Some(id.clone()),
            state: OperationState::OperationError.into(),
            message: Some(text.into()),
            ..Default::default()
        };
        self.send_operation_status(framework, status);
    }

    fn send_operation_status(&mut self, framework: &str, status: v1::OperationStatus) {
        let event = Event {
            r#type: Some(event::Type::UpdateOperationStatus.into()),
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..Default::default()
        };
        self.send(framework, &event);
    }

    /// No operation is known here, so every question is answered with UNKNOWN.
    fn reconcile_operations(&mut self, framework: &str, question: call::ReconcileOperations) {
        for operation in question.operations {
            let registered = |id: &v1::AgentId| self.agents.contains_key(&id.value);
            let text = match operation.agent_id.as_ref().map(registered) {
                Some(true) => "Reconciliation: Operation is unknown",
                Some(false) => "Reconciliation: Both operation and agent are unknown",
                None => "Reconciliation: Operation is unknown and no 'agent_id' was provided",
            };
            let status = v1::OperationStatus {
                operation_id: Some(operation.operation_id),
                state: OperationState::OperationUnknown.into(),
                message: Some(text.into()),
                agent_id: operation.agent_id,
                ..Default::default()
            };
            self.send_operation_status(framework, status);
        }
    }

    /// What is wrong with a group of tasks: it is launched as a whole or not at all.
    fn group_fault(
        &self,
        framework: &str,
        launch: &v1::offer::operation::LaunchGroup,
        agent: &str,
        role: &str,
        left: &Pool,
    ) -> Option<String> {
        let executor = &launch.executor;
        if executor.framework_id.is_none() {
            return Some("'ExecutorInfo.framework_id' must be set".into());
        }
        if !executor.resources.iter().any(|resource| resource.name == "disk") {
            return Some(format!("Executor '{}' uses no disk", executor.executor_id.value));
        }
        if let Some(fault) = self.executor_fault(framework, agent, role, executor) {
            return Some(fault);
        }
        let mut left = left.clone();
        let mut ids = BTreeSet::new();
        for task in &launch.task_group.tasks {
            if !ids.insert(&task.task_id.value) {
                return Some(format!("Task has duplicate ID: {}", task.task_id.value));
            }
            if let Some(fault) = self.task_fault(framework, task, agent, role, &left, true) {
                return Some(fault);
            }
            left.subtract(&Pool::of(&task.resources).unwrap_or_default());
        }
        let executor = Pool::of(&executor.resources);
        executor
            .is_none_or(|executor| !left.contains(&executor))
            .then(|| "Total resources required by task group and its executor are more than available".into())
    }

    /// What is wrong with a task.
    fn task_fault(
        &self,
        framework: &str,
        task: &v1::TaskInfo,
        agent: &str,
        role: &str,
        left: &Pool,
        group: bool,
    ) -> Option<String> {
        let id = &task.task_id.value;
        if let Some(why) = self.forbidden(task) {
            return Some(why);
        }
        if id.is_empty() {
            return Some("ID must not be empty".into());
        }
        if id.len() > 255 {
            return Some("ID must not be greater than 255 characters".into());
        }
        if id == "." || id == ".." || id.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
            return Some(format!("'{id}' contains invalid characters"));
        }
        // One that has ended counts until its last update is acknowledged.
        if self.tasks.contains_key(&(framework.to_owned(), id.clone())) {
            return Some(format!("Task has duplicate ID: {id}"));
        }
        if task.agent_id.value != agent {
            return Some(format!("Task uses invalid agent {} while agent {agent} is expected", task.agent_id.value));
        }
        match (&task.command, &task.executor) {
            (None, None) if !group => {
                return Some(
                    "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".into(),
                );
            }
            (Some(_), Some(_)) => {
                return Some(
                    "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".into(),
                );
            }
            (None, Some(executor)) if executor.command.is_none() => {
                return Some("'ExecutorInfo.command' must be set for 'CUSTOM' executor".into());
            }
            _ => {}
        }
        let allocated = |resource: &v1::Resource| {
            resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()).is_none_or(|mine| mine == role)
        };
        if !task.resources.iter().all(allocated) {
            return Some("Task uses resources allocated to another role".into());
        }
        let own = task.executor.as_ref();
        if let Some(fault) = own.and_then(|executor| self.executor_fault(framework, agent, role, executor)) {
            return Some(fault);
        }
        match Pool::of(&task.resources) {
            None => Some("A resource is invalid: malformed, or its scalar value <= 0".into()),
            Some(pool) if pool.is_empty() => Some("Task uses no resources".into()),
            Some(pool) if !left.contains(&pool) => {
                Some("Total resources required by task and its executor is more than available".into())
            }
            Some(_) => None,
        }
    }

    /// Why nobody may run this task.
    fn forbidden(&self, task: &v1::TaskInfo) -> Option<String> {
        let user = task.command.as_ref().and_then(|command| command.user.as_deref())?;
        (self.registry.forbidden.as_deref() == Some(user)).then(|| format!("Not authorized to launch as user '{user}'"))
    }

    /// Enters a task into the books.
    fn launch(&mut self, framework: &str, mut info: v1::TaskInfo, role: &str, left: &mut Pool) -> v1::TaskInfo {
        let resources = Pool::of(&info.resources).unwrap_or_default();
        left.subtract(&resources);
        for resource in info.resources.iter_mut().filter(|resource| resource.allocation_info.is_none()) {
            resource.allocation_info = Some(v1::resource::AllocationInfo { role: Some(role.into()) });
        }
        let agent = info.agent_id.value.clone();
        let staging = TaskState::TaskStaging;
        let task =
            Task { agent, resources, state: staging, latest: staging, uuid: None, container: None, healthy: None };
        self.tasks.insert((framework.into(), info.task_id.value.clone()), task);
        info
    }

    /// Launches a task that no scheduler has asked for, where that can be. It needs next to nothing.
    pub(crate) fn run_stranger(&mut self, agent: &str, framework: &str, id: &str) {
        let usable = self.agents.get(agent).is_some_and(|entry| entry.standing == Standing::Registered);
        let role = self.frameworks.get(framework).and_then(|framework| framework.roles().into_iter().next());
        let Some(role) = role.filter(|_| usable && !self.is_draining(agent)) else { return };
        let info = v1::TaskInfo {
            name: id.to_owned(),
            task_id: id.into(),
            agent_id: agent.into(),
            command: Some(v1::CommandInfo::new("sleep infinity").into()),
            ..Default::default()
        };
        let info = self.launch(framework, info, &role, &mut Pool::default());
        self.launch_by_agent(framework, info, None);
    }

    /// Sends a task to an agent, which runs it itself.
    fn launch_by_agent(&mut self, framework: &str, info: v1::TaskInfo, executor: Option<v1::ExecutorId>) {
        let Some(framework) = self.frameworks.get(framework).map(|framework| framework.info.clone()) else { return };
        self.out.push_back(Effect::ToAgent(
            info.agent_id.value.clone(),
            ToAgent::Launch { framework: Box::new(framework), info: Box::new(info), executor },
        ));
    }

    fn kill(&mut self, framework: &str, kill: call::Kill) {
        let key: TaskKey = (framework.into(), kill.task_id.value.clone());
        let Some(task) = self.tasks.get(&key).cloned() else {
            let task = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
            return self.reconcile(framework, call::Reconcile { tasks: vec![task] });
        };
        if kill.agent_id.as_ref().is_some_and(|agent| agent.value != task.agent) {
            return;
        }
        let Some(agent) = self.agents.get_mut(&task.agent) else { return };
        match agent.standing {
            Standing::Registered => {
                self.out.push_back(Effect::ToAgent(task.agent, ToAgent::Kill { task: key, policy: kill.kill_policy }));
            }
            Standing::Unreachable { .. } => {
                let task = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
                self.reconcile(framework, call::Reconcile { tasks: vec![task] });
            }
            Standing::Disconnected | Standing::Recovered => agent.kills.push((key, kill.kill_policy)),
            Standing::Gone => {}
        }
    }

    fn acknowledge(&mut self, framework: &str, acknowledge: call::Acknowledge) {
        let key = (framework.to_owned(), acknowledge.task_id.value);
        let agent = acknowledge.agent_id.value;
        if self.agents.get(&agent).is_some_and(|entry| entry.standing == Standing::Registered) {
            let last = |task: &Task| is_terminal(task.state) && task.uuid.as_ref() == Some(&acknowledge.uuid);
            if self.tasks.get(&key).is_some_and(last) {
                self.tasks.remove(&key);
            }
            let acknowledge = ToAgent::Acknowledge { task: key, uuid: acknowledge.uuid };
            self.out.push_back(Effect::ToAgent(agent.clone(), acknowledge));
            self.check_drained(&agent);
        }
    }

    fn reconcile(&mut self, framework: &str, question: call::Reconcile) {
        let mut asked: Vec<(String, Option<String>)> = question
            .tasks
            .into_iter()
            .map(|task| (task.task_id.value, task.agent_id.map(|id| id.value).filter(|id| !id.is_empty())))
            .collect();
        if asked.is_empty() {
            // All that the master counts as present: not those of unreachable agents.
            let present = self.tasks.iter().filter(|(key, task)| {
                key.0 == framework
                    && self
                        .agents
                        .get(&task.agent)
                        .is_some_and(|agent| matches!(agent.standing, Standing::Registered | Standing::Disconnected))
            });
            asked = present.map(|(key, _)| (key.1.clone(), None)).collect();
        }
        for (task, agent) in asked {
            if let Some(status) = self.answer(framework, &task, agent) {
                self.send_status(framework, status);
            }
        }
    }

    /// The answer to one question, or silence.
    fn answer(&self, framework: &str, id: &str, agent: Option<String>) -> Option<v1::TaskStatus> {
        let key = (framework.to_owned(), id.to_owned());
        let task = self.tasks.get(&key);
        let standing = |agent: &str| self.agents.get(agent).map(|entry| entry.standing);
        let known = task.filter(|task| !matches!(standing(&task.agent), Some(Standing::Unreachable { .. })));
        // Of an unreachable task the master has forgotten even the agent: who doesn't name it hears UNKNOWN.
        let agent = known.map(|task| task.agent.clone()).or(agent);
        let (state, text) = match (known, agent.as_deref().map(standing)) {
            (Some(task), _) => (task.state, "Reconciliation: Latest task state"),
            (None, Some(Some(Standing::Recovered))) => return None,
            (None, None) if self.agents.values().any(|entry| entry.standing == Standing::Recovered) => return None,
            (None, Some(Some(Standing::Registered | Standing::Disconnected))) => {
                (TaskState::TaskGone, "Reconciliation: Task is unknown to the agent")
            }
            (None, Some(Some(Standing::Unreachable { .. }))) => {
                (TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")
            }
            (None, Some(Some(Standing::Gone))) => (TaskState::TaskGoneByOperator, "Reconciliation: Task is gone"),
            (None, Some(None) | None) => (TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
        };
        let mut status = self.status(id, state, Some(Reason::Reconciliation), text);
        if state == TaskState::TaskUnreachable {
            let since = match agent.as_deref().map(standing) {
                Some(Some(Standing::Unreachable { since })) => {
                    self.unix - (self.now.saturating_sub(since)).as_secs_f64()
                }
                _ => self.unix,
            };
            status.unreachable_time = Some(v1::TimeInfo { nanoseconds: (since * 1e9) as i64 });
        }
        status.agent_id = agent.map(|value| v1::AgentId { value });
        status.container_status = known.and_then(|task| task.container.clone());
        status.healthy = known.and_then(|task| task.healthy);
        Some(status)
    }
}
