//! The scheduler of these executors: a plain one, which notes what reaches it.

use bytes::Bytes;
use mesos_proto::v1;
use prost::Message as _;
use v1::scheduler::{Call, call, event};
use v1::task_status::Source;

use super::{Step, Task, World, violation};
use crate::agent::is_terminal;
use crate::{ExchangeId, Request};

impl World {
    pub(super) fn of(&self, kind: call::Type) -> Call {
        let id = Some(self.framework.as_str()).filter(|id| !id.is_empty());
        Call { r#type: Some(kind.into()), framework_id: id.map(Into::into), ..Default::default() }
    }

    /// A call of the scheduler, which is taken at once.
    pub(super) fn call(&mut self, call: Call) -> Step {
        self.next += 1;
        let mut headers: Vec<(String, String)> =
            ["Content-Type", "Accept"].map(|name| (name.to_owned(), "application/x-protobuf".to_owned())).into();
        if call.r#type() == call::Type::Subscribe {
            self.stream = self.next;
        } else {
            headers.push(("Mesos-Stream-Id".to_owned(), self.stream_id.clone()));
        }
        let request = Request {
            method: "POST".to_owned(),
            path: "/api/v1/scheduler".to_owned(),
            headers,
            body: call.encode_to_vec().into(),
        };
        self.cluster.request(0, ExchangeId(self.next), &request);
        Ok(())
    }

    pub(super) fn subscribe(&mut self) -> Step {
        let capabilities = [
            v1::framework_info::capability::Type::TaskKillingState,
            v1::framework_info::capability::Type::PartitionAware,
        ];
        let framework_info = v1::FrameworkInfo {
            user: "root".into(),
            name: "executors".into(),
            checkpoint: Some(true),
            failover_timeout: Some(1e6),
            capabilities: capabilities.map(|kind| v1::framework_info::Capability { r#type: Some(kind.into()) }).into(),
            ..Default::default()
        };
        let subscribe = call::Subscribe { framework_info, ..Default::default() };
        self.call(Call { subscribe: Some(subscribe), ..self.of(call::Type::Subscribe) })?;
        self.drain()
    }

    pub(super) fn kill(&mut self, id: &str) -> Step {
        self.tasks.entry(id.to_owned()).and_modify(|task| task.killed = true);
        let kill = call::Kill { task_id: id.into(), ..Default::default() };
        self.call(Call { kill: Some(kill), ..self.of(call::Type::Kill) })
    }

    /// Uses each offer for a few tasks, of one of two executors, some of them as a group.
    pub(super) fn launch_all(&mut self) -> Step {
        for offer in std::mem::take(&mut self.offers) {
            let name = format!("e{}", self.rng.below(2));
            let executor = v1::ExecutorInfo {
                framework_id: Some(self.framework.as_str().into()),
                resources: vec![
                    v1::Resource::cpus(0.01),
                    v1::Resource::mem(1.0),
                    v1::Resource { name: "disk".into(), ..v1::Resource::mem(1.0) },
                ],
                ..v1::ExecutorInfo::custom(name.as_str(), v1::CommandInfo::new("executor"))
            };
            let tasks: Vec<v1::TaskInfo> = (0..=self.rng.below(3))
                .map(|_| {
                    let id = format!("t{}", self.tasks.len());
                    let place = (offer.agent_id.value.clone(), name.clone());
                    self.tasks.insert(id.clone(), Task { place, number: self.next, ..Task::default() });
                    v1::TaskInfo::new(id.as_str(), id.as_str(), offer.agent_id.clone())
                        .with_resources([v1::Resource::cpus(0.05), v1::Resource::mem(8.0)])
                })
                .collect();
            // Before an executor that is to start is there.
            let regretted = self.faulty && self.rng.chance(0.2);
            let ids: Vec<String> = tasks.iter().map(|task| task.task_id.value.clone()).collect();
            let operation = if self.rng.chance(0.3) {
                let group = v1::offer::operation::LaunchGroup { executor, task_group: v1::TaskGroupInfo { tasks } };
                v1::offer::Operation {
                    r#type: Some(v1::offer::operation::Type::LaunchGroup.into()),
                    launch_group: Some(Box::new(group)),
                    ..Default::default()
                }
            } else {
                v1::offer::Operation::launch(tasks.into_iter().map(|task| task.with_executor(executor.clone())))
            };
            let accept = call::Accept {
                offer_ids: vec![offer.id],
                operations: vec![operation],
                filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
            };
            self.call(Call { accept: Some(accept), ..self.of(call::Type::Accept) })?;
            if regretted {
                self.fault("killed at once");
                ids.iter().try_for_each(|id| self.kill(id))?;
            }
        }
        Ok(())
    }

    pub(super) fn on_event(&mut self, record: Bytes) -> Step {
        let Ok(event) = v1::scheduler::Event::decode(record) else {
            return violation("E0", "an event that can't be read".to_owned());
        };
        match event.r#type() {
            event::Type::Subscribed => {
                self.framework = event.subscribed.map(|e| e.framework_id.value).unwrap_or_default();
            }
            event::Type::Offers => self.offers.extend(event.offers.into_iter().flat_map(|offers| offers.offers)),
            event::Type::Rescind => {
                let id = event.rescind.map(|rescind| rescind.offer_id);
                self.offers.retain(|offer| Some(&offer.id) != id.as_ref());
            }
            event::Type::Update => {
                if let Some(update) = event.update {
                    return self.on_update(update.status);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_update(&mut self, status: v1::TaskStatus) -> Step {
        let (id, state, source) = (status.task_id.value.clone(), status.state(), status.source());
        if let Some(uuid) = status.uuid.clone() {
            let acknowledge = call::Acknowledge {
                agent_id: status.agent_id.clone().unwrap_or_default(),
                task_id: status.task_id,
                uuid: uuid.clone(),
            };
            self.call(Call { acknowledge: Some(acknowledge), ..self.of(call::Type::Acknowledge) })?;
            let ending = self.ending;
            let Some(task) = self.tasks.get_mut(&id) else {
                return violation("E2", format!("an update of {id}, which was never launched"));
            };
            if task.uuids.contains(&uuid) {
                return Ok(());
            }
            task.uuids.push(uuid);
            if task.has_ended() {
                return violation("E3", format!("{id} ends twice: {state:?} after {task:?}"));
            }
            match source {
                Source::Executor => {
                    task.seen.push(state);
                    if !task.given.starts_with(&task.seen) {
                        return violation("E2", format!("{id}: {:?} was said, {:?} arrives", task.given, task.seen));
                    }
                }
                // It never arrived; or it did, and the executor's end took it along.
                _ if !task.launched || ending => task.by_agent = Some(state),
                _ => {
                    return violation(
                        "E1",
                        format!("{id} is {state:?} by its agent, but the executor has it: {task:?}"),
                    );
                }
            }
        } else if is_terminal(state) && !self.ending {
            // The master's answer for a task that it hasn't: refused at the launch.
            if let Some(task) = self.tasks.get_mut(&id).filter(|task| !task.launched) {
                task.by_agent = Some(state);
            } else {
                return violation("E3", format!("{id} is {state:?} by the master: {status:?}"));
            }
        }
        Ok(())
    }
}
