//! The commands: one method for each call of the scheduler API.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::error::CallError;
use super::outgoing::{self, CallId, CallKind, Outgoing};
use crate::{Update, v1};
use v1::scheduler::{Call, OfferConstraints, call, call::Type};

/// Whoever sends calls: the client, or something around it that wants to see them pass.
pub(crate) trait CallSink {
    fn submit(&mut self, call: Outgoing) -> Result<CallId, CallError>;
}

/// The calls of the scheduler API, as commands.
///
/// Each returns at once, with a [`CallId`] or with what its caller did wrong ([`CallError`]); in the latter case
/// nothing was sent. What the master answered comes as [`Event::CallDone`](super::Event::CallDone). That answer only
/// says that the master took the call: whether it had any effect is told by other events, if at all.
///
/// Calls are sent one after another, in the order in which they were given, over one connection; acknowledgements go
/// beside them. They are taken only while the framework is subscribed, but for [`suppress`](Self::suppress) and
/// [`revive`](Self::revive).
///
/// Ids are anything that is a text: `&str`, `String`, the id messages, what views of offers and updates return.
#[must_use = "nothing is called by itself"]
pub struct Calls<'a> {
    sink: &'a mut dyn CallSink,
}

impl core::fmt::Debug for Calls<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Calls")
    }
}

type Result<T = CallId, E = CallError> = core::result::Result<T, E>;

fn of(kind: Type) -> Call {
    Call { r#type: Some(kind.into()), ..Default::default() }
}

fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.as_ref().to_string()).collect()
}

fn offer_ids<T: AsRef<str>>(ids: impl IntoIterator<Item = T>) -> Vec<v1::OfferId> {
    ids.into_iter().map(|id| v1::OfferId { value: id.as_ref().to_string() }).collect()
}

fn agent(id: impl AsRef<str>) -> v1::AgentId {
    v1::AgentId { value: id.as_ref().to_string() }
}

fn executor(id: impl AsRef<str>) -> v1::ExecutorId {
    v1::ExecutorId { value: id.as_ref().to_string() }
}

impl<'a> Calls<'a> {
    pub(crate) fn new(sink: &'a mut dyn CallSink) -> Self {
        Self { sink }
    }

    /// ACCEPT: uses offers, all of one agent and one role, for operations that are done in their order. What is left
    /// of the offers is declined with `filters`. One bad offer id spoils the whole call.
    ///
    /// # Errors
    /// [`NotSubscribed`](CallError::NotSubscribed), [`QueueFull`](CallError::QueueFull) and the like, as every call; no
    /// offer is named; an offer id or a task id is one that Mesos refuses.
    pub fn accept<I: AsRef<str>>(
        &mut self,
        offers: impl IntoIterator<Item = I>,
        operations: impl IntoIterator<Item = v1::offer::Operation>,
        filters: Option<v1::Filters>,
    ) -> Result {
        let accept =
            call::Accept { offer_ids: offer_ids(offers), operations: operations.into_iter().collect(), filters };
        self.call(Call { accept: Some(accept), ..of(Type::Accept) })
    }

