//! Providers as users write them.

use std::collections::BTreeMap;

use super::{read::object, scalar::Amount};

/// Headers by name.
pub type Headers = BTreeMap<String, String>;

object! {
    /// A vendor, or a server that speaks a vendor's dialect.
    pub struct Provider("a provider") {
        required {}
        optional {
            /// The vendor whose dialect and habits it has; without it, the provider's own name is taken.
            #[schemars(example = &"openai")]
            pub r#type: Option<String>,
            /// The one wire format that it is asked in, of those that its type speaks. Without it callers of each are
            /// passed on in their own, and all others in the type's first.
            #[schemars(example = &"openai_responses")]
            pub dialect: Option<String>,
            /// The gateway's credential there, as a reference. Without it the vendor's usual variable is read, such as
            /// `OPENAI_API_KEY`, unless the provider has a `base_url` of its own.
            #[schemars(example = &"env:OPENAI_API_KEY")]
            pub key: Option<String>,
            /// Where it is; without it, the vendor's own address. A private or loopback address is reached only
            /// because it is named here.
            #[schemars(example = &"http://127.0.0.1:8080/v1")]
            pub base_url: Option<String>,
            /// The account there, where the address names one (Snowflake's account identifier, Cloudflare's account).
            #[schemars(example = &"myorg-myaccount")]
            pub account_id: Option<String>,
            /// The version of the API, where the address names one (classic Azure OpenAI).
            #[schemars(example = &"2024-10-21")]
            pub api_version: Option<String>,
            /// The host of the workspace, where the address names one (Databricks).
            #[schemars(example = &"dbc-a1b2c3d4-e5f6.cloud.databricks.com")]
            pub host: Option<String>,
            /// The project, where the address names one (Vertex AI).
            #[schemars(example = &"my-project")]
            pub project: Option<String>,
            /// The region or location, where the address names one (AWS, Vertex AI, Oracle).
            #[schemars(example = &"europe-west1")]
            pub region: Option<String>,
            /// The resource, where the address names one (Azure).
            #[schemars(example = &"my-resource")]
            pub resource: Option<String>,
            /// Where the gateway gets tokens from, in the place of a `key`: Microsoft Entra ID for Azure, Google Cloud
            /// for Vertex AI.
            #[schemars(example = serde_json::json!({ "managed_identity": true }))]
            pub credentials: Option<Credentials>,
            /// Keys of AWS that sign what is sent to Bedrock, in the place of a `key`. Without either the machine's own
            /// are used: AWS's usual variables, a profile, the container's or the instance's role.
            #[schemars(example = serde_json::json!({ "role": "arn:aws:iam::123456789012:role/models" }))]
            pub aws: Option<Aws>,
            /// Headers that are always sent to it: texts or references.
            #[schemars(example = serde_json::json!({ "openai-organization": "org-example" }))]
            pub headers: Headers,
            /// What a call of its own API is taken to cost where it may cost something (`POST /v1/images/generations`,
            /// `/v1/batches` and the like), since no answer says so. Without it such calls have no price, and keys
            /// with a hard budget are refused them.
            #[schemars(example = &"0.01 usd")]
            pub api_call: Option<Amount>,
        }
        later {
            "models": "remove it: every model of a provider can be named as `provider/model`",
        }
    }
}

object! {
    /// Keys of AWS: known ones, those of a profile, or a role that is assumed with one of them or with a web identity.
    #[derive(Default)]
    pub struct Aws("keys of AWS") {
        required {}
        optional {
            /// The access key's id, which is no secret.
            #[schemars(example = &"env:AWS_ACCESS_KEY_ID")]
            pub access_key_id: Option<String>,
            /// The secret access key, as a reference.
            #[schemars(example = &"env:AWS_SECRET_ACCESS_KEY")]
            pub secret_access_key: Option<String>,
            /// The session token of keys that expire, as a reference.
            #[schemars(example = &"env:AWS_SESSION_TOKEN")]
            pub session_token: Option<String>,
            /// A profile with keys in `~/.aws/credentials`, or in the file that `AWS_SHARED_CREDENTIALS_FILE` names.
            #[schemars(example = &"models")]
            pub profile: Option<String>,
            /// A role to assume with the keys, or with the web identity.
            #[schemars(example = &"arn:aws:iam::123456789012:role/models")]
            pub role: Option<String>,
            /// What the role's trust policy asks for.
            #[schemars(example = &"tidegate-production")]
            pub external_id: Option<String>,
            /// What the sessions are called in AWS's records; without it, `tidegate`.
            #[schemars(example = &"tidegate")]
            pub session_name: Option<String>,
            /// The file of a token that the role trusts (OIDC), read anew each time.
            #[schemars(example = &"/var/run/secrets/eks.amazonaws.com/serviceaccount/token")]
            pub web_identity_token_file: Option<String>,
        }
        later {}
    }
}

object! {
    /// Where tokens come from: one of an application's secret, a federated token, a managed identity, a service
    /// account, an external account, or the metadata server.
    pub struct Credentials("credentials") {
        required {}
        optional {
            /// The tenant of Microsoft Entra ID, by its id or domain.
            #[schemars(example = &"00000000-0000-0000-0000-000000000000")]
            pub tenant_id: Option<String>,
            /// The application in the tenant; of a managed identity, the one that was assigned by a user.
            #[schemars(example = &"00000000-0000-0000-0000-000000000000")]
            pub client_id: Option<String>,
            /// The application's secret, as a reference.
            #[schemars(example = &"env:AZURE_CLIENT_SECRET")]
            pub client_secret: Option<String>,
            /// The file of a token that the application is federated with (workload identity), read anew each time.
            #[schemars(example = &"/var/run/secrets/azure/tokens/azure-identity-token")]
            pub federated_token_file: Option<String>,
            /// Whether to ask for the identity of the machine or app service that the gateway runs on.
            #[schemars(example = true)]
            pub managed_identity: bool,
            /// The key file of a service account of Google Cloud (JSON), as a reference.
            #[schemars(example = &"file:/run/secrets/service-account.json")]
            pub service_account: Option<String>,
            /// A configuration of workload identity federation of Google Cloud (JSON), as a reference.
            #[schemars(example = &"file:/etc/tidegate/external-account.json")]
            pub external_account: Option<String>,
            /// Whether to ask Google Cloud's metadata server for the machine's own service account.
            #[schemars(example = true)]
            pub metadata_server: bool,
            /// Where Microsoft Entra ID hands out tokens, in clouds other than the public one.
            #[schemars(example = &"https://login.microsoftonline.us")]
            pub authority: Option<String>,
            /// What the tokens are for, where it is not the usual scope.
            #[schemars(example = &"https://cognitiveservices.azure.com/.default")]
            pub scope: Option<String>,
        }
        later {}
    }
}
