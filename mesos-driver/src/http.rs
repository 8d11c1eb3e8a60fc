//! How connections are made: TLS identity and trust, names, time limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use mesos_core::{Failure, FailureKind, Sent};
#[cfg(feature = "tls")]
use rustls::{ClientConfig, pki_types::ServerName};

#[cfg(feature = "tls")]
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
/// let http = mesos_driver::Http::builder().roots(pem).server_name("master.mesos").build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    #[cfg(feature = "tls")]
    tls: Option<Arc<ClientConfig>>,
    #[cfg(feature = "tls")]
    server_name: Option<ServerName<'static>>,
    connect_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                #[cfg(feature = "tls")]
                tls: None,
                #[cfg(feature = "tls")]
                server_name: None,
                connect_timeout: CONNECT_TIMEOUT,
            }),
        }
    }
}

impl Http {
    /// Starts from the defaults: plain HTTP, a connect timeout of 10 s.
    pub fn builder() -> HttpBuilder {
        HttpBuilder::default()
    }

    /// How long resolving the name, connecting and the TLS handshake may take together.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.shared.connect_timeout
    }

    /// What to speak TLS with to this host, and the name that its certificate must carry.
    ///
    /// # Errors
    ///
    /// No authority is trusted, or the host cannot be the name of a server.
    #[cfg(feature = "tls")]
    pub fn tls(&self, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), Failure> {
        let failure = |detail: String| Failure::new(FailureKind::Tls, Sent::No, detail);
        let Some(config) = &self.shared.tls else {
            return Err(failure("https, but no root certificates were given".into()));
        };
        let name = match &self.shared.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|e| failure(e.to_string()))?,
        };
        Ok((config.clone(), name))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Http");
        #[cfg(feature = "tls")]
        shown.field("tls", &self.shared.tls.is_some()).field("server_name", &self.shared.server_name);
        shown.field("connect_timeout", &self.shared.connect_timeout).finish()
    }
}

/// Builds an [`Http`].
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct HttpBuilder {
    roots: Option<Pem>,
    identity: Option<Identity>,
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
        self.identity = Some(Identity { chain: chain.as_ref().into(), key: key.as_ref().into() });
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
        let connect_timeout = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        #[cfg(feature = "tls")]
        let shared = {
            let server_name = match self.server_name {
                None => None,
                Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| HttpError::ServerName(name))?),
            };
            let tls = match (self.roots, &self.identity, &server_name) {
                (Some(roots), identity, _) => Some(tls::config(&roots, identity.as_ref())?),
                (None, None, None) => None,
                (None, ..) => return Err(HttpError::NoRoots),
            };
            Shared { tls, server_name, connect_timeout }
        };
        #[cfg(not(feature = "tls"))]
        let shared = match (self.roots, self.identity, self.server_name) {
            (None, None, None) => Shared { connect_timeout },
            _ => return Err(HttpError::NoProvider),
        };
        Ok(Http { shared: Arc::new(shared) })
    }
}

/// PEM text, which may hold a private key: `Debug` shows its size only.
#[derive(Clone)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "given, and then refused"))]
pub(crate) struct Pem(pub(crate) Vec<u8>);

impl From<&[u8]> for Pem {
    fn from(text: &[u8]) -> Self {
        Self(text.to_vec())
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({} bytes)", self.0.len())
    }
}

/// A client certificate (its chain following) with its key.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "given, and then refused"))]
pub(crate) struct Identity {
    pub(crate) chain: Pem,
    pub(crate) key: Pem,
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
    /// The driver was built without TLS, or without a provider for it: see its features.
    #[error("the driver was built without TLS: see its features")]
    NoProvider,
}
