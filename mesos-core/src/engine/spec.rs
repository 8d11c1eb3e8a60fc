//! What is wanted: a type of task, how many of it, and what to do when one ends.

mod policy;
mod problem;
mod record;
#[cfg(test)]
mod tests;

use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;
use mesos_proto::store;

pub use policy::{Amount, Duplicates, Field, KillSelection, OnReturn, RestartPolicy};
pub(crate) use policy::{Constraint, Operator, Policy};
pub use problem::{CheckProblem, SpecError, SpecProblem};

use super::launch::{Launch, Revision};
use crate::{Resources, v1};
use v1::command_info::Uri;
use v1::container_info::{DockerInfo, Type};

/// One type of task: what to run, how many times, and what to do when one ends.
///
/// It has two parts. What a task is made of (command, container, resources, role, …) makes its
/// [revision](Self::revision): change it, and the running tasks are replaced step by step. Everything else (the number
/// of instances, restarts, limits, placement) is policy: changes take effect at once and restart nothing.
///
/// Nothing is checked here; the engine refuses a spec with everything that is wrong with it at once.
///
/// ```
/// use mesos_core::Resources;
/// use mesos_core::engine::{Field, TaskSpec};
///
/// let web = TaskSpec::new("web")
///     .command("exec ./serve --port $PORT0")
///     .resources(Resources::new().cpus(0.5).mem(64.0).ports(1))
///     .http_check("/health")
///     .instances(3)
///     .unique(Field::Hostname);
/// let cleanup = TaskSpec::new("cleanup")
///     .job()
///     .docker("alpine")
///     .argv(["find", "/data", "-delete"])
///     .resources(Resources::new().cpus(0.1).mem(32.0));
/// assert!(cleanup.is_job() && !web.is_job());
///
/// assert_eq!(web.clone().instances(5).revision(), web.revision());
/// assert_ne!(web.clone().env("DEBUG", "1").revision(), web.revision());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    name: String,
    pub(crate) policy: Policy,
    pub(crate) launch: Launch,
}

