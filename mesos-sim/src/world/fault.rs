//! What can go wrong in a world, and which of it does in a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::rng::Rng;

macro_rules! faults {
    ($($variant:ident $name:literal $kind:ident $what:literal,)*) => {
        /// Something that goes wrong, or that a user or operator does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $(#[doc = $what] $variant,)*
        }

        impl Fault {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it does.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),* }
            }
        }
    };
}

impl Fault {
    /// Whether it can only happen to one of two instances.
    pub(super) const fn needs_two(self) -> bool {
        matches!(self, Self::Standstill | Self::StandstillStep | Self::StoreCut | Self::LeaseBlind)
    }

    /// Whether it has chance of its own: without it, all is as if there were none such.
    const fn is_apart(self) -> bool {
        matches!(
            self,
            Self::Stranger | Self::Uninstall | Self::StartHangs | Self::Answer | Self::Terse | Self::KillGhost
        )
    }

    fn rate(self, strength: i32) -> f64 {
        match self.kind() {
            Kind::Seldom => 0.002 * 5_f64.powi(strength),
            Kind::Often => 0.5,
            Kind::Timed => 3600.0 / 4_f64.powi(strength),
        }
    }
}

enum Kind {
    /// Each time there is an occasion, with some probability.
    Seldom,
    /// As often as not.
    Often,
    /// From time to time.
    Timed,
}

faults! {
    CutBefore "cut-before" Seldom "a connection can't be made",
    CutWithin "cut-within" Seldom "a connection breaks within a request",
    CutAfter "cut-after" Seldom "a request arrives, and its answer is lost",
    Linger "linger" Seldom "a request arrives long after its connection broke",
    HalfOpen "half-open" Seldom "one side of a connection never learns that it broke",
    Silence "silence" Seldom "a request arrives, and nothing ever comes back",
    Delay "delay" Seldom "a request or an answer takes many seconds",
    Rechunk "rechunk" Often "the stream of events comes in pieces of any size",
    Answer "answer" Seldom "a call is answered with an error, and never taken",
    StreamCut "stream-cut" Timed "the stream of events breaks",
    StoreSlow "store-slow" Seldom "a batch takes seconds to be durable",
    StoreDown "store-down" Timed "the store is unavailable for a while",
    StoreMute "store-mute" Seldom "a batch is durable, and its writer is told otherwise",
    Fence "fence" Timed "another instance takes the store over for a moment",
    CrashStep "crash-step" Seldom "the scheduler dies before it does what it has just decided",
    Crash "crash" Timed "the scheduler dies",
    LongDead "long-dead" Often "a scheduler that died stays dead for many minutes",
    MasterDies "master-dies" Timed "the leading master dies and another one takes over, knowing nothing",
    AgentsLate "agents-late" Often "after a failover agents are slow to come back",
    CutAll "cut-all" Timed "all connections of the masters break",
    AgentDies "agent-dies" Timed "an agent dies, and is started again",
    Partition "partition" Timed "an agent is cut off for a while",
    Gone "gone" Timed "an operator marks an agent gone",
    GoneLate "registry-gc" Often "the registry soon forgets agents that are unreachable or gone",
    AgentReplaced "agent-replaced" Timed "an agent's machine is lost, and another one takes its place",
    Drain "drain" Timed "an operator drains an agent, and reactivates it",
    DrainGone "drain-gone" Timed "an operator drains an agent for good",
    Maintenance "maintenance" Timed "an operator announces maintenance, and takes the machine down, or not",
    Refuse "refuse" Timed "the master refuses the tasks of a user for a while",
    Trouble "trouble" Timed "an agent or an executor ends a task",
    Health "health" Timed "a health check fails for a while",
    Rescind "rescind" Timed "the master takes all offers back",
    RescindRace "rescind-race" Seldom "an offer is taken back just before its ACCEPT arrives",
    TaskEnds "task-ends" Timed "a task ends by itself",
    TaskLoops "task-loops" Often "there are tasks that fail again and again",
    SlowStart "slow-start" Often "tasks take a minute to start",
    Teardown "teardown" Timed "an operator removes the framework",
    ClockJump "clock-jump" Timed "the wall clock jumps",
    Apply "apply" Timed "a user changes a spec",
    Scale "scale" Timed "a user scales a spec",
    Restart "restart" Timed "a user restarts a spec or an instance",
    Remove "remove" Timed "a user removes a spec",
    Kill "kill" Timed "a user kills a task",
    KillGhost "kill-ghost" Timed "a user kills a task that was given up",
    Pause "pause" Timed "a user halts a rollout, or lets it go on",
    Retry "retry" Timed "a user retries what was given up, or lifts a back-off",
    Leave "leave" Timed "a user lets the scheduler end in good order",
    Stranger "stranger" Timed "a task runs in the framework's name that no store knows",
    DeclareDead "declare-dead" Timed "a user says that an unreachable task is dead",
    Uninstall "uninstall" Timed "a user ends all tasks and removes the framework, or removes it with them",
    StartHangs "start-hangs" Timed "a task hangs in its start, and nothing is heard of it any more",
    Terse "terse" Often "executors tell neither that a task starts nor that it ends, only that it runs or has ended",
    Standstill "standstill" Timed "of two instances the leader stands still, and goes on as if nothing had happened",
    StandstillStep "standstill-step" Seldom "of two, the leader stands still before it does what it has just decided",
    StoreCut "store-cut" Timed "one of two instances is cut off from the store for a while",
    LeaseBlind "lease-blind" Often "a leader doesn't see by itself that its lease is over",
}

