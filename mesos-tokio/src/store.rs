//! The store's thread: batches in, answers out, nothing of it on the runtime's threads.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as blocking;
use std::thread;

use mesos_core::{Persist, Store, StoreFailure, Ticket};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::debug;

type Apply = Box<dyn FnMut(&Handle, &Persist) -> Result<(), StoreFailure> + Send>;

pub(crate) type Answer = (Ticket, Result<(), StoreFailure>);

/// Writes the batches of one driver. Dropping it lets the batch under way finish, and then the thread ends.
pub(crate) struct Writer {
    /// The store, until its thread has it.
    idle: Option<Apply>,
    /// The thread, while it takes batches and owes answers.
    thread: Option<(blocking::Sender<Persist>, mpsc::UnboundedReceiver<Answer>)>,
    /// Batches without an answer. Machines ask for one at a time; that bounds the channels as well.
    open: VecDeque<Ticket>,
}

impl Writer {
    pub(crate) fn new<S: Store + 'static>(mut store: S) -> Self {
        let apply: Apply = Box::new(move |runtime, batch| runtime.block_on(store.apply(batch)));
        Self { idle: Some(apply), thread: None, open: VecDeque::new() }
    }

    /// Hands a batch to the thread, which the first one starts.
    ///
    /// # Errors
    ///
    /// The answer, if there is no thread to give another one.
    pub(crate) fn write(&mut self, batch: Persist) -> Result<(), StoreFailure> {
        let ticket = batch.ticket();
        debug!(%ticket, ops = batch.ops().len(), "batch");
        self.start()?;
        let (batches, _) = self.thread.as_ref().ok_or_else(ended)?;
        batches.send(batch).map_err(|_| ended())?;
        self.open.push_back(ticket);
        Ok(())
    }

    /// The thread needs the runtime, so it can't start any earlier than the machine.
    fn start(&mut self) -> Result<(), StoreFailure> {
        let Some(apply) = self.idle.take() else { return Ok(()) };
        let (batches, queue) = blocking::channel();
        let (sender, answers) = mpsc::unbounded_channel();
        // Handed over once there is a thread: if none can be had now, the store must still be there next time.
        let (hand, handed) = blocking::channel();
        let runtime = Handle::current();
        let spawned = thread::Builder::new().name("mesos-store".into()).spawn(move || {
            if let Ok(apply) = handed.recv() {
                work(apply, &runtime, &queue, &sender);
            }
        });
        match spawned {
            Ok(_) => {
                self.thread = Some((batches, answers));
                hand.send(apply).map_err(|_| ended())
            }
            Err(error) => {
                self.idle = Some(apply);
                Err(StoreFailure::Unavailable(format!("no thread for the store: {error}")))
            }
        }
    }

    /// Whether nothing waits for an answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The next answer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Answer {
        let answer = match &mut self.thread {
            Some((_, answers)) => answers.recv().await,
            None => None,
        };
        match (answer, self.open.pop_front()) {
            (Some(answer), _) => answer,
            (None, Some(ticket)) => (ticket, Err(ended())),
            (None, None) => std::future::pending().await,
        }
    }

    /// An answer that is waiting already.
    pub(crate) fn try_next(&mut self) -> Option<Answer> {
        let (_, answers) = self.thread.as_mut()?;
        let answer = answers.try_recv().ok()?;
        self.open.pop_front();
        Some(answer)
    }

    /// Takes no more batches, and waits until the thread has let go of the store. Cancel-safe.
    pub(crate) async fn close(&mut self) {
        self.idle = None;
        if let Some((batches, answers)) = &mut self.thread {
            // Another one in its place, whose other end is gone.
            *batches = blocking::channel().0;
            while answers.recv().await.is_some() {}
        }
    }
}

fn work(
    mut apply: Apply,
    runtime: &Handle,
    batches: &blocking::Receiver<Persist>,
    answers: &mpsc::UnboundedSender<Answer>,
) {
    for batch in batches {
        // Nothing that it may have left half-done is used again: after a panic the store goes.
        let result = catch_unwind(AssertUnwindSafe(|| apply(runtime, &batch)));
        let panicked = result.is_err();
        let result = result.unwrap_or_else(|payload| Err(refused(format!("it panicked: {}", message(&*payload)))));
        if let Err(failure) = &result {
            debug!(ticket = %batch.ticket(), %failure, "batch failed");
        }
        // The driver is gone if this fails, but what it gave before is still written.
        let _ = answers.send((batch.ticket(), result));
        if panicked {
            return;
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn refused(detail: String) -> StoreFailure {
    StoreFailure::Refused { key: None, detail }
}

fn ended() -> StoreFailure {
    refused("its thread has ended".into())
}
