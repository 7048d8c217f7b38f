//! The credential of a provider on AWS, made of what was checked: a bearer key, or a signer with a way to keys.
//!
//! Decides nothing that `check` did not find. Called for providers of type `bedrock`.

use tidegate_core::secret::Secret;
use tidegate_upstream::{Auth, AwsIdentity, AwsKeys, AwsSigner, AwsSource};

use super::targets::refused;
use crate::{check::Checked, document::Provider, node::join, problem::Problem};

/// The region where nobody says, as the vendors' own SDKs for Bedrock have it.
pub(super) const REGION: &str = "us-east-1";
/// What sessions are called in AWS's records where nobody says.
const SESSION: &str = "tidegate";

/// The region of a provider.
pub(super) fn region<'all>(path: &str, checked: &'all Checked) -> &'all str {
    checked.secrets.get(&join(path, "region")).map_or(REGION, Secret::expose)
}

/// The credential of a provider.
pub(super) fn auth(path: &str, written: &Provider, key: Option<Secret>, checked: &Checked) -> Result<Auth, Problem> {
    if let Some(key) = key {
        return Ok(Auth::Bearer(key));
    }
    if written.aws.is_none() && written.base_url.is_some() {
        return Ok(Auth::None);
    }
    let at = join(path, "aws");
    let known = |field: &str| checked.secrets.get(&join(&at, field)).cloned();
    let text = |field: &str| known(field).map(|secret| secret.expose().to_owned());
    let session = text("session_name").unwrap_or_else(|| SESSION.to_owned());
    let role = text("role");
    let (source, assumed) = match (text("access_key_id"), known("secret_access_key"), text("web_identity_token_file")) {
        (Some(id), Some(secret), _) => {
            (AwsSource::Keys(AwsKeys { id, secret, session: known("session_token") }), false)
        }
        (_, _, Some(file)) => {
            // A variable's own role is assumed first, and then the one that is written.
            let own = text("web_identity_role");
            let assumed = own.is_none();
            let role = own.or_else(|| role.clone()).unwrap_or_default();
            (
                AwsSource::Identity(AwsIdentity::WebIdentity { role, file: file.into(), session: session.clone() }),
                assumed,
            )
        }
        _ => match text("container_uri") {
            Some(uri) => {
                let (token, token_file) = (known("container_token"), text("container_token_file").map(Into::into));
                (AwsSource::Identity(AwsIdentity::Container { uri, token, token_file }), false)
            }
            None => (AwsSource::Identity(AwsIdentity::Machine), false),
        },
    };
    let source = match role.filter(|_| !assumed) {
        Some(role) => {
            let external_id = text("external_id");
            AwsSource::Identity(AwsIdentity::Role { role, external_id, session, with: Box::new(source) })
        }
        None => source,
    };
    AwsSigner::new(region(path, checked), source).map(Auth::Aws).map_err(|error| refused(&at, error))
}

#[cfg(test)]
mod tests;
