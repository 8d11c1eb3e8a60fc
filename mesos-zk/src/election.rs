//! Which of several instances leads.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError};

use crate::layout::Layout;
use crate::{Zk, ZkError};

/// Between attempts at servers that are away.
const RETRY: Duration = Duration::from_secs(1);
/// Between attempts at a heartbeat, within a lease.
const AGAIN: Duration = Duration::from_millis(50);

/// An election among the instances of one framework: those with the same path. See the [crate's page](crate) for how a
/// set of instances is run.
#[derive(Clone, Debug)]
pub struct Election {
    zk: Zk,
    name: String,
}

impl Election {
    /// An election at this path, with this instance as a candidate of this name. The name is for people: its host, for
    /// instance.
    #[must_use]
    pub fn new(zk: &Zk, name: impl Into<String>) -> Self {
        Self { zk: zk.clone(), name: name.into() }
    }

    /// Waits until this instance leads. Candidates lead in the order in which they came, and each waits for the one
    /// before it only. While no server answers, it goes on trying. Dropping the future withdraws the candidate.
    ///
    /// # Errors
    /// What can't change by waiting: [`ZkError::Ended`], [`ZkError::Unauthorized`], [`ZkError::NoPermission`],
    /// [`ZkError::Refused`].
    pub fn campaign(&self) -> impl Future<Output = Result<Lease, ZkError>> + Send + 'static + use<> {
        let Self { zk, name } = self.clone();
        let id = format!("{:016x}-", RandomState::new().build_hasher().finish());
        zk.clone().run(async move {
            let mut ends = None;
            loop {
                match attempt(&zk, &name, &id, &mut ends).await {
                    Err(ZkError::Unavailable(why)) => warn!(servers = %zk.settings(), why, "no election"),
                    result => return result,
                }
                sleep(RETRY).await;
            }
        })
    }
}

/// A candidate's node; it goes with this.
struct Candidate {
    zk: Zk,
    client: Client,
    path: String,
}

impl Candidate {
    async fn withdraw(client: &Client, path: &str) {
        match client.delete(path, None).await {
            Ok(()) | Err(Error::NoNode) => {}
            // Then it goes with the session.
            Err(error) => warn!(path, %error, "the candidate's node could not be removed"),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let (client, path) = (self.client.clone(), std::mem::take(&mut self.path));
        self.zk.spawn(async move { Self::withdraw(&client, &path).await });
    }
}

/// The names below the election's node with their numbers, in order. What has no number isn't a candidate.
fn in_order(names: Vec<String>) -> Vec<(i64, String)> {
    let numbered = |name: String| Some((name.rsplit_once('-')?.1.parse().ok()?, name));
    let mut candidates: Vec<_> = names.into_iter().filter_map(numbered).collect();
    candidates.sort_unstable();
    candidates
}

/// One session's candidature, to its success. `ends` is how often there had been an end to all when it began.
async fn attempt(zk: &Zk, name: &str, id: &str, ends: &mut Option<i32>) -> Result<Lease, ZkError> {
    let client = zk.client().await?;
    let folder = Layout::new(zk.settings().root()).election();
    zk.make(&client, &folder).await?;
    let mut candidate = None;
    loop {
        let stat = zk.ask(&folder, client.check_stat(&folder)).await?;
        let version = stat.map_or(0, |stat| stat.version);
        if *ends.get_or_insert(version) != version {
            return Err(ZkError::Ended);
        }
        // After whatever this session has asked for before: a node that was made without our hearing of it is seen.
        let candidates = in_order(zk.ask(&folder, client.list_children(&folder)).await?);
        let Some(place) = candidates.iter().position(|(_, name)| name.starts_with(id)) else {
            let options = CreateMode::EphemeralSequential.with_acls(zk.acls());
            zk.ask(&folder, client.create(&format!("{folder}/{id}"), name.as_bytes(), &options)).await?;
            continue;
        };
        let path = |place: usize| candidates.get(place).map(|(_, name)| format!("{folder}/{name}")).unwrap_or_default();
        if candidate.is_none() {
            let own = path(place);
            let stat = zk.ask(&own, client.check_stat(&own)).await?;
            let ours = Candidate { zk: zk.clone(), client: client.clone(), path: own };
            if stat.is_none_or(|stat| stat.ephemeral_owner != client.session_id().0) {
                // Of an earlier session: it goes, and another one is made.
                Candidate::withdraw(&client, &ours.path).await;
                continue;
            }
            info!(path = ours.path, "candidate");
            candidate = Some(ours);
        }
        match place.checked_sub(1) {
            None => {
                if let Some(candidate) = candidate.take() {
                    return lead(candidate).await;
                }
            }
            Some(before) => {
                let before = path(before);
                let (stat, watcher) = zk.ask(&before, client.check_and_watch_stat(&before)).await?;
                if stat.is_some() {
                    watcher.changed().await;
                }
            }
        }
    }
}

/// How a leadership stands.
#[derive(Clone, Debug)]
struct Tenure {
    /// Until then it is safe to lead.
    until: Instant,
    /// Why it is over.
    lost: Option<String>,
}

/// That this instance leads, for now. Clones are the same leadership.
///
/// It is kept up by heartbeats, which a majority of the servers has to confirm, four of them in a session timeout. It
/// counts for two thirds of the session timeout from the moment in which the last confirmed one was *sent*; the servers
/// don't give the leadership to another before the session timeout is over. So the leader knows before the next one
/// does, whatever fails: the servers, the network, this process. (A machine whose clocks stand still can't know; its
/// writes fail, as the store is checked against the leader's node.)
///
/// When the last clone is dropped, the [`ZkStore`](crate::ZkStore) opened with it included, leadership is given up.
#[derive(Clone)]
pub struct Lease {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    node: String,
    zk: Zk,
    tenure: watch::Receiver<Tenure>,
    release: mpsc::Sender<Leave>,
}

/// A leader's wish to go.
struct Leave {
    /// With all candidates.
    all: bool,
    done: oneshot::Sender<()>,
}

impl Lease {
    /// Whether it is safe to lead at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let tenure = self.inner.tenure.borrow();
        tenure.lost.is_none() && Instant::now() < tenure.until
    }

