//! Tasks that only seem to run: their ends are scripted, so a cluster needs no processes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesos_proto::v1;

use crate::Exit;

/// How a task fares that isn't really run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// How long it runs; `None`: until it is killed.
    pub runs: Option<Duration>,
    /// How it ends then.
    pub exit: Exit,
    /// Whether it ignores SIGTERM, and is killed once its grace is over.
    pub stubborn: bool,
}

impl Script {
    /// Runs until it is killed.
    #[must_use]
    pub const fn forever() -> Self {
        Self { runs: None, exit: Exit::Status(0), stubborn: false }
    }

    /// Runs for `time`, then exits with `status`.
    #[must_use]
    pub const fn exits(time: Duration, status: i32) -> Self {
        Self { runs: Some(time), exit: Exit::Status(status), stubborn: false }
    }

    /// The same, but it ignores SIGTERM: one that is to be killed ends only once its grace is over.
    #[must_use]
    pub const fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }

    /// Reads a shell command made of `sleep SECONDS`, `exit STATUS`, `true` and `false`, each perhaps after `exec`,
    /// joined by `;` or `&&`, which are the same here: what follows `false &&` runs too. Anything else ends at once
    /// with status 0, as most commands do.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mesos_sim::Script;
    ///
    /// assert_eq!(Script::from_command("sleep 1.5; exit 3"), Script::exits(Duration::from_millis(1500), 3));
    /// assert_eq!(Script::from_command("exec sleep infinity"), Script::forever());
    /// ```
    #[must_use]
    pub fn from_command(command: &str) -> Self {
        let (mut time, mut status) = (Duration::ZERO, 0);
        for part in command.split("&&").flat_map(|part| part.split(';')) {
            let mut words = part.split_whitespace().peekable();
            let replaces = words.next_if_eq(&"exec").is_some();
            match (words.next(), words.next()) {
                (Some("sleep"), Some("infinity")) => return Self::forever(),
                (Some("sleep"), Some(seconds)) => {
                    let seconds = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    time += seconds.unwrap_or_default().min(Duration::from_secs(1 << 40));
                }
                (Some("exit"), text) => return Self::exits(time, text.and_then(|text| text.parse().ok()).unwrap_or(0)),
                (Some("false"), _) => status = 1,
                _ => status = 0,
            }
            if replaces {
                // Nothing is left that could go on.
                break;
            }
        }
        Self::exits(time, status)
    }

    /// As [`from_command`](Self::from_command), of a task's command.
    #[must_use]
    pub fn from_task(task: &v1::TaskInfo) -> Self {
        Self::from_command(task.command.as_deref().map(v1::CommandInfo::value).unwrap_or_default())
    }
}

/// The user's choice of scripts.
#[derive(Clone)]
pub(crate) struct Scripts(pub(crate) Arc<dyn Fn(&v1::TaskInfo) -> Script + Send + Sync>);

impl Scripts {
    /// For how long a task lives on that is told to end, and has so much grace.
    pub(crate) fn lives_on(&self, task: Option<&v1::TaskInfo>, grace: Duration) -> Duration {
        if task.is_some_and(|task| (self.0)(task).stubborn) { grace } else { Duration::ZERO }
    }
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripts")
    }
}
