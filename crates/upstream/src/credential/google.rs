//! Tokens of Google Cloud: service accounts by their key, workload identity federation, and the metadata server.
//!
//! Owns the questions (JWT bearer, RFC 7523; token exchange, RFC 8693; impersonation; the metadata server) and how their
//! answers are read. Files of credentials come from the configuration: where they say that tokens are handed out is
//! gone to over the guarded connector, on the public network alone. Called by `tokens`; the configuration makes it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use tidegate_core::{clock, secret::Secret};

use super::{
    CredentialError, Tokens,
    ask::{Question, Seconds, form, read_token},
    jwt::Signer,
    tokens::{Issued, Source, unavailable},
};
use crate::{pool::Pool, target::Destination};

/// What models on Google Cloud are called with.
pub const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where the metadata server is.
const MACHINE: &str = "http://169.254.169.254";
/// How long a token of a service account is asked for.
const LIFETIME: u64 = 3_600;
/// Google's token services, in errors.
const GOOGLE: &str = "Google's token service";

/// A file of credentials that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialFile(pub(super) String);

/// A way to tokens of Google Cloud.
#[derive(Debug)]
pub(super) struct Google {
    way: Way,
    scope: String,
}

#[derive(Debug)]
enum Way {
    Account { signer: Signer, email: String, key_id: String, audience: String, to: Destination },
    External(Box<External>),
    Metadata { to: Destination },
}

#[derive(Debug)]
struct External {
    audience: String,
    subject_type: String,
    subject: Subject,
    exchange: Destination,
    impersonate: Option<Destination>,
}

/// Where the token is that Google is shown.
#[derive(Debug)]
struct Subject {
    file: PathBuf,
    /// The member that holds it, where the file is JSON.
    member: Option<String>,
}

#[derive(Deserialize)]
struct AccountFile {
    r#type: String,
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct ExternalFile {
    r#type: String,
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: CredentialSource,
}

#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    r#type: String,
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: jiff::Timestamp,
}

fn wrong(what: &str, why: impl std::fmt::Display) -> CredentialFile {
    CredentialFile(format!("{what}: {why}"))
}

/// The public address that a file names. A file may come from elsewhere, so nothing inside is gone to for it.
fn public(what: &str, url: &str) -> Result<Destination, CredentialFile> {
    let destination = Destination::http(url, false).map_err(|error| wrong(what, error))?;
    if destination.is_tls() { Ok(destination) } else { Err(wrong(what, "tokens are asked for over https alone")) }
}

impl Tokens {
    /// Tokens of a service account, from its key file.
    ///
    /// # Errors
    /// Where the file is no such key.
    pub fn google_account(file: &Secret, scope: Option<String>) -> Result<Self, CredentialFile> {
        let what = "the service account's key file";
        let read: AccountFile = serde_json::from_str(file.expose()).map_err(|error| wrong(what, place(&error)))?;
        let to = public("its `token_uri`", &read.token_uri)?;
        Self::google_account_at(read, scope, to)
    }

