//! The store: a batch is one `multi`, which fails as a whole when somebody else has taken over.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::SystemTime;

use bytes::Bytes;
use mesos_core::{Key, Persist, Store, StoreFailure, StoreOp, Ticket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tracing::{debug, info};
use zookeeper_client::{Client, CreateOptions, Error, MultiReadResult, MultiWriteError, MultiWriteResult};

use crate::layout::{self, Layout};
use crate::{Lease, Records, Zk, ZkError};

/// A record, and a batch, have no more bytes than this. A server takes 1 MiB, paths and permissions included, and it
/// answers what is larger by cutting the connection.
const MAX_BYTES: usize = Persist::MAX_BYTES;
const MAX_OPS: usize = Persist::MAX_OPS;
/// How many records are asked for at once, if they are small.
const MAX_READ: usize = 1000;
/// How much is asked for at once, about, in bytes.
const READ_SIZE: usize = 256 * 1024;
/// So many requests for records are under way at once.
const READS: usize = 4;
/// How often a batch is changed to fit what is there. Nobody else writes, so once is enough.
const CORRECTIONS: usize = 3;

/// Where a [`ZkStore`] can be opened: at a [`Zk`], by an instance that knows itself alone, or at a [`Lease`], by the
/// one that leads.
pub trait Place: sealed::Place {}

impl Place for Zk {}
impl Place for Lease {}

pub(crate) mod sealed {
    use super::{Lease, Zk};

    pub trait Place {
        #[doc(hidden)]
        fn place(&self) -> (Zk, Option<Lease>);
    }
}

impl sealed::Place for Lease {
    fn place(&self) -> (Zk, Option<Self>) {
        (self.zk().clone(), Some(self.clone()))
    }
}

impl sealed::Place for Zk {
    fn place(&self) -> (Self, Option<Lease>) {
        (self.clone(), None)
    }
}

/// A store in ZooKeeper. See the [crate's page](crate) for what it promises.
pub struct ZkStore {
    batches: mpsc::Sender<(Persist, oneshot::Sender<Result<(), StoreFailure>>)>,
}

impl ZkStore {
    /// Takes the store over and reads what it holds. What isn't there yet is made. Whoever had it open before gets
    /// [`StoreFailure::Fenced`] from now on, and nothing of his is applied any more.
    ///
    /// # Errors
    /// [`ZkError`]; no record is changed then.
    pub fn open<P: Place>(
        place: &P,
    ) -> impl Future<Output = Result<(Self, Records), ZkError>> + Send + 'static + use<P> {
        let (zk, lease) = place.place();
        let layout = Layout::new(zk.settings().root());
        let token = token();
        zk.clone().run(async move {
            let client = client(&zk, lease.as_ref()).await?;
            let mut writer = Writer {
                zk,
                lease,
                layout,
                token,
                state: None,
                known: HashSet::new(),
                doubtful: BTreeSet::new(),
                framework_id: None,
                pending: None,
            };
            writer.make(&client).await?;
            let version = writer.claim(&client, Claim::Anybody).await?;
            // The claim came before, on the same session: what the one before us wrote is seen.
            let records = records(&writer.zk, &writer.layout, &client).await?;
            writer.framework_id = stored_id(&writer.zk, &client, &writer.layout).await?;
            writer.state = Some((client, version));
            info!(records = records.len(), root = %writer.zk.settings(), "store opened");
            writer.known = records.keys().cloned().collect();
            let (batches, mut queue) = mpsc::channel::<(Persist, oneshot::Sender<_>)>(1);
            writer.zk.clone().spawn(async move {
                while let Some((batch, answer)) = queue.recv().await {
                    let result = writer.apply(&batch).await;
                    if let Err(failure) = &result {
                        debug!(ticket = %batch.ticket(), %failure, "batch failed");
                    }
                    // Whoever gave it may have gone.
                    let _ = answer.send(result);
                }
            });
            Ok((Self { batches }, records))
        })
    }
}

