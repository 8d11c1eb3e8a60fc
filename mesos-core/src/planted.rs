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
        LaunchEarly "launch-early" 20 "ACCEPT leaves before its intents are durable",
        IdEarly "id-early" 20 "calls leave before the framework's id is durable",
        KillEarly "kill-early" 20 "KILL leaves before it is durable why",
        KillOnce "kill-once" 400 "a KILL that may be lost is not repeated",
    }

    /// Plants this bug, and no other, in all engines of the process.
    pub fn plant(bug: Bug) {
        CHOSEN.store(bug as usize + 1, Ordering::Relaxed);
    }

    pub(crate) fn is_chosen(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as usize + 1
    }
}
