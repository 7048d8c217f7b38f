use jiff::civil::date;
use proptest::prelude::*;

use super::{accept::Accepted, diff::Change, *};

const LITELLM: &str = r#"{
    "sample_spec": { "litellm_provider": "one of many", "input_cost_per_token": 0.0, "max_tokens": "a text" },
    "gpt-5.2": {
        "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 272000, "max_output_tokens": 128000,
        "input_cost_per_token": 1.75e-06, "output_cost_per_token": 1.4e-05, "cache_read_input_token_cost": 1.75e-07,
        "input_cost_per_token_priority": 3.5e-06, "input_cost_per_token_batches": 8.75e-07,
        "search_context_cost_per_query": { "search_context_size_low": 0.01 }
    },
    "gemini/gemini-2.5-pro": {
        "litellm_provider": "gemini", "mode": "chat", "max_input_tokens": 1048576, "max_output_tokens": 65536,
        "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-07,
        "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "cache_read_input_token_cost_above_200k_tokens": null
    },
    "claude-sonnet-4-5": {
        "litellm_provider": "anthropic", "mode": "chat", "max_input_tokens": 200000, "max_output_tokens": 64000,
        "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
        "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06
    },
    "deepseek-chat": {
        "litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 2.8e-07,
        "output_cost_per_token": 4.2e-07, "cache_creation_input_token_cost": 0.0
    },
    "deepseek/deepseek-chat": {
        "litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 0.00000028,
        "output_cost_per_token": 4.2E-7
    },
    "text-embedding-3-small": {
        "litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08, "output_cost_per_token": 0.0
    },
    "ollama/llama3": {
        "litellm_provider": "ollama", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0
    },
    "xai/grok-4": {
        "litellm_provider": "xai", "mode": "chat",
        "tiered_pricing": [
            { "range": [0, 128000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05 },
            { "range": [128000.0, 256000.0], "input_cost_per_token": 6e-06, "output_cost_per_token": 3e-05 }
        ]
    },
    "openai/container": { "litellm_provider": "openai", "mode": "chat", "code_interpreter_cost_per_session": 0.03 },
    "dall-e-3": { "litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04 },
    "azure/gpt-5.2": { "litellm_provider": "azure", "mode": "chat", "input_cost_per_token": 1e-06 }
}"#;

const GENAI: &str = r#"[
  { "id": "anthropic", "name": "Anthropic", "api_pattern": "https://api\\.anthropic\\.com", "models": [
    { "id": "claude-sonnet-4-5", "match": { "or": [ { "starts_with": "claude-sonnet-4-5" }, { "equals": "claude-sonnet-4.5" } ] },
      "context_window": 1000000,
      "prices": {
        "input_mtok": { "base": 3, "tiers": [ { "start": 200000, "price": 6 } ] },
        "output_mtok": { "base": 15, "tiers": [ { "start": 200000, "price": 22.5 } ] },
        "cache_read_mtok": 0.3, "cache_write_mtok": 3.75, "input_audio_mtok": 9 } },
    { "id": "claude-next", "match": { "equals": "claude-next" },
      "prices": [
        { "prices": { "input_mtok": 2, "output_mtok": 10 } },
        { "constraint": { "start_date": "2026-03-13" }, "prices": { "input_mtok": 3, "output_mtok": 12 } },
        { "constraint": { "start_date": "2026-09-01" }, "prices": { "input_mtok": 4, "output_mtok": 15 } } ] } ] },
  { "id": "deepseek", "name": "DeepSeek", "api_pattern": "x", "models": [
    { "id": "deepseek-chat", "match": { "equals": "deepseek-chat" },
      "prices": [
        { "prices": { "input_mtok": 0.27, "cache_read_mtok": 0.07, "output_mtok": 1.1 } },
        { "constraint": { "start_time": "16:30:00Z", "end_time": "00:30:00Z" },
          "prices": { "input_mtok": 0.135, "cache_read_mtok": 0.035, "output_mtok": 0.55 } } ] } ] },
  { "id": "openai", "name": "OpenAI", "api_pattern": "x", "models": [
    { "id": "text-embedding-3-small", "match": { "equals": "text-embedding-3-small" }, "prices": { "input_mtok": 0.02 } },
    { "id": "gpt-free", "match": { "equals": "gpt-free" }, "prices": {} } ] },
  { "id": "huggingface_groq", "name": "H", "api_pattern": "x", "models": [ { "id": "a" }, { "id": "b" } ] }
]"#;

