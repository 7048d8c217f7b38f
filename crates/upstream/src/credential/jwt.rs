//! Signed statements (JSON Web Tokens, RFC 7519, with RS256): what a service account proves itself with.
//!
//! Signs only; the gateway verifies no token here. The key never leaves this type. Called by `google`.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use tidegate_core::secret::Secret;

/// An RSA key.
pub(super) struct Signer(RsaKeyPair);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer([secret])")
    }
}

impl Signer {
    /// A key as PEM (PKCS #8).
    pub(super) fn from_pem(pem: &Secret) -> Result<Self, &'static str> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_| "its `private_key` is no PEM of a PKCS #8 key")?;
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| "its `private_key` is no RSA key")?;
        Ok(Self(key))
    }

    /// The signed form of `claims`.
    pub(super) fn sign(&self, key_id: &str, claims: &serde_json::Value) -> Result<Secret, &'static str> {
        let head = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": key_id });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&head), encode(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| "the statement cannot be signed")?;
        Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
