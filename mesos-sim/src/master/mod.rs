//! A simulated master: what it knows, and the way of a request through its checks.

mod calls;
mod executors;
mod offers;
mod registry;
mod subscribe;
mod tasks;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use mesos_proto::v1;
use v1::framework_info::capability::Type as Capability;
use v1::scheduler::{Call, Event, call, event};

use crate::agent::TaskKey;
use crate::codec;
use crate::executor::ExecutorKey;
use crate::http::{Codec, ExchangeId, Request, Response};
use crate::resources::Pool;
use crate::rng::Rng;
use crate::trouble::Drain;
pub(crate) use registry::Registry;
use upkeep::{Inverse, InverseFilter};

/// A master remembers so many removed frameworks.
const REMEMBERED: usize = 50;

/// What a master wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    Respond(ExchangeId, Response),
    Stream(ExchangeId, Bytes),
    End(ExchangeId),
    ToAgent(String, ToAgent),
    /// This agent has been marked gone, since it is drained.
    Gone(String),
    /// The process has aborted.
    Died(&'static str),
}

/// What a master tells an agent.
#[derive(Debug)]
pub(crate) enum ToAgent {
    Launch {
        framework: Box<v1::FrameworkInfo>,
        info: Box<v1::TaskInfo>,
        /// Of a task group.
        executor: Option<v1::ExecutorId>,
    },
    /// Tasks for an executor that speaks the executor API.
    LaunchByExecutor {
        framework: Box<v1::FrameworkInfo>,
        executor: Box<v1::ExecutorInfo>,
        tasks: Vec<v1::TaskInfo>,
        group: bool,
    },
    MessageToExecutor {
        executor: ExecutorKey,
        data: Bytes,
    },
    ShutExecutorDown(ExecutorKey),
    Kill {
        task: TaskKey,
        policy: Option<v1::KillPolicy>,
    },
    Acknowledge {
        task: TaskKey,
        uuid: Bytes,
    },
    /// Send the heads of this framework's update streams again.
    Resend(String),
    ShutDown(String),
    Drain(Drain),
    Reactivate,
}

/// The leading master.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) id: String,
    /// `host:port`.
    authority: String,
    settings: Settings,
    pub(crate) frameworks: BTreeMap<String, Framework>,
    removed: VecDeque<String>,
    agents: BTreeMap<String, AgentEntry>,
    tasks: BTreeMap<TaskKey, Task>,
    offers: BTreeMap<String, Offer>,
    inverse: BTreeMap<String, Inverse>,
    inverse_filters: Vec<InverseFilter>,
    pub(crate) registry: Registry,
    next_framework: u32,
    next_offer: u64,
    next_allocation: Duration,
    now: Duration,
    unix: f64,
    pub(crate) out: VecDeque<Effect>,
}

/// What doesn't change while a master lives.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) allocation_interval: Duration,
    pub(crate) heartbeat_interval: Duration,
}

#[derive(Debug)]
pub(crate) struct Framework {
    info: v1::FrameworkInfo,
    stream: Option<Stream>,
    suppressed: BTreeSet<String>,
    filters: Vec<Filter>,
    disconnected_at: Option<Duration>,
}

#[derive(Debug)]
struct Stream {
    exchange: ExchangeId,
    id: String,
    codec: Codec,
    next_heartbeat: Duration,
}

#[derive(Debug)]
struct Filter {
    agent: String,
    role: String,
    refused: Pool,
    until: Duration,
}

#[derive(Debug)]
struct AgentEntry {
    info: v1::AgentInfo,
    total: Pool,
    standing: Standing,
    /// KILLs that wait for the agent's return.
    kills: Vec<(TaskKey, Option<v1::KillPolicy>)>,
    /// How the executors were described that speak the executor API and are there.
    executors: BTreeMap<ExecutorKey, v1::ExecutorInfo>,
}

/// What the master thinks of an agent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// In the registry, not back since the master started.
    Recovered,
    Registered,
    /// Registered, but its connection broke.
    Disconnected,
    Unreachable {
        since: Duration,
    },
    Gone,
}