fn day() -> Date {
    date(2026, 6, 1)
}

fn litellm(text: &str) -> Reading {
    super::read(text, Foreign::LiteLlm, day(), &[]).unwrap()
}

fn genai(text: &str) -> Reading {
    super::read(text, Foreign::GenaiPrices, day(), &[]).unwrap()
}

/// The catalogue that a list becomes, read back from the file that is written of it.
fn catalog(reading: &Reading) -> Catalog {
    let text = write::file(&reading.models, "https://prices.example", day());
    Catalog::from_json(&[("imported.json", &text)]).unwrap()
}

fn rates(catalog: &Catalog, provider: &str, model: &str) -> [String; 5] {
    let rates = catalog.exact(provider, model).unwrap_or_else(|| panic!("{provider}/{model}")).price.rates;
    let all = rates.classes().map(|(_, amount)| tidegate_core::money::NanoUsd(amount.0).to_usd());
    all[..5].to_vec().try_into().unwrap()
}

#[test]
fn litellms_list_becomes_a_file_of_the_catalogue() {
    let reading = litellm(LITELLM);
    assert_eq!(reading.findings, []);
    let catalog = catalog(&reading);
    let ids: Vec<String> = reading.models.iter().map(Draft::id).collect();
    assert_eq!(
        ids,
        [
            "anthropic/claude-sonnet-4-5",
            "deepseek/deepseek-chat",
            "google/gemini-2.5-pro",
            "ollama/llama3",
            "openai/gpt-5.2",
            "openai/text-embedding-3-small",
            "xai/grok-4"
        ]
    );
    assert_eq!(rates(&catalog, "openai", "gpt-5.2"), ["1.75", "14", "0.175", "1.75", "1.75"]);
    assert_eq!(rates(&catalog, "anthropic", "claude-sonnet-4-5"), ["3", "15", "0.3", "3.75", "6"]);
    // Zero for a cache is a gap, and a gap costs what the prompt does; an embedding has no answer to pay for.
    assert_eq!(rates(&catalog, "deepseek", "deepseek-chat"), ["0.28", "0.42", "0.28", "0.28", "0.28"]);
    assert_eq!(rates(&catalog, "openai", "text-embedding-3-small"), ["0.02", "0.02", "0.02", "0.02", "0.02"]);
    assert_eq!(rates(&catalog, "ollama", "llama3"), ["0", "0", "0", "0", "0"]);
    let tiers = |provider: &str, model: &str| {
        let tiers = &catalog.exact(provider, model).unwrap().price.tiers;
        tiers.iter().map(|tier| (tier.above, tier.rates.input.0, tier.rates.cache_read.0)).collect::<Vec<_>>()
    };
    // What a tier does not say is as before it.
    assert_eq!(tiers("google", "gemini-2.5-pro"), [(200_000, 2_500_000_000, 125_000_000)]);
    assert_eq!(tiers("xai", "grok-4"), [(128_000, 6_000_000_000, 6_000_000_000)]);
    assert_eq!(catalog.exact("openai", "gpt-5.2").unwrap().max_input, Some(272_000));
    assert_eq!(reading.left_out.unpriced, 1, "a container has no price by tokens");
    assert_eq!(reading.left_out.kinds, 1, "an image is not paid by tokens");
    assert_eq!(reading.left_out.providers, BTreeMap::from([("azure".to_owned(), 1)]));
}

