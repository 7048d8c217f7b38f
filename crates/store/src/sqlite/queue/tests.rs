use super::*;
use crate::conformance::samples::{call, entry};

fn limits(entry_bytes: usize, call_bytes: usize) -> Limits {
    Limits { entry_bytes, call_bytes, ..Limits::default() }
}

#[test]
fn past_its_cap_an_entry_waits_and_its_recorder_must_write() {
    let one = entry("a", 1, 1);
    let bytes = entry_bytes(&one);
    let queue = Queue::new(limits(bytes * 2, 0));
    assert_eq!(queue.push_entry(one.clone()), Taken::Waits);
    assert_eq!(queue.push_entry(one.clone()), Taken::Waits);
    assert_eq!(queue.push_entry(one.clone()), Taken::MustWrite);
    assert_eq!(queue.standing().entries_waiting, 3);
    assert_eq!(queue.take().entries.len(), 3);
    assert_eq!(queue.push_entry(one), Taken::Waits);
}

#[test]
fn only_past_the_last_resort_is_an_entry_lost_and_it_is_told_once() {
    let one = entry("a", 1, 1);
    let queue = Queue::new(limits(entry_bytes(&one), 0));
    let taken: Vec<Taken> = (0..6).map(|_| queue.push_entry(one.clone())).collect();
    let expected = [Taken::Waits, Taken::MustWrite, Taken::MustWrite, Taken::MustWrite, Taken::Lost(1), Taken::Lost(2)];
    assert_eq!(taken, expected);
    assert_eq!((queue.newly_lost(), queue.newly_lost()), (2, 0));
    assert_eq!(queue.standing().entries_lost, 2);
}

#[test]
fn under_overload_the_oldest_call_is_dropped_and_counted() {
    let calls: Vec<_> = (0..5).map(|at| call("default", Some("a"), at, None)).collect();
    let queue = Queue::new(limits(0, call_bytes(&calls[0]) * 3));
    for call in calls {
        queue.push_call(call);
    }
    let left: Vec<u64> = queue.take().calls.iter().map(|call| call.at.0).collect();
    assert_eq!(left, [2, 3, 4]);
    assert_eq!(queue.standing().calls_dropped, 2);
}

#[test]
fn a_summary_that_is_too_large_is_dropped_and_takes_no_other_with_it() {
    let queue = Queue::new(Limits::default());
    queue.push_call(call("default", Some("a"), 1, None));
    let mut large = call("default", Some("a"), 2, None);
    large.policies = vec!["p".repeat(LARGEST_CALL)];
    queue.push_call(large);
    assert_eq!((queue.standing().calls_waiting, queue.standing().calls_dropped), (1, 1));
}

#[test]
fn what_could_not_be_written_comes_first_again_in_its_order() {
    let queue = Queue::new(Limits::default());
    for at in 0..3 {
        queue.push_entry(entry("a", at, 1));
        queue.push_call(call("default", None, at, None));
    }
    let batch = queue.take();
    queue.push_entry(entry("a", 3, 1));
    queue.push_call(call("default", None, 3, None));
    queue.put_back(batch);
    assert!(queue.standing().failing);
    let batch = queue.take();
    assert_eq!(batch.entries.iter().map(|entry| entry.at.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(batch.calls.iter().map(|call| call.at.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let state = queue.state.lock();
    assert_eq!((state.entry_bytes, state.call_bytes), (0, 0));
}

#[test]
fn a_closed_queue_takes_nothing_and_keeps_what_it_has() {
    let queue = Queue::new(Limits::default());
    queue.push_entry(entry("a", 1, 1));
    queue.close();
    assert_eq!(queue.push_entry(entry("a", 2, 1)), Taken::Lost(1));
    queue.push_call(call("default", None, 1, None));
    assert_eq!((queue.standing().entries_waiting, queue.standing().calls_dropped), (1, 1));
    assert_eq!(queue.wait_for_work(None), Next::End);
}

#[test]
fn a_rush_gives_its_room_back_once_nothing_came_for_a_while() {
    let queue = Queue::new(Limits::default());
    for at in 0..u64::try_from(4 * BATCH).unwrap() {
        queue.push_entry(entry("a", at, 1));
        queue.push_call(call("default", None, at, None));
    }
    let moment = Duration::from_millis(1);
    assert_eq!(queue.wait_for_work(Some(moment)), Next::Write);
    while !queue.take().is_empty() {}
    let room = |queue: &Queue| {
        let state = queue.state.lock();
        state.entries.capacity().max(state.calls.capacity())
    };
    assert!(room(&queue) >= 4 * BATCH);
    assert_eq!(queue.wait_for_work(Some(moment)), Next::Rest);
    assert!(room(&queue) <= 2 * BATCH);
    // What comes while it rests wakes it.
    queue.push_entry(entry("a", 1, 1));
    assert_eq!(queue.wait_for_work(None), Next::Write);
}
