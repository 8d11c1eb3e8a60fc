//! What an agent tells its executor: the environment.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;
use core::time::Duration;

use crate::endpoint::{AGENT_PORT, parse_authority};
use crate::{Authorization, Endpoint, IdError, checks, v1};

/// What an agent has told the executor that it started.
///
/// | Variable | What becomes of it |
/// | --- | --- |
/// | `MESOS_FRAMEWORK_ID`, `MESOS_EXECUTOR_ID` | must be there |
/// | `MESOS_SANDBOX`, else `MESOS_DIRECTORY` | one of them must be there |
/// | `MESOS_AGENT_ENDPOINT` | `ip:port`, IPv6 with or without brackets; `127.0.0.1:5051` without it |
/// | `MESOS_DOMAIN_SOCKET` | a unix socket, which is preferred to the endpoint; the path on it is named by `MESOS_SLAVE_PID` |
/// | `MESOS_SLAVE_ID` | the agent's id |
/// | `MESOS_CHECKPOINT` | `1` (or `true`) or `0` (or `false`), which is also meant by none |
/// | `MESOS_RECOVERY_TIMEOUT` | 15 minutes without it; of no importance without checkpointing |
/// | `MESOS_SUBSCRIPTION_BACKOFF_MAX` | 2 seconds without it; of no importance without checkpointing |
/// | `MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD` | 5 seconds without it |
/// | `MESOS_EXECUTOR_AUTHENTICATION_TOKEN` | sent with every call |
/// | `LIBPROCESS_SSL_ENABLED`, else `MESOS_SSL_ENABLED` | as `MESOS_CHECKPOINT`: whether the agent speaks TLS |
///
/// Durations are written as Mesos writes them: a decimal number, directly followed by one of `ns`, `us`, `ms`, `secs`,
/// `mins`, `hrs`, `days` and `weeks`.
///
/// ```
/// use mesos_core::executor::Env;
///
/// let env = Env::parse([
///     ("MESOS_FRAMEWORK_ID", "f-1"),
///     ("MESOS_EXECUTOR_ID", "e-1"),
///     ("MESOS_SANDBOX", "/var/lib/mesos/sandbox"),
///     ("MESOS_AGENT_ENDPOINT", "[fd00::7]:5051"),
///     ("MESOS_CHECKPOINT", "1"),
///     ("MESOS_RECOVERY_TIMEOUT", "1.5hrs"),
/// ])?;
/// assert_eq!(env.agent().to_string(), "http://[fd00::7]:5051");
/// assert_eq!(env.recovery_timeout().as_secs(), 5400);
/// # Ok::<(), mesos_core::executor::EnvError>(())
/// ```
///
/// In a program `std::env::vars_os()` is what to begin with, since `vars()` panics at a variable that isn't UTF-8; see
/// the whole executor in the [module's documentation](super).
#[derive(Clone, PartialEq, Eq)]
pub struct Env {
    pub(super) framework_id: v1::FrameworkId,
    pub(super) executor_id: v1::ExecutorId,
    pub(super) agent_id: Option<v1::AgentId>,
    pub(super) agent: Endpoint,
    pub(super) path: String,
    pub(super) sandbox: String,
    pub(super) checkpoint: bool,
    pub(super) recovery_timeout: Duration,
    pub(super) subscription_backoff_max: Duration,
    pub(super) shutdown_grace_period: Duration,
    pub(super) token: Option<Authorization>,
}

const FRAMEWORK_ID: &str = "MESOS_FRAMEWORK_ID";
const EXECUTOR_ID: &str = "MESOS_EXECUTOR_ID";
const DIRECTORY: &str = "MESOS_DIRECTORY";
const SANDBOX: &str = "MESOS_SANDBOX";
const AGENT_ENDPOINT: &str = "MESOS_AGENT_ENDPOINT";
const DOMAIN_SOCKET: &str = "MESOS_DOMAIN_SOCKET";
const SLAVE_PID: &str = "MESOS_SLAVE_PID";
const SLAVE_ID: &str = "MESOS_SLAVE_ID";
const CHECKPOINT: &str = "MESOS_CHECKPOINT";
const RECOVERY_TIMEOUT: &str = "MESOS_RECOVERY_TIMEOUT";
const BACKOFF_MAX: &str = "MESOS_SUBSCRIPTION_BACKOFF_MAX";
const GRACE_PERIOD: &str = "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD";
const TOKEN: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";
const LIBPROCESS_SSL: &str = "LIBPROCESS_SSL_ENABLED";
const MESOS_SSL: &str = "MESOS_SSL_ENABLED";

