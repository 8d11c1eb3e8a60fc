//! Which servers, as whom, at which path: what `zk://` says.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use mesos_core::{Endpoint, EndpointError};

/// The port of a ZooKeeper server.
const PORT: u16 = 2181;
/// As Mesos's own.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_SESSION_TIMEOUT: Duration = Duration::from_millis(400);
const MAX_SESSION_TIMEOUT: Duration = Duration::from_secs(3600);
/// It stands before each change of a batch, and a batch has to fit into what a server takes.
pub(crate) const MAX_PATH: usize = 128;

/// How to reach ZooKeeper, and where in it.
///
/// Written as Mesos writes it, `zk://[user:password@]host[:port][,host[:port]...][/path]`. The port is 2181 if none is
/// given; IPv6 addresses stand in brackets. Names are resolved anew for each connection. With credentials (digest) all
/// nodes that this crate makes are for their owner alone; without, for everybody. A password may hold `:` and `@`, but
/// not `/`: give such a one by [`credentials`](Self::credentials).
///
/// ```
/// use mesos_zk::Settings;
///
/// let settings: Settings = "zk://web:secret@10.0.0.1,10.0.0.2:2182/frameworks/web".parse()?;
/// assert_eq!(settings.to_string(), "zk://web:***@10.0.0.1:2181,10.0.0.2:2182/frameworks/web");
/// assert_eq!("http://a:x,,/b/".parse::<Settings>().unwrap_err().problems().len(), 1);
/// assert_eq!("zk://a:x,,/b/".parse::<Settings>().unwrap_err().problems().len(), 4);
/// # Ok::<(), mesos_zk::SettingsError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    servers: Vec<(String, u16)>,
    credentials: Option<(String, String)>,
    path: String,
    session_timeout: Duration,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Tls>,
}

impl Settings {
    /// Another path on the same servers: absolute, without a `/` at its end (unless it is `/` alone), at most 128 bytes.
    ///
    /// # Errors
    /// It is no such path.
    pub fn path(mut self, path: impl Into<String>) -> Result<Self, SettingsError> {
        let path = path.into();
        match check_path(&path) {
            Some(fault) => Err(SettingsError { problems: vec![SettingsProblem::Path(fault)] }),
            None => {
                self.path = path;
                Ok(self)
            }
        }
    }

    /// Who to be, by ZooKeeper's scheme `digest`.
    ///
    /// # Errors
    /// The user is empty, or has a `:`.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Result<Self, SettingsError> {
        let (user, password) = (user.into(), password.into());
        if user.is_empty() || user.contains(':') {
            return Err(SettingsError { problems: vec![SettingsProblem::Credentials] });
        }
        self.credentials = Some((user, password));
        Ok(self)
    }

    /// After how long a silence the servers forget a client, and with it, that it leads; 10 s by default, as in Mesos,
    /// from 400 ms to an hour. Servers bring it within their own bounds, by default 2 to 20 ticks of 2 s. It is also how
    /// long an answer of theirs is waited for.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout.clamp(MIN_SESSION_TIMEOUT, MAX_SESSION_TIMEOUT);
        self
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.session_timeout
    }

    /// The path, `""` for the root.
    pub(crate) fn root(&self) -> &str {
        if self.path == "/" { "" } else { &self.path }
    }

    /// What the scheme `digest` sends.
    pub(crate) fn digest(&self) -> Option<String> {
        self.credentials.as_ref().map(|(user, password)| format!("{user}:{password}"))
    }

    /// The servers as the client wants them.
    pub(crate) fn cluster(&self) -> String {
        #[cfg(feature = "tls")]
        let scheme = if self.tls.is_some() { "tcp+tls://" } else { "" };
        #[cfg(not(feature = "tls"))]
        let scheme = "";
        let servers: Vec<String> = self.servers().map(|server| format!("{scheme}{server}")).collect();
        servers.join(",")
    }

    fn servers(&self) -> impl Iterator<Item = String> + '_ {
        self.servers.iter().map(|(host, port)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    }
}

