//! What npm's `mesos-framework` has left in ZooKeeper.

use std::future::Future;
use std::time::{Duration, SystemTime};

use mesos_core::engine::{Adoptee, Adoption, Config, TaskSpec, adopt};
use mesos_core::mesos_proto::{json, store};
use mesos_core::scheduler::ConfigError;
use mesos_core::{Key, Persist, Store, StoreFailure, StoreOp, Ticket, UnixTime};
use zookeeper_client::Error;

use crate::layout::Layout;
use crate::store::{read_children, stored_id};
use crate::{Records, Zk, ZkError};

/// Batches of a take-over are smaller than what any store takes.
const BATCH: usize = 200;
/// No host has a longer name.
const HOSTNAME: usize = 255;
/// No task of the original has more.
const PORTS: usize = 1000;

/// What npm's `mesos-framework` keeps at `<prefix><name>` (by default `/dcos-service-<name>`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Original {
    /// Its framework's id.
    pub framework_id: Option<String>,
    /// The tasks that it has on record, by id.
    pub tasks: Vec<Adoptee>,
    /// The ids of tasks whose records are of no use, and why.
    pub unusable: Vec<(String, String)>,
}

/// Why the framework of npm's `mesos-framework` can't be taken over.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// It has left no framework's id here.
    #[error("there is no framework to take over")]
    Nothing,
    /// The store has a framework already: this is done once only.
    #[error("the store has a framework already")]
    Done,
    /// Its id can't be one.
    #[error(transparent)]
    Id(#[from] ConfigError),
    /// The store doesn't take the records. A part of them may be there; without effect, until a take-over succeeds.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

/// Reads what npm's `mesos-framework` has left at the connection's path; nothing is changed. See
/// [`Original::take_over`].
///
/// # Errors
/// [`ZkError`]. What records say is no reason for one: see [`Original::unusable`].
pub fn read_original(zk: &Zk) -> impl Future<Output = Result<Original, ZkError>> + Send + 'static + use<> {
    let task = zk.clone();
    zk.run(async move {
        let client = task.client().await?;
        let root = task.settings().root().to_owned();
        let framework_id = stored_id(&task, &client, &Layout::new(&root)).await?.filter(|id| !id.is_empty());
        let folder = format!("{root}/tasks");
        let mut names = match task.answer(client.list_children(&folder)).await {
            Some(Ok(names)) => names,
            Some(Err(Error::NoNode)) => Vec::new(),
            Some(Err(error)) => return Err(ZkError::new(&error, &folder)),
            None => return Err(ZkError::timeout()),
        };
        names.sort_unstable();
        let mut original = Original { framework_id, ..Original::default() };
        read_children(&task, &client, &folder, &names, |name, data| match adoptee(name, &data) {
            Ok(task) => original.tasks.push(task),
            Err(why) => original.unusable.push((name.to_owned(), why)),
        })
        .await?;
        Ok(original)
    })
}

/// The task of a record.
fn adoptee(id: &str, data: &[u8]) -> Result<Adoptee, String> {
    let record: store::OriginalTask = json::decode(data).map_err(|error| error.to_string())?;
    if record.task_id.is_some_and(|other| other != id) {
        return Err("it is that of another task".into());
    }
    let name = record.name.ok_or("it has no name")?;
    let instance =
        name.rsplit_once('-').and_then(|(spec, number)| Some((spec, number.parse::<u32>().ok()?.checked_sub(1)?)));
    let (spec, index) = instance.ok_or("its name has no number")?;
    let info = record.runtime_info.ok_or("it was never launched")?;
    let agent_id = info.agent_id.clone().ok_or("it has no agent")?;
    let state = info.state.is_some().then(|| info.state());
    let network = info.network.unwrap_or_default();
    let hostname = network.hostname.unwrap_or_default();
    let ports: Result<Vec<u16>, _> = network.ports.iter().map(|port| u16::try_from(*port)).collect();
    let ports = ports.ok().filter(|ports| ports.len() <= PORTS && hostname.len() <= HOSTNAME);
    Ok(Adoptee {
        spec: spec.to_owned(),
        index,
        task_id: id.to_owned(),
        agent_id,
        hostname,
        executor_id: info.executor_id,
        ports: ports.ok_or("its host or ports can't be any")?,
        state,
        since: info.start_time.map(|millis| UnixTime::from_epoch(Duration::from_millis(millis))),
    })
}

