//! Which certificate authorities upstreams are verified by: the machine's own, and those of the configuration.
//!
//! Owns reading them: once, when the first server is to be verified or when [`Roots::read`] is called, since a machine
//! keeps them in some hundred files and a start need not wait for that. Never trusts a server while they cannot be read.
//! `pool` lays it under every TLS connection.

use std::sync::{Arc, OnceLock};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;

/// The authorities, read or not.
#[derive(Debug)]
pub(crate) struct Roots {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Verifier, Error>>,
}

impl Roots {
    pub(crate) fn new(extra: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Self {
        Self { extra, provider, verifier: OnceLock::new() }
    }

    /// Reads them, where that was not done before. Reads files: for a thread that may block.
    ///
    /// # Errors
    /// Where there are none, the same each time: a machine that is given some needs a restart.
    pub(crate) fn read(&self) -> Result<&Verifier, Error> {
        let made = self
            .verifier
            .get_or_init(|| Verifier::new_with_extra_roots(self.extra.iter().cloned(), Arc::clone(&self.provider)));
        made.as_ref().map_err(|error| {
            tracing::error!(
                %error,
                "the machine's root certificates cannot be read, so no upstream is trusted: install them (package \
                 ca-certificates) and restart"
            );
            error.clone()
        })
    }
}

impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.read()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
