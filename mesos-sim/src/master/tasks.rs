//! What the master hears of its agents, and tells of them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mesos_proto::v1;
use v1::TaskState;
use v1::framework_info::capability::Type as Capability;
use v1::scheduler::{Event, event};
use v1::task_status::{Reason, Source};

use super::registry::Lost;
use super::{AgentEntry, Effect, Framework, Master, Standing, Task, ToAgent};
use crate::agent::{Agent, is_terminal};
use crate::executor::ExecutorKey;
use crate::resources::Pool;

impl Master {
    /// A status of the master's own making: without uuid, so never repeated.
    pub(super) fn status(&self, task: &str, state: TaskState, reason: Option<Reason>, text: &str) -> v1::TaskStatus {
        v1::TaskStatus {
            task_id: v1::TaskId { value: task.into() },
            state: state.into(),
            source: Some(Source::Master.into()),
            reason: reason.map(Into::into),
            message: Some(text.into()),
            timestamp: Some(self.unix),
            ..Default::default()
        }
    }

    /// Sends an update; states that the framework doesn't understand become TASK_LOST.
    pub(super) fn send_status(&mut self, framework: &str, mut status: v1::TaskStatus) {
        let aware = self.frameworks.get(framework).is_some_and(|framework| framework.has(Capability::PartitionAware));
        if !aware
            && matches!(
                status.state(),
                TaskState::TaskDropped
                    | TaskState::TaskUnreachable
                    | TaskState::TaskGone
                    | TaskState::TaskGoneByOperator
                    | TaskState::TaskUnknown
            )
        {
            status.set_state(TaskState::TaskLost);
        }
        let event = Event {
            r#type: Some(event::Type::Update.into()),
            update: Some(event::Update { status }),
            ..Default::default()
        };
        self.send(framework, &event);
    }

    /// An agent registers, or comes back with what runs on it.
    pub(crate) fn register(&mut self, agent: &Agent) {
        if self.is_gone(&agent.id) {
            return;
        }
        let executors = agent.executors.described().map(|(key, executor)| (key.clone(), executor.clone())).collect();
        let back = AgentEntry { executors, ..entry(&agent.info, &agent.total, Standing::Registered) };
        let before = self.agents.insert(agent.id.clone(), back);
        self.list(&agent.id, None);
        let unreachable = matches!(before.as_ref().map(|entry| entry.standing), Some(Standing::Unreachable { .. }));
        for (key, task) in &agent.tasks {
            if self.removed.contains(&key.0) {
                self.out.push_back(Effect::ToAgent(agent.id.clone(), ToAgent::ShutDown(key.0.clone())));
                continue;
            }
            if let (Some(info), None) = (agent.frameworks.get(&key.0), self.frameworks.get(&key.0)) {
                self.frameworks.insert(key.0.clone(), Framework::recovered(info.clone()));
            }
            let known = Task {
                agent: agent.id.clone(),
                resources: task.resources.clone(),
                state: if unreachable { task.state } else { task.forwarded() },
                latest: task.state,
                uuid: task.unacknowledged(),
                container: task.container(),
                healthy: task.healthy,
            };
            let (state, container, healthy) = (known.state, known.container.clone(), known.healthy);
            self.tasks.insert(key.clone(), known);
            if unreachable {
                let text = "Unreachable agent re-reregistered";
                let mut status = self.status(&key.1, state, Some(Reason::AgentReregistered), text);
                status.container_status = container;
                status.healthy = healthy;
                status.agent_id = Some(v1::AgentId { value: agent.id.clone() });
                self.send_status(&key.0, status);
            }
        }
        // What the master knew and the agent doesn't is gone.
        let lost = self.tasks.iter().filter(|(key, task)| task.agent == agent.id && !agent.tasks.contains_key(*key));
        let lost: Vec<_> = lost.map(|(key, task)| (key.clone(), is_terminal(task.state))).collect();
        for (key, ended) in lost {
            self.tasks.remove(&key);
            if !ended {
                let mut status = self.status(
                    &key.1,
                    TaskState::TaskGone,
                    Some(Reason::AgentReregistered),
                    "Task is unknown to the agent",
                );
                status.agent_id = Some(v1::AgentId { value: agent.id.clone() });
                self.send_status(&key.0, status);
            }
        }
        for (task, policy) in before.map(|entry| entry.kills).unwrap_or_default() {
            self.out.push_back(Effect::ToAgent(agent.id.clone(), ToAgent::Kill { task, policy }));
        }
        match self.registry.draining.get(&agent.id) {
            Some(drain) => {
                let drain = ToAgent::Drain(drain.clone());
                self.out.push_back(Effect::ToAgent(agent.id.clone(), drain));
            }
            // It may have been reactivated while it was away.
            None => self.out.push_back(Effect::ToAgent(agent.id.clone(), ToAgent::Reactivate)),
        }
        self.check_drained(&agent.id);
        self.next_allocation = self.next_allocation.min(self.now + Duration::from_millis(10));
    }

