//! How a process ended, in Mesos's words.

use std::fmt;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself.
    Status(i32),
    /// By a signal.
    Signal { number: i32, core: bool },
    /// Nobody could say.
    Unknown,
}

impl Exit {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Status(code),
            (None, Some(number)) => Self::Signal { number, core: status.core_dumped() },
            (None, None) => Self::Unknown,
        }
    }
}

/// `exited with status 1`, `terminated with signal Killed`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Status(code) => write!(f, "exited with status {code}"),
            Self::Signal { number, core } => {
                f.write_str("terminated with signal ")?;
                match usize::try_from(number).ok().and_then(|number| SIGNALS.get(number)) {
                    Some(name) if number > 0 => f.write_str(name)?,
                    _ if (34..=64).contains(&number) => write!(f, "Real-time signal {}", number - 34)?,
                    _ => write!(f, "Unknown signal {number}")?,
                }
                f.write_str(if core { " (core dumped)" } else { "" })
            }
            Self::Unknown => f.write_str("terminated with unknown status"),
        }
    }
}

/// What strsignal(3) of the GNU C library, which Mesos prints, says of each.
const SIGNALS: [&str; 32] = [
    "",
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_words() {
        let signal = |number| Exit::Signal { number, core: false };
        for (exit, words) in [
            (Exit::Status(0), "exited with status 0"),
            (Exit::Status(127), "exited with status 127"),
            (signal(9), "terminated with signal Killed"),
            (signal(15), "terminated with signal Terminated"),
            (Exit::Signal { number: 11, core: true }, "terminated with signal Segmentation fault (core dumped)"),
            (signal(31), "terminated with signal Bad system call"),
            (signal(34), "terminated with signal Real-time signal 0"),
            (signal(0), "terminated with signal Unknown signal 0"),
            (signal(33), "terminated with signal Unknown signal 33"),
            (signal(-1), "terminated with signal Unknown signal -1"),
            (Exit::Unknown, "terminated with unknown status"),
        ] {
            assert_eq!(exit.to_string(), words);
        }
    }
}