/// Which faults a run has, and how often.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    rates: BTreeMap<Fault, f64>,
    /// What has happened.
    pub(super) counts: BTreeMap<Fault, u64>,
}

impl Plan {
    /// A swarm: each fault is in about half of the runs, at a rate of its own. With `only`, these are, and nothing
    /// else.
    pub(super) fn draw(rng: &mut Rng, only: &BTreeSet<Fault>) -> Self {
        let calm = rng.chance(0.05);
        let mut rates = BTreeMap::new();
        for &fault in Fault::ALL.iter().filter(|fault| !fault.needs_two() && !fault.is_apart()) {
            let (there, strength) = (rng.chance(0.45), rng.below(3) as i32);
            let there = if only.is_empty() { there && !calm } else { only.contains(&fault) };
            let rate = fault.rate(strength);
            // These end what most others need: they are rarer, but for who asks for them by name. The chance is drawn
            // in any case, so that all else stays what it is.
            let ends_much = matches!(fault, Fault::Teardown | Fault::Gone | Fault::DrainGone | Fault::Fence);
            let there = there && (!ends_much || rng.chance(0.4) || !only.is_empty());
            if there {
                rates.insert(fault, rate);
            }
        }
        let mut apart = Rng::new(rng.clone().next());
        let rare = [
            (Fault::Stranger, 600.0),
            (Fault::Uninstall, 4000.0),
            (Fault::StartHangs, 600.0),
            (Fault::Answer, 0.03),
            (Fault::Terse, 1.0),
            (Fault::KillGhost, 600.0),
        ];
        for (fault, rate) in rare {
            if only.contains(&fault) || apart.chance(0.1) && only.is_empty() && !calm {
                rates.insert(fault, rate);
            }
        }
        Self { rates, counts: BTreeMap::new() }
    }

    /// The faults of two instances: each is in two of three such runs.
    pub(super) fn draw_two(&mut self, rng: &mut Rng, only: &BTreeSet<Fault>) {
        for &fault in Fault::ALL.iter().filter(|fault| fault.needs_two()) {
            let (there, strength) = (rng.chance(0.65), rng.below(3) as i32);
            let there = if only.is_empty() { there } else { only.contains(&fault) };
            if there {
                self.rates.insert(fault, fault.rate(strength));
            }
        }
    }

    /// Whether it happens, now that there is an occasion.
    pub(super) fn strikes(&mut self, rng: &mut Rng, fault: Fault) -> bool {
        let strikes = self.rates.get(&fault).is_some_and(|rate| rng.chance(*rate));
        if strikes {
            self.count(fault);
        }
        strikes
    }

    /// Whether it is in this run.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.rates.contains_key(&fault)
    }

    pub(super) fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
    }

    /// Those that come from time to time.
    pub(super) fn timed(&self) -> Vec<Fault> {
        self.rates.keys().copied().filter(|fault| matches!(fault.kind(), Kind::Timed)).collect()
    }

    /// How long until it happens next.
    pub(super) fn next(&self, rng: &mut Rng, fault: Fault) -> Option<Duration> {
        let mean = *self.rates.get(&fault)?;
        Some(rng.time(Duration::from_secs_f64(mean / 50.0), Duration::from_secs_f64(mean * 3.0)))
    }

    /// What users do is somebody else's business.
    pub(super) fn without_users(&mut self) {
        use Fault as F;
        let users = [
            F::TaskLoops,
            F::Apply,
            F::Scale,
            F::Restart,
            F::Remove,
            F::Kill,
            F::Pause,
            F::Retry,
            F::DeclareDead,
            F::Uninstall,
        ];
        self.rates.retain(|fault, _| !users.contains(fault));
    }

    /// From now on all is well.
    pub(super) fn end(&mut self) {
        self.rates.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Also those that are rare where all are drawn.
    #[test]
    fn what_is_asked_for_by_name_is_in_every_run() {
        for &fault in Fault::ALL.iter().filter(|fault| !fault.needs_two()) {
            for seed in 0..20 {
                let plan = Plan::draw(&mut Rng::new(seed), &BTreeSet::from([fault]));
                assert!(plan.has(fault) && plan.rates.len() == 1, "{fault:?}, seed {seed}");
            }
        }
    }
}
