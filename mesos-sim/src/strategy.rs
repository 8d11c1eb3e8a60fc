//! Strategies for [`proptest`](mod@proptest), to property-test a scheduler with: events, the cutting of streams, whole histories.
//!
//! A history is played on a [`ScriptedMaster`] act by act, and the test checks after each what must always hold.

use std::time::Duration;

use bytes::Bytes;
use mesos_core::{Machine, fuzzing};
use mesos_proto::v1;
use proptest::prelude::*;
use v1::TaskState;
use v1::scheduler::{Call, Event, call, event};

use crate::ScriptedMaster;
use crate::resources::Pool;

/// What a history can be about.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What the last SUBSCRIBE named.
    roles: Vec<String>,
    /// Every task that was launched, and its agent.
    launched: Vec<(String, String)>,
    /// The offers of this session.
    offered: Vec<String>,
    /// How many offers there were in all.
    offers: u64,
}

impl Known {
    pub(crate) fn subscribed(&mut self, subscribe: &call::Subscribe) {
        self.roles.clone_from(&subscribe.framework_info.roles);
        self.offered.clear();
    }

    pub(crate) fn sent(&mut self, call: &Call) {
        let operations = call.accept.iter().flat_map(|accept| &accept.operations);
        let launches = operations.filter_map(|operation| operation.launch.as_ref());
        let tasks = launches.flat_map(|launch| &launch.task_infos);
        self.launched.extend(tasks.map(|task| (task.task_id.value.clone(), task.agent_id.value.clone())));
    }
}

/// Something that happens to a scheduler. Whatever there is no occasion for does nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Act {
    /// SUBSCRIBE is granted.
    Subscribe,
    /// Agents are offered, each with so many cpus.
    Offers(Vec<u8>),
    /// One of the offers made so far is taken back.
    Rescind(usize),
    /// A status comes of one of the tasks launched so far, in some version of it: the same version is the same uuid.
    Status(usize, TaskState, u8),
    /// The master answers a question about one of the tasks launched so far: without uuid.
    Answer(usize, TaskState),
    /// Any event that the schema can say, whether it makes sense or not.
    Event(Box<Event>),
    /// All calls that wait are answered 202.
    Accept,
    /// The next call is answered with this status.
    Refuse(u16),
    /// The connection of the next call breaks.
    Lose,
    /// The connection of the subscription breaks.
    Cut,
    /// The master closes the subscription.
    Close,
    /// Time passes.
    Sleep(Duration),
}

/// Events: mostly such as a master sends, now and then any other that the schema can say.
pub fn events() -> impl Strategy<Value = Event> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| fuzzing::event(&bytes))
}

/// Where the bytes of a stream are cut: the sizes of the pieces, for [`ScriptedMaster::send_cut`].
pub fn chunkings() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(0), Just(1), 1..64_usize], 0..40)
}

/// What happens to a scheduler, in any order, at most `acts` things.
pub fn histories(acts: usize) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 0..=acts)
}

fn act() -> impl Strategy<Value = Act> {
    let state = || any::<u8>().prop_map(|byte| STATES[usize::from(byte) % STATES.len()]);
    let which = || 0..8_usize;
    let millis = prop_oneof![Just(0), 1..1000_u64, 1000..20_000_u64, 60_000..600_000_u64];
    prop_oneof![
        3 => Just(Act::Subscribe),
        4 => prop::collection::vec(0..9_u8, 1..4).prop_map(Act::Offers),
        1 => which().prop_map(Act::Rescind),
        6 => (which(), state(), 0..6_u8).prop_map(|(task, state, version)| Act::Status(task, state, version)),
        2 => (which(), state()).prop_map(|(task, state)| Act::Answer(task, state)),
        1 => events().prop_map(|event| Act::Event(Box::new(event))),
        6 => Just(Act::Accept),
        1 => prop_oneof![Just(400), Just(403), Just(503), Just(500)].prop_map(Act::Refuse),
        1 => Just(Act::Lose),
        1 => Just(Act::Cut),
        1 => Just(Act::Close),
        4 => millis.prop_map(|millis| Act::Sleep(Duration::from_millis(millis))),
    ]
}

