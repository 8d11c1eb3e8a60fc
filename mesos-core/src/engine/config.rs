//! What an engine is made of besides its specs.

use core::time::Duration;

use crate::{Resources, scheduler};

/// Bounds of the filters that users may choose. Filters of an earlier process may be in force for as long as the longest.
const REFUSE_LEAST: Duration = Duration::from_secs(5);
pub(super) const REFUSE_MOST: Duration = Duration::from_secs(3600);

/// All that an [`Engine`](super::Engine) needs to know besides its specs. Each default is what most frameworks want.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) client: scheduler::Config,
    pub(super) unknown_tasks: UnknownTasks,
    pub(super) on_removed: OnRemoved,
    pub(super) removal: Removal,
    pub(super) order: Order,
    pub(super) protocol_events: bool,
    pub(super) own_offers: bool,
    pub(super) manual_acknowledgement: bool,
    pub(super) reconcile_every: Duration,
    pub(super) implicit_every: Duration,
    pub(super) max_launching_per_agent: u32,
    pub(super) max_kills: u32,
    pub(super) global_gate: bool,
    pub(super) refuse_idle: Duration,
    pub(super) refuse_unfit: Duration,
    pub(super) headroom: Resources,
    pub(super) port_order: PortOrder,
}

/// What to do about a task of this framework that the engine does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownTasks {
    /// Kill it, provided that the store knew this framework: an empty store must not wipe a running framework.
    #[default]
    Kill,
    /// Acknowledge and tell, no more; what npm's `mesos-framework` does unless told otherwise.
    // S22
    Ignore,
}

/// What to do when the master says that the framework has been removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnRemoved {
    /// Stop, with the event [`Fatal`](super::Event::Fatal): its tasks are dead, and somebody wanted that.
    #[default]
    Stop,
    /// Make a new framework and launch everything again; at most once an hour.
    FreshId,
}

/// What becomes of a stored spec that the program no longer gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Removal {
    /// It is kept running, with the event [`SpecKept`](super::Event::SpecKept).
    #[default]
    Keep,
    /// It is removed.
    Auto,
}

/// In which order instances of equal priority are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// One instance of a spec in turns, first of the spec that has the smallest share of its instances.
    #[default]
    Fair,
    /// All of one spec before the next, by name and number, as npm's `mesos-framework` does.
    // S31
    InSpecOrder,
}

/// Which of an agent's ports are given to a task that needn't have particular ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PortOrder {
    /// The lowest, as npm's `mesos-framework` does.
    #[default]
    Lowest,
    /// Those after the last ones given on that agent, so that a port isn't used again as soon as it is free.
    Rotating,
}

impl Config {
    /// The defaults, for this protocol client.
    #[must_use]
    pub fn new(client: scheduler::Config) -> Self {
        Self {
            client,
            unknown_tasks: UnknownTasks::Kill,
            on_removed: OnRemoved::Stop,
            removal: Removal::Keep,
            order: Order::Fair,
            protocol_events: false,
            own_offers: false,
            manual_acknowledgement: false,
            reconcile_every: Duration::from_secs(15 * 60),
            implicit_every: Duration::from_secs(60 * 60),
            max_launching_per_agent: 32,
            max_kills: 100,
            global_gate: false,
            refuse_idle: REFUSE_MOST,
            refuse_unfit: Duration::from_secs(120),
            headroom: Resources::new(),
            port_order: PortOrder::Lowest,
        }
    }

    /// What to do about unknown tasks; by default they are killed, but none while a task of ours may look like one, as
    /// what is [known of it can't be read](super::Quarantined).
    #[must_use]
    pub const fn unknown_tasks(mut self, unknown: UnknownTasks) -> Self {
        self.unknown_tasks = unknown;
        self
    }

    /// What to do when the framework has been removed; by default the engine stops.
    #[must_use]
    pub const fn on_removed(mut self, on_removed: OnRemoved) -> Self {
        self.on_removed = on_removed;
        self
    }

    /// What becomes of stored specs that the program no longer gives; by default they are kept.
    #[must_use]
    pub const fn removal(mut self, removal: Removal) -> Self {
        self.removal = removal;
        self
    }

