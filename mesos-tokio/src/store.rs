//! The store as the runtime sees it: its thread writes, its answers come through a channel.

use mesos_core::{Persist, Store, StoreFailure, Ticket};
use mesos_driver::StoreThread;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub(crate) type Answer = (Ticket, Result<(), StoreFailure>);

/// Writes the batches of one driver. Dropping it lets the batch under way finish, and then the thread ends.
pub(crate) struct Writer {
    thread: StoreThread,
    answers: Option<mpsc::UnboundedReceiver<Answer>>,
}

impl Writer {
    pub(crate) fn new<S: Store + 'static>(store: S) -> Self {
        Self { thread: StoreThread::new(store), answers: None }
    }

    /// Hands a batch to the thread, which the first one starts: it needs the runtime, so it can't start any earlier than
    /// the machine.
    pub(crate) fn write(&mut self, batch: Persist) -> Result<(), StoreFailure> {
        self.thread.write(batch, || {
            let runtime = Handle::current();
            let (sender, answers) = mpsc::unbounded_channel();
            self.answers = Some(answers);
            // The driver is gone if an answer can't be sent, but what it gave before is still written.
            (move |applied| runtime.block_on(applied), move |ticket, result| drop(sender.send((ticket, result))))
        })
    }

    /// The next answer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Answer {
        match &mut self.answers {
            Some(answers) => match answers.recv().await {
                Some(answer) => answer,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// An answer that is waiting already.
    pub(crate) fn try_next(&mut self) -> Option<Answer> {
        self.answers.as_mut()?.try_recv().ok()
    }

    /// Takes no more batches, and waits until the thread has let go of the store. Cancel-safe.
    pub(crate) async fn close(&mut self) {
        self.thread.close();
        if let Some(answers) = &mut self.answers {
            while answers.recv().await.is_some() {}
        }
    }
}
