//! The served cluster for programs without a runtime.

use std::io;
use std::ops::Deref;

use tokio::runtime::{Builder, Runtime};

use super::Served;
use crate::{Cluster, Options};

/// A running cluster with a runtime of its own, on a thread of its own: for programs that have none. Dropping it ends
/// it, the tasks' processes too.
///
/// Not to be started, used or dropped within a runtime: there [`Served`] does.
///
/// ```no_run
/// # fn example() -> std::io::Result<()> {
/// use mesos_sim::{Options, serve::Embedded};
///
/// let cluster = Embedded::start(Options::default())?;
/// println!("a master listens on {}", cluster.masters()[0]);
/// cluster.control(|cluster| cluster.kill_agent(0));
/// cluster.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Embedded {
    served: Served,
    runtime: Runtime,
}

impl Embedded {
    /// Starts a cluster on free loopback ports.
    ///
    /// # Errors
    ///
    /// As [`Served::start`]; or if no thread can be had.
    ///
    /// # Panics
    ///
    /// Within a runtime.
    pub fn start(options: Options) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("mesos-sim").enable_all().build()?;
        let served = runtime.block_on(Served::start(options))?;
        Ok(Self { served, runtime })
    }

    /// As [`Served::control`].
    pub fn control<R: Send + 'static>(&self, act: impl FnOnce(&mut Cluster) -> R + Send + 'static) -> Option<R> {
        self.runtime.block_on(self.served.control(act))
    }

    /// As [`Served::restart_master`].
    ///
    /// # Errors
    ///
    /// If the port is taken, or the cluster has ended.
    pub fn restart_master(&self, master: usize) -> io::Result<()> {
        self.runtime.block_on(self.served.restart_master(master))
    }

    /// Ends the cluster, and waits until its tasks' processes are gone.
    pub fn stop(self) {
        self.runtime.block_on(self.served.stop());
    }
}

impl Deref for Embedded {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
}
