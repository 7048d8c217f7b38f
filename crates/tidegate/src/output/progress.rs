//! A line on a terminal's stderr that says how far long work has come.
//!
//! Only for people: where stderr is no terminal, or the data is for scripts, nothing is drawn. Work that is done within
//! a second draws nothing either. The line is wiped when the work is over, so that what is said next stands alone.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::mpsc,
    time::{Duration, Instant},
};

use tidegate_core::clock;

use super::Format;

/// How long work may take before a line is drawn.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line is drawn anew.
const OFTEN: Duration = Duration::from_millis(100);
/// How many letters the bar has.
const BAR: u64 = 24;

/// How far work has come.
pub(crate) struct Progress {
    what: &'static str,
    live: bool,
    started: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// Work that begins now.
    pub(crate) fn new(what: &'static str, format: Format) -> Self {
        let live = format == Format::Table && std::io::stderr().is_terminal();
        Self { what, live, started: clock::now(), drawn: None }
    }

    /// Says that `done` of `total` is done. Costs a look at the clock where nobody watches for a line.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        let now = clock::now();
        if self.is_due(now) {
            draw(&bar(self.what, done, total));
        }
    }

    /// Says that the work goes on, where nobody knows how much there is.
    pub(crate) fn goes_on(&mut self) {
        let now = clock::now();
        if self.is_due(now) {
            draw(&format!("{} … {} s", self.what, now.saturating_duration_since(self.started).as_secs()));
        }
    }

    /// Whether a line is to be drawn at `now`.
    fn is_due(&mut self, now: Instant) -> bool {
        let since = |moment: Instant| now.saturating_duration_since(moment);
        let due = self.live && since(self.started) >= PATIENCE && self.drawn.is_none_or(|drawn| since(drawn) >= OFTEN);
        if due {
            self.drawn = Some(now);
        }
        due
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("");
        }
    }
}

/// Waits for work, with a line while it takes long.
pub(crate) async fn waiting<F: Future>(what: &'static str, format: Format, work: F) -> F::Output {
    let mut progress = Progress::new(what, format);
    let mut work = std::pin::pin!(work);
    if !progress.live {
        return work.await;
    }
    loop {
        tokio::select! {
            output = &mut work => return output,
            () = tokio::time::sleep(OFTEN) => progress.goes_on(),
        }
    }
}

/// Does work that says nothing of how far it is, with a line while it takes long.
pub(crate) fn during<T>(what: &'static str, format: Format, work: impl FnOnce() -> T) -> T {
    let mut progress = Progress::new(what, format);
    if !progress.live {
        return work();
    }
    let (over, is_over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The channel closes with the work, also where that ends by a panic.
            while is_over.recv_timeout(OFTEN) == Err(mpsc::RecvTimeoutError::Timeout) {
                progress.goes_on();
            }
        });
        let output = work();
        drop(over);
        output
    })
}

fn bar(what: &str, done: u64, total: u64) -> String {
    let done = done.min(total);
    let of = |parts: u64| (u128::from(done) * u128::from(parts)).checked_div(u128::from(total)).unwrap_or(0);
    let full = usize::try_from(of(BAR)).unwrap_or(0);
    let rest = usize::try_from(BAR).unwrap_or(0).saturating_sub(full);
    format!("{what} {}{} {:>3} % of {total}", "█".repeat(full), "░".repeat(rest), of(100))
}

/// Draws over what stands in the line, and wipes the rest of it.
fn draw(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = write!(err, "\r{text}\u{1b}[K").and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_is_done() {
        assert_eq!(bar("verify", 0, 8), format!("verify {}   0 % of 8", "░".repeat(24)));
        assert_eq!(bar("verify", 2, 8), format!("verify {}{}  25 % of 8", "█".repeat(6), "░".repeat(18)));
        assert_eq!(bar("verify", 9, 8), format!("verify {} 100 % of 8", "█".repeat(24)));
        assert_eq!(bar("verify", 0, 0), format!("verify {}   0 % of 0", "░".repeat(24)));
        assert!(bar("verify", u64::MAX, u64::MAX).contains("100 %"));
    }

    #[test]
    fn a_line_is_drawn_after_a_second_then_ten_times_a_second_and_only_for_people() {
        let began = clock::now();
        let at = |millis: u64| began + Duration::from_millis(millis);
        let mut shown = Progress { what: "verify", live: true, started: began, drawn: None };
        let drawn: Vec<u64> = (0..=1_300).step_by(50).filter(|millis| shown.is_due(at(*millis))).collect();
        assert_eq!(drawn, [1_000, 1_100, 1_200, 1_300]);
        shown.drawn = None;
        let mut hidden = Progress { what: "verify", live: false, started: began, drawn: None };
        assert!(!hidden.is_due(at(9_000)));
        for format in [Format::Json, Format::Jsonl, Format::Yaml] {
            assert!(!Progress::new("verify", format).live);
        }
    }

    #[tokio::test]
    async fn work_gives_what_it_would_without_a_line() {
        assert_eq!(during("work", Format::Json, || 7), 7);
        assert_eq!(waiting("work", Format::Table, async { 7 }).await, 7);
        let mut watched = Progress { what: "work", live: true, started: clock::now(), drawn: None };
        watched.at(1, 2);
        assert!(watched.drawn.is_none(), "nothing within the first second");
    }
}
