//! What happens from time to time: to masters, agents, clocks and stores; and how all is mended in the end.

use std::time::Duration;

use super::fault::Fault;
use super::{BEGINNING, Happening, Step, World, users};
use crate::Trouble;
use mesos_proto::v1;

impl World {
    /// A fault of the kind that comes from time to time.
    pub(super) fn fault(&mut self, fault: Fault) -> Step {
        self.plan.count(fault);
        match fault {
            Fault::StreamCut => self.cut_stream(),
            Fault::StoreDown => {
                let time = self.rng.time(Duration::from_millis(100), Duration::from_secs(300));
                self.note(|| format!("the store is down for {time:?}"));
                self.disk.down(self.now, time);
                self.store_away(time, false);
            }
            Fault::Fence => self.disk.fenced = true,
            Fault::Crash => self.crash(),
            Fault::Standstill if self.may_stand_still() => self.stand_still(None),
            Fault::StoreCut => self.cut_store(),
            Fault::MasterDies => self.kill_master(),
            Fault::CutAll => {
                self.note(|| "all connections break".into());
                self.cluster.cut_all();
            }
            Fault::AgentDies => {
                let agent = self.an_agent();
                let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1500));
                self.note(|| format!("agent {agent} dies for {wait:?}"));
                if self.is_used(agent) {
                    self.cluster.kill_agent(agent);
                    self.after(wait, Happening::RestartAgent(agent));
                }
            }
            Fault::Partition => {
                let agent = self.an_agent();
                let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1500));
                self.note(|| format!("agent {agent} is cut off for {wait:?}"));
                if self.is_used(agent) {
                    self.cluster.partition_agent(agent);
                    self.after(wait, Happening::HealAgent(agent));
                }
            }
            Fault::Gone => {
                let agent = self.an_agent();
                // Two always stay.
                if agent >= 2 && !self.gone.contains(&agent) {
                    self.note(|| format!("agent {agent} is marked gone"));
                    self.cluster.mark_agent_gone(agent);
                    // Nobody takes it while no master leads.
                    if self.cluster.is_gone(agent) {
                        self.gone.insert(agent);
                    }
                }
            }
            Fault::AgentReplaced => {
                let agent = self.an_agent();
                if self.is_used(agent) {
                    self.note(|| format!("agent {agent} is lost, and replaced"));
                    self.cluster.replace_agent(agent);
                }
            }
            Fault::Drain | Fault::DrainGone => self.drain_agent(fault == Fault::DrainGone),
            Fault::Maintenance => self.announce(),
            Fault::Refuse => {
                self.note(|| "the master refuses a user's tasks".into());
                self.cluster.forbid_user(Some(users::REFUSED));
                let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(300));
                self.after(wait, Happening::Allow);
            }
            Fault::Trouble => self.trouble(),
            Fault::Health => {
                if let Some(task) = self.a_task() {
                    self.note(|| format!("{} is unhealthy", task.task));
                    self.cluster.health(&task, false);
                    let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(300));
                    self.after(wait, Happening::Healthy(task));
                }
            }
            // The next one that is launched.
            Fault::StartHangs => self.hangs = true,
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
                self.past.jumped();
                self.places.jumped();
                return self.feed(mesos_core::Input::Wall(wall));
            }
            Fault::Stranger => {
                let agent = self.an_agent();
                let framework = self.ledger.framework.clone();
                if self.is_used(agent) && self.ledger.session.is_some() {
                    let id = self.ledger.stranger(self.steps);
                    self.note(|| format!("{id} is launched on agent {agent}, and nobody knows it"));
                    self.cluster.run_stranger(agent, &framework, &id);
                    self.changed = true;
                }
            }
            Fault::KillGhost => return self.kill_ghost(),
            Fault::Apply
            | Fault::Scale
            | Fault::Restart
            | Fault::Remove
            | Fault::Kill
            | Fault::Pause
            | Fault::Retry
            | Fault::Leave
            | Fault::Uninstall
            | Fault::DeclareDead => return self.command(fault),
            _ => {}
        }
        Ok(())
    }

    fn drain_agent(&mut self, for_good: bool) {
        let agent = self.an_agent();
        // Two always stay.
        if !self.is_used(agent) || for_good && agent < 2 || self.cluster.is_draining(agent) {
            return;
        }
        let grace = self.rng.chance(0.5).then(|| Duration::from_secs(self.rng.below(20)));
        self.note(|| format!("agent {agent} is drained{}", if for_good { " for good" } else { "" }));
        self.cluster.drain_agent(agent, grace, for_good);
        if for_good && (self.cluster.is_draining(agent) || self.cluster.is_gone(agent)) {
            self.gone.insert(agent);
        } else if !for_good {
            let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1000));
            self.after(wait, Happening::Reactivate(agent));
        }
    }

    /// Maintenance is announced; then the machine goes down and comes back, or nothing comes of it.
    fn announce(&mut self) {
        let agent = self.an_agent();
        if !self.is_used(agent) || self.cluster.is_draining(agent) {
            return;
        }
        let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1200));
        let duration = self.rng.chance(0.8).then(|| Duration::from_secs(self.rng.below(1200)));
        self.note(|| format!("agent {agent} is to be down in {wait:?} for {duration:?}"));
        let start = Duration::from_secs(BEGINNING) + self.now + wait;
        self.cluster.schedule_maintenance(agent, Some((start, duration)));
        let down = self.rng.chance(0.5);
        self.after(wait, if down { Happening::MachineDown(agent) } else { Happening::Withdraw(agent) });
    }

    pub(super) fn machine_down(&mut self, agent: usize) {
        if self.calm || !self.is_used(agent) || self.cluster.is_draining(agent) {
            return;
        }
        self.down.insert(agent);
        self.note(|| format!("the machine of agent {agent} is taken down"));
        self.cluster.machine_down(agent);
        let wait = self.rng.time(Duration::from_secs(1), Duration::from_secs(1500));
        self.after(wait, Happening::MachineUp(agent));
    }

    pub(super) fn machine_up(&mut self, agent: usize) {
        if self.down.remove(&agent) {
            self.note(|| format!("the machine of agent {agent} is up again"));
            self.cluster.replace_agent(agent);
        }
    }

    /// Whether an agent can come back, and isn't down on purpose.
    pub(super) fn is_used(&self, agent: usize) -> bool {
        !self.down.contains(&agent) && (!self.gone.contains(&agent) || self.cluster.is_draining(agent))
    }

    /// A drained agent is used again, once all is acknowledged.
    pub(super) fn reactivate(&mut self, agent: usize) {
        if self.gone.contains(&agent) || !self.cluster.is_draining(agent) {
            return;
        }
        if self.cluster.is_drained(agent) {
            self.note(|| format!("agent {agent} is used again"));
            self.cluster.reactivate_agent(agent);
        } else {
            self.after(Duration::from_secs(10), Happening::Reactivate(agent));
        }
    }

    /// Tasks of which two must never run together wait for ever for those whose agents are lost: an operator knows.
    pub(super) fn bury(&mut self) -> Step {
        if self.over {
            return Ok(());
        }
        self.after(Duration::from_secs(60), Happening::Bury);
        // What was said while no master led was said in vain.
        self.cluster.forbid_user(None);
        for agent in 0..self.cluster.agents.len() {
            self.cluster.schedule_maintenance(agent, None);
        }
        // Their tasks need what others could have.
        for framework in &self.ledger.former {
            self.cluster.teardown(framework);
        }
        self.feed(mesos_core::Input::Timeout)?;
        let Some(engine) = &mut self.engine else { return Ok(()) };
        // What is left on agents that are gone for good is nobody's: a registry that has forgotten them says no more than
        // that it is unknown.
        let used: Vec<_> =
            self.cluster.agents.iter().enumerate().filter(|(agent, _)| !self.gone.contains(agent)).collect();
        let lives = |id: &String| used.iter().any(|(_, agent)| agent.tasks.keys().any(|key| key.1 == *id));
        use mesos_core::engine::State::{Doubtful, Killing, Unreachable};
        let lost: Vec<_> = engine
            .tasks()
            .filter(|task| self.disk.strict.contains_key(&task.spec))
            .filter(|task| matches!(task.state, Unreachable | Doubtful | Killing(_)) && !lives(&task.task_id))
            .collect();
        // Users retry what was refused before they came to rest, and is heard of only now (simulated: seed 2600003085).
        for spec in std::mem::take(&mut self.users.refused) {
            self.past.commanded();
            self.ledger.commanded_of(&spec);
            let _ = engine.retry(&spec);
        }
        for task in lost {
            for other in self.ledger.tasks.values_mut().filter(|other| other.slot == (task.spec.clone(), task.index)) {
                other.released = true;
            }
            let _ = engine.declare_dead(&task.spec, task.index);
        }
        self.drain()
    }

    fn trouble(&mut self) {
        let all = [
            Trouble::MemoryLimit,
            Trouble::CompletionTime,
            Trouble::Preempted,
            Trouble::ExecutorStopped,
            Trouble::Unhealthy,
            Trouble::NotPrepared,
            Trouble::NotLaunched,
            Trouble::NotRegistered,
        ];
        if let (Some(task), Some(trouble)) = (self.a_task(), self.rng.pick(&all)) {
            self.note(|| format!("{} has trouble: {trouble:?}", task.task));
            self.cluster.trouble(&task, trouble);
        }
    }

    /// A task that has just been launched may never start.
    pub(super) fn hang(&mut self) {
        if !self.hangs {
            return;
        }
        let tasks = self.cluster.agents.iter().flat_map(|agent| &agent.tasks);
        let staging = tasks.filter(|(_, task)| task.state == v1::TaskState::TaskStaging);
        let Some(((framework, task), _)) = staging.last() else { return };
        let task = crate::TaskName { framework: framework.clone(), task: task.clone() };
        self.note(|| format!("{} hangs in its start", task.task));
        self.cluster.trouble(&task, Trouble::NeverStarts);
        self.hangs = false;
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
        (self.calm, self.hangs) = (true, false);
        self.plan.end();
        self.disk.down_until = Duration::ZERO;
        self.disk.fenced = false;
        self.cluster.options.reregistration = Duration::from_secs(1);
        for master in 0..self.masters {
            self.cluster.restart_master(master);
        }
        if self.masters > 1 && self.apart.chance(0.1) {
            // One of several may stay away for ever.
            self.note(|| "master 0 is given up".into());
            self.cluster.kill_master(0);
        }
        self.cluster.forbid_user(None);
        for agent in std::mem::take(&mut self.down) {
            self.cluster.replace_agent(agent);
        }
        for agent in (0..self.cluster.agents.len()).filter(|agent| self.is_used(*agent)).collect::<Vec<_>>() {
            self.cluster.schedule_maintenance(agent, None);
            self.cluster.restart_agent(agent);
            self.cluster.heal_agent(agent);
            self.reactivate(agent);
        }
        for agent in 0..self.cluster.agents.len() {
            for task in self.cluster.tasks(agent) {
                self.cluster.health(&task, true);
            }
        }
        self.after(Duration::from_secs(60), Happening::Bury);
        self.one_more = Some(self.rng.below(30));
        self.mend_network();
        if self.instances.two {
            return self.mend_instances();
        }
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
        self.users.settle(engine, &mut self.ledger, agents, self.room.map(|room| room * agents), self.now);
        self.feed(mesos_core::Input::Timeout)?;
        if let Some(engine) = &mut self.engine {
            self.users.resume(engine);
        }
        self.feed(mesos_core::Input::Timeout)
    }
}
