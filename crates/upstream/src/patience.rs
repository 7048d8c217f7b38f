//! A clock that is set anew for every piece of a stream without being taken out of the timer each time.
//!
//! Owns one timer. It rings at the earliest when it was last set to ring, or before: then it is set to what is wanted by
//! now. So a stream whose pieces come in time touches the timer once a period, and not twice a piece.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Instant,
};

use tokio::time::Sleep;

/// The timer of one stream; made when it is first waited for.
#[derive(Debug, Default)]
pub struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Awaits `future` until the moment `until`; `None` where that passes first. Dropping what this returns loses what
    /// `future` would lose.
    pub async fn until<F: Future>(&mut self, until: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
            if timer.deadline() > until.into() {
                timer.as_mut().reset(until.into());
            }
            while timer.as_mut().poll(context).is_ready() {
                if timer.deadline() >= until.into() {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(until.into());
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tidegate_core::clock;

    use super::*;

    async fn after(pause: Duration) -> u8 {
        tokio::time::sleep(pause).await;
        7
    }

    #[tokio::test]
    async fn each_wait_has_its_own_end_whatever_came_before() {
        let mut patience = Patience::default();
        let millis = Duration::from_millis;
        // Pieces in time, for longer than the first end lay ahead.
        for _ in 0..6 {
            assert_eq!(patience.until(clock::now() + millis(400), after(millis(100))).await, Some(7));
        }
        // An end before the one that the timer was set to.
        let start = clock::now();
        assert_eq!(patience.until(start + millis(60), pending::<u8>()).await, None);
        let took = clock::now() - start;
        assert!(took >= millis(60) && took < millis(350), "{took:?}");
        // And one after it has rung.
        let start = clock::now();
        assert_eq!(patience.until(start + millis(120), pending::<u8>()).await, None);
        assert!(clock::now() - start >= millis(120));
        // What is ready wins over an end that has passed.
        assert_eq!(patience.until(start, std::future::ready(1)).await, Some(1));
    }
}
