//! The spawned face: a task that runs the machine, a handle for commands and a stream of events.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use mesos_core::Machine;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::core_loop::Core;

/// Events that wait for their reader; beyond, the subscription isn't read any further.
const EVENT_QUEUE: usize = 64;
/// Commands that wait for the task; beyond, [`Handle::command`] waits.
const COMMAND_QUEUE: usize = 64;

type Command<M> = Box<dyn FnOnce(&mut M) + Send>;

/// Gives commands to a spawned driver, from any task. Cheap to clone.
pub struct Handle<M> {
    commands: mpsc::Sender<Command<M>>,
    ended: watch::Receiver<Option<Closed>>,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), ended: self.ended.clone() }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

/// Why a spawned driver takes no more commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The machine's last event has been delivered, or there was nobody left to deliver to.
    #[error("the driver has ended")]
    Finished,
    /// A command (or the machine) panicked, and took the driver with it: connections are closed.
    #[error("the driver's task panicked")]
    Panicked,
    /// The runtime shut down and dropped the driver.
    #[error("the runtime has shut down")]
    Dropped,
}

impl<M> Handle<M> {
    /// Runs a command on the machine, at the present time, and returns what it returns.
    ///
    /// Commands run in the order in which they come, also while events wait unread; a reader of events may await
    /// this. If the returned future is dropped while the command is queued, the command runs all the same.
    ///
    /// A command that panics ends the driver; see [`closed`](Self::closed).
    ///
    /// # Errors
    ///
    /// [`Closed`], if the driver has ended. The command may or may not have run if it ended just now.
    pub async fn command<R, F>(&self, command: F) -> Result<R, Closed>
    where
        R: Send + 'static,
        F: FnOnce(&mut M) -> R + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let boxed: Command<M> = Box::new(move |machine| {
            // Nobody waits any more if it fails.
            let _ = answer.send(command(machine));
        });
        if self.commands.send(boxed).await.is_err() {
            return Err(self.closed().await);
        }
        match answered.await {
            Ok(result) => Ok(result),
            Err(_) => Err(self.closed().await),
        }
    }

    /// Waits until the driver has ended, and tells why.
    pub async fn closed(&self) -> Closed {
        let mut ended = self.ended.clone();
        let reason = match ended.wait_for(Option::is_some).await {
            Ok(reason) => *reason,
            Err(_) => None,
        };
        reason.unwrap_or(Closed::Dropped)
    }
}

/// The events of a spawned driver, in order; ends after the machine's last one.
///
/// Whoever reads slowly slows the master down, not the commands: the subscription is read no further until the
/// events so far have been taken. Dropping it discards all further events, and the driver goes on for its handles.
#[derive(Debug)]
pub struct Events<E> {
    events: mpsc::Receiver<E>,
}

impl<E> Events<E> {
    /// The next event; `None` after the last one. Cancel-safe.
    pub async fn next(&mut self) -> Option<E> {
        self.events.recv().await
    }
}

impl<E> Stream for Events<E> {
    type Item = E;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<E>> {
        self.events.poll_recv(cx)
    }
}

/// Says how the task ended, even if it unwinds.
struct Ending {
    ended: watch::Sender<Option<Closed>>,
    finished: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let reason = match () {
            () if self.finished => Closed::Finished,
            () if std::thread::panicking() => Closed::Panicked,
            () => Closed::Dropped,
        };
        self.ended.send_replace(Some(reason));
    }
}

pub(crate) fn spawn<M>(core: Core<M>) -> (Handle<M>, Events<M::Event>)
where
    M: Machine + Send + 'static,
    M::Event: Send + 'static,
{
    let (commands, queued) = mpsc::channel(COMMAND_QUEUE);
    let (sender, events) = mpsc::channel(EVENT_QUEUE);
    let (ended_tx, ended) = watch::channel(None);
    tokio::spawn(async move {
        let mut ending = Ending { ended: ended_tx, finished: false };
        run(core, queued, sender).await;
        ending.finished = true;
    });
    (Handle { commands, ended }, Events { events })
}

async fn run<M: Machine>(mut core: Core<M>, mut commands: mpsc::Receiver<Command<M>>, events: mpsc::Sender<M::Event>) {
    core.start();
    let mut handles = true;
    loop {
        deliver(&mut core, &events);
        if !core.pump.has_events() && core.is_finished() {
            return core.close().await;
        }
        if !handles && events.is_closed() {
            return;
        }
        tokio::select! {
            biased;
            // Room again: the next round delivers. Never awaited alone, as the reader may be waiting for a command.
            _ = events.reserve(), if core.pump.has_events() => {}
            command = commands.recv(), if handles => match command {
                Some(command) => core.command(command),
                None => handles = false,
            },
            () = events.closed(), if !handles => return,
            () = core.turn() => {}
        }
    }
}

/// Hands over as many held events as there is room for.
fn deliver<M: Machine>(core: &mut Core<M>, events: &mpsc::Sender<M::Event>) {
    while let Some(event) = core.pump.next_event() {
        match events.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(event)) => {
                core.pump.put_back(event);
                return;
            }
            // Nobody listens any more: events are discarded, the work goes on.
            Err(TrySendError::Closed(_)) => {}
        }
    }
}
