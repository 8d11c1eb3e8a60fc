//! A cluster, simulated or real, as scenarios see it.

use mesos_tokio::Http;
use mesos_tokio::mesos_core::scheduler::{Client, Config, Framework};

use crate::driver::{By, Driver};

use crate::real::Real;
use crate::simulated::Simulated;

/// How a cluster is made up. The same words for both sides.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "scenarios make it")]
pub struct Options {
    /// How many masters. Default: 1.
    pub masters: usize,
    /// How many agents. Default: 1.
    pub agents: usize,
    /// The resources of each agent. Default: 4 cpus, 4096 MiB of memory, 10000 MiB of disk, 1001 ports.
    pub resources: &'static str,
    /// The text attributes of each agent. Default: none.
    pub attributes: &'static [(&'static str, &'static str)],
    /// Principals and secrets that are let in; nobody else is, if there are any. Default: none.
    pub credentials: &'static [(&'static str, &'static str)],
    /// Whether masters speak TLS, and nothing else. Real ones only. Default: no.
    pub tls: bool,
    /// How many ZooKeeper servers. Real ones only. Default: as few as the masters need.
    pub zookeepers: usize,
    /// How long a restarted agent waits for its executors; in the end it kills those that haven't come. Real ones only.
    /// Default: 2 s.
    pub executor_patience: &'static str,
    /// The program that runs commands on agents, and on real ones task groups too. Default: simulated agents run them
    /// themselves; real ones have what the environment variable `REAL_MESOS_EXECUTOR` says, or `real-mesos` brings.
    pub executor: Option<&'static str>,
    /// Whether agents give tokens to executors, and want them back. Default: no.
    pub executor_tokens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            masters: 1,
            agents: 1,
            resources: "cpus:4;mem:4096;disk:10000;ports:[31000-32000]",
            attributes: &[],
            credentials: &[],
            tls: false,
            zookeepers: 0,
            executor_patience: "2secs",
            executor: None,
            executor_tokens: false,
        }
    }
}

/// Which kind of cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two")]
pub enum Side {
    /// `mesos-sim` behind real HTTP, tasks as real processes.
    Simulated,
    /// Mesos 1.11.0, by `real-mesos/cluster`.
    Real,
}

/// A running cluster. It ends when this is dropped, a panic included.
#[derive(Debug)]
pub struct Cluster {
    inner: Inner,
    by: By,
}

#[derive(Debug)]
enum Inner {
    Simulated(Simulated),
    Real(Box<Real>),
}

/// Starts a cluster, plays a scenario on it, its schedulers by this driver, and ends it.
///
/// # Panics
///
/// If the scenario does, or the cluster doesn't start.
pub fn run(side: Side, by: By, options: Options, scenario: impl AsyncFnOnce(&Cluster)) {
    // Some drivers block the scenario's thread; the simulated cluster has this one beside it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let cluster = Cluster::start(side, by, options).await;
        scenario(&cluster).await;
        cluster.stop().await;
    });
}

impl Cluster {
    async fn start(side: Side, by: By, options: Options) -> Self {
        let inner = match side {
            Side::Simulated => Inner::Simulated(Simulated::start(&options).await),
            Side::Real => Inner::Real(Box::new(Real::start(&options).await)),
        };
        Self { inner, by }
    }

    async fn stop(self) {
        match self.inner {
            Inner::Simulated(simulated) => simulated.stop().await,
            Inner::Real(real) => drop(real),
        }
    }

    /// Which kind it is: for what cannot be the same, such as how long something may take.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self.inner {
            Inner::Simulated(_) => Side::Simulated,
            Inner::Real(_) => Side::Real,
        }
    }

    /// What only a real cluster can do.
    ///
    /// # Panics
    ///
    /// If it is a simulated one.
    #[must_use]
    pub fn real(&self) -> &Real {
        match &self.inner {
            Inner::Simulated(_) => panic!("a simulated cluster can't"),
            Inner::Real(real) => real,
        }
    }

    /// The masters' addresses, as a configuration takes them.
    #[must_use]
    pub fn masters(&self) -> &[String] {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.masters(),
            Inner::Real(real) => real.masters(),
        }
    }

    /// What trusts the cluster's certificates, if it has any.
    #[must_use]
    pub fn http(&self) -> Http {
        match &self.inner {
            Inner::Simulated(_) => Http::default(),
            Inner::Real(real) => real.http(),
        }
    }

    /// A scheduler's configuration with all masters, and without credentials.
    ///
    /// # Panics
    ///
    /// If the framework is at fault.
    #[must_use]
    pub fn config(&self, framework: impl Into<Framework>) -> Config {
        Config::new(framework, self.masters()).expect("a good configuration")
    }

    /// The driver that the scenario's schedulers run on.
    pub(crate) const fn by(&self) -> By {
        self.by
    }

    /// A driver for a client of this configuration.
    #[must_use]
    pub(crate) fn driver(&self, config: Config) -> Driver<Client> {
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
        Driver::new(self.by, Client::new(config, seed), self.http())
    }

    /// Which master leads.
    pub async fn leader(&self) -> usize {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.leader().await,
            Inner::Real(real) => real.leader().await,
        }
    }

    /// `kill -9` for a master.
    pub async fn kill_master(&self, master: usize) {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.control(move |cluster| cluster.kill_master(master)).await,
            Inner::Real(real) => assert!(real.kill("master", master, 9).await),
        }
    }

    /// Starts a killed master again, at its old address, with its old files.
    pub async fn restart_master(&self, master: usize) {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.restart_master(master).await,
            Inner::Real(real) => real.resume("master", master).await,
        }
    }

    /// `kill -9` for an agent.
    pub async fn kill_agent(&self, agent: usize) {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.control(move |cluster| cluster.kill_agent(agent)).await,
            Inner::Real(real) => assert!(real.kill("agent", agent, 9).await),
        }
    }

    /// Starts a killed agent again, with its old files.
    pub async fn restart_agent(&self, agent: usize) {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.control(move |cluster| cluster.restart_agent(agent)).await,
            Inner::Real(real) => real.resume("agent", agent).await,
        }
    }

    /// Stops an agent without ending it (SIGSTOP): to the master it looks like a partition.
    pub async fn stop_agent(&self, agent: usize) {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.control(move |cluster| cluster.partition_agent(agent)).await,
            Inner::Real(real) => assert!(real.kill("agent", agent, 19).await),
        }
    }

    /// Lets a stopped agent go on.
    pub async fn continue_agent(&self, agent: usize) {
        match &self.inner {
            Inner::Simulated(simulated) => simulated.control(move |cluster| cluster.heal_agent(agent)).await,
            Inner::Real(real) => real.resume("agent", agent).await,
        }
    }

    /// The tasks that agents have and that haven't ended, by framework and id, as the agents say; sorted. All agents
    /// must be there.
    pub async fn tasks(&self) -> Vec<(String, String)> {
        let mut tasks = match &self.inner {
            Inner::Simulated(simulated) => simulated.tasks().await,
            Inner::Real(real) => real.tasks().await,
        };
        tasks.sort_unstable();
        tasks
    }

    /// Removes a framework, as an operator does.
    pub async fn tear_down(&self, framework: &str) {
        match &self.inner {
            Inner::Simulated(simulated) => {
                let framework = framework.to_owned();
                simulated.control(move |cluster| cluster.teardown(&framework)).await;
            }
            Inner::Real(real) => real.tear_down(framework).await,
        }
    }
}
