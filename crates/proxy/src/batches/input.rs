//! The lines of a batch's file, for whoever runs them.
//!
//! Owns the reading, a little ahead and only when it is asked for: a batch that waits for its turn holds no thread, since
//! there may be more batches than threads, and little memory.

use std::collections::VecDeque;

use tidegate_core::batches::BatchStoreError;
use tokio::task::JoinHandle;

use super::check::Lines;

/// How many bytes are read at once, by whole lines.
const AHEAD: usize = 64 << 10;
/// What a line counts for beside its bytes.
const EACH: usize = 64;

/// A line with its number, or why there is none.
pub(super) type Line = Result<(u32, Vec<u8>), BatchStoreError>;

type Read = (Option<Lines>, VecDeque<Line>);

enum At {
    /// Between two readings; nothing where there is no more to read.
    Rest(Option<Lines>),
    Reading(JoinHandle<Read>),
}

/// The lines of a file, from the first.
pub(super) struct Input {
    ahead: VecDeque<Line>,
    at: At,
}

impl Input {
    /// Begins to read the lines that `open` gives, which may block on the disk.
    pub(super) fn open(open: impl FnOnce() -> Result<Lines, BatchStoreError> + Send + 'static) -> Self {
        let opened =
            tokio::task::spawn_blocking(move || open().map_or_else(|error| (None, VecDeque::from([Err(error)])), some));
        Self { ahead: VecDeque::new(), at: At::Reading(opened) }
    }

    /// The next line; an error is the last. Loses nothing where it is given up.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.ahead.pop_front() {
                return Some(line);
            }
            let read = match &mut self.at {
                At::Rest(lines) => {
                    let lines = lines.take()?;
                    self.at = At::Reading(tokio::task::spawn_blocking(move || some(lines)));
                    continue;
                }
                At::Reading(reading) => reading.await,
            };
            let failed = |error| (None, VecDeque::from([Err(BatchStoreError(format!("could not be read: {error}")))]));
            let (lines, ahead) = read.unwrap_or_else(failed);
            self.at = At::Rest(lines);
            self.ahead = ahead;
        }
    }
}

/// Some of `lines`; what is left of them, where there may be more.
fn some(mut lines: Lines) -> Read {
    let (mut ahead, mut bytes) = (VecDeque::new(), 0_usize);
    while bytes < AHEAD {
        match lines.next() {
            Ok(Some(line)) => {
                bytes = bytes.saturating_add(line.1.len()).saturating_add(EACH);
                ahead.push_back(Ok(line));
            }
            Ok(None) => return (None, ahead),
            Err(error) => {
                ahead.push_back(Err(error));
                return (None, ahead);
            }
        }
    }
    (Some(lines), ahead)
}

#[cfg(test)]
mod tests {
    use tidegate_core::batches::Pieces;

    use super::*;

    /// Pieces of a file; an empty one is an error.
    struct Cut(VecDeque<Vec<u8>>);

    impl Pieces for Cut {
        fn next(&mut self) -> Result<Option<Vec<u8>>, BatchStoreError> {
            match self.0.pop_front() {
                Some(piece) if piece.is_empty() => Err(BatchStoreError("is damaged".to_owned())),
                piece => Ok(piece),
            }
        }
    }

    fn input(pieces: &[&[u8]]) -> Input {
        let pieces = Box::new(Cut(pieces.iter().map(|piece| piece.to_vec()).collect()));
        Input::open(move || Ok(Lines::new(pieces, 1 << 20)))
    }

    async fn all(mut input: Input) -> Vec<Result<String, String>> {
        let mut all = Vec::new();
        while let Some(line) = input.next().await {
            all.push(line.map(|(_, line)| String::from_utf8(line).unwrap()).map_err(|error| error.to_string()));
        }
        all
    }

    #[tokio::test]
    async fn every_line_comes_once_and_an_error_is_the_last() {
        let long = "x".repeat(AHEAD + 9);
        let (first, last) = long.split_at(AHEAD / 2);
        let found = all(input(&[b"a\n\nb", first.as_bytes(), last.as_bytes(), b"\nc\n", b"d"])).await;
        let expected = ["a".to_owned(), format!("b{long}"), "c".to_owned(), "d".to_owned()];
        assert_eq!(found, expected.map(Ok));
        assert!(all(input(&[])).await.is_empty());
        let found = all(input(&[b"a\nb", b"", b"c\n"])).await;
        assert_eq!((found.len(), &found[0]), (2, &Ok("a".to_owned())));
        assert!(found[1].as_ref().unwrap_err().contains("damaged"));
        let gone = all(Input::open(|| Err(BatchStoreError("is gone".to_owned())))).await;
        assert!(gone.len() == 1 && gone[0].is_err());
    }

    #[tokio::test]
    async fn a_reader_that_is_given_up_halfway_loses_no_line() {
        let line = [b"y".repeat(AHEAD), b"\n".to_vec()].concat();
        let pieces: Vec<&[u8]> = vec![&line; 20];
        let (mut input, mut count) = (input(&pieces), 0);
        loop {
            // Looked at once, then dropped.
            let once = futures_util::FutureExt::now_or_never(input.next());
            match once {
                Some(Some(line)) => count += usize::from(line.unwrap().1.len() == AHEAD),
                Some(None) => break,
                None => tokio::task::yield_now().await,
            }
        }
        assert_eq!(count, 20);
    }

    #[test]
    fn more_readers_than_threads_keep_none_while_they_wait() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut waiting: Vec<Input> = (0..50).map(|_| input(&[b"a\n".as_slice(); 40])).collect();
            for input in &mut waiting {
                assert!(input.next().await.is_some());
            }
            let other = tokio::task::spawn_blocking(|| 7);
            assert_eq!(tokio::time::timeout(std::time::Duration::from_secs(20), other).await.unwrap().unwrap(), 7);
            drop(waiting);
        });
    }
}