/// What a task is.
impl TaskSpec {
    /// A service of this name: one instance, always restarted.
    ///
    /// The name is unique within a framework, 1 to 128 bytes, without control characters. In what Mesos calls the task
    /// `/` is written as `_`, in task ids `.` and `\` as well. Names that look the same there are refused beside each
    /// other, as `a.b` and `a_b` are.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let launch = Launch {
            task: v1::TaskInfo::default(),
            need: Resources::new(),
            role: String::new(),
            port_mappings: Default::default(),
            serial_numbers: true,
            force: 0,
        };
        Self { name: name.into(), policy: Policy::default(), launch }
    }

    /// A job: each instance runs until it has finished, once. Sets [`restart`](Self::restart) to
    /// [`RestartPolicy::OnFailure`] and [`max_failures`](Self::max_failures) to 6, so other values for these come after
    /// it.
    #[must_use]
    pub fn job(mut self) -> Self {
        self.policy.job = true;
        self.policy.restart = RestartPolicy::OnFailure;
        self.policy.max_failures = Some(6);
        self
    }

    /// Runs this line with `/bin/sh -c`. Instead of a command, there may be an [`executor`](Self::executor); and what
    /// runs in a container may leave it to the image.
    ///
    /// Among its variables are `PORT0`, `PORT1`, … for the ports that it got, the static ones first; `HOST`, the
    /// agent's address; and with [serial numbers](Self::serial_numbers) its own, from 1, as
    /// `TASK_<SPEC>_SERIAL_NUMBER`, the spec's name in capitals and with `_` for what isn't a letter or digit.
    #[must_use]
    pub fn command(mut self, line: impl Into<String>) -> Self {
        let command = self.command_mut();
        command.shell = Some(true);
        command.value = Some(line.into());
        command.arguments.clear();
        self
    }

    /// Runs this program with these arguments, the program being the first of them, without a shell.
    #[must_use]
    pub fn argv<A: Into<String>>(mut self, argv: impl IntoIterator<Item = A>) -> Self {
        let command = self.command_mut();
        command.shell = Some(false);
        command.arguments = argv.into_iter().map(Into::into).collect();
        command.value = command.arguments.first().cloned();
        self.suit_docker();
        self
    }

    /// Runs this command, as it is; variables and URIs that were added before are replaced by its own.
    #[must_use]
    pub fn command_info(mut self, command: v1::CommandInfo) -> Self {
        self.launch.task.command = Some(command.into());
        self
    }

    /// Has the task run by this executor instead of by Mesos's own; with a command of its own, and of type CUSTOM.
    /// Its resources, plain scalars, are taken besides the task's once for each agent, where no other task of the engine
    /// runs in it already. Without any, what it needs is part of the task's, as they share a container.
    ///
    /// It is left as it is, without variables for ports and the like, since agents share an executor between tasks only
    /// if all of them describe it in the same way.
    #[must_use]
    pub fn executor(mut self, executor: v1::ExecutorInfo) -> Self {
        self.launch.task.executor = Some(executor.into());
        self
    }

    /// Runs it in this container.
    #[must_use]
    pub fn container(mut self, container: v1::ContainerInfo) -> Self {
        self.launch.task.container = Some(container.into());
        self.suit_docker();
        self
    }

    /// Runs it in a container of the Docker containerizer: an image's name, on the host's network, or a [`DockerInfo`].
    /// Without a command it runs what the image runs by itself.
    #[must_use]
    pub fn docker(self, docker: impl Into<DockerInfo>) -> Self {
        self.container(v1::ContainerInfo::docker(docker))
    }

    /// Adds a port of the container, to which the next of the task's ports leads: the first one added to `PORT0`, and
    /// so on. The protocol is `tcp`, `udp` or `sctp`.
    ///
    /// There must be as many as [`Resources::ports`], and a network with ports of its own: BRIDGE or USER for a Docker
    /// container, a named one for a Mesos container. They replace mappings that the container has already.
    #[must_use]
    pub fn port_mapping(mut self, container_port: u16, protocol: impl Into<String>) -> Self {
        let mapping = store::PortMapping { container_port: container_port.into(), protocol: Some(protocol.into()) };
        self.launch.port_mappings.push(mapping);
        self
    }

    /// Adds an environment variable of the command. It replaces one of the same name, and also the one that every
    /// [`command`](Self::command) gets under that name.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.command_mut().environment.get_or_insert_default().extend([(name, value)]);
        self
    }

    /// Adds something to fetch into the sandbox before the command starts.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<Uri>) -> Self {
        self.command_mut().uris.push(uri.into());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.launch.task.labels.get_or_insert_default().extend([(key, value)]);
        self
    }

    /// The labels, instead of any added before.
    #[must_use]
    pub fn labels(mut self, labels: v1::Labels) -> Self {
        self.launch.task.labels = Some(labels);
        self
    }

    /// How Mesos sees whether a task is healthy; it kills one that isn't, which counts as a failure.
    ///
    /// Port 0 stands for the task's first port. An HTTP check without scheme or path gets `http` and `/`. Mind that in
    /// a container with a network of its own Mesos checks from within: there, give the container's port.
    #[must_use]
    pub fn health_check(mut self, check: v1::HealthCheck) -> Self {
        self.launch.task.health_check = Some(check.into());
        self
    }

    /// Healthy is who answers a GET of this path on the task's first port with a status from 200 to 399.
    #[must_use]
    pub fn http_check(self, path: impl Into<String>) -> Self {
        self.health_check(v1::HealthCheck::http(0, path))
    }

    /// A check whose results are only reported. Port 0 stands for the task's first port.
    #[must_use]
    pub fn check(mut self, check: v1::CheckInfo) -> Self {
        self.launch.task.check = Some(check.into());
        self
    }

    /// The time that a task gets between SIGTERM and SIGKILL, at most a week; without it the executor decides, Mesos's own for a few
    /// seconds.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.launch.task.kill_policy = Some(v1::KillPolicy::new(grace));
        self
    }

    /// How long after its first KILL a task that hasn't ended gets one without any time to end by itself, whatever its
    /// [`kill_grace`](Self::kill_grace); never by default. For agents that can be reached: on others, nothing is killed.
    ///
    /// It is policy, unlike the grace period: a change restarts nothing. A new process starts to count anew.
    #[must_use]
    pub fn force_kill_after(mut self, time: Duration) -> Self {
        self.policy.force_kill_after = Some(whole(time));
        self
    }

    /// How others find the task; for service discovery.
    #[must_use]
    pub fn discovery(mut self, discovery: v1::DiscoveryInfo) -> Self {
        self.launch.task.discovery = Some(discovery);
        self
    }

    /// Has Mesos end a task that runs for longer than this: it fails. Agents before 1.6 ignore it.
    #[must_use]
    pub fn max_completion_time(mut self, time: Duration) -> Self {
        self.launch.task.max_completion_time = Some(time.into());
        self
    }

    /// Bytes for the executor.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.launch.task.data = Some(data.into());
        self
    }

    /// All that Mesos can be told about a task, instead of everything of that kind that was given before. Name, ids and
    /// resources in it don't count.
    #[must_use]
    pub fn task_info(mut self, task: v1::TaskInfo) -> Self {
        let nothing = v1::TaskInfo::default();
        self.launch.task =
            v1::TaskInfo { name: nothing.name, task_id: nothing.task_id, agent_id: nothing.agent_id, ..task };
        self.launch.task.resources.clear();
        self
    }

    /// What each instance needs; there must be something.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.launch.need = resources;
        self
    }

    /// To which of the framework's roles the resources are to be offered; its first one by default.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.launch.role = role.into();
        self
    }

    /// Whether tasks are told apart by a number, from 1, in their names (`web-1`) and environment; yes by default.
    #[must_use]
    pub fn serial_numbers(mut self, numbers: bool) -> Self {
        self.launch.serial_numbers = numbers;
        self
    }
}

