//! The log: JSON lines on stderr, each with time, level, target and, where a call is at work, its call and trace id.
//!
//! Owns the form of a line and the bound on floods: of one kind of line (one place in the code), so many are written in
//! a second, and how many were left out is told by the next. Never blocks on anything but stderr, never holds a secret:
//! what is logged holds none.

use std::{
    any::Any,
    collections::HashMap,
    io::Write as _,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tidegate_core::{clock, metric::Series, trace};
use tracing::{
    Event, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use crate::output;

/// The most lines of one kind in one second.
const MOST: u64 = 1_000;

static SUPPRESSED: OnceLock<Arc<Series>> = OnceLock::new();

/// Counts lines that are left out in `series` from now on.
pub(crate) fn count_in(series: Arc<Series>) {
    // A second gateway in one process goes on counting in the first one's.
    let _ = SUPPRESSED.set(series);
}

/// Starts the log: as much as `wanted` says, else `RUST_LOG`, else `default`.
///
/// # Errors
/// Where `wanted` is no filter.
pub(crate) fn start(wanted: Option<&str>, default: &str) -> anyhow::Result<()> {
    let filter = match wanted {
        Some(wanted) => EnvFilter::try_new(wanted).map_err(|error| {
            output::exit(
                64,
                format!(
                    "--log: {error}; write a level (error, warn, info, debug, trace), or `info,tidegate_upstream=debug`"
                ),
            )
        })?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default)),
    };
    std::panic::set_hook(Box::new(|defect| {
        let place = defect.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, thread = std::thread::current().name(), "{}", told(defect.payload()));
    }));
    if tracing_subscriber::registry().with(filter).with(Lines::default()).try_init().is_err() {
        output::talk("logging was set up already");
    }
    Ok(())
}

/// What a panic is told as: its message only where that stands in the code, since one that was put together may quote
/// what a caller sent.
fn told(payload: &dyn Any) -> String {
    let message = payload.downcast_ref::<&'static str>().copied().unwrap_or("its message is withheld");
    format!("a defect, please report its place: {message}")
}

/// How many lines of one kind there were in one second.
#[derive(Debug, Default, Clone, Copy)]
struct Flood {
    second: u64,
    written: u64,
    left_out: u64,
}

impl Flood {
    /// Whether one more line is written in `second`; and if so, how many were left out before it.
    fn admit(&mut self, second: u64) -> Option<u64> {
        if self.second != second {
            (self.second, self.written) = (second, 0);
        }
        if self.written >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.written = self.written.saturating_add(1);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[derive(Default)]
struct Lines {
    /// One entry for each place in the code that logs, so that it stays small.
    floods: Mutex<HashMap<Identifier, Flood>>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = clock::wall();
        let admitted = self.floods.lock().entry(event.metadata().callsite()).or_default().admit(now.0 / 1_000);
        let Some(left_out) = admitted else {
            if let Some(series) = SUPPRESSED.get() {
                series.add(1);
            }
            return;
        };
        let mut line = line(event, now.0).into_bytes();
        if left_out > 0 && line.ends_with(b"}\n") {
            line.truncate(line.len().saturating_sub(2));
            line.extend_from_slice(format!(",\"left_out_before\":{left_out}}}\n").as_bytes());
        }
        // A log that nobody can read any more is no reason to stop.
        let _ = std::io::stderr().lock().write_all(&line);
    }
}

fn line(event: &Event<'_>, millis: u64) -> String {
    let metadata = event.metadata();
    let mut fields = Fields(Map::new());
    let at = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    fields.put("timestamp", at.map(|at| format!("{at:.3}")).unwrap_or_default().into());
    fields.put("level", metadata.level().as_str().into());
    fields.put("target", metadata.target().into());
    event.record(&mut fields);
    if let Some((call, trace)) = trace::current() {
        fields.0.entry("call").or_insert_with(|| call.to_string().into());
        fields.0.entry("trace_id").or_insert_with(|| trace.to_string().into());
    }
    let mut text = Value::Object(fields.0).to_string();
    text.push('\n');
    text
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_told_of_afterwards() {
        let mut flood = Flood::default();
        let written = (0..MOST + 7).filter(|_| flood.admit(5).is_some()).count();
        assert_eq!(u64::try_from(written).unwrap(), MOST);
        assert_eq!(flood.admit(6), Some(7));
        assert_eq!(flood.admit(6), Some(0));
    }

    #[test]
    fn a_panic_tells_what_stands_in_the_code_and_nothing_else() {
        let of = |run: fn()| std::panic::catch_unwind(run).unwrap_err();
        assert!(told(&*of(|| panic!("no such tile"))).contains("no such tile"));
        let quoting = told(&*of(|| {
            let sent = String::from("tg_secret");
            assert!(sent.is_empty(), "{sent} is no number");
        }));
        assert!(!quoting.contains("tg_secret"), "{quoting}");
    }
}
