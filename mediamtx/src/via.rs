//! Marks by which a stream is recognised that comes back to the orchestrator that sent it: what `Via` (RFC 9110, 7.6.3)
//! and `CDN-Loop` (RFC 8586) are for HTTP, in the `flashVer` of RTMP's `connect` command. MediaMTX shows that as the
//! `userAgent` of a connection: v1.19.2 does, v1.14.0 did not yet.

use std::fmt;
use std::str::FromStr;

/// A stream that was passed on so often is passed on without its oldest marks.
const MOST: usize = 16;
/// What stands before the marks in a user agent.
const PREFIX: &str = "; via ";
const END: char = ')';

/// One output of one orchestrator: a random number that nothing else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// The outputs that a stream has been sent through, the latest one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Via(Vec<Mark>);

/// What is no list of marks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("marks are numbers of 16 hexadecimal digits with commas between them")]
pub struct InvalidVia;

impl Via {
    /// The marks of a connection whose user agent is this; none if it has none, or some that can't be read.
    #[must_use]
    pub fn of_user_agent(text: &str) -> Self {
        let marks = text.split_once(PREFIX).map(|(_, rest)| rest);
        let marks = marks.and_then(|rest| rest.split_once(END));
        let marks = marks.and_then(|(marks, _)| marks.parse().ok());
        marks.unwrap_or_default()
    }

    /// The user agent of `program`, which is a name and a version, with these marks.
    #[must_use]
    pub fn user_agent(&self, program: &str) -> String {
        // Some servers want to see that one before they take a stream.
        let encoder = "FMLE/3.0 (compatible; ";
        match self.0.is_empty() {
            true => format!("{encoder}{program}{END}"),
            false => format!("{encoder}{program}{PREFIX}{self}{END}"),
        }
    }

    /// With the mark of the output that the stream goes to next.
    #[must_use]
    pub fn through(&self, next: Mark) -> Self {
        let marks = [next].into_iter().chain(self.marks());
        Self(marks.take(MOST).collect())
    }

    /// All of them, the latest one first.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Via {
    type Err = InvalidVia;

    fn from_str(text: &str) -> Result<Self, InvalidVia> {
        let marks = text.split(',').take(MOST).map(|mark| {
            let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            let number = u64::from_str_radix(mark, 16);
            let number = number
                .ok()
                .filter(|_| mark.len() == 16 && mark.chars().all(is_digit));
            number.map(Mark).ok_or(InvalidVia)
        });
        marks.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Mark(mark)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{mark:016x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_readable_marks_has_none() {
        for text in [
            "",
            "Lavf60.16.100",
            "FMLE/3.0 (compatible; mtx-worker/0.1.0)",
            "FMLE/3.0 (compatible; mtx-worker/0.1.0; via )",
            "x; via 0123456789abcdef",
            "x; via 0123456789ABCDEF)",
            "x; via +123456789abcdef)",
            "x; via 0123456789abcdef,1)",
        ] {
            assert_eq!(Via::of_user_agent(text), Via::default(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn marks_come_out_of_a_user_agent_as_they_went_in(numbers: Vec<u64>) {
            let sent = numbers.iter().fold(Via::default(), |via, number| via.through(Mark(*number)));
            let agent = sent.user_agent("mtx-worker/0.1.0");
            prop_assert_eq!(&Via::of_user_agent(&agent), &sent);
            let latest = numbers.iter().rev().take(MOST).map(|number| Mark(*number));
            prop_assert!(sent.marks().eq(latest));
        }

        #[test]
        fn no_user_agent_panics(text: String) {
            let _ = Via::of_user_agent(&text);
            let _ = Via::of_user_agent(&format!("{PREFIX}{text}{END}"));
        }
    }
}
