//! How the gateway proves itself to an upstream: one variant of [`Auth`] for each scheme, one file for what a scheme
//! needs beyond a header.
//!
//! A credential is added to a request here and nowhere else, after every header of the caller was filtered and the body
//! is what it will be; it is never logged, and `scrub` takes it out of what the upstream says. Schemes that have to ask
//! somebody for a credential first do so over the pool, within the clock for connecting.

mod ask;
mod aws;
mod azure;
mod google;
mod jwt;
mod sigv4;
mod tokens;

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tidegate_core::{
    fault::{Fault, FaultCode, Retry},
    secret::Secret,
};

use crate::{
    clocks::{Clock, Limits},
    failure::{Failure, Then},
    pool::{Pool, SendError, Unanswered},
};

pub use self::{
    aws::{AwsIdentity, AwsSigner, AwsSource},
    azure::{AZURE_SCOPE, AzureIdentity},
    google::{CredentialFile, GOOGLE_SCOPE},
    sigv4::AwsKeys,
    tokens::Tokens,
};

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
    /// A signature of AWS over the whole request.
    Aws(AwsSigner),
    /// `Authorization: Bearer` with a token that expires.
    Tokens(Tokens),
}

/// Why a request could not be given its credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It has a character that no header can carry.
    #[error(
        "the credential holds a character that no HTTP header can carry: check the reference it comes from for line \
         ends"
    )]
    Invalid,
    /// Whoever hands it out did not do so. Asking again later may help.
    #[error("no credential from {source_name}: {why}")]
    Unavailable {
        /// Who was asked, in a few words.
        source_name: &'static str,
        /// What went wrong, without any secret.
        why: String,
    },
}

/// What authorizing a request needs besides the credential.
pub(crate) struct Showing<'a> {
    /// The way to whoever hands credentials out.
    pub(crate) pool: &'a Arc<Pool>,
    /// The clock for connecting, which getting a credential counts into.
    pub(crate) connect: Duration,
    pub(crate) limits: &'a Limits,
    /// Whom the request is for: what it is and how it is called, for example `("provider", "x")`.
    pub(crate) whom: (&'static str, &'a str),
}

impl Auth {
    /// Gives `request`, which is otherwise ready to leave, its credential; whatever stood in its place is replaced.
    ///
    /// # Errors
    /// [`CredentialError::Invalid`] where the secret fits no header, [`CredentialError::Unavailable`] where nobody
    /// hands one out.
    pub(crate) async fn authorize(
        &self,
        request: &mut Request<Bytes>,
        pool: &Arc<Pool>,
    ) -> Result<(), CredentialError> {
        match self {
            Self::None => Ok(()),
            Self::Bearer(secret) => bearer(request.headers_mut(), secret),
            Self::Header { name, secret } => put(request.headers_mut(), name.clone(), secret.expose()),
            Self::Aws(signer) => signer.sign(request, pool).await,
            Self::Tokens(tokens) => bearer(request.headers_mut(), &tokens.token(pool).await?),
        }
    }

    /// [`Self::authorize`] within the clock for connecting, with its failure as an attempt's.
    ///
    /// # Errors
    /// A failure before anything was sent.
    pub(crate) async fn show(&self, request: &mut Request<Bytes>, showing: &Showing<'_>) -> Result<(), Failure> {
        let Showing { pool, connect, limits, whom: (what, name) } = *showing;
        let authorized = limits.within(connect, Clock::Connect(connect), self.authorize(request, pool)).await;
        let late = |clock| Failure::unanswered(Unanswered { error: SendError::Clock(clock), may_have_left: false });
        authorized.map_err(late)?.map_err(|error| match &error {
            CredentialError::Invalid => {
                let words = format!("the {what} `{name}` is misconfigured: {error}");
                Failure::unsent(Fault::new(FaultCode::Internal, words), Then::NextTarget)
            }
            CredentialError::Unavailable { .. } => {
                let words = format!("the {what} `{name}` cannot be asked: {error}");
                let fault = Fault::new(FaultCode::UpstreamUnavailable, words).with_retry(Retry::Yes);
                Failure::unsent(fault, Then::NextTarget)
            }
        })
    }

    /// The key; `None` where there is none, or credentials that change.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None | Self::Tokens(_) | Self::Aws(_) => None,
            Self::Bearer(secret) | Self::Header { secret, .. } => Some(secret),
        }
    }

    /// What was shown, for taking it out of answers.
    #[must_use]
    pub(crate) fn shown(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::None => None,
            Self::Bearer(secret) | Self::Header { secret, .. } => Some(Cow::Borrowed(secret.expose())),
            Self::Aws(signer) => signer.shown().map(|secret| Cow::Owned(secret.expose().to_owned())),
            Self::Tokens(tokens) => tokens.last().map(|token| Cow::Owned(token.expose().to_owned())),
        }
    }
}

/// Puts `secret` behind `Authorization: Bearer`.
fn bearer(headers: &mut HeaderMap, secret: &Secret) -> Result<(), CredentialError> {
    put(headers, header::AUTHORIZATION, &format!("Bearer {}", secret.expose()))
}

/// Puts a secret into a header, in place of whatever stood there.
fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), CredentialError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| CredentialError::Invalid)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Arc<Pool> {
        Arc::new(Pool::new(None, Vec::new()).unwrap())
    }

    #[tokio::test]
    async fn a_credential_replaces_what_stood_there_and_is_sensitive() {
        let mut request = Request::new(Bytes::new());
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer callers-own"));
        let auth = Auth::Bearer(Secret::new("provider".to_owned()));
        auth.authorize(&mut request, &pool()).await.unwrap();
        assert_eq!(request.headers().get_all(header::AUTHORIZATION).iter().count(), 1);
        let value = request.headers().get(header::AUTHORIZATION).unwrap();
        assert_eq!(value, "Bearer provider");
        assert!(value.is_sensitive());
    }

    #[tokio::test]
    async fn a_credential_with_a_line_end_is_refused_without_showing_it() {
        let auth = Auth::Bearer(Secret::new("abc\ndef".to_owned()));
        let error = auth.authorize(&mut Request::new(Bytes::new()), &pool()).await.unwrap_err();
        assert_eq!(error, CredentialError::Invalid);
        assert!(!error.to_string().contains("abc"));
        assert!(!format!("{auth:?}").contains("abc"));
    }
}