impl Original {
    /// Takes the framework over from npm's `mesos-framework`, once, with those of its tasks that are instances of these
    /// specs: a spec is called as the type was. First stop the original; then open a store, at the same path or
    /// another, or of another kind. `records` is what that held, `config` and `specs` are those of the engine, which
    /// gets [`Adoption::records`].
    ///
    /// The tasks run on, and aren't restarted for being made of other commands. Types that have no spec, and tasks whose
    /// records are of no use, are unknown tasks to the engine. It kills them, as the original killed those whose types
    /// were gone, unless [`UnknownTasks`](mesos_core::engine::UnknownTasks) says otherwise. What the original has left in
    /// ZooKeeper stays there; the node `framework-id` is the store's from now on, if the path is the same.
    ///
    /// # Errors
    /// [`TakeOverError`]. It may be tried again.
    pub async fn take_over(
        &self,
        store: &mut impl Store,
        records: &Records,
        config: &Config,
        specs: &[TaskSpec],
    ) -> Result<Adoption, TakeOverError> {
        let id = self.framework_id.as_deref().ok_or(TakeOverError::Nothing)?;
        let last = Key::new(["framework"]);
        if records.contains_key(&last) {
            return Err(TakeOverError::Done);
        }
        let now = UnixTime::from_epoch(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
        let adoption = adopt(config, specs, id, self.tasks.iter().cloned(), now)?;
        let put = |(key, value): (&Key, &bytes::Bytes)| StoreOp::Put { key: key.clone(), value: value.clone() };
        // What an earlier attempt may have left.
        let stale = records.keys().filter(|key| !adoption.records.contains_key(key));
        let mut ops: Vec<StoreOp> = stale.map(|key| StoreOp::Delete { key: key.clone() }).collect();
        ops.extend(adoption.records.iter().filter(|(key, _)| **key != last).map(put));
        ops.extend(adoption.records.get_key_value(&last).map(put));
        for (number, ops) in (1..).zip(ops.chunks(BATCH)) {
            store.apply(&Persist::new(Ticket::new(number), ops.to_vec())).await?;
        }
        Ok(adoption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesos_core::v1::TaskState;
    use proptest::prelude::*;

    const ID: &str = "shop._a_web-3.0b3c4d5e-1f2a-4b6c-8d9e-0a1b2c3d4e5f";
    /// As the original writes it, of a task with a container.
    const RECORD: &str = r#"{"priority":1,"allowScaling":true,"commandInfo":{"value":"env && sleep 100","shell":true,"uris":[],
        "environment":{"variables":[{"name":"A","value":"B"},{"name":"PORT0","value":31005},{"name":"HOST","value":"10.0.0.1"}]}},
        "resources":{"cpus":0.2,"mem":128,"ports":2,"disk":10,"staticPorts":[8000]},"isSubmitted":true,"name":"/a/web-3",
        "runtimeInfo":{"agentId":"c1-S0","executorId":null,"state":"TASK_RUNNING","startTime":1514764800123,
        "network":{"hostname":"agent-1.example","ip":"10.0.0.1","ports":[31005,31006]},"healthy":true},
        "taskId":"shop._a_web-3.0b3c4d5e-1f2a-4b6c-8d9e-0a1b2c3d4e5f","mesosName":"_a/web-3"}"#;

    // S170, S171
    #[test]
    fn what_the_original_writes() {
        let task = adoptee(ID, RECORD.as_bytes()).unwrap();
        let expected = Adoptee {
            spec: "/a/web".into(),
            index: 2,
            task_id: ID.into(),
            agent_id: "c1-S0".into(),
            hostname: "agent-1.example".into(),
            executor_id: None,
            ports: vec![31_005, 31_006],
            state: Some(TaskState::TaskRunning),
            since: Some(UnixTime::from_epoch(Duration::from_millis(1_514_764_800_123))),
        };
        assert_eq!(task, expected);
        let least = adoptee("x", br#"{"name":"a-1","runtimeInfo":{"agentId":"S0","state":"TASK_NEW"}}"#).unwrap();
        assert_eq!((least.index, least.state, least.ports.len()), (0, None, 0));
    }

    // S174, S175, S182, W47: what the original crashes on, or takes for a task that isn't there.
    #[test]
    fn what_is_of_no_use() {
        for record in [
            "",
            "{",
            "[]",
            "null",
            r#"{"name":"web-1"}"#,
            r#"{"name":"web-1","runtimeInfo":null}"#,
            r#"{"name":"web-1","runtimeInfo":{"state":"TASK_RUNNING"}}"#,
            r#"{"runtimeInfo":{"agentId":"S0"}}"#,
            r#"{"name":"web","runtimeInfo":{"agentId":"S0"}}"#,
            r#"{"name":"web-0","runtimeInfo":{"agentId":"S0"}}"#,
            r#"{"name":"web-4294967296","runtimeInfo":{"agentId":"S0"}}"#,
            r#"{"name":"web-1","taskId":"other","runtimeInfo":{"agentId":"S0"}}"#,
            r#"{"name":"web-1","runtimeInfo":{"agentId":"S0","network":{"ports":[65536]}}}"#,
            r#"{"name":"web-1","runtimeInfo":{"agentId":"S0","startTime":-1}}"#,
        ] {
            assert!(adoptee("x", record.as_bytes()).is_err(), "{record}");
        }
        let long =
            format!(r#"{{"name":"web-1","runtimeInfo":{{"agentId":"S0","network":{{"hostname":"{:x>300}"}}}}}}"#, "");
        assert!(adoptee("x", long.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_record_breaks_it(
            bytes in any::<Vec<u8>>(), at in 0..RECORD.len(), byte in any::<u8>(), cut in 0..RECORD.len(),
        ) {
            let _ = adoptee(ID, &bytes);
            let mut record = RECORD.as_bytes().to_vec();
            record[at] = byte;
            let _ = adoptee(ID, &record);
            record.truncate(cut);
            prop_assert!(adoptee(ID, &record).is_err());
        }
    }
}
