//! How connections are protected, by rustls.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{OpenError, Source};
use crate::postgres::options::PostgresTls;

/// What makes protected connections.
pub(super) fn connector(mode: PostgresTls, roots: Option<&Path>) -> Result<MakeRustlsConnect, OpenError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| untrusted(roots, error))?;
    let config = if mode == PostgresTls::VerifyFull {
        builder.with_root_certificates(trusted(roots)?).with_no_client_auth()
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth()
    };
    Ok(MakeRustlsConnect::new(config))
}

fn untrusted(roots: Option<&Path>, error: impl Into<Source>) -> OpenError {
    let path = roots.unwrap_or(Path::new("the system's certificates")).to_owned();
    OpenError::Failed { path, source: error.into() }
}

/// Those who may vouch for a server.
fn trusted(roots: Option<&Path>) -> Result<RootCertStore, OpenError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = roots {
        let failed = |error: rustls::pki_types::pem::Error| untrusted(Some(path), error.to_string());
        for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
            store.add(certificate.map_err(failed)?).map_err(|error| untrusted(Some(path), error))?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        // Some of a system's certificates may be of a kind that is not understood.
        store.add_parsable_certificates(found.certs);
    }
    if store.is_empty() {
        let text = "there is no certificate in it: name a file of them with sslrootcert=PATH";
        return Err(untrusted(roots, text));
    }
    Ok(store)
}

/// Takes any certificate, as libpq does below `verify-ca`: the connection is encrypted, with whomever.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
