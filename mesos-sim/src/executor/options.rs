//! How agents treat executors that speak the executor API.

use std::time::Duration;

/// How agents treat executors that speak the executor API. The defaults are Mesos's own.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    pub(crate) command: Option<String>,
    pub(crate) tokens: bool,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) registration: Duration,
    pub(crate) reregistration: Duration,
    pub(crate) recovery: Duration,
    pub(crate) grace: Duration,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            command: None,
            tokens: false,
            heartbeat: None,
            registration: Duration::from_secs(60),
            reregistration: Duration::from_secs(2),
            recovery: Duration::from_secs(15 * 60),
            grace: Duration::from_secs(5),
        }
    }
}

impl ExecutorOptions {
    /// The program that runs tasks with a command, as an agent's `mesos-executor` does. Default: none, agents run such
    /// tasks themselves, and speak for an executor that there isn't.
    #[must_use]
    pub fn command_executor(mut self, program: impl Into<String>) -> Self {
        self.command = Some(program.into());
        self
    }

    /// Whether each executor gets a token of its own, and is refused without it. Default: no.
    #[must_use]
    pub fn tokens(mut self, tokens: bool) -> Self {
        self.tokens = tokens;
        self
    }

    /// How often executors get a HEARTBEAT. Default: not at all; real agents since 1.8 send one each 30 min.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval.max(Duration::from_millis(1)));
        self
    }

    /// How long a new executor may take until it subscribes. Default: 1 min.
    #[must_use]
    pub fn registration_timeout(mut self, timeout: Duration) -> Self {
        self.registration = timeout;
        self
    }

    /// How long a restarted agent waits for its executors, which also bounds the waits between their attempts.
    /// Default: 2 s.
    #[must_use]
    pub fn reregistration_timeout(mut self, timeout: Duration) -> Self {
        self.reregistration = timeout;
        self
    }

    /// How long executors are to wait for their agent. Default: 15 min.
    #[must_use]
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.recovery = timeout;
        self
    }

    /// How long an executor may take to end after SHUTDOWN, unless its `ExecutorInfo` says otherwise. Default: 5 s.
    #[must_use]
    pub fn shutdown_grace_period(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}
