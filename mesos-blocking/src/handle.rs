//! Commands from other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, channel};

use crate::mailbox::Mailbox;

pub(crate) type Command<M> = Box<dyn FnOnce(&mut M) + Send>;

/// Gives commands to a driver, from any thread. Cheap to clone.
pub struct Handle<M> {
    commands: SyncSender<Command<M>>,
    mailbox: Arc<Mailbox>,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), mailbox: self.mailbox.clone() }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("ended", &self.mailbox.closed()).finish_non_exhaustive()
    }
}

/// Why a driver takes no more commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The machine's last event has been delivered.
    #[error("the driver has ended")]
    Finished,
    /// The driver's thread panicked, in a command or on its own account: connections are closed.
    #[error("the driver's thread panicked")]
    Panicked,
    /// The driver was dropped.
    #[error("the driver was dropped")]
    Dropped,
}

impl<M> Handle<M> {
    pub(crate) const fn new(commands: SyncSender<Command<M>>, mailbox: Arc<Mailbox>) -> Self {
        Self { commands, mailbox }
    }

    /// Runs a command on the machine, at the present time, and returns what it returns.
    ///
    /// Commands run in the order in which they come, on the thread that waits in
    /// [`next_event`](crate::Driver::next_event), before it delivers its next event; while it does something else, they
    /// wait, and so does this. On the driver's own thread this would wait for ever: use
    /// [`with`](crate::Driver::with) there.
    ///
    /// A command that panics unwinds through `next_event`.
    ///
    /// # Errors
    ///
    /// [`Closed`], if the driver has ended. The command may or may not have run if it ended just now.
    pub fn command<R, F>(&self, command: F) -> Result<R, Closed>
    where
        R: Send + 'static,
        F: FnOnce(&mut M) -> R + Send + 'static,
    {
        let (answer, answered) = channel();
        let boxed: Command<M> = Box::new(move |machine| {
            // Nobody waits any more if it fails.
            let _ = answer.send(command(machine));
        });
        if let Some(why) = self.mailbox.closed() {
            return Err(why);
        }
        if self.commands.send(boxed).is_err() {
            return Err(self.closed());
        }
        self.mailbox.ring();
        answered.recv().map_err(|_| self.closed())
    }

    /// Waits until the driver has ended, and tells why.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.mailbox.wait_closed()
    }
}