/// What is done with it.
impl TaskSpec {
    /// How many there are to be; 1 by default, 0 is fine, at most 1 000 000.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.policy.instances = instances;
        self
    }

    /// Who gets an offer first: lower numbers; 0 by default. What doesn't fit is passed over.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.policy.priority = priority;
        self
    }

    /// Whether the number of instances may be changed other than by a new spec; no by default.
    #[must_use]
    pub fn scalable(mut self, scalable: bool) -> Self {
        self.policy.scalable = scalable;
        self
    }

    /// What to do when a task has ended; [`RestartPolicy::Always`] by default, [`RestartPolicy::OnFailure`] for
    /// [jobs](Self::job), for which `Always` is refused.
    #[must_use]
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.policy.restart = policy;
        self
    }

    /// After how many failures in a row an instance is given up; without limit by default, at least 1. A task that Mesos
    /// or its agent lost hasn't failed.
    #[must_use]
    pub fn max_failures(mut self, failures: Option<u32>) -> Self {
        self.policy.max_failures = failures;
        self
    }

    /// How long a failed instance waits for its next start: `first`, after each further failure twice as long, at most
    /// `max`; 1 s and 300 s by default, give or take a tenth. Refused is a `first` of zero, or above `max`.
    #[must_use]
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.policy.backoff_first = whole(first);
        self.policy.backoff_max = whole(max);
        self
    }

    /// How long a task has to run for its failure to count as the first again; 5 min by default.
    #[must_use]
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.policy.stable_after = whole(time);
        self
    }

    /// How long a launch may be without any status before the task is killed; 5 min by default, zero is for ever.
    #[must_use]
    pub fn launch_timeout(mut self, timeout: Duration) -> Self {
        self.policy.launch_timeout = whole(timeout);
        self
    }

    /// How long a task may take from its first status to TASK_RUNNING, fetching images and all, before it is killed;
    /// 10 min by default, zero is for ever.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.policy.start_timeout = whole(timeout);
        self
    }

    /// For how long a task may be unreachable before it is replaced, 0 by default, since the master has waited 75 s by
    /// then; and before it is given up for good, 10 min by default. Below the former is refused.
    #[must_use]
    pub fn unreachable(mut self, inactive_after: Duration, expunge_after: Duration) -> Self {
        self.policy.inactive_after = whole(inactive_after);
        self.policy.expunge_after = whole(expunge_after);
        self
    }

    /// Whether there may be two of an instance when nobody can tell that one has ended; [`Duplicates::Allow`] by
    /// default.
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.policy.duplicates = duplicates;
        self
    }

    /// Who stays when a replaced task comes back; [`OnReturn::PreferReady`] by default.
    #[must_use]
    pub fn on_return(mut self, on_return: OnReturn) -> Self {
        self.policy.on_return = on_return;
        self
    }

    /// Who goes when there are to be fewer; [`KillSelection::HighestIndex`] by default.
    #[must_use]
    pub fn kill_selection(mut self, selection: KillSelection) -> Self {
        self.policy.kill_selection = selection;
        self
    }

    /// Whether instances that have finished run again when their revision changes; no by default.
    #[must_use]
    pub fn rerun_on_change(mut self, rerun: bool) -> Self {
        self.policy.rerun_on_change = rerun;
        self
    }

    /// How many instances there may be in excess during a rollout; 25 % by default, rounded up.
    #[must_use]
    pub fn max_surge(mut self, surge: Amount) -> Self {
        self.policy.max_surge = surge;
        self
    }

    /// How many instances may be without a ready task during a rollout; 25 % by default, rounded down. Not zero if
    /// [`max_surge`](Self::max_surge) is: nothing could move.
    #[must_use]
    pub fn max_unavailable(mut self, unavailable: Amount) -> Self {
        self.policy.max_unavailable = unavailable;
        self
    }

    /// How long a task has to run before it counts as ready; 10 s by default, or zero if it has a health check.
    #[must_use]
    pub fn min_ready(mut self, time: Duration) -> Self {
        self.policy.min_ready = Some(whole(time));
        self
    }

    /// No two instances where this field is the same: see [`max_per`](Self::max_per).
    #[must_use]
    pub fn unique(self, field: impl Into<Field>) -> Self {
        self.constraint(field, Operator::Unique)
    }

    /// At most so many instances where this field is the same; 0 is refused.
    ///
    /// Only instances of the same revision count, so that in a rollout the old ones aren't in the way of the new; and
    /// not those that can't be reached and may be [replaced](Self::unreachable). It is looked at when a task is
    /// launched: nothing is moved later.
    #[must_use]
    pub fn max_per(self, field: impl Into<Field>, instances: u32) -> Self {
        self.constraint(field, Operator::MaxPer(instances))
    }

    /// Only where this field has this value. Numbers are compared as such, with three decimals.
    #[must_use]
    pub fn is(self, field: impl Into<Field>, value: impl Into<String>) -> Self {
        self.constraint(field, Operator::Is(value.into()))
    }
}

