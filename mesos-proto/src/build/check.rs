//! How it is seen to be well.

use alloc::string::String;
use core::time::Duration;

use crate::v1;
use v1::{check_info, health_check};

impl v1::HealthCheck {
    /// A GET of `http://127.0.0.1:PORT/PATH`; any answer from 200 to 399 is healthy.
    #[must_use]
    pub fn http(port: u16, path: impl Into<String>) -> Self {
        let http = health_check::HttpCheckInfo { port: port.into(), path: Some(path.into()), ..Default::default() };
        Self { r#type: Some(health_check::Type::Http.into()), http: Some(http), ..Self::default() }
    }

    /// The same with TLS; certificates aren't verified.
    #[must_use]
    pub fn https(port: u16, path: impl Into<String>) -> Self {
        let mut check = Self::http(port, path);
        check.http.get_or_insert_default().scheme = Some("https".into());
        check
    }

    /// A connection to this port.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        let tcp = health_check::TcpCheckInfo { port: port.into(), ..Default::default() };
        Self { r#type: Some(health_check::Type::Tcp.into()), tcp: Some(tcp), ..Self::default() }
    }

    /// A command whose exit code 0 is healthy; it runs in the task's container.
    #[must_use]
    pub fn command(command: v1::CommandInfo) -> Self {
        Self { r#type: Some(health_check::Type::Command.into()), command: Some(command), ..Self::default() }
    }

    /// Failures that don't count, for so long after the start; 10 s without it.
    #[must_use]
    pub fn with_grace_period(mut self, grace: Duration) -> Self {
        self.grace_period_seconds = Some(grace.as_secs_f64());
        self
    }

    /// After how many failures in a row the task is killed; 3 without it.
    #[must_use]
    pub fn with_consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }
}

impl v1::CheckInfo {
    /// A GET of `http://127.0.0.1:PORT/PATH`, whose status code is reported.
    #[must_use]
    pub fn http(port: u16, path: impl Into<String>) -> Self {
        let http = check_info::Http { port: port.into(), path: Some(path.into()) };
        Self { r#type: Some(check_info::Type::Http.into()), http: Some(http), ..Self::default() }
    }

    /// A connection to this port; whether it succeeds is reported.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        let tcp = check_info::Tcp { port: port.into() };
        Self { r#type: Some(check_info::Type::Tcp.into()), tcp: Some(tcp), ..Self::default() }
    }

    /// A command, whose exit code is reported; it runs in the task's container.
    #[must_use]
    pub fn command(command: v1::CommandInfo) -> Self {
        let command = Some(check_info::Command { command });
        Self { r#type: Some(check_info::Type::Command.into()), command, ..Self::default() }
    }
}

macro_rules! times {
    ($($check:ident)*) => {$(
        impl v1::$check {
            /// From the task's start to the first check; 15 s without it.
            #[must_use]
            pub fn with_delay(mut self, delay: Duration) -> Self {
                self.delay_seconds = Some(delay.as_secs_f64());
                self
            }

            /// From one check to the next; 10 s without it.
            #[must_use]
            pub fn with_interval(mut self, interval: Duration) -> Self {
                self.interval_seconds = Some(interval.as_secs_f64());
                self
            }

            /// How long a check may take; 20 s without it, and zero means for ever.
            #[must_use]
            pub fn with_timeout(mut self, timeout: Duration) -> Self {
                self.timeout_seconds = Some(timeout.as_secs_f64());
                self
            }
        }
    )*};
}

times!(HealthCheck CheckInfo);
