//! What an exchange tells, on its way from one task or thread to another.

use bytes::Bytes;

use crate::{ExchangeId, Failure, Head, Input};

/// What an exchange has to tell: an [`Input`] that owns its bytes, for queues between whoever reads a connection and
/// whoever runs the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the course of an HTTP exchange")]
pub enum Report {
    /// Status and headers.
    Head(ExchangeId, Head),
    /// A piece of the body.
    Body(ExchangeId, Bytes),
    /// The body's orderly end; the last report.
    End(ExchangeId),
    /// The exchange failed; the last report.
    Failed(ExchangeId, Failure),
}

impl Report {
    /// Which exchange.
    #[must_use]
    pub const fn id(&self) -> ExchangeId {
        match self {
            Self::Head(id, _) | Self::Body(id, _) | Self::End(id) | Self::Failed(id, _) => *id,
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::End(_) | Self::Failed(..))
    }

    /// Lends it as an input.
    pub fn lend<R>(self, take: impl FnOnce(Input<'_>) -> R) -> R {
        match self {
            Self::Head(id, head) => take(Input::Head { id, head }),
            Self::Body(id, data) => take(Input::Body { id, data: &data }),
            Self::End(id) => take(Input::End { id }),
            Self::Failed(id, failure) => take(Input::Failed { id, failure }),
        }
    }
}