const STATES: [TaskState; 14] = [
    TaskState::TaskRunning,
    TaskState::TaskRunning,
    TaskState::TaskStarting,
    TaskState::TaskStaging,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskFailed,
    TaskState::TaskKilled,
    TaskState::TaskError,
    TaskState::TaskDropped,
    TaskState::TaskGone,
    TaskState::TaskGoneByOperator,
    TaskState::TaskUnreachable,
    TaskState::TaskUnknown,
];

impl<M: Machine> ScriptedMaster<M> {
    /// Lets one thing happen. Returns the offers and statuses that this has brought, as they were sent.
    pub fn play(&mut self, act: &Act) -> Option<Event> {
        let event = match act {
            Act::Subscribe => {
                let _ = self.subscribed("f-1");
                None
            }
            Act::Offers(cpus) => {
                let offers = cpus.iter().enumerate().map(|(agent, cpus)| self.make_offer(agent, *cpus)).collect();
                Some(Event { offers: Some(event::Offers { offers }), ..of(event::Type::Offers) })
            }
            Act::Rescind(which) => self.known.offered.get(*which % self.known.offered.len().max(1)).map(|id| {
                let rescind = event::Rescind { offer_id: id.as_str().into() };
                Event { rescind: Some(rescind), ..of(event::Type::Rescind) }
            }),
            Act::Status(which, state, version) => {
                let uuid = [[0x40 | *version; 8], [0x80 | *state as u8; 8]].concat();
                self.status(*which, *state, Some(uuid.into()))
            }
            Act::Answer(which, state) => self.status(*which, *state, None),
            Act::Event(event) => Some((**event).clone()),
            Act::Accept => {
                self.accept_all();
                None
            }
            Act::Refuse(status) => {
                if let Some(wanted) = self.next_type() {
                    let _ = self.refuse(wanted, *status, "");
                }
                None
            }
            Act::Lose => {
                if let Some(wanted) = self.next_type() {
                    let _ = self.lose(wanted);
                }
                None
            }
            Act::Cut => {
                self.cut();
                None
            }
            Act::Close => {
                self.close();
                None
            }
            Act::Sleep(time) => {
                self.sleep(*time);
                None
            }
        }?;
        self.send(&event).is_ok().then_some(event)
    }

    fn make_offer(&mut self, agent: usize, cpus: u8) -> v1::Offer {
        let id = format!("offer-{}", self.known.offers);
        self.known.offers += 1;
        self.known.offered.push(id.clone());
        let role = self.known.roles.first().cloned().unwrap_or_else(|| "*".to_owned());
        let allocation = v1::resource::AllocationInfo { role: Some(role) };
        let text = format!("cpus:{cpus};mem:{};ports:[31000-31099]", u32::from(cpus) * 256);
        let resources = Pool::parse(&text).unwrap_or_default().to_messages(allocation.role.as_deref(), true);
        v1::Offer {
            id: v1::OfferId { value: id },
            framework_id: v1::FrameworkId { value: "f-1".into() },
            agent_id: format!("a{agent}").as_str().into(),
            hostname: format!("h{agent}"),
            allocation_info: Some(allocation),
            resources,
            ..Default::default()
        }
    }

    fn status(&self, which: usize, state: TaskState, uuid: Option<Bytes>) -> Option<Event> {
        let (task, agent) = self.known.launched.get(which % self.known.launched.len().max(1))?;
        let status = v1::TaskStatus {
            task_id: task.as_str().into(),
            state: state.into(),
            agent_id: Some(agent.as_str().into()),
            reason: uuid.is_none().then_some(v1::task_status::Reason::Reconciliation.into()),
            uuid,
            ..Default::default()
        };
        Some(Event { update: Some(event::Update { status }), ..of(event::Type::Update) })
    }
}

fn of(kind: event::Type) -> Event {
    Event { r#type: Some(kind.into()), ..Default::default() }
}