    /// An agent's connection broke: its offers go. Its tasks stay, but for those of frameworks without checkpoints.
    pub(crate) fn disconnected(&mut self, agent: &str) {
        let Some(entry) = self.agents.get_mut(agent).filter(|entry| entry.standing == Standing::Registered) else {
            return;
        };
        entry.standing = Standing::Disconnected;
        let text = format!("Agent {} disconnected", entry.info.hostname);
        self.rescind(|offer| offer.agent == agent);
        let keeps = |id: &str| self.frameworks.get(id).is_some_and(|framework| framework.info.checkpoint());
        let lost = self.tasks.iter().filter(|(key, task)| task.agent == agent && !keeps(&key.0));
        let lost: Vec<_> = lost.map(|(key, task)| (key.clone(), is_terminal(task.latest))).collect();
        for (key, ended) in lost {
            self.tasks.remove(&key);
            if !ended {
                // Not a state of its own for frameworks that are aware of partitions, either.
                let mut status = self.status(&key.1, TaskState::TaskLost, Some(Reason::AgentDisconnected), &text);
                status.agent_id = Some(v1::AgentId { value: agent.into() });
                self.send_status(&key.0, status);
            }
        }
    }

    /// An agent hasn't answered for too long.
    pub(crate) fn unreachable(&mut self, agent: &str) {
        let Some(entry) = self.agents.get(agent) else { return };
        if matches!(entry.standing, Standing::Registered | Standing::Disconnected | Standing::Recovered) {
            let text = "health check timed out";
            let standing = Standing::Unreachable { since: self.now };
            self.lose(agent, standing, TaskState::TaskUnreachable, Reason::AgentRemoved, text);
            self.list(agent, Some(Lost::Unreachable));
        }
    }

    /// An operator says that an agent will never come back.
    pub(crate) fn mark_gone(&mut self, agent: &str) {
        let (state, reason) = (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator);
        self.lose(agent, Standing::Gone, state, reason, "Agent has been marked gone");
        self.tasks.retain(|_, task| task.agent != agent);
        self.registry.draining.remove(agent);
        self.list(agent, Some(Lost::Gone));
    }

    /// An agent and its tasks are out of reach, or gone.
    pub(super) fn lose(&mut self, agent: &str, standing: Standing, state: TaskState, reason: Reason, text: &str) {
        let Some(entry) = self.agents.get_mut(agent) else { return };
        entry.standing = standing;
        entry.executors.clear();
        self.rescind(|offer| offer.agent == agent);
        let unix = self.unix;
        let mut lost = Vec::new();
        for (key, _) in self.tasks.iter().filter(|(_, task)| task.agent == agent && !is_terminal(task.state)) {
            lost.push(key.clone());
        }
        for key in lost {
            let mut status = self.status(&key.1, state, Some(reason), text);
            status.agent_id = Some(v1::AgentId { value: agent.into() });
            if state == TaskState::TaskUnreachable {
                status.unreachable_time = Some(v1::TimeInfo { nanoseconds: (unix * 1e9) as i64 });
            }
            self.send_status(&key.0, status);
        }
        let event = Event {
            r#type: Some(event::Type::Failure.into()),
            failure: Some(event::Failure { agent_id: Some(v1::AgentId { value: agent.into() }), ..Default::default() }),
            ..Default::default()
        };
        for framework in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.send(&framework, &event);
        }
    }

    /// An executor has ended.
    pub(crate) fn exited(&mut self, agent: &str, framework: &str, executor: v1::ExecutorId, status: Option<i32>) {
        if let Some(entry) = self.agents.get_mut(agent) {
            entry.executors.remove(&(framework.to_owned(), executor.value.clone()));
        }
        let failure =
            event::Failure { agent_id: Some(v1::AgentId { value: agent.into() }), executor_id: Some(executor), status };
        let event = Event { r#type: Some(event::Type::Failure.into()), failure: Some(failure), ..Default::default() };
        self.send(framework, &event);
    }

    /// Bytes from an executor.
    pub(crate) fn executor_message(&mut self, agent: &str, (framework, executor): &ExecutorKey, data: Bytes) {
        let message = event::Message {
            agent_id: v1::AgentId { value: agent.into() },
            executor_id: v1::ExecutorId { value: executor.clone() },
            data,
        };
        let event = Event { r#type: Some(event::Type::Message.into()), message: Some(message), ..Default::default() };
        self.send(framework, &event);
    }

    /// An update from an agent. Agents that aren't registered now aren't heard; they try again.
    pub(crate) fn forward(&mut self, agent: &str, framework: &str, status: v1::TaskStatus, latest: TaskState) {
        if self.agents.get(agent).is_none_or(|entry| entry.standing != Standing::Registered) {
            return;
        }
        let key = (framework.to_owned(), status.task_id.value.clone());
        if let Some(task) = self.tasks.get_mut(&key) {
            (task.state, task.latest, task.uuid) = (status.state(), latest, status.uuid.clone());
            (task.container, task.healthy) = (status.container_status.clone(), status.healthy);
        }
        self.send_status(framework, status);
    }
}

pub(super) fn entry(info: &v1::AgentInfo, total: &Pool, standing: Standing) -> AgentEntry {
    AgentEntry { info: info.clone(), total: total.clone(), standing, kills: Vec::new(), executors: BTreeMap::new() }
}