#[derive(Clone, Debug)]
struct Task {
    agent: String,
    resources: Pool,
    /// The last status that was forwarded to the framework.
    state: v1::TaskState,
    /// How far the task had come when that was sent: a task that has ended holds no resources, even while earlier
    /// updates wait for their acknowledgement.
    latest: v1::TaskState,
    /// The uuid of the last forwarded update.
    uuid: Option<Bytes>,
    /// Where it runs, as the last forwarded update said.
    container: Option<v1::ContainerStatus>,
    /// What its health check said, as the last forwarded update said.
    healthy: Option<bool>,
}

#[derive(Debug)]
struct Offer {
    framework: String,
    role: String,
    agent: String,
    resources: Pool,
}

impl Framework {
    /// One that a new master knows from an agent only: nothing ends it before it subscribes.
    const fn recovered(info: v1::FrameworkInfo) -> Self {
        Self { info, stream: None, suppressed: BTreeSet::new(), filters: Vec::new(), disconnected_at: None }
    }

    fn has(&self, capability: Capability) -> bool {
        self.info.capabilities.iter().any(|item| item.r#type() == capability)
    }

    /// The roles it is subscribed to.
    fn roles(&self) -> Vec<String> {
        if self.has(Capability::MultiRole) {
            self.info.roles.clone()
        } else {
            vec![self.info.role.clone().unwrap_or_else(|| "*".into())]
        }
    }
}

impl Master {
    pub(crate) fn new(authority: String, settings: Settings, rng: &mut Rng, now: Duration, unix: f64) -> Self {
        Self {
            id: rng.uuid_text(),
            authority,
            next_allocation: now + settings.allocation_interval,
            settings,
            frameworks: BTreeMap::new(),
            removed: VecDeque::new(),
            agents: BTreeMap::new(),
            tasks: BTreeMap::new(),
            offers: BTreeMap::new(),
            inverse: BTreeMap::new(),
            inverse_filters: Vec::new(),
            registry: Registry::default(),
            next_framework: 0,
            next_offer: 0,
            now,
            unix,
            out: VecDeque::new(),
        }
    }

    /// The time goes on.
    pub(crate) fn at(&mut self, now: Duration, unix: f64) {
        (self.now, self.unix) = (now, unix);
    }

    fn respond(&mut self, exchange: ExchangeId, response: Response) {
        self.out.push_back(Effect::Respond(exchange, response));
    }

    /// A request to the scheduler API.
    ///
    /// `principal` is who calls, if credentials are wanted.
    pub(crate) fn scheduler(
        &mut self,
        exchange: ExchangeId,
        request: &Request,
        principal: Option<String>,
        rng: &mut Rng,
    ) {
        match Self::checked(request) {
            Err(response) => self.respond(exchange, response),
            Ok(call) => self.call(exchange, request, call, principal, rng),
        }
    }

    /// The checks before a call is carried out.
    fn checked(request: &Request) -> Result<Call, Response> {
        let call: Call = codec::call(request)?;
        validate(&call).map_err(|why| Response::text(400, format!("Failed to validate scheduler::Call: {why}")))?;
        Ok(call)
    }

