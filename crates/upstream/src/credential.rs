//! How the gateway proves itself to an upstream. Static credentials for now: one bearer token or one header.
//!
//! A credential is added to a request here and nowhere else, after every header of the caller was filtered; it is never
//! logged, and `scrub` takes it out of what the upstream says.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tidegate_core::secret::Secret;

/// A credential for an upstream.
#[derive(Debug, Clone)]
pub enum Auth {
    /// None: local servers, the simulator.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// The secret alone in a header of the vendor's choice, for example `x-api-key`.
    Header {
        /// The header.
        name: HeaderName,
        /// What stands in it.
        secret: Secret,
    },
}

/// The credential has a character that no header can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the credential holds a character that no HTTP header can carry: check the reference it comes from for line ends"
)]
pub struct InvalidCredential;

impl Auth {
    /// Adds the credential to the headers of a request, replacing whatever stood there.
    ///
    /// # Errors
    /// [`InvalidCredential`] where the secret fits no header.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<(), InvalidCredential> {
        let (name, value) = match self {
            Self::None => return Ok(()),
            Self::Bearer(secret) => {
                (header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", secret.expose())))
            }
            Self::Header { name, secret } => (name.clone(), HeaderValue::from_str(secret.expose())),
        };
        let mut value = value.map_err(|_| InvalidCredential)?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }

    /// The secret, for taking it out of answers.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::Bearer(secret) | Self::Header { secret, .. } => Some(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_replaces_what_stood_there_and_is_sensitive() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer callers-own"));
        Auth::Bearer(Secret::new("provider".to_owned())).apply(&mut headers).unwrap();
        assert_eq!(headers.get_all(header::AUTHORIZATION).iter().count(), 1);
        let value = headers.get(header::AUTHORIZATION).unwrap();
        assert_eq!(value, "Bearer provider");
        assert!(value.is_sensitive());
    }

    #[test]
    fn a_credential_with_a_line_end_is_refused_without_showing_it() {
        let auth = Auth::Bearer(Secret::new("abc\ndef".to_owned()));
        let error = auth.apply(&mut HeaderMap::new()).unwrap_err();
        assert!(!error.to_string().contains("abc"));
        assert!(!format!("{auth:?}").contains("abc"));
    }
}
