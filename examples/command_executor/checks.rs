//! A task's checks: when each is performed, and what its outcomes mean.

use std::time::Duration;

use mesos_tokio::mesos_core::v1;
use tokio::sync::mpsc;

use crate::command::Place;
use crate::health::seconds;
use crate::probe::{Outcome, Probe};
use crate::task::nothing_known;

/// A check and its times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    probe: Probe,
    delay: Duration,
    interval: Duration,
    timeout: Option<Duration>,
}

/// A check that cannot be performed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCheck {
    #[error("a check of unknown type")]
    Type,
    #[error("{0} is no port")]
    Port(u32),
    #[error("a check of scheme {0:?}")]
    Scheme(String),
}

/// Between two checks there is at least this time, whatever the interval: an interval of 0 would take a processor.
const PAUSE: Duration = Duration::from_millis(10);

const LOCALHOST: &str = "127.0.0.1";

/// A repeated word of the two messages.
macro_rules! plan {
    ($check:ident, $probe:expr) => {
        Ok(Plan {
            probe: $probe,
            delay: seconds($check.delay_seconds()).unwrap_or_default(),
            interval: seconds($check.interval_seconds()).unwrap_or_default().max(PAUSE),
            // Zero stands for no limit.
            timeout: seconds($check.timeout_seconds()).filter(|timeout| !timeout.is_zero()),
        })
    };
}

fn port(port: u32) -> Result<u16, BadCheck> {
    u16::try_from(port).map_err(|_| BadCheck::Port(port))
}

/// A path begins with a slash.
fn path(path: Option<&String>) -> String {
    match path.map(String::as_str) {
        None | Some("") => "/".into(),
        Some(path) if path.starts_with('/') => path.into(),
        Some(path) => format!("/{path}"),
    }
}

const fn host(protocol: v1::network_info::Protocol) -> &'static str {
    match protocol {
        v1::network_info::Protocol::IPv6 => "::1",
        v1::network_info::Protocol::IPv4 => LOCALHOST,
    }
}

impl Plan {
    /// # Errors
    ///
    /// Checks that make no sense.
    pub(crate) fn of_health(check: &v1::HealthCheck) -> Result<Self, BadCheck> {
        let probe = if let Some(command) = &check.command {
            Probe::Command(Box::new(command.clone()))
        } else if let Some(http) = &check.http {
            let tls = match http.scheme.as_deref() {
                None | Some("http") => false,
                Some("https") => true,
                Some(other) => return Err(BadCheck::Scheme(other.to_owned())),
            };
            let path = path(http.path.as_ref());
            Probe::Http { tls, host: host(http.protocol()), port: port(http.port)?, path }
        } else if let Some(tcp) = &check.tcp {
            Probe::Tcp { host: host(tcp.protocol()), port: port(tcp.port)? }
        } else {
            return Err(BadCheck::Type);
        };
        plan!(check, probe)
    }

    /// # Errors
    ///
    /// Checks that make no sense.
    pub(crate) fn of_check(check: &v1::CheckInfo) -> Result<Self, BadCheck> {
        use v1::check_info::Type;
        let probe = match (check.r#type(), &check.command, &check.http, &check.tcp) {
            (Type::Command, Some(command), ..) => Probe::Command(Box::new(command.command.clone())),
            (Type::Http, _, Some(http), _) => {
                let path = path(http.path.as_ref());
                Probe::Http { tls: false, host: LOCALHOST, port: port(http.port)?, path }
            }
            (Type::Tcp, .., Some(tcp)) => Probe::Tcp { host: LOCALHOST, port: port(tcp.port)? },
            _ => return Err(BadCheck::Type),
        };
        plan!(check, probe)
    }

    /// Performs it as long as anybody listens; the interval is from the end of one to the start of the next.
    pub(crate) async fn follow<T>(self, place: Place, tell: mpsc::Sender<T>, news: impl Fn(Outcome) -> T) {
        tokio::time::sleep(self.delay).await;
        while tell.send(news(self.probe.perform(&place, self.timeout).await)).await.is_ok() {
            tokio::time::sleep(self.interval).await;
        }
    }
}

