//! The executor API: requests, their checks in the order of a real agent, and what comes of them.

use std::time::Duration;

use bytes::Bytes;
use mesos_proto::v1;
use v1::TaskState;
use v1::executor::{Call, Event, call, event};
use v1::task_status::{Reason, Source};

use super::{Executor, ExecutorKey, NO_ROUTES, RECOVERING_CONTAINERS, Stream, event_of};
use crate::agent::{Agent, Moment, ToCluster, is_terminal};
use crate::codec;
use crate::http::{Codec, ExchangeId, Request, Response};

impl Agent {
    /// A request to the executor API.
    pub(crate) fn executor_request(&mut self, exchange: ExchangeId, request: &Request, now: &mut Moment<'_>) {
        if !self.up {
            self.out.push_back(ToCluster::Cut(exchange));
            return;
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let response = match path {
            "/api/v1/executor" | "/slave(1)/api/v1/executor" => self.answer(exchange, request, now),
            _ => Err(Response::text(404, "404 Not Found.")),
        };
        if let Some(response) = response.unwrap_or_else(Some) {
            self.out.push_back(ToCluster::Respond(exchange, response));
        }
    }

    /// The answer; `None` if it is a stream that has begun.
    fn answer(
        &mut self,
        exchange: ExchangeId,
        request: &Request,
        now: &mut Moment<'_>,
    ) -> Result<Option<Response>, Response> {
        match self.executors.restarted.map(|at| now.at.saturating_sub(at)) {
            Some(age) if age < NO_ROUTES => return Err(Response::text(404, "404 Not Found.")),
            Some(age) if age < RECOVERING_CONTAINERS => {
                return Err(Response::text(503, "Agent has not finished recovery"));
            }
            _ => {}
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let owner = self.executors.known.iter().find(|(_, executor)| executor.token.as_deref() == token);
        let owner = owner.map(|(key, _)| key.clone());
        if self.executors.options.tokens && (token.is_none() || owner.is_none()) {
            let realm = "Bearer realm=\"mesos-agent-executor\"";
            return Err(Response::text(401, "").with("WWW-Authenticate", realm));
        }
        let call: Call = codec::call(request)?;
        let key = (call.framework_id.value.clone(), call.executor_id.value.clone());
        validate(&call).map_err(|why| Response::text(400, format!("Failed to validate executor::Call: {why}")))?;
        if self.executors.options.tokens && owner.as_ref() != Some(&key) {
            return Err(Response::text(403, ""));
        }
        if !self.executors.known.keys().any(|(framework, _)| *framework == key.0) {
            return Err(Response::text(400, "Framework cannot be found"));
        }
        let Some(executor) = self.executors.known.get(&key) else {
            return Err(Response::text(400, "Executor cannot be found"));
        };
        match call.r#type() {
            call::Type::Subscribe => {
                let Some(codec) = Codec::negotiate(request.header("accept")) else {
                    let text = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
                    return Err(Response::text(406, text));
                };
                self.subscribe(exchange, &key, codec, call.subscribe.unwrap_or_default(), now);
                return Ok(None);
            }
            call::Type::Heartbeat => return Ok(Some(Response::accepted())),
            call::Type::Unknown => return Err(Response::text(501, "")),
            call::Type::Update | call::Type::Message if self.executors.recovering.is_some() => {
                return Err(Response::text(503, "Agent has not finished recovery"));
            }
            call::Type::Update | call::Type::Message if !executor.subscribed => {
                return Err(Response::text(403, "Executor is not subscribed"));
            }
            call::Type::Update => self.update(&key, call.update.unwrap_or_default().status, now),
            call::Type::Message => {
                let data = call.message.unwrap_or_default().data;
                self.out.push_back(ToCluster::Message { executor: key, data });
            }
        }
        Ok(Some(Response::accepted()))
    }

    fn subscribe(
        &mut self,
        exchange: ExchangeId,
        key: &ExecutorKey,
        codec: Codec,
        subscribe: call::Subscribe,
        now: &mut Moment<'_>,
    ) {
        let head = Response { status: 200, headers: Vec::new(), body: None };
        self.out.push_back(ToCluster::Respond(exchange, head.with("Content-Type", codec.content_type())));
        let heartbeat = self.executors.options.heartbeat;
        let Some(executor) = self.executors.known.get_mut(key) else { return };
        // The newest wins.
        let next_heartbeat = heartbeat.map(|interval| now.at + interval);
        if let Some(old) = executor.stream.replace(Stream { exchange, codec, next_heartbeat }) {
            self.out.push_back(ToCluster::End(old.exchange));
        }
        // All that it was started for has been killed before it was there.
        let first = matches!(executor.doom, Some((_, Reason::ExecutorRegistrationTimeout)));
        let nothing_left = first && executor.queued.is_empty();
        if executor.ending || nothing_left {
            executor.ending = true;
            executor.stream = None;
            self.out.push_back(ToCluster::Stream(exchange, codec::record(codec, &event_of(event::Type::Shutdown))));
            self.out.push_back(ToCluster::End(exchange));
            return;
        }
        executor.subscribed = true;
        executor.doom = None;
        let event = subscribed(executor, &self.info);
        self.tell(key, &event);
        for update in subscribe.unacknowledged_updates {
            self.update(key, update.status, now);
        }
        // What the executor doesn't know, though it was sent, has never arrived.
        let queued = self.executors.known.get(key).into_iter().flat_map(|executor| &executor.queued);
        let queued: Vec<&String> = queued.flat_map(|launch| &launch.tasks).collect();
        let known = |task: &str| {
            subscribe.unacknowledged_tasks.iter().any(|info| info.task_id.value == task)
                || queued.iter().any(|queued| *queued == task)
        };
        let lost = self.tasks.iter().filter(|((framework, task), state)| {
            *framework == key.0
                && state.executor.as_ref().is_some_and(|id| id.value == key.1)
                && state.state == TaskState::TaskStaging
                && !known(task)
        });
        for task in lost.map(|(task, _)| task.clone()).collect::<Vec<_>>() {
            let text = "Task launched during agent restart";
            self.report(&task, TaskState::TaskDropped, Source::Agent, Some(Reason::AgentRestarted), text, now);
        }
        self.deliver(key);
    }

    /// An update, by itself or with SUBSCRIBE.
    fn update(&mut self, key: &ExecutorKey, mut status: v1::TaskStatus, now: &mut Moment<'_>) {
        if status.agent_id.as_ref().is_some_and(|agent| agent.value != self.id) {
            return;
        }
        status.agent_id = Some(v1::AgentId { value: self.id.clone() });
        status.executor_id = Some(v1::ExecutorId { value: key.1.clone() });
        status.timestamp = status.timestamp.or(Some(now.unix));
        let uuid = status.uuid.clone().unwrap_or_default();
        let task_id = status.task_id.clone();
        let Some(executor) = self.executors.known.get_mut(key) else { return };
        let repeated = !executor.taken.insert(uuid.clone());
        let container = executor.container.clone();
        let task = (key.0.clone(), task_id.value.clone());
        let reason = status.reason.and_then(|reason| Reason::try_from(reason).ok());
        let (state, reason) = self.drained(&task, status.state(), reason);
        (status.state, status.reason) = (state.into(), reason.map(Into::into));
        match self.tasks.get_mut(&task) {
            Some(known) if repeated || !is_terminal(known.state) => {
                if !repeated {
                    let container = v1::ContainerId { value: container, ..Default::default() };
                    known.container.container_id = Some(container);
                    status.container_status = Some(known.container.clone());
                    self.take_status(&task, status, now.at);
                }
                if let Some(delay) = self.executors.acknowledged_after {
                    let acknowledged = event::Acknowledged { task_id, uuid };
                    self.acknowledge_later(now.at + delay, key, acknowledged, now.at);
                }
            }
            // A repeated update of a task that is forgotten, too: nobody waits for it any more.
            _ if repeated => {}
            // Never launched, or after its end: passed on, and not acknowledged.
            _ => {
                let latest = status.state();
                self.out.push_back(ToCluster::Update { framework: task.0, status: Box::new(status), latest });
            }
        }
    }

    fn acknowledge_later(&mut self, at: Duration, key: &ExecutorKey, acknowledged: event::Acknowledged, now: Duration) {
        if at <= now {
            self.tell(key, &Event { acknowledged: Some(acknowledged), ..event_of(event::Type::Acknowledged) });
        } else {
            self.executors.acknowledgements.push((at, key.clone(), acknowledged));
        }
    }
}

fn subscribed(executor: &Executor, agent: &v1::AgentInfo) -> Event {
    let subscribed = event::Subscribed {
        executor_info: executor.info.clone(),
        framework_info: executor.framework.clone(),
        agent_info: agent.clone(),
        container_id: Some(v1::ContainerId { value: executor.container.clone(), ..Default::default() }),
    };
    Event { subscribed: Some(Box::new(subscribed)), ..event_of(event::Type::Subscribed) }
}

/// What makes a call malformed.
fn validate(call: &Call) -> Result<(), String> {
    let Some(kind) = call.r#type.and_then(|kind| call::Type::try_from(kind).ok()) else {
        return Err("Expecting 'type' to be present".into());
    };
    let there = |name: &str, there: bool| if there { Ok(()) } else { Err(format!("Expecting '{name}' to be present")) };
    match kind {
        call::Type::Subscribe => {
            there("subscribe", call.subscribe.is_some())?;
            let updates = call.subscribe.iter().flat_map(|subscribe| &subscribe.unacknowledged_updates);
            updates.into_iter().try_for_each(|update| validate_status(&update.status, &call.executor_id))
        }
        call::Type::Update => match &call.update {
            None => there("update", false),
            Some(update) => validate_status(&update.status, &call.executor_id),
        },
        call::Type::Message => there("message", call.message.is_some()),
        call::Type::Heartbeat | call::Type::Unknown => Ok(()),
    }
}

fn validate_status(status: &v1::TaskStatus, executor: &v1::ExecutorId) -> Result<(), String> {
    let uuid = status.uuid.as_ref().map(Bytes::as_ref);
    match uuid {
        None => return Err("Expecting 'uuid' to be present".into()),
        Some(uuid) if uuid.len() != 16 || !matches!(uuid.get(6).map(|byte| byte >> 4), Some(1..=5)) => {
            return Err("Not a valid UUID".into());
        }
        Some(_) => {}
    }
    if status.executor_id.as_ref().is_some_and(|id| id != executor) {
        return Err("ExecutorID in Call does not match ExecutorID in TaskStatus".into());
    }
    if status.source() != Source::Executor {
        return Err("Received Call from executor with a source other than SOURCE_EXECUTOR".into());
    }
    if status.state() == TaskState::TaskStaging {
        return Err("Received TASK_STAGING from executor which is not allowed".into());
    }
    Ok(())
}
