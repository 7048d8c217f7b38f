//! What users say of a model itself: what calls to it cost, and what it takes and gives beside text.

use std::collections::BTreeMap;

use super::super::{
    read::object,
    scalar::{TokenPrice, UnitPrice},
};

object! {
    /// What calls cost: tokens, or what else the vendor charges by, or both.
    pub struct Price("a price") {
        required {}
        optional {
            /// Prompt tokens. `input` and `output` stand together, and are left out where the vendor charges by other
            /// units alone.
            #[schemars(example = &"0.15 usd/mtok")]
            pub input: Option<TokenPrice>,
            /// Generated tokens.
            #[schemars(example = &"0.60 usd/mtok")]
            pub output: Option<TokenPrice>,
            /// Prompt tokens read from the vendor's cache; without it, as `input`.
            #[schemars(example = &"0.075 usd/mtok")]
            pub cache_read: Option<TokenPrice>,
            /// Prompt tokens written to the vendor's cache for five minutes; without it, as `input`.
            #[schemars(example = &"0.1875 usd/mtok")]
            pub cache_write_5m: Option<TokenPrice>,
            /// Prompt tokens written to the vendor's cache for an hour; without it, as for five minutes.
            #[schemars(example = &"0.30 usd/mtok")]
            pub cache_write_1h: Option<TokenPrice>,
            /// What is charged beside tokens, by unit: `image`, `audio` (`usd/minute`, `usd/hour`), `character`
            /// (`usd/mchar`), `search_unit` (of a rerank, `usd/ksearch`), `page` and `annotated_page` (of a document),
            /// `request` (each call), and the fees for a vendor's tools, `web_search`, `web_search_preview`,
            /// `grounded_prompt`, `file_search` (`usd/kcall`) and `code_session` (`usd/session`). A `k` is a thousand,
            /// an `m` a million. Fees that are not stated are the catalogue's.
            #[schemars(example = serde_json::json!({ "image": "0.04 usd/image", "web_search": "10 usd/kcall" }))]
            pub units: BTreeMap<String, UnitPrice>,
            /// Other prices of pictures by size and quality, the sort first that the vendor makes where a call names none.
            #[schemars(example = serde_json::json!([{ "size": "1024x1024", "quality": "hd", "price": "0.08 usd/image" }]))]
            pub pictures: Vec<PicturePrice>,
        }
        later {}
    }
}

object! {
    /// What pictures of one sort cost.
    pub struct PicturePrice("the price of a sort of pictures") {
        required {
            /// What one costs.
            #[schemars(example = &"0.08 usd/image")]
            pub price: UnitPrice = "0.08 usd/image",
        }
        optional {
            /// Their size as calls name it; without it, any.
            #[schemars(example = &"1024x1024")]
            pub size: Option<String>,
            /// Their quality as calls name it; without it, any.
            #[schemars(example = &"hd")]
            pub quality: Option<String>,
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
