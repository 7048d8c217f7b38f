//! Lines of a program's output, within bounds.
//!
//! Pure: bytes come in as they are read, whole lines go out. A line that grows past its bound ends the reading, and what
//! was kept of it is let go.

use bytes::{Bytes, BytesMut};

/// A line longer than its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it wrote a line of more than {0} bytes, the most that is read")]
pub(crate) struct TooLong(pub(crate) usize);

/// The lines so far.
#[derive(Debug)]
pub(crate) struct Lines {
    most: usize,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of a line.
    searched: usize,
}

impl Lines {
    /// Lines of at most `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, buffer: BytesMut::new(), searched: 0 }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its end; `None` until there is one.
    ///
    /// # Errors
    /// Where the line that is being read is too long already.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            if self.buffer.len() > self.most {
                self.buffer = BytesMut::new();
                self.searched = 0;
                return Err(TooLong(self.most));
            }
            return Ok(None);
        };
        let length = self.searched.saturating_add(at);
        self.searched = 0;
        let mut line = self.buffer.split_to(length.saturating_add(1)).freeze();
        line.truncate(length);
        if line.last() == Some(&b'\r') {
            line.truncate(length.saturating_sub(1));
        }
        if line.len() > self.most { Err(TooLong(self.most)) } else { Ok(Some(line)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_depend_on_how_they_were_read() {
        let text = b"one\r\n\ntwo\nthree";
        for size in 1..=text.len() {
            let mut lines = Lines::new(100);
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                while let Some(line) = lines.next().unwrap() {
                    found.push(line);
                }
            }
            assert_eq!(found, ["one", "", "two"], "{size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_let_go() {
        let mut lines = Lines::new(4);
        lines.push(b"12345");
        assert_eq!(lines.next(), Err(TooLong(4)));
        assert_eq!(lines.buffer.capacity(), 0);
        lines.push(b"1234\n");
        assert_eq!(lines.next().unwrap().unwrap(), "1234");
    }
}