const KNOWN: [&str; 15] = [
    FRAMEWORK_ID,
    EXECUTOR_ID,
    DIRECTORY,
    SANDBOX,
    AGENT_ENDPOINT,
    DOMAIN_SOCKET,
    SLAVE_PID,
    SLAVE_ID,
    CHECKPOINT,
    RECOVERY_TIMEOUT,
    BACKOFF_MAX,
    GRACE_PERIOD,
    TOKEN,
    LIBPROCESS_SSL,
    MESOS_SSL,
];

/// Where the API is, below the agent's own prefix on a unix socket.
const PATH: &str = "/api/v1/executor";

impl Env {
    /// The variables that are secrets. What an executor starts inherits them unless it removes them from the
    /// environment of its tasks (`Command::env_remove`), and whoever has the token can speak for the executor.
    pub const SECRETS: [&str; 1] = [TOKEN];

    /// Reads the variables that matter, and ignores all others. Of a variable given twice the last one counts, and an
    /// empty one counts as absent.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn parse<K, V>(vars: impl IntoIterator<Item = (K, V)>) -> Result<Self, EnvError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut found = BTreeMap::new();
        for (name, value) in vars {
            if let Some(known) = KNOWN.into_iter().find(|known| *known == name.as_ref()) {
                found.insert(known, value.as_ref().to_owned());
            }
        }
        found.retain(|_, value| !value.is_empty());
        let mut vars = Vars { found, problems: Vec::new() };

        let framework_id = vars.id(FRAMEWORK_ID, true).map(v1::FrameworkId::from);
        let executor_id = vars.id(EXECUTOR_ID, true).map(v1::ExecutorId::from);
        let sandbox = vars.get(SANDBOX).or_else(|| vars.get(DIRECTORY));
        if sandbox.is_none() {
            vars.problems.push(EnvProblem::Missing(DIRECTORY));
        }
        let (agent, path) = vars.agent();
        let agent_id = vars.id(SLAVE_ID, false).map(v1::AgentId::from);
        let checkpoint = vars.flag(CHECKPOINT);
        let recovery_timeout = vars.duration(RECOVERY_TIMEOUT, Duration::from_secs(15 * 60));
        let subscription_backoff_max = vars.duration(BACKOFF_MAX, Duration::from_secs(2));
        let shutdown_grace_period = vars.duration(GRACE_PERIOD, Duration::from_secs(5));
        let token = vars.token();
        match (framework_id, executor_id, sandbox, vars.problems) {
            (Some(framework_id), Some(executor_id), Some(sandbox), problems) if problems.is_empty() => Ok(Self {
                framework_id,
                executor_id,
                agent_id,
                agent,
                path,
                sandbox,
                checkpoint,
                recovery_timeout,
                subscription_backoff_max,
                shutdown_grace_period,
                token,
            }),
            (_, _, _, problems) => Err(EnvError { problems }),
        }
    }

    /// The framework.
    #[must_use]
    pub const fn framework_id(&self) -> &v1::FrameworkId {
        &self.framework_id
    }

    /// The executor itself.
    #[must_use]
    pub const fn executor_id(&self) -> &v1::ExecutorId {
        &self.executor_id
    }

    /// The agent's id.
    #[must_use]
    pub const fn agent_id(&self) -> Option<&v1::AgentId> {
        self.agent_id.as_ref()
    }

    /// Where the agent listens.
    #[must_use]
    pub const fn agent(&self) -> &Endpoint {
        &self.agent
    }

    /// The sandbox, as it is seen from within the executor's container.
    #[must_use]
    pub fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// Whether the framework checkpoints: then the executor outlives a restart of its agent.
    #[must_use]
    pub const fn checkpoint(&self) -> bool {
        self.checkpoint
    }

    /// How long the executor waits for its agent to come back.
    #[must_use]
    pub const fn recovery_timeout(&self) -> Duration {
        self.recovery_timeout
    }

    /// The longest wait between two attempts to subscribe, which is also how long a restarted agent waits. The client
    /// takes half of it.
    #[must_use]
    pub const fn subscription_backoff_max(&self) -> Duration {
        self.subscription_backoff_max
    }

    /// How long the executor has to end after SHUTDOWN, unless its `ExecutorInfo` says otherwise.
    #[must_use]
    pub const fn shutdown_grace_period(&self) -> Duration {
        self.shutdown_grace_period
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("framework_id", &self.framework_id.value)
            .field("executor_id", &self.executor_id.value)
            .field("agent_id", &self.agent_id.as_ref().map(|id| &id.value))
            .field("agent", &self.agent)
            .field("path", &self.path)
            .field("sandbox", &self.sandbox)
            .field("checkpoint", &self.checkpoint)
            .field("recovery_timeout", &self.recovery_timeout)
            .field("subscription_backoff_max", &self.subscription_backoff_max)
            .field("shutdown_grace_period", &self.shutdown_grace_period)
            .field("token", &self.token)
            .finish()
    }
}

