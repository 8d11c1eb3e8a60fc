//! How a run can fail, each way with its own exit code.

use std::process::ExitCode;

use mesos_file::OpenError;
use mesos_tokio::mesos_core::StoreFailure;
use mesos_tokio::mesos_core::engine::RecoverError;
use mesos_tokio::mesos_core::scheduler::FatalReason;
use mesos_zk::{TakeOverError, ZkError};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// Options or files (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// The master or the protocol won't have it (exit codes 3 to 6).
    #[error("{0}")]
    Fatal(FatalReason),
    /// No subscription in all the time (exit code 7).
    #[error("no master took the subscription; the last attempt: {0}")]
    NeverSubscribed(String),
    /// The teardown wasn't confirmed (exit code 8).
    #[error("the framework could not be torn down in time: it stays for its failover timeout")]
    NotRemoved,
    /// Another instance has taken the store (exit code 9).
    #[error(transparent)]
    Fenced(StoreFailure),
    /// The store can't be opened (exit code 9 if another instance has it open, else 10).
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// ZooKeeper won't have it (exit code 10).
    #[error(transparent)]
    Zk(#[from] ZkError),
    /// What npm's `mesos-framework` has left can't be taken over (exit code 10).
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// The store can't take a record (exit code 10).
    #[error(transparent)]
    StoreRefused(StoreFailure),
    /// The tasks can't be run (exit code 2), or not with these records (exit code 11).
    #[error(transparent)]
    Recover(#[from] RecoverError),
}

impl Failed {
    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Recover(RecoverError::Specs(_) | RecoverError::SameName(_)) => 2,
            Self::Fatal(FatalReason::Unauthorized { .. }) => 3,
            Self::Fatal(FatalReason::FailedOver) => 4,
            Self::Fatal(FatalReason::Removed) => 5,
            Self::Fatal(_) => 6,
            Self::NeverSubscribed(_) => 7,
            Self::NotRemoved => 8,
            Self::Fenced(_) | Self::Open(OpenError::Locked { .. }) => 9,
            Self::StoreRefused(_) | Self::Open(_) | Self::Zk(_) | Self::TakeOver(_) => 10,
            Self::Recover(_) => 11,
        })
    }

    /// Says it on stderr.
    #[allow(clippy::print_stderr, reason = "the examples' end")]
    #[must_use]
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        self.code()
    }
}
