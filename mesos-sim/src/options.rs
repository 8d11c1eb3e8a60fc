//! How a simulated cluster is made up.

use std::sync::Arc;
use std::time::Duration;

use mesos_proto::v1;

use crate::script::Scripts;
use crate::{ExecutorOptions, Script};

/// A cluster's make-up. The defaults are Mesos's own where Mesos has some.
///
/// ```
/// use std::time::Duration;
/// use mesos_sim::{AgentOptions, Options};
///
/// let options = Options::default()
///     .agents([AgentOptions::default().resources("cpus:2;mem:512;ports:[31000-31099]")])
///     .allocation_interval(Duration::from_millis(50));
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) masters: usize,
    pub(crate) agents: Vec<AgentOptions>,
    pub(crate) credentials: Vec<(String, String)>,
    pub(crate) allocation_interval: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) update_retry: Duration,
    pub(crate) unreachable_after: Duration,
    pub(crate) election: Duration,
    pub(crate) reregistration: Duration,
    pub(crate) launch_delay: Duration,
    pub(crate) terse: bool,
    pub(crate) registry_age: Duration,
    pub(crate) scripts: Option<Scripts>,
    pub(crate) executors: ExecutorOptions,
    pub(crate) rechunk: bool,
    pub(crate) seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            masters: 1,
            agents: vec![AgentOptions::default()],
            credentials: Vec::new(),
            allocation_interval: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(15),
            update_retry: Duration::from_secs(10),
            unreachable_after: Duration::from_secs(75),
            election: Duration::from_secs(1),
            reregistration: Duration::from_secs(1),
            launch_delay: Duration::from_millis(10),
            terse: false,
            registry_age: Duration::from_secs(14 * 24 * 3600),
            scripts: None,
            executors: ExecutorOptions::default(),
            rechunk: false,
            seed: None,
        }
    }
}

impl Options {
    /// How many masters; the first one leads at the start. Default: 1.
    #[must_use]
    pub fn masters(mut self, masters: usize) -> Self {
        self.masters = masters.max(1);
        self
    }

    /// The agents. Default: one, as [`AgentOptions::default`] says.
    #[must_use]
    pub fn agents(mut self, agents: impl IntoIterator<Item = AgentOptions>) -> Self {
        self.agents = agents.into_iter().collect();
        self
    }

    /// Demands HTTP Basic authentication, and lets this principal in. May be called several times.
    #[must_use]
    pub fn credential(mut self, principal: impl Into<String>, secret: impl Into<String>) -> Self {
        self.credentials.push((principal.into(), secret.into()));
        self
    }

    /// How often free resources are offered. Default: 1 s.
    #[must_use]
    pub fn allocation_interval(mut self, interval: Duration) -> Self {
        self.allocation_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How often a subscribed framework gets a HEARTBEAT. Default: 15 s.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// After how long an agent sends an unacknowledged update again for the first time; the wait then doubles, up to
    /// 60 times this. Default: 10 s.
    #[must_use]
    pub fn update_retry(mut self, wait: Duration) -> Self {
        self.update_retry = wait.max(Duration::from_millis(1));
        self
    }

    /// After how long of silence an agent counts as unreachable. Default: 75 s.
    #[must_use]
    pub fn unreachable_after(mut self, after: Duration) -> Self {
        self.unreachable_after = after;
        self
    }

    /// How long the death of a leading master goes unnoticed. Default: 1 s.
    #[must_use]
    pub fn election(mut self, time: Duration) -> Self {
        self.election = time;
        self
    }

    /// How long agents take to find a new master, or the master again. Default: 1 s.
    #[must_use]
    pub fn reregistration(mut self, time: Duration) -> Self {
        self.reregistration = time;
        self
    }

    /// How long a task stays in TASK_STAGING before its process starts: a KILL in that time ends it with
    /// REASON_TASK_KILLED_DURING_LAUNCH. Default: 10 ms.
    #[must_use]
    pub fn launch_delay(mut self, delay: Duration) -> Self {
        self.launch_delay = delay;
        self
    }

    /// Whether tasks report neither TASK_STARTING nor TASK_KILLING, as some executors do: only that they run, and their
    /// end. Default: no.
    #[must_use]
    pub fn terse(mut self, terse: bool) -> Self {
        self.terse = terse;
        self
    }

    /// For how long agents that are unreachable or gone are remembered; looked at every 15 min. After that their tasks
    /// are unknown. Default: two weeks.
    #[must_use]
    pub fn registry_age(mut self, age: Duration) -> Self {
        self.registry_age = age;
        self
    }

    /// Doesn't run tasks, but lets them fare as this says, such as [`Script::from_task`]. Default: tasks are really run,
    /// by whoever drives the cluster.
    #[must_use]
    pub fn scripted(mut self, script: impl Fn(&v1::TaskInfo) -> Script + Send + Sync + 'static) -> Self {
        self.scripts = Some(Scripts(Arc::new(script)));
        self
    }

    /// How agents treat executors that speak the executor API.
    #[must_use]
    pub fn executors(mut self, executors: ExecutorOptions) -> Self {
        self.executors = executors;
        self
    }

    /// Whether event streams are cut into chunks at random, as proxies do, instead of one record a chunk, as Mesos
    /// does. Default: no.
    #[must_use]
    pub fn rechunk(mut self, rechunk: bool) -> Self {
        self.rechunk = rechunk;
        self
    }

    /// Where a served cluster has its chance from; a [`Cluster`](crate::Cluster) of one's own is given its seed when it is
    /// made. What depends on time, network and processes still differs. Default: another one each time.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

/// One agent's make-up.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    pub(crate) hostname: String,
    pub(crate) resources: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            hostname: "127.0.0.1".into(),
            resources: "cpus:4;mem:4096;disk:10000;ports:[31000-32000]".into(),
            attributes: Vec::new(),
        }
    }
}

impl AgentOptions {
    /// The host name that offers show. Default: `127.0.0.1`, where the tasks really are.
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = hostname.into();
        self
    }

    /// The resources, as an agent's flag writes them: `cpus:4;mem:4096;ports:[31000-32000];cpus(web):2`. Default:
    /// 4 cpus, 4096 MiB of memory, 10000 MiB of disk, ports 31000 to 32000.
    #[must_use]
    pub fn resources(mut self, resources: impl Into<String>) -> Self {
        self.resources = resources.into();
        self
    }

    /// Adds a text attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}
