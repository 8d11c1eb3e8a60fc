//! How connections are made: TLS identity and trust, names, time limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::tls;

/// How long name resolution, TCP and TLS together may take unless told otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that connections are made with.
///
/// Cheap to clone: several drivers can share one. Names are resolved by the operating system, afresh for every
/// connection. No proxy is used and no environment variable is read.
///
/// `Http::default()` speaks plain HTTP only: a request to an `https` master fails with
/// [`FailureKind::Tls`](mesos_core::FailureKind::Tls), because no certificate authority is trusted by default.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pem = std::fs::read("/etc/mesos/ca.pem")?;
/// let http = mesos_tokio::Http::builder().roots(pem).server_name("master.mesos").build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    tls: Option<Arc<rustls::ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    connect_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { tls: None, server_name: None, connect_timeout: CONNECT_TIMEOUT }) }
    }
}

impl Http {
    /// Starts from the defaults: plain HTTP, a connect timeout of 10 s.
    pub fn builder() -> HttpBuilder {
        HttpBuilder::default()
    }

    pub(crate) fn tls(&self) -> Option<&Arc<rustls::ClientConfig>> {
        self.shared.tls.as_ref()
    }

    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.shared.server_name.as_ref()
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.shared.connect_timeout
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("tls", &self.shared.tls.is_some())
            .field("server_name", &self.shared.server_name)
            .field("connect_timeout", &self.shared.connect_timeout)
            .finish()
    }
}

/// Builds an [`Http`].
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct HttpBuilder {
    roots: Option<tls::Pem>,
    identity: Option<tls::Identity>,
    server_name: Option<String>,
    connect_timeout: Option<Duration>,
}

impl HttpBuilder {
    /// Trusts these certificate authorities, and no others: PEM text with one or more certificates. Switches TLS on.
    pub fn roots(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots = Some(pem.as_ref().into());
        self
    }

    /// Shows this certificate to servers that ask for one: PEM text with the certificate (its chain following) and
    /// its private key. Needs [`roots`](Self::roots).
    pub fn client_certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some(tls::Identity { chain: chain.as_ref().into(), key: key.as_ref().into() });
        self
    }

    /// The name that server certificates must carry, in place of the host connected to. Masters are often found by
    /// IP address while their certificates name a host. Needs [`roots`](Self::roots).
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// How long resolving the name, connecting and the TLS handshake may take together; 10 s by default.
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self
    }

    /// Checks the certificates.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if a PEM text has nothing usable, the server name is none, or a TLS setting lacks the roots
    /// it makes no sense without.
    pub fn build(self) -> Result<Http, HttpError> {
        let server_name = match self.server_name {
            None => None,
            Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| HttpError::ServerName(name))?),
        };
        let tls = match (self.roots, &self.identity, &server_name) {
            (Some(roots), identity, _) => Some(tls::config(&roots, identity.as_ref())?),
            (None, None, None) => None,
            (None, ..) => return Err(HttpError::NoRoots),
        };
        let connect_timeout = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        Ok(Http { shared: Arc::new(Shared { tls, server_name, connect_timeout }) })
    }
}

/// Settings that [`HttpBuilder::build`] cannot work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The roots hold no certificate, or one that cannot be read.
    #[error("root certificates: {0}")]
    Roots(String),
    /// The client certificate or its key cannot be read, or the two don't belong together.
    #[error("client certificate: {0}")]
    ClientCertificate(String),
    /// Neither a DNS name nor an IP address.
    #[error("{0:?} cannot be the name of a server")]
    ServerName(String),
    /// A client certificate or a server name was given, but no roots: TLS would be off.
    #[error("TLS settings without root certificates")]
    NoRoots,
    /// The crate was built with neither of its features `ring` and `aws-lc-rs`.
    #[error("built without TLS: neither feature `ring` nor `aws-lc-rs` is on")]
    NoProvider,
}
