//! The detector's thread.

use std::sync::Arc;
use std::thread::{Builder, Thread};

use mesos_core::Detector;

use crate::block_on::block_on_unless;
use crate::mailbox::Mailbox;

type Work = Box<dyn FnOnce() + Send>;

/// Follows the leading master. Dropping it after the mailbox was closed ends its thread.
pub(crate) struct Leaders {
    /// The work, until the driver starts.
    idle: Option<Work>,
    thread: Option<Thread>,
}

impl Leaders {
    pub(crate) fn new<D: Detector + 'static>(mut detector: D, mailbox: Arc<Mailbox>) -> Self {
        let work = move || {
            while let Some(leader) = block_on_unless(detector.next(), || mailbox.closed().is_some()) {
                mailbox.leader(leader);
            }
        };
        Self { idle: Some(Box::new(work)), thread: None }
    }

    pub(crate) fn start(&mut self) {
        if let Some(work) = self.idle.take() {
            let spawned = Builder::new().name("mesos-detector".into()).spawn(work);
            self.thread = spawned.ok().map(|handle| handle.thread().clone());
        }
    }
}

impl Drop for Leaders {
    fn drop(&mut self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}