/// Everything that is wrong with an environment, not only the first fault found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvError {
    problems: Vec<EnvProblem>,
}

impl EnvError {
    /// The faults; at least one.
    #[must_use]
    pub fn problems(&self) -> &[EnvProblem] {
        &self.problems
    }

    /// A status for the program to exit with, which tells the first fault: 1 for `MESOS_FRAMEWORK_ID`, 2 for
    /// `MESOS_EXECUTOR_ID`, 3 for `MESOS_DIRECTORY`, 4 for `MESOS_AGENT_ENDPOINT`, 5 for anything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.problems.first().map(EnvProblem::variable) {
            Some(FRAMEWORK_ID) => 1,
            Some(EXECUTOR_ID) => 2,
            Some(DIRECTORY) => 3,
            Some(AGENT_ENDPOINT) => 4,
            _ => 5,
        }
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl core::error::Error for EnvError {}

/// One fault of an environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvProblem {
    /// The variable isn't there: the program hasn't been started by an agent.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// It isn't an id that Mesos gives.
    #[error("{variable} {error}")]
    Id {
        /// The variable's name.
        variable: &'static str,
        /// What is wrong with it.
        error: IdError,
    },
    /// It isn't an address and a port.
    #[error("{variable} is no address with a port: {text:?}")]
    Address {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        text: String,
    },
    /// It isn't a path that a socket can have: it has a NUL.
    #[error("{variable} is no path: {text:?}")]
    Path {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        text: String,
    },
    /// It isn't a libprocess id such as `slave(1)@10.0.0.1:5051`.
    #[error("{variable} is no process id: {text:?}")]
    Pid {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        text: String,
    },
    /// It isn't a duration such as `1.5hrs`.
    #[error("{variable} is no duration: {text:?}")]
    Duration {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        text: String,
    },
    /// It is neither yes (`1`, `true`) nor no (`0`, `false`).
    #[error("{variable} is neither 1 nor 0: {text:?}")]
    Flag {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        text: String,
    },
    /// The token has characters that no header may have. It isn't shown.
    #[error("{0} has characters that no header may have")]
    Token(&'static str),
}

impl EnvProblem {
    /// The variable at fault.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        match self {
            Self::Missing(variable) | Self::Token(variable) => variable,
            Self::Id { variable, .. }
            | Self::Address { variable, .. }
            | Self::Path { variable, .. }
            | Self::Pid { variable, .. }
            | Self::Duration { variable, .. }
            | Self::Flag { variable, .. } => variable,
        }
    }
}

struct Vars {
    found: BTreeMap<&'static str, String>,
    problems: Vec<EnvProblem>,
}

impl Vars {
    fn get(&self, variable: &'static str) -> Option<String> {
        self.found.get(variable).cloned()
    }

