use tidegate_core::money::PerMillion;

use super::*;

fn file(models: &str) -> String {
    format!(r#"{{"format":"catalog.v1","source":"https://prices.example","date":"2026-03-21","models":[{models}]}}"#)
}

fn load(models: &str) -> Result<Catalog, CatalogError> {
    Catalog::from_json(&[("test.json", &file(models))])
}

fn many(count: usize, input: u64) -> Catalog {
    let models: Vec<String> =
        (0..count).map(|n| format!(r#"{{"provider":"p","model":"m{n}","input":"{input}","output":"1"}}"#)).collect();
    load(&models.join(",")).unwrap()
}

#[test]
fn the_shipped_catalogue_loads_and_every_price_has_source_and_date() {
    let catalog = Catalog::builtin().unwrap();
    assert!(catalog.len() >= 60, "{}", catalog.len());
    for info in catalog.models() {
        let rates = info.price.rates;
        assert!(!info.price.source.is_empty() && info.price.date.is_some());
        assert!(rates.cache_read <= rates.input, "{}/{}", info.provider, info.model);
        assert!(rates.cache_write_1h >= rates.cache_write_5m, "{}/{}", info.provider, info.model);
        assert!(rates.output >= rates.input, "{}/{}", info.provider, info.model);
    }
    for (provider, model) in [
        ("openai", "gpt-5.2"),
        ("anthropic", "claude-sonnet-4-6"),
        ("google", "gemini-2.5-pro"),
        ("sim", "chat"),
        ("sim", "leaky"),
    ] {
        assert!(catalog.lookup(provider, model).is_some(), "{provider}/{model}");
    }
}

#[test]
fn a_dated_name_has_the_price_of_its_model_and_the_exact_name_wins() {
    let catalog = Catalog::builtin().unwrap();
    let found = |provider: &str, model: &str| catalog.lookup(provider, model).map(|info| info.model.to_string());
    assert_eq!(found("anthropic", "claude-sonnet-4-6-20260101").as_deref(), Some("claude-sonnet-4-6"));
    assert_eq!(found("anthropic", "claude-sonnet-4-6@20260101").as_deref(), Some("claude-sonnet-4-6"));
    assert_eq!(found("openai", "gpt-5.2-2025-12-11").as_deref(), Some("gpt-5.2"));
    assert_eq!(found("openai", "gpt-4o-2024-05-13").as_deref(), Some("gpt-4o-2024-05-13"));
    assert_eq!(found("openai", "gpt-4o-2024-08-06").as_deref(), Some("gpt-4o"));
    for (provider, model) in [
        ("anthropic", "claude-sonnet-4-6-20261341"),
        ("anthropic", "claude-sonnet-4-6-2026-01"),
        ("anthropic", "claude-sonnet-4-620260101"),
        ("anthropic", "claude-sonnet-4-6-preview"),
        ("anthropic", "Claude-Sonnet-4-6"),
        ("anthropic", "-20260101"),
        ("anthropic", "20260101"),
        ("anthropic", ""),
        ("anthropic", "gpt-5.2"),
        ("anthropic", "ü2026010é"),
        ("nobody", "gpt-5.2"),
    ] {
        assert_eq!(found(provider, model), None, "{provider}/{model}");
    }
}

#[test]
fn what_is_missing_costs_what_the_prompt_does_and_is_never_free() {
    let catalog = load(
        r#"{"provider":"p","model":"a","input":"2","output":"3"},
           {"provider":"p","model":"b","input":"2","output":"3","cache_read":"1","cache_write_5m":"4"},
           {"provider":"p","model":"c","input":"0","output":"0","free":true}"#,
    )
    .unwrap();
    let rates = |model: &str| catalog.lookup("p", model).unwrap().price.rates;
    let usd = |amount: u64| PerMillion(amount * 1_000_000_000);
    assert_eq!(rates("a"), Rates::uniform(usd(2), usd(3)));
    assert_eq!((rates("b").cache_read, rates("b").cache_write_5m, rates("b").cache_write_1h), (usd(1), usd(4), usd(4)));
    assert_eq!(rates("c"), Rates::uniform(usd(0), usd(0)));
}

#[test]
fn a_wrong_file_is_refused_whole() {
    let model = |rest: &str| format!(r#"{{"provider":"p","model":"m",{rest}}}"#);
    let tier = r#"{"above":5,"input":"1","output":"1"}"#;
    let cases = [
        (String::new(), "no models"),
        (model(r#""input":"1""#), "output is missing"),
        (model(r#""output":"1","units":{"image":"0.04 usd/image"}"#), "input is missing"),
        (model(r#""units":{"image":"0.04 usd/page"}"#), "image: `0.04 usd/page` is no price"),
        (model(r#""units":{"image":"0 usd/image"}"#), "image is zero"),
        (model(r#""units":{"picture":"0.04 usd/image"}"#), "unit `picture`: write one of image"),
        (model(r#""pictures":[{"size":"1024 x 1024","price":"0.04 usd/image"}]"#), "no size and no quality"),
        (model(r#""max_input":5"#), "input is missing"),
        (model(r#""input":1,"output":"1""#), "invalid type"),
        (model(r#""input":"1","output":"1","ouput":"2""#), "unknown field `ouput`"),
        (model(r#""input":"1","input":"2","output":"1""#), "duplicate field `input`"),
        (model(r#""input":"0","output":"1""#), "input is zero"),
        (model(r#""input":"1","output":"0.0""#), "output is zero"),
        (model(r#""input":"1","output":"1","cache_read":"0""#), "cache_read is zero"),
        (model(r#""input":"-1","output":"1""#), "no amount of dollars"),
        (model(r#""input":"1e3","output":"1""#), "no amount of dollars"),
        (model(&format!(r#""input":"1","output":"1","tiers":[{tier},{tier}]"#)), "tiers do not rise"),
        (model(r#""input":"1","output":"1","tiers":[{"above":5,"input":"1","output":"0"}]"#), "tier above 5"),
        (format!("{0},{0}", model(r#""input":"1","output":"1""#)), "twice"),
        (r#"{"provider":"","model":"m","input":"1","output":"1"}"#.to_owned(), "need a name"),
        // One brace too many must not become a catalogue of nothing.
        ("}".to_owned(), "expected value"),
    ];
    for (models, problem) in cases {
        let error = load(&models).unwrap_err().to_string();
        assert!(error.contains("test.json") && error.contains(problem), "{models}: {error}");
    }
    for (text, problem) in [
        (file("{}"), "need a name"),
        (file(r#"{"provider":"p","model":"m","input":"1","output":"1"}"#).replace(".v1", ".v2"), "`catalog.v2`"),
        (file(r#"{"provider":"p","model":"m","input":"1","output":"1"}"#).replace("2026-03-21", "today"), "`date`"),
        (
            file(r#"{"provider":"p","model":"m","input":"1","output":"1"}"#).replace("https://prices.example", ""),
            "`source`",
        ),
        ("[".repeat(100_000), "invalid type: sequence"),
    ] {
        let error = Catalog::from_json(&[("test.json", &text)]).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_new_catalogue_that_shrinks_or_jumps_is_refused() {
    let present = many(20, 10);
    assert_eq!(present.check_successor(&many(18, 10), false), Ok(()));
    let shrunk = present.check_successor(&many(17, 10), true).unwrap_err();
    assert!(shrunk.to_string().contains("17 models instead of 20"), "{shrunk}");
    assert_eq!(present.check_successor(&many(20, 50), false), Ok(()));
    assert!(present.check_successor(&many(20, 51), false).is_err());
    assert!(present.check_successor(&many(20, 1), false).is_err());
    assert_eq!(present.check_successor(&many(20, 51), true), Ok(()));
}
