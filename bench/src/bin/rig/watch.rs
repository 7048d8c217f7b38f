//! Watching a stream arrive: every event counted, in order, one a frame.

use std::time::{Duration, Instant};

use memchr::{memchr, memmem};

/// How the mock marks the texts of its events: a number follows.
pub(crate) const MARK: &str = "part";

/// What was seen of one stream.
#[derive(Debug)]
pub(crate) struct Watch {
    sent: Instant,
    line: Vec<u8>,
    last: Option<Instant>,
    /// From sending the request until the first event with text.
    pub(crate) first: Option<Duration>,
    /// Between one event with text and the next, in nanoseconds.
    pub(crate) gaps: Vec<u64>,
    /// Events with text.
    pub(crate) events: u64,
    /// Pieces in which the body came: chunks of the transfer encoding.
    pub(crate) frames: u64,
    /// Events with text that came together with another one.
    pub(crate) merged: u64,
    ordered: bool,
    done: bool,
}

impl Watch {
    pub(crate) fn new(sent: Instant) -> Self {
        Self {
            sent,
            line: Vec::new(),
            last: None,
            first: None,
            gaps: Vec::new(),
            events: 0,
            frames: 0,
            merged: 0,
            ordered: true,
            done: false,
        }
    }

    /// Takes the next piece of the body, which came at `at`.
    pub(crate) fn frame(&mut self, data: &[u8], at: Instant) {
        self.frames += 1;
        let before = self.events;
        let mut rest = data;
        while let Some(end) = memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(end);
            if self.line.is_empty() {
                self.take(head, at);
            } else {
                self.line.extend_from_slice(head);
                let line = std::mem::take(&mut self.line);
                self.take(&line, at);
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        self.line.extend_from_slice(rest);
        self.merged += self.events.saturating_sub(before).saturating_sub(1);
    }

    fn take(&mut self, line: &[u8], at: Instant) {
        let Some(data) = line.strip_prefix(b"data:") else { return };
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return;
        }
        let Some(number) = marked(data) else { return };
        self.ordered &= number == self.events && !self.done;
        self.events += 1;
        match self.last.replace(at) {
            None => self.first = Some(at.saturating_duration_since(self.sent)),
            Some(last) => self.gaps.push(nanos(at.saturating_duration_since(last))),
        }
    }

    /// Whether all `expected` events came, in order, and then the end.
    pub(crate) fn is_complete(&self, expected: u64) -> bool {
        self.ordered && self.done && self.events == expected
    }
}

fn marked(data: &[u8]) -> Option<u64> {
    let at = memmem::find(data, MARK.as_bytes())?;
    let digits = data.get(at.saturating_add(MARK.len())..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// Nanoseconds of a time that fits a `u64` for five hundred years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Watch;

    fn watched(frames: &[&str]) -> Watch {
        let start = tidegate_core::clock::now();
        let mut watch = Watch::new(start);
        for (place, frame) in frames.iter().enumerate() {
            watch.frame(frame.as_bytes(), start + Duration::from_millis(10 * (place as u64 + 1)));
        }
        watch
    }

    #[test]
    fn a_whole_stream_is_complete_and_timed() {
        let watch = watched(&["data: {\"a\":\"part0000 \"}\n\n", "data: {\"a\":\"part0001 \"}\n\ndata: [DONE]\n\n"]);
        assert!(watch.is_complete(2) && !watch.is_complete(3));
        assert_eq!((watch.frames, watch.merged), (2, 0));
        assert_eq!((watch.first, watch.gaps), (Some(Duration::from_millis(10)), vec![10_000_000]));
    }

    #[test]
    fn merged_lost_doubled_and_endless_streams_are_told() {
        let merged = watched(&["data: \"part0\"\n\ndata: \"part1\"\n\ndata: [DONE]\n\n"]);
        assert!(merged.is_complete(2) && merged.merged == 1);
        assert!(!watched(&["data: \"part0\"\n\n", "data: \"part2\"\n\ndata: [DONE]\n\n"]).is_complete(2));
        assert!(!watched(&["data: \"part0\"\n\n", "data: \"part0\"\n\ndata: [DONE]\n\n"]).is_complete(2));
        assert!(!watched(&["data: \"part0\"\n\n", "data: \"part1\"\n\n"]).is_complete(2));
    }

    #[test]
    fn an_event_in_two_frames_is_one_event() {
        let watch = watched(&["data: \"pa", "rt0\"\n", "\ndata: [DONE]\n\n"]);
        assert!(watch.is_complete(1) && watch.merged == 0 && watch.frames == 3);
    }
}