    fn id(&mut self, variable: &'static str, required: bool) -> Option<String> {
        let Some(id) = self.get(variable) else {
            if required {
                self.problems.push(EnvProblem::Missing(variable));
            }
            return None;
        };
        match checks::id(&id) {
            Ok(()) => Some(id),
            Err(error) => {
                self.problems.push(EnvProblem::Id { variable, error });
                None
            }
        }
    }

    fn duration(&mut self, variable: &'static str, default: Duration) -> Duration {
        let Some(text) = self.get(variable) else { return default };
        duration(&text).unwrap_or_else(|| {
            self.problems.push(EnvProblem::Duration { variable, text });
            default
        })
    }

    fn flag(&mut self, variable: &'static str) -> bool {
        match self.found.get(variable).map(String::as_str) {
            Some("1" | "true") => true,
            None | Some("0" | "false") => false,
            Some(text) => {
                let text = text.to_owned();
                self.problems.push(EnvProblem::Flag { variable, text });
                false
            }
        }
    }

    fn token(&mut self) -> Option<Authorization> {
        let token = self.get(TOKEN)?;
        let authorization = Authorization::header(["Bearer ", &token].concat());
        if authorization.is_err() {
            self.problems.push(EnvProblem::Token(TOKEN));
        }
        authorization.ok()
    }

    /// Where the agent listens, and the path of the API there.
    fn agent(&mut self) -> (Endpoint, String) {
        let ssl = if self.found.contains_key(LIBPROCESS_SSL) { LIBPROCESS_SSL } else { MESOS_SSL };
        let tls = self.flag(ssl);
        let mut agent = Endpoint::Tcp { tls, host: "127.0.0.1".to_owned(), port: AGENT_PORT };
        if let Some(text) = self.get(AGENT_ENDPOINT) {
            match address(&text) {
                Some((host, port)) => agent = Endpoint::Tcp { tls, host, port },
                None => self.problems.push(EnvProblem::Address { variable: AGENT_ENDPOINT, text }),
            }
        }
        let Some(socket) = self.get(DOMAIN_SOCKET) else { return (agent, PATH.to_owned()) };
        if socket.contains('\0') {
            self.problems.push(EnvProblem::Path { variable: DOMAIN_SOCKET, text: socket.clone() });
        }
        // The socket knows no other path than the one with the agent's process in front; all else is a 403.
        let pid = self.get(SLAVE_PID).unwrap_or_else(|| "slave(1)@".to_owned());
        let process = pid.split_once('@').map(|(process, _)| process);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '(' | ')' | '-' | '_');
        let path = match process.filter(|process| !process.is_empty() && process.chars().all(legal)) {
            Some(process) => ["/", process, PATH].concat(),
            None => {
                self.problems.push(EnvProblem::Pid { variable: SLAVE_PID, text: pid });
                PATH.to_owned()
            }
        };
        (Endpoint::Unix(socket), path)
    }
}

/// What no server listens on.
const NO_PORT: u16 = 0;

/// `ip:port`, with IPv6 in brackets or, as libprocess may print it, without.
fn address(text: &str) -> Option<(String, u16)> {
    let bare = text.rsplit_once(':').and_then(|(host, port)| Some((host.parse::<Ipv6Addr>().ok()?, port)));
    let parsed = match bare {
        Some((host, port)) => parse_authority(&["[", &host.to_string(), "]:", port].concat(), NO_PORT),
        None => parse_authority(text, NO_PORT),
    };
    parsed.ok().filter(|(_, port)| *port != NO_PORT)
}