/// What it says.
impl TaskSpec {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many instances there are to be.
    #[must_use]
    pub const fn instance_count(&self) -> u32 {
        self.policy.instances
    }

    /// Whether it ends when it has finished.
    #[must_use]
    pub const fn is_job(&self) -> bool {
        self.policy.job
    }

    /// Whether the number of instances may be changed other than by a new spec.
    #[must_use]
    pub const fn is_scalable(&self) -> bool {
        self.policy.scalable
    }

    /// What names everything that goes into a task, and nothing else: equal revisions make equal tasks. Without a
    /// [`role`](Self::role) it isn't yet that of the tasks, as the engine fills in the framework's.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.launch.revision()
    }

    /// Checks it as the engine of a framework with these roles will, for tests and programs that read specs from somewhere.
    ///
    /// ```
    /// use mesos_core::engine::{SpecProblem, TaskSpec};
    ///
    /// let error = TaskSpec::new("web").command("exec ./serve").validate(&["*"]).unwrap_err();
    /// assert_eq!(error.problems(), [SpecProblem::NoResources]);
    /// ```
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate(&self, framework_roles: &[impl AsRef<str>]) -> Result<(), SpecError> {
        match SpecError::from_problems(&self.name, self.problems(framework_roles)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl TaskSpec {
    /// To which role its resources are offered.
    pub(crate) fn role_name(&self) -> &str {
        &self.launch.role
    }

    /// Takes this role if none was given.
    pub(crate) fn settle_role(&mut self, role: &str) {
        if self.launch.role.is_empty() {
            self.launch.role = role.into();
        }
    }

    /// How long a task has to run before it is ready, of this revision or a former one.
    pub(crate) fn ready_after(&self, launch: &Launch) -> Duration {
        let unchecked = if launch.task.health_check.is_none() { Duration::from_secs(10) } else { Duration::ZERO };
        self.policy.min_ready.unwrap_or(unchecked)
    }

    fn command_mut(&mut self) -> &mut v1::CommandInfo {
        self.launch.task.command.get_or_insert_default()
    }

    /// Mesos wants the program both as value and as first argument; but Docker's containerizer would make two of it.
    fn suit_docker(&mut self) {
        let docker = self.launch.task.container.as_ref().is_some_and(|container| container.r#type() == Type::Docker);
        if let (true, Some(command)) = (docker, &mut self.launch.task.command) {
            if command.shell == Some(false) && command.value.as_ref() == command.arguments.first() {
                command.value = None;
            }
        }
    }

    fn constraint(mut self, field: impl Into<Field>, operator: Operator) -> Self {
        self.policy.constraints.push(Constraint { field: field.into(), operator });
        self
    }
}

/// In whole milliseconds, as records have them; never nothing of something.
fn whole(duration: Duration) -> Duration {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
