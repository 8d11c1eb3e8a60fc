//! What a client is made of: the framework it speaks for, the masters, limits.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::error::{ConfigError, ConfigProblem};
use super::profile::{self, Profile};
use crate::checks;
use crate::{Authorization, Backoff, Codec, Endpoint, v1};
use v1::framework_info::{Capability, capability};

/// The framework that a scheduler speaks for: a builder of [`v1::FrameworkInfo`].
///
/// ```
/// use core::time::Duration;
/// use mesos_core::scheduler::Framework;
///
/// let framework = Framework::new("web shop").user("www").roles(["web"]).failover_timeout(Duration::from_secs(3600));
/// assert_eq!(framework.info().name, "web-shop");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Framework {
    info: v1::FrameworkInfo,
    unnamed: bool,
}

/// A week: long enough for any repair, and the tasks live on meanwhile.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(604_800);

impl Framework {
    /// A framework of this name, spaces in it turned into `-`. Everything else has a default: user `root`, role `*`, a
    /// failover timeout of a week, checkpointing, and the capabilities PARTITION_AWARE, TASK_KILLING_STATE, MULTI_ROLE
    /// and RESERVATION_REFINEMENT.
    // S9
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        use capability::Type;
        let capabilities = [Type::PartitionAware, Type::TaskKillingState, Type::MultiRole, Type::ReservationRefinement];
        let info = v1::FrameworkInfo {
            user: "root".into(),
            name: name.as_ref().replace(' ', "-"),
            failover_timeout: Some(FAILOVER_TIMEOUT.as_secs_f64()),
            checkpoint: Some(true),
            roles: ["*".into()].into(),
            capabilities: capabilities.map(|c| Capability { r#type: Some(c.into()) }).into(),
            ..Default::default()
        };
        Self { info, unnamed: false }
    }

    /// A framework whose name is `mesos-framework.` and a random uuid, drawn by the client from its seed.
    // S8
    #[must_use]
    pub fn unnamed() -> Self {
        Self { unnamed: true, ..Self::new("mesos-framework") }
    }

    /// As whom tasks run that name no user; `root` by default.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.info.user = user.into();
        self
    }

    /// The roles whose share of the cluster is wanted; `*` by default.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.info.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// How long the master keeps the tasks of a framework that is away. Zero removes framework and tasks at the first
    /// lost connection.
    #[must_use]
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.info.failover_timeout = Some(timeout.as_secs_f64());
        self
    }

    /// Whether agents keep their tasks over a restart of the agent; yes by default.
    #[must_use]
    pub const fn checkpoint(mut self, checkpoint: bool) -> Self {
        self.info.checkpoint = Some(checkpoint);
        self
    }

    /// The host the scheduler runs on, shown in the master's web interface.
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.info.hostname = Some(hostname.into());
        self
    }

    /// The scheduler's own web interface, linked from the master's.
    #[must_use]
    pub fn webui_url(mut self, url: impl Into<String>) -> Self {
        self.info.webui_url = Some(url.into());
        self
    }

    /// Adds a capability to the default ones.
    #[must_use]
    pub fn capability(mut self, capability: capability::Type) -> Self {
        let number = Some(i32::from(capability));
        if self.info.capabilities.iter().all(|c| c.r#type != number) {
            self.info.capabilities.push(Capability { r#type: number });
        }
        self
    }

    /// The message that SUBSCRIBE will carry.
    #[must_use]
    pub const fn info(&self) -> &v1::FrameworkInfo {
        &self.info
    }
}

/// Taken as it is.
impl From<v1::FrameworkInfo> for Framework {
    fn from(info: v1::FrameworkInfo) -> Self {
        Self { info, unnamed: false }
    }
}

/// All that a [`Client`](super::Client) needs to know.
///
/// ```
/// use mesos_core::scheduler::{Config, Framework};
///
/// let config = Config::new(Framework::new("web"), ["10.0.0.1:5050", "https://10.0.0.2"])?.heartbeats_missed(3);
///
/// let error = Config::new(Framework::new("").roles(["/bad"]), ["host:x"]).unwrap_err();
/// assert_eq!(error.problems().len(), 3);
/// # Ok::<(), mesos_core::scheduler::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) profile: Profile,
    pub(super) unnamed: bool,
    pub(super) masters: Vec<Endpoint>,
    pub(super) codec: Codec,
    pub(super) authorization: Option<Authorization>,
    pub(super) renewable: bool,
    pub(super) trust_redirects: bool,
    pub(super) max_redirects: u8,
    pub(super) backoff: Backoff,
    pub(super) heartbeats_missed: u32,
    pub(super) call_timeout: Duration,
    pub(super) record_limit: usize,
    pub(super) queue: QueueLimits,
}

/// How much may wait to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Calls on each lane.
    pub(super) calls: usize,
    /// Bytes of all waiting calls together.
    pub(super) bytes: usize,
}

const MIB: usize = 1024 * 1024;
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

impl Config {
    /// A framework and the masters to find it on, in the order in which they are tried: each as `host`, `host:port` or
    /// a URL of these (see [`Endpoint`]). Any of them leads to the leading one.
    ///
    /// # Errors
    /// Everything that is wrong with either, at once.
    pub fn new<M: AsRef<str>>(
        framework: impl Into<Framework>,
        masters: impl IntoIterator<Item = M>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut endpoints = Vec::new();
        for (index, master) in masters.into_iter().enumerate() {
            match master.as_ref().parse() {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => problems.push(ConfigProblem::Master { index, error }),
            }
        }
        if endpoints.is_empty() && problems.is_empty() {
            problems.push(ConfigProblem::NoMaster);
        }
        Self::build(framework.into(), endpoints, problems)
    }