    /// DECLINE: gives offers back. Without filters the same resources aren't offered again for 5 s; decline all offers
    /// of an event in one call.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn decline<I: AsRef<str>>(
        &mut self,
        offers: impl IntoIterator<Item = I>,
        filters: Option<v1::Filters>,
    ) -> Result {
        self.sink.submit(Outgoing::decline(CallKind::Decline, offers, filters)?)
    }

    /// ACCEPT_INVERSE_OFFERS: promises to be gone from these agents in time. The question comes again after the
    /// filter's time, 5 s by default.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_inverse_offers<I: AsRef<str>>(
        &mut self,
        inverse_offers: impl IntoIterator<Item = I>,
        filters: Option<v1::Filters>,
    ) -> Result {
        self.sink.submit(Outgoing::decline(CallKind::AcceptInverseOffers, inverse_offers, filters)?)
    }

    /// DECLINE_INVERSE_OFFERS: cannot promise to be gone.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn decline_inverse_offers<I: AsRef<str>>(
        &mut self,
        inverse_offers: impl IntoIterator<Item = I>,
        filters: Option<v1::Filters>,
    ) -> Result {
        self.sink.submit(Outgoing::decline(CallKind::DeclineInverseOffers, inverse_offers, filters)?)
    }

    /// REVIVE: offers for these roles again, whatever was declined or suppressed; no role means all. Costly for the
    /// master: not for a loop. While there is no subscription it changes what the next one will say (outcome
    /// [`Carried`](super::Outcome::Carried)).
    ///
    /// # Errors
    /// One of the roles isn't the framework's: Mesos would drop the whole call without a word.
    pub fn revive<R: AsRef<str>>(&mut self, roles: impl IntoIterator<Item = R>) -> Result {
        self.call(Call { revive: Some(call::Revive { roles: texts(roles) }), ..of(Type::Revive) })
    }

    /// SUPPRESS: no more offers for these roles until they are revived; no role means all. It outlives the
    /// subscription, since each SUBSCRIBE repeats it.
    ///
    /// # Errors
    /// As [`revive`](Self::revive).
    pub fn suppress<R: AsRef<str>>(&mut self, roles: impl IntoIterator<Item = R>) -> Result {
        self.call(Call { suppress: Some(call::Suppress { roles: texts(roles) }), ..of(Type::Suppress) })
    }

    /// KILL. It may be lost: repeat it until a terminal update comes. With the wrong agent it is dropped without a word;
    /// a second one with a policy can shorten the grace period.
    ///
    /// # Errors
    /// As every call; an id that Mesos refuses.
    pub fn kill(&mut self, task: impl AsRef<str>, agent_id: Option<&str>, policy: Option<v1::KillPolicy>) -> Result {
        let kill = call::Kill {
            task_id: v1::TaskId { value: task.as_ref().to_string() },
            agent_id: agent_id.map(agent),
            kill_policy: policy,
        };
        self.call(Call { kill: Some(kill), ..of(Type::Kill) })
    }

    /// ACKNOWLEDGE: the update has been dealt with; the agent repeats it until then, and sends none of the later ones
    /// of that task. Acknowledge every receipt, repeats too.
    ///
    /// # Errors
    /// The update must not be acknowledged, since it has no uuid ([`CallError::NoUuid`]), or cannot be; as every call.
    pub fn acknowledge(&mut self, update: &Update) -> Result {
        self.sink.submit(outgoing::acknowledge(update.task_id(), update.agent_id(), update.uuid())?)
    }

    /// RECONCILE: asks for the state of these tasks, each with its agent if known; none means all tasks the master
    /// knows. The answers come as updates without uuid; while agents re-register the master may be silent, so ask again.
    ///
    /// # Errors
    /// As every call; an id that Mesos refuses.
    pub fn reconcile<T: AsRef<str>, A: AsRef<str>>(
        &mut self,
        tasks: impl IntoIterator<Item = (T, Option<A>)>,
    ) -> Result {
        let tasks = tasks.into_iter().map(|(task, on)| call::reconcile::Task {
            task_id: v1::TaskId { value: task.as_ref().to_string() },
            agent_id: on.map(agent),
        });
        self.call(Call { reconcile: Some(call::Reconcile { tasks: tasks.collect() }), ..of(Type::Reconcile) })
    }

    /// RECONCILE without tasks: asks for all that the master knows, which leaves out tasks on unreachable agents.
    ///
    /// # Errors
    /// As every call.
    pub fn reconcile_all(&mut self) -> Result {
        self.call(Call { reconcile: Some(call::Reconcile::default()), ..of(Type::Reconcile) })
    }

    /// SHUTDOWN: ends a custom executor with all its tasks. May be lost.
    ///
    /// # Errors
    /// As every call; an id that Mesos refuses.
    pub fn shutdown(&mut self, executor_id: impl AsRef<str>, agent_id: impl AsRef<str>) -> Result {
        let shutdown = call::Shutdown { executor_id: executor(executor_id), agent_id: agent(agent_id) };
        self.call(Call { shutdown: Some(shutdown), ..of(Type::Shutdown) })
    }

    /// MESSAGE: any bytes for an executor, without any promise that they arrive.
    ///
    /// # Errors
    /// As every call; an id that Mesos refuses.
    pub fn message(
        &mut self,
        executor_id: impl AsRef<str>,
        agent_id: impl AsRef<str>,
        data: impl Into<Bytes>,
    ) -> Result {
        let message =
            call::Message { executor_id: executor(executor_id), agent_id: agent(agent_id), data: data.into() };
        self.call(Call { message: Some(message), ..of(Type::Message) })
    }

    /// REQUEST: asks for resources. Mesos's own allocator ignores it.
    ///
    /// # Errors
    /// As every call.
    pub fn request(&mut self, requests: impl IntoIterator<Item = v1::Request>) -> Result {
        let request = call::Request { requests: requests.into_iter().collect() };
        self.call(Call { request: Some(request), ..of(Type::Request) })
    }

    /// ACKNOWLEDGE_OPERATION_STATUS, with what the status says.
    ///
    /// # Errors
    /// The status has no uuid, or names no agent or no operation; as every call.
    pub fn acknowledge_operation_status(&mut self, status: &v1::OperationStatus) -> Result {
        let acknowledge = call::AcknowledgeOperationStatus {
            agent_id: status.agent_id.clone(),
            resource_provider_id: status.resource_provider_id.clone(),
            uuid: status.uuid.as_ref().ok_or(CallError::NoUuid)?.value.clone(),
            operation_id: status.operation_id.clone().ok_or(CallError::NoOperation)?,
        };
        self.call(Call { acknowledge_operation_status: Some(acknowledge), ..of(Type::AcknowledgeOperationStatus) })
    }

    /// RECONCILE_OPERATIONS: asks for the state of these operations; none means all.
    ///
    /// # Errors
    /// As every call; an id that Mesos refuses.
    pub fn reconcile_operations(
        &mut self,
        operations: impl IntoIterator<Item = call::reconcile_operations::Operation>,
    ) -> Result {
        let reconcile = call::ReconcileOperations { operations: operations.into_iter().collect() };
        self.call(Call { reconcile_operations: Some(reconcile), ..of(Type::ReconcileOperations) })
    }

    /// UPDATE_FRAMEWORK: changes what the framework wants to be without losing the subscription; all three arguments
    /// replace what was before. Id and principal are filled in. The client adopts the change when the master has
    /// answered 200, and sends nothing else that has an order before that.
    ///
    /// # Errors
    /// The framework is at fault, or differs in a field that cannot be changed: id, principal, user, checkpoint; as
    /// every call.
    pub fn update_framework<R: AsRef<str>>(
        &mut self,
        framework: v1::FrameworkInfo,
        suppressed_roles: impl IntoIterator<Item = R>,
        constraints: Option<OfferConstraints>,
    ) -> Result {
        let update = call::UpdateFramework {
            framework_info: framework,
            suppressed_roles: texts(suppressed_roles),
            offer_constraints: constraints,
        };
        self.call(Call { update_framework: Some(update), ..of(Type::UpdateFramework) })
    }

    /// Any call, as a message. The framework id is filled in; TEARDOWN does what
    /// [`Client::teardown`](super::Client::teardown) does.
    ///
    /// # Errors
    /// As the method for that kind of call; SUBSCRIBE, an unknown type, or a type without its body.
    pub fn call(&mut self, call: Call) -> Result {
        self.sink.submit(Outgoing::new(call)?)
    }
}
