//! The open loop: requests leave at their time, whether or not earlier ones have been answered.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tidegate_core::clock;
use tokio::io::unix::AsyncFd;

use super::{
    super::watch::nanos,
    Plan, Target,
    exchange::{Failure, Lane},
    record::Record,
};

#[derive(Clone, Copy)]
struct Job {
    due: Instant,
    stream: bool,
    counted: bool,
}

#[derive(Default)]
struct Open {
    idle: RefCell<Vec<Lane>>,
    waiting: RefCell<VecDeque<Job>>,
    running: RefCell<BTreeMap<u64, Job>>,
    busy: Cell<usize>,
    next: Cell<u64>,
}

pub(crate) async fn run(
    target: &Rc<Target>,
    record: &Rc<Record>,
    plan: &Rc<Plan>,
    rate: f64,
    most: usize,
    drain: Duration,
) -> Result<()> {
    ensure!(rate > 0.0 && rate <= 100_000.0, "--rate must be above zero and at most 100,000");
    let period = Duration::from_secs_f64(1.0 / rate);
    let open = Rc::new(Open::default());
    #[expect(
        deprecated,
        reason = "its successor is unsafe; what it is unsound for, a changing descriptor, is not done"
    )]
    let ticks = AsyncFd::new(timer(period)?)?;
    let mut number = 0_u64;
    'time: loop {
        for _ in 0..expired(&ticks).await? {
            let due = plan.start + period.mul_f64(number as f64 + 1.0);
            if due > plan.end {
                break 'time;
            }
            let job = Job { due, stream: plan.is_stream(number), counted: due > plan.counted };
            number += 1;
            if job.counted {
                record.late.borrow_mut().push(nanos(clock::now().saturating_duration_since(due)));
            }
            open.waiting.borrow_mut().push_back(job);
            if open.busy.get() < most {
                open.busy.set(open.busy.get() + 1);
                tokio::task::spawn_local(work(Rc::clone(&open), Rc::clone(target), Rc::clone(record)));
            }
        }
    }
    let until = clock::now() + drain;
    while open.busy.get() > 0 && clock::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left: Vec<Job> = open.running.borrow().values().chain(open.waiting.borrow().iter()).copied().collect();
    for job in left {
        record.unfinished(job.due, job.stream, job.counted);
    }
    Ok(())
}

/// Takes jobs until none waits.
async fn work(open: Rc<Open>, target: Rc<Target>, record: Rc<Record>) {
    let mut lane = open.idle.borrow_mut().pop().unwrap_or_default();
    loop {
        let Some(job) = open.waiting.borrow_mut().pop_front() else { break };
        let number = open.next.replace(open.next.get() + 1);
        open.running.borrow_mut().insert(number, job);
        let outcome = lane.run(&target, job.stream, job.due).await;
        open.running.borrow_mut().remove(&number);
        debug_assert!(!matches!(outcome, Err(Failure::Unfinished)));
        record.add(&target, job.due, outcome, job.counted);
    }
    open.idle.borrow_mut().push(lane);
    open.busy.set(open.busy.get().saturating_sub(1));
}

/// A timer of the kernel: the runtime's own are rounded to a millisecond, too coarse for 2,000 requests a second.
fn timer(period: Duration) -> Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let time = Timespec { tv_sec: i64::try_from(period.as_secs())?, tv_nsec: i64::from(period.subsec_nanos()) };
    let setting = Itimerspec { it_interval: time, it_value: time };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
    Ok(timer)
}

/// Waits for the timer and says how often it has run out since.
async fn expired(timer: &AsyncFd<OwnedFd>) -> Result<u64> {
    loop {
        let mut ready = timer.readable().await?;
        let mut count = [0_u8; 8];
        let read = rustix::io::read(timer.get_ref(), &mut count);
        ready.clear_ready();
        match read {
            Ok(_) => return Ok(u64::from_ne_bytes(count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
