//! Where a server listens, how people write it, and how redirects name it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

/// A server to connect to.
///
/// Written as `host`, `host:port`, `http://host:port` or `https://host:port`; IPv6 addresses stand in brackets. The
/// port is 5050 if none is given, which is the Mesos master's; a path may be `/` only.
///
/// ```
/// use mesos_core::Endpoint;
///
/// let master: Endpoint = "https://[::1]:5051".parse()?;
/// assert_eq!(master, Endpoint::Tcp { tls: true, host: "::1".into(), port: 5051 });
/// assert_eq!(master.to_string(), "https://[::1]:5051");
/// assert_eq!("10.0.0.1".parse::<Endpoint>()?.to_string(), "http://10.0.0.1:5050");
/// # Ok::<(), mesos_core::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "performed by drivers")]
pub enum Endpoint {
    /// A TCP port, with or without TLS.
    Tcp {
        /// Whether to speak TLS.
        tls: bool,
        /// A host name, or an IP address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a unix domain socket (an executor's agent may have one).
    Unix(String),
}

/// The port of a Mesos master.
pub(crate) const MASTER_PORT: u16 = 5050;
/// The port of a Mesos agent.
pub(crate) const AGENT_PORT: u16 = 5051;

/// A text that names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is empty, or has nothing where the host should be.
    #[error("no host in {0:?}")]
    NoHost(String),
    /// The scheme is neither `http` nor `https`.
    #[error("unknown scheme in {0:?}: http and https are known")]
    Scheme(String),
    /// The port isn't a number from 1 to 65535.
    #[error("bad port in {0:?}")]
    Port(String),
    /// The host has characters that no host name has, or its brackets hold no IPv6 address.
    #[error("bad host in {0:?}")]
    Host(String),
    /// There is more than scheme, host and port: a path, a query, a user name.
    #[error("only scheme, host and port are wanted in {0:?}")]
    Extra(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err(EndpointError::Scheme(text.to_owned())),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(EndpointError::Extra(text.to_owned()));
        }
        let (host, port) = parse_authority(authority, MASTER_PORT).map_err(|fault| fault(text.to_owned()))?;
        Ok(Self::Tcp { tls, host, port })
    }
}

type Fault = fn(String) -> EndpointError;

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn parse_authority(authority: &str, default_port: u16) -> Result<(String, u16), Fault> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(EndpointError::Host as Fault)?;
        host.parse::<Ipv6Addr>().map_err(|_| EndpointError::Host as Fault)?;
        match port {
            "" => (host, None),
            _ => (host, Some(port.strip_prefix(':').ok_or(EndpointError::Host as Fault)?)),
        }
    } else {
        let (host, port) = match authority.split_once(':') {
            None => (authority, None),
            Some((host, port)) => (host, Some(port)),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !host.chars().all(legal) {
            return Err(EndpointError::Host);
        }
        (host, port)
    };
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    let port = match port {
        None => default_port,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|&port| port != 0).ok_or(EndpointError::Port as Fault)?
        }
        Some(_) => return Err(EndpointError::Port),
    };
    Ok((host.to_owned(), port))
}

impl Endpoint {
    /// `host:port` as it stands in a `Host` header, IPv6 addresses in brackets; `localhost` for a unix socket.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { tls, .. } => write!(f, "{}://{}", if *tls { "https" } else { "http" }, self.authority()),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn tcp(tls: bool, host: &str, port: u16) -> Result<Endpoint, EndpointError> {
        Ok(Endpoint::Tcp { tls, host: host.into(), port })
    }

    // S2: "5050" and 5050 are the same port, anything else is an error and not a silent default.
    #[test]
    fn texts_people_write() {
        assert_eq!("127.0.0.1".parse(), tcp(false, "127.0.0.1", 5050));
        assert_eq!("http://master:80/".parse(), tcp(false, "master", 80));
        assert_eq!("HTTPS://Master:80".parse(), tcp(true, "Master", 80));
        assert_eq!("[::1]".parse(), tcp(false, "::1", 5050));
        assert_eq!("https://[fe80::1]:8443".parse(), tcp(true, "fe80::1", 8443));
    }

    #[test]
    fn faults_are_named() {
        let fault = |text: &str| text.parse::<Endpoint>().map_err(|e| e.to_string());
        for (text, expected) in [
            ("", "no host"),
            ("http://", "no host"),
            (":5050", "no host"),
            ("zk://a:2181/mesos", "unknown scheme"),
            ("host:x", "bad port"),
            ("host:", "bad port"),
            ("host:0", "bad port"),
            ("host:65536", "bad port"),
            ("host:+80", "bad port"),
            ("a b:80", "bad host"),
            ("[::1", "bad host"),
            ("[::x]:80", "bad host"),
            ("[::1]80", "bad host"),
            ("user@host:80", "only scheme"),
            ("http://host:80/master", "only scheme"),
        ] {
            let error = fault(text).expect_err(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn display_parses_back() {
        for text in ["http://a:1", "https://[::1]:65535", "http://a_b-c.d:5050"] {
            assert_eq!(text.parse::<Endpoint>().map(|e| e.to_string()), Ok(text.to_string()));
        }
    }
}
