//! The store's thread: batches in, answers out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use mesos_core::{Persist, Store, StoreFailure, Ticket};
use tracing::debug;

/// A batch being applied by a store.
pub type Applied<'a> = Pin<Box<dyn Future<Output = Result<(), StoreFailure>> + Send + 'a>>;

/// A store of any type.
trait AnyStore: Send {
    fn apply<'a>(&'a mut self, batch: &'a Persist) -> Applied<'a>;
}

impl<S: Store> AnyStore for S {
    fn apply<'a>(&'a mut self, batch: &'a Persist) -> Applied<'a> {
        Box::pin(Store::apply(self, batch))
    }
}

/// Writes the batches of one machine on a thread named `mesos-store`, which the first batch starts. The store may block
/// there.
///
/// A store that panics is dropped; its batch, and each later one, counts as [`Refused`](StoreFailure::Refused), for
/// nothing that it may have left half-done is used again. Each batch has exactly one answer, even if the store panics
/// once more as it is dropped.
///
/// Dropping this waits for nothing: the batch under way is finished, and then the store dropped, on its own thread.
///
/// In [`Effects::persist`](mesos_core::Effects::persist), with a channel for the answers:
///
/// ```
/// # use mesos_core::{MemoryStore, Persist, StoreFailure, Ticket};
/// use std::pin::pin;
/// use std::sync::mpsc;
/// use std::task::{Context, Poll, Waker};
///
/// use mesos_driver::{Applied, StoreThread};
///
/// type Answer = (Ticket, Result<(), StoreFailure>);
///
/// fn persist(
///     store: &mut StoreThread,
///     answers: &mpsc::Sender<Answer>,
///     batch: Persist,
/// ) -> Option<Result<(), StoreFailure>> {
///     let started = store.write(batch, || {
///         let answers = answers.clone();
///         (wait, move |ticket, result| drop(answers.send((ticket, result))))
///     });
///     started.err().map(Err) // None: the answer follows.
/// }
///
/// /// A runtime has its own way; this one is for stores that block, as one on a disk does.
/// fn wait(applied: Applied<'_>) -> Result<(), StoreFailure> {
///     match pin!(applied).poll(&mut Context::from_waker(Waker::noop())) {
///         Poll::Ready(result) => result,
///         Poll::Pending => Err(StoreFailure::Unavailable("this store needs a runtime".into())),
///     }
/// }
///
/// let (answers, inbox) = mpsc::channel();
/// let mut store = StoreThread::new(MemoryStore::new());
/// # let batch = Persist::new(Ticket::new(1), Vec::new());
/// assert_eq!(persist(&mut store, &answers, batch), None);
/// let (ticket, result) = inbox.recv()?; // for `Pump::stored`
/// assert_eq!(result, Ok(()));
/// # Ok::<(), mpsc::RecvError>(())
/// ```
pub struct StoreThread {
    /// The store, until its thread has it.
    idle: Option<Box<dyn AnyStore>>,
    running: Option<(mpsc::Sender<Persist>, JoinHandle<()>)>,
}

impl std::fmt::Debug for StoreThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreThread").field("running", &self.running.is_some()).finish_non_exhaustive()
    }
}

