//! Stores to test drivers with.

use std::future::Future;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mesos_core::{Persist, Store, StoreFailure};

use super::{Driver, HANG, Http, Log, Puppet};

/// Blocks its thread for each batch until the test gives the answer; logs what happens to it.
pub struct Gated {
    answers: Receiver<Result<(), StoreFailure>>,
    log: Log<String>,
}

pub fn gated() -> (Gated, Sender<Result<(), StoreFailure>>, Log<String>) {
    let (sender, answers) = channel();
    let log = Log::new();
    (Gated { answers, log: log.clone() }, sender, log)
}

impl Store for Gated {
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        self.log.push(format!("begin {}", batch.ticket()));
        let answer = self.answers.recv_timeout(HANG).expect("an answer");
        self.log.push(format!("end {}", batch.ticket()));
        answer
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        // As long as closing files may take.
        std::thread::sleep(Duration::from_millis(20));
        self.log.push(format!("dropped by {}", std::thread::current().name().unwrap_or_default()));
    }
}

/// A store made of a closure.
pub struct Each<F>(pub F);

impl<F, R> Store for Each<F>
where
    F: FnMut(u64) -> R + Send,
    R: Future<Output = Result<(), StoreFailure>> + Send,
{
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        self.0(batch.ticket().number()).await
    }
}

pub fn kept_in<S: Store + 'static>(store: S) -> Driver<Puppet> {
    Driver::new(Puppet::default(), Http::default()).store(store)
}

pub fn unavailable() -> StoreFailure {
    StoreFailure::Unavailable("away".into())
}
