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
            /// The gateway's credential there, as a reference. Without it the vendor's usual variable is read, such as
            /// `OPENAI_API_KEY`, unless the provider has a `base_url` of its own.
            #[schemars(example = &"env:OPENAI_API_KEY")]
            pub key: Option<String>,
            /// Where it is; without it, the vendor's own address. A private or loopback address is reached only
            /// because it is named here.
            #[schemars(example = &"http://127.0.0.1:8080/v1")]
            pub base_url: Option<String>,
            /// The region, where the address names one (AWS). Without it `AWS_REGION` is read, then
            /// `AWS_DEFAULT_REGION`; Bedrock's is `us-east-1` where nobody says.
            #[schemars(example = &"eu-west-1")]
            pub region: Option<String>,
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
            "credentials": "use `key` with a reference",
            "api_version": "remove it: it comes with the Azure dialect in a later version",
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