impl StoreThread {
    /// Takes the store, and does nothing so far.
    #[must_use]
    pub fn new<S: Store + 'static>(store: S) -> Self {
        Self { idle: Some(Box::new(store)), running: None }
    }

    /// Hands a batch to the thread, and starts this if it is the first one: `start` makes what runs a store's future to
    /// its end, and what takes the answers, which is dropped when the store has been let go.
    ///
    /// # Errors
    ///
    /// The answer, if there is no thread to give another one.
    pub fn write<D, A>(&mut self, batch: Persist, start: impl FnOnce() -> (D, A)) -> Result<(), StoreFailure>
    where
        D: FnMut(Applied<'_>) -> Result<(), StoreFailure> + Send + 'static,
        A: FnMut(Ticket, Result<(), StoreFailure>) + Send + 'static,
    {
        debug!(ticket = %batch.ticket(), ops = batch.ops().len(), "batch");
        if let Some(store) = self.idle.take() {
            let (drive, answer) = start();
            self.start(store, drive, answer)?;
        }
        let (batches, _) = self.running.as_ref().ok_or_else(ended)?;
        batches.send(batch).map_err(|_| ended())
    }

    fn start<D, A>(&mut self, store: Box<dyn AnyStore>, drive: D, answer: A) -> Result<(), StoreFailure>
    where
        D: FnMut(Applied<'_>) -> Result<(), StoreFailure> + Send + 'static,
        A: FnMut(Ticket, Result<(), StoreFailure>) + Send + 'static,
    {
        let (batches, queue) = mpsc::channel();
        // Handed over once there is a thread: if none can be had now, the store must still be there next time.
        let (hand, handed) = mpsc::channel();
        let spawned = thread::Builder::new().name("mesos-store".into()).spawn(move || {
            if let Ok(store) = handed.recv() {
                work(store, drive, answer, &queue);
            }
        });
        match spawned {
            Ok(thread) => {
                self.running = Some((batches, thread));
                hand.send(store).map_err(|_| ended())
            }
            Err(error) => {
                self.idle = Some(store);
                Err(StoreFailure::Unavailable(format!("no thread for the store: {error}")))
            }
        }
    }

    /// Takes no more batches. The thread, if there is one, ends after the batch under way, and then the store is free
    /// for others to open.
    pub fn close(&mut self) -> Option<JoinHandle<()>> {
        let_go(self.idle.take());
        self.running.take().map(|(_, thread)| thread)
    }
}

fn work<D, A>(store: Box<dyn AnyStore>, mut drive: D, mut answer: A, batches: &mpsc::Receiver<Persist>)
where
    D: FnMut(Applied<'_>) -> Result<(), StoreFailure>,
    A: FnMut(Ticket, Result<(), StoreFailure>),
{
    let mut store = Some(store);
    for batch in batches {
        let result = match &mut store {
            Some(alive) => catch_unwind(AssertUnwindSafe(|| drive(alive.apply(&batch)))),
            None => Ok(Err(refused("it panicked before".into()))),
        };
        let result = result.unwrap_or_else(|payload| {
            let failure = refused(format!("it panicked: {}", message(&*payload)));
            let_go(store.take());
            let_go(payload);
            Err(failure)
        });
        if let Err(failure) = &result {
            debug!(ticket = %batch.ticket(), %failure, "batch failed");
        }
        answer(batch.ticket(), result);
    }
    // Free for others before anybody hears that this has ended.
    let_go(store);
}

/// Drops what is another's. After one panic there is often another, of a poisoned lock: it must not take the answers with
/// it that are still owed.
fn let_go<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        debug!(panic = message(&*payload), "the store panicked while it was dropped");
        // Which may panic in its turn.
        std::mem::forget(payload);
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
    refused("the store has been let go".into())
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use mesos_core::MemoryStore;

    use super::*;

    /// Fails at one batch, if at any, and whenever it is dropped.
    struct Brittle {
        panics_at: Option<u64>,
    }

    impl Store for Brittle {
        async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
            assert_ne!(self.panics_at, Some(batch.ticket().number()), "expected in the test's output");
            Ok(())
        }
    }

    impl Drop for Brittle {
        fn drop(&mut self) {
            panic!("expected in the test's output, too");
        }
    }

    type Answers = mpsc::Receiver<(Ticket, Result<(), StoreFailure>)>;

    fn wait(applied: Applied<'_>) -> Result<(), StoreFailure> {
        match pin!(applied).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("no store here waits"),
        }
    }

    /// Writes so many batches.
    fn write(store: &mut StoreThread, batches: u64) -> Answers {
        let (sender, answers) = mpsc::channel();
        for n in 1..=batches {
            let sender = sender.clone();
            let batch = Persist::new(Ticket::new(n), vec![]);
            let start = move || (wait, move |ticket, result| drop(sender.send((ticket, result))));
            assert_eq!(store.write(batch, start), Ok(()), "{n}");
        }
        answers
    }

    fn detail(result: &Result<(), StoreFailure>) -> &str {
        match result {
            Err(StoreFailure::Refused { key: None, detail }) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_whose_drop_panics_too_leaves_no_batch_without_an_answer() {
        let mut store = StoreThread::new(Brittle { panics_at: Some(2) });
        let answers: Vec<_> = write(&mut store, 4).iter().take(4).collect();
        let tickets: Vec<_> = answers.iter().map(|(ticket, _)| ticket.number()).collect();
        assert_eq!(tickets, [1, 2, 3, 4]);
        assert_eq!(answers[0].1, Ok(()));
        assert!(detail(&answers[1].1).starts_with("it panicked: "), "{answers:?}");
        assert_eq!(detail(&answers[2].1), "it panicked before");
        assert_eq!(detail(&answers[3].1), "it panicked before");
        assert!(store.close().unwrap().join().is_ok());
    }

    #[test]
    fn one_that_panics_when_it_is_let_go_hurts_nobody() {
        let mut store = StoreThread::new(Brittle { panics_at: None });
        assert_eq!(write(&mut store, 1).recv().unwrap().1, Ok(()));
        assert!(store.close().unwrap().join().is_ok());
        // Nor on the caller's thread, if there never was a batch.
        assert!(StoreThread::new(Brittle { panics_at: None }).close().is_none());
    }

    #[test]
    fn a_closed_one_says_that_it_is_closed() {
        let mut store = StoreThread::new(MemoryStore::new());
        assert!(store.close().is_none());
        let batch = Persist::new(Ticket::new(1), vec![]);
        let answer = store.write(batch, || (wait, |_, _| {}));
        assert_eq!(detail(&answer), "the store has been let go");
    }
}
