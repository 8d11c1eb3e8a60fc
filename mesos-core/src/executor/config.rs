//! What an executor is configured with.

use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::env::Env;
use crate::{Authorization, Codec, Endpoint, v1};

/// All that a [`Client`](super::Client) needs to know, of which an agent has told the most.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) framework_id: v1::FrameworkId,
    pub(super) executor_id: v1::ExecutorId,
    pub(super) agent: Endpoint,
    pub(super) path: String,
    pub(super) checkpoint: bool,
    pub(super) recovery_timeout: Duration,
    pub(super) backoff_max: Duration,
    pub(super) grace: Duration,
    pub(super) authorization: Option<Authorization>,
    pub(super) codec: Codec,
    pub(super) record_limit: usize,
    pub(super) call_timeout: Duration,
    pub(super) acknowledgement_timeout: Duration,
    pub(super) queue: QueueLimits,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Messages to be sent; and updates that aren't acknowledged and leave their task running.
    pub(super) calls: usize,
    /// The bytes of these messages.
    pub(super) bytes: usize,
}

const MIB: usize = 1024 * 1024;
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// So that an agent that is down isn't asked all the time.
const MIN_BACKOFF: Duration = Duration::from_millis(100);

impl Config {
    /// The executor that this environment describes.
    #[must_use]
    pub fn from_env(env: Env) -> Self {
        Self {
            framework_id: env.framework_id,
            executor_id: env.executor_id,
            agent: env.agent,
            path: env.path,
            checkpoint: env.checkpoint,
            recovery_timeout: env.recovery_timeout,
            backoff_max: env.subscription_backoff_max.max(MIN_BACKOFF),
            grace: env.shutdown_grace_period,
            authorization: env.token,
            codec: Codec::Protobuf,
            record_limit: 64 * MIB,
            call_timeout: Duration::from_secs(75),
            acknowledgement_timeout: Duration::from_secs(5),
            queue: QueueLimits { calls: 1024, bytes: 64 * MIB },
        }
    }

    /// Another agent than the environment's, such as one behind a proxy.
    #[must_use]
    pub fn agent(mut self, agent: Endpoint) -> Self {
        if !matches!(agent, Endpoint::Unix(_)) {
            self.path = "/api/v1/executor".to_string();
        }
        self.agent = agent;
        self
    }

    /// What the wire carries; protobuf by default.
    #[must_use]
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The largest event taken, in bytes; 64 MiB by default. A larger one ends the subscription.
    #[must_use]
    pub const fn record_limit(mut self, bytes: usize) -> Self {
        self.record_limit = bytes;
        self
    }

    /// How long a call may be without answer, 75 s by default, from 1 s to an hour. After it the call counts as lost.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT);
        self
    }

    /// How long an executor that is to end waits for acknowledgements that an agent within reach owes it; 5 s by
    /// default, up to an hour. Mesos gives them within milliseconds, but an agent that has forgotten a task never does.
    #[must_use]
    pub fn acknowledgement_timeout(mut self, timeout: Duration) -> Self {
        self.acknowledgement_timeout = timeout.min(MAX_TIMEOUT);
        self
    }

    /// How many messages may wait to be sent, and how many updates for an acknowledgement, 1024 by default; and how
    /// many bytes those messages may have, 64 MiB by default. What is beyond is refused, but for the last update of a
    /// task.
    #[must_use]
    pub const fn queue_limits(mut self, calls: usize, bytes: usize) -> Self {
        self.queue = QueueLimits { calls, bytes };
        self
    }
}
