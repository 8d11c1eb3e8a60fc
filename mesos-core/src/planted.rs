//! Bugs planted on purpose: proof that the simulated world of `mesos-sim` finds such ones. `cargo xtask planted` builds
//! with `--cfg planted`, chooses one after the other, and demands that the ordinary invariants find each of them.
//! In every other build none of this exists.

/// Whether this bug is there.
#[cfg(not(planted))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(planted)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_chosen($crate::planted::Bug::$bug)
    };
}

pub(crate) use planted;

#[cfg(planted)]
pub use table::*;

#[cfg(planted)]
mod table {
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// All bugs; 0 is none.
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    macro_rules! bugs {
        ($($bug:ident $name:literal $seeds:literal $what:literal,)*) => {
            /// A bug.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[allow(clippy::exhaustive_enums, reason = "never in a released build")]
            pub enum Bug {
                $(#[doc = $what] $bug,)*
            }

            impl Bug {
                /// All there are.
                pub const ALL: &'static [Self] = &[$(Self::$bug),*];

                /// The name on the command line.
                #[must_use]
                pub const fn name(self) -> &'static str {
                    match self { $(Self::$bug => $name),* }
                }

                /// What it does.
                #[must_use]
                pub const fn what(self) -> &'static str {
                    match self { $(Self::$bug => $what),* }
                }

                /// So many seeds have to suffice to find it.
                #[must_use]
                pub const fn seeds(self) -> u64 {
                    match self { $(Self::$bug => $seeds),* }
                }
            }
        };
    }

    bugs! {
        AckEarly "ack-early" 20 "a status is acknowledged before what it changed is durable",
        UpdateLost "update-lost" 100 "the first status of a task after a reconnection is acknowledged, and ignored",
        DuplicateSilent "duplicate-silent" 100 "a status that comes again is not acknowledged again",
        LaunchEarly "launch-early" 20 "ACCEPT leaves before its intents are durable",
        IdEarly "id-early" 20 "calls leave before the framework's id is durable",
        KillEarly "kill-early" 20 "KILL leaves before it is durable why",
        RemovedEarly "removed-early" 100 "a new framework is made before it is durable that the old one is spent",
        RecordGone "record-gone" 20 "the record of a task goes when it is to be killed, not when it has ended",
        WriteLost "write-lost" 100 "of two changes of a record in one batch the first one is written",
        FailureIsDone "failure-is-done" 100 "a batch that could not be written counts as durable",
        FencedGoesOn "fenced-goes-on" 50 "an engine whose store has another writer goes on",
        OfferTwice "offer-twice" 20 "an offer is accepted and declined",
        OfferForgotten "offer-forgotten" 50 "an offer that something will need later gets no answer",
        DeclineLost "decline-lost" 50 "a DECLINE that could not be sent is forgotten",
        OldSession "old-session" 100 "an ACCEPT that waits for the store outlives its session",
        RescindIgnored "rescind-ignored" 300 "an offer that was taken back is used",
        NotTaken "not-taken" 50 "what a task needs is not subtracted from its offer",
        TakenTwice "taken-twice" 150 "what a task needs is subtracted twice from its offer",
        PortTwice "port-twice" 20 "two tasks get the same port",
        GenerationAgain "generation-again" 50 "the generation of an ACCEPT that was given up is used again",
        IncarnationSame "incarnation-same" 20 "a new process counts as the one before",
        StartingForgotten "starting-forgotten" 50 "a new process forgets tasks that were starting",
        KillForgotten "kill-forgotten" 200 "a new process forgets that tasks are to be killed",
        BackoffLost "backoff-lost" 100 "a new process forgets how long instances are held back",
        FaultsForgotten "faults-forgotten" 100 "a new process forgets how often instances have failed",
        NotReconciled "not-reconciled" 100 "nobody asks what became of tasks",
        AskFlood "ask-flood" 100 "questions without answer are repeated every second",
        AnswerDoubles "answer-doubles" 100 "a second answer about a task that has ended launches another one",
        GoneIsLife "gone-is-life" 100 "TASK_GONE is not taken for the end of a task",
        UnknownIsDeath "unknown-is-death" 400 "a first TASK_UNKNOWN is taken for the end of a task",
        UnreachableIsDeath "unreachable-is-death" 100 "TASK_UNREACHABLE is taken for the end of a task",
        TimerUnparked "timer-unparked" 150 "time-outs act while nothing is known of a task",
        StrictReplaced "strict-replaced" 300 "an unreachable task is replaced that must not have a double",
        BothStay "both-stay" 100 "a task that returns stays beside the one that took its place",
        GhostForgotten "ghost-forgotten" 100 "a task that was given up is forgotten",
        StillForbidden "still-forbidden" 200 "where duplicates are allowed now, what can't be reached is still waited for",
        AdoptedBeside "adopted-beside" 200 "a task that returns takes a place that another one has",
        StrangerLives "stranger-lives" 200 "a task that nobody knows is left alone",
        KillsTheDead "kills-the-dead" 300 "a task that nobody knows is killed, whatever its status says",
        KillLost "kill-lost" 100 "tasks of instances that are no longer wanted are not killed",
        KillOnce "kill-once" 900 "a KILL that may be lost is not repeated",
        SurgeIgnored "surge-ignored" 50 "a rollout has two of every instance at a time",
        AllAtOnce "all-at-once" 100 "a rollout ends all instances at once",
        KillFlood "kill-flood" 100 "KILL is repeated every second",
        ReviveStorm "revive-storm" 100 "REVIVE is sent as often as there is a reason",
        ReviveOnce "revive-once" 1000 "a REVIVE that was lost is not repeated",
        NeverSuppressed "never-suppressed" 20 "offers that nobody needs go on coming",
        SuppressedDropped "suppressed-dropped" 20 "a new subscription forgets which roles are suppressed",
        SessionKept "session-kept" 100 "a session goes on after the loss of a call that may still arrive",
        SilenceIgnored "silence-ignored" 100 "a stream that has died without a word counts as alive",
        Unfenced "unfenced" 300 "a new subscription acts before the store has said that nobody else has taken over",
        FenceOpen "fence-open" 20 "a simulated store takes what one writes that was replaced",
        ClosingUsed "closing-used" 50 "a task goes to an agent that is about to be taken away",
        AvoidedUsed "avoided-used" 200 "a task goes to an agent that its spec avoids",
        OtherContents "other-contents" 300 "what goes on in a former revision is launched as the present one",
        OneTooMany "one-too-many" 150 "one more than there may be go where a constraint counts them",
        WrongPort "wrong-port" 20 "a task is told of other ports than it has",
        BestGo "best-go" 100 "if there are to be fewer, those go that are ready",
        PauseLost "pause-lost" 50 "that a rollout was halted is not kept",
        PartitionHolds "partition-holds" 50 "a rollout waits for tasks that are out of sight",
        RevisionKept "revision-kept" 200 "records of revisions stay when their spec goes",
        ToldEarly "told-early" 20 "what has become of a task is told before it is durable",
        OffersHoarded "offers-hoarded" 100 "offers get no answer while the store hangs",
        NoBackoff "no-backoff" 50 "SUBSCRIBE is repeated without any wait",
        StreamLeft "stream-left" 20 "the stream of a session that is over stays open",
        BusyIsFatal "busy-is-fatal" 100 "a master that is busy with its recovery is the end",
        SeenEarly "seen-early" 50 "an instance takes over with what it has read before it had the store",
        LaunchAgain "launch-again" 50 "a new process launches again what it doesn't know to run, before it asks",
        FightsOn "fights-on" 200 "a framework that another instance has taken over subscribes again",
        LaunchingLeaks "launching-leaks" 200 "tasks that ended in their launch count against their agent's limit for ever",
        StartUnlimited "start-unlimited" 200 "a task that hangs in its start is waited for",
        FailuresUncounted "failures-uncounted" 20 "an instance is never given up, however often it fails",
        NeverForgiven "never-forgiven" 30 "the back-off of an instance goes on growing after long runs",
        KillsLeak "kills-leak" 150 "tasks that have ended count as being killed",
        GhostStays "ghost-stays" 50 "the record of a task that was given up stays after its end",
        AskedForEver "asked-for-ever" 20 "questions about tasks that were given up are repeated after the answer",
        ReturnMixedUp "return-mixed-up" 1000 "of two tasks of an instance the youngest stays where the oldest should",
        DrainIsExternal "drain-is-external" 50 "what ends by the draining of its agent is held back like a fault",
        LetsGo "lets-go" 20 "an agent may be taken away, whatever runs there",
        NotAnswered "not-answered" 100 "inverse offers of agents with tasks get no answer",
        ReviveUndone "revive-undone" 200 "an offer that was made before a REVIVE is refused for long",
        EraseLeaves "erase-leaves" 300 "the end of a framework leaves records of tasks that were given up",
        ClassMistold "class-mistold" 50 "every end is told as if it had been wanted",
        FaultIsWanted "fault-is-wanted" 50 "what fails counts as if it had been ended",
        SatisfiedEarly "satisfied-early" 150 "a rollout that has not ended is told to be as wanted",
        StrikesForgotten "strikes-forgotten" 200 "agents that fail a spec again and again are not avoided",
        DemandForgotten "demand-forgotten" 100 "what has waited for a minute needs no offers any more",
        ReadyEarly "ready-early" 20 "a task is ready as soon as it runs",
        HealthIgnored "health-ignored" 50 "a task counts as healthy that isn't",
        ReplacedEarly "replaced-early" 2000 "what is out of sight is replaced at once",
        ReplacedLate "replaced-late" 50 "what is out of sight is replaced only when it is given up",
        LaunchUnlimited "launch-unlimited" 1500 "a launch of which nothing is heard is waited for",
        Crowded "crowded" 100 "any number of tasks may be in their launch on an agent",
        HoldsOn "holds-on" 150 "no agent may be taken away, though nothing runs there",
        LowestGo "lowest-go" 150 "of instances that are alike the lowest numbers go",
        RestartsAll "restarts-all" 600 "a spec that is given once more takes restarts back, with another restart",
        StillHeld "still-held" 1000 "an instance that was given up stays so with a new revision of its spec",
        WronglyRefused "wrongly-refused" 300 "an instance without a task can't be restarted",
        NeverForced "never-forced" 300 "no task is ended by force, however long it takes",
        OldestStay "oldest-stay" 1000 "of instances that are alike the youngest go where the oldest should",
        RoundedDown "rounded-down" 500 "a part of instances that may have two at a time is rounded down",
        SpecsDropped "specs-dropped" 300 "specs that a program doesn't give are removed, though they are to be kept",
        SeenDead "seen-dead" 300 "what runs in sight is believed to be dead if somebody says so",
        FromZero "from-zero" 20 "instances are numbered from zero where tasks are told their number",
        NeverRuns "never-runs" 2000 "what is to run once and never started counts as over",
        UninstallForgotten "uninstall-forgotten" 300 "that the framework is to go is known to the process only",
        DoneUntold "done-untold" 100 "that a rollout is over is never told",
        IllUntold "ill-untold" 100 "that a task is no longer healthy is never told",
        LossUntold "loss-untold" 50 "that a task is out of sight is never told",
        StaysInactive "stays-inactive" 300 "what is back in sight still counts as if it were out of it",
        RemadeAnyway "remade-anyway" 300 "a framework that was removed is made anew, though nobody wants that",
        HeldUntold "held-untold" 300 "that an instance is given up is never told",
        KillAnywhere "kill-anywhere" 20 "KILL doesn't say where the task is",
        TornDownEarly "torn-down-early" 600 "a process that goes on with an uninstallation removes the framework before its tasks have ended",
    }

    /// Plants this bug, and no other, in all engines of the process.
    pub fn plant(bug: Bug) {
        CHOSEN.store(bug as usize + 1, Ordering::Relaxed);
    }

    /// Whether this bug is there.
    pub fn is_chosen(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as usize + 1
    }
}