    /// A framework whose master is found by a [`Detector`](crate::Detector), given to the driver: until that knows one,
    /// the client waits.
    ///
    /// A detector may also go with a list of masters: then they are asked as long as it knows none.
    ///
    /// # Errors
    /// Everything that is wrong with the framework.
    pub fn detected(framework: impl Into<Framework>) -> Result<Self, ConfigError> {
        Self::build(framework.into(), Vec::new(), Vec::new())
    }

    fn build(
        framework: Framework,
        masters: Vec<Endpoint>,
        mut problems: Vec<ConfigProblem>,
    ) -> Result<Self, ConfigError> {
        profile::check_info(&framework.info, &mut problems);
        match ConfigError::from_problems(problems) {
            Some(error) => Err(error),
            None => Ok(Self {
                profile: Profile::new(framework.info),
                unnamed: framework.unnamed,
                masters,
                codec: Codec::Protobuf,
                authorization: None,
                renewable: false,
                trust_redirects: false,
                max_redirects: 5,
                backoff: Backoff::default(),
                heartbeats_missed: 5,
                call_timeout: Duration::from_secs(75),
                record_limit: 64 * MIB,
                queue: QueueLimits { calls: 1024, bytes: 64 * MIB },
            }),
        }
    }

    /// Takes over the framework of this id instead of making a new one: after a restart, or from another instance,
    /// which is thrown out. An empty id counts as none.
    ///
    /// # Errors
    /// It isn't an id that Mesos takes.
    pub fn framework_id(mut self, id: impl AsRef<str>) -> Result<Self, ConfigError> {
        let id = id.as_ref();
        let fault = if id.is_empty() { None } else { checks::id(id).err() };
        match ConfigError::from_problems(fault.map(ConfigProblem::FrameworkId).into_iter().collect()) {
            Some(error) => Err(error),
            None => {
                self.profile.info.id = (!id.is_empty()).then(|| v1::FrameworkId { value: id.to_string() });
                Ok(self)
            }
        }
    }

    /// The same for a framework that is made anew.
    pub(crate) fn without_framework_id(mut self) -> Self {
        self.profile.info.id = None;
        self
    }

    /// Starts without offers for these roles, until they are revived.
    ///
    /// # Errors
    /// One of them isn't a role of the framework.
    pub fn suppressed_roles<R: AsRef<str>>(mut self, roles: impl IntoIterator<Item = R>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        for role in roles {
            let role = role.as_ref();
            if self.profile.has_role(role) {
                self.profile.suppressed.insert(role.to_string());
            } else {
                problems.push(ConfigProblem::SuppressedRole(role.to_string()));
            }
        }
        match ConfigError::from_problems(problems) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// Which agents may be offered at all, by their attributes. Masters before 1.11 ignore it.
    #[must_use]
    pub fn offer_constraints(mut self, constraints: v1::scheduler::OfferConstraints) -> Self {
        self.profile.constraints = Some(constraints);
        self
    }

    /// Credentials for every request to a master that is configured or detected. A principal in them becomes the framework's: Mesos wants both to be equal.
    #[must_use]
    pub fn authorization(mut self, authorization: Authorization) -> Self {
        if let Some(principal) = authorization.principal() {
            self.profile.info.principal = Some(principal.to_string());
        }
        self.authorization = Some(authorization);
        self
    }

    /// Credentials may expire: on 401 the client waits for [`set_authorization`](super::Client::set_authorization)
    /// instead of giving up.
    #[must_use]
    pub const fn renewable_authorization(mut self) -> Self {
        self.renewable = true;
        self
    }

    /// Whether to send the credentials also to masters that are neither configured nor detected, but were redirected to;
    /// not by default.
    #[must_use]
    pub const fn trust_redirects(mut self, trust: bool) -> Self {
        self.trust_redirects = trust;
        self
    }

    /// How many redirects in a row to follow before backing off; 5 by default, at most 5.
    #[must_use]
    pub const fn max_redirects(mut self, hops: u8) -> Self {
        self.max_redirects = if hops > 5 { 5 } else { hops };
        self
    }

    /// What the wire carries; protobuf by default.
    #[must_use]
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// How long to wait between attempts to subscribe; by default [`Backoff::default`], from 1 s to 15 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// After how many heartbeats in a row that didn't come the connection counts as dead; 5 by default, at least 1, at
    /// most 1000. With Mesos's interval of 15 s that is 75 s.
    #[must_use]
    pub fn heartbeats_missed(mut self, missed: u32) -> Self {
        self.heartbeats_missed = missed.clamp(1, 1000);
        self
    }

    /// How long a call may be without answer, and a SUBSCRIBE without its first event; 75 s by default, from 1 s to an
    /// hour. A call that gets none ends the session.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT);
        self
    }

    /// The largest event taken, in bytes; 64 MiB by default. A larger one ends the session.
    #[must_use]
    pub const fn record_limit(mut self, bytes: usize) -> Self {
        self.record_limit = bytes;
        self
    }

    /// How many calls may wait on each lane, 1024 by default, and how many bytes all of them may have, 64 MiB by
    /// default. What is beyond gets [`CallError::QueueFull`](super::CallError::QueueFull).
    #[must_use]
    pub const fn queue_limits(mut self, calls: usize, bytes: usize) -> Self {
        self.queue = QueueLimits { calls, bytes };
        self
    }

    /// How many bytes all calls that wait may have.
    pub(crate) const fn queue_bytes(&self) -> usize {
        self.queue.bytes
    }

    /// The framework as SUBSCRIBE will carry it. An [unnamed](Framework::unnamed) one gets its name from the client.
    #[must_use]
    pub const fn framework(&self) -> &v1::FrameworkInfo {
        &self.profile.info
    }
}
