//! What npm's `mesos-framework` has left in ZooKeeper.

use std::future::Future;

use zookeeper_client::Error;

use crate::layout::Layout;
use crate::store::stored_id;
use crate::{Zk, ZkError};

/// What npm's `mesos-framework` keeps at `<prefix><name>` (by default `/dcos-service-<name>`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Original {
    /// Its framework's id.
    pub framework_id: Option<String>,
    /// The ids of the tasks that it has on record, in order.
    pub task_ids: Vec<String>,
}

/// Reads what the original has left at the connection's path; nothing is changed.
///
/// To take a framework over from it: stop it, read this, and give the id to
/// [`Config::framework_id`](mesos_core::scheduler::Config::framework_id) of an engine whose store, at the same path or
/// another, is still empty. From then on the store knows the framework. The original's tasks run on; to the engine they
/// are unknown tasks, which it reports, and leaves alone unless it is told to kill them, since it has not started them.
/// Their records are not read: what to run is for the program's specs to say, as it was with the original, and what
/// runs the master knows.
///
/// # Errors
/// [`ZkError`].
pub fn read_original(zk: &Zk) -> impl Future<Output = Result<Original, ZkError>> + Send + 'static + use<> {
    let task = zk.clone();
    zk.run(async move {
        let client = task.client().await?;
        let root = task.settings().root().to_owned();
        let framework_id = stored_id(&task, &client, &Layout::new(&root)).await?.filter(|id| !id.is_empty());
        let folder = format!("{root}/tasks");
        let mut task_ids = match task.answer(client.list_children(&folder)).await {
            Some(Ok(names)) => names,
            Some(Err(Error::NoNode)) => Vec::new(),
            Some(Err(error)) => return Err(ZkError::new(&error, &folder)),
            None => return Err(ZkError::timeout()),
        };
        task_ids.sort_unstable();
        Ok(Original { framework_id, task_ids })
    })
}
