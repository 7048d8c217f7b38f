//! The registry as OTLP metrics, in the names of either profile.
//!
//! Owns what differs between the profiles: profile B renames durations, and counts tokens with one metric a class where
//! profile A has one with a label. Everything is cumulative since the process began. Never measures.

use tidegate_core::{
    clock::UnixMillis,
    metric::{Descriptor, Kind, Metric, Reading, Registry, Series},
};

use super::{
    attributes::Attributes,
    encode,
    protobuf::Message,
    settings::{Profile, Settings},
};

const CUMULATIVE: u64 = 2;

/// How a family is sent: under which name, and which of its series.
struct Form<'a> {
    name: &'a str,
    /// Only the series whose label of this name has this value; the label is then left out.
    only: Option<(&'a str, &'a str)>,
    /// A label that every series gets.
    more: Option<(&'a str, &'a str)>,
}

/// The classes of tokens of profile B.
const CLASSES: [(&str, &str); 5] = [
    ("input", "gen_ai.client.inference.usage.input_tokens"),
    ("output", "gen_ai.client.inference.usage.output_tokens"),
    ("cache_read", "gen_ai.client.inference.usage.cache_read.input_tokens"),
    ("cache_write", "gen_ai.client.inference.usage.cache_write.input_tokens"),
    ("reasoning", "gen_ai.client.inference.usage.reasoning.output_tokens"),
];

/// An export request of everything in `registry`, and how many points it has.
pub(super) fn encode(settings: &Settings, registry: &Registry, from: UnixMillis, now: UnixMillis) -> (Vec<u8>, u64) {
    let mut points = 0_u64;
    let times = (from.0.saturating_mul(1_000_000), now.0.saturating_mul(1_000_000));
    let bytes = encode::request(settings, |scope| {
        registry.visit(|descriptor, series| {
            for form in forms(settings.profile, descriptor) {
                points = points.saturating_add(family(scope, descriptor, &form, series, times));
            }
        });
    });
    (bytes, points)
}

fn forms(profile: Profile, descriptor: &'static Descriptor) -> Vec<Form<'static>> {
    let plain = |name| vec![Form { name, only: None, more: None }];
    let is = |metric: Metric| descriptor.name == metric.descriptor().name;
    match profile {
        Profile::A => plain(descriptor.name),
        Profile::B if is(Metric::ModelDuration) => plain("gen_ai.client.inference.duration"),
        Profile::B if is(Metric::FirstChunk) => plain("gen_ai.client.inference.time_to_first_chunk"),
        Profile::B if is(Metric::TokenUsage) => ["input", "output"]
            .into_iter()
            .zip(["gen_ai.client.inference.operation.input_tokens", "gen_ai.client.inference.operation.output_tokens"])
            .map(|(class, name)| Form { name, only: Some(("gen_ai.token.type", class)), more: None })
            .collect(),
        Profile::B if is(Metric::Tokens) => CLASSES
            .into_iter()
            .map(|(class, name)| Form {
                name,
                only: Some(("class", class)),
                more: Some(("gen_ai.token.modality", "text")),
            })
            .collect(),
        Profile::B => plain(descriptor.name),
    }
}

/// Writes one metric; gives how many points it has. One without any is left out.
fn family(
    scope: &mut Message,
    descriptor: &Descriptor,
    form: &Form<'_>,
    series: &[std::sync::Arc<Series>],
    times: (u64, u64),
) -> u64 {
    let place = form.only.and_then(|(label, _)| descriptor.labels.iter().position(|name| *name == label));
    let chosen: Vec<&Series> = series
        .iter()
        .map(AsRef::as_ref)
        .filter(|series| match (form.only, place) {
            (Some((_, value)), Some(place)) => series.labels().nth(place) == Some(value),
            _ => true,
        })
        .collect();
    if chosen.is_empty() {
        return 0;
    }
    let field = match descriptor.kind {
        Kind::Gauge => 5,
        Kind::Counter => 7,
        Kind::Histogram(_) => 9,
    };
    scope.message(2, |metric| {
        metric.text(1, form.name);
        metric.text(2, descriptor.help);
        metric.text(3, descriptor.unit.ucum());
        metric.message(field, |data| {
            for series in &chosen {
                data.message(1, |point| one(point, descriptor, form, series, times));
            }
            if descriptor.kind != Kind::Gauge {
                data.number(2, CUMULATIVE);
            }
            if descriptor.kind == Kind::Counter {
                data.number(3, 1);
            }
        });
    });
    u64::try_from(chosen.len()).unwrap_or(u64::MAX)
}

fn one(point: &mut Message, descriptor: &Descriptor, form: &Form<'_>, series: &Series, (from, now): (u64, u64)) {
    let field = if matches!(descriptor.kind, Kind::Histogram(_)) { 9 } else { 7 };
    let mut attributes = Attributes::of(point, field);
    for (name, value) in descriptor.labels.iter().zip(series.labels()) {
        if form.only.is_none_or(|(label, _)| label != *name) {
            attributes.text(name, value);
        }
    }
    if let Some((name, value)) = form.more {
        attributes.text(name, value);
    }
    point.fixed(2, from);
    point.fixed(3, now);
    match (series.read(descriptor.kind), descriptor.kind) {
        (Reading::Count(count), _) => point.fixed(6, count),
        (Reading::Level(level), _) => point.double(4, level),
        (Reading::Distribution { counts, sum }, Kind::Histogram(bounds)) => {
            point.fixed(4, counts.iter().sum());
            point.double(5, sum);
            point.packed(6, counts.iter().copied());
            point.packed(7, bounds.iter().map(|bound| bound.to_bits()));
        }
        (Reading::Distribution { .. }, _) => {}
    }
}