/// A duration as Mesos writes it.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    };
    let decimal = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = number.parse().ok().filter(|_| decimal)?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const MINIMUM: [(&str, &str); 3] =
        [("MESOS_FRAMEWORK_ID", "f"), ("MESOS_EXECUTOR_ID", "e"), ("MESOS_DIRECTORY", "/host/sandbox")];

    fn with(vars: &[(&str, &str)]) -> Result<Env, EnvError> {
        Env::parse(MINIMUM.iter().chain(vars).copied())
    }

    fn good(vars: &[(&str, &str)]) -> Env {
        with(vars).expect("a good environment")
    }

    // S186: distinct errors, all of them at once, and the status that each stands for.
    #[test]
    fn what_must_be_there() {
        let error = Env::parse([("PATH", "/bin"), ("MESOS_EXECUTOR_ID", "")]).unwrap_err();
        let missing = ["MESOS_FRAMEWORK_ID", "MESOS_EXECUTOR_ID", "MESOS_DIRECTORY"].map(EnvProblem::Missing);
        assert_eq!(error.problems(), missing);
        assert_eq!(error.exit_code(), 1);
        for (variable, status) in [("MESOS_FRAMEWORK_ID", 1), ("MESOS_EXECUTOR_ID", 2), ("MESOS_DIRECTORY", 3)] {
            let error = Env::parse(MINIMUM.into_iter().filter(|(name, _)| *name != variable)).unwrap_err();
            assert_eq!(error.problems(), [EnvProblem::Missing(variable)]);
            assert_eq!((error.exit_code(), error.problems()[0].variable()), (status, variable));
        }
        assert_eq!(with(&[("MESOS_AGENT_ENDPOINT", "x:y:z")]).unwrap_err().exit_code(), 4);
        assert_eq!(with(&[("MESOS_CHECKPOINT", "si")]).unwrap_err().exit_code(), 5);
    }

    // S187, and IPv6.
    #[test]
    fn where_the_agent_is() {
        for (text, agent) in [
            ("10.0.0.7:5051", "http://10.0.0.7:5051"),
            ("agent.example:31", "http://agent.example:31"),
            ("[fd00::7]:5052", "http://[fd00::7]:5052"),
            ("fd00::7:5052", "http://[fd00::7]:5052"),
            ("", "http://127.0.0.1:5051"),
        ] {
            let env = good(&[("MESOS_AGENT_ENDPOINT", text)]);
            assert_eq!((env.agent().to_string().as_str(), env.path.as_str()), (agent, "/api/v1/executor"), "{text}");
        }
        assert_eq!(good(&[]).agent().to_string(), "http://127.0.0.1:5051");
        for text in [
            "nowhere",
            "10.0.0.7",
            "[::1]",
            "[::1]:",
            "a:b:c",
            "host:0",
            "host:65536",
            ":5051",
            "::1",
            "fd00::7",
            "http://h:1",
            "h:1/x",
            "h h:1",
        ] {
            let problem = EnvProblem::Address { variable: "MESOS_AGENT_ENDPOINT", text: text.into() };
            assert_eq!(with(&[("MESOS_AGENT_ENDPOINT", text)]).unwrap_err().problems(), [problem]);
        }
    }

    #[test]
    fn with_tls() {
        let agent = |vars: &[(&str, &str)]| good(vars).agent().to_string();
        assert_eq!(agent(&[("LIBPROCESS_SSL_ENABLED", "1")]), "https://127.0.0.1:5051");
        assert_eq!(agent(&[("MESOS_SSL_ENABLED", "true")]), "https://127.0.0.1:5051");
        assert_eq!(agent(&[("LIBPROCESS_SSL_ENABLED", "false")]), "http://127.0.0.1:5051");
        assert_eq!(agent(&[("LIBPROCESS_SSL_ENABLED", "0"), ("MESOS_SSL_ENABLED", "1")]), "http://127.0.0.1:5051");
    }

    // S198: only the agent's own prefix is known on its socket.
    #[test]
    fn over_a_unix_socket() {
        let socket = ("MESOS_DOMAIN_SOCKET", "agent.sock");
        let env = good(&[socket, ("MESOS_SLAVE_PID", "slave(7)@10.0.0.1:5051"), ("LIBPROCESS_SSL_ENABLED", "1")]);
        assert_eq!(env.agent(), &Endpoint::Unix("agent.sock".into()));
        assert_eq!(env.path, "/slave(7)/api/v1/executor");
        assert_eq!(good(&[socket]).path, "/slave(1)/api/v1/executor");
        for pid in ["slave(1)", "@10.0.0.1:5051", "a b@c", "a/b@c"] {
            let problem = EnvProblem::Pid { variable: "MESOS_SLAVE_PID", text: pid.into() };
            assert_eq!(with(&[socket, ("MESOS_SLAVE_PID", pid)]).unwrap_err().problems(), [problem]);
            // Of no importance without a socket.
            good(&[("MESOS_SLAVE_PID", pid)]);
        }
        assert!(with(&[("MESOS_DOMAIN_SOCKET", "a\0b")]).is_err());
    }

    // S188
    #[test]
    fn flags_and_durations() {
        let env = good(&[
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "1500ms"),
            ("MESOS_SLAVE_ID", "s"),
            ("MESOS_SANDBOX", "/sandbox"),
        ]);
        assert!(env.checkpoint());
        assert_eq!(env.recovery_timeout(), Duration::from_secs(900));
        assert_eq!(env.subscription_backoff_max(), Duration::from_secs(2));
        assert_eq!(env.shutdown_grace_period(), Duration::from_millis(1500));
        assert_eq!(env.agent_id().map(AsRef::as_ref), Some("s"));
        assert_eq!(env.sandbox(), "/sandbox", "rather than the one outside");
        assert_eq!(good(&[]).sandbox(), "/host/sandbox");
        for (text, checkpoint) in [("1", true), ("true", true), ("0", false), ("false", false), ("", false)] {
            assert_eq!(good(&[("MESOS_CHECKPOINT", text)]).checkpoint(), checkpoint, "{text:?}");
        }
        for text in ["yes", "2", "TRUE", " 1"] {
            let problem = EnvProblem::Flag { variable: "MESOS_CHECKPOINT", text: text.into() };
            assert_eq!(with(&[("MESOS_CHECKPOINT", text)]).unwrap_err().problems(), [problem]);
        }
    }

    #[test]
    fn durations_as_mesos_writes_them() {
        for (text, nanos) in [
            ("0ns", 0_u64),
            ("7ns", 7),
            ("1.5us", 1500),
            ("20ms", 20_000_000),
            ("2secs", 2_000_000_000),
            ("0.25secs", 250_000_000),
            ("15mins", 900_000_000_000),
            ("1.5hrs", 5_400_000_000_000),
            ("2days", 172_800_000_000_000),
            ("1weeks", 604_800_000_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "2",
            "secs",
            "2s",
            "2 secs",
            "-2secs",
            "+2secs",
            "2e3secs",
            "infsecs",
            "NaNsecs",
            "PT2S",
            "1..2secs",
            "2sec",
            "1e99weeks",
            ".secs",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        let long = format!("{}weeks", "9".repeat(400));
        assert_eq!(duration(&long), None);
    }

    // S198: the token is sent, and never shown; a bad one isn't shown either.
    #[test]
    fn the_token_is_a_secret() {
        let env = good(&[("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "eyJhbGciOi.x.y")]);
        assert_eq!(env.token.as_ref().map(Authorization::value).as_deref(), Some("Bearer eyJhbGciOi.x.y"));
        assert!(!format!("{env:?}").contains("eyJ"), "{env:?}");
        let error = with(&[("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "eyJ\n")]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("eyJ"));
        assert_eq!(Env::SECRETS, ["MESOS_EXECUTOR_AUTHENTICATION_TOKEN"]);
    }

    #[test]
    fn all_faults_at_once() {
        let error = Env::parse([
            ("MESOS_FRAMEWORK_ID", "a/b"),
            ("MESOS_AGENT_ENDPOINT", "nowhere:"),
            ("MESOS_CHECKPOINT", "perhaps"),
            ("MESOS_RECOVERY_TIMEOUT", "15m"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "soon"),
        ])
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "MESOS_FRAMEWORK_ID has a slash, a backslash or a control character; MESOS_EXECUTOR_ID is not set; \
             MESOS_DIRECTORY is not set; MESOS_AGENT_ENDPOINT is no address with a port: \"nowhere:\"; \
             MESOS_CHECKPOINT is neither 1 nor 0: \"perhaps\"; MESOS_RECOVERY_TIMEOUT is no duration: \"15m\"; \
             MESOS_SUBSCRIPTION_BACKOFF_MAX is no duration: \"soon\""
        );
    }
}
