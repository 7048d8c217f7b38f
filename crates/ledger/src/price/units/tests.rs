use proptest::prelude::*;
use tidegate_core::usage::Service;

use super::*;
use crate::price::{Gapped, Most, Price, Rates, cost, upper_bound};
use tidegate_core::money::{NanoUsd, PerMillion};

fn rate(unit: Unit, text: &str) -> PerUnits {
    parse_per_unit(unit, text).unwrap()
}

/// A price by these units alone.
fn by(units: &[(Unit, &str)]) -> Price {
    let mut price = Price::configured(Rates::uniform(PerMillion(0), PerMillion(0)));
    price.by_tokens = false;
    for (unit, text) in units {
        price.units.set(*unit, rate(*unit, text));
    }
    price
}

fn used(unit: Unit, count: u64) -> Usage {
    Usage { units: Units::of(unit, count), ..Usage::default() }
}

fn most(units: Units, picture: Picture) -> Most {
    Most { input: 0, output: 0, cache_write: true, media: true, service: Service::Standard, units, picture }
}

fn usd(price: &Price, usage: &Usage) -> String {
    cost(price, usage).unwrap().to_usd()
}

#[test]
fn prices_of_units_are_read() {
    for (unit, text, amount) in [
        (Unit::Image, "0.04 usd/image", (40_000_000, 1)),
        (Unit::Audio, "0.006 usd/minute", (6_000_000, 60_000)),
        (Unit::Audio, "0.111 usd/hour", (111_000_000, 3_600_000)),
        (Unit::Character, "15 usd/mchar", (15_000_000_000, 1_000_000)),
        (Unit::SearchUnit, "2 usd/ksearch", (2_000_000_000, 1_000)),
        (Unit::Page, "0.004 usd/page", (4_000_000, 1)),
        (Unit::WebSearch, " 10  usd/kcall ", (10_000_000_000, 1_000)),
        (Unit::CodeSession, "0.03 usd/session", (30_000_000, 1)),
    ] {
        assert_eq!(rate(unit, text).amount(), amount, "{text}");
        assert!(parse_per_unit(unit, &example(unit)).is_ok(), "{unit:?}");
    }
    for (unit, text) in [
        (Unit::Image, "0.04"),
        (Unit::Image, "0.04 usd/page"),
        (Unit::Image, "0.04 eur/image"),
        (Unit::Audio, "1 usd/kminute"),
        (Unit::Audio, "1 usd/day"),
        (Unit::Page, "-1 usd/page"),
        (Unit::Character, "1 usd/kmchar"),
    ] {
        assert!(parse_per_unit(unit, text).is_err(), "{text}");
    }
}

#[test]
fn units_are_charged_to_the_nano_dollar() {
    // 0.006 usd a minute for 12.3 seconds; 15 usd a million letters; 2 usd a thousand searches.
    assert_eq!(usd(&by(&[(Unit::Audio, "0.006 usd/minute")]), &used(Unit::Audio, 12_300)), "0.00123");
    assert_eq!(usd(&by(&[(Unit::Character, "15 usd/mchar")]), &used(Unit::Character, 11)), "0.000165");
    assert_eq!(usd(&by(&[(Unit::SearchUnit, "2 usd/ksearch")]), &used(Unit::SearchUnit, 3)), "0.006");
    // A third of a nano-dollar is rounded up once, at the end.
    assert_eq!(cost(&by(&[(Unit::Audio, "0.111 usd/hour")]), &used(Unit::Audio, 1_000)), Some(NanoUsd(30_834)));
    let mut groq = by(&[(Unit::Audio, "0.111 usd/hour")]);
    groq.units.at_least(Unit::Audio, 10_000);
    assert_eq!(cost(&groq, &used(Unit::Audio, 1_000)), cost(&groq, &used(Unit::Audio, 10_000)), "at least ten seconds");
}

#[test]
fn what_has_no_price_has_no_known_cost() {
    let images = by(&[(Unit::Image, "0.04 usd/image")]);
    assert_eq!(cost(&images, &used(Unit::Page, 1)), None, "pages have no price here");
    assert_eq!(cost(&images, &Usage { output: 9, ..Usage::default() }), None, "nor have tokens");
    assert_eq!(upper_bound(&images, &most(Units::of(Unit::Page, 1), Picture::default())), None);
    let tokens =
        Price::configured(Gapped { input: PerMillion(1), output: PerMillion(1), ..Gapped::default() }.filled());
    for fee in FEES {
        assert_eq!(cost(&tokens, &used(fee, 1)), None, "{fee:?} is a fee that nobody stated");
        assert_eq!(upper_bound(&tokens, &most(Units::of(fee, 1), Picture::default())), None, "{fee:?}");
    }
    assert_eq!(
        cost(&tokens, &used(Unit::Character, 9)),
        Some(NanoUsd::ZERO),
        "what is charged by tokens is not by letters"
    );
}

