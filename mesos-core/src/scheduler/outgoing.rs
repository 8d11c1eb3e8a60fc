//! A call on its way out: checked, and encoded but for the framework id.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::error::CallError;
use super::profile::Profile;
use crate::checks;
use crate::{Lane, v1};
use v1::scheduler::call::{self, Type};

/// Names one call for as long as the client lives; its end comes as [`CallDone`](super::Event::CallDone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

#[cfg(test)]
impl CallId {
    pub(crate) const fn for_tests(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! kinds {
    ($($kind:ident $tag:literal $body:ident,)*) => {
        /// The kinds of calls; SUBSCRIBE is the client's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names of the protocol's calls")]
        pub enum CallKind { Teardown, $($kind,)* }

        impl CallKind {
            fn of(call: &v1::scheduler::Call) -> Result<Self, CallError> {
                match call.r#type.and_then(|number| Type::try_from(number).ok()) {
                    None | Some(Type::Unknown) => Err(CallError::UnknownType),
                    Some(Type::Subscribe) => Err(CallError::Subscribe),
                    Some(Type::Teardown) => Ok(Self::Teardown),
                    $(Some(Type::$kind) => Ok(Self::$kind),)*
                }
            }

            const fn number(self) -> Type {
                match self {
                    Self::Teardown => Type::Teardown,
                    $(Self::$kind => Type::$kind,)*
                }
            }

            /// The number of the field of `Call` that holds this kind's body.
            const fn body_tag(self) -> u32 {
                match self {
                    Self::Teardown => 0,
                    $(Self::$kind => $tag,)*
                }
            }

            fn has_body(self, call: &v1::scheduler::Call) -> bool {
                match self {
                    Self::Teardown => true,
                    $(Self::$kind => call.$body.is_some(),)*
                }
            }
        }
    };
}

kinds! {
    Accept 4 accept,
    Decline 5 decline,
    Kill 6 kill,
    Shutdown 7 shutdown,
    Acknowledge 8 acknowledge,
    Reconcile 9 reconcile,
    Message 10 message,
    Request 11 request,
    AcceptInverseOffers 13 accept_inverse_offers,
    DeclineInverseOffers 14 decline_inverse_offers,
    Revive 15 revive,
    Suppress 16 suppress,
    AcknowledgeOperationStatus 17 acknowledge_operation_status,
    ReconcileOperations 18 reconcile_operations,
    UpdateFramework 19 update_framework,
}

impl CallKind {
    /// The name as the protocol writes it, such as `RECONCILE_OPERATIONS`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.number().as_str_name()
    }

    /// Acknowledgements may overtake anything; the order of all else can matter.
    pub(super) const fn lane(self) -> Lane {
        match self {
            Self::Acknowledge | Self::AcknowledgeOperationStatus => Lane::Acks,
            _ => Lane::Ordered,
        }
    }
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a call changes in the client besides being sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    None,
    Suppress(Vec<String>),
    Revive(Vec<String>),
    /// Encoded by the client, which completes it from its profile.
    Update(Box<call::UpdateFramework>),
    /// What the profile becomes when the master has agreed.
    Adopt(Box<Profile>),
}

/// A call that has passed every check that needs no session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) kind: CallKind,
    /// An encoded `Call` without its framework id.
    pub(super) encoded: Vec<u8>,
    pub(super) effect: Effect,
}

/// What the framework id will need at most.
const ROOM_FOR_FRAMEWORK_ID: usize = 264;

impl Outgoing {
    /// Checks and encodes a call of any kind.
    pub(crate) fn new(mut call: v1::scheduler::Call) -> Result<Self, CallError> {
        let kind = CallKind::of(&call)?;
        let optional = matches!(kind, CallKind::Revive | CallKind::Suppress);
        if !optional && !kind.has_body(&call) {
            return Err(CallError::NoBody(kind.as_str()));
        }
        check(kind, &call)?;
        call.framework_id = None;
        let effect = match kind {
            CallKind::Suppress => Effect::Suppress(call.suppress.as_ref().map(|c| c.roles.clone()).unwrap_or_default()),
            CallKind::Revive => Effect::Revive(call.revive.as_ref().map(|c| c.roles.clone()).unwrap_or_default()),
            CallKind::UpdateFramework => match call.update_framework.take() {
                Some(update) => Effect::Update(Box::new(update)),
                None => return Err(CallError::NoBody(kind.as_str())),
            },
            _ => Effect::None,
        };
        let mut encoded = Vec::with_capacity(call.encoded_len() + ROOM_FOR_FRAMEWORK_ID);
        call.encode_raw(&mut encoded);
        Ok(Self { kind, encoded, effect })
    }

