use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;
use tidegate_core::usage::UsageSource;

fn price(provider: &str, model: &str) -> Price {
    Catalog::builtin().unwrap().lookup(provider, model).unwrap().price.clone()
}

fn usage(input: u64, cache_read: u64, writes: (u64, u64), output: u64, reasoning: u64) -> Usage {
    Usage {
        input,
        cache_read,
        cache_write_5m: writes.0,
        cache_write_1h: writes.1,
        output,
        reasoning,
        ..Usage::default()
    }
}

fn most(input: u64, output: u64, cache_write: bool) -> Most {
    Most {
        input,
        output,
        cache_write,
        media: false,
        service: Service::Standard,
        units: Units::NONE,
        picture: Picture::default(),
    }
}

#[test]
fn records_of_before_are_read_and_plain_ones_stay_as_they_were() {
    let plain = Usage { input: 3, output: 4, reasoning: 1, source: UsageSource::Vendor, ..Usage::default() };
    let text = serde_json::to_string(&plain).unwrap();
    assert_eq!(
        text,
        r#"{"input":3,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0,"output":4,"reasoning":1,"source":"vendor"}"#
    );
    assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), plain);
    let full = Usage { audio_input: 2, image_output: 1, service: Some(Service::Flex), ..plain };
    assert_eq!(serde_json::from_str::<Usage>(&serde_json::to_string(&full).unwrap()).unwrap(), full);
}

/// What the vendor's own price list says the call costs, in dollars, computed by hand.
#[test]
fn cached_reasoning_and_tiered_tokens_are_priced_as_the_vendor_does() {
    let cases = [
        // prompt_tokens 1,000 of which 600 cached; completion 500 of which 400 reasoning:
        // 400 × 1.75 + 600 × 0.175 + 500 × 14
        ("openai", "gpt-5.2", usage(400, 600, (0, 0), 500, 400), "0.007805"),
        // input_tokens 100, read 2,000, 5-minute write 300, 1-hour write 400, output 50:
        // 100 × 3 + 2,000 × 0.3 + 300 × 3.75 + 400 × 6 + 50 × 15
        ("anthropic", "claude-sonnet-4-6", usage(100, 2_000, (300, 400), 50, 0), "0.005175"),
        // promptTokenCount 1,000 with 200 cached, candidates 100 and thoughts 300: output is both.
        ("google", "gemini-2.5-flash", usage(800, 200, (0, 0), 400, 300), "0.001246"),
        // The threshold goes by the whole prompt, cached tokens included, and is exclusive.
        ("google", "gemini-2.5-pro", usage(100_000, 100_000, (0, 0), 1_000, 0), "0.1475"),
        ("google", "gemini-2.5-pro", usage(100_001, 100_000, (0, 0), 1_000, 0), "0.2900025"),
        ("anthropic", "claude-sonnet-4-5", usage(1, 150_000, (50_000, 0), 10, 0), "0.465231"),
        ("sim", "chat", usage(3, 0, (0, 0), 2, 0), "0.000011"),
    ];
    for (provider, model, usage, usd) in cases {
        assert_eq!(cost(&price(provider, model), &usage).unwrap().to_usd(), usd, "{provider}/{model}");
    }
}

#[test]
fn answers_are_priced_each_by_its_own_prompt_and_rounded_once() {
    let rate = |input, output| Rates::uniform(PerMillion(input), PerMillion(output));
    let tier = Tier { above: 100, rates: rate(1_000_003, 0) };
    let price = Price { tiers: vec![tier], ..Price::configured(rate(400_001, 0)) };
    let of = |tokens: &[u64]| {
        let mut sum = CostSum::default();
        tokens.iter().for_each(|tokens| sum.add(Some(&price), &usage(*tokens, 0, (0, 0), 0, 0)));
        sum.cost()
    };
    assert_eq!(of(&[]), Some(NanoUsd::ZERO));
    // 0.400001 each: a sum of rounded costs would be three.
    assert_eq!(of(&[1, 1, 1]), Some(NanoUsd(2)));
    assert_eq!(of(&[60, 60]), Some(NanoUsd(49)), "no prompt is above the tier, though both together are");
    assert_eq!(of(&[120]), Some(NanoUsd(121)));
    let mut unknown = CostSum::default();
    unknown.add(None, &usage(1, 0, (0, 0), 0, 0));
    unknown.add(Some(&price), &usage(1, 0, (0, 0), 0, 0));
    assert_eq!(unknown.cost(), None);
}

