//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Without its newline.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

const STEP: usize = 4 * 1024;

/// What was read but is no whole line yet.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// How much of it was searched for a newline.
    searched: usize,
    /// Whether the line at hand is too long, so that the rest of it is skipped.
    is_skipping: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    TooLong,
    /// The other side closed.
    End,
}

impl Lines {
    /// The next line of `reader`. Safe to cancel.
    pub(super) async fn next(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Line> {
        loop {
            if let Some(line) = self.take() {
                return Ok(line);
            }
            let mut bytes = [0; STEP];
            match reader.read(&mut bytes).await? {
                0 => return Ok(Line::End),
                count => self.buffer.extend_from_slice(&bytes[..count]),
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        let newline = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(length) = newline.map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            if self.searched > LONGEST_LINE {
                self.buffer.clear();
                self.searched = 0;
                // One line, one answer.
                return (!std::mem::replace(&mut self.is_skipping, true)).then_some(Line::TooLong);
            }
            return None;
        };
        let rest = self.buffer.split_off(length + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.searched = 0;
        if std::mem::take(&mut self.is_skipping) {
            return self.take();
        }
        Some(match line.len() > LONGEST_LINE {
            true => Line::TooLong,
            false => Line::Whole(line),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of bytes that arrive in pieces of this size.
    fn read_all(bytes: &[u8], step: usize) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut read = Vec::new();
        for piece in bytes.chunks(step) {
            lines.buffer.extend_from_slice(piece);
            read.extend(std::iter::from_fn(|| lines.take()));
            assert!(lines.buffer.len() <= LONGEST_LINE + STEP);
        }
        read
    }

    proptest! {
        #[test]
        fn lines_come_whole_whatever_the_pieces(
            lengths in prop::collection::vec(prop_oneof![0..40usize, LONGEST_LINE - 2..LONGEST_LINE + 2, Just(3 * LONGEST_LINE)], 0..8),
            step in 1..STEP,
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for length in lengths {
                let line = vec![b'x'; length];
                bytes.extend_from_slice(&line);
                bytes.push(b'\n');
                expected.push(match length > LONGEST_LINE {
                    true => Line::TooLong,
                    false => Line::Whole(line),
                });
            }
            prop_assert_eq!(read_all(&bytes, step), expected);
        }
    }
}
