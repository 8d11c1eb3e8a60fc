//! What can go wrong with ZooKeeper.

use mesos_core::StoreFailure;
use zookeeper_client::Error;

/// Why something could not be done at ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZkError {
    /// No server answers in time, or none that has a quorum; it may be otherwise later. Whether a change was made isn't
    /// known.
    #[error("ZooKeeper is unavailable: {0}")]
    Unavailable(String),
    /// The session has ended, and with it the leadership that hung on it.
    #[error("leadership is lost: {0}")]
    Lost(String),
    /// The leader has ended the framework, and with it the campaigns of all that waited
    /// ([`Lease::end`](crate::Lease::end)).
    #[error("the framework has been ended by its leader")]
    Ended,
    /// The servers don't accept the credentials.
    #[error("ZooKeeper refuses the credentials")]
    Unauthorized,
    /// The credentials, or having none, don't allow this.
    #[error("ZooKeeper: no permission for {path}")]
    NoPermission {
        /// The node.
        path: String,
    },
    /// The servers won't do it, now and later.
    #[error("ZooKeeper refuses {path}: {detail}")]
    Refused {
        /// The node.
        path: String,
        /// Why, for people.
        detail: String,
    },
    /// The system gives no thread.
    #[error("no thread for ZooKeeper: {0}")]
    Thread(String),
}

impl ZkError {
    /// What the client says of an operation on this node.
    pub(crate) fn new(error: &Error, path: &str) -> Self {
        let path = || path.to_owned();
        match error {
            Error::NoAuth => Self::NoPermission { path: path() },
            Error::AuthFailed => Self::Unauthorized,
            Error::BadArguments(_)
            | Error::InvalidAcl
            | Error::NoChildrenForEphemerals
            | Error::QuotaExceeded
            | Error::Unimplemented
            | Error::MarshallingError => Self::Refused { path: path(), detail: error.to_string() },
            _ => Self::Unavailable(error.to_string()),
        }
    }

    pub(crate) fn timeout() -> Self {
        Self::Unavailable("no answer in time".into())
    }
}

impl From<ZkError> for StoreFailure {
    fn from(error: ZkError) -> Self {
        match error {
            ZkError::Unavailable(detail) => Self::Unavailable(detail),
            ZkError::Lost(detail) => Self::Fenced(detail),
            error => Self::Refused { key: None, detail: error.to_string() },
        }
    }
}
