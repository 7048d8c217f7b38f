//! Keys of AWS: static ones, and those that expire from STS, containers, machines and assumed roles; and the signature
//! that is made with them.
//!
//! Owns where keys come from and how an answer with keys is read. Places that say who a machine is are link-local and
//! reached for exactly this; STS is reached on the public network alone. Never logs a key. Called by `Auth` and
//! `tokens`; the configuration makes it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;
use tidegate_core::{clock, secret::Secret};

use super::{
    CredentialError, Tokens,
    ask::{Question, form, read_token},
    sigv4::{self, AwsKeys, Scope},
    tokens::{Issued, Source, unavailable},
};
use crate::{address::AddressError, pool::Pool, target::Destination};

/// The service that model calls are signed for.
const BEDROCK: &str = "bedrock";
/// Where a machine is asked for its own role (IMDS, version 2).
const MACHINE: &str = "http://169.254.169.254";
/// Where a container of ECS is asked.
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts besides loopback that a full address of a container's credentials may name without TLS: ECS and EKS.
const CONTAINERS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
/// How long the answer to one question of a machine may be used for others.
const SESSION_SECONDS: &str = "300";

/// STS, in errors.
const STS: &str = "AWS STS";
/// The endpoint of containers, in errors.
const CONTAINER_NAME: &str = "the container's credential endpoint";
/// IMDS, in errors.
const MACHINE_NAME: &str = "the instance metadata service";

