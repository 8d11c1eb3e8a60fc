//! The same scenarios on a simulated cluster and on a real Mesos 1.11.0, so that neither the library nor the simulator
//! can believe anything about Mesos that isn't so.
//!
//! A scenario is a function of a [`Cluster`]; the table in `tests/*/main.rs` names it once, and [`scenarios!`] makes
//! tests of it: `simulated::NAME`, and `real::NAME`, which is ignored unless asked for (`cargo xtask test --only
//! real-setup --only real`), both on `mesos-tokio`; and the same for each other driver, as `simulated::blocking::NAME`.
//! What a scenario's [`Scheduler`] sees is written down in words that are the same on both sides, ids masked, and
//! compared with what the scenario says.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests, and what only tests use")]

mod cluster;
mod dice;
mod driver;
pub mod http;
mod instances;
mod keeper;
mod orders;
mod own;
mod processes;
mod real;
mod scheduler;
mod simulated;
mod transcript;
mod zookeeper;

pub use cluster::{Cluster, Options, Side, run};
pub use dice::Dice;
pub use driver::By;
pub use instances::{Instances, Log, SESSION, Term, now};
pub use keeper::{Keeper, difference};
pub use mesos_tokio;
pub use mesos_tokio::mesos_core;
pub use mesos_tokio::mesos_core::v1;
pub use orders::{Orders, Slow};
pub use processes::{Gate, PidFile, RollCall, kill_process, process_ends};
pub use real::Real;
pub use scheduler::{LIMIT, Scheduler, kill_policy, offer_holds, task, without};
pub use transcript::Seen;
pub use zookeeper::ZooKeeper;

/// Makes the tests of a table of scenarios: `module::function: options;`. Those of `both` run on both sides, on the
/// simulated one by every driver and on the real one by those that are crates; those of `once` run on both sides, but
/// what they do is no driver's business; those of `real` on a real Mesos only, once.
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "the scenarios are those of the crate whose table it is")]
macro_rules! scenarios {
    (
        both { $($module:ident :: $name:ident : $options:expr;)* }
        once { $($once_module:ident :: $once:ident : $once_options:expr;)* }
        real { $($real_module:ident :: $real:ident : $real_options:expr;)* }
    ) => {
        mod simulated {
            $crate::scenarios!(@simulated Tokio {
                $($module :: $name: $options;)* $($once_module :: $once: $once_options;)*
            });
            $crate::scenarios!(@drivers $($module :: $name: $options;)*);
        }
        mod real {
            $crate::scenarios!(@real Tokio {
                $($module :: $name: $options;)* $($once_module :: $once: $once_options;)* $($real_module :: $real: $real_options;)*
            });
            $crate::scenarios!(@real_drivers $($module :: $name: $options;)*);
        }
    };
    (@drivers) => {};
    (@drivers $($module:ident :: $name:ident : $options:expr;)+) => {
        mod blocking { $crate::scenarios!(@simulated Blocking { $($module :: $name: $options;)* }); }
        mod threads { $crate::scenarios!(@simulated Threads { $($module :: $name: $options;)* }); }
        mod mio { $crate::scenarios!(@simulated Mio { $($module :: $name: $options;)* }); }
    };
    (@real_drivers) => {};
    (@real_drivers $($module:ident :: $name:ident : $options:expr;)+) => {
        mod blocking { $crate::scenarios!(@real Blocking { $($module :: $name: $options;)* }); }
    };
    (@simulated $by:ident { $($module:ident :: $name:ident : $options:expr;)* }) => {
        use $crate::{By, Options, Side, run};
        $(#[test]
        fn $name() {
            run(Side::Simulated, By::$by, $options, crate::$module::$name);
        })*
    };
    (@real $by:ident { $($module:ident :: $name:ident : $options:expr;)* }) => {
        use $crate::{By, Options, Side, run};
        $(#[test]
        #[ignore = "needs a real Mesos: cargo xtask test --only real-setup --only real"]
        fn $name() {
            run(Side::Real, By::$by, $options, crate::$module::$name);
        })*
    };
}
