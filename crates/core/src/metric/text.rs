//! The registry as Prometheus reads it: OpenMetrics 1.0 text.
//!
//! Owns names and escapes of that form. Never measures.

use std::fmt::Write as _;

use super::{Descriptor, Kind, Reading, Registry, Series};

pub(super) fn write(registry: &Registry) -> String {
    let mut out = String::with_capacity(16 * 1024);
    registry.visit(|descriptor, series| {
        let name = descriptor.prometheus();
        let _ = writeln!(out, "# HELP {name} {}.", escaped(descriptor.help, false));
        let _ = writeln!(out, "# TYPE {name} {}", descriptor.kind.as_str());
        let suffix = descriptor.unit.suffix();
        if !suffix.is_empty() {
            let _ = writeln!(out, "# UNIT {name} {suffix}");
        }
        for series in series {
            one(&mut out, &name, descriptor, series);
        }
    });
    out.push_str("# EOF\n");
    out
}

fn one(out: &mut String, name: &str, descriptor: &Descriptor, series: &Series) {
    let labels = labels(descriptor, series);
    let braces = |more: &str| match (labels.is_empty(), more.is_empty()) {
        (true, true) => String::new(),
        (_, true) => format!("{{{labels}}}"),
        (true, false) => format!("{{{more}}}"),
        (false, false) => format!("{{{labels},{more}}}"),
    };
    match (series.read(descriptor.kind), descriptor.kind) {
        (Reading::Count(count), _) => {
            let _ = writeln!(out, "{name}_total{} {count}", braces(""));
        }
        (Reading::Level(level), _) => {
            let _ = writeln!(out, "{name}{} {}", braces(""), number(level));
        }
        (Reading::Distribution { counts, sum }, Kind::Histogram(bounds)) => {
            let mut below = 0_u64;
            for (at, count) in counts.iter().enumerate() {
                below = below.saturating_add(*count);
                let bound = bounds.get(at).map_or_else(|| "+Inf".to_owned(), |bound| number(*bound));
                let _ = writeln!(out, "{name}_bucket{} {below}", braces(&format!("le=\"{bound}\"")));
            }
            let _ = writeln!(out, "{name}_sum{} {}", braces(""), number(sum));
            let _ = writeln!(out, "{name}_count{} {below}", braces(""));
        }
        (Reading::Distribution { .. }, _) => {}
    }
}

/// The labels that say something, without their braces.
fn labels(descriptor: &Descriptor, series: &Series) -> String {
    let mut out = String::new();
    for (name, value) in descriptor.labels.iter().zip(series.labels()).filter(|(_, value)| !value.is_empty()) {
        let comma = if out.is_empty() { "" } else { "," };
        let _ = write!(out, "{comma}{}=\"{}\"", name.replace('.', "_"), escaped(value, true));
    }
    out
}

/// A number with at least one decimal place, as OpenMetrics writes those of bounds.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { "+Inf".to_owned() }
}

fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(letter),
        }
    }
    out
}