#[test]
fn genai_prices_list_becomes_a_file_of_the_catalogue() {
    let reading = genai(GENAI);
    assert_eq!(reading.findings, []);
    let catalog = catalog(&reading);
    assert_eq!(rates(&catalog, "anthropic", "claude-sonnet-4-5"), ["3", "15", "0.3", "3.75", "3.75"]);
    assert_eq!(rates(&catalog, "anthropic", "claude-sonnet-4.5"), ["3", "15", "0.3", "3.75", "3.75"], "an exact alias");
    let tiers = &catalog.exact("anthropic", "claude-sonnet-4-5").unwrap().price.tiers;
    assert_eq!(
        tiers.iter().map(|tier| (tier.above, tier.rates.output.0)).collect::<Vec<_>>(),
        [(200_000, 22_500_000_000)]
    );
    // Of prices by day, the one that holds; of prices by hour, the dearest.
    assert_eq!(rates(&catalog, "anthropic", "claude-next").get(..2).unwrap(), ["3", "12"]);
    assert_eq!(rates(&catalog, "deepseek", "deepseek-chat").get(..3).unwrap(), ["0.27", "1.1", "0.07"]);
    assert_eq!(rates(&catalog, "openai", "text-embedding-3-small").get(..2).unwrap(), ["0.02", "0.02"]);
    assert!(catalog.exact("openai", "gpt-free").is_none(), "without a price, nothing is free");
    assert_eq!(reading.left_out.unpriced, 1);
    assert_eq!(reading.left_out.providers, BTreeMap::from([("huggingface_groq".to_owned(), 2)]));
    let later = super::read(GENAI, Foreign::GenaiPrices, date(2026, 9, 1), &[]).unwrap();
    assert_eq!(rates(&self::catalog(&later), "anthropic", "claude-next").get(..2).unwrap(), ["4", "15"]);
}

#[test]
fn only_the_providers_that_are_asked_for_are_taken() {
    let reading = super::read(LITELLM, Foreign::LiteLlm, day(), &["xai".to_owned(), "google".to_owned()]).unwrap();
    let ids: Vec<String> = reading.models.iter().map(Draft::id).collect();
    assert_eq!(ids, ["google/gemini-2.5-pro", "xai/grok-4"]);
}

/// The findings of one LiteLLM model, as kind, line and words.
fn findings(members: &str) -> Vec<(Kind, usize, String)> {
    let text = format!("{{\n\"m\": {{ \"litellm_provider\": \"openai\", \"mode\": \"chat\",\n{members}\n}}\n}}");
    let mut reading = litellm(&text);
    compare(&mut reading, &Catalog::default(), None);
    reading.findings.retain(|finding| finding.kind != Kind::Few);
    reading.findings.into_iter().map(|finding| (finding.kind, finding.line, finding.message)).collect()
}

#[test]
fn every_implausible_price_is_named_with_its_line() {
    let input = r#""input_cost_per_token": "#;
    let output = r#""output_cost_per_token": "#;
    for (members, kind, words) in [
        (format!("{input}-1e-6, {output}1e-6"), Kind::Negative, "`-1e-6` is below zero"),
        (format!("{input}\"1e-6\", {output}1e-6"), Kind::NotANumber, "is no number"),
        (format!("{input}\"NaN\", {output}1e-6"), Kind::NotANumber, "`\"NaN\"` is no number"),
        (format!("{input}[1], {output}1e-6"), Kind::NotANumber, "is no number"),
        // Dollars for a million tokens where dollars for one are meant, and the other way around.
        (format!("{input}1.75, {output}14"), Kind::Unit, "input is 1750000 usd/mtok"),
        (format!("{input}1e-12, {output}1e-12"), Kind::Unit, "input is 0.000001 usd/mtok"),
        (format!("{input}1e30, {output}1e-6"), Kind::Unit, "more than any price"),
        (format!("{input}1e-30, {output}1e-6"), Kind::Unit, "less than any price"),
        (format!("{input}1e-6, {output}0.002"), Kind::OutOfRange, "output is 2000 usd/mtok"),
        (format!("{input}5e-10, {output}1e-6"), Kind::OutOfRange, "input is 0.0005 usd/mtok"),
        (format!("{input}0, {output}0.0"), Kind::Zero, "input and output cost nothing"),
        (format!("{input}1e-6, {output}0"), Kind::Zero, "output cost nothing"),
        (
            format!("{input}1e-6, {output}2e-6, \"cache_read_input_token_cost\": 1.5e-6"),
            Kind::CacheAboveInput,
            "cache_read is 1.5 usd/mtok, and input 1 usd/mtok",
        ),
        (format!("{output}1e-6"), Kind::Incomplete, "the prompt has no price"),
        (format!("{input}1e-6"), Kind::Incomplete, "the answer has no price"),
        (format!("{input}1e-6, {input}2e-6, {output}2e-6"), Kind::Duplicate, "`input_cost_per_token` stands twice"),
        (format!("{input}1e-6, {output}1e-6, \"tiered_pricing\": 5"), Kind::Tiers, "`tiered_pricing` cannot be read"),
        (format!("{input}1e-6, {output}1e-6, \"tiered_pricing\": [{{}}]"), Kind::Tiers, "cannot be read"),
    ] {
        let found = findings(&members);
        assert!(
            found
                .iter()
                .any(|(found, line, message)| *found == kind && (2..=3).contains(line) && message.contains(words)),
            "{members}: {found:?}"
        );
    }
    assert_eq!(findings(&format!("{input}1e-6, {output}2e-6")), []);
}