/// With everything but the password.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zk://")?;
        if let Some((user, _)) = &self.credentials {
            write!(f, "{user}:***@")?;
        }
        let servers: Vec<String> = self.servers().collect();
        write!(f, "{}{}", servers.join(","), self.path)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({self}, {:?})", self.session_timeout)
    }
}

impl FromStr for Settings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let Some(rest) = text.trim_ascii().strip_prefix("zk://") else {
            return Err(SettingsError { problems: vec![SettingsProblem::Scheme] });
        };
        let (authority, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
            Some((authority, path)) => (authority, path),
            None => (rest, "/"),
        };
        let mut problems = Vec::new();
        let (credentials, list) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((credentials, list)) => (credentials.split_once(':').or(Some(("", ""))), list),
        };
        if credentials.is_some_and(|(user, _)| user.is_empty()) {
            problems.push(SettingsProblem::Credentials);
        }
        let mut servers = Vec::new();
        if list.is_empty() {
            problems.push(SettingsProblem::NoServer);
        } else {
            for (index, entry) in list.split(',').enumerate() {
                match server(entry) {
                    Ok(server) => servers.push(server),
                    Err(fault) => problems.push(SettingsProblem::Server { index, fault }),
                }
            }
        }
        problems.extend(check_path(path).map(SettingsProblem::Path));
        if !problems.is_empty() {
            return Err(SettingsError { problems });
        }
        Ok(Self {
            servers,
            credentials: credentials.map(|(user, password)| (user.to_owned(), password.to_owned())),
            path: path.to_owned(),
            session_timeout: SESSION_TIMEOUT,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }
}

fn server(entry: &str) -> Result<(String, u16), ServerFault> {
    let with_port = match entry.rsplit_once(']') {
        Some((_, rest)) => rest.contains(':'),
        None => entry.contains(':'),
    };
    let parsed = if with_port { entry.parse() } else { format!("{entry}:{PORT}").parse() };
    match parsed {
        Ok(Endpoint::Tcp { host, port, .. }) if !entry.contains('/') => Ok((host, port)),
        Err(EndpointError::NoHost(_)) => Err(ServerFault::NoHost),
        Err(EndpointError::Port(_)) => Err(ServerFault::Port),
        _ => Err(ServerFault::Host),
    }
}

fn check_path(path: &str) -> Option<PathFault> {
    if path == "/" {
        return None;
    }
    let Some(segments) = path.strip_prefix('/') else { return Some(PathFault::Relative) };
    let fault = |segment: &str| match segment {
        "" => Some(PathFault::EmptySegment),
        "." | ".." => Some(PathFault::Dots),
        _ if segment.contains('@') => Some(PathFault::At),
        _ if segment.bytes().any(|b| !b.is_ascii_graphic()) => Some(PathFault::Character),
        _ => None,
    };
    if path == "/zookeeper" || path.starts_with("/zookeeper/") {
        return Some(PathFault::Reserved);
    }
    segments.split('/').find_map(fault).or_else(|| (path.len() > MAX_PATH).then_some(PathFault::TooLong))
}

/// Everything that is wrong with [`Settings`], without a word of what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    pub(crate) problems: Vec<SettingsProblem>,
}