/// Reads what the store holds, without a change and without taking it over, also while it is in use: then each record is
/// as it was at some moment while this was reading.
///
/// # Errors
/// [`ZkError`]; among them [`ZkError::Unavailable`], if there is no store.
pub fn read(zk: &Zk) -> impl Future<Output = Result<Records, ZkError>> + Send + 'static + use<> {
    let (zk, layout) = (zk.clone(), Layout::new(zk.settings().root()));
    zk.clone().run(async move {
        let client = zk.client().await?;
        // A server may lag behind the others.
        let folder = layout.records();
        zk.ask(&folder, client.sync(&folder)).await?;
        records(&zk, &layout, &client).await
    })
}

impl Store for ZkStore {
    /// Waits for an answer of the servers, for as long as the session timeout at most.
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        let (sender, answer) = oneshot::channel();
        let gone = |()| StoreFailure::Unavailable("the thread for ZooKeeper has ended".into());
        self.batches.send((batch.clone(), sender)).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }
}

impl fmt::Debug for ZkStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZkStore").finish_non_exhaustive()
    }
}

/// Tells one opening of a store from all others, and for people, by whom and when.
fn token() -> String {
    let chance = RandomState::new().build_hasher().finish();
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    format!("process {} since {since} ({chance:016x})", std::process::id())
}

/// Whose the store may be for it to be taken.
#[derive(Clone, Copy, PartialEq)]
enum Claim {
    Anybody,
    Ours,
}

type Answer = JoinHandle<Result<(), MultiWriteError>>;

struct Writer {
    zk: Zk,
    /// The leadership it hangs on.
    lease: Option<Lease>,
    layout: Layout,
    token: String,
    /// The client, and the version that the owner's node has as long as the store is ours.
    state: Option<(Client, i32)>,
    /// The records that are there,
    known: HashSet<Key>,
    /// but for those of batches whose fate isn't known.
    doubtful: BTreeSet<Key>,
    /// What stands where people look for the framework's id.
    framework_id: Option<String>,
    /// A batch that was given to the client, and hasn't been answered in time.
    pending: Option<(Ticket, Answer)>,
}

/// The client to use: that of the leader's session, and no other, if there is one.
async fn client(zk: &Zk, lease: Option<&Lease>) -> Result<Client, ZkError> {
    match lease {
        Some(lease) => lease.client(),
        None => zk.client().await,
    }
}

/// All records, as this session sees them.
async fn records(zk: &Zk, layout: &Layout, client: &Client) -> Result<Records, ZkError> {
    let folder = layout.records();
    let names = zk.ask(&folder, client.list_children(&folder)).await?;
    let mut records = Records::new();
    read_children(zk, client, &folder, &names, |name, data| {
        records.insert(layout::key(name), Bytes::from(data));
    })
    .await?;
    Ok(records)
}

/// Reads these children of a node, in order, but for those that are gone.
pub(crate) async fn read_children(
    zk: &Zk,
    client: &Client,
    folder: &str,
    mut names: &[String],
    mut take: impl FnMut(&str, Vec<u8>),
) -> Result<(), ZkError> {
    let (mut read, mut size, mut asked) = (0, 0, VecDeque::new());
    loop {
        // As many as are READ_SIZE together, going by those read so far. At first nobody knows.
        let (count, reads) = match read {
            0 => (16, 1),
            read => ((READ_SIZE * read / size.max(1)).clamp(1, MAX_READ), READS),
        };
        while asked.len() < reads && !names.is_empty() {
            let (now, later) = names.split_at(count.min(names.len()));
            names = later;
            let mut multi = client.new_multi_reader();
            for name in now {
                let path = format!("{folder}/{name}");
                multi.add_get_data(&path).map_err(|error| ZkError::new(&error, &path))?;
            }
            // On its way from here on.
            asked.push_back((now, multi.commit()));
        }
        let Some((now, answer)) = asked.pop_front() else { return Ok(()) };
        for (name, answer) in now.iter().zip(zk.ask(folder, answer).await?) {
            match answer {
                MultiReadResult::Data { data, .. } => {
                    (read, size) = (read + 1, size + data.len());
                    take(name, data);
                }
                // Somebody is cleaning up by hand.
                MultiReadResult::Error { err: Error::NoNode } => {}
                MultiReadResult::Error { err } => return Err(ZkError::new(&err, &format!("{folder}/{name}"))),
                _ => return Err(ZkError::Unavailable("an answer that isn't one".into())),
            }
        }
    }
}

