//! TLS to the servers.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use zookeeper_client::TlsOptions;

use crate::settings::SettingsProblem;
use crate::{Settings, SettingsError, ZkError};

/// PEM texts that have been read once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    roots: String,
    identity: Option<(String, String)>,
}

impl Tls {
    pub(crate) fn options(&self) -> Result<TlsOptions, ZkError> {
        // The client takes the process's, and panics if there is none while several are compiled in, as with ours for
        // masters.
        if CryptoProvider::get_default().is_none() {
            // Somebody else may be faster, with one that does as well.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        self.build().map_err(|error| ZkError::Refused { path: "TLS".into(), detail: error.to_string() })
    }

    fn build(&self) -> Result<TlsOptions, zookeeper_client::Error> {
        let options = TlsOptions::new().with_pem_ca(&self.roots)?;
        match &self.identity {
            Some((chain, key)) => options.with_pem_identity(chain, key),
            None => Ok(options),
        }
    }

    fn checked(self) -> Result<Self, SettingsError> {
        match self.build() {
            Ok(_) => Ok(self),
            Err(error) => Err(SettingsError { problems: vec![SettingsProblem::Tls(error.to_string())] }),
        }
    }
}

impl Settings {
    /// Speaks TLS to all servers, which must carry certificates for their host names from these authorities, and shows
    /// them a certificate (its chain following) with its key, if there is one: all of it PEM text.
    ///
    /// The cryptography is that of rustls's `CryptoProvider::get_default`; if nobody has installed one by the first
    /// connection, aws-lc-rs is, for the whole process.
    ///
    /// # Errors
    /// A text has nothing usable.
    pub fn tls(mut self, roots: &str, identity: Option<(&str, &str)>) -> Result<Self, SettingsError> {
        let identity = identity.map(|(chain, key)| (chain.to_owned(), key.to_owned()));
        self.tls = Some(Tls { roots: roots.to_owned(), identity }.checked()?);
        Ok(self)
    }
}
