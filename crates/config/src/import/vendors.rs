//! What other gateways call the vendors, and how they write references to secrets.

use serde_json::{Map, Value};

use super::{Work, draft::variable};
use crate::reference::Reference;

/// Names that differ from ours, of all four.
const NAMES: [(&str, &str); 52] = [
    ("ai21_chat", "ai21"),
    ("anthropic_text", "anthropic"),
    ("azure", "azure-openai-classic"),
    ("azure-ai-inference", "azure-ai"),
    ("azureOpenAI", "azure-openai"),
    ("azure_ai", "azure-ai"),
    ("cloudflare", "workers-ai"),
    ("cohere_chat", "cohere"),
    ("cortex", "snowflake-cortex"),
    ("custom_openai", "openai"),
    ("featherless-ai", "featherless"),
    ("featherless_ai", "featherless"),
    ("fireworks-ai", "fireworks"),
    ("fireworks_ai", "fireworks"),
    ("friendliai", "friendli"),
    ("gemini", "google"),
    ("github", "github-models"),
    ("google-vertex-ai", "vertex-openai"),
    ("hosted_vllm", "vllm"),
    ("jina_ai", "jina"),
    ("lambda_ai", "lambda"),
    ("llamafile", "llama-cpp"),
    ("lm_studio", "lm-studio"),
    ("meta_llama", "meta-llama"),
    ("mistral-ai", "mistral"),
    ("novita-ai", "novita"),
    ("nvidia_nim", "nvidia-nim"),
    ("oci", "oracle"),
    ("ollama_chat", "ollama"),
    ("openAI", "openai"),
    ("openai_like", "openai"),
    ("parasail", "parasail"),
    ("perplexity-ai", "perplexity"),
    ("sgl", "sglang"),
    ("sglang", "sglang"),
    ("snowflake", "snowflake-cortex"),
    ("text-completion-openai", "openai"),
    ("together-ai", "together"),
    ("together_ai", "together"),
    ("veniceai", "venice"),
    ("vercel_ai_gateway", "vercel"),
    ("vertex", "vertex-openai"),
    ("vertexAI", "vertex-openai"),
    ("vertex_ai", "vertex-openai"),
    ("vllm", "vllm"),
    ("watsonx", "watsonx"),
    ("x-ai", "xai"),
    ("z-ai", "zai"),
    ("zhipu", "zhipu"),
    ("zai", "zai"),
    ("aiohttp_openai", "openai"),
    ("litellm_proxy", "openai"),
];

impl Work<'_> {
    /// Our name of a vendor, if it is known here.
    pub(super) fn vendor(&self, name: &str, model: &str) -> Option<String> {
        let ours = NAMES.iter().find(|(known, _)| *known == name).map_or(name, |(_, ours)| *ours);
        // On Vertex, Claude and Gemini are reached on paths of their own, in their own dialects.
        let ours = match ours {
            "vertex-openai" if model.starts_with("claude") => "vertex-anthropic",
            "vertex-openai" if model.starts_with("gemini") => "vertex",
            ours => ours,
        };
        self.vendors.get(ours).map(|vendor| vendor.name.clone())
    }

    /// The reference for a secret of the source: what it refers to, or a variable that has to be set. Tells of it.
    pub(super) fn secret(&mut self, path: &str, to: &str, written: &Value, usual: &str) -> Option<Value> {
        let Some(text) = written.as_str() else {
            if let Some(file) = written.get("file").and_then(Value::as_str) {
                self.report.exact(path, to);
                return Some(Value::from(format!("file:{file}")));
            }
            self.report.lost(path, "no text and no file: write the reference by hand");
            return None;
        };
        let named = ["os.environ/", "env.", "$", "env:"].iter().find_map(|sign| text.strip_prefix(sign));
        let named = named.map(|name| name.trim_start_matches('{').trim_end_matches('}'));
        let reference = named.map(|name| format!("env:{name}")).filter(|text| Reference::parse(text).is_ok());
        if let Some(reference) = reference {
            self.report.exact(path, to);
            return Some(Value::from(reference));
        }
        let name = variable(usual);
        let why = format!(
            "a secret stood in the file: set {name} to it, and replace it at its vendor if the file was shared"
        );
        self.report.near(path, to, why);
        Some(Value::from(format!("env:{name}")))
    }

    /// The usual variable of a vendor's key.
    pub(super) fn usual_variable(&self, vendor: &str) -> String {
        let known = self.vendors.get(vendor).and_then(|vendor| vendor.env.first().cloned());
        known.unwrap_or_else(|| format!("{}_API_KEY", variable(vendor)))
    }

    /// Adds the settings that an address needs and nobody gave, as references to variables that have to be set.
    pub(super) fn complete(&mut self, path: &str, vendor: &str, fields: &mut Map<String, Value>) {
        if fields.contains_key("base_url") {
            return;
        }
        let Some(known) = self.vendors.get(vendor) else { return };
        for variable in &known.variables {
            if fields.contains_key(&variable.name) || variable.default.is_some() {
                continue;
            }
            let name = variable.env.first().cloned();
            let name = name.unwrap_or_else(|| super::draft::variable(&format!("{vendor}_{}", variable.name)));
            let why = format!("the address needs `{}`, which stands nowhere in the source: set {name}", variable.name);
            self.report.near(path, format!("{vendor}.{}", variable.name), why);
            fields.insert(variable.name.clone(), Value::from(format!("env:{name}")));
        }
        if known.scheme == crate::vendor::Scheme::Google
            && !fields.contains_key("key")
            && !fields.contains_key("credentials")
        {
            let why = "its tokens come from the machine's own service account, as Google's libraries do where nothing is said";
            self.report.near(path, format!("{vendor}.credentials"), why);
            fields.insert("credentials".to_owned(), serde_json::json!({ "metadata_server": true }));
        }
    }
}