impl Writer {
    async fn make(&self, client: &Client) -> Result<(), ZkError> {
        self.zk.make(client, self.zk.settings().root()).await?;
        self.zk.make(client, &self.layout.records()).await?;
        let owner = self.layout.owner();
        let options = self.zk.options();
        match self.zk.answer(client.create(&owner, b"", &options)).await {
            Some(Ok(_) | Err(Error::NodeExists)) => Ok(()),
            Some(Err(error)) => Err(ZkError::new(&error, &owner)),
            None => Err(ZkError::timeout()),
        }
    }

    /// Makes the store ours, from now on and against whatever an earlier session of ours may still have under way.
    async fn claim(&self, client: &Client, whose: Claim) -> Result<i32, ZkError> {
        let owner = self.layout.owner();
        let mut expected = None;
        if whose == Claim::Ours {
            let Some(answer) = self.zk.answer(client.get_data(&owner)).await else { return Err(ZkError::timeout()) };
            match answer {
                Ok((data, stat)) if data == self.token.as_bytes() => expected = Some(stat.version),
                Ok((data, _)) => {
                    let owner = String::from_utf8_lossy(&data).into_owned();
                    return Err(ZkError::Lost(format!("the store is taken by {owner}")));
                }
                Err(Error::NoNode) => return Err(ZkError::Lost(format!("{owner} is gone"))),
                Err(error) => return Err(ZkError::new(&error, &owner)),
            }
        }
        let mut multi = client.new_multi_writer();
        let fault = |error: Error| ZkError::new(&error, &owner);
        if let Some(lease) = &self.lease {
            multi.add_check_version(lease.node(), -1).map_err(fault)?;
        }
        multi.add_set_data(&owner, self.token.as_bytes(), expected).map_err(fault)?;
        let Some(answer) = self.zk.answer(multi.commit()).await else { return Err(ZkError::timeout()) };
        let results = answer.map_err(|error| match error {
            MultiWriteError::OperationFailed { source: Error::NoNode | Error::BadVersion, .. } => {
                ZkError::Lost("another instance has taken over".into())
            }
            MultiWriteError::OperationFailed { source, .. } | MultiWriteError::RequestFailed { source } => {
                fault(source)
            }
        })?;
        let version = results.into_iter().find_map(|result| match result {
            MultiWriteResult::SetData { stat } => Some(stat.version),
            _ => None,
        });
        version.ok_or_else(|| ZkError::Unavailable("an answer that isn't one".into()))
    }

    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        check_size(batch)?;
        if let Some((ticket, mut answer)) = self.pending.take() {
            // It may still come before anything else, so it has to be settled first.
            match self.answer(&mut answer).await {
                None => {
                    self.pending = Some((ticket, answer));
                    return Err(ZkError::timeout().into());
                }
                Some(Ok(())) if ticket == batch.ticket() => {
                    self.learn(batch);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
        for _ in 0..CORRECTIONS {
            let (client, version) = self.owned().await?;
            self.look(&client).await?;
            let mut answer = commit(client, self.changes(version, batch));
            // Until it is known to be there or not.
            self.doubtful.extend(batch.ops().iter().map(|op| op.key().clone()));
            match self.answer(&mut answer).await {
                None => {
                    self.pending = Some((batch.ticket(), answer));
                    return Err(ZkError::timeout().into());
                }
                Some(Ok(())) => {
                    self.learn(batch);
                    return Ok(());
                }
                Some(Err(error)) => judge(error, batch)?,
            }
        }
        Err(StoreFailure::Unavailable("somebody else changes the records".into()))
    }

    /// What has become of a batch, if it's known in time.
    async fn answer(&self, answer: &mut Answer) -> Option<Result<(), MultiWriteError>> {
        let broken = |error: JoinError| Err(Error::UnexpectedError(error.to_string()).into());
        Some(self.zk.answer(answer).await?.unwrap_or_else(broken))
    }

    /// The session, with the store ours in it.
    async fn owned(&mut self) -> Result<(Client, i32), StoreFailure> {
        if self.lease.as_ref().is_some_and(|lease| !lease.is_held()) {
            return Err(StoreFailure::Fenced("leadership is lost".into()));
        }
        if let Some((client, version)) = self.state.as_ref().filter(|(client, _)| !client.state().is_terminated()) {
            return Ok((client.clone(), *version));
        }
        let client = client(&self.zk, self.lease.as_ref()).await?;
        let version = self.claim(&client, Claim::Ours).await?;
        debug!(version, "the store is ours in a new session");
        Ok(self.state.insert((client, version)).clone())
    }

    /// What a batch is made of, by what is known to be there. Two changes stand before those of the batch.
    fn changes(&self, version: i32, batch: &Persist) -> Vec<Change> {
        // Always something, so that the places in the answer are always the same.
        let leader = self.lease.as_ref().map_or_else(|| self.layout.records(), |lease| lease.node().to_owned());
        let mut changes = vec![Change::Check(self.layout.owner(), version), Change::Check(leader.clone(), -1)];
        changes.extend(batch.ops().iter().map(|op| {
            let path = self.layout.record(op.key());
            match (op, self.known.contains(op.key())) {
                (StoreOp::Put { value, .. }, true) => Change::Set(path, value.clone()),
                (StoreOp::Put { value, .. }, false) => Change::Create(path, value.clone(), self.zk.options()),
                (StoreOp::Delete { .. }, true) => Change::Delete(path),
                // Nothing to do.
                (StoreOp::Delete { .. }, false) => Change::Check(leader.clone(), -1),
            }
        }));
        if let Some(id) = batch.ops().iter().find_map(layout::framework_id) {
            let path = self.layout.framework_id();
            changes.extend(match (id, &self.framework_id) {
                (id, known) if id == *known => None,
                (Some(id), Some(_)) => Some(Change::Set(path, id.into())),
                (Some(id), None) => Some(Change::Create(path, id.into(), self.zk.options())),
                (None, _) => Some(Change::Delete(path)),
            });
        }
        changes
    }

    /// A batch is durable.
    fn learn(&mut self, batch: &Persist) {
        for op in batch.ops() {
            match op {
                StoreOp::Put { key, .. } => drop(self.known.insert(key.clone())),
                StoreOp::Delete { key } => drop(self.known.remove(key)),
            }
            self.doubtful.remove(op.key());
        }
        if let Some(id) = batch.ops().iter().find_map(layout::framework_id) {
            self.framework_id = id;
        }
    }

    /// Looks for what may be there or not.
    async fn look(&mut self, client: &Client) -> Result<(), StoreFailure> {
        if self.doubtful.is_empty() {
            return Ok(());
        }
        let paths: Vec<_> = self.doubtful.iter().map(|key| (key, self.layout.record(key))).collect();
        // All of them are asked before the first answer is waited for.
        let asked: Vec<_> = paths.iter().map(|(key, path)| (*key, path, client.check_stat(path))).collect();
        for (key, path, answer) in asked {
            if self.zk.ask(path, answer).await?.is_some() {
                self.known.insert(key.clone());
            } else {
                self.known.remove(key);
            }
        }
        self.doubtful.clear();
        self.framework_id = stored_id(&self.zk, client, &self.layout).await?;
        Ok(())
    }
}

/// What stands where people look for the framework's id.
pub(crate) async fn stored_id(zk: &Zk, client: &Client, layout: &Layout) -> Result<Option<String>, ZkError> {
    let path = layout.framework_id();
    match zk.answer(client.get_data(&path)).await {
        Some(Ok((data, _))) => Ok(Some(String::from_utf8_lossy(&data).into_owned())),
        Some(Err(Error::NoNode)) => Ok(None),
        Some(Err(error)) => Err(ZkError::new(&error, &path)),
        None => Err(ZkError::timeout()),
    }
}

/// The framework's id as it stands in ZooKeeper for people: the text of the node `framework-id` below the connection's
/// path.
///
/// # Errors
/// [`ZkError`].
pub fn stored_framework_id(zk: &Zk) -> impl Future<Output = Result<Option<String>, ZkError>> + Send + 'static + use<> {
    let task = zk.clone();
    zk.run(async move { stored_id(&task, &task.client().await?, &Layout::new(task.settings().root())).await })
}

/// One operation of a `multi`.
enum Change {
    Check(String, i32),
    Create(String, Bytes, CreateOptions<'static>),
    Set(String, Bytes),
    Delete(String),
}

/// Gives changes to the client. They are on their way then, whether or not the answer is waited for.
fn commit(client: Client, changes: Vec<Change>) -> Answer {
    tokio::spawn(async move {
        let mut multi = client.new_multi_writer();
        for change in &changes {
            match change {
                Change::Check(path, version) => multi.add_check_version(path, *version),
                Change::Create(path, data, options) => multi.add_create(path, data, options),
                Change::Set(path, data) => multi.add_set_data(path, data, None),
                Change::Delete(path) => multi.add_delete(path, None),
            }?;
        }
        let answer = multi.commit();
        drop(changes);
        answer.await.map(drop)
    })
}

/// Whether a batch can be given again at once, with what is there looked up before.
fn judge(error: MultiWriteError, batch: &Persist) -> Result<(), StoreFailure> {
    let (index, source) = match error {
        MultiWriteError::RequestFailed { source } => return Err(ZkError::new(&source, "the batch").into()),
        MultiWriteError::OperationFailed { index, source } => (index, source),
    };
    match (index, source) {
        (0, Error::BadVersion) => Err(StoreFailure::Fenced("another instance has opened the store".into())),
        (0, Error::NoNode) => Err(StoreFailure::Fenced("somebody has removed the store".into())),
        (1, Error::NoNode) => Err(StoreFailure::Fenced("leadership is lost, or somebody has removed the store".into())),
        (_, Error::NodeExists | Error::NoNode) => Ok(()),
        (_, source) => match ZkError::new(&source, "") {
            ZkError::Unavailable(detail) => Err(StoreFailure::Unavailable(detail)),
            _ => {
                let key = index.checked_sub(2).and_then(|place| batch.ops().get(place)).map(|op| op.key().clone());
                Err(StoreFailure::Refused { key, detail: source.to_string() })
            }
        },
    }
}

fn check_size(batch: &Persist) -> Result<(), StoreFailure> {
    let refused = |key: Option<&Key>, detail: String| Err(StoreFailure::Refused { key: key.cloned(), detail });
    if let Some(op) = batch.ops().iter().find(|op| op.size() > MAX_BYTES) {
        return refused(Some(op.key()), format!("{} bytes, more than {MAX_BYTES}", op.size()));
    }
    let bytes: usize = batch.ops().iter().map(StoreOp::size).sum();
    if bytes > MAX_BYTES || batch.ops().len() > MAX_OPS {
        let ops = batch.ops().len();
        return refused(None, format!("{ops} changes of {bytes} bytes, more than {MAX_OPS} or {MAX_BYTES}"));
    }
    Ok(())
}
