//! The simulated side: `mesos-sim` behind real HTTP.

use std::time::Duration;

use mesos_sim::serve::Served;
use mesos_sim::{AgentOptions, Cluster, ExecutorOptions};

use crate::{LIMIT, Options};

#[derive(Debug)]
pub(crate) struct Simulated {
    served: Served,
    masters: Vec<String>,
    agents: usize,
}

impl Simulated {
    pub(crate) async fn start(options: &Options) -> Self {
        assert!(!options.tls, "the simulated cluster has no TLS");
        let mut agent = AgentOptions::default().resources(options.resources);
        for (name, value) in options.attributes {
            agent = agent.attribute(*name, *value);
        }
        // Real times where they are short, and shorter ones where the real side waits for a ping or a ZooKeeper session.
        let mut made = mesos_sim::Options::default()
            .masters(options.masters)
            .agents(vec![agent; options.agents])
            .allocation_interval(Duration::from_millis(200))
            .unreachable_after(Duration::from_secs(2))
            .election(Duration::from_millis(500))
            .reregistration(Duration::from_millis(50))
            .launch_delay(Duration::from_millis(200));
        let mut executors = ExecutorOptions::default().tokens(options.executor_tokens);
        if let Some(program) = options.executor {
            executors = executors.command_executor(program);
        }
        made = made.executors(executors);
        for (principal, secret) in options.credentials {
            made = made.credential(*principal, *secret);
        }
        let served = Served::start(made).await.expect("a simulated cluster");
        let masters = served.masters().iter().map(ToString::to_string).collect();
        Self { served, masters, agents: options.agents }
    }

    pub(crate) async fn stop(self) {
        self.served.stop().await;
    }

    pub(crate) fn masters(&self) -> &[String] {
        &self.masters
    }

    pub(crate) async fn control<R: Send + 'static>(&self, act: impl FnOnce(&mut Cluster) -> R + Send + 'static) -> R {
        self.served.control(act).await.expect("the cluster runs")
    }

    pub(crate) async fn leader(&self) -> usize {
        self.control(|cluster| cluster.leader()).await.expect("a leader")
    }

    pub(crate) async fn tasks(&self) -> Vec<(String, String)> {
        let agents = self.agents;
        let tasks = self.control(move |cluster| (0..agents).flat_map(|agent| cluster.tasks(agent)).collect::<Vec<_>>());
        tasks.await.into_iter().map(|name| (name.framework, name.task)).collect()
    }

    pub(crate) async fn restart_master(&self, master: usize) {
        // What was killed may still be on its way out.
        let limit = tokio::time::Instant::now() + LIMIT;
        while let Err(error) = self.served.restart_master(master).await {
            assert!(tokio::time::Instant::now() < limit, "its port: {error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
