//! Tasks and executors.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use crate::v1;
use v1::{discovery_info, executor_info, task_status};

impl v1::TaskInfo {
    /// A task without anything in it: it needs resources, and either a command or an executor. An id must never be
    /// used again; the agent is the offer's.
    #[must_use]
    pub fn new(name: impl Into<String>, task_id: impl Into<v1::TaskId>, agent_id: impl Into<v1::AgentId>) -> Self {
        Self { name: name.into(), task_id: task_id.into(), agent_id: agent_id.into(), ..Self::default() }
    }

    /// What to run, by Mesos's own executor.
    #[must_use]
    pub fn with_command(mut self, command: v1::CommandInfo) -> Self {
        self.command = Some(Box::new(command));
        self
    }

    /// Who runs it, instead of Mesos's own executor.
    #[must_use]
    pub fn with_executor(mut self, executor: v1::ExecutorInfo) -> Self {
        self.executor = Some(Box::new(executor));
        self
    }

    /// How Mesos sees whether it is healthy; a task that isn't is killed.
    #[must_use]
    pub fn with_health_check(mut self, check: v1::HealthCheck) -> Self {
        self.health_check = Some(Box::new(check));
        self
    }

    /// A check whose results are only reported.
    #[must_use]
    pub fn with_check(mut self, check: v1::CheckInfo) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// How it is to be killed, unless the call says otherwise.
    #[must_use]
    pub fn with_kill_policy(mut self, policy: v1::KillPolicy) -> Self {
        self.kill_policy = Some(policy);
        self
    }

    /// Kills the task after this time. Agents before 1.6 ignore it.
    #[must_use]
    pub fn with_max_completion_time(mut self, time: Duration) -> Self {
        self.max_completion_time = Some(time.into());
        self
    }
}

impl v1::ExecutorInfo {
    /// An executor of one's own, started by this command.
    #[must_use]
    pub fn custom(executor_id: impl Into<v1::ExecutorId>, command: v1::CommandInfo) -> Self {
        Self {
            r#type: Some(executor_info::Type::Custom.into()),
            executor_id: executor_id.into(),
            command: Some(Box::new(command)),
            ..Self::default()
        }
    }

    /// Mesos's executor for task groups.
    #[must_use]
    pub fn default_executor(executor_id: impl Into<v1::ExecutorId>) -> Self {
        Self { r#type: Some(executor_info::Type::Default.into()), executor_id: executor_id.into(), ..Self::default() }
    }
}

macro_rules! common {
    ($($info:ident)*) => {$(
        impl v1::$info {
            /// Adds resources, which the offer must have.
            #[must_use]
            pub fn with_resources(mut self, resources: impl IntoIterator<Item = v1::Resource>) -> Self {
                self.resources.extend(resources);
                self
            }

            /// What it runs in.
            #[must_use]
            pub fn with_container(mut self, container: v1::ContainerInfo) -> Self {
                self.container = Some(Box::new(container));
                self
            }

            /// Adds labels, as pairs of key and value.
            #[must_use]
            pub fn with_labels<K: Into<String>, V: Into<String>>(
                mut self,
                labels: impl IntoIterator<Item = (K, V)>,
            ) -> Self {
                self.labels.get_or_insert_default().extend(labels);
                self
            }

            /// How others find it; for service discovery, Mesos itself doesn't use it.
            #[must_use]
            pub fn with_discovery(mut self, discovery: v1::DiscoveryInfo) -> Self {
                self.discovery = Some(discovery);
                self
            }
        }
    )*};
}

common!(TaskInfo ExecutorInfo);

impl v1::KillPolicy {
    /// The time from SIGTERM to SIGKILL.
    #[must_use]
    pub fn new(grace_period: Duration) -> Self {
        Self { grace_period: Some(grace_period.into()) }
    }
}

impl v1::DiscoveryInfo {
    /// A service of this name.
    #[must_use]
    pub fn new(name: impl Into<String>, visibility: discovery_info::Visibility) -> Self {
        Self { name: Some(name.into()), visibility: visibility.into(), ..Self::default() }
    }

    /// Adds a port.
    #[must_use]
    pub fn with_port(mut self, port: v1::Port) -> Self {
        self.ports.get_or_insert_default().ports.push(port);
        self
    }
}

impl v1::Port {
    /// A port, its name, and its protocol, such as `tcp`.
    #[must_use]
    pub fn new(number: u16, name: impl Into<String>, protocol: impl Into<String>) -> Self {
        Self { number: number.into(), name: Some(name.into()), protocol: Some(protocol.into()), ..Self::default() }
    }
}

impl v1::TaskStatus {
    /// A state as an executor reports it: with SOURCE_EXECUTOR, since without it Mesos takes the master for its source.
    /// An UPDATE needs a `uuid`, too, and should have a `timestamp`.
    #[must_use]
    pub fn new(task_id: impl Into<v1::TaskId>, state: v1::TaskState) -> Self {
        Self {
            task_id: task_id.into(),
            state: state.into(),
            source: Some(task_status::Source::Executor.into()),
            ..Self::default()
        }
    }

    /// Words for people.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}