#[test]
fn a_search_is_charged_in_the_way_that_the_price_states() {
    let mut usage = used(Unit::WebSearch, 3);
    usage.units.set(Unit::GroundedPrompt, 1);
    assert_eq!(usd(&by(&[(Unit::WebSearch, "14 usd/kcall")]), &usage), "0.042");
    assert_eq!(usd(&by(&[(Unit::GroundedPrompt, "35 usd/kcall")]), &usage), "0.035");
    let sonar = by(&[
        (Unit::Request, "5 usd/krequest"),
        (Unit::RequestMedium, "8 usd/krequest"),
        (Unit::RequestHigh, "12 usd/krequest"),
    ]);
    assert_eq!(usd(&sonar, &used(Unit::RequestMedium, 1)), "0.008");
    assert_eq!(usd(&sonar, &used(Unit::WebSearch, 4)), "0.012", "how much was searched is not said: the dearest");
    assert_eq!(upper_bound(&sonar, &most(Units::of(Unit::Request, 1), Picture::default())).unwrap().to_usd(), "0.012");
    let preview = by(&[(Unit::WebSearch, "10 usd/kcall"), (Unit::WebSearchPreview, "25 usd/kcall")]);
    assert_eq!(usd(&preview, &used(Unit::WebSearchPreview, 2)), "0.05");
    // Amounts that fall with what was searched: where nothing is said, the dearest still counts.
    let falling = by(&[(Unit::Request, "12 usd/krequest"), (Unit::RequestHigh, "5 usd/krequest")]);
    assert_eq!(usd(&falling, &used(Unit::WebSearch, 1)), "0.012");
    assert_eq!(usd(&falling, &used(Unit::RequestHigh, 1)), "0.005");
}

#[test]
fn a_search_that_was_counted_in_a_way_without_a_price_has_no_known_cost() {
    let mut price =
        Price::configured(Gapped { input: PerMillion(1), output: PerMillion(1), ..Gapped::default() }.filled());
    for (stated, counted) in [
        (Unit::WebSearchPreview, Unit::WebSearch),
        (Unit::WebSearch, Unit::GroundedPrompt),
        (Unit::GroundedPrompt, Unit::WebSearch),
    ] {
        price.units = UnitPrices::default();
        price.units.set(stated, rate(stated, "10 usd/kcall"));
        assert_eq!(cost(&price, &used(counted, 2)), None, "{stated:?} {counted:?}");
        assert_eq!(
            upper_bound(&price, &most(Units::of(counted, 2), Picture::default())),
            None,
            "{stated:?} {counted:?}"
        );
    }
}

#[test]
fn fees_are_taken_where_a_price_states_none_of_their_kind() {
    let catalogue = by(&[(Unit::WebSearch, "10 usd/kcall"), (Unit::FileSearch, "2.5 usd/kcall")]).units;
    let own = by(&[(Unit::GroundedPrompt, "35 usd/kcall")]).units.with_fees(&catalogue);
    assert_eq!(own.get(Unit::WebSearch), None, "searches are charged by the prompt");
    assert_eq!(own.get(Unit::FileSearch), catalogue.get(Unit::FileSearch));
    assert_eq!(UnitPrices::default().with_fees(&catalogue), catalogue);
}

#[test]
fn pictures_cost_by_size_and_quality_and_the_usual_is_the_first() {
    let mut price = by(&[]);
    for (size, quality, text) in [
        ("1024x1024", "standard", "0.04 usd/image"),
        ("1024x1792", "standard", "0.08 usd/image"),
        ("1024x1024", "hd", "0.08 usd/image"),
        ("1024x1792", "hd", "0.12 usd/image"),
    ] {
        let rate = rate(Unit::Image, text);
        price.units.picture(PictureRate { size: Word::new(size), quality: Word::new(quality), rate });
    }
    let of = |size: &str, quality: &str| Picture { size: Word::new(size), quality: Word::new(quality) };
    for (picture, each, bound) in [
        (of("", ""), "0.04", "0.12"),
        (of("auto", ""), "0.04", "0.12"),
        (of("1024x1792", ""), "0.08", "0.12"),
        (of("", "HD"), "0.08", "0.12"),
        (of("1024x1024", "standard"), "0.04", "0.04"),
        (of("1024x1792", "hd"), "0.12", "0.12"),
        (of("4096x4096", "standard"), "0.12", "0.12"),
        (of("portrait-9-by-16", "standard"), "0.12", "0.12"),
    ] {
        let usage = Usage { picture, ..used(Unit::Image, 1) };
        assert_eq!(usd(&price, &usage), each, "{picture:?}");
        assert_eq!(upper_bound(&price, &most(usage.units, picture)).unwrap().to_usd(), bound, "{picture:?}");
    }
    // A price for every other sort bounds nothing that is left to the vendor.
    price.units.set(Unit::Image, rate(Unit::Image, "0.01 usd/image"));
    let (asked, made) = (of("auto", "auto"), of("1024x1792", "hd"));
    assert_eq!(usd(&price, &Usage { picture: made, ..used(Unit::Image, 1) }), "0.12");
    assert_eq!(upper_bound(&price, &most(Units::of(Unit::Image, 1), asked)).unwrap().to_usd(), "0.12");
}

proptest! {
    #[test]
    fn nothing_within_the_bound_costs_more_than_was_reserved(
        nanos in prop::array::uniform16(0_u64..90_000_000_000),
        sizes in prop::array::uniform16(prop::sample::select(vec![1_u64, 1_000, 60_000, 1_000_000, 3_600_000])),
        priced in 0_u32..65_536,
        counts in prop::array::uniform16(0_u64..100_000),
        slack in 0_u64..50,
        by_tokens: bool,
    ) {
        let mut price = by(&[]);
        price.by_tokens = by_tokens;
        let (mut used, mut bound) = (Units::NONE, Units::NONE);
        for (at, unit) in Unit::ALL.into_iter().enumerate() {
            if priced >> at & 1 == 1 {
                price.units.set(unit, PerUnits::new(nanos[at], sizes[at]).unwrap());
            }
            // A call is one call, and of one sort.
            let count = if REQUESTS.contains(&unit) { u64::from(unit == Unit::RequestMedium) } else { counts[at] };
            used.set(unit, count);
            bound.set(unit, count + slack);
        }
        let usage = Usage { units: used, ..Usage::default() };
        if let Some(cost) = cost(&price, &usage) {
            prop_assert!(cost <= upper_bound(&price, &most(bound, Picture::default())).unwrap());
        }
    }
}