/// What a check's outcome is in a status: nothing where there was no result.
pub(crate) fn check_status(check: &v1::CheckInfo, outcome: &Outcome) -> Option<v1::CheckStatusInfo> {
    let mut status = nothing_known(check)?;
    match outcome {
        Outcome::Exited(code) => status.command = Some(v1::check_status_info::Command { exit_code: Some(*code) }),
        Outcome::Answered(code) => {
            status.http = Some(v1::check_status_info::Http { status_code: Some(u32::from(*code)) });
        }
        Outcome::Connected(succeeded) => {
            status.tcp = Some(v1::check_status_info::Tcp { succeeded: Some(*succeeded) });
        }
        Outcome::Failed(_) => {}
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesos_tokio::mesos_core::v1::{CheckInfo, CommandInfo, HealthCheck};

    #[test]
    fn health_checks() {
        let plan = Plan::of_health(&HealthCheck::http(80, "a")).unwrap();
        let probe = Probe::Http { tls: false, host: "127.0.0.1", port: 80, path: "/a".into() };
        let second = Duration::from_secs(1);
        // Mesos's defaults.
        assert_eq!(plan, Plan { probe, delay: second * 15, interval: second * 10, timeout: Some(second * 20) });
        let probe = |check| Plan::of_health(&check).map(|plan| plan.probe);
        let tls = Probe::Http { tls: true, host: "127.0.0.1", port: 443, path: "/".into() };
        assert_eq!(probe(HealthCheck::https(443, "")), Ok(tls));
        let mut six = HealthCheck::tcp(9);
        six.tcp.as_mut().unwrap().protocol = Some(v1::network_info::Protocol::IPv6.into());
        assert_eq!(probe(six), Ok(Probe::Tcp { host: "::1", port: 9 }));
        let command = CommandInfo::new("true");
        assert_eq!(probe(HealthCheck::command(command.clone())), Ok(Probe::Command(Box::new(command))));
        let mut odd = HealthCheck::http(80, "/");
        odd.http.as_mut().unwrap().scheme = Some("gopher".into());
        assert_eq!(probe(odd), Err(BadCheck::Scheme("gopher".into())));
        let mut odd = HealthCheck::tcp(0);
        odd.tcp.as_mut().unwrap().port = 70_000;
        assert_eq!(probe(odd), Err(BadCheck::Port(70_000)));
        assert_eq!(probe(HealthCheck::default()), Err(BadCheck::Type));
    }

    #[test]
    fn checks() {
        let probe = |check| Plan::of_check(&check).map(|plan| plan.probe);
        let http = Probe::Http { tls: false, host: "127.0.0.1", port: 80, path: "/a".into() };
        assert_eq!(probe(CheckInfo::http(80, "/a")), Ok(http));
        assert_eq!(probe(CheckInfo::tcp(7)), Ok(Probe::Tcp { host: "127.0.0.1", port: 7 }));
        let command = CommandInfo::new("true");
        assert_eq!(probe(CheckInfo::command(command.clone())), Ok(Probe::Command(Box::new(command))));
        assert_eq!(probe(CheckInfo { tcp: None, ..CheckInfo::tcp(7) }), Err(BadCheck::Type));
        assert_eq!(probe(CheckInfo::default()), Err(BadCheck::Type));
    }

    #[test]
    fn odd_times_do_no_harm() {
        let check = CheckInfo {
            delay_seconds: Some(-1.0),
            interval_seconds: Some(f64::NAN),
            timeout_seconds: Some(0.0),
            ..CheckInfo::tcp(7)
        };
        let plan = Plan::of_check(&check).unwrap();
        assert_eq!((plan.delay, plan.interval, plan.timeout), (Duration::ZERO, PAUSE, None));
    }

    #[test]
    fn results_in_a_status() {
        let check = CheckInfo::http(80, "/");
        let status = |check: &CheckInfo, outcome| check_status(check, &outcome).unwrap();
        assert_eq!(check_status(&check, &Outcome::Failed("refused".into())), nothing_known(&check));
        assert_eq!(status(&check, Outcome::Answered(503)).http.unwrap().status_code, Some(503));
        assert_eq!(status(&CheckInfo::tcp(1), Outcome::Connected(false)).tcp.unwrap().succeeded, Some(false));
        let command = CheckInfo::command(CommandInfo::new("exit 3"));
        assert_eq!(status(&command, Outcome::Exited(3)).command.unwrap().exit_code, Some(3));
        assert_eq!(check_status(&CheckInfo::default(), &Outcome::Exited(3)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn delay_and_interval() {
        let mut check = HealthCheck::tcp(1);
        (check.delay_seconds, check.interval_seconds) = (Some(3.0), Some(2.0));
        let plan = Plan::of_health(&check).unwrap();
        let began = tokio::time::Instant::now();
        let (sender, mut receiver) = mpsc::channel(1);
        let place = Place::new("/", [""; 0]);
        let following = tokio::spawn(plan.follow(place, sender, move |_| began.elapsed().as_secs()));
        for at in [3, 5, 7] {
            assert_eq!(receiver.recv().await, Some(at));
        }
        drop(receiver);
        following.await.unwrap();
    }
}
