//! What users say of a model itself: what its tokens cost, and what it takes and gives beside text.

use super::super::{read::object, scalar::TokenPrice};

object! {
    /// What tokens cost.
    pub struct Price("a price") {
        required {
            /// Prompt tokens.
            #[schemars(example = &"0.15 usd/mtok")]
            pub input: TokenPrice = "0.15 usd/mtok",
            /// Generated tokens.
            #[schemars(example = &"0.60 usd/mtok")]
            pub output: TokenPrice = "0.60 usd/mtok",
        }
        optional {
            /// Prompt tokens read from the vendor's cache; without it, as `input`.
            #[schemars(example = &"0.075 usd/mtok")]
            pub cache_read: Option<TokenPrice>,
            /// Prompt tokens written to the vendor's cache for five minutes; without it, as `input`.
            #[schemars(example = &"0.1875 usd/mtok")]
            pub cache_write_5m: Option<TokenPrice>,
            /// Prompt tokens written to the vendor's cache for an hour; without it, as for five minutes.
            #[schemars(example = &"0.30 usd/mtok")]
            pub cache_write_1h: Option<TokenPrice>,
        }
        later {}
    }
}

object! {
    /// What a model takes and gives beside text. What is not said here is what the catalogue says; a call that needs what
    /// a model has not is not sent there.
    pub struct Capabilities("capabilities") {
        required {}
        optional {
            /// It looks at images.
            #[schemars(example = true)]
            pub vision: Option<bool>,
            /// It listens to sounds.
            #[schemars(example = false)]
            pub audio: Option<bool>,
            /// It reads documents such as PDF.
            #[schemars(example = true)]
            pub documents: Option<bool>,
            /// It calls tools.
            #[schemars(example = true)]
            pub tools: Option<bool>,
            /// It answers in JSON of a given schema.
            #[schemars(example = true)]
            pub structured_output: Option<bool>,
            /// It can be told to reason, and how much.
            #[schemars(example = false)]
            pub reasoning: Option<bool>,
        }
        later {}
    }
}
