//! Refusals before the caller was known, and sheds: counted per minute and source, so that a flood of them cannot fill
//! the log.
//!
//! Owns the counters. `finish` counts, the binary's housekeeping flushes once a minute.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;
use tidegate_audit::record::SummaryRecord;
use tidegate_core::clock::{self, UnixMillis};

use crate::{exchange::Ending, gate::Gate};

/// Most sources counted by themselves in one minute; the rest are counted together.
const MOST_SOURCES: usize = 1_024;

/// The counters of the current minute.
#[derive(Default)]
pub struct Floods {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    since: Option<UnixMillis>,
    sources: HashMap<Arc<str>, BTreeMap<Arc<str>, u64>>,
}

pub(crate) fn count(gate: &Gate, address: IpAddr, ending: &Ending<'_>) {
    let code: Arc<str> = Arc::from(ending.fault.map_or("client_gone", |fault| fault.code.as_str()));
    let mut inner = gate.floods.inner.lock();
    inner.since.get_or_insert_with(clock::wall);
    let mut source = prefix(address);
    if inner.sources.len() >= MOST_SOURCES && !inner.sources.contains_key(&source) {
        source = Arc::from("others");
    }
    let count = inner.sources.entry(source).or_default().entry(code).or_default();
    *count = count.saturating_add(1);
}

/// A source as the log names it: the /24 of an IPv4 address, the /48 of an IPv6 address.
fn prefix(address: IpAddr) -> Arc<str> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Arc::from(format!("{a}.{b}.{c}.0/24"))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Arc::from(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
    }
}

impl Floods {
    /// Writes one record a source for what was counted since the last time, and starts anew.
    pub fn flush(gate: &Gate) {
        let (since, sources) = {
            let mut inner = gate.floods.inner.lock();
            (inner.since.take(), std::mem::take(&mut inner.sources))
        };
        let Some(since) = since else { return };
        let until = clock::wall();
        for (source, counts) in sources {
            let record = SummaryRecord { since, until, source, counts, omitted: BTreeMap::new() };
            if let Err(error) = gate.audit.summary(record) {
                tracing::error!(%error, "a summary of refused requests could not be recorded");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn a_source_is_a_network_and_never_a_single_address() {
        assert_eq!(&*prefix("192.0.2.77".parse().unwrap()), "192.0.2.0/24");
        assert_eq!(&*prefix("::ffff:192.0.2.77".parse().unwrap()), "192.0.2.0/24");
        assert_eq!(&*prefix("2001:db8:1:2::3".parse().unwrap()), "2001:db8:1::/48");
    }
}