    fn call(&mut self, exchange: ExchangeId, request: &Request, call: Call, principal: Option<String>, rng: &mut Rng) {
        if call.r#type() == call::Type::Subscribe {
            if request.header("mesos-stream-id").is_some() {
                let text = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
                return self.respond(exchange, Response::text(400, text));
            }
            let Some(accepted) = Codec::negotiate(request.header("accept")) else {
                let text = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
                return self.respond(exchange, Response::text(406, text));
            };
            return self.subscribe(exchange, call, accepted, principal, rng);
        }
        let id = call.framework_id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        let Some(framework) = self.frameworks.get(&id) else {
            return self.respond(exchange, Response::text(400, "Framework cannot be found"));
        };
        if call.r#type() == call::Type::Unknown {
            // The real master aborts here, whatever the stream id, and so does this one.
            self.out.push_back(Effect::Died("Check failed: call_types.contains(callType)"));
            return;
        }
        if principal.is_some() && principal != framework.info.principal {
            let text = "Authenticated principal does not match the framework's principal";
            return self.respond(exchange, Response::text(400, text));
        }
        let Some(stream) = &framework.stream else {
            return self.respond(exchange, Response::text(403, "Framework is not subscribed"));
        };
        match request.header("mesos-stream-id") {
            None => {
                let text = "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
                self.respond(exchange, Response::text(400, text));
            }
            Some(given) if given != stream.id => {
                let text = format!(
                    "The stream ID '{given}' included in this request didn't match the stream ID currently associated \
                     with framework ID {id}"
                );
                self.respond(exchange, Response::text(400, text));
            }
            Some(_) => {
                let response = self.perform(&id, call);
                self.respond(exchange, response);
            }
        }
    }

    /// Sends an event, if the framework is there to hear it.
    fn send(&mut self, framework: &str, event: &Event) {
        if let Some(stream) = self.frameworks.get(framework).and_then(|framework| framework.stream.as_ref()) {
            self.out.push_back(Effect::Stream(stream.exchange, codec::record(stream.codec, event)));
        }
    }

    fn send_error(&mut self, exchange: ExchangeId, codec: Codec, message: &str) {
        let event = Event {
            r#type: Some(event::Type::Error.into()),
            error: Some(event::Error { message: message.into() }),
            ..Default::default()
        };
        self.out.push_back(Effect::Stream(exchange, codec::record(codec, &event)));
        self.out.push_back(Effect::End(exchange));
    }

    /// The connection of a stream is gone.
    pub(crate) fn closed(&mut self, exchange: ExchangeId) {
        let on_it = |framework: &Framework| framework.stream.as_ref().is_some_and(|stream| stream.exchange == exchange);
        let id = self.frameworks.iter().find(|(_, framework)| on_it(framework)).map(|(id, _)| id.clone());
        let Some(id) = id else { return };
        self.forget_offers(&id);
        self.forget_inverse(&id);
        let Some(framework) = self.frameworks.get_mut(&id) else { return };
        framework.stream = None;
        framework.filters.clear();
        framework.disconnected_at = Some(self.now);
        if framework.info.failover_timeout() <= 0.0 {
            self.remove_framework(&id);
        }
    }

    /// Ends a framework and all its tasks.
    pub(crate) fn remove_framework(&mut self, id: &str) {
        self.forget_offers(id);
        self.forget_inverse(id);
        let Some(framework) = self.frameworks.remove(id) else { return };
        if let Some(stream) = framework.stream {
            self.out.push_back(Effect::End(stream.exchange));
        }
        self.tasks.retain(|key, _| key.0 != id);
        for agent in self.agents.keys() {
            self.out.push_back(Effect::ToAgent(agent.clone(), ToAgent::ShutDown(id.into())));
        }
        self.removed.push_back(id.into());
        if self.removed.len() > REMEMBERED {
            self.removed.pop_front();
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let streams = self.frameworks.values();
        let heartbeats = streams.clone().filter_map(|framework| Some(framework.stream.as_ref()?.next_heartbeat));
        let failovers = streams.filter_map(Self::failover_at);
        heartbeats.chain(failovers).chain([self.next_allocation]).min()
    }

    fn failover_at(framework: &Framework) -> Option<Duration> {
        let timeout = framework.info.failover_timeout().clamp(0.0, 1e9);
        framework.disconnected_at.map(|at| at + Duration::from_secs_f64(timeout))
    }

    pub(crate) fn tick(&mut self) {
        let now = self.now;
        let late = |framework: &Framework| Self::failover_at(framework).is_some_and(|at| at <= now);
        let late: Vec<String> =
            self.frameworks.iter().filter(|(_, framework)| late(framework)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove_framework(&id);
        }
        let mut beats = Vec::new();
        for (id, framework) in &mut self.frameworks {
            if let Some(stream) = framework.stream.as_mut().filter(|stream| stream.next_heartbeat <= now) {
                stream.next_heartbeat = now + self.settings.heartbeat_interval;
                beats.push(id.clone());
            }
        }
        let heartbeat = Event { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() };
        for id in beats {
            self.send(&id, &heartbeat);
        }
        if self.next_allocation <= now {
            self.next_allocation = now + self.settings.allocation_interval;
            self.allocate();
        }
    }

    /// What the master says about itself.
    fn info(&self) -> v1::MasterInfo {
        let (host, port) = self.authority.rsplit_once(':').unwrap_or((&self.authority, "5050"));
        v1::MasterInfo {
            id: self.id.clone(),
            ip: 16_777_343,
            port: port.parse().unwrap_or(5050),
            pid: Some(format!("master@{}", self.authority)),
            hostname: Some(host.into()),
            version: Some("1.11.0".into()),
            address: Some(v1::Address {
                hostname: Some(host.into()),
                ip: Some(host.into()),
                port: port.parse().unwrap_or(5050),
            }),
            ..Default::default()
        }
    }
}

