//! TLS: explicit trust, names, client certificates, and each way in which they don't fit. S165, W56

use std::sync::Arc;

use crate::common::{
    ACCEPTED, Driver, Http, HttpBuilder, HttpError, Puppet, answer, failure, read_request, serve, write,
};
use mesos_core::{Endpoint, Failure, FailureKind, Lane, Sent};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate, key)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server with a certificate for this name; if `clients` is set, it wants one from clients.
async fn server(authority: &Authority, name: &str, clients: bool) -> crate::common::Server {
    let (certificate, key) = authority.issue(name);
    let builder =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = if clients {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(authority.0.der().to_vec())).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut server = serve(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while read_request(&mut stream).await.is_some() {
                write(&mut stream, ACCEPTED).await;
            }
        }
    })
    .await;
    server.endpoint = https(&server.endpoint, "127.0.0.1");
    server
}

fn https(endpoint: &Endpoint, host: &str) -> Endpoint {
    match endpoint {
        Endpoint::Tcp { port, .. } => Endpoint::Tcp { tls: true, host: host.into(), port: *port },
        Endpoint::Unix(_) => endpoint.clone(),
    }
}

fn driver(http: HttpBuilder) -> Driver<Puppet> {
    Driver::new(Puppet::default(), http.build().unwrap())
}

async fn fails(http: HttpBuilder, endpoint: &Endpoint) -> Failure {
    failure(&mut driver(http), endpoint).await
}

async fn works(http: HttpBuilder, endpoint: &Endpoint) {
    let mut driver = driver(http);
    // Twice: the second one on the same connection.
    for _ in 0..2 {
        let id = driver.with(|m| m.request(Lane::Ordered, endpoint, b"call"));
        assert_eq!(answer(&mut driver, id).await, (Some(202), vec![], Ok(())));
    }
}

#[tokio::test]
async fn a_trusted_certificate_for_the_host() {
    let authority = Authority::new();
    let by_ip = server(&authority, "127.0.0.1", false).await;
    works(Http::builder().roots(authority.pem()), &by_ip.endpoint).await;
    let by_name = server(&authority, "localhost", false).await;
    works(Http::builder().roots(authority.pem()), &https(&by_name.endpoint, "localhost")).await;
}

#[tokio::test]
async fn an_expected_name_stands_in_for_an_address() {
    let authority = Authority::new();
    let server = server(&authority, "master.mesos", false).await;
    works(Http::builder().roots(authority.pem()).server_name("master.mesos"), &server.endpoint).await;
}

#[tokio::test]
async fn wrong_name() {
    let authority = Authority::new();
    let server = server(&authority, "master.mesos", false).await;
    for http in [Http::builder(), Http::builder().server_name("other.mesos")] {
        let failure = fails(http.roots(authority.pem()), &server.endpoint).await;
        assert_eq!((failure.kind, failure.sent), (FailureKind::Tls, Sent::No));
        assert!(failure.detail.contains("not valid for name"), "{failure}");
    }
}

#[tokio::test]
async fn unknown_authority() {
    let server = server(&Authority::new(), "127.0.0.1", false).await;
    let failure = fails(Http::builder().roots(Authority::new().pem()), &server.endpoint).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Tls, Sent::No));
}

#[tokio::test]
async fn plain_server_behind_https() {
    let server = serve(|_, mut stream| async move {
        write(&mut stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let failure = fails(Http::builder().roots(Authority::new().pem()), &https(&server.endpoint, "127.0.0.1")).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Tls, Sent::No));
}

#[tokio::test]
async fn server_that_never_answers_the_handshake() {
    let server = serve(|_, stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let http = Http::builder().roots(Authority::new().pem()).connect_timeout(std::time::Duration::from_millis(200));
    let failure = fails(http, &https(&server.endpoint, "127.0.0.1")).await;
    assert_eq!((failure.kind, failure.sent), (FailureKind::Tls, Sent::No));
    assert!(failure.detail.contains("not within"), "{failure}");
}

#[tokio::test]
async fn tls_server_behind_http() {
    let server = server(&Authority::new(), "127.0.0.1", false).await;
    let Endpoint::Tcp { port, .. } = server.endpoint else { unreachable!() };
    let failure = fails(Http::builder(), &crate::common::tcp(port)).await;
    assert!(matches!(failure.kind, FailureKind::Http | FailureKind::Io), "{failure}");
    assert_eq!(failure.sent, Sent::Maybe);
}

#[tokio::test]
async fn client_certificates() {
    let authority = Authority::new();
    let server = server(&authority, "127.0.0.1", true).await;
    let (certificate, key) = authority.issue("framework");
    let trusting = Http::builder().roots(authority.pem());
    let with = trusting.clone().client_certificate(certificate.pem(), key.serialize_pem());
    works(with, &server.endpoint).await;
    // In TLS 1.3 the server only says so when the request is under way.
    let failure = fails(trusting, &server.endpoint).await;
    assert!(matches!(failure.kind, FailureKind::Tls | FailureKind::Io), "{failure}");
}

#[test]
fn settings_that_cannot_work() {
    let authority = Authority::new();
    let roots = || Http::builder().roots(authority.pem());
    let (certificate, key) = authority.issue("framework");
    let (_, other) = authority.issue("framework");
    let (certificate, key, other) = (certificate.pem(), key.serialize_pem(), other.serialize_pem());
    let error = |http: HttpBuilder| http.build().map(drop).unwrap_err();

    assert!(matches!(error(Http::builder().roots("")), HttpError::Roots(_)));
    assert!(matches!(error(Http::builder().roots("-----BEGIN CERTIFICATE-----\n?")), HttpError::Roots(_)));
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(error(Http::builder().roots(empty)), HttpError::Roots(_)));
    assert_eq!(error(roots().server_name("not a name")), HttpError::ServerName("not a name".into()));
    assert_eq!(error(Http::builder().server_name("master.mesos")), HttpError::NoRoots);
    assert_eq!(error(Http::builder().client_certificate(&certificate, &key)), HttpError::NoRoots);
    for (certificate, key) in [("", key.as_str()), (&certificate, ""), (&certificate, &other)] {
        assert!(matches!(error(roots().client_certificate(certificate, key)), HttpError::ClientCertificate(_)));
    }
}

#[test]
fn keys_are_not_shown() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("framework");
    let http = Http::builder().roots(authority.pem()).client_certificate(certificate.pem(), key.serialize_pem());
    let builder = format!("{http:?}");
    assert!(builder.contains("server_name") && builder.len() < 300, "{builder}");
    let built = format!("{:?}", http.build().unwrap());
    assert_eq!(built, "Http { tls: true, server_name: None, connect_timeout: 10s }");
}
