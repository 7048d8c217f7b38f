use super::*;

#[test]
fn budgets_are_read_and_printed() {
    for (text, nano, period) in [
        ("10 usd/month", 10_000_000_000, Period::Month),
        ("0.5 usd/day", 500_000_000, Period::Day),
        (" 2usd / week ", 2_000_000_000, Period::Week),
        ("1000 usd/total", 1_000_000_000_000, Period::Total),
    ] {
        let budget: Budget = text.parse().unwrap();
        assert_eq!(budget, Budget { amount: NanoUsd(nano), period, soft: false });
        assert_eq!(budget.to_string().parse(), Ok(budget));
    }
}

#[test]
fn what_is_no_budget_is_refused_with_its_reason() {
    for (text, problem) in [
        ("10 usd", "the period is missing"),
        ("10 eur/month", "the currency is missing or not `usd`"),
        ("10/month", "the currency is missing or not `usd`"),
        ("ten usd/month", "the amount is no decimal with at most nine decimal places"),
        ("-1 usd/month", "the amount is no decimal with at most nine decimal places"),
        ("1e3 usd/month", "the amount is no decimal with at most nine decimal places"),
        ("10 usd/year", "the period is unknown"),
    ] {
        assert_eq!(text.parse::<Budget>().unwrap_err().problem, problem, "{text}");
    }
}

#[test]
fn an_error_quotes_at_most_forty_characters() {
    let error = "ü".repeat(5_000).parse::<Budget>().unwrap_err();
    assert_eq!(error.text.chars().count(), 40);
}

#[test]
fn a_soft_budget_alone_is_not_hard() {
    let budget: Budget = "1 usd/day".parse().unwrap();
    let soft = ScopeRules { budget: vec![Budget { soft: true, ..budget }], ..ScopeRules::default() };
    assert!(!soft.has_hard_budget());
    assert!(ScopeRules { budget: vec![budget], ..ScopeRules::default() }.has_hard_budget());
}
