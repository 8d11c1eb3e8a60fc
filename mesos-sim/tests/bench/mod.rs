//! A cluster without sockets, with a clock of its own, and a few things that frameworks do.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_proto::v1;
use mesos_sim::{Cluster, ExchangeId, ExecutorName, Exit, Options, Output, Request, Response, TaskName};
use prost::Message as _;
use v1::TaskState::{self, *};
use v1::framework_info::capability::Type as Capability;
use v1::scheduler::{Call, Event, call, event};

/// A cluster, its clock, and all that came out of it.
pub struct Bench {
    pub cluster: Cluster,
    pub now: Duration,
    pub next: u64,
    pub responses: BTreeMap<u64, Response>,
    pub events: BTreeMap<u64, Vec<Event>>,
    pub ended: Vec<u64>,
    pub cut: Vec<u64>,
    pub started: Vec<TaskName>,
    pub stopped: Vec<TaskName>,
    pub executors: Vec<ExecutorName>,
}

/// A subscription.
#[derive(Clone)]
pub struct Framework {
    pub exchange: u64,
    pub id: v1::FrameworkId,
    pub stream: String,
}

pub fn info() -> v1::FrameworkInfo {
    let capabilities = [
        Capability::PartitionAware,
        Capability::TaskKillingState,
        Capability::MultiRole,
        Capability::ReservationRefinement,
    ];
    v1::FrameworkInfo {
        user: "root".into(),
        name: "bench".into(),
        roles: vec!["r".into()],
        failover_timeout: Some(60.0),
        checkpoint: Some(true),
        capabilities: capabilities.map(|c| v1::framework_info::Capability { r#type: Some(c.into()) }).into(),
        ..Default::default()
    }
}

pub fn options() -> Options {
    Options::default().allocation_interval(Duration::from_millis(200)).launch_delay(Duration::ZERO)
}

impl Bench {
    pub fn new(options: Options) -> Self {
        let masters = (0..3).map(|n| format!("127.0.0.1:505{n}")).collect();
        Self {
            cluster: Cluster::new(options, masters, 1.7e9, 1).unwrap(),
            now: Duration::ZERO,
            next: 0,
            responses: BTreeMap::new(),
            events: BTreeMap::new(),
            ended: Vec::new(),
            cut: Vec::new(),
            started: Vec::new(),
            stopped: Vec::new(),
            executors: Vec::new(),
        }
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Respond(exchange, response) => {
                    assert!(self.responses.insert(exchange.0, response).is_none(), "one answer for each request");
                }
                Output::Stream(exchange, record) => {
                    let line = record.iter().position(|&byte| byte == b'\n').unwrap();
                    let event = mesos_proto::decode(record.slice(line + 1..)).unwrap();
                    self.events.entry(exchange.0).or_default().push(event);
                }
                Output::End(exchange) => self.ended.push(exchange.0),
                Output::Cut(exchange) => self.cut.push(exchange.0),
                Output::Start { name, .. } => {
                    self.started.push(name.clone());
                    self.cluster.started(&name);
                }
                Output::Stop { name, .. } => {
                    self.stopped.push(name.clone());
                    self.cluster.ended(&name, &Exit::Signal(15));
                }
                Output::StartExecutor { name, .. } => self.executors.push(name),
                _ => {}
            }
        }
    }

    /// Lets time pass, from deadline to deadline.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.cluster.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.cluster.advance(self.now);
            self.drain();
        }
        self.now = end;
        self.cluster.advance(end);
        self.drain();
    }

    pub fn post(&mut self, master: usize, headers: &[(&str, &str)], body: Vec<u8>) -> u64 {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let request = Request { method: "POST".into(), path: "/api/v1/scheduler".into(), headers, body: body.into() };
        self.next += 1;
        self.cluster.request(master, ExchangeId(self.next), &request);
        self.drain();
        self.next
    }

    pub fn subscribe(&mut self, info: v1::FrameworkInfo) -> u64 {
        let call = Call {
            framework_id: info.id.clone(),
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
            ..Default::default()
        };
        let headers = [("Content-Type", "application/x-protobuf"), ("Accept", "application/x-protobuf")];
        self.post(self.cluster.leader().unwrap_or_default(), &headers, call.encode_to_vec())
    }

    pub fn subscribed(&mut self, info: v1::FrameworkInfo) -> Framework {
        let exchange = self.subscribe(info);
        let stream = self.responses[&exchange].headers[0].1.clone();
        let event = &self.events[&exchange][0];
        let id = event.subscribed.as_ref().expect("SUBSCRIBED comes first").framework_id.clone();
        Framework { exchange, id, stream }
    }

    pub fn call(&mut self, framework: &Framework, call: Call) -> u16 {
        let call = Call { framework_id: Some(framework.id.clone()), ..call };
        let headers = [("Content-Type", "application/x-protobuf"), ("Mesos-Stream-Id", framework.stream.as_str())];
        let exchange = self.post(self.cluster.leader().unwrap_or_default(), &headers, call.encode_to_vec());
        self.responses[&exchange].status
    }

    pub fn take(&mut self, framework: &Framework) -> Vec<Event> {
        let mut events = self.events.remove(&framework.exchange).unwrap_or_default();
        events.retain(|event| event.r#type() != event::Type::Heartbeat);
        events
    }

    pub fn offers(&mut self, framework: &Framework) -> Vec<v1::Offer> {
        self.take(framework).into_iter().filter_map(|event| event.offers).flat_map(|offers| offers.offers).collect()
    }

    pub fn updates(&mut self, framework: &Framework) -> Vec<v1::TaskStatus> {
        self.take(framework).into_iter().filter_map(|event| event.update).map(|update| update.status).collect()
    }

    pub fn launch(&mut self, framework: &Framework, offers: &[&v1::Offer], task: v1::TaskInfo) -> u16 {
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: vec![task] }),
            ..Default::default()
        };
        let accept = call::Accept {
            offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
            operations: vec![operation],
            filters: Some(v1::Filters { refuse_seconds: Some(3600.0) }),
        };
        self.call(
            framework,
            Call { r#type: Some(call::Type::Accept.into()), accept: Some(accept), ..Default::default() },
        )
    }

    pub fn acknowledge(&mut self, framework: &Framework, status: &v1::TaskStatus) -> u16 {
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        let kind = Some(call::Type::Acknowledge.into());
        self.call(framework, Call { r#type: kind, acknowledge: Some(acknowledge), ..Default::default() })
    }

    pub fn kill(&mut self, framework: &Framework, id: &str) {
        let kill = Some(call::Kill { task_id: v1::TaskId { value: id.into() }, ..Default::default() });
        self.call(framework, Call { kill, ..kind(call::Type::Kill) });
    }

    pub fn reconcile(&mut self, framework: &Framework, tasks: &[(&str, Option<&str>)]) -> Vec<v1::TaskStatus> {
        self.take(framework);
        let tasks = tasks.iter().map(|(task, agent)| call::reconcile::Task {
            task_id: v1::TaskId { value: (*task).into() },
            agent_id: agent.map(|agent| v1::AgentId { value: agent.into() }),
        });
        let reconcile = Some(call::Reconcile { tasks: tasks.collect() });
        self.call(framework, Call { r#type: Some(call::Type::Reconcile.into()), reconcile, ..Default::default() });
        self.updates(framework)
    }

    /// Runs a task to RUNNING, all acknowledged.
    pub fn run(&mut self, framework: &Framework, id: &str) -> v1::Offer {
        self.wait(Duration::from_millis(300));
        let offer = self.offers(framework).remove(0);
        assert_eq!(self.launch(framework, &[&offer], task(id, &offer)), 202);
        for state in [TaskStarting, TaskRunning] {
            let updates = self.updates(framework);
            assert_eq!(states(&updates), [state]);
            assert_eq!(self.acknowledge(framework, &updates[0]), 202);
        }
        offer
    }
}

pub fn task(id: &str, offer: &v1::Offer) -> v1::TaskInfo {
    let scalar = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(Box::new(v1::CommandInfo { value: Some("sleep 1000".into()), ..Default::default() })),
        ..Default::default()
    }
}

pub fn states(updates: &[v1::TaskStatus]) -> Vec<TaskState> {
    updates.iter().map(v1::TaskStatus::state).collect()
}

pub fn decline(offer: &v1::Offer, seconds: Option<f64>) -> Call {
    let filters = seconds.map(|seconds| v1::Filters { refuse_seconds: Some(seconds) });
    let decline = call::Decline { offer_ids: vec![offer.id.clone()], filters };
    Call { r#type: Some(call::Type::Decline.into()), decline: Some(decline), ..Default::default() }
}

pub fn kind(kind: call::Type) -> Call {
    Call { r#type: Some(kind.into()), ..Default::default() }
}