impl SettingsError {
    /// The faults, from left to right; at least one.
    #[must_use]
    pub fn problems(&self) -> &[SettingsProblem] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

/// One fault of [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsProblem {
    /// It doesn't begin with `zk://`.
    #[error("zk://[user:password@]host[:port][,host[:port]...][/path] is wanted")]
    Scheme,
    /// Before the `@` there is no `user:password`.
    #[error("the credentials are not user:password")]
    Credentials,
    /// There is no server at all.
    #[error("no server given")]
    NoServer,
    /// An entry of the list names no server.
    #[error("server {}: {fault}", index + 1)]
    Server {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        fault: ServerFault,
    },
    /// The path can't be one.
    #[error("the path {0}")]
    Path(PathFault),
    /// A PEM text can't be used.
    #[error("TLS: {0}")]
    Tls(String),
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// There is nothing where the host should be.
    #[error("no host")]
    NoHost,
    /// No host has such a name, and no IPv6 address is in its brackets.
    #[error("bad host")]
    Host,
    /// The port isn't a number from 1 to 65535.
    #[error("bad port")]
    Port,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// It doesn't begin with `/`.
    #[error("does not begin with /")]
    Relative,
    /// `//`, or a `/` at its end.
    #[error("has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("has . or .. as a segment")]
    Dots,
    /// Most likely a password has a `/`.
    #[error("has an @; a password can't have a / here")]
    At,
    /// Only printable ASCII is taken.
    #[error("has characters other than printable ASCII")]
    Character,
    /// It is ZooKeeper's own.
    #[error("is ZooKeeper's own")]
    Reserved,
    /// It is longer than 128 bytes.
    #[error("is longer than {MAX_PATH} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(text: &str) -> Settings {
        text.parse().unwrap()
    }

    // S4: several servers, and the default that people know.
    #[test]
    fn what_people_write() {
        for (text, cluster, root) in [
            ("zk://master.mesos:2181/mesos", "master.mesos:2181", "/mesos"),
            ("zk://a,b:1,[::1],[::1]:7", "a:2181,b:1,[::1]:2181,[::1]:7", ""),
            (" zk://a/\n", "a:2181", ""),
            ("zk://u:p@a/dcos-service-web", "a:2181", "/dcos-service-web"),
        ] {
            let settings = settings(text);
            assert_eq!((settings.cluster().as_str(), settings.root()), (cluster, root), "{text}");
            assert_eq!(settings.timeout(), SESSION_TIMEOUT);
        }
        assert_eq!(settings("zk://u:a:b@c@h/x").digest().as_deref(), Some("u:a:b@c"));
        assert_eq!(settings("zk://h/x").path("/y").unwrap().root(), "/y");
    }

    #[test]
    fn all_faults_are_named() {
        use SettingsProblem as P;
        let server = |index, fault| P::Server { index, fault };
        for (text, expected) in [
            ("", vec![P::Scheme]),
            ("http://a", vec![P::Scheme]),
            ("zk://", vec![P::NoServer]),
            ("zk:///mesos", vec![P::NoServer]),
            ("zk://@a", vec![P::Credentials]),
            ("zk://user@a", vec![P::Credentials]),
            ("zk://:p@a", vec![P::Credentials]),
            (
                "zk://a:0,,b:x,c d,[::x]/e//f",
                vec![
                    server(0, ServerFault::Port),
                    server(1, ServerFault::NoHost),
                    server(2, ServerFault::Port),
                    server(3, ServerFault::Host),
                    server(4, ServerFault::Host),
                    P::Path(PathFault::EmptySegment),
                ],
            ),
            ("zk://a/b/", vec![P::Path(PathFault::EmptySegment)]),
            ("zk://a/b/../c", vec![P::Path(PathFault::Dots)]),
            ("zk://a/b c", vec![P::Path(PathFault::Character)]),
            ("zk://a/zookeeper/x", vec![P::Path(PathFault::Reserved)]),
            ("zk://u:p/w@a/b", vec![server(0, ServerFault::Port), P::Path(PathFault::At)]),
        ] {
            assert_eq!(text.parse::<Settings>().unwrap_err().problems(), expected, "{text}");
        }
        let long = format!("zk://a/{}", "x".repeat(MAX_PATH));
        assert_eq!(long.parse::<Settings>().unwrap_err().problems(), [P::Path(PathFault::TooLong)]);
        assert!(settings("zk://a").credentials("a:b", "c").is_err());
        assert!(settings("zk://a").path("b").is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_no_secret_gets_out(
            user in "[a-z:@/]{0,6}", secret in "[A-Z]{8}", rest in "[a-z0-9:@/,\\[\\]. ]{0,20}",
        ) {
            let text = format!("zk://{user}:{secret}@{rest}");
            let shown = match text.parse::<Settings>() {
                Ok(settings) => format!("{settings} {settings:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains(&secret), "{shown}");
            let _ = rest.parse::<Settings>();
        }
    }
}
