//! What happens from time to time: to masters, agents, clocks and stores; and how all is mended in the end.

use std::time::Duration;

use super::fault::Fault;
use super::{Happening, Step, World};

impl World {
    /// A fault of the kind that comes from time to time.
    pub(super) fn fault(&mut self, fault: Fault) -> Step {
        self.plan.count(fault);
        match fault {
            Fault::StreamCut => self.cut_stream(),
            Fault::StoreDown => {
                let time = self.rng.time(Duration::from_millis(100), Duration::from_secs(300));
                self.note(|| format!("the store is down for {time:?}"));
                self.disk.down_until = self.now + time;
            }
            Fault::Fence => self.disk.fenced = true,
            Fault::Crash => self.crash(),
            Fault::MasterDies => self.kill_master(),
            Fault::CutAll => {
                self.note(|| "all connections break".into());
                self.cluster.cut_all();
            }
            Fault::AgentDies => {
                let agent = self.an_agent();
                let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1500));
                self.note(|| format!("agent {agent} dies for {wait:?}"));
                if !self.gone.contains(&agent) {
                    self.cluster.kill_agent(agent);
                    self.after(wait, Happening::RestartAgent(agent));
                }
            }
            Fault::Partition => {
                let agent = self.an_agent();
                let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1500));
                self.note(|| format!("agent {agent} is cut off for {wait:?}"));
                if !self.gone.contains(&agent) {
                    self.cluster.partition_agent(agent);
                    self.after(wait, Happening::HealAgent(agent));
                }
            }
            Fault::Gone => {
                let agent = self.an_agent();
                // Two always stay.
                if agent >= 2 && self.gone.insert(agent) {
                    self.note(|| format!("agent {agent} is marked gone"));
                    self.cluster.mark_agent_gone(agent);
                }
            }
            Fault::Rescind => {
                self.note(|| "all offers are taken back".into());
                self.cluster.rescind_all();
            }
            Fault::TaskEnds => self.end_a_task(),
            Fault::Teardown => {
                self.note(|| "an operator removes the framework".into());
                let framework = self.ledger.framework.clone();
                self.cluster.teardown(&framework);
                for task in self.ledger.tasks.values_mut() {
                    task.ended = true;
                }
            }
            Fault::ClockJump => {
                self.skew = self.rng.pick(&[-86_400, -700, -20, 0, 20, 700, 86_400]).unwrap_or_default();
                self.note(|| "the wall clock jumps".into());
                let wall = self.wall();
                self.past.commanded();
                return self.feed(mesos_core::Input::Wall(wall));
            }
            Fault::Apply
            | Fault::Scale
            | Fault::Restart
            | Fault::Remove
            | Fault::Kill
            | Fault::Pause
            | Fault::Retry
            | Fault::DeclareDead => return self.command(fault),
            _ => {}
        }
        Ok(())
    }

    fn an_agent(&mut self) -> usize {
        self.rng.below(self.cluster.agents.len() as u64) as usize
    }

    fn kill_master(&mut self) {
        let Some(leader) = self.cluster.leader() else { return };
        let late = self.plan.strikes(&mut self.rng, Fault::AgentsLate);
        let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(100));
        self.note(|| format!("master {leader} dies"));
        let returns = if late { Duration::from_secs(5 + self.rng.below(700)) } else { Duration::from_secs(1) };
        self.cluster.options.reregistration = returns;
        self.cluster.kill_master(leader);
        self.after(wait, Happening::RestartMaster(leader));
    }

    /// All is well from now on.
    pub(super) fn mend(&mut self) -> Step {
        self.note(|| "-- from here on nothing goes wrong --".into());
        self.calm = true;
        self.plan.end();
        self.disk.down_until = Duration::ZERO;
        self.disk.fenced = false;
        self.cluster.options.reregistration = Duration::from_secs(1);
        for master in 0..self.masters {
            self.cluster.restart_master(master);
        }
        for agent in (0..self.cluster.agents.len()).filter(|agent| !self.gone.contains(agent)).collect::<Vec<_>>() {
            self.cluster.restart_agent(agent);
            self.cluster.heal_agent(agent);
        }
        self.mend_network();
        if self.engine.is_none() {
            self.after(Duration::from_millis(1), Happening::Start);
            return Ok(());
        }
        self.rest()
    }

    /// The users come to rest.
    pub(super) fn rest(&mut self) -> Step {
        let agents = (self.cluster.agents.len() - self.gone.len()) as u32;
        let Some(engine) = &mut self.engine else { return Ok(()) };
        self.past.commanded();
        self.users.settle(engine, &mut self.ledger, agents, self.room.map(|room| room * agents));
        self.feed(mesos_core::Input::Timeout)
    }
}