#[test]
fn an_amount_is_named_at_its_own_line() {
    let found = findings("\"input_cost_per_token\": 1e-6,\n\n\"output_cost_per_token\": -1");
    assert_eq!(found.iter().map(|(kind, line, _)| (*kind, *line)).collect::<Vec<_>>(), [(Kind::Negative, 5)]);
}

#[test]
fn a_model_that_stands_twice_is_not_taken_by_chance() {
    let model = |input: &str| {
        format!(
            r#"{{"litellm_provider":"xai","mode":"chat","input_cost_per_token":{input},"output_cost_per_token":1e-5}}"#
        )
    };
    let twice = litellm(&format!("{{\"grok\":{},\n\"grok\":{}}}", model("1e-6"), model("1e-6")));
    assert!(twice.models.is_empty());
    assert_eq!(
        twice.findings.iter().map(|finding| (finding.kind, finding.line)).collect::<Vec<_>>(),
        [(Kind::Duplicate, 1), (Kind::Duplicate, 2)]
    );
    let conflict = litellm(&format!("{{\"grok\":{},\n\"xai/grok\":{}}}", model("1e-6"), model("2e-6")));
    assert!(conflict.models.is_empty());
    assert_eq!(conflict.findings.first().map(|finding| (finding.kind, finding.line)), Some((Kind::Conflict, 2)));
    let name = litellm(&format!("{{\"a b\":{}}}", model("1e-6")));
    assert_eq!(name.findings.first().map(|finding| finding.kind), Some(Kind::Name));
    let genai = genai(&GENAI.replace("claude-next", "claude-sonnet-4-5"));
    assert!(genai.findings.iter().any(|finding| finding.kind == Kind::Duplicate), "{:?}", genai.findings);
    assert!(genai.models.iter().all(|draft| draft.model != "claude-sonnet-4-5"));
}

#[test]
fn a_list_that_is_broken_says_where() {
    for (text, foreign, line, words) in [
        ("{\n\"a\": NaN\n}", Foreign::LiteLlm, 2, "not-a-number: `NaN`"),
        ("{\"a\": {\"b\":\n -Infinity}}", Foreign::LiteLlm, 2, "not-a-number: `-Infinity`"),
        ("[{\"id\": \"openai\",\n\"models\": [}]", Foreign::GenaiPrices, 2, "no price list in JSON"),
        ("{\"a\": 1", Foreign::LiteLlm, 1, "EOF"),
        ("[]", Foreign::LiteLlm, 1, "an object"),
        ("{}", Foreign::GenaiPrices, 1, "a list"),
        ("[\n5]", Foreign::GenaiPrices, 2, "a provider has to be an object"),
        ("{\"format\": \"catalog.v1\"}", Foreign::LiteLlm, 1, "needs no import"),
    ] {
        match super::read(text, foreign, day(), &[]).unwrap_err() {
            ImportError::Form { line: at, problem } => {
                assert!(at == line && problem.contains(words), "{text}: {at} {problem}");
            }
            other => panic!("{text}: {other}"),
        }
    }
    let large = " ".repeat(MOST_BYTES + 1);
    assert_eq!(super::read(&large, Foreign::LiteLlm, day(), &[]), Err(ImportError::TooLarge));
}

#[test]
fn depth_costs_nothing() {
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(litellm(&deep).left_out.unpriced, 1);
}