    /// ACCEPT, DECLINE and their inverse twins begin with the ids, and DECLINE has nothing but filters besides:
    /// written here straight from borrowed ids, two allocations for any number of them.
    pub(crate) fn decline<I: AsRef<str>>(
        kind: CallKind,
        ids: impl IntoIterator<Item = I>,
        filters: Option<v1::Filters>,
    ) -> Result<Self, CallError> {
        let mut body = Vec::new();
        for id in ids {
            let id = id.as_ref();
            check_id("offer id", id)?;
            // repeated OfferID = 1, each with its value = 1
            let inner = 1 + encoded_len_varint(id.len() as u64) + id.len();
            encode_key(1, WireType::LengthDelimited, &mut body);
            encode_varint(inner as u64, &mut body);
            encode_key(1, WireType::LengthDelimited, &mut body);
            encode_varint(id.len() as u64, &mut body);
            body.extend_from_slice(id.as_bytes());
        }
        if body.is_empty() {
            return Err(CallError::NoOffers);
        }
        if let Some(filters) = filters {
            prost::encoding::message::encode(2, &filters, &mut body);
        }
        let mut encoded = Vec::with_capacity(body.len() + 16 + ROOM_FOR_FRAMEWORK_ID);
        encode_type(kind, &mut encoded);
        encode_key(kind.body_tag(), WireType::LengthDelimited, &mut encoded);
        encode_varint(body.len() as u64, &mut encoded);
        encoded.extend_from_slice(&body);
        Ok(Self { kind, encoded, effect: Effect::None })
    }

    /// TEARDOWN, which has no body.
    pub(super) fn teardown() -> Self {
        let mut encoded = Vec::with_capacity(2 + ROOM_FOR_FRAMEWORK_ID);
        encode_type(CallKind::Teardown, &mut encoded);
        Self { kind: CallKind::Teardown, encoded, effect: Effect::None }
    }

    /// Writes UPDATE_FRAMEWORK for what the profile is to become.
    pub(super) fn encode_update(&mut self, profile: Profile) {
        let call = v1::scheduler::Call {
            r#type: Some(Type::UpdateFramework.into()),
            update_framework: Some(profile.update()),
            ..Default::default()
        };
        self.encoded = call.encode_to_vec();
        self.effect = Effect::Adopt(Box::new(profile));
    }

    /// The offers that this call uses up: those of ACCEPT and DECLINE, none for all other kinds.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn offer_ids(&self) -> impl Iterator<Item = &str> {
        use mesos_proto::{Fields, Value};

        fn field(message: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
            Fields::new(message).filter_map(move |(number, value)| match value {
                Value::Bytes(bytes) if number == wanted => Some(bytes),
                _ => None,
            })
        }

        let body = match self.kind {
            CallKind::Accept | CallKind::Decline => field(&self.encoded, self.kind.body_tag()).next(),
            _ => None,
        };
        field(body.unwrap_or_default(), 1)
            .filter_map(|id| field(id, 1).next())
            .filter_map(|value| core::str::from_utf8(value).ok())
    }
}

fn encode_type(kind: CallKind, buf: &mut Vec<u8>) {
    encode_key(2, WireType::Varint, buf);
    encode_varint(i32::from(kind.number()).unsigned_abs().into(), buf);
}

fn check_id(what: &'static str, id: &str) -> Result<(), CallError> {
    checks::id(id).map_err(|error| CallError::Id { what, error })
}

fn check_agent(id: Option<&v1::AgentId>) -> Result<(), CallError> {
    id.map_or(Ok(()), |id| check_id("agent id", &id.value))
}

/// An acknowledgement without agent is a 400; without a good uuid, too.
fn check_acknowledgement(agent: Option<&str>, uuid: &[u8]) -> Result<(), CallError> {
    let agent = agent.filter(|id| !id.is_empty()).ok_or(CallError::NoAgent)?;
    check_id("agent id", agent)?;
    match uuid {
        [] => Err(CallError::NoUuid),
        _ if checks::uuid(uuid) => Ok(()),
        _ => Err(CallError::Uuid),
    }
}

