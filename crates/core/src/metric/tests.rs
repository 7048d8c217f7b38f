//! Recording, bounds, and the text.

use super::*;

#[test]
fn every_metric_stands_at_its_own_place_under_a_name_of_its_own() {
    let mut names: Vec<&str> = Vec::new();
    for (at, metric) in Metric::ALL.iter().enumerate() {
        assert_eq!(*metric as usize, at);
        let descriptor = metric.descriptor();
        assert!(!names.contains(&descriptor.name));
        names.push(descriptor.name);
        assert!(!descriptor.help.ends_with('.') && descriptor.help.len() > 10);
        if let Kind::Histogram(bounds) = descriptor.kind {
            assert!(bounds.is_sorted());
        }
    }
}

#[test]
fn names_in_prometheus_end_with_their_unit_once() {
    let name = |metric: Metric| metric.descriptor().samples().remove(0);
    assert_eq!(name(Metric::ModelDuration), "gen_ai_client_operation_duration_seconds_bucket");
    assert_eq!(name(Metric::TokenUsage), "gen_ai_client_token_usage_bucket");
    assert_eq!(name(Metric::FailureRatio), "tidegate_gateway_failure_ratio");
    assert_eq!(name(Metric::Spend), "tidegate_spend_nano_usd_total");
    assert_eq!(name(Metric::GatewayFaults), "tidegate_gateway_fault_total");
}

#[test]
fn what_is_recorded_is_written_as_openmetrics() {
    let registry = Registry::new();
    registry.add(Metric::Spend, &["k\"1\\\n", ""], 7);
    registry.add(Metric::Spend, &["k\"1\\\n", ""], 5);
    registry.set(Metric::FailureRatio, &[], 0.25);
    for value in [0.01, 0.011, 500.0, f64::NAN] {
        registry.observe(Metric::ToolDuration, &["tools/call", "", "", "s"], value);
    }
    let text = registry.text();
    assert!(text.ends_with("# EOF\n"));
    for line in [
        "# TYPE tidegate_spend_nano_usd counter",
        "tidegate_spend_nano_usd_total{key=\"k\\\"1\\\\\\n\"} 12",
        "tidegate_gateway_failure_ratio 0.25",
        "tidegate_unidentified_refusals_total 0",
        "# UNIT mcp_client_operation_duration_seconds seconds",
        "mcp_client_operation_duration_seconds_bucket{mcp_method_name=\"tools/call\",tidegate_server=\"s\",le=\"0.01\"} 1",
        "mcp_client_operation_duration_seconds_bucket{mcp_method_name=\"tools/call\",tidegate_server=\"s\",le=\"0.02\"} 2",
        "mcp_client_operation_duration_seconds_bucket{mcp_method_name=\"tools/call\",tidegate_server=\"s\",le=\"+Inf\"} 3",
        "mcp_client_operation_duration_seconds_count{mcp_method_name=\"tools/call\",tidegate_server=\"s\"} 3",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
}

#[test]
fn callers_names_cannot_make_series_without_end() {
    let registry = Registry::new();
    for number in 0..5_000 {
        registry.add(Metric::Spend, &[&format!("key-{number}"), "team"], 1);
    }
    let mut counted = 0;
    registry.visit(|descriptor, series| {
        if descriptor.name == Metric::Spend.descriptor().name {
            assert_eq!(series.len(), MOST_SERIES);
            counted = series.iter().map(|series| series.count()).sum();
        }
    });
    assert_eq!(counted, 5_000);
    let beyond = 5_000 - u64::try_from(MOST_SERIES).unwrap() + 1;
    assert_eq!(registry.handle(Metric::Spend, &[OVERFLOW, OVERFLOW]).count(), beyond);
    assert_eq!(registry.handle(Metric::SeriesOverflow, &["tidegate.spend.nano_usd"]).count(), beyond);
}

#[test]
fn a_gauge_goes_up_and_down_from_many_threads() {
    let registry = Registry::new();
    let gauge = registry.handle(Metric::InFlight, &[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    gauge.shift(1.0);
                    gauge.shift(-1.0);
                }
                gauge.shift(1.0);
            });
        }
    });
    assert!((gauge.level() - 4.0).abs() < f64::EPSILON);
}
