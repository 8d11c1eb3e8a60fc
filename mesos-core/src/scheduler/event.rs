//! What the client tells its user.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::outgoing::{CallId, CallKind};
use crate::location::RedirectError;
use crate::recordio::DecodeError;
use crate::{Endpoint, Failure, Instant, Offers, Update, v1};

/// What has happened, in order. [`Fatal`](Self::Fatal) and [`Stopped`](Self::Stopped) are terminal: nothing follows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A master has answered SUBSCRIBE with a stream. Not yet success: the first event on it decides.
    // S135
    StreamOpened {
        /// The master.
        master: Endpoint,
        /// The stream id; every call of this subscription carries it.
        stream_id: String,
    },
    /// The framework is subscribed; again after each reconnection. All offers and inverse offers of before are void,
    /// without any [`Rescind`](Self::Rescind). Reconcile now; and revive the roles that want offers, since a master
    /// that never noticed the disconnection keeps the old filters.
    // S134
    Subscribed(Subscribed),
    /// Offers of resources, each to be accepted or declined.
    Offers(Offers),
    /// A question before maintenance (an *unavailability*): may these agents be taken away?
    InverseOffers(Vec<v1::InverseOffer>),
    /// An offer is no longer good. Ignore it if you have answered that offer already.
    Rescind(v1::OfferId),
    /// An inverse offer is no longer good.
    RescindInverse(v1::OfferId),
    /// The state of a task. Acknowledge each receipt, repeats too, unless it has no uuid.
    Update(Update),
    /// The state of an operation. Acknowledge it unless it has no uuid.
    OperationUpdate(v1::OperationStatus),
    /// Bytes from an executor.
    Message(v1::scheduler::event::Message),
    /// An agent has gone, or, when an executor is named, that executor has ended.
    Failure(v1::scheduler::event::Failure),
    /// The master lives. For curiosity only: the client watches over silence itself.
    Heartbeat,
    /// The end of a call: exactly one for each [`CallId`] handed out, before any terminal event.
    CallDone {
        /// What the command returned.
        id: CallId,
        /// Which call it was.
        kind: CallKind,
        /// What became of it.
        outcome: Outcome,
    },
    /// The subscription, or an attempt at one, has ended.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When the next attempt starts; `None` when it waits for
        /// [`set_authorization`](super::Client::set_authorization).
        retry_at: Option<Instant>,
    },
    /// A record is framed well but isn't a valid event. The subscription goes on.
    Malformed {
        /// The field at fault, such as `update.status.task_id`, or what is wrong with the whole.
        path: String,
        /// The record as it came.
        record: Bytes,
    },
    /// An event of a type that this release doesn't know, or without type. The subscription goes on.
    Unknown {
        /// The record as it came.
        record: Bytes,
    },
    /// The framework cannot go on, and trying again cannot help. Terminal.
    Fatal(FatalReason),
    /// The client has ended as asked. Terminal.
    Stopped {
        /// Whether the master has removed the framework (TEARDOWN); otherwise it waits for its failover timeout.
        removed: bool,
    },
}

/// A subscription that stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Subscribed {
    /// The framework's id. Keep it safe before anything else: without it the tasks are orphans.
    pub framework_id: v1::FrameworkId,
    /// Where the leading master is.
    pub master: Endpoint,
    /// What the master says about itself (its version above all).
    pub master_info: Option<v1::MasterInfo>,
    /// How often the master promises a heartbeat; `None` if it promises none, and then silence proves nothing.
    pub heartbeat_interval: Option<Duration>,
    /// Whether this is the first subscription of this client.
    pub first: bool,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The master took it (202, or 200 for UPDATE_FRAMEWORK). What comes of it arrives as events, if at all.
    Accepted {
        /// The answer's body; empty but for RECONCILE_OPERATIONS with masters of 1.6 and 1.7.
        body: Bytes,
    },
    /// The master refused it.
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The reason, for people; cut to 4 KiB.
        text: String,
    },
    /// It never took effect, and never will.
    NotSent,
    /// It may have taken effect. The session has ended, or will at once; after the next
    /// [`Subscribed`](Event::Subscribed) it can no longer take effect.
    Unknown,
    /// SUPPRESS or REVIVE while there was no subscription: the next SUBSCRIBE says the same.
    Carried,
}

