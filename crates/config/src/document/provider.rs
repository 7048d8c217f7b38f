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
            "region": "remove it: providers with regions come with a later version",
            "credentials": "use `key` with a reference",
            "api_version": "remove it: it comes with the Azure dialect in a later version",
            "models": "remove it: every model of a provider can be named as `provider/model`",
        }
    }
}
