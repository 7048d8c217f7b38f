//! Checks of models: every target leads to a provider, no route leads back to itself, settings make sense.

use std::{collections::BTreeMap, time::Duration};

use tidegate_policy::Condition;
use tidegate_protocol::llm::Params;

use super::Checker;
use crate::{
    codes,
    document::{Model, Retry, Route, Share, Similar, TargetName, Time, Timeouts},
    node::join,
    problem::quote,
};

/// The most targets that a model's route may lead to, aliases followed.
const MOST_TARGETS: usize = 256;

/// The least that may count as similar.
const LEAST_SIMILAR: f64 = 0.5;

/// How soon and how late a second target may be asked beside the first.
const SOONEST_HEDGE: Duration = Duration::from_millis(10);
const LATEST_HEDGE: Duration = Duration::from_secs(600);

/// The most models that may lead to one another in a row.
const MOST_DEPTH: usize = 16;

/// How far the walk over a model has come.
#[derive(Clone, Copy)]
enum Walk {
    Under,
    Done(usize),
}

impl Checker<'_> {
    pub(super) fn routes(&mut self) {
        let mut walks: BTreeMap<String, Walk> = BTreeMap::new();
        let document = self.document;
        for (name, model) in &document.models {
            self.model(&join("models", name), model);
            self.forms(&join("models", name), &model.route);
            self.walk(name, &mut walks, 0);
        }
        let surfaces: Vec<(String, String)> = match &document.default_provider {
            None => Vec::new(),
            Some(crate::document::DefaultProvider::One(name)) => vec![(String::from("default_provider"), name.clone())],
            Some(crate::document::DefaultProvider::BySurface(by)) => {
                by.iter().map(|(surface, name)| (join("default_provider", surface), name.clone())).collect()
            }
        };
        for (path, name) in surfaces {
            if !document.providers.contains_key(&name) {
                self.undefined(codes::NO_PROVIDER, &path, ("provider", &name), "providers", &document.providers);
            }
        }
    }

    /// Follows a model's route to its targets and counts them. Every name is entered once, so this ends.
    fn walk(&mut self, name: &str, walks: &mut BTreeMap<String, Walk>, depth: usize) -> usize {
        match walks.get(name) {
            Some(Walk::Done(count)) => return *count,
            Some(Walk::Under) => return 1,
            None => {}
        }
        let Some(model) = self.document.models.get(name) else { return 1 };
        if depth > MOST_DEPTH {
            let message = format!("more than {MOST_DEPTH} models lead to one another");
            self.error_at_name(codes::TOO_DEEP, &join("models", name), message, "name targets directly");
            return 1;
        }
        walks.insert(name.to_owned(), Walk::Under);
        let mut count = 0_usize;
        for target in model.route.targets() {
            count = count.saturating_add(self.target(target, walks, depth));
        }
        if count > MOST_TARGETS {
            let message = format!("the route leads to {count} targets; the most is {MOST_TARGETS}");
            self.error_at_name(codes::OUT_OF_RANGE, &join("models", name), message, "name fewer models in it");
            count = 1;
        }
        walks.insert(name.to_owned(), Walk::Done(count));
        count
    }

    fn target(&mut self, target: &TargetName, walks: &mut BTreeMap<String, Walk>, depth: usize) -> usize {
        let document = self.document;
        if let Some((provider, model)) = target.name.split_once('/') {
            if provider.is_empty() || !model_name(model) {
                let message = format!("{} is not `provider/model`", quote(&target.name));
                self.error(codes::BAD_TARGET, &target.at, message, "write for example `openai/gpt-5.2`");
            } else if !document.providers.contains_key(provider) {
                self.undefined(
                    codes::NO_PROVIDER,
                    &target.at,
                    ("provider", provider),
                    "providers",
                    &document.providers,
                );
            }
            return 1;
        }
        if document.models.contains_key(&target.name) {
            if matches!(walks.get(&target.name), Some(Walk::Under)) {
                let message = format!("the route leads back to {}", quote(&target.name));
                self.error(codes::ROUTE_CYCLE, &target.at, message, "name a `provider/model` here");
                return 1;
            }
            return self.walk(&target.name, walks, depth.saturating_add(1));
        }
        if document.providers.contains_key(&target.name) {
            let message = format!("{} is a provider; a target also names a model", quote(&target.name));
            self.error(codes::BAD_TARGET, &target.at, message, format!("write `{}/MODEL`", target.name));
        } else {
            self.undefined(codes::NO_MODEL, &target.at, ("model", &target.name), "models", &document.models);
        }
        1
    }

    /// Conditions and parameters of a route.
    fn forms(&mut self, path: &str, route: &Route) {
        if let Route::Tuned(target, tuning) = route {
            let members = tuning.params.0.iter().map(|(name, value)| (name.clone(), value.clone()));
            let at = if target.at.is_empty() { path.to_owned() } else { target.at.clone() };
            let beside = at.strip_suffix(".target").unwrap_or(path);
            self.bounds(beside, tuning.max_output, tuning.max_input);
            if let Err(why) = Params::new(members) {
                self.error(codes::BAD_PARAMETER, &at, why, "set for example `temperature`, `top_p` or `max_tokens`");
            }
        }
        if let Route::When(cases, _) = route {
            for (number, case) in cases.iter().enumerate() {
                if let Err(why) = Condition::parse(&case.r#if) {
                    // A case knows its place by the first target that it leads to.
                    let inner = format!(".when[{number}]");
                    let place = case.r#use.targets().first().map_or("", |target| target.at.as_str()).to_owned();
                    let case_at = place.find(&inner).and_then(|at| place.get(..at.saturating_add(inner.len())));
                    let at = join(case_at.unwrap_or(path), "if");
                    let hint = "write for example `context.request.input_tokens > 100000`";
                    self.error(codes::BAD_CONDITION, &at, why, hint);
                }
            }
        }
        for below in route.below() {
            self.forms(path, below);
        }
    }

    fn model(&mut self, path: &str, model: &Model) {
        self.bounds(path, model.max_output, model.max_input);
        if let Some(retry) = &model.retry {
            self.retry(&join(path, "retry"), retry);
        }
        if let Some(timeouts) = &model.timeouts {
            self.timeouts(&join(path, "timeouts"), timeouts);
        }
        if let Some(similar) = model.cache.as_ref().and_then(|cache| cache.similar.as_ref()) {
            self.similar(&join(&join(path, "cache"), "similar"), similar);
        }
        if let Some(price) = &model.price {
            self.price(&join(path, "price"), price);
        }
        if let Some(Time(hedge)) = model.hedge {
            self.hedge(&join(path, "hedge"), hedge, &model.route);
        }
        if let Some(Time(ttl)) = model.cache.as_ref().map(|cache| cache.ttl)
            && !(1..=LONGEST_CACHED).contains(&ttl.as_secs())
        {
            let at = join(&join(path, "cache"), "ttl");
            self.error(codes::OUT_OF_RANGE, &at, "an answer is kept for 1s to 90d", "write for example `10m`");
        }
    }

    fn bounds(&mut self, path: &str, max_output: Option<u64>, max_input: Option<u64>) {
        for (name, bound, what) in [("max_output", max_output, "an answer"), ("max_input", max_input, "a prompt")] {
            if bound == Some(0) {
                let message = format!("{what} has at least 1 token");
                self.error(codes::OUT_OF_RANGE, &join(path, name), message, "write 1 or more");
            }
        }
    }

    fn similar(&mut self, path: &str, similar: &Similar) {
        if similar.least.is_some_and(|Share(least)| least < LEAST_SIMILAR) {
            let hint = "write 0.9 or more: below that, answers to other questions are given";
            self.error(codes::OUT_OF_RANGE, &join(path, "least"), "similar is 0.5 or more", hint);
        }
        if !matches!(similar.by, Route::Target(_)) {
            let hint = "write for example `openai/text-embedding-3-small`, or a model's name";
            self.error(codes::ROUTE_FORM, &join(path, "by"), "one model makes the numbers, or they mean nothing", hint);
        }
        self.forms(&join(path, "by"), &similar.by);
        if let [target] = similar.by.targets()[..] {
            self.target(target, &mut BTreeMap::new(), 0);
        }
    }

    fn hedge(&mut self, path: &str, hedge: Duration, route: &Route) {
        if !(SOONEST_HEDGE..=LATEST_HEDGE).contains(&hedge) {
            let hint = "write for example `800ms`: a little more than most answers take to begin";
            self.error(codes::OUT_OF_RANGE, path, "the next target is asked after 10ms to 10m", hint);
        }
        if let [only] = route.targets()[..]
            && !self.document.models.contains_key(&only.name)
        {
            let hint = "name a second one, for example `{ fallback: [first, second], hedge: 800ms }`";
            self.error(codes::OUT_OF_RANGE, path, "there is no other target that could be asked", hint);
        }
    }

    pub(super) fn retry(&mut self, path: &str, retry: &Retry) {
        if retry.attempts.is_some_and(|attempts| !(1..=10).contains(&attempts)) {
            let message = "the number of attempts is from 1 to 10";
            self.error(codes::OUT_OF_RANGE, &join(path, "attempts"), message, "1 means that nothing is tried again");
        }
        for (at, status) in retry.on.iter().flatten().enumerate() {
            if !matches!(*status, 408 | 409 | 425 | 429 | 500..=599) {
                let message = format!("{status} is not a status after which trying again helps");
                self.error(
                    codes::NOT_RETRIED,
                    &format!("{path}.on[{at}]"),
                    message,
                    "use 408, 409, 425, 429 and 500 to 599",
                );
            }
        }
    }

    pub(super) fn timeouts(&mut self, path: &str, timeouts: &Timeouts) {
        let clocks = [
            ("connect", timeouts.connect),
            ("first_event", timeouts.first_event),
            ("between_events", timeouts.between_events),
            ("total", timeouts.total),
        ];
        for (name, clock) in clocks {
            let Some(Time(clock)) = clock else { continue };
            let at = join(path, name);
            if clock.is_zero() || clock.as_secs() > 86_400 {
                self.error(
                    codes::BAD_TIMEOUT,
                    &at,
                    "a timeout is more than 0 and at most 24h",
                    "write for example `30s`",
                );
            } else if timeouts.total.is_some_and(|total| clock > total.0) {
                let message = format!("`{name}` is longer than `total`, so it never runs out");
                self.error(codes::BAD_TIMEOUT, &at, message, "make it shorter, or `total` longer");
            }
        }
    }
}

/// The longest that an answer is given again, in seconds: ninety days.
const LONGEST_CACHED: u64 = 90 * 86_400;

/// Whether a text can be a model's name at a provider.
pub(crate) fn model_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
