//! What a scheduler has seen, in words that are the same on both sides.

use std::collections::BTreeMap;

use mesos_tokio::mesos_core::Update;
use mesos_tokio::mesos_core::scheduler::{CallId, CallKind, DisconnectReason, Event, FatalReason, Outcome, Subscribed};

use crate::v1;
use v1::task_status::Source;

/// All that a scheduler has seen.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Seen {
    lines: Vec<(Topic, String)>,
    /// Each receipt of an update.
    pub updates: Vec<Update>,
    /// The offers in hand: neither answered, nor rescinded, nor void since the subscription ended.
    pub offers: Vec<v1::Offer>,
    /// How many OFFERS events have come.
    pub offerings: usize,
    /// What executors have sent, as text.
    pub messages: Vec<String>,
    /// How many heartbeats have come.
    pub heartbeats: usize,
    /// What became of each call.
    pub answers: BTreeMap<CallId, (CallKind, Outcome)>,
    /// The id of each stream.
    pub streams: Vec<String>,
    /// Each SUBSCRIBED.
    pub subscriptions: Vec<Subscribed>,
    /// The last event, and what it was.
    pub end: Option<Event>,
    subscribed: bool,
    agents: Vec<String>,
    uuids: Vec<Vec<u8>>,
}

/// What a line of the transcript is about. The protocol gives an order within a topic only.
#[derive(Clone, Debug, PartialEq)]
enum Topic {
    /// The subscription's life.
    Session,
    /// Attempts at one that came to nothing: how many there are is chance.
    Attempt,
    Offers,
    /// Agents and executors that are lost.
    Loss,
    Task(String),
    Executor(String),
    Call,
}

impl Seen {
    pub(crate) fn record(&mut self, event: &Event) {
        let (topic, text) = match event {
            Event::StreamOpened { stream_id, .. } => {
                self.streams.push(stream_id.clone());
                (Topic::Session, "stream".into())
            }
            Event::Subscribed(subscribed) => {
                self.subscribed = true;
                self.offers.clear();
                self.subscriptions.push(subscribed.clone());
                (Topic::Session, if subscribed.first { "subscribed" } else { "subscribed again" }.into())
            }
            Event::Disconnected { reason, .. } => {
                self.offers.clear();
                let topic = if self.subscribed { Topic::Session } else { Topic::Attempt };
                self.subscribed = false;
                (topic, format!("lost: {}", loss(reason)))
            }
            Event::Fatal(reason) => {
                self.end = Some(event.clone());
                (Topic::Session, fatal(reason))
            }
            Event::Stopped { removed } => {
                self.end = Some(event.clone());
                (Topic::Session, if *removed { "removed" } else { "left" }.into())
            }
            Event::Heartbeat => {
                self.heartbeats += 1;
                (Topic::Session, "heartbeat".into())
            }
            Event::Offers(offers) => {
                self.offerings += 1;
                for offer in offers.iter() {
                    let offer = offer.to_owned();
                    self.agent(&offer.agent_id.value);
                    self.offers.push(offer);
                }
                (Topic::Offers, "offers".into())
            }
            Event::Rescind(id) => {
                self.offers.retain(|offer| offer.id != *id);
                (Topic::Offers, "rescind".into())
            }
            Event::Update(update) => {
                self.updates.push(update.clone());
                let text = self.status(update);
                (Topic::Task(update.task_id().into()), text)
            }
            Event::Failure(failure) => {
                let agent = failure.agent_id.as_ref().map(|id| self.agent(&id.value)).unwrap_or_default();
                let what = if failure.executor_id.is_some() { "executor" } else { "agent" };
                let status = failure.status.map(|status| format!(" status {status}")).unwrap_or_default();
                (Topic::Loss, format!("{what} lost{agent}{status}"))
            }
            Event::Message(message) => {
                let text = String::from_utf8_lossy(&message.data).into_owned();
                self.messages.push(text.clone());
                (Topic::Executor(message.executor_id.value.clone()), text)
            }
            Event::CallDone { id, kind, outcome } => {
                self.answers.insert(*id, (*kind, outcome.clone()));
                (Topic::Call, format!("{kind} {outcome:?}"))
            }
            // Neither side sends what the library cannot read, nor anything that no scenario asks for.
            other => panic!("an event that should not come: {other:?}"),
        };
        self.lines.push((topic, text));
    }

    fn about(&self, topic: &Topic) -> Vec<&str> {
        self.lines.iter().filter(|line| line.0 == *topic).map(|line| line.1.as_str()).collect()
    }

    /// The subscription's life: `stream`, `subscribed`, `heartbeat`, `lost: broken`, `failed over`, ...
    #[must_use]
    pub fn session(&self) -> Vec<&str> {
        let mut lines = self.about(&Topic::Session);
        // A heartbeat follows SUBSCRIBED at once; how many more come depends on the time only.
        lines.dedup_by(|a, b| a == b && *a == "heartbeat");
        lines
    }

    /// One task's updates, each receipt a line: state, source, reason, number of the uuid, agent, text of the master.
    /// `RUNNING EXECUTOR u2 on a1`, `UNREACHABLE MASTER AGENT_REMOVED no uuid on a1 since: health check timed out`.
    #[must_use]
    pub fn task(&self, task: &str) -> Vec<&str> {
        self.about(&Topic::Task(task.into()))
    }

