//! The closed loop: each connection sends its next request when it has the answer to the one before.

use std::{cell::Cell, rc::Rc, time::Duration};

use tidegate_core::clock;

use super::{Plan, Target, exchange::Lane, record::Record};

/// After a failure, so that a gateway that refuses at once is not asked in a hot loop.
const AFTER_FAILURE: Duration = Duration::from_millis(2);

pub(crate) async fn run(target: &Rc<Target>, record: &Rc<Record>, plan: &Rc<Plan>, connections: usize) {
    let number = Rc::new(Cell::new(0_u64));
    let lanes: Vec<_> = (0..connections)
        .map(|_| {
            let (target, record, plan) = (Rc::clone(target), Rc::clone(record), Rc::clone(plan));
            tokio::task::spawn_local(lane(target, record, plan, Rc::clone(&number)))
        })
        .collect();
    for lane in lanes {
        let _ = lane.await;
    }
}

async fn lane(target: Rc<Target>, record: Rc<Record>, plan: Rc<Plan>, number: Rc<Cell<u64>>) {
    let mut lane = Lane::default();
    loop {
        let now = clock::now();
        if now >= plan.end {
            return;
        }
        let stream = plan.is_stream(number.replace(number.get() + 1));
        let outcome = lane.run(&target, stream, now).await;
        let failed = outcome.is_err();
        record.add(&target, now, outcome, now >= plan.counted);
        if failed {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}