    /// Waits until leadership is lost, and says why. From then on this instance must not act as the leader: drop its
    /// driver, which sends nothing more, and campaign again.
    pub fn lost(&self) -> impl Future<Output = String> + Send + 'static + use<> {
        let mut tenure = self.inner.tenure.clone();
        async move {
            match tenure.wait_for(|tenure| tenure.lost.is_some()).await {
                Ok(tenure) => tenure.lost.clone().unwrap_or_default(),
                Err(_) => "the thread for ZooKeeper has ended".into(),
            }
        }
    }

    /// Gives leadership up, so that the next candidate leads at once. First the driver has to have ended. Returns when
    /// the servers have confirmed it, or don't answer.
    pub async fn release(self) {
        self.leave(false).await;
    }

    /// Gives leadership up for good, after the framework has been removed: the campaigns of all candidates that wait
    /// end with [`ZkError::Ended`], where they would otherwise lead and make the framework anew. Who campaigns later
    /// isn't concerned.
    pub async fn end(self) {
        self.leave(true).await;
    }

    async fn leave(self, all: bool) {
        let (done, wait) = oneshot::channel();
        if self.inner.release.send(Leave { all, done }).await.is_ok() {
            let _ = wait.await;
        }
    }

    pub(crate) fn client(&self) -> Result<Client, ZkError> {
        match self.inner.tenure.borrow().lost.clone() {
            Some(why) => Err(ZkError::Lost(why)),
            None => Ok(self.inner.client.clone()),
        }
    }

    pub(crate) fn zk(&self) -> &Zk {
        &self.inner.zk
    }

    /// The candidate's node.
    pub(crate) fn node(&self) -> &str {
        &self.inner.node
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("node", &self.inner.node).field("held", &self.is_held()).finish_non_exhaustive()
    }
}

/// How long a heartbeat counts.
fn term(client: &Client) -> Duration {
    client.session_timeout() * 2 / 3
}

async fn lead(candidate: Candidate) -> Result<Lease, ZkError> {
    let (client, node, zk) = (candidate.client.clone(), candidate.path.clone(), candidate.zk.clone());
    let start = Instant::now();
    let until = start + term(&client);
    beat(&client, &node, until).await.map_err(ZkError::Unavailable)?;
    info!(node, "leading");
    let (told, tenure) = watch::channel(Tenure { until, lost: None });
    let (release, released) = mpsc::channel(1);
    zk.spawn(keep(candidate, told, released));
    Ok(Lease { inner: Arc::new(Inner { client, node, zk, tenure, release }) })
}

/// Leadership, to its end.
async fn keep(candidate: Candidate, tenure: watch::Sender<Tenure>, mut released: mpsc::Receiver<Leave>) {
    let (client, node) = (candidate.client.clone(), candidate.path.clone());
    let mut until = tenure.borrow().until;
    let (lost, leave) = loop {
        tokio::select! {
            biased;
            leave = released.recv() => break ("it was given up".to_owned(), leave),
            () = sleep(client.session_timeout() / 4) => {}
        }
        let start = Instant::now();
        let result = tokio::select! {
            biased;
            leave = released.recv() => break ("it was given up".to_owned(), leave),
            result = beat(&client, &node, until) => result,
        };
        match result {
            Ok(()) => {
                until = start + term(&client);
                tenure.send_modify(|tenure| tenure.until = until);
            }
            Err(why) => break (why, None),
        }
    };
    info!(node, lost, "no longer leading");
    tenure.send_modify(|tenure| tenure.lost = Some(lost));
    if let Some(Leave { all, done }) = leave {
        let leaving = async {
            if all {
                end(&client, &node).await;
            }
            Candidate::withdraw(&client, &node).await;
        };
        let _ = timeout_at(Instant::now() + term(&client), leaving).await;
        let _ = done.send(());
    }
    drop(candidate);
}

/// Tells all candidates that it is over, if this is still the leader.
async fn end(client: &Client, node: &str) {
    let folder = node.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let mut multi = client.new_multi_writer();
    let result = multi.add_check_version(node, -1).and_then(|()| multi.add_set_data(folder, b"ended", None));
    if let Err(error) = result {
        return warn!(node, %error, "the candidates could not be told");
    }
    if let Err(error) = multi.commit().await {
        warn!(node, %error, "the candidates could not be told");
    }
}

/// A write that changes nothing: a majority of the servers says that the node is there, and the session with it.
async fn beat(client: &Client, node: &str, until: Instant) -> Result<(), String> {
    loop {
        let mut multi = client.new_multi_writer();
        multi.add_check_version(node, -1).map_err(|error| error.to_string())?;
        match timeout_at(until, multi.commit()).await {
            Ok(Ok(_)) if Instant::now() < until => return Ok(()),
            Ok(Err(MultiWriteError::OperationFailed { .. })) => return Err("the candidate's node is gone".into()),
            Ok(Err(error)) if client.state().is_terminated() => return Err(error.to_string()),
            Ok(Err(_)) => sleep(AGAIN).await,
            Ok(Ok(_)) | Err(_) => return Err("the servers don't answer".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_not_names() {
        let names = ["f-0000000010", "a-0000000011", "z-0000000002", "x", "x-", "y-1z"].map(str::to_owned);
        let numbers: Vec<i64> = in_order(names.into()).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [2, 10, 11]);
    }
}