    /// Agents and executors lost: `agent lost on a1`.
    #[must_use]
    pub fn losses(&self) -> Vec<&str> {
        self.about(&Topic::Loss)
    }

    /// Offers made and taken back, in order: `offers`, `rescind`.
    #[must_use]
    pub fn offering(&self) -> Vec<&str> {
        self.about(&Topic::Offers)
    }

    /// Everything in order, for people.
    pub(crate) fn print(&self) {
        for same in self.lines.chunk_by(|a, b| a == b) {
            if let Some((topic, text)) = same.first() {
                println!("{} x {topic:?}: {text}", same.len());
            }
        }
    }

    /// The last state heard of a task.
    #[must_use]
    pub fn state(&self, task: &str) -> Option<v1::TaskState> {
        self.updates.iter().rev().find(|update| update.task_id() == task).map(Update::state)
    }

    fn status(&mut self, update: &Update) -> String {
        let source = update.source().map_or("nobody", |source| short(source.as_str_name(), "SOURCE_"));
        let mut text = format!("{} {source}", short(update.state().as_str_name(), "TASK_"));
        // What an executor says of why is its own affair, and the real side's is an imitation.
        let by_executor = update.source() == Some(Source::Executor);
        if let Some(reason) = update.reason().filter(|_| !by_executor) {
            text += &format!(" {}", short(reason.as_str_name(), "REASON_"));
        }
        match update.uuid() {
            None => text += " no uuid",
            Some(uuid) => {
                let place = self.uuids.iter().position(|known| known == uuid);
                let number = place.unwrap_or_else(|| {
                    self.uuids.push(uuid.to_vec());
                    self.uuids.len() - 1
                });
                // Numbered for each task, so that tasks side by side don't mix.
                let task = update.task_id();
                let before = self.updates.iter().filter(|other| other.task_id() == task).filter_map(Update::uuid);
                let mut mine: Vec<usize> =
                    before.filter_map(|uuid| self.uuids.iter().position(|k| k == uuid)).collect();
                mine.push(number);
                mine.sort_unstable();
                mine.dedup();
                let number = mine.iter().position(|other| *other == number).unwrap_or_default() + 1;
                text += &format!(" u{number}");
            }
        }
        match update.agent_id() {
            None => text += " nowhere",
            Some(agent) => text += &self.agent(agent),
        }
        // What should always be so is shown only where it isn't.
        let executor = by_executor.then_some(update.task_id());
        let container = update.to_owned().container_status;
        let complete = container.as_ref().is_some_and(|container| {
            let addresses = container.network_infos.iter().flat_map(|network| &network.ip_addresses);
            let addresses: Vec<_> = addresses.map(|address| address.ip_address()).collect();
            container.container_id.is_some() && addresses == ["127.0.0.1"]
        });
        match (by_executor, complete) {
            (true, true) => {}
            (true, false) => text += " without container",
            (false, true) => text += " in a container",
            (false, false) if container.is_some() => text += " in half a container",
            (false, false) => {}
        }
        if update.executor_id() != executor && update.source() != Some(Source::Agent) {
            text += &format!(" by {:?}", update.executor_id());
        }
        if let Some(healthy) = update.healthy() {
            text += if healthy { ", healthy" } else { ", unhealthy" };
        }
        if update.timestamp().is_none() {
            text += " without time";
        }
        if update.unreachable_since().is_some() {
            text += " since";
        }
        // What is wrong with a call is said in sentences that need not be the same.
        let invalid = [Some(v1::task_status::Reason::TaskInvalid), Some(v1::task_status::Reason::InvalidOffers)];
        if let Some(message) = update.message().filter(|_| !by_executor && !invalid.contains(&update.reason())) {
            text += &format!(": {message}");
        }
        text
    }

    /// An agent's name in the transcript: a known one is numbered.
    fn agent(&mut self, id: &str) -> String {
        let real = id.rsplit_once("-S").is_some_and(|(_, number)| number.parse::<u32>().is_ok());
        if !real {
            return format!(" on {id}");
        }
        let place = self.agents.iter().position(|known| known == id).unwrap_or_else(|| {
            self.agents.push(id.into());
            self.agents.len() - 1
        });
        format!(" on a{}", place + 1)
    }
}

fn short<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn loss(reason: &DisconnectReason) -> String {
    match reason {
        DisconnectReason::Failed(_) => "broken".into(),
        DisconnectReason::Closed => "closed".into(),
        DisconnectReason::CallLost { .. } => "call lost".into(),
        DisconnectReason::Status { status, .. } | DisconnectReason::CallStatus { status, .. } => status.to_string(),
        other => other.to_string(),
    }
}

fn fatal(reason: &FatalReason) -> String {
    match reason {
        FatalReason::FailedOver => "fatal: failed over".into(),
        FatalReason::Removed => "fatal: removed".into(),
        FatalReason::Unauthorized { .. } => "fatal: unauthorized".into(),
        FatalReason::Other(text) => format!("fatal: {text}"),
        other => format!("fatal: {other:?}"),
    }
}