    fn google_account_at(read: AccountFile, scope: Option<String>, to: Destination) -> Result<Self, CredentialFile> {
        let what = "the service account's key file";
        if read.r#type != "service_account" {
            return Err(wrong(what, format!("its `type` is `{}` and not `service_account`", read.r#type)));
        }
        let signer = Signer::from_pem(&Secret::new(read.private_key)).map_err(|why| wrong(what, why))?;
        let (email, key_id, audience) = (read.client_email, read.private_key_id, read.token_uri);
        Ok(Self::google(Way::Account { signer, email, key_id, audience, to }, scope))
    }

    /// Tokens of workload identity federation, from its configuration.
    ///
    /// # Errors
    /// Where the file is no such configuration, or its token comes from somewhere else than a file.
    pub fn google_external(file: &Secret, scope: Option<String>) -> Result<Self, CredentialFile> {
        let what = "the external account's configuration";
        let read: ExternalFile = serde_json::from_str(file.expose()).map_err(|error| wrong(what, place(&error)))?;
        let exchange = public("its `token_url`", &read.token_url)?;
        let impersonate = read.service_account_impersonation_url.as_deref();
        let impersonate = impersonate.map(|url| public("its `service_account_impersonation_url`", url)).transpose()?;
        Self::google_external_at(read, scope, exchange, impersonate)
    }

    fn google_external_at(
        read: ExternalFile,
        scope: Option<String>,
        exchange: Destination,
        impersonate: Option<Destination>,
    ) -> Result<Self, CredentialFile> {
        let what = "the external account's configuration";
        if read.r#type != "external_account" {
            return Err(wrong(what, format!("its `type` is `{}` and not `external_account`", read.r#type)));
        }
        let Some(file) = read.credential_source.file else {
            return Err(wrong(what, "its `credential_source` has no `file`; tokens from elsewhere are not taken"));
        };
        let member = match read.credential_source.format {
            None => None,
            Some(format) if format.r#type == "text" => None,
            Some(Format { subject_token_field_name: Some(member), .. }) => Some(member),
            Some(_) => return Err(wrong(what, "its `format` is JSON and has no `subject_token_field_name`")),
        };
        let external = External {
            audience: read.audience,
            subject_type: read.subject_token_type,
            subject: Subject { file, member },
            exchange,
            impersonate,
        };
        Ok(Self::google(Way::External(Box::new(external)), scope))
    }

    /// Tokens of the machine's own service account.
    ///
    /// # Errors
    /// Never: the address is a fixed one.
    pub fn google_metadata(scope: Option<String>) -> Result<Self, CredentialFile> {
        let to = Destination::metadata(MACHINE).map_err(|error| wrong("the metadata server", error))?;
        Ok(Self::google(Way::Metadata { to }, scope))
    }

    fn google(way: Way, scope: Option<String>) -> Self {
        let scope = scope.unwrap_or_else(|| GOOGLE_SCOPE.to_owned());
        Self::new(Source::Google(Google { way, scope }))
    }
}

/// What is wrong with JSON, without what stands in it.
fn place(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => "a member is missing or of another type".to_owned(),
        _ => format!("it is no JSON (line {}, column {})", error.line(), error.column()),
    }
}

impl Google {
    pub(super) async fn ask(&self, pool: &Arc<Pool>) -> Result<Issued, CredentialError> {
        match &self.way {
            Way::Account { signer, email, key_id, audience, to } => {
                let now = clock::wall().0 / 1_000;
                let claims = serde_json::json!({
                    "iss": email, "scope": self.scope, "aud": audience, "iat": now, "exp": now.saturating_add(LIFETIME),
                });
                let assertion = signer.sign(key_id, &claims).map_err(|why| unavailable(GOOGLE, why))?;
                let kind = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let body = form(&[("grant_type", kind), ("assertion", assertion.expose())]);
                let question = Question { whom: GOOGLE, to, path: "", headers: Vec::new(), body: Some(body) };
                issued(question.ask(pool).await?)
            }
            Way::External(external) => external.ask(&self.scope, pool).await,
            Way::Metadata { to } => {
                let (_, query) = form(&[("scopes", &self.scope)]);
                let path = format!("/computeMetadata/v1/instance/service-accounts/default/token?{query}");
                let headers = vec![("metadata-flavor", Secret::new("Google".to_owned()))];
                let whom = "Google Cloud's metadata server";
                issued(Question { whom, to, path: &path, headers, body: None }.ask(pool).await?)
            }
        }
    }
}

fn issued(answer: Answer) -> Result<Issued, CredentialError> {
    let holds = answer.expires_in.as_ref().and_then(Seconds::get);
    let holds = holds.ok_or_else(|| unavailable(GOOGLE, "its token has no end"))?;
    Ok(Issued { token: Secret::new(answer.access_token), holds: Duration::from_secs(holds) })
}

impl External {
    async fn ask(&self, scope: &str, pool: &Arc<Pool>) -> Result<Issued, CredentialError> {
        let subject = self.subject.read().await.map_err(|why| unavailable(GOOGLE, why))?;
        // Where a service account is impersonated, the scope is that one's business.
        let first = if self.impersonate.is_some() { GOOGLE_SCOPE } else { scope };
        let body = form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.audience),
            ("scope", first),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &self.subject_type),
            ("subject_token", subject.expose()),
        ]);
        let question = Question { whom: GOOGLE, to: &self.exchange, path: "", headers: Vec::new(), body: Some(body) };
        let exchanged = issued(question.ask(pool).await?)?;
        let Some(to) = &self.impersonate else { return Ok(exchanged) };
        let headers = vec![("authorization", Secret::new(format!("Bearer {}", exchanged.token.expose())))];
        let wanted = serde_json::json!({ "scope": [scope], "lifetime": format!("{LIFETIME}s") });
        let body = Some(("application/json", wanted.to_string()));
        let answer: Impersonated = Question { whom: "Google's IAM", to, path: "", headers, body }.ask(pool).await?;
        let end = u64::try_from(answer.expire_time.as_second()).unwrap_or(0);
        let holds = Duration::from_secs(end.saturating_sub(clock::wall().0 / 1_000));
        Ok(Issued { token: Secret::new(answer.access_token), holds })
    }
}

impl Subject {
    async fn read(&self) -> Result<Secret, String> {
        let text = read_token(&self.file).await?;
        let Some(member) = &self.member else { return Ok(text) };
        let value: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text.expose()).map_err(|_| "the token's file is no JSON object".to_owned())?;
        let token = value.get(member).and_then(serde_json::Value::as_str);
        token.map(|token| Secret::new(token.to_owned())).ok_or_else(|| format!("the token's file has no `{member}`"))
    }
}

#[cfg(test)]
mod tests;