#[test]
fn a_price_that_jumps_and_models_that_vanish_are_found() {
    let present = catalog(&litellm(LITELLM));
    let mut same = litellm(LITELLM);
    compare(&mut same, &present, Some(&present));
    assert_eq!(same.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [Kind::Few]);
    // What a list does not say of a model's lengths stays known.
    let mut short = litellm(&LITELLM.replace("\"max_output_tokens\": 128000", "\"max_tokens\": 1"));
    compare(&mut short, &present, None);
    let lengths =
        short.models.iter().find(|draft| draft.model == "gpt-5.2").map(|draft| (draft.max_input, draft.max_output));
    assert_eq!(lengths, Some((Some(272_000), Some(128_000))));

    let text =
        LITELLM.replace("1.75e-06", "9e-06").replace("\"xai\"", "\"xai-gone\"").replace("\"ollama\"", "\"gone\"");
    let mut next = litellm(&text);
    compare(&mut next, &present, Some(&present));
    let found = |kind: Kind| -> Vec<(String, String)> {
        let of_kind = next.findings.iter().filter(|finding| finding.kind == kind);
        of_kind.map(|finding| (finding.model.clone(), finding.message.clone())).collect()
    };
    assert_eq!(found(Kind::Moved).len(), 1);
    assert_eq!(found(Kind::Moved)[0].0, "openai/gpt-5.2");
    assert!(found(Kind::Moved)[0].1.contains("input moves from 1.75 usd/mtok to 9 usd/mtok"));
    let gone: Vec<String> = found(Kind::Vanished).into_iter().map(|(model, _)| model).collect();
    assert_eq!(gone, ["ollama/llama3", "xai/grok-4"]);
    assert!(found(Kind::Shrunk)[0].1.contains("5 models, and the file has 7"));

    let words = |words: &[&str]| Accepted::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let left = |accepted: &[&str]| {
        words(accepted).unwrap().refused(&next).into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(left(&["few", "shrunk", "vanished", "moved=openai/gpt-5.2"]), []);
    assert_eq!(left(&["few", "shrunk", "vanished=xai/grok-4", "moved=openai/gpt-5"]), [Kind::Vanished, Kind::Moved]);
    assert!(words(&["everything"]).unwrap_err().to_string().contains("cache-above-input"));
}

#[test]
fn what_would_change_is_told_by_model_and_field() {
    let before = catalog(&litellm(LITELLM));
    let text = LITELLM.replace("1.4e-05", "1.6e-05").replace("\"xai/grok-4\"", "\"xai/grok-5\"");
    let changes = diff::diff(&before, &catalog(&litellm(&text)));
    let told: Vec<(&str, Change)> = changes.iter().map(|change| (change.model.as_str(), change.change)).collect();
    assert_eq!(
        told,
        [("openai/gpt-5.2", Change::Changed), ("xai/grok-4", Change::Removed), ("xai/grok-5", Change::Added)]
    );
    let json = serde_json::to_value(&changes[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"model": "openai/gpt-5.2", "change": "changed", "fields": {
            "output": {"before": "14", "after": "16"},
            // What a level of service has no price for is as usual.
            "output batch": {"before": "14", "after": "16"},
            "output priority": {"before": "14", "after": "16"}}})
    );
    assert_eq!(diff::diff(&before, &before), []);
}

#[test]
fn findings_have_a_bound() {
    let model = r#"{"litellm_provider":"openai","mode":"chat","input_cost_per_token":-1}"#;
    let many: Vec<String> = (0..MOST_FINDINGS + 500).map(|at| format!("\"m{at}\":{model}")).collect();
    let reading = litellm(&format!("{{{}}}", many.join(",")));
    assert_eq!((reading.findings.len(), reading.more_findings), (MOST_FINDINGS, 500));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is done to a list, it is read or refused, and what is taken of it is a file that the catalogue reads.
    #[test]
    fn a_damaged_list_is_refused_or_read(
        genai_form in any::<bool>(),
        cut in 0_usize..4_000,
        put in "[\\[\\]{}\",:0-9eE.NnaA-]{0,12}",
        drop in 0_usize..40,
    ) {
        let (text, foreign) = if genai_form { (GENAI, Foreign::GenaiPrices) } else { (LITELLM, Foreign::LiteLlm) };
        let at = cut.min(text.len());
        let rest = text.get(at.saturating_add(drop).min(text.len())..).unwrap();
        let damaged = format!("{}{put}{rest}", text.get(..at).unwrap());
        if let Ok(mut reading) = super::read(&damaged, foreign, day(), &[]) {
            compare(&mut reading, &Catalog::default(), None);
            if !reading.models.is_empty() {
                let text = write::file(&reading.models, "x", day());
                let read = Catalog::from_json(&[("x", &text)]).unwrap();
                prop_assert_eq!(read.len(), reading.models.len());
                for draft in &reading.models {
                    prop_assert_eq!(read.exact(&draft.provider, &draft.model).unwrap().price.rates, draft.rates.filled());
                }
            }
        }
    }
}