/// A way to keys that expire.
#[derive(Debug, Clone)]
pub enum AwsIdentity {
    /// A role that trusts somebody else's token, which is read from a file each time (EKS, and other OIDC issuers).
    WebIdentity {
        /// The role's ARN.
        role: String,
        /// The file.
        file: PathBuf,
        /// What the session is called in AWS's records.
        session: String,
    },
    /// The endpoint of a container: the path that `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` names, or the address that
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI` names.
    Container {
        /// The path or address.
        uri: String,
        /// What is shown there.
        token: Option<Secret>,
        /// The file of what is shown there, read each time.
        token_file: Option<PathBuf>,
    },
    /// The role of the machine (IMDSv2).
    Machine,
    /// A role that other keys may assume.
    Role {
        /// The role's ARN.
        role: String,
        /// What its trust policy asks for.
        external_id: Option<String>,
        /// What the session is called in AWS's records.
        session: String,
        /// The keys that assume it.
        with: Box<AwsSource>,
    },
}

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum AwsSource {
    /// They are known.
    Keys(AwsKeys),
    /// Somebody hands them out.
    Identity(AwsIdentity),
}

/// Signs requests to Bedrock in one region.
#[derive(Debug, Clone)]
pub struct AwsSigner {
    region: Arc<str>,
    keys: Keys,
}

#[derive(Debug, Clone)]
enum Keys {
    Known(AwsKeys),
    Tokens(Tokens),
}

impl AwsSigner {
    /// A signer for `region`.
    ///
    /// # Errors
    /// Where an address of the source is none that is gone to.
    pub fn new(region: &str, source: AwsSource) -> Result<Self, AddressError> {
        let keys = match source {
            AwsSource::Keys(keys) => Keys::Known(keys),
            AwsSource::Identity(identity) => Keys::Tokens(Tokens::new(Source::Aws(Aws::new(region, identity)?))),
        };
        Ok(Self { region: Arc::from(region), keys })
    }

    /// Signs a request that is otherwise ready to leave.
    pub(super) async fn sign(&self, request: &mut Request<Bytes>, pool: &Arc<Pool>) -> Result<(), CredentialError> {
        let keys = match &self.keys {
            Keys::Known(keys) => keys.clone(),
            Keys::Tokens(tokens) => unpacked(&tokens.token(pool).await?)?,
        };
        let scope = Scope { region: &self.region, service: BEDROCK, at: clock::wall() };
        sigv4::sign(request, &keys, scope)
    }

    /// The secret that signs, which is itself never sent; shown is only what is made with it, and a session's token.
    pub(super) fn shown(&self) -> Option<Secret> {
        match &self.keys {
            Keys::Known(keys) => keys.session.clone(),
            Keys::Tokens(tokens) => tokens.last().and_then(|packed| unpacked(&packed).ok()?.session),
        }
    }
}

/// Keys as one text, so that they are kept like any token: no part of them holds a line end.
fn packed(keys: &AwsKeys) -> Secret {
    let session = keys.session.as_ref().map(Secret::expose).unwrap_or_default();
    Secret::new(format!("{}\n{}\n{session}", keys.id, keys.secret.expose()))
}

fn unpacked(packed: &Secret) -> Result<AwsKeys, CredentialError> {
    let mut lines = packed.expose().split('\n');
    let mut next = || lines.next().map(str::to_owned).ok_or(CredentialError::Invalid);
    let (id, secret, session) = (next()?, next()?, next()?);
    let session = Some(session).filter(|session| !session.is_empty()).map(Secret::new);
    Ok(AwsKeys { id, secret: Secret::new(secret), session })
}

/// A way to keys, with the addresses that it asks at.
#[derive(Debug)]
pub(super) struct Aws {
    region: String,
    identity: AwsIdentity,
    to: Destination,
}

impl Aws {
    fn new(region: &str, identity: AwsIdentity) -> Result<Self, AddressError> {
        let to = match &identity {
            AwsIdentity::WebIdentity { .. } | AwsIdentity::Role { .. } => Destination::http(&sts(region), false)?,
            AwsIdentity::Container { uri, .. } => container(uri)?,
            AwsIdentity::Machine => Destination::metadata(MACHINE)?,
        };
        Ok(Self { region: region.to_owned(), identity, to })
    }

    /// Asks for keys.
    pub(super) async fn ask(&self, pool: &Arc<Pool>) -> Result<Issued, CredentialError> {
        match &self.identity {
            AwsIdentity::WebIdentity { role, file, session } => {
                let token = read_token(file).await.map_err(|why| unavailable(STS, why))?;
                let fields = [
                    ("Action", "AssumeRoleWithWebIdentity"),
                    ("Version", "2011-06-15"),
                    ("RoleArn", role),
                    ("RoleSessionName", session),
                    ("WebIdentityToken", token.expose()),
                ];
                let answer: WebIdentityAnswer = self.question(STS, "/", Some(form(&fields))).ask(pool).await?;
                answer.response.result.credentials.issued(STS)
            }
            AwsIdentity::Container { uri, token, token_file } => {
                let token = match token_file {
                    Some(file) => Some(read_token(file).await.map_err(|why| unavailable(CONTAINER_NAME, why))?),
                    None => token.clone(),
                };
                let path = if uri.starts_with('/') { uri.as_str() } else { "" };
                let mut question = self.question(CONTAINER_NAME, path, None);
                question.headers.extend(token.map(|token| ("authorization", token)));
                question.ask::<Credentials>(pool).await?.issued(CONTAINER_NAME)
            }
            AwsIdentity::Machine => self.machine(pool).await,
            AwsIdentity::Role { role, external_id, session, with } => {
                let keys = match &**with {
                    AwsSource::Keys(keys) => keys.clone(),
                    AwsSource::Identity(identity) => {
                        let under = Self::new(&self.region, identity.clone());
                        let under = under.map_err(|error| unavailable(STS, error.to_string()))?;
                        unpacked(&Box::pin(under.ask(pool)).await?.token)?
                    }
                };
                self.assume(role, external_id.as_deref(), session, &keys, pool).await
            }
        }
    }

    fn question<'a>(&'a self, whom: &'static str, path: &'a str, body: Option<(&'static str, String)>) -> Question<'a> {
        Question { whom, to: &self.to, path, headers: Vec::new(), body }
    }

    async fn assume(
        &self,
        role: &str,
        external_id: Option<&str>,
        session: &str,
        keys: &AwsKeys,
        pool: &Arc<Pool>,
    ) -> Result<Issued, CredentialError> {
        let mut fields =
            vec![("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", role), ("RoleSessionName", session)];
        fields.extend(external_id.map(|id| ("ExternalId", id)));
        let scope = Scope { region: &self.region, service: "sts", at: clock::wall() };
        let signed = |request: &mut Request<Bytes>| sigv4::sign(request, keys, scope);
        let bytes = self.question(STS, "/", Some(form(&fields))).bytes(pool, signed).await?;
        let answer: RoleAnswer = serde_json::from_slice(&bytes).map_err(|_| unavailable(STS, NO_KEYS))?;
        answer.response.result.credentials.issued(STS)
    }

    /// A session with the metadata service first, then the role's name, then its keys.
    async fn machine(&self, pool: &Arc<Pool>) -> Result<Issued, CredentialError> {
        let mut opening = self.question(MACHINE_NAME, "/latest/api/token", None);
        opening.headers.push(("x-aws-ec2-metadata-token-ttl-seconds", Secret::new(SESSION_SECONDS.to_owned())));
        let put = |request: &mut Request<Bytes>| {
            *request.method_mut() = Method::PUT;
            Ok(())
        };
        let session = word(&opening.bytes(pool, put).await?, MACHINE_NAME)?;
        let shown = |question: Question<'_>| -> Vec<(&'static str, Secret)> {
            let mut headers = question.headers;
            headers.push(("x-aws-ec2-metadata-token", Secret::new(session.clone())));
            headers
        };
        let roles = "/latest/meta-data/iam/security-credentials/";
        let headers = shown(self.question(MACHINE_NAME, roles, None));
        let name = Question { headers, ..self.question(MACHINE_NAME, roles, None) };
        let name = word(&name.bytes(pool, |_| Ok(())).await?, MACHINE_NAME)?;
        let path = format!("{roles}{name}");
        let headers = shown(self.question(MACHINE_NAME, &path, None));
        let keys = Question { headers, ..self.question(MACHINE_NAME, &path, None) };
        keys.ask::<Credentials>(pool).await?.issued(MACHINE_NAME)
    }
}

const NO_KEYS: &str = "its answer holds no keys";

/// The regional endpoint of STS; China has a domain of its own.
fn sts(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://sts.{region}.{domain}")
}

/// Where a container's credentials are asked for. An address without TLS is one of those that containers have.
fn container(uri: &str) -> Result<Destination, AddressError> {
    if uri.starts_with('/') {
        return Destination::metadata(CONTAINER);
    }
    let url = crate::address::parse_destination(uri)?;
    let local = crate::address::is_loopback(&url) || url.host_str().is_some_and(|host| CONTAINERS.contains(&host));
    match (url.scheme(), local) {
        (_, true) => Destination::metadata(uri),
        ("https", false) => Destination::http(uri, false),
        _ => Err(AddressError::Unsupported {
            what: "no TLS, and is none of those where containers keep their credentials",
            hint: "use https, or leave AWS_CONTAINER_CREDENTIALS_FULL_URI to the platform",
        }),
    }
}

/// The one word of an answer that is plain text.
fn word(bytes: &[u8], whom: &'static str) -> Result<String, CredentialError> {
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
    let plain = |byte: u8| byte.is_ascii_graphic();
    if text.is_empty() || !text.bytes().all(plain) {
        return Err(unavailable(whom, "its answer is no token and no name: has the machine a role?"));
    }
    Ok(text.to_owned())
}

#[derive(Deserialize)]
struct WebIdentityAnswer {
    #[serde(rename = "AssumeRoleWithWebIdentityResponse")]
    response: WebIdentityResponse,
}

#[derive(Deserialize)]
struct WebIdentityResponse {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: AssumedRole,
}

#[derive(Deserialize)]
struct RoleAnswer {
    #[serde(rename = "AssumeRoleResponse")]
    response: RoleResponse,
}

#[derive(Deserialize)]
struct RoleResponse {
    #[serde(rename = "AssumeRoleResult")]
    result: AssumedRole,
}

#[derive(Deserialize)]
struct AssumedRole {
    #[serde(rename = "Credentials")]
    credentials: Credentials,
}

/// Keys as STS, containers and machines write them.
#[derive(Deserialize)]
struct Credentials {
    #[serde(rename = "AccessKeyId")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "SessionToken", alias = "Token")]
    session: Option<String>,
    #[serde(rename = "Expiration")]
    expiration: Moment,
}

/// A moment, as a text (RFC 3339) or as seconds since 1970: STS writes the latter in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    Seconds(f64),
    Text(String),
}

impl Moment {
    /// How long it is until then.
    fn left(&self) -> Option<Duration> {
        let now = Duration::from_millis(clock::wall().0);
        let then = match self {
            Self::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).ok()?,
            Self::Text(text) => {
                let seconds = text.parse::<jiff::Timestamp>().ok()?.as_second();
                Duration::from_secs(u64::try_from(seconds).ok()?)
            }
        };
        then.checked_sub(now)
    }
}

impl Credentials {
    fn issued(self, whom: &'static str) -> Result<Issued, CredentialError> {
        let holds = self.expiration.left().ok_or_else(|| unavailable(whom, "the keys it gave have expired"))?;
        let one_line = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !one_line(&self.id) || !one_line(&self.secret) || self.session.as_deref().is_some_and(|text| !one_line(text))
        {
            return Err(unavailable(whom, NO_KEYS));
        }
        let session = self.session.map(Secret::new);
        Ok(Issued { token: packed(&AwsKeys { id: self.id, secret: Secret::new(self.secret), session }), holds })
    }
}

#[cfg(test)]
mod tests;
