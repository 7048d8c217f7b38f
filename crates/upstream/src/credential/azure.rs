//! Tokens of Microsoft Entra ID: an application with a secret or a federated token, and managed identities of machines
//! and app services.
//!
//! Owns the questions (OAuth 2.0 client credentials, RFC 6749 section 4.4 and RFC 7523; the identity endpoints of Azure)
//! and how their answers are read. Called by `tokens`; the configuration makes it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use tidegate_core::{clock, secret::Secret};

use super::{
    CredentialError, Tokens,
    ask::{Question, Seconds, form, read_token},
    tokens::{Issued, Source, unavailable},
};
use crate::{address::AddressError, pool::Pool, target::Destination};

/// What models on Azure are called with.
pub const AZURE_SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Where Entra ID hands tokens out.
const LOGIN: &str = "https://login.microsoftonline.com";
/// Where a machine asks for its own identity.
const MACHINE: &str = "http://169.254.169.254";
/// Entra ID, in errors.
const ENTRA: &str = "Microsoft Entra ID";
/// The identity endpoints, in errors.
const IDENTITY: &str = "the managed identity";

/// How a token of Entra ID is asked for.
#[derive(Debug, Clone)]
pub enum AzureIdentity {
    /// An application and its secret.
    Secret {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// Its secret.
        secret: Secret,
    },
    /// An application that trusts somebody else's token, which is read from a file each time.
    Federated {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// The file.
        file: PathBuf,
    },
    /// The identity of the machine.
    Machine {
        /// The identity, where one was assigned by a user.
        client: Option<String>,
    },
    /// The identity of an app service, which says where to ask, and with which secret.
    AppService {
        /// The identity, where one was assigned by a user.
        client: Option<String>,
        /// Where to ask.
        endpoint: String,
        /// What to show there.
        header: Secret,
    },
}

/// A way to tokens of Entra ID.
#[derive(Debug)]
pub(super) struct Azure {
    identity: AzureIdentity,
    scope: String,
    to: Destination,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<Seconds>,
    expires_on: Option<Seconds>,
}

impl Tokens {
    /// Tokens of Entra ID for `scope`, of the public cloud or the one whose `authority` is named.
    ///
    /// # Errors
    /// Where the authority, or the app service's endpoint, is no address.
    pub fn azure(
        identity: AzureIdentity,
        scope: Option<String>,
        authority: Option<&str>,
    ) -> Result<Self, AddressError> {
        let to = match &identity {
            AzureIdentity::Secret { .. } | AzureIdentity::Federated { .. } => {
                Destination::http(authority.unwrap_or(LOGIN), false)?
            }
            AzureIdentity::Machine { .. } => Destination::metadata(MACHINE)?,
            AzureIdentity::AppService { endpoint, .. } => Destination::metadata(endpoint)?,
        };
        Ok(Self::azure_at(identity, scope, to))
    }

    pub(super) fn azure_at(identity: AzureIdentity, scope: Option<String>, to: Destination) -> Self {
        let scope = scope.unwrap_or_else(|| AZURE_SCOPE.to_owned());
        Self::new(Source::Azure(Azure { identity, scope, to }))
    }
}

impl Azure {
    pub(super) async fn ask(&self, pool: &Arc<Pool>) -> Result<Issued, CredentialError> {
        let answer: Answer = match &self.identity {
            AzureIdentity::Secret { tenant, client, secret } => {
                let proof = [("client_secret", secret.expose())];
                self.application(tenant, client, &proof, pool).await?
            }
            AzureIdentity::Federated { tenant, client, file } => {
                let assertion = read_token(file).await.map_err(|why| unavailable(ENTRA, why))?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let proof = [("client_assertion_type", kind), ("client_assertion", assertion.expose())];
                self.application(tenant, client, &proof, pool).await?
            }
            AzureIdentity::Machine { client } => {
                let path = format!("/metadata/identity/oauth2/token?{}", self.identity_query("2018-02-01", client));
                self.managed(&path, vec![("metadata", Secret::new("true".to_owned()))], pool).await?
            }
            AzureIdentity::AppService { client, header, .. } => {
                let path = format!("?{}", self.identity_query("2019-08-01", client));
                self.managed(&path, vec![("x-identity-header", header.clone())], pool).await?
            }
        };
        let now = clock::wall().0 / 1_000;
        let left = answer.expires_on.as_ref().and_then(Seconds::get).map(|end| end.saturating_sub(now));
        let holds = answer.expires_in.as_ref().and_then(Seconds::get).or(left);
        let holds = holds.ok_or_else(|| unavailable(ENTRA, "its token has no end"))?;
        Ok(Issued { token: Secret::new(answer.access_token), holds: Duration::from_secs(holds) })
    }

    async fn application(
        &self,
        tenant: &str,
        client: &str,
        proof: &[(&str, &str)],
        pool: &Arc<Pool>,
    ) -> Result<Answer, CredentialError> {
        let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client), ("scope", &self.scope)];
        fields.extend_from_slice(proof);
        let path = format!("/{tenant}/oauth2/v2.0/token");
        let question =
            Question { whom: ENTRA, to: &self.to, path: &path, headers: Vec::new(), body: Some(form(&fields)) };
        question.ask(pool).await
    }

    async fn managed(
        &self,
        path: &str,
        headers: Vec<(&'static str, Secret)>,
        pool: &Arc<Pool>,
    ) -> Result<Answer, CredentialError> {
        Question { whom: IDENTITY, to: &self.to, path, headers, body: None }.ask(pool).await
    }

    /// Identity endpoints know resources, which are scopes without their end.
    fn identity_query(&self, version: &str, client: &Option<String>) -> String {
        let resource = self.scope.strip_suffix("/.default").unwrap_or(&self.scope);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("api-version", version).append_pair("resource", resource);
        if let Some(client) = client {
            query.append_pair("client_id", client);
        }
        query.finish()
    }
}