/// What a master would refuse, or drop without a word.
fn check(kind: CallKind, call: &v1::scheduler::Call) -> Result<(), CallError> {
    let offers = |ids: &[v1::OfferId]| {
        if ids.is_empty() {
            Err(CallError::NoOffers)
        } else {
            ids.iter().try_for_each(|id| check_id("offer id", &id.value))
        }
    };
    match kind {
        CallKind::Accept => call.accept.as_ref().map_or(Ok(()), |c| {
            offers(&c.offer_ids)?;
            c.operations.iter().try_for_each(check_operation)
        }),
        CallKind::Decline => call.decline.as_ref().map_or(Ok(()), |c| offers(&c.offer_ids)),
        CallKind::AcceptInverseOffers => {
            call.accept_inverse_offers.as_ref().map_or(Ok(()), |c| offers(&c.inverse_offer_ids))
        }
        CallKind::DeclineInverseOffers => {
            call.decline_inverse_offers.as_ref().map_or(Ok(()), |c| offers(&c.inverse_offer_ids))
        }
        CallKind::Kill => call.kill.as_ref().map_or(Ok(()), |c| {
            check_id("task id", &c.task_id.value)?;
            check_agent(c.agent_id.as_ref())
        }),
        CallKind::Shutdown => call.shutdown.as_ref().map_or(Ok(()), |c| {
            check_id("executor id", &c.executor_id.value)?;
            check_agent(Some(&c.agent_id))
        }),
        CallKind::Message => call.message.as_ref().map_or(Ok(()), |c| {
            check_id("executor id", &c.executor_id.value)?;
            check_agent(Some(&c.agent_id))
        }),
        CallKind::Acknowledge => call.acknowledge.as_ref().map_or(Ok(()), |c| {
            check_acknowledgement(Some(&c.agent_id.value), &c.uuid)?;
            check_id("task id", &c.task_id.value)
        }),
        CallKind::AcknowledgeOperationStatus => call.acknowledge_operation_status.as_ref().map_or(Ok(()), |c| {
            check_acknowledgement(c.agent_id.as_ref().map(|id| id.value.as_str()), &c.uuid)?;
            check_id("operation id", &c.operation_id.value)
        }),
        CallKind::Reconcile => call
            .reconcile
            .as_ref()
            .map_or(Ok(()), |c| c.tasks.iter().try_for_each(|task| check_id("task id", &task.task_id.value))),
        CallKind::ReconcileOperations => call.reconcile_operations.as_ref().map_or(Ok(()), |c| {
            c.operations.iter().try_for_each(|op| check_id("operation id", &op.operation_id.value))
        }),
        // Roles and the framework are checked against the profile.
        CallKind::Teardown | CallKind::Request | CallKind::Revive | CallKind::Suppress | CallKind::UpdateFramework => {
            Ok(())
        }
    }
}

fn check_operation(operation: &v1::offer::Operation) -> Result<(), CallError> {
    let single = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let group = operation.launch_group.iter().flat_map(|launch| &launch.task_group.tasks);
    single.chain(group).try_for_each(|task| check_id("task id", &task.task_id.value))
}

/// Appends the framework id, which completes the call.
pub(super) fn complete(mut encoded: Vec<u8>, framework_id: &v1::FrameworkId) -> Vec<u8> {
    prost::encoding::message::encode(1, framework_id, &mut encoded);
    encoded
}

/// An acknowledgement, from what an update says.
pub(crate) fn acknowledge(task: &str, agent: Option<&str>, uuid: Option<&[u8]>) -> Result<Outgoing, CallError> {
    let uuid = uuid.ok_or(CallError::NoUuid)?;
    check_acknowledgement(agent, uuid)?;
    Outgoing::new(v1::scheduler::Call {
        r#type: Some(Type::Acknowledge.into()),
        acknowledge: Some(call::Acknowledge {
            agent_id: v1::AgentId { value: agent.unwrap_or_default().to_string() },
            task_id: v1::TaskId { value: task.to_string() },
            uuid: bytes::Bytes::copy_from_slice(uuid),
        }),
        ..Default::default()
    })
}