/// What makes a call malformed, whoever it comes from.
fn validate(call: &Call) -> Result<(), String> {
    let Some(kind) = call.r#type.and_then(|kind| call::Type::try_from(kind).ok()) else {
        return Err("Expecting 'type' to be present".into());
    };
    let there = |name: &str, there: bool| if there { Ok(()) } else { Err(format!("Expecting '{name}' to be present")) };
    if kind == call::Type::Subscribe {
        let Some(subscribe) = &call.subscribe else { return there("subscribe", false) };
        let inner = subscribe.framework_info.id.as_ref().map(|id| id.value.as_str()).filter(|id| !id.is_empty());
        let outer = call.framework_id.as_ref().map(|id| id.value.as_str()).filter(|id| !id.is_empty());
        return match inner == outer {
            true => Ok(()),
            false => Err("'framework_id' differs from 'subscribe.framework_info.id'".into()),
        };
    }
    there("framework_id", call.framework_id.is_some())?;
    match kind {
        call::Type::Accept => there("accept", call.accept.is_some()),
        call::Type::Decline => there("decline", call.decline.is_some()),
        call::Type::AcceptInverseOffers => there("accept_inverse_offers", call.accept_inverse_offers.is_some()),
        call::Type::DeclineInverseOffers => there("decline_inverse_offers", call.decline_inverse_offers.is_some()),
        call::Type::Kill => there("kill", call.kill.is_some()),
        call::Type::Shutdown => there("shutdown", call.shutdown.is_some()),
        call::Type::Reconcile => there("reconcile", call.reconcile.is_some()),
        call::Type::ReconcileOperations => there("reconcile_operations", call.reconcile_operations.is_some()),
        call::Type::Message => there("message", call.message.is_some()),
        call::Type::Request => there("request", call.request.is_some()),
        call::Type::Acknowledge => match &call.acknowledge {
            None => there("acknowledge", false),
            Some(acknowledge) => uuid(&acknowledge.uuid),
        },
        call::Type::AcknowledgeOperationStatus => match &call.acknowledge_operation_status {
            None => there("acknowledge_operation_status", false),
            Some(acknowledge) => {
                there("agent_id", acknowledge.agent_id.is_some())?;
                uuid(&acknowledge.uuid)
            }
        },
        call::Type::UpdateFramework => match &call.update_framework {
            None => there("update_framework", false),
            Some(update) if update.framework_info.id != call.framework_id => {
                Err("'framework_id' differs from 'update_framework.framework_info.id'".into())
            }
            Some(_) => Ok(()),
        },
        call::Type::Unknown
        | call::Type::Subscribe
        | call::Type::Teardown
        | call::Type::Revive
        | call::Type::Suppress => Ok(()),
    }
}

/// A UUID has 16 bytes and one of the versions 1 to 5.
fn uuid(bytes: &[u8]) -> Result<(), String> {
    let valid = bytes.len() == 16 && matches!(bytes.get(6).map(|byte| byte >> 4), Some(1..=5));
    if valid { Ok(()) } else { Err("Not a valid UUID".into()) }
}
