//! How to test a scheduler of one's own: a small one, and what must hold of it whatever the master does, in any order.
//!
//! There is no network and no clock: `mesos_sim::ScriptedMaster` drives the scheduler in virtual time, and strategies
//! for proptest make up the histories. `cargo test -p examples --test own_scheduler` runs it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_core::scheduler::{Client, Config, Event, Framework};
use mesos_core::{Input, Instant, Machine, OfferRef, Offers, Output, ResourceRef, v1};
use mesos_sim::ScriptedMaster;
use mesos_sim::strategy::{Act, chunkings, histories};
use proptest::prelude::*;
use v1::TaskState::*;
use v1::offer::Operation;
use v1::scheduler::{Call, Event as Record, call, event};

/// The scheduler: keeps one task running.
struct Keeper {
    client: Client,
    /// The task that may run, and how many there were.
    task: Option<String>,
    launched: u32,
}

impl Keeper {
    fn new() -> Self {
        let config = Config::new(Framework::new("keeper").roles(["web"]), ["10.0.0.1:5050"]).unwrap();
        Self { client: Client::new(config, 1), task: None, launched: 0 }
    }

    fn react(&mut self, event: &Event) {
        match event {
            Event::Offers(offers) => self.offered(offers),
            Event::Update(update) => {
                if is_over(update.state()) && self.task.as_deref() == Some(update.task_id()) {
                    self.task = None;
                }
                // One without uuid needs none.
                let _ = self.client.calls().acknowledge(update);
            }
            Event::Subscribed(_) => drop(self.client.calls().reconcile_all()),
            _ => {}
        }
    }

    fn offered(&mut self, offers: &Offers) {
        let mut rest = Vec::new();
        for offer in offers.iter() {
            if self.task.is_some() || free(offer, "cpus") < 1.0 || free(offer, "mem") < 64.0 {
                rest.push(offer.id().to_owned());
                continue;
            }
            self.launched += 1;
            let id = format!("keeper-{}", self.launched);
            let task = v1::TaskInfo::new("keeper", id.as_str(), offer.agent_id())
                .with_resources([v1::Resource::cpus(1.0), v1::Resource::mem(64.0)])
                .with_command(v1::CommandInfo::new("exec sleep 1000"));
            if self.client.calls().accept([offer.id()], [Operation::launch([task])], None).is_ok() {
                self.task = Some(id);
            }
        }
        if !rest.is_empty() {
            let _ = self.client.calls().decline(rest, None);
        }
    }
}

/// Whether nothing more comes of a task: another one may take its place.
const fn is_over(state: v1::TaskState) -> bool {
    matches!(
        state,
        TaskFinished
            | TaskFailed
            | TaskKilled
            | TaskError
            | TaskDropped
            | TaskLost
            | TaskGone
            | TaskGoneByOperator
            | TaskUnknown
    )
}

/// How much of a resource any task may take of an offer: what is neither reserved nor to be taken back.
fn free(offer: OfferRef<'_>, name: &str) -> f64 {
    let plain = |part: &ResourceRef<'_>| part.name() == name && part.reserved_role().is_none() && !part.is_revocable();
    offer.resources().filter(plain).filter_map(ResourceRef::scalar).sum()
}

/// A driver sees the client through the scheduler.
impl Machine for Keeper {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.client.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Output<Event> {
        let output = self.client.poll_output();
        if let Output::Event(event) = &output {
            self.react(event);
        }
        output
    }
}

/// Scenarios are written call by call.
#[test]
fn one_task_is_kept() -> Result<(), Box<dyn std::error::Error>> {
    let mut master = ScriptedMaster::new(Keeper::new());
    master.subscribed("f-1")?;
    master.expect(call::Type::Reconcile)?;
    master.play(&Act::Offers(vec![4, 4]));
    let accept = master.expect(call::Type::Accept)?.accept.unwrap_or_default();
    assert_eq!(accept.offer_ids.len(), 1);
    master.expect(call::Type::Decline)?;
    // It fails, and is launched again; the update is acknowledged.
    master.play(&Act::Status(0, TaskFailed, 1));
    master.expect(call::Type::Acknowledge)?;
    master.play(&Act::Offers(vec![4]));
    master.expect(call::Type::Accept)?;
    master.expect_none()?;
    // What was there before is asked for in the next session.
    master.cut();
    master.sleep(Duration::from_secs(20));
    master.subscribed("f-1")?;
    master.expect(call::Type::Reconcile)?;
    Ok(())
}