    /// In which order instances of equal priority are placed; by default in turns.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Whether every event of the protocol is told too, as [`Event::Protocol`](super::Event::Protocol); not by
    /// default.
    #[must_use]
    pub const fn protocol_events(mut self, tell: bool) -> Self {
        self.protocol_events = tell;
        self
    }

    /// Leaves all offers to the user, who gets them as [`Event::Offers`](super::Event::Offers) and answers each, unless
    /// [`Event::Rescinded`](super::Event::Rescinded) says that it is no longer good. The engine launches nothing; tasks
    /// that the user launches are unknown to it, so think of [`unknown_tasks`](Self::unknown_tasks). Not by default.
    // S109
    #[must_use]
    pub const fn own_offers(mut self, own: bool) -> Self {
        self.own_offers = own;
        self
    }

    /// Leaves acknowledgements to the user, who gets an [`Event::Unacknowledged`](super::Event::Unacknowledged) for each
    /// status that has been dealt with. Until it is acknowledged, no other status of that task comes. Not by default.
    // S111
    #[must_use]
    pub const fn manual_acknowledgement(mut self, manual: bool) -> Self {
        self.manual_acknowledgement = manual;
        self
    }

    /// How often the state of all tasks is asked for; every 15 min by default. What is shorter than a minute counts as
    /// one.
    #[must_use]
    pub fn reconcile_every(mut self, interval: Duration) -> Self {
        self.reconcile_every = interval.max(Duration::from_secs(60));
        self
    }

    /// How often everything is asked for that the master knows of this framework, which finds tasks that the engine does not
    /// know; every hour by default. What is shorter than a minute counts as one.
    #[must_use]
    pub const fn implicit_every(mut self, every: Duration) -> Self {
        self.implicit_every = if every.as_secs() < 60 { Duration::from_secs(60) } else { every };
        self
    }

    /// How many tasks of this framework may be starting on one agent; 32 by default, at least 1.
    #[must_use]
    pub fn max_launching_per_agent(mut self, tasks: u32) -> Self {
        self.max_launching_per_agent = tasks.max(1);
        self
    }

    /// How many tasks may be in the course of being killed; 100 by default, at least 1. The others wait. Those that can't be
    /// reached don't count.
    #[must_use]
    pub fn max_kills(mut self, tasks: u32) -> Self {
        self.max_kills = tasks.max(1);
        self
    }

    /// Whether nothing is launched after a subscription before the master has said what became of each task, or a minute
    /// has passed; not by default. As it is, an instance waits only for what is known of its own last task.
    #[must_use]
    pub const fn global_gate(mut self, gate: bool) -> Self {
        self.global_gate = gate;
        self
    }

    /// For how long offers are refused of what nothing waits for; an hour by default, and from 5 s to an hour. Once
    /// something waits, the filters are lifted.
    // W51
    #[must_use]
    pub fn refuse_idle(mut self, filter: Duration) -> Self {
        self.refuse_idle = filter.clamp(REFUSE_LEAST, REFUSE_MOST);
        self
    }

    /// For how long what is left of an agent is refused although something waits, as none of it fits there; 2 min by
    /// default, and from 5 s to an hour. Whatever else the agent has to give by then is offered at once; but what an
    /// instance only takes after it has waited for 2 min is hidden by a longer filter.
    // W51
    #[must_use]
    pub fn refuse_unfit(mut self, filter: Duration) -> Self {
        self.refuse_unfit = filter.clamp(REFUSE_LEAST, REFUSE_MOST);
        self
    }

    /// What a launch must leave of what is offered of its agent to its role, for what the agent is to do besides;
    /// nothing by default. Of ports only the number counts.
    #[must_use]
    pub fn headroom(mut self, headroom: Resources) -> Self {
        self.headroom = headroom;
        self
    }

    /// In which order ports are given away; the lowest first by default. A new process starts at the lowest.
    #[must_use]
    pub const fn port_order(mut self, order: PortOrder) -> Self {
        self.port_order = order;
        self
    }
}
