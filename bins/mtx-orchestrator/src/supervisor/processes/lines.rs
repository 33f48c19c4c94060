//! Lines of bounded length, out of what can be read at a time.

/// A longer line is cut in two.
const LONGEST: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Lines {
    /// Without a newline.
    begun: Vec<u8>,
    whole: Vec<String>,
}

impl Lines {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= LONGEST {
                self.end_line();
            }
        }
    }

    /// What is whole.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.whole)
    }

    /// All there is: nothing follows.
    pub(super) fn finish(&mut self) -> Vec<String> {
        if !self.begun.is_empty() {
            self.end_line();
        }
        self.take()
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.begun);
        self.whole.push(line.trim_end().to_owned());
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn lines_come_out_whole_however_they_come_in(
            text in proptest::collection::vec("[a-zä]{0,20}", 0..20),
            step in 1_usize..9,
        ) {
            let text = text.join("\n");
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for bytes in text.as_bytes().chunks(step) {
                lines.add(bytes);
                found.extend(lines.take());
            }
            found.extend(lines.finish());
            let expected: Vec<&str> = text.lines().collect();
            proptest::prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut lines = Lines::default();
        (0..3).for_each(|_| lines.add(&[b'x'; LONGEST]));
        assert_eq!(lines.take().len(), 3);
        assert!(lines.finish().is_empty());
    }
}