/// What is known of offers and statuses from outside.
#[derive(Default)]
struct Judge {
    /// How often each offer of this session may still be answered.
    offers: BTreeMap<String, u32>,
    /// How often each status came, less how often it was acknowledged.
    statuses: BTreeMap<(String, Vec<u8>), u32>,
    tasks: BTreeMap<String, u32>,
}

impl Judge {
    fn heard(&mut self, record: &Record) {
        for offer in record.offers.iter().flat_map(|offers| &offers.offers) {
            *self.offers.entry(offer.id.value.clone()).or_default() += 1;
        }
        if let Some((status, uuid)) = record.update.as_ref().and_then(|u| Some((&u.status, u.status.uuid.clone()?))) {
            *self.statuses.entry((status.task_id.value.clone(), uuid.to_vec())).or_default() += 1;
        }
    }

    fn sent(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let accepted = call.accept.iter().flat_map(|accept| &accept.offer_ids);
        let declined = call.decline.iter().flat_map(|decline| &decline.offer_ids);
        for offer in accepted.chain(declined) {
            let left = self.offers.get_mut(&offer.value).filter(|left| **left > 0);
            *left.ok_or_else(|| TestCaseError::fail(format!("{offer:?} is answered twice")))? -= 1;
        }
        if let Some(acknowledge) = &call.acknowledge {
            let key = (acknowledge.task_id.value.clone(), acknowledge.uuid.to_vec());
            let left = self.statuses.get_mut(&key).filter(|left| **left > 0);
            *left.ok_or_else(|| TestCaseError::fail(format!("{key:?} is acknowledged too often")))? -= 1;
        }
        let operations = call.accept.iter().flat_map(|accept| &accept.operations);
        for task in operations.filter_map(|o| o.launch.as_ref()).flat_map(|launch| &launch.task_infos) {
            let times = self.tasks.entry(task.task_id.value.clone()).or_default();
            *times += 1;
            prop_assert_eq!(*times, 1, "{:?} is used twice", task.task_id);
        }
        Ok(())
    }
}

proptest! {
    /// Whatever happens: each offer is answered once, each status acknowledged as often as it came, no id used twice.
    #[test]
    fn offers_and_statuses_are_answered(history in histories(80)) {
        let mut master = ScriptedMaster::new(Keeper::new());
        let mut judge = Judge::default();
        let mut slept = false;
        for act in &history {
            // An event that makes no sense may name what was never offered.
            if matches!(act, Act::Event(_)) {
                continue;
            }
            let record = master.play(act);
            record.iter().for_each(|record| judge.heard(record));
            for call in master.sent() {
                judge.sent(&call)?;
            }
            prop_assert!(master.is_at_rest());
            slept |= matches!(act, Act::Sleep(_));
            if !master.has_stream() {
                // Its offers went with the session.
                judge.offers.clear();
            } else {
                let owed = judge.statuses.iter().find(|(_, owed)| **owed > 0);
                prop_assert!(owed.is_none() || record.is_none(), "{owed:?} is not acknowledged");
            }
        }
        master.accept_all();
        for call in master.sent() {
            judge.sent(&call)?;
        }
        // Time may have ended a session and begun the next one: then the offers before it need no answer.
        if master.has_stream() && !slept {
            let open = judge.offers.iter().find(|(_, left)| **left > 0);
            prop_assert!(open.is_none(), "{open:?} has no answer");
        }
    }

    /// No event, however it is cut, does any harm.
    #[test]
    fn nothing_does_any_harm(history in histories(60), sizes in chunkings()) {
        let mut master = ScriptedMaster::new(Keeper::new());
        for act in &history {
            match act {
                Act::Event(event) => drop(master.send_cut(event, &sizes)),
                act => drop(master.play(act)),
            }
            prop_assert!(master.is_at_rest());
        }
        let heartbeat = Record { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() };
        let _ = master.send(&heartbeat);
    }
}