#[test]
fn a_cost_that_does_not_fit_is_no_cost() {
    let price = price("openai", "gpt-5.2");
    assert_eq!(cost(&price, &usage(0, 0, (0, 0), u64::MAX, 0)), None);
    assert_eq!(upper_bound(&price, &most(0, u64::MAX, false)), None);
    assert_eq!(cost(&price, &Usage::default()), Some(NanoUsd::ZERO));
}

#[test]
fn a_cache_write_is_reserved_for_only_where_it_may_happen() {
    let price = price("anthropic", "claude-sonnet-4-6");
    assert_eq!(upper_bound(&price, &most(1_000_000, 0, false)).unwrap().to_usd(), "3");
    assert_eq!(upper_bound(&price, &most(1_000_000, 0, true)).unwrap().to_usd(), "6");
}

#[test]
fn prices_are_read() {
    assert_eq!(parse_per_million("0.15 usd/mtok"), Ok(PerMillion(150_000_000)));
    assert_eq!(parse_per_million(" 3  usd/mtok "), Ok(PerMillion(3_000_000_000)));
    assert_eq!(parse_per_million("0 usd/mtok"), Ok(PerMillion(0)));
    for (text, problem) in [
        ("0.15", "the unit is missing"),
        ("0.15 usd", "the unit is not `usd/mtok` (dollars per million tokens)"),
        ("0.15 usd/token", "the unit is not `usd/mtok` (dollars per million tokens)"),
        ("-1 usd/mtok", "the amount is no decimal with at most nine decimal places"),
    ] {
        assert_eq!(parse_per_million(text).unwrap_err().problem, problem, "{text}");
    }
}

proptest! {
    #[test]
    fn no_usage_within_the_bound_costs_more_than_was_reserved(
        rates in prop::array::uniform32(1_u64..40_000_000_000),
        above in 0_u64..2_000,
        parts in prop::array::uniform9(0_u64..1_000),
        output in 0_u64..5_000,
        slack in 0_u64..500,
        levels in (0_usize..5, 0_usize..5),
    ) {
        let of = |at: usize| {
            let mut rates = rates.iter().cycle().skip(at).map(|rate| PerMillion(*rate));
            let mut next = || rates.next().unwrap();
            Rates {
                input: next(),
                output: next(),
                cache_read: next(),
                cache_write_5m: next(),
                cache_write_1h: next(),
                audio_input: next(),
                audio_cache_read: next(),
                audio_output: next(),
                image_input: next(),
                image_output: next(),
            }
        };
        let (asked, given) = (Service::ALL[levels.0], Service::ALL[levels.1]);
        let price = Price {
            rates: of(0),
            tiers: vec![Tier { above, rates: of(10) }],
            levels: vec![Level { service: asked, rates: of(20), tiers: vec![Tier { above, rates: of(5) }] }],
            by_tokens: true,
            units: UnitPrices::default(),
            source: "test".into(),
            date: None,
        };
        let used = Usage {
            audio_input: parts[4],
            audio_cache_read: parts[5],
            audio_output: parts[6],
            image_input: parts[7],
            image_output: parts[8],
            service: Some(given).filter(|given| *given == asked),
            ..usage(parts[0], parts[1], (parts[2], parts[3]), output, 0)
        };
        let call = Most {
            input: used.prompt_total() + slack,
            output: output + slack,
            cache_write: true,
            media: true,
            service: asked,
            units: Units::NONE,
            picture: Picture::default(),
        };
        prop_assert!(cost(&price, &used).unwrap() <= upper_bound(&price, &call).unwrap());
        let counted: u64 = super::parts(&price, &used).iter().map(|(_, tokens, _)| tokens).sum();
        prop_assert_eq!(counted, used.total());
    }

    #[test]
    fn splitting_a_call_never_makes_it_cheaper(a in 0_u64..1_000_000, b in 0_u64..1_000_000, rate in 0_u64..9_999_999) {
        let price = Price::configured(Rates::uniform(PerMillion(rate), PerMillion(rate)));
        let of = |tokens| cost(&price, &usage(tokens, 0, (0, 0), 0, 0)).unwrap().0;
        prop_assert!(of(a + b) <= of(a) + of(b));
        prop_assert!(of(a) + of(b) <= of(a + b) + 1);
    }
}
