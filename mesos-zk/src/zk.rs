//! The connection: a thread of its own, and on it a session, which is replaced when it has ended.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error};

use crate::{Settings, ZkError};

/// How long the thread stays after its last user has gone, to take leave of the servers.
const LINGER: Duration = Duration::from_millis(250);

/// A connection to ZooKeeper. Cheap to clone: all clones share one session.
///
/// It has a thread of its own, named `mesos-zk`, with all timers and tasks of this crate on it. So the futures of this
/// crate need no runtime, and any executor will do; and a program that is busy elsewhere doesn't lose its session. The
/// thread ends with the last clone and all that was made from it.
#[derive(Clone)]
pub struct Zk {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    runtime: Handle,
    session: Mutex<Option<Client>>,
    /// Ends the thread when it goes.
    _stop: oneshot::Sender<()>,
}

impl Zk {
    /// Starts the thread. A connection is made when one is needed.
    ///
    /// # Errors
    /// [`ZkError::Thread`].
    pub fn new(settings: Settings) -> Result<Self, ZkError> {
        let failed = |error: std::io::Error| ZkError::Thread(error.to_string());
        let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            runtime.block_on(async {
                let _ = stopped.await;
                tokio::time::sleep(LINGER).await;
            });
        };
        thread::Builder::new().name("mesos-zk".into()).spawn(work).map_err(failed)?;
        let inner = Inner { settings, runtime: handle, session: Mutex::new(None), _stop: stop };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How it connects.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Runs this on the thread, whoever waits for it and wherever, and for no longer than somebody waits.
    pub(crate) fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T, ZkError>> + Send + 'static + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ZkError>> + Send + 'static,
    {
        let mut task = Task(self.inner.runtime.spawn(work));
        async move { (&mut task.0).await.unwrap_or_else(|error| Err(ZkError::Unavailable(error.to_string()))) }
    }

    /// Runs this on the thread to its end.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(work);
    }

    /// A client whose session hasn't ended, as far as anybody knows. On the thread only.
    pub(crate) async fn client(&self) -> Result<Client, ZkError> {
        let mut session = self.inner.session.lock().await;
        if let Some(client) = session.as_ref().filter(|client| !client.state().is_terminated()) {
            return Ok(client.clone());
        }
        *session = None;
        let client = connect(&self.inner.settings).await?;
        debug!(session = %client.session_id(), servers = %self.inner.settings, "connected");
        Ok(session.insert(client).clone())
    }

    /// Waits for an answer, but not for ever: the client itself waits as long as it hopes for a server. A request that
    /// isn't waited for any longer may still reach a server.
    pub(crate) async fn ask<T>(&self, path: &str, asked: impl Future<Output = Result<T, Error>>) -> Result<T, ZkError> {
        match self.answer(asked).await {
            Some(answer) => answer.map_err(|error| ZkError::new(&error, path)),
            None => Err(ZkError::timeout()),
        }
    }

    /// The same, with the client's own word.
    pub(crate) async fn answer<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        timeout(self.inner.settings.timeout(), asked).await.ok()
    }

    /// For whom nodes are made: for their owner alone, if it has a name.
    pub(crate) fn acls(&self) -> Acls<'static> {
        match self.inner.settings.digest() {
            Some(_) => Acls::creator_all(),
            None => Acls::anyone_all(),
        }
    }

    /// How nodes that stay are made.
    pub(crate) fn options(&self) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(self.acls())
    }

    /// Makes a node that stays, and those above it; they may all be there.
    pub(crate) async fn make(&self, client: &Client, path: &str) -> Result<(), ZkError> {
        let options = self.options();
        // Asked first: whoever may not make nodes at the top may well own one below.
        if path.is_empty() || self.ask(path, client.check_stat(path)).await?.is_some() {
            return Ok(());
        }
        self.ask(path, client.mkdir(path, &options)).await
    }
}

impl fmt::Debug for Zk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zk").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// Ends with its owner.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(settings: &Settings) -> Result<Client, ZkError> {
    let mut connector = Client::connector().with_session_timeout(settings.timeout());
    if let Some(digest) = settings.digest() {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = &settings.tls {
        connector = connector.with_tls(tls.options()?);
    }
    // It gives up after a session timeout by itself; names that don't resolve hold it up for longer.
    let limit = settings.timeout() + Duration::from_secs(1);
    match timeout(limit, connector.connect(&settings.cluster())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(Error::Timeout | Error::NoHosts)) | Err(_) => {
            // The client doesn't say what was wrong with a certificate.
            #[cfg(feature = "tls")]
            let tls = settings.tls.as_ref().map_or("", |_| ", with certificates that both sides trust");
            #[cfg(not(feature = "tls"))]
            let tls = "";
            Err(ZkError::Unavailable(format!("no server took a session within {:?}{tls}", settings.timeout())))
        }
        Ok(Err(error)) => Err(ZkError::new(&error, "/")),
    }
}
