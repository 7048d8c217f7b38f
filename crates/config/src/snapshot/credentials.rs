//! How a provider's calls prove themselves, made from what is written: a key, or where tokens come from.
//!
//! Never asks for a token: that is for the first call that needs one. Called by `targets`.

use http::HeaderName;
use tidegate_core::secret::Secret;
use tidegate_upstream::{Auth, AzureIdentity, Tokens};

use super::{aws, targets::refused};
use crate::{
    check::{Checked, implied_key_path},
    codes,
    document::{self, Credentials},
    node::join,
    problem::Problem,
    vendor::{Scheme, Vendor},
};

/// What models on Azure that speak Anthropic's dialect are called with.
const FOUNDRY_SCOPE: &str = "https://ai.azure.com/.default";
/// The variables by which an app service says where its identity is asked for.
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
const IDENTITY_HEADER: &str = "IDENTITY_HEADER";

pub(super) fn auth(
    name: &str,
    written: &document::Provider,
    vendor: &Vendor,
    checked: &Checked,
) -> Result<Auth, Problem> {
    let path = join("providers", name);
    if let Some(credentials) = &written.credentials {
        let at = join(&path, "credentials");
        return tokens(&at, credentials, &vendor.scheme, checked).map(|tokens| tokens.map_or(Auth::None, Auth::Tokens));
    }
    let secret = checked.secrets.get(&implied_key_path(name)).cloned();
    if vendor.scheme == Scheme::Aws {
        return aws::auth(&path, written, secret, checked);
    }
    Ok(match (secret, &vendor.scheme) {
        (None, _) => Auth::None,
        (Some(secret), Scheme::Header(header) | Scheme::Azure(header)) => {
            let name = HeaderName::from_bytes(header.as_bytes()).map_err(|error| refused(&path, error))?;
            Auth::Header { name, secret }
        }
        (Some(secret), _) => Auth::Bearer(secret),
    })
}

/// Where tokens come from; `None` where a reference leads nowhere, which a warning says.
fn tokens(at: &str, written: &Credentials, scheme: &Scheme, checked: &Checked) -> Result<Option<Tokens>, Problem> {
    let secret = |field: &str| checked.secrets.get(&join(at, field)).cloned();
    let unusable = |field: &str, why: String| {
        Problem::new(codes::BAD_CREDENTIALS, None, join(at, field), why).hint("look at what the reference leads to")
    };
    let scope = written.scope.clone();
    if let Scheme::Azure(header) = scheme {
        let usual = (header == "x-api-key").then(|| FOUNDRY_SCOPE.to_owned());
        let Some(identity) = azure(written, secret("client_secret"), checked) else { return Ok(None) };
        let tokens = Tokens::azure(identity, scope.or(usual), written.authority.as_deref());
        return tokens.map(Some).map_err(|error| unusable("managed_identity", error.to_string()));
    }
    if written.metadata_server {
        return Tokens::google_metadata(scope).map(Some).map_err(|error| refused(at, error));
    }
    for (field, made) in [
        ("service_account", Tokens::google_account as fn(&Secret, Option<String>) -> _),
        ("external_account", Tokens::google_external),
    ] {
        if let Some(file) = secret(field) {
            return made(&file, scope).map(Some).map_err(|error| unusable(field, error.to_string()));
        }
    }
    Ok(None)
}

fn azure(written: &Credentials, secret: Option<Secret>, checked: &Checked) -> Option<AzureIdentity> {
    let client = written.client_id.clone();
    if written.managed_identity {
        let service = checked.app_service.clone();
        return Some(match service {
            Some((endpoint, header)) => AzureIdentity::AppService { client, endpoint, header },
            None => AzureIdentity::Machine { client },
        });
    }
    let (tenant, client) = (written.tenant_id.clone()?, client?);
    match (&written.federated_token_file, secret) {
        (Some(file), _) => Some(AzureIdentity::Federated { tenant, client, file: file.into() }),
        (None, secret) => Some(AzureIdentity::Secret { tenant, client, secret: secret? }),
    }
}

/// Where an app service says that its identity is asked for, and what to show there.
pub(crate) fn app_service(variable: &dyn Fn(&str) -> Option<String>) -> Option<(String, Secret)> {
    let there = |name| variable(name).filter(|value| !value.is_empty());
    Some((there(IDENTITY_ENDPOINT)?, Secret::new(there(IDENTITY_HEADER)?)))
}
