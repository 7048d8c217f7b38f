//! The context of a decision: what Cedar sees of the facts of a call. Only the parts that some policy reads are made.

use cedar_policy::{Context, RestrictedExpression};
use tidegate_core::{
    clock::UnixMillis,
    facts::{ApiFacts, Facts},
    principal::Principal,
};

use crate::{
    entities::Defect,
    reads::Read,
    shape::{ArgPath, Mapped},
};

/// The parts of the context, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts(u16);

/// Every part with its path.
const PATHS: [(&[&str], u16); 14] = [
    (&["request", "model"], MODEL),
    (&["request", "stream"], STREAM),
    (&["request", "input_tokens"], INPUT_TOKENS),
    (&["request", "max_output_tokens"], MAX_OUTPUT_TOKENS),
    (&["request", "tools"], TOOLS),
    (&["request", "surface"], SURFACE),
    (&["request", "estimated_cost_nano_usd"], COST),
    (&["request", "session"], SESSION),
    (&["request", "metadata"], METADATA),
    (&["verdicts"], VERDICTS),
    (&["time"], TIME),
    (&["source_address"], ADDRESS),
    (&["args"], ARGS),
    (&["unmapped"], UNMAPPED),
];

const MODEL: u16 = 1;
const STREAM: u16 = 1 << 1;
const INPUT_TOKENS: u16 = 1 << 2;
const MAX_OUTPUT_TOKENS: u16 = 1 << 3;
const TOOLS: u16 = 1 << 4;
const SURFACE: u16 = 1 << 5;
const COST: u16 = 1 << 6;
const SESSION: u16 = 1 << 7;
const METADATA: u16 = 1 << 8;
const VERDICTS: u16 = 1 << 9;
const TIME: u16 = 1 << 10;
const ADDRESS: u16 = 1 << 11;
const ARGS: u16 = 1 << 12;
const UNMAPPED: u16 = 1 << 13;

impl Parts {
    /// What the permits of `allow` lists read.
    pub(crate) const LEAST: Self = Self(MODEL);

    /// Everything.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// These parts and what `read` looks at.
    pub(crate) fn with(self, read: &Read) -> Self {
        let overlaps = |path: &[&str]| read.path.iter().zip(path).all(|(left, right)| **left == **right);
        Self(PATHS.iter().filter(|(path, _)| overlaps(path)).fold(self.0, |parts, (_, part)| parts | part))
    }

    fn has(self, part: u16) -> bool {
        self.0 & part != 0
    }

    /// Whether arguments matter at all.
    pub(crate) fn has_arguments(self) -> bool {
        self.has(ARGS | UNMAPPED)
    }
}

/// What every action's context has.
pub(crate) fn base(parts: Parts, facts: &Facts, principal: &Principal, moment: UnixMillis) -> Result<Context, Defect> {
    let mut pairs = Vec::with_capacity(4);
    pairs.push(("request".to_owned(), request(parts, facts)?));
    if let Some(api) = &facts.api {
        pairs.push(("api".to_owned(), self::api(api)?));
    }
    if parts.has(VERDICTS) {
        pairs.push(("verdicts".to_owned(), texts(facts.verdicts.iter().map(|verdict| verdict.category.to_string()))));
    }
    if parts.has(TIME) {
        pairs.push(("time".to_owned(), time(moment)?));
    }
    if parts.has(ADDRESS) {
        let address = RestrictedExpression::new_ip(principal.address.to_canonical().to_string());
        pairs.push(("source_address".to_owned(), address));
    }
    Ok(Context::from_pairs(pairs)?)
}

/// What a tool call's context has besides.
pub(crate) fn with_arguments(base: Context, mapped: Mapped) -> Result<(Context, Vec<ArgPath>), Defect> {
    let unmapped = texts(mapped.unmapped.iter().map(|path| path.join(".")));
    let mut pairs = vec![("unmapped".to_owned(), unmapped)];
    pairs.extend(mapped.args.map(|args| ("args".to_owned(), args)));
    Ok((base.merge(pairs)?, mapped.unmapped))
}

fn request(parts: Parts, facts: &Facts) -> Result<RestrictedExpression, Defect> {
    let mut fields = Vec::with_capacity(9);
    let mut put = |part: u16, name: &str, value: &dyn Fn() -> Option<RestrictedExpression>| {
        if parts.has(part) {
            fields.extend(value().map(|value| (name.to_owned(), value)));
        }
    };
    put(MODEL, "model", &|| facts.model.as_ref().map(|model| text(model.as_str())));
    put(STREAM, "stream", &|| Some(RestrictedExpression::new_bool(facts.stream)));
    put(INPUT_TOKENS, "input_tokens", &|| Some(long(facts.input_tokens)));
    put(MAX_OUTPUT_TOKENS, "max_output_tokens", &|| Some(long(facts.max_output_tokens)));
    put(TOOLS, "tools", &|| Some(texts(facts.tools.iter().map(|tool| tool.as_str().to_owned()))));
    put(SURFACE, "surface", &|| Some(text(facts.surface)));
    put(COST, "estimated_cost_nano_usd", &|| facts.estimated_cost.map(|cost| long(cost.0)));
    put(SESSION, "session", &|| facts.session.as_ref().map(|session| text(session)));
    put(METADATA, "metadata", &|| Some(texts(facts.metadata.iter().map(|(name, value)| format!("{name}={value}")))));
    RestrictedExpression::new_record(fields).map_err(Defect::from)
}

fn api(api: &ApiFacts) -> Result<RestrictedExpression, Defect> {
    let mut fields = vec![
        ("method".to_owned(), text(&api.method)),
        ("path".to_owned(), text(&api.path)),
        ("body".to_owned(), text(api.body)),
    ];
    fields.extend(api.model.as_ref().map(|model| ("model".to_owned(), text(model))));
    RestrictedExpression::new_record(fields).map_err(Defect::from)
}

/// UTC; the hour from 0 to 23, the weekday from 1 (Monday) to 7 as in ISO 8601.
fn time(moment: UnixMillis) -> Result<RestrictedExpression, Defect> {
    let seconds = moment.0 / 1_000;
    let hour = seconds / 3_600 % 24;
    // 1970-01-01 was a Thursday.
    let weekday = (seconds / 86_400).saturating_add(3) % 7 + 1;
    let fields = [("unix_seconds", seconds), ("hour", hour), ("weekday", weekday)];
    RestrictedExpression::new_record(fields.map(|(name, value)| (name.to_owned(), long(value)))).map_err(Defect::from)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts(values: impl Iterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(RestrictedExpression::new_string))
}

/// A count, at most the largest that Cedar has.
fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}