/// Why a subscription, or an attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Network: no connection, or a broken one.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Peer: the stream has come to an orderly end.
    #[error("the master closed the stream")]
    Closed,
    /// Network: nothing has arrived for this long.
    #[error("nothing heard for {after:?}")]
    Silent {
        /// How long.
        after: Duration,
    },
    /// Peer: a status that makes another attempt sensible: 404, 408, 429, 503 and other 5xx.
    #[error("the master answered {status}: {text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
    /// Peer: redirected to nowhere, or once too often.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// Peer: 200 without a stream id. The operator API answers like that.
    // S144
    #[error("200 without a stream id")]
    NoStreamId,
    /// Peer: 200 with another content type than the one asked for.
    #[error("200 with content type {0:?}")]
    ContentType(Option<String>),
    /// Peer: the stream isn't RecordIO, or has a record beyond the limit.
    #[error(transparent)]
    Framing(#[from] DecodeError),
    /// Peer: the first event on the stream was neither SUBSCRIBED nor ERROR.
    #[error("the first event was neither SUBSCRIBED nor ERROR")]
    FirstEvent,
    /// Peer: SUBSCRIBED names another framework than ours, or none.
    #[error("subscribed as framework {0:?}, which isn't ours")]
    OtherFramework(String),
    /// Peer: a call was answered with a redirect, so this master no longer leads.
    #[error("the master no longer leads")]
    LeadershipLost,
    /// Peer: another master leads now, says the [detector](crate::Detector).
    #[error("{0} leads now")]
    NewLeader(Endpoint),
    /// Network: the fate of a call whose order matters is unknown; only a new stream id settles it.
    #[error("call {id} ({kind}) was lost: {failure}")]
    CallLost {
        /// The call.
        id: CallId,
        /// Its kind.
        kind: CallKind,
        /// How it failed.
        failure: Failure,
    },
    /// Network: a call has had no answer for the call timeout.
    #[error("call {id} ({kind}) had no answer")]
    CallTimeout {
        /// The call.
        id: CallId,
        /// Its kind.
        kind: CallKind,
    },
    /// Peer: a call was answered with a status that ends the session: 404 or 5xx.
    #[error("call {id} ({kind}) was answered {status}: {text}")]
    CallStatus {
        /// The call.
        id: CallId,
        /// Its kind.
        kind: CallKind,
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
    /// Peer: a call was refused, and then the stream was silent for a whole heartbeat interval.
    #[error("silent after a call was refused")]
    Suspect,
    /// Caller: the credentials were refused, and the client waits for new ones.
    #[error("the credentials were refused")]
    Unauthorized,
}

/// Why a framework cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FatalReason {
    /// Another instance has subscribed with the same framework id. Subscribing again would throw that one out.
    FailedOver,
    /// The framework has been torn down, or its failover timeout has passed: this id is spent.
    Removed,
    /// The master's ERROR says something else; it is always final.
    Other(String),
    /// 401: the master wants credentials, or other ones.
    Unauthorized {
        /// The master that said so.
        master: Endpoint,
        /// The body, for people; cut to 4 KiB.
        text: String,
        /// Whether there are credentials that were held back, because a redirect led to a master that isn't
        /// configured: see [`trust_redirects`](super::Config::trust_redirects).
        withheld: bool,
    },
    /// SUBSCRIBE was answered with 400, 403, 405, 406, 415 or another status that no repetition can change.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The body, for people; cut to 4 KiB.
        text: String,
    },
}

impl FatalReason {
    /// Sorts the text of an ERROR event. The only place that reads a text meant for people; nothing hangs on it but
    /// the name of the reason, and whether a teardown has succeeded.
    pub(super) fn from_error(text: String) -> Self {
        if text.contains("failed over") {
            Self::FailedOver
        } else if text.contains("has been removed") {
            Self::Removed
        } else {
            Self::Other(text)
        }
    }
}

impl fmt::Display for FatalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedOver => f.write_str("another instance has taken the framework over"),
            Self::Removed => f.write_str("the framework has been removed"),
            Self::Other(text) => write!(f, "the master reports: {text}"),
            Self::Unauthorized { master, text, withheld: false } => {
                write!(f, "{master} refused the credentials: {text}")
            }
            Self::Unauthorized { master, .. } => {
                write!(
                    f,
                    "a redirect led to {master}, which wants credentials; it isn't configured, and trust_redirects is off"
                )
            }
            Self::Refused { status, text } => write!(f, "SUBSCRIBE was refused with {status}: {text}"),
        }
    }
}

impl core::error::Error for FatalReason {}
