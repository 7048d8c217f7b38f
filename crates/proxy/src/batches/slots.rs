//! How many lines of batches run at once, and when none begins since others wait for an answer.
//!
//! Owns the count. Interactive traffic comes first: while it takes half of what the gateway takes, no line begins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::gate::Gate;

/// How long it takes at most until a change of load or configuration is seen.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The count of lines that run.
#[derive(Default)]
pub(super) struct Slots {
    taken: AtomicUsize,
    freed: Notify,
}

/// A line's place; it is free again when this is dropped.
pub(super) struct Slot {
    gate: Arc<Gate>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.gate.batches.slots;
        slots.taken.fetch_sub(1, Ordering::AcqRel);
        slots.freed.notify_one();
    }
}

/// Waits for a place.
pub(super) async fn take(gate: &Arc<Gate>) -> Slot {
    let slots = &gate.batches.slots;
    loop {
        let snapshot = Arc::clone(&gate.live.current().snapshot);
        let most = snapshot.batches.map_or(1, |batches| batches.concurrent);
        let taken = slots.taken.load(Ordering::Acquire);
        let in_flight = usize::try_from(gate.metrics.in_flight.get()).unwrap_or(0);
        let busy = in_flight.saturating_sub(taken) > snapshot.concurrent_limit / 2;
        let next = taken.saturating_add(1);
        let free = !busy && taken < most;
        if free && slots.taken.compare_exchange(taken, next, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Slot { gate: Arc::clone(gate) };
        }
        if !free {
            let _ = tokio::time::timeout(LOOK_AGAIN, slots.freed.notified()).await;
        }
    }
}
