//! The TLS client configuration: explicit roots, an explicit provider, no process-wide state.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::HttpError;
use crate::http::{Identity, Pem};

fn provider() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "ring")]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return None;
}

fn certificates(Pem(pem): &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    if found.is_empty() { Err("no certificate in the PEM text".into()) } else { Ok(found) }
}

pub(crate) fn config(roots: &Pem, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, HttpError> {
    let provider = provider().ok_or(HttpError::NoProvider)?;
    let mut store = RootCertStore::empty();
    for certificate in certificates(roots).map_err(HttpError::Roots)? {
        store.add(certificate).map_err(|e| HttpError::Roots(e.to_string()))?;
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| HttpError::NoProvider)?
        .with_root_certificates(store);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let chain = certificates(chain).map_err(HttpError::ClientCertificate)?;
            let key =
                PrivateKeyDer::from_pem_slice(&key.0).map_err(|e| HttpError::ClientCertificate(format!("key: {e}")))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| HttpError::ClientCertificate(e.to_string()))?
        }
    };
    Ok(Arc::new(config))
}
