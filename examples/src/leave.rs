//! When to leave, and how.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::Failed;

/// How long a teardown may take before the framework is left as it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Remove the framework with its tasks.
    Teardown,
    /// Go, and leave framework and tasks to the failover timeout.
    Disconnect,
}

/// Watches the time and the signals of the process.
#[derive(Debug)]
pub struct Leave {
    at: Option<Instant>,
    at_signal: How,
    leaving: bool,
    interrupt: Signal,
    terminate: Signal,
}

impl Leave {
    /// Leaves after this time (never, if it is zero) by a teardown, or at SIGINT or SIGTERM, by a teardown if so
    /// wanted.
    ///
    /// # Errors
    ///
    /// Signals cannot be watched.
    pub fn new(after: Duration, teardown_at_signal: bool) -> Result<Self, Failed> {
        let watch = |kind| signal(kind).map_err(|e| Failed::Usage(format!("signals: {e}")));
        Ok(Self {
            at: (!after.is_zero()).then(|| Instant::now() + after),
            at_signal: if teardown_at_signal { How::Teardown } else { How::Disconnect },
            leaving: false,
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    /// Waits until it is time. After a teardown that takes too long, or at a second signal, it is time again, to
    /// disconnect. Cancel-safe.
    pub async fn time(&mut self) -> How {
        let at = self.at;
        let time = async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let how = tokio::select! {
            () = time => How::Teardown,
            _ = self.interrupt.recv() => self.at_signal,
            _ = self.terminate.recv() => self.at_signal,
        };
        self.at = Some(Instant::now() + PATIENCE);
        if std::mem::replace(&mut self.leaving, true) { How::Disconnect } else { how }
    }
}
