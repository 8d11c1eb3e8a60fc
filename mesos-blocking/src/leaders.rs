//! The detector's thread.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{Builder, Thread};
use std::time::{Duration, Instant};

use mesos_core::Detector;
use tracing::warn;

use crate::block_on::block_on_unless;
use crate::mailbox::Mailbox;

/// How long a system that has no thread to give is left alone.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Follows the leading master. Dropping it after the mailbox was closed ends its thread.
pub(crate) struct Leaders {
    /// The work, until it has a thread.
    idle: Option<Work>,
    /// No thread could be had: not before this.
    again_at: Option<Instant>,
    thread: Option<Thread>,
    /// Where threads come from; tests have a place that has none.
    pub(crate) spawn: fn(Work) -> io::Result<Thread>,
}

impl Leaders {
    pub(crate) fn new<D: Detector + 'static>(mut detector: D, mailbox: Arc<Mailbox>) -> Self {
        let work = move || {
            while let Some(leader) = block_on_unless(detector.next(), || mailbox.closed().is_some()) {
                mailbox.leader(leader);
            }
        };
        Self { idle: Some(Box::new(work)), again_at: None, thread: None, spawn }
    }

    /// Starts the thread, unless it has; when to call this again, if none can be had now.
    pub(crate) fn start(&mut self) -> Option<Instant> {
        if self.again_at.is_some_and(|at| at > Instant::now()) {
            return self.again_at;
        }
        self.again_at = None;
        let work = self.idle.take()?;
        // Handed over once there is a thread: a spawn that fails drops what it was given.
        let (hand, handed) = channel::<Work>();
        let spawned = (self.spawn)(Box::new(move || {
            if let Ok(work) = handed.recv() {
                work();
            }
        }));
        match spawned {
            Ok(thread) => {
                self.thread = Some(thread);
                // It waits for this and nothing else.
                let _ = hand.send(work);
            }
            Err(error) => {
                // Without a leader, nothing is subscribed to: nobody would know why.
                warn!(%error, "no thread for the detector, trying again");
                self.idle = Some(work);
                self.again_at = Instant::now().checked_add(PAUSE);
            }
        }
        self.again_at
    }
}

pub(crate) fn spawn(work: Work) -> io::Result<Thread> {
    Builder::new().name("mesos-detector".into()).spawn(work).map(|handle| handle.thread().clone())
}

impl Drop for Leaders {
    fn drop(&mut self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}
